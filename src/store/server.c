#include "store/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alarm.h"
#include "base/clock.h"
#include "store/codec.h"
#include "store/serve.h"

enum {
    EVENTS_MAX = 64,
    IN_BYTES = 8 << 10,          /* of a link's buffer at first */
    LAZY_IN_BYTES = 1 << 20,     /* and where lazy transactions come */
    ANSWER_BYTES = 64 << 10,     /* answered by the reading thread */
    LONG_ANSWER_BYTES = 8 << 20, /* by the others */
    WORKERS = 3,
    LAZY_MS = 10,     /* how long lazy transactions lie in their socket */
    LAZY_BUSY_MS = 3, /* where so many came that the socket might fill up */
    LAZY_BUSY_BYTES = 64 << 10,
    SEND_MS_MAX = 10000, /* a link that takes no answer for so long is closed */
    ROUND_TXNS_MAX = 512,
};

struct link {
    int fd;
    bool known;  /* whether it is lazy, by its first frame */
    bool lazy;   /* looked at by time, not at once */
    bool armed;  /* epoll tells of input */
    bool busy;   /* a worker answers; input waits, and the buffer stays where it is */
    bool ended;  /* nothing more comes; close when not busy */
    bool failed; /* a lazy transaction could not be written: ignore those after it till they come again */
    uint8_t *in;
    size_t at, len, cap; /* bytes [at, len) are not yet used */
    uint64_t acknowledged;
    struct hf_cursor job; /* of a worker: body of the frame, and its id */
    uint64_t job_id;
    struct link *next; /* in the workers' queues */
};

struct work { /* a transaction of the round under way */
    struct link *link;
    uint64_t id;
    size_t first_op;
    bool lazy;
};

struct hf_store_server {
    struct hf_store *engine;
    int epoll, wake;
    size_t link_count;
    struct link *links[HF_STORE_SERVER_LINKS_MAX];
    bool (*ready)(void *arg);
    void *ready_arg;
    int watched;
    int64_t lazy_due; /* boot time; 0: no lazy link waits */
    bool lazy_busy;

    struct hf_alarm alarm;
    size_t work_count, op_count, op_cap;
    struct work work[ROUND_TXNS_MAX];
    struct hf_store_txn txns[ROUND_TXNS_MAX];
    struct hf_store_op *ops;
    uint8_t answer[ANSWER_BYTES];

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wanted;
    struct link *jobs, **jobs_last, *finished;
    bool stopping;
    unsigned worker_count;
    pthread_t workers[WORKERS];
};

/* ---- links ------------------------------------------------------------------------------------------------- */

static void arm(struct hf_store_server *server, struct link *link, bool armed)
{
    if (link->armed == armed || link->fd < 0)
        return;
    struct epoll_event event = {.events = armed ? EPOLLIN : 0, .data.ptr = link};
    if (epoll_ctl(server->epoll, EPOLL_CTL_MOD, link->fd, &event) == 0)
        link->armed = armed;
    else if (armed)
        link->ended = true; /* it would never be heard again */
}

static void link_free(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    free(link->in);
    free(link);
}

static void link_remove(struct hf_store_server *server, size_t at)
{
    struct link *link = server->links[at];
    server->links[at] = server->links[--server->link_count];
    link_free(link);
}

static struct hf_cursor unread(const struct link *link)
{
    return link->in == NULL ? hf_cursor(NULL, 0) : hf_cursor(link->in + link->at, link->len - link->at);
}

static bool send_all(int fd, struct hf_cursor bytes)
{
    while (bytes.left > 0) {
        ssize_t n = send(fd, bytes.at, bytes.left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            bytes.at += n;
            bytes.left -= (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            if (poll(&writable, 1, SEND_MS_MAX) == 0)
                return false;
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static void answer(struct link *link, uint64_t id, uint16_t flags, struct hf_cursor body)
{
    uint8_t memory[HF_FRAME_HEADER + 64];
    struct hf_buf out = hf_buf(memory, sizeof memory);
    size_t begun = hf_frame_begin(&out, HF_FRAME_STORED, flags, id);
    hf_buf_put_cursor(&out, body);
    hf_frame_end(&out, begun);
    if (out.overflow || !send_all(link->fd, hf_buf_cursor(&out)))
        link->ended = true;
}

static void answer_result(struct link *link, uint64_t id, hf_result result)
{
    uint8_t code = (uint8_t)result.code;
    answer(link, id, 0, hf_cursor(&code, 1));
}

/* ---- workers ------------------------------------------------------------------------------------------------- */

struct piece {
    struct link *link;
    bool broken;
    uint8_t head[HF_FRAME_HEADER + 1];
};

/* Sends a piece of a backup as a frame of its own. */
static hf_result send_piece(void *arg, struct hf_cursor bytes)
{
    struct piece *p = arg;
    struct hf_buf out = hf_buf(p->head, sizeof p->head);
    (void)hf_frame_begin(&out, HF_FRAME_STORED, HF_STORED_MORE, p->link->job_id);
    hf_store_u32(p->head, (uint32_t)(HF_FRAME_HEADER - 4 + 1 + bytes.left));
    hf_store_answer(&out, HF_DONE);
    p->broken = p->broken || !send_all(p->link->fd, hf_buf_cursor(&out)) || !send_all(p->link->fd, bytes);
    return p->broken ? HF_FAIL(ROLE_DOWN) : HF_DONE;
}

static void work_backup(struct hf_store_server *server, struct link *link)
{
    struct piece p = {.link = link};
    hf_result result = server->engine->ops->backup(server->engine, send_piece, &p);
    if (p.broken)
        link->ended = true;
    else
        answer_result(link, link->job_id, result);
}

static void work_long(struct hf_store_server *server, struct link *link)
{
    if (link->job.left == 1 && link->job.at[0] == HF_CALL_BACKUP) {
        work_backup(server, link);
        return;
    }
    uint8_t *memory = malloc(LONG_ANSWER_BYTES);
    if (memory == NULL) {
        answer_result(link, link->job_id, HF_FAIL(NO_MEMORY));
        return;
    }
    struct hf_buf out = hf_buf(memory, LONG_ANSWER_BYTES);
    size_t begun = hf_frame_begin(&out, HF_FRAME_STORED, 0, link->job_id);
    if (!hf_store_serve(server->engine, link->job, &out))
        hf_store_answer(&out, HF_FAIL(TOO_LARGE));
    hf_frame_end(&out, begun);
    if (!send_all(link->fd, hf_buf_cursor(&out)))
        link->ended = true;
    free(memory);
}
static_assert(LONG_ANSWER_BYTES > HF_STORE_ROW_BYTES_MAX + 64, "the largest row fits");

static void *worker_main(void *arg)
{
    struct hf_store_server *server = arg;
    pthread_mutex_lock(&server->lock);
    for (;;) {
        struct link *link = server->jobs;
        if (link == NULL && server->stopping)
            break;
        if (link == NULL) {
            pthread_cond_wait(&server->wanted, &server->lock);
            continue;
        }
        server->jobs = link->next;
        if (server->jobs == NULL)
            server->jobs_last = &server->jobs;
        pthread_mutex_unlock(&server->lock);
        work_long(server, link);
        pthread_mutex_lock(&server->lock);
        link->next = server->finished;
        server->finished = link;
        uint64_t one = 1;
        (void)!write(server->wake, &one, sizeof one);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void hand_over(struct hf_store_server *server, struct link *link, const struct hf_frame *frame)
{
    arm(server, link, false);
    link->busy = true;
    link->job = frame->body;
    link->job_id = frame->id;
    link->next = NULL;
    pthread_mutex_lock(&server->lock);
    *server->jobs_last = link;
    server->jobs_last = &link->next;
    if (server->worker_count < WORKERS &&
        pthread_create(&server->workers[server->worker_count], NULL, worker_main, server) == 0)
        server->worker_count++;
    bool nobody = server->worker_count == 0;
    if (nobody) {
        server->jobs = NULL;
        server->jobs_last = &server->jobs;
    }
    pthread_cond_signal(&server->wanted);
    pthread_mutex_unlock(&server->lock);
    if (nobody) { /* no thread can be had: do it here */
        work_long(server, link);
        link->busy = false;
    }
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

static bool room_for_ops(struct hf_store_server *server)
{
    if (server->op_cap - server->op_count >= HF_STORE_TXN_OPS_MAX)
        return true;
    size_t cap = server->op_cap + 16 * HF_STORE_TXN_OPS_MAX;
    struct hf_store_op *grown = realloc(server->ops, cap * sizeof *grown);
    if (grown == NULL)
        return false;
    server->ops = grown;
    server->op_cap = cap;
    return true;
}

static void take_commit(struct hf_store_server *server, struct link *link, const struct hf_frame *frame)
{
    struct hf_cursor in = frame->body;
    enum hf_durability durability;
    size_t count = 0;
    uint8_t call;
    bool lazy = (frame->flags & HF_STORE_LAZY) != 0;
    if (lazy && (frame->flags & HF_STORE_RESTART))
        link->failed = false;
    if (lazy && link->failed)
        return;
    hf_result result = HF_FAIL(NO_MEMORY);
    if (room_for_ops(server)) {
        (void)hf_cursor_u8(&in, &call);
        result = hf_store_take_commit(&in, server->ops + server->op_count, &count, &durability);
    }
    if (!HF_IS_OK(result)) {
        link->failed = link->failed || lazy;
        answer_result(link, frame->id, result);
        return;
    }
    server->work[server->work_count] = (struct work){link, frame->id, server->op_count, lazy};
    server->txns[server->work_count] = (struct hf_store_txn){.count = count};
    server->work_count++;
    server->op_count += count;
}

static bool is_short(struct hf_cursor body)
{
    return body.left > 0 && (body.at[0] == HF_CALL_GET || body.at[0] == HF_CALL_HEAD_GET ||
                             body.at[0] == HF_CALL_AUDIT_HEAD_GET || body.at[0] == HF_CALL_INFO);
}

static void take_frame(struct hf_store_server *server, struct link *link, const struct hf_frame *frame)
{
    if (frame->type == HF_FRAME_PING) {
        struct hf_buf out = hf_buf(server->answer, sizeof server->answer);
        hf_frame_end(&out, hf_frame_begin(&out, HF_FRAME_PONG, 0, frame->id));
        link->ended = link->ended || !send_all(link->fd, hf_buf_cursor(&out));
    } else if (frame->type != HF_FRAME_STORE) {
        link->ended = true;
    } else if (frame->body.left > 0 && frame->body.at[0] == HF_CALL_COMMIT) {
        take_commit(server, link, frame);
    } else if (is_short(frame->body)) {
        struct hf_buf out = hf_buf(server->answer, sizeof server->answer);
        size_t begun = hf_frame_begin(&out, HF_FRAME_STORED, 0, frame->id);
        if (!hf_store_serve(server->engine, frame->body, &out)) {
            hand_over(server, link, frame);
            return;
        }
        hf_frame_end(&out, begun);
        link->ended = link->ended || !send_all(link->fd, hf_buf_cursor(&out));
    } else {
        hand_over(server, link, frame);
    }
}

/* Takes whole frames off a link's buffer, which stays where it is till the round is over. */
static void take_frames(struct hf_store_server *server, struct link *link)
{
    while (!link->busy && server->work_count < ROUND_TXNS_MAX) {
        struct hf_cursor in = unread(link);
        struct hf_frame frame;
        bool whole;
        size_t need;
        if (!HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need))) {
            link->ended = true;
            link->at = link->len;
            return;
        }
        if (!whole)
            return;
        link->at = (size_t)(in.at - link->in);
        take_frame(server, link, &frame);
    }
}

/* Room for the frame that has begun, or for a few more. Only between rounds. */
static bool make_room(struct link *link)
{
    size_t left = link->len - link->at;
    struct hf_cursor in = unread(link);
    struct hf_frame frame;
    bool whole;
    size_t need = 0, least = link->lazy ? LAZY_IN_BYTES : IN_BYTES;
    if (!HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need)))
        return true; /* take_frames says so */
    size_t want = HF_MAX(need, least);
    if (left == 0 && link->cap > least && link->cap > LAZY_IN_BYTES) { /* a large frame is done with */
        free(link->in);
        link->in = NULL;
        link->cap = 0;
    }
    if (link->cap < want) {
        uint8_t *grown = malloc(want);
        if (grown == NULL)
            return false;
        if (left != 0)
            memcpy(grown, link->in + link->at, left);
        free(link->in);
        link->in = grown;
        link->cap = want;
    } else if (link->at != 0 && left != 0) {
        memmove(link->in, link->in + link->at, left);
    }
    link->at = 0;
    link->len = left;
    return true;
}

/* Reads what there is, up to the buffer's end. Gives how much. */
static size_t link_read(struct hf_store_server *server, struct link *link)
{
    size_t all = 0;
    if (link->busy || link->ended)
        return 0;
    if (!make_room(link)) {
        link->ended = true;
        return 0;
    }
    while (link->len < link->cap) {
        ssize_t n = recv(link->fd, link->in + link->len, link->cap - link->len, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0) {
            link->ended = true;
            break;
        }
        link->len += (size_t)n;
        all += (size_t)n;
        if (!link->lazy) /* it sends one request, and waits */
            break;
    }
    take_frames(server, link);
    return all;
}

/* ---- the group ----------------------------------------------------------------------------------------------------- */

/* What is no fault of the engine: the same transaction would never do. */
static bool is_settled(hf_result result)
{
    return result.code == HF_OK || result.code == HF_CONFLICT || result.code == HF_BAD_ARGUMENT ||
           result.code == HF_TOO_LARGE;
}

static void settle_lazy(struct link *link, uint64_t id, const struct hf_store_txn *txn)
{
    if (link->failed)
        return;
    if (is_settled(txn->result)) {
        link->acknowledged = id;
        if (!HF_IS_OK(txn->result))
            hf_log(HF_LOG_ERROR, "store.lazy_refused", hf_f("result", txn->result),
                   hf_f("operation", (unsigned)txn->outcome.failed_op));
        return;
    }
    link->failed = true;
    if (link->acknowledged != 0)
        answer(link, link->acknowledged, HF_STORED_UPTO, hf_cursor("", 1));
    link->acknowledged = 0;
    answer_result(link, id, txn->result);
}
static_assert(HF_OK == 0, "the body above is one byte 0");

static void commit_round(struct hf_store_server *server)
{
    struct hf_store *engine = server->engine;
    size_t count = server->work_count;
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        server->txns[i].ops = server->ops + server->work[i].first_op;
    if (engine->ops->commit_many != NULL) {
        engine->ops->commit_many(engine, server->txns, count);
    } else {
        for (size_t i = 0; i < count; i++) {
            struct hf_store_txn *txn = &server->txns[i];
            txn->result = engine->ops->commit(engine, txn->ops, txn->count, HF_DURABLE, &txn->outcome);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct work *work = &server->work[i];
        const struct hf_store_txn *txn = &server->txns[i];
        if (HF_IS_OK(txn->result))
            hf_alarm_clear(&server->alarm);
        else if (!is_settled(txn->result))
            hf_alarm_raise(&server->alarm, txn->result);
        if (work->lazy) {
            settle_lazy(work->link, work->id, txn);
        } else {
            uint8_t memory[32];
            struct hf_buf out = hf_buf(memory, sizeof memory);
            hf_store_answer_commit(&out, txn->result, &txn->outcome);
            answer(work->link, work->id, 0, hf_buf_cursor(&out));
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct link *link = server->work[i].link;
        if (link->acknowledged != 0)
            answer(link, link->acknowledged, HF_STORED_UPTO, hf_cursor("", 1));
        link->acknowledged = 0;
    }
    server->work_count = server->op_count = 0;
}

static bool has_whole(const struct link *link)
{
    struct hf_cursor in = unread(link);
    struct hf_frame frame;
    bool whole;
    size_t need;
    return link->at < link->len && HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need)) && whole;
}

/* Commits, and goes on with frames that did not fit the round. */
static void finish_round(struct hf_store_server *server)
{
    bool more;
    do {
        commit_round(server);
        more = false;
        for (size_t i = 0; i < server->link_count; i++) {
            struct link *link = server->links[i];
            if (!link->busy && has_whole(link)) {
                take_frames(server, link);
                more = true;
            }
        }
    } while (more);
}

/* Closes what has ended. Only when no event of the round is left that might name it. */
static void reap(struct hf_store_server *server)
{
    for (size_t i = server->link_count; i-- > 0;) {
        if (server->links[i]->ended && !server->links[i]->busy)
            link_remove(server, i);
    }
}

/* ---- lazy links -------------------------------------------------------------------------------------------------------- */

/* Which kind of link it is shows in its first frame. */
static void look_at_first(struct link *link)
{
    uint8_t head[HF_FRAME_HEADER];
    ssize_t n = recv(link->fd, head, sizeof head, MSG_DONTWAIT | MSG_PEEK);
    if (n != (ssize_t)sizeof head)
        return;
    link->known = true;
    link->lazy = head[5] == HF_FRAME_STORE && (head[7] & HF_STORE_LAZY);
}

static void lazy_wait(struct hf_store_server *server, struct link *link)
{
    arm(server, link, false);
    if (server->lazy_due == 0)
        server->lazy_due =
            hf_boot_ns(&hf_clock_system) + (server->lazy_busy ? LAZY_BUSY_MS : LAZY_MS) * HF_MILLISECOND;
}

static void lazy_read(struct hf_store_server *server)
{
    server->lazy_due = 0;
    server->lazy_busy = false;
    for (size_t i = 0; i < server->link_count; i++) {
        struct link *link = server->links[i];
        if (!link->lazy)
            continue;
        if (link_read(server, link) >= LAZY_BUSY_BYTES)
            server->lazy_busy = true;
        arm(server, link, true);
    }
}

/* ---- the loop ------------------------------------------------------------------------------------------------------------- */

static void take_finished(struct hf_store_server *server)
{
    uint64_t times;
    (void)!read(server->wake, &times, sizeof times);
    pthread_mutex_lock(&server->lock);
    struct link *link = server->finished;
    server->finished = NULL;
    pthread_mutex_unlock(&server->lock);
    while (link != NULL) {
        struct link *next = link->next;
        link->busy = false;
        arm(server, link, true);
        take_frames(server, link);
        link = next;
    }
}

static void link_ready(struct hf_store_server *server, struct link *link, uint32_t events)
{
    if (link->busy) { /* closed while a worker answers: it will notice */
        if (events & (EPOLLHUP | EPOLLERR)) {
            (void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, link->fd, NULL);
            link->ended = true;
        }
        return;
    }
    bool closed = (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (!link->known)
        look_at_first(link);
    if (link->lazy && !closed) {
        lazy_wait(server, link);
        return;
    }
    while (link_read(server, link) > 0 && closed) /* all that lies there, and then the end */
        finish_round(server);
}

static int timeout_of(const struct hf_store_server *server)
{
    if (server->lazy_due == 0)
        return -1;
    int64_t left = server->lazy_due - hf_boot_ns(&hf_clock_system);
    return left <= 0 ? 0 : (int)((left + HF_MILLISECOND - 1) / HF_MILLISECOND);
}

hf_result hf_store_server_run(struct hf_store_server *server)
{
    bool go_on = true;
    while (go_on) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(server->epoll, events, EVENTS_MAX, timeout_of(server));
        if (count < 0 && errno != EINTR)
            return HF_FAIL(SYSTEM);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &server->wake)
                take_finished(server);
            else if (events[i].data.ptr == &server->watched)
                go_on = server->ready(server->ready_arg) && go_on;
            else if (events[i].data.ptr != NULL)
                link_ready(server, events[i].data.ptr, events[i].events);
        }
        if (server->lazy_due != 0 && (!go_on || timeout_of(server) == 0))
            lazy_read(server);
        finish_round(server);
        reap(server);
    }
    lazy_read(server);
    finish_round(server);
    reap(server);
    return HF_DONE;
}

/* ---- beginning and end --------------------------------------------------------------------------------------------------------- */

static bool epoll_add(struct hf_store_server *server, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

hf_result hf_store_server_new(struct hf_store *engine, struct hf_store_server **ret_server)
{
    struct hf_store_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return HF_FAIL(NO_MEMORY);
    server->engine = engine;
    server->jobs_last = &server->jobs;
    server->alarm = HF_ALARM("store.failing", "store.well_again");
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->wanted, NULL);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll < 0 || server->wake < 0 || !epoll_add(server, server->wake, &server->wake)) {
        hf_store_server_free(server);
        return HF_FAIL(SYSTEM);
    }
    *ret_server = server;
    return HF_DONE;
}

void hf_store_server_free(struct hf_store_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (size_t i = 0; i < server->link_count; i++)
        (void)shutdown(server->links[i]->fd, SHUT_RD); /* answers under way still go out */
    pthread_cond_broadcast(&server->wanted);
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < server->worker_count; i++)
        pthread_join(server->workers[i], NULL);
    while (server->link_count > 0)
        link_remove(server, 0);
    if (server->epoll >= 0)
        close(server->epoll);
    if (server->wake >= 0)
        close(server->wake);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->wanted);
    free(server->ops);
    free(server);
}

hf_result hf_store_server_add(struct hf_store_server *server, int fd)
{
    struct link *link = server->link_count < HF_STORE_SERVER_LINKS_MAX ? calloc(1, sizeof *link) : NULL;
    if (link == NULL) {
        close(fd);
        return HF_FAIL(OVERLOADED);
    }
    link->fd = fd;
    link->armed = true;
    if (!epoll_add(server, fd, link)) {
        link_free(link);
        return HF_FAIL(SYSTEM);
    }
    server->links[server->link_count++] = link;
    return HF_DONE;
}

hf_result hf_store_server_watch(struct hf_store_server *server, int fd, bool (*ready)(void *arg), void *arg)
{
    server->ready = ready;
    server->ready_arg = arg;
    return epoll_add(server, fd, &server->watched) ? HF_DONE : HF_FAIL(SYSTEM);
}
