/* Merkle proofs, RFC 9162 section 2.1.3 and 2.1.4. */
#include "tlog/tlog.h"

/* Height of the largest complete subtree that begins at `begin` and ends at or before `end` (begin < end). */
static unsigned height_at(uint64_t begin, uint64_t end)
{
    unsigned fits = 63 - (unsigned)__builtin_clzll(end - begin);
    if (begin == 0)
        return fits;
    unsigned aligned = (unsigned)__builtin_ctzll(begin);
    return HF_MIN(fits, aligned);
}

/* Hash of the leaves [begin, end), begin aligned to the subtree that RFC 9162 splits off there: complete
 * subtrees, shrinking to the right. */
static hf_result range_hash(hf_tlog_node_fn node, void *arg, uint64_t begin, uint64_t end,
                            struct hf_tlog_hash *ret_hash)
{
    struct hf_tlog_hash parts[64];
    unsigned count = 0;
    while (begin < end) {
        unsigned height = height_at(begin, end);
        TRY(node(arg, height, begin >> height, &parts[count++]));
        begin += UINT64_C(1) << height;
    }
    struct hf_tlog_hash hash = parts[--count];
    while (count > 0)
        hash = hf_tlog_node(parts[--count], hash);
    *ret_hash = hash;
    return HF_DONE;
}

/* Largest power of two smaller than n; n > 1. */
static uint64_t split_of(uint64_t n)
{
    return UINT64_C(1) << (63 - (unsigned)__builtin_clzll(n - 1));
}

struct span { /* of leaves, to be hashed */
    uint64_t begin, end;
};

/* Hashes what the walk from the root gathered, deepest first. */
static hf_result write_path(hf_tlog_node_fn node, void *arg, const struct span *spans, unsigned count,
                            struct hf_tlog_proof *ret)
{
    ret->count = 0;
    while (count > 0) {
        count--;
        TRY(range_hash(node, arg, spans[count].begin, spans[count].end, &ret->path[ret->count++]));
    }
    return HF_DONE;
}

hf_result hf_tlog_prove_inclusion(hf_tlog_node_fn node, void *arg, uint64_t index, uint64_t size,
                                  struct hf_tlog_proof *ret)
{
    if (index >= size)
        return HF_FAIL(BAD_ARGUMENT);
    struct span spans[HF_TLOG_PROOF_MAX];
    unsigned count = 0;
    uint64_t begin = 0, end = size;
    while (end - begin > 1) {
        uint64_t middle = begin + split_of(end - begin);
        if (index < middle) {
            spans[count++] = (struct span){middle, end};
            end = middle;
        } else {
            spans[count++] = (struct span){begin, middle};
            begin = middle;
        }
    }
    return write_path(node, arg, spans, count, ret);
}

hf_result hf_tlog_prove_consistency(hf_tlog_node_fn node, void *arg, uint64_t old_size, uint64_t size,
                                    struct hf_tlog_proof *ret)
{
    if (old_size == 0 || old_size > size)
        return HF_FAIL(BAD_ARGUMENT);
    struct span spans[HF_TLOG_PROOF_MAX + 1];
    unsigned count = 0;
    uint64_t begin = 0, end = size;
    while (end != old_size) { /* the old tree ends inside [begin, end) */
        uint64_t middle = begin + split_of(end - begin);
        if (old_size <= middle) {
            spans[count++] = (struct span){middle, end};
            end = middle;
        } else {
            spans[count++] = (struct span){begin, middle};
            begin = middle;
        }
    }
    if (begin != 0) /* the verifier knows the old root, and needs this part where it is not the root itself */
        spans[count++] = (struct span){begin, end};
    if (count > HF_TLOG_PROOF_MAX)
        return HF_FAIL(TOO_LARGE);
    return write_path(node, arg, spans, count, ret);
}

static bool same(struct hf_tlog_hash a, struct hf_tlog_hash b)
{
    return memcmp(a.bytes, b.bytes, HF_TLOG_HASH) == 0; /* public hashes */
}

/* @spec RFC9162:2.1.3.2 */
hf_result hf_tlog_check_inclusion(uint64_t index, uint64_t size, struct hf_tlog_hash leaf,
                                  const struct hf_tlog_proof *proof, struct hf_tlog_hash root)
{
    if (index >= size || proof->count > HF_TLOG_PROOF_MAX)
        return HF_FAIL(BAD_SIGNATURE);
    uint64_t first = index, last = size - 1;
    struct hf_tlog_hash hash = leaf;
    for (uint32_t i = 0; i < proof->count; i++) {
        if (last == 0)
            return HF_FAIL(BAD_SIGNATURE);
        if ((first & 1) != 0 || first == last) {
            hash = hf_tlog_node(proof->path[i], hash);
            while ((first & 1) == 0 && first != 0) {
                first >>= 1;
                last >>= 1;
            }
        } else {
            hash = hf_tlog_node(hash, proof->path[i]);
        }
        first >>= 1;
        last >>= 1;
    }
    return last == 0 && same(hash, root) ? HF_DONE : HF_FAIL(BAD_SIGNATURE);
}

/* @spec RFC9162:2.1.4.2 */
hf_result hf_tlog_check_consistency(uint64_t old_size, uint64_t size, const struct hf_tlog_proof *proof,
                                    struct hf_tlog_hash old_root, struct hf_tlog_hash root)
{
    if (old_size == 0 || old_size > size || proof->count > HF_TLOG_PROOF_MAX)
        return HF_FAIL(BAD_SIGNATURE); /* every tree is consistent with the empty one: that proves nothing */
    if (old_size == size)
        return proof->count == 0 && same(old_root, root) ? HF_DONE : HF_FAIL(BAD_SIGNATURE);
    uint32_t next = 0;
    struct hf_tlog_hash begin;
    if ((old_size & (old_size - 1)) == 0) {
        begin = old_root;
    } else {
        if (proof->count == 0)
            return HF_FAIL(BAD_SIGNATURE);
        begin = proof->path[next++];
    }
    uint64_t first = old_size - 1, last = size - 1;
    while ((first & 1) != 0) {
        first >>= 1;
        last >>= 1;
    }
    struct hf_tlog_hash before = begin, after = begin;
    for (; next < proof->count; next++) {
        if (last == 0)
            return HF_FAIL(BAD_SIGNATURE);
        if ((first & 1) != 0 || first == last) {
            before = hf_tlog_node(proof->path[next], before);
            after = hf_tlog_node(proof->path[next], after);
            while ((first & 1) == 0 && first != 0) {
                first >>= 1;
                last >>= 1;
            }
        } else {
            after = hf_tlog_node(after, proof->path[next]);
        }
        first >>= 1;
        last >>= 1;
    }
    return last == 0 && same(before, old_root) && same(after, root) ? HF_DONE : HF_FAIL(BAD_SIGNATURE);
}
