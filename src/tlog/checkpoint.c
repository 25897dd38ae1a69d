/* C2SP tlog-checkpoint, its Ed25519 signature (signed-note) and its ML-DSA-44 cosignature (tlog-cosignature),
 * verifier keys. */
#include "base/clock.h"
#include "base/encode.h"
#include "tlog/note.h"
#include "tlog/tlog.h"

enum {
    ORIGIN_MAX = 255, /* what cosigned_message can carry */
    TEXT_MAX = 4096,  /* of a checkpoint; extension lines are not recommended */
    ED25519_SIGNATURE = 64,
    MLDSA44_SIGNATURE = 2420,
    TIMESTAMP_LEN = 8,
    COSIGNED_MAX = 12 + 1 + 255 + 8 + 1 + 255 + 8 + 8 + 32,
};

static struct hf_cursor hash_cursor(const struct hf_tlog_hash *hash)
{
    return hf_cursor(hash->bytes, HF_TLOG_HASH);
}

/* @spec C2SP:tlog-checkpoint Note text */
static void write_text(struct hf_buf *out, const struct hf_tlog_checkpoint *cp)
{
    hf_buf_put_cursor(out, cp->origin);
    hf_buf_u8(out, '\n');
    hf_buf_decimal(out, cp->size);
    hf_buf_u8(out, '\n');
    hf_base64_encode(out, hash_cursor(&cp->root));
    hf_buf_u8(out, '\n');
}

static hf_result read_text(struct hf_cursor text, struct hf_tlog_checkpoint *ret)
{
    struct hf_cursor origin, size, root, extension;
    struct hf_tlog_checkpoint cp;
    struct hf_buf hash = hf_buf(cp.root.bytes, HF_TLOG_HASH);
    if (!hf_note_text_line(&text, &origin) || origin.left == 0 || origin.left > ORIGIN_MAX ||
        !hf_note_text_line(&text, &size) || !hf_note_decimal(size, &cp.size) ||
        !hf_note_text_line(&text, &root) || root.left != HF_BASE64_LEN(HF_TLOG_HASH) ||
        !HF_IS_OK(hf_base64_decode(&hash, root)) || hash.len != HF_TLOG_HASH)
        return HF_FAIL(BAD_SIGNATURE);
    while (hf_note_text_line(&text, &extension)) {
        if (extension.left == 0)
            return HF_FAIL(BAD_SIGNATURE);
    }
    cp.origin = origin;
    *ret = cp;
    return HF_DONE;
}

/* @spec C2SP:tlog-cosignature ML-DSA-44 signed message */
static void write_cosigned(struct hf_buf *out, const struct hf_tlog_checkpoint *cp, struct hf_cursor name,
                           uint64_t timestamp_s)
{
    hf_buf_put(out, "subtree/v1\n", 12); /* with its NUL */
    hf_buf_u8(out, (uint8_t)name.left);
    hf_buf_put_cursor(out, name);
    hf_buf_u64(out, timestamp_s);
    hf_buf_u8(out, (uint8_t)cp->origin.left);
    hf_buf_put_cursor(out, cp->origin);
    hf_buf_u64(out, 0);
    hf_buf_u64(out, cp->size);
    hf_buf_put_cursor(out, hash_cursor(&cp->root));
}

static hf_result key_id_of(const struct hf_pkey *key, struct hf_cursor name, uint8_t type, uint32_t *ret_id)
{
    uint8_t bytes[HF_PUBLIC_MAX];
    struct hf_buf public = hf_buf(bytes, sizeof(bytes));
    TRY(hf_pkey_public(key, &public));
    *ret_id = hf_note_key_id(name, type, hf_buf_cursor(&public));
    return HF_DONE;
}

static hf_result sign_ed25519(struct hf_buf *out, struct hf_cursor text, const struct hf_tlog_signer *signer)
{
    uint8_t bytes[ED25519_SIGNATURE];
    struct hf_buf signature = hf_buf(bytes, sizeof(bytes));
    const struct hf_sign_options options = {0};
    uint32_t id;
    TRY(key_id_of(signer->ed25519, signer->name, HF_NOTE_ED25519, &id));
    TRY(hf_pkey_sign(signer->ed25519, &options, text, &signature));
    hf_note_line(out, signer->name, id, hf_buf_cursor(&signature));
    return HF_DONE;
}

static hf_result sign_mldsa44(struct hf_buf *out, const struct hf_tlog_checkpoint *cp,
                              const struct hf_tlog_signer *signer, uint64_t timestamp_s)
{
    uint8_t bytes[TIMESTAMP_LEN + MLDSA44_SIGNATURE], cosigned[COSIGNED_MAX];
    struct hf_buf signature = hf_buf(bytes, sizeof(bytes)), message = hf_buf(cosigned, sizeof(cosigned));
    const struct hf_sign_options options = {0};
    uint32_t id;
    TRY(key_id_of(signer->mldsa44, signer->name, HF_NOTE_MLDSA44_COSIG, &id));
    write_cosigned(&message, cp, signer->name, timestamp_s);
    TRY(hf_buf_ok(&message));
    hf_buf_u64(&signature, timestamp_s);
    TRY(hf_pkey_sign(signer->mldsa44, &options, hf_buf_cursor(&message), &signature));
    hf_note_line(out, signer->name, id, hf_buf_cursor(&signature));
    return HF_DONE;
}

static bool origin_valid(struct hf_cursor origin)
{
    if (origin.left == 0 || origin.left > ORIGIN_MAX || !hf_utf8_valid(origin))
        return false;
    for (size_t i = 0; i < origin.left; i++) {
        if (origin.at[i] < 0x20)
            return false;
    }
    return true;
}

hf_result hf_tlog_checkpoint_sign(struct hf_buf *out, const struct hf_tlog_checkpoint *cp,
                                  const struct hf_tlog_signer *signer, int64_t wall_ns)
{
    if (!origin_valid(cp->origin) || !hf_note_name_valid(signer->name) || wall_ns < 0)
        return HF_FAIL(BAD_ARGUMENT);
    size_t begin = out->len;
    write_text(out, cp);
    TRY(hf_buf_ok(out));
    struct hf_cursor text = hf_cursor(out->at + begin, out->len - begin);
    hf_buf_u8(out, '\n');
    if (signer->ed25519 != NULL)
        TRY(sign_ed25519(out, text, signer));
    if (signer->mldsa44 != NULL)
        TRY(sign_mldsa44(out, cp, signer, (uint64_t)(wall_ns / HF_SECOND)));
    return hf_buf_ok(out);
}

/* One of the keys that must have signed. */
struct expected {
    const struct hf_pkey *key;
    uint8_t type;
    uint32_t id;
    bool seen;
};

static hf_result verify_one(const struct expected *expected, const struct hf_note *note,
                            const struct hf_tlog_checkpoint *cp, const struct hf_note_signature *line)
{
    uint8_t bytes[TIMESTAMP_LEN + MLDSA44_SIGNATURE], cosigned[COSIGNED_MAX];
    struct hf_buf signature = hf_buf(bytes, sizeof(bytes)), message = hf_buf(cosigned, sizeof(cosigned));
    const struct hf_sign_options options = {0};
    if (!HF_IS_OK(hf_note_signature_bytes(line, &signature)))
        return HF_FAIL(BAD_SIGNATURE);
    struct hf_cursor in = hf_buf_cursor(&signature);
    if (expected->type == HF_NOTE_ED25519)
        return hf_pkey_verify(expected->key, &options, note->text, in);
    uint64_t timestamp_s;
    if (!hf_cursor_u64(&in, &timestamp_s) || timestamp_s > INT64_MAX)
        return HF_FAIL(BAD_SIGNATURE);
    write_cosigned(&message, cp, line->name, timestamp_s);
    TRY(hf_buf_ok(&message));
    return hf_pkey_verify(expected->key, &options, hf_buf_cursor(&message), in);
}

hf_result hf_tlog_checkpoint_open(struct hf_cursor note, const struct hf_tlog_signer *keys,
                                  struct hf_tlog_checkpoint *ret)
{
    struct hf_note opened;
    struct hf_tlog_checkpoint cp;
    TRY(hf_note_open(note, &opened));
    if (opened.text.left > TEXT_MAX)
        return HF_FAIL(BAD_SIGNATURE);
    TRY(read_text(opened.text, &cp));
    struct expected expected[] = {{.key = keys->ed25519, .type = HF_NOTE_ED25519},
                                  {.key = keys->mldsa44, .type = HF_NOTE_MLDSA44_COSIG}};
    for (size_t k = 0; k < HF_ARRAY_LEN(expected); k++) {
        if (expected[k].key != NULL)
            TRY(key_id_of(expected[k].key, keys->name, expected[k].type, &expected[k].id));
    }
    struct hf_note_signature line;
    while (hf_note_next(&opened.lines, &line)) {
        if (!hf_cursor_same(line.name, keys->name))
            continue;
        for (size_t k = 0; k < HF_ARRAY_LEN(expected); k++) {
            if (expected[k].key == NULL || line.key_id != expected[k].id)
                continue;
            TRY(verify_one(&expected[k], &opened, &cp, &line));
            expected[k].seen = true;
        }
    }
    bool any = false;
    for (size_t k = 0; k < HF_ARRAY_LEN(expected); k++) {
        if (expected[k].key != NULL && !expected[k].seen)
            return HF_FAIL(BAD_SIGNATURE);
        any = any || expected[k].seen;
    }
    if (!any) /* nothing was asked for: nothing may be believed */
        return HF_FAIL(BAD_SIGNATURE);
    *ret = cp;
    return HF_DONE;
}

/* ---- verifier keys ------------------------------------------------------------------------------------- */

hf_result hf_tlog_vkey(struct hf_buf *out, const struct hf_tlog_signer *signer, bool mldsa)
{
    const struct hf_pkey *key = mldsa ? signer->mldsa44 : signer->ed25519;
    uint8_t type = mldsa ? HF_NOTE_MLDSA44_COSIG : HF_NOTE_ED25519;
    if (key == NULL || !hf_note_name_valid(signer->name))
        return HF_FAIL(BAD_ARGUMENT);
    uint8_t bytes[1 + HF_PUBLIC_MAX], id_bytes[4];
    struct hf_buf material = hf_buf(bytes, sizeof(bytes));
    hf_buf_u8(&material, type);
    TRY(hf_pkey_public(key, &material));
    struct hf_cursor public = hf_cursor(bytes + 1, material.len - 1);
    hf_store_u32(id_bytes, hf_note_key_id(signer->name, type, public));
    hf_buf_put_cursor(out, signer->name);
    hf_buf_u8(out, '+');
    hf_hex_encode(out, hf_cursor(id_bytes, sizeof(id_bytes)));
    hf_buf_u8(out, '+');
    hf_base64_encode(out, hf_buf_cursor(&material));
    return hf_buf_ok(out);
}

/* Takes up to the next plus sign. */
static bool take_part(struct hf_cursor *in, struct hf_cursor *ret_part)
{
    const uint8_t *plus = in->left != 0 ? memchr(in->at, '+', in->left) : NULL;
    if (plus == NULL)
        return false;
    *ret_part = hf_cursor(in->at, (size_t)(plus - in->at));
    in->left -= ret_part->left + 1;
    in->at = plus + 1;
    return true;
}

hf_result hf_tlog_vkey_open(struct hf_cursor text, struct hf_cursor *ret_name, struct hf_pkey **ret_key)
{
    struct hf_cursor name, hex;
    uint8_t id_bytes[4], bytes[1 + HF_PUBLIC_MAX];
    struct hf_buf id_out = hf_buf(id_bytes, sizeof(id_bytes)), material = hf_buf(bytes, sizeof(bytes));
    if (!take_part(&text, &name) || !hf_note_name_valid(name) || !take_part(&text, &hex) ||
        hex.left != HF_HEX_LEN(4) || !HF_IS_OK(hf_hex_decode(&id_out, hex)) ||
        !HF_IS_OK(hf_base64_decode(&material, text)) || material.len < 2)
        return HF_FAIL(BAD_PEER_KEY);
    struct hf_cursor id_in = hf_buf_cursor(&id_out), public = hf_cursor(bytes + 1, material.len - 1);
    uint32_t id;
    enum hf_alg alg = bytes[0] == HF_NOTE_ED25519         ? HF_ALG_ED25519
                      : bytes[0] == HF_NOTE_MLDSA44_COSIG ? HF_ALG_ML_DSA_44
                                                          : HF_ALG_NONE;
    if (alg == HF_ALG_NONE)
        return HF_FAIL(UNSUPPORTED);
    if (!hf_cursor_u32(&id_in, &id) || id != hf_note_key_id(name, bytes[0], public))
        return HF_FAIL(BAD_PEER_KEY);
    struct hf_pkey *key = NULL;
    if (!HF_IS_OK(hf_pkey_from_public(alg, public, &key)))
        return HF_FAIL(BAD_PEER_KEY);
    *ret_name = name;
    *ret_key = key;
    return HF_DONE;
}
