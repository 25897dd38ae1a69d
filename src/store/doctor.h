/* Checks a database file offline, without keys: that it is sound as a file, that its schema is ours, and that what
 * stands in clear fits together: feeds without gaps up to their heads, rows as the feed has them, audit batches one
 * after another. What only the seals can tell is checked by hf_records_check while unsealed. */
#ifndef HF_STORE_DOCTOR_H
#define HF_STORE_DOCTOR_H

#include "store/store.h"

struct hf_doctor_report {
    uint32_t schema;
    uint64_t bytes, rows, changes, audit_logs, audit_batches, audit_leaves;
    uint64_t
        audit_unsettled; /* gaps behind the last signed head: a crash leaves them, the next start fills them */
    uint64_t faults;
};
/* bad() is called for each fault found, with a text for people. OK: it was checked, sound or not. Changes nothing.
 * Fails: NOT_FOUND, STORE_BUSY (a server runs on it: ask that one), CORRUPT (cannot be read at all; bad() was called),
 * UNSUPPORTED (schema of a later version), STORE_DOWN, NO_MEMORY. */
hf_result hf_doctor_run(const char *path, void (*bad)(void *arg, const char *what), void *arg,
                        struct hf_doctor_report *ret_report);

#endif
