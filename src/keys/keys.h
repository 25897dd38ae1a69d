/* Keys: records with their versions, states, use counters, and the cache of those in use.
 *
 * A key record lies sealed in table KEY under the name "<mount id>/<key name>". What the cache hands out is an immutable
 * snapshot, valid inside the caller's epoch; a change makes a draft, commits it, and publishes a new snapshot.
 * A key in use keeps its loaded form (struct hf_kskey) and its counter from snapshot to snapshot; a cold one costs
 * nothing here. Thread-safe; finding and using take no lock. */
#ifndef HF_KEYS_KEYS_H
#define HF_KEYS_KEYS_H

#include "audit/audit.h"
#include "keys/state.h"
#include "keystore/keystore.h"
#include "records/records.h"

enum {
    HF_KEY_NAME_MAX = 255,
    HF_KEY_VERSIONS_MAX = 100000,
    HF_KEYS_HOT_MAX = 16384,    /* keys whose records are kept */
    HF_KEYS_LOADED_MAX = 16384, /* versions whose material is kept */
    HF_KEY_CHANGE_TRIES = 8,
};
#define HF_KEY_BLOCK_MIN (UINT64_C(1) << 10)
#define HF_KEY_BLOCK_MAX (UINT64_C(1) << 24)

enum hf_key_flag { /* stored bits */
                   HF_KEY_DERIVED = 1,
                   HF_KEY_CONVERGENT = 2,
                   HF_KEY_EXPORTABLE = 4,
                   HF_KEY_PLAIN_BACKUP = 8,
                   HF_KEY_DELETION_ALLOWED = 16,
                   HF_KEY_IMPORTED = 32,
                   HF_KEY_IMPORTED_ROTATES = 64, /* an imported key that may be rotated by generating */
                   HF_KEY_FLAG_ALL = 127,
};
enum hf_key_origin { HF_KEY_GENERATED = 1, HF_KEY_FROM_IMPORT = 2, HF_KEY_PUBLIC_ONLY = 3 };

struct hf_key_live; /* private: loaded material, counter */
struct hf_key_version {
    uint32_t number;
    struct hf_id id;
    enum hf_key_state state;
    enum hf_protection protection;
    enum hf_key_origin origin;
    uint32_t kek_generation;
    int64_t entered_ns
        [HF_KEY_STATE_END]; /* when it entered each state; [PRE_ACTIVE]: created; [0] unused; 0: never */
    struct hf_cursor blob,
        mac_blob;                 /* empty once destroyed; mac_blob empty for HMAC keys, public-only ones */
    struct hf_cursor public_text; /* as the API shows it; empty for symmetric keys */
    struct hf_key_live *live;
};
struct hf_key {
    struct hf_id record_id, id, mount;
    uint64_t rev;
    uint8_t ns[16];
    char name[HF_KEY_NAME_MAX + 1];
    size_t name_len;
    enum hf_alg alg;
    const struct hf_alg_info *info;
    uint32_t flags;     /* enum hf_key_flag */
    uint32_t key_bytes; /* HMAC: size asked for; 0: the algorithm's */
    uint32_t latest, min_decryption, min_encryption, min_available;
    int64_t created_ns, rotated_ns, auto_rotate_ns; /* period; 0: never */
    int64_t backup_ns, restore_ns;
    uint32_t backup_version, restore_version;
    uint32_t count;
    struct hf_key_version *versions; /* by number, without gaps */
    /* private */
    size_t room;
    struct hf_key_chunk *chunks;
};

struct hf_keys;
/* Gives a copy of a namespace's KEK. generation 0: the current one; ret_generation says which. */
typedef hf_result (*hf_keys_kek_fn)(void *arg, struct hf_cursor ns, uint32_t generation,
                                    struct hf_secret **ret_kek, uint32_t *ret_generation);
hf_result hf_keys_open(struct hf_records *records, struct hf_keystore *keystore, hf_keys_kek_fn kek,
                       void *kek_arg, const struct hf_clock *clock, struct hf_keys **ret_keys);
void hf_keys_close(struct hf_keys *keys); /* no call may use it any more; NULL allowed */
/* For tests and configuration: how many keys stay hot (0: HF_KEYS_HOT_MAX), and a limit below the algorithms' own on the
 * uses of one version (0: none). Call before use. */
void hf_keys_limit(struct hf_keys *keys, size_t hot_max, uint64_t uses_max);
/* Rotates what is due by its period, or past half its use limit. Each rotation has its own audit leaf. */
hf_result hf_keys_tick(struct hf_keys *keys, struct hf_audit *audit, int64_t now_ns);

/* ---- finding; inside an epoch ---- */

/* Fails: NOT_FOUND (from memory), WOULD_BLOCK where the record must be read and may_wait is false, CORRUPT, STORE_*. */
hf_result hf_keys_find(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                       struct hf_cursor name, bool may_wait, const struct hf_key **ret_key);
/* NULL where the key has no such version (trimmed, not yet made). */
const struct hf_key_version *hf_key_version(const struct hf_key *key, uint32_t number);
/* The newest version that is not pre-active; NULL where all are. What version 0 means. */
const struct hf_key_version *hf_key_current(const struct hf_key *key);
/* Names in order. each returns false to stop. */
hf_result hf_keys_names(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                        bool (*each)(void *arg, struct hf_cursor name), void *arg);
/* Wipes from memory what is loaded of a mount that is no more. */
void hf_keys_forget_mount(struct hf_keys *keys, const struct hf_id *mount);
bool hf_key_name_ok(struct hf_cursor name); /* [A-Za-z0-9_.-], a letter, digit or _ at both ends */

/* ---- using; inside an epoch ---- */

/* The loaded version / the key of its HMACs, valid inside the epoch. Does not ask for the version's state. Fails:
 * KEY_STATE where it is destroyed, UNSUPPORTED (no HMAC key), CORRUPT, NO_MEMORY. */
hf_result hf_key_use(struct hf_keys *keys, const struct hf_key *key, const struct hf_key_version *version,
                     struct hf_kskey **ret_key);
hf_result hf_key_use_mac(struct hf_keys *keys, const struct hf_key *key, const struct hf_key_version *version,
                         struct hf_kskey **ret_key);
/* Counts `uses` protect operations against the version's limit, before they are done. Takes a block from the store where
 * memory has too few left: WOULD_BLOCK where may_wait is false. ret_near: past half of the limit (then the next tick
 * rotates the key); may be NULL. Fails: KEY_LIMIT, STORE_*. A crash overcounts. */
hf_result hf_key_count_uses(struct hf_keys *keys, const struct hf_key *key,
                            const struct hf_key_version *version, uint64_t uses, bool may_wait,
                            bool *ret_near);
/* The limit on uses of one version of this key; UINT64_MAX: none. */
uint64_t hf_key_uses_max(const struct hf_keys *keys, const struct hf_key *key);
/* How many uses were taken out of the store for this version as far as this process knows; 0: not used since start. */
uint64_t hf_key_uses_reserved(const struct hf_key_version *version);

/* ---- changing ---- */

struct hf_key_spec {
    struct hf_id mount;
    struct hf_cursor ns, name;
    enum hf_alg alg;
    uint32_t flags, key_bytes;
    int64_t auto_rotate_ns;
};
/* Edits the draft: hf_key_add_*, hf_key_set_state, hf_key_trim, or its fields. May be called more than once, each
 * time with a fresh draft. Fails as it likes: then nothing is written. */
typedef hf_result (*hf_key_edit_fn)(struct hf_keys *keys, struct hf_key *draft, void *arg);
/* Commits the transaction (with the audit leaf). */
typedef hf_result (*hf_key_commit_fn)(struct hf_txn *txn, void *arg);
struct hf_key_change {
    hf_key_edit_fn edit;
    hf_key_commit_fn commit;
    void *arg;
};
/* Fails: EXISTS, BAD_ARGUMENT (name), what edit and commit fail with. ret_key as hf_keys_find; may be NULL. */
hf_result hf_keys_create(struct hf_keys *keys, const struct hf_key_spec *spec,
                         const struct hf_key_change *change, const struct hf_key **ret_key);
/* Tries again on CONFLICT, HF_KEY_CHANGE_TRIES times. Fails: NOT_FOUND, CONFLICT, TOO_LARGE (too many versions: trim). */
hf_result hf_keys_change(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                         struct hf_cursor name, const struct hf_key_change *change,
                         const struct hf_key **ret_key);
/* edit sees the key and may refuse; it changes nothing. */
hf_result hf_keys_delete(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                         struct hf_cursor name, const struct hf_key_change *change);

/* On drafts. now_ns: wall time. Each new version gets the number latest + 1. */
hf_result hf_key_add_generated(struct hf_keys *keys, struct hf_key *draft, enum hf_key_state state,
                               int64_t now_ns);
hf_result hf_key_add_imported(struct hf_keys *keys, struct hf_key *draft, enum hf_private_form form,
                              const struct hf_secret *material, int64_t now_ns);
hf_result hf_key_add_public(struct hf_keys *keys, struct hf_key *draft, struct hf_cursor public_bytes,
                            int64_t now_ns);
/* A version that came with a backup: `like` gives number, state, times, origin, public text; material may be NULL
 * (destroyed, or public-only with public text kept). mac: key of its HMACs or NULL. Numbers must follow one another. */
hf_result hf_key_add_restored(struct hf_keys *keys, struct hf_key *draft, const struct hf_key_version *like,
                              const struct hf_secret *material, const struct hf_secret *mac);
/* Fails: NOT_FOUND, KEY_STATE. Destroying drops the version's material for good. */
hf_result hf_key_set_state(struct hf_keys *keys, struct hf_key *draft, uint32_t number,
                           enum hf_key_state state, int64_t now_ns);
/* Drops every version, so that restored ones can follow. */
void hf_key_reset(struct hf_key *draft);
/* Drops versions below min_available. Fails: BAD_ARGUMENT. */
hf_result hf_key_trim(struct hf_keys *keys, struct hf_key *draft, uint32_t min_available);

/* ---- codec of the record, for load and for the fuzzer; pure ---- */

/* Gives: a key whose cursors lie in memory of its own. Fails: CORRUPT. */
hf_result hf_key_decode(struct hf_cursor plain, struct hf_key **ret_key);
size_t hf_key_encoded_max(const struct hf_key *key);
void hf_key_encode(const struct hf_key *key, struct hf_buf *out);
void hf_key_freep(struct hf_key **key);
/* A copy of one's own, to change and encode. */
hf_result hf_key_copy(const struct hf_key *key, struct hf_key **ret_draft);

struct hf_keys_stats {
    uint64_t hot, loaded, evicted, blocks;
};
void hf_keys_stats(struct hf_keys *keys, struct hf_keys_stats *ret_stats);

#endif
