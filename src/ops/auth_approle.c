/* auth/approle: roles. Secret IDs and login are in auth_approle_login.c.
 *
 * A role's record is the map that reading it answers, and two members beside: "uid", which its secret IDs are bound
 * to (so that a role made again under the same name does not take over the old one's), and "role_id". A second record
 * leads from the role ID to the role's name. */
#include "ops/auth_approle.h"
#include "ops/handlers.h"

#include "base/encode.h"
#include "crypto/crypto.h"

/* ---- the record ---- */

void hf_approle_read(const struct hf_tree *map, struct hf_approle *ret)
{
    *ret = (struct hf_approle){
        .role_id = hf_tree_get(map, "role_id").body,
        .uid = hf_tree_get(map, "uid").body,
        .secret_id_cidrs = hf_tree_get(map, "secret_id_bound_cidrs"),
        .secret_id_num_uses = hf_tree_get(map, "secret_id_num_uses").number,
        .secret_id_ttl_s = hf_tree_get(map, "secret_id_ttl").number,
        .bind_secret_id = hf_tree_get(map, "bind_secret_id").tag != HF_TREE_FALSE,
    };
    hf_token_params_read(map, &ret->params);
}

static void write_public(const struct hf_approle *role, struct hf_tree_writer *w)
{
    hf_tw_k_bool(w, "bind_secret_id", role->bind_secret_id);
    hf_tw_k_bool(w, "local_secret_ids", false);
    hf_tw_k_list(w, "secret_id_bound_cidrs", &role->secret_id_cidrs);
    hf_tw_k_int(w, "secret_id_num_uses", role->secret_id_num_uses);
    hf_tw_k_int(w, "secret_id_ttl", role->secret_id_ttl_s);
    hf_token_params_write(&role->params, w);
}

static hf_result update(struct hf_call *call, struct hf_approle *role)
{
    bool local = false;
    TRY(hf_tree_bool(&call->args, "bind_secret_id", role->bind_secret_id, &role->bind_secret_id));
    TRY(hf_tree_bool(&call->args, "local_secret_ids", false, &local));
    TRY(hf_auth_cidrs(call, "bound_cidr_list", &role->secret_id_cidrs)); /* the older name */
    TRY(hf_auth_cidrs(call, "secret_id_bound_cidrs", &role->secret_id_cidrs));
    TRY(hf_auth_count(call, "secret_id_num_uses", &role->secret_id_num_uses));
    TRY(hf_auth_seconds(call, "secret_id_ttl", &role->secret_id_ttl_s));
    TRY(hf_token_params_update(call, &role->params));
    if (local)
        hf_call_warn(call, "local_secret_ids has no meaning here and was ignored");
    if (!role->bind_secret_id && role->secret_id_cidrs.count == 0 && role->params.bound_cidrs.count == 0)
        return hf_call_fail(
            call, HF_BAD_ARGUMENT,
            "a role without bind_secret_id needs bound address ranges, or anyone could log in");
    return HF_DONE;
}

static hf_result encode(struct hf_call *call, const struct hf_approle *role, struct hf_cursor *ret_plain)
{
    uint8_t *bytes = hf_scratch_alloc(call->scratch, HF_ROLE_BYTES_MAX);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf plain = hf_buf(bytes, HF_ROLE_BYTES_MAX);
    struct hf_tree_writer w = hf_tree_writer(&plain);
    hf_tw_map(&w);
    write_public(role, &w);
    hf_tw_k_slice(&w, "role_id", role->role_id);
    hf_tw_k_bytes(&w, "uid", role->uid);
    hf_tw_end(&w);
    if (plain.overflow)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "the role is too large");
    *ret_plain = hf_buf_cursor(&plain);
    return HF_DONE;
}

/* ---- from role ID to name ---- */

static struct hf_id link_id(struct hf_core *core, struct hf_call *call, struct hf_cursor role_id)
{
    uint8_t bytes[64 + HF_APPROLE_ID_MAX];
    struct hf_buf name = hf_buf(bytes, sizeof(bytes));
    hf_buf_text(&name, "approle-id/");
    hf_hex_encode(&name, hf_cursor(call->mount->id.bytes, sizeof(call->mount->id.bytes)));
    hf_buf_u8(&name, '/');
    hf_buf_put(&name, role_id.at, HF_MIN(role_id.left, (size_t)HF_APPROLE_ID_MAX));
    return hf_record_id(hf_core_unsealed(core)->records, HF_TABLE_ROLE, call->ns, hf_buf_cursor(&name));
}

hf_result hf_approle_by_role_id(struct hf_core *core, struct hf_call *call, struct hf_cursor role_id,
                                struct hf_cursor *ret_name)
{
    CLEANUP(hf_record_done) struct hf_record record = {0};
    uint64_t rev;
    if (role_id.left == 0 || role_id.left > HF_APPROLE_ID_MAX)
        return HF_FAIL(NOT_FOUND);
    struct hf_id id = link_id(core, call, role_id);
    if (!hf_record_exists(hf_core_unsealed(core)->records, HF_TABLE_ROLE, id, &rev))
        return HF_FAIL(NOT_FOUND);
    TRY(hf_record_load(hf_core_unsealed(core)->records, HF_TABLE_ROLE, id, &record));
    return hf_auth_keep(call, record.plain, ret_name);
}

static hf_result put_link(struct hf_core *core, struct hf_call *call, struct hf_txn *txn,
                          struct hf_cursor role_id, struct hf_cursor name)
{
    uint8_t bytes[48];
    struct hf_buf hidden = hf_buf(bytes, sizeof(bytes)); /* the store need not know role IDs */
    uint64_t rev;
    struct hf_id id = link_id(core, call, role_id);
    if (hf_record_exists(hf_core_unsealed(core)->records, HF_TABLE_ROLE, id, &rev))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "this role_id is in use already");
    hf_buf_text(&hidden, "link/");
    hf_hex_encode(&hidden, hf_cursor(id.bytes, sizeof(id.bytes)));
    return hf_txn_put(txn, HF_TABLE_ROLE, id, 0, call->ns, hf_buf_cursor(&hidden), 0, 0, name);
}

static hf_result drop_link(struct hf_core *core, struct hf_call *call, struct hf_txn *txn,
                           struct hf_cursor role_id)
{
    uint64_t rev;
    struct hf_id id = link_id(core, call, role_id);
    if (!hf_record_exists(hf_core_unsealed(core)->records, HF_TABLE_ROLE, id, &rev))
        return HF_DONE;
    return hf_txn_delete(txn, HF_TABLE_ROLE, id, rev);
}

/* ---- operations ---- */

hf_result hf_approle_open(struct hf_core *core, struct hf_call *call, struct hf_cursor name,
                          struct hf_role *ret_record, struct hf_approle *ret_role)
{
    struct hf_cursor lower;
    TRY(hf_auth_lower(call, name, &lower));
    TRY(hf_role_load(core, call, "approle", lower, ret_record));
    hf_approle_read(&ret_record->map, ret_role);
    ret_role->name = lower;
    return HF_DONE;
}

hf_result hf_approle_of(struct hf_core *core, struct hf_call *call, struct hf_role *ret_record,
                        struct hf_approle *ret_role)
{
    TRY(hf_approle_open(core, call, hf_call_param(call, "role"), ret_record, ret_role));
    if (ret_record->rev == 0)
        return hf_call_fail(call, HF_NOT_FOUND, "no such role");
    return HF_DONE;
}

hf_result hf_approle_uuid(struct hf_call *call, struct hf_cursor *ret_text)
{
    struct hf_id id;
    char *text = hf_scratch_alloc(call->scratch, HF_ID_TEXT_LEN);
    if (text == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(hf_random_id(&id));
    hf_id_text(id, text);
    *ret_text = hf_cursor(text, HF_ID_TEXT_LEN);
    return HF_DONE;
}

static hf_result check_role_id(struct hf_call *call, struct hf_cursor role_id)
{
    if (role_id.left > HF_APPROLE_ID_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "role_id is too long");
    return HF_DONE;
}

static hf_result save(struct hf_core *core, struct hf_call *call, const struct hf_role *record,
                      const struct hf_approle *role, struct hf_cursor old_role_id)
{
    struct hf_cursor plain = {0};
    struct hf_store_outcome outcome;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(encode(call, role, &plain));
    TRY(hf_txn_begin(hf_core_unsealed(core)->records, &txn));
    TRY(hf_role_put(call, record, plain, txn));
    if (!hf_cursor_same(role->role_id, old_role_id)) {
        if (old_role_id.left != 0)
            TRY(drop_link(core, call, txn, old_role_id));
        TRY(put_link(core, call, txn, role->role_id, role->name));
    }
    TRY(hf_call_commit(core, call, txn, &outcome));
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

HF_HANDLER(hf_auth_approle_write)
{
    struct hf_role record;
    struct hf_approle role;
    TRY(hf_approle_open(core, call, hf_call_param(call, "role"), &record, &role));
    TRY(hf_call_needs(core, call, record.rev == 0 ? HF_CAP_CREATE : HF_CAP_UPDATE));
    struct hf_cursor old_role_id = role.role_id, asked = {0};
    TRY(hf_tree_text(&call->args, "role_id", &asked));
    TRY(check_role_id(call, asked));
    if (asked.left != 0)
        role.role_id = asked;
    if (record.rev == 0) {
        struct hf_id uid;
        TRY(hf_random_id(&uid));
        TRY(hf_auth_keep(call, hf_cursor(uid.bytes, sizeof(uid.bytes)), &role.uid));
        if (asked.left == 0)
            TRY(hf_approle_uuid(call, &role.role_id));
    }
    TRY(update(call, &role));
    return save(core, call, &record, &role, old_role_id);
}

HF_HANDLER(hf_auth_approle_read)
{
    struct hf_role record;
    struct hf_approle role;
    TRY(hf_approle_of(core, call, &record, &role));
    hf_tw_map(call->w);
    write_public(&role, call->w);
    hf_tw_end(call->w);
    return HF_DONE;
}

HF_HANDLER(hf_auth_approle_list)
{
    return hf_role_list(core, call, "approle");
}

HF_HANDLER(hf_auth_approle_delete)
{
    struct hf_role record;
    struct hf_approle role;
    struct hf_store_outcome outcome;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_approle_open(core, call, hf_call_param(call, "role"), &record, &role));
    call->shape = HF_ANSWER_NONE;
    if (record.rev == 0)
        return HF_DONE;
    TRY(hf_approle_drop_secret_ids(core, call, &role));
    TRY(hf_txn_begin(hf_core_unsealed(core)->records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_ROLE, record.id, record.rev));
    TRY(drop_link(core, call, txn, role.role_id));
    return hf_call_commit(core, call, txn, &outcome);
}

HF_HANDLER(hf_auth_approle_role_id_read)
{
    struct hf_role record;
    struct hf_approle role;
    TRY(hf_approle_of(core, call, &record, &role));
    hf_tw_map(call->w);
    hf_tw_k_slice(call->w, "role_id", role.role_id);
    hf_tw_end(call->w);
    return HF_DONE;
}

HF_HANDLER(hf_auth_approle_role_id_write)
{
    struct hf_role record;
    struct hf_approle role;
    struct hf_cursor asked = {0};
    TRY(hf_approle_of(core, call, &record, &role));
    TRY(hf_tree_text(&call->args, "role_id", &asked));
    TRY(check_role_id(call, asked));
    if (asked.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing role_id");
    struct hf_cursor old_role_id = role.role_id;
    role.role_id = asked;
    return save(core, call, &record, &role, old_role_id);
}

/* ---- one field by its own path: role/:role/token-ttl and so on ---- */

static const struct {
    const char *segment, *field; /* as the path and as the role's map name it */
} fields[] = {
    {"policies", "token_policies"},
    {"period", "token_period"},
    {"token-ttl", "token_ttl"},
    {"token-max-ttl", "token_max_ttl"},
    {"token-num-uses", "token_num_uses"},
    {"token-bound-cidrs", "token_bound_cidrs"},
    {"bound-cidr-list", "secret_id_bound_cidrs"},
    {"secret-id-bound-cidrs", "secret_id_bound_cidrs"},
    {"secret-id-num-uses", "secret_id_num_uses"},
    {"secret-id-ttl", "secret_id_ttl"},
    {"bind-secret-id", "bind_secret_id"},
};

static const char *field_of(struct hf_call *call)
{
    struct hf_cursor segment = hf_call_param(call, "field");
    for (size_t i = 0; i < HF_ARRAY_LEN(fields); i++)
        if (hf_cursor_is(segment, fields[i].segment))
            return fields[i].field;
    return NULL;
}

HF_HANDLER(hf_auth_approle_field_read)
{
    struct hf_role record;
    struct hf_approle role;
    const char *field = field_of(call);
    if (field == NULL)
        return hf_call_fail(call, HF_NOT_FOUND, "no such field of a role");
    TRY(hf_approle_of(core, call, &record, &role));
    struct hf_tree value = hf_tree_get(&record.map, field);
    hf_tw_map(call->w);
    hf_tw_k(call->w, field);
    hf_tw_copy(call->w, &value);
    hf_tw_end(call->w);
    return HF_DONE;
}

HF_HANDLER(hf_auth_approle_field_write)
{
    struct hf_role record;
    struct hf_approle role;
    if (field_of(call) == NULL)
        return hf_call_fail(call, HF_NOT_FOUND, "no such field of a role");
    TRY(hf_approle_of(core, call, &record, &role));
    TRY(update(call, &role));
    return save(core, call, &record, &role, role.role_id);
}

HF_HANDLER(hf_auth_approle_field_delete)
{
    struct hf_role record;
    struct hf_approle role;
    const char *field = field_of(call);
    if (field == NULL)
        return hf_call_fail(call, HF_NOT_FOUND, "no such field of a role");
    TRY(hf_approle_of(core, call, &record, &role));
    struct hf_tree nothing = {0};
    struct {
        const char *field;
        int64_t *number;
        struct hf_tree *list;
    } resets[] = {
        {"token_policies", NULL, &role.params.policies},
        {"token_bound_cidrs", NULL, &role.params.bound_cidrs},
        {"secret_id_bound_cidrs", NULL, &role.secret_id_cidrs},
        {"token_period", &role.params.period_s, NULL},
        {"token_ttl", &role.params.ttl_s, NULL},
        {"token_max_ttl", &role.params.max_ttl_s, NULL},
        {"token_num_uses", &role.params.num_uses, NULL},
        {"secret_id_num_uses", &role.secret_id_num_uses, NULL},
        {"secret_id_ttl", &role.secret_id_ttl_s, NULL},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(resets); i++) {
        if (strcmp(resets[i].field, field) != 0)
            continue;
        if (resets[i].number != NULL)
            *resets[i].number = 0;
        else
            *resets[i].list = nothing;
    }
    if (strcmp(field, "bind_secret_id") == 0)
        role.bind_secret_id = true;
    if (!role.bind_secret_id && role.secret_id_cidrs.count == 0 && role.params.bound_cidrs.count == 0)
        return hf_call_fail(
            call, HF_BAD_ARGUMENT,
            "a role without bind_secret_id needs bound address ranges, or anyone could log in");
    return save(core, call, &record, &role, role.role_id);
}

HF_HANDLER(hf_auth_approle_tidy)
{
    TRY(hf_tokens_tidy(hf_core_unsealed(core)->policy, call->now_ns));
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}
