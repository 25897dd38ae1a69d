/* Nodes of the Merkle tree at heights 8, 16, ...: kept so that a proof over a large log reads a few rows, not the
 * log. They are written in chunks of 16 in the transaction of the sealed head; what is not yet a chunk is in
 * memory, and is rebuilt at open from the level below. The store is not believed: every proof is checked. */
#include "audit/internal.h"

#include "crypto/sha256.h"

#include <stdlib.h>

struct hf_id audit_nodes_log(const struct hf_audit *audit, unsigned level)
{
    const uint8_t number = (uint8_t)level;
    const struct hf_cursor parts[] = {
        hf_cursor_text("holdfast audit nodes"),
        hf_cursor(audit->config.log.bytes, sizeof(audit->config.log.bytes)),
        hf_cursor(&number, 1),
    };
    uint8_t digest[32];
    struct hf_id id;
    hf_sha256_short_parts(parts, HF_ARRAY_LEN(parts), digest);
    memcpy(id.bytes, digest, sizeof(id.bytes));
    return id;
}

void audit_nodes_add(struct hf_audit *audit, unsigned level, struct hf_tlog_hash node)
{
    struct audit_nodes *nodes = &audit->nodes;
    if (level > AUDIT_LEVELS)
        return;
    pthread_mutex_lock(&nodes->lock);
    uint64_t index = nodes->levels[level - 1].count++;
    nodes->levels[level - 1].tail[index % AUDIT_CHUNK] = node;
    if (index % AUDIT_CHUNK == AUDIT_CHUNK - 1) {
        struct audit_chunk *chunk = &nodes->pending[nodes->pending_count++];
        chunk->level = level;
        chunk->first = index - (AUDIT_CHUNK - 1);
        memcpy(chunk->nodes, nodes->levels[level - 1].tail, sizeof(chunk->nodes));
    }
    pthread_mutex_unlock(&nodes->lock);
}

/* ---- what a reader has loaded ---- */

enum { ROWS = 4 };
struct row {
    bool loaded;
    unsigned level, count;
    uint64_t tile;
    struct hf_tlog_hash hashes[AUDIT_TILE];
};
struct audit_tiles {
    struct hf_audit *audit;
    uint64_t size;
    unsigned next;
    struct row rows[ROWS];
};

hf_result audit_tiles_new(struct hf_audit *audit, uint64_t size, struct audit_tiles **ret)
{
    struct audit_tiles *tiles = calloc(1, sizeof(*tiles));
    if (tiles == NULL)
        return HF_FAIL(NO_MEMORY);
    tiles->audit = audit;
    tiles->size = size;
    *ret = tiles;
    return HF_DONE;
}

void audit_tiles_freep(struct audit_tiles **tiles)
{
    free(*tiles);
    *tiles = NULL;
}

struct leaf_load {
    struct row *row;
    unsigned at;
};

static bool load_leaf(void *arg, const struct audit_record *record)
{
    struct leaf_load *load = arg;
    load->row->hashes[load->at++] = hf_tlog_leaf(record->leaf);
    return true;
}

static hf_result load_leaves(struct audit_tiles *tiles, struct row *row)
{
    struct leaf_load load = {.row = row};
    uint64_t from = row->tile * AUDIT_TILE;
    return audit_read_range(tiles->audit, from, from + row->count, load_leaf, &load);
}

struct chunk_load {
    struct row *row;
    uint64_t from, to; /* nodes wanted */
    uint64_t next;
    bool bad;
};

static bool load_chunk(void *arg, const struct hf_audit_batch *batch)
{
    struct chunk_load *load = arg;
    if (batch->first != load->next || batch->count != AUDIT_CHUNK ||
        batch->blob.left != AUDIT_CHUNK * HF_TLOG_HASH) {
        load->bad = true;
        return false;
    }
    uint64_t base = load->row->tile * AUDIT_TILE;
    for (unsigned i = 0; i < AUDIT_CHUNK && load->next < load->to; i++, load->next++)
        memcpy(load->row->hashes[load->next - base].bytes, batch->blob.at + (size_t)i * HF_TLOG_HASH,
               HF_TLOG_HASH);
    return load->next < load->to;
}

/* Copies what is in memory of [from, to); gives where that begins. */
static uint64_t load_memory(struct hf_audit *audit, struct row *row, uint64_t from, uint64_t to)
{
    struct audit_nodes *nodes = &audit->nodes;
    uint64_t base = row->tile * AUDIT_TILE;
    pthread_mutex_lock(&nodes->lock);
    uint64_t count = nodes->levels[row->level - 1].count, begin = count - count % AUDIT_CHUNK;
    for (uint64_t i = HF_MAX(begin, from); i < to && i < count; i++)
        row->hashes[i - base] = nodes->levels[row->level - 1].tail[i % AUDIT_CHUNK];
    for (unsigned p = nodes->pending_count; p-- > 0;) {
        const struct audit_chunk *chunk = &nodes->pending[p];
        if (chunk->level != row->level)
            continue;
        begin = HF_MIN(begin, chunk->first);
        for (uint64_t i = HF_MAX(chunk->first, from); i < to && i < chunk->first + AUDIT_CHUNK; i++)
            row->hashes[i - base] = chunk->nodes[i - chunk->first];
    }
    pthread_mutex_unlock(&nodes->lock);
    return begin;
}

static hf_result load_nodes(struct audit_tiles *tiles, struct row *row)
{
    struct hf_audit *audit = tiles->audit;
    uint64_t from = row->tile * AUDIT_TILE, to = from + row->count;
    uint64_t begin = load_memory(audit, row, from, to);
    struct chunk_load load = {.row = row, .from = from, .to = HF_MIN(to, begin), .next = from};
    if (load.to <= from)
        return HF_DONE;
    TRY(audit->store->ops->audit_read(audit->store, audit_nodes_log(audit, row->level), from,
                                      AUDIT_TILE / AUDIT_CHUNK, load_chunk, &load));
    if (load.bad || load.next < load.to)
        return audit_fault(audit, "nodes of the tree are missing", load.next << (8 * row->level));
    return HF_DONE;
}

static hf_result load_row(struct audit_tiles *tiles, unsigned level, uint64_t tile,
                          const struct row **ret_row)
{
    for (unsigned i = 0; i < ROWS; i++) {
        if (tiles->rows[i].loaded && tiles->rows[i].level == level && tiles->rows[i].tile == tile) {
            *ret_row = &tiles->rows[i];
            return HF_DONE;
        }
    }
    struct row *row = &tiles->rows[tiles->next++ % ROWS];
    uint64_t there = tiles->size >> (8 * level);
    if (tile >= (there + AUDIT_TILE - 1) / AUDIT_TILE)
        return HF_FAIL(NOT_FOUND);
    row->loaded = false;
    row->level = level;
    row->tile = tile;
    row->count = (unsigned)HF_MIN(there - tile * AUDIT_TILE, (uint64_t)AUDIT_TILE);
    TRY(level == 0 ? load_leaves(tiles, row) : load_nodes(tiles, row));
    row->loaded = true;
    *ret_row = row;
    return HF_DONE;
}

hf_result audit_tiles_row(struct audit_tiles *tiles, unsigned level, uint64_t tile, unsigned count,
                          const struct hf_tlog_hash **ret_hashes)
{
    const struct row *row;
    if (level >= AUDIT_LEVELS)
        return HF_FAIL(NOT_FOUND);
    TRY(load_row(tiles, level, tile, &row));
    if (row->count < count)
        return HF_FAIL(NOT_FOUND);
    *ret_hashes = row->hashes;
    return HF_DONE;
}

static struct hf_tlog_hash combine(const struct hf_tlog_hash *hashes, unsigned height)
{
    if (height == 0)
        return hashes[0];
    return hf_tlog_node(combine(hashes, height - 1), combine(hashes + (1u << (height - 1)), height - 1));
}

hf_result audit_tiles_node(void *arg, unsigned height, uint64_t index, struct hf_tlog_hash *ret_hash)
{
    struct audit_tiles *tiles = arg;
    unsigned level = height / 8, inside = height % 8;
    uint64_t first = index << inside;
    unsigned offset = (unsigned)(first % AUDIT_TILE);
    const struct hf_tlog_hash *hashes;
    TRY(audit_tiles_row(tiles, level, first / AUDIT_TILE, offset + (1u << inside), &hashes));
    *ret_hash = combine(hashes + offset, inside);
    return HF_DONE;
}

hf_result audit_tiles_frontier(struct audit_tiles *tiles, uint64_t size, struct hf_tlog_frontier *ret)
{
    uint64_t begin = 0;
    unsigned count = 0;
    for (unsigned height = 64; height-- > 0;) {
        if ((size >> height & 1) == 0)
            continue;
        TRY(audit_tiles_node(tiles, height, begin >> height, &ret->nodes[count++]));
        begin += UINT64_C(1) << height;
    }
    ret->size = size;
    return HF_DONE;
}

hf_result audit_nodes_recover(struct hf_audit *audit, uint64_t size)
{
    CLEANUP(audit_tiles_freep) struct audit_tiles *tiles = NULL;
    TRY(audit_tiles_new(audit, size, &tiles));
    for (unsigned level = 1; level < AUDIT_LEVELS; level++) {
        uint64_t count = size >> (8 * level);
        for (uint64_t i = count - count % AUDIT_CHUNK; i < count; i++) {
            const struct hf_tlog_hash *hashes;
            TRY(audit_tiles_row(tiles, level - 1, i, AUDIT_TILE, &hashes));
            audit->nodes.levels[level - 1].tail[i % AUDIT_CHUNK] = combine(hashes, 8);
        }
        audit->nodes.levels[level - 1].count = count;
    }
    return HF_DONE;
}
