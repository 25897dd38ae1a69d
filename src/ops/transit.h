/* What the transit handlers share. Private to ops/transit_*.c and ops/export.c. */
#ifndef HF_OPS_TRANSIT_H
#define HF_OPS_TRANSIT_H

#include "keys/keys.h"
#include "ops/core.h"

enum { HF_TRANSIT_BATCH_MAX = 10000, HF_TRANSIT_WHY_MAX = 200 };

/* ---- why an item failed: a text of the caller's request, never of a key ---- */
struct hf_transit_why {
    char text[HF_TRANSIT_WHY_MAX];
};
/* Sets the text and gives BAD_ARGUMENT: the item failed by its caller's fault, the batch goes on. */
hf_result hf_why(struct hf_transit_why *why, const char *text);
hf_result hf_why_number(struct hf_transit_why *why, const char *before, uint64_t number, const char *after);
/* Whether a result is about the item (BAD_ARGUMENT, BAD_CIPHERTEXT, KEY_STATE, ...) and not about the server. */
bool hf_is_item_fault(hf_result result);
/* Fills in a text for codes that came without one. */
void hf_why_complete(struct hf_transit_why *why, hf_result result);
/* Ends a call that is no batch: the result with its text, or the result as it is. */
hf_result hf_transit_fail(struct hf_call *call, hf_result result, struct hf_transit_why *why);

/* ---- arguments ---- */
hf_result hf_arg_text(struct hf_call *call, const char *name, struct hf_cursor *ret);
hf_result hf_arg_int(struct hf_call *call, const char *name, int64_t fallback, int64_t *ret);
hf_result hf_arg_bool(struct hf_call *call, const char *name, bool fallback, bool *ret);
hf_result hf_arg_duration(struct hf_call *call, const char *name, int64_t fallback_ns, int64_t *ret_ns);
bool hf_parse_u32(struct hf_cursor text, uint32_t *ret); /* decimal digits only */

/* Memory for decoded bytes, grown from the call's scratch and used again for the next item. */
struct hf_space {
    uint8_t *at;
    size_t cap;
};
hf_result hf_space_get(struct hf_call *call, struct hf_space *space, size_t len);
/* Base64 as clients send it: line breaks are passed over. Text of failure as Go words it. */
hf_result hf_unbase64(struct hf_call *call, struct hf_space *space, struct hf_cursor text,
                      struct hf_cursor *ret_bytes, struct hf_transit_why *why);

/* ---- items: members of a request or of one element of batch_input ---- */
struct hf_item {
    struct hf_cursor plaintext, ciphertext, context, associated_data, nonce, reference, input, signature,
        hmac;
    bool has_plaintext, has_ciphertext, has_input, has_signature, has_hmac;
    int64_t key_version; /* 0 where absent */
};
hf_result hf_item_read(const struct hf_tree *map, struct hf_item *ret_item, struct hf_transit_why *why);

struct hf_batch {
    bool given;
    struct hf_tree list;
    uint32_t count; /* 1 where not given */
};
/* batch_input, checked: an array of 1 to HF_TRANSIT_BATCH_MAX maps. */
hf_result hf_batch_open(struct hf_call *call, struct hf_batch *ret_batch);

/* ---- keys ---- */
struct hf_keys *hf_transit_keys(struct hf_core *core);
/* The name in the path; empty where it is one of the mount's own. */
struct hf_cursor hf_transit_name(const struct hf_call *call);
/* The key that the path names. missing: text of the 400 where there is none; NULL: NOT_FOUND. */
hf_result hf_transit_key(struct hf_core *core, struct hf_call *call, const char *missing,
                         const struct hf_key **ret_key);
/* The version to protect with: 0 the current one. what: "encryption", "signing". */
hf_result hf_transit_protector(const struct hf_key *key, int64_t asked, const char *what,
                               const struct hf_key_version **ret_version, struct hf_transit_why *why);
/* "vault:vN:" taken off; what: "ciphertext", "signature". Texts as existing clients know them. */
hf_result hf_transit_prefix(const struct hf_key *key, struct hf_cursor text, const char *what,
                            uint32_t *ret_number, struct hf_cursor *ret_rest, struct hf_transit_why *why);
/* The version that made something, if it may still be used for the purpose. */
hf_result hf_transit_maker(struct hf_call *call, const struct hf_key *key, uint32_t number,
                           enum hf_key_purpose purpose, const char *what,
                           const struct hf_key_version **ret_version, struct hf_transit_why *why);
/* Notes key and version in the audit leaf. */
void hf_transit_note(struct hf_call *call, const struct hf_key *key, uint32_t version);
void hf_transit_readiness(struct hf_call *call, const struct hf_key *key); /* writes the member */

/* A loaded key of a version, with a context's subkey where the key is derived: kept for the next item. */
struct hf_opened {
    const struct hf_key_version *version;
    struct hf_cursor context; /* decoded */
    struct hf_space context_space;
    struct hf_kskey *key;    /* borrowed, or == owned */
    struct hf_kskey *owned;  /* subkey */
    struct hf_cursor before; /* context as it was given */
};
hf_result hf_opened_get(struct hf_core *core, struct hf_call *call, const struct hf_key *key,
                        const struct hf_key_version *version, struct hf_cursor context_text,
                        struct hf_opened *opened, struct hf_transit_why *why);
void hf_opened_done(struct hf_opened *opened);

/* Writes the key's description as one map: transit_info.c. */
hf_result hf_transit_info(struct hf_core *core, struct hf_call *call, const struct hf_key *key);

/* Creates the key that the path names with the call's arguments; used by create and by encrypt. */
struct hf_transit_new {
    enum hf_alg alg;
    uint32_t flags, key_bytes;
    int64_t auto_rotate_ns;
};
hf_result hf_transit_new_check(struct hf_call *call, const struct hf_transit_new *made);
hf_result hf_transit_create(struct hf_core *core, struct hf_call *call, const struct hf_transit_new *made,
                            const struct hf_key **ret_key);
/* Runs a change of the path's key with the call's audit leaf in the same transaction. */
hf_result hf_transit_change(struct hf_core *core, struct hf_call *call, hf_key_edit_fn edit, void *arg,
                            const char *missing, const struct hf_key **ret_key);

/* The mount's own keys for imports and sealed backups; nobody can name them. alg: RSA-4096, X-Wing, ML-KEM. Fails:
 * NOT_FOUND where it was not made yet and `make` is false. */
hf_result hf_transit_wrapping(struct hf_core *core, struct hf_call *call, enum hf_alg alg, bool make,
                              const struct hf_key **ret_key);
/* Its newest version, loaded. */
hf_result hf_transit_wrapping_open(struct hf_core *core, struct hf_call *call, enum hf_alg alg,
                                   struct hf_kskey **ret_kskey);
/* Private half in a form that the algorithm takes: PKCS#8, seed or raw bytes. */
hf_result hf_transit_add_imported(struct hf_keys *keys, struct hf_key *draft,
                                  const struct hf_secret *material, int64_t now_ns);
/* Reads the members that create and import share. */
hf_result hf_transit_new_args(struct hf_call *call, struct hf_transit_new *ret);

/* ---- the way out: ops/export.c ---- */
/* Writes a secret's bytes as the answer's next item. For what the caller is entitled to in plain: a KEM's shared secret,
 * an RSA plaintext. */
hf_result hf_export_secret(struct hf_call *call, const struct hf_secret *secret);
/* The material of a loaded key, in the call's scratch, for a backup in plain. */
hf_result hf_export_material(struct hf_call *call, struct hf_kskey *key, struct hf_cursor *ret_bytes);

#endif
