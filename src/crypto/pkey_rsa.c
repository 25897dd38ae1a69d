/* RSA: PSS and PKCS #1 v1.5 signatures, OAEP (RFC 8017). */
#include "crypto/pkey_internal.h"
#include "secret/view.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

enum { MODULUS_MAX = 512, SALT_AUTO = -1, SALT_MAX = -2 };

static hf_result generate(struct hf_pkey *key)
{
    return pkey_evp_generate(key->row, &key->evp);
}

static hf_result import_private(struct hf_pkey *key, enum hf_private_form form, struct hf_cursor bytes)
{
    (void)key, (void)form, (void)bytes;
    return HF_FAIL(BAD_ARGUMENT); /* PKCS#8 only, and that was unwrapped before */
}

static hf_result export_private(const struct hf_pkey *key, enum hf_private_form form,
                                struct hf_secret **ret_bytes)
{
    (void)key, (void)form, (void)ret_bytes;
    return HF_FAIL(UNSUPPORTED);
}

static hf_result export_public(const struct hf_pkey *key, struct hf_buf *out)
{
    return pkey_evp_to_spki(key->evp, out);
}

/* ---- signatures --------------------------------------------------------------------------------------------- */

static hf_result digest_of(const struct hf_sign_options *options, struct hf_cursor input,
                           uint8_t memory[static HF_HASH_MAX], struct hf_cursor *ret_digest)
{
    size_t len = hf_hash_len(options->hash);
    if (len == 0 || options->context.left != 0)
        return HF_FAIL(BAD_ARGUMENT);
    if (options->prehashed) {
        if (input.left != len)
            return HF_FAIL(BAD_ARGUMENT);
        *ret_digest = input;
        return HF_DONE;
    }
    TRY(hf_hash_parts(options->hash, &input, 1, memory));
    *ret_digest = hf_cursor(memory, len);
    return HF_DONE;
}

struct set_up {
    OSSL_PARAM params[4];
    int salt;
};

/* Padding, hash and salt in one list. Where verifying, the salt's length is read from the signature unless it was
 * named. */
static void set_up(const struct hf_sign_options *options, bool verify, struct set_up *ret)
{
    size_t count = 0;
    const char *md = EVP_MD_get0_name(hf_crypto_algs()->md[options->hash]);
    const char *padding = options->rsa_pkcs1v15 ? OSSL_PKEY_RSA_PAD_MODE_PKCSV15 : OSSL_PKEY_RSA_PAD_MODE_PSS;
    ret->params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, (char *)md, 0);
    ret->params[count++] =
        OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, (char *)padding, 0);
    if (!options->rsa_pkcs1v15) {
        ret->salt = options->rsa_salt_len >= 0           ? options->rsa_salt_len
                    : verify                             ? RSA_PSS_SALTLEN_AUTO
                    : options->rsa_salt_len == SALT_AUTO ? RSA_PSS_SALTLEN_DIGEST
                                                         : RSA_PSS_SALTLEN_MAX;
        ret->params[count++] = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &ret->salt);
    }
    ret->params[count] = OSSL_PARAM_construct_end();
}

static hf_result sign(const struct hf_pkey *key, const struct hf_sign_options *options,
                      struct hf_cursor input, struct hf_buf *out)
{
    uint8_t memory[HF_HASH_MAX];
    struct hf_cursor digest;
    if (options->rsa_salt_len < SALT_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(digest_of(options, input, memory, &digest));
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = pkey_ctx(key);
    size_t len = key->row->signature_len;
    uint8_t *place = hf_buf_reserve(out, len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    struct set_up how;
    set_up(options, false, &how);
    if (EVP_PKEY_sign_init_ex(ctx, how.params) != 1)
        return PKEY_FAILED(BAD_ARGUMENT);
    /* a salt that does not fit the modulus shows only here */
    if (EVP_PKEY_sign(ctx, place, &len, digest.at, digest.left) != 1 || len != key->row->signature_len)
        return PKEY_FAILED(BAD_ARGUMENT);
    return HF_DONE;
}

static hf_result verify(const struct hf_pkey *key, const struct hf_sign_options *options,
                        struct hf_cursor input, struct hf_cursor signature)
{
    uint8_t memory[HF_HASH_MAX];
    struct hf_cursor digest;
    if (options->rsa_salt_len < SALT_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(digest_of(options, input, memory, &digest));
    if (signature.left != key->row->signature_len)
        return HF_FAIL(BAD_SIGNATURE);
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = pkey_ctx(key);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    struct set_up how;
    set_up(options, true, &how);
    if (EVP_PKEY_verify_init_ex(ctx, how.params) != 1)
        return PKEY_FAILED(BAD_ARGUMENT);
    return EVP_PKEY_verify(ctx, signature.at, signature.left, digest.at, digest.left) == 1
               ? HF_DONE
               : PKEY_FAILED(BAD_SIGNATURE);
}

/* ---- OAEP ------------------------------------------------------------------------------------------------------ */

static bool set_oaep(EVP_PKEY_CTX *ctx, enum hf_hash hash)
{
    const EVP_MD *md = hf_crypto_algs()->md[hash];
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1;
}

hf_result hf_pkey_oaep_encrypt(const struct hf_pkey *key, enum hf_hash hash, struct hf_cursor plain,
                               struct hf_buf *out)
{
    if (key->row->family != &pkey_rsa)
        return HF_FAIL(UNSUPPORTED);
    size_t len = key->row->signature_len, overhead = 2 * hf_hash_len(hash) + 2;
    if (overhead == 2)
        return HF_FAIL(BAD_ARGUMENT);
    if (plain.left == 0) /* what it opens to is a secret, and that has at least one byte */
        return HF_FAIL(BAD_ARGUMENT);
    if (plain.left > len - overhead)
        return HF_FAIL(TOO_LARGE);
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = pkey_ctx(key);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    uint8_t *place = hf_buf_reserve(out, len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    if (EVP_PKEY_encrypt_init(ctx) != 1 || !set_oaep(ctx, hash) ||
        EVP_PKEY_encrypt(ctx, place, &len, plain.at, plain.left) != 1) {
        out->len -= key->row->signature_len;
        return PKEY_FAILED(INTERNAL);
    }
    return HF_DONE;
}

hf_result hf_pkey_oaep_decrypt(const struct hf_pkey *key, enum hf_hash hash, struct hf_cursor sealed,
                               struct hf_secret **ret_plain)
{
    if (key->row->family != &pkey_rsa || !key->has_private)
        return HF_FAIL(UNSUPPORTED);
    if (hf_hash_len(hash) == 0)
        return HF_FAIL(BAD_ARGUMENT);
    if (sealed.left != key->row->signature_len)
        return HF_FAIL(BAD_CIPHERTEXT);
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = pkey_ctx(key);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    uint8_t plain[MODULUS_MAX];
    size_t len = sizeof(plain);
    hf_result done;
    if (EVP_PKEY_decrypt_init(ctx) != 1 || !set_oaep(ctx, hash))
        done = PKEY_FAILED(INTERNAL);
    else if (EVP_PKEY_decrypt(ctx, plain, &len, sealed.at, sealed.left) != 1 || len == 0)
        done =
            PKEY_FAILED(BAD_CIPHERTEXT); /* one answer, whatever was wrong; a secret has at least one byte */
    else
        done = hf_secret_take(plain, len, ret_plain);
    hf_wipe(plain, sizeof(plain));
    return done;
}

const struct pkey_family pkey_rsa = {
    .generate = generate,
    .import_private = import_private,
    .export_private = export_private,
    .export_public = export_public,
    .sign = sign,
    .verify = verify,
};
