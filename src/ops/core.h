/* The core's state: the rooms below, put together. Created at start sealed; unseal fills the second half. */
#ifndef HF_OPS_CORE_H
#define HF_OPS_CORE_H

#include <pthread.h>

#include "ops/ops.h"

struct hf_seal;     /* seal/seal.h */
struct hf_keys;     /* keys/keys.h */
struct hf_keystore; /* keystore/keystore.h */

enum hf_level { HF_LEVEL_DEV, HF_LEVEL_STANDARD, HF_LEVEL_HARDENED };

struct hf_core_config {
    enum hf_level level;
    bool audit_strict;
    char cluster_name[64];
    char api_addr[256];
    int64_t default_lease_ttl_ns, max_lease_ttl_ns; /* 768 h */
    uint32_t threads;
    uint32_t requests_per_second; /* of one source; 0: no limit */
    char version[32];             /* Holdfast's own */
};

struct
    hf_metrics; /* ops/metrics.h: counters by operation and code, latency histograms, per thread, no locks */

/* Filled by the role from what the supervisor and the other roles report: sys/posture. Encoded tree item (array
 * of roles), refreshed by control messages. */
struct hf_posture_source {
    hf_result (*posture)(void *arg, struct hf_tree_writer *w);
    void *arg;
};

/* Counters that other processes report (fronts), added to sys/metrics: writes Prometheus text. */
struct hf_metrics_source {
    void (*write)(void *arg, struct hf_buf *out);
    void *arg;
};

struct hf_core {
    struct hf_core_config config;
    const struct hf_clock *clock;
    struct hf_store *store;
    struct hf_keystore *keystore;
    struct hf_seal *seal;
    struct hf_metrics *metrics;
    struct hf_limits *limits; /* of HF_OP_LIMITED rows, by source and operation; sealed or not */
    struct hf_posture_source posture;
    struct hf_metrics_source more_metrics;
    pthread_mutex_t lifecycle; /* held by unlock and lock; never on a data operation's way */
    char fault[192];
    /* Non-NULL only while unsealed. Readers take them inside an epoch; sealing swaps to NULL, then retires. */
    struct hf_unsealed *_Atomic unsealed;
};

struct hf_mount_table; /* ops/mounts.c */

struct hf_unsealed { /* everything that exists only while unsealed */
    struct hf_records *records;
    struct hf_audit *audit;
    struct hf_policy *policy;
    struct hf_keys *keys;
    struct hf_mount_table *mounts;
    struct hf_audit_batch_writer **batches; /* one for each core thread, made at its first leaf */
    uint32_t batch_count;
};

/* Valid inside the current epoch; a handler with when = UNSEALED is always given one. */
static inline struct hf_unsealed *hf_core_unsealed(struct hf_core *core)
{
    return __atomic_load_n((struct hf_unsealed **)&core->unsealed, __ATOMIC_ACQUIRE);
}

hf_result hf_core_new(const struct hf_core_config *config, struct hf_store *store,
                      struct hf_keystore *keystore, const struct hf_clock *clock, struct hf_core **ret_core);
void hf_core_free(struct hf_core *core); /* seals first */

/* The seal is UNSEALED: opens records, audit, policy, keys and mounts with its keyring, and publishes them. Fails as
 * they do; then all is closed, the seal locked again, and hf_core_fault() says what was found. */
hf_result hf_core_unlock(struct hf_core *core);
/* Withdraws core->unsealed, locks the seal, and closes what was withdrawn once no call uses it any more. */
void hf_core_lock(struct hf_core *core);
/* What the last failed unlock met, for the operator's log and answer: static text, "" if nothing. */
const char *hf_core_fault(struct hf_core *core);
/* Work by time (expired tokens, key rotation, freeing what was retired): call about once a second. */
void hf_core_tick(struct hf_core *core);

/* Per thread of the core. */
struct hf_core_thread;
hf_result hf_core_thread_new(struct hf_core *core, unsigned index, struct hf_core_thread **ret);
void hf_core_thread_free(struct hf_core_thread *thread);
/* Runs one CALL frame body. Writes one whole ANSWER frame to out, or returns WOULD_BLOCK having written nothing.
 * Data leaves are gathered in the thread's batch: before sending out what calls wrote, call
 * hf_core_thread_flush; when it fails, the answers must be replaced by 503 (hf_core_answer_failed). */
hf_result hf_core_call(struct hf_core *core, struct hf_core_thread *thread, uint64_t frame_id,
                       struct hf_cursor body, bool may_wait, struct hf_buf *out);
hf_result hf_core_thread_flush(struct hf_core_thread *thread);
void hf_core_answer_failed(struct hf_buf *out, uint64_t frame_id, enum hf_code code);

/* Mount table (ops/mounts.c). */
const struct hf_mount *hf_mount_find(const struct hf_mount_table *table, struct hf_cursor ns,
                                     struct hf_cursor path);
hf_result hf_mounts_load(struct hf_records *records, struct hf_mount_table **ret_table);
/* Namespace by its path ("team/a", with or without a last slash); its 16-byte id borrows from the table. Fails: NOT_FOUND. */
hf_result hf_namespace_find(const struct hf_mount_table *table, struct hf_cursor path,
                            struct hf_cursor *ret_ns);
void hf_mounts_free(struct hf_mount_table *table);

#endif
