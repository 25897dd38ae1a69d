/* Private to keys/. */
#ifndef HF_KEYS_INNER_H
#define HF_KEYS_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/epoch.h"
#include "keys/keys.h"

/* What outlives snapshots: one for each version id in use. */
struct hf_key_live {
    _Atomic uint32_t references; /* by snapshots */
    struct hf_kskey *_Atomic key;
    struct hf_kskey *_Atomic mac;
    _Atomic uint64_t used;     /* uses taken from what was granted to this process */
    _Atomic uint64_t granted;  /* uses that blocks taken here allow */
    _Atomic uint64_t half;     /* `used` past which the next block is fetched ahead */
    _Atomic uint64_t reserved; /* the store's total after the last block */
    bool lowered;              /* the store's total went back, and that was said; under refill */
    _Atomic bool ahead;        /* somebody was sent to fetch the next block */
    _Atomic bool told;         /* that it is past half its limit */
    pthread_mutex_t refill;    /* one block at a time; not on the hot path */
    int64_t refilled_ns;       /* boot time of the last block; under refill */
    uint64_t block;            /* its size; under refill */
};
struct hf_key_live *hf_key_live_new(void);
struct hf_key_live *hf_key_live_ref(struct hf_key_live *live);
void hf_key_live_unref(struct hf_key_live *live); /* NULL allowed */
size_t hf_key_live_loaded(void);                  /* loaded keys in this process */

struct hf_key_chunk {
    struct hf_key_chunk *next;
    size_t len;
    uint8_t bytes[];
};
/* A copy of bytes that lives as long as the key; an empty cursor with NO_MEMORY. */
hf_result hf_key_keep(struct hf_key *key, struct hf_cursor bytes, struct hf_cursor *ret_kept);
/* Room for one more version. */
hf_result hf_key_grow(struct hf_key *key);

/* Brings versions that lie under older KEKs of the namespace under its current one. */
hf_result hf_key_rewrap(struct hf_keys *keys, struct hf_key *draft);

struct hf_key_entry {
    struct hf_key_entry *_Atomic next;
    uint64_t hash;
    const struct hf_key *_Atomic key;
    _Atomic uint8_t touched;
};
enum { HF_KEYS_BUCKETS = 16384, HF_KEYS_STRIPES = 64, HF_KEYS_WORN_MAX = 64 };

struct hf_keys_worn { /* a key past half its use limit */
    struct hf_id mount;
    uint8_t ns[16];
    char name[HF_KEY_NAME_MAX + 1];
    size_t name_len;
    uint32_t version;
};
struct hf_keys {
    struct hf_records *records;
    struct hf_keystore *keystore;
    hf_keys_kek_fn kek;
    void *kek_arg;
    const struct hf_clock *clock;
    uint64_t seed[2];
    size_t hot_max;
    uint64_t uses_max;

    pthread_mutex_t table; /* writers of buckets */
    struct hf_key_entry *_Atomic *buckets;
    size_t hot, hand;
    _Atomic uint64_t evicted, blocks;

    pthread_mutex_t stripes[HF_KEYS_STRIPES]; /* one change of a key at a time in this process */

    pthread_mutex_t worn_lock;
    struct hf_keys_worn worn[HF_KEYS_WORN_MAX];
    size_t worn_count;
};

/* table.c */
uint64_t hf_keys_hash(const struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor name);
const struct hf_key *hf_keys_table_find(struct hf_keys *keys, uint64_t hash, const struct hf_id *mount,
                                        struct hf_cursor name);
/* Takes the snapshot over, unless a newer one stands there or the record has moved on: then it is freed and STALE. */
hf_result hf_keys_table_put(struct hf_keys *keys, struct hf_key *key);
void hf_keys_table_drop(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor name);
void hf_keys_table_free(struct hf_keys *keys);
void hf_keys_table_shrink(struct hf_keys *keys); /* evicts some cold keys */

/* name column: "<mount id as 32 hex digits>/<name>" */
struct hf_key_row_name {
    char text[32 + 1 + HF_KEY_NAME_MAX + 1];
    size_t len;
};
hf_result hf_key_row_name(const struct hf_id *mount, struct hf_cursor name, struct hf_key_row_name *ret);

#endif
