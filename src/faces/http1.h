/* HTTP/1.1 requests out of a buffer, by llhttp in its strict mode. Pure: bytes in, a request out, whatever pieces they
 * come in. The caller owns the buffer: it begins at the message's first byte, may move between calls, and is changed
 * (a chunked body is put together in place). One message at a time: what stands behind it waits. */
#ifndef HF_FACES_HTTP1_H
#define HF_FACES_HTTP1_H

#include <llhttp.h>

#include "faces/http_call.h"

struct hf_http1_span {
    uint32_t at, len; /* in the buffer */
};

struct hf_http1 {
    llhttp_t parser;
    uint8_t *base;
    uint32_t fed; /* bytes of the buffer that the parser has seen */
    uint32_t head_max, body_max;
    struct hf_http1_span method, target, name, value, body;
    struct hf_http1_span fields[HF_HTTP_FIELD_COUNT];
    uint16_t field_count;
    bool seen[HF_HTTP_FIELD_COUNT];
    bool started, list, head_done, body_begun, expects, keep_alive;
    enum hf_reject reject;
};

enum hf_http1_state {
    HF_HTTP1_MORE,     /* more bytes are needed */
    HF_HTTP1_CONTINUE, /* so are they, and the client waits for "100 Continue": said once */
    HF_HTTP1_DONE,     /* hf_http1_request gives the request; the message takes *len_used bytes */
    HF_HTTP1_BAD       /* http1->reject says why; the connection cannot go on */
};

/* body_max < 4 GiB - head_max. */
void hf_http1_init(struct hf_http1 *http1, uint32_t head_max, uint32_t body_max);
/* Ready for the next message. */
void hf_http1_next(struct hf_http1 *http1);
/* *len: bytes in the buffer; made smaller where chunks were put together (MORE, CONTINUE). */
enum hf_http1_state hf_http1_parse(struct hf_http1 *http1, uint8_t *base, size_t *len);
/* After DONE: how many bytes of the buffer the message took. */
static inline size_t hf_http1_used(const struct hf_http1 *http1)
{
    return http1->fed;
}
/* After DONE; borrows from the buffer. */
void hf_http1_request(const struct hf_http1 *http1, const uint8_t *base, struct hf_http_request *ret_request);
/* The bytes of a message that is not whole yet are in its head / in its body. */
static inline bool hf_http1_in_body(const struct hf_http1 *http1)
{
    return http1->head_done;
}

#endif
