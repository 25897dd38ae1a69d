/* What the crypto room's unit tests share. */
#ifndef HF_TESTS_CRYPTO_HELPERS_H
#define HF_TESTS_CRYPTO_HELPERS_H

#include "secret/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* must: the call succeeds. refused: it fails just so. */
#define must(call) assert_string_equal(hf_code_name((call).code), "OK")
#define refused(call, wanted) assert_string_equal(hf_code_name((call).code), hf_code_name(wanted))

static inline struct hf_secret *test_secret(const void *bytes, size_t len)
{
    struct hf_secret *secret = NULL;
    struct hf_secret_view view = {0};
    must(hf_secret_new(len, &secret));
    must(hf_secret_view_open(secret, &view));
    memcpy(view.bytes, bytes, len);
    hf_secret_view_close(&view);
    return secret;
}

static inline void assert_secret(const struct hf_secret *secret, const void *bytes, size_t len)
{
    struct hf_secret_view view = {0};
    must(hf_secret_view_open(secret, &view));
    assert_int_equal(view.len, len);
    assert_memory_equal(view.bytes, bytes, len);
    hf_secret_view_close(&view);
}

#endif
