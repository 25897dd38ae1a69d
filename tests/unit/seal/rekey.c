/* Rekey with and without verification, and generate-root. */
#include "unit/seal/fixture.h"

static const uint8_t ns_root[16];
static const uint8_t ns_a[16] = {0xaa, 1};

static struct hf_secret *kek(struct hf_seal *seal, const uint8_t ns[16])
{
    struct hf_secret *key = NULL;
    assert_int_equal(hf_seal_kek(seal, hf_cursor(ns, 16), 0, &key, NULL).code, HF_OK);
    return key;
}

/* Gives shares 0..k-1 towards a rekey; fills `next` when it completes. */
static void give(struct hf_seal *seal, struct hf_id nonce, const struct held *held, uint32_t k,
                 struct held *next, struct hf_quorum_status *status)
{
    struct hf_share_set set = {.count = 0};
    const char *why = "";
    for (uint32_t i = 0; i < k; i++) {
        assert_int_equal(set.count, 0);
        assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held->hex[i]), status, &set, &why).code,
                         HF_OK);
    }
    assert_true(set.count > 0);
    hold(&set, next);
}

static void a_rekey_replaces_all_shares_and_keeps_all_keys(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held, next;
    init(seal, 5, 3, &held);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
    struct hf_secret *keys[2] = {kek(seal, ns_root), kek(seal, ns_a)};
    struct hf_secret *record_key = NULL;
    assert_int_equal(hf_secret_copy(hf_seal_keyring(seal)->record_key, &record_key).code, HF_OK);
    uint64_t before = secrets_alive();

    struct hf_quorum_status status;
    assert_int_equal(hf_rekey_begin(seal, 7, 4, false, &status).code, HF_OK);
    assert_int_equal(hf_rekey_begin(seal, 7, 4, false, &status).code, HF_ALREADY);
    assert_int_equal(hf_rekey_status(seal, &status).code, HF_OK);
    assert_true(status.started);
    assert_int_equal(status.required, 3);
    assert_int_equal(status.new_shares, 7);
    assert_int_equal(status.new_threshold, 4);
    give(seal, status.nonce, &held, 3, &next, &status);
    assert_int_equal(next.count, 7);
    assert_int_equal(secrets_alive(), before); /* neither root nor share is left */
    assert_int_equal(hf_rekey_status(seal, &status).code, HF_OK);
    assert_false(status.started);
    assert_int_equal(status.required, 4);
    struct hf_seal_status s;
    assert_int_equal(hf_seal_status(seal, &s).code, HF_OK);
    assert_int_equal(s.generation, 2);
    assert_false(s.sealed); /* nothing was interrupted */
    hf_seal_close(seal);

    seal = opened(&m);
    bool complete;
    const char *why;
    assert_int_equal(offer(seal, held.card[0], &complete, &why).code, HF_BAD_SHARE);
    assert_non_null(strstr(why, "an earlier generation: a rekey has replaced it"));
    assert_int_equal(offer(seal, held.hex[0], &complete, &why).code, HF_BAD_SHARE);
    assert_non_null(strstr(why, "replaced by a rekey"));
    assert_false(opens_with(seal, &next, 3));
    unseal(seal, &next, 4);
    struct hf_secret *again[2] = {kek(seal, ns_root), kek(seal, ns_a)};
    for (unsigned i = 0; i < 2; i++) {
        assert_true(hf_secret_equal(again[i], keys[i]));
        hf_secret_free(again[i]);
        hf_secret_free(keys[i]);
    }
    assert_true(hf_secret_equal(hf_seal_keyring(seal)->record_key, record_key));
    hf_secret_free(record_key);
    hf_seal_close(seal);
    memory_store_done(&m);
}

static void a_rekey_takes_only_right_fresh_shares_of_its_attempt(void **state)
{
    (void)state;
    struct memory_store m, other;
    memory_store_init(&m);
    memory_store_init(&other);
    struct hf_seal *seal = opened(&m);
    struct hf_seal *stranger = opened(&other);
    struct held held, foreign;
    struct hf_quorum_status status;
    struct hf_share_set set = {.count = 0};
    const char *why;
    init(stranger, 3, 2, &foreign);
    hf_seal_close(stranger);
    assert_int_equal(hf_rekey_begin(seal, 3, 2, false, &status).code, HF_NOT_INITIALIZED);
    init(seal, 5, 3, &held);
    assert_int_equal(
        hf_rekey_offer(seal, (struct hf_id){0}, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
        HF_BAD_ARGUMENT);
    assert_int_equal(hf_rekey_begin(seal, 33, 2, false, &status).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_rekey_begin(seal, 3, 4, false, &status).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_rekey_begin(seal, 0, 0, false, &status).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_rekey_begin(seal, 3, 2, false, &status).code, HF_OK);
    struct hf_id nonce = status.nonce;
    struct hf_id wrong = nonce;
    wrong.bytes[0] ^= 1;
    assert_int_equal(hf_rekey_offer(seal, wrong, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
                     HF_BAD_ARGUMENT);
    assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(foreign.card[0]), &status, &set, &why).code,
                     HF_BAD_SHARE);
    assert_non_null(strstr(why, "another set"));
    assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
                     HF_OK);
    assert_int_equal(status.progress, 1);
    assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.card[0]), &status, &set, &why).code,
                     HF_BAD_SHARE);
    assert_non_null(strstr(why, "given already"));
    assert_int_equal(hf_rekey_status(seal, &status).code, HF_OK);
    assert_int_equal(status.progress, 1);
    assert_int_equal(hf_rekey_cancel(seal).code, HF_OK);
    assert_int_equal(hf_rekey_status(seal, &status).code, HF_OK);
    assert_false(status.started);
    /* sealing ends an attempt */
    assert_int_equal(hf_rekey_begin(seal, 3, 2, false, &status).code, HF_OK);
    hf_seal_lock(seal);
    assert_int_equal(hf_rekey_status(seal, &status).code, HF_SEALED);
    unseal(seal, &held, 3);
    assert_int_equal(hf_rekey_status(seal, &status).code, HF_OK);
    assert_false(status.started);
    assert_int_equal(set.count, 0);
    hf_seal_close(seal);
    memory_store_done(&m);
    memory_store_done(&other);
}

static void with_verification_nothing_changes_until_the_new_shares_were_shown(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held, lost, next;
    init(seal, 3, 2, &held);
    struct hf_secret *root_kek = kek(seal, ns_root);
    struct hf_quorum_status status;
    const char *why;
    bool complete = true;

    /* the new shares are lost: cancel, and the present ones still open */
    assert_int_equal(hf_rekey_begin(seal, 5, 3, true, &status).code, HF_OK);
    give(seal, status.nonce, &held, 2, &lost, &status);
    assert_true(status.verifying);
    assert_int_equal(hf_rekey_cancel(seal).code, HF_OK);
    hf_seal_lock(seal);
    unseal(seal, &held, 2);

    assert_int_equal(hf_rekey_verify_restart(seal).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_rekey_begin(seal, 5, 3, true, &status).code, HF_OK);
    struct hf_id nonce = status.nonce;
    give(seal, nonce, &held, 2, &next, &status);
    assert_true(status.verification_required);
    struct hf_share_set set = {.count = 0};
    assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
                     HF_BAD_ARGUMENT);
    assert_int_equal(hf_rekey_status(seal, &status).code, HF_OK);
    struct hf_id verify = status.verification_nonce;
    assert_int_equal(hf_rekey_verify(seal, nonce, hf_cursor_text(next.hex[0]), &complete, &status, &why).code,
                     HF_BAD_ARGUMENT);
    /* present shares, and those of the attempt that was given up, prove nothing */
    assert_int_equal(
        hf_rekey_verify(seal, verify, hf_cursor_text(held.card[0]), &complete, &status, &why).code,
        HF_BAD_SHARE);
    assert_int_equal(
        hf_rekey_verify(seal, verify, hf_cursor_text(lost.card[0]), &complete, &status, &why).code,
        HF_BAD_SHARE);
    assert_int_equal(
        hf_rekey_verify(seal, verify, hf_cursor_text(next.hex[0]), &complete, &status, &why).code, HF_OK);
    assert_int_equal(status.verification_progress, 1);
    assert_int_equal(
        hf_rekey_verify(seal, verify, hf_cursor_text(next.hex[0]), &complete, &status, &why).code,
        HF_BAD_SHARE);
    assert_int_equal(hf_rekey_verify_restart(seal).code, HF_OK);
    assert_int_equal(
        hf_rekey_verify(seal, verify, hf_cursor_text(next.hex[0]), &complete, &status, &why).code,
        HF_BAD_ARGUMENT);
    assert_int_equal(hf_rekey_status(seal, &status).code, HF_OK);
    verify = status.verification_nonce;
    /* the process dies here: the present shares open */
    struct memory_store after;
    memory_store_copy(&m, &after);
    struct hf_seal *restarted = opened(&after);
    assert_true(opens_with(restarted, &held, 2));
    assert_false(opens_with(restarted, &next, 3));
    hf_seal_close(restarted);
    memory_store_done(&after);
    /* a KEK made in between is not lost */
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
    struct hf_secret *a_kek = kek(seal, ns_a);
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(i > 0 && complete);
        assert_int_equal(
            hf_rekey_verify(seal, verify, hf_cursor_text(next.card[4 - i]), &complete, &status, &why).code,
            HF_OK);
    }
    assert_true(complete);
    hf_seal_lock(seal);
    assert_false(opens_with(seal, &held, 2));
    unseal(seal, &next, 3);
    struct hf_secret *again[2] = {kek(seal, ns_root), kek(seal, ns_a)};
    assert_true(hf_secret_equal(again[0], root_kek));
    assert_true(hf_secret_equal(again[1], a_kek));
    hf_secret_free(again[0]);
    hf_secret_free(again[1]);
    hf_secret_free(root_kek);
    hf_secret_free(a_kek);
    hf_seal_close(seal);
    memory_store_done(&m);
}

static void rekey_after_rekey_keeps_working(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held, next;
    uint32_t k = 1;
    init(seal, 1, 1, &held);
    struct hf_secret *root_kek = kek(seal, ns_root);
    for (uint32_t n = 2; n <= 10; n++) {
        struct hf_quorum_status status;
        assert_int_equal(hf_rekey_begin(seal, n, (n + 1) / 2, n % 2 == 0, &status).code, HF_OK);
        give(seal, status.nonce, &held, k, &next, &status);
        if (n % 2 == 0) {
            bool complete = false;
            const char *why;
            assert_int_equal(hf_rekey_status(seal, &status).code, HF_OK);
            struct hf_id verify = status.verification_nonce;
            for (uint32_t i = 0; i < (n + 1) / 2; i++)
                assert_int_equal(
                    hf_rekey_verify(seal, verify, hf_cursor_text(next.hex[i]), &complete, &status, &why).code,
                    HF_OK);
            assert_true(complete);
        }
        k = (n + 1) / 2;
        held = next;
        hf_seal_lock(seal);
        unseal(seal, &held, k);
        struct hf_secret *again = kek(seal, ns_root);
        assert_true(hf_secret_equal(again, root_kek));
        hf_secret_free(again);
    }
    hf_secret_free(root_kek);
    hf_seal_close(seal);
    memory_store_done(&m);
}

static void a_quorum_is_proved_for_a_root_token(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held;
    init(seal, 5, 3, &held);
    uint64_t before = secrets_alive();
    struct hf_quorum_status status;
    uint8_t space[HF_SEAL_OTP_MAX];
    struct hf_buf otp = hf_buf(space, sizeof(space));
    bool complete = true;
    const char *why;
    assert_int_equal(hf_generate_root_offer(seal, (struct hf_id){0}, hf_cursor_text(held.hex[0]), &complete,
                                            &otp, &status, &why)
                         .code,
                     HF_BAD_ARGUMENT);
    char longer[HF_SEAL_OTP_MAX + 1] = {0};
    assert_int_equal(hf_generate_root_begin(seal, hf_cursor(longer, sizeof(longer)), &status).code,
                     HF_BAD_ARGUMENT);
    assert_int_equal(hf_generate_root_begin(seal, hf_cursor_text("one-time"), &status).code, HF_OK);
    assert_int_equal(hf_generate_root_begin(seal, hf_cursor_text("another"), &status).code, HF_ALREADY);
    struct hf_id nonce = status.nonce;
    struct hf_id wrong = nonce;
    wrong.bytes[3] ^= 1;
    assert_int_equal(
        hf_generate_root_offer(seal, wrong, hf_cursor_text(held.hex[0]), &complete, &otp, &status, &why).code,
        HF_BAD_ARGUMENT);
    for (uint32_t i = 0; i < 3; i++) {
        size_t otp_len = 0;
        assert_int_equal(hf_generate_root_status(seal, &status, &otp_len).code, HF_OK);
        assert_int_equal(status.progress, i);
        assert_int_equal(status.required, 3);
        assert_int_equal(otp_len, 8);
        assert_int_equal(otp.len, 0);
        assert_int_equal(
            hf_generate_root_offer(seal, nonce, hf_cursor_text(held.card[i]), &complete, &otp, &status, &why)
                .code,
            HF_OK);
        assert_int_equal(complete, i == 2);
        if (i < 2)
            assert_int_equal(hf_generate_root_offer(seal, nonce, hf_cursor_text(held.hex[i]), &complete, &otp,
                                                    &status, &why)
                                 .code,
                             HF_BAD_SHARE);
    }
    assert_memory_equal(space, "one-time", otp.len);
    assert_int_equal(otp.len, 8);
    assert_int_equal(secrets_alive(), before);
    /* it serves once */
    assert_int_equal(
        hf_generate_root_offer(seal, nonce, hf_cursor_text(held.card[4]), &complete, &otp, &status, &why)
            .code,
        HF_BAD_ARGUMENT);
    assert_int_equal(hf_generate_root_begin(seal, hf_cursor_text("x"), &status).code, HF_OK);
    assert_int_equal(hf_generate_root_cancel(seal).code, HF_OK);
    hf_seal_close(seal);
    memory_store_done(&m);
}

int main(void)
{
    hf_log_setup(2, HF_LOG_ERROR, "test");
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_ARENA)))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rekey_replaces_all_shares_and_keeps_all_keys),
        cmocka_unit_test(a_rekey_takes_only_right_fresh_shares_of_its_attempt),
        cmocka_unit_test(with_verification_nothing_changes_until_the_new_shares_were_shown),
        cmocka_unit_test(rekey_after_rekey_keeps_working),
        cmocka_unit_test(a_quorum_is_proved_for_a_root_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
