/* Rekey: a quorum of the present shares makes a new root with new shares. The keyring and all KEKs are re-wrapped and
 * written in one transaction, conditional on both rows; from then on the earlier shares open nothing. With
 * verification nothing is written until a quorum of the new shares has been given back: the new root is rebuilt from
 * them and was forgotten meanwhile. */
#include "seal/internal.h"

void pending_done(struct pending *pending)
{
    write_done(&pending->write);
    root_keys_done(&pending->keys);
    keks_done(&pending->keks);
    hf_share_set_done(&pending->set);
    *pending = (struct pending){0};
}

void rekey_reset(struct rekey *rekey)
{
    gathering_reset(&rekey->present);
    gathering_reset(&rekey->next);
    pending_done(&rekey->pending);
    *rekey = (struct rekey){0};
}

static void fill_status(const struct hf_seal *seal, struct hf_quorum_status *ret)
{
    const struct rekey *rekey = &seal->rekey;
    *ret = (struct hf_quorum_status){.required = seal->row.threshold};
    if (!rekey->started)
        return;
    ret->started = true;
    ret->nonce = rekey->present.nonce;
    ret->progress = rekey->present.count;
    ret->new_shares = rekey->shares;
    ret->new_threshold = rekey->threshold;
    ret->verification_required = rekey->verify;
    ret->verifying = rekey->verifying;
    ret->verification_nonce = rekey->next.nonce;
    ret->verification_progress = rekey->next.count;
}

hf_result hf_rekey_begin(struct hf_seal *seal, uint32_t shares, uint32_t threshold, bool verify,
                         struct hf_quorum_status *ret)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    if (threshold < 1 || threshold > shares || shares > HF_SHARES_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    if (seal->rekey.started)
        return HF_FAIL(ALREADY);
    struct hf_id nonce;
    TRY(hf_random_id(&nonce));
    seal->rekey = (struct rekey){
        .started = true, .verify = verify, .shares = shares, .threshold = threshold, .present.nonce = nonce};
    fill_status(seal, ret);
    return HF_DONE;
}

hf_result hf_rekey_status(struct hf_seal *seal, struct hf_quorum_status *ret)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    fill_status(seal, ret);
    return HF_DONE;
}

hf_result hf_rekey_cancel(struct hf_seal *seal)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    if (seal->rekey.pending.there)
        return HF_FAIL(COMMIT_UNKNOWN); /* its shares may be the only ones that open */
    rekey_reset(&seal->rekey);
    return HF_DONE;
}

/* Everything as it shall be after the rekey; nothing is changed yet. Takes keys. */
static hf_result prepare(const struct hf_seal *seal, const struct seal_row *row, struct root_keys *keys,
                         struct pending *ret)
{
    CLEANUP(pending_done) struct pending p = {.there = true, .row = *row, .keys = *keys};
    *keys = (struct root_keys){0};
    TRY(keks_copy(&seal->keks, &p.keks));
    TRY(keks_rewrap(&p.keks, seal->keys.kek, p.keys.kek));
    TRY(write_prepare(seal, &p.row, true, &seal->ring, &p.keks, &p.keys, &p.write));
    *ret = MOVED(p);
    return HF_DONE;
}

/* Commits what is pending and takes it up. On COMMIT_UNKNOWN it stays pending. */
static hf_result take_effect(struct hf_seal *seal)
{
    struct pending *p = &seal->rekey.pending;
    hf_result done = write_commit(seal, &p->write);
    if (done.code == HF_COMMIT_UNKNOWN)
        return done;
    if (!HF_IS_OK(done)) {
        pending_done(p);
        return done;
    }
    seal->row = p->row;
    seal->row_rev = p->write.expect_seal + 1;
    seal->keyring_rev = p->write.expect_keyring + 1;
    root_keys_done(&seal->keys);
    seal->keys = p->keys;
    p->keys = (struct root_keys){0};
    keks_done(&seal->keks);
    seal->keks = p->keks;
    p->keks = (struct keks){0};
    hf_log(HF_LOG_INFO, "seal.rekeyed", hf_f("generation", seal->row.generation));
    return HF_DONE;
}

/* The present quorum is complete: makes the next generation, and either writes it or awaits its verification. */
static hf_result present_complete(struct hf_seal *seal, struct hf_share_set *ret_set)
{
    struct rekey *rekey = &seal->rekey;
    CLEANUP(root_keys_done) struct root_keys proof = {0};
    TRY(gathering_combine(&rekey->present, &seal->row, &proof));
    if (!root_keys_equal(&proof, &seal->keys))
        return HF_FAIL(INTERNAL); /* each share's commitment held */
    struct seal_row base = seal->row;
    base.created_ns = hf_wall_ns(seal->clock);
    struct seal_row row;
    CLEANUP(hf_share_set_done) struct hf_share_set set = {0};
    CLEANUP(root_keys_done) struct root_keys keys = {0};
    TRY(seal_new_generation(&base, rekey->shares, rekey->threshold, &row, &set,
                            rekey->verify ? NULL : &keys));
    if (rekey->verify) {
        struct hf_id nonce;
        TRY(hf_random_id(&nonce));
        rekey->verifying = true;
        rekey->next_row = row;
        rekey->next.nonce = nonce;
    } else {
        TRY(prepare(seal, &row, &keys, &rekey->pending));
        rekey->pending.set = set;
        set.count = 0;
        TRY(take_effect(seal));
        set = rekey->pending.set;
        rekey->pending.set.count = 0;
    }
    *ret_set = set;
    set.count = 0;
    return HF_DONE;
}

static hf_result right_nonce(struct hf_id given, struct hf_id wanted, const char **ret_why)
{
    if (id_same(given, wanted))
        return HF_DONE;
    *ret_why = "the nonce is not that of this attempt";
    return HF_FAIL(BAD_ARGUMENT);
}

hf_result hf_rekey_offer(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                         struct hf_quorum_status *ret, struct hf_share_set *ret_set, const char **ret_why)
{
    HOLD(seal);
    struct rekey *rekey = &seal->rekey;
    ret_set->count = 0;
    *ret_why = "";
    TRY(seal_must_be_unsealed(seal));
    if (!rekey->started || rekey->verifying) {
        *ret_why = rekey->started ? "the quorum is complete; the new shares await verification"
                                  : "no rekey is under way";
        return HF_FAIL(BAD_ARGUMENT);
    }
    TRY(right_nonce(nonce, rekey->present.nonce, ret_why));
    bool fresh = false;
    TRY(gathering_add(&rekey->present, &seal->row, share_text, &fresh, ret_why));
    if (rekey->pending.there) { /* proved before; only the store's answer is missing */
        hf_result done = take_effect(seal);
        if (!HF_IS_OK(done)) {
            if (!rekey->pending.there)
                gathering_drop_last(&rekey->present);
            return done;
        }
        *ret_set = rekey->pending.set;
        rekey->pending.set.count = 0;
    } else if (!fresh) {
        *ret_why = "this share has been given already";
        return HF_FAIL(BAD_SHARE);
    } else if (rekey->present.count >= seal->row.threshold) {
        hf_result done = present_complete(seal, ret_set);
        if (!HF_IS_OK(done)) {
            if (!rekey->pending.there)
                gathering_drop_last(&rekey->present);
            return done;
        }
    }
    fill_status(seal, ret);
    if (ret_set->count > 0 && !rekey->verify)
        rekey_reset(rekey);
    else if (ret_set->count > 0)
        for (struct gathering *g = &rekey->present; g->count > 0;)
            gathering_drop_last(g); /* they proved what they had to */
    return HF_DONE;
}

hf_result hf_rekey_verify(struct hf_seal *seal, struct hf_id nonce, struct hf_cursor share_text,
                          bool *ret_complete, struct hf_quorum_status *ret, const char **ret_why)
{
    HOLD(seal);
    struct rekey *rekey = &seal->rekey;
    *ret_complete = false;
    *ret_why = "";
    TRY(seal_must_be_unsealed(seal));
    if (!rekey->verifying) {
        *ret_why = "no rekey awaits verification";
        return HF_FAIL(BAD_ARGUMENT);
    }
    TRY(right_nonce(nonce, rekey->next.nonce, ret_why));
    bool fresh = false;
    TRY(gathering_add(&rekey->next, &rekey->next_row, share_text, &fresh, ret_why));
    if (!fresh && !rekey->pending.there) {
        *ret_why = "this share has been given already";
        return HF_FAIL(BAD_SHARE);
    }
    if (!rekey->pending.there && rekey->next.count >= rekey->next_row.threshold) {
        CLEANUP(root_keys_done) struct root_keys keys = {0};
        hf_result done = gathering_combine(&rekey->next, &rekey->next_row, &keys);
        if (HF_IS_OK(done))
            done = prepare(seal, &rekey->next_row, &keys, &rekey->pending);
        if (!HF_IS_OK(done)) {
            gathering_drop_last(&rekey->next);
            return done;
        }
    }
    if (rekey->pending.there) {
        hf_result done = take_effect(seal);
        if (!HF_IS_OK(done)) {
            if (!rekey->pending.there)
                gathering_drop_last(&rekey->next);
            return done;
        }
        *ret_complete = true;
    }
    fill_status(seal, ret);
    if (*ret_complete)
        rekey_reset(rekey);
    return HF_DONE;
}

hf_result hf_rekey_verify_restart(struct hf_seal *seal)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    struct rekey *rekey = &seal->rekey;
    if (!rekey->verifying)
        return HF_FAIL(BAD_ARGUMENT);
    if (rekey->pending.there)
        return HF_FAIL(COMMIT_UNKNOWN);
    struct hf_id nonce;
    TRY(hf_random_id(&nonce));
    gathering_reset(&rekey->next);
    rekey->next.nonce = nonce;
    return HF_DONE;
}
