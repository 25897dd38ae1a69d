#include "ops/metrics.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "ops/core.h"
#include "seal/seal.h"

enum { OPS_MAX = 320, BUCKETS = 16, CACHE_LINE = 64, GROUPS = 3 };

/* Upper bounds of the latency buckets in microseconds: 8 us to 262 ms by doubling; the last one takes the rest. */
static uint64_t bucket_us(unsigned i)
{
    return UINT64_C(8) << i;
}

struct op_counts {
    _Atomic uint64_t ok, refused, failed, elapsed_ns;
    _Atomic uint64_t buckets[BUCKETS];
};

struct thread_counts {
    alignas(CACHE_LINE) struct op_counts ops[OPS_MAX];
    _Atomic uint64_t codes[HF_CODE_COUNT];
    _Atomic uint64_t groups[GROUPS];
};

struct hf_metrics {
    uint32_t threads;
    struct thread_counts *counts;
};

hf_result hf_metrics_new(uint32_t threads, struct hf_metrics **ret_metrics)
{
    if (hf_operation_count >= OPS_MAX)
        return HF_FAIL(INTERNAL);
    struct hf_metrics *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return HF_FAIL(NO_MEMORY);
    m->threads = threads;
    size_t bytes = threads * sizeof(struct thread_counts);
    m->counts = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (m->counts == NULL) {
        free(m);
        return HF_FAIL(NO_MEMORY);
    }
    memset(m->counts, 0, bytes);
    *ret_metrics = m;
    return HF_DONE;
}

void hf_metrics_free(struct hf_metrics *metrics)
{
    if (metrics == NULL)
        return;
    free(metrics->counts);
    free(metrics);
}

/* One writer per counter: a plain load and store suffices, no locked instruction. */
static void bump(_Atomic uint64_t *counter, uint64_t by)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + by, memory_order_relaxed);
}

void hf_metrics_count(struct hf_metrics *metrics, unsigned thread, const struct hf_operation *op,
                      enum hf_code code, uint8_t tls_group, int64_t elapsed_ns)
{
    if (thread >= metrics->threads)
        return;
    struct thread_counts *mine = &metrics->counts[thread];
    bump(&mine->codes[(unsigned)code < HF_CODE_COUNT ? code : HF_INTERNAL], 1);
    bump(&mine->groups[tls_group < GROUPS ? tls_group : 0], 1);
    size_t at = op == NULL ? OPS_MAX - 1 : (size_t)(op - hf_operations);
    struct op_counts *c = &mine->ops[at];
    int http = hf_code_http(code);
    bump(http < 400 ? &c->ok : http < 500 ? &c->refused : &c->failed, 1);
    uint64_t ns = elapsed_ns > 0 ? (uint64_t)elapsed_ns : 0;
    bump(&c->elapsed_ns, ns);
    uint64_t us = ns / 1000;
    unsigned i = us < 8 ? 0 : 61u - (unsigned)__builtin_clzll(us);
    bump(&c->buckets[HF_MIN(i, (unsigned)BUCKETS - 1)], 1);
}

static void sample(struct hf_buf *out, const char *name, const char *labels, uint64_t value)
{
    hf_buf_text(out, name);
    hf_buf_text(out, labels);
    hf_buf_text(out, " ");
    hf_buf_decimal(out, value);
    hf_buf_text(out, "\n");
}

static void head(struct hf_buf *out, const char *name, const char *type, const char *help)
{
    hf_buf_text(out, "# HELP ");
    hf_buf_text(out, name);
    hf_buf_text(out, " ");
    hf_buf_text(out, help);
    hf_buf_text(out, "\n# TYPE ");
    hf_buf_text(out, name);
    hf_buf_text(out, " ");
    hf_buf_text(out, type);
    hf_buf_text(out, "\n");
}

#define SUM(metrics, member)                                                                                 \
    ({                                                                                                       \
        uint64_t sum_ = 0;                                                                                   \
        for (uint32_t t_ = 0; t_ < (metrics)->threads; t_++)                                                 \
            sum_ += atomic_load_explicit(&(metrics)->counts[t_].member, memory_order_relaxed);               \
        sum_;                                                                                                \
    })

static void labelled(struct hf_buf *out, const char *name, const char *op, const char *more, uint64_t value)
{
    hf_buf_text(out, name);
    hf_buf_text(out, "{operation=\"");
    hf_buf_text(out, op);
    hf_buf_text(out, "\"");
    hf_buf_text(out, more);
    hf_buf_text(out, "} ");
    hf_buf_decimal(out, value);
    hf_buf_text(out, "\n");
}

/* Whole seconds and nine decimals. */
static void seconds(struct hf_buf *out, uint64_t ns)
{
    hf_buf_decimal(out, ns / HF_SECOND);
    char frac[11] = ".000000000";
    uint64_t rest = ns % HF_SECOND;
    for (int i = 9; i >= 1; i--, rest /= 10)
        frac[i] = (char)('0' + rest % 10);
    hf_buf_text(out, frac);
}

static void write_operations(const struct hf_metrics *m, struct hf_buf *out)
{
    head(out, "holdfast_operations_total", "counter", "Operations by name and outcome.");
    for (size_t i = 0; i < OPS_MAX; i++) {
        if (i >= hf_operation_count && i != OPS_MAX - 1)
            continue;
        const char *name = i == OPS_MAX - 1 ? "none" : hf_operations[i].name;
        uint64_t ok = SUM(m, ops[i].ok), refused = SUM(m, ops[i].refused), failed = SUM(m, ops[i].failed);
        if (ok + refused + failed == 0)
            continue;
        labelled(out, "holdfast_operations_total", name, ",outcome=\"ok\"", ok);
        labelled(out, "holdfast_operations_total", name, ",outcome=\"refused\"", refused);
        labelled(out, "holdfast_operations_total", name, ",outcome=\"failed\"", failed);
    }
    head(out, "holdfast_operation_seconds", "histogram", "Time in the core, from frame to answer.");
    for (size_t i = 0; i < hf_operation_count; i++) {
        uint64_t total = 0;
        for (unsigned b = 0; b < BUCKETS; b++)
            total += SUM(m, ops[i].buckets[b]);
        if (total == 0)
            continue;
        uint64_t below = 0;
        for (unsigned b = 0; b < BUCKETS - 1; b++) {
            below += SUM(m, ops[i].buckets[b]);
            char le[40];
            struct hf_buf text = hf_buf(le, sizeof(le) - 1);
            hf_buf_text(&text, ",le=\"");
            seconds(&text, bucket_us(b) * 1000);
            hf_buf_text(&text, "\"");
            le[text.len] = '\0';
            labelled(out, "holdfast_operation_seconds_bucket", hf_operations[i].name, le, below);
        }
        labelled(out, "holdfast_operation_seconds_bucket", hf_operations[i].name, ",le=\"+Inf\"", total);
        hf_buf_text(out, "holdfast_operation_seconds_sum{operation=\"");
        hf_buf_text(out, hf_operations[i].name);
        hf_buf_text(out, "\"} ");
        seconds(out, SUM(m, ops[i].elapsed_ns));
        hf_buf_text(out, "\n");
        labelled(out, "holdfast_operation_seconds_count", hf_operations[i].name, "", total);
    }
}

static void write_totals(const struct hf_metrics *m, struct hf_buf *out)
{
    head(out, "holdfast_answers_total", "counter", "Answers by result code.");
    for (unsigned code = 0; code < HF_CODE_COUNT; code++) {
        uint64_t n = SUM(m, codes[code]);
        if (n == 0)
            continue;
        hf_buf_text(out, "holdfast_answers_total{code=\"");
        hf_buf_text(out, hf_code_name((enum hf_code)code));
        hf_buf_text(out, "\"} ");
        hf_buf_decimal(out, n);
        hf_buf_text(out, "\n");
    }
    static const char *const group[GROUPS] = {"{transport=\"plain\"}", "{transport=\"quantum-vulnerable\"}",
                                              "{transport=\"quantum-resilient\"}"};
    head(out, "holdfast_calls_total", "counter", "Calls by the key exchange of their connection.");
    for (unsigned g = 0; g < GROUPS; g++)
        sample(out, "holdfast_calls_total", group[g], SUM(m, groups[g]));
}

static void write_state(struct hf_core *core, struct hf_buf *out)
{
    struct hf_seal_status status = {0};
    HF_IGNORE(hf_seal_status(core->seal, &status), "a store that is away still leaves what is known");
    head(out, "holdfast_unsealed", "gauge", "1 while unsealed.");
    sample(out, "holdfast_unsealed", "", status.initialized && !status.sealed);
    struct hf_secret_report arena;
    hf_secret_arena_report(&arena);
    head(out, "holdfast_secret_memory_bytes", "gauge", "Secret memory in use by the core.");
    sample(out, "holdfast_secret_memory_bytes", "", arena.bytes_used);
    head(out, "holdfast_secrets", "gauge", "Secrets alive in the core.");
    sample(out, "holdfast_secrets", "", arena.secrets_alive);
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return;
    struct hf_records_stats r;
    hf_records_stats(u->records, &r);
    head(out, "holdfast_records", "gauge", "Records in the store.");
    sample(out, "holdfast_records", "", r.count);
    head(out, "holdfast_records_corrupt_total", "counter", "Records refused as altered, older or damaged.");
    sample(out, "holdfast_records_corrupt_total", "", r.corrupt_found);
    struct hf_audit_stats a;
    hf_audit_stats(u->audit, &a);
    head(out, "holdfast_audit_leaves_total", "counter", "Leaves of this core's audit log.");
    sample(out, "holdfast_audit_leaves_total", "", a.size);
    head(out, "holdfast_audit_unsynced", "gauge", "Leaves written but not yet known to be on disk.");
    sample(out, "holdfast_audit_unsynced", "", a.unsynced);
    head(out, "holdfast_audit_failures_total", "counter",
         "Leaves that could not be written; their operations were refused.");
    sample(out, "holdfast_audit_failures_total", "", a.failures);
}

void hf_metrics_write(struct hf_core *core, struct hf_buf *out)
{
    write_operations(core->metrics, out);
    write_totals(core->metrics, out);
    write_state(core, out);
    if (core->more_metrics.write != NULL)
        core->more_metrics.write(core->more_metrics.arg, out);
}
