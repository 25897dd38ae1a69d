/* Secret sharing over GF(2^8), polynomial 0x11B, and share cards. Pure. Constant time in the secret: multiplication
 * is bitwise, the inverse is a^254, no tables. Shamir 1979; docs/split-keys.md. */
#ifndef HF_SHARES_SHARES_H
#define HF_SHARES_SHARES_H

#include "base/log.h"
#include "secret/secret.h"

enum { HF_SHARES_MAX = 32, HF_SHARE_SECRET_MAX = 64, HF_SHARE_EXPORT_BYTES = 33, HF_SHARE_CARD_MAX = 256 };

struct hf_share {
    struct hf_id set;
    uint32_t generation;
    uint8_t index; /* x: 1..255, distinct in a set */
    uint8_t threshold, count;
    struct hf_secret *y;
    uint8_t check[16]; /* HMAC-SHA-256 under a key derived from y, over all clear fields: finds damage */
};
void hf_share_done(struct hf_share *share); /* wipes; for CLEANUP */

/* Splits secret into count shares of which threshold rebuild it. 1 <= threshold <= count <= HF_SHARES_MAX.
 * Fails: BAD_ARGUMENT, NO_ENTROPY, NO_MEMORY; nothing given. */
hf_result hf_shares_split(const struct hf_secret *secret, struct hf_id set, uint32_t generation,
                          uint8_t threshold, uint8_t count, struct hf_share ret_shares[]);
/* Interpolates at 0. Exactly the points given are used. Fails: BAD_ARGUMENT on equal or zero indices. */
hf_result hf_shares_combine(const struct hf_share *const shares[], size_t count,
                            struct hf_secret **ret_secret);

/* Plain form that existing clients expect: y || x. */
hf_result hf_share_export(const struct hf_share *share, struct hf_secret **ret_bytes);
/* Card: text with all fields and a checksum that finds up to 4 wrong characters and tells where 1 is:
 * "hf1-share-..." bech32m-style. Writes into a secret (text bytes). */
hf_result hf_share_card(const struct hf_share *share, struct hf_secret **ret_text);
/* Reads hex, base64 (plain form: set zero, threshold 0) or a card. ret_why: static text naming what is wrong.
 * Fails: BAD_SHARE. */
hf_result hf_share_parse(struct hf_cursor text, struct hf_share *ret_share, const char **ret_why);

#endif
