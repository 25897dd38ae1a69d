/* The one way out: where key material and what it opened leave secret memory for an answer. Nothing else under ops/ may open
 * a secret. Every export is a management operation: its leaf is durable before the answer. */
#include "base/encode.h"
#include "ops/handlers.h"
#include "ops/transit.h"
#include "secret/view.h"

enum export_kind { EXPORT_ENCRYPTION, EXPORT_SIGNING, EXPORT_HMAC, EXPORT_PUBLIC, EXPORT_DECAPSULATION };
enum export_format { FORMAT_DEFAULT, FORMAT_RAW, FORMAT_DER, FORMAT_PEM };
enum { DER_MAX = HF_PRIVATE_MAX, PEM_LINE = 64 };

hf_result hf_export_secret(struct hf_call *call, const struct hf_secret *secret)
{
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(hf_secret_view_open(secret, &view));
    uint8_t *place = hf_tw_bytes_reserve(call->w, view.len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    memcpy(place, view.bytes, view.len);
    return HF_DONE;
}

hf_result hf_export_material(struct hf_call *call, struct hf_kskey *key, struct hf_cursor *ret_bytes)
{
    CLEANUP(hf_secret_freep) struct hf_secret *material = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(key->ops->export_plain(key, HF_PRIVATE_NATIVE, &material));
    uint8_t *place = hf_scratch_alloc(call->scratch, hf_secret_len(material));
    if (place == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(hf_secret_view_open(material, &view));
    memcpy(place, view.bytes, view.len);
    *ret_bytes = hf_cursor(place, view.len);
    return HF_DONE;
}

/* ---- texts ----------------------------------------------------------------------------------------- */

static hf_result write_base64(struct hf_call *call, struct hf_cursor bytes)
{
    size_t len = HF_BASE64_LEN(bytes.left);
    uint8_t *place = hf_tw_text_reserve(call->w, len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    struct hf_buf out = hf_buf(place, len);
    hf_base64_encode(&out, bytes);
    return hf_buf_ok(&out);
}

/* RFC 7468. */
static hf_result write_pem(struct hf_call *call, const char *label, struct hf_cursor der)
{
    size_t encoded = HF_BASE64_LEN(der.left);
    size_t cap = encoded + encoded / PEM_LINE + 1 + 2 * (strlen(label) + 18);
    uint8_t *text = hf_scratch_alloc(call->scratch, encoded);
    uint8_t *place = hf_tw_text_reserve(call->w, cap);
    if (place == NULL || text == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf body = hf_buf(text, encoded), out = hf_buf(place, cap);
    hf_base64_encode(&body, der);
    TRY(hf_buf_ok(&body));
    hf_buf_text(&out, "-----BEGIN ");
    hf_buf_text(&out, label);
    hf_buf_text(&out, "-----\n");
    for (size_t at = 0; at < body.len; at += PEM_LINE) {
        hf_buf_put(&out, text + at, HF_MIN((size_t)PEM_LINE, body.len - at));
        hf_buf_u8(&out, '\n');
    }
    hf_buf_text(&out, "-----END ");
    hf_buf_text(&out, label);
    hf_buf_text(&out, "-----\n");
    TRY(hf_buf_ok(&out));
    hf_tw_trim(call->w, cap, out.len);
    return HF_DONE;
}

/* ---- the older forms that clients expect of RSA and EC ---------------------------------------------- */

static bool der_take(struct hf_cursor *in, uint8_t tag, struct hf_cursor *ret_contents)
{
    uint8_t got, first;
    struct hf_cursor probe = *in;
    if (!hf_cursor_u8(&probe, &got) || got != tag || !hf_cursor_u8(&probe, &first))
        return false;
    size_t len = first;
    if (first >= 0x80) {
        size_t count = first & 0x7fu;
        if (count == 0 || count > 2)
            return false;
        for (len = 0; count != 0; count--) {
            uint8_t byte;
            if (!hf_cursor_u8(&probe, &byte))
                return false;
            len = len << 8 | byte;
        }
    }
    if (!hf_cursor_take(&probe, len, ret_contents))
        return false;
    *in = probe;
    return true;
}

/* PKCS#8's inside: the algorithm's parameters and the private key's own encoding. */
static bool pkcs8_parts(struct hf_cursor der, struct hf_cursor *ret_parameters, struct hf_cursor *ret_private)
{
    struct hf_cursor info, version, id, oid;
    if (!der_take(&der, 0x30, &info) || !der_take(&info, 0x02, &version) || !der_take(&info, 0x30, &id) ||
        !der_take(&id, 0x06, &oid) || !der_take(&info, 0x04, ret_private))
        return false;
    *ret_parameters = id;
    return true;
}

static void der_header(struct hf_buf *out, uint8_t tag, size_t len)
{
    hf_buf_u8(out, tag);
    if (len >= 0x80)
        hf_buf_u8(out, len > 0xff ? 0x82 : 0x81);
    if (len > 0xff)
        hf_buf_u8(out, (uint8_t)(len >> 8));
    hf_buf_u8(out, (uint8_t)len);
}

/* RFC 5915 with the curve's name inside, as readers of a bare "EC PRIVATE KEY" need it. */
static hf_result write_sec1(struct hf_call *call, struct hf_cursor parameters, struct hf_cursor private_key)
{
    struct hf_cursor body, version, secret, given, public_key = {0};
    if (!der_take(&private_key, 0x30, &body) || !der_take(&body, 0x02, &version) ||
        !der_take(&body, 0x04, &secret))
        return HF_FAIL(INTERNAL);
    if (body.left != 0 && body.at[0] == 0xa0 && !der_take(&body, 0xa0, &given))
        return HF_FAIL(INTERNAL);
    if (body.left != 0 && body.at[0] == 0xa1 && !der_take(&body, 0xa1, &public_key))
        return HF_FAIL(INTERNAL);
    uint8_t *space = hf_scratch_alloc(call->scratch, DER_MAX);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf inner = hf_buf(space, DER_MAX / 2), whole = hf_buf(space + DER_MAX / 2, DER_MAX / 2);
    hf_buf_put(&inner, "\x02\x01\x01", 3);
    der_header(&inner, 0x04, secret.left);
    hf_buf_put_cursor(&inner, secret);
    der_header(&inner, 0xa0, parameters.left);
    hf_buf_put_cursor(&inner, parameters);
    if (public_key.left != 0) {
        der_header(&inner, 0xa1, public_key.left);
        hf_buf_put_cursor(&inner, public_key);
    }
    der_header(&whole, 0x30, inner.len);
    hf_buf_put_cursor(&whole, hf_buf_cursor(&inner));
    TRY(hf_buf_ok(&inner));
    TRY(hf_buf_ok(&whole));
    return write_pem(call, "EC PRIVATE KEY", hf_buf_cursor(&whole));
}

/* ---- one version ----------------------------------------------------------------------------------- */

static hf_result write_private(struct hf_call *call, struct hf_kskey *key, enum hf_private_form form,
                               bool pem)
{
    CLEANUP(hf_secret_freep) struct hf_secret *material = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    TRY(key->ops->export_plain(key, form, &material));
    TRY(hf_secret_view_open(material, &view));
    return pem ? write_pem(call, "PRIVATE KEY", hf_secret_view_cursor(&view))
               : write_base64(call, hf_secret_view_cursor(&view));
}

static hf_result write_classical(struct hf_call *call, struct hf_kskey *key, bool rsa)
{
    CLEANUP(hf_secret_freep) struct hf_secret *material = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    struct hf_cursor parameters, private_key;
    TRY(key->ops->export_plain(key, HF_PRIVATE_PKCS8, &material));
    TRY(hf_secret_view_open(material, &view));
    if (!pkcs8_parts(hf_secret_view_cursor(&view), &parameters, &private_key))
        return HF_FAIL(INTERNAL);
    return rsa ? write_pem(call, "RSA PRIVATE KEY", private_key) : write_sec1(call, parameters, private_key);
}

/* Ed25519 as clients know it: seed || public key. */
static hf_result write_ed25519(struct hf_call *call, struct hf_kskey *key)
{
    enum { HALF = 32 };
    CLEANUP(hf_secret_freep) struct hf_secret *seed = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};
    uint8_t *both = hf_scratch_alloc(call->scratch, 2 * HALF);
    if (both == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf public_half = hf_buf(both + HALF, HALF);
    TRY(key->ops->export_plain(key, HF_PRIVATE_NATIVE, &seed));
    TRY(key->ops->public_raw(key, &public_half));
    TRY(hf_secret_view_open(seed, &view));
    if (view.len != HALF || public_half.len != HALF)
        return HF_FAIL(INTERNAL);
    memcpy(both, view.bytes, HALF);
    return write_base64(call, hf_cursor(both, 2 * HALF));
}

static hf_result write_material(struct hf_call *call, const struct hf_key *key, struct hf_kskey *loaded,
                                enum export_format format)
{
    enum hf_alg alg = key->alg;
    if (!key->info->asymmetric) {
        if (format == FORMAT_DER || format == FORMAT_PEM)
            return hf_call_fail(call, HF_BAD_ARGUMENT, "symmetric keys are exported in format raw only");
        return write_private(call, loaded, HF_PRIVATE_NATIVE, false);
    }
    switch (format) {
    case FORMAT_RAW:
        return alg == HF_ALG_ED25519 ? write_ed25519(call, loaded)
                                     : write_private(call, loaded, HF_PRIVATE_RAW, false);
    case FORMAT_DER:
        return write_private(call, loaded, HF_PRIVATE_PKCS8, false);
    case FORMAT_PEM:
        return write_private(call, loaded, HF_PRIVATE_PKCS8, true);
    case FORMAT_DEFAULT:
        break;
    }
    if (alg == HF_ALG_ED25519)
        return write_ed25519(call, loaded);
    if (alg == HF_ALG_RSA_2048 || alg == HF_ALG_RSA_3072 || alg == HF_ALG_RSA_4096)
        return write_classical(call, loaded, true);
    if (alg == HF_ALG_ECDSA_P256 || alg == HF_ALG_ECDSA_P384 || alg == HF_ALG_ECDSA_P521)
        return write_classical(call, loaded, false);
    return write_private(call, loaded, HF_PRIVATE_PKCS8, true);
}

static hf_result write_public(struct hf_call *call, const struct hf_key_version *version,
                              struct hf_kskey *loaded, enum export_format format)
{
    if (format == FORMAT_DEFAULT) {
        hf_tw_text(call->w, version->public_text);
        return HF_DONE;
    }
    uint8_t *space = hf_scratch_alloc(call->scratch, (size_t)4 * HF_PUBLIC_MAX);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf raw = hf_buf(space, HF_PUBLIC_MAX);
    if (format == FORMAT_RAW) {
        TRY(loaded->ops->public_raw(loaded, &raw));
        TRY(hf_buf_ok(&raw));
        return write_base64(call, hf_buf_cursor(&raw));
    }
    CLEANUP(hf_pkey_freep) struct hf_pkey *pkey = NULL;
    struct hf_buf pem = hf_buf(space + HF_PUBLIC_MAX, (size_t)3 * HF_PUBLIC_MAX);
    TRY(loaded->ops->public_raw(loaded, &raw));
    TRY(hf_pkey_from_public(loaded->alg, hf_buf_cursor(&raw), &pkey));
    TRY(hf_pkey_public_pem(pkey, &pem));
    TRY(hf_buf_ok(&pem));
    if (format == FORMAT_PEM) {
        hf_tw_text(call->w, hf_buf_cursor(&pem));
        return HF_DONE;
    }
    /* DER: the base64 between PEM's first and last line. */
    uint8_t *text = hf_scratch_alloc(call->scratch, pem.len);
    if (text == NULL)
        return HF_FAIL(NO_MEMORY);
    size_t len = 0;
    bool inside = false, line_start = true;
    for (size_t i = 0; i < pem.len; i++) {
        uint8_t c = pem.at[i];
        if (line_start)
            inside = c != '-';
        line_start = c == '\n';
        if (inside && c != '\n' && c != '\r')
            text[len++] = c;
    }
    hf_tw_text(call->w, hf_cursor(text, len));
    return HF_DONE;
}

static hf_result write_version(struct hf_core *core, struct hf_call *call, const struct hf_key *key,
                               const struct hf_key_version *version, enum export_kind kind,
                               enum export_format format)
{
    struct hf_kskey *loaded;
    uint8_t digits[16];
    struct hf_buf number = hf_buf(digits, sizeof digits);
    hf_buf_decimal(&number, version->number);
    hf_tw_key(call->w, hf_buf_cursor(&number));
    if (kind == EXPORT_HMAC) {
        TRY(hf_key_use_mac(hf_transit_keys(core), key, version, &loaded));
        return write_private(call, loaded, HF_PRIVATE_NATIVE, false);
    }
    TRY(hf_key_use(hf_transit_keys(core), key, version, &loaded));
    if (kind == EXPORT_PUBLIC)
        return write_public(call, version, loaded, format);
    return write_material(call, key, loaded, format);
}

/* ---- the handler ----------------------------------------------------------------------------------- */

static hf_result kind_of(struct hf_call *call, const struct hf_key *key, enum export_kind *ret_kind)
{
    static const struct {
        const char *name;
        enum export_kind kind;
        uint32_t needs;
        const char *refusal;
    } kinds[] = {
        {"encryption-key", EXPORT_ENCRYPTION, HF_USE_SEAL, "encryption not supported for the key"},
        {"signing-key", EXPORT_SIGNING, HF_USE_SIGN, "signing not supported for the key"},
        {"decapsulation-key", EXPORT_DECAPSULATION, HF_USE_KEM | HF_USE_AGREE,
         "encapsulation not supported for the key"},
        {"hmac-key", EXPORT_HMAC, ~0u, ""},
        {"public-key", EXPORT_PUBLIC, ~0u, ""},
    };
    struct hf_cursor name = hf_call_param(call, "kind");
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++) {
        if (!hf_cursor_is(name, kinds[i].name))
            continue;
        if (!(key->info->uses & kinds[i].needs))
            return hf_call_fail(call, HF_BAD_ARGUMENT, kinds[i].refusal);
        if (kinds[i].kind == EXPORT_PUBLIC && (!key->info->asymmetric || (key->flags & HF_KEY_DERIVED)))
            return hf_call_fail_about(call, HF_BAD_ARGUMENT,
                                      "there is no public key to export for keys of type",
                                      hf_cursor_text(key->info->type));
        *ret_kind = kinds[i].kind;
        return HF_DONE;
    }
    return hf_call_fail_about(call, HF_BAD_ARGUMENT, "invalid export type", name);
}

static hf_result format_of(struct hf_call *call, enum export_format *ret)
{
    struct hf_cursor format;
    TRY(hf_arg_text(call, "format", &format));
    if (format.left == 0)
        *ret = FORMAT_DEFAULT;
    else if (hf_cursor_is(format, "raw"))
        *ret = FORMAT_RAW;
    else if (hf_cursor_is(format, "der"))
        *ret = FORMAT_DER;
    else if (hf_cursor_is(format, "pem"))
        *ret = FORMAT_PEM;
    else
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "invalid format (raw, der, pem)", format);
    return HF_DONE;
}

/* ret_one NULL: all versions that the key still gives. */
static hf_result version_of(struct hf_call *call, const struct hf_key *key,
                            const struct hf_key_version **ret_one)
{
    struct hf_cursor text = hf_call_param(call, "version");
    uint32_t number;
    *ret_one = NULL;
    if (text.left == 0)
        return HF_DONE;
    if (text.at[0] == 'v') { /* "v2" is taken as "2" */
        text.at++;
        text.left--;
    }
    if (hf_cursor_is(text, "latest"))
        number = key->latest;
    else if (!hf_parse_u32(text, &number))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid key version");
    if (number < key->min_decryption)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "version for export is below minimum decryption version");
    *ret_one = hf_key_version(key, number);
    if (*ret_one == NULL || (*ret_one)->state == HF_KEY_DESTROYED)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "version does not exist or cannot be found");
    return HF_DONE;
}

HF_HANDLER(hf_transit_export)
{
    const struct hf_key *key;
    const struct hf_key_version *one;
    enum export_kind kind = EXPORT_PUBLIC;
    enum export_format format = FORMAT_DEFAULT;
    TRY(hf_transit_key(core, call, NULL, &key));
    TRY(kind_of(call, key, &kind));
    TRY(format_of(call, &format));
    if (kind != EXPORT_PUBLIC && !(key->flags & HF_KEY_EXPORTABLE))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "private key material is not exportable");
    TRY(version_of(call, key, &one));
    hf_transit_note(call, key, one == NULL ? key->latest : one->number);
    hf_tw_map(call->w);
    hf_tw_k_slice(call->w, "name", hf_cursor(key->name, key->name_len));
    hf_tw_k_text(call->w, "type", key->info->type);
    hf_tw_k(call->w, "keys");
    hf_tw_map(call->w);
    for (uint32_t i = 0; i < key->count; i++) {
        const struct hf_key_version *v = &key->versions[i];
        bool wanted =
            one != NULL ? v == one : v->number >= key->min_decryption && v->state != HF_KEY_DESTROYED;
        bool held = kind == EXPORT_PUBLIC || v->origin != HF_KEY_PUBLIC_ONLY;
        if (wanted && held) {
            hf_result written = write_version(core, call, key, v, kind, format);
            if (written.code == HF_UNSUPPORTED)
                return hf_call_fail(call, HF_BAD_ARGUMENT, "the key's material cannot be had in that format");
            TRY(written);
        }
    }
    hf_tw_end(call->w);
    hf_transit_readiness(call, key);
    hf_tw_end(call->w);
    return HF_DONE;
}
