/* Import: the mount's wrapping keys, and keys that come under them.
 *   wrapping_algorithm "rsa-oaep" (default): RSA-OAEP(ephemeral AES-256 key) || AES-KWP(ephemeral key, target), as existing
 *   clients make it; "x-wing": HPKE (RFC 9180) to the X-Wing key, info IMPORT_INFO; "ml-kem-768", "ml-kem-1024":
 *   encapsulation || AES-KWP(shared secret, target). */
#include "base/encode.h"
#include "ops/handlers.h"
#include "ops/transit.h"

#define IMPORT_INFO "holdfast transit import"

/* ---- wrapping keys --------------------------------------------------------------------------------- */

/* The mount's own keys have names that no path reaches: hf_transit_name() refuses their first character. */
enum { OWN_NAME_MAX = 32 };
static struct hf_cursor own_name(char space[static OWN_NAME_MAX], enum hf_alg alg)
{
    struct hf_buf out = hf_buf(space, OWN_NAME_MAX);
    hf_buf_text(&out, "~");
    hf_buf_text(&out, hf_alg_info(alg)->name);
    return hf_buf_cursor(&out);
}

struct making {
    struct hf_core *core;
    struct hf_call *call;
};

static hf_result wrapping_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct making *m = arg;
    TRY(hf_key_add_generated(keys, draft, HF_KEY_ACTIVE, m->call->now_ns));
    hf_transit_note(m->call, draft, draft->latest);
    return HF_DONE;
}

static hf_result wrapping_commit(struct hf_txn *txn, void *arg)
{
    struct making *m = arg;
    struct hf_store_outcome outcome;
    return hf_call_commit(m->core, m->call, txn, &outcome);
}

hf_result hf_transit_wrapping(struct hf_core *core, struct hf_call *call, enum hf_alg alg, bool make,
                              const struct hf_key **ret_key)
{
    struct hf_keys *keys = hf_transit_keys(core);
    char space[OWN_NAME_MAX];
    struct hf_cursor name = own_name(space, alg);
    hf_result found = hf_keys_find(keys, &call->mount->id, call->ns, name, true, ret_key);
    if (found.code != HF_NOT_FOUND || !make)
        return found;
    struct making m = {core, call};
    struct hf_key_spec spec = {.mount = call->mount->id, .ns = call->ns, .name = name, .alg = alg};
    struct hf_key_change change = {wrapping_edit, wrapping_commit, &m};
    hf_result created = hf_keys_create(keys, &spec, &change, ret_key);
    return created.code == HF_EXISTS ? hf_keys_find(keys, &call->mount->id, call->ns, name, true, ret_key)
                                     : created;
}

hf_result hf_transit_wrapping_open(struct hf_core *core, struct hf_call *call, enum hf_alg alg,
                                   struct hf_kskey **ret_kskey)
{
    const struct hf_key *key;
    hf_result found = hf_transit_wrapping(core, call, alg, false, &key);
    if (found.code == HF_NOT_FOUND)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "the mount has no wrapping key of that algorithm yet: read wrapping_key");
    TRY(found);
    return hf_key_use(hf_transit_keys(core), key, hf_key_current(key), ret_kskey);
}

static hf_result wrapping_alg(struct hf_call *call, struct hf_cursor name, enum hf_alg *ret_alg)
{
    static const struct {
        const char *name;
        enum hf_alg alg;
    } algs[] = {
        {"rsa-oaep", HF_ALG_RSA_4096},     {"rsa-4096", HF_ALG_RSA_4096},       {"x-wing", HF_ALG_X_WING},
        {"ml-kem-768", HF_ALG_ML_KEM_768}, {"ml-kem-1024", HF_ALG_ML_KEM_1024},
    };
    if (name.left == 0)
        name = hf_cursor_text("rsa-oaep");
    for (size_t i = 0; i < HF_ARRAY_LEN(algs); i++) {
        if (hf_cursor_is(name, algs[i].name)) {
            *ret_alg = algs[i].alg;
            return HF_DONE;
        }
    }
    return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                              "unknown wrapping_algorithm (rsa-oaep, x-wing, ml-kem-768, ml-kem-1024)", name);
}

HF_HANDLER(hf_transit_wrapping_key)
{
    const struct hf_key *key;
    struct hf_cursor name;
    enum hf_alg alg;
    TRY(hf_arg_text(call, "wrapping_algorithm", &name));
    TRY(wrapping_alg(call, name, &alg));
    TRY(hf_transit_wrapping(core, call, alg, true, &key));
    const struct hf_key_version *version = hf_key_current(key);
    hf_transit_note(call, key, version->number);
    hf_tw_map(call->w);
    hf_tw_k_slice(call->w, "public_key", version->public_text);
    hf_tw_k_text(call->w, "algorithm", key->info->name);
    if (alg == HF_ALG_X_WING)
        hf_tw_k_text(call->w, "hpke_info", IMPORT_INFO);
    hf_transit_readiness(call, key);
    hf_tw_end(call->w);
    return HF_DONE;
}

/* ---- unwrapping ------------------------------------------------------------------------------------ */

static bool same_letters(struct hf_cursor text, const char *upper)
{
    if (text.left != strlen(upper))
        return false;
    for (size_t i = 0; i < text.left; i++) {
        uint8_t c = text.at[i];
        if ((c >= 'a' && c <= 'z' ? c - 32 : c) != (uint8_t)upper[i])
            return false;
    }
    return true;
}

static hf_result oaep_hash(struct hf_call *call, enum hf_hash *ret_hash)
{
    static const struct {
        const char *name;
        enum hf_hash hash;
    } hashes[] = {
        {"SHA256", HF_SHA2_256}, {"SHA224", HF_SHA2_224}, {"SHA384", HF_SHA2_384}, {"SHA512", HF_SHA2_512}};
    struct hf_cursor name;
    TRY(hf_arg_text(call, "hash_function", &name));
    *ret_hash = HF_SHA2_256;
    if (name.left == 0)
        return HF_DONE;
    for (size_t i = 0; i < HF_ARRAY_LEN(hashes); i++) {
        if (same_letters(name, hashes[i].name)) {
            *ret_hash = hashes[i].hash;
            return HF_DONE;
        }
    }
    return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                              "unsupported hash_function (SHA224, SHA256, SHA384, SHA512)", name);
}

/* The key under which the target lies: what the first part of the ciphertext gives. */
static hf_result open_envelope(struct hf_call *call, struct hf_kskey *key, enum hf_alg alg,
                               struct hf_cursor *envelope, struct hf_secret **ret_kek)
{
    struct hf_cursor head;
    enum hf_hash hash;
    size_t len = alg == HF_ALG_RSA_4096 ? 512 : alg == HF_ALG_ML_KEM_768 ? 1088 : 1568;
    TRY(oaep_hash(call, &hash));
    if (!hf_cursor_take(envelope, len, &head))
        return HF_FAIL(BAD_CIPHERTEXT);
    if (alg == HF_ALG_RSA_4096)
        return key->ops->asym_decrypt(key, hash, head, ret_kek);
    return key->ops->decapsulate(key, head, ret_kek);
}

static hf_result unwrap(struct hf_core *core, struct hf_call *call, struct hf_cursor text,
                        struct hf_secret **ret_material)
{
    struct hf_cursor name, envelope = {0};
    enum hf_alg alg = HF_ALG_NONE;
    struct hf_kskey *key = NULL;
    struct hf_space space = {0};
    struct hf_transit_why why = {0};
    CLEANUP(hf_secret_freep) struct hf_secret *kek = NULL;
    TRY(hf_arg_text(call, "wrapping_algorithm", &name));
    TRY(wrapping_alg(call, name, &alg));
    hf_result decoded = hf_unbase64(call, &space, text, &envelope, &why);
    if (!HF_IS_OK(decoded))
        return hf_transit_fail(call, decoded, &why);
    TRY(hf_transit_wrapping_open(core, call, alg, &key));
    if (key == NULL)
        return HF_FAIL(INTERNAL);
    hf_result opened;
    if (alg == HF_ALG_X_WING) {
        opened = key->ops->open_wrapped(key, hf_cursor_text(IMPORT_INFO), envelope, ret_material);
    } else {
        opened = open_envelope(call, key, alg, &envelope, &kek);
        if (HF_IS_OK(opened) && hf_secret_len(kek) != 32)
            opened = HF_FAIL(BAD_CIPHERTEXT);
        if (HF_IS_OK(opened))
            opened = hf_kwp_unwrap(kek, envelope, ret_material);
    }
    if (hf_is_item_fault(opened) && call->error[0] == '\0')
        return hf_call_fail(call, HF_BAD_CIPHERTEXT, "error importing key: the wrapped key does not open");
    return opened;
}

hf_result hf_transit_add_imported(struct hf_keys *keys, struct hf_key *draft,
                                  const struct hf_secret *material, int64_t now_ns)
{
    static const enum hf_private_form forms[] = {HF_PRIVATE_PKCS8, HF_PRIVATE_SEED, HF_PRIVATE_RAW};
    if (!draft->info->asymmetric)
        return hf_key_add_imported(keys, draft, HF_PRIVATE_RAW, material, now_ns);
    for (size_t i = 0; i < HF_ARRAY_LEN(forms); i++) {
        hf_result added = hf_key_add_imported(keys, draft, forms[i], material, now_ns);
        if (added.code != HF_BAD_ARGUMENT && added.code != HF_UNSUPPORTED)
            return added;
    }
    return HF_FAIL(BAD_ARGUMENT);
}

/* ---- import ---------------------------------------------------------------------------------------- */

struct import {
    struct hf_core *core;
    struct hf_call *call;
    struct hf_secret *material;  /* NULL: public key only */
    struct hf_cursor public_key; /* PEM, or base64 of the raw bytes */
    bool version;
};

static hf_result add_public(struct hf_keys *keys, struct hf_key *draft, struct import *in)
{
    struct hf_space space = {0};
    struct hf_transit_why why = {0};
    struct hf_cursor raw = in->public_key;
    static const char pem[] = "-----BEGIN";
    if (!draft->info->asymmetric)
        return HF_FAIL(BAD_ARGUMENT);
    if (raw.left < sizeof pem || !hf_cursor_is(hf_cursor(raw.at, sizeof pem - 1), pem))
        TRY(hf_unbase64(in->call, &space, in->public_key, &raw, &why));
    return hf_key_add_public(keys, draft, raw, in->call->now_ns);
}

/* A key of zeros is an empty variable somewhere, not a key. */
static hf_result refuse_zeros(struct hf_call *call, const struct hf_key *draft,
                              const struct hf_secret *material)
{
    CLEANUP(hf_secret_freep) struct hf_secret *zeros = NULL;
    if (draft->info->asymmetric)
        return HF_DONE;
    TRY(hf_secret_new(hf_secret_len(material), &zeros));
    if (hf_secret_equal(material, zeros))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "error importing key: all of its bytes are zero");
    return HF_DONE;
}

static hf_result import_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct import *in = arg;
    if (in->version && !(draft->flags & HF_KEY_IMPORTED))
        return hf_call_fail(in->call, HF_BAD_ARGUMENT,
                            "the import_version endpoint can only be used with an imported key");
    if (in->material != NULL)
        TRY(refuse_zeros(in->call, draft, in->material));
    hf_result added = in->material != NULL
                          ? hf_transit_add_imported(keys, draft, in->material, in->call->now_ns)
                          : add_public(keys, draft, in);
    if (hf_is_item_fault(added))
        return hf_call_fail_about(
            in->call, HF_BAD_ARGUMENT,
            draft->info->asymmetric && (draft->info->uses & HF_USE_SEAL) != 0
                ? "error importing key: it is no key with a public exponent above 65536 (FIPS 186-5) of type"
                : "error importing key: it is no key of type",
            hf_cursor_text(draft->info->name));
    TRY(added);
    hf_transit_note(in->call, draft, draft->latest);
    return HF_DONE;
}

static hf_result import_commit(struct hf_txn *txn, void *arg)
{
    struct import *in = arg;
    struct hf_store_outcome outcome;
    return hf_call_commit(in->core, in->call, txn, &outcome);
}

static hf_result read_material(struct import *in)
{
    struct hf_cursor ciphertext;
    TRY(hf_arg_text(in->call, "ciphertext", &ciphertext));
    TRY(hf_arg_text(in->call, "public_key", &in->public_key));
    if (ciphertext.left != 0 && in->public_key.left != 0)
        return hf_call_fail(in->call, HF_BAD_ARGUMENT,
                            "only one of the following fields, ciphertext and public_key, can be set");
    if (ciphertext.left == 0 && in->public_key.left == 0)
        return hf_call_fail(in->call, HF_BAD_ARGUMENT, "missing ciphertext or public_key");
    return ciphertext.left == 0 ? HF_DONE : unwrap(in->core, in->call, ciphertext, &in->material);
}

static hf_result import_key(struct import *in, const struct hf_key **ret_key)
{
    struct hf_call *call = in->call;
    struct hf_transit_new made;
    bool rotates;
    TRY(hf_transit_new_args(call, &made));
    TRY(hf_arg_bool(call, "allow_rotation", false, &rotates));
    made.flags |= HF_KEY_IMPORTED | (rotates ? HF_KEY_IMPORTED_ROTATES : 0);
    if (made.auto_rotate_ns != 0 && !rotates)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "auto_rotate_period needs allow_rotation on an imported key");
    struct hf_key_spec spec = {
        .mount = call->mount->id,
        .ns = call->ns,
        .name = hf_transit_name(call),
        .alg = made.alg,
        .flags = made.flags,
        .auto_rotate_ns = made.auto_rotate_ns,
    };
    struct hf_key_change change = {import_edit, import_commit, in};
    hf_result created = hf_keys_create(hf_transit_keys(in->core), &spec, &change, ret_key);
    if (created.code == HF_EXISTS)
        return hf_call_fail(
            call, HF_BAD_ARGUMENT,
            "the import path cannot be used with an existing key; use import-version to rotate an "
            "existing imported key");
    return created;
}

static hf_result import_answer(struct import *in, hf_result done, const struct hf_key *key)
{
    hf_secret_free(in->material);
    TRY(done);
    return hf_transit_info(in->core, in->call, key);
}

HF_HANDLER(hf_transit_import)
{
    struct import in = {.core = core, .call = call};
    const struct hf_key *key = NULL;
    hf_result done = read_material(&in);
    if (HF_IS_OK(done))
        done = import_key(&in, &key);
    return import_answer(&in, done, key);
}

HF_HANDLER(hf_transit_import_version)
{
    struct import in = {.core = core, .call = call, .version = true};
    const struct hf_key *key = NULL;
    hf_result done = read_material(&in);
    if (HF_IS_OK(done)) {
        struct hf_key_change change = {import_edit, import_commit, &in};
        done = hf_keys_change(hf_transit_keys(core), &call->mount->id, call->ns, hf_transit_name(call),
                              &change, &key);
        if (done.code == HF_NOT_FOUND)
            done =
                hf_call_fail(call, HF_BAD_ARGUMENT,
                             "no key of that name was found; to import a new key, use the import endpoint");
    }
    return import_answer(&in, done, key);
}
