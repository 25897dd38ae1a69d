/* Full TLS 1.3 handshakes: what one costs the server, by OpenSSL alone and with Holdfast's settings, in memory and over
 * sockets.
 *
 *     bench_micro_tls memory ours|bare CERT KEY GROUP   microseconds of the server's side, client and server in memory
 *     bench_micro_tls serve CERT KEY COUNT   a bare server on a loopback port, which it prints; then its us a handshake
 *     bench_micro_tls load PORT COUNT GROUP  connects, shakes hands, leaves; COUNT times, one after another
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "faces/tls.h"

enum { ROUNDS = 9, EACH = 40, PEM_MAX = 1 << 16 };

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_micro_tls: %s failed\n", what);
    exit(1);
}

static double cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct hf_cursor read_file(const char *path, uint8_t *space)
{
    FILE *file = fopen(path, "rb");
    must(file != NULL, path);
    size_t len = fread(space, 1, PEM_MAX, file);
    (void)fclose(file);
    return hf_cursor(space, len);
}

static SSL_CTX *bare_context(const char *cert, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    must(context != NULL && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1, "SSL_CTX_new");
    must(SSL_CTX_use_certificate_chain_file(context, cert) == 1, cert);
    must(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1, key);
    must(SSL_CTX_set_num_tickets(context, 0) == 1, "SSL_CTX_set_num_tickets");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

static SSL_CTX *our_context(const char *cert, const char *key)
{
    static uint8_t cert_pem[PEM_MAX], key_pem[PEM_MAX];
    struct hf_tls_setup setup = {.pair_count = 1};
    SSL_CTX *context = NULL;
    const char *why = "";
    setup.pairs[0].cert = read_file(cert, cert_pem);
    setup.pairs[0].key = read_file(key, key_pem);
    must(HF_IS_OK(hf_tls_context_new(&setup, &context, &why)), "hf_tls_context_new");
    return context;
}

static SSL_CTX *client_context(const char *group)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    must(context != NULL && SSL_CTX_set1_groups_list(context, group) == 1, group);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

/* Microseconds of the server's side of one handshake. */
static double shake_in_memory(SSL_CTX *server_context, SSL_CTX *client)
{
    double spent = 0;
    BIO *a = NULL, *b = NULL;
    SSL *c = SSL_new(client);
    must(c != NULL && BIO_new_bio_pair(&a, 1 << 16, &b, 1 << 16) == 1, "SSL_new");
    SSL_set_bio(c, b, b);
    SSL_set_connect_state(c);
    double begin = cpu_us();
    SSL *s = SSL_new(server_context);
    must(s != NULL, "SSL_new");
    SSL_set_bio(s, a, a);
    SSL_set_accept_state(s);
    spent += cpu_us() - begin;
    for (int turn = 0; turn < 8 && !(SSL_is_init_finished(c) && SSL_is_init_finished(s)); turn++) {
        (void)SSL_do_handshake(c);
        begin = cpu_us();
        (void)SSL_do_handshake(s);
        spent += cpu_us() - begin;
    }
    must(SSL_is_init_finished(s) && SSL_is_init_finished(c), "the handshake");
    begin = cpu_us();
    SSL_free(s);
    spent += cpu_us() - begin;
    SSL_free(c);
    return spent;
}

static void memory(SSL_CTX *server, const char *group)
{
    double us[ROUNDS];
    SSL_CTX *client = client_context(group);
    for (int r = 0; r < ROUNDS; r++) {
        us[r] = 0;
        for (int i = 0; i < EACH; i++)
            us[r] += shake_in_memory(server, client) / EACH;
    }
    qsort(us, ROUNDS, sizeof(double), ascending);
    printf("%.2f\n", us[ROUNDS / 2]);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

/* ---- over sockets ---- */

static void serve(const char *cert, const char *key, long count)
{
    static const int yes = 1;
    SSL_CTX *context = bare_context(cert, key);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 512) == 0 &&
             getsockname(listener, (struct sockaddr *)&at, &len) == 0,
         "listen");
    printf("%u\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    double begin = cpu_us();
    for (long i = 0; i < count; i++) {
        uint8_t byte;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        SSL *ssl = SSL_new(context);
        must(fd >= 0 && ssl != NULL && SSL_set_fd(ssl, fd) == 1, "accept");
        if (SSL_accept(ssl) == 1) {
            (void)SSL_read(ssl, &byte, 1); /* its end */
            (void)SSL_shutdown(ssl);
        }
        SSL_free(ssl);
        close(fd);
    }
    printf("%.2f\n", (cpu_us() - begin) / (double)count);
    SSL_CTX_free(context);
    close(listener);
}

static void load(uint16_t port, long count, const char *group)
{
    static const int yes = 1;
    SSL_CTX *context = client_context(group);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (long i = 0; i < count; i++) {
        uint8_t byte;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        SSL *ssl = SSL_new(context);
        must(fd >= 0 && ssl != NULL && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        must(SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1, "SSL_connect");
        (void)SSL_shutdown(ssl);
        (void)SSL_read(ssl, &byte, 1);
        SSL_free(ssl);
        close(fd);
    }
    SSL_CTX_free(context);
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "memory") == 0 && strcmp(argv[2], "ours") == 0) {
        must(HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)), "hf_crypto_start"); /* as the front has it */
        memory(our_context(argv[3], argv[4]), argv[5]);
    } else if (argc == 6 && strcmp(argv[1], "memory") == 0) {
        memory(bare_context(argv[3], argv[4]), argv[5]);
    } else if (argc == 5 && strcmp(argv[1], "serve") == 0) {
        serve(argv[2], argv[3], strtol(argv[4], NULL, 10));
    } else if (argc == 5 && strcmp(argv[1], "load") == 0) {
        load((uint16_t)strtol(argv[2], NULL, 10), strtol(argv[3], NULL, 10), argv[4]);
    } else {
        return 2;
    }
    return 0;
}
