/* Constant time: each character is mapped by comparisons and masks, never by a table that the data indexes. Sixteen
 * characters are mapped at once in a vector (SSE2, NEON: both are in the base instruction sets). */
#include "base/encode.h"

/* ---- hex (RFC 4648 section 8) ---- */

static uint8_t hex_digit(unsigned nibble)
{
    /* 10..15 need 39 more than 0..9: (9 - nibble) is negative for those, so its high bits select. */
    return (uint8_t)('0' + nibble + (((9u - nibble) >> 8) & 39u));
}

/* Value of a hex digit; 0xff00 is set where it is none. */
static unsigned hex_value(uint8_t c)
{
    unsigned digit = (uint8_t)(c - '0');
    unsigned letter = (uint8_t)((c | 0x20) - 'a');
    unsigned is_digit = 0u - ((digit - 10u) >> 31); /* below zero: all ones */
    unsigned is_letter = 0u - ((letter - 6u) >> 31);
    return (is_digit & digit) | (is_letter & (letter + 10u)) | (~(is_digit | is_letter) & 0xff00u);
}

void hf_hex_encode(struct hf_buf *out, struct hf_cursor bytes)
{
    if (bytes.left > SIZE_MAX / 2) {
        out->overflow = true;
        return;
    }
    uint8_t *to = hf_buf_reserve(out, HF_HEX_LEN(bytes.left));
    if (to == NULL)
        return;
    for (size_t i = 0; i < bytes.left; i++) {
        to[2 * i] = hex_digit(bytes.at[i] >> 4);
        to[2 * i + 1] = hex_digit(bytes.at[i] & 15u);
    }
}

hf_result hf_hex_decode(struct hf_buf *out, struct hf_cursor text)
{
    if (text.left % 2 != 0)
        return HF_FAIL(BAD_ARGUMENT);
    size_t begun = out->len;
    uint8_t *to = hf_buf_reserve(out, text.left / 2);
    if (to == NULL)
        return HF_FAIL(TOO_LARGE);
    unsigned wrong = 0;
    for (size_t i = 0; i < text.left / 2; i++) {
        unsigned high = hex_value(text.at[2 * i]);
        unsigned low = hex_value(text.at[2 * i + 1]);
        wrong |= (high | low) >> 8;
        to[i] = (uint8_t)(high << 4 | low);
    }
    if (wrong != 0) {
        out->len = begun;
        return HF_FAIL(BAD_ARGUMENT);
    }
    return HF_DONE;
}

/* ---- base64 (sections 4 and 5) ---- */

enum { LANES = 16, GROUP = LANES / 4 * 3 }; /* 16 characters carry 12 bytes */
typedef uint8_t chars16 __attribute__((vector_size(LANES)));
typedef uint32_t words4 __attribute__((vector_size(LANES)));

struct alphabet {
    uint8_t c62, c63;
    bool padded;
};
static const struct alphabet standard = {'+', '/', true};
static const struct alphabet urlsafe = {'-', '_', false};

static inline chars16 splat(unsigned c)
{
    return (chars16){0} + (uint8_t)c;
}

/* Comparisons of vectors give all ones or all zeros in each lane. */
static inline chars16 in_range(chars16 c, unsigned first, unsigned last)
{
    return (chars16)(c - splat(first) <= splat(last - first));
}

static inline chars16 to_chars(chars16 v, const struct alphabet *a)
{
    chars16 lower = (chars16)(v >= splat(26));
    chars16 digit = (chars16)(v >= splat(52));
    chars16 c = v + splat('A') + (lower & splat('a' - 26 - 'A')) +
                (digit & splat((unsigned)('0' - 52 - ('a' - 26)) & 0xffu));
    chars16 is62 = (chars16)(v == splat(62));
    chars16 is63 = (chars16)(v == splat(63));
    return (c & ~(is62 | is63)) | (is62 & splat(a->c62)) | (is63 & splat(a->c63));
}

/* Values of 16 characters; `wrong` gathers ones where a character is not of the alphabet. */
static inline chars16 to_values(chars16 c, const struct alphabet *a, chars16 *wrong)
{
    chars16 upper = in_range(c, 'A', 'Z');
    chars16 lower = in_range(c, 'a', 'z');
    chars16 digit = in_range(c, '0', '9');
    chars16 is62 = (chars16)(c == splat(a->c62));
    chars16 is63 = (chars16)(c == splat(a->c63));
    *wrong |= ~(upper | lower | digit | is62 | is63);
    return (upper & (c - splat('A'))) | (lower & (c - splat('a' - 26))) | (digit & (c + splat(52 - '0'))) |
           (is62 & splat(62)) | (is63 & splat(63));
}

static inline uint32_t load24(const uint8_t *from)
{
    return (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
}

/* Twelve bytes into sixteen characters. */
static inline void encode_group(uint8_t *to, const uint8_t *from, const struct alphabet *a)
{
    words4 w = {load24(from), load24(from + 3), load24(from + 6), load24(from + 9)};
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    words4 spread = (w >> 18) | ((w >> 4) & 0x3f00) | ((w << 10) & 0x3f0000) | ((w & 0x3f) << 24);
#else
    words4 spread = ((w >> 18) << 24) | ((w << 4) & 0x3f0000) | ((w << 2) & 0x3f00) | (w & 0x3f);
#endif
    chars16 c = to_chars((chars16)spread, a);
    memcpy(to, &c, LANES);
}

static inline void decode_group(uint8_t *to, const uint8_t *from, const struct alphabet *a, chars16 *wrong)
{
    chars16 c;
    memcpy(&c, from, LANES);
    words4 v = (words4)to_values(c, a, wrong);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    words4 w = ((v & 0x3f) << 18) | ((v & 0x3f00) << 4) | ((v & 0x3f0000) >> 10) | (v >> 24);
#else
    words4 w = ((v >> 24) << 18) | ((v & 0x3f0000) >> 4) | ((v & 0x3f00) >> 2) | (v & 0x3f);
#endif
    for (size_t i = 0; i < LANES / 4; i++) {
        to[3 * i] = (uint8_t)(w[i] >> 16);
        to[3 * i + 1] = (uint8_t)(w[i] >> 8);
        to[3 * i + 2] = (uint8_t)w[i];
    }
}

static void encode(struct hf_buf *out, struct hf_cursor in, const struct alphabet *a)
{
    if (in.left > SIZE_MAX / 2) {
        out->overflow = true;
        return;
    }
    size_t rest = in.left % 3;
    size_t chars = in.left / 3 * 4 + (rest == 0 ? 0 : a->padded ? 4 : rest + 1);
    uint8_t *to = hf_buf_reserve(out, chars);
    if (to == NULL)
        return;
    while (in.left >= GROUP) {
        encode_group(to, in.at, a);
        in = hf_cursor(in.at + GROUP, in.left - GROUP);
        to += LANES;
        chars -= LANES;
    }
    if (chars != 0) { /* the last group, in a buffer of its own */
        uint8_t bytes[GROUP] = {0}, text[LANES];
        memcpy(bytes, in.at, in.left);
        encode_group(text, bytes, a);
        size_t real = in.left / 3 * 4 + (rest == 0 ? 0 : rest + 1);
        memset(text + real, '=', sizeof(text) - real);
        memcpy(to, text, chars);
        memset(bytes, 0, sizeof(bytes));
        __asm__ volatile("" : : "r"(bytes), "r"(text) : "memory");
    }
}

static hf_result decode(struct hf_buf *out, struct hf_cursor in, const struct alphabet *a)
{
    if (a->padded) {
        if (in.left % 4 != 0)
            return HF_FAIL(BAD_ARGUMENT);
        /* Padding tells no more than the length does. */
        if (in.left != 0 && in.at[in.left - 1] == '=')
            in.left -= in.at[in.left - 2] == '=' ? 2 : 1;
    }
    size_t rest = in.left % 4;
    if (rest == 1)
        return HF_FAIL(BAD_ARGUMENT);
    size_t begun = out->len;
    size_t bytes = in.left / 4 * 3 + (rest == 0 ? 0 : rest - 1);
    uint8_t *to = hf_buf_reserve(out, bytes);
    if (to == NULL)
        return HF_FAIL(TOO_LARGE);

    chars16 wrong = {0};
    while (in.left >= LANES) {
        decode_group(to, in.at, a, &wrong); /* reads 16 before it writes 12: may be in place */
        in = hf_cursor(in.at + LANES, in.left - LANES);
        to += GROUP;
        bytes -= GROUP;
    }
    unsigned beyond = 0; /* bits after the last byte */
    if (in.left != 0) {
        uint8_t text[LANES], last[GROUP];
        memset(text, 'A', sizeof(text)); /* zero */
        memcpy(text, in.at, in.left);
        decode_group(last, text, a, &wrong);
        memcpy(to, last, bytes);
        if (rest != 0)
            beyond = last[bytes];
        memset(last, 0, sizeof(last));
        memset(text, 0, sizeof(text));
        __asm__ volatile("" : : "r"(last), "r"(text) : "memory");
    }
    uint64_t halves[2];
    memcpy(halves, &wrong, sizeof(halves));
    if ((halves[0] | halves[1] | beyond) != 0) {
        out->len = begun;
        return HF_FAIL(BAD_ARGUMENT);
    }
    return HF_DONE;
}

void hf_base64_encode(struct hf_buf *out, struct hf_cursor bytes)
{
    encode(out, bytes, &standard);
}

hf_result hf_base64_decode(struct hf_buf *out, struct hf_cursor text)
{
    return decode(out, text, &standard);
}

void hf_base64url_encode(struct hf_buf *out, struct hf_cursor bytes)
{
    encode(out, bytes, &urlsafe);
}

hf_result hf_base64url_decode(struct hf_buf *out, struct hf_cursor text)
{
    return decode(out, text, &urlsafe);
}
