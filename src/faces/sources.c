#include "faces/sources.h"

#include <stdlib.h>
#include <string.h>

struct source {
    uint8_t ip[16];
    uint32_t count; /* 0: free */
};

struct hf_sources {
    uint64_t seed;
    uint32_t mask;
    struct source slots[];
};

hf_result hf_sources_new(uint32_t most, uint64_t seed, struct hf_sources **ret_sources)
{
    uint32_t slots = 64;
    while (slots / 2 < most && slots < UINT32_C(1) << 30)
        slots *= 2;
    struct hf_sources *sources = calloc(1, sizeof(*sources) + slots * sizeof(sources->slots[0]));
    if (sources == NULL)
        return HF_FAIL(NO_MEMORY);
    sources->seed = seed;
    sources->mask = slots - 1;
    *ret_sources = sources;
    return HF_DONE;
}

void hf_sources_free(struct hf_sources *sources)
{
    free(sources);
}

static uint32_t home_of(const struct hf_sources *sources, const uint8_t *ip)
{
    uint64_t words[2], hash = sources->seed;
    memcpy(words, ip, sizeof(words));
    for (int i = 0; i < 2; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
        hash = (hash + sources->seed) * UINT64_C(0xbf58476d1ce4e5b9);
        hash ^= hash >> 32;
    }
    return (uint32_t)hash & sources->mask;
}

static uint32_t find(const struct hf_sources *sources, const uint8_t *ip)
{
    uint32_t at = home_of(sources, ip);
    while (sources->slots[at].count != 0 && memcmp(sources->slots[at].ip, ip, 16) != 0) /* public: address */
        at = (at + 1) & sources->mask;
    return at;
}

bool hf_sources_enter(struct hf_sources *sources, const uint8_t ip[static 16], uint32_t limit)
{
    struct source *slot = &sources->slots[find(sources, ip)];
    if (slot->count >= limit)
        return false;
    memcpy(slot->ip, ip, sizeof(slot->ip));
    slot->count++;
    return true;
}

void hf_sources_leave(struct hf_sources *sources, const uint8_t ip[static 16])
{
    uint32_t hole = find(sources, ip);
    if (sources->slots[hole].count == 0 || --sources->slots[hole].count > 0)
        return;
    /* Closes the gap, so that no chain is cut. */
    for (uint32_t at = (hole + 1) & sources->mask; sources->slots[at].count != 0;
         at = (at + 1) & sources->mask) {
        uint32_t home = home_of(sources, sources->slots[at].ip);
        if (((at - home) & sources->mask) >= ((at - hole) & sources->mask)) {
            sources->slots[hole] = sources->slots[at];
            sources->slots[at].count = 0;
            hole = at;
        }
    }
}
