/* What algorithms with raw keys and message-signing or KEM interfaces have in common. */
#include "crypto/pkey_internal.h"
#include "secret/view.h"

#include <openssl/core_names.h>

hf_result pkey_raw_import_private(struct hf_pkey *key, struct hf_cursor bytes)
{
    if (bytes.left != key->row->raw_len)
        return HF_FAIL(BAD_ARGUMENT);
    key->evp = EVP_PKEY_new_raw_private_key_ex(NULL, key->row->type, NULL, bytes.at, bytes.left);
    return key->evp != NULL ? HF_DONE : PKEY_FAILED(BAD_ARGUMENT);
}

hf_result pkey_raw_import_public(struct hf_pkey *key, struct hf_cursor raw)
{
    if (raw.left != key->row->public_len)
        return HF_FAIL(BAD_ARGUMENT);
    key->evp = EVP_PKEY_new_raw_public_key_ex(NULL, key->row->type, NULL, raw.at, raw.left);
    return key->evp != NULL ? HF_DONE : PKEY_FAILED(BAD_ARGUMENT);
}

hf_result pkey_raw_export_private(const struct hf_pkey *key, struct hf_secret **ret_bytes)
{
    CLEANUP(hf_secret_freep) struct hf_secret *secret = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_new(key->row->raw_len, &secret));
    TRY(hf_secret_view_open(secret, &view));
    size_t len = view.len;
    if (EVP_PKEY_get_raw_private_key(key->evp, view.bytes, &len) != 1 || len != view.len)
        return PKEY_FAILED(INTERNAL);
    *ret_bytes = TAKE(secret);
    return HF_DONE;
}

hf_result pkey_raw_export_public(const struct hf_pkey *key, struct hf_buf *out)
{
    size_t len = key->row->public_len;
    uint8_t *place = hf_buf_reserve(out, len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    if (EVP_PKEY_get_raw_public_key(key->evp, place, &len) == 1 && len == key->row->public_len)
        return HF_DONE;
    out->len -= key->row->public_len;
    return PKEY_FAILED(INTERNAL);
}

hf_result pkey_message_sign(const struct hf_pkey *key, EVP_SIGNATURE *how, bool digest,
                            const OSSL_PARAM *params, struct hf_cursor input, struct hf_buf *out)
{
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = how == NULL ? NULL : pkey_ctx(key);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    size_t len = key->row->signature_len;
    uint8_t *place = hf_buf_reserve(out, len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    int begun =
        digest ? EVP_PKEY_sign_init_ex2(ctx, how, params) : EVP_PKEY_sign_message_init(ctx, how, params);
    if (begun != 1)
        return PKEY_FAILED(BAD_ARGUMENT);
    if (EVP_PKEY_sign(ctx, place, &len, input.at, input.left) != 1)
        return PKEY_FAILED(INTERNAL);
    out->len -= key->row->signature_len - len;
    return HF_DONE;
}

hf_result pkey_message_verify(const struct hf_pkey *key, EVP_SIGNATURE *how, bool digest,
                              const OSSL_PARAM *params, struct hf_cursor input, struct hf_cursor signature)
{
    if (signature.left != key->row->signature_len)
        return HF_FAIL(BAD_SIGNATURE);
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = how == NULL ? NULL : pkey_ctx(key);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    int begun =
        digest ? EVP_PKEY_verify_init_ex2(ctx, how, params) : EVP_PKEY_verify_message_init(ctx, how, params);
    if (begun != 1)
        return PKEY_FAILED(BAD_ARGUMENT);
    return EVP_PKEY_verify(ctx, signature.at, signature.left, input.at, input.left) == 1
               ? HF_DONE
               : PKEY_FAILED(BAD_SIGNATURE);
}

hf_result pkey_evp_encapsulate(const struct hf_pkey *key, const OSSL_PARAM *params, struct hf_buf *out,
                               struct hf_secret **ret_shared)
{
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = pkey_ctx(key);
    size_t ct_len = 0, shared_len = 0;

    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    if (EVP_PKEY_encapsulate_init(ctx, params) != 1 ||
        EVP_PKEY_encapsulate(ctx, NULL, &ct_len, NULL, &shared_len) != 1)
        return PKEY_FAILED(INTERNAL);
    TRY(hf_secret_new(shared_len, &shared));
    TRY(hf_secret_view_open(shared, &view));
    size_t reserved = ct_len;
    uint8_t *place = hf_buf_reserve(out, reserved);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    if (EVP_PKEY_encapsulate(ctx, place, &ct_len, view.bytes, &shared_len) != 1 || ct_len != reserved ||
        shared_len != view.len)
        return PKEY_FAILED(BAD_PEER_KEY);
    *ret_shared = TAKE(shared);
    return HF_DONE;
}

hf_result pkey_evp_decapsulate(const struct hf_pkey *key, const OSSL_PARAM *params, struct hf_cursor ct,
                               struct hf_secret **ret_shared)
{
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = pkey_ctx(key);
    size_t len = 0;

    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    if (EVP_PKEY_decapsulate_init(ctx, params) != 1)
        return PKEY_FAILED(INTERNAL);
    if (EVP_PKEY_decapsulate(ctx, NULL, &len, ct.at, ct.left) != 1)
        return PKEY_FAILED(BAD_CIPHERTEXT);
    TRY(hf_secret_new(len, &shared));
    TRY(hf_secret_view_open(shared, &view));
    if (EVP_PKEY_decapsulate(ctx, view.bytes, &len, ct.at, ct.left) != 1 || len != view.len)
        return PKEY_FAILED(BAD_CIPHERTEXT);
    *ret_shared = TAKE(shared);
    return HF_DONE;
}
