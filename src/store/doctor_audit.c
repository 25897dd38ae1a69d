/* The audit log as it is stored: batches one after another, each of the form that is written (src/audit/internal.h), and
 * the leaves in them held against the tree's nodes that are stored beside them. Details and the head are sealed. */
#include "store/doctor_inner.h"

#include <stdlib.h>

#include "crypto/sha256.h"

enum {
    BATCH_VERSION = 1,
    INCARNATION = 32,
    LEAF = 41,
    DETAIL_MIN = 1 + 1 + 16, /* version, at least a byte, tag */
    POSITION = 8,            /* of the records, in a management leaf's detail of version 2 */
    HASH = 32,
    LEVELS = 8, /* of stored nodes: heights 8, 16, ... 64 */
    CHUNK = 16, /* nodes of one stored row */
    LOGS_MAX = 1024,
};

struct log { /* a row of audit_log */
    uint64_t no, head;
    uint8_t id[16];
    bool nodes; /* holds a level of another's tree */
};

struct walk {
    struct log *logs;
    size_t count;
    const struct log *at; /* the log under way; NULL none yet */
    uint64_t end;
    bool whole;        /* all entries up to end were there, in order and in form */
    uint64_t position; /* how many changes the records had, by what the leaves say */
    uint64_t size;
    uint8_t tree[64][HASH];           /* complete subtrees to the left, by height */
    const struct log *levels[LEVELS]; /* where its nodes are; NULL none stored */
    sqlite3_stmt *chunk;
};

static void log_line(struct doctor *d, const struct log *l, const char *what, uint64_t index)
{
    struct doctor_line line;
    struct hf_id id;
    char text[HF_ID_TEXT_LEN];
    memcpy(id.bytes, l->id, sizeof id.bytes);
    hf_id_text(id, text);
    struct hf_buf *out = doctor_line(&line, "audit log ");
    hf_buf_put(out, text, sizeof text);
    doctor_number(out, what, index);
    doctor_bad(d, line.text);
}

/* ---- the logs that there are -------------------------------------------------------------------------------- */

static void each_log(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct walk *w = at;
    struct hf_id id;
    if (w->count == LOGS_MAX || !hf_sqlite_column_id(s, 1, &id)) {
        doctor_bad(d, "audit: a log with an id of a wrong length, or too many logs");
        return;
    }
    struct log *l = &w->logs[w->count++];
    *l = (struct log){.no = (uint64_t)sqlite3_column_int64(s, 0),
                      .head = (uint64_t)sqlite3_column_int64(s, 2)};
    memcpy(l->id, id.bytes, sizeof l->id);
}

static struct log *find_nodes(struct walk *w, const struct log *of, unsigned level)
{
    const uint8_t number = (uint8_t)level;
    const struct hf_cursor parts[] = {hf_cursor_text("holdfast audit nodes"),
                                      hf_cursor(of->id, sizeof of->id), hf_cursor(&number, 1)};
    uint8_t digest[HASH];
    hf_sha256_short_parts(parts, HF_ARRAY_LEN(parts), digest);
    for (size_t i = 0; i < w->count; i++) {
        if (memcmp(w->logs[i].id, digest, sizeof w->logs[i].id) == 0) /* public */
            return &w->logs[i];
    }
    return NULL;
}

/* ---- the tree -------------------------------------------------------------------------------------------------- */

static bool is_stored(struct walk *w, const struct log *nodes, uint64_t index, const uint8_t hash[HASH],
                      bool *ret_there)
{
    uint64_t first = index - index % CHUNK;
    sqlite3_reset(w->chunk);
    sqlite3_bind_int64(w->chunk, 1, (int64_t)(nodes->no << HF_SQLITE_LOG_BITS | first));
    *ret_there = sqlite3_step(w->chunk) == SQLITE_ROW;
    if (!*ret_there)
        return true;
    struct hf_cursor blob = hf_sqlite_column(w->chunk, 0);
    return blob.left == CHUNK * HASH &&
           memcmp(blob.at + (index - first) * HASH, hash, HASH) == 0; /* public */
}

static void check_node(struct doctor *d, struct walk *w, unsigned height, const uint8_t hash[HASH])
{
    const struct log *nodes = w->levels[height / 8 - 1];
    uint64_t index = (w->size >> height) - 1, entries = UINT64_C(1) << height;
    uint64_t chunk_end = (index - index % CHUNK + CHUNK) * entries;
    bool there = false;
    if (nodes != NULL && !is_stored(w, nodes, index, hash, &there)) {
        log_line(d, w->at, ": altered: its tree is another from entry ", w->size - entries);
        w->whole = false;
    } else if (there) {
        d->report.audit_nodes++;
        d->report.audit_proven += height == 8 ? entries : 0;
    } else if (chunk_end <= w->at->head) {
        log_line(d, w->at, ": nodes of its tree are missing from entry ", w->size - entries);
    }
}

static void add_leaf(struct doctor *d, struct walk *w, struct hf_cursor leaf)
{
    static const uint8_t leaf_mark = 0, node_mark = 1; /* RFC 9162 2.1.1 */
    uint8_t hash[HASH];
    const struct hf_cursor one[] = {hf_cursor(&leaf_mark, 1), leaf};
    hf_sha256_short_parts(one, HF_ARRAY_LEN(one), hash);
    unsigned height = 0;
    uint64_t before = w->size++;
    for (; (before >> height & 1) != 0; height++) {
        const struct hf_cursor two[] = {hf_cursor(&node_mark, 1), hf_cursor(w->tree[height], HASH),
                                        hf_cursor(hash, HASH)};
        uint8_t up[HASH];
        hf_sha256_short_parts(two, HF_ARRAY_LEN(two), up);
        memcpy(hash, up, HASH);
        if ((height + 1) % 8 == 0 && w->whole)
            check_node(d, w, height + 1, hash);
    }
    memcpy(w->tree[height], hash, HASH);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static bool leaf_fits(struct hf_cursor leaf, struct hf_cursor detail)
{
    uint8_t kind = leaf.at[0], any = 0;
    for (size_t i = 9; i < LEAF; i++)
        any |= leaf.at[i];
    if (kind == 0) /* void: nothing was done */
        return detail.left == 0 && any == 0;
    if (kind != 1 || any == 0 || detail.left < DETAIL_MIN)
        return false;
    return detail.at[0] == 1 || (detail.at[0] == 2 && detail.left >= DETAIL_MIN + POSITION);
}

static bool take_batch(struct doctor *d, struct walk *w, struct hf_cursor in, uint64_t first, uint64_t count)
{
    uint8_t version;
    uint64_t said_first;
    uint32_t said_count;
    struct hf_cursor incarnation, leaf, detail;
    if (!hf_cursor_u8(&in, &version) || version != BATCH_VERSION ||
        !hf_cursor_take(&in, INCARNATION, &incarnation) || !hf_cursor_u64(&in, &said_first) ||
        said_first != first || !hf_cursor_u32(&in, &said_count) || said_count != count)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!hf_cursor_take(&in, LEAF, &leaf) || !hf_cursor_vec16(&in, &detail) || !leaf_fits(leaf, detail))
            return false;
        if (detail.left != 0 && detail.at[0] == 2) {
            uint64_t position = 0;
            struct hf_cursor behind = hf_cursor(detail.at + 1, detail.left - 1);
            (void)hf_cursor_u64(&behind, &position); /* leaf_fits: it is there */
            w->position = HF_MAX(w->position, position);
        }
        if (w->whole)
            add_leaf(d, w, leaf);
    }
    return in.left == 0;
}

static void log_end(struct doctor *d, const struct walk *w)
{
    if (w->at != NULL && w->end < w->at->head)
        log_line(d, w->at, ": ends before its signed head, at entry ", w->end);
}

static void log_begin(struct doctor *d, struct walk *w, uint64_t no)
{
    log_end(d, w);
    w->at = NULL;
    for (size_t i = 0; i < w->count; i++) {
        if (w->logs[i].no == no)
            w->at = &w->logs[i];
    }
    w->end = w->size = 0;
    w->whole = true;
    for (unsigned level = 1; w->at != NULL && level <= LEVELS; level++)
        w->levels[level - 1] = w->at->nodes ? NULL : find_nodes(w, w->at, level);
    d->report.audit_logs += w->at == NULL || !w->at->nodes;
}

static void each_batch(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct walk *w = at;
    uint64_t pos = (uint64_t)sqlite3_column_int64(s, 0), count = (uint64_t)sqlite3_column_int64(s, 1);
    uint64_t no = pos >> HF_SQLITE_LOG_BITS, first = pos & ((UINT64_C(1) << HF_SQLITE_LOG_BITS) - 1);
    struct hf_cursor blob = hf_sqlite_column(s, 2);
    if (w->at == NULL || no != w->at->no)
        log_begin(d, w, no);
    d->report.audit_batches++;
    if (w->at == NULL) {
        doctor_bad(d, "audit: a batch of a log that there is not");
        return;
    }
    bool gap = first > w->end;
    if (first < w->end)
        log_line(d, w->at, ": batches overlap at entry ", first);
    else if (gap && w->end < w->at->head)
        log_line(d, w->at, ": a gap before entry ", first);
    else if (gap && !w->at->nodes)
        d->report.audit_unsettled++;
    w->whole = w->whole && first == w->end;
    w->end = first + count;
    if (w->at->nodes) {
        if (count != CHUNK || blob.left != CHUNK * HASH || first % CHUNK != 0)
            log_line(d, w->at, ": nodes of a tree in an unknown form, from ", first);
        return;
    }
    d->report.audit_leaves += count;
    if (d->sealed && !take_batch(d, w, blob, first, count)) {
        log_line(d, w->at, ": altered or cut off: a batch of an unknown form at entry ", first);
        w->whole = false;
    }
}

static hf_result audit(struct doctor *d, struct walk *w)
{
    TRY(doctor_rows(
        d, "SELECT l.no,l.log,coalesce(h.size,0) FROM audit_log l LEFT JOIN audit_head h ON h.log=l.log",
        each_log, w));
    for (size_t i = 0; i < w->count; i++) {
        for (unsigned level = 1; level <= LEVELS; level++) {
            struct log *nodes = find_nodes(w, &w->logs[i], level);
            if (nodes != NULL)
                nodes->nodes = true;
        }
    }
    TRY(hf_sqlite_result(
        d->conn.db,
        sqlite3_prepare_v2(d->conn.db, "SELECT blob FROM audit_batch WHERE pos=?1", -1, &w->chunk, NULL)));
    static_assert(HF_SQLITE_LOG_BITS == 44, "a log's number stands above these bits of pos");
    TRY(doctor_rows(d, "SELECT pos,n,blob FROM audit_batch ORDER BY pos", each_batch, w));
    log_end(d, w);
    if (w->position > d->report.changes) {
        struct doctor_line line;
        struct hf_buf *out = doctor_line(&line, "record: older than the audit log: ");
        doctor_number(out, "an entry was written after ", w->position);
        doctor_number(out, " changes, and there are ", d->report.changes);
        doctor_bad(d, line.text);
    }
    return HF_DONE;
}

static void each_headless(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct doctor_line line;
    (void)at;
    struct hf_buf *out = doctor_line(&line, "audit log ");
    doctor_id(out, s, 0);
    hf_buf_text(out, ": a signed head, and no entries");
    doctor_bad(d, line.text);
}

static void each_cut_head(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct doctor_line line;
    (void)at;
    struct hf_buf *out = doctor_line(&line, "audit log ");
    doctor_id(out, s, 0);
    hf_buf_text(out, ": its sealed head is cut off");
    doctor_bad(d, line.text);
}

hf_result doctor_audit(struct doctor *d)
{
    struct walk *w = calloc(1, sizeof *w); /* large for a stack */
    struct log *logs = calloc(LOGS_MAX, sizeof *logs);
    hf_result result = HF_FAIL(NO_MEMORY);
    if (w != NULL && logs != NULL) {
        w->logs = logs;
        result = audit(d, w);
        sqlite3_finalize(w->chunk);
    }
    free(logs);
    free(w);
    TRY(result);
    TRY(doctor_rows(
        d,
        "SELECT h.log FROM audit_head h WHERE h.size>0 AND NOT EXISTS(SELECT 1 FROM audit_log l JOIN "
        "audit_batch b ON b.pos BETWEEN l.no<<44 AND ((l.no+1)<<44)-1 WHERE l.log=h.log)",
        each_headless, NULL));
    return d->sealed
               ? doctor_rows(d, "SELECT log FROM audit_head WHERE length(sealed)<41", each_cut_head, NULL)
               : HF_DONE;
}
