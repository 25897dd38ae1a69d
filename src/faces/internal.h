/* The front's insides, shared by front.c (loop), conn.c (connections), link.c (the core's link) and http2.c. */
#ifndef HF_FACES_INTERNAL_H
#define HF_FACES_INTERNAL_H

#include "faces/front.h"
#include "faces/http1.h"
#include "faces/http_answer.h"
#include "faces/sources.h"
#include "faces/wbuf.h"

enum {
    HF_FRONT_SCRATCH = 64 << 10,         /* one read */
    HF_FRONT_READ_BUDGET = 1 << 20,      /* bytes from one connection in a round */
    HF_FRONT_KEEP = 64 << 10,            /* of a connection's buffer between requests */
    HF_FRONT_LINK_KEEP = 4 << 20,        /* of the link's buffers */
    HF_FRONT_LINK_READ = 256 << 10,      /* one read of the link */
    HF_FRONT_LINK_QUEUE_MAX = 128 << 20, /* bytes that wait for the core */
    HF_FRONT_ACCEPT_BATCH = 64,
    HF_FRONT_EVENTS = 256,
    HF_FRONT_NONE = -1,
};
#define HF_FRONT_LINGER_NS (2 * HF_SECOND)
#define HF_FRONT_TICK_NS HF_SECOND
#define HF_FRONT_REST_NS (5 * HF_SECOND) /* idle for so long: its buffers are given back */

struct hf_front;
struct hf_http2;

enum hf_conn_state {
    HF_CONN_FREE,
    HF_CONN_HANDSHAKE,
    HF_CONN_FRESH, /* plain: HTTP/1 or HTTP/2, as its first bytes say */
    HF_CONN_HTTP1,
    HF_CONN_HTTP2,
    HF_CONN_LINGER, /* our side is done; what still comes is read and dropped, so that our last answer arrives */
};

struct hf_conn {
    int fd;
    uint32_t index;
    int32_t next_free;
    enum hf_conn_state state;
    uint32_t events;  /* asked of epoll */
    bool close_after; /* once `out` is written */
    bool is_ready;    /* in the ready list */
    bool rested;
    int64_t deadline_ns;
    enum hf_reject deadline_why; /* NONE: an idle one is closed without a word */
    int64_t active_ns;
    int64_t message_ns; /* when the message's first byte came */
    struct ssl_st *ssl;
    struct hf_http_peer peer;
    uint8_t *cert;
    struct hf_wbuf in;  /* of a message that is not whole, or that waits for its turn */
    struct hf_wbuf out; /* what the peer does not take yet */
    size_t out_at;
    int32_t exchange; /* HTTP/1: the request under way, or HF_FRONT_NONE */
    struct hf_http1 http1;
    struct hf_http2 *http2;
};

/* A request under way at the core. Frame id: generation and index. */
struct hf_exchange {
    uint32_t generation;
    int32_t conn;   /* HF_FRONT_NONE: nobody waits any more */
    int32_t stream; /* HTTP/2, else 0 */
    int32_t next_free;
    struct hf_id id;
    int64_t deadline_ns;
    bool used, head, close;
};

struct hf_front {
    struct hf_front_limits limits;
    const struct hf_clock *clock;
    int64_t now_ns, next_tick_ns, drain_until_ns;
    bool dev, draining, stopped;
    bool settled; /* nothing is open, and the core knows all that was counted */
    int epoll_fd;
    struct {
        int fd;
        struct ssl_ctx_st *tls;
        bool paused;
    } listeners[HF_FRONT_LISTENERS_MAX];
    int watch_fd;
    void (*watch_act)(void *arg);
    void *watch_arg;

    struct hf_conn *conns; /* connections_max */
    uint32_t conn_high, conn_count;
    int32_t free_conn;        /* list, or HF_FRONT_NONE */
    int32_t freed_this_round; /* joins the list when the round's events are done */
    uint32_t *ready;
    uint32_t ready_count;

    struct hf_exchange *exchanges; /* requests_max */
    int32_t exchange_high, free_exchange;
    uint32_t exchange_count;

    int link_fd; /* HF_FRONT_NONE: down */
    bool link_writing;
    struct hf_wbuf link_out, link_in;
    size_t link_out_at;

    uint8_t *scratch;
    struct hf_wbuf answer, frames; /* frames: HTTP/2's, on their way out */
    uint64_t held_bytes;           /* by hf_front_room */
    struct hf_sources *sources;
    struct hf_front_stats stats;
    uint64_t stats_sent;
    uint8_t random[4096];
    size_t random_at;
};

/* What epoll tells of: in the upper half of its data. */
enum hf_front_kind { HF_FRONT_LISTENER, HF_FRONT_CONN, HF_FRONT_LINK, HF_FRONT_WATCH };
hf_result hf_front_epoll(struct hf_front *front, int op, int fd, uint32_t events, enum hf_front_kind kind,
                         uint32_t index);
void hf_front_count_reject(struct hf_front *front, enum hf_reject reject);
/* hf_wbuf_room and hf_wbuf_clear for what is kept because of a peer, whose sum has a bound: messages that are not
 * whole, answers that are not taken. False where the bound is reached. */
bool hf_front_room(struct hf_front *front, struct hf_wbuf *buf, size_t more);
bool hf_front_put(struct hf_front *front, struct hf_wbuf *buf, const void *bytes, size_t len);
void hf_front_clear(struct hf_front *front, struct hf_wbuf *buf, size_t keep);

/* ---- link.c ---- */
/* Passes a request on. Gives NONE and *ret_exchange, or why not; *ret_id either way. */
enum hf_reject hf_front_submit(struct hf_front *front, struct hf_conn *conn, int32_t stream,
                               const struct hf_http_request *request, int32_t *ret_exchange,
                               struct hf_id *ret_id, size_t *ret_at);
void hf_front_forget(struct hf_front *front, int32_t exchange); /* nobody waits for its answer any more */
hf_result hf_front_new_id(struct hf_front *front, struct hf_id *ret_id);
void hf_link_event(struct hf_front *front, uint32_t events);
void hf_link_flush(struct hf_front *front);
void hf_link_down(struct hf_front *front);
bool hf_link_tick(struct hf_front *front); /* true: there was something to tell the core */
/* Answers whoever waits for the exchange with a rejection, and frees it. */
void hf_front_answer_reject(struct hf_front *front, struct hf_exchange *exchange, enum hf_reject reject);

/* ---- conn.c ---- */
void hf_conn_accept(struct hf_front *front, unsigned listener);
void hf_conn_event(struct hf_front *front, struct hf_conn *conn, uint32_t events);
/* Puts it on the list of those that are served at the round's end. */
void hf_conn_make_ready(struct hf_front *front, struct hf_conn *conn);
void hf_conn_ready(struct hf_front *front, struct hf_conn *conn); /* its turn */
void hf_conn_tick(struct hf_front *front, struct hf_conn *conn);
void hf_conn_drain(struct hf_front *front, struct hf_conn *conn);
void hf_conn_close(struct hf_front *front, struct hf_conn *conn);
/* Writes, keeping what the peer does not take yet. False: the connection is closed. */
bool hf_conn_send(struct hf_front *front, struct hf_conn *conn, const uint8_t *bytes, size_t len);
/* Ends our side once all is written. */
void hf_conn_finish(struct hf_front *front, struct hf_conn *conn);
/* HTTP/1: writes head and body, and goes on with what waits. Body: HF_HTTP_HEAD_MAX bytes into front->answer. */
void hf_conn_answer_http1(struct hf_front *front, struct hf_conn *conn, struct hf_http_head *head,
                          size_t body_len, bool without_body);
/* Builds the rejection's body in front->answer, behind HF_HTTP_HEAD_MAX bytes; gives its length. */
size_t hf_front_reject_body(struct hf_front *front, enum hf_reject reject, size_t at,
                            struct hf_http_head *head);

/* What of it epoll shall tell. */
void hf_conn_ask(struct hf_front *front, struct hf_conn *conn, uint32_t events);
void hf_conn_deadline(struct hf_front *front, struct hf_conn *conn, int64_t in_ns, enum hf_reject why);
static inline bool hf_conn_waits(const struct hf_conn *conn)
{
    return conn->exchange != HF_FRONT_NONE;
}
static inline bool hf_conn_is_writing(const struct hf_conn *conn)
{
    return conn->out_at < conn->out.len;
}

/* ---- conn_http1.c ---- */
bool hf_http1_may_go_on(const struct hf_conn *conn);
/* Sets the time that the peer's next step has. */
void hf_http1_deadline(struct hf_front *front, struct hf_conn *conn);
/* `len` bytes in front->scratch, while none wait in conn->in: most requests are parsed where they were read. */
void hf_http1_fresh(struct hf_front *front, struct hf_conn *conn, size_t len);
/* What waits in conn->in, as far as it is whole. */
void hf_http1_waiting(struct hf_front *front, struct hf_conn *conn);
/* Answers with a rejection and ends the connection. */
void hf_http1_end(struct hf_front *front, struct hf_conn *conn, enum hf_reject reject);

/* ---- http2.c ---- */
hf_result hf_http2_new(struct hf_front *front, struct hf_conn *conn, struct hf_http2 **ret_http2);
void hf_http2_free(struct hf_http2 *http2);
/* Bytes of the peer. False: the connection is to be closed once what is to be sent is sent. */
bool hf_http2_input(struct hf_http2 *http2, const uint8_t *bytes, size_t len);
/* Sends what the session has to send, as far as the peer takes it. False: the connection is closed. */
bool hf_http2_output(struct hf_http2 *http2);
void hf_http2_answer(struct hf_http2 *http2, int32_t stream, const struct hf_http_head *head,
                     const uint8_t *body, size_t body_len);
bool hf_http2_tick(struct hf_http2 *http2); /* false: a stranger dawdles; close */
void hf_http2_drain(struct hf_http2 *http2);
bool hf_http2_done(const struct hf_http2 *http2);
bool hf_http2_idle(const struct hf_http2 *http2);

#endif
