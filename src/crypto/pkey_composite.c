/* Hybrid signatures: draft-ietf-lamps-pq-composite-sigs. Both halves sign
 * M' = Prefix || Label || len(ctx) || ctx || PH(M); ML-DSA takes the label as its own context. */
#include "crypto/pkey_internal.h"
#include "secret/view.h"

enum { PQ, CLASSICAL, LABEL_MAX = 40, MLDSA_SEED = 32 };
static const char prefix[] = "CompositeAlgorithmSignatures2025";
enum { REPRESENTATIVE_MAX = sizeof(prefix) + LABEL_MAX + 1 + 255 + HF_HASH_MAX };

static hf_result generate(struct hf_pkey *key)
{
    TRY(hf_pkey_generate(key->row->half[PQ], &key->half[PQ]));
    return hf_pkey_generate(key->row->half[CLASSICAL], &key->half[CLASSICAL]);
}

static hf_result import_half(struct hf_pkey *key, unsigned which, struct hf_cursor bytes)
{
    const struct pkey_row *row = pkey_row(key->row->half[which]);
    TRY(pkey_new(row, &key->half[which]));
    TRY(row->family->import_private(key->half[which], HF_PRIVATE_NATIVE, bytes));
    key->half[which]->has_private = true;
    return HF_DONE;
}

/* mldsaSeed || tradSK: Ed25519's 32 bytes, or ECPrivateKey. */
static hf_result import_private(struct hf_pkey *key, enum hf_private_form form, struct hf_cursor bytes)
{
    struct hf_cursor seed;
    if (form != HF_PRIVATE_NATIVE || !hf_cursor_take(&bytes, MLDSA_SEED, &seed))
        return HF_FAIL(BAD_ARGUMENT);
    TRY(import_half(key, PQ, seed));
    return import_half(key, CLASSICAL, bytes);
}

static hf_result export_private(const struct hf_pkey *key, enum hf_private_form form,
                                struct hf_secret **ret_bytes)
{
    CLEANUP(hf_secret_freep) struct hf_secret *seed = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *classical = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *both = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view seed_view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view classical_view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view both_view = {0};

    if (form != HF_PRIVATE_NATIVE)
        return HF_FAIL(UNSUPPORTED);
    for (unsigned which = PQ; which <= CLASSICAL; which++) {
        const struct hf_pkey *half = key->half[which];
        TRY(half->row->family->export_private(half, HF_PRIVATE_NATIVE, which == PQ ? &seed : &classical));
    }
    TRY(hf_secret_view_open(seed, &seed_view));
    TRY(hf_secret_view_open(classical, &classical_view));
    TRY(hf_secret_new(seed_view.len + classical_view.len, &both));
    TRY(hf_secret_view_open(both, &both_view));
    memcpy(both_view.bytes, seed_view.bytes, seed_view.len);
    memcpy(both_view.bytes + seed_view.len, classical_view.bytes, classical_view.len);
    *ret_bytes = TAKE(both);
    return HF_DONE;
}

static hf_result import_public(struct hf_pkey *key, struct hf_cursor raw)
{
    struct hf_cursor pq;
    const struct pkey_row *pq_row = pkey_row(key->row->half[PQ]);
    if (raw.left != key->row->public_len || !hf_cursor_take(&raw, pq_row->public_len, &pq))
        return HF_FAIL(BAD_ARGUMENT);
    if (key->row->half[CLASSICAL] != HF_ALG_ED25519 && raw.at[0] != 0x04)
        return HF_FAIL(BAD_ARGUMENT); /* uncompressed points only */
    TRY(hf_pkey_from_public(key->row->half[PQ], pq, &key->half[PQ]));
    return hf_pkey_from_public(key->row->half[CLASSICAL], raw, &key->half[CLASSICAL]);
}

/* ECDSA's public key stands as the bare point, not as SubjectPublicKeyInfo. */
static hf_result export_public(const struct hf_pkey *key, struct hf_buf *out)
{
    const struct hf_pkey *classical = key->half[CLASSICAL];
    TRY(hf_pkey_public(key->half[PQ], out));
    if (!classical->row->der_public)
        return hf_pkey_public(classical, out);
    uint8_t memory[256];
    struct hf_buf der = hf_buf(memory, sizeof(memory));
    struct hf_cursor oid, point;
    TRY(hf_pkey_public(classical, &der));
    TRY(pkey_spki_parts(hf_buf_cursor(&der), &oid, &point));
    hf_buf_put_cursor(out, point);
    return hf_buf_ok(out);
}

/* @spec draft-ietf-lamps-pq-composite-sigs:4.2 */
static hf_result representative(const struct hf_pkey *key, const struct hf_sign_options *options,
                                struct hf_cursor input, struct hf_buf *out)
{
    size_t len = hf_hash_len(key->row->hash);
    uint8_t digest[HF_HASH_MAX];
    if (options->prehashed) { /* the caller's digest must be the one that the algorithm has */
        if (options->hash != key->row->hash || input.left != len)
            return HF_FAIL(BAD_ARGUMENT);
        memcpy(digest, input.at, len);
    } else {
        TRY(hf_hash_parts(key->row->hash, &input, 1, digest));
    }
    hf_buf_text(out, prefix);
    hf_buf_text(out, key->row->label);
    hf_buf_u8(out, (uint8_t)options->context.left);
    hf_buf_put_cursor(out, options->context);
    hf_buf_put(out, digest, len);
    return hf_buf_ok(out);
}

static struct hf_sign_options pq_options(const struct hf_pkey *key, const struct hf_sign_options *options)
{
    return (struct hf_sign_options){
        .context = hf_cursor_text(key->row->label),
        .deterministic = options->deterministic,
    };
}

/* ecdsa-with-SHA256 on P-256, with SHA384 on P-384. */
static struct hf_sign_options classical_options(const struct hf_pkey *key)
{
    return (struct hf_sign_options){
        .hash = key->row->half[CLASSICAL] == HF_ALG_ECDSA_P384 ? HF_SHA2_384 : HF_SHA2_256,
    };
}

static hf_result sign(const struct hf_pkey *key, const struct hf_sign_options *options,
                      struct hf_cursor input, struct hf_buf *out)
{
    uint8_t memory[REPRESENTATIVE_MAX];
    struct hf_buf message = hf_buf(memory, sizeof(memory));
    struct hf_sign_options pq = pq_options(key, options), classical = classical_options(key);
    TRY(representative(key, options, input, &message));
    TRY(hf_pkey_sign(key->half[PQ], &pq, hf_buf_cursor(&message), out));
    return hf_pkey_sign(key->half[CLASSICAL], &classical, hf_buf_cursor(&message), out);
}

static hf_result verify(const struct hf_pkey *key, const struct hf_sign_options *options,
                        struct hf_cursor input, struct hf_cursor signature)
{
    uint8_t memory[REPRESENTATIVE_MAX];
    struct hf_buf message = hf_buf(memory, sizeof(memory));
    struct hf_sign_options pq = pq_options(key, options), classical = classical_options(key);
    struct hf_cursor pq_signature;
    TRY(representative(key, options, input, &message));
    if (!hf_cursor_take(&signature, key->half[PQ]->row->signature_len, &pq_signature))
        return HF_FAIL(BAD_SIGNATURE);
    TRY(hf_pkey_verify(key->half[PQ], &pq, hf_buf_cursor(&message), pq_signature));
    return hf_pkey_verify(key->half[CLASSICAL], &classical, hf_buf_cursor(&message), signature);
}

const struct pkey_family pkey_composite = {
    .generate = generate,
    .import_private = import_private,
    .import_public = import_public,
    .export_private = export_private,
    .export_public = export_public,
    .sign = sign,
    .verify = verify,
};
