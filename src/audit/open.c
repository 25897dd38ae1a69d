/* Opening a log: from the sealed head, over what was written after it, to where the next leaf goes. */
#include "audit/internal.h"

#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "tlog/note.h"

#include <stdlib.h>

enum { HEAD_VERSION = 2, HEAD_VERSION_NO_POSITION = 1, HEAD_MAX = 4096, TAIL_BATCHES = 32, FILL_ROWS = 32 };

/* ---- what is wrong ---- */

static _Thread_local char fault_text[160];

const char *hf_audit_fault(void)
{
    return fault_text;
}

hf_result audit_fault(struct hf_audit *audit, const char *what, uint64_t index)
{
    struct hf_buf text = hf_buf(fault_text, sizeof(fault_text) - 1);
    hf_buf_text(&text, "entry ");
    hf_buf_decimal(&text, index);
    hf_buf_text(&text, ": ");
    hf_buf_text(&text, what);
    fault_text[text.len] = '\0';
    hf_log(HF_LOG_ERROR, "audit.corrupt", hf_f("log", audit->config.log), hf_f("entry", index),
           hf_f("what", what));
    return HF_FAIL(CORRUPT);
}

/* The log and the records are not of one time. */
static hf_result fault_older(struct hf_audit *audit, const char *what, uint64_t missing, const char *one,
                             const char *many)
{
    struct hf_buf text = hf_buf(fault_text, sizeof(fault_text) - 1);
    hf_buf_text(&text, what);
    hf_buf_text(&text, ": ");
    hf_buf_decimal(&text, missing);
    hf_buf_text(&text, missing == 1 ? one : many);
    fault_text[text.len] = '\0';
    hf_log(HF_LOG_ERROR, "audit.set_back", hf_f("log", audit->config.log), hf_f("what", what),
           hf_f("missing", missing));
    return HF_FAIL(CORRUPT);
}

/* ---- sealed head: version u8 | records' position u64 (not in version 1) | frontier ---- */

static struct hf_cursor head_ad(const struct hf_audit *audit, uint8_t bytes[24], uint64_t size)
{
    memcpy(bytes, audit->config.log.bytes, 16);
    hf_store_u64(bytes + 16, size);
    return hf_cursor(bytes, 24);
}

hf_result audit_head_seal(struct hf_audit *audit, const struct hf_tlog_frontier *frontier, struct hf_buf *out)
{
    uint8_t bytes[HEAD_MAX], ad[24];
    struct hf_buf plain = hf_buf(bytes, sizeof(bytes));
    hf_buf_u8(&plain, HEAD_VERSION);
    uint64_t position =
        audit->config.position != NULL ? audit->config.position(audit->config.position_arg) : 0;
    hf_buf_u64(&plain, HF_MAX(position, audit->position_seen));
    hf_tlog_frontier_write(&plain, frontier);
    TRY(hf_buf_ok(&plain));
    return hf_aead_seal(audit->head_aead, hf_buf_cursor(&plain), head_ad(audit, ad, frontier->size), out);
}

hf_result audit_head_open(struct hf_audit *audit, uint64_t size, struct hf_cursor blob,
                          struct hf_tlog_frontier *ret_frontier, uint64_t *ret_position)
{
    uint8_t bytes[HEAD_MAX], ad[24], version;
    struct hf_buf plain = hf_buf(bytes, sizeof(bytes));
    if (!HF_IS_OK(hf_aead_open(audit->head_aead, blob, head_ad(audit, ad, size), &plain)))
        return audit_fault(audit, "the sealed head over it was altered", size);
    struct hf_cursor in = hf_buf_cursor(&plain);
    struct hf_tlog_frontier frontier;
    *ret_position = 0;
    if (!hf_cursor_u8(&in, &version) ||
        (version != HEAD_VERSION_NO_POSITION &&
         (version != HEAD_VERSION || !hf_cursor_u64(&in, ret_position))) ||
        !HF_IS_OK(hf_tlog_frontier_read(&in, &frontier)) || in.left != 0 || frontier.size != size)
        return audit_fault(audit, "the sealed head over it is of another form", size);
    *ret_frontier = frontier;
    return HF_DONE;
}

/* ---- what the head covers ---- */

struct search {
    struct audit_opener opener;
    bool found;
    uint64_t index;
};

static bool opens(struct audit_opener *opener, const struct audit_record *record)
{
    uint8_t bytes[HF_ENTRY_OPENING_MAX];
    struct hf_buf opening = hf_buf(bytes, sizeof(bytes));
    hf_result result = audit_open_record(opener, record, &opening);
    return HF_IS_OK(result) || result.code == HF_NOT_FOUND;
}

static bool find_altered(void *arg, const struct audit_record *record)
{
    struct search *s = arg;
    s->found = !opens(&s->opener, record);
    s->index = record->index;
    return !s->found;
}

/* Entries [from, to) do not hash to what the head says: which one is it? */
static hf_result name_altered(struct hf_audit *audit, uint64_t from, uint64_t to)
{
    struct search s = {.opener = {.audit = audit}};
    if (to - from > AUDIT_TILE * AUDIT_CHUNK)
        return audit_fault(audit, "it or a later one, or a stored node of the tree, was altered", from);
    hf_result result = audit_read_range(audit, from, to, find_altered, &s);
    audit_opener_done(&s.opener);
    TRY(result);
    return audit_fault(audit, s.found ? "it was altered" : "it or a later one was altered",
                       s.found ? s.index : from);
}

static hf_result check_head(struct hf_audit *audit)
{
    const struct hf_tlog_frontier *f = &audit->frontier;
    CLEANUP(audit_tiles_freep) struct audit_tiles *tiles = NULL;
    struct hf_tlog_frontier *stored = calloc(1, sizeof(*stored));
    if (stored == NULL)
        return HF_FAIL(NO_MEMORY);
    hf_result result = audit_tiles_new(audit, f->size, &tiles);
    if (HF_IS_OK(result))
        result = audit_tiles_frontier(tiles, f->size, stored);
    uint64_t begin = 0;
    unsigned node = 0;
    for (unsigned height = 64; HF_IS_OK(result) && height-- > 0;) {
        if ((f->size >> height & 1) == 0)
            continue;
        uint64_t end = begin + (UINT64_C(1) << height);
        if (memcmp(&stored->nodes[node], &f->nodes[node], HF_TLOG_HASH) != 0) /* public hashes */
            result = name_altered(audit, begin, end);
        node++;
        begin = end;
    }
    free(stored);
    return result;
}

static hf_result recover_head(struct hf_audit *audit)
{
    uint8_t bytes[HEAD_MAX];
    struct hf_buf space = hf_buf(bytes, sizeof(bytes));
    struct hf_cursor blob = {0};
    uint64_t size = 0;
    hf_result result =
        audit->store->ops->audit_head_get(audit->store, audit->config.log, &space, &size, &blob);
    if (result.code == HF_NOT_FOUND || (HF_IS_OK(result) && blob.left == 0 && size == 0))
        return HF_DONE;
    TRY(result);
    TRY(audit_head_open(audit, size, blob, &audit->frontier, &audit->position_seen));
    audit->head_size = size;
    TRY(audit_nodes_recover(audit, size));
    return check_head(audit);
}

/* ---- what was written after it ---- */

struct tail {
    struct hf_audit *audit;
    struct audit_opener opener;
    uint64_t gap_to; /* a batch stands there, and the indices before it were never written */
    bool more, first;
    hf_result result;
};

static bool tail_record(void *arg, const struct audit_record *record)
{
    struct tail *t = arg;
    if (record->index < t->audit->frontier.size) /* the head ends inside this batch */
        return true;
    if (!opens(&t->opener, record)) {
        t->result = audit_fault(t->audit, "it was altered", record->index);
        return false;
    }
    t->audit->position_seen = HF_MAX(t->audit->position_seen, t->opener.position);
    audit_sequence(t->audit, hf_tlog_leaf(record->leaf));
    return true;
}

static bool tail_batch(void *arg, const struct hf_audit_batch *batch)
{
    struct tail *t = arg;
    uint64_t next = t->audit->frontier.size;
    if (batch->first > next) {
        t->gap_to = batch->first;
        return false;
    }
    if (batch->first < next && !t->first) {
        t->result = audit_fault(t->audit, "a batch was put in over it", batch->first);
        return false;
    }
    t->first = false;
    t->more = true;
    hf_result walked = audit_batch_walk(batch, tail_record, t);
    if (HF_IS_OK(t->result) && !HF_IS_OK(walked))
        t->result = audit_fault(t->audit, "its batch was altered", t->audit->frontier.size);
    return HF_IS_OK(t->result) && t->audit->nodes.pending_count < AUDIT_PENDING_FULL;
}

/* Void leaves up to `to`, each in a row of its own, so that none of the lost batches can still come in between. */
static hf_result fill_gap(struct hf_audit *audit, uint64_t to)
{
    enum { ROW = AUDIT_BATCH_HEADER + HF_ENTRY_LEAF + 2 };
    uint8_t blobs[FILL_ROWS][ROW];
    struct hf_store_op ops[FILL_ROWS];
    struct hf_tlog_hash hashes[FILL_ROWS];
    struct hf_store_outcome outcome;
    uint64_t time_ms = audit_now_ms(audit);
    hf_log(HF_LOG_WARN, "audit.filled", hf_f("log", audit->config.log), hf_f("from", audit->frontier.size),
           hf_f("to", to));
    while (audit->frontier.size < to) {
        uint64_t first = audit->frontier.size;
        unsigned count = (unsigned)HF_MIN(to - first, (uint64_t)FILL_ROWS);
        for (unsigned i = 0; i < count; i++) {
            struct hf_buf blob = hf_buf(blobs[i], ROW);
            audit_batch_header(audit, &blob, first + i, 1);
            audit_record_void(&blob, time_ms, &hashes[i]);
            audit_append_op(audit, &ops[i], first + i, 1, hf_buf_cursor(&blob));
        }
        TRY(audit->store->ops->commit(audit->store, ops, count, HF_DURABLE, &outcome));
        for (unsigned i = 0; i < count; i++)
            audit_sequence(audit, hashes[i]);
        if (audit->nodes.pending_count >= AUDIT_PENDING_FULL)
            TRY(audit_write_head(audit));
    }
    return HF_DONE;
}

static hf_result recover_tail(struct hf_audit *audit)
{
    struct tail t = {.audit = audit, .opener = {.audit = audit}};
    hf_result result;
    do {
        t.gap_to = 0;
        t.more = false;
        t.first = true;
        t.result = HF_DONE;
        result = audit->store->ops->audit_read(audit->store, audit->config.log, audit->frontier.size,
                                               TAIL_BATCHES, tail_batch, &t);
        if (HF_IS_OK(result))
            result = t.result;
        if (HF_IS_OK(result) && t.gap_to != 0)
            result = fill_gap(audit, t.gap_to);
        if (HF_IS_OK(result) && audit->nodes.pending_count >= AUDIT_PENDING_FULL)
            result = audit_write_head(audit);
    } while (HF_IS_OK(result) && (t.more || t.gap_to != 0));
    audit_opener_done(&t.opener);
    return result;
}

/* ---- open and close ---- */

static void release(struct hf_audit *audit)
{
    audit_sealer_free(audit->sealer);
    hf_aead_free(audit->head_aead);
    hf_secret_free(audit->detail_key);
    hf_secret_free(audit->hash_key);
    hf_pkey_free(audit->ed25519);
    hf_pkey_free(audit->mldsa44);
    free(audit->ring);
    (void)sem_destroy(&audit->wake);
    pthread_mutex_destroy(&audit->sealer_lock);
    pthread_mutex_destroy(&audit->note_lock);
    pthread_mutex_destroy(&audit->nodes.lock);
    pthread_cond_destroy(&audit->note_changed);
    hf_wipe(audit, sizeof(*audit));
    free(audit);
}

void hf_audit_close(struct hf_audit *audit)
{
    if (audit == NULL)
        return;
    audit_sequencer_stop(audit);
    release(audit);
}

static hf_result prepare_locks(struct hf_audit *audit)
{
    pthread_condattr_t monotonic;
    bool ok = pthread_mutex_init(&audit->sealer_lock, NULL) == 0 &&
              pthread_mutex_init(&audit->note_lock, NULL) == 0 &&
              pthread_mutex_init(&audit->nodes.lock, NULL) == 0 && sem_init(&audit->wake, 0, 0) == 0 &&
              pthread_condattr_init(&monotonic) == 0 &&
              pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&audit->note_changed, &monotonic) == 0;
    return ok ? HF_DONE : HF_FAIL(SYSTEM); /* on Linux these cannot fail but for want of memory */
}

static hf_result take_keys(struct hf_audit *audit, const struct hf_secret *detail_key,
                           const struct hf_secret *hash_key, const struct hf_pkey *ed25519,
                           const struct hf_pkey *mldsa44)
{
    CLEANUP(hf_secret_freep) struct hf_secret *head_key = NULL;
    const struct hf_cursor log = hf_cursor(audit->config.log.bytes, sizeof(audit->config.log.bytes));
    TRY(hf_secret_copy(detail_key, &audit->detail_key));
    TRY(hf_secret_copy(hash_key, &audit->hash_key));
    TRY(hf_derive(detail_key, "audit head", log, 32, &head_key));
    TRY(hf_aead_new(HF_ALG_XAES256_GCM, head_key, &audit->head_aead));
    TRY(hf_random(audit->incarnation, sizeof(audit->incarnation)));
    /* A key is immutable but for its count of references. */
    audit->ed25519 = hf_pkey_ref((struct hf_pkey *)(uintptr_t)ed25519);
    audit->mldsa44 = hf_pkey_ref((struct hf_pkey *)(uintptr_t)mldsa44);
    return audit_sealer_new(audit, &audit->sealer);
}

/* The records against the head, and against the management leaves after it: so it does not help to put back the head
 * with the records, or to take it away. */
static hf_result check_position(struct hf_audit *audit)
{
    uint64_t have = audit->config.position != NULL ? audit->config.position(audit->config.position_arg) : 0;
    if (audit->config.position == NULL || have >= audit->position_seen)
        return HF_DONE;
    return fault_older(audit, "the records are older than the audit log", audit->position_seen - have,
                       " change is missing", " changes are missing");
}

static hf_result start(struct hf_audit *audit)
{
    audit->ring = calloc(audit->ring_size, sizeof(audit->ring[0]));
    if (audit->ring == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(audit_barrier(audit)); /* what the store took from the process before this one */
    TRY(recover_head(audit));
    TRY(recover_tail(audit));
    TRY(check_position(audit));
    if (audit->frontier.size < audit->config.size_least)
        return fault_older(audit, "the audit log is older than the records",
                           audit->config.size_least - audit->frontier.size, " entry is missing",
                           " entries are missing");
    atomic_store(&audit->next, audit->frontier.size);
    atomic_store(&audit->consumed, audit->frontier.size);
    return audit_sequencer_start(audit);
}

hf_result hf_audit_open(struct hf_store *store, const struct hf_audit_config *config,
                        const struct hf_secret *detail_key, const struct hf_secret *hash_key,
                        const struct hf_pkey *ed25519, const struct hf_pkey *mldsa44,
                        const struct hf_clock *clock, struct hf_audit **ret_audit)
{
    uint64_t ring_size = config->ring_entries != 0 ? config->ring_entries : AUDIT_RING_DEFAULT;
    if ((ring_size & (ring_size - 1)) != 0 || ring_size < AUDIT_BATCH_ENTRIES ||
        memchr(config->origin, '\0', sizeof(config->origin)) == NULL ||
        !hf_note_name_valid(hf_cursor_text(config->origin)) || ed25519 == NULL || mldsa44 == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    size_t bytes = (sizeof(struct hf_audit) + 63) & ~(size_t)63;
    struct hf_audit *audit = aligned_alloc(64, bytes);
    if (audit == NULL)
        return HF_FAIL(NO_MEMORY);
    memset(audit, 0, bytes);
    audit->store = store;
    audit->clock = clock;
    audit->config = *config;
    if (audit->config.checkpoint_ms == 0)
        audit->config.checkpoint_ms = 1000;
    audit->ring_size = ring_size;
    hf_result result = prepare_locks(audit);
    if (HF_IS_OK(result))
        result = take_keys(audit, detail_key, hash_key, ed25519, mldsa44);
    if (HF_IS_OK(result))
        result = start(audit);
    if (!HF_IS_OK(result)) {
        release(audit);
        return result;
    }
    *ret_audit = audit;
    return HF_DONE;
}
