#include "crypto/x509_verify.h"

#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/encode.h"

enum { AUTH_LEVEL = 2 }; /* 112 bits: RSA of 2048, no SHA-1 */

struct hf_x509 {
    X509 *leaf;
    STACK_OF(X509) * others;
};

static void free_one(X509 *cert)
{
    X509_free(cert);
}

void hf_x509_free(struct hf_x509 *cert)
{
    if (cert == NULL)
        return;
    X509_free(cert->leaf);
    sk_X509_pop_free(cert->others, free_one);
    free(cert);
}

void hf_x509_freep(struct hf_x509 **cert)
{
    hf_x509_free(*cert);
}

static hf_result parse_chain(struct hf_x509 *cert, struct hf_cursor der)
{
    cert->others = sk_X509_new_null();
    if (cert->others == NULL)
        return HF_FAIL(NO_MEMORY);
    const unsigned char *at = der.at, *end = der.at + der.left;
    for (int i = 0; at < end; i++) {
        X509 *one = i < HF_X509_CHAIN_MAX ? d2i_X509(NULL, &at, end - at) : NULL;
        if (one == NULL) {
            ERR_clear_error();
            return HF_FAIL(BAD_ARGUMENT);
        }
        if (i == 0) {
            cert->leaf = one;
        } else if (!sk_X509_push(cert->others, one)) {
            X509_free(one);
            return HF_FAIL(NO_MEMORY);
        }
    }
    return cert->leaf == NULL ? HF_FAIL(BAD_ARGUMENT) : HF_DONE;
}

hf_result hf_x509_parse(struct hf_cursor der, struct hf_x509 **ret_cert)
{
    struct hf_x509 *cert = calloc(1, sizeof(*cert));
    if (cert == NULL)
        return HF_FAIL(NO_MEMORY);
    hf_result parsed = parse_chain(cert, der);
    if (!HF_IS_OK(parsed)) {
        hf_x509_free(cert);
        return parsed;
    }
    *ret_cert = cert;
    return HF_DONE;
}

/* ---- trust ---- */

static void bio_freep(BIO **bio)
{
    BIO_free(*bio);
}

static void store_freep(X509_STORE **store)
{
    X509_STORE_free(*store);
}

static void context_freep(X509_STORE_CTX **context)
{
    X509_STORE_CTX_free(*context);
}

static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

/* Reads all certificates of the text into the store, or only counts them. */
static hf_result read_trusted(struct hf_cursor pem, X509_STORE *store)
{
    if (pem.left == 0 || pem.left > HF_X509_PEM_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    CLEANUP(bio_freep) BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.left);
    if (bio == NULL)
        return HF_FAIL(NO_MEMORY);
    unsigned count = 0;
    for (;;) {
        X509 *one = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (one == NULL)
            break;
        int added = store == NULL || X509_STORE_add_cert(store, one);
        X509_free(one);
        if (!added)
            return HF_FAIL(NO_MEMORY);
        if (++count > HF_X509_TRUSTED_MAX)
            return HF_FAIL(BAD_ARGUMENT);
    }
    unsigned long last =
        ERR_peek_last_error(); /* the end of the text, or a certificate that does not parse */
    ERR_clear_error();
    bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    return count != 0 && at_end ? HF_DONE : HF_FAIL(BAD_ARGUMENT);
}

hf_result hf_x509_check_trusted(struct hf_cursor pem)
{
    return read_trusted(pem, NULL);
}

hf_result hf_x509_verify(const struct hf_x509 *cert, struct hf_cursor trusted_pem, int64_t now_wall_ns)
{
    CLEANUP(store_freep) X509_STORE *store = X509_STORE_new();
    CLEANUP(context_freep) X509_STORE_CTX *context = X509_STORE_CTX_new();
    if (store == NULL || context == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(read_trusted(trusted_pem, store));
    if (!X509_STORE_CTX_init(context, store, cert->leaf, cert->others))
        return HF_FAIL(NO_MEMORY);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_time(param, (time_t)(now_wall_ns / HF_SECOND));
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    X509_VERIFY_PARAM_set_depth(param, HF_X509_CHAIN_MAX);
    /* What is trusted need not be self-signed: an intermediate, or the holder's own certificate. */
    if (!X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) ||
        !X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT))
        return HF_FAIL(INTERNAL);
    int verified = X509_verify_cert(context);
    ERR_clear_error();
    return verified == 1 ? HF_DONE : HF_FAIL(DENIED);
}

/* ---- what it says ---- */

struct visit {
    bool (*each)(void *arg, struct hf_cursor name);
    void *arg;
};

static bool visit_name(const struct visit *visit, const ASN1_STRING *text)
{
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, text);
    bool on = true;
    if (len > 0 && len <= HF_X509_NAME_MAX && memchr(utf8, 0, (size_t)len) == NULL &&
        hf_utf8_valid(hf_cursor(utf8, (size_t)len)))
        on = visit->each(visit->arg, hf_cursor(utf8, (size_t)len));
    OPENSSL_free(utf8);
    ERR_clear_error();
    return on;
}

static void visit_subject(const struct hf_x509 *cert, int nid, const struct visit *visit)
{
    const X509_NAME *subject = X509_get_subject_name(cert->leaf);
    for (int at = X509_NAME_get_index_by_NID(subject, nid, -1); at >= 0;
         at = X509_NAME_get_index_by_NID(subject, nid, at))
        if (!visit_name(visit, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))))
            return;
}

static void visit_alternatives(const struct hf_x509 *cert, int type, const struct visit *visit)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert->leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == type && !visit_name(visit, name->d.ia5))
            break;
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

void hf_x509_names(const struct hf_x509 *cert, enum hf_x509_name kind,
                   bool (*each)(void *arg, struct hf_cursor name), void *arg)
{
    struct visit visit = {each, arg};
    switch (kind) {
    case HF_X509_COMMON_NAME:
        visit_subject(cert, NID_commonName, &visit);
        return;
    case HF_X509_UNIT:
        visit_subject(cert, NID_organizationalUnitName, &visit);
        return;
    case HF_X509_DNS:
        visit_alternatives(cert, GEN_DNS, &visit);
        return;
    case HF_X509_EMAIL:
        visit_alternatives(cert, GEN_EMAIL, &visit);
        return;
    case HF_X509_URI:
        visit_alternatives(cert, GEN_URI, &visit);
        return;
    }
}

void hf_x509_serial(const struct hf_x509 *cert, struct hf_buf *out)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert->leaf), NULL);
    char *text = number == NULL ? NULL : BN_bn2dec(number);
    if (text != NULL)
        hf_buf_text(out, text);
    OPENSSL_free(text);
    BN_free(number);
    ERR_clear_error();
}

static void put_key_id(const ASN1_OCTET_STRING *id, struct hf_buf *out)
{
    for (int i = 0; id != NULL && i < ASN1_STRING_length(id); i++) {
        if (i != 0)
            hf_buf_u8(out, ':');
        hf_hex_encode(out, hf_cursor(ASN1_STRING_get0_data(id) + i, 1));
    }
    ERR_clear_error();
}

void hf_x509_subject_key_id(const struct hf_x509 *cert, struct hf_buf *out)
{
    put_key_id(X509_get0_subject_key_id(cert->leaf), out);
}

void hf_x509_authority_key_id(const struct hf_x509 *cert, struct hf_buf *out)
{
    put_key_id(X509_get0_authority_key_id(cert->leaf), out);
}
