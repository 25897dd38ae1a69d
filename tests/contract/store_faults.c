/* Sweeps: the nth call to the file system, the nth allocation, the nth call to the kernel fails, for every n. Whatever
 * fails: no crash, no leak, no hang, no half transaction; what was acknowledged is there afterwards, and the file is
 * sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "records/records.h"
#include "store/doctor.h"
#include "store/server.h"
#include "store/sqlite.h"

#define ok(call) assert_int_equal((call).code, HF_OK)

/* ---- the nth fails ------------------------------------------------------------------------------------------- */

static unsigned armed; /* counts down to the failure; 0: disarmed. atomic */
static unsigned fired;
static enum { FILES, MEMORY, CALLS } kind;

static bool fails_now(unsigned of_kind)
{
    if (kind != of_kind)
        return false;
    unsigned left = __atomic_load_n(&armed, __ATOMIC_RELAXED);
    while (left != 0) {
        if (__atomic_compare_exchange_n(&armed, &left, left - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            if (left == 1)
                __atomic_fetch_add(&fired, 1, __ATOMIC_RELAXED);
            return left == 1;
        }
    }
    return false;
}

static int file_fault(void)
{
    return fails_now(FILES) ? SQLITE_IOERR : SQLITE_OK;
}

static void arm(unsigned nth)
{
    fired = 0;
    __atomic_store_n(&armed, nth, __ATOMIC_RELAXED);
}

static bool disarm(void)
{
    __atomic_store_n(&armed, 0, __ATOMIC_RELAXED);
    return fired != 0;
}

/* Sanitizers stand in for these themselves. */
#ifndef HF_SANITIZE
static long alive; /* allocations not freed; atomic */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

static void *counted(void *got)
{
    if (got != NULL)
        __atomic_fetch_add(&alive, 1, __ATOMIC_RELAXED);
    return got;
}
void *malloc(size_t len)
{
    return fails_now(MEMORY) ? NULL : counted(__libc_malloc(len));
}
void *calloc(size_t count, size_t len)
{
    return fails_now(MEMORY) ? NULL : counted(__libc_calloc(count, len));
}
void *realloc(void *old, size_t len)
{
    if (fails_now(MEMORY))
        return NULL;
    void *got = __libc_realloc(old, len);
    if (old == NULL)
        (void)counted(got);
    return got;
}
void free(void *old)
{
    if (old != NULL)
        __atomic_fetch_sub(&alive, 1, __ATOMIC_RELAXED);
    __libc_free(old);
}

#define REFUSE(error)                                                                                        \
    do {                                                                                                     \
        if (fails_now(CALLS)) {                                                                              \
            errno = (error);                                                                                 \
            return -1;                                                                                       \
        }                                                                                                    \
    } while (0)
int flock(int fd, int operation)
{
    REFUSE(ENOLCK);
    return (int)syscall(SYS_flock, fd, operation);
}
int fsync(int fd)
{
    REFUSE(EIO);
    return (int)syscall(SYS_fsync, fd);
}
ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
    REFUSE(ECONNRESET);
    return syscall(SYS_sendto, fd, bytes, count, flags, NULL, 0);
}
ssize_t recv(int fd, void *bytes, size_t count, int flags)
{
    REFUSE(ECONNRESET);
    return syscall(SYS_recvfrom, fd, bytes, count, flags, NULL, NULL);
}
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    REFUSE(ENOMEM);
    return (int)syscall(SYS_epoll_ctl, epoll, what, fd, event);
}
int epoll_create1(int flags)
{
    REFUSE(EMFILE);
    return (int)syscall(SYS_epoll_create1, flags);
}
int eventfd(unsigned value, int flags)
{
    REFUSE(EMFILE);
    return (int)syscall(SYS_eventfd2, value, flags);
}
#endif

/* ---- what is done each time ------------------------------------------------------------------------------------ */

static char dir[64], path[96];

static void remove_files(void)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

static struct hf_id id_of(uint8_t number)
{
    return (struct hf_id){{number}};
}

enum { ROWS = 4 };
struct done { /* what was acknowledged */
    bool rows[ROWS], pair, leaf;
    bool half; /* half a transaction was seen */
};

static bool count_row(void *arg, const struct hf_row *row)
{
    (void)row;
    (*(unsigned *)arg)++;
    return true;
}

static hf_result ignore_bytes(void *arg, struct hf_cursor bytes)
{
    (void)arg;
    (void)bytes;
    return HF_DONE;
}

static hf_result put_row(struct hf_store *store, uint8_t number)
{
    static char text[6000]; /* more than a page */
    memset(text, 'x', sizeof text);
    const struct hf_store_op op = {.kind = HF_STORE_PUT_IF,
                                   .row = {.table = 5,
                                           .id = id_of(number),
                                           .rev = 1,
                                           .name = hf_cursor_text("name"),
                                           .sealed = hf_cursor(text, sizeof text)}};
    return store->ops->commit(store, &op, 1, HF_DURABLE, NULL);
}

static hf_result put_pair(struct hf_store *store)
{
    struct hf_store_op ops[2] = {{.kind = HF_STORE_PUT_IF, .row = {.table = 6, .id = id_of(1), .rev = 1}},
                                 {.kind = HF_STORE_PUT_IF, .row = {.table = 6, .id = id_of(2), .rev = 1}}};
    return store->ops->commit(store, ops, 2, HF_DURABLE, NULL);
}

static void use(struct hf_store *store, struct done *done)
{
    for (uint8_t i = 0; i < ROWS; i++)
        done->rows[i] = HF_IS_OK(put_row(store, i));
    done->pair = HF_IS_OK(put_pair(store));
    const struct hf_store_op leaf = {
        .kind = HF_STORE_AUDIT_APPEND, .amount = 1, .blob = hf_cursor_text("leaf")};
    done->leaf = HF_IS_OK(store->ops->commit(store, &leaf, 1, HF_LAZY, NULL)) &&
                 HF_IS_OK(store->ops->commit(store, NULL, 0, HF_DURABLE, NULL));
    unsigned rows = 0;
    const struct hf_list_query query = {.table = 6, .limit = 10};
    if (HF_IS_OK(store->ops->list(store, &query, count_row, &rows)))
        done->half = rows == 1;
    uint8_t memory[8192];
    struct hf_buf space = hf_buf(memory, sizeof memory);
    struct hf_row row;
    HF_IGNORE(store->ops->get(store, 5, id_of(1), &space, &row), "read for its faults");
    HF_IGNORE(store->ops->backup(store, ignore_bytes, NULL), "read for its faults");
}

static void check_after(const struct done *done)
{
    struct hf_store *store;
    uint8_t memory[8192];
    struct hf_row row;
    assert_false(done->half);
    ok(hf_store_sqlite_open(path, &store));
    for (uint8_t i = 0; i < ROWS; i++) {
        struct hf_buf space = hf_buf(memory, sizeof memory);
        if (done->rows[i])
            ok(store->ops->get(store, 5, id_of(i), &space, &row));
    }
    unsigned pair = 0;
    const struct hf_list_query query = {.table = 6, .limit = 10};
    ok(store->ops->list(store, &query, count_row, &pair));
    assert_true(pair == 2 || (pair == 0 && !done->pair));
    const struct hf_store_op forged = {
        .kind = HF_STORE_AUDIT_APPEND, .amount = 1, .blob = hf_cursor_text("forged")};
    hf_result leaf = store->ops->commit(store, &forged, 1, HF_DURABLE, NULL);
    assert_true(leaf.code == HF_CONFLICT || (HF_IS_OK(leaf) && !done->leaf));
    store->ops->close(store);
}

static void bad_is_bad(void *arg, const struct hf_doctor_finding *finding)
{
    (void)arg;
    if (finding->bad &&
        strncmp(finding->text, "seal: ", 6) != 0) /* no server has been at work: there is none */
        fail_msg("%s", finding->text);
}

static void run_engine(struct done *done)
{
    struct hf_store *store;
    if (!HF_IS_OK(hf_store_sqlite_open(path, &store)))
        return;
    use(store, done);
    store->ops->close(store);
}

#ifndef HF_SANITIZE
static bool stop_now(void *arg)
{
    (void)arg;
    return false;
}

static void *serve_main(void *server)
{
    HF_IGNORE(hf_store_server_run(server), "a fault may end it");
    return NULL;
}

/* Behind sockets; the engine is opened and closed without faults, which run_engine has seen to. */
static void run_remote(struct done *done)
{
    enum { LINKS = 8 };
    int ours[LINKS], theirs[LINKS], stop[2];
    unsigned nth = armed;
    arm(0);
    struct hf_store *engine, *store;
    struct hf_store_server *server;
    pthread_t thread;
    ok(hf_store_sqlite_open(path, &engine));
    assert_int_equal(pipe(stop), 0);
    for (unsigned i = 0; i < LINKS; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
    arm(nth);
    hf_result made = hf_store_server_new(engine, &server);
    for (unsigned i = 0; i < LINKS; i++) {
        if (HF_IS_OK(made))
            HF_IGNORE(hf_store_server_add(server, theirs[i]), "then this link is closed");
        else
            close(theirs[i]);
    }
    bool runs = HF_IS_OK(made) && HF_IS_OK(hf_store_server_watch(server, stop[0], stop_now, NULL)) &&
                pthread_create(&thread, NULL, serve_main, server) == 0;
    if (HF_IS_OK(hf_store_remote_open(ours, LINKS, &store))) {
        if (runs)
            use(store, done);
        store->ops->close(store);
    }
    close(stop[1]);
    if (runs)
        pthread_join(thread, NULL);
    if (HF_IS_OK(made))
        hf_store_server_free(server);
    bool was = disarm();
    engine->ops->close(engine);
    close(stop[0]);
    fired = was;
}
#endif

static struct hf_secret *record_key, *index_key;

static bool ignore_name(void *arg, struct hf_cursor name, struct hf_id id)
{
    (void)arg;
    (void)name;
    (void)id;
    return true;
}

static hf_result write_records(struct hf_records *records, bool *ret_written)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    struct hf_cursor ns = hf_cursor_text("ns");
    TRY(hf_txn_begin(records, &txn));
    for (uint8_t i = 0; i < 3; i++)
        TRY(hf_txn_put(txn, HF_TABLE_KEY, id_of(i), 0, ns, hf_cursor_text("name"), 1, 0,
                       hf_cursor_text("plain")));
    TRY(hf_txn_commit(txn, NULL));
    *ret_written = true;
    return HF_DONE;
}

static void run_records(struct done *done)
{
    struct hf_store *store;
    struct hf_records *records;
    unsigned nth = armed;
    arm(0);
    ok(hf_store_sqlite_open(path, &store));
    arm(nth);
    if (HF_IS_OK(hf_records_open(store, record_key, index_key, &hf_clock_system, &records))) {
        struct hf_record record;
        bool written = false;
        HF_IGNORE(write_records(records, &written), "written says so");
        if (HF_IS_OK(hf_record_load(records, HF_TABLE_KEY, id_of(1), &record)))
            hf_record_done(&record);
        HF_IGNORE(hf_record_names(records, HF_TABLE_KEY, hf_cursor_text("ns"), (struct hf_cursor){0},
                                  (struct hf_cursor){0}, 10, ignore_name, NULL),
                  "read for its faults");
        bool was = disarm(); /* memory and store agree, whatever happened */
        hf_result result = hf_record_load(records, HF_TABLE_KEY, id_of(2), &record);
        assert_true(HF_IS_OK(result) || (result.code == HF_NOT_FOUND && !written));
        if (HF_IS_OK(result))
            hf_record_done(&record);
        else
            ok(write_records(records, &written));
        hf_records_close(records);
        ok(hf_records_open(store, record_key, index_key, &hf_clock_system, &records));
        ok(hf_record_load(records, HF_TABLE_KEY, id_of(0), &record));
        hf_record_done(&record);
        hf_records_close(records);
        fired = was;
    } else {
        fired = disarm();
    }
    store->ops->close(store);
    *done = (struct done){0};
}

/* ---- sweeps ----------------------------------------------------------------------------------------------------- */

/* What libraries keep for a thread is filled by the first few failures; a leak goes on. */
enum { LEAKS_MAX = 24 };

static long run_nth(void (*run)(struct done *done), unsigned nth, bool *ret_went)
{
    struct done done = {0};
    long before = 0, after = 0;
    remove_files();
#ifndef HF_SANITIZE
    before = __atomic_load_n(&alive, __ATOMIC_RELAXED);
#endif
    arm(nth);
    run(&done);
    *ret_went = disarm();
#ifndef HF_SANITIZE
    after = __atomic_load_n(&alive, __ATOMIC_RELAXED);
#endif
    check_after(&done);
    struct hf_doctor_summary summary;
    ok(hf_doctor_run(path, bad_is_bad, NULL, &summary));
    return after - before;
}

static void sweep(int which, void (*run)(struct done *done), unsigned at_least)
{
    unsigned nth = 1, failures = 0;
    bool went = true;
    kind = which;
    for (unsigned warm = 0; warm < 3; warm++)
        (void)run_nth(run, 0, &went);
    assert_false(went);
    do {
        unsigned leaks = 0;
        while (leaks < LEAKS_MAX && run_nth(run, nth, &went) > 0)
            leaks++;
        if (leaks == LEAKS_MAX)
            fail_msg("each time that number %u fails, memory leaks", nth);
        failures += went;
        nth += 1 + nth / 100; /* far out they are much alike */
    } while (went);
    print_message("    %u failures\n", failures);
    assert_true(failures >= at_least);
}

static void the_engine_survives_every_file_fault(void **state)
{
    (void)state;
    sweep(FILES, run_engine, 100);
}

static void records_survive_every_file_fault(void **state)
{
    (void)state;
    sweep(FILES, run_records, 5);
}

#ifndef HF_SANITIZE
static void the_engine_survives_every_allocation_fault(void **state)
{
    (void)state;
    sweep(MEMORY, run_engine, 100);
}

static void the_engine_survives_every_call_fault(void **state)
{
    (void)state;
    sweep(CALLS, run_engine, 2);
}

static void the_remote_store_survives_every_call_fault(void **state)
{
    (void)state;
    sweep(CALLS, run_remote, 30);
}

static void the_remote_store_survives_every_allocation_fault(void **state)
{
    (void)state;
    sweep(MEMORY, run_remote, 50);
}

static void records_survive_every_allocation_fault(void **state)
{
    (void)state;
    sweep(MEMORY, run_records, 50);
}
#endif

int main(void)
{
    hf_sqlite_vfs_fault = file_fault;
    snprintf(dir, sizeof dir, "%s/hf-faults-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(dir) == NULL || !HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)) ||
        !HF_IS_OK(hf_secret_random(32, &record_key)) || !HF_IS_OK(hf_secret_random(32, &index_key)))
        return 1;
    snprintf(path, sizeof path, "%s/db", dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_engine_survives_every_file_fault),
        cmocka_unit_test(records_survive_every_file_fault),
#ifndef HF_SANITIZE
        cmocka_unit_test(the_engine_survives_every_allocation_fault),
        cmocka_unit_test(the_engine_survives_every_call_fault),
        cmocka_unit_test(the_remote_store_survives_every_call_fault),
        cmocka_unit_test(the_remote_store_survives_every_allocation_fault),
        cmocka_unit_test(records_survive_every_allocation_fault),
#endif
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_files();
    rmdir(dir);
    return failed;
}
