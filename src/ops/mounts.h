/* The mount table and the namespaces: an immutable value, read inside an epoch, replaced as a whole. The names of
 * records below a mount begin with its id in hex and '/' (of roles: after their kind), so that unmounting can find and
 * remove them. */
#ifndef HF_OPS_MOUNTS_H
#define HF_OPS_MOUNTS_H

#include "ops/core.h"
#include "policy/token.h"

enum { HF_MOUNTS_MAX = 4096, HF_NAMESPACES_MAX = 4096, HF_NAMESPACE_PATH_MAX = 128 };

struct hf_namespace {
    uint8_t id[16];
    char path[HF_NAMESPACE_PATH_MAX]; /* "" the root; else "team/a/" */
    size_t path_len;
    int64_t created_ns;
};

/* In order of namespace and path. NULL past the end. */
const struct hf_mount *hf_mount_at(const struct hf_mount_table *table, size_t index);
const struct hf_namespace *hf_namespace_at(const struct hf_mount_table *table, size_t index);
const struct hf_namespace *hf_namespace_of(const struct hf_mount_table *table, struct hf_cursor id);
/* The one that it lies in; NULL for the root. */
const struct hf_namespace *hf_namespace_above(const struct hf_mount_table *table,
                                              const struct hf_namespace *ns);
/* The mount whose path this is exactly; NULL where there is none. */
const struct hf_mount *hf_mount_exact(const struct hf_mount_table *table, struct hf_cursor ns,
                                      struct hf_cursor path);
/* The table now in force; valid inside the epoch. */
static inline const struct hf_mount_table *hf_mounts_now(struct hf_unsealed *u)
{
    return __atomic_load_n(&u->mounts, __ATOMIC_ACQUIRE);
}

/* Name of an engine as the API has it ("transit", "kv", "approle", "cert", "token", "system"). */
const char *hf_engine_name(enum hf_engine engine);

/* Changes: written through `commit` (NULL: alone), then in force here before they return. Call inside an epoch, on a
 * thread that may wait. Mounts are taken by value: path with its last slash, ns, and all fields but id. */
/* Fails: EXISTS (this path, one above it or one below it), BAD_ARGUMENT (path), TOO_LARGE, as commit. */
hf_result hf_mount_create(struct hf_unsealed *u, const struct hf_mount *mount,
                          const struct hf_commit *commit);
/* Replaces description, times, options, visibility of the mount of that path. Fails: NOT_FOUND, as commit. */
hf_result hf_mount_tune(struct hf_unsealed *u, const struct hf_mount *mount, const struct hf_commit *commit);
/* Removes the mount, then the records below it: some at once, the rest by hf_mounts_tick. Fails: NOT_FOUND, as commit. */
hf_result hf_mount_remove(struct hf_unsealed *u, struct hf_cursor ns, struct hf_cursor path,
                          const struct hf_commit *commit);
/* A bounded part of removals that are not finished. Call about once a second. */
hf_result hf_mounts_tick(struct hf_unsealed *u);

/* path: full, with its last slash. Makes its KEK too. Fails: EXISTS, NOT_FOUND (its parent), BAD_ARGUMENT. */
hf_result hf_namespace_create(struct hf_core *core, struct hf_unsealed *u, struct hf_cursor path,
                              const struct hf_commit *commit, struct hf_namespace *ret_namespace);
/* Fails: NOT_FOUND, EXISTS (has mounts or namespaces below it). Erases its KEK: what it wrapped is gone for good. */
hf_result hf_namespace_remove(struct hf_core *core, struct hf_unsealed *u, struct hf_cursor path,
                              const struct hf_commit *commit);

/* Brings "a/b", "/a/b/" to "a/b/". Fails: BAD_ARGUMENT: empty, too long, or with a segment that is empty, ".", "..",
 * or has '*', '+', white space or a control character. */
hf_result hf_mount_path(struct hf_cursor text, struct hf_buf *out);

#endif
