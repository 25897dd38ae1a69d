#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const sql_of[HF_SQL_COUNT] = {
#define AS_TEXT(symbol, sql) [HF_SQL_##symbol] = sql,
    HF_SQLITE_STATEMENTS(AS_TEXT)
#undef AS_TEXT
};

hf_result hf_sqlite_result(sqlite3 *db, int code)
{
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
        return HF_DONE;
    int os = hf_sqlite_vfs_error();
    if (os == 0 && db != NULL)
        os = sqlite3_system_errno(db);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return HF_FAIL(STORE_BUSY);
    case SQLITE_FULL:
        return HF_FAIL(STORE_FULL);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return HF_FAIL(STORE_READ_ONLY);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return HF_FAIL(CORRUPT);
    case SQLITE_NOMEM:
        return HF_FAIL(NO_MEMORY);
    case SQLITE_TOOBIG:
        return HF_FAIL(TOO_LARGE);
    case SQLITE_IOERR:
        if (code == SQLITE_IOERR_NOMEM)
            return HF_FAIL(NO_MEMORY);
        if (code == SQLITE_IOERR_SHORT_READ || code == SQLITE_IOERR_CORRUPTFS)
            return HF_FAIL(CORRUPT);
        if (os == ENOSPC || os == EDQUOT || os == EFBIG)
            return HF_FAIL(STORE_FULL);
        if (os == EROFS)
            return HF_FAIL(STORE_READ_ONLY);
        return HF_FAIL(STORE_DOWN);
    default:
        return os == EROFS ? HF_FAIL(STORE_READ_ONLY) : HF_FAIL(STORE_DOWN);
    }
}

hf_result hf_sqlite_prepare(struct hf_sqlite_conn *conn, enum hf_sqlite_statement which, sqlite3_stmt **ret)
{
    if (conn->statements[which] == NULL) {
        int code = sqlite3_prepare_v3(conn->db, sql_of[which], -1, SQLITE_PREPARE_PERSISTENT,
                                      &conn->statements[which], NULL);
        if (code != SQLITE_OK)
            return hf_sqlite_result(conn->db, code);
    }
    *ret = conn->statements[which];
    return HF_DONE;
}

hf_result hf_sqlite_run(struct hf_sqlite_conn *conn, enum hf_sqlite_statement which)
{
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, which, &s));
    int code = sqlite3_step(s);
    hf_result result = hf_sqlite_result(conn->db, code);
    sqlite3_reset(s);
    return result;
}

hf_result hf_sqlite_number(sqlite3 *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(s);
        if (code == SQLITE_ROW)
            *ret = sqlite3_column_int64(s, 0);
        else if (code == SQLITE_DONE)
            code = SQLITE_CORRUPT;
    }
    hf_result result = hf_sqlite_result(db, code);
    sqlite3_finalize(s);
    return result;
}

static hf_result run_text(sqlite3 *db, const char *sql)
{
    return hf_sqlite_result(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static void library_start(void)
{
    /* Counting every allocation takes a global lock. Fails harmlessly where the library runs already. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_initialize();
    hf_sqlite_vfs_register();
}

hf_result hf_sqlite_conn_open(struct hf_sqlite_conn *conn, const char *path, int flags)
{
    static pthread_once_t started = PTHREAD_ONCE_INIT;
    (void)pthread_once(&started, library_start);
    int code =
        sqlite3_open_v2(path, &conn->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, HF_SQLITE_VFS);
    if (code != SQLITE_OK)
        return hf_sqlite_result(conn->db, code);
    sqlite3_busy_timeout(conn->db, HF_SQLITE_BUSY_MS);
    (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, flags & SQLITE_OPEN_READONLY, NULL);
    /* temp_store: what sorts does so in memory; the sandbox lets no temporary file be opened. secure_delete: a key that
     * was destroyed is overwritten where it lay. */
    return run_text(conn->db,
                    "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY; "
                    "PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON");
}

void hf_sqlite_conn_close(struct hf_sqlite_conn *conn)
{
    for (size_t i = 0; i < HF_SQL_COUNT; i++) {
        sqlite3_finalize(conn->statements[i]);
        conn->statements[i] = NULL;
    }
    (void)sqlite3_close_v2(conn->db); /* no statement is left, so it closes */
    conn->db = NULL;
}

static hf_result result_of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return HF_FAIL(STORE_FULL);
    case EROFS:
    case EACCES:
    case EPERM:
        return HF_FAIL(STORE_READ_ONLY);
    case ENOMEM:
        return HF_FAIL(NO_MEMORY);
    default:
        return HF_FAIL(STORE_DOWN);
    }
}

/* Makes the file's name durable: without it a fresh database could vanish with a crash of the machine. */
static hf_result sync_directory(const char *path)
{
    char parent[4096];
    size_t len = strlen(path);
    if (len >= sizeof parent)
        return HF_FAIL(BAD_ARGUMENT);
    const char *slash = strrchr(path, '/');
    size_t cut = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    memcpy(parent, slash == NULL ? "." : path, slash == NULL ? 1 : cut);
    parent[slash == NULL ? 1 : cut] = '\0';
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return result_of_errno(errno);
    hf_result result = fsync(fd) == 0 || errno == EINVAL ? HF_DONE : result_of_errno(errno);
    close(fd);
    return result;
}

/* Opens the file itself: to make it with the right mode, and to lock other servers out. flock does not meet the
 * fcntl locks that SQLite uses; but closing any descriptor of the file drops those, so this one is closed last. */
static hf_result lock_file(struct hf_sqlite *engine, const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return result_of_errno(errno);
        engine->lock_fd = fd;
        TRY(sync_directory(path));
    } else if (fd < 0 && (errno == EROFS || errno == EACCES || errno == EPERM)) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        engine->read_only = true;
    }
    if (fd < 0)
        return result_of_errno(errno);
    engine->lock_fd = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? HF_FAIL(STORE_BUSY) : result_of_errno(errno);
    return HF_DONE;
}

/* A file that cannot be written and has nothing in a write-ahead log is read without one: SQLite would else want to
 * make files beside it. */
static hf_result open_immutable(struct hf_sqlite_conn *conn, const char *path)
{
    char name[4096];
    struct hf_buf out = hf_buf(name, sizeof name);
    struct stat log;
    hf_buf_text(&out, path);
    hf_buf_put(&out, "-wal", 5);
    if (out.overflow || (stat(name, &log) == 0 && log.st_size != 0))
        return HF_FAIL(STORE_READ_ONLY);
    out = hf_buf(name, sizeof name);
    hf_buf_text(&out, "file:");
    for (const char *c = path; *c != '\0'; c++) {
        static const char digits[] = "0123456789ABCDEF";
        if (strchr("%?#", *c) == NULL) {
            hf_buf_u8(&out, (uint8_t)*c);
        } else {
            hf_buf_u8(&out, '%');
            hf_buf_u8(&out, (uint8_t)digits[(uint8_t)*c >> 4]);
            hf_buf_u8(&out, (uint8_t)digits[(uint8_t)*c & 15]);
        }
    }
    hf_buf_put(&out, "?immutable=1", 13);
    if (out.overflow)
        return HF_FAIL(BAD_ARGUMENT);
    hf_sqlite_conn_close(conn);
    return hf_sqlite_conn_open(conn, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
}

static hf_result open_reader(struct hf_sqlite *engine, struct hf_sqlite_conn *conn, const char *path)
{
    int64_t tables;
    if (!engine->read_only) {
        TRY(hf_sqlite_conn_open(conn, path, SQLITE_OPEN_READWRITE));
        TRY(run_text(conn->db, "PRAGMA query_only=ON; PRAGMA cache_size=-4096"));
        return hf_sqlite_number(conn->db, "SELECT count(*) FROM sqlite_schema", &tables);
    }
    hf_result result = hf_sqlite_conn_open(conn, path, SQLITE_OPEN_READONLY);
    if (HF_IS_OK(result))
        result = hf_sqlite_number(conn->db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (result.code == HF_STORE_DOWN || result.code == HF_STORE_READ_ONLY)
        result = open_immutable(conn, path);
    return result;
}

static hf_result open_writer(struct hf_sqlite *engine, const char *path)
{
    struct hf_sqlite_conn *writer = &engine->writer;
    TRY(hf_sqlite_conn_open(writer, path, SQLITE_OPEN_READWRITE));
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(writer->db, "PRAGMA journal_mode=WAL", -1, &s, NULL);
    bool wal = false;
    if (code == SQLITE_OK) {
        code = sqlite3_step(s);
        const unsigned char *mode = code == SQLITE_ROW ? sqlite3_column_text(s, 0) : NULL;
        wal = mode != NULL && strcmp((const char *)mode, "wal") == 0;
    }
    hf_result result = hf_sqlite_result(writer->db, code);
    sqlite3_finalize(s);
    TRY(result);
    if (!wal) /* a file system without shared memory maps */
        return HF_FAIL(STORE_DOWN);
    TRY(run_text(writer->db, "PRAGMA cache_size=-4096"));
    sqlite3_wal_hook(writer->db, hf_sqlite_after_commit, engine);
    return hf_sqlite_migrate(writer->db);
}

static hf_result read_cluster_id(struct hf_sqlite *engine)
{
    struct hf_sqlite_conn *conn = &engine->readers[0];
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(conn->db, "SELECT value FROM meta WHERE key='cluster_id'", -1, &s, NULL);
    hf_result result = hf_sqlite_result(conn->db, code);
    if (HF_IS_OK(result)) {
        code = sqlite3_step(s);
        struct hf_id id;
        if (code == SQLITE_ROW && hf_sqlite_column_id(s, 0, &id))
            hf_id_text(id, engine->cluster_id);
        else
            result = code == SQLITE_ROW || code == SQLITE_DONE ? HF_FAIL(CORRUPT)
                                                               : hf_sqlite_result(conn->db, code);
    }
    sqlite3_finalize(s);
    return result;
}

static hf_result sqlite_info(struct hf_store *self, struct hf_store_info *ret_info)
{
    struct hf_sqlite *engine = (struct hf_sqlite *)self;
    struct hf_store_info info = {.engine = "sqlite", .read_only = engine->read_only};
    struct hf_buf version = hf_buf(info.version, sizeof info.version - 1);
    hf_buf_text(&version, sqlite3_libversion());
    memcpy(info.cluster_id, engine->cluster_id, sizeof info.cluster_id);
    struct hf_sqlite_conn *conn = hf_sqlite_reader_take(engine);
    int64_t schema = 0, pages = 0;
    hf_result result = hf_sqlite_number(conn->db, "PRAGMA user_version", &schema);
    if (HF_IS_OK(result))
        result = hf_sqlite_number(
            conn->db, "SELECT page_count*page_size FROM pragma_page_count,pragma_page_size", &pages);
    hf_sqlite_reader_give(engine, conn);
    TRY(result);
    info.schema = (uint32_t)schema;
    info.bytes = (uint64_t)pages;
    *ret_info = info;
    return HF_DONE;
}

/* One node: nobody else changes anything. */
static hf_result sqlite_hint_wait(struct hf_store *self, int64_t timeout_ns)
{
    (void)self;
    int64_t wait = HF_MIN(timeout_ns, INT64_C(1000000000));
    if (wait > 0)
        (void)usleep((useconds_t)(wait / 1000));
    return HF_DONE;
}

static void engine_free(struct hf_sqlite *engine)
{
    hf_sqlite_write_stop(engine);
    hf_sqlite_conn_close(&engine->checker);
    for (size_t i = 0; i < HF_SQLITE_READERS; i++)
        hf_sqlite_conn_close(&engine->readers[i]);
    hf_sqlite_conn_close(&engine->writer); /* the last one: it empties the write-ahead log into the file */
    if (engine->lock_fd >= 0)
        close(engine->lock_fd);
    pthread_mutex_destroy(&engine->write_lock);
    pthread_mutex_destroy(&engine->queue_lock);
    pthread_mutex_destroy(&engine->reader_lock);
    pthread_mutex_destroy(&engine->check_lock);
    pthread_cond_destroy(&engine->lazy_wake);
    pthread_cond_destroy(&engine->lazy_settled);
    pthread_cond_destroy(&engine->reader_free);
    pthread_cond_destroy(&engine->check_wake);
    free(engine);
}

static void engine_freep(struct hf_sqlite **engine)
{
    if (*engine != NULL)
        engine_free(*engine);
}

static void sqlite_close(struct hf_store *self)
{
    engine_free((struct hf_sqlite *)self);
}

static const struct hf_store_ops sqlite_ops = {
    .name = "sqlite",
    .commit = hf_sqlite_commit,
    .commit_many = hf_sqlite_commit_many,
    .get = hf_sqlite_get,
    .list = hf_sqlite_list,
    .head_get = hf_sqlite_head_get,
    .feed_since = hf_sqlite_feed_since,
    .feed_each = hf_sqlite_feed_each,
    .audit_head_get = hf_sqlite_audit_head_get,
    .audit_read = hf_sqlite_audit_read,
    .job_list = hf_sqlite_job_list,
    .node_list = hf_sqlite_node_list,
    .info = sqlite_info,
    .backup = hf_sqlite_backup,
    .hint_wait = sqlite_hint_wait,
    .close = sqlite_close,
};

hf_result hf_store_sqlite_open(const char *path, struct hf_store **ret_store)
{
    CLEANUP(engine_freep) struct hf_sqlite *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return HF_FAIL(NO_MEMORY);
    engine->base.ops = &sqlite_ops;
    engine->lock_fd = -1;
    engine->last = &engine->first;
    engine->lazy_last = &engine->lazy_first;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&engine->write_lock, NULL);
    pthread_mutex_init(&engine->queue_lock, NULL);
    pthread_mutex_init(&engine->reader_lock, NULL);
    pthread_mutex_init(&engine->check_lock, NULL);
    pthread_cond_init(&engine->lazy_wake, &monotonic);
    pthread_cond_init(&engine->lazy_settled, NULL);
    pthread_cond_init(&engine->reader_free, NULL);
    pthread_cond_init(&engine->check_wake, NULL);
    pthread_condattr_destroy(&monotonic);

    TRY(lock_file(engine, path));
    if (!engine->read_only) {
        TRY(open_writer(engine, path));
        TRY(hf_sqlite_conn_open(&engine->checker, path, SQLITE_OPEN_READWRITE));
        int64_t tables; /* reads once, so that the shared index is mapped */
        TRY(hf_sqlite_number(engine->checker.db, "SELECT count(*) FROM sqlite_schema", &tables));
    }
    for (size_t i = 0; i < HF_SQLITE_READERS; i++)
        TRY(open_reader(engine, &engine->readers[i], path));
    if (engine->read_only) {
        int64_t schema;
        TRY(hf_sqlite_number(engine->readers[0].db, "PRAGMA user_version", &schema));
        if (schema != HF_SQLITE_SCHEMA)
            return schema > HF_SQLITE_SCHEMA ? HF_FAIL(UNSUPPORTED) : HF_FAIL(STORE_READ_ONLY);
    }
    TRY(read_cluster_id(engine));
    *ret_store = &TAKE(engine)->base;
    return HF_DONE;
}
