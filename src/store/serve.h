/* The answering half of the codec. */
#ifndef HF_STORE_SERVE_H
#define HF_STORE_SERVE_H

#include "store/store.h"

/* Serves one STORE frame body on `engine`, writing the STORED body; the call is done when it returns. Errors are in
 * the answer. A list ends early, and says so, where `out` is full. False where the answer does not fit at all: then
 * out is as it was (a commit's answer fits in 32 bytes, and is asked for before it is done). */
bool hf_store_serve(struct hf_store *engine, struct hf_cursor body, struct hf_buf *out);
/* The body of an answer that is only a result, and of a commit's. */
void hf_store_answer(struct hf_buf *out, hf_result result);
void hf_store_answer_commit(struct hf_buf *out, hf_result result, const struct hf_store_outcome *outcome);

#endif
