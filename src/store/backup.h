/* Backup and restore: one stream, the same for every engine.
 *
 *   "HOLDFAST BACKUP 1\n"
 *   then rows:  table u8 | count of columns u8 | columns: 'i' u64, or 'b' u32 length and bytes
 *   then:       0x00 | count of rows u64 | SHA-256 of all before the digest
 *
 * Nothing in it opens without the root key. The digest finds damage; malice is found at unseal, by the seals. */
#ifndef HF_STORE_BACKUP_H
#define HF_STORE_BACKUP_H

#include "store/store.h"

/* Takes: path of a database that a running server may have open; to_fd borrowed. progress may be NULL; all is an
 * estimate. Fails: NOT_FOUND, CORRUPT, STORE_*, SYSTEM (to_fd takes no more). */
hf_result hf_backup_file(const char *path, int to_fd,
                         void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg);
/* Whether the file at path begins as a backup does. */
bool hf_backup_is(const char *path);
/* Sink that writes to the descriptor that arg points to (int *). */
hf_result hf_backup_to_fd(void *arg, struct hf_cursor bytes);

struct hf_restored {
    uint64_t rows, bytes;
};
/* Makes a new database at path from a stream: under a name beside it first, so that path is whole or not there.
 * Fails: EXISTS (a file is there: it is never replaced), TRUNCATED, CORRUPT (digest or form), UNSUPPORTED (later
 * version), STORE_*. */
hf_result hf_restore_file(int from_fd, const char *path, struct hf_restored *ret_restored);

#endif
