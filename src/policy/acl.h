/* The policy language and its matcher. Text (HCL or JSON) becomes a struct hf_acl_doc; the documents of a token
 * become one immutable struct hf_acl, whose lookup allocates nothing.
 *
 * Which rule speaks for a path: an exact one if there is one. Else, of all patterns with "+" segments or a last "*"
 * that match, the one of highest priority; a pattern has the lower priority where, in this order,
 *   its first "+" or "*" stands earlier; it ends in "*" and the other does not; it has more "+" segments;
 *   it is shorter; it is smaller in byte order.
 * Equal patterns of several policies are joined: capabilities are united, deny takes all away. */
#ifndef HF_POLICY_ACL_H
#define HF_POLICY_ACL_H

#include "policy/policy.h"

enum { HF_ACL_RULES_MAX = 10000, HF_ACL_PATTERN_MAX = 1024 };

struct hf_acl_rule {          /* as one policy says it */
    struct hf_cursor pattern; /* no leading '/', no last '*' */
    bool glob;                /* had a last '*' */
    uint32_t wildcards;       /* "+" segments */
    uint32_t first_wild; /* where the first "+" segment or the '*' stands; pattern.left where there is none */
    uint32_t caps;
    struct hf_tree allowed, denied, required; /* MAP, MAP, ARRAY; or NULL */
};
struct hf_acl_doc;
/* Fails: BAD_ARGUMENT with "line N: reason" in ret_error, TOO_LARGE, NO_MEMORY. */
hf_result hf_acl_doc_parse(struct hf_cursor text, char *ret_error, size_t error_len,
                           struct hf_acl_doc **ret_doc);
struct hf_acl_doc *hf_acl_doc_ref(struct hf_acl_doc *doc); /* atomic count */
void hf_acl_doc_free(struct hf_acl_doc *doc);              /* drops a reference; NULL allowed */
void hf_acl_doc_freep(struct hf_acl_doc **doc);
struct hf_cursor hf_acl_doc_text(const struct hf_acl_doc *doc);
const struct hf_acl_rule *hf_acl_doc_rules(const struct hf_acl_doc *doc, size_t *ret_count);

struct hf_acl;
/* Keeps references to the documents. */
hf_result hf_acl_compile(struct hf_acl_doc *const *docs, size_t count, struct hf_acl **ret_acl);
void hf_acl_free(struct hf_acl *acl);
void hf_acl_freep(struct hf_acl **acl);

struct hf_acl_param {
    struct hf_cursor key; /* "*": every one */
    struct hf_tree *values;
    uint32_t count;
    bool any;
};
struct hf_acl_entry {               /* the joined rule of one pattern */
    const struct hf_acl_rule *rule; /* its pattern */
    uint32_t caps;                  /* DENY stands alone */
    struct hf_acl_param *allowed, *denied;
    struct hf_cursor *required;
    uint32_t allowed_count, denied_count, required_count;
};
/* NULL where no rule speaks of the path. list: a path that ends in '/' may also be met by an exact rule without it. */
const struct hf_acl_entry *hf_acl_match(const struct hf_acl *acl, struct hf_cursor path, bool list);
/* Whether required, denied and allowed parameters accept args (a MAP, or NULL for none). */
bool hf_acl_params_accept(const struct hf_acl_entry *entry, const struct hf_tree *args);

#endif
