/* SHA-256 of short inputs that cannot fail: Merkle leaves and nodes, commitments. */
#ifndef HF_CRYPTO_SHA256_H
#define HF_CRYPTO_SHA256_H

#include "base/cursor.h"

/* The library's block function called directly, on the stack: no context, no allocation, no provider between
 * (one-shot EVP costs more than the compression of a node). For public bytes: the working state is not wiped. */
void hf_sha256_short(const void *bytes, size_t len, uint8_t ret_digest[static 32]);
/* The same of the parts one after another. */
void hf_sha256_short_parts(const struct hf_cursor *parts, size_t count, uint8_t ret_digest[static 32]);

#endif
