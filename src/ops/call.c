/* What handlers use of their call. */
#include "ops/core.h"

#include <string.h>

struct hf_cursor hf_call_param(const struct hf_call *call, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < HF_CALL_PARAMS_MAX && call->params[i].name != NULL; i++) {
        const char *have = call->params[i].name; /* points into the row's pattern: ends at '/' or NUL */
        if (strncmp(have, name, len) == 0 && (have[len] == '\0' || have[len] == '/'))
            return call->params[i].value;
    }
    return (struct hf_cursor){0};
}

hf_result hf_call_fail(struct hf_call *call, enum hf_code code, const char *reason)
{
    return hf_call_fail_about(call, code, reason, (struct hf_cursor){0});
}

hf_result hf_call_fail_about(struct hf_call *call, enum hf_code code, const char *reason,
                             struct hf_cursor about)
{
    enum { ABOUT_MAX = 64 };
    struct hf_buf text = hf_buf(call->error, sizeof(call->error) - 1);
    hf_buf_put(&text, reason, HF_MIN(strlen(reason), sizeof(call->error) - ABOUT_MAX - 16));
    if (about.left != 0) {
        hf_buf_text(&text, ": ");
        for (size_t i = 0; i < HF_MIN(about.left, (size_t)ABOUT_MAX); i++) {
            uint8_t c = about.at[i];
            hf_buf_u8(&text, c >= 0x20 && c < 0x7f ? c : '?');
        }
        if (about.left > ABOUT_MAX)
            hf_buf_text(&text, "...");
    }
    call->error[text.len] = '\0';
    return (hf_result){code};
}

void hf_call_warn(struct hf_call *call, const char *warning)
{
    for (size_t i = 0; i < HF_CALL_WARNINGS_MAX; i++) {
        if (call->warnings[i] == NULL) {
            call->warnings[i] = warning;
            return;
        }
    }
}

hf_result hf_call_needs(struct hf_core *core, struct hf_call *call, uint32_t capability)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    if (call->identity == NULL)
        return HF_FAIL(DENIED);
    return hf_identity_may(u->policy, call->identity, call->acl_path, capability, &call->args);
}

hf_result hf_call_commit(struct hf_core *core, struct hf_call *call, struct hf_txn *txn,
                         struct hf_store_outcome *ret_outcome)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    struct hf_audit_ticket *ticket = hf_scratch_alloc(call->scratch, sizeof(*ticket));
    if (ticket == NULL)
        return HF_FAIL(NO_MEMORY);
    if (call->leaf_written) { /* a second commit of the same call; its first leaf tells of the operation */
        struct hf_store_outcome outcome = {0};
        hf_result done = hf_txn_commit(txn, &outcome);
        if (ret_outcome != NULL)
            *ret_outcome = outcome;
        return done;
    }
    call->audit.outcome = HF_OK;
    TRY(hf_audit_prepare(u->audit, &call->audit, ticket));
    struct hf_store_outcome outcome = {0};
    hf_result done = hf_txn_add(txn, &ticket->op);
    if (HF_IS_OK(done))
        done = hf_txn_commit(txn, &outcome);
    hf_result settled = hf_audit_settle(u->audit, ticket, done);
    if (ret_outcome != NULL)
        *ret_outcome = outcome;
    if (!HF_IS_OK(
            done)) /* that attempt's leaf says so; the handler may try again, or fail with a leaf of its own */
        return done;
    call->leaf_written = true;
    return settled;
}
