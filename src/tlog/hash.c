#include "tlog/tlog.h"

#include "crypto/sha256.h"

#include <assert.h>

enum { LEAF_SHORT = 256 };
static_assert(sizeof(struct hf_tlog_hash) == HF_TLOG_HASH, "arrays of hashes are written as they stand");

/* @spec RFC9162:2.1.1 */
struct hf_tlog_hash hf_tlog_leaf(struct hf_cursor data)
{
    struct hf_tlog_hash hash;
    if (data.left < LEAF_SHORT) {
        uint8_t input[LEAF_SHORT];
        input[0] = 0x00;
        if (data.left != 0)
            memcpy(input + 1, data.at, data.left);
        hf_sha256_short(input, data.left + 1, hash.bytes);
        return hash;
    }
    const struct hf_cursor parts[] = {hf_cursor("\0", 1), data};
    hf_sha256_short_parts(parts, HF_ARRAY_LEN(parts), hash.bytes);
    return hash;
}

struct hf_tlog_hash hf_tlog_node(struct hf_tlog_hash left, struct hf_tlog_hash right)
{
    uint8_t input[1 + 2 * HF_TLOG_HASH];
    struct hf_tlog_hash hash;
    input[0] = 0x01;
    memcpy(input + 1, left.bytes, HF_TLOG_HASH);
    memcpy(input + 1 + HF_TLOG_HASH, right.bytes, HF_TLOG_HASH);
    hf_sha256_short(input, sizeof(input), hash.bytes);
    return hash;
}

/* ---- frontier ------------------------------------------------------------------------------------------ */

void hf_tlog_append(struct hf_tlog_frontier *frontier, struct hf_tlog_hash leaf)
{
    unsigned count = (unsigned)__builtin_popcountll(frontier->size);
    for (uint64_t size = frontier->size; (size & 1) != 0; size >>= 1)
        leaf = hf_tlog_node(frontier->nodes[--count], leaf);
    frontier->nodes[count] = leaf;
    frontier->size++;
}

struct hf_tlog_hash hf_tlog_root(const struct hf_tlog_frontier *frontier)
{
    struct hf_tlog_hash root;
    unsigned count = (unsigned)__builtin_popcountll(frontier->size);
    if (count == 0) {
        hf_sha256_short("", 0, root.bytes);
        return root;
    }
    root = frontier->nodes[--count];
    while (count > 0)
        root = hf_tlog_node(frontier->nodes[--count], root);
    return root;
}

void hf_tlog_frontier_write(struct hf_buf *out, const struct hf_tlog_frontier *frontier)
{
    hf_buf_u64(out, frontier->size);
    hf_buf_put(out, frontier->nodes, (size_t)__builtin_popcountll(frontier->size) * HF_TLOG_HASH);
}

hf_result hf_tlog_frontier_read(struct hf_cursor *in, struct hf_tlog_frontier *ret_frontier)
{
    struct hf_cursor probe = *in, nodes;
    uint64_t size;
    if (!hf_cursor_u64(&probe, &size) ||
        !hf_cursor_take(&probe, (size_t)__builtin_popcountll(size) * HF_TLOG_HASH, &nodes))
        return HF_FAIL(TRUNCATED);
    ret_frontier->size = size;
    if (nodes.left != 0)
        memcpy(ret_frontier->nodes, nodes.at, nodes.left);
    *in = probe;
    return HF_DONE;
}
