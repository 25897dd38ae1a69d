/* sys/policies/acl, the older sys/policy, and what a token may do on a path. */
#include "ops/auth.h"
#include "ops/handlers.h"

#include "base/encode.h"

#include <stdio.h>

static struct hf_policy *policy_of(struct hf_core *core)
{
    return hf_core_unsealed(core)->policy;
}

static hf_result name_param(struct hf_call *call, struct hf_cursor *ret_name)
{
    TRY(hf_auth_lower(call, hf_call_param(call, "name"), ret_name));
    if (ret_name->left == 0 || ret_name->left > HF_POLICY_NAME_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "a policy's name has 1 to 128 characters");
    return HF_DONE;
}

HF_HANDLER(hf_sys_policy_list)
{
    call->shape = HF_ANSWER_BOTH;
    hf_tw_map(call->w);
    hf_tw_k(call->w, "keys");
    TRY(hf_acl_names(policy_of(core), call->ns, call->w));
    hf_tw_k(call->w, "policies"); /* as older clients ask for it */
    TRY(hf_acl_names(policy_of(core), call->ns, call->w));
    hf_tw_end(call->w);
    return HF_DONE;
}

HF_HANDLER(hf_sys_policy_read)
{
    struct hf_cursor name = {0};
    TRY(name_param(call, &name));
    uint8_t *bytes = hf_scratch_alloc(call->scratch, HF_POLICY_TEXT_MAX);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf text = hf_buf(bytes, HF_POLICY_TEXT_MAX);
    hf_result got = hf_acl_get(policy_of(core), call->ns, name, &text);
    if (got.code == HF_NOT_FOUND)
        return hf_call_fail(call, HF_NOT_FOUND, "no such policy");
    TRY(got);
    call->shape = HF_ANSWER_BOTH;
    hf_tw_map(call->w);
    hf_tw_k_slice(call->w, "name", name);
    hf_tw_k_slice(call->w, "policy", hf_buf_cursor(&text));
    hf_tw_k_slice(call->w, "rules", hf_buf_cursor(&text));
    hf_tw_end(call->w);
    return HF_DONE;
}

/* Some clients send the text in base64; no policy reads as base64 by chance, since it needs blanks or braces. */
static hf_result policy_text(struct hf_call *call, struct hf_cursor *ret_text)
{
    struct hf_cursor text = {0};
    TRY(hf_tree_text(&call->args, "policy", &text));
    if (text.left == 0)
        TRY(hf_tree_text(&call->args, "rules", &text));
    if (text.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "'policy' parameter not supplied or empty");
    if (text.left > HF_POLICY_TEXT_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "policy is too large");
    uint8_t *bytes = hf_scratch_alloc(call->scratch, text.left);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf decoded = hf_buf(bytes, text.left);
    if (HF_IS_OK(hf_base64_decode(&decoded, text)) && hf_utf8_valid(hf_buf_cursor(&decoded)))
        text = hf_buf_cursor(&decoded);
    *ret_text = text;
    return HF_DONE;
}

HF_HANDLER(hf_sys_policy_write)
{
    struct hf_cursor name = {0}, text = {0};
    struct hf_store_outcome outcome;
    char reason[HF_POLICY_REASON_MAX];
    TRY(name_param(call, &name));
    TRY(policy_text(call, &text));
    if (hf_cursor_is(name, "root"))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "cannot update \"root\" policy");
    hf_result checked = hf_acl_check_text(text, reason, sizeof(reason));
    if (checked.code == HF_BAD_ARGUMENT) {
        char words[HF_POLICY_REASON_MAX + 32];
        snprintf(words, sizeof(words), "failed to parse policy: %s", reason);
        return hf_call_fail(call, HF_BAD_ARGUMENT, words);
    }
    TRY(checked);
    for (unsigned tries = 0; tries < 8; tries++) {
        CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
        TRY(hf_txn_begin(hf_core_unsealed(core)->records, &txn));
        hf_result put = hf_acl_put(policy_of(core), txn, call->ns, name, text);
        if (put.code == HF_BAD_ARGUMENT)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "this name cannot be a policy's");
        TRY(put);
        call->audit.note = name;
        hf_result done = hf_call_commit(core, call, txn, &outcome);
        if (done.code == HF_CONFLICT)
            continue; /* two operators at once: the later one stands */
        TRY(done);
        hf_acl_changed(policy_of(core), call->ns, name);
        call->shape = HF_ANSWER_NONE;
        return HF_DONE;
    }
    return HF_FAIL(CONFLICT);
}

HF_HANDLER(hf_sys_policy_delete)
{
    struct hf_cursor name = {0};
    struct hf_store_outcome outcome;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(name_param(call, &name));
    TRY(hf_txn_begin(hf_core_unsealed(core)->records, &txn));
    hf_result deleted = hf_acl_delete(policy_of(core), txn, call->ns, name);
    call->shape = HF_ANSWER_NONE;
    if (deleted.code == HF_BAD_ARGUMENT)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "cannot delete policy", name);
    if (deleted.code == HF_NOT_FOUND)
        return HF_DONE;
    TRY(deleted);
    call->audit.note = name;
    TRY(hf_call_commit(core, call, txn, &outcome));
    hf_acl_changed(policy_of(core), call->ns, name);
    return HF_DONE;
}

/* ---- capabilities ---- */

static void put_capabilities(struct hf_core *core, struct hf_call *call, const struct hf_identity *identity,
                             struct hf_cursor path)
{
    static const struct {
        uint32_t cap;
        const char *name;
    } names[] = {
        {HF_CAP_CREATE, "create"}, {HF_CAP_DELETE, "delete"}, {HF_CAP_LIST, "list"},
        {HF_CAP_PATCH, "patch"},   {HF_CAP_READ, "read"},     {HF_CAP_SUDO, "sudo"},
        {HF_CAP_UPDATE, "update"},
    };
    struct hf_tree_writer *w = call->w;
    if (path.left != 0 && path.at[0] == '/') {
        path.at++;
        path.left--;
    }
    uint32_t caps = hf_identity_capabilities(policy_of(core), identity, path);
    hf_tw_array(w);
    if (identity->root) {
        hf_tw_text(w, hf_cursor_text("root"));
    } else if (caps == 0 || (caps & HF_CAP_DENY)) {
        hf_tw_text(w, hf_cursor_text("deny"));
    } else {
        for (size_t i = 0; i < HF_ARRAY_LEN(names); i++)
            if (caps & names[i].cap)
                hf_tw_text(w, hf_cursor_text(names[i].name));
    }
    hf_tw_end(w);
}

static bool named_before(const struct hf_tree *paths, uint32_t index, struct hf_cursor path)
{
    struct hf_tree_iter iter = hf_tree_iterate(paths);
    struct hf_cursor unused;
    struct hf_tree item;
    for (uint32_t i = 0; i < index && hf_tree_next(&iter, &unused, &item); i++)
        if (hf_cursor_same(item.body, path))
            return true;
    return false;
}

static hf_result answer_capabilities(struct hf_core *core, struct hf_call *call,
                                     const struct hf_identity *identity)
{
    enum { PATHS_MAX = 1000 };
    struct hf_tree paths = {0}, item;
    TRY(hf_auth_list(call, "path", HF_LIST_AS_IS, &paths));
    TRY(hf_auth_list(call, "paths", HF_LIST_AS_IS, &paths));
    if (paths.count == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "paths must be supplied");
    if (paths.count > PATHS_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "too many paths");
    struct hf_cursor unused;
    call->shape = HF_ANSWER_BOTH;
    hf_tw_map(call->w);
    struct hf_tree_iter iter = hf_tree_iterate(&paths);
    for (uint32_t i = 0; hf_tree_next(&iter, &unused, &item); i++) {
        if (item.body.left >= HF_TREE_KEY_MAX)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "path is too long");
        if (i == 0) { /* for those who ask about one path */
            hf_tw_k(call->w, "capabilities");
            put_capabilities(core, call, identity, item.body);
        }
        if (hf_cursor_is(item.body, "capabilities") || named_before(&paths, i, item.body))
            continue;
        hf_tw_key(call->w, item.body);
        put_capabilities(core, call, identity, item.body);
    }
    hf_tw_end(call->w);
    return HF_DONE;
}

HF_HANDLER(hf_sys_capabilities_self)
{
    return answer_capabilities(core, call, call->identity);
}

HF_HANDLER(hf_sys_capabilities)
{
    struct hf_cursor text = {0};
    struct hf_id accessor;
    const struct hf_token_info *info;
    TRY(hf_tree_text(&call->args, "token", &text));
    if (text.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing token");
    hf_result found = hf_token_accessor(policy_of(core), call->ns, text, &accessor);
    if (HF_IS_OK(found))
        found = hf_token_find(policy_of(core), call->ns, accessor, &info);
    if (found.code == HF_NOT_FOUND)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid token");
    TRY(found);
    return answer_capabilities(core, call, hf_token_identity(info));
}

HF_HANDLER(hf_sys_capabilities_accessor)
{
    struct hf_cursor text = {0};
    struct hf_id accessor;
    const struct hf_token_info *info;
    TRY(hf_tree_text(&call->args, "accessor", &text));
    hf_result found = HF_FAIL(NOT_FOUND);
    if (HF_IS_OK(hf_id_parse(text, &accessor)))
        found = hf_token_find(policy_of(core), call->ns, accessor, &info);
    if (found.code == HF_NOT_FOUND)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid accessor");
    TRY(found);
    return answer_capabilities(core, call, hf_token_identity(info));
}
