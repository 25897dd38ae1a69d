/* Records over an SQLite file: what is written is read, and whatever somebody does to the file is found and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "records/records.h"

static const uint8_t ns_bytes[16] = {7, 7, 7};
#define NS hf_cursor(ns_bytes, sizeof ns_bytes)
#define ok(call) assert_int_equal((call).code, HF_OK)
#define fails(call, symbol) assert_int_equal((call).code, HF_##symbol)

struct world {
    char dir[64], path[96];
    struct hf_secret *record_key, *index_key;
    struct hf_store *store;
    struct hf_records *records;
};

static void shut(struct world *w)
{
    hf_records_close(w->records);
    w->records = NULL;
    if (w->store != NULL)
        w->store->ops->close(w->store);
    w->store = NULL;
}

static hf_result try_open(struct world *w)
{
    shut(w);
    ok(hf_store_sqlite_open(w->path, &w->store));
    return hf_records_open(w->store, w->record_key, w->index_key, &hf_clock_system, &w->records);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/hf-records-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/db", w->dir);
    ok(hf_secret_random(32, &w->record_key));
    ok(hf_secret_random(32, &w->index_key));
    ok(try_open(w));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    shut(w);
    hf_secret_free(w->record_key);
    hf_secret_free(w->index_key);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", w->path, ends[i]);
        unlink(name);
    }
    rmdir(w->dir);
    free(w);
    return 0;
}

/* Does something to the file that no server would, between two openings. */
static void tamper(struct world *w, const char *sql)
{
    sqlite3 *db;
    char *error = NULL;
    shut(w);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

static hf_result put(struct world *w, const char *name, uint64_t expect, const char *plain)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    struct hf_id id = hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text(name));
    TRY(hf_txn_begin(w->records, &txn));
    TRY(hf_txn_put(txn, HF_TABLE_KEY, id, expect, NS, hf_cursor_text(name), 1, 0, hf_cursor_text(plain)));
    return hf_txn_commit(txn, NULL);
}

static hf_result drop(struct world *w, const char *name, uint64_t expect)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    struct hf_id id = hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text(name));
    TRY(hf_txn_begin(w->records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_KEY, id, expect));
    return hf_txn_commit(txn, NULL);
}

static hf_result load(struct world *w, const char *name, struct hf_record *ret)
{
    return hf_record_load(w->records, HF_TABLE_KEY,
                          hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text(name)), ret);
}

static void expect_plain(struct world *w, const char *name, const char *plain)
{
    struct hf_record record;
    ok(load(w, name, &record));
    assert_true(hf_cursor_is(record.plain, plain));
    assert_int_equal(record.name_len, strlen(name));
    assert_memory_equal(record.name, name, record.name_len);
    hf_record_done(&record);
}

static void expect_fault(struct world *w, const char *name, const char *what)
{
    struct hf_record record;
    hf_result result = load(w, name, &record);
    assert_int_equal(result.code, HF_CORRUPT);
    char text[HF_ID_TEXT_LEN + 1] = "";
    hf_id_text(hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text(name)), text);
    if (strstr(hf_records_fault(), text) == NULL || strstr(hf_records_fault(), what) == NULL ||
        strncmp(hf_records_fault(), "key ", 4) != 0)
        fail_msg("fault \"%s\" names not key %s, %s", hf_records_fault(), text, what);
}

/* ---- reading and writing ------------------------------------------------------------------------------------ */

static void written_is_read_before_and_after_opening_anew(void **state)
{
    struct world *w = *state;
    ok(put(w, "a", 0, "one"));
    ok(put(w, "a", 1, "two"));
    ok(put(w, "b", 0, ""));
    expect_plain(w, "a", "two");
    expect_plain(w, "b", "");
    ok(try_open(w));
    expect_plain(w, "a", "two");
    expect_plain(w, "b", "");
    uint64_t rev = 0;
    assert_true(hf_record_exists(w->records, HF_TABLE_KEY,
                                 hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text("a")), &rev));
    assert_int_equal(rev, 2);
    struct hf_records_stats stats;
    hf_records_stats(w->records, &stats);
    assert_int_equal(stats.count, 2);
    assert_int_equal(stats.feed_size, 3);
    assert_int_equal(hf_records_position(w->records), 3);
}

static void conditions_hold_or_nothing_is_written(void **state)
{
    struct world *w = *state;
    struct hf_record record;
    fails(put(w, "a", 1, "x"), CONFLICT);
    fails(load(w, "a", &record), NOT_FOUND);
    ok(put(w, "a", 0, "one"));
    fails(put(w, "a", 0, "x"), CONFLICT);
    fails(put(w, "a", 2, "x"), CONFLICT);
    fails(drop(w, "a", 2), CONFLICT);
    expect_plain(w, "a", "one");
    ok(drop(w, "a", 1));
    fails(load(w, "a", &record), NOT_FOUND);
    ok(put(w, "a", 0, "again"));
    expect_plain(w, "a", "again");
    ok(try_open(w));
    expect_plain(w, "a", "again");
}

static void transactions_are_whole(void **state)
{
    struct world *w = *state;
    struct hf_record record;
    ok(put(w, "a", 0, "one"));
    struct hf_txn *txn;
    struct hf_id a = hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text("a"));
    struct hf_id b = hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text("b"));
    uint8_t hash[32] = {1};
    const struct hf_store_op once = {.kind = HF_STORE_ONCE, .hash = hf_cursor(hash, 32)};
    struct hf_store_outcome outcome;
    for (unsigned round = 0; round < 2; round++) { /* the second time the request is known */
        ok(hf_txn_begin(w->records, &txn));
        ok(hf_txn_put(txn, HF_TABLE_KEY, a, 1 + round, NS, hf_cursor_text("a"), 1, 0, hf_cursor_text("two")));
        ok(hf_txn_put(txn, HF_TABLE_KEY, b, round, NS, hf_cursor_text("b"), 1, 0, hf_cursor_text("bee")));
        fails(hf_txn_put(txn, HF_TABLE_KEY, b, round, NS, hf_cursor_text("b"), 1, 0, NS), BAD_ARGUMENT);
        ok(hf_txn_add(txn, &once));
        hf_result result = hf_txn_commit(txn, &outcome);
        assert_int_equal(result.code, round == 0 ? HF_OK : HF_CONFLICT);
        hf_txn_freep(&txn);
    }
    assert_int_equal(outcome.failed_op, 0);
    expect_plain(w, "a", "two");
    expect_plain(w, "b", "bee");
    ok(hf_txn_begin(w->records, &txn)); /* one condition fails: neither is done */
    ok(hf_txn_delete(txn, HF_TABLE_KEY, a, 2));
    ok(hf_txn_delete(txn, HF_TABLE_KEY, b, 2));
    fails(hf_txn_commit(txn, &outcome), CONFLICT);
    assert_int_equal(outcome.failed_op, UINT32_MAX);
    hf_txn_freep(&txn);
    expect_plain(w, "a", "two");
    ok(hf_txn_begin(w->records, &txn));
    ok(hf_txn_delete(txn, HF_TABLE_KEY, a, 2));
    ok(hf_txn_delete(txn, HF_TABLE_KEY, b, 1));
    ok(hf_txn_commit(txn, &outcome));
    hf_txn_freep(&txn);
    fails(load(w, "a", &record), NOT_FOUND);
    ok(try_open(w));
    fails(load(w, "b", &record), NOT_FOUND);
}

static void large_records_pass(void **state)
{
    struct world *w = *state;
    size_t len = HF_STORE_RECORD_MAX - 100;
    char *text = malloc(len + 200);
    memset(text, 'x', len + 200);
    text[len + 199] = 0;
    fails(put(w, "large", 0, text), TOO_LARGE);
    text[len] = 0;
    ok(put(w, "large", 0, text));
    expect_plain(w, "large", text);
    free(text);
}

struct names {
    size_t count;
    char all[64][16];
};

static bool take_name(void *arg, struct hf_cursor name, struct hf_id id)
{
    struct names *n = arg;
    (void)id;
    snprintf(n->all[n->count++], 16, "%.*s", (int)name.left, (const char *)name.at);
    return n->count < 64;
}

static bool take_record(void *arg, const struct hf_record *record)
{
    struct names *n = arg;
    snprintf(n->all[n->count++], 16, "%.*s", (int)record->plain.left, (const char *)record->plain.at);
    return true;
}

static hf_result names(struct world *w, const char *prefix, const char *after, uint32_t limit,
                       struct names *ret)
{
    *ret = (struct names){0};
    return hf_record_names(w->records, HF_TABLE_KEY, NS, hf_cursor_text(prefix), hf_cursor_text(after), limit,
                           take_name, ret);
}

static void lists_are_ordered_and_paged(void **state)
{
    struct world *w = *state;
    struct names got;
    static const char *const all[] = {"web/b", "a", "web/a", "zebra", "web/c"};
    for (size_t i = 0; i < HF_ARRAY_LEN(all); i++)
        ok(put(w, all[i], 0, all[i]));
    ok(names(w, "", "", 100, &got));
    assert_int_equal(got.count, 5);
    assert_string_equal(got.all[0], "a");
    assert_string_equal(got.all[4], "zebra");
    ok(names(w, "web/", "", 2, &got));
    assert_int_equal(got.count, 2);
    assert_string_equal(got.all[1], "web/b");
    ok(names(w, "web/", "web/b", 2, &got));
    assert_int_equal(got.count, 1);
    assert_string_equal(got.all[0], "web/c");
    ok(drop(w, "web/b", 1));
    got = (struct names){0};
    ok(hf_record_each(w->records, HF_TABLE_KEY, take_record, &got));
    assert_int_equal(got.count, 4);
}

/* ---- what others do to the file ------------------------------------------------------------------------------------ */

static unsigned bad_count;
static void count_bad(void *arg, const char *what)
{
    (void)arg;
    (void)what;
    bad_count++;
}

static unsigned check_all(struct world *w)
{
    uint64_t checked;
    bad_count = 0;
    ok(hf_records_check(w->records, count_bad, NULL, &checked));
    return bad_count;
}

static void a_removed_row_is_named(void **state)
{
    struct world *w = *state;
    struct names got;
    ok(put(w, "a", 0, "one"));
    ok(put(w, "b", 0, "bee"));
    assert_int_equal(check_all(w), 0);
    tamper(w, "DELETE FROM record WHERE name=cast('a' as blob)");
    ok(try_open(w));
    expect_fault(w, "a", "removed");
    expect_plain(w, "b", "bee");
    fails(names(w, "", "", 100, &got), CORRUPT);
    assert_non_null(strstr(hf_records_fault(), "removed"));
    fails(hf_record_each(w->records, HF_TABLE_KEY, take_record, &got), CORRUPT);
    assert_int_equal(check_all(w), 1);
    struct hf_records_stats stats;
    hf_records_stats(w->records, &stats);
    assert_true(stats.corrupt_found >= 3);
    fails(put(w, "a", 1, "two"), CORRUPT); /* nor is it written over */
    assert_non_null(strstr(hf_records_fault(), "removed"));
    ok(put(w, "b", 1, "two"));
}

static void an_altered_row_is_named(void **state)
{
    struct world *w = *state;
    static const char *const how[] = {
        ("UPDATE record SET sealed=cast(substr(sealed,1,30)||x'00ff'||substr(sealed,33) as blob) WHERE "
         "name=cast('a' as blob)"),
        "UPDATE record SET state=2 WHERE name=cast('a' as blob)",
        "UPDATE record SET due=5 WHERE name=cast('a' as blob)",
        "UPDATE record SET ns=x'00' WHERE name=cast('a' as blob)",
        "UPDATE record SET name=cast('other' as blob) WHERE name=cast('a' as blob)",
    };
    ok(put(w, "a", 0, "one, long enough to have a middle"));
    ok(put(w, "b", 0, "bee"));
    tamper(w, "CREATE TABLE keep AS SELECT * FROM record");
    for (size_t i = 0; i < HF_ARRAY_LEN(how); i++) {
        tamper(w, how[i]);
        ok(try_open(w));
        expect_fault(w, "a", "altered");
        expect_plain(w, "b", "bee");
        assert_int_equal(check_all(w), 1);
        tamper(w, "DELETE FROM record; INSERT INTO record SELECT * FROM keep");
    }
    ok(try_open(w));
    expect_plain(w, "a", "one, long enough to have a middle");
    assert_int_equal(check_all(w), 0);
}

static void a_renamed_row_is_named_in_lists(void **state)
{
    struct world *w = *state;
    struct names got;
    ok(put(w, "a", 0, "one"));
    tamper(w, "UPDATE record SET name=cast('other' as blob)");
    ok(try_open(w));
    fails(names(w, "", "", 100, &got), CORRUPT);
    assert_non_null(strstr(hf_records_fault(), "altered"));
}

static void an_older_row_is_named(void **state)
{
    struct world *w = *state;
    ok(put(w, "a", 0, "one"));
    tamper(w, "CREATE TABLE keep AS SELECT * FROM record");
    ok(try_open(w));
    ok(put(w, "a", 1, "two"));
    ok(put(w, "a", 2, "three"));
    tamper(w, "DELETE FROM record; INSERT INTO record SELECT * FROM keep");
    ok(try_open(w));
    expect_fault(w, "a", "older revision 1, expected 3");
}

/* Two rows of the same name and revision were sealed at one time or other: only the last counts. */
static void an_exchanged_row_is_named(void **state)
{
    struct world *w = *state;
    ok(put(w, "a", 0, "one"));
    tamper(w, "CREATE TABLE keep AS SELECT * FROM record");
    ok(try_open(w));
    ok(drop(w, "a", 1));
    ok(put(w, "a", 0, "second life"));
    tamper(w, "DELETE FROM record; INSERT INTO record SELECT * FROM keep");
    ok(try_open(w));
    expect_fault(w, "a", "exchanged");
}

static void rows_that_changed_places_are_named(void **state)
{
    struct world *w = *state;
    ok(put(w, "a", 0, "one"));
    ok(put(w, "b", 0, "bee"));
    tamper(w, "CREATE TABLE keep AS SELECT * FROM record;"
              "UPDATE record SET sealed=(SELECT sealed FROM keep WHERE keep.name<>record.name)");
    ok(try_open(w));
    expect_fault(w, "a", "exchanged");
    expect_fault(w, "b", "exchanged");
    assert_int_equal(check_all(w), 2);
}

static void an_added_row_is_named(void **state)
{
    struct world *w = *state;
    struct names got;
    struct hf_record record;
    ok(put(w, "a", 0, "one"));
    tamper(w, "CREATE TABLE keep AS SELECT * FROM record");
    ok(try_open(w));
    ok(drop(w, "a", 1));
    tamper(w, "INSERT INTO record SELECT * FROM keep"); /* a deleted record comes back */
    ok(try_open(w));
    fails(load(w, "a", &record), NOT_FOUND); /* the feed proves that it is gone */
    fails(names(w, "", "", 100, &got), CORRUPT);
    assert_non_null(strstr(hf_records_fault(), "added"));
    fails(hf_record_each(w->records, HF_TABLE_KEY, take_record, &got), CORRUPT);
    assert_int_equal(check_all(w), 1);
    fails(put(w, "a", 0, "new"), CORRUPT);
    assert_non_null(strstr(hf_records_fault(), "added"));
}

static void a_feed_that_was_meddled_with_is_found_at_open(void **state)
{
    struct world *w = *state;
    static const char *const how[] = {
        "UPDATE change SET rev=rev+1",
        "UPDATE change SET tbl=6",
        "UPDATE change SET sealed=cast(x'01'||substr(sealed,2) as blob)",
        "UPDATE change SET id=x'000102030405060708090a0b0c0d0e0f'",
        "DELETE FROM change WHERE pos=(SELECT max(pos) FROM change)",
        "DELETE FROM change WHERE pos=(SELECT min(pos) FROM change)",
        "INSERT INTO change SELECT max(pos)+1,shard,seq+1,tbl,id,rev,sealed FROM change",
        "UPDATE change SET shard=shard+1 WHERE pos=(SELECT max(pos) FROM change)",
        "UPDATE change SET seq=seq+1 WHERE pos=(SELECT max(pos) FROM change)",
        "UPDATE head SET seq=seq+1",
        "UPDATE head SET sealed=cast(substr(sealed,1,40)||x'ffff'||substr(sealed,43) as blob)",
        "UPDATE head SET shard=shard+1 WHERE shard=(SELECT max(shard) FROM head)",
        "DELETE FROM head",
        "UPDATE head SET sealed=x''",
    };
    ok(put(w, "a", 0, "one"));
    ok(put(w, "a", 1, "two"));
    ok(put(w, "b", 0, "bee"));
    tamper(w, "CREATE TABLE h AS SELECT * FROM head; CREATE TABLE c AS SELECT * FROM change");
    for (size_t i = 0; i < HF_ARRAY_LEN(how); i++) {
        tamper(w, how[i]);
        hf_result result = try_open(w);
        if (result.code != HF_CORRUPT || strncmp(hf_records_fault(), "shard ", 6) != 0)
            fail_msg("%s: %s, \"%s\"", how[i], hf_code_name(result.code), hf_records_fault());
        tamper(
            w,
            "DELETE FROM head; INSERT INTO head SELECT * FROM h; DELETE FROM change; INSERT INTO change SELECT * "
            "FROM c");
    }
    ok(try_open(w));
    expect_plain(w, "a", "two");
}

/* A shard set back to a state it once had, head and feed and rows together: the others remember. */
static void a_shard_set_back_is_found(void **state)
{
    struct world *w = *state;
    ok(put(w, "a", 0, "one"));
    tamper(w, "CREATE TABLE h AS SELECT * FROM head; CREATE TABLE c AS SELECT * FROM change;"
              "CREATE TABLE r AS SELECT * FROM record");
    ok(try_open(w));
    ok(put(w, "a", 1, "two"));
    for (unsigned i = 0; i < 8; i++) { /* at least one in another shard */
        char name[8];
        snprintf(name, sizeof name, "n%u", i);
        ok(put(w, name, 0, "x"));
    }
    tamper(w, "DELETE FROM head WHERE shard IN (SELECT shard FROM h); INSERT INTO head SELECT * FROM h;"
              "DELETE FROM change WHERE shard IN (SELECT shard FROM h); INSERT INTO change SELECT * FROM c;"
              "DELETE FROM record WHERE id IN (SELECT id FROM r); INSERT INTO record SELECT * FROM r");
    fails(try_open(w), CORRUPT);
    assert_non_null(strstr(hf_records_fault(), "set back"));
    tamper(w, "DELETE FROM head WHERE shard IN (SELECT shard FROM h);"
              "DELETE FROM change WHERE shard IN (SELECT shard FROM h);"
              "DELETE FROM record WHERE id IN (SELECT id FROM r)");
    fails(try_open(w), CORRUPT); /* emptied altogether */
    assert_non_null(strstr(hf_records_fault(), "set back"));
}

/* A change that came with an entry of the audit log remembers how long the log was then. */
static hf_result put_with_entry(struct world *w, const char *name, struct hf_id log, uint64_t index)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    struct hf_id id = hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text(name));
    const struct hf_store_op leaf = {.kind = HF_STORE_AUDIT_APPEND,
                                     .row = {.id = log},
                                     .seq = index,
                                     .amount = 1,
                                     .blob = hf_cursor_text("leaf")};
    TRY(hf_txn_begin(w->records, &txn));
    TRY(hf_txn_put(txn, HF_TABLE_KEY, id, 0, NS, hf_cursor_text(name), 1, 0, hf_cursor_text("x")));
    TRY(hf_txn_add(txn, &leaf));
    return hf_txn_commit(txn, NULL);
}

static void how_long_the_audit_log_was_is_known(void **state)
{
    struct world *w = *state;
    const struct hf_id log = {{1}}, other = {{2}};
    ok(put(w, "before", 0, "one"));
    assert_int_equal(hf_records_audit_least(w->records, log), 0);
    ok(put_with_entry(w, "a", log, 7));
    ok(put_with_entry(w, "b", log, 9));
    ok(put_with_entry(w, "c", log, 8)); /* was begun before, and came after */
    fails(put_with_entry(w, "c", log, 30), CONFLICT);
    assert_int_equal(hf_records_audit_least(w->records, log), 10);
    assert_int_equal(hf_records_audit_least(w->records, other), 0);
    uint64_t position = hf_records_position(w->records);
    ok(try_open(w));
    assert_int_equal(hf_records_audit_least(w->records, log), 10);
    assert_int_equal(hf_records_position(w->records), position);
    ok(put(w, "b", 1, "two")); /* and is kept where no entry comes along */
    ok(try_open(w));
    assert_int_equal(hf_records_audit_least(w->records, log), 10);
    assert_int_equal(hf_records_position(w->records), position + 1);
    ok(drop(w, "b", 2));
    assert_int_equal(hf_records_position(w->records), position + 2); /* what is deleted is a change, too */
}

static void another_key_opens_nothing(void **state)
{
    struct world *w = *state;
    ok(put(w, "a", 0, "one"));
    hf_secret_free(w->record_key);
    ok(hf_secret_random(32, &w->record_key));
    fails(try_open(w), CORRUPT);
}

/* ---- many writers --------------------------------------------------------------------------------------------------- */

enum { WRITERS = 8, WRITES = 60 };
struct writer {
    struct world *world;
    unsigned number;
    unsigned won;
};

static void *write_main(void *arg)
{
    struct writer *self = arg;
    for (unsigned i = 0; i < WRITES; i++) {
        char name[24];
        snprintf(name, sizeof name, "w%u-%u", self->number, i);
        if (!HF_IS_OK(put(self->world, name, 0, name)))
            return NULL;
        self->won += HF_IS_OK(put(self->world, "common", i, "x")); /* one of all wins each revision */
        struct hf_record record;
        if (!HF_IS_OK(load(self->world, name, &record)))
            return NULL;
        hf_record_done(&record);
        hf_result common = load(self->world, "common", &record); /* while others write it */
        if (HF_IS_OK(common))
            hf_record_done(&record);
        else if (common.code != HF_NOT_FOUND)
            return NULL;
        while (!hf_record_exists(
            self->world->records, HF_TABLE_KEY,
            hf_record_id(self->world->records, HF_TABLE_KEY, NS, hf_cursor_text("common")), NULL))
            ;
    }
    return self;
}

static void many_writers_lose_nothing(void **state)
{
    struct world *w = *state;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){w, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_main, &writers[i]), 0);
    }
    unsigned won = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        void *done;
        pthread_join(threads[i], &done);
        assert_non_null(done);
        won += writers[i].won;
    }
    uint64_t rev = 0;
    struct hf_id common = hf_record_id(w->records, HF_TABLE_KEY, NS, hf_cursor_text("common"));
    assert_true(hf_record_exists(w->records, HF_TABLE_KEY, common, &rev));
    assert_int_equal(rev, won);
    assert_int_equal(hf_records_position(w->records), WRITERS * WRITES + won);
    assert_int_equal(check_all(w), 0);
    ok(try_open(w));
    assert_int_equal(check_all(w), 0);
    struct hf_records_stats stats;
    hf_records_stats(w->records, &stats);
    assert_int_equal(stats.count, WRITERS * WRITES + 1);
}

/* Two cores on one store: each takes in what the other wrote, and a write on an old view is a conflict. */
static void two_nodes_see_each_other(void **state)
{
    struct world *w = *state;
    struct world other = *w;
    ok(hf_records_open(w->store, w->record_key, w->index_key, &hf_clock_system, &other.records));
    ok(put(w, "a", 0, "one"));
    ok(put(&other, "b", 0, "bee"));
    fails(put(&other, "a", 0, "mine"), CONFLICT);
    ok(put(&other, "a", 1, "two"));
    fails(put(w, "a", 1, "mine"), CONFLICT);
    expect_plain(w, "a", "two");
    ok(put(w, "a", 2, "three"));
    expect_plain(&other, "a", "three");
    hf_records_close(other.records);
}

int main(void)
{
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)))
        return 1;
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(written_is_read_before_and_after_opening_anew),
        T(conditions_hold_or_nothing_is_written),
        T(transactions_are_whole),
        T(large_records_pass),
        T(lists_are_ordered_and_paged),
        T(a_removed_row_is_named),
        T(an_altered_row_is_named),
        T(a_renamed_row_is_named_in_lists),
        T(an_older_row_is_named),
        T(an_exchanged_row_is_named),
        T(rows_that_changed_places_are_named),
        T(an_added_row_is_named),
        T(a_feed_that_was_meddled_with_is_found_at_open),
        T(how_long_the_audit_log_was_is_known),
        T(a_shard_set_back_is_found),
        T(another_key_opens_nothing),
        T(many_writers_lose_nothing),
        T(two_nodes_see_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
