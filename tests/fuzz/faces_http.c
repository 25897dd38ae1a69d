/* Property: a request comes out of the parser the same however its bytes were cut, and what becomes of it is a
 * well-formed call within its bound. The first byte says how the rest is cut. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "faces/http1.h"
#include "wire/tree.h"

enum { HEAD_MAX = 4096, BODY_MAX = 8192, ROOM = 1 << 16 };

static void check(bool holds)
{
    if (!holds)
        abort();
}

struct outcome {
    enum hf_http1_state state;
    enum hf_reject reject;
    size_t used;
    bool keep_alive;
    uint8_t buffer[ROOM];
    struct hf_http_request request;
};

static void feed(const uint8_t *data, size_t size, size_t step, struct outcome *ret)
{
    static struct hf_http1 http1;
    size_t have = 0, at = 0;
    hf_http1_init(&http1, HEAD_MAX, BODY_MAX);
    ret->state = HF_HTTP1_MORE;
    ret->reject = HF_REJECT_NONE;
    while (at < size && ret->state != HF_HTTP1_DONE && ret->state != HF_HTTP1_BAD) {
        size_t piece = HF_MIN(step, size - at);
        memcpy(ret->buffer + have, data + at, piece);
        at += piece;
        have += piece;
        size_t before = have;
        ret->state = hf_http1_parse(&http1, ret->buffer, &have);
        check(have <= before);
        if (ret->state == HF_HTTP1_DONE) {
            ret->used = at - (have - hf_http1_used(&http1)); /* in what was fed */
            ret->keep_alive = http1.keep_alive;
            hf_http1_request(&http1, ret->buffer, &ret->request);
            check(ret->request.body.left <= BODY_MAX && ret->request.target.left <= HF_HTTP_TARGET_MAX);
        }
        if (ret->state == HF_HTTP1_BAD) {
            ret->reject = http1.reject;
            check(http1.reject != HF_REJECT_NONE && hf_reject_code(http1.reject) != HF_OK);
        }
    }
}

static void translate(const struct hf_http_request *request)
{
    static uint8_t memory[1 << 18];
    static const struct hf_id_bytes id = {{1}};
    struct hf_http_peer peer = {.port = 1, .cert = hf_cursor("", 0)};
    size_t most = hf_http_call_max(request, &peer), at;
    struct hf_buf out = hf_buf(memory, HF_MIN(most, sizeof(memory)));
    struct hf_wire_call call;
    struct hf_tree args;
    if (hf_http_call_write(request, &peer, &id, &out, &at) != HF_REJECT_NONE) {
        check(!out.overflow && at <= request->body.left);
        return;
    }
    check(HF_IS_OK(hf_wire_call_read(hf_buf_cursor(&out), &call)));
    check(HF_IS_OK(hf_tree_open(call.args, &args)) && args.tag == HF_TREE_MAP);
    check(call.path.left > 0 && call.path.at[0] != '/' && memchr(call.path.at, 0, call.path.left) == NULL);
    check(memmem(call.path.at, call.path.left, "//", 2) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, cut;
    if (size < 2 || size > ROOM)
        return 0;
    feed(data + 1, size - 1, size, &whole);
    if (whole.state == HF_HTTP1_DONE)
        translate(&whole.request);
    feed(data + 1, size - 1, 1 + data[0] % 64, &cut);
    /* Bounds may strike at different points of a message that breaks several; that it is refused is the same. */
    check((whole.state == HF_HTTP1_DONE) == (cut.state == HF_HTTP1_DONE));
    check((whole.state == HF_HTTP1_BAD) == (cut.state == HF_HTTP1_BAD));
    if (whole.state != HF_HTTP1_DONE)
        return 0;
    check(whole.used == cut.used && whole.keep_alive == cut.keep_alive);
    check(hf_cursor_same(whole.request.method, cut.request.method));
    check(hf_cursor_same(whole.request.target, cut.request.target));
    check(hf_cursor_same(whole.request.body, cut.request.body));
    for (unsigned i = 0; i < HF_HTTP_FIELD_COUNT; i++)
        check(hf_cursor_same(whole.request.fields[i], cut.request.fields[i]));
    return 0;
}
