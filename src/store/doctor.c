#include "store/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/sqlite.h"

enum { FAULTS_MAX = 1000, FIRST_FED_TABLE = 3 /* the seal's rows are in no feed */ };

struct doctor {
    struct hf_sqlite_conn conn;
    int lock_fd;
    hf_doctor_fn finding;
    void *arg;
    struct hf_doctor_summary report;
};

static void doctor_done(struct doctor *d)
{
    hf_sqlite_conn_close(&d->conn);
    if (d->lock_fd >= 0)
        close(d->lock_fd); /* last: closing drops SQLite's own locks */
}

static void bad(struct doctor *d, const char *what)
{
    const struct hf_doctor_finding finding = {.bad = true, .text = what};
    d->report.bad++;
    if (d->report.bad <= FAULTS_MAX)
        d->finding(d->arg, &finding);
}

static void bad_text(void *arg, const char *what)
{
    bad(arg, what);
}

/* Parts of a message: texts and numbers in turn. */
struct line {
    char text[256];
    struct hf_buf out;
};

static struct hf_buf *line_begin(struct line *line, const char *what)
{
    memset(line->text, 0, sizeof line->text);
    line->out = hf_buf(line->text, sizeof line->text - 1);
    hf_buf_text(&line->out, what);
    return &line->out;
}

static void put_number(struct hf_buf *out, const char *before, uint64_t number)
{
    hf_buf_text(out, before);
    hf_buf_decimal(out, number);
}

static void put_id(struct hf_buf *out, sqlite3_stmt *s, int column)
{
    struct hf_id id;
    char text[HF_ID_TEXT_LEN];
    if (!hf_sqlite_column_id(s, column, &id)) {
        hf_buf_text(out, "with an id of a wrong length");
        return;
    }
    hf_id_text(id, text);
    hf_buf_put(out, text, sizeof text);
}

/* Calls each() for every row of the query. */
static hf_result rows_of(struct doctor *d, const char *sql,
                         void (*each)(struct doctor *d, sqlite3_stmt *s, void *at), void *at)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(d->conn.db, sql, -1, &s, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(s);
        if (code == SQLITE_ROW)
            each(d, s, at);
    }
    hf_result result = hf_sqlite_result(d->conn.db, code);
    sqlite3_finalize(s);
    return result;
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

static hf_result open_file(struct doctor *d, const char *path)
{
    d->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (d->lock_fd < 0)
        return errno == ENOENT ? HF_FAIL(NOT_FOUND) : HF_FAIL(STORE_DOWN);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? HF_FAIL(STORE_BUSY) : HF_FAIL(STORE_DOWN);
    int64_t application, version;
    hf_result result = hf_sqlite_conn_open(&d->conn, path, SQLITE_OPEN_READONLY);
    if (HF_IS_OK(result))
        result = hf_sqlite_number(d->conn.db, "PRAGMA application_id", &application);
    if (HF_IS_OK(result))
        result = hf_sqlite_number(d->conn.db, "PRAGMA user_version", &version);
    if (HF_IS_OK(result) && application != HF_SQLITE_APPLICATION)
        result = HF_FAIL(CORRUPT);
    if (result.code == HF_CORRUPT)
        bad(d, "file: no database of Holdfast, or its first page is damaged");
    TRY(result);
    if (version != HF_SQLITE_SCHEMA)
        return HF_FAIL(UNSUPPORTED);
    d->report.schema = (uint32_t)version;
    int64_t bytes;
    TRY(hf_sqlite_number(d->conn.db, "SELECT page_count*page_size FROM pragma_page_count,pragma_page_size",
                         &bytes));
    d->report.bytes = (uint64_t)bytes;
    return HF_DONE;
}

static void each_integrity(struct doctor *d, sqlite3_stmt *s, void *at)
{
    const char *text = (const char *)sqlite3_column_text(s, 0);
    struct line line;
    (void)at;
    if (text != NULL && strcmp(text, "ok") == 0)
        return;
    struct hf_buf *out = line_begin(&line, "file: ");
    struct hf_cursor what = hf_cursor_text(text == NULL ? "?" : text);
    what.left = HF_MIN(what.left, out->cap - out->len);
    hf_buf_put_cursor(out, what);
    bad(d, line.text);
}

/* ---- feeds ------------------------------------------------------------------------------------------------------ */

struct feeds {
    uint64_t last[HF_STORE_SHARDS], head[HF_STORE_SHARDS];
};

static void each_head(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct feeds *f = at;
    int64_t shard = sqlite3_column_int64(s, 0), seq = sqlite3_column_int64(s, 1);
    if (shard < 0 || shard >= HF_STORE_SHARDS || seq <= 0)
        bad(d, "head: of a shard that there is not");
    else
        f->head[shard] = (uint64_t)seq;
}

static void each_change(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct feeds *f = at;
    struct line line;
    uint64_t shard = (uint64_t)sqlite3_column_int64(s, 0), seq = (uint64_t)sqlite3_column_int64(s, 1);
    d->report.changes++;
    if (shard >= HF_STORE_SHARDS) {
        bad(d, "feed: a change of a shard that there is not");
        return;
    }
    if (seq != f->last[shard] + 1) {
        struct hf_buf *out = line_begin(&line, "feed: ");
        put_number(out, "shard ", shard);
        put_number(out, ": a gap before change ", seq);
        bad(d, line.text);
    }
    f->last[shard] = seq;
}

static hf_result check_feeds(struct doctor *d)
{
    struct feeds f = {0};
    TRY(rows_of(d, "SELECT shard,seq FROM head", each_head, &f));
    TRY(rows_of(d, "SELECT shard,seq FROM change ORDER BY pos", each_change, &f));
    for (uint64_t shard = 0; shard < HF_STORE_SHARDS; shard++) {
        if (f.head[shard] == f.last[shard])
            continue;
        struct line line;
        struct hf_buf *out = line_begin(&line, "feed: ");
        put_number(out, "shard ", shard);
        put_number(out, ": its head stands at change ", f.head[shard]);
        put_number(out, ", its feed ends with ", f.last[shard]);
        bad(d, line.text);
    }
    return HF_DONE;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static void row_line(struct doctor *d, sqlite3_stmt *s, const char *what)
{
    struct line line;
    struct hf_buf *out = line_begin(&line, "record: ");
    put_number(out, "table ", (uint64_t)sqlite3_column_int64(s, 0));
    hf_buf_u8(out, ' ');
    put_id(out, s, 1);
    hf_buf_text(out, what);
    bad(d, line.text);
}

static void each_foreign(struct doctor *d, sqlite3_stmt *s, void *at)
{
    (void)at;
    row_line(d, s, ": not in the feed");
}

static void each_missing(struct doctor *d, sqlite3_stmt *s, void *at)
{
    (void)at;
    row_line(d, s, ": in the feed, but not in the table");
}

static void each_older(struct doctor *d, sqlite3_stmt *s, void *at)
{
    (void)at;
    row_line(d, s, ": its revision is not the one that the feed has");
}

/* The last change of each record, in memory: the first byte of what a change says tells whether it deleted. */
static const char last_changes[] =
    "CREATE TEMP TABLE last(tbl INTEGER, id BLOB, rev INTEGER, deleted INTEGER, PRIMARY KEY(tbl,id)) WITHOUT ROWID;"
    "INSERT OR REPLACE INTO last SELECT tbl,id,rev,substr(sealed,1,1)=x'01' FROM change ORDER BY pos;"
    "DELETE FROM last WHERE deleted";

static hf_result check_rows(struct doctor *d)
{
    int64_t rows;
    TRY(hf_sqlite_number(d->conn.db, "SELECT count(*) FROM record", &rows));
    d->report.rows = (uint64_t)rows;
    int64_t fed; /* a store that something else than records writes to has no feed */
    TRY(hf_sqlite_number(d->conn.db, "SELECT EXISTS(SELECT 1 FROM change)", &fed));
    if (fed == 0)
        return HF_DONE;
    TRY(hf_sqlite_result(d->conn.db, sqlite3_exec(d->conn.db, last_changes, NULL, NULL, NULL)));
    static_assert(FIRST_FED_TABLE == 3, "the statements below");
    TRY(rows_of(d, "SELECT tbl,id FROM record WHERE tbl>=3 AND (tbl,id) NOT IN (SELECT tbl,id FROM last)",
                each_foreign, NULL));
    TRY(rows_of(d, "SELECT tbl,id FROM last WHERE (tbl,id) NOT IN (SELECT tbl,id FROM record)", each_missing,
                NULL));
    return rows_of(d, "SELECT r.tbl,r.id FROM record r JOIN last l USING(tbl,id) WHERE r.rev<>l.rev",
                   each_older, NULL);
}

/* ---- audit -------------------------------------------------------------------------------------------------------- */

struct logs {
    uint64_t no, end, head;
    uint8_t id[16];
};

static void log_line(struct doctor *d, const struct logs *l, const char *what, uint64_t index)
{
    struct line line;
    struct hf_id id;
    char text[HF_ID_TEXT_LEN];
    memcpy(id.bytes, l->id, sizeof id.bytes);
    hf_id_text(id, text);
    struct hf_buf *out = line_begin(&line, "audit log ");
    hf_buf_put(out, text, sizeof text);
    put_number(out, what, index);
    bad(d, line.text);
}

static void log_end(struct doctor *d, const struct logs *l)
{
    if (l->no != 0 && l->end < l->head)
        log_line(d, l, ": ends before its signed head, at entry ", l->end);
}

static void each_batch(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct logs *l = at;
    uint64_t pos = (uint64_t)sqlite3_column_int64(s, 0), count = (uint64_t)sqlite3_column_int64(s, 1);
    uint64_t no = pos >> HF_SQLITE_LOG_BITS, first = pos & ((UINT64_C(1) << HF_SQLITE_LOG_BITS) - 1);
    if (no != l->no) {
        log_end(d, l);
        *l = (struct logs){.no = no, .head = (uint64_t)sqlite3_column_int64(s, 3)};
        struct hf_id id;
        if (hf_sqlite_column_id(s, 2, &id))
            memcpy(l->id, id.bytes, sizeof l->id);
        else
            bad(d, "audit: a batch of a log that there is not");
        d->report.audit_logs++;
    }
    d->report.audit_batches++;
    d->report.audit_leaves += count;
    if (first < l->end)
        log_line(d, l, ": batches overlap at entry ", first);
    else if (first > l->end && l->end < l->head)
        log_line(d, l, ": a gap before entry ", first);
    else if (first > l->end)
        d->report.audit_unsettled++;
    l->end = first + count;
}

static hf_result check_audit(struct doctor *d)
{
    struct logs l = {0};
    TRY(rows_of(
        d,
        "SELECT b.pos,b.n,l.log,coalesce(h.size,0) FROM audit_batch b LEFT JOIN audit_log l ON l.no=b.pos>>44 "
        "LEFT JOIN audit_head h ON h.log=l.log ORDER BY b.pos",
        each_batch, &l));
    static_assert(HF_SQLITE_LOG_BITS == 44, "the statement above");
    log_end(d, &l);
    return HF_DONE;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

/* What a check counted, where it found nothing wrong. */
static void good(struct doctor *d, uint64_t bad_before, const char *what, uint64_t number, const char *of)
{
    struct line line;
    if (d->report.bad != bad_before)
        return;
    struct hf_buf *out = line_begin(&line, what);
    hf_buf_decimal(out, number);
    hf_buf_text(out, of);
    const struct hf_doctor_finding finding = {.bad = false, .text = line.text};
    d->finding(d->arg, &finding);
}

static hf_result check_file(struct doctor *d)
{
    return rows_of(d, "PRAGMA integrity_check(100)", each_integrity, NULL);
}

static hf_result check_schema(struct doctor *d)
{
    return hf_sqlite_schema_check(d->conn.db, bad_text, d);
}

/* A damaged page ends one check with CORRUPT; the others go on. */
static hf_result check_all(struct doctor *d)
{
    const struct {
        hf_result (*check)(struct doctor *d);
        const char *unread, *name, *of;
        const uint64_t *number;
    } checks[] = {
        {check_file, "file: cannot be read to its end", "file: ", " bytes, sound", &d->report.bytes},
        {check_schema, "schema: cannot be read", "schema: version ", "", NULL},
        {check_feeds, "feed: cannot be read", "feed: ", " changes, without gaps", &d->report.changes},
        {check_rows, "record: cannot be read", "record: ", " rows, as the feed has them", &d->report.rows},
        {check_audit, "audit: cannot be read", "audit: ", " entries, one after another",
         &d->report.audit_leaves},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(checks); i++) {
        uint64_t before = d->report.bad;
        hf_result result = checks[i].check(d);
        if (result.code == HF_CORRUPT)
            bad(d, checks[i].unread);
        else
            TRY(result);
        good(d, before, checks[i].name, checks[i].number == NULL ? d->report.schema : *checks[i].number,
             checks[i].of);
    }
    return HF_DONE;
}

hf_result hf_doctor_run(const char *path, hf_doctor_fn finding, void *arg,
                        struct hf_doctor_summary *ret_summary)
{
    CLEANUP(doctor_done) struct doctor d = {.lock_fd = -1, .finding = finding, .arg = arg};
    hf_result result = open_file(&d, path);
    if (HF_IS_OK(result))
        result = check_all(&d);
    *ret_summary = d.report;
    return result;
}
