#include "crypto/alg.h"

/* SP 800-38D 8.3: 2^32 messages with random 96-bit nonces under one key. ChaCha20-Poly1305 has the same nonce,
 * and GCM-SIV is held to it too, since beyond it equal messages could be seen to be equal. */
#define RANDOM_NONCE_MAX (UINT64_C(1) << 32)
#define NO_LIMIT UINT64_MAX

#define SEALING (HF_USE_SEAL | HF_USE_DERIVE)
#define RESILIENT HF_QUANTUM_RESILIENT
#define HYBRID HF_QUANTUM_HYBRID
#define REDUCED HF_QUANTUM_REDUCED
#define VULNERABLE HF_QUANTUM_VULNERABLE

#define SYMMETRIC(ALG, TYPE, NAME, USES, READY, KEY, NONCE, TAG, LIMIT)                                      \
    {                                                                                                        \
        .alg = HF_ALG_##ALG, .type = TYPE, .name = NAME, .uses = USES, .readiness = READY, .key_bytes = KEY, \
        .nonce_bytes = NONCE, .tag_bytes = TAG, .uses_max = LIMIT                                            \
    }
#define ASYMMETRIC(ALG, TYPE, SET, NAME, USES, READY)                                                        \
    {                                                                                                        \
        .alg = HF_ALG_##ALG, .type = TYPE, .parameter_set = SET, .name = NAME, .uses = USES,                 \
        .readiness = READY, .uses_max = NO_LIMIT, .asymmetric = true                                         \
    }
#define COMPOSITE(ALG, SET, EC, NAME)                                                                        \
    {                                                                                                        \
        .alg = HF_ALG_##ALG, .type = "hybrid", .parameter_set = SET, .hybrid_pqc = "ml-dsa",                 \
        .hybrid_ec = EC, .name = NAME, .uses = HF_USE_SIGN, .readiness = HYBRID, .uses_max = NO_LIMIT,       \
        .asymmetric = true                                                                                   \
    }

/* Of rows that fit what was asked, the first is the default. */
static const struct hf_alg_info table[] = {
    SYMMETRIC(AES256_GCM96, "aes256-gcm96", "AES-256-GCM", SEALING, RESILIENT, 32, 12, 16, RANDOM_NONCE_MAX),
    SYMMETRIC(XAES256_GCM, "xaes256-gcm", "XAES-256-GCM", SEALING, RESILIENT, 32, 24, 16, NO_LIMIT),
    SYMMETRIC(CHACHA20_POLY1305, "chacha20-poly1305", "ChaCha20-Poly1305", SEALING, RESILIENT, 32, 12, 16,
              RANDOM_NONCE_MAX),
    SYMMETRIC(AES256_GCM_SIV, "aes256-gcm-siv", "AES-256-GCM-SIV", SEALING, RESILIENT, 32, 12, 16,
              RANDOM_NONCE_MAX),
    SYMMETRIC(AES128_GCM96, "aes128-gcm96", "AES-128-GCM", SEALING, REDUCED, 16, 12, 16, RANDOM_NONCE_MAX),
    SYMMETRIC(HMAC, "hmac", "HMAC", HF_USE_MAC, RESILIENT, 32, 0, 0, NO_LIMIT),
    SYMMETRIC(AES256_KWP, "aes256-kwp", "AES-256-KWP", HF_USE_WRAP, RESILIENT, 32, 0, 0, NO_LIMIT),

    COMPOSITE(MLDSA65_ED25519, "65", "ed25519", "ML-DSA-65+Ed25519"),
    COMPOSITE(MLDSA65_ECDSA_P256, "65", "ecdsa-p256", "ML-DSA-65+ECDSA-P256"),
    COMPOSITE(MLDSA65_ECDSA_P384, "65", "ecdsa-p384", "ML-DSA-65+ECDSA-P384"),
    COMPOSITE(MLDSA44_ED25519, "44", "ed25519", "ML-DSA-44+Ed25519"),
    COMPOSITE(MLDSA44_ECDSA_P256, "44", "ecdsa-p256", "ML-DSA-44+ECDSA-P256"),
    COMPOSITE(MLDSA87_ECDSA_P384, "87", "ecdsa-p384", "ML-DSA-87+ECDSA-P384"),
    ASYMMETRIC(ML_DSA_65, "ml-dsa", "65", "ML-DSA-65", HF_USE_SIGN, RESILIENT),
    ASYMMETRIC(ML_DSA_44, "ml-dsa", "44", "ML-DSA-44", HF_USE_SIGN, RESILIENT),
    ASYMMETRIC(ML_DSA_87, "ml-dsa", "87", "ML-DSA-87", HF_USE_SIGN, RESILIENT),
    ASYMMETRIC(SLH_DSA_SHA2_192S, "slh-dsa", "slh-dsa-sha2-192s", "SLH-DSA-SHA2-192s", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHA2_128S, "slh-dsa", "slh-dsa-sha2-128s", "SLH-DSA-SHA2-128s", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHA2_128F, "slh-dsa", "slh-dsa-sha2-128f", "SLH-DSA-SHA2-128f", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHA2_192F, "slh-dsa", "slh-dsa-sha2-192f", "SLH-DSA-SHA2-192f", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHA2_256S, "slh-dsa", "slh-dsa-sha2-256s", "SLH-DSA-SHA2-256s", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHA2_256F, "slh-dsa", "slh-dsa-sha2-256f", "SLH-DSA-SHA2-256f", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHAKE_128S, "slh-dsa", "slh-dsa-shake-128s", "SLH-DSA-SHAKE-128s", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHAKE_128F, "slh-dsa", "slh-dsa-shake-128f", "SLH-DSA-SHAKE-128f", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHAKE_192S, "slh-dsa", "slh-dsa-shake-192s", "SLH-DSA-SHAKE-192s", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHAKE_192F, "slh-dsa", "slh-dsa-shake-192f", "SLH-DSA-SHAKE-192f", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHAKE_256S, "slh-dsa", "slh-dsa-shake-256s", "SLH-DSA-SHAKE-256s", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(SLH_DSA_SHAKE_256F, "slh-dsa", "slh-dsa-shake-256f", "SLH-DSA-SHAKE-256f", HF_USE_SIGN,
               RESILIENT),
    ASYMMETRIC(ED25519, "ed25519", NULL, "Ed25519", HF_USE_SIGN | HF_USE_DERIVE, VULNERABLE),
    ASYMMETRIC(ECDSA_P256, "ecdsa-p256", NULL, "ECDSA-P256", HF_USE_SIGN, VULNERABLE),
    ASYMMETRIC(ECDSA_P384, "ecdsa-p384", NULL, "ECDSA-P384", HF_USE_SIGN, VULNERABLE),
    ASYMMETRIC(ECDSA_P521, "ecdsa-p521", NULL, "ECDSA-P521", HF_USE_SIGN, VULNERABLE),
    ASYMMETRIC(RSA_2048, "rsa-2048", NULL, "RSA-2048", HF_USE_SIGN | HF_USE_SEAL, VULNERABLE),
    ASYMMETRIC(RSA_3072, "rsa-3072", NULL, "RSA-3072", HF_USE_SIGN | HF_USE_SEAL, VULNERABLE),
    ASYMMETRIC(RSA_4096, "rsa-4096", NULL, "RSA-4096", HF_USE_SIGN | HF_USE_SEAL, VULNERABLE),

    ASYMMETRIC(X25519MLKEM768, "x25519mlkem768", NULL, "X25519MLKEM768", HF_USE_KEM, HYBRID),
    ASYMMETRIC(X_WING, "x-wing", NULL, "X-Wing", HF_USE_KEM, HYBRID),
    ASYMMETRIC(ML_KEM_768, "ml-kem", "768", "ML-KEM-768", HF_USE_KEM, RESILIENT),
    ASYMMETRIC(ML_KEM_512, "ml-kem", "512", "ML-KEM-512", HF_USE_KEM, RESILIENT),
    ASYMMETRIC(ML_KEM_1024, "ml-kem", "1024", "ML-KEM-1024", HF_USE_KEM, RESILIENT),
    ASYMMETRIC(X25519, "x25519", NULL, "X25519", HF_USE_AGREE | HF_USE_KEM, VULNERABLE),
    ASYMMETRIC(ECDH_P256, "ecdh-p256", NULL, "ECDH-P256", HF_USE_AGREE | HF_USE_KEM, VULNERABLE),
    ASYMMETRIC(ECDH_P384, "ecdh-p384", NULL, "ECDH-P384", HF_USE_AGREE | HF_USE_KEM, VULNERABLE),
};

const struct hf_alg_info *hf_alg_at(size_t index)
{
    return index < HF_ARRAY_LEN(table) ? &table[index] : NULL;
}

const struct hf_alg_info *hf_alg_info(enum hf_alg alg)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(table); i++) {
        if (table[i].alg == alg)
            return &table[i];
    }
    return NULL;
}

/* What the type already says is not held against what was asked. */
static bool fits(struct hf_cursor asked, const char *row)
{
    return asked.left == 0 || row == NULL || hf_cursor_is(asked, row);
}

hf_result hf_alg_find(struct hf_cursor type, struct hf_cursor parameter_set, struct hf_cursor hybrid_pqc,
                      struct hf_cursor hybrid_ec, enum hf_alg *ret_alg)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(table); i++) {
        const struct hf_alg_info *row = &table[i];
        if (hf_cursor_is(type, row->type) && fits(parameter_set, row->parameter_set) &&
            fits(hybrid_pqc, row->hybrid_pqc) && fits(hybrid_ec, row->hybrid_ec)) {
            *ret_alg = row->alg;
            return HF_DONE;
        }
    }
    return HF_FAIL(BAD_ARGUMENT);
}

const char *hf_readiness_name(enum hf_readiness readiness)
{
    switch (readiness) {
    case HF_QUANTUM_RESILIENT:
        return "quantum-resilient";
    case HF_QUANTUM_HYBRID:
        return "hybrid";
    case HF_QUANTUM_REDUCED:
        return "symmetric-below-256";
    case HF_QUANTUM_VULNERABLE:
        return "quantum-vulnerable";
    }
    return "quantum-vulnerable";
}
