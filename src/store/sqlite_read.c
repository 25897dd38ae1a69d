/* Reads, each on a connection of its own while it lasts: they see one state of the database and wait for no writer. */
#include "store/check.h"
#include "store/sqlite.h"

struct hf_sqlite_conn *hf_sqlite_reader_take(struct hf_sqlite *engine)
{
    struct hf_sqlite_conn *free_one = NULL;
    pthread_mutex_lock(&engine->reader_lock);
    for (;;) {
        for (size_t i = 0; i < HF_SQLITE_READERS && free_one == NULL; i++) {
            if (!engine->readers[i].taken)
                free_one = &engine->readers[i];
        }
        if (free_one != NULL)
            break;
        pthread_cond_wait(&engine->reader_free, &engine->reader_lock);
    }
    free_one->taken = true;
    pthread_mutex_unlock(&engine->reader_lock);
    return free_one;
}

void hf_sqlite_reader_give(struct hf_sqlite *engine, struct hf_sqlite_conn *conn)
{
    pthread_mutex_lock(&engine->reader_lock);
    conn->taken = false;
    pthread_cond_signal(&engine->reader_free);
    pthread_mutex_unlock(&engine->reader_lock);
}

/* One statement on one connection, from take to give. */
struct read {
    struct hf_sqlite *engine;
    struct hf_sqlite_conn *conn;
    sqlite3_stmt *s;
};

static hf_result read_begin(struct hf_store *self, enum hf_sqlite_statement which, struct read *ret)
{
    struct hf_sqlite *engine = (struct hf_sqlite *)self;
    struct read r = {.engine = engine, .conn = hf_sqlite_reader_take(engine)};
    hf_result result = hf_sqlite_prepare(r.conn, which, &r.s);
    if (!HF_IS_OK(result)) {
        hf_sqlite_reader_give(engine, r.conn);
        return result;
    }
    *ret = r;
    return HF_DONE;
}

static void read_end(struct read *r)
{
    if (r->conn == NULL)
        return;
    sqlite3_reset(r->s);
    (void)sqlite3_clear_bindings(r->s);
    hf_sqlite_reader_give(r->engine, r->conn);
}

/* Next row: *ret_row says whether there is one. */
static hf_result read_step(struct read *r, bool *ret_row)
{
    int code = sqlite3_step(r->s);
    *ret_row = code == SQLITE_ROW;
    return hf_sqlite_result(r->conn->db, code);
}

/* Columns as every SELECT on record has them. Fails: CORRUPT where the file holds what no writer of ours put. */
static hf_result row_of(sqlite3_stmt *s, uint16_t table, struct hf_row *ret_row)
{
    struct hf_row row = {.table = table};
    int64_t rev = sqlite3_column_int64(s, 1), state = sqlite3_column_int64(s, 4);
    if (!hf_sqlite_column_id(s, 0, &row.id) || rev <= 0 || state < 0 || state > UINT8_MAX)
        return HF_FAIL(CORRUPT);
    row.rev = (uint64_t)rev;
    row.ns = hf_sqlite_column(s, 2);
    row.name = hf_sqlite_column(s, 3);
    row.state = (uint8_t)state;
    row.due_ns = sqlite3_column_int64(s, 5);
    row.sealed = hf_sqlite_column(s, 6);
    if (row.ns.left > HF_STORE_NS_MAX || row.name.left > HF_STORE_NAME_MAX ||
        row.sealed.left > HF_STORE_RECORD_MAX || row.due_ns < 0)
        return HF_FAIL(CORRUPT);
    *ret_row = row;
    return HF_DONE;
}

static hf_result copy_out(struct hf_buf *space, struct hf_cursor *part)
{
    uint8_t *place = hf_buf_reserve(space, part->left);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    if (part->left != 0)
        memcpy(place, part->at, part->left);
    part->at = place;
    return HF_DONE;
}

hf_result hf_sqlite_get(struct hf_store *self, uint16_t table, struct hf_id id, struct hf_buf *space,
                        struct hf_row *ret_row)
{
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_RECORD_GET, &r));
    hf_sqlite_bind_number(r.s, 1, table);
    hf_sqlite_bind_id(r.s, 2, &id);
    bool there;
    TRY(read_step(&r, &there));
    if (!there)
        return HF_FAIL(NOT_FOUND);
    struct hf_row row;
    TRY(row_of(r.s, table, &row));
    TRY(copy_out(space, &row.ns));
    TRY(copy_out(space, &row.name));
    TRY(copy_out(space, &row.sealed));
    *ret_row = row;
    return HF_DONE;
}

/* The least blob that no blob with this prefix reaches; 0xff is beyond any name. */
static struct hf_cursor prefix_end(struct hf_cursor prefix, uint8_t space[static HF_STORE_NAME_MAX + 1])
{
    size_t len = prefix.left;
    while (len > 0 && prefix.at[len - 1] == 0xff)
        len--;
    if (len == 0) {
        memset(space, 0xff, HF_STORE_NAME_MAX + 1);
        return hf_cursor(space, HF_STORE_NAME_MAX + 1);
    }
    memcpy(space, prefix.at, len);
    space[len - 1]++;
    return hf_cursor(space, len);
}

static int compare(struct hf_cursor a, struct hf_cursor b)
{
    size_t least = HF_MIN(a.left, b.left);
    int order = least == 0 ? 0 : memcmp(a.at, b.at, least); /* public: names */
    return order != 0 ? order : (a.left > b.left) - (a.left < b.left);
}

static enum hf_sqlite_statement statement_of(const struct hf_list_query *query)
{
    bool bare = query->without_sealed;
    if (query->order == HF_LIST_BY_DUE)
        return bare ? HF_SQL_LIST_DUE_BARE : HF_SQL_LIST_DUE;
    if (query->order == HF_LIST_BY_ID)
        return bare ? HF_SQL_LIST_ID_BARE : HF_SQL_LIST_ID;
    if (query->ns.left == 0)
        return bare ? HF_SQL_LIST_NAME_ANY_BARE : HF_SQL_LIST_NAME_ANY;
    return bare ? HF_SQL_LIST_NAME_BARE : HF_SQL_LIST_NAME;
}

hf_result hf_sqlite_list(struct hf_store *self, const struct hf_list_query *query, hf_row_fn each, void *arg)
{
    static const uint8_t beyond_ids[sizeof(struct hf_id) + 1] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    TRY(hf_store_query_check(query));
    uint8_t end[HF_STORE_NAME_MAX + 1];
    struct hf_cursor after_id = query->after_id, name = query->prefix;
    uint64_t due = 0;
    if (query->after.left == 0) {
        after_id = hf_cursor("", 0);
    } else if (query->order == HF_LIST_BY_ID) {
        after_id = query->after;
    } else {
        if (after_id.left == 0)
            after_id = hf_cursor(beyond_ids, sizeof beyond_ids);
        struct hf_cursor after = query->after;
        if (query->order == HF_LIST_BY_DUE) {
            if (!hf_cursor_u64(&after, &due) || due > HF_STORE_NUMBER_MAX)
                return HF_FAIL(BAD_ARGUMENT);
        } else if (compare(after, name) >= 0) {
            name = after;
        } else {
            after_id = hf_cursor("", 0);
        }
    }
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, statement_of(query), &r));
    hf_sqlite_bind_number(r.s, 1, query->table);
    hf_sqlite_bind(r.s, 2, query->ns);
    hf_sqlite_bind(r.s, 3, name);
    hf_sqlite_bind(r.s, 4, after_id);
    hf_sqlite_bind(r.s, 5, prefix_end(query->prefix, end));
    hf_sqlite_bind_number(r.s, 6, query->limit);
    if (query->order == HF_LIST_BY_DUE) {
        hf_sqlite_bind_number(r.s, 7, due);
        hf_sqlite_bind_number(r.s, 8, (uint64_t)query->due_before_ns);
    }
    for (;;) {
        bool there;
        struct hf_row row;
        TRY(read_step(&r, &there));
        if (!there)
            return HF_DONE;
        TRY(row_of(r.s, query->table, &row));
        if (!each(arg, &row))
            return HF_DONE;
    }
}

/* A number and a blob, under one bound key; 0 and empty where there is no row. */
static hf_result numbered_blob(struct read *r, struct hf_buf *space, uint64_t *ret_number,
                               struct hf_cursor *ret_blob)
{
    bool there;
    TRY(read_step(r, &there));
    uint64_t number = 0;
    struct hf_cursor blob = hf_cursor("", 0);
    if (there) {
        int64_t value = sqlite3_column_int64(r->s, 0);
        if (value < 0)
            return HF_FAIL(CORRUPT);
        number = (uint64_t)value;
        blob = hf_sqlite_column(r->s, 1);
        TRY(copy_out(space, &blob));
    }
    *ret_number = number;
    *ret_blob = blob;
    return HF_DONE;
}

hf_result hf_sqlite_head_get(struct hf_store *self, uint16_t shard, struct hf_buf *space, uint64_t *ret_seq,
                             struct hf_cursor *ret_blob)
{
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_HEAD_GET, &r));
    hf_sqlite_bind_number(r.s, 1, shard);
    return numbered_blob(&r, space, ret_seq, ret_blob);
}

hf_result hf_sqlite_audit_head_get(struct hf_store *self, struct hf_id log, struct hf_buf *space,
                                   uint64_t *ret_size, struct hf_cursor *ret_blob)
{
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_AUDIT_HEAD_GET, &r));
    hf_sqlite_bind_id(r.s, 1, &log);
    return numbered_blob(&r, space, ret_size, ret_blob);
}

static hf_result change_of(sqlite3_stmt *s, struct hf_change *ret_change)
{
    int64_t shard = sqlite3_column_int64(s, 1), seq = sqlite3_column_int64(s, 2);
    if (shard < 0 || shard >= HF_STORE_SHARDS || seq <= 0 || !hf_sqlite_column_id(s, 4, &ret_change->id))
        return HF_FAIL(CORRUPT);
    ret_change->at = (uint64_t)sqlite3_column_int64(s, 0);
    ret_change->shard = (uint16_t)shard;
    ret_change->seq = (uint64_t)seq;
    ret_change->table = (uint16_t)sqlite3_column_int64(s, 3);
    ret_change->rev = (uint64_t)sqlite3_column_int64(s, 5);
    ret_change->blob = hf_sqlite_column(s, 6);
    return HF_DONE;
}

static hf_result each_change(struct read *r, hf_change_fn each, void *arg)
{
    for (;;) {
        bool there;
        struct hf_change change;
        TRY(read_step(r, &there));
        if (!there)
            return HF_DONE;
        TRY(change_of(r->s, &change));
        if (!each(arg, &change))
            return HF_DONE;
    }
}

hf_result hf_sqlite_feed_each(struct hf_store *self, uint64_t after, uint32_t limit, hf_change_fn each,
                              void *arg)
{
    if (after > HF_STORE_NUMBER_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_CHANGE_EACH, &r));
    hf_sqlite_bind_number(r.s, 1, after);
    hf_sqlite_bind_number(r.s, 2, limit);
    return each_change(&r, each, arg);
}

/* Where the shard's first change after `after_seq` lies: asked for is mostly what is new, so from the end back. */
static hf_result first_after(struct hf_store *self, uint16_t shard, uint64_t after_seq, uint64_t *ret_pos)
{
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_CHANGE_BACK, &r));
    *ret_pos = HF_STORE_NUMBER_MAX;
    for (;;) {
        bool there;
        TRY(read_step(&r, &there));
        if (!there)
            return HF_DONE;
        if (sqlite3_column_int64(r.s, 1) != shard)
            continue;
        uint64_t seq = (uint64_t)sqlite3_column_int64(r.s, 2);
        if (seq <= after_seq)
            return HF_DONE;
        *ret_pos = (uint64_t)sqlite3_column_int64(r.s, 0);
        if (seq == after_seq + 1)
            return HF_DONE;
    }
}

hf_result hf_sqlite_feed_since(struct hf_store *self, uint16_t shard, uint64_t after_seq, uint32_t limit,
                               hf_change_fn each, void *arg)
{
    uint64_t pos;
    if (shard >= HF_STORE_SHARDS || after_seq > HF_STORE_SEQ_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(first_after(self, shard, after_seq, &pos));
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_CHANGE_FROM, &r));
    hf_sqlite_bind_number(r.s, 1, pos);
    hf_sqlite_bind_number(r.s, 2, shard);
    hf_sqlite_bind_number(r.s, 3, limit);
    return each_change(&r, each, arg);
}

static hf_result log_number(struct hf_store *self, struct hf_id log, uint64_t *ret_no)
{
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_LOG_GET, &r));
    hf_sqlite_bind_id(r.s, 1, &log);
    bool there;
    TRY(read_step(&r, &there));
    *ret_no = there ? (uint64_t)sqlite3_column_int64(r.s, 0) : 0;
    return HF_DONE;
}

/* Where the batch begins that holds index `from`; `from` itself where none does. */
static hf_result holder_of(struct hf_store *self, uint64_t base, uint64_t from, uint64_t *ret_first)
{
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_BATCH_HOLDS, &r));
    hf_sqlite_bind_number(r.s, 1, base | from);
    hf_sqlite_bind_number(r.s, 2, base);
    bool there;
    TRY(read_step(&r, &there));
    uint64_t first = there ? (uint64_t)sqlite3_column_int64(r.s, 0) - base : from;
    uint64_t count = there ? (uint64_t)sqlite3_column_int64(r.s, 1) : 0;
    *ret_first = from - first < count ? first : from;
    return HF_DONE;
}

hf_result hf_sqlite_audit_read(struct hf_store *self, struct hf_id log, uint64_t from, uint32_t limit,
                               hf_audit_batch_fn each, void *arg)
{
    uint64_t no, first;
    if (from > HF_STORE_INDEX_MAX)
        return HF_DONE;
    TRY(log_number(self, log, &no));
    if (no == 0)
        return HF_DONE;
    uint64_t base = no << HF_SQLITE_LOG_BITS;
    TRY(holder_of(self, base, from, &first));
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_BATCH_READ, &r));
    hf_sqlite_bind_number(r.s, 1, base | first);
    hf_sqlite_bind_number(r.s, 2, (no + 1) << HF_SQLITE_LOG_BITS);
    hf_sqlite_bind_number(r.s, 3, limit);
    for (;;) {
        bool there;
        TRY(read_step(&r, &there));
        if (!there)
            return HF_DONE;
        struct hf_audit_batch batch = {
            .log = log,
            .first = (uint64_t)sqlite3_column_int64(r.s, 0) - base,
            .count = (uint64_t)sqlite3_column_int64(r.s, 1),
            .blob = hf_sqlite_column(r.s, 2),
        };
        if (!each(arg, &batch))
            return HF_DONE;
    }
}

hf_result hf_sqlite_job_list(struct hf_store *self, int64_t due_before_ns, uint32_t limit, hf_job_fn each,
                             void *arg)
{
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_JOB_LIST, &r));
    hf_sqlite_bind_number(r.s, 1, (uint64_t)due_before_ns);
    hf_sqlite_bind_number(r.s, 2, limit);
    for (;;) {
        bool there;
        TRY(read_step(&r, &there));
        if (!there)
            return HF_DONE;
        struct hf_job job = {.due_ns = sqlite3_column_int64(r.s, 1),
                             .fence = (uint64_t)sqlite3_column_int64(r.s, 2)};
        if (!hf_sqlite_column_id(r.s, 0, &job.id))
            return HF_FAIL(CORRUPT);
        job.cursor = hf_sqlite_column(r.s, 3);
        if (!each(arg, &job))
            return HF_DONE;
    }
}

hf_result hf_sqlite_node_list(struct hf_store *self, hf_node_fn each, void *arg)
{
    CLEANUP(read_end) struct read r = {0};
    TRY(read_begin(self, HF_SQL_NODE_LIST, &r));
    for (;;) {
        bool there;
        TRY(read_step(&r, &there));
        if (!there)
            return HF_DONE;
        struct hf_node node = {.beat = (uint64_t)sqlite3_column_int64(r.s, 1)};
        if (!hf_sqlite_column_id(r.s, 0, &node.id))
            return HF_FAIL(CORRUPT);
        node.blob = hf_sqlite_column(r.s, 2);
        if (!each(arg, &node))
            return HF_DONE;
    }
}
