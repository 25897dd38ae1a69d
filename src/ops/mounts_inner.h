/* What mounts.c and mounts_change.c share. */
#ifndef HF_OPS_MOUNTS_INNER_H
#define HF_OPS_MOUNTS_INNER_H

#include "ops/mounts.h"

enum { MOUNT_RECORD_MAX = 1024 };

struct hf_mount_table {
    struct hf_mount *mounts;
    size_t mount_count;
    struct hf_namespace *namespaces; /* the root is first */
    size_t namespace_count;
    uint32_t *index; /* mount's index + 1; 0 free */
    size_t index_mask;
};

/* A table of its own with room for one more of each, whose mounts still point at the namespaces of `from`; to be
 * finished by mount_table_build. */
hf_result mount_table_copy(const struct hf_mount_table *from, struct hf_mount_table **ret_table);
/* Points each mount at its namespace in this table, sorts, and makes the index. */
hf_result mount_table_build(struct hf_mount_table *table);

void mount_record_write(const struct hf_mount *mount, struct hf_buf *out);
void namespace_record_write(const struct hf_namespace *ns, struct hf_buf *out);

#endif
