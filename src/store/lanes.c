#include "store/lanes.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/codec.h"

struct lane {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* acknowledged, failed or down */
    int fd;               /* -1: down */
    uint8_t *memory;      /* HF_LANE_BYTES_MAX; frames [head, tail): sent, not acknowledged */
    size_t head, tail;
    uint64_t last_id, acknowledged;
    enum hf_code failure; /* what the store said last; OK */
    int64_t retry_at;     /* boot time; 0 none */
    uint8_t in[256];      /* of the keeper: answers */
    size_t in_len;
};

struct hf_lanes {
    size_t count;
    int wake;
    bool stop;
    pthread_t keeper;
    struct lane lanes[HF_LANES_MAX];
};

/* ---- one lane, lock held ---------------------------------------------------------------------------------- */

static void down(struct lane *lane)
{
    if (lane->fd >= 0)
        close(lane->fd);
    lane->fd = -1;
    lane->in_len = 0;
    lane->retry_at = 0;
    pthread_cond_broadcast(&lane->moved);
}

/* Length of the frame at an offset. */
static size_t frame_len(const struct lane *lane, size_t at)
{
    struct hf_cursor in = hf_cursor(lane->memory + at, lane->tail - at);
    uint32_t len = 0;
    (void)hf_cursor_u32(&in, &len);
    return (size_t)len + 4;
}

static uint64_t frame_id(const struct lane *lane, size_t at)
{
    struct hf_cursor in = hf_cursor(lane->memory + at + 8, 8);
    uint64_t id = 0;
    (void)hf_cursor_u64(&in, &id);
    return id;
}

static void acknowledge(struct lane *lane, uint64_t id)
{
    while (lane->head < lane->tail && frame_id(lane, lane->head) <= id)
        lane->head += frame_len(lane, lane->head);
    if (lane->head == lane->tail)
        lane->head = lane->tail = 0;
    if (id > lane->acknowledged)
        lane->acknowledged = id;
    lane->failure = HF_OK;
    lane->retry_at = 0;
    pthread_cond_broadcast(&lane->moved);
}

/* The memory is there from the beginning, so that nothing is allocated on the way of an operation, and is used from its
 * beginning again and again, so that little of it is ever touched. */
static bool make_room(struct lane *lane, size_t need)
{
    size_t held = lane->tail - lane->head;
    if (need > HF_LANE_BYTES_MAX || held > HF_LANE_BYTES_MAX - need)
        return false;
    bool far = lane->head >= HF_LANE_BYTES_NEAR && lane->head >= held; /* more has gone than is to be moved */
    if (far || need > HF_LANE_BYTES_MAX - lane->tail) {
        memmove(lane->memory, lane->memory + lane->head, held);
        lane->head = 0;
        lane->tail = held;
    }
    return true;
}

enum sent { SENT, SENT_NOTHING, SENT_BROKEN };

/* Sends the bytes [at, tail). wait false: gives up where not one byte goes at once. */
static enum sent send_from(struct lane *lane, size_t at, bool wait)
{
    size_t begun = at;
    while (at < lane->tail) {
        ssize_t n = send(lane->fd, lane->memory + at, lane->tail - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            at += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!wait && at == begun)
                return SENT_NOTHING;
            struct pollfd writable = {.fd = lane->fd, .events = POLLOUT};
            if (poll(&writable, 1, HF_LANE_WAIT_MS_MAX) == 0)
                return SENT_BROKEN;
        } else if (n == 0 || errno != EINTR) {
            return SENT_BROKEN;
        }
    }
    return SENT;
}

static void send_again(struct lane *lane)
{
    lane->retry_at = 0;
    if (lane->fd < 0 || lane->head == lane->tail)
        return;
    uint8_t *flags = lane->memory + lane->head + 6;
    hf_store_u16(flags, HF_STORE_LAZY | HF_STORE_RESTART);
    enum sent sent = send_from(lane, lane->head, true);
    hf_store_u16(flags, HF_STORE_LAZY);
    if (sent != SENT)
        down(lane);
}

/* ---- answers -------------------------------------------------------------------------------------------------- */

static void take_answer(struct lane *lane, const struct hf_frame *frame)
{
    uint8_t code = HF_INTERNAL;
    struct hf_cursor body = frame->body;
    (void)hf_cursor_u8(&body, &code);
    if (frame->flags & HF_STORED_UPTO) {
        acknowledge(lane, frame->id);
    } else if (code == HF_BAD_REQUEST || code >= HF_CODE_COUNT || code == HF_OK) {
        /* It would never do. What came after it has been ignored. */
        hf_log(HF_LOG_ERROR, "store.lazy_refused", hf_f("code", (unsigned)code));
        acknowledge(lane, frame->id);
        send_again(lane);
    } else {
        lane->failure = (enum hf_code)code;
        lane->retry_at = hf_boot_ns(&hf_clock_system) + HF_LANE_RETRY_MS * HF_MILLISECOND;
        pthread_cond_broadcast(&lane->moved);
    }
}

static void take_answers(struct lane *lane)
{
    while (lane->fd >= 0) {
        ssize_t n = recv(lane->fd, lane->in + lane->in_len, sizeof lane->in - lane->in_len, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            down(lane);
            return;
        }
        lane->in_len += (size_t)n;
        struct hf_cursor in = hf_cursor(lane->in, lane->in_len);
        for (;;) {
            struct hf_frame frame;
            bool whole;
            size_t need;
            if (!HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need)) || need > sizeof lane->in) {
                down(lane);
                return;
            }
            if (!whole)
                break;
            take_answer(lane, &frame);
            if (lane->fd < 0)
                return;
        }
        memmove(lane->in, in.at, in.left);
        lane->in_len = in.left;
    }
}

static void *keeper_main(void *arg)
{
    struct hf_lanes *lanes = arg;
    while (!__atomic_load_n(&lanes->stop, __ATOMIC_ACQUIRE)) {
        struct pollfd fds[HF_LANES_MAX + 1] = {{.fd = lanes->wake, .events = POLLIN}};
        int64_t due = 0;
        for (size_t i = 0; i < lanes->count; i++) {
            struct lane *lane = &lanes->lanes[i];
            pthread_mutex_lock(&lane->lock);
            fds[i + 1] = (struct pollfd){.fd = lane->fd, .events = POLLIN};
            if (lane->retry_at != 0 && (due == 0 || lane->retry_at < due))
                due = lane->retry_at;
            pthread_mutex_unlock(&lane->lock);
        }
        int64_t left = due == 0 ? 0 : HF_MAX(due - hf_boot_ns(&hf_clock_system), INT64_C(0));
        int timeout = due == 0 ? -1 : (int)(left / HF_MILLISECOND) + 1;
        (void)poll(fds, (nfds_t)lanes->count + 1, timeout);
        if (fds[0].revents != 0) {
            uint64_t times;
            (void)!read(lanes->wake, &times, sizeof times);
        }
        for (size_t i = 0; i < lanes->count; i++) {
            struct lane *lane = &lanes->lanes[i];
            pthread_mutex_lock(&lane->lock);
            if (fds[i + 1].revents != 0 && lane->fd == fds[i + 1].fd)
                take_answers(lane);
            if (lane->retry_at != 0 && lane->retry_at <= hf_boot_ns(&hf_clock_system))
                send_again(lane);
            pthread_mutex_unlock(&lane->lock);
        }
    }
    return NULL;
}

static void wake_keeper(struct hf_lanes *lanes)
{
    uint64_t one = 1;
    (void)!write(lanes->wake, &one, sizeof one);
}

/* ---- callers ------------------------------------------------------------------------------------------------------ */

/* Each thread has a lane that it tries first, so that threads seldom meet. */
static size_t own_lane(const struct hf_lanes *lanes)
{
    static unsigned next;
    static _Thread_local unsigned mine; /* from 1 */
    if (mine == 0)
        mine = 1 + __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
    return mine % lanes->count;
}

static struct timespec wait_until(void)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += HF_LANE_WAIT_MS_MAX / 1000;
    return until;
}

/* lock held. WOULD_BLOCK where the lane or its socket is full, and nothing was done. */
static hf_result put(struct lane *lane, const struct hf_store_op *ops, size_t count, size_t need, bool wait)
{
    struct timespec until = wait ? wait_until() : (struct timespec){0};
    for (;;) {
        if (lane->fd < 0)
            return HF_FAIL(STORE_DOWN);
        if (lane->failure != HF_OK)
            return (hf_result){lane->failure};
        if (make_room(lane, need))
            break;
        if (!wait)
            return HF_FAIL(WOULD_BLOCK);
        if (pthread_cond_timedwait(&lane->moved, &lane->lock, &until) == ETIMEDOUT) /* a slow disk */
            return HF_FAIL(STORE_DOWN);
    }
    size_t before = lane->tail;
    struct hf_buf out = hf_buf(lane->memory, HF_LANE_BYTES_MAX);
    out.len = before;
    size_t begun = hf_frame_begin(&out, HF_FRAME_STORE, HF_STORE_LAZY, lane->last_id + 1);
    hf_store_put_commit(&out, ops, count, HF_LAZY);
    hf_frame_end(&out, begun);
    if (out.overflow)
        return HF_FAIL(TOO_LARGE);
    lane->tail = out.len;
    enum sent sent = send_from(lane, before, wait);
    if (sent == SENT) {
        lane->last_id++;
        return HF_DONE;
    }
    lane->tail = before; /* the caller is told that it was not taken */
    if (sent == SENT_NOTHING)
        return HF_FAIL(WOULD_BLOCK);
    down(lane);
    return HF_FAIL(STORE_DOWN);
}

hf_result hf_lanes_put(struct hf_lanes *lanes, const struct hf_store_op *ops, size_t count, size_t bytes)
{
    size_t need = HF_FRAME_HEADER + 8 + count * HF_STORE_OP_BYTES_MAX + bytes;
    size_t own = own_lane(lanes);
    hf_result result = HF_FAIL(WOULD_BLOCK);
    for (size_t i = 0; i < lanes->count && result.code == HF_WOULD_BLOCK; i++) {
        struct lane *lane = &lanes->lanes[(own + i) % lanes->count];
        if (i == 0)
            pthread_mutex_lock(&lane->lock);
        else if (pthread_mutex_trylock(&lane->lock) != 0)
            continue;
        result = put(lane, ops, count, need, false);
        pthread_mutex_unlock(&lane->lock);
    }
    if (result.code != HF_WOULD_BLOCK)
        return result;
    struct lane *lane = &lanes->lanes[own]; /* all are full: wait for this one, as fast as the disk is */
    pthread_mutex_lock(&lane->lock);
    result = put(lane, ops, count, need, true);
    pthread_mutex_unlock(&lane->lock);
    return result;
}

hf_result hf_lanes_barrier(struct hf_lanes *lanes)
{
    struct timespec until = wait_until();
    hf_result result = HF_DONE;
    for (size_t i = 0; i < lanes->count && HF_IS_OK(result); i++) {
        struct lane *lane = &lanes->lanes[i];
        pthread_mutex_lock(&lane->lock);
        uint64_t target = lane->last_id;
        while (lane->acknowledged < target && HF_IS_OK(result)) {
            if (lane->failure != HF_OK)
                result = (hf_result){lane->failure};
            else if (lane->fd < 0 || pthread_cond_timedwait(&lane->moved, &lane->lock, &until) == ETIMEDOUT)
                result = HF_FAIL(STORE_DOWN);
        }
        pthread_mutex_unlock(&lane->lock);
    }
    return result;
}

/* More room, where the kernel gives it: the store looks only every few milliseconds. */
static void widen(int fd)
{
    int bytes = HF_LANE_SOCKET_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

void hf_lanes_relink(struct hf_lanes *lanes, const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i >= lanes->count) {
            close(fds[i]);
            continue;
        }
        struct lane *lane = &lanes->lanes[i];
        pthread_mutex_lock(&lane->lock);
        down(lane);
        lane->fd = fds[i];
        widen(fds[i]);
        if (lane->head == lane->tail)
            lane->failure = HF_OK;
        send_again(lane);
        pthread_mutex_unlock(&lane->lock);
    }
    wake_keeper(lanes);
}

hf_result hf_lanes_new(const int *fds, size_t count, struct hf_lanes **ret_lanes)
{
    struct hf_lanes *lanes = calloc(1, sizeof *lanes);
    int wake = lanes == NULL ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0 || count > HF_LANES_MAX) {
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        if (wake >= 0)
            close(wake);
        free(lanes);
        return count > HF_LANES_MAX ? HF_FAIL(BAD_ARGUMENT) : HF_FAIL(NO_MEMORY);
    }
    lanes->wake = wake;
    lanes->count = count;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_init(&lanes->lanes[i].lock, NULL);
        pthread_cond_init(&lanes->lanes[i].moved, &monotonic);
        lanes->lanes[i].fd = fds[i];
        widen(fds[i]);
    }
    pthread_condattr_destroy(&monotonic);
    bool whole = true;
    for (size_t i = 0; i < count; i++) {
        lanes->lanes[i].memory = malloc(HF_LANE_BYTES_MAX); /* pages cost when they are touched */
        whole = whole && lanes->lanes[i].memory != NULL;
    }
    if (!whole || pthread_create(&lanes->keeper, NULL, keeper_main, lanes) != 0) {
        lanes->stop = true; /* no thread to end */
        hf_lanes_free(lanes);
        return HF_FAIL(NO_MEMORY);
    }
    *ret_lanes = lanes;
    return HF_DONE;
}

void hf_lanes_free(struct hf_lanes *lanes)
{
    if (!lanes->stop) {
        __atomic_store_n(&lanes->stop, true, __ATOMIC_RELEASE);
        wake_keeper(lanes);
        pthread_join(lanes->keeper, NULL);
    }
    for (size_t i = 0; i < lanes->count; i++) {
        struct lane *lane = &lanes->lanes[i];
        down(lane);
        free(lane->memory);
        pthread_mutex_destroy(&lane->lock);
        pthread_cond_destroy(&lane->moved);
    }
    close(lanes->wake);
    free(lanes);
}
