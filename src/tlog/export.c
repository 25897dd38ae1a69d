#include "tlog/export.h"

#include <stdlib.h>

static const char magic[8] = {'H', 'F', 'A', 'U', 'D', 'I', 'T', '1'};
enum { ENTRY_LEAST = 8 + HF_ENTRY_LEAF + 2 };

/* ---- writing ------------------------------------------------------------------------------------------- */

void hf_export_begin(struct hf_export_writer *w, struct hf_buf *out, struct hf_cursor origin,
                     const struct hf_tlog_frontier *before)
{
    hf_buf_put(out, magic, sizeof(magic));
    hf_buf_vec16(out, origin);
    *w = (struct hf_export_writer){.out = out, .counts = out->len};
    hf_buf_u32(out, 0);
    hf_buf_u32(out, 0);
    hf_tlog_frontier_write(out, before);
}

void hf_export_entry(struct hf_export_writer *w, uint64_t index, const uint8_t leaf[static HF_ENTRY_LEAF],
                     struct hf_cursor opening)
{
    hf_buf_u64(w->out, index);
    hf_buf_put(w->out, leaf, HF_ENTRY_LEAF);
    hf_buf_vec16(w->out, opening);
    w->entries++;
}

void hf_export_end(struct hf_export_writer *w, const struct hf_tlog_hash *hashes, uint32_t count)
{
    hf_buf_put(w->out, hashes, (size_t)count * HF_TLOG_HASH);
    if (w->out->overflow)
        return;
    hf_store_u32(w->out->at + w->counts, w->entries);
    hf_store_u32(w->out->at + w->counts + 4, count);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

void hf_export_open(struct hf_export_reader *reader, struct hf_cursor export_bytes)
{
    memset(reader, 0, sizeof(*reader));
    reader->rest = export_bytes;
}

static bool take_entry(struct hf_cursor *in, struct hf_export_entry *ret)
{
    return hf_cursor_u64(in, &ret->index) && hf_cursor_take(in, HF_ENTRY_LEAF, &ret->bytes) &&
           hf_cursor_vec16(in, &ret->opening);
}

hf_result hf_export_section(struct hf_export_reader *reader, bool *ret_more)
{
    struct hf_cursor in = reader->rest, head, origin;
    *ret_more = in.left != 0;
    if (in.left == 0)
        return HF_DONE;
    if (!hf_cursor_take(&in, sizeof(magic), &head))
        return HF_FAIL(TRUNCATED);
    if (memcmp(head.at, magic, sizeof(magic)) != 0) /* public format */
        return HF_FAIL(BAD_ARGUMENT);
    uint32_t entries, hashes;
    struct hf_tlog_frontier before;
    if (!hf_cursor_vec16(&in, &origin) || !hf_cursor_u32(&in, &entries) || !hf_cursor_u32(&in, &hashes))
        return HF_FAIL(TRUNCATED);
    if (entries > HF_EXPORT_SECTION_MAX || hashes > HF_EXPORT_SECTION_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_tlog_frontier_read(&in, &before));
    if (before.size > UINT64_MAX - HF_EXPORT_SECTION_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_cursor begin = in;
    struct hf_export_entry skipped;
    for (uint32_t i = 0; i < entries; i++) {
        if (!take_entry(&in, &skipped))
            return HF_FAIL(TRUNCATED);
    }
    reader->entries = hf_cursor(begin.at, begin.left - in.left);
    if (!hf_cursor_take(&in, (size_t)hashes * HF_TLOG_HASH, &reader->hashes))
        return HF_FAIL(TRUNCATED);
    reader->origin = origin;
    reader->before = before;
    reader->entries_left = entries;
    reader->hashes_left = hashes;
    reader->rest = in;
    return HF_DONE;
}

bool hf_export_next(struct hf_export_reader *reader, struct hf_export_entry *ret_entry)
{
    if (reader->entries_left == 0 || !take_entry(&reader->entries, ret_entry))
        return false;
    reader->entries_left--;
    return true;
}

bool hf_export_next_hash(struct hf_export_reader *reader, struct hf_tlog_hash *ret_hash)
{
    if (reader->hashes_left == 0 || !hf_cursor_copy(&reader->hashes, ret_hash->bytes, HF_TLOG_HASH))
        return false;
    reader->hashes_left--;
    return true;
}

/* ---- verifying ----------------------------------------------------------------------------------------- */

static bool same_hash(const struct hf_tlog_hash *a, const struct hf_tlog_hash *b)
{
    return memcmp(a->bytes, b->bytes, HF_TLOG_HASH) == 0; /* public hashes */
}

static bool same_frontier(const struct hf_tlog_frontier *a, const struct hf_tlog_frontier *b)
{
    size_t bytes = (size_t)__builtin_popcountll(a->size) * HF_TLOG_HASH;
    return a->size == b->size && memcmp(a->nodes, b->nodes, bytes) == 0; /* public hashes */
}

static bool opening_holds(const struct hf_export_entry *entry)
{
    struct hf_entry_leaf leaf;
    return entry->opening.left == 0 || (HF_IS_OK(hf_entry_leaf_read(entry->bytes, &leaf)) &&
                                        HF_IS_OK(hf_entry_opening_check(&leaf, entry->opening)));
}

static void found(struct hf_export_verdict *v, enum hf_finding what, uint64_t index, uint64_t count)
{
    if (what == HF_FOUND_NUMBER && v->count != 0 && v->count <= HF_EXPORT_FINDINGS_MAX) {
        struct hf_export_finding *last = &v->findings[v->count - 1];
        if (last->what == what &&
            last->index + last->count == index) { /* where one has moved, all after it have */
            last->count += count;
            return;
        }
    }
    if (v->count < HF_EXPORT_FINDINGS_MAX)
        v->findings[v->count] = (struct hf_export_finding){what, index, count};
    v->count++;
}

struct pass { /* over the whole export, entry by entry */
    struct hf_tlog_frontier entries;
    uint64_t next; /* place of the next entry */
    bool clean;    /* numbers, hashes, frontiers and openings all agree */
    bool begun;
};

static hf_result pass_section(struct pass *pass, struct hf_export_reader *reader,
                              const struct hf_tlog_checkpoint *cp, struct hf_export_verdict *v)
{
    if (!hf_cursor_same(reader->origin, cp->origin))
        return HF_FAIL(BAD_ARGUMENT);
    if (!pass->begun) {
        pass->begun = true;
        pass->entries = reader->before;
        pass->next = v->first = reader->before.size;
        if (v->first > cp->size)
            return HF_FAIL(BAD_ARGUMENT);
    } else if (pass->next <= cp->size && !same_frontier(&pass->entries, &reader->before)) {
        pass->clean = false;
    }
    if (reader->entries_left != reader->hashes_left)
        pass->clean = false;
    struct hf_export_entry entry;
    struct hf_tlog_hash recorded;
    while (hf_export_next(reader, &entry)) {
        struct hf_tlog_hash hash = hf_tlog_leaf(entry.bytes);
        if (pass->next < cp->size) {
            hf_tlog_append(&pass->entries, hash);
            v->covered++;
        }
        if (!hf_export_next_hash(reader, &recorded) || !same_hash(&hash, &recorded) ||
            entry.index != pass->next || !opening_holds(&entry))
            pass->clean = false;
        v->opened += entry.opening.left != 0;
        v->entries++;
        pass->next++;
    }
    return HF_DONE;
}

/* ---- saying what is wrong: slow, only where something is ---- */

struct section {
    uint64_t first, expected; /* places [first, expected) are what it should hold */
    uint32_t entries, hashes;
    struct hf_tlog_frontier before;
    struct hf_tlog_hash entry[HF_EXPORT_SECTION_MAX];
    struct hf_tlog_hash hash[HF_EXPORT_SECTION_MAX];
    uint64_t number[HF_EXPORT_SECTION_MAX];
    bool opens[HF_EXPORT_SECTION_MAX];
};

static void load_section(struct section *s, struct hf_export_reader *reader)
{
    struct hf_export_entry entry;
    s->before = reader->before;
    s->first = reader->before.size;
    s->entries = s->hashes = 0;
    while (hf_export_next(reader, &entry)) {
        s->entry[s->entries] = hf_tlog_leaf(entry.bytes);
        s->number[s->entries] = entry.index;
        s->opens[s->entries] = opening_holds(&entry);
        s->entries++;
    }
    while (hf_export_next_hash(reader, &s->hash[s->hashes]))
        s->hashes++;
}

/* Whether hashes in order lead from the section's begin to what is known of its end. */
static bool leads_to(const struct section *s, const struct hf_tlog_hash *hashes, uint32_t count,
                     const struct hf_tlog_checkpoint *cp, const struct hf_tlog_frontier *next)
{
    struct hf_tlog_frontier frontier = s->before;
    for (uint32_t i = 0; i < count && frontier.size < cp->size; i++)
        hf_tlog_append(&frontier, hashes[i]);
    if (next != NULL && next->size <= cp->size)
        return same_frontier(&frontier, next);
    struct hf_tlog_hash root = hf_tlog_root(&frontier);
    return frontier.size == cp->size && same_hash(&root, &cp->root);
}

enum { ALIGN_WINDOW = 64 };

static bool swapped_before(const struct section *s, uint32_t i, uint32_t j)
{
    for (uint32_t d = 1; d <= ALIGN_WINDOW && d <= i && d <= j; d++) {
        if (same_hash(&s->entry[i], &s->hash[j - d]) && same_hash(&s->entry[i - d], &s->hash[j]))
            return true;
    }
    return false;
}

/* Entries against recorded hashes: names what was altered, removed, added, swapped. Gives how many. */
static uint32_t align(const struct section *s, struct hf_export_verdict *v)
{
    uint32_t i = 0, j = 0, before = v->count;
    while (i < s->entries && j < s->hashes) {
        uint64_t place = s->first + j;
        if (same_hash(&s->entry[i], &s->hash[j])) {
            if (!s->opens[i])
                found(v, HF_FOUND_DETAIL, place, 1);
            i++, j++;
            continue;
        }
        uint32_t removed = 0, added = 0;
        for (uint32_t d = 1; d <= ALIGN_WINDOW && (removed == 0 || added == 0); d++) {
            if (removed == 0 && j + d < s->hashes && same_hash(&s->entry[i], &s->hash[j + d]))
                removed = d;
            if (added == 0 && i + d < s->entries && same_hash(&s->entry[i + d], &s->hash[j]))
                added = d;
        }
        if (removed != 0 && removed == added) {
            found(v, HF_FOUND_SWAPPED, place, removed);
            i++, j++;
        } else if (removed != 0 && (added == 0 || removed < added)) {
            found(v, HF_FOUND_REMOVED, place, removed);
            j += removed;
        } else if (added != 0) {
            found(v, HF_FOUND_ADDED, place, added);
            i += added;
        } else {
            if (!swapped_before(s, i, j))
                found(v, HF_FOUND_ALTERED, place, 1);
            i++, j++;
        }
    }
    if (j < s->hashes)
        found(v, HF_FOUND_REMOVED, s->first + j, s->hashes - j);
    if (i < s->entries)
        found(v, HF_FOUND_ADDED, s->first + s->hashes, s->entries - i);
    return v->count - before;
}

/* The entries of the section hold: what beside them does not? */
static void diagnose_beside(const struct section *s, struct hf_export_verdict *v)
{
    for (uint32_t i = 0; i < s->entries; i++) {
        if (s->number[i] != s->first + i)
            found(v, HF_FOUND_NUMBER, s->first + i, 1);
        if (i >= s->hashes || !same_hash(&s->entry[i], &s->hash[i]))
            found(v, HF_FOUND_HASH, s->first + i, 1);
        if (!s->opens[i])
            found(v, HF_FOUND_DETAIL, s->first + i, 1);
    }
    if (s->hashes > s->entries)
        found(v, HF_FOUND_HASH, s->first + s->entries, s->hashes - s->entries);
}

/* believed: the recorded hashes of this section and all after it lead to the checkpoint, so that they are what was
 * logged. Else nothing in the export says which entry it was, its numbers least of all. */
static void diagnose_section(const struct section *s, const struct hf_tlog_checkpoint *cp,
                             const struct hf_tlog_frontier *next, bool root_holds, bool believed,
                             struct hf_export_verdict *v)
{
    if (root_holds || leads_to(s, s->entry, s->entries, cp, next)) {
        diagnose_beside(s, v);
        return;
    }
    if (!believed || align(s, v) == 0)
        found(v, HF_FOUND_SOMEWHERE, s->first, s->expected - s->first);
}

/* The number of the first section from which on entries or recorded hashes lead to the checkpoint. */
static hf_result find_believed(struct hf_cursor export_bytes, const struct hf_tlog_checkpoint *cp,
                               struct section *s, uint64_t *ret_number)
{
    struct hf_export_reader reader, ahead;
    bool more, next_there;
    hf_export_open(&reader, export_bytes);
    *ret_number = 0;
    TRY(hf_export_section(&reader, &more));
    for (uint64_t number = 0; more; number++) {
        ahead = reader;
        TRY(hf_export_section(&ahead, &next_there));
        const struct hf_tlog_frontier *next = next_there ? &ahead.before : NULL;
        load_section(s, &reader);
        if (!leads_to(s, s->hash, s->hashes, cp, next) && !leads_to(s, s->entry, s->entries, cp, next))
            *ret_number = number + 1;
        reader = ahead;
        more = next_there;
    }
    return HF_DONE;
}

static hf_result diagnose(struct hf_cursor export_bytes, const struct hf_tlog_checkpoint *cp, bool root_holds,
                          struct hf_export_verdict *v)
{
    struct section *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_export_reader reader, ahead;
    struct hf_tlog_frontier running = {0};
    bool more = true, next_there, begun = false;
    uint64_t believed_from, number = 0;
    hf_export_open(&reader, export_bytes);
    hf_result result = find_believed(export_bytes, cp, s, &believed_from);
    if (HF_IS_OK(result))
        result = hf_export_section(&reader, &more);
    for (; HF_IS_OK(result) && more; number++) {
        ahead = reader;
        result = hf_export_section(&ahead, &next_there);
        if (!HF_IS_OK(result))
            break;
        load_section(s, &reader);
        uint64_t end = s->first + s->hashes;
        s->expected = HF_MAX(s->first, next_there ? ahead.before.size : HF_MAX(cp->size, end));
        if (root_holds) { /* the places are counted, not believed */
            if (begun && !same_frontier(&running, &s->before) && running.size < cp->size)
                found(v, HF_FOUND_BEFORE, running.size, 1);
            if (begun) {
                s->before = running;
                s->first = running.size;
            }
            running = s->before;
            for (uint32_t i = 0; i < s->entries; i++)
                hf_tlog_append(&running, s->entry[i]);
        }
        begun = true;
        diagnose_section(s, cp, next_there ? &ahead.before : NULL, root_holds, number >= believed_from, v);
        reader = ahead;
        more = next_there;
    }
    free(s);
    return result;
}

hf_result hf_export_verify(struct hf_cursor export_bytes, struct hf_cursor checkpoint_note,
                           const struct hf_tlog_signer *keys, struct hf_export_verdict *ret_verdict)
{
    struct hf_tlog_checkpoint cp;
    TRY(hf_tlog_checkpoint_open(checkpoint_note, keys, &cp));
    struct hf_export_verdict v = {.checkpoint_size = cp.size};
    struct pass pass = {.clean = true};
    struct hf_export_reader reader;
    hf_export_open(&reader, export_bytes);
    for (;;) {
        bool more;
        TRY(hf_export_section(&reader, &more));
        if (!more)
            break;
        TRY(pass_section(&pass, &reader, &cp, &v));
    }
    if (!pass.begun && cp.size != 0) { /* nothing at all is here */
        found(&v, HF_FOUND_REMOVED, 0, cp.size);
        *ret_verdict = v;
        return HF_DONE;
    }
    struct hf_tlog_hash root = hf_tlog_root(&pass.entries);
    bool root_holds = pass.entries.size == cp.size && same_hash(&root, &cp.root);
    v.ok = root_holds && pass.clean;
    if (!v.ok) {
        TRY(diagnose(export_bytes, &cp, root_holds, &v));
        if (v.count == 0)
            found(&v, v.first != 0 ? HF_FOUND_BEFORE : HF_FOUND_SOMEWHERE, v.first, cp.size - v.first);
    }
    *ret_verdict = v;
    return HF_DONE;
}

void hf_export_finding_text(struct hf_buf *out, const struct hf_export_finding *f)
{
    static const struct {
        const char *before, *after;
    } words[] = {
        [HF_FOUND_ALTERED] = {"entry ", " was altered"},
        [HF_FOUND_REMOVED] = {"entry ", " was removed"},
        [HF_FOUND_ADDED] = {"before entry ", " something was put in that was never logged"},
        [HF_FOUND_SWAPPED] = {"entry ", " changed places with entry "},
        [HF_FOUND_DETAIL] = {"entry ", " was logged, but the detail shown with it was altered"},
        [HF_FOUND_HASH] = {"entry ", " holds, but the hash recorded for it was altered"},
        [HF_FOUND_NUMBER] = {"entry ", " holds, but bears another number"},
        [HF_FOUND_SOMEWHERE] = {"one or more entries from ",
                                " were altered, removed or put in, up to entry "},
        [HF_FOUND_BEFORE] = {"what stands for the entries before ", " was altered"},
    };
    if ((unsigned)f->what >= HF_ARRAY_LEN(words))
        return;
    bool range = (f->what == HF_FOUND_REMOVED || f->what == HF_FOUND_NUMBER) && f->count > 1;
    hf_buf_text(out, range ? "entries " : words[f->what].before);
    hf_buf_decimal(out, f->index);
    if (range) {
        hf_buf_text(out, " to ");
        hf_buf_decimal(out, f->index + f->count - 1);
    }
    hf_buf_text(out, !range                        ? words[f->what].after
                     : f->what == HF_FOUND_REMOVED ? " were removed"
                                                   : " hold, but bear other numbers");
    if (f->what == HF_FOUND_SWAPPED)
        hf_buf_decimal(out, f->index + f->count);
    if (f->what == HF_FOUND_SOMEWHERE) {
        hf_buf_decimal(out, f->index + f->count - (f->count != 0));
        if (f->index != 0)
            hf_buf_text(out, "; or earlier ones, if the frontiers were rewritten too");
    }
}
