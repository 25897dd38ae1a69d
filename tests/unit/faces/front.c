/* The front as a process of its own, with a core that this test plays and clients that behave, dawdle or lie. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "faces/front.h"
#include "wire/frame.h"
#include "wire/tree.h"

enum { ANSWER_MAX = 8 << 20, PEM_MAX = 32768 };

/* ---- certificates ---- */

struct pair {
    char cert[PEM_MAX], key[PEM_MAX];
};
static struct pair classical, lattice;

static void make_pair(const char *type, const char *group, struct pair *ret)
{
    EVP_PKEY *key =
        group != NULL ? EVP_PKEY_Q_keygen(NULL, NULL, type, group) : EVP_PKEY_Q_keygen(NULL, NULL, type);
    assert_non_null(key);
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)type,
                               -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, group != NULL ? EVP_sha256() : NULL) > 0);
    BIO *out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, cert);
    int len = BIO_read(out, ret->cert, PEM_MAX - 1);
    assert_true(len > 0 && len < PEM_MAX - 1);
    ret->cert[len] = 0;
    PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    len = BIO_read(out, ret->key, PEM_MAX - 1);
    assert_true(len > 0 && len < PEM_MAX - 1);
    ret->key[len] = 0;
    BIO_free(out);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static struct ssl_ctx_st *server_tls(bool both)
{
    struct hf_tls_setup setup = {.pair_count = both ? 2 : 1};
    struct ssl_ctx_st *tls = NULL;
    const char *why;
    setup.pairs[0].cert = hf_cursor_text(classical.cert);
    setup.pairs[0].key = hf_cursor_text(classical.key);
    setup.pairs[1].cert = hf_cursor_text(lattice.cert);
    setup.pairs[1].key = hf_cursor_text(lattice.key);
    setup.client_ca = hf_cursor("", 0);
    if (!HF_IS_OK(hf_tls_context_new(&setup, &tls, &why)))
        _exit(3);
    return tls;
}

/* ---- the front's process ---- */

static struct {
    pid_t pid;
    int control;
    int core; /* our end of the link */
    uint16_t plain, tls;
    pthread_t thread;
    bool running;
} server;

static void send_fd(int socket, char word, int fd)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&word, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = space;
        message.msg_controllen = sizeof(space);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    assert_int_equal(sendmsg(socket, &message, 0), 1);
}

struct child {
    struct hf_front *front;
    int control;
};

static void on_control(void *arg)
{
    struct child *child = arg;
    char word = 0, space[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&word, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    if (recvmsg(child->control, &message, 0) != 1)
        hf_front_stop(child->front);
    else if (word == 'd')
        hf_front_drain(child->front);
    else if (word == 't')
        hf_front_set_tls(child->front, 1, server_tls(true));
    else if (word == 'l') {
        int fd;
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        HF_IGNORE(hf_front_link(child->front, fd), "its test would fail");
    }
}

static int listener(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static int run_child(const struct hf_front_limits *limits, int plain, int tls, int link, int control)
{
    struct child child = {.control = control};
    (void)alarm(100);
    if (!HF_IS_OK(hf_front_new(limits, &hf_clock_system, true, &child.front)) ||
        !HF_IS_OK(hf_front_listen(child.front, 0, plain, NULL)) ||
        !HF_IS_OK(hf_front_listen(child.front, 1, tls, server_tls(false))) ||
        !HF_IS_OK(hf_front_link(child.front, link)) ||
        !HF_IS_OK(hf_front_watch(child.front, control, on_control, &child)))
        return 2;
    hf_result result = hf_front_run(child.front);
    hf_front_free(child.front);
    return HF_IS_OK(result) ? 0 : 1;
}

/* ---- the core that we play ---- */

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        len -= (size_t)sent;
    }
}

/* Says what it was told: method, path, token, what the certificate's length is, how many arguments. */
static void core_answer(const struct hf_frame *frame, struct hf_buf *out)
{
    static uint8_t space[ANSWER_MAX];
    struct hf_wire_call call;
    struct hf_tree args;
    assert_int_equal(hf_wire_call_read(frame->body, &call).code, HF_OK);
    assert_int_equal(hf_tree_open(call.args, &args).code, HF_OK);
    if (hf_cursor_is(call.path, "slow"))
        return;
    struct hf_buf body = hf_buf(space, sizeof(space));
    struct hf_tree_writer w = hf_tree_writer(&body);
    hf_tw_map(&w);
    hf_tw_k_int(&w, "method", call.method);
    hf_tw_k_slice(&w, "path", call.path);
    hf_tw_k_int(&w, "token", (int64_t)call.token.left);
    hf_tw_k_int(&w, "group", call.tls_group);
    hf_tw_k_int(&w, "cert", (int64_t)call.cert.left);
    hf_tw_k_int(&w, "args", args.count);
    struct hf_tree text = hf_tree_get(&args, "text");
    hf_tw_k_int(&w, "text", (int64_t)text.body.left);
    if (hf_cursor_is(call.path, "echo"))
        hf_tw_k_slice(&w, "echo", text.body);
    if (hf_cursor_is(call.path, "big"))
        memset(({
                   hf_tw_k(&w, "big");
                   hf_tw_text_reserve(&w, 5000000);
               }),
               'b', 5000000);
    hf_tw_end(&w);
    struct hf_wire_answer answer = {.http = 200, .shape = HF_ANSWER_TOP, .tree = hf_buf_cursor(&body)};
    size_t begun = hf_frame_begin(out, HF_FRAME_ANSWER, 0, frame->id);
    hf_wire_answer_write(out, &answer);
    hf_frame_end(out, begun);
    assert_int_equal(hf_buf_ok(out).code, HF_OK);
}

static void *core_thread(void *arg)
{
    static uint8_t in[ANSWER_MAX], reply[2 * ANSWER_MAX];
    int fd = *(int *)arg;
    size_t have = 0, need;
    for (;;) {
        ssize_t got = recv(fd, in + have, sizeof(in) - have, 0);
        if (got <= 0)
            return NULL;
        have += (size_t)got;
        struct hf_cursor rest = hf_cursor(in, have);
        struct hf_buf out = hf_buf(reply, sizeof(reply));
        struct hf_frame frame;
        bool whole = true;
        while (whole) {
            assert_int_equal(hf_frame_next(&rest, &frame, &whole, &need).code, HF_OK);
            if (whole && frame.type == HF_FRAME_CALL)
                core_answer(&frame, &out);
            if (out.len > ANSWER_MAX) {
                send_all(fd, reply, out.len);
                out.len = 0;
            }
            if (whole && frame.type == HF_FRAME_STATS) {
                struct hf_tree tree;
                assert_int_equal(hf_tree_open(frame.body, &tree).code, HF_OK);
                assert_true(hf_tree_has(&tree, "connections_total"));
            }
        }
        send_all(fd, reply, out.len);
        memmove(in, rest.at, rest.left);
        have = rest.left;
    }
}

static void core_start(void)
{
    assert_int_equal(pthread_create(&server.thread, NULL, core_thread, &server.core), 0);
    server.running = true;
}

static void core_stop(void)
{
    shutdown(server.core, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.core);
    server.running = false;
}

/* ---- set-up ---- */

static struct hf_front_limits quick(void)
{
    struct hf_front_limits limits;
    hf_front_limits_default(&limits);
    limits.body_bytes_max = 8 << 20;
    return limits;
}

static void start(struct hf_front_limits limits)
{
    int control[2], link[2];
    int plain = listener(&server.plain), tls = listener(&server.tls);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        close(control[0]);
        close(link[0]);
        _exit(run_child(&limits, plain, tls, link[1], control[1]));
    }
    close(plain);
    close(tls);
    close(control[1]);
    close(link[1]);
    server.control = control[0];
    server.core = link[0];
    core_start();
}

static int ended(void)
{
    int status = -1;
    for (int i = 0; i < 500; i++) {
        if (waitpid(server.pid, &status, WNOHANG) == server.pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
        usleep(20000);
    }
    kill(server.pid, SIGKILL);
    waitpid(server.pid, &status, 0);
    return -1;
}

static void stop(void)
{
    close(server.control);
    assert_int_equal(ended(), 0);
    if (server.running)
        core_stop();
}

/* ---- plain clients ---- */

static int client(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    struct timeval wait = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return fd;
}

static void say(int fd, const char *text)
{
    send_all(fd, (const uint8_t *)text, strlen(text));
}

struct reply {
    int status; /* 0: the connection ended */
    bool close;
    char *body; /* in `space` */
    size_t len;
    char *space;
};

/* One response off the connection. */
static struct reply hear(int fd)
{
    static char space[ANSWER_MAX];
    struct reply reply = {.space = space};
    size_t have = 0;
    char *end = NULL;
    while (end == NULL) {
        ssize_t got = recv(fd, space + have, 1, 0); /* to the byte: what follows is the next one's */
        if (got <= 0)
            return reply;
        have += (size_t)got;
        space[have] = 0;
        end = have >= 4 && memcmp(space + have - 4, "\r\n\r\n", 4) == 0 ? space + have : NULL;
    }
    assert_memory_equal(space, "HTTP/1.1 ", 9);
    reply.status = (int)strtol(space + 9, NULL, 10);
    reply.close = strstr(space, "\r\nConnection: close\r\n") != NULL;
    const char *length = strstr(space, "\r\nContent-Length: ");
    reply.len = length != NULL ? strtoul(length + 18, NULL, 10) : 0;
    reply.body = end;
    if (reply.status >= 200)
        assert_non_null(strstr(space, "\r\nX-Holdfast-Level: dev\r\n"));
    for (size_t left = reply.len; left > 0;) {
        ssize_t got = recv(fd, end + reply.len - left, left, 0);
        assert_true(got > 0);
        left -= (size_t)got;
    }
    end[reply.len] = 0;
    return reply;
}

static bool is_closed(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) <= 0;
}

#define GET(path) "GET /v1/" path " HTTP/1.1\r\nHost: h\r\n\r\n"

static void requests_on_one_connection_are_answered_in_order(void **state)
{
    (void)state;
    start(quick());
    int fd = client(server.plain);
    say(fd, GET("one"));
    struct reply reply = hear(fd);
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "\"path\":\"one\""));
    assert_false(reply.close);
    say(fd,
        GET("a") "LIST /v1/b HTTP/1.1\r\nHost: h\r\nX-Vault-Token: abc\r\n\r\n"
                 "PUT /v1/c HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{\"x\":[1]}" GET("nowhere/../x")
                     GET("d"));
    reply = hear(fd);
    assert_non_null(strstr(reply.body, "\"path\":\"a\""));
    reply = hear(fd);
    assert_non_null(strstr(reply.body, "\"method\":2,\"path\":\"b\",\"token\":3"));
    reply = hear(fd);
    assert_non_null(strstr(reply.body, "\"args\":1"));
    assert_int_equal(hear(fd).status, 400);
    reply = hear(fd);
    assert_non_null(strstr(reply.body, "\"path\":\"d\""));
    /* byte by byte, in chunks, and closed on demand */
    for (const char *c =
             "POST /v1/e HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
             "4\r\n{\"te\r\n8\r\nxt\":\"abc\r\n2\r\n\"}\r\n0\r\n\r\n";
         *c != 0; c++) {
        send_all(fd, (const uint8_t *)c, 1);
        if (*c == '\n')
            usleep(1000);
    }
    reply = hear(fd);
    assert_non_null(strstr(reply.body, "\"text\":3"));
    assert_true(reply.close);
    assert_true(is_closed(fd));
    close(fd);
    stop();
}

static void many_pipelined_requests_lose_nothing(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static char many[COUNT * 64];
    size_t len = 0;
    start(quick());
    int fd = client(server.plain);
    for (int i = 0; i < COUNT; i++)
        len += (size_t)snprintf(many + len, sizeof(many) - len, "GET /v1/n%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
    send_all(fd, (const uint8_t *)many, len);
    for (int i = 0; i < COUNT; i++) {
        char wanted[32];
        struct reply reply = hear(fd);
        snprintf(wanted, sizeof(wanted), "\"path\":\"n%d\"", i);
        assert_int_equal(reply.status, 200);
        assert_non_null(strstr(reply.body, wanted));
    }
    close(fd);
    stop();
}

static void large_bodies_go_both_ways(void **state)
{
    (void)state;
    enum { LARGE = 5000000 };
    static uint8_t body[LARGE + 16];
    char head[128];
    start(quick());
    int fd = client(server.plain);
    memcpy(body, "{\"text\":\"", 9);
    memset(body + 9, 'x', LARGE);
    memcpy(body + 9 + LARGE, "\"}", 2);
    snprintf(head, sizeof(head), "POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", LARGE + 11);
    for (int i = 0; i < 2; i++) {
        say(fd, head);
        send_all(fd, body, LARGE + 11);
        assert_non_null(strstr(hear(fd).body, "\"text\":5000000"));
    }
    say(fd, GET("big"));
    struct reply reply = hear(fd);
    assert_true(reply.len > LARGE);
    say(fd, "PUT /v1/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(hear(fd).status, 100);
    say(fd, "{}");
    assert_int_equal(hear(fd).status, 200);
    /* one that says it is too large is refused before it comes */
    say(fd, "PUT /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n");
    assert_int_equal(hear(fd).status, 413);
    assert_true(is_closed(fd));
    close(fd);
    stop();
}

static void hostile_requests_get_a_clear_answer_and_no_more(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET(
             "x"),
         400},
        {"POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
        {"GET /v1/a HTTP/1.1\nHost: h\n\n", 400},
        {"GET /v1/a HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400},
        {"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", 400},
        {"GET /v1/a HTTP/1.1\r\n\r\n", 400},
    };
    start(quick());
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int fd = client(server.plain);
        say(fd, rows[i].text);
        struct reply reply = hear(fd);
        if (reply.status != rows[i].status)
            print_error("row %zu\n", i);
        assert_int_equal(reply.status, rows[i].status);
        assert_true(reply.close);
        assert_memory_equal(reply.body, "{\"errors\":[\"", 12);
        assert_true(is_closed(fd));
        close(fd);
    }
    int fd = client(server.plain);
    static const char *const kept[] = {"POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n{\"a\":",
                                       "POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]",
                                       "GET /v1/a//b HTTP/1.1\r\nHost: h\r\n\r\n"};
    for (size_t i = 0; i < HF_ARRAY_LEN(kept); i++) { /* the framing was good: the connection lives on */
        say(fd, kept[i]);
        struct reply reply = hear(fd);
        assert_int_equal(reply.status, 400);
        assert_false(reply.close);
    }
    say(fd, "HEAD /v1/a//b HTTP/1.1\r\nHost: h\r\n\r\n" GET("after"));
    char bytes[4096];
    size_t have = 0;
    while (have < sizeof(bytes) - 1) {
        ssize_t got = recv(fd, bytes + have, sizeof(bytes) - 1 - have, 0);
        assert_true(got > 0);
        have += (size_t)got;
        bytes[have] = 0;
        if (strstr(bytes, "\"path\":\"after\"") != NULL)
            break;
    }
    assert_null(strstr(bytes, "errors")); /* HEAD has no body, errors neither */
    close(fd);
    stop();
}

static void a_dead_core_is_an_answer_and_a_new_one_serves_on(void **state)
{
    (void)state;
    int link[2];
    start(quick());
    int waiting = client(server.plain), fd = client(server.plain);
    say(waiting, GET("slow"));
    say(fd, GET("a"));
    assert_int_equal(hear(fd).status, 200);
    core_stop();
    assert_int_equal(hear(waiting).status, 503);
    say(fd, "GET /v1/sys/health HTTP/1.1\r\nHost: h\r\n\r\n");
    struct reply reply = hear(fd);
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.body, "{\"errors\":[\"a server process is restarting\"]}\n");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
    send_fd(server.control, 'l', link[1]);
    close(link[1]);
    server.core = link[0];
    core_start();
    for (int i = 0; i < 100 && reply.status != 200; i++) {
        say(fd, GET("a"));
        reply = hear(fd);
        usleep(10000);
    }
    assert_int_equal(reply.status, 200);
    say(waiting, GET("b"));
    assert_int_equal(hear(waiting).status, 200);
    close(fd);
    close(waiting);
    stop();
}

static void dawdlers_are_sent_away(void **state)
{
    (void)state;
    struct hf_front_limits limits = quick();
    limits.head_ns = limits.body_grace_ns = limits.idle_ns = HF_SECOND;
    limits.handshake_ns = HF_SECOND;
    limits.request_ns = 3 * HF_SECOND;
    start(limits);
    int head = client(server.plain), body = client(server.plain), idle = client(server.plain);
    int shake = client(server.tls), core = client(server.plain), preface = client(server.plain);
    say(head, "GET /v1/a HTTP/1.1\r\nHos");
    say(body, "POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{");
    say(idle, GET("a"));
    say(core, GET("slow"));
    say(preface, "PRI * HT");
    assert_int_equal(hear(idle).status, 200);
    for (int i = 0; i < 12; i++) { /* a byte now and then does not help */
        send_all(head, (const uint8_t *)"x", 1);
        usleep(250000);
    }
    assert_int_equal(hear(head).status, 408);
    assert_true(is_closed(head));
    assert_int_equal(hear(body).status, 408);
    assert_true(is_closed(body));
    assert_true(is_closed(idle));
    assert_true(is_closed(shake));
    assert_true(is_closed(preface));
    assert_int_equal(hear(core).status, 503);
    close(head), close(body), close(idle), close(shake), close(core), close(preface);
    stop();
}

static void connections_and_requests_are_bounded(void **state)
{
    (void)state;
    struct hf_front_limits limits = quick();
    limits.connections_max = 8;
    limits.connections_per_source_max = 6;
    limits.requests_max = 3;
    start(limits);
    int fds[7];
    for (int i = 0; i < 7; i++) {
        fds[i] = client(server.plain);
        if (i < 6) {
            say(fds[i], GET("a"));
            assert_int_equal(hear(fds[i]).status, 200);
        }
    }
    assert_true(is_closed(fds[6]));
    for (int i = 0; i < 3; i++)
        say(fds[i], GET("slow"));
    usleep(200000);
    say(fds[3], GET("a"));
    struct reply reply = hear(fds[3]);
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(reply.body, "too many requests"));
    close(fds[5]);
    usleep(200000);
    fds[5] = client(server.plain); /* the place is free again */
    say(fds[5], "GET /v1/../a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(hear(fds[5]).status, 503);
    for (int i = 0; i < 7; i++)
        close(fds[i]);
    stop();
}

static void a_drain_finishes_what_is_under_way(void **state)
{
    (void)state;
    struct hf_front_limits limits = quick();
    limits.drain_ns = 5 * HF_SECOND;
    start(limits);
    int idle = client(server.plain), half = client(server.plain);
    say(idle, GET("a"));
    assert_int_equal(hear(idle).status, 200);
    say(half, "POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{");
    usleep(100000);
    send_fd(server.control, 'd', -1);
    assert_true(is_closed(idle));
    say(half, "}");
    struct reply reply = hear(half);
    assert_int_equal(reply.status, 200);
    assert_true(reply.close);
    assert_true(is_closed(half));
    close(idle);
    close(half);
    assert_int_equal(ended(), 0);
    close(server.control);
    core_stop();
}

/* ---- TLS clients ---- */

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};

static bool tls_open(struct tls_client *c, const char *groups, const char *sigalgs, bool with_cert,
                     int version, const char *alpn)
{
    c->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(c->context, version);
    assert_int_equal(SSL_CTX_set1_groups_list(c->context, groups), 1);
    if (sigalgs != NULL)
        assert_int_equal(SSL_CTX_set1_sigalgs_list(c->context, sigalgs), 1);
    if (with_cert) {
        BIO *cert = BIO_new_mem_buf(classical.cert, -1), *key = BIO_new_mem_buf(classical.key, -1);
        X509 *x = PEM_read_bio_X509(cert, NULL, NULL, NULL);
        EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
        assert_int_equal(SSL_CTX_use_cert_and_key(c->context, x, k, NULL, 1), 1);
        X509_free(x), EVP_PKEY_free(k), BIO_free(cert), BIO_free(key);
    }
    c->ssl = SSL_new(c->context);
    if (alpn != NULL)
        SSL_set_alpn_protos(c->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    c->fd = client(server.tls);
    SSL_set_fd(c->ssl, c->fd);
    return SSL_connect(c->ssl) == 1;
}

static void tls_close(struct tls_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    close(c->fd);
}

static const char *tls_ask(struct tls_client *c, const char *request)
{
    static char space[65536];
    size_t have = 0, got;
    assert_int_equal(SSL_write_ex(c->ssl, request, strlen(request), &got), 1);
    while (SSL_read_ex(c->ssl, space + have, sizeof(space) - 1 - have, &got) == 1) {
        have += got;
        space[have] = 0;
        char *end = strstr(space, "\r\n\r\n");
        char *length = strstr(space, "Content-Length: ");
        if (end != NULL && length != NULL &&
            have >= (size_t)(end + 4 - space) + strtoul(length + 16, NULL, 10))
            return space;
    }
    return "";
}

static void tls_is_1_3_hybrid_first_with_either_certificate(void **state)
{
    (void)state;
    struct tls_client old, c, d, e;
    start(quick());
    assert_false(tls_open(&old, "X25519", NULL, false, TLS1_2_VERSION, NULL));
    tls_close(&old);
    assert_true(tls_open(&c, "X25519:X25519MLKEM768", NULL, false, TLS1_3_VERSION, "\x08http/1.1"));
    assert_non_null(strstr(tls_ask(&c, GET("a")), "\"group\":2,\"cert\":0"));
    assert_false(SSL_session_reused(c.ssl));
    assert_true(tls_open(&d, "P-256", NULL, true, TLS1_3_VERSION, NULL));
    const char *answer = tls_ask(&d, GET("a"));
    assert_non_null(strstr(answer, "\"group\":1,\"cert\":"));
    assert_null(strstr(answer, "\"cert\":0"));
    /* new certificates: the old connections live on, the client's algorithms choose */
    send_fd(server.control, 't', -1);
    usleep(200000);
    assert_true(tls_open(&e, "X25519MLKEM768", "mldsa65", false, TLS1_3_VERSION, NULL));
    assert_non_null(strstr(tls_ask(&e, GET("a")), "\"group\":2"));
    tls_close(&e);
    assert_true(tls_open(&e, "X25519MLKEM768", "ecdsa_secp256r1_sha256", false, TLS1_3_VERSION, NULL));
    assert_non_null(strstr(tls_ask(&e, GET("a")), "\"group\":2"));
    tls_close(&e);
    assert_non_null(strstr(tls_ask(&c, GET("b")), "\"path\":\"b\""));
    assert_non_null(strstr(tls_ask(&d, GET("b")), "\"path\":\"b\""));
    assert_int_equal(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_non_null(strstr(tls_ask(&c, GET("c")), "\"path\":\"c\""));
    tls_close(&c);
    tls_close(&d);
    stop();
}

/* ---- HTTP/2 ---- */

struct h2_client {
    nghttp2_session *session;
    SSL *ssl;
    int fd;
    unsigned closed, good;
    int status[128];
    size_t received;
};

static int h2_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    struct h2_client *c = arg;
    (void)session, (void)flags, (void)value_len;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0 && frame->hd.stream_id < 256)
        c->status[frame->hd.stream_id / 2] = (int)strtol((const char *)value, NULL, 10);
    return 0;
}

static int h2_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len,
                   void *arg)
{
    (void)session, (void)flags, (void)id, (void)bytes;
    ((struct h2_client *)arg)->received += len;
    return 0;
}

static int h2_closed(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct h2_client *c = arg;
    (void)session;
    c->closed++;
    c->good += error == 0 && c->status[id / 2] == 200;
    return 0;
}

static void h2_start(struct h2_client *c, int fd, SSL *ssl)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_closed);
    *c = (struct h2_client){.fd = fd, .ssl = ssl};
    nghttp2_session_client_new(&c->session, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20};
    nghttp2_submit_settings(c->session, 0, &window, 1);
    nghttp2_session_set_local_window_size(c->session, 0, 0, 1 << 24);
}

/* Sends and receives until `closed` streams are over; false: the connection ended before. */
static bool h2_run(struct h2_client *c, unsigned closed)
{
    static uint8_t space[65536];
    while (c->closed < closed) {
        const uint8_t *bytes;
        size_t got;
        for (ssize_t len; (len = nghttp2_session_mem_send(c->session, &bytes)) > 0;) {
            if (c->ssl != NULL)
                assert_int_equal(SSL_write_ex(c->ssl, bytes, (size_t)len, &got), 1);
            else
                send_all(c->fd, bytes, (size_t)len);
        }
        if (c->ssl != NULL) {
            if (SSL_read_ex(c->ssl, space, sizeof(space), &got) != 1)
                return false;
        } else {
            ssize_t len = recv(c->fd, space, sizeof(space), 0);
            if (len <= 0)
                return false;
            got = (size_t)len;
        }
        if (nghttp2_session_mem_recv(c->session, space, got) < 0)
            return false;
    }
    return true;
}

struct h2_body {
    const char *text;
    size_t left;
    bool stalls; /* its end never comes */
};

static ssize_t h2_body_part(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                            nghttp2_data_source *source, void *arg)
{
    struct h2_body *body = source->ptr;
    size_t len = HF_MIN(room, body->left);
    (void)session, (void)id, (void)arg;
    memcpy(to, body->text, len);
    body->text += len;
    body->left -= len;
    if (body->left == 0 && body->stalls)
        return len == 0 ? NGHTTP2_ERR_DEFERRED : (ssize_t)len;
    if (body->left == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static const char *h2_token = "hvs.h2";

static void h2_ask(struct h2_client *c, const char *method, const char *path, struct h2_body *body)
{
#define NV(n, v) {(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0}
    nghttp2_nv fields[] = {NV(":method", method), NV(":path", path), NV(":scheme", "https"),
                           NV(":authority", "h"), NV("x-vault-token", h2_token)};
    nghttp2_data_provider provider = {.source.ptr = body, .read_callback = h2_body_part};
    assert_true(nghttp2_submit_request(c->session, NULL, fields, 5, body == NULL ? NULL : &provider, NULL) >
                0);
}

static void http2_serves_many_streams(void **state)
{
    (void)state;
    enum { LARGE = 3000000 };
    static char large[LARGE + 16];
    struct h2_client c;
    start(quick());
    int fd = client(server.plain);
    h2_start(&c, fd, NULL);
    for (int i = 0; i < 50; i++)
        h2_ask(&c, i % 2 ? "GET" : "LIST", "/v1/a?x=1", NULL);
    assert_true(h2_run(&c, 50));
    assert_int_equal(c.good, 50);
    memcpy(large, "{\"text\":\"", 9);
    memset(large + 9, 'x', LARGE);
    memcpy(large + 9 + LARGE, "\"}", 2);
    struct h2_body body = {large, LARGE + 11, false};
    h2_ask(&c, "POST", "/v1/echo", &body);
    h2_ask(&c, "GET", "/v1/big", NULL);
    h2_ask(&c, "HEAD", "/v1/a", NULL);
    c.received = 0;
    assert_true(h2_run(&c, 53));
    assert_int_equal(c.good, 53);
    assert_true(c.received > LARGE + 5000000);
    h2_ask(&c, "POST", "/v1/../a", NULL);
    h2_ask(&c, "BREW", "/v1/a", NULL);
    assert_true(h2_run(&c, 55));
    assert_int_equal(c.good, 53);
    assert_int_equal(c.status[53], 400);
    assert_int_equal(c.status[54], 405);
    nghttp2_session_del(c.session);
    close(fd);

    struct tls_client t;
    assert_true(tls_open(&t, "X25519MLKEM768", NULL, false, TLS1_3_VERSION, "\x02h2\x08http/1.1"));
    h2_start(&c, t.fd, t.ssl);
    for (int i = 0; i < 100; i++)
        h2_ask(&c, "GET", "/v1/a", NULL);
    assert_true(h2_run(&c, 100));
    assert_int_equal(c.good, 100);
    core_stop();
    usleep(100000);
    h2_ask(&c, "GET", "/v1/a", NULL);
    assert_true(h2_run(&c, 101));
    assert_int_equal(c.status[100], 503);
    nghttp2_session_del(c.session);
    tls_close(&t);
    stop();
}

/* Sends everything before it reads anything: large requests, large answers, both directions full. */
static void http2_peers_may_send_all_before_they_read(void **state)
{
    (void)state;
    enum { LARGE = 900000, COUNT = 8 };
    static char large[LARGE + 16];
    struct h2_client c;
    struct h2_body bodies[COUNT];
    start(quick());
    int fd = client(server.plain);
    h2_start(&c, fd, NULL);
    h2_ask(&c, "GET", "/v1/a", NULL);
    assert_true(h2_run(&c, 1)); /* the settings are known */
    memcpy(large, "{\"text\":\"", 9);
    memset(large + 9, 'x', LARGE);
    memcpy(large + 9 + LARGE, "\"}", 2);
    for (int i = 0; i < COUNT; i++) {
        bodies[i] = (struct h2_body){large, LARGE + 11, false};
        h2_ask(&c, "POST", "/v1/echo", &bodies[i]);
    }
    for (int i = 0; i < COUNT; i++)
        h2_ask(&c, "GET", "/v1/big", NULL);
    assert_true(h2_run(&c, 1 + 2 * COUNT));
    assert_int_equal(c.good, 1 + 2 * COUNT);
    nghttp2_session_del(c.session);
    close(fd);
    stop();
}

static void http2_peers_have_time_limits_and_drain_too(void **state)
{
    (void)state;
    struct hf_front_limits limits = quick();
    limits.head_ns = limits.body_grace_ns = limits.write_ns = HF_SECOND;
    limits.request_ns = 4 * HF_SECOND;
    struct h2_client c;
    start(limits);
    int fd = client(server.plain), idle = client(server.plain), half = client(server.plain);
    say(half, "PRI * HTTP/2.0\r\n\r\nSM"); /* and no more */
    h2_start(&c, idle, NULL);
    h2_ask(&c, "GET", "/v1/a", NULL);
    assert_true(h2_run(&c, 1));
    nghttp2_session_del(c.session);
    h2_start(&c, fd, NULL);
    struct h2_body part = {"          ", 10, false};
    h2_ask(&c, "POST", "/v1/echo", &part);
    assert_true(h2_run(&c, 1));
    assert_int_equal(c.status[0], 200);
    part = (struct h2_body){"{", 1, true};
    h2_ask(&c, "POST", "/v1/echo", &part);
    h2_ask(&c, "GET", "/v1/slow", NULL);
    assert_true(h2_run(&c, 3)); /* each answered alone: the connection lives on */
    assert_int_equal(c.status[1], 408);
    assert_int_equal(c.status[2], 503);
    h2_ask(&c, "GET", "/v1/a", NULL);
    assert_true(h2_run(&c, 4));
    assert_int_equal(c.status[3], 200);
    assert_true(is_closed(half));
    send_fd(server.control, 'd', -1);
    char byte[512];
    while (recv(idle, byte, sizeof(byte), 0) > 0) /* GOAWAY, then the end */
        ;
    assert_false(h2_run(&c, 5));
    nghttp2_session_del(c.session);
    close(fd), close(idle), close(half);
    assert_int_equal(ended(), 0);
    close(server.control);
    core_stop();
}

static void a_flood_of_resets_ends_the_connection(void **state)
{
    (void)state;
    struct h2_client c;
    start(quick());
    int fd = client(server.plain);
    h2_start(&c, fd, NULL);
    for (int i = 0; i < 300; i++) {
        h2_ask(&c, "GET", "/v1/slow", NULL);
        const uint8_t *bytes;
        for (ssize_t len; (len = nghttp2_session_mem_send(c.session, &bytes)) > 0;)
            send_all(fd, bytes, (size_t)len);
        nghttp2_submit_rst_stream(c.session, 0, 1 + 2 * i, NGHTTP2_CANCEL);
    }
    while (h2_run(&c, 1000)) /* till its end */
        ;
    nghttp2_session_del(c.session);
    close(fd);
    fd = client(server.plain);
    say(fd,
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x05\x09\x00\x00\x00\x00\x01xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    char byte[256];
    while (recv(fd, byte, sizeof(byte), 0) > 0)
        ;
    close(fd);
    fd = client(server.plain);
    say(fd, GET("a"));
    assert_int_equal(hear(fd).status, 200);
    close(fd);
    stop();
}

/* ---- what stays in memory ---- */

#ifndef HF_SANITIZE /* the sanitizers keep freed memory as it was, and their shadow is vast */

static unsigned found_in_memory(pid_t pid, const char *wanted)
{
    char path[64], line[512];
    static char chunk[(1 << 20) + 64];
    unsigned found = 0;
    size_t len = strlen(wanted);
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "r");
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int mem = open(path, O_RDONLY | O_CLOEXEC);
    if (maps == NULL || mem < 0)
        skip();
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long from, to;
        char access[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, access) != 3 || access[0] != 'r' || access[1] != 'w')
            continue;
        for (unsigned long at = from; at < to; at += 1 << 20) {
            size_t room = HF_MIN(to - at, sizeof(chunk)); /* a little over, so that none is cut in two */
            ssize_t got = pread(mem, chunk, room, (off_t)at);
            for (char *hit = chunk; got > 0; hit++) {
                hit = memmem(hit, (size_t)(chunk + got - hit), wanted, len);
                if (hit == NULL)
                    break;
                found++;
            }
        }
    }
    fclose(maps);
    close(mem);
    return found;
}

static void tokens_and_payloads_do_not_stay(void **state)
{
    (void)state;
    static const char token[] = "hvs.Zm9vYmFyYmF6cXV4",
                      payload[] = "c2VjcmV0LXBheWxvYWQtb25lLXR3by10aHJlZQ==";
    char request[1024], head[256], split[256];
    struct hf_front_limits limits = quick();
    start(limits);
    snprintf(
        request, sizeof(request),
        "POST /v1/echo HTTP/1.1\r\nHost: h\r\nX-Vault-Token: %s\r\nContent-Length: %zu\r\n\r\n{\"text\":\"%s\"}",
        token, strlen(payload) + 11, payload);
    snprintf(head, sizeof(head),
             "POST /v1/echo HTTP/1.1\r\nHost: h\r\nX-Vault-Token: %s\r\nContent-Length: %zu\r\n\r\n", token,
             strlen(payload) + 11);
    snprintf(split, sizeof(split), "{\"text\":\"%s\"}", payload);
    struct tls_client c;
    int fd = client(server.plain);
    assert_true(tls_open(&c, "X25519MLKEM768", NULL, false, TLS1_3_VERSION, NULL));
    for (int i = 0; i < 20; i++) {
        assert_non_null(strstr(tls_ask(&c, request), payload));
        say(fd, request);
        assert_non_null(strstr(hear(fd).body, payload));
        say(fd, head); /* in two parts */
        usleep(10000);
        say(fd, split);
        assert_non_null(strstr(hear(fd).body, payload));
    }
    struct h2_client h2;
    h2_token = "hvs.NeverSeenBefore";
    int fd2 = client(server.plain);
    h2_start(&h2, fd2, NULL);
    for (int i = 0; i < 20; i++) {
        struct h2_body body = {split, strlen(split), false};
        h2_ask(&h2, "POST", "/v1/echo", &body);
        assert_true(h2_run(&h2, (unsigned)i + 1));
    }
    assert_int_equal(h2.good, 20);
    /* An answer is on its way before what it came from is wiped; once the next one's is here, that is done. */
    int after = client(server.plain);
    say(after, GET("a"));
    assert_int_equal(hear(after).status, 200);
    close(after);
    /* The connections are open still, nothing is under way. */
    unsigned tokens = found_in_memory(server.pid, token), payloads = found_in_memory(server.pid, payload);
    unsigned h2_tokens = found_in_memory(server.pid, h2_token);
    /* And what is found proves that the search finds: half a request waits. */
    say(fd,
        "POST /v1/echo HTTP/1.1\r\nHost: h\r\nX-Vault-Token: hvs.waitinghere\r\nContent-Length: 9\r\n\r\n{");
    usleep(100000);
    assert_true(found_in_memory(server.pid, "hvs.waitinghere") > 0);
    assert_int_equal(tokens, 0);
    assert_int_equal(payloads, 0);
    assert_int_equal(h2_tokens, 0);
    nghttp2_session_del(h2.session);
    close(fd2);
    tls_close(&c);
    close(fd);
    stop();
}

#endif

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(hf_crypto_start(HF_CRYPTO_HEAP_WIPE).code, HF_OK);
    make_pair("EC", "P-256", &classical);
    make_pair("ML-DSA-65", NULL, &lattice);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_on_one_connection_are_answered_in_order),
        cmocka_unit_test(many_pipelined_requests_lose_nothing),
        cmocka_unit_test(large_bodies_go_both_ways),
        cmocka_unit_test(hostile_requests_get_a_clear_answer_and_no_more),
        cmocka_unit_test(a_dead_core_is_an_answer_and_a_new_one_serves_on),
        cmocka_unit_test(dawdlers_are_sent_away),
        cmocka_unit_test(connections_and_requests_are_bounded),
        cmocka_unit_test(a_drain_finishes_what_is_under_way),
        cmocka_unit_test(tls_is_1_3_hybrid_first_with_either_certificate),
        cmocka_unit_test(http2_serves_many_streams),
        cmocka_unit_test(http2_peers_may_send_all_before_they_read),
        cmocka_unit_test(http2_peers_have_time_limits_and_drain_too),
        cmocka_unit_test(a_flood_of_resets_ends_the_connection),
#ifndef HF_SANITIZE
        cmocka_unit_test(tokens_and_payloads_do_not_stay),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
