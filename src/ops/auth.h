/* What the auth handlers share: fields of a request that become a token, records of roles, the auth answer. */
#ifndef HF_OPS_AUTH_H
#define HF_OPS_AUTH_H

#include "ops/core.h"
#include "policy/token.h"

/* Commits through the call, with its audit leaf. The struct must live as long as the struct hf_commit. */
struct hf_auth_commit {
    struct hf_core *core;
    struct hf_call *call;
};
struct hf_commit hf_auth_commit(struct hf_auth_commit *by);

/* A list field: an array of texts or one text with commas; absent or null leaves *list. White space around items and
 * empty items go. The result is an ARRAY of TEXT in scratch. */
enum hf_list_case { HF_LIST_AS_IS, HF_LIST_LOWER };
hf_result hf_auth_list(struct hf_call *call, const char *field, enum hf_list_case fold, struct hf_tree *list);
/* The same, and each must be an address range. */
hf_result hf_auth_cidrs(struct hf_call *call, const char *field, struct hf_tree *list);
bool hf_auth_list_has(const struct hf_tree *list, struct hf_cursor item);
/* Any of the address ranges has the caller's address; an empty list has all. */
bool hf_auth_cidrs_have(const struct hf_tree *list, const uint8_t ip[16]);
/* A map of texts, given as such or as JSON text; numbers and truth values become texts. */
hf_result hf_auth_metadata(struct hf_call *call, const char *field, struct hf_tree *ret_map);
/* Seconds into *seconds; absent leaves it. */
hf_result hf_auth_seconds(struct hf_call *call, const char *field, int64_t *seconds);
hf_result hf_auth_count(struct hf_call *call, const char *field, int64_t *count); /* not negative */
/* Opens an encoded item that must live on, in scratch memory. */
hf_result hf_auth_keep(struct hf_call *call, struct hf_cursor bytes, struct hf_cursor *ret);
/* Lower case copy in scratch. */
hf_result hf_auth_lower(struct hf_call *call, struct hf_cursor text, struct hf_cursor *ret);

/* token_* fields of a role. */
struct hf_token_params {
    struct hf_tree policies, bound_cidrs; /* ARRAY of TEXT, or NULL */
    int64_t ttl_s, max_ttl_s, explicit_max_ttl_s, period_s, num_uses;
    bool no_default_policy;
};
void hf_token_params_read(const struct hf_tree *role, struct hf_token_params *ret);
hf_result hf_token_params_update(struct hf_call *call, struct hf_token_params *params);
void hf_token_params_write(const struct hf_token_params *params,
                           struct hf_tree_writer *w); /* into an open map */
void hf_tw_k_list(struct hf_tree_writer *w, const char *key, const struct hf_tree *list); /* NULL: [] */

/* ---- roles: records of table ROLE named "<kind>/<mount>/<name>" ---- */
enum { HF_ROLE_NAME_MAX = 128, HF_ROLE_BYTES_MAX = 64 << 10 };
struct hf_role {
    struct hf_id id;
    struct hf_cursor full_name;
    uint64_t rev; /* 0: not there */
    struct hf_tree map;
};
/* Fails: BAD_ARGUMENT (name). Not there: OK with rev 0 and a NULL map. */
hf_result hf_role_load(struct hf_core *core, struct hf_call *call, const char *kind, struct hf_cursor name,
                       struct hf_role *ret_role);
hf_result hf_role_put(struct hf_call *call, const struct hf_role *role, struct hf_cursor plain,
                      struct hf_txn *txn);
hf_result hf_role_save(struct hf_core *core, struct hf_call *call, const struct hf_role *role,
                       struct hf_cursor plain);
/* Answers {"keys": [...]}; NOT_FOUND where there are none. */
hf_result hf_role_list(struct hf_core *core, struct hf_call *call, const char *kind);
hf_result hf_role_names(struct hf_core *core, struct hf_call *call, const char *kind,
                        bool (*each)(void *arg, struct hf_cursor name), void *arg);
/* Deletes it; nothing to delete is well. */
hf_result hf_role_delete(struct hf_core *core, struct hf_call *call, const char *kind, struct hf_cursor name);

/* ---- login ---- */
struct hf_login {
    const struct hf_token_params *params;
    struct hf_cursor display_name, path, role;
    struct hf_tree meta; /* MAP of TEXT, or NULL */
    bool renewable;
};
/* Makes the token with what else stands in txn, and answers it. */
hf_result hf_auth_login(struct hf_core *core, struct hf_call *call, const struct hf_login *login,
                        struct hf_txn *txn);
int64_t hf_auth_time_left(const struct hf_call *call,
                          const struct hf_token_info *info); /* ns; 0: does not end */
/* The auth answer. token: empty where the caller does not get it (renewal by accessor). */
void hf_auth_answer(struct hf_call *call, struct hf_cursor token, const struct hf_token_info *info);

void hf_tw_accessor(struct hf_tree_writer *w, struct hf_id accessor);
void hf_tw_k_time(struct hf_tree_writer *w, const char *key, int64_t wall_ns);
/* Notes in the audit leaf which token a call made or ended. */
void hf_auth_note(struct hf_call *call, struct hf_id accessor);

#endif
