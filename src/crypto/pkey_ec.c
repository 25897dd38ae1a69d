/* ECDSA and ECDH on the NIST curves (FIPS 186-5, SP 800-56A). */
#include "crypto/pkey_internal.h"
#include "secret/view.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/params.h>

enum { FIELD_MAX = 66 };

static hf_result generate(struct hf_pkey *key)
{
    return pkey_evp_generate(key->row, &key->evp);
}

/* The OID of the curve, in DER. */
static struct hf_cursor curve_oid(const struct pkey_row *row)
{
    static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    static const uint8_t p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
    static const uint8_t p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
    return row->raw_len == 32   ? hf_cursor(p256, sizeof(p256))
           : row->raw_len == 48 ? hf_cursor(p384, sizeof(p384))
                                : hf_cursor(p521, sizeof(p521));
}

/* ECPrivateKey of RFC 5915 with the curve and without the public key, as LAMPS composites have it. */
static hf_result ec_private_key(const struct pkey_row *row, struct hf_cursor scalar, struct hf_buf *out)
{
    static const uint8_t version[] = {0x02, 1, 1};
    struct hf_cursor oid = curve_oid(row);
    pkey_der_header(out, 0x30, sizeof(version) + 2 + scalar.left + 2 + oid.left);
    hf_buf_put(out, version, sizeof(version));
    pkey_der_header(out, 0x04, scalar.left);
    hf_buf_put_cursor(out, scalar);
    pkey_der_header(out, 0xa0, oid.left);
    hf_buf_put_cursor(out, oid);
    return hf_buf_ok(out);
}

/* RAW: the scalar, big-endian, of the field's length. NATIVE: ECPrivateKey (inside composites). */
static hf_result import_private(struct hf_pkey *key, enum hf_private_form form, struct hf_cursor bytes)
{
    uint8_t memory[FIELD_MAX + 32];
    struct hf_buf der = hf_buf(memory, sizeof(memory));
    if (form == HF_PRIVATE_RAW) {
        if (bytes.left != key->row->raw_len)
            return HF_FAIL(BAD_ARGUMENT);
        TRY(ec_private_key(key->row, bytes, &der));
        bytes = hf_buf_cursor(&der);
    }
    const unsigned char *at = bytes.at;
    key->evp = d2i_PrivateKey_ex(EVP_PKEY_EC, NULL, &at, (long)bytes.left, NULL, NULL);
    hf_wipe(memory, sizeof(memory));
    if (key->evp == NULL || at != bytes.at + bytes.left || !pkey_evp_fits(key->evp, key->row))
        return PKEY_FAILED(BAD_ARGUMENT);
    return HF_DONE;
}

static hf_result scalar_of(const struct hf_pkey *key, uint8_t *ret_scalar)
{
    BIGNUM *scalar = NULL;
    if (EVP_PKEY_get_bn_param(key->evp, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) != 1)
        return PKEY_FAILED(INTERNAL);
    int len = BN_bn2binpad(scalar, ret_scalar, key->row->raw_len);
    BN_clear_free(scalar);
    return len == key->row->raw_len ? HF_DONE : PKEY_FAILED(INTERNAL);
}

static hf_result export_private(const struct hf_pkey *key, enum hf_private_form form,
                                struct hf_secret **ret_bytes)
{
    uint8_t scalar[FIELD_MAX], memory[FIELD_MAX + 32];
    struct hf_buf der = hf_buf(memory, sizeof(memory));
    hf_result done = scalar_of(key, scalar);
    if (HF_IS_OK(done) && form == HF_PRIVATE_RAW)
        done = hf_secret_take(scalar, key->row->raw_len, ret_bytes);
    else if (HF_IS_OK(done) &&
             HF_IS_OK(done = ec_private_key(key->row, hf_cursor(scalar, key->row->raw_len), &der)))
        done = hf_secret_take(memory, der.len, ret_bytes);
    hf_wipe(scalar, sizeof(scalar));
    hf_wipe(memory, sizeof(memory));
    return done;
}

/* The uncompressed or compressed point of SEC 1. */
static hf_result import_public(struct hf_pkey *key, struct hf_cursor point)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)key->row->group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point.at, point.left),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, key->row->type, NULL);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    bool ok = EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &key->evp, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok ? pkey_check_point(key->evp) : PKEY_FAILED(BAD_ARGUMENT);
}

static hf_result export_public(const struct hf_pkey *key, struct hf_buf *out)
{
    return pkey_evp_to_spki(key->evp, out);
}

/* ---- ECDSA --------------------------------------------------------------------------------------------------- */

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

/* DER to r || s and back; signatures are public. */
static hf_result der_to_raw(size_t field, struct hf_cursor der, uint8_t *ret_raw)
{
    const unsigned char *at = der.at;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der.left);
    bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_raw, (int)field) == (int)field &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_raw + field, (int)field) == (int)field;
    ECDSA_SIG_free(sig);
    return ok ? HF_DONE : PKEY_FAILED(INTERNAL);
}

/* Minimal DER INTEGER of a positive number. */
static void der_integer(struct hf_buf *out, const uint8_t *bytes, size_t len)
{
    while (len > 1 && bytes[0] == 0) {
        bytes++;
        len--;
    }
    bool sign = (bytes[0] & 0x80) != 0;
    pkey_der_header(out, 0x02, len + sign);
    if (sign)
        hf_buf_u8(out, 0);
    hf_buf_put(out, bytes, len);
}

static void raw_to_der(size_t field, const uint8_t *raw, struct hf_buf *out)
{
    uint8_t memory[2 * (FIELD_MAX + 4)];
    struct hf_buf body = hf_buf(memory, sizeof(memory));
    der_integer(&body, raw, field);
    der_integer(&body, raw + field, field);
    pkey_der_header(out, 0x30, body.len);
    hf_buf_put(out, memory, body.len);
}

static hf_result sign(const struct hf_pkey *key, const struct hf_sign_options *options,
                      struct hf_cursor input, struct hf_buf *out)
{
    uint8_t memory[HF_HASH_MAX], der[2 * FIELD_MAX + 16];
    struct hf_cursor digest;
    TRY(digest_of(options, input, memory, &digest));
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = pkey_ctx(key);
    size_t len = sizeof(der);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    if (EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_sign(ctx, der, &len, digest.at, digest.left) != 1)
        return PKEY_FAILED(INTERNAL);
    if (!options->ecdsa_raw) {
        hf_buf_put(out, der, len);
        return hf_buf_ok(out);
    }
    uint8_t *place = hf_buf_reserve(out, 2 * (size_t)key->row->raw_len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    return der_to_raw(key->row->raw_len, hf_cursor(der, len), place);
}

static hf_result verify(const struct hf_pkey *key, const struct hf_sign_options *options,
                        struct hf_cursor input, struct hf_cursor signature)
{
    uint8_t memory[HF_HASH_MAX], der_memory[2 * FIELD_MAX + 16];
    struct hf_buf der = hf_buf(der_memory, sizeof(der_memory));
    struct hf_cursor digest;
    TRY(digest_of(options, input, memory, &digest));
    if (options->ecdsa_raw) {
        if (signature.left != 2 * (size_t)key->row->raw_len)
            return HF_FAIL(BAD_SIGNATURE);
        raw_to_der(key->row->raw_len, signature.at, &der);
        signature = hf_buf_cursor(&der);
    }
    CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = pkey_ctx(key);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    if (EVP_PKEY_verify_init(ctx) != 1)
        return PKEY_FAILED(INTERNAL);
    return EVP_PKEY_verify(ctx, signature.at, signature.left, digest.at, digest.left) == 1
               ? HF_DONE
               : PKEY_FAILED(BAD_SIGNATURE);
}

const struct pkey_family pkey_ec = {
    .generate = generate,
    .import_private = import_private,
    .import_public = import_public,
    .export_private = export_private,
    .export_public = export_public,
    .sign = sign,
    .verify = verify,
    .encapsulate = pkey_dhkem_encapsulate,
    .decapsulate = pkey_dhkem_decapsulate,
    .agree = pkey_dh_agree,
};
