/* The states of the seal, and what may become of each: absent means refused. */
#include "seal/internal.h"

#define BIT(state) (1u << (state))

static const uint8_t may_become[SEAL_STATE_COUNT] = {
    [SEAL_UNINITIALIZED] = BIT(SEAL_SEALED) | BIT(SEAL_UNSEALED),
    [SEAL_SEALED] = BIT(SEAL_COLLECTING),
    [SEAL_COLLECTING] = BIT(SEAL_COLLECTING) | BIT(SEAL_SEALED) | BIT(SEAL_UNSEALED),
    [SEAL_UNSEALED] = BIT(SEAL_SEALED),
};
static const enum hf_code refusal[SEAL_STATE_COUNT] = {
    [SEAL_UNINITIALIZED] = HF_NOT_INITIALIZED,
    [SEAL_SEALED] = HF_SEALED,
    [SEAL_COLLECTING] = HF_SEALED,
    [SEAL_UNSEALED] = HF_ALREADY,
};

hf_result seal_become(struct hf_seal *seal, enum seal_state next)
{
    if ((may_become[seal->state] & BIT(next)) == 0)
        return (hf_result){refusal[seal->state]};
    seal->state = next;
    return HF_DONE;
}

hf_result seal_must_be_unsealed(const struct hf_seal *seal)
{
    return seal->state == SEAL_UNSEALED ? HF_DONE : (hf_result){refusal[seal->state]};
}
