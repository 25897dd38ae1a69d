/* Frames: whole ones come out in order however the bytes arrive; bad ones close the link. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/frame.h"

static uint8_t memory[4096];

static struct hf_buf two_frames(void)
{
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    size_t begun = hf_frame_begin(&out, HF_FRAME_CALL, 0x1234, 0x0102030405060708);
    hf_buf_text(&out, "body");
    hf_frame_end(&out, begun);
    begun = hf_frame_begin(&out, HF_FRAME_PING, 0, 2);
    hf_frame_end(&out, begun);
    return out;
}

static void frames_come_out_of_any_piece(void **state)
{
    (void)state;
    struct hf_buf out = two_frames();
    assert_int_equal(out.len, 2 * HF_FRAME_HEADER + 4);
    for (size_t len = 0; len <= out.len; len++) {
        struct hf_cursor in = hf_cursor(out.at, len);
        struct hf_frame frame;
        bool whole;
        size_t need;
        assert_int_equal(hf_frame_next(&in, &frame, &whole, &need).code, HF_OK);
        assert_int_equal(whole, len >= HF_FRAME_HEADER + 4);
        assert_int_equal(need, len < 4 ? 0 : HF_FRAME_HEADER + 4);
        if (!whole) {
            assert_int_equal(in.left, len);
            continue;
        }
        assert_int_equal(frame.type, HF_FRAME_CALL);
        assert_int_equal(frame.flags, 0x1234);
        assert_true(frame.id == 0x0102030405060708);
        assert_true(hf_cursor_is(frame.body, "body"));
        assert_int_equal(hf_frame_next(&in, &frame, &whole, &need).code, HF_OK);
        assert_int_equal(whole, len == out.len);
    }
}

static void bad_frames_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
    } bad[] = {{4, 2}, {4, 0}, {5, 0}, {5, HF_FRAME_TYPE_COUNT}, {3, 11}, {0, 0x7f}};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        struct hf_buf out = two_frames();
        struct hf_frame frame;
        bool whole;
        size_t need;
        memory[bad[i].at] = bad[i].byte;
        struct hf_cursor in = hf_buf_cursor(&out);
        assert_int_equal(hf_frame_next(&in, &frame, &whole, &need).code, HF_BAD_REQUEST);
    }
}

static void a_call_reads_back(void **state)
{
    (void)state;
    struct hf_wire_call call = {.method = HF_METHOD_LIST,
                                .tls_group = 2,
                                .request_id = {{1, 2, 3}},
                                .peer_ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
                                .peer_port = 4711,
                                .path = hf_cursor_text("transit/keys"),
                                .ns = hf_cursor_text("team"),
                                .token = hf_cursor_text("t"),
                                .cert = hf_cursor("\x30\x00", 2),
                                .wrap_ttl = hf_cursor_text("60"),
                                .index = hf_cursor_text("7"),
                                .asset = hf_cursor_text("a"),
                                .traceparent = hf_cursor_text("00-"),
                                .args = hf_cursor("\x08\0\0\0\0\0\0\0\0", 9)};
    struct hf_wire_call got;
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    hf_wire_call_write(&out, &call);
    assert_int_equal(hf_buf_ok(&out).code, HF_OK);
    assert_int_equal(hf_wire_call_read(hf_buf_cursor(&out), &got).code, HF_OK);
    assert_int_equal(got.method, HF_METHOD_LIST);
    assert_int_equal(got.tls_group, 2);
    assert_int_equal(got.peer_port, 4711);
    assert_memory_equal(got.request_id.bytes, call.request_id.bytes, 16);
    assert_memory_equal(got.peer_ip, call.peer_ip, 16);
    assert_true(hf_cursor_same(got.path, call.path) && hf_cursor_same(got.ns, call.ns));
    assert_true(hf_cursor_same(got.token, call.token) && hf_cursor_same(got.cert, call.cert));
    assert_true(hf_cursor_same(got.wrap_ttl, call.wrap_ttl) && hf_cursor_same(got.index, call.index));
    assert_true(hf_cursor_same(got.asset, call.asset) && hf_cursor_same(got.traceparent, call.traceparent));
    assert_true(hf_cursor_same(got.args, call.args));
    for (size_t len = 0; len < out.len - call.args.left; len++)
        assert_int_equal(hf_wire_call_read(hf_cursor(out.at, len), &got).code, HF_BAD_REQUEST);
    memory[0] = 9;
    assert_int_equal(hf_wire_call_read(hf_buf_cursor(&out), &got).code, HF_BAD_REQUEST);
}

static void an_answer_reads_back(void **state)
{
    (void)state;
    struct hf_wire_answer answer = {.http = 503,
                                    .shape = HF_ANSWER_ERRORS,
                                    .flags = HF_ANSWER_DEV,
                                    .retry_after_s = 5,
                                    .content_type = hf_cursor_text("text/plain"),
                                    .warnings = hf_cursor("\x07\0\0\0\0\0\0\0\0", 9),
                                    .index = hf_cursor_text("i"),
                                    .tree = hf_cursor("\x00", 1)};
    struct hf_wire_answer got;
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    hf_wire_answer_write(&out, &answer);
    assert_int_equal(hf_wire_answer_read(hf_buf_cursor(&out), &got).code, HF_OK);
    assert_int_equal(got.http, 503);
    assert_int_equal(got.shape, HF_ANSWER_ERRORS);
    assert_int_equal(got.flags, HF_ANSWER_DEV);
    assert_int_equal(got.retry_after_s, 5);
    assert_true(hf_cursor_same(got.content_type, answer.content_type));
    assert_true(hf_cursor_same(got.warnings, answer.warnings) && hf_cursor_same(got.index, answer.index));
    assert_true(hf_cursor_same(got.tree, answer.tree));
    for (size_t len = 0; len < out.len - 1; len++)
        assert_int_equal(hf_wire_answer_read(hf_cursor(out.at, len), &got).code, HF_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_out_of_any_piece),
        cmocka_unit_test(bad_frames_are_refused),
        cmocka_unit_test(a_call_reads_back),
        cmocka_unit_test(an_answer_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
