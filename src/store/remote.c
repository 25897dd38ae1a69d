/* The store as the core sees it: calls over stream sockets. Of the sockets some are lanes for lazy transactions
 * (lanes.h); of the others a calling thread takes one for as long as its call lasts. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/alarm.h"
#include "store/codec.h"
#include "store/lanes.h"

enum {
    BUFFER_FIRST = 4 << 10,
    BUFFER_KEPT = 256 << 10, /* a larger one is given back after its call */
    ANSWER_SECONDS_MAX = 5,  /* then a call fails */
    ANSWER_LATE_MS = 500,    /* where the store has not answered an earlier call, till it answers again */
    PATIENCE_LONG = 2,       /* times ANSWER_SECONDS_MAX, of what reads much */
    PATIENCE_BACKUP = 12,
    LINKS_MAX = 512,
};

struct buffer {
    uint8_t *at;
    size_t len, cap;
};

struct link {
    int fd;       /* -1: closed */
    int fresh_fd; /* to use from the next call on; -1 none */
    bool taken;
    uint64_t last_id;
    struct buffer out, in;
    size_t used; /* bytes of `in` that belong to frames already taken */
    struct link *next_free;
};

struct remote {
    struct hf_store base;
    struct hf_lanes *lanes; /* NULL: too few links for that */
    size_t lane_count, link_count;
    pthread_mutex_t lock;
    pthread_cond_t given;
    _Atomic bool silent; /* a call had no answer in time, and no other had one since */
    struct hf_alarm alarm;
    struct link *free_links; /* the last given is the first taken: its buffers are warm */
    struct link links[];
};

/* ---- links ------------------------------------------------------------------------------------------------ */

/* A socket whose reads end after a while. */
static void set_up(int fd)
{
    struct timeval wait = {.tv_sec = ANSWER_SECONDS_MAX};
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK))
        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

static void link_close(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    link->in.len = link->used = 0;
}

/* Of a link that a call has taken: relink may be about to wake that call. */
static void link_break(struct remote *remote, struct link *link)
{
    pthread_mutex_lock(&remote->lock);
    link_close(link);
    pthread_mutex_unlock(&remote->lock);
}

static struct link *link_take(struct remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    while (remote->free_links == NULL)
        pthread_cond_wait(&remote->given, &remote->lock);
    struct link **at = &remote->free_links, **open = at;
    while (*open != NULL && (*open)->fd < 0) /* one that works, if any does */
        open = &(*open)->next_free;
    if (*open != NULL)
        at = open;
    struct link *link = *at;
    *at = link->next_free;
    link->taken = true;
    pthread_mutex_unlock(&remote->lock);
    return link;
}

static void link_give(struct remote *remote, struct link *link)
{
    if (link->out.cap > BUFFER_KEPT) {
        free(link->out.at);
        link->out = (struct buffer){0};
    }
    if (link->in.cap > BUFFER_KEPT && link->used == link->in.len) {
        free(link->in.at);
        link->in = (struct buffer){0};
        link->used = 0;
    }
    pthread_mutex_lock(&remote->lock);
    if (link->fresh_fd >= 0) {
        link_close(link);
        link->fd = link->fresh_fd;
        link->fresh_fd = -1;
    }
    link->taken = false;
    link->next_free = remote->free_links;
    remote->free_links = link;
    pthread_cond_signal(&remote->given);
    pthread_mutex_unlock(&remote->lock);
}

static bool reserve(struct buffer *buffer, size_t cap)
{
    if (buffer->cap >= cap)
        return true;
    uint8_t *grown = malloc(cap);
    if (grown == NULL)
        return false;
    if (buffer->len != 0)
        memcpy(grown, buffer->at, buffer->len);
    free(buffer->at);
    buffer->at = grown;
    buffer->cap = cap;
    return true;
}

/* ---- one call ------------------------------------------------------------------------------------------------ */

struct call {
    struct remote *remote;
    struct link *link;
    struct hf_buf out;
    size_t begun;
    bool commits;
    unsigned patience; /* waits for bytes that may yet end with none */
    uint64_t id;
    uint16_t flags;        /* of the answer */
    struct hf_cursor body; /* of the answer, behind its code; in the link's buffer, or in `kept` */
    uint8_t *kept;         /* the buffer, taken from the link */
};

static void call_end(struct call *call)
{
    free(call->kept);
    if (call->link != NULL)
        link_give(call->remote, call->link);
    call->kept = NULL;
    call->link = NULL;
}

static bool is_short(enum hf_store_call which)
{
    return which == HF_CALL_COMMIT || which == HF_CALL_GET || which == HF_CALL_HEAD_GET ||
           which == HF_CALL_AUDIT_HEAD_GET || which == HF_CALL_INFO;
}

/* Begins the request: what follows is written to call->out. */
static hf_result call_begin(struct hf_store *self, enum hf_store_call which, size_t bytes, struct call *call)
{
    struct remote *remote = (struct remote *)self;
    *call = (struct call){.remote = remote, .link = link_take(remote)};
    struct link *link = call->link;
    size_t need = HF_MAX(HF_FRAME_HEADER + 1 + bytes, (size_t)BUFFER_FIRST);
    if (link->fd < 0 || !reserve(&link->out, need)) {
        hf_result result = link->fd < 0 ? HF_FAIL(STORE_DOWN) : HF_FAIL(NO_MEMORY);
        hf_alarm_raise(&call->remote->alarm, result);
        call_end(call);
        return result;
    }
    call->id = ++link->last_id;
    call->out = hf_buf(link->out.at, link->out.cap);
    call->begun = hf_frame_begin(&call->out, HF_FRAME_STORE, 0, call->id);
    if (which != HF_CALL_COMMIT) /* put_commit writes its own */
        hf_buf_u8(&call->out, (uint8_t)which);
    call->commits = which == HF_CALL_COMMIT;
    call->patience = which == HF_CALL_BACKUP ? PATIENCE_BACKUP : is_short(which) ? 1 : PATIENCE_LONG;
    return HF_DONE;
}

static hf_result call_send(struct call *call)
{
    hf_frame_end(&call->out, call->begun);
    TRY(hf_buf_ok(&call->out));
    struct hf_cursor bytes = hf_buf_cursor(&call->out);
    while (bytes.left > 0) {
        ssize_t n = send(call->link->fd, bytes.at, bytes.left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* part of a request does nothing */
            link_break(call->remote, call->link);
            return HF_FAIL(STORE_DOWN);
        }
        bytes.at += n;
        bytes.left -= (size_t)n;
    }
    return HF_DONE;
}

static hf_result lost(const struct call *call)
{
    return call->commits ? HF_FAIL(COMMIT_UNKNOWN) : HF_FAIL(STORE_DOWN);
}

/* Waits for bytes and takes them. A store that has not answered lately is given less time, so that of one request not
 * each call waits in full. */
static ssize_t wait_bytes(struct call *call)
{
    struct remote *remote = call->remote;
    struct link *link = call->link;
    for (;;) {
        if (atomic_load_explicit(&remote->silent, memory_order_relaxed)) {
            struct pollfd readable = {.fd = link->fd, .events = POLLIN};
            if (poll(&readable, 1, ANSWER_LATE_MS) == 0) {
                hf_alarm_raise(&remote->alarm, HF_FAIL(STORE_DOWN));
                errno = EAGAIN;
                return -1;
            }
        }
        ssize_t n = recv(link->fd, link->in.at + link->in.len, link->in.cap - link->in.len, 0);
        if (n >= 0) {
            if (n > 0)
                hf_alarm_clear(&remote->alarm);
            if (atomic_load_explicit(&remote->silent, memory_order_relaxed))
                atomic_store(&remote->silent, false);
            return n;
        }
        bool late = errno == EAGAIN || errno == EWOULDBLOCK;
        if (late && call->patience > 1) {
            call->patience--;
            continue;
        }
        if (late) {
            atomic_store(&remote->silent, true);
            hf_alarm_raise(&remote->alarm, HF_FAIL(STORE_DOWN));
        }
        if (errno != EINTR)
            return -1;
    }
}

/* Reads more of what comes, with room for a frame of `need` bytes. */
static hf_result call_read(struct call *call, size_t need)
{
    struct link *link = call->link;
    if (link->used != 0) {
        memmove(link->in.at, link->in.at + link->used, link->in.len - link->used);
        link->in.len -= link->used;
        link->used = 0;
    }
    if (!reserve(&link->in, HF_MAX(need, (size_t)BUFFER_FIRST))) {
        link_break(call->remote, link); /* its answer would stay in the way */
        return call->commits ? HF_FAIL(COMMIT_UNKNOWN) : HF_FAIL(NO_MEMORY);
    }
    ssize_t n = wait_bytes(call);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return lost(call); /* a late answer is known by its id, and skipped */
    if (n <= 0) {
        link_break(call->remote, link);
        return lost(call);
    }
    link->in.len += (size_t)n;
    return HF_DONE;
}

static struct hf_cursor unread(const struct link *link)
{
    if (link->in.at == NULL)
        return hf_cursor(NULL, 0);
    return hf_cursor(link->in.at + link->used, link->in.len - link->used);
}

/* Waits for the next frame of the answer. Gives: its code's result. */
static hf_result call_wait(struct call *call)
{
    struct link *link = call->link;
    for (;;) {
        struct hf_cursor in = unread(link);
        struct hf_frame frame;
        bool whole;
        size_t need;
        uint8_t code;
        if (!HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need))) {
            link_break(call->remote, link);
            return lost(call);
        }
        if (!whole) {
            TRY(call_read(call, need));
            continue;
        }
        link->used = (size_t)(in.at - link->in.at);
        if (frame.id != call->id || frame.type != HF_FRAME_STORED)
            continue;
        if (!hf_cursor_u8(&frame.body, &code) || code >= HF_CODE_COUNT)
            return lost(call);
        call->body = frame.body;
        call->flags = frame.flags;
        return (hf_result){(enum hf_code)code};
    }
}

static hf_result call_run(struct call *call)
{
    TRY(call_send(call));
    return call_wait(call);
}

/* Gives the link back and keeps the answer, so that what is done with a long one may make calls of its own. */
static void call_detach(struct call *call)
{
    struct link *link = call->link;
    call->kept = link->in.at;
    link->in = (struct buffer){0}; /* nothing unread can be left: the answer was the last frame asked for */
    link->used = 0;
    call->link = NULL;
    link_give(call->remote, link);
}

/* ---- writes ------------------------------------------------------------------------------------------------------ */

static hf_result remote_commit(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                               enum hf_durability durability, struct hf_store_outcome *ret_outcome)
{
    struct remote *remote = (struct remote *)self;
    size_t bytes;
    TRY(hf_store_ops_check(ops, count, &bytes));
    if (count == 0)
        return durability == HF_DURABLE && remote->lanes != NULL ? hf_lanes_barrier(remote->lanes) : HF_DONE;
    if (durability == HF_LAZY && remote->lanes != NULL)
        return hf_lanes_put(remote->lanes, ops, count, bytes);
    CLEANUP(call_end) struct call call;
    TRY(call_begin(self, HF_CALL_COMMIT, 8 + count * HF_STORE_OP_BYTES_MAX + bytes, &call));
    hf_store_put_commit(&call.out, ops, count, HF_DURABLE);
    hf_result result = call_run(&call);
    struct hf_store_outcome outcome = {0};
    if (call.body.left != 0 &&
        (!hf_cursor_u32(&call.body, &outcome.failed_op) || !hf_cursor_u64(&call.body, &outcome.result)))
        return HF_FAIL(COMMIT_UNKNOWN);
    if (ret_outcome != NULL)
        *ret_outcome = outcome;
    return result;
}

/* ---- reads -------------------------------------------------------------------------------------------------------- */

static hf_result copy_out(struct hf_buf *space, struct hf_cursor *part)
{
    uint8_t *place = hf_buf_reserve(space, part->left);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    if (part->left != 0)
        memcpy(place, part->at, part->left);
    part->at = place;
    return HF_DONE;
}

static hf_result remote_get(struct hf_store *self, uint16_t table, struct hf_id id, struct hf_buf *space,
                            struct hf_row *ret_row)
{
    CLEANUP(call_end) struct call call;
    TRY(call_begin(self, HF_CALL_GET, 32, &call));
    hf_buf_u16(&call.out, table);
    hf_store_put_id(&call.out, id);
    TRY(call_run(&call));
    struct hf_row row;
    if (!hf_store_take_row(&call.body, &row))
        return HF_FAIL(STORE_DOWN);
    TRY(copy_out(space, &row.ns));
    TRY(copy_out(space, &row.name));
    TRY(copy_out(space, &row.sealed));
    *ret_row = row;
    return HF_DONE;
}

static hf_result numbered_blob(struct call *call, struct hf_buf *space, uint64_t *ret_number,
                               struct hf_cursor *ret_blob)
{
    TRY(call_run(call));
    uint64_t number;
    struct hf_cursor blob;
    if (!hf_cursor_u64(&call->body, &number) || !hf_cursor_vec32(&call->body, &blob))
        return HF_FAIL(STORE_DOWN);
    TRY(copy_out(space, &blob));
    *ret_number = number;
    *ret_blob = blob;
    return HF_DONE;
}

static hf_result remote_head_get(struct hf_store *self, uint16_t shard, struct hf_buf *space,
                                 uint64_t *ret_seq, struct hf_cursor *ret_blob)
{
    CLEANUP(call_end) struct call call;
    TRY(call_begin(self, HF_CALL_HEAD_GET, 8, &call));
    hf_buf_u16(&call.out, shard);
    return numbered_blob(&call, space, ret_seq, ret_blob);
}

static hf_result remote_audit_head_get(struct hf_store *self, struct hf_id log, struct hf_buf *space,
                                       uint64_t *ret_size, struct hf_cursor *ret_blob)
{
    CLEANUP(call_end) struct call call;
    TRY(call_begin(self, HF_CALL_AUDIT_HEAD_GET, 16, &call));
    hf_store_put_id(&call.out, log);
    return numbered_blob(&call, space, ret_size, ret_blob);
}

/* Each turn of a list is a call; its items are gone through when its link is given back. */
struct turn {
    struct call call;
    bool more;      /* the store had more than fits a frame */
    uint32_t items; /* so far, over all turns */
};

static hf_result turn_run(struct turn *turn)
{
    TRY(call_run(&turn->call));
    call_detach(&turn->call);
    return HF_DONE;
}

static void turn_done(struct turn *turn)
{
    call_end(&turn->call);
}

/* Whether another item follows; sets `more` at the end. */
static hf_result turn_next(struct turn *turn, bool *ret_item)
{
    uint8_t mark;
    if (!hf_cursor_u8(&turn->call.body, &mark) || mark > HF_LIST_MORE)
        return HF_FAIL(STORE_DOWN);
    turn->more = mark == HF_LIST_MORE;
    *ret_item = mark == HF_LIST_ITEM;
    turn->items += *ret_item;
    return HF_DONE;
}

static hf_result list_turn(struct hf_store *self, struct hf_list_query *query, hf_row_fn each, void *arg,
                           struct hf_buf *after, bool *ret_more)
{
    CLEANUP(turn_done) struct turn turn = {0};
    TRY(call_begin(self, HF_CALL_LIST, HF_STORE_ROW_BYTES_MAX - HF_STORE_RECORD_MAX + 2048, &turn.call));
    hf_store_put_query(&turn.call.out, query);
    TRY(turn_run(&turn));
    struct hf_row row = {0};
    for (;;) {
        bool item;
        TRY(turn_next(&turn, &item));
        if (!item)
            break;
        if (!hf_store_take_row(&turn.call.body, &row))
            return HF_FAIL(STORE_DOWN);
        if (!each(arg, &row)) {
            turn.more = false;
            break;
        }
    }
    *ret_more = turn.more && turn.items > 0 && turn.items < query->limit;
    if (!*ret_more)
        return HF_DONE;
    query->limit -= turn.items;
    after->len = 0;
    if (query->order == HF_LIST_BY_NAME)
        hf_buf_put_cursor(after, row.name);
    else if (query->order == HF_LIST_BY_DUE)
        hf_buf_u64(after, (uint64_t)row.due_ns);
    size_t key = after->len;
    hf_store_put_id(after, row.id);
    query->after_id = hf_cursor(after->at + key, sizeof row.id);
    query->after = query->order == HF_LIST_BY_ID ? query->after_id : hf_cursor(after->at, key);
    return hf_buf_ok(after);
}

static hf_result remote_list(struct hf_store *self, const struct hf_list_query *query, hf_row_fn each,
                             void *arg)
{
    uint8_t memory[HF_STORE_NAME_MAX + 16];
    struct hf_buf after = hf_buf(memory, sizeof memory);
    struct hf_list_query turn = *query;
    TRY(hf_store_query_check(query));
    for (bool more = true; more;)
        TRY(list_turn(self, &turn, each, arg, &after, &more));
    return HF_DONE;
}

/* Reads the changes of an answer; at: seq of the last (of one shard), or its place (of all). */
static hf_result feed_turn(struct turn *turn, bool one_shard, uint64_t *at, uint32_t *limit,
                           hf_change_fn each, void *arg, bool *ret_more)
{
    TRY(turn_run(turn));
    for (;;) {
        bool item;
        struct hf_change change;
        TRY(turn_next(turn, &item));
        if (!item)
            break;
        if (!hf_store_take_change(&turn->call.body, &change))
            return HF_FAIL(STORE_DOWN);
        *at = one_shard ? change.seq : change.at;
        if (!each(arg, &change)) {
            turn->more = false;
            break;
        }
    }
    *ret_more = turn->more && turn->items > 0 && turn->items < *limit;
    *limit -= HF_MIN(turn->items, *limit);
    return HF_DONE;
}

static hf_result remote_feed_since(struct hf_store *self, uint16_t shard, uint64_t after_seq, uint32_t limit,
                                   hf_change_fn each, void *arg)
{
    for (bool more = true; more;) {
        CLEANUP(turn_done) struct turn turn = {0};
        TRY(call_begin(self, HF_CALL_FEED_SINCE, 32, &turn.call));
        hf_buf_u16(&turn.call.out, shard);
        hf_buf_u64(&turn.call.out, after_seq);
        hf_buf_u32(&turn.call.out, limit);
        TRY(feed_turn(&turn, /* one_shard */ true, &after_seq, &limit, each, arg, &more));
    }
    return HF_DONE;
}

static hf_result remote_feed_each(struct hf_store *self, uint64_t after, uint32_t limit, hf_change_fn each,
                                  void *arg)
{
    for (bool more = true; more;) {
        CLEANUP(turn_done) struct turn turn = {0};
        TRY(call_begin(self, HF_CALL_FEED_EACH, 32, &turn.call));
        hf_buf_u64(&turn.call.out, after);
        hf_buf_u32(&turn.call.out, limit);
        TRY(feed_turn(&turn, /* one_shard */ false, &after, &limit, each, arg, &more));
    }
    return HF_DONE;
}

static hf_result audit_turn(struct hf_store *self, struct hf_id log, uint64_t *from, uint32_t *limit,
                            hf_audit_batch_fn each, void *arg, bool *ret_more)
{
    CLEANUP(turn_done) struct turn turn = {0};
    TRY(call_begin(self, HF_CALL_AUDIT_READ, 32, &turn.call));
    hf_store_put_id(&turn.call.out, log);
    hf_buf_u64(&turn.call.out, *from);
    hf_buf_u32(&turn.call.out, *limit);
    TRY(turn_run(&turn));
    for (;;) {
        bool item;
        struct hf_audit_batch batch;
        TRY(turn_next(&turn, &item));
        if (!item)
            break;
        if (!hf_store_take_batch(&turn.call.body, &batch))
            return HF_FAIL(STORE_DOWN);
        *from =
            batch.first + HF_MAX(batch.count, UINT64_C(1)); /* no batch holds it, or the next begins there */
        if (!each(arg, &batch)) {
            turn.more = false;
            break;
        }
    }
    *ret_more = turn.more && turn.items > 0 && turn.items < *limit;
    *limit -= HF_MIN(turn.items, *limit);
    return HF_DONE;
}

static hf_result remote_audit_read(struct hf_store *self, struct hf_id log, uint64_t from, uint32_t limit,
                                   hf_audit_batch_fn each, void *arg)
{
    for (bool more = true; more;)
        TRY(audit_turn(self, log, &from, &limit, each, arg, &more));
    return HF_DONE;
}

static hf_result remote_job_list(struct hf_store *self, int64_t due_before_ns, uint32_t limit, hf_job_fn each,
                                 void *arg)
{
    CLEANUP(turn_done) struct turn turn = {0};
    TRY(call_begin(self, HF_CALL_JOB_LIST, 16, &turn.call));
    hf_buf_u64(&turn.call.out, (uint64_t)due_before_ns);
    hf_buf_u32(&turn.call.out, limit);
    TRY(turn_run(&turn));
    for (;;) {
        bool item;
        struct hf_job job;
        TRY(turn_next(&turn, &item));
        if (!item)
            return HF_DONE;
        if (!hf_store_take_job(&turn.call.body, &job))
            return HF_FAIL(STORE_DOWN);
        if (!each(arg, &job))
            return HF_DONE;
    }
}

static hf_result remote_node_list(struct hf_store *self, hf_node_fn each, void *arg)
{
    CLEANUP(turn_done) struct turn turn = {0};
    TRY(call_begin(self, HF_CALL_NODE_LIST, 8, &turn.call));
    TRY(turn_run(&turn));
    for (;;) {
        bool item;
        struct hf_node node;
        TRY(turn_next(&turn, &item));
        if (!item)
            return HF_DONE;
        if (!hf_store_take_node(&turn.call.body, &node))
            return HF_FAIL(STORE_DOWN);
        if (!each(arg, &node))
            return HF_DONE;
    }
}

static hf_result remote_info(struct hf_store *self, struct hf_store_info *ret_info)
{
    CLEANUP(call_end) struct call call;
    TRY(call_begin(self, HF_CALL_INFO, 8, &call));
    TRY(call_run(&call));
    return hf_store_take_info(&call.body, ret_info) ? HF_DONE : HF_FAIL(STORE_DOWN);
}

static hf_result remote_backup(struct hf_store *self, hf_store_sink sink, void *arg)
{
    CLEANUP(call_end) struct call call;
    TRY(call_begin(self, HF_CALL_BACKUP, 8, &call));
    TRY(call_run(&call));
    while (call.flags & HF_STORED_MORE) {
        hf_result result = sink(arg, call.body);
        if (!HF_IS_OK(result)) {
            link_break(call.remote, call.link); /* the rest of it must not come */
            return result;
        }
        TRY(call_wait(&call));
    }
    return HF_DONE;
}

static hf_result remote_hint_wait(struct hf_store *self, int64_t timeout_ns)
{
    CLEANUP(call_end) struct call call;
    TRY(call_begin(self, HF_CALL_HINT_WAIT, 16, &call));
    hf_buf_u64(&call.out, (uint64_t)HF_MAX(timeout_ns, INT64_C(0)));
    return call_run(&call);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------------ */

static void remote_close(struct hf_store *self)
{
    struct remote *remote = (struct remote *)self;
    if (remote->lanes != NULL)
        hf_lanes_free(remote->lanes);
    for (size_t i = 0; i < remote->link_count; i++) {
        link_close(&remote->links[i]);
        if (remote->links[i].fresh_fd >= 0)
            close(remote->links[i].fresh_fd);
        free(remote->links[i].out.at);
        free(remote->links[i].in.at);
    }
    pthread_mutex_destroy(&remote->lock);
    pthread_cond_destroy(&remote->given);
    free(remote);
}

static const struct hf_store_ops remote_ops = {
    .name = "remote",
    .commit = remote_commit,
    .get = remote_get,
    .list = remote_list,
    .head_get = remote_head_get,
    .feed_since = remote_feed_since,
    .feed_each = remote_feed_each,
    .audit_head_get = remote_audit_head_get,
    .audit_read = remote_audit_read,
    .job_list = remote_job_list,
    .node_list = remote_node_list,
    .info = remote_info,
    .backup = remote_backup,
    .hint_wait = remote_hint_wait,
    .close = remote_close,
};

/* A sixth of the links, so that calls keep most. */
static size_t lanes_of(size_t count)
{
    return HF_MIN(count / 6, (size_t)HF_LANES_MAX);
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

hf_result hf_store_remote_open(const int *links, size_t count, struct hf_store **ret_store)
{
    struct remote *remote =
        count == 0 || count > LINKS_MAX ? NULL : calloc(1, sizeof *remote + count * sizeof remote->links[0]);
    if (remote == NULL) {
        close_all(links, count);
        return count == 0 || count > LINKS_MAX ? HF_FAIL(BAD_ARGUMENT) : HF_FAIL(NO_MEMORY);
    }
    remote->base.ops = &remote_ops;
    remote->alarm = HF_ALARM("store.failing", "store.well_again");
    remote->lane_count = lanes_of(count);
    pthread_mutex_init(&remote->lock, NULL);
    pthread_cond_init(&remote->given, NULL);
    for (size_t i = remote->lane_count; i < count; i++) {
        struct link *link = &remote->links[remote->link_count++];
        link->fd = links[i];
        link->fresh_fd = -1;
        set_up(link->fd);
        link->next_free = remote->free_links;
        remote->free_links = link;
    }
    hf_result result =
        remote->lane_count == 0 ? HF_DONE : hf_lanes_new(links, remote->lane_count, &remote->lanes);
    if (!HF_IS_OK(result)) {
        remote_close(&remote->base);
        return result;
    }
    *ret_store = &remote->base;
    return HF_DONE;
}

hf_result hf_store_remote_relink(struct hf_store *store, const int *links, size_t count)
{
    struct remote *remote = (struct remote *)store;
    if (store->ops != &remote_ops || count != remote->lane_count + remote->link_count) {
        close_all(links, count);
        return HF_FAIL(BAD_ARGUMENT);
    }
    for (size_t i = 0; i < remote->link_count; i++) {
        struct link *link = &remote->links[i];
        int fd = links[remote->lane_count + i];
        set_up(fd);
        pthread_mutex_lock(&remote->lock);
        if (link->taken) { /* wakes its caller, who gives it back and so takes up the fresh one */
            if (link->fd >= 0)
                (void)shutdown(link->fd, SHUT_RDWR);
            if (link->fresh_fd >= 0)
                close(link->fresh_fd);
            link->fresh_fd = fd;
        } else {
            link_close(link);
            link->fd = fd;
        }
        pthread_mutex_unlock(&remote->lock);
    }
    atomic_store(&remote->silent, false);
    if (remote->lanes != NULL)
        hf_lanes_relink(remote->lanes, links, remote->lane_count);
    return HF_DONE;
}
