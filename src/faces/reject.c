#include "faces/reject.h"

struct row {
    enum hf_code code;
    const char *name;
    const char *text;
};

#define AS_ROW(symbol, code, name, text) [HF_REJECT_##symbol] = {HF_##code, name, text},
static const struct row rows[HF_REJECT_COUNT] = {HF_REJECTS(AS_ROW)};

enum hf_code hf_reject_code(enum hf_reject reject)
{
    return rows[reject].code;
}

const char *hf_reject_name(enum hf_reject reject)
{
    return rows[reject].name;
}

const char *hf_reject_text(enum hf_reject reject)
{
    return rows[reject].text;
}
