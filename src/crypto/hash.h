/* Hashes and MACs. One-shot forms keep a per-thread context, so that nothing is allocated per call. */
#ifndef HF_CRYPTO_HASH_H
#define HF_CRYPTO_HASH_H

#include "secret/secret.h"

enum hf_hash {
    HF_SHA2_224,
    HF_SHA2_256,
    HF_SHA2_384,
    HF_SHA2_512,
    HF_SHA3_224,
    HF_SHA3_256,
    HF_SHA3_384,
    HF_SHA3_512,
    HF_HASH_COUNT
};
enum { HF_HASH_MAX = 64 };

size_t hf_hash_len(enum hf_hash hash);
/* "sha2-256" and so on, as the API names them. */
const char *hf_hash_name(enum hf_hash hash);
hf_result hf_hash_find(struct hf_cursor name, enum hf_hash *ret_hash);

/* Hash of the parts one after another. Writes hf_hash_len() bytes. */
hf_result hf_hash_parts(enum hf_hash hash, const struct hf_cursor *parts, size_t count, uint8_t *ret_digest);
static inline hf_result hf_sha256(struct hf_cursor in, uint8_t ret_digest[static 32])
{
    return hf_hash_parts(HF_SHA2_256, &in, 1, ret_digest);
}

/* Streaming, for files. */
struct hf_hasher;
hf_result hf_hasher_new(enum hf_hash hash, struct hf_hasher **ret);
hf_result hf_hasher_update(struct hf_hasher *h, struct hf_cursor in);
hf_result hf_hasher_final(struct hf_hasher *h, uint8_t *ret_digest);
void hf_hasher_freep(struct hf_hasher **h);

/* HMAC (FIPS 198-1) over parts. Output hf_hash_len() bytes, not truncated. */
hf_result hf_hmac(enum hf_hash hash, const struct hf_secret *key, const struct hf_cursor *parts, size_t count,
                  uint8_t *ret_mac);
/* Compares in constant time. mac must have the full length. Fails: BAD_SIGNATURE. */
hf_result hf_hmac_verify(enum hf_hash hash, const struct hf_secret *key, const struct hf_cursor *parts,
                         size_t count, struct hf_cursor mac);

#endif
