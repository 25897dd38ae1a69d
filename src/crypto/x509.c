#include "crypto/x509.h"

#include <arpa/inet.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum { SERIAL_BYTES = 16, BACKDATE_SECONDS = 3600, DAY_SECONDS = 86400 };

static void key_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void cert_freep(X509 **cert)
{
    X509_free(*cert);
}

static void names_freep(GENERAL_NAMES **names)
{
    GENERAL_NAMES_free(*names);
}

static void bio_freep(BIO **bio)
{
    BIO_free(*bio);
}

/* A fresh random serial number, positive as RFC 5280 4.1.2.2 wants it. */
static bool set_serial(X509 *cert)
{
    uint8_t bytes[SERIAL_BYTES];
    if (!HF_IS_OK(hf_random(bytes, sizeof(bytes))))
        return false;
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return good;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static hf_result add_names(X509 *cert, const struct hf_x509_request *request)
{
    CLEANUP(names_freep) GENERAL_NAMES *names = GENERAL_NAMES_new();
    if (names == NULL)
        return HF_FAIL(NO_MEMORY);
    for (size_t i = 0; i < request->name_count; i++) {
        uint8_t address[16];
        const char *text = request->names[i];
        int len = inet_pton(AF_INET, text, address) == 1    ? 4
                  : inet_pton(AF_INET6, text, address) == 1 ? 16
                                                            : 0;
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value = len != 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
        if (name == NULL || value == NULL ||
            ASN1_STRING_set(value, len != 0 ? (const void *)address : text, len != 0 ? len : -1) != 1 ||
            sk_GENERAL_NAME_push(names, name) <= 0) {
            GENERAL_NAME_free(name);
            ASN1_STRING_free(value);
            return HF_FAIL(NO_MEMORY);
        }
        GENERAL_NAME_set0_value(name, len != 0 ? GEN_IPADD : GEN_DNS, value);
    }
    return X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1
               ? HF_DONE
               : HF_FAIL(INTERNAL);
}

static bool add_common_name(X509_NAME *name, const char *text)
{
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Holdfast development",
                                      -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0) == 1;
}

/* Everything but names and extensions. */
static hf_result begin_cert(const struct hf_x509_request *request, const char *common_name, EVP_PKEY *key,
                            X509 **ret_cert)
{
    CLEANUP(cert_freep) X509 *cert = X509_new();
    if (cert == NULL)
        return HF_FAIL(NO_MEMORY);
    if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
        X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_SECONDS) == NULL ||
        X509_gmtime_adj(X509_getm_notAfter(cert), (long)request->days * DAY_SECONDS) == NULL ||
        X509_set_pubkey(cert, key) != 1 || !add_common_name(X509_get_subject_name(cert), common_name))
        return HF_FAIL(INTERNAL);
    *ret_cert = TAKE(cert);
    return HF_DONE;
}

static hf_result drain(BIO *bio, struct hf_buf *out)
{
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);
    if (len <= 0)
        return HF_FAIL(INTERNAL);
    hf_buf_put(out, text, (size_t)len);
    hf_wipe(text, (size_t)len);
    return hf_buf_ok(out);
}

static hf_result put_cert(X509 *cert, struct hf_buf *out)
{
    CLEANUP(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_X509(bio, cert) != 1)
        return HF_FAIL(NO_MEMORY);
    return drain(bio, out);
}

static hf_result put_key(EVP_PKEY *key, struct hf_buf *out)
{
    CLEANUP(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return HF_FAIL(NO_MEMORY);
    return drain(bio, out);
}

hf_result hf_x509_self_signed(const struct hf_x509_request *request, struct hf_buf *out_ca_cert,
                              struct hf_buf *out_cert, struct hf_buf *out_key)
{
    if (request->days < 1 || request->name_count == 0)
        return HF_FAIL(BAD_ARGUMENT);
    CLEANUP(key_freep) EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    CLEANUP(key_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    if (ca_key == NULL || key == NULL)
        return HF_FAIL(NO_ENTROPY);
    CLEANUP(cert_freep) X509 *ca = NULL;
    CLEANUP(cert_freep) X509 *cert = NULL;
    TRY(begin_cert(request, "Holdfast development authority", ca_key, &ca));
    if (X509_set_issuer_name(ca, X509_get_subject_name(ca)) != 1 ||
        !add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(ca, ca, NID_subject_key_identifier, "hash") ||
        X509_sign(ca, ca_key, EVP_sha256()) <= 0)
        return HF_FAIL(INTERNAL);
    TRY(begin_cert(request, request->common_name, key, &cert));
    TRY(add_names(cert, request));
    if (X509_set_issuer_name(cert, X509_get_subject_name(ca)) != 1 ||
        !add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(cert, ca, NID_ext_key_usage, "serverAuth") ||
        !add_extension(cert, ca, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, ca, NID_authority_key_identifier, "keyid") ||
        X509_sign(cert, ca_key, EVP_sha256()) <= 0)
        return HF_FAIL(INTERNAL);
    TRY(put_cert(ca, out_ca_cert));
    TRY(put_cert(cert, out_cert));
    return put_key(key, out_key);
}
