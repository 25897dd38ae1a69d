#include "base/encode.h"

/* Length of a run of ASCII at the start. */
static size_t ascii_run(const uint8_t *at, size_t len)
{
    size_t i = 0;
    for (; len - i >= 16; i += 16) {
        uint64_t a, b;
        memcpy(&a, at + i, 8);
        memcpy(&b, at + i + 8, 8);
        if (((a | b) & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    while (i < len && at[i] < 0x80)
        i++;
    return i;
}

static bool follows(uint8_t c, uint8_t least, uint8_t most)
{
    return c >= least && c <= most;
}

bool hf_utf8_valid(struct hf_cursor text)
{
    const uint8_t *at = text.at;
    size_t left = text.left;
    while (left != 0) {
        size_t run = ascii_run(at, left);
        at += run;
        left -= run;
        if (left == 0)
            return true;

        /* Unicode 15, table 3-7: the second byte's range depends on the first; the others are 80..BF. */
        uint8_t lead = at[0];
        uint8_t least = 0x80, most = 0xbf;
        size_t more;
        if (lead >= 0xc2 && lead <= 0xdf) {
            more = 1;
        } else if (lead >= 0xe0 && lead <= 0xef) {
            more = 2;
            if (lead == 0xe0)
                least = 0xa0;
            else if (lead == 0xed)
                most = 0x9f;
        } else if (lead >= 0xf0 && lead <= 0xf4) {
            more = 3;
            if (lead == 0xf0)
                least = 0x90;
            else if (lead == 0xf4)
                most = 0x8f;
        } else {
            return false;
        }
        if (left <= more || !follows(at[1], least, most))
            return false;
        for (size_t i = 2; i <= more; i++)
            if (!follows(at[i], 0x80, 0xbf))
                return false;
        at += more + 1;
        left -= more + 1;
    }
    return true;
}
