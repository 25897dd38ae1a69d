/* Known answers, tried once at start: a library or a processor that computes wrongly must not touch a key.
 * Sources: FIPS 180-4 and FIPS 202 ("abc"), RFC 4231 case 1, RFC 5869 A.1, the GCM submission's test case 2,
 * C2SP XAES-256-GCM, RFC 8439 2.8.2, RFC 8452 C.2, NIST CAVP KWP_AE_256 (72 bits, count 0). */
#include "crypto/aead.h"
#include "crypto/internal.h"
#include "crypto/kdf.h"
#include "secret/view.h"

/* Public constants: the whole comparison is of known answers. */
static hf_result same(const void *a, const void *b, size_t len)
{
    return memcmp(a, b, len) == 0 ? HF_DONE : HF_FAIL(INTERNAL); /* public: known answers */
}

static hf_result secret_of(const void *bytes, size_t len, struct hf_secret **ret_secret)
{
    CLEANUP(hf_secret_freep) struct hf_secret *secret = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_new(len, &secret));
    TRY(hf_secret_view_open(secret, &view));
    memcpy(view.bytes, bytes, len);
    *ret_secret = TAKE(secret);
    return HF_DONE;
}

static hf_result secret_is(const struct hf_secret *secret, const void *bytes, size_t len)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_view_open(secret, &view));
    return view.len == len ? same(view.bytes, bytes, len) : HF_FAIL(INTERNAL);
}

static hf_result test_hashes(void)
{
    static const struct {
        enum hf_hash hash;
        uint8_t digest[16]; /* its beginning */
    } known[] = {
        {HF_SHA2_256,
         {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23}},
        {HF_SHA2_384,
         {0xcb, 0x00, 0x75, 0x3f, 0x45, 0xa3, 0x5e, 0x8b, 0xb5, 0xa0, 0x3d, 0x69, 0x9a, 0xc6, 0x50, 0x07}},
        {HF_SHA2_512,
         {0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba, 0xcc, 0x41, 0x73, 0x49, 0xae, 0x20, 0x41, 0x31}},
        {HF_SHA3_256,
         {0x3a, 0x98, 0x5d, 0xa7, 0x4f, 0xe2, 0x25, 0xb2, 0x04, 0x5c, 0x17, 0x2d, 0x6b, 0xd3, 0x90, 0xbd}},
    };
    struct hf_cursor abc = hf_cursor_text("abc");
    uint8_t digest[HF_HASH_MAX];
    for (size_t i = 0; i < HF_ARRAY_LEN(known); i++) {
        TRY(hf_hash_parts(known[i].hash, &abc, 1, digest));
        TRY(same(digest, known[i].digest, sizeof(known[i].digest)));
    }
    return HF_DONE;
}

static hf_result test_macs(void)
{
    static const uint8_t mac_is[] = {0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf,
                                     0xce, 0xaf, 0x0b, 0xf1, 0x2b, 0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83,
                                     0x3d, 0xa7, 0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32, 0xcf, 0xf7};
    static const uint8_t okm_is[] = {0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f,
                                     0x64, 0xd0, 0x36, 0x2f, 0x2a, 0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a,
                                     0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf, 0x34,
                                     0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65};
    static const uint8_t salt[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const uint8_t info[] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9};
    uint8_t key_bytes[22], mac[HF_HASH_MAX];
    memset(key_bytes, 0x0b, sizeof(key_bytes));
    CLEANUP(hf_secret_freep) struct hf_secret *mac_key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *ikm = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *okm = NULL;
    struct hf_cursor hi = hf_cursor_text("Hi There");

    TRY(secret_of(key_bytes, 20, &mac_key));
    TRY(hf_hmac(HF_SHA2_256, mac_key, &hi, 1, mac));
    TRY(same(mac, mac_is, sizeof(mac_is)));
    TRY(secret_of(key_bytes, 22, &ikm));
    TRY(hf_hkdf(HF_SHA2_256, ikm, hf_cursor(salt, sizeof(salt)), hf_cursor(info, sizeof(info)),
                sizeof(okm_is), &okm));
    return secret_is(okm, okm_is, sizeof(okm_is));
}

static hf_result seals_as(enum hf_alg alg, const uint8_t *key_bytes, size_t key_len, struct hf_cursor nonce,
                          struct hf_cursor ad, struct hf_cursor plain, const uint8_t *tail, size_t tail_len)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_aead_freep) struct hf_aead *aead = NULL;
    uint8_t memory[160], opened[160];
    struct hf_buf out = hf_buf(memory, sizeof(memory)), back = hf_buf(opened, sizeof(opened));

    TRY(secret_of(key_bytes, key_len, &key));
    TRY(hf_aead_new(alg, key, &aead));
    TRY(hf_aead_seal_nonce(aead, nonce, plain, ad, &out));
    if (out.len < tail_len)
        return HF_FAIL(INTERNAL);
    TRY(same(out.at + out.len - tail_len, tail, tail_len));
    TRY(hf_aead_open_nonce(aead, nonce, hf_buf_cursor(&out), ad, &back));
    return hf_cursor_same(hf_buf_cursor(&back), plain) ? HF_DONE : HF_FAIL(INTERNAL);
}

static hf_result test_aeads(void)
{
    static const uint8_t zeros[16];
    static const uint8_t gcm[] = {0x03, 0x88, 0xda, 0xce, 0x60, 0xb6, 0xa3, 0x92, 0xf3, 0x28, 0xc2,
                                  0xb9, 0x71, 0xb2, 0xfe, 0x78, 0xab, 0x6e, 0x47, 0xd4, 0x2c, 0xec,
                                  0x13, 0xbd, 0xf5, 0x3a, 0x67, 0xb2, 0x12, 0x57, 0xbd, 0xdf};
    static const uint8_t xaes[] = {0x98, 0x6e, 0xc1, 0x83, 0x25, 0x93, 0xdf, 0x54, 0x43, 0xa1,
                                   0x79, 0x43, 0x7f, 0xd0, 0x83, 0xbf, 0x3f, 0xdb, 0x41, 0xab,
                                   0xd7, 0x40, 0xa2, 0x1f, 0x71, 0xeb, 0x76, 0x9d};
    static const uint8_t chacha_nonce[] = {7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47};
    static const uint8_t chacha_ad[] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
                                        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
    static const uint8_t chacha_tag[] = {0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a,
                                         0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91};
    static const char chacha_plain[] = "Ladies and Gentlemen of the class of '99: If I could offer you only "
                                       "one tip for the future, sunscreen would be it.";
    static const uint8_t siv_key[32] = {1}, siv_nonce[12] = {3}, siv_plain[8] = {1};
    static const uint8_t siv[] = {0xc2, 0xef, 0x32, 0x8e, 0x5c, 0x71, 0xc8, 0x3b, 0x84, 0x31, 0x22, 0x13,
                                  0x0f, 0x73, 0x64, 0xb7, 0x61, 0xe0, 0xb9, 0x74, 0x27, 0xe3, 0xdf, 0x28};
    uint8_t key[32];

    TRY(seals_as(HF_ALG_AES128_GCM96, zeros, 16, hf_cursor(zeros, 12), hf_cursor(NULL, 0),
                 hf_cursor(zeros, 16), gcm, sizeof(gcm)));
    memset(key, 3, sizeof(key));
    TRY(seals_as(HF_ALG_XAES256_GCM, key, 32, hf_cursor_text("ABCDEFGHIJKLMNOPQRSTUVWX"),
                 hf_cursor_text("c2sp.org/XAES-256-GCM"), hf_cursor_text("XAES-256-GCM"), xaes,
                 sizeof(xaes)));
    if (hf_crypto_algs()->chacha20_poly1305 != NULL) {
        for (size_t i = 0; i < sizeof(key); i++)
            key[i] = (uint8_t)(0x80 + i);
        TRY(seals_as(HF_ALG_CHACHA20_POLY1305, key, 32, hf_cursor(chacha_nonce, sizeof(chacha_nonce)),
                     hf_cursor(chacha_ad, sizeof(chacha_ad)), hf_cursor_text(chacha_plain), chacha_tag,
                     sizeof(chacha_tag)));
    }
    if (hf_crypto_algs()->aes256_gcm_siv != NULL)
        TRY(seals_as(HF_ALG_AES256_GCM_SIV, siv_key, 32, hf_cursor(siv_nonce, 12), hf_cursor(NULL, 0),
                     hf_cursor(siv_plain, 8), siv, sizeof(siv)));
    return HF_DONE;
}

static hf_result test_key_wrap(void)
{
    static const uint8_t kek_is[] = {0x70, 0xda, 0x43, 0xaa, 0xc8, 0x23, 0xc6, 0xdd, 0x37, 0xd1, 0x10,
                                     0x9f, 0x5b, 0x18, 0xfe, 0xb4, 0x50, 0x3c, 0x97, 0x32, 0x88, 0x98,
                                     0x97, 0x45, 0xe2, 0xcc, 0x1c, 0xc2, 0x1d, 0x95, 0x70, 0xc6};
    static const uint8_t key_is[] = {0xed, 0xf1, 0x7d, 0x96, 0x6e, 0xd8, 0x96, 0xae, 0xe3};
    static const uint8_t wrapped_is[] = {0xd6, 0x7b, 0x5b, 0x2a, 0xd1, 0x5c, 0x64, 0x54,
                                         0x50, 0xe2, 0x3b, 0x5e, 0x7b, 0x6d, 0x68, 0x2f,
                                         0x8a, 0xe2, 0x0e, 0x71, 0x6d, 0x47, 0x0d, 0xb7};
    CLEANUP(hf_secret_freep) struct hf_secret *kek = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *back = NULL;
    uint8_t memory[HF_KWP_LEN(sizeof(key_is))];
    struct hf_buf out = hf_buf(memory, sizeof(memory));

    TRY(secret_of(kek_is, sizeof(kek_is), &kek));
    TRY(secret_of(key_is, sizeof(key_is), &key));
    TRY(hf_kwp_wrap(kek, key, &out));
    TRY(out.len == sizeof(wrapped_is) ? same(memory, wrapped_is, sizeof(wrapped_is)) : HF_FAIL(INTERNAL));
    TRY(hf_kwp_unwrap(kek, hf_buf_cursor(&out), &back));
    return secret_is(back, key_is, sizeof(key_is));
}

hf_result hf_crypto_self_test(bool asymmetric)
{
    TRY(test_hashes());
    TRY(test_macs());
    TRY(test_aeads());
    TRY(test_key_wrap());
    return asymmetric ? hf_crypto_self_test_asymmetric() : HF_DONE;
}
