/* What an audit leaf and its detail are in bytes (docs/audit.md). Pure.
 *
 *   leaf, public:  kind u8 | time_ms u64 | commitment 32
 *   opening:       salt 16 | detail            commitment = SHA-256(opening)
 *
 * The leaf says only when. The salt keeps the commitment from being guessed; who is given the opening can check
 * that exactly this was done, against any checkpoint of the log. */
#ifndef HF_TLOG_ENTRY_H
#define HF_TLOG_ENTRY_H

#include "base/log.h"
#include "tlog/tlog.h"

enum {
    HF_ENTRY_LEAF = 41,
    HF_ENTRY_SALT = 16,
    HF_ENTRY_PATH = 16, /* a keyed hash, cut */
    HF_ENTRY_OPENING_MAX = 1024,
    HF_ENTRY_NAME_MAX = 64, /* of an operation; of a mount HF_ENTRY_MOUNT_MAX */
    HF_ENTRY_MOUNT_MAX = 128,
    HF_ENTRY_FACT_MAX = 200, /* asset, note: longer ones are cut */
};
enum hf_entry_kind { /* stored numbers */
                     HF_ENTRY_VOID =
                         0, /* an index that was taken and never written; time: of the repair, no commitment */
                     HF_ENTRY_AUDIT = 1,
};

struct hf_entry_leaf {
    enum hf_entry_kind kind;
    uint64_t time_ms; /* wall, since 1970 */
    struct hf_tlog_hash commitment;
};
void hf_entry_leaf_write(uint8_t ret_leaf[static HF_ENTRY_LEAF], const struct hf_entry_leaf *leaf);
/* Fails: BAD_SIGNATURE where it is no leaf of a known kind. */
hf_result hf_entry_leaf_read(struct hf_cursor bytes, struct hf_entry_leaf *ret_leaf);

struct hf_entry_detail {
    struct hf_id request_id;
    struct hf_id accessor; /* zero: none */
    struct hf_id key_id;   /* zero: none */
    uint32_t key_version;
    uint32_t items;
    bool has_path;
    uint8_t path[HF_ENTRY_PATH]; /* first half of HMAC-SHA-256 */
    uint8_t tls_group;
    uint8_t level_dev;
    uint8_t peer_ip[16];
    struct hf_cursor operation, mount, asset, note; /* borrowed */
    struct hf_cursor outcome;                       /* name of the result; takes no room where it is "OK" */
};
/* Cuts what is longer than its bound. */
void hf_entry_opening_write(struct hf_buf *out, const uint8_t salt[static HF_ENTRY_SALT],
                            const struct hf_entry_detail *detail);
/* Fails: BAD_SIGNATURE. ret borrows. */
hf_result hf_entry_opening_read(struct hf_cursor opening, struct hf_entry_detail *ret_detail);
/* Whether the opening is what the leaf commits to. Fails: BAD_SIGNATURE. */
hf_result hf_entry_opening_check(const struct hf_entry_leaf *leaf, struct hf_cursor opening);

#endif
