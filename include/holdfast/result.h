/* The one error table, and the type that every fallible function returns.
 *
 * Each row: symbol, HTTP status, whether a caller may simply try again, text that is safe for a stranger.
 * KMIP, logs, exit codes and metrics are derived from the same rows; no other file defines an error. */
#ifndef HOLDFAST_RESULT_H
#define HOLDFAST_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#define HF_CODES(X)                                                                                          \
    /*  symbol            http  retry  text */                                                               \
    X(OK, 200, false, "ok")                                                                                  \
    X(BAD_REQUEST, 400, false, "malformed request")                                                          \
    X(BAD_ARGUMENT, 400, false, "invalid argument")                                                          \
    X(UNSUPPORTED, 400, false, "unsupported operation")                                                      \
    X(BAD_CIPHERTEXT, 400, false, "ciphertext does not open")                                                \
    X(BAD_SIGNATURE, 400, false, "signature is malformed")                                                   \
    X(BAD_SHARE, 400, false, "share refused")                                                                \
    X(BAD_PEER_KEY, 400, false, "public key refused")                                                        \
    X(KEY_STATE, 400, false, "key version state forbids this use")                                           \
    X(KEY_LIMIT, 400, false, "key version has reached its use limit; rotate it")                             \
    X(EXISTS, 400, false, "already exists")                                                                  \
    X(DENIED, 403, false, "permission denied")                                                               \
    X(NOT_FOUND, 404, false, "not found")                                                                    \
    X(METHOD, 405, false, "unsupported method")                                                              \
    X(TIMEOUT, 408, true, "request timed out")                                                               \
    X(CONFLICT, 409, true, "changed by another request")                                                     \
    X(STALE, 412, true, "state is not yet current here")                                                     \
    X(TOO_LARGE, 413, false, "request too large")                                                            \
    X(MEDIA_TYPE, 415, false, "unsupported content type")                                                    \
    X(RATE_LIMITED, 429, true, "rate limit exceeded")                                                        \
    X(HEADERS_TOO_LARGE, 431, false, "request headers too large")                                            \
    X(INTERNAL, 500, false, "internal error")                                                                \
    X(NO_MEMORY, 503, true, "out of memory")                                                                 \
    X(NO_ENTROPY, 503, true, "random source failed")                                                         \
    X(CORRUPT, 500, false, "stored record is damaged or has been altered")                                   \
    X(NOT_INITIALIZED, 501, false, "not initialized")                                                        \
    X(SEALED, 503, true, "sealed")                                                                           \
    X(ALREADY, 400, false, "already in that state")                                                          \
    X(STORE_DOWN, 503, true, "storage is unavailable")                                                       \
    X(STORE_FULL, 507, true, "storage is full")                                                              \
    X(STORE_READ_ONLY, 503, true, "storage is read-only")                                                    \
    X(STORE_BUSY, 503, true, "storage is locked by another process")                                         \
    X(COMMIT_UNKNOWN, 503, true, "outcome unknown; ask again with the same request id")                      \
    X(AUDIT_DOWN, 503, true, "audit log cannot be written")                                                  \
    X(ROLE_DOWN, 503, true, "a server process is restarting")                                                \
    X(OVERLOADED, 503, true, "too many requests under way")                                                  \
    X(WOULD_BLOCK, 503, true, "internal: needs a thread that may wait")                                      \
    X(SYSTEM, 500, false, "operating system refused a call")                                                 \
    X(PROTECTION, 500, false, "a required protection is missing")                                            \
    X(CONFIG, 400, false, "configuration error")                                                             \
    X(TRUNCATED, 400, false, "input ends too early")                                                         \
    X(SHUTTING_DOWN, 503, true, "server is stopping")

#define HF_CODE_AS_ENUM(symbol, http, retry, text) HF_##symbol,
enum hf_code { HF_CODES(HF_CODE_AS_ENUM) HF_CODE_COUNT };
#undef HF_CODE_AS_ENUM

/* A result is a type of its own: not an int, not a bool, and ignoring one does not compile. */
typedef struct [[nodiscard]] {
    enum hf_code code;
} hf_result;

/* Gives: the symbol without its prefix ("NOT_FOUND"); static storage; never NULL. */
const char *hf_code_name(enum hf_code code);
/* Gives: text that is safe for a stranger; static storage; never NULL. */
const char *hf_code_text(enum hf_code code);
/* Gives: the HTTP status of the row. */
int hf_code_http(enum hf_code code);
/* Gives: whether the same request may succeed later unchanged. */
bool hf_code_retry(enum hf_code code);

#endif
