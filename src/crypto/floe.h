/* C2SP FLOE (c2sp.org/FLOE): authenticated encryption of files of any size in segments, with constant memory and
 * random access; AES-256-GCM, HKDF-Expand-SHA-384, 32-byte IV. Committing: one key opens a file.
 *
 *   file = header (74 bytes) || full segment ... || last segment
 *
 * Online use: seal_begin, seal_next for each full segment, seal_last once. The reader calls open_begin, then
 * open_next till it says last; an input that ends before the last segment is truncated, and the reader must
 * refuse it. A state serves one thread at a time. */
#ifndef HF_CRYPTO_FLOE_H
#define HF_CRYPTO_FLOE_H

#include "secret/secret.h"

enum {
    HF_FLOE_KEY = 32,
    HF_FLOE_HEADER = 74,
    HF_FLOE_OVERHEAD = 32, /* of each segment: length, nonce, tag */
    HF_FLOE_SEGMENT_MIN = HF_FLOE_OVERHEAD + 1,
    HF_FLOE_SEGMENT_DEFAULT = 64 * 1024,
    HF_FLOE_SEGMENT_MAX = 4 * 1024 * 1024,
};
#define HF_FLOE_SEGMENTS_MAX (UINT64_C(1) << 40)

struct hf_floe;

/* Takes: key of 32 bytes and ad, both borrowed; segment_len: length of an encrypted segment. Writes the header.
 * Fails: BAD_ARGUMENT, NO_ENTROPY, NO_MEMORY. */
hf_result hf_floe_seal_begin(const struct hf_secret *key, struct hf_cursor ad, uint32_t segment_len,
                             uint8_t ret_header[static HF_FLOE_HEADER], struct hf_floe **ret_floe);
/* Fails: TRUNCATED (header too short), UNSUPPORTED (other parameters), BAD_CIPHERTEXT (another key, another ad or an
 * altered header), NO_MEMORY. */
hf_result hf_floe_open_begin(const struct hf_secret *key, struct hf_cursor ad, struct hf_cursor header,
                             struct hf_floe **ret_floe);
void hf_floe_free(struct hf_floe *floe);
void hf_floe_freep(struct hf_floe **floe);

/* Bytes of an encrypted full segment, and of plaintext in one. */
size_t hf_floe_segment_len(const struct hf_floe *floe);
size_t hf_floe_plain_len(const struct hf_floe *floe);

/* plain: exactly hf_floe_plain_len() bytes; the last may have fewer, down to none. Writes one segment.
 * Fails: BAD_ARGUMENT (length, or after the last), TOO_LARGE (out; segment count), NO_ENTROPY, NO_MEMORY. */
hf_result hf_floe_seal_next(struct hf_floe *floe, struct hf_cursor plain, struct hf_buf *out);
hf_result hf_floe_seal_last(struct hf_floe *floe, struct hf_cursor plain, struct hf_buf *out);

/* Opens the segment that comes next; the segment itself says whether it is the last.
 * Fails: BAD_CIPHERTEXT (altered, out of its place, or after the last), TOO_LARGE (out). Nothing of the plaintext
 * remains in out then, and the same segment may be offered again. */
hf_result hf_floe_open_next(struct hf_floe *floe, struct hf_cursor segment, struct hf_buf *out,
                            bool *ret_last);
/* Opens the segment at a position (from 0). last: whether the caller knows it to be the file's last: from the
 * file's size, since a segment cannot tell that others were cut off behind it. Leaves the online position alone. */
hf_result hf_floe_open_at(struct hf_floe *floe, uint64_t position, bool last, struct hf_cursor segment,
                          struct hf_buf *out);

/* Where things lie in a file of file_len bytes (header included). Fails: TRUNCATED where no file of these segments
 * has that length. */
hf_result hf_floe_layout(const struct hf_floe *floe, uint64_t file_len, uint64_t *ret_segments,
                         uint64_t *ret_plain_len);

/* For vectors alone: a new key each 2^bits segments in place of 2^20. Both sides must agree. */
void hf_floe_rotate_each(struct hf_floe *floe, unsigned bits);

#endif
