#include "base/result.h"

#include <stddef.h>

struct row {
    const char *name;
    const char *text;
    int http;
    bool retry;
};

#define AS_ROW(symbol, http, retry, text) [HF_##symbol] = {#symbol, text, http, retry},
static const struct row rows[HF_CODE_COUNT] = {HF_CODES(AS_ROW)};

static const struct row *row_of(enum hf_code code)
{
    return &rows[(unsigned)code < HF_CODE_COUNT ? code : HF_INTERNAL];
}

const char *hf_code_name(enum hf_code code)
{
    return row_of(code)->name;
}

const char *hf_code_text(enum hf_code code)
{
    return row_of(code)->text;
}

int hf_code_http(enum hf_code code)
{
    return row_of(code)->http;
}

bool hf_code_retry(enum hf_code code)
{
    return row_of(code)->retry;
}
