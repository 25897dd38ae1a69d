#include "records/inner.h"

static const char row_label[] = "holdfast record 1";
static const char head_label[] = "holdfast head 1";
static const char leaf_label[] = "holdfast change 1";
enum { HEAD_VERSION = 2, HEAD_VERSION_NO_ANCHOR = 1 };

/* ---- rows -------------------------------------------------------------------------------------------------- */

/* Everything about a row that stands in clear: it opens only where the store kept all of it. */
static void row_ad(struct hf_buf *out, const struct hf_row *row)
{
    hf_buf_put(out, row_label, sizeof row_label); /* with its NUL: no label is the beginning of another */
    hf_buf_u16(out, row->table);
    hf_buf_put(out, row->id.bytes, sizeof row->id.bytes);
    hf_buf_u64(out, row->rev);
    hf_buf_u8(out, row->state);
    hf_buf_u64(out, (uint64_t)row->due_ns);
    hf_buf_vec16(out, row->ns);
    hf_buf_vec16(out, row->name);
}

hf_result hf_row_seal(struct hf_records *records, const struct hf_row *row, struct hf_cursor plain,
                      struct hf_buf *out)
{
    uint8_t memory[HF_RECORD_AD_MAX];
    struct hf_buf ad = hf_buf(memory, sizeof memory);
    row_ad(&ad, row);
    TRY(hf_buf_ok(&ad));
    return hf_aead_seal(records->aead, plain, hf_buf_cursor(&ad), out);
}

hf_result hf_row_open(struct hf_records *records, const struct hf_row *row, struct hf_buf *out)
{
    uint8_t memory[HF_RECORD_AD_MAX];
    struct hf_buf ad = hf_buf(memory, sizeof memory);
    row_ad(&ad, row);
    if (ad.overflow)
        return hf_fault_record(records, row->table, &row->id, "its clear columns are out of bounds");
    hf_result result = hf_aead_open(records->aead, row->sealed, hf_buf_cursor(&ad), out);
    if (result.code == HF_BAD_CIPHERTEXT)
        return hf_fault_record(records, row->table, &row->id, "altered: its seal does not open");
    return result;
}

size_t hf_row_overhead(struct hf_records *records)
{
    return hf_aead_overhead(records->aead);
}

/* ---- leaves ------------------------------------------------------------------------------------------------ */

/* Blob of a change: deleted u8 | tag 16 | namespace, u8 length before it | the row's digest 16, or nothing. */
void hf_leaf_blob(const struct hf_leaf *leaf, struct hf_buf *out)
{
    hf_buf_u8(out, leaf->deleted);
    hf_buf_put(out, leaf->tag, sizeof leaf->tag);
    hf_buf_u8(out, (uint8_t)leaf->ns.left);
    hf_buf_put_cursor(out, leaf->ns);
    if (leaf->digested)
        hf_buf_put(out, leaf->digest, sizeof leaf->digest);
}

hf_result hf_leaf_read(const struct hf_change *change, struct hf_leaf *ret_leaf)
{
    struct hf_leaf leaf = {.shard = change->shard,
                           .seq = change->seq,
                           .table = change->table,
                           .id = change->id,
                           .rev = change->rev};
    struct hf_cursor in = change->blob;
    uint8_t deleted, ns;
    if (!hf_cursor_u8(&in, &deleted) || deleted > 1 || !hf_cursor_copy(&in, leaf.tag, sizeof leaf.tag) ||
        !hf_cursor_u8(&in, &ns) || ns > HF_RECORD_NS_MAX || !hf_cursor_take(&in, ns, &leaf.ns) ||
        (in.left != 0 && (deleted != 0 || in.left != sizeof leaf.digest)) || leaf.rev == 0 ||
        leaf.rev > HF_MAP_REV_MAX || leaf.table == 0 || leaf.table >= HF_TABLE_END ||
        hf_shard_of(leaf.table, leaf.id) != leaf.shard)
        return HF_FAIL(CORRUPT);
    leaf.deleted = deleted != 0;
    leaf.digested = hf_cursor_copy(&in, leaf.digest, sizeof leaf.digest);
    *ret_leaf = leaf;
    return HF_DONE;
}

struct hf_tlog_hash hf_leaf_hash(const struct hf_leaf *leaf)
{
    uint8_t memory[HF_LEAF_MAX];
    struct hf_buf out = hf_buf(memory, sizeof memory); /* every part is bounded: it fits */
    hf_buf_put(&out, leaf_label, sizeof leaf_label);
    hf_buf_u16(&out, leaf->shard);
    hf_buf_u64(&out, leaf->seq);
    hf_buf_u16(&out, leaf->table);
    hf_buf_put(&out, leaf->id.bytes, sizeof leaf->id.bytes);
    hf_buf_u64(&out, leaf->rev);
    hf_leaf_blob(leaf, &out);
    return hf_tlog_leaf(hf_buf_cursor(&out));
}

/* ---- heads ------------------------------------------------------------------------------------------------- */

static void head_ad(struct hf_buf *out, unsigned shard, uint64_t seq)
{
    hf_buf_put(out, head_label, sizeof head_label);
    hf_buf_u16(out, (uint16_t)shard);
    hf_buf_u64(out, seq);
}

/* Seven bits a byte, the lowest first, the last without its top bit: heads are written with every change. */
static void put_short(struct hf_buf *out, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        hf_buf_u8(out, (uint8_t)(number | 0x80));
    hf_buf_u8(out, (uint8_t)number);
}

static bool take_short(struct hf_cursor *in, uint64_t *ret)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        uint8_t part;
        if (!hf_cursor_u8(in, &part))
            return false;
        number |= (uint64_t)(part & 0x7f) << shift;
        if (part < 0x80) {
            *ret = number;
            return true;
        }
    }
    return false;
}

/* version u8 | each shard's seq | audit log 16 | its size | frontier. In version 1 the log and its size are not. */
hf_result hf_head_seal(struct hf_records *records, unsigned shard, const struct hf_head *head,
                       struct hf_buf *out)
{
    uint8_t memory[HF_HEAD_PLAIN_MAX], ad_memory[64];
    struct hf_buf plain = hf_buf(memory, sizeof memory), ad = hf_buf(ad_memory, sizeof ad_memory);
    hf_buf_u8(&plain, HEAD_VERSION);
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++)
        put_short(&plain, head->others[i]);
    hf_buf_put(&plain, head->anchor.log.bytes, sizeof head->anchor.log.bytes);
    put_short(&plain, head->anchor.size);
    hf_tlog_frontier_write(&plain, &head->frontier);
    TRY(hf_buf_ok(&plain));
    head_ad(&ad, shard, head->frontier.size);
    return hf_aead_seal(records->aead, hf_buf_cursor(&plain), hf_buf_cursor(&ad), out);
}

hf_result hf_head_open(struct hf_records *records, unsigned shard, uint64_t seq, struct hf_cursor sealed,
                       struct hf_head *ret_head)
{
    uint8_t memory[HF_HEAD_PLAIN_MAX], ad_memory[64], version;
    struct hf_buf plain = hf_buf(memory, sizeof memory), ad = hf_buf(ad_memory, sizeof ad_memory);
    if (seq == 0 && sealed.left == 0) { /* never written */
        *ret_head = (struct hf_head){0};
        return HF_DONE;
    }
    head_ad(&ad, shard, seq);
    hf_result result = hf_aead_open(records->aead, sealed, hf_buf_cursor(&ad), &plain);
    if (result.code == HF_BAD_CIPHERTEXT || result.code == HF_TOO_LARGE)
        return hf_fault_shard(records, shard, "its head is altered", 0, 0);
    TRY(result);
    struct hf_cursor in = hf_buf_cursor(&plain);
    struct hf_head head = {0};
    bool whole =
        hf_cursor_u8(&in, &version) && (version == HEAD_VERSION || version == HEAD_VERSION_NO_ANCHOR);
    for (unsigned i = 0; i < HF_STORE_SHARDS && whole; i++)
        whole = take_short(&in, &head.others[i]);
    if (whole && version == HEAD_VERSION)
        whole = hf_cursor_copy(&in, head.anchor.log.bytes, sizeof head.anchor.log.bytes) &&
                take_short(&in, &head.anchor.size);
    if (!whole || !HF_IS_OK(hf_tlog_frontier_read(&in, &head.frontier)) || in.left != 0 ||
        head.frontier.size != seq)
        return hf_fault_shard(records, shard, "its head has an unknown form", 0, 0);
    *ret_head = head;
    return HF_DONE;
}
