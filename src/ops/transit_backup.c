/* Backup and restore of a key with all its versions.
 *
 * A backup is base64 of:  "HFBK" | format u8 = 1 | kind u8 | key record | SHA-256 of all before (damage, not forgery)
 * where the record (keys/record.c) holds, in place of each wrapped blob, the version's material: sealed by HPKE to a
 * recipient's X-Wing key (kind SEALED), or in plain (kind PLAIN: needs exportable and allow_plaintext_backup).
 * Sealed parts are bound to the rest: HPKE's info names the version and the hash of the record without its blobs.
 * The recipient is a mount's wrapping key (GET wrapping_key?wrapping_algorithm=x-wing), there or here, or a key whose
 * private half lies with an operator. */
#include <stdlib.h>

#include "base/encode.h"
#include "crypto/hash.h"
#include "ops/handlers.h"
#include "ops/transit.h"

enum { BACKUP_FORMAT = 1, BACKUP_PLAIN = 1, BACKUP_SEALED = 2, PART_KEY = 'k', PART_MAC = 'm' };
enum { CHECK_BYTES = 32, SEALED_MAX = HF_PRIVATE_MAX + 2048, INFO_MAX = 96 };
static const char magic[] = "HFBK";

/* ---- what binds the parts --------------------------------------------------------------------------- */

static bool holds_material(const struct hf_key_version *v)
{
    return v->state != HF_KEY_DESTROYED && v->origin != HF_KEY_PUBLIC_ONLY;
}

/* Hash of the record with its material left out. */
static hf_result bind(struct hf_call *call, const struct hf_key *key, uint8_t ret_hash[static 32])
{
    CLEANUP(hf_key_freep) struct hf_key *bare = NULL;
    TRY(hf_key_copy(key, &bare));
    for (uint32_t i = 0; i < bare->count; i++) {
        struct hf_key_version *v = &bare->versions[i];
        if (holds_material(v))
            v->blob = v->mac_blob = (struct hf_cursor){0};
        v->kek_generation = 0;
    }
    size_t cap = hf_key_encoded_max(bare);
    uint8_t *space = hf_scratch_alloc(call->scratch, cap);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(space, cap);
    hf_key_encode(bare, &out);
    TRY(hf_buf_ok(&out));
    return hf_sha256(hf_buf_cursor(&out), ret_hash);
}

static struct hf_cursor part_info(uint8_t space[static INFO_MAX], const uint8_t bound[static 32],
                                  uint32_t version, uint8_t part)
{
    struct hf_buf out = hf_buf(space, INFO_MAX);
    hf_buf_text(&out, "holdfast key backup v1");
    hf_buf_put(&out, bound, 32);
    hf_buf_u32(&out, version);
    hf_buf_u8(&out, part);
    return hf_buf_cursor(&out);
}

/* ---- backup ---------------------------------------------------------------------------------------- */

static hf_result part_out(struct hf_call *call, struct hf_kskey *key, const struct hf_pkey *recipient,
                          struct hf_cursor info, struct hf_cursor *ret_part)
{
    if (recipient == NULL)
        return hf_export_material(call, key, ret_part);
    uint8_t *space = hf_scratch_alloc(call->scratch, SEALED_MAX);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(space, SEALED_MAX);
    TRY(key->ops->export_wrapped(key, recipient, info, &out));
    TRY(hf_buf_ok(&out));
    *ret_part = hf_buf_cursor(&out);
    return HF_DONE;
}

static hf_result version_out(struct hf_core *core, struct hf_call *call, const struct hf_key *key,
                             const struct hf_key_version *from, const struct hf_pkey *recipient,
                             const uint8_t bound[static 32], struct hf_key_version *to)
{
    struct hf_kskey *loaded;
    uint8_t info[INFO_MAX];
    to->kek_generation = 0;
    if (!holds_material(from))
        return HF_DONE;
    TRY(hf_key_use(hf_transit_keys(core), key, from, &loaded));
    TRY(part_out(call, loaded, recipient, part_info(info, bound, from->number, PART_KEY), &to->blob));
    if (from->mac_blob.left == 0)
        return HF_DONE;
    TRY(hf_key_use_mac(hf_transit_keys(core), key, from, &loaded));
    return part_out(call, loaded, recipient, part_info(info, bound, from->number, PART_MAC), &to->mac_blob);
}

static hf_result write_backup(struct hf_core *core, struct hf_call *call, const struct hf_key *key,
                              const struct hf_pkey *recipient)
{
    CLEANUP(hf_key_freep) struct hf_key *copy = NULL;
    uint8_t bound[32];
    TRY(bind(call, key, bound));
    TRY(hf_key_copy(key, &copy));
    for (uint32_t i = 0; i < copy->count; i++)
        TRY(version_out(core, call, key, &key->versions[i], recipient, bound, &copy->versions[i]));
    size_t cap = hf_key_encoded_max(copy) + 16 + CHECK_BYTES;
    uint8_t *space = hf_scratch_alloc(call->scratch, cap);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(space, cap);
    hf_buf_put(&out, magic, 4);
    hf_buf_u8(&out, BACKUP_FORMAT);
    hf_buf_u8(&out, recipient == NULL ? BACKUP_PLAIN : BACKUP_SEALED);
    hf_key_encode(copy, &out);
    TRY(hf_buf_ok(&out));
    uint8_t check[CHECK_BYTES];
    TRY(hf_sha256(hf_buf_cursor(&out), check));
    hf_buf_put(&out, check, sizeof check);
    TRY(hf_buf_ok(&out));
    hf_tw_map(call->w);
    hf_tw_k_bytes(call->w, "backup", hf_buf_cursor(&out));
    hf_transit_readiness(call, key);
    hf_tw_end(call->w);
    return HF_DONE;
}

static hf_result recipient_arg(struct hf_call *call, struct hf_pkey **ret_recipient)
{
    struct hf_cursor text, raw;
    struct hf_space space = {0};
    struct hf_transit_why why = {0};
    *ret_recipient = NULL;
    TRY(hf_arg_text(call, "recipient", &text));
    if (text.left == 0)
        return HF_DONE;
    hf_result read = hf_unbase64(call, &space, text, &raw, &why);
    if (HF_IS_OK(read))
        read = hf_pkey_from_public(HF_ALG_X_WING, raw, ret_recipient);
    if (hf_is_item_fault(read))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "recipient is no X-Wing public key in base64");
    return read;
}

static hf_result backup_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    (void)keys;
    struct hf_call *call = arg;
    draft->backup_ns = call->now_ns;
    draft->backup_version = draft->latest;
    return HF_DONE;
}

HF_HANDLER(hf_transit_backup)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *recipient = NULL;
    const struct hf_key *key;
    TRY(hf_transit_key(core, call, "key not found", &key));
    TRY(recipient_arg(call, &recipient));
    if (!(key->flags & HF_KEY_EXPORTABLE))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "exporting is disallowed on the policy");
    if (recipient == NULL && !(key->flags & HF_KEY_PLAIN_BACKUP))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "plaintext backup is disallowed on the policy");
    TRY(hf_transit_change(core, call, backup_edit, call, "key not found", &key));
    return write_backup(core, call, key, recipient);
}

/* ---- restore --------------------------------------------------------------------------------------- */

struct restoring {
    struct hf_core *core;
    struct hf_call *call;
    struct hf_key *from; /* decoded */
    bool sealed;
    uint8_t bound[32];
    struct hf_kskey *opener;
};

static hf_result part_in(struct restoring *r, struct hf_cursor part, uint32_t version, uint8_t kind,
                         struct hf_secret **ret_material)
{
    uint8_t info[INFO_MAX];
    if (r->sealed) {
        hf_result opened = r->opener->ops->open_wrapped(r->opener, part_info(info, r->bound, version, kind),
                                                        part, ret_material);
        if (hf_is_item_fault(opened))
            return hf_call_fail(
                r->call, HF_BAD_CIPHERTEXT,
                "the backup does not open: it is sealed to another recipient, or was altered");
        return opened;
    }
    uint8_t *copy = hf_scratch_alloc(r->call->scratch, part.left + 1);
    if (copy == NULL)
        return HF_FAIL(NO_MEMORY);
    memcpy(copy, part.at, part.left);
    return hf_secret_take(copy, part.left, ret_material);
}

static hf_result version_in(struct restoring *r, struct hf_keys *keys, struct hf_key *draft,
                            const struct hf_key_version *v)
{
    CLEANUP(hf_secret_freep) struct hf_secret *material = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *mac = NULL;
    if (holds_material(v)) {
        TRY(part_in(r, v->blob, v->number, PART_KEY, &material));
        if (v->mac_blob.left != 0)
            TRY(part_in(r, v->mac_blob, v->number, PART_MAC, &mac));
    }
    hf_result added = hf_key_add_restored(keys, draft, v, material, mac);
    if (hf_is_item_fault(added))
        return hf_call_fail(r->call, HF_BAD_ARGUMENT, "the backup holds what is no key of its type");
    return added;
}

static hf_result restore_edit(struct hf_keys *keys, struct hf_key *draft, void *arg)
{
    struct restoring *r = arg;
    const struct hf_key *from = r->from;
    hf_key_reset(draft);
    draft->id = from->id;
    draft->alg = from->alg;
    draft->info = from->info;
    draft->flags = from->flags;
    draft->key_bytes = from->key_bytes;
    draft->created_ns = from->created_ns;
    draft->rotated_ns = from->rotated_ns;
    draft->auto_rotate_ns = from->auto_rotate_ns;
    for (uint32_t i = 0; i < from->count; i++)
        TRY(version_in(r, keys, draft, &from->versions[i]));
    draft->min_decryption = from->min_decryption;
    draft->min_encryption = from->min_encryption;
    draft->min_available = from->min_available;
    draft->backup_ns = from->backup_ns;
    draft->backup_version = from->backup_version;
    draft->restore_ns = r->call->now_ns;
    draft->restore_version = from->latest;
    hf_transit_note(r->call, draft, draft->latest);
    return HF_DONE;
}

static hf_result restore_commit(struct hf_txn *txn, void *arg)
{
    struct restoring *r = arg;
    struct hf_store_outcome outcome;
    return hf_call_commit(r->core, r->call, txn, &outcome);
}

/* Takes the check off the end; false where it is not right. */
static bool undamaged(struct hf_cursor *bytes)
{
    uint8_t check[CHECK_BYTES];
    if (bytes->left < CHECK_BYTES)
        return false;
    struct hf_cursor said = hf_cursor(bytes->at + bytes->left - CHECK_BYTES, CHECK_BYTES);
    bytes->left -= CHECK_BYTES;
    return HF_IS_OK(hf_sha256(*bytes, check)) && hf_cursor_same(said, hf_cursor(check, sizeof check));
}

static hf_result read_backup(struct restoring *r)
{
    struct hf_cursor text, bytes, slice;
    struct hf_space space = {0};
    struct hf_transit_why why = {0};
    uint8_t format, kind;
    TRY(hf_arg_text(r->call, "backup", &text));
    if (text.left == 0)
        return hf_call_fail(r->call, HF_BAD_ARGUMENT, "'backup' must be supplied");
    hf_result read = hf_unbase64(r->call, &space, text, &bytes, &why);
    if (!HF_IS_OK(read))
        return hf_transit_fail(r->call, read, &why);
    bool whole = undamaged(&bytes);
    bool ours = hf_cursor_take(&bytes, 4, &slice) && hf_cursor_is(slice, magic) &&
                hf_cursor_u8(&bytes, &format) && format == BACKUP_FORMAT && hf_cursor_u8(&bytes, &kind) &&
                (kind == BACKUP_PLAIN || kind == BACKUP_SEALED);
    if (!ours)
        return hf_call_fail(r->call, HF_BAD_ARGUMENT, "this is no backup of a key");
    hf_result decoded = whole ? hf_key_decode(bytes, &r->from) : HF_FAIL(CORRUPT);
    if (decoded.code == HF_CORRUPT)
        return hf_call_fail(r->call, HF_BAD_ARGUMENT, "the backup is damaged");
    TRY(decoded);
    r->sealed = kind == BACKUP_SEALED;
    if (r->sealed)
        TRY(hf_transit_wrapping_open(r->core, r->call, HF_ALG_X_WING, &r->opener));
    return bind(r->call, r->from, r->bound);
}

static hf_result restore(struct restoring *r, struct hf_cursor name, bool force)
{
    struct hf_call *call = r->call;
    struct hf_keys *keys = hf_transit_keys(r->core);
    struct hf_key_spec spec = {.mount = call->mount->id, .ns = call->ns, .name = name, .alg = r->from->alg};
    struct hf_key_change change = {restore_edit, restore_commit, r};
    hf_result created = hf_keys_create(keys, &spec, &change, NULL);
    if (created.code != HF_EXISTS)
        return created;
    if (!force)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                                  "a key of that name exists already; use 'force' to replace it", name);
    return hf_keys_change(keys, &call->mount->id, call->ns, name, &change, NULL);
}

HF_HANDLER(hf_transit_restore)
{
    struct restoring r = {.core = core, .call = call};
    struct hf_cursor name = hf_transit_name(call);
    bool force = false;
    hf_result done = hf_arg_bool(call, "force", false, &force);
    if (HF_IS_OK(done))
        done = read_backup(&r);
    if (HF_IS_OK(done) && r.from == NULL)
        done = HF_FAIL(INTERNAL);
    if (HF_IS_OK(done) && name.left == 0)
        name = hf_cursor(r.from->name, r.from->name_len);
    if (HF_IS_OK(done) && !hf_key_name_ok(name))
        done = hf_call_fail(call, HF_BAD_ARGUMENT, "invalid key name");
    if (HF_IS_OK(done))
        done = restore(&r, name, force);
    hf_key_freep(&r.from);
    TRY(done);
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}
