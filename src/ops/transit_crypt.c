/* Encrypt, decrypt, rewrap. The encrypt path: decode base64 into scratch, seal straight into the answer; no heap, no lock,
 * no statement. */
#include "base/encode.h"
#include "ops/handlers.h"
#include "ops/transit.h"

struct crypt { /* one request */
    struct hf_core *core;
    struct hf_call *call;
    const struct hf_key *key;
    struct hf_space plain, ad, opened, joined;
    struct hf_opened from, to; /* decrypting, encrypting */
    struct hf_transit_why why;
    int64_t partial_code;                 /* the status asked for where some of a batch fails; 0: none */
    const struct hf_key_version *counted; /* whose uses were counted ahead for the whole batch */
    bool near, some_well, some_bad;
};

static void crypt_done(struct crypt *c)
{
    hf_opened_done(&c->from);
    hf_opened_done(&c->to);
}

static bool is_rsa(const struct hf_key *key)
{
    return key->info->asymmetric && (key->info->uses & HF_USE_SEAL) != 0;
}

static hf_result no_such_use(struct crypt *c, const char *use)
{
    struct hf_buf out = hf_buf(c->why.text, sizeof c->why.text - 1);
    hf_buf_text(&out, "message ");
    hf_buf_text(&out, use);
    hf_buf_text(&out, " not supported for key type ");
    hf_buf_text(&out, c->key->info->type);
    c->why.text[out.len] = '\0';
    return HF_FAIL(UNSUPPORTED);
}

static hf_result read_ad(struct crypt *c, struct hf_cursor text, struct hf_cursor *ret_ad)
{
    *ret_ad = hf_cursor("", 0);
    if (text.left == 0)
        return HF_DONE;
    if (is_rsa(c->key))
        return hf_why(&c->why, "'associated_data' provided for a key type that does not support it");
    return hf_unbase64(c->call, &c->ad, text, ret_ad, &c->why);
}

static hf_result count_use(struct crypt *c, const struct hf_key_version *version, uint64_t uses)
{
    if (version == c->counted)
        return HF_DONE;
    bool near = false;
    TRY(hf_key_count_uses(hf_transit_keys(c->core), c->key, version, uses, c->call->may_wait, &near));
    c->near |= near;
    return HF_DONE;
}

/* Deterministic nonce of convergent encryption: the subkey's MAC of the plaintext, as existing clients' ciphertexts
 * have it. With associated data it goes in too (length first): else equal plaintexts under different data
 * would share a nonce, and GCM's authentication key could be computed from the two tags. */
static hf_result convergent_seal(struct crypt *c, struct hf_cursor plain, struct hf_cursor ad,
                                 struct hf_buf *out)
{
    uint8_t nonce[HF_HASH_MAX];
    struct hf_cursor input = plain;
    struct hf_kskey *key = c->to.key;
    if (ad.left != 0) {
        TRY(hf_space_get(c->call, &c->joined, 8 + ad.left + plain.left));
        struct hf_buf joined = hf_buf(c->joined.at, c->joined.cap);
        hf_buf_u64(&joined, ad.left);
        hf_buf_put_cursor(&joined, ad);
        hf_buf_put_cursor(&joined, plain);
        input = hf_buf_cursor(&joined);
    }
    TRY(key->ops->mac(key, HF_SHA2_256, input, nonce));
    return key->ops->seal_nonce(key, hf_cursor(nonce, c->key->info->nonce_bytes), plain, ad, out);
}

/* Seals `plain` with the opened key as the answer's member "ciphertext". What can be the caller's fault fails before
 * anything is written. */
static hf_result write_sealed(struct crypt *c, const struct hf_key_version *version, struct hf_cursor plain,
                              struct hf_cursor ad)
{
    struct hf_kskey *key = c->to.key;
    struct hf_tree_writer *w = c->call->w;
    if (is_rsa(c->key) && plain.left == 0)
        return hf_why(&c->why, "an RSA key cannot encrypt an empty plaintext");
    if (is_rsa(c->key)) {
        uint8_t sealed[1024];
        struct hf_buf rsa = hf_buf(sealed, sizeof sealed);
        hf_result done = key->ops->asym_encrypt(key, HF_SHA2_256, plain, &rsa);
        if (done.code == HF_TOO_LARGE || done.code == HF_BAD_ARGUMENT)
            return hf_why(&c->why, "the plaintext is longer than an RSA key of this size can encrypt");
        TRY(done);
        hf_tw_k(w, "ciphertext");
        hf_tw_cipher(w, version->number, hf_buf_cursor(&rsa));
    } else {
        size_t len = plain.left + c->key->info->nonce_bytes + c->key->info->tag_bytes;
        hf_tw_k(w, "ciphertext");
        uint8_t *place = hf_tw_cipher_reserve(w, version->number, len);
        if (place == NULL)
            return HF_FAIL(OVERLOADED); /* the answer is larger than a frame may be */
        struct hf_buf out = hf_buf(place, len);
        hf_result sealed = c->key->flags & HF_KEY_CONVERGENT ? convergent_seal(c, plain, ad, &out)
                                                             : key->ops->seal(key, plain, ad, &out);
        if (!HF_IS_OK(sealed) || out.len != len)
            return hf_is_item_fault(sealed) || HF_IS_OK(sealed) ? HF_FAIL(INTERNAL) : sealed;
    }
    hf_tw_k_int(w, "key_version", version->number);
    c->call->audit.key_version = version->number;
    return HF_DONE;
}

/* Everything about an item that can be the caller's fault is settled before the answer's item is begun. */
struct encrypting {
    const struct hf_key_version *version;
    struct hf_cursor plain, ad;
};

static hf_result encrypt_prepare(struct crypt *c, const struct hf_item *item, struct encrypting *ret)
{
    if (!(c->key->info->uses & HF_USE_SEAL))
        return no_such_use(c, "encryption");
    if (item->nonce.left != 0)
        return hf_why(&c->why, "nonce provided when not allowed");
    TRY(hf_transit_protector(c->key, item->key_version, "encryption", &ret->version, &c->why));
    TRY(hf_opened_get(c->core, c->call, c->key, ret->version, item->context, &c->to, &c->why));
    TRY(hf_unbase64(c->call, &c->plain, item->plaintext, &ret->plain, &c->why));
    return read_ad(c, item->associated_data, &ret->ad);
}

/* ---- decrypting ------------------------------------------------------------------------------------ */

struct decrypting {
    const struct hf_key_version *version;
    struct hf_cursor sealed, ad;
};

static hf_result decrypt_prepare(struct crypt *c, const struct hf_item *item, struct decrypting *ret)
{
    if (item->ciphertext.left == 0)
        return hf_why(&c->why, "missing ciphertext to decrypt");
    if (!(c->key->info->uses & HF_USE_SEAL))
        return no_such_use(c, "decryption");
    if (item->nonce.left != 0)
        return hf_why(&c->why, "nonce provided when not allowed");
    uint32_t number;
    struct hf_cursor text;
    TRY(hf_transit_prefix(c->key, item->ciphertext, "ciphertext", &number, &text, &c->why));
    TRY(hf_transit_maker(c->call, c->key, number, HF_KEY_RECOVER, "ciphertext", &ret->version, &c->why));
    TRY(hf_opened_get(c->core, c->call, c->key, ret->version, item->context, &c->from, &c->why));
    hf_result decoded = hf_unbase64(c->call, &c->plain, text, &ret->sealed, &c->why);
    if (decoded.code == HF_BAD_ARGUMENT)
        return hf_why(&c->why, "invalid ciphertext: could not decode base64");
    TRY(decoded);
    if (!is_rsa(c->key) && ret->sealed.left < (size_t)c->key->info->nonce_bytes + c->key->info->tag_bytes)
        return hf_why(&c->why, "invalid ciphertext length");
    return read_ad(c, item->associated_data, &ret->ad);
}

static hf_result not_authentic(struct crypt *c, hf_result opened)
{
    if (opened.code != HF_BAD_CIPHERTEXT)
        return opened;
    HF_IGNORE(hf_why(&c->why, is_rsa(c->key) ? "invalid ciphertext: unable to decrypt"
                                             : "cipher: message authentication failed"),
              "the code stays as it is");
    return opened;
}

/* Writes the plaintext as the answer's next item; an empty one where it fails. */
static hf_result open_to_answer(struct crypt *c, const struct decrypting *d)
{
    struct hf_kskey *key = c->from.key;
    struct hf_tree_writer *w = c->call->w;
    if (is_rsa(c->key)) {
        CLEANUP(hf_secret_freep) struct hf_secret *plain = NULL;
        hf_result opened = key->ops->asym_decrypt(key, HF_SHA2_256, d->sealed, &plain);
        if (!HF_IS_OK(opened)) {
            hf_tw_bytes(w, hf_cursor("", 0));
            return not_authentic(c, opened);
        }
        return hf_export_secret(c->call, plain);
    }
    size_t len = d->sealed.left - c->key->info->nonce_bytes - c->key->info->tag_bytes;
    uint8_t *place = hf_tw_bytes_reserve(w, len);
    if (place == NULL)
        return HF_FAIL(OVERLOADED); /* the answer is larger than a frame may be */
    struct hf_buf out = hf_buf(place, len);
    hf_result opened = key->ops->open(key, d->sealed, d->ad, &out);
    if (!HF_IS_OK(opened))
        hf_tw_trim(w, len, 0);
    return not_authentic(c, opened);
}

/* ---- batches --------------------------------------------------------------------------------------- */

typedef hf_result (*one_fn)(struct crypt *c, const struct hf_item *item, bool batch);

static void end_item(struct crypt *c, const struct hf_item *item, hf_result result)
{
    struct hf_tree_writer *w = c->call->w;
    if (HF_IS_OK(result)) {
        c->some_well = true;
    } else {
        c->some_bad = true;
        hf_why_complete(&c->why, result);
        hf_tw_k_text(w, "error", c->why.text);
    }
    hf_tw_k_slice(w, "reference", item->reference);
    hf_tw_end(w);
}

/* 400 where an item failed, unless some went well and the caller named another status for that. */
static hf_result batch_status(struct crypt *c)
{
    if (!c->some_bad)
        return HF_DONE;
    c->call->http = 400;
    int64_t other = c->partial_code;
    if (other == 0 || !c->some_well)
        return HF_DONE;
    if (other < 200 || other > 599)
        hf_call_warn(
            c->call,
            "invalid HTTP response code override from partial_failure_response_code, reverting to 400");
    else
        c->call->http = (uint16_t)other;
    return HF_DONE;
}

static hf_result run_batch(struct crypt *c, const struct hf_batch *batch, one_fn one)
{
    struct hf_tree_writer *w = c->call->w;
    struct hf_tree_iter iter = hf_tree_iterate(&batch->list);
    struct hf_cursor none;
    struct hf_tree map;
    hf_tw_map(w);
    hf_tw_k(w, "batch_results");
    hf_tw_array(w);
    while (hf_tree_next(&iter, &none, &map)) {
        struct hf_item item;
        hf_result read = hf_item_read(&map, &item, &c->why);
        hf_tw_map(w);
        hf_result done = HF_IS_OK(read) ? one(c, &item, true) : read;
        if (!HF_IS_OK(done) && !hf_is_item_fault(done))
            return done;
        end_item(c, &item, done);
    }
    hf_tw_end(w);
    hf_transit_readiness(c->call, c->key);
    hf_tw_end(w);
    return batch_status(c);
}

static hf_result run_single(struct crypt *c, one_fn one)
{
    struct hf_tree_writer *w = c->call->w;
    struct hf_item item;
    hf_result read = hf_item_read(&c->call->args, &item, &c->why);
    hf_tw_map(w);
    hf_result done = HF_IS_OK(read) ? one(c, &item, false) : read;
    if (!HF_IS_OK(done))
        return hf_transit_fail(c->call, done, &c->why);
    hf_transit_readiness(c->call, c->key);
    hf_tw_end(w);
    return HF_DONE;
}

static hf_result run(struct crypt *c, const struct hf_batch *batch, one_fn one)
{
    hf_result done = hf_arg_int(c->call, "partial_failure_response_code", 0, &c->partial_code);
    if (HF_IS_OK(done))
        done = batch->given ? run_batch(c, batch, one) : run_single(c, one);
    if (HF_IS_OK(done) && c->near)
        hf_call_warn(c->call, "this key version has passed half of its use limit: it will be rotated");
    crypt_done(c);
    return done;
}

/* ---- handlers -------------------------------------------------------------------------------------- */

static hf_result encrypt_one(struct crypt *c, const struct hf_item *item, bool batch)
{
    (void)batch;
    struct encrypting e = {0};
    TRY(encrypt_prepare(c, item, &e));
    TRY(count_use(c, e.version, 1));
    return write_sealed(c, e.version, e.plain, e.ad);
}

/* A first encryption may make its key, where the caller may create. */
static hf_result upsert(struct hf_core *core, struct hf_call *call, const struct hf_key **ret_key)
{
    TRY(hf_call_needs(core, call, HF_CAP_CREATE));
    if (!call->may_wait)
        return HF_FAIL(WOULD_BLOCK);
    struct hf_transit_new made = {.alg = HF_ALG_AES256_GCM96};
    struct hf_cursor type, context;
    bool convergent;
    TRY(hf_arg_text(call, "type", &type));
    TRY(hf_arg_text(call, "context", &context));
    TRY(hf_arg_bool(call, "convergent_encryption", false, &convergent));
    if (type.left != 0 &&
        !HF_IS_OK(hf_alg_find(type, hf_cursor("", 0), hf_cursor("", 0), hf_cursor("", 0), &made.alg)))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "unknown key type", type);
    struct hf_tree first = hf_tree_get(&call->args, "batch_input");
    if (first.tag == HF_TREE_ARRAY && first.count != 0) {
        struct hf_tree_iter iter = hf_tree_iterate(&first);
        struct hf_cursor none;
        struct hf_tree item;
        if (hf_tree_next(&iter, &none, &item))
            TRY(hf_tree_text(&item, "context", &context));
    }
    if (context.left != 0)
        made.flags |= HF_KEY_DERIVED;
    if (convergent) {
        if (context.left == 0)
            return hf_call_fail(
                call, HF_BAD_ARGUMENT,
                "convergent encryption requires derivation to be enabled, so context is required");
        made.flags |= HF_KEY_CONVERGENT;
    }
    if (!(hf_alg_info(made.alg)->uses & HF_USE_SEAL))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "message encryption not supported for key type",
                                  type);
    TRY(hf_transit_new_check(call, &made));
    hf_result created = hf_transit_create(core, call, &made, ret_key);
    if (created.code == HF_EXISTS) /* somebody else was first */
        return hf_transit_key(core, call, "encryption key not found", ret_key);
    return created;
}

static hf_result encrypt_key(struct hf_core *core, struct hf_call *call, const struct hf_key **ret_key)
{
    hf_result found = hf_transit_key(core, call, NULL, ret_key);
    if (found.code == HF_NOT_FOUND)
        return upsert(core, call, ret_key);
    TRY(found);
    return hf_call_needs(core, call, HF_CAP_UPDATE);
}

/* What only a first encryption uses is held to its type in every one. */
static hf_result upsert_args_well_formed(struct hf_call *call)
{
    struct hf_cursor type;
    bool convergent;
    TRY(hf_arg_text(call, "type", &type));
    return hf_arg_bool(call, "convergent_encryption", false, &convergent);
}

static hf_result plaintexts_there(struct hf_call *call, const struct hf_batch *batch)
{
    if (!batch->given) {
        if (hf_tree_get(&call->args, "plaintext").tag == HF_TREE_NULL)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "missing plaintext to encrypt");
        return HF_DONE;
    }
    struct hf_tree_iter iter = hf_tree_iterate(&batch->list);
    struct hf_cursor none;
    struct hf_tree map;
    for (uint32_t i = 0; hf_tree_next(&iter, &none, &map); i++) {
        if (hf_tree_get(&map, "plaintext").tag == HF_TREE_NULL) {
            struct hf_transit_why why;
            hf_result result = hf_why_number(&why, "'[", i, "].plaintext' missing plaintext to encrypt");
            return hf_call_fail(call, result.code, why.text);
        }
    }
    return HF_DONE;
}

HF_HANDLER(hf_transit_encrypt)
{
    struct hf_batch batch;
    struct crypt c = {.core = core, .call = call};
    TRY(upsert_args_well_formed(call));
    TRY(hf_arg_int(call, "partial_failure_response_code", 0, &c.partial_code));
    TRY(encrypt_key(core, call, &c.key));
    TRY(hf_batch_open(call, &batch));
    TRY(plaintexts_there(call, &batch));
    const struct hf_key_version *current = hf_key_current(c.key);
    if (batch.given && current != NULL) { /* one step of the counter for the whole batch */
        hf_result counted = count_use(&c, current, batch.count);
        if (!HF_IS_OK(counted) && !hf_is_item_fault(counted))
            return counted;
        if (HF_IS_OK(counted))
            c.counted = current;
    }
    return run(&c, &batch, encrypt_one);
}

static hf_result decrypt_one(struct crypt *c, const struct hf_item *item, bool batch)
{
    struct decrypting d = {0};
    hf_result prepared = decrypt_prepare(c, item, &d);
    struct hf_tree_writer *w = c->call->w;
    if (!HF_IS_OK(prepared)) {
        if (batch)
            hf_tw_k_bytes(w, "plaintext", hf_cursor("", 0));
        return prepared;
    }
    if (d.version == NULL)
        return HF_FAIL(INTERNAL);
    hf_tw_k(w, "plaintext");
    c->call->audit.key_version = d.version->number;
    return open_to_answer(c, &d);
}

HF_HANDLER(hf_transit_decrypt)
{
    struct hf_batch batch;
    struct crypt c = {.core = core, .call = call};
    TRY(hf_transit_key(core, call, "encryption key not found", &c.key));
    TRY(hf_batch_open(call, &batch));
    return run(&c, &batch, decrypt_one);
}

/* Opens under the old version into scratch (wiped after the call), seals under the new one. */
static hf_result rewrap_one(struct crypt *c, const struct hf_item *item, bool batch)
{
    (void)batch;
    struct decrypting d = {0};
    const struct hf_key_version *version;
    TRY(decrypt_prepare(c, item, &d));
    TRY(hf_transit_protector(c->key, item->key_version, "encryption", &version, &c->why));
    if (is_rsa(c->key))
        return hf_why(&c->why, "rewrap is not supported for RSA keys");
    size_t overhead = (size_t)c->key->info->nonce_bytes + c->key->info->tag_bytes;
    TRY(hf_space_get(c->call, &c->opened, d.sealed.left - overhead + 1));
    struct hf_buf out = hf_buf(c->opened.at, d.sealed.left - overhead);
    hf_result opened = c->from.key->ops->open(c->from.key, d.sealed, d.ad, &out);
    if (!HF_IS_OK(opened))
        return not_authentic(c, opened);
    TRY(hf_opened_get(c->core, c->call, c->key, version, item->context, &c->to, &c->why));
    TRY(count_use(c, version, 1));
    return write_sealed(c, version, hf_buf_cursor(&out), d.ad);
}

HF_HANDLER(hf_transit_rewrap)
{
    struct hf_batch batch;
    struct crypt c = {.core = core, .call = call};
    TRY(hf_transit_key(core, call, "encryption key not found", &c.key));
    TRY(hf_batch_open(call, &batch));
    return run(&c, &batch, rewrap_one);
}
