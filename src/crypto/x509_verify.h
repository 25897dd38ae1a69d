/* Client certificates: whether one chains to what an operator trusts, and what it says of its holder. That the holder
 * has the private key was proved by TLS. Classical and ML-DSA certificates alike. */
#ifndef HF_CRYPTO_X509_VERIFY_H
#define HF_CRYPTO_X509_VERIFY_H

#include "base/buf.h"
#include "base/result.h"

enum { HF_X509_CHAIN_MAX = 8, HF_X509_TRUSTED_MAX = 16, HF_X509_PEM_MAX = 64 << 10, HF_X509_NAME_MAX = 512 };

struct hf_x509;
/* der: the holder's certificate, then any others of its chain, one after another. Fails: BAD_ARGUMENT, NO_MEMORY. */
hf_result hf_x509_parse(struct hf_cursor der, struct hf_x509 **ret_cert);
void hf_x509_free(struct hf_x509 *cert);
void hf_x509_freep(struct hf_x509 **cert);

/* Whether the text is certificates in PEM, 1 to HF_X509_TRUSTED_MAX of them. Fails: BAD_ARGUMENT. */
hf_result hf_x509_check_trusted(struct hf_cursor pem);
/* Whether the certificate is one of the trusted ones, or chains to one that may issue; in time, for TLS clients, with
 * keys and digests of 112 bits or more. Fails: DENIED; BAD_ARGUMENT (trusted). */
hf_result hf_x509_verify(const struct hf_x509 *cert, struct hf_cursor trusted_pem, int64_t now_wall_ns);

enum hf_x509_name { HF_X509_COMMON_NAME, HF_X509_UNIT, HF_X509_DNS, HF_X509_EMAIL, HF_X509_URI };
/* Calls each for every name of that kind (UTF-8); false ends. Names longer than HF_X509_NAME_MAX, or with a zero
 * byte or invalid UTF-8, are passed over. */
void hf_x509_names(const struct hf_x509 *cert, enum hf_x509_name kind,
                   bool (*each)(void *arg, struct hf_cursor name), void *arg);
void hf_x509_serial(const struct hf_x509 *cert, struct hf_buf *out);         /* decimal */
void hf_x509_subject_key_id(const struct hf_x509 *cert, struct hf_buf *out); /* "0a:1b:…", empty where none */
void hf_x509_authority_key_id(const struct hf_x509 *cert, struct hf_buf *out);

#endif
