/* Sealing, wrapping, hashing, deriving, random bytes: what callers rely on beyond the published vectors. */
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "base/encode.h"
#include "base/log.h"
#include "unit/crypto/helpers.h"

#include <openssl/evp.h>
#include <pthread.h>

static const enum hf_alg sealing[] = {HF_ALG_AES128_GCM96, HF_ALG_AES256_GCM96, HF_ALG_XAES256_GCM,
                                      HF_ALG_CHACHA20_POLY1305, HF_ALG_AES256_GCM_SIV};
enum { MEMORY = 8192 };

static struct hf_aead *aead_of(enum hf_alg alg, uint8_t fill)
{
    uint8_t bytes[32];
    struct hf_aead *aead = NULL;
    memset(bytes, fill, sizeof(bytes));
    struct hf_secret *key = test_secret(bytes, hf_alg_info(alg)->key_bytes);
    must(hf_aead_new(alg, key, &aead));
    hf_secret_free(key);
    return aead;
}

static struct hf_cursor hex(const char *text, uint8_t *memory, size_t cap)
{
    struct hf_buf out = hf_buf(memory, cap);
    must(hf_hex_decode(&out, hf_cursor_text(text)));
    return hf_buf_cursor(&out);
}

/* ---- AEAD ------------------------------------------------------------------------------------------------------ */

static void what_was_sealed_opens(void **state)
{
    (void)state;
    static uint8_t plain[MEMORY], sealed[MEMORY + 64], opened[MEMORY];
    static const size_t sizes[] = {0, 1, 15, 16, 17, 32, 1000, MEMORY};
    for (size_t i = 0; i < MEMORY; i++)
        plain[i] = (uint8_t)(i * 31);
    for (size_t a = 0; a < HF_ARRAY_LEN(sealing); a++) {
        struct hf_aead *aead = aead_of(sealing[a], 1);
        for (size_t s = 0; s < HF_ARRAY_LEN(sizes); s++) {
            struct hf_buf out = hf_buf(sealed, sizeof(sealed)), back = hf_buf(opened, sizeof(opened));
            must(hf_aead_seal(aead, hf_cursor(plain, sizes[s]), hf_cursor_text("ad"), &out));
            assert_int_equal(out.len, sizes[s] + hf_aead_overhead(aead));
            must(hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text("ad"), &back));
            assert_int_equal(back.len, sizes[s]);
            assert_memory_equal(opened, plain, sizes[s]);
        }
        hf_aead_free(aead);
    }
}

static void sealing_and_opening_in_place_give_the_same(void **state)
{
    (void)state;
    for (size_t a = 0; a < HF_ARRAY_LEN(sealing); a++) {
        struct hf_aead *aead = aead_of(sealing[a], 2);
        size_t nonce = hf_alg_info(sealing[a])->nonce_bytes;
        uint8_t memory[256];
        memset(memory + nonce, 0x5a, 100);
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        must(hf_aead_seal(aead, hf_cursor(memory + nonce, 100), hf_cursor_text(""), &out));
        struct hf_buf back = hf_buf(memory + nonce, 100);
        must(hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text(""), &back));
        for (size_t i = 0; i < 100; i++)
            assert_int_equal(memory[nonce + i], 0x5a);
        hf_aead_free(aead);
    }
}

static void every_flipped_bit_and_cut_is_refused(void **state)
{
    (void)state;
    static const uint8_t clean[64];
    for (size_t a = 0; a < HF_ARRAY_LEN(sealing); a++) {
        struct hf_aead *aead = aead_of(sealing[a], 3), *other = aead_of(sealing[a], 4);
        uint8_t sealed[128], opened[64];
        struct hf_buf out = hf_buf(sealed, sizeof(sealed));
        must(hf_aead_seal(aead, hf_cursor_text("thirty-two bytes of a data key.."), hf_cursor_text("ad"),
                          &out));
        for (size_t bit = 0; bit < out.len * 8; bit++) {
            struct hf_buf back = hf_buf(opened, sizeof(opened));
            memset(opened, 0, sizeof(opened));
            sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            refused(hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text("ad"), &back), HF_BAD_CIPHERTEXT);
            assert_int_equal(back.len, 0);
            assert_memory_equal(opened, clean, sizeof(opened)); /* no plaintext is left behind */
            sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t len = 0; len < out.len; len++) {
            struct hf_buf back = hf_buf(opened, sizeof(opened));
            refused(hf_aead_open(aead, hf_cursor(sealed, len), hf_cursor_text("ad"), &back),
                    HF_BAD_CIPHERTEXT);
        }
        struct hf_buf back = hf_buf(opened, sizeof(opened));
        refused(hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text("aD"), &back), HF_BAD_CIPHERTEXT);
        refused(hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text(""), &back), HF_BAD_CIPHERTEXT);
        refused(hf_aead_open(other, hf_buf_cursor(&out), hf_cursor_text("ad"), &back), HF_BAD_CIPHERTEXT);
        must(hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text("ad"), &back)); /* none of it did harm */
        hf_aead_free(aead);
        hf_aead_free(other);
    }
}

static void a_buffer_too_small_is_refused_and_kept(void **state)
{
    (void)state;
    for (size_t a = 0; a < HF_ARRAY_LEN(sealing); a++) {
        struct hf_aead *aead = aead_of(sealing[a], 5);
        uint8_t sealed[128], opened[64];
        struct hf_buf tight = hf_buf(sealed, 32 + hf_aead_overhead(aead) - 1);
        refused(hf_aead_seal(aead, hf_cursor(opened, 32), hf_cursor_text(""), &tight), HF_TOO_LARGE);
        assert_int_equal(tight.len, 0);
        struct hf_buf exact = hf_buf(sealed, 32 + hf_aead_overhead(aead));
        must(hf_aead_seal(aead, hf_cursor_text("thirty-two bytes of a data key.."), hf_cursor_text(""),
                          &exact));
        struct hf_buf small = hf_buf(opened, 31);
        refused(hf_aead_open(aead, hf_buf_cursor(&exact), hf_cursor_text(""), &small), HF_TOO_LARGE);
        hf_aead_free(aead);
    }
}

static void keys_of_another_length_or_kind_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[33] = {0};
    struct hf_aead *aead = NULL;
    for (size_t a = 0; a < HF_ARRAY_LEN(sealing); a++) {
        for (size_t len = 15; len <= 33; len++) {
            if (len == hf_alg_info(sealing[a])->key_bytes)
                continue;
            struct hf_secret *key = test_secret(bytes, len);
            refused(hf_aead_new(sealing[a], key, &aead), HF_BAD_ARGUMENT);
            assert_null(aead);
            hf_secret_free(key);
        }
    }
    struct hf_secret *key = test_secret(bytes, 32);
    refused(hf_aead_new(HF_ALG_ED25519, key, &aead), HF_BAD_ARGUMENT);
    refused(hf_aead_new(HF_ALG_HMAC, key, &aead), HF_BAD_ARGUMENT);
    hf_secret_free(key);
}

static void a_nonce_of_another_length_is_refused(void **state)
{
    (void)state;
    struct hf_aead *aead = aead_of(HF_ALG_AES256_GCM96, 6);
    uint8_t memory[64], nonce[24] = {0};
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    refused(hf_aead_seal_nonce(aead, hf_cursor(nonce, 11), hf_cursor_text("x"), hf_cursor_text(""), &out),
            HF_BAD_ARGUMENT);
    refused(hf_aead_open_nonce(aead, hf_cursor(nonce, 13), hf_cursor(memory, 17), hf_cursor_text(""), &out),
            HF_BAD_CIPHERTEXT);
    hf_aead_free(aead);
}

static int by_nonce(const void *a, const void *b)
{
    return memcmp(a, b, 12); /* public */
}

static void nonces_do_not_repeat(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static uint8_t nonces[COUNT][12];
    struct hf_aead *aead = aead_of(HF_ALG_AES256_GCM96, 7);
    for (size_t i = 0; i < COUNT; i++) {
        uint8_t memory[28];
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        must(hf_aead_seal(aead, hf_cursor("", 0), hf_cursor_text(""), &out));
        memcpy(nonces[i], memory, 12);
    }
    qsort(nonces, COUNT, sizeof(nonces[0]), by_nonce);
    for (size_t i = 1; i < COUNT; i++)
        assert_int_not_equal(by_nonce(nonces[i - 1], nonces[i]), 0);
    hf_aead_free(aead);
}

/* The specification's two vectors and its accumulated test: inputs drawn from SHAKE-128, outputs hashed. */
static void xaes_gives_the_published_values(void **state)
{
    (void)state;
    static const char *const ciphertext[] = {"ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
                                             "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"};
    static const char *const ad[] = {"", "c2sp.org/XAES-256-GCM"};
    for (size_t i = 0; i < 2; i++) {
        struct hf_aead *aead = aead_of(HF_ALG_XAES256_GCM, (uint8_t)(1 + 2 * i));
        uint8_t memory[64], expected[64];
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        must(hf_aead_seal_nonce(aead, hf_cursor_text("ABCDEFGHIJKLMNOPQRSTUVWX"),
                                hf_cursor_text("XAES-256-GCM"), hf_cursor_text(ad[i]), &out));
        struct hf_cursor want = hex(ciphertext[i], expected, sizeof(expected));
        assert_int_equal(out.len, want.left);
        assert_memory_equal(memory, want.at, want.left);
        hf_aead_free(aead);
    }
}

static void take(EVP_MD_CTX *source, uint8_t *bytes, size_t len)
{
    assert_int_equal(EVP_DigestSqueeze(source, bytes, len), 1);
}

static void xaes_gives_the_published_sum_over_10000(void **state)
{
    (void)state;
    EVP_MD_CTX *source = EVP_MD_CTX_new(), *sum = EVP_MD_CTX_new();
    uint8_t key[32], nonce[24], plain[255], ad[255], sealed[300], opened[300], digest[32], expected[32];
    assert_int_equal(EVP_DigestInit_ex(source, EVP_shake128(), NULL), 1);
    assert_int_equal(EVP_DigestInit_ex(sum, EVP_shake128(), NULL), 1);
    for (size_t i = 0; i < 10000; i++) {
        uint8_t plain_len, ad_len;
        struct hf_aead *aead = NULL;
        take(source, key, sizeof(key));
        take(source, nonce, sizeof(nonce));
        take(source, &plain_len, 1);
        take(source, plain, plain_len);
        take(source, &ad_len, 1);
        take(source, ad, ad_len);
        struct hf_secret *secret = test_secret(key, sizeof(key));
        must(hf_aead_new(HF_ALG_XAES256_GCM, secret, &aead));
        struct hf_buf out = hf_buf(sealed, sizeof(sealed)), back = hf_buf(opened, sizeof(opened));
        must(hf_aead_seal_nonce(aead, hf_cursor(nonce, 24), hf_cursor(plain, plain_len),
                                hf_cursor(ad, ad_len), &out));
        must(hf_aead_open_nonce(aead, hf_cursor(nonce, 24), hf_buf_cursor(&out), hf_cursor(ad, ad_len),
                                &back));
        assert_memory_equal(opened, plain, plain_len);
        assert_int_equal(EVP_DigestUpdate(sum, sealed, out.len), 1);
        hf_aead_free(aead);
        hf_secret_free(secret);
    }
    assert_int_equal(EVP_DigestFinalXOF(sum, digest, sizeof(digest)), 1);
    hex("e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939", expected, sizeof(expected));
    assert_memory_equal(digest, expected, sizeof(digest));
    EVP_MD_CTX_free(source);
    EVP_MD_CTX_free(sum);
}

/* ---- threads -------------------------------------------------------------------------------------------------------- */

enum { THREADS = 8, TURNS = 2000 };

static void *seals_and_opens(void *argument)
{
    struct hf_aead **aeads = argument;
    for (size_t i = 0; i < TURNS; i++) {
        struct hf_aead *aead = aeads[i % 2];
        uint8_t plain[40], sealed[128], opened[64], digest[32];
        struct hf_buf out = hf_buf(sealed, sizeof(sealed)), back = hf_buf(opened, sizeof(opened));
        if (!HF_IS_OK(hf_random(plain, sizeof(plain))) ||
            !HF_IS_OK(hf_aead_seal(aead, hf_cursor(plain, sizeof(plain)), hf_cursor_text("t"), &out)) ||
            !HF_IS_OK(hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text("t"), &back)) ||
            memcmp(plain, opened, sizeof(plain)) != 0 || /* public */
            !HF_IS_OK(hf_sha256(hf_buf_cursor(&out), digest)))
            return argument;
        sealed[out.len - 1] ^= 1;
        back.len = 0;
        if (hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text("t"), &back).code != HF_BAD_CIPHERTEXT)
            return argument;
    }
    return NULL;
}

static void many_threads_share_a_key(void **state)
{
    (void)state;
    struct hf_aead *aeads[2] = {aead_of(HF_ALG_AES256_GCM96, 8), aead_of(HF_ALG_XAES256_GCM, 9)};
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, seals_and_opens, aeads), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    hf_aead_free(aeads[0]);
    hf_aead_free(aeads[1]);
}

/* ---- secrets and wrapped keys ------------------------------------------------------------------------------------- */

static void secrets_are_sealed_and_opened(void **state)
{
    (void)state;
    struct hf_aead *aead = aead_of(HF_ALG_XAES256_GCM, 10);
    struct hf_secret *secret = test_secret("a root key", 10), *back = NULL;
    uint8_t memory[128];
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    must(hf_aead_seal_secret(aead, secret, hf_cursor_text("record 7"), &out));
    refused(hf_aead_open_secret(aead, hf_buf_cursor(&out), hf_cursor_text("record 8"), &back),
            HF_BAD_CIPHERTEXT);
    assert_null(back);
    must(hf_aead_open_secret(aead, hf_buf_cursor(&out), hf_cursor_text("record 7"), &back));
    assert_secret(back, "a root key", 10);
    hf_secret_free(back);
    back = NULL;
    out.len = 0;
    must(hf_aead_seal(aead, hf_cursor("", 0), hf_cursor_text(""), &out));
    refused(hf_aead_open_secret(aead, hf_buf_cursor(&out), hf_cursor_text(""), &back), HF_BAD_CIPHERTEXT);
    hf_secret_free(secret);
    hf_aead_free(aead);
}

static void wrapped_keys_of_every_length_unwrap(void **state)
{
    (void)state;
    uint8_t bytes[200], memory[256];
    struct hf_secret *kek = NULL;
    must(hf_random_secret(32, &kek));
    must(hf_random(bytes, sizeof(bytes)));
    for (size_t len = 1; len <= sizeof(bytes); len++) {
        struct hf_secret *key = test_secret(bytes, len), *back = NULL;
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        must(hf_kwp_wrap(kek, key, &out));
        assert_int_equal(out.len, HF_KWP_LEN(len));
        must(hf_kwp_unwrap(kek, hf_buf_cursor(&out), &back));
        assert_secret(back, bytes, len);
        hf_secret_free(key);
        hf_secret_free(back);
    }
    hf_secret_free(kek);
}

static void altered_wrapped_keys_are_refused(void **state)
{
    (void)state;
    uint8_t memory[64];
    struct hf_secret *kek = NULL, *other = NULL, *key = NULL, *back = NULL;
    must(hf_random_secret(32, &kek));
    must(hf_random_secret(32, &other));
    for (size_t len = 1; len <= 33; len += 8) { /* with and without padding, the one-block case too */
        must(hf_random_secret(len, &key));
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        must(hf_kwp_wrap(kek, key, &out));
        for (size_t bit = 0; bit < out.len * 8; bit++) {
            memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
            refused(hf_kwp_unwrap(kek, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
            memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t cut = 0; cut < out.len; cut++)
            refused(hf_kwp_unwrap(kek, hf_cursor(memory, cut), &back), HF_BAD_CIPHERTEXT);
        refused(hf_kwp_unwrap(other, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
        must(hf_kwp_unwrap(kek, hf_buf_cursor(&out), &back));
        hf_secret_freep(&back);
        struct hf_buf tight = hf_buf(memory, HF_KWP_LEN(len) - 1);
        refused(hf_kwp_wrap(kek, key, &tight), HF_TOO_LARGE);
        hf_secret_freep(&key);
    }
    struct hf_secret *short_kek = test_secret("0123456789abcdef", 16);
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    refused(hf_kwp_wrap(short_kek, other, &out), HF_BAD_ARGUMENT);
    refused(hf_kwp_unwrap(short_kek, hf_cursor(memory, 40), &back), HF_BAD_ARGUMENT);
    hf_secret_free(short_kek);
    hf_secret_free(kek);
    hf_secret_free(other);
}

/* ---- hashes, MACs, derivation ------------------------------------------------------------------------------------- */

static void parts_hash_as_the_whole(void **state)
{
    (void)state;
    const struct hf_cursor parts[] = {hf_cursor_text("ab"), hf_cursor("", 0), hf_cursor_text("c")};
    const struct hf_cursor whole = hf_cursor_text("abc");
    for (int h = 0; h < HF_HASH_COUNT; h++) {
        uint8_t a[HF_HASH_MAX], b[HF_HASH_MAX], c[HF_HASH_MAX];
        struct hf_hasher *hasher = NULL;
        enum hf_hash found;
        must(hf_hash_parts((enum hf_hash)h, parts, HF_ARRAY_LEN(parts), a));
        must(hf_hash_parts((enum hf_hash)h, &whole, 1, b));
        must(hf_hasher_new((enum hf_hash)h, &hasher));
        must(hf_hasher_update(hasher, parts[0]));
        must(hf_hasher_update(hasher, parts[2]));
        must(hf_hasher_final(hasher, c));
        hf_hasher_freep(&hasher);
        assert_memory_equal(a, b, hf_hash_len((enum hf_hash)h));
        assert_memory_equal(a, c, hf_hash_len((enum hf_hash)h));
        must(hf_hash_find(hf_cursor_text(hf_hash_name((enum hf_hash)h)), &found));
        assert_int_equal(found, h);
    }
    enum hf_hash none;
    refused(hf_hash_find(hf_cursor_text("md5"), &none), HF_BAD_ARGUMENT);
}

static void macs_verify_only_whole_and_unaltered(void **state)
{
    (void)state;
    struct hf_secret *key = test_secret("key", 3);
    struct hf_cursor message = hf_cursor_text("what it says");
    for (int h = 0; h < HF_HASH_COUNT; h++) {
        uint8_t mac[HF_HASH_MAX];
        size_t len = hf_hash_len((enum hf_hash)h);
        must(hf_hmac((enum hf_hash)h, key, &message, 1, mac));
        must(hf_hmac_verify((enum hf_hash)h, key, &message, 1, hf_cursor(mac, len)));
        for (size_t bit = 0; bit < len * 8; bit++) {
            mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
            refused(hf_hmac_verify((enum hf_hash)h, key, &message, 1, hf_cursor(mac, len)), HF_BAD_SIGNATURE);
            mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t cut = 0; cut < len; cut++)
            refused(hf_hmac_verify((enum hf_hash)h, key, &message, 1, hf_cursor(mac, cut)), HF_BAD_SIGNATURE);
    }
    hf_secret_free(key);
}

static void derived_keys_differ_by_label_context_and_length(void **state)
{
    (void)state;
    struct hf_secret *root = test_secret("0123456789abcdef0123456789abcdef", 32), *a = NULL, *b = NULL;
    must(hf_derive(root, "records", hf_cursor_text("1"), 32, &a));
    must(hf_derive(root, "records", hf_cursor_text("1"), 32, &b));
    assert_true(hf_secret_equal(a, b));
    hf_secret_freep(&b);
    must(hf_derive(root, "records", hf_cursor_text("2"), 32, &b));
    assert_false(hf_secret_equal(a, b));
    hf_secret_freep(&b);
    must(hf_derive(root, "records1", hf_cursor_text(""), 32,
                   &b)); /* the zero byte keeps label and context apart */
    assert_false(hf_secret_equal(a, b));
    hf_secret_freep(&b);
    refused(hf_hkdf(HF_SHA2_256, root, hf_cursor("", 0), hf_cursor("", 0), 0, &b), HF_BAD_ARGUMENT);
    refused(hf_hkdf(HF_SHA2_256, root, hf_cursor("", 0), hf_cursor("", 0), 255 * 32 + 1, &b),
            HF_BAD_ARGUMENT);
    must(hf_hkdf(HF_SHA2_256, root, hf_cursor("", 0), hf_cursor("", 0), 255 * 32, &b));
    hf_secret_freep(&b);
    struct hf_secret *prk = NULL;
    must(hf_hkdf_extract(HF_SHA2_512, root, hf_cursor_text("salt"), &prk));
    must(hf_hkdf_expand(HF_SHA2_512, prk, hf_cursor_text("info"), 40, &b));
    hf_secret_freep(&a);
    must(hf_hkdf(HF_SHA2_512, root, hf_cursor_text("salt"), hf_cursor_text("info"), 40, &a));
    assert_true(hf_secret_equal(a, b));
    hf_secret_free(prk);
    hf_secret_free(a);
    hf_secret_free(b);
    hf_secret_free(root);
}

/* ---- random bytes -------------------------------------------------------------------------------------------------- */

static void random_bytes_of_any_length(void **state)
{
    (void)state;
    static uint8_t a[100000], b[100000];
    static const size_t sizes[] = {16, 100, 511, 512, 513, 4096, 5000, sizeof(a)};
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
        must(hf_random(a, sizes[i]));
        must(hf_random(b, sizes[i]));
        assert_memory_not_equal(a, b, sizes[i]);
    }
    struct hf_id one, two;
    must(hf_random_id(&one));
    must(hf_random_id(&two));
    assert_memory_not_equal(one.bytes, two.bytes, sizeof(one.bytes));
    assert_int_equal(one.bytes[6] >> 4, 4);
}

/* ---- the table ------------------------------------------------------------------------------------------------------- */

static enum hf_alg find(const char *type, const char *set, const char *pqc, const char *ec)
{
    enum hf_alg alg = HF_ALG_NONE;
    HF_IGNORE(
        hf_alg_find(hf_cursor_text(type), hf_cursor_text(set), hf_cursor_text(pqc), hf_cursor_text(ec), &alg),
        "NONE says it");
    return alg;
}

static void key_types_are_found_by_their_api_names(void **state)
{
    (void)state;
    assert_int_equal(find("aes256-gcm96", "", "", ""), HF_ALG_AES256_GCM96);
    assert_int_equal(find("ml-dsa", "", "", ""), HF_ALG_ML_DSA_65);
    assert_int_equal(find("ml-dsa", "87", "", ""), HF_ALG_ML_DSA_87);
    assert_int_equal(find("ml-dsa", "66", "", ""), HF_ALG_NONE);
    assert_int_equal(find("ml-kem", "", "", ""), HF_ALG_ML_KEM_768);
    assert_int_equal(find("slh-dsa", "slh-dsa-shake-256f", "", ""), HF_ALG_SLH_DSA_SHAKE_256F);
    assert_int_equal(find("hybrid", "", "", ""), HF_ALG_MLDSA65_ED25519);
    assert_int_equal(find("hybrid", "44", "ml-dsa", "ecdsa-p256"), HF_ALG_MLDSA44_ECDSA_P256);
    assert_int_equal(find("hybrid", "", "", "ecdsa-p384"), HF_ALG_MLDSA65_ECDSA_P384);
    assert_int_equal(find("hybrid", "87", "ml-dsa", "ed25519"), HF_ALG_NONE);
    assert_int_equal(find("des", "", "", ""), HF_ALG_NONE);
    for (size_t i = 0; hf_alg_at(i) != NULL; i++) { /* numbers and names are unique, every row finds itself */
        const struct hf_alg_info *row = hf_alg_at(i);
        assert_ptr_equal(hf_alg_info(row->alg), row);
        assert_int_equal(find(row->type, row->parameter_set != NULL ? row->parameter_set : "",
                              row->hybrid_pqc != NULL ? row->hybrid_pqc : "",
                              row->hybrid_ec != NULL ? row->hybrid_ec : ""),
                         row->alg);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(row->name, hf_alg_at(j)->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens),
        cmocka_unit_test(sealing_and_opening_in_place_give_the_same),
        cmocka_unit_test(every_flipped_bit_and_cut_is_refused),
        cmocka_unit_test(a_buffer_too_small_is_refused_and_kept),
        cmocka_unit_test(keys_of_another_length_or_kind_are_refused),
        cmocka_unit_test(a_nonce_of_another_length_is_refused),
        cmocka_unit_test(nonces_do_not_repeat),
        cmocka_unit_test(xaes_gives_the_published_values),
        cmocka_unit_test(xaes_gives_the_published_sum_over_10000),
        cmocka_unit_test(many_threads_share_a_key),
        cmocka_unit_test(secrets_are_sealed_and_opened),
        cmocka_unit_test(wrapped_keys_of_every_length_unwrap),
        cmocka_unit_test(altered_wrapped_keys_are_refused),
        cmocka_unit_test(parts_hash_as_the_whole),
        cmocka_unit_test(macs_verify_only_whole_and_unaltered),
        cmocka_unit_test(derived_keys_differ_by_label_context_and_length),
        cmocka_unit_test(random_bytes_of_any_length),
        cmocka_unit_test(key_types_are_found_by_their_api_names),
    };
    must(hf_crypto_start(HF_CRYPTO_HEAP_ARENA));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
