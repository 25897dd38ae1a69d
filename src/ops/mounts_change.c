/* Changes of mounts and namespaces: one at a time, each on a copy of the table in force, which takes its place once the
 * change is durable. */
#include "ops/mounts_inner.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "crypto/crypto.h"
#include "keys/keys.h"
#include "seal/seal.h"

static const uint8_t root_id[16];

/* One change at a time: each builds on the table that the one before left. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

struct change {
    struct hf_unsealed *u;
    const struct hf_commit *commit;
    const struct hf_mount_table *now;
    struct hf_mount_table *next; /* a copy of it, to be edited */
};
/* Edits next, builds it, and commits. What fails leaves all as it is. */
typedef hf_result (*edit_fn)(struct change *change, void *arg);

static void free_table(void *object)
{
    hf_mounts_free(object);
}

static hf_result make_change(struct hf_unsealed *u, const struct hf_commit *commit, edit_fn edit, void *arg)
{
    pthread_mutex_lock(&changing);
    struct change change = {.u = u, .commit = commit, .now = hf_mounts_now(u)};
    hf_result done = mount_table_copy(change.now, &change.next);
    if (HF_IS_OK(done))
        done = edit(&change, arg);
    if (HF_IS_OK(done)) {
        struct hf_mount_table *old = __atomic_exchange_n(&u->mounts, change.next, __ATOMIC_ACQ_REL);
        hf_epoch_retire(old, free_table);
    } else {
        hf_mounts_free(change.next);
    }
    pthread_mutex_unlock(&changing);
    return done;
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

static hf_result put_mount(struct change *change, const struct hf_mount *mount, uint64_t expect_rev)
{
    struct hf_unsealed *u = change->u;
    uint8_t space[MOUNT_RECORD_MAX];
    struct hf_buf plain = hf_buf(space, sizeof(space));
    mount_record_write(mount, &plain);
    TRY(hf_buf_ok(&plain));
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(u->records, &txn));
    struct hf_cursor path = hf_cursor(mount->path, mount->path_len);
    TRY(hf_txn_put(txn, HF_TABLE_MOUNT, hf_record_id(u->records, HF_TABLE_MOUNT, mount->ns, path), expect_rev,
                   mount->ns, path, 0, 0, hf_buf_cursor(&plain)));
    return commit_by(change->commit, txn);
}

static hf_result create(struct change *change, void *arg)
{
    const struct hf_mount *wanted = arg;
    const struct hf_mount_table *now = change->now;
    struct hf_cursor path = hf_cursor(wanted->path, wanted->path_len);
    if (hf_namespace_of(now, wanted->ns) == NULL)
        return HF_FAIL(NOT_FOUND);
    if (now->mount_count >= HF_MOUNTS_MAX)
        return HF_FAIL(TOO_LARGE);
    for (size_t i = 0; i < now->mount_count; i++) {
        struct hf_cursor other = hf_cursor(now->mounts[i].path, now->mounts[i].path_len);
        if (hf_cursor_same(now->mounts[i].ns, wanted->ns) && (begins(other, path) || begins(path, other)))
            return HF_FAIL(EXISTS);
    }
    struct hf_mount made = *wanted;
    TRY(hf_random_id(&made.id));
    change->next->mounts[change->next->mount_count++] = made;
    TRY(mount_table_build(change->next));
    return put_mount(change, &made, 0);
}

hf_result hf_mount_create(struct hf_unsealed *u, const struct hf_mount *wanted,
                          const struct hf_commit *commit)
{
    if (is_reserved(hf_cursor(wanted->path, wanted->path_len)))
        return HF_FAIL(BAD_ARGUMENT);
    return make_change(u, commit, create, (void *)wanted);
}

static hf_result tune(struct change *change, void *arg)
{
    const struct hf_mount *wanted = arg;
    struct hf_cursor path = hf_cursor(wanted->path, wanted->path_len);
    const struct hf_mount *old = hf_mount_exact(change->now, wanted->ns, path);
    struct hf_records *records = change->u->records;
    uint64_t rev;
    if (old == NULL || !hf_record_exists(records, HF_TABLE_MOUNT,
                                         hf_record_id(records, HF_TABLE_MOUNT, wanted->ns, path), &rev))
        return HF_FAIL(NOT_FOUND);
    struct hf_mount tuned = *wanted;
    tuned.id = old->id;
    tuned.engine = old->engine;
    change->next->mounts[old - change->now->mounts] = tuned;
    TRY(mount_table_build(change->next));
    return put_mount(change, &tuned, rev);
}

hf_result hf_mount_tune(struct hf_unsealed *u, const struct hf_mount *wanted, const struct hf_commit *commit)
{
    return make_change(u, commit, tune, (void *)wanted);
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

struct unmount {
    struct hf_cursor ns, path;
    struct hf_id gone;
};

static hf_result unmount(struct change *change, void *arg)
{
    struct unmount *what = arg;
    struct hf_records *records = change->u->records;
    const struct hf_mount *old = hf_mount_exact(change->now, what->ns, what->path);
    struct hf_id id = hf_record_id(records, HF_TABLE_MOUNT, what->ns, what->path);
    uint64_t rev;
    if (old == NULL || !hf_record_exists(records, HF_TABLE_MOUNT, id, &rev))
        return HF_FAIL(NOT_FOUND);
    struct hf_mount_table *next = change->next;
    size_t at = (size_t)(old - change->now->mounts);
    memmove(&next->mounts[at], &next->mounts[at + 1], (next->mount_count - at - 1) * sizeof(*next->mounts));
    next->mount_count--;
    TRY(mount_table_build(next));

    what->gone = old->id;
    char name_space[sizeof(removal_prefix) + HF_HEX_LEN(16)];
    struct hf_buf name = hf_buf(name_space, sizeof(name_space));
    removal_name(&what->gone, &name);
    struct hf_cursor root = hf_cursor(root_id, 16);
    struct hf_id note = hf_record_id(records, HF_TABLE_CONFIG, root, hf_buf_cursor(&name));
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_MOUNT, id, rev));
    TRY(hf_txn_put(txn, HF_TABLE_CONFIG, note, 0, root, hf_buf_cursor(&name), 0, 0, what->ns));
    return commit_by(change->commit, txn);
}

hf_result hf_mount_remove(struct hf_unsealed *u, struct hf_cursor ns, struct hf_cursor path,
                          const struct hf_commit *commit)
{
    struct unmount what = {.ns = ns, .path = path};
    TRY(make_change(u, commit, unmount, &what));
    hf_result purged = hf_mounts_tick(u);
    hf_keys_forget_mount(u->keys, &what.gone);
    if (!HF_IS_OK(purged)) /* the mount is gone; what is left of its records goes with the next ticks */
        hf_log(HF_LOG_WARN, "mounts.removal_unfinished", hf_f("result", purged));
    return HF_DONE;
}

/* ---- namespaces ---- */

struct new_namespace {
    struct hf_core *core;
    struct hf_cursor path;
    size_t parent; /* length of the path above */
    struct hf_namespace made;
};

static hf_result create_namespace(struct change *change, void *arg)
{
    struct new_namespace *what = arg;
    const struct hf_mount_table *now = change->now;
    struct hf_cursor found;
    if (HF_IS_OK(hf_namespace_find(now, what->path, &found)))
        return HF_FAIL(EXISTS);
    TRY(hf_namespace_find(now, hf_cursor(what->path.at, what->parent), &found));
    if (now->namespace_count >= HF_NAMESPACES_MAX)
        return HF_FAIL(TOO_LARGE);
    struct hf_namespace *made = &what->made;
    struct hf_id id;
    TRY(hf_random_id(&id));
    memcpy(made->id, id.bytes, sizeof(made->id));
    memcpy(made->path, what->path.at, what->path.left);
    made->path_len = what->path.left;
    made->created_ns = hf_wall_ns(what->core->clock);
    change->next->namespaces[change->next->namespace_count++] = *made;
    TRY(mount_table_build(change->next));

    uint8_t space[MOUNT_RECORD_MAX];
    struct hf_buf plain = hf_buf(space, sizeof(space));
    namespace_record_write(made, &plain);
    struct hf_records *records = change->u->records;
    struct hf_cursor root = hf_cursor(root_id, 16);
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(records, &txn));
    TRY(hf_txn_put(txn, HF_TABLE_NAMESPACE, hf_record_id(records, HF_TABLE_NAMESPACE, root, what->path), 0,
                   root, what->path, 0, 0, hf_buf_cursor(&plain)));
    /* Its KEK first: a namespace without one could keep nothing, a KEK without a namespace is merely unused. */
    TRY(hf_seal_kek_create(what->core->seal, hf_cursor(made->id, sizeof(made->id))));
    return commit_by(change->commit, txn);
}

hf_result hf_namespace_create(struct hf_core *core, struct hf_unsealed *u, struct hf_cursor path,
                              const struct hf_commit *commit, struct hf_namespace *ret_namespace)
{
    static const char *const reserved[] = {"root/", "sys/", "audit/", "auth/", "cubbyhole/", "identity/"};
    if (path.left < 2 || path.left >= HF_NAMESPACE_PATH_MAX || path.at[path.left - 1] != '/')
        return HF_FAIL(BAD_ARGUMENT);
    struct new_namespace what = {.core = core, .path = path, .parent = path.left - 1};
    while (what.parent > 0 && path.at[what.parent - 1] != '/')
        what.parent--;
    for (size_t i = 0; i < HF_ARRAY_LEN(reserved); i++)
        if (hf_cursor_is(hf_cursor(path.at + what.parent, path.left - what.parent), reserved[i]))
            return HF_FAIL(BAD_ARGUMENT);
    TRY(make_change(u, commit, create_namespace, &what));
    *ret_namespace = what.made;
    return HF_DONE;
}

struct old_namespace {
    struct hf_cursor path;
    uint8_t gone[16];
};

static bool is_empty(const struct hf_mount_table *table, const struct hf_namespace *ns)
{
    for (size_t i = 0; i < table->mount_count; i++)
        if (hf_cursor_same(table->mounts[i].ns, hf_cursor(ns->id, sizeof(ns->id))))
            return false;
    for (size_t i = 0; i < table->namespace_count; i++) {
        const struct hf_namespace *other = &table->namespaces[i];
        if (other != ns && begins(hf_cursor(other->path, other->path_len), hf_cursor(ns->path, ns->path_len)))
            return false;
    }
    return true;
}

static hf_result remove_namespace(struct change *change, void *arg)
{
    struct old_namespace *what = arg;
    struct hf_cursor found;
    TRY(hf_namespace_find(change->now, what->path, &found));
    const struct hf_namespace *ns = hf_namespace_of(change->now, found);
    if (ns == NULL || ns->path_len == 0)
        return HF_FAIL(BAD_ARGUMENT); /* the root stays */
    if (!is_empty(change->now, ns))
        return HF_FAIL(EXISTS);
    struct hf_records *records = change->u->records;
    struct hf_cursor root = hf_cursor(root_id, 16);
    struct hf_id id = hf_record_id(records, HF_TABLE_NAMESPACE, root, hf_cursor(ns->path, ns->path_len));
    uint64_t rev;
    if (!hf_record_exists(records, HF_TABLE_NAMESPACE, id, &rev))
        return HF_FAIL(NOT_FOUND);
    memcpy(what->gone, ns->id, sizeof(what->gone));
    struct hf_mount_table *next = change->next;
    size_t at = (size_t)(ns - change->now->namespaces);
    memmove(&next->namespaces[at], &next->namespaces[at + 1],
            (next->namespace_count - at - 1) * sizeof(*next->namespaces));
    next->namespace_count--;
    TRY(mount_table_build(next));
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_NAMESPACE, id, rev));
    return commit_by(change->commit, txn);
}

hf_result hf_namespace_remove(struct hf_core *core, struct hf_unsealed *u, struct hf_cursor path,
                              const struct hf_commit *commit)
{
    struct old_namespace what = {.path = path};
    TRY(make_change(u, commit, remove_namespace, &what));
    struct hf_cursor gone = hf_cursor(what.gone, sizeof(what.gone));
    hf_result erased = hf_seal_kek_erase(core->seal, gone);
    unsigned steps_left = UINT_MAX;
    static const enum hf_table left_over[] = {HF_TABLE_POLICY, HF_TABLE_TOKEN, HF_TABLE_ACCESSOR,
                                              HF_TABLE_ROLE, HF_TABLE_SECRET_ID};
    for (size_t i = 0; i < HF_ARRAY_LEN(left_over) && HF_IS_OK(erased); i++)
        erased = purge(u->records, left_over[i], gone, hf_cursor(NULL, 0), &steps_left);
    if (!HF_IS_OK(erased)) /* nothing can reach them: the id is never given again */
        hf_log(HF_LOG_WARN, "namespaces.removal_unfinished", hf_f("result", erased));
    return HF_DONE;
}
