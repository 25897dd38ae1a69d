#include "faces/http_call.h"

#include "base/encode.h"
#include "wire/json.h"

struct field_row {
    const char *name;
    size_t len;
    bool once;
};
#define AS_ROW(symbol, name, once) [HF_HTTP_##symbol] = {name, sizeof(name) - 1, once},
static const struct field_row field_rows[HF_HTTP_FIELD_COUNT] = {HF_HTTP_FIELDS(AS_ROW)};

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool same_word(struct hf_cursor word, const char *wanted, size_t len)
{
    if (word.left != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (lower(word.at[i]) != (uint8_t)wanted[i])
            return false;
    }
    return true;
}

enum hf_http_field hf_http_field_find(struct hf_cursor name)
{
    for (unsigned i = 0; i < HF_HTTP_FIELD_COUNT; i++) {
        if (name.left == field_rows[i].len && lower(name.at[0]) == (uint8_t)field_rows[i].name[0] &&
            same_word(name, field_rows[i].name, field_rows[i].len))
            return (enum hf_http_field)i;
    }
    return HF_HTTP_FIELD_COUNT;
}

bool hf_http_field_once(enum hf_http_field field)
{
    return field_rows[field].once;
}

/* ---- path and query ---- */

static int hex_digit(uint8_t c)
{
    uint8_t l = lower(c);
    return c >= '0' && c <= '9' ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

static bool text_ok(struct hf_cursor text)
{
    for (size_t i = 0; i < text.left; i++) {
        if (text.at[i] < 0x20 || text.at[i] == 0x7f)
            return false;
    }
    return hf_utf8_valid(text);
}

/* Percent-decodes into `to`, which holds as many bytes as the text has. */
static bool decode(struct hf_cursor text, bool plus_is_space, uint8_t *to, struct hf_cursor *ret)
{
    size_t len = 0;
    for (size_t i = 0; i < text.left; i++) {
        uint8_t c = text.at[i];
        if (c == '%') {
            int high = text.left - i > 2 ? hex_digit(text.at[i + 1]) : -1;
            int low = text.left - i > 2 ? hex_digit(text.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        to[len++] = c;
    }
    *ret = hf_cursor(to, len);
    return text_ok(*ret);
}

/* No segment is empty (but behind a last slash), "." or "..": what the core compares with policies is one name
 * for one thing. */
static bool path_ok(struct hf_cursor path)
{
    size_t start = 0;
    for (size_t i = 0; i <= path.left; i++) {
        if (i < path.left && path.at[i] != '/')
            continue;
        size_t len = i - start;
        if ((len == 0 && i < path.left) || (len == 1 && path.at[start] == '.') ||
            (len == 2 && path.at[start] == '.' && path.at[start + 1] == '.'))
            return false;
        start = i + 1;
    }
    return true;
}

/* Takes "http://host" off the absolute form. */
static struct hf_cursor origin_form(struct hf_cursor target)
{
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < HF_ARRAY_LEN(schemes); i++) {
        size_t len = strlen(schemes[i]);
        if (target.left < len || !same_word(hf_cursor(target.at, len), schemes[i], len))
            continue;
        const uint8_t *slash = memchr(target.at + len, '/', target.left - len);
        size_t cut = slash == NULL ? target.left : (size_t)(slash - target.at);
        return hf_cursor(target.at + cut, target.left - cut);
    }
    return target;
}

struct target {
    uint8_t space[HF_HTTP_TARGET_MAX];
    struct hf_cursor path; /* decoded, below /v1/ */
    struct hf_cursor query;
};

static enum hf_reject split_target(struct hf_cursor sent, struct target *ret)
{
    static const char prefix[] = "/v1/";
    if (sent.left > HF_HTTP_TARGET_MAX)
        return HF_REJECT_TARGET_SIZE;
    struct hf_cursor path = origin_form(sent);
    ret->query = hf_cursor("", 0);
    if (path.left == 0 || path.at[0] != '/' || memchr(path.at, '#', path.left) != NULL)
        return HF_REJECT_TARGET;
    const uint8_t *mark = memchr(path.at, '?', path.left);
    if (mark != NULL) {
        size_t len = (size_t)(mark - path.at);
        ret->query = hf_cursor(mark + 1, path.left - len - 1);
        path.left = len;
    }
    if (!decode(path, false, ret->space, &ret->path))
        return HF_REJECT_TARGET;
    if (ret->path.left <= sizeof(prefix) - 1 ||
        memcmp(ret->path.at, prefix, sizeof(prefix) - 1) != 0) /* public: path */
        return path_ok(hf_cursor(ret->path.at + 1, ret->path.left - 1)) ? HF_REJECT_ROUTE : HF_REJECT_TARGET;
    ret->path.at += sizeof(prefix) - 1;
    ret->path.left -= sizeof(prefix) - 1;
    return path_ok(ret->path) ? HF_REJECT_NONE : HF_REJECT_TARGET;
}

/* Takes the next parameter; false at the end. Decodes into space. */
static bool next_parameter(struct hf_cursor *rest, uint8_t *space, struct hf_cursor *ret_key,
                           struct hf_cursor *ret_value, bool *ret_bad)
{
    struct hf_cursor part = {rest->at, 0};
    *ret_bad = false;
    while (part.left == 0) { /* "a=1&&b=2" is harmless */
        if (rest->left == 0)
            return false;
        const uint8_t *end = memchr(rest->at, '&', rest->left);
        part = hf_cursor(rest->at, end == NULL ? rest->left : (size_t)(end - rest->at));
        size_t taken = part.left + (end == NULL ? 0 : 1);
        rest->at += taken;
        rest->left -= taken;
    }
    const uint8_t *equals = memchr(part.at, '=', part.left);
    struct hf_cursor key = part, value = {part.at, 0};
    if (equals != NULL) {
        key.left = (size_t)(equals - part.at);
        value = hf_cursor(equals + 1, part.left - key.left - 1);
    }
    *ret_bad = !decode(key, true, space, ret_key) || !decode(value, true, space + key.left, ret_value) ||
               ret_key->left == 0 || ret_key->left > HF_TREE_KEY_MAX;
    return true;
}

static bool truthy(struct hf_cursor value)
{
    static const char *const yes[] = {"true", "1", "t", "T", "TRUE", "True"};
    for (size_t i = 0; i < HF_ARRAY_LEN(yes); i++) {
        if (hf_cursor_is(value, yes[i]))
            return true;
    }
    return false;
}

/* Writes the query's parameters into the open map. GET with a true `list` becomes LIST and takes it away. */
static enum hf_reject write_query(struct hf_cursor query, struct hf_tree_writer *w, enum hf_method *method)
{
    uint8_t space[HF_HTTP_TARGET_MAX];
    struct hf_cursor rest = query, key, value;
    bool bad, listed = false;
    unsigned count = 0;
    size_t first = w->out->len;
    while (next_parameter(&rest, space, &key, &value, &bad)) {
        if (bad || ++count > HF_HTTP_QUERY_MAX)
            return HF_REJECT_QUERY;
        bool list = hf_cursor_is(key, "list");
        if (list && listed)
            return HF_REJECT_QUERY_TWICE;
        listed = listed || list;
        if (*method == HF_METHOD_READ && list && truthy(value)) {
            *method = HF_METHOD_LIST;
            continue;
        }
        hf_tw_key(w, key);
        hf_tw_text(w, value);
    }
    if (w->out->overflow)
        return HF_REJECT_JSON_SIZE;
    bool unique =
        hf_tree_keys_unique(hf_cursor(w->out->at + first, w->out->len - first), w->open[w->depth - 1].count);
    return unique ? HF_REJECT_NONE : HF_REJECT_QUERY_TWICE;
}

/* ---- method and fields ---- */

static bool find_method(struct hf_cursor name, enum hf_method *ret)
{
    static const struct {
        const char *name;
        enum hf_method method;
    } rows[] = {{"POST", HF_METHOD_WRITE},    {"GET", HF_METHOD_READ},  {"PUT", HF_METHOD_WRITE},
                {"DELETE", HF_METHOD_DELETE}, {"LIST", HF_METHOD_LIST}, {"HEAD", HF_METHOD_HEAD},
                {"PATCH", HF_METHOD_PATCH}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (hf_cursor_is(name, rows[i].name)) {
            *ret = rows[i].method;
            return true;
        }
    }
    return false;
}

/* X-Vault-Token, else the token of "Authorization: Bearer". */
static enum hf_reject find_token(const struct hf_http_request *request, struct hf_cursor *ret)
{
    static const char bearer[] = "bearer ";
    enum { BEARER = sizeof(bearer) - 1 };
    struct hf_cursor given = request->fields[HF_HTTP_AUTHORIZATION];
    struct hf_cursor token = request->fields[HF_HTTP_TOKEN];
    if (token.left == 0 && given.left > BEARER && same_word(hf_cursor(given.at, BEARER), bearer, BEARER)) {
        token = hf_cursor(given.at + BEARER, given.left - BEARER);
        while (token.left > 0 && token.at[0] == ' ') {
            token.at++;
            token.left--;
        }
    }
    if (token.left > HF_HTTP_TOKEN_MAX)
        return HF_REJECT_FIELD_VALUE;
    for (size_t i = 0; i < token.left; i++) {
        if (token.at[i] <= 0x20 || token.at[i] > 0x7e)
            return HF_REJECT_FIELD_VALUE;
    }
    *ret = token;
    return HF_REJECT_NONE;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static enum hf_reject write_body(struct hf_cursor body, struct hf_tree_writer *w, size_t *ret_at)
{
    size_t i = 0, end = body.left;
    while (i < end && is_space(body.at[i]))
        i++;
    while (end > i && is_space(body.at[end - 1]))
        end--;
    if (i == end || hf_cursor_is(hf_cursor(body.at + i, end - i), "null"))
        return HF_REJECT_NONE; /* clients in Go send null for nothing */
    hf_result result = hf_json_members(body, w, ret_at);
    switch (result.code) {
    case HF_OK:
        return HF_REJECT_NONE;
    case HF_BAD_ARGUMENT:
        return HF_REJECT_JSON_OBJECT;
    case HF_TOO_LARGE:
        return HF_REJECT_JSON_SIZE;
    default:
        return HF_REJECT_JSON;
    }
}

size_t hf_http_call_max(const struct hf_http_request *request, const struct hf_http_peer *peer)
{
    /* The least JSON for the most tree: "1," takes 2 bytes and becomes 9. So does "a&" of a query. */
    enum { FIXED = 512, GROWTH = 5 };
    size_t total = FIXED + peer->cert.left + GROWTH * request->target.left;
    for (unsigned i = 0; i < HF_HTTP_FIELD_COUNT; i++)
        total += request->fields[i].left;
    size_t body = request->body.left > HF_FRAME_MAX / GROWTH ? HF_FRAME_MAX : GROWTH * request->body.left;
    return HF_MIN(total + body, (size_t)HF_FRAME_MAX);
}

enum hf_reject hf_http_call_write(const struct hf_http_request *request, const struct hf_http_peer *peer,
                                  const struct hf_id_bytes *request_id, struct hf_buf *out, size_t *ret_at)
{
    static const uint8_t passed_on[] = {HF_HTTP_NAMESPACE, HF_HTTP_WRAP_TTL, HF_HTTP_INDEX, HF_HTTP_ASSET,
                                        HF_HTTP_TRACEPARENT};
    struct target target;
    struct hf_wire_call call = {.tls_group = peer->tls_group,
                                .request_id = *request_id,
                                .peer_port = peer->port,
                                .ns = request->fields[HF_HTTP_NAMESPACE],
                                .cert = peer->cert,
                                .wrap_ttl = request->fields[HF_HTTP_WRAP_TTL],
                                .index = request->fields[HF_HTTP_INDEX],
                                .asset = request->fields[HF_HTTP_ASSET],
                                .traceparent = request->fields[HF_HTTP_TRACEPARENT]};
    memcpy(call.peer_ip, peer->ip, sizeof(call.peer_ip));
    *ret_at = 0;
    if (!find_method(request->method, &call.method))
        return HF_REJECT_METHOD;
    enum hf_reject reject = split_target(request->target, &target);
    if (reject == HF_REJECT_NONE)
        reject = find_token(request, &call.token);
    if (reject != HF_REJECT_NONE)
        return reject;
    for (size_t i = 0; i < sizeof(passed_on); i++) {
        if (!text_ok(request->fields[passed_on[i]]))
            return HF_REJECT_FIELD_VALUE;
    }
    call.path = target.path;
    size_t begun = out->len;
    hf_wire_call_write(out, &call);
    struct hf_tree_writer w = hf_tree_writer(out);
    hf_tw_map(&w);
    reject = target.query.left == 0 ? HF_REJECT_NONE : write_query(target.query, &w, &call.method);
    if (reject == HF_REJECT_NONE)
        reject = write_body(request->body, &w, ret_at);
    if (reject != HF_REJECT_NONE)
        return reject; /* the map stays open, perhaps behind a key: what was written is of no use */
    hf_tw_end(&w);
    if (out->overflow)
        return HF_REJECT_JSON_SIZE;
    out->at[begun] = (uint8_t)call.method; /* the query may have made it LIST */
    return HF_REJECT_NONE;
}
