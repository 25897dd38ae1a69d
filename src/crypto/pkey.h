/* Asymmetric keys: signatures, key encapsulation, agreement, RSA encryption; composites and hybrids behind the
 * same calls, so that callers never ask which. A struct hf_pkey is immutable, shared by reference count, and
 * its private half lies in the arena where OpenSSL's heap does. All calls thread-safe. */
#ifndef HF_CRYPTO_PKEY_H
#define HF_CRYPTO_PKEY_H

#include "crypto/alg.h"
#include "crypto/hash.h"

struct hf_pkey;

enum { HF_PUBLIC_MAX = 4096, HF_SIGNATURE_MAX = 51200, HF_KEM_CT_MAX = 2048, HF_PRIVATE_MAX = 8192 };

/* Forms of a private key. NATIVE is what Holdfast stores: seed where the standard has one (ML-KEM 64, ML-DSA
 * 32, X-Wing 32, X25519 and Ed25519 32, composite: concatenation as LAMPS has it), else PKCS#8 DER. */
enum hf_private_form { HF_PRIVATE_NATIVE, HF_PRIVATE_PKCS8, HF_PRIVATE_RAW, HF_PRIVATE_SEED };

hf_result hf_pkey_generate(enum hf_alg alg, struct hf_pkey **ret_key);
/* Fails: BAD_ARGUMENT where the bytes are no key of that algorithm (checked: FIPS 203 7.2/7.3, point on curve,
 * pairwise consistency on import). */
hf_result hf_pkey_from_private(enum hf_alg alg, enum hf_private_form form, const struct hf_secret *bytes,
                               struct hf_pkey **ret_key);
/* public bytes: raw encoding of the standard, or SubjectPublicKeyInfo DER for RSA and EC; PEM is accepted. */
hf_result hf_pkey_from_public(enum hf_alg alg, struct hf_cursor bytes, struct hf_pkey **ret_key);
/* Recognises the algorithm of a PKCS#8 private key. */
hf_result hf_pkey_from_pkcs8(const struct hf_secret *der, struct hf_pkey **ret_key);
struct hf_pkey *hf_pkey_ref(struct hf_pkey *key);
void hf_pkey_free(struct hf_pkey *key); /* drops a reference; NULL allowed */
void hf_pkey_freep(struct hf_pkey **key);

enum hf_alg hf_pkey_alg(const struct hf_pkey *key);
bool hf_pkey_has_private(const struct hf_pkey *key);
hf_result hf_pkey_private(const struct hf_pkey *key, enum hf_private_form form, struct hf_secret **ret_bytes);
/* Raw public bytes of the standard (RSA, EC: SPKI DER). */
hf_result hf_pkey_public(const struct hf_pkey *key, struct hf_buf *out);
/* As the API shows it: PEM SPKI for RSA and EC, base64 of raw bytes for the rest (Ed25519 as Vault does). */
hf_result hf_pkey_public_text(const struct hf_pkey *key, struct hf_buf *out);
hf_result hf_pkey_public_pem(const struct hf_pkey *key,
                             struct hf_buf *out); /* SPKI PEM for every algorithm */

struct hf_sign_options {
    enum hf_hash hash;        /* for ECDSA, RSA; Ed25519ph; HashML-DSA */
    bool prehashed;           /* input is the digest already: for Ed25519, ML-DSA and SLH-DSA that is another
                                 mode (Ed25519ph with SHA-512, HashML-DSA, HashSLH-DSA); else the same signature */
    bool rsa_pkcs1v15;        /* else PSS */
    int rsa_salt_len;         /* -1 auto (hash length), -2 max; else bytes */
    bool ecdsa_raw;           /* r||s fixed length ("jws" marshaling), else ASN.1 DER */
    struct hf_cursor context; /* ML-DSA, SLH-DSA, composites, Ed25519ctx: <= 255 bytes */
    bool deterministic;       /* ML-DSA, SLH-DSA: no added randomness */
};
/* Fails: UNSUPPORTED (key cannot sign), BAD_ARGUMENT, NO_ENTROPY. Composites: LAMPS
 * draft-ietf-lamps-pq-composite-sigs. Timing: independent of the private key but for ML-DSA's rejection loop. */
hf_result hf_pkey_sign(const struct hf_pkey *key, const struct hf_sign_options *options,
                       struct hf_cursor input, struct hf_buf *out);
/* Fails: BAD_SIGNATURE where it does not verify or is malformed. */
hf_result hf_pkey_verify(const struct hf_pkey *key, const struct hf_sign_options *options,
                         struct hf_cursor input, struct hf_cursor signature);

/* KEM (ML-KEM, X25519MLKEM768, X-Wing, and ECDH curves as DHKEM of RFC 9180). Fails: BAD_PEER_KEY,
 * BAD_CIPHERTEXT (wrong length; implicit rejection gives a random-looking secret as FIPS 203 has it). */
hf_result hf_pkey_encapsulate(const struct hf_pkey *key, struct hf_buf *out_ciphertext,
                              struct hf_secret **ret_shared);
hf_result hf_pkey_decapsulate(const struct hf_pkey *key, struct hf_cursor ciphertext,
                              struct hf_secret **ret_shared);
/* ECDH. Fails: BAD_PEER_KEY (also an all-zero X25519 result). */
hf_result hf_pkey_agree(const struct hf_pkey *key, struct hf_cursor peer_public,
                        struct hf_secret **ret_shared);

/* RSA-OAEP (MGF1 with the same hash), label empty. plain: at least one byte. Fails: TOO_LARGE (for the key and
 * hash, or out); BAD_CIPHERTEXT, whatever was wrong. */
hf_result hf_pkey_oaep_encrypt(const struct hf_pkey *key, enum hf_hash hash, struct hf_cursor plain,
                               struct hf_buf *out);
hf_result hf_pkey_oaep_decrypt(const struct hf_pkey *key, enum hf_hash hash, struct hf_cursor sealed,
                               struct hf_secret **ret_plain);

/* HPKE base mode (RFC 9180), KEM X-Wing 0x647a, HKDF-SHA-256 0x0001, AES-256-GCM 0x0002: seals a secret to a
 * service's key as enc || ciphertext. */
hf_result hf_hpke_seal(const struct hf_pkey *recipient, struct hf_cursor info, struct hf_cursor ad,
                       const struct hf_secret *plain, struct hf_buf *out);
hf_result hf_hpke_open(const struct hf_pkey *recipient, struct hf_cursor info, struct hf_cursor ad,
                       struct hf_cursor sealed, struct hf_secret **ret_plain);

#endif
