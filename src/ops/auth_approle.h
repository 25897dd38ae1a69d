/* What the two halves of AppRole share. */
#ifndef HF_OPS_AUTH_APPROLE_H
#define HF_OPS_AUTH_APPROLE_H

#include "ops/auth.h"

enum { HF_APPROLE_ID_MAX = 256 };

struct hf_approle {
    struct hf_cursor name, role_id, uid;
    struct hf_tree secret_id_cidrs; /* ARRAY of TEXT, or NULL */
    int64_t secret_id_num_uses, secret_id_ttl_s;
    bool bind_secret_id;
    struct hf_token_params params;
};
void hf_approle_read(const struct hf_tree *map, struct hf_approle *ret);
/* Not there: OK, ret_record->rev 0. */
hf_result hf_approle_open(struct hf_core *core, struct hf_call *call, struct hf_cursor name,
                          struct hf_role *ret_record, struct hf_approle *ret_role);
/* The role that the path names. Fails: NOT_FOUND. */
hf_result hf_approle_of(struct hf_core *core, struct hf_call *call, struct hf_role *ret_record,
                        struct hf_approle *ret_role);
hf_result hf_approle_by_role_id(struct hf_core *core, struct hf_call *call, struct hf_cursor role_id,
                                struct hf_cursor *ret_name);
/* Random UUID text in scratch. */
hf_result hf_approle_uuid(struct hf_call *call, struct hf_cursor *ret_text);
hf_result hf_approle_drop_secret_ids(struct hf_core *core, struct hf_call *call,
                                     const struct hf_approle *role);

#endif
