/* Generate-root: a quorum of shares proves itself; what it is for, the caller does. */

#include "seal/internal.h"

void root_attempt_reset(struct root_attempt *attempt)
{
    gathering_reset(&attempt->present);
    hf_wipe(attempt->otp, sizeof(attempt->otp));
    *attempt = (struct root_attempt){0};
}

static void fill_status(const struct hf_seal *seal, struct hf_quorum_status *ret)
{
    *ret = (struct hf_quorum_status){
        .started = seal->root.started,
        .nonce = seal->root.present.nonce,
        .progress = seal->root.present.count,
        .required = seal->row.threshold,
    };
}

hf_result hf_generate_root_begin(struct hf_seal *seal, struct hf_cursor otp, struct hf_quorum_status *ret)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    if (otp.left > HF_SEAL_OTP_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    if (seal->root.started)
        return HF_FAIL(ALREADY);
    struct hf_id nonce;
    TRY(hf_random_id(&nonce));
    seal->root = (struct root_attempt){.started = true, .present.nonce = nonce, .otp_len = otp.left};
    if (otp.left > 0)
        memcpy(seal->root.otp, otp.at, otp.left);
    fill_status(seal, ret);
    return HF_DONE;
}

hf_result hf_generate_root_status(struct hf_seal *seal, struct hf_quorum_status *ret, size_t *ret_otp_len)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    fill_status(seal, ret);
    *ret_otp_len = seal->root.otp_len;
    return HF_DONE;
}

hf_result hf_generate_root_cancel(struct hf_seal *seal)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    root_attempt_reset(&seal->root);
    return HF_DONE;
}

hf_result hf_generate_root_offer(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                                 bool *ret_complete, struct hf_buf *out_otp, struct hf_quorum_status *ret,
                                 const char **ret_why)
{
    HOLD(seal);
    struct root_attempt *attempt = &seal->root;
    *ret_complete = false;
    *ret_why = "";
    TRY(seal_must_be_unsealed(seal));
    if (!attempt->started || !id_same(nonce, attempt->present.nonce)) {
        *ret_why =
            attempt->started ? "the nonce is not that of this attempt" : "no root generation is under way";
        return HF_FAIL(BAD_ARGUMENT);
    }
    bool fresh = false;
    TRY(gathering_add(&attempt->present, &seal->row, share_text, &fresh, ret_why));
    if (!fresh) {
        *ret_why = "this share has been given already";
        return HF_FAIL(BAD_SHARE);
    }
    if (attempt->present.count >= seal->row.threshold) {
        CLEANUP(root_keys_done) struct root_keys proof = {0};
        hf_result done = gathering_combine(&attempt->present, &seal->row, &proof);
        if (HF_IS_OK(done) && !root_keys_equal(&proof, &seal->keys))
            done = HF_FAIL(INTERNAL); /* each share's commitment held */
        if (!HF_IS_OK(done)) {
            gathering_drop_last(&attempt->present);
            return done;
        }
        hf_buf_put(out_otp, attempt->otp, attempt->otp_len);
        *ret_complete = true;
    }
    fill_status(seal, ret);
    if (*ret_complete)
        root_attempt_reset(attempt);
    return HF_DONE;
}
