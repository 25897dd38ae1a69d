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
    HF_STORE_TXN_OPS_MAX = 64,
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
    HF_STORE_PUT_IF = 1,  /* row; expect_rev 0: must not exist; row.rev must be expect_rev + 1 */
    HF_STORE_DEL_IF,      /* row.table, row.id; expect_rev */
    HF_STORE_HEAD_CAS,    /* shard, seq (new) = expect_rev + 1, blob: the head's sealed state */
    HF_STORE_FEED_APPEND, /* shard, seq, row.{table,id,rev}, blob: what the feed's leaf says */
    HF_STORE_ONCE,        /* hash (32 bytes), expires_ns: conflict where it is there already */
    HF_STORE_RESERVE,     /* row.id = version id, amount: use_block.reserved += amount; result in `result` */
    HF_STORE_JOB_PUT,     /* row.id, due_ns in row, blob cursor; fence in expect_rev (claim: fence+1) */
    HF_STORE_JOB_DEL,
    HF_STORE_AUDIT_APPEND, /* log id in row.id, first index in seq, amount = count of leaves, blob; conflict where
                             that first index is there already */
    HF_STORE_AUDIT_HEAD, /* log id in row.id, seq = size, expect_rev = previous size, blob: sealed head */
    HF_STORE_BEAT,       /* row.id = node, expect_rev = beat, blob */
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
    HF_LAZY = 1,    /* returns when the engine has it; synced with the next group, within lazy_ms_max (20) */
};

enum hf_list_order { HF_LIST_BY_NAME, HF_LIST_BY_ID, HF_LIST_BY_DUE };
struct hf_list_query {
    uint16_t table;
    struct hf_cursor ns;     /* empty: any */
    struct hf_cursor prefix; /* of the name */
    struct hf_cursor after;  /* name, id or 8-byte due of the last row seen; empty: from the start */
    int64_t due_before_ns;   /* BY_DUE */
    enum hf_list_order order;
    bool without_sealed; /* rows come with an empty sealed part */
    uint32_t limit;      /* <= HF_STORE_LIST_MAX */
};

/* Called for each row; borrowed till it returns. Returning false ends the walk (no error). */
typedef bool (*hf_row_fn)(void *arg, const struct hf_row *row);
struct hf_change {
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
     * CORRUPT (a damaged page), TIMEOUT, beside what is said. */
    /* CONFLICT: nothing was written. COMMIT_UNKNOWN: it may have been; ask (get, audit_read) before retrying. */
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
    hf_result (*audit_head_get)(struct hf_store *self, struct hf_id log, struct hf_buf *space,
                                uint64_t *ret_size, struct hf_cursor *ret_blob);
    /* Batches whose first index is >= from, plus the one that holds `from`, in order. */
    hf_result (*audit_read)(struct hf_store *self, struct hf_id log, uint64_t from, uint32_t limit,
                            hf_audit_batch_fn each, void *arg);
    hf_result (*info)(struct hf_store *self, struct hf_store_info *ret_info);
    /* Consistent copy of the whole database, online, to a descriptor that is owned by the caller; progress may
     * be NULL. Gives nothing decryptable: records stay sealed. */
    hf_result (*backup)(struct hf_store *self, int to_fd,
                        void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg);
    /* Waits up to timeout for a change by another node; may return early. */
    hf_result (*hint_wait)(struct hf_store *self, int64_t timeout_ns);
    void (*close)(struct hf_store *self);
};
struct hf_store { /* first member of every implementation */
    const struct hf_store_ops *ops;
};

/* Engine SQLite on one file: WAL, synchronous=FULL, group commit by one writer thread, readers beside it,
 * schema migrations by version (PRAGMA user_version). path is created with mode 0600. lazy sync within 20 ms. */
hf_result hf_store_sqlite_open(const char *path, struct hf_store **ret_store);

/* Codec of the store's calls for frames (STORE, STORED), shared by the remote implementation and the store role. */
/* Serves one STORE frame body on `engine`, writing the STORED body. Never fails: errors are in the answer. */
void hf_store_serve(struct hf_store *engine, struct hf_cursor body, struct hf_buf *out);

/* Implementation over a process boundary: `links` stream sockets to a store role; each calling thread takes one
 * for its call, so that up to `count` calls are under way. Sockets are owned by the store from here.
 * A closed link gives STORE_DOWN (reads, unsent writes) or COMMIT_UNKNOWN; relink gives it new ones after the role
 * was restarted. */
hf_result hf_store_remote_open(const int *links, size_t count, struct hf_store **ret_store);
hf_result hf_store_remote_relink(struct hf_store *store, const int *links, size_t count);

#endif
