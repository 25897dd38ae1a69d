/* Checks a database file offline, without keys: that it is sound as a file; that its schema is ours; that the seal's
 * rows are there and have their form; that feeds have no gaps up to their heads; that each row is the one that the feed
 * has (revision, seal's tag, namespace, digest of all of it); that audit batches have their form, follow one another and
 * give the tree's nodes that are stored; that records are not older than the log. All of that is in clear: who alters a
 * row and the feed, or the leaves and the nodes, is found by the seals alone, when the server unseals.
 * hf_doctor_unchecked says what that leaves. */
#ifndef HF_STORE_DOCTOR_H
#define HF_STORE_DOCTOR_H

#include "store/store.h"

struct hf_doctor_finding {
    bool bad;
    const char *text; /* for people */
};
typedef void (*hf_doctor_fn)(void *arg, const struct hf_doctor_finding *finding);

struct hf_doctor_summary {
    uint32_t schema;
    uint64_t bytes, rows, changes, audit_logs, audit_batches, audit_leaves;
    uint64_t
        rows_undigested; /* rows of before the feed had digests: tag, revision and namespace were compared */
    uint64_t audit_nodes, audit_proven; /* stored nodes that were compared, and the entries below them */
    uint64_t
        audit_unsettled; /* gaps behind the last signed head: a crash leaves them, the next start fills them */
    uint64_t bad;        /* findings that were */
};
/* finding() is called for each fault found, and once for each check that found none. OK: it was checked, sound or not.
 * Changes nothing. Fails: NOT_FOUND, STORE_BUSY (a server runs on it: ask that one), CORRUPT (cannot be read at all;
 * finding() was called), UNSUPPORTED (schema of another version), STORE_DOWN, NO_MEMORY. */
hf_result hf_doctor_run(const char *path, hf_doctor_fn finding, void *arg,
                        struct hf_doctor_summary *ret_summary);
/* The n-th thing that no check without keys can find, for people; NULL after the last. */
const char *hf_doctor_unchecked(size_t n);

#endif
