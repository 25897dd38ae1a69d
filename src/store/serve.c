#include "store/serve.h"

#include <stdlib.h>

#include "store/codec.h"

enum {
    COMMIT_ANSWER_MAX = 32,
    SPACE_SMALL = 16 << 10,           /* tried first, on the stack */
    HINT_WAIT_NS_MAX = 100 * 1000000, /* a thread waits here, so not for long */
};

void hf_store_answer(struct hf_buf *out, hf_result result)
{
    hf_buf_u8(out, (uint8_t)result.code);
}
static_assert(HF_CODE_COUNT <= UINT8_MAX, "a code is one byte");

void hf_store_answer_commit(struct hf_buf *out, hf_result result, const struct hf_store_outcome *outcome)
{
    hf_store_answer(out, result);
    hf_buf_u32(out, outcome->failed_op);
    hf_buf_u64(out, outcome->result);
}

/* ---- lists ----------------------------------------------------------------------------------------------- */

/* Items one after another, as long as there is room for one more and the byte that ends the list. */
struct listing {
    struct hf_buf *out;
    size_t begun;
    uint32_t items;
    bool full;
};

/* Closes the item that put() has just written, or takes it back. */
static bool item_end(struct listing *l, size_t before)
{
    if (!l->out->overflow && l->out->len < l->out->cap) {
        l->items++;
        return true;
    }
    l->out->overflow = false;
    l->out->len = before;
    l->full = true;
    return false;
}

#define LISTER(name, type, put)                                                                              \
    static bool name(void *arg, const struct type *item)                                                     \
    {                                                                                                        \
        struct listing *l = arg;                                                                             \
        size_t before = l->out->len;                                                                         \
        hf_buf_u8(l->out, HF_LIST_ITEM);                                                                     \
        put(l->out, item);                                                                                   \
        return item_end(l, before);                                                                          \
    }
LISTER(list_row, hf_row, hf_store_put_row)
LISTER(list_change, hf_change, hf_store_put_change)
LISTER(list_batch, hf_audit_batch, hf_store_put_batch)
LISTER(list_job, hf_job, hf_store_put_job)
LISTER(list_node, hf_node, hf_store_put_node)

static struct listing list_begin(struct hf_buf *out)
{
    struct listing l = {.out = out, .begun = out->len};
    hf_store_answer(out, HF_DONE);
    return l;
}

static bool list_end(struct listing *l, hf_result result)
{
    if (!HF_IS_OK(result)) {
        l->out->len = l->begun;
        l->out->overflow = false;
        hf_store_answer(l->out, result);
        return !l->out->overflow;
    }
    if (l->full && l->items == 0) {
        l->out->len = l->begun;
        return false;
    }
    hf_buf_u8(l->out, l->full ? HF_LIST_MORE : HF_LIST_END);
    return !l->out->overflow;
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

static bool answer_bad(struct hf_buf *out)
{
    hf_store_answer(out, HF_FAIL(BAD_REQUEST));
    return !out->overflow;
}

static bool serve_commit(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    struct hf_store_op ops[HF_STORE_TXN_OPS_MAX];
    struct hf_store_outcome outcome = {0};
    enum hf_durability durability;
    size_t count;
    if (out->cap - out->len < COMMIT_ANSWER_MAX)
        return false;
    hf_result result = hf_store_take_commit(&in, ops, &count, &durability);
    if (HF_IS_OK(result))
        result = engine->ops->commit(engine, ops, count, durability, &outcome);
    hf_store_answer_commit(out, result, &outcome);
    return true;
}

static bool put_get(struct hf_store *engine, uint16_t table, struct hf_id id, struct hf_buf *space,
                    struct hf_buf *out, hf_result *ret_result)
{
    struct hf_row row;
    size_t before = out->len;
    *ret_result = engine->ops->get(engine, table, id, space, &row);
    hf_store_answer(out, *ret_result);
    if (HF_IS_OK(*ret_result))
        hf_store_put_row(out, &row);
    if (!out->overflow)
        return true;
    out->overflow = false;
    out->len = before;
    return false;
}

static bool serve_get(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    uint8_t small[SPACE_SMALL];
    struct hf_buf space = hf_buf(small, sizeof small);
    uint16_t table;
    struct hf_id id;
    hf_result result;
    size_t before = out->len;
    if (!hf_cursor_u16(&in, &table) || !hf_store_take_id(&in, &id) || in.left != 0)
        return answer_bad(out);
    bool fits = put_get(engine, table, id, &space, out, &result);
    if (result.code != HF_TOO_LARGE)
        return fits;
    out->len = before;
    if (out->cap - out->len < HF_STORE_ROW_BYTES_MAX)
        return false;
    uint8_t *large = malloc(HF_STORE_ROW_BYTES_MAX);
    if (large == NULL) {
        hf_store_answer(out, HF_FAIL(NO_MEMORY));
        return true;
    }
    space = hf_buf(large, HF_STORE_ROW_BYTES_MAX);
    fits = put_get(engine, table, id, &space, out, &result);
    free(large);
    return fits;
}

static bool serve_list(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    struct hf_list_query query;
    if (!hf_store_take_query(&in, &query) || in.left != 0)
        return answer_bad(out);
    struct listing l = list_begin(out);
    return list_end(&l, engine->ops->list(engine, &query, list_row, &l));
}

/* head_get and audit_head_get: a number and a blob. */
static bool serve_head(struct hf_store *engine, enum hf_store_call call, struct hf_cursor in,
                       struct hf_buf *out)
{
    uint8_t small[SPACE_SMALL];
    struct hf_buf space = hf_buf(small, sizeof small);
    uint16_t shard;
    struct hf_id log;
    uint64_t number;
    struct hf_cursor blob;
    size_t before = out->len;
    hf_result result;
    if (call == HF_CALL_HEAD_GET) {
        if (!hf_cursor_u16(&in, &shard) || in.left != 0)
            return answer_bad(out);
        result = engine->ops->head_get(engine, shard, &space, &number, &blob);
    } else {
        if (!hf_store_take_id(&in, &log) || in.left != 0)
            return answer_bad(out);
        result = engine->ops->audit_head_get(engine, log, &space, &number, &blob);
    }
    hf_store_answer(out, result);
    if (HF_IS_OK(result)) {
        hf_buf_u64(out, number);
        hf_buf_vec32(out, blob);
    }
    if (out->overflow) {
        out->overflow = false;
        out->len = before;
        return false;
    }
    return true;
}

static bool serve_feed(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    uint16_t shard;
    uint64_t after;
    uint32_t limit;
    if (!hf_cursor_u16(&in, &shard) || !hf_cursor_u64(&in, &after) || !hf_cursor_u32(&in, &limit) ||
        in.left != 0)
        return answer_bad(out);
    struct listing l = list_begin(out);
    return list_end(&l, engine->ops->feed_since(engine, shard, after, limit, list_change, &l));
}

static bool serve_feed_each(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    uint64_t after;
    uint32_t limit;
    if (!hf_cursor_u64(&in, &after) || !hf_cursor_u32(&in, &limit) || in.left != 0)
        return answer_bad(out);
    struct listing l = list_begin(out);
    return list_end(&l, engine->ops->feed_each(engine, after, limit, list_change, &l));
}

static bool serve_audit_read(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    struct hf_id log;
    uint64_t from;
    uint32_t limit;
    if (!hf_store_take_id(&in, &log) || !hf_cursor_u64(&in, &from) || !hf_cursor_u32(&in, &limit) ||
        in.left != 0)
        return answer_bad(out);
    struct listing l = list_begin(out);
    return list_end(&l, engine->ops->audit_read(engine, log, from, limit, list_batch, &l));
}

static bool serve_jobs(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    uint64_t before;
    uint32_t limit;
    if (!hf_cursor_u64(&in, &before) || !hf_cursor_u32(&in, &limit) || in.left != 0)
        return answer_bad(out);
    struct listing l = list_begin(out);
    return list_end(&l, engine->ops->job_list(engine, (int64_t)before, limit, list_job, &l));
}

static bool serve_nodes(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    if (in.left != 0)
        return answer_bad(out);
    struct listing l = list_begin(out);
    return list_end(&l, engine->ops->node_list(engine, list_node, &l));
}

static bool serve_info(struct hf_store *engine, struct hf_buf *out)
{
    struct hf_store_info info;
    size_t before = out->len;
    hf_result result = engine->ops->info(engine, &info);
    hf_store_answer(out, result);
    if (HF_IS_OK(result))
        hf_store_put_info(out, &info);
    if (!out->overflow)
        return true;
    out->overflow = false;
    out->len = before;
    return false;
}

static bool serve_hint(struct hf_store *engine, struct hf_cursor in, struct hf_buf *out)
{
    uint64_t timeout;
    if (!hf_cursor_u64(&in, &timeout) || in.left != 0)
        return answer_bad(out);
    timeout = HF_MIN(timeout, (uint64_t)HINT_WAIT_NS_MAX);
    hf_store_answer(out, engine->ops->hint_wait(engine, (int64_t)timeout));
    return !out->overflow;
}

bool hf_store_serve(struct hf_store *engine, struct hf_cursor body, struct hf_buf *out)
{
    uint8_t call;
    if (!hf_cursor_u8(&body, &call))
        return answer_bad(out);
    switch (call) {
    case HF_CALL_COMMIT:
        return serve_commit(engine, body, out);
    case HF_CALL_GET:
        return serve_get(engine, body, out);
    case HF_CALL_LIST:
        return serve_list(engine, body, out);
    case HF_CALL_HEAD_GET:
    case HF_CALL_AUDIT_HEAD_GET:
        return serve_head(engine, (enum hf_store_call)call, body, out);
    case HF_CALL_FEED_SINCE:
        return serve_feed(engine, body, out);
    case HF_CALL_FEED_EACH:
        return serve_feed_each(engine, body, out);
    case HF_CALL_AUDIT_READ:
        return serve_audit_read(engine, body, out);
    case HF_CALL_INFO:
        return serve_info(engine, out);
    case HF_CALL_HINT_WAIT:
        return serve_hint(engine, body, out);
    case HF_CALL_JOB_LIST:
        return serve_jobs(engine, body, out);
    case HF_CALL_NODE_LIST:
        return serve_nodes(engine, body, out);
    default:
        return answer_bad(out);
    }
}
