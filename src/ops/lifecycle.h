/* The first start of a server. */
#ifndef HF_OPS_LIFECYCLE_H
#define HF_OPS_LIFECYCLE_H

#include "ops/core.h"
#include "policy/token.h"
#include "seal/seal.h"

/* What clients read as the server's version and parse as semver. */
#define HF_API_VERSION "1.19.0"
enum { HF_ROOT_TOKEN_LEN = 47 }; /* characters of a root token that was not chosen by its maker */

/* Makes root, shares, keyring and first records, and unlocks the core. wanted_token: own text of the root token, or
 * empty. commit: as hf_token_create_root; NULL alone. out_token stays empty where all but the root token could be made: the
 * shares hold all the same, and generate-root makes one later. Fails: as hf_seal_init; nothing is initialised then, but
 * on COMMIT_UNKNOWN it may be. */
hf_result hf_core_initialize(struct hf_core *core, uint32_t shares, uint32_t threshold,
                             struct hf_cursor wanted_token, const struct hf_commit *commit,
                             struct hf_share_set *ret_set, struct hf_buf *out_token);

#endif
