/* The hash table of hot snapshots. Readers walk buckets inside their epoch; writers hold keys->table. */
#include <stdlib.h>

#include "keys/inner.h"

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t wide = (__uint128_t)a * b;
    return (uint64_t)wide ^ (uint64_t)(wide >> 64);
}

/* Keyed by a seed of this process, so that names cannot be chosen to collide. */
uint64_t hf_keys_hash(const struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor name)
{
    static const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t a, b;
    memcpy(&a, mount->bytes, 8);
    memcpy(&b, mount->bytes + 8, 8);
    uint64_t h = mix(a ^ keys->seed[0], b ^ keys->seed[1]);
    while (name.left >= 8) {
        memcpy(&a, name.at, 8);
        h = mix(h ^ a, keys->seed[1] ^ odd);
        name.at += 8;
        name.left -= 8;
    }
    a = name.left;
    for (size_t i = 0; i < name.left; i++)
        a = a << 8 | name.at[i];
    return mix(h ^ a, keys->seed[0] ^ odd);
}

static struct hf_key_entry *_Atomic *bucket_of(struct hf_keys *keys, uint64_t hash)
{
    return &keys->buckets[hash & (HF_KEYS_BUCKETS - 1)];
}

static bool is_key(const struct hf_key *key, const struct hf_id *mount, struct hf_cursor name)
{
    return hf_cursor_same(hf_cursor(key->mount.bytes, 16), hf_cursor(mount->bytes, 16)) &&
           hf_cursor_same(hf_cursor(key->name, key->name_len), name);
}

static struct hf_key_entry *entry_of(struct hf_keys *keys, uint64_t hash, const struct hf_id *mount,
                                     struct hf_cursor name)
{
    struct hf_key_entry *e = atomic_load_explicit(bucket_of(keys, hash), memory_order_acquire);
    for (; e != NULL; e = atomic_load_explicit(&e->next, memory_order_acquire)) {
        if (e->hash == hash && is_key(atomic_load_explicit(&e->key, memory_order_acquire), mount, name))
            return e;
    }
    return NULL;
}

const struct hf_key *hf_keys_table_find(struct hf_keys *keys, uint64_t hash, const struct hf_id *mount,
                                        struct hf_cursor name)
{
    struct hf_key_entry *e = entry_of(keys, hash, mount, name);
    if (e == NULL)
        return NULL;
    if (atomic_load_explicit(&e->touched, memory_order_relaxed) == 0)
        atomic_store_explicit(&e->touched, 1, memory_order_relaxed);
    return atomic_load_explicit(&e->key, memory_order_acquire);
}

static void release_key(void *object)
{
    struct hf_key *key = object;
    hf_key_freep(&key);
}

static void release_entry(void *object)
{
    struct hf_key_entry *e = object;
    struct hf_key *key = (struct hf_key *)atomic_load_explicit(&e->key, memory_order_relaxed);
    hf_key_freep(&key);
    free(e);
}

/* Under keys->table. */
static void unlink_entry(struct hf_keys *keys, struct hf_key_entry *gone)
{
    struct hf_key_entry *_Atomic *link = bucket_of(keys, gone->hash);
    for (;;) {
        struct hf_key_entry *e = atomic_load_explicit(link, memory_order_relaxed);
        if (e == NULL)
            return;
        if (e == gone)
            break;
        link = &e->next;
    }
    atomic_store_explicit(link, atomic_load_explicit(&gone->next, memory_order_relaxed),
                          memory_order_release);
    keys->hot--;
    hf_epoch_retire(gone, release_entry);
}

/* Under keys->table: second chance, till a sixteenth of the table is free or two rounds are over. */
static void evict(struct hf_keys *keys)
{
    size_t target = keys->hot - HF_MAX(keys->hot / 16, (size_t)1);
    for (size_t step = 0; step < (size_t)2 * HF_KEYS_BUCKETS && keys->hot > target; step++) {
        size_t at = keys->hand++ & (HF_KEYS_BUCKETS - 1);
        struct hf_key_entry *e = atomic_load_explicit(&keys->buckets[at], memory_order_relaxed);
        while (e != NULL) {
            struct hf_key_entry *next = atomic_load_explicit(&e->next, memory_order_relaxed);
            if (atomic_exchange_explicit(&e->touched, 0, memory_order_relaxed) == 0) {
                unlink_entry(keys, e);
                atomic_fetch_add_explicit(&keys->evicted, 1, memory_order_relaxed);
            }
            e = next;
        }
    }
}

void hf_keys_table_shrink(struct hf_keys *keys)
{
    pthread_mutex_lock(&keys->table);
    if (keys->hot > 1)
        evict(keys);
    pthread_mutex_unlock(&keys->table);
}

/* Versions of the new snapshot go on with what the old one has loaded and counted. */
static hf_result carry_live(struct hf_key *key, const struct hf_key *old)
{
    for (uint32_t i = 0; i < key->count; i++) {
        struct hf_key_version *v = &key->versions[i];
        const struct hf_key_version *was = old == NULL ? NULL : hf_key_version(old, v->number);
        bool same = was != NULL && hf_cursor_same(hf_cursor(was->id.bytes, 16), hf_cursor(v->id.bytes, 16));
        if (same && was->live != NULL && v->live != was->live) {
            hf_key_live_unref(v->live);
            v->live = hf_key_live_ref(was->live);
        }
        if (v->live == NULL && (v->live = hf_key_live_new()) == NULL)
            return HF_FAIL(NO_MEMORY);
    }
    return HF_DONE;
}

hf_result hf_keys_table_put(struct hf_keys *keys, struct hf_key *key)
{
    struct hf_cursor name = hf_cursor(key->name, key->name_len);
    uint64_t hash = hf_keys_hash(keys, &key->mount, name);
    struct hf_key_entry *fresh = calloc(1, sizeof *fresh);
    hf_result result = fresh == NULL ? HF_FAIL(NO_MEMORY) : HF_DONE;
    pthread_mutex_lock(&keys->table);
    struct hf_key_entry *e = entry_of(keys, hash, &key->mount, name);
    const struct hf_key *old = e == NULL ? NULL : atomic_load_explicit(&e->key, memory_order_relaxed);
    uint64_t rev = 0;
    if (HF_IS_OK(result) &&
        (!hf_record_exists(keys->records, HF_TABLE_KEY, key->record_id, &rev) || rev != key->rev))
        result = HF_FAIL(STALE);
    if (HF_IS_OK(result))
        result = carry_live(key, old);
    if (HF_IS_OK(result) && e != NULL) {
        atomic_store_explicit(&e->key, key, memory_order_release);
        hf_epoch_retire((void *)old, release_key);
    } else if (HF_IS_OK(result)) {
        struct hf_key_entry *_Atomic *head = bucket_of(keys, hash);
        fresh->hash = hash;
        atomic_init(&fresh->key, key);
        atomic_init(&fresh->touched, 1);
        atomic_init(&fresh->next, atomic_load_explicit(head, memory_order_relaxed));
        atomic_store_explicit(head, fresh, memory_order_release);
        fresh = NULL;
        if (++keys->hot > keys->hot_max)
            evict(keys);
    }
    pthread_mutex_unlock(&keys->table);
    free(fresh);
    if (!HF_IS_OK(result))
        hf_key_freep(&key);
    return result;
}

void hf_keys_table_drop(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor name)
{
    uint64_t hash = hf_keys_hash(keys, mount, name);
    pthread_mutex_lock(&keys->table);
    struct hf_key_entry *e = entry_of(keys, hash, mount, name);
    if (e != NULL)
        unlink_entry(keys, e);
    pthread_mutex_unlock(&keys->table);
}

void hf_keys_forget_mount(struct hf_keys *keys, const struct hf_id *mount)
{
    pthread_mutex_lock(&keys->table);
    for (size_t i = 0; i < HF_KEYS_BUCKETS; i++) {
        struct hf_key_entry *e = atomic_load_explicit(&keys->buckets[i], memory_order_relaxed);
        while (e != NULL) {
            struct hf_key_entry *next = atomic_load_explicit(&e->next, memory_order_relaxed);
            const struct hf_key *key = atomic_load_explicit(&e->key, memory_order_relaxed);
            if (hf_cursor_same(hf_cursor(key->mount.bytes, 16), hf_cursor(mount->bytes, 16)))
                unlink_entry(keys, e);
            e = next;
        }
    }
    pthread_mutex_unlock(&keys->table);
}

void hf_keys_table_free(struct hf_keys *keys)
{
    for (size_t i = 0; keys->buckets != NULL && i < HF_KEYS_BUCKETS; i++) {
        struct hf_key_entry *e = atomic_load_explicit(&keys->buckets[i], memory_order_relaxed);
        while (e != NULL) {
            struct hf_key_entry *next = atomic_load_explicit(&e->next, memory_order_relaxed);
            release_entry(e);
            e = next;
        }
    }
    free((void *)keys->buckets);
}
