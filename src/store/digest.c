#include "store/digest.h"

#include "crypto/sha256.h"

static const char label[] = "holdfast row 1";

void hf_row_digest(const struct hf_row *row, uint8_t ret_digest[static HF_ROW_DIGEST])
{
    uint8_t memory[sizeof label + 2 + sizeof row->id + 8 + 1 + 8 + 4 + 4], whole[32];
    struct hf_buf fixed = hf_buf(memory, sizeof memory);
    hf_buf_put(&fixed, label, sizeof label);
    hf_buf_u16(&fixed, row->table);
    hf_buf_put(&fixed, row->id.bytes, sizeof row->id.bytes);
    hf_buf_u64(&fixed, row->rev);
    hf_buf_u8(&fixed, row->state);
    hf_buf_u64(&fixed, (uint64_t)row->due_ns);
    hf_buf_u32(&fixed,
               (uint32_t)row->ns.left); /* lengths before the parts: no two rows give the same bytes */
    hf_buf_u32(&fixed, (uint32_t)row->name.left);
    const struct hf_cursor parts[] = {hf_buf_cursor(&fixed), row->ns, row->name, row->sealed};
    hf_sha256_short_parts(parts, HF_ARRAY_LEN(parts), whole);
    memcpy(ret_digest, whole, HF_ROW_DIGEST);
}
