#include "store/check.h"

static hf_result check_row(const struct hf_row *row)
{
    if (row->ns.left > HF_STORE_NS_MAX || row->name.left > HF_STORE_NAME_MAX ||
        row->sealed.left > HF_STORE_RECORD_MAX)
        return HF_FAIL(TOO_LARGE);
    return row->due_ns < 0 ? HF_FAIL(BAD_ARGUMENT) : HF_DONE;
}

static hf_result check_op(const struct hf_store_op *op)
{
    if (op->expect_rev >= HF_STORE_NUMBER_MAX || op->seq > HF_STORE_NUMBER_MAX ||
        op->amount > HF_STORE_NUMBER_MAX || op->blob.left > HF_STORE_RECORD_MAX)
        return HF_FAIL(TOO_LARGE);
    bool head = op->kind == HF_STORE_HEAD_CAS || op->kind == HF_STORE_AUDIT_HEAD;
    if (head && op->blob.left > HF_STORE_HEAD_MAX)
        return HF_FAIL(TOO_LARGE);
    bool fits = true;
    switch (op->kind) {
    case HF_STORE_PUT_IF:
        TRY(check_row(&op->row));
        fits = op->row.rev == op->expect_rev + 1;
        break;
    case HF_STORE_DEL_IF:
    case HF_STORE_JOB_DEL:
        fits = op->expect_rev > 0;
        break;
    case HF_STORE_HEAD_CAS:
        fits = op->shard < HF_STORE_SHARDS && op->seq > op->expect_rev && op->seq <= HF_STORE_SEQ_MAX;
        break;
    case HF_STORE_FEED_APPEND:
        fits = op->shard < HF_STORE_SHARDS && op->seq > 0 && op->seq <= HF_STORE_SEQ_MAX &&
               op->row.rev <= HF_STORE_NUMBER_MAX;
        break;
    case HF_STORE_ONCE:
        fits = op->hash.left == HF_STORE_HASH_LEN && op->expires_ns >= 0;
        break;
    case HF_STORE_RESERVE:
    case HF_STORE_BEAT:
        break;
    case HF_STORE_JOB_PUT:
        fits = op->row.due_ns >= 0 &&
               (op->seq == op->expect_rev + 1 || (op->seq == op->expect_rev && op->seq > 0));
        break;
    case HF_STORE_AUDIT_APPEND:
        fits =
            op->amount > 0 && op->amount <= HF_STORE_INDEX_MAX && op->seq <= HF_STORE_INDEX_MAX - op->amount;
        break;
    case HF_STORE_AUDIT_HEAD:
        fits = op->seq >= op->expect_rev;
        break;
    default:
        fits = false;
    }
    return fits ? HF_DONE : HF_FAIL(BAD_ARGUMENT);
}

/* A shard's feed grows only with its head, and by one change for each number: so the head's condition is the feed's,
 * and the feed needs none of its own. */
static bool is_fed(const struct hf_store_op *ops, size_t count, size_t at)
{
    const struct hf_store_op *feed = &ops[at];
    uint64_t before = 0;
    bool head = false;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].shard != feed->shard)
            continue;
        if (ops[i].kind == HF_STORE_HEAD_CAS) {
            if (head || feed->seq > ops[i].seq)
                return false;
            head = true;
            before = before == 0 ? ops[i].expect_rev : before;
        } else if (ops[i].kind == HF_STORE_FEED_APPEND && i < at) {
            before = ops[i].seq;
        }
    }
    return head && feed->seq == before + 1;
}

hf_result hf_store_ops_check(const struct hf_store_op *ops, size_t count, size_t *ret_bytes)
{
    size_t bytes = 0;
    if (count > HF_STORE_TXN_OPS_MAX)
        return HF_FAIL(TOO_LARGE);
    for (size_t i = 0; i < count; i++) {
        TRY(check_op(&ops[i]));
        bytes += ops[i].row.ns.left + ops[i].row.name.left + ops[i].row.sealed.left + ops[i].hash.left +
                 ops[i].blob.left; /* each is bounded above: cannot wrap */
    }
    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind == HF_STORE_FEED_APPEND && !is_fed(ops, count, i))
            return HF_FAIL(BAD_ARGUMENT);
    }
    if (bytes > HF_STORE_ONE_TXN_MAX)
        return HF_FAIL(TOO_LARGE);
    *ret_bytes = bytes;
    return HF_DONE;
}

hf_result hf_store_query_check(const struct hf_list_query *query)
{
    if (query->limit > HF_STORE_LIST_MAX || query->ns.left > HF_STORE_NS_MAX ||
        query->prefix.left > HF_STORE_NAME_MAX || query->after.left > HF_STORE_NAME_MAX)
        return HF_FAIL(TOO_LARGE);
    bool fits =
        query->order == HF_LIST_BY_NAME || query->order == HF_LIST_BY_ID || query->order == HF_LIST_BY_DUE;
    if (query->order == HF_LIST_BY_ID)
        fits = query->after.left == 0 || query->after.left == sizeof(struct hf_id);
    if (query->order == HF_LIST_BY_DUE)
        fits = query->after.left == 0 || query->after.left == sizeof(uint64_t);
    fits = fits && (query->after_id.left == 0 || query->after_id.left == sizeof(struct hf_id));
    return fits ? HF_DONE : HF_FAIL(BAD_ARGUMENT);
}
