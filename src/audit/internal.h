/* Inside the audit room. Layout of a stored batch (docs/audit.md):
 *
 *   batch  = version u8 | incarnation 32 | first u64 | count u32 | record...
 *   record = leaf 41 | sealed vec16             sealed = version u8 | AES-256-GCM(opening); empty for a void leaf
 *                                               of a management leaf: 2 | records' position u64 | AES-256-GCM(opening)
 *   nonce  = first 12 bytes of the leaf's commitment; key derived for (log, incarnation, segment of 2^30 indices)
 *   associated data = index u64 | kind u8 | time_ms u64 [| records' position u64]
 *
 * The nonce is a hash of a random salt and the plaintext, so that even a clone of this process that draws the same
 * salts repeats a nonce only together with the plaintext. */
#ifndef HF_AUDIT_INTERNAL_H
#define HF_AUDIT_INTERNAL_H

#include "audit/audit.h"
#include "crypto/aead.h"
#include "tlog/entry.h"

#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum {
    AUDIT_BATCH_VERSION = 1,
    AUDIT_DETAIL_VERSION_POSITION = 2,
    AUDIT_DETAIL_VERSION = 1, /* sealed under the segment's key; later ones may have a key for each leaf */
    AUDIT_INCARNATION = 32,
    AUDIT_BATCH_HEADER = 1 + AUDIT_INCARNATION + 8 + 4,
    AUDIT_NONCE = 12,
    AUDIT_TAG = 16,
    AUDIT_SEALED_MAX = 1 + 8 + HF_ENTRY_OPENING_MAX + AUDIT_TAG,
    AUDIT_RECORD_MAX = HF_ENTRY_LEAF + 2 + AUDIT_SEALED_MAX,
    AUDIT_AD = 8 + 1 + 8 + 8,
    AUDIT_SEGMENT_SHIFT = 30, /* far below 2^32 random nonces under a key */
    AUDIT_NOTE_MAX = 8192,
    AUDIT_BATCH_ENTRIES = 512, /* in one stored batch */

    AUDIT_RING_DEFAULT = 1 << 16,
    AUDIT_RING_WAIT_MS_MAX = 1000,
    AUDIT_FRESH_WAIT_MS_MAX = 10000,

    AUDIT_TILE = 256,
    AUDIT_LEVELS = 8, /* tile levels above the leaves: heights 8, 16, ... 64 */
    AUDIT_CHUNK = 16, /* nodes of one stored row */
    AUDIT_PENDING_MAX = 56,
    AUDIT_ATTEMPTS_MAX = 16, /* while the store answers nothing, few leaves are taken: they seldom differ */
    AUDIT_PENDING_FULL = AUDIT_PENDING_MAX - AUDIT_LEVELS, /* a checkpoint is due */
};

/* ---- nodes of complete subtrees of heights 8, 16, ...: what proofs are made of (nodes.c) ---- */
struct audit_chunk {
    unsigned level;
    uint64_t first; /* node at its level */
    struct hf_tlog_hash nodes[AUDIT_CHUNK];
};
struct audit_nodes {
    pthread_mutex_t lock; /* sequencer writes, readers read; never on a data operation's way */
    struct {
        uint64_t count;                        /* nodes there are */
        struct hf_tlog_hash tail[AUDIT_CHUNK]; /* those since the last whole chunk */
    } levels[AUDIT_LEVELS];
    struct audit_chunk pending[AUDIT_PENDING_MAX]; /* not yet stored */
    unsigned pending_count;
};

/* ---- hand-over from the writers to the sequencer ---- */
struct audit_slot {
    _Atomic uint64_t published; /* index + 1 when the rest is set */
    uint64_t unresolved; /* 0: hash is the leaf's; else so many indices from here may or may not be written */
    struct hf_tlog_hash hash;
};

struct hf_audit {
    struct hf_store *store;
    const struct hf_clock *clock;
    struct hf_audit_config config;
    struct hf_secret *detail_key, *hash_key;
    struct hf_pkey *ed25519, *mldsa44;
    struct hf_aead *head_aead;
    uint8_t incarnation[AUDIT_INCARNATION];

    struct audit_slot *ring;
    uint64_t ring_size;
    _Alignas(64) _Atomic uint64_t next;     /* index the next leaf takes */
    _Alignas(64) _Atomic uint64_t consumed; /* indices that the sequencer has appended */
    _Atomic bool down;                      /* the store does not take leaves: all operations are refused */
    _Atomic bool broken;                    /* for good: someone else writes this log, or it was altered */
    _Atomic bool stop;
    _Atomic uint64_t written_bytes, failures;

    /* sequencer's own */
    struct hf_tlog_hash resolved[AUDIT_BATCH_ENTRIES];
    uint8_t fill[AUDIT_BATCH_HEADER + AUDIT_BATCH_ENTRIES * (HF_ENTRY_LEAF + 2)];
    pthread_t thread;
    bool thread_runs;
    sem_t wake;
    struct hf_tlog_frontier frontier;
    uint64_t head_size;     /* of the sealed head in the store */
    uint64_t position_seen; /* of the records, as far as head and leaves say; what is sealed says no less */
    bool head_attempted;    /* and its outcome is not known */
    /* Heads tried since head_size is known, the last one last: the store may write one of them yet. */
    struct audit_attempt {
        uint64_t size;
        unsigned chunks;
    } attempts[AUDIT_ATTEMPTS_MAX];
    unsigned attempt_count;
    int64_t checkpoint_boot_ns;
    struct audit_nodes nodes;

    pthread_mutex_t note_lock;
    pthread_cond_t note_changed;
    uint8_t note[AUDIT_NOTE_MAX];
    size_t note_len;
    uint64_t note_size;
    struct hf_tlog_hash note_root;
    uint64_t fresh_wanted;

    pthread_mutex_t sealer_lock; /* of management leaves */
    struct audit_sealer *sealer;
};

/* Says what is wrong, for hf_audit_fault() and the log; gives CORRUPT. */
hf_result audit_fault(struct hf_audit *audit, const char *what, uint64_t index);

/* ---- leaves: detail, commitment, seal (leaf.c) ---- */
struct audit_paths;   /* recently hashed paths of one thread */
struct audit_sealer { /* of one thread */
    struct hf_audit *audit;
    struct hf_aead *aead;
    uint64_t segment;
    bool keyed;
    uint8_t salts[64][HF_ENTRY_SALT];
    unsigned salts_left;
    struct audit_paths *paths;
};
hf_result audit_sealer_new(struct hf_audit *audit, struct audit_sealer **ret_sealer);
void audit_sealer_free(struct audit_sealer *sealer);
/* Encodes the entry: opening to `out`, leaf with its commitment. */
hf_result audit_encode(struct audit_sealer *sealer, const struct hf_audit_entry *entry, uint64_t time_ms,
                       struct hf_buf *out, struct hf_entry_leaf *ret_leaf);
uint64_t audit_now_ms(const struct hf_audit *audit);
void audit_batch_header(const struct hf_audit *audit, struct hf_buf *out, uint64_t first, uint32_t count);
/* Appends one record. position: of the records, NULL where it is not said. */
hf_result audit_record(struct audit_sealer *sealer, uint64_t index, const struct hf_entry_leaf *leaf,
                       const uint64_t *position, struct hf_cursor opening, struct hf_buf *out,
                       struct hf_tlog_hash *ret_hash);
void audit_record_void(struct hf_buf *out, uint64_t time_ms, struct hf_tlog_hash *ret_hash);

struct audit_record {
    uint64_t index;
    struct hf_cursor leaf, sealed;
    const uint8_t *incarnation;
};
/* Walks a stored batch; each returns false to stop. Fails: CORRUPT (form only). */
typedef bool (*audit_record_fn)(void *arg, const struct audit_record *record);
hf_result audit_batch_walk(const struct hf_audit_batch *batch, audit_record_fn each, void *arg);

struct audit_opener { /* keys of past incarnations, made when met */
    struct hf_audit *audit;
    struct {
        uint8_t incarnation[AUDIT_INCARNATION];
        uint64_t segment;
        struct hf_aead *aead;
    } keys[4];
    unsigned next;
    uint64_t position; /* of the records: the greatest that an opened record said */
};
void audit_opener_done(struct audit_opener *opener);
/* Opens the detail of a record and checks it against the leaf. Fails: NOT_FOUND (it has none), CORRUPT. */
hf_result audit_open_record(struct audit_opener *opener, const struct audit_record *record,
                            struct hf_buf *out_opening);

/* ---- indices and ring (ring.c) ---- */
hf_result audit_reserve(struct hf_audit *audit, uint64_t count, uint64_t *ret_first);
void audit_publish(struct hf_audit *audit, uint64_t first, const struct hf_tlog_hash *hashes, uint64_t count);
/* The indices were taken, and it is not known, or known to be false, that they were written. */
void audit_publish_unresolved(struct hf_audit *audit, uint64_t first, uint64_t count);
bool audit_refuses(const struct hf_audit *audit);
/* What the store said to a write of leaves: kept for hf_audit_cause, and said in the log (failing.c). */
void audit_note_result(hf_result result);
void audit_append_op(const struct hf_audit *audit, struct hf_store_op *ret_op, uint64_t first, uint64_t count,
                     struct hf_cursor blob);

/* ---- sequencer (sequencer.c) ---- */
hf_result audit_sequencer_start(struct hf_audit *audit);
void audit_sequencer_stop(struct hf_audit *audit);
/* Appends one leaf hash to frontier and nodes. */
void audit_sequence(struct hf_audit *audit, struct hf_tlog_hash leaf);
/* Puts void leaves in the place of a batch [first, first + count) that may or may not have been written: one row
 * that only one of the two can be. OK also where the batch turns out to be there; ret_hashes: of what is. */
hf_result audit_resolve(struct hf_audit *audit, uint64_t first, uint64_t count,
                        struct hf_tlog_hash *ret_hashes);
/* Seals the head over the frontier and writes it with the chunks of nodes before it. Sequencer's thread, or open. */
hf_result audit_write_head(struct hf_audit *audit);
/* Waits till every lazy write that the store has taken is durable and can be read. */
hf_result audit_barrier(struct hf_audit *audit);

/* ---- nodes (nodes.c) ---- */
void audit_nodes_add(struct hf_audit *audit, unsigned level, struct hf_tlog_hash node);
struct hf_id audit_nodes_log(const struct hf_audit *audit, unsigned level);
struct audit_tiles; /* what one reader has loaded */
hf_result audit_tiles_new(struct hf_audit *audit, uint64_t size, struct audit_tiles **ret);
void audit_tiles_freep(struct audit_tiles **tiles);
/* hf_tlog_node_fn; arg: struct audit_tiles. */
hf_result audit_tiles_node(void *arg, unsigned height, uint64_t index, struct hf_tlog_hash *ret_hash);
/* Hashes [first, first + count) of a tile level (0: leaves), within one tile. */
hf_result audit_tiles_row(struct audit_tiles *tiles, unsigned level, uint64_t tile, unsigned count,
                          const struct hf_tlog_hash **ret_hashes);
/* Frontier of the first `size` leaves. */
hf_result audit_tiles_frontier(struct audit_tiles *tiles, uint64_t size, struct hf_tlog_frontier *ret);
/* Rebuilds what is only in memory, for a log of `size`. */
hf_result audit_nodes_recover(struct hf_audit *audit, uint64_t size);

/* ---- reading (read.c) ---- */
/* Waits, within a bound, till what was written before this call is in order and can be read. */
hf_result audit_catch_up(struct hf_audit *audit);
/* Records [from, to) in order. Fails: CORRUPT where one is missing or there twice. */
hf_result audit_read_range(struct hf_audit *audit, uint64_t from, uint64_t to, audit_record_fn each,
                           void *arg);

/* ---- sealed head (open.c) ---- */
hf_result audit_head_seal(struct hf_audit *audit, const struct hf_tlog_frontier *frontier,
                          struct hf_buf *out);
/* ret_position: of the records when it was sealed. */
hf_result audit_head_open(struct hf_audit *audit, uint64_t size, struct hf_cursor blob,
                          struct hf_tlog_frontier *ret_frontier, uint64_t *ret_position);

#endif
