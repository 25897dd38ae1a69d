/* Secrets: opaque values in a guarded arena. The layout is private to secret/; bytes are visible only inside a
 * view (secret/view.h), which store, faces and roles may not include.
 *
 *   arena = [guard page][ slots ... canary each ][guard page]   on memfd_secret(2);
 *           where the kernel has none: anonymous memory, mlock'ed, MADV_DONTDUMP, MADV_DONTFORK, and reported.
 *
 * Slots are wiped on release and before reuse. A broken canary, a double release or a release of a foreign
 * pointer aborts the process: the core's death seals the server. Thread-safe unless said. */
#ifndef HF_SECRET_SECRET_H
#define HF_SECRET_SECRET_H

#include "base/buf.h"

struct hf_secret;

enum { HF_SECRET_MAX = 65536 }; /* bytes in one secret */

/* What the memory of this process's secrets really has; reported by sys/posture. */
struct hf_secret_report {
    bool memfd_secret; /* all pages are out of the kernel's direct map, of core dumps, ptrace and swap */
    bool locked;       /* no page can be swapped */
    bool dont_dump;
    bool dont_fork;
    bool guard_pages;
    uint64_t bytes_mapped; /* whole arena, guards not counted */
    uint64_t
        bytes_protected; /* of these in memfd_secret, or locked: less where RLIMIT_MEMLOCK has no room for all */
    uint64_t bytes_used;
    uint64_t secrets_alive;
    char why_not[160]; /* what is missing and why, "" where nothing is */
};

/* Maps the arena. bytes: capacity to reserve (address space; pages cost only when touched; it does not grow).
 * Call once, before any secret is made, before threads, before seccomp. Fails: PROTECTION with `require_all`
 * where a protection is missing; NO_MEMORY. Calling it never is an error in tests: first use then maps
 * 16 MiB. */
hf_result hf_secret_arena_open(size_t bytes, bool require_all);
void hf_secret_arena_report(struct hf_secret_report *ret_report);

/* Gives: a secret of len zero bytes / of random bytes (getrandom) / of the bytes at `from`, which are wiped in any case.
 * Takes: 1 <= len <= HF_SECRET_MAX. Fails: NO_MEMORY, NO_ENTROPY, BAD_ARGUMENT; *ret untouched. */
hf_result hf_secret_new(size_t len, struct hf_secret **ret_secret);
hf_result hf_secret_random(size_t len, struct hf_secret **ret_secret);
hf_result hf_secret_take(void *from, size_t len, struct hf_secret **ret_secret);
hf_result hf_secret_copy(const struct hf_secret *from, struct hf_secret **ret_secret);

size_t hf_secret_len(const struct hf_secret *secret);
/* Constant time in the bytes; lengths are public. */
bool hf_secret_equal(const struct hf_secret *a, const struct hf_secret *b);

/* Wipes and releases; NULL is allowed. */
void hf_secret_free(struct hf_secret *secret);
void hf_secret_freep(struct hf_secret **secret); /* for CLEANUP */

/* A general allocator on the same kind of memory, wiping on free, for libraries whose contexts hold keys
 * (OpenSSL's whole heap in core, token, keeper) and for request scratch. Same contract as malloc/realloc/free;
 * 16-byte aligned; NULL when full. */
void *hf_arena_alloc(size_t len);
void *hf_arena_realloc(void *old, size_t len);
void hf_arena_free(void *old);

/* Runs fn(arg) on a stack of `bytes` inside the arena (guard page below it) and returns when fn does. The
 * calling thread's own stack is not used meanwhile. In sanitizer builds fn runs on the ordinary stack. The
 * stack is wiped afterwards. Fails: NO_MEMORY. */
hf_result hf_secret_stack_run(size_t bytes, void (*fn)(void *arg), void *arg);
/* Wipes the unused part of the current secret stack below the caller: call between requests. No effect on an
 * ordinary stack. */
void hf_secret_stack_wipe(void);

/* Overwrites; the compiler may not remove it. For any memory that held a secret or a payload. */
void hf_wipe(void *memory, size_t len);

#endif
