/* Key derivation: HKDF (RFC 5869). Counts as SP 800-56C two-step. */
#ifndef HF_CRYPTO_KDF_H
#define HF_CRYPTO_KDF_H

#include "crypto/hash.h"

/* Extract-then-expand. salt may be empty. 1 <= len <= 255 * hash length. */
hf_result hf_hkdf(enum hf_hash hash, const struct hf_secret *ikm, struct hf_cursor salt,
                  struct hf_cursor info, size_t len, struct hf_secret **ret_secret);
hf_result hf_hkdf_extract(enum hf_hash hash, const struct hf_secret *ikm, struct hf_cursor salt,
                          struct hf_secret **ret_prk);
hf_result hf_hkdf_expand(enum hf_hash hash, const struct hf_secret *prk, struct hf_cursor info, size_t len,
                         struct hf_secret **ret_secret);
/* The label form that Holdfast's own hierarchy uses: HKDF-SHA-256(key, "", "holdfast " label 0x00 context). */
hf_result hf_derive(const struct hf_secret *key, const char *label, struct hf_cursor context, size_t len,
                    struct hf_secret **ret_secret);

#endif
