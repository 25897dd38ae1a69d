/* Scratch memory of one thread, in the secret arena: a bump allocator that is wiped and reset after each request.
 * Larger needs than its size get memory of their own (outside dumps, wiped and unmapped at reset). */
#ifndef HF_SECRET_SCRATCH_H
#define HF_SECRET_SCRATCH_H

#include "secret/secret.h"

struct hf_scratch;
hf_result hf_scratch_new(size_t bytes, struct hf_scratch **ret_scratch);
void hf_scratch_free(struct hf_scratch *scratch);
/* 16-byte aligned, zeroed; NULL where memory is out. Lives till reset. */
void *hf_scratch_alloc(struct hf_scratch *scratch, size_t len);
void hf_scratch_reset(struct hf_scratch *scratch);

#endif
