/* Keys: create, read, list, delete, configure, rotate, trim, and the states of their versions. */
#include "ops/handlers.h"
#include "ops/transit.h"

enum { HMAC_BYTES_MIN = 32, HMAC_BYTES_MAX = 512 };
#define AUTO_ROTATE_MIN_NS (3600 * HF_SECOND)

/* ---- changes under the call's leaf ----------------------------------------------------------------- */

struct change {
    struct hf_core *core;
    struct hf_call *call;
    hf_key_edit_fn edit;
    void *arg;
    const struct hf_transit_new *made;
};

static hf_result change_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct change *c = arg;
    TRY(c->edit(keys, draft, c->arg));
    hf_transit_note(c->call, draft, draft->latest);
    return HF_DONE;
}

static hf_result change_commit(struct hf_txn *txn, void *arg)
{
    struct change *c = arg;
    struct hf_store_outcome outcome;
    return hf_call_commit(c->core, c->call, txn, &outcome);
}

hf_result hf_transit_change(struct hf_core *core, struct hf_call *call, hf_key_edit_fn edit, void *arg,
                            const char *missing, const struct hf_key **ret_key)
{
    struct change c = {.core = core, .call = call, .edit = edit, .arg = arg};
    struct hf_key_change change = {change_edit, change_commit, &c};
    hf_result result = hf_keys_change(hf_transit_keys(core), &call->mount->id, call->ns,
                                      hf_transit_name(call), &change, ret_key);
    if (result.code == HF_NOT_FOUND && missing != NULL && call->error[0] == '\0')
        return hf_call_fail(call, HF_BAD_ARGUMENT, missing);
    return result;
}

/* ---- create ---------------------------------------------------------------------------------------- */

static hf_result new_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct hf_call *call = arg;
    return hf_key_add_generated(keys, draft, HF_KEY_ACTIVE, call->now_ns);
}

hf_result hf_transit_new_check(struct hf_call *call, const struct hf_transit_new *made)
{
    const struct hf_alg_info *info = hf_alg_info(made->alg);
    if (!hf_key_name_ok(hf_transit_name(call)))
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "invalid key name: letters, digits, '_', '-' and '.' are allowed");
    if ((made->flags & HF_KEY_CONVERGENT) && !(made->flags & HF_KEY_DERIVED))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "convergent encryption requires derivation to be enabled");
    if ((made->flags & HF_KEY_DERIVED) && !(info->uses & HF_USE_DERIVE))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "key derivation is not supported for keys of type",
                                  hf_cursor_text(info->type));
    if ((made->flags & HF_KEY_CONVERGENT) && !(info->uses & HF_USE_SEAL))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                                  "convergent encryption is not supported for keys of type",
                                  hf_cursor_text(info->type));
    if (made->key_bytes != 0 && made->alg != HF_ALG_HMAC)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "key_size can only be set for keys of type hmac");
    if (made->key_bytes != 0 && (made->key_bytes < HMAC_BYTES_MIN || made->key_bytes > HMAC_BYTES_MAX))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid key_size: it must lie between 32 and 512 bytes");
    if (made->auto_rotate_ns != 0 && made->auto_rotate_ns < AUTO_ROTATE_MIN_NS)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "auto rotate period must be 0 to disable or at least an hour");
    return HF_DONE;
}

hf_result hf_transit_create(struct hf_core *core, struct hf_call *call, const struct hf_transit_new *made,
                            const struct hf_key **ret_key)
{
    struct hf_key_spec spec = {
        .mount = call->mount->id,
        .ns = call->ns,
        .name = hf_transit_name(call),
        .alg = made->alg,
        .flags = made->flags,
        .key_bytes = made->key_bytes,
        .auto_rotate_ns = made->auto_rotate_ns,
    };
    struct change c = {.core = core, .call = call, .edit = new_edit, .arg = call};
    struct hf_key_change change = {change_edit, change_commit, &c};
    return hf_keys_create(hf_transit_keys(core), &spec, &change, ret_key);
}

static hf_result flag_arg(struct hf_call *call, const char *name, uint32_t flag, uint32_t *flags)
{
    bool set;
    TRY(hf_arg_bool(call, name, false, &set));
    if (set)
        *flags |= flag;
    return HF_DONE;
}

/* type, or what the key is for; nothing said: data. */
static hf_result alg_arg(struct hf_call *call, enum hf_alg *ret_alg)
{
    struct hf_cursor type, purpose, set, pqc, ec;
    TRY(hf_arg_text(call, "type", &type));
    TRY(hf_arg_text(call, "purpose", &purpose));
    TRY(hf_arg_text(call, "parameter_set", &set));
    TRY(hf_arg_text(call, "hybrid_key_type_pqc", &pqc));
    TRY(hf_arg_text(call, "hybrid_key_type_ec", &ec));
    if (type.left == 0) {
        if (purpose.left == 0 || hf_cursor_is(purpose, "encryption"))
            type = hf_cursor_text("aes256-gcm96");
        else if (hf_cursor_is(purpose, "signing"))
            type = hf_cursor_text("hybrid");
        else if (hf_cursor_is(purpose, "key-agreement"))
            type = hf_cursor_text("x25519mlkem768");
        else
            return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                                      "unknown purpose (encryption, signing, key-agreement)", purpose);
    }
    /* Not every algorithm is a transit key: one that only wraps keys has no route here. */
    const uint32_t served = HF_USE_SEAL | HF_USE_SIGN | HF_USE_KEM | HF_USE_AGREE | HF_USE_MAC;
    if (!HF_IS_OK(hf_alg_find(type, set, pqc, ec, ret_alg)) || !(hf_alg_info(*ret_alg)->uses & served))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "unknown key type", type);
    if (set.left != 0 && hf_alg_info(*ret_alg)->parameter_set == NULL)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "parameter_set does not apply to key type", type);
    if ((pqc.left != 0 || ec.left != 0) && hf_alg_info(*ret_alg)->hybrid_pqc == NULL)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                                  "hybrid_key_type_pqc and hybrid_key_type_ec do not apply to key type",
                                  type);
    return HF_DONE;
}

hf_result hf_transit_new_args(struct hf_call *call, struct hf_transit_new *ret)
{
    struct hf_transit_new made = {0};
    int64_t key_size;
    TRY(alg_arg(call, &made.alg));
    TRY(flag_arg(call, "derived", HF_KEY_DERIVED, &made.flags));
    TRY(flag_arg(call, "convergent_encryption", HF_KEY_CONVERGENT, &made.flags));
    TRY(flag_arg(call, "exportable", HF_KEY_EXPORTABLE, &made.flags));
    TRY(flag_arg(call, "allow_plaintext_backup", HF_KEY_PLAIN_BACKUP, &made.flags));
    TRY(hf_arg_duration(call, "auto_rotate_period", 0, &made.auto_rotate_ns));
    TRY(hf_arg_int(call, "key_size", 0, &key_size));
    if (key_size < 0 || key_size > HMAC_BYTES_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid key_size: it must lie between 32 and 512 bytes");
    made.key_bytes = (uint32_t)key_size;
    *ret = made;
    return hf_transit_new_check(call, ret);
}

HF_HANDLER(hf_transit_key_create)
{
    struct hf_transit_new made = {0};
    TRY(hf_transit_new_args(call, &made));
    const struct hf_key *key = NULL;
    hf_result created = hf_transit_create(core, call, &made, &key);
    if (created.code == HF_EXISTS) { /* as existing clients know it: not an error */
        TRY(hf_transit_key(core, call, NULL, &key));
        if (key->alg != made.alg)
            hf_call_warn(call, "key already existed, with another type; nothing was changed");
        else
            hf_call_warn(call, "key already existed; nothing was changed");
    } else {
        TRY(created);
    }
    return hf_transit_info(core, call, key);
}

/* ---- read, list, delete ---------------------------------------------------------------------------- */

HF_HANDLER(hf_transit_key_read)
{
    const struct hf_key *key;
    TRY(hf_transit_key(core, call, NULL, &key));
    return hf_transit_info(core, call, key);
}

struct names {
    struct hf_tree_writer *w;
    uint32_t count;
};

static bool add_name(void *arg, struct hf_cursor name)
{
    struct names *names = arg;
    if (names->count++ == 0) {
        hf_tw_map(names->w);
        hf_tw_k(names->w, "keys");
        hf_tw_array(names->w);
    }
    hf_tw_text(names->w, name);
    return !names->w->out->overflow;
}

HF_HANDLER(hf_transit_key_list)
{
    struct names names = {.w = call->w};
    TRY(hf_keys_names(hf_transit_keys(core), &call->mount->id, call->ns, add_name, &names));
    if (names.count == 0)
        return HF_FAIL(NOT_FOUND);
    hf_tw_end(call->w);
    hf_tw_end(call->w);
    return HF_DONE;
}

static hf_result delete_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    (void)keys;
    struct hf_call *call = arg;
    if (!(draft->flags & HF_KEY_DELETION_ALLOWED))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                                  "error deleting policy: deletion is not allowed for this key",
                                  hf_cursor(draft->name, draft->name_len));
    return HF_DONE;
}

HF_HANDLER(hf_transit_key_delete)
{
    struct change c = {.core = core, .call = call, .edit = delete_edit, .arg = call};
    struct hf_key_change change = {change_edit, change_commit, &c};
    hf_result result =
        hf_keys_delete(hf_transit_keys(core), &call->mount->id, call->ns, hf_transit_name(call), &change);
    if (result.code == HF_NOT_FOUND)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "error deleting policy: could not delete key; not found");
    TRY(result);
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

/* ---- config ---------------------------------------------------------------------------------------- */

static hf_result refuse_numbers(struct hf_call *call, const char *a, uint64_t first, const char *b,
                                uint64_t second)
{
    char text[200];
    struct hf_buf out = hf_buf(text, sizeof text - 1);
    hf_buf_text(&out, a);
    hf_buf_decimal(&out, first);
    hf_buf_text(&out, b);
    hf_buf_decimal(&out, second);
    text[out.len] = '\0';
    return hf_call_fail(call, HF_BAD_ARGUMENT, text);
}

static bool given(const struct hf_call *call, const char *name)
{
    return hf_tree_get(&call->args, name).tag != HF_TREE_NULL;
}

static hf_result config_versions(struct hf_call *call, struct hf_key *draft)
{
    int64_t decryption, encryption;
    TRY(hf_arg_int(call, "min_decryption_version", draft->min_decryption, &decryption));
    TRY(hf_arg_int(call, "min_encryption_version", draft->min_encryption, &encryption));
    if (decryption < 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "min decryption version cannot be negative");
    if (encryption < 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "min encryption version cannot be negative");
    if (decryption == 0) {
        decryption = 1;
        if (given(call, "min_decryption_version") && call->warnings[0] == NULL)
            hf_call_warn(call, "key versions start at 1; forcing the minimum decryption version to 1");
    }
    if (decryption > draft->latest)
        return refuse_numbers(call, "cannot set min decryption version of ", (uint64_t)decryption,
                              ", latest key version is ", draft->latest);
    if (encryption > draft->latest)
        return refuse_numbers(call, "cannot set min encryption version of ", (uint64_t)encryption,
                              ", latest key version is ", draft->latest);
    if (encryption > 0 && encryption < decryption)
        return refuse_numbers(call, "cannot set min encryption/decryption values; min encryption version of ",
                              (uint64_t)encryption,
                              " must be greater than or equal to min decryption version of ",
                              (uint64_t)decryption);
    if (decryption < draft->min_available)
        return refuse_numbers(call, "cannot set min decryption version of ", (uint64_t)decryption,
                              ", minimum available version is ", draft->min_available);
    draft->min_decryption = (uint32_t)decryption;
    draft->min_encryption = (uint32_t)encryption;
    return HF_DONE;
}

static hf_result config_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    (void)keys;
    struct hf_call *call = arg;
    bool deletable;
    TRY(config_versions(call, draft));
    TRY(hf_arg_bool(call, "deletion_allowed", (draft->flags & HF_KEY_DELETION_ALLOWED) != 0, &deletable));
    draft->flags = deletable ? draft->flags | HF_KEY_DELETION_ALLOWED
                             : draft->flags & ~(uint32_t)HF_KEY_DELETION_ALLOWED;
    /* What may leave once may leave for good: these are never taken back. */
    TRY(flag_arg(call, "exportable", HF_KEY_EXPORTABLE, &draft->flags));
    TRY(flag_arg(call, "allow_plaintext_backup", HF_KEY_PLAIN_BACKUP, &draft->flags));
    TRY(hf_arg_duration(call, "auto_rotate_period", draft->auto_rotate_ns, &draft->auto_rotate_ns));
    if (draft->auto_rotate_ns != 0 && draft->auto_rotate_ns < AUTO_ROTATE_MIN_NS)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "auto rotate period must be 0 to disable or at least an hour");
    if (draft->auto_rotate_ns != 0 && (draft->flags & HF_KEY_IMPORTED) &&
        !(draft->flags & HF_KEY_IMPORTED_ROTATES))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "this imported key does not allow rotation");
    return HF_DONE;
}

HF_HANDLER(hf_transit_key_config)
{
    const struct hf_key *key;
    TRY(hf_transit_change(core, call, config_edit, call, "no existing key of that name could be found",
                          &key));
    return hf_transit_info(core, call, key);
}

/* ---- rotate, trim ---------------------------------------------------------------------------------- */

static hf_result rotate_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct hf_call *call = arg;
    bool pre_active;
    if ((draft->flags & HF_KEY_IMPORTED) && !(draft->flags & HF_KEY_IMPORTED_ROTATES))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "imported key does not allow rotation within the server");
    TRY(hf_arg_bool(call, "pre_active", false, &pre_active));
    return hf_key_add_generated(keys, draft, pre_active ? HF_KEY_PRE_ACTIVE : HF_KEY_ACTIVE, call->now_ns);
}

HF_HANDLER(hf_transit_key_rotate)
{
    const struct hf_key *key;
    TRY(hf_transit_change(core, call, rotate_edit, call, "key not found", &key));
    return hf_transit_info(core, call, key);
}

static hf_result trim_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct hf_call *call = arg;
    int64_t least;
    if (!given(call, "min_available_version"))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing min_available_version");
    TRY(hf_arg_int(call, "min_available_version", 0, &least));
    if (least < draft->min_available)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "minimum available version cannot be decremented");
    if (draft->min_encryption == 0)
        return hf_call_fail(
            call, HF_BAD_ARGUMENT,
            "minimum available version cannot be set when minimum encryption version is not set");
    if (least > draft->min_encryption)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "minimum available version cannot be greater than minimum encryption version");
    if (least > draft->min_decryption)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "minimum available version cannot be greater than minimum decryption version");
    if (least < 1)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "minimum available version should be positive");
    return hf_key_trim(keys, draft, (uint32_t)least);
}

HF_HANDLER(hf_transit_key_trim)
{
    const struct hf_key *key;
    TRY(hf_transit_change(core, call, trim_edit, call, "invalid key name", &key));
    return hf_transit_info(core, call, key);
}

/* ---- states of a version --------------------------------------------------------------------------- */

struct state_change {
    struct hf_call *call;
    uint32_t number;
    enum hf_key_state to;
};

static hf_result state_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct state_change *s = arg;
    const struct hf_key_version *v = hf_key_version(draft, s->number);
    if (v == NULL)
        return hf_call_fail(s->call, HF_NOT_FOUND, "the key has no such version");
    if (!hf_key_state_may_become(v->state, s->to)) {
        char text[100];
        struct hf_buf out = hf_buf(text, sizeof text - 1);
        hf_buf_text(&out, "a version that is ");
        hf_buf_text(&out, hf_key_state_name(v->state));
        hf_buf_text(&out, " cannot become ");
        hf_buf_text(&out, hf_key_state_name(s->to));
        text[out.len] = '\0';
        return hf_call_fail(s->call, HF_KEY_STATE, text);
    }
    /* Gone for good: asked for what deleting the key is asked for. */
    if (s->to == HF_KEY_DESTROYED && !(draft->flags & HF_KEY_DELETION_ALLOWED))
        return hf_call_fail(s->call, HF_BAD_ARGUMENT,
                            "destroying a version needs deletion_allowed on the key");
    return hf_key_set_state(keys, draft, s->number, s->to, s->call->now_ns);
}

HF_HANDLER(hf_transit_version_state)
{
    static const struct {
        const char *verb;
        enum hf_key_state to;
    } verbs[] = {
        {"activate", HF_KEY_ACTIVE},        {"suspend", HF_KEY_SUSPENDED}, {"deactivate", HF_KEY_DEACTIVATED},
        {"compromise", HF_KEY_COMPROMISED}, {"destroy", HF_KEY_DESTROYED},
    };
    struct state_change s = {.call = call};
    struct hf_cursor verb = hf_call_param(call, "verb");
    for (size_t i = 0; i < HF_ARRAY_LEN(verbs); i++) {
        if (hf_cursor_is(verb, verbs[i].verb))
            s.to = verbs[i].to;
    }
    if (s.to == 0)
        return hf_call_fail_about(call, HF_NOT_FOUND, "no such change of state", verb);
    if (!hf_parse_u32(hf_call_param(call, "version"), &s.number))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid key version");
    const struct hf_key *key;
    TRY(hf_transit_change(core, call, state_edit, &s, NULL, &key));
    hf_transit_note(call, key, s.number);
    return hf_transit_info(core, call, key);
}
