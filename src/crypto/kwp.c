/* AES key wrap with padding, RFC 5649 and SP 800-38F, over AES-256-ECB: the library's own wrap cipher takes ten
 * times as long. Timing depends on lengths alone until the integrity check has passed. */
#include "crypto/aead.h"
#include "crypto/internal.h"
#include "secret/view.h"

enum { HALF = 8, BLOCK = 16, ROUNDS = 6, KEK_BYTES = 32 };

static const uint8_t icv2[4] = {0xa6, 0x59, 0x59, 0xa6}; /* RFC 5649 section 3 */
static const uint8_t zero_key[KEK_BYTES];

static bool ecb(EVP_CIPHER_CTX *ctx, uint8_t block[static BLOCK])
{
    int len = 0;
    return EVP_CipherUpdate(ctx, block, &len, block, BLOCK) == 1 && len == BLOCK;
}

static void xor_counter(uint8_t half[static HALF], uint64_t t)
{
    uint8_t bytes[HALF];
    hf_store_u64(bytes, t);
    for (size_t i = 0; i < HALF; i++)
        half[i] ^= bytes[i];
}

/* W of SP 800-38F 6.1, in place: `count` semiblocks, the first being the register A. */
static bool wrap_semiblocks(EVP_CIPHER_CTX *ctx, uint8_t *semiblocks, size_t count)
{
    if (count == 2)
        return ecb(ctx, semiblocks);
    uint8_t block[BLOCK];
    uint64_t t = 0;
    bool ok = true;
    memcpy(block, semiblocks, HALF);
    for (unsigned round = 0; round < ROUNDS && ok; round++) {
        for (size_t i = 1; i < count && ok; i++) {
            memcpy(block + HALF, semiblocks + i * HALF, HALF);
            ok = ecb(ctx, block);
            xor_counter(block, ++t);
            memcpy(semiblocks + i * HALF, block + HALF, HALF);
        }
    }
    memcpy(semiblocks, block, HALF);
    hf_wipe(block, sizeof(block));
    return ok;
}

static bool unwrap_semiblocks(EVP_CIPHER_CTX *ctx, uint8_t *semiblocks, size_t count)
{
    if (count == 2)
        return ecb(ctx, semiblocks);
    uint8_t block[BLOCK];
    uint64_t t = (uint64_t)ROUNDS * (count - 1);
    bool ok = true;
    memcpy(block, semiblocks, HALF);
    for (unsigned round = 0; round < ROUNDS && ok; round++) {
        for (size_t i = count - 1; i >= 1 && ok; i--) {
            xor_counter(block, t--);
            memcpy(block + HALF, semiblocks + i * HALF, HALF);
            ok = ecb(ctx, block);
            memcpy(semiblocks + i * HALF, block + HALF, HALF);
        }
    }
    memcpy(semiblocks, block, HALF);
    hf_wipe(block, sizeof(block));
    return ok;
}

/* The kept context, keyed; unkeyed again by `release`. */
static EVP_CIPHER_CTX *keyed(bool encrypt, const uint8_t *key)
{
    EVP_CIPHER_CTX *ctx = hf_crypto_thread_ecb(encrypt);
    return ctx != NULL && EVP_CipherInit_ex2(ctx, NULL, key, NULL, -1, NULL) == 1 ? ctx : NULL;
}

static void release(EVP_CIPHER_CTX *ctx)
{
    (void)EVP_CipherInit_ex2(ctx, NULL, zero_key, NULL, -1, NULL);
}

hf_result hf_kwp_wrap(const struct hf_secret *kek, const struct hf_secret *key, struct hf_buf *out)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view kek_view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view key_view = {0};

    if (hf_secret_len(kek) != KEK_BYTES)
        return HF_FAIL(BAD_ARGUMENT);
    if (HF_KWP_LEN(hf_secret_len(key)) > HF_SECRET_MAX)
        return HF_FAIL(TOO_LARGE);
    TRY(hf_secret_view_open(kek, &kek_view));
    TRY(hf_secret_view_open(key, &key_view));
    size_t before = out->len, len = HF_KWP_LEN(key_view.len);
    EVP_CIPHER_CTX *ctx = keyed(true, kek_view.bytes);
    if (ctx == NULL)
        return HF_FAIL(NO_MEMORY);
    uint8_t *place = hf_buf_reserve(out, len);
    if (place == NULL) {
        release(ctx);
        return HF_FAIL(TOO_LARGE);
    }
    memcpy(place, icv2, sizeof(icv2));
    hf_store_u32(place + 4, (uint32_t)key_view.len);
    memcpy(place + HALF, key_view.bytes, key_view.len);
    memset(place + HALF + key_view.len, 0, len - HALF - key_view.len);
    bool ok = wrap_semiblocks(ctx, place, len / HALF);
    release(ctx);
    if (!ok) {
        hf_wipe(place, len);
        out->len = before;
        return HF_FAIL(INTERNAL);
    }
    return HF_DONE;
}

/* All ones where x is zero, else all zeros; no branch. */
static uint32_t mask_zero(uint32_t x)
{
    __asm__ volatile("" : "+r"(x));
    return (uint32_t)(((uint64_t)x - 1) >> 32);
}

/* @spec RFC5649:3 the constant, a length that fits the number of semiblocks, zero padding. One answer for
 * all three, and no branch or index that depends on any of them. */
static bool integrity(const uint8_t *semiblocks, size_t plain_max, uint32_t *ret_len)
{
    uint32_t wrong = 0;
    for (size_t i = 0; i < sizeof(icv2); i++)
        wrong |= (uint32_t)(semiblocks[i] ^ icv2[i]);
    uint32_t len = (uint32_t)semiblocks[4] << 24 | (uint32_t)semiblocks[5] << 16 |
                   (uint32_t)semiblocks[6] << 8 | semiblocks[7];
    uint64_t excess = (uint64_t)plain_max - len; /* padding bytes: 0 to 7, else wrapped or too many */
    wrong |= (uint32_t)(excess >> 3) | (uint32_t)(excess >> 35);
    for (uint32_t i = 0; i < HALF; i++) { /* the i-th byte from the end is padding where i < excess */
        uint32_t is_padding = (uint32_t)0 - (uint32_t)(((uint64_t)i - (excess & 7)) >> 63);
        wrong |= semiblocks[HALF + plain_max - 1 - i] & is_padding;
    }
    *ret_len = len;
    return (mask_zero(wrong) & 1) != 0;
}

static void arena_freep(uint8_t **memory)
{
    hf_arena_free(*memory);
}

hf_result hf_kwp_unwrap(const struct hf_secret *kek, struct hf_cursor wrapped, struct hf_secret **ret_key)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view kek_view = {0};
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view key_view = {0};

    if (hf_secret_len(kek) != KEK_BYTES)
        return HF_FAIL(BAD_ARGUMENT);
    if (wrapped.left < BLOCK || wrapped.left % HALF != 0 || wrapped.left > HF_SECRET_MAX)
        return HF_FAIL(BAD_CIPHERTEXT);
    TRY(hf_secret_view_open(kek, &kek_view));
    CLEANUP(arena_freep) uint8_t *work = hf_arena_alloc(wrapped.left); /* wiped when freed */
    EVP_CIPHER_CTX *ctx = work == NULL ? NULL : keyed(false, kek_view.bytes);
    if (ctx == NULL)
        return HF_FAIL(NO_MEMORY);
    memcpy(work, wrapped.at, wrapped.left);
    bool ok = unwrap_semiblocks(ctx, work, wrapped.left / HALF);
    release(ctx);
    if (!ok)
        return HF_FAIL(INTERNAL);
    uint32_t len = 0;
    bool whole = integrity(work, wrapped.left - HALF, &len);
    HF_CT_PUBLIC(&whole, sizeof(whole));
    if (!whole)
        return HF_FAIL(BAD_CIPHERTEXT);
    HF_CT_PUBLIC(&len, sizeof(len));
    TRY(hf_secret_new(len, &key));
    TRY(hf_secret_view_open(key, &key_view));
    memcpy(key_view.bytes, work + HALF, len);
    *ret_key = TAKE(key);
    return HF_DONE;
}
