/* Each operation of a transaction as one conditional statement: where its condition does not hold no row changes,
 * and that is a conflict. */
#include "store/check.h"
#include "store/sqlite.h"

#include <time.h>

/* Runs a prepared and bound statement. ret_changed: whether it changed a row. */
static hf_result step(struct hf_sqlite_conn *conn, sqlite3_stmt *s, bool *ret_changed)
{
    int code = sqlite3_step(s);
    hf_result result = hf_sqlite_result(conn->db, code);
    *ret_changed = HF_IS_OK(result) && sqlite3_changes(conn->db) > 0;
    sqlite3_reset(s);
    return result;
}

static hf_result step_or_conflict(struct hf_sqlite_conn *conn, sqlite3_stmt *s)
{
    bool changed;
    TRY(step(conn, s, &changed));
    return changed ? HF_DONE : HF_FAIL(CONFLICT);
}

static hf_result run_put(struct hf_sqlite_conn *conn, const struct hf_store_op *op)
{
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, op->expect_rev == 0 ? HF_SQL_RECORD_INSERT : HF_SQL_RECORD_UPDATE, &s));
    hf_sqlite_bind_number(s, 1, op->row.table);
    hf_sqlite_bind_id(s, 2, &op->row.id);
    hf_sqlite_bind_number(s, 3, op->row.rev);
    hf_sqlite_bind(s, 4, op->row.ns);
    hf_sqlite_bind(s, 5, op->row.name);
    hf_sqlite_bind_number(s, 6, op->row.state);
    hf_sqlite_bind_number(s, 7, (uint64_t)op->row.due_ns);
    hf_sqlite_bind(s, 8, op->row.sealed);
    if (op->expect_rev != 0)
        hf_sqlite_bind_number(s, 9, op->expect_rev);
    return step_or_conflict(conn, s);
}

static hf_result run_delete(struct hf_sqlite_conn *conn, const struct hf_store_op *op)
{
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, HF_SQL_RECORD_DELETE, &s));
    hf_sqlite_bind_number(s, 1, op->row.table);
    hf_sqlite_bind_id(s, 2, &op->row.id);
    hf_sqlite_bind_number(s, 3, op->expect_rev);
    return step_or_conflict(conn, s);
}

/* A numbered blob that moves on by compare and swap: head, audit_head, node. */
static hf_result run_swap(struct hf_sqlite_conn *conn, enum hf_sqlite_statement insert,
                          const struct hf_id *id, uint64_t shard, uint64_t expect, uint64_t next,
                          struct hf_cursor blob)
{
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, expect == 0 ? insert : insert + 1, &s));
    if (id != NULL)
        hf_sqlite_bind_id(s, 1, id);
    else
        hf_sqlite_bind_number(s, 1, shard);
    hf_sqlite_bind_number(s, 2, next);
    hf_sqlite_bind(s, 3, blob);
    if (expect != 0)
        hf_sqlite_bind_number(s, 4, expect);
    return step_or_conflict(conn, s);
}
static_assert(HF_SQL_HEAD_UPDATE == HF_SQL_HEAD_INSERT + 1, "run_swap counts on it");
static_assert(HF_SQL_AUDIT_HEAD_UPDATE == HF_SQL_AUDIT_HEAD_INSERT + 1, "run_swap counts on it");
static_assert(HF_SQL_NODE_UPDATE == HF_SQL_NODE_INSERT + 1, "run_swap counts on it");

/* An audit head of size 0 exists or not: then the row is put where none is, and replaced where one of size 0 is. */
static hf_result run_audit_head(struct hf_sqlite_conn *conn, const struct hf_store_op *op)
{
    hf_result result =
        run_swap(conn, HF_SQL_AUDIT_HEAD_INSERT, &op->row.id, 0, op->expect_rev, op->seq, op->blob);
    if (result.code != HF_CONFLICT || op->expect_rev != 0)
        return result;
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, HF_SQL_AUDIT_HEAD_UPDATE, &s));
    hf_sqlite_bind_id(s, 1, &op->row.id);
    hf_sqlite_bind_number(s, 2, op->seq);
    hf_sqlite_bind(s, 3, op->blob);
    hf_sqlite_bind_number(s, 4, 0);
    return step_or_conflict(conn, s);
}

/* Its condition is that of the head in the same transaction: see hf_store_ops_check. */
static hf_result run_feed(struct hf_sqlite_conn *conn, const struct hf_store_op *op)
{
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, HF_SQL_CHANGE_INSERT, &s));
    hf_sqlite_bind_number(s, 1, op->shard);
    hf_sqlite_bind_number(s, 2, op->seq);
    hf_sqlite_bind_number(s, 3, op->row.table);
    hf_sqlite_bind_id(s, 4, &op->row.id);
    hf_sqlite_bind_number(s, 5, op->row.rev);
    hf_sqlite_bind(s, 6, op->blob);
    return step_or_conflict(conn, s);
}

/* What has expired is forgotten a little at a time, whenever something new is remembered. */
static hf_result run_once(struct hf_sqlite_conn *conn, const struct hf_store_op *op)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    sqlite3_stmt *s = NULL;
    bool changed;
    TRY(hf_sqlite_prepare(conn, HF_SQL_ONCE_EXPIRE, &s));
    hf_sqlite_bind_number(s, 1, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    TRY(step(conn, s, &changed));
    TRY(hf_sqlite_prepare(conn, HF_SQL_ONCE_INSERT, &s));
    hf_sqlite_bind(s, 1, op->hash);
    hf_sqlite_bind_number(s, 2, (uint64_t)op->expires_ns);
    return step_or_conflict(conn, s);
}

static hf_result run_reserve(struct hf_sqlite_conn *conn, const struct hf_store_op *op, uint64_t *ret_total)
{
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, HF_SQL_RESERVE, &s));
    hf_sqlite_bind_id(s, 1, &op->row.id);
    hf_sqlite_bind_number(s, 2, op->amount);
    hf_sqlite_bind_number(s, 3, HF_STORE_NUMBER_MAX - op->amount); /* the sum does not wrap */
    int code = sqlite3_step(s);
    hf_result result = hf_sqlite_result(conn->db, code);
    uint64_t total = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
    if (code == SQLITE_ROW) /* the row is written when the statement has run to its end */
        result = hf_sqlite_result(conn->db, sqlite3_step(s));
    else if (code == SQLITE_DONE)
        result = HF_FAIL(TOO_LARGE);
    sqlite3_reset(s);
    TRY(result);
    *ret_total = total;
    return HF_DONE;
}

static hf_result run_job_put(struct hf_sqlite_conn *conn, const struct hf_store_op *op)
{
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, op->expect_rev == 0 ? HF_SQL_JOB_INSERT : HF_SQL_JOB_UPDATE, &s));
    hf_sqlite_bind_id(s, 1, &op->row.id);
    hf_sqlite_bind_number(s, 2, (uint64_t)op->row.due_ns);
    hf_sqlite_bind_number(s, 3, op->seq);
    hf_sqlite_bind(s, 4, op->blob);
    if (op->expect_rev != 0)
        hf_sqlite_bind_number(s, 5, op->expect_rev);
    return step_or_conflict(conn, s);
}

static hf_result run_job_delete(struct hf_sqlite_conn *conn, const struct hf_store_op *op)
{
    sqlite3_stmt *s = NULL;
    TRY(hf_sqlite_prepare(conn, HF_SQL_JOB_DELETE, &s));
    hf_sqlite_bind_id(s, 1, &op->row.id);
    hf_sqlite_bind_number(s, 2, op->expect_rev);
    return step_or_conflict(conn, s);
}

static hf_result integer_of(struct hf_sqlite_conn *conn, sqlite3_stmt *s, bool *ret_there, uint64_t *ret)
{
    int code = sqlite3_step(s);
    hf_result result = hf_sqlite_result(conn->db, code);
    *ret_there = code == SQLITE_ROW;
    if (code == SQLITE_ROW) {
        *ret = (uint64_t)sqlite3_column_int64(s, 0);
        code = sqlite3_step(s);
        result = hf_sqlite_result(conn->db, code);
    }
    sqlite3_reset(s);
    return result;
}

/* The number that stands for a log's id; made at the log's first batch. */
static hf_result log_number(struct hf_sqlite *engine, const struct hf_id *log, uint64_t *ret_no)
{
    struct hf_sqlite_conn *conn = &engine->writer;
    for (size_t i = 0; i < HF_SQLITE_LOGS_CACHED; i++) {
        if (engine->logs[i].no != 0 && memcmp(&engine->logs[i].log, log, sizeof *log) == 0) { /* public */
            *ret_no = engine->logs[i].no;
            return HF_DONE;
        }
    }
    sqlite3_stmt *s = NULL;
    bool there;
    uint64_t no = 0;
    TRY(hf_sqlite_prepare(conn, HF_SQL_LOG_GET, &s));
    hf_sqlite_bind_id(s, 1, log);
    TRY(integer_of(conn, s, &there, &no));
    if (!there) {
        TRY(hf_sqlite_prepare(conn, HF_SQL_LOG_INSERT, &s));
        hf_sqlite_bind_id(s, 1, log);
        TRY(integer_of(conn, s, &there, &no));
    }
    if (!there || no == 0 || no >= UINT64_C(1) << (62 - HF_SQLITE_LOG_BITS))
        return HF_FAIL(CORRUPT);
    size_t slot = no % HF_SQLITE_LOGS_CACHED; /* forgotten when the transaction is rolled back */
    engine->logs[slot].log = *log;
    engine->logs[slot].no = no;
    *ret_no = no;
    return HF_DONE;
}

static hf_result run_audit_append(struct hf_sqlite *engine, const struct hf_store_op *op)
{
    struct hf_sqlite_conn *conn = &engine->writer;
    uint64_t no;
    TRY(log_number(engine, &op->row.id, &no));
    sqlite3_stmt *s = NULL;
    bool there;
    for (unsigned which = 0; which < 2; which++) {
        TRY(hf_sqlite_prepare(conn, which == 0 ? HF_SQL_BATCH_INSERT : HF_SQL_BATCH_SAME, &s));
        hf_sqlite_bind_number(s, 1, (no << HF_SQLITE_LOG_BITS) | op->seq);
        hf_sqlite_bind_number(s, 2, op->amount);
        hf_sqlite_bind(s, 3, op->blob);
        uint64_t one;
        if (which == 0)
            TRY(step(conn, s, &there));
        else
            TRY(integer_of(conn, s, &there, &one));
        if (there)
            return HF_DONE;
    }
    return HF_FAIL(CONFLICT);
}

static hf_result run_op(struct hf_sqlite *engine, const struct hf_store_op *op,
                        struct hf_store_outcome *outcome)
{
    struct hf_sqlite_conn *conn = &engine->writer;
    switch (op->kind) {
    case HF_STORE_PUT_IF:
        return run_put(conn, op);
    case HF_STORE_DEL_IF:
        return run_delete(conn, op);
    case HF_STORE_HEAD_CAS:
        return run_swap(conn, HF_SQL_HEAD_INSERT, NULL, op->shard, op->expect_rev, op->seq, op->blob);
    case HF_STORE_FEED_APPEND:
        return run_feed(conn, op);
    case HF_STORE_ONCE:
        return run_once(conn, op);
    case HF_STORE_RESERVE:
        return run_reserve(conn, op, &outcome->result);
    case HF_STORE_JOB_PUT:
        return run_job_put(conn, op);
    case HF_STORE_JOB_DEL:
        return run_job_delete(conn, op);
    case HF_STORE_AUDIT_APPEND:
        return run_audit_append(engine, op);
    case HF_STORE_AUDIT_HEAD:
        return run_audit_head(conn, op);
    case HF_STORE_BEAT:
        return run_swap(conn, HF_SQL_NODE_INSERT, &op->row.id, 0, op->expect_rev, op->expect_rev + 1,
                        op->blob);
    }
    return HF_FAIL(BAD_ARGUMENT);
}

hf_result hf_sqlite_execute(struct hf_sqlite *engine, struct hf_store_txn *txn)
{
    txn->outcome = (struct hf_store_outcome){0};
    for (size_t i = 0; i < txn->count; i++) {
        hf_result result = run_op(engine, &txn->ops[i], &txn->outcome);
        if (!HF_IS_OK(result)) {
            txn->outcome.failed_op = (uint32_t)i;
            return result;
        }
    }
    return HF_DONE;
}
