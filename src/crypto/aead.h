/* Authenticated encryption with kept, keyed contexts. Buffers may be the same (in place); they may not
 * overlap otherwise. */
#ifndef HF_CRYPTO_AEAD_H
#define HF_CRYPTO_AEAD_H

#include "crypto/alg.h"
#include "secret/secret.h"

/* A key expanded once and used by any thread: inside are a few contexts, taken and given back without a lock.
 * Lies in the arena when OpenSSL's heap does. */
struct hf_aead;

/* alg: one with HF_USE_SEAL and no asymmetric flag. key: borrowed, of the table's key_bytes; not kept after
 * the call. Fails: BAD_ARGUMENT (size), UNSUPPORTED (the library has it not), NO_MEMORY. */
hf_result hf_aead_new(enum hf_alg alg, const struct hf_secret *key, struct hf_aead **ret_aead);
void hf_aead_free(struct hf_aead *aead);
void hf_aead_freep(struct hf_aead **aead);
size_t hf_aead_overhead(const struct hf_aead *aead); /* nonce + tag */

/* Seals: writes nonce || ciphertext || tag (plain.left + overhead bytes) to out. Nonce: random. XAES derives
 * its per-nonce key inside (C2SP XAES-256-GCM). Fails: NO_ENTROPY, TOO_LARGE (out, or over 2^36-32 bytes). */
hf_result hf_aead_seal(struct hf_aead *aead, struct hf_cursor plain, struct hf_cursor ad, struct hf_buf *out);
/* Opens what seal wrote, into out (may start at sealed.at + nonce: in place). On failure nothing of the
 * plaintext remains in out. Fails: BAD_CIPHERTEXT, TOO_LARGE. */
hf_result hf_aead_open(struct hf_aead *aead, struct hf_cursor sealed, struct hf_cursor ad,
                       struct hf_buf *out);

/* With a nonce that the caller answers for (convergent encryption, files, tests). Writes ciphertext || tag. */
hf_result hf_aead_seal_nonce(struct hf_aead *aead, struct hf_cursor nonce, struct hf_cursor plain,
                             struct hf_cursor ad, struct hf_buf *out);
hf_result hf_aead_open_nonce(struct hf_aead *aead, struct hf_cursor nonce, struct hf_cursor sealed,
                             struct hf_cursor ad, struct hf_buf *out);
/* Seals the bytes of a secret / opens into one, for records and wrapped keys. */
hf_result hf_aead_seal_secret(struct hf_aead *aead, const struct hf_secret *plain, struct hf_cursor ad,
                              struct hf_buf *out);
hf_result hf_aead_open_secret(struct hf_aead *aead, struct hf_cursor sealed, struct hf_cursor ad,
                              struct hf_secret **ret_plain);

/* AES-256-KWP (RFC 5649, SP 800-38F): output is input rounded up to 8, plus 8. kek: 32 bytes. */
#define HF_KWP_LEN(n) (((size_t)(n) + 7) / 8 * 8 + 8)
hf_result hf_kwp_wrap(const struct hf_secret *kek, const struct hf_secret *key, struct hf_buf *out);
hf_result hf_kwp_unwrap(const struct hf_secret *kek, struct hf_cursor wrapped, struct hf_secret **ret_key);

#endif
