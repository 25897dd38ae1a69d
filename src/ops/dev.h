/* Development mode: a server that is initialised and unsealed by itself. */
#ifndef HF_OPS_DEV_H
#define HF_OPS_DEV_H

#include "ops/core.h"

enum { HF_DEV_SHARES = 5, HF_DEV_THRESHOLD = 3, HF_DEV_TEXT_MAX = 256 };

struct hf_core_dev {                             /* the caller wipes it */
    char root_token[HF_DEV_TEXT_MAX];            /* "" where the server was initialised before */
    uint32_t share_count;                        /* 0 likewise */
    char shares[HF_DEV_SHARES][HF_DEV_TEXT_MAX]; /* base64 of the plain form */
};

/* Initialises (5 shares, 3 needed) and unseals, with mounts at transit/ and secret/ (kv version 2); or, where the store
 * holds a server already, unseals it with the given shares (hex, base64 or cards). root_token: the wanted one, "" any;
 * of no effect on a server that is initialised. Fails: BAD_SHARE, SEALED (too few shares), as the rooms below. */
hf_result hf_core_dev_init(struct hf_core *core, const char *root_token, const char shares[][HF_DEV_TEXT_MAX],
                           uint32_t share_count, struct hf_core_dev *ret_dev);

#endif
