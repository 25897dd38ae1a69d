#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/internal.h"
#include "secret/view.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdatomic.h>

/* A kept context costs 81 ns a seal where a fresh one costs 258 (32 bytes). Each algorithm instance keeps one
 * keyed prototype, which is only ever copied, and a few working copies that threads take and give back with
 * one atomic exchange each. */
enum {
    SLOTS = 4,
    NONCE_MAX = 24,
    TAG_BYTES = 16,
    AES_BLOCK = 16,
    XAES_NONCE = 24,
    XAES_DERIVE = 12, /* of the nonce: the first half makes the key, the second is GCM's nonce */
};
#define PART_MAX ((size_t)1 << 30)               /* the library takes an int's worth at once */
#define GCM_BYTES_MAX ((UINT64_C(1) << 36) - 32) /* SP 800-38D, 5.2.1.1 */

struct worker {
    EVP_CIPHER_CTX *cipher;
    EVP_CIPHER_CTX *derive; /* XAES: AES-256-ECB under the input key */
};

struct hf_aead {
    enum hf_alg alg;
    uint8_t nonce_bytes;
    bool whole;                  /* the mode takes its message in one piece (GCM-SIV) */
    uint8_t cmac_key[AES_BLOCK]; /* XAES: K1 */
    struct worker prototype;
    _Atomic(struct worker *) slots[SLOTS];
};

static void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    EVP_CIPHER_CTX_free(worker->cipher);
    EVP_CIPHER_CTX_free(worker->derive);
    OPENSSL_free(worker);
}

static struct worker *worker_new(const struct hf_aead *aead)
{
    struct worker *worker = OPENSSL_zalloc(sizeof(*worker));
    if (worker == NULL)
        return NULL;
    worker->cipher = EVP_CIPHER_CTX_dup(aead->prototype.cipher);
    if (aead->prototype.derive != NULL)
        worker->derive = EVP_CIPHER_CTX_dup(aead->prototype.derive);
    if (worker->cipher == NULL || (worker->derive == NULL && aead->prototype.derive != NULL)) {
        worker_free(worker);
        return NULL;
    }
    return worker;
}

static struct worker *take(struct hf_aead *aead, unsigned *ret_home)
{
    const struct hf_crypto_thread *thread = hf_crypto_thread();
    unsigned home = thread == NULL ? 0 : thread->ordinal;
    *ret_home = home;
    if (aead->whole) /* GCM-SIV keeps the last message's associated data, till it is keyed again: never used twice */
        return worker_new(aead);
    for (unsigned i = 0; i < SLOTS; i++) {
        _Atomic(struct worker *) *slot = &aead->slots[(home + i) % SLOTS];
        if (atomic_load_explicit(slot, memory_order_relaxed) == NULL)
            continue;
        struct worker *worker = atomic_exchange_explicit(slot, NULL, memory_order_acquire);
        if (worker != NULL)
            return worker;
    }
    return worker_new(aead);
}

static void give_back(struct hf_aead *aead, unsigned home, struct worker *worker)
{
    for (unsigned i = 0; i < SLOTS && !aead->whole; i++) {
        struct worker *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&aead->slots[(home + i) % SLOTS], &none, worker,
                                                    memory_order_release, memory_order_relaxed))
            return;
    }
    worker_free(worker);
}

/* ---- making and freeing ---------------------------------------------------------------------------------- */

/* No padding only where the mode has any: the library would set it again with each nonce. */
static hf_result keyed(const EVP_CIPHER *cipher, const uint8_t *key, bool padded, EVP_CIPHER_CTX **ret_ctx)
{
    if (cipher == NULL)
        return HF_FAIL(UNSUPPORTED);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL)
        return HF_FAIL(NO_MEMORY);
    if (EVP_EncryptInit_ex2(ctx, cipher, key, NULL, NULL) != 1 ||
        (padded && EVP_CIPHER_CTX_set_padding(ctx, 0) != 1)) {
        EVP_CIPHER_CTX_free(ctx);
        return HF_FAIL(NO_MEMORY);
    }
    *ret_ctx = ctx;
    return HF_DONE;
}

/* @spec C2SP:XAES-256-GCM steps 1 and 2: the CMAC subkey K1. No branch on its bits. */
static hf_result xaes_subkey(struct hf_aead *aead)
{
    static const uint8_t zeros[AES_BLOCK];
    uint8_t l[AES_BLOCK];
    int len = 0;
    if (EVP_EncryptUpdate(aead->prototype.derive, l, &len, zeros, AES_BLOCK) != 1 || len != AES_BLOCK)
        return HF_FAIL(INTERNAL);
    uint8_t carry = (uint8_t)(0 - (l[0] >> 7));
    for (size_t i = 0; i < AES_BLOCK; i++)
        aead->cmac_key[i] = (uint8_t)((l[i] << 1) | (i + 1 < AES_BLOCK ? l[i + 1] >> 7 : 0));
    aead->cmac_key[AES_BLOCK - 1] ^= carry & 0x87;
    hf_wipe(l, sizeof(l));
    return HF_DONE;
}

hf_result hf_aead_new(enum hf_alg alg, const struct hf_secret *key, struct hf_aead **ret_aead)
{
    const struct hf_crypto_algs *algs = hf_crypto_algs();
    const EVP_CIPHER *cipher;
    size_t key_bytes = 32;

    switch (alg) {
    case HF_ALG_AES128_GCM96:
        cipher = algs->aes128_gcm;
        key_bytes = 16;
        break;
    case HF_ALG_AES256_GCM96:
    case HF_ALG_XAES256_GCM:
        cipher = algs->aes256_gcm;
        break;
    case HF_ALG_CHACHA20_POLY1305:
        cipher = algs->chacha20_poly1305;
        break;
    case HF_ALG_AES256_GCM_SIV:
        cipher = algs->aes256_gcm_siv;
        break;
    default:
        return HF_FAIL(BAD_ARGUMENT);
    }
    if (hf_secret_len(key) != key_bytes)
        return HF_FAIL(BAD_ARGUMENT);
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    CLEANUP(hf_aead_freep) struct hf_aead *aead = OPENSSL_zalloc(sizeof(*aead));
    if (aead == NULL)
        return HF_FAIL(NO_MEMORY);
    aead->alg = alg;
    aead->nonce_bytes = alg == HF_ALG_XAES256_GCM ? XAES_NONCE : 12;
    aead->whole = alg == HF_ALG_AES256_GCM_SIV;
    TRY(hf_secret_view_open(key, &view));
    TRY(keyed(cipher, view.bytes, false, &aead->prototype.cipher));
    if (alg == HF_ALG_XAES256_GCM) {
        TRY(keyed(algs->aes256_ecb, view.bytes, true, &aead->prototype.derive));
        TRY(xaes_subkey(aead));
    }
    *ret_aead = TAKE(aead);
    return HF_DONE;
}

void hf_aead_free(struct hf_aead *aead)
{
    if (aead == NULL)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        worker_free(atomic_load_explicit(&aead->slots[i], memory_order_acquire));
    EVP_CIPHER_CTX_free(aead->prototype.cipher);
    EVP_CIPHER_CTX_free(aead->prototype.derive);
    OPENSSL_clear_free(aead, sizeof(*aead));
}

void hf_aead_freep(struct hf_aead **aead)
{
    hf_aead_free(*aead);
    *aead = NULL;
}

size_t hf_aead_overhead(const struct hf_aead *aead)
{
    return (size_t)aead->nonce_bytes + TAG_BYTES;
}

/* ---- one message ------------------------------------------------------------------------------------------ */

/* Sets the direction and the nonce; XAES first derives its key (steps 3 to 6). */
static bool set_nonce(const struct hf_aead *aead, struct worker *worker, const uint8_t *nonce, bool seal)
{
    if (aead->alg != HF_ALG_XAES256_GCM)
        return EVP_CipherInit_ex2(worker->cipher, NULL, NULL, nonce, seal, NULL) == 1;
    uint8_t key[2 * AES_BLOCK];
    int len = 0;
    for (uint8_t counter = 1; counter <= 2; counter++) {
        uint8_t *block = key + (counter - 1) * AES_BLOCK;
        block[0] = 0;
        block[1] = counter;
        block[2] = 'X';
        block[3] = 0;
        memcpy(block + 4, nonce, XAES_DERIVE);
        for (size_t i = 0; i < AES_BLOCK; i++)
            block[i] ^= aead->cmac_key[i];
    }
    bool ok = EVP_EncryptUpdate(worker->derive, key, &len, key, sizeof(key)) == 1 && len == sizeof(key) &&
              EVP_CipherInit_ex2(worker->cipher, NULL, key, nonce + XAES_DERIVE, seal, NULL) == 1;
    hf_wipe(key, sizeof(key));
    return ok;
}

/* The tag by one parameter: EVP_CIPHER_CTX_ctrl builds a list of four for it. */
static void tag_param(OSSL_PARAM params[static 2], uint8_t tag[static TAG_BYTES])
{
    params[0] = (OSSL_PARAM){OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING, tag, TAG_BYTES, 0};
    params[1] = (OSSL_PARAM)OSSL_PARAM_END;
}

/* out NULL: associated data. */
static bool update(EVP_CIPHER_CTX *ctx, uint8_t *out, struct hf_cursor in)
{
    while (in.left != 0) {
        int part = (int)HF_MIN(in.left, PART_MAX), len = 0;
        if (EVP_CipherUpdate(ctx, out, &len, in.at, part) != 1 || len != part)
            return false;
        in.at += part;
        in.left -= (size_t)part;
        if (out != NULL)
            out += part;
    }
    return true;
}

static bool seal_with(const struct hf_aead *aead, struct worker *worker, const uint8_t *nonce,
                      struct hf_cursor plain, struct hf_cursor ad, uint8_t *out)
{
    OSSL_PARAM params[2];
    int len = 0;
    tag_param(params, out + plain.left);
    return set_nonce(aead, worker, nonce, true) && update(worker->cipher, NULL, ad) &&
           update(worker->cipher, out, plain) &&
           EVP_EncryptFinal_ex(worker->cipher, out + plain.left, &len) == 1 && len == 0 &&
           EVP_CIPHER_CTX_get_params(worker->cipher, params) == 1;
}

static bool open_with(const struct hf_aead *aead, struct worker *worker, const uint8_t *nonce,
                      struct hf_cursor sealed, const uint8_t *tag, struct hf_cursor ad, uint8_t *out)
{
    uint8_t own_tag[TAG_BYTES], none[TAG_BYTES];
    OSSL_PARAM params[2];
    int len = 0;
    memcpy(own_tag, tag, TAG_BYTES); /* the library takes it as writable */
    tag_param(params, own_tag);
    if (!set_nonce(aead, worker, nonce, false) || EVP_CIPHER_CTX_set_params(worker->cipher, params) != 1 ||
        !update(worker->cipher, NULL, ad))
        return false;
    if (aead->whole && sealed.left == 0) /* GCM-SIV judges an empty message only where it is given one */
        return EVP_DecryptUpdate(worker->cipher, none, &len, none, 0) == 1 &&
               EVP_DecryptFinal_ex(worker->cipher, none, &len) == 1;
    return update(worker->cipher, out, sealed) && EVP_DecryptFinal_ex(worker->cipher, none, &len) == 1;
}

static bool too_large(const struct hf_aead *aead, size_t message, size_t ad)
{
    return message > GCM_BYTES_MAX || (aead->whole && (message > PART_MAX || ad > PART_MAX));
}

static hf_result seal_into(struct hf_aead *aead, const uint8_t *nonce, struct hf_cursor plain,
                           struct hf_cursor ad, uint8_t *place)
{
    unsigned home;
    struct worker *worker = take(aead, &home);
    if (worker == NULL)
        return HF_FAIL(NO_MEMORY);
    bool ok = seal_with(aead, worker, nonce, plain, ad, place);
    if (!ok) {
        worker_free(worker); /* its state is not known */
        hf_wipe(place, plain.left + TAG_BYTES);
        return HF_FAIL(INTERNAL);
    }
    give_back(aead, home, worker);
    return HF_DONE;
}

static hf_result open_into(struct hf_aead *aead, const uint8_t *nonce, struct hf_cursor sealed,
                           struct hf_cursor ad, uint8_t *place)
{
    unsigned home;
    struct worker *worker = take(aead, &home);
    if (worker == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_cursor body = hf_cursor(sealed.at, sealed.left - TAG_BYTES);
    bool ok = open_with(aead, worker, nonce, body, sealed.at + body.left, ad, place);
    give_back(aead, home, worker); /* each message begins by setting all state but the key */
    if (!ok) {
        hf_wipe(place, body.left);
        return HF_FAIL(BAD_CIPHERTEXT);
    }
    return HF_DONE;
}

/* ---- the interface ------------------------------------------------------------------------------------------ */

/* Gives back what was reserved, so that a failure leaves the buffer as it was. */
static hf_result ended(hf_result done, struct hf_buf *out, size_t before)
{
    if (!HF_IS_OK(done))
        out->len = before;
    return done;
}

hf_result hf_aead_seal(struct hf_aead *aead, struct hf_cursor plain, struct hf_cursor ad, struct hf_buf *out)
{
    size_t before = out->len;
    if (too_large(aead, plain.left, ad.left))
        return HF_FAIL(TOO_LARGE);
    uint8_t *place = hf_buf_reserve(out, plain.left + hf_aead_overhead(aead));
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    uint8_t nonce[NONCE_MAX]; /* own copy: `plain` may lie where the nonce will stand */
    hf_result done = hf_random(nonce, aead->nonce_bytes);
    if (HF_IS_OK(done)) {
        done = seal_into(aead, nonce, plain, ad, place + aead->nonce_bytes);
        memcpy(place, nonce, aead->nonce_bytes);
    }
    return ended(done, out, before);
}

hf_result hf_aead_open(struct hf_aead *aead, struct hf_cursor sealed, struct hf_cursor ad, struct hf_buf *out)
{
    struct hf_cursor nonce;
    if (!hf_cursor_take(&sealed, aead->nonce_bytes, &nonce))
        return HF_FAIL(BAD_CIPHERTEXT);
    return hf_aead_open_nonce(aead, nonce, sealed, ad, out);
}

hf_result hf_aead_seal_nonce(struct hf_aead *aead, struct hf_cursor nonce, struct hf_cursor plain,
                             struct hf_cursor ad, struct hf_buf *out)
{
    size_t before = out->len;
    if (nonce.left != aead->nonce_bytes)
        return HF_FAIL(BAD_ARGUMENT);
    if (too_large(aead, plain.left, ad.left))
        return HF_FAIL(TOO_LARGE);
    uint8_t *place = hf_buf_reserve(out, plain.left + TAG_BYTES);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    return ended(seal_into(aead, nonce.at, plain, ad, place), out, before);
}

hf_result hf_aead_open_nonce(struct hf_aead *aead, struct hf_cursor nonce, struct hf_cursor sealed,
                             struct hf_cursor ad, struct hf_buf *out)
{
    size_t before = out->len;
    if (nonce.left != aead->nonce_bytes || sealed.left < TAG_BYTES ||
        too_large(aead, sealed.left - TAG_BYTES, ad.left))
        return HF_FAIL(BAD_CIPHERTEXT);
    uint8_t *place = hf_buf_reserve(out, sealed.left - TAG_BYTES);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    return ended(open_into(aead, nonce.at, sealed, ad, place), out, before);
}

hf_result hf_aead_seal_secret(struct hf_aead *aead, const struct hf_secret *plain, struct hf_cursor ad,
                              struct hf_buf *out)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_view_open(plain, &view));
    return hf_aead_seal(aead, hf_secret_view_cursor(&view), ad, out);
}

hf_result hf_aead_open_secret(struct hf_aead *aead, struct hf_cursor sealed, struct hf_cursor ad,
                              struct hf_secret **ret_plain)
{
    CLEANUP(hf_secret_freep) struct hf_secret *plain = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    size_t overhead = hf_aead_overhead(aead);

    if (sealed.left <= overhead || sealed.left - overhead > HF_SECRET_MAX)
        return HF_FAIL(BAD_CIPHERTEXT); /* a secret has at least one byte */
    TRY(hf_secret_new(sealed.left - overhead, &plain));
    TRY(hf_secret_view_open(plain, &view));
    struct hf_buf out = hf_buf(view.bytes, view.len);
    TRY(hf_aead_open(aead, sealed, ad, &out));
    *ret_plain = TAKE(plain);
    return HF_DONE;
}
