/* Secret sharing over GF(2^8), polynomial 0x11B, and the forms in which shares travel: the plain one that existing
 * clients expect, and cards. Pure. Constant time in the secret: multiplication is bitwise, the inverse is a^254, no
 * tables. Shamir 1979; docs/seal.md. */
#ifndef HF_SHARES_SHARES_H
#define HF_SHARES_SHARES_H

#include "base/log.h"
#include "secret/secret.h"

enum {
    HF_SHARES_MAX = 32,
    HF_SHARE_SECRET_MIN = 16, /* bytes that may be split */
    HF_SHARE_SECRET_MAX = 64,
    HF_SHARE_CHECK = 16,
    HF_SHARE_COMMITMENT = 32,
    HF_SHARE_EXPORT_BYTES = 33, /* plain form of a share of 32 bytes */
    HF_SHARE_CARD_MAX = 256,    /* text of any card, grouped */
};

struct hf_share {
    struct hf_id set;         /* zero where unknown: read from the plain form */
    uint32_t generation;      /* 0 where unknown */
    uint8_t index;            /* x: 1..255, distinct in a set */
    uint8_t threshold, count; /* 0 where unknown */
    struct hf_secret *y;
};
void hf_share_done(struct hf_share *share); /* wipes; for CLEANUP; a zeroed share is allowed */

/* Splits secret into count shares of which threshold rebuild it. 1 <= threshold <= count <= HF_SHARES_MAX.
 * Gives: ret_shares[0..count), indices 1..count. Fails: BAD_ARGUMENT, NO_ENTROPY, NO_MEMORY; nothing given. */
hf_result hf_shares_split(const struct hf_secret *secret, struct hf_id set, uint32_t generation,
                          uint8_t threshold, uint8_t count, struct hf_share ret_shares[]);
/* Interpolates at 0. Exactly the points given are used; whether they belong together, the caller knows by their
 * commitments. Fails: BAD_ARGUMENT on equal or zero indices or unequal lengths. */
hf_result hf_shares_combine(const struct hf_share *const shares[], size_t count,
                            struct hf_secret **ret_secret);

/* What the issuer of a set keeps of a share, to know it again: HMAC-SHA-256 under y over set, generation and index.
 * Says nothing of y to whom 2^256 tries are too many. set and generation are the issuer's, the rest is the share's. */
hf_result hf_share_commitment(const struct hf_share *share, struct hf_id set, uint32_t generation,
                              uint8_t ret_commitment[static HF_SHARE_COMMITMENT]);

enum hf_share_format {
    HF_SHARE_HEX,    /* of the plain form: y || x */
    HF_SHARE_BASE64, /* of the plain form */
    HF_SHARE_CARD,   /* "hf1-share-xxxxx-xxxxx-...": see hf_share_card */
};
/* Characters that hf_share_text writes. */
size_t hf_share_text_len(const struct hf_share *share, enum hf_share_format format);
/* Writes the share's text, without NUL. The memory of `out` holds a secret then: the caller wipes it. */
hf_result hf_share_text(const struct hf_share *share, enum hf_share_format format, struct hf_buf *out);

/* Plain form: y || x. */
hf_result hf_share_export(const struct hf_share *share, struct hf_secret **ret_bytes);
/* Card: all fields, an integrity check under a key derived from y, and nine check characters of a BCH code (distance
 * 6): up to four wrong characters are always found, and the place of a single one is told. Letters and digits without
 * 1, b, i and o, in groups of five; case, spaces and dashes do not matter when it is read. */
hf_result hf_share_card(const struct hf_share *share, struct hf_secret **ret_text);
/* Reads hex or base64 of the plain form, or a card. Text that could be either is hex, but for 44 characters, which are
 * the base64 of a share of 32 bytes. White space around it is allowed. ret_why: on failure, what is
 * wrong (and where, on a card); valid till this thread's next call. Fails: BAD_SHARE, NO_MEMORY. */
hf_result hf_share_parse(struct hf_cursor text, struct hf_share *ret_share, const char **ret_why);

#endif
