/* The clear row: version u8 | set | cluster | generation u32 | threshold u8 | count u8 | created u64 | commitments. */
#include "crypto/kdf.h"
#include "seal/internal.h"

enum { ROW_VERSION = 1 };

void seal_row_write(const struct seal_row *row, struct hf_buf *out)
{
    hf_buf_u8(out, ROW_VERSION);
    hf_buf_put(out, &row->set, sizeof(row->set));
    hf_buf_put(out, &row->cluster, sizeof(row->cluster));
    hf_buf_u32(out, row->generation);
    hf_buf_u8(out, row->threshold);
    hf_buf_u8(out, row->count);
    hf_buf_u64(out, (uint64_t)row->created_ns);
    hf_buf_put(out, row->commitments, (size_t)row->count * HF_SHARE_COMMITMENT);
}

hf_result seal_row_read(struct hf_cursor in, struct seal_row *ret_row)
{
    struct seal_row row = {0};
    uint8_t version;
    uint64_t created;
    if (!hf_cursor_u8(&in, &version) || version != ROW_VERSION ||
        !hf_cursor_copy(&in, &row.set, sizeof(row.set)) ||
        !hf_cursor_copy(&in, &row.cluster, sizeof(row.cluster)) || !hf_cursor_u32(&in, &row.generation) ||
        !hf_cursor_u8(&in, &row.threshold) || !hf_cursor_u8(&in, &row.count) || !hf_cursor_u64(&in, &created))
        return HF_FAIL(CORRUPT);
    row.created_ns = (int64_t)created;
    if (row.threshold < 1 || row.threshold > row.count || row.count > HF_SHARES_MAX || row.generation == 0 ||
        id_is_zero(row.set) ||
        !hf_cursor_copy(&in, row.commitments, (size_t)row.count * HF_SHARE_COMMITMENT) || in.left != 0)
        return HF_FAIL(CORRUPT);
    *ret_row = row;
    return HF_DONE;
}

hf_result root_keys_derive(const struct hf_secret *root, const struct seal_row *row,
                           struct root_keys *ret_keys)
{
    uint8_t context[20];
    struct hf_buf out = hf_buf(context, sizeof(context));
    hf_buf_put(&out, &row->set, sizeof(row->set));
    hf_buf_u32(&out, row->generation);
    CLEANUP(hf_secret_freep) struct hf_secret *ring = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *kek = NULL;
    TRY(hf_derive(root, "keyring", hf_buf_cursor(&out), SEAL_KEY_BYTES, &ring));
    TRY(hf_derive(root, "kek", hf_buf_cursor(&out), SEAL_KEY_BYTES, &kek));
    *ret_keys = (struct root_keys){TAKE(ring), TAKE(kek)};
    return HF_DONE;
}

void root_keys_done(struct root_keys *keys)
{
    hf_secret_freep(&keys->ring);
    hf_secret_freep(&keys->kek);
}

bool root_keys_equal(const struct root_keys *a, const struct root_keys *b)
{
    return hf_secret_equal(a->ring, b->ring) && hf_secret_equal(a->kek, b->kek);
}
