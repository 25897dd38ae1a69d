#include "records/map.h"

#include <assert.h>
#include <stdlib.h>

enum { CAP_FIRST = 16 };
static_assert(sizeof(struct hf_map_entry) == 32, "what a cold record costs in memory");

uint64_t hf_map_hash(uint16_t table, struct hf_id id)
{
    uint64_t halves[2];
    memcpy(halves, id.bytes, sizeof halves);
    /* Identifiers are keyed hashes or random; this only spreads the few that are neither. */
    uint64_t x = halves[0] ^ (halves[1] * UINT64_C(0x9e3779b97f4a7c15)) ^ ((uint64_t)table << 56);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

static uint64_t home_of(const struct hf_map *map, uint16_t table, struct hf_id id)
{
    return (uint64_t)(((__uint128_t)(hf_map_hash(table, id) << 6) * map->cap) >> 64);
}

static bool is(const struct hf_map_entry *entry, uint16_t table, struct hf_id id)
{
    return entry->table == table && memcmp(&entry->id, &id, sizeof id) == 0; /* public */
}

struct hf_map_entry *hf_map_find(const struct hf_map *map, uint16_t table, struct hf_id id)
{
    if (map->count == 0)
        return NULL;
    for (uint64_t at = home_of(map, table, id); map->entries[at].rev != 0;
         at = at + 1 < map->cap ? at + 1 : 0) {
        if (is(&map->entries[at], table, id))
            return &map->entries[at];
    }
    return NULL;
}

static void insert(struct hf_map *map, const struct hf_map_entry *entry)
{
    uint64_t at = home_of(map, entry->table, entry->id);
    while (map->entries[at].rev != 0)
        at = at + 1 < map->cap ? at + 1 : 0;
    map->entries[at] = *entry;
    map->count++;
}

hf_result hf_map_reserve(struct hf_map *map, uint64_t more)
{
    uint64_t need = map->count + more;
    if (need <= map->cap / 5 * 4)
        return HF_DONE;
    uint64_t cap = HF_MAX(map->cap + map->cap / 2, need / 4 * 5 + CAP_FIRST);
    struct hf_map grown = {.cap = cap, .entries = calloc(cap, sizeof *grown.entries)};
    if (grown.entries == NULL)
        return HF_FAIL(NO_MEMORY);
    for (uint64_t i = 0; i < map->cap; i++) {
        if (map->entries[i].rev != 0)
            insert(&grown, &map->entries[i]);
    }
    free(map->entries);
    *map = grown;
    return HF_DONE;
}

void hf_map_put(struct hf_map *map, const struct hf_map_entry *entry)
{
    struct hf_map_entry *there = hf_map_find(map, entry->table, entry->id);
    if (there != NULL)
        *there = *entry;
    else
        insert(map, entry);
}

/* Closes the gap: what follows without a gap and would be looked for at or before it moves back. */
bool hf_map_remove(struct hf_map *map, uint16_t table, struct hf_id id)
{
    struct hf_map_entry *there = hf_map_find(map, table, id);
    if (there == NULL)
        return false;
    uint64_t gap = (uint64_t)(there - map->entries);
    for (uint64_t at = gap;;) {
        at = at + 1 < map->cap ? at + 1 : 0;
        const struct hf_map_entry *next = &map->entries[at];
        if (next->rev == 0)
            break;
        uint64_t home = home_of(map, next->table, next->id);
        bool stays = gap <= at ? gap < home && home <= at : gap < home || home <= at;
        if (!stays) {
            map->entries[gap] = *next;
            gap = at;
        }
    }
    map->entries[gap] = (struct hf_map_entry){0};
    map->count--;
    return true;
}

void hf_map_free(struct hf_map *map)
{
    free(map->entries);
    *map = (struct hf_map){0};
}
