/* A client of Holdfast's HTTP API: TLS 1.3 with X25519MLKEM768 first, one kept connection, JSON bodies as bytes. Not
 * thread-safe: one handle for each thread. No globals. Bytes that the server sent (they may be a data key) and the
 * token are wiped before their memory is given back. */
#ifndef HOLDFAST_CLIENT_H
#define HOLDFAST_CLIENT_H

#include <stddef.h>

#include "holdfast/result.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_client;

struct hf_client_options { /* all borrowed for the call; NULL: the default in brackets */
    const char *address;   /* "https://host:port" or "http://host:port" [https://127.0.0.1:8200] */
    const char *token;     /* [none] */
    const char *ns;        /* namespace [root] */
    const char *ca_file;   /* PEM of the authorities to trust [the system's] */
    const char *cert_file; /* client certificate and key, PEM [none] */
    const char *key_file;
    const char *server_name; /* to verify against [the address's host] */
    int timeout_ms;          /* for one request, 0: 60,000 */
    int skip_verify;         /* not 0: takes any certificate; for experiments only */
};

/* Gives: a handle, to be released with hf_client_free. Connects at the first request.
 * Fails: BAD_ARGUMENT (address, files), NO_MEMORY. */
hf_result hf_client_new(const struct hf_client_options *options, struct hf_client **ret_client);
void hf_client_free(struct hf_client *client);
/* Another token from now on; NULL: none. Copied. */
hf_result hf_client_set_token(struct hf_client *client, const char *token);

struct hf_response {
    int status; /* HTTP status */
    char *body; /* NUL-terminated, owned by the response */
    size_t body_len;
};
/* One request. method: "GET", "PUT", "POST", "LIST", "DELETE"; path: below /v1/, encoded by the caller where it must be;
 * body: JSON or NULL. Any HTTP status is OK here. A kept connection that the server
 * closed meanwhile is opened anew; no request is ever sent twice. Fails: ROLE_DOWN (cannot connect or connection lost), TIMEOUT, BAD_PEER_KEY (the
 * certificate does not verify), TOO_LARGE (over 64 MiB), BAD_REQUEST (not HTTP). hf_client_why says more. */
hf_result hf_client_call(struct hf_client *client, const char *method, const char *path, const char *body,
                         size_t body_len, struct hf_response *ret_response);
void hf_response_done(struct hf_response *response);
/* Words about the last failure, owned by the client; "" if none. */
const char *hf_client_why(const struct hf_client *client);
/* Key exchange group of the connection: "X25519MLKEM768"; "" over plain HTTP or before the first request. */
const char *hf_client_group(const struct hf_client *client);

#ifdef __cplusplus
}
#endif

#endif
