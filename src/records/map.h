/* What the feed says of each record that exists, in 32 bytes: revision, and the seal's tag of that revision. Open
 * addressing with linear probing, never more than four fifths full. Not thread-safe. */
#ifndef HF_RECORDS_MAP_H
#define HF_RECORDS_MAP_H

#include "base/log.h"
#include "base/result.h"

#define HF_MAP_REV_MAX ((UINT64_C(1) << 40) - 1)
enum {
    HF_MAP_TAG = 8
}; /* bytes kept of the tag: what a forger would have to hit, among rows that were once sealed */

struct hf_map_entry {
    struct hf_id id;
    uint8_t tag[HF_MAP_TAG];
    uint64_t rev : 40; /* from 1; 0: no entry */
    uint64_t table : 8;
    uint64_t ns : 16; /* number of the namespace: see hf_ns_number */
};

struct hf_map {
    struct hf_map_entry *entries;
    uint64_t cap, count;
};

/* Uniform over 64 bits; the top ones choose the shard, so the map uses the others. */
uint64_t hf_map_hash(uint16_t table, struct hf_id id);
/* NULL where there is none. Valid till the next change. */
struct hf_map_entry *hf_map_find(const struct hf_map *map, uint16_t table, struct hf_id id);
/* Makes room for `more` further entries, so that as many puts cannot fail. Fails: NO_MEMORY. */
hf_result hf_map_reserve(struct hf_map *map, uint64_t more);
/* Adds or replaces; there must be room. */
void hf_map_put(struct hf_map *map, const struct hf_map_entry *entry);
bool hf_map_remove(struct hf_map *map, uint16_t table, struct hf_id id);
void hf_map_free(struct hf_map *map);

#endif
