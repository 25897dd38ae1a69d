/* Size classes over the arena's blocks. A slot is [head 16][payload][canary 8]; the head tells a live slot from a
 * free one and both from foreign memory, and needs no table beside it: class and run length follow from the length.
 *
 * Each thread keeps a few free slots of each class, so that most calls touch nothing shared; what overflows goes to
 * the class's common list under the class's own lock. Free slots are all zero but for their heads. */
#include "secret/arena.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define HIDE(at, len) ASAN_POISON_MEMORY_REGION(at, len)
#define SHOW(at, len) ASAN_UNPOISON_MEMORY_REGION(at, len)
#else
#define HIDE(at, len) ((void)(at), (void)(len))
#define SHOW(at, len) ((void)(at), (void)(len))
#endif

struct slot {
    uint64_t guard; /* live_guard() or free_guard() */
    uint64_t word;  /* live: length; free: the next free slot */
};
static_assert(sizeof(struct slot) == 16, "payloads are aligned to 16 bytes");

enum {
    TAIL = 8,
    OVERHEAD = (int)sizeof(struct slot) + TAIL,
    CLASS_COUNT = 20,
    CLASS_LARGEST = 32768,
    CACHE_BYTES = 64 << 10, /* that one thread keeps of one class */
    CACHE_SLOTS = 64,
    REFILL_BYTES = 16 << 10, /* that it takes at once */
    SPAN_SLOTS = 8,          /* a class grows by at least so many */
};
static const uint32_t class_sizes[CLASS_COUNT] = {
    48,   64,   96,   128,  192,  256,  384,   512,   768,   1024,
    1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, CLASS_LARGEST,
};

static struct class
{
    pthread_mutex_t lock;
    struct slot *free;
    uint8_t *fresh, *fresh_end; /* never used yet */
} classes[CLASS_COUNT] = {
    [0 ... CLASS_COUNT - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER},
};

struct cache {
    struct {
        struct slot *free;
        uint32_t count;
    } of[CLASS_COUNT];
    uint64_t
        live_bytes; /* wraps where another thread allocated what this one freed: only the sum means something */
    bool listed;
    struct cache *next;
};
static _Thread_local struct cache cache;

/* All threads' caches, for the report. */
static pthread_mutex_t caches_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cache *caches;
static uint64_t ended_live_bytes;
static pthread_key_t cache_key;
static pthread_once_t cache_key_once = PTHREAD_ONCE_INIT;

static uint64_t live_guard(const struct slot *slot, size_t len)
{
    return hf_arena_key() ^ (uint64_t)(uintptr_t)slot ^ (uint64_t)len * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t free_guard(const struct slot *slot)
{
    return ~hf_arena_key() ^ (uint64_t)(uintptr_t)slot;
}

static uint64_t tail_guard(const struct slot *slot)
{
    return __builtin_bswap64(hf_arena_key()) ^ (uint64_t)(uintptr_t)slot;
}

static void *payload(struct slot *slot)
{
    return slot + 1;
}

static unsigned class_of(size_t len)
{
    size_t size = len + OVERHEAD;
    if (size <= 48)
        return 0;
    if (size <= 64)
        return 1;
    /* Two classes for each power of two from 64: 96 128, 192 256, ... */
    unsigned log = 63u - (unsigned)__builtin_clzl(size - 1); /* 2^log <= size - 1 */
    return 2 * (log - 6) + 2 + (size - 1 >= (size_t)3 << (log - 1));
}

static size_t run_blocks(size_t len)
{
    return (len + OVERHEAD + HF_ARENA_BLOCK - 1) / HF_ARENA_BLOCK;
}

/* Bytes that an allocation of this length occupies. */
static size_t occupied(size_t len)
{
    return len + OVERHEAD <= CLASS_LARGEST ? class_sizes[class_of(len)] : run_blocks(len) * HF_ARENA_BLOCK;
}

static void count_live(uint64_t by)
{
    __atomic_store_n(&cache.live_bytes, cache.live_bytes + by, __ATOMIC_RELAXED); /* read by the report */
}

/* ---- common lists ---- */

/* With the class's lock held. */
static bool grow(struct class *class, uint32_t size)
{
    size_t blocks = (size * (size_t)SPAN_SLOTS + HF_ARENA_BLOCK - 1) / HF_ARENA_BLOCK;
    uint8_t *run = (uint8_t *)hf_arena_run_take(blocks, false);
    if (run == NULL)
        return false;
    class->fresh = run;
    class->fresh_end = run + blocks * HF_ARENA_BLOCK / size * size;
    return true;
}

static void check_free(const struct slot *slot)
{
    if (slot->guard != free_guard(slot))
        hf_arena_die("a free slot was written to");
}

static struct slot *common_pop(struct class *class, uint32_t size)
{
    struct slot *slot = class->free;
    if (slot != NULL) {
        check_free(slot);
        class->free = (struct slot *)(uintptr_t)slot->word;
        return slot;
    }
    if (class->fresh == class->fresh_end && !grow(class, size))
        return NULL;
    slot = (struct slot *)(void *)class->fresh;
    class->fresh += size;
    return slot;
}

static void common_push(struct class *class, struct slot *slot)
{
    slot->guard = free_guard(slot);
    slot->word = (uintptr_t) class->free;
    class->free = slot;
}

/* ---- one thread's cache ---- */

static uint32_t cache_limit(uint32_t size)
{
    return HF_MAX(2u, HF_MIN((uint32_t)CACHE_SLOTS, CACHE_BYTES / size));
}

/* Gives back to the common list until `keep` are left. */
static void cache_shrink(struct cache *of, unsigned class, uint32_t keep)
{
    if (of->of[class].count <= keep)
        return;
    pthread_mutex_lock(&classes[class].lock);
    while (of->of[class].count > keep) {
        struct slot *slot = of->of[class].free;
        check_free(slot);
        of->of[class].free = (struct slot *)(uintptr_t)slot->word;
        of->of[class].count--;
        common_push(&classes[class], slot);
    }
    pthread_mutex_unlock(&classes[class].lock);
}

static void on_thread_exit(void *of)
{
    struct cache *ended = (struct cache *)of;
    for (unsigned class = 0; class < CLASS_COUNT; class ++)
        cache_shrink(ended, class, 0);
    pthread_mutex_lock(&caches_lock);
    for (struct cache **at = &caches; *at != NULL; at = &(*at)->next)
        if (*at == ended) {
            *at = ended->next;
            break;
        }
    ended_live_bytes += ended->live_bytes;
    ended->live_bytes = 0;
    ended->listed = false; /* a later destructor of this thread may use it again */
    pthread_mutex_unlock(&caches_lock);
}

static void make_cache_key(void)
{
    if (pthread_key_create(&cache_key, on_thread_exit) != 0)
        hf_arena_die("no thread key");
}

static void cache_list(void)
{
    pthread_once(&cache_key_once, make_cache_key);
    if (pthread_setspecific(cache_key, &cache) != 0)
        hf_arena_die("no thread key");
    pthread_mutex_lock(&caches_lock);
    cache.listed = true;
    cache.next = caches;
    caches = &cache;
    pthread_mutex_unlock(&caches_lock);
}

static void cache_refill(unsigned class)
{
    uint32_t size = class_sizes[class];
    uint32_t wanted = HF_MAX(1u, HF_MIN(cache_limit(size) / 2, REFILL_BYTES / size));
    pthread_mutex_lock(&classes[class].lock);
    for (uint32_t i = 0; i < wanted; i++) {
        struct slot *slot = common_pop(&classes[class], size);
        if (slot == NULL)
            break;
        slot->guard = free_guard(slot);
        slot->word = (uintptr_t)cache.of[class].free;
        cache.of[class].free = slot;
        cache.of[class].count++;
    }
    pthread_mutex_unlock(&classes[class].lock);
}

static struct slot *take_small(size_t len)
{
    unsigned class = class_of(len);
    struct slot *slot = cache.of[class].free;
    if (slot == NULL) {
        if (!HF_IS_OK(hf_arena_ensure()))
            return NULL;
        cache_refill(class);
        slot = cache.of[class].free;
        if (slot == NULL)
            return NULL;
    }
    check_free(slot);
    cache.of[class].free = (struct slot *)(uintptr_t)slot->word;
    cache.of[class].count--;
    return slot;
}

static void give_small(struct slot *slot, size_t len)
{
    unsigned class = class_of(len);
    uint32_t limit = cache_limit(class_sizes[class]);
    if (cache.of[class].count >= limit)
        cache_shrink(&cache, class, limit / 2);
    slot->guard = free_guard(slot);
    slot->word = (uintptr_t)cache.of[class].free;
    cache.of[class].free = slot;
    cache.of[class].count++;
}

/* ---- the calls ---- */

static void seal(struct slot *slot, size_t len)
{
    slot->guard = live_guard(slot, len);
    slot->word = len;
    uint64_t tail = tail_guard(slot);
    memcpy((uint8_t *)payload(slot) + len, &tail, TAIL);
}

static struct slot *checked(const void *at)
{
    if (!hf_arena_holds(at) || (uintptr_t)at % 16 != 0)
        hf_arena_die("release of memory that is not of the arena");
    struct slot *slot = (struct slot *)(uintptr_t)at - 1;
    size_t len = (size_t)slot->word;
    if (slot->guard != live_guard(slot, len))
        hf_arena_die(slot->guard == free_guard(slot) ? "a slot was released twice"
                                                     : "the head of a slot is broken");
    uint64_t tail;
    memcpy(&tail, (const uint8_t *)at + len, TAIL);
    if (tail != tail_guard(slot))
        hf_arena_die("the canary behind a slot is broken");
    return slot;
}

size_t hf_arena_check(const void *at)
{
    return (size_t)checked(at)->word;
}

void *hf_arena_alloc(size_t len)
{
    if (len > PTRDIFF_MAX - (size_t)HF_ARENA_BLOCK - OVERHEAD)
        return NULL;
    if (!cache.listed)
        cache_list();
    bool small = len + OVERHEAD <= CLASS_LARGEST;
    struct slot *slot = small ? take_small(len) : (struct slot *)hf_arena_run_take(run_blocks(len), true);
    if (slot == NULL)
        return NULL;
    SHOW(slot, occupied(len));
    seal(slot, len);
    HIDE((uint8_t *)payload(slot) + len + TAIL, occupied(len) - len - OVERHEAD);
    count_live(occupied(len));
    return payload(slot);
}

void hf_arena_free(void *old)
{
    if (old == NULL)
        return;
    if (!cache.listed)
        cache_list();
    struct slot *slot = checked(old);
    size_t len = (size_t)slot->word;
    size_t bytes = occupied(len);
    hf_wipe(old, len + TAIL);
    count_live(0 - (uint64_t)bytes);
    if (len + OVERHEAD <= CLASS_LARGEST) {
        HIDE(old, bytes - sizeof(*slot));
        give_small(slot, len);
    } else {
        hf_wipe(slot, sizeof(*slot));
        SHOW(slot, bytes);
        hf_arena_run_give(slot, run_blocks(len));
    }
}

void *hf_arena_realloc(void *old, size_t len)
{
    if (old == NULL)
        return hf_arena_alloc(len);
    if (len == 0) {
        hf_arena_free(old);
        return NULL;
    }
    struct slot *slot = checked(old);
    size_t had = (size_t)slot->word;
    if (len <= PTRDIFF_MAX - (size_t)HF_ARENA_BLOCK - OVERHEAD && occupied(len) == occupied(had)) {
        SHOW(slot, occupied(len));
        size_t kept = HF_MIN(had, len);
        hf_wipe((uint8_t *)old + kept, had - kept + TAIL);
        seal(slot, len);
        HIDE((uint8_t *)old + len + TAIL, occupied(len) - len - OVERHEAD);
        return old;
    }
    void *moved = hf_arena_alloc(len);
    if (moved == NULL)
        return NULL;
    memcpy(moved, old, HF_MIN(had, len));
    hf_arena_free(old);
    return moved;
}

uint64_t hf_arena_live_bytes(void)
{
    pthread_mutex_lock(&caches_lock);
    uint64_t sum = ended_live_bytes;
    for (const struct cache *at = caches; at != NULL; at = at->next)
        sum += __atomic_load_n(&at->live_bytes, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&caches_lock);
    return sum;
}
