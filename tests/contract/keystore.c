/* What every keystore does. Each implementation stands in `keystores`; a capability that one does not claim is not asked
 * of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "keystore/keystore.h"

static const struct {
    const char *name;
    hf_result (*open)(struct hf_keystore **ret);
} keystores[] = {
    {"software", hf_keystore_software_open},
};
enum { BLOB = HF_PRIVATE_MAX + 64 };

struct bench {
    struct hf_keystore *store;
    struct hf_secret *kek, *other_kek;
};
static size_t at; /* which keystore */

static int open_bench(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    assert_int_equal(keystores[at].open(&b->store).code, HF_OK);
    assert_int_equal(hf_secret_random(32, &b->kek).code, HF_OK);
    assert_int_equal(hf_secret_random(32, &b->other_kek).code, HF_OK);
    *state = b;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *b = *state;
    hf_secret_free(b->kek);
    hf_secret_free(b->other_kek);
    b->store->ops->close(b->store);
    free(b);
    return 0;
}

static struct hf_keystore_capability can(struct bench *b, enum hf_alg alg)
{
    struct hf_keystore_capability capability = {0};
    assert_int_equal(b->store->ops->capability(b->store, alg, &capability).code, HF_OK);
    return capability;
}

static struct hf_kskey *load(struct bench *b, enum hf_alg alg, struct hf_cursor blob)
{
    struct hf_kskey *key = NULL;
    assert_int_equal(b->store->ops->load(b->store, b->kek, alg, blob, &key).code, HF_OK);
    assert_non_null(key);
    assert_int_equal(key->alg, alg);
    return key;
}

static struct hf_kskey *fresh(struct bench *b, enum hf_alg alg, struct hf_buf *blob)
{
    assert_int_equal(b->store->ops->generate(b->store, b->kek, alg, 0, blob).code, HF_OK);
    assert_int_equal(hf_buf_ok(blob).code, HF_OK);
    return load(b, alg, hf_buf_cursor(blob));
}

static bool slow(enum hf_alg alg) /* to generate or to sign with */
{
    return alg == HF_ALG_RSA_4096 || (alg >= HF_ALG_SLH_DSA_SHA2_128S && alg <= HF_ALG_SLH_DSA_SHAKE_256F &&
                                      alg != HF_ALG_SLH_DSA_SHA2_128F);
}

static void every_sealing_key_opens_what_it_sealed(void **state)
{
    struct bench *b = *state;
    const struct hf_alg_info *info;
    for (size_t i = 0; (info = hf_alg_at(i)) != NULL; i++) {
        if (!(can(b, info->alg).uses & HF_USE_SEAL) || !can(b, info->alg).generate || slow(info->alg))
            continue;
        uint8_t space[BLOB], sealed_space[1024], plain_space[512];
        struct hf_buf blob = hf_buf(space, sizeof space), sealed = hf_buf(sealed_space, sizeof sealed_space);
        struct hf_buf plain = hf_buf(plain_space, sizeof plain_space);
        struct hf_kskey *key = fresh(b, info->alg, &blob);
        struct hf_cursor text = hf_cursor_text("what is sealed"), ad = hf_cursor_text("beside it");
        if (info->asymmetric) {
            struct hf_secret *opened = NULL;
            assert_int_equal(key->ops->asym_encrypt(key, HF_SHA2_256, text, &sealed).code, HF_OK);
            assert_int_equal(key->ops->asym_decrypt(key, HF_SHA2_256, hf_buf_cursor(&sealed), &opened).code,
                             HF_OK);
            assert_int_equal(hf_secret_len(opened), text.left);
            hf_secret_free(opened);
        } else {
            assert_int_equal(key->ops->seal(key, text, ad, &sealed).code, HF_OK);
            assert_int_equal(sealed.len, text.left + info->nonce_bytes + info->tag_bytes);
            assert_int_equal(key->ops->open(key, hf_buf_cursor(&sealed), ad, &plain).code, HF_OK);
            assert_true(hf_cursor_same(hf_buf_cursor(&plain), text));
            plain.len = 0;
            assert_int_equal(
                key->ops->open(key, hf_buf_cursor(&sealed), hf_cursor_text("other"), &plain).code,
                HF_BAD_CIPHERTEXT);
            sealed.at[sealed.len - 1] ^= 1;
            plain.len = 0;
            assert_int_equal(key->ops->open(key, hf_buf_cursor(&sealed), ad, &plain).code, HF_BAD_CIPHERTEXT);
        }
        hf_kskey_unref(key);
    }
}

static void every_signing_key_verifies_what_it_signed(void **state)
{
    struct bench *b = *state;
    const struct hf_alg_info *info;
    uint8_t *signature_space = malloc(HF_SIGNATURE_MAX);
    assert_non_null(signature_space);
    for (size_t i = 0; (info = hf_alg_at(i)) != NULL; i++) {
        if (!(can(b, info->alg).uses & HF_USE_SIGN) || slow(info->alg))
            continue;
        uint8_t space[BLOB];
        struct hf_buf blob = hf_buf(space, sizeof space),
                      signature = hf_buf(signature_space, HF_SIGNATURE_MAX);
        struct hf_kskey *key = fresh(b, info->alg, &blob);
        struct hf_sign_options options = {.hash = HF_SHA2_256, .rsa_salt_len = -1};
        struct hf_cursor text = hf_cursor_text("what is signed");
        assert_int_equal(key->ops->sign(key, &options, text, &signature).code, HF_OK);
        assert_int_equal(key->ops->verify(key, &options, text, hf_buf_cursor(&signature)).code, HF_OK);
        assert_int_equal(
            key->ops->verify(key, &options, hf_cursor_text("else"), hf_buf_cursor(&signature)).code,
            HF_BAD_SIGNATURE);
        hf_kskey_unref(key);
    }
    free(signature_space);
}

static void every_kem_key_agrees_with_itself(void **state)
{
    struct bench *b = *state;
    const struct hf_alg_info *info;
    for (size_t i = 0; (info = hf_alg_at(i)) != NULL; i++) {
        if (!(can(b, info->alg).uses & HF_USE_KEM))
            continue;
        uint8_t space[BLOB], ct_space[HF_KEM_CT_MAX];
        struct hf_buf blob = hf_buf(space, sizeof space), ct = hf_buf(ct_space, sizeof ct_space);
        struct hf_kskey *key = fresh(b, info->alg, &blob);
        struct hf_secret *ours = NULL, *theirs = NULL;
        assert_int_equal(key->ops->encapsulate(key, &ct, &theirs).code, HF_OK);
        assert_int_equal(key->ops->decapsulate(key, hf_buf_cursor(&ct), &ours).code, HF_OK);
        assert_true(hf_secret_equal(ours, theirs));
        hf_secret_free(ours);
        hf_secret_free(theirs);
        assert_int_equal(key->ops->decapsulate(key, hf_cursor(ct.at, ct.len - 1), &ours).code,
                         HF_BAD_CIPHERTEXT);
        hf_kskey_unref(key);
    }
}

static void a_blob_is_nothing_without_its_kek(void **state)
{
    struct bench *b = *state;
    uint8_t space[BLOB];
    struct hf_buf blob = hf_buf(space, sizeof space);
    struct hf_kskey *key = fresh(b, HF_ALG_AES256_GCM96, &blob), *other = NULL;
    hf_kskey_unref(key);
    assert_int_equal(
        b->store->ops->load(b->store, b->other_kek, HF_ALG_AES256_GCM96, hf_buf_cursor(&blob), &other).code,
        HF_CORRUPT);
    assert_int_equal(
        b->store->ops->load(b->store, b->kek, HF_ALG_XAES256_GCM, hf_buf_cursor(&blob), &other).code,
        HF_CORRUPT);
    for (size_t i = 0; i < blob.len; i++) {
        space[i] ^= 0x20;
        assert_int_not_equal(
            b->store->ops->load(b->store, b->kek, HF_ALG_AES256_GCM96, hf_buf_cursor(&blob), &other).code,
            HF_OK);
        space[i] ^= 0x20;
    }
    for (size_t cut = 0; cut < blob.len; cut++)
        assert_int_equal(
            b->store->ops->load(b->store, b->kek, HF_ALG_AES256_GCM96, hf_cursor(space, cut), &other).code,
            HF_CORRUPT);
}

static void a_blob_moves_to_another_kek_without_change(void **state)
{
    struct bench *b = *state;
    uint8_t space[BLOB], moved_space[BLOB], sealed_space[128], plain_space[64];
    struct hf_buf blob = hf_buf(space, sizeof space), moved = hf_buf(moved_space, sizeof moved_space);
    struct hf_buf sealed = hf_buf(sealed_space, sizeof sealed_space),
                  plain = hf_buf(plain_space, sizeof plain_space);
    struct hf_kskey *key = fresh(b, HF_ALG_AES256_GCM96, &blob), *again = NULL;
    assert_int_equal(key->ops->seal(key, hf_cursor_text("before"), hf_cursor("", 0), &sealed).code, HF_OK);
    assert_int_equal(b->store->ops->rewrap(b->store, b->kek, b->other_kek, hf_buf_cursor(&blob), &moved).code,
                     HF_OK);
    assert_int_equal(
        b->store->ops->load(b->store, b->other_kek, HF_ALG_AES256_GCM96, hf_buf_cursor(&moved), &again).code,
        HF_OK);
    assert_int_equal(again->ops->open(again, hf_buf_cursor(&sealed), hf_cursor("", 0), &plain).code, HF_OK);
    assert_true(hf_cursor_is(hf_buf_cursor(&plain), "before"));
    assert_int_equal(b->store->ops->rewrap(b->store, b->other_kek, b->kek, hf_buf_cursor(&blob), &moved).code,
                     HF_CORRUPT);
    hf_kskey_unref(key);
    hf_kskey_unref(again);
}

static void what_was_exported_imports(void **state)
{
    struct bench *b = *state;
    static const enum hf_alg algs[] = {HF_ALG_AES256_GCM96,    HF_ALG_HMAC,      HF_ALG_ED25519,
                                       HF_ALG_ECDSA_P256,      HF_ALG_ML_DSA_65, HF_ALG_ML_KEM_768,
                                       HF_ALG_MLDSA65_ED25519, HF_ALG_X_WING};
    for (size_t i = 0; i < HF_ARRAY_LEN(algs); i++) {
        if (!can(b, algs[i]).export_plain || !can(b, algs[i]).import)
            continue;
        uint8_t space[BLOB], again_space[BLOB], pub_a[HF_PUBLIC_MAX], pub_b[HF_PUBLIC_MAX];
        struct hf_buf blob = hf_buf(space, sizeof space),
                      again_blob = hf_buf(again_space, sizeof again_space);
        struct hf_kskey *key = fresh(b, algs[i], &blob);
        struct hf_secret *material = NULL, *second = NULL;
        assert_int_equal(key->ops->export_plain(key, HF_PRIVATE_NATIVE, &material).code, HF_OK);
        assert_int_equal(
            b->store->ops->import(b->store, b->kek, algs[i], HF_PRIVATE_NATIVE, material, &again_blob).code,
            HF_OK);
        struct hf_kskey *again = load(b, algs[i], hf_buf_cursor(&again_blob));
        assert_int_equal(again->ops->export_plain(again, HF_PRIVATE_NATIVE, &second).code, HF_OK);
        assert_true(hf_secret_equal(material, second));
        if (hf_alg_info(algs[i])->asymmetric) {
            struct hf_buf a = hf_buf(pub_a, sizeof pub_a), c = hf_buf(pub_b, sizeof pub_b);
            assert_int_equal(key->ops->public_raw(key, &a).code, HF_OK);
            assert_int_equal(again->ops->public_raw(again, &c).code, HF_OK);
            assert_true(hf_cursor_same(hf_buf_cursor(&a), hf_buf_cursor(&c)));
        }
        hf_secret_free(material);
        hf_secret_free(second);
        hf_kskey_unref(key);
        hf_kskey_unref(again);
    }
}

static void a_key_of_another_size_is_refused(void **state)
{
    struct bench *b = *state;
    static const struct {
        enum hf_alg alg;
        size_t len;
    } wrong[] = {{HF_ALG_AES256_GCM96, 31}, {HF_ALG_AES256_GCM96, 33}, {HF_ALG_AES128_GCM96, 32},
                 {HF_ALG_HMAC, 8},          {HF_ALG_HMAC, 513},        {HF_ALG_ML_KEM_768, 63},
                 {HF_ALG_ED25519, 31}};
    for (size_t i = 0; i < HF_ARRAY_LEN(wrong); i++) {
        uint8_t space[BLOB];
        struct hf_buf blob = hf_buf(space, sizeof space);
        struct hf_secret *material = NULL;
        assert_int_equal(hf_secret_random(wrong[i].len, &material).code, HF_OK);
        assert_int_not_equal(
            b->store->ops->import(b->store, b->kek, wrong[i].alg, HF_PRIVATE_NATIVE, material, &blob).code,
            HF_OK);
        assert_int_equal(blob.len, 0);
        hf_secret_free(material);
    }
}

static void a_public_key_verifies_and_cannot_sign(void **state)
{
    struct bench *b = *state;
    uint8_t space[BLOB], pub_space[HF_PUBLIC_MAX], only_space[BLOB], sig_space[8192];
    struct hf_buf blob = hf_buf(space, sizeof space), pub = hf_buf(pub_space, sizeof pub_space);
    struct hf_buf only = hf_buf(only_space, sizeof only_space), sig = hf_buf(sig_space, sizeof sig_space);
    struct hf_sign_options options = {.hash = HF_SHA2_256};
    struct hf_kskey *key = fresh(b, HF_ALG_ML_DSA_65, &blob);
    assert_int_equal(key->ops->sign(key, &options, hf_cursor_text("x"), &sig).code, HF_OK);
    assert_int_equal(key->ops->public_raw(key, &pub).code, HF_OK);
    assert_int_equal(
        b->store->ops->import_public(b->store, HF_ALG_ML_DSA_65, hf_buf_cursor(&pub), &only).code, HF_OK);
    struct hf_kskey *half = load(b, HF_ALG_ML_DSA_65, hf_buf_cursor(&only));
    assert_int_equal(half->ops->verify(half, &options, hf_cursor_text("x"), hf_buf_cursor(&sig)).code, HF_OK);
    sig.len = 0;
    assert_int_equal(half->ops->sign(half, &options, hf_cursor_text("x"), &sig).code, HF_UNSUPPORTED);
    struct hf_secret *material = NULL;
    assert_int_equal(half->ops->export_plain(half, HF_PRIVATE_NATIVE, &material).code, HF_UNSUPPORTED);
    hf_kskey_unref(key);
    hf_kskey_unref(half);
}

/* HKDF-SHA-256 without salt, as existing clients' derived keys: the stream's first bytes are the key, the next 32 what
 * convergent nonces are made with. */
static void subkeys_follow_their_context(void **state)
{
    struct bench *b = *state;
    uint8_t space[BLOB], sealed_space[128], plain_space[64];
    struct hf_buf blob = hf_buf(space, sizeof space), sealed = hf_buf(sealed_space, sizeof sealed_space);
    struct hf_buf plain = hf_buf(plain_space, sizeof plain_space);
    struct hf_kskey *key = fresh(b, HF_ALG_AES256_GCM96, &blob), *one = NULL, *same = NULL, *two = NULL;
    struct hf_cursor context = hf_cursor_text("customer 1");
    assert_int_equal(key->ops->derive(key, key->alg, context, &one).code, HF_OK);
    assert_int_equal(key->ops->derive(key, key->alg, context, &same).code, HF_OK);
    assert_int_equal(key->ops->derive(key, key->alg, hf_cursor_text("customer 2"), &two).code, HF_OK);
    assert_int_equal(one->ops->seal(one, hf_cursor_text("hers"), hf_cursor("", 0), &sealed).code, HF_OK);
    assert_int_equal(same->ops->open(same, hf_buf_cursor(&sealed), hf_cursor("", 0), &plain).code, HF_OK);
    plain.len = 0;
    assert_int_equal(two->ops->open(two, hf_buf_cursor(&sealed), hf_cursor("", 0), &plain).code,
                     HF_BAD_CIPHERTEXT);
    struct hf_secret *material = NULL, *expected = NULL;
    assert_int_equal(one->ops->export_plain(one, HF_PRIVATE_NATIVE, &material).code, HF_UNSUPPORTED);
    if (can(b, HF_ALG_AES256_GCM96).export_plain) {
        struct hf_aead *aead = NULL;
        assert_int_equal(key->ops->export_plain(key, HF_PRIVATE_NATIVE, &material).code, HF_OK);
        assert_int_equal(hf_hkdf(HF_SHA2_256, material, hf_cursor("", 0), context, 32, &expected).code,
                         HF_OK);
        assert_int_equal(hf_aead_new(HF_ALG_AES256_GCM96, expected, &aead).code, HF_OK);
        plain.len = 0;
        assert_int_equal(hf_aead_open(aead, hf_buf_cursor(&sealed), hf_cursor("", 0), &plain).code, HF_OK);
        assert_true(hf_cursor_is(hf_buf_cursor(&plain), "hers"));
        hf_aead_free(aead);
        hf_secret_free(expected);
        hf_secret_free(material);
    }
    hf_kskey_unref(one);
    hf_kskey_unref(same);
    hf_kskey_unref(two);
    hf_kskey_unref(key);
}

static void export_to_a_recipient_opens_for_no_other(void **state)
{
    struct bench *b = *state;
    uint8_t space[BLOB], rec_space[BLOB], pub_space[HF_PUBLIC_MAX], out_space[BLOB], again_space[BLOB];
    struct hf_buf blob = hf_buf(space, sizeof space), rec_blob = hf_buf(rec_space, sizeof rec_space);
    struct hf_buf pub = hf_buf(pub_space, sizeof pub_space), out = hf_buf(out_space, sizeof out_space);
    struct hf_buf other_blob = hf_buf(again_space, sizeof again_space);
    struct hf_kskey *key = fresh(b, HF_ALG_AES256_GCM96, &blob);
    struct hf_kskey *recipient = fresh(b, HF_ALG_X_WING, &rec_blob),
                    *other = fresh(b, HF_ALG_X_WING, &other_blob);
    struct hf_pkey *address = NULL;
    struct hf_secret *material = NULL;
    struct hf_cursor info = hf_cursor_text("for a test");
    assert_int_equal(recipient->ops->public_raw(recipient, &pub).code, HF_OK);
    assert_int_equal(hf_pkey_from_public(HF_ALG_X_WING, hf_buf_cursor(&pub), &address).code, HF_OK);
    assert_int_equal(key->ops->export_wrapped(key, address, info, &out).code, HF_OK);
    assert_int_not_equal(other->ops->open_wrapped(other, info, hf_buf_cursor(&out), &material).code, HF_OK);
    assert_int_not_equal(
        recipient->ops->open_wrapped(recipient, hf_cursor_text("else"), hf_buf_cursor(&out), &material).code,
        HF_OK);
    assert_int_equal(recipient->ops->open_wrapped(recipient, info, hf_buf_cursor(&out), &material).code,
                     HF_OK);
    assert_int_equal(hf_secret_len(material), 32);
    hf_secret_free(material);
    hf_pkey_free(address);
    hf_kskey_unref(key);
    hf_kskey_unref(recipient);
    hf_kskey_unref(other);
}

static void what_a_key_cannot_do_it_says(void **state)
{
    struct bench *b = *state;
    uint8_t space[BLOB], mac_space[BLOB], out_space[512];
    struct hf_buf blob = hf_buf(space, sizeof space), mac_blob = hf_buf(mac_space, sizeof mac_space);
    struct hf_buf out = hf_buf(out_space, sizeof out_space);
    struct hf_kskey *key = fresh(b, HF_ALG_AES256_GCM96, &blob), *mac = fresh(b, HF_ALG_HMAC, &mac_blob),
                    *sub = NULL;
    struct hf_sign_options options = {0};
    struct hf_secret *secret = NULL;
    assert_int_equal(key->ops->sign(key, &options, hf_cursor_text("x"), &out).code, HF_UNSUPPORTED);
    assert_int_equal(key->ops->encapsulate(key, &out, &secret).code, HF_UNSUPPORTED);
    assert_int_equal(key->ops->public_raw(key, &out).code, HF_UNSUPPORTED);
    assert_int_equal(mac->ops->seal(mac, hf_cursor_text("x"), hf_cursor("", 0), &out).code, HF_UNSUPPORTED);
    assert_int_equal(mac->ops->derive(mac, HF_ALG_HMAC, hf_cursor_text("c"), &sub).code, HF_UNSUPPORTED);
    assert_int_equal(out.len, 0);
    hf_kskey_unref(key);
    hf_kskey_unref(mac);
}

static void nothing_secret_is_left_alive(void **state)
{
    struct bench *b = *state;
    struct hf_secret_report before, after;
    hf_secret_arena_report(&before);
    for (int i = 0; i < 3; i++) {
        uint8_t space[BLOB];
        struct hf_buf blob = hf_buf(space, sizeof space);
        struct hf_kskey *key = fresh(b, HF_ALG_MLDSA65_ED25519, &blob);
        hf_kskey_unref(hf_kskey_ref(key));
        hf_kskey_unref(key);
    }
    hf_secret_arena_report(&after);
    assert_int_equal(before.secrets_alive, after.secrets_alive);
}

int main(void)
{
    assert_int_equal(hf_crypto_start(HF_CRYPTO_HEAP_WIPE).code, HF_OK);
#define T(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
    const struct CMUnitTest tests[] = {
        T(every_sealing_key_opens_what_it_sealed),
        T(every_signing_key_verifies_what_it_signed),
        T(every_kem_key_agrees_with_itself),
        T(a_blob_is_nothing_without_its_kek),
        T(a_blob_moves_to_another_kek_without_change),
        T(what_was_exported_imports),
        T(a_key_of_another_size_is_refused),
        T(a_public_key_verifies_and_cannot_sign),
        T(subkeys_follow_their_context),
        T(export_to_a_recipient_opens_for_no_other),
        T(what_a_key_cannot_do_it_says),
        T(nothing_secret_is_left_alive),
    };
    int failed = 0;
    for (at = 0; at < HF_ARRAY_LEN(keystores); at++)
        failed += cmocka_run_group_tests_name(keystores[at].name, tests, NULL, NULL);
    return failed;
}
