/* Init, unseal, lock; shares that are wrong; rows that were altered; namespaces' KEKs. */
#include "unit/seal/fixture.h"

static const uint8_t ns_root[16];
static const uint8_t ns_a[16] = {0xaa, 1};
static const uint8_t ns_b[16] = {0xbb, 2};

static struct hf_secret *kek(struct hf_seal *seal, const uint8_t ns[16], uint32_t generation)
{
    struct hf_secret *key = NULL;
    uint32_t got = 0;
    assert_int_equal(hf_seal_kek(seal, hf_cursor(ns, 16), generation, &key, &got).code, HF_OK);
    if (generation != 0)
        assert_int_equal(got, generation);
    return key;
}

static void any_k_of_n_unseal_and_the_keyring_is_the_same(void **state)
{
    (void)state;
    static const struct {
        uint32_t n, k;
    } cases[] = {{1, 1}, {2, 1}, {2, 2}, {3, 2}, {5, 3}, {5, 5}, {7, 1}, {32, 32}, {32, 2}};
    uint64_t before = secrets_alive();
    for (size_t c = 0; c < HF_ARRAY_LEN(cases); c++) {
        uint32_t n = cases[c].n;
        uint32_t k = cases[c].k;
        struct memory_store m;
        memory_store_init(&m);
        struct hf_seal *seal = opened(&m);
        struct hf_seal_status status;
        assert_int_equal(hf_seal_status(seal, &status).code, HF_OK);
        assert_false(status.initialized);
        assert_true(status.sealed);
        struct held held;
        init(seal, n, k, &held);
        assert_int_equal(hf_seal_status(seal, &status).code, HF_OK);
        assert_true(status.initialized);
        assert_false(status.sealed);
        assert_int_equal(status.threshold, k);
        assert_int_equal(status.shares, n);
        struct hf_secret *record_key = NULL;
        assert_int_equal(hf_secret_copy(hf_seal_keyring(seal)->record_key, &record_key).code, HF_OK);
        struct hf_id log = hf_seal_keyring(seal)->audit_log;
        struct hf_secret *root_kek = kek(seal, ns_root, 0);
        hf_seal_lock(seal);
        assert_null(hf_seal_keyring(seal));

        /* another process, later; shares in another order, in turn in each form */
        hf_seal_close(seal);
        seal = opened(&m);
        bool complete = false;
        const char *why = "";
        for (uint32_t i = 0; i < k; i++) {
            uint32_t which = n - 1 - i;
            const char *forms[] = {held.hex[which], held.base64[which], held.card[which]};
            assert_false(complete);
            assert_int_equal(hf_seal_status(seal, &status).code, HF_OK);
            assert_int_equal(status.progress, i);
            assert_true(status.sealed);
            assert_int_equal(offer(seal, forms[i % 3], &complete, &why).code, HF_OK);
        }
        assert_true(complete);
        assert_true(hf_secret_equal(hf_seal_keyring(seal)->record_key, record_key));
        assert_memory_equal(&hf_seal_keyring(seal)->audit_log, &log, sizeof(log));
        struct hf_secret *again = kek(seal, ns_root, 1);
        assert_true(hf_secret_equal(again, root_kek));
        assert_int_equal(hf_seal_status(seal, &status).code, HF_OK);
        assert_int_equal(status.progress, 0);
        assert_int_equal(offer(seal, held.hex[0], &complete, &why).code, HF_ALREADY);
        hf_secret_free(again);
        hf_secret_free(root_kek);
        hf_secret_free(record_key);
        hf_seal_close(seal);
        memory_store_done(&m);
    }
    assert_int_equal(secrets_alive(), before);
}

static void init_refuses_what_makes_no_sense_and_a_second_time(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct hf_share_set set = {.count = 0};
    bool complete;
    const char *why;
    assert_int_equal(offer(seal, "00", &complete, &why).code, HF_NOT_INITIALIZED);
    assert_int_equal(hf_seal_init(seal, 0, 0, &set).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_seal_init(seal, 3, 4, &set).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_seal_init(seal, 33, 3, &set).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_seal_init(seal, 5, 0, &set).code, HF_BAD_ARGUMENT);
    assert_null(row_of(&m, HF_TABLE_SEAL));
    struct held held;
    init(seal, 3, 2, &held);
    assert_int_equal(hf_seal_init(seal, 3, 2, &set).code, HF_ALREADY);
    hf_seal_lock(seal);
    assert_int_equal(hf_seal_init(seal, 3, 2, &set).code, HF_ALREADY);
    assert_int_equal(set.count, 0);
    /* another process that had read the empty store before */
    struct memory_store empty;
    memory_store_init(&empty);
    struct hf_seal *late = opened(&empty);
    memory_store_done(&empty);
    for (unsigned i = 0; i < ROWS_MAX; i++)
        empty.rows[i] = m.rows[i];
    assert_int_equal(hf_seal_init(late, 1, 1, &set).code, HF_ALREADY);
    struct hf_seal_status status;
    assert_int_equal(hf_seal_status(late, &status).code, HF_OK);
    assert_true(status.initialized);
    hf_seal_close(late);
    assert_true(opens_with(seal, &held, 2));
    hf_seal_close(seal);
    memory_store_done(&m);
}

static void refused(struct hf_seal *seal, const char *text, const char *reason, uint32_t progress)
{
    bool complete = true;
    const char *why = NULL;
    assert_int_equal(offer(seal, text, &complete, &why).code, HF_BAD_SHARE);
    assert_false(complete);
    if (strstr(why, reason) == NULL)
        fail_msg("said \"%s\", not \"%s\"", why, reason);
    struct hf_seal_status status;
    assert_int_equal(hf_seal_status(seal, &status).code, HF_OK);
    assert_int_equal(status.progress, progress); /* the others' shares still count */
}

static void wrong_shares_are_named_at_once_and_cost_no_progress(void **state)
{
    (void)state;
    struct memory_store m, other;
    memory_store_init(&m);
    memory_store_init(&other);
    struct hf_seal *seal = opened(&m);
    struct hf_seal *stranger = opened(&other);
    struct held held, foreign;
    init(seal, 5, 3, &held);
    init(stranger, 9, 3, &foreign);
    hf_seal_lock(seal);
    for (uint32_t progress = 0; progress < 3; progress++) {
        refused(seal, foreign.card[1], "another set", progress);
        refused(seal, foreign.hex[1], "not a share of the present set", progress);
        refused(seal, foreign.base64[8], "index is above", progress);
        refused(seal, "", "empty", progress);
        refused(seal, "no share", "neither hex nor base64", progress);
        char bad[HF_SHARE_CARD_MAX];
        memcpy(bad, held.hex[4], sizeof(bad));
        bad[20] = bad[20] == '0' ? '1' : '0'; /* damaged */
        refused(seal, bad, "not a share of the present set", progress);
        memcpy(bad, held.hex[4], sizeof(bad));
        bad[65] = '4'; /* its value with another index */
        refused(seal, bad, "not a share of the present set", progress);
        memcpy(bad, held.hex[4], sizeof(bad));
        bad[64] = '\0'; /* truncated: the last byte of y is taken for the index */
        refused(seal, bad, "", progress);
        memcpy(bad, held.card[4], sizeof(bad));
        bad[30] = bad[30] == 'q' ? 'p' : 'q';
        refused(seal, bad, "a wrong character in group 4, at place 3", progress);
        if (progress < 2) {
            bool complete;
            const char *why;
            assert_int_equal(offer(seal, held.hex[progress], &complete, &why).code, HF_OK);
            /* the same once more, in another form: no progress, no error */
            struct hf_seal_status status;
            assert_int_equal(offer(seal, held.card[progress], &complete, &why).code, HF_OK);
            assert_false(complete);
            assert_int_equal(hf_seal_status(seal, &status).code, HF_OK);
            assert_int_equal(status.progress, progress + 1);
        }
        if (progress == 2)
            break;
    }
    bool complete;
    const char *why;
    assert_int_equal(offer(seal, held.card[4], &complete, &why).code, HF_OK);
    assert_true(complete);
    hf_seal_close(seal);
    hf_seal_close(stranger);
    memory_store_done(&m);
    memory_store_done(&other);
}

static void reset_forgets_and_the_nonce_changes(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held;
    init(seal, 5, 3, &held);
    hf_seal_lock(seal);
    uint64_t before = secrets_alive();
    struct hf_seal_status first, second;
    bool complete;
    const char *why;
    assert_int_equal(offer(seal, held.hex[0], &complete, &why).code, HF_OK);
    assert_int_equal(offer(seal, held.hex[1], &complete, &why).code, HF_OK);
    assert_int_equal(hf_seal_status(seal, &first).code, HF_OK);
    hf_seal_reset(seal);
    assert_int_equal(secrets_alive(), before);
    assert_int_equal(hf_seal_status(seal, &second).code, HF_OK);
    assert_int_equal(second.progress, 0);
    assert_memory_equal(&second.nonce, &(struct hf_id){0}, sizeof(struct hf_id));
    assert_int_equal(offer(seal, held.hex[2], &complete, &why).code, HF_OK);
    assert_int_equal(hf_seal_status(seal, &second).code, HF_OK);
    assert_memory_not_equal(&second.nonce, &first.nonce, sizeof(struct hf_id));
    hf_seal_reset(seal);
    assert_true(opens_with(seal, &held, 3));
    hf_seal_close(seal);
    memory_store_done(&m);
}

static void any_altered_byte_of_either_row_is_found(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held;
    init(seal, 3, 2, &held);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
    hf_seal_close(seal);
    static const uint16_t tables[] = {HF_TABLE_SEAL, HF_TABLE_KEYRING};
    for (size_t t = 0; t < HF_ARRAY_LEN(tables); t++) {
        struct memory_row *row = row_of(&m, tables[t]);
        for (size_t i = 0; i < row->len; i++) {
            row->sealed[i] ^= 0x40;
            seal = opened(&m);
            /* shares 0 and 1 do not touch the third's commitment: the keyring's authentication finds that */
            assert_false(opens_with(seal, &held, 2));
            hf_seal_close(seal);
            row->sealed[i] ^= 0x40;
        }
        for (size_t cut = 1; cut <= row->len; cut += 7) {
            row->len -= cut;
            seal = opened(&m);
            assert_false(opens_with(seal, &held, 2));
            hf_seal_close(seal);
            row->len += cut;
        }
        row->rev++;
        seal = opened(&m);
        bool opens = opens_with(seal, &held, 2);
        hf_seal_close(seal);
        row->rev--;
        assert_int_equal(opens, tables[t] == HF_TABLE_SEAL); /* the keyring knows its own revision */
    }
    seal = opened(&m);
    assert_true(opens_with(seal, &held, 2));
    hf_seal_close(seal);
    memory_store_done(&m);
}

static void an_older_or_foreign_keyring_row_is_refused(void **state)
{
    (void)state;
    struct memory_store m, older, foreign;
    memory_store_init(&m);
    memory_store_init(&foreign);
    struct hf_seal *seal = opened(&m);
    struct hf_seal *stranger = opened(&foreign);
    struct held held, strange;
    init(seal, 3, 2, &held);
    init(stranger, 3, 2, &strange);
    hf_seal_close(stranger);
    memory_store_copy(&m, &older);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
    hf_seal_close(seal);
    struct memory_row *now = row_of(&m, HF_TABLE_KEYRING);
    struct memory_row kept = *now;
    /* the older row under the present revision */
    now->sealed = row_of(&older, HF_TABLE_KEYRING)->sealed;
    now->len = row_of(&older, HF_TABLE_KEYRING)->len;
    seal = opened(&m);
    bool complete;
    const char *why;
    assert_int_equal(offer(seal, held.hex[0], &complete, &why).code, HF_OK);
    assert_int_equal(offer(seal, held.hex[1], &complete, &why).code, HF_CORRUPT);
    assert_non_null(strstr(why, "keyring is damaged or has been altered"));
    struct hf_seal_status status;
    assert_int_equal(hf_seal_status(seal, &status).code, HF_OK);
    assert_true(status.sealed);
    assert_int_equal(status.progress, 1);
    hf_seal_close(seal);
    /* another server's */
    now->sealed = row_of(&foreign, HF_TABLE_KEYRING)->sealed;
    now->len = row_of(&foreign, HF_TABLE_KEYRING)->len;
    seal = opened(&m);
    assert_false(opens_with(seal, &held, 2));
    hf_seal_close(seal);
    *now = kept;
    seal = opened(&m);
    assert_true(opens_with(seal, &held, 2));
    hf_seal_close(seal);
    /* both rows of another server: it is that server, and these shares are foreign to it */
    stranger = opened(&foreign);
    refused(stranger, held.card[0], "another set", 0);
    assert_true(opens_with(stranger, &strange, 2));
    hf_seal_close(stranger);
    memory_store_done(&m);
    memory_store_done(&older);
    memory_store_done(&foreign);
}

static void keks_live_through_seal_and_unseal(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held;
    struct hf_secret *key = NULL;
    uint32_t generation = 0;
    assert_int_equal(hf_seal_kek(seal, hf_cursor(ns_a, 16), 0, &key, NULL).code, HF_NOT_INITIALIZED);
    init(seal, 3, 2, &held);
    assert_int_equal(hf_seal_kek(seal, hf_cursor(ns_a, 16), 0, &key, NULL).code, HF_NOT_FOUND);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_b, 16)).code, HF_OK);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_EXISTS);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 15)).code, HF_BAD_ARGUMENT);
    struct hf_secret *first = kek(seal, ns_a, 0);
    struct hf_secret *other = kek(seal, ns_b, 0);
    assert_false(hf_secret_equal(first, other));
    assert_int_equal(hf_seal_kek_rotate(seal, hf_cursor(ns_a, 16), &generation).code, HF_OK);
    assert_int_equal(generation, 2);
    struct hf_secret *second = kek(seal, ns_a, 0);
    assert_false(hf_secret_equal(first, second));
    hf_seal_lock(seal);
    assert_int_equal(hf_seal_kek(seal, hf_cursor(ns_a, 16), 0, &key, NULL).code, HF_SEALED);
    assert_int_equal(hf_seal_kek_rotate(seal, hf_cursor(ns_a, 16), &generation).code, HF_SEALED);
    hf_seal_close(seal);

    seal = opened(&m);
    unseal(seal, &held, 2);
    struct hf_secret *again[] = {kek(seal, ns_a, 1), kek(seal, ns_a, 2), kek(seal, ns_b, 1)};
    assert_true(hf_secret_equal(again[0], first));
    assert_true(hf_secret_equal(again[1], second));
    assert_true(hf_secret_equal(again[2], other));
    for (unsigned i = 0; i < 3; i++)
        hf_secret_free(again[i]);
    assert_int_equal(hf_seal_kek(seal, hf_cursor(ns_a, 16), 3, &key, NULL).code, HF_NOT_FOUND);
    assert_int_equal(hf_seal_kek_erase(seal, hf_cursor(ns_a, 16)).code, HF_OK);
    for (uint32_t g = 0; g <= 2; g++)
        assert_int_equal(hf_seal_kek(seal, hf_cursor(ns_a, 16), g, &key, NULL).code, HF_NOT_FOUND);
    hf_seal_close(seal);

    seal = opened(&m);
    unseal(seal, &held, 2);
    assert_int_equal(hf_seal_kek(seal, hf_cursor(ns_a, 16), 1, &key, NULL).code, HF_NOT_FOUND);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_EXISTS); /* never again */
    assert_int_equal(hf_seal_kek_rotate(seal, hf_cursor(ns_a, 16), &generation).code, HF_NOT_FOUND);
    assert_int_equal(hf_seal_kek_erase(seal, hf_cursor(ns_a, 16)).code, HF_NOT_FOUND);
    struct hf_secret *still = kek(seal, ns_b, 0);
    assert_true(hf_secret_equal(still, other));
    hf_secret_free(still);
    hf_secret_free(first);
    hf_secret_free(second);
    hf_secret_free(other);
    hf_seal_close(seal);
    memory_store_done(&m);
}

static void many_namespaces_are_kept_apart(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held;
    init(seal, 1, 1, &held);
    struct hf_secret *keys[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        uint8_t ns[16] = {(uint8_t)(i * 37), (uint8_t)(i >> 8), 9};
        ns[15] = (uint8_t)i;
        assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns, 16)).code, HF_OK);
        keys[i] = kek(seal, ns, 0);
    }
    hf_seal_lock(seal);
    unseal(seal, &held, 1);
    for (unsigned i = 0; i < MANY; i++) {
        uint8_t ns[16] = {(uint8_t)(i * 37), (uint8_t)(i >> 8), 9};
        ns[15] = (uint8_t)i;
        struct hf_secret *key = kek(seal, ns, 0);
        assert_true(hf_secret_equal(key, keys[i]));
        hf_secret_free(key);
        hf_secret_free(keys[i]);
    }
    hf_seal_close(seal);
    memory_store_done(&m);
}

static void a_store_that_is_away_is_asked_again(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held;
    init(seal, 3, 2, &held);
    hf_seal_close(seal);
    arm(&m, 1, 1000, HF_STORE_DOWN, false);
    seal = opened(&m);
    struct hf_seal_status status;
    assert_int_equal(hf_seal_status(seal, &status).code, HF_STORE_DOWN);
    bool complete;
    const char *why;
    assert_int_equal(offer(seal, held.hex[0], &complete, &why).code, HF_STORE_DOWN);
    disarm(&m);
    assert_int_equal(offer(seal, held.hex[0], &complete, &why).code, HF_OK);
    /* away when the last share comes: the others' still count, this one is given again */
    arm(&m, 1, 1000, HF_STORE_DOWN, false);
    assert_int_equal(offer(seal, held.hex[1], &complete, &why).code, HF_STORE_DOWN);
    assert_int_equal(hf_seal_status(seal, &status).code, HF_OK); /* from memory */
    assert_int_equal(status.progress, 1);
    disarm(&m);
    assert_int_equal(offer(seal, held.hex[1], &complete, &why).code, HF_OK);
    assert_true(complete);
    hf_seal_close(seal);
    memory_store_done(&m);
}

int main(void)
{
    hf_log_setup(2, HF_LOG_ERROR, "test");
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_ARENA)))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_k_of_n_unseal_and_the_keyring_is_the_same),
        cmocka_unit_test(init_refuses_what_makes_no_sense_and_a_second_time),
        cmocka_unit_test(wrong_shares_are_named_at_once_and_cost_no_progress),
        cmocka_unit_test(reset_forgets_and_the_nonce_changes),
        cmocka_unit_test(any_altered_byte_of_either_row_is_found),
        cmocka_unit_test(an_older_or_foreign_keyring_row_is_refused),
        cmocka_unit_test(keks_live_through_seal_and_unseal),
        cmocka_unit_test(many_namespaces_are_kept_apart),
        cmocka_unit_test(a_store_that_is_away_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
