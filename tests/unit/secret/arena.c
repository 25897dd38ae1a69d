#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "memory.h"
#include "secret/arena.h"
#include "secret/view.h"

static uint64_t live(void)
{
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    return report.bytes_used;
}

static bool all_are(const uint8_t *at, uint8_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] != value)
            return false;
    return true;
}

static void report_says_what_is_there(void **state)
{
    (void)state;
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    assert_true(report.guard_pages);
    assert_true(report.dont_dump);
    assert_true(report.dont_fork);
    assert_true(report.bytes_mapped >= 1 << 20);
    assert_int_equal(report.memfd_secret && report.locked && report.bytes_mapped == 16 << 20,
                     report.why_not[0] == 0);
    assert_int_equal(hf_secret_arena_open(1 << 20, false).code, HF_ALREADY);
}

static void each_length_is_usable_and_wiped(void **state)
{
    (void)state;
    uint64_t before = live();
    for (size_t len = 0; len < 70000; len = len < 5000 ? len + 1 : len + 977) {
        uint8_t *at = (uint8_t *)hf_arena_alloc(len);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % 16, 0);
        assert_true(hf_arena_holds(at));
        assert_true(all_are(at, 0, len));
        memset(at, 0xa5, len);
        hf_arena_free(at);
    }
    assert_int_equal(live(), before);
}

static void large_ones_come_back(void **state)
{
    (void)state;
    uint64_t before = live();
    for (int round = 0; round < 50; round++) {
        uint8_t *at[3];
        for (int i = 0; i < 3; i++) {
            size_t len = ((size_t)i + 1) << 20;
            at[i] = (uint8_t *)hf_arena_alloc(len);
            assert_non_null(at[i]);
            assert_true(at[i][0] == 0 && at[i][len - 1] == 0);
            at[i][0] = at[i][len - 1] = 1;
        }
        for (int i = 0; i < 3; i++)
            hf_arena_free(at[i]);
    }
    assert_null(hf_arena_alloc((size_t)1 << 30));
    assert_null(hf_arena_alloc(SIZE_MAX));
    assert_null(hf_arena_alloc(PTRDIFF_MAX));
    assert_int_equal(live(), before);
}

static void realloc_keeps_and_wipes(void **state)
{
    (void)state;
    uint64_t before = live();
    uint8_t *at = (uint8_t *)hf_arena_realloc(NULL, 1);
    assert_non_null(at);
    at[0] = 1;
    size_t len = 1;
    static const size_t steps[] = {5, 24, 25, 100, 90, 4000, 40000, 200000, 100000, 33000, 20, 1};
    for (size_t i = 0; i < HF_ARRAY_LEN(steps); i++) {
        at = (uint8_t *)hf_arena_realloc(at, steps[i]);
        assert_non_null(at);
        size_t kept = HF_MIN(len, steps[i]);
        for (size_t j = 0; j < kept; j++)
            assert_int_equal(at[j], (uint8_t)(j + 1));
        assert_true(all_are(at + kept, 0, steps[i] - kept)); /* grown parts never show what was there */
        len = steps[i];
        for (size_t j = 0; j < len; j++)
            at[j] = (uint8_t)(j + 1);
    }
    assert_null(hf_arena_realloc(at, 0));
    hf_arena_free(NULL);
    assert_int_equal(live(), before);
}

static void exhaustion_is_null_and_recovers(void **state)
{
    (void)state;
    enum { MOST = 1024 };
    static void *taken[MOST];
    size_t count = 0;
    while (count < MOST && (taken[count] = hf_arena_alloc(100000)) != NULL)
        count++;
    assert_true(count > 1 && count < MOST);
    struct hf_secret *secret = NULL;
    assert_int_equal(hf_secret_new(60000, &secret).code, HF_NO_MEMORY);
    assert_null(secret);
    while (count != 0)
        hf_arena_free(taken[--count]);
    assert_int_equal(hf_secret_new(60000, &secret).code, HF_OK);
    hf_secret_free(secret);
}

/* Threads allocate, hand to each other and free; each checks that nobody else writes to what it holds. */
enum { THREADS = 4, SLOTS = 64, ROUNDS = 20000 };
static void *exchange[SLOTS];

static void *churn(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        seed = seed * 1664525u + 1013904223u;
        size_t len = 16 + (seed >> 16) % ((seed >> 8 & 31) == 0 ? 50000 : 600);
        uint8_t *at = (uint8_t *)hf_arena_alloc(len);
        if (at == NULL)
            abort();
        if (!all_are(at, 0, len))
            abort();
        memset(at, (int)(seed >> 24 | 1), len);
        memcpy(at, &len, sizeof(len));
        uint8_t *old = (uint8_t *)__atomic_exchange_n(&exchange[seed % SLOTS], at, __ATOMIC_ACQ_REL);
        if (old != NULL) {
            memcpy(&len, old, sizeof(len));
            if (!all_are(old + sizeof(len), old[sizeof(len)], len - sizeof(len)))
                abort();
            hf_arena_free(old);
        }
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    uint64_t before = live();
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SLOTS; i++) {
        hf_arena_free(exchange[i]);
        exchange[i] = NULL;
    }
    assert_int_equal(live(), before);
}

#ifndef HF_SANITIZE
static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void alloc_and_free_are_fast(void **state)
{
    (void)state;
    enum { TIMES = 200000, HELD = 8 };
    static const size_t lens[] = {32, 300, 2000};
    for (size_t row = 0; row < HF_ARRAY_LEN(lens); row++) {
        int64_t best = INT64_MAX;
        for (int attempt = 0; attempt < 5; attempt++) {
            int64_t begun = cpu_ns();
            for (int i = 0; i < TIMES / HELD; i++) {
                void *at[HELD];
                for (int j = 0; j < HELD; j++)
                    at[j] = hf_arena_alloc(lens[row]);
                for (int j = 0; j < HELD; j++)
                    hf_arena_free(at[j]);
            }
            best = HF_MIN(best, cpu_ns() - begun);
        }
        print_message("  %zu bytes: %.1f ns for alloc and free\n", lens[row], (double)best / TIMES);
        if (best / TIMES > 100 && getenv("HF_NO_TIMING") == NULL)
            fail_msg("too slow: %ld ns", (long)(best / TIMES));
    }
}
#endif

/* ---- secrets ---- */

static void secrets_hold_bytes_and_wipe(void **state)
{
    (void)state;
    struct hf_secret_report before, after;
    hf_secret_arena_report(&before);
    uint8_t inverted[32], bytes[32];
    for (size_t i = 0; i < sizeof(bytes); i++)
        inverted[i] = (uint8_t)(i * 41 + 7 + (size_t)getpid());
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)~inverted[i];
    if (MEMORY_CAN_BE_SEARCHED)
        assert_true(memory_holds(inverted, sizeof(inverted)) >= 1); /* the search finds what is there */

    struct hf_secret *secret = NULL, *copy = NULL, *other = NULL;
    assert_int_equal(hf_secret_take(bytes, sizeof(bytes), &secret).code, HF_OK);
    assert_true(all_are(bytes, 0, sizeof(bytes)));
    assert_int_equal(hf_secret_copy(secret, &copy).code, HF_OK);
    assert_int_equal(hf_secret_random(32, &other).code, HF_OK);
    hf_secret_arena_report(&after);
    assert_int_equal(after.secrets_alive, before.secrets_alive + 3);
    if (before.memfd_secret)
        assert_int_equal(memory_holds(inverted, sizeof(inverted)), 0); /* while the secret lives */

    assert_int_equal(hf_secret_len(secret), 32);
    assert_true(hf_secret_equal(secret, copy));
    assert_false(hf_secret_equal(secret, other));
    {
        CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
        assert_int_equal(hf_secret_view_open(copy, &view).code, HF_OK);
        assert_int_equal(view.len, 32);
        for (size_t i = 0; i < view.len; i++)
            assert_int_equal(view.bytes[i] ^ 0xff, inverted[i]);
        view.bytes[31] ^= 1;
    }
    assert_false(hf_secret_equal(secret, copy));
    hf_secret_free(secret);
    hf_secret_freep(&copy);
    assert_null(copy);
    hf_secret_free(other);
    hf_secret_free(NULL);
    hf_secret_arena_report(&after);
    assert_int_equal(after.secrets_alive, before.secrets_alive);
    assert_int_equal(after.bytes_used, before.bytes_used);
    assert_int_equal(memory_holds(inverted, sizeof(inverted)), 0);
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    struct hf_secret *secret = NULL;
    assert_int_equal(hf_secret_new(0, &secret).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_secret_new(HF_SECRET_MAX + 1, &secret).code, HF_BAD_ARGUMENT);
    uint8_t lost[4] = {1, 2, 3, 4};
    assert_int_equal(hf_secret_take(lost, 0, &secret).code, HF_BAD_ARGUMENT);
    assert_null(secret);
    assert_int_equal(hf_secret_new(HF_SECRET_MAX, &secret).code, HF_OK);
    hf_secret_free(secret);
}

static void random_ones_differ(void **state)
{
    (void)state;
    struct hf_secret *a = NULL, *b = NULL;
    assert_int_equal(hf_secret_random(64, &a).code, HF_OK);
    assert_int_equal(hf_secret_random(64, &b).code, HF_OK);
    assert_false(hf_secret_equal(a, b));
    hf_secret_free(a);
    hf_secret_free(b);
}

/* ---- what must kill the process, each in one of its own ---- */

static uint8_t *first_page(void)
{
    uint8_t *at = (uint8_t *)hf_arena_alloc(1); /* the first block of a fresh arena is the first taken */
    return (uint8_t *)((uintptr_t)at & ~(uintptr_t)(HF_ARENA_PAGE - 1));
}

static int die_as_told(const char *what)
{
    signal(SIGABRT, SIG_DFL);
    volatile uint8_t *at = NULL;
    hf_log_setup(-1, HF_LOG_ERROR, "test");
    if (strcmp(what, "below") == 0) {
        first_page()[-1] = 1;
    } else if (strcmp(what, "above") == 0) {
        struct hf_secret_report report;
        hf_secret_arena_report(&report);
        at = first_page() + report.bytes_mapped;
        at[-1] = 0; /* still inside */
        at[0] = 1;
    } else if (strcmp(what, "double") == 0) {
        void *slot = hf_arena_alloc(100);
        hf_arena_free(slot);
        hf_arena_free(slot);
    } else if (strcmp(what, "double-large") == 0) {
        void *slot = hf_arena_alloc(100000);
        hf_arena_free(slot);
        hf_arena_free(slot);
    } else if (strcmp(what, "foreign") == 0) {
        void *foreign = malloc(100);
        hf_arena_free(foreign);
    } else if (strcmp(what, "inside") == 0) {
        hf_arena_free((uint8_t *)hf_arena_alloc(100) + 16);
    } else if (strcmp(what, "over") == 0) {
        at = (uint8_t *)hf_arena_alloc(100);
        at[100] ^= 1;
        hf_arena_free((void *)(uintptr_t)at);
    } else if (strcmp(what, "under") == 0) {
        at = (uint8_t *)hf_arena_alloc(100);
        at[-1] ^= 1;
        hf_arena_free((void *)(uintptr_t)at);
    } else if (strcmp(what, "late") == 0) {
        at = (uint8_t *)hf_arena_alloc(100);
        hf_arena_free((void *)(uintptr_t)at);
        at[-16] ^= 1;
        (void)hf_arena_alloc(100);
    } else if (strcmp(what, "view") == 0) {
        struct hf_secret *secret = NULL;
        struct hf_secret_view view = {0};
        if (!HF_IS_OK(hf_secret_random(32, &secret)) || !HF_IS_OK(hf_secret_view_open(secret, &view)))
            return 1;
        view.bytes[32] ^= 1;
        hf_secret_view_close(&view);
    } else if (strcmp(what, "not-a-secret") == 0) {
        hf_secret_free((struct hf_secret *)hf_arena_alloc(64));
    } else if (strcmp(what, "fork") == 0) {
        at = (uint8_t *)hf_arena_alloc(100);
        pid_t child = fork();
        if (child == 0) {
            at[0] = 1; /* the arena is not there in children */
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status))
            raise(WTERMSIG(status));
        return WEXITSTATUS(status);
    } else if (strcmp(what, "fallback") == 0) {
        /* As on a kernel without memfd_secret. */
        struct hf_secret_report report;
        if (hf_arena_open(
                &(struct hf_arena_options){.bytes = 1 << 20, .require_all = true, .no_memfd_secret = true})
                .code != HF_PROTECTION)
            return 1;
        hf_secret_arena_report(&report);
        struct hf_secret *secret = NULL;
        bool works = HF_IS_OK(hf_secret_random(32, &secret)) && !report.memfd_secret && report.locked &&
                     report.dont_dump && report.dont_fork && strstr(report.why_not, "memfd_secret") != NULL;
        return works ? 0 : 2;
    } else if (strcmp(what, "limit") == 0) {
        /* A limit that cannot be raised gives a smaller arena, and is reported. */
        struct rlimit limit = {8 << 20, 8 << 20};
        struct hf_secret_report report;
        if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || setuid(65534) != 0)
            return 77;
        if (!HF_IS_OK(hf_secret_arena_open((size_t)1 << 30, false)))
            return 1;
        hf_secret_arena_report(&report);
        void *slot = hf_arena_alloc(100000);
        struct hf_secret *secret = NULL;
        bool in_front = HF_IS_OK(hf_secret_random(32, &secret)) &&
                        (uintptr_t)secret < (uintptr_t)slot; /* keys lie in the protected part */
        return slot != NULL && in_front && !report.locked && report.bytes_mapped == (size_t)1 << 30 &&
                       report.bytes_protected != 0 && report.bytes_protected <= 8 << 20 &&
                       strstr(report.why_not, "RLIMIT_MEMLOCK") != NULL
                   ? 0
                   : 2;
    } else if (strcmp(what, "no-limit") == 0) {
        struct rlimit limit = {0, 0};
        struct hf_secret_report report;
        if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || setuid(65534) != 0)
            return 77;
        if (!HF_IS_OK(hf_secret_arena_open(1 << 20, false)))
            return 1;
        hf_secret_arena_report(&report);
        void *slot = hf_arena_alloc(100000);
        return slot != NULL && !report.locked && !report.memfd_secret && report.dont_dump &&
                       strstr(report.why_not, "RLIMIT_MEMLOCK") != NULL && report.bytes_protected == 0
                   ? 0
                   : 2;
    }
    return 0;
}

static void faults(void **state)
{
    (void)state;
#ifdef HF_SANITIZE /* which exit by themselves on a fault */
    assert_int_not_equal(run_again("below"), 0);
    assert_int_not_equal(run_again("above"), 0);
#else
    assert_int_equal(run_again("below"), SIGSEGV);
    assert_int_equal(run_again("above"), SIGSEGV);
    assert_int_equal(run_again("fork"), SIGSEGV);
#endif
}

static void misuse_aborts(void **state)
{
    (void)state;
    static const char *const each[] = {"double", "double-large", "foreign", "inside",      "over",
                                       "under",  "late",         "view",    "not-a-secret"};
    for (size_t i = 0; i < HF_ARRAY_LEN(each); i++) {
        int got = run_again(each[i]);
#ifdef HF_SANITIZE
        assert_int_not_equal(got, 0);
#else
        if (got != SIGABRT)
            fail_msg("%s: %d", each[i], got);
#endif
    }
}

static void fallbacks_are_reported(void **state)
{
    (void)state;
    assert_int_equal(run_again("fallback"), 0);
    static const char *const limits[] = {"limit", "no-limit"};
    for (size_t i = 0; i < HF_ARRAY_LEN(limits); i++) {
        int got = run_again(limits[i]);
        if (got == -77)
            skip(); /* needs root to become somebody else */
        assert_int_equal(got, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return die_as_told(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_says_what_is_there),
        cmocka_unit_test(each_length_is_usable_and_wiped),
        cmocka_unit_test(large_ones_come_back),
        cmocka_unit_test(realloc_keeps_and_wipes),
        cmocka_unit_test(exhaustion_is_null_and_recovers),
        cmocka_unit_test(threads_share_it),
#ifndef HF_SANITIZE
        cmocka_unit_test(alloc_and_free_are_fast),
#endif
        cmocka_unit_test(secrets_hold_bytes_and_wipe),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(random_ones_differ),
        cmocka_unit_test(faults),
        cmocka_unit_test(misuse_aborts),
        cmocka_unit_test(fallbacks_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
