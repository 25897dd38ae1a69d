/* Tokens: making, finding, renewing, revoking them. A token's text is "hvs." and base64url of 24 random bytes and an
 * 8-byte MAC; what is stored is a keyed hash of it, whose first half is the accessor and the record's id, so that
 * one record serves both. Its name is "<parent>/<accessor>" in hex: the children of a token stand together.
 *
 * All calls may wait for the store; none may be used from a data operation. What is lent through ret_info lives till
 * the current epoch section ends. */
#ifndef HF_POLICY_TOKEN_H
#define HF_POLICY_TOKEN_H

#include "policy/policy.h"

enum {
    HF_TOKEN_TEXT_MAX = 160, /* characters, no NUL */
    HF_TOKEN_POLICIES_MAX = 64,
    HF_TOKEN_CIDRS_MAX = 16,
    HF_TOKEN_META_MAX = 4096, /* bytes, encoded */
    HF_TOKEN_RECORD_MAX = 16384,
    HF_TOKEN_PATH_MAX = 256,
};

/* How a change is committed: by the operation, with its audit leaf. NULL where a struct hf_commit is wanted: alone. */
struct hf_commit {
    hf_result (*commit)(void *arg, struct hf_txn *txn);
    void *arg;
};

struct hf_token_info {
    struct hf_id accessor, parent; /* parent zero: none */
    struct hf_cursor ns, display_name, path, role;
    const struct hf_cursor *policies; /* sorted */
    size_t policy_count;
    struct hf_tree meta;                                        /* MAP, or NULL */
    struct hf_tree cidrs;                                       /* ARRAY of TEXT, or NULL */
    int64_t created_ns, renewed_ns, expires_ns;                 /* wall; 0: never */
    int64_t ttl_ns, max_ttl_ns, explicit_max_ttl_ns, period_ns; /* ttl: as created; 0: none */
    uint64_t num_uses;                                          /* left; 0: unlimited */
    bool orphan, renewable, root;
};
/* NULL for a NULL identity. */
const struct hf_token_info *hf_identity_token(const struct hf_identity *identity);
/* The way back, for what was lent by the calls below. */
const struct hf_identity *hf_token_identity(const struct hf_token_info *info);

struct hf_token_spec { /* cursors are borrowed for the call */
    struct hf_cursor ns;
    struct hf_cursor id;              /* own text instead of a random one; empty: random */
    const struct hf_identity *parent; /* NULL: orphan */
    const struct hf_cursor *policies; /* any order; doubles are dropped */
    size_t policy_count;
    struct hf_tree meta, cidrs;
    struct hf_cursor display_name, path, role;
    int64_t ttl_ns;                     /* 0: default_ttl_ns; with "root" among the policies: never expires */
    int64_t default_ttl_ns, max_ttl_ns; /* of the mount or the system */
    int64_t explicit_max_ttl_ns, period_ns;
    uint64_t num_uses;
    bool renewable;
};
/* Makes a token; its record goes into txn (which may hold other changes already), which is committed by `commit`.
 * Fails: BAD_ARGUMENT, DENIED (parent is gone), EXISTS (own id), TOO_LARGE, as commit. */
hf_result hf_token_create(struct hf_policy *policy, const struct hf_token_spec *spec, struct hf_txn *txn,
                          const struct hf_commit *commit, struct hf_buf *out_token,
                          const struct hf_token_info **ret_info);
/* An orphan with policy root that never expires: for init, generate-root, --dev-root-token (id). */
hf_result hf_token_create_root(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor id,
                               struct hf_txn *txn, const struct hf_commit *commit, struct hf_buf *out_token);

/* The accessor of a token's text: pure computation. Fails: NOT_FOUND where the text can be no token of ours. */
hf_result hf_token_accessor(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor token,
                            struct hf_id *ret_accessor);
/* Fails: NOT_FOUND (also expired or being revoked). */
hf_result hf_token_find(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                        const struct hf_token_info **ret_info);
/* increment 0: the ttl it was made with. Fails: NOT_FOUND, BAD_ARGUMENT (not renewable). */
hf_result hf_token_renew(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                         int64_t increment_ns, const struct hf_commit *commit,
                         const struct hf_token_info **ret_info);
/* Revokes the token and, as a tree, all made under it; refused everywhere before it returns. When it fails half-way
 * the token is refused already, and tidy finishes. Fails: NOT_FOUND, STORE_*. */
hf_result hf_token_revoke(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                          const struct hf_commit *commit);
/* Revokes it alone; its children become orphans. */
hf_result hf_token_revoke_orphan(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                                 const struct hf_commit *commit);
hf_result hf_token_accessors(struct hf_policy *policy, struct hf_cursor ns,
                             bool (*each)(void *arg, struct hf_id accessor), void *arg);
/* Removes what has expired (tokens with their children, secret IDs) and finishes broken revocations. Called by the
 * core's timer about once a second; each call does a bounded part. */
hf_result hf_tokens_tidy(struct hf_policy *policy, int64_t now_wall_ns);

struct hf_policy_stats {
    uint64_t cached, misses, policies, compiled;
};
void hf_policy_stats(struct hf_policy *policy, struct hf_policy_stats *ret_stats);

#endif
