/* The software keystore. Blob:
 *     format u8 = 1 | kind u8 | alg u16 | AES-256-KWP(KEK, native private form)      kind SECRET
 *                                       | public bytes                               kind PUBLIC
 * A loaded key holds its keyed contexts; its bytes lie in the secret arena, and so does OpenSSL's heap in the core. */
#include "keystore/keystore.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "secret/view.h"

enum { BLOB_FORMAT = 1, BLOB_SECRET = 1, BLOB_PUBLIC = 2, BLOB_HEADER = 4 };
enum { HMAC_KEY_MIN = 16, HMAC_KEY_MAX = 512, SUBKEY_MAC_BYTES = 32 };

struct soft_key {
    struct hf_kskey base;
    struct hf_aead *aead;       /* symmetric, HF_USE_SEAL */
    struct hf_secret *material; /* symmetric */
    struct hf_secret *mac_key;  /* symmetric subkeys only */
    struct hf_pkey *pkey;       /* asymmetric */
    bool subkey;
};

static const struct hf_kskey_ops soft_key_ops;

static struct soft_key *soft(struct hf_kskey *key)
{
    return (struct soft_key *)key;
}

static void soft_release(struct hf_kskey *key)
{
    struct soft_key *self = soft(key);
    hf_aead_free(self->aead);
    hf_secret_free(self->material);
    hf_secret_free(self->mac_key);
    hf_pkey_free(self->pkey);
    hf_arena_free(self);
}

static void soft_releasep(struct soft_key **key)
{
    if (*key != NULL)
        soft_release(&(*key)->base);
    *key = NULL;
}

static hf_result soft_new(enum hf_alg alg, struct soft_key **ret_key)
{
    struct soft_key *self =
        hf_arena_alloc(sizeof *self); /* subkeys are made on the encrypt path: no general heap */
    if (self == NULL)
        return HF_FAIL(NO_MEMORY);
    memset(self, 0, sizeof *self);
    self->base.ops = &soft_key_ops;
    self->base.alg = alg;
    atomic_init(&self->base.references, 1);
    *ret_key = self;
    return HF_DONE;
}

static bool key_length_fits(const struct hf_alg_info *info, size_t len)
{
    if (info->alg == HF_ALG_HMAC)
        return len >= HMAC_KEY_MIN && len <= HMAC_KEY_MAX;
    return len == info->key_bytes;
}

/* ---- uses ------------------------------------------------------------------------------------------ */

static hf_result soft_seal(struct hf_kskey *key, struct hf_cursor plain, struct hf_cursor ad,
                           struct hf_buf *out)
{
    struct soft_key *self = soft(key);
    return self->aead == NULL ? HF_FAIL(UNSUPPORTED) : hf_aead_seal(self->aead, plain, ad, out);
}

static hf_result soft_open(struct hf_kskey *key, struct hf_cursor sealed, struct hf_cursor ad,
                           struct hf_buf *out)
{
    struct soft_key *self = soft(key);
    return self->aead == NULL ? HF_FAIL(UNSUPPORTED) : hf_aead_open(self->aead, sealed, ad, out);
}

static hf_result soft_seal_nonce(struct hf_kskey *key, struct hf_cursor nonce, struct hf_cursor plain,
                                 struct hf_cursor ad, struct hf_buf *out)
{
    struct soft_key *self = soft(key);
    if (self->aead == NULL)
        return HF_FAIL(UNSUPPORTED);
    hf_buf_put_cursor(out, nonce);
    return hf_aead_seal_nonce(self->aead, nonce, plain, ad, out);
}

static hf_result soft_sign(struct hf_kskey *key, const struct hf_sign_options *options,
                           struct hf_cursor input, struct hf_buf *out)
{
    struct soft_key *self = soft(key);
    if (self->pkey == NULL || !hf_pkey_has_private(self->pkey))
        return HF_FAIL(UNSUPPORTED);
    return hf_pkey_sign(self->pkey, options, input, out);
}

static hf_result soft_verify(struct hf_kskey *key, const struct hf_sign_options *options,
                             struct hf_cursor input, struct hf_cursor signature)
{
    struct soft_key *self = soft(key);
    return self->pkey == NULL ? HF_FAIL(UNSUPPORTED) : hf_pkey_verify(self->pkey, options, input, signature);
}

static hf_result soft_mac(struct hf_kskey *key, enum hf_hash hash, struct hf_cursor input, uint8_t *ret_mac)
{
    struct soft_key *self = soft(key);
    const struct hf_secret *mac_key = self->subkey ? self->mac_key : self->material;
    return mac_key == NULL ? HF_FAIL(UNSUPPORTED) : hf_hmac(hash, mac_key, &input, 1, ret_mac);
}

static hf_result soft_encapsulate(struct hf_kskey *key, struct hf_buf *out_ct, struct hf_secret **ret_shared)
{
    struct soft_key *self = soft(key);
    return self->pkey == NULL ? HF_FAIL(UNSUPPORTED) : hf_pkey_encapsulate(self->pkey, out_ct, ret_shared);
}

static hf_result soft_decapsulate(struct hf_kskey *key, struct hf_cursor ct, struct hf_secret **ret_shared)
{
    struct soft_key *self = soft(key);
    if (self->pkey == NULL || !hf_pkey_has_private(self->pkey))
        return HF_FAIL(UNSUPPORTED);
    return hf_pkey_decapsulate(self->pkey, ct, ret_shared);
}

static hf_result soft_asym_encrypt(struct hf_kskey *key, enum hf_hash hash, struct hf_cursor plain,
                                   struct hf_buf *out)
{
    struct soft_key *self = soft(key);
    return self->pkey == NULL ? HF_FAIL(UNSUPPORTED) : hf_pkey_oaep_encrypt(self->pkey, hash, plain, out);
}

static hf_result soft_asym_decrypt(struct hf_kskey *key, enum hf_hash hash, struct hf_cursor sealed,
                                   struct hf_secret **ret_plain)
{
    struct soft_key *self = soft(key);
    if (self->pkey == NULL || !hf_pkey_has_private(self->pkey))
        return HF_FAIL(UNSUPPORTED);
    return hf_pkey_oaep_decrypt(self->pkey, hash, sealed, ret_plain);
}

/* The first `first` bytes of `whole` and the rest, as two secrets. */
static hf_result split(const struct hf_secret *whole, size_t first, struct hf_secret **ret_first,
                       struct hf_secret **ret_rest)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view all = {0}, view_a = {0}, view_b = {0};
    CLEANUP(hf_secret_freep) struct hf_secret *a = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *b = NULL;
    TRY(hf_secret_view_open(whole, &all));
    TRY(hf_secret_new(first, &a));
    TRY(hf_secret_new(all.len - first, &b));
    TRY(hf_secret_view_open(a, &view_a));
    TRY(hf_secret_view_open(b, &view_b));
    memcpy(view_a.bytes, all.bytes, first);
    memcpy(view_b.bytes, all.bytes + first, all.len - first);
    hf_secret_view_close(&view_a);
    hf_secret_view_close(&view_b);
    view_a = view_b = (struct hf_secret_view){0};
    *ret_first = TAKE(a);
    *ret_rest = TAKE(b);
    return HF_DONE;
}

/* Ed25519: the input key of the derivation is seed || public key, as existing clients' signatures have it. */
static hf_result ed25519_derivation_key(const struct hf_pkey *pkey, struct hf_secret **ret_secret)
{
    enum { SEED = 32, PUBLIC = 32 };
    CLEANUP(hf_secret_freep) struct hf_secret *seed = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *both = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view from = {0}, to = {0};
    uint8_t space[PUBLIC];
    struct hf_buf public_bytes = hf_buf(space, sizeof space);
    TRY(hf_pkey_private(pkey, HF_PRIVATE_NATIVE, &seed));
    TRY(hf_pkey_public(pkey, &public_bytes));
    TRY(hf_buf_ok(&public_bytes));
    TRY(hf_secret_view_open(seed, &from));
    if (from.len != SEED || public_bytes.len != PUBLIC)
        return HF_FAIL(INTERNAL);
    TRY(hf_secret_new(SEED + PUBLIC, &both));
    TRY(hf_secret_view_open(both, &to));
    memcpy(to.bytes, from.bytes, SEED);
    memcpy(to.bytes + SEED, space, PUBLIC);
    hf_secret_view_close(&to);
    to = (struct hf_secret_view){0};
    *ret_secret = TAKE(both);
    return HF_DONE;
}

static hf_result soft_derive(struct hf_kskey *key, enum hf_alg alg, struct hf_cursor context,
                             struct hf_kskey **ret_subkey)
{
    struct soft_key *self = soft(key);
    const struct hf_alg_info *info = hf_alg_info(alg);
    if (info == NULL || alg != key->alg || self->subkey || !(info->uses & HF_USE_DERIVE))
        return HF_FAIL(UNSUPPORTED);
    CLEANUP(soft_releasep) struct soft_key *sub = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *stream = NULL;
    TRY(soft_new(alg, &sub));
    sub->subkey = true;
    if (self->pkey != NULL) {
        CLEANUP(hf_secret_freep) struct hf_secret *ikm = NULL;
        if (alg != HF_ALG_ED25519 || !hf_pkey_has_private(self->pkey))
            return HF_FAIL(UNSUPPORTED);
        TRY(ed25519_derivation_key(self->pkey, &ikm));
        TRY(hf_hkdf(HF_SHA2_256, ikm, hf_cursor("", 0), context, 32, &stream));
        TRY(hf_pkey_from_private(alg, HF_PRIVATE_NATIVE, stream, &sub->pkey));
    } else {
        size_t key_bytes = info->key_bytes;
        TRY(hf_hkdf(HF_SHA2_256, self->material, hf_cursor("", 0), context, key_bytes + SUBKEY_MAC_BYTES,
                    &stream));
        TRY(split(stream, key_bytes, &sub->material, &sub->mac_key));
        if (info->uses & HF_USE_SEAL)
            TRY(hf_aead_new(alg, sub->material, &sub->aead));
    }
    *ret_subkey = &sub->base;
    sub = NULL;
    return HF_DONE;
}

static hf_result soft_public_text(struct hf_kskey *key, struct hf_buf *out)
{
    struct soft_key *self = soft(key);
    return self->pkey == NULL ? HF_FAIL(UNSUPPORTED) : hf_pkey_public_text(self->pkey, out);
}

static hf_result soft_public_raw(struct hf_kskey *key, struct hf_buf *out)
{
    struct soft_key *self = soft(key);
    return self->pkey == NULL ? HF_FAIL(UNSUPPORTED) : hf_pkey_public(self->pkey, out);
}

static hf_result soft_private(struct soft_key *self, enum hf_private_form form, struct hf_secret **ret)
{
    if (self->subkey)
        return HF_FAIL(UNSUPPORTED);
    if (self->pkey == NULL)
        return form == HF_PRIVATE_PKCS8 ? HF_FAIL(UNSUPPORTED) : hf_secret_copy(self->material, ret);
    if (!hf_pkey_has_private(self->pkey))
        return HF_FAIL(UNSUPPORTED);
    return hf_pkey_private(self->pkey, form, ret);
}

static hf_result soft_export_wrapped(struct hf_kskey *key, const struct hf_pkey *recipient,
                                     struct hf_cursor info, struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *material = NULL;
    TRY(soft_private(soft(key), HF_PRIVATE_NATIVE, &material));
    return hf_hpke_seal(recipient, info, hf_cursor("", 0), material, out);
}

static hf_result soft_open_wrapped(struct hf_kskey *key, struct hf_cursor info, struct hf_cursor sealed,
                                   struct hf_secret **ret_material)
{
    struct soft_key *self = soft(key);
    if (self->pkey == NULL || key->alg != HF_ALG_X_WING || !hf_pkey_has_private(self->pkey))
        return HF_FAIL(UNSUPPORTED);
    return hf_hpke_open(self->pkey, info, hf_cursor("", 0), sealed, ret_material);
}

static hf_result soft_export_plain(struct hf_kskey *key, enum hf_private_form form,
                                   struct hf_secret **ret_material)
{
    return soft_private(soft(key), form, ret_material);
}

static const struct hf_kskey_ops soft_key_ops = {
    .seal = soft_seal,
    .open = soft_open,
    .seal_nonce = soft_seal_nonce,
    .sign = soft_sign,
    .verify = soft_verify,
    .mac = soft_mac,
    .encapsulate = soft_encapsulate,
    .decapsulate = soft_decapsulate,
    .asym_encrypt = soft_asym_encrypt,
    .asym_decrypt = soft_asym_decrypt,
    .derive = soft_derive,
    .public_text = soft_public_text,
    .public_raw = soft_public_raw,
    .export_wrapped = soft_export_wrapped,
    .open_wrapped = soft_open_wrapped,
    .export_plain = soft_export_plain,
    .release = soft_release,
};

/* ---- blobs ----------------------------------------------------------------------------------------- */

static void blob_header(struct hf_buf *out, uint8_t kind, enum hf_alg alg)
{
    hf_buf_u8(out, BLOB_FORMAT);
    hf_buf_u8(out, kind);
    hf_buf_u16(out, (uint16_t)alg);
}

static hf_result blob_open(struct hf_cursor blob, uint8_t *ret_kind, enum hf_alg *ret_alg,
                           struct hf_cursor *ret_rest)
{
    uint8_t format, kind;
    uint16_t alg;
    if (!hf_cursor_u8(&blob, &format) || !hf_cursor_u8(&blob, &kind) || !hf_cursor_u16(&blob, &alg))
        return HF_FAIL(CORRUPT);
    if (format != BLOB_FORMAT || (kind != BLOB_SECRET && kind != BLOB_PUBLIC) || hf_alg_info(alg) == NULL)
        return HF_FAIL(CORRUPT);
    *ret_kind = kind;
    *ret_alg = (enum hf_alg)alg;
    *ret_rest = blob;
    return HF_DONE;
}

static hf_result wrap_blob(const struct hf_secret *kek, enum hf_alg alg, const struct hf_secret *material,
                           struct hf_buf *out)
{
    struct hf_buf at_start = *out;
    blob_header(out, BLOB_SECRET, alg);
    hf_result result = hf_kwp_wrap(kek, material, out);
    if (HF_IS_OK(result))
        result = hf_buf_ok(out);
    if (!HF_IS_OK(result))
        *out = at_start;
    return result;
}

static hf_result store_capability(struct hf_keystore *self, enum hf_alg alg,
                                  struct hf_keystore_capability *ret)
{
    (void)self;
    const struct hf_alg_info *info = hf_alg_info(alg);
    if (info == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    *ret = (struct hf_keystore_capability){
        .uses = info->uses,
        .generate = info->uses != 0,
        .import = info->uses != 0,
        .export_wrapped = true,
        .export_plain = true,
        .protection = HF_PROTECT_SOFTWARE,
    };
    return HF_DONE;
}

static hf_result store_generate(struct hf_keystore *self, const struct hf_secret *kek, enum hf_alg alg,
                                size_t key_bytes, struct hf_buf *out_blob)
{
    (void)self;
    const struct hf_alg_info *info = hf_alg_info(alg);
    if (info == NULL || info->uses == 0)
        return HF_FAIL(UNSUPPORTED);
    CLEANUP(hf_secret_freep) struct hf_secret *material = NULL;
    if (info->asymmetric) {
        CLEANUP(hf_pkey_freep) struct hf_pkey *pkey = NULL;
        TRY(hf_pkey_generate(alg, &pkey));
        TRY(hf_pkey_private(pkey, HF_PRIVATE_NATIVE, &material));
    } else {
        size_t len = key_bytes != 0 ? key_bytes : info->key_bytes;
        if (!key_length_fits(info, len))
            return HF_FAIL(BAD_ARGUMENT);
        TRY(hf_random_secret(len, &material));
    }
    return wrap_blob(kek, alg, material, out_blob);
}

static hf_result store_import(struct hf_keystore *self, const struct hf_secret *kek, enum hf_alg alg,
                              enum hf_private_form form, const struct hf_secret *material,
                              struct hf_buf *out_blob)
{
    (void)self;
    const struct hf_alg_info *info = hf_alg_info(alg);
    if (info == NULL || info->uses == 0)
        return HF_FAIL(UNSUPPORTED);
    if (!info->asymmetric) {
        if (form == HF_PRIVATE_PKCS8 || !key_length_fits(info, hf_secret_len(material)))
            return HF_FAIL(BAD_ARGUMENT);
        return wrap_blob(kek, alg, material, out_blob);
    }
    CLEANUP(hf_pkey_freep) struct hf_pkey *pkey = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *native = NULL;
    TRY(hf_pkey_from_private(alg, form, material, &pkey));
    TRY(hf_pkey_private(pkey, HF_PRIVATE_NATIVE, &native));
    return wrap_blob(kek, alg, native, out_blob);
}

static hf_result store_import_public(struct hf_keystore *self, enum hf_alg alg, struct hf_cursor public_bytes,
                                     struct hf_buf *out_blob)
{
    (void)self;
    const struct hf_alg_info *info = hf_alg_info(alg);
    if (info == NULL || !info->asymmetric)
        return HF_FAIL(UNSUPPORTED);
    CLEANUP(hf_pkey_freep) struct hf_pkey *pkey = NULL;
    TRY(hf_pkey_from_public(alg, public_bytes, &pkey));
    struct hf_buf at_start = *out_blob;
    blob_header(out_blob, BLOB_PUBLIC, alg);
    hf_result result = hf_pkey_public(pkey, out_blob);
    if (HF_IS_OK(result))
        result = hf_buf_ok(out_blob);
    if (!HF_IS_OK(result))
        *out_blob = at_start;
    return result;
}

/* What does not unwrap is not under that key or was altered: either way the record is not what it says. */
static hf_result unwrap_blob(const struct hf_secret *kek, struct hf_cursor wrapped, struct hf_secret **ret)
{
    hf_result result = hf_kwp_unwrap(kek, wrapped, ret);
    if (result.code == HF_BAD_CIPHERTEXT || result.code == HF_BAD_ARGUMENT)
        return HF_FAIL(CORRUPT);
    return result;
}

static hf_result store_load(struct hf_keystore *self, const struct hf_secret *kek, enum hf_alg alg,
                            struct hf_cursor blob, struct hf_kskey **ret_key)
{
    (void)self;
    uint8_t kind;
    enum hf_alg blob_alg;
    struct hf_cursor rest;
    TRY(blob_open(blob, &kind, &blob_alg, &rest));
    if (blob_alg != alg)
        return HF_FAIL(CORRUPT);
    const struct hf_alg_info *info = hf_alg_info(alg);
    CLEANUP(soft_releasep) struct soft_key *key = NULL;
    TRY(soft_new(alg, &key));
    hf_result made = HF_DONE;
    if (kind == BLOB_PUBLIC) {
        made = info->asymmetric ? hf_pkey_from_public(alg, rest, &key->pkey) : HF_FAIL(CORRUPT);
    } else if (info->asymmetric) {
        CLEANUP(hf_secret_freep) struct hf_secret *native = NULL;
        TRY(unwrap_blob(kek, rest, &native));
        made = hf_pkey_from_private(alg, HF_PRIVATE_NATIVE, native, &key->pkey);
    } else {
        TRY(unwrap_blob(kek, rest, &key->material));
        if (!key_length_fits(info, hf_secret_len(key->material)))
            return HF_FAIL(CORRUPT);
        if (info->uses & HF_USE_SEAL)
            made = hf_aead_new(alg, key->material, &key->aead);
    }
    if (made.code == HF_BAD_ARGUMENT || made.code == HF_BAD_PEER_KEY)
        return HF_FAIL(CORRUPT);
    TRY(made);
    *ret_key = &key->base;
    key = NULL;
    return HF_DONE;
}

static hf_result store_rewrap(struct hf_keystore *self, const struct hf_secret *old_kek,
                              const struct hf_secret *new_kek, struct hf_cursor blob, struct hf_buf *out_blob)
{
    (void)self;
    uint8_t kind;
    enum hf_alg alg;
    struct hf_cursor rest;
    TRY(blob_open(blob, &kind, &alg, &rest));
    if (kind == BLOB_PUBLIC) {
        hf_buf_put_cursor(out_blob, blob);
        return hf_buf_ok(out_blob);
    }
    CLEANUP(hf_secret_freep) struct hf_secret *material = NULL;
    TRY(unwrap_blob(old_kek, rest, &material));
    return wrap_blob(new_kek, alg, material, out_blob);
}

static hf_result store_destroy(struct hf_keystore *self, struct hf_cursor blob)
{
    (void)self;
    (void)blob; /* all there is lies in the blob, which its owner drops */
    return HF_DONE;
}

static void store_close(struct hf_keystore *self)
{
    free(self);
}

static const struct hf_keystore_ops software_ops = {
    .name = "software",
    .capability = store_capability,
    .generate = store_generate,
    .import = store_import,
    .import_public = store_import_public,
    .load = store_load,
    .rewrap = store_rewrap,
    .destroy = store_destroy,
    .close = store_close,
};

hf_result hf_keystore_software_open(struct hf_keystore **ret_keystore)
{
    struct hf_keystore *self = calloc(1, sizeof *self);
    if (self == NULL)
        return HF_FAIL(NO_MEMORY);
    self->ops = &software_ops;
    *ret_keystore = self;
    return HF_DONE;
}
