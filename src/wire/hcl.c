#include "wire/hcl.h"

#include "base/encode.h"
#include "wire/json.h"

/* A block type's occurrences stand in one array in the tree, but anywhere in the text. So where the first is met,
 * the rest of the body is walked once for that type, and later ones are passed over. Passing over is the same
 * parser with no writer. The bounds below keep that product small. */
enum {
    TEXT_MAX = 1 << 20,
    TYPES_MAX = 32,     /* different block types in one body */
    MEMBERS_MAX = 1024, /* attributes and block types in one body */
    LABELS_MAX = 4,
    NUMBER_MAX = 64,
};

struct parser {
    const uint8_t *start, *at, *end;
    struct hf_tree_writer *w; /* NULL: passing over */
    struct hf_hcl_error *error;
};

struct name {
    uint8_t bytes[HF_TREE_KEY_MAX];
    size_t len;
};

static struct hf_cursor name_cursor(const struct name *name)
{
    return hf_cursor(name->bytes, name->len);
}

/* ---- errors ---- */

static void locate(const uint8_t *start, const uint8_t *at, struct hf_hcl_error *ret)
{
    ret->line = 1;
    ret->column = 1;
    for (; start < at; start++) {
        ret->column = *start == '\n' ? 1 : ret->column + 1;
        ret->line += *start == '\n' ? 1 : 0;
    }
}

static bool printable(struct hf_cursor text)
{
    for (size_t i = 0; i < text.left; i++) {
        if (text.at[i] < 0x20 || text.at[i] > 0x7e)
            return false;
    }
    return true;
}

static hf_result fail_about(struct parser *p, const uint8_t *at, const char *reason, struct hf_cursor about)
{
    enum { ABOUT_MAX = 40 };
    if (p->error != NULL) {
        struct hf_buf out = hf_buf(p->error->reason, sizeof(p->error->reason) - 1);
        hf_buf_text(&out, reason);
        if (about.left > 0 && about.left <= ABOUT_MAX && printable(about)) {
            hf_buf_text(&out, ": ");
            hf_buf_put_cursor(&out, about);
        }
        p->error->reason[out.len] = '\0';
        locate(p->start, at, p->error);
    }
    return HF_FAIL(BAD_ARGUMENT);
}

static hf_result fail(struct parser *p, const char *reason)
{
    return fail_about(p, p->at, reason, hf_cursor("", 0));
}

/* ---- white space and comments ---- */

static hf_result skip(struct parser *p, bool newlines)
{
    while (p->at < p->end) {
        uint8_t c = *p->at, next = p->end - p->at > 1 ? p->at[1] : 0;
        if (c == ' ' || c == '\t' || c == '\r' || (c == '\n' && newlines)) {
            p->at++;
        } else if (c == '#' || (c == '/' && next == '/')) {
            while (p->at < p->end && *p->at != '\n')
                p->at++;
        } else if (c == '/' && next == '*') {
            const uint8_t *opened = p->at;
            for (p->at += 2; p->end - p->at > 1 && !(p->at[0] == '*' && p->at[1] == '/'); p->at++)
                ;
            if (p->end - p->at < 2)
                return fail_about(p, opened, "comment is not closed", hf_cursor("", 0));
            p->at += 2;
        } else {
            break;
        }
    }
    return HF_DONE;
}

static uint8_t here(const struct parser *p)
{
    return p->at < p->end ? *p->at : 0;
}

/* ---- names and strings ---- */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool starts_name(uint8_t c)
{
    return c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static struct hf_cursor take_word(struct parser *p)
{
    const uint8_t *first = p->at;
    while (p->at < p->end && (starts_name(*p->at) || is_digit(*p->at) || *p->at == '-' || *p->at == '.'))
        p->at++;
    return hf_cursor(first, (size_t)(p->at - first));
}

static int digit_of(uint8_t c)
{
    uint8_t lower = c | 0x20;
    return is_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static uint8_t *put_utf8(uint8_t *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (uint8_t)point;
        return to;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (uint8_t)(lead[more] | point >> (6 * more));
    while (more-- > 0)
        *to++ = (uint8_t)(0x80 | (point >> (6 * more) & 0x3f));
    return to;
}

/* Takes an escape; p->at stands behind the backslash. Never writes more than the escape is long. */
static hf_result take_escape(struct parser *p, const uint8_t *close, uint8_t **to)
{
    static const char names[] = "\"\\/abfnrtv", values[] = "\"\\/\a\b\f\n\r\t\v";
    const uint8_t *first = p->at - 1;
    uint8_t c = *p->at++;
    const char *name = c == 0 ? NULL : strchr(names, c);
    uint32_t point = 0;
    if (name != NULL) {
        *(*to)++ = (uint8_t)values[name - names];
        return HF_DONE;
    }
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : c >= '0' && c <= '7' ? 3 : 0;
    unsigned base = digits == 3 ? 8 : 16;
    if (digits == 3)
        p->at--;
    if (digits == 0 || close - p->at < digits)
        return fail_about(p, first, "unknown escape", hf_cursor("", 0));
    for (int i = 0; i < digits; i++) {
        int digit = digit_of(*p->at++);
        if (digit < 0 || (unsigned)digit >= base)
            return fail_about(p, first, "malformed escape", hf_cursor("", 0));
        point = point * base + (unsigned)digit;
    }
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000) || (digits < 4 && point > 0x7f))
        return fail_about(p, first, "escape is no Unicode character", hf_cursor("", 0));
    *to = put_utf8(*to, point);
    return HF_DONE;
}

/* Finds the quote that closes the string whose opening quote is behind p->at. */
static hf_result find_close(struct parser *p, const uint8_t **ret_close)
{
    const uint8_t *at = p->at;
    for (; at < p->end && *at != '"' && *at != '\n'; at++) {
        if (*at == '\\' && p->end - at > 1)
            at++;
    }
    if (at >= p->end || *at != '"')
        return fail_about(p, p->at - 1, "string is not closed on its line", hf_cursor("", 0));
    *ret_close = at;
    return HF_DONE;
}

static hf_result decode(struct parser *p, const uint8_t *close, uint8_t *to, size_t *ret_len)
{
    const uint8_t *begin = to;
    while (p->at < close) {
        if (*p->at != '\\') {
            *to++ = *p->at++;
            continue;
        }
        p->at++;
        TRY(take_escape(p, close, &to));
    }
    p->at = close + 1;
    *ret_len = (size_t)(to - begin);
    return HF_DONE;
}

/* An identifier or a quoted string, as key, block type or label. */
static hf_result take_name(struct parser *p, struct name *ret)
{
    const uint8_t *close;
    const uint8_t *first = p->at;
    ret->len = 0;
    if (here(p) != '"') {
        struct hf_cursor word = take_word(p);
        if (word.left == 0 || !starts_name(word.at[0]))
            return fail_about(p, first, "a name is expected", hf_cursor("", 0));
        if (word.left > sizeof(ret->bytes))
            return fail_about(p, first, "name is too long", hf_cursor("", 0));
        memcpy(ret->bytes, word.at, word.left);
        ret->len = word.left;
        return HF_DONE;
    }
    p->at++;
    TRY(find_close(p, &close));
    if ((size_t)(close - p->at) > sizeof(ret->bytes))
        return fail_about(p, first, "name is too long", hf_cursor("", 0));
    return decode(p, close, ret->bytes, &ret->len);
}

static hf_result take_string(struct parser *p)
{
    const uint8_t *close;
    size_t used;
    p->at++;
    TRY(find_close(p, &close));
    size_t room = (size_t)(close - p->at);
    if (p->w == NULL) {
        p->at = close + 1; /* its escapes are read when it is parsed for good */
        return HF_DONE;
    }
    uint8_t *place = hf_tw_text_reserve(p->w, room);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    TRY(decode(p, close, place, &used));
    hf_tw_trim(p->w, room, used);
    return HF_DONE;
}

/* ---- heredocs: <<WORD, lines, WORD alone; <<-WORD takes the common indentation away ---- */

static const uint8_t *line_end(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
    return newline == NULL ? end : newline;
}

static size_t indent_of(const uint8_t *at, const uint8_t *end)
{
    size_t count = 0;
    while (at + count < end && (at[count] == ' ' || at[count] == '\t'))
        count++;
    return count;
}

static hf_result take_heredoc(struct parser *p)
{
    const uint8_t *opened = p->at, *at, *stop;
    p->at += 2;
    bool strip = here(p) == '-';
    p->at += strip ? 1 : 0;
    struct hf_cursor word = take_word(p);
    if (here(p) == '\r')
        p->at++;
    if (word.left == 0 || here(p) != '\n')
        return fail_about(p, opened, "malformed start of a heredoc", hf_cursor("", 0));
    const uint8_t *first = ++p->at;
    size_t least = SIZE_MAX;
    for (at = first;; at = stop + 1) { /* find the closing word, and the indentation */
        if (at >= p->end)
            return fail_about(p, opened, "heredoc is not closed", word);
        stop = line_end(at, p->end);
        size_t indent = indent_of(at, stop);
        struct hf_cursor line = hf_cursor(at + indent, (size_t)(stop - at) - indent);
        if (line.left > 0 && line.at[line.left - 1] == '\r')
            line.left--;
        if (hf_cursor_same(line, word))
            break;
        if (line.left > 0)
            least = HF_MIN(least, indent);
    }
    p->at = stop; /* the newline ends the attribute */
    if (p->w == NULL)
        return HF_DONE;
    size_t room = (size_t)(at - first), used = 0;
    uint8_t *place = hf_tw_text_reserve(p->w, room);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    for (const uint8_t *line = first; line < at; line = stop + 1) {
        stop = line_end(line, at);
        size_t cut = strip ? HF_MIN(least, indent_of(line, stop)) : 0;
        size_t len = (size_t)(stop - line) - cut + 1; /* its newline too */
        memcpy(place + used, line + cut, len);
        used += len;
    }
    hf_tw_trim(p->w, room, used);
    return HF_DONE;
}

/* ---- values ---- */

static hf_result take_number(struct parser *p)
{
    const uint8_t *first = p->at;
    char text[NUMBER_MAX + 1];
    bool negative = here(p) == '-';
    p->at += negative ? 1 : 0;
    const uint8_t *digits = p->at;
    bool real = false;
    while (p->at < p->end && (is_digit(*p->at) || starts_name(*p->at) || *p->at == '.' ||
                              ((*p->at == '+' || *p->at == '-') && (p->at[-1] | 0x20) == 'e')))
        p->at++;
    size_t len = (size_t)(p->at - digits);
    if (len == 0 || len > NUMBER_MAX || !is_digit(*digits))
        return fail_about(p, first, "malformed number", hf_cursor("", 0));
    memcpy(text, digits, len);
    text[len] = '\0';
    bool hex = len > 2 && text[0] == '0' && (text[1] | 0x20) == 'x';
    unsigned base = hex ? 16 : len > 1 && text[0] == '0' && strpbrk(text, ".eE") == NULL ? 8 : 10;
    uint64_t value = 0;
    for (size_t i = hex ? 2 : 0; i < len && !real; i++) {
        int digit = digit_of((uint8_t)text[i]);
        if (!hex && (text[i] == '.' || (text[i] | 0x20) == 'e'))
            real = true;
        else if (digit < 0 || (unsigned)digit >= base)
            return fail_about(p, first, "malformed number", hf_cursor(digits, len));
        else if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
                 __builtin_add_overflow(value, (uint64_t)digit, &value))
            return fail_about(p, first, "number is too large", hf_cursor(digits, len));
    }
    if (real) {
        struct hf_cursor literal = hf_cursor(first, (size_t)(p->at - first));
        if (!hf_tree_number_valid(literal))
            return fail_about(p, first, "malformed number", hf_cursor(digits, len));
        if (p->w != NULL)
            hf_tw_number(p->w, literal);
        return HF_DONE;
    }
    if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return fail_about(p, first, "number is too large", hf_cursor(digits, len));
    if (p->w != NULL)
        hf_tw_int(p->w, (int64_t)(negative ? 0 - value : value));
    return HF_DONE;
}

static hf_result take_value(struct parser *p, unsigned depth);
static hf_result take_body(struct parser *p, bool braced, unsigned depth);

static hf_result take_list(struct parser *p, unsigned depth)
{
    const uint8_t *opened = p->at++;
    if (p->w != NULL)
        hf_tw_array(p->w);
    for (bool first = true;; first = false) {
        TRY(skip(p, true));
        if (here(p) == ']')
            break;
        if (!first) {
            if (here(p) != ',')
                return p->at == p->end ? fail_about(p, opened, "list is not closed", hf_cursor("", 0))
                                       : fail(p, "a comma or ] is expected");
            p->at++;
            TRY(skip(p, true));
            if (here(p) == ']')
                break;
        }
        TRY(take_value(p, depth));
    }
    p->at++;
    if (p->w != NULL)
        hf_tw_end(p->w);
    return HF_DONE;
}

static hf_result take_value(struct parser *p, unsigned depth)
{
    uint8_t c = here(p);
    if (depth >= HF_TREE_DEPTH_MAX)
        return fail(p, "nested too deeply");
    if (c == '"')
        return take_string(p);
    if (c == '<' && p->end - p->at > 1 && p->at[1] == '<')
        return take_heredoc(p);
    if (c == '[')
        return take_list(p, depth + 1);
    if (c == '{') {
        p->at++;
        return take_body(p, true, depth + 1);
    }
    if (c == '-' || is_digit(c))
        return take_number(p);
    const uint8_t *first = p->at;
    struct hf_cursor word = take_word(p);
    if (!hf_cursor_is(word, "true") && !hf_cursor_is(word, "false"))
        return fail_about(p, first, "a value is expected", word);
    if (p->w != NULL)
        hf_tw_bool(p->w, hf_cursor_is(word, "true"));
    return HF_DONE;
}

/* ---- bodies ---- */

/* The labels and the body of a block; its type has been taken. Wraps the body in its labels. */
static hf_result take_block(struct parser *p, unsigned depth)
{
    struct name label;
    unsigned labels = 0;
    for (;;) {
        TRY(skip(p, true));
        if (here(p) == '{')
            break;
        if (labels == LABELS_MAX)
            return fail(p, "too many labels");
        if (here(p) != '"' && !starts_name(here(p)))
            return fail(p, "= or { is expected");
        TRY(take_name(p, &label));
        if (p->w != NULL) {
            hf_tw_map(p->w);
            hf_tw_key(p->w, name_cursor(&label));
        }
        labels++;
    }
    p->at++;
    if (depth + labels >= HF_TREE_DEPTH_MAX)
        return fail(p, "nested too deeply");
    TRY(take_body(p, true, depth + labels + 1));
    for (unsigned i = 0; p->w != NULL && i < labels; i++)
        hf_tw_end(p->w);
    return HF_DONE;
}

/* Moves over what separates members. *ret_done: the body's end has been taken. */
static hf_result next_member(struct parser *p, bool braced, bool *ret_done)
{
    TRY(skip(p, true));
    *ret_done = p->at == p->end || (braced && *p->at == '}');
    if (p->at == p->end && braced)
        return fail(p, "} is missing");
    if (*ret_done && braced)
        p->at++;
    return HF_DONE;
}

/* An attribute ends with its line, or a comma where the body has braces, or the body's end; a block by itself. In braces
 * white space alone may part one attribute from the next, as HCL 1 has it: a value is followed by no name or quote of
 * its own. */
static hf_result end_member(struct parser *p, bool braced, bool attribute)
{
    const uint8_t *ended = p->at;
    TRY(skip(p, false));
    uint8_t c = here(p);
    if (p->at == p->end || c == '\n' || (braced && c == '}') || (!attribute && c != ','))
        return HF_DONE;
    if (braced && p->at > ended && (starts_name(c) || c == '"'))
        return HF_DONE;
    if (c != ',' || !braced)
        return fail(p, "the end of the line is expected");
    p->at++;
    return HF_DONE;
}

static hf_result take_member(struct parser *p, struct name *ret_name, bool *ret_attribute)
{
    TRY(take_name(p, ret_name));
    TRY(skip(p, false));
    *ret_attribute = here(p) == '=' || here(p) == ':';
    if (!*ret_attribute)
        return HF_DONE;
    p->at++;
    return skip(p, true);
}

/* Writes all blocks of type `type` from here to the body's end; the first one's type has been taken. */
static hf_result take_blocks(const struct parser *from, const struct name *type, bool braced, unsigned depth)
{
    struct parser ahead = *from;
    struct name name = *type;
    bool attribute = false, done;
    hf_tw_key(from->w, name_cursor(type));
    hf_tw_array(from->w);
    for (;;) {
        bool ours = !attribute && hf_cursor_same(name_cursor(&name), name_cursor(type));
        ahead.w = ours ? from->w : NULL;
        if (attribute)
            TRY(take_value(&ahead, depth));
        else
            TRY(take_block(&ahead, depth + 1));
        TRY(end_member(&ahead, braced, attribute));
        TRY(next_member(&ahead, braced, &done));
        if (done)
            break;
        TRY(take_member(&ahead, &name, &attribute));
    }
    hf_tw_end(from->w);
    return HF_DONE;
}

static bool written(const struct parser *p, struct hf_cursor name)
{
    enum { HEAD = 8 };
    const struct hf_tree_writer *w = p->w;
    if (w->out->overflow)
        return false;
    size_t first = w->open[w->depth - 1].start + HEAD;
    struct hf_tree map = {.tag = HF_TREE_MAP,
                          .count = w->open[w->depth - 1].count,
                          .body = hf_cursor(w->out->at + first, w->out->len - first)};
    return hf_tree_has_slice(&map, name);
}

static bool key_is(const struct parser *p, uint32_t offset, const struct name *name)
{
    struct hf_cursor at = hf_cursor(p->w->out->at + offset, p->w->out->len - offset), key;
    return hf_cursor_vec16(&at, &key) && hf_cursor_same(key, name_cursor(name));
}

/* The members of one body, written; its map is open. */
static hf_result take_members(struct parser *p, bool braced, unsigned depth)
{
    uint32_t types[TYPES_MAX]; /* where the keys of the block types stand in the output */
    struct name name;
    unsigned type_count = 0, members = 0;
    bool attribute, done;
    for (;;) {
        TRY(next_member(p, braced, &done));
        if (done)
            return HF_DONE;
        const uint8_t *first = p->at;
        TRY(take_member(p, &name, &attribute));
        unsigned seen = 0;
        while (seen < type_count && !key_is(p, types[seen], &name))
            seen++;
        if (seen == type_count || attribute) {
            if (written(p, name_cursor(&name)))
                return fail_about(p, first, "set twice", name_cursor(&name));
            if (++members > MEMBERS_MAX || (!attribute && type_count == TYPES_MAX))
                return fail_about(p, first, "too many members", hf_cursor("", 0));
        }
        if (attribute) {
            hf_tw_key(p->w, name_cursor(&name));
            TRY(take_value(p, depth));
        } else {
            if (seen == type_count) {
                types[type_count++] = (uint32_t)p->w->out->len;
                TRY(take_blocks(p, &name, braced, depth));
            }
            struct parser over = *p;
            over.w = NULL;
            TRY(take_block(&over, depth + 1));
            p->at = over.at;
        }
        if (p->w->out->overflow)
            return HF_FAIL(TOO_LARGE);
        TRY(end_member(p, braced, attribute));
    }
}

static hf_result pass_members(struct parser *p, bool braced, unsigned depth)
{
    struct name name;
    bool attribute, done;
    for (;;) {
        TRY(next_member(p, braced, &done));
        if (done)
            return HF_DONE;
        TRY(take_member(p, &name, &attribute));
        if (attribute)
            TRY(take_value(p, depth));
        else
            TRY(take_block(p, depth + 1));
        TRY(end_member(p, braced, attribute));
    }
}

static hf_result take_body(struct parser *p, bool braced, unsigned depth)
{
    if (depth > HF_TREE_DEPTH_MAX)
        return fail(p, "nested too deeply");
    if (p->w == NULL)
        return pass_members(p, braced, depth);
    hf_tw_map(p->w);
    TRY(take_members(p, braced, depth));
    hf_tw_end(p->w);
    return HF_DONE;
}

static hf_result from_json(struct parser *p)
{
    size_t bad = 0;
    hf_result result = hf_json_to_tree(hf_cursor(p->start, (size_t)(p->end - p->start)), p->w, &bad);
    if (result.code == HF_BAD_REQUEST)
        return fail_about(p, p->start + bad, "malformed JSON, or a name that stands twice", hf_cursor("", 0));
    return result;
}

hf_result hf_hcl_to_tree(struct hf_cursor text, struct hf_tree_writer *w, struct hf_hcl_error *ret_error)
{
    const uint8_t *start = text.left == 0 ? (const uint8_t *)"" : text.at;
    struct parser p = {start, start, start + text.left, w, ret_error};
    if (ret_error != NULL)
        *ret_error = (struct hf_hcl_error){.line = 1, .column = 1};
    if (text.left > TEXT_MAX)
        return HF_FAIL(TOO_LARGE);
    if (!hf_utf8_valid(hf_cursor(start, text.left)) || memchr(start, 0, text.left) != NULL)
        return fail(&p, "the text is not UTF-8");
    if (text.left >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0) /* public: a byte order mark */
        p.start = p.at = start + 3;
    while (p.at < p.end && (*p.at == ' ' || *p.at == '\n' || *p.at == '\r' || *p.at == '\t'))
        p.at++;
    if (here(&p) == '{')
        return from_json(&p);
    TRY(take_body(&p, false, 1));
    return w->out->overflow ? HF_FAIL(TOO_LARGE) : HF_DONE;
}
