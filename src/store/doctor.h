/* Checks a database file offline, without keys: that it is sound as a file, that its schema is ours, and that what
 * stands in clear fits together: feeds without gaps up to their heads, rows as the feed has them, audit batches one
 * after another. What only the seals can tell is checked by hf_records_check while unsealed. */
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
        audit_unsettled; /* gaps behind the last signed head: a crash leaves them, the next start fills them */
    uint64_t bad;        /* findings that were */
};
/* finding() is called for each fault found, and once for each check that found none. OK: it was checked, sound or not.
 * Changes nothing. Fails: NOT_FOUND, STORE_BUSY (a server runs on it: ask that one), CORRUPT (cannot be read at all;
 * finding() was called), UNSUPPORTED (schema of another version), STORE_DOWN, NO_MEMORY. */
hf_result hf_doctor_run(const char *path, hf_doctor_fn finding, void *arg,
                        struct hf_doctor_summary *ret_summary);

#endif
