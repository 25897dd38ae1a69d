/* What a key looks like to its users. */
#include "ops/transit.h"

static void key_number(struct hf_tree_writer *w, uint32_t number)
{
    uint8_t text[16];
    struct hf_buf out = hf_buf(text, sizeof text);
    hf_buf_decimal(&out, number);
    hf_tw_key(w, hf_buf_cursor(&out));
}

static void time_text(struct hf_tree_writer *w, const char *name, int64_t wall_ns)
{
    uint8_t text[48];
    struct hf_buf out = hf_buf(text, sizeof text);
    hf_time_rfc3339(&out, wall_ns);
    hf_tw_k_slice(w, name, hf_buf_cursor(&out));
}

/* What existing clients know the classical curves and moduli as; the rest go by their own name. */
static const char *client_name(const struct hf_key *key)
{
    switch (key->alg) {
    case HF_ALG_ECDSA_P256:
    case HF_ALG_ECDH_P256:
        return "P-256";
    case HF_ALG_ECDSA_P384:
    case HF_ALG_ECDH_P384:
        return "P-384";
    case HF_ALG_ECDSA_P521:
        return "P-521";
    case HF_ALG_ED25519:
    case HF_ALG_RSA_2048:
    case HF_ALG_RSA_3072:
    case HF_ALG_RSA_4096:
        return key->info->type;
    default:
        return key->info->name;
    }
}

/* The public half of a derived key would be half of its derivation key: it is shown for a context only. */
static hf_result write_public(struct hf_core *core, struct hf_call *call, const struct hf_key *key,
                              const struct hf_key_version *v, struct hf_cursor context)
{
    bool derived = (key->flags & HF_KEY_DERIVED) != 0;
    if (!derived || context.left == 0 || v->state == HF_KEY_DESTROYED) {
        hf_tw_k_slice(call->w, "public_key", derived ? hf_cursor("", 0) : v->public_text);
        return HF_DONE;
    }
    struct hf_opened opened = {0};
    struct hf_transit_why why = {0};
    uint8_t text[2 * HF_PUBLIC_MAX];
    struct hf_buf out = hf_buf(text, sizeof text);
    hf_result result = hf_opened_get(core, call, key, v, context, &opened, &why);
    if (HF_IS_OK(result))
        result = opened.key->ops->public_text(opened.key, &out);
    hf_opened_done(&opened);
    if (result.code == HF_BAD_ARGUMENT)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "failed to base64-decode context");
    TRY(result);
    hf_tw_k_slice(call->w, "public_key", hf_buf_cursor(&out));
    return HF_DONE;
}

/* Symmetric: {"1": unix time}; asymmetric: {"1": {name, public_key, ...}}. */
static hf_result write_versions(struct hf_core *core, struct hf_call *call, const struct hf_key *key)
{
    struct hf_tree_writer *w = call->w;
    struct hf_cursor context;
    TRY(hf_arg_text(call, "context", &context));
    hf_tw_k(w, "keys");
    hf_tw_map(w);
    for (uint32_t i = 0; i < key->count; i++) {
        const struct hf_key_version *v = &key->versions[i];
        if (v->number < key->min_decryption)
            continue;
        key_number(w, v->number);
        int64_t created = v->entered_ns[HF_KEY_PRE_ACTIVE];
        if (!key->info->asymmetric) {
            hf_tw_int(w, created / HF_SECOND);
            continue;
        }
        hf_tw_map(w);
        hf_tw_k_text(w, "name", client_name(key));
        TRY(write_public(core, call, key, v, context));
        time_text(w, "creation_time", created);
        hf_tw_k_text(w, "certificate_chain", "");
        hf_tw_end(w);
    }
    hf_tw_end(w);
    return HF_DONE;
}

static const char *origin_name(enum hf_key_origin origin)
{
    switch (origin) {
    case HF_KEY_FROM_IMPORT:
        return "imported";
    case HF_KEY_PUBLIC_ONLY:
        return "imported-public";
    default:
        return "generated";
    }
}

static const char *protection_name(enum hf_protection protection)
{
    switch (protection) {
    case HF_PROTECT_HSM:
        return "hsm";
    case HF_PROTECT_HSM_WRAPPED:
        return "hsm-wrapped";
    default:
        return "software";
    }
}

static void write_states(struct hf_tree_writer *w, const struct hf_key *key)
{
    static const char *const when[HF_KEY_STATE_END] = {
        [HF_KEY_PRE_ACTIVE] = "created",      [HF_KEY_ACTIVE] = "activated",
        [HF_KEY_SUSPENDED] = "suspended",     [HF_KEY_DEACTIVATED] = "deactivated",
        [HF_KEY_COMPROMISED] = "compromised", [HF_KEY_DESTROYED] = "destroyed",
    };
    hf_tw_k(w, "versions");
    hf_tw_map(w);
    for (uint32_t i = 0; i < key->count; i++) {
        const struct hf_key_version *v = &key->versions[i];
        key_number(w, v->number);
        hf_tw_map(w);
        hf_tw_k_text(w, "state", hf_key_state_name(v->state));
        hf_tw_k_text(w, "origin", origin_name(v->origin));
        hf_tw_k_text(w, "protection", protection_name(v->protection));
        for (int s = HF_KEY_PRE_ACTIVE; s < HF_KEY_STATE_END; s++) {
            if (v->entered_ns[s] != 0)
                time_text(w, when[s], v->entered_ns[s]);
        }
        uint64_t reserved = hf_key_uses_reserved(v);
        if (reserved != 0)
            hf_tw_k_int(w, "uses_reserved", reserved > INT64_MAX ? INT64_MAX : (int64_t)reserved);
        hf_tw_end(w);
    }
    hf_tw_end(w);
}

static void write_copies(struct hf_tree_writer *w, const struct hf_key *key)
{
    if (key->backup_ns != 0) {
        hf_tw_k(w, "backup_info");
        hf_tw_map(w);
        time_text(w, "time", key->backup_ns);
        hf_tw_k_int(w, "version", key->backup_version);
        hf_tw_end(w);
    }
    if (key->restore_ns != 0) {
        hf_tw_k(w, "restore_info");
        hf_tw_map(w);
        time_text(w, "time", key->restore_ns);
        hf_tw_k_int(w, "version", key->restore_version);
        hf_tw_end(w);
    }
}

hf_result hf_transit_info(struct hf_core *core, struct hf_call *call, const struct hf_key *key)
{
    struct hf_tree_writer *w = call->w;
    const struct hf_alg_info *info = key->info;
    bool imported = (key->flags & HF_KEY_IMPORTED) != 0;
    hf_tw_map(w);
    hf_tw_k_slice(w, "name", hf_cursor(key->name, key->name_len));
    hf_tw_k_text(w, "type", info->type);
    TRY(write_versions(core, call, key));
    hf_tw_k_int(w, "latest_version", key->latest);
    hf_tw_k_int(w, "min_available_version", key->min_available);
    hf_tw_k_int(w, "min_decryption_version", key->min_decryption);
    hf_tw_k_int(w, "min_encryption_version", key->min_encryption);
    hf_tw_k_bool(w, "deletion_allowed", (key->flags & HF_KEY_DELETION_ALLOWED) != 0);
    hf_tw_k_bool(w, "derived", (key->flags & HF_KEY_DERIVED) != 0);
    hf_tw_k_bool(w, "exportable", (key->flags & HF_KEY_EXPORTABLE) != 0);
    hf_tw_k_bool(w, "allow_plaintext_backup", (key->flags & HF_KEY_PLAIN_BACKUP) != 0);
    hf_tw_k_int(w, "auto_rotate_period", key->auto_rotate_ns / HF_SECOND);
    hf_tw_k_bool(w, "supports_encryption", (info->uses & HF_USE_SEAL) != 0);
    hf_tw_k_bool(w, "supports_decryption", (info->uses & HF_USE_SEAL) != 0);
    hf_tw_k_bool(w, "supports_signing", (info->uses & HF_USE_SIGN) != 0);
    hf_tw_k_bool(w, "supports_derivation", (info->uses & HF_USE_DERIVE) != 0);
    hf_tw_k_bool(w, "supports_encapsulation", (info->uses & (HF_USE_KEM | HF_USE_AGREE)) != 0);
    hf_tw_k_bool(w, "imported_key", imported);
    if (imported)
        hf_tw_k_bool(w, "imported_key_allow_rotation", (key->flags & HF_KEY_IMPORTED_ROTATES) != 0);
    if (key->flags & HF_KEY_DERIVED) {
        hf_tw_k_text(w, "kdf", "hkdf_sha256");
        hf_tw_k_bool(w, "convergent_encryption", (key->flags & HF_KEY_CONVERGENT) != 0);
        if (key->flags & HF_KEY_CONVERGENT)
            hf_tw_k_int(w, "convergent_encryption_version", 3);
    }
    if (key->key_bytes != 0)
        hf_tw_k_int(w, "key_size", key->key_bytes);
    if (info->parameter_set != NULL)
        hf_tw_k_text(w, "parameter_set", info->parameter_set);
    if (info->hybrid_pqc != NULL) {
        hf_tw_k_text(w, "hybrid_key_type_pqc", info->hybrid_pqc);
        hf_tw_k_text(w, "hybrid_key_type_ec", info->hybrid_ec);
    }
    write_copies(w, key);
    write_states(w, key);
    uint64_t limit = hf_key_uses_max(hf_transit_keys(core), key);
    if (limit != UINT64_MAX)
        hf_tw_k_int(w, "uses_max", limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    hf_tw_k_text(w, "algorithm", info->name);
    hf_tw_k_text(w, "quantum_readiness", hf_readiness_name(info->readiness));
    hf_tw_end(w);
    return HF_DONE;
}
