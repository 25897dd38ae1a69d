/* Ed25519 with its contexts and pre-hashed form (RFC 8032), X25519 (RFC 7748). */
#include "crypto/pkey_internal.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

enum { PURE, WITH_CONTEXT, PREHASHED };

static hf_result generate(struct hf_pkey *key)
{
    return pkey_evp_generate(key->row, &key->evp);
}

static hf_result import_private(struct hf_pkey *key, enum hf_private_form form, struct hf_cursor bytes)
{
    (void)form; /* all forms are the same 32 bytes */
    return pkey_raw_import_private(key, bytes);
}

static hf_result export_private(const struct hf_pkey *key, enum hf_private_form form,
                                struct hf_secret **ret_bytes)
{
    (void)form;
    return pkey_raw_export_private(key, ret_bytes);
}

/* Which of RFC 8032's three, and its parameters. Pre-hashed input is the SHA-512 digest. */
static hf_result mode(const struct hf_sign_options *options, struct hf_cursor input,
                      OSSL_PARAM params[static 2], unsigned *ret_mode)
{
    size_t count = 0;
    if (options->prehashed && (options->hash != HF_SHA2_512 || input.left != 64))
        return HF_FAIL(BAD_ARGUMENT);
    if (options->context.left != 0)
        params[count++] = OSSL_PARAM_construct_octet_string(
            OSSL_SIGNATURE_PARAM_CONTEXT_STRING, (void *)options->context.at, options->context.left);
    params[count] = OSSL_PARAM_construct_end();
    *ret_mode = options->prehashed ? PREHASHED : options->context.left != 0 ? WITH_CONTEXT : PURE;
    return HF_DONE;
}

static EVP_SIGNATURE *signature_of(unsigned which)
{
    static const char *const names[] = {
        [PURE] = "ED25519", [WITH_CONTEXT] = "ED25519ctx", [PREHASHED] = "ED25519ph"};
    return pkey_signature(names[which], HF_ALG_ED25519, which);
}

static hf_result sign(const struct hf_pkey *key, const struct hf_sign_options *options,
                      struct hf_cursor input, struct hf_buf *out)
{
    OSSL_PARAM params[2];
    unsigned which;
    TRY(mode(options, input, params, &which));
    return pkey_message_sign(key, signature_of(which), which == PREHASHED, params, input, out);
}

static hf_result verify(const struct hf_pkey *key, const struct hf_sign_options *options,
                        struct hf_cursor input, struct hf_cursor signature)
{
    OSSL_PARAM params[2];
    unsigned which;
    TRY(mode(options, input, params, &which));
    return pkey_message_verify(key, signature_of(which), which == PREHASHED, params, input, signature);
}

const struct pkey_family pkey_edwards = {
    .generate = generate,
    .import_private = import_private,
    .import_public = pkey_raw_import_public,
    .export_private = export_private,
    .export_public = pkey_raw_export_public,
    .sign = sign,
    .verify = verify,
    .encapsulate = pkey_dhkem_encapsulate,
    .decapsulate = pkey_dhkem_decapsulate,
    .agree = pkey_dh_agree,
};
