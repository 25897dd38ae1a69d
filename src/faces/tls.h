/* TLS for the fronts: version 1.3 only, hybrid post-quantum key agreement first, no tickets, no early data, so that no
 * session key outlives its session. */
#ifndef HF_FACES_TLS_H
#define HF_FACES_TLS_H

#include "base/cursor.h"
#include "base/result.h"

struct ssl_st;     /* OpenSSL's struct ssl_st */
struct ssl_ctx_st; /* and SSL_CTX: rooms above know them by name only */

enum { HF_TLS_PAIRS_MAX = 8, HF_TLS_CLIENT_CERT_MAX = 60000 /* bytes of DER: a frame's field */ };

struct hf_tls_setup {
    struct { /* PEM: a leaf and its chain; its private key */
        struct hf_cursor cert, key;
    } pairs[HF_TLS_PAIRS_MAX]; /* of different kinds: the client's signature algorithms choose */
    unsigned pair_count;
    struct hf_cursor client_ca; /* PEM; "": client certificates are asked for and passed on unverified */
    bool require_client_cert;
};

/* A listener's TLS, shared by its connections and freed with the last. Fails: CONFIG with why (static text) where a
 * certificate or key cannot be used; NO_MEMORY. */
hf_result hf_tls_context_new(const struct hf_tls_setup *setup, struct ssl_ctx_st **ret_context,
                             const char **ret_why);
void hf_tls_context_free(struct ssl_ctx_st *context);

enum hf_tls_status { HF_TLS_OK, HF_TLS_WANT_READ, HF_TLS_WANT_WRITE, HF_TLS_CLOSED, HF_TLS_FAILED };
/* A server's end over fd (borrowed). NULL where memory is out. */
struct ssl_st *hf_tls_new(struct ssl_ctx_st *context, int fd);
enum hf_tls_status hf_tls_handshake(struct ssl_st *ssl);
enum hf_tls_status hf_tls_read(struct ssl_st *ssl, uint8_t *to, size_t room, size_t *ret_len);
enum hf_tls_status hf_tls_write(struct ssl_st *ssl, const uint8_t *from, size_t len, size_t *ret_len);
/* Whether bytes wait inside that the descriptor will not tell of. */
bool hf_tls_pending(const struct ssl_st *ssl);
/* Sends the close notice, as far as that goes without waiting. */
void hf_tls_goodbye(struct ssl_st *ssl);
/* Gives its buffers back until they are needed again. */
void hf_tls_rest(struct ssl_st *ssl);
void hf_tls_free(struct ssl_st *ssl);

/* After the handshake: 1 classical, 2 hybrid, as in struct hf_wire_call. */
uint8_t hf_tls_group(struct ssl_st *ssl);
bool hf_tls_is_h2(const struct ssl_st *ssl);
/* The client's certificate in DER, to be freed with hf_tls_cert_free; NULL where it has shown none (or one beyond
 * HF_TLS_CLIENT_CERT_MAX). */
uint8_t *hf_tls_client_cert(const struct ssl_st *ssl, size_t *ret_len);
void hf_tls_cert_free(uint8_t *der);

#endif
