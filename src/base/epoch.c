/* A reader announces the epoch that it saw when it entered. A writer stamps what it retires with the epoch, then
 * advances it. An object may go once every reader that is inside entered after its stamp:
 *   - a reader whose announcement the writer saw as later than the stamp had seen the advance, and with it the
 *     new pointer;
 *   - a reader whose announcement the writer did not see yet will read the pointer after the writer's full
 *     barrier, and so finds the new one. */
#include "base/epoch.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"

enum { OUTSIDE = 0, RETIRED_RESERVE = 4096, CACHE_LINE = 64 };

static struct slot {
    _Atomic uint64_t entered; /* epoch seen at enter, or OUTSIDE */
    _Atomic bool taken;
} __attribute__((aligned(CACHE_LINE))) slots[HF_EPOCH_THREADS];
static _Atomic uint64_t epoch = 1;
static _Atomic unsigned slots_end; /* no slot from here on was ever taken */

static _Thread_local struct slot *mine;
static _Thread_local unsigned depth;

struct retired {
    void *object;
    void (*release)(void *object);
    uint64_t stamp;
    struct retired *next;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct retired reserve[RETIRED_RESERVE];
static struct retired *spare; /* free nodes */
static size_t reserve_used;
static struct retired *waiting;                      /* newest first */
static _Atomic uint64_t oldest_waiting = UINT64_MAX; /* least stamp of these */

static void full_barrier(void)
{
#ifndef __SANITIZE_THREAD__ /* which does not know fences; the accesses around are seq_cst by themselves */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static void die(const char *why)
{
    hf_log(HF_LOG_ERROR, "epoch.abort", hf_f("why", why));
    abort();
}

static pthread_key_t thread_key;
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;

static void on_thread_exit(void *slot)
{
    (void)slot;
    hf_epoch_thread_end();
}

static void make_thread_key(void)
{
    if (pthread_key_create(&thread_key, on_thread_exit) != 0)
        die("no thread key");
}

static struct slot *take_slot(void)
{
    pthread_once(&thread_key_once, make_thread_key);
    for (unsigned i = 0; i < HF_EPOCH_THREADS; i++) {
        bool taken = false;
        if (!__atomic_compare_exchange_n((bool *)&slots[i].taken, &taken, true, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        unsigned end = __atomic_load_n((unsigned *)&slots_end, __ATOMIC_RELAXED);
        while (end < i + 1 && !__atomic_compare_exchange_n((unsigned *)&slots_end, &end, i + 1, false,
                                                           __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            ;
        if (pthread_setspecific(thread_key, &slots[i]) != 0)
            die("no thread key");
        return &slots[i];
    }
    die("more threads than HF_EPOCH_THREADS");
    return NULL;
}

void hf_epoch_thread_end(void)
{
    if (mine == NULL)
        return;
    if (depth != 0)
        die("a thread ended inside an epoch");
    pthread_setspecific(thread_key, NULL);
    __atomic_store_n((bool *)&mine->taken, false, __ATOMIC_RELEASE);
    mine = NULL;
}

void hf_epoch_enter(void)
{
    if (depth++ != 0)
        return;
    if (mine == NULL)
        mine = take_slot();
    uint64_t now = __atomic_load_n((uint64_t *)&epoch, __ATOMIC_SEQ_CST);
    __atomic_store_n((uint64_t *)&mine->entered, now, __ATOMIC_SEQ_CST);
    full_barrier();
}

void hf_epoch_leave(void)
{
    if (depth == 0)
        die("left an epoch that was not entered");
    if (--depth != 0)
        return;
    __atomic_store_n((uint64_t *)&mine->entered, OUTSIDE, __ATOMIC_RELEASE);
    if (__atomic_load_n((uint64_t *)&oldest_waiting, __ATOMIC_RELAXED) != UINT64_MAX)
        hf_epoch_poll();
}

/* The oldest epoch that a reader inside may have seen; everything stamped before it may go. */
static uint64_t oldest_inside(void)
{
    full_barrier();
    uint64_t oldest = UINT64_MAX;
    unsigned end = __atomic_load_n((unsigned *)&slots_end, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < end; i++) {
        uint64_t entered = __atomic_load_n((uint64_t *)&slots[i].entered, __ATOMIC_SEQ_CST);
        if (entered != OUTSIDE && entered < oldest)
            oldest = entered;
    }
    return oldest;
}

static struct retired *take_node(void) /* with the lock held */
{
    struct retired *node = spare;
    if (node != NULL)
        spare = node->next;
    else if (reserve_used < RETIRED_RESERVE)
        node = &reserve[reserve_used++];
    else
        node = (struct retired *)malloc(sizeof(*node)); /* kept for ever, as the reserve is */
    return node;
}

void hf_epoch_retire(void *object, void (*release)(void *object))
{
    if (object == NULL)
        return;
    full_barrier();
    pthread_mutex_lock(&lock);
    struct retired *node = take_node();
    if (node == NULL)
        die("no memory to retire an object");
    uint64_t stamp = __atomic_fetch_add((uint64_t *)&epoch, 1, __ATOMIC_SEQ_CST);
    *node = (struct retired){object, release, stamp, waiting};
    waiting = node;
    if (node->next == NULL)
        __atomic_store_n((uint64_t *)&oldest_waiting, stamp, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    if (depth == 0)
        hf_epoch_poll();
}

/* Releases what is stamped before `before`. The lock is not held while a release function runs. */
static void release_before(uint64_t before, bool wait)
{
    if (!wait && pthread_mutex_trylock(&lock) != 0)
        return; /* somebody else is at it */
    if (wait)
        pthread_mutex_lock(&lock);
    struct retired **at = &waiting; /* newest first: find the first that may go, and cut there */
    uint64_t least = UINT64_MAX;
    for (; *at != NULL && (*at)->stamp >= before; at = &(*at)->next)
        least = (*at)->stamp;
    struct retired *going = *at;
    *at = NULL;
    __atomic_store_n((uint64_t *)&oldest_waiting, least, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);

    while (going != NULL) {
        struct retired *node = going;
        going = node->next;
        node->release(node->object);
        pthread_mutex_lock(&lock);
        node->next = spare;
        spare = node;
        pthread_mutex_unlock(&lock);
    }
}

void hf_epoch_poll(void)
{
    uint64_t waits = __atomic_load_n((uint64_t *)&oldest_waiting, __ATOMIC_ACQUIRE);
    if (waits == UINT64_MAX)
        return;
    uint64_t oldest = oldest_inside();
    if (waits < oldest)
        release_before(oldest, false);
}

void hf_epoch_drain(void)
{
    while (__atomic_load_n((uint64_t *)&oldest_waiting, __ATOMIC_ACQUIRE) != UINT64_MAX)
        release_before(UINT64_MAX, true);
}
