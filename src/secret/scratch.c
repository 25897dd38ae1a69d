#include "secret/scratch.h"

#include <assert.h>
#include <sys/mman.h>

enum { ALIGN = 16, PAGE = 4096 };

/* Memory of its own for one large need: this head, then the bytes. */
struct large {
    struct large *next;
    size_t bytes; /* with the head, whole pages */
};
static_assert(sizeof(struct large) == ALIGN, "what follows the head is aligned");

struct hf_scratch {
    size_t size, used;
    struct large *large;
    uint64_t unused;
    uint8_t bytes[];
};
static_assert(sizeof(struct hf_scratch) % ALIGN == 0, "the bytes are aligned");

hf_result hf_scratch_new(size_t bytes, struct hf_scratch **ret_scratch)
{
    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_scratch *scratch = (struct hf_scratch *)hf_arena_alloc(sizeof(*scratch) + bytes);
    if (scratch == NULL)
        return HF_FAIL(NO_MEMORY);
    *scratch = (struct hf_scratch){.size = bytes};
    *ret_scratch = scratch;
    return HF_DONE;
}

static void *alloc_large(struct hf_scratch *scratch, size_t len)
{
    if (len > SIZE_MAX / 2)
        return NULL;
    size_t bytes = (sizeof(struct large) + len + PAGE - 1) / PAGE * PAGE;
    void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED)
        return NULL;
    /* Out of dumps and children or not at all; locked where the limit has room for it. */
    if (madvise(got, bytes, MADV_DONTDUMP) != 0 || madvise(got, bytes, MADV_DONTFORK) != 0) {
        munmap(got, bytes);
        return NULL;
    }
    (void)mlock2(got, bytes, MLOCK_ONFAULT);
    struct large *large = (struct large *)got;
    *large = (struct large){scratch->large, bytes};
    scratch->large = large;
    return large + 1;
}

void *hf_scratch_alloc(struct hf_scratch *scratch, size_t len)
{
    size_t start = (scratch->used + ALIGN - 1) / ALIGN * ALIGN;
    if (start > scratch->size || len > scratch->size - start)
        return alloc_large(scratch, len);
    scratch->used = start + len;
    return scratch->bytes + start;
}

void hf_scratch_reset(struct hf_scratch *scratch)
{
    hf_wipe(scratch->bytes, scratch->used);
    scratch->used = 0;
    while (scratch->large != NULL) {
        struct large *large = scratch->large;
        scratch->large = large->next;
        size_t bytes = large->bytes;
        hf_wipe(large, bytes);
        munmap(large, bytes);
    }
}

void hf_scratch_free(struct hf_scratch *scratch)
{
    if (scratch == NULL)
        return;
    hf_scratch_reset(scratch);
    hf_arena_free(scratch);
}
