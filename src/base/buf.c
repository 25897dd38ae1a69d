#include "base/buf.h"

enum { DECIMAL_MAX = 20 }; /* digits of 2^64 - 1 */

void hf_buf_decimal(struct hf_buf *out, uint64_t value)
{
    char digits[DECIMAL_MAX];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    hf_buf_put(out, digits + at, sizeof(digits) - at);
}
