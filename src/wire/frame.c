#include "wire/frame.h"

enum { LENGTH_BYTES = 4, LENGTH_LEAST = HF_FRAME_HEADER - LENGTH_BYTES };

hf_result hf_frame_next(struct hf_cursor *in, struct hf_frame *ret_frame, bool *ret_whole, size_t *ret_need)
{
    struct hf_cursor at = *in;
    struct hf_frame frame = {.flags = 0};
    uint32_t length;
    uint8_t version, type;
    *ret_whole = false;
    *ret_need = 0;
    if (!hf_cursor_u32(&at, &length))
        return HF_DONE;
    if (length < LENGTH_LEAST || length > HF_FRAME_MAX)
        return HF_FAIL(BAD_REQUEST);
    *ret_need = LENGTH_BYTES + (size_t)length;
    if (!hf_cursor_u8(&at, &version) || !hf_cursor_u8(&at, &type))
        return HF_DONE;
    if (version != HF_FRAME_VERSION || type < HF_FRAME_CALL || type >= HF_FRAME_TYPE_COUNT)
        return HF_FAIL(BAD_REQUEST);
    frame.type = (enum hf_frame_type)type;
    if (!hf_cursor_u16(&at, &frame.flags) || !hf_cursor_u64(&at, &frame.id) ||
        !hf_cursor_take(&at, length - LENGTH_LEAST, &frame.body))
        return HF_DONE;
    *ret_frame = frame;
    *ret_whole = true;
    *in = at;
    return HF_DONE;
}

size_t hf_frame_begin(struct hf_buf *out, enum hf_frame_type type, uint16_t flags, uint64_t id)
{
    size_t begun = out->len;
    uint8_t *place = hf_buf_reserve(out, HF_FRAME_HEADER);
    if (place != NULL) {
        hf_store_u32(place, 0);
        place[4] = HF_FRAME_VERSION;
        place[5] = (uint8_t)type;
        hf_store_u16(place + 6, flags);
        hf_store_u64(place + 8, id);
    }
    return begun;
}

void hf_frame_end(struct hf_buf *out, size_t begun)
{
    if (out->overflow)
        return;
    size_t length = out->len - begun - LENGTH_BYTES;
    if (length > HF_FRAME_MAX) {
        out->overflow = true;
        return;
    }
    hf_store_u32(out->at + begun, (uint32_t)length);
}

/* CALL: method u8 | tls group u8 | request id 16 | peer address 16 | peer port u16 | path, ns, token, cert, wrap
 * ttl, index, asset, traceparent: u16 length and bytes each | the rest: args */
void hf_wire_call_write(struct hf_buf *out, const struct hf_wire_call *call)
{
    const struct hf_cursor *const texts[] = {&call->path,     &call->ns,    &call->token, &call->cert,
                                             &call->wrap_ttl, &call->index, &call->asset, &call->traceparent};
    hf_buf_u8(out, (uint8_t)call->method);
    hf_buf_u8(out, call->tls_group);
    hf_buf_put(out, call->request_id.bytes, sizeof(call->request_id.bytes));
    hf_buf_put(out, call->peer_ip, sizeof(call->peer_ip));
    hf_buf_u16(out, call->peer_port);
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        hf_buf_vec16(out, *texts[i]);
    hf_buf_put_cursor(out, call->args);
}

hf_result hf_wire_call_read(struct hf_cursor body, struct hf_wire_call *ret_call)
{
    enum { TLS_GROUP_MAX = 2 };
    struct hf_wire_call call = {.peer_port = 0};
    struct hf_cursor *const texts[] = {&call.path,     &call.ns,    &call.token, &call.cert,
                                       &call.wrap_ttl, &call.index, &call.asset, &call.traceparent};
    uint8_t method;
    if (!hf_cursor_u8(&body, &method) || method < HF_METHOD_READ || method > HF_METHOD_PATCH ||
        !hf_cursor_u8(&body, &call.tls_group) || call.tls_group > TLS_GROUP_MAX ||
        !hf_cursor_copy(&body, call.request_id.bytes, sizeof(call.request_id.bytes)) ||
        !hf_cursor_copy(&body, call.peer_ip, sizeof(call.peer_ip)) || !hf_cursor_u16(&body, &call.peer_port))
        return HF_FAIL(BAD_REQUEST);
    call.method = (enum hf_method)method;
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
        if (!hf_cursor_vec16(&body, texts[i]))
            return HF_FAIL(BAD_REQUEST);
    }
    call.args = body;
    *ret_call = call;
    return HF_DONE;
}

/* ANSWER: status u16 | shape u8 | flags u8 | retry after u16 | content type, index: u16 length and bytes |
 * warnings: u32 length and bytes | the rest: tree */
void hf_wire_answer_write(struct hf_buf *out, const struct hf_wire_answer *answer)
{
    hf_buf_u16(out, answer->http);
    hf_buf_u8(out, (uint8_t)answer->shape);
    hf_buf_u8(out, answer->flags);
    hf_buf_u16(out, answer->retry_after_s);
    hf_buf_vec16(out, answer->content_type);
    hf_buf_vec16(out, answer->index);
    hf_buf_vec32(out, answer->warnings);
    hf_buf_put_cursor(out, answer->tree);
}

hf_result hf_wire_answer_read(struct hf_cursor body, struct hf_wire_answer *ret_answer)
{
    enum { HTTP_LEAST = 200, HTTP_MOST = 599 };
    struct hf_wire_answer answer = {.flags = 0};
    uint8_t shape;
    if (!hf_cursor_u16(&body, &answer.http) || answer.http < HTTP_LEAST || answer.http > HTTP_MOST ||
        !hf_cursor_u8(&body, &shape) || shape > HF_ANSWER_RAW || !hf_cursor_u8(&body, &answer.flags) ||
        !hf_cursor_u16(&body, &answer.retry_after_s) || !hf_cursor_vec16(&body, &answer.content_type) ||
        !hf_cursor_vec16(&body, &answer.index) || !hf_cursor_vec32(&body, &answer.warnings))
        return HF_FAIL(BAD_REQUEST);
    answer.shape = (enum hf_answer_shape)shape;
    answer.tree = body;
    *ret_answer = answer;
    return HF_DONE;
}
