/* Inside of asymmetric keys. A key is one library key, or a pair of keys: post-quantum half first. */
#ifndef HF_CRYPTO_PKEY_INTERNAL_H
#define HF_CRYPTO_PKEY_INTERNAL_H

#include "crypto/internal.h"
#include "crypto/pkey.h"

#include <stdatomic.h>

enum { PKEY_SEED_MAX = 96 };

struct pkey_row;

/* One family of algorithms. Every function may rely on the dispatcher's checks: the algorithm has that use, the
 * key a private half where one is needed, options are not NULL, a context has at most 255 bytes. */
struct pkey_family {
    hf_result (*generate)(struct hf_pkey *key);
    /* form: NATIVE, RAW or SEED; PKCS#8 was unwrapped before. */
    hf_result (*import_private)(struct hf_pkey *key, enum hf_private_form form, struct hf_cursor bytes);
    hf_result (*import_public)(struct hf_pkey *key, struct hf_cursor raw);
    hf_result (*export_private)(const struct hf_pkey *key, enum hf_private_form form,
                                struct hf_secret **ret_bytes);
    hf_result (*export_public)(const struct hf_pkey *key, struct hf_buf *out);
    hf_result (*sign)(const struct hf_pkey *key, const struct hf_sign_options *options,
                      struct hf_cursor input, struct hf_buf *out);
    hf_result (*verify)(const struct hf_pkey *key, const struct hf_sign_options *options,
                        struct hf_cursor input, struct hf_cursor signature);
    hf_result (*encapsulate)(const struct hf_pkey *key, struct hf_buf *out, struct hf_secret **ret_shared);
    hf_result (*decapsulate)(const struct hf_pkey *key, struct hf_cursor ct, struct hf_secret **ret_shared);
    hf_result (*agree)(const struct hf_pkey *key, struct hf_cursor peer, struct hf_secret **ret_shared);
};
extern const struct pkey_family pkey_rsa, pkey_ec, pkey_edwards, pkey_lattice, pkey_composite,
    pkey_hybrid_kem;

/* How the library, DER and the standards know an algorithm. */
struct pkey_row {
    enum hf_alg alg;
    const struct pkey_family *family;
    const char *type;         /* the library's key type */
    const char *group;        /* curve */
    const char *signature;    /* the library's signature algorithm where it signs messages */
    uint8_t oid[12], oid_len; /* contents of the OBJECT IDENTIFIER; 0: none registered */
    uint16_t bits;            /* RSA */
    uint16_t public_len;      /* raw public key; 0 where it varies */
    uint16_t signature_len;   /* fixed length, or the longest where DER makes it vary */
    uint16_t raw_len;         /* RAW private form; 0: none */
    uint8_t seed_len;         /* SEED form; 0: none */
    bool der_public;          /* the public form is SubjectPublicKeyInfo */
    enum hf_alg half[2];      /* pairs: post-quantum, classical */
    const char *label;        /* LAMPS signature label */
    enum hf_hash hash;        /* pairs: pre-hash; ECDSA half: its hash */
};
const struct pkey_row *pkey_row(enum hf_alg alg);
const struct pkey_row *pkey_row_by_oid(struct hf_cursor oid);

struct hf_pkey {
    atomic_uint refs;
    const struct pkey_row *row;
    uint32_t uses; /* hf_use bits */
    bool has_private;
    EVP_PKEY *evp;           /* single algorithms */
    struct hf_pkey *half[2]; /* pairs */
    struct hf_secret *seed;  /* X-Wing: what both halves come from */
};

/* Gives: an empty key of the row, one reference. */
hf_result pkey_new(const struct pkey_row *row, struct hf_pkey **ret_key);

/* Empties the library's error queue. Gives NO_MEMORY where that was the cause, else the fallback. */
hf_result pkey_failed(enum hf_code fallback);
#define PKEY_FAILED(symbol) pkey_failed(HF_##symbol)

void pkey_ctx_freep(EVP_PKEY_CTX **ctx);
/* A context for one operation with the key. */
EVP_PKEY_CTX *pkey_ctx(const struct hf_pkey *key);

/* Raw keys of algorithms that have them: edwards and lattice. */
hf_result pkey_raw_import_private(struct hf_pkey *key, struct hf_cursor bytes);
hf_result pkey_raw_import_public(struct hf_pkey *key, struct hf_cursor raw);
hf_result pkey_raw_export_private(const struct hf_pkey *key, struct hf_secret **ret_bytes);
hf_result pkey_raw_export_public(const struct hf_pkey *key, struct hf_buf *out);

/* One message through the library's message-signing interface. params NULL: none. digest: the algorithm takes a
 * digest. Fails: sign INTERNAL, verify BAD_SIGNATURE. */
hf_result pkey_message_sign(const struct hf_pkey *key, EVP_SIGNATURE *how, bool digest,
                            const OSSL_PARAM *params, struct hf_cursor input, struct hf_buf *out);
hf_result pkey_message_verify(const struct hf_pkey *key, EVP_SIGNATURE *how, bool digest,
                              const OSSL_PARAM *params, struct hf_cursor input, struct hf_cursor signature);

/* ECDH and DHKEM (RFC 9180) with the library's key; peers in any public form. (pkey_dh.c) */
hf_result pkey_dh_agree(const struct hf_pkey *key, struct hf_cursor peer, struct hf_secret **ret_shared);
hf_result pkey_dhkem_encapsulate(const struct hf_pkey *key, struct hf_buf *out,
                                 struct hf_secret **ret_shared);
hf_result pkey_dhkem_decapsulate(const struct hf_pkey *key, struct hf_cursor ct,
                                 struct hf_secret **ret_shared);
/* A KEM context that has been begun does its work. params: as its init took them. */
hf_result pkey_evp_encapsulate(const struct hf_pkey *key, const OSSL_PARAM *params, struct hf_buf *out,
                               struct hf_secret **ret_shared);
hf_result pkey_evp_decapsulate(const struct hf_pkey *key, const OSSL_PARAM *params, struct hf_cursor ct,
                               struct hf_secret **ret_shared);

/* The message-signing algorithm, fetched once. `variant`: 0, or another mode of the family. */
EVP_SIGNATURE *pkey_signature(const char *name, enum hf_alg alg, unsigned variant);

/* ---- forms (pkey_forms.c) ----------------------------------------------------------------------------- */

/* The parts of a PKCS#8 PrivateKeyInfo (RFC 5958): algorithm OID and the contents of the OCTET STRING. */
hf_result pkey_pkcs8_parts(struct hf_cursor der, struct hf_cursor *ret_oid, struct hf_cursor *ret_private);
/* Writes PKCS#8 with absent parameters. */
void pkey_pkcs8_write(struct hf_buf *out, struct hf_cursor oid, struct hf_cursor private_key);
/* SubjectPublicKeyInfo: OID and the contents of the BIT STRING. */
hf_result pkey_spki_parts(struct hf_cursor der, struct hf_cursor *ret_oid, struct hf_cursor *ret_public);
void pkey_spki_write(struct hf_buf *out, struct hf_cursor oid, struct hf_cursor public_key);
void pkey_der_header(struct hf_buf *out, uint8_t tag, size_t len);
bool pkey_der_take(struct hf_cursor *in, uint8_t tag, struct hf_cursor *ret_contents);

/* The library's own PKCS#8 and SubjectPublicKeyInfo. */
hf_result pkey_evp_to_pkcs8(const EVP_PKEY *evp, struct hf_secret **ret_der);
hf_result pkey_evp_from_pkcs8(struct hf_cursor der, EVP_PKEY **ret_evp);
hf_result pkey_evp_to_spki(const EVP_PKEY *evp, struct hf_buf *out);
hf_result pkey_evp_from_spki(struct hf_cursor der, EVP_PKEY **ret_evp);
/* Does the library's key have this row's type, curve and size? */
bool pkey_evp_fits(const EVP_PKEY *evp, const struct pkey_row *row);
hf_result pkey_check_point(EVP_PKEY *evp);
/* Generates a library key of the row. */
hf_result pkey_evp_generate(const struct pkey_row *row, EVP_PKEY **ret_evp);
/* A secret from bytes that stay with the caller. */
hf_result pkey_secret(const void *bytes, size_t len, struct hf_secret **ret_secret);

#endif
