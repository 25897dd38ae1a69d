/* One suite for every store: the SQLite engine itself, and the same behind a process boundary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/backup.h"
#include "store/digest.h"
#include "store/doctor.h"
#include "store/server.h"
#include "store/store.h"

#define ok(call) assert_int_equal((call).code, HF_OK)
#define fails(call, symbol) assert_int_equal((call).code, HF_##symbol)
enum { LINKS = 12 };

/* ---- the world --------------------------------------------------------------------------------------------- */

struct world {
    bool remote;
    char dir[64], path[96];
    struct hf_store *store;  /* what is tested */
    struct hf_store *engine; /* behind it, where it is in this process */
    struct hf_store_server *server;
    pthread_t thread;
    int stop[2];
    pid_t child; /* the store process, where it is another */
};

static bool stop_now(void *arg)
{
    (void)arg;
    return false;
}

static void *serve_main(void *arg)
{
    struct world *w = arg;
    ok(hf_store_server_run(w->server));
    return NULL;
}

static void make_links(int ours[LINKS], int theirs[LINKS])
{
    for (unsigned i = 0; i < LINKS; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
}

static void start(struct world *w)
{
    if (!w->remote) {
        ok(hf_store_sqlite_open(w->path, &w->store));
        return;
    }
    int ours[LINKS], theirs[LINKS];
    make_links(ours, theirs);
    ok(hf_store_sqlite_open(w->path, &w->engine));
    ok(hf_store_server_new(w->engine, &w->server));
    for (unsigned i = 0; i < LINKS; i++)
        ok(hf_store_server_add(w->server, theirs[i]));
    assert_int_equal(pipe(w->stop), 0);
    ok(hf_store_server_watch(w->server, w->stop[0], stop_now, NULL));
    assert_int_equal(pthread_create(&w->thread, NULL, serve_main, w), 0);
    ok(hf_store_remote_open(ours, LINKS, &w->store));
}

static void stop(struct world *w)
{
    if (w->store == NULL)
        return;
    if (w->server != NULL) {
        close(w->stop[1]);
        pthread_join(w->thread, NULL);
        hf_store_server_free(w->server);
        close(w->stop[0]);
        w->server = NULL;
    }
    w->store->ops->close(w->store);
    if (w->engine != NULL)
        w->engine->ops->close(w->engine);
    w->store = w->engine = NULL;
}

static void restart(struct world *w)
{
    stop(w);
    start(w);
}

static struct world *world_new(bool remote)
{
    struct world *w = calloc(1, sizeof *w);
    w->remote = remote;
    snprintf(w->dir, sizeof w->dir, "/tmp/hf-store-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/db", w->dir);
    return w;
}

static int setup_sqlite(void **state)
{
    *state = world_new(false);
    start(*state);
    return 0;
}

static int setup_remote(void **state)
{
    *state = world_new(true);
    start(*state);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    stop(w);
    static const char *const ends[] = {"", "-wal", "-shm", ".copy", ".copy-wal", ".copy-shm", ".backup"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", w->path, ends[i]);
        unlink(name);
    }
    rmdir(w->dir);
    free(w);
    return 0;
}

/* ---- short forms -------------------------------------------------------------------------------------------- */

static struct hf_id id_of(uint64_t number)
{
    struct hf_id id = {{0}};
    hf_store_u64(id.bytes + 8, number);
    return id;
}

static struct hf_store_op put_op(uint16_t table, uint64_t number, uint64_t expect, const char *name,
                                 const char *sealed)
{
    return (struct hf_store_op){.kind = HF_STORE_PUT_IF,
                                .expect_rev = expect,
                                .row = {.table = table,
                                        .id = id_of(number),
                                        .rev = expect + 1,
                                        .ns = hf_cursor_text("namespace"),
                                        .name = hf_cursor_text(name),
                                        .state = 3,
                                        .due_ns = (int64_t)number * 10,
                                        .sealed = hf_cursor_text(sealed)}};
}

static hf_result one(struct world *w, struct hf_store_op op)
{
    return w->store->ops->commit(w->store, &op, 1, HF_DURABLE, NULL);
}

static hf_result put(struct world *w, uint64_t number, uint64_t expect, const char *sealed)
{
    char name[32];
    snprintf(name, sizeof name, "name-%03u", (unsigned)number);
    return one(w, put_op(5, number, expect, name, sealed));
}

static hf_result get(struct world *w, uint64_t number, char ret_sealed[64], uint64_t *ret_rev)
{
    uint8_t memory[1024];
    struct hf_buf space = hf_buf(memory, sizeof memory);
    struct hf_row row;
    TRY(w->store->ops->get(w->store, 5, id_of(number), &space, &row));
    if (ret_sealed != NULL)
        snprintf(ret_sealed, 64, "%.*s", (int)row.sealed.left, (const char *)row.sealed.at);
    if (ret_rev != NULL)
        *ret_rev = row.rev;
    return HF_DONE;
}

static struct hf_store_op audit_op(uint64_t log, uint64_t first, uint64_t count, struct hf_cursor blob)
{
    return (struct hf_store_op){.kind = HF_STORE_AUDIT_APPEND,
                                .row = {.id = id_of(log)},
                                .seq = first,
                                .amount = count,
                                .blob = blob};
}

/* ---- conditional writes --------------------------------------------------------------------------------------- */

static void rows_are_kept_whole(void **state)
{
    struct world *w = *state;
    ok(put(w, 1, 0, "sealed"));
    for (unsigned round = 0; round < 2; round++) {
        uint8_t memory[1024];
        struct hf_buf space = hf_buf(memory, sizeof memory);
        struct hf_row row;
        ok(w->store->ops->get(w->store, 5, id_of(1), &space, &row));
        assert_int_equal(row.table, 5);
        assert_int_equal(row.rev, 1);
        assert_int_equal(row.state, 3);
        assert_int_equal(row.due_ns, 10);
        assert_true(hf_cursor_is(row.ns, "namespace"));
        assert_true(hf_cursor_is(row.name, "name-001"));
        assert_true(hf_cursor_is(row.sealed, "sealed"));
        fails(w->store->ops->get(w->store, 6, id_of(1), &space, &row), NOT_FOUND);
        fails(w->store->ops->get(w->store, 5, id_of(2), &space, &row), NOT_FOUND);
        struct hf_buf small = hf_buf(memory, 4);
        fails(w->store->ops->get(w->store, 5, id_of(1), &small, &row), TOO_LARGE);
        restart(w);
    }
}

static void a_write_needs_its_revision(void **state)
{
    struct world *w = *state;
    char sealed[64];
    uint64_t rev;
    fails(put(w, 1, 1, "x"), CONFLICT);
    ok(put(w, 1, 0, "one"));
    fails(put(w, 1, 0, "x"), CONFLICT);
    fails(put(w, 1, 2, "x"), CONFLICT);
    ok(put(w, 1, 1, "two"));
    ok(get(w, 1, sealed, &rev));
    assert_string_equal(sealed, "two");
    assert_int_equal(rev, 2);
    struct hf_store_op del = {.kind = HF_STORE_DEL_IF, .expect_rev = 1, .row = {.table = 5, .id = id_of(1)}};
    fails(one(w, del), CONFLICT);
    del.expect_rev = 2;
    ok(one(w, del));
    fails(one(w, del), CONFLICT);
    fails(get(w, 1, NULL, NULL), NOT_FOUND);
    ok(put(w, 1, 0, "three"));
}

static void a_transaction_is_done_whole_or_not(void **state)
{
    struct world *w = *state;
    char sealed[64];
    ok(put(w, 2, 0, "there"));
    struct hf_store_op ops[] = {put_op(5, 1, 0, "a", "one"), put_op(5, 2, 0, "b", "two"),
                                put_op(5, 3, 0, "c", "3")};
    struct hf_store_outcome outcome;
    fails(w->store->ops->commit(w->store, ops, 3, HF_DURABLE, &outcome), CONFLICT);
    assert_int_equal(outcome.failed_op, 1);
    fails(get(w, 1, NULL, NULL), NOT_FOUND);
    ops[1] = put_op(5, 2, 1, "b", "two");
    ok(w->store->ops->commit(w->store, ops, 3, HF_DURABLE, &outcome));
    ok(get(w, 1, NULL, NULL));
    ok(get(w, 2, sealed, NULL));
    assert_string_equal(sealed, "two");
}

static void malformed_transactions_are_refused(void **state)
{
    struct world *w = *state;
    static uint8_t large[HF_STORE_RECORD_MAX + 1];
    struct hf_store_op op = put_op(5, 1, 0, "a", "x");
    op.row.rev = 7;
    fails(one(w, op), BAD_ARGUMENT);
    op = put_op(5, 1, 0, "a", "x");
    op.row.sealed = hf_cursor(large, sizeof large);
    fails(one(w, op), TOO_LARGE);
    op.row.sealed = hf_cursor(large, sizeof large - 1);
    ok(one(w, op));
    uint8_t memory[1024];
    struct hf_buf space = hf_buf(memory, sizeof memory);
    struct hf_row row;
    fails(w->store->ops->get(w->store, 5, id_of(1), &space, &row), TOO_LARGE);
    uint8_t *room = malloc(HF_STORE_RECORD_MAX + 1024);
    space = hf_buf(room, HF_STORE_RECORD_MAX + 1024);
    ok(w->store->ops->get(w->store, 5, id_of(1), &space, &row));
    assert_int_equal(row.sealed.left, HF_STORE_RECORD_MAX);
    free(room);
    op = put_op(5, 2, 0, "a", "x");
    op.row.name = hf_cursor(large, HF_STORE_NAME_MAX + 1);
    fails(one(w, op), TOO_LARGE);
    op.kind = (enum hf_store_op_kind)99;
    fails(one(w, op), BAD_ARGUMENT);
    fails(one(w, (struct hf_store_op){.kind = HF_STORE_HEAD_CAS, .shard = HF_STORE_SHARDS, .seq = 1}),
          BAD_ARGUMENT);
    fails(one(w, (struct hf_store_op){.kind = HF_STORE_ONCE, .hash = hf_cursor(large, 31)}), BAD_ARGUMENT);
    struct hf_store_op many[HF_STORE_TXN_OPS_MAX + 1] = {{0}};
    fails(w->store->ops->commit(w->store, many, HF_ARRAY_LEN(many), HF_DURABLE, NULL), TOO_LARGE);
}

static void heads_move_by_compare_and_swap(void **state)
{
    struct world *w = *state;
    uint8_t memory[256];
    struct hf_buf space = hf_buf(memory, sizeof memory);
    struct hf_cursor blob;
    uint64_t seq = 9;
    ok(w->store->ops->head_get(w->store, 7, &space, &seq, &blob));
    assert_int_equal(seq, 0);
    assert_int_equal(blob.left, 0);
    struct hf_store_op head = {.kind = HF_STORE_HEAD_CAS, .shard = 7, .seq = 2, .blob = hf_cursor_text("h2")};
    ok(one(w, head));
    fails(one(w, head), CONFLICT);
    head.expect_rev = 1;
    fails(one(w, head), CONFLICT);
    head.expect_rev = 2;
    head.seq = 3;
    head.blob = hf_cursor_text("h3");
    ok(one(w, head));
    ok(w->store->ops->head_get(w->store, 7, &space, &seq, &blob));
    assert_int_equal(seq, 3);
    assert_true(hf_cursor_is(blob, "h3"));
    ok(w->store->ops->head_get(w->store, 8, &space, &seq, &blob));
    assert_int_equal(seq, 0);
}

struct seen {
    uint64_t numbers[20000];
    size_t count, stop_at;
    char last[64];
};

static bool see_change(void *arg, const struct hf_change *change)
{
    struct seen *s = arg;
    s->numbers[s->count++] = change->seq;
    snprintf(s->last, sizeof s->last, "%.*s/%u/%u", (int)change->blob.left, (const char *)change->blob.at,
             change->table, (unsigned)change->rev);
    return s->count != s->stop_at;
}

static hf_result feed(struct world *w, uint16_t shard, uint64_t seq, uint64_t head)
{
    struct hf_store_op ops[] = {
        {.kind = HF_STORE_HEAD_CAS, .shard = shard, .expect_rev = head - 1, .seq = head},
        {.kind = HF_STORE_FEED_APPEND,
         .shard = shard,
         .seq = seq,
         .row = {.table = shard, .id = id_of(seq), .rev = seq + 1},
         .blob = hf_cursor_text("leaf")},
    };
    return w->store->ops->commit(w->store, ops, 2, HF_DURABLE, NULL);
}

static bool see_place(void *arg, const struct hf_change *change)
{
    struct seen *s = arg;
    s->numbers[s->count++] = change->at;
    snprintf(s->last, sizeof s->last, "%u/%u", change->shard, (unsigned)change->seq);
    return s->count != s->stop_at;
}

static void the_feed_is_read_in_order(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    for (uint64_t seq = 1; seq <= 300; seq++) {
        ok(feed(w, 0, seq, seq));
        ok(feed(w, 63, seq, seq));
    }
    fails(feed(w, 0, 300, 300), CONFLICT);     /* the head has moved on */
    fails(feed(w, 0, 300, 301), BAD_ARGUMENT); /* and makes room for 301 alone */
    fails(feed(w, 0, 302, 301), BAD_ARGUMENT);
    fails(one(w, (struct hf_store_op){.kind = HF_STORE_FEED_APPEND, .shard = 0, .seq = 301}), BAD_ARGUMENT);
    ok(w->store->ops->feed_since(w->store, 63, 0, 1000, see_change, s));
    assert_int_equal(s->count, 300);
    for (size_t i = 0; i < s->count; i++)
        assert_int_equal(s->numbers[i], i + 1);
    assert_string_equal(s->last, "leaf/63/301");
    s->count = 0;
    ok(w->store->ops->feed_since(w->store, 0, 290, 5, see_change, s));
    assert_int_equal(s->count, 5);
    assert_int_equal(s->numbers[0], 291);
    s->count = 0;
    ok(w->store->ops->feed_since(w->store, 0, 300, 5, see_change, s));
    ok(w->store->ops->feed_since(w->store, 5, 0, 5, see_change, s));
    assert_int_equal(s->count, 0);
    s->stop_at = 2;
    ok(w->store->ops->feed_since(w->store, 0, 0, 1000, see_change, s));
    assert_int_equal(s->count, 2);
    s->count = s->stop_at = 0;
    ok(w->store->ops->feed_each(w->store, 0, 100000, see_place, s)); /* of all shards */
    assert_int_equal(s->count, 600);
    assert_string_equal(s->last, "63/300");
    uint64_t middle = s->numbers[399];
    s->count = 0;
    ok(w->store->ops->feed_each(w->store, middle, 150, see_place, s));
    assert_int_equal(s->count, 150);
    assert_true(s->numbers[0] > middle);
    free(s);
}

static void once_is_once(void **state)
{
    struct world *w = *state;
    uint8_t hash[32] = {1};
    struct hf_store_op op = {.kind = HF_STORE_ONCE, .hash = hf_cursor(hash, 32), .expires_ns = INT64_MAX};
    ok(one(w, op));
    fails(one(w, op), CONFLICT);
    hash[0] = 2;
    op.expires_ns = 1; /* long past: forgotten when the next comes */
    ok(one(w, op));
    ok(one(w, op));
    hash[0] = 3;
    op.expires_ns = 0; /* never */
    ok(one(w, op));
    fails(one(w, op), CONFLICT);
    struct hf_store_op both[] = {op, put_op(5, 1, 0, "a", "x")};
    fails(w->store->ops->commit(w->store, both, 2, HF_DURABLE, NULL), CONFLICT);
    fails(get(w, 1, NULL, NULL), NOT_FOUND);
}

static void reservations_add_up(void **state)
{
    struct world *w = *state;
    struct hf_store_outcome outcome;
    struct hf_store_op op = {.kind = HF_STORE_RESERVE, .row = {.id = id_of(1)}, .amount = 1024};
    for (uint64_t i = 1; i <= 3; i++) {
        ok(w->store->ops->commit(w->store, &op, 1, HF_DURABLE, &outcome));
        assert_int_equal(outcome.result, 1024 * i);
    }
    op.amount = INT64_MAX - 5000;
    ok(w->store->ops->commit(w->store, &op, 1, HF_DURABLE, &outcome));
    fails(w->store->ops->commit(w->store, &op, 1, HF_DURABLE, &outcome), TOO_LARGE); /* does not wrap */
    op.row.id = id_of(2);
    op.amount = 1;
    ok(w->store->ops->commit(w->store, &op, 1, HF_DURABLE, &outcome));
    assert_int_equal(outcome.result, 1);
}

static bool see_job(void *arg, const struct hf_job *job)
{
    struct seen *s = arg;
    s->numbers[s->count++] = job->fence;
    snprintf(s->last, sizeof s->last, "%.*s", (int)job->cursor.left, (const char *)job->cursor.at);
    return true;
}

static void a_job_has_one_owner(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    struct hf_store_op job = {.kind = HF_STORE_JOB_PUT,
                              .seq = 1,
                              .row = {.id = id_of(1), .due_ns = 50},
                              .blob = hf_cursor_text("start")};
    ok(one(w, job));
    fails(one(w, job), CONFLICT);
    struct hf_store_op claim = job;
    claim.expect_rev = 1;
    claim.seq = 2;
    ok(one(w, claim));
    fails(one(w, claim), CONFLICT); /* the second claimant */
    struct hf_store_op step = job;
    step.expect_rev = step.seq = 1;
    fails(one(w, step), CONFLICT); /* the former owner */
    step.expect_rev = step.seq = 2;
    step.blob = hf_cursor_text("half");
    ok(one(w, step));
    ok(w->store->ops->job_list(w->store, 51, 10, see_job, s));
    assert_int_equal(s->count, 1);
    assert_int_equal(s->numbers[0], 2);
    assert_string_equal(s->last, "half");
    s->count = 0;
    ok(w->store->ops->job_list(w->store, 50, 10, see_job, s));
    assert_int_equal(s->count, 0);
    struct hf_store_op done = {.kind = HF_STORE_JOB_DEL, .expect_rev = 1, .row = {.id = id_of(1)}};
    fails(one(w, done), CONFLICT);
    done.expect_rev = 2;
    ok(one(w, done));
    free(s);
}

static bool see_node(void *arg, const struct hf_node *node)
{
    struct seen *s = arg;
    s->numbers[s->count++] = node->beat;
    return true;
}

static void a_cloned_node_loses_its_beat(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    struct hf_store_op beat = {.kind = HF_STORE_BEAT, .row = {.id = id_of(9)}, .blob = hf_cursor_text("n")};
    ok(one(w, beat));
    fails(one(w, beat), CONFLICT);
    beat.expect_rev = 1;
    ok(one(w, beat));
    fails(one(w, beat), CONFLICT);
    ok(w->store->ops->node_list(w->store, see_node, s));
    assert_int_equal(s->count, 1);
    assert_int_equal(s->numbers[0], 2);
    free(s);
}

/* ---- audit --------------------------------------------------------------------------------------------------------- */

static bool see_batch(void *arg, const struct hf_audit_batch *batch)
{
    struct seen *s = arg;
    s->numbers[s->count++] = batch->first;
    snprintf(s->last, sizeof s->last, "%u:%.*s", (unsigned)batch->count,
             (int)HF_MIN(batch->blob.left, (size_t)40), (const char *)batch->blob.at);
    return s->count != s->stop_at;
}

static size_t read_audit(struct world *w, uint64_t log, uint64_t from, uint32_t limit, struct seen *s)
{
    s->count = 0;
    ok(w->store->ops->audit_read(w->store, id_of(log), from, limit, see_batch, s));
    return s->count;
}

static void audit_batches_are_appended_and_read(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    assert_int_equal(read_audit(w, 1, 0, 10, s), 0);
    ok(one(w, audit_op(1, 0, 10, hf_cursor_text("first"))));
    ok(one(w, audit_op(1, 20, 5, hf_cursor_text("third")))); /* threads come in any order */
    ok(one(w, audit_op(1, 10, 10, hf_cursor_text("second"))));
    ok(one(w, audit_op(2, 0, 3, hf_cursor_text("another log"))));
    ok(one(w, audit_op(1, 10, 10, hf_cursor_text("second")))); /* the same again */
    fails(one(w, audit_op(1, 10, 10, hf_cursor_text("forged"))), CONFLICT);
    fails(one(w, audit_op(1, 10, 9, hf_cursor_text("second"))), CONFLICT);
    assert_int_equal(read_audit(w, 1, 0, 10, s), 3);
    assert_int_equal(s->numbers[1], 10);
    assert_int_equal(s->numbers[2], 20);
    assert_string_equal(s->last, "5:third");
    assert_int_equal(read_audit(w, 1, 13, 10, s), 2); /* the one that holds 13, and the next */
    assert_int_equal(s->numbers[0], 10);
    assert_int_equal(read_audit(w, 1, 24, 10, s), 1);
    assert_int_equal(read_audit(w, 1, 25, 10, s), 0);
    assert_int_equal(read_audit(w, 1, 0, 2, s), 2);
    assert_int_equal(read_audit(w, 2, 0, 10, s), 1);
    assert_int_equal(read_audit(w, 3, 0, 10, s), 0);

    uint8_t memory[256];
    struct hf_buf space = hf_buf(memory, sizeof memory);
    struct hf_cursor blob;
    uint64_t size;
    struct hf_store_op head = {
        .kind = HF_STORE_AUDIT_HEAD, .row = {.id = id_of(1)}, .seq = 20, .blob = hf_cursor_text("signed")};
    ok(one(w, head));
    fails(one(w, head), CONFLICT);
    head.expect_rev = head.seq = 20; /* signed again */
    head.blob = hf_cursor_text("again");
    ok(one(w, head));
    ok(w->store->ops->audit_head_get(w->store, id_of(1), &space, &size, &blob));
    assert_int_equal(size, 20);
    assert_true(hf_cursor_is(blob, "again"));
    ok(w->store->ops->audit_head_get(w->store, id_of(2), &space, &size, &blob));
    assert_int_equal(size, 0);
    head = (struct hf_store_op){
        .kind = HF_STORE_AUDIT_HEAD, .row = {.id = id_of(2)}, .blob = hf_cursor_text("empty")};
    ok(one(w, head));
    ok(one(w, head)); /* of size 0 */
    free(s);
}

static void lazy_ones_are_there_after_a_barrier(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    for (uint64_t i = 0; i < 2000; i++) {
        const struct hf_store_op op = audit_op(1, i * 2, 2, hf_cursor_text("leaf and another"));
        ok(w->store->ops->commit(w->store, &op, 1, HF_LAZY, NULL));
    }
    ok(w->store->ops->commit(w->store, NULL, 0, HF_DURABLE, NULL));
    assert_int_equal(read_audit(w, 1, 0, 10000, s), 2000);
    for (size_t i = 0; i < s->count; i++)
        assert_int_equal(s->numbers[i], 2 * i);
    const struct hf_store_op late = audit_op(1, 4000, 1, hf_cursor_text("late"));
    ok(w->store->ops->commit(w->store, &late, 1, HF_LAZY, NULL));
    usleep(60000); /* without a barrier they are synced soon */
    assert_int_equal(read_audit(w, 1, 4000, 10, s), 1);
    const struct hf_store_op last = audit_op(1, 4001, 1, hf_cursor_text("last"));
    ok(w->store->ops->commit(w->store, &last, 1, HF_LAZY, NULL));
    restart(w); /* a closing store keeps what it took */
    assert_int_equal(read_audit(w, 1, 4001, 10, s), 1);
    free(s);
}

static void a_lazy_conflict_harms_no_other(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    ok(one(w, audit_op(1, 1, 1, hf_cursor_text("there"))));
    for (uint64_t i = 0; i < 3; i++) {
        const struct hf_store_op op = audit_op(1, i, 1, hf_cursor_text("new"));
        ok(w->store->ops->commit(w->store, &op, 1, HF_LAZY, NULL));
    }
    ok(w->store->ops->commit(w->store, NULL, 0, HF_DURABLE, NULL));
    assert_int_equal(read_audit(w, 1, 0, 10, s), 3);
    assert_int_equal(read_audit(w, 1, 1, 1, s), 1);
    assert_string_equal(s->last, "1:there");
    free(s);
}

/* ---- lists ------------------------------------------------------------------------------------------------------------ */

static bool see_row(void *arg, const struct hf_row *row)
{
    struct seen *s = arg;
    struct hf_cursor id = hf_cursor(row->id.bytes + 8, 8);
    (void)hf_cursor_u64(&id, &s->numbers[s->count++]);
    snprintf(s->last, sizeof s->last, "%.*s=%.*s", (int)row->name.left, (const char *)row->name.at,
             (int)HF_MIN(row->sealed.left, (size_t)20), (const char *)row->sealed.at);
    return s->count != s->stop_at;
}

static size_t list(struct world *w, const struct hf_list_query *query, struct seen *s)
{
    s->count = 0;
    ok(w->store->ops->list(w->store, query, see_row, s));
    return s->count;
}

static void lists_have_an_order_and_pages(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    for (uint64_t i = 1; i <= 9; i++)
        ok(put(w, i, 0, "x"));
    struct hf_store_op op = put_op(5, 100, 0, "name-005", "twin"); /* the same name again */
    op.row.due_ns = 50;                                            /* and the same due time */
    ok(one(w, op));
    op = put_op(5, 101, 0, "name-005", "stranger");
    op.row.ns = hf_cursor_text("elsewhere");
    op.row.due_ns = 0;
    ok(one(w, op));
    ok(one(w, put_op(6, 1, 0, "name-001", "other table")));

    struct hf_list_query query = {.table = 5, .ns = hf_cursor_text("namespace"), .limit = 100};
    assert_int_equal(list(w, &query, s), 10);
    assert_int_equal(s->numbers[4], 5);
    assert_int_equal(s->numbers[5], 100);
    assert_string_equal(s->last, "name-009=x");
    query.without_sealed = true;
    query.limit = 3;
    assert_int_equal(list(w, &query, s), 3);
    assert_string_equal(s->last, "name-003=");
    query.after = hf_cursor_text("name-003");
    assert_int_equal(list(w, &query, s), 3);
    assert_int_equal(s->numbers[2], 100);
    struct hf_id fifth = id_of(5);
    query.after = hf_cursor_text("name-005"); /* from the first of two equals */
    query.after_id = hf_cursor(fifth.bytes, 16);
    assert_int_equal(list(w, &query, s), 3);
    assert_int_equal(s->numbers[0], 100);
    query.after_id = (struct hf_cursor){0};
    assert_int_equal(list(w, &query, s), 3);
    assert_int_equal(s->numbers[0], 6);

    query = (struct hf_list_query){.table = 5, .ns = hf_cursor_text("namespace"), .limit = 100};
    query.prefix = hf_cursor_text("name-00");
    assert_int_equal(list(w, &query, s), 10);
    query.prefix = hf_cursor_text("name-007");
    assert_int_equal(list(w, &query, s), 1);
    query.after = hf_cursor_text("a"); /* before the prefix */
    assert_int_equal(list(w, &query, s), 1);
    query.prefix = hf_cursor("name-\xff\xff", 7);
    assert_int_equal(list(w, &query, s), 0);
    query = (struct hf_list_query){.table = 5, .limit = 100};
    assert_int_equal(list(w, &query, s), 11); /* every namespace */
    query.order = HF_LIST_BY_ID;
    assert_int_equal(list(w, &query, s), 11);
    query.after = hf_cursor(fifth.bytes, 16);
    assert_int_equal(list(w, &query, s), 6);
    query.ns = hf_cursor_text("elsewhere");
    assert_int_equal(list(w, &query, s), 1);

    uint8_t due[8];
    query = (struct hf_list_query){.table = 5, .order = HF_LIST_BY_DUE, .due_before_ns = 61, .limit = 100};
    assert_int_equal(list(w, &query, s), 7);
    assert_int_equal(s->numbers[4], 5);
    assert_int_equal(s->numbers[5], 100);
    hf_store_u64(due, 50);
    query.after = hf_cursor(due, 8);
    assert_int_equal(list(w, &query, s), 1);
    query.after_id = hf_cursor(fifth.bytes, 16);
    assert_int_equal(list(w, &query, s), 2);
    query.due_before_ns = 10;
    query.after = query.after_id = (struct hf_cursor){0};
    assert_int_equal(list(w, &query, s), 0);
    s->stop_at = 2;
    query = (struct hf_list_query){.table = 5, .limit = 100};
    assert_int_equal(list(w, &query, s), 2);
    query.limit = HF_STORE_LIST_MAX + 1;
    fails(w->store->ops->list(w->store, &query, see_row, s), TOO_LARGE);
    free(s);
}

/* Many rows that fit no frame together come all the same, each once. */
static void long_lists_come_in_several_frames(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    static char text[400 << 10];
    memset(text, 'x', sizeof text - 1);
    for (uint64_t i = 0; i < 60; i++) {
        ok(one(w, put_op(5, i, 0, i % 3 == 0 ? "same" : "name", text)));
        ok(one(w, audit_op(1, i, 1, hf_cursor_text(text))));
    }
    for (int order = HF_LIST_BY_NAME; order <= HF_LIST_BY_DUE; order++) {
        const struct hf_list_query query = {
            .table = 5, .order = (enum hf_list_order)order, .limit = 1000, .due_before_ns = INT64_MAX};
        size_t want = order == HF_LIST_BY_DUE ? 59 : 60; /* the first is due at 0: never */
        assert_int_equal(list(w, &query, s), want);
        uint8_t times[60] = {0};
        for (size_t i = 0; i < s->count; i++)
            times[s->numbers[i]]++;
        for (size_t i = 60 - want; i < 60; i++)
            assert_int_equal(times[i], 1);
    }
    const struct hf_list_query some = {.table = 5, .limit = 41};
    assert_int_equal(list(w, &some, s), 41);
    assert_int_equal(read_audit(w, 1, 0, 1000, s), 60);
    assert_int_equal(read_audit(w, 1, 10, 45, s), 45);
    assert_int_equal(s->numbers[44], 54);
    free(s);
}

struct nested {
    struct world *world;
    size_t count;
};

static bool read_within(void *arg, const struct hf_row *row)
{
    struct nested *n = arg;
    char sealed[64];
    (void)row;
    ok(get(n->world, 1, sealed, NULL));
    ok(put(n->world, 1000 + n->count, 0, "made within"));
    n->count++;
    return true;
}

static void calls_may_be_made_within_a_list(void **state)
{
    struct world *w = *state;
    for (uint64_t i = 1; i <= 5; i++)
        ok(put(w, i, 0, "x"));
    struct nested n = {w, 0};
    const struct hf_list_query query = {.table = 5, .ns = hf_cursor_text("namespace"), .limit = 100};
    ok(w->store->ops->list(w->store, &query, read_within, &n));
    assert_int_equal(n.count, 5); /* of the state in which it began */
}

/* ---- many at once -------------------------------------------------------------------------------------------------------- */

enum { CLIENTS = 16, ROUNDS = 100 };
struct client {
    struct world *world;
    uint64_t number;
    unsigned won;
    bool fine;
};

static void *client_main(void *arg)
{
    struct client *c = arg;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        if (!HF_IS_OK(put(c->world, 1000000 * (c->number + 1) + i, 0, "own")))
            return NULL;
        hf_result common = put(c->world, 7, i, "common"); /* one wins */
        if (!HF_IS_OK(common) && common.code != HF_CONFLICT)
            return NULL;
        c->won += HF_IS_OK(common);
        if (!HF_IS_OK(get(c->world, 1000000 * (c->number + 1) + i, NULL, NULL)))
            return NULL;
        uint64_t rev = 0;
        while (rev < i + 1) {
            if (!HF_IS_OK(get(c->world, 7, NULL, &rev)))
                return NULL;
        }
    }
    c->fine = true;
    return NULL;
}

static void conflicts_of_one_harm_no_other(void **state)
{
    struct world *w = *state;
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    unsigned won = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){w, i, 0, false};
        assert_int_equal(pthread_create(&threads[i], NULL, client_main, &clients[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(clients[i].fine);
        won += clients[i].won;
    }
    assert_int_equal(won, ROUNDS);
}

/* ---- backup ------------------------------------------------------------------------------------------------------------------ */

static void fill_some(struct world *w)
{
    for (uint64_t i = 1; i <= 50; i++)
        ok(put(w, i, 0, "row"));
    ok(one(w, audit_op(1, 0, 10, hf_cursor_text("leaves"))));
    ok(one(w, (struct hf_store_op){.kind = HF_STORE_RESERVE, .row = {.id = id_of(1)}, .amount = 77}));
}

static void a_backup_restores_everything(void **state)
{
    struct world *w = *state;
    struct seen *s = calloc(1, sizeof *s);
    char backup[128], copy[128];
    snprintf(backup, sizeof backup, "%s.backup", w->path);
    snprintf(copy, sizeof copy, "%s.copy", w->path);
    fill_some(w);
    ok(one(w, (struct hf_store_op){
                  .kind = HF_STORE_HEAD_CAS, .shard = 3, .seq = 1, .blob = hf_cursor_text("h")}));
    struct hf_store_info before, after;
    ok(w->store->ops->info(w->store, &before));
    assert_string_equal(before.engine, "sqlite");
    assert_int_equal(before.schema, 1);
    assert_int_equal(strlen(before.cluster_id), HF_ID_TEXT_LEN);
    int fd = open(backup, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (unsigned way = 0; way < 2; way++) { /* through the store, and beside it from the file */
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(ftruncate(fd, 0), 0);
        ok(way == 0 ? w->store->ops->backup(w->store, hf_backup_to_fd, &fd)
                    : hf_backup_file(w->path, fd, NULL, NULL));
        struct hf_restored restored;
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        unlink(copy);
        ok(hf_restore_file(fd, copy, &restored));
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        fails(hf_restore_file(fd, copy, &restored), EXISTS);
        struct hf_store *store;
        ok(hf_store_sqlite_open(copy, &store));
        struct world other = {.store = store};
        char sealed[64];
        ok(get(&other, 50, sealed, NULL));
        assert_string_equal(sealed, "row");
        assert_int_equal(read_audit(&other, 1, 0, 10, s), 1);
        ok(store->ops->info(store, &after));
        assert_string_equal(before.cluster_id, after.cluster_id);
        ok(put(&other, 50, 1, "goes on"));
        store->ops->close(store);
    }
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    unlink(copy);
    for (off_t at = 0; at < st.st_size; at += 97) { /* damage anywhere is found */
        uint8_t was, now;
        assert_int_equal(pread(fd, &was, 1, at), 1);
        now = was ^ 0x41;
        assert_int_equal(pwrite(fd, &now, 1, at), 1);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        struct hf_restored restored;
        assert_int_not_equal(hf_restore_file(fd, copy, &restored).code, HF_OK);
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
        assert_int_not_equal(access(copy, F_OK), 0);
    }
    assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    struct hf_restored restored;
    fails(hf_restore_file(fd, copy, &restored), TRUNCATED);
    close(fd);
    free(s);
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------------------------ */

static void a_second_server_is_kept_out(void **state)
{
    struct world *w = *state;
    struct hf_store *second;
    fails(hf_store_sqlite_open(w->path, &second), STORE_BUSY);
    struct stat st;
    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void another_programs_lock_is_an_error_that_passes(void **state)
{
    struct world *w = *state;
    sqlite3 *db;
    ok(put(w, 1, 0, "before"));
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    fails(put(w, 2, 0, "x"), STORE_BUSY);
    ok(get(w, 1, NULL, NULL)); /* what can be answered is */
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    ok(put(w, 2, 0, "x"));
    sqlite3_close(db);
}

static char filler[16 << 10];

static hf_result fill_till_it_fails(struct world *w, uint64_t *ret_count)
{
    memset(filler, 'f', sizeof filler - 1);
    hf_result result = HF_DONE;
    for (*ret_count = 0; HF_IS_OK(result) && *ret_count < 10000; (*ret_count)++)
        result = one(w, put_op(7, *ret_count, 0, "filler", filler));
    (*ret_count)--;
    return result;
}

static void check_full(struct world *w, uint64_t count)
{
    char sealed[64];
    assert_true(count > 0);
    ok(get(w, 1, sealed, NULL));
    assert_string_equal(sealed, "before");
    fails(one(w, put_op(7, count, 0, "filler", filler)), STORE_FULL);
    /* Lazy ones are taken once, and refused from when the store has said so. */
    hf_result lazy = HF_DONE;
    for (uint64_t i = 0; i < 100 && HF_IS_OK(lazy); i++) {
        const struct hf_store_op op = audit_op(1, i, 1, hf_cursor_text(filler));
        lazy = w->store->ops->commit(w->store, &op, 1, HF_LAZY, NULL);
        usleep(20000);
    }
    assert_int_equal(lazy.code, HF_STORE_FULL);
    fails(w->store->ops->commit(w->store, NULL, 0, HF_DURABLE, NULL), STORE_FULL);
}

static void check_recovered(struct world *w, uint64_t count)
{
    struct seen *s = calloc(1, sizeof *s);
    hf_result barrier = HF_FAIL(STORE_FULL);
    for (unsigned i = 0; i < 100 && !HF_IS_OK(barrier); i++) { /* by itself, within moments */
        usleep(20000);
        barrier = w->store->ops->commit(w->store, NULL, 0, HF_DURABLE, NULL);
    }
    ok(barrier);
    assert_true(read_audit(w, 1, 0, 200, s) > 0); /* what was taken has been written */
    ok(one(w, put_op(7, count, 0, "filler", "there")));
    const struct hf_store_op op = audit_op(1, 500, 1, hf_cursor_text("leaf"));
    ok(w->store->ops->commit(w->store, &op, 1, HF_LAZY, NULL));
    free(s);
}

static void a_limit_on_the_file_is_as_a_full_disk(void **state)
{
    struct world *w = *state;
    struct rlimit was, now;
    uint64_t count;
    ok(put(w, 1, 0, "before"));
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    now = was;
    now.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
    hf_result result = fill_till_it_fails(w, &count);
    if (result.code == HF_STORE_FULL)
        check_full(w, count);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(result.code, HF_STORE_FULL);
    check_recovered(w, count);
}

/* A file system of a megabyte, where this test may mount one. */
static bool small_disk(struct world *w, const char *options)
{
    stop(w);
    unlink(w->path);
    if (mount("none", w->dir, "tmpfs", 0, options) == 0)
        return true;
    start(w);
    return false;
}

static void leave_disk(struct world *w)
{
    stop(w);
    assert_int_equal(umount(w->dir), 0);
    start(w); /* for what comes after */
}

static void a_full_disk_is_an_error_that_passes(void **state)
{
    struct world *w = *state;
    uint64_t count;
    if (!small_disk(w, "size=2m")) {
        skip();
        return;
    }
    start(w);
    ok(put(w, 1, 0, "before"));
    fails(fill_till_it_fails(w, &count), STORE_FULL);
    check_full(w, count);
    assert_int_equal(mount("none", w->dir, "tmpfs", MS_REMOUNT, "size=16m"), 0);
    check_recovered(w, count);
    restart(w);
    ok(get(w, 1, NULL, NULL));
    leave_disk(w);
}

static void a_disk_that_is_read_only_is_read(void **state)
{
    struct world *w = *state;
    struct hf_store_info info;
    if (!small_disk(w, "size=8m")) {
        skip();
        return;
    }
    start(w);
    ok(put(w, 1, 0, "before"));
    stop(w);
    assert_int_equal(mount("none", w->dir, "tmpfs", MS_REMOUNT | MS_RDONLY, ""), 0);
    start(w);
    fails(put(w, 1, 1, "x"), STORE_READ_ONLY);
    const struct hf_store_op lazy = audit_op(1, 0, 1, hf_cursor_text("leaf"));
    hf_result result = w->store->ops->commit(w->store, &lazy, 1, HF_LAZY, NULL);
    usleep(30000);
    if (HF_IS_OK(result)) /* a remote one learns it with the first */
        result = w->store->ops->commit(w->store, &lazy, 1, HF_LAZY, NULL);
    assert_int_equal(result.code, HF_STORE_READ_ONLY);
    ok(get(w, 1, NULL, NULL));
    ok(w->store->ops->info(w->store, &info));
    assert_true(info.read_only);
    stop(w);
    assert_int_equal(mount("none", w->dir, "tmpfs", MS_REMOUNT, ""), 0);
    start(w);
    ok(put(w, 1, 1, "x"));
    leave_disk(w);
}

static int table_page(const char *path, const char *table)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    char sql[128];
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name='%s'", table);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int page = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return page;
}

static unsigned bad_count;
static void count_bad(void *arg, const struct hf_doctor_finding *finding)
{
    (void)arg;
    bad_count += finding->bad;
}

static void a_corrupted_page_harms_only_what_lies_on_it(void **state)
{
    struct world *w = *state;
    struct hf_doctor_summary report;
    fill_some(w);
    stop(w);
    bad_count = 0;
    ok(hf_doctor_run(w->path, count_bad, NULL, &report));
    assert_int_equal(bad_count, 2); /* the seal's rows: no server has been at work */
    assert_int_equal(report.rows, 50);
    int page = table_page(w->path, "audit_batch");
    int fd = open(w->path, O_RDWR);
    uint8_t junk[4096];
    memset(junk, 0xa5, sizeof junk);
    assert_int_equal(pwrite(fd, junk, sizeof junk, (off_t)(page - 1) * 4096), sizeof junk);
    close(fd);
    start(w);
    struct seen *s = calloc(1, sizeof *s);
    fails(w->store->ops->audit_read(w->store, id_of(1), 0, 10, see_batch, s), CORRUPT);
    fails(one(w, audit_op(1, 10, 10, hf_cursor_text("more"))), CORRUPT);
    ok(get(w, 50, NULL, NULL));
    ok(put(w, 50, 1, "goes on"));
    stop(w);
    bad_count = 0;
    ok(hf_doctor_run(w->path, count_bad, NULL, &report));
    assert_true(bad_count > 2);
    start(w);
    free(s);
}

static void what_is_no_database_of_ours_is_refused(void **state)
{
    struct world *w = *state;
    struct hf_store *store;
    sqlite3 *db;
    stop(w);
    assert_int_equal(truncate(w->path, 0), 0);
    int fd = open(w->path, O_RDWR);
    assert_int_equal(write(fd, "this is no database, whatever its name says", 43), 43);
    close(fd);
    fails(hf_store_sqlite_open(w->path, &store), CORRUPT);
    unlink(w->path);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    fails(hf_store_sqlite_open(w->path, &store), CORRUPT);
    unlink(w->path);
    start(w);
    stop(w);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    fails(hf_store_sqlite_open(w->path, &store), UNSUPPORTED);
    assert_int_equal(truncate(w->path, 0), 0);
    start(w);
    fails(hf_store_sqlite_open("/nowhere/at/all/db", &store), STORE_DOWN);
}

static bool file_has(const char *path, const char *bytes)
{
    FILE *f = fopen(path, "r");
    static char all[4 << 20];
    assert_non_null(f);
    size_t len = fread(all, 1, sizeof all, f);
    (void)fclose(f);
    return memmem(all, len, bytes, strlen(bytes)) != NULL;
}

static void what_was_deleted_is_gone_from_the_file(void **state)
{
    struct world *w = *state;
    static char large[20000];
    memset(large, 'x', sizeof large - 1);
    memcpy(large + 10000, "LOOK FOR THIS ONE", 17);
    ok(one(w, put_op(5, 1, 0, "short", "LOOK FOR THIS TOO")));
    ok(one(w, put_op(5, 2, 0, "long", large)));
    restart(w);
    assert_true(file_has(w->path, "LOOK FOR THIS ONE") && file_has(w->path, "LOOK FOR THIS TOO"));
    ok(one(w, put_op(5, 1, 1, "short", "other")));
    ok(one(w, (struct hf_store_op){
                  .kind = HF_STORE_DEL_IF, .expect_rev = 1, .row = {.table = 5, .id = id_of(2)}}));
    restart(w);
    assert_false(file_has(w->path, "LOOK FOR THIS"));
}

/* ---- the doctor -------------------------------------------------------------------------------------------------------------------- */

static char last_bad[2048];
static void keep_bad(void *arg, const struct hf_doctor_finding *finding)
{
    (void)arg;
    bad_count += finding->bad;
    size_t len = strlen(last_bad);
    if (finding->bad)
        snprintf(last_bad + len, sizeof last_bad - len, "%s; ", finding->text);
}

/* Rows as a server writes them: of the right form, with bytes that no key has sealed. */

static struct hf_cursor seal_form(uint8_t memory[256])
{
    struct hf_buf out = hf_buf(memory, 256);
    hf_buf_u8(&out, 1);
    hf_buf_put(&out, "a set of shares.the cluster here", 32);
    hf_buf_u32(&out, 1);
    hf_buf_u8(&out, 1);
    hf_buf_u8(&out, 1);
    hf_buf_u64(&out, 17);
    hf_buf_put(&out, "commitment to the only share....", 32);
    return hf_buf_cursor(&out);
}

static struct hf_cursor keyring_form(uint8_t memory[1024])
{
    static const uint8_t sealed[72] = {1}, kek[69] = {1}, mac[32] = {1};
    struct hf_buf out = hf_buf(memory, 1024);
    hf_buf_u8(&out, 1);
    hf_buf_put(&out, "the cluster herean audit's log.", 31);
    hf_buf_u8(&out, '.');
    hf_buf_u8(&out, 7);
    for (uint8_t item = 1; item <= 7; item++) {
        hf_buf_u8(&out, item);
        hf_buf_vec16(&out, hf_cursor(sealed, sizeof sealed));
    }
    hf_buf_u32(&out, 1);
    hf_buf_put(&out, kek, sizeof kek);
    hf_buf_put(&out, mac, sizeof mac);
    return hf_buf_cursor(&out);
}

static void put_seal(struct world *w)
{
    uint8_t seal[256], keyring[1024];
    struct hf_store_op ops[2] = {
        {.kind = HF_STORE_PUT_IF, .row = {.table = 1, .rev = 1, .sealed = seal_form(seal)}},
        {.kind = HF_STORE_PUT_IF, .row = {.table = 2, .rev = 1, .sealed = keyring_form(keyring)}},
    };
    ok(w->store->ops->commit(w->store, ops, 2, HF_DURABLE, NULL));
}

static struct hf_cursor batch_form(uint8_t memory[2048], uint64_t first, uint32_t count)
{
    static const uint8_t incarnation[32] = {7};
    struct hf_buf out = hf_buf(memory, 2048);
    hf_buf_u8(&out, 1);
    hf_buf_put(&out, incarnation, sizeof incarnation);
    hf_buf_u64(&out, first);
    hf_buf_u32(&out, count);
    for (uint32_t i = 0; i < count; i++) {
        hf_buf_u8(&out, 1);
        hf_buf_u64(&out, 1000 + i);
        hf_buf_put(&out, "commitment to what was done.....", 32);
        hf_buf_vec16(&out, hf_cursor_text("\1sealed detail and its tag"));
    }
    return hf_buf_cursor(&out);
}

/* A record, the change that tells of it, its shard's head. */
static void put_fed(struct world *w, uint64_t i)
{
    char sealed[80], name[16];
    uint8_t said[64], batch[2048];
    memset(sealed, 's', sizeof sealed);
    snprintf(sealed, sizeof sealed, "sealed under the nonce %03u", (unsigned)i);
    snprintf(sealed + 60, 20, "tag of the seal %03u", (unsigned)i);
    snprintf(name, sizeof name, "name %u", (unsigned)i);
    struct hf_store_op ops[] = {
        {.kind = HF_STORE_PUT_IF,
         .row = {.table = 5,
                 .id = id_of(i),
                 .rev = 1,
                 .ns = hf_cursor_text("namespace-16-by."),
                 .name = hf_cursor_text(name),
                 .sealed = hf_cursor(sealed, sizeof sealed)}},
        {.kind = HF_STORE_FEED_APPEND, .shard = 3, .seq = i, .row = {.table = 5, .id = id_of(i), .rev = 1}},
        {.kind = HF_STORE_HEAD_CAS,
         .shard = 3,
         .expect_rev = i - 1,
         .seq = i,
         .blob = hf_cursor(sealed, sizeof sealed)},
        audit_op(1, (i - 1) * 10, 10 - (i == 3), batch_form(batch, (i - 1) * 10, 10 - (i == 3))),
    };
    struct hf_buf out = hf_buf(said, sizeof said);
    uint8_t digest[HF_ROW_DIGEST];
    hf_row_digest(&ops[0].row, digest);
    hf_buf_u8(&out, 0);
    hf_buf_put(&out, sealed + sizeof sealed - 16, 16);
    hf_buf_u8(&out, 16);
    hf_buf_put_cursor(&out, ops[0].row.ns);
    hf_buf_put(&out, digest, sizeof digest);
    ops[1].blob = hf_buf_cursor(&out);
    ok(w->store->ops->commit(w->store, ops, 4, HF_DURABLE, NULL));
}

static void the_doctor_finds_what_does_not_fit(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *sql, *says;
    } cases[] = {
        {"DELETE FROM change WHERE seq=2", "gap"},
        {"DELETE FROM head", "head"},
        {"UPDATE head SET seq=9", "head"},
        {"UPDATE record SET rev=7 WHERE id=(SELECT id FROM change WHERE seq=3)", "revision"},
        {"DELETE FROM record WHERE id=(SELECT id FROM change WHERE seq=3)", "not in"},
        {"INSERT INTO record VALUES(5,x'ffffffffffffffffffffffffffffffff',1,x'',x'',0,0,x'')",
         "not in the feed"},
        {"UPDATE audit_batch SET n=11 WHERE n=10", "overlap"},
        {"DELETE FROM audit_batch WHERE n=10", "gap"},
        {"UPDATE audit_batch SET blob=substr(blob,1,length(blob)-1) WHERE n=9", "unknown form"},
        {"UPDATE audit_batch SET blob=zeroblob(length(blob)) WHERE n=9", "unknown form"},
        {"UPDATE audit_head SET sealed=x'01'", "head is cut"},
        {"DELETE FROM audit_batch", "no entries"},
        {"DELETE FROM record WHERE tbl=1", "seal: its row is missing"},
        {"UPDATE record SET sealed=zeroblob(length(sealed)) WHERE tbl=1", "seal: its row"},
        {"UPDATE record SET sealed=substr(sealed,1,length(sealed)-1) WHERE tbl=1", "seal: its row"},
        {"DELETE FROM record WHERE tbl=2", "keyring's row is missing"},
        {"UPDATE record SET sealed=zeroblob(length(sealed)) WHERE tbl=2", "keyring's row"},
        {"UPDATE record SET sealed=substr(sealed,1,100) WHERE tbl=2", "keyring's row"},
        {"UPDATE record SET sealed=substr(sealed,1,1) WHERE tbl=5", "cut off"},
        {"UPDATE record SET sealed=(SELECT sealed FROM record WHERE tbl=5 AND name=CAST('name 2' AS BLOB)) "
         "WHERE tbl=5 AND name=CAST('name 1' AS BLOB)",
         "sealed part"},
        {"UPDATE record SET sealed=CAST(replace(CAST(sealed AS TEXT),'nonce','NONCE') AS BLOB) WHERE tbl=5",
         "altered"},
        {"UPDATE record SET name=CAST('other' AS BLOB) WHERE tbl=5", "altered: its name"},
        {"UPDATE record SET state=3 WHERE tbl=5", "altered"},
        {"UPDATE record SET due=3 WHERE tbl=5", "altered"},
        {"UPDATE record SET ns=CAST('another one 16 b' AS BLOB) WHERE tbl=5", "namespace"},
        {"UPDATE head SET sealed=x'01'", "head is cut"},
        {"UPDATE use_block SET reserved=0", "use counter"},
        {"DELETE FROM change; DELETE FROM head", "not in the feed"},
        {"DROP INDEX record_due", "record_due"},
        {"CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record; END", "not part"},
    };
    put_seal(w);
    for (uint64_t i = 1; i <= 3; i++)
        put_fed(w, i);
    ok(one(w, (struct hf_store_op){.kind = HF_STORE_RESERVE, .row = {.id = id_of(9)}, .amount = 77}));
    ok(one(w,
           (struct hf_store_op){.kind = HF_STORE_AUDIT_HEAD,
                                .row = {.id = id_of(1)},
                                .seq = 29,
                                .blob = hf_cursor_text("a signed head, sealed: forty-one bytes, or more")}));
    struct hf_doctor_summary report;
    fails(hf_doctor_run(w->path, keep_bad, NULL, &report), STORE_BUSY);
    stop(w);
    char copy[128], line[256];
    snprintf(copy, sizeof copy, "%s.copy", w->path);
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        sqlite3 *db;
        snprintf(line, sizeof line, "cp %s %s", w->path, copy);
        assert_int_equal(system(line), 0);
        bad_count = 0;
        ok(hf_doctor_run(copy, keep_bad, NULL, &report));
        if (bad_count != 0)
            fail_msg("a sound file: %s", last_bad);
        assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
        if (sqlite3_exec(db, cases[i].sql, NULL, NULL, NULL) != SQLITE_OK)
            fail_msg("%s: %s", cases[i].sql, sqlite3_errmsg(db));
        sqlite3_close(db);
        last_bad[0] = 0;
        ok(hf_doctor_run(copy, keep_bad, NULL, &report));
        if (bad_count == 0 || strstr(last_bad, cases[i].says) == NULL)
            fail_msg("%s: \"%s\"", cases[i].sql, bad_count == 0 ? "" : last_bad);
    }
    start(w);
}

/* ---- the store process dies ----------------------------------------------------------------------------------------------------------- */

enum { DEATHS = 12, LOADERS = 8 };

/* What the child is: this program again, serving the sockets that it was given. */
static int child_main(const char *path, const char *first_fd)
{
    struct hf_store *engine = NULL;
    for (unsigned i = 0; i < 500 && engine == NULL; i++) { /* its predecessor's lock goes with it */
        if (!HF_IS_OK(hf_store_sqlite_open(path, &engine)))
            usleep(2000);
    }
    struct hf_store_server *server;
    if (engine == NULL || !HF_IS_OK(hf_store_server_new(engine, &server)))
        return 2;
    for (int i = 0; i < LINKS; i++)
        HF_IGNORE(hf_store_server_add(server, (int)strtol(first_fd, NULL, 10) + i),
                  "the parent would notice");
    HF_IGNORE(hf_store_server_run(server), "killed before it ends");
    return 3;
}

static void child_start(struct world *w, int ours[LINKS])
{
    enum { FIRST = 200 };
    int theirs[LINKS];
    char first[16];
    make_links(ours, theirs);
    snprintf(first, sizeof first, "%d", FIRST);
    w->child = fork();
    assert_true(w->child >= 0);
    if (w->child == 0) {
        for (int i = 0; i < LINKS; i++)
            (void)dup2(theirs[i], FIRST + i); /* these stay open, all others close */
        execl("/proc/self/exe", "store", "serve", w->path, first, (char *)NULL);
        _exit(4);
    }
    for (unsigned i = 0; i < LINKS; i++)
        close(theirs[i]);
}

struct loader {
    struct world *world;
    uint64_t number;
    bool *stop;
    uint64_t next_row, next_leaf, rows_unknown;
    uint8_t acked_rows[100000], acked_leaves[100000];
    hf_result odd;
};
static unsigned rows_acked; /* atomic, of all loaders */

static void *loader_main(void *arg)
{
    struct loader *l = arg;
    while (!__atomic_load_n(l->stop, __ATOMIC_ACQUIRE) && l->next_row < 100000 && l->next_leaf + 4 < 100000) {
        hf_result result = one(l->world, put_op(5, l->number * 1000000 + l->next_row, 0, "row", "x"));
        if (HF_IS_OK(result)) {
            l->acked_rows[l->next_row] = 1;
            __atomic_fetch_add(&rows_acked, 1, __ATOMIC_RELAXED);
        } else if (result.code == HF_COMMIT_UNKNOWN)
            l->rows_unknown++;
        else if (result.code != HF_STORE_DOWN)
            l->odd = result;
        else
            usleep(1000);
        l->next_row++;
        for (unsigned i = 0; i < 3; i++) {
            const struct hf_store_op op = audit_op(l->number + 1, l->next_leaf, 1, hf_cursor_text("leaf"));
            result = l->world->store->ops->commit(l->world->store, &op, 1, HF_LAZY, NULL);
            if (HF_IS_OK(result))
                l->acked_leaves[l->next_leaf] = 1;
            else if (result.code != HF_STORE_DOWN)
                l->odd = result;
            l->next_leaf++;
        }
        if (!HF_IS_OK(result))
            usleep(1000);
    }
    return NULL;
}

static void nothing_acknowledged_is_lost_when_the_store_is_killed(void **state)
{
    struct world *w = *state;
    static struct loader loaders[LOADERS];
    static bool stop_loading;
    pthread_t threads[LOADERS];
    int ours[LINKS];
    stop(w);
    child_start(w, ours);
    ok(hf_store_remote_open(ours, LINKS, &w->store));
    for (unsigned i = 0; i < LOADERS; i++) {
        loaders[i] = (struct loader){.world = w, .number = i, .stop = &stop_loading};
        assert_int_equal(pthread_create(&threads[i], NULL, loader_main, &loaders[i]), 0);
    }
    for (unsigned death = 0; death < DEATHS; death++) {
        unsigned before = __atomic_load_n(&rows_acked, __ATOMIC_RELAXED);
        for (unsigned wait = 0; wait < 3000 && __atomic_load_n(&rows_acked, __ATOMIC_RELAXED) < before + 30;
             wait++)
            usleep(1000);
        usleep(1000 * (death * 7 % 20));
        assert_int_equal(kill(w->child, SIGKILL), 0);
        assert_int_equal(waitpid(w->child, NULL, 0), w->child);
        if (death % 3 == 0)
            usleep(5000);
        child_start(w, ours);
        ok(hf_store_remote_relink(w->store, ours, LINKS));
    }
    usleep(50000);
    __atomic_store_n(&stop_loading, true, __ATOMIC_RELEASE);
    uint64_t rows = 0, leaves = 0, unknown = 0;
    for (unsigned i = 0; i < LOADERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(loaders[i].odd.code, HF_OK);
        unknown += loaders[i].rows_unknown;
    }
    ok(w->store->ops->commit(w->store, NULL, 0, HF_DURABLE, NULL));
    assert_int_equal(kill(w->child, SIGKILL), 0);
    assert_int_equal(waitpid(w->child, NULL, 0), w->child);
    w->store->ops->close(w->store);
    ok(hf_store_sqlite_open(w->path, &w->store));
    struct seen *s = calloc(1, sizeof *s);
    for (unsigned i = 0; i < LOADERS; i++) {
        for (uint64_t n = 0; n < loaders[i].next_row; n++) {
            if (loaders[i].acked_rows[n])
                ok(get(w, i * 1000000 + n, NULL, NULL));
            rows += loaders[i].acked_rows[n];
        }
        for (uint64_t n = 0; n < loaders[i].next_leaf; n++) {
            if (!loaders[i].acked_leaves[n])
                continue;
            assert_int_equal(read_audit(w, i + 1, n, 1, s), 1);
            assert_int_equal(s->numbers[0], n);
            leaves++;
        }
    }
    print_message("    %u rows and %u leaves acknowledged over %u deaths, %u unknown\n", (unsigned)rows,
                  (unsigned)leaves, (unsigned)DEATHS, (unsigned)unknown);
    assert_true(rows > 100 && leaves > 300);
    free(s);
    w->store->ops->close(w->store);
    w->store = NULL;
    start(w);
}

static void calls_to_a_dead_store_fail_and_do_not_hang(void **state)
{
    struct world *w = *state;
    int ours[LINKS];
    stop(w);
    child_start(w, ours);
    ok(hf_store_remote_open(ours, LINKS, &w->store));
    ok(put(w, 1, 0, "x"));
    assert_int_equal(kill(w->child, SIGKILL), 0);
    assert_int_equal(waitpid(w->child, NULL, 0), w->child);
    int64_t begun = hf_boot_ns(&hf_clock_system);
    for (unsigned i = 0; i < 2 * LINKS; i++) {
        hf_result result = put(w, 2, 0, "x");
        assert_true(result.code == HF_STORE_DOWN || result.code == HF_COMMIT_UNKNOWN);
        fails(get(w, 1, NULL, NULL), STORE_DOWN);
        const struct hf_store_op op = audit_op(1, i, 1, hf_cursor_text("leaf"));
        hf_result lazy = w->store->ops->commit(w->store, &op, 1, HF_LAZY, NULL);
        assert_int_equal(lazy.code, HF_STORE_DOWN);
    }
    fails(put(w, 2, 0, "x"), STORE_DOWN);
    assert_true(hf_boot_ns(&hf_clock_system) - begun < HF_SECOND);
    child_start(w, ours);
    ok(hf_store_remote_relink(w->store, ours, LINKS));
    for (unsigned i = 0; i < 2 * LINKS; i++)
        ok(get(w, 1, NULL, NULL));
    ok(put(w, 1, 1, "y"));
    assert_int_equal(kill(w->child, SIGKILL), 0);
    assert_int_equal(waitpid(w->child, NULL, 0), w->child);
    w->store->ops->close(w->store);
    w->store = NULL;
    start(w);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return child_main(argv[2], argv[3]);
#define BOTH(name)                                                                                           \
    {#name " (sqlite)", name, setup_sqlite, teardown, NULL},                                                 \
    {                                                                                                        \
#name " (remote)", name, setup_remote, teardown, NULL                                                \
    }
#define SQLITE(name)                                                                                         \
    {                                                                                                        \
#name, name, setup_sqlite, teardown, NULL                                                            \
    }
#define REMOTE(name)                                                                                         \
    {                                                                                                        \
#name, name, setup_remote, teardown, NULL                                                            \
    }
    const struct CMUnitTest tests[] = {
        BOTH(rows_are_kept_whole),
        BOTH(a_write_needs_its_revision),
        BOTH(a_transaction_is_done_whole_or_not),
        BOTH(malformed_transactions_are_refused),
        BOTH(heads_move_by_compare_and_swap),
        BOTH(the_feed_is_read_in_order),
        BOTH(once_is_once),
        BOTH(reservations_add_up),
        BOTH(a_job_has_one_owner),
        BOTH(a_cloned_node_loses_its_beat),
        BOTH(audit_batches_are_appended_and_read),
        BOTH(lazy_ones_are_there_after_a_barrier),
        BOTH(a_lazy_conflict_harms_no_other),
        BOTH(lists_have_an_order_and_pages),
        BOTH(long_lists_come_in_several_frames),
        BOTH(calls_may_be_made_within_a_list),
        BOTH(conflicts_of_one_harm_no_other),
        BOTH(a_backup_restores_everything),
        SQLITE(a_second_server_is_kept_out),
        BOTH(another_programs_lock_is_an_error_that_passes),
        BOTH(a_limit_on_the_file_is_as_a_full_disk),
        BOTH(a_full_disk_is_an_error_that_passes),
        BOTH(a_disk_that_is_read_only_is_read),
        SQLITE(what_was_deleted_is_gone_from_the_file),
        BOTH(a_corrupted_page_harms_only_what_lies_on_it),
        SQLITE(what_is_no_database_of_ours_is_refused),
        SQLITE(the_doctor_finds_what_does_not_fit),
        REMOTE(nothing_acknowledged_is_lost_when_the_store_is_killed),
        REMOTE(calls_to_a_dead_store_fail_and_do_not_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
