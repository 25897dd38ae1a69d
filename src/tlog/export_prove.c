/* Proofs from an export: the tree is built again from its entries. */
#include "tlog/export.h"

#include <stdlib.h>

struct tree {
    struct hf_tlog_frontier before; /* of the export's first entry */
    uint64_t end;
    struct hf_tlog_hash *hashes; /* of [before.size, end) */
};

/* Node of a subtree that lies before the export: one of the frontier's, for all that a proof asks of there. */
static hf_result node_before(const struct hf_tlog_frontier *f, unsigned height, uint64_t begin,
                             struct hf_tlog_hash *ret)
{
    uint64_t at = 0;
    unsigned node = 0;
    for (unsigned h = 64; h-- > 0;) {
        if ((f->size >> h & 1) == 0)
            continue;
        if (at == begin && h == height) {
            *ret = f->nodes[node];
            return HF_DONE;
        }
        at += UINT64_C(1) << h;
        node++;
    }
    return HF_FAIL(NOT_FOUND);
}

static hf_result node_of(void *arg, unsigned height, uint64_t index, struct hf_tlog_hash *ret)
{
    const struct tree *tree = arg;
    uint64_t begin = index << height, end = begin + (UINT64_C(1) << height);
    if (end <= tree->before.size)
        return node_before(&tree->before, height, begin, ret);
    if (end > tree->end)
        return HF_FAIL(NOT_FOUND);
    if (height == 0) {
        *ret = tree->hashes[begin - tree->before.size];
        return HF_DONE;
    }
    struct hf_tlog_hash left, right;
    TRY(node_of(arg, height - 1, index * 2, &left));
    TRY(node_of(arg, height - 1, index * 2 + 1, &right));
    *ret = hf_tlog_node(left, right);
    return HF_DONE;
}

/* Counts entries, and finds the first section's frontier. */
static hf_result survey(struct hf_cursor export_bytes, const struct hf_tlog_checkpoint *cp, struct tree *tree)
{
    struct hf_export_reader reader;
    bool more, begun = false;
    hf_export_open(&reader, export_bytes);
    for (;;) {
        TRY(hf_export_section(&reader, &more));
        if (!more)
            return begun ? HF_DONE : HF_FAIL(NOT_FOUND);
        if (!hf_cursor_same(reader.origin, cp->origin))
            return HF_FAIL(BAD_ARGUMENT);
        if (!begun) {
            tree->before = reader.before;
            tree->end = reader.before.size;
        }
        begun = true;
        tree->end += reader.entries_left;
    }
}

static hf_result load(struct hf_cursor export_bytes, uint64_t index, struct tree *tree,
                      struct hf_cursor *ret_leaf)
{
    struct hf_export_reader reader;
    struct hf_export_entry entry;
    uint64_t place = tree->before.size;
    bool more;
    hf_export_open(&reader, export_bytes);
    for (;;) {
        TRY(hf_export_section(&reader, &more));
        if (!more)
            return HF_DONE;
        while (hf_export_next(&reader, &entry)) {
            tree->hashes[place - tree->before.size] = hf_tlog_leaf(entry.bytes);
            if (place++ == index)
                *ret_leaf = entry.bytes;
        }
    }
}

hf_result hf_export_prove(struct hf_cursor export_bytes, struct hf_cursor checkpoint_note,
                          const struct hf_tlog_signer *keys, uint64_t index, struct hf_buf *out_proof)
{
    struct hf_tlog_checkpoint cp;
    struct tree tree = {0};
    struct hf_tlog_proof proof;
    struct hf_cursor leaf = {0};
    TRY(hf_tlog_checkpoint_open(checkpoint_note, keys, &cp));
    TRY(survey(export_bytes, &cp, &tree));
    if (index < tree.before.size || index >= tree.end || index >= cp.size || tree.end < cp.size)
        return HF_FAIL(NOT_FOUND);
    tree.hashes = calloc(tree.end - tree.before.size, sizeof(tree.hashes[0]));
    if (tree.hashes == NULL)
        return HF_FAIL(NO_MEMORY);
    hf_result result = load(export_bytes, index, &tree, &leaf);
    if (HF_IS_OK(result))
        result = hf_tlog_prove_inclusion(node_of, &tree, index, cp.size, &proof);
    free(tree.hashes);
    TRY(result);
    TRY(hf_tlog_check_inclusion(index, cp.size, hf_tlog_leaf(leaf), &proof, cp.root));
    return hf_tlog_proof_write(out_proof, leaf, index, &proof, checkpoint_note);
}
