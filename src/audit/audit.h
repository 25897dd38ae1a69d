/* The audit trail of one core: every operation, granted or refused, becomes a leaf of a C2SP transparency log.
 *
 * A leaf is public and says nothing by itself:  version u8 | time_ms u64 | SHA-256 commitment of the detail |
 * The detail (who, what, which key and version, outcome, request id; client-chosen values keyed-hashed) is
 * sealed with AES-256-GCM under the audit key and kept beside its leaf.
 *
 * No lock is on the way of a data operation: an index is taken by an atomic add, the batch is written to the
 * store by its own thread before the answers go out, and one sequencer thread appends leaf hashes in order. */
#ifndef HF_AUDIT_AUDIT_H
#define HF_AUDIT_AUDIT_H

#include "base/clock.h"
#include "store/store.h"
#include "tlog/tlog.h"

struct hf_audit;

struct hf_audit_entry { /* what one leaf says; all cursors borrowed till the call returns */
    struct hf_id request_id;
    struct hf_id accessor; /* of the token; zero: none */
    const char *operation; /* name in the operation table */
    struct hf_cursor path; /* kept as keyed hash, and its mount in clear */
    struct hf_cursor mount;
    struct hf_id key_id; /* zero: none */
    uint32_t key_version;
    uint32_t items; /* of a batch */
    enum hf_code outcome;
    uint8_t tls_group;
    uint8_t level_dev;
    uint8_t peer_ip[16];
    struct hf_cursor asset,
        note; /* short extra facts (approval ids, from-version), in clear in the sealed detail */
};

struct hf_audit_config {
    struct hf_id log;       /* id of this core's log */
    char origin[128];       /* "holdfast.example/audit/<log>" */
    bool strict;            /* data operations wait for the sync */
    uint32_t checkpoint_ms; /* 1000 */
    uint32_t ring_entries;  /* leaves on their way to the sequencer; a power of two; 0: 65,536 */
    /* How many changes the records hold; only grows, and lasts. Each sealed head says it, and where they hold fewer at
     * opening, they were set back. NULL: not asked. Called by the sequencer, till close. */
    uint64_t (*position)(void *arg);
    void *position_arg;
    uint64_t size_least; /* entries that the records know of: where there are fewer, the log was set back */
};
/* Takes: keys derived by seal/: detail_key, hash_key 32 bytes; seeds for the two signing keys. Recovers: reads
 * the tail since the last sealed head, fills indices that were taken but never written with void leaves. Starts
 * the sequencer thread (on a secret stack). Fails: CORRUPT (log altered: says where; it
 * or the records are older than the other), STORE_*. */
hf_result hf_audit_open(struct hf_store *store, const struct hf_audit_config *config,
                        const struct hf_secret *detail_key, const struct hf_secret *hash_key,
                        const struct hf_pkey *ed25519, const struct hf_pkey *mldsa44,
                        const struct hf_clock *clock, struct hf_audit **ret_audit);
/* Final checkpoint, stops the thread, wipes. No batch writer may be left. NULL allowed. */
void hf_audit_close(struct hf_audit *audit);
/* What the last CORRUPT on this thread was about: "entry 17: its detail does not open". Static per thread. */
const char *hf_audit_fault(void);
/* What the store said where leaves cannot be written at present, in this process; else OK. For the words of an answer that
 * is AUDIT_DOWN. */
enum hf_code hf_audit_cause(void);

/* Batch of data operations of one thread. begin..add..flush; flush writes it to the store (LAZY, or DURABLE when
 * strict) and must succeed before any of its answers leaves. */
struct hf_audit_batch_writer;
hf_result hf_audit_batch_new(struct hf_audit *audit,
                             struct hf_audit_batch_writer **ret); /* one per thread; reused */
void hf_audit_batch_free(struct hf_audit_batch_writer *w);
/* Writes the batch by itself when it is full; a failure of that is what the next flush gives. */
hf_result hf_audit_batch_add(struct hf_audit_batch_writer *w, const struct hf_audit_entry *entry);
size_t hf_audit_batch_count(const struct hf_audit_batch_writer *w);
hf_result
hf_audit_batch_flush(struct hf_audit_batch_writer *w); /* AUDIT_DOWN: none of them may be answered */

/* Management: one leaf that commits in the same transaction as the change it tells of.
 *   prepare -> op to add to the transaction -> commit -> settle(result of the commit)
 * settle with a failure writes the leaf with that outcome instead, durably. Between the two the ticket may not move
 * (op points into it), what the entry's cursors borrow must live, and settle must be called: the sequencer waits
 * for it. */
struct hf_audit_ticket {
    uint64_t index;
    struct hf_store_op op;
    uint8_t blob[2048];
    struct hf_tlog_hash leaf_hash;
    struct hf_audit_entry entry;
};
hf_result hf_audit_prepare(struct hf_audit *audit, const struct hf_audit_entry *entry,
                           struct hf_audit_ticket *ret);
hf_result hf_audit_settle(struct hf_audit *audit, struct hf_audit_ticket *ticket, hf_result committed);
/* A management operation without a change of its own: writes one leaf, durable. */
hf_result hf_audit_write(struct hf_audit *audit, const struct hf_audit_entry *entry, uint64_t *ret_index);

/* Readers. */
hf_result hf_audit_checkpoint(struct hf_audit *audit, bool fresh,
                              struct hf_buf *out_note);               /* fresh: sign one over all so far */
hf_result hf_audit_vkeys(struct hf_audit *audit, struct hf_buf *out); /* two lines */
hf_result hf_audit_prove(struct hf_audit *audit, uint64_t index,
                         struct hf_buf *out_proof); /* .tlog-proof text */
hf_result hf_audit_prove_consistency(struct hf_audit *audit, uint64_t old_size, uint64_t size,
                                     struct hf_tlog_proof *ret);
hf_result hf_audit_find(struct hf_audit *audit, struct hf_id request_id,
                        uint64_t *ret_index); /* recent ones by scan */
struct hf_tree_writer;
/* Entries [from, from+limit) with leaf, sealed detail and, for who may see it, the opened detail, as a tree array. */
hf_result hf_audit_entries(struct hf_audit *audit, uint64_t from, uint32_t limit, bool open_details,
                           struct hf_tree_writer *w);
uint64_t hf_audit_size(struct hf_audit *audit);
/* HMAC-SHA-256 of a client-chosen value under the hash key. Entries keep and show its first 16 bytes. */
hf_result hf_audit_hash(struct hf_audit *audit, struct hf_cursor value, uint8_t ret_hash[static 32]);

/* Sections of an export (tlog/export.h, where it is verified too), one at least: entries from `from` up to `until` or the last
 * checkpoint's size, at most `limit` (<= HF_EXPORT_SECTION_MAX), with their openings where open_details. */
hf_result hf_audit_export(struct hf_audit *audit, uint64_t from, uint64_t until, uint32_t limit,
                          bool open_details, struct hf_buf *out, uint64_t *ret_next);
/* What C2SP tlog-tiles serves at "tile/...": hashes, or an entry bundle. Fails: NOT_FOUND. */
hf_result hf_audit_tile(struct hf_audit *audit, struct hf_cursor path, struct hf_buf *out);
/* Leaf, opening and inclusion proof of one entry in the last checkpoint (a fresh one where that is older). */
struct hf_audit_inclusion {
    uint64_t index, size;
    struct hf_tlog_hash root;
    struct hf_tlog_proof proof;
    uint8_t leaf[41];
    uint8_t opening[1024]; /* none: opening_len 0 */
    size_t opening_len;
    uint8_t note[8192];
    size_t note_len;
};
hf_result hf_audit_include(struct hf_audit *audit, uint64_t index, bool open_details,
                           struct hf_audit_inclusion *ret);

struct hf_audit_stats {
    uint64_t size, sequenced, unsynced, written_bytes, failures;
};
void hf_audit_stats(struct hf_audit *audit, struct hf_audit_stats *ret);

#endif
