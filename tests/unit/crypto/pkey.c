/* Asymmetric keys: every algorithm through every form and use, and what must be refused. */
#include "crypto/crypto.h"
#include "crypto/hpke.h"
#include "crypto/pkey.h"
#include "base/encode.h"
#include "unit/crypto/helpers.h"

#include <pthread.h>

/* RSA takes long to generate, and the "s" sets of SLH-DSA to sign: one of each. */
static bool slow_to_make(enum hf_alg alg)
{
    return alg == HF_ALG_RSA_3072 || alg == HF_ALG_RSA_4096;
}

static bool slow_to_sign(enum hf_alg alg)
{
    return alg >= HF_ALG_SLH_DSA_SHA2_128S && alg <= HF_ALG_SLH_DSA_SHAKE_256F &&
           alg != HF_ALG_SLH_DSA_SHA2_128F && alg != HF_ALG_SLH_DSA_SHAKE_128F;
}

static bool is_slh(enum hf_alg alg)
{
    return alg >= HF_ALG_SLH_DSA_SHA2_128S && alg <= HF_ALG_SLH_DSA_SHAKE_256F;
}

static bool is_ecdsa(enum hf_alg alg)
{
    return alg >= HF_ALG_ECDSA_P256 && alg <= HF_ALG_ECDSA_P521;
}

static bool is_rsa(enum hf_alg alg)
{
    return alg >= HF_ALG_RSA_2048 && alg <= HF_ALG_RSA_4096;
}

static struct hf_pkey *generate(enum hf_alg alg)
{
    struct hf_pkey *key = NULL;
    must(hf_pkey_generate(alg, &key));
    assert_int_equal(hf_pkey_alg(key), alg);
    assert_true(hf_pkey_has_private(key));
    return key;
}

struct bytes {
    uint8_t at[HF_SIGNATURE_MAX];
    size_t len;
};

static struct hf_cursor cursor_of(const struct bytes *bytes)
{
    return hf_cursor(bytes->at, bytes->len);
}

static void public_of(const struct hf_pkey *key, struct bytes *ret)
{
    struct hf_buf out = hf_buf(ret->at, sizeof(ret->at));
    must(hf_pkey_public(key, &out));
    assert_true(out.len <= HF_PUBLIC_MAX);
    ret->len = out.len;
}

static void assert_same_public(const struct hf_pkey *a, const struct hf_pkey *b)
{
    struct bytes one, two;
    public_of(a, &one);
    public_of(b, &two);
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.at, two.at, one.len);
}

static void sign(const struct hf_pkey *key, const struct hf_sign_options *options, struct hf_cursor message,
                 struct bytes *ret)
{
    struct hf_buf out = hf_buf(ret->at, sizeof(ret->at));
    must(hf_pkey_sign(key, options, message, &out));
    ret->len = out.len;
}

/* ---- forms ----------------------------------------------------------------------------------------------------------- */

static void every_private_form_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; hf_alg_at(i) != NULL; i++) {
        enum hf_alg alg = hf_alg_at(i)->alg;
        if (!hf_alg_at(i)->asymmetric || slow_to_make(alg))
            continue;
        struct hf_pkey *key = generate(alg);
        size_t forms = 0;
        for (int form = HF_PRIVATE_NATIVE; form <= HF_PRIVATE_SEED; form++) {
            struct hf_secret *bytes = NULL;
            struct hf_pkey *back = NULL;
            hf_result got = hf_pkey_private(key, (enum hf_private_form)form, &bytes);
            if (got.code == HF_UNSUPPORTED) {
                assert_int_not_equal(form, HF_PRIVATE_NATIVE);
                continue;
            }
            must(got);
            forms++;
            assert_true(hf_secret_len(bytes) <= HF_PRIVATE_MAX);
            must(hf_pkey_from_private(alg, (enum hf_private_form)form, bytes, &back));
            assert_true(hf_pkey_has_private(back));
            assert_same_public(key, back);
            if (form == HF_PRIVATE_PKCS8) {
                struct hf_pkey *recognised = NULL;
                must(hf_pkey_from_pkcs8(bytes, &recognised));
                assert_same_public(key, recognised);
                if (hf_alg_at(i)->uses & HF_USE_SIGN ||
                    alg == HF_ALG_X25519) /* EC does not say what it is for */
                    assert_int_equal(hf_pkey_alg(recognised), alg);
                hf_pkey_free(recognised);
            }
            hf_pkey_free(back);
            hf_secret_free(bytes);
        }
        assert_true(forms >= 1 + (alg != HF_ALG_X25519MLKEM768)); /* that one has no registered PKCS#8 */
        hf_pkey_free(key);
    }
}

static void native_private_lengths_are_those_of_the_standards(void **state)
{
    (void)state;
    static const struct {
        enum hf_alg alg;
        size_t len;
    } expected[] = {
        {HF_ALG_ML_KEM_768, 64},      {HF_ALG_ML_DSA_65, 32}, {HF_ALG_X_WING, 32},
        {HF_ALG_X25519, 32},          {HF_ALG_ED25519, 32},   {HF_ALG_X25519MLKEM768, 96},
        {HF_ALG_MLDSA65_ED25519, 64},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(expected); i++) {
        struct hf_pkey *key = generate(expected[i].alg);
        struct hf_secret *bytes = NULL;
        must(hf_pkey_private(key, HF_PRIVATE_NATIVE, &bytes));
        assert_int_equal(hf_secret_len(bytes), expected[i].len);
        hf_secret_free(bytes);
        hf_pkey_free(key);
    }
}

static void every_public_form_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; hf_alg_at(i) != NULL; i++) {
        enum hf_alg alg = hf_alg_at(i)->alg;
        if (!hf_alg_at(i)->asymmetric || slow_to_make(alg))
            continue;
        struct hf_pkey *key = generate(alg), *back = NULL;
        struct bytes raw;
        uint8_t text[2 * HF_PUBLIC_MAX];
        public_of(key, &raw);
        must(hf_pkey_from_public(alg, cursor_of(&raw), &back));
        assert_false(hf_pkey_has_private(back));
        assert_same_public(key, back);
        hf_pkey_freep(&back);

        struct hf_buf pem = hf_buf(text, sizeof(text));
        hf_result got = hf_pkey_public_pem(key, &pem);
        if (alg == HF_ALG_X25519MLKEM768) {
            refused(got, HF_UNSUPPORTED);
        } else {
            must(got);
            must(hf_pkey_from_public(alg, hf_buf_cursor(&pem), &back));
            assert_same_public(key, back);
            hf_pkey_freep(&back);
            text[pem.len / 2] ^= 0x40;
            if (HF_IS_OK(hf_pkey_from_public(alg, hf_buf_cursor(&pem), &back)))
                hf_pkey_freep(&back); /* another key it may be; no crash, no leak */
        }
        struct hf_buf shown = hf_buf(text, sizeof(text));
        must(hf_pkey_public_text(key, &shown));
        bool as_pem = is_rsa(alg) || is_ecdsa(alg) || alg == HF_ALG_ECDH_P256 || alg == HF_ALG_ECDH_P384;
        assert_int_equal(memcmp(text, "-----BEGIN", 10) == 0, as_pem); /* public */
        for (size_t cut = 0; cut < raw.len; cut += raw.len / 13 + 1) {
            assert_int_not_equal(hf_pkey_from_public(alg, hf_cursor(raw.at, cut), &back).code, HF_OK);
            assert_null(back);
        }
        struct hf_secret *none = NULL;
        must(hf_pkey_from_public(alg, cursor_of(&raw), &back));
        refused(hf_pkey_private(back, HF_PRIVATE_NATIVE, &none), HF_UNSUPPORTED);
        hf_pkey_free(back);
        hf_pkey_free(key);
    }
}

static void a_key_of_another_algorithm_is_refused(void **state)
{
    (void)state;
    static const enum hf_alg algs[] = {HF_ALG_ED25519,         HF_ALG_ECDSA_P256, HF_ALG_ECDSA_P384,
                                       HF_ALG_X25519,          HF_ALG_ML_KEM_512, HF_ALG_ML_KEM_768,
                                       HF_ALG_ML_DSA_44,       HF_ALG_ML_DSA_65,  HF_ALG_MLDSA65_ED25519,
                                       HF_ALG_MLDSA44_ED25519, HF_ALG_X_WING,     HF_ALG_SLH_DSA_SHA2_128F};
    for (size_t i = 0; i < HF_ARRAY_LEN(algs); i++) {
        struct hf_pkey *key = generate(algs[i]), *back = NULL;
        struct hf_secret *pkcs8 = NULL;
        uint8_t text[2 * HF_PUBLIC_MAX];
        struct hf_buf pem = hf_buf(text, sizeof(text));
        must(hf_pkey_private(key, HF_PRIVATE_PKCS8, &pkcs8));
        must(hf_pkey_public_pem(key, &pem));
        for (size_t j = 0; j < HF_ARRAY_LEN(algs); j++) {
            if (i == j)
                continue;
            refused(hf_pkey_from_private(algs[j], HF_PRIVATE_PKCS8, pkcs8, &back), HF_BAD_ARGUMENT);
            refused(hf_pkey_from_public(algs[j], hf_buf_cursor(&pem), &back), HF_BAD_ARGUMENT);
        }
        refused(hf_pkey_from_private(HF_ALG_RSA_2048, HF_PRIVATE_PKCS8, pkcs8, &back), HF_BAD_ARGUMENT);
        assert_null(back);
        hf_secret_free(pkcs8);
        hf_pkey_free(key);
    }
}

static void damaged_private_keys_are_refused(void **state)
{
    (void)state;
    static const enum hf_alg algs[] = {HF_ALG_RSA_2048,   HF_ALG_ECDSA_P256, HF_ALG_ED25519,
                                       HF_ALG_ML_KEM_768, HF_ALG_ML_DSA_65,  HF_ALG_MLDSA65_ED25519,
                                       HF_ALG_X_WING};
    for (size_t i = 0; i < HF_ARRAY_LEN(algs); i++) {
        struct hf_pkey *key = generate(algs[i]), *back = NULL;
        struct hf_secret *pkcs8 = NULL;
        struct hf_secret_view view = {0};
        must(hf_pkey_private(key, HF_PRIVATE_PKCS8, &pkcs8));
        must(hf_secret_view_open(pkcs8, &view));
        for (size_t cut = 1; cut < view.len; cut += view.len / 29 + 1) {
            struct hf_secret *part = test_secret(view.bytes, cut);
            refused(hf_pkey_from_private(algs[i], HF_PRIVATE_PKCS8, part, &back), HF_BAD_ARGUMENT);
            refused(hf_pkey_from_pkcs8(part, &back), HF_BAD_ARGUMENT);
            hf_secret_free(part);
        }
        /* Any altered byte gives another key or none: never a crash, never the same key. */
        for (size_t at = 0; at < view.len; at += view.len / 61 + 1) {
            view.bytes[at] ^= 0x11;
            if (HF_IS_OK(hf_pkey_from_private(algs[i], HF_PRIVATE_PKCS8, pkcs8, &back)))
                hf_pkey_freep(&back);
            view.bytes[at] ^= 0x11;
        }
        hf_secret_view_close(&view);
        hf_secret_free(pkcs8);
        hf_pkey_free(key);
    }
    /* A composite's Ed25519 half cut short; a seed of another length. */
    struct hf_secret *seed = NULL;
    struct hf_pkey *back = NULL;
    must(hf_random_secret(63, &seed));
    refused(hf_pkey_from_private(HF_ALG_MLDSA65_ED25519, HF_PRIVATE_NATIVE, seed, &back), HF_BAD_ARGUMENT);
    refused(hf_pkey_from_private(HF_ALG_ML_KEM_768, HF_PRIVATE_SEED, seed, &back), HF_BAD_ARGUMENT);
    refused(hf_pkey_from_private(HF_ALG_ML_KEM_768, HF_PRIVATE_RAW, seed, &back), HF_BAD_ARGUMENT);
    refused(hf_pkey_from_private(HF_ALG_X_WING, HF_PRIVATE_NATIVE, seed, &back), HF_BAD_ARGUMENT);
    refused(hf_pkey_from_private(HF_ALG_RSA_2048, HF_PRIVATE_RAW, seed, &back), HF_BAD_ARGUMENT);
    refused(hf_pkey_from_private(HF_ALG_AES256_GCM96, HF_PRIVATE_RAW, seed, &back), HF_BAD_ARGUMENT);
    hf_secret_free(seed);
}

static void an_expanded_key_with_a_foreign_half_is_refused(void **state)
{
    (void)state;
    /* FIPS 203 7.3: the hash of the encapsulation key inside the decapsulation key. */
    struct hf_pkey *key = generate(HF_ALG_ML_KEM_768), *back = NULL;
    struct hf_secret *raw = NULL;
    struct hf_secret_view view = {0};
    must(hf_pkey_private(key, HF_PRIVATE_RAW, &raw));
    must(hf_pkey_from_private(HF_ALG_ML_KEM_768, HF_PRIVATE_RAW, raw, &back));
    struct hf_secret *native = NULL;
    must(hf_pkey_private(back, HF_PRIVATE_NATIVE,
                         &native)); /* there is no seed: the expanded form is native */
    assert_true(hf_secret_equal(native, raw));
    hf_pkey_freep(&back);
    must(hf_pkey_from_private(HF_ALG_ML_KEM_768, HF_PRIVATE_NATIVE, native, &back));
    refused(hf_pkey_private(back, HF_PRIVATE_SEED, &native), HF_UNSUPPORTED);
    hf_pkey_freep(&back);
    must(hf_secret_view_open(raw, &view));
    view.bytes[1152 + 5] ^= 1; /* in the encapsulation key */
    refused(hf_pkey_from_private(HF_ALG_ML_KEM_768, HF_PRIVATE_RAW, raw, &back), HF_BAD_ARGUMENT);
    hf_secret_view_close(&view);
    hf_secret_free(native);
    hf_secret_free(raw);
    hf_pkey_free(key);
}

/* ---- signatures -------------------------------------------------------------------------------------------------------- */

static void every_signature_verifies_and_only_as_made(void **state)
{
    (void)state;
    static struct bytes signature;
    for (size_t i = 0; hf_alg_at(i) != NULL; i++) {
        const struct hf_alg_info *info = hf_alg_at(i);
        if ((info->uses & HF_USE_SIGN) == 0 || slow_to_make(info->alg) || slow_to_sign(info->alg))
            continue;
        struct hf_pkey *key = generate(info->alg), *other = generate(info->alg), *public_key = NULL;
        struct bytes raw;
        struct hf_sign_options options = {.hash = HF_SHA2_256, .rsa_salt_len = -1};
        struct hf_cursor message = hf_cursor_text("what is signed");
        public_of(key, &raw);
        must(hf_pkey_from_public(info->alg, cursor_of(&raw), &public_key));
        sign(key, &options, message, &signature);
        must(hf_pkey_verify(key, &options, message, cursor_of(&signature)));
        must(hf_pkey_verify(public_key, &options, message, cursor_of(&signature)));
        refused(hf_pkey_verify(other, &options, message, cursor_of(&signature)), HF_BAD_SIGNATURE);
        refused(hf_pkey_verify(key, &options, hf_cursor_text("what is sighed"), cursor_of(&signature)),
                HF_BAD_SIGNATURE);
        refused(hf_pkey_verify(key, &options, message, hf_cursor(signature.at, 0)), HF_BAD_SIGNATURE);
        refused(hf_pkey_verify(key, &options, message, hf_cursor(signature.at, signature.len - 1)),
                HF_BAD_SIGNATURE);
        signature.at[signature.len] = 0;
        refused(hf_pkey_verify(key, &options, message, hf_cursor(signature.at, signature.len + 1)),
                HF_BAD_SIGNATURE);
        size_t step = signature.len / (is_slh(info->alg) ? 7 : 97) + 1;
        for (size_t at = 0; at < signature.len; at += step) {
            signature.at[at] ^= 0x04;
            refused(hf_pkey_verify(key, &options, message, cursor_of(&signature)), HF_BAD_SIGNATURE);
            signature.at[at] ^= 0x04;
        }
        sign(key, &options, hf_cursor(NULL, 0), &signature); /* an empty message is one too */
        must(hf_pkey_verify(key, &options, hf_cursor(NULL, 0), cursor_of(&signature)));
        refused(hf_pkey_verify(key, &options, message, cursor_of(&signature)), HF_BAD_SIGNATURE);
        uint8_t none[8];
        struct hf_buf out = hf_buf(none, sizeof(none));
        refused(hf_pkey_sign(public_key, &options, message, &out), HF_UNSUPPORTED);
        refused(hf_pkey_sign(key, &options, message, &out), HF_TOO_LARGE);
        assert_int_equal(out.len, 0);
        hf_pkey_free(key);
        hf_pkey_free(other);
        hf_pkey_free(public_key);
    }
}

static void contexts_separate(void **state)
{
    (void)state;
    static const enum hf_alg algs[] = {HF_ALG_ED25519, HF_ALG_ML_DSA_44, HF_ALG_SLH_DSA_SHA2_128F,
                                       HF_ALG_MLDSA65_ED25519, HF_ALG_MLDSA44_ECDSA_P256};
    static struct bytes signature;
    static const uint8_t long_context[256];
    for (size_t i = 0; i < HF_ARRAY_LEN(algs); i++) {
        struct hf_pkey *key = generate(algs[i]);
        struct hf_cursor message = hf_cursor_text("message");
        struct hf_sign_options one = {.context = hf_cursor_text("one")};
        struct hf_sign_options two = {.context = hf_cursor_text("two")}, none = {0};
        struct hf_sign_options longest = {.context = hf_cursor(long_context, 255)};
        struct hf_sign_options too_long = {.context = hf_cursor(long_context, 256)};
        sign(key, &one, message, &signature);
        must(hf_pkey_verify(key, &one, message, cursor_of(&signature)));
        refused(hf_pkey_verify(key, &two, message, cursor_of(&signature)), HF_BAD_SIGNATURE);
        refused(hf_pkey_verify(key, &none, message, cursor_of(&signature)), HF_BAD_SIGNATURE);
        sign(key, &longest, message, &signature);
        must(hf_pkey_verify(key, &longest, message, cursor_of(&signature)));
        struct hf_buf out = hf_buf(signature.at, sizeof(signature.at));
        refused(hf_pkey_sign(key, &too_long, message, &out), HF_BAD_ARGUMENT);
        refused(hf_pkey_verify(key, &too_long, message, cursor_of(&signature)), HF_BAD_ARGUMENT);
        hf_pkey_free(key);
    }
    struct hf_pkey *key = generate(HF_ALG_ECDSA_P256); /* has no contexts: never silently dropped */
    struct hf_sign_options one = {.hash = HF_SHA2_256, .context = hf_cursor_text("one")};
    struct hf_buf out = hf_buf(signature.at, sizeof(signature.at));
    refused(hf_pkey_sign(key, &one, hf_cursor_text("m"), &out), HF_BAD_ARGUMENT);
    hf_pkey_free(key);
}

/* @proves FIPS204:5.4 */
static void prehashed_input_signs_in_its_own_mode(void **state)
{
    (void)state;
    static const enum hf_alg algs[] = {HF_ALG_ED25519, HF_ALG_ML_DSA_65, HF_ALG_SLH_DSA_SHAKE_128F};
    static struct bytes signature;
    uint8_t digest[64];
    struct hf_cursor message = hf_cursor_text("message");
    must(hf_hash_parts(HF_SHA2_512, &message, 1, digest));
    struct hf_cursor hashed = hf_cursor(digest, sizeof(digest));
    struct hf_sign_options ph = {.hash = HF_SHA2_512, .prehashed = true}, pure = {.hash = HF_SHA2_512};
    for (size_t i = 0; i < HF_ARRAY_LEN(algs); i++) {
        struct hf_pkey *key = generate(algs[i]);
        sign(key, &ph, hashed, &signature);
        must(hf_pkey_verify(key, &ph, hashed, cursor_of(&signature)));
        refused(hf_pkey_verify(key, &pure, hashed, cursor_of(&signature)), HF_BAD_SIGNATURE);
        refused(hf_pkey_verify(key, &pure, message, cursor_of(&signature)), HF_BAD_SIGNATURE);
        struct hf_sign_options with_context = ph;
        with_context.context = hf_cursor_text("c");
        refused(hf_pkey_verify(key, &with_context, hashed, cursor_of(&signature)), HF_BAD_SIGNATURE);
        sign(key, &with_context, hashed, &signature);
        must(hf_pkey_verify(key, &with_context, hashed, cursor_of(&signature)));
        struct hf_buf out = hf_buf(signature.at, sizeof(signature.at));
        refused(hf_pkey_sign(key, &ph, hf_cursor(digest, 63), &out), HF_BAD_ARGUMENT);
        struct hf_sign_options other_hash = {.hash = HF_SHA3_512, .prehashed = true};
        if (algs[i] != HF_ALG_ED25519) { /* the OID of the hash is signed too */
            sign(key, &other_hash, hashed, &signature);
            refused(hf_pkey_verify(key, &ph, hashed, cursor_of(&signature)), HF_BAD_SIGNATURE);
        } else {
            refused(hf_pkey_sign(key, &other_hash, hashed, &out), HF_BAD_ARGUMENT);
        }
        hf_pkey_free(key);
    }
    /* ECDSA, RSA and composites hash anyway: the digest in place of the message is the same signature. */
    static const enum hf_alg same[] = {HF_ALG_ECDSA_P256, HF_ALG_RSA_2048, HF_ALG_MLDSA65_ED25519};
    for (size_t i = 0; i < HF_ARRAY_LEN(same); i++) {
        struct hf_pkey *key = generate(same[i]);
        ph.rsa_salt_len = pure.rsa_salt_len = -1;
        sign(key, &ph, hashed, &signature);
        must(hf_pkey_verify(key, &pure, message, cursor_of(&signature)));
        hf_pkey_free(key);
    }
}

static struct hf_cursor hex(const char *text, struct bytes *memory)
{
    struct hf_buf out = hf_buf(memory->at, sizeof(memory->at));
    must(hf_hex_decode(&out, hf_cursor_text(text)));
    return hf_buf_cursor(&out);
}

/* RFC 8032 7.2 (context "foo") and 7.3 (pre-hashed "abc"). */
static void ed25519_variants_give_the_published_values(void **state)
{
    (void)state;
    static struct bytes key_bytes, message_bytes, expected_bytes, signature;
    struct hf_pkey *key = NULL;
    struct hf_cursor raw =
        hex("0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6", &key_bytes);
    struct hf_secret *secret = test_secret(raw.at, raw.left);
    struct hf_sign_options with_context = {.context = hf_cursor_text("foo")};
    must(hf_pkey_from_private(HF_ALG_ED25519, HF_PRIVATE_RAW, secret, &key));
    sign(key, &with_context, hex("f726936d19c800494e3fdaff20b276a8", &message_bytes), &signature);
    struct hf_cursor expected = hex("55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a"
                                    "8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d",
                                    &expected_bytes);
    assert_memory_equal(signature.at, expected.at, 64);
    hf_pkey_freep(&key);
    hf_secret_freep(&secret);

    raw = hex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42", &key_bytes);
    secret = test_secret(raw.at, raw.left);
    must(hf_pkey_from_private(HF_ALG_ED25519, HF_PRIVATE_RAW, secret, &key));
    struct hf_sign_options ph = {.hash = HF_SHA2_512, .prehashed = true};
    struct hf_cursor abc = hf_cursor_text("abc");
    uint8_t digest[64];
    must(hf_hash_parts(HF_SHA2_512, &abc, 1, digest));
    sign(key, &ph, hf_cursor(digest, 64), &signature);
    expected = hex("98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
                   "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
                   &expected_bytes);
    assert_memory_equal(signature.at, expected.at, 64);
    hf_pkey_free(key);
    hf_secret_free(secret);
}

static void deterministic_signatures_repeat_and_others_do_not(void **state)
{
    (void)state;
    static const enum hf_alg algs[] = {HF_ALG_ML_DSA_44, HF_ALG_ML_DSA_87, HF_ALG_SLH_DSA_SHA2_128F};
    static struct bytes one, two;
    for (size_t i = 0; i < HF_ARRAY_LEN(algs); i++) {
        struct hf_pkey *key = generate(algs[i]);
        struct hf_sign_options fixed = {.deterministic = true}, hedged = {0};
        sign(key, &fixed, hf_cursor_text("m"), &one);
        sign(key, &fixed, hf_cursor_text("m"), &two);
        assert_memory_equal(one.at, two.at, one.len);
        sign(key, &hedged, hf_cursor_text("m"), &two);
        assert_memory_not_equal(one.at, two.at, one.len);
        hf_pkey_free(key);
    }
}

static void ecdsa_signatures_have_both_encodings(void **state)
{
    (void)state;
    static const struct {
        enum hf_alg alg;
        size_t field;
    } curves[] = {{HF_ALG_ECDSA_P256, 32}, {HF_ALG_ECDSA_P384, 48}, {HF_ALG_ECDSA_P521, 66}};
    static struct bytes raw, der;
    for (size_t i = 0; i < HF_ARRAY_LEN(curves); i++) {
        struct hf_pkey *key = generate(curves[i].alg);
        struct hf_sign_options as_raw = {.hash = HF_SHA2_384, .ecdsa_raw = true},
                               as_der = {.hash = HF_SHA2_384};
        for (int turn = 0; turn < 20; turn++) { /* leading zeros come about */
            sign(key, &as_raw, hf_cursor_text("m"), &raw);
            assert_int_equal(raw.len, 2 * curves[i].field);
            must(hf_pkey_verify(key, &as_raw, hf_cursor_text("m"), cursor_of(&raw)));
            sign(key, &as_der, hf_cursor_text("m"), &der);
            assert_int_equal(der.at[0], 0x30);
            must(hf_pkey_verify(key, &as_der, hf_cursor_text("m"), cursor_of(&der)));
            refused(hf_pkey_verify(key, &as_der, hf_cursor_text("m"), cursor_of(&raw)), HF_BAD_SIGNATURE);
            refused(hf_pkey_verify(key, &as_raw, hf_cursor_text("m"), cursor_of(&der)), HF_BAD_SIGNATURE);
        }
        memset(raw.at, 0, raw.len); /* r = s = 0 */
        refused(hf_pkey_verify(key, &as_raw, hf_cursor_text("m"), cursor_of(&raw)), HF_BAD_SIGNATURE);
        hf_pkey_free(key);
    }
}

static void rsa_pads_as_asked(void **state)
{
    (void)state;
    static struct bytes signature;
    struct hf_pkey *key = generate(HF_ALG_RSA_2048);
    struct hf_cursor m = hf_cursor_text("m");
    struct hf_sign_options pss = {.hash = HF_SHA2_256, .rsa_salt_len = -1},
                           pkcs1 = {.hash = HF_SHA2_256, .rsa_pkcs1v15 = true};
    struct hf_sign_options salt_20 = {.hash = HF_SHA2_256, .rsa_salt_len = 20};
    struct hf_sign_options salt_max = {.hash = HF_SHA2_256, .rsa_salt_len = -2};
    struct hf_sign_options salt_32 = {.hash = HF_SHA2_256, .rsa_salt_len = 32};
    struct hf_sign_options salt_222 = {.hash = HF_SHA2_256, .rsa_salt_len = 222};
    struct hf_sign_options salt_223 = {.hash = HF_SHA2_256, .rsa_salt_len = 223};
    sign(key, &pss, m, &signature);
    must(hf_pkey_verify(key, &pss, m, cursor_of(&signature)));
    must(hf_pkey_verify(key, &salt_32, m, cursor_of(&signature)));
    refused(hf_pkey_verify(key, &salt_20, m, cursor_of(&signature)), HF_BAD_SIGNATURE);
    refused(hf_pkey_verify(key, &pkcs1, m, cursor_of(&signature)), HF_BAD_SIGNATURE);
    sign(key, &salt_max, m, &signature);
    must(hf_pkey_verify(key, &salt_222, m, cursor_of(&signature))); /* 256 - 32 - 2 */
    must(hf_pkey_verify(key, &pss, m, cursor_of(&signature)));
    sign(key, &pkcs1, m, &signature);
    must(hf_pkey_verify(key, &pkcs1, m, cursor_of(&signature)));
    refused(hf_pkey_verify(key, &pss, m, cursor_of(&signature)), HF_BAD_SIGNATURE);
    struct hf_buf out = hf_buf(signature.at, sizeof(signature.at));
    refused(hf_pkey_sign(key, &salt_223, m, &out), HF_BAD_ARGUMENT);
    struct hf_sign_options nonsense = {.hash = HF_SHA2_256, .rsa_salt_len = -3};
    refused(hf_pkey_sign(key, &nonsense, m, &out), HF_BAD_ARGUMENT);
    hf_pkey_free(key);
}

static void a_composite_needs_both_halves(void **state)
{
    (void)state;
    static struct bytes mixed, one, two;
    struct hf_pkey *key = generate(HF_ALG_MLDSA65_ED25519);
    sign(key, NULL, hf_cursor_text("first"), &one);
    sign(key, NULL, hf_cursor_text("second"), &two);
    memcpy(mixed.at, one.at, 3309);
    memcpy(mixed.at + 3309, two.at + 3309, 64);
    mixed.len = one.len;
    refused(hf_pkey_verify(key, NULL, hf_cursor_text("first"), cursor_of(&mixed)), HF_BAD_SIGNATURE);
    refused(hf_pkey_verify(key, NULL, hf_cursor_text("second"), cursor_of(&mixed)), HF_BAD_SIGNATURE);
    refused(hf_pkey_verify(key, NULL, hf_cursor_text("first"), hf_cursor(one.at, 3309)), HF_BAD_SIGNATURE);
    /* A half signature is no signature of that half's own algorithm. */
    struct bytes raw;
    struct hf_pkey *half = NULL;
    public_of(key, &raw);
    must(hf_pkey_from_public(HF_ALG_ML_DSA_65, hf_cursor(raw.at, 1952), &half));
    refused(hf_pkey_verify(half, NULL, hf_cursor_text("first"), hf_cursor(one.at, 3309)), HF_BAD_SIGNATURE);
    hf_pkey_free(half);
    hf_pkey_free(key);
}

/* ---- encapsulation, agreement, encryption ------------------------------------------------------------------------------ */

static void both_sides_share_a_secret(void **state)
{
    (void)state;
    static struct bytes ct;
    for (size_t i = 0; hf_alg_at(i) != NULL; i++) {
        const struct hf_alg_info *info = hf_alg_at(i);
        if ((info->uses & HF_USE_KEM) == 0)
            continue;
        struct hf_pkey *key = generate(info->alg), *other = generate(info->alg), *public_key = NULL;
        struct hf_secret *sent = NULL, *received = NULL, *foreign = NULL;
        struct bytes raw;
        public_of(key, &raw);
        must(hf_pkey_from_public(info->alg, cursor_of(&raw), &public_key));
        struct hf_buf out = hf_buf(ct.at, HF_KEM_CT_MAX);
        must(hf_pkey_encapsulate(public_key, &out, &sent));
        ct.len = out.len;
        must(hf_pkey_decapsulate(key, cursor_of(&ct), &received));
        assert_true(hf_secret_equal(sent, received));
        assert_int_equal(hf_secret_len(sent), info->alg == HF_ALG_X25519MLKEM768 ? 64
                                              : info->alg == HF_ALG_ECDH_P384    ? 48
                                                                                 : 32);
        must(hf_pkey_decapsulate(other, cursor_of(&ct), &foreign));
        assert_false(hf_secret_equal(sent, foreign));
        hf_secret_freep(&foreign);
        ct.at[ct.len / 2] ^= 1; /* implicit rejection, another point, or a refusal: never the secret */
        hf_result got = hf_pkey_decapsulate(key, cursor_of(&ct), &foreign);
        if (HF_IS_OK(got))
            assert_false(hf_secret_equal(sent, foreign));
        hf_secret_freep(&foreign);
        ct.at[ct.len / 2] ^= 1;
        for (size_t cut = 0; cut < ct.len; cut += ct.len / 9 + 1)
            refused(hf_pkey_decapsulate(key, hf_cursor(ct.at, cut), &foreign), HF_BAD_CIPHERTEXT);
        refused(hf_pkey_decapsulate(key, hf_cursor(ct.at, ct.len + 1), &foreign), HF_BAD_CIPHERTEXT);
        refused(hf_pkey_decapsulate(public_key, cursor_of(&ct), &foreign), HF_UNSUPPORTED);
        struct hf_buf tight = hf_buf(ct.at, ct.len - 1);
        refused(hf_pkey_encapsulate(public_key, &tight, &foreign), HF_TOO_LARGE);
        assert_int_equal(tight.len, 0);
        assert_null(foreign);
        hf_secret_free(sent);
        hf_secret_free(received);
        hf_pkey_free(public_key);
        hf_pkey_free(other);
        hf_pkey_free(key);
    }
}

static void both_sides_agree(void **state)
{
    (void)state;
    static const enum hf_alg algs[] = {HF_ALG_X25519, HF_ALG_ECDH_P256, HF_ALG_ECDH_P384};
    for (size_t i = 0; i < HF_ARRAY_LEN(algs); i++) {
        struct hf_pkey *a = generate(algs[i]), *b = generate(algs[i]);
        struct hf_secret *ours = NULL, *theirs = NULL;
        struct bytes pa, pb;
        static const uint8_t zeros[133];
        public_of(a, &pa);
        public_of(b, &pb);
        must(hf_pkey_agree(a, cursor_of(&pb), &ours));
        must(hf_pkey_agree(b, cursor_of(&pa), &theirs));
        assert_true(hf_secret_equal(ours, theirs));
        hf_secret_freep(&theirs);
        refused(hf_pkey_agree(a, hf_cursor(zeros, pb.len), &theirs), HF_BAD_PEER_KEY);
        refused(hf_pkey_agree(a, hf_cursor(pb.at, pb.len - 1), &theirs), HF_BAD_PEER_KEY);
        refused(hf_pkey_agree(a, hf_cursor(zeros, 1), &theirs), HF_BAD_PEER_KEY); /* the point at infinity */
        if (algs[i] != HF_ALG_X25519) {
            pb.at[pb.len - 1] ^= 1; /* off the curve */
            refused(hf_pkey_agree(a, cursor_of(&pb), &theirs), HF_BAD_PEER_KEY);
        }
        hf_secret_free(ours);
        hf_pkey_free(a);
        hf_pkey_free(b);
    }
}

static void keys_do_only_what_they_are_for(void **state)
{
    (void)state;
    struct hf_pkey *kem = generate(HF_ALG_ML_KEM_768), *dsa = generate(HF_ALG_ML_DSA_65);
    struct hf_pkey *ecdsa = generate(HF_ALG_ECDSA_P256), *ecdh = generate(HF_ALG_ECDH_P256);
    struct hf_pkey *ed = generate(HF_ALG_ED25519), *x = generate(HF_ALG_X25519);
    struct hf_pkey *const cannot_sign[] = {kem, ecdh, x};
    struct hf_pkey *const cannot_share[] = {dsa, ecdsa, ed};
    static struct bytes memory;
    struct hf_secret *none = NULL;
    struct hf_sign_options options = {.hash = HF_SHA2_256};
    for (size_t i = 0; i < 3; i++) {
        struct hf_buf out = hf_buf(memory.at, sizeof(memory.at));
        refused(hf_pkey_sign(cannot_sign[i], &options, hf_cursor_text("m"), &out), HF_UNSUPPORTED);
        refused(hf_pkey_verify(cannot_sign[i], &options, hf_cursor_text("m"), hf_cursor(memory.at, 64)),
                HF_UNSUPPORTED);
        refused(hf_pkey_encapsulate(cannot_share[i], &out, &none), HF_UNSUPPORTED);
        refused(hf_pkey_decapsulate(cannot_share[i], hf_cursor(memory.at, 32), &none), HF_UNSUPPORTED);
        refused(hf_pkey_agree(cannot_share[i], hf_cursor(memory.at, 32), &none), HF_UNSUPPORTED);
        refused(hf_pkey_oaep_encrypt(cannot_share[i], HF_SHA2_256, hf_cursor_text("m"), &out),
                HF_UNSUPPORTED);
        refused(hf_pkey_oaep_decrypt(cannot_share[i], HF_SHA2_256, hf_cursor(memory.at, 256), &none),
                HF_UNSUPPORTED);
    }
    refused(hf_pkey_agree(kem, hf_cursor(memory.at, 1184), &none), HF_UNSUPPORTED);
    hf_pkey_free(kem);
    hf_pkey_free(dsa);
    hf_pkey_free(ecdsa);
    hf_pkey_free(ecdh);
    hf_pkey_free(ed);
    hf_pkey_free(x);
}

static void oaep_opens_only_what_it_sealed(void **state)
{
    (void)state;
    static struct bytes sealed;
    struct hf_pkey *key = generate(HF_ALG_RSA_2048);
    struct hf_secret *back = NULL;
    static const uint8_t long_plain[191];
    struct hf_buf out = hf_buf(sealed.at, sizeof(sealed.at));
    must(hf_pkey_oaep_encrypt(key, HF_SHA2_256, hf_cursor_text("a data key"), &out));
    must(hf_pkey_oaep_decrypt(key, HF_SHA2_256, hf_buf_cursor(&out), &back));
    assert_secret(back, "a data key", 10);
    hf_secret_freep(&back);
    refused(hf_pkey_oaep_decrypt(key, HF_SHA2_512, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
    for (size_t at = 0; at < out.len; at += 17) {
        sealed.at[at] ^= 1;
        refused(hf_pkey_oaep_decrypt(key, HF_SHA2_256, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
        sealed.at[at] ^= 1;
    }
    refused(hf_pkey_oaep_decrypt(key, HF_SHA2_256, hf_cursor(sealed.at, out.len - 1), &back),
            HF_BAD_CIPHERTEXT);
    out.len = 0;
    must(hf_pkey_oaep_encrypt(key, HF_SHA2_256, hf_cursor(long_plain, 190), &out));
    refused(hf_pkey_oaep_encrypt(key, HF_SHA2_256, hf_cursor(long_plain, 191), &out), HF_TOO_LARGE);
    refused(hf_pkey_oaep_encrypt(key, HF_SHA2_256, hf_cursor(NULL, 0), &out), HF_BAD_ARGUMENT);
    hf_pkey_free(key);
}

static void hpke_opens_only_what_it_sealed(void **state)
{
    (void)state;
    static struct bytes sealed;
    struct hf_pkey *key = generate(HF_ALG_X_WING), *other = generate(HF_ALG_X_WING),
                   *kem = generate(HF_ALG_ML_KEM_768);
    struct hf_secret *plain = test_secret("a backup key", 12), *back = NULL;
    struct hf_cursor info = hf_cursor_text("info"), ad = hf_cursor_text("ad");
    struct hf_buf out = hf_buf(sealed.at, sizeof(sealed.at));
    must(hf_hpke_seal(key, info, ad, plain, &out));
    assert_int_equal(out.len, 1120 + 12 + 16);
    must(hf_hpke_open(key, info, ad, hf_buf_cursor(&out), &back));
    assert_secret(back, "a backup key", 12);
    hf_secret_freep(&back);
    refused(hf_hpke_open(other, info, ad, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
    refused(hf_hpke_open(key, ad, ad, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
    refused(hf_hpke_open(key, info, info, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
    for (size_t at = 0; at < out.len; at += 41) {
        sealed.at[at] ^= 1;
        refused(hf_hpke_open(key, info, ad, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
        sealed.at[at] ^= 1;
    }
    for (size_t cut = 0; cut < out.len; cut += 37)
        refused(hf_hpke_open(key, info, ad, hf_cursor(sealed.at, cut), &back), HF_BAD_CIPHERTEXT);
    refused(hf_hpke_seal(kem, info, ad, plain, &out), HF_UNSUPPORTED);
    assert_null(back);
    hf_secret_free(plain);
    hf_pkey_free(key);
    hf_pkey_free(other);
    hf_pkey_free(kem);
}

/* ---- threads --------------------------------------------------------------------------------------------------------------- */

static void *signs_and_verifies(void *argument)
{
    struct hf_pkey **keys = argument;
    struct hf_sign_options options = {.hash = HF_SHA2_256};
    for (int turn = 0; turn < 60; turn++) {
        struct hf_pkey *key = hf_pkey_ref(keys[turn % 3]);
        uint8_t memory[4000];
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        bool ok = HF_IS_OK(hf_pkey_sign(key, &options, hf_cursor_text("m"), &out)) &&
                  HF_IS_OK(hf_pkey_verify(key, &options, hf_cursor_text("m"), hf_buf_cursor(&out)));
        hf_pkey_free(key);
        if (!ok)
            return argument;
    }
    return NULL;
}

static void many_threads_use_a_key(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct hf_pkey *keys[3] = {generate(HF_ALG_ED25519), generate(HF_ALG_ECDSA_P256),
                               generate(HF_ALG_MLDSA65_ED25519)};
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, signs_and_verifies, keys), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    for (size_t i = 0; i < 3; i++)
        hf_pkey_free(keys[i]);
}

static void nothing_is_left_alive(void **state)
{
    (void)state;
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    assert_int_equal(report.secrets_alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_private_form_comes_back),
        cmocka_unit_test(native_private_lengths_are_those_of_the_standards),
        cmocka_unit_test(every_public_form_comes_back),
        cmocka_unit_test(a_key_of_another_algorithm_is_refused),
        cmocka_unit_test(damaged_private_keys_are_refused),
        cmocka_unit_test(an_expanded_key_with_a_foreign_half_is_refused),
        cmocka_unit_test(every_signature_verifies_and_only_as_made),
        cmocka_unit_test(contexts_separate),
        cmocka_unit_test(prehashed_input_signs_in_its_own_mode),
        cmocka_unit_test(ed25519_variants_give_the_published_values),
        cmocka_unit_test(deterministic_signatures_repeat_and_others_do_not),
        cmocka_unit_test(ecdsa_signatures_have_both_encodings),
        cmocka_unit_test(rsa_pads_as_asked),
        cmocka_unit_test(a_composite_needs_both_halves),
        cmocka_unit_test(both_sides_share_a_secret),
        cmocka_unit_test(both_sides_agree),
        cmocka_unit_test(keys_do_only_what_they_are_for),
        cmocka_unit_test(oaep_opens_only_what_it_sealed),
        cmocka_unit_test(hpke_opens_only_what_it_sealed),
        cmocka_unit_test(many_threads_use_a_key),
        cmocka_unit_test(nothing_is_left_alive),
    };
    must(hf_crypto_start(HF_CRYPTO_HEAP_ARENA));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
