/* Property: text that is taken becomes a well-formed tree; text that is not is answered with a place in it and a
 * reason. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/hcl.h"
#include "wire/json.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[1 << 18], text[1 << 20];
    struct hf_buf out = hf_buf(memory, sizeof(memory)), json = hf_buf(text, sizeof(text));
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_hcl_error error;
    struct hf_tree tree;
    if (size > 1 << 14)
        return 0;
    hf_result result = hf_hcl_to_tree(hf_cursor(data, size), &w, &error);
    if (!HF_IS_OK(result)) {
        check(result.code == HF_TOO_LARGE || (error.line >= 1 && error.column >= 1 && error.reason[0] != 0));
        check(error.line <= size + 1 && error.column <= size + 1);
        return 0;
    }
    check(w.depth == 0);
    check(HF_IS_OK(hf_tree_open(hf_buf_cursor(&out), &tree)));
    hf_tree_to_json(&tree, &json);
    check(!json.overflow && json.len <= hf_tree_json_max(&tree));
    /* Its JSON form, where it is an object, says the same. */
    struct hf_buf again = hf_buf(text + json.len, sizeof(text) - json.len);
    struct hf_tree_writer w2 = hf_tree_writer(&again);
    check(HF_IS_OK(hf_hcl_to_tree(hf_buf_cursor(&json), &w2, &error)));
    check(hf_cursor_same(hf_buf_cursor(&out), hf_buf_cursor(&again)));
    return 0;
}
