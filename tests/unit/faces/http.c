/* HTTP requests become calls, answers become HTTP: the translation, without any I/O. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "faces/http1.h"
#include "faces/http_answer.h"
#include "wire/tree.h"

enum { HEAD_MAX = 8192, BODY_MAX = 65536 };
static uint8_t memory[1 << 20], bytes[1 << 18];

/* ---- requests to calls ---- */

static struct hf_http_request request_of(const char *method, const char *target, const char *body)
{
    struct hf_http_request request = {
        .method = hf_cursor_text(method), .target = hf_cursor_text(target), .body = hf_cursor_text(body)};
    for (unsigned i = 0; i < HF_HTTP_FIELD_COUNT; i++)
        request.fields[i] = hf_cursor("", 0);
    return request;
}

static enum hf_reject translate(const struct hf_http_request *request, struct hf_wire_call *ret_call,
                                struct hf_tree *ret_args)
{
    static const struct hf_id_bytes id = {{9, 8, 7}};
    struct hf_http_peer peer = {
        .ip = {[15] = 1}, .port = 99, .tls_group = 2, .cert = hf_cursor("\x30\x00", 2)};
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    size_t at;
    enum hf_reject reject = hf_http_call_write(request, &peer, &id, &out, &at);
    if (reject != HF_REJECT_NONE)
        return reject;
    assert_true(out.len <= hf_http_call_max(request, &peer));
    assert_int_equal(hf_wire_call_read(hf_buf_cursor(&out), ret_call).code, HF_OK);
    assert_int_equal(hf_tree_open(ret_call->args, ret_args).code, HF_OK);
    assert_int_equal(ret_args->tag, HF_TREE_MAP);
    assert_memory_equal(ret_call->request_id.bytes, id.bytes, 16);
    return reject;
}

static enum hf_reject try(const char *method, const char *target, const char *body,
                          struct hf_wire_call *ret_call, struct hf_tree *ret_args)
{
    struct hf_http_request request = request_of(method, target, body);
    return translate(&request, ret_call, ret_args);
}

static enum hf_reject refusal(const char *method, const char *target, const char *body)
{
    struct hf_wire_call call;
    struct hf_tree args;
    return try(method, target, body, &call, &args);
}

static void a_request_becomes_a_call(void **state)
{
    (void)state;
    struct hf_wire_call call;
    struct hf_tree args;
    struct hf_http_request request = request_of("POST", "/v1/transit/encrypt/k", "{\"plaintext\":\"aGk=\"}");
    request.fields[HF_HTTP_TOKEN] = hf_cursor_text("hvs.abc");
    request.fields[HF_HTTP_NAMESPACE] = hf_cursor_text("team/a");
    request.fields[HF_HTTP_WRAP_TTL] = hf_cursor_text("60s");
    request.fields[HF_HTTP_INDEX] = hf_cursor_text("i");
    request.fields[HF_HTTP_ASSET] = hf_cursor_text("db");
    request.fields[HF_HTTP_TRACEPARENT] = hf_cursor_text("00-1-2-01");
    assert_int_equal(translate(&request, &call, &args), HF_REJECT_NONE);
    assert_int_equal(call.method, HF_METHOD_WRITE);
    assert_true(hf_cursor_is(call.path, "transit/encrypt/k"));
    assert_true(hf_cursor_is(call.token, "hvs.abc"));
    assert_true(hf_cursor_is(call.ns, "team/a"));
    assert_true(hf_cursor_is(call.wrap_ttl, "60s"));
    assert_true(hf_cursor_is(call.index, "i"));
    assert_true(hf_cursor_is(call.asset, "db"));
    assert_true(hf_cursor_is(call.traceparent, "00-1-2-01"));
    assert_int_equal(call.tls_group, 2);
    assert_int_equal(call.peer_port, 99);
    assert_int_equal(call.cert.left, 2);
    assert_int_equal(args.count, 1);
    assert_true(hf_cursor_is(hf_tree_get(&args, "plaintext").body, "aGk="));
}

static void methods_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target;
        enum hf_method becomes;
        unsigned args;
    } rows[] = {
        {"GET", "/v1/a", HF_METHOD_READ, 0},
        {"PUT", "/v1/a", HF_METHOD_WRITE, 0},
        {"POST", "/v1/a", HF_METHOD_WRITE, 0},
        {"DELETE", "/v1/a", HF_METHOD_DELETE, 0},
        {"LIST", "/v1/a", HF_METHOD_LIST, 0},
        {"HEAD", "/v1/a", HF_METHOD_HEAD, 0},
        {"PATCH", "/v1/a", HF_METHOD_PATCH, 0},
        {"GET", "/v1/a?list=true", HF_METHOD_LIST, 0},
        {"GET", "/v1/a?list=1&b=", HF_METHOD_LIST, 1},
        {"GET", "/v1/a?list=false", HF_METHOD_READ, 1},
        {"PUT", "/v1/a?list=true", HF_METHOD_WRITE, 1},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_wire_call call;
        struct hf_tree args;
        assert_int_equal(try(rows[i].method, rows[i].target, "", &call, &args), HF_REJECT_NONE);
        assert_int_equal(call.method, rows[i].becomes);
        assert_int_equal(args.count, rows[i].args);
    }
    assert_int_equal(refusal("OPTIONS", "/v1/a", ""), HF_REJECT_METHOD);
    assert_int_equal(refusal("LINK", "/v1/a", ""), HF_REJECT_METHOD);
    assert_int_equal(refusal("get", "/v1/a", ""), HF_REJECT_METHOD);
}

static void paths_have_one_name_each(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *path; /* NULL: refused */
        enum hf_reject reject;
    } rows[] = {
        {"/v1/secret/data/a%20b", "secret/data/a b", 0},
        {"/v1/a%2Fb", "a/b", 0},
        {"/v1/a/", "a/", 0},
        {"/v1/a+b", "a+b", 0},
        {"/v1/%C3%A4", "\xc3\xa4", 0},
        {"http://host:8200/v1/a?x=1", "a", 0},
        {"HTTPS://host/v1/a", "a", 0},
        {"/v1/a/..b/...", "a/..b/...", 0},
        {"/v1//a", NULL, HF_REJECT_TARGET},
        {"/v1/a//b", NULL, HF_REJECT_TARGET},
        {"//v1/a", NULL, HF_REJECT_TARGET},
        {"/v1/../x", NULL, HF_REJECT_TARGET},
        {"/v1/a/..", NULL, HF_REJECT_TARGET},
        {"/v1/a/%2e%2E/b", NULL, HF_REJECT_TARGET},
        {"/v1/a%2f..%2fb", NULL, HF_REJECT_TARGET},
        {"/v1/./a", NULL, HF_REJECT_TARGET},
        {"/v1/a%00", NULL, HF_REJECT_TARGET},
        {"/v1/a%0d%0a", NULL, HF_REJECT_TARGET},
        {"/v1/a%7f", NULL, HF_REJECT_TARGET},
        {"/v1/a%ff", NULL, HF_REJECT_TARGET},
        {"/v1/%c0%ae%c0%ae", NULL, HF_REJECT_TARGET},
        {"/v1/a%2", NULL, HF_REJECT_TARGET},
        {"/v1/a%zz", NULL, HF_REJECT_TARGET},
        {"/v1/a#b", NULL, HF_REJECT_TARGET},
        {"*", NULL, HF_REJECT_TARGET},
        {"", NULL, HF_REJECT_TARGET},
        {"http://host", NULL, HF_REJECT_TARGET},
        {"/", NULL, HF_REJECT_ROUTE},
        {"/v1", NULL, HF_REJECT_ROUTE},
        {"/v1/", NULL, HF_REJECT_ROUTE},
        {"/v2/a", NULL, HF_REJECT_ROUTE},
        {"/ui/", NULL, HF_REJECT_ROUTE},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_wire_call call;
        struct hf_tree args;
        enum hf_reject reject = try("GET", rows[i].target, "", &call, &args);
        if (reject != rows[i].reject)
            print_error("%s: %s\n", rows[i].target, hf_reject_name(reject));
        assert_int_equal(reject, rows[i].reject);
        if (rows[i].path != NULL)
            assert_true(hf_cursor_is(call.path, rows[i].path));
    }
    char *longest = malloc(HF_HTTP_TARGET_MAX + 2);
    memset(longest, 'a', HF_HTTP_TARGET_MAX + 1);
    memcpy(longest, "/v1/", 4);
    longest[HF_HTTP_TARGET_MAX + 1] = 0;
    assert_int_equal(refusal("GET", longest, ""), HF_REJECT_TARGET_SIZE);
    longest[HF_HTTP_TARGET_MAX] = 0;
    assert_int_equal(refusal("GET", longest, ""), HF_REJECT_NONE);
    free(longest);
}

static void query_and_body_are_one_map(void **state)
{
    (void)state;
    struct hf_wire_call call;
    struct hf_tree args;
    assert_int_equal(try("POST", "/v1/a?x=1%20+2&y&&z=%C3%A4", " {\"b\":[1]} ", &call, &args),
                     HF_REJECT_NONE);
    assert_int_equal(args.count, 4);
    assert_true(hf_cursor_is(hf_tree_get(&args, "x").body, "1  2"));
    assert_int_equal(hf_tree_get(&args, "y").tag, HF_TREE_TEXT);
    assert_true(hf_cursor_is(hf_tree_get(&args, "z").body, "\xc3\xa4"));
    assert_int_equal(hf_tree_get(&args, "b").count, 1);
    assert_int_equal(try("POST", "/v1/a", " \r\n\t ", &call, &args), HF_REJECT_NONE);
    assert_int_equal(args.count, 0);
    assert_int_equal(try("PUT", "/v1/a", " null\n", &call, &args), HF_REJECT_NONE);
    assert_int_equal(args.count, 0);
    assert_int_equal(refusal("PUT", "/v1/a", "nul"), HF_REJECT_JSON_OBJECT);
    assert_int_equal(refusal("PUT", "/v1/a", "true"), HF_REJECT_JSON_OBJECT);
    assert_int_equal(refusal("GET", "/v1/a?x=1&x=2", ""), HF_REJECT_QUERY_TWICE);
    assert_int_equal(refusal("GET", "/v1/a?list=true&list=false", ""), HF_REJECT_QUERY_TWICE);
    assert_int_equal(refusal("GET", "/v1/a?list=false&list=true", ""), HF_REJECT_QUERY_TWICE);
    assert_int_equal(refusal("GET", "/v1/a?list=1&list=true", ""), HF_REJECT_QUERY_TWICE);
    assert_int_equal(refusal("GET", "/v1/a?x=%", ""), HF_REJECT_QUERY);
    assert_int_equal(refusal("GET", "/v1/a?=1", ""), HF_REJECT_QUERY);
    assert_int_equal(refusal("GET", "/v1/a?x=%00", ""), HF_REJECT_QUERY);
    assert_int_equal(refusal("GET", "/v1/a?x=%ff", ""), HF_REJECT_QUERY);
    assert_int_equal(refusal("POST", "/v1/a?x=1", "{\"x\":1}"), HF_REJECT_JSON);
    assert_int_equal(refusal("POST", "/v1/a", "{\"x\":1,\"x\":2}"), HF_REJECT_JSON);
    assert_int_equal(refusal("POST", "/v1/a", "{\"x\":"), HF_REJECT_JSON);
    assert_int_equal(refusal("POST", "/v1/a", "{\"x\":[{\"y\""), HF_REJECT_JSON);
    assert_int_equal(refusal("POST", "/v1/a", "[1]"), HF_REJECT_JSON_OBJECT);
    assert_int_equal(refusal("POST", "/v1/a", "\"x\""), HF_REJECT_JSON_OBJECT);
    assert_int_equal(refusal("POST", "/v1/a", "x=1"), HF_REJECT_JSON);
    assert_int_equal(refusal("POST", "/v1/a", "{\"x\":\"\xff\"}"), HF_REJECT_JSON);
}

static void the_token_comes_by_either_field(void **state)
{
    (void)state;
    struct hf_wire_call call;
    struct hf_tree args;
    struct hf_http_request request = request_of("GET", "/v1/a", "");
    request.fields[HF_HTTP_AUTHORIZATION] = hf_cursor_text("bEarer  abc");
    assert_int_equal(translate(&request, &call, &args), HF_REJECT_NONE);
    assert_true(hf_cursor_is(call.token, "abc"));
    request.fields[HF_HTTP_TOKEN] = hf_cursor_text("first");
    assert_int_equal(translate(&request, &call, &args), HF_REJECT_NONE);
    assert_true(hf_cursor_is(call.token, "first"));
    request.fields[HF_HTTP_TOKEN] = hf_cursor("", 0);
    request.fields[HF_HTTP_AUTHORIZATION] = hf_cursor_text("Basic abc");
    assert_int_equal(translate(&request, &call, &args), HF_REJECT_NONE);
    assert_int_equal(call.token.left, 0);
    request.fields[HF_HTTP_TOKEN] = hf_cursor_text("a b");
    assert_int_equal(translate(&request, &call, &args), HF_REJECT_FIELD_VALUE);
    request.fields[HF_HTTP_TOKEN] = hf_cursor("", 0);
    request.fields[HF_HTTP_NAMESPACE] = hf_cursor("a\xff", 2);
    assert_int_equal(translate(&request, &call, &args), HF_REJECT_FIELD_VALUE);
}

static void the_densest_body_fits_its_bound(void **state)
{
    (void)state;
    static char body[20001], query[3000];
    struct hf_wire_call call;
    struct hf_tree args;
    memcpy(body, "{\"a\":[", 6);
    for (size_t i = 6; i + 2 < sizeof(body) - 4; i += 2)
        memcpy(body + i, "1,", 3);
    memcpy(body + strlen(body), "1]}", 4);
    assert_int_equal(try("POST", "/v1/a", body, &call, &args), HF_REJECT_NONE);
    size_t len = 0;
    for (int i = 0; i < 60; i++)
        len += (size_t)snprintf(query + len, sizeof(query) - len, "%s%c%c", i ? "&" : "/v1/a?", 'A' + i / 26,
                                'a' + i % 26);
    assert_int_equal(try("GET", query, "", &call, &args), HF_REJECT_NONE);
    assert_int_equal(args.count, 60);
}

/* ---- HTTP/1.1 ---- */

/* Feeds the text in pieces of `step` bytes through a buffer that moves; gives the state at its end. */
static enum hf_http1_state feed(struct hf_http1 *http1, const char *text, size_t len, size_t step,
                                uint8_t *buffer, struct hf_http_request *ret)
{
    size_t have = 0, at = 0;
    enum hf_http1_state state = HF_HTTP1_MORE;
    hf_http1_init(http1, HEAD_MAX, BODY_MAX);
    while (at < len) {
        size_t piece = HF_MIN(step, len - at);
        memcpy(buffer + have, text + at, piece);
        at += piece;
        have += piece;
        state = hf_http1_parse(http1, buffer, &have);
        if (state == HF_HTTP1_DONE)
            hf_http1_request(http1, buffer, ret);
        if (state == HF_HTTP1_DONE || state == HF_HTTP1_BAD)
            break;
    }
    return state;
}

static enum hf_reject http1_refusal(const char *text)
{
    struct hf_http1 http1;
    struct hf_http_request request;
    enum hf_reject first = HF_REJECT_COUNT;
    for (size_t step = 1; step <= strlen(text); step = step < 8 ? step + 1 : step * 3) {
        enum hf_http1_state state = feed(&http1, text, strlen(text), step, bytes, &request);
        enum hf_reject reject = state == HF_HTTP1_BAD ? http1.reject : HF_REJECT_NONE;
        if (first != HF_REJECT_COUNT)
            assert_int_equal(reject, first);
        first = reject;
    }
    return first;
}

static void messages_come_out_of_any_pieces(void **state)
{
    (void)state;
    static const char with_length[] =
        "POST /v1/a HTTP/1.1\r\nHost: h\r\nX-Vault-Token:  tok \r\nContent-Length: 7\r\n"
        "X-Empty:\r\n\r\n{\"a\":1}GET /next";
    static const char chunked[] =
        "\r\nPOST /v1/a HTTP/1.1\r\nHost: h\r\nX-VAULT-TOKEN: tok\r\n"
        "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nT: x\r\n\r\n";
    for (size_t step = 1; step < sizeof(with_length); step++) {
        struct hf_http1 http1;
        struct hf_http_request request;
        for (int which = 0; which < 2; which++) {
            const char *text = which ? chunked : with_length;
            assert_int_equal(feed(&http1, text, strlen(text), step, bytes, &request), HF_HTTP1_DONE);
            assert_true(hf_cursor_is(request.method, "POST"));
            assert_true(hf_cursor_is(request.target, "/v1/a"));
            assert_true(hf_cursor_is(request.fields[HF_HTTP_TOKEN], "tok"));
            assert_true(hf_cursor_is(request.fields[HF_HTTP_HOST], "h"));
            assert_true(hf_cursor_is(request.body, "{\"a\":1}"));
            assert_true(http1.keep_alive);
            if (which == 0)
                assert_int_equal(hf_http1_used(&http1), strlen(with_length) - strlen("GET /next"));
        }
    }
}

static void messages_follow_each_other(void **state)
{
    (void)state;
    static const char two[] = "LIST /v1/a HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/b HTTP/1.1\r\nHost: h\r\n"
                              "Connection: close\r\n\r\n";
    struct hf_http1 http1;
    struct hf_http_request request;
    size_t len = strlen(two);
    memcpy(bytes, two, len);
    hf_http1_init(&http1, HEAD_MAX, BODY_MAX);
    assert_int_equal(hf_http1_parse(&http1, bytes, &len), HF_HTTP1_DONE);
    hf_http1_request(&http1, bytes, &request);
    assert_true(hf_cursor_is(request.method, "LIST"));
    size_t used = hf_http1_used(&http1);
    hf_http1_next(&http1);
    len -= used;
    assert_int_equal(hf_http1_parse(&http1, bytes + used, &len), HF_HTTP1_DONE);
    hf_http1_request(&http1, bytes + used, &request);
    assert_true(hf_cursor_is(request.method, "GET"));
    assert_true(hf_cursor_is(request.target, "/v1/b"));
    assert_false(http1.keep_alive);
}

static void a_waiting_client_is_told_to_go_on_once(void **state)
{
    (void)state;
    static const char head[] =
        "PUT /v1/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    struct hf_http1 http1;
    struct hf_http_request request;
    size_t len = strlen(head);
    assert_int_equal(feed(&http1, head, len, len, bytes, &request), HF_HTTP1_CONTINUE);
    memcpy(bytes + len, "{", 1);
    len++;
    assert_int_equal(hf_http1_parse(&http1, bytes, &len), HF_HTTP1_MORE);
    memcpy(bytes + len, "}", 1);
    len++;
    assert_int_equal(hf_http1_parse(&http1, bytes, &len), HF_HTTP1_DONE);
    assert_int_equal(http1_refusal("PUT /v1/a HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n"),
                     HF_REJECT_EXPECT);
}

static void doubtful_messages_are_refused(void **state)
{
    (void)state;
#define START "POST /v1/a HTTP/1.1\r\nHost: h\r\n"
    static const struct {
        const char *text;
        enum hf_reject reject;
    } rows[] = {
        {START "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HF_REJECT_FRAMING},
        {START "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", HF_REJECT_FRAMING},
        {START "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", HF_REJECT_FRAMING},
        {START "Content-Length: 2, 2\r\n\r\n{}", HF_REJECT_FRAMING},
        {START "Content-Length: -1\r\n\r\n", HF_REJECT_FRAMING},
        {START "Content-Length: 0x2\r\n\r\n{}", HF_REJECT_FRAMING},
        {START "Content-Length: 99999999999999999999\r\n\r\n", HF_REJECT_FRAMING},
        {START "Content-Length: 65537\r\n\r\n", HF_REJECT_BODY_SIZE},
        {START "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", HF_REJECT_FRAMING},
        {START "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", HF_REJECT_FRAMING},
        {START "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", HF_REJECT_FRAMING},
        {START "Transfer-Encoding: identity\r\n\r\n", HF_REJECT_FRAMING},
        {"POST /v1/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HF_REJECT_FRAMING},
        {START "Transfer-Encoding: chunked\r\n\r\nzz\r\n", HF_REJECT_FRAMING},
        {START "Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n", HF_REJECT_BODY_SIZE},
        {START "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", HF_REJECT_SYNTAX},
        {START "X-Folded: a\r\n b\r\n\r\n", HF_REJECT_SYNTAX},
        {START " X: a\r\n\r\n", HF_REJECT_SYNTAX},
        {START "X: a\n\r\n", HF_REJECT_SYNTAX},
        {START "X: a\n\n", HF_REJECT_SYNTAX},
        {"GET /v1/a HTTP/1.1\nHost: h\n\n", HF_REJECT_VERSION},
        {START "X: a\rb\r\n\r\n", HF_REJECT_SYNTAX},
        {START "X\x01: a\r\n\r\n", HF_REJECT_SYNTAX},
        {START ": a\r\n\r\n", HF_REJECT_SYNTAX},
        {START "X-Vault-Token: a\r\nX-Vault-Token: b\r\n\r\n", HF_REJECT_DUPLICATE_FIELD},
        {START "x-vault-namespace: a\r\nX-Vault-Namespace: a\r\n\r\n", HF_REJECT_DUPLICATE_FIELD},
        {START "Host: i\r\n\r\n", HF_REJECT_HOST},
        {"GET /v1/a HTTP/1.1\r\n\r\n", HF_REJECT_HOST},
        {"GET /v1/a HTTP/2.0\r\nHost: h\r\n\r\n", HF_REJECT_VERSION},
        {"GET /v1/a HTTP/1.2\r\nHost: h\r\n\r\n", HF_REJECT_VERSION},
        {"GET /v1/a HTTP/0.9\r\nHost: h\r\n\r\n", HF_REJECT_VERSION},
        {"GET /v1/a\r\n\r\n", HF_REJECT_VERSION},
        {"CONNECT host:1 HTTP/1.1\r\nHost: h\r\n\r\n", HF_REJECT_METHOD},
        {"\x16\x03\x01\x02", HF_REJECT_SYNTAX},
        {"BREW /v1/a HTTP/1.1\r\nHost: h\r\n\r\n", HF_REJECT_SYNTAX},
        {"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET /", HF_REJECT_SYNTAX},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        enum hf_reject reject = http1_refusal(rows[i].text);
        if (reject != rows[i].reject)
            print_error("%zu %s: %s, not %s\n", i, rows[i].text, hf_reject_name(reject),
                        hf_reject_name(rows[i].reject));
        assert_int_equal(reject, rows[i].reject);
    }
    /* An offer of another protocol is declined, not followed. */
    struct hf_http1 http1;
    struct hf_http_request request;
    static const char upgrade[] = "POST /v1/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                                  "Upgrade: h2c\r\nHTTP2-Settings: AAA\r\nContent-Length: 2\r\n\r\n{}";
    assert_int_equal(feed(&http1, upgrade, strlen(upgrade), 5, bytes, &request), HF_HTTP1_DONE);
    assert_true(hf_cursor_is(request.body, "{}"));
    assert_true(http1.keep_alive);
}

static void heads_have_bounds(void **state)
{
    (void)state;
    static char head[2 * HEAD_MAX];
    size_t len = (size_t)snprintf(head, sizeof(head), "GET /v1/a HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < HF_HTTP_FIELDS_MAX; i++)
        len += (size_t)snprintf(head + len, sizeof(head) - len, "X: y\r\n");
    memcpy(head + len, "\r\n", 3);
    assert_int_equal(http1_refusal(head), HF_REJECT_HEADER_SIZE);
    len = (size_t)snprintf(head, sizeof(head), "GET /v1/a HTTP/1.1\r\nHost: h\r\nX: ");
    memset(head + len, 'x', HEAD_MAX);
    memcpy(head + len + HEAD_MAX, "\r\n\r\n", 5);
    assert_int_equal(http1_refusal(head), HF_REJECT_HEADER_SIZE);
    memcpy(head, "GET /v1/", 8);
    memset(head + 8, 'a', HF_HTTP_TARGET_MAX);
    head[8 + HF_HTTP_TARGET_MAX] = 0;
    enum hf_reject reject = http1_refusal(head);
    assert_true(reject == HF_REJECT_TARGET_SIZE || reject == HF_REJECT_HEADER_SIZE);
}

/* ---- answers ---- */

static hf_result opened(const struct hf_wire_answer *answer, struct hf_http_answer *ret)
{
    static uint8_t frame[4096];
    struct hf_buf out = hf_buf(frame, sizeof(frame));
    hf_wire_answer_write(&out, answer);
    return hf_http_answer_open(hf_buf_cursor(&out), ret);
}

static const char *rendered(const struct hf_wire_answer *answer, struct hf_http_head *head)
{
    struct hf_buf out = hf_buf(bytes, sizeof(bytes) - 1);
    struct hf_http_answer open;
    head->request_id = (struct hf_id){{0x11, 0x22}};
    assert_int_equal(opened(answer, &open).code, HF_OK);
    assert_int_equal(hf_http_answer_body(&open, &out, head).code, HF_OK);
    assert_true(out.len <= hf_http_answer_max(&open));
    bytes[out.len] = 0;
    return (const char *)bytes;
}

#define ID "11220000-0000-0000-0000-000000000000"

static void answers_have_the_known_shapes(void **state)
{
    (void)state;
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_http_head head = {0};
    hf_tw_map(&w);
    hf_tw_k_text(&w, "a", "b");
    hf_tw_k_int(&w, "data", 1);
    hf_tw_end(&w);
    struct hf_cursor map = hf_buf_cursor(&out);
    struct hf_wire_answer answer = {.http = 200, .shape = HF_ANSWER_DATA, .tree = map};
    assert_string_equal(
        rendered(&answer, &head),
        "{\"request_id\":\"" ID "\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,"
        "\"data\":{\"a\":\"b\",\"data\":1},\"wrap_info\":null,\"warnings\":null,\"auth\":null}\n");
    answer.shape = HF_ANSWER_AUTH;
    assert_non_null(strstr(rendered(&answer, &head),
                           "\"data\":null,\"wrap_info\":null,\"warnings\":null,\"auth\":{\"a\""));
    answer.shape = HF_ANSWER_BOTH;
    assert_non_null(strstr(rendered(&answer, &head), "\"auth\":null,\"a\":\"b\"}\n"));
    answer.shape = HF_ANSWER_TOP;
    assert_string_equal(rendered(&answer, &head), "{\"a\":\"b\",\"data\":1}\n");
    assert_true(hf_cursor_is(head.content_type, "application/json"));
    answer.shape = HF_ANSWER_NONE;
    answer.http = 204;
    answer.tree = hf_cursor("", 0);
    assert_string_equal(rendered(&answer, &head), "");
    assert_int_equal(head.content_type.left, 0);
    answer.shape = HF_ANSWER_TEXT;
    answer.http = 200;
    answer.content_type = hf_cursor_text("text/plain; version=0.0.4");
    answer.tree = hf_cursor("\x05\x00\x00\x00\x02hi", 7);
    assert_string_equal(rendered(&answer, &head), "hi");
    assert_true(hf_cursor_is(head.content_type, "text/plain; version=0.0.4"));
    answer.shape = HF_ANSWER_ERRORS;
    answer.content_type = hf_cursor("", 0);
    answer.tree = hf_cursor("\x07\x00\x00\x00\x07\x00\x00\x00\x01\x05\x00\x00\x00\x02no", 16);
    answer.index = hf_cursor_text("a\r\nSet-Cookie: x");
    assert_string_equal(rendered(&answer, &head), "{\"errors\":[\"no\"]}\n");
    assert_int_equal(head.index.left, 0);
    answer.tree = hf_cursor("\x07\x00", 2);
    struct hf_http_answer open;
    assert_int_equal(opened(&answer, &open).code, HF_BAD_REQUEST);
}

static void heads_say_what_stands_behind_them(void **state)
{
    (void)state;
    struct hf_http_head head = {
        .status = 200, .content_type = hf_cursor_text("application/json"), .request_id = {{0x11, 0x22}}};
    struct hf_buf out = hf_buf(bytes, sizeof(bytes) - 1);
    hf_http_head_write(&head, 12, &out);
    bytes[out.len] = 0;
    assert_string_equal((const char *)bytes, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                             "Cache-Control: no-store\r\nX-Holdfast-Request-Id: " ID "\r\n"
                                             "Content-Length: 12\r\n\r\n");
    head = (struct hf_http_head){.status = 503,
                                 .retry_after_s = 2,
                                 .dev = true,
                                 .close = true,
                                 .request_id = {{0x11, 0x22}},
                                 .index = hf_cursor_text("i")};
    out = hf_buf(bytes, sizeof(bytes) - 1);
    hf_http_head_write(&head, 0, &out);
    bytes[out.len] = 0;
    assert_string_equal((const char *)bytes, "HTTP/1.1 503 Service Unavailable\r\nCache-Control: no-store\r\n"
                                             "X-Holdfast-Request-Id: " ID "\r\nX-Holdfast-Level: dev\r\n"
                                             "X-Vault-Index: i\r\nRetry-After: 2\r\nConnection: close\r\n"
                                             "Content-Length: 0\r\n\r\n");
}

static void every_rejection_is_an_answer(void **state)
{
    (void)state;
    for (unsigned i = 1; i < HF_REJECT_COUNT; i++) {
        struct hf_http_head head = {0};
        struct hf_buf out = hf_buf(bytes, 512);
        hf_http_reject_body((enum hf_reject)i, 4294967295U, &out, &head);
        assert_false(out.overflow);
        if (hf_reject_code((enum hf_reject)i) != HF_OK)
            assert_true(head.status >= 400 && strlen(hf_reject_text((enum hf_reject)i)) > 0);
        assert_true(strlen(hf_http_reason(head.status)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_becomes_a_call),
        cmocka_unit_test(methods_are_told_apart),
        cmocka_unit_test(paths_have_one_name_each),
        cmocka_unit_test(query_and_body_are_one_map),
        cmocka_unit_test(the_token_comes_by_either_field),
        cmocka_unit_test(the_densest_body_fits_its_bound),
        cmocka_unit_test(messages_come_out_of_any_pieces),
        cmocka_unit_test(messages_follow_each_other),
        cmocka_unit_test(a_waiting_client_is_told_to_go_on_once),
        cmocka_unit_test(doubtful_messages_are_refused),
        cmocka_unit_test(heads_have_bounds),
        cmocka_unit_test(answers_have_the_known_shapes),
        cmocka_unit_test(heads_say_what_stands_behind_them),
        cmocka_unit_test(every_rejection_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
