/* The core's life: made sealed, unlocked, locked. What is unlocked is published by one atomic pointer. */
#include "ops/core.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keys/keys.h"
#include "keystore/keystore.h"
#include "ops/metrics.h"
#include "ops/mounts.h"
#include "policy/token.h"
#include "seal/seal.h"

hf_result hf_core_new(const struct hf_core_config *config, struct hf_store *store,
                      struct hf_keystore *keystore, const struct hf_clock *clock, struct hf_core **ret_core)
{
    struct hf_core *core = calloc(1, sizeof(*core));
    if (core == NULL)
        return HF_FAIL(NO_MEMORY);
    core->config = *config;
    core->clock = clock;
    core->store = store;
    core->keystore = keystore;
    pthread_mutex_init(&core->lifecycle, NULL);
    hf_result done = hf_metrics_new(config->threads, &core->metrics);
    if (HF_IS_OK(done))
        done = hf_limits_new(clock, &core->limits);
    if (HF_IS_OK(done))
        done = hf_seal_open(store, clock, &core->seal);
    if (!HF_IS_OK(done)) {
        hf_core_free(core);
        return done;
    }
    *ret_core = core;
    return HF_DONE;
}

void hf_core_free(struct hf_core *core)
{
    if (core == NULL)
        return;
    if (core->seal != NULL)
        hf_core_lock(core);
    hf_epoch_drain();
    hf_seal_close(core->seal);
    hf_metrics_free(core->metrics);
    hf_limits_free(core->limits);
    pthread_mutex_destroy(&core->lifecycle);
    free(core);
}

/* Closes what unlock opened, in the opposite order. Runs when no call holds it any more. */
static void close_unsealed(void *object)
{
    struct hf_unsealed *u = object;
    hf_keys_close(u->keys);
    hf_policy_close(u->policy);
    hf_mounts_free(u->mounts);
    for (uint32_t i = 0; i < u->batch_count; i++)
        hf_audit_batch_free(u->batches[i]);
    free(u->batches);
    hf_audit_close(u->audit);
    hf_records_close(u->records);
    free(u);
}

static hf_result namespace_kek(void *arg, struct hf_cursor ns, uint32_t generation,
                               struct hf_secret **ret_kek, uint32_t *ret_generation)
{
    return hf_seal_kek(arg, ns, generation, ret_kek, ret_generation);
}

static hf_result audit_config(const struct hf_core *core, const struct hf_keyring *ring,
                              struct hf_audit_config *ret)
{
    *ret = (struct hf_audit_config){
        .log = ring->audit_log, .strict = core->config.audit_strict, .checkpoint_ms = 1000};
    struct hf_buf origin = hf_buf(ret->origin, sizeof(ret->origin) - 1);
    char log[HF_ID_TEXT_LEN];
    hf_id_text(ring->audit_log, log);
    hf_buf_text(&origin, core->config.cluster_name);
    hf_buf_text(&origin, "/audit/");
    hf_buf_put(&origin, log, sizeof(log));
    return hf_buf_ok(&origin);
}

static uint64_t records_position(void *arg)
{
    return hf_records_position(arg);
}

static hf_result open_unsealed(struct hf_core *core, const struct hf_keyring *ring, struct hf_unsealed *u)
{
    u->batches = calloc(core->config.threads, sizeof(struct hf_audit_batch_writer *));
    if (u->batches == NULL)
        return HF_FAIL(NO_MEMORY);
    u->batch_count = core->config.threads;
    struct hf_audit_config audit;
    TRY(audit_config(core, ring, &audit));
    TRY(hf_records_open(core->store, ring->record_key, ring->index_key, core->clock, &u->records));
    audit.position = records_position;
    audit.position_arg = u->records;
    audit.size_least = hf_records_audit_least(u->records, audit.log);
    TRY(hf_audit_open(core->store, &audit, ring->audit_detail_key, ring->audit_hash_key, ring->audit_ed25519,
                      ring->audit_mldsa44, core->clock, &u->audit));
    TRY(hf_mounts_load(u->records, &u->mounts));
    TRY(hf_policy_open(u->records, ring->token_key, core->clock, &u->policy));
    return hf_keys_open(u->records, core->keystore, namespace_kek, core->seal, core->clock, &u->keys);
}

static void note_fault(struct hf_core *core, hf_result why)
{
    struct hf_buf text = hf_buf(core->fault, sizeof(core->fault) - 1);
    const char *found = why.code != HF_CORRUPT          ? ""
                        : hf_records_fault()[0] != '\0' ? hf_records_fault()
                                                        : hf_audit_fault();
    hf_buf_text(&text, found[0] != '\0' ? found : hf_code_text(why.code));
    core->fault[text.len] = '\0';
}

hf_result hf_core_unlock(struct hf_core *core)
{
    pthread_mutex_lock(&core->lifecycle);
    core->fault[0] = '\0';
    hf_result done;
    const struct hf_keyring *ring = hf_seal_keyring(core->seal);
    if (hf_core_unsealed(core) != NULL) {
        done = HF_FAIL(ALREADY);
    } else if (ring == NULL) {
        done = HF_FAIL(SEALED);
    } else {
        struct hf_unsealed *u = calloc(1, sizeof(*u));
        done = u == NULL ? HF_FAIL(NO_MEMORY) : open_unsealed(core, ring, u);
        if (HF_IS_OK(done)) {
            __atomic_store_n((struct hf_unsealed **)&core->unsealed, u, __ATOMIC_RELEASE);
            hf_log(HF_LOG_INFO, "core.unsealed",
                   hf_f("level", core->config.level == HF_LEVEL_DEV ? "dev" : "standard"));
        } else {
            note_fault(core, done);
            hf_log(HF_LOG_ERROR, "core.unlock_failed", hf_f("result", done),
                   hf_f("found", (const char *)core->fault));
            if (u != NULL)
                close_unsealed(u);
            hf_seal_lock(core->seal);
        }
    }
    pthread_mutex_unlock(&core->lifecycle);
    return done;
}

void hf_core_lock(struct hf_core *core)
{
    pthread_mutex_lock(&core->lifecycle);
    struct hf_unsealed *u =
        __atomic_exchange_n((struct hf_unsealed **)&core->unsealed, NULL, __ATOMIC_ACQ_REL);
    hf_seal_lock(core->seal);
    if (u != NULL) {
        hf_epoch_retire(u, close_unsealed);
        hf_log(HF_LOG_INFO, "core.sealed");
    }
    pthread_mutex_unlock(&core->lifecycle);
}

const char *hf_core_fault(struct hf_core *core)
{
    return core->fault;
}

void hf_core_tick(struct hf_core *core)
{
    hf_epoch_enter();
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u != NULL) {
        int64_t now = hf_wall_ns(core->clock);
        hf_result tidied = hf_tokens_tidy(u->policy, now);
        if (!HF_IS_OK(tidied))
            hf_log(HF_LOG_WARN, "tick.tokens", hf_f("result", tidied));
        hf_result removed = hf_mounts_tick(u);
        if (!HF_IS_OK(removed))
            hf_log(HF_LOG_WARN, "tick.mounts", hf_f("result", removed));
        hf_result rotated = hf_keys_tick(u->keys, u->audit, now);
        if (!HF_IS_OK(rotated))
            hf_log(HF_LOG_WARN, "tick.keys", hf_f("result", rotated));
    }
    hf_epoch_leave();
    hf_epoch_poll();
}
