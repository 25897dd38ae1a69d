/* Records of roles: AppRole's, the token store's, certificates'. */
#include "ops/auth.h"

#include "base/encode.h"

enum { PREFIX_MAX = 64 };

/* "<kind>/<mount>/"; auth/token has no mount of its own. */
static void put_prefix(const struct hf_call *call, const char *kind, struct hf_buf *out)
{
    static const struct hf_id none;
    const struct hf_id *mount = call->mount != NULL ? &call->mount->id : &none;
    hf_buf_text(out, kind);
    hf_buf_u8(out, '/');
    hf_hex_encode(out, hf_cursor(mount->bytes, sizeof(mount->bytes)));
    hf_buf_u8(out, '/');
}

static hf_result check_name(struct hf_call *call, struct hf_cursor name)
{
    if (name.left == 0 || name.left > HF_ROLE_NAME_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "a name must have 1 to 128 characters");
    for (size_t i = 0; i < name.left; i++)
        if (name.at[i] <= ' ' || name.at[i] == 0x7f)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "a name has a character that it may not have");
    return HF_DONE;
}

hf_result hf_role_load(struct hf_core *core, struct hf_call *call, const char *kind, struct hf_cursor name,
                       struct hf_role *ret_role)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    uint8_t bytes[PREFIX_MAX + HF_ROLE_NAME_MAX];
    struct hf_buf full = hf_buf(bytes, sizeof(bytes));
    struct hf_role role = {0};
    TRY(check_name(call, name));
    put_prefix(call, kind, &full);
    hf_buf_put_cursor(&full, name);
    TRY(hf_buf_ok(&full));
    TRY(hf_auth_keep(call, hf_buf_cursor(&full), &role.full_name));
    role.id = hf_record_id(u->records, HF_TABLE_ROLE, call->ns, role.full_name);
    CLEANUP(hf_record_done) struct hf_record record = {0};
    hf_result loaded = hf_record_load(u->records, HF_TABLE_ROLE, role.id, &record);
    if (HF_IS_OK(loaded)) {
        struct hf_cursor plain;
        TRY(hf_auth_keep(call, record.plain, &plain));
        TRY(hf_tree_open(plain, &role.map));
        role.rev = record.rev;
    } else if (loaded.code != HF_NOT_FOUND) {
        return loaded;
    }
    *ret_role = role;
    return HF_DONE;
}

hf_result hf_role_put(struct hf_call *call, const struct hf_role *role, struct hf_cursor plain,
                      struct hf_txn *txn)
{
    return hf_txn_put(txn, HF_TABLE_ROLE, role->id, role->rev, call->ns, role->full_name, 0, 0, plain);
}

hf_result hf_role_save(struct hf_core *core, struct hf_call *call, const struct hf_role *role,
                       struct hf_cursor plain)
{
    struct hf_store_outcome outcome;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(hf_core_unsealed(core)->records, &txn));
    TRY(hf_role_put(call, role, plain, txn));
    TRY(hf_call_commit(core, call, txn, &outcome));
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

hf_result hf_role_delete(struct hf_core *core, struct hf_call *call, const char *kind, struct hf_cursor name)
{
    struct hf_role role;
    struct hf_store_outcome outcome;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_role_load(core, call, kind, name, &role));
    call->shape = HF_ANSWER_NONE;
    if (role.rev == 0)
        return HF_DONE;
    TRY(hf_txn_begin(hf_core_unsealed(core)->records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_ROLE, role.id, role.rev));
    return hf_call_commit(core, call, txn, &outcome);
}

struct names {
    bool (*each)(void *arg, struct hf_cursor name);
    void *arg;
    size_t prefix_len;
    uint8_t last[HF_STORE_NAME_MAX];
    size_t last_len;
    uint32_t seen;
    bool ended;
};

static bool take_name(void *arg, struct hf_cursor name, struct hf_id id)
{
    struct names *names = arg;
    (void)id;
    names->seen++;
    names->last_len = HF_MIN(name.left, sizeof(names->last));
    memcpy(names->last, name.at, names->last_len);
    if (name.left < names->prefix_len)
        return true;
    names->ended =
        !names->each(names->arg, hf_cursor(name.at + names->prefix_len, name.left - names->prefix_len));
    return !names->ended;
}

hf_result hf_role_names(struct hf_core *core, struct hf_call *call, const char *kind,
                        bool (*each)(void *arg, struct hf_cursor name), void *arg)
{
    enum { PAGE = 1000 };
    uint8_t bytes[PREFIX_MAX];
    struct hf_buf prefix = hf_buf(bytes, sizeof(bytes));
    put_prefix(call, kind, &prefix);
    TRY(hf_buf_ok(&prefix));
    struct names names = {.each = each, .arg = arg, .prefix_len = prefix.len};
    do {
        names.seen = 0;
        TRY(hf_record_names(hf_core_unsealed(core)->records, HF_TABLE_ROLE, call->ns, hf_buf_cursor(&prefix),
                            hf_cursor(names.last, names.last_len), PAGE, take_name, &names));
    } while (names.seen == PAGE && !names.ended);
    return HF_DONE;
}

struct key_list {
    struct hf_tree_writer *w;
    size_t count;
};

static bool put_key(void *arg, struct hf_cursor name)
{
    struct key_list *list = arg;
    hf_tw_text(list->w, name);
    list->count++;
    return !list->w->out->overflow;
}

hf_result hf_role_list(struct hf_core *core, struct hf_call *call, const char *kind)
{
    struct key_list list = {.w = call->w};
    hf_tw_map(call->w);
    hf_tw_k(call->w, "keys");
    hf_tw_array(call->w);
    TRY(hf_role_names(core, call, kind, put_key, &list));
    hf_tw_end(call->w);
    hf_tw_end(call->w);
    return list.count == 0 ? HF_FAIL(NOT_FOUND) : HF_DONE;
}
