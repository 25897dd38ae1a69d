/* How many connections each source address has open. */
#ifndef HF_FACES_SOURCES_H
#define HF_FACES_SOURCES_H

#include "base/result.h"

struct hf_sources;
/* most: connections in all. seed: of the hash, so that addresses cannot be chosen to collide. */
hf_result hf_sources_new(uint32_t most, uint64_t seed, struct hf_sources **ret_sources);
void hf_sources_free(struct hf_sources *sources);
/* False, and nothing counted, where the address has `limit` already. */
bool hf_sources_enter(struct hf_sources *sources, const uint8_t ip[static 16], uint32_t limit);
void hf_sources_leave(struct hf_sources *sources, const uint8_t ip[static 16]);

#endif
