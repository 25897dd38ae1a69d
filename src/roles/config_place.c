#include "roles/config_place.h"

struct walk {
    struct hf_cursor in;
    uint32_t line, column;
};

static void step(struct walk *w)
{
    if (w->in.at[0] == '\n') {
        w->line++;
        w->column = 1;
    } else {
        w->column++;
    }
    w->in = hf_cursor(w->in.at + 1, w->in.left - 1);
}

static bool at(const struct walk *w, const char *text)
{
    size_t len = strlen(text);
    return w->in.left >= len && memcmp(w->in.at, text, len) == 0; /* public bytes */
}

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static void skip_line(struct walk *w)
{
    while (w->in.left != 0 && w->in.at[0] != '\n')
        step(w);
}

static void skip_until(struct walk *w, const char *end)
{
    while (w->in.left != 0 && !at(w, end))
        step(w);
    for (size_t i = strlen(end); i != 0 && w->in.left != 0; i--)
        step(w);
}

/* A quoted text; gives what stands between the quotes. */
static struct hf_cursor take_string(struct walk *w)
{
    step(w);
    struct hf_cursor inner = hf_cursor(w->in.at, 0);
    while (w->in.left != 0 && w->in.at[0] != '"') {
        if (w->in.at[0] == '\\' && w->in.left > 1)
            step(w);
        step(w);
    }
    inner.left = (size_t)(w->in.at - inner.at);
    if (w->in.left != 0)
        step(w);
    return inner;
}

static void skip_heredoc(struct walk *w)
{
    step(w);
    step(w);
    if (w->in.left != 0 && w->in.at[0] == '-')
        step(w);
    struct hf_cursor mark = hf_cursor(w->in.at, 0);
    while (w->in.left != 0 && is_word(w->in.at[0])) {
        step(w);
        mark.left++;
    }
    skip_line(w);
    while (w->in.left != 0) {
        step(w); /* the line feed */
        while (w->in.left != 0 && (w->in.at[0] == ' ' || w->in.at[0] == '\t'))
            step(w);
        if (w->in.left >= mark.left && hf_cursor_same(hf_cursor(w->in.at, mark.left), mark)) {
            skip_line(w);
            return;
        }
        skip_line(w);
    }
}

void hf_config_locate(const struct hf_config_place *place, uint32_t *ret_line, uint32_t *ret_column)
{
    struct walk w = {place->text, 1, 1};
    unsigned depth = 0, seen = 0;
    bool inside = place->block == NULL; /* in the part where the key is to be found */
    unsigned inside_depth = 0;
    bool begins = true; /* a statement: the next word is a key or a block's name */
    bool block_pending = false;
    while (w.in.left != 0) {
        uint8_t c = w.in.at[0];
        if (c == '#' || at(&w, "//")) {
            skip_line(&w);
        } else if (at(&w, "/*")) {
            skip_until(&w, "*/");
        } else if (at(&w, "<<")) {
            skip_heredoc(&w);
        } else if (c == '{' || c == '[') {
            depth++;
            step(&w);
            begins = c == '{';
            if (c == '{' && block_pending) {
                block_pending = false;
                inside = true;
                inside_depth = depth;
            }
        } else if (c == '}' || c == ']') {
            if (inside && place->block != NULL && depth == inside_depth)
                inside = false;
            depth -= depth != 0;
            step(&w);
            begins = true;
        } else if (c == '\n' || c == ',') {
            begins = true;
            step(&w);
        } else if (c == '"' || is_word(c)) {
            struct walk before = w;
            struct hf_cursor word = hf_cursor(w.in.at, 0);
            if (c == '"') {
                word = take_string(&w);
            } else {
                while (w.in.left != 0 && is_word(w.in.at[0])) {
                    step(&w);
                    word.left++;
                }
            }
            if (!begins)
                continue;
            begins = false;
            if (place->block != NULL && !inside && depth == 0 && hf_cursor_is(word, place->block)) {
                if (seen++ == place->nth) {
                    *ret_line = before.line; /* what is known if the key is not found */
                    *ret_column = before.column;
                    if (place->key.left == 0)
                        return;
                    block_pending = true;
                }
            } else if (inside && depth == inside_depth && hf_cursor_same(word, place->key)) {
                *ret_line = before.line;
                *ret_column = before.column;
                return;
            }
        } else {
            step(&w);
        }
    }
}
