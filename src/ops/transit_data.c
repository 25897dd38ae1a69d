/* Data keys, random bytes, hashes. */
#include "base/encode.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "ops/handlers.h"
#include "ops/transit.h"

enum { RANDOM_MAX = 128 << 10, DATAKEY_BYTES_MAX = 64 };

/* ---- data keys ------------------------------------------------------------------------------------- */

static hf_result datakey_bits(struct hf_call *call, size_t *ret_bytes)
{
    int64_t bits;
    TRY(hf_arg_int(call, "bits", 256, &bits));
    if (bits != 128 && bits != 256 && bits != 512)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid bit length");
    *ret_bytes = (size_t)bits / 8;
    return HF_DONE;
}

/* Makes the data key in wiped memory and wraps it; writes ciphertext, key_version and, if plain, plaintext. */
static hf_result datakey(struct hf_core *core, struct hf_call *call, const struct hf_key *key,
                         const struct hf_item *item, size_t bytes, bool plain, struct hf_opened *opened,
                         struct hf_transit_why *why)
{
    const struct hf_key_version *version;
    struct hf_space ad_space = {0};
    struct hf_cursor ad = hf_cursor("", 0);
    uint8_t *data_key = hf_scratch_alloc(call->scratch, DATAKEY_BYTES_MAX);
    if (data_key == NULL)
        return HF_FAIL(NO_MEMORY);
    if (item->nonce.left != 0)
        return hf_why(why, "nonce provided when not allowed");
    TRY(hf_transit_protector(key, item->key_version, "encryption", &version, why));
    TRY(hf_opened_get(core, call, key, version, item->context, opened, why));
    if (item->associated_data.left != 0) {
        if (key->info->asymmetric)
            return hf_why(why, "'associated_data' provided for a key type that does not support it");
        TRY(hf_unbase64(call, &ad_space, item->associated_data, &ad, why));
    }
    TRY(hf_key_count_uses(hf_transit_keys(core), key, version, 1, call->may_wait, NULL));
    TRY(hf_random(data_key, bytes));
    uint8_t sealed[1024];
    struct hf_buf out = hf_buf(sealed, sizeof sealed);
    struct hf_kskey *kskey = opened->key;
    /* A data key is random: a random nonce serves convergent keys as well. */
    if (key->info->asymmetric)
        TRY(kskey->ops->asym_encrypt(kskey, HF_SHA2_256, hf_cursor(data_key, bytes), &out));
    else
        TRY(kskey->ops->seal(kskey, hf_cursor(data_key, bytes), ad, &out));
    hf_tw_map(call->w);
    hf_tw_k(call->w, "ciphertext");
    hf_tw_cipher(call->w, version->number, hf_buf_cursor(&out));
    hf_tw_k_int(call->w, "key_version", version->number);
    if (plain)
        hf_tw_k_bytes(call->w, "plaintext", hf_cursor(data_key, bytes));
    hf_transit_readiness(call, key);
    hf_tw_end(call->w);
    hf_transit_note(call, key, version->number);
    return HF_DONE;
}

HF_HANDLER(hf_transit_datakey)
{
    struct hf_cursor mode = hf_call_param(call, "mode");
    bool plain = hf_cursor_is(mode, "plaintext");
    if (!plain && !hf_cursor_is(mode, "wrapped"))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "Invalid path, must be 'plaintext' or 'wrapped'");
    const struct hf_key *key;
    size_t bytes = 0;
    TRY(hf_transit_key(core, call, "encryption key not found", &key));
    if (!(key->info->uses & HF_USE_SEAL))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "message encryption not supported for key type",
                                  hf_cursor_text(key->info->type));
    TRY(datakey_bits(call, &bytes));
    struct hf_item item;
    struct hf_transit_why why = {0};
    struct hf_opened opened = {0};
    hf_result result = hf_item_read(&call->args, &item, &why);
    if (HF_IS_OK(result))
        result = datakey(core, call, key, &item, bytes, plain, &opened, &why);
    hf_opened_done(&opened);
    return hf_transit_fail(call, result, &why);
}

/* ---- random ---------------------------------------------------------------------------------------- */

static bool is_source(struct hf_cursor text)
{
    return hf_cursor_is(text, "platform") || hf_cursor_is(text, "seal") || hf_cursor_is(text, "all");
}

enum encoding { ENCODE_BASE64, ENCODE_HEX };

static hf_result format_arg(struct hf_call *call, enum encoding fallback, enum encoding *ret)
{
    struct hf_cursor format;
    TRY(hf_arg_text(call, "format", &format));
    if (format.left == 0)
        *ret = fallback;
    else if (hf_cursor_is(format, "hex"))
        *ret = ENCODE_HEX;
    else if (hf_cursor_is(format, "base64"))
        *ret = ENCODE_BASE64;
    else
        return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                                  "unsupported encoding format; must be \"hex\" or \"base64\"", format);
    return HF_DONE;
}

static hf_result write_encoded(struct hf_call *call, const char *name, enum encoding encoding,
                               struct hf_cursor bytes)
{
    hf_tw_k(call->w, name);
    size_t len = encoding == ENCODE_HEX ? HF_HEX_LEN(bytes.left) : HF_BASE64_LEN(bytes.left);
    uint8_t *place = hf_tw_text_reserve(call->w, len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    struct hf_buf out = hf_buf(place, len);
    if (encoding == ENCODE_HEX)
        hf_hex_encode(&out, bytes);
    else
        hf_base64_encode(&out, bytes);
    return hf_buf_ok(&out);
}

HF_HANDLER(hf_transit_random)
{
    (void)core;
    struct hf_cursor source = hf_call_param(call, "source"), count = hf_call_param(call, "bytes");
    int64_t bytes;
    enum encoding encoding = ENCODE_BASE64;
    if (count.left == 0 && source.left != 0 && !is_source(source)) { /* random/32 */
        count = source;
        source = (struct hf_cursor){0};
    }
    if (source.left == 0)
        TRY(hf_arg_text(call, "source", &source));
    if (source.left != 0 && !is_source(source))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                                  "unsupported entropy source; must be \"platform\", \"seal\" or \"all\"",
                                  source);
    TRY(hf_arg_int(call, "bytes", 32, &bytes));
    if (count.left != 0) {
        uint32_t number;
        if (!hf_parse_u32(count, &number))
            return hf_call_fail_about(call, HF_BAD_ARGUMENT, "error parsing url-set byte count", count);
        bytes = number;
    }
    if (bytes < 1)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "\"bytes\" cannot be less than 1");
    if (bytes > RANDOM_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "\"bytes\" should be less than 131072");
    TRY(format_arg(call, ENCODE_BASE64, &encoding));
    uint8_t *drawn = hf_scratch_alloc(call->scratch, (size_t)bytes);
    if (drawn == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(hf_random(drawn, (size_t)bytes));
    hf_tw_map(call->w);
    TRY(write_encoded(call, "random_bytes", encoding, hf_cursor(drawn, (size_t)bytes)));
    hf_tw_end(call->w);
    return HF_DONE;
}

/* ---- hash ------------------------------------------------------------------------------------------ */

HF_HANDLER(hf_transit_hash)
{
    (void)core;
    struct hf_cursor algorithm = hf_call_param(call, "algorithm"), text, input;
    enum hf_hash hash = HF_SHA2_256;
    enum encoding encoding = ENCODE_HEX;
    if (algorithm.left == 0)
        TRY(hf_arg_text(call, "algorithm", &algorithm));
    if (algorithm.left != 0 && !HF_IS_OK(hf_hash_find(algorithm, &hash)))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "unsupported algorithm", algorithm);
    TRY(format_arg(call, ENCODE_HEX, &encoding));
    TRY(hf_arg_text(call, "input", &text));
    struct hf_space space = {0};
    struct hf_transit_why why = {0};
    hf_result decoded = hf_unbase64(call, &space, text, &input, &why);
    if (decoded.code == HF_BAD_ARGUMENT)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "unable to decode input as base64",
                                  hf_cursor_text(why.text));
    TRY(decoded);
    uint8_t digest[HF_HASH_MAX];
    TRY(hf_hash_parts(hash, &input, 1, digest));
    hf_tw_map(call->w);
    TRY(write_encoded(call, "sum", encoding, hf_cursor(digest, hf_hash_len(hash))));
    hf_tw_end(call->w);
    return HF_DONE;
}
