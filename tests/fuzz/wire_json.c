/* Property: text that is taken becomes a well-formed tree, whose JSON fits its bound, is taken again, and then gives
 * the same tree and the same text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/json.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static uint8_t first[1 << 18], second[1 << 18], text[1 << 20];

static bool parse(struct hf_cursor json, uint8_t *memory, struct hf_buf *ret)
{
    size_t at = 0;
    *ret = hf_buf(memory, sizeof(first));
    struct hf_tree_writer w = hf_tree_writer(ret);
    hf_result result = hf_json_to_tree(json, &w, &at);
    check(HF_IS_OK(result) || at <= json.left);
    check(HF_IS_OK(result) || result.code == HF_BAD_REQUEST || result.code == HF_TOO_LARGE);
    return HF_IS_OK(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_buf a, b, out = hf_buf(text, sizeof(text));
    struct hf_tree tree;
    if (size > 1 << 15 || !parse(hf_cursor(data, size), first, &a))
        return 0;
    check(HF_IS_OK(hf_tree_open(hf_buf_cursor(&a), &tree)));
    hf_tree_to_json(&tree, &out);
    check(!out.overflow && out.len <= hf_tree_json_max(&tree));
    check(parse(hf_buf_cursor(&out), second, &b));
    check(hf_cursor_same(hf_buf_cursor(&a), hf_buf_cursor(&b)));
    return 0;
}
