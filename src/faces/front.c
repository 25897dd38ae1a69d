#include "faces/front.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "faces/internal.h"
#include "secret/secret.h"

enum { REST_MS = 10 * 1000 }; /* between looks where nothing is open and nothing to tell */

void hf_front_limits_default(struct hf_front_limits *ret_limits)
{
    *ret_limits = (struct hf_front_limits){
        .head_bytes_max = 16 << 10,
        .body_bytes_max = 32 << 20,
        .held_bytes_max = 512 << 20,
        .connections_max = 8192,
        .connections_per_source_max = 4096,
        .streams_max = 128,
        .requests_max = 8192,
        .body_rate_least = 4096,
        .handshake_ns = 10 * HF_SECOND,
        .head_ns = 10 * HF_SECOND,
        .body_grace_ns = 10 * HF_SECOND,
        .request_ns = 90 * HF_SECOND,
        .idle_ns = 120 * HF_SECOND,
        .write_ns = 30 * HF_SECOND,
        .drain_ns = 10 * HF_SECOND,
    };
}

/* Pages of these cost only once they are touched. */
static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void unmap(void *at, size_t bytes)
{
    if (at != NULL)
        (void)munmap(at, bytes);
}

static size_t conns_bytes(const struct hf_front *front)
{
    return front->limits.connections_max * sizeof(front->conns[0]);
}
static size_t exchanges_bytes(const struct hf_front *front)
{
    return front->limits.requests_max * sizeof(front->exchanges[0]);
}
static size_t ready_bytes(const struct hf_front *front)
{
    return 2 * front->limits.connections_max * sizeof(front->ready[0]); /* a round's, and the next one's */
}

void hf_front_free(struct hf_front *front)
{
    if (front == NULL)
        return;
    for (uint32_t i = 0; front->conns != NULL && i < front->conn_high; i++)
        hf_conn_close(front, &front->conns[i]);
    for (unsigned i = 0; i < HF_FRONT_LISTENERS_MAX; i++) {
        if (front->listeners[i].fd != HF_FRONT_NONE)
            close(front->listeners[i].fd);
        hf_tls_context_free(front->listeners[i].tls);
    }
    if (front->link_fd != HF_FRONT_NONE)
        close(front->link_fd);
    if (front->epoll_fd >= 0)
        close(front->epoll_fd);
    hf_wbuf_free(&front->link_out);
    hf_wbuf_free(&front->link_in);
    hf_wbuf_free(&front->answer);
    hf_wbuf_free(&front->frames);
    unmap(front->conns, conns_bytes(front));
    unmap(front->exchanges, exchanges_bytes(front));
    unmap(front->ready, ready_bytes(front));
    unmap(front->scratch, HF_FRONT_SCRATCH);
    hf_sources_free(front->sources);
    hf_wipe(front, sizeof(*front));
    free(front);
}

static void front_freep(struct hf_front **front)
{
    hf_front_free(*front);
}

hf_result hf_front_new(const struct hf_front_limits *limits, const struct hf_clock *clock, bool dev,
                       struct hf_front **ret_front)
{
    CLEANUP(front_freep) struct hf_front *front = calloc(1, sizeof(*front));
    uint64_t seed;
    if (front == NULL)
        return HF_FAIL(NO_MEMORY);
    front->limits = *limits;
    front->clock = clock;
    front->dev = dev;
    front->link_fd = front->watch_fd = front->epoll_fd = HF_FRONT_NONE;
    front->free_conn = front->freed_this_round = HF_FRONT_NONE;
    front->free_exchange = HF_FRONT_NONE;
    front->random_at = sizeof(front->random);
    for (unsigned i = 0; i < HF_FRONT_LISTENERS_MAX; i++)
        front->listeners[i].fd = HF_FRONT_NONE;
    TRY(hf_random(&seed, sizeof(seed)));
    TRY(hf_sources_new(limits->connections_max, seed, &front->sources));
    front->conns = map(conns_bytes(front));
    front->exchanges = map(exchanges_bytes(front));
    front->ready = map(ready_bytes(front));
    front->scratch = map(HF_FRONT_SCRATCH);
    if (front->conns == NULL || front->exchanges == NULL || front->ready == NULL || front->scratch == NULL)
        return HF_FAIL(NO_MEMORY);
    front->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (front->epoll_fd < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR) /* OpenSSL writes without MSG_NOSIGNAL */
        return HF_FAIL(SYSTEM);
    front->now_ns = hf_boot_ns(clock);
    *ret_front = TAKE(front);
    return HF_DONE;
}

hf_result hf_front_epoll(struct hf_front *front, int op, int fd, uint32_t events, enum hf_front_kind kind,
                         uint32_t index)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | index};
    return epoll_ctl(front->epoll_fd, op, fd, &event) == 0 ? HF_DONE : HF_FAIL(SYSTEM);
}

void hf_front_count_reject(struct hf_front *front, enum hf_reject reject)
{
    front->stats.rejects[reject]++;
}

bool hf_front_room(struct hf_front *front, struct hf_wbuf *buf, size_t more)
{
    size_t before = buf->cap;
    if (more <= buf->cap - buf->len)
        return true;
    if (front->held_bytes + 2 * (buf->len + more) > front->limits.held_bytes_max)
        return false;
    bool done = HF_IS_OK(hf_wbuf_room(buf, more));
    front->held_bytes += buf->cap - before;
    return done;
}

bool hf_front_put(struct hf_front *front, struct hf_wbuf *buf, const void *bytes, size_t len)
{
    return hf_front_room(front, buf, len) && HF_IS_OK(hf_wbuf_put(buf, bytes, len));
}

void hf_front_clear(struct hf_front *front, struct hf_wbuf *buf, size_t keep)
{
    front->held_bytes -= buf->cap;
    hf_wbuf_clear(buf, keep);
    front->held_bytes += buf->cap;
}

const struct hf_front_stats *hf_front_stats(const struct hf_front *front)
{
    return &front->stats;
}

hf_result hf_front_listen(struct hf_front *front, unsigned id, int fd, struct ssl_ctx_st *tls)
{
    if (id >= HF_FRONT_LISTENERS_MAX || front->listeners[id].fd != HF_FRONT_NONE)
        return HF_FAIL(BAD_ARGUMENT);
    front->listeners[id].fd = fd;
    front->listeners[id].tls = tls;
    return hf_front_epoll(front, EPOLL_CTL_ADD, fd, EPOLLIN, HF_FRONT_LISTENER, id);
}

void hf_front_set_tls(struct hf_front *front, unsigned id, struct ssl_ctx_st *tls)
{
    hf_tls_context_free(front->listeners[id].tls); /* connections hold it as long as they live */
    front->listeners[id].tls = tls;
    front->stats.counters[HF_FRONT_TLS_RELOADS]++;
}

hf_result hf_front_watch(struct hf_front *front, int fd, void (*act)(void *arg), void *arg)
{
    front->watch_fd = fd;
    front->watch_act = act;
    front->watch_arg = arg;
    return hf_front_epoll(front, EPOLL_CTL_ADD, fd, EPOLLIN, HF_FRONT_WATCH, 0);
}

void hf_front_stop(struct hf_front *front)
{
    front->stopped = true;
}

void hf_front_drain(struct hf_front *front)
{
    if (front->draining)
        return;
    front->draining = true;
    front->drain_until_ns = front->now_ns + front->limits.drain_ns;
    for (unsigned i = 0; i < HF_FRONT_LISTENERS_MAX; i++) {
        if (front->listeners[i].fd == HF_FRONT_NONE)
            continue;
        close(front->listeners[i].fd);
        front->listeners[i].fd = HF_FRONT_NONE;
    }
    for (uint32_t i = 0; i < front->conn_high; i++)
        hf_conn_drain(front, &front->conns[i]);
}

static void tick(struct hf_front *front)
{
    for (unsigned i = 0; i < HF_FRONT_LISTENERS_MAX; i++) {
        if (front->listeners[i].paused && front->listeners[i].fd != HF_FRONT_NONE)
            front->listeners[i].paused = !HF_IS_OK(
                hf_front_epoll(front, EPOLL_CTL_MOD, front->listeners[i].fd, EPOLLIN, HF_FRONT_LISTENER, i));
    }
    for (uint32_t i = 0; i < front->conn_high; i++)
        hf_conn_tick(front, &front->conns[i]);
    front->settled =
        !hf_link_tick(front) && front->conn_count == 0 && front->exchange_count == 0 && !front->draining;
    front->next_tick_ns = front->now_ns + HF_FRONT_TICK_NS;
}

static void dispatch(struct hf_front *front, const struct epoll_event *event)
{
    uint32_t index = (uint32_t)event->data.u64;
    switch ((enum hf_front_kind)(event->data.u64 >> 32)) {
    case HF_FRONT_LISTENER:
        if (front->listeners[index].fd != HF_FRONT_NONE)
            hf_conn_accept(front, index);
        break;
    case HF_FRONT_CONN:
        hf_conn_event(front, &front->conns[index], event->events);
        break;
    case HF_FRONT_LINK:
        if (front->link_fd != HF_FRONT_NONE)
            hf_link_event(front, event->events);
        break;
    case HF_FRONT_WATCH:
        front->watch_act(front->watch_arg);
        break;
    }
}

/* Those that have bytes waiting here, not in the kernel. Each turn may put connections on the list again: they are
 * for the next round. */
static void serve_ready(struct hf_front *front)
{
    uint32_t count = front->ready_count;
    for (uint32_t i = 0; i < count; i++)
        hf_conn_ready(front, &front->conns[front->ready[i]]);
    front->ready_count -= count;
    memmove(front->ready, front->ready + count, front->ready_count * sizeof(front->ready[0]));
}

/* Places freed while events of this round might still name them. */
static void recycle(struct hf_front *front)
{
    while (front->freed_this_round != HF_FRONT_NONE) {
        struct hf_conn *conn = &front->conns[front->freed_this_round];
        front->freed_this_round = conn->next_free;
        conn->next_free = front->free_conn;
        front->free_conn = (int32_t)conn->index;
    }
}

static int wait_ms(const struct hf_front *front)
{
    int64_t left = front->next_tick_ns - hf_boot_ns(front->clock);
    if (front->ready_count > 0 || left <= 0)
        return 0;
    return front->settled ? REST_MS : (int)(left / HF_MILLISECOND) + 1;
}

hf_result hf_front_run(struct hf_front *front)
{
    struct epoll_event events[HF_FRONT_EVENTS];
    front->now_ns = hf_boot_ns(front->clock);
    tick(front);
    while (!front->stopped) {
        int count = epoll_wait(front->epoll_fd, events, HF_FRONT_EVENTS, wait_ms(front));
        if (count < 0 && errno != EINTR)
            return HF_FAIL(SYSTEM);
        front->now_ns = hf_boot_ns(front->clock);
        front->settled = front->settled && count <= 0;
        for (int i = 0; i < count; i++)
            dispatch(front, &events[i]);
        serve_ready(front);
        if (front->now_ns >= front->next_tick_ns)
            tick(front);
        hf_link_flush(front);
        recycle(front);
        if (front->draining && (front->conn_count == 0 || front->now_ns > front->drain_until_ns))
            break;
    }
    return HF_DONE;
}
