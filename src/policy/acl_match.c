/* The documents of a token, joined into one matcher; and finding the rule that speaks for a path. */
#include <stdlib.h>

#include "policy/acl.h"

struct chunk { /* memory that lives as long as the matcher */
    struct chunk *next;
    max_align_t bytes[];
};

struct prefix {
    struct hf_acl_entry entry;
    uint32_t parent; /* index of the longest prefix in the table that is a prefix of this one, or NONE */
};

struct hf_acl {
    struct hf_acl_doc **docs;
    size_t doc_count;
    struct chunk *chunks;
    struct hf_acl_entry *exact;
    uint32_t *slots; /* open addressing: index + 1 into exact; 0: free */
    uint32_t slot_mask;
    struct prefix *prefixes; /* in byte order */
    uint32_t prefix_count;
    struct hf_acl_entry *wild; /* highest priority first */
    uint32_t wild_count, exact_count;
};

static const uint32_t NONE = UINT32_MAX;

static void *keep(struct hf_acl *acl, size_t count, size_t size)
{
    if (count > SIZE_MAX / 2 / size)
        return NULL;
    struct chunk *c = calloc(1, sizeof(*c) + HF_MAX(count * size, (size_t)1));
    if (c == NULL)
        return NULL;
    c->next = acl->chunks;
    acl->chunks = c;
    return c->bytes;
}

void hf_acl_free(struct hf_acl *acl)
{
    if (acl == NULL)
        return;
    for (size_t i = 0; i < acl->doc_count; i++)
        hf_acl_doc_free(acl->docs[i]);
    for (struct chunk *c = acl->chunks, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    free(acl);
}

void hf_acl_freep(struct hf_acl **acl)
{
    hf_acl_free(*acl);
}

/* ---- order ---- */

static int byte_order(struct hf_cursor a, struct hf_cursor b)
{
    size_t common = HF_MIN(a.left, b.left);
    int order = common == 0 ? 0 : memcmp(a.at, b.at, common); /* public bytes */
    if (order != 0)
        return order;
    return a.left < b.left ? -1 : a.left > b.left;
}

static int by_pattern(const void *x, const void *y)
{
    const struct hf_acl_rule *a = *(const struct hf_acl_rule *const *)x;
    const struct hf_acl_rule *b = *(const struct hf_acl_rule *const *)y;
    int order = byte_order(a->pattern, b->pattern);
    return order != 0 ? order : (int)a->glob - (int)b->glob;
}

/* Negative where a has the lower priority. */
static int priority(const struct hf_acl_rule *a, const struct hf_acl_rule *b)
{
    if (a->first_wild != b->first_wild)
        return a->first_wild < b->first_wild ? -1 : 1;
    if (a->glob != b->glob)
        return a->glob ? -1 : 1;
    if (a->wildcards != b->wildcards)
        return a->wildcards > b->wildcards ? -1 : 1;
    if (a->pattern.left != b->pattern.left)
        return a->pattern.left < b->pattern.left ? -1 : 1;
    return byte_order(a->pattern, b->pattern);
}

static int highest_first(const void *x, const void *y)
{
    return priority(((const struct hf_acl_entry *)y)->rule, ((const struct hf_acl_entry *)x)->rule);
}

/* ---- joining equal patterns ---- */

static uint8_t fold(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool same_name(struct hf_cursor a, struct hf_cursor b)
{
    if (a.left != b.left)
        return false;
    for (size_t i = 0; i < a.left; i++)
        if (fold(a.at[i]) != fold(b.at[i]))
            return false;
    return true;
}

static struct hf_acl_param *find_param(struct hf_acl_param *params, uint32_t count, struct hf_cursor key)
{
    for (uint32_t i = 0; i < count; i++)
        if (same_name(params[i].key, key))
            return &params[i];
    return NULL;
}

enum which { ALLOWED, DENIED };

static const struct hf_tree *tree_of(const struct hf_acl_rule *rule, enum which which)
{
    return which == ALLOWED ? &rule->allowed : &rule->denied;
}

/* A parameter named twice takes the values of both; an empty list, which stands for every value, wins. */
static hf_result add_param(struct hf_acl *acl, struct hf_acl_param *params, uint32_t *count,
                           struct hf_cursor key, const struct hf_tree *list)
{
    struct hf_acl_param *param = find_param(params, *count, key);
    if (param == NULL) {
        param = &params[(*count)++];
        param->key = key;
    }
    if (list->count == 0)
        param->any = true;
    struct hf_tree *values = keep(acl, (size_t)param->count + list->count, sizeof(*values));
    if (values == NULL)
        return HF_FAIL(NO_MEMORY);
    if (param->count != 0)
        memcpy(values, param->values, param->count * sizeof(*values));
    struct hf_tree_iter iter = hf_tree_iterate(list);
    struct hf_cursor unused;
    uint32_t n = param->count;
    while (n < param->count + list->count && hf_tree_next(&iter, &unused, &values[n]))
        n++;
    param->values = values;
    param->count = n;
    return HF_DONE;
}

static hf_result join_params(struct hf_acl *acl, const struct hf_acl_rule *const *rules, size_t count,
                             enum which which, struct hf_acl_param **ret_params, uint32_t *ret_count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most += tree_of(rules[i], which)->count;
    if (most == 0)
        return HF_DONE;
    struct hf_acl_param *params = keep(acl, most, sizeof(*params));
    if (params == NULL)
        return HF_FAIL(NO_MEMORY);
    for (size_t i = 0; i < count; i++) {
        struct hf_tree_iter iter = hf_tree_iterate(tree_of(rules[i], which));
        struct hf_cursor key;
        struct hf_tree list;
        while (hf_tree_next(&iter, &key, &list))
            TRY(add_param(acl, params, ret_count, key, &list));
    }
    *ret_params = params;
    return HF_DONE;
}

static hf_result join_required(struct hf_acl *acl, const struct hf_acl_rule *const *rules, size_t count,
                               struct hf_acl_entry *entry)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most += rules[i]->required.count;
    if (most == 0)
        return HF_DONE;
    entry->required = keep(acl, most, sizeof(*entry->required));
    if (entry->required == NULL)
        return HF_FAIL(NO_MEMORY);
    for (size_t i = 0; i < count; i++) {
        struct hf_tree_iter iter = hf_tree_iterate(&rules[i]->required);
        struct hf_cursor unused;
        struct hf_tree item;
        while (hf_tree_next(&iter, &unused, &item))
            entry->required[entry->required_count++] = item.body;
    }
    return HF_DONE;
}

/* rules: all with one pattern. */
static hf_result join(struct hf_acl *acl, const struct hf_acl_rule *const *rules, size_t count,
                      struct hf_acl_entry *entry)
{
    entry->rule = rules[0];
    for (size_t i = 0; i < count; i++)
        entry->caps |= rules[i]->caps;
    if (entry->caps & HF_CAP_DENY) {
        entry->caps = HF_CAP_DENY;
        return HF_DONE;
    }
    TRY(join_params(acl, rules, count, ALLOWED, &entry->allowed, &entry->allowed_count));
    TRY(join_params(acl, rules, count, DENIED, &entry->denied, &entry->denied_count));
    return join_required(acl, rules, count, entry);
}

/* ---- building ---- */

static uint32_t hash_of(struct hf_cursor path)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15) ^ path.left;
    while (path.left >= 8) {
        uint64_t word;
        memcpy(&word, path.at, 8);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        path.at += 8;
        path.left -= 8;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < path.left; i++)
        tail = tail << 8 | path.at[i];
    h = (h ^ tail) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(h >> 32);
}

static hf_result index_exact(struct hf_acl *acl)
{
    uint32_t size = 4;
    while (size < acl->exact_count * 2)
        size *= 2;
    acl->slots = keep(acl, size, sizeof(*acl->slots));
    if (acl->slots == NULL)
        return HF_FAIL(NO_MEMORY);
    acl->slot_mask = size - 1;
    for (uint32_t i = 0; i < acl->exact_count; i++) {
        uint32_t at = hash_of(acl->exact[i].rule->pattern) & acl->slot_mask;
        while (acl->slots[at] != 0)
            at = (at + 1) & acl->slot_mask;
        acl->slots[at] = i + 1;
    }
    return HF_DONE;
}

static bool begins(struct hf_cursor path, struct hf_cursor prefix)
{
    return path.left >= prefix.left &&
           (prefix.left == 0 || memcmp(path.at, prefix.at, prefix.left) == 0); /* public */
}

static void link_prefixes(struct hf_acl *acl)
{
    for (uint32_t i = 0; i < acl->prefix_count; i++) {
        uint32_t parent = i == 0 ? NONE : i - 1;
        while (parent != NONE &&
               !begins(acl->prefixes[i].entry.rule->pattern, acl->prefixes[parent].entry.rule->pattern))
            parent = acl->prefixes[parent].parent;
        acl->prefixes[i].parent = parent;
    }
}

static struct hf_acl_entry *place_for(struct hf_acl *acl, const struct hf_acl_rule *rule)
{
    if (rule->wildcards != 0)
        return &acl->wild[acl->wild_count++];
    if (rule->glob)
        return &acl->prefixes[acl->prefix_count++].entry;
    return &acl->exact[acl->exact_count++];
}

static hf_result build(struct hf_acl *acl, const struct hf_acl_rule **rules, size_t count)
{
    size_t n_wild = 0, n_prefix = 0, n_exact = 0;
    for (size_t i = 0; i < count; i++) {
        n_wild += rules[i]->wildcards != 0;
        n_prefix += rules[i]->wildcards == 0 && rules[i]->glob;
        n_exact += rules[i]->wildcards == 0 && !rules[i]->glob;
    }
    acl->wild = keep(acl, n_wild, sizeof(*acl->wild));
    acl->prefixes = keep(acl, n_prefix, sizeof(*acl->prefixes));
    acl->exact = keep(acl, n_exact, sizeof(*acl->exact));
    if (acl->wild == NULL || acl->prefixes == NULL || acl->exact == NULL)
        return HF_FAIL(NO_MEMORY);
    if (count != 0)
        qsort(rules, count, sizeof(void *), by_pattern);
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start + 1; end < count && by_pattern(&rules[start], &rules[end]) == 0;)
            end++;
        TRY(join(acl, (const struct hf_acl_rule *const *)rules + start, end - start,
                 place_for(acl, rules[start])));
    }
    link_prefixes(acl);
    if (acl->wild_count != 0)
        qsort(acl->wild, acl->wild_count, sizeof(*acl->wild), highest_first);
    return index_exact(acl);
}

static hf_result join_all(struct hf_acl *acl, struct hf_acl_doc *const *docs, size_t count)
{
    size_t all = 0, filled = 0;
    acl->docs = keep(acl, count, sizeof(void *));
    if (acl->docs == NULL)
        return HF_FAIL(NO_MEMORY);
    for (size_t i = 0; i < count; i++) {
        size_t n;
        (void)hf_acl_doc_rules(docs[i], &n);
        acl->docs[acl->doc_count++] = hf_acl_doc_ref(docs[i]);
        all += n;
    }
    const struct hf_acl_rule **rules = malloc((all + 1) * sizeof(void *));
    if (rules == NULL)
        return HF_FAIL(NO_MEMORY);
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const struct hf_acl_rule *of = hf_acl_doc_rules(docs[i], &n);
        for (size_t j = 0; j < n && filled < all; j++)
            rules[filled++] = &of[j];
    }
    hf_result built = build(acl, rules, filled);
    free(rules);
    return built;
}

hf_result hf_acl_compile(struct hf_acl_doc *const *docs, size_t count, struct hf_acl **ret_acl)
{
    struct hf_acl *acl = calloc(1, sizeof(*acl));
    if (acl == NULL)
        return HF_FAIL(NO_MEMORY);
    hf_result joined = join_all(acl, docs, count);
    if (!HF_IS_OK(joined)) {
        hf_acl_free(acl);
        return joined;
    }
    *ret_acl = acl;
    return HF_DONE;
}

/* ---- finding ---- */

static const struct hf_acl_entry *find_exact(const struct hf_acl *acl, struct hf_cursor path)
{
    if (acl->exact_count == 0)
        return NULL;
    for (uint32_t at = hash_of(path) & acl->slot_mask; acl->slots[at] != 0; at = (at + 1) & acl->slot_mask) {
        const struct hf_acl_entry *entry = &acl->exact[acl->slots[at] - 1];
        if (hf_cursor_same(entry->rule->pattern, path))
            return entry;
    }
    return NULL;
}

/* The greatest prefix not above the path in byte order has the longest that matches among itself and its parents:
 * whatever lies between a prefix of the path and the path begins with that prefix too. */
static const struct hf_acl_entry *find_prefix(const struct hf_acl *acl, struct hf_cursor path)
{
    uint32_t low = 0, high = acl->prefix_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (byte_order(acl->prefixes[middle].entry.rule->pattern, path) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (uint32_t at = low == 0 ? NONE : low - 1; at != NONE; at = acl->prefixes[at].parent)
        if (begins(path, acl->prefixes[at].entry.rule->pattern))
            return &acl->prefixes[at].entry;
    return NULL;
}

/* Takes the segment before the next '/'. ret_last: no '/' came after it. */
static struct hf_cursor segment(struct hf_cursor *in, bool *ret_last)
{
    const uint8_t *slash = in->left == 0 ? NULL : memchr(in->at, '/', in->left);
    size_t len = slash == NULL ? in->left : (size_t)(slash - in->at);
    struct hf_cursor taken = hf_cursor(in->at, len);
    *ret_last = slash == NULL;
    len += slash != NULL;
    in->at += len;
    in->left -= len;
    return taken;
}

static bool wild_fits(const struct hf_acl_rule *rule, struct hf_cursor path)
{
    struct hf_cursor pattern = rule->pattern;
    for (;;) {
        bool pattern_last, path_last;
        struct hf_cursor want = segment(&pattern, &pattern_last);
        struct hf_cursor have = segment(&path, &path_last);
        bool fits = hf_cursor_is(want, "+") || hf_cursor_same(want, have);
        if (pattern_last && rule->glob)
            return fits || begins(have, want);
        if (!fits)
            return false;
        if (pattern_last || path_last)
            return pattern_last && path_last;
    }
}

const struct hf_acl_entry *hf_acl_match(const struct hf_acl *acl, struct hf_cursor path, bool list)
{
    const struct hf_acl_entry *found = find_exact(acl, path);
    if (found == NULL && list && path.left != 0 && path.at[path.left - 1] == '/')
        found = find_exact(acl, hf_cursor(path.at, path.left - 1));
    if (found != NULL)
        return found;
    found = find_prefix(acl, path);
    for (uint32_t i = 0; i < acl->wild_count; i++) {
        const struct hf_acl_entry *wild = &acl->wild[i];
        if (found != NULL && priority(wild->rule, found->rule) < 0)
            break; /* all that follow are lower still */
        if (wild_fits(wild->rule, path))
            return wild;
    }
    return found;
}

/* ---- parameters ---- */

/* Numbers and truth values are compared by what they say, since clients send them as texts too. */
static struct hf_cursor scalar_text(const struct hf_tree *item, char space[32])
{
    struct hf_buf out = hf_buf(space, 32);
    switch (item->tag) {
    case HF_TREE_TEXT:
    case HF_TREE_NUMBER:
        return item->body;
    case HF_TREE_TRUE:
        return hf_cursor_text("true");
    case HF_TREE_FALSE:
        return hf_cursor_text("false");
    case HF_TREE_INT:
        if (item->number < 0)
            hf_buf_u8(&out, '-');
        hf_buf_decimal(&out, item->number < 0 ? 0 - (uint64_t)item->number : (uint64_t)item->number);
        return hf_buf_cursor(&out);
    default:
        return hf_cursor(NULL, 0);
    }
}

static bool is_scalar(const struct hf_tree *item)
{
    return item->tag == HF_TREE_TEXT || item->tag == HF_TREE_TRUE || item->tag == HF_TREE_FALSE ||
           item->tag == HF_TREE_INT || item->tag == HF_TREE_NUMBER;
}

/* "*" at either end of a wanted text stands for anything. */
static bool text_fits(struct hf_cursor want, struct hf_cursor have)
{
    bool front = want.left != 0 && want.at[0] == '*';
    bool back = want.left > 1 && want.at[want.left - 1] == '*';
    if (front) {
        want.at++;
        want.left--;
    }
    if (back)
        want.left--;
    if (want.left == 0)
        return front || back || have.left == 0;
    if (have.left < want.left)
        return false;
    if (front && back)
        return memmem(have.at, have.left, want.at, want.left) != NULL;
    if (back)
        return begins(have, want);
    if (front)
        return memcmp(have.at + have.left - want.left, want.at, want.left) == 0; /* public bytes */
    return hf_cursor_same(want, have);
}

static bool value_fits(const struct hf_tree *want, const struct hf_tree *have)
{
    char a[32], b[32];
    if (hf_tree_same_number(want, have)) /* 5, 5.0 and 5e0 */
        return true;
    if (is_scalar(want) && is_scalar(have))
        return text_fits(scalar_text(want, a), scalar_text(have, b));
    return want->tag == have->tag && want->count == have->count && hf_cursor_same(want->body, have->body);
}

static bool in_values(const struct hf_acl_param *param, const struct hf_tree *have)
{
    for (uint32_t i = 0; i < param->count; i++)
        if (value_fits(&param->values[i], have))
            return true;
    return param->any;
}

static bool denied_value(const struct hf_acl_param *param, const struct hf_tree *have)
{
    if (in_values(param, have))
        return true;
    if (have->tag != HF_TREE_ARRAY)
        return false;
    struct hf_tree_iter iter = hf_tree_iterate(have); /* a denied value does not pass by standing in a list */
    struct hf_cursor unused;
    struct hf_tree item;
    while (hf_tree_next(&iter, &unused, &item))
        if (in_values(param, &item))
            return true;
    return false;
}

static bool has_name(const struct hf_tree *args, struct hf_cursor name)
{
    struct hf_tree_iter iter = hf_tree_iterate(args);
    struct hf_cursor key;
    struct hf_tree item;
    while (hf_tree_next(&iter, &key, &item))
        if (same_name(key, name))
            return true;
    return false;
}

bool hf_acl_params_accept(const struct hf_acl_entry *entry, const struct hf_tree *args)
{
    if (entry->required_count == 0 && entry->denied_count == 0 && entry->allowed_count == 0)
        return true;
    static const struct hf_tree nothing;
    if (args == NULL || args->tag != HF_TREE_MAP)
        args = &nothing;
    for (uint32_t i = 0; i < entry->required_count; i++)
        if (!has_name(args, entry->required[i]))
            return false;
    if (args->count == 0)
        return true;
    struct hf_cursor star = hf_cursor_text("*");
    if (find_param(entry->denied, entry->denied_count, star) != NULL)
        return false;
    const struct hf_acl_param *any_allowed = find_param(entry->allowed, entry->allowed_count, star);
    struct hf_tree_iter iter = hf_tree_iterate(args);
    struct hf_cursor key;
    struct hf_tree item;
    while (hf_tree_next(&iter, &key, &item)) {
        const struct hf_acl_param *denied = find_param(entry->denied, entry->denied_count, key);
        if (denied != NULL && denied_value(denied, &item))
            return false;
        if (entry->allowed_count == 0)
            continue;
        const struct hf_acl_param *allowed = find_param(entry->allowed, entry->allowed_count, key);
        if (allowed == NULL ? any_allowed == NULL : !in_values(allowed, &item))
            return false;
    }
    return true;
}
