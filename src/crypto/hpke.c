/* RFC 9180 base mode, single shot: KEM X-Wing (draft-ietf-hpke-pq, 0x647a), HKDF-SHA-256. */
#include "crypto/hpke.h"
#include "crypto/aead.h"
#include "crypto/internal.h"
#include "secret/view.h"

enum {
    KEM_XWING = 0x647a,
    KDF_HKDF_SHA256 = 0x0001,
    MODE_BASE = 0,
    HASH_LEN = 32,
    KEY_LEN = 32,
    NONCE_LEN = 12,
    XWING_ENC = 1120,
    TAG_LEN = 16,
    SUITE_LEN = 10,
};

struct schedule {
    uint8_t key[KEY_LEN];
    uint8_t nonce[NONCE_LEN];
};

static void suite_id(enum hf_hpke_aead aead, uint8_t ret_id[static SUITE_LEN])
{
    static const uint8_t name[4] = {'H', 'P', 'K', 'E'};
    memcpy(ret_id, name, sizeof(name));
    hf_store_u16(ret_id + 4, KEM_XWING);
    hf_store_u16(ret_id + 6, KDF_HKDF_SHA256);
    hf_store_u16(ret_id + 8, (uint16_t)aead);
}

/* LabeledExtract(salt, label, ikm), section 4 */
static hf_result labeled_extract(const uint8_t *suite, struct hf_cursor salt, const char *label,
                                 struct hf_cursor ikm, uint8_t ret_prk[static HASH_LEN])
{
    const struct hf_cursor parts[] = {
        hf_cursor_text("HPKE-v1"),
        hf_cursor(suite, SUITE_LEN),
        hf_cursor_text(label),
        ikm,
    };
    return hf_hmac_bytes(HF_SHA2_256, salt, parts, HF_ARRAY_LEN(parts), ret_prk);
}

static hf_result labeled_expand(const uint8_t *suite, const uint8_t *prk, const char *label,
                                struct hf_cursor info, uint8_t *ret_bytes, size_t len)
{
    uint8_t length[2];
    hf_store_u16(length, (uint16_t)len);
    const struct hf_cursor parts[] = {
        hf_cursor(length, sizeof(length)),
        hf_cursor_text("HPKE-v1"),
        hf_cursor(suite, SUITE_LEN),
        hf_cursor_text(label),
        info,
    };
    return hf_hkdf_expand_bytes(HF_SHA2_256, hf_cursor(prk, HASH_LEN), parts, HF_ARRAY_LEN(parts), ret_bytes,
                                len);
}

/* @spec RFC9180:5.1 KeySchedule<base>: no PSK. */
static hf_result key_schedule(enum hf_hpke_aead aead, const struct hf_secret *shared, struct hf_cursor info,
                              struct schedule *ret)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    const struct hf_cursor nothing = hf_cursor(NULL, 0);
    uint8_t suite[SUITE_LEN], secret[HASH_LEN];
    uint8_t context[1 + 2 * HASH_LEN] = {MODE_BASE};

    TRY(hf_secret_view_open(shared, &view));
    suite_id(aead, suite);
    TRY(labeled_extract(suite, nothing, "psk_id_hash", nothing, context + 1));
    TRY(labeled_extract(suite, nothing, "info_hash", info, context + 1 + HASH_LEN));
    TRY(labeled_extract(suite, hf_secret_view_cursor(&view), "secret", nothing, secret));
    struct hf_cursor bound = hf_cursor(context, sizeof(context));
    hf_result done = labeled_expand(suite, secret, "key", bound, ret->key, KEY_LEN);
    if (HF_IS_OK(done))
        done = labeled_expand(suite, secret, "base_nonce", bound, ret->nonce, NONCE_LEN);
    hf_wipe(secret, sizeof(secret));
    return done;
}

/* The AEAD under the schedule's key; the nonce of message 0 is the base nonce itself. */
static hf_result message_key(enum hf_hpke_aead aead, const struct hf_secret *shared, struct hf_cursor info,
                             uint8_t ret_nonce[static NONCE_LEN], struct hf_aead **ret_aead)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    struct schedule schedule;
    hf_result done = key_schedule(aead, shared, info, &schedule);
    if (HF_IS_OK(done))
        done = hf_secret_take(schedule.key, KEY_LEN, &key);
    memcpy(ret_nonce, schedule.nonce, NONCE_LEN);
    hf_wipe(&schedule, sizeof(schedule));
    TRY(done);
    return hf_aead_new(aead == HF_HPKE_AES256_GCM ? HF_ALG_AES256_GCM96 : HF_ALG_CHACHA20_POLY1305, key,
                       ret_aead);
}

hf_result hf_hpke_seal_suite(const struct hf_pkey *recipient, enum hf_hpke_aead aead, struct hf_cursor info,
                             struct hf_cursor ad, const struct hf_secret *plain, struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    CLEANUP(hf_aead_freep) struct hf_aead *sealer = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    uint8_t nonce[NONCE_LEN];
    size_t before = out->len;

    if (hf_pkey_alg(recipient) != HF_ALG_X_WING)
        return HF_FAIL(UNSUPPORTED);
    TRY(hf_secret_view_open(plain, &view));
    TRY(hf_pkey_encapsulate(recipient, out, &shared));
    hf_result done = message_key(aead, shared, info, nonce, &sealer);
    if (HF_IS_OK(done))
        done = hf_aead_seal_nonce(sealer, hf_cursor(nonce, sizeof(nonce)), hf_secret_view_cursor(&view), ad,
                                  out);
    if (!HF_IS_OK(done))
        out->len = before;
    return done;
}

hf_result hf_hpke_open_suite(const struct hf_pkey *recipient, enum hf_hpke_aead aead, struct hf_cursor info,
                             struct hf_cursor ad, struct hf_cursor sealed, struct hf_secret **ret_plain)
{
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *plain = NULL;
    CLEANUP(hf_aead_freep) struct hf_aead *opener = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    struct hf_cursor enc;
    uint8_t nonce[NONCE_LEN];

    if (hf_pkey_alg(recipient) != HF_ALG_X_WING)
        return HF_FAIL(UNSUPPORTED);
    if (!hf_cursor_take(&sealed, XWING_ENC, &enc) || sealed.left <= TAG_LEN ||
        sealed.left - TAG_LEN > HF_SECRET_MAX)
        return HF_FAIL(BAD_CIPHERTEXT);
    hf_result opened = hf_pkey_decapsulate(recipient, enc, &shared);
    if (opened.code == HF_BAD_PEER_KEY)
        return HF_FAIL(BAD_CIPHERTEXT);
    TRY(opened);
    TRY(message_key(aead, shared, info, nonce, &opener));
    TRY(hf_secret_new(sealed.left - TAG_LEN, &plain));
    TRY(hf_secret_view_open(plain, &view));
    struct hf_buf out = hf_buf(view.bytes, view.len);
    TRY(hf_aead_open_nonce(opener, hf_cursor(nonce, sizeof(nonce)), sealed, ad, &out));
    *ret_plain = TAKE(plain);
    return HF_DONE;
}

hf_result hf_hpke_seal(const struct hf_pkey *recipient, struct hf_cursor info, struct hf_cursor ad,
                       const struct hf_secret *plain, struct hf_buf *out)
{
    return hf_hpke_seal_suite(recipient, HF_HPKE_AES256_GCM, info, ad, plain, out);
}

hf_result hf_hpke_open(const struct hf_pkey *recipient, struct hf_cursor info, struct hf_cursor ad,
                       struct hf_cursor sealed, struct hf_secret **ret_plain)
{
    return hf_hpke_open_suite(recipient, HF_HPKE_AES256_GCM, info, ad, sealed, ret_plain);
}
