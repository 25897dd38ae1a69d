#include "store/codec.h"

/* Which fields each operation has; the others are zero. In the order in which they are written. */
enum {
    F_SHARD = 1 << 0,
    F_EXPECT = 1 << 1,
    F_SEQ = 1 << 2,
    F_AMOUNT = 1 << 3,
    F_TABLE = 1 << 4,
    F_ID = 1 << 5,
    F_REV = 1 << 6,
    F_DUE = 1 << 7,
    F_ROW = 1 << 8, /* ns, name, state, sealed */
    F_HASH = 1 << 9,
    F_BLOB = 1 << 10,
};
static const uint16_t fields_of[] = {
    [HF_STORE_PUT_IF] = F_EXPECT | F_TABLE | F_ID | F_REV | F_DUE | F_ROW,
    [HF_STORE_DEL_IF] = F_EXPECT | F_TABLE | F_ID,
    [HF_STORE_HEAD_CAS] = F_SHARD | F_EXPECT | F_SEQ | F_BLOB,
    [HF_STORE_FEED_APPEND] = F_SHARD | F_SEQ | F_TABLE | F_ID | F_REV | F_BLOB,
    [HF_STORE_ONCE] = F_HASH,
    [HF_STORE_RESERVE] = F_AMOUNT | F_ID,
    [HF_STORE_JOB_PUT] = F_EXPECT | F_SEQ | F_ID | F_DUE | F_BLOB,
    [HF_STORE_JOB_DEL] = F_EXPECT | F_ID,
    [HF_STORE_AUDIT_APPEND] = F_SEQ | F_AMOUNT | F_ID | F_BLOB,
    [HF_STORE_AUDIT_HEAD] = F_EXPECT | F_SEQ | F_ID | F_BLOB,
    [HF_STORE_BEAT] = F_EXPECT | F_ID | F_BLOB,
};

static void put_op(struct hf_buf *out, const struct hf_store_op *op)
{
    unsigned fields = op->kind < HF_ARRAY_LEN(fields_of) ? fields_of[op->kind] : 0;
    hf_buf_u8(out, (uint8_t)op->kind);
    if (fields & F_SHARD)
        hf_buf_u16(out, op->shard);
    if (fields & F_EXPECT)
        hf_buf_u64(out, op->expect_rev);
    if (fields & F_SEQ)
        hf_buf_u64(out, op->seq);
    if (fields & F_AMOUNT)
        hf_buf_u64(out, op->amount);
    if (fields & F_TABLE)
        hf_buf_u16(out, op->row.table);
    if (fields & F_ID)
        hf_store_put_id(out, op->row.id);
    if (fields & F_REV)
        hf_buf_u64(out, op->row.rev);
    if (fields & F_DUE)
        hf_buf_u64(out, (uint64_t)op->row.due_ns);
    if (fields & F_ROW) {
        hf_buf_vec16(out, op->row.ns);
        hf_buf_vec16(out, op->row.name);
        hf_buf_u8(out, op->row.state);
        hf_buf_vec32(out, op->row.sealed);
    }
    if (fields & F_HASH) {
        hf_buf_vec16(out, op->hash);
        hf_buf_u64(out, (uint64_t)op->expires_ns);
    }
    if (fields & F_BLOB)
        hf_buf_vec32(out, op->blob);
}

static bool take_i64(struct hf_cursor *in, int64_t *ret)
{
    uint64_t value;
    if (!hf_cursor_u64(in, &value))
        return false;
    *ret = (int64_t)value;
    return true;
}

static bool take_op(struct hf_cursor *in, struct hf_store_op *op)
{
    uint8_t kind;
    *op = (struct hf_store_op){0};
    if (!hf_cursor_u8(in, &kind) || kind >= HF_ARRAY_LEN(fields_of) || fields_of[kind] == 0)
        return false;
    unsigned fields = fields_of[kind];
    op->kind = (enum hf_store_op_kind)kind;
    return (!(fields & F_SHARD) || hf_cursor_u16(in, &op->shard)) &&
           (!(fields & F_EXPECT) || hf_cursor_u64(in, &op->expect_rev)) &&
           (!(fields & F_SEQ) || hf_cursor_u64(in, &op->seq)) &&
           (!(fields & F_AMOUNT) || hf_cursor_u64(in, &op->amount)) &&
           (!(fields & F_TABLE) || hf_cursor_u16(in, &op->row.table)) &&
           (!(fields & F_ID) || hf_store_take_id(in, &op->row.id)) &&
           (!(fields & F_REV) || hf_cursor_u64(in, &op->row.rev)) &&
           (!(fields & F_DUE) || take_i64(in, &op->row.due_ns)) &&
           (!(fields & F_ROW) ||
            (hf_cursor_vec16(in, &op->row.ns) && hf_cursor_vec16(in, &op->row.name) &&
             hf_cursor_u8(in, &op->row.state) && hf_cursor_vec32(in, &op->row.sealed))) &&
           (!(fields & F_HASH) || (hf_cursor_vec16(in, &op->hash) && take_i64(in, &op->expires_ns))) &&
           (!(fields & F_BLOB) || hf_cursor_vec32(in, &op->blob));
}

void hf_store_put_commit(struct hf_buf *out, const struct hf_store_op *ops, size_t count,
                         enum hf_durability durability)
{
    hf_buf_u8(out, HF_CALL_COMMIT);
    hf_buf_u8(out, (uint8_t)durability);
    hf_buf_u8(out, (uint8_t)count);
    for (size_t i = 0; i < count; i++)
        put_op(out, &ops[i]);
}
static_assert(HF_STORE_TXN_OPS_MAX <= UINT8_MAX, "the count is one byte");

hf_result hf_store_take_commit(struct hf_cursor *in, struct hf_store_op *ops, size_t *ret_count,
                               enum hf_durability *ret_durability)
{
    uint8_t durability, count;
    if (!hf_cursor_u8(in, &durability) || durability > HF_LAZY || !hf_cursor_u8(in, &count) ||
        count > HF_STORE_TXN_OPS_MAX)
        return HF_FAIL(BAD_REQUEST);
    for (size_t i = 0; i < count; i++) {
        if (!take_op(in, &ops[i]))
            return HF_FAIL(BAD_REQUEST);
    }
    if (in->left != 0)
        return HF_FAIL(BAD_REQUEST);
    *ret_count = count;
    *ret_durability = (enum hf_durability)durability;
    return HF_DONE;
}

void hf_store_put_row(struct hf_buf *out, const struct hf_row *row)
{
    hf_buf_u16(out, row->table);
    hf_store_put_id(out, row->id);
    hf_buf_u64(out, row->rev);
    hf_buf_vec16(out, row->ns);
    hf_buf_vec16(out, row->name);
    hf_buf_u8(out, row->state);
    hf_buf_u64(out, (uint64_t)row->due_ns);
    hf_buf_vec32(out, row->sealed);
}

bool hf_store_take_row(struct hf_cursor *in, struct hf_row *ret_row)
{
    struct hf_row row = {0};
    if (!hf_cursor_u16(in, &row.table) || !hf_store_take_id(in, &row.id) || !hf_cursor_u64(in, &row.rev) ||
        !hf_cursor_vec16(in, &row.ns) || !hf_cursor_vec16(in, &row.name) || !hf_cursor_u8(in, &row.state) ||
        !take_i64(in, &row.due_ns) || !hf_cursor_vec32(in, &row.sealed) || row.rev == 0 || row.due_ns < 0 ||
        row.ns.left > HF_STORE_NS_MAX || row.name.left > HF_STORE_NAME_MAX ||
        row.sealed.left > HF_STORE_RECORD_MAX)
        return false;
    *ret_row = row;
    return true;
}

void hf_store_put_query(struct hf_buf *out, const struct hf_list_query *query)
{
    hf_buf_u16(out, query->table);
    hf_buf_vec16(out, query->ns);
    hf_buf_vec16(out, query->prefix);
    hf_buf_vec16(out, query->after);
    hf_buf_vec16(out, query->after_id);
    hf_buf_u64(out, (uint64_t)query->due_before_ns);
    hf_buf_u8(out, (uint8_t)query->order);
    hf_buf_u8(out, query->without_sealed);
    hf_buf_u32(out, query->limit);
}

bool hf_store_take_query(struct hf_cursor *in, struct hf_list_query *ret_query)
{
    struct hf_list_query query = {0};
    uint8_t order, bare;
    if (!hf_cursor_u16(in, &query.table) || !hf_cursor_vec16(in, &query.ns) ||
        !hf_cursor_vec16(in, &query.prefix) || !hf_cursor_vec16(in, &query.after) ||
        !hf_cursor_vec16(in, &query.after_id) || !take_i64(in, &query.due_before_ns) ||
        !hf_cursor_u8(in, &order) || order > HF_LIST_BY_DUE || !hf_cursor_u8(in, &bare) || bare > 1 ||
        !hf_cursor_u32(in, &query.limit))
        return false;
    query.order = (enum hf_list_order)order;
    query.without_sealed = bare != 0;
    *ret_query = query;
    return true;
}

void hf_store_put_change(struct hf_buf *out, const struct hf_change *change)
{
    hf_buf_u64(out, change->at);
    hf_buf_u16(out, change->shard);
    hf_buf_u64(out, change->seq);
    hf_buf_u16(out, change->table);
    hf_store_put_id(out, change->id);
    hf_buf_u64(out, change->rev);
    hf_buf_vec32(out, change->blob);
}

bool hf_store_take_change(struct hf_cursor *in, struct hf_change *ret_change)
{
    return hf_cursor_u64(in, &ret_change->at) && hf_cursor_u16(in, &ret_change->shard) &&
           hf_cursor_u64(in, &ret_change->seq) && hf_cursor_u16(in, &ret_change->table) &&
           hf_store_take_id(in, &ret_change->id) && hf_cursor_u64(in, &ret_change->rev) &&
           hf_cursor_vec32(in, &ret_change->blob);
}

void hf_store_put_batch(struct hf_buf *out, const struct hf_audit_batch *batch)
{
    hf_store_put_id(out, batch->log);
    hf_buf_u64(out, batch->first);
    hf_buf_u64(out, batch->count);
    hf_buf_vec32(out, batch->blob);
}

bool hf_store_take_batch(struct hf_cursor *in, struct hf_audit_batch *ret_batch)
{
    return hf_store_take_id(in, &ret_batch->log) && hf_cursor_u64(in, &ret_batch->first) &&
           hf_cursor_u64(in, &ret_batch->count) && hf_cursor_vec32(in, &ret_batch->blob);
}

void hf_store_put_job(struct hf_buf *out, const struct hf_job *job)
{
    hf_store_put_id(out, job->id);
    hf_buf_u64(out, (uint64_t)job->due_ns);
    hf_buf_u64(out, job->fence);
    hf_buf_vec32(out, job->cursor);
}

bool hf_store_take_job(struct hf_cursor *in, struct hf_job *ret_job)
{
    return hf_store_take_id(in, &ret_job->id) && take_i64(in, &ret_job->due_ns) &&
           hf_cursor_u64(in, &ret_job->fence) && hf_cursor_vec32(in, &ret_job->cursor);
}

void hf_store_put_node(struct hf_buf *out, const struct hf_node *node)
{
    hf_store_put_id(out, node->id);
    hf_buf_u64(out, node->beat);
    hf_buf_vec32(out, node->blob);
}

bool hf_store_take_node(struct hf_cursor *in, struct hf_node *ret_node)
{
    return hf_store_take_id(in, &ret_node->id) && hf_cursor_u64(in, &ret_node->beat) &&
           hf_cursor_vec32(in, &ret_node->blob);
}

static bool take_text(struct hf_cursor *in, char *ret_text, size_t cap)
{
    struct hf_cursor text;
    if (!hf_cursor_vec16(in, &text) || text.left >= cap)
        return false;
    (void)hf_cursor_copy(&text, ret_text, text.left);
    return true;
}

void hf_store_put_info(struct hf_buf *out, const struct hf_store_info *info)
{
    hf_buf_vec16(out, hf_cursor_text(info->engine));
    hf_buf_vec16(out, hf_cursor_text(info->version));
    hf_buf_u32(out, info->schema);
    hf_buf_u64(out, info->bytes);
    hf_buf_u8(out, info->read_only);
    hf_buf_vec16(out, hf_cursor_text(info->cluster_id));
}

bool hf_store_take_info(struct hf_cursor *in, struct hf_store_info *ret_info)
{
    struct hf_store_info info = {0};
    uint8_t read_only;
    if (!take_text(in, info.engine, sizeof info.engine) ||
        !take_text(in, info.version, sizeof info.version) || !hf_cursor_u32(in, &info.schema) ||
        !hf_cursor_u64(in, &info.bytes) || !hf_cursor_u8(in, &read_only) ||
        !take_text(in, info.cluster_id, sizeof info.cluster_id))
        return false;
    info.read_only = read_only != 0;
    *ret_info = info;
    return true;
}
