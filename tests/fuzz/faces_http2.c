/* An HTTP/2 peer that sends anything, in pieces of any size, to a connection of a real front whose core answers nothing
 * of itself. Property: whatever comes, what is held because of the peer is given back when the connection ends, and
 * every request that reached the core was a well-formed call. The first byte says how the rest is cut. */
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "faces/internal.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static struct hf_front *front;
static int link_pair[2];

static void set_up(void)
{
    struct hf_front_limits limits;
    hf_front_limits_default(&limits);
    limits.connections_max = 4;
    limits.requests_max = 64;
    limits.head_bytes_max = 2048;
    limits.body_bytes_max = 4096;
    limits.held_bytes_max = 1 << 20;
    check(HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)));
    check(HF_IS_OK(hf_front_new(&limits, &hf_clock_system, false, &front)));
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, link_pair) == 0);
    check(HF_IS_OK(hf_front_link(front, link_pair[0])));
}

static void check_calls(void)
{
    struct hf_cursor in = hf_cursor(front->link_out.at, front->link_out.len);
    struct hf_frame frame;
    struct hf_wire_call call;
    struct hf_tree args;
    bool whole;
    size_t need;
    while (in.left > 0) {
        check(HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need)) && whole && frame.type == HF_FRAME_CALL);
        check(HF_IS_OK(hf_wire_call_read(frame.body, &call)) && HF_IS_OK(hf_tree_open(call.args, &args)));
        check(args.tag == HF_TREE_MAP);
    }
    hf_wbuf_clear(&front->link_out, 1 << 20);
}

/* The peer reads what it is sent, so that no write ever waits. */
static void swallow(int fd)
{
    static uint8_t bytes[1 << 16];
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

static void answer_some(uint8_t choice)
{
    for (int32_t i = 0; i < front->exchange_high; i++) {
        if (front->exchanges[i].used && (choice >> (i % 8) & 1) != 0)
            hf_front_answer_reject(front, &front->exchanges[i], HF_REJECT_CORE_SLOW);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    int pair[2];
    if (front == NULL)
        set_up();
    if (size < 2 || size > 1 << 14 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return 0;
    struct hf_conn *conn = &front->conns[0];
    memset(conn, 0, sizeof(*conn));
    conn->fd = pair[0];
    conn->exchange = HF_FRONT_NONE;
    conn->state = HF_CONN_HTTP2;
    front->conn_high = front->conn_count = 1;
    check(HF_IS_OK(hf_http2_new(front, conn, &conn->http2)));
    bool good = hf_http2_input(conn->http2, preface, sizeof(preface)); /* with its last zero */
    size_t step = 1 + data[0] % 128;
    for (size_t at = 1; good && at < size; at += step) {
        good = hf_http2_input(conn->http2, data + at, HF_MIN(step, size - at));
        if (!hf_http2_output(conn->http2))
            break;
        swallow(pair[1]);
        answer_some(data[at]);
        front->now_ns += HF_SECOND / 4;
        good = good && hf_http2_tick(conn->http2);
        front->ready_count = 0;
        conn->is_ready = false;
    }
    check_calls();
    hf_conn_close(front, conn);
    answer_some(0xff); /* nobody waits for these any more */
    check(front->exchange_count == 0 && front->held_bytes == 0);
    front->freed_this_round = front->free_conn = HF_FRONT_NONE;
    front->ready_count = 0;
    close(pair[1]);
    return 0;
}
