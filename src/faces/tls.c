#include "faces/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

/* Hybrids stand in a tuple of their own: a client that can do one is asked for its share even where it sent another
 * group's first. What this OpenSSL lacks is passed over. */
static const char groups[] = "?X25519MLKEM768:?SecP256r1MLKEM768:?SecP384r1MLKEM1024/X25519:P-256";
static const char ciphers[] = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";

static void bio_freep(BIO **bio)
{
    BIO_free(*bio);
}
static void pkey_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
static void x509_freep(X509 **cert)
{
    X509_free(*cert);
}
static void free_cert(X509 *cert)
{
    X509_free(cert);
}
static void chain_freep(STACK_OF(X509) * *chain)
{
    sk_X509_pop_free(*chain, free_cert);
}
static void context_freep(SSL_CTX **context)
{
    SSL_CTX_free(*context);
}

static int no_passphrase(char *to, int size, int writing, void *arg)
{
    (void)to, (void)size, (void)writing, (void)arg;
    return -1;
}

static BIO *reader(struct hf_cursor pem)
{
    return pem.left > INT32_MAX ? NULL : BIO_new_mem_buf(pem.at, (int)pem.left);
}

static hf_result fail(const char *why, const char **ret_why)
{
    ERR_clear_error();
    *ret_why = why;
    return HF_FAIL(CONFIG);
}

static hf_result use_pair(SSL_CTX *context, struct hf_cursor cert_pem, struct hf_cursor key_pem,
                          const char **ret_why)
{
    CLEANUP(bio_freep) BIO *certs = reader(cert_pem);
    CLEANUP(bio_freep) BIO *keys = reader(key_pem);
    CLEANUP(x509_freep) X509 *leaf = NULL;
    CLEANUP(pkey_freep) EVP_PKEY *key = NULL;
    CLEANUP(chain_freep) STACK_OF(X509) *chain = sk_X509_new_null();
    if (certs == NULL || keys == NULL || chain == NULL)
        return HF_FAIL(NO_MEMORY);
    leaf = PEM_read_bio_X509(certs, NULL, no_passphrase, NULL);
    if (leaf == NULL)
        return fail("certificate file holds no PEM certificate", ret_why);
    for (X509 *next; (next = PEM_read_bio_X509(certs, NULL, no_passphrase, NULL)) != NULL;) {
        if (sk_X509_push(chain, next) == 0) {
            X509_free(next);
            return HF_FAIL(NO_MEMORY);
        }
    }
    ERR_clear_error(); /* the end of the file is told as an error */
    key = PEM_read_bio_PrivateKey(keys, NULL, no_passphrase, NULL);
    if (key == NULL)
        return fail("key file holds no PEM private key without a passphrase", ret_why);
    if (X509_check_private_key(leaf, key) != 1)
        return fail("private key is not the certificate's", ret_why);
    if (SSL_CTX_use_cert_and_key(context, leaf, key, chain, 1) != 1)
        return fail("certificate and key cannot be used for TLS", ret_why);
    return HF_DONE;
}

/* Whoever signed it: the core decides whom a certificate makes of its holder. That the client holds the key is
 * proven by the handshake itself. */
static int accept_any(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static hf_result ask_for_clients(SSL_CTX *context, const struct hf_tls_setup *setup, const char **ret_why)
{
    int mode = SSL_VERIFY_PEER | (setup->require_client_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    SSL_CTX_set_verify(context, mode, NULL);
    if (setup->client_ca.left == 0) {
        SSL_CTX_set_cert_verify_callback(context, accept_any, NULL);
        return HF_DONE;
    }
    CLEANUP(bio_freep) BIO *pem = reader(setup->client_ca);
    unsigned count = 0;
    if (pem == NULL)
        return HF_FAIL(NO_MEMORY);
    for (X509 *ca; (ca = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL)) != NULL; count++) {
        bool added = X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca) == 1 &&
                     SSL_CTX_add_client_CA(context, ca) == 1;
        X509_free(ca);
        if (!added)
            return fail("client CA cannot be used", ret_why);
    }
    ERR_clear_error();
    return count > 0 ? HF_DONE : fail("client CA file holds no PEM certificate", ret_why);
}

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                           const unsigned char *offered, unsigned int offered_len, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen;
    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof(ours) - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

hf_result hf_tls_context_new(const struct hf_tls_setup *setup, SSL_CTX **ret_context, const char **ret_why)
{
    CLEANUP(context_freep) SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    *ret_why = "out of memory";
    if (context == NULL)
        return HF_FAIL(NO_MEMORY);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                     SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(context, 1); /* a record's head and body in one read */
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_num_tickets(context, 0) != 1 || SSL_CTX_set_max_early_data(context, 0) != 1 ||
        SSL_CTX_set_ciphersuites(context, ciphers) != 1 || SSL_CTX_set1_groups_list(context, groups) != 1)
        return fail("TLS 1.3 cannot be set up with this OpenSSL", ret_why);
    if (setup->pair_count == 0)
        return fail("no certificate is given", ret_why);
    for (unsigned i = 0; i < setup->pair_count; i++)
        TRY(use_pair(context, setup->pairs[i].cert, setup->pairs[i].key, ret_why));
    TRY(ask_for_clients(context, setup, ret_why));
    *ret_context = TAKE(context);
    *ret_why = "";
    return HF_DONE;
}

void hf_tls_context_free(SSL_CTX *context)
{
    SSL_CTX_free(context);
}

SSL *hf_tls_new(SSL_CTX *context, int fd)
{
    SSL *ssl = SSL_new(context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

static enum hf_tls_status status_of(SSL *ssl, int returned)
{
    switch (SSL_get_error(ssl, returned)) {
    case SSL_ERROR_WANT_READ:
        return HF_TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return HF_TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return HF_TLS_CLOSED;
    default:
        ERR_clear_error(); /* of this thread: the next connection must not see it */
        return HF_TLS_FAILED;
    }
}

enum hf_tls_status hf_tls_handshake(SSL *ssl)
{
    int returned = SSL_do_handshake(ssl);
    return returned == 1 ? HF_TLS_OK : status_of(ssl, returned);
}

enum hf_tls_status hf_tls_read(SSL *ssl, uint8_t *to, size_t room, size_t *ret_len)
{
    int returned = SSL_read_ex(ssl, to, room, ret_len);
    return returned == 1 ? HF_TLS_OK : status_of(ssl, returned);
}

enum hf_tls_status hf_tls_write(SSL *ssl, const uint8_t *from, size_t len, size_t *ret_len)
{
    int returned = SSL_write_ex(ssl, from, len, ret_len);
    return returned == 1 ? HF_TLS_OK : status_of(ssl, returned);
}

bool hf_tls_pending(const SSL *ssl)
{
    return SSL_has_pending(ssl) == 1;
}

void hf_tls_goodbye(SSL *ssl)
{
    if (SSL_is_init_finished(ssl))
        (void)SSL_shutdown(ssl);
    ERR_clear_error();
}

void hf_tls_rest(SSL *ssl)
{
    (void)SSL_free_buffers(ssl); /* not while a record is under way */
}

void hf_tls_free(SSL *ssl)
{
    SSL_free(ssl);
}

uint8_t hf_tls_group(SSL *ssl)
{
    enum { CLASSICAL = 1, HYBRID = 2 };
    const char *name = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));
    return name != NULL && strstr(name, "MLKEM") != NULL ? HYBRID : CLASSICAL;
}

bool hf_tls_is_h2(const SSL *ssl)
{
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &name, &len);
    return len == 2 && name[0] == 'h' && name[1] == '2';
}

uint8_t *hf_tls_client_cert(const SSL *ssl, size_t *ret_len)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    unsigned char *der = NULL;
    int len = cert == NULL ? 0 : i2d_X509(cert, &der);
    ERR_clear_error();
    if (len <= 0 || len > HF_TLS_CLIENT_CERT_MAX) {
        OPENSSL_free(der);
        *ret_len = 0;
        return NULL;
    }
    *ret_len = (size_t)len;
    return der;
}

void hf_tls_cert_free(uint8_t *der)
{
    OPENSSL_free(der);
}
