/* What records reads from the store: changes, rows and heads. Changes come in clear; what is sealed is fuzzed behind the
 * seal too, as a store that knew the key could. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "records/inner.h"

static struct hf_records *records; /* of which only the key and the counters are used */

static void set_up(void)
{
    hf_log_setup(-1, HF_LOG_ERROR, "fuzz"); /* each damaged row is told: of no use here */
    static struct hf_secret *key;
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)) || !HF_IS_OK(hf_secret_new(32, &key)))
        abort();
    records = calloc(1, sizeof *records);
    if (records == NULL || !HF_IS_OK(hf_aead_new(HF_ALG_XAES256_GCM, key, &records->aead)))
        abort();
}

static void change(struct hf_cursor in)
{
    struct hf_change c = {.blob = in};
    uint8_t shard;
    if (!hf_cursor_u8(&in, &shard) || !hf_cursor_u64(&in, &c.seq) || !hf_cursor_u16(&in, &c.table) ||
        !hf_cursor_copy(&in, c.id.bytes, sizeof c.id.bytes) || !hf_cursor_u64(&in, &c.rev))
        return;
    c.shard = shard < HF_STORE_SHARDS ? shard : (uint16_t)hf_shard_of(c.table, c.id);
    c.blob = in;
    struct hf_leaf leaf;
    if (!HF_IS_OK(hf_leaf_read(&c, &leaf)))
        return;
    uint8_t memory[HF_LEAF_BLOB_MAX];
    struct hf_buf out = hf_buf(memory, sizeof memory);
    hf_leaf_blob(&leaf, &out);
    assert(hf_cursor_same(hf_buf_cursor(&out), c.blob));
    (void)hf_leaf_hash(&leaf);
}

static void row(struct hf_cursor in)
{
    struct hf_row r = {.table = HF_TABLE_KEY, .rev = 1};
    struct hf_record record;
    if (!hf_cursor_vec16(&in, &r.ns) || !hf_cursor_vec16(&in, &r.name))
        return;
    r.sealed = in;
    /* Nobody who has not the key makes one that opens. */
    assert(hf_record_make(records, &r, &record).code == HF_CORRUPT);
    assert(hf_records_fault()[0] != '\0');
}

static void head(struct hf_cursor in)
{
    static uint8_t sealed[1 << 16];
    uint8_t ad_memory[64];
    uint64_t seq;
    struct hf_head h;
    if (!hf_cursor_u64(&in, &seq) || in.left > sizeof sealed - 64)
        return;
    assert(seq == 0 || hf_head_open(records, 1, seq, in, &h).code == HF_CORRUPT);
    struct hf_buf ad = hf_buf(ad_memory, sizeof ad_memory), out = hf_buf(sealed, sizeof sealed);
    static const char label[] = "holdfast head 1";
    hf_buf_put(&ad, label, sizeof label);
    hf_buf_u16(&ad, 1);
    hf_buf_u64(&ad, seq);
    if (!HF_IS_OK(hf_aead_seal(records->aead, in, hf_buf_cursor(&ad), &out)))
        abort();
    hf_result result = hf_head_open(records, 1, seq, hf_buf_cursor(&out), &h);
    assert(result.code == HF_OK || result.code == HF_CORRUPT);
    assert(result.code != HF_OK || h.frontier.size == seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (records == NULL)
        set_up();
    struct hf_cursor in = hf_cursor(data, size);
    uint8_t which;
    if (!hf_cursor_u8(&in, &which))
        return 0;
    if (which % 3 == 0)
        change(in);
    else if (which % 3 == 1)
        row(in);
    else
        head(in);
    return 0;
}
