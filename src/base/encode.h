/* Text encodings, RFC 4648: hex (section 8), base64 (4), base64url without padding (5). Strict: no white space,
 * no missing padding, no bits beyond the end. Timing depends on lengths only (no secret-indexed tables), so
 * that shares and data keys may pass through. Buffers may not overlap unless said. */
#ifndef HF_BASE_ENCODE_H
#define HF_BASE_ENCODE_H

#include "base/buf.h"

#define HF_HEX_LEN(n) ((size_t)(n)*2)
#define HF_BASE64_LEN(n) (((size_t)(n) + 2) / 3 * 4)
#define HF_BASE64_MAX_DECODED(n) ((size_t)(n) / 4 * 3)

void hf_hex_encode(struct hf_buf *out, struct hf_cursor bytes); /* lower case */
/* Fails: BAD_ARGUMENT on an odd length or another character; TOO_LARGE where `out` is too small. */
hf_result hf_hex_decode(struct hf_buf *out, struct hf_cursor text);

void hf_base64_encode(struct hf_buf *out, struct hf_cursor bytes);
/* May decode in place: `out->at + out->len` may equal `text.at`. Fails as hf_hex_decode. */
hf_result hf_base64_decode(struct hf_buf *out, struct hf_cursor text);

void hf_base64url_encode(struct hf_buf *out, struct hf_cursor bytes);
hf_result hf_base64url_decode(struct hf_buf *out, struct hf_cursor text);

/* True where `text` is well-formed UTF-8 (Unicode 15, table 3-7: no surrogates, no overlong forms). */
bool hf_utf8_valid(struct hf_cursor text);

#endif
