/* THE algorithm table: every algorithm a key can have, its API name, what it can do, its sizes and limits, and
 * how it stands against a quantum computer. Nothing else in the tree lists algorithms. */
#ifndef HF_CRYPTO_ALG_H
#define HF_CRYPTO_ALG_H

#include "base/result.h"
#include "base/cursor.h"

enum hf_use {                          /* what a key of the algorithm can do; an operation asks for one */
              HF_USE_SEAL = 1u << 0,   /* encrypt, decrypt, rewrap, data keys */
              HF_USE_SIGN = 1u << 1,   /* sign, verify */
              HF_USE_KEM = 1u << 2,    /* encapsulate, decapsulate */
              HF_USE_AGREE = 1u << 3,  /* ECDH agreement */
              HF_USE_MAC = 1u << 4,    /* hmac */
              HF_USE_DERIVE = 1u << 5, /* context-derived subkeys (derived, convergent) */
              HF_USE_WRAP = 1u << 6,   /* wraps other keys */
};

enum hf_readiness {                        /* published rule: docs/readiness.md */
                    HF_QUANTUM_RESILIENT,  /* symmetric >= 256 bits, ML-KEM, ML-DSA, SLH-DSA */
                    HF_QUANTUM_HYBRID,     /* holds while either half holds */
                    HF_QUANTUM_REDUCED,    /* symmetric below 256 bits */
                    HF_QUANTUM_VULNERABLE, /* RSA, ECDSA, ECDH, Ed25519 */
};

enum hf_alg {
    HF_ALG_NONE = 0,
    HF_ALG_AES128_GCM96 = 1, /* numbers are stored: never renumber, only append */
    HF_ALG_AES256_GCM96 = 2,
    HF_ALG_XAES256_GCM = 3,
    HF_ALG_CHACHA20_POLY1305 = 4,
    HF_ALG_AES256_GCM_SIV = 5,
    HF_ALG_HMAC = 6,
    HF_ALG_AES256_KWP = 7,
    HF_ALG_ED25519 = 16,
    HF_ALG_ECDSA_P256 = 17,
    HF_ALG_ECDSA_P384 = 18,
    HF_ALG_ECDSA_P521 = 19,
    HF_ALG_RSA_2048 = 20,
    HF_ALG_RSA_3072 = 21,
    HF_ALG_RSA_4096 = 22,
    HF_ALG_ECDH_P256 = 24,
    HF_ALG_ECDH_P384 = 25,
    HF_ALG_X25519 = 26,
    HF_ALG_ML_KEM_512 = 32,
    HF_ALG_ML_KEM_768 = 33,
    HF_ALG_ML_KEM_1024 = 34,
    HF_ALG_X25519MLKEM768 = 35, /* ss = ML-KEM ss || X25519 ss, as the TLS group; halves composed here */
    HF_ALG_X_WING = 36,
    HF_ALG_ML_DSA_44 = 48,
    HF_ALG_ML_DSA_65 = 49,
    HF_ALG_ML_DSA_87 = 50,
    HF_ALG_SLH_DSA_SHA2_128S = 56, /* then 128f 192s 192f 256s 256f, SHAKE the same: 56..67 */
    HF_ALG_SLH_DSA_SHA2_128F = 57,
    HF_ALG_SLH_DSA_SHA2_192S = 58,
    HF_ALG_SLH_DSA_SHA2_192F = 59,
    HF_ALG_SLH_DSA_SHA2_256S = 60,
    HF_ALG_SLH_DSA_SHA2_256F = 61,
    HF_ALG_SLH_DSA_SHAKE_128S = 62,
    HF_ALG_SLH_DSA_SHAKE_128F = 63,
    HF_ALG_SLH_DSA_SHAKE_192S = 64,
    HF_ALG_SLH_DSA_SHAKE_192F = 65,
    HF_ALG_SLH_DSA_SHAKE_256S = 66,
    HF_ALG_SLH_DSA_SHAKE_256F = 67,
    HF_ALG_MLDSA44_ED25519 = 80, /* LAMPS composites */
    HF_ALG_MLDSA65_ED25519 = 81,
    HF_ALG_MLDSA65_ECDSA_P256 = 82,
    HF_ALG_MLDSA65_ECDSA_P384 = 83,
    HF_ALG_MLDSA87_ECDSA_P384 = 84,
    HF_ALG_MLDSA44_ECDSA_P256 = 85,
};

struct hf_alg_info {
    enum hf_alg alg;
    const char *type;          /* "type" of the API: "aes256-gcm96", "ml-dsa", "hybrid", ... */
    const char *parameter_set; /* "65", "slh-dsa-sha2-128s"; NULL where the type says it all */
    const char *hybrid_pqc;    /* hybrid_key_type_pqc / hybrid_key_type_ec, NULL if no hybrid */
    const char *hybrid_ec;
    const char *name; /* one unambiguous name: "ML-DSA-65+Ed25519", for people, CBOM and audit */
    uint32_t uses;    /* hf_use bits */
    enum hf_readiness readiness;
    uint16_t key_bytes; /* symmetric: key length (HMAC: default); asymmetric: 0 */
    uint8_t nonce_bytes, tag_bytes;
    uint8_t security_bits_log; /* reserved, 0 */
    uint64_t uses_max;         /* protect operations allowed under one version; UINT64_MAX: no limit */
    bool asymmetric;
};

/* Gives: the row, static storage; NULL for an unknown number. */
const struct hf_alg_info *hf_alg_info(enum hf_alg alg);
/* Looks a key type up as the API names it. parameter_set/pqc/ec may be empty cursors: then the type's default
 * (ml-kem 768, ml-dsa 65, hybrid ML-DSA-65+Ed25519). Fails: BAD_ARGUMENT. */
hf_result hf_alg_find(struct hf_cursor type, struct hf_cursor parameter_set, struct hf_cursor hybrid_pqc,
                      struct hf_cursor hybrid_ec, enum hf_alg *ret_alg);
/* Iterates the table: index from 0; NULL at the end. */
const struct hf_alg_info *hf_alg_at(size_t index);
/* "quantum-resilient", "hybrid", "symmetric-below-256", "quantum-vulnerable". */
const char *hf_readiness_name(enum hf_readiness readiness);

#endif
