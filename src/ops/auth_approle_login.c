/* auth/approle: secret IDs and login.
 *
 * A secret ID's record id is a keyed hash of mount, role and text, so the text is nowhere; the same id, as text, is its
 * accessor. The record's name is "<uid of the role>/<id>", which is how those of one role are listed. */
#include "ops/auth_approle.h"
#include "ops/handlers.h"

#include "base/encode.h"
#include "policy/cidr.h"

enum { SECRET_ID_MAX = 256, NAME_LEN = 65, RECORD_MAX = 16 << 10, LOGIN_TRIES = 8 };

struct secret_id {
    struct hf_id id;
    uint64_t rev;
    struct hf_tree meta, cidrs, token_cidrs;
    int64_t created_ns, updated_ns, expires_ns, ttl_s, uses; /* expires 0: never; uses 0: unlimited */
};

static struct hf_records *records_of(struct hf_core *core)
{
    return hf_core_unsealed(core)->records;
}

/* ---- the record ---- */

static struct hf_id id_of(struct hf_core *core, struct hf_call *call, const struct hf_approle *role,
                          struct hf_cursor text)
{
    uint8_t bytes[80 + SECRET_ID_MAX];
    struct hf_buf name = hf_buf(bytes, sizeof(bytes));
    hf_hex_encode(&name, hf_cursor(call->mount->id.bytes, sizeof(call->mount->id.bytes)));
    hf_hex_encode(&name, role->uid);
    hf_buf_u8(&name, '/');
    hf_buf_put(&name, text.at, HF_MIN(text.left, (size_t)SECRET_ID_MAX));
    struct hf_id id = hf_record_id(records_of(core), HF_TABLE_SECRET_ID, call->ns, hf_buf_cursor(&name));
    hf_wipe(bytes, sizeof(bytes));
    return id;
}

static void put_prefix(const struct hf_approle *role, struct hf_buf *out)
{
    hf_hex_encode(out, role->uid);
    hf_buf_u8(out, '/');
}

static hf_result put_secret_id(struct hf_call *call, struct hf_txn *txn, const struct hf_approle *role,
                               const struct secret_id *s)
{
    uint8_t name_bytes[NAME_LEN];
    struct hf_buf name = hf_buf(name_bytes, sizeof(name_bytes));
    uint8_t *bytes = hf_scratch_alloc(call->scratch, RECORD_MAX);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf plain = hf_buf(bytes, RECORD_MAX);
    struct hf_tree_writer w = hf_tree_writer(&plain);
    hf_tw_map(&w);
    hf_tw_k_bytes(&w, "uid", role->uid);
    hf_tw_k(&w, "meta");
    hf_tw_copy(&w, &s->meta);
    hf_tw_k_list(&w, "cidrs", &s->cidrs);
    hf_tw_k_list(&w, "token_cidrs", &s->token_cidrs);
    hf_tw_k_int(&w, "created", s->created_ns);
    hf_tw_k_int(&w, "updated", s->updated_ns);
    hf_tw_k_int(&w, "expires", s->expires_ns);
    hf_tw_k_int(&w, "ttl", s->ttl_s);
    hf_tw_k_int(&w, "uses", s->uses);
    hf_tw_end(&w);
    TRY(hf_buf_ok(&plain));
    put_prefix(role, &name);
    hf_hex_encode(&name, hf_cursor(s->id.bytes, sizeof(s->id.bytes)));
    TRY(hf_buf_ok(&name));
    return hf_txn_put(txn, HF_TABLE_SECRET_ID, s->id, s->rev, call->ns, hf_buf_cursor(&name), 0,
                      s->expires_ns, hf_buf_cursor(&plain));
}

/* Fails: NOT_FOUND, also where it has expired or is another role's. */
static hf_result load_secret_id(struct hf_core *core, struct hf_call *call, const struct hf_approle *role,
                                struct hf_id id, struct secret_id *ret)
{
    uint64_t rev;
    struct hf_tree map;
    struct hf_cursor plain;
    CLEANUP(hf_record_done) struct hf_record record = {0};
    if (!hf_record_exists(records_of(core), HF_TABLE_SECRET_ID, id, &rev))
        return HF_FAIL(NOT_FOUND);
    TRY(hf_record_load(records_of(core), HF_TABLE_SECRET_ID, id, &record));
    TRY(hf_auth_keep(call, record.plain, &plain));
    TRY(hf_tree_open(plain, &map));
    *ret = (struct secret_id){
        .id = id,
        .rev = record.rev,
        .meta = hf_tree_get(&map, "meta"),
        .cidrs = hf_tree_get(&map, "cidrs"),
        .token_cidrs = hf_tree_get(&map, "token_cidrs"),
        .created_ns = hf_tree_get(&map, "created").number,
        .updated_ns = hf_tree_get(&map, "updated").number,
        .expires_ns = hf_tree_get(&map, "expires").number,
        .ttl_s = hf_tree_get(&map, "ttl").number,
        .uses = hf_tree_get(&map, "uses").number,
    };
    if (!hf_cursor_same(hf_tree_get(&map, "uid").body, role->uid))
        return HF_FAIL(NOT_FOUND);
    if (ret->expires_ns != 0 && ret->expires_ns <= call->now_ns)
        return HF_FAIL(NOT_FOUND);
    return HF_DONE;
}

/* ---- making them ---- */

static hf_result within(struct hf_call *call, const struct hf_tree *inner, const struct hf_tree *outer)
{
    struct hf_tree_iter iter = hf_tree_iterate(inner);
    struct hf_cursor unused;
    struct hf_tree item;
    while (outer->count != 0 && hf_tree_next(&iter, &unused, &item)) {
        struct hf_cidr wanted, range;
        bool inside = false;
        struct hf_tree_iter ranges = hf_tree_iterate(outer);
        struct hf_tree have;
        TRY(hf_cidr_parse(item.body, &wanted));
        while (hf_tree_next(&ranges, &unused, &have))
            inside |= HF_IS_OK(hf_cidr_parse(have.body, &range)) && range.bits <= wanted.bits &&
                      hf_cidr_has(&range, wanted.ip);
        if (!inside)
            return hf_call_fail_about(call, HF_BAD_ARGUMENT, "address range is not within the role's",
                                      item.body);
    }
    return HF_DONE;
}

static hf_result read_request(struct hf_call *call, const struct hf_approle *role, struct secret_id *s)
{
    *s = (struct secret_id){
        .created_ns = call->now_ns,
        .updated_ns = call->now_ns,
        .ttl_s = role->secret_id_ttl_s,
        .uses = role->secret_id_num_uses,
    };
    TRY(hf_auth_metadata(call, "metadata", &s->meta));
    TRY(hf_auth_cidrs(call, "cidr_list", &s->cidrs));
    TRY(hf_auth_cidrs(call, "token_bound_cidrs", &s->token_cidrs));
    TRY(within(call, &s->cidrs, &role->secret_id_cidrs));
    TRY(within(call, &s->token_cidrs, &role->params.bound_cidrs));
    int64_t ttl = role->secret_id_ttl_s, uses = role->secret_id_num_uses;
    TRY(hf_auth_seconds(call, "ttl", &ttl));
    TRY(hf_auth_count(call, "num_uses", &uses));
    if (role->secret_id_ttl_s != 0 && (ttl == 0 || ttl > role->secret_id_ttl_s))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "ttl is longer than the role's secret_id_ttl");
    if (role->secret_id_num_uses != 0 && (uses == 0 || uses > role->secret_id_num_uses))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "num_uses is more than the role's secret_id_num_uses");
    if (ttl > INT64_MAX / HF_SECOND - call->now_ns / HF_SECOND - 1)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "ttl is too long");
    s->ttl_s = ttl;
    s->uses = uses;
    s->expires_ns = ttl == 0 ? 0 : call->now_ns + ttl * HF_SECOND;
    return HF_DONE;
}

static hf_result make_secret_id(struct hf_core *core, struct hf_call *call, const struct hf_approle *role,
                                struct hf_cursor text)
{
    struct secret_id s;
    struct hf_store_outcome outcome;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    uint64_t rev;
    if (!role->bind_secret_id)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "bind_secret_id is not set on the role");
    TRY(read_request(call, role, &s));
    s.id = id_of(core, call, role, text);
    if (hf_record_exists(records_of(core), HF_TABLE_SECRET_ID, s.id, &rev))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "this secret_id is in use already");
    TRY(hf_txn_begin(records_of(core), &txn));
    TRY(put_secret_id(call, txn, role, &s));
    hf_auth_note(call, s.id);
    TRY(hf_call_commit(core, call, txn, &outcome));
    struct hf_tree_writer *w = call->w;
    hf_tw_map(w);
    hf_tw_k_slice(w, "secret_id", text);
    hf_tw_k(w, "secret_id_accessor");
    hf_tw_accessor(w, s.id);
    hf_tw_k_int(w, "secret_id_num_uses", s.uses);
    hf_tw_k_int(w, "secret_id_ttl", s.ttl_s);
    hf_tw_end(w);
    return HF_DONE;
}

HF_HANDLER(hf_auth_approle_secret_id_make)
{
    struct hf_role record;
    struct hf_approle role;
    struct hf_cursor text;
    TRY(hf_approle_of(core, call, &record, &role));
    TRY(hf_approle_uuid(call, &text));
    return make_secret_id(core, call, &role, text);
}

HF_HANDLER(hf_auth_approle_secret_id_custom)
{
    struct hf_role record;
    struct hf_approle role;
    struct hf_cursor text = {0};
    TRY(hf_approle_of(core, call, &record, &role));
    TRY(hf_tree_text(&call->args, "secret_id", &text));
    if (text.left == 0 || text.left > SECRET_ID_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "secret_id must have 1 to 256 characters");
    return make_secret_id(core, call, &role, text);
}

/* ---- those of a role ---- */

struct listing {
    bool (*each)(void *arg, struct hf_id id);
    void *arg;
    uint8_t last[NAME_LEN];
    size_t last_len;
    uint32_t seen;
    bool ended;
};

static bool take_one(void *arg, struct hf_cursor name, struct hf_id id)
{
    struct listing *listing = arg;
    listing->seen++;
    listing->last_len = HF_MIN(name.left, sizeof(listing->last));
    memcpy(listing->last, name.at, listing->last_len);
    listing->ended = !listing->each(listing->arg, id);
    return !listing->ended;
}

static hf_result each_secret_id(struct hf_core *core, struct hf_call *call, const struct hf_approle *role,
                                bool (*each)(void *arg, struct hf_id id), void *arg)
{
    enum { PAGE = 1000 };
    uint8_t bytes[NAME_LEN];
    struct hf_buf prefix = hf_buf(bytes, sizeof(bytes));
    put_prefix(role, &prefix);
    struct listing listing = {.each = each, .arg = arg};
    do {
        listing.seen = 0;
        TRY(hf_record_names(records_of(core), HF_TABLE_SECRET_ID, call->ns, hf_buf_cursor(&prefix),
                            hf_cursor(listing.last, listing.last_len), PAGE, take_one, &listing));
    } while (listing.seen == PAGE && !listing.ended);
    return HF_DONE;
}

struct key_list {
    struct hf_tree_writer *w;
    size_t count;
};

static bool put_key(void *arg, struct hf_id id)
{
    struct key_list *list = arg;
    hf_tw_accessor(list->w, id);
    list->count++;
    return !list->w->out->overflow;
}

HF_HANDLER(hf_auth_approle_secret_id_list)
{
    struct hf_role record;
    struct hf_approle role;
    struct key_list list = {.w = call->w};
    TRY(hf_approle_of(core, call, &record, &role));
    hf_tw_map(call->w);
    hf_tw_k(call->w, "keys");
    hf_tw_array(call->w);
    TRY(each_secret_id(core, call, &role, put_key, &list));
    hf_tw_end(call->w);
    hf_tw_end(call->w);
    return list.count == 0 ? HF_FAIL(NOT_FOUND) : HF_DONE;
}

enum { DROP_BATCH = 8 };
struct batch {
    struct hf_id ids[DROP_BATCH];
    size_t count;
};

static bool take_batch(void *arg, struct hf_id id)
{
    struct batch *batch = arg;
    batch->ids[batch->count++] = id;
    return batch->count < DROP_BATCH;
}

/* In transactions of their own, before the role's: if it breaks off, the role is still there to be deleted again. */
hf_result hf_approle_drop_secret_ids(struct hf_core *core, struct hf_call *call,
                                     const struct hf_approle *role)
{
    for (;;) {
        struct batch batch = {0};
        struct hf_store_outcome outcome;
        CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
        TRY(each_secret_id(core, call, role, take_batch, &batch));
        if (batch.count == 0)
            return HF_DONE;
        TRY(hf_txn_begin(records_of(core), &txn));
        for (size_t i = 0; i < batch.count; i++) {
            uint64_t rev;
            if (hf_record_exists(records_of(core), HF_TABLE_SECRET_ID, batch.ids[i], &rev))
                TRY(hf_txn_delete(txn, HF_TABLE_SECRET_ID, batch.ids[i], rev));
        }
        TRY(hf_txn_commit(txn, &outcome));
    }
}

/* ---- looking at one, ending one ---- */

static hf_result secret_id_arg(struct hf_core *core, struct hf_call *call, const struct hf_approle *role,
                               struct hf_id *ret_id)
{
    struct hf_cursor text = {0};
    TRY(hf_tree_text(&call->args, "secret_id", &text));
    if (text.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing secret_id");
    if (text.left > SECRET_ID_MAX)
        return HF_FAIL(NOT_FOUND);
    *ret_id = id_of(core, call, role, text);
    return HF_DONE;
}

static hf_result accessor_arg(struct hf_call *call, struct hf_id *ret_id)
{
    struct hf_cursor text = {0};
    TRY(hf_tree_text(&call->args, "secret_id_accessor", &text));
    if (text.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing secret_id_accessor");
    return HF_IS_OK(hf_id_parse(text, ret_id)) ? HF_DONE : HF_FAIL(NOT_FOUND);
}

static hf_result no_accessor(struct hf_call *call, hf_result result)
{
    if (result.code != HF_NOT_FOUND)
        return result;
    return hf_call_fail(call, HF_NOT_FOUND, "failed to find accessor entry for secret_id_accessor");
}

static hf_result look(struct hf_core *core, struct hf_call *call, const struct hf_approle *role,
                      struct hf_id id)
{
    struct secret_id s;
    struct hf_tree_writer *w = call->w;
    TRY(load_secret_id(core, call, role, id, &s));
    hf_tw_map(w);
    hf_tw_k_list(w, "cidr_list", &s.cidrs);
    hf_tw_k_time(w, "creation_time", s.created_ns);
    if (s.expires_ns != 0)
        hf_tw_k_time(w, "expiration_time", s.expires_ns);
    else
        hf_tw_k_text(w, "expiration_time", "0001-01-01T00:00:00Z");
    hf_tw_k_time(w, "last_updated_time", s.updated_ns);
    hf_tw_k(w, "metadata");
    if (s.meta.tag == HF_TREE_MAP) {
        hf_tw_copy(w, &s.meta);
    } else {
        hf_tw_map(w);
        hf_tw_end(w);
    }
    hf_tw_k(w, "secret_id_accessor");
    hf_tw_accessor(w, s.id);
    hf_tw_k_int(w, "secret_id_num_uses", s.uses);
    hf_tw_k_int(w, "secret_id_ttl", s.ttl_s);
    hf_tw_k_list(w, "token_bound_cidrs", &s.token_cidrs);
    hf_tw_end(w);
    return HF_DONE;
}

static hf_result destroy(struct hf_core *core, struct hf_call *call, const struct hf_approle *role,
                         struct hf_id id)
{
    struct hf_store_outcome outcome;
    hf_result done = HF_FAIL(CONFLICT); /* a login counted a use in between */
    for (unsigned tries = 0; tries < LOGIN_TRIES && done.code == HF_CONFLICT; tries++) {
        struct secret_id s;
        CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
        TRY(load_secret_id(core, call, role, id, &s));
        TRY(hf_txn_begin(records_of(core), &txn));
        TRY(hf_txn_delete(txn, HF_TABLE_SECRET_ID, id, s.rev));
        hf_auth_note(call, id);
        done = hf_call_commit(core, call, txn, &outcome);
    }
    TRY(done);
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

/* One that is not there answers nothing, as existing clients expect. */
static hf_result nothing(struct hf_call *call, hf_result result)
{
    if (result.code != HF_NOT_FOUND)
        return result;
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

HF_HANDLER(hf_auth_approle_secret_id_lookup)
{
    struct hf_role record;
    struct hf_approle role;
    struct hf_id id;
    TRY(hf_approle_of(core, call, &record, &role));
    hf_result found = secret_id_arg(core, call, &role, &id);
    return nothing(call, HF_IS_OK(found) ? look(core, call, &role, id) : found);
}

HF_HANDLER(hf_auth_approle_secret_id_destroy)
{
    struct hf_role record;
    struct hf_approle role;
    struct hf_id id;
    TRY(hf_approle_of(core, call, &record, &role));
    hf_result found = secret_id_arg(core, call, &role, &id);
    return nothing(call, HF_IS_OK(found) ? destroy(core, call, &role, id) : found);
}

HF_HANDLER(hf_auth_approle_accessor_lookup)
{
    struct hf_role record;
    struct hf_approle role;
    struct hf_id id;
    TRY(hf_approle_of(core, call, &record, &role));
    hf_result found = accessor_arg(call, &id);
    return no_accessor(call, HF_IS_OK(found) ? look(core, call, &role, id) : found);
}

HF_HANDLER(hf_auth_approle_accessor_destroy)
{
    struct hf_role record;
    struct hf_approle role;
    struct hf_id id;
    TRY(hf_approle_of(core, call, &record, &role));
    hf_result found = accessor_arg(call, &id);
    return no_accessor(call, HF_IS_OK(found) ? destroy(core, call, &role, id) : found);
}

/* ---- login ---- */

/* One try. Fails: NOT_FOUND for whatever is wrong with what was shown, CONFLICT where another login counted. */
static hf_result login_once(struct hf_core *core, struct hf_call *call, struct hf_cursor role_id,
                            struct hf_cursor text)
{
    struct hf_cursor name;
    struct hf_role record;
    struct hf_approle role;
    struct secret_id s = {0};
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_approle_by_role_id(core, call, role_id, &name));
    TRY(hf_approle_open(core, call, name, &record, &role));
    if (record.rev == 0 || !hf_cursor_same(role.role_id, role_id) ||
        !hf_auth_cidrs_have(&role.secret_id_cidrs, call->wire.peer_ip) ||
        !hf_auth_cidrs_have(&role.params.bound_cidrs, call->wire.peer_ip))
        return HF_FAIL(NOT_FOUND);
    TRY(hf_txn_begin(records_of(core), &txn));
    if (role.bind_secret_id) {
        if (text.left == 0 || text.left > SECRET_ID_MAX)
            return HF_FAIL(NOT_FOUND);
        TRY(load_secret_id(core, call, &role, id_of(core, call, &role, text), &s));
        if (!hf_auth_cidrs_have(&s.cidrs, call->wire.peer_ip))
            return HF_FAIL(NOT_FOUND);
        if (s.uses == 1) {
            TRY(hf_txn_delete(txn, HF_TABLE_SECRET_ID, s.id, s.rev));
        } else if (s.uses > 1) {
            s.uses--;
            s.updated_ns = call->now_ns;
            TRY(put_secret_id(call, txn, &role, &s));
        }
        if (s.token_cidrs.count != 0)
            role.params.bound_cidrs = s.token_cidrs;
    }
    uint8_t bytes[HF_ROLE_NAME_MAX + HF_TOKEN_META_MAX + 64];
    struct hf_buf meta = hf_buf(bytes, sizeof(bytes));
    struct hf_tree_writer w = hf_tree_writer(&meta);
    hf_tw_map(&w);
    hf_tw_k_slice(&w, "role_name", name);
    struct hf_tree_iter iter = hf_tree_iterate(&s.meta);
    struct hf_cursor key;
    struct hf_tree item;
    while (hf_tree_next(&iter, &key, &item)) {
        if (hf_cursor_is(key, "role_name"))
            continue;
        hf_tw_key(&w, key);
        hf_tw_copy(&w, &item);
    }
    hf_tw_end(&w);
    struct hf_login login = {
        .params = &role.params,
        .display_name = hf_cursor_text("approle"),
        .path = call->wire.path,
        .renewable = true,
    };
    TRY(hf_buf_ok(&meta));
    TRY(hf_tree_open(hf_buf_cursor(&meta), &login.meta));
    return hf_auth_login(core, call, &login, txn);
}

HF_HANDLER(hf_auth_approle_login)
{
    struct hf_policy *policy = hf_core_unsealed(core)->policy;
    struct hf_cursor role_id = {0}, text = {0};
    TRY(hf_tree_text(&call->args, "role_id", &role_id));
    TRY(hf_tree_text(&call->args, "secret_id", &text));
    if (role_id.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing role_id");
    TRY(hf_limits_check(policy, call->wire.peer_ip, role_id));
    hf_result done = HF_FAIL(CONFLICT);
    for (unsigned tries = 0; tries < LOGIN_TRIES && done.code == HF_CONFLICT; tries++)
        done = login_once(core, call, role_id, text);
    if (done.code == HF_NOT_FOUND) {
        hf_limits_failed(policy, call->wire.peer_ip, role_id);
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid role or secret ID");
    }
    if (HF_IS_OK(done))
        hf_limits_succeeded(policy, call->wire.peer_ip, role_id);
    return done;
}
