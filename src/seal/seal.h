/* Seal: the root key's life. The root (256 bits) is never stored: k of n shares rebuild it inside secret memory, for
 * as long as it takes to derive two keys from it. What is stored while sealed is the seal row (clear: set id,
 * generation, k, n, cluster, and a commitment to each share) and the keyring row, whose secrets are sealed by
 * XAES-256-GCM under HKDF(root, "keyring") and which is authenticated as a whole, together with the seal row.
 *
 *   root -- HKDF "keyring" --> opens the keyring: record, index, token, audit keys
 *        -- HKDF "kek"     --> wraps each namespace's KEK (AES-KWP) -- wraps --> key versions
 *
 * While unsealed, memory holds the keyring and these two derived keys; never the root, never a share.
 *
 * States (one table in seal/state.c): UNINITIALIZED SEALED COLLECTING UNSEALED. Thread-safe: one mutex, held while the
 * store is asked; nothing here is on a data operation's way. */
#ifndef HF_SEAL_SEAL_H
#define HF_SEAL_SEAL_H

#include "base/clock.h"
#include "crypto/pkey.h"
#include "shares/shares.h"
#include "store/store.h"
#include "wire/tree.h"

struct hf_seal;

enum {
    HF_SEAL_KEKS_MAX = 16384, /* generations of all namespaces together */
    HF_SEAL_OTP_MAX = 128,
};

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

/* Succeeds where the store is down: the seal row is then read when it is first needed. Fails: NO_MEMORY. */
hf_result hf_seal_open(struct hf_store *store, const struct hf_clock *clock, struct hf_seal **ret_seal);
void hf_seal_close(struct hf_seal *seal); /* NULL allowed */
/* From memory; asks the store only until it once said whether it is initialised. Fails: STORE_*, CORRUPT. */
hf_result hf_seal_status(struct hf_seal *seal, struct hf_seal_status *ret_status);

struct hf_share_set { /* shares as they are handed out, once */
    uint32_t count;
    struct hf_share shares[HF_SHARES_MAX];
};
void hf_share_set_done(struct hf_share_set *set); /* wipes; for CLEANUP */
/* Writes the members "keys" (hex), "keys_base64" and "share_cards" into the map that is open in w. The memory behind
 * w holds secrets then. */
hf_result hf_share_set_write(const struct hf_share_set *set, struct hf_tree_writer *w);

/* Makes the root, splits it, writes seal and keyring rows (durably, both or neither) with a KEK for the root
 * namespace (16 zero bytes). Leaves the seal UNSEALED, so that the caller can write the first records and the root
 * token, and then seals again. Fails: ALREADY, BAD_ARGUMENT, STORE_*; COMMIT_UNKNOWN: it may have been written. */
hf_result hf_seal_init(struct hf_seal *seal, uint32_t shares, uint32_t threshold,
                       struct hf_share_set *ret_set);

/* One share: hex, base64 of the plain form, or a share card's text. A share of another set or generation, a wrong or
 * damaged one is named at once in ret_why (valid till this thread's next call) and leaves the others' progress as it
 * is. The same share again is no progress and no error. Fails: BAD_SHARE, ALREADY (unsealed), NOT_INITIALIZED,
 * CORRUPT (the keyring row is not what these shares protect), STORE_*: the last share is to be given again.
 * ret_complete: UNSEALED now. */
hf_result hf_seal_offer(struct hf_seal *seal, struct hf_cursor share_text, bool *ret_complete,
                        const char **ret_why);
void hf_seal_reset(struct hf_seal *seal); /* forgets the shares given so far */
/* Wipes keyring and derived keys, and ends rekey and generate-root. The caller has withdrawn all that used them. */
void hf_seal_lock(struct hf_seal *seal);
/* NULL while sealed. */
const struct hf_keyring *hf_seal_keyring(struct hf_seal *seal);

/* Namespaces' KEKs. ns: namespace id (16 bytes). generation 0: the current one (ret_generation says which; may be
 * NULL). The secret is a copy. Fails: SEALED, NOT_FOUND (also where it was erased). */
hf_result hf_seal_kek(struct hf_seal *seal, struct hf_cursor ns, uint32_t generation,
                      struct hf_secret **ret_kek, uint32_t *ret_generation);
/* Makes / replaces / erases a namespace's KEK; writes the keyring row durably. Older generations keep opening what
 * they wrapped. Erasing takes all generations; the namespace is remembered, so that its id is never used again.
 * Fails: EXISTS, NOT_FOUND, TOO_LARGE (HF_SEAL_KEKS_MAX), CONFLICT, STORE_*; then nothing changed. */
hf_result hf_seal_kek_create(struct hf_seal *seal, struct hf_cursor ns);
hf_result hf_seal_kek_rotate(struct hf_seal *seal, struct hf_cursor ns, uint32_t *ret_generation);
hf_result hf_seal_kek_erase(struct hf_seal *seal, struct hf_cursor ns);
struct hf_kek_info {
    uint32_t generation; /* the current one */
    int64_t created_ns;
};
hf_result hf_seal_kek_info(struct hf_seal *seal, struct hf_cursor ns, struct hf_kek_info *ret_info);

/* A quorum's second uses of shares: rekey (new root, new shares; the keyring and KEKs re-wrapped; optional
 * verification before it takes effect) and generate-root. Same share checks as hf_seal_offer, but the same share
 * twice is refused. All need the seal UNSEALED. Nonces: that of the attempt, else BAD_ARGUMENT with ret_why. */
struct hf_quorum_status {
    bool started;
    struct hf_id nonce;
    uint32_t progress, required;
    uint32_t new_shares, new_threshold;
    bool verification_required, verifying;
    struct hf_id verification_nonce;
    uint32_t verification_progress;
};
/* Fails: ALREADY (one is under way), BAD_ARGUMENT (counts), SEALED. */
hf_result hf_rekey_begin(struct hf_seal *seal, uint32_t shares, uint32_t threshold, bool verify,
                         struct hf_quorum_status *ret);
hf_result hf_rekey_status(struct hf_seal *seal, struct hf_quorum_status *ret);
/* Also gives up new shares that are not verified yet. */
hf_result hf_rekey_cancel(struct hf_seal *seal);
/* ret_set filled (count > 0) when the threshold is reached: from then on only these shares open (or, with
 * verification, once they are verified). After COMMIT_UNKNOWN, offer any present share again: the same new shares
 * are given when the store says that they hold. */
hf_result hf_rekey_offer(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                         struct hf_quorum_status *ret, struct hf_share_set *ret_set, const char **ret_why);
hf_result hf_rekey_verify(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                          bool *ret_complete, struct hf_quorum_status *ret, const char **ret_why);
/* Starts verification anew, with another nonce. Fails: BAD_ARGUMENT where none is under way. */
hf_result hf_rekey_verify_restart(struct hf_seal *seal);
/* otp: kept till the end, to be given back with the proof of the quorum; at most HF_SEAL_OTP_MAX bytes. */
hf_result hf_generate_root_begin(struct hf_seal *seal, struct hf_cursor otp, struct hf_quorum_status *ret);
hf_result hf_generate_root_status(struct hf_seal *seal, struct hf_quorum_status *ret, size_t *ret_otp_len);
hf_result hf_generate_root_cancel(struct hf_seal *seal);
/* ret_complete: the quorum is proved and the attempt ended; out_otp has the otp, and the caller makes the token. */
hf_result hf_generate_root_offer(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                                 bool *ret_complete, struct hf_buf *out_otp, struct hf_quorum_status *ret,
                                 const char **ret_why);

#endif
