/* States of a key version, NIST SP 800-57 part 1 rev. 5 section 7: one table of transitions, one of uses; what is absent is
 * refused. */
#ifndef HF_KEYS_STATE_H
#define HF_KEYS_STATE_H

#include "base/cursor.h"
#include "base/result.h"

enum hf_key_state { /* stored numbers */
                    HF_KEY_PRE_ACTIVE = 1,
                    HF_KEY_ACTIVE = 2,
                    HF_KEY_SUSPENDED = 3,
                    HF_KEY_DEACTIVATED = 4,
                    HF_KEY_COMPROMISED = 5,
                    HF_KEY_DESTROYED = 6,
                    HF_KEY_STATE_END = 7,
};
enum hf_key_purpose {
    HF_KEY_PROTECT, /* encrypt, sign, MAC, encapsulate, make data keys */
    HF_KEY_RECOVER, /* decrypt, rewrap from, decapsulate */
    HF_KEY_VERIFY,  /* verify a signature or a MAC */
    HF_KEY_PURPOSE_END,
};

/* "pre-active", "active", ...; NULL for what is no state. */
const char *hf_key_state_name(enum hf_key_state state);
/* Whether the table has the transition. From or to what is no state: false. */
bool hf_key_state_may_become(enum hf_key_state from, enum hf_key_state to);
bool hf_key_state_allows(enum hf_key_state state, enum hf_key_purpose purpose);

#endif
