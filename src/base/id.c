#include "base/encode.h"
#include "base/log.h"

/* Where a UUID's text has its dashes: after 4, 6, 8 and 10 bytes. */
static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void hf_id_text(struct hf_id id, char ret_text[static HF_ID_TEXT_LEN])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < sizeof(id.bytes); i++) {
        if (dash_before(i))
            ret_text[at++] = '-';
        ret_text[at++] = digits[id.bytes[i] >> 4];
        ret_text[at++] = digits[id.bytes[i] & 15];
    }
}

hf_result hf_id_parse(struct hf_cursor text, struct hf_id *ret_id)
{
    if (text.left != HF_ID_TEXT_LEN)
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_id id;
    struct hf_buf out = hf_buf(id.bytes, sizeof(id.bytes));
    size_t at = 0;
    for (size_t i = 0; i < sizeof(id.bytes); i++) {
        if (dash_before(i) && text.at[at++] != '-')
            return HF_FAIL(BAD_ARGUMENT);
        TRY(hf_hex_decode(&out, hf_cursor(text.at + at, 2)));
        at += 2;
    }
    *ret_id = id;
    return HF_DONE;
}
