/* Insides of records/, private to it.
 *
 * A shard is a 64th of all records, by hash of table and id. Its feed is a Merkle log: leaf number seq - 1 says what
 * the change seq did. Its head row holds, sealed, the log's frontier, and how far each other shard was then: so that
 * one shard cannot be set back without all that were written since; and how long the audit log was, so that the log
 * cannot be set back without the records.
 *
 * Locks, in the order in which they are taken: still (by commits, shared; by who wants none under way, alone) | commit
 * locks of shards by number | map lock of one shard | ns_lock. */
#ifndef HF_RECORDS_INNER_H
#define HF_RECORDS_INNER_H

#include <assert.h>
#include <pthread.h>

#include "records/map.h"
#include "records/records.h"
#include "store/digest.h"
#include "tlog/tlog.h"

enum {
    HF_RECORD_TAG = 16, /* of the seal, as the feed has it: the last bytes of the sealed part */
    HF_RECORD_NS_MAX = 16,
    HF_RECORD_AD_MAX = 64 + HF_RECORD_NS_MAX + HF_STORE_NAME_MAX,
    HF_RECORD_ROW_MAX = HF_STORE_RECORD_MAX + HF_RECORD_NS_MAX + HF_STORE_NAME_MAX,
    HF_LEAF_BLOB_MAX = 1 + HF_RECORD_TAG + 1 + HF_RECORD_NS_MAX + HF_ROW_DIGEST,
    HF_LEAF_MAX = 64 + HF_LEAF_BLOB_MAX,
    HF_HEAD_PLAIN_MAX = 16 + 9 * HF_STORE_SHARDS + 16 + 9 + 8 + 64 * HF_TLOG_HASH,
    HF_HEAD_SEALED_MAX = HF_HEAD_PLAIN_MAX + 64,
    HF_NS_COUNTED_MAX = 65535, /* namespaces beyond these share the last number, and are not counted apart */
};

struct hf_namespace {
    uint8_t len;
    uint8_t id[HF_RECORD_NS_MAX];
    uint64_t counts[HF_TABLE_END]; /* records, by table; atomic */
};

struct hf_anchor { /* an audit log, and how many entries it had when a head was sealed */
    struct hf_id log;
    uint64_t size;
};

struct hf_shard {
    pthread_mutex_t
        commit_lock; /* from building a transaction to its outcome; guards frontier, anchor, unsure */
    struct hf_tlog_frontier frontier;
    struct hf_anchor anchor;
    bool unsure; /* a commit's outcome was not learnt: catch up before the next */
    bool broken; /* the store's feed is not the one that we know */
    pthread_mutex_t map_lock;
    struct hf_map map;
    uint64_t seq; /* committed and known here; atomic */
    struct hf_cursor last_ns;
    uint16_t last_ns_number; /* of what last_ns names */
};

struct hf_records {
    struct hf_store *store;
    const struct hf_clock *clock;
    struct hf_aead *aead;
    struct hf_secret *index_key;
    pthread_rwlock_t still;
    struct hf_shard shards[HF_STORE_SHARDS];
    pthread_mutex_t ns_lock;
    struct hf_namespace **namespaces; /* never freed while open */
    uint32_t ns_count, ns_cap;
    uint64_t counts[HF_TABLE_END]; /* records of all namespaces; atomic */
    uint64_t corrupt_found;        /* atomic */
};

static inline unsigned hf_shard_of(uint16_t table, struct hf_id id)
{
    return (unsigned)(hf_map_hash(table, id) >> 58);
}

/* ---- seal.c: what is sealed, and how it is written ---------------------------------------------------- */

/* Appends the sealed part of the row to out; row.sealed is not looked at. */
hf_result hf_row_seal(struct hf_records *records, const struct hf_row *row, struct hf_cursor plain,
                      struct hf_buf *out);
/* Opens row.sealed into out. Fails: CORRUPT. */
hf_result hf_row_open(struct hf_records *records, const struct hf_row *row, struct hf_buf *out);
size_t hf_row_overhead(struct hf_records *records);

struct hf_leaf { /* what a change says */
    uint16_t shard;
    uint64_t seq;
    uint16_t table;
    struct hf_id id;
    uint64_t rev;
    bool deleted;
    uint8_t tag[HF_RECORD_TAG]; /* zero where deleted */
    struct hf_cursor ns;
    bool digested; /* not where deleted, nor in feeds of before there were digests */
    uint8_t digest[HF_ROW_DIGEST];
};
void hf_leaf_blob(const struct hf_leaf *leaf, struct hf_buf *out);
/* leaf borrows from change. Fails: CORRUPT. */
hf_result hf_leaf_read(const struct hf_change *change, struct hf_leaf *ret_leaf);
struct hf_tlog_hash hf_leaf_hash(const struct hf_leaf *leaf);

struct hf_head {
    struct hf_tlog_frontier frontier; /* its size is the shard's seq */
    uint64_t others[HF_STORE_SHARDS]; /* each shard's seq, as far as it was committed then */
    struct hf_anchor anchor;
};
hf_result hf_head_seal(struct hf_records *records, unsigned shard, const struct hf_head *head,
                       struct hf_buf *out);
hf_result hf_head_open(struct hf_records *records, unsigned shard, uint64_t seq, struct hf_cursor sealed,
                       struct hf_head *ret_head);

/* ---- feed.c ------------------------------------------------------------------------------------------------ */

/* Reads heads and feeds from the beginning. */
hf_result hf_feed_open(struct hf_records *records);
/* Takes in what others have written to the shard since, commit_lock held. Fails: CORRUPT, STORE_*. */
hf_result hf_feed_catch_up(struct hf_records *records, unsigned shard);
/* Makes room in memory for `count` changes like this one, so that hf_feed_apply cannot fail. */
hf_result hf_feed_prepare(struct hf_records *records, const struct hf_leaf *leaf, size_t count);
void hf_feed_apply(struct hf_records *records, const struct hf_leaf *leaf);

/* ---- records.c ---------------------------------------------------------------------------------------------- */

void hf_fault_set(const char *text); /* of this thread */
/* CORRUPT, with the reason for hf_records_fault: table, id (may be NULL) and what is wrong. */
hf_result hf_fault_record(struct hf_records *records, uint16_t table, const struct hf_id *id,
                          const char *what);
hf_result hf_fault_revs(struct hf_records *records, uint16_t table, struct hf_id id, uint64_t have,
                        uint64_t want);
hf_result hf_fault_shard(struct hf_records *records, unsigned shard, const char *what, uint64_t have,
                         uint64_t want);
/* Copy of the entry; false where the feed has none. */
bool hf_entry_find(struct hf_records *records, uint16_t table, struct hf_id id,
                   struct hf_map_entry *ret_entry);
/* Whether the row is the one that the feed has: OK, CONFLICT where not (no fault is set). */
bool hf_entry_is(const struct hf_map_entry *entry, const struct hf_row *row);
/* CORRUPT with a fault that says how the row (NULL: none) differs from the entry (NULL: none). */
hf_result hf_fault_differs(struct hf_records *records, uint16_t table, struct hf_id id,
                           const struct hf_map_entry *entry, const struct hf_row *row);
/* Makes a record of a row that the feed has. Its plain part is in arena memory. */
hf_result hf_record_make(struct hf_records *records, const struct hf_row *row, struct hf_record *ret_record);
uint16_t hf_ns_number(struct hf_records *records, struct hf_cursor ns, bool *ret_known);
uint64_t hf_ns_records(struct hf_records *records, uint16_t table, struct hf_cursor ns, bool *ret_exact);
void hf_shards_lock(struct hf_records *records, uint64_t which);
void hf_shards_unlock(struct hf_records *records, uint64_t which);

#endif
