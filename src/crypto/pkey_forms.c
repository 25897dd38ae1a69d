/* DER as far as keys need it, and the library's codecs. What the library knows it encodes itself; composites and
 * X-Wing, and the seed forms of ML-KEM and ML-DSA (RFC 9935, RFC 9881), are written here. */
#include "crypto/pkey_internal.h"
#include "secret/view.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum { DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_OCTETS = 0x04, DER_OID = 0x06, DER_SEQUENCE = 0x30 };

hf_result pkey_secret(const void *bytes, size_t len, struct hf_secret **ret_secret)
{
    CLEANUP(hf_secret_freep) struct hf_secret *secret = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_new(len, &secret));
    TRY(hf_secret_view_open(secret, &view));
    memcpy(view.bytes, bytes, len);
    *ret_secret = TAKE(secret);
    return HF_DONE;
}

hf_result pkey_failed(enum hf_code fallback)
{
    unsigned long error;
    while ((error = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
            fallback = HF_NO_MEMORY;
    }
    return (hf_result){fallback};
}

/* ---- DER ------------------------------------------------------------------------------------------------ */

bool pkey_der_take(struct hf_cursor *in, uint8_t tag, struct hf_cursor *ret_contents)
{
    struct hf_cursor probe = *in;
    uint8_t got, first;
    if (!hf_cursor_u8(&probe, &got) || got != tag || !hf_cursor_u8(&probe, &first))
        return false;
    size_t len = first;
    if (first >= 0x80) {
        size_t count = first & 0x7fu;
        if (count == 0 || count > 3) /* indefinite, or longer than any key */
            return false;
        len = 0;
        while (count-- != 0) {
            uint8_t byte;
            if (!hf_cursor_u8(&probe, &byte) || (len == 0 && byte == 0))
                return false;
            len = len << 8 | byte;
        }
        if (len < 0x80)
            return false; /* not the shortest form */
    }
    if (!hf_cursor_take(&probe, len, ret_contents))
        return false;
    *in = probe;
    return true;
}

void pkey_der_header(struct hf_buf *out, uint8_t tag, size_t len)
{
    hf_buf_u8(out, tag);
    if (len < 0x80) {
        hf_buf_u8(out, (uint8_t)len);
    } else if (len <= 0xff) {
        hf_buf_u8(out, 0x81);
        hf_buf_u8(out, (uint8_t)len);
    } else if (len <= 0xffff) {
        hf_buf_u8(out, 0x82);
        hf_buf_u16(out, (uint16_t)len);
    } else {
        out->overflow = true;
    }
}

static size_t der_len(size_t len)
{
    return len + (len < 0x80 ? 2 : len <= 0xff ? 3 : 4);
}

static void algorithm(struct hf_buf *out, struct hf_cursor oid)
{
    pkey_der_header(out, DER_SEQUENCE, der_len(oid.left));
    pkey_der_header(out, DER_OID, oid.left);
    hf_buf_put_cursor(out, oid);
}

void pkey_pkcs8_write(struct hf_buf *out, struct hf_cursor oid, struct hf_cursor private_key)
{
    static const uint8_t version[] = {DER_INTEGER, 1, 0};
    pkey_der_header(out, DER_SEQUENCE,
                    sizeof(version) + der_len(der_len(oid.left)) + der_len(private_key.left));
    hf_buf_put(out, version, sizeof(version));
    algorithm(out, oid);
    pkey_der_header(out, DER_OCTETS, private_key.left);
    hf_buf_put_cursor(out, private_key);
}

void pkey_spki_write(struct hf_buf *out, struct hf_cursor oid, struct hf_cursor public_key)
{
    pkey_der_header(out, DER_SEQUENCE, der_len(der_len(oid.left)) + der_len(public_key.left + 1));
    algorithm(out, oid);
    pkey_der_header(out, DER_BIT_STRING, public_key.left + 1);
    hf_buf_u8(out, 0); /* unused bits */
    hf_buf_put_cursor(out, public_key);
}

hf_result pkey_pkcs8_parts(struct hf_cursor der, struct hf_cursor *ret_oid, struct hf_cursor *ret_private)
{
    struct hf_cursor info, version, id;
    if (!pkey_der_take(&der, DER_SEQUENCE, &info) || der.left != 0 ||
        !pkey_der_take(&info, DER_INTEGER, &version) || version.left != 1 || version.at[0] > 1 ||
        !pkey_der_take(&info, DER_SEQUENCE, &id) || !pkey_der_take(&id, DER_OID, ret_oid) ||
        !pkey_der_take(&info, DER_OCTETS, ret_private))
        return HF_FAIL(BAD_ARGUMENT);
    return HF_DONE; /* attributes and a public key may follow */
}

hf_result pkey_spki_parts(struct hf_cursor der, struct hf_cursor *ret_oid, struct hf_cursor *ret_public)
{
    struct hf_cursor info, id, bits;
    uint8_t unused;
    if (!pkey_der_take(&der, DER_SEQUENCE, &info) || der.left != 0 ||
        !pkey_der_take(&info, DER_SEQUENCE, &id) || !pkey_der_take(&id, DER_OID, ret_oid) ||
        !pkey_der_take(&info, DER_BIT_STRING, &bits) || info.left != 0 || !hf_cursor_u8(&bits, &unused) ||
        unused != 0)
        return HF_FAIL(BAD_ARGUMENT);
    *ret_public = bits;
    return HF_DONE;
}

/* SP 800-56A 5.6.2.3.4: on the curve, in range, not the point at infinity. */
hf_result pkey_check_point(EVP_PKEY *evp)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, evp, NULL);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    int good = EVP_PKEY_public_check_quick(ctx);
    EVP_PKEY_CTX_free(ctx);
    return good == 1 ? HF_DONE : PKEY_FAILED(BAD_ARGUMENT);
}

/* ---- the library's codecs --------------------------------------------------------------------------------- */

hf_result pkey_evp_to_pkcs8(const EVP_PKEY *evp, struct hf_secret **ret_der)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(evp);
    if (info == NULL)
        return PKEY_FAILED(UNSUPPORTED);
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    PKCS8_PRIV_KEY_INFO_free(info);
    if (len <= 0)
        return PKEY_FAILED(INTERNAL);
    hf_result done = hf_secret_take(der, (size_t)len, ret_der);
    OPENSSL_clear_free(der, (size_t)len);
    return done;
}

hf_result pkey_evp_from_pkcs8(struct hf_cursor der, EVP_PKEY **ret_evp)
{
    const unsigned char *at = der.at;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.left);
    if (info == NULL || at != der.at + der.left) {
        PKCS8_PRIV_KEY_INFO_free(info);
        return PKEY_FAILED(BAD_ARGUMENT);
    }
    EVP_PKEY *evp = EVP_PKCS82PKEY_ex(info, NULL, NULL);
    PKCS8_PRIV_KEY_INFO_free(info);
    if (evp == NULL)
        return PKEY_FAILED(BAD_ARGUMENT);
    ERR_clear_error(); /* decoders that were tried in vain leave theirs */
    *ret_evp = evp;
    return HF_DONE;
}

hf_result pkey_evp_to_spki(const EVP_PKEY *evp, struct hf_buf *out)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(evp, &der);
    if (len <= 0)
        return PKEY_FAILED(INTERNAL);
    hf_buf_put(out, der, (size_t)len);
    OPENSSL_free(der);
    return hf_buf_ok(out);
}

hf_result pkey_evp_from_spki(struct hf_cursor der, EVP_PKEY **ret_evp)
{
    const unsigned char *at = der.at;
    EVP_PKEY *evp = d2i_PUBKEY_ex(NULL, &at, (long)der.left, NULL, NULL);
    if (evp == NULL || at != der.at + der.left) {
        EVP_PKEY_free(evp);
        return PKEY_FAILED(BAD_ARGUMENT);
    }
    ERR_clear_error();
    *ret_evp = evp;
    return HF_DONE;
}

/* FIPS 186-5 A.1.1: 2^16 < e < 2^256, odd. */
static bool exponent_allowed(const EVP_PKEY *evp)
{
    enum { LEAST_BITS = 17, MOST_BITS = 256 };
    BIGNUM *e = NULL;
    bool good = EVP_PKEY_get_bn_param(evp, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) &&
                BN_num_bits(e) >= LEAST_BITS && BN_num_bits(e) <= MOST_BITS;
    BN_free(e);
    return good;
}

bool pkey_evp_fits(const EVP_PKEY *evp, const struct pkey_row *row)
{
    if (row->type == NULL || !EVP_PKEY_is_a(evp, row->type))
        return false;
    if (row->bits != 0 && EVP_PKEY_get_bits(evp) != row->bits)
        return false;
    if (strcmp(row->type, "RSA") == 0 && !exponent_allowed(evp))
        return false;
    if (row->group != NULL) {
        char group[32];
        size_t len = 0;
        int spelt_out = 0; /* RFC 5480: curves are named, never given by their parameters */
        if (EVP_PKEY_get_group_name(evp, group, sizeof(group), &len) != 1 ||
            (EVP_PKEY_get_int_param(evp, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelt_out) == 1 &&
             spelt_out != 0))
            return false;
        int wanted = EC_curve_nist2nid(row->group), got = OBJ_txt2nid(group);
        return got == wanted || EC_curve_nist2nid(group) == wanted;
    }
    return true;
}

hf_result pkey_evp_generate(const struct pkey_row *row, EVP_PKEY **ret_evp)
{
    EVP_PKEY *evp = row->bits != 0    ? EVP_PKEY_Q_keygen(NULL, NULL, row->type, (size_t)row->bits)
                    : row->group != 0 ? EVP_PKEY_Q_keygen(NULL, NULL, row->type, row->group)
                                      : EVP_PKEY_Q_keygen(NULL, NULL, row->type);
    if (evp == NULL)
        return PKEY_FAILED(NO_ENTROPY);
    *ret_evp = evp;
    return HF_DONE;
}
