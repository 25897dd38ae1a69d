/* What a client does to import a key: wrap it under the mount's wrapping key, with the crypto room's public halves. */
#ifndef HF_TEST_OPS_WRAP_H
#define HF_TEST_OPS_WRAP_H

#include "crypto/aead.h"
#include "crypto/pkey.h"
#include "unit/ops/lab.h"

static inline struct hf_pkey *lab_wrapping_key(struct lab *lab, const char *mount, const char *algorithm)
{
    struct hf_pkey *key = NULL;
    lab_ok(lab, lab_call(lab, HF_METHOD_READ, lab_f("%s/wrapping_key", mount),
                         lab_f("{\"wrapping_algorithm\":\"%s\"}", algorithm)));
    const char *text = lab_str(lab, "public_key");
    uint8_t raw[HF_PUBLIC_MAX];
    struct hf_buf out = hf_buf(raw, sizeof raw);
    enum hf_alg alg = strcmp(algorithm, "rsa-oaep") == 0     ? HF_ALG_RSA_4096
                      : strcmp(algorithm, "x-wing") == 0     ? HF_ALG_X_WING
                      : strcmp(algorithm, "ml-kem-768") == 0 ? HF_ALG_ML_KEM_768
                                                             : HF_ALG_ML_KEM_1024;
    struct hf_cursor bytes = hf_cursor_text(text);
    if (alg != HF_ALG_RSA_4096) {
        assert_int_equal(hf_base64_decode(&out, bytes).code, HF_OK);
        bytes = hf_buf_cursor(&out);
    }
    assert_int_equal(hf_pkey_from_public(alg, bytes, &key).code, HF_OK);
    return key;
}

/* base64 of the wrapped material. */
static inline const char *lab_wrap(struct lab *lab, const char *algorithm, const void *material, size_t len)
{
    static char text[16384];
    uint8_t copy[4096], space[8192];
    struct hf_buf out = hf_buf(space, sizeof space), encoded = hf_buf(text, sizeof text - 1);
    struct hf_secret *target = NULL, *kek = NULL;
    struct hf_pkey *to = lab_wrapping_key(lab, "transit", algorithm);
    memcpy(copy, material, len);
    assert_int_equal(hf_secret_take(copy, len, &target).code, HF_OK);
    if (strcmp(algorithm, "x-wing") == 0) {
        assert_int_equal(
            hf_hpke_seal(to, hf_cursor_text("holdfast transit import"), hf_cursor("", 0), target, &out).code,
            HF_OK);
    } else if (strcmp(algorithm, "rsa-oaep") == 0) {
        uint8_t ephemeral[32];
        assert_int_equal(hf_random(ephemeral, sizeof ephemeral).code, HF_OK);
        assert_int_equal(hf_pkey_oaep_encrypt(to, HF_SHA2_256, hf_cursor(ephemeral, 32), &out).code, HF_OK);
        assert_int_equal(hf_secret_take(ephemeral, 32, &kek).code, HF_OK);
    } else {
        assert_int_equal(hf_pkey_encapsulate(to, &out, &kek).code, HF_OK);
    }
    if (kek != NULL)
        assert_int_equal(hf_kwp_wrap(kek, target, &out).code, HF_OK);
    hf_base64_encode(&encoded, hf_buf_cursor(&out));
    assert_false(encoded.overflow || out.overflow);
    text[encoded.len] = '\0';
    hf_secret_free(target);
    hf_secret_free(kek);
    hf_pkey_free(to);
    return text;
}

/* more: further members, each with a comma before it. */
static inline int lab_import(struct lab *lab, const char *name, const char *type, const char *algorithm,
                             const char *more, const void *material, size_t len)
{
    const char *wrapped = lab_wrap(lab, algorithm, material, len);
    return lab_write(lab, lab_f("transit/keys/%s/import", name),
                     lab_f("{\"type\":\"%s\",\"wrapping_algorithm\":\"%s\",\"ciphertext\":\"%s\"%s}", type,
                           algorithm, wrapped, more));
}

#endif
