/* Any text is taken as a policy or refused with a reason; what is taken finds for every path the rule, and grants the
 * capabilities, that a slow and literal reading of the priority rules finds.
 * Input: the policy's text, then after each zero byte a path. Paths made of the policy's own patterns are tried too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/acl.h"

enum { SEGMENTS_MAX = 2048, PATH_MAX_LEN = 4096, RULES_TRIED_MAX = 64 };

#define CHECK(ok)                                                                                            \
    do {                                                                                                     \
        if (!(ok))                                                                                           \
            abort();                                                                                         \
    } while (0)

static size_t split(struct hf_cursor path, struct hf_cursor segments[static SEGMENTS_MAX])
{
    size_t count = 0, start = 0;
    for (size_t i = 0; i <= path.left; i++) {
        if (i != path.left && path.at[i] != '/')
            continue;
        CHECK(count < SEGMENTS_MAX);
        segments[count++] = hf_cursor(path.at + start, i - start);
        start = i + 1;
    }
    return count;
}

static bool matches(const struct hf_acl_rule *rule, struct hf_cursor path)
{
    static struct hf_cursor want[SEGMENTS_MAX], have[SEGMENTS_MAX];
    size_t n = split(rule->pattern, want), m = split(path, have);
    if (m < n || (!rule->glob && m != n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (hf_cursor_is(want[i], "+") || hf_cursor_same(want[i], have[i]))
            continue;
        bool last = rule->glob && i == n - 1;
        if (!last || have[i].left < want[i].left || memcmp(have[i].at, want[i].at, want[i].left) != 0)
            return false;
    }
    return true;
}

static size_t first_special(const struct hf_acl_rule *rule)
{
    static struct hf_cursor segments[SEGMENTS_MAX];
    size_t n = split(rule->pattern, segments), at = 0;
    for (size_t i = 0; i < n; at += segments[i].left + 1, i++)
        if (hf_cursor_is(segments[i], "+"))
            return at;
    return rule->pattern.left;
}

static size_t pluses(const struct hf_acl_rule *rule)
{
    static struct hf_cursor segments[SEGMENTS_MAX];
    size_t n = split(rule->pattern, segments), count = 0;
    for (size_t i = 0; i < n; i++)
        count += hf_cursor_is(segments[i], "+");
    return count;
}

static bool is_exact(const struct hf_acl_rule *rule)
{
    return !rule->glob && pluses(rule) == 0;
}

/* Whether a has the lower priority, word for word as the header says it. */
static bool lower(const struct hf_acl_rule *a, const struct hf_acl_rule *b)
{
    if (is_exact(a) != is_exact(b))
        return is_exact(b);
    if (first_special(a) != first_special(b))
        return first_special(a) < first_special(b);
    if (a->glob != b->glob)
        return a->glob;
    if (pluses(a) != pluses(b))
        return pluses(a) > pluses(b);
    if (a->pattern.left != b->pattern.left)
        return a->pattern.left < b->pattern.left;
    return memcmp(a->pattern.at, b->pattern.at, a->pattern.left) < 0;
}

static bool same_pattern(const struct hf_acl_rule *a, const struct hf_acl_rule *b)
{
    return a->glob == b->glob && hf_cursor_same(a->pattern, b->pattern);
}

static void check_path(const struct hf_acl *acl, const struct hf_acl_rule *rules, size_t count,
                       struct hf_cursor path)
{
    if (path.left > PATH_MAX_LEN || (path.left != 0 && memchr(path.at, 0, path.left) != NULL))
        return;
    const struct hf_acl_rule *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (matches(&rules[i], path) && (best == NULL || lower(best, &rules[i])))
            best = &rules[i];
    uint32_t caps = 0;
    for (size_t i = 0; i < count && best != NULL; i++)
        if (same_pattern(&rules[i], best))
            caps |= rules[i].caps;
    if (caps & HF_CAP_DENY)
        caps = HF_CAP_DENY;
    const struct hf_acl_entry *found = hf_acl_match(acl, path, false);
    CHECK((found == NULL) == (best == NULL));
    if (found == NULL)
        return;
    CHECK(same_pattern(found->rule, best));
    CHECK(found->caps == caps);
    CHECK(!(found->caps & HF_CAP_DENY) || found->caps == HF_CAP_DENY);
    static const struct hf_tree nothing;
    (void)hf_acl_params_accept(found, &nothing);
}

/* A path that the pattern was made for, and two beside it. */
static void check_own(const struct hf_acl *acl, const struct hf_acl_rule *rules, size_t count,
                      const struct hf_acl_rule *rule)
{
    uint8_t path[2 * HF_ACL_PATTERN_MAX + 16];
    static struct hf_cursor segments[SEGMENTS_MAX];
    size_t n = split(rule->pattern, segments);
    struct hf_buf out = hf_buf(path, sizeof(path));
    for (size_t i = 0; i < n; i++) {
        if (i != 0)
            hf_buf_u8(&out, '/');
        if (hf_cursor_is(segments[i], "+"))
            hf_buf_text(&out, "ab");
        else
            hf_buf_put_cursor(&out, segments[i]);
    }
    check_path(acl, rules, count, hf_buf_cursor(&out));
    hf_buf_text(&out, "x/y");
    check_path(acl, rules, count, hf_buf_cursor(&out));
    check_path(acl, rules, count, hf_cursor(path, out.len / 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_cursor in = hf_cursor(data, size);
    const uint8_t *zero = size == 0 ? NULL : memchr(data, 0, size);
    struct hf_cursor text = zero == NULL ? in : hf_cursor(data, (size_t)(zero - data));
    char reason[HF_POLICY_REASON_MAX];
    struct hf_acl_doc *doc = NULL;
    struct hf_acl *acl = NULL;
    hf_result parsed = hf_acl_doc_parse(text, reason, sizeof(reason), &doc);
    if (!HF_IS_OK(parsed)) {
        CHECK(doc == NULL);
        CHECK(parsed.code == HF_BAD_ARGUMENT || parsed.code == HF_TOO_LARGE);
        CHECK(parsed.code != HF_BAD_ARGUMENT || reason[0] != '\0');
        CHECK(memchr(reason, 0, sizeof(reason)) != NULL);
        return 0;
    }
    CHECK(HF_IS_OK(hf_acl_compile(&doc, 1, &acl)));
    size_t count;
    const struct hf_acl_rule *rules = hf_acl_doc_rules(doc, &count);
    for (size_t i = 0; i < count && i < RULES_TRIED_MAX; i++)
        check_own(acl, rules, count, &rules[i]);
    while (zero != NULL) {
        const uint8_t *start = zero + 1, *end = data + size;
        zero = start == end ? NULL : memchr(start, 0, (size_t)(end - start));
        check_path(acl, rules, count, hf_cursor(start, (size_t)((zero == NULL ? end : zero) - start)));
    }
    hf_acl_free(acl);
    hf_acl_doc_free(doc);
    return 0;
}
