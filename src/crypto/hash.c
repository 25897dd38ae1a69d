#include "crypto/hash.h"
#include "crypto/internal.h"
#include "secret/ct.h"
#include "secret/view.h"

#include <openssl/crypto.h>

enum { HMAC_BLOCK_MAX = 144 }; /* SHA3-224's rate */

static const struct {
    const char *name;
    uint8_t len;
    uint8_t block;
} hashes[HF_HASH_COUNT] = {
    [HF_SHA2_224] = {"sha2-224", 28, 64},  [HF_SHA2_256] = {"sha2-256", 32, 64},
    [HF_SHA2_384] = {"sha2-384", 48, 128}, [HF_SHA2_512] = {"sha2-512", 64, 128},
    [HF_SHA3_224] = {"sha3-224", 28, 144}, [HF_SHA3_256] = {"sha3-256", 32, 136},
    [HF_SHA3_384] = {"sha3-384", 48, 104}, [HF_SHA3_512] = {"sha3-512", 64, 72},
};

size_t hf_hash_len(enum hf_hash hash)
{
    return (unsigned)hash < HF_HASH_COUNT ? hashes[hash].len : 0;
}

const char *hf_hash_name(enum hf_hash hash)
{
    return (unsigned)hash < HF_HASH_COUNT ? hashes[hash].name : "unknown";
}

hf_result hf_hash_find(struct hf_cursor name, enum hf_hash *ret_hash)
{
    for (size_t i = 0; i < HF_HASH_COUNT; i++) {
        if (hf_cursor_is(name, hashes[i].name)) {
            *ret_hash = (enum hf_hash)i;
            return HF_DONE;
        }
    }
    return HF_FAIL(BAD_ARGUMENT);
}

/* Gives: this thread's context, begun. Nothing nests: a call that uses it ends it before another begins. */
static EVP_MD_CTX *begin(enum hf_hash hash)
{
    struct hf_crypto_thread *thread = (unsigned)hash < HF_HASH_COUNT ? hf_crypto_thread() : NULL;
    if (thread == NULL)
        return NULL;
    EVP_MD_CTX *ctx = thread->md[hash];
    if (ctx != NULL)
        return EVP_DigestInit_ex2(ctx, NULL, NULL) == 1 ? ctx : NULL;
    ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        return NULL;
    if (EVP_DigestInit_ex2(ctx, hf_crypto_algs()->md[hash], NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        return NULL;
    }
    return thread->md[hash] = ctx;
}

static bool update_parts(EVP_MD_CTX *ctx, const struct hf_cursor *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (parts[i].left != 0 && EVP_DigestUpdate(ctx, parts[i].at, parts[i].left) != 1)
            return false;
    }
    return true;
}

hf_result hf_hash_parts(enum hf_hash hash, const struct hf_cursor *parts, size_t count, uint8_t *ret_digest)
{
    EVP_MD_CTX *ctx = begin(hash);
    if (ctx == NULL)
        return HF_FAIL(NO_MEMORY);
    if (!update_parts(ctx, parts, count) || EVP_DigestFinal_ex(ctx, ret_digest, NULL) != 1)
        return HF_FAIL(INTERNAL);
    return HF_DONE;
}

/* ---- streaming ----------------------------------------------------------------------------------------- */

struct hf_hasher {
    EVP_MD_CTX *ctx;
};

void hf_hasher_freep(struct hf_hasher **h)
{
    if (*h == NULL)
        return;
    EVP_MD_CTX_free((*h)->ctx);
    OPENSSL_free(*h);
    *h = NULL;
}

hf_result hf_hasher_new(enum hf_hash hash, struct hf_hasher **ret)
{
    if ((unsigned)hash >= HF_HASH_COUNT)
        return HF_FAIL(BAD_ARGUMENT);
    CLEANUP(hf_hasher_freep) struct hf_hasher *h = OPENSSL_zalloc(sizeof(*h));
    if (h == NULL || (h->ctx = EVP_MD_CTX_new()) == NULL ||
        EVP_DigestInit_ex2(h->ctx, hf_crypto_algs()->md[hash], NULL) != 1)
        return HF_FAIL(NO_MEMORY);
    *ret = TAKE(h);
    return HF_DONE;
}

hf_result hf_hasher_update(struct hf_hasher *h, struct hf_cursor in)
{
    return in.left == 0 || EVP_DigestUpdate(h->ctx, in.at, in.left) == 1 ? HF_DONE : HF_FAIL(INTERNAL);
}

hf_result hf_hasher_final(struct hf_hasher *h, uint8_t *ret_digest)
{
    return EVP_DigestFinal_ex(h->ctx, ret_digest, NULL) == 1 ? HF_DONE : HF_FAIL(INTERNAL);
}

/* ---- HMAC ---------------------------------------------------------------------------------------------- */

/* FIPS 198-1: H((K0 ^ opad) || H((K0 ^ ipad) || text)), on the kept digest context: nothing is allocated. */
hf_result hf_hmac_bytes(enum hf_hash hash, struct hf_cursor key, const struct hf_cursor *parts, size_t count,
                        uint8_t *ret_mac)
{
    if ((unsigned)hash >= HF_HASH_COUNT)
        return HF_FAIL(BAD_ARGUMENT);
    size_t block = hashes[hash].block, len = hashes[hash].len;
    uint8_t padded[HMAC_BLOCK_MAX] = {0};
    uint8_t inner[HF_HASH_MAX];
    hf_result done = HF_DONE;

    if (key.left > block)
        done = hf_hash_parts(hash, &key, 1, padded);
    else if (key.left != 0)
        memcpy(padded, key.at, key.left);
    if (!HF_IS_OK(done))
        return done;
    for (size_t i = 0; i < block; i++)
        padded[i] ^= 0x36;
    EVP_MD_CTX *ctx = begin(hash);
    if (ctx == NULL) {
        done = HF_FAIL(NO_MEMORY);
    } else if (EVP_DigestUpdate(ctx, padded, block) != 1 || !update_parts(ctx, parts, count) ||
               EVP_DigestFinal_ex(ctx, inner, NULL) != 1) {
        done = HF_FAIL(INTERNAL);
    } else {
        for (size_t i = 0; i < block; i++)
            padded[i] ^= 0x36 ^ 0x5c;
        if (EVP_DigestInit_ex2(ctx, NULL, NULL) != 1 || EVP_DigestUpdate(ctx, padded, block) != 1 ||
            EVP_DigestUpdate(ctx, inner, len) != 1 || EVP_DigestFinal_ex(ctx, ret_mac, NULL) != 1)
            done = HF_FAIL(INTERNAL);
    }
    hf_wipe(padded, sizeof(padded));
    hf_wipe(inner, sizeof(inner));
    return done;
}

hf_result hf_hmac(enum hf_hash hash, const struct hf_secret *key, const struct hf_cursor *parts, size_t count,
                  uint8_t *ret_mac)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_view_open(key, &view));
    return hf_hmac_bytes(hash, hf_secret_view_cursor(&view), parts, count, ret_mac);
}

hf_result hf_hmac_verify(enum hf_hash hash, const struct hf_secret *key, const struct hf_cursor *parts,
                         size_t count, struct hf_cursor mac)
{
    uint8_t expected[HF_HASH_MAX];
    if (mac.left != hf_hash_len(hash) || mac.left == 0)
        return HF_FAIL(BAD_SIGNATURE);
    TRY(hf_hmac(hash, key, parts, count, expected));
    bool equal = hf_ct_equal(expected, mac.at, mac.left);
    hf_wipe(expected, sizeof(expected));
    return equal ? HF_DONE : HF_FAIL(BAD_SIGNATURE);
}
