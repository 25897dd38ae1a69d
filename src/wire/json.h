/* JSON (RFC 8259) to and from the value tree, bounded: depth, UTF-8 checked, duplicate members refused, numbers
 * as i64 where they are integers, no trailing bytes. Pure; never allocates; one pass. */
#ifndef HF_WIRE_JSON_H
#define HF_WIRE_JSON_H

#include "wire/tree.h"

/* Fails: BAD_REQUEST (ret_error_at: offset of the first bad byte, may be NULL), TOO_LARGE (out or depth). */
hf_result hf_json_to_tree(struct hf_cursor json, struct hf_tree_writer *w, size_t *ret_error_at);
/* The same for text that must be an object: its members go into the map that is open in `w`, whose keys must
 * then all differ from each other. Fails: also BAD_ARGUMENT where the text is valid JSON but no object. */
hf_result hf_json_members(struct hf_cursor json, struct hf_tree_writer *w, size_t *ret_error_at);
/* Writes compact JSON. BYTES as base64, CIPHER as "vault:vN:" base64. */
void hf_tree_to_json(const struct hf_tree *tree, struct hf_buf *out);
/* Upper bound of what hf_tree_to_json writes. */
size_t hf_tree_json_max(const struct hf_tree *tree);
/* Escapes and quotes a text. */
void hf_json_string(struct hf_buf *out, struct hf_cursor text);

#endif
