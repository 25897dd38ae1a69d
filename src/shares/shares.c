#include "shares/shares.h"

#include <assert.h>
#include <string.h>

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "secret/view.h"
#include "shares/gf.h"

static_assert(HF_SHARES_MAX < 256, "an index is one byte; 0 is never issued");

void hf_share_done(struct hf_share *share)
{
    hf_secret_free(share->y);
    *share = (struct hf_share){0};
}

/* y = f(x): the secret plus each coefficient times a power of x. Powers of x are public. */
static hf_result evaluate(const struct hf_secret_view *secret, const struct hf_secret_view *coefficients,
                          unsigned degree, uint8_t x, struct hf_secret **ret_y)
{
    CLEANUP(hf_secret_freep) struct hf_secret *y = NULL;
    TRY(hf_secret_new(secret->len, &y));
    CLEANUP(hf_secret_view_close) struct hf_secret_view out = {0};
    TRY(hf_secret_view_open(y, &out));
    memcpy(out.bytes, secret->bytes, secret->len);
    uint8_t power = 1;
    for (unsigned i = 0; i < degree; i++) {
        power = hf_gf_mul(power, x);
        hf_gf_add_scaled(out.bytes, coefficients->bytes + i * secret->len, secret->len, power);
    }
    *ret_y = TAKE(y);
    return HF_DONE;
}

static hf_result split_into(const struct hf_secret *secret, struct hf_share made[], uint8_t threshold,
                            uint8_t count)
{
    size_t len = hf_secret_len(secret);
    unsigned degree = threshold - 1u;
    CLEANUP(hf_secret_freep) struct hf_secret *coefficients = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view coefficients_view = {0};
    if (degree > 0) {
        TRY(hf_random_secret(degree * len, &coefficients));
        TRY(hf_secret_view_open(coefficients, &coefficients_view));
    }
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_view_open(secret, &view));
    for (unsigned i = 0; i < count; i++)
        TRY(evaluate(&view, &coefficients_view, degree, made[i].index, &made[i].y));
    return HF_DONE;
}

hf_result hf_shares_split(const struct hf_secret *secret, struct hf_id set, uint32_t generation,
                          uint8_t threshold, uint8_t count, struct hf_share ret_shares[])
{
    size_t len = hf_secret_len(secret);
    if (threshold < 1 || threshold > count || count > HF_SHARES_MAX || len < HF_SHARE_SECRET_MIN ||
        len > HF_SHARE_SECRET_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_share made[HF_SHARES_MAX] = {0};
    for (unsigned i = 0; i < count; i++)
        made[i] = (struct hf_share){.set = set,
                                    .generation = generation,
                                    .index = (uint8_t)(i + 1),
                                    .threshold = threshold,
                                    .count = count};
    hf_result done = split_into(secret, made, threshold, count);
    for (unsigned i = 0; i < count; i++) {
        if (HF_IS_OK(done))
            ret_shares[i] = made[i];
        else
            hf_share_done(&made[i]);
    }
    return done;
}

/* Lagrange's basis polynomial of point i at 0. Indices are public. */
static uint8_t basis_at_zero(const struct hf_share *const shares[], size_t count, size_t i)
{
    uint8_t above = 1;
    uint8_t below = 1;
    for (size_t j = 0; j < count; j++) {
        if (j == i)
            continue;
        above = hf_gf_mul(above, shares[j]->index);
        below = hf_gf_mul(below, (uint8_t)(shares[j]->index ^ shares[i]->index));
    }
    return hf_gf_mul(above, hf_gf_inv(below));
}

static bool points_are_sound(const struct hf_share *const shares[], size_t count)
{
    if (count < 1 || count > HF_SHARES_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (shares[i]->y == NULL || shares[i]->index == 0 ||
            hf_secret_len(shares[i]->y) != hf_secret_len(shares[0]->y))
            return false;
        for (size_t j = 0; j < i; j++)
            if (shares[j]->index == shares[i]->index)
                return false;
    }
    return true;
}

hf_result hf_shares_combine(const struct hf_share *const shares[], size_t count,
                            struct hf_secret **ret_secret)
{
    if (!points_are_sound(shares, count))
        return HF_FAIL(BAD_ARGUMENT);
    CLEANUP(hf_secret_freep) struct hf_secret *secret = NULL;
    TRY(hf_secret_new(hf_secret_len(shares[0]->y), &secret));
    CLEANUP(hf_secret_view_close) struct hf_secret_view sum = {0};
    TRY(hf_secret_view_open(secret, &sum));
    for (size_t i = 0; i < count; i++) {
        CLEANUP(hf_secret_view_close) struct hf_secret_view y = {0};
        TRY(hf_secret_view_open(shares[i]->y, &y));
        hf_gf_add_scaled(sum.bytes, y.bytes, y.len, basis_at_zero(shares, count, i));
    }
    *ret_secret = TAKE(secret);
    return HF_DONE;
}

hf_result hf_share_commitment(const struct hf_share *share, struct hf_id set, uint32_t generation,
                              uint8_t ret_commitment[static HF_SHARE_COMMITMENT])
{
    uint8_t fields[5];
    hf_store_u32(fields, generation);
    fields[4] = share->index;
    struct hf_cursor parts[] = {hf_cursor_text("holdfast share commitment v1"),
                                hf_cursor(set.bytes, sizeof(set.bytes)), hf_cursor(fields, sizeof(fields))};
    return hf_hmac(HF_SHA2_256, share->y, parts, HF_ARRAY_LEN(parts), ret_commitment);
}
