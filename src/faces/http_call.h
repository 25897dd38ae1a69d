/* An HTTP request, of whichever version, as an operation for the core: method, path, token and arguments. Pure; it
 * decides nothing but whether the request is well-formed. */
#ifndef HF_FACES_HTTP_CALL_H
#define HF_FACES_HTTP_CALL_H

#include "faces/reject.h"
#include "wire/frame.h"

enum {
    HF_HTTP_TARGET_MAX = 4096,
    HF_HTTP_FIELDS_MAX = 64,
    HF_HTTP_QUERY_MAX = 64, /* parameters */
    HF_HTTP_TOKEN_MAX = 1024,
};

/* Header fields that mean something here; all others are read over. once: a second one is refused. */
#define HF_HTTP_FIELDS(X)                                                                                    \
    X(TOKEN, "x-vault-token", true)                                                                          \
    X(AUTHORIZATION, "authorization", true)                                                                  \
    X(NAMESPACE, "x-vault-namespace", true)                                                                  \
    X(WRAP_TTL, "x-vault-wrap-ttl", true)                                                                    \
    X(INDEX, "x-vault-index", false)                                                                         \
    X(ASSET, "x-holdfast-asset", true)                                                                       \
    X(TRACEPARENT, "traceparent", true)                                                                      \
    X(HOST, "host", true)                                                                                    \
    X(EXPECT, "expect", true)                                                                                \
    X(CONTENT_TYPE, "content-type", true)                                                                    \
    X(CONTENT_LENGTH, "content-length", true)                                                                \
    X(TRANSFER_ENCODING, "transfer-encoding", true)
#define HF_HTTP_FIELD_AS_ENUM(symbol, name, once) HF_HTTP_##symbol,
enum hf_http_field { HF_HTTP_FIELDS(HF_HTTP_FIELD_AS_ENUM) HF_HTTP_FIELD_COUNT };
#undef HF_HTTP_FIELD_AS_ENUM

/* Which field a name is, in any case; HF_HTTP_FIELD_COUNT for one without meaning here. */
enum hf_http_field hf_http_field_find(struct hf_cursor name);
bool hf_http_field_once(enum hf_http_field field);

struct hf_http_request {
    struct hf_cursor method; /* "GET" */
    struct hf_cursor target; /* as sent: "/v1/transit/keys?list=true" */
    struct hf_cursor fields[HF_HTTP_FIELD_COUNT];
    struct hf_cursor body;
};

struct hf_http_peer {
    uint8_t ip[16]; /* IPv6 or v4-mapped */
    uint16_t port;
    uint8_t tls_group;     /* as in struct hf_wire_call */
    struct hf_cursor cert; /* DER, "" none */
};

/* Room that hf_http_call_write needs in its output at most. */
size_t hf_http_call_max(const struct hf_http_request *request, const struct hf_http_peer *peer);
/* Writes the body of a CALL frame. Gives NONE, or why not (then what was written is to be cut off and wiped);
 * ret_at: for JSON the offset of the mistake in the body. */
enum hf_reject hf_http_call_write(const struct hf_http_request *request, const struct hf_http_peer *peer,
                                  const struct hf_id_bytes *request_id, struct hf_buf *out, size_t *ret_at);

#endif
