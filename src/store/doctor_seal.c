/* The two rows of the seal, and the small tables that are in clear: whether they have the form that servers write. What
 * stands in them is authenticated by the keyring's own code when the server unseals (docs/seal.md has the forms). */
#include "store/doctor_inner.h"

enum {
    SEAL = 1, /* tables */
    KEYRING = 2,
    ROW_VERSION = 1,
    SHARES_MAX = 32,
    COMMITMENT = 32,
    KEK = 16 + 4 + 1 + 8 + 40,
    MAC = 32,
    ITEMS = 7,
    SEALED_SECRET_MIN = 24 + 1 + 16, /* XAES-256-GCM: nonce, at least one byte, tag */
};

struct seal_rows {
    unsigned seals, keyrings;
    uint8_t clusters[2][16];
};

static bool is_zero(struct hf_cursor bytes)
{
    uint8_t any = 0;
    for (size_t i = 0; i < bytes.left; i++)
        any |= bytes.at[i];
    return any == 0;
}

static bool seal_fits(struct hf_cursor in, uint8_t cluster[16])
{
    uint8_t version, threshold, count;
    uint32_t generation;
    uint64_t created;
    struct hf_cursor set, commitments;
    return hf_cursor_u8(&in, &version) && version == ROW_VERSION && hf_cursor_take(&in, 16, &set) &&
           !is_zero(set) && hf_cursor_copy(&in, cluster, 16) && hf_cursor_u32(&in, &generation) &&
           generation != 0 && hf_cursor_u8(&in, &threshold) && hf_cursor_u8(&in, &count) && threshold >= 1 &&
           threshold <= count && count <= SHARES_MAX && hf_cursor_u64(&in, &created) &&
           hf_cursor_take(&in, (size_t)count * COMMITMENT, &commitments) && !is_zero(commitments) &&
           in.left == 0;
}

static bool keyring_fits(struct hf_cursor in, uint8_t cluster[16])
{
    uint8_t version, count, number;
    uint32_t keks;
    struct hf_cursor log, item;
    if (!hf_cursor_u8(&in, &version) || version != ROW_VERSION || !hf_cursor_copy(&in, cluster, 16) ||
        !hf_cursor_take(&in, 16, &log) || is_zero(log) || !hf_cursor_u8(&in, &count) || count < ITEMS)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (!hf_cursor_u8(&in, &number) || number != i + 1 || !hf_cursor_vec16(&in, &item) ||
            item.left < SEALED_SECRET_MIN)
            return false;
    }
    return hf_cursor_u32(&in, &keks) && keks > 0 && in.left >= MAC && (in.left - MAC) % KEK == 0 &&
           (in.left - MAC) / KEK == keks;
}

static void each_seal_row(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct seal_rows *rows = at;
    struct hf_cursor sealed = hf_sqlite_column(s, 1);
    if (sqlite3_column_int64(s, 0) == SEAL) {
        rows->seals++;
        if (!seal_fits(sealed, rows->clusters[0]))
            doctor_bad(d, "seal: its row has not the form of one: altered or cut off; it cannot be unsealed");
    } else {
        rows->keyrings++;
        if (!keyring_fits(sealed, rows->clusters[1]))
            doctor_bad(
                d,
                "seal: the keyring's row has not the form of one: altered or cut off; it cannot be unsealed");
    }
}

static void each_use(struct doctor *d, sqlite3_stmt *s, void *at)
{
    struct doctor_line line;
    (void)at;
    struct hf_buf *out = doctor_line(&line, "use counter ");
    doctor_id(out, s, 0);
    hf_buf_text(out, ": set to nothing, and no server writes that");
    doctor_bad(d, line.text);
}

static void each_once(struct doctor *d, sqlite3_stmt *s, void *at)
{
    (void)s;
    (void)at;
    doctor_bad(d, "once: a row with a hash of a wrong length");
}

hf_result doctor_seal(struct doctor *d)
{
    struct seal_rows rows = {0};
    int64_t used;
    TRY(doctor_rows(d, "SELECT tbl,sealed FROM record WHERE tbl IN (1,2) ORDER BY tbl", each_seal_row,
                    &rows));
    TRY(hf_sqlite_number(d->conn.db,
                         "SELECT EXISTS(SELECT 1 FROM record) OR EXISTS(SELECT 1 FROM change) OR "
                         "EXISTS(SELECT 1 FROM head) OR EXISTS(SELECT 1 FROM audit_batch)",
                         &used));
    d->sealed = rows.seals != 0 || rows.keyrings != 0;
    if (used != 0 && rows.seals != 1)
        doctor_bad(d, rows.seals == 0 ? "seal: its row is missing: it cannot be unsealed"
                                      : "seal: more than one row");
    if (used != 0 && rows.keyrings != 1)
        doctor_bad(d, rows.keyrings == 0 ? "seal: the keyring's row is missing: it cannot be unsealed"
                                         : "seal: more than one keyring");
    if (rows.seals == 1 && rows.keyrings == 1 &&
        memcmp(rows.clusters[0], rows.clusters[1], sizeof rows.clusters[0]) != 0) /* public */
        doctor_bad(d, "seal: its row and the keyring's are of two clusters");
    TRY(doctor_rows(d, "SELECT ver FROM use_block WHERE reserved<=0 OR length(ver)<>16", each_use, NULL));
    return doctor_rows(d, "SELECT h FROM once WHERE length(h)<>32", each_once, NULL);
}
