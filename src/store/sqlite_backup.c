#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/hash.h"
#include "store/sqlite.h"

enum {
    COLUMNS_MAX = 8,
    CHUNK = 256 << 10,                        /* what a sink is given at once */
    COLUMN_MAX = HF_STORE_RECORD_MAX + 65536, /* of one column, when reading */
    PATH_BYTES = 4096,
};
static const char magic[] = "HOLDFAST BACKUP 1\n";

/* Numbers are written in backups: append only. */
static const struct backup_table {
    uint8_t number, columns;
    const char *select, *insert;
} tables[] = {
    {1, 2, "SELECT key,value FROM meta ORDER BY key", "INSERT INTO meta(key,value) VALUES(?,?)"},
    {2, 8, "SELECT tbl,id,rev,ns,name,state,due,sealed FROM record ORDER BY tbl,id",
     "INSERT INTO record(tbl,id,rev,ns,name,state,due,sealed) VALUES(?,?,?,?,?,?,?,?)"},
    {3, 3, "SELECT shard,seq,sealed FROM head ORDER BY shard",
     "INSERT INTO head(shard,seq,sealed) VALUES(?,?,?)"},
    {4, 7, "SELECT pos,shard,seq,tbl,id,rev,sealed FROM change ORDER BY pos",
     "INSERT INTO change(pos,shard,seq,tbl,id,rev,sealed) VALUES(?,?,?,?,?,?,?)"},
    {5, 3, "SELECT id,beat,sealed FROM node ORDER BY id", "INSERT INTO node(id,beat,sealed) VALUES(?,?,?)"},
    {6, 2, "SELECT h,expires FROM once ORDER BY h", "INSERT INTO once(h,expires) VALUES(?,?)"},
    {7, 2, "SELECT ver,reserved FROM use_block ORDER BY ver",
     "INSERT INTO use_block(ver,reserved) VALUES(?,?)"},
    {8, 4, "SELECT id,due,fence,cursor FROM job ORDER BY id",
     "INSERT INTO job(id,due,fence,cursor) VALUES(?,?,?,?)"},
    {9, 2, "SELECT no,log FROM audit_log ORDER BY no", "INSERT INTO audit_log(no,log) VALUES(?,?)"},
    {10, 3, "SELECT log,size,sealed FROM audit_head ORDER BY log",
     "INSERT INTO audit_head(log,size,sealed) VALUES(?,?,?)"},
    {11, 3, "SELECT pos,n,blob FROM audit_batch ORDER BY pos",
     "INSERT INTO audit_batch(pos,n,blob) VALUES(?,?,?)"},
};

/* ---- writing ------------------------------------------------------------------------------------------- */

struct stream {
    hf_store_sink sink;
    void *arg;
    struct hf_hasher *hasher;
    uint8_t *chunk;
    size_t len;
    uint64_t rows;
};

static void stream_done(struct stream *out)
{
    hf_hasher_freep(&out->hasher);
    free(out->chunk);
}

static hf_result stream_flush(struct stream *out)
{
    struct hf_cursor bytes = hf_cursor(out->chunk, out->len);
    out->len = 0;
    return bytes.left == 0 ? HF_DONE : out->sink(out->arg, bytes);
}

static hf_result stream_put(struct stream *out, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    TRY(hf_hasher_update(out->hasher, hf_cursor(bytes, count)));
    while (count > 0) {
        size_t part = HF_MIN(count, CHUNK - out->len);
        memcpy(out->chunk + out->len, at, part);
        out->len += part;
        at += part;
        count -= part;
        if (out->len == CHUNK)
            TRY(stream_flush(out));
    }
    return HF_DONE;
}

static hf_result put_column(struct stream *out, sqlite3_stmt *s, int at)
{
    uint8_t head[9];
    int type = sqlite3_column_type(s, at);
    if (type == SQLITE_INTEGER) {
        head[0] = 'i';
        hf_store_u64(head + 1, (uint64_t)sqlite3_column_int64(s, at));
        return stream_put(out, head, 9);
    }
    if (type != SQLITE_BLOB && type != SQLITE_TEXT)
        return HF_FAIL(CORRUPT); /* every column is NOT NULL */
    struct hf_cursor bytes = hf_sqlite_column(s, at);
    head[0] = type == SQLITE_BLOB ? 'b' : 't';
    hf_store_u32(head + 1, (uint32_t)bytes.left);
    TRY(stream_put(out, head, 5));
    return stream_put(out, bytes.at, bytes.left);
}

static hf_result put_table(struct stream *out, sqlite3 *db, const struct backup_table *table)
{
    sqlite3_stmt *s = NULL;
    hf_result result = hf_sqlite_result(db, sqlite3_prepare_v2(db, table->select, -1, &s, NULL));
    while (HF_IS_OK(result)) {
        int code = sqlite3_step(s);
        result = hf_sqlite_result(db, code);
        if (code != SQLITE_ROW)
            break;
        uint8_t head[2] = {table->number, table->columns};
        result = stream_put(out, head, sizeof head);
        for (int i = 0; i < table->columns && HF_IS_OK(result); i++)
            result = put_column(out, s, i);
        out->rows++;
    }
    sqlite3_finalize(s);
    return result;
}

static hf_result put_all(struct stream *out, sqlite3 *db)
{
    TRY(stream_put(out, magic, sizeof magic - 1));
    for (size_t i = 0; i < HF_ARRAY_LEN(tables); i++)
        TRY(put_table(out, db, &tables[i]));
    uint8_t end[9 + 32] = {0};
    hf_store_u64(end + 1, out->rows);
    TRY(stream_put(out, end, 9));
    TRY(hf_hasher_final(out->hasher, end + 9));
    TRY(stream_flush(out));
    return out->sink(out->arg, hf_cursor(end + 9, 32));
}

/* All in one read transaction: one state of the database, however long the taker takes. */
static hf_result backup(struct hf_sqlite_conn *conn, hf_store_sink sink, void *arg)
{
    CLEANUP(stream_done) struct stream out = {.sink = sink, .arg = arg};
    out.chunk = malloc(CHUNK);
    if (out.chunk == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(hf_hasher_new(HF_SHA2_256, &out.hasher));
    TRY(hf_sqlite_run(conn, HF_SQL_BEGIN_READ));
    hf_result result = put_all(&out, conn->db);
    HF_IGNORE(hf_sqlite_run(conn, HF_SQL_COMMIT), "it has only read");
    return result;
}

hf_result hf_sqlite_backup(struct hf_store *self, hf_store_sink sink, void *arg)
{
    struct hf_sqlite *engine = (struct hf_sqlite *)self;
    struct hf_sqlite_conn *conn = hf_sqlite_reader_take(engine);
    hf_result result = backup(conn, sink, arg);
    hf_sqlite_reader_give(engine, conn);
    return result;
}

hf_result hf_backup_to_fd(void *arg, struct hf_cursor bytes)
{
    int fd = *(const int *)arg;
    while (bytes.left > 0) {
        ssize_t n = write(fd, bytes.at, bytes.left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == ENOSPC ? HF_FAIL(STORE_FULL) : HF_FAIL(SYSTEM);
        bytes.at += n;
        bytes.left -= (size_t)n;
    }
    return HF_DONE;
}

struct counted {
    int fd;
    uint64_t done, all;
    void (*progress)(void *arg, uint64_t done, uint64_t all);
    void *arg;
};

static hf_result counted_sink(void *arg, struct hf_cursor bytes)
{
    struct counted *c = arg;
    TRY(hf_backup_to_fd(&c->fd, bytes));
    c->done += bytes.left;
    if (c->progress != NULL)
        c->progress(c->arg, c->done, HF_MAX(c->all, c->done));
    return HF_DONE;
}

hf_result hf_backup_file(const char *path, int to_fd,
                         void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg)
{
    if (access(path, F_OK) != 0)
        return HF_FAIL(NOT_FOUND);
    struct hf_sqlite_conn conn = {0};
    struct counted c = {.fd = to_fd, .progress = progress, .arg = arg};
    int64_t application = 0, pages = 0;
    hf_result result = hf_sqlite_conn_open(&conn, path, SQLITE_OPEN_READONLY);
    if (HF_IS_OK(result))
        result = hf_sqlite_number(conn.db, "PRAGMA application_id", &application);
    if (HF_IS_OK(result) && application != HF_SQLITE_APPLICATION)
        result = HF_FAIL(CORRUPT);
    if (HF_IS_OK(result))
        result = hf_sqlite_number(
            conn.db, "SELECT page_count*page_size FROM pragma_page_count,pragma_page_size", &pages);
    c.all = (uint64_t)pages;
    if (HF_IS_OK(result))
        result = backup(&conn, counted_sink, &c);
    hf_sqlite_conn_close(&conn);
    return result;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

struct source {
    int fd;
    struct hf_hasher *hasher;
    uint8_t *chunk;
    size_t at, len;
    uint64_t bytes;
    uint8_t *columns[COLUMNS_MAX]; /* bytes of the row under way */
    size_t column_cap[COLUMNS_MAX];
};

static void source_done(struct source *in)
{
    hf_hasher_freep(&in->hasher);
    free(in->chunk);
    for (size_t i = 0; i < COLUMNS_MAX; i++)
        free(in->columns[i]);
}

static hf_result source_raw(struct source *in, void *ret, size_t count)
{
    uint8_t *to = ret;
    while (count > 0) {
        if (in->at == in->len) {
            ssize_t n = read(in->fd, in->chunk, CHUNK);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return n == 0 ? HF_FAIL(TRUNCATED) : HF_FAIL(SYSTEM);
            in->at = 0;
            in->len = (size_t)n;
        }
        size_t part = HF_MIN(count, in->len - in->at);
        memcpy(to, in->chunk + in->at, part);
        in->at += part;
        in->bytes += part;
        to += part;
        count -= part;
    }
    return HF_DONE;
}

static hf_result source_take(struct source *in, void *ret, size_t count)
{
    TRY(source_raw(in, ret, count));
    return hf_hasher_update(in->hasher, hf_cursor(ret, count));
}

static hf_result take_column(struct source *in, sqlite3_stmt *s, int at)
{
    uint8_t head[9];
    TRY(source_take(in, head, 1));
    if (head[0] == 'i') {
        TRY(source_take(in, head + 1, 8));
        struct hf_cursor number = hf_cursor(head + 1, 8);
        uint64_t value = 0;
        (void)hf_cursor_u64(&number, &value);
        hf_sqlite_bind_number(s, at + 1, value);
        return HF_DONE;
    }
    if (head[0] != 'b' && head[0] != 't')
        return HF_FAIL(CORRUPT);
    TRY(source_take(in, head + 1, 4));
    struct hf_cursor number = hf_cursor(head + 1, 4);
    uint32_t len = 0;
    (void)hf_cursor_u32(&number, &len);
    if (len > COLUMN_MAX)
        return HF_FAIL(CORRUPT);
    if (len > in->column_cap[at]) {
        free(in->columns[at]);
        in->column_cap[at] = 0;
        in->columns[at] = malloc(len);
        if (in->columns[at] == NULL)
            return HF_FAIL(NO_MEMORY);
        in->column_cap[at] = len;
    }
    TRY(source_take(in, in->columns[at], len));
    if (head[0] == 'b')
        hf_sqlite_bind(s, at + 1, hf_cursor(in->columns[at], len));
    else
        (void)sqlite3_bind_text64(s, at + 1, (const char *)in->columns[at], len, SQLITE_STATIC, SQLITE_UTF8);
    return HF_DONE;
}

static hf_result take_rows(struct source *in, sqlite3 *db, sqlite3_stmt **inserts, uint64_t *ret_rows)
{
    uint64_t rows = 0;
    for (;;) {
        uint8_t number, columns;
        TRY(source_take(in, &number, 1));
        if (number == 0)
            break;
        TRY(source_take(in, &columns, 1));
        size_t which = 0;
        while (which < HF_ARRAY_LEN(tables) && tables[which].number != number)
            which++;
        if (which == HF_ARRAY_LEN(tables) || columns != tables[which].columns)
            return HF_FAIL(UNSUPPORTED);
        sqlite3_stmt **s = &inserts[which];
        if (*s == NULL)
            TRY(hf_sqlite_result(db, sqlite3_prepare_v2(db, tables[which].insert, -1, s, NULL)));
        for (int i = 0; i < columns; i++)
            TRY(take_column(in, *s, i));
        int code = sqlite3_step(*s);
        sqlite3_reset(*s);
        if ((code & 0xff) == SQLITE_CONSTRAINT)
            return HF_FAIL(CORRUPT);
        TRY(hf_sqlite_result(db, code));
        rows++;
    }
    uint8_t end[8], want[32], have[32];
    TRY(source_take(in, end, sizeof end));
    TRY(hf_hasher_final(in->hasher, want));
    TRY(source_raw(in, have, sizeof have));
    uint64_t count = 0;
    struct hf_cursor number = hf_cursor(end, sizeof end);
    (void)hf_cursor_u64(&number, &count);
    if (count != rows || memcmp(want, have, sizeof want) != 0) /* public: a checksum */
        return HF_FAIL(CORRUPT);
    *ret_rows = rows;
    return HF_DONE;
}

static hf_result restore_into(struct source *in, sqlite3 *db, uint64_t *ret_rows)
{
    char head[sizeof magic - 1];
    TRY(source_take(in, head, sizeof head));
    if (memcmp(head, magic, sizeof head) != 0) /* public */
        return HF_FAIL(CORRUPT);
    TRY(hf_sqlite_result(
        db, sqlite3_exec(db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL)));
    TRY(hf_sqlite_migrate(db));
    TRY(hf_sqlite_result(db, sqlite3_exec(db, "BEGIN; DELETE FROM meta", NULL, NULL, NULL)));
    sqlite3_stmt *inserts[HF_ARRAY_LEN(tables)] = {0};
    hf_result result = take_rows(in, db, inserts, ret_rows);
    for (size_t i = 0; i < HF_ARRAY_LEN(tables); i++)
        sqlite3_finalize(inserts[i]);
    TRY(result);
    return hf_sqlite_result(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
}

bool hf_backup_is(const char *path)
{
    char head[sizeof magic - 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is = fd >= 0 && pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
              memcmp(head, magic, sizeof head) == 0; /* public */
    if (fd >= 0)
        close(fd);
    return is;
}

static hf_result sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return HF_FAIL(STORE_DOWN);
    hf_result result = fsync(fd) == 0 || errno == EINVAL ? HF_DONE : HF_FAIL(STORE_DOWN);
    close(fd);
    return result;
}

static hf_result restore_file(struct source *in, const char *temporary, const char *path, uint64_t *ret_rows)
{
    struct hf_sqlite_conn conn = {0};
    hf_result result = hf_sqlite_conn_open(&conn, temporary, SQLITE_OPEN_READWRITE);
    if (HF_IS_OK(result))
        result = restore_into(in, conn.db, ret_rows);
    hf_sqlite_conn_close(&conn);
    TRY(result);
    TRY(sync_path(temporary, O_RDONLY));
    if (link(temporary, path) != 0) /* unlike rename it replaces nothing */
        return errno == EEXIST ? HF_FAIL(EXISTS) : HF_FAIL(STORE_DOWN);
    return HF_DONE;
}

hf_result hf_restore_file(int from_fd, const char *path, struct hf_restored *ret_restored)
{
    char temporary[PATH_BYTES], parent[PATH_BYTES];
    struct hf_buf name = hf_buf(temporary, sizeof temporary);
    hf_buf_text(&name, path);
    hf_buf_put(&name, ".restoring", 11);
    TRY(hf_buf_ok(&name));
    const char *slash = strrchr(path, '/');
    struct hf_buf above = hf_buf(parent, sizeof parent);
    hf_buf_put(&above, slash == NULL ? "." : path, slash == NULL ? 1 : (size_t)(slash - path) + 1);
    hf_buf_u8(&above, 0);

    struct stat there;
    if (lstat(path, &there) == 0)
        return HF_FAIL(EXISTS);
    CLEANUP(source_done) struct source in = {.fd = from_fd};
    in.chunk = malloc(CHUNK);
    if (in.chunk == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(hf_hasher_new(HF_SHA2_256, &in.hasher));
    (void)unlink(temporary); /* of an attempt that was cut off */
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == ENOSPC ? HF_FAIL(STORE_FULL) : HF_FAIL(STORE_DOWN);
    close(fd);
    uint64_t rows = 0;
    hf_result result = restore_file(&in, temporary, path, &rows);
    (void)unlink(temporary);
    TRY(result);
    TRY(sync_path(parent, O_RDONLY | O_DIRECTORY));
    *ret_restored = (struct hf_restored){rows, in.bytes};
    return HF_DONE;
}
