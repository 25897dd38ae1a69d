#include "store/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/digest.h"
#include "store/doctor_inner.h"

enum {
    FAULTS_MAX = 1000,
    FIRST_FED_TABLE = 3, /* the seal's rows are in no feed */
    TAG = 16,
    SEALED_MIN = 24 + TAG, /* XAES-256-GCM: a nonce before, a tag behind */
    HEAD_MIN = SEALED_MIN + 1,
};

static void doctor_done(struct doctor *d)
{
    hf_sqlite_conn_close(&d->conn);
    if (d->lock_fd >= 0)
        close(d->lock_fd); /* last: closing drops SQLite's own locks */
}

void doctor_bad(struct doctor *d, const char *what)
{
    const struct hf_doctor_finding finding = {.bad = true, .text = what};
    d->report.bad++;
    if (d->report.bad <= FAULTS_MAX)
        d->finding(d->arg, &finding);
}

static void bad_text(void *arg, const char *what)
{
    doctor_bad(arg, what);
}

struct hf_buf *doctor_line(struct doctor_line *line, const char *what)
{
    memset(line->text, 0, sizeof line->text);
    line->out = hf_buf(line->text, sizeof line->text - 1);
    hf_buf_text(&line->out, what);
    return &line->out;
}

void doctor_number(struct hf_buf *out, const char *before, uint64_t number)
{
    hf_buf_text(out, before);
    hf_buf_decimal(out, number);
}

void doctor_id(struct hf_buf *out, sqlite3_stmt *s, int column)
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

hf_result doctor_rows(struct doctor *d, const char *sql,
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
        doctor_bad(d, "file: no database of Holdfast, or its first page is damaged");
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
    struct doctor_line line;
    (void)at;
    if (text != NULL && strcmp(text, "ok") == 0)
        return;
    struct hf_buf *out = doctor_line(&line, "file: ");
    struct hf_cursor what = hf_cursor_text(text == NULL ? "?" : text);
    what.left = HF_MIN(what.left, out->cap - out->len);
    hf_buf_put_cursor(out, what);
    doctor_bad(d, line.text);
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
        doctor_bad(d, "head: of a shard that there is not");
    else
        f->head[shard] = (uint64_t)seq;
    if (d->sealed && hf_sqlite_column(s, 2).left < HEAD_MIN) {
        struct doctor_line line;
        struct hf_buf *out = doctor_line(&line, "head: ");
        doctor_number(out, "shard ", (uint64_t)shard);
        hf_buf_text(out, ": its sealed head is cut off");
        doctor_bad(d, line.text);
    }
}

static void each_change(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct feeds *f = at;
    struct doctor_line line;
    uint64_t shard = (uint64_t)sqlite3_column_int64(s, 0), seq = (uint64_t)sqlite3_column_int64(s, 1);
    d->report.changes++;
    if (shard >= HF_STORE_SHARDS) {
        doctor_bad(d, "feed: a change of a shard that there is not");
        return;
    }
    if (seq != f->last[shard] + 1) {
        struct hf_buf *out = doctor_line(&line, "feed: ");
        doctor_number(out, "shard ", shard);
        doctor_number(out, ": a gap before change ", seq);
        doctor_bad(d, line.text);
    }
    f->last[shard] = seq;
}

static hf_result check_feeds(struct doctor *d)
{
    struct feeds f = {0};
    TRY(doctor_rows(d, "SELECT shard,seq,sealed FROM head", each_head, &f));
    TRY(doctor_rows(d, "SELECT shard,seq FROM change ORDER BY pos", each_change, &f));
    for (uint64_t shard = 0; shard < HF_STORE_SHARDS; shard++) {
        if (f.head[shard] == f.last[shard])
            continue;
        struct doctor_line line;
        struct hf_buf *out = doctor_line(&line, "feed: ");
        doctor_number(out, "shard ", shard);
        doctor_number(out, ": its head stands at change ", f.head[shard]);
        doctor_number(out, ", its feed ends with ", f.last[shard]);
        doctor_bad(d, line.text);
    }
    return HF_DONE;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static void row_line(struct doctor *d, sqlite3_stmt *s, const char *what)
{
    struct doctor_line line;
    struct hf_buf *out = doctor_line(&line, "record: ");
    doctor_number(out, "table ", (uint64_t)sqlite3_column_int64(s, 0));
    hf_buf_u8(out, ' ');
    doctor_id(out, s, 1);
    hf_buf_text(out, what);
    doctor_bad(d, line.text);
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

/* What a change says of its row: deleted u8 | tag 16 | namespace, u8 length before it | digest 16, or nothing. */
static bool take_said(struct hf_cursor in, struct hf_cursor *ret_tag, struct hf_cursor *ret_ns,
                      struct hf_cursor *ret_digest)
{
    uint8_t deleted, ns;
    if (!hf_cursor_u8(&in, &deleted) || deleted > 1 || !hf_cursor_take(&in, TAG, ret_tag) ||
        !hf_cursor_u8(&in, &ns) || !hf_cursor_take(&in, ns, ret_ns) ||
        (in.left != 0 && in.left != HF_ROW_DIGEST))
        return false;
    *ret_digest = in;
    return true;
}

/* Columns: tbl, id, rev, ns, name, state, due, sealed; what the feed has: rev, blob of the change. */
static void each_row(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct hf_cursor tag, ns, digest;
    uint8_t have[HF_ROW_DIGEST];
    struct hf_row row = {.table = (uint16_t)sqlite3_column_int64(s, 0),
                         .rev = (uint64_t)sqlite3_column_int64(s, 2),
                         .ns = hf_sqlite_column(s, 3),
                         .name = hf_sqlite_column(s, 4),
                         .state = (uint8_t)sqlite3_column_int64(s, 5),
                         .due_ns = sqlite3_column_int64(s, 6),
                         .sealed = hf_sqlite_column(s, 7)};
    (void)at;
    if (!hf_sqlite_column_id(s, 1, &row.id)) {
        row_line(d, s, "");
        return;
    }
    if (row.rev != (uint64_t)sqlite3_column_int64(s, 8)) {
        row_line(d, s, ": its revision is not the one that the feed has");
        return;
    }
    if (!take_said(hf_sqlite_column(s, 9), &tag, &ns, &digest)) {
        row_line(d, s, ": the feed's change of it has an unknown form");
        return;
    }
    if (row.sealed.left < SEALED_MIN) {
        row_line(d, s, ": its sealed part is cut off");
        return;
    }
    if (!hf_cursor_same(hf_cursor(row.sealed.at + row.sealed.left - TAG, TAG), tag)) {
        row_line(d, s, ": its sealed part is not the one that the feed has: altered, cut off or another's");
        return;
    }
    if (!hf_cursor_same(row.ns, ns)) {
        row_line(d, s, ": its namespace is not the one that the feed has");
        return;
    }
    d->report.rows_undigested += digest.left == 0;
    hf_row_digest(&row, have);
    if (digest.left != 0 && !hf_cursor_same(hf_cursor(have, sizeof have), digest))
        row_line(d, s, ": altered: its name, state, time or sealed part is not what the feed has");
}

/* The last change of each record, in memory: the first byte of what a change says tells whether it deleted. */
static const char last_changes[] =
    "CREATE TEMP TABLE last(tbl INTEGER, id BLOB, rev INTEGER, said BLOB, PRIMARY KEY(tbl,id)) WITHOUT ROWID;"
    "INSERT OR REPLACE INTO last SELECT tbl,id,rev,sealed FROM change ORDER BY pos;"
    "DELETE FROM last WHERE substr(said,1,1)=x'01'";

static hf_result check_rows(struct doctor *d)
{
    int64_t rows;
    TRY(hf_sqlite_number(d->conn.db, "SELECT count(*) FROM record", &rows));
    d->report.rows = (uint64_t)rows;
    int64_t fed; /* a store that something else than records writes to has no feed */
    TRY(hf_sqlite_number(d->conn.db, "SELECT EXISTS(SELECT 1 FROM change)", &fed));
    if (fed == 0 && !d->sealed)
        return HF_DONE;
    TRY(hf_sqlite_result(d->conn.db, sqlite3_exec(d->conn.db, last_changes, NULL, NULL, NULL)));
    static_assert(FIRST_FED_TABLE == 3, "the statements below");
    TRY(doctor_rows(d, "SELECT tbl,id FROM record WHERE tbl>=3 AND (tbl,id) NOT IN (SELECT tbl,id FROM last)",
                    each_foreign, NULL));
    TRY(doctor_rows(d, "SELECT tbl,id FROM last WHERE (tbl,id) NOT IN (SELECT tbl,id FROM record)",
                    each_missing, NULL));
    return doctor_rows(
        d,
        "SELECT r.tbl,r.id,r.rev,r.ns,r.name,r.state,r.due,r.sealed,l.rev,l.said FROM record r JOIN "
        "last l USING(tbl,id)",
        each_row, NULL);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

/* What a check counted, where it found nothing wrong. */
static void good(struct doctor *d, uint64_t bad_before, const char *what, uint64_t number, const char *of)
{
    struct doctor_line line;
    if (d->report.bad != bad_before)
        return;
    struct hf_buf *out = doctor_line(&line, what);
    hf_buf_decimal(out, number);
    hf_buf_text(out, of);
    const struct hf_doctor_finding finding = {.bad = false, .text = line.text};
    d->finding(d->arg, &finding);
}

static hf_result check_file(struct doctor *d)
{
    return doctor_rows(d, "PRAGMA integrity_check(100)", each_integrity, NULL);
}

static hf_result check_schema(struct doctor *d)
{
    return hf_sqlite_schema_check(d->conn.db, bad_text, d);
}

/* A damaged page ends one check with CORRUPT; the others go on. */
static hf_result check_all(struct doctor *d)
{
    static const uint64_t seal_rows = 2;
    const struct {
        hf_result (*check)(struct doctor *d);
        const char *unread, *name, *of;
        const uint64_t *number;
    } checks[] = {
        {check_file, "file: cannot be read to its end", "file: ", " bytes, sound", &d->report.bytes},
        {check_schema, "schema: cannot be read", "schema: version ", "", NULL},
        {doctor_seal, "seal: cannot be read", "seal: ", " rows of the seal and the keyring, in form",
         &seal_rows},
        {check_feeds, "feed: cannot be read", "feed: ", " changes, without gaps", &d->report.changes},
        {check_rows, "record: cannot be read", "record: ", " rows, as the feed has them", &d->report.rows},
        {doctor_audit, "audit: cannot be read", "audit: ", " entries, one after another and in form",
         &d->report.audit_leaves},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(checks); i++) {
        uint64_t before = d->report.bad;
        hf_result result = checks[i].check(d);
        if (result.code == HF_CORRUPT)
            doctor_bad(d, checks[i].unread);
        else
            TRY(result);
        good(d, before, checks[i].name, checks[i].number == NULL ? d->report.schema : *checks[i].number,
             checks[i].of);
    }
    return HF_DONE;
}

static void say(struct doctor *d, const char *what, uint64_t number, const char *of)
{
    good(d, d->report.bad, what, number, of);
}

static void say_more(struct doctor *d)
{
    if (d->report.audit_proven != 0)
        say(d, "audit: ", d->report.audit_proven, " entries of these give the tree's nodes that are stored");
    if (d->report.audit_unsettled != 0)
        say(d, "audit: ", d->report.audit_unsettled,
            " gaps behind the signed head, which the next start fills");
    if (d->report.rows_undigested != 0)
        say(d, "record: ", d->report.rows_undigested, " rows of an older feed, whose names it does not have");
}

const char *hf_doctor_unchecked(size_t n)
{
    static const char *const texts[] = {
        "whether seals open: seal, keyring, heads, records, audit details (the server does, at unseal and when it loads)",
        "a row altered together with the feed that names it (at unseal)",
        "audit entries beyond the last multiple of 4096, against the signed head (`holdfast audit verify` does)",
        "use counters that were lowered (a running server notices; nothing else does: rotate keys in doubt)",
        "the whole database put back to an earlier state (by a checkpoint of the audit log that is kept elsewhere)",
    };
    return n < HF_ARRAY_LEN(texts) ? texts[n] : NULL;
}

hf_result hf_doctor_run(const char *path, hf_doctor_fn finding, void *arg,
                        struct hf_doctor_summary *ret_summary)
{
    CLEANUP(doctor_done) struct doctor d = {.lock_fd = -1, .finding = finding, .arg = arg};
    hf_result result = open_file(&d, path);
    if (HF_IS_OK(result))
        result = check_all(&d);
    if (HF_IS_OK(result))
        say_more(&d);
    *ret_summary = d.report;
    return result;
}
