/* A store role that gives no answer: how long its callers wait, and what they are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"
#include "wire/frame.h"

enum { LINKS = 2 }; /* too few for lazy lanes: both carry calls */

static int theirs[LINKS];

static struct hf_store *open_store(void)
{
    int ours[LINKS];
    struct hf_store *store;
    for (unsigned i = 0; i < LINKS; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
    assert_int_equal(hf_store_remote_open(ours, LINKS, &store).code, HF_OK);
    return store;
}

static enum hf_code get(struct hf_store *store, int64_t *ret_ms)
{
    uint8_t memory[256];
    struct hf_buf space = hf_buf(memory, sizeof(memory));
    struct hf_row row;
    int64_t began = hf_boot_ns(&hf_clock_system);
    enum hf_code code = store->ops->get(store, 1, (struct hf_id){{1}}, &space, &row).code;
    *ret_ms = (hf_boot_ns(&hf_clock_system) - began) / HF_MILLISECOND;
    return code;
}

static enum hf_code commit(struct hf_store *store, int64_t *ret_ms)
{
    struct hf_store_op op = {.kind = HF_STORE_AUDIT_APPEND, .amount = 1, .blob = hf_cursor("x", 1)};
    struct hf_store_outcome outcome;
    int64_t began = hf_boot_ns(&hf_clock_system);
    enum hf_code code = store->ops->commit(store, &op, 1, HF_DURABLE, &outcome).code;
    *ret_ms = (hf_boot_ns(&hf_clock_system) - began) / HF_MILLISECOND;
    return code;
}

/* Answers all that lies there with NOT_FOUND. */
static void answer_all(void)
{
    for (unsigned i = 0; i < LINKS; i++) {
        static uint8_t bytes[65536];
        ssize_t n = recv(theirs[i], bytes, sizeof(bytes), MSG_DONTWAIT);
        struct hf_cursor in = hf_cursor(bytes, n > 0 ? (size_t)n : 0);
        struct hf_frame frame;
        bool whole = true;
        size_t need;
        while (in.left != 0 && hf_frame_next(&in, &frame, &whole, &need).code == HF_OK && whole) {
            uint8_t memory[64];
            struct hf_buf out = hf_buf(memory, sizeof(memory));
            size_t begun = hf_frame_begin(&out, HF_FRAME_STORED, 0, frame.id);
            hf_buf_u8(&out, HF_NOT_FOUND);
            hf_frame_end(&out, begun);
            assert_int_equal(send(theirs[i], out.at, out.len, 0), (ssize_t)out.len);
        }
    }
}

static void a_request_waits_in_full_but_once(void **unused)
{
    (void)unused;
    struct hf_store *store = open_store();
    int64_t ms;
    assert_int_equal(get(store, &ms), HF_STORE_DOWN); /* 503; what took long was not the client */
    assert_in_range(ms, 4000, 6000);
    assert_int_equal(get(store, &ms), HF_STORE_DOWN);
    assert_in_range(ms, 0, 1500);
    assert_int_equal(commit(store, &ms), HF_COMMIT_UNKNOWN);
    assert_in_range(ms, 0, 1500);

    /* Late answers are for those who wait no more: the next call takes its own, and waits in full for it. */
    answer_all();
    assert_int_equal(get(store, &ms), HF_STORE_DOWN);
    assert_in_range(ms, 4000, 6000);

    /* The role was killed and started again: links that are closed, then fresh ones. */
    for (unsigned i = 0; i < LINKS; i++)
        close(theirs[i]);
    assert_int_equal(get(store, &ms), HF_STORE_DOWN);
    assert_int_equal(get(store, &ms), HF_STORE_DOWN);
    assert_in_range(ms, 0, 1000);
    int ours[LINKS];
    for (unsigned i = 0; i < LINKS; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
    assert_int_equal(hf_store_remote_relink(store, ours, LINKS).code, HF_OK);
    assert_int_equal(get(store, &ms), HF_STORE_DOWN);
    assert_in_range(ms, 4000, 6000);
    store->ops->close(store);
    for (unsigned i = 0; i < LINKS; i++)
        close(theirs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_request_waits_in_full_but_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
