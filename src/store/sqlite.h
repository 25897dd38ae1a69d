/* Insides of the SQLite engine, private to store/sqlite*.c and store/doctor.c.
 *
 *   writer   one connection, under write_lock; runs groups of transactions between BEGIN IMMEDIATE and COMMIT
 *   readers  a few connections, each with one caller at a time
 *   checker  one connection that moves the write-ahead log into the file, by a thread of its own
 *
 * Locks, in the order in which they are taken: queue_lock (never held while SQLite runs) | write_lock. */
#ifndef HF_STORE_SQLITE_H
#define HF_STORE_SQLITE_H

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>

#include "store/store.h"

enum {
    HF_SQLITE_SCHEMA = 1,               /* version that this code reads and writes: PRAGMA user_version */
    HF_SQLITE_APPLICATION = 0x48464b53, /* PRAGMA application_id: "HFKS" */
    HF_SQLITE_READERS = 4,
    HF_SQLITE_GROUP_MAX = 512,           /* transactions with one sync */
    HF_SQLITE_LAZY_BYTES_MAX = 64 << 20, /* lazy transactions that wait in memory */
    HF_SQLITE_LAZY_MS = 10,              /* how long they wait for company; the sync comes within 20 */
    HF_SQLITE_RETRY_MS = 100,            /* after a failure to write lazy ones */
    HF_SQLITE_BUSY_MS = 250,             /* how long another process's lock is waited for */
    HF_SQLITE_CHECKPOINT_PAGES = 2000,   /* log length that starts a checkpoint beside the writer */
    HF_SQLITE_RESTART_PAGES = 4 * 2000,  /* log length from which the writer itself finishes one */
    HF_SQLITE_LOG_BITS = 44,             /* audit_batch.pos = audit_log.no << 44 | first index */
    HF_SQLITE_LOGS_CACHED = 8,
};

#define HF_SQLITE_STATEMENTS(X)                                                                              \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                              \
    X(BEGIN_READ, "BEGIN")                                                                                   \
    X(COMMIT, "COMMIT")                                                                                      \
    X(ROLLBACK, "ROLLBACK")                                                                                  \
    X(SAVEPOINT, "SAVEPOINT one")                                                                            \
    X(RELEASE, "RELEASE one")                                                                                \
    X(ROLLBACK_TO, "ROLLBACK TO one")                                                                        \
    X(RECORD_INSERT, "INSERT INTO record(tbl,id,rev,ns,name,state,due,sealed) VALUES(?1,?2,?3,?4,?5,?6,?7,"  \
                     "?8) ON CONFLICT DO NOTHING")                                                           \
    X(RECORD_UPDATE, "UPDATE record SET rev=?3,ns=?4,name=?5,state=?6,due=?7,sealed=?8 WHERE tbl=?1 AND "    \
                     "id=?2 AND rev=?9")                                                                     \
    X(RECORD_DELETE, "DELETE FROM record WHERE tbl=?1 AND id=?2 AND rev=?3")                                 \
    X(RECORD_GET, "SELECT id,rev,ns,name,state,due,sealed FROM record WHERE tbl=?1 AND id=?2")               \
    X(HEAD_INSERT, "INSERT INTO head(shard,seq,sealed) VALUES(?1,?2,?3) ON CONFLICT DO NOTHING")             \
    X(HEAD_UPDATE, "UPDATE head SET seq=?2,sealed=?3 WHERE shard=?1 AND seq=?4")                             \
    X(HEAD_GET, "SELECT seq,sealed FROM head WHERE shard=?1")                                                \
    X(CHANGE_INSERT, "INSERT INTO change(shard,seq,tbl,id,rev,sealed) VALUES(?1,?2,?3,?4,?5,?6)")            \
    X(CHANGE_BACK, "SELECT pos,shard,seq FROM change ORDER BY pos DESC")                                     \
    X(CHANGE_EACH, "SELECT pos,shard,seq,tbl,id,rev,sealed FROM change WHERE pos>?1 ORDER BY pos LIMIT ?2")  \
    X(CHANGE_FROM, "SELECT pos,shard,seq,tbl,id,rev,sealed FROM change WHERE pos>=?1 AND shard=?2 ORDER "    \
                   "BY pos LIMIT ?3")                                                                        \
    X(ONCE_INSERT, "INSERT INTO once(h,expires) VALUES(?1,?2) ON CONFLICT DO NOTHING")                       \
    X(ONCE_EXPIRE, "DELETE FROM once WHERE h IN (SELECT h FROM once WHERE expires BETWEEN 1 AND ?1 LIMIT "   \
                   "16)")                                                                                    \
    X(RESERVE, "INSERT INTO use_block(ver,reserved) VALUES(?1,?2) ON CONFLICT DO UPDATE SET "                \
               "reserved=reserved+?2 WHERE reserved<=?3 RETURNING reserved")                                 \
    X(JOB_INSERT, "INSERT INTO job(id,due,fence,cursor) VALUES(?1,?2,?3,?4) ON CONFLICT DO NOTHING")         \
    X(JOB_UPDATE, "UPDATE job SET due=?2,fence=?3,cursor=?4 WHERE id=?1 AND fence=?5")                       \
    X(JOB_DELETE, "DELETE FROM job WHERE id=?1 AND fence=?2")                                                \
    X(JOB_LIST, "SELECT id,due,fence,cursor FROM job WHERE due<?1 ORDER BY due,id LIMIT ?2")                 \
    X(LOG_GET, "SELECT no FROM audit_log WHERE log=?1")                                                      \
    X(LOG_INSERT, "INSERT INTO audit_log(log) VALUES(?1) RETURNING no")                                      \
    X(BATCH_INSERT, "INSERT INTO audit_batch(pos,n,blob) VALUES(?1,?2,?3) ON CONFLICT DO NOTHING")           \
    X(BATCH_SAME, "SELECT 1 FROM audit_batch WHERE pos=?1 AND n=?2 AND blob=?3")                             \
    X(BATCH_HOLDS, "SELECT pos,n FROM audit_batch WHERE pos<=?1 AND pos>=?2 ORDER BY pos DESC LIMIT 1")      \
    X(BATCH_READ, "SELECT pos,n,blob FROM audit_batch WHERE pos>=?1 AND pos<?2 ORDER BY pos LIMIT ?3")       \
    X(AUDIT_HEAD_INSERT, "INSERT INTO audit_head(log,size,sealed) VALUES(?1,?2,?3) ON CONFLICT DO NOTHING")  \
    X(AUDIT_HEAD_UPDATE, "UPDATE audit_head SET size=?2,sealed=?3 WHERE log=?1 AND size=?4")                 \
    X(AUDIT_HEAD_GET, "SELECT size,sealed FROM audit_head WHERE log=?1")                                     \
    X(NODE_INSERT, "INSERT INTO node(id,beat,sealed) VALUES(?1,?2,?3) ON CONFLICT DO NOTHING")               \
    X(NODE_UPDATE, "UPDATE node SET beat=?2,sealed=?3 WHERE id=?1 AND beat=?4")                              \
    X(NODE_LIST, "SELECT id,beat,sealed FROM node ORDER BY id")                                              \
    X(LIST_NAME, HF_SQLITE_LIST("sealed", "AND ns=?2 AND (name,id)>(?3,?4) AND name<?5", "name,id"))         \
    X(LIST_NAME_BARE, HF_SQLITE_LIST("x''", "AND ns=?2 AND (name,id)>(?3,?4) AND name<?5", "name,id"))       \
    X(LIST_NAME_ANY, HF_SQLITE_LIST("sealed", "AND ?2=x'' AND (name,id)>(?3,?4) AND name<?5", "name,id"))    \
    X(LIST_NAME_ANY_BARE, HF_SQLITE_LIST("x''", "AND ?2=x'' AND (name,id)>(?3,?4) AND name<?5", "name,id"))  \
    X(LIST_ID, HF_SQLITE_LIST("sealed", "AND (?2=x'' OR ns=?2) AND id>?4 AND name>=?3 AND name<?5", "id"))   \
    X(LIST_ID_BARE, HF_SQLITE_LIST("x''", "AND (?2=x'' OR ns=?2) AND id>?4 AND name>=?3 AND name<?5", "id")) \
    X(LIST_DUE, HF_SQLITE_LIST("sealed",                                                                     \
                               "AND due>0 AND (?2=x'' OR ns=?2) AND (due,id)>(?7,?4) AND due<?8 AND "        \
                               "name>=?3 AND name<?5",                                                       \
                               "due,id"))                                                                    \
    X(LIST_DUE_BARE, HF_SQLITE_LIST("x''",                                                                   \
                                    "AND due>0 AND (?2=x'' OR ns=?2) AND (due,id)>(?7,?4) AND due<?8 AND "   \
                                    "name>=?3 AND name<?5",                                                  \
                                    "due,id"))
#define HF_SQLITE_LIST(sealed, where, order)                                                                 \
    "SELECT id,rev,ns,name,state,due," sealed " FROM record WHERE tbl=?1 " where " ORDER BY " order          \
    " LIMIT ?6"

#define HF_SQLITE_AS_ENUM(symbol, sql) HF_SQL_##symbol,
enum hf_sqlite_statement { HF_SQLITE_STATEMENTS(HF_SQLITE_AS_ENUM) HF_SQL_COUNT };
#undef HF_SQLITE_AS_ENUM

struct hf_sqlite_conn {
    sqlite3 *db;
    sqlite3_stmt *statements[HF_SQL_COUNT]; /* prepared at first use */
    bool taken;
};

struct hf_sqlite_waiter;
struct hf_sqlite_lazy;

struct hf_sqlite {
    struct hf_store base;
    int lock_fd; /* keeps other servers off the file; closed last */
    bool read_only;
    char cluster_id[HF_ID_TEXT_LEN + 1];

    pthread_mutex_t write_lock;
    struct hf_sqlite_conn writer;
    struct {
        struct hf_id log;
        uint64_t no; /* 0: free */
    } logs[HF_SQLITE_LOGS_CACHED];
    int checked_pages; /* length of the log when a checkpoint was last asked for */
    bool wal_long; /* a checkpoint left little to do, and the log is long: finish it before the next group */

    pthread_mutex_t queue_lock;
    struct hf_sqlite_waiter *first, **last;
    bool leading; /* somebody runs groups now */
    struct hf_sqlite_lazy *lazy_first, **lazy_last;
    size_t lazy_bytes;
    uint64_t lazy_taken, lazy_done; /* how many, ever */
    enum hf_code lazy_failure;      /* why the last group with lazy ones failed; OK */
    pthread_cond_t lazy_wake, lazy_settled;
    bool flusher_runs, stopping;
    pthread_t flusher;

    pthread_mutex_t reader_lock;
    pthread_cond_t reader_free;
    struct hf_sqlite_conn readers[HF_SQLITE_READERS];

    pthread_mutex_t check_lock;
    pthread_cond_t check_wake;
    struct hf_sqlite_conn checker;
    bool checker_runs, check_wanted, check_stop;
    pthread_t checker_thread;
};

/* sqlite_vfs.c */
#define HF_SQLITE_VFS "holdfast"
void hf_sqlite_vfs_register(void);
/* Why a call of this thread failed last: an errno, 0 where none did since it was asked for. */
int hf_sqlite_vfs_error(void);
/* For tests: asked before each call to the file system; what is not SQLITE_OK makes it fail. */
extern int (*hf_sqlite_vfs_fault)(void);

/* sqlite_open.c */
/* What an SQLite result code means to callers; SQLITE_OK, ROW and DONE give OK. */
hf_result hf_sqlite_result(sqlite3 *db, int code);
hf_result hf_sqlite_conn_open(struct hf_sqlite_conn *conn, const char *path, int flags);
void hf_sqlite_conn_close(struct hf_sqlite_conn *conn);
/* The prepared statement, reset. Fails as hf_sqlite_result. */
hf_result hf_sqlite_prepare(struct hf_sqlite_conn *conn, enum hf_sqlite_statement which, sqlite3_stmt **ret);
/* Runs one without parameters and rows. */
hf_result hf_sqlite_run(struct hf_sqlite_conn *conn, enum hf_sqlite_statement which);
/* The only integer that `sql` gives. */
hf_result hf_sqlite_number(sqlite3 *db, const char *sql, int64_t *ret);

/* sqlite_schema.c */
/* Brings the schema to HF_SQLITE_SCHEMA, from nothing if need be. Fails: UNSUPPORTED where it is newer, CORRUPT where
 * the file is some other program's. */
hf_result hf_sqlite_migrate(sqlite3 *db);
/* Calls bad() for each difference between the schema that stands in the file and the one of this version. */
hf_result hf_sqlite_schema_check(sqlite3 *db, void (*bad)(void *arg, const char *what), void *arg);

/* sqlite_ops.c: executes one transaction's operations on the writer, inside a transaction. */
hf_result hf_sqlite_execute(struct hf_sqlite *engine, struct hf_store_txn *txn);

/* sqlite_write.c */
hf_result hf_sqlite_commit(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                           enum hf_durability durability, struct hf_store_outcome *ret_outcome);
void hf_sqlite_commit_many(struct hf_store *self, struct hf_store_txn *txns, size_t count);
int hf_sqlite_after_commit(void *engine, sqlite3 *db, const char *name,
                           int pages);               /* the writer's WAL hook */
void hf_sqlite_write_stop(struct hf_sqlite *engine); /* what was taken is written, threads end */

/* sqlite_read.c */
hf_result hf_sqlite_get(struct hf_store *self, uint16_t table, struct hf_id id, struct hf_buf *space,
                        struct hf_row *ret_row);
hf_result hf_sqlite_list(struct hf_store *self, const struct hf_list_query *query, hf_row_fn each, void *arg);
hf_result hf_sqlite_head_get(struct hf_store *self, uint16_t shard, struct hf_buf *space, uint64_t *ret_seq,
                             struct hf_cursor *ret_blob);
hf_result hf_sqlite_feed_since(struct hf_store *self, uint16_t shard, uint64_t after_seq, uint32_t limit,
                               hf_change_fn each, void *arg);
hf_result hf_sqlite_feed_each(struct hf_store *self, uint64_t after, uint32_t limit, hf_change_fn each,
                              void *arg);
hf_result hf_sqlite_audit_head_get(struct hf_store *self, struct hf_id log, struct hf_buf *space,
                                   uint64_t *ret_size, struct hf_cursor *ret_blob);
hf_result hf_sqlite_audit_read(struct hf_store *self, struct hf_id log, uint64_t from, uint32_t limit,
                               hf_audit_batch_fn each, void *arg);
hf_result hf_sqlite_job_list(struct hf_store *self, int64_t due_before_ns, uint32_t limit, hf_job_fn each,
                             void *arg);
hf_result hf_sqlite_node_list(struct hf_store *self, hf_node_fn each, void *arg);
hf_result hf_sqlite_backup(struct hf_store *self, hf_store_sink sink, void *arg);
struct hf_sqlite_conn *hf_sqlite_reader_take(struct hf_sqlite *engine);
void hf_sqlite_reader_give(struct hf_sqlite *engine, struct hf_sqlite_conn *conn);

static inline void hf_sqlite_bind(sqlite3_stmt *s, int at, struct hf_cursor bytes)
{
    /* An empty blob, not NULL. Bytes outlive the step. A failure shows as NULL, which every column refuses. */
    (void)sqlite3_bind_blob64(s, at, bytes.left == 0 ? (const uint8_t *)"" : bytes.at, bytes.left,
                              SQLITE_STATIC);
}
static inline void hf_sqlite_bind_id(sqlite3_stmt *s, int at, const struct hf_id *id)
{
    hf_sqlite_bind(s, at, hf_cursor(id->bytes, sizeof id->bytes));
}
static inline void hf_sqlite_bind_number(sqlite3_stmt *s, int at, uint64_t value)
{
    (void)sqlite3_bind_int64(s, at, (int64_t)value);
}
static inline struct hf_cursor hf_sqlite_column(sqlite3_stmt *s, int at)
{
    const void *bytes = sqlite3_column_blob(s, at); /* first: it may convert */
    int len = sqlite3_column_bytes(s, at);
    return hf_cursor(bytes, bytes == NULL || len < 0 ? 0 : (size_t)len);
}
/* A column that must hold an identifier. */
static inline bool hf_sqlite_column_id(sqlite3_stmt *s, int at, struct hf_id *ret_id)
{
    struct hf_cursor bytes = hf_sqlite_column(s, at);
    return bytes.left == sizeof ret_id->bytes && hf_cursor_copy(&bytes, ret_id->bytes, sizeof ret_id->bytes);
}

#endif
