/* Commits whose outcome the store does not tell, or that fail: memory and store agree afterwards, and nothing is done
 * twice. And the map in memory against a plain list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "records/map.h"
#include "records/records.h"

#define ok(call) assert_int_equal((call).code, HF_OK)
#define fails(call, symbol) assert_int_equal((call).code, HF_##symbol)

/* ---- a store that answers as it is told ------------------------------------------------------------------------ */

struct moody {
    struct hf_store base;
    struct hf_store *real;
    unsigned times;     /* how many commits still go wrong */
    bool does;          /* whether they are done all the same */
    enum hf_code says;  /* what they answer */
    unsigned committed; /* commits that were done */
};

static hf_result moody_commit(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                              enum hf_durability durability, struct hf_store_outcome *ret_outcome)
{
    struct moody *m = (struct moody *)self;
    bool wrong = m->times > 0;
    m->times -= wrong;
    if (wrong && !m->does)
        return (hf_result){m->says};
    hf_result result = m->real->ops->commit(m->real, ops, count, durability, ret_outcome);
    m->committed += HF_IS_OK(result);
    return wrong ? (hf_result){m->says} : result;
}
static hf_result moody_get(struct hf_store *self, uint16_t table, struct hf_id id, struct hf_buf *space,
                           struct hf_row *ret_row)
{
    struct hf_store *real = ((struct moody *)self)->real;
    return real->ops->get(real, table, id, space, ret_row);
}
static hf_result moody_list(struct hf_store *self, const struct hf_list_query *query, hf_row_fn each,
                            void *arg)
{
    struct hf_store *real = ((struct moody *)self)->real;
    return real->ops->list(real, query, each, arg);
}
static hf_result moody_head_get(struct hf_store *self, uint16_t shard, struct hf_buf *space,
                                uint64_t *ret_seq, struct hf_cursor *ret_blob)
{
    struct hf_store *real = ((struct moody *)self)->real;
    return real->ops->head_get(real, shard, space, ret_seq, ret_blob);
}
static hf_result moody_feed_since(struct hf_store *self, uint16_t shard, uint64_t after, uint32_t limit,
                                  hf_change_fn each, void *arg)
{
    struct hf_store *real = ((struct moody *)self)->real;
    return real->ops->feed_since(real, shard, after, limit, each, arg);
}
static hf_result moody_feed_each(struct hf_store *self, uint64_t after, uint32_t limit, hf_change_fn each,
                                 void *arg)
{
    struct hf_store *real = ((struct moody *)self)->real;
    return real->ops->feed_each(real, after, limit, each, arg);
}
static const struct hf_store_ops moody_ops = {
    .name = "moody",
    .commit = moody_commit,
    .get = moody_get,
    .list = moody_list,
    .head_get = moody_head_get,
    .feed_since = moody_feed_since,
    .feed_each = moody_feed_each,
};

struct world {
    char path[64];
    struct moody store;
    struct hf_secret *record_key, *index_key;
    struct hf_records *records;
};

static void open_records(struct world *w)
{
    hf_records_close(w->records);
    ok(hf_records_open(&w->store.base, w->record_key, w->index_key, &hf_clock_system, &w->records));
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    snprintf(w->path, sizeof w->path, "/tmp/hf-outcomes-%d", (int)getpid());
    w->store.base.ops = &moody_ops;
    ok(hf_store_sqlite_open(w->path, &w->store.real));
    ok(hf_secret_random(32, &w->record_key));
    ok(hf_secret_random(32, &w->index_key));
    open_records(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    static const char *const ends[] = {"", "-wal", "-shm"};
    hf_records_close(w->records);
    w->store.real->ops->close(w->store.real);
    hf_secret_free(w->record_key);
    hf_secret_free(w->index_key);
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", w->path, ends[i]);
        unlink(name);
    }
    free(w);
    return 0;
}

static hf_result put(struct world *w, uint8_t number, uint64_t expect, const char *plain)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    const struct hf_id id = {{number}};
    TRY(hf_txn_begin(w->records, &txn));
    TRY(hf_txn_put(txn, HF_TABLE_KEY, id, expect, hf_cursor_text("ns"), hf_cursor_text("name"), 0, 0,
                   hf_cursor_text(plain)));
    return hf_txn_commit(txn, NULL);
}

static void expect(struct world *w, uint8_t number, uint64_t rev, const char *plain)
{
    for (unsigned round = 0; round < 2; round++) {
        const struct hf_id id = {{number}};
        struct hf_record record;
        ok(hf_record_load(w->records, HF_TABLE_KEY, id, &record));
        assert_int_equal(record.rev, rev);
        assert_true(hf_cursor_is(record.plain, plain));
        hf_record_done(&record);
        open_records(w);
    }
}

static void go_wrong(struct world *w, unsigned times, bool does, enum hf_code says)
{
    w->store.times = times;
    w->store.does = does;
    w->store.says = says;
    w->store.committed = 0;
}

/* ---- outcomes ----------------------------------------------------------------------------------------------------- */

static void an_unknown_outcome_is_found_out(void **state)
{
    struct world *w = *state;
    ok(put(w, 1, 0, "one"));
    go_wrong(w, 1, true, HF_COMMIT_UNKNOWN); /* it was done */
    ok(put(w, 1, 1, "two"));
    assert_int_equal(w->store.committed, 1);
    expect(w, 1, 2, "two");
    go_wrong(w, 1, false, HF_COMMIT_UNKNOWN); /* it was not */
    ok(put(w, 1, 2, "three"));
    assert_int_equal(w->store.committed, 1);
    expect(w, 1, 3, "three");
    go_wrong(w, 3, true, HF_COMMIT_UNKNOWN); /* and again unknown */
    ok(put(w, 1, 3, "four"));
    assert_int_equal(w->store.committed, 1);
    expect(w, 1, 4, "four");
    ok(put(w, 2, 0, "another"));
    expect(w, 2, 1, "another");
}

static void what_failed_leaves_no_trace(void **state)
{
    struct world *w = *state;
    static const enum hf_code codes[] = {HF_STORE_FULL, HF_STORE_READ_ONLY, HF_STORE_DOWN, HF_STORE_BUSY,
                                         HF_TIMEOUT};
    ok(put(w, 1, 0, "one"));
    for (size_t i = 0; i < HF_ARRAY_LEN(codes); i++) {
        uint64_t before = hf_records_position(w->records);
        go_wrong(w, 1, false, codes[i]);
        assert_int_equal(put(w, 1, 1 + i, "lost").code, codes[i]);
        go_wrong(w, 1, false, codes[i]);
        assert_int_equal(put(w, (uint8_t)(10 + i), 0, "lost").code, codes[i]);
        assert_int_equal(hf_records_position(w->records), before);
        assert_false(hf_record_exists(w->records, HF_TABLE_KEY, (struct hf_id){{(uint8_t)(10 + i)}}, NULL));
        expect(w, 1, 1 + i, i == 0 ? "one" : "next");
        ok(put(w, 1, 1 + i, "next"));
    }
}

/* It was unknown, then the disk was full: not done for certain. And what a store did after all is taken in. */
static void a_failure_after_the_unknown_is_believed_and_checked(void **state)
{
    struct world *w = *state;
    ok(put(w, 1, 0, "one"));
    struct hf_txn *txn;
    ok(hf_txn_begin(w->records, &txn));
    uint8_t hash[32] = {7};
    const struct hf_store_op once = {.kind = HF_STORE_ONCE, .hash = hf_cursor(hash, 32)};
    ok(hf_txn_put(txn, HF_TABLE_KEY, (struct hf_id){{1}}, 1, hf_cursor_text("ns"), hf_cursor_text("name"), 0,
                  0, hf_cursor_text("two")));
    ok(hf_txn_add(txn, &once));
    go_wrong(w, 1, true, HF_COMMIT_UNKNOWN);
    ok(hf_txn_commit(txn, NULL)); /* the second attempt meets its own `once`, and the head says whose it is */
    hf_txn_freep(&txn);
    assert_int_equal(w->store.committed, 1);
    expect(w, 1, 2, "two");
}

static void unknown_without_a_record_stays_unknown(void **state)
{
    struct world *w = *state;
    struct hf_txn *txn;
    struct hf_store_outcome outcome;
    ok(hf_txn_begin(w->records, &txn));
    const struct hf_store_op reserve = {.kind = HF_STORE_RESERVE, .amount = 5};
    ok(hf_txn_add(txn, &reserve));
    go_wrong(w, 1, true, HF_COMMIT_UNKNOWN);
    fails(hf_txn_commit(txn, &outcome), COMMIT_UNKNOWN); /* twice would count twice */
    assert_int_equal(w->store.committed, 1);
    hf_txn_freep(&txn);
    ok(hf_txn_begin(w->records, &txn));
    const struct hf_store_op leaf = {
        .kind = HF_STORE_AUDIT_APPEND, .amount = 1, .blob = hf_cursor_text("leaf")};
    ok(hf_txn_add(txn, &leaf));
    go_wrong(w, 1, true, HF_COMMIT_UNKNOWN);
    ok(hf_txn_commit(txn, &outcome)); /* the same leaf twice is one */
    hf_txn_freep(&txn);
}

/* ---- the map --------------------------------------------------------------------------------------------------------- */

static void the_map_keeps_what_a_list_keeps(void **state)
{
    enum { IDS = 700, STEPS = 60000 };
    static uint64_t revs[IDS]; /* 0: not there */
    struct hf_map map = {0};
    uint64_t random = 88172645463325252u, there = 0;
    (void)state;
    for (unsigned step = 0; step < STEPS; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned i = (unsigned)(random % IDS);
        struct hf_id id = {{0}};
        memcpy(id.bytes + 3, &i, sizeof i);
        uint16_t table = (uint16_t)(5 + i % 3);
        if ((random >> 32) % 3 == 0) {
            assert_int_equal(hf_map_remove(&map, table, id), revs[i] != 0);
            there -= revs[i] != 0;
            revs[i] = 0;
        } else {
            struct hf_map_entry entry = {.id = id, .table = table & 0xff, .rev = step + 1};
            ok(hf_map_reserve(&map, 1));
            hf_map_put(&map, &entry);
            there += revs[i] == 0;
            revs[i] = step + 1;
        }
        assert_int_equal(map.count, there);
        unsigned ask = (unsigned)((random >> 16) % IDS);
        struct hf_id other = {{0}};
        memcpy(other.bytes + 3, &ask, sizeof ask);
        const struct hf_map_entry *found = hf_map_find(&map, (uint16_t)(5 + ask % 3), other);
        assert_int_equal(found == NULL ? 0 : found->rev, revs[ask]);
        assert_null(hf_map_find(&map, 60, other));
    }
    hf_map_free(&map);
}

int main(void)
{
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)))
        return 1;
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_unknown_outcome_is_found_out),
        T(what_failed_leaves_no_trace),
        T(a_failure_after_the_unknown_is_believed_and_checked),
        T(unknown_without_a_record_stays_unknown),
        cmocka_unit_test(the_map_keeps_what_a_list_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
