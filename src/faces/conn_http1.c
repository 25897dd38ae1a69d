/* HTTP/1 on a connection: one message at a time, in order; what the peer sends ahead waits. */
#include <sys/epoll.h>

#include "faces/internal.h"

/* Sets the time that the next step of the peer has. */
void hf_http1_deadline(struct hf_front *front, struct hf_conn *conn)
{
    const struct hf_front_limits *limits = &front->limits;
    if (hf_conn_waits(conn) || hf_conn_is_writing(conn))
        return;
    if (conn->in.len == 0 && !conn->http1.started) {
        hf_conn_deadline(front, conn, limits->idle_ns, HF_REJECT_NONE);
    } else if (!hf_http1_in_body(&conn->http1)) {
        conn->deadline_ns = conn->message_ns + limits->head_ns;
        conn->deadline_why = HF_REJECT_HEADER_TIME;
    } else {
        int64_t earned = (int64_t)(conn->http1.body.len / limits->body_rate_least) * HF_SECOND;
        conn->deadline_ns =
            conn->message_ns + HF_MIN(limits->head_ns + limits->body_grace_ns + earned, limits->request_ns);
        conn->deadline_why = HF_REJECT_BODY_TIME;
    }
}

void hf_conn_answer_http1(struct hf_front *front, struct hf_conn *conn, struct hf_http_head *head,
                          size_t body_len, bool without_body)
{
    uint8_t space[HF_HTTP_HEAD_MAX];
    struct hf_buf out = hf_buf(space, sizeof(space));
    if (head->content_type.left == 0)
        body_len = 0;
    hf_http_head_write(head, body_len, &out);
    if (out.overflow) {
        hf_conn_close(front, conn);
        return;
    }
    uint8_t *first = front->answer.at + HF_HTTP_HEAD_MAX - out.len;
    memcpy(first, space, out.len);
    conn->active_ns = front->now_ns;
    if (!hf_conn_send(front, conn, first, out.len + (without_body ? 0 : body_len)))
        return;
    if (head->close) {
        hf_conn_finish(front, conn);
        return;
    }
    hf_http1_deadline(front, conn);
    if (hf_conn_is_writing(conn))
        return;
    if (conn->in.len > 0) {
        conn->message_ns = front->now_ns;
        hf_conn_make_ready(front, conn);
    } else if (conn->ssl != NULL && hf_tls_pending(conn->ssl)) {
        hf_conn_make_ready(front, conn);
    }
    hf_conn_ask(front, conn, EPOLLIN);
}

static void http1_reject(struct hf_front *front, struct hf_conn *conn, enum hf_reject reject,
                         struct hf_http_head *head, size_t at, bool without_body)
{
    size_t len = hf_front_reject_body(front, reject, at, head);
    head->close = head->close || front->draining;
    hf_conn_answer_http1(front, conn, head, len, without_body);
}

void hf_http1_end(struct hf_front *front, struct hf_conn *conn, enum hf_reject reject)
{
    struct hf_http_head head = {.close = true};
    HF_IGNORE(hf_front_new_id(front, &head.request_id), "an answer without a good id is better than none");
    http1_reject(front, conn, reject, &head, 0, false);
}

/* Passes a whole request on. */
static void http1_call(struct hf_front *front, struct hf_conn *conn, const uint8_t *base)
{
    struct hf_http_request request;
    struct hf_http_head head = {.close = !conn->http1.keep_alive};
    size_t at;
    hf_http1_request(&conn->http1, base, &request);
    front->stats.counters[HF_FRONT_REQUESTS_HTTP1]++;
    enum hf_reject reject = hf_front_submit(front, conn, 0, &request, &conn->exchange, &head.request_id, &at);
    if (reject != HF_REJECT_NONE) {
        http1_reject(front, conn, reject, &head, at, hf_cursor_is(request.method, "HEAD"));
        return;
    }
    front->exchanges[conn->exchange].close = head.close;
    conn->deadline_ns = INT64_MAX; /* the exchange has its own */
}

/* Takes at most one message from the buffer. Gives the bytes that are done with; *len: what is left there. */
static size_t http1_step(struct hf_front *front, struct hf_conn *conn, uint8_t *base, size_t *len)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t used;
    switch (hf_http1_parse(&conn->http1, base, len)) {
    case HF_HTTP1_CONTINUE:
        (void)hf_conn_send(front, conn, (const uint8_t *)go_on, sizeof(go_on) - 1);
        return 0;
    case HF_HTTP1_MORE:
        return 0;
    case HF_HTTP1_DONE:
        used = hf_http1_used(&conn->http1);
        http1_call(front, conn, base);
        hf_http1_next(&conn->http1);
        return used;
    case HF_HTTP1_BAD:
    default:
        hf_http1_end(front, conn, conn->http1.reject);
        return *len;
    }
}

bool hf_http1_may_go_on(const struct hf_conn *conn)
{
    return conn->state == HF_CONN_HTTP1 && !hf_conn_waits(conn) && !hf_conn_is_writing(conn) &&
           !conn->close_after;
}

/* Bytes that came while the connection had none waiting: most requests are parsed where they were read. */
void hf_http1_fresh(struct hf_front *front, struct hf_conn *conn, size_t len)
{
    size_t at = 0;
    conn->message_ns = front->now_ns;
    while (at < len && hf_http1_may_go_on(conn)) {
        size_t rest = len - at;
        size_t used = http1_step(front, conn, front->scratch + at, &rest);
        at += used;
        if (used == 0) { /* a part of a message */
            len = at + rest;
            break;
        }
    }
    if (at < len && conn->state == HF_CONN_HTTP1 && !conn->close_after) {
        if (!hf_front_put(front, &conn->in, front->scratch + at, len - at))
            hf_http1_end(front, conn, HF_REJECT_BODIES);
    }
}

/* What waits in conn->in, as far as it is whole. */
void hf_http1_waiting(struct hf_front *front, struct hf_conn *conn)
{
    while (conn->in.len > 0 && hf_http1_may_go_on(conn)) {
        size_t len = conn->in.len;
        size_t used = http1_step(front, conn, conn->in.at, &len);
        if (conn->state != HF_CONN_HTTP1)
            return;
        if (used == 0) {
            hf_wbuf_cut(&conn->in, len);
            break;
        }
        hf_wbuf_drop(&conn->in, used);
        conn->message_ns = front->now_ns;
    }
    if (conn->in.len == 0)
        hf_front_clear(front, &conn->in, HF_FRONT_KEEP);
}
