/* HCL version 1, the subset that policies and configuration use, into the value tree: attributes
 * (key = value), blocks with labels (path "secret/x" { ... }), strings with escapes, heredocs, numbers, booleans,
 * lists, objects, # // and block comments. A block becomes {"type": [{"label1": {...}}, ...]}: an array of the
 * block's occurrences in order, each wrapped in its labels, as HCL's own JSON form has it. JSON text is accepted
 * too (first byte '{'). Pure; never allocates. */
#ifndef HF_WIRE_HCL_H
#define HF_WIRE_HCL_H

#include "wire/tree.h"

struct hf_hcl_error {
    uint32_t line, column; /* from 1 */
    char reason[96];
};
/* Fails: BAD_ARGUMENT with ret_error filled (may be NULL); TOO_LARGE. Duplicate attributes in one block are an
 * error. */
hf_result hf_hcl_to_tree(struct hf_cursor text, struct hf_tree_writer *w, struct hf_hcl_error *ret_error);

#endif
