/* The front: one thread that terminates TLS, speaks HTTP/1.1 and HTTP/2, and passes requests as CALL frames to the
 * core over one stream socket. It decides nothing and keeps nothing: what held a token, a share or a payload is wiped
 * once it is passed on. It works in rounds: every connection that is ready is read, all calls go to the core in one
 * write, all answers that came are written out.
 *
 * While the core's link is down, every request is answered 503 at once. */
#ifndef HF_FACES_FRONT_H
#define HF_FACES_FRONT_H

#include "base/clock.h"
#include "faces/stats.h"
#include "faces/tls.h"

enum { HF_FRONT_LISTENERS_MAX = 8 };

struct hf_front_limits {
    uint32_t head_bytes_max, body_bytes_max;
    uint64_t held_bytes_max; /* of requests that are not whole yet and answers that are not taken, in all */
    uint32_t connections_max, connections_per_source_max;
    uint32_t streams_max;                            /* HTTP/2, for each connection */
    uint32_t requests_max;                           /* under way at the core */
    uint32_t body_rate_least;                        /* bytes a second, after body_grace_ns */
    int64_t handshake_ns, head_ns, body_grace_ns;    /* from their first byte */
    int64_t request_ns, idle_ns, write_ns, drain_ns; /* write: without any progress */
};
/* What stands where the configuration says nothing. */
void hf_front_limits_default(struct hf_front_limits *ret_limits);

struct hf_front;
/* dev: every response is marked so. Fails: NO_MEMORY, SYSTEM, NO_ENTROPY. */
hf_result hf_front_new(const struct hf_front_limits *limits, const struct hf_clock *clock, bool dev,
                       struct hf_front **ret_front);
void hf_front_free(struct hf_front *front);

/* Takes fd (bound, listening, non-blocking) and tls (NULL: plain HTTP). id: 0 .. HF_FRONT_LISTENERS_MAX - 1. */
hf_result hf_front_listen(struct hf_front *front, unsigned id, int fd, struct ssl_ctx_st *tls);
/* New connections of the listener use `tls` (taken) from here on; those there are live on with theirs. */
void hf_front_set_tls(struct hf_front *front, unsigned id, struct ssl_ctx_st *tls);
/* Takes fd: the core's stream socket. What was under way on an earlier one has been or is now answered 503. */
hf_result hf_front_link(struct hf_front *front, int fd);
/* Calls act(arg) when fd (borrowed) can be read. One only: the control channel. */
hf_result hf_front_watch(struct hf_front *front, int fd, void (*act)(void *arg), void *arg);
/* Graceful stop: no new connections, what is under way is finished; run returns when all are closed, or after
 * drain_ns. */
void hf_front_drain(struct hf_front *front);
/* run returns at once. */
void hf_front_stop(struct hf_front *front);
/* Serves. Fails: SYSTEM where epoll itself fails. */
hf_result hf_front_run(struct hf_front *front);
const struct hf_front_stats *hf_front_stats(const struct hf_front *front);

#endif
