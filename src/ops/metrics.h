/* Counters of the core: calls by operation, outcome and time. Each core thread has its own, aligned to cache lines, so
 * that counting takes no lock; reading adds them up. */
#ifndef HF_OPS_METRICS_H
#define HF_OPS_METRICS_H

#include "ops/ops.h"

struct hf_metrics;
hf_result hf_metrics_new(uint32_t threads, struct hf_metrics **ret_metrics);
void hf_metrics_free(struct hf_metrics *metrics);
/* op NULL: no operation was found. elapsed_ns: from the frame's reading to its answer. */
void hf_metrics_count(struct hf_metrics *metrics, unsigned thread, const struct hf_operation *op,
                      enum hf_code code, uint8_t tls_group, int64_t elapsed_ns);

struct hf_core;
/* Everything in Prometheus' text format 0.0.4: names of operations and codes only, never a path, key or token. */
void hf_metrics_write(struct hf_core *core, struct hf_buf *out);

#endif
