/* The mount table: a sorted array and a hash index over (namespace, path). Looking up walks the path once and asks the
 * index at each slash; it allocates nothing and takes no lock. */
#include "ops/mounts_inner.h"

#include <stdlib.h>
#include <string.h>

static const char *const engine_names[HF_ENGINE_COUNT] = {
    [HF_ENGINE_SYS] = "system",  [HF_ENGINE_TOKEN] = "token",     [HF_ENGINE_TRANSIT] = "transit",
    [HF_ENGINE_KV] = "kv",       [HF_ENGINE_APPROLE] = "approle", [HF_ENGINE_CERT] = "cert",
    [HF_ENGINE_AUDIT] = "audit",
};

const char *hf_engine_name(enum hf_engine engine)
{
    return (unsigned)engine < HF_ENGINE_COUNT && engine_names[engine] != NULL ? engine_names[engine] : "";
}

/* ---- looking up ---- */

/* FNV-1a. Who may mount chooses the paths; no stranger does. */
static inline uint64_t hash_byte(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

static uint64_t hash_namespace(struct hf_cursor ns)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < ns.left; i++)
        hash = hash_byte(hash, ns.at[i]);
    return hash;
}

static size_t slot_of(const struct hf_mount_table *table, uint64_t hash)
{
    return (size_t)(hash ^ hash >> 32) & table->index_mask;
}

static const struct hf_mount *probe(const struct hf_mount_table *table, uint64_t hash, struct hf_cursor ns,
                                    struct hf_cursor path)
{
    for (size_t slot = slot_of(table, hash); table->index[slot] != 0; slot = (slot + 1) & table->index_mask) {
        const struct hf_mount *mount = &table->mounts[table->index[slot] - 1];
        if (hf_cursor_same(hf_cursor(mount->path, mount->path_len), path) && hf_cursor_same(mount->ns, ns))
            return mount;
    }
    return NULL;
}

const struct hf_mount *hf_mount_find(const struct hf_mount_table *table, struct hf_cursor ns,
                                     struct hf_cursor path)
{
    const struct hf_mount *found = NULL;
    uint64_t hash = hash_namespace(ns);
    size_t end = HF_MIN(path.left, sizeof(found->path));
    for (size_t i = 0; i < end; i++) {
        hash = hash_byte(hash, path.at[i]);
        if (path.at[i] == '/') {
            const struct hf_mount *here = probe(table, hash, ns, hf_cursor(path.at, i + 1));
            if (here != NULL)
                found = here;
        }
    }
    return found;
}

const struct hf_mount *hf_mount_exact(const struct hf_mount_table *table, struct hf_cursor ns,
                                      struct hf_cursor path)
{
    const struct hf_mount *mount = hf_mount_find(table, ns, path);
    return mount != NULL && mount->path_len == path.left ? mount : NULL;
}

const struct hf_mount *hf_mount_at(const struct hf_mount_table *table, size_t index)
{
    return index < table->mount_count ? &table->mounts[index] : NULL;
}

const struct hf_namespace *hf_namespace_at(const struct hf_mount_table *table, size_t index)
{
    return index < table->namespace_count ? &table->namespaces[index] : NULL;
}

const struct hf_namespace *hf_namespace_of(const struct hf_mount_table *table, struct hf_cursor id)
{
    for (size_t i = 0; i < table->namespace_count; i++)
        if (hf_cursor_same(hf_cursor(table->namespaces[i].id, 16), id))
            return &table->namespaces[i];
    return NULL;
}

const struct hf_namespace *hf_namespace_above(const struct hf_mount_table *table,
                                              const struct hf_namespace *ns)
{
    if (ns->path_len == 0)
        return NULL;
    size_t len = ns->path_len - 1;
    while (len > 0 && ns->path[len - 1] != '/')
        len--;
    for (size_t i = 0; i < table->namespace_count; i++)
        if (hf_cursor_same(hf_cursor(table->namespaces[i].path, table->namespaces[i].path_len),
                           hf_cursor(ns->path, len)))
            return &table->namespaces[i];
    return NULL;
}

hf_result hf_namespace_find(const struct hf_mount_table *table, struct hf_cursor path,
                            struct hf_cursor *ret_ns)
{
    while (path.left > 0 && path.at[path.left - 1] == '/')
        path.left--;
    for (size_t i = 0; i < table->namespace_count; i++) {
        const struct hf_namespace *ns = &table->namespaces[i];
        size_t len = ns->path_len > 0 ? ns->path_len - 1 : 0;
        if (hf_cursor_same(hf_cursor(ns->path, len), path)) {
            *ret_ns = hf_cursor(ns->id, sizeof(ns->id));
            return HF_DONE;
        }
    }
    return HF_FAIL(NOT_FOUND);
}

/* ---- making a table ---- */

void hf_mounts_free(struct hf_mount_table *table)
{
    if (table == NULL)
        return;
    free(table->mounts);
    free(table->namespaces);
    free(table->index);
    free(table);
}

static int by_path(const void *a, const void *b)
{
    const struct hf_mount *x = a;
    const struct hf_mount *y = b;
    int order = memcmp(x->ns.at, y->ns.at, 16); /* public */
    return order != 0 ? order : strcmp(x->path, y->path);
}

static int by_namespace_path(const void *a, const void *b)
{
    const struct hf_namespace *x = a;
    const struct hf_namespace *y = b;
    return strcmp(x->path, y->path);
}

static hf_result copy_into(struct hf_mount_table *table, const struct hf_mount_table *from)
{
    table->mounts = calloc(from->mount_count + 1, sizeof(*table->mounts));
    table->namespaces = calloc(from->namespace_count + 1, sizeof(*table->namespaces));
    if (table->mounts == NULL || table->namespaces == NULL)
        return HF_FAIL(NO_MEMORY);
    if (from->mount_count > 0)
        memcpy(table->mounts, from->mounts, from->mount_count * sizeof(*table->mounts));
    if (from->namespace_count > 0)
        memcpy(table->namespaces, from->namespaces, from->namespace_count * sizeof(*table->namespaces));
    table->mount_count = from->mount_count;
    table->namespace_count = from->namespace_count;
    return HF_DONE;
}

hf_result mount_table_copy(const struct hf_mount_table *from, struct hf_mount_table **ret_table)
{
    struct hf_mount_table *table = calloc(1, sizeof(*table));
    hf_result done = table == NULL ? HF_FAIL(NO_MEMORY) : copy_into(table, from);
    if (HF_IS_OK(done))
        *ret_table = table;
    else
        hf_mounts_free(table);
    return done;
}

hf_result mount_table_build(struct hf_mount_table *table)
{
    /* sorting moves namespaces: remember the ids that the mounts point at */
    uint8_t(*ids)[16] = calloc(table->mount_count + 1, sizeof(*ids));
    if (ids == NULL)
        return HF_FAIL(NO_MEMORY);
    for (size_t i = 0; i < table->mount_count; i++)
        memcpy(ids[i], table->mounts[i].ns.at, 16);
    qsort(table->namespaces, table->namespace_count, sizeof(*table->namespaces), by_namespace_path);
    size_t kept = 0;
    for (size_t i = 0; i < table->mount_count; i++) {
        const struct hf_namespace *ns = hf_namespace_of(table, hf_cursor(ids[i], 16));
        if (ns == NULL) {
            hf_log(HF_LOG_WARN, "mounts.without_namespace", hf_f("mount", table->mounts[i].id));
            continue;
        }
        struct hf_mount mount = table->mounts[i];
        mount.ns = hf_cursor(ns->id, sizeof(ns->id));
        table->mounts[kept++] = mount;
    }
    table->mount_count = kept;
    free(ids);
    if (kept > 1)
        qsort(table->mounts, kept, sizeof(*table->mounts), by_path);
    size_t slots = 16;
    while (slots < kept * 2 + 2)
        slots *= 2;
    free(table->index);
    table->index = calloc(slots, sizeof(*table->index));
    if (table->index == NULL)
        return HF_FAIL(NO_MEMORY);
    table->index_mask = slots - 1;
    for (size_t i = 0; i < kept; i++) {
        const struct hf_mount *mount = &table->mounts[i];
        uint64_t hash = hash_namespace(mount->ns);
        for (size_t c = 0; c < mount->path_len; c++)
            hash = hash_byte(hash, (uint8_t)mount->path[c]);
        size_t slot = slot_of(table, hash);
        while (table->index[slot] != 0)
            slot = (slot + 1) & table->index_mask;
        table->index[slot] = (uint32_t)(i + 1);
    }
    return HF_DONE;
}

/* ---- records ---- */

enum { RECORD_VERSION = 1 };

void mount_record_write(const struct hf_mount *mount, struct hf_buf *out)
{
    hf_buf_u8(out, RECORD_VERSION);
    hf_buf_put(out, mount->id.bytes, 16);
    hf_buf_put_cursor(out, mount->ns);
    hf_buf_u8(out, (uint8_t)mount->engine);
    hf_buf_u8(out, (uint8_t)((mount->local ? 1 : 0) | (mount->seal_wrap ? 2 : 0) |
                             (mount->unauth_listing ? 4 : 0)));
    hf_buf_u64(out, (uint64_t)mount->default_lease_ttl_ns);
    hf_buf_u64(out, (uint64_t)mount->max_lease_ttl_ns);
    hf_buf_vec16(out, hf_cursor(mount->path, mount->path_len));
    hf_buf_vec16(out, hf_cursor_text(mount->description));
    hf_buf_vec16(out, hf_cursor_text(mount->options));
}

static bool take_text(struct hf_cursor *in, char *space, size_t room, size_t *ret_len)
{
    struct hf_cursor text;
    if (!hf_cursor_vec16(in, &text) || text.left >= room)
        return false;
    memcpy(space, text.at, text.left);
    space[text.left] = '\0';
    *ret_len = text.left;
    return true;
}

/* mount->ns borrows from the plaintext. */
static hf_result mount_read(struct hf_cursor in, struct hf_mount *mount)
{
    *mount = (struct hf_mount){0};
    uint8_t version, engine, flags;
    uint64_t lease, max;
    size_t len;
    if (!hf_cursor_u8(&in, &version) || version != RECORD_VERSION ||
        !hf_cursor_copy(&in, mount->id.bytes, 16) || !hf_cursor_take(&in, 16, &mount->ns) ||
        !hf_cursor_u8(&in, &engine) || engine >= HF_ENGINE_COUNT || !hf_cursor_u8(&in, &flags) ||
        !hf_cursor_u64(&in, &lease) || !hf_cursor_u64(&in, &max) ||
        !take_text(&in, mount->path, sizeof(mount->path), &mount->path_len) || mount->path_len == 0 ||
        !take_text(&in, mount->description, sizeof(mount->description), &len) ||
        !take_text(&in, mount->options, sizeof(mount->options), &len) || in.left != 0)
        return HF_FAIL(CORRUPT);
    mount->engine = (enum hf_engine)engine;
    mount->local = flags & 1;
    mount->seal_wrap = flags & 2;
    mount->unauth_listing = flags & 4;
    mount->default_lease_ttl_ns = (int64_t)lease;
    mount->max_lease_ttl_ns = (int64_t)max;
    return HF_DONE;
}

void namespace_record_write(const struct hf_namespace *ns, struct hf_buf *out)
{
    hf_buf_u8(out, RECORD_VERSION);
    hf_buf_put(out, ns->id, sizeof(ns->id));
    hf_buf_u64(out, (uint64_t)ns->created_ns);
    hf_buf_vec16(out, hf_cursor(ns->path, ns->path_len));
}

static hf_result namespace_read(struct hf_cursor in, struct hf_namespace *ns)
{
    *ns = (struct hf_namespace){0};
    uint8_t version;
    uint64_t created;
    if (!hf_cursor_u8(&in, &version) || version != RECORD_VERSION ||
        !hf_cursor_copy(&in, ns->id, sizeof(ns->id)) || !hf_cursor_u64(&in, &created) ||
        !take_text(&in, ns->path, sizeof(ns->path), &ns->path_len) || in.left != 0)
        return HF_FAIL(CORRUPT);
    ns->created_ns = (int64_t)created;
    return HF_DONE;
}

/* ---- loading ---- */

struct loader {
    struct hf_mount_table *table;
    size_t mount_room, namespace_room;
    hf_result failed;
};

static bool grow(void **array, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return true;
    size_t more = *room * 2 + 16;
    void *grown = realloc(*array, more * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

static bool load_namespace(void *arg, const struct hf_record *record)
{
    struct loader *l = arg;
    struct hf_namespace ns;
    l->failed = namespace_read(record->plain, &ns);
    if (HF_IS_OK(l->failed) &&
        !grow((void **)&l->table->namespaces, &l->namespace_room, l->table->namespace_count, sizeof(ns)))
        l->failed = HF_FAIL(NO_MEMORY);
    if (!HF_IS_OK(l->failed))
        return false;
    l->table->namespaces[l->table->namespace_count++] = ns;
    return true;
}

static bool load_mount(void *arg, const struct hf_record *record)
{
    struct loader *l = arg;
    struct hf_mount mount;
    l->failed = mount_read(record->plain, &mount);
    if (!HF_IS_OK(l->failed))
        return false;
    const struct hf_namespace *ns = hf_namespace_of(l->table, mount.ns);
    if (ns == NULL) { /* its namespace was removed, and the removal broken off */
        hf_log(HF_LOG_WARN, "mounts.without_namespace", hf_f("mount", mount.id));
        return true;
    }
    mount.ns = hf_cursor(ns->id, sizeof(ns->id));
    if (!grow((void **)&l->table->mounts, &l->mount_room, l->table->mount_count, sizeof(mount))) {
        l->failed = HF_FAIL(NO_MEMORY);
        return false;
    }
    l->table->mounts[l->table->mount_count++] = mount;
    return true;
}

static hf_result load_into(struct hf_mount_table *table, struct hf_records *records)
{
    table->namespaces = calloc(1, sizeof(*table->namespaces));
    if (table->namespaces == NULL)
        return HF_FAIL(NO_MEMORY);
    table->namespace_count = 1; /* the root: id of zero bytes, path "" */
    struct loader loader = {.table = table, .namespace_room = 1, .failed = HF_DONE};
    TRY(hf_record_each(records, HF_TABLE_NAMESPACE, load_namespace, &loader));
    TRY(loader.failed);
    TRY(hf_record_each(records, HF_TABLE_MOUNT, load_mount, &loader));
    TRY(loader.failed);
    return mount_table_build(table);
}

hf_result hf_mounts_load(struct hf_records *records, struct hf_mount_table **ret_table)
{
    struct hf_mount_table *table = calloc(1, sizeof(*table));
    hf_result done = table == NULL ? HF_FAIL(NO_MEMORY) : load_into(table, records);
    if (HF_IS_OK(done))
        *ret_table = table;
    else
        hf_mounts_free(table);
    return done;
}
