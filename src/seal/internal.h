/* What the files of this room share. All functions that take a struct hf_seal want its mutex held, except those of
 * seal.h. */
#ifndef HF_SEAL_INTERNAL_H
#define HF_SEAL_INTERNAL_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "seal/seal.h"

enum {
    SEAL_ROOT_BYTES = 32,
    SEAL_KEY_BYTES = 32,
    SEAL_ROW_MAX = 1 + 16 + 16 + 4 + 2 + 8 + HF_SHARES_MAX * HF_SHARE_COMMITMENT,
    SEAL_WRAPPED_KEK = HF_KWP_LEN(SEAL_KEY_BYTES),
    SEAL_KEK_BYTES = 16 + 4 + 1 + 8 + SEAL_WRAPPED_KEK,
    SEAL_KEYRING_FIXED_MAX = 4096, /* of the keyring row, without the KEKs */
    SEAL_KEYRING_MAX = SEAL_KEYRING_FIXED_MAX + HF_SEAL_KEKS_MAX * SEAL_KEK_BYTES,
};

enum seal_state { SEAL_UNINITIALIZED, SEAL_SEALED, SEAL_COLLECTING, SEAL_UNSEALED, SEAL_STATE_COUNT };

struct seal_row { /* the clear row */
    struct hf_id set, cluster;
    uint32_t generation;
    uint8_t threshold, count;
    int64_t created_ns;
    uint8_t commitments[HF_SHARES_MAX][HF_SHARE_COMMITMENT];
};
void seal_row_write(const struct seal_row *row, struct hf_buf *out);
hf_result seal_row_read(struct hf_cursor in, struct seal_row *ret_row);

struct root_keys { /* what is derived from the root and stays while unsealed */
    struct hf_secret *ring, *kek;
};
hf_result root_keys_derive(const struct hf_secret *root, const struct seal_row *row,
                           struct root_keys *ret_keys);
void root_keys_done(struct root_keys *keys);
bool root_keys_equal(const struct root_keys *a, const struct root_keys *b);

struct kek { /* one generation of one namespace */
    uint8_t ns[16];
    uint32_t generation;
    bool erased;
    int64_t created_ns;
    uint8_t wrapped[SEAL_WRAPPED_KEK]; /* zero where erased */
};
struct keks { /* sorted by namespace and generation */
    struct kek *at;
    size_t count, room;
};
void keks_done(struct keks *keks);
hf_result keks_copy(const struct keks *from, struct keks *ret_keks);
/* Adds one that is newly made, as generation `generation` of ns. Fails: TOO_LARGE, NO_MEMORY, NO_ENTROPY. */
hf_result keks_make(struct keks *keks, const struct hf_secret *wrapping, const uint8_t ns[16],
                    uint32_t generation, int64_t now_ns);
/* Unwraps each under one key and wraps it under the other. Fails: CORRUPT. */
hf_result keks_rewrap(struct keks *keks, const struct hf_secret *from, const struct hf_secret *to);

void keyring_done(struct hf_keyring *ring);
hf_result keyring_make(struct hf_id cluster, struct hf_keyring *ret_ring);
/* The keyring row. rev: that of the store's row, and seal_row: the encoded seal row, both authenticated with it. */
hf_result keyring_write(const struct hf_keyring *ring, const struct keks *keks, const struct root_keys *keys,
                        struct hf_cursor seal_row, uint64_t rev, struct hf_buf *out);
/* Fails: CORRUPT where anything is not as it was written under these keys. */
hf_result keyring_read(struct hf_cursor in, const struct root_keys *keys, struct hf_cursor seal_row,
                       uint64_t rev, struct hf_keyring *ret_ring, struct keks *ret_keks);

struct gathering { /* shares given towards one thing */
    struct hf_id nonce;
    uint32_t count;
    struct hf_share shares[HF_SHARES_MAX];
};
void gathering_reset(struct gathering *g); /* wipes; no nonce */
void gathering_drop_last(struct gathering *g);
/* Reads one share and holds it against the row. ret_fresh: it was not there yet, and is now. Fails: BAD_SHARE. */
hf_result gathering_add(struct gathering *g, const struct seal_row *row, struct hf_cursor text,
                        bool *ret_fresh, const char **ret_why);
/* Rebuilds the root and derives its keys; the root is gone when it returns. */
hf_result gathering_combine(const struct gathering *g, const struct seal_row *row,
                            struct root_keys *ret_keys);

struct write { /* both rows, encoded, to be committed together or the keyring alone */
    struct hf_buf keyring;
    uint8_t seal_bytes[SEAL_ROW_MAX];
    size_t seal_len; /* 0: the seal row stays */
    uint64_t expect_seal, expect_keyring;
    bool unknown; /* was sent, and the outcome is not known: a conflict may be with itself */
};
void write_done(struct write *write);
/* Encodes the keyring (and the seal row where with_row) as they shall be after the present revisions. */
hf_result write_prepare(const struct hf_seal *seal, const struct seal_row *row, bool with_row,
                        const struct hf_keyring *ring, const struct keks *keks, const struct root_keys *keys,
                        struct write *ret_write);
/* OK: durable. CONFLICT: another's write stands there. COMMIT_UNKNOWN: only after asking again for a while. */
hf_result write_commit(const struct hf_seal *seal, struct write *write);

struct pending { /* a rekey whose commit the store has not confirmed */
    bool there;
    struct write write;
    struct seal_row row;
    struct root_keys keys;
    struct keks keks;
    struct hf_share_set set;
};
void pending_done(struct pending *pending);

struct rekey {
    bool started, verify, verifying;
    uint32_t shares, threshold;
    struct gathering present, next;
    struct seal_row next_row; /* while verifying */
    struct pending pending;
};
void rekey_reset(struct rekey *rekey);

struct root_attempt {
    bool started;
    struct gathering present;
    uint8_t otp[HF_SEAL_OTP_MAX];
    size_t otp_len;
};
void root_attempt_reset(struct root_attempt *attempt);

struct hf_seal { /* in the secret arena */
    pthread_mutex_t mutex;
    struct hf_store *store;
    const struct hf_clock *clock;
    enum seal_state state;
    bool row_known; /* the store has said whether there is a row, and which */
    struct seal_row row;
    uint64_t row_rev, keyring_rev;
    struct gathering unseal;
    /* only while UNSEALED */
    struct hf_keyring ring;
    struct root_keys keys;
    struct keks keks;
    struct rekey rekey;
    struct root_attempt root;
};

/* Changes the state, which the table must allow. Fails as the table says for what is refused. */
hf_result seal_become(struct hf_seal *seal, enum seal_state next);
hf_result seal_must_be_unsealed(const struct hf_seal *seal);
/* Reads the seal row if it is not known. Fails: STORE_*, CORRUPT. */
hf_result seal_know_row(struct hf_seal *seal);
/* The row of the next generation, its shares and, unless ret_keys is NULL, the keys derived from its root, which is new
 * and gone again when this returns. Fails: BAD_ARGUMENT (counts), NO_ENTROPY, NO_MEMORY. */
hf_result seal_new_generation(const struct seal_row *base, uint32_t count, uint32_t threshold,
                              struct seal_row *ret_row, struct hf_share_set *ret_set,
                              struct root_keys *ret_keys);
/* Reads and opens the keyring row as it now stands. */
hf_result seal_load_keyring(struct hf_seal *seal, const struct root_keys *keys, struct hf_keyring *ret_ring,
                            struct keks *ret_keks, uint64_t *ret_rev);

/* The value, whose owner has it no more: its cleanup finds nothing. */
#define MOVED(from)                                                                                          \
    ({                                                                                                       \
        __auto_type moved_ = (from);                                                                         \
        memset(&(from), 0, sizeof(from));                                                                    \
        moved_;                                                                                              \
    })

static inline bool id_is_zero(struct hf_id id)
{
    static const struct hf_id zero;
    return memcmp(&id, &zero, sizeof(id)) == 0; /* public */
}
static inline bool id_same(struct hf_id a, struct hf_id b)
{
    return memcmp(&a, &b, sizeof(a)) == 0; /* public */
}
static inline void seal_unlock_p(struct hf_seal **seal)
{
    pthread_mutex_unlock(&(*seal)->mutex);
}
/* Holds the mutex from here to the end of the scope. */
#define HOLD(seal)                                                                                           \
    CLEANUP(seal_unlock_p) struct hf_seal *held_ = (seal);                                                   \
    pthread_mutex_lock(&held_->mutex)

#endif
