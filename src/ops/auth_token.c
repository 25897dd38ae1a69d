/* auth/token: making, looking at, renewing and revoking tokens. */
#include "ops/auth.h"
#include "ops/handlers.h"

#include "base/encode.h"

static struct hf_policy *policy_of(struct hf_core *core)
{
    return hf_core_unsealed(core)->policy;
}

static hf_result no_token(struct hf_call *call, hf_result result)
{
    /* A token that is not there and one that one may not know of are the same. */
    return result.code == HF_NOT_FOUND ? hf_call_fail(call, HF_DENIED, "bad token") : result;
}

/* ---- which token a call is about ---- */

static hf_result token_arg(struct hf_core *core, struct hf_call *call, struct hf_id *ret_accessor,
                           struct hf_cursor *ret_text)
{
    struct hf_cursor text = {0};
    TRY(hf_tree_text(&call->args, "token", &text));
    if (text.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing token");
    TRY(no_token(call, hf_token_accessor(policy_of(core), call->ns, text, ret_accessor)));
    *ret_text = text;
    return HF_DONE;
}

static hf_result accessor_arg(struct hf_call *call, struct hf_id *ret_accessor)
{
    struct hf_cursor text = {0};
    TRY(hf_tree_text(&call->args, "accessor", &text));
    if (text.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing accessor");
    if (!HF_IS_OK(hf_id_parse(text, ret_accessor)))
        return hf_call_fail(call, HF_DENIED, "invalid accessor");
    return HF_DONE;
}

static hf_result no_accessor(struct hf_call *call, hf_result result)
{
    return result.code == HF_NOT_FOUND ? hf_call_fail(call, HF_DENIED, "invalid accessor") : result;
}

/* ---- lookup ---- */

static int64_t seconds(int64_t ns)
{
    return ns / HF_SECOND;
}

static void answer_lookup(struct hf_call *call, struct hf_cursor id, const struct hf_token_info *info)
{
    struct hf_tree_writer *w = call->w;
    int64_t left = hf_auth_time_left(call, info);
    hf_tw_map(w);
    hf_tw_k(w, "accessor");
    hf_tw_accessor(w, info->accessor);
    hf_tw_k_int(w, "creation_time", seconds(info->created_ns));
    hf_tw_k_int(w, "creation_ttl", seconds(info->ttl_ns));
    hf_tw_k_slice(w, "display_name", info->display_name);
    hf_tw_k_text(w, "entity_id", "");
    if (info->expires_ns != 0) {
        hf_tw_k_time(w, "expire_time", info->expires_ns);
        hf_tw_k_time(w, "issue_time", info->created_ns);
    } else {
        hf_tw_k(w, "expire_time");
        hf_tw_null(w);
    }
    hf_tw_k_int(w, "explicit_max_ttl", seconds(info->explicit_max_ttl_ns));
    hf_tw_k_slice(w, "id", id);
    if (info->renewed_ns != 0) {
        hf_tw_k_time(w, "last_renewal", info->renewed_ns);
        hf_tw_k_int(w, "last_renewal_time", seconds(info->renewed_ns));
    }
    hf_tw_k(w, "meta");
    hf_tw_copy(w, &info->meta);
    hf_tw_k_int(w, "num_uses", (int64_t)info->num_uses);
    hf_tw_k_bool(w, "orphan", info->orphan);
    hf_tw_k_slice(w, "path", info->path);
    if (info->period_ns != 0)
        hf_tw_k_int(w, "period", seconds(info->period_ns));
    hf_tw_k(w, "policies");
    hf_tw_array(w);
    for (size_t i = 0; i < info->policy_count; i++)
        hf_tw_text(w, info->policies[i]);
    hf_tw_end(w);
    hf_tw_k_bool(w, "renewable", info->renewable);
    if (info->role.left != 0)
        hf_tw_k_slice(w, "role", info->role);
    if (info->cidrs.count != 0)
        hf_tw_k_list(w, "bound_cidrs", &info->cidrs);
    hf_tw_k_int(w, "ttl", (left + HF_SECOND - 1) / HF_SECOND);
    hf_tw_k_text(w, "type", "service");
    hf_tw_end(w);
}

HF_HANDLER(hf_auth_token_lookup_self)
{
    (void)core;
    answer_lookup(call, call->wire.token, hf_identity_token(call->identity));
    return HF_DONE;
}

HF_HANDLER(hf_auth_token_lookup)
{
    struct hf_id accessor;
    struct hf_cursor text = {0};
    const struct hf_token_info *info;
    TRY(token_arg(core, call, &accessor, &text));
    TRY(no_token(call, hf_token_find(policy_of(core), call->ns, accessor, &info)));
    answer_lookup(call, text, info);
    return HF_DONE;
}

HF_HANDLER(hf_auth_token_lookup_accessor)
{
    struct hf_id accessor;
    const struct hf_token_info *info;
    TRY(accessor_arg(call, &accessor));
    TRY(no_accessor(call, hf_token_find(policy_of(core), call->ns, accessor, &info)));
    answer_lookup(call, hf_cursor_text(""), info);
    return HF_DONE;
}

static bool put_accessor(void *arg, struct hf_id accessor)
{
    struct hf_tree_writer *w = arg;
    hf_tw_accessor(w, accessor);
    return !w->out->overflow;
}

HF_HANDLER(hf_auth_token_accessors)
{
    hf_tw_map(call->w);
    hf_tw_k(call->w, "keys");
    hf_tw_array(call->w);
    TRY(hf_token_accessors(policy_of(core), call->ns, put_accessor, call->w));
    hf_tw_end(call->w);
    hf_tw_end(call->w);
    return HF_DONE;
}

/* ---- create ---- */

enum kind { CHILD, ORPHAN, BY_ROLE };

struct making {
    struct hf_token_spec spec;
    struct hf_cursor policies[HF_TOKEN_POLICIES_MAX];
    struct hf_tree asked; /* ARRAY of TEXT, or NULL: none named */
    bool privileged;      /* root, or sudo on this path */
    bool no_default;
    int64_t ttl_s, explicit_max_s, period_s, num_uses;
};

static bool parent_has(const struct hf_token_info *parent, struct hf_cursor name)
{
    for (size_t i = 0; i < parent->policy_count; i++)
        if (hf_cursor_same(parent->policies[i], name))
            return true;
    return false;
}

static bool glob_fits(struct hf_cursor glob, struct hf_cursor name)
{
    if (glob.left != 0 && glob.at[glob.left - 1] == '*') {
        glob.left--;
        return name.left >= glob.left &&
               (glob.left == 0 || memcmp(name.at, glob.at, glob.left) == 0); /* public */
    }
    return hf_cursor_same(glob, name);
}

static bool any_glob_fits(const struct hf_tree *globs, struct hf_cursor name)
{
    struct hf_tree_iter iter = hf_tree_iterate(globs);
    struct hf_cursor unused;
    struct hf_tree item;
    while (hf_tree_next(&iter, &unused, &item))
        if (glob_fits(item.body, name))
            return true;
    return false;
}

static hf_result add_policy(struct hf_call *call, struct making *m, struct hf_cursor name)
{
    if (m->spec.policy_count == HF_TOKEN_POLICIES_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "too many policies");
    if (name.left > HF_POLICY_NAME_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "policy name is too long");
    m->policies[m->spec.policy_count++] = name;
    return HF_DONE;
}

static hf_result add_default(struct hf_call *call, struct making *m, const struct hf_token_info *parent)
{
    struct hf_cursor name = hf_cursor_text("default");
    bool root = false;
    for (size_t i = 0; i < m->spec.policy_count; i++)
        root |= hf_cursor_is(m->policies[i], "root");
    if (m->no_default || root || (parent != NULL && !m->privileged && !parent_has(parent, name)))
        return HF_DONE;
    return add_policy(call, m, name);
}

/* A child has its parent's policies, or some of them; only the privileged give others, and only root gives root. */
static hf_result choose_policies(struct hf_call *call, struct making *m, const struct hf_token_info *parent)
{
    if (m->asked.count == 0) {
        for (size_t i = 0; i < parent->policy_count; i++)
            if (!(m->no_default && hf_cursor_is(parent->policies[i], "default")))
                TRY(add_policy(call, m, parent->policies[i]));
        return HF_DONE;
    }
    struct hf_tree_iter iter = hf_tree_iterate(&m->asked);
    struct hf_cursor unused;
    struct hf_tree item;
    while (hf_tree_next(&iter, &unused, &item)) {
        if (hf_cursor_is(item.body, "root") && !parent->root)
            return hf_call_fail(call, HF_BAD_ARGUMENT,
                                "root tokens may not be created without parent token being root");
        if (!m->privileged && !parent_has(parent, item.body))
            return hf_call_fail(call, HF_BAD_ARGUMENT, "child policies must be subset of parent");
        TRY(add_policy(call, m, item.body));
    }
    return add_default(call, m, parent);
}

/* With a role: what it allows, of what was asked for; all that it allows where nothing was. */
static hf_result choose_by_role(struct hf_call *call, struct making *m, const struct hf_tree *role,
                                const struct hf_token_info *parent)
{
    struct hf_tree allowed = hf_tree_get(role, "allowed_policies"),
                   globs = hf_tree_get(role, "allowed_policies_glob");
    struct hf_tree never = hf_tree_get(role, "disallowed_policies"),
                   never_globs = hf_tree_get(role, "disallowed_policies_glob");
    bool limited = allowed.count != 0 || globs.count != 0;
    struct hf_tree chosen = m->asked.count != 0 ? m->asked : allowed;
    if (!limited && m->asked.count == 0) {
        for (size_t i = 0; i < parent->policy_count; i++) {
            if (any_glob_fits(&never_globs, parent->policies[i]) ||
                hf_auth_list_has(&never, parent->policies[i]))
                return hf_call_fail(call, HF_BAD_ARGUMENT, "the role disallows a policy of the parent token");
            TRY(add_policy(call, m, parent->policies[i]));
        }
        return HF_DONE;
    }
    struct hf_tree_iter iter = hf_tree_iterate(&chosen);
    struct hf_cursor unused;
    struct hf_tree item;
    while (hf_tree_next(&iter, &unused, &item)) {
        struct hf_cursor name = item.body;
        bool is_default = hf_cursor_is(name, "default");
        if (limited && !is_default && !hf_auth_list_has(&allowed, name) && !any_glob_fits(&globs, name))
            return hf_call_fail_about(call, HF_BAD_ARGUMENT, "the role does not allow policy", name);
        if (any_glob_fits(&never_globs, name) || hf_auth_list_has(&never, name))
            return hf_call_fail_about(call, HF_BAD_ARGUMENT, "the role disallows policy", name);
        if (hf_cursor_is(name, "root") && !parent->root)
            return hf_call_fail(call, HF_BAD_ARGUMENT,
                                "root tokens may not be created without parent token being root");
        if (!limited && !m->privileged && !is_default && !parent_has(parent, name))
            return hf_call_fail(call, HF_BAD_ARGUMENT, "child policies must be subset of parent");
        TRY(add_policy(call, m, name));
    }
    if (hf_auth_list_has(&never, hf_cursor_text("default")))
        return HF_DONE;
    return add_default(call, m, NULL);
}

static hf_result read_request(struct hf_call *call, struct making *m)
{
    struct hf_cursor type = {0}, alias = {0}, name = {0};
    TRY(hf_auth_list(call, "policies", HF_LIST_LOWER, &m->asked));
    TRY(hf_auth_seconds(call, "lease", &m->ttl_s));
    TRY(hf_auth_seconds(call, "ttl", &m->ttl_s));
    TRY(hf_auth_seconds(call, "explicit_max_ttl", &m->explicit_max_s));
    TRY(hf_auth_seconds(call, "period", &m->period_s));
    TRY(hf_auth_count(call, "num_uses", &m->num_uses));
    TRY(hf_tree_bool(&call->args, "no_default_policy", false, &m->no_default));
    TRY(hf_tree_bool(&call->args, "renewable", true, &m->spec.renewable));
    TRY(hf_auth_metadata(call, "meta", &m->spec.meta));
    TRY(hf_tree_text(&call->args, "id", &m->spec.id));
    TRY(hf_tree_text(&call->args, "type", &type));
    TRY(hf_tree_text(&call->args, "entity_alias", &alias));
    TRY(hf_tree_text(&call->args, "display_name", &name));
    if (type.left != 0 && !hf_cursor_is(type, "service"))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "only tokens of type service are supported");
    if (alias.left != 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "entity aliases are not supported");
    uint8_t shown[HF_TOKEN_PATH_MAX];
    struct hf_buf out = hf_buf(shown, sizeof(shown));
    hf_buf_text(&out, name.left == 0 ? "token" : "token-");
    for (size_t i = 0; i < name.left; i++)
        hf_buf_u8(&out, name.at[i] > ' ' && name.at[i] != 0x7f ? name.at[i] : '-');
    if (out.overflow)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "display_name is too long");
    return hf_auth_keep(call, hf_buf_cursor(&out), &m->spec.display_name);
}

static hf_result check_privileged(struct hf_call *call, const struct making *m, bool no_parent)
{
    if (m->privileged)
        return HF_DONE;
    if (m->spec.id.left != 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "root or sudo privileges required to specify token id");
    if (no_parent)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "root or sudo privileges required to create orphan token");
    if (m->period_s != 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "root or sudo privileges required to create periodic token");
    return HF_DONE;
}

/* The role's own times bound what was asked for. */
static void apply_role(struct making *m, const struct hf_tree *role)
{
    struct hf_token_params params;
    hf_token_params_read(role, &params);
    if (params.period_s != 0)
        m->period_s = params.period_s;
    if (params.explicit_max_ttl_s != 0)
        m->explicit_max_s = m->explicit_max_s == 0 ? params.explicit_max_ttl_s
                                                   : HF_MIN(m->explicit_max_s, params.explicit_max_ttl_s);
    if (params.num_uses != 0)
        m->num_uses = m->num_uses == 0 ? params.num_uses : HF_MIN(m->num_uses, params.num_uses);
    m->no_default |= params.no_default_policy;
    m->spec.cidrs = params.bound_cidrs;
    if (hf_tree_get(role, "renewable").tag == HF_TREE_FALSE)
        m->spec.renewable = false;
}

static hf_result make(struct hf_core *core, struct hf_call *call, struct making *m)
{
    const struct hf_token_info *parent = hf_identity_token(call->identity), *info;
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    bool root = false;
    for (size_t i = 0; i < m->spec.policy_count; i++)
        root |= hf_cursor_is(m->policies[i], "root");
    if (root && parent->expires_ns != 0 && m->ttl_s == 0 && m->explicit_max_s == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "expiring root tokens cannot create non-expiring root tokens");
    m->spec.ns = call->ns;
    m->spec.policies = m->policies;
    m->spec.ttl_ns = m->ttl_s * HF_SECOND;
    m->spec.explicit_max_ttl_ns = m->explicit_max_s * HF_SECOND;
    m->spec.period_ns = m->period_s * HF_SECOND;
    m->spec.num_uses = (uint64_t)m->num_uses;
    m->spec.default_ttl_ns = core->config.default_lease_ttl_ns;
    m->spec.max_ttl_ns = core->config.max_lease_ttl_ns;
    if (m->spec.max_ttl_ns != 0 && m->period_s == 0 && m->spec.ttl_ns > m->spec.max_ttl_ns)
        hf_call_warn(call, "the ttl is more than this server allows; it was cut");
    uint8_t text[HF_TOKEN_TEXT_MAX];
    struct hf_buf token = hf_buf(text, sizeof(text));
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(hf_core_unsealed(core)->records, &txn));
    hf_result made = hf_token_create(policy_of(core), &m->spec, txn, &commit, &token, &info);
    if (HF_IS_OK(made))
        hf_auth_answer(call, hf_buf_cursor(&token), info);
    hf_wipe(text, sizeof(text));
    if (made.code == HF_BAD_ARGUMENT && call->error[0] == '\0')
        return hf_call_fail(call, HF_BAD_ARGUMENT, "the token cannot be made as asked for");
    if (made.code == HF_EXISTS)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "cannot create a token with a duplicate ID");
    return made;
}

static hf_result create(struct hf_core *core, struct hf_call *call, enum kind kind)
{
    struct making *m = hf_scratch_alloc(call->scratch, sizeof(*m));
    bool no_parent = false;
    if (m == NULL)
        return HF_FAIL(NO_MEMORY);
    const struct hf_token_info *parent = hf_identity_token(call->identity);
    if (parent->num_uses != 0 || call->identity->uses_left != 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "restricted use token cannot generate child tokens");
    m->privileged =
        (hf_identity_capabilities(policy_of(core), call->identity, call->acl_path) & HF_CAP_SUDO) != 0;
    TRY(read_request(call, m));
    TRY(hf_tree_bool(&call->args, "no_parent", false, &no_parent));
    TRY(check_privileged(call, m, no_parent && kind == CHILD));
    m->spec.path = call->wire.path;
    struct hf_role role = {0};
    if (kind == BY_ROLE) {
        TRY(hf_role_load(core, call, "token", hf_call_param(call, "role"), &role));
        if (role.rev == 0)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "unknown role");
        m->spec.role = hf_call_param(call, "role");
        apply_role(m, &role.map);
        TRY(choose_by_role(call, m, &role.map, parent));
    } else {
        TRY(choose_policies(call, m, parent));
    }
    /* The tree of tokens stays within a namespace: made from above, a token is an orphan. */
    bool from_above = !hf_cursor_same(call->identity->ns, call->ns);
    bool orphan =
        kind == ORPHAN || no_parent || from_above || hf_tree_get(&role.map, "orphan").tag == HF_TREE_TRUE;
    m->spec.parent = orphan ? NULL : call->identity;
    return make(core, call, m);
}

HF_HANDLER(hf_auth_token_create)
{
    return create(core, call, CHILD);
}

HF_HANDLER(hf_auth_token_create_orphan)
{
    return create(core, call, ORPHAN);
}

HF_HANDLER(hf_auth_token_create_role)
{
    return create(core, call, BY_ROLE);
}

/* ---- renew ---- */

static hf_result renew(struct hf_core *core, struct hf_call *call, struct hf_id accessor,
                       struct hf_cursor text)
{
    int64_t increment_s = 0;
    const struct hf_token_info *info;
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    TRY(hf_auth_seconds(call, "increment", &increment_s));
    hf_auth_note(call, accessor);
    hf_result renewed =
        hf_token_renew(policy_of(core), call->ns, accessor, increment_s * HF_SECOND, &commit, &info);
    if (renewed.code == HF_BAD_ARGUMENT)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "lease is not renewable");
    TRY(no_token(call, renewed));
    hf_auth_answer(call, text, info);
    return HF_DONE;
}

HF_HANDLER(hf_auth_token_renew_self)
{
    return renew(core, call, call->identity->accessor, call->wire.token);
}

HF_HANDLER(hf_auth_token_renew)
{
    struct hf_id accessor;
    struct hf_cursor text = {0};
    TRY(token_arg(core, call, &accessor, &text));
    return renew(core, call, accessor, text);
}

HF_HANDLER(hf_auth_token_renew_accessor)
{
    struct hf_id accessor;
    TRY(accessor_arg(call, &accessor));
    return renew(core, call, accessor, hf_cursor_text(""));
}

/* ---- revoke ---- */

enum whole { TREE, ALONE };

static hf_result revoke(struct hf_core *core, struct hf_call *call, struct hf_id accessor, enum whole whole)
{
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    hf_auth_note(call, accessor);
    call->shape = HF_ANSWER_NONE;
    if (whole == ALONE)
        return hf_token_revoke_orphan(policy_of(core), call->ns, accessor, &commit);
    return hf_token_revoke(policy_of(core), call->ns, accessor, &commit);
}

static hf_result gone_is_well(hf_result result)
{
    return result.code == HF_NOT_FOUND ? HF_DONE : result;
}

HF_HANDLER(hf_auth_token_revoke_self)
{
    return gone_is_well(
        revoke(core, call, call->identity->accessor, TREE)); /* its last use may have ended it */
}

static hf_result revoke_named(struct hf_core *core, struct hf_call *call, enum whole whole)
{
    struct hf_id accessor;
    struct hf_cursor text = {0};
    TRY(hf_tree_text(&call->args, "token", &text));
    if (text.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing token");
    call->shape = HF_ANSWER_NONE;
    hf_result known = hf_token_accessor(policy_of(core), call->ns, text, &accessor);
    if (HF_IS_OK(known))
        known = revoke(core, call, accessor, whole);
    return gone_is_well(known);
}

HF_HANDLER(hf_auth_token_revoke)
{
    return revoke_named(core, call, TREE);
}

HF_HANDLER(hf_auth_token_revoke_orphan)
{
    return revoke_named(core, call, ALONE);
}

HF_HANDLER(hf_auth_token_revoke_accessor)
{
    struct hf_id accessor;
    TRY(accessor_arg(call, &accessor));
    return no_accessor(call, revoke(core, call, accessor, TREE));
}

HF_HANDLER(hf_auth_token_tidy)
{
    TRY(hf_tokens_tidy(policy_of(core), call->now_ns));
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

/* ---- roles ---- */

HF_HANDLER(hf_auth_token_role_write)
{
    struct hf_role role;
    struct hf_token_params params;
    struct hf_cursor suffix = {0};
    bool orphan, renewable;
    TRY(hf_role_load(core, call, "token", hf_call_param(call, "role"), &role));
    TRY(hf_call_needs(core, call, role.rev == 0 ? HF_CAP_CREATE : HF_CAP_UPDATE));
    hf_token_params_read(&role.map, &params);
    TRY(hf_token_params_update(call, &params));
    static const char *const lists[] = {"allowed_policies", "allowed_policies_glob", "disallowed_policies",
                                        "disallowed_policies_glob"};
    struct hf_tree values[HF_ARRAY_LEN(lists)];
    for (size_t i = 0; i < HF_ARRAY_LEN(lists); i++) {
        values[i] = hf_tree_get(&role.map, lists[i]);
        TRY(hf_auth_list(call, lists[i], HF_LIST_LOWER, &values[i]));
    }
    TRY(hf_tree_bool(&call->args, "orphan", hf_tree_get(&role.map, "orphan").tag == HF_TREE_TRUE, &orphan));
    TRY(hf_tree_bool(&call->args, "renewable", hf_tree_get(&role.map, "renewable").tag != HF_TREE_FALSE,
                     &renewable));
    TRY(hf_tree_text(&call->args, "path_suffix", &suffix));
    if (suffix.left != 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "path_suffix is not supported");
    uint8_t *bytes = hf_scratch_alloc(call->scratch, HF_ROLE_BYTES_MAX);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf plain = hf_buf(bytes, HF_ROLE_BYTES_MAX);
    struct hf_tree_writer w = hf_tree_writer(&plain);
    hf_tw_map(&w);
    for (size_t i = 0; i < HF_ARRAY_LEN(lists); i++)
        hf_tw_k_list(&w, lists[i], &values[i]);
    hf_tw_k_slice(&w, "name", hf_call_param(call, "role"));
    hf_tw_k_bool(&w, "orphan", orphan);
    hf_tw_k_text(&w, "path_suffix", "");
    hf_tw_k_bool(&w, "renewable", renewable);
    hf_token_params_write(&params, &w);
    hf_tw_end(&w);
    TRY(hf_buf_ok(&plain));
    return hf_role_save(core, call, &role, hf_buf_cursor(&plain));
}

HF_HANDLER(hf_auth_token_role_read)
{
    struct hf_role role;
    TRY(hf_role_load(core, call, "token", hf_call_param(call, "role"), &role));
    if (role.rev == 0)
        return HF_FAIL(NOT_FOUND);
    hf_tw_copy(call->w, &role.map);
    return HF_DONE;
}

HF_HANDLER(hf_auth_token_role_list)
{
    return hf_role_list(core, call, "token");
}

HF_HANDLER(hf_auth_token_role_delete)
{
    return hf_role_delete(core, call, "token", hf_call_param(call, "role"));
}
