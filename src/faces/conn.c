/* Connections: accepting, TLS handshakes, reading, HTTP/1's turn-taking, writing, and all that strangers may keep
 * open or leave half done. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faces/internal.h"
#include "secret/secret.h"

static const char h2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* ---- small parts ---- */

void hf_conn_ask(struct hf_front *front, struct hf_conn *conn, uint32_t events)
{
    if (conn->events == events || conn->fd == HF_FRONT_NONE)
        return;
    if (HF_IS_OK(hf_front_epoll(front, EPOLL_CTL_MOD, conn->fd, events, HF_FRONT_CONN, conn->index)))
        conn->events = events;
}

void hf_conn_deadline(struct hf_front *front, struct hf_conn *conn, int64_t in_ns, enum hf_reject why)
{
    conn->deadline_ns = front->now_ns + in_ns;
    conn->deadline_why = why;
}

void hf_conn_make_ready(struct hf_front *front, struct hf_conn *conn)
{
    if (!conn->is_ready) {
        conn->is_ready = true;
        front->ready[front->ready_count++] = conn->index;
    }
}

/* ---- accepting and closing ---- */

static struct hf_conn *take_conn(struct hf_front *front)
{
    int32_t index = front->free_conn;
    if (index != HF_FRONT_NONE)
        front->free_conn = front->conns[index].next_free;
    else if (front->conn_high < front->limits.connections_max)
        index = (int32_t)front->conn_high++;
    else
        return NULL;
    struct hf_conn *conn = &front->conns[index];
    bool was_ready = conn->is_ready; /* may still stand in the list: its turn finds nothing to do */
    memset(conn, 0, sizeof(*conn));
    conn->is_ready = was_ready;
    conn->index = (uint32_t)index;
    conn->fd = HF_FRONT_NONE;
    conn->exchange = HF_FRONT_NONE;
    front->conn_count++;
    return conn;
}

static void drop_conn(struct hf_front *front, struct hf_conn *conn)
{
    conn->state = HF_CONN_FREE;
    conn->next_free = front->freed_this_round;
    front->freed_this_round = (int32_t)conn->index;
    front->conn_count--;
}

void hf_conn_close(struct hf_front *front, struct hf_conn *conn)
{
    if (conn->state == HF_CONN_FREE)
        return;
    if (hf_conn_waits(conn))
        hf_front_forget(front, conn->exchange);
    conn->exchange = HF_FRONT_NONE;
    hf_http2_free(conn->http2);
    conn->http2 = NULL;
    hf_tls_free(conn->ssl);
    conn->ssl = NULL;
    hf_tls_cert_free(conn->cert);
    conn->cert = NULL;
    hf_front_clear(front, &conn->in, 0);
    hf_front_clear(front, &conn->out, 0);
    close(conn->fd);
    conn->fd = HF_FRONT_NONE;
    hf_sources_leave(front->sources, conn->peer.ip);
    drop_conn(front, conn);
}

static void peer_address(const struct sockaddr_storage *from, struct hf_http_peer *ret)
{
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(ret->ip, &six->sin6_addr, sizeof(ret->ip));
        ret->port = ntohs(six->sin6_port);
    } else if (from->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)from;
        ret->ip[10] = ret->ip[11] = 0xff;
        memcpy(ret->ip + 12, &four->sin_addr, 4);
        ret->port = ntohs(four->sin_port);
    }
}

static void admit(struct hf_front *front, unsigned listener, int fd, const struct sockaddr_storage *from)
{
    static const int yes = 1;
    struct hf_http_peer peer = {.port = 0};
    peer_address(from, &peer);
    if (!hf_sources_enter(front->sources, peer.ip, front->limits.connections_per_source_max)) {
        hf_front_count_reject(front, HF_REJECT_SOURCE);
        close(fd);
        return;
    }
    struct ssl_ctx_st *tls = front->listeners[listener].tls;
    struct hf_conn *conn = take_conn(front);
    if (conn == NULL) {
        hf_front_count_reject(front, HF_REJECT_CONNECTIONS);
        hf_sources_leave(front->sources, peer.ip);
        close(fd);
        return;
    }
    conn->fd = fd;
    conn->peer = peer;
    conn->active_ns = front->now_ns;
    conn->state = tls != NULL ? HF_CONN_HANDSHAKE : HF_CONN_FRESH;
    conn->events = EPOLLIN;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    hf_conn_deadline(front, conn, tls != NULL ? front->limits.handshake_ns : front->limits.idle_ns,
                     tls != NULL ? HF_REJECT_HANDSHAKE_TIME : HF_REJECT_NONE);
    hf_http1_init(&conn->http1, front->limits.head_bytes_max, front->limits.body_bytes_max);
    front->stats.counters[HF_FRONT_CONNECTIONS]++;
    if (tls != NULL)
        conn->ssl = hf_tls_new(tls, fd);
    if ((tls != NULL && conn->ssl == NULL) ||
        !HF_IS_OK(hf_front_epoll(front, EPOLL_CTL_ADD, fd, EPOLLIN, HF_FRONT_CONN, conn->index)))
        hf_conn_close(front, conn);
}

void hf_conn_accept(struct hf_front *front, unsigned listener)
{
    for (int i = 0; i < HF_FRONT_ACCEPT_BATCH; i++) {
        struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof(from);
        int fd = accept4(front->listeners[listener].fd, (struct sockaddr *)&from, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(front, listener, fd, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            hf_front_count_reject(front, HF_REJECT_CONNECTIONS); /* rests till the next tick */
            front->listeners[listener].paused = HF_IS_OK(hf_front_epoll(
                front, EPOLL_CTL_MOD, front->listeners[listener].fd, 0, HF_FRONT_LISTENER, listener));
            return;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
    }
}

/* ---- writing ---- */

/* Gives what was taken, 0 where nothing can be now, -1 where the connection is lost. */
static ssize_t write_some(struct hf_conn *conn, const uint8_t *bytes, size_t len)
{
    size_t done;
    if (conn->ssl == NULL) {
        ssize_t sent = send(conn->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        return sent >= 0 ? sent : errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
    }
    switch (hf_tls_write(conn->ssl, bytes, len, &done)) {
    case HF_TLS_OK:
        return (ssize_t)done;
    case HF_TLS_WANT_READ:
    case HF_TLS_WANT_WRITE:
        return 0;
    default:
        return -1;
    }
}

/* Our side is done: tells so, and waits a little for the other, so that no reset overtakes the last answer. */
static void linger(struct hf_front *front, struct hf_conn *conn)
{
    if (conn->ssl != NULL)
        hf_tls_goodbye(conn->ssl);
    if (shutdown(conn->fd, SHUT_WR) != 0) {
        hf_conn_close(front, conn);
        return;
    }
    hf_front_clear(front, &conn->in, 0);
    conn->state = HF_CONN_LINGER;
    hf_conn_deadline(front, conn, HF_FRONT_LINGER_NS, HF_REJECT_NONE);
    hf_conn_ask(front, conn, EPOLLIN);
}

void hf_conn_finish(struct hf_front *front, struct hf_conn *conn)
{
    conn->close_after = true;
    if (conn->state != HF_CONN_FREE && conn->state != HF_CONN_LINGER && !hf_conn_is_writing(conn))
        linger(front, conn);
}

bool hf_conn_send(struct hf_front *front, struct hf_conn *conn, const uint8_t *bytes, size_t len)
{
    while (len > 0 && !hf_conn_is_writing(conn)) {
        ssize_t taken = write_some(conn, bytes, len);
        if (taken < 0) {
            hf_conn_close(front, conn);
            return false;
        }
        if (taken == 0)
            break;
        front->stats.counters[HF_FRONT_BYTES_OUT] += (uint64_t)taken;
        bytes += taken;
        len -= (size_t)taken;
    }
    if (len == 0)
        return true;
    if (!hf_front_put(front, &conn->out, bytes, len)) {
        hf_front_count_reject(front, HF_REJECT_BODIES);
        hf_conn_close(front, conn);
        return false;
    }
    hf_conn_deadline(front, conn, front->limits.write_ns, HF_REJECT_WRITE_TIME);
    /* An HTTP/2 peer may take nothing before it has sent all: it is read on. */
    hf_conn_ask(front, conn, conn->state == HF_CONN_HTTP2 ? EPOLLIN | EPOLLOUT : EPOLLOUT);
    return true;
}

/* Goes on writing. False: the connection is closed. */
static bool flush(struct hf_front *front, struct hf_conn *conn)
{
    while (hf_conn_is_writing(conn)) {
        ssize_t taken = write_some(conn, conn->out.at + conn->out_at, conn->out.len - conn->out_at);
        if (taken < 0) {
            hf_conn_close(front, conn);
            return false;
        }
        if (taken == 0)
            return true;
        hf_wipe(conn->out.at + conn->out_at, (size_t)taken);
        conn->out_at += (size_t)taken;
        front->stats.counters[HF_FRONT_BYTES_OUT] += (uint64_t)taken;
        hf_conn_deadline(front, conn, front->limits.write_ns, HF_REJECT_WRITE_TIME);
    }
    conn->out.len = conn->out_at = 0;
    hf_front_clear(front, &conn->out, HF_FRONT_KEEP);
    return true;
}

/* ---- reading ---- */

enum got { GOT_BYTES, GOT_NOTHING, GOT_END };

static enum got read_some(struct hf_conn *conn, uint8_t *to, size_t room, size_t *ret_len)
{
    if (conn->ssl == NULL) {
        ssize_t got = recv(conn->fd, to, room, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return GOT_NOTHING;
        *ret_len = got > 0 ? (size_t)got : 0;
        return got > 0 ? GOT_BYTES : GOT_END;
    }
    switch (hf_tls_read(conn->ssl, to, room, ret_len)) {
    case HF_TLS_OK:
        return GOT_BYTES;
    case HF_TLS_WANT_READ:
    case HF_TLS_WANT_WRITE:
        return GOT_NOTHING;
    default:
        return GOT_END;
    }
}

static void start_http2(struct hf_front *front, struct hf_conn *conn)
{
    conn->state = HF_CONN_HTTP2;
    hf_conn_deadline(front, conn, front->limits.head_ns, HF_REJECT_NONE);
    if (!HF_IS_OK(hf_http2_new(front, conn, &conn->http2)))
        hf_conn_close(front, conn);
}

static void http2_bytes(struct hf_front *front, struct hf_conn *conn, const uint8_t *bytes, size_t len)
{
    bool good = hf_http2_input(conn->http2, bytes, len);
    if (!hf_http2_output(conn->http2))
        return;
    if (!good || hf_http2_done(conn->http2))
        hf_conn_finish(front, conn);
}

/* A plain connection's first bytes: the preface of HTTP/2, or not, or not yet certain. */
static void fresh_bytes(struct hf_front *front, struct hf_conn *conn, size_t len)
{
    enum { PREFACE = sizeof(h2_preface) - 1 };
    size_t known = HF_MIN(conn->in.len + len, (size_t)PREFACE), old = HF_MIN(conn->in.len, known);
    bool alike = (old == 0 || memcmp(conn->in.at, h2_preface, old) == 0) &&  /* public: preface */
                 memcmp(front->scratch, h2_preface + old, known - old) == 0; /* public: preface */
    if (conn->in.len == 0)
        conn->message_ns = front->now_ns;
    if (alike && known == PREFACE) {
        start_http2(front, conn);
        if (conn->state == HF_CONN_HTTP2 && conn->in.len > 0)
            http2_bytes(front, conn, conn->in.at, conn->in.len);
        hf_front_clear(front, &conn->in, 0);
        if (conn->state == HF_CONN_HTTP2)
            http2_bytes(front, conn, front->scratch, len);
        return;
    }
    if (!alike)
        conn->state = HF_CONN_HTTP1;
    if (!alike && conn->in.len == 0) {
        hf_http1_fresh(front, conn, len);
    } else if (!hf_front_room(front, &conn->in, len)) {
        hf_http1_end(front, conn, HF_REJECT_BODIES);
    } else {
        HF_IGNORE(hf_wbuf_put(&conn->in, front->scratch, len), "there is room");
        hf_conn_deadline(front, conn, front->limits.head_ns, HF_REJECT_HEADER_TIME);
        if (!alike)
            hf_http1_waiting(front, conn);
    }
}

/* Bytes in front->scratch go where the connection's state says. */
static void scratch_bytes(struct hf_front *front, struct hf_conn *conn, size_t len)
{
    if (conn->state == HF_CONN_FRESH)
        fresh_bytes(front, conn, len);
    else if (conn->state == HF_CONN_HTTP2)
        http2_bytes(front, conn, front->scratch, len);
    else
        hf_http1_fresh(front, conn, len);
    hf_wipe(front->scratch, len);
}

static void peer_ended(struct hf_front *front, struct hf_conn *conn)
{
    bool amid = (conn->state == HF_CONN_HTTP1 && (conn->in.len > 0 || conn->http1.started)) ||
                (conn->state == HF_CONN_HTTP2 && !hf_http2_idle(conn->http2));
    if (amid)
        hf_front_count_reject(front, HF_REJECT_TRUNCATED);
    hf_conn_close(front, conn);
}

static bool may_read(const struct hf_conn *conn)
{
    if (conn->close_after)
        return false;
    return conn->state == HF_CONN_FRESH || conn->state == HF_CONN_HTTP2 || hf_http1_may_go_on(conn);
}

static void read_conn(struct hf_front *front, struct hf_conn *conn)
{
    size_t total = 0;
    bool more = true;
    while (more && may_read(conn)) {
        bool waiting = conn->state == HF_CONN_HTTP1 && conn->in.len > 0;
        size_t room = HF_FRONT_SCRATCH, len = 0;
        if (waiting && !hf_front_room(front, &conn->in, room / 4)) {
            hf_http1_end(front, conn, HF_REJECT_BODIES);
            return;
        }
        if (waiting)
            room = HF_MIN(conn->in.cap - conn->in.len, (size_t)HF_FRONT_READ_BUDGET);
        enum got got = read_some(conn, waiting ? conn->in.at + conn->in.len : front->scratch, room, &len);
        if (got == GOT_END) {
            peer_ended(front, conn);
            return;
        }
        if (got == GOT_NOTHING)
            break;
        front->stats.counters[HF_FRONT_BYTES_IN] += len;
        conn->active_ns = front->now_ns;
        conn->rested = false;
        total += len;
        if (waiting) {
            conn->in.len += len;
            hf_http1_waiting(front, conn);
        } else {
            scratch_bytes(front, conn, len);
        }
        if (conn->state == HF_CONN_FREE)
            return;
        more = conn->ssl != NULL ? hf_tls_pending(conn->ssl) : len == room;
        if (total >= HF_FRONT_READ_BUDGET && more) { /* others first */
            hf_conn_make_ready(front, conn);
            more = false;
        }
    }
    if (conn->state == HF_CONN_HTTP1)
        hf_http1_deadline(front, conn);
}

/* ---- events ---- */

static void handshake(struct hf_front *front, struct hf_conn *conn)
{
    enum { HYBRID = 2 };
    size_t len = 0;
    switch (hf_tls_handshake(conn->ssl)) {
    case HF_TLS_WANT_READ:
        hf_conn_ask(front, conn, EPOLLIN);
        return;
    case HF_TLS_WANT_WRITE:
        hf_conn_ask(front, conn, EPOLLOUT);
        return;
    case HF_TLS_OK:
        break;
    default:
        hf_front_count_reject(front, HF_REJECT_HANDSHAKE);
        hf_conn_close(front, conn);
        return;
    }
    conn->peer.tls_group = hf_tls_group(conn->ssl);
    front->stats.counters[conn->peer.tls_group == HYBRID ? HF_FRONT_HANDSHAKES_HYBRID
                                                         : HF_FRONT_HANDSHAKES_CLASSICAL]++;
    conn->cert = hf_tls_client_cert(conn->ssl, &len);
    if (conn->cert != NULL) {
        conn->peer.cert = hf_cursor(conn->cert, len);
        front->stats.counters[HF_FRONT_CLIENT_CERTIFICATES]++;
    }
    hf_conn_ask(front, conn, EPOLLIN);
    if (hf_tls_is_h2(conn->ssl)) {
        start_http2(front, conn);
        if (conn->state == HF_CONN_HTTP2)
            (void)hf_http2_output(conn->http2);
    } else {
        conn->state = HF_CONN_HTTP1;
        hf_conn_deadline(front, conn, front->limits.idle_ns, HF_REJECT_NONE);
    }
    if (conn->state != HF_CONN_FREE && hf_tls_pending(conn->ssl))
        read_conn(front, conn);
}

static void drop_what_comes(struct hf_front *front, struct hf_conn *conn)
{
    for (size_t total = 0; total < HF_FRONT_READ_BUDGET;) {
        ssize_t got = recv(conn->fd, front->scratch, HF_FRONT_SCRATCH, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            break;
        if (got <= 0) {
            hf_conn_close(front, conn);
            break;
        }
        total += (size_t)got;
        hf_wipe(front->scratch, (size_t)got);
    }
}

/* What could not be written has been: on to what waited behind it. */
static void written(struct hf_front *front, struct hf_conn *conn)
{
    if (conn->state == HF_CONN_HTTP2) {
        if (!hf_http2_output(conn->http2))
            return;
        if (hf_http2_done(conn->http2))
            conn->close_after = true;
    }
    if (hf_conn_is_writing(conn))
        return;
    if (conn->close_after) {
        linger(front, conn);
        return;
    }
    hf_conn_ask(front, conn, EPOLLIN);
    if (conn->state == HF_CONN_HTTP2)
        hf_conn_deadline(front, conn, front->limits.idle_ns, HF_REJECT_NONE);
    else
        hf_http1_deadline(front, conn);
    conn->message_ns = front->now_ns;
    hf_conn_make_ready(front, conn);
}

void hf_conn_event(struct hf_front *front, struct hf_conn *conn, uint32_t events)
{
    if (conn->state == HF_CONN_FREE)
        return;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) {
        peer_ended(front, conn);
        return;
    }
    if (conn->state == HF_CONN_HANDSHAKE) {
        handshake(front, conn);
        return;
    }
    if (conn->state == HF_CONN_LINGER) {
        drop_what_comes(front, conn);
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        if (!flush(front, conn))
            return;
        if (!hf_conn_is_writing(conn)) {
            written(front, conn);
            return;
        }
    }
    if ((events & EPOLLIN) == 0)
        return;
    if (may_read(conn))
        read_conn(front, conn);
    else
        hf_conn_ask(front, conn,
                    hf_conn_is_writing(conn) ? EPOLLOUT
                                             : 0); /* its next bytes wait in the kernel for their turn */
}

void hf_conn_ready(struct hf_front *front, struct hf_conn *conn)
{
    conn->is_ready = false;
    if (conn->state == HF_CONN_HTTP2) {
        if (!hf_http2_output(conn->http2))
            return;
        if (hf_http2_done(conn->http2)) {
            hf_conn_finish(front, conn);
            return;
        }
    }
    if (conn->state == HF_CONN_HTTP1)
        hf_http1_waiting(front, conn);
    /* The kernel tells of what it holds; TLS may hold more, and so may a budget that ran out. */
    if (may_read(conn))
        read_conn(front, conn);
}

/* ---- time ---- */

static void late(struct hf_front *front, struct hf_conn *conn)
{
    enum hf_reject why = conn->deadline_why;
    if (conn->state == HF_CONN_HTTP1 && hf_reject_code(why) != HF_OK && !hf_conn_is_writing(conn)) {
        hf_http1_end(front, conn, why);
        return;
    }
    if (why != HF_REJECT_NONE)
        hf_front_count_reject(front, why);
    if (conn->state == HF_CONN_HTTP2 && !hf_conn_is_writing(conn) && !hf_http2_idle(conn->http2)) {
        hf_conn_deadline(front, conn, front->limits.idle_ns,
                         HF_REJECT_NONE); /* its streams have deadlines of their own */
        return;
    }
    if (conn->ssl != NULL && conn->state != HF_CONN_LINGER && why == HF_REJECT_NONE)
        hf_tls_goodbye(conn->ssl);
    hf_conn_close(front, conn);
}

void hf_conn_tick(struct hf_front *front, struct hf_conn *conn)
{
    if (conn->state == HF_CONN_FREE)
        return;
    if (conn->state == HF_CONN_HTTP2 && !hf_http2_tick(conn->http2)) {
        hf_conn_finish(front, conn);
        return;
    }
    if (front->now_ns > conn->deadline_ns) {
        late(front, conn);
        return;
    }
    if (!conn->rested && front->now_ns - conn->active_ns > HF_FRONT_REST_NS && !hf_conn_waits(conn)) {
        conn->rested = true;
        if (conn->in.len == 0)
            hf_front_clear(front, &conn->in, 0);
        if (!hf_conn_is_writing(conn))
            hf_front_clear(front, &conn->out, 0);
        if (conn->ssl != NULL && conn->state != HF_CONN_HANDSHAKE)
            hf_tls_rest(conn->ssl);
    }
}

void hf_conn_drain(struct hf_front *front, struct hf_conn *conn)
{
    if (conn->state == HF_CONN_HTTP2) {
        hf_http2_drain(conn->http2);
        if (hf_http2_output(conn->http2) && hf_http2_done(conn->http2))
            hf_conn_finish(front, conn);
    } else if (conn->state == HF_CONN_HTTP1 && !hf_conn_waits(conn) && !hf_conn_is_writing(conn) &&
               conn->in.len == 0) {
        hf_conn_finish(front, conn);
    } else if (conn->state == HF_CONN_HANDSHAKE || (conn->state == HF_CONN_FRESH && conn->in.len == 0)) {
        hf_conn_close(front, conn);
    }
}
