/* Data operations of one thread, gathered and written at once. */
#include "audit/internal.h"

#include <stdlib.h>

enum {
    BATCH_OPENINGS = 96 << 10,
    /* what a full batch takes in the store: openings plus, for each, all that a record adds */
    BATCH_BLOB =
        AUDIT_BATCH_HEADER + BATCH_OPENINGS + AUDIT_BATCH_ENTRIES * (HF_ENTRY_LEAF + 2 + 1 + AUDIT_TAG),
};

struct item {
    struct hf_entry_leaf leaf;
    uint32_t at, len; /* of its opening */
};
struct hf_audit_batch_writer {
    struct hf_audit *audit;
    struct audit_sealer *sealer;
    size_t count;
    uint64_t time_ms; /* of the batch's first entry, and of all: they are answered together */
    bool failed;      /* a write in between failed: so did the whole batch */
    struct hf_buf openings;
    struct item items[AUDIT_BATCH_ENTRIES];
    struct hf_tlog_hash hashes[AUDIT_BATCH_ENTRIES];
    uint8_t opening_bytes[BATCH_OPENINGS];
    uint8_t blob[BATCH_BLOB];
};

void hf_audit_batch_free(struct hf_audit_batch_writer *w)
{
    if (w == NULL)
        return;
    audit_sealer_free(w->sealer);
    hf_wipe(w->opening_bytes, w->openings.cap);
    free(w);
}

hf_result hf_audit_batch_new(struct hf_audit *audit, struct hf_audit_batch_writer **ret)
{
    struct hf_audit_batch_writer *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return HF_FAIL(NO_MEMORY);
    w->audit = audit;
    w->openings = hf_buf(w->opening_bytes, sizeof(w->opening_bytes));
    hf_result result = audit_sealer_new(audit, &w->sealer);
    if (!HF_IS_OK(result)) {
        hf_audit_batch_free(w);
        return result;
    }
    *ret = w;
    return HF_DONE;
}

size_t hf_audit_batch_count(const struct hf_audit_batch_writer *w)
{
    return w->count;
}

static hf_result write_records(struct hf_audit_batch_writer *w, uint64_t first, struct hf_buf *blob)
{
    audit_batch_header(w->audit, blob, first, (uint32_t)w->count);
    for (size_t i = 0; i < w->count; i++) {
        struct hf_cursor opening = hf_cursor(w->opening_bytes + w->items[i].at, w->items[i].len);
        TRY(audit_record(w->sealer, first + i, &w->items[i].leaf, NULL, opening, blob, &w->hashes[i]));
    }
    return hf_buf_ok(blob);
}

static hf_result write_batch(struct hf_audit_batch_writer *w)
{
    struct hf_audit *audit = w->audit;
    struct hf_buf blob = hf_buf(w->blob, sizeof(w->blob));
    struct hf_store_outcome outcome;
    struct hf_store_op op;
    uint64_t first;
    TRY(audit_reserve(audit, w->count, &first));
    hf_result result = write_records(w, first, &blob);
    if (HF_IS_OK(result)) {
        audit_append_op(audit, &op, first, w->count, hf_buf_cursor(&blob));
        result = audit->store->ops->commit(audit->store, &op, 1, audit->config.strict ? HF_DURABLE : HF_LAZY,
                                           &outcome);
    }
    audit_note_result(result);
    if (!HF_IS_OK(result)) {
        audit_publish_unresolved(audit, first, w->count);
        return HF_FAIL(AUDIT_DOWN);
    }
    atomic_fetch_add_explicit(&audit->written_bytes, blob.len, memory_order_relaxed);
    audit_publish(audit, first, w->hashes, w->count);
    return HF_DONE;
}

static hf_result flush(struct hf_audit_batch_writer *w)
{
    hf_result result = w->count != 0 ? write_batch(w) : HF_DONE;
    w->count = 0;
    w->openings.len = 0;
    w->openings.overflow = false;
    return result;
}

hf_result hf_audit_batch_add(struct hf_audit_batch_writer *w, const struct hf_audit_entry *entry)
{
    if (w->count == AUDIT_BATCH_ENTRIES || w->openings.cap - w->openings.len < HF_ENTRY_OPENING_MAX) {
        if (!HF_IS_OK(flush(w)))
            w->failed = true;
    }
    if (w->failed || audit_refuses(w->audit))
        return HF_FAIL(AUDIT_DOWN);
    struct item *item = &w->items[w->count];
    if (w->count == 0)
        w->time_ms = audit_now_ms(w->audit);
    size_t begin = w->openings.len;
    hf_result result = audit_encode(w->sealer, entry, w->time_ms, &w->openings, &item->leaf);
    if (!HF_IS_OK(result)) {
        w->openings.len = begin;
        w->openings.overflow = false;
        return result;
    }
    item->at = (uint32_t)begin;
    item->len = (uint32_t)(w->openings.len - begin);
    w->count++;
    return HF_DONE;
}

hf_result hf_audit_batch_flush(struct hf_audit_batch_writer *w)
{
    hf_result result = flush(w);
    if (w->failed) {
        w->failed = false;
        return HF_FAIL(AUDIT_DOWN);
    }
    return result;
}
