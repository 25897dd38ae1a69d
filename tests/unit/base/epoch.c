#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/epoch.h"
#include "base/log.h"

enum { ALIVE = 0x600d, DEAD = 0xdead, READERS = 4, SWAPS = 20000 };

struct object {
    int mark;
    int value;
};
static int freed;

static void release(void *at)
{
    struct object *object = (struct object *)at;
    assert_int_equal(object->mark, ALIVE);
    object->mark = DEAD;
    freed++;
    free(object);
}

static struct object *make(int value)
{
    struct object *object = (struct object *)malloc(sizeof(*object));
    assert_non_null(object);
    *object = (struct object){ALIVE, value};
    return object;
}

static void nothing_goes_while_a_reader_is_inside(void **state)
{
    (void)state;
    freed = 0;
    struct object *object = make(1);
    hf_epoch_enter();
    hf_epoch_enter();
    hf_epoch_retire(object, release);
    hf_epoch_poll();
    hf_epoch_leave();
    hf_epoch_poll();
    assert_int_equal(freed, 0);
    assert_int_equal(object->mark, ALIVE);
    hf_epoch_leave();
    hf_epoch_poll();
    assert_int_equal(freed, 1);
}

static void goes_at_once_where_nobody_is_inside(void **state)
{
    (void)state;
    freed = 0;
    hf_epoch_retire(make(1), release);
    assert_int_equal(freed, 1);
    hf_epoch_retire(NULL, release);
}

static int barrier_state; /* 0 start, 1 reader inside, 2 reader may leave */

static void await(int wanted)
{
    while (__atomic_load_n(&barrier_state, __ATOMIC_ACQUIRE) < wanted)
        usleep(100);
}

static void *reader_that_stays(void *arg)
{
    (void)arg;
    hf_epoch_enter();
    __atomic_store_n(&barrier_state, 1, __ATOMIC_RELEASE);
    await(2);
    hf_epoch_leave();
    hf_epoch_thread_end();
    return NULL;
}

static void another_threads_stay_holds_older_objects_only(void **state)
{
    (void)state;
    freed = 0;
    barrier_state = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reader_that_stays, NULL), 0);
    await(1);
    hf_epoch_retire(make(1), release);
    hf_epoch_retire(make(2), release);
    hf_epoch_enter();
    hf_epoch_leave();
    hf_epoch_poll();
    assert_int_equal(freed, 0);
    __atomic_store_n(&barrier_state, 2, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    hf_epoch_poll();
    assert_int_equal(freed, 2);
}

static void release_again(void *at)
{
    hf_epoch_retire(make(2), release);
    release(at);
}

static void a_release_may_retire(void **state)
{
    (void)state;
    freed = 0;
    hf_epoch_enter();
    hf_epoch_retire(make(1), release_again);
    hf_epoch_leave();
    hf_epoch_drain();
    assert_int_equal(freed, 2);
}

static void drain_frees_more_than_the_reserve(void **state)
{
    (void)state;
    freed = 0;
    hf_epoch_enter();
    for (int i = 0; i < 5000; i++)
        hf_epoch_retire(make(i), release);
    assert_int_equal(freed, 0);
    hf_epoch_drain();
    assert_int_equal(freed, 5000);
    hf_epoch_leave();
}

/* Readers run while a writer swaps: none may ever see a dead object. ThreadSanitizer and AddressSanitizer builds
 * of this test watch the same. */
static struct object *shared;
static bool stop;

static void *read_always(void *seen)
{
    long count = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        hf_epoch_enter();
        struct object *object = __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
        if (object->mark != ALIVE)
            abort();
        count += object->value >= 0;
        hf_epoch_leave();
    }
    *(long *)seen = count;
    return NULL; /* the thread's end gives its slot back */
}

static void release_atomic(void *at)
{
    struct object *object = (struct object *)at;
    object->mark = DEAD;
    __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
    free(object);
}

static void readers_never_see_what_was_freed(void **state)
{
    (void)state;
    freed = 0;
    stop = false;
    shared = make(0);
    pthread_t threads[READERS];
    long seen[READERS] = {0};
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_always, &seen[i]), 0);
    for (int i = 1; i <= SWAPS; i++) {
        struct object *old = __atomic_exchange_n(&shared, make(i), __ATOMIC_ACQ_REL);
        hf_epoch_retire(old, release_atomic);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    hf_epoch_drain();
    assert_int_equal(freed, SWAPS);
    free(shared);
}

static void *enter_once(void *arg)
{
    (void)arg;
    hf_epoch_enter();
    hf_epoch_leave();
    return NULL;
}

static void slots_come_back_from_ended_threads(void **state)
{
    (void)state;
    for (int i = 0; i < 3 * HF_EPOCH_THREADS; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, enter_once, NULL), 0);
        pthread_join(thread, NULL);
    }
}

static void leaving_without_entering_aborts(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        hf_log_setup(-1, HF_LOG_ERROR, "test");
        hf_epoch_leave();
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_goes_while_a_reader_is_inside),
        cmocka_unit_test(goes_at_once_where_nobody_is_inside),
        cmocka_unit_test(another_threads_stay_holds_older_objects_only),
        cmocka_unit_test(a_release_may_retire),
        cmocka_unit_test(drain_frees_more_than_the_reserve),
        cmocka_unit_test(readers_never_see_what_was_freed),
        cmocka_unit_test(slots_come_back_from_ended_threads),
        cmocka_unit_test(leaving_without_entering_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
