/* What operators and their monitoring read: metrics and posture. While unsealed a token is needed, like anywhere else;
 * while sealed no token can be checked, and an operator at 3 a.m. still gets both. */
#include "ops/core.h"
#include "ops/handlers.h"
#include "ops/metrics.h"

enum { METRICS_BYTES = 1 << 20 };

static hf_result who_may(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_DONE;
    if (call->wire.token.left == 0)
        return HF_FAIL(DENIED);
    TRY(hf_identity_of(u->policy, call->ns, call->wire.token, call->may_wait, &call->identity));
    call->audit.accessor = call->identity->accessor;
    return hf_identity_may(u->policy, call->identity, call->acl_path, HF_CAP_READ, &call->args);
}

hf_result hf_sys_metrics(struct hf_core *core, struct hf_call *call)
{
    TRY(who_may(core, call));
    uint8_t *memory = hf_scratch_alloc(call->scratch, METRICS_BYTES);
    if (memory == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf text = hf_buf(memory, METRICS_BYTES);
    hf_metrics_write(core, &text);
    TRY(hf_buf_ok(&text));
    hf_tw_text(call->w, hf_buf_cursor(&text));
    call->shape = HF_ANSWER_TEXT;
    call->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return HF_DONE;
}

static const char *level_name(enum hf_level level)
{
    static const char *const names[] = {"dev", "standard", "hardened"};
    return (unsigned)level < HF_ARRAY_LEN(names) ? names[level] : "unknown";
}

hf_result hf_sys_posture(struct hf_core *core, struct hf_call *call)
{
    TRY(who_may(core, call));
    hf_tw_map(call->w);
    hf_tw_k_text(call->w, "level", level_name(core->config.level));
    hf_tw_k_text(call->w, "version", core->config.version);
    hf_tw_k(call->w, "quantum");
    hf_tw_map(call->w);
    hf_tw_k_text(call->w, "transport",
                 "TLS 1.3, X25519MLKEM768 first; X25519 and P-256 for clients without it, marked");
    hf_tw_k_text(call->w, "at_rest", "AES-256");
    hf_tw_k_text(call->w, "audit", "Ed25519 and ML-DSA-44, both");
    hf_tw_end(call->w);
    hf_tw_k(call->w, "processes");
    if (core->posture.posture != NULL) {
        TRY(core->posture.posture(core->posture.arg, call->w));
    } else {
        hf_tw_array(call->w);
        hf_tw_end(call->w);
    }
    hf_tw_end(call->w);
    call->shape = HF_ANSWER_BOTH;
    return HF_DONE;
}
