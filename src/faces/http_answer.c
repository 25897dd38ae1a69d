#include "faces/http_answer.h"

#include "wire/json.h"

static const char json_type[] = "application/json";

static void text(struct hf_buf *out, const char *literal, size_t len)
{
    hf_buf_put(out, literal, len);
}
#define TEXT(out, literal) text((out), "" literal, sizeof(literal) - 1)

static hf_result open_or_null(struct hf_cursor bytes, struct hf_tree *ret)
{
    *ret = (struct hf_tree){.tag = HF_TREE_NULL};
    return bytes.left == 0 ? HF_DONE : hf_tree_open(bytes, ret);
}

hf_result hf_http_answer_open(struct hf_cursor frame_body, struct hf_http_answer *ret_answer)
{
    TRY(hf_wire_answer_read(frame_body, &ret_answer->wire));
    TRY(open_or_null(ret_answer->wire.tree, &ret_answer->tree));
    return open_or_null(ret_answer->wire.warnings, &ret_answer->warnings);
}

size_t hf_http_answer_max(const struct hf_http_answer *answer)
{
    enum { ENVELOPE = 256 };
    size_t body = hf_tree_json_max(&answer->tree);
    return ENVELOPE + hf_tree_json_max(&answer->warnings) +
           body * (answer->wire.shape == HF_ANSWER_BOTH ? 2 : 1);
}

static void put_id(struct hf_buf *out, struct hf_id id)
{
    uint8_t *place = hf_buf_reserve(out, HF_ID_TEXT_LEN);
    if (place != NULL)
        hf_id_text(id, (char *)place);
}

static bool in_envelope(struct hf_cursor key)
{
    static const char *const names[] = {"request_id", "lease_id",  "renewable", "lease_duration",
                                        "data",       "wrap_info", "warnings",  "auth"};
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
        if (hf_cursor_is(key, names[i]))
            return true;
    }
    return false;
}

/* As Vault answers most of sys/: the members of "data" beside it once more. */
static void put_members(struct hf_buf *out, const struct hf_tree *data)
{
    struct hf_tree_iter iter = hf_tree_iterate(data);
    struct hf_cursor key;
    struct hf_tree item;
    while (iter.map && hf_tree_next(&iter, &key, &item)) {
        if (in_envelope(key))
            continue;
        TEXT(out, ",");
        hf_json_string(out, key);
        TEXT(out, ":");
        hf_tree_to_json(&item, out);
    }
}

static void put_envelope(const struct hf_http_answer *answer, struct hf_id id, struct hf_buf *out)
{
    const struct hf_tree *tree = &answer->tree;
    bool auth = answer->wire.shape == HF_ANSWER_AUTH;
    TEXT(out, "{\"request_id\":\"");
    put_id(out, id);
    TEXT(out, "\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":");
    if (auth)
        TEXT(out, "null");
    else
        hf_tree_to_json(tree, out);
    TEXT(out, ",\"wrap_info\":null,\"warnings\":");
    hf_tree_to_json(&answer->warnings, out);
    TEXT(out, ",\"auth\":");
    if (auth)
        hf_tree_to_json(tree, out);
    else
        TEXT(out, "null");
    if (answer->wire.shape == HF_ANSWER_BOTH)
        put_members(out, tree);
    TEXT(out, "}\n");
}

static const char *default_type(enum hf_answer_shape shape)
{
    return shape == HF_ANSWER_TEXT  ? "text/plain; charset=utf-8"
           : shape == HF_ANSWER_RAW ? "application/octet-stream"
                                    : json_type;
}

/* What may stand in a header field as it is; anything else is left out. */
static struct hf_cursor printable(struct hf_cursor value)
{
    enum { VALUE_MAX = 256 };
    for (size_t i = 0; i < value.left; i++) {
        if (i == VALUE_MAX || value.at[i] < 0x20 || value.at[i] > 0x7e)
            return hf_cursor("", 0);
    }
    return value;
}

hf_result hf_http_answer_body(const struct hf_http_answer *opened, struct hf_buf *out,
                              struct hf_http_head *head)
{
    const struct hf_wire_answer *answer = &opened->wire;
    const struct hf_tree *tree = &opened->tree;
    head->status = answer->http;
    head->retry_after_s = answer->retry_after_s;
    head->dev = (answer->flags & HF_ANSWER_DEV) != 0;
    head->index = printable(answer->index);
    head->content_type = printable(answer->content_type);
    if (head->content_type.left == 0)
        head->content_type = hf_cursor_text(default_type(answer->shape));
    switch (answer->shape) {
    case HF_ANSWER_DATA:
    case HF_ANSWER_AUTH:
    case HF_ANSWER_BOTH:
        put_envelope(opened, head->request_id, out);
        break;
    case HF_ANSWER_TOP:
        hf_tree_to_json(tree, out);
        TEXT(out, "\n");
        break;
    case HF_ANSWER_ERRORS:
        TEXT(out, "{\"errors\":");
        if (tree->tag == HF_TREE_ARRAY)
            hf_tree_to_json(tree, out);
        else
            TEXT(out, "[]");
        TEXT(out, "}\n");
        break;
    case HF_ANSWER_TEXT:
    case HF_ANSWER_RAW:
        if (tree->tag != HF_TREE_TEXT && tree->tag != HF_TREE_BYTES)
            return HF_FAIL(BAD_REQUEST);
        hf_buf_put_cursor(out, tree->body);
        break;
    case HF_ANSWER_NONE:
    default:
        head->content_type = hf_cursor("", 0);
        break;
    }
    return hf_buf_ok(out);
}

void hf_http_reject_body(enum hf_reject reject, size_t at, struct hf_buf *out, struct hf_http_head *head)
{
    enum hf_code code = hf_reject_code(reject);
    head->status = (uint16_t)hf_code_http(code);
    head->content_type = hf_cursor_text(json_type);
    head->retry_after_s = hf_code_retry(code) && head->status == 503 ? 1 : 0;
    TEXT(out, "{\"errors\":[\"");
    hf_buf_text(out, hf_reject_text(reject));
    if (reject == HF_REJECT_JSON) {
        TEXT(out, " (at byte ");
        hf_buf_decimal(out, at);
        TEXT(out, ")");
    }
    TEXT(out, "\"]}\n");
}

const char *hf_http_reason(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *reason;
    } rows[] = {{200, "OK"},
                {204, "No Content"},
                {400, "Bad Request"},
                {403, "Forbidden"},
                {404, "Not Found"},
                {405, "Method Not Allowed"},
                {408, "Request Timeout"},
                {409, "Conflict"},
                {412, "Precondition Failed"},
                {413, "Content Too Large"},
                {415, "Unsupported Media Type"},
                {429, "Too Many Requests"},
                {431, "Request Header Fields Too Large"},
                {500, "Internal Server Error"},
                {501, "Not Implemented"},
                {503, "Service Unavailable"},
                {507, "Insufficient Storage"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (rows[i].status == status)
            return rows[i].reason;
    }
    return "";
}

void hf_http_head_write(const struct hf_http_head *head, size_t body_len, struct hf_buf *out)
{
    if (head->status == 200) {
        TEXT(out, "HTTP/1.1 200 OK\r\n");
    } else {
        TEXT(out, "HTTP/1.1 ");
        hf_buf_decimal(out, head->status);
        TEXT(out, " ");
        hf_buf_text(out, hf_http_reason(head->status));
        TEXT(out, "\r\n");
    }
    if (head->content_type.left != 0) {
        TEXT(out, "Content-Type: ");
        hf_buf_put_cursor(out, head->content_type);
        TEXT(out, "\r\n");
    }
    TEXT(out, "Cache-Control: no-store\r\nX-Holdfast-Request-Id: ");
    put_id(out, head->request_id);
    if (head->dev)
        TEXT(out, "\r\nX-Holdfast-Level: dev");
    if (head->index.left != 0) {
        TEXT(out, "\r\nX-Vault-Index: ");
        hf_buf_put_cursor(out, head->index);
    }
    if (head->retry_after_s != 0) {
        TEXT(out, "\r\nRetry-After: ");
        hf_buf_decimal(out, head->retry_after_s);
    }
    if (head->close)
        TEXT(out, "\r\nConnection: close");
    if (head->status != 204) {
        TEXT(out, "\r\nContent-Length: ");
        hf_buf_decimal(out, body_len);
    }
    TEXT(out, "\r\n\r\n");
}
