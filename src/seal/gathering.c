/* Shares given one by one: each held against what the seal row says of it, before it counts. */
#include "secret/ct.h"
#include "seal/internal.h"

void gathering_reset(struct gathering *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        hf_share_done(&g->shares[i]);
    *g = (struct gathering){0};
}

void gathering_drop_last(struct gathering *g)
{
    if (g->count > 0)
        hf_share_done(&g->shares[--g->count]);
}

/* NULL where the share belongs to the row; else why not. */
static hf_result refuse_reason(const struct hf_share *share, const struct seal_row *row, const char **ret_why)
{
    bool card = share->threshold != 0;
    *ret_why = NULL;
    if (card && !id_same(share->set, row->set)) {
        *ret_why = "a share of another set: it belongs to another server";
    } else if (card && share->generation < row->generation) {
        *ret_why = "a share of an earlier generation: a rekey has replaced it";
    } else if (card && share->generation > row->generation) {
        *ret_why =
            "a share of a later generation than the storage knows: the storage was set back, or the rekey "
            "that made it never took effect";
    } else if (card && (share->threshold != row->threshold || share->count != row->count)) {
        *ret_why = "the card's threshold and count are not those of its set";
    } else if (hf_secret_len(share->y) != SEAL_ROOT_BYTES) {
        *ret_why = "the share has a length that no share of this set has";
    } else if (share->index > row->count) {
        *ret_why = "the share's index is above the number of shares in this set";
    } else {
        uint8_t commitment[HF_SHARE_COMMITMENT];
        TRY(hf_share_commitment(share, row->set, row->generation, commitment));
        if (!hf_ct_equal(commitment, row->commitments[share->index - 1], sizeof(commitment)))
            *ret_why = card
                           ? "the card names this set, but its value is not that of the share with its index"
                           : "not a share of the present set: wrong, damaged, of another server, or replaced "
                             "by a rekey";
    }
    return HF_DONE;
}

hf_result gathering_add(struct gathering *g, const struct seal_row *row, struct hf_cursor text,
                        bool *ret_fresh, const char **ret_why)
{
    *ret_fresh = false;
    CLEANUP(hf_share_done) struct hf_share share = {0};
    TRY(hf_share_parse(text, &share, ret_why));
    TRY(refuse_reason(&share, row, ret_why));
    if (*ret_why != NULL)
        return HF_FAIL(BAD_SHARE);
    *ret_why = "";
    for (uint32_t i = 0; i < g->count; i++)
        if (g->shares[i].index == share.index) /* its commitment holds: the same value */
            return HF_DONE;
    if (id_is_zero(g->nonce))
        TRY(hf_random_id(&g->nonce));
    g->shares[g->count++] = share;
    share = (struct hf_share){0};
    *ret_fresh = true;
    return HF_DONE;
}

hf_result gathering_combine(const struct gathering *g, const struct seal_row *row, struct root_keys *ret_keys)
{
    const struct hf_share *shares[HF_SHARES_MAX];
    for (uint32_t i = 0; i < g->count; i++)
        shares[i] = &g->shares[i];
    CLEANUP(hf_secret_freep) struct hf_secret *root = NULL;
    TRY(hf_shares_combine(shares, g->count, &root));
    return root_keys_derive(root, row, ret_keys);
}
