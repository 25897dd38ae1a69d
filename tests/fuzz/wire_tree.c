/* Property: bytes that open as a tree are walked without leaving them, and copied give the same bytes; the typed
 * accessors answer or fail, and never crash. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/json.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void walk(const struct hf_tree *tree)
{
    struct hf_tree_iter iter = hf_tree_iterate(tree);
    struct hf_cursor key, text;
    struct hf_tree item;
    uint32_t count = 0;
    while (hf_tree_next(&iter, &key, &item)) {
        count++;
        walk(&item);
        if (iter.map)
            check(hf_tree_has_slice(tree, key));
    }
    check(tree->tag != HF_TREE_NUMBER || hf_tree_same_number(tree, tree));
    check(tree->tag == HF_TREE_CIPHER || count == tree->count);
    int64_t number;
    bool yes;
    HF_IGNORE(hf_tree_text(tree, "a", &text), "any answer will do");
    HF_IGNORE(hf_tree_int(tree, "a", 1, &number), "any answer will do");
    HF_IGNORE(hf_tree_bool(tree, "a", true, &yes), "any answer will do");
    HF_IGNORE(hf_tree_duration(tree, "a", 1, &number), "any answer will do");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[1 << 17], text[1 << 20];
    struct hf_buf out = hf_buf(memory, sizeof(memory)), json = hf_buf(text, sizeof(text));
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_tree tree;
    if (size > 1 << 16)
        return 0;
    (void)hf_tree_keys_unique(hf_cursor(data, size), size > 0 ? data[0] : 0);
    if (!HF_IS_OK(hf_tree_open(hf_cursor(data, size), &tree)))
        return 0;
    walk(&tree);
    hf_tw_copy(&w, &tree);
    check(!out.overflow && hf_cursor_same(hf_buf_cursor(&out), hf_cursor(data, size)));
    hf_tree_to_json(&tree, &json);
    check(!json.overflow && json.len <= hf_tree_json_max(&tree));
    if (tree.tag == HF_TREE_NUMBER) /* as it was written */
        check(hf_cursor_same(hf_buf_cursor(&json), tree.body));
    return 0;
}
