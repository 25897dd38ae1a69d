/* Certificates for a development server: an authority made for one server, and the server's certificate from it. */
#ifndef HF_CRYPTO_X509_H
#define HF_CRYPTO_X509_H

#include "crypto/crypto.h"

struct hf_x509_request {
    const char *common_name;
    const char *const *names; /* DNS names and numeric addresses for subjectAltName */
    size_t name_count;
    int days;
};

/* ECDSA P-256 with SHA-256. PEM into the buffers; the authority's private key is forgotten, so nothing else can ever be
 * signed by it. Fails: NO_ENTROPY, NO_MEMORY, TOO_LARGE, BAD_ARGUMENT, INTERNAL. */
hf_result hf_x509_self_signed(const struct hf_x509_request *request, struct hf_buf *out_ca_cert,
                              struct hf_buf *out_cert, struct hf_buf *out_key);

#endif
