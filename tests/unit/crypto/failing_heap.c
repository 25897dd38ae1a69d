/* Every call with the nth allocation of the library failing, for each n: it fails by name or works, gives nothing
 * half-made, leaks nothing, and works again afterwards. */
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/floe.h"
#include "crypto/kdf.h"
#include "crypto/pkey.h"
#include "unit/crypto/helpers.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

static long fail_at; /* 0: never; else counts down, and from 1 on every allocation fails once */
static bool fired;
static long alive;

static void *allocate(size_t len, const char *file, int line)
{
    (void)file, (void)line;
    if (len == 0)
        return NULL;
    if (fail_at > 0 && --fail_at == 0) {
        fired = true;
        return NULL;
    }
    alive++;
    return malloc(len);
}

static void release(void *old, const char *file, int line)
{
    (void)file, (void)line;
    if (old != NULL)
        alive--;
    free(old);
}

static void *reallocate(void *old, size_t len, const char *file, int line)
{
    if (len == 0) {
        release(old, file, line);
        return NULL;
    }
    if (fail_at > 0 && --fail_at == 0) {
        fired = true;
        return NULL;
    }
    if (old == NULL)
        alive++;
    return realloc(old, len);
}

static uint64_t secrets_alive(void)
{
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    return report.secrets_alive;
}

/* Gives: OK or how it failed. What it made it released. */
typedef hf_result (*call)(void);

static void sweep(const char *name, call run)
{
    enum { CALLS_MAX = 20000 };
    for (int warm = 0; warm < 3; warm++)
        must(run());
    ERR_clear_error();
    uint64_t secrets = secrets_alive();
    long nth = 1;
    for (fired = true; fired && nth < CALLS_MAX; nth += nth / 64 + 1) {
        fired = false;
        fail_at = nth;
        hf_result got = run();
        fail_at = 0;
        ERR_clear_error();
        if (!fired)
            assert_int_equal(got.code, HF_OK);
        if (secrets_alive() != secrets)
            fail_msg("%s: a secret was left alive at allocation %ld", name, nth);
    }
    assert_false(fired);
    must(run());
    ERR_clear_error();
    long before = alive;
    for (int again = 0; again < 3; again++)
        must(run());
    ERR_clear_error();
    if (alive > before)
        fail_msg("%s: %ld allocations leaked", name, alive - before);
}

/* Leaks on the failing paths: the same sweep a second time may keep no more than the first did. */
static void sweep_twice(const char *name, call run)
{
    sweep(name, run);
    long first = alive;
    sweep(name, run);
    if (alive > first)
        fail_msg("%s: %ld allocations leaked where one failed", name, alive - first);
}

static hf_result seal_and_open(void)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_aead_freep) struct hf_aead *aead = NULL;
    uint8_t memory[128], opened[64];
    struct hf_buf out = hf_buf(memory, sizeof(memory)), back = hf_buf(opened, sizeof(opened));
    TRY(hf_secret_random(32, &key));
    TRY(hf_aead_new(HF_ALG_XAES256_GCM, key, &aead));
    TRY(hf_aead_seal(aead, hf_cursor_text("plain"), hf_cursor_text("ad"), &out));
    return hf_aead_open(aead, hf_buf_cursor(&out), hf_cursor_text("ad"), &back);
}

static hf_result wrap_and_derive(void)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *derived = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *back = NULL;
    uint8_t memory[128];
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    TRY(hf_secret_random(32, &key));
    TRY(hf_derive(key, "label", hf_cursor_text("context"), 40, &derived));
    TRY(hf_kwp_wrap(key, derived, &out));
    TRY(hf_kwp_unwrap(key, hf_buf_cursor(&out), &back));
    return hf_secret_equal(derived, back) ? HF_DONE : HF_FAIL(INTERNAL);
}

static hf_result file(void)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_floe_freep) struct hf_floe *writer = NULL;
    CLEANUP(hf_floe_freep) struct hf_floe *reader = NULL;
    uint8_t header[HF_FLOE_HEADER], memory[128], opened[128];
    struct hf_buf out = hf_buf(memory, sizeof(memory)), back = hf_buf(opened, sizeof(opened));
    bool last;
    TRY(hf_secret_random(32, &key));
    TRY(hf_floe_seal_begin(key, hf_cursor_text("ad"), 64, header, &writer));
    TRY(hf_floe_seal_last(writer, hf_cursor_text("text"), &out));
    TRY(hf_floe_open_begin(key, hf_cursor_text("ad"), hf_cursor(header, sizeof(header)), &reader));
    return hf_floe_open_next(reader, hf_buf_cursor(&out), &back, &last);
}

static hf_result sign_with(enum hf_alg alg)
{
    static uint8_t memory[HF_SIGNATURE_MAX], public_memory[HF_PUBLIC_MAX];
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_pkey_freep) struct hf_pkey *back = NULL;
    CLEANUP(hf_pkey_freep) struct hf_pkey *public_key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *pkcs8 = NULL;
    struct hf_buf out = hf_buf(memory, sizeof(memory)), raw = hf_buf(public_memory, sizeof(public_memory));
    struct hf_sign_options options = {.hash = HF_SHA2_256};
    TRY(hf_pkey_generate(alg, &key));
    TRY(hf_pkey_private(key, HF_PRIVATE_PKCS8, &pkcs8));
    TRY(hf_pkey_from_private(alg, HF_PRIVATE_PKCS8, pkcs8, &back));
    TRY(hf_pkey_public(key, &raw));
    TRY(hf_pkey_from_public(alg, hf_buf_cursor(&raw), &public_key));
    TRY(hf_pkey_sign(back, &options, hf_cursor_text("m"), &out));
    return hf_pkey_verify(public_key, &options, hf_cursor_text("m"), hf_buf_cursor(&out));
}

static hf_result composite(void)
{
    return sign_with(HF_ALG_MLDSA44_ECDSA_P256);
}

static hf_result edwards(void)
{
    return sign_with(HF_ALG_ED25519);
}

static hf_result hybrid_kem(void)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *plain = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *back = NULL;
    uint8_t memory[1300];
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    TRY(hf_secret_random(32, &plain));
    TRY(hf_pkey_generate(HF_ALG_X_WING, &key));
    TRY(hf_hpke_seal(key, hf_cursor_text("i"), hf_cursor_text("a"), plain, &out));
    TRY(hf_hpke_open(key, hf_cursor_text("i"), hf_cursor_text("a"), hf_buf_cursor(&out), &back));
    return hf_secret_equal(plain, back) ? HF_DONE : HF_FAIL(INTERNAL);
}

static hf_result dh(void)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *sent = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *received = NULL;
    uint8_t memory[200];
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    TRY(hf_pkey_generate(HF_ALG_ECDH_P256, &key));
    TRY(hf_pkey_encapsulate(key, &out, &sent));
    TRY(hf_pkey_decapsulate(key, hf_buf_cursor(&out), &received));
    return hf_secret_equal(sent, received) ? HF_DONE : HF_FAIL(INTERNAL);
}

static void symmetric(void **state)
{
    (void)state;
    sweep_twice("seal and open", seal_and_open);
    sweep_twice("wrap and derive", wrap_and_derive);
    sweep_twice("file", file);
}

static void signatures(void **state)
{
    (void)state;
    sweep_twice("ed25519", edwards);
    sweep_twice("composite", composite);
}

static void kems(void **state)
{
    (void)state;
    sweep_twice("dhkem", dh);
    sweep_twice("hpke", hybrid_kem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symmetric),
        cmocka_unit_test(signatures),
        cmocka_unit_test(kems),
    };
    assert_int_equal(CRYPTO_set_mem_functions(allocate, reallocate, release), 1);
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
