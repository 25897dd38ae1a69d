/* From the text of a policy to its rules. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/acl.h"
#include "wire/hcl.h"

struct hf_acl_doc {
    atomic_uint refs;
    struct hf_cursor text;
    struct hf_acl_rule *rules;
    size_t count, room;
    uint8_t *tree; /* what the rules' trees and patterns point into */
    uint8_t bytes[];
};

struct parser {
    struct hf_acl_doc *doc;
    struct hf_buf *reason;
};

struct hf_cursor hf_acl_doc_text(const struct hf_acl_doc *doc)
{
    return doc->text;
}

const struct hf_acl_rule *hf_acl_doc_rules(const struct hf_acl_doc *doc, size_t *ret_count)
{
    *ret_count = doc->count;
    return doc->rules;
}

struct hf_acl_doc *hf_acl_doc_ref(struct hf_acl_doc *doc)
{
    atomic_fetch_add_explicit(&doc->refs, 1, memory_order_relaxed);
    return doc;
}

void hf_acl_doc_free(struct hf_acl_doc *doc)
{
    if (doc == NULL || atomic_fetch_sub_explicit(&doc->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(doc->rules);
    free(doc->tree);
    free(doc);
}

void hf_acl_doc_freep(struct hf_acl_doc **doc)
{
    hf_acl_doc_free(*doc);
}

/* ---- errors: the tree keeps no lines, so the line of a rule is where its pattern stands in the text ---- */

static void put_number(struct hf_buf *out, size_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%zu", n);
    hf_buf_put(out, digits, (size_t)len);
}

static size_t line_of(struct hf_cursor text, struct hf_cursor word)
{
    size_t line = 1;
    const uint8_t *found = word.left == 0 ? NULL : memmem(text.at, text.left, word.at, word.left);
    if (found == NULL)
        return 0;
    for (const uint8_t *p = text.at; p < found; p++)
        line += *p == '\n';
    return line;
}

static hf_result refuse(struct parser *p, struct hf_cursor where, const char *reason, struct hf_cursor about)
{
    enum { ABOUT_MAX = 64 };
    struct hf_buf *out = p->reason;
    size_t line = line_of(p->doc->text, where);
    if (line != 0) {
        hf_buf_text(out, "line ");
        put_number(out, line);
        hf_buf_text(out, ": ");
    }
    hf_buf_text(out, reason);
    if (about.left != 0) {
        hf_buf_text(out, " \"");
        for (size_t i = 0; i < HF_MIN(about.left, (size_t)ABOUT_MAX); i++)
            hf_buf_u8(out, about.at[i] >= 0x20 && about.at[i] < 0x7f ? about.at[i] : '?');
        hf_buf_text(out, "\"");
    }
    return HF_FAIL(BAD_ARGUMENT);
}

/* ---- capabilities ---- */

static const struct {
    const char *name;
    uint32_t caps;
} capability_names[] = {
    {"create", HF_CAP_CREATE}, {"read", HF_CAP_READ}, {"update", HF_CAP_UPDATE}, {"delete", HF_CAP_DELETE},
    {"list", HF_CAP_LIST},     {"sudo", HF_CAP_SUDO}, {"deny", HF_CAP_DENY},     {"patch", HF_CAP_PATCH},
};

static const struct {
    const char *name;
    uint32_t caps;
} old_words[] = {
    /* policy = "..." */
    {"deny", HF_CAP_DENY},
    {"read", HF_CAP_READ | HF_CAP_LIST},
    {"write", HF_CAP_CREATE | HF_CAP_READ | HF_CAP_UPDATE | HF_CAP_DELETE | HF_CAP_LIST},
    {"sudo", HF_CAP_CREATE | HF_CAP_READ | HF_CAP_UPDATE | HF_CAP_DELETE | HF_CAP_LIST | HF_CAP_SUDO},
};

static hf_result add_capability(struct parser *p, struct hf_acl_rule *rule, const struct hf_tree *item)
{
    if (item->tag != HF_TREE_TEXT)
        return refuse(p, rule->pattern, "capabilities must be a list of words, at path", rule->pattern);
    for (size_t i = 0; i < HF_ARRAY_LEN(capability_names); i++) {
        if (hf_cursor_is(item->body, capability_names[i].name)) {
            rule->caps |= capability_names[i].caps;
            return HF_DONE;
        }
    }
    return refuse(p, item->body, "unknown capability", item->body);
}

static hf_result read_capabilities(struct parser *p, struct hf_acl_rule *rule, const struct hf_tree *value)
{
    if (value->tag == HF_TREE_TEXT)
        return add_capability(p, rule, value);
    if (value->tag != HF_TREE_ARRAY)
        return refuse(p, rule->pattern, "capabilities must be a list, at path", rule->pattern);
    struct hf_tree_iter iter = hf_tree_iterate(value);
    struct hf_cursor key;
    struct hf_tree item;
    while (hf_tree_next(&iter, &key, &item))
        TRY(add_capability(p, rule, &item));
    return HF_DONE;
}

static hf_result read_old_word(struct parser *p, struct hf_acl_rule *rule, const struct hf_tree *value)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(old_words) && value->tag == HF_TREE_TEXT; i++) {
        if (hf_cursor_is(value->body, old_words[i].name)) {
            rule->caps |= old_words[i].caps;
            return HF_DONE;
        }
    }
    return refuse(p, rule->pattern, "unknown policy word, at path", rule->pattern);
}

/* ---- parameters ---- */

/* A block (an array of one map, as HCL has it) or a map gives the map; NULL tree where it is neither. */
static struct hf_tree only_map(const struct hf_tree *value)
{
    if (value->tag == HF_TREE_MAP)
        return *value;
    if (value->tag != HF_TREE_ARRAY || value->count != 1)
        return (struct hf_tree){0};
    struct hf_tree_iter iter = hf_tree_iterate(value);
    struct hf_cursor key;
    struct hf_tree item = {0};
    (void)hf_tree_next(&iter, &key, &item);
    return item.tag == HF_TREE_MAP ? item : (struct hf_tree){0};
}

static hf_result read_parameters(struct parser *p, const struct hf_acl_rule *rule, const char *what,
                                 const struct hf_tree *value, struct hf_tree *ret)
{
    if (value->tag == HF_TREE_NULL)
        return HF_DONE;
    *ret = only_map(value);
    if (ret->tag != HF_TREE_MAP)
        return refuse(p, hf_cursor_text(what), "parameters must be names with lists of values, at path",
                      rule->pattern);
    struct hf_tree_iter iter = hf_tree_iterate(ret);
    struct hf_cursor key;
    struct hf_tree item;
    while (hf_tree_next(&iter, &key, &item))
        if (item.tag != HF_TREE_ARRAY)
            return refuse(p, key, "the values of a parameter must be a list, for parameter", key);
    return HF_DONE;
}

static hf_result read_required(struct parser *p, struct hf_acl_rule *rule, const struct hf_tree *value)
{
    if (value->tag == HF_TREE_NULL)
        return HF_DONE;
    if (value->tag != HF_TREE_ARRAY)
        return refuse(p, rule->pattern, "required_parameters must be a list, at path", rule->pattern);
    struct hf_tree_iter iter = hf_tree_iterate(value);
    struct hf_cursor key;
    struct hf_tree item;
    while (hf_tree_next(&iter, &key, &item))
        if (item.tag != HF_TREE_TEXT)
            return refuse(p, rule->pattern, "required_parameters must be a list of names, at path",
                          rule->pattern);
    rule->required = *value;
    return HF_DONE;
}

/* Wrapping times are read and checked; nothing here answers wrapped, so there is nothing to hold them against. */
static hf_result check_wrapping(struct parser *p, const struct hf_acl_rule *rule, const struct hf_tree *body)
{
    int64_t least = 0, most = 0;
    if (!HF_IS_OK(hf_tree_duration(body, "min_wrapping_ttl", 0, &least)) ||
        !HF_IS_OK(hf_tree_duration(body, "max_wrapping_ttl", 0, &most)))
        return refuse(p, rule->pattern, "a wrapping time must be a duration, at path", rule->pattern);
    if (most != 0 && least > most)
        return refuse(p, rule->pattern, "max_wrapping_ttl is less than min_wrapping_ttl, at path",
                      rule->pattern);
    return HF_DONE;
}

/* ---- paths ---- */

static hf_result check_keys(struct parser *p, const struct hf_acl_rule *rule, const struct hf_tree *body)
{
    static const char *const known[] = {
        "capabilities",        "policy",           "allowed_parameters", "denied_parameters",
        "required_parameters", "min_wrapping_ttl", "max_wrapping_ttl",   "comment"};
    struct hf_tree_iter iter = hf_tree_iterate(body);
    struct hf_cursor key;
    struct hf_tree item;
    while (hf_tree_next(&iter, &key, &item)) {
        bool is_known = false;
        for (size_t i = 0; i < HF_ARRAY_LEN(known); i++)
            is_known |= hf_cursor_is(key, known[i]);
        if (!is_known)
            return refuse(p, key.left != 0 ? key : rule->pattern, "unknown or unsupported key", key);
    }
    return HF_DONE;
}

static hf_result read_pattern(struct parser *p, struct hf_cursor written, struct hf_acl_rule *rule)
{
    struct hf_cursor at = written;
    if (at.left != 0 && at.at[0] == '/') {
        at.at++;
        at.left--;
    }
    if (at.left > HF_ACL_PATTERN_MAX)
        return refuse(p, written, "path is too long", written);
    if (at.left != 0 && memmem(at.at, at.left, "{{", 2) != NULL)
        return refuse(p, written, "templated paths are not supported: path", written);
    if (at.left != 0 && memmem(at.at, at.left, "+*", 2) != NULL)
        return refuse(p, written, "\"+*\" is not allowed in path", written);
    if (at.left != 0 && at.at[at.left - 1] == '*') {
        rule->glob = true;
        at.left--;
    }
    rule->pattern = at;
    rule->first_wild = (uint32_t)at.left;
    for (size_t start = 0; start < at.left;) {
        const uint8_t *slash = memchr(at.at + start, '/', at.left - start);
        size_t end = slash == NULL ? at.left : (size_t)(slash - at.at);
        if (end - start == 1 && at.at[start] == '+') {
            if (rule->wildcards++ == 0)
                rule->first_wild = (uint32_t)start;
        }
        start = end + 1;
    }
    return HF_DONE;
}

static hf_result add_rule(struct parser *p, struct hf_cursor pattern, const struct hf_tree *value)
{
    struct hf_acl_doc *doc = p->doc;
    struct hf_acl_rule rule = {0};
    TRY(read_pattern(p, pattern, &rule));
    struct hf_tree body = only_map(value);
    if (body.tag != HF_TREE_MAP && !(value->tag == HF_TREE_ARRAY && value->count == 0))
        return refuse(p, pattern, "expected a block after path", pattern);
    TRY(check_keys(p, &rule, &body));
    struct hf_tree old = hf_tree_get(&body, "policy"), caps = hf_tree_get(&body, "capabilities");
    if (old.tag != HF_TREE_NULL)
        TRY(read_old_word(p, &rule, &old));
    if (caps.tag != HF_TREE_NULL)
        TRY(read_capabilities(p, &rule, &caps));
    if (rule.caps & HF_CAP_DENY)
        rule.caps = HF_CAP_DENY;
    struct hf_tree allowed = hf_tree_get(&body, "allowed_parameters");
    struct hf_tree denied = hf_tree_get(&body, "denied_parameters");
    struct hf_tree required = hf_tree_get(&body, "required_parameters");
    TRY(read_parameters(p, &rule, "allowed_parameters", &allowed, &rule.allowed));
    TRY(read_parameters(p, &rule, "denied_parameters", &denied, &rule.denied));
    TRY(read_required(p, &rule, &required));
    TRY(check_wrapping(p, &rule, &body));
    if (doc->count == HF_ACL_RULES_MAX)
        return refuse(p, pattern, "too many paths in one policy", (struct hf_cursor){0});
    if (doc->count == doc->room) {
        size_t room = doc->room == 0 ? 8 : doc->room * 2;
        struct hf_acl_rule *more = realloc(doc->rules, room * sizeof(*more));
        if (more == NULL)
            return HF_FAIL(NO_MEMORY);
        doc->rules = more;
        doc->room = room;
    }
    doc->rules[doc->count++] = rule;
    return HF_DONE;
}

static hf_result add_paths(struct parser *p, const struct hf_tree *paths)
{
    struct hf_tree_iter iter = hf_tree_iterate(paths);
    struct hf_cursor pattern;
    struct hf_tree body;
    while (hf_tree_next(&iter, &pattern, &body))
        TRY(add_rule(p, pattern, &body));
    return HF_DONE;
}

static hf_result read_root(struct parser *p, const struct hf_tree *root)
{
    struct hf_tree_iter iter = hf_tree_iterate(root);
    struct hf_cursor key, unused;
    struct hf_tree value, block;
    while (hf_tree_next(&iter, &key, &value)) {
        if (hf_cursor_is(key, "name"))
            continue;
        if (!hf_cursor_is(key, "path"))
            return refuse(p, key, "unknown key", key);
        if (value.tag == HF_TREE_MAP) {
            TRY(add_paths(p, &value));
            continue;
        }
        if (value.tag != HF_TREE_ARRAY)
            return refuse(p, key, "expected: path \"...\" { ... }", (struct hf_cursor){0});
        struct hf_tree_iter blocks = hf_tree_iterate(&value);
        while (hf_tree_next(&blocks, &unused, &block)) {
            if (block.tag != HF_TREE_MAP)
                return refuse(p, key, "expected: path \"...\" { ... }", (struct hf_cursor){0});
            /* A block without its label reads as a map of attributes, not of blocks. */
            TRY(add_paths(p, &block));
        }
    }
    return HF_DONE;
}

static hf_result parse(struct parser *p)
{
    /* The largest growth is one digit and its comma to a tagged 8-byte number. */
    size_t room = p->doc->text.left * 10 + 4096;
    p->doc->tree = malloc(room);
    if (p->doc->tree == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(p->doc->tree, room);
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_hcl_error where = {0};
    hf_result parsed = hf_hcl_to_tree(p->doc->text, &w, &where);
    if (parsed.code == HF_BAD_ARGUMENT) {
        hf_buf_text(p->reason, "line ");
        put_number(p->reason, where.line);
        hf_buf_text(p->reason, ": ");
        where.reason[sizeof(where.reason) - 1] = '\0';
        hf_buf_text(p->reason, where.reason);
    }
    TRY(parsed);
    TRY(hf_buf_ok(&out));
    uint8_t *fit = realloc(p->doc->tree, HF_MAX(out.len, (size_t)1));
    if (fit != NULL)
        p->doc->tree = fit;
    struct hf_tree root;
    TRY(hf_tree_open(hf_cursor(p->doc->tree, out.len), &root));
    if (root.tag != HF_TREE_MAP)
        return refuse(p, (struct hf_cursor){0}, "a policy is a list of paths", (struct hf_cursor){0});
    return read_root(p, &root);
}

hf_result hf_acl_doc_parse(struct hf_cursor text, char *ret_error, size_t error_len,
                           struct hf_acl_doc **ret_doc)
{
    char reason_bytes[HF_POLICY_REASON_MAX];
    struct hf_buf reason = hf_buf(reason_bytes, sizeof(reason_bytes) - 1);
    if (error_len != 0)
        ret_error[0] = '\0';
    if (text.left > HF_POLICY_TEXT_MAX)
        return HF_FAIL(TOO_LARGE);
    CLEANUP(hf_acl_doc_freep) struct hf_acl_doc *doc = malloc(sizeof(*doc) + text.left);
    if (doc == NULL)
        return HF_FAIL(NO_MEMORY);
    *doc = (struct hf_acl_doc){.text = hf_cursor(doc->bytes, text.left)};
    atomic_init(&doc->refs, 1);
    if (text.left != 0)
        memcpy(doc->bytes, text.at, text.left);
    struct parser parser = {doc, &reason};
    hf_result parsed = parse(&parser);
    if (!HF_IS_OK(parsed)) {
        if (error_len != 0) {
            size_t len = HF_MIN(reason.len, error_len - 1);
            memcpy(ret_error, reason_bytes, len);
            ret_error[len] = '\0';
        }
        return parsed;
    }
    *ret_doc = TAKE(doc);
    return HF_DONE;
}

hf_result hf_acl_check_text(struct hf_cursor text, char *ret_error, size_t error_len)
{
    CLEANUP(hf_acl_doc_freep) struct hf_acl_doc *doc = NULL;
    return hf_acl_doc_parse(text, ret_error, error_len, &doc);
}
