/* Private to secret/: the mapped region and its runs of blocks. */
#ifndef HF_SECRET_ARENA_H
#define HF_SECRET_ARENA_H

#include "secret/secret.h"

enum { HF_ARENA_BLOCK = 16 << 10, HF_ARENA_PAGE = 4096 };

struct hf_arena_options {
    size_t bytes;
    bool require_all;
    bool no_memfd_secret; /* tests: as on a kernel that has none */
};
/* As hf_secret_arena_open. Fails: ALREADY when it is open. */
hf_result hf_arena_open(const struct hf_arena_options *options);
/* Opens 16 MiB where nobody opened it yet. */
hf_result hf_arena_ensure(void);

/* Whole blocks, contiguous, zeroed. NULL where there are none. What is given back must be zeroed. Large ones (stacks,
 * buffers) come from the end of the arena, the others, in which keys lie, from its beginning. */
void *hf_arena_run_take(size_t blocks, bool large);
void hf_arena_run_give(void *run, size_t blocks);

bool hf_arena_holds(const void *at);
/* Random value of this process from which canaries are made. */
uint64_t hf_arena_key(void);
/* Bytes in slots and runs that are in use now. */
uint64_t hf_arena_live_bytes(void);

/* Says why in the log, and aborts. */
__attribute__((noreturn)) void hf_arena_die(const char *why);

/* Aborts unless `at` is the start of a live allocation with whole canaries. Gives its length. */
size_t hf_arena_check(const void *at);

/* Secrets alive: counted in secret.c. */
uint64_t hf_secrets_alive(void);

#endif
