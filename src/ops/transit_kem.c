/* Key encapsulation: ML-KEM, X25519MLKEM768, X-Wing, and the ECDH curves as DHKEM. */
#include "base/encode.h"
#include "ops/handlers.h"
#include "ops/transit.h"

static hf_result kem_key(struct hf_core *core, struct hf_call *call, const struct hf_key **ret_key)
{
    TRY(hf_transit_key(core, call, "key not found", ret_key));
    if (!((*ret_key)->info->uses & (HF_USE_KEM | HF_USE_AGREE)))
        return hf_call_fail_about(call, HF_UNSUPPORTED, "key encapsulation is not supported for keys of type",
                                  hf_cursor_text((*ret_key)->info->type));
    return HF_DONE;
}

HF_HANDLER(hf_transit_encapsulate)
{
    const struct hf_key *key;
    const struct hf_key_version *version;
    struct hf_kskey *loaded;
    struct hf_transit_why why = {0};
    int64_t asked;
    TRY(kem_key(core, call, &key));
    TRY(hf_arg_int(call, "key_version", 0, &asked));
    hf_result chosen = hf_transit_protector(key, asked, "encapsulation", &version, &why);
    if (!HF_IS_OK(chosen))
        return hf_transit_fail(call, chosen, &why);
    TRY(hf_key_use(hf_transit_keys(core), key, version, &loaded));
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    uint8_t space[HF_KEM_CT_MAX];
    struct hf_buf ciphertext = hf_buf(space, sizeof space);
    TRY(loaded->ops->encapsulate(loaded, &ciphertext, &shared));
    hf_tw_map(call->w);
    hf_tw_k(call->w, "ciphertext");
    hf_tw_cipher(call->w, version->number, hf_buf_cursor(&ciphertext));
    hf_tw_k(call->w, "shared_secret");
    TRY(hf_export_secret(call, shared));
    hf_tw_k_int(call->w, "key_version", version->number);
    hf_transit_readiness(call, key);
    hf_tw_end(call->w);
    hf_transit_note(call, key, version->number);
    return HF_DONE;
}

/* "vault:vN:..." as encapsulate gives it, or bare base64 of what somebody made with the public key alone: then
 * key_version says for which version. */
static hf_result read_ciphertext(struct hf_call *call, const struct hf_key *key, struct hf_cursor text,
                                 uint32_t *ret_number, struct hf_cursor *ret_bytes,
                                 struct hf_transit_why *why)
{
    static const char prefix[] = "vault:";
    struct hf_space space = {0};
    struct hf_cursor rest = text;
    if (text.left >= sizeof prefix - 1 && hf_cursor_is(hf_cursor(text.at, sizeof prefix - 1), prefix)) {
        TRY(hf_transit_prefix(key, text, "ciphertext", ret_number, &rest, why));
    } else {
        int64_t asked;
        TRY(hf_arg_int(call, "key_version", 0, &asked));
        const struct hf_key_version *current = hf_key_current(key);
        if (asked < 0 || asked > key->latest || (asked == 0 && current == NULL))
            return hf_why(why, "invalid ciphertext: version is too new");
        *ret_number = asked == 0 ? current->number : (uint32_t)asked;
    }
    hf_result decoded = hf_unbase64(call, &space, rest, ret_bytes, why);
    return decoded.code == HF_BAD_ARGUMENT ? hf_why(why, "invalid ciphertext: could not decode base64")
                                           : decoded;
}

HF_HANDLER(hf_transit_decapsulate)
{
    const struct hf_key *key;
    const struct hf_key_version *version;
    struct hf_kskey *loaded;
    struct hf_transit_why why = {0};
    struct hf_cursor text, ciphertext = {0};
    uint32_t number = 0;
    TRY(kem_key(core, call, &key));
    TRY(hf_arg_text(call, "ciphertext", &text));
    if (text.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "missing ciphertext to decapsulate");
    hf_result read = read_ciphertext(call, key, text, &number, &ciphertext, &why);
    if (HF_IS_OK(read))
        read = hf_transit_maker(call, key, number, HF_KEY_RECOVER, "ciphertext", &version, &why);
    if (!HF_IS_OK(read))
        return hf_transit_fail(call, read, &why);
    if (version->origin == HF_KEY_PUBLIC_ONLY)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "this key version holds a public key only: it cannot decapsulate");
    TRY(hf_key_use(hf_transit_keys(core), key, version, &loaded));
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    hf_result opened = loaded->ops->decapsulate(loaded, ciphertext, &shared);
    if (opened.code == HF_BAD_CIPHERTEXT || opened.code == HF_BAD_PEER_KEY)
        return hf_call_fail(call, HF_BAD_CIPHERTEXT, "invalid ciphertext: it is none of this key's type");
    TRY(opened);
    hf_tw_map(call->w);
    hf_tw_k(call->w, "shared_secret");
    TRY(hf_export_secret(call, shared));
    hf_tw_k_int(call->w, "key_version", number);
    hf_transit_readiness(call, key);
    hf_tw_end(call->w);
    hf_transit_note(call, key, number);
    return HF_DONE;
}
