/* The core's link: calls out, answers in. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "faces/internal.h"
#include "secret/secret.h"

/* ---- identifiers and exchanges ---- */

hf_result hf_front_new_id(struct hf_front *front, struct hf_id *ret_id)
{
    if (front->random_at + sizeof(*ret_id) > sizeof(front->random)) {
        TRY(hf_random(front->random, sizeof(front->random)));
        front->random_at = 0;
    }
    memcpy(ret_id, front->random + front->random_at, sizeof(*ret_id));
    front->random_at += sizeof(*ret_id);
    ret_id->bytes[6] = (uint8_t)(0x40 | (ret_id->bytes[6] & 0x0f)); /* RFC 9562: version 4 */
    ret_id->bytes[8] = (uint8_t)(0x80 | (ret_id->bytes[8] & 0x3f));
    return HF_DONE;
}

static int32_t take_exchange(struct hf_front *front)
{
    int32_t index = front->free_exchange;
    if (index != HF_FRONT_NONE)
        front->free_exchange = front->exchanges[index].next_free;
    else if ((uint32_t)front->exchange_high < front->limits.requests_max)
        index = front->exchange_high++;
    if (index != HF_FRONT_NONE) {
        front->exchanges[index].used = true;
        front->exchange_count++;
    }
    return index;
}

static void free_exchange(struct hf_front *front, struct hf_exchange *exchange)
{
    exchange->used = false;
    exchange->generation++;
    exchange->conn = HF_FRONT_NONE;
    exchange->next_free = front->free_exchange;
    front->free_exchange = (int32_t)(exchange - front->exchanges);
    front->exchange_count--;
}

void hf_front_forget(struct hf_front *front, int32_t exchange)
{
    if (exchange != HF_FRONT_NONE)
        front->exchanges[exchange].conn = HF_FRONT_NONE;
}

/* ---- calls ---- */

static uint64_t frame_id(const struct hf_front *front, int32_t exchange)
{
    return (uint64_t)front->exchanges[exchange].generation << 32 | (uint32_t)exchange;
}

static enum hf_reject write_call(struct hf_front *front, const struct hf_conn *conn, int32_t exchange,
                                 const struct hf_http_request *request, size_t *ret_at)
{
    struct hf_id_bytes id;
    memcpy(&id, &front->exchanges[exchange].id, sizeof(id));
    size_t most = HF_FRAME_HEADER + hf_http_call_max(request, &conn->peer);
    if (front->link_out.len - front->link_out_at + most > HF_FRONT_LINK_QUEUE_MAX ||
        !HF_IS_OK(hf_wbuf_room(&front->link_out, most)))
        return HF_REJECT_OVERLOADED;
    struct hf_buf out = hf_wbuf_writer(&front->link_out);
    size_t begun = hf_frame_begin(&out, HF_FRAME_CALL, 0, frame_id(front, exchange));
    enum hf_reject reject = hf_http_call_write(request, &conn->peer, &id, &out, ret_at);
    hf_frame_end(&out, begun);
    if (reject == HF_REJECT_NONE && out.overflow)
        reject = HF_REJECT_JSON_SIZE;
    if (reject == HF_REJECT_NONE)
        hf_wbuf_wrote(&front->link_out, &out);
    else
        hf_wipe(out.at, out.len);
    return reject;
}

enum hf_reject hf_front_submit(struct hf_front *front, struct hf_conn *conn, int32_t stream,
                               const struct hf_http_request *request, int32_t *ret_exchange,
                               struct hf_id *ret_id, size_t *ret_at)
{
    *ret_exchange = HF_FRONT_NONE;
    *ret_at = 0;
    memset(ret_id, 0, sizeof(*ret_id));
    if (!HF_IS_OK(hf_front_new_id(front, ret_id)))
        return HF_REJECT_ANSWER;
    if (front->link_fd == HF_FRONT_NONE)
        return HF_REJECT_CORE_DOWN;
    int32_t index = take_exchange(front);
    if (index == HF_FRONT_NONE)
        return HF_REJECT_OVERLOADED;
    struct hf_exchange *exchange = &front->exchanges[index];
    exchange->conn = (int32_t)conn->index;
    exchange->stream = stream;
    exchange->id = *ret_id;
    exchange->head = hf_cursor_is(request->method, "HEAD");
    exchange->close = false;
    exchange->deadline_ns = front->now_ns + front->limits.request_ns;
    enum hf_reject reject = write_call(front, conn, index, request, ret_at);
    if (reject != HF_REJECT_NONE) {
        free_exchange(front, exchange);
        return reject;
    }
    *ret_exchange = index;
    return HF_REJECT_NONE;
}

static void watch_writing(struct hf_front *front, bool writing)
{
    if (front->link_writing == writing || front->link_fd == HF_FRONT_NONE)
        return;
    uint32_t events = EPOLLIN | (writing ? EPOLLOUT : 0);
    HF_IGNORE(hf_front_epoll(front, EPOLL_CTL_MOD, front->link_fd, events, HF_FRONT_LINK, 0),
              "the descriptor is watched already");
    front->link_writing = writing;
}

void hf_link_flush(struct hf_front *front)
{
    while (front->link_fd != HF_FRONT_NONE && front->link_out_at < front->link_out.len) {
        ssize_t sent = send(front->link_fd, front->link_out.at + front->link_out_at,
                            front->link_out.len - front->link_out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch_writing(front, true);
            return;
        }
        if (sent < 0) {
            hf_link_down(front);
            return;
        }
        hf_wipe(front->link_out.at + front->link_out_at, (size_t)sent);
        front->link_out_at += (size_t)sent;
    }
    front->link_out.len = 0; /* all wiped above */
    front->link_out_at = 0;
    if (front->link_out.cap > HF_FRONT_LINK_KEEP)
        hf_wbuf_clear(&front->link_out, HF_FRONT_LINK_KEEP);
    watch_writing(front, false);
}

/* ---- answers ---- */

/* Hands what lies in front->answer to whoever waits. */
static void deliver(struct hf_front *front, struct hf_exchange *exchange, struct hf_http_head *head,
                    size_t body_len)
{
    struct hf_conn *conn = exchange->conn == HF_FRONT_NONE ? NULL : &front->conns[exchange->conn];
    struct hf_exchange was = *exchange;
    free_exchange(front, exchange);
    if (conn == NULL)
        return;
    head->dev = head->dev || front->dev;
    if (was.stream != 0) {
        hf_http2_answer(conn->http2, was.stream, head, front->answer.at + HF_HTTP_HEAD_MAX,
                        was.head ? 0 : body_len);
        hf_conn_make_ready(front, conn); /* answers of one round go out together */
        return;
    }
    conn->exchange = HF_FRONT_NONE;
    head->close = was.close || front->draining;
    hf_conn_answer_http1(front, conn, head, body_len, was.head);
}

static void wipe_answer(struct hf_front *front, size_t body_len)
{
    hf_wipe(front->answer.at, HF_MIN(HF_HTTP_HEAD_MAX + body_len, front->answer.cap));
    if (front->answer.cap > HF_FRONT_LINK_KEEP)
        hf_wbuf_clear(&front->answer, HF_FRONT_LINK_KEEP);
}

size_t hf_front_reject_body(struct hf_front *front, enum hf_reject reject, size_t at,
                            struct hf_http_head *head)
{
    struct hf_buf out = {.at = NULL};
    if (HF_IS_OK(hf_wbuf_room(&front->answer, 2 * HF_HTTP_HEAD_MAX)))
        out = hf_buf(front->answer.at + HF_HTTP_HEAD_MAX, HF_HTTP_HEAD_MAX);
    hf_http_reject_body(reject, at, &out, head);
    hf_front_count_reject(front, reject);
    head->dev = front->dev;
    return out.overflow ? 0 : out.len;
}

void hf_front_answer_reject(struct hf_front *front, struct hf_exchange *exchange, enum hf_reject reject)
{
    struct hf_http_head head = {.request_id = exchange->id};
    size_t len = hf_front_reject_body(front, reject, 0, &head);
    deliver(front, exchange, &head, len);
}

static hf_result render(struct hf_front *front, struct hf_cursor body, struct hf_http_head *head,
                        size_t *ret_len)
{
    struct hf_http_answer answer;
    TRY(hf_http_answer_open(body, &answer));
    TRY(hf_wbuf_room(&front->answer, HF_HTTP_HEAD_MAX + hf_http_answer_max(&answer)));
    struct hf_buf out = hf_buf(front->answer.at + HF_HTTP_HEAD_MAX, front->answer.cap - HF_HTTP_HEAD_MAX);
    hf_result result = hf_http_answer_body(&answer, &out, head);
    *ret_len = out.len;
    return result;
}

static void take_answer(struct hf_front *front, const struct hf_frame *frame)
{
    uint32_t index = (uint32_t)frame->id;
    struct hf_exchange *exchange = index < (uint32_t)front->exchange_high ? &front->exchanges[index] : NULL;
    struct hf_http_head head = {.status = 0};
    size_t body_len = 0;
    if (exchange == NULL || !exchange->used || exchange->generation != frame->id >> 32) {
        front->stats.counters[HF_FRONT_LATE_ANSWERS]++;
        return;
    }
    if (exchange->conn == HF_FRONT_NONE) {
        free_exchange(front, exchange);
        return;
    }
    head.request_id = exchange->id;
    if (HF_IS_OK(render(front, frame->body, &head, &body_len))) {
        deliver(front, exchange, &head, body_len);
    } else {
        wipe_answer(front, body_len);
        hf_front_answer_reject(front, exchange, HF_REJECT_ANSWER);
    }
    wipe_answer(front, body_len);
}

/* Takes the frames that are whole; false: the other side does not speak our language. */
static bool take_frames(struct hf_front *front, size_t *ret_need)
{
    struct hf_cursor in = hf_cursor(front->link_in.at, front->link_in.len);
    struct hf_frame frame;
    bool whole = true;
    while (in.left > 0) {
        if (!HF_IS_OK(hf_frame_next(&in, &frame, &whole, ret_need)))
            return false;
        if (!whole)
            break;
        if (frame.type == HF_FRAME_ANSWER)
            take_answer(front, &frame);
        if (front->link_fd == HF_FRONT_NONE)
            return true;
    }
    hf_wbuf_drop(&front->link_in, front->link_in.len - in.left);
    return true;
}

static void link_read(struct hf_front *front)
{
    size_t need = 0;
    for (size_t total = 0; front->link_fd != HF_FRONT_NONE && total < HF_FRONT_LINK_KEEP;) {
        size_t wanted =
            HF_MAX((size_t)HF_FRONT_LINK_READ, need > front->link_in.len ? need - front->link_in.len : 0);
        if (!HF_IS_OK(hf_wbuf_room(&front->link_in, wanted))) {
            hf_link_down(front);
            return;
        }
        size_t room = front->link_in.cap - front->link_in.len;
        ssize_t got = recv(front->link_fd, front->link_in.at + front->link_in.len, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (got <= 0) {
            hf_link_down(front);
            return;
        }
        front->link_in.len += (size_t)got;
        total += (size_t)got;
        need = 0;
        if (!take_frames(front, &need)) {
            hf_link_down(front);
            return;
        }
        if ((size_t)got < room)
            break;
    }
    if (front->link_in.len == 0 && front->link_in.cap > HF_FRONT_LINK_KEEP)
        hf_wbuf_clear(&front->link_in, HF_FRONT_LINK_KEEP);
}

void hf_link_event(struct hf_front *front, uint32_t events)
{
    if (events & EPOLLOUT)
        hf_link_flush(front);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        link_read(front);
}

/* ---- its life ---- */

void hf_link_down(struct hf_front *front)
{
    if (front->link_fd == HF_FRONT_NONE)
        return;
    close(front->link_fd); /* leaves epoll by itself */
    front->link_fd = HF_FRONT_NONE;
    front->link_writing = false;
    hf_wbuf_clear(&front->link_out, HF_FRONT_LINK_KEEP);
    hf_wbuf_clear(&front->link_in, HF_FRONT_LINK_KEEP);
    front->link_out_at = 0;
    front->stats_sent = 0; /* the next core knows nothing yet */
    for (int32_t i = 0; i < front->exchange_high; i++) {
        if (front->exchanges[i].used)
            hf_front_answer_reject(front, &front->exchanges[i], HF_REJECT_CORE_DOWN);
    }
}

hf_result hf_front_link(struct hf_front *front, int fd)
{
    static const int queue = 4 << 20;
    hf_link_down(front);
    HF_IGNORE(
        (hf_result){setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &queue, sizeof(queue)) == 0 ? HF_OK : HF_SYSTEM},
        "a smaller queue works too");
    hf_result result = hf_front_epoll(front, EPOLL_CTL_ADD, fd, EPOLLIN, HF_FRONT_LINK, 0);
    if (!HF_IS_OK(result)) {
        close(fd);
        return result;
    }
    front->link_fd = fd;
    return HF_DONE;
}

static bool send_stats(struct hf_front *front)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < HF_FRONT_COUNTER_COUNT; i++)
        sum += front->stats.counters[i] * (i + 1);
    for (unsigned i = 0; i < HF_REJECT_COUNT; i++)
        sum += front->stats.rejects[i];
    if (front->link_fd == HF_FRONT_NONE || sum == front->stats_sent ||
        !HF_IS_OK(hf_wbuf_room(&front->link_out, HF_FRONT_STATS_TREE_MAX)))
        return false;
    struct hf_buf out = hf_wbuf_writer(&front->link_out);
    size_t begun = hf_frame_begin(&out, HF_FRAME_STATS, 0, 0);
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_front_stats_write(&front->stats, &w);
    hf_frame_end(&out, begun);
    if (!out.overflow) {
        hf_wbuf_wrote(&front->link_out, &out);
        front->stats_sent = sum;
    }
    return true;
}

bool hf_link_tick(struct hf_front *front)
{
    front->stats.counters[HF_FRONT_CONNECTIONS_OPEN] = front->conn_count;
    front->stats.counters[HF_FRONT_REQUESTS_OPEN] = front->exchange_count;
    for (int32_t i = 0; i < front->exchange_high; i++) {
        struct hf_exchange *exchange = &front->exchanges[i];
        if (exchange->used && front->now_ns > exchange->deadline_ns)
            hf_front_answer_reject(front, exchange, HF_REJECT_CORE_SLOW);
    }
    return send_stats(front);
}
