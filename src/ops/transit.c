/* What the transit handlers share: arguments, base64, versions, loaded keys. */
#include "ops/transit.h"

#include "base/encode.h"

/* ---- texts ----------------------------------------------------------------------------------------- */

hf_result hf_why(struct hf_transit_why *why, const char *text)
{
    struct hf_buf out = hf_buf(why->text, sizeof why->text - 1);
    hf_buf_put(&out, text, HF_MIN(strlen(text), sizeof why->text - 1));
    why->text[out.len] = '\0';
    return HF_FAIL(BAD_ARGUMENT);
}

hf_result hf_why_number(struct hf_transit_why *why, const char *before, uint64_t number, const char *after)
{
    struct hf_buf out = hf_buf(why->text, sizeof why->text - 1);
    hf_buf_text(&out, before);
    hf_buf_decimal(&out, number);
    hf_buf_text(&out, after);
    why->text[out.len] = '\0';
    return HF_FAIL(BAD_ARGUMENT);
}

bool hf_is_item_fault(hf_result result)
{
    switch (result.code) {
    case HF_BAD_REQUEST:
    case HF_BAD_ARGUMENT:
    case HF_UNSUPPORTED:
    case HF_BAD_CIPHERTEXT:
    case HF_BAD_SIGNATURE:
    case HF_BAD_PEER_KEY:
    case HF_KEY_STATE:
    case HF_KEY_LIMIT:
    case HF_TOO_LARGE:
        return true;
    default:
        return false;
    }
}

void hf_why_complete(struct hf_transit_why *why, hf_result result)
{
    if (why->text[0] == '\0')
        HF_IGNORE(hf_why(why, hf_code_text(result.code)), "it only gives back BAD_ARGUMENT");
}

hf_result hf_transit_fail(struct hf_call *call, hf_result result, struct hf_transit_why *why)
{
    if (HF_IS_OK(result) || why->text[0] == '\0' || !hf_is_item_fault(result))
        return result;
    return hf_call_fail(call, result.code, why->text);
}

/* ---- arguments ------------------------------------------------------------------------------------- */

static hf_result conversion(struct hf_call *call, hf_result result, const char *name)
{
    if (HF_IS_OK(result))
        return result;
    return hf_call_fail_about(call, HF_BAD_ARGUMENT, "error converting input for field",
                              hf_cursor_text(name));
}

hf_result hf_arg_text(struct hf_call *call, const char *name, struct hf_cursor *ret)
{
    *ret = hf_cursor("", 0);
    return conversion(call, hf_tree_text(&call->args, name, ret), name);
}

hf_result hf_arg_int(struct hf_call *call, const char *name, int64_t fallback, int64_t *ret)
{
    return conversion(call, hf_tree_int(&call->args, name, fallback, ret), name);
}

hf_result hf_arg_bool(struct hf_call *call, const char *name, bool fallback, bool *ret)
{
    return conversion(call, hf_tree_bool(&call->args, name, fallback, ret), name);
}

hf_result hf_arg_duration(struct hf_call *call, const char *name, int64_t fallback_ns, int64_t *ret_ns)
{
    return conversion(call, hf_tree_duration(&call->args, name, fallback_ns, ret_ns), name);
}

bool hf_parse_u32(struct hf_cursor text, uint32_t *ret)
{
    uint64_t value = 0;
    if (text.left == 0 || text.left > 10)
        return false;
    for (size_t i = 0; i < text.left; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
    }
    if (value > UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

hf_result hf_space_get(struct hf_call *call, struct hf_space *space, size_t len)
{
    if (len <= space->cap)
        return HF_DONE;
    size_t want = HF_MAX(len, space->cap * 2);
    want = HF_MAX(want, (size_t)256);
    uint8_t *at = hf_scratch_alloc(call->scratch, want);
    if (at == NULL)
        return HF_FAIL(NO_MEMORY);
    space->at = at;
    space->cap = want;
    return HF_DONE;
}

static bool base64_char(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

static hf_result illegal_base64(struct hf_cursor text, struct hf_transit_why *why)
{
    size_t at = 0;
    while (at < text.left && base64_char(text.at[at]))
        at++;
    return hf_why_number(why, "illegal base64 data at input byte ", at, "");
}

hf_result hf_unbase64(struct hf_call *call, struct hf_space *space, struct hf_cursor text,
                      struct hf_cursor *ret_bytes, struct hf_transit_why *why)
{
    TRY(hf_space_get(call, space, HF_BASE64_MAX_DECODED(text.left) + 1));
    struct hf_buf out = hf_buf(space->at, space->cap);
    if (!HF_IS_OK(hf_base64_decode(&out, text))) {
        uint8_t *joined = hf_scratch_alloc(call->scratch, text.left + 1);
        if (joined == NULL)
            return HF_FAIL(NO_MEMORY);
        size_t len = 0;
        for (size_t i = 0; i < text.left; i++) {
            if (text.at[i] != '\r' && text.at[i] != '\n')
                joined[len++] = text.at[i];
        }
        out = hf_buf(space->at, space->cap);
        if (len == text.left || !HF_IS_OK(hf_base64_decode(&out, hf_cursor(joined, len))))
            return illegal_base64(text, why);
    }
    *ret_bytes = hf_buf_cursor(&out);
    return HF_DONE;
}

/* ---- items ----------------------------------------------------------------------------------------- */

static hf_result item_text(const struct hf_tree *value, struct hf_cursor *ret, bool *ret_given,
                           const char *name, struct hf_transit_why *why)
{
    if (value->tag == HF_TREE_NULL)
        return HF_DONE;
    if (value->tag != HF_TREE_TEXT) {
        HF_IGNORE(hf_why(why, "expected type 'string' for "), "BAD_ARGUMENT follows");
        struct hf_buf out = {(uint8_t *)why->text, strlen(why->text), sizeof why->text - 1, false};
        hf_buf_text(&out, name);
        why->text[out.len] = '\0';
        return HF_FAIL(BAD_ARGUMENT);
    }
    *ret = value->body;
    if (ret_given != NULL)
        *ret_given = true;
    return HF_DONE;
}

static hf_result item_version(const struct hf_tree *value, int64_t *ret, struct hf_transit_why *why)
{
    uint32_t number;
    if (value->tag == HF_TREE_INT)
        *ret = value->number;
    else if (value->tag == HF_TREE_TEXT && hf_parse_u32(value->body, &number))
        *ret = number;
    else if (value->tag != HF_TREE_NULL)
        return hf_why(why, "expected a number for key_version");
    return HF_DONE;
}

hf_result hf_item_read(const struct hf_tree *map, struct hf_item *ret_item, struct hf_transit_why *why)
{
    *ret_item = (struct hf_item){0};
    struct hf_item *item = ret_item;
    struct hf_tree_iter iter = hf_tree_iterate(map);
    struct hf_cursor name;
    struct hf_tree value;
    why->text[0] = '\0';
    while (hf_tree_next(&iter, &name, &value)) {
        if (hf_cursor_is(name, "plaintext"))
            TRY(item_text(&value, &item->plaintext, &item->has_plaintext, "plaintext", why));
        else if (hf_cursor_is(name, "ciphertext"))
            TRY(item_text(&value, &item->ciphertext, &item->has_ciphertext, "ciphertext", why));
        else if (hf_cursor_is(name, "reference"))
            TRY(item_text(&value, &item->reference, NULL, "reference", why));
        else if (hf_cursor_is(name, "context"))
            TRY(item_text(&value, &item->context, NULL, "context", why));
        else if (hf_cursor_is(name, "associated_data"))
            TRY(item_text(&value, &item->associated_data, NULL, "associated_data", why));
        else if (hf_cursor_is(name, "key_version"))
            TRY(item_version(&value, &item->key_version, why));
        else if (hf_cursor_is(name, "input"))
            TRY(item_text(&value, &item->input, &item->has_input, "input", why));
        else if (hf_cursor_is(name, "signature"))
            TRY(item_text(&value, &item->signature, &item->has_signature, "signature", why));
        else if (hf_cursor_is(name, "hmac"))
            TRY(item_text(&value, &item->hmac, &item->has_hmac, "hmac", why));
        else if (hf_cursor_is(name, "nonce"))
            TRY(item_text(&value, &item->nonce, NULL, "nonce", why));
    }
    return HF_DONE;
}

hf_result hf_batch_open(struct hf_call *call, struct hf_batch *ret_batch)
{
    *ret_batch = (struct hf_batch){.count = 1};
    struct hf_tree list = hf_tree_get(&call->args, "batch_input");
    if (list.tag == HF_TREE_NULL)
        return HF_DONE;
    if (list.tag != HF_TREE_ARRAY)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "failed to parse batch input: expected a list of items");
    if (list.count == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing batch input to process");
    if (list.count > HF_TRANSIT_BATCH_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "batch_input may hold at most 10000 items");
    struct hf_tree_iter iter = hf_tree_iterate(&list);
    struct hf_cursor none;
    struct hf_tree item;
    while (hf_tree_next(&iter, &none, &item)) {
        if (item.tag != HF_TREE_MAP)
            return hf_call_fail(call, HF_BAD_ARGUMENT,
                                "failed to parse batch input: each item must be a map");
    }
    *ret_batch = (struct hf_batch){.given = true, .list = list, .count = list.count};
    call->audit.items = list.count;
    return HF_DONE;
}

/* ---- keys ------------------------------------------------------------------------------------------ */

struct hf_keys *hf_transit_keys(struct hf_core *core)
{
    return hf_core_unsealed(core)->keys;
}

void hf_transit_note(struct hf_call *call, const struct hf_key *key, uint32_t version)
{
    call->audit.key_id = key->id;
    call->audit.key_version = version;
}

void hf_transit_readiness(struct hf_call *call, const struct hf_key *key)
{
    hf_tw_k_text(call->w, "quantum_readiness", hf_readiness_name(key->info->readiness));
}

struct hf_cursor hf_transit_name(const struct hf_call *call)
{
    struct hf_cursor name = hf_call_param(call, "name");
    return name.left != 0 && name.at[0] == '~' ? hf_cursor("", 0) : name;
}

hf_result hf_transit_key(struct hf_core *core, struct hf_call *call, const char *missing,
                         const struct hf_key **ret_key)
{
    const struct hf_key *key = NULL;
    hf_result found = hf_keys_find(hf_transit_keys(core), &call->mount->id, call->ns, hf_transit_name(call),
                                   call->may_wait, &key);
    if (found.code == HF_NOT_FOUND && missing != NULL)
        return hf_call_fail(call, HF_BAD_ARGUMENT, missing);
    TRY(found);
    hf_transit_note(call, key, 0);
    *ret_key = key;
    return HF_DONE;
}

/* "requested version for " what rest */
static hf_result requested(struct hf_transit_why *why, const char *what, const char *rest)
{
    struct hf_buf out = hf_buf(why->text, sizeof why->text - 1);
    hf_buf_text(&out, "requested version for ");
    hf_buf_text(&out, what);
    hf_buf_text(&out, rest);
    why->text[out.len] = '\0';
    return HF_FAIL(BAD_ARGUMENT);
}

static hf_result state_refuses(const struct hf_key_version *v, struct hf_transit_why *why)
{
    struct hf_buf out = hf_buf(why->text, sizeof why->text - 1);
    hf_buf_text(&out, "key version ");
    hf_buf_decimal(&out, v->number);
    hf_buf_text(&out, " is ");
    hf_buf_text(&out, hf_key_state_name(v->state));
    hf_buf_text(&out, ": its state forbids this use");
    why->text[out.len] = '\0';
    return HF_FAIL(KEY_STATE);
}

hf_result hf_transit_protector(const struct hf_key *key, int64_t asked, const char *what,
                               const struct hf_key_version **ret_version, struct hf_transit_why *why)
{
    if (asked < 0)
        return requested(why, what, " is negative");
    if (asked > key->latest)
        return requested(why, what, " is higher than the latest key version");
    /* What may not be decrypted any more is not encrypted either. */
    if (asked != 0 && asked < HF_MAX(key->min_encryption, key->min_decryption))
        return requested(why, what, " is less than the minimum encryption key version");
    const struct hf_key_version *v = asked == 0 ? hf_key_current(key) : hf_key_version(key, (uint32_t)asked);
    if (v == NULL && asked == 0)
        return state_refuses(&key->versions[key->count - 1], why);
    if (v == NULL)
        return requested(why, what, " is no longer available");
    if (!hf_key_state_allows(v->state, HF_KEY_PROTECT))
        return state_refuses(v, why);
    *ret_version = v;
    return HF_DONE;
}

static hf_result invalid(struct hf_transit_why *why, const char *what, const char *rest)
{
    struct hf_buf out = hf_buf(why->text, sizeof why->text - 1);
    hf_buf_text(&out, "invalid ");
    hf_buf_text(&out, what);
    hf_buf_text(&out, ": ");
    hf_buf_text(&out, rest);
    why->text[out.len] = '\0';
    return HF_FAIL(BAD_ARGUMENT);
}

hf_result hf_transit_prefix(const struct hf_key *key, struct hf_cursor text, const char *what,
                            uint32_t *ret_number, struct hf_cursor *ret_rest, struct hf_transit_why *why)
{
    static const char prefix[] = "vault:v";
    struct hf_cursor slice;
    if (!hf_cursor_take(&text, sizeof prefix - 1, &slice) || !hf_cursor_is(slice, prefix))
        return invalid(why, what, "no prefix");
    const uint8_t *colon = text.left == 0 ? NULL : memchr(text.at, ':', HF_MIN(text.left, (size_t)16));
    if (colon == NULL)
        return invalid(why, what, "wrong number of fields");
    struct hf_cursor digits = hf_cursor(text.at, (size_t)(colon - text.at));
    uint32_t number;
    if (!hf_parse_u32(digits, &number))
        return invalid(why, what, "version number could not be decoded");
    if (number == 0)
        number = 1;
    if (number > key->latest)
        return invalid(why, what, "version is too new");
    *ret_number = number;
    *ret_rest = hf_cursor(colon + 1, text.left - digits.left - 1);
    return HF_DONE;
}

hf_result hf_transit_maker(struct hf_call *call, const struct hf_key *key, uint32_t number,
                           enum hf_key_purpose purpose, const char *what,
                           const struct hf_key_version **ret_version, struct hf_transit_why *why)
{
    if (number > key->latest)
        return invalid(why, what, "version is too new");
    const struct hf_key_version *v = hf_key_version(key, number);
    if (v == NULL || number < key->min_decryption)
        return hf_why(why, "ciphertext or signature version is disallowed by policy (too old)");
    if (!hf_key_state_allows(v->state, purpose))
        return state_refuses(v, why);
    if (v->state == HF_KEY_COMPROMISED && call->warnings[0] == NULL)
        hf_call_warn(
            call, "a version of this key is marked compromised: protect what it holds under a new version");
    *ret_version = v;
    return HF_DONE;
}

/* ---- loaded keys ----------------------------------------------------------------------------------- */

hf_result hf_opened_get(struct hf_core *core, struct hf_call *call, const struct hf_key *key,
                        const struct hf_key_version *version, struct hf_cursor context_text,
                        struct hf_opened *opened, struct hf_transit_why *why)
{
    bool derived = (key->flags & HF_KEY_DERIVED) != 0;
    if (opened->version == version &&
        (!derived || (opened->owned != NULL && hf_cursor_same(opened->before, context_text))))
        return HF_DONE;
    struct hf_kskey *base;
    if (derived && context_text.left == 0)
        return hf_why(
            why, "missing 'context' for key derivation; the key was created using a derived key, which means "
                 "additional, per-request information must be included in order to perform operations with "
                 "the key");
    TRY(hf_key_use(hf_transit_keys(core), key, version, &base));
    if (!derived) {
        opened->version = version;
        opened->key = base;
        return HF_DONE;
    }
    struct hf_kskey *sub = NULL;
    TRY(hf_unbase64(call, &opened->context_space, context_text, &opened->context, why));
    TRY(base->ops->derive(base, key->alg, opened->context, &sub));
    hf_kskey_unref(opened->owned);
    opened->owned = opened->key = sub;
    opened->version = version;
    opened->before = context_text;
    return HF_DONE;
}

void hf_opened_done(struct hf_opened *opened)
{
    hf_kskey_unref(opened->owned);
    opened->owned = NULL;
}
