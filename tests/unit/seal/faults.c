/* Every fault of the store and of memory, at every point: what is written is the state before or the state after, and
 * whoever was handed shares can open with them. */
#include "unit/seal/fixture.h"

static const uint8_t ns_a[16] = {0xaa, 1};

struct fault {
    enum hf_code code;
    bool apply_first;
};
static const struct fault faults[] = {
    {HF_STORE_DOWN, false}, {HF_STORE_FULL, false},     {HF_STORE_READ_ONLY, false},
    {HF_TIMEOUT, false},    {HF_COMMIT_UNKNOWN, false}, {HF_COMMIT_UNKNOWN, true},
};

static bool restarted_opens(const struct memory_store *m, const struct held *held, uint32_t k)
{
    struct memory_store copy;
    memory_store_copy(m, &copy);
    struct hf_seal *seal = opened(&copy);
    bool opens = held->count > 0 && opens_with(seal, held, k);
    hf_seal_close(seal);
    memory_store_done(&copy);
    return opens;
}

static void init_writes_both_rows_or_neither(void **state)
{
    (void)state;
    for (size_t f = 0; f < HF_ARRAY_LEN(faults); f++) {
        unsigned fired = 1;
        for (unsigned nth = 1; fired != 0; nth++) {
            struct memory_store m;
            memory_store_init(&m);
            uint64_t before = secrets_alive();
            struct hf_seal *seal = opened(&m);
            arm(&m, nth, 1, faults[f].code, faults[f].apply_first);
            struct hf_share_set set = {.count = 0};
            struct held held = {0};
            hf_result done = hf_seal_init(seal, 3, 2, &set);
            fired = m.fired;
            disarm(&m);
            bool rows = row_of(&m, HF_TABLE_SEAL) != NULL;
            assert_int_equal(rows, row_of(&m, HF_TABLE_KEYRING) != NULL);
            if (HF_IS_OK(done)) {
                hold(&set, &held);
                assert_true(restarted_opens(&m, &held, 2));
            } else {
                assert_true(fired);
                assert_int_equal(set.count, 0);
                assert_false(rows);
                init(seal, 3, 2, &held); /* nothing was left half done */
                assert_true(restarted_opens(&m, &held, 2));
            }
            hf_seal_close(seal);
            memory_store_done(&m);
            assert_int_equal(secrets_alive(), before);
        }
    }
}

static void a_rekey_is_done_or_not_done(void **state)
{
    (void)state;
    for (unsigned verify = 0; verify < 2; verify++) {
        for (size_t f = 0; f < HF_ARRAY_LEN(faults); f++) {
            unsigned fired = 1;
            for (unsigned nth = 1; fired != 0; nth++) {
                struct memory_store m;
                memory_store_init(&m);
                struct hf_seal *seal = opened(&m);
                struct held held, next = {0};
                init(seal, 3, 2, &held);
                struct hf_quorum_status status;
                struct hf_share_set set = {.count = 0};
                const char *why;
                bool complete = false;
                assert_int_equal(hf_rekey_begin(seal, 4, 3, verify, &status).code, HF_OK);
                struct hf_id nonce = status.nonce;
                assert_int_equal(
                    hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
                    HF_OK);
                if (!verify)
                    arm(&m, nth, 1, faults[f].code, faults[f].apply_first);
                hf_result done =
                    hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[1]), &status, &set, &why);
                if (verify) {
                    assert_int_equal(done.code, HF_OK);
                    hold(&set, &next);
                    nonce = status.verification_nonce;
                    for (uint32_t i = 0; i < 3; i++) {
                        if (i == 2)
                            arm(&m, nth, 1, faults[f].code, faults[f].apply_first);
                        done = hf_rekey_verify(seal, nonce, hf_cursor_text(next.hex[i]), &complete, &status,
                                               &why);
                        assert_true(i == 2 || HF_IS_OK(done));
                    }
                } else if (HF_IS_OK(done)) {
                    hold(&set, &next);
                }
                fired = m.fired;
                disarm(&m);
                assert_true(fired || HF_IS_OK(done));
                assert_int_equal(restarted_opens(&m, &next, 3), HF_IS_OK(done));
                assert_int_equal(restarted_opens(&m, &held, 2), !HF_IS_OK(done));
                if (!HF_IS_OK(done)) { /* the missing share again, and it is done */
                    if (verify)
                        done = hf_rekey_verify(seal, nonce, hf_cursor_text(next.hex[2]), &complete, &status,
                                               &why);
                    else
                        done = hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[1]), &status, &set, &why);
                    assert_int_equal(done.code, HF_OK);
                    if (!verify)
                        hold(&set, &next);
                    assert_true(restarted_opens(&m, &next, 3));
                }
                /* what is in memory is what is written */
                assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
                assert_true(restarted_opens(&m, &next, 3));
                hf_seal_close(seal);
                memory_store_done(&m);
            }
        }
    }
}

/* Every pattern of four calls of which some are lost: commits, and the questions about them. */
static void a_rekey_survives_every_pattern_of_losses(void **state)
{
    (void)state;
    for (unsigned pattern = 1; pattern < 32; pattern++) {
        struct memory_store m;
        memory_store_init(&m);
        struct hf_seal *seal = opened(&m);
        struct held held, next = {0};
        init(seal, 3, 2, &held);
        struct hf_quorum_status status;
        struct hf_share_set set = {.count = 0};
        const char *why;
        assert_int_equal(hf_rekey_begin(seal, 4, 3, false, &status).code, HF_OK);
        struct hf_id nonce = status.nonce;
        assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
                         HF_OK);
        arm(&m, 0, 0, HF_COMMIT_UNKNOWN, pattern & 1);
        m.mask = pattern >> 1;
        hf_result done = hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[1]), &status, &set, &why);
        disarm(&m);
        assert_int_equal(done.code, HF_OK);
        hold(&set, &next);
        assert_true(restarted_opens(&m, &next, 3));
        assert_false(restarted_opens(&m, &held, 2));
        assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
        hf_seal_close(seal);
        memory_store_done(&m);
    }
}

/* The store takes the rekey, and its answer is lost for longer than anyone waits. */
static void new_shares_are_given_when_the_store_comes_back(void **state)
{
    (void)state;
    for (unsigned applied = 0; applied < 2; applied++) {
        struct memory_store m;
        memory_store_init(&m);
        struct hf_seal *seal = opened(&m);
        struct held held, next;
        init(seal, 3, 2, &held);
        struct hf_quorum_status status;
        struct hf_share_set set = {.count = 0};
        const char *why;
        assert_int_equal(hf_rekey_begin(seal, 4, 3, false, &status).code, HF_OK);
        struct hf_id nonce = status.nonce;
        assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
                         HF_OK);
        arm(&m, 1, 1000000, HF_COMMIT_UNKNOWN, applied != 0);
        assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[1]), &status, &set, &why).code,
                         HF_COMMIT_UNKNOWN);
        assert_int_equal(set.count, 0);
        assert_int_equal(hf_rekey_cancel(seal).code,
                         HF_COMMIT_UNKNOWN); /* they may be the only ones that open */
        disarm(&m);
        assert_int_equal(restarted_opens(&m, &held, 2), !applied);
        assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[1]), &status, &set, &why).code,
                         HF_OK);
        assert_int_equal(set.count, 4);
        hold(&set, &next);
        assert_true(restarted_opens(&m, &next, 3));
        assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
        hf_seal_lock(seal);
        unseal(seal, &next, 3);
        hf_seal_close(seal);
        memory_store_done(&m);
    }
}

static void a_kek_is_there_or_not_there(void **state)
{
    (void)state;
    for (size_t f = 0; f < HF_ARRAY_LEN(faults); f++) {
        unsigned fired = 1;
        for (unsigned nth = 1; fired != 0; nth++) {
            struct memory_store m;
            memory_store_init(&m);
            struct hf_seal *seal = opened(&m);
            struct held held;
            init(seal, 3, 2, &held);
            arm(&m, nth, 1, faults[f].code, faults[f].apply_first);
            hf_result done = hf_seal_kek_create(seal, hf_cursor(ns_a, 16));
            fired = m.fired;
            disarm(&m);
            struct hf_secret *key = NULL;
            assert_int_equal(HF_IS_OK(hf_seal_kek(seal, hf_cursor(ns_a, 16), 0, &key, NULL)), HF_IS_OK(done));
            hf_seal_lock(seal);
            unseal(seal, &held, 2);
            struct hf_secret *again = NULL;
            assert_int_equal(HF_IS_OK(hf_seal_kek(seal, hf_cursor(ns_a, 16), 0, &again, NULL)),
                             HF_IS_OK(done));
            if (HF_IS_OK(done))
                assert_true(hf_secret_equal(key, again));
            hf_secret_free(key);
            hf_secret_free(again);
            hf_seal_close(seal);
            memory_store_done(&m);
        }
    }
}

/* A write whose outcome stayed unknown, and that was carried out: the next change takes it up instead of failing for
 * ever. */
static void a_late_success_is_taken_up(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct hf_seal *seal = opened(&m);
    struct held held;
    init(seal, 3, 2, &held);
    arm(&m, 1, 1000000, HF_COMMIT_UNKNOWN, true);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_COMMIT_UNKNOWN);
    disarm(&m);
    uint32_t generation;
    struct hf_secret *key = NULL;
    static const uint8_t ns_b[16] = {0xbb};
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_b, 16)).code, HF_CONFLICT);
    assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_b, 16)).code, HF_OK);
    assert_int_equal(hf_seal_kek(seal, hf_cursor(ns_a, 16), 0, &key, &generation).code, HF_OK);
    hf_secret_free(key);
    hf_seal_close(seal);
    memory_store_done(&m);
}

/* ---- memory ---- */

enum { FILLERS_MAX = 40000 };
static struct hf_secret *fillers[FILLERS_MAX];
static size_t filler_count;

/* Takes all secret memory but about `left` pieces of 64 bytes. */
static void starve(size_t left)
{
    static const size_t sizes[] = {65536, 8192, 1024, 64};
    for (size_t s = 0; s < HF_ARRAY_LEN(sizes); s++)
        while (filler_count < FILLERS_MAX && HF_IS_OK(hf_secret_new(sizes[s], &fillers[filler_count])))
            filler_count++;
    assert_true(filler_count < FILLERS_MAX);
    for (size_t i = 0; i < left && filler_count > 0; i++)
        hf_secret_free(fillers[--filler_count]);
}

static void feed(void)
{
    while (filler_count > 0)
        hf_secret_free(fillers[--filler_count]);
}

static void short_memory_leaves_all_as_it_was(void **state)
{
    (void)state;
    unsigned failed = 0;
    bool done = false;
    struct memory_store m;
    struct held held;
    for (size_t left = 0; !done; left++) {
        assert_true(left < 4000);
        memory_store_init(&m);
        struct hf_seal *seal = opened(&m);
        struct hf_share_set set = {.count = 0};
        uint64_t before = secrets_alive();
        starve(left);
        hf_result made = hf_seal_init(seal, 3, 2, &set);
        feed();
        done = HF_IS_OK(made);
        if (!done) {
            failed++;
            assert_null(row_of(&m, HF_TABLE_SEAL));
            assert_null(row_of(&m, HF_TABLE_KEYRING));
            assert_int_equal(secrets_alive(), before);
            memory_store_done(&m);
        } else {
            hold(&set, &held);
        }
        hf_seal_close(seal);
    }
    assert_true(failed > 3);
    failed = 0;
    done = false;
    for (size_t left = 0; !done; left++) { /* unseal, then rekey, each with a little more */
        assert_true(left < 4000);
        struct memory_store copy;
        memory_store_copy(&m, &copy);
        struct hf_seal *seal = opened(&copy);
        bool complete = false;
        const char *why;
        starve(left);
        hf_result first = offer(seal, held.hex[0], &complete, &why);
        hf_result second = offer(seal, held.hex[1], &complete, &why);
        feed();
        if (!complete) {
            failed++;
            if (HF_IS_OK(first))
                assert_false(HF_IS_OK(second));
            hf_seal_reset(seal);
            unseal(seal, &held, 2);
        }
        struct hf_quorum_status status;
        struct hf_share_set set = {.count = 0};
        assert_int_equal(hf_rekey_begin(seal, 4, 3, false, &status).code, HF_OK);
        struct hf_id nonce = status.nonce;
        assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
                         HF_OK);
        starve(left);
        hf_result rekeyed = hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[1]), &status, &set, &why);
        feed();
        done = HF_IS_OK(rekeyed);
        struct held next = {0};
        if (done)
            hold(&set, &next);
        assert_int_equal(restarted_opens(&copy, &held, 2), !done);
        assert_int_equal(restarted_opens(&copy, &next, 3), done);
        hf_seal_close(seal);
        memory_store_done(&copy);
    }
    assert_true(failed > 1);
    memory_store_done(&m);
}

/* The general heap: the nth allocation fails. The C library's own functions are used from here; sanitizers have theirs. */
#ifndef HF_SANITIZE
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
static unsigned heap_fail_at, heap_calls, heap_fired;

static bool heap_fails(void)
{
    bool fails = heap_fail_at != 0 && ++heap_calls == heap_fail_at;
    heap_fired += fails;
    return fails;
}

void *malloc(size_t size)
{
    return heap_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return heap_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return heap_fails() ? NULL : __libc_realloc(old, size);
}

static void heap_arm(unsigned nth)
{
    heap_calls = heap_fired = 0;
    heap_fail_at = nth;
}

static void the_nth_allocation_fails(void **state)
{
    (void)state;
    unsigned failures = 0;
    bool fired = true;
    for (unsigned nth = 1; fired; nth++) {
        struct memory_store m;
        memory_store_init(&m);
        uint64_t before = secrets_alive();
        struct hf_seal *seal = opened(&m);
        struct hf_share_set set = {.count = 0};
        struct hf_quorum_status status;
        struct held held, next = {0};
        bool complete = false;
        const char *why;
        fired = false;
        heap_arm(nth); /* init */
        hf_result done = hf_seal_init(seal, 3, 2, &set);
        heap_fail_at = 0;
        fired = fired || heap_fired;
        if (!HF_IS_OK(done)) {
            failures++;
            assert_int_equal(done.code, HF_NO_MEMORY);
            assert_null(row_of(&m, HF_TABLE_SEAL));
            assert_int_equal(hf_seal_init(seal, 3, 2, &set).code, HF_OK);
        }
        hold(&set, &held);
        heap_arm(nth); /* a KEK */
        done = hf_seal_kek_create(seal, hf_cursor(ns_a, 16));
        heap_fail_at = 0;
        fired = fired || heap_fired;
        if (!HF_IS_OK(done)) {
            failures++;
            assert_int_equal(hf_seal_kek_create(seal, hf_cursor(ns_a, 16)).code, HF_OK);
        }
        hf_seal_lock(seal);
        assert_int_equal(offer(seal, held.hex[0], &complete, &why).code, HF_OK);
        heap_arm(nth); /* unseal */
        done = offer(seal, held.hex[1], &complete, &why);
        heap_fail_at = 0;
        fired = fired || heap_fired;
        if (!complete) {
            failures++;
            assert_false(HF_IS_OK(done));
            assert_int_equal(offer(seal, held.hex[1], &complete, &why).code, HF_OK);
        }
        assert_int_equal(hf_rekey_begin(seal, 4, 3, false, &status).code, HF_OK);
        struct hf_id nonce = status.nonce;
        assert_int_equal(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[0]), &status, &set, &why).code,
                         HF_OK);
        heap_arm(nth); /* rekey */
        done = hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[1]), &status, &set, &why);
        heap_fail_at = 0;
        fired = fired || heap_fired;
        if (!HF_IS_OK(done)) {
            failures++;
            assert_true(restarted_opens(&m, &held, 2));
            assert_int_equal(
                hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[1]), &status, &set, &why).code, HF_OK);
        }
        hold(&set, &next);
        assert_true(restarted_opens(&m, &next, 3));
        hf_seal_close(seal);
        memory_store_done(&m);
        assert_int_equal(secrets_alive(), before);
    }
    assert_true(failures >= 4);
}
#endif

int main(void)
{
    hf_log_setup(2, HF_LOG_ERROR, "test");
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_ARENA)))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_writes_both_rows_or_neither),
        cmocka_unit_test(a_rekey_is_done_or_not_done),
        cmocka_unit_test(a_rekey_survives_every_pattern_of_losses),
        cmocka_unit_test(new_shares_are_given_when_the_store_comes_back),
        cmocka_unit_test(a_kek_is_there_or_not_there),
        cmocka_unit_test(a_late_success_is_taken_up),
        cmocka_unit_test(short_memory_leaves_all_as_it_was),
#ifndef HF_SANITIZE
        cmocka_unit_test(the_nth_allocation_fails),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
