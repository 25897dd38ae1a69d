/* Lists. The store's order is trusted for nothing but order: each row is held against the feed, and where a list was
 * whole, so is their number. */
#include <stdlib.h>

#include "records/inner.h"

enum { PAGE_BYTES = 1 << 20, PAGE_ROWS = 1000 };

/* Rows of a page, copied: what is done with them may ask the store again. */
struct page {
    struct hf_row *rows;
    size_t count, cap;
    uint8_t *bytes; /* parts of the rows lie here; their cursors are offsets till page_settle */
    size_t len, bytes_cap;
    uint32_t rows_max;
    bool full, no_memory;
};

static void page_done(struct page *page)
{
    free(page->rows);
    free(page->bytes);
}

static bool page_room(struct page *page, size_t more)
{
    if (page->count == page->cap) {
        size_t cap = page->cap == 0 ? 64 : page->cap * 2;
        struct hf_row *grown = realloc(page->rows, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        page->rows = grown;
        page->cap = cap;
    }
    if (page->bytes_cap - page->len < more) {
        size_t cap = HF_MAX(page->bytes_cap * 2, page->len + more + 4096);
        uint8_t *grown = realloc(page->bytes, cap);
        if (grown == NULL)
            return false;
        page->bytes = grown;
        page->bytes_cap = cap;
    }
    return true;
}

static struct hf_cursor page_keep(struct page *page, struct hf_cursor part)
{
    if (part.left != 0)
        memcpy(page->bytes + page->len, part.at, part.left);
    struct hf_cursor kept = {(const uint8_t *)(uintptr_t)page->len,
                             part.left}; /* an offset: bytes may move */
    page->len += part.left;
    return kept;
}

static bool page_add(void *arg, const struct hf_row *row)
{
    struct page *page = arg;
    if (!page_room(page, row->ns.left + row->name.left + row->sealed.left)) {
        page->no_memory = true;
        return false;
    }
    struct hf_row kept = *row;
    kept.ns = page_keep(page, row->ns);
    kept.name = page_keep(page, row->name);
    kept.sealed = page_keep(page, row->sealed);
    page->rows[page->count++] = kept;
    page->full = page->count == page->rows_max || page->len >= PAGE_BYTES;
    return !page->full;
}

static void page_settle(struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        struct hf_cursor *parts[] = {&page->rows[i].ns, &page->rows[i].name, &page->rows[i].sealed};
        for (size_t p = 0; p < HF_ARRAY_LEN(parts); p++)
            parts[p]->at = parts[p]->left == 0 ? NULL : page->bytes + (uintptr_t)parts[p]->at;
    }
}

static hf_result page_read(struct hf_records *records, const struct hf_list_query *query, struct page *page)
{
    page->count = page->len = 0;
    page->full = false;
    page->rows_max = query->limit;
    TRY(records->store->ops->list(records->store, query, page_add, page));
    if (page->no_memory)
        return HF_FAIL(NO_MEMORY);
    page_settle(page);
    return HF_DONE;
}

/* ---- one row ------------------------------------------------------------------------------------------------- */

/* Whether the row's clear columns are its own. Named records' ids are made of them; others' seals are opened. */
static hf_result check_columns(struct hf_records *records, const struct hf_row *row)
{
    struct hf_id made = hf_record_id(records, (enum hf_table)row->table, row->ns, row->name);
    if (memcmp(&made, &row->id, sizeof made) == 0) /* public */
        return HF_DONE;
    struct hf_record record;
    TRY(hf_record_load(records, (enum hf_table)row->table, row->id, &record));
    hf_record_done(&record);
    return HF_DONE;
}

/* A row came without its sealed part. Fails: NOT_FOUND where it was deleted meanwhile. */
static hf_result check_bare(struct hf_records *records, const struct hf_row *row)
{
    struct hf_map_entry entry;
    bool known = hf_entry_find(records, row->table, row->id, &entry);
    if (known && entry.rev == row->rev)
        return check_columns(records, row);
    /* Changed meanwhile, or changed by somebody else: load says which. */
    struct hf_record record;
    hf_result result = hf_record_load(records, (enum hf_table)row->table, row->id, &record);
    if (HF_IS_OK(result))
        hf_record_done(&record);
    return result;
}

/* NOT_FOUND for a row that the feed does not have: deleted just now, or added by somebody. Behind the lock of its shard
 * only the second is left. */
static hf_result check_foreign(struct hf_records *records, const struct hf_row *row)
{
    unsigned number = hf_shard_of(row->table, row->id);
    struct hf_map_entry entry;
    bool there = false;
    hf_shards_lock(records, UINT64_C(1) << number);
    bool known = hf_entry_find(records, row->table, row->id, &entry);
    hf_result result = HF_DONE;
    if (!known) {
        uint8_t small[HF_RECORD_NS_MAX + HF_STORE_NAME_MAX];
        struct hf_buf space = hf_buf(small, sizeof small);
        struct hf_row again;
        result = records->store->ops->get(records->store, row->table, row->id, &space, &again);
        there = HF_IS_OK(result) || result.code == HF_TOO_LARGE;
        if (there || result.code == HF_NOT_FOUND)
            result = HF_DONE;
    }
    hf_shards_unlock(records, UINT64_C(1) << number);
    TRY(result);
    return there ? hf_fault_differs(records, row->table, row->id, NULL, row) : HF_DONE;
}

/* ---- how many ---------------------------------------------------------------------------------------------------- */

struct counting {
    uint64_t rows;
    struct hf_id last;
};

static bool count_row(void *arg, const struct hf_row *row)
{
    struct counting *c = arg;
    c->rows++;
    c->last = row->id;
    return true;
}

static hf_result count_rows(struct hf_records *records, enum hf_table table, struct hf_cursor ns,
                            uint64_t *ret)
{
    struct counting c = {0};
    struct hf_list_query query = {.table = (uint16_t)table,
                                  .ns = ns,
                                  .order = HF_LIST_BY_ID,
                                  .without_sealed = true,
                                  .limit = HF_STORE_LIST_MAX};
    for (uint64_t before = 0;; before = c.rows) {
        struct hf_id after = c.last;
        query.after = hf_cursor(after.bytes, before == 0 ? 0 : sizeof after.bytes);
        TRY(records->store->ops->list(records->store, &query, count_row, &c));
        if (c.rows - before < query.limit)
            break;
    }
    *ret = c.rows;
    return HF_DONE;
}

/* After a whole list of `seen` rows, all of which the feed has: is any missing? Where something was committed
 * meanwhile the numbers differ for that reason; then they are taken again with every commit held back. */
static hf_result check_whole(struct hf_records *records, enum hf_table table, struct hf_cursor ns,
                             uint64_t seen)
{
    bool exact;
    uint64_t want = hf_ns_records(records, (uint16_t)table, ns, &exact), have;
    if (!exact || want == seen)
        return HF_DONE;
    pthread_rwlock_wrlock(&records->still);
    want = hf_ns_records(records, (uint16_t)table, ns, &exact);
    hf_result result = count_rows(records, table, ns, &have);
    pthread_rwlock_unlock(&records->still);
    TRY(result);
    if (have == want)
        return HF_DONE;
    return hf_fault_record(records, (uint16_t)table, NULL,
                           have < want ? "a record is in the feed, but not in the store: removed"
                                       : "a record is in the store, but not in the feed: added");
}

/* ---- the calls ----------------------------------------------------------------------------------------------------- */

hf_result hf_record_names(struct hf_records *records, enum hf_table table, struct hf_cursor ns,
                          struct hf_cursor prefix, struct hf_cursor after, uint32_t limit,
                          bool (*each)(void *arg, struct hf_cursor name, struct hf_id id), void *arg)
{
    CLEANUP(page_done) struct page page = {0};
    struct hf_list_query query = {.table = (uint16_t)table,
                                  .ns = ns,
                                  .prefix = prefix,
                                  .after = after,
                                  .order = HF_LIST_BY_NAME,
                                  .without_sealed = true,
                                  .limit = HF_MIN(limit, (uint32_t)HF_STORE_LIST_MAX)};
    hf_fault_set("");
    if (query.limit == 0)
        return HF_DONE;
    TRY(page_read(records, &query, &page));
    bool whole = prefix.left == 0 && after.left == 0 && page.count < query.limit && !page.full;
    for (size_t i = 0; i < page.count; i++) {
        const struct hf_row *row = &page.rows[i];
        hf_result result = check_bare(records, row);
        if (result.code == HF_NOT_FOUND) {
            TRY(check_foreign(records, row));
            continue; /* deleted meanwhile */
        }
        TRY(result);
        if (!each(arg, row->name, row->id))
            return HF_DONE;
    }
    return whole ? check_whole(records, table, ns, page.count) : HF_DONE;
}

/* Opens a row that came with its sealed part; where it is not the one that the feed has, loads anew. */
static hf_result open_row(struct hf_records *records, const struct hf_row *row, struct hf_record *ret_record)
{
    struct hf_map_entry entry;
    if (hf_entry_find(records, row->table, row->id, &entry) && hf_entry_is(&entry, row))
        return hf_record_make(records, row, ret_record);
    hf_result result = hf_record_load(records, (enum hf_table)row->table, row->id, ret_record);
    if (result.code == HF_NOT_FOUND) {
        TRY(check_foreign(records, row));
        return HF_FAIL(NOT_FOUND);
    }
    return result;
}

hf_result hf_record_each(struct hf_records *records, enum hf_table table,
                         bool (*each)(void *arg, const struct hf_record *record), void *arg)
{
    CLEANUP(page_done) struct page page = {0};
    struct hf_list_query query = {.table = (uint16_t)table, .order = HF_LIST_BY_ID, .limit = PAGE_ROWS};
    struct hf_id last = {{0}};
    uint64_t seen = 0;
    hf_fault_set("");
    do {
        TRY(page_read(records, &query, &page));
        for (size_t i = 0; i < page.count; i++) {
            struct hf_record record;
            hf_result result = open_row(records, &page.rows[i], &record);
            if (result.code == HF_NOT_FOUND)
                continue;
            TRY(result);
            bool go_on = each(arg, &record);
            hf_record_done(&record);
            if (!go_on)
                return HF_DONE;
        }
        seen += page.count;
        if (page.count > 0)
            last = page.rows[page.count - 1].id;
        query.after = hf_cursor(last.bytes, sizeof last.bytes);
    } while (page.full);
    return check_whole(records, table, (struct hf_cursor){0}, seen);
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

/* Row by row, so that one fault does not hide the next. */
static hf_result check_rows(struct hf_records *records, enum hf_table table,
                            void (*bad)(void *arg, const char *what), void *arg, uint64_t *checked)
{
    CLEANUP(page_done) struct page page = {0};
    struct hf_list_query query = {.table = (uint16_t)table, .order = HF_LIST_BY_ID, .limit = PAGE_ROWS};
    struct hf_id last = {{0}};
    do {
        TRY(page_read(records, &query, &page));
        for (size_t i = 0; i < page.count; i++) {
            struct hf_record record;
            hf_result result = open_row(records, &page.rows[i], &record);
            if (HF_IS_OK(result)) {
                (*checked)++;
                hf_record_done(&record);
            } else if (result.code == HF_CORRUPT) {
                bad(arg, hf_records_fault());
            } else if (result.code != HF_NOT_FOUND) {
                return result;
            }
        }
        if (page.count > 0)
            last = page.rows[page.count - 1].id;
        query.after = hf_cursor(last.bytes, sizeof last.bytes);
    } while (page.full);
    return HF_DONE;
}

/* Records that the feed has and the store has not. The map is walked in steps, so that it is not held long. */
static hf_result check_missing(struct hf_records *records, unsigned number,
                               void (*bad)(void *arg, const char *what), void *arg)
{
    enum { STEP = 256 };
    struct hf_shard *shard = &records->shards[number];
    uint64_t at = 0, cap;
    do {
        struct hf_map_entry some[STEP];
        size_t count = 0;
        pthread_mutex_lock(&shard->map_lock);
        cap = shard->map.cap;
        for (; at < cap && count < STEP; at++) {
            if (shard->map.entries[at].rev != 0)
                some[count++] = shard->map.entries[at];
        }
        pthread_mutex_unlock(&shard->map_lock);
        for (size_t i = 0; i < count; i++) {
            struct hf_record record;
            hf_result result = hf_record_load(records, (enum hf_table)some[i].table, some[i].id, &record);
            if (HF_IS_OK(result))
                hf_record_done(&record);
            else if (result.code == HF_CORRUPT && strstr(hf_records_fault(), "removed") != NULL)
                bad(arg, hf_records_fault()); /* other faults were told by check_rows */
            else if (result.code != HF_CORRUPT && result.code != HF_NOT_FOUND)
                return result;
        }
    } while (at < cap);
    return HF_DONE;
}

hf_result hf_records_check(struct hf_records *records, void (*bad)(void *arg, const char *what), void *arg,
                           uint64_t *ret_checked)
{
    *ret_checked = 0;
    bool missing = false;
    for (unsigned table = HF_TABLE_NAMESPACE; table < HF_TABLE_END; table++) {
        uint64_t have;
        bool exact;
        TRY(check_rows(records, (enum hf_table)table, bad, arg, ret_checked));
        TRY(count_rows(records, (enum hf_table)table, (struct hf_cursor){0}, &have));
        missing = missing || have != hf_ns_records(records, (uint16_t)table, (struct hf_cursor){0}, &exact);
    }
    for (unsigned shard = 0; shard < HF_STORE_SHARDS && missing; shard++)
        TRY(check_missing(records, shard, bad, arg));
    return HF_DONE;
}
