#include "crypto/pkey_internal.h"

/* NIST's arcs (sigAlgs 2.16.840.1.101.3.4.3, kems ...4.4), LAMPS' composites 1.3.6.1.5.5.7.6 and X-Wing's
 * 1.3.6.1.4.1.62253.25722. */
#define NIST_SIG(n) {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, n}, .oid_len = 9
#define NIST_KEM(n) {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, n}, .oid_len = 9
#define PKIX_SIG(n) {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x06, n}, .oid_len = 8
#define XWING_OID {0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xe6, 0x2d, 0x81, 0xc8, 0x7a}, .oid_len = 11
#define EDWARDS(n) {0x2b, 0x65, n}, .oid_len = 3

#define ML_DSA(SET, OID, PUBLIC, SIGNATURE, RAW)                                                             \
    {                                                                                                        \
        .alg = HF_ALG_ML_DSA_##SET, .family = &pkey_lattice, .type = "ML-DSA-" #SET,                         \
        .signature = "ML-DSA-" #SET, .oid = NIST_SIG(OID), .public_len = PUBLIC, .signature_len = SIGNATURE, \
        .raw_len = RAW, .seed_len = 32                                                                       \
    }
#define ML_KEM(SET, OID, PUBLIC, RAW)                                                                        \
    {                                                                                                        \
        .alg = HF_ALG_ML_KEM_##SET, .family = &pkey_lattice, .type = "ML-KEM-" #SET, .oid = NIST_KEM(OID),   \
        .public_len = PUBLIC, .raw_len = RAW, .seed_len = 64                                                 \
    }
#define SLH_DSA(SET, NAME, OID, N, SIGNATURE)                                                                \
    {                                                                                                        \
        .alg = HF_ALG_SLH_DSA_##SET, .family = &pkey_lattice, .type = NAME, .signature = NAME,               \
        .oid = NIST_SIG(OID), .public_len = 2 * (N), .signature_len = SIGNATURE, .raw_len = 4 * (N)          \
    }
#define EC(ALG, GROUP, FIELD)                                                                                \
    {                                                                                                        \
        .alg = HF_ALG_##ALG, .family = &pkey_ec, .type = "EC", .group = GROUP,                               \
        .signature_len = 2 * (FIELD) + 9, .raw_len = FIELD, .der_public = true                               \
    }
#define RSA(BITS)                                                                                            \
    {                                                                                                        \
        .alg = HF_ALG_RSA_##BITS, .family = &pkey_rsa, .type = "RSA", .bits = BITS,                          \
        .signature_len = (BITS) / 8, .der_public = true                                                      \
    }
#define COMPOSITE(ALG, OID, PQ, CLASSICAL, LABEL, HASH, PUBLIC, SIGNATURE)                                   \
    {                                                                                                        \
        .alg = HF_ALG_##ALG, .family = &pkey_composite, .oid = PKIX_SIG(OID), .public_len = PUBLIC,          \
        .signature_len = SIGNATURE, .half = {HF_ALG_##PQ, HF_ALG_##CLASSICAL}, .label = "COMPSIG-" LABEL,    \
        .hash = HASH                                                                                         \
    }

static const struct pkey_row rows[] = {
    {.alg = HF_ALG_ED25519,
     .family = &pkey_edwards,
     .type = "ED25519",
     .signature = "ED25519",
     .oid = EDWARDS(0x70),
     .public_len = 32,
     .signature_len = 64,
     .raw_len = 32,
     .seed_len = 32},
    {.alg = HF_ALG_X25519,
     .family = &pkey_edwards,
     .type = "X25519",
     .oid = EDWARDS(0x6e),
     .public_len = 32,
     .raw_len = 32,
     .seed_len = 32},
    EC(ECDSA_P256, "P-256", 32),
    EC(ECDSA_P384, "P-384", 48),
    EC(ECDSA_P521, "P-521", 66),
    EC(ECDH_P256, "P-256", 32),
    EC(ECDH_P384, "P-384", 48),
    RSA(2048),
    RSA(3072),
    RSA(4096),
    ML_KEM(512, 1, 800, 1632),
    ML_KEM(768, 2, 1184, 2400),
    ML_KEM(1024, 3, 1568, 3168),
    ML_DSA(44, 17, 1312, 2420, 2560),
    ML_DSA(65, 18, 1952, 3309, 4032),
    ML_DSA(87, 19, 2592, 4627, 4896),
    SLH_DSA(SHA2_128S, "SLH-DSA-SHA2-128s", 20, 16, 7856),
    SLH_DSA(SHA2_128F, "SLH-DSA-SHA2-128f", 21, 16, 17088),
    SLH_DSA(SHA2_192S, "SLH-DSA-SHA2-192s", 22, 24, 16224),
    SLH_DSA(SHA2_192F, "SLH-DSA-SHA2-192f", 23, 24, 35664),
    SLH_DSA(SHA2_256S, "SLH-DSA-SHA2-256s", 24, 32, 29792),
    SLH_DSA(SHA2_256F, "SLH-DSA-SHA2-256f", 25, 32, 49856),
    SLH_DSA(SHAKE_128S, "SLH-DSA-SHAKE-128s", 26, 16, 7856),
    SLH_DSA(SHAKE_128F, "SLH-DSA-SHAKE-128f", 27, 16, 17088),
    SLH_DSA(SHAKE_192S, "SLH-DSA-SHAKE-192s", 28, 24, 16224),
    SLH_DSA(SHAKE_192F, "SLH-DSA-SHAKE-192f", 29, 24, 35664),
    SLH_DSA(SHAKE_256S, "SLH-DSA-SHAKE-256s", 30, 32, 29792),
    SLH_DSA(SHAKE_256F, "SLH-DSA-SHAKE-256f", 31, 32, 49856),
    {.alg = HF_ALG_X25519MLKEM768,
     .family = &pkey_hybrid_kem,
     .public_len = 1184 + 32,
     .seed_len = 96,
     .half = {HF_ALG_ML_KEM_768, HF_ALG_X25519}},
    {.alg = HF_ALG_X_WING,
     .family = &pkey_hybrid_kem,
     .oid = XWING_OID,
     .public_len = 1184 + 32,
     .raw_len = 32,
     .seed_len = 32,
     .half = {HF_ALG_ML_KEM_768, HF_ALG_X25519}},
    COMPOSITE(MLDSA44_ED25519, 39, ML_DSA_44, ED25519, "MLDSA44-Ed25519-SHA512", HF_SHA2_512, 1312 + 32,
              2420 + 64),
    COMPOSITE(MLDSA44_ECDSA_P256, 40, ML_DSA_44, ECDSA_P256, "MLDSA44-ECDSA-P256-SHA256", HF_SHA2_256,
              1312 + 65, 2420 + 72),
    COMPOSITE(MLDSA65_ECDSA_P256, 45, ML_DSA_65, ECDSA_P256, "MLDSA65-ECDSA-P256-SHA512", HF_SHA2_512,
              1952 + 65, 3309 + 72),
    COMPOSITE(MLDSA65_ECDSA_P384, 46, ML_DSA_65, ECDSA_P384, "MLDSA65-ECDSA-P384-SHA512", HF_SHA2_512,
              1952 + 97, 3309 + 104),
    COMPOSITE(MLDSA65_ED25519, 48, ML_DSA_65, ED25519, "MLDSA65-Ed25519-SHA512", HF_SHA2_512, 1952 + 32,
              3309 + 64),
    COMPOSITE(MLDSA87_ECDSA_P384, 49, ML_DSA_87, ECDSA_P384, "MLDSA87-ECDSA-P384-SHA512", HF_SHA2_512,
              2592 + 97, 4627 + 104),
};

const struct pkey_row *pkey_row(enum hf_alg alg)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (rows[i].alg == alg)
            return &rows[i];
    }
    return NULL;
}

const struct pkey_row *pkey_row_by_oid(struct hf_cursor oid)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (rows[i].oid_len != 0 && hf_cursor_same(oid, hf_cursor(rows[i].oid, rows[i].oid_len)))
            return &rows[i];
    }
    return NULL;
}
