/* Whatever text is given as a share: refused with a reason, or read into fields that are written back as they were. */
#include <stdlib.h>
#include <string.h>

#include "shares/shares.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_share share = {0};
    const char *why = NULL;
    hf_result parsed = hf_share_parse(hf_cursor(data, size), &share, &why);
    if (!HF_IS_OK(parsed)) {
        must(why != NULL && (parsed.code != HF_BAD_SHARE || why[0] != '\0') && share.y == NULL);
        return 0;
    }
    must(share.index != 0 && share.y != NULL);
    bool card = share.threshold != 0;
    for (unsigned format = HF_SHARE_HEX; format <= HF_SHARE_CARD; format++) {
        /* hex and base64 are told apart for the usual length alone */
        if (format == HF_SHARE_CARD ? !card : hf_secret_len(share.y) != HF_SHARE_EXPORT_BYTES - 1)
            continue;
        char text[HF_SHARE_CARD_MAX];
        struct hf_buf out = hf_buf(text, sizeof(text));
        must(HF_IS_OK(hf_share_text(&share, (enum hf_share_format)format, &out)));
        struct hf_share again = {0};
        must(HF_IS_OK(hf_share_parse(hf_buf_cursor(&out), &again, &why)));
        must(again.index == share.index && hf_secret_equal(again.y, share.y));
        if (format == HF_SHARE_CARD)
            must(again.generation == share.generation && again.threshold == share.threshold &&
                 again.count == share.count &&
                 memcmp(&again.set, &share.set, sizeof(share.set)) == 0); /* public */
        hf_share_done(&again);
    }
    hf_share_done(&share);
    return 0;
}
