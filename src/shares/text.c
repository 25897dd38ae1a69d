/* Shares as text: the plain form (y || x) in hex and base64, and cards. */
#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "crypto/kdf.h"
#include "secret/ct.h"
#include "secret/view.h"
#include "shares/code.h"
#include "shares/shares.h"

enum {
    PLAIN_MAX = HF_SHARE_SECRET_MAX + 1,
    PLAIN_MIN = HF_SHARE_SECRET_MIN + 1,
    CARD_VERSION = 1,
    CARD_CLEAR = 1 + 16 + 4 + 3, /* version, set, generation, index, threshold, count */
    CARD_BYTES_MAX = CARD_CLEAR + HF_SHARE_SECRET_MAX + HF_SHARE_CHECK,
    CARD_BYTES_MIN = CARD_CLEAR + HF_SHARE_SECRET_MIN + HF_SHARE_CHECK,
    CARD_BYTES_USUAL = CARD_CLEAR + HF_SHARE_EXPORT_BYTES - 1 + HF_SHARE_CHECK,
    GROUP = 5, /* characters between dashes */
};
#define PAYLOAD_SYMBOLS(bytes) (((bytes)*8 + 4) / 5)
#define CARD_SYMBOLS(bytes) (PAYLOAD_SYMBOLS(bytes) + HF_CODE_CHECK_SYMBOLS)
#define CARD_CHARACTERS(symbols) (sizeof(card_prefix) - 2 + (symbols) + ((symbols) + GROUP - 1) / GROUP)

static const char card_prefix[] = "hf1-share-";
static_assert(CARD_CHARACTERS(CARD_SYMBOLS(CARD_BYTES_MAX)) <= HF_SHARE_CARD_MAX, "every card fits");
static_assert(CARD_SYMBOLS(CARD_BYTES_MAX) < 1023, "within the length for which the code has its distance");

/* ---- writing ---- */

static size_t card_bytes(const struct hf_share *share)
{
    return CARD_CLEAR + hf_secret_len(share->y) + HF_SHARE_CHECK;
}

size_t hf_share_text_len(const struct hf_share *share, enum hf_share_format format)
{
    size_t plain = hf_secret_len(share->y) + 1;
    switch (format) {
    case HF_SHARE_HEX:
        return HF_HEX_LEN(plain);
    case HF_SHARE_BASE64:
        return HF_BASE64_LEN(plain);
    case HF_SHARE_CARD:
        return CARD_CHARACTERS(CARD_SYMBOLS(card_bytes(share)));
    }
    return 0;
}

/* The integrity check of a card's fields. */
static hf_result card_check(const struct hf_share *share, struct hf_cursor clear,
                            uint8_t ret_check[static HF_SHARE_CHECK])
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    TRY(hf_derive(share->y, "share card check", hf_cursor(NULL, 0), 32, &key));
    uint8_t mac[32];
    TRY(hf_hmac(HF_SHA2_256, key, &clear, 1, mac));
    memcpy(ret_check, mac, HF_SHARE_CHECK);
    return HF_DONE;
}

static hf_result card_payload(const struct hf_share *share, struct hf_buf *out)
{
    hf_buf_u8(out, CARD_VERSION);
    hf_buf_put(out, share->set.bytes, sizeof(share->set.bytes));
    hf_buf_u32(out, share->generation);
    hf_buf_u8(out, share->index);
    hf_buf_u8(out, share->threshold);
    hf_buf_u8(out, share->count);
    uint8_t check[HF_SHARE_CHECK];
    TRY(card_check(share, hf_buf_cursor(out), check));
    CLEANUP(hf_secret_view_close) struct hf_secret_view y = {0};
    TRY(hf_secret_view_open(share->y, &y));
    hf_buf_put(out, y.bytes, y.len);
    hf_buf_put(out, check, sizeof(check));
    return hf_buf_ok(out);
}

struct card_writer {
    struct hf_buf *out;
    uint64_t remainder;
    size_t symbols;
};

static void card_put(struct card_writer *w, uint8_t symbol)
{
    if (w->symbols > 0 && w->symbols % GROUP == 0)
        hf_buf_u8(w->out, '-');
    hf_buf_u8(w->out, (uint8_t)hf_code_char(symbol));
    w->remainder = hf_code_step(w->remainder, symbol);
    w->symbols++;
}

static void card_write(struct hf_cursor payload, struct hf_buf *out)
{
    struct card_writer w = {out, HF_CODE_START, 0};
    hf_buf_text(out, card_prefix);
    size_t bits = payload.left * 8;
    for (size_t bit = 0; bit < bits; bit += 5) {
        unsigned window = (unsigned)payload.at[bit / 8] << 8;
        if (bit / 8 + 1 < payload.left)
            window |= payload.at[bit / 8 + 1];
        card_put(&w, (window >> (11 - bit % 8)) & 31);
    }
    uint8_t check[HF_CODE_CHECK_SYMBOLS];
    hf_code_check(w.remainder, check);
    for (unsigned i = 0; i < sizeof(check); i++)
        card_put(&w, check[i]);
}

hf_result hf_share_text(const struct hf_share *share, enum hf_share_format format, struct hf_buf *out)
{
    if (hf_secret_len(share->y) < HF_SHARE_SECRET_MIN || hf_secret_len(share->y) > HF_SHARE_SECRET_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    uint8_t bytes[CARD_BYTES_MAX];
    struct hf_buf raw = hf_buf(bytes, sizeof(bytes));
    hf_result done;
    if (format == HF_SHARE_CARD) {
        done = card_payload(share, &raw);
        if (HF_IS_OK(done))
            card_write(hf_buf_cursor(&raw), out);
    } else {
        CLEANUP(hf_secret_view_close) struct hf_secret_view y = {0};
        done = hf_secret_view_open(share->y, &y);
        if (HF_IS_OK(done)) {
            hf_buf_put(&raw, y.bytes, y.len);
            hf_buf_u8(&raw, share->index);
            if (format == HF_SHARE_HEX)
                hf_hex_encode(out, hf_buf_cursor(&raw));
            else
                hf_base64_encode(out, hf_buf_cursor(&raw));
        }
    }
    hf_wipe(bytes, sizeof(bytes));
    TRY(done);
    return hf_buf_ok(out);
}

hf_result hf_share_export(const struct hf_share *share, struct hf_secret **ret_bytes)
{
    CLEANUP(hf_secret_freep) struct hf_secret *bytes = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view out = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view y = {0};
    TRY(hf_secret_new(hf_secret_len(share->y) + 1, &bytes));
    TRY(hf_secret_view_open(bytes, &out));
    TRY(hf_secret_view_open(share->y, &y));
    memcpy(out.bytes, y.bytes, y.len);
    out.bytes[y.len] = share->index;
    *ret_bytes = TAKE(bytes);
    return HF_DONE;
}

hf_result hf_share_card(const struct hf_share *share, struct hf_secret **ret_text)
{
    CLEANUP(hf_secret_freep) struct hf_secret *text = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_new(hf_share_text_len(share, HF_SHARE_CARD), &text));
    TRY(hf_secret_view_open(text, &view));
    struct hf_buf out = hf_buf(view.bytes, view.len);
    TRY(hf_share_text(share, HF_SHARE_CARD, &out));
    *ret_text = TAKE(text);
    return HF_DONE;
}

/* ---- reading ---- */

static _Thread_local char why_place[96];

/* "... in group 7, at place 3": where a card's character `at` stands, counted from 1 as a person does. */
static const char *why_at(const char *what, size_t at)
{
    struct hf_buf out = hf_buf(why_place, sizeof(why_place) - 1);
    hf_buf_text(&out, what);
    hf_buf_text(&out, " in group ");
    hf_buf_decimal(&out, at / GROUP + 1);
    hf_buf_text(&out, ", at place ");
    hf_buf_decimal(&out, at % GROUP + 1);
    why_place[out.len] = '\0';
    return why_place;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct hf_cursor trimmed(struct hf_cursor text)
{
    while (text.left > 0 && is_space(text.at[0])) {
        text.at++;
        text.left--;
    }
    while (text.left > 0 && is_space(text.at[text.left - 1]))
        text.left--;
    return text;
}

static bool has_prefix(struct hf_cursor text)
{
    size_t len = sizeof(card_prefix) - 1;
    if (text.left < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = text.at[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (uint8_t)card_prefix[i])
            return false;
    }
    return true;
}

struct card_symbols {
    uint8_t symbols[CARD_SYMBOLS(CARD_BYTES_MAX)];
    size_t count;
};

static hf_result card_read(struct hf_cursor text, struct card_symbols *ret, const char **ret_why)
{
    uint64_t remainder = HF_CODE_START;
    for (size_t i = 0; i < text.left; i++) {
        uint8_t c = text.at[i];
        if (is_space(c) || c == '-')
            continue;
        uint8_t symbol = hf_code_symbol((char)c);
        if (symbol == HF_CODE_BAD_SYMBOL) {
            *ret_why = why_at("a character that no card has", ret->count);
            return HF_FAIL(BAD_SHARE);
        }
        if (ret->count == sizeof(ret->symbols)) {
            *ret_why = "the card has too many characters";
            return HF_FAIL(BAD_SHARE);
        }
        ret->symbols[ret->count++] = symbol;
        remainder = hf_code_step(remainder, symbol);
    }
    if (hf_code_holds(remainder))
        return HF_DONE;
    size_t at;
    if (ret->count < CARD_SYMBOLS(CARD_BYTES_USUAL))
        *ret_why = "characters of the card are missing, or wrong";
    else if (hf_code_locate(remainder, ret->count, &at))
        *ret_why = why_at("a wrong character", at);
    else
        *ret_why = "several characters of the card are wrong";
    return HF_FAIL(BAD_SHARE);
}

/* Symbols without the check to bytes. False where the count fits no whole bytes or bits beyond the end are set. */
static bool card_bytes_of(const struct card_symbols *card, struct hf_buf *out)
{
    if (card->count < HF_CODE_CHECK_SYMBOLS)
        return false;
    size_t symbols = card->count - HF_CODE_CHECK_SYMBOLS;
    size_t bytes = symbols * 5 / 8;
    if (PAYLOAD_SYMBOLS(bytes) != symbols)
        return false;
    unsigned window = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < symbols; i++) {
        window = ((window << 5) | card->symbols[i]) & 0xfff;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            hf_buf_u8(out, (uint8_t)(window >> bits));
        }
    }
    return !out->overflow && (window & ((1u << bits) - 1)) == 0;
}

static hf_result card_open(struct hf_buf *payload, struct hf_share *ret_share, const char **ret_why)
{
    struct hf_cursor in = hf_buf_cursor(payload);
    struct hf_cursor clear = hf_cursor(in.at, HF_MIN(in.left, (size_t)CARD_CLEAR));
    struct hf_share share = {0};
    uint8_t version;
    *ret_why = "the card is of a version that is not known here";
    if (!hf_cursor_u8(&in, &version) || version != CARD_VERSION)
        return HF_FAIL(BAD_SHARE);
    *ret_why = "the card's fields contradict each other";
    if (payload->len < CARD_BYTES_MIN || payload->len > CARD_BYTES_MAX ||
        !hf_cursor_copy(&in, share.set.bytes, sizeof(share.set.bytes)) ||
        !hf_cursor_u32(&in, &share.generation) || !hf_cursor_u8(&in, &share.index) ||
        !hf_cursor_u8(&in, &share.threshold) || !hf_cursor_u8(&in, &share.count) || share.index == 0 ||
        share.threshold == 0 || share.threshold > share.count || share.index > share.count ||
        share.count > HF_SHARES_MAX)
        return HF_FAIL(BAD_SHARE);
    size_t len = in.left - HF_SHARE_CHECK;
    TRY(hf_secret_take(payload->at + CARD_CLEAR, len, &share.y));
    uint8_t check[HF_SHARE_CHECK];
    hf_result done = card_check(&share, clear, check);
    if (HF_IS_OK(done) && !hf_ct_equal(check, payload->at + CARD_CLEAR + len, sizeof(check))) {
        *ret_why = "the card's integrity check fails: it has been altered";
        done = HF_FAIL(BAD_SHARE);
    }
    if (!HF_IS_OK(done)) {
        hf_share_done(&share);
        return done;
    }
    *ret_share = share;
    return HF_DONE;
}

static hf_result parse_card(struct hf_cursor text, struct hf_share *ret_share, const char **ret_why)
{
    struct card_symbols card = {.count = 0};
    uint8_t bytes[CARD_BYTES_MAX];
    struct hf_buf payload = hf_buf(bytes, sizeof(bytes));
    hf_result done = card_read(text, &card, ret_why);
    if (HF_IS_OK(done)) {
        if (card_bytes_of(&card, &payload)) {
            done = card_open(&payload, ret_share, ret_why);
        } else {
            *ret_why = "the card has a length that no card has";
            done = HF_FAIL(BAD_SHARE);
        }
    }
    hf_wipe(&card, sizeof(card));
    hf_wipe(bytes, sizeof(bytes));
    return done;
}

static hf_result parse_plain(struct hf_cursor text, struct hf_share *ret_share, const char **ret_why)
{
    uint8_t bytes[PLAIN_MAX];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    hf_result done = hf_hex_decode(&out, text);
    /* Base64 of a usual share may happen to have no other characters than hex has: its length tells. */
    if (!HF_IS_OK(done) || text.left == HF_BASE64_LEN(HF_SHARE_EXPORT_BYTES)) {
        out = hf_buf(bytes, sizeof(bytes));
        done = hf_base64_decode(&out, text);
    }
    struct hf_share share = {0};
    if (!HF_IS_OK(done)) {
        *ret_why = done.code == HF_TOO_LARGE ? "the share is too long"
                                             : "the share is neither hex nor base64, and no share card";
        done = HF_FAIL(BAD_SHARE);
    } else if (out.len < PLAIN_MIN) {
        *ret_why = "the share is too short";
        done = HF_FAIL(BAD_SHARE);
    } else if (bytes[out.len - 1] == 0) {
        *ret_why = "the share's index is 0, which no share has";
        done = HF_FAIL(BAD_SHARE);
    } else {
        share.index = bytes[out.len - 1];
        done = hf_secret_take(bytes, out.len - 1, &share.y);
    }
    hf_wipe(bytes, sizeof(bytes));
    if (HF_IS_OK(done))
        *ret_share = share;
    return done;
}

hf_result hf_share_parse(struct hf_cursor text, struct hf_share *ret_share, const char **ret_why)
{
    *ret_why = "";
    text = trimmed(text);
    if (text.left == 0) {
        *ret_why = "the share is empty";
        return HF_FAIL(BAD_SHARE);
    }
    if (has_prefix(text)) {
        size_t len = sizeof(card_prefix) - 1;
        return parse_card(hf_cursor(text.at + len, text.left - len), ret_share, ret_why);
    }
    return parse_plain(text, ret_share, ret_why);
}
