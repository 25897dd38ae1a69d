/* The region: one reservation of address space, a guard page at each end, memory between them in blocks that a
 * bitmap keeps. Pages cost only when touched. */
#include "secret/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

enum {
    DEFAULT_BYTES = 16 << 20,
    LEAST_BYTES = 1 << 20,
    MEMLOCK_SLACK = 1 << 20, /* for what else is locked */
    WORD_BITS = 64,
};
static const size_t most_bytes = (size_t)1 << 36;

static struct {
    bool open;
    uint8_t *base;
    size_t bytes;
    size_t blocks;
    uint64_t *used;    /* one bit for each block */
    size_t first_free; /* no block below is free */
    uint64_t key;
    struct hf_secret_report report;
} arena;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void hf_arena_die(const char *why)
{
    hf_log(HF_LOG_ERROR, "secret.abort", hf_f("why", why));
    abort();
}

static void lacks(const char *what)
{
    struct hf_buf out = hf_buf(arena.report.why_not, sizeof(arena.report.why_not) - 1);
    out.len = strlen(arena.report.why_not);
    if (out.len != 0)
        hf_buf_text(&out, "; ");
    hf_buf_text(&out, what);
    arena.report.why_not[out.len] = 0;
}

/* Raises the limit of locked memory as far as this process may. */
static void raise_memlock(size_t bytes)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)bytes + MEMLOCK_SLACK;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted)
        return;
    struct rlimit raised = {wanted, HF_MAX(wanted, limit.rlim_max)};
    if (setrlimit(RLIMIT_MEMLOCK, &raised) == 0)
        return;
    raised = (struct rlimit){HF_MIN(wanted, limit.rlim_max), limit.rlim_max};
    HF_IGNORE(setrlimit(RLIMIT_MEMLOCK, &raised) == 0 ? HF_DONE : HF_FAIL(SYSTEM),
              "mapping what is wanted fails then, and is reported");
}

/* Reserves `bytes` between two guard pages and gives where they begin; nothing is mapped there yet. */
static uint8_t *reserve(size_t bytes)
{
    void *region = mmap(NULL, bytes + 2 * (size_t)HF_ARENA_PAGE, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return region == MAP_FAILED ? NULL : (uint8_t *)region + HF_ARENA_PAGE;
}

static void unreserve(uint8_t *at, size_t bytes)
{
    munmap(at - HF_ARENA_PAGE, bytes + 2 * (size_t)HF_ARENA_PAGE);
}

enum mapped { MAPPED, MAPPED_TOO_MUCH, MAPPED_NEVER };

static enum mapped map_secret(uint8_t *at, size_t bytes)
{
#ifdef SYS_memfd_secret
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0)
        return MAPPED_NEVER;
    bool sized = ftruncate(fd, (off_t)bytes) == 0;
    void *got = sized ? mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) : MAP_FAILED;
    int why = errno;
    close(fd); /* the mapping keeps the memory; nothing else can reach it */
    if (got != MAP_FAILED)
        return MAPPED;
    return why == EAGAIN || why == ENOMEM ? MAPPED_TOO_MUCH : MAPPED_NEVER;
#else
    (void)at;
    (void)bytes;
    return MAPPED_NEVER;
#endif
}

static enum mapped map_locked(uint8_t *at, size_t bytes)
{
    if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        return MAPPED_TOO_MUCH;
    if (mlock2(at, bytes, MLOCK_ONFAULT) == 0)
        return MAPPED;
    return errno == ENOMEM || errno == EAGAIN ? MAPPED_TOO_MUCH : MAPPED_NEVER;
}

static enum mapped map_plain(uint8_t *at, size_t bytes)
{
    return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                   MAP_FAILED
               ? MAPPED_TOO_MUCH
               : MAPPED;
}

/* Reserves the whole, and maps as much of its beginning as the limits allow, halving from all of it. Gives how much. */
static size_t map_by(enum mapped (*map)(uint8_t *at, size_t bytes), size_t bytes)
{
    for (size_t size = bytes; size >= LEAST_BYTES; size = size / 2 / HF_ARENA_BLOCK * HF_ARENA_BLOCK) {
        uint8_t *at = reserve(bytes);
        if (at == NULL)
            return 0;
        enum mapped got = map(at, size);
        if (got == MAPPED) {
            arena.base = at;
            arena.bytes = bytes;
            return size;
        }
        unreserve(at, bytes);
        if (got == MAPPED_NEVER)
            break;
    }
    return 0;
}

static void lacks_room(size_t protected, size_t bytes)
{
    char text[96];
    struct hf_buf out = hf_buf(text, sizeof(text) - 1);
    hf_buf_text(&out, "RLIMIT_MEMLOCK: ");
    hf_buf_decimal(&out, protected >> 20);
    hf_buf_text(&out, " of ");
    hf_buf_decimal(&out, bytes >> 20);
    hf_buf_text(&out, " MiB are protected");
    text[out.len] = 0;
    lacks(text);
}

/* Maps secret or locked memory, and what the limits have no room for as ordinary memory behind it: keys come to lie in
 * front, stacks and buffers behind. */
static hf_result map_all(size_t bytes, bool no_memfd_secret)
{
    struct hf_secret_report *report = &arena.report;
    size_t protected = no_memfd_secret ? 0 : map_by(map_secret, bytes);
    report->memfd_secret = protected == bytes;
    if (protected == 0) {
        lacks("memfd_secret: the kernel has none, or it is off (boot with secretmem.enable=1)");
        protected = map_by(map_locked, bytes);
    }
    report->locked = protected == bytes;
    if (protected == 0 && map_by(map_plain, bytes) != bytes)
        return HF_FAIL(NO_MEMORY);
    if (protected != 0 && protected < bytes && map_plain(arena.base + protected, bytes - protected) != MAPPED)
        return HF_FAIL(NO_MEMORY);
    if (protected < bytes)
        lacks_room(protected, bytes);
    report->bytes_mapped = bytes;
    report->bytes_protected = protected;
    return HF_DONE;
}

static hf_result open_locked(const struct hf_arena_options *options)
{
    size_t bytes = HF_MAX(options->bytes, (size_t)LEAST_BYTES);
    if (bytes > most_bytes)
        return HF_FAIL(NO_MEMORY);
    bytes = (bytes + HF_ARENA_BLOCK - 1) / HF_ARENA_BLOCK * HF_ARENA_BLOCK;
    struct hf_secret_report *report = &arena.report;
    if (getrandom(&arena.key, sizeof(arena.key), 0) != (ssize_t)sizeof(arena.key))
        return HF_FAIL(NO_ENTROPY);
    raise_memlock(bytes);

    TRY(map_all(bytes, options->no_memfd_secret));
    report->guard_pages = true;
    report->dont_dump = madvise(arena.base, arena.bytes, MADV_DONTDUMP) == 0;
    report->dont_fork = madvise(arena.base, arena.bytes, MADV_DONTFORK) == 0;
    if (!report->dont_dump)
        lacks("MADV_DONTDUMP refused");
    if (!report->dont_fork)
        lacks("MADV_DONTFORK refused");
    arena.blocks = arena.bytes / HF_ARENA_BLOCK;
    size_t words = (arena.blocks + WORD_BITS - 1) / WORD_BITS;
    void *bits =
        mmap(NULL, words * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bits == MAP_FAILED)
        return HF_FAIL(NO_MEMORY);
    arena.used = (uint64_t *)bits;
    for (size_t i = arena.blocks; i < words * WORD_BITS; i++)
        arena.used[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
#ifdef __SANITIZE_ADDRESS__
    __lsan_register_root_region(arena.base, arena.bytes); /* what only secrets point to is not lost */
#endif
    __atomic_store_n(&arena.open, true, __ATOMIC_RELEASE);
    return options->require_all && report->why_not[0] != 0 ? HF_FAIL(PROTECTION) : HF_DONE;
}

hf_result hf_arena_open(const struct hf_arena_options *options)
{
    pthread_mutex_lock(&lock);
    hf_result result = arena.base != NULL ? HF_FAIL(ALREADY) : open_locked(options);
    pthread_mutex_unlock(&lock);
    return result;
}

hf_result hf_secret_arena_open(size_t bytes, bool require_all)
{
    return hf_arena_open(&(struct hf_arena_options){.bytes = bytes, .require_all = require_all});
}

hf_result hf_arena_ensure(void)
{
    if (__atomic_load_n(&arena.open, __ATOMIC_ACQUIRE))
        return HF_DONE;
    hf_result result = hf_arena_open(&(struct hf_arena_options){.bytes = DEFAULT_BYTES});
    return result.code == HF_ALREADY && __atomic_load_n(&arena.open, __ATOMIC_ACQUIRE) ? HF_DONE : result;
}

void hf_secret_arena_report(struct hf_secret_report *ret_report)
{
    HF_IGNORE(hf_arena_ensure(), "the report then says that nothing is mapped");
    pthread_mutex_lock(&lock);
    *ret_report = arena.report;
    pthread_mutex_unlock(&lock);
    ret_report->bytes_used = hf_arena_live_bytes();
    ret_report->secrets_alive = hf_secrets_alive();
}

bool hf_arena_holds(const void *at)
{
    return __atomic_load_n(&arena.open, __ATOMIC_ACQUIRE) && (const uint8_t *)at >= arena.base &&
           (size_t)((const uint8_t *)at - arena.base) < arena.bytes;
}

uint64_t hf_arena_key(void)
{
    return arena.key;
}

/* ---- runs of blocks ---- */

static bool block_used(size_t block)
{
    return (arena.used[block / WORD_BITS] >> block % WORD_BITS & 1) != 0;
}

static void block_flip(size_t block)
{
    arena.used[block / WORD_BITS] ^= UINT64_C(1) << block % WORD_BITS;
}

/* First fit from below: low addresses are touched already. Gives arena.blocks where there is no such run. */
static size_t find_low(size_t blocks)
{
    size_t run = 0;
    for (size_t i = arena.first_free; i < arena.blocks; i++) {
        if (i % WORD_BITS == 0 && arena.used[i / WORD_BITS] == UINT64_MAX) {
            run = 0;
            i += WORD_BITS - 1;
            continue;
        }
        run = block_used(i) ? 0 : run + 1;
        if (run == blocks)
            return i + 1 - blocks;
    }
    return arena.blocks;
}

/* First fit from above, for what is large. */
static size_t find_high(size_t blocks)
{
    size_t run = 0;
    for (size_t i = arena.blocks; i > arena.first_free; i--) {
        if (i % WORD_BITS == 0 && arena.used[i / WORD_BITS - 1] == UINT64_MAX) {
            run = 0;
            i -= WORD_BITS - 1;
            continue;
        }
        run = block_used(i - 1) ? 0 : run + 1;
        if (run == blocks)
            return i - 1;
    }
    return arena.blocks;
}

void *hf_arena_run_take(size_t blocks, bool large)
{
    if (blocks == 0 || !HF_IS_OK(hf_arena_ensure()))
        return NULL;
    void *taken = NULL;
    pthread_mutex_lock(&lock);
    size_t first = large ? find_high(blocks) : find_low(blocks);
    if (first < arena.blocks) {
        for (size_t i = 0; i < blocks; i++)
            block_flip(first + i);
        if (first == arena.first_free)
            arena.first_free = first + blocks;
        taken = arena.base + first * HF_ARENA_BLOCK;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

void hf_arena_run_give(void *run, size_t blocks)
{
    size_t first = (size_t)((uint8_t *)run - arena.base) / HF_ARENA_BLOCK;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < blocks; i++) {
        if (!block_used(first + i))
            hf_arena_die("a run was released twice");
        block_flip(first + i);
    }
    arena.first_free = HF_MIN(arena.first_free, first);
    pthread_mutex_unlock(&lock);
}
