#include "crypto/floe.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/internal.h"
#include "secret/ct.h"
#include "secret/view.h"

#include <openssl/crypto.h>

enum {
    PARAMS_LEN = 10,
    IV_LEN = 32,
    HEADER_TAG_LEN = 32,
    MESSAGE_KEY_LEN = 48,
    LENGTH_LEN = 4,
    ROTATION_BITS = 20,
    AD_MAX = 65536,
    SEGMENT_AD_LEN = 9,
};
#define NOT_LAST UINT32_C(0xffffffff)
#define NO_EPOCH UINT64_MAX

struct hf_floe {
    uint32_t segment_len;
    unsigned rotation_bits;
    uint64_t position; /* online use */
    bool closed;
    uint8_t params[PARAMS_LEN];
    uint8_t iv[IV_LEN];
    struct hf_secret *message_key;
    uint8_t *ad;
    size_t ad_len;
    uint64_t epoch; /* masked segment number that `aead` belongs to */
    struct hf_aead *aead;
};

void hf_floe_free(struct hf_floe *floe)
{
    if (floe == NULL)
        return;
    hf_aead_free(floe->aead);
    hf_secret_free(floe->message_key);
    OPENSSL_free(floe->ad);
    OPENSSL_clear_free(floe, sizeof(*floe));
}

void hf_floe_freep(struct hf_floe **floe)
{
    hf_floe_free(*floe);
    *floe = NULL;
}

size_t hf_floe_segment_len(const struct hf_floe *floe)
{
    return floe->segment_len;
}

size_t hf_floe_plain_len(const struct hf_floe *floe)
{
    return floe->segment_len - HF_FLOE_OVERHEAD;
}

void hf_floe_rotate_each(struct hf_floe *floe, unsigned bits)
{
    floe->rotation_bits = bits;
}

/* @spec C2SP:FLOE FLOE_KDF: HKDF-Expand over params || iv || purpose || ad. */
static hf_result kdf(const struct hf_floe *floe, struct hf_cursor key, struct hf_cursor purpose, uint8_t *ret,
                     size_t len)
{
    const struct hf_cursor info[] = {
        hf_cursor(floe->params, PARAMS_LEN),
        hf_cursor(floe->iv, IV_LEN),
        purpose,
        hf_cursor(floe->ad, floe->ad_len),
    };
    return hf_hkdf_expand_bytes(HF_SHA2_384, key, info, HF_ARRAY_LEN(info), ret, len);
}

static hf_result new_state(struct hf_cursor ad, struct hf_floe **ret_floe)
{
    CLEANUP(hf_floe_freep) struct hf_floe *floe = NULL;
    if (ad.left > AD_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    floe = OPENSSL_zalloc(sizeof(*floe));
    if (floe == NULL)
        return HF_FAIL(NO_MEMORY);
    floe->epoch = NO_EPOCH;
    floe->rotation_bits = ROTATION_BITS;
    if (ad.left != 0) {
        floe->ad = OPENSSL_memdup(ad.at, ad.left);
        if (floe->ad == NULL)
            return HF_FAIL(NO_MEMORY);
        floe->ad_len = ad.left;
    }
    *ret_floe = TAKE(floe);
    return HF_DONE;
}

/* The header's tag and the message key, both from the file's key. */
static hf_result derive(struct hf_floe *floe, const struct hf_secret *key,
                        uint8_t ret_tag[static HEADER_TAG_LEN])
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view message_view = {0};
    if (hf_secret_len(key) != HF_FLOE_KEY)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_secret_view_open(key, &view));
    TRY(hf_secret_new(MESSAGE_KEY_LEN, &floe->message_key));
    TRY(hf_secret_view_open(floe->message_key, &message_view));
    struct hf_cursor prk = hf_secret_view_cursor(&view);
    TRY(kdf(floe, prk, hf_cursor_text("HEADER_TAG:"), ret_tag, HEADER_TAG_LEN));
    return kdf(floe, prk, hf_cursor_text("MESSAGE_KEY:"), message_view.bytes, MESSAGE_KEY_LEN);
}

/* PARAM_ENCODE: AES-256-GCM is AEAD 0, HKDF-Expand-SHA-384 KDF 0. */
static void encode_params(struct hf_floe *floe, uint32_t segment_len)
{
    floe->segment_len = segment_len;
    floe->params[0] = 0;
    floe->params[1] = 0;
    hf_store_u32(floe->params + 2, segment_len);
    hf_store_u32(floe->params + 6, IV_LEN);
}

hf_result hf_floe_seal_begin(const struct hf_secret *key, struct hf_cursor ad, uint32_t segment_len,
                             uint8_t ret_header[static HF_FLOE_HEADER], struct hf_floe **ret_floe)
{
    CLEANUP(hf_floe_freep) struct hf_floe *floe = NULL;
    if (segment_len < HF_FLOE_SEGMENT_MIN || segment_len > HF_FLOE_SEGMENT_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(new_state(ad, &floe));
    encode_params(floe, segment_len);
    TRY(hf_random(floe->iv, IV_LEN));
    memcpy(ret_header, floe->params, PARAMS_LEN);
    memcpy(ret_header + PARAMS_LEN, floe->iv, IV_LEN);
    TRY(derive(floe, key, ret_header + PARAMS_LEN + IV_LEN));
    *ret_floe = TAKE(floe);
    return HF_DONE;
}

hf_result hf_floe_open_begin(const struct hf_secret *key, struct hf_cursor ad, struct hf_cursor header,
                             struct hf_floe **ret_floe)
{
    CLEANUP(hf_floe_freep) struct hf_floe *floe = NULL;
    struct hf_cursor params, iv, tag;
    uint32_t segment_len;
    uint8_t expected[HEADER_TAG_LEN];

    if (!hf_cursor_take(&header, PARAMS_LEN, &params) || !hf_cursor_take(&header, IV_LEN, &iv) ||
        !hf_cursor_take(&header, HEADER_TAG_LEN, &tag))
        return HF_FAIL(TRUNCATED);
    struct hf_cursor length = hf_cursor(params.at + 2, 4);
    if (header.left != 0 || !hf_cursor_u32(&length, &segment_len) || segment_len < HF_FLOE_SEGMENT_MIN ||
        segment_len > HF_FLOE_SEGMENT_MAX)
        return HF_FAIL(UNSUPPORTED);
    TRY(new_state(ad, &floe));
    encode_params(floe, segment_len);
    if (!hf_cursor_same(params, hf_cursor(floe->params, PARAMS_LEN)))
        return HF_FAIL(UNSUPPORTED);
    memcpy(floe->iv, iv.at, IV_LEN);
    TRY(derive(floe, key, expected));
    bool right = hf_ct_equal(expected, tag.at, HEADER_TAG_LEN);
    hf_wipe(expected, sizeof(expected));
    if (!right)
        return HF_FAIL(BAD_CIPHERTEXT);
    *ret_floe = TAKE(floe);
    return HF_DONE;
}

/* DERIVE_KEY, kept till the next rotation. */
static hf_result key_for(struct hf_floe *floe, uint64_t position)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view message_view = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    struct hf_aead *aead = NULL;
    uint64_t epoch = position >> floe->rotation_bits << floe->rotation_bits;
    uint8_t purpose[4 + 8] = "DEK:";

    if (epoch == floe->epoch)
        return HF_DONE;
    hf_store_u64(purpose + 4, epoch);
    TRY(hf_secret_view_open(floe->message_key, &message_view));
    TRY(hf_secret_new(HF_FLOE_KEY, &key));
    TRY(hf_secret_view_open(key, &view));
    TRY(kdf(floe, hf_secret_view_cursor(&message_view), hf_cursor(purpose, sizeof(purpose)), view.bytes,
            view.len));
    TRY(hf_aead_new(HF_ALG_AES256_GCM96, key, &aead));
    hf_aead_free(floe->aead);
    floe->aead = aead;
    floe->epoch = epoch;
    return HF_DONE;
}

static struct hf_cursor segment_ad(uint64_t position, bool last, uint8_t memory[static SEGMENT_AD_LEN])
{
    hf_store_u64(memory, position);
    memory[8] = last;
    return hf_cursor(memory, SEGMENT_AD_LEN);
}

static hf_result seal_segment(struct hf_floe *floe, struct hf_cursor plain, bool last, struct hf_buf *out)
{
    uint8_t memory[SEGMENT_AD_LEN];
    size_t before = out->len;
    if (floe->position >= HF_FLOE_SEGMENTS_MAX - !last)
        return HF_FAIL(TOO_LARGE);
    TRY(key_for(floe, floe->position));
    hf_buf_u32(out, last ? (uint32_t)(plain.left + HF_FLOE_OVERHEAD) : NOT_LAST);
    hf_result done = hf_aead_seal(floe->aead, plain, segment_ad(floe->position, last, memory), out);
    if (!HF_IS_OK(done)) {
        out->len = before;
        return done;
    }
    floe->position++;
    floe->closed = last;
    return HF_DONE;
}

hf_result hf_floe_seal_next(struct hf_floe *floe, struct hf_cursor plain, struct hf_buf *out)
{
    if (floe->closed || plain.left != hf_floe_plain_len(floe))
        return HF_FAIL(BAD_ARGUMENT);
    return seal_segment(floe, plain, false, out);
}

hf_result hf_floe_seal_last(struct hf_floe *floe, struct hf_cursor plain, struct hf_buf *out)
{
    if (floe->closed || plain.left > hf_floe_plain_len(floe))
        return HF_FAIL(BAD_ARGUMENT);
    return seal_segment(floe, plain, true, out);
}

hf_result hf_floe_open_at(struct hf_floe *floe, uint64_t position, bool last, struct hf_cursor segment,
                          struct hf_buf *out)
{
    uint8_t memory[SEGMENT_AD_LEN];
    uint32_t length;
    size_t whole = segment.left;
    if (position >= HF_FLOE_SEGMENTS_MAX || whole < HF_FLOE_OVERHEAD || whole > floe->segment_len ||
        !hf_cursor_u32(&segment, &length))
        return HF_FAIL(BAD_CIPHERTEXT);
    if (last ? length != whole : (whole != floe->segment_len || length != NOT_LAST))
        return HF_FAIL(BAD_CIPHERTEXT);
    TRY(key_for(floe, position));
    return hf_aead_open(floe->aead, segment, segment_ad(position, last, memory), out);
}

hf_result hf_floe_open_next(struct hf_floe *floe, struct hf_cursor segment, struct hf_buf *out,
                            bool *ret_last)
{
    uint32_t length;
    struct hf_cursor probe = segment;
    if (floe->closed || !hf_cursor_u32(&probe, &length))
        return HF_FAIL(BAD_CIPHERTEXT);
    bool last = length != NOT_LAST;
    TRY(hf_floe_open_at(floe, floe->position, last, segment, out));
    floe->position++;
    floe->closed = last;
    *ret_last = last;
    return HF_DONE;
}

hf_result hf_floe_layout(const struct hf_floe *floe, uint64_t file_len, uint64_t *ret_segments,
                         uint64_t *ret_plain_len)
{
    if (file_len < HF_FLOE_HEADER + HF_FLOE_OVERHEAD)
        return HF_FAIL(TRUNCATED);
    uint64_t body = file_len - HF_FLOE_HEADER;
    uint64_t segments = (body + floe->segment_len - 1) / floe->segment_len;
    uint64_t last = body - (segments - 1) * floe->segment_len;
    if (last < HF_FLOE_OVERHEAD || segments > HF_FLOE_SEGMENTS_MAX)
        return HF_FAIL(TRUNCATED);
    *ret_segments = segments;
    *ret_plain_len = body - segments * HF_FLOE_OVERHEAD;
    return HF_DONE;
}
