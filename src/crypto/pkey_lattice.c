/* ML-DSA (FIPS 204), SLH-DSA (FIPS 205), ML-KEM (FIPS 203): raw keys, and seeds where the standard has them. */
#include "crypto/pkey_internal.h"
#include "secret/view.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

static hf_result generate(struct hf_pkey *key)
{
    return pkey_evp_generate(key->row, &key->evp);
}

static hf_result from_seed(struct hf_pkey *key, struct hf_cursor seed)
{
    /* "seed" by either name: OSSL_PKEY_PARAM_ML_KEM_SEED, OSSL_PKEY_PARAM_ML_DSA_SEED */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_KEM_SEED, (void *)seed.at, seed.left),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, key->row->type, NULL);
    if (ctx == NULL)
        return PKEY_FAILED(UNSUPPORTED);
    bool ok =
        EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key->evp, EVP_PKEY_KEYPAIR, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok ? HF_DONE : PKEY_FAILED(BAD_ARGUMENT);
}

/* NATIVE is the seed; a key that was imported expanded has none, and then NATIVE is the expanded form. */
static hf_result import_private(struct hf_pkey *key, enum hf_private_form form, struct hf_cursor bytes)
{
    if (form != HF_PRIVATE_RAW && key->row->seed_len != 0 && bytes.left == key->row->seed_len)
        return from_seed(key, bytes);
    if (form == HF_PRIVATE_SEED)
        return HF_FAIL(BAD_ARGUMENT);
    return pkey_raw_import_private(key, bytes);
}

static hf_result export_private(const struct hf_pkey *key, enum hf_private_form form,
                                struct hf_secret **ret_bytes)
{
    if (form == HF_PRIVATE_RAW)
        return pkey_raw_export_private(key, ret_bytes);
    CLEANUP(hf_secret_freep) struct hf_secret *seed = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_new(key->row->seed_len, &seed));
    TRY(hf_secret_view_open(seed, &view));
    size_t len = 0;
    if (EVP_PKEY_get_octet_string_param(key->evp, OSSL_PKEY_PARAM_ML_KEM_SEED, view.bytes, view.len, &len) !=
            1 ||
        len != view.len) {
        hf_result none = PKEY_FAILED(UNSUPPORTED);
        return form == HF_PRIVATE_NATIVE ? pkey_raw_export_private(key, ret_bytes) : none;
    }
    *ret_bytes = TAKE(seed);
    return HF_DONE;
}

/* ---- signatures ------------------------------------------------------------------------------------------------ */

enum { HASH_OID_LEN = 11, ENCODED_MAX = 2 + 255 + HASH_OID_LEN + HF_HASH_MAX };

/* @spec FIPS204:5.4 M' of the pre-hashed modes: 0x01 || len(ctx) || ctx || OID of the hash in DER || digest. FIPS 204 algorithm 4,
 * FIPS 205 algorithm 23. */
static hf_result encode_prehashed(const struct hf_sign_options *options, struct hf_cursor digest,
                                  struct hf_buf *out)
{
    /* 2.16.840.1.101.3.4.2.n */
    static const uint8_t arc[HF_HASH_COUNT] = {
        [HF_SHA2_224] = 4, [HF_SHA2_256] = 1, [HF_SHA2_384] = 2, [HF_SHA2_512] = 3,
        [HF_SHA3_224] = 7, [HF_SHA3_256] = 8, [HF_SHA3_384] = 9, [HF_SHA3_512] = 10,
    };
    static const uint8_t oid[] = {0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02};
    static_assert(sizeof(oid) + 1 == HASH_OID_LEN, "the OID of a hash in DER");

    if ((unsigned)options->hash >= HF_HASH_COUNT || digest.left != hf_hash_len(options->hash))
        return HF_FAIL(BAD_ARGUMENT);
    hf_buf_u8(out, 1);
    hf_buf_u8(out, (uint8_t)options->context.left);
    hf_buf_put_cursor(out, options->context);
    hf_buf_put(out, oid, sizeof(oid));
    hf_buf_u8(out, arc[options->hash]);
    hf_buf_put_cursor(out, digest);
    return hf_buf_ok(out);
}

struct message {
    OSSL_PARAM params[4];
    int deterministic, encoding;
    struct hf_cursor input;
    uint8_t encoded[ENCODED_MAX];
};

static hf_result prepare(const struct hf_sign_options *options, struct hf_cursor input, bool sign,
                         struct message *ret)
{
    size_t count = 0;
    ret->input = input;
    if (options->prehashed) {
        struct hf_buf encoded = hf_buf(ret->encoded, sizeof(ret->encoded));
        TRY(encode_prehashed(options, input, &encoded));
        ret->input = hf_buf_cursor(&encoded);
        ret->encoding = 0; /* the message is M' already */
        ret->params[count++] =
            OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_MESSAGE_ENCODING, &ret->encoding);
    } else if (options->context.left != 0) {
        ret->params[count++] = OSSL_PARAM_construct_octet_string(
            OSSL_SIGNATURE_PARAM_CONTEXT_STRING, (void *)options->context.at, options->context.left);
    }
    if (sign && options->deterministic) {
        ret->deterministic = 1;
        ret->params[count++] =
            OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_DETERMINISTIC, &ret->deterministic);
    }
    ret->params[count] = OSSL_PARAM_construct_end();
    return HF_DONE;
}

static hf_result sign(const struct hf_pkey *key, const struct hf_sign_options *options,
                      struct hf_cursor input, struct hf_buf *out)
{
    struct message message;
    TRY(prepare(options, input, true, &message));
    return pkey_message_sign(key, pkey_signature(key->row->signature, key->row->alg, 0), false,
                             message.params, message.input, out);
}

static hf_result verify(const struct hf_pkey *key, const struct hf_sign_options *options,
                        struct hf_cursor input, struct hf_cursor signature)
{
    struct message message;
    TRY(prepare(options, input, false, &message));
    return pkey_message_verify(key, pkey_signature(key->row->signature, key->row->alg, 0), false,
                               message.params, message.input, signature);
}

/* ---- encapsulation ----------------------------------------------------------------------------------------------- */

static hf_result encapsulate(const struct hf_pkey *key, struct hf_buf *out, struct hf_secret **ret_shared)
{
    return pkey_evp_encapsulate(key, NULL, out, ret_shared);
}

static hf_result decapsulate(const struct hf_pkey *key, struct hf_cursor ct, struct hf_secret **ret_shared)
{
    return pkey_evp_decapsulate(key, NULL, ct, ret_shared);
}

const struct pkey_family pkey_lattice = {
    .generate = generate,
    .import_private = import_private,
    .import_public = pkey_raw_import_public,
    .export_private = export_private,
    .export_public = pkey_raw_export_public,
    .sign = sign,
    .verify = verify,
    .encapsulate = encapsulate,
    .decapsulate = decapsulate,
};
