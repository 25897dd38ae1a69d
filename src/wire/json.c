#include "wire/json.h"

#include "base/encode.h"
#include "wire/scan.h"

enum {
    U32_DIGITS = 10,
};

struct parser {
    const uint8_t *start, *at, *end;
    struct hf_tree_writer *w;
};

static struct parser parser(struct hf_cursor json, struct hf_tree_writer *w)
{
    const uint8_t *start = json.left == 0 ? (const uint8_t *)"" : json.at;
    return (struct parser){start, start, start + json.left, w};
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Gives the next byte that is no space, without taking it; 0 at the end. */
static uint8_t peek(struct parser *p)
{
    while (p->at < p->end && is_space(*p->at))
        p->at++;
    return p->at < p->end ? *p->at : 0;
}

/* ---- strings ---- */

static bool hex4(const uint8_t *at, const uint8_t *end, uint32_t *ret)
{
    uint32_t value = 0;
    if (end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        uint8_t c = at[i], lower = c | 0x20;
        uint8_t digit = is_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 0xff;
        if (digit == 0xff)
            return false;
        value = value << 4 | digit;
    }
    *ret = value;
    return true;
}

static uint8_t *put_utf8(uint8_t *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (uint8_t)point;
    } else if (point < 0x800) {
        *to++ = (uint8_t)(0xc0 | point >> 6);
        *to++ = (uint8_t)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *to++ = (uint8_t)(0xe0 | point >> 12);
        *to++ = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        *to++ = (uint8_t)(0x80 | (point & 0x3f));
    } else {
        *to++ = (uint8_t)(0xf0 | point >> 18);
        *to++ = (uint8_t)(0x80 | (point >> 12 & 0x3f));
        *to++ = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        *to++ = (uint8_t)(0x80 | (point & 0x3f));
    }
    return to;
}

/* What stands after a backslash at *from. Moves both; never writes more than it reads. */
static bool unescape(const uint8_t **from, const uint8_t *end, uint8_t **to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    uint32_t point, low;
    if (*from == end)
        return false;
    uint8_t c = *(*from)++;
    if (c != 'u') {
        const char *name = c == 0 ? NULL : strchr(names, c);
        if (name == NULL) {
            (*from)--;
            return false;
        }
        *(*to)++ = (uint8_t)values[name - names];
        return true;
    }
    if (!hex4(*from, end, &point) || (point >= 0xdc00 && point < 0xe000))
        return false;
    *from += 4;
    if (point >= 0xd800 && point < 0xdc00) { /* a pair, or nothing */
        if (end - *from < 6 || (*from)[0] != '\\' || (*from)[1] != 'u' || !hex4(*from + 2, end, &low) ||
            low < 0xdc00 || low > 0xdfff)
            return false;
        *from += 6;
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    *to = put_utf8(*to, point);
    return true;
}

/* Finds the closing quote. p->at is behind the opening one. */
static hf_result string_extent(struct parser *p, const uint8_t **ret_close, bool *ret_plain)
{
    const uint8_t *at = hf_scan_plain(p->at, p->end, true);
    *ret_plain = at < p->end && *at == '"';
    while (at < p->end && *at != '"') {
        if (*at < 0x20 || (*at == '\\' && p->end - at < 2)) {
            p->at = at;
            return HF_FAIL(BAD_REQUEST);
        }
        at = hf_scan_plain(at + (*at == '\\' ? 2 : 1), p->end, false);
    }
    if (at >= p->end) {
        p->at = p->end;
        return HF_FAIL(BAD_REQUEST);
    }
    *ret_close = at;
    return HF_DONE;
}

/* Decodes the string up to `close` into `to`, which has room for as many bytes. */
static hf_result string_decode(struct parser *p, const uint8_t *close, uint8_t *to, size_t *ret_len)
{
    uint8_t *begin = to;
    const uint8_t *first = p->at;
    while (p->at < close) {
        const uint8_t *stop = hf_scan_plain(p->at, close, false);
        memcpy(to, p->at, (size_t)(stop - p->at));
        to += stop - p->at;
        p->at = stop;
        if (stop == close)
            break;
        p->at++;
        if (!unescape(&p->at, close, &to))
            return HF_FAIL(BAD_REQUEST);
    }
    *ret_len = (size_t)(to - begin);
    if (!hf_utf8_valid(hf_cursor(begin, *ret_len))) {
        p->at = first;
        return HF_FAIL(BAD_REQUEST);
    }
    p->at = close + 1;
    return HF_DONE;
}

static hf_result take_text(struct parser *p)
{
    const uint8_t *close;
    bool plain;
    size_t used;
    TRY(string_extent(p, &close, &plain));
    size_t room = (size_t)(close - p->at);
    if (plain) {
        hf_tw_text(p->w, hf_cursor(p->at, room));
        p->at = close + 1;
        return HF_DONE;
    }
    uint8_t *place = hf_tw_text_reserve(p->w, room);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    TRY(string_decode(p, close, place, &used));
    hf_tw_trim(p->w, room, used);
    return HF_DONE;
}

static hf_result take_key(struct parser *p)
{
    enum { ESCAPED_MOST = 6 }; /* characters for one byte */
    uint8_t decoded[HF_TREE_KEY_MAX * ESCAPED_MOST];
    const uint8_t *close;
    bool plain;
    size_t used;
    if (peek(p) != '"')
        return HF_FAIL(BAD_REQUEST);
    p->at++;
    TRY(string_extent(p, &close, &plain));
    size_t room = (size_t)(close - p->at);
    if (room > (plain ? (size_t)HF_TREE_KEY_MAX : sizeof(decoded)))
        return HF_FAIL(BAD_REQUEST);
    if (plain) {
        hf_tw_key(p->w, hf_cursor(p->at, room));
        p->at = close + 1;
    } else {
        TRY(string_decode(p, close, decoded, &used));
        if (used > HF_TREE_KEY_MAX)
            return HF_FAIL(BAD_REQUEST);
        hf_tw_key(p->w, hf_cursor(decoded, used));
    }
    if (peek(p) != ':')
        return HF_FAIL(BAD_REQUEST);
    p->at++;
    return HF_DONE;
}

/* ---- numbers and words ---- */

static bool take_digits(struct parser *p)
{
    const uint8_t *first = p->at;
    while (p->at < p->end && is_digit(*p->at))
        p->at++;
    return p->at > first;
}

/* A number that an integer would not give back to the letter. */
static hf_result take_literal(struct parser *p, const uint8_t *first)
{
    struct hf_cursor literal = hf_cursor(first, (size_t)(p->at - first));
    if (literal.left > HF_TREE_NUMBER_MAX) {
        p->at = first;
        return HF_FAIL(BAD_REQUEST);
    }
    hf_tw_number(p->w, literal);
    return HF_DONE;
}

static hf_result take_number(struct parser *p)
{
    const uint8_t *first = p->at;
    bool negative = *p->at == '-', whole = true, fits = true;
    uint64_t value = 0;
    p->at += negative ? 1 : 0;
    const uint8_t *digits = p->at;
    if (!take_digits(p) || (*digits == '0' && p->at - digits > 1)) {
        p->at = HF_MIN(digits + 1, p->end);
        return HF_FAIL(BAD_REQUEST);
    }
    for (const uint8_t *d = digits; d < p->at && fits; d++)
        fits = !__builtin_mul_overflow(value, 10U, &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*d - '0'), &value);
    if (p->at < p->end && *p->at == '.') {
        whole = false;
        p->at++;
        if (!take_digits(p))
            return HF_FAIL(BAD_REQUEST);
    }
    if (p->at < p->end && (*p->at | 0x20) == 'e') {
        whole = false;
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        if (!take_digits(p))
            return HF_FAIL(BAD_REQUEST);
    }
    if (!whole || !fits || value > (uint64_t)INT64_MAX + (negative ? 1 : 0) || (negative && value == 0))
        return take_literal(p, first);
    hf_tw_int(p->w, (int64_t)(negative ? 0 - value : value));
    return HF_DONE;
}

static bool take_word(struct parser *p, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0) /* public: syntax */
        return false;
    p->at += len;
    return true;
}

static hf_result take_scalar(struct parser *p, uint8_t first)
{
    if (first == '"') {
        p->at++;
        return take_text(p);
    }
    if (first == '-' || is_digit(first))
        return take_number(p);
    if (first == 't' && take_word(p, "true"))
        hf_tw_bool(p->w, true);
    else if (first == 'f' && take_word(p, "false"))
        hf_tw_bool(p->w, false);
    else if (first == 'n' && take_word(p, "null"))
        hf_tw_null(p->w);
    else
        return HF_FAIL(BAD_REQUEST);
    return HF_DONE;
}

/* ---- containers ---- */

static bool keys_differ(const struct hf_tree_writer *w)
{
    enum { HEAD = 8 };
    size_t first = w->open[w->depth - 1].start + HEAD;
    return hf_tree_keys_unique(hf_cursor(w->out->at + first, w->out->len - first),
                               w->open[w->depth - 1].count);
}

/* Parses until the container that was open at depth `base` + 1 is closed. keep: that last one is the caller's
 * and stays open. A closing bracket or the first item stands next. */
static hf_result take_items(struct parser *p, uint32_t base, bool keep)
{
    struct hf_tree_writer *w = p->w;
    bool first = true;
    while (w->depth > base) {
        bool map = w->open[w->depth - 1].map;
        uint8_t c = peek(p);
        if (c == (map ? '}' : ']')) {
            if (w->out->overflow)
                return HF_FAIL(TOO_LARGE);
            if (map && w->open[w->depth - 1].count > HF_TREE_UNIQUE_MAX)
                return HF_FAIL(TOO_LARGE);
            if (map && !keys_differ(w))
                return HF_FAIL(BAD_REQUEST);
            p->at++;
            first = false;
            if (keep && w->depth == base + 1)
                return HF_DONE;
            hf_tw_end(w);
            continue;
        }
        if (!first) {
            if (c != ',')
                return HF_FAIL(BAD_REQUEST);
            p->at++;
        }
        if (map)
            TRY(take_key(p));
        c = peek(p);
        first = c == '{' || c == '[';
        if (!first) {
            TRY(take_scalar(p, c));
            continue;
        }
        if (w->depth >= HF_TREE_DEPTH_MAX)
            return HF_FAIL(TOO_LARGE);
        p->at++;
        if (c == '{')
            hf_tw_map(w);
        else
            hf_tw_array(w);
    }
    return HF_DONE;
}

static hf_result take_end(struct parser *p, struct hf_tree_writer *w)
{
    if (w->out->overflow)
        return HF_FAIL(TOO_LARGE);
    (void)peek(p);
    return p->at == p->end ? HF_DONE : HF_FAIL(BAD_REQUEST);
}

static hf_result parse_value(struct parser *p)
{
    uint32_t base = p->w->depth;
    uint8_t c = peek(p);
    if (c == '{' || c == '[') {
        if (base >= HF_TREE_DEPTH_MAX)
            return HF_FAIL(TOO_LARGE);
        p->at++;
        if (c == '{')
            hf_tw_map(p->w);
        else
            hf_tw_array(p->w);
        TRY(take_items(p, base, false));
    } else {
        TRY(take_scalar(p, c));
    }
    return take_end(p, p->w);
}

hf_result hf_json_to_tree(struct hf_cursor json, struct hf_tree_writer *w, size_t *ret_error_at)
{
    struct parser p = parser(json, w);
    hf_result result = parse_value(&p);
    if (!HF_IS_OK(result) && ret_error_at != NULL)
        *ret_error_at = (size_t)(p.at - p.start);
    return result;
}

static hf_result parse_members(struct parser *p)
{
    uint8_t c = peek(p);
    if (c != '{') { /* a valid value of another kind is another mistake than bad syntax */
        bool other = c == '[' || c == '"' || c == '-' || is_digit(c) || c == 't' || c == 'f' || c == 'n';
        return other ? HF_FAIL(BAD_ARGUMENT) : HF_FAIL(BAD_REQUEST);
    }
    p->at++;
    TRY(take_items(p, p->w->depth - 1, true));
    return take_end(p, p->w);
}

hf_result hf_json_members(struct hf_cursor json, struct hf_tree_writer *w, size_t *ret_error_at)
{
    struct parser p = parser(json, w);
    hf_result result = parse_members(&p);
    if (!HF_IS_OK(result) && ret_error_at != NULL)
        *ret_error_at = (size_t)(p.at - p.start);
    return result;
}

/* ---- writing ---- */

static void put_escaped(struct hf_buf *out, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_names[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char name = c == '"' || c == '\\' ? (char)c : short_names[c];
    if (name != 0)
        hf_buf_put(out, (const char[]){'\\', name}, 2);
    else
        hf_buf_put(out, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

void hf_json_string(struct hf_buf *out, struct hf_cursor text)
{
    const uint8_t *at = text.left == 0 ? (const uint8_t *)"" : text.at, *end = at + text.left;
    hf_buf_u8(out, '"');
    while (at < end) {
        const uint8_t *stop = hf_scan_plain(at, end, false);
        hf_buf_put(out, at, (size_t)(stop - at));
        at = stop;
        if (at < end)
            put_escaped(out, *at++);
    }
    hf_buf_u8(out, '"');
}

static void put_int(struct hf_buf *out, int64_t value)
{
    if (value < 0)
        hf_buf_u8(out, '-');
    hf_buf_decimal(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void put_item(const struct hf_tree *item, struct hf_buf *out, unsigned depth)
{
    struct hf_tree_iter iter;
    struct hf_cursor key;
    struct hf_tree inner;
    bool map = item->tag == HF_TREE_MAP;
    switch (item->tag) {
    case HF_TREE_FALSE:
        hf_buf_put(out, "false", 5);
        return;
    case HF_TREE_TRUE:
        hf_buf_put(out, "true", 4);
        return;
    case HF_TREE_INT:
        put_int(out, item->number);
        return;
    case HF_TREE_NUMBER:
        hf_buf_put_cursor(out, item->body);
        return;
    case HF_TREE_TEXT:
        hf_json_string(out, item->body);
        return;
    case HF_TREE_BYTES:
        hf_buf_u8(out, '"');
        hf_base64_encode(out, item->body);
        hf_buf_u8(out, '"');
        return;
    case HF_TREE_CIPHER:
        hf_buf_put(out, "\"vault:v", 8);
        hf_buf_decimal(out, item->count);
        hf_buf_u8(out, ':');
        hf_base64_encode(out, item->body);
        hf_buf_u8(out, '"');
        return;
    case HF_TREE_ARRAY:
    case HF_TREE_MAP:
        if (depth == HF_TREE_DEPTH_MAX) { /* an opened tree is never so deep */
            out->overflow = true;
            return;
        }
        hf_buf_u8(out, map ? '{' : '[');
        iter = hf_tree_iterate(item);
        for (bool first = true; hf_tree_next(&iter, &key, &inner); first = false) {
            if (!first)
                hf_buf_u8(out, ',');
            if (map) {
                hf_json_string(out, key);
                hf_buf_u8(out, ':');
            }
            put_item(&inner, out, depth + 1);
        }
        hf_buf_u8(out, map ? '}' : ']');
        return;
    case HF_TREE_NULL:
    case HF_TREE_TAG_COUNT:
    default:
        hf_buf_put(out, "null", 4);
        return;
    }
}

void hf_tree_to_json(const struct hf_tree *tree, struct hf_buf *out)
{
    put_item(tree, out, 0);
}

static size_t string_max(struct hf_cursor text)
{
    size_t len = text.left + 2;
    const uint8_t *at = text.at, *end = at;
    if (text.left != 0)
        end += text.left;
    while ((at = hf_scan_plain(at, end, false)) < end) {
        len += 5;
        at++;
    }
    return len;
}

static size_t item_max(const struct hf_tree *item, unsigned depth)
{
    enum { SCALAR = 32 };
    struct hf_tree_iter iter;
    struct hf_cursor key;
    struct hf_tree inner;
    size_t total = 2;
    switch (item->tag) {
    case HF_TREE_NUMBER:
        return item->body.left;
    case HF_TREE_TEXT:
        return string_max(item->body);
    case HF_TREE_BYTES:
        return 2 + HF_BASE64_LEN(item->body.left);
    case HF_TREE_CIPHER:
        return sizeof("\"vault:v:\"") + U32_DIGITS + HF_BASE64_LEN(item->body.left);
    case HF_TREE_ARRAY:
    case HF_TREE_MAP:
        if (depth == HF_TREE_DEPTH_MAX)
            return total;
        iter = hf_tree_iterate(item);
        while (hf_tree_next(&iter, &key, &inner))
            total += 2 + (iter.map ? string_max(key) : 0) + item_max(&inner, depth + 1);
        return total;
    default:
        return SCALAR;
    }
}

size_t hf_tree_json_max(const struct hf_tree *tree)
{
    enum { SMALL = 4096, WORST = 6, OWN = 48 }; /* one byte of an encoded item gives at most six characters */
    if (tree->body.left <= SMALL)
        return WORST * tree->body.left + OWN;
    return item_max(tree, 0);
}
