/* Property: what is taken off is what was put on: a frame, and a call or an answer in it, written again give the same
 * bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/frame.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void body_again(const struct hf_frame *frame)
{
    static uint8_t memory[1 << 17];
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_wire_call call;
    struct hf_wire_answer answer;
    if (frame->type == HF_FRAME_CALL && HF_IS_OK(hf_wire_call_read(frame->body, &call)))
        hf_wire_call_write(&out, &call);
    else if (frame->type == HF_FRAME_ANSWER && HF_IS_OK(hf_wire_answer_read(frame->body, &answer)))
        hf_wire_answer_write(&out, &answer);
    else
        return;
    check(!out.overflow && hf_cursor_same(hf_buf_cursor(&out), frame->body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[1 << 17];
    struct hf_cursor in = hf_cursor(data, size);
    if (size > 1 << 16)
        return 0;
    for (;;) {
        struct hf_frame frame;
        struct hf_cursor before = in;
        bool whole;
        size_t need;
        if (!HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need)))
            return 0;
        check(whole || (hf_cursor_same(in, before) && (need == 0 || need > before.left)));
        if (!whole)
            return 0;
        check(need == before.left - in.left && need == HF_FRAME_HEADER + frame.body.left);
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        size_t begun = hf_frame_begin(&out, frame.type, frame.flags, frame.id);
        hf_buf_put_cursor(&out, frame.body);
        hf_frame_end(&out, begun);
        check(!out.overflow && hf_cursor_same(hf_buf_cursor(&out), hf_cursor(before.at, need)));
        body_again(&frame);
    }
}
