/* Rotation by time and by use. */
#include <stdlib.h>

#include "keys/inner.h"

enum { DUE_PER_TICK = 64 };

struct rotation {
    struct hf_keys *keys;
    struct hf_audit *audit;
    int64_t now_ns;
    const char *why;
    uint32_t only_version; /* 0: any; else only while this one is the latest */
    struct hf_id key_id;
    uint32_t version;
};

static hf_result rotate_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct rotation *r = arg;
    bool due = draft->auto_rotate_ns != 0 && draft->rotated_ns + draft->auto_rotate_ns <= r->now_ns;
    if (r->only_version != 0 ? draft->latest != r->only_version : !due)
        return HF_FAIL(ALREADY); /* rotated meanwhile */
    if ((draft->flags & HF_KEY_IMPORTED) && !(draft->flags & HF_KEY_IMPORTED_ROTATES))
        return HF_FAIL(UNSUPPORTED);
    TRY(hf_key_add_generated(keys, draft, HF_KEY_ACTIVE, r->now_ns));
    r->key_id = draft->id;
    r->version = draft->latest;
    return HF_DONE;
}

static hf_result rotate_commit(struct hf_txn *txn, void *arg)
{
    struct rotation *r = arg;
    struct hf_audit_entry entry = {
        .operation = "transit.auto-rotate",
        .key_id = r->key_id,
        .key_version = r->version,
        .items = 1,
        .note = hf_cursor_text(r->why),
    };
    struct hf_audit_ticket *ticket = calloc(1, sizeof *ticket);
    if (ticket == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_store_outcome outcome;
    hf_result result = hf_audit_prepare(r->audit, &entry, ticket);
    if (HF_IS_OK(result)) {
        result = hf_txn_add(txn, &ticket->op);
        if (HF_IS_OK(result))
            result = hf_txn_commit(txn, &outcome);
        hf_result settled = hf_audit_settle(r->audit, ticket, result);
        if (HF_IS_OK(result))
            result = settled;
    }
    free(ticket);
    return result;
}

static void rotate(struct rotation *r, const struct hf_id *mount, struct hf_cursor ns, struct hf_cursor name)
{
    struct hf_key_change change = {rotate_edit, rotate_commit, r};
    hf_result result = hf_keys_change(r->keys, mount, ns, name, &change, NULL);
    if (HF_IS_OK(result))
        hf_log(HF_LOG_INFO, "keys.rotated", hf_f("key", r->key_id), hf_f("version", r->version),
               hf_f("why", r->why));
    else if (result.code != HF_ALREADY && result.code != HF_NOT_FOUND && result.code != HF_UNSUPPORTED)
        hf_log(HF_LOG_WARN, "keys.rotation_failed", hf_f("result", result));
}

static void rotate_worn(struct hf_keys *keys, struct hf_audit *audit, int64_t now_ns)
{
    for (int i = 0; i < HF_KEYS_WORN_MAX; i++) {
        pthread_mutex_lock(&keys->worn_lock);
        bool any = keys->worn_count != 0;
        struct hf_keys_worn w;
        if (any)
            w = keys->worn[--keys->worn_count];
        pthread_mutex_unlock(&keys->worn_lock);
        if (!any)
            return;
        struct rotation r = {.keys = keys,
                             .audit = audit,
                             .now_ns = now_ns,
                             .why = "half of its use limit",
                             .only_version = w.version};
        rotate(&r, &w.mount, hf_cursor(w.ns, 16), hf_cursor(w.name, w.name_len));
    }
}

struct due {
    struct hf_id ids[DUE_PER_TICK];
    size_t count;
};

static bool one_due(void *arg, const struct hf_row *row)
{
    struct due *due = arg;
    due->ids[due->count++] = row->id;
    return due->count < DUE_PER_TICK;
}

/* The clear column only finds candidates; the sealed record decides. */
static hf_result rotate_due(struct hf_keys *keys, struct hf_audit *audit, int64_t now_ns)
{
    struct due due = {0};
    struct hf_list_query query = {
        .table = HF_TABLE_KEY,
        .order = HF_LIST_BY_DUE,
        .due_before_ns = now_ns,
        .without_sealed = true,
        .limit = DUE_PER_TICK,
    };
    struct hf_store *store = hf_records_store(keys->records);
    TRY(store->ops->list(store, &query, one_due, &due));
    for (size_t i = 0; i < due.count; i++) {
        CLEANUP(hf_record_done) struct hf_record record = {0};
        CLEANUP(hf_key_freep) struct hf_key *key = NULL;
        hf_result loaded = hf_record_load(keys->records, HF_TABLE_KEY, due.ids[i], &record);
        if (HF_IS_OK(loaded))
            loaded = hf_key_decode(record.plain, &key);
        if (!HF_IS_OK(loaded)) {
            hf_log(HF_LOG_WARN, "keys.due_unreadable", hf_f("record", due.ids[i]), hf_f("result", loaded));
            continue;
        }
        struct rotation r = {.keys = keys, .audit = audit, .now_ns = now_ns, .why = "period"};
        rotate(&r, &key->mount, hf_cursor(key->ns, 16), hf_cursor(key->name, key->name_len));
    }
    return HF_DONE;
}

hf_result hf_keys_tick(struct hf_keys *keys, struct hf_audit *audit, int64_t now_ns)
{
    rotate_worn(keys, audit, now_ns);
    return rotate_due(keys, audit, now_ns);
}
