/* Management operations: a leaf for each, in the transaction of the change it tells of. */
#include "audit/internal.h"

#include <assert.h>

static_assert(AUDIT_BATCH_HEADER + AUDIT_RECORD_MAX <= sizeof(((struct hf_audit_ticket *)NULL)->blob),
              "the largest leaf fits a ticket");

static hf_result encode(struct hf_audit *audit, struct hf_audit_ticket *ticket)
{
    uint8_t bytes[HF_ENTRY_OPENING_MAX];
    struct hf_buf opening = hf_buf(bytes, sizeof(bytes)), blob = hf_buf(ticket->blob, sizeof(ticket->blob));
    struct hf_entry_leaf leaf;
    uint64_t position =
        audit->config.position != NULL ? audit->config.position(audit->config.position_arg) : 0;
    pthread_mutex_lock(&audit->sealer_lock);
    hf_result result = audit_encode(audit->sealer, &ticket->entry, audit_now_ms(audit), &opening, &leaf);
    if (HF_IS_OK(result)) {
        audit_batch_header(audit, &blob, ticket->index, 1);
        result = audit_record(audit->sealer, ticket->index, &leaf, &position, hf_buf_cursor(&opening), &blob,
                              &ticket->leaf_hash);
    }
    pthread_mutex_unlock(&audit->sealer_lock);
    hf_wipe(bytes, sizeof(bytes));
    TRY(result);
    TRY(hf_buf_ok(&blob));
    audit_append_op(audit, &ticket->op, ticket->index, 1, hf_buf_cursor(&blob));
    return HF_DONE;
}

hf_result hf_audit_prepare(struct hf_audit *audit, const struct hf_audit_entry *entry,
                           struct hf_audit_ticket *ret)
{
    TRY(audit_reserve(audit, 1, &ret->index));
    ret->entry = *entry;
    if (HF_IS_OK(encode(audit, ret)))
        return HF_DONE;
    audit_publish_unresolved(audit, ret->index, 1);
    return HF_FAIL(AUDIT_DOWN);
}

struct sameness {
    const struct hf_audit_ticket *ticket;
    bool same;
};

static bool is_same(void *arg, const struct hf_audit_batch *batch)
{
    struct sameness *s = arg;
    s->same = batch->first == s->ticket->index && hf_cursor_same(batch->blob, s->ticket->op.blob);
    return false;
}

static hf_result written(struct hf_audit *audit, const struct hf_audit_ticket *ticket)
{
    atomic_fetch_add_explicit(&audit->written_bytes, ticket->op.blob.left, memory_order_relaxed);
    audit_publish(audit, ticket->index, &ticket->leaf_hash, 1);
    return HF_DONE;
}

hf_result hf_audit_settle(struct hf_audit *audit, struct hf_audit_ticket *ticket, hf_result committed)
{
    if (HF_IS_OK(committed)) {
        audit_note_result(committed);
        return written(audit, ticket);
    }
    struct sameness first = {.ticket = ticket};
    if (committed.code == HF_COMMIT_UNKNOWN) { /* it may have been written after all */
        hf_result asked =
            audit->store->ops->audit_read(audit->store, audit->config.log, ticket->index, 1, is_same, &first);
        if (HF_IS_OK(asked) && first.same)
            return written(audit, ticket);
    }
    struct hf_store_outcome outcome;
    ticket->entry.outcome = committed.code;
    hf_result result = encode(audit, ticket);
    if (HF_IS_OK(result))
        result = audit->store->ops->commit(audit->store, &ticket->op, 1, HF_DURABLE, &outcome);
    audit_note_result(result);
    if (HF_IS_OK(result))
        return written(audit, ticket);
    audit_publish_unresolved(audit, ticket->index, 1);
    return HF_FAIL(AUDIT_DOWN);
}

hf_result hf_audit_write(struct hf_audit *audit, const struct hf_audit_entry *entry, uint64_t *ret_index)
{
    struct hf_audit_ticket ticket;
    struct hf_store_outcome outcome;
    TRY(hf_audit_prepare(audit, entry, &ticket));
    hf_result result = audit->store->ops->commit(audit->store, &ticket.op, 1, HF_DURABLE, &outcome);
    audit_note_result(result);
    if (!HF_IS_OK(result)) {
        audit_publish_unresolved(audit, ticket.index, 1);
        return HF_FAIL(AUDIT_DOWN);
    }
    if (ret_index != NULL)
        *ret_index = ticket.index;
    return written(audit, &ticket);
}
