/* The low-level calls are deprecated in favour of EVP, and stay: they are what EVP itself runs on. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/sha256.h"

#include <openssl/sha.h>

void hf_sha256_short(const void *bytes, size_t len, uint8_t ret_digest[static 32])
{
    SHA256_CTX ctx;
    /* These give 0 for a NULL context only. */
    (void)SHA256_Init(&ctx);
    (void)SHA256_Update(&ctx, bytes, len);
    (void)SHA256_Final(ret_digest, &ctx);
}

void hf_sha256_short_parts(const struct hf_cursor *parts, size_t count, uint8_t ret_digest[static 32])
{
    SHA256_CTX ctx;
    (void)SHA256_Init(&ctx);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].left != 0)
            (void)SHA256_Update(&ctx, parts[i].at, parts[i].left);
    }
    (void)SHA256_Final(ret_digest, &ctx);
}
