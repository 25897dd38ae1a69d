/* Why a face refuses or closes: one row for each, with the error-table code that answers it (OK: the connection is
 * closed without a word), the name under which it is counted, and the text for the client. */
#ifndef HF_FACES_REJECT_H
#define HF_FACES_REJECT_H

#include "base/result.h"

#define HF_REJECTS(X)                                                                                        \
    X(NONE, OK, "none", "")                                                                                  \
    /* HTTP itself */                                                                                        \
    X(SYNTAX, BAD_REQUEST, "syntax", "malformed HTTP request")                                               \
    X(FRAMING, BAD_REQUEST, "framing", "ambiguous message framing")                                          \
    X(VERSION, BAD_REQUEST, "version", "unsupported HTTP version")                                           \
    X(EXPECT, BAD_REQUEST, "expect", "unsupported expectation")                                              \
    X(HOST, BAD_REQUEST, "host", "exactly one Host header field is needed")                                  \
    X(DUPLICATE_FIELD, BAD_REQUEST, "duplicate_field", "a header field stands twice")                        \
    X(FIELD_VALUE, BAD_REQUEST, "field_value", "malformed header field")                                     \
    X(HEADER_SIZE, HEADERS_TOO_LARGE, "header_size", "request headers too large")                            \
    X(TARGET_SIZE, HEADERS_TOO_LARGE, "target_size", "request target too long")                              \
    X(BODY_SIZE, TOO_LARGE, "body_size", "request body too large")                                           \
    /* what it asks */                                                                                       \
    X(METHOD, METHOD, "method", "unsupported method")                                                        \
    X(TARGET, BAD_REQUEST, "target", "malformed path")                                                       \
    X(ROUTE, NOT_FOUND, "route", "no such path: the API lies below /v1/")                                    \
    X(QUERY, BAD_REQUEST, "query", "malformed query")                                                        \
    X(QUERY_TWICE, BAD_REQUEST, "query_twice", "a query parameter stands twice")                             \
    X(JSON, BAD_REQUEST, "json", "body is not well-formed JSON, or a member stands twice")                   \
    X(JSON_OBJECT, BAD_REQUEST, "json_object", "body must be a JSON object")                                 \
    X(JSON_SIZE, TOO_LARGE, "json_size", "body is nested too deeply or has too many values")                 \
    /* time */                                                                                               \
    X(HEADER_TIME, TIMEOUT, "header_time", "request headers took too long")                                  \
    X(BODY_TIME, TIMEOUT, "body_time", "request body took too long")                                         \
    X(HANDSHAKE_TIME, OK, "handshake_time", "")                                                              \
    X(WRITE_TIME, OK, "write_time", "")                                                                      \
    /* capacity */                                                                                           \
    X(OVERLOADED, OVERLOADED, "overloaded", "too many requests under way")                                   \
    X(BODIES, OVERLOADED, "bodies", "too many large requests under way")                                     \
    X(CONNECTIONS, OK, "connections", "")                                                                    \
    X(SOURCE, OK, "source", "")                                                                              \
    /* ourselves */                                                                                          \
    X(CORE_DOWN, ROLE_DOWN, "core_down", "a server process is restarting")                                   \
    X(CORE_SLOW, COMMIT_UNKNOWN, "core_slow", "no answer in time; the outcome is unknown")                   \
    X(ANSWER, INTERNAL, "answer", "internal error")                                                          \
    X(DRAINING, SHUTTING_DOWN, "draining", "server is stopping")                                             \
    /* below HTTP */                                                                                         \
    X(HANDSHAKE, OK, "handshake", "")                                                                        \
    X(TRUNCATED, OK, "truncated", "")                                                                        \
    X(H2_PROTOCOL, OK, "h2_protocol", "")                                                                    \
    X(H2_FLOOD, OK, "h2_flood", "")

#define HF_REJECT_AS_ENUM(symbol, code, name, text) HF_REJECT_##symbol,
enum hf_reject { HF_REJECTS(HF_REJECT_AS_ENUM) HF_REJECT_COUNT };
#undef HF_REJECT_AS_ENUM

enum hf_code hf_reject_code(enum hf_reject reject);
/* Static storage. */
const char *hf_reject_name(enum hf_reject reject);
const char *hf_reject_text(enum hf_reject reject);

#endif
