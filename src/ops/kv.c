/* The KV engine: version 2 (options.version "2"), and version 1 on the same records with one version kept. */
#include "ops/handlers.h"
#include "ops/core.h"
#include "ops/kv_record.h"
#include "ops/transit.h"

enum { TRIES = 8, CUSTOM_MAX = 64, PATH_MAX_BYTES = HF_STORE_NAME_MAX - 33, LIST_PAGE = 1000 };

struct kv { /* one request */
    struct hf_core *core;
    struct hf_call *call;
    struct hf_records *records;
    struct hf_cursor path; /* below data/, metadata/, ... */
    bool v1;
    char name[HF_STORE_NAME_MAX];
    size_t name_len;
    struct hf_id id;
    struct hf_record record; /* loaded */
    struct hf_kv_secret *secret;
    bool exists;
};

/* ---- where it lies --------------------------------------------------------------------------------- */

static bool is_v1(const struct hf_mount *mount)
{
    return strstr(mount->options, "\"version\":\"2\"") == NULL &&
           strstr(mount->options, "\"version\": \"2\"") == NULL;
}

static struct hf_cursor below_mount(const struct hf_call *call)
{
    struct hf_cursor path = call->wire.path;
    size_t skip = HF_MIN(call->mount->path_len, path.left);
    return hf_cursor(path.at + skip, path.left - skip);
}

/* "<mount id in hex>/" and the path: unmounting finds all by the prefix. */
static hf_result set_name(struct kv *kv, struct hf_cursor path)
{
    static const char digits[] = "0123456789abcdef";
    struct hf_buf out = hf_buf(kv->name, sizeof kv->name);
    for (size_t i = 0; i < sizeof kv->call->mount->id.bytes; i++) {
        hf_buf_u8(&out, (uint8_t)digits[kv->call->mount->id.bytes[i] >> 4]);
        hf_buf_u8(&out, (uint8_t)digits[kv->call->mount->id.bytes[i] & 15]);
    }
    hf_buf_text(&out, "/");
    hf_buf_put_cursor(&out, path);
    if (out.overflow)
        return hf_call_fail(kv->call, HF_BAD_ARGUMENT, "the path is too long");
    kv->name_len = out.len;
    kv->id = hf_record_id(kv->records, HF_TABLE_KV, kv->call->ns, hf_cursor(kv->name, kv->name_len));
    return HF_DONE;
}

static hf_result begin(struct hf_core *core, struct hf_call *call, const char *parameter, struct kv *kv)
{
    *kv = (struct kv){
        .core = core, .call = call, .records = hf_core_unsealed(core)->records, .v1 = is_v1(call->mount)};
    kv->path = kv->v1 ? below_mount(call) : hf_call_param(call, parameter);
    while (kv->path.left != 0 && kv->path.at[kv->path.left - 1] == '/' && !kv->v1)
        kv->path.left--;
    if (kv->path.left == 0)
        return hf_call_fail(call, HF_NOT_FOUND, "no path of a secret was given");
    kv->secret = hf_scratch_alloc(call->scratch, sizeof *kv->secret);
    return kv->secret == NULL ? HF_FAIL(NO_MEMORY) : set_name(kv, kv->path);
}

static hf_result load(struct kv *kv)
{
    hf_record_done(&kv->record);
    kv->record = (struct hf_record){0};
    memset(kv->secret, 0, sizeof *kv->secret);
    kv->exists = false;
    hf_result loaded = hf_record_load(kv->records, HF_TABLE_KV, kv->id, &kv->record);
    if (loaded.code == HF_NOT_FOUND)
        return HF_DONE;
    TRY(loaded);
    TRY(hf_kv_decode(kv->record.plain, kv->secret));
    kv->exists = true;
    return HF_DONE;
}

static void done(struct kv *kv)
{
    hf_record_done(&kv->record);
}

/* ---- writing --------------------------------------------------------------------------------------- */

static hf_result store(struct kv *kv)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    struct hf_store_outcome outcome;
    size_t cap = hf_kv_encoded_max(kv->secret);
    if (cap > HF_STORE_RECORD_MAX - 4096)
        return hf_call_fail(kv->call, HF_TOO_LARGE, "the secret's versions together are too large");
    uint8_t *space = hf_scratch_alloc(kv->call->scratch, cap);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(space, cap);
    hf_kv_encode(kv->secret, &out);
    TRY(hf_buf_ok(&out));
    TRY(hf_txn_begin(kv->records, &txn));
    TRY(hf_txn_put(txn, HF_TABLE_KV, kv->id, kv->exists ? kv->record.rev : 0, kv->call->ns,
                   hf_cursor(kv->name, kv->name_len), 0, 0, hf_buf_cursor(&out)));
    return hf_call_commit(kv->core, kv->call, txn, &outcome);
}

/* Loads, edits, stores; again where another request was first. */
typedef hf_result (*edit_fn)(struct kv *kv, void *arg);
static hf_result change(struct kv *kv, edit_fn edit, void *arg)
{
    hf_result result = HF_FAIL(CONFLICT);
    for (int i = 0; i < TRIES && result.code == HF_CONFLICT; i++) {
        result = load(kv);
        if (HF_IS_OK(result))
            result = edit(kv, arg);
        if (HF_IS_OK(result))
            result = store(kv);
    }
    return result;
}

static hf_result erase(struct kv *kv)
{
    hf_result result = HF_FAIL(CONFLICT);
    for (int i = 0; i < TRIES && result.code == HF_CONFLICT; i++) {
        CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
        struct hf_store_outcome outcome;
        TRY(load(kv));
        if (!kv->exists)
            return HF_DONE;
        TRY(hf_txn_begin(kv->records, &txn));
        TRY(hf_txn_delete(txn, HF_TABLE_KV, kv->id, kv->record.rev));
        result = hf_call_commit(kv->core, kv->call, txn, &outcome);
    }
    return result;
}

static hf_result no_content(struct hf_call *call, hf_result result)
{
    if (HF_IS_OK(result))
        call->shape = HF_ANSWER_NONE;
    return result;
}

/* ---- the mount's configuration ---------------------------------------------------------------------- */

/* Kept as a secret without a path: max_versions, cas_required, delete_after. */
static hf_result load_config(struct kv *kv, struct hf_kv_secret *ret_config)
{
    struct kv config = *kv;
    config.record = (struct hf_record){0};
    config.secret = ret_config;
    TRY(set_name(&config, hf_cursor("", 0)));
    hf_result loaded = load(&config);
    ret_config->custom = (struct hf_cursor){0};
    hf_record_done(&config.record);
    return loaded;
}

struct limits {
    uint32_t versions;
    bool cas_required;
    int64_t delete_after_ns;
};

static hf_result limits_of(struct kv *kv, struct limits *ret)
{
    *ret = (struct limits){.versions = 1};
    if (kv->v1)
        return HF_DONE;
    struct hf_kv_secret *config = hf_scratch_alloc(kv->call->scratch, sizeof *config);
    if (config == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(load_config(kv, config));
    ret->versions = config->max_versions != 0 ? config->max_versions : HF_KV_VERSIONS_DEFAULT;
    ret->cas_required = config->cas_required;
    ret->delete_after_ns = config->delete_after_ns;
    return HF_DONE;
}

static hf_result settings_arg(struct hf_call *call, struct hf_kv_secret *secret)
{
    int64_t versions;
    TRY(hf_tree_int(&call->args, "max_versions", secret->max_versions, &versions));
    if (versions < 0 || versions > HF_KV_VERSIONS_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "max_versions must lie between 0 and 1000");
    secret->max_versions = (uint32_t)versions;
    TRY(hf_tree_bool(&call->args, "cas_required", secret->cas_required, &secret->cas_required));
    return hf_tree_duration(&call->args, "delete_version_after", secret->delete_after_ns,
                            &secret->delete_after_ns);
}

static hf_result config_edit(struct kv *kv, void *arg)
{
    (void)arg;
    if (!kv->exists)
        kv->secret->created_ns = kv->call->now_ns;
    kv->secret->updated_ns = kv->call->now_ns;
    return settings_arg(kv->call, kv->secret);
}

static hf_result begin_config(struct hf_core *core, struct hf_call *call, struct kv *kv)
{
    *kv = (struct kv){.core = core, .call = call, .records = hf_core_unsealed(core)->records};
    kv->secret = hf_scratch_alloc(call->scratch, sizeof *kv->secret);
    return kv->secret == NULL ? HF_FAIL(NO_MEMORY) : set_name(kv, hf_cursor("", 0));
}

/* ---- texts ----------------------------------------------------------------------------------------- */

static void k_time(struct hf_tree_writer *w, const char *name, int64_t wall_ns)
{
    uint8_t text[48];
    struct hf_buf out = hf_buf(text, sizeof text);
    if (wall_ns != 0)
        hf_time_rfc3339(&out, wall_ns);
    hf_tw_k_slice(w, name, hf_buf_cursor(&out));
}

static void k_duration(struct hf_tree_writer *w, const char *name, int64_t ns)
{
    uint8_t text[48];
    struct hf_buf out = hf_buf(text, sizeof text);
    hf_buf_decimal(&out, (uint64_t)(ns / HF_SECOND));
    hf_buf_text(&out, "s");
    hf_tw_k_slice(w, name, hf_buf_cursor(&out));
}

static hf_result k_item(struct hf_tree_writer *w, const char *name, struct hf_cursor encoded)
{
    hf_tw_k(w, name);
    if (encoded.left == 0) {
        hf_tw_null(w);
        return HF_DONE;
    }
    struct hf_tree item;
    hf_result opened = hf_tree_open(encoded, &item);
    if (!HF_IS_OK(opened))
        return HF_FAIL(CORRUPT);
    hf_tw_copy(w, &item);
    return HF_DONE;
}

static hf_result encode_item(struct hf_call *call, const struct hf_tree *item, struct hf_cursor *ret)
{
    size_t cap = item->body.left + 32;
    uint8_t *space = hf_scratch_alloc(call->scratch, cap);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(space, cap);
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_tw_copy(&w, item);
    TRY(hf_buf_ok(&out));
    *ret = hf_buf_cursor(&out);
    return HF_DONE;
}

static hf_result write_version(struct hf_tree_writer *w, const struct hf_kv_secret *secret,
                               const struct hf_kv_version *v)
{
    k_time(w, "created_time", v->created_ns);
    TRY(k_item(w, "custom_metadata", secret->custom));
    k_time(w, "deletion_time", v->deleted_ns);
    hf_tw_k_bool(w, "destroyed", v->destroyed);
    hf_tw_k_int(w, "version", v->number);
    return HF_DONE;
}

static bool is_gone(const struct hf_call *call, const struct hf_kv_version *v)
{
    return v->destroyed || (v->deleted_ns != 0 && v->deleted_ns <= call->now_ns);
}

/* ---- data: read ------------------------------------------------------------------------------------ */

static hf_result read_v1(struct kv *kv, const struct hf_kv_version *v)
{
    if (v == NULL || is_gone(kv->call, v))
        return HF_FAIL(NOT_FOUND);
    struct hf_tree item;
    hf_result opened = hf_tree_open(v->data, &item);
    if (!HF_IS_OK(opened))
        return HF_FAIL(CORRUPT);
    hf_tw_copy(kv->call->w, &item);
    return HF_DONE;
}

static hf_result read_data(struct kv *kv)
{
    struct hf_tree_writer *w = kv->call->w;
    int64_t asked = 0;
    TRY(load(kv));
    if (!kv->v1)
        TRY(hf_tree_int(&kv->call->args, "version", 0, &asked));
    if (!kv->exists || asked < 0 || asked > UINT32_MAX)
        return HF_FAIL(NOT_FOUND);
    struct hf_kv_version *v = hf_kv_version(kv->secret, asked == 0 ? kv->secret->current : (uint32_t)asked);
    if (kv->v1)
        return read_v1(kv, v);
    if (v == NULL)
        return HF_FAIL(NOT_FOUND);
    bool gone = is_gone(kv->call, v);
    hf_tw_map(w);
    TRY(k_item(w, "data", gone ? hf_cursor("", 0) : v->data));
    hf_tw_k(w, "metadata");
    hf_tw_map(w);
    TRY(write_version(w, kv->secret, v));
    hf_tw_end(w);
    hf_tw_end(w);
    if (gone) /* as existing clients know it: 404, and what is left to say of it */
        kv->call->http = 404;
    return HF_DONE;
}

HF_HANDLER(hf_kv_data_read)
{
    struct kv kv;
    TRY(begin(core, call, "path", &kv));
    hf_result result = read_data(&kv);
    done(&kv);
    return result;
}

/* ---- data: write ----------------------------------------------------------------------------------- */

struct write {
    struct hf_tree data;
    struct hf_cursor encoded;
    struct limits limits;
    bool has_cas, patch;
    int64_t cas;
};

static hf_result check_cas(struct kv *kv, const struct write *in)
{
    bool required = in->limits.cas_required || kv->secret->cas_required;
    if (!in->has_cas)
        return required
                   ? hf_call_fail(kv->call, HF_BAD_ARGUMENT, "check-and-set parameter required for this call")
                   : HF_DONE;
    /* A deleted newest version counts as none: cas 0 may write over it. */
    const struct hf_kv_version *newest = hf_kv_version(kv->secret, kv->secret->current);
    if (in->cas == (int64_t)kv->secret->current ||
        (in->cas == 0 && newest != NULL && is_gone(kv->call, newest)))
        return HF_DONE;
    return hf_call_fail(kv->call, HF_BAD_ARGUMENT,
                        "check-and-set parameter did not match the current version");
}

/* RFC 7396 on one level of maps and below. */
static void merge(struct hf_tree_writer *w, const struct hf_tree *base, const struct hf_tree *patch,
                  unsigned depth)
{
    struct hf_tree_iter iter = hf_tree_iterate(base);
    struct hf_cursor key;
    struct hf_tree item;
    char name[HF_TREE_KEY_MAX + 1];
    hf_tw_map(w);
    while (hf_tree_next(&iter, &key, &item)) {
        size_t len = HF_MIN(key.left, (size_t)HF_TREE_KEY_MAX);
        memcpy(name, key.at, len);
        name[len] = '\0';
        if (!hf_tree_has(patch, name)) {
            hf_tw_key(w, key);
            hf_tw_copy(w, &item);
            continue;
        }
        struct hf_tree with = hf_tree_get(patch, name);
        if (with.tag == HF_TREE_NULL)
            continue;
        hf_tw_key(w, key);
        if (with.tag == HF_TREE_MAP && item.tag == HF_TREE_MAP && depth < HF_TREE_DEPTH_MAX / 2)
            merge(w, &item, &with, depth + 1);
        else
            hf_tw_copy(w, &with);
    }
    iter = hf_tree_iterate(patch);
    while (hf_tree_next(&iter, &key, &item)) {
        size_t len = HF_MIN(key.left, (size_t)HF_TREE_KEY_MAX);
        memcpy(name, key.at, len);
        name[len] = '\0';
        if (item.tag != HF_TREE_NULL && !hf_tree_has(base, name)) {
            hf_tw_key(w, key);
            hf_tw_copy(w, &item);
        }
    }
    hf_tw_end(w);
}

static hf_result patched(struct kv *kv, const struct write *in, struct hf_cursor *ret)
{
    const struct hf_kv_version *newest = hf_kv_version(kv->secret, kv->secret->current);
    struct hf_tree base;
    if (newest == NULL || is_gone(kv->call, newest))
        return HF_FAIL(NOT_FOUND);
    hf_result opened = hf_tree_open(newest->data, &base);
    if (!HF_IS_OK(opened))
        return HF_FAIL(CORRUPT);
    size_t cap = newest->data.left + in->data.body.left + 64;
    uint8_t *space = hf_scratch_alloc(kv->call->scratch, cap);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(space, cap);
    struct hf_tree_writer w = hf_tree_writer(&out);
    merge(&w, &base, &in->data, 0);
    TRY(hf_buf_ok(&out));
    *ret = hf_buf_cursor(&out);
    return HF_DONE;
}

static hf_result write_edit(struct kv *kv, void *arg)
{
    struct write *in = arg;
    struct hf_cursor data = in->encoded;
    if (!in->patch)
        TRY(hf_call_needs(kv->core, kv->call, kv->exists ? HF_CAP_UPDATE : HF_CAP_CREATE));
    if (!kv->v1)
        TRY(check_cas(kv, in));
    if (in->patch)
        TRY(patched(kv, in, &data));
    if (!kv->exists)
        kv->secret->created_ns = kv->call->now_ns;
    uint32_t keep = kv->secret->max_versions != 0 ? kv->secret->max_versions : in->limits.versions;
    int64_t own = kv->secret->delete_after_ns;
    if (own == 0)
        kv->secret->delete_after_ns = in->limits.delete_after_ns;
    hf_kv_add(kv->secret, data, keep, kv->call->now_ns);
    kv->secret->delete_after_ns = own;
    return HF_DONE;
}

static hf_result write_data(struct kv *kv, bool patch)
{
    struct hf_call *call = kv->call;
    struct write in = {.patch = patch};
    in.data = kv->v1 ? call->args : hf_tree_get(&call->args, "data");
    struct hf_tree options = hf_tree_get(&call->args, "options");
    if (in.data.tag != HF_TREE_MAP)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "no data provided");
    if (!kv->v1 && options.tag != HF_TREE_MAP && options.tag != HF_TREE_NULL)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "options must be a map");
    in.has_cas = !kv->v1 && hf_tree_get(&options, "cas").tag != HF_TREE_NULL;
    TRY(hf_tree_int(&options, "cas", 0, &in.cas));
    TRY(encode_item(call, &in.data, &in.encoded));
    TRY(limits_of(kv, &in.limits));
    TRY(change(kv, write_edit, &in));
    if (kv->v1)
        return no_content(call, HF_DONE);
    hf_tw_map(call->w);
    TRY(write_version(call->w, kv->secret, hf_kv_version(kv->secret, kv->secret->current)));
    hf_tw_end(call->w);
    return HF_DONE;
}

HF_HANDLER(hf_kv_data_write)
{
    struct kv kv;
    TRY(begin(core, call, "path", &kv));
    hf_result result = write_data(&kv, call->wire.method == HF_METHOD_PATCH);
    done(&kv);
    return result;
}

/* ---- data: delete, undelete, destroy ----------------------------------------------------------------- */

enum fate { FATE_DELETE, FATE_UNDELETE, FATE_DESTROY };
struct ending {
    enum fate fate;
    bool newest; /* only the newest version; else those named */
};

static void end_version(struct hf_kv_version *v, enum fate fate, int64_t now_ns)
{
    if (v == NULL || v->destroyed)
        return;
    if (fate == FATE_DELETE && (v->deleted_ns == 0 || v->deleted_ns > now_ns))
        v->deleted_ns = now_ns;
    else if (fate == FATE_UNDELETE)
        v->deleted_ns = 0;
    else if (fate == FATE_DESTROY) {
        v->destroyed = true;
        v->data = (struct hf_cursor){0};
    }
}

/* A version as clients name it: 3 or "3". What no version can have is 0. */
static bool version_of(const struct hf_tree *item, uint32_t *ret_number)
{
    *ret_number = 0;
    if (item->tag == HF_TREE_TEXT)
        return hf_parse_u32(item->body, ret_number);
    if (item->tag == HF_TREE_INT && item->number >= 1 && item->number <= UINT32_MAX)
        *ret_number = (uint32_t)item->number;
    return item->tag == HF_TREE_INT;
}

static bool versions_well_formed(const struct hf_tree *list)
{
    struct hf_tree_iter iter = hf_tree_iterate(list);
    struct hf_cursor none;
    struct hf_tree item;
    uint32_t number;
    while (hf_tree_next(&iter, &none, &item))
        if (!version_of(&item, &number))
            return false;
    return list->tag == HF_TREE_ARRAY;
}

static hf_result ending_edit(struct kv *kv, void *arg)
{
    const struct ending *in = arg;
    struct hf_call *call = kv->call;
    if (!kv->exists)
        return HF_FAIL(ALREADY);
    kv->secret->updated_ns = call->now_ns;
    if (in->newest) {
        end_version(hf_kv_version(kv->secret, kv->secret->current), in->fate, call->now_ns);
        return HF_DONE;
    }
    struct hf_tree list = hf_tree_get(&call->args, "versions");
    struct hf_tree_iter iter = hf_tree_iterate(&list);
    struct hf_cursor none;
    struct hf_tree item;
    while (hf_tree_next(&iter, &none, &item)) {
        uint32_t number;
        if (version_of(&item, &number) && number != 0)
            end_version(hf_kv_version(kv->secret, number), in->fate, call->now_ns);
    }
    return HF_DONE;
}

static hf_result end_versions(struct hf_core *core, struct hf_call *call, struct ending in)
{
    struct kv kv;
    TRY(begin(core, call, "path", &kv));
    hf_result result;
    struct hf_tree versions = hf_tree_get(&call->args, "versions");
    if (kv.v1) {
        result = erase(&kv);
    } else if (!in.newest && versions.tag != HF_TREE_ARRAY) {
        result = hf_call_fail(call, HF_BAD_ARGUMENT, "no version number provided");
    } else if (!in.newest && !versions_well_formed(&versions)) {
        result = hf_call_fail(call, HF_BAD_ARGUMENT, "versions must be a list of version numbers");
    } else {
        result = change(&kv, ending_edit, &in);
        if (result.code == HF_ALREADY) /* there is nothing: as it was asked */
            result = HF_DONE;
    }
    done(&kv);
    return no_content(call, result);
}

HF_HANDLER(hf_kv_data_delete)
{
    return end_versions(core, call, (struct ending){FATE_DELETE, true});
}

HF_HANDLER(hf_kv_delete)
{
    return end_versions(core, call, (struct ending){FATE_DELETE, false});
}

HF_HANDLER(hf_kv_undelete)
{
    return end_versions(core, call, (struct ending){FATE_UNDELETE, false});
}

HF_HANDLER(hf_kv_destroy)
{
    return end_versions(core, call, (struct ending){FATE_DESTROY, false});
}

/* ---- metadata -------------------------------------------------------------------------------------- */

static hf_result read_metadata(struct kv *kv)
{
    struct hf_tree_writer *w = kv->call->w;
    TRY(load(kv));
    if (!kv->exists)
        return HF_FAIL(NOT_FOUND);
    const struct hf_kv_secret *s = kv->secret;
    hf_tw_map(w);
    hf_tw_k_bool(w, "cas_required", s->cas_required);
    k_time(w, "created_time", s->created_ns);
    hf_tw_k_int(w, "current_version", s->current);
    TRY(k_item(w, "custom_metadata", s->custom));
    k_duration(w, "delete_version_after", s->delete_after_ns);
    hf_tw_k_int(w, "max_versions", s->max_versions);
    hf_tw_k_int(w, "oldest_version", s->count == 0 ? 0 : s->versions[0].number);
    k_time(w, "updated_time", s->updated_ns);
    hf_tw_k(w, "versions");
    hf_tw_map(w);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct hf_kv_version *v = &s->versions[i];
        uint8_t digits[16];
        struct hf_buf number = hf_buf(digits, sizeof digits);
        hf_buf_decimal(&number, v->number);
        hf_tw_key(w, hf_buf_cursor(&number));
        hf_tw_map(w);
        k_time(w, "created_time", v->created_ns);
        k_time(w, "deletion_time", v->deleted_ns);
        hf_tw_k_bool(w, "destroyed", v->destroyed);
        hf_tw_end(w);
    }
    hf_tw_end(w);
    hf_tw_end(w);
    return HF_DONE;
}

HF_HANDLER(hf_kv_metadata_read)
{
    struct kv kv;
    TRY(begin(core, call, "path", &kv));
    hf_result result = kv.v1 ? read_data(&kv) : read_metadata(&kv);
    done(&kv);
    return result;
}

static hf_result metadata_edit(struct kv *kv, void *arg)
{
    (void)arg;
    struct hf_call *call = kv->call;
    struct hf_tree custom = hf_tree_get(&call->args, "custom_metadata");
    TRY(hf_call_needs(kv->core, call, kv->exists ? HF_CAP_UPDATE : HF_CAP_CREATE));
    if (!kv->exists)
        kv->secret->created_ns = call->now_ns;
    kv->secret->updated_ns = call->now_ns;
    if (custom.tag != HF_TREE_NULL) {
        if (custom.tag != HF_TREE_MAP || custom.count > CUSTOM_MAX)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "custom_metadata must be a map of at most 64 texts");
        TRY(encode_item(call, &custom, &kv->secret->custom));
    }
    return settings_arg(call, kv->secret);
}

HF_HANDLER(hf_kv_metadata_write)
{
    struct kv kv;
    TRY(begin(core, call, "path", &kv));
    hf_result result = kv.v1 ? write_data(&kv, false) : no_content(call, change(&kv, metadata_edit, NULL));
    done(&kv);
    return result;
}

HF_HANDLER(hf_kv_metadata_delete)
{
    struct kv kv;
    TRY(begin(core, call, "path", &kv));
    hf_result result = erase(&kv);
    done(&kv);
    return no_content(call, result);
}

/* ---- list ------------------------------------------------------------------------------------------ */

struct listing {
    struct hf_tree_writer *w;
    size_t skip; /* of the row's name: mount and asked path */
    uint32_t count, seen;
    char last[HF_STORE_NAME_MAX]; /* last row */
    size_t last_len;
    char folder[HF_STORE_NAME_MAX]; /* last folder told */
    size_t folder_len;
};

static bool list_one(void *arg, struct hf_cursor name, struct hf_id id)
{
    (void)id;
    struct listing *l = arg;
    l->seen++;
    l->last_len = HF_MIN(name.left, sizeof l->last);
    memcpy(l->last, name.at, l->last_len);
    if (name.left <= l->skip)
        return true; /* the mount's configuration */
    struct hf_cursor rest = hf_cursor(name.at + l->skip, name.left - l->skip);
    const uint8_t *slash = memchr(rest.at, '/', rest.left);
    if (slash != NULL) {
        rest.left = (size_t)(slash - rest.at) + 1;
        if (hf_cursor_same(rest, hf_cursor(l->folder, l->folder_len)))
            return true;
        memcpy(l->folder, rest.at, rest.left);
        l->folder_len = rest.left;
    }
    if (l->count++ == 0) {
        hf_tw_map(l->w);
        hf_tw_k(l->w, "keys");
        hf_tw_array(l->w);
    }
    hf_tw_text(l->w, rest);
    return !l->w->out->overflow;
}

static hf_result list(struct hf_core *core, struct hf_call *call, struct hf_cursor path)
{
    struct kv kv = {.core = core, .call = call, .records = hf_core_unsealed(core)->records};
    struct listing l = {.w = call->w};
    char folder[HF_STORE_NAME_MAX];
    struct hf_buf asked = hf_buf(folder, sizeof folder);
    hf_buf_put_cursor(&asked, path);
    if (path.left != 0 && path.at[path.left - 1] != '/')
        hf_buf_text(&asked, "/");
    TRY(hf_buf_ok(&asked));
    TRY(set_name(&kv, hf_buf_cursor(&asked)));
    l.skip = kv.name_len;
    do {
        l.seen = 0;
        TRY(hf_record_names(kv.records, HF_TABLE_KV, call->ns, hf_cursor(kv.name, kv.name_len),
                            hf_cursor(l.last, l.last_len), LIST_PAGE, list_one, &l));
    } while (l.seen == LIST_PAGE);
    if (l.count == 0)
        return HF_FAIL(NOT_FOUND);
    hf_tw_end(call->w);
    hf_tw_end(call->w);
    return HF_DONE;
}

HF_HANDLER(hf_kv_metadata_list)
{
    return list(core, call, is_v1(call->mount) ? below_mount(call) : hf_call_param(call, "path"));
}

/* ---- config ---------------------------------------------------------------------------------------- */

HF_HANDLER(hf_kv_config_read)
{
    if (is_v1(call->mount))
        return hf_kv_data_read(core, call);
    struct kv kv;
    TRY(begin_config(core, call, &kv));
    hf_result loaded = load(&kv);
    hf_tw_map(call->w);
    hf_tw_k_bool(call->w, "cas_required", kv.secret->cas_required);
    k_duration(call->w, "delete_version_after", kv.secret->delete_after_ns);
    hf_tw_k_int(call->w, "max_versions", kv.secret->max_versions);
    hf_tw_end(call->w);
    done(&kv);
    return loaded;
}

HF_HANDLER(hf_kv_config_write)
{
    if (is_v1(call->mount))
        return hf_kv_data_write(core, call);
    struct kv kv;
    TRY(hf_call_needs(core, call, HF_CAP_UPDATE));
    TRY(begin_config(core, call, &kv));
    hf_result result = change(&kv, config_edit, NULL);
    done(&kv);
    return no_content(call, result);
}

/* ---- version 1 alone --------------------------------------------------------------------------------- */

static hf_result v1_only(struct hf_call *call)
{
    return is_v1(call->mount)
               ? HF_DONE
               : hf_call_fail_about(call, HF_NOT_FOUND, "no handler for route", call->wire.path);
}

HF_HANDLER(hf_kv_v1_read)
{
    TRY(v1_only(call));
    return hf_kv_data_read(core, call);
}

HF_HANDLER(hf_kv_v1_write)
{
    TRY(v1_only(call));
    return hf_kv_data_write(core, call);
}

HF_HANDLER(hf_kv_v1_delete)
{
    TRY(v1_only(call));
    return hf_kv_data_delete(core, call);
}

HF_HANDLER(hf_kv_v1_list)
{
    TRY(v1_only(call));
    return list(core, call, below_mount(call));
}
