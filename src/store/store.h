/* The store: durability and ordering of sealed records, trusted for neither secrecy nor integrity. One
 * interface; SQLite behind it (store/sqlite.h), a process boundary behind it (store/remote.h), PostgreSQL later.
 * All pass tests/contract/store.c.
 *
 * Every write is one transaction of conditional operations, sent whole and executed atomically: no interactive
 * transaction is held across a process or network boundary, so many nodes need no other interface, and the
 * engine may commit many callers' transactions with one sync. A transaction is durable when commit returns. */
#ifndef HF_STORE_STORE_H
#define HF_STORE_STORE_H

#include "base/buf.h"
#include "base/log.h"

enum {
    HF_STORE_RECORD_MAX = 4 << 20,
    HF_STORE_NAME_MAX = 512,
    HF_STORE_TXN_OPS_MAX = 128,
    HF_STORE_LIST_MAX = 10000,
    HF_STORE_SHARDS = 64,
};

/* Row of `record`. Clear columns are what queries need; the sealed part repeats them inside. */
struct hf_row {
    uint16_t table; /* enum hf_table in records/records.h; opaque here */
    struct hf_id id;
    uint64_t rev;        /* from 1; grows by one a write */
    struct hf_cursor ns; /* namespace id, 16 bytes, or empty */
    struct hf_cursor name;
    uint8_t state;
    int64_t due_ns; /* wall time when something is due, 0 never */
    struct hf_cursor sealed;
};

enum hf_store_op_kind {
    HF_STORE_PUT_IF = 1, /* row; expect_rev 0: must not exist; row.rev must be expect_rev + 1 */
    HF_STORE_DEL_IF,     /* row.table, row.id; expect_rev */
    HF_STORE_HEAD_CAS,   /* shard, seq (new) > expect_rev (now), blob: the head's sealed state */
    HF_STORE_FEED_APPEND, /* shard, seq, row.{table,id,rev}, blob: what the feed's leaf says. A HEAD_CAS of the shard
                             must be in the same transaction, and seq among those that it adds, in order */
    HF_STORE_ONCE,        /* hash (32 bytes), expires_ns: conflict where it is there already */
    HF_STORE_RESERVE,      /* row.id = version id, amount: use_block.reserved += amount; result in `result` */
    HF_STORE_JOB_PUT,      /* row.id, row.due_ns, blob: cursor; expect_rev: its fence now (0: must not exist);
                             seq: its fence from here: expect_rev + 1 claims (or creates), expect_rev steps */
    HF_STORE_JOB_DEL,      /* row.id, expect_rev: its fence */
    HF_STORE_AUDIT_APPEND, /* log id in row.id, first index in seq, amount = count of leaves, blob; conflict where
                             that first index is there already with other content (the same again is OK, so that
                             what was sent may be sent again) */
    HF_STORE_AUDIT_HEAD, /* log id in row.id, seq = size, expect_rev = previous size, blob: sealed head */
    HF_STORE_BEAT,       /* row.id = node, expect_rev = beat now (0: must not exist; then one more), blob */
};
struct hf_store_op {
    enum hf_store_op_kind kind;
    uint16_t shard;
    uint64_t expect_rev;
    uint64_t seq;
    uint64_t amount;
    struct hf_row row;
    struct hf_cursor hash;
    int64_t expires_ns;
    struct hf_cursor blob;
};

struct hf_store_outcome {
    uint32_t failed_op; /* index of the first operation whose condition did not hold (with CONFLICT) */
    uint64_t result;    /* of RESERVE: the new total */
};

enum hf_durability {
    HF_DURABLE = 0, /* returns after the sync */
    HF_LAZY = 1,    /* returns when the store process has it; synced with the next group, within 20 ms. Its
                       conditions are checked then: a conflict is counted and logged, no one is told. Where the store
                       cannot write what it took, it keeps it, refuses further lazy ones, and tries again. A lazy
                       transaction may run twice after the store process died: use idempotent operations. */
};

/* One caller's transaction, for commit_many. */
struct hf_store_txn {
    const struct hf_store_op *ops;
    size_t count;
    struct hf_store_outcome outcome; /* filled */
    hf_result result;                /* filled */
};

/* Rows of `job` and `node`. */
struct hf_job {
    struct hf_id id;
    int64_t due_ns;
    uint64_t fence;
    struct hf_cursor cursor;
};
typedef bool (*hf_job_fn)(void *arg, const struct hf_job *job);
struct hf_node {
    struct hf_id id;
    uint64_t beat;
    struct hf_cursor blob;
};
typedef bool (*hf_node_fn)(void *arg, const struct hf_node *node);
/* Takes the next piece of a stream; a failure ends it. */
typedef hf_result (*hf_store_sink)(void *arg, struct hf_cursor bytes);

enum hf_list_order { HF_LIST_BY_NAME, HF_LIST_BY_ID, HF_LIST_BY_DUE };
struct hf_list_query {
    uint16_t table;
    struct hf_cursor ns;     /* empty: any */
    struct hf_cursor prefix; /* of the name */
    struct hf_cursor
        after; /* name, id or 8-byte due (big-endian) of the last row seen; empty: from the start */
    struct hf_cursor
        after_id;          /* with after: that row's id, so that its equals in name or due are not left out */
    int64_t due_before_ns; /* BY_DUE: rows with 0 < due < this */
    enum hf_list_order order;
    bool without_sealed; /* rows come with an empty sealed part */
    uint32_t limit;      /* <= HF_STORE_LIST_MAX */
};

/* Called for each row; borrowed till it returns. Returning false ends the walk (no error). */
typedef bool (*hf_row_fn)(void *arg, const struct hf_row *row);
struct hf_change {
    uint64_t at; /* its place in the store's own order of all shards' changes, from 1 */
    uint16_t shard;
    uint64_t seq;
    uint16_t table;
    struct hf_id id;
    uint64_t rev;
    struct hf_cursor blob;
};
typedef bool (*hf_change_fn)(void *arg, const struct hf_change *change);
struct hf_audit_batch {
    struct hf_id log;
    uint64_t first, count;
    struct hf_cursor blob;
};
typedef bool (*hf_audit_batch_fn)(void *arg, const struct hf_audit_batch *batch);

struct hf_store_info {
    char engine[32]; /* "sqlite" */
    char version[64];
    uint32_t schema; /* version of the schema */
    uint64_t bytes;  /* on disk */
    bool read_only;
    char cluster_id[HF_ID_TEXT_LEN + 1];
};

struct hf_store;
struct hf_store_ops {
    const char *name;
    /* All calls block, are thread-safe, and fail with STORE_DOWN, STORE_FULL, STORE_READ_ONLY, STORE_BUSY,
     * CORRUPT (a damaged page), beside what is said. */
    /* CONFLICT: nothing was written. COMMIT_UNKNOWN: it may have been; ask (get, audit_read) before retrying.
     * count 0, DURABLE: a barrier: returns when every lazy one taken before is durable. */
    hf_result (*commit)(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                        enum hf_durability durability, struct hf_store_outcome *ret_outcome);
    /* sealed etc. copied to `space`; NOT_FOUND. */
    hf_result (*get)(struct hf_store *self, uint16_t table, struct hf_id id, struct hf_buf *space,
                     struct hf_row *ret_row);
    hf_result (*list)(struct hf_store *self, const struct hf_list_query *query, hf_row_fn each, void *arg);
    /* seq 0 and empty blob where the shard was never written. */
    hf_result (*head_get)(struct hf_store *self, uint16_t shard, struct hf_buf *space, uint64_t *ret_seq,
                          struct hf_cursor *ret_blob);
    hf_result (*feed_since)(struct hf_store *self, uint16_t shard, uint64_t after_seq, uint32_t limit,
                            hf_change_fn each, void *arg);
    /* Changes of all shards, each shard's in order, from behind `after` on (`at` of the last one seen; 0: all). */
    hf_result (*feed_each)(struct hf_store *self, uint64_t after, uint32_t limit, hf_change_fn each,
                           void *arg);
    hf_result (*audit_head_get)(struct hf_store *self, struct hf_id log, struct hf_buf *space,
                                uint64_t *ret_size, struct hf_cursor *ret_blob);
    /* Batches whose first index is >= from, plus the one that holds `from`, in order. */
    hf_result (*audit_read)(struct hf_store *self, struct hf_id log, uint64_t from, uint32_t limit,
                            hf_audit_batch_fn each, void *arg);
    hf_result (*info)(struct hf_store *self, struct hf_store_info *ret_info);
    /* Consistent copy of the whole database, online, as a stream that every engine restores (store/backup.h).
     * Gives nothing decryptable: records stay sealed. */
    hf_result (*backup)(struct hf_store *self, hf_store_sink sink, void *arg);
    /* Jobs with due < due_before_ns, by due; nodes by id. */
    hf_result (*job_list)(struct hf_store *self, int64_t due_before_ns, uint32_t limit, hf_job_fn each,
                          void *arg);
    hf_result (*node_list)(struct hf_store *self, hf_node_fn each, void *arg);
    /* Many callers' transactions with one sync; each has its own outcome. NULL where the engine cannot. */
    void (*commit_many)(struct hf_store *self, struct hf_store_txn *txns, size_t count);
    /* Waits up to timeout for a change by another node; may return early. */
    hf_result (*hint_wait)(struct hf_store *self, int64_t timeout_ns);
    void (*close)(struct hf_store *self);
};
struct hf_store { /* first member of every implementation */
    const struct hf_store_ops *ops;
};

/* Engine SQLite on one file: WAL, synchronous=FULL, group commit, readers beside it, schema migrations by version
 * (PRAGMA user_version). path is created with mode 0600. Opens all it will ever open before it returns; its threads
 * start at first need. Fails: STORE_BUSY where another process has the file, CORRUPT, STORE_READ_ONLY, STORE_FULL,
 * UNSUPPORTED (schema of a later version). A file that cannot be written is opened for reading: commits fail. */
hf_result hf_store_sqlite_open(const char *path, struct hf_store **ret_store);

/* Implementation over a process boundary: `links` are stream sockets to a store role. Some of them carry lazy
 * transactions only; of the others each calling thread takes one for its call, and waits where none is free.
 * Sockets are owned by the store from here (also when it fails). Starts a thread.
 * A closed link, and one on which no answer comes within 5 s, gives STORE_DOWN (reads, unsent writes) or
 * COMMIT_UNKNOWN; then calls wait half a second only, till the store answers again. relink gives it new ones after the role
 * was restarted, and sends again what lazy ones were not yet acknowledged. */
hf_result hf_store_remote_open(const int *links, size_t count, struct hf_store **ret_store);
hf_result hf_store_remote_relink(struct hf_store *store, const int *links, size_t count);

#endif
