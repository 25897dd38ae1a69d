#include "crypto/pkey.h"
#include "base/encode.h"
#include "crypto/pkey_internal.h"
#include "secret/view.h"

#include <openssl/crypto.h>
#include <openssl/pem.h>

/* ---- life ------------------------------------------------------------------------------------------------- */

hf_result pkey_new(const struct pkey_row *row, struct hf_pkey **ret_key)
{
    struct hf_pkey *key = OPENSSL_zalloc(sizeof(*key));
    if (key == NULL)
        return HF_FAIL(NO_MEMORY);
    atomic_init(&key->refs, 1);
    key->row = row;
    key->uses = hf_alg_info(row->alg)->uses;
    *ret_key = key;
    return HF_DONE;
}

struct hf_pkey *hf_pkey_ref(struct hf_pkey *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void hf_pkey_free(struct hf_pkey *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1)
        return;
    EVP_PKEY_free(key->evp);
    hf_pkey_free(key->half[0]);
    hf_pkey_free(key->half[1]);
    hf_secret_free(key->seed);
    OPENSSL_free(key);
}

void hf_pkey_freep(struct hf_pkey **key)
{
    hf_pkey_free(*key);
    *key = NULL;
}

enum hf_alg hf_pkey_alg(const struct hf_pkey *key)
{
    return key->row->alg;
}

bool hf_pkey_has_private(const struct hf_pkey *key)
{
    return key->has_private;
}

/* ---- the library's contexts --------------------------------------------------------------------------------- */

void pkey_ctx_freep(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
    *ctx = NULL;
}

EVP_PKEY_CTX *pkey_ctx(const struct hf_pkey *key)
{
    return EVP_PKEY_CTX_new_from_pkey(NULL, key->evp, NULL);
}

EVP_SIGNATURE *pkey_signature(const char *name, enum hf_alg alg, unsigned variant)
{
    enum { VARIANTS = 3, ALGS = 96 };
    static _Atomic(EVP_SIGNATURE *) kept[VARIANTS][ALGS];
    if (variant >= VARIANTS || (unsigned)alg >= ALGS)
        return NULL;
    _Atomic(EVP_SIGNATURE *) *place = &kept[variant][alg];
    EVP_SIGNATURE *found = atomic_load_explicit(place, memory_order_acquire);
    if (found != NULL)
        return found;
    EVP_SIGNATURE *fetched = EVP_SIGNATURE_fetch(NULL, name, NULL);
    if (fetched == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(place, &found, fetched, memory_order_acq_rel,
                                                memory_order_acquire))
        return fetched;
    EVP_SIGNATURE_free(fetched); /* another thread was first */
    return found;
}

/* ---- making --------------------------------------------------------------------------------------------------- */

hf_result hf_pkey_generate(enum hf_alg alg, struct hf_pkey **ret_key)
{
    const struct pkey_row *row = pkey_row(alg);
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    if (row == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(pkey_new(row, &key));
    TRY(row->family->generate(key));
    key->has_private = true;
    *ret_key = TAKE(key);
    return HF_DONE;
}

/* The private key inside PKCS#8 of algorithms that this room encodes itself, as NATIVE bytes: composites and
 * X-Wing bare, ML-KEM and ML-DSA as the choice [0] seed of RFC 9935 and RFC 9881. */
static bool own_pkcs8(const struct pkey_row *row, struct hf_cursor private_key, struct hf_cursor *ret_native)
{
    enum { CHOICE_SEED = 0x80 };
    if (row->half[0] != HF_ALG_NONE) {
        *ret_native = private_key;
        return true;
    }
    return row->family == &pkey_lattice && row->seed_len != 0 &&
           pkey_der_take(&private_key, CHOICE_SEED, ret_native) && private_key.left == 0;
}

static hf_result adopt_evp(const struct pkey_row *row, EVP_PKEY *evp, struct hf_pkey **ret_key)
{
    hf_result done = pkey_new(row, ret_key);
    if (!HF_IS_OK(done)) {
        EVP_PKEY_free(evp);
        return done;
    }
    (*ret_key)->evp = evp;
    return HF_DONE;
}

/* Public and private half belong together, and both are well-formed. */
static hf_result check_pair(const EVP_PKEY *evp)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, (EVP_PKEY *)evp, NULL);
    if (ctx == NULL)
        return PKEY_FAILED(NO_MEMORY);
    int good = EVP_PKEY_check(ctx);
    EVP_PKEY_CTX_free(ctx);
    return good == 1 ? HF_DONE : PKEY_FAILED(BAD_ARGUMENT);
}

/* wanted NULL: whatever it is. */
static hf_result from_pkcs8(const struct pkey_row *wanted, struct hf_cursor der, bool check,
                            struct hf_pkey **ret_key)
{
    struct hf_cursor oid, private_key, native;
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;

    if (der.left > HF_PRIVATE_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(pkey_pkcs8_parts(der, &oid, &private_key));
    const struct pkey_row *row = pkey_row_by_oid(oid);
    if (row != NULL && wanted != NULL && row != wanted)
        return HF_FAIL(BAD_ARGUMENT);
    if (row != NULL && own_pkcs8(row, private_key, &native)) {
        TRY(pkey_new(row, &key));
        TRY(row->family->import_private(key, HF_PRIVATE_NATIVE, native));
    } else {
        EVP_PKEY *evp = NULL;
        TRY(pkey_evp_from_pkcs8(der, &evp));
        for (enum hf_alg alg = HF_ALG_ED25519; wanted == NULL && row == NULL && alg <= HF_ALG_RSA_4096;
             alg++) {
            const struct pkey_row *candidate = pkey_row(alg);
            if (candidate != NULL && pkey_evp_fits(evp, candidate))
                row = candidate;
        }
        if (row == NULL)
            row = wanted;
        if (row == NULL || !pkey_evp_fits(evp, row)) {
            EVP_PKEY_free(evp);
            return HF_FAIL(BAD_ARGUMENT);
        }
        TRY(adopt_evp(row, evp, &key));
        if (check)
            TRY(check_pair(evp));
    }
    key->has_private = true;
    *ret_key = TAKE(key);
    return HF_DONE;
}

/* RSA, EC and SLH-DSA have no seed to store. */
static bool native_is_pkcs8(const struct pkey_row *row)
{
    return row->half[0] == HF_ALG_NONE && row->seed_len == 0;
}

hf_result hf_pkey_from_private(enum hf_alg alg, enum hf_private_form form, const struct hf_secret *bytes,
                               struct hf_pkey **ret_key)
{
    const struct pkey_row *row = pkey_row(alg);
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};

    if (row == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_secret_view_open(bytes, &view));
    if (form == HF_PRIVATE_PKCS8)
        return from_pkcs8(row, hf_secret_view_cursor(&view), true, ret_key);
    if (form == HF_PRIVATE_NATIVE && native_is_pkcs8(row))
        return from_pkcs8(row, hf_secret_view_cursor(&view), false, ret_key);
    if ((form == HF_PRIVATE_SEED && row->seed_len == 0) || (form == HF_PRIVATE_RAW && row->raw_len == 0))
        return HF_FAIL(BAD_ARGUMENT);
    TRY(pkey_new(row, &key));
    TRY(row->family->import_private(key, form, hf_secret_view_cursor(&view)));
    if (form == HF_PRIVATE_RAW && key->evp != NULL && row->seed_len != row->raw_len)
        TRY(check_pair(key->evp));
    key->has_private = true;
    *ret_key = TAKE(key);
    return HF_DONE;
}

hf_result hf_pkey_from_pkcs8(const struct hf_secret *der, struct hf_pkey **ret_key)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_view_open(der, &view));
    return from_pkcs8(NULL, hf_secret_view_cursor(&view), true, ret_key);
}

static hf_result from_spki(const struct pkey_row *row, struct hf_cursor der, struct hf_pkey **ret_key)
{
    struct hf_cursor oid, raw;
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;

    TRY(pkey_spki_parts(der, &oid, &raw));
    if (row->oid_len != 0) {
        if (pkey_row_by_oid(oid) != row)
            return HF_FAIL(BAD_ARGUMENT);
        TRY(pkey_new(row, &key));
        TRY(row->family->import_public(key, raw));
    } else {
        EVP_PKEY *evp = NULL;
        TRY(pkey_evp_from_spki(der, &evp));
        if (!pkey_evp_fits(evp, row)) {
            EVP_PKEY_free(evp);
            return HF_FAIL(BAD_ARGUMENT);
        }
        TRY(adopt_evp(row, evp, &key));
        if (row->family == &pkey_ec)
            TRY(pkey_check_point(evp));
    }
    *ret_key = TAKE(key);
    return HF_DONE;
}

static hf_result from_pem(const struct pkey_row *row, struct hf_cursor text, struct hf_pkey **ret_key)
{
    BIO *bio = BIO_new_mem_buf(text.at, (int)text.left);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    if (bio == NULL)
        return PKEY_FAILED(NO_MEMORY);
    int read = PEM_read_bio(bio, &name, &header, &der, &len);
    BIO_free(bio);
    if (read != 1)
        return PKEY_FAILED(BAD_ARGUMENT);
    hf_result done = hf_cursor_is(hf_cursor_text(name), PEM_STRING_PUBLIC) && header[0] == '\0'
                         ? from_spki(row, hf_cursor(der, (size_t)len), ret_key)
                         : HF_FAIL(BAD_ARGUMENT);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return done;
}

hf_result hf_pkey_from_public(enum hf_alg alg, struct hf_cursor bytes, struct hf_pkey **ret_key)
{
    enum { PEM_MAX = 2 * HF_PUBLIC_MAX };
    const struct pkey_row *row = pkey_row(alg);
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;

    if (row == NULL || bytes.left == 0 || bytes.left > PEM_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    if (bytes.left > 11 && hf_cursor_is(hf_cursor(bytes.at, 11), "-----BEGIN "))
        return from_pem(row, bytes, ret_key);
    if (bytes.left != row->public_len &&
        bytes.at[0] == 0x30) /* a SEQUENCE: no raw form begins so by length */
        return from_spki(row, bytes, ret_key);
    if (row->family->import_public == NULL || (row->public_len != 0 && bytes.left != row->public_len))
        return HF_FAIL(BAD_ARGUMENT);
    TRY(pkey_new(row, &key));
    TRY(row->family->import_public(key, bytes));
    *ret_key = TAKE(key);
    return HF_DONE;
}

/* ---- giving out ------------------------------------------------------------------------------------------------- */

static hf_result to_pkcs8(const struct hf_pkey *key, struct hf_secret **ret_bytes)
{
    const struct pkey_row *row = key->row;
    bool seeded = row->family == &pkey_lattice && row->seed_len != 0;
    CLEANUP(hf_secret_freep) struct hf_secret *native = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};

    if (key->evp != NULL && !seeded)
        return pkey_evp_to_pkcs8(key->evp, ret_bytes);
    if (row->oid_len == 0)
        return HF_FAIL(UNSUPPORTED);
    TRY(row->family->export_private(key, HF_PRIVATE_NATIVE, &native));
    if (seeded && hf_secret_len(native) != row->seed_len)
        return pkey_evp_to_pkcs8(key->evp, ret_bytes); /* imported expanded: there is no seed */
    TRY(hf_secret_view_open(native, &view));
    uint8_t inner[PKEY_SEED_MAX + 8], der[512];
    struct hf_buf choice = hf_buf(inner, sizeof(inner)), out = hf_buf(der, sizeof(der));
    struct hf_cursor private_key = hf_secret_view_cursor(&view);
    if (seeded) {
        pkey_der_header(&choice, 0x80, view.len);
        hf_buf_put(&choice, view.bytes, view.len);
        private_key = hf_buf_cursor(&choice);
    }
    pkey_pkcs8_write(&out, hf_cursor(row->oid, row->oid_len), private_key);
    hf_result done = hf_buf_ok(&choice);
    if (HF_IS_OK(done))
        done = hf_buf_ok(&out);
    if (HF_IS_OK(done))
        done = hf_secret_take(der, out.len, ret_bytes);
    hf_wipe(inner, sizeof(inner));
    hf_wipe(der, sizeof(der));
    return done;
}

hf_result hf_pkey_private(const struct hf_pkey *key, enum hf_private_form form, struct hf_secret **ret_bytes)
{
    if (!key->has_private)
        return HF_FAIL(UNSUPPORTED);
    const struct pkey_row *row = key->row;
    if (form == HF_PRIVATE_PKCS8 || (form == HF_PRIVATE_NATIVE && native_is_pkcs8(row)))
        return to_pkcs8(key, ret_bytes);
    if ((form == HF_PRIVATE_SEED && row->seed_len == 0) || (form == HF_PRIVATE_RAW && row->raw_len == 0))
        return HF_FAIL(UNSUPPORTED);
    return row->family->export_private(key, form, ret_bytes);
}

hf_result hf_pkey_public(const struct hf_pkey *key, struct hf_buf *out)
{
    return key->row->family->export_public(key, out);
}

static hf_result to_spki(const struct hf_pkey *key, struct hf_buf *out)
{
    if (key->row->der_public)
        return hf_pkey_public(key, out);
    if (key->row->oid_len == 0)
        return HF_FAIL(UNSUPPORTED);
    uint8_t memory[HF_PUBLIC_MAX];
    struct hf_buf raw = hf_buf(memory, sizeof(memory));
    TRY(hf_pkey_public(key, &raw));
    pkey_spki_write(out, hf_cursor(key->row->oid, key->row->oid_len), hf_buf_cursor(&raw));
    return hf_buf_ok(out);
}

hf_result hf_pkey_public_pem(const struct hf_pkey *key, struct hf_buf *out)
{
    enum { LINE = 64 };
    uint8_t memory[HF_PUBLIC_MAX], text[HF_BASE64_LEN(HF_PUBLIC_MAX)];
    struct hf_buf der = hf_buf(memory, sizeof(memory)), base64 = hf_buf(text, sizeof(text));
    TRY(to_spki(key, &der));
    hf_base64_encode(&base64, hf_buf_cursor(&der));
    TRY(hf_buf_ok(&base64));
    hf_buf_text(out, "-----BEGIN PUBLIC KEY-----\n");
    for (size_t at = 0; at < base64.len; at += LINE) {
        hf_buf_put(out, text + at, HF_MIN((size_t)LINE, base64.len - at));
        hf_buf_u8(out, '\n');
    }
    hf_buf_text(out, "-----END PUBLIC KEY-----\n");
    return hf_buf_ok(out);
}

hf_result hf_pkey_public_text(const struct hf_pkey *key, struct hf_buf *out)
{
    if (key->row->der_public)
        return hf_pkey_public_pem(key, out);
    uint8_t memory[HF_PUBLIC_MAX];
    struct hf_buf raw = hf_buf(memory, sizeof(memory));
    TRY(hf_pkey_public(key, &raw));
    hf_base64_encode(out, hf_buf_cursor(&raw));
    return hf_buf_ok(out);
}

/* ---- using -------------------------------------------------------------------------------------------------------- */

enum { CONTEXT_MAX = 255 }; /* FIPS 204, FIPS 205, RFC 8032, LAMPS: one length byte */

static const struct hf_sign_options no_options;

hf_result hf_pkey_sign(const struct hf_pkey *key, const struct hf_sign_options *options,
                       struct hf_cursor input, struct hf_buf *out)
{
    const struct hf_sign_options *how = options != NULL ? options : &no_options;
    size_t before = out->len;
    if ((key->uses & HF_USE_SIGN) == 0 || !key->has_private)
        return HF_FAIL(UNSUPPORTED);
    if (how->context.left > CONTEXT_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    hf_result done = key->row->family->sign(key, how, input, out);
    if (!HF_IS_OK(done))
        out->len = before;
    return done;
}

hf_result hf_pkey_verify(const struct hf_pkey *key, const struct hf_sign_options *options,
                         struct hf_cursor input, struct hf_cursor signature)
{
    const struct hf_sign_options *how = options != NULL ? options : &no_options;
    if ((key->uses & HF_USE_SIGN) == 0)
        return HF_FAIL(UNSUPPORTED);
    if (how->context.left > CONTEXT_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    if (signature.left == 0 || signature.left > HF_SIGNATURE_MAX)
        return HF_FAIL(BAD_SIGNATURE);
    return key->row->family->verify(key, how, input, signature);
}

hf_result hf_pkey_encapsulate(const struct hf_pkey *key, struct hf_buf *out_ciphertext,
                              struct hf_secret **ret_shared)
{
    size_t before = out_ciphertext->len;
    if ((key->uses & HF_USE_KEM) == 0)
        return HF_FAIL(UNSUPPORTED);
    hf_result done = key->row->family->encapsulate(key, out_ciphertext, ret_shared);
    if (!HF_IS_OK(done))
        out_ciphertext->len = before;
    return done;
}

hf_result hf_pkey_decapsulate(const struct hf_pkey *key, struct hf_cursor ciphertext,
                              struct hf_secret **ret_shared)
{
    if ((key->uses & HF_USE_KEM) == 0 || !key->has_private)
        return HF_FAIL(UNSUPPORTED);
    return key->row->family->decapsulate(key, ciphertext, ret_shared);
}

hf_result hf_pkey_agree(const struct hf_pkey *key, struct hf_cursor peer_public,
                        struct hf_secret **ret_shared)
{
    if ((key->uses & HF_USE_AGREE) == 0 || !key->has_private)
        return HF_FAIL(UNSUPPORTED);
    return key->row->family->agree(key, peer_public, ret_shared);
}
