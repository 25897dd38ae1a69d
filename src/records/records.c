#include "records/inner.h"

#include <stdlib.h>

static const char *const table_names[HF_TABLE_END] = {
    [HF_TABLE_SEAL] = "seal",
    [HF_TABLE_KEYRING] = "keyring",
    [HF_TABLE_NAMESPACE] = "namespace",
    [HF_TABLE_MOUNT] = "mount",
    [HF_TABLE_KEY] = "key",
    [HF_TABLE_POLICY] = "policy",
    [HF_TABLE_TOKEN] = "token",
    [HF_TABLE_ACCESSOR] = "accessor",
    [HF_TABLE_ROLE] = "role",
    [HF_TABLE_SECRET_ID] = "secret id",
    [HF_TABLE_KV] = "kv",
    [HF_TABLE_CONFIG] = "config",
    [HF_TABLE_OPERATOR] = "operator",
    [HF_TABLE_APPROVAL] = "approval",
    [HF_TABLE_KEEPER] = "keeper",
    [HF_TABLE_IDENTITY] = "identity",
    [HF_TABLE_ROTATION] = "rotation",
    [HF_TABLE_ASSET] = "asset",
    [HF_TABLE_ALERT] = "alert",
    [HF_TABLE_SESSION_POLICY] = "session policy",
};

const char *hf_table_name(enum hf_table table)
{
    const char *name = (unsigned)table < HF_TABLE_END ? table_names[table] : NULL;
    return name != NULL ? name : "unknown table";
}

/* ---- faults ------------------------------------------------------------------------------------------------- */

static _Thread_local char fault[256];

const char *hf_records_fault(void)
{
    return fault;
}

static struct hf_buf fault_begin(void)
{
    memset(fault, 0, sizeof fault);
    return hf_buf(fault, sizeof fault - 1);
}

void hf_fault_set(const char *text)
{
    struct hf_buf out = fault_begin();
    hf_buf_text(&out, text);
}

static void fault_record(struct hf_buf *out, uint16_t table, const struct hf_id *id)
{
    hf_buf_text(out, hf_table_name((enum hf_table)table));
    if (id != NULL) {
        char text[HF_ID_TEXT_LEN];
        hf_id_text(*id, text);
        hf_buf_u8(out, ' ');
        hf_buf_put(out, text, sizeof text);
    }
    hf_buf_text(out, ": ");
}

static hf_result corrupt(struct hf_records *records)
{
    __atomic_fetch_add(&records->corrupt_found, 1, __ATOMIC_RELAXED);
    hf_log(HF_LOG_ERROR, "records.corrupt", hf_f("found", (const char *)fault));
    return HF_FAIL(CORRUPT);
}

hf_result hf_fault_record(struct hf_records *records, uint16_t table, const struct hf_id *id,
                          const char *what)
{
    struct hf_buf out = fault_begin();
    fault_record(&out, table, id);
    hf_buf_text(&out, what);
    return corrupt(records);
}

hf_result hf_fault_revs(struct hf_records *records, uint16_t table, struct hf_id id, uint64_t have,
                        uint64_t want)
{
    struct hf_buf out = fault_begin();
    fault_record(&out, table, &id);
    hf_buf_text(&out, have < want ? "older revision " : "later revision ");
    hf_buf_decimal(&out, have);
    hf_buf_text(&out, ", expected ");
    hf_buf_decimal(&out, want);
    return corrupt(records);
}

hf_result hf_fault_shard(struct hf_records *records, unsigned shard, const char *what, uint64_t have,
                         uint64_t want)
{
    struct hf_buf out = fault_begin();
    hf_buf_text(&out, "shard ");
    hf_buf_decimal(&out, shard);
    hf_buf_text(&out, ": ");
    hf_buf_text(&out, what);
    if (have != 0 || want != 0) {
        hf_buf_text(&out, ": change ");
        hf_buf_decimal(&out, have);
    }
    if (want != 0) {
        hf_buf_text(&out, ", expected ");
        hf_buf_decimal(&out, want);
    }
    return corrupt(records);
}

hf_result hf_fault_differs(struct hf_records *records, uint16_t table, struct hf_id id,
                           const struct hf_map_entry *entry, const struct hf_row *row)
{
    if (entry == NULL)
        return hf_fault_record(records, table, &id, "in the store, but not in the feed: added");
    if (row == NULL)
        return hf_fault_record(records, table, &id, "in the feed, but not in the store: removed");
    if (row->rev != entry->rev)
        return hf_fault_revs(records, table, id, row->rev, entry->rev);
    return hf_fault_record(records, table, &id, "exchanged: another record was written with this revision");
}

/* ---- namespaces ----------------------------------------------------------------------------------------------- */

/* ns_lock is held. Few namespaces, and asked for seldom: a walk does. */
static uint32_t ns_find(const struct hf_records *records, struct hf_cursor ns)
{
    uint32_t i = 0;
    while (i < records->ns_count &&
           !hf_cursor_same(hf_cursor(records->namespaces[i]->id, records->namespaces[i]->len), ns))
        i++;
    return i;
}

static bool ns_add(struct hf_records *records, struct hf_cursor ns)
{
    if (records->ns_count == records->ns_cap) {
        uint32_t cap = records->ns_cap == 0 ? 16 : records->ns_cap * 2;
        struct hf_namespace **grown = realloc(records->namespaces, cap * sizeof(struct hf_namespace *));
        if (grown == NULL)
            return false;
        records->namespaces = grown;
        records->ns_cap = cap;
    }
    struct hf_namespace *space = calloc(1, sizeof *space);
    if (space == NULL)
        return false;
    space->len = (uint8_t)ns.left;
    (void)hf_cursor_copy(&ns, space->id, ns.left);
    records->namespaces[records->ns_count++] = space;
    return true;
}

uint16_t hf_ns_number(struct hf_records *records, struct hf_cursor ns, bool *ret_known)
{
    pthread_mutex_lock(&records->ns_lock);
    uint32_t number = ns_find(records, ns);
    *ret_known = true;
    if (number == records->ns_count && number < HF_NS_COUNTED_MAX)
        *ret_known = ns_add(records, ns);
    pthread_mutex_unlock(&records->ns_lock);
    return (uint16_t)HF_MIN(number, (uint32_t)HF_NS_COUNTED_MAX);
}

uint64_t hf_ns_records(struct hf_records *records, uint16_t table, struct hf_cursor ns, bool *ret_exact)
{
    *ret_exact = true;
    if (ns.left == 0)
        return __atomic_load_n(&records->counts[table], __ATOMIC_RELAXED);
    pthread_mutex_lock(&records->ns_lock);
    uint32_t number = ns_find(records, ns);
    uint64_t count = number < records->ns_count
                         ? __atomic_load_n(&records->namespaces[number]->counts[table], __ATOMIC_RELAXED)
                         : 0;
    *ret_exact = number < records->ns_count || records->ns_count < HF_NS_COUNTED_MAX;
    pthread_mutex_unlock(&records->ns_lock);
    return count;
}

/* ---- one record ------------------------------------------------------------------------------------------------ */

void hf_shards_lock(struct hf_records *records, uint64_t which)
{
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++) {
        if (which >> i & 1)
            pthread_mutex_lock(&records->shards[i].commit_lock);
    }
}

void hf_shards_unlock(struct hf_records *records, uint64_t which)
{
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++) {
        if (which >> i & 1)
            pthread_mutex_unlock(&records->shards[i].commit_lock);
    }
}

bool hf_entry_find(struct hf_records *records, uint16_t table, struct hf_id id,
                   struct hf_map_entry *ret_entry)
{
    struct hf_shard *shard = &records->shards[hf_shard_of(table, id)];
    pthread_mutex_lock(&shard->map_lock);
    const struct hf_map_entry *entry = hf_map_find(&shard->map, table, id);
    if (entry != NULL)
        *ret_entry = *entry;
    pthread_mutex_unlock(&shard->map_lock);
    return entry != NULL;
}

bool hf_entry_is(const struct hf_map_entry *entry, const struct hf_row *row)
{
    if (row->rev != entry->rev || row->sealed.left < HF_RECORD_TAG)
        return false;
    const uint8_t *tag = row->sealed.at + row->sealed.left - HF_RECORD_TAG;
    return memcmp(tag, entry->tag, HF_MAP_TAG) == 0; /* public: rows lie sealed in the store */
}

hf_result hf_record_make(struct hf_records *records, const struct hf_row *row, struct hf_record *ret_record)
{
    size_t overhead = hf_row_overhead(records);
    size_t len = row->sealed.left < overhead ? 0 : row->sealed.left - overhead;
    if (row->name.left > sizeof ret_record->name)
        return hf_fault_record(records, row->table, &row->id, "its name is too long");
    void *memory = hf_arena_alloc(len + 1); /* never nothing */
    if (memory == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf plain = hf_buf(memory, len);
    hf_result result = hf_row_open(records, row, &plain);
    if (!HF_IS_OK(result)) {
        hf_arena_free(memory);
        return result;
    }
    ret_record->id = row->id;
    ret_record->rev = row->rev;
    ret_record->state = row->state;
    ret_record->due_ns = row->due_ns;
    ret_record->name_len = row->name.left;
    if (row->name.left != 0)
        memcpy(ret_record->name, row->name.at, row->name.left);
    ret_record->plain = hf_buf_cursor(&plain);
    ret_record->memory = memory;
    return HF_DONE;
}

void hf_record_done(struct hf_record *record)
{
    hf_arena_free(record->memory); /* wipes */
    record->memory = NULL;
    record->plain = (struct hf_cursor){0};
    record->name_len = 0;
}

/* One reading of the row, against the feed as it is after it. Fails: CONFLICT where they differ (a commit may be under
 * way), with what is known of both. */
static hf_result load_once(struct hf_records *records, uint16_t table, struct hf_id id, struct hf_buf *space,
                           bool *ret_known, struct hf_map_entry *ret_entry, bool *ret_there,
                           struct hf_row *ret_row)
{
    *ret_known = hf_entry_find(records, table, id, ret_entry);
    if (!*ret_known)
        return HF_FAIL(NOT_FOUND); /* the feed says so: no statement */
    hf_result result = records->store->ops->get(records->store, table, id, space, ret_row);
    *ret_there = HF_IS_OK(result);
    if (result.code == HF_NOT_FOUND)
        return HF_FAIL(CONFLICT);
    TRY(result);
    return hf_entry_is(ret_entry, ret_row) ? HF_DONE : HF_FAIL(CONFLICT);
}

static hf_result load_row(struct hf_records *records, uint16_t table, struct hf_id id, struct hf_buf *space,
                          struct hf_row *ret_row)
{
    bool known, there = false;
    struct hf_map_entry entry;
    size_t begun = space->len;
    hf_result result = load_once(records, table, id, space, &known, &entry, &there, ret_row);
    if (result.code != HF_CONFLICT)
        return result;
    /* A commit may be under way: the store has it, and the feed in memory not yet. Behind its lock it is one or the
     * other; and what another node wrote is taken in first. */
    unsigned number = hf_shard_of(table, id);
    struct hf_shard *shard = &records->shards[number];
    for (unsigned attempt = 0; attempt < 2 && result.code == HF_CONFLICT; attempt++) {
        space->len = begun;
        space->overflow = false;
        hf_shards_lock(records, UINT64_C(1) << number);
        result = attempt > 0 || shard->unsure ? hf_feed_catch_up(records, number) : HF_DONE;
        if (HF_IS_OK(result))
            result = load_once(records, table, id, space, &known, &entry, &there, ret_row);
        hf_shards_unlock(records, UINT64_C(1) << number);
    }
    if (result.code == HF_CONFLICT)
        return hf_fault_differs(records, table, id, &entry, there ? ret_row : NULL);
    return result;
}

hf_result hf_record_load(struct hf_records *records, enum hf_table table, struct hf_id id,
                         struct hf_record *ret_record)
{
    enum { SMALL = 8 << 10 };
    uint8_t small[SMALL];
    struct hf_buf space = hf_buf(small, sizeof small);
    struct hf_row row;
    struct hf_record record;
    hf_result result = load_row(records, (uint16_t)table, id, &space, &row);
    uint8_t *large = NULL;
    if (result.code == HF_TOO_LARGE) {
        large = malloc(HF_RECORD_ROW_MAX);
        if (large == NULL)
            return HF_FAIL(NO_MEMORY);
        space = hf_buf(large, HF_RECORD_ROW_MAX);
        result = load_row(records, (uint16_t)table, id, &space, &row);
    }
    if (HF_IS_OK(result))
        result = hf_record_make(records, &row, &record);
    free(large);
    TRY(result);
    *ret_record = record;
    return HF_DONE;
}

bool hf_record_exists(struct hf_records *records, enum hf_table table, struct hf_id id, uint64_t *ret_rev)
{
    struct hf_map_entry entry;
    bool there = hf_entry_find(records, (uint16_t)table, id, &entry);
    if (there && ret_rev != NULL)
        *ret_rev = entry.rev;
    return there;
}

struct hf_id hf_record_id(const struct hf_records *records, enum hf_table table, struct hf_cursor ns,
                          struct hf_cursor name)
{
    uint8_t head[4], mac[HF_HASH_MAX] = {0};
    hf_store_u16(head, (uint16_t)table);
    hf_store_u16(head + 2, (uint16_t)ns.left);
    const struct hf_cursor parts[] = {hf_cursor(head, sizeof head), ns, name};
    /* The hash cannot fail: its context is the thread's, and the key was accepted at open. A zero id would still only
     * name a record that is not there. */
    HF_IGNORE(hf_hmac(HF_SHA2_256, records->index_key, parts, HF_ARRAY_LEN(parts), mac), "see above");
    struct hf_id id;
    memcpy(id.bytes, mac, sizeof id.bytes);
    return id;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static void records_freep(struct hf_records **records)
{
    hf_records_close(*records);
}

void hf_records_close(struct hf_records *records)
{
    if (records == NULL)
        return;
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++) {
        hf_map_free(&records->shards[i].map);
        pthread_mutex_destroy(&records->shards[i].commit_lock);
        pthread_mutex_destroy(&records->shards[i].map_lock);
    }
    for (uint32_t i = 0; i < records->ns_count; i++)
        free(records->namespaces[i]);
    free(records->namespaces);
    pthread_mutex_destroy(&records->ns_lock);
    pthread_rwlock_destroy(&records->still);
    hf_aead_free(records->aead);
    hf_secret_free(records->index_key);
    free(records);
}

hf_result hf_records_open(struct hf_store *store, const struct hf_secret *record_key,
                          const struct hf_secret *index_key, const struct hf_clock *clock,
                          struct hf_records **ret_records)
{
    hf_fault_set("");
    CLEANUP(records_freep) struct hf_records *records = calloc(1, sizeof *records);
    if (records == NULL)
        return HF_FAIL(NO_MEMORY);
    records->store = store;
    records->clock = clock;
    pthread_mutex_init(&records->ns_lock, NULL);
    pthread_rwlockattr_t fair; /* who wants it alone gets it, however many commit */
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&records->still, &fair);
    pthread_rwlockattr_destroy(&fair);
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++) {
        pthread_mutex_init(&records->shards[i].commit_lock, NULL);
        pthread_mutex_init(&records->shards[i].map_lock, NULL);
    }
    TRY(hf_aead_new(HF_ALG_XAES256_GCM, record_key, &records->aead));
    TRY(hf_secret_copy(index_key, &records->index_key));
    TRY(hf_feed_open(records));
    *ret_records = TAKE(records);
    return HF_DONE;
}

struct hf_store *hf_records_store(struct hf_records *records)
{
    return records->store;
}

uint64_t hf_records_position(struct hf_records *records)
{
    uint64_t position = 0;
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++)
        position += __atomic_load_n(&records->shards[i].seq, __ATOMIC_ACQUIRE);
    return position;
}

uint64_t hf_records_audit_least(struct hf_records *records, struct hf_id log)
{
    uint64_t least = 0;
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++) {
        struct hf_shard *shard = &records->shards[i];
        pthread_mutex_lock(&shard->commit_lock);
        if (memcmp(&shard->anchor.log, &log, sizeof log) == 0) /* public */
            least = HF_MAX(least, shard->anchor.size);
        pthread_mutex_unlock(&shard->commit_lock);
    }
    return least;
}

void hf_records_stats(struct hf_records *records, struct hf_records_stats *ret_stats)
{
    struct hf_records_stats stats = {.feed_size = hf_records_position(records),
                                     .bytes_in_memory = sizeof *records};
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++) {
        pthread_mutex_lock(&records->shards[i].map_lock);
        stats.count += records->shards[i].map.count;
        stats.bytes_in_memory += records->shards[i].map.cap * sizeof(struct hf_map_entry);
        pthread_mutex_unlock(&records->shards[i].map_lock);
    }
    pthread_mutex_lock(&records->ns_lock);
    stats.bytes_in_memory += records->ns_count * sizeof(struct hf_namespace);
    pthread_mutex_unlock(&records->ns_lock);
    stats.corrupt_found = __atomic_load_n(&records->corrupt_found, __ATOMIC_RELAXED);
    *ret_stats = stats;
}
