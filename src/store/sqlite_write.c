/* Group commit. A caller that finds no group under way runs one itself, with all that wait at that moment, so that a
 * lone commit costs no switch of threads; callers that come meanwhile form the next group, led by the first of them.
 *
 * A group runs its transactions one after another and commits once. Nearly always all conditions hold, so the first
 * attempt does without savepoints; where one transaction fails, the group is rolled back and runs again with a
 * savepoint around each, so that the failure of one harms no other. */
#include "store/check.h"
#include "store/sqlite.h"

#include <stdlib.h>
#include <time.h>

enum { CLOSE_TRIES = 3 };

struct hf_sqlite_waiter {
    struct hf_store_txn txn;
    struct hf_sqlite_waiter *next;
    pthread_cond_t wake;
    bool done, lead;
};

/* A lazy transaction with copies of all that it points to behind it. */
struct hf_sqlite_lazy {
    struct hf_store_txn txn;
    struct hf_sqlite_lazy *next;
    size_t bytes;
    struct hf_store_op ops[];
};

/* ---- one group ------------------------------------------------------------------------------------------- */

static void roll_back(struct hf_sqlite *engine)
{
    memset(engine->logs, 0, sizeof engine->logs);
    if (!sqlite3_get_autocommit(engine->writer.db)) /* some failures have rolled back already */
        HF_IGNORE(hf_sqlite_run(&engine->writer, HF_SQL_ROLLBACK), "what made it necessary is reported");
}

static hf_result run_within_savepoint(struct hf_sqlite *engine, struct hf_store_txn *txn)
{
    struct hf_sqlite_conn *conn = &engine->writer;
    TRY(hf_sqlite_run(conn, HF_SQL_SAVEPOINT));
    hf_result result = hf_sqlite_execute(engine, txn);
    if (!HF_IS_OK(result)) {
        memset(engine->logs, 0, sizeof engine->logs);
        if (sqlite3_get_autocommit(conn->db))
            return HF_FAIL(STORE_DOWN); /* the whole group is gone: see run_group */
        TRY(hf_sqlite_run(conn, HF_SQL_ROLLBACK_TO));
    }
    TRY(hf_sqlite_run(conn, HF_SQL_RELEASE));
    return result;
}

/* True where every transaction of the group holds; else the first that does not has its result. */
static bool run_all(struct hf_sqlite *engine, struct hf_store_txn **group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        group[i]->result = hf_sqlite_execute(engine, group[i]);
        if (!HF_IS_OK(group[i]->result))
            return false;
    }
    return true;
}

/* Gives: what befell the group as a whole; each transaction's own result where that is OK. */
static hf_result run_group(struct hf_sqlite *engine, struct hf_store_txn **group, size_t count)
{
    struct hf_sqlite_conn *conn = &engine->writer;
    TRY(hf_sqlite_run(conn, HF_SQL_BEGIN));
    if (!run_all(engine, group, count)) {
        roll_back(engine);
        if (count == 1)
            return HF_DONE; /* it alone has failed, and has its result */
        TRY(hf_sqlite_run(conn, HF_SQL_BEGIN));
        for (size_t i = 0; i < count; i++) {
            group[i]->result = run_within_savepoint(engine, group[i]);
            if (sqlite3_get_autocommit(conn->db)) { /* full, out of memory, input or output failed */
                hf_result all = group[i]->result;
                roll_back(engine);
                return HF_IS_OK(all) ? HF_FAIL(STORE_DOWN) : all;
            }
        }
    }
    sqlite3_stmt *s = NULL;
    hf_result result = hf_sqlite_prepare(conn, HF_SQL_COMMIT, &s);
    if (HF_IS_OK(result)) {
        int code = sqlite3_step(s);
        /* Where only the sync failed, the pages are in the log and a crash now might bring them back. */
        result = code == SQLITE_IOERR_FSYNC ? HF_FAIL(COMMIT_UNKNOWN) : hf_sqlite_result(conn->db, code);
        sqlite3_reset(s);
    }
    if (!HF_IS_OK(result))
        roll_back(engine);
    return result;
}

/* ---- the write-ahead log ----------------------------------------------------------------------------------- */

static void checkpoint(struct hf_sqlite_conn *conn, int *ret_log, int *ret_moved)
{
    *ret_log = *ret_moved = 0;
    /* A failure leaves the log as it is; the next one tries again. */
    (void)sqlite3_wal_checkpoint_v2(conn->db, NULL, SQLITE_CHECKPOINT_PASSIVE, ret_log, ret_moved);
}

/* Moves the log into the file beside the writer. Under steady writing the log has always grown meanwhile, so it would
 * never start again from its beginning: then the writer, when little is left, finishes the rest itself. */
static void *checker_main(void *arg)
{
    struct hf_sqlite *engine = arg;
    pthread_mutex_lock(&engine->check_lock);
    while (!engine->check_stop) {
        if (!engine->check_wanted) {
            pthread_cond_wait(&engine->check_wake, &engine->check_lock);
            continue;
        }
        pthread_mutex_unlock(&engine->check_lock);
        int log, moved;
        checkpoint(&engine->checker, &log, &moved);
        pthread_mutex_lock(&engine->check_lock);
        engine->check_wanted = false;
        if (log > HF_SQLITE_RESTART_PAGES && log - moved < HF_SQLITE_CHECKPOINT_PAGES)
            __atomic_store_n(&engine->wal_long, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&engine->check_lock);
    return NULL;
}

/* Called by SQLite on the writer after each commit, with the length of the log. */
int hf_sqlite_after_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct hf_sqlite *engine = arg;
    (void)db;
    (void)name;
    if (pages < engine->checked_pages) /* it has begun again */
        engine->checked_pages = 0;
    if (pages - engine->checked_pages < HF_SQLITE_CHECKPOINT_PAGES)
        return SQLITE_OK;
    if (pthread_mutex_trylock(&engine->check_lock) != 0)
        return SQLITE_OK; /* the thread is just looking: the next commit will see */
    if (!engine->checker_runs && !engine->check_stop)
        engine->checker_runs = pthread_create(&engine->checker_thread, NULL, checker_main, engine) == 0;
    if (engine->checker_runs && !engine->check_wanted) {
        engine->check_wanted = true;
        engine->checked_pages = pages;
        pthread_cond_signal(&engine->check_wake);
    }
    bool alone = !engine->checker_runs && pages > HF_SQLITE_RESTART_PAGES;
    pthread_mutex_unlock(&engine->check_lock);
    if (alone)
        __atomic_store_n(&engine->wal_long, true, __ATOMIC_RELEASE);
    return SQLITE_OK;
}

/* Runs any number of transactions, write_lock held. */
static void run_many(struct hf_sqlite *engine, struct hf_store_txn **txns, size_t count)
{
    for (size_t at = 0; at < count;) {
        size_t group = HF_MIN(count - at, (size_t)HF_SQLITE_GROUP_MAX);
        if (__atomic_exchange_n(&engine->wal_long, false, __ATOMIC_ACQUIRE)) {
            int log, moved;
            checkpoint(&engine->writer, &log, &moved);
        }
        hf_result all = run_group(engine, txns + at, group);
        for (size_t i = 0; i < group && !HF_IS_OK(all); i++)
            txns[at + i]->result = all;
        at += group;
    }
}

/* ---- lazy transactions ---------------------------------------------------------------------------------------- */

/* Runs what lazy ones there are together with others, write_lock held; takes them off the queue when they are done.
 * Where they could not be written they stay, in order. */
static void run_with_lazy(struct hf_sqlite *engine, struct hf_store_txn **txns, size_t count)
{
    struct hf_store_txn *all[2 * HF_SQLITE_GROUP_MAX];
    size_t lazy = 0;
    pthread_mutex_lock(&engine->queue_lock);
    for (struct hf_sqlite_lazy *l = engine->lazy_first; l != NULL && lazy < HF_SQLITE_GROUP_MAX; l = l->next)
        all[lazy++] = &l->txn;
    pthread_mutex_unlock(&engine->queue_lock);
    for (size_t i = 0; i < count; i++)
        all[lazy + i] = txns[i];
    run_many(engine, all, lazy + count);
    if (lazy == 0)
        return;

    struct hf_sqlite_lazy *done = NULL;
    pthread_mutex_lock(&engine->queue_lock);
    engine->lazy_failure = HF_OK;
    for (size_t i = 0; i < lazy && engine->lazy_first != NULL; i++) {
        struct hf_sqlite_lazy *l = engine->lazy_first;
        enum hf_code code = l->txn.result.code;
        if (code != HF_OK && code != HF_CONFLICT && code != HF_BAD_ARGUMENT && code != HF_TOO_LARGE) {
            engine->lazy_failure = code;
            break;
        }
        if (code != HF_OK)
            hf_log(HF_LOG_ERROR, "store.lazy_refused", hf_f("result", l->txn.result),
                   hf_f("operation", (unsigned)l->txn.outcome.failed_op));
        engine->lazy_first = l->next;
        if (engine->lazy_first == NULL)
            engine->lazy_last = &engine->lazy_first;
        engine->lazy_bytes -= l->bytes;
        engine->lazy_done++;
        l->next = done;
        done = l;
    }
    pthread_cond_broadcast(&engine->lazy_settled);
    pthread_mutex_unlock(&engine->queue_lock);
    while (done != NULL) {
        struct hf_sqlite_lazy *l = done;
        done = l->next;
        free(l);
    }
}

static void *flusher_main(void *arg)
{
    struct hf_sqlite *engine = arg;
    pthread_mutex_lock(&engine->queue_lock);
    while (!engine->stopping) {
        if (engine->lazy_first == NULL) {
            pthread_cond_wait(&engine->lazy_wake, &engine->queue_lock);
            continue;
        }
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (engine->lazy_failure == HF_OK ? HF_SQLITE_LAZY_MS : HF_SQLITE_RETRY_MS) * 1000000l;
        if (until.tv_nsec >= 1000000000l) {
            until.tv_nsec -= 1000000000l;
            until.tv_sec++;
        }
        (void)pthread_cond_timedwait(&engine->lazy_wake, &engine->queue_lock, &until);
        pthread_mutex_unlock(&engine->queue_lock);
        pthread_mutex_lock(&engine->write_lock);
        run_with_lazy(engine, NULL, 0);
        pthread_mutex_unlock(&engine->write_lock);
        pthread_mutex_lock(&engine->queue_lock);
    }
    pthread_mutex_unlock(&engine->queue_lock);
    return NULL;
}

static struct hf_cursor keep(struct hf_buf *into, struct hf_cursor bytes)
{
    uint8_t *place = hf_buf_reserve(into, bytes.left);
    if (place != NULL && bytes.left != 0)
        memcpy(place, bytes.at, bytes.left);
    return hf_cursor(place, bytes.left);
}

static hf_result commit_lazy(struct hf_sqlite *engine, const struct hf_store_op *ops, size_t count,
                             size_t bytes)
{
    size_t all = sizeof(struct hf_sqlite_lazy) + count * sizeof *ops + bytes;
    struct hf_sqlite_lazy *l = calloc(1, all);
    if (l == NULL)
        return HF_FAIL(NO_MEMORY);
    l->bytes = all;
    l->txn.ops = l->ops;
    l->txn.count = count;
    struct hf_buf into = hf_buf(l->ops + count, bytes);
    for (size_t i = 0; i < count; i++) {
        struct hf_store_op *op = &l->ops[i];
        *op = ops[i];
        op->row.ns = keep(&into, op->row.ns);
        op->row.name = keep(&into, op->row.name);
        op->row.sealed = keep(&into, op->row.sealed);
        op->hash = keep(&into, op->hash);
        op->blob = keep(&into, op->blob);
    }
    hf_result result = HF_DONE;
    pthread_mutex_lock(&engine->queue_lock);
    if (!engine->flusher_runs && !engine->stopping)
        engine->flusher_runs = pthread_create(&engine->flusher, NULL, flusher_main, engine) == 0;
    if (!engine->flusher_runs)
        result = HF_FAIL(NO_MEMORY);
    else if (engine->lazy_failure != HF_OK)
        result = (hf_result){engine->lazy_failure};
    else if (all > HF_SQLITE_LAZY_BYTES_MAX - engine->lazy_bytes)
        result = HF_FAIL(STORE_DOWN);
    if (HF_IS_OK(result)) {
        bool first = engine->lazy_first == NULL;
        *engine->lazy_last = l;
        engine->lazy_last = &l->next;
        engine->lazy_bytes += all;
        engine->lazy_taken++;
        if (first)
            pthread_cond_signal(&engine->lazy_wake);
        l = NULL;
    }
    pthread_mutex_unlock(&engine->queue_lock);
    free(l);
    return result;
}

/* Until every lazy one taken before now is durable. */
static hf_result barrier(struct hf_sqlite *engine)
{
    pthread_mutex_lock(&engine->queue_lock);
    uint64_t taken = engine->lazy_taken;
    pthread_mutex_unlock(&engine->queue_lock);
    for (;;) {
        pthread_mutex_lock(&engine->queue_lock);
        bool done = engine->lazy_done >= taken;
        enum hf_code failure = engine->lazy_failure;
        pthread_mutex_unlock(&engine->queue_lock);
        if (done)
            return HF_DONE;
        if (failure != HF_OK)
            return (hf_result){failure};
        pthread_mutex_lock(&engine->write_lock);
        run_with_lazy(engine, NULL, 0);
        pthread_mutex_unlock(&engine->write_lock);
    }
}

/* ---- the calls -------------------------------------------------------------------------------------------------- */

/* Takes the waiting callers for one group off the queue, queue_lock held. */
static size_t take_group(struct hf_sqlite *engine, struct hf_sqlite_waiter **group)
{
    size_t count = 0;
    while (engine->first != NULL && count < HF_SQLITE_GROUP_MAX) {
        group[count++] = engine->first;
        engine->first = engine->first->next;
    }
    if (engine->first == NULL)
        engine->last = &engine->first;
    return count;
}

static void lead(struct hf_sqlite *engine, struct hf_sqlite_waiter *self)
{
    struct hf_sqlite_waiter *group[HF_SQLITE_GROUP_MAX];
    struct hf_store_txn *txns[HF_SQLITE_GROUP_MAX];
    pthread_mutex_lock(&engine->write_lock); /* who comes while this waits is in the group still */
    pthread_mutex_lock(&engine->queue_lock);
    size_t count = take_group(engine, group);
    bool lazy = engine->lazy_first != NULL && engine->lazy_failure == HF_OK;
    pthread_mutex_unlock(&engine->queue_lock);
    for (size_t i = 0; i < count; i++)
        txns[i] = &group[i]->txn;
    if (lazy)
        run_with_lazy(engine, txns, count);
    else
        run_many(engine, txns, count);
    pthread_mutex_unlock(&engine->write_lock);

    pthread_mutex_lock(&engine->queue_lock);
    for (size_t i = 0; i < count; i++) {
        group[i]->done = true;
        if (group[i] != self)
            pthread_cond_signal(&group[i]->wake);
    }
    if (engine->first != NULL) {
        engine->first->lead = true;
        pthread_cond_signal(&engine->first->wake);
    } else {
        engine->leading = false;
    }
    pthread_mutex_unlock(&engine->queue_lock);
}

hf_result hf_sqlite_commit(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                           enum hf_durability durability, struct hf_store_outcome *ret_outcome)
{
    struct hf_sqlite *engine = (struct hf_sqlite *)self;
    size_t bytes;
    TRY(hf_store_ops_check(ops, count, &bytes));
    if (engine->read_only)
        return HF_FAIL(STORE_READ_ONLY);
    if (count == 0)
        return durability == HF_LAZY ? HF_DONE : barrier(engine);
    if (durability == HF_LAZY)
        return commit_lazy(engine, ops, count, bytes);

    struct hf_sqlite_waiter waiter = {.txn = {.ops = ops, .count = count}};
    pthread_cond_init(&waiter.wake, NULL);
    pthread_mutex_lock(&engine->queue_lock);
    *engine->last = &waiter;
    engine->last = &waiter.next;
    if (engine->leading) {
        while (!waiter.done && !waiter.lead)
            pthread_cond_wait(&waiter.wake, &engine->queue_lock);
    } else {
        engine->leading = true;
        waiter.lead = true;
    }
    bool leads = !waiter.done;
    pthread_mutex_unlock(&engine->queue_lock);
    if (leads)
        lead(engine, &waiter);
    pthread_cond_destroy(&waiter.wake);
    if (ret_outcome != NULL)
        *ret_outcome = waiter.txn.outcome;
    return waiter.txn.result;
}

void hf_sqlite_commit_many(struct hf_store *self, struct hf_store_txn *txns, size_t count)
{
    struct hf_sqlite *engine = (struct hf_sqlite *)self;
    struct hf_store_txn *good[HF_SQLITE_GROUP_MAX];
    for (size_t at = 0; at < count;) {
        size_t goods = 0;
        for (; at < count && goods < HF_SQLITE_GROUP_MAX; at++) {
            size_t bytes;
            txns[at].outcome = (struct hf_store_outcome){0};
            txns[at].result = hf_store_ops_check(txns[at].ops, txns[at].count, &bytes);
            if (HF_IS_OK(txns[at].result) && engine->read_only)
                txns[at].result = HF_FAIL(STORE_READ_ONLY);
            if (HF_IS_OK(txns[at].result))
                good[goods++] = &txns[at];
        }
        if (goods == 0)
            continue;
        pthread_mutex_lock(&engine->write_lock);
        run_many(engine, good, goods);
        pthread_mutex_unlock(&engine->write_lock);
    }
}

void hf_sqlite_write_stop(struct hf_sqlite *engine)
{
    pthread_mutex_lock(&engine->queue_lock);
    engine->stopping = true;
    bool flusher = engine->flusher_runs;
    pthread_cond_signal(&engine->lazy_wake);
    pthread_mutex_unlock(&engine->queue_lock);
    if (flusher)
        pthread_join(engine->flusher, NULL);
    if (engine->lazy_first != NULL) {
        for (unsigned tries = 0; tries < CLOSE_TRIES && engine->lazy_first != NULL; tries++) {
            pthread_mutex_lock(&engine->write_lock);
            run_with_lazy(engine, NULL, 0);
            pthread_mutex_unlock(&engine->write_lock);
        }
        if (engine->lazy_first != NULL)
            hf_log(HF_LOG_ERROR, "store.lazy_lost", hf_f("count", engine->lazy_taken - engine->lazy_done));
    }
    while (engine->lazy_first != NULL) {
        struct hf_sqlite_lazy *l = engine->lazy_first;
        engine->lazy_first = l->next;
        free(l);
    }
    pthread_mutex_lock(&engine->check_lock);
    engine->check_stop = true;
    bool checker = engine->checker_runs;
    pthread_cond_signal(&engine->check_wake);
    pthread_mutex_unlock(&engine->check_lock);
    if (checker)
        pthread_join(engine->checker_thread, NULL);
}
