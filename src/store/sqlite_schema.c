/* The schema, as a list of migrations: the n-th brings version n to n + 1. Append only. */
#include "store/sqlite.h"

#include <sys/random.h>

/* Each page that a commit touches is written twice, so each row lies in as few trees as can be: record has no rowid
 * (what of a row goes beyond a quarter page lies in pages of its own); change is one list for all shards, which grows
 * at its end and has no index (each shard's order is its head's business); audit_batch is keyed by log number and
 * first index in one integer. */
static const char *const migrations[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE record(tbl INTEGER NOT NULL, id BLOB NOT NULL, rev INTEGER NOT NULL, ns BLOB NOT NULL, "
    "name BLOB NOT NULL, state INTEGER NOT NULL, due INTEGER NOT NULL, sealed BLOB NOT NULL, "
    "PRIMARY KEY(tbl,id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX record_name ON record(tbl,ns,name,id);"
    "CREATE INDEX record_due ON record(tbl,due,id) WHERE due>0;"
    "CREATE TABLE head(shard INTEGER PRIMARY KEY, seq INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;"
    "CREATE TABLE change(pos INTEGER PRIMARY KEY, shard INTEGER NOT NULL, seq INTEGER NOT NULL, "
    "tbl INTEGER NOT NULL, id BLOB NOT NULL, rev INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;"
    "CREATE TABLE node(id BLOB PRIMARY KEY, beat INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE once(h BLOB PRIMARY KEY, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX once_expires ON once(expires) WHERE expires>0;"
    "CREATE TABLE use_block(ver BLOB PRIMARY KEY, reserved INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE job(id BLOB PRIMARY KEY, due INTEGER NOT NULL, fence INTEGER NOT NULL, "
    "cursor BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX job_due ON job(due,id);"
    "CREATE TABLE audit_log(no INTEGER PRIMARY KEY, log BLOB NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE audit_head(log BLOB PRIMARY KEY, size INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, "
    "WITHOUT ROWID;"
    "CREATE TABLE audit_batch(pos INTEGER PRIMARY KEY, n INTEGER NOT NULL, blob BLOB NOT NULL) STRICT;",
};
static_assert(HF_ARRAY_LEN(migrations) == HF_SQLITE_SCHEMA, "one migration for each version");

static hf_result run_text(sqlite3 *db, const char *sql)
{
    return hf_sqlite_result(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static hf_result name_cluster(sqlite3 *db)
{
    struct hf_id id;
    if (getrandom(id.bytes, sizeof id.bytes, 0) != (ssize_t)sizeof id.bytes)
        return HF_FAIL(NO_ENTROPY);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* RFC 9562 5.4: version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, "INSERT INTO meta(key,value) VALUES('cluster_id',?1)", -1, &s, NULL);
    if (code == SQLITE_OK) {
        hf_sqlite_bind_id(s, 1, &id);
        code = sqlite3_step(s);
    }
    hf_result result = hf_sqlite_result(db, code);
    sqlite3_finalize(s);
    return result;
}

static hf_result migrate(sqlite3 *db)
{
    int64_t version, application, tables;
    TRY(hf_sqlite_number(db, "PRAGMA user_version", &version));
    TRY(hf_sqlite_number(db, "PRAGMA application_id", &application));
    TRY(hf_sqlite_number(db, "SELECT count(*) FROM sqlite_schema", &tables));
    if (tables == 0 ? version != 0 : application != HF_SQLITE_APPLICATION || version < 1)
        return HF_FAIL(CORRUPT);
    if (version > HF_SQLITE_SCHEMA)
        return HF_FAIL(UNSUPPORTED);
    for (int64_t at = version; at < HF_SQLITE_SCHEMA; at++)
        TRY(run_text(db, migrations[at]));
    if (tables == 0)
        TRY(name_cluster(db));
    if (version < HF_SQLITE_SCHEMA) {
        char sql[96];
        sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                         HF_SQLITE_APPLICATION, HF_SQLITE_SCHEMA);
        TRY(run_text(db, sql));
    }
    return HF_DONE;
}

hf_result hf_sqlite_migrate(sqlite3 *db)
{
    int64_t version;
    TRY(hf_sqlite_number(db, "PRAGMA user_version", &version));
    int64_t application;
    TRY(hf_sqlite_number(db, "PRAGMA application_id", &application));
    if (version == HF_SQLITE_SCHEMA && application == HF_SQLITE_APPLICATION)
        return HF_DONE;
    TRY(run_text(db, "BEGIN IMMEDIATE"));
    hf_result result = migrate(db);
    if (HF_IS_OK(result))
        result = run_text(db, "COMMIT");
    if (!HF_IS_OK(result) && !sqlite3_get_autocommit(db))
        HF_IGNORE(run_text(db, "ROLLBACK"), "the first failure is the one to report");
    return result;
}

/* Objects of sqlite_schema in a fixed order, those that SQLite makes by itself left out. */
static const char schema_sql[] =
    "SELECT type||' '||name, coalesce(sql,'') FROM sqlite_schema WHERE name NOT LIKE "
    "'sqlite_%' ORDER BY 1";

hf_result hf_sqlite_schema_check(sqlite3 *db, void (*bad)(void *arg, const char *what), void *arg)
{
    struct hf_sqlite_conn model = {0};
    sqlite3_stmt *want = NULL, *have = NULL;
    int code = sqlite3_open_v2(":memory:", &model.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    hf_result result = hf_sqlite_result(model.db, code);
    for (size_t i = 0; HF_IS_OK(result) && i < HF_SQLITE_SCHEMA; i++)
        result = run_text(model.db, migrations[i]);
    if (HF_IS_OK(result))
        result = hf_sqlite_result(model.db, sqlite3_prepare_v2(model.db, schema_sql, -1, &want, NULL));
    if (HF_IS_OK(result))
        result = hf_sqlite_result(db, sqlite3_prepare_v2(db, schema_sql, -1, &have, NULL));
    int w = HF_IS_OK(result) ? sqlite3_step(want) : SQLITE_DONE;
    int h = HF_IS_OK(result) ? sqlite3_step(have) : SQLITE_DONE;
    while (HF_IS_OK(result) && (w == SQLITE_ROW || h == SQLITE_ROW)) {
        char text[160];
        const char *name_w = w == SQLITE_ROW ? (const char *)sqlite3_column_text(want, 0) : NULL;
        const char *name_h = h == SQLITE_ROW ? (const char *)sqlite3_column_text(have, 0) : NULL;
        int order = name_w == NULL ? 1 : name_h == NULL ? -1 : strcmp(name_w, name_h);
        if (order < 0) {
            sqlite3_snprintf(sizeof text, text, "schema: %s is missing", name_w);
            bad(arg, text);
        } else if (order > 0) {
            sqlite3_snprintf(sizeof text, text, "schema: %s is not part of it",
                             name_h == NULL ? "?" : name_h);
            bad(arg, text);
        } else {
            const char *sql_w = (const char *)sqlite3_column_text(want, 1);
            const char *sql_h = (const char *)sqlite3_column_text(have, 1);
            if (sql_w == NULL || sql_h == NULL || strcmp(sql_w, sql_h) != 0) {
                sqlite3_snprintf(sizeof text, text, "schema: %s has been altered", name_w);
                bad(arg, text);
            }
        }
        if (order <= 0)
            w = sqlite3_step(want);
        if (order >= 0)
            h = sqlite3_step(have);
    }
    if (HF_IS_OK(result))
        result = hf_sqlite_result(db, h);
    sqlite3_finalize(want);
    sqlite3_finalize(have);
    (void)sqlite3_close_v2(model.db);
    return result;
}
