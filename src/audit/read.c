/* Readers: ranges of the log, checkpoints, proofs, exports, tiles. None is on a data operation's way. */
#include "audit/internal.h"

#include "tlog/export.h"

#include <stdlib.h>
#include <time.h>

enum { READ_BATCHES = 256, FIND_WINDOW = 4096, FIND_MAX = 1 << 18, FRESH_STEP_MS = 5, CATCH_UP_STEPS = 2000 };

/* ---- ranges ---- */

struct range {
    uint64_t next, to;
    audit_record_fn each;
    void *arg;
    bool stopped, bad;
};

static bool range_record(void *arg, const struct audit_record *record)
{
    struct range *r = arg;
    if (record->index < r->next)
        return true;
    if (record->index >= r->to)
        return false;
    r->next++;
    r->stopped = !r->each(r->arg, record);
    return !r->stopped;
}

static bool range_batch(void *arg, const struct hf_audit_batch *batch)
{
    struct range *r = arg;
    if (batch->first > r->next || r->next - batch->first >= batch->count)
        return false; /* a gap */
    r->bad = !HF_IS_OK(audit_batch_walk(batch, range_record, r));
    return !r->bad && !r->stopped && r->next < r->to;
}

hf_result audit_read_range(struct hf_audit *audit, uint64_t from, uint64_t to, audit_record_fn each,
                           void *arg)
{
    struct range r = {.next = from, .to = to, .each = each, .arg = arg};
    bool waited = false;
    while (r.next < r.to && !r.stopped) {
        uint64_t begin = r.next;
        TRY(audit->store->ops->audit_read(audit->store, audit->config.log, r.next, READ_BATCHES, range_batch,
                                          &r));
        if (r.bad)
            return audit_fault(audit, "its batch was altered", r.next);
        if (r.next != begin || r.stopped)
            continue;
        if (waited)
            return audit_fault(audit, "it is missing", r.next);
        waited = true; /* the store may have it and not yet show it */
        TRY(audit_barrier(audit));
    }
    return HF_DONE;
}

hf_result audit_catch_up(struct hf_audit *audit)
{
    uint64_t taken = atomic_load(&audit->next);
    for (unsigned i = 0; atomic_load(&audit->consumed) < taken; i++) {
        if (atomic_load(&audit->broken) || atomic_load(&audit->stop) || i == CATCH_UP_STEPS)
            return HF_FAIL(AUDIT_DOWN);
        (void)sem_post(&audit->wake);
        const struct timespec step = {.tv_nsec = 1000000};
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
    }
    return HF_DONE;
}

/* ---- figures ---- */

uint64_t hf_audit_size(struct hf_audit *audit)
{
    return atomic_load_explicit(&audit->consumed, memory_order_acquire);
}

void hf_audit_stats(struct hf_audit *audit, struct hf_audit_stats *ret)
{
    ret->size = atomic_load_explicit(&audit->next, memory_order_relaxed);
    ret->sequenced = atomic_load_explicit(&audit->consumed, memory_order_relaxed);
    ret->written_bytes = atomic_load_explicit(&audit->written_bytes, memory_order_relaxed);
    ret->failures = atomic_load_explicit(&audit->failures, memory_order_relaxed);
    pthread_mutex_lock(&audit->note_lock);
    ret->unsynced = ret->size - HF_MIN(ret->size, audit->note_size);
    pthread_mutex_unlock(&audit->note_lock);
}

/* ---- checkpoints ---- */

/* Waits, with note_lock held, till there is a note over at least `size` leaves. */
static hf_result await_note(struct hf_audit *audit, uint64_t size)
{
    int64_t deadline = hf_boot_ns(&hf_clock_system) + AUDIT_FRESH_WAIT_MS_MAX * HF_MILLISECOND;
    audit->fresh_wanted = HF_MAX(audit->fresh_wanted, size);
    while (audit->note_len == 0 || audit->note_size < size) {
        if (atomic_load(&audit->broken) || atomic_load(&audit->stop))
            return HF_FAIL(AUDIT_DOWN);
        if (hf_boot_ns(&hf_clock_system) >= deadline)
            return HF_FAIL(AUDIT_DOWN);
        (void)sem_post(&audit->wake);
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += FRESH_STEP_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&audit->note_changed, &audit->note_lock, &until);
    }
    return HF_DONE;
}

struct noted { /* one consistent view of the last checkpoint */
    uint64_t size;
    struct hf_tlog_hash root;
};

static hf_result take_note(struct hf_audit *audit, uint64_t size, struct hf_buf *out_note, struct noted *ret)
{
    pthread_mutex_lock(&audit->note_lock);
    hf_result result = await_note(audit, size);
    if (HF_IS_OK(result)) {
        if (out_note != NULL)
            hf_buf_put(out_note, audit->note, audit->note_len);
        *ret = (struct noted){audit->note_size, audit->note_root};
    }
    pthread_mutex_unlock(&audit->note_lock);
    TRY(result);
    return out_note != NULL ? hf_buf_ok(out_note) : HF_DONE;
}

hf_result hf_audit_checkpoint(struct hf_audit *audit, bool fresh, struct hf_buf *out_note)
{
    struct noted noted;
    return take_note(audit, fresh ? atomic_load(&audit->next) : 0, out_note, &noted);
}

hf_result hf_audit_vkeys(struct hf_audit *audit, struct hf_buf *out)
{
    const struct hf_tlog_signer signer = {audit->ed25519, audit->mldsa44,
                                          hf_cursor_text(audit->config.origin)};
    TRY(hf_tlog_vkey(out, &signer, false));
    hf_buf_u8(out, '\n');
    TRY(hf_tlog_vkey(out, &signer, true));
    hf_buf_u8(out, '\n');
    return hf_buf_ok(out);
}

/* ---- proofs ---- */

struct one {
    struct audit_opener opener;
    struct hf_audit_inclusion *inclusion;
    bool open;
    hf_result result;
};

static bool take_one(void *arg, const struct audit_record *record)
{
    struct one *one = arg;
    struct hf_buf opening = hf_buf(one->inclusion->opening, sizeof(one->inclusion->opening));
    memcpy(one->inclusion->leaf, record->leaf.at, HF_ENTRY_LEAF);
    if (one->open) {
        one->result = audit_open_record(&one->opener, record, &opening);
        if (HF_IS_OK(one->result))
            one->inclusion->opening_len = opening.len;
        else if (one->result.code == HF_NOT_FOUND)
            one->result = HF_DONE;
    }
    return false;
}

hf_result hf_audit_include(struct hf_audit *audit, uint64_t index, bool open_details,
                           struct hf_audit_inclusion *ret)
{
    static_assert(sizeof(ret->leaf) == (size_t)HF_ENTRY_LEAF &&
                      sizeof(ret->opening) == HF_ENTRY_OPENING_MAX && sizeof(ret->note) == AUDIT_NOTE_MAX,
                  "the header's numbers");
    struct hf_buf note = hf_buf(ret->note, sizeof(ret->note));
    struct noted noted;
    if (index >= atomic_load(&audit->next))
        return HF_FAIL(NOT_FOUND);
    TRY(take_note(audit, index + 1, &note, &noted));
    ret->index = index;
    ret->size = noted.size;
    ret->root = noted.root;
    ret->note_len = note.len;
    ret->opening_len = 0;

    struct one one = {.opener = {.audit = audit}, .inclusion = ret, .open = open_details, .result = HF_DONE};
    hf_result result = audit_read_range(audit, index, index + 1, take_one, &one);
    audit_opener_done(&one.opener);
    TRY(result);
    if (one.result.code == HF_CORRUPT)
        return audit_fault(audit, "its detail was altered", index);
    TRY(one.result);

    CLEANUP(audit_tiles_freep) struct audit_tiles *tiles = NULL;
    TRY(audit_tiles_new(audit, noted.size, &tiles));
    TRY(hf_tlog_prove_inclusion(audit_tiles_node, tiles, index, noted.size, &ret->proof));
    struct hf_tlog_hash leaf = hf_tlog_leaf(hf_cursor(ret->leaf, sizeof(ret->leaf)));
    if (!HF_IS_OK(hf_tlog_check_inclusion(index, noted.size, leaf, &ret->proof, noted.root)))
        return audit_fault(audit, "it, or what stands beside it in the tree, was altered", index);
    return HF_DONE;
}

hf_result hf_audit_prove(struct hf_audit *audit, uint64_t index, struct hf_buf *out_proof)
{
    struct hf_audit_inclusion *inclusion = calloc(1, sizeof(*inclusion));
    if (inclusion == NULL)
        return HF_FAIL(NO_MEMORY);
    hf_result result = hf_audit_include(audit, index, false, inclusion);
    if (HF_IS_OK(result))
        result = hf_tlog_proof_write(out_proof, hf_cursor(inclusion->leaf, sizeof(inclusion->leaf)), index,
                                     &inclusion->proof, hf_cursor(inclusion->note, inclusion->note_len));
    free(inclusion);
    return result;
}

hf_result hf_audit_prove_consistency(struct hf_audit *audit, uint64_t old_size, uint64_t size,
                                     struct hf_tlog_proof *ret)
{
    struct noted noted;
    if (old_size == 0 || old_size > size)
        return HF_FAIL(BAD_ARGUMENT);
    if (size > atomic_load(&audit->next))
        return HF_FAIL(NOT_FOUND);
    TRY(take_note(audit, size, NULL, &noted));
    CLEANUP(audit_tiles_freep) struct audit_tiles *tiles = NULL;
    TRY(audit_tiles_new(audit, noted.size, &tiles));
    return hf_tlog_prove_consistency(audit_tiles_node, tiles, old_size, size, ret);
}

/* ---- finding ---- */

struct finding {
    struct audit_opener opener;
    struct hf_id request_id;
    bool found;
    uint64_t index;
};

static bool find_record(void *arg, const struct audit_record *record)
{
    struct finding *f = arg;
    uint8_t bytes[HF_ENTRY_OPENING_MAX];
    struct hf_buf opening = hf_buf(bytes, sizeof(bytes));
    struct hf_entry_detail detail;
    if (HF_IS_OK(audit_open_record(&f->opener, record, &opening)) &&
        HF_IS_OK(hf_entry_opening_read(hf_buf_cursor(&opening), &detail)) &&
        memcmp(&detail.request_id, &f->request_id, sizeof(f->request_id)) == 0) { /* public ids */
        f->found = true;
        f->index = record->index;
    }
    return !f->found;
}

hf_result hf_audit_find(struct hf_audit *audit, struct hf_id request_id, uint64_t *ret_index)
{
    TRY(audit_catch_up(audit));
    struct finding f = {.opener = {.audit = audit}, .request_id = request_id};
    uint64_t end = hf_audit_size(audit), least = end > FIND_MAX ? end - FIND_MAX : 0;
    hf_result result = HF_DONE;
    while (end > least && !f.found && HF_IS_OK(result)) {
        uint64_t begin = end - least > FIND_WINDOW ? end - FIND_WINDOW : least;
        result = audit_read_range(audit, begin, end, find_record, &f);
        end = begin;
    }
    audit_opener_done(&f.opener);
    TRY(result);
    if (!f.found)
        return HF_FAIL(NOT_FOUND);
    *ret_index = f.index;
    return HF_DONE;
}

/* ---- export ---- */

struct exporting {
    struct audit_opener opener;
    struct hf_export_writer writer;
    struct hf_tlog_hash *hashes;
    uint32_t count;
    bool open;
    hf_result result;
};

static bool export_record(void *arg, const struct audit_record *record)
{
    struct exporting *e = arg;
    uint8_t bytes[HF_ENTRY_OPENING_MAX];
    struct hf_buf opening = hf_buf(bytes, sizeof(bytes));
    if (e->open) {
        e->result = audit_open_record(&e->opener, record, &opening);
        if (e->result.code == HF_NOT_FOUND)
            e->result = HF_DONE;
        if (e->result.code == HF_CORRUPT)
            e->result = audit_fault(e->opener.audit, "its detail was altered", record->index);
        if (!HF_IS_OK(e->result))
            return false;
    }
    e->hashes[e->count++] = hf_tlog_leaf(record->leaf);
    hf_export_entry(&e->writer, record->index, record->leaf.at, hf_buf_cursor(&opening));
    return true;
}

static hf_result export_section(struct hf_audit *audit, struct exporting *e, struct audit_tiles *tiles,
                                uint64_t from, uint64_t end, struct hf_buf *out)
{
    struct hf_tlog_frontier before = {0};
    TRY(audit_tiles_frontier(tiles, from, &before));
    e->count = 0;
    hf_export_begin(&e->writer, out, hf_cursor_text(audit->config.origin), &before);
    TRY(audit_read_range(audit, from, end, export_record, e));
    TRY(e->result);
    hf_export_end(&e->writer, e->hashes, e->count);
    return hf_buf_ok(out);
}

hf_result hf_audit_export(struct hf_audit *audit, uint64_t from, uint64_t until, uint32_t limit,
                          bool open_details, struct hf_buf *out, uint64_t *ret_next)
{
    struct noted noted;
    TRY(take_note(audit, 0, NULL, &noted));
    uint64_t end = HF_MIN(until, noted.size);
    if (from > end)
        return HF_FAIL(BAD_ARGUMENT);
    end = HF_MIN(end, from + HF_MIN(limit, (uint32_t)HF_EXPORT_SECTION_MAX));
    CLEANUP(audit_tiles_freep) struct audit_tiles *tiles = NULL;
    TRY(audit_tiles_new(audit, noted.size, &tiles));
    struct exporting e = {.opener = {.audit = audit}, .open = open_details, .result = HF_DONE};
    e.hashes = calloc(HF_EXPORT_SECTION, sizeof(e.hashes[0]));
    if (e.hashes == NULL)
        return HF_FAIL(NO_MEMORY);
    hf_result result;
    do { /* an empty one where there is nothing */
        uint64_t to = HF_MIN(end, (from / HF_EXPORT_SECTION + 1) * HF_EXPORT_SECTION);
        result = export_section(audit, &e, tiles, from, to, out);
        from = to;
    } while (HF_IS_OK(result) && from < end);
    audit_opener_done(&e.opener);
    free(e.hashes);
    TRY(result);
    *ret_next = end;
    return HF_DONE;
}

/* ---- tiles ---- */

static bool bundle_record(void *arg, const struct audit_record *record)
{
    hf_buf_vec16(arg, record->leaf);
    return true;
}

hf_result hf_audit_tile(struct hf_audit *audit, struct hf_cursor path, struct hf_buf *out)
{
    int level;
    uint64_t tile;
    unsigned width;
    struct noted noted;
    TRY(hf_tlog_tile_parse(path, &level, &tile, &width));
    TRY(take_note(audit, 0, NULL, &noted));
    unsigned row = level < 0 ? 0 : (unsigned)level;
    uint64_t there = row < AUDIT_LEVELS ? noted.size >> (8 * row) : 0;
    if (tile > there / AUDIT_TILE || there - tile * AUDIT_TILE < width)
        return HF_FAIL(NOT_FOUND);
    if (level < 0) {
        TRY(audit_read_range(audit, tile * AUDIT_TILE, tile * AUDIT_TILE + width, bundle_record, out));
        return hf_buf_ok(out);
    }
    CLEANUP(audit_tiles_freep) struct audit_tiles *tiles = NULL;
    const struct hf_tlog_hash *hashes;
    TRY(audit_tiles_new(audit, noted.size, &tiles));
    TRY(audit_tiles_row(tiles, row, tile, width, &hashes));
    hf_buf_put(out, hashes, (size_t)width * HF_TLOG_HASH);
    return hf_buf_ok(out);
}
