/* The store and the records alone: commits a second against SQLite's own rate, lazy transactions, and reading all
 * feeds at unseal. Prints a table: what, median, least, most of the rounds, unit.
 *
 *     bench_micro_store [commits|lazy|replay [RECORDS]]      only that part; the database lies in TMPDIR or /tmp
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "records/records.h"
#include "store/server.h"

enum { ROUNDS = 5, LINKS = 73, THREADS = 64, PLAIN = 300 };

#define MUST(call)                                                                                           \
    do {                                                                                                     \
        hf_result must_ = (call);                                                                            \
        if (!HF_IS_OK(must_)) {                                                                              \
            fprintf(stderr, "%s:%d: %s %s\n", __FILE__, __LINE__, hf_code_name(must_.code),                  \
                    hf_records_fault());                                                                     \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static char dir[256], path[300], raw_path[300];

static double now(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double *values, const char *unit)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    printf("%-58s %12.2f %12.2f %12.2f  %s\n", what, values[ROUNDS / 2], values[0], values[ROUNDS - 1], unit);
    fflush(stdout);
}

/* ---- SQLite by itself ---------------------------------------------------------------------------------------- */

/* The same settings, one table, one row of the same size in a transaction. */
static double raw_rate(sqlite3 *db, double seconds)
{
    static uint8_t blob[PLAIN + 40];
    static sqlite3_int64 id;
    sqlite3_stmt *begin, *insert, *commit;
    sqlite3_prepare_v2(db, "BEGIN IMMEDIATE", -1, &begin, NULL);
    sqlite3_prepare_v2(db, "INSERT INTO t VALUES(?1,?2)", -1, &insert, NULL);
    sqlite3_prepare_v2(db, "COMMIT", -1, &commit, NULL);
    double started = now(CLOCK_MONOTONIC), end = started + seconds;
    unsigned count = 0;
    for (; now(CLOCK_MONOTONIC) < end; count++) {
        sqlite3_step(begin);
        sqlite3_reset(begin);
        sqlite3_bind_int64(insert, 1, ++id);
        sqlite3_bind_blob(insert, 2, blob, sizeof blob, SQLITE_STATIC);
        sqlite3_step(insert);
        sqlite3_reset(insert);
        sqlite3_step(commit);
        sqlite3_reset(commit);
    }
    double rate = count / (now(CLOCK_MONOTONIC) - started);
    sqlite3_finalize(begin);
    sqlite3_finalize(insert);
    sqlite3_finalize(commit);
    return rate;
}

/* ---- records over a store ------------------------------------------------------------------------------------- */

static struct hf_secret *record_key, *index_key;
static const uint8_t ns[16] = {1};
static _Atomic uint64_t next_name;

static void create(struct hf_records *records, unsigned how_many)
{
    static const uint8_t plain[PLAIN];
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    MUST(hf_txn_begin(records, &txn));
    for (unsigned i = 0; i < how_many; i++) {
        char text[32];
        snprintf(text, sizeof text, "key-%llu", (unsigned long long)next_name++);
        struct hf_cursor name = hf_cursor_text(text), space = hf_cursor(ns, sizeof ns);
        MUST(hf_txn_put(txn, HF_TABLE_KEY, hf_record_id(records, HF_TABLE_KEY, space, name), 0, space, name,
                        1, 0, hf_cursor(plain, sizeof plain)));
    }
    MUST(hf_txn_commit(txn, NULL));
}

struct worker {
    pthread_t thread;
    struct hf_records *records;
    double end;
    uint64_t count;
};

static void *create_main(void *arg)
{
    struct worker *w = arg;
    while (now(CLOCK_MONOTONIC) < w->end) {
        create(w->records, 1);
        w->count++;
    }
    return NULL;
}

static double create_rate(struct hf_records *records, unsigned threads, double seconds)
{
    static struct worker workers[THREADS];
    double started = now(CLOCK_MONOTONIC);
    uint64_t count = 0;
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.records = records, .end = started + seconds};
        if (pthread_create(&workers[i].thread, NULL, create_main, &workers[i]) != 0)
            exit(1);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        count += workers[i].count;
    }
    return (double)count / (now(CLOCK_MONOTONIC) - started);
}

/* A store process of its own, as in the server. */
static pid_t store_process(struct hf_store **ret_store)
{
    int ours[LINKS], theirs[LINKS];
    for (unsigned i = 0; i < LINKS; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
            exit(1);
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
    pid_t child = fork();
    if (child == 0) {
        struct hf_store *engine;
        struct hf_store_server *server;
        for (unsigned i = 0; i < LINKS; i++)
            close(ours[i]);
        MUST(hf_store_sqlite_open(path, &engine));
        MUST(hf_store_server_new(engine, &server));
        for (unsigned i = 0; i < LINKS; i++)
            MUST(hf_store_server_add(server, theirs[i]));
        MUST(hf_store_server_run(server));
        _exit(0);
    }
    for (unsigned i = 0; i < LINKS; i++)
        close(theirs[i]);
    MUST(hf_store_remote_open(ours, LINKS, ret_store));
    return child;
}

static void store_process_end(pid_t child, struct hf_store *store)
{
    store->ops->close(store);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void remove_files(const char *name)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char text[320];
        snprintf(text, sizeof text, "%s%s", name, ends[i]);
        unlink(text);
    }
}

static void bench_commits(void)
{
    double raw[ROUNDS], engine_1[ROUNDS], remote_1[ROUNDS], remote_n[ROUNDS], ratio_1[ROUNDS],
        ratio_n[ROUNDS];
    struct hf_store *store;
    struct hf_records *records;
    sqlite3 *db;
    remove_files(raw_path);
    sqlite3_open(raw_path, &db);
    sqlite3_exec(
        db,
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB)",
        NULL, NULL, NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        raw[round] = raw_rate(db, 1);

        MUST(hf_store_sqlite_open(path, &store));
        MUST(hf_records_open(store, record_key, index_key, &hf_clock_system, &records));
        engine_1[round] = create_rate(records, 1, 1);
        hf_records_close(records);
        store->ops->close(store);

        pid_t child = store_process(&store);
        MUST(hf_records_open(store, record_key, index_key, &hf_clock_system, &records));
        remote_1[round] = create_rate(records, 1, 1);
        remote_n[round] = create_rate(records, THREADS, 1.5);
        hf_records_close(records);
        store_process_end(child, store);
        ratio_1[round] = remote_1[round] / raw[round];
        ratio_n[round] = remote_n[round] / remote_1[round];
    }
    sqlite3_close(db);
    report("SQLite by itself, one row a commit", raw, "commits/s");
    report("record created, engine in this process, 1 thread", engine_1, "commits/s");
    report("record created, store process, 1 thread", remote_1, "commits/s");
    report("record created, store process, 64 threads", remote_n, "commits/s");
    report("  1 thread to SQLite by itself", ratio_1, "x");
    report("  64 threads to 1 thread", ratio_n, "x");
}

/* ---- lazy -------------------------------------------------------------------------------------------------------- */

static void bench_lazy(void)
{
    enum { BATCHES = 20000, LEAVES = 16, LEAF = 250 };
    static uint8_t blob[LEAVES * LEAF];
    double cost[ROUNDS], store_cost[ROUNDS], rate[ROUNDS];
    static uint64_t index;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct hf_store *store;
        struct rusage before, after;
        getrusage(RUSAGE_CHILDREN, &before);
        pid_t child = store_process(&store);
        double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned i = 0; i < BATCHES; i++) {
            const struct hf_store_op op = {.kind = HF_STORE_AUDIT_APPEND,
                                           .seq = index,
                                           .amount = LEAVES,
                                           .blob = hf_cursor(blob, sizeof blob)};
            index += LEAVES;
            MUST(store->ops->commit(store, &op, 1, HF_LAZY, NULL));
        }
        cost[round] = (now(CLOCK_THREAD_CPUTIME_ID) - cpu) * 1e6 / BATCHES;
        MUST(store->ops->commit(store, NULL, 0, HF_DURABLE, NULL));
        rate[round] = BATCHES * LEAVES / (now(CLOCK_MONOTONIC) - wall);
        store_process_end(child, store);
        getrusage(RUSAGE_CHILDREN, &after);
        store_cost[round] = ((double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1e6 +
                             (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) +
                             (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1e6 +
                             (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec)) /
                            BATCHES;
    }
    report("lazy batch of 16 leaves of 250 bytes, its thread's CPU", cost, "us");
    report("  the store process's CPU, start and all", store_cost, "us");
    report("  one thread, to the last sync", rate, "leaves/s");
}

/* ---- unseal ------------------------------------------------------------------------------------------------------- */

static void bench_replay(uint64_t count)
{
    double took[ROUNDS], each[ROUNDS];
    struct hf_store *store;
    struct hf_records *records;
    remove_files(path);
    MUST(hf_store_sqlite_open(path, &store));
    MUST(hf_records_open(store, record_key, index_key, &hf_clock_system, &records));
    double started = now(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < count; i += 32)
        create(records, 32);
    fprintf(stderr, "(%.0f s to make %llu records)\n", now(CLOCK_MONOTONIC) - started,
            (unsigned long long)count);
    hf_records_close(records);
    store->ops->close(store);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct hf_records_stats stats;
        pid_t child = store_process(&store);
        double begun = now(CLOCK_MONOTONIC);
        MUST(hf_records_open(store, record_key, index_key, &hf_clock_system, &records));
        took[round] = now(CLOCK_MONOTONIC) - begun;
        hf_records_stats(records, &stats);
        each[round] = (double)stats.bytes_in_memory / (double)stats.count;
        hf_records_close(records);
        store_process_end(child, store);
    }
    char what[80];
    snprintf(what, sizeof what, "unseal with %llu records", (unsigned long long)count);
    report(what, took, "s");
    report("  memory of a cold record", each, "bytes");
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "", *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/hf-bench-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/db", dir);
    snprintf(raw_path, sizeof raw_path, "%s/raw", dir);
    MUST(hf_crypto_start(HF_CRYPTO_HEAP_WIPE));
    MUST(hf_secret_random(32, &record_key));
    MUST(hf_secret_random(32, &index_key));
    printf("%-58s %12s %12s %12s\n", "", "median", "least", "most");
    if (part[0] == '\0' || strcmp(part, "commits") == 0)
        bench_commits();
    remove_files(path);
    if (part[0] == '\0' || strcmp(part, "lazy") == 0)
        bench_lazy();
    remove_files(path);
    if (part[0] == '\0' || strcmp(part, "replay") == 0)
        bench_replay(argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000);
    remove_files(path);
    remove_files(raw_path);
    rmdir(dir);
    return 0;
}
