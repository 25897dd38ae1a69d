/* What a front counts. Plain numbers of one thread; sent to the core as a map from name to value, which it
 * prints in sys/metrics as holdfast_front_NAME{front="N"}. */
#ifndef HF_FACES_STATS_H
#define HF_FACES_STATS_H

#include "faces/reject.h"
#include "wire/tree.h"

#define HF_FRONT_COUNTERS(X)                                                                                 \
    X(CONNECTIONS, "connections_total")                                                                      \
    X(CONNECTIONS_OPEN, "connections_open")                                                                  \
    X(REQUESTS_HTTP1, "requests_http1_total")                                                                \
    X(REQUESTS_HTTP2, "requests_http2_total")                                                                \
    X(REQUESTS_OPEN, "requests_open")                                                                        \
    X(BYTES_IN, "received_bytes_total")                                                                      \
    X(BYTES_OUT, "sent_bytes_total")                                                                         \
    X(HANDSHAKES_HYBRID, "handshakes_hybrid_total")                                                          \
    X(HANDSHAKES_CLASSICAL, "handshakes_classical_total")                                                    \
    X(CLIENT_CERTIFICATES, "client_certificates_total")                                                      \
    X(TLS_RELOADS, "tls_reloads_total")                                                                      \
    X(LATE_ANSWERS, "late_answers_total")
#define HF_FRONT_COUNTER_AS_ENUM(symbol, name) HF_FRONT_##symbol,
enum hf_front_counter { HF_FRONT_COUNTERS(HF_FRONT_COUNTER_AS_ENUM) HF_FRONT_COUNTER_COUNT };
#undef HF_FRONT_COUNTER_AS_ENUM

struct hf_front_stats {
    uint64_t counters[HF_FRONT_COUNTER_COUNT];
    uint64_t rejects[HF_REJECT_COUNT]; /* rejected_NAME_total */
};

enum { HF_FRONT_STATS_TREE_MAX = 4096 };
void hf_front_stats_write(const struct hf_front_stats *stats, struct hf_tree_writer *w);

#endif
