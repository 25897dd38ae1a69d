/* Making versions, changing their states, trimming. */
#include <stdlib.h>

#include "crypto/crypto.h"
#include "keys/inner.h"

enum {
    BLOB_MAX = HF_PRIVATE_MAX + 64,
    MAC_BLOB_MAX = 1024,
    PUBLIC_TEXT_MAX = 2 * HF_PUBLIC_MAX,
    MAC_KEY_BYTES = 32
};

struct making { /* one version under construction */
    struct hf_secret *kek;
    uint32_t generation;
    uint8_t blob_space[BLOB_MAX], mac_space[MAC_BLOB_MAX], text_space[PUBLIC_TEXT_MAX];
    struct hf_buf blob, mac, text;
};

static void making_freep(struct making **m)
{
    if (*m == NULL)
        return;
    hf_secret_free((*m)->kek);
    free(*m);
    *m = NULL;
}

static hf_result making_new(struct hf_keys *keys, const struct hf_key *draft, struct making **ret)
{
    CLEANUP(making_freep) struct making *m = calloc(1, sizeof *m);
    if (m == NULL)
        return HF_FAIL(NO_MEMORY);
    m->blob = hf_buf(m->blob_space, sizeof m->blob_space);
    m->mac = hf_buf(m->mac_space, sizeof m->mac_space);
    m->text = hf_buf(m->text_space, sizeof m->text_space);
    TRY(keys->kek(keys->kek_arg, hf_cursor(draft->ns, 16), 0, &m->kek, &m->generation));
    *ret = TAKE(m);
    return HF_DONE;
}

/* Asymmetric versions: loads what was made, so that its public half can be shown, and keeps it loaded. */
static hf_result show_public(struct hf_keys *keys, const struct hf_key *draft, struct making *m)
{
    CLEANUP(hf_kskey_unrefp) struct hf_kskey *key = NULL;
    TRY(keys->keystore->ops->load(keys->keystore, m->kek, draft->alg, hf_buf_cursor(&m->blob), &key));
    TRY(key->ops->public_text(key, &m->text));
    return hf_buf_ok(&m->text);
}

static void enter_state(struct hf_key_version *v, enum hf_key_state state, int64_t now_ns)
{
    v->state = state;
    v->entered_ns[state] = now_ns;
}

static hf_result append(struct hf_keys *keys, struct hf_key *draft, struct making *m,
                        enum hf_key_origin origin, struct hf_key_version **ret_version)
{
    struct hf_keystore_capability capability;
    TRY(keys->keystore->ops->capability(keys->keystore, draft->alg, &capability));
    TRY(hf_buf_ok(&m->blob));
    TRY(hf_buf_ok(&m->mac));
    TRY(hf_key_grow(draft));
    struct hf_key_version v = {
        .number = draft->latest + 1,
        .origin = origin,
        .protection = capability.protection,
        .kek_generation = m->generation,
    };
    TRY(hf_random_id(&v.id));
    TRY(hf_key_keep(draft, hf_buf_cursor(&m->blob), &v.blob));
    TRY(hf_key_keep(draft, hf_buf_cursor(&m->mac), &v.mac_blob));
    TRY(hf_key_keep(draft, hf_buf_cursor(&m->text), &v.public_text));
    draft->versions[draft->count] = v;
    *ret_version = &draft->versions[draft->count++];
    draft->latest = v.number;
    return HF_DONE;
}

static hf_result make_mac_key(struct hf_keys *keys, const struct hf_key *draft, struct making *m)
{
    if (draft->alg == HF_ALG_HMAC) /* its HMACs are made with the key itself */
        return HF_DONE;
    return keys->keystore->ops->generate(keys->keystore, m->kek, HF_ALG_HMAC, MAC_KEY_BYTES, &m->mac);
}

static void birth(struct hf_key *draft, struct hf_key_version *v, enum hf_key_state state, int64_t now_ns)
{
    v->entered_ns[HF_KEY_PRE_ACTIVE] = now_ns;
    enter_state(v, state, now_ns);
    draft->rotated_ns = now_ns;
}

hf_result hf_key_add_generated(struct hf_keys *keys, struct hf_key *draft, enum hf_key_state state,
                               int64_t now_ns)
{
    if (state != HF_KEY_PRE_ACTIVE && state != HF_KEY_ACTIVE)
        return HF_FAIL(BAD_ARGUMENT);
    CLEANUP(making_freep) struct making *m = NULL;
    TRY(making_new(keys, draft, &m));
    TRY(keys->keystore->ops->generate(keys->keystore, m->kek, draft->alg, draft->key_bytes, &m->blob));
    TRY(make_mac_key(keys, draft, m));
    if (draft->info->asymmetric)
        TRY(show_public(keys, draft, m));
    struct hf_key_version *v;
    TRY(append(keys, draft, m, HF_KEY_GENERATED, &v));
    birth(draft, v, state, now_ns);
    return HF_DONE;
}

hf_result hf_key_add_imported(struct hf_keys *keys, struct hf_key *draft, enum hf_private_form form,
                              const struct hf_secret *material, int64_t now_ns)
{
    CLEANUP(making_freep) struct making *m = NULL;
    TRY(making_new(keys, draft, &m));
    TRY(keys->keystore->ops->import(keys->keystore, m->kek, draft->alg, form, material, &m->blob));
    TRY(make_mac_key(keys, draft, m));
    if (draft->info->asymmetric)
        TRY(show_public(keys, draft, m));
    struct hf_key_version *v;
    TRY(append(keys, draft, m, HF_KEY_FROM_IMPORT, &v));
    birth(draft, v, HF_KEY_ACTIVE, now_ns);
    return HF_DONE;
}

hf_result hf_key_add_public(struct hf_keys *keys, struct hf_key *draft, struct hf_cursor public_bytes,
                            int64_t now_ns)
{
    CLEANUP(making_freep) struct making *m = NULL;
    TRY(making_new(keys, draft, &m));
    TRY(keys->keystore->ops->import_public(keys->keystore, draft->alg, public_bytes, &m->blob));
    TRY(show_public(keys, draft, m));
    struct hf_key_version *v;
    TRY(append(keys, draft, m, HF_KEY_PUBLIC_ONLY, &v));
    birth(draft, v, HF_KEY_ACTIVE, now_ns);
    return HF_DONE;
}

hf_result hf_key_add_restored(struct hf_keys *keys, struct hf_key *draft, const struct hf_key_version *like,
                              const struct hf_secret *material, const struct hf_secret *mac)
{
    if (draft->count != 0 && like->number != draft->latest + 1)
        return HF_FAIL(BAD_ARGUMENT);
    if ((material == NULL) != (like->state == HF_KEY_DESTROYED || like->origin == HF_KEY_PUBLIC_ONLY))
        return HF_FAIL(BAD_ARGUMENT);
    CLEANUP(making_freep) struct making *m = NULL;
    TRY(making_new(keys, draft, &m));
    if (material != NULL) {
        TRY(keys->keystore->ops->import(keys->keystore, m->kek, draft->alg, HF_PRIVATE_NATIVE, material,
                                        &m->blob));
        if (mac != NULL)
            TRY(keys->keystore->ops->import(keys->keystore, m->kek, HF_ALG_HMAC, HF_PRIVATE_NATIVE, mac,
                                            &m->mac));
        if (draft->info->asymmetric)
            TRY(show_public(keys, draft, m));
    } else if (like->state != HF_KEY_DESTROYED) { /* public only: its blob came as it is */
        hf_buf_put_cursor(&m->blob, like->blob);
        TRY(hf_buf_ok(&m->blob));
        TRY(show_public(keys, draft, m));
    } else {
        hf_buf_put_cursor(&m->text, like->public_text);
    }
    draft->latest = like->number - 1;
    struct hf_key_version *v;
    TRY(append(keys, draft, m, like->origin, &v));
    v->state = like->state;
    memcpy(v->entered_ns, like->entered_ns, sizeof v->entered_ns);
    return HF_DONE;
}

/* ---- KEKs ------------------------------------------------------------------------------------------ */

static hf_result rewrap(struct hf_keys *keys, struct hf_key *draft, const struct making *m,
                        const struct hf_secret *old_kek, struct hf_cursor *blob)
{
    uint8_t space[BLOB_MAX];
    struct hf_buf out = hf_buf(space, sizeof space);
    if (blob->left == 0)
        return HF_DONE;
    TRY(keys->keystore->ops->rewrap(keys->keystore, old_kek, m->kek, *blob, &out));
    return hf_key_keep(draft, hf_buf_cursor(&out), blob);
}

hf_result hf_key_rewrap(struct hf_keys *keys, struct hf_key *draft)
{
    CLEANUP(making_freep) struct making *m = NULL;
    TRY(making_new(keys, draft, &m));
    for (uint32_t i = 0; i < draft->count; i++) {
        struct hf_key_version *v = &draft->versions[i];
        if (v->kek_generation == m->generation)
            continue;
        CLEANUP(hf_secret_freep) struct hf_secret *old_kek = NULL;
        uint32_t generation;
        TRY(keys->kek(keys->kek_arg, hf_cursor(draft->ns, 16), v->kek_generation, &old_kek, &generation));
        TRY(rewrap(keys, draft, m, old_kek, &v->blob));
        TRY(rewrap(keys, draft, m, old_kek, &v->mac_blob));
        v->kek_generation = m->generation;
    }
    return HF_DONE;
}

/* ---- states ---------------------------------------------------------------------------------------- */

static struct hf_key_version *draft_version(struct hf_key *draft, uint32_t number)
{
    const struct hf_key_version *v = hf_key_version(draft, number);
    return v == NULL ? NULL : &draft->versions[v - draft->versions];
}

hf_result hf_key_set_state(struct hf_keys *keys, struct hf_key *draft, uint32_t number,
                           enum hf_key_state state, int64_t now_ns)
{
    struct hf_key_version *v = draft_version(draft, number);
    if (v == NULL)
        return HF_FAIL(NOT_FOUND);
    if (!hf_key_state_may_become(v->state, state))
        return HF_FAIL(KEY_STATE);
    enter_state(v, state, now_ns);
    if (state == HF_KEY_DESTROYED) {
        TRY(keys->keystore->ops->destroy(keys->keystore, v->blob));
        v->blob = v->mac_blob = (struct hf_cursor){0};
        hf_key_live_unref(
            v->live); /* the new snapshot gets an empty one; the old one ends with its readers */
        v->live = NULL;
        TRY(hf_random_id(&v->id)); /* so that nothing loaded under the old id is carried over */
    }
    return HF_DONE;
}

void hf_key_reset(struct hf_key *draft)
{
    for (uint32_t i = 0; i < draft->count; i++)
        hf_key_live_unref(draft->versions[i].live);
    if (draft->count != 0)
        memset(draft->versions, 0, draft->count * sizeof *draft->versions);
    draft->count = 0;
    draft->latest = 0;
    draft->min_available = 0;
}

hf_result hf_key_trim(struct hf_keys *keys, struct hf_key *draft, uint32_t min_available)
{
    if (min_available > draft->latest)
        return HF_FAIL(BAD_ARGUMENT);
    uint32_t gone = 0;
    while (gone < draft->count && draft->versions[gone].number < min_available)
        gone++;
    for (uint32_t i = 0; i < gone; i++) {
        struct hf_key_version *v = &draft->versions[i];
        if (v->blob.left != 0)
            TRY(keys->keystore->ops->destroy(keys->keystore, v->blob));
        hf_key_live_unref(v->live);
    }
    memmove(draft->versions, draft->versions + gone, (draft->count - gone) * sizeof *draft->versions);
    memset(draft->versions + (draft->count - gone), 0, gone * sizeof *draft->versions);
    draft->count -= gone;
    draft->min_available = min_available;
    return HF_DONE;
}
