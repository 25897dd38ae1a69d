/* The only way to a secret's bytes. May be included by secret, crypto, shares, session, keystore and the one
 * audited way out in ops/export.c; `make check` refuses any other. */
#ifndef HF_SECRET_VIEW_H
#define HF_SECRET_VIEW_H

#include "secret/secret.h"

struct hf_secret_view {
    uint8_t *bytes;
    size_t len;
    struct hf_secret *secret; /* private */
};

/* Takes: secret, borrowed till the view closes. Gives: bytes readable and writable from here to the close.
 * Fails: INTERNAL where the canary is broken (then the process aborts). */
hf_result hf_secret_view_open(const struct hf_secret *secret, struct hf_secret_view *ret_view);
void hf_secret_view_close(struct hf_secret_view *view); /* for CLEANUP; a zeroed view is allowed */

static inline struct hf_cursor hf_secret_view_cursor(const struct hf_secret_view *view)
{
    return hf_cursor(view->bytes, view->len);
}

#endif
