#include "ops/auth.h"

#include "base/encode.h"
#include "policy/cidr.h"
#include "wire/json.h"

static hf_result commit_call(void *arg, struct hf_txn *txn)
{
    struct hf_auth_commit *by = arg;
    struct hf_store_outcome outcome;
    return hf_call_commit(by->core, by->call, txn, &outcome);
}

struct hf_commit hf_auth_commit(struct hf_auth_commit *by)
{
    return (struct hf_commit){commit_call, by};
}

/* ---- fields ---- */

hf_result hf_auth_keep(struct hf_call *call, struct hf_cursor bytes, struct hf_cursor *ret)
{
    uint8_t *copy = hf_scratch_alloc(call->scratch, HF_MAX(bytes.left, (size_t)1));
    if (copy == NULL)
        return HF_FAIL(NO_MEMORY);
    if (bytes.left != 0)
        memcpy(copy, bytes.at, bytes.left);
    *ret = hf_cursor(copy, bytes.left);
    return HF_DONE;
}

hf_result hf_auth_lower(struct hf_call *call, struct hf_cursor text, struct hf_cursor *ret)
{
    TRY(hf_auth_keep(call, text, ret));
    uint8_t *at = (uint8_t *)(uintptr_t)ret->at; /* our own copy */
    for (size_t i = 0; i < ret->left; i++)
        if (at[i] >= 'A' && at[i] <= 'Z')
            at[i] |= 0x20;
    return HF_DONE;
}

static struct hf_cursor trim(struct hf_cursor text)
{
    while (text.left != 0 &&
           (text.at[0] == ' ' || text.at[0] == '\t' || text.at[0] == '\n' || text.at[0] == '\r')) {
        text.at++;
        text.left--;
    }
    while (text.left != 0 && (text.at[text.left - 1] == ' ' || text.at[text.left - 1] == '\t' ||
                              text.at[text.left - 1] == '\n' || text.at[text.left - 1] == '\r'))
        text.left--;
    return text;
}

static hf_result put_item(struct hf_call *call, enum hf_list_case fold, struct hf_cursor text,
                          struct hf_tree_writer *w)
{
    text = trim(text);
    if (text.left == 0)
        return HF_DONE;
    if (fold == HF_LIST_LOWER)
        TRY(hf_auth_lower(call, text, &text));
    hf_tw_text(w, text);
    return HF_DONE;
}

static hf_result put_commas(struct hf_call *call, enum hf_list_case fold, struct hf_cursor text,
                            struct hf_tree_writer *w)
{
    while (text.left != 0) {
        const uint8_t *comma = memchr(text.at, ',', text.left);
        size_t len = comma == NULL ? text.left : (size_t)(comma - text.at);
        TRY(put_item(call, fold, hf_cursor(text.at, len), w));
        len += comma != NULL;
        text.at += len;
        text.left -= len;
    }
    return HF_DONE;
}

hf_result hf_auth_list(struct hf_call *call, const char *field, enum hf_list_case fold, struct hf_tree *list)
{
    struct hf_tree value = hf_tree_get(&call->args, field), item;
    if (value.tag == HF_TREE_NULL)
        return HF_DONE;
    if (value.tag != HF_TREE_TEXT && value.tag != HF_TREE_ARRAY)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "a list field is neither a list nor a text");
    size_t room = value.body.left * 4 + 64; /* "a,b": two items of one byte with a head of five each */
    uint8_t *bytes = hf_scratch_alloc(call->scratch, room);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(bytes, room);
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_tw_array(&w);
    if (value.tag == HF_TREE_TEXT) {
        TRY(put_commas(call, fold, value.body, &w));
    } else {
        struct hf_tree_iter iter = hf_tree_iterate(&value);
        struct hf_cursor unused;
        while (hf_tree_next(&iter, &unused, &item)) {
            if (item.tag != HF_TREE_TEXT)
                return hf_call_fail_about(call, HF_BAD_ARGUMENT, "a list must hold texts",
                                          hf_cursor_text(field));
            TRY(put_item(call, fold, item.body, &w));
        }
    }
    hf_tw_end(&w);
    TRY(hf_buf_ok(&out));
    return hf_tree_open(hf_buf_cursor(&out), list);
}

hf_result hf_auth_cidrs(struct hf_call *call, const char *field, struct hf_tree *list)
{
    TRY(hf_auth_list(call, field, HF_LIST_AS_IS, list));
    struct hf_tree_iter iter = hf_tree_iterate(list);
    struct hf_cursor unused;
    struct hf_tree item;
    struct hf_cidr cidr;
    while (hf_tree_next(&iter, &unused, &item))
        if (!HF_IS_OK(hf_cidr_parse(item.body, &cidr)))
            return hf_call_fail_about(call, HF_BAD_ARGUMENT, "not an address range", item.body);
    if (list->count > HF_TOKEN_CIDRS_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "too many address ranges");
    return HF_DONE;
}

bool hf_auth_list_has(const struct hf_tree *list, struct hf_cursor wanted)
{
    struct hf_tree_iter iter = hf_tree_iterate(list);
    struct hf_cursor unused;
    struct hf_tree item;
    while (hf_tree_next(&iter, &unused, &item))
        if (hf_cursor_same(item.body, wanted))
            return true;
    return false;
}

bool hf_auth_cidrs_have(const struct hf_tree *list, const uint8_t ip[16])
{
    struct hf_tree_iter iter = hf_tree_iterate(list);
    struct hf_cursor unused;
    struct hf_tree item;
    struct hf_cidr cidr;
    while (hf_tree_next(&iter, &unused, &item))
        if (HF_IS_OK(hf_cidr_parse(item.body, &cidr)) && hf_cidr_has(&cidr, ip))
            return true;
    return list->count == 0;
}

static hf_result put_meta_value(struct hf_call *call, struct hf_tree_writer *w, const struct hf_tree *item)
{
    char digits[24];
    struct hf_buf number = hf_buf(digits, sizeof(digits));
    switch (item->tag) {
    case HF_TREE_TEXT:
        hf_tw_text(w, item->body);
        return HF_DONE;
    case HF_TREE_TRUE:
    case HF_TREE_FALSE:
        hf_tw_text(w, hf_cursor_text(item->tag == HF_TREE_TRUE ? "true" : "false"));
        return HF_DONE;
    case HF_TREE_INT:
        if (item->number < 0)
            hf_buf_u8(&number, '-');
        hf_buf_decimal(&number, item->number < 0 ? 0 - (uint64_t)item->number : (uint64_t)item->number);
        hf_tw_text(w, hf_buf_cursor(&number));
        return HF_DONE;
    default:
        return hf_call_fail(call, HF_BAD_ARGUMENT, "metadata must be names with texts");
    }
}

hf_result hf_auth_metadata(struct hf_call *call, const char *field, struct hf_tree *ret_map)
{
    struct hf_tree value = hf_tree_get(&call->args, field), item;
    if (value.tag == HF_TREE_NULL || (value.tag == HF_TREE_TEXT && value.body.left == 0))
        return HF_DONE;
    if (value.body.left > HF_TOKEN_META_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "metadata is too large");
    size_t room = value.body.left * 10 + 256;
    uint8_t *bytes = hf_scratch_alloc(call->scratch, room * 2);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    if (value.tag == HF_TREE_TEXT) {
        struct hf_buf parsed = hf_buf(bytes + room, room);
        struct hf_tree_writer w = hf_tree_writer(&parsed);
        if (!HF_IS_OK(hf_json_to_tree(value.body, &w, NULL)) ||
            !HF_IS_OK(hf_tree_open(hf_buf_cursor(&parsed), &value)))
            return hf_call_fail(call, HF_BAD_ARGUMENT, "metadata is not JSON");
    }
    if (value.tag != HF_TREE_MAP)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "metadata must be names with texts");
    struct hf_buf out = hf_buf(bytes, room);
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_tree_iter iter = hf_tree_iterate(&value);
    struct hf_cursor key;
    hf_tw_map(&w);
    while (hf_tree_next(&iter, &key, &item)) {
        hf_tw_key(&w, key);
        TRY(put_meta_value(call, &w, &item));
    }
    hf_tw_end(&w);
    TRY(hf_buf_ok(&out));
    return hf_tree_open(hf_buf_cursor(&out), ret_map);
}

hf_result hf_auth_seconds(struct hf_call *call, const char *field, int64_t *seconds)
{
    int64_t ns = 0;
    if (hf_tree_get(&call->args, field).tag == HF_TREE_NULL)
        return HF_DONE;
    if (!HF_IS_OK(hf_tree_duration(&call->args, field, 0, &ns)) || ns < 0)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "not a duration", hf_cursor_text(field));
    *seconds = ns / HF_SECOND;
    return HF_DONE;
}

hf_result hf_auth_count(struct hf_call *call, const char *field, int64_t *count)
{
    int64_t value = *count;
    if (!HF_IS_OK(hf_tree_int(&call->args, field, *count, &value)) || value < 0)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "not a number from 0 on", hf_cursor_text(field));
    *count = value;
    return HF_DONE;
}

void hf_tw_k_list(struct hf_tree_writer *w, const char *key, const struct hf_tree *list)
{
    hf_tw_k(w, key);
    if (list->tag == HF_TREE_ARRAY) {
        hf_tw_copy(w, list);
        return;
    }
    hf_tw_array(w);
    hf_tw_end(w);
}

void hf_tw_accessor(struct hf_tree_writer *w, struct hf_id accessor)
{
    char text[HF_ID_TEXT_LEN];
    hf_id_text(accessor, text);
    hf_tw_text(w, hf_cursor(text, sizeof(text)));
}

void hf_tw_k_time(struct hf_tree_writer *w, const char *key, int64_t wall_ns)
{
    char text[40];
    struct hf_buf out = hf_buf(text, sizeof(text));
    hf_time_rfc3339(&out, wall_ns);
    hf_tw_k_slice(w, key, hf_buf_cursor(&out));
}

void hf_auth_note(struct hf_call *call, struct hf_id accessor)
{
    enum { PREFIX_LEN = 9 };
    char *text = hf_scratch_alloc(call->scratch, PREFIX_LEN + HF_ID_TEXT_LEN);
    if (text == NULL)
        return; /* the note is an extra */
    memcpy(text, "accessor ", PREFIX_LEN);
    hf_id_text(accessor, text + PREFIX_LEN);
    call->audit.note = hf_cursor(text, PREFIX_LEN + HF_ID_TEXT_LEN);
}

/* ---- token_* ---- */

void hf_token_params_read(const struct hf_tree *role, struct hf_token_params *ret)
{
    *ret = (struct hf_token_params){
        .policies = hf_tree_get(role, "token_policies"),
        .bound_cidrs = hf_tree_get(role, "token_bound_cidrs"),
        .ttl_s = hf_tree_get(role, "token_ttl").number,
        .max_ttl_s = hf_tree_get(role, "token_max_ttl").number,
        .explicit_max_ttl_s = hf_tree_get(role, "token_explicit_max_ttl").number,
        .period_s = hf_tree_get(role, "token_period").number,
        .num_uses = hf_tree_get(role, "token_num_uses").number,
        .no_default_policy = hf_tree_get(role, "token_no_default_policy").tag == HF_TREE_TRUE,
    };
}

/* The older names without "token_" are read first, so that the newer ones win. */
hf_result hf_token_params_update(struct hf_call *call, struct hf_token_params *params)
{
    struct hf_cursor type = {0};
    TRY(hf_auth_list(call, "policies", HF_LIST_LOWER, &params->policies));
    TRY(hf_auth_list(call, "token_policies", HF_LIST_LOWER, &params->policies));
    TRY(hf_auth_cidrs(call, "bound_cidrs", &params->bound_cidrs));
    TRY(hf_auth_cidrs(call, "token_bound_cidrs", &params->bound_cidrs));
    TRY(hf_auth_seconds(call, "ttl", &params->ttl_s));
    TRY(hf_auth_seconds(call, "token_ttl", &params->ttl_s));
    TRY(hf_auth_seconds(call, "max_ttl", &params->max_ttl_s));
    TRY(hf_auth_seconds(call, "token_max_ttl", &params->max_ttl_s));
    TRY(hf_auth_seconds(call, "explicit_max_ttl", &params->explicit_max_ttl_s));
    TRY(hf_auth_seconds(call, "token_explicit_max_ttl", &params->explicit_max_ttl_s));
    TRY(hf_auth_seconds(call, "period", &params->period_s));
    TRY(hf_auth_seconds(call, "token_period", &params->period_s));
    TRY(hf_auth_count(call, "token_num_uses", &params->num_uses));
    TRY(hf_tree_bool(&call->args, "token_no_default_policy", params->no_default_policy,
                     &params->no_default_policy));
    TRY(hf_tree_text(&call->args, "token_type", &type));
    if (hf_cursor_is(type, "batch") || hf_cursor_is(type, "default-batch"))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "batch tokens are not supported");
    if (params->policies.count >= HF_TOKEN_POLICIES_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "too many policies");
    if (hf_auth_list_has(&params->policies, hf_cursor_text("root")))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "policy root cannot be given by an auth method");
    if (params->max_ttl_s != 0 && params->ttl_s > params->max_ttl_s)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "token_ttl is greater than token_max_ttl");
    return HF_DONE;
}

void hf_token_params_write(const struct hf_token_params *params, struct hf_tree_writer *w)
{
    hf_tw_k_list(w, "token_bound_cidrs", &params->bound_cidrs);
    hf_tw_k_int(w, "token_explicit_max_ttl", params->explicit_max_ttl_s);
    hf_tw_k_int(w, "token_max_ttl", params->max_ttl_s);
    hf_tw_k_bool(w, "token_no_default_policy", params->no_default_policy);
    hf_tw_k_int(w, "token_num_uses", params->num_uses);
    hf_tw_k_int(w, "token_period", params->period_s);
    hf_tw_k_list(w, "token_policies", &params->policies);
    hf_tw_k_int(w, "token_ttl", params->ttl_s);
    hf_tw_k_text(w, "token_type", "default");
}

/* ---- login ---- */

static size_t policies_of(const struct hf_token_params *params,
                          struct hf_cursor ret[static HF_TOKEN_POLICIES_MAX])
{
    size_t count = 0;
    struct hf_tree_iter iter = hf_tree_iterate(&params->policies);
    struct hf_cursor unused;
    struct hf_tree item;
    while (count < HF_TOKEN_POLICIES_MAX - 1 && hf_tree_next(&iter, &unused, &item))
        ret[count++] = item.body;
    if (!params->no_default_policy)
        ret[count++] = hf_cursor_text("default");
    return count;
}

static int64_t least_set(int64_t a, int64_t b) /* 0: not set */
{
    return a == 0 ? b : b == 0 ? a : HF_MIN(a, b);
}

hf_result hf_auth_login(struct hf_core *core, struct hf_call *call, const struct hf_login *login,
                        struct hf_txn *txn)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    const struct hf_token_params *params = login->params;
    struct hf_cursor policies[HF_TOKEN_POLICIES_MAX];
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    int64_t mount_default = call->mount != NULL ? call->mount->default_lease_ttl_ns : 0;
    int64_t mount_max = call->mount != NULL ? call->mount->max_lease_ttl_ns : 0;
    struct hf_token_spec spec = {
        .ns = call->ns,
        .policies = policies,
        .policy_count = policies_of(params, policies),
        .meta = login->meta,
        .cidrs = params->bound_cidrs,
        .display_name = login->display_name,
        .path = login->path,
        .role = login->role,
        .ttl_ns = params->ttl_s * HF_SECOND,
        .default_ttl_ns = mount_default != 0 ? mount_default : core->config.default_lease_ttl_ns,
        .max_ttl_ns = least_set(params->max_ttl_s * HF_SECOND,
                                mount_max != 0 ? mount_max : core->config.max_lease_ttl_ns),
        .explicit_max_ttl_ns = params->explicit_max_ttl_s * HF_SECOND,
        .period_ns = params->period_s * HF_SECOND,
        .num_uses = (uint64_t)params->num_uses,
        .renewable = login->renewable,
    };
    const struct hf_token_info *info;
    uint8_t text[HF_TOKEN_TEXT_MAX];
    struct hf_buf token = hf_buf(text, sizeof(text));
    hf_result made = hf_token_create(u->policy, &spec, txn, &commit, &token, &info);
    if (HF_IS_OK(made)) {
        call->audit.accessor = info->accessor;
        hf_auth_answer(call, hf_buf_cursor(&token), info);
    }
    hf_wipe(text, sizeof(text));
    return made;
}

/* The clock may have gone on between the call's arrival and what it made. */
int64_t hf_auth_time_left(const struct hf_call *call, const struct hf_token_info *info)
{
    int64_t now = HF_MAX(call->now_ns, HF_MAX(info->created_ns, info->renewed_ns));
    return info->expires_ns == 0 ? 0 : HF_MAX(info->expires_ns - now, INT64_C(0));
}

void hf_auth_answer(struct hf_call *call, struct hf_cursor token, const struct hf_token_info *info)
{
    struct hf_tree_writer *w = call->w;
    int64_t left = hf_auth_time_left(call, info);
    call->shape = HF_ANSWER_AUTH;
    hf_tw_map(w);
    hf_tw_k_slice(w, "client_token", token);
    hf_tw_k(w, "accessor");
    hf_tw_accessor(w, info->accessor);
    for (int twice = 0; twice < 2; twice++) {
        hf_tw_k(w, twice == 0 ? "policies" : "token_policies");
        hf_tw_array(w);
        for (size_t i = 0; i < info->policy_count; i++)
            hf_tw_text(w, info->policies[i]);
        hf_tw_end(w);
    }
    hf_tw_k(w, "metadata");
    hf_tw_copy(w, &info->meta);
    hf_tw_k_int(w, "lease_duration", (left + HF_SECOND - 1) / HF_SECOND);
    hf_tw_k_bool(w, "renewable", info->renewable);
    hf_tw_k_text(w, "entity_id", "");
    hf_tw_k_text(w, "token_type", "service");
    hf_tw_k_bool(w, "orphan", info->orphan);
    hf_tw_k(w, "mfa_requirement");
    hf_tw_null(w);
    hf_tw_k_int(w, "num_uses", (int64_t)info->num_uses);
    hf_tw_end(w);
}
