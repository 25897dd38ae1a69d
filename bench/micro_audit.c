/* The audit trail alone: leaves appended and verified a second on one core, and what a data operation's leaf costs
 * its thread. Prints a table: what, median, least, most of seven rounds, unit.
 *
 *     bench_micro_audit [hash|path|sqlite|proof]      only that part; the database lies in TMPDIR or /tmp
 */
#include "audit/audit.h"
#include "crypto/crypto.h"
#include "tlog/export.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7, LEAVES = 1 << 20 };
#define ORIGIN "holdfast.example/audit/bench"

#define MUST(call)                                                                                           \
    do {                                                                                                     \
        hf_result must_ = (call);                                                                            \
        if (!HF_IS_OK(must_)) {                                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, hf_code_name(must_.code));                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static double seconds(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void row(const char *what, double *values, const char *unit)
{
    qsort(values, ROUNDS, sizeof(*values), by_value);
    printf("%-58s %12.0f %12.0f %12.0f  %s\n", what, values[ROUNDS / 2], values[0], values[ROUNDS - 1], unit);
}

/* ---- hashing alone ---- */

static void bench_append(void)
{
    double rates[ROUNDS];
    uint8_t leaf[HF_ENTRY_LEAF] = {1};
    for (unsigned r = 0; r < ROUNDS; r++) {
        struct hf_tlog_frontier f = {0};
        double begin = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (uint32_t i = 0; i < LEAVES; i++) {
            hf_store_u32(leaf + 5, i);
            hf_tlog_append(&f, hf_tlog_leaf(hf_cursor(leaf, sizeof(leaf))));
        }
        rates[r] = LEAVES / (seconds(CLOCK_THREAD_CPUTIME_ID) - begin);
    }
    row("leaves hashed and appended, one core", rates, "leaves/s");
}

static void bench_verify(void)
{
    double rates[2][ROUNDS];
    size_t cap = (size_t)LEAVES * 300;
    uint8_t *bytes = malloc(cap), note_bytes[8192];
    struct hf_tlog_hash *hashes = malloc(sizeof(*hashes) * HF_EXPORT_SECTION_MAX);
    struct hf_pkey *ed25519 = NULL, *mldsa44 = NULL;
    if (bytes == NULL || hashes == NULL)
        exit(1);
    MUST(hf_pkey_generate(HF_ALG_ED25519, &ed25519));
    MUST(hf_pkey_generate(HF_ALG_ML_DSA_44, &mldsa44));
    const struct hf_tlog_signer keys = {ed25519, mldsa44, hf_cursor_text(ORIGIN)};
    for (unsigned opened = 0; opened < 2; opened++) {
        struct hf_buf out = hf_buf(bytes, cap), note = hf_buf(note_bytes, sizeof(note_bytes));
        struct hf_tlog_frontier f = {0};
        struct hf_export_writer w;
        for (uint64_t i = 0; i < LEAVES; i++) {
            if (i % HF_EXPORT_SECTION_MAX == 0)
                hf_export_begin(&w, &out, hf_cursor_text(ORIGIN), &f);
            uint8_t opening_bytes[HF_ENTRY_OPENING_MAX], leaf_bytes[HF_ENTRY_LEAF], salt[16] = {(uint8_t)i};
            struct hf_buf opening = hf_buf(opening_bytes, sizeof(opening_bytes));
            const struct hf_entry_detail detail = {.items = 1,
                                                   .has_path = true,
                                                   .operation = hf_cursor_text("transit.encrypt"),
                                                   .mount = hf_cursor_text("transit/"),
                                                   .outcome = hf_cursor_text("OK"),
                                                   .key_id = {{1}},
                                                   .accessor = {{1}}};
            struct hf_entry_leaf leaf = {.kind = HF_ENTRY_AUDIT, .time_ms = i};
            hf_entry_opening_write(&opening, salt, &detail);
            MUST(hf_sha256(hf_buf_cursor(&opening), leaf.commitment.bytes));
            hf_entry_leaf_write(leaf_bytes, &leaf);
            if (opened == 0)
                opening.len = 0;
            hf_export_entry(&w, i, leaf_bytes, hf_buf_cursor(&opening));
            hashes[i % HF_EXPORT_SECTION_MAX] = hf_tlog_leaf(hf_cursor(leaf_bytes, sizeof(leaf_bytes)));
            hf_tlog_append(&f, hashes[i % HF_EXPORT_SECTION_MAX]);
            if (i % HF_EXPORT_SECTION_MAX == HF_EXPORT_SECTION_MAX - 1)
                hf_export_end(&w, hashes, HF_EXPORT_SECTION_MAX);
        }
        MUST(hf_buf_ok(&out));
        const struct hf_tlog_checkpoint cp = {hf_cursor_text(ORIGIN), f.size, hf_tlog_root(&f)};
        MUST(hf_tlog_checkpoint_sign(&note, &cp, &keys, 0));
        for (unsigned r = 0; r < ROUNDS; r++) {
            struct hf_export_verdict v;
            double begin = seconds(CLOCK_THREAD_CPUTIME_ID);
            MUST(hf_export_verify(hf_buf_cursor(&out), hf_buf_cursor(&note), &keys, &v));
            rates[opened][r] = LEAVES / (seconds(CLOCK_THREAD_CPUTIME_ID) - begin);
            if (!v.ok)
                exit(1);
        }
    }
    row("leaves of an export verified, one core", rates[0], "leaves/s");
    row("leaves with their details verified, one core", rates[1], "leaves/s");
    hf_pkey_free(ed25519);
    hf_pkey_free(mldsa44);
    free(hashes);
    free(bytes);
}

/* ---- the whole path ---- */

static hf_result null_commit(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                             enum hf_durability durability, struct hf_store_outcome *outcome)
{
    (void)self, (void)ops, (void)count, (void)durability, (void)outcome;
    return HF_DONE;
}

static hf_result null_head(struct hf_store *self, struct hf_id log, struct hf_buf *space_, uint64_t *size,
                           struct hf_cursor *blob)
{
    (void)self, (void)log, (void)space_;
    *size = 0;
    *blob = (struct hf_cursor){0};
    return HF_DONE;
}

static hf_result null_read(struct hf_store *self, struct hf_id log, uint64_t from, uint32_t limit,
                           hf_audit_batch_fn each, void *arg)
{
    (void)self, (void)log, (void)from, (void)limit, (void)each, (void)arg;
    return HF_DONE;
}

static const struct hf_store_ops null_ops = {
    .name = "null", .commit = null_commit, .audit_head_get = null_head, .audit_read = null_read};

struct keys {
    struct hf_secret *detail, *hash;
    struct hf_pkey *ed25519, *mldsa44;
};

static struct keys make_keys(void)
{
    struct keys k = {0};
    MUST(hf_secret_random(32, &k.detail));
    MUST(hf_secret_random(32, &k.hash));
    MUST(hf_pkey_generate(HF_ALG_ED25519, &k.ed25519));
    MUST(hf_pkey_generate(HF_ALG_ML_DSA_44, &k.mldsa44));
    return k;
}

static void free_keys(struct keys *k)
{
    hf_secret_free(k->detail);
    hf_secret_free(k->hash);
    hf_pkey_free(k->ed25519);
    hf_pkey_free(k->mldsa44);
}

static struct hf_audit *open_log(struct hf_store *store, const struct keys *k)
{
    struct hf_audit_config config = {.checkpoint_ms = 1000};
    struct hf_audit *audit = NULL;
    (void)snprintf(config.origin, sizeof(config.origin), "%s", ORIGIN);
    MUST(hf_audit_open(store, &config, k->detail, k->hash, k->ed25519, k->mldsa44, &hf_clock_system, &audit));
    return audit;
}

static struct hf_audit_entry sample(void)
{
    return (struct hf_audit_entry){.operation = "transit.encrypt",
                                   .path = hf_cursor_text("transit/encrypt/payments"),
                                   .mount = hf_cursor_text("transit/"),
                                   .key_version = 1,
                                   .items = 1,
                                   .key_id = {{1}},
                                   .accessor = {{2}},
                                   .peer_ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
}

static void bench_path(const char *where, struct hf_store *store, unsigned each, uint32_t leaves)
{
    double thread_ns[ROUNDS], all_ns[ROUNDS];
    char what[80];
    struct hf_audit_batch_writer *w = NULL;
    struct keys keys = make_keys();
    struct hf_audit *audit = open_log(store, &keys);
    MUST(hf_audit_batch_new(audit, &w));
    struct hf_audit_entry e = sample();
    for (unsigned r = 0; r < ROUNDS; r++) {
        double begin = seconds(CLOCK_THREAD_CPUTIME_ID), all = seconds(CLOCK_PROCESS_CPUTIME_ID);
        for (uint32_t i = 0; i < leaves; i++) {
            hf_store_u32(e.request_id.bytes, i);
            MUST(hf_audit_batch_add(w, &e));
            if (i % each == each - 1)
                MUST(hf_audit_batch_flush(w));
        }
        MUST(hf_audit_batch_flush(w));
        thread_ns[r] = (seconds(CLOCK_THREAD_CPUTIME_ID) - begin) / leaves * 1e9;
        uint8_t bytes[8192];
        struct hf_buf note = hf_buf(bytes, sizeof(bytes));
        MUST(hf_audit_checkpoint(audit, true, &note));
        all_ns[r] = (seconds(CLOCK_PROCESS_CPUTIME_ID) - all) / leaves * 1e9;
    }
    struct hf_audit_stats stats;
    hf_audit_stats(audit, &stats);
    (void)snprintf(what, sizeof(what), "a data operation's leaf, %u a batch, %s: its thread", each, where);
    row(what, thread_ns, "ns");
    (void)snprintf(what, sizeof(what), "    with sequencer, checkpoints and store");
    row(what, all_ns, "ns");
    printf("    %.0f bytes a leaf in the store\n", (double)stats.written_bytes / (double)stats.size);
    hf_audit_batch_free(w);
    hf_audit_close(audit);
    free_keys(&keys);
}

struct place { /* a database of its own */
    char dir[256];
    struct hf_store *store;
};

static void place_open(struct place *p)
{
    char path[300];
    const char *base = getenv("TMPDIR");
    (void)snprintf(p->dir, sizeof(p->dir), "%s/hf-bench-audit-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(p->dir) == NULL)
        exit(1);
    (void)snprintf(path, sizeof(path), "%s/store.db", p->dir);
    MUST(hf_store_sqlite_open(path, &p->store));
}

static void place_close(struct place *p)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    p->store->ops->close(p->store);
    for (size_t s = 0; s < HF_ARRAY_LEN(suffixes); s++) {
        char path[300];
        (void)snprintf(path, sizeof(path), "%s/store.db%s", p->dir, suffixes[s]);
        (void)unlink(path);
    }
    (void)rmdir(p->dir);
}

static void bench_sqlite(unsigned each)
{
    struct place p;
    place_open(&p);
    bench_path("SQLite", p.store, each, 1 << 17);
    place_close(&p);
}

/* How long a proof, and taking up the log again, take where the log is large. */
static void bench_proof(uint32_t leaves)
{
    enum { PROOFS = 200 };
    double open_us[ROUNDS], proof_us[ROUNDS];
    static uint8_t bytes[32 << 10];
    struct place p;
    struct keys keys = make_keys();
    struct hf_audit_batch_writer *w = NULL;
    place_open(&p);
    struct hf_audit *audit = open_log(p.store, &keys);
    MUST(hf_audit_batch_new(audit, &w));
    for (uint32_t i = 0; i < leaves; i++) {
        struct hf_audit_entry e = sample();
        hf_store_u32(e.request_id.bytes, i);
        MUST(hf_audit_batch_add(w, &e));
        if (i % 32 == 31)
            MUST(hf_audit_batch_flush(w));
    }
    MUST(hf_audit_batch_flush(w));
    hf_audit_batch_free(w);
    for (unsigned r = 0; r < ROUNDS; r++) {
        hf_audit_close(audit);
        double begin = seconds(CLOCK_MONOTONIC);
        audit = open_log(p.store, &keys);
        open_us[r] = (seconds(CLOCK_MONOTONIC) - begin) * 1e6;
        struct hf_buf note = hf_buf(bytes, sizeof(bytes));
        MUST(hf_audit_checkpoint(audit, true, &note));
        begin = seconds(CLOCK_MONOTONIC);
        for (uint32_t i = 0; i < PROOFS; i++) {
            struct hf_buf out = hf_buf(bytes, sizeof(bytes));
            MUST(hf_audit_prove(audit, (uint64_t)leaves * i / PROOFS, &out));
        }
        proof_us[r] = (seconds(CLOCK_MONOTONIC) - begin) / PROOFS * 1e6;
    }
    char what[80];
    (void)snprintf(what, sizeof(what), "an inclusion proof from a log of %u leaves", leaves);
    row(what, proof_us, "us");
    row("    taking up that log after a restart", open_us, "us");
    hf_audit_close(audit);
    free_keys(&keys);
    place_close(&p);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    MUST(hf_secret_arena_open(32 << 20, false));
    MUST(hf_crypto_start(HF_CRYPTO_HEAP_ARENA));
    printf("%-58s %12s %12s %12s\n", "audit", "median", "least", "most");
    if (only[0] == '\0' || strcmp(only, "hash") == 0) {
        bench_append();
        bench_verify();
    }
    if (only[0] == '\0' || strcmp(only, "path") == 0) {
        struct hf_store null_store = {&null_ops};
        bench_path("no store", &null_store, 1, 1 << 17);
        bench_path("no store", &null_store, 16, 1 << 18);
        bench_path("no store", &null_store, 256, 1 << 18);
    }
    if (only[0] == '\0' || strcmp(only, "sqlite") == 0) {
        bench_sqlite(4);
        bench_sqlite(16);
        bench_sqlite(64);
    }
    if (only[0] == '\0' || strcmp(only, "proof") == 0)
        bench_proof(3000000);
    return 0;
}
