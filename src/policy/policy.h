/* Who may: tokens, ACL policies, rate limits and lockout. In-memory state is read through epochs (base/epoch.h),
 * so that the check on a data operation takes no lock. */
#ifndef HF_POLICY_POLICY_H
#define HF_POLICY_POLICY_H

#include "records/records.h"
#include "wire/tree.h"

enum {
    HF_POLICY_NAME_MAX = 128,
    HF_POLICY_TEXT_MAX = 512 << 10, /* bytes of one policy's text */
    HF_POLICY_REASON_MAX = 240,
};

enum hf_capability {
    HF_CAP_CREATE = 1,
    HF_CAP_READ = 2,
    HF_CAP_UPDATE = 4,
    HF_CAP_DELETE = 8,
    HF_CAP_LIST = 16,
    HF_CAP_SUDO = 32,
    HF_CAP_DENY = 64,
    HF_CAP_PATCH = 128,
};

struct hf_policy; /* all state of this room */
/* token_key: 32 bytes; tokens are stored and looked up as HMAC-SHA-256 of the token, never in clear. */
hf_result hf_policy_open(struct hf_records *records, const struct hf_secret *token_key,
                         const struct hf_clock *clock, struct hf_policy **ret_policy);
void hf_policy_close(struct hf_policy *policy);

/* ---- policies (namespace ns; "root" and "default" are built in) ---- */
/* Parses; BAD_ARGUMENT with the line and the reason in words (never longer than HF_POLICY_REASON_MAX). */
hf_result hf_acl_check_text(struct hf_cursor text, char *ret_error, size_t error_len);
/* put/delete write through `txn`; hf_acl_changed after its commit makes it current here. Fails: BAD_ARGUMENT (name,
 * text, or one that may not be changed: root; default may be replaced, not removed), NOT_FOUND (delete). */
hf_result hf_acl_put(struct hf_policy *policy, struct hf_txn *txn, struct hf_cursor ns, struct hf_cursor name,
                     struct hf_cursor text);
hf_result hf_acl_delete(struct hf_policy *policy, struct hf_txn *txn, struct hf_cursor ns,
                        struct hf_cursor name);
void hf_acl_changed(struct hf_policy *policy, struct hf_cursor ns,
                    struct hf_cursor name); /* reload after commit */
hf_result hf_acl_get(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor name,
                     struct hf_buf *out_text);
hf_result hf_acl_names(struct hf_policy *policy, struct hf_cursor ns, struct hf_tree_writer *w);

/* ---- identity: what a token proves; valid inside the epoch in which it was given ---- */
struct hf_identity {
    struct hf_id accessor;
    char display_name[128];
    struct hf_cursor ns;
    bool root;
    int64_t created_ns, expires_ns; /* wall; 0: never */
    int64_t ttl_ns, max_ttl_ns, period_ns;
    uint64_t uses_left; /* 0: unlimited */
    bool orphan, renewable;
    const void *inner; /* private: token entry with its compiled ACL; policy/token.h opens it */
};
/* Checks a token. may_wait false: only memory is asked, else WOULD_BLOCK where the store must be. A token carries
 * a MAC, so that garbage costs no store statement. Use limits are counted here. Fails: DENIED (absent, expired,
 * unknown: the same answer), WOULD_BLOCK, STORE_*. */
hf_result hf_identity_of(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor token, bool may_wait,
                         const struct hf_identity **ret_identity);
/* Whether the identity has all of `needs` on `path` (below the namespace, e.g. "transit/encrypt/pay"), and its
 * allowed/denied/required parameters accept args. Deny wins; unknown is denied. Fails: DENIED. */
hf_result hf_identity_may(struct hf_policy *policy, const struct hf_identity *identity, struct hf_cursor path,
                          uint32_t needs, const struct hf_tree *args);
/* Whether the token may be used from this address (its token_bound_cidrs). Fails: DENIED. */
hf_result hf_identity_from(const struct hf_identity *identity, const uint8_t ip[16]);
/* hf_capability bits; 0 where nothing is said of the path. A root identity has all but DENY. */
uint32_t hf_identity_capabilities(struct hf_policy *policy, const struct hf_identity *identity,
                                  struct hf_cursor path);

/* ---- rate limits: per source and per role; a fixed table, sharded, no allocation ---- */
/* Failures are counted for the pair of source and role and for the source alone (an IPv6 source is its /64); from
 * HF_LIMITS_PAIR_TRIES or HF_LIMITS_SOURCE_TRIES within HF_LIMITS_WINDOW_S on, it is locked out, each further
 * failure for twice as long, at most HF_LIMITS_LOCK_MAX_S. Success forgets the pair. ip: v4-mapped or IPv6. */
enum {
    HF_LIMITS_PAIR_TRIES = 5,
    HF_LIMITS_SOURCE_TRIES = 100,
    HF_LIMITS_WINDOW_S = 900,
    HF_LIMITS_LOCK_MIN_S = 2,
    HF_LIMITS_LOCK_MAX_S = 900,
};
/* RATE_LIMITED while locked out. */
hf_result hf_limits_check(struct hf_policy *policy, const uint8_t ip[16], struct hf_cursor role);
void hf_limits_failed(struct hf_policy *policy, const uint8_t ip[16], struct hf_cursor role);
void hf_limits_succeeded(struct hf_policy *policy, const uint8_t ip[16], struct hf_cursor role);
/* The same table for who has no struct hf_policy yet (unseal). */
struct hf_limits;
hf_result hf_limits_new(const struct hf_clock *clock, struct hf_limits **ret_limits);
void hf_limits_free(struct hf_limits *limits);
hf_result hf_limits_table_check(struct hf_limits *limits, const uint8_t ip[16], struct hf_cursor role);
/* lock_max_s: longest lockout that this failure may bring. */
void hf_limits_table_failed(struct hf_limits *limits, const uint8_t ip[16], struct hf_cursor role,
                            int64_t lock_max_s);
void hf_limits_table_succeeded(struct hf_limits *limits, const uint8_t ip[16], struct hf_cursor role);
/* One request of a source that may make per_second of them, and as many at once. Fails: RATE_LIMITED. */
hf_result hf_limits_table_rate(struct hf_limits *limits, const uint8_t ip[16], uint32_t per_second);

#endif
