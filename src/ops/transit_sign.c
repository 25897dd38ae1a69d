/* Sign, verify, HMAC. */
#include "base/encode.h"
#include "ops/handlers.h"
#include "ops/transit.h"
#include "secret/ct.h"

enum { SALT_AUTO = -2, SALT_HASH = -1 };

struct signing { /* one request */
    struct hf_core *core;
    struct hf_call *call;
    const struct hf_key *key;
    struct hf_sign_options options;
    bool jws, batch, hmac;
    enum hf_hash mac_hash;
    int64_t version; /* key_version of the request: for items that name none */
    struct hf_space input, signature;
    struct hf_opened opened;
    struct hf_transit_why why;
};

/* ---- options --------------------------------------------------------------------------------------- */

static bool is_rsa(enum hf_alg alg)
{
    return alg == HF_ALG_RSA_2048 || alg == HF_ALG_RSA_3072 || alg == HF_ALG_RSA_4096;
}

static bool is_slow(enum hf_alg alg)
{
    return alg >= HF_ALG_SLH_DSA_SHA2_128S && alg <= HF_ALG_SLH_DSA_SHAKE_256F;
}

/* The hash that the path, hash_algorithm or algorithm names; sha2-256 where none does. */
static hf_result hash_arg(struct hf_call *call, bool *ret_none, enum hf_hash *ret_hash)
{
    struct hf_cursor name = hf_call_param(call, "hash");
    *ret_hash = HF_SHA2_256;
    if (ret_none != NULL)
        *ret_none = false;
    if (name.left == 0 && ret_none != NULL)
        TRY(hf_arg_text(call, "hash_algorithm", &name));
    if (name.left == 0)
        TRY(hf_arg_text(call, "algorithm", &name));
    if (name.left == 0)
        return HF_DONE;
    if (ret_none != NULL && hf_cursor_is(name, "none")) {
        *ret_none = true;
        return HF_DONE;
    }
    if (!HF_IS_OK(hf_hash_find(name, ret_hash)))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "invalid hash algorithm", name);
    return HF_DONE;
}

static hf_result salt_arg(struct hf_call *call, int *ret_salt)
{
    struct hf_tree salt = hf_tree_get(&call->args, "salt_length");
    uint32_t number;
    *ret_salt = SALT_AUTO;
    if (salt.tag == HF_TREE_NULL || (salt.tag == HF_TREE_TEXT && hf_cursor_is(salt.body, "auto")))
        return HF_DONE;
    if (salt.tag == HF_TREE_TEXT && hf_cursor_is(salt.body, "hash")) {
        *ret_salt = SALT_HASH;
        return HF_DONE;
    }
    if (salt.tag == HF_TREE_INT && salt.number >= 0 && salt.number <= 512)
        *ret_salt = (int)salt.number;
    else if (salt.tag == HF_TREE_TEXT && hf_parse_u32(salt.body, &number) && number <= 512)
        *ret_salt = (int)number;
    else
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "invalid salt_length: 'auto', 'hash' or a number of bytes");
    return HF_DONE;
}

static hf_result options_arg(struct signing *s)
{
    struct hf_call *call = s->call;
    struct hf_cursor algorithm, marshaling, context;
    struct hf_space *space = &s->signature;
    bool none;
    TRY(hash_arg(call, &none, &s->options.hash));
    TRY(hf_arg_bool(call, "prehashed", false, &s->options.prehashed));
    TRY(hf_arg_text(call, "signature_algorithm", &algorithm));
    TRY(hf_arg_text(call, "marshaling_algorithm", &marshaling));
    TRY(hf_arg_text(call, "signature_context", &context));
    TRY(salt_arg(call, &s->options.rsa_salt_len));
    if (algorithm.left != 0 && !hf_cursor_is(algorithm, "pss") && !hf_cursor_is(algorithm, "pkcs1v15"))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "unsupported signature algorithm", algorithm);
    s->options.rsa_pkcs1v15 = hf_cursor_is(algorithm, "pkcs1v15");
    if (none && (!s->options.prehashed || !s->options.rsa_pkcs1v15))
        return hf_call_fail(
            call, HF_BAD_ARGUMENT,
            "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15");
    if (none)
        return hf_call_fail(call, HF_UNSUPPORTED, "hash_algorithm=none is not supported: name the hash");
    if (marshaling.left != 0 && !hf_cursor_is(marshaling, "asn1") && !hf_cursor_is(marshaling, "jws"))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "invalid marshaling type", marshaling);
    s->jws = hf_cursor_is(marshaling, "jws");
    s->options.ecdsa_raw = s->jws;
    if (context.left != 0) {
        hf_result decoded = hf_unbase64(call, space, context, &s->options.context, &s->why);
        if (decoded.code == HF_BAD_ARGUMENT)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "unable to decode signature_context as base64");
        TRY(decoded);
        if (s->options.context.left > 255)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "signature_context may hold at most 255 bytes");
        *space = (struct hf_space){0}; /* the context keeps that memory */
    }
    return HF_DONE;
}

static hf_result no_such_use(struct signing *s, const char *use)
{
    struct hf_buf out = hf_buf(s->why.text, sizeof s->why.text - 1);
    hf_buf_text(&out, "key type ");
    hf_buf_text(&out, s->key->info->type);
    hf_buf_text(&out, " does not support ");
    hf_buf_text(&out, use);
    s->why.text[out.len] = '\0';
    return HF_FAIL(UNSUPPORTED);
}

static hf_result read_input(struct signing *s, const struct hf_item *item, struct hf_cursor *ret_input)
{
    if (!item->has_input && (s->batch || s->hmac))
        return hf_why(&s->why, s->hmac ? "missing input for HMAC" : "missing input");
    hf_result decoded = hf_unbase64(s->call, &s->input, item->input, ret_input, &s->why);
    if (decoded.code == HF_BAD_ARGUMENT) {
        char reason[HF_TRANSIT_WHY_MAX];
        memcpy(reason, s->why.text, sizeof reason);
        struct hf_buf out = hf_buf(s->why.text, sizeof s->why.text - 1);
        hf_buf_text(&out, "unable to decode input as base64: ");
        hf_buf_text(&out, reason);
        s->why.text[HF_MIN(out.len, sizeof s->why.text - 1)] = '\0';
    }
    return decoded;
}

/* ---- batches --------------------------------------------------------------------------------------- */

typedef hf_result (*one_fn)(struct signing *s, const struct hf_item *item);

static hf_result run_batch(struct signing *s, const struct hf_batch *batch, one_fn one,
                           const char *on_failure)
{
    struct hf_tree_writer *w = s->call->w;
    struct hf_tree_iter iter = hf_tree_iterate(&batch->list);
    struct hf_cursor none;
    struct hf_tree map;
    hf_tw_map(w);
    hf_tw_k(w, "batch_results");
    hf_tw_array(w);
    while (hf_tree_next(&iter, &none, &map)) {
        struct hf_item item;
        hf_result done = hf_item_read(&map, &item, &s->why);
        hf_tw_map(w);
        if (HF_IS_OK(done))
            done = one(s, &item);
        if (!HF_IS_OK(done)) {
            if (!hf_is_item_fault(done))
                return done;
            hf_why_complete(&s->why, done);
            if (on_failure != NULL)
                hf_tw_k_bool(w, on_failure, false);
            hf_tw_k_text(w, "error", s->why.text);
        }
        hf_tw_k_slice(w, "reference", item.reference);
        hf_tw_end(w);
    }
    hf_tw_end(w);
    hf_transit_readiness(s->call, s->key);
    hf_tw_end(w);
    return HF_DONE;
}

static hf_result run(struct signing *s, const struct hf_batch *batch, one_fn one, const char *on_failure)
{
    hf_result done;
    s->batch = batch->given;
    if (batch->given) {
        done = run_batch(s, batch, one, on_failure);
    } else {
        struct hf_item item;
        done = hf_item_read(&s->call->args, &item, &s->why);
        hf_tw_map(s->call->w);
        if (HF_IS_OK(done))
            done = one(s, &item);
        if (HF_IS_OK(done)) {
            hf_transit_readiness(s->call, s->key);
            hf_tw_end(s->call->w);
        }
        done = hf_transit_fail(s->call, done, &s->why);
    }
    hf_opened_done(&s->opened);
    return done;
}

static int64_t asked(const struct signing *s, const struct hf_item *item)
{
    return item->key_version != 0 ? item->key_version : s->version;
}

/* ---- sign ------------------------------------------------------------------------------------------ */

static void write_jws(struct signing *s, uint32_t version, struct hf_cursor signature)
{
    uint8_t head[32];
    struct hf_buf prefix = hf_buf(head, sizeof head);
    hf_buf_text(&prefix, "vault:v");
    hf_buf_decimal(&prefix, version);
    hf_buf_text(&prefix, ":");
    size_t cap = prefix.len + HF_BASE64_LEN(signature.left);
    uint8_t *place = hf_tw_text_reserve(s->call->w, cap);
    if (place == NULL)
        return; /* the overflow shows in the writer */
    struct hf_buf out = hf_buf(place, cap);
    hf_buf_put_cursor(&out, hf_buf_cursor(&prefix));
    hf_base64url_encode(&out, signature);
    hf_tw_trim(s->call->w, cap, out.len);
}

static hf_result sign_one(struct signing *s, const struct hf_item *item)
{
    struct hf_tree_writer *w = s->call->w;
    const struct hf_key_version *version;
    struct hf_cursor input = {0};
    if (!(s->key->info->uses & HF_USE_SIGN))
        return no_such_use(s, "signing");
    TRY(read_input(s, item, &input));
    TRY(hf_transit_protector(s->key, asked(s, item), "signing", &version, &s->why));
    if (version->origin == HF_KEY_PUBLIC_ONLY)
        return hf_why(&s->why, "this key version holds a public key only: it cannot sign");
    TRY(hf_opened_get(s->core, s->call, s->key, version, item->context, &s->opened, &s->why));
    TRY(hf_key_count_uses(hf_transit_keys(s->core), s->key, version, 1, s->call->may_wait, NULL));
    struct hf_kskey *key = s->opened.key;
    TRY(hf_space_get(s->call, &s->signature, HF_SIGNATURE_MAX));
    struct hf_buf out = hf_buf(s->signature.at, s->signature.cap);
    TRY(key->ops->sign(key, &s->options, input, &out));
    hf_tw_k(w, "signature");
    if (s->jws)
        write_jws(s, version->number, hf_buf_cursor(&out));
    else
        hf_tw_cipher(w, version->number, hf_buf_cursor(&out));
    hf_tw_k_int(w, "key_version", version->number);
    if (s->key->flags & HF_KEY_DERIVED) { /* which of the derived keys it was */
        uint8_t raw[HF_PUBLIC_MAX];
        struct hf_buf public_bytes = hf_buf(raw, sizeof raw);
        TRY(key->ops->public_raw(key, &public_bytes));
        hf_tw_k_bytes(w, "public_key", hf_buf_cursor(&public_bytes));
    }
    s->call->audit.key_version = version->number;
    return HF_DONE;
}

HF_HANDLER(hf_transit_sign)
{
    struct signing s = {.core = core, .call = call};
    struct hf_batch batch;
    TRY(hf_transit_key(core, call, "signing key not found", &s.key));
    TRY(options_arg(&s));
    TRY(hf_arg_int(call, "key_version", 0, &s.version));
    TRY(hf_batch_open(call, &batch));
    if (is_slow(s.key->alg) && !call->may_wait)
        return HF_FAIL(WOULD_BLOCK);
    return run(&s, &batch, sign_one, NULL);
}

/* ---- verify ---------------------------------------------------------------------------------------- */

/* The signature's bytes: standard base64, or base64url as "jws" has it. */
static hf_result read_signature(struct signing *s, struct hf_cursor text, struct hf_cursor *ret)
{
    TRY(hf_space_get(s->call, &s->signature, text.left + 4));
    if (s->jws) {
        struct hf_buf out = hf_buf(s->signature.at, s->signature.cap);
        if (!HF_IS_OK(hf_base64url_decode(&out, text)))
            return hf_why(&s->why, "invalid base64 signature value");
        *ret = hf_buf_cursor(&out);
        return HF_DONE;
    }
    hf_result decoded = hf_unbase64(s->call, &s->signature, text, ret, &s->why);
    return decoded.code == HF_BAD_ARGUMENT ? hf_why(&s->why, "invalid base64 signature value") : decoded;
}

static hf_result valid(struct signing *s, hf_result verified)
{
    if (!HF_IS_OK(verified) && verified.code != HF_BAD_SIGNATURE)
        return verified;
    hf_tw_k_bool(s->call->w, "valid", HF_IS_OK(verified));
    return HF_DONE;
}

static hf_result verify_signature(struct signing *s, const struct hf_item *item)
{
    const struct hf_key_version *version;
    struct hf_cursor input = {0}, text, signature = {0};
    uint32_t number;
    if (!(s->key->info->uses & HF_USE_SIGN))
        return no_such_use(s, "verification");
    TRY(read_input(s, item, &input));
    TRY(hf_transit_prefix(s->key, item->signature, "signature", &number, &text, &s->why));
    TRY(hf_transit_maker(s->call, s->key, number, HF_KEY_VERIFY, "signature", &version, &s->why));
    TRY(hf_opened_get(s->core, s->call, s->key, version, item->context, &s->opened, &s->why));
    TRY(read_signature(s, text, &signature));
    s->call->audit.key_version = number;
    return valid(s, s->opened.key->ops->verify(s->opened.key, &s->options, input, signature));
}

/* The version's key for HMACs; derived keys have one for all contexts, as existing clients know it. */
static hf_result mac(struct signing *s, const struct hf_key_version *version, struct hf_cursor input,
                     uint8_t *ret_mac)
{
    struct hf_kskey *key;
    hf_result loaded = hf_key_use_mac(hf_transit_keys(s->core), s->key, version, &key);
    if (loaded.code == HF_UNSUPPORTED)
        return hf_why(&s->why, "this key version has no HMAC key");
    TRY(loaded);
    return key->ops->mac(key, s->mac_hash, input, ret_mac);
}

static hf_result verify_hmac(struct signing *s, const struct hf_item *item)
{
    const struct hf_key_version *version;
    struct hf_cursor input = {0}, text, given = {0};
    uint32_t number;
    uint8_t made[HF_HASH_MAX];
    TRY(read_input(s, item, &input));
    TRY(hf_transit_prefix(s->key, item->hmac, "HMAC", &number, &text, &s->why));
    if (number < s->key->min_decryption)
        return hf_why(&s->why, "cannot verify HMAC: version is too old (disallowed by policy)");
    TRY(hf_transit_maker(s->call, s->key, number, HF_KEY_VERIFY, "HMAC", &version, &s->why));
    hf_result decoded = hf_unbase64(s->call, &s->signature, text, &given, &s->why);
    if (decoded.code == HF_BAD_ARGUMENT)
        return hf_why(&s->why, "unable to decode verification HMAC as base64");
    TRY(decoded);
    TRY(mac(s, version, input, made));
    size_t len = hf_hash_len(s->mac_hash);
    s->call->audit.key_version = number;
    bool same = given.left == len && hf_ct_equal(given.at, made, len);
    return valid(s, same ? HF_DONE : HF_FAIL(BAD_SIGNATURE));
}

static hf_result verify_one(struct signing *s, const struct hf_item *item)
{
    if (item->has_signature && item->has_hmac)
        return hf_why(&s->why, "provide one of 'signature' or 'hmac'");
    if (item->has_hmac)
        return verify_hmac(s, item);
    if (item->has_signature)
        return verify_signature(s, item);
    return hf_why(&s->why, "neither a 'signature' nor an 'hmac' was given to verify");
}

HF_HANDLER(hf_transit_verify)
{
    struct signing s = {.core = core, .call = call};
    struct hf_batch batch;
    TRY(hf_transit_key(core, call, "signature verification key not found", &s.key));
    TRY(options_arg(&s));
    s.mac_hash = s.options.hash;
    if (!is_rsa(s.key->alg))
        s.options.rsa_pkcs1v15 = false;
    TRY(hf_batch_open(call, &batch));
    if (is_slow(s.key->alg) && !call->may_wait)
        return HF_FAIL(WOULD_BLOCK);
    return run(&s, &batch, verify_one, "valid");
}

/* ---- HMAC ------------------------------------------------------------------------------------------ */

static hf_result hmac_one(struct signing *s, const struct hf_item *item)
{
    const struct hf_key_version *version;
    struct hf_cursor input = {0};
    uint8_t made[HF_HASH_MAX];
    TRY(read_input(s, item, &input));
    if (asked(s, item) > 0 && asked(s, item) < HF_MAX(s->key->min_encryption, s->key->min_decryption))
        return hf_why(&s->why, "cannot generate HMAC: version is too old (disallowed by policy)");
    TRY(hf_transit_protector(s->key, asked(s, item), "HMAC", &version, &s->why));
    TRY(mac(s, version, input, made));
    hf_tw_k(s->call->w, "hmac");
    hf_tw_cipher(s->call->w, version->number, hf_cursor(made, hf_hash_len(s->mac_hash)));
    s->call->audit.key_version = version->number;
    return HF_DONE;
}

HF_HANDLER(hf_transit_hmac)
{
    struct signing s = {.core = core, .call = call, .hmac = true};
    struct hf_batch batch;
    TRY(hf_transit_key(core, call, "encryption key not found", &s.key));
    TRY(hash_arg(call, NULL, &s.mac_hash));
    TRY(hf_batch_open(call, &batch));
    TRY(hf_arg_int(call, "key_version", 0, &s.version));
    return run(&s, &batch, hmac_one, NULL);
}
