/* @proves RFC5649:3 @proves C2SP:XAES-256-GCM
 *
 * Constant time, shown by Valgrind: secrets are marked undefined, and then no branch and no index may depend on them
 * until the code says that a value is public (HF_CT_PUBLIC). The sources are compiled in with that mark alive.
 * AES and the hashes themselves are the library's; they pass undefined bits through. Builds with sanitizers run
 * the same without the marks. */
#include "unit/crypto/helpers.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>

#include "../../../src/crypto/aead.c"
#define keyed kwp_keyed
#define release kwp_release
#include "../../../src/crypto/kwp.c"
#undef keyed
#undef release

#include <unistd.h>

enum { NOT_HERE = 77 };

static void undefine(const struct hf_secret *secret)
{
    struct hf_secret_view view = {0};
    must(hf_secret_view_open(secret, &view));
    (void)VALGRIND_MAKE_MEM_UNDEFINED(view.bytes, view.len);
    hf_secret_view_close(&view);
}

static void define(const struct hf_secret *secret)
{
    struct hf_secret_view view = {0};
    must(hf_secret_view_open(secret, &view));
    (void)VALGRIND_MAKE_MEM_DEFINED(view.bytes, view.len);
    hf_secret_view_close(&view);
}

static bool is_undefined(const struct hf_secret *secret)
{
    if (!RUNNING_ON_VALGRIND)
        return true;
    struct hf_secret_view view = {0};
    uint8_t bits = 0;
    must(hf_secret_view_open(secret, &view));
    assert_int_equal(VALGRIND_GET_VBITS(view.bytes, &bits, 1), 1);
    hf_secret_view_close(&view);
    return bits != 0;
}

static unsigned errors;

/* Fails where Valgrind saw a decision on a secret since the last call. */
static void no_decision_was_taken(void)
{
    unsigned now = (unsigned)VALGRIND_COUNT_ERRORS;
    assert_int_equal(now, errors);
}

static void a_branch_on_a_secret_is_seen(void **state)
{
    (void)state;
    volatile uint8_t secret = 1;
    static volatile int decided;
    (void)VALGRIND_MAKE_MEM_UNDEFINED(&secret, 1);
    if (secret == 7)
        decided++;
    assert_true(!RUNNING_ON_VALGRIND ||
                VALGRIND_COUNT_ERRORS > errors); /* the tool works: what follows means something */
    errors = (unsigned)VALGRIND_COUNT_ERRORS;
}

static void unwrapping_takes_no_decision_before_its_answer(void **state)
{
    (void)state;
    uint8_t kek_bytes[32] = {1}, key_bytes[40] = {2}, wrapped[48];
    for (size_t len = 1; len <= 40; len += 13) {
        struct hf_secret *kek = test_secret(kek_bytes, 32), *key = test_secret(key_bytes, len), *back = NULL;
        struct hf_buf out = hf_buf(wrapped, sizeof(wrapped));
        undefine(kek);
        undefine(key);
        must(hf_kwp_wrap(kek, key, &out));
        (void)VALGRIND_MAKE_MEM_DEFINED(wrapped, sizeof(wrapped)); /* what is stored is public */
        no_decision_was_taken();
        must(hf_kwp_unwrap(kek, hf_buf_cursor(&out), &back)); /* its bytes still depend on the key */
        no_decision_was_taken();
        assert_int_equal(hf_secret_len(back), len);
        assert_true(is_undefined(back)); /* the marks did come through AES, so there was something to see */
        hf_secret_free(back);
        wrapped[0] ^= 1;
        refused(hf_kwp_unwrap(kek, hf_buf_cursor(&out), &back), HF_BAD_CIPHERTEXT);
        no_decision_was_taken();
        define(kek);
        define(key);
        hf_secret_free(kek);
        hf_secret_free(key);
    }
}

static void the_integrity_check_itself_takes_none(void **state)
{
    (void)state;
    uint8_t semiblocks[32] = {0};
    for (unsigned len = 0; len < 30; len++) {
        uint32_t got;
        memcpy(semiblocks, icv2, sizeof(icv2));
        hf_store_u32(semiblocks + 4, len);
        (void)VALGRIND_MAKE_MEM_UNDEFINED(semiblocks, sizeof(semiblocks));
        bool whole = integrity(semiblocks, 24, &got);
        no_decision_was_taken();
        (void)VALGRIND_MAKE_MEM_DEFINED(semiblocks, sizeof(semiblocks));
        HF_CT_PUBLIC(&whole, sizeof(whole));
        assert_int_equal(whole, len >= 17 && len <= 24); /* 24 bytes hold 17 to 24 */
        no_decision_was_taken();
    }
}

static void xaes_derives_without_a_decision(void **state)
{
    (void)state;
    for (uint8_t fill = 1; fill <= 3; fill += 2) { /* both values of the carry bit */
        uint8_t bytes[32], sealed[64];
        struct hf_aead *aead = NULL;
        memset(bytes, fill, sizeof(bytes));
        struct hf_secret *key = test_secret(bytes, 32);
        struct hf_buf out = hf_buf(sealed, sizeof(sealed));
        undefine(key);
        must(hf_aead_new(HF_ALG_XAES256_GCM, key, &aead));
        no_decision_was_taken();
        must(hf_aead_seal_nonce(aead, hf_cursor_text("ABCDEFGHIJKLMNOPQRSTUVWX"),
                                hf_cursor_text("XAES-256-GCM"), hf_cursor_text(""), &out));
        no_decision_was_taken();
        (void)VALGRIND_MAKE_MEM_DEFINED(sealed, sizeof(sealed));
        hf_aead_free(aead);
        define(key);
        hf_secret_free(key);
        no_decision_was_taken();
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_branch_on_a_secret_is_seen),
        cmocka_unit_test(the_integrity_check_itself_takes_none),
        cmocka_unit_test(unwrapping_takes_no_decision_before_its_answer),
        cmocka_unit_test(xaes_derives_without_a_decision),
    };
    (void)argc;
#ifdef HF_SANITIZE
    bool marked = false;
#else
    bool marked = true;
#endif
    if (marked && !RUNNING_ON_VALGRIND) {
        execlp("valgrind", "valgrind", "--quiet", "--undef-value-errors=yes", "--leak-check=no", argv[0],
               (char *)NULL);
        printf("skipped: valgrind is missing\n");
        return NOT_HERE;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void)
{
    printf("skipped: built without Valgrind's headers\n");
    return 77;
}
#endif
