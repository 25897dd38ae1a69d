/* Records: what the core keeps in the store, sealed and fresh. A record's plaintext is sealed by XAES-256-GCM
 * with (table, id, rev, clear columns) as associated data. Every write appends to the change feed of its shard,
 * a Merkle log whose head is sealed; at unseal the whole feed is replayed, so that a swapped, altered, older,
 * missing or added record is found at load and named. Thread-safe. */
#ifndef HF_RECORDS_RECORDS_H
#define HF_RECORDS_RECORDS_H

#include "base/clock.h"
#include "crypto/aead.h"
#include "store/store.h"

enum hf_table {                       /* stored numbers */
                HF_TABLE_SEAL = 1,    /* seal configuration; not through records: readable while sealed */
                HF_TABLE_KEYRING = 2, /* sealed under the root; see seal/ */
                HF_TABLE_NAMESPACE = 3,
                HF_TABLE_MOUNT = 4,
                HF_TABLE_KEY = 5,
                HF_TABLE_POLICY = 6,
                HF_TABLE_TOKEN = 7,
                HF_TABLE_ACCESSOR = 8,
                HF_TABLE_ROLE = 9, /* approle roles, token roles, cert roles: name has the kind before it */
                HF_TABLE_SECRET_ID = 10,
                HF_TABLE_KV = 11,
                HF_TABLE_CONFIG = 12,
                HF_TABLE_OPERATOR = 13,
                HF_TABLE_APPROVAL = 14,
                HF_TABLE_KEEPER = 15,
                HF_TABLE_IDENTITY = 16,
                HF_TABLE_ROTATION = 17,
                HF_TABLE_ASSET = 18,
                HF_TABLE_ALERT = 19,
                HF_TABLE_SESSION_POLICY = 20,
                HF_TABLE_END = 64,
};
const char *hf_table_name(enum hf_table table);

struct hf_records;
/* Takes: store, borrowed; record_key, index_key (32 bytes each), copied. Replays the feed. Fails: CORRUPT with
 * hf_records_fault() saying which record or shard; STORE_*. */
hf_result hf_records_open(struct hf_store *store, const struct hf_secret *record_key,
                          const struct hf_secret *index_key, const struct hf_clock *clock,
                          struct hf_records **ret_records);
void hf_records_close(struct hf_records *records); /* wipes; NULL allowed */
struct hf_store *hf_records_store(struct hf_records *records);
/* Description of the last CORRUPT on this thread: "key 0190…: older revision 3, expected 5". Static per thread. */
const char *hf_records_fault(void);

/* The id of a named record: HMAC-SHA-256(index_key, table, ns, name) cut to 16 bytes. */
struct hf_id hf_record_id(const struct hf_records *records, enum hf_table table, struct hf_cursor ns,
                          struct hf_cursor name);

struct hf_record {
    struct hf_id id;
    uint64_t rev;
    uint8_t state;
    int64_t due_ns;
    char name[HF_STORE_NAME_MAX];
    size_t name_len;
    struct hf_cursor plain; /* in arena memory, owned by the record */
    void *memory;           /* private */
};
/* Fails: NOT_FOUND (and proven by the feed: a row that someone removed is CORRUPT), CORRUPT, STORE_*. */
hf_result hf_record_load(struct hf_records *records, enum hf_table table, struct hf_id id,
                         struct hf_record *ret_record);
void hf_record_done(struct hf_record *record); /* wipes and frees; for CLEANUP */
/* Whether it exists, and its revision, from memory: no store statement. */
bool hf_record_exists(struct hf_records *records, enum hf_table table, struct hf_id id, uint64_t *ret_rev);
/* Names in order, after `after`, at most limit; checked against the feed. */
hf_result hf_record_names(struct hf_records *records, enum hf_table table, struct hf_cursor ns,
                          struct hf_cursor prefix, struct hf_cursor after, uint32_t limit,
                          bool (*each)(void *arg, struct hf_cursor name, struct hf_id id), void *arg);
/* Loads every record of a table in turn (mounts, policies at unseal; due ones by time). */
hf_result hf_record_each(struct hf_records *records, enum hf_table table,
                         bool (*each)(void *arg, const struct hf_record *record), void *arg);

struct hf_txn; /* writes that commit together */
hf_result hf_txn_begin(struct hf_records *records, struct hf_txn **ret_txn);
/* expect_rev 0: create. plain, name are copied. */
hf_result hf_txn_put(struct hf_txn *txn, enum hf_table table, struct hf_id id, uint64_t expect_rev,
                     struct hf_cursor ns, struct hf_cursor name, uint8_t state, int64_t due_ns,
                     struct hf_cursor plain);
hf_result hf_txn_delete(struct hf_txn *txn, enum hf_table table, struct hf_id id, uint64_t expect_rev);
/* Any other operation of the store: once, reserve, audit leaf. Its cursors must live till commit. At most 48 records
 * and 16 of these in a transaction. */
hf_result hf_txn_add(struct hf_txn *txn, const struct hf_store_op *op);
/* Durable when OK. CONFLICT: nothing written (also when expect_rev is not the feed's); failed_op of the outcome is
 * then the number of the operation that hf_txn_add was given, from 0, or UINT32_MAX where a record was in the way. On
 * COMMIT_UNKNOWN it asks the store again for up to 10 s before giving up. Frees nothing: release with hf_txn_freep. */
hf_result hf_txn_commit(struct hf_txn *txn, struct hf_store_outcome *ret_outcome);
void hf_txn_freep(struct hf_txn **txn);

struct hf_records_stats {
    uint64_t count, feed_size, bytes_in_memory, corrupt_found;
};
void hf_records_stats(struct hf_records *records, struct hf_records_stats *ret_stats);
/* Opens every record there is and holds it against the feed; bad() is called for each fault, with the text that
 * hf_records_fault would give. Runs beside everything else. Fails: STORE_*, NO_MEMORY. */
hf_result hf_records_check(struct hf_records *records, void (*bad)(void *arg, const char *what), void *arg,
                           uint64_t *ret_checked);
/* A position that grows with every committed change here (X-Vault-Index), and is as far after closing and opening:
 * how many changes the feeds hold. */
uint64_t hf_records_position(struct hf_records *records);
/* How many entries the audit log had, at least, when the changes that are here were committed: where it has fewer, it
 * was set back. 0: no change came with an entry of that log. */
uint64_t hf_records_audit_least(struct hf_records *records, struct hf_id log);

#endif
