#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>

#include "base/log.h"
#include "memory.h"
#include "secret/arena.h"
#include "secret/ct.h"
#include "secret/scratch.h"

static void look_around(void *arg)
{
    int here = 0;
    bool *ret_inside = (bool *)arg;
    *ret_inside = hf_arena_holds(&here);
}

#ifdef HF_SANITIZE
static const bool own_stack = false;
#else
static const bool own_stack = true;
#endif

static void runs_inside_the_arena(void **state)
{
    (void)state;
    int here = 0;
    bool inside = !own_stack;
    assert_int_equal(hf_secret_stack_run(256 << 10, look_around, &inside).code, HF_OK);
    assert_int_equal(inside, own_stack);
    assert_false(hf_arena_holds(&here));
}

static void run_nested(void *arg)
{
    bool inner = false;
    look_around(&inner);
    if (HF_IS_OK(hf_secret_stack_run(64 << 10, look_around, &inner)))
        look_around(arg);
}

static void nests(void **state)
{
    (void)state;
    bool inside = !own_stack;
    assert_int_equal(hf_secret_stack_run(256 << 10, run_nested, &inside).code, HF_OK);
    assert_int_equal(inside, own_stack);
}

static void *in_thread(void *arg)
{
    for (int i = 0; i < 20; i++)
        if (!HF_IS_OK(hf_secret_stack_run(128 << 10, look_around, arg)))
            abort();
    return NULL;
}

static void works_in_threads_that_are_joined(void **state)
{
    (void)state;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    bool inside[THREADS];
    for (int i = 0; i < THREADS; i++) {
        inside[i] = !own_stack;
        assert_int_equal(pthread_create(&threads[i], NULL, in_thread, &inside[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(inside[i], own_stack);
    }
}

#ifndef HF_SANITIZE
static void too_much_is_refused(void **state)
{
    (void)state;
    bool inside = false;
    assert_int_equal(hf_secret_stack_run((size_t)1 << 40, look_around, &inside).code, HF_NO_MEMORY);
    assert_int_equal(hf_secret_stack_run(SIZE_MAX, look_around, &inside).code, HF_NO_MEMORY);
}
#endif

/* A backtrace passes through the switch, to main and no further. */
static void *frames[64];
static int frame_count;

static void trace(void *arg)
{
    (void)arg;
    frame_count = backtrace(frames, 64);
}

static void backtraces_end_where_they_should(void **state)
{
    (void)state;
    trace(NULL);
    int ordinary = frame_count;
    void *last = frames[frame_count - 1];
    assert_int_equal(hf_secret_stack_run(256 << 10, trace, NULL).code, HF_OK);
    assert_in_range(frame_count, 4, 63);
    assert_true(frame_count >= ordinary && frame_count <= ordinary + 3);
    assert_ptr_equal(frames[frame_count - 1], last);
}

/* ---- wiping what calls left behind ---- */

#ifndef HF_SANITIZE /* whose builds run everything on the threads' ordinary stacks */

static uintptr_t left_at;

__attribute__((noinline)) static void leave_behind(void)
{
    volatile uint8_t secret[4096];
    for (size_t i = 0; i < sizeof(secret); i++)
        secret[i] = 0x5a;
    left_at = (uintptr_t)secret;
    __asm__ volatile("" : : "r"(secret) : "memory");
}

__attribute__((noinline)) static size_t count_left(void)
{
    size_t left = 0;
    const volatile uint8_t *at = (const volatile uint8_t *)left_at;
    for (size_t i = 0; i < 4096; i++)
        left += at[i] == 0x5a;
    return left;
}

struct seen {
    size_t before, after;
    int deepest;
};

static void leave_and_wipe(void *arg)
{
    struct seen *seen = (struct seen *)arg;
    leave_behind();
    seen->before = count_left();
    hf_secret_stack_wipe();
    seen->after = count_left();
}

static void wipe_clears_what_calls_left(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(hf_secret_stack_run(256 << 10, leave_and_wipe, &seen).code, HF_OK);
    assert_true(seen.before > 3000);
    assert_int_equal(seen.after, 0);
    hf_secret_stack_wipe(); /* nothing to do on an ordinary stack */
}

__attribute__((noinline)) static void deeper(int left)
{
    volatile uint8_t hole[12000];
    hole[0] = (uint8_t)left;
    if (left > 0)
        deeper(left - 1);
    else
        leave_behind();
    __asm__ volatile("" : : "r"(hole) : "memory");
}

static void leave_deep(void *arg)
{
    struct seen *seen = (struct seen *)arg;
    deeper(10); /* 120 KiB of frames that are mostly holes */
    seen->before = count_left();
    hf_secret_stack_wipe();
    seen->after = count_left();
}

static void wipe_finds_the_end_across_holes(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(hf_secret_stack_run(256 << 10, leave_deep, &seen).code, HF_OK);
    assert_true(seen.before > 3000);
    assert_int_equal(seen.after, 0);
}

/* The stack's memory is given back wiped: whoever gets it next finds zeros (the allocator's own promise). */
static void leave_only(void *arg)
{
    (void)arg;
    leave_behind();
}

static void stack_is_wiped_afterwards(void **state)
{
    (void)state;
    assert_int_equal(hf_secret_stack_run(256 << 10, leave_only, NULL).code, HF_OK);
    assert_int_equal(count_left(), 0);
}

#endif

static int overflow_depth(int depth)
{
    volatile char frame[1024];
    frame[0] = (char)depth;
    if (depth == 1 << 20)
        return 0;
    return overflow_depth(depth + 1) + frame[0];
}

static void overflow(void *arg)
{
    *(int *)arg = overflow_depth(0);
}

#ifndef HF_SANITIZE
static void overflow_hits_the_guard_page(void **state)
{
    (void)state;
    assert_int_equal(run_again("overflow"), SIGSEGV);
}
#endif

/* ---- scratch ---- */

static void scratch_is_zeroed_aligned_and_reset(void **state)
{
    (void)state;
    struct hf_secret_report before, after;
    hf_secret_arena_report(&before);
    struct hf_scratch *scratch = NULL;
    assert_int_equal(hf_scratch_new(10000, &scratch).code, HF_OK);
    for (int round = 0; round < 3; round++) {
        size_t inside = 0, outside = 0;
        for (size_t len = 1; len < 5000; len = len * 2 + 1) {
            uint8_t *at = (uint8_t *)hf_scratch_alloc(scratch, len);
            assert_non_null(at);
            assert_int_equal((uintptr_t)at % 16, 0);
            assert_true(hf_ct_is_zero(at, len));
            memset(at, 0xee, len);
            if (hf_arena_holds(at))
                inside++;
            else
                outside++;
        }
        assert_true(inside > 0);
        uint8_t *large = (uint8_t *)hf_scratch_alloc(scratch, 40 << 20);
        assert_non_null(large);
        assert_false(hf_arena_holds(large));
        large[0] = large[(40 << 20) - 1] = 1;
        assert_null(hf_scratch_alloc(scratch, SIZE_MAX - 5));
        assert_null(hf_scratch_alloc(scratch, SIZE_MAX / 2 + 1));
        hf_scratch_reset(scratch);
        (void)outside;
    }
    hf_scratch_free(scratch);
    hf_scratch_free(NULL);
    hf_secret_arena_report(&after);
    assert_int_equal(after.bytes_used, before.bytes_used);
    assert_int_equal(hf_scratch_new(0, &scratch).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_scratch_new((size_t)1 << 40, &scratch).code, HF_NO_MEMORY);
}

static void scratch_leaves_nothing(void **state)
{
    (void)state;
    uint8_t inverted[24];
    for (size_t i = 0; i < sizeof(inverted); i++)
        inverted[i] = (uint8_t)(i * 29 + 3 + (size_t)getpid());
    struct hf_scratch *scratch = NULL;
    assert_int_equal(hf_scratch_new(4096, &scratch).code, HF_OK);
    uint8_t *small = (uint8_t *)hf_scratch_alloc(scratch, 100);
    uint8_t *large = (uint8_t *)hf_scratch_alloc(scratch, 1 << 20);
    for (size_t i = 0; i < sizeof(inverted); i++)
        small[i] = large[i + 5000] = (uint8_t)~inverted[i];
    if (MEMORY_CAN_BE_SEARCHED)
        assert_true(memory_holds(inverted, sizeof(inverted)) >= 1); /* the large one is ordinary memory */
    hf_scratch_reset(scratch);
    assert_int_equal(memory_holds(inverted, sizeof(inverted)), 0);
    assert_true(hf_ct_is_zero(small, 100));
    hf_scratch_free(scratch);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        int sum = 0;
        HF_IGNORE(hf_secret_stack_run(64 << 10, overflow, &sum), "it is meant to end here");
        return argv[1][0] != 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_inside_the_arena),
        cmocka_unit_test(nests),
        cmocka_unit_test(works_in_threads_that_are_joined),
#ifndef HF_SANITIZE
        cmocka_unit_test(too_much_is_refused),
#endif
        cmocka_unit_test(backtraces_end_where_they_should),
#ifndef HF_SANITIZE
        cmocka_unit_test(wipe_clears_what_calls_left),
        cmocka_unit_test(wipe_finds_the_end_across_holes),
        cmocka_unit_test(stack_is_wiped_afterwards),
        cmocka_unit_test(overflow_hits_the_guard_page),
#endif
        cmocka_unit_test(scratch_is_zeroed_aligned_and_reset),
        cmocka_unit_test(scratch_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
