/* A secret of the KV engine: all its versions and its metadata in one sealed record.
 *
 *   format u8 = 1 | created i64 | updated i64 | current u32 | max_versions u32 | cas_required u8 | delete_after i64
 *   custom vec32 (tree item, or empty) | count u32
 *   each version, oldest first: number u32 | created i64 | deleted i64 | destroyed u8 | data vec32 (tree item) */
#ifndef HF_OPS_KV_RECORD_H
#define HF_OPS_KV_RECORD_H

#include "base/buf.h"

enum { HF_KV_VERSIONS_MAX = 1000, HF_KV_VERSIONS_DEFAULT = 10 };

struct hf_kv_version {
    uint32_t number;
    int64_t created_ns;
    int64_t deleted_ns; /* 0: never; in the future: will be */
    bool destroyed;
    struct hf_cursor data; /* an encoded tree item; empty once destroyed */
};
struct hf_kv_secret {
    int64_t created_ns, updated_ns;
    uint32_t current; /* number of the newest version; 0: metadata only */
    uint32_t max_versions;
    bool cas_required;
    int64_t delete_after_ns;
    struct hf_cursor custom;
    uint32_t count;
    struct hf_kv_version versions[HF_KV_VERSIONS_MAX];
};

/* Cursors borrow from plain. Fails: CORRUPT. */
hf_result hf_kv_decode(struct hf_cursor plain, struct hf_kv_secret *ret_secret);
size_t hf_kv_encoded_max(const struct hf_kv_secret *secret);
void hf_kv_encode(const struct hf_kv_secret *secret, struct hf_buf *out);
/* NULL where there is none. */
struct hf_kv_version *hf_kv_version(struct hf_kv_secret *secret, uint32_t number);
/* Adds the next version, dropping the oldest beyond `keep`. */
void hf_kv_add(struct hf_kv_secret *secret, struct hf_cursor data, uint32_t keep, int64_t now_ns);

#endif
