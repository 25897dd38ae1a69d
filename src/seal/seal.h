/* Seal: the root key's life. The root (256 bits) is never stored: k of n shares rebuild it inside secret memory.
 * What is stored while sealed is the seal row (clear: set id, generation, k, n, cluster) and the keyring row:
 * sealed by XAES-256-GCM under HKDF(root, "keyring"), with the seal row's identity as associated data.
 *
 *   root -- HKDF "keyring" --> opens the keyring: record, index, token, audit keys
 *        -- HKDF "kek"     --> wraps each namespace's KEK (AES-KWP) -- wraps --> key versions
 *
 * States (one table in seal/state.c): UNINITIALIZED SEALED COLLECTING UNSEALED. Thread-safe: one mutex; nothing here is
 * on a data operation's way. */
#ifndef HF_SEAL_SEAL_H
#define HF_SEAL_SEAL_H

#include "base/clock.h"
#include "crypto/pkey.h"
#include "shares/shares.h"
#include "store/store.h"

struct hf_seal;

struct hf_keyring { /* what unsealing yields; owned by the seal, valid until it is sealed */
    struct hf_secret *record_key, *index_key, *token_key, *audit_detail_key, *audit_hash_key;
    struct hf_pkey *audit_ed25519, *audit_mldsa44;
    struct hf_id cluster;
    struct hf_id audit_log;
};

struct hf_seal_status {
    bool initialized, sealed;
    uint32_t threshold, shares, progress; /* t, n, progress */
    struct hf_id nonce;                   /* of the unseal attempt; zero: none */
    struct hf_id set;
    uint32_t generation;
    struct hf_id cluster;
};

hf_result hf_seal_open(struct hf_store *store, const struct hf_clock *clock, struct hf_seal **ret_seal);
void hf_seal_close(struct hf_seal *seal);
/* Reads the seal row again (after the store came back). */
hf_result hf_seal_status(struct hf_seal *seal, struct hf_seal_status *ret_status);

struct hf_share_set { /* shares as they are handed out; wiped by hf_share_set_done */
    uint32_t count;
    struct hf_secret *shares[HF_SHARES_MAX]; /* exported form (y || x), HF_SHARE_EXPORT_BYTES each */
    char *cards[HF_SHARES_MAX]; /* share cards: text with set, index, threshold, generation, check */
};
void hf_share_set_done(struct hf_share_set *set);

/* Makes the root, splits it, writes seal and keyring rows (durably, both or neither). Leaves the seal UNSEALED, so that the
 * caller can write the first records and the root token, and then seals again. Fails: ALREADY, BAD_ARGUMENT, STORE_*. */
hf_result hf_seal_init(struct hf_seal *seal, uint32_t shares, uint32_t threshold,
                       struct hf_share_set *ret_set);

/* One share: hex, base64 of the plain form, or a share card's text. Wrong set, wrong generation, a damaged card, an
 * index seen already (same value: no progress) are named at once in ret_why (static text). The plain form carries no
 * identity: its check byte string is verified when k are there, against each, and the wrong one is named by index.
 * Fails: BAD_SHARE, ALREADY (unsealed), NOT_INITIALIZED. ret_complete: UNSEALED now. */
hf_result hf_seal_offer(struct hf_seal *seal, struct hf_cursor share_text, bool *ret_complete,
                        const char **ret_why);
void hf_seal_reset(struct hf_seal *seal); /* forgets the shares given so far */
/* Wipes root, KEKs and keyring. The caller has closed all that used them. */
void hf_seal_lock(struct hf_seal *seal);
/* NULL while sealed. */
const struct hf_keyring *hf_seal_keyring(struct hf_seal *seal);

/* Namespaces' KEKs. ns: namespace id (16 bytes). generation 0: the current one (ret_generation says which). The secret is a copy. */
hf_result hf_seal_kek(struct hf_seal *seal, struct hf_cursor ns, uint32_t generation,
                      struct hf_secret **ret_kek, uint32_t *ret_generation);
/* Makes / replaces / erases a namespace's KEK; writes the keyring row durably. */
hf_result hf_seal_kek_create(struct hf_seal *seal, struct hf_cursor ns);
hf_result hf_seal_kek_rotate(struct hf_seal *seal, struct hf_cursor ns, uint32_t *ret_generation);
hf_result hf_seal_kek_erase(struct hf_seal *seal, struct hf_cursor ns);

/* A quorum's second uses of shares: rekey (new root, new shares; the keyring and KEKs re-wrapped; optional
 * verification before it takes effect) and generate-root. Same share checks as hf_seal_offer. */
struct hf_quorum_status {
    bool started;
    struct hf_id nonce;
    uint32_t progress, required;
    uint32_t new_shares, new_threshold;
    bool verification_required, verifying;
    struct hf_id verification_nonce;
    uint32_t verification_progress;
    uint32_t otp_length;
};
hf_result hf_rekey_begin(struct hf_seal *seal, uint32_t shares, uint32_t threshold, bool verify,
                         struct hf_quorum_status *ret);
hf_result hf_rekey_status(struct hf_seal *seal, struct hf_quorum_status *ret);
hf_result hf_rekey_cancel(struct hf_seal *seal);
/* ret_set filled (count > 0) when the threshold is reached. */
hf_result hf_rekey_offer(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                         struct hf_quorum_status *ret, struct hf_share_set *ret_set, const char **ret_why);
hf_result hf_rekey_verify(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                          bool *ret_complete, struct hf_quorum_status *ret, const char **ret_why);
hf_result hf_generate_root_begin(struct hf_seal *seal, struct hf_quorum_status *ret);
hf_result hf_generate_root_status(struct hf_seal *seal, struct hf_quorum_status *ret);
hf_result hf_generate_root_cancel(struct hf_seal *seal);
/* ret_complete: the quorum is proved; the caller makes the token. */
hf_result hf_generate_root_offer(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                                 bool *ret_complete, struct hf_quorum_status *ret, const char **ret_why);

#endif
