/* The one thread that puts leaves in order: appends their hashes, and about once a second makes what is there
 * durable, seals the head, and signs a checkpoint over it. */
#include "audit/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum {
    STACK_BYTES = 512 << 10,
    RUN_MAX = 16384, /* leaves between two looks at the clock */
    BUSY_MS = 4,
    IDLE_MS_MAX = 250,
    RETRY_MS_FIRST = 20,
    RETRY_MS_MAX = 250,
    HEAD_MAX = 4096,
};

void audit_sequence(struct hf_audit *audit, struct hf_tlog_hash leaf)
{
    struct hf_tlog_frontier *f = &audit->frontier;
    unsigned count = (unsigned)__builtin_popcountll(f->size), height = 0;
    for (uint64_t size = f->size; (size & 1) != 0; size >>= 1) {
        leaf = hf_tlog_node(f->nodes[--count], leaf);
        if (++height % 8 == 0)
            audit_nodes_add(audit, height / 8, leaf);
    }
    f->nodes[count] = leaf;
    f->size++;
}

hf_result audit_barrier(struct hf_audit *audit)
{
    struct hf_store_outcome outcome;
    return audit->store->ops->commit(audit->store, NULL, 0, HF_DURABLE, &outcome);
}

/* For good: no further leaf is taken until someone looks. */
static void break_off(struct hf_audit *audit, const char *why)
{
    if (!atomic_exchange(&audit->broken, true))
        hf_log(HF_LOG_ERROR, "audit.broken", hf_f("why", why), hf_f("log", audit->config.log));
}

/* ---- indices of which it is not known whether they were written ---- */

struct gathering {
    struct hf_audit *audit;
    uint64_t first, count, got;
    bool same;
};

static bool gather_record(void *arg, const struct audit_record *record)
{
    struct gathering *g = arg;
    g->audit->resolved[g->got++] = hf_tlog_leaf(record->leaf);
    return true;
}

static bool gather(void *arg, const struct hf_audit_batch *batch)
{
    struct gathering *g = arg;
    g->same = batch->first == g->first && batch->count == g->count &&
              HF_IS_OK(audit_batch_walk(batch, gather_record, g)) && g->got == g->count;
    return false;
}

hf_result audit_resolve(struct hf_audit *audit, uint64_t first, uint64_t count,
                        struct hf_tlog_hash *ret_hashes)
{
    struct hf_buf blob = hf_buf(audit->fill, sizeof(audit->fill));
    struct hf_store_outcome outcome;
    struct hf_store_op op;
    uint64_t time_ms = audit_now_ms(audit);
    if (count > AUDIT_BATCH_ENTRIES)
        return HF_FAIL(INTERNAL);
    audit_batch_header(audit, &blob, first, (uint32_t)count);
    for (uint64_t i = 0; i < count; i++)
        audit_record_void(&blob, time_ms, &ret_hashes[i]);
    audit_append_op(audit, &op, first, count, hf_buf_cursor(&blob));
    hf_result result = audit->store->ops->commit(audit->store, &op, 1, HF_DURABLE, &outcome);
    if (result.code != HF_CONFLICT)
        return result;
    struct gathering g = {.audit = audit, .first = first, .count = count};
    TRY(audit->store->ops->audit_read(audit->store, audit->config.log, first, 1, gather, &g));
    return g.same ? HF_DONE : audit_fault(audit, "another batch stands in its place", first);
}

/* ---- appending ---- */

/* Appends the indices of a slot. Gives how many, 0 where it must be tried again later. */
static uint64_t take_slot(struct hf_audit *audit, const struct audit_slot *slot)
{
    if (slot->unresolved == 0) {
        audit_sequence(audit, slot->hash);
        return 1;
    }
    uint64_t count = slot->unresolved;
    hf_result result = audit_resolve(audit, audit->frontier.size, count, audit->resolved);
    if (result.code == HF_CORRUPT)
        break_off(audit, hf_audit_fault());
    audit_note_result(result);
    if (!HF_IS_OK(result))
        return 0;
    for (uint64_t i = 0; i < count; i++)
        audit_sequence(audit, audit->resolved[i]);
    atomic_store_explicit(&audit->down, false, memory_order_relaxed);
    return count;
}

/* Takes what is published, in order. ret_stuck: the store did not let it. Gives how many. */
static uint64_t consume(struct hf_audit *audit, bool *ret_stuck)
{
    uint64_t begin = audit->frontier.size;
    *ret_stuck = false;
    while (audit->frontier.size - begin < RUN_MAX && audit->nodes.pending_count < AUDIT_PENDING_FULL) {
        uint64_t index = audit->frontier.size;
        struct audit_slot *slot = &audit->ring[index & (audit->ring_size - 1)];
        if (atomic_load_explicit(&slot->published, memory_order_acquire) != index + 1)
            break;
        if (take_slot(audit, slot) == 0) {
            *ret_stuck = true;
            break;
        }
    }
    atomic_store_explicit(&audit->consumed, audit->frontier.size, memory_order_release);
    return audit->frontier.size - begin;
}

/* ---- checkpoints ---- */

static void drop_chunks(struct hf_audit *audit, unsigned count)
{
    struct audit_nodes *nodes = &audit->nodes;
    pthread_mutex_lock(&nodes->lock);
    nodes->pending_count -= count;
    memmove(nodes->pending, nodes->pending + count, nodes->pending_count * sizeof(nodes->pending[0]));
    pthread_mutex_unlock(&nodes->lock);
}

/* True where the same was tried before. */
static bool note_attempt(struct hf_audit *audit, struct audit_attempt attempt)
{
    unsigned *count = &audit->attempt_count;
    if (*count != 0 && audit->attempts[*count - 1].size == attempt.size &&
        audit->attempts[*count - 1].chunks == attempt.chunks)
        return true;
    if (*count == AUDIT_ATTEMPTS_MAX)
        memmove(audit->attempts, audit->attempts + 1, --*count * sizeof(attempt));
    audit->attempts[(*count)++] = attempt;
    return false;
}

static void head_is(struct hf_audit *audit, uint64_t size, unsigned chunks)
{
    audit->head_size = size;
    audit->head_attempted = false;
    audit->attempt_count = 0;
    drop_chunks(audit, chunks);
}

/* Heads whose commits gave no clear answer: was one written? Where none was, one may be yet. */
static hf_result ask_head(struct hf_audit *audit)
{
    uint8_t bytes[HEAD_MAX];
    struct hf_buf space = hf_buf(bytes, sizeof(bytes));
    struct hf_cursor blob;
    uint64_t size;
    TRY(audit->store->ops->audit_head_get(audit->store, audit->config.log, &space, &size, &blob));
    audit->head_attempted = false;
    if (size == audit->head_size)
        return HF_DONE;
    for (unsigned i = 0; i < audit->attempt_count; i++) {
        if (size == audit->attempts[i].size) {
            head_is(audit, size, audit->attempts[i].chunks);
            return HF_DONE;
        }
    }
    break_off(audit, "the sealed head is another process's");
    return HF_FAIL(CORRUPT);
}

/* The head in the store is not the one that was to be followed: an earlier one of ours may have come late. */
static hf_result head_moved(struct hf_audit *audit)
{
    uint64_t before = audit->head_size;
    TRY(ask_head(audit));
    if (audit->head_size != before)
        return HF_FAIL(COMMIT_UNKNOWN); /* from there, once more */
    break_off(audit, "the sealed head was moved by another process");
    return HF_FAIL(CORRUPT);
}

hf_result audit_write_head(struct hf_audit *audit)
{
    static_assert((int)AUDIT_PENDING_MAX < (int)HF_STORE_TXN_OPS_MAX,
                  "all chunks and the head fit one transaction");
    if (audit->head_attempted)
        TRY(ask_head(audit));
    if (audit->head_size == audit->frontier.size)
        return HF_DONE;
    struct hf_store_op ops[AUDIT_PENDING_MAX + 1];
    struct hf_store_outcome outcome;
    uint8_t bytes[HEAD_MAX];
    struct hf_buf head = hf_buf(bytes, sizeof(bytes));
    unsigned chunks = audit->nodes.pending_count; /* only this thread changes it */
    for (unsigned i = 0; i < chunks; i++) {
        const struct audit_chunk *chunk = &audit->nodes.pending[i];
        audit_append_op(audit, &ops[i], chunk->first, AUDIT_CHUNK,
                        hf_cursor(chunk->nodes, sizeof(chunk->nodes)));
        ops[i].row.id = audit_nodes_log(audit, chunk->level);
    }
    TRY(audit_head_seal(audit, &audit->frontier, &head));
    ops[chunks] = (struct hf_store_op){
        .kind = HF_STORE_AUDIT_HEAD,
        .row = {.id = audit->config.log},
        .seq = audit->frontier.size,
        .expect_rev = audit->head_size,
        .blob = hf_buf_cursor(&head),
    };
    const struct audit_attempt attempt = {audit->frontier.size, chunks};
    bool again = note_attempt(audit, attempt);
    audit->head_attempted = true;
    hf_result result = audit->store->ops->commit(audit->store, ops, chunks + 1, HF_DURABLE, &outcome);
    if (result.code == HF_CONFLICT) {
        audit->attempt_count -= !again; /* this one was not written */
        return head_moved(audit);
    }
    TRY(result);
    head_is(audit, attempt.size, attempt.chunks);
    return HF_DONE;
}

static hf_result sign_note(struct hf_audit *audit)
{
    uint8_t bytes[AUDIT_NOTE_MAX];
    struct hf_buf note = hf_buf(bytes, sizeof(bytes));
    struct hf_cursor origin = hf_cursor_text(audit->config.origin);
    const struct hf_tlog_checkpoint cp = {origin, audit->frontier.size, hf_tlog_root(&audit->frontier)};
    const struct hf_tlog_signer signer = {audit->ed25519, audit->mldsa44, origin};
    TRY(hf_tlog_checkpoint_sign(&note, &cp, &signer, hf_wall_ns(audit->clock)));
    pthread_mutex_lock(&audit->note_lock);
    memcpy(audit->note, bytes, note.len);
    audit->note_len = note.len;
    audit->note_size = cp.size;
    audit->note_root = cp.root;
    pthread_cond_broadcast(&audit->note_changed);
    pthread_mutex_unlock(&audit->note_lock);
    return HF_DONE;
}

/* The head is durable before its signature is shown to anyone: no checkpoint is ever taken back. */
static hf_result checkpoint(struct hf_audit *audit)
{
    if (audit->head_size != audit->frontier.size) {
        TRY(audit_barrier(audit));
        TRY(audit_write_head(audit));
    }
    TRY(sign_note(audit));
    audit->checkpoint_boot_ns = hf_boot_ns(audit->clock);
    return HF_DONE;
}

static bool checkpoint_due(struct hf_audit *audit)
{
    pthread_mutex_lock(&audit->note_lock);
    bool wanted = audit->note_len == 0 ||
                  (audit->fresh_wanted > audit->note_size && audit->frontier.size >= audit->fresh_wanted);
    bool grown = audit->frontier.size != audit->note_size;
    pthread_mutex_unlock(&audit->note_lock);
    int64_t age = hf_boot_ns(audit->clock) - audit->checkpoint_boot_ns;
    return wanted || audit->nodes.pending_count >= AUDIT_PENDING_FULL ||
           (grown && age >= (int64_t)audit->config.checkpoint_ms * HF_MILLISECOND);
}

/* ---- the thread ---- */

static void pause_ms(struct hf_audit *audit, unsigned ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (sem_clockwait(&audit->wake, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
        ;
}

static void run(void *arg)
{
    struct hf_audit *audit = arg;
    unsigned idle_ms = BUSY_MS, retry_ms = RETRY_MS_FIRST;
    bool blocked = false; /* by a checkpoint that could not be written */
    for (;;) {
        bool stopping = atomic_load(&audit->stop), stuck;
        uint64_t taken = consume(audit, &stuck);
        if (!stuck && (checkpoint_due(audit) || (stopping && taken == 0))) {
            hf_result result = checkpoint(audit);
            stuck = !HF_IS_OK(result);
            audit_note_result(result);
            if (stuck && !blocked)
                hf_log(HF_LOG_WARN, "audit.checkpoint", hf_f("result", result),
                       hf_f("size", audit->frontier.size));
            /* Leaves that cannot be made durable are not taken either. A writer's own failure is cleared by
             * take_slot, not here. */
            if (stuck || blocked)
                atomic_store_explicit(&audit->down, stuck, memory_order_relaxed);
            blocked = stuck;
        }
        if (stopping && (stuck || taken == 0))
            break;
        if (stuck) {
            const struct timespec pause = {.tv_nsec =
                                               (long)retry_ms * 1000000}; /* who waits cannot hasten it */
            (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
            retry_ms = HF_MIN(retry_ms * 2, (unsigned)RETRY_MS_MAX);
            continue;
        }
        retry_ms = RETRY_MS_FIRST;
        if (taken == RUN_MAX)
            continue;
        idle_ms = taken != 0 ? BUSY_MS : HF_MIN(idle_ms * 2, (unsigned)IDLE_MS_MAX);
        pause_ms(audit, idle_ms);
    }
    pthread_mutex_lock(&audit->note_lock);
    pthread_cond_broadcast(&audit->note_changed);
    pthread_mutex_unlock(&audit->note_lock);
}

static void *thread_main(void *arg)
{
    struct hf_audit *audit = arg;
    if (!HF_IS_OK(hf_secret_stack_run(STACK_BYTES, run, arg)))
        break_off(audit, "no memory for the sequencer's stack");
    return NULL;
}

hf_result audit_sequencer_start(struct hf_audit *audit)
{
    sigset_t all, old;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
        return HF_FAIL(SYSTEM);
    int failed = pthread_create(&audit->thread, NULL, thread_main, audit);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed != 0)
        return HF_FAIL(SYSTEM);
    audit->thread_runs = true;
    return HF_DONE;
}

void audit_sequencer_stop(struct hf_audit *audit)
{
    if (!audit->thread_runs)
        return;
    atomic_store(&audit->stop, true);
    (void)sem_post(&audit->wake);
    (void)pthread_join(audit->thread, NULL);
    audit->thread_runs = false;
}
