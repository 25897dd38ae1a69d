/* An audit log in a file, for verifying it without the server (docs/audit.md, "Export").
 *
 *   export  = section...       in order, without gaps; what the server gives page by page, put together
 *   section = "HFAUDIT1" | origin vec16 | entries u32 | hashes u32 | frontier before it (size u64, nodes)
 *             | entry...  = index u64 | leaf 41 | opening vec16 (empty: not shown)
 *             | hash...   = leaf hash as the log recorded it, 32
 *
 * A section that the server makes ends where an index is a multiple of 256, or the answer ends: what was rewritten with
 * its hashes is placed so closely. Up to 8192 are read.
 *
 * The hashes say nothing that the entries do not; they and the frontiers are there to show which entry it is
 * when something was changed. Only the checkpoint's signatures are trusted. */
#ifndef HF_TLOG_EXPORT_H
#define HF_TLOG_EXPORT_H

#include "tlog/entry.h"

enum { HF_EXPORT_SECTION = 256, HF_EXPORT_SECTION_MAX = 8192, HF_EXPORT_FINDINGS_MAX = 16 };

/* ---- writing: begin, entry..., end ---- */
struct hf_export_writer {
    struct hf_buf *out;
    size_t counts; /* where they stand */
    uint32_t entries;
};
void hf_export_begin(struct hf_export_writer *w, struct hf_buf *out, struct hf_cursor origin,
                     const struct hf_tlog_frontier *before);
void hf_export_entry(struct hf_export_writer *w, uint64_t index, const uint8_t leaf[static HF_ENTRY_LEAF],
                     struct hf_cursor opening);
/* hashes: of the entries written. */
void hf_export_end(struct hf_export_writer *w, const struct hf_tlog_hash *hashes, uint32_t count);

/* ---- reading ---- */
struct hf_export_reader {
    struct hf_cursor rest; /* sections not yet begun */
    struct hf_cursor origin;
    struct hf_tlog_frontier before;
    struct hf_cursor entries, hashes; /* of the section, not yet taken */
    uint32_t entries_left, hashes_left;
};
struct hf_export_entry {
    uint64_t index;
    struct hf_cursor bytes; /* the leaf */
    struct hf_cursor opening;
};
void hf_export_open(struct hf_export_reader *reader, struct hf_cursor export_bytes);
/* Begins the next section; ret_more false at the end. Fails: TRUNCATED, BAD_ARGUMENT (no export). */
hf_result hf_export_section(struct hf_export_reader *reader, bool *ret_more);
/* The section's next entry and hash; false when there is none left. */
bool hf_export_next(struct hf_export_reader *reader, struct hf_export_entry *ret_entry);
bool hf_export_next_hash(struct hf_export_reader *reader, struct hf_tlog_hash *ret_hash);

/* ---- verifying ---- */
enum hf_finding {
    HF_FOUND_ALTERED, /* the entry's leaf is not what was logged */
    HF_FOUND_REMOVED, /* entries that were logged are not here: [index, index + count) */
    HF_FOUND_ADDED,   /* an entry that was never logged stands before `index` */
    HF_FOUND_SWAPPED, /* entry `index` and another changed places */
    HF_FOUND_DETAIL,  /* the leaf holds, but the opened detail beside it is another */
    HF_FOUND_HASH,    /* the recorded hash was altered; the entry itself holds */
    HF_FOUND_NUMBER,  /* entries [index, index + count) bear other numbers than their places */
    HF_FOUND_SOMEWHERE, /* entries and hashes were both rewritten: one or more of [index, index + count), or earlier
                           ones where the frontier before `index` was rewritten as well */
    HF_FOUND_BEFORE, /* what the export says of the entries before its first one does not hold */
};
struct hf_export_finding {
    enum hf_finding what;
    uint64_t index, count;
};
struct hf_export_verdict {
    bool ok;
    uint64_t first, entries; /* in the export */
    uint64_t covered;        /* of them, by the checkpoint */
    uint64_t opened;         /* of them, with a detail that was checked */
    uint64_t checkpoint_size;
    uint32_t count; /* of findings; more than fit are counted only */
    struct hf_export_finding findings[HF_EXPORT_FINDINGS_MAX];
};
/* Checks the checkpoint's signatures, and each entry against it. A log that does not hold gives OK and a verdict
 * with findings. Fails: BAD_SIGNATURE (the checkpoint's signatures do not hold), TRUNCATED and BAD_ARGUMENT (no
 * export, or cut inside an entry; another log's). Over 1,000,000 entries/s. */
hf_result hf_export_verify(struct hf_cursor export_bytes, struct hf_cursor checkpoint_note,
                           const struct hf_tlog_signer *keys, struct hf_export_verdict *ret_verdict);
/* Makes the .tlog-proof of one entry from an export and a checkpoint alone, its leaf as `extra`; the export must reach
 * to the checkpoint's size. Fails: BAD_SIGNATURE (the checkpoint's signatures do not hold, or the entry is not in the
 * log: verify says why), NOT_FOUND (no such entry in the export), TRUNCATED, BAD_ARGUMENT, NO_MEMORY. */
hf_result hf_export_prove(struct hf_cursor export_bytes, struct hf_cursor checkpoint_note,
                          const struct hf_tlog_signer *keys, uint64_t index, struct hf_buf *out_proof);
/* "entry 17 was altered" */
void hf_export_finding_text(struct hf_buf *out, const struct hf_export_finding *finding);

#endif
