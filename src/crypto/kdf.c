#include "crypto/kdf.h"
#include "crypto/internal.h"
#include "secret/view.h"

enum { HKDF_INFO_PARTS_MAX = 6 };

hf_result hf_hkdf_expand_bytes(enum hf_hash hash, struct hf_cursor prk, const struct hf_cursor *info_parts,
                               size_t info_count, uint8_t *ret_bytes, size_t len)
{
    size_t hash_len = hf_hash_len(hash);
    if (hash_len == 0 || len == 0 || len > 255 * hash_len || info_count > HKDF_INFO_PARTS_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    uint8_t block[HF_HASH_MAX];
    uint8_t counter = 0;
    struct hf_cursor parts[HKDF_INFO_PARTS_MAX + 2];
    hf_result done = HF_DONE;

    parts[0] = hf_cursor(block, 0); /* T(0) is empty */
    for (size_t i = 0; i < info_count; i++)
        parts[i + 1] = info_parts[i];
    parts[info_count + 1] = hf_cursor(&counter, 1);
    for (size_t at = 0; at < len && HF_IS_OK(done); at += hash_len) {
        counter++;
        done = hf_hmac_bytes(hash, prk, parts, info_count + 2, block);
        if (HF_IS_OK(done))
            memcpy(ret_bytes + at, block, HF_MIN(hash_len, len - at));
        parts[0].left = hash_len;
    }
    hf_wipe(block, sizeof(block));
    if (!HF_IS_OK(done))
        hf_wipe(ret_bytes, len);
    return done;
}

/* @spec RFC5869:2 */
hf_result hf_hkdf_extract(enum hf_hash hash, const struct hf_secret *ikm, struct hf_cursor salt,
                          struct hf_secret **ret_prk)
{
    CLEANUP(hf_secret_freep) struct hf_secret *prk = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view in = {0};
    CLEANUP(hf_secret_view_close) struct hf_secret_view out = {0};

    TRY(hf_secret_new(hf_hash_len(hash), &prk));
    TRY(hf_secret_view_open(ikm, &in));
    TRY(hf_secret_view_open(prk, &out));
    struct hf_cursor part = hf_secret_view_cursor(&in);
    TRY(hf_hmac_bytes(hash, salt, &part, 1, out.bytes)); /* an empty salt is a block of zeros either way */
    *ret_prk = TAKE(prk);
    return HF_DONE;
}

static hf_result expand(enum hf_hash hash, struct hf_cursor prk, const struct hf_cursor *info_parts,
                        size_t info_count, size_t len, struct hf_secret **ret_secret)
{
    CLEANUP(hf_secret_freep) struct hf_secret *secret = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view out = {0};

    if (len == 0 || len > 255 * hf_hash_len(hash))
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_secret_new(len, &secret));
    TRY(hf_secret_view_open(secret, &out));
    TRY(hf_hkdf_expand_bytes(hash, prk, info_parts, info_count, out.bytes, len));
    *ret_secret = TAKE(secret);
    return HF_DONE;
}

hf_result hf_hkdf_expand(enum hf_hash hash, const struct hf_secret *prk, struct hf_cursor info, size_t len,
                         struct hf_secret **ret_secret)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view key = {0};
    TRY(hf_secret_view_open(prk, &key));
    return expand(hash, hf_secret_view_cursor(&key), &info, 1, len, ret_secret);
}

/* The pseudorandom key lives on the stack (in the arena, where that matters) and is wiped. */
static hf_result extract_and_expand(enum hf_hash hash, const struct hf_secret *ikm, struct hf_cursor salt,
                                    const struct hf_cursor *info_parts, size_t info_count, size_t len,
                                    struct hf_secret **ret_secret)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view in = {0};
    uint8_t prk[HF_HASH_MAX];

    TRY(hf_secret_view_open(ikm, &in));
    struct hf_cursor part = hf_secret_view_cursor(&in);
    hf_result done = hf_hmac_bytes(hash, salt, &part, 1, prk);
    if (HF_IS_OK(done))
        done = expand(hash, hf_cursor(prk, hf_hash_len(hash)), info_parts, info_count, len, ret_secret);
    hf_wipe(prk, sizeof(prk));
    return done;
}

hf_result hf_hkdf(enum hf_hash hash, const struct hf_secret *ikm, struct hf_cursor salt,
                  struct hf_cursor info, size_t len, struct hf_secret **ret_secret)
{
    return extract_and_expand(hash, ikm, salt, &info, 1, len, ret_secret);
}

hf_result hf_derive(const struct hf_secret *key, const char *label, struct hf_cursor context, size_t len,
                    struct hf_secret **ret_secret)
{
    const struct hf_cursor info[] = {
        hf_cursor_text("holdfast "),
        hf_cursor_text(label),
        hf_cursor("", 1),
        context,
    };
    return extract_and_expand(HF_SHA2_256, key, hf_cursor(NULL, 0), info, HF_ARRAY_LEN(info), len,
                              ret_secret);
}
