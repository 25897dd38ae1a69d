#include "ops/lifecycle.h"

static const uint8_t root_namespace[16];

static hf_result make_root_token(struct hf_core *core, struct hf_cursor wanted,
                                 const struct hf_commit *commit, struct hf_buf *out_token)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(u->records, &txn));
    return hf_token_create_root(u->policy, hf_cursor(root_namespace, sizeof(root_namespace)), wanted, txn,
                                commit, out_token);
}

hf_result hf_core_initialize(struct hf_core *core, uint32_t shares, uint32_t threshold,
                             struct hf_cursor wanted_token, const struct hf_commit *commit,
                             struct hf_share_set *ret_set, struct hf_buf *out_token)
{
    CLEANUP(hf_share_set_done) struct hf_share_set set = {.count = 0};
    TRY(hf_seal_init(core->seal, shares, threshold, &set));
    /* From here on the shares are the only way in: whatever fails, they are given. */
    size_t begun = out_token->len;
    hf_result done = hf_core_unlock(core);
    hf_epoch_enter();
    if (HF_IS_OK(done))
        done = make_root_token(core, wanted_token, commit, out_token);
    hf_epoch_leave();
    if (!HF_IS_OK(done)) {
        out_token->len = begun;
        hf_log(HF_LOG_ERROR, "init.no_root_token", hf_f("result", done));
    }
    *ret_set = set;
    set.count = 0;
    return HF_DONE;
}
