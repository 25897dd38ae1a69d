/* The core's process: threads that answer the fronts' calls.
 *
 * All threads are alike. Each front's link has one that reads it: it runs data operations at once, flushes the audit
 * batch, and sends all answers with one write; so a batch costs three system calls and no lock but the link's own. A
 * call that must wait for the store goes to the list of jobs; a reading thread that has just one takes it itself and
 * wakes another to read in its place, which spares the hop.
 *
 * Where there is a front for each processor, the reader of a link runs on that of its front, so that a lone call changes
 * processes without waking another processor; who runs a job goes where there is room. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/epoch.h"
#include "crypto/crypto.h"
#include "keystore/keystore.h"
#include "ops/core.h"
#include "ops/dev.h"
#include "roles/control.h"
#include "roles/posture.h"
#include "roles/roles.h"
#include "seal/seal.h"
#include "store/store.h"
#include "wire/frame.h"

enum {
    STACK_BYTES = 256 << 10,
    REGION_BYTES = HF_FRAME_MAX + (2 << 20), /* address space of a buffer; pages as used */
    REGION_KEEP = 1 << 20,                   /* pages kept between calls */
    READ_BYTES = 256 << 10,
    READ_MAX = 4 << 20,
    ANSWERS_MAX = 4096,
    JOBS_MAX = 4096,
    WAITERS = 64, /* threads beside the reading ones: as many calls can wait for the store */
    WRITE_WAIT_MS = 10000,
    TICK_MS = 1000,
    PONG_LOCK_MS_MAX = 1000, /* for the threads' lock, before a sign of life is withheld */
    PONG_SAME_BATCH_MAX =
        60, /* signs of life while a reader is in one and the same batch, which never waits for long */
};

struct link {
    int fd;
    uint16_t front;
    _Atomic uint32_t holders; /* threads and jobs that may still write to it */
    pthread_mutex_t write_lock;
    uint8_t *in;
    size_t from, to; /* unread bytes in `in` */
    struct link *next_due;
    _Atomic uint32_t turns;          /* odd: its reader works on a batch */
    uint32_t seen_turns, seen_times; /* of the control loop */
};

struct job {
    struct job *next;
    struct link *link;
    uint64_t id;
    size_t len;
    size_t mapped; /* 0: from the arena */
    uint8_t body[];
};

struct server {
    const struct hf_role_args *args;
    struct hf_core *core;
    struct hf_store *store;
    struct hf_posture_board *board;

    pthread_mutex_t lock; /* jobs, links and who reads them; and nothing else */
    pthread_cond_t work;
    struct job *first_job, **last_job;
    _Atomic uint32_t job_count;
    uint32_t waiting; /* threads idle in wait_for_work */
    struct link *due; /* links that nobody reads */
    uint32_t due_count;
    _Atomic bool stopping;
    bool pin; /* who reads a link runs on the processor of its front */

    uint32_t thread_count;
    pthread_t threads[HF_CONFIG_CORE_THREADS_MAX + WAITERS];
    pthread_t ticker;
    bool ticks;
    sem_t ticker_end;
    struct link *links[HF_CONFIG_FRONTS_MAX];

    pthread_mutex_t stats_lock;
    struct {
        uint8_t bytes[4096];
        size_t len;
    } stats[HF_CONFIG_FRONTS_MAX];
};

struct worker {
    struct server *server;
    unsigned index;
    bool pinned;
    struct hf_core_thread *thread;
    uint8_t *out;
};

/* ---- buffers ---- */

static uint8_t *region_new(void)
{
    void *memory =
        mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, REGION_BYTES, MADV_DONTDUMP); /* payloads pass here */
    (void)madvise(memory, REGION_BYTES, MADV_DONTFORK);
    return memory;
}

static void region_wipe(uint8_t *region, size_t used)
{
    hf_wipe(region, used);
    if (used > REGION_KEEP)
        (void)madvise(region + REGION_KEEP, REGION_BYTES - REGION_KEEP, MADV_DONTNEED);
}

/* ---- links ---- */

static void link_release(struct link *link)
{
    if (atomic_fetch_sub(&link->holders, 1) != 1)
        return;
    close(link->fd);
    hf_wipe(link->in, HF_MIN(link->to, (size_t)REGION_BYTES));
    munmap(link->in, REGION_BYTES);
    pthread_mutex_destroy(&link->write_lock);
    free(link);
}

static void link_hold(struct link *link)
{
    atomic_fetch_add(&link->holders, 1);
}

/* s->lock held. */
static void link_due(struct server *s, struct link *link)
{
    link->next_due = s->due;
    s->due = link;
    s->due_count++;
    pthread_cond_signal(&s->work);
}

static hf_result link_add(struct server *s, int fd, uint16_t front)
{
    struct link *link = calloc(1, sizeof(*link));
    uint8_t *in = region_new();
    if (link == NULL || in == NULL || front >= HF_CONFIG_FRONTS_MAX) {
        free(link);
        if (in != NULL)
            munmap(in, REGION_BYTES);
        close(fd);
        return HF_FAIL(NO_MEMORY);
    }
    *link = (struct link){.fd = fd, .front = front, .in = in};
    atomic_store(&link->holders, 2); /* the table, and who reads it */
    pthread_mutex_init(&link->write_lock, NULL);
    pthread_mutex_lock(&s->lock);
    struct link *old = s->links[front];
    s->links[front] = link;
    link_due(s, link);
    pthread_mutex_unlock(&s->lock);
    if (old != NULL) {
        (void)shutdown(old->fd, SHUT_RDWR); /* its reader sees the end */
        link_release(old);
    }
    return HF_DONE;
}

/* The front is gone: its end of the link closed. Its requests get their answers into the void. */
static void link_dead(struct link *link)
{
    (void)shutdown(link->fd, SHUT_RDWR);
    link_release(link);
}

static bool link_write(struct link *link, const uint8_t *bytes, size_t len)
{
    bool sent = true;
    pthread_mutex_lock(&link->write_lock);
    while (len != 0) {
        ssize_t n = send(link->fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd writable = {.fd = link->fd, .events = POLLOUT};
            if (poll(&writable, 1, WRITE_WAIT_MS) <= 0) {
                sent = false;
                break;
            }
        } else {
            sent = false;
            break;
        }
    }
    if (!sent) /* half a frame may be out: the link is of no more use */
        (void)shutdown(link->fd, SHUT_RDWR);
    pthread_mutex_unlock(&link->write_lock);
    return sent;
}

/* ---- jobs ---- */

static struct job *job_new(struct link *link, const struct hf_frame *frame)
{
    size_t bytes = sizeof(struct job) + frame->body.left;
    struct job *job = NULL;
    size_t mapped = 0;
    if (bytes <= HF_SECRET_MAX) {
        job = hf_arena_alloc(bytes);
    } else {
        void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED) {
            (void)madvise(memory, bytes, MADV_DONTDUMP);
            job = memory;
            mapped = bytes;
        }
    }
    if (job == NULL)
        return NULL;
    *job = (struct job){.link = link, .id = frame->id, .len = frame->body.left, .mapped = mapped};
    memcpy(job->body, frame->body.at, frame->body.left);
    link_hold(link);
    return job;
}

static void job_free(struct job *job)
{
    link_release(job->link);
    size_t mapped = job->mapped;
    hf_wipe(job->body, job->len);
    if (mapped != 0)
        munmap(job, mapped);
    else
        hf_arena_free(job);
}

static void run_job(struct worker *w, struct job *job)
{
    struct hf_buf out = hf_buf(w->out, REGION_BYTES);
    hf_result called =
        hf_core_call(w->server->core, w->thread, job->id, hf_cursor(job->body, job->len), true, &out);
    hf_result flushed = hf_core_thread_flush(w->thread);
    if (!HF_IS_OK(called) || !HF_IS_OK(flushed) || out.overflow) {
        region_wipe(w->out, out.len);
        out = hf_buf(w->out, REGION_BYTES);
        hf_core_answer_failed(&out, job->id, !HF_IS_OK(flushed) ? HF_AUDIT_DOWN : HF_INTERNAL);
    }
    (void)link_write(job->link, out.at, out.len);
    region_wipe(w->out, out.len);
    job_free(job);
    hf_secret_stack_wipe();
}

/* s->lock held. */
static void job_due(struct server *s, struct job *job)
{
    job->next = NULL;
    *s->last_job = job;
    s->last_job = &job->next;
    atomic_fetch_add(&s->job_count, 1);
    pthread_cond_signal(&s->work);
}

/* Hands the jobs out. Gives the last one back for the caller itself where another thread can read the link in its
 * place; not where link is NULL. */
static struct job *hand_out(struct server *s, struct link *link, struct job *jobs)
{
    struct job *mine = NULL;
    pthread_mutex_lock(&s->lock);
    while (jobs != NULL) {
        struct job *job = jobs;
        jobs = job->next;
        if (jobs == NULL && link != NULL && s->waiting > s->due_count + s->job_count) {
            mine = job;
            link_due(s, link);
        } else {
            job_due(s, job);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return mine;
}

/* ---- one batch of a link ---- */

struct batch {
    uint64_t answered[ANSWERS_MAX];
    uint32_t count;
};

/* Sends what the batch wrote, once its leaves are with the store; else 503 in place of each answer. */
static bool send_batch(struct worker *w, struct link *link, struct hf_buf *out, struct batch *batch)
{
    if (out->len == 0)
        return true;
    size_t used = out->len;
    hf_result flushed = hf_core_thread_flush(w->thread);
    if (!HF_IS_OK(flushed) || out->overflow) {
        *out = hf_buf(w->out, REGION_BYTES);
        for (uint32_t i = 0; i < batch->count; i++)
            hf_core_answer_failed(out, batch->answered[i], HF_IS_OK(flushed) ? HF_INTERNAL : HF_AUDIT_DOWN);
    }
    bool sent = link_write(link, out->at, out->len);
    region_wipe(w->out, HF_MAX(used, out->len));
    *out = hf_buf(w->out, REGION_BYTES);
    batch->count = 0;
    return sent;
}

static void keep_stats(struct server *s, const struct link *link, struct hf_cursor body)
{
    struct hf_tree tree;
    if (body.left > sizeof(s->stats[0].bytes) || !HF_IS_OK(hf_tree_open(body, &tree)))
        return;
    pthread_mutex_lock(&s->stats_lock);
    memcpy(s->stats[link->front].bytes, body.at, body.left);
    s->stats[link->front].len = body.left;
    pthread_mutex_unlock(&s->stats_lock);
}

static bool take_frames(struct worker *w, struct link *link, struct job **jobs)
{
    enum { FLUSH_AT = 512 << 10 };
    struct server *s = w->server;
    struct batch batch;
    batch.count = 0;
    struct hf_buf out = hf_buf(w->out, REGION_BYTES);
    struct hf_cursor in = hf_cursor(link->in + link->from, link->to - link->from);
    struct job **last = jobs;
    bool good = true, whole = true;
    while (good && whole) {
        struct hf_frame frame;
        size_t need;
        if (!HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need))) {
            good = false;
            break;
        }
        if (!whole)
            break;
        if (frame.type == HF_FRAME_STATS) {
            keep_stats(s, link, frame.body);
            continue;
        }
        if (frame.type != HF_FRAME_CALL) {
            good = false;
            break;
        }
        hf_result called = hf_core_call(s->core, w->thread, frame.id, frame.body, false, &out);
        if (called.code == HF_WOULD_BLOCK) {
            struct job *job = atomic_load(&s->job_count) < JOBS_MAX ? job_new(link, &frame) : NULL;
            if (job == NULL) {
                hf_core_answer_failed(&out, frame.id, HF_OVERLOADED);
            } else {
                *last = job;
                last = &job->next;
                continue;
            }
        }
        batch.answered[batch.count++] = frame.id;
        if (batch.count == ANSWERS_MAX || out.len >= FLUSH_AT)
            good = send_batch(w, link, &out, &batch);
    }
    if (good)
        good = send_batch(w, link, &out, &batch);
    size_t done = (size_t)(in.at - link->in);
    hf_wipe(link->in + link->from, done - link->from);
    link->from = done;
    return good;
}

/* Waits for input and reads what is there. False where the link is at its end. */
static bool read_link(struct link *link)
{
    if (link->from == link->to) {
        if (link->to > REGION_KEEP) /* pages of a large request are given back; all of it is wiped by now */
            (void)madvise(link->in, REGION_BYTES, MADV_DONTNEED);
        link->from = link->to = 0;
    }
    if (link->from != 0 && REGION_BYTES - link->to < READ_BYTES) {
        size_t left = link->to - link->from;
        memmove(link->in, link->in + link->from, left);
        hf_wipe(link->in + left, link->to - left);
        link->from = 0;
        link->to = left;
    }
    ssize_t n;
    do {
        n = recv(link->fd, link->in + link->to, HF_MIN(REGION_BYTES - link->to, (size_t)READ_MAX), 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        link->to += (size_t)n;
    return n > 0;
}

/* ---- threads ---- */

/* Reads the link till its end, or till a job is the caller's own and another thread is to read on. */
static struct job *read_on(struct worker *w, struct link *link)
{
    struct job *mine = NULL;
    if (w->server->pin && !w->pinned)
        w->pinned = hf_cpu_pin(link->front);
    while (mine == NULL) {
        struct job *jobs = NULL;
        bool good = read_link(link);
        if (good) {
            atomic_fetch_add_explicit(&link->turns, 1, memory_order_relaxed);
            good = take_frames(w, link, &jobs);
            atomic_fetch_add_explicit(&link->turns, 1, memory_order_relaxed);
        }
        hf_secret_stack_wipe();
        if (jobs != NULL)
            mine = hand_out(w->server, good ? link : NULL, jobs);
        if (!good) {
            link_dead(link);
            break;
        }
    }
    return mine;
}

/* Waits for a job, or for a link to read. Neither: the server stops. */
static void wait_for_work(struct server *s, struct job **ret_job, struct link **ret_link)
{
    *ret_job = NULL;
    *ret_link = NULL;
    pthread_mutex_lock(&s->lock);
    s->waiting++;
    while (!s->stopping && s->first_job == NULL && s->due == NULL)
        pthread_cond_wait(&s->work, &s->lock);
    s->waiting--;
    if (s->due != NULL && !s->stopping) {
        *ret_link = s->due;
        s->due = s->due->next_due;
        s->due_count--;
    } else if (s->first_job != NULL) {
        *ret_job = s->first_job;
        s->first_job = s->first_job->next;
        if (s->first_job == NULL)
            s->last_job = &s->first_job;
        atomic_fetch_sub(&s->job_count, 1);
    }
    pthread_mutex_unlock(&s->lock);
}

static void work_on_secret_stack(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        struct job *job;
        struct link *link;
        wait_for_work(w->server, &job, &link);
        if (link != NULL)
            job = read_on(w, link);
        else if (job == NULL)
            return;
        if (job != NULL) {
            if (w->pinned)
                w->pinned = !hf_cpu_unpin();
            run_job(w, job);
        }
    }
}

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    hf_result ran = hf_secret_stack_run(STACK_BYTES, work_on_secret_stack, w);
    if (!HF_IS_OK(ran))
        hf_log(HF_LOG_ERROR, "core.thread", hf_f("result", ran));
    hf_core_thread_free(w->thread);
    munmap(w->out, REGION_BYTES);
    free(w);
    return NULL;
}

static void *ticker_main(void *arg);

static hf_result start_threads(struct server *s)
{
    s->thread_count = 0;
    for (unsigned i = 0; i < s->core->config.threads; i++) {
        struct worker *w = calloc(1, sizeof(*w));
        if (w == NULL)
            return HF_FAIL(NO_MEMORY);
        *w = (struct worker){.server = s, .index = i, .out = region_new()};
        hf_result made = w->out == NULL ? HF_FAIL(NO_MEMORY) : hf_core_thread_new(s->core, i, &w->thread);
        if (!HF_IS_OK(made) || pthread_create(&s->threads[i], NULL, thread_main, w) != 0) {
            free(w);
            return HF_IS_OK(made) ? HF_FAIL(SYSTEM) : made;
        }
        s->thread_count++;
    }
    if (sem_init(&s->ticker_end, 0, 0) != 0 || pthread_create(&s->ticker, NULL, ticker_main, s) != 0)
        return HF_FAIL(SYSTEM);
    s->ticks = true;
    return HF_DONE;
}

/* ---- metrics of the fronts ---- */

static void write_front_stats(void *arg, struct hf_buf *out)
{
    struct server *s = arg;
    pthread_mutex_lock(&s->stats_lock);
    for (uint32_t i = 0; i < s->args->front_count && i < HF_CONFIG_FRONTS_MAX; i++) {
        struct hf_tree tree;
        if (s->stats[i].len == 0 ||
            !HF_IS_OK(hf_tree_open(hf_cursor(s->stats[i].bytes, s->stats[i].len), &tree)))
            continue;
        struct hf_tree_iter iter = hf_tree_iterate(&tree);
        struct hf_cursor key;
        struct hf_tree item;
        while (hf_tree_next(&iter, &key, &item)) {
            if (item.tag != HF_TREE_INT || item.number < 0)
                continue;
            hf_buf_text(out, "holdfast_front_");
            hf_buf_put_cursor(out, key); /* the front's own constant names */
            hf_buf_text(out, "{front=\"");
            hf_buf_decimal(out, i);
            hf_buf_text(out, "\"} ");
            hf_buf_decimal(out, (uint64_t)item.number);
            hf_buf_text(out, "\n");
        }
    }
    pthread_mutex_unlock(&s->stats_lock);
}

/* ---- control ---- */

static void tell_status(struct server *s)
{
    struct hf_seal_status status = {0};
    HF_IGNORE(hf_seal_status(s->core->seal, &status), "a store that is away leaves what is known");
    HF_IGNORE(
        hf_control_status(s->args->control_fd, status.initialized, status.sealed, s->core->config.version),
        "a supervisor that is gone ends this role at the next receive");
}

static void dev_init(struct server *s, struct hf_control *message)
{
    static struct hf_control done; /* large; this thread alone uses it, and wipes it */
    done = (struct hf_control){.kind = HF_CONTROL_DEV_DONE};
    struct hf_core_dev dev = {0};
    hf_result made = hf_core_dev_init(s->core, message->as.dev_init.root_token, message->as.dev_init.shares,
                                      message->as.dev_init.share_count, &dev);
    done.as.dev_done.code = made.code;
    if (HF_IS_OK(made)) {
        memcpy(done.as.dev_done.root_token, dev.root_token, sizeof(dev.root_token));
        done.as.dev_done.share_count = dev.share_count;
        memcpy(done.as.dev_done.shares, dev.shares, sizeof(dev.shares));
    }
    HF_IGNORE(hf_control_dev(s->args->control_fd, &done),
              "a supervisor that is gone ends this role at the next receive");
    hf_wipe(&done, sizeof(done));
    hf_wipe(&dev, sizeof(dev));
    hf_wipe(message, sizeof(*message));
}

static void relink(struct server *s, const struct hf_control *message)
{
    int store_links[HF_ROLE_STORE_LINKS];
    size_t store_count = 0;
    for (uint32_t i = 0; i < message->as.links.count; i++) {
        const struct hf_role_link *l = &message->as.links.links[i];
        if (l->peer == HF_ROLE_FRONT)
            HF_IGNORE(link_add(s, l->fd, l->index), "the front sees its end close");
        else if (l->peer == HF_ROLE_STORE && store_count < HF_ROLE_STORE_LINKS)
            store_links[store_count++] = l->fd;
        else
            close(l->fd);
    }
    if (store_count != 0) {
        hf_result done = hf_store_remote_relink(s->store, store_links, store_count);
        hf_log(HF_IS_OK(done) ? HF_LOG_INFO : HF_LOG_ERROR, "core.store_relinked", hf_f("result", done));
    }
}

/* Work by time has a thread of its own: it waits for the store, and the control loop must not. */
static void *ticker_main(void *arg)
{
    struct server *s = arg;
    bool sealed_before = true;
    for (;;) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TICK_MS / 1000;
        while (sem_clockwait(&s->ticker_end, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
            ;
        if (s->stopping)
            break;
        hf_core_tick(s->core);
        bool sealed_now = hf_core_unsealed(s->core) == NULL;
        if (sealed_now != sealed_before)
            tell_status(s);
        sealed_before = sealed_now;
    }
    hf_epoch_thread_end();
    return NULL;
}

/* Whether the threads get on: their lock can be had, and no reader is in one and the same batch for a minute. What jobs
 * do may take long. */
static bool threads_move(struct server *s)
{
    bool move = true;
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PONG_LOCK_MS_MAX / 1000;
    if (pthread_mutex_clocklock(&s->lock, CLOCK_MONOTONIC, &until) != 0)
        return false;
    for (size_t i = 0; i < HF_ARRAY_LEN(s->links); i++) {
        struct link *link = s->links[i];
        if (link == NULL)
            continue;
        uint32_t turns = atomic_load_explicit(&link->turns, memory_order_relaxed);
        link->seen_times = turns % 2 != 0 && turns == link->seen_turns ? link->seen_times + 1 : 0;
        link->seen_turns = turns;
        move = move && link->seen_times < PONG_SAME_BATCH_MAX;
    }
    pthread_mutex_unlock(&s->lock);
    return move;
}

static void pong(struct server *s)
{
    if (!threads_move(s)) { /* the supervisor ends this process */
        hf_log(HF_LOG_ERROR, "core.stuck", hf_f("jobs", (unsigned)atomic_load(&s->job_count)));
        return;
    }
    HF_IGNORE(hf_control_pong(s->args->control_fd), "a supervisor that is gone is seen at the next receive");
}

/* Till the supervisor says stop, or is gone. Gives the exit status. */
static int control_loop(struct server *s)
{
    static struct hf_control message;
    struct pollfd readable = {.fd = s->args->control_fd, .events = POLLIN};
    for (;;) {
        int n = poll(&readable, 1, -1);
        if (n < 0 && errno != EINTR)
            return 1;
        if (n <= 0)
            continue;
        hf_result got = hf_control_recv(s->args->control_fd, false, &message);
        if (got.code == HF_WOULD_BLOCK)
            continue;
        if (!HF_IS_OK(got))
            return 1;
        if (message.kind == HF_CONTROL_DRAIN)
            return 0;
        if (message.kind == HF_CONTROL_PING)
            pong(s);
        else if (message.kind == HF_CONTROL_LINKS)
            relink(s, &message);
        else if (message.kind == HF_CONTROL_POSTURE)
            HF_IGNORE(hf_posture_board_put(s->board, message.as.posture.role, message.as.posture.index,
                                           message.as.posture.tree),
                      "a report that does not parse is left out");
        else if (message.kind == HF_CONTROL_DEV_INIT)
            dev_init(s, &message);
    }
}

static void stop_threads(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->work);
    for (size_t i = 0; i < HF_ARRAY_LEN(s->links); i++)
        if (s->links[i] != NULL)
            (void)shutdown(s->links[i]->fd, SHUT_RD); /* what lies there is read, and then the end */
    pthread_mutex_unlock(&s->lock);
    for (uint32_t i = 0; i < s->thread_count; i++)
        pthread_join(s->threads[i], NULL);
    (void)sem_post(&s->ticker_end);
    if (s->ticks)
        pthread_join(s->ticker, NULL);
}

static hf_result open_core(struct server *s)
{
    const struct hf_role_args *args = s->args;
    int store_links[HF_ROLE_STORE_LINKS];
    size_t store_count = 0;
    for (uint32_t i = 0; i < args->link_count; i++)
        if (args->links[i].peer == HF_ROLE_STORE && store_count < HF_ROLE_STORE_LINKS)
            store_links[store_count++] = args->links[i].fd;
    TRY(hf_store_remote_open(store_links, store_count, &s->store));
    struct hf_keystore *keystore = NULL;
    TRY(hf_keystore_software_open(&keystore));
    struct hf_core_config config = {
        .level = args->config->level,
        .audit_strict = args->config->audit_strict,
        .default_lease_ttl_ns = args->config->default_lease_ttl_ns,
        .max_lease_ttl_ns = args->config->max_lease_ttl_ns,
        .requests_per_second = args->config->limits.requests_per_second,
        .version = HF_VERSION,
    };
    uint32_t readers = HF_MAX(args->front_count, args->config->core_threads);
    config.threads = HF_MIN(HF_MAX(readers, 1u), (uint32_t)HF_CONFIG_CORE_THREADS_MAX) + WAITERS;
    memcpy(config.cluster_name, args->config->cluster_name, sizeof(config.cluster_name));
    memcpy(config.api_addr, args->config->api_addr, sizeof(config.api_addr));
    TRY(hf_core_new(&config, s->store, keystore, &hf_clock_system, &s->core));
    TRY(hf_posture_board_new(&s->board));
    s->core->posture = (struct hf_posture_source){hf_posture_board_write, s->board};
    s->core->more_metrics = (struct hf_metrics_source){write_front_stats, s};
    return HF_DONE;
}

static hf_result serve(struct server *s)
{
    TRY(open_core(s));
    s->pin = s->args->front_count >= hf_cpu_count(); /* as the fronts do */
    TRY(hf_role_sandbox(s->args));
    TRY(start_threads(s));
    for (uint32_t i = 0; i < s->args->link_count; i++)
        if (s->args->links[i].peer == HF_ROLE_FRONT)
            TRY(link_add(s, s->args->links[i].fd, s->args->links[i].index));
    return hf_control_ready(s->args->control_fd);
}

int hf_role_core(const struct hf_role_args *args)
{
    static struct server server; /* one for a process; zeroed */
    struct server *s = &server;
    s->args = args;
    s->last_job = &s->first_job;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->stats_lock, NULL);
    pthread_cond_init(&s->work, NULL);
    hf_result up = serve(s);
    if (!HF_IS_OK(up)) {
        hf_log(HF_LOG_ERROR, "core.start", hf_f("result", up));
        return 1;
    }
    tell_status(s);
    int status = control_loop(s);
    stop_threads(s);
    hf_core_free(s->core);
    s->store->ops->close(s->store);
    return status;
}
