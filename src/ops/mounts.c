/* The mount table: a sorted array and a hash index over (namespace, path). Looking up walks the path once and asks the
 * index at each slash; it allocates nothing and takes no lock. */
#include "ops/mounts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "crypto/crypto.h"
#include "keys/keys.h"
#include "seal/seal.h"

struct hf_mount_table {
    struct hf_mount *mounts;
    size_t mount_count;
    struct hf_namespace *namespaces; /* the root is first */
    size_t namespace_count;
    uint32_t *index; /* mount's index + 1; 0 free */
    size_t index_mask;
};

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

static void free_table(void *object)
{
    hf_mounts_free(object);
}

static void free_tablep(struct hf_mount_table **table)
{
    hf_mounts_free(*table);
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

/* A table of its own with room for one more of each; to be finished by table_build. */
static hf_result table_copy(const struct hf_mount_table *from, struct hf_mount_table **ret)
{
    CLEANUP(free_tablep) struct hf_mount_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return HF_FAIL(NO_MEMORY);
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
    *ret = TAKE(table);
    return HF_DONE;
}

/* Points each mount at its namespace in this table, sorts, and makes the index. */
static hf_result table_build(struct hf_mount_table *table)
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

enum { RECORD_VERSION = 1, RECORD_MAX = 1024 };
static const uint8_t root_id[16];

static void mount_write(const struct hf_mount *mount, struct hf_buf *out)
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

static void namespace_write(const struct hf_namespace *ns, struct hf_buf *out)
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
    uint8_t (*mount_ns)[16];
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

hf_result hf_mounts_load(struct hf_records *records, struct hf_mount_table **ret_table)
{
    CLEANUP(free_tablep) struct hf_mount_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return HF_FAIL(NO_MEMORY);
    table->namespaces = calloc(1, sizeof(*table->namespaces));
    if (table->namespaces == NULL)
        return HF_FAIL(NO_MEMORY);
    table->namespace_count = 1; /* the root: id of zero bytes, path "" */
    struct loader loader = {.table = table, .namespace_room = 1, .failed = HF_DONE};
    TRY(hf_record_each(records, HF_TABLE_NAMESPACE, load_namespace, &loader));
    TRY(loader.failed);
    TRY(hf_record_each(records, HF_TABLE_MOUNT, load_mount, &loader));
    TRY(loader.failed);
    TRY(table_build(table));
    *ret_table = TAKE(table);
    return HF_DONE;
}

/* ---- changing ---- */

/* One change at a time: each builds on the table that the one before left. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

static void end_change(const int *unused)
{
    (void)unused;
    pthread_mutex_unlock(&changing);
}
#define ONE_CHANGE_AT_A_TIME()                                                                               \
    CLEANUP(end_change) const int change_ = 0;                                                               \
    (void)change_;                                                                                           \
    pthread_mutex_lock(&changing)

static void put_in_force(struct hf_unsealed *u, struct hf_mount_table *table)
{
    struct hf_mount_table *old = __atomic_exchange_n(&u->mounts, table, __ATOMIC_ACQ_REL);
    hf_epoch_retire(old, free_table);
}

static hf_result commit_by(const struct hf_commit *commit, struct hf_txn *txn)
{
    if (commit != NULL)
        return commit->commit(commit->arg, txn);
    struct hf_store_outcome outcome;
    return hf_txn_commit(txn, &outcome);
}

hf_result hf_mount_path(struct hf_cursor text, struct hf_buf *out)
{
    while (text.left > 0 && text.at[0] == '/') {
        text.at++;
        text.left--;
    }
    while (text.left > 0 && text.at[text.left - 1] == '/')
        text.left--;
    size_t begun = out->len;
    size_t segment = 0;
    for (size_t i = 0; i <= text.left; i++) {
        if (i < text.left && text.at[i] != '/') {
            uint8_t c = text.at[i];
            if (c <= 0x20 || c >= 0x7f || c == '*' || c == '+' || c == '\\' || c == '"')
                return HF_FAIL(BAD_ARGUMENT);
            continue;
        }
        struct hf_cursor name = hf_cursor(text.at + segment, i - segment);
        if (name.left == 0 || hf_cursor_is(name, ".") || hf_cursor_is(name, ".."))
            return HF_FAIL(BAD_ARGUMENT);
        hf_buf_put_cursor(out, name);
        hf_buf_u8(out, '/');
        segment = i + 1;
    }
    return out->overflow || out->len - begun > sizeof(((struct hf_mount *)0)->path) - 1
               ? HF_FAIL(BAD_ARGUMENT)
               : HF_DONE;
}

static bool begins(struct hf_cursor text, struct hf_cursor with)
{
    return text.left >= with.left && hf_cursor_same(hf_cursor(text.at, with.left), with);
}

/* Paths below which nothing may be mounted: what is built in. */
static bool is_reserved(struct hf_cursor path)
{
    static const char *const reserved[] = {"sys/", "audit/", "auth/token/", "cubbyhole/", "identity/"};
    for (size_t i = 0; i < HF_ARRAY_LEN(reserved); i++)
        if (begins(path, hf_cursor_text(reserved[i])))
            return true;
    return hf_cursor_is(path, "auth/");
}

static hf_result put_mount(struct hf_unsealed *u, const struct hf_mount *mount, uint64_t expect_rev,
                           const struct hf_commit *commit)
{
    uint8_t space[RECORD_MAX];
    struct hf_buf plain = hf_buf(space, sizeof(space));
    mount_write(mount, &plain);
    TRY(hf_buf_ok(&plain));
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(u->records, &txn));
    struct hf_cursor path = hf_cursor(mount->path, mount->path_len);
    TRY(hf_txn_put(txn, HF_TABLE_MOUNT, hf_record_id(u->records, HF_TABLE_MOUNT, mount->ns, path), expect_rev,
                   mount->ns, path, 0, 0, hf_buf_cursor(&plain)));
    return commit_by(commit, txn);
}

hf_result hf_mount_create(struct hf_unsealed *u, const struct hf_mount *wanted,
                          const struct hf_commit *commit)
{
    struct hf_cursor path = hf_cursor(wanted->path, wanted->path_len);
    if (is_reserved(path))
        return HF_FAIL(BAD_ARGUMENT);
    ONE_CHANGE_AT_A_TIME();
    const struct hf_mount_table *now = hf_mounts_now(u);
    const struct hf_namespace *ns = hf_namespace_of(now, wanted->ns);
    if (ns == NULL)
        return HF_FAIL(NOT_FOUND);
    if (now->mount_count >= HF_MOUNTS_MAX)
        return HF_FAIL(TOO_LARGE);
    for (size_t i = 0; i < now->mount_count; i++) {
        struct hf_cursor other = hf_cursor(now->mounts[i].path, now->mounts[i].path_len);
        if (hf_cursor_same(now->mounts[i].ns, wanted->ns) && (begins(other, path) || begins(path, other)))
            return HF_FAIL(EXISTS);
    }
    CLEANUP(free_tablep) struct hf_mount_table *next = NULL;
    TRY(table_copy(now, &next));
    struct hf_mount *mount = &next->mounts[next->mount_count++];
    *mount = *wanted;
    TRY(hf_random_id(&mount->id));
    struct hf_mount made = *mount;
    TRY(table_build(next));
    TRY(put_mount(u, &made, 0, commit));
    put_in_force(u, TAKE(next));
    return HF_DONE;
}

hf_result hf_mount_tune(struct hf_unsealed *u, const struct hf_mount *wanted, const struct hf_commit *commit)
{
    ONE_CHANGE_AT_A_TIME();
    const struct hf_mount_table *now = hf_mounts_now(u);
    struct hf_cursor path = hf_cursor(wanted->path, wanted->path_len);
    const struct hf_mount *old = hf_mount_exact(now, wanted->ns, path);
    uint64_t rev;
    if (old == NULL || !hf_record_exists(u->records, HF_TABLE_MOUNT,
                                         hf_record_id(u->records, HF_TABLE_MOUNT, wanted->ns, path), &rev))
        return HF_FAIL(NOT_FOUND);
    CLEANUP(free_tablep) struct hf_mount_table *next = NULL;
    TRY(table_copy(now, &next));
    struct hf_mount tuned = *wanted;
    tuned.id = old->id;
    tuned.engine = old->engine;
    next->mounts[old - now->mounts] = tuned;
    TRY(table_build(next));
    TRY(put_mount(u, &tuned, rev, commit));
    put_in_force(u, TAKE(next));
    return HF_DONE;
}

/* ---- removing ---- */

enum {
    PURGE_STEP = 16,
    PURGE_STEPS_AT_ONCE = 64
}; /* records in one transaction: each takes two operations of HF_STORE_TXN_OPS_MAX */
static const struct {
    enum hf_table table;
    const char *kind; /* what stands before the mount's id in names */
} below_mounts[] = {
    {HF_TABLE_KEY, ""},
    {HF_TABLE_KV, ""},
    {HF_TABLE_ROLE, "approle/"},
    {HF_TABLE_ROLE, "cert/"},
};
static const char removal_prefix[] = "unmounted/";

struct step {
    struct hf_id ids[PURGE_STEP];
    size_t count;
};

static bool note_id(void *arg, struct hf_cursor name, struct hf_id id)
{
    (void)name;
    struct step *step = arg;
    step->ids[step->count++] = id;
    return step->count < PURGE_STEP;
}

/* Deletes every record of the table and namespace whose name begins with the prefix, some at a time, until *steps_left
 * transactions are used up. */
static hf_result purge(struct hf_records *records, enum hf_table table, struct hf_cursor ns,
                       struct hf_cursor prefix, unsigned *steps_left)
{
    for (; *steps_left > 0; (*steps_left)--) {
        struct step step = {.count = 0};
        TRY(hf_record_names(records, table, ns, prefix, hf_cursor(NULL, 0), PURGE_STEP, note_id, &step));
        if (step.count == 0)
            return HF_DONE;
        CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
        TRY(hf_txn_begin(records, &txn));
        size_t deleted = 0;
        for (size_t i = 0; i < step.count; i++) {
            uint64_t rev;
            if (!hf_record_exists(records, table, step.ids[i], &rev))
                continue; /* deleted since it was listed */
            TRY(hf_txn_delete(txn, table, step.ids[i], rev));
            deleted++;
        }
        if (deleted == 0)
            return HF_FAIL(CONFLICT);
        struct hf_store_outcome outcome;
        TRY(hf_txn_commit(txn, &outcome));
    }
    return HF_DONE;
}

/* The note that a mount's records are to be removed: "unmounted/" and its id in hex, plaintext its namespace. */
static void removal_name(const struct hf_id *mount, struct hf_buf *out)
{
    hf_buf_text(out, removal_prefix);
    hf_hex_encode(out, hf_cursor(mount->bytes, sizeof(mount->bytes)));
}

static hf_result finish_removal(struct hf_records *records, struct hf_cursor hex, struct hf_id note,
                                unsigned *steps_left)
{
    struct hf_record record = {0};
    hf_result loaded = hf_record_load(records, HF_TABLE_CONFIG, note, &record);
    if (loaded.code == HF_NOT_FOUND)
        return HF_DONE;
    TRY(loaded);
    uint8_t ns[16];
    bool sound = record.plain.left == sizeof(ns);
    if (sound)
        memcpy(ns, record.plain.at, sizeof(ns));
    uint64_t rev = record.rev;
    hf_record_done(&record);
    if (!sound)
        return HF_FAIL(CORRUPT);
    for (size_t i = 0; i < HF_ARRAY_LEN(below_mounts); i++) {
        char prefix[HF_HEX_LEN(16) + 16];
        struct hf_buf out = hf_buf(prefix, sizeof(prefix));
        hf_buf_text(&out, below_mounts[i].kind);
        hf_buf_put_cursor(&out, hex);
        hf_buf_u8(&out, '/');
        TRY(hf_buf_ok(&out));
        TRY(purge(records, below_mounts[i].table, hf_cursor(ns, sizeof(ns)), hf_buf_cursor(&out),
                  steps_left));
    }
    if (*steps_left == 0)
        return HF_DONE; /* the note stays, and the rest is for later */
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_CONFIG, note, rev));
    struct hf_store_outcome outcome;
    return hf_txn_commit(txn, &outcome);
}

struct removal {
    char hex[HF_HEX_LEN(16)];
    struct hf_id note;
    bool found;
};

static bool note_removal(void *arg, struct hf_cursor name, struct hf_id id)
{
    struct removal *removal = arg;
    size_t skip = sizeof(removal_prefix) - 1;
    if (name.left != skip + sizeof(removal->hex))
        return true;
    memcpy(removal->hex, name.at + skip, sizeof(removal->hex));
    removal->note = id;
    removal->found = true;
    return false;
}

static hf_result finish_removals(struct hf_unsealed *u)
{
    unsigned steps_left = PURGE_STEPS_AT_ONCE;
    while (steps_left > 0) {
        struct removal removal = {.found = false};
        TRY(hf_record_names(u->records, HF_TABLE_CONFIG, hf_cursor(root_id, 16),
                            hf_cursor_text(removal_prefix), hf_cursor(NULL, 0), 16, note_removal, &removal));
        if (!removal.found)
            return HF_DONE;
        TRY(finish_removal(u->records, hf_cursor(removal.hex, sizeof(removal.hex)), removal.note,
                           &steps_left));
    }
    return HF_DONE;
}

hf_result hf_mounts_tick(struct hf_unsealed *u)
{
    if (pthread_mutex_trylock(&changing) != 0)
        return HF_DONE; /* a change is under way; there will be another tick */
    hf_result done = finish_removals(u);
    pthread_mutex_unlock(&changing);
    return done;
}

hf_result hf_mount_remove(struct hf_unsealed *u, struct hf_cursor ns, struct hf_cursor path,
                          const struct hf_commit *commit)
{
    ONE_CHANGE_AT_A_TIME();
    const struct hf_mount_table *now = hf_mounts_now(u);
    const struct hf_mount *old = hf_mount_exact(now, ns, path);
    struct hf_id id = hf_record_id(u->records, HF_TABLE_MOUNT, ns, path);
    uint64_t rev;
    if (old == NULL || !hf_record_exists(u->records, HF_TABLE_MOUNT, id, &rev))
        return HF_FAIL(NOT_FOUND);
    CLEANUP(free_tablep) struct hf_mount_table *next = NULL;
    TRY(table_copy(now, &next));
    size_t at = (size_t)(old - now->mounts);
    memmove(&next->mounts[at], &next->mounts[at + 1], (next->mount_count - at - 1) * sizeof(*next->mounts));
    next->mount_count--;
    TRY(table_build(next));

    char name_space[sizeof(removal_prefix) + HF_HEX_LEN(16)];
    struct hf_buf name = hf_buf(name_space, sizeof(name_space));
    struct hf_id gone = old->id;
    removal_name(&gone, &name);
    struct hf_cursor root = hf_cursor(root_id, 16);
    struct hf_id note = hf_record_id(u->records, HF_TABLE_CONFIG, root, hf_buf_cursor(&name));
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(u->records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_MOUNT, id, rev));
    TRY(hf_txn_put(txn, HF_TABLE_CONFIG, note, 0, root, hf_buf_cursor(&name), 0, 0, ns));
    TRY(commit_by(commit, txn));
    put_in_force(u, TAKE(next));
    hf_result purged = finish_removals(u);
    hf_keys_forget_mount(u->keys, &gone);
    if (!HF_IS_OK(purged)) /* the mount is gone; what is left of its records goes with the next ticks */
        hf_log(HF_LOG_WARN, "mounts.removal_unfinished", hf_f("result", purged));
    return HF_DONE;
}

/* ---- namespaces ---- */

hf_result hf_namespace_create(struct hf_core *core, struct hf_unsealed *u, struct hf_cursor path,
                              const struct hf_commit *commit, struct hf_namespace *ret_namespace)
{
    if (path.left < 2 || path.left >= HF_NAMESPACE_PATH_MAX || path.at[path.left - 1] != '/')
        return HF_FAIL(BAD_ARGUMENT);
    ONE_CHANGE_AT_A_TIME();
    const struct hf_mount_table *now = hf_mounts_now(u);
    struct hf_cursor found;
    if (HF_IS_OK(hf_namespace_find(now, path, &found)))
        return HF_FAIL(EXISTS);
    size_t parent = path.left - 1;
    while (parent > 0 && path.at[parent - 1] != '/')
        parent--;
    static const char *const reserved[] = {"root/", "sys/", "audit/", "auth/", "cubbyhole/", "identity/"};
    for (size_t i = 0; i < HF_ARRAY_LEN(reserved); i++)
        if (hf_cursor_is(hf_cursor(path.at + parent, path.left - parent), reserved[i]))
            return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_namespace_find(now, hf_cursor(path.at, parent), &found));
    if (now->namespace_count >= HF_NAMESPACES_MAX)
        return HF_FAIL(TOO_LARGE);

    struct hf_namespace made = {.path_len = path.left, .created_ns = hf_wall_ns(core->clock)};
    memcpy(made.path, path.at, path.left);
    struct hf_id id;
    TRY(hf_random_id(&id));
    memcpy(made.id, id.bytes, sizeof(made.id));
    CLEANUP(free_tablep) struct hf_mount_table *next = NULL;
    TRY(table_copy(now, &next));
    next->namespaces[next->namespace_count++] = made;
    TRY(table_build(next));
    uint8_t space[RECORD_MAX];
    struct hf_buf plain = hf_buf(space, sizeof(space));
    namespace_write(&made, &plain);
    struct hf_cursor root = hf_cursor(root_id, 16);
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(u->records, &txn));
    TRY(hf_txn_put(txn, HF_TABLE_NAMESPACE, hf_record_id(u->records, HF_TABLE_NAMESPACE, root, path), 0, root,
                   path, 0, 0, hf_buf_cursor(&plain)));
    /* Its KEK first: a namespace without one could keep nothing, a KEK without a namespace is merely unused. */
    TRY(hf_seal_kek_create(core->seal, hf_cursor(made.id, sizeof(made.id))));
    TRY(commit_by(commit, txn));
    put_in_force(u, TAKE(next));
    *ret_namespace = made;
    return HF_DONE;
}

hf_result hf_namespace_remove(struct hf_core *core, struct hf_unsealed *u, struct hf_cursor path,
                              const struct hf_commit *commit)
{
    ONE_CHANGE_AT_A_TIME();
    const struct hf_mount_table *now = hf_mounts_now(u);
    struct hf_cursor found;
    TRY(hf_namespace_find(now, path, &found));
    const struct hf_namespace *ns = hf_namespace_of(now, found);
    if (ns->path_len == 0)
        return HF_FAIL(BAD_ARGUMENT); /* the root stays */
    for (size_t i = 0; i < now->mount_count; i++)
        if (hf_cursor_same(now->mounts[i].ns, found))
            return HF_FAIL(EXISTS);
    for (size_t i = 0; i < now->namespace_count; i++)
        if (&now->namespaces[i] != ns &&
            begins(hf_cursor(now->namespaces[i].path, now->namespaces[i].path_len),
                   hf_cursor(ns->path, ns->path_len)))
            return HF_FAIL(EXISTS);
    struct hf_cursor root = hf_cursor(root_id, 16);
    struct hf_cursor full = hf_cursor(ns->path, ns->path_len);
    struct hf_id id = hf_record_id(u->records, HF_TABLE_NAMESPACE, root, full);
    uint64_t rev;
    if (!hf_record_exists(u->records, HF_TABLE_NAMESPACE, id, &rev))
        return HF_FAIL(NOT_FOUND);
    uint8_t gone[16];
    memcpy(gone, ns->id, sizeof(gone));
    CLEANUP(free_tablep) struct hf_mount_table *next = NULL;
    TRY(table_copy(now, &next));
    size_t at = (size_t)(ns - now->namespaces);
    memmove(&next->namespaces[at], &next->namespaces[at + 1],
            (next->namespace_count - at - 1) * sizeof(*next->namespaces));
    next->namespace_count--;
    TRY(table_build(next));
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(u->records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_NAMESPACE, id, rev));
    TRY(commit_by(commit, txn));
    put_in_force(u, TAKE(next));
    hf_result erased = hf_seal_kek_erase(core->seal, hf_cursor(gone, sizeof(gone)));
    unsigned steps_left = UINT_MAX;
    static const enum hf_table left_over[] = {HF_TABLE_POLICY, HF_TABLE_TOKEN, HF_TABLE_ACCESSOR,
                                              HF_TABLE_ROLE, HF_TABLE_SECRET_ID};
    for (size_t i = 0; i < HF_ARRAY_LEN(left_over) && HF_IS_OK(erased); i++)
        erased =
            purge(u->records, left_over[i], hf_cursor(gone, sizeof(gone)), hf_cursor(NULL, 0), &steps_left);
    if (!HF_IS_OK(erased)) /* nothing can reach them: the id is never given again */
        hf_log(HF_LOG_WARN, "namespaces.removal_unfinished", hf_f("result", erased));
    return HF_DONE;
}
