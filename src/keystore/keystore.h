/* Keystores: where key material is made, kept and used. One interface; the software keystore now, PKCS#11 tokens
 * later, both under tests/contract/keystore.c. What a keystore keeps for a key is a blob that only it can use:
 * software: the key wrapped by AES-256-KWP under the namespace's KEK; HSM: a handle's attributes. */
#ifndef HF_KEYSTORE_KEYSTORE_H
#define HF_KEYSTORE_KEYSTORE_H

#include "crypto/aead.h"
#include "crypto/pkey.h"

struct hf_keystore;
struct hf_kskey; /* a key ready for use; reference counted */

enum hf_protection { HF_PROTECT_SOFTWARE = 0, HF_PROTECT_HSM = 1, HF_PROTECT_HSM_WRAPPED = 2 };

struct hf_keystore_capability {
    uint32_t uses; /* hf_use bits this keystore can do with the algorithm; 0: not at all */
    bool generate, import, export_wrapped, export_plain;
    enum hf_protection protection;
};
struct hf_keystore_ops {
    const char *name; /* "software" */
    hf_result (*capability)(struct hf_keystore *self, enum hf_alg alg, struct hf_keystore_capability *ret);
    /* key_bytes: 0 the table's own (HMAC: 32..512). Writes the blob. Fails: UNSUPPORTED, NO_ENTROPY. */
    hf_result (*generate)(struct hf_keystore *self, const struct hf_secret *kek, enum hf_alg alg,
                          size_t key_bytes, struct hf_buf *out_blob);
    hf_result (*import)(struct hf_keystore *self, const struct hf_secret *kek, enum hf_alg alg,
                        enum hf_private_form form, const struct hf_secret *material, struct hf_buf *out_blob);
    /* A public key only: verify, encrypt, encapsulate. */
    hf_result (*import_public)(struct hf_keystore *self, enum hf_alg alg, struct hf_cursor public_bytes,
                               struct hf_buf *out_blob);
    /* Fails: CORRUPT where the blob is not under that kek. */
    hf_result (*load)(struct hf_keystore *self, const struct hf_secret *kek, enum hf_alg alg,
                      struct hf_cursor blob, struct hf_kskey **ret_key);
    /* Re-wraps the blob from one KEK to another without use (namespace KEK rotation). */
    hf_result (*rewrap)(struct hf_keystore *self, const struct hf_secret *old_kek,
                        const struct hf_secret *new_kek, struct hf_cursor blob, struct hf_buf *out_blob);
    /* Erases what lies outside the blob (an HSM's object). */
    hf_result (*destroy)(struct hf_keystore *self, struct hf_cursor blob);
    void (*close)(struct hf_keystore *self);
};
struct hf_keystore {
    const struct hf_keystore_ops *ops;
};
hf_result hf_keystore_software_open(struct hf_keystore **ret_keystore);

/* Uses of a loaded key: vtable so that an HSM key answers the same calls. */
struct hf_kskey_ops {
    hf_result (*seal)(struct hf_kskey *key, struct hf_cursor plain, struct hf_cursor ad, struct hf_buf *out);
    hf_result (*open)(struct hf_kskey *key, struct hf_cursor sealed, struct hf_cursor ad, struct hf_buf *out);
    /* Convergent: nonce given. Writes nonce || ct || tag. */
    hf_result (*seal_nonce)(struct hf_kskey *key, struct hf_cursor nonce, struct hf_cursor plain,
                            struct hf_cursor ad, struct hf_buf *out);
    hf_result (*sign)(struct hf_kskey *key, const struct hf_sign_options *options, struct hf_cursor input,
                      struct hf_buf *out);
    hf_result (*verify)(struct hf_kskey *key, const struct hf_sign_options *options, struct hf_cursor input,
                        struct hf_cursor signature);
    hf_result (*mac)(struct hf_kskey *key, enum hf_hash hash, struct hf_cursor input, uint8_t *ret_mac);
    hf_result (*encapsulate)(struct hf_kskey *key, struct hf_buf *out_ct, struct hf_secret **ret_shared);
    hf_result (*decapsulate)(struct hf_kskey *key, struct hf_cursor ct, struct hf_secret **ret_shared);
    /* RSA-OAEP keys as transit encryption keys. */
    hf_result (*asym_encrypt)(struct hf_kskey *key, enum hf_hash hash, struct hf_cursor plain,
                              struct hf_buf *out);
    hf_result (*asym_decrypt)(struct hf_kskey *key, enum hf_hash hash, struct hf_cursor sealed,
                              struct hf_secret **ret_plain);
    /* Subkey for derived keys: HKDF-SHA-256(key, no salt, context), as existing clients' ciphertexts have it.
     * alg: the key's own. A symmetric subkey's mac() uses the 32 bytes that follow its key in the same stream:
     * what convergent encryption makes its nonce from. A subkey cannot be exported. */
    hf_result (*derive)(struct hf_kskey *key, enum hf_alg alg, struct hf_cursor context,
                        struct hf_kskey **ret_subkey);
    hf_result (*public_text)(struct hf_kskey *key, struct hf_buf *out); /* UNSUPPORTED for symmetric */
    hf_result (*public_raw)(struct hf_kskey *key, struct hf_buf *out);
    /* Wraps this key to a recipient: AES-KWP under a secret, or HPKE to a public key; what issue 5+ export uses. */
    hf_result (*export_wrapped)(struct hf_kskey *key, const struct hf_pkey *recipient, struct hf_cursor info,
                                struct hf_buf *out);
    /* Opens what export_wrapped (or hf_hpke_seal) sealed to this key: an X-Wing key that imports others. */
    hf_result (*open_wrapped)(struct hf_kskey *key, struct hf_cursor info, struct hf_cursor sealed,
                              struct hf_secret **ret_material);
    /* The one way to plain material; called by ops/export.c only. UNSUPPORTED in an HSM. */
    hf_result (*export_plain)(struct hf_kskey *key, enum hf_private_form form,
                              struct hf_secret **ret_material);
    void (*release)(struct hf_kskey *key); /* last reference */
};
struct hf_kskey {
    const struct hf_kskey_ops *ops;
    enum hf_alg alg;
    _Atomic uint32_t references;
};
struct hf_kskey *hf_kskey_ref(struct hf_kskey *key);
void hf_kskey_unref(struct hf_kskey *key); /* NULL allowed */
void hf_kskey_unrefp(struct hf_kskey **key);

#endif
