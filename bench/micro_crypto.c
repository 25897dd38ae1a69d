/* The crypto room against the library's own primitives with kept contexts and keys, pairwise in one run.
 * Prints a table: what, library ns, ours ns, ours as a percentage of the library's rate.
 *
 *     bench_micro_crypto [PREFIX]      only rows whose name begins so
 */
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/floe.h"
#include "crypto/hash.h"
#include "crypto/pkey.h"
#include "secret/view.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 41, ROUND_NS = 4 * 1000 * 1000, BYTES_MAX = 65536 };

static const char *only = "";
static uint8_t plain[BYTES_MAX], sealed[BYTES_MAX + 64], other[BYTES_MAX + 64];
static size_t size;
static double slice_ns = ROUND_NS;

#define MUST(call)                                                                                           \
    do {                                                                                                     \
        hf_result must_ = (call);                                                                            \
        if (!HF_IS_OK(must_)) {                                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, hf_code_name(must_.code));                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)
#define RAW(call)                                                                                            \
    do {                                                                                                     \
        if ((call) != 1) {                                                                                   \
            fprintf(stderr, "%s:%d: the library failed\n", __FILE__, __LINE__);                              \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* what others do on the machine counts less */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double time_once(void (*fn)(void), size_t count)
{
    double start = now_ns();
    for (size_t i = 0; i < count; i++)
        fn();
    return (now_ns() - start) / (double)count;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(double), ascending);
    return values[ROUNDS / 2];
}

/* Many short interleaved rounds, each side first in turn; the median of each side and of the ratio in a round. */
static void pair(const char *name, void (*raw)(void), void (*ours)(void))
{
    double raw_ns[ROUNDS], our_ns[ROUNDS], ratio[ROUNDS];
    if (strncmp(name, only, strlen(only)) != 0)
        return;
    raw();
    ours();
    size_t count = (size_t)HF_MAX(1.0, slice_ns / time_once(ours, 3));
    for (size_t i = 0; i < ROUNDS; i++) {
        if (i % 2 == 0) {
            raw_ns[i] = time_once(raw, count);
            our_ns[i] = time_once(ours, count);
        } else {
            our_ns[i] = time_once(ours, count);
            raw_ns[i] = time_once(raw, count);
        }
        ratio[i] = raw_ns[i] / our_ns[i];
    }
    printf("%-34s %12.0f %12.0f %8.0f %%\n", name, median(raw_ns), median(our_ns), 100 * median(ratio));
    fflush(stdout);
}

/* ---- symmetric ------------------------------------------------------------------------------------------------- */

static struct hf_aead *aead;
static struct hf_secret *key, *other_key;
static EVP_CIPHER_CTX *raw_cipher, *raw_ecb;
static EVP_MD_CTX *raw_md;
static EVP_MAC_CTX *raw_mac;
static uint64_t raw_nonce;

static void raw_gcm_seal(void)
{
    uint8_t iv[12] = {0};
    int len;
    raw_nonce++;
    memcpy(iv, &raw_nonce, sizeof(raw_nonce));
    RAW(EVP_EncryptInit_ex(raw_cipher, NULL, NULL, NULL, iv));
    RAW(EVP_EncryptUpdate(raw_cipher, sealed + 12, &len, plain, (int)size));
    RAW(EVP_EncryptFinal_ex(raw_cipher, sealed + 12 + size, &len));
    RAW(EVP_CIPHER_CTX_ctrl(raw_cipher, EVP_CTRL_AEAD_GET_TAG, 16, sealed + 12 + size));
    memcpy(sealed, iv, 12);
}

static void raw_xaes_seal(void)
{
    uint8_t block[32] = {0};
    int len;
    RAW(EVP_EncryptUpdate(raw_ecb, block, &len, block, 32));
    RAW(EVP_EncryptInit_ex(raw_cipher, NULL, NULL, block, block));
    RAW(EVP_EncryptUpdate(raw_cipher, sealed + 24, &len, plain, (int)size));
    RAW(EVP_EncryptFinal_ex(raw_cipher, sealed + 24 + size, &len));
    RAW(EVP_CIPHER_CTX_ctrl(raw_cipher, EVP_CTRL_AEAD_GET_TAG, 16, sealed + 24 + size));
}

static void our_seal(void)
{
    struct hf_buf out = hf_buf(sealed, sizeof(sealed));
    MUST(hf_aead_seal(aead, hf_cursor(plain, size), hf_cursor(NULL, 0), &out));
}

static void raw_gcm_open(void)
{
    int len;
    RAW(EVP_DecryptInit_ex(raw_cipher, NULL, NULL, NULL, sealed));
    RAW(EVP_DecryptUpdate(raw_cipher, other, &len, sealed + 12, (int)size));
    RAW(EVP_CIPHER_CTX_ctrl(raw_cipher, EVP_CTRL_AEAD_SET_TAG, 16, sealed + 12 + size));
    RAW(EVP_DecryptFinal_ex(raw_cipher, other, &len));
}

static void our_open(void)
{
    struct hf_buf out = hf_buf(other, sizeof(other));
    MUST(hf_aead_open(aead, hf_cursor(sealed, size + hf_aead_overhead(aead)), hf_cursor(NULL, 0), &out));
}

static EVP_CIPHER_CTX *raw_context(const char *name)
{
    struct hf_secret_view view = {0};
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    MUST(hf_secret_view_open(key, &view));
    RAW(EVP_EncryptInit_ex(ctx, cipher, NULL, view.bytes, plain));
    EVP_CIPHER_free(cipher);
    hf_secret_view_close(&view);
    return ctx;
}

static void aeads(void)
{
    static const size_t sizes[] = {32, 1024, 16384};
    raw_ecb = raw_context("AES-256-ECB");
    EVP_CIPHER_CTX_set_padding(raw_ecb, 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
        char name[64];
        size = sizes[i];
        raw_cipher = raw_context("AES-256-GCM");
        MUST(hf_aead_new(HF_ALG_AES256_GCM96, key, &aead));
        snprintf(name, sizeof(name), "aes-256-gcm seal %zu", size);
        pair(name, raw_gcm_seal, our_seal);
        our_seal();
        snprintf(name, sizeof(name), "aes-256-gcm open %zu", size);
        pair(name, raw_gcm_open, our_open);
        hf_aead_freep(&aead);
        MUST(hf_aead_new(HF_ALG_XAES256_GCM, key, &aead));
        snprintf(name, sizeof(name), "xaes-256-gcm seal %zu", size);
        pair(name, raw_xaes_seal, our_seal);
        hf_aead_freep(&aead);
        EVP_CIPHER_CTX_free(raw_cipher);
        raw_cipher = raw_context("ChaCha20-Poly1305");
        MUST(hf_aead_new(HF_ALG_CHACHA20_POLY1305, key, &aead));
        snprintf(name, sizeof(name), "chacha20-poly1305 seal %zu", size);
        pair(name, raw_gcm_seal, our_seal);
        hf_aead_freep(&aead);
        EVP_CIPHER_CTX_free(raw_cipher);
    }
}

static EVP_CIPHER *kwp;

static void raw_kwp_wrap(void)
{
    int len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    RAW(EVP_EncryptInit_ex(ctx, kwp, NULL, plain, NULL));
    RAW(EVP_EncryptUpdate(ctx, other, &len, plain, 32));
    EVP_CIPHER_CTX_free(ctx);
}

static void our_kwp_wrap(void)
{
    struct hf_buf out = hf_buf(sealed, sizeof(sealed));
    MUST(hf_kwp_wrap(key, other_key, &out));
}

static void raw_kwp_unwrap(void)
{
    uint8_t unwrapped[64];
    int len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    RAW(EVP_DecryptInit_ex(ctx, kwp, NULL, plain, NULL));
    RAW(EVP_DecryptUpdate(ctx, unwrapped, &len, other, 40));
    EVP_CIPHER_CTX_free(ctx);
}

static void our_kwp_unwrap(void)
{
    struct hf_secret *unwrapped = NULL;
    MUST(hf_kwp_unwrap(key, hf_cursor(sealed, 40), &unwrapped));
    hf_secret_free(unwrapped);
}

static void raw_sha256(void)
{
    RAW(EVP_DigestInit_ex2(raw_md, NULL, NULL));
    RAW(EVP_DigestUpdate(raw_md, plain, size));
    RAW(EVP_DigestFinal_ex(raw_md, other, NULL));
}

static void our_sha256(void)
{
    MUST(hf_sha256(hf_cursor(plain, size), other));
}

static void raw_hmac(void)
{
    size_t len;
    RAW(EVP_MAC_init(raw_mac, plain, 32, NULL));
    RAW(EVP_MAC_update(raw_mac, plain, size));
    RAW(EVP_MAC_final(raw_mac, other, &len, 32));
}

static void our_hmac(void)
{
    struct hf_cursor part = hf_cursor(plain, size);
    MUST(hf_hmac(HF_SHA2_256, key, &part, 1, other));
}

static void raw_random(void)
{
    RAW(RAND_bytes(other, 12));
}

static void our_random(void)
{
    MUST(hf_random(other, 12));
}

static void small(void)
{
    kwp = EVP_CIPHER_fetch(NULL, "AES-256-WRAP-PAD", NULL);
    pair("aes-256-kwp wrap 32", raw_kwp_wrap, our_kwp_wrap);
    raw_kwp_wrap();
    our_kwp_wrap();
    pair("aes-256-kwp unwrap 32", raw_kwp_unwrap, our_kwp_unwrap);
    raw_md = EVP_MD_CTX_new();
    RAW(EVP_DigestInit_ex2(raw_md, EVP_MD_fetch(NULL, "SHA2-256", NULL), NULL));
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", (char[]){"SHA2-256"}, 0),
                           OSSL_PARAM_construct_end()};
    raw_mac = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "HMAC", NULL));
    RAW(EVP_MAC_CTX_set_params(raw_mac, params));
    size = 200;
    pair("sha-256 200", raw_sha256, our_sha256);
    pair("hmac-sha-256 200", raw_hmac, our_hmac);
    pair("random 12", raw_random, our_random);
}

static struct hf_floe *floe;
static uint8_t segment[16384 + HF_FLOE_OVERHEAD];

static void our_floe(void)
{
    struct hf_buf out = hf_buf(sealed, sizeof(sealed));
    MUST(hf_floe_seal_next(floe, hf_cursor(plain, size), &out));
}

static void our_floe_open(void)
{
    struct hf_buf out = hf_buf(other, sizeof(other));
    MUST(hf_floe_open_at(floe, 0, false, hf_cursor(segment, sizeof(segment)), &out));
}

static void files(void)
{
    uint8_t header[HF_FLOE_HEADER];
    size = 16384;
    raw_cipher = raw_context("AES-256-GCM");
    MUST(hf_floe_seal_begin(key, hf_cursor("", 0), 16384 + HF_FLOE_OVERHEAD, header, &floe));
    pair("floe seal 16384", raw_gcm_seal, our_floe);
    hf_floe_freep(&floe);
    MUST(hf_floe_seal_begin(key, hf_cursor("", 0), 16384 + HF_FLOE_OVERHEAD, header, &floe));
    our_floe();
    memcpy(segment, sealed, sizeof(segment));
    raw_gcm_seal();
    pair("floe open 16384", raw_gcm_open, our_floe_open);
    hf_floe_freep(&floe);
    EVP_CIPHER_CTX_free(raw_cipher);
}

/* ---- asymmetric -------------------------------------------------------------------------------------------------- */

static struct hf_pkey *pkey;
static struct hf_sign_options options;
static EVP_PKEY *raw_key[2];
static EVP_PKEY_CTX *raw_sign[2], *raw_verify[2];
static uint8_t signature[2][HF_SIGNATURE_MAX], our_signature[HF_SIGNATURE_MAX];
static size_t signature_len[2], our_signature_len;
static unsigned halves;
static enum hf_hash raw_hash;
static EVP_PKEY_CTX *raw_enc[2], *raw_dec[2];

static struct hf_cursor message(void)
{
    return hf_cursor(plain, 32);
}

/* What a bare signature of the message is: hash where the primitive signs digests. */
static void bare(EVP_PKEY_CTX *ctx, unsigned i, bool sign, bool hashes)
{
    uint8_t digest[64];
    struct hf_cursor input = message();
    if (hashes) {
        MUST(hf_hash_parts(raw_hash, &input, 1, digest));
        input = hf_cursor(digest, hf_hash_len(raw_hash));
    }
    if (sign) {
        signature_len[i] = sizeof(signature[i]);
        RAW(EVP_PKEY_sign(ctx, signature[i], &signature_len[i], input.at, input.left));
    } else {
        RAW(EVP_PKEY_verify(ctx, signature[i], signature_len[i], input.at, input.left));
    }
}

static bool hashes(unsigned i)
{
    return EVP_PKEY_is_a(raw_key[i], "EC") || EVP_PKEY_is_a(raw_key[i], "RSA");
}

static void raw_signing(void)
{
    for (unsigned i = 0; i < halves; i++)
        bare(raw_sign[i], i, true, hashes(i));
}

static void raw_verifying(void)
{
    for (unsigned i = 0; i < halves; i++)
        bare(raw_verify[i], i, false, hashes(i));
}

static void our_signing(void)
{
    struct hf_buf out = hf_buf(our_signature, sizeof(our_signature));
    MUST(hf_pkey_sign(pkey, &options, message(), &out));
    our_signature_len = out.len;
}

static void our_verifying(void)
{
    MUST(hf_pkey_verify(pkey, &options, message(), hf_cursor(our_signature, our_signature_len)));
}

static void add_raw(const char *type, const void *detail)
{
    unsigned i = halves++;
    static int one = 1;
    raw_key[i] = detail != NULL && strcmp(type, "RSA") == 0
                     ? EVP_PKEY_Q_keygen(NULL, NULL, type, *(const size_t *)detail)
                     : EVP_PKEY_Q_keygen(NULL, NULL, type, detail);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_DETERMINISTIC, &one),
                           OSSL_PARAM_construct_end()};
    raw_sign[i] = EVP_PKEY_CTX_new_from_pkey(NULL, raw_key[i], NULL);
    raw_verify[i] = EVP_PKEY_CTX_new_from_pkey(NULL, raw_key[i], NULL);
    if (hashes(i)) {
        RAW(EVP_PKEY_sign_init(raw_sign[i]));
        RAW(EVP_PKEY_verify_init(raw_verify[i]));
        if (strcmp(type, "RSA") == 0) {
            for (unsigned v = 0; v < 2; v++) {
                EVP_PKEY_CTX *ctx = v ? raw_verify[i] : raw_sign[i];
                RAW(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING));
                RAW(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()));
                RAW(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST));
            }
        }
        return;
    }
    EVP_SIGNATURE *how = EVP_SIGNATURE_fetch(NULL, type, NULL);
    bool fixed = strcmp(type, "ED25519") != 0;
    RAW(EVP_PKEY_sign_message_init(raw_sign[i], how, fixed ? params : NULL));
    RAW(EVP_PKEY_verify_message_init(raw_verify[i], how, NULL));
    EVP_SIGNATURE_free(how);
}

static void drop_raw(void)
{
    for (unsigned i = 0; i < 2; i++) {
        EVP_PKEY_CTX **const contexts[] = {&raw_sign[i], &raw_verify[i], &raw_enc[i], &raw_dec[i]};
        for (size_t c = 0; c < HF_ARRAY_LEN(contexts); c++) {
            EVP_PKEY_CTX_free(*contexts[c]);
            *contexts[c] = NULL;
        }
        EVP_PKEY_free(raw_key[i]);
        raw_key[i] = NULL;
    }
    halves = 0;
}

/* ML-DSA's rejection loop makes a signature's time depend on key and message: deterministic, averaged over keys
 * would take long, so both sides use the same key. */
static void same_key(enum hf_alg alg)
{
    struct hf_secret *private_key = NULL;
    struct hf_secret_view view = {0};
    uint8_t public_key[HF_PUBLIC_MAX];
    size_t len = sizeof(public_key), private_len = HF_PRIVATE_MAX;
    hf_pkey_freep(&pkey);
    if (halves == 1 && !hashes(0)) {
        MUST(hf_secret_new(private_len, &private_key));
        MUST(hf_secret_view_open(private_key, &view));
        RAW(EVP_PKEY_get_raw_private_key(raw_key[0], view.bytes, &private_len));
        RAW(EVP_PKEY_get_raw_public_key(raw_key[0], public_key, &len));
        struct hf_secret *exact = NULL;
        MUST(hf_secret_take(view.bytes, private_len, &exact));
        hf_secret_view_close(&view);
        hf_secret_free(private_key);
        MUST(hf_pkey_from_private(alg, HF_PRIVATE_RAW, exact, &pkey));
        hf_secret_free(exact);
        return;
    }
    MUST(hf_pkey_generate(alg, &pkey));
}

static void signatures(void)
{
    static const size_t rsa2048 = 2048, rsa4096 = 4096;
    static const struct {
        const char *name;
        enum hf_alg alg;
        const char *type[2];
        const void *detail[2];
        enum hf_hash hash;
    } rows[] = {
        {"ed25519", HF_ALG_ED25519, {"ED25519"}, {NULL}, HF_SHA2_256},
        {"ecdsa-p256", HF_ALG_ECDSA_P256, {"EC"}, {"P-256"}, HF_SHA2_256},
        {"ecdsa-p384", HF_ALG_ECDSA_P384, {"EC"}, {"P-384"}, HF_SHA2_384},
        {"ecdsa-p521", HF_ALG_ECDSA_P521, {"EC"}, {"P-521"}, HF_SHA2_512},
        {"rsa-2048-pss", HF_ALG_RSA_2048, {"RSA"}, {&rsa2048}, HF_SHA2_256},
        {"rsa-4096-pss", HF_ALG_RSA_4096, {"RSA"}, {&rsa4096}, HF_SHA2_256},
        {"ml-dsa-44", HF_ALG_ML_DSA_44, {"ML-DSA-44"}, {NULL}, HF_SHA2_256},
        {"ml-dsa-65", HF_ALG_ML_DSA_65, {"ML-DSA-65"}, {NULL}, HF_SHA2_256},
        {"ml-dsa-87", HF_ALG_ML_DSA_87, {"ML-DSA-87"}, {NULL}, HF_SHA2_256},
        {"slh-dsa-sha2-128f", HF_ALG_SLH_DSA_SHA2_128F, {"SLH-DSA-SHA2-128f"}, {NULL}, HF_SHA2_256},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char name[64];
        if (strncmp(rows[i].name, only, HF_MIN(strlen(only), strlen(rows[i].name))) != 0)
            continue;
        raw_hash = rows[i].hash;
        options = (struct hf_sign_options){.hash = rows[i].hash, .rsa_salt_len = -1, .deterministic = true};
        add_raw(rows[i].type[0], rows[i].detail[0]);
        same_key(rows[i].alg);
        snprintf(name, sizeof(name), "%s sign", rows[i].name);
        pair(name, raw_signing, our_signing);
        raw_signing();
        our_signing();
        snprintf(name, sizeof(name), "%s verify", rows[i].name);
        pair(name, raw_verifying, our_verifying);
        drop_raw();
    }
}

/* A composite against its two halves, with many keys and fresh randomness, since ML-DSA's time
 * varies. */
static struct hf_pkey *composites[16], *pq_halves[16], *ed_halves[16];
static unsigned turn;

static void our_composite(void)
{
    struct hf_sign_options drawn = {0};
    struct hf_buf out = hf_buf(our_signature, sizeof(our_signature));
    turn = (turn + 1) % HF_ARRAY_LEN(composites);
    MUST(hf_pkey_sign(composites[turn], &drawn, message(), &out));
}

static void raw_composite(void)
{
    struct hf_sign_options drawn = {0};
    struct hf_buf out = hf_buf(our_signature, sizeof(our_signature));
    turn = (turn + 1) % HF_ARRAY_LEN(composites);
    MUST(hf_pkey_sign(pq_halves[turn], &drawn, message(), &out));
    MUST(hf_pkey_sign(ed_halves[turn], &drawn, message(), &out));
}

static void hybrids(void)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(composites); i++) {
        MUST(hf_pkey_generate(HF_ALG_MLDSA65_ED25519, &composites[i]));
        MUST(hf_pkey_generate(HF_ALG_ML_DSA_65, &pq_halves[i]));
        MUST(hf_pkey_generate(HF_ALG_ED25519, &ed_halves[i]));
    }
    slice_ns = 20.0 * ROUND_NS; /* enough signatures in each that the rejections even out */
    pair("ml-dsa-65+ed25519 sign (halves)", raw_composite, our_composite);
    slice_ns = ROUND_NS;
}

static void raw_encapsulate(void)
{
    uint8_t ct[HF_KEM_CT_MAX], shared[64];
    size_t ct_len = sizeof(ct), shared_len = sizeof(shared);
    RAW(EVP_PKEY_encapsulate(raw_enc[0], ct, &ct_len, shared, &shared_len));
}

static uint8_t raw_ct[HF_KEM_CT_MAX], our_ct[HF_KEM_CT_MAX];
static size_t raw_ct_len, our_ct_len;

static void raw_decapsulate(void)
{
    uint8_t shared[64];
    size_t shared_len = sizeof(shared);
    RAW(EVP_PKEY_decapsulate(raw_dec[0], shared, &shared_len, raw_ct, raw_ct_len));
}

static void our_encapsulate(void)
{
    struct hf_secret *shared = NULL;
    struct hf_buf out = hf_buf(our_ct, sizeof(our_ct));
    MUST(hf_pkey_encapsulate(pkey, &out, &shared));
    our_ct_len = out.len;
    hf_secret_free(shared);
}

static void our_decapsulate(void)
{
    struct hf_secret *shared = NULL;
    MUST(hf_pkey_decapsulate(pkey, hf_cursor(our_ct, our_ct_len), &shared));
    hf_secret_free(shared);
}

static void kems(void)
{
    static const struct {
        const char *name, *type;
        enum hf_alg alg;
    } rows[] = {
        {"ml-kem-512", "ML-KEM-512", HF_ALG_ML_KEM_512},
        {"ml-kem-768", "ML-KEM-768", HF_ALG_ML_KEM_768},
        {"ml-kem-1024", "ML-KEM-1024", HF_ALG_ML_KEM_1024},
        {"x25519mlkem768", "X25519MLKEM768", HF_ALG_X25519MLKEM768},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char name[64];
        uint8_t shared[64];
        size_t shared_len = sizeof(shared);
        raw_key[0] = EVP_PKEY_Q_keygen(NULL, NULL, rows[i].type);
        raw_enc[0] = EVP_PKEY_CTX_new_from_pkey(NULL, raw_key[0], NULL);
        raw_dec[0] = EVP_PKEY_CTX_new_from_pkey(NULL, raw_key[0], NULL);
        RAW(EVP_PKEY_encapsulate_init(raw_enc[0], NULL));
        RAW(EVP_PKEY_decapsulate_init(raw_dec[0], NULL));
        raw_ct_len = sizeof(raw_ct);
        RAW(EVP_PKEY_encapsulate(raw_enc[0], raw_ct, &raw_ct_len, shared, &shared_len));
        hf_pkey_freep(&pkey);
        MUST(hf_pkey_generate(rows[i].alg, &pkey));
        our_encapsulate();
        snprintf(name, sizeof(name), "%s encapsulate", rows[i].name);
        pair(name, raw_encapsulate, our_encapsulate);
        snprintf(name, sizeof(name), "%s decapsulate", rows[i].name);
        pair(name, raw_decapsulate, our_decapsulate);
        drop_raw();
    }
}

int main(int argc, char **argv)
{
    only = argc > 1 ? argv[1] : "";
    MUST(hf_crypto_start(HF_CRYPTO_HEAP_ARENA));
    MUST(hf_secret_new(32, &key)); /* zeros, as `plain` is */
    MUST(hf_random_secret(32, &other_key));
    printf("%-34s %12s %12s %8s    (%s)\n", "what", "library ns", "ours ns", "rate", hf_crypto_version());
    aeads();
    small();
    files();
    signatures();
    hybrids();
    kems();
    return 0;
}
