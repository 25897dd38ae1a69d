/* X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem: concatenation, ML-KEM first) and X-Wing
 * (draft-connolly-cfrg-xwing-kem), both composed of ML-KEM-768 and X25519. */
#include "crypto/crypto.h"
#include "crypto/pkey_internal.h"
#include "secret/view.h"

enum { PQ, CLASSICAL, MLKEM_SEED = 64, MLKEM_CT = 1088, X25519_LEN = 32, SHARED_LEN = 32 };
enum { XWING_SEED = 32, XWING_EXPANDED = MLKEM_SEED + X25519_LEN };

static hf_result import_halves(struct hf_pkey *key, struct hf_cursor mlkem_seed, struct hf_cursor x25519)
{
    const struct hf_cursor bytes[] = {mlkem_seed, x25519};
    for (unsigned which = PQ; which <= CLASSICAL; which++) {
        const struct pkey_row *row = pkey_row(key->row->half[which]);
        TRY(pkey_new(row, &key->half[which]));
        TRY(row->family->import_private(key->half[which], HF_PRIVATE_NATIVE, bytes[which]));
        key->half[which]->has_private = true;
    }
    return HF_DONE;
}

/* expandDecapsulationKey: SHAKE256(seed, 96) = ML-KEM seed || X25519 scalar. */
static hf_result xwing_expand(struct hf_pkey *key, struct hf_cursor seed)
{
    uint8_t expanded[XWING_EXPANDED];
    EVP_MD *shake = EVP_MD_fetch(NULL, "SHAKE256", NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = shake != NULL && ctx != NULL && EVP_DigestInit_ex2(ctx, shake, NULL) == 1 &&
              EVP_DigestUpdate(ctx, seed.at, seed.left) == 1 &&
              EVP_DigestFinalXOF(ctx, expanded, sizeof(expanded)) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(shake);
    hf_result done =
        ok ? import_halves(key, hf_cursor(expanded, MLKEM_SEED), hf_cursor(expanded + MLKEM_SEED, X25519_LEN))
           : PKEY_FAILED(NO_MEMORY);
    hf_wipe(expanded, sizeof(expanded));
    return done;
}

static hf_result import_private(struct hf_pkey *key, enum hf_private_form form, struct hf_cursor bytes)
{
    (void)form;
    if (bytes.left != key->row->seed_len)
        return HF_FAIL(BAD_ARGUMENT);
    if (key->row->alg != HF_ALG_X_WING)
        return import_halves(key, hf_cursor(bytes.at, MLKEM_SEED),
                             hf_cursor(bytes.at + MLKEM_SEED, X25519_LEN));
    TRY(pkey_secret(bytes.at, bytes.left, &key->seed));
    return xwing_expand(key, bytes);
}

static hf_result generate(struct hf_pkey *key)
{
    if (key->row->alg == HF_ALG_X_WING) {
        CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
        TRY(hf_random_secret(XWING_SEED, &key->seed));
        TRY(hf_secret_view_open(key->seed, &view));
        return xwing_expand(key, hf_secret_view_cursor(&view));
    }
    TRY(hf_pkey_generate(key->row->half[PQ], &key->half[PQ]));
    return hf_pkey_generate(key->row->half[CLASSICAL], &key->half[CLASSICAL]);
}

/* Both halves' secrets, one after the other. */
static hf_result join(const struct hf_secret *pq, const struct hf_secret *classical,
                      struct hf_secret **ret_joined)
{
    CLEANUP(hf_secret_freep) struct hf_secret *joined = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view pq_view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view classical_view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_view_open(pq, &pq_view));
    TRY(hf_secret_view_open(classical, &classical_view));
    TRY(hf_secret_new(pq_view.len + classical_view.len, &joined));
    TRY(hf_secret_view_open(joined, &view));
    memcpy(view.bytes, pq_view.bytes, pq_view.len);
    memcpy(view.bytes + pq_view.len, classical_view.bytes, classical_view.len);
    *ret_joined = TAKE(joined);
    return HF_DONE;
}

static hf_result export_private(const struct hf_pkey *key, enum hf_private_form form,
                                struct hf_secret **ret_bytes)
{
    (void)form; /* seed, in every form */
    if (key->row->alg == HF_ALG_X_WING)
        return hf_secret_copy(key->seed, ret_bytes);
    CLEANUP(hf_secret_freep) struct hf_secret *seed = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *scalar = NULL;
    TRY(hf_pkey_private(key->half[PQ], HF_PRIVATE_SEED, &seed));
    TRY(hf_pkey_private(key->half[CLASSICAL], HF_PRIVATE_RAW, &scalar));
    return join(seed, scalar, ret_bytes);
}

static hf_result import_public(struct hf_pkey *key, struct hf_cursor raw)
{
    struct hf_cursor pq;
    if (raw.left != key->row->public_len ||
        !hf_cursor_take(&raw, pkey_row(key->row->half[PQ])->public_len, &pq))
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_pkey_from_public(key->row->half[PQ], pq, &key->half[PQ]));
    return hf_pkey_from_public(key->row->half[CLASSICAL], raw, &key->half[CLASSICAL]);
}

static hf_result export_public(const struct hf_pkey *key, struct hf_buf *out)
{
    TRY(hf_pkey_public(key->half[PQ], out));
    return hf_pkey_public(key->half[CLASSICAL], out);
}

/* @spec draft-connolly-cfrg-xwing-kem:5.3 ss = SHA3-256(ss_M || ss_X || ct_X || pk_X || label). */
static hf_result xwing_combine(const struct hf_pkey *key, const struct hf_secret *pq,
                               const struct hf_secret *classical, struct hf_cursor ct_x,
                               struct hf_secret **ret_shared)
{
    static const uint8_t label[] = {0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c};
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view pq_view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view classical_view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    uint8_t pk_x[X25519_LEN];
    struct hf_buf pk = hf_buf(pk_x, sizeof(pk_x));

    TRY(hf_pkey_public(key->half[CLASSICAL], &pk));
    TRY(hf_secret_view_open(pq, &pq_view));
    TRY(hf_secret_view_open(classical, &classical_view));
    TRY(hf_secret_new(SHARED_LEN, &shared));
    TRY(hf_secret_view_open(shared, &view));
    const struct hf_cursor parts[] = {
        hf_secret_view_cursor(&pq_view), hf_secret_view_cursor(&classical_view), ct_x, hf_buf_cursor(&pk),
        hf_cursor(label, sizeof(label)),
    };
    TRY(hf_hash_parts(HF_SHA3_256, parts, HF_ARRAY_LEN(parts), view.bytes));
    *ret_shared = TAKE(shared);
    return HF_DONE;
}

static hf_result combine(const struct hf_pkey *key, const struct hf_secret *pq,
                         const struct hf_secret *classical, struct hf_cursor ct_x,
                         struct hf_secret **ret_shared)
{
    return key->row->alg == HF_ALG_X_WING ? xwing_combine(key, pq, classical, ct_x, ret_shared)
                                          : join(pq, classical, ret_shared);
}

static hf_result encapsulate(const struct hf_pkey *key, struct hf_buf *out, struct hf_secret **ret_shared)
{
    CLEANUP(hf_secret_freep) struct hf_secret *pq = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *classical = NULL;
    CLEANUP(hf_pkey_freep) struct hf_pkey *ephemeral = NULL;
    uint8_t pk_x[X25519_LEN], ct_x[X25519_LEN];
    struct hf_buf peer = hf_buf(pk_x, sizeof(pk_x)), ct = hf_buf(ct_x, sizeof(ct_x));

    TRY(hf_pkey_encapsulate(key->half[PQ], out, &pq));
    TRY(hf_pkey_generate(HF_ALG_X25519, &ephemeral));
    TRY(hf_pkey_public(ephemeral, &ct));
    TRY(hf_pkey_public(key->half[CLASSICAL], &peer));
    TRY(hf_pkey_agree(ephemeral, hf_buf_cursor(&peer), &classical));
    hf_buf_put_cursor(out, hf_buf_cursor(&ct));
    TRY(hf_buf_ok(out));
    return combine(key, pq, classical, hf_buf_cursor(&ct), ret_shared);
}

static hf_result decapsulate(const struct hf_pkey *key, struct hf_cursor ct, struct hf_secret **ret_shared)
{
    CLEANUP(hf_secret_freep) struct hf_secret *pq = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *classical = NULL;
    struct hf_cursor ct_m;
    if (ct.left != MLKEM_CT + X25519_LEN || !hf_cursor_take(&ct, MLKEM_CT, &ct_m))
        return HF_FAIL(BAD_CIPHERTEXT);
    TRY(hf_pkey_decapsulate(key->half[PQ], ct_m, &pq));
    TRY(hf_pkey_agree(key->half[CLASSICAL], ct, &classical));
    return combine(key, pq, classical, ct, ret_shared);
}

const struct pkey_family pkey_hybrid_kem = {
    .generate = generate,
    .import_private = import_private,
    .import_public = import_public,
    .export_private = export_private,
    .export_public = export_public,
    .encapsulate = encapsulate,
    .decapsulate = decapsulate,
};
