/* Opening, finding, listing and changing keys. */
#include <stdlib.h>

#include "crypto/crypto.h"
#include "keys/inner.h"

enum { LIST_PAGE = 1000, FIND_TRIES = 8 };

hf_result hf_keys_open(struct hf_records *records, struct hf_keystore *keystore, hf_keys_kek_fn kek,
                       void *kek_arg, const struct hf_clock *clock, struct hf_keys **ret_keys)
{
    struct hf_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return HF_FAIL(NO_MEMORY);
    keys->records = records;
    keys->keystore = keystore;
    keys->kek = kek;
    keys->kek_arg = kek_arg;
    keys->clock = clock;
    keys->hot_max = HF_KEYS_HOT_MAX;
    keys->buckets = calloc(HF_KEYS_BUCKETS, sizeof *keys->buckets);
    hf_result result = keys->buckets == NULL ? HF_FAIL(NO_MEMORY) : hf_random(keys->seed, sizeof keys->seed);
    if (!HF_IS_OK(result)) {
        free((void *)keys->buckets);
        free(keys);
        return result;
    }
    pthread_mutex_init(&keys->table, NULL);
    pthread_mutex_init(&keys->worn_lock, NULL);
    for (size_t i = 0; i < HF_KEYS_STRIPES; i++)
        pthread_mutex_init(&keys->stripes[i], NULL);
    *ret_keys = keys;
    return HF_DONE;
}

void hf_keys_close(struct hf_keys *keys)
{
    if (keys == NULL)
        return;
    hf_keys_table_free(keys);
    for (size_t i = 0; i < HF_KEYS_STRIPES; i++)
        pthread_mutex_destroy(&keys->stripes[i]);
    pthread_mutex_destroy(&keys->worn_lock);
    pthread_mutex_destroy(&keys->table);
    free(keys);
}

void hf_keys_limit(struct hf_keys *keys, size_t hot_max, uint64_t uses_max)
{
    keys->hot_max = hot_max == 0 ? HF_KEYS_HOT_MAX : hot_max;
    keys->uses_max = uses_max;
}

void hf_keys_stats(struct hf_keys *keys, struct hf_keys_stats *ret_stats)
{
    pthread_mutex_lock(&keys->table);
    ret_stats->hot = keys->hot;
    pthread_mutex_unlock(&keys->table);
    ret_stats->loaded = hf_key_live_loaded();
    ret_stats->evicted = atomic_load_explicit(&keys->evicted, memory_order_relaxed);
    ret_stats->blocks = atomic_load_explicit(&keys->blocks, memory_order_relaxed);
}

/* ---- finding --------------------------------------------------------------------------------------- */

/* Reads the record and holds it against what it was asked for: a record sealed for another name does not pass. */
static hf_result read_key(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                          struct hf_cursor name, struct hf_id record_id, struct hf_key **ret_key)
{
    CLEANUP(hf_record_done) struct hf_record record = {0};
    CLEANUP(hf_key_freep) struct hf_key *key = NULL;
    TRY(hf_record_load(keys->records, HF_TABLE_KEY, record_id, &record));
    TRY(hf_key_decode(record.plain, &key));
    bool right = hf_cursor_same(hf_cursor(key->name, key->name_len), name) &&
                 hf_cursor_same(hf_cursor(key->mount.bytes, 16), hf_cursor(mount->bytes, 16)) &&
                 hf_cursor_same(hf_cursor(key->ns, 16), ns);
    if (!right) {
        hf_log(HF_LOG_ERROR, "keys.mismatch", hf_f("record", record_id));
        return HF_FAIL(CORRUPT);
    }
    key->record_id = record_id;
    key->rev = record.rev;
    *ret_key = TAKE(key);
    return HF_DONE;
}

static hf_result record_id_of(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                              struct hf_cursor name, struct hf_id *ret_id)
{
    struct hf_key_row_name row;
    TRY(hf_key_row_name(mount, name, &row));
    *ret_id = hf_record_id(keys->records, HF_TABLE_KEY, ns, hf_cursor(row.text, row.len));
    return HF_DONE;
}

hf_result hf_keys_find(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                       struct hf_cursor name, bool may_wait, const struct hf_key **ret_key)
{
    uint64_t hash = hf_keys_hash(keys, mount, name);
    const struct hf_key *hot = hf_keys_table_find(keys, hash, mount, name);
    if (hot != NULL) {
        *ret_key = hot;
        return HF_DONE;
    }
    if (name.left == 0 || name.left > HF_KEY_NAME_MAX)
        return HF_FAIL(NOT_FOUND);
    struct hf_id record_id;
    TRY(record_id_of(keys, mount, ns, name, &record_id));
    for (int i = 0; i < FIND_TRIES; i++) {
        if (!hf_record_exists(keys->records, HF_TABLE_KEY, record_id, NULL))
            return HF_FAIL(NOT_FOUND);
        if (!may_wait)
            return HF_FAIL(WOULD_BLOCK);
        struct hf_key *key = NULL;
        TRY(read_key(keys, mount, ns, name, record_id, &key));
        hf_result put = hf_keys_table_put(keys, key);
        if (put.code == HF_STALE)
            continue; /* changed between the read and now */
        TRY(put);
        *ret_key = key; /* the table's; this epoch keeps it */
        return HF_DONE;
    }
    return HF_FAIL(CONFLICT);
}

struct names {
    bool (*each)(void *arg, struct hf_cursor name);
    void *arg;
    size_t skip;
    uint32_t seen;
    bool stopped;
    char last[HF_STORE_NAME_MAX];
    size_t last_len;
};

static bool one_name(void *arg, struct hf_cursor row_name, struct hf_id id)
{
    (void)id;
    struct names *names = arg;
    names->seen++;
    names->last_len = HF_MIN(row_name.left, sizeof names->last);
    memcpy(names->last, row_name.at, names->last_len);
    if (row_name.left <= names->skip)
        return true;
    struct hf_cursor name = hf_cursor(row_name.at + names->skip, row_name.left - names->skip);
    if (!hf_key_name_ok(name)) /* the mount's own: wrapping keys */
        return true;
    names->stopped = !names->each(names->arg, name);
    return !names->stopped;
}

hf_result hf_keys_names(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                        bool (*each)(void *arg, struct hf_cursor name), void *arg)
{
    struct hf_key_row_name prefix;
    TRY(hf_key_row_name(mount, hf_cursor("", 0), &prefix));
    struct names names = {.each = each, .arg = arg, .skip = prefix.len};
    do {
        names.seen = 0;
        TRY(hf_record_names(keys->records, HF_TABLE_KEY, ns, hf_cursor(prefix.text, prefix.len),
                            hf_cursor(names.last, names.last_len), LIST_PAGE, one_name, &names));
    } while (!names.stopped && names.seen == LIST_PAGE);
    return HF_DONE;
}

/* ---- changing -------------------------------------------------------------------------------------- */

static int64_t due_of(const struct hf_key *key)
{
    return key->auto_rotate_ns == 0 ? 0 : key->rotated_ns + key->auto_rotate_ns;
}

static hf_result put_draft(struct hf_key *draft, struct hf_txn *txn, uint8_t **ret_plain,
                           struct hf_cursor *ret_encoded)
{
    struct hf_key_row_name row;
    TRY(hf_key_row_name(&draft->mount, hf_cursor(draft->name, draft->name_len), &row));
    size_t cap = hf_key_encoded_max(draft);
    if (cap > HF_STORE_RECORD_MAX - 4096)
        return HF_FAIL(TOO_LARGE);
    uint8_t *plain = malloc(cap);
    if (plain == NULL)
        return HF_FAIL(NO_MEMORY);
    *ret_plain = plain;
    struct hf_buf out = hf_buf(plain, cap);
    hf_key_encode(draft, &out);
    TRY(hf_buf_ok(&out));
    *ret_encoded = hf_buf_cursor(&out);
    const struct hf_key_version *current = hf_key_current(draft);
    uint8_t state = current == NULL ? HF_KEY_PRE_ACTIVE : (uint8_t)current->state;
    return hf_txn_put(txn, HF_TABLE_KEY, draft->record_id, draft->rev, hf_cursor(draft->ns, 16),
                      hf_cursor(row.text, row.len), state, due_of(draft), *ret_encoded);
}

static void free_plain(uint8_t **plain)
{
    free(*plain);
}

/* Writes the draft and publishes what was written. */
static hf_result commit_draft(struct hf_keys *keys, struct hf_key *draft, const struct hf_key_change *change,
                              const struct hf_key **ret_key)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    CLEANUP(free_plain) uint8_t *plain = NULL;
    CLEANUP(hf_key_freep) struct hf_key *fresh = NULL;
    struct hf_cursor encoded;
    TRY(hf_txn_begin(keys->records, &txn));
    TRY(put_draft(draft, txn, &plain, &encoded));
    TRY(hf_key_decode(encoded, &fresh)); /* before the commit: nothing after it may fail */
    fresh->record_id = draft->record_id;
    fresh->rev = draft->rev + 1;
    for (uint32_t i = 0; i < fresh->count; i++) {
        if (draft->versions[i].live != NULL)
            fresh->versions[i].live = hf_key_live_ref(draft->versions[i].live);
    }
    hf_result committed = change->commit(txn, change->arg);
    if (!HF_IS_OK(committed)) {
        if (committed.code == HF_COMMIT_UNKNOWN) /* read again what became of it */
            hf_keys_table_drop(keys, &draft->mount, hf_cursor(draft->name, draft->name_len));
        return committed;
    }
    struct hf_key *published = TAKE(fresh);
    hf_result put = hf_keys_table_put(keys, published);
    if (!HF_IS_OK(put)) { /* memory, or already changed again: the next reader loads it */
        hf_keys_table_drop(keys, &draft->mount, hf_cursor(draft->name, draft->name_len));
        if (ret_key != NULL)
            return hf_keys_find(keys, &draft->mount, hf_cursor(draft->ns, 16),
                                hf_cursor(draft->name, draft->name_len), true, ret_key);
        return HF_DONE;
    }
    if (ret_key != NULL)
        *ret_key = published;
    return HF_DONE;
}

static pthread_mutex_t *stripe_of(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor name)
{
    return &keys->stripes[hf_keys_hash(keys, mount, name) % HF_KEYS_STRIPES];
}

static hf_result create(struct hf_keys *keys, const struct hf_key_spec *spec, struct hf_key *draft,
                        const struct hf_key_change *change, const struct hf_key **ret_key)
{
    TRY(record_id_of(keys, &spec->mount, spec->ns, spec->name, &draft->record_id));
    if (hf_record_exists(keys->records, HF_TABLE_KEY, draft->record_id, NULL))
        return HF_FAIL(EXISTS);
    TRY(hf_random_id(&draft->id));
    draft->mount = spec->mount;
    memcpy(draft->ns, spec->ns.at, sizeof draft->ns);
    memcpy(draft->name, spec->name.at, spec->name.left);
    draft->name_len = spec->name.left;
    draft->alg = spec->alg;
    draft->info = hf_alg_info(spec->alg);
    draft->flags = spec->flags;
    draft->key_bytes = spec->key_bytes;
    draft->auto_rotate_ns = spec->auto_rotate_ns;
    draft->min_decryption = 1;
    draft->created_ns = draft->rotated_ns = hf_wall_ns(keys->clock);
    if (draft->info == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(change->edit(keys, draft, change->arg));
    hf_result result = commit_draft(keys, draft, change, ret_key);
    return result.code == HF_CONFLICT ? HF_FAIL(EXISTS) : result;
}

hf_result hf_keys_create(struct hf_keys *keys, const struct hf_key_spec *spec,
                         const struct hf_key_change *change, const struct hf_key **ret_key)
{
    if (spec->name.left == 0 || spec->name.left > HF_KEY_NAME_MAX || spec->ns.left != 16)
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_key *draft = calloc(1, sizeof *draft);
    if (draft == NULL)
        return HF_FAIL(NO_MEMORY);
    pthread_mutex_t *stripe = stripe_of(keys, &spec->mount, spec->name);
    pthread_mutex_lock(stripe);
    hf_result result = create(keys, spec, draft, change, ret_key);
    pthread_mutex_unlock(stripe);
    hf_key_freep(&draft);
    return result;
}

static hf_result change_once(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                             struct hf_cursor name, const struct hf_key_change *change,
                             const struct hf_key **ret_key)
{
    const struct hf_key *key = NULL;
    CLEANUP(hf_key_freep) struct hf_key *draft = NULL;
    TRY(hf_keys_find(keys, mount, ns, name, true, &key));
    TRY(hf_key_copy(key, &draft));
    TRY(change->edit(keys, draft, change->arg));
    TRY(hf_key_rewrap(keys, draft));
    return commit_draft(keys, draft, change, ret_key);
}

hf_result hf_keys_change(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                         struct hf_cursor name, const struct hf_key_change *change,
                         const struct hf_key **ret_key)
{
    pthread_mutex_t *stripe = stripe_of(keys, mount, name);
    pthread_mutex_lock(stripe);
    hf_result result = HF_FAIL(CONFLICT);
    for (int i = 0; i < HF_KEY_CHANGE_TRIES && result.code == HF_CONFLICT; i++) {
        result = change_once(keys, mount, ns, name, change, ret_key);
        if (result.code == HF_CONFLICT) /* another node was first: read what it wrote */
            hf_keys_table_drop(keys, mount, name);
    }
    pthread_mutex_unlock(stripe);
    return result;
}

static hf_result delete_once(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                             struct hf_cursor name, const struct hf_key_change *change)
{
    const struct hf_key *key = NULL;
    CLEANUP(hf_key_freep) struct hf_key *draft = NULL;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_keys_find(keys, mount, ns, name, true, &key));
    TRY(hf_key_copy(key, &draft));
    TRY(change->edit(keys, draft, change->arg));
    TRY(hf_txn_begin(keys->records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_KEY, draft->record_id, draft->rev));
    TRY(change->commit(txn, change->arg));
    for (uint32_t i = 0; i < draft->count; i++) {
        if (draft->versions[i].blob.left != 0)
            HF_IGNORE(keys->keystore->ops->destroy(keys->keystore, draft->versions[i].blob),
                      "the record is gone: nothing refers to what the keystore may still hold");
    }
    return HF_DONE;
}

hf_result hf_keys_delete(struct hf_keys *keys, const struct hf_id *mount, struct hf_cursor ns,
                         struct hf_cursor name, const struct hf_key_change *change)
{
    pthread_mutex_t *stripe = stripe_of(keys, mount, name);
    pthread_mutex_lock(stripe);
    hf_result result = HF_FAIL(CONFLICT);
    for (int i = 0; i < HF_KEY_CHANGE_TRIES && result.code == HF_CONFLICT; i++) {
        result = delete_once(keys, mount, ns, name, change);
        if (HF_IS_OK(result) || result.code == HF_CONFLICT || result.code == HF_COMMIT_UNKNOWN)
            hf_keys_table_drop(keys, mount, name);
    }
    pthread_mutex_unlock(stripe);
    return result;
}
