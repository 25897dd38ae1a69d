/* The seal row as the store gives it: refused, or written back as it was. */
#include <stdlib.h>
#include <string.h>

#include "seal/internal.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seal_row row;
    if (!HF_IS_OK(seal_row_read(hf_cursor(data, size), &row)))
        return 0;
    must(row.threshold >= 1 && row.threshold <= row.count && row.count <= HF_SHARES_MAX &&
         row.generation > 0);
    uint8_t space[SEAL_ROW_MAX];
    struct hf_buf out = hf_buf(space, sizeof(space));
    seal_row_write(&row, &out);
    must(HF_IS_OK(hf_buf_ok(&out)) && out.len == size && memcmp(space, data, size) == 0); /* public */
    return 0;
}
