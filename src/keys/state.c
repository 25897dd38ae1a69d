#include "keys/state.h"

#define BIT(state) (1u << (state))

/* SP 800-57 part 1 rev. 5, figure 3 and 7.1 to 7.6. */
static const uint8_t may_become[HF_KEY_STATE_END] = {
    [HF_KEY_PRE_ACTIVE] = BIT(HF_KEY_ACTIVE) | BIT(HF_KEY_COMPROMISED) | BIT(HF_KEY_DESTROYED),
    [HF_KEY_ACTIVE] =
        BIT(HF_KEY_SUSPENDED) | BIT(HF_KEY_DEACTIVATED) | BIT(HF_KEY_COMPROMISED) | BIT(HF_KEY_DESTROYED),
    [HF_KEY_SUSPENDED] =
        BIT(HF_KEY_ACTIVE) | BIT(HF_KEY_DEACTIVATED) | BIT(HF_KEY_COMPROMISED) | BIT(HF_KEY_DESTROYED),
    [HF_KEY_DEACTIVATED] = BIT(HF_KEY_COMPROMISED) | BIT(HF_KEY_DESTROYED),
    [HF_KEY_COMPROMISED] = BIT(HF_KEY_DESTROYED),
    [HF_KEY_DESTROYED] = 0,
};

/* A suspended or deactivated version still processes what it protected. A compromised one may only give back what
 * it holds, so that it can be protected anew: what it signed proves nothing any more. */
static const uint8_t allows[HF_KEY_STATE_END] = {
    [HF_KEY_ACTIVE] = BIT(HF_KEY_PROTECT) | BIT(HF_KEY_RECOVER) | BIT(HF_KEY_VERIFY),
    [HF_KEY_SUSPENDED] = BIT(HF_KEY_RECOVER) | BIT(HF_KEY_VERIFY),
    [HF_KEY_DEACTIVATED] = BIT(HF_KEY_RECOVER) | BIT(HF_KEY_VERIFY),
    [HF_KEY_COMPROMISED] = BIT(HF_KEY_RECOVER),
};

static const char *const names[HF_KEY_STATE_END] = {
    [HF_KEY_PRE_ACTIVE] = "pre-active",   [HF_KEY_ACTIVE] = "active",
    [HF_KEY_SUSPENDED] = "suspended",     [HF_KEY_DEACTIVATED] = "deactivated",
    [HF_KEY_COMPROMISED] = "compromised", [HF_KEY_DESTROYED] = "destroyed",
};

static bool is_state(enum hf_key_state state)
{
    return (unsigned)state < HF_KEY_STATE_END && names[state] != NULL;
}

const char *hf_key_state_name(enum hf_key_state state)
{
    return is_state(state) ? names[state] : NULL;
}

bool hf_key_state_may_become(enum hf_key_state from, enum hf_key_state to)
{
    return is_state(from) && is_state(to) && (may_become[from] & BIT(to)) != 0;
}

bool hf_key_state_allows(enum hf_key_state state, enum hf_key_purpose purpose)
{
    return is_state(state) && (unsigned)purpose < HF_KEY_PURPOSE_END && (allows[state] & BIT(purpose)) != 0;
}
