/* What a version in use holds from snapshot to snapshot: its loaded key, and its counter.
 *
 * Counter: the store keeps, for each version, how many uses were handed out in blocks. This process spends its block
 * in memory; a crash loses the rest of it, so the store's total never understates. Block: 60 s of use, between
 * HF_KEY_BLOCK_MIN and HF_KEY_BLOCK_MAX. At half a block one caller is sent ahead to fetch the next, on a thread that
 * may wait; nobody else notices. */
#include <stdlib.h>

#include "keys/inner.h"

static _Atomic size_t loaded;

size_t hf_key_live_loaded(void)
{
    return atomic_load_explicit(&loaded, memory_order_relaxed);
}

struct hf_key_live *hf_key_live_new(void)
{
    struct hf_key_live *live = calloc(1, sizeof *live);
    if (live == NULL)
        return NULL;
    atomic_init(&live->references, 1);
    pthread_mutex_init(&live->refill, NULL);
    return live;
}

struct hf_key_live *hf_key_live_ref(struct hf_key_live *live)
{
    atomic_fetch_add_explicit(&live->references, 1, memory_order_relaxed);
    return live;
}

static void unload(struct hf_kskey *_Atomic *slot)
{
    struct hf_kskey *key = atomic_exchange_explicit(slot, NULL, memory_order_acq_rel);
    if (key != NULL) {
        atomic_fetch_sub_explicit(&loaded, 1, memory_order_relaxed);
        hf_kskey_unref(key);
    }
}

void hf_key_live_unref(struct hf_key_live *live)
{
    if (live == NULL || atomic_fetch_sub_explicit(&live->references, 1, memory_order_acq_rel) != 1)
        return;
    unload(&live->key);
    unload(&live->mac);
    pthread_mutex_destroy(&live->refill);
    free(live);
}

/* ---- loading --------------------------------------------------------------------------------------- */

/* Three quarters of the arena are taken: OpenSSL and the calls need the rest. */
static bool arena_tight(void)
{
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    return report.bytes_used / 3 > report.bytes_mapped / 4;
}

static hf_result load(struct hf_keys *keys, const struct hf_key *key, const struct hf_key_version *v,
                      struct hf_kskey *_Atomic *slot, enum hf_alg alg, struct hf_cursor blob,
                      struct hf_kskey **ret_key)
{
    if (blob.left == 0)
        return v->state == HF_KEY_DESTROYED ? HF_FAIL(KEY_STATE) : HF_FAIL(UNSUPPORTED);
    if (hf_key_live_loaded() >= HF_KEYS_LOADED_MAX || arena_tight())
        hf_keys_table_shrink(keys); /* what it lets go is freed when its last readers have left */
    CLEANUP(hf_secret_freep) struct hf_secret *kek = NULL;
    CLEANUP(hf_kskey_unrefp) struct hf_kskey *made = NULL;
    uint32_t generation;
    TRY(keys->kek(keys->kek_arg, hf_cursor(key->ns, 16), v->kek_generation, &kek, &generation));
    hf_result result = keys->keystore->ops->load(keys->keystore, kek, alg, blob, &made);
    if (result.code == HF_NO_MEMORY) { /* the arena is full of keys: let cold ones go, once */
        hf_keys_table_shrink(keys);
        hf_epoch_poll();
        result = keys->keystore->ops->load(keys->keystore, kek, alg, blob, &made);
    }
    TRY(result);
    struct hf_kskey *stands = NULL;
    if (atomic_compare_exchange_strong_explicit(slot, &stands, made, memory_order_acq_rel,
                                                memory_order_acquire)) {
        atomic_fetch_add_explicit(&loaded, 1, memory_order_relaxed);
        stands = made;
        made = NULL; /* the slot has it */
    }
    *ret_key = stands; /* another thread's where it was first: ours is dropped */
    return HF_DONE;
}

hf_result hf_key_use(struct hf_keys *keys, const struct hf_key *key, const struct hf_key_version *version,
                     struct hf_kskey **ret_key)
{
    struct hf_kskey *hot = atomic_load_explicit(&version->live->key, memory_order_acquire);
    if (hot != NULL) {
        *ret_key = hot;
        return version->state == HF_KEY_DESTROYED ? HF_FAIL(KEY_STATE) : HF_DONE;
    }
    return load(keys, key, version, &version->live->key, key->alg, version->blob, ret_key);
}

hf_result hf_key_use_mac(struct hf_keys *keys, const struct hf_key *key, const struct hf_key_version *version,
                         struct hf_kskey **ret_key)
{
    if (key->alg == HF_ALG_HMAC)
        return hf_key_use(keys, key, version, ret_key);
    struct hf_kskey *hot = atomic_load_explicit(&version->live->mac, memory_order_acquire);
    if (hot != NULL) {
        *ret_key = hot;
        return version->state == HF_KEY_DESTROYED ? HF_FAIL(KEY_STATE) : HF_DONE;
    }
    return load(keys, key, version, &version->live->mac, HF_ALG_HMAC, version->mac_blob, ret_key);
}

/* ---- counting -------------------------------------------------------------------------------------- */

uint64_t hf_key_uses_max(const struct hf_keys *keys, const struct hf_key *key)
{
    uint64_t limit = key->info->uses_max;
    return keys->uses_max != 0 && keys->uses_max < limit ? keys->uses_max : limit;
}

uint64_t hf_key_uses_reserved(const struct hf_key_version *version)
{
    return version->live == NULL ? 0 : atomic_load_explicit(&version->live->reserved, memory_order_relaxed);
}

/* What was used of the limit, as far as can be known: all that was ever handed out but this process's rest. */
static uint64_t consumed(const struct hf_key_live *live)
{
    uint64_t reserved = atomic_load_explicit(&live->reserved, memory_order_relaxed);
    uint64_t granted = atomic_load_explicit(&live->granted, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&live->used, memory_order_relaxed);
    uint64_t rest = granted > used ? granted - used : 0;
    return reserved > rest ? reserved - rest : 0;
}

static bool spend(struct hf_key_live *live, uint64_t uses)
{
    uint64_t granted = atomic_load_explicit(&live->granted, memory_order_acquire);
    uint64_t used = atomic_load_explicit(&live->used, memory_order_relaxed);
    do {
        if (used > granted || uses > granted - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&live->used, &used, used + uses, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return true;
}

static uint64_t next_block(const struct hf_key_live *live, int64_t now_ns, uint64_t uses)
{
    uint64_t block = HF_KEY_BLOCK_MIN;
    if (live->block != 0 && now_ns > live->refilled_ns) {
        /* The last block (half of it, when fetched ahead) lasted this long: what would last 60 s? */
        double minute = 60e9 * (double)live->block / (double)(now_ns - live->refilled_ns);
        block = minute >= (double)HF_KEY_BLOCK_MAX ? HF_KEY_BLOCK_MAX : (uint64_t)minute;
    } else if (live->block != 0) {
        block = HF_KEY_BLOCK_MAX;
    }
    block = HF_MAX(block, HF_KEY_BLOCK_MIN);
    return HF_MAX(HF_MIN(block, HF_KEY_BLOCK_MAX), uses);
}

/* Under live->refill. At the limit the store's total may pass it (another node reserved at the same time): only
 * what lies below was granted. */
static hf_result reserve_block(struct hf_keys *keys, struct hf_key_live *live, struct hf_id version,
                               uint64_t limit, uint64_t uses)
{
    int64_t now_ns = hf_boot_ns(keys->clock);
    uint64_t block = next_block(live, now_ns, uses);
    uint64_t reserved = atomic_load_explicit(&live->reserved, memory_order_relaxed);
    if (reserved >= limit)
        return HF_FAIL(KEY_LIMIT);
    block = HF_MIN(block, limit - reserved);
    struct hf_store_op op = {.kind = HF_STORE_RESERVE, .amount = block, .row = {.id = version}};
    struct hf_store_outcome outcome = {0};
    struct hf_store *store = hf_records_store(keys->records);
    TRY(store->ops->commit(store, &op, 1, HF_DURABLE, &outcome));
    atomic_fetch_add_explicit(&keys->blocks, 1, memory_order_relaxed);
    uint64_t total = outcome.result;
    if (total < reserved + block) { /* it only grows: somebody set it back in the database */
        if (!live->lowered)
            hf_log(HF_LOG_ERROR, "keys.counter_lowered", hf_f("version", version), hf_f("uses", total),
                   hf_f("expected", reserved + block));
        live->lowered = true;
        return HF_FAIL(CORRUPT);
    }
    uint64_t over = total > limit ? total - limit : 0;
    uint64_t got = over >= block ? 0 : block - over;
    atomic_store_explicit(&live->reserved, HF_MIN(total, limit), memory_order_relaxed);
    uint64_t granted = atomic_load_explicit(&live->granted, memory_order_relaxed) + got;
    atomic_store_explicit(&live->half, granted - got / 2, memory_order_relaxed);
    atomic_store_explicit(&live->granted, granted, memory_order_release);
    live->block = block;
    live->refilled_ns = now_ns;
    return HF_DONE;
}

/* A key past half its limit is rotated by the next tick. Told once; again only where the list was full. */
static void worn(struct hf_keys *keys, const struct hf_key *key, const struct hf_key_version *version)
{
    if (atomic_exchange_explicit(&version->live->told, true, memory_order_acq_rel))
        return;
    pthread_mutex_lock(&keys->worn_lock);
    if (keys->worn_count == HF_KEYS_WORN_MAX) {
        atomic_store_explicit(&version->live->told, false, memory_order_release);
    } else {
        struct hf_keys_worn *w = &keys->worn[keys->worn_count++];
        *w =
            (struct hf_keys_worn){.mount = key->mount, .name_len = key->name_len, .version = version->number};
        memcpy(w->ns, key->ns, 16);
        memcpy(w->name, key->name, key->name_len);
    }
    pthread_mutex_unlock(&keys->worn_lock);
}

static hf_result refill(struct hf_keys *keys, const struct hf_key_version *version, uint64_t limit,
                        uint64_t uses)
{
    struct hf_key_live *live = version->live;
    pthread_mutex_lock(&live->refill);
    hf_result result = HF_DONE;
    uint64_t used = atomic_load_explicit(&live->used, memory_order_relaxed);
    uint64_t granted = atomic_load_explicit(&live->granted, memory_order_relaxed);
    bool needed = used >= atomic_load_explicit(&live->half, memory_order_relaxed) || uses > granted - used;
    if (needed) /* else another thread did it while this one waited */
        result = reserve_block(keys, live, version->id, limit, uses);
    atomic_store_explicit(&live->ahead, false, memory_order_release);
    pthread_mutex_unlock(&live->refill);
    return result;
}

hf_result hf_key_count_uses(struct hf_keys *keys, const struct hf_key *key,
                            const struct hf_key_version *version, uint64_t uses, bool may_wait,
                            bool *ret_near)
{
    if (ret_near != NULL)
        *ret_near = false;
    uint64_t limit = hf_key_uses_max(keys, key);
    if (limit == UINT64_MAX || uses == 0)
        return HF_DONE;
    if (uses > limit)
        return HF_FAIL(KEY_LIMIT);
    struct hf_key_live *live = version->live;
    uint64_t used = atomic_load_explicit(&live->used, memory_order_relaxed);
    if (used >= atomic_load_explicit(&live->half, memory_order_relaxed)) {
        /* Half gone: one caller fetches the next block where it may wait, or asks to be run where it may. */
        if (may_wait) {
            hf_result ahead = refill(keys, version, limit, uses);
            if (!HF_IS_OK(ahead) && ahead.code != HF_KEY_LIMIT)
                HF_IGNORE(ahead,
                          "what is left of the last block still serves; asked again below when it does not");
        } else if (!atomic_exchange_explicit(&live->ahead, true, memory_order_acq_rel)) {
            return HF_FAIL(WOULD_BLOCK);
        }
    }
    if (!spend(live, uses)) {
        if (!may_wait)
            return HF_FAIL(WOULD_BLOCK);
        TRY(refill(keys, version, limit, uses));
        if (!spend(live, uses))
            return HF_FAIL(KEY_LIMIT);
    }
    bool near = consumed(live) > limit / 2;
    if (near && version->number == key->latest && !atomic_load_explicit(&live->told, memory_order_relaxed))
        worn(keys, key, version);
    if (ret_near != NULL)
        *ret_near = near;
    return HF_DONE;
}
