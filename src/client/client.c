#include "holdfast/client.h"

#include <errno.h>
#include <fcntl.h>
#include <llhttp.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "secret/secret.h"

enum {
    RESPONSE_MAX = 64 << 20,
    TEXT_MAX = 512,
    WHY_MAX = 256,
    HEAD_MAX = 4096,
    CHUNK = 32 << 10,
    TIMEOUT_MS = 60000
};

struct hf_client {
    bool tls, skip_verify;
    char host[TEXT_MAX], port[8], server_name[TEXT_MAX], ns[TEXT_MAX];
    char *token;
    int timeout_ms;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    bool keep;
    char why[WHY_MAX];
};

static hf_result failed(struct hf_client *c, enum hf_code code, const char *what, const char *detail)
{
    struct hf_buf text = hf_buf(c->why, sizeof(c->why) - 1);
    hf_buf_put(&text, what, HF_MIN(strlen(what), (size_t)100));
    if (detail != NULL && detail[0] != '\0') {
        hf_buf_text(&text, ": ");
        hf_buf_put(&text, detail, HF_MIN(strlen(detail), WHY_MAX - text.len - 1));
    }
    c->why[text.len] = '\0';
    return (hf_result){code};
}

static const char *tls_reason(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = e == 0 ? NULL : ERR_reason_error_string(e);
    return text == NULL ? "" : text;
}

static bool copy_text(char *to, size_t cap, const char *from, size_t len)
{
    if (len >= cap)
        return false;
    memcpy(to, from, len);
    to[len] = '\0';
    return true;
}

static hf_result parse_address(struct hf_client *c, const char *address)
{
    const char *rest = address;
    if (strncmp(rest, "https://", 8) == 0) {
        c->tls = true;
        rest += 8;
    } else if (strncmp(rest, "http://", 7) == 0) {
        rest += 7;
    } else {
        return HF_FAIL(BAD_ARGUMENT);
    }
    size_t len = strcspn(rest, "/");
    if (rest[len] == '/' && rest[len + 1] != '\0')
        return HF_FAIL(BAD_ARGUMENT);
    const char *host = rest, *end = rest + len, *colon = NULL;
    if (*host == '[') {
        const char *close_bracket = memchr(host, ']', len);
        if (close_bracket == NULL)
            return HF_FAIL(BAD_ARGUMENT);
        if (!copy_text(c->host, sizeof(c->host), host + 1, (size_t)(close_bracket - host - 1)))
            return HF_FAIL(BAD_ARGUMENT);
        colon = close_bracket + 1 < end && close_bracket[1] == ':' ? close_bracket + 1 : NULL;
    } else {
        colon = memchr(host, ':', len);
        if (!copy_text(c->host, sizeof(c->host), host, colon == NULL ? len : (size_t)(colon - host)))
            return HF_FAIL(BAD_ARGUMENT);
    }
    const char *port = colon == NULL ? (c->tls ? "443" : "80") : colon + 1;
    size_t port_len = colon == NULL ? strlen(port) : (size_t)(end - port);
    if (c->host[0] == '\0' || port_len == 0 || !copy_text(c->port, sizeof(c->port), port, port_len))
        return HF_FAIL(BAD_ARGUMENT);
    return HF_DONE;
}

static hf_result tls_setup(struct hf_client *c, const struct hf_client_options *o)
{
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (c->ctx == NULL)
        return failed(c, HF_NO_MEMORY, "TLS", tls_reason());
    SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION);
    SSL_CTX_set_options(c->ctx, SSL_OP_CLEANSE_PLAINTEXT);
    if (SSL_CTX_set1_groups_list(c->ctx, "X25519MLKEM768:X25519:P-256") != 1)
        return failed(c, HF_INTERNAL, "TLS groups", tls_reason());
    if (c->skip_verify) {
        SSL_CTX_set_verify(c->ctx, SSL_VERIFY_NONE, NULL);
    } else {
        SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
        int trusted = o->ca_file != NULL ? SSL_CTX_load_verify_file(c->ctx, o->ca_file)
                                         : SSL_CTX_set_default_verify_paths(c->ctx);
        if (trusted != 1)
            return failed(c, HF_BAD_ARGUMENT, "cannot read the CA file", o->ca_file);
    }
    if (o->cert_file != NULL) {
        const char *key = o->key_file != NULL ? o->key_file : o->cert_file;
        if (SSL_CTX_use_certificate_chain_file(c->ctx, o->cert_file) != 1)
            return failed(c, HF_BAD_ARGUMENT, "cannot read the client certificate", o->cert_file);
        if (SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) != 1)
            return failed(c, HF_BAD_ARGUMENT, "cannot use the client key", key);
    }
    return HF_DONE;
}

hf_result hf_client_new(const struct hf_client_options *options, struct hf_client **ret_client)
{
    struct hf_client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return HF_FAIL(NO_MEMORY);
    c->fd = -1;
    c->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS;
    c->skip_verify = options->skip_verify != 0;
    hf_result done = parse_address(c, options->address != NULL ? options->address : "https://127.0.0.1:8200");
    const char *name = options->server_name != NULL ? options->server_name : c->host;
    const char *ns = options->ns != NULL ? options->ns : "";
    if (HF_IS_OK(done) && (!copy_text(c->server_name, sizeof(c->server_name), name, strlen(name)) ||
                           !copy_text(c->ns, sizeof(c->ns), ns, strlen(ns)) || strpbrk(ns, "\r\n") != NULL))
        done = HF_FAIL(BAD_ARGUMENT);
    if (HF_IS_OK(done) && c->tls)
        done = tls_setup(c, options);
    if (HF_IS_OK(done))
        done = hf_client_set_token(c, options->token);
    if (!HF_IS_OK(done)) {
        hf_client_free(c);
        return done;
    }
    *ret_client = c;
    return HF_DONE;
}

hf_result hf_client_set_token(struct hf_client *client, const char *token)
{
    if (token != NULL && (strlen(token) > HEAD_MAX / 2 || strpbrk(token, "\r\n") != NULL))
        return failed(client, HF_BAD_ARGUMENT, "that is no token", NULL);
    if (client->token != NULL) {
        hf_wipe(client->token, strlen(client->token));
        free(client->token);
        client->token = NULL;
    }
    if (token != NULL && token[0] != '\0' && (client->token = strdup(token)) == NULL)
        return HF_FAIL(NO_MEMORY);
    return HF_DONE;
}

static void disconnect(struct hf_client *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void hf_client_free(struct hf_client *client)
{
    if (client == NULL)
        return;
    disconnect(client);
    SSL_CTX_free(client->ctx);
    HF_IGNORE(hf_client_set_token(client, NULL), "removing a token cannot fail");
    free(client);
}

const char *hf_client_why(const struct hf_client *client)
{
    return client->why;
}

const char *hf_client_group(const struct hf_client *client)
{
    const char *name = client->ssl == NULL ? NULL : SSL_get0_group_name(client->ssl);
    return name == NULL ? "" : name;
}

/* ---- waiting, with the request's deadline ---- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static hf_result wait_fd(struct hf_client *c, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - now_ms();
        if (left <= 0)
            return failed(c, HF_TIMEOUT, "the server did not answer in time", NULL);
        struct pollfd p = {.fd = c->fd, .events = events};
        int n = poll(&p, 1, (int)left);
        if (n > 0)
            return HF_DONE;
        if (n < 0 && errno != EINTR)
            return failed(c, HF_SYSTEM, "poll", strerror(errno));
    }
}

static hf_result connect_one(struct hf_client *c, const struct addrinfo *a, int64_t deadline)
{
    c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return failed(c, HF_SYSTEM, "socket", strerror(errno));
    if (connect(c->fd, a->ai_addr, a->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            return failed(c, HF_ROLE_DOWN, "cannot connect", strerror(errno));
        TRY(wait_fd(c, POLLOUT, deadline));
        int error = 0;
        socklen_t len = sizeof(error);
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
            return failed(c, HF_ROLE_DOWN, "cannot connect", strerror(error));
    }
    int one = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* latency only */
    return HF_DONE;
}

static hf_result tls_handshake(struct hf_client *c, int64_t deadline)
{
    c->ssl = SSL_new(c->ctx);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
        return failed(c, HF_NO_MEMORY, "TLS", tls_reason());
    unsigned char address[16];
    bool is_ip =
        inet_pton(AF_INET, c->server_name, address) == 1 || inet_pton(AF_INET6, c->server_name, address) == 1;
    if (is_ip)
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), c->server_name);
    else if (SSL_set_tlsext_host_name(c->ssl, c->server_name) != 1 ||
             SSL_set1_host(c->ssl, c->server_name) != 1)
        return failed(c, HF_BAD_ARGUMENT, "server name", c->server_name);
    for (;;) {
        ERR_clear_error();
        int n = SSL_connect(c->ssl);
        if (n == 1)
            return HF_DONE;
        int want = SSL_get_error(c->ssl, n);
        if (want == SSL_ERROR_WANT_READ || want == SSL_ERROR_WANT_WRITE) {
            TRY(wait_fd(c, want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline));
            continue;
        }
        long verify = SSL_get_verify_result(c->ssl);
        if (verify != X509_V_OK && !c->skip_verify)
            return failed(c, HF_BAD_PEER_KEY, "the server's certificate is refused",
                          X509_verify_cert_error_string(verify));
        return failed(c, HF_ROLE_DOWN, "TLS handshake failed", tls_reason());
    }
}

static hf_result connect_any(struct hf_client *c, int64_t deadline)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int looked = getaddrinfo(c->host, c->port, &hints, &list);
    if (looked != 0)
        return failed(c, HF_ROLE_DOWN, "cannot find the server's address", gai_strerror(looked));
    hf_result done = failed(c, HF_ROLE_DOWN, "cannot connect", c->host);
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        done = connect_one(c, a, deadline);
        if (HF_IS_OK(done))
            break;
        disconnect(c);
    }
    freeaddrinfo(list);
    TRY(done);
    return c->tls ? tls_handshake(c, deadline) : HF_DONE;
}

static hf_result send_all(struct hf_client *c, const uint8_t *bytes, size_t len, int64_t deadline)
{
    while (len != 0) {
        ERR_clear_error();
        ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, bytes, (int)HF_MIN(len, (size_t)1 << 20))
                                   : send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
            continue;
        }
        short events = POLLOUT;
        if (c->ssl != NULL) {
            int want = SSL_get_error(c->ssl, (int)n);
            if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
                return failed(c, HF_ROLE_DOWN, "connection lost", tls_reason());
            events = want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        } else if (errno != EAGAIN && errno != EINTR) {
            return failed(c, HF_ROLE_DOWN, "connection lost", strerror(errno));
        }
        TRY(wait_fd(c, events, deadline));
    }
    return HF_DONE;
}

/* ret_len 0: end of the stream. */
static hf_result receive(struct hf_client *c, uint8_t *bytes, size_t cap, int64_t deadline, size_t *ret_len)
{
    for (;;) {
        ERR_clear_error();
        ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, bytes, (int)cap) : recv(c->fd, bytes, cap, 0);
        if (n > 0) {
            *ret_len = (size_t)n;
            return HF_DONE;
        }
        short events = POLLIN;
        if (c->ssl != NULL) {
            int want = SSL_get_error(c->ssl, (int)n);
            if (want == SSL_ERROR_ZERO_RETURN) {
                *ret_len = 0;
                return HF_DONE;
            }
            if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
                return failed(c, HF_ROLE_DOWN, "connection lost", tls_reason());
            events = want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        } else if (n == 0) {
            *ret_len = 0;
            return HF_DONE;
        } else if (errno != EAGAIN && errno != EINTR) {
            return failed(c, HF_ROLE_DOWN, "connection lost", strerror(errno));
        }
        TRY(wait_fd(c, events, deadline));
    }
}

/* ---- response ---- */

struct reading {
    struct hf_response *response;
    size_t cap;
    bool complete, too_large, keep;
};

static bool grow(struct reading *r, size_t more)
{
    size_t need = r->response->body_len + more + 1;
    if (need > RESPONSE_MAX) {
        r->too_large = true;
        return false;
    }
    if (need <= r->cap)
        return true;
    size_t cap = HF_MAX(need, r->cap * 2);
    char *bigger = malloc(cap);
    if (bigger == NULL)
        return false;
    if (r->response->body != NULL) {
        memcpy(bigger, r->response->body, r->response->body_len);
        hf_wipe(r->response->body, r->response->body_len); /* growth leaves no copy */
        free(r->response->body);
    }
    r->response->body = bigger;
    r->cap = cap;
    return true;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct reading *r = parser->data;
    if (!grow(r, len))
        return -1;
    memcpy(r->response->body + r->response->body_len, at, len);
    r->response->body_len += len;
    r->response->body[r->response->body_len] = '\0';
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct reading *r = parser->data;
    r->complete = true;
    r->keep = llhttp_should_keep_alive(parser) != 0;
    return HPE_PAUSED;
}

static hf_result read_response(struct hf_client *c, bool head, int64_t deadline, struct hf_response *response)
{
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_body = on_body;
    settings.on_message_complete = on_complete;
    struct reading r = {.response = response};
    llhttp_t parser;
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = &r;
    if (head)
        parser.flags |= F_SKIPBODY;
    if (!grow(&r, 0))
        return HF_FAIL(NO_MEMORY);
    response->body[0] = '\0';
    uint8_t chunk[CHUNK];
    hf_result done = HF_DONE;
    while (HF_IS_OK(done) && !r.complete) {
        size_t len = 0;
        done = receive(c, chunk, sizeof(chunk), deadline, &len);
        if (!HF_IS_OK(done))
            break;
        enum llhttp_errno e =
            len == 0 ? llhttp_finish(&parser) : llhttp_execute(&parser, (const char *)chunk, len);
        if (r.too_large)
            done = failed(c, HF_TOO_LARGE, "the answer is too large", NULL);
        else if (e != HPE_OK && e != HPE_PAUSED)
            done = failed(c, HF_BAD_REQUEST, "the answer is not HTTP", llhttp_errno_name(e));
        else if (len == 0 && !r.complete)
            done = failed(c, HF_ROLE_DOWN, "the server closed the connection", NULL);
    }
    hf_wipe(chunk, sizeof(chunk));
    response->status = parser.status_code;
    c->keep = r.keep;
    return done;
}

static void header(struct hf_buf *out, const char *name, const char *value)
{
    hf_buf_text(out, name);
    hf_buf_text(out, ": ");
    hf_buf_text(out, value);
    hf_buf_text(out, "\r\n");
}

static hf_result write_head(const struct hf_client *c, const char *method, const char *path, size_t body_len,
                            struct hf_buf *out)
{
    hf_buf_text(out, method);
    hf_buf_text(out, " /v1/");
    hf_buf_text(out, path);
    hf_buf_text(out, " HTTP/1.1\r\n");
    bool v6 = strchr(c->host, ':') != NULL;
    hf_buf_text(out, "Host: ");
    hf_buf_text(out, v6 ? "[" : "");
    hf_buf_text(out, c->host);
    hf_buf_text(out, v6 ? "]:" : ":");
    hf_buf_text(out, c->port);
    hf_buf_text(out, "\r\n");
    if (c->token != NULL)
        header(out, "X-Vault-Token", c->token);
    if (c->ns[0] != '\0')
        header(out, "X-Vault-Namespace", c->ns);
    header(out, "X-Vault-Request", "true");
    if (body_len != 0)
        header(out, "Content-Type", "application/json");
    hf_buf_text(out, "Content-Length: ");
    hf_buf_decimal(out, body_len);
    hf_buf_text(out, "\r\n\r\n");
    return hf_buf_ok(out);
}

static hf_result call_once(struct hf_client *c, const char *method, struct hf_cursor head, const char *body,
                           size_t body_len, struct hf_response *response)
{
    int64_t deadline = now_ms() + c->timeout_ms;
    if (c->fd < 0)
        TRY(connect_any(c, deadline));
    TRY(send_all(c, head.at, head.left, deadline));
    if (body_len != 0)
        TRY(send_all(c, (const uint8_t *)body, body_len, deadline));
    return read_response(c, strcmp(method, "HEAD") == 0, deadline, response);
}

/* A kept connection between requests has nothing to say: readable means that the server closed it. Found out before
 * sending, so that no request is ever sent twice. */
static bool was_closed(const struct hf_client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

hf_result hf_client_call(struct hf_client *client, const char *method, const char *path, const char *body,
                         size_t body_len, struct hf_response *ret_response)
{
    uint8_t head_bytes[HEAD_MAX + 2 * TEXT_MAX];
    struct hf_buf head = hf_buf(head_bytes, sizeof(head_bytes));
    client->why[0] = '\0';
    *ret_response = (struct hf_response){0};
    if (strpbrk(path, " \r\n") != NULL)
        return failed(client, HF_BAD_ARGUMENT, "the path must be encoded", NULL);
    hf_result done = write_head(client, method, path, body_len, &head);
    if (HF_IS_OK(done)) {
        if (client->fd >= 0 && was_closed(client))
            disconnect(client);
        done = call_once(client, method, hf_buf_cursor(&head), body, body_len, ret_response);
    }
    hf_wipe(head_bytes, head.len); /* the token stood here */
    if (!HF_IS_OK(done) || !client->keep)
        disconnect(client);
    if (!HF_IS_OK(done))
        hf_response_done(ret_response);
    return done;
}

void hf_response_done(struct hf_response *response)
{
    if (response->body != NULL) {
        hf_wipe(response->body, response->body_len);
        free(response->body);
    }
    *response = (struct hf_response){0};
}
