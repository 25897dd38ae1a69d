/* An answer of the core as HTTP: status, header fields and body, in whichever version they go out. Pure. */
#ifndef HF_FACES_HTTP_ANSWER_H
#define HF_FACES_HTTP_ANSWER_H

#include "base/log.h"
#include "faces/reject.h"
#include "wire/frame.h"
#include "wire/tree.h"

enum { HF_HTTP_HEAD_MAX = 1024 }; /* bytes of an HTTP/1.1 response head at most */

/* What stands in the head beside the body's length. The cursors borrow. */
struct hf_http_head {
    uint16_t status;
    uint16_t retry_after_s;
    bool dev;                      /* X-Holdfast-Level: dev */
    bool close;                    /* HTTP/1.1: Connection: close */
    struct hf_cursor content_type; /* "" none: no body */
    struct hf_cursor index;
    struct hf_id request_id;
};

/* An answer whose trees have been checked. */
struct hf_http_answer {
    struct hf_wire_answer wire;
    struct hf_tree tree, warnings;
};
/* Takes the body of an ANSWER frame, from which ret_answer borrows. Fails: BAD_REQUEST. */
hf_result hf_http_answer_open(struct hf_cursor frame_body, struct hf_http_answer *ret_answer);
/* Room that hf_http_answer_body needs at most. */
size_t hf_http_answer_max(const struct hf_http_answer *answer);
/* Writes the body and fills the head (request_id is given in it). Fails: BAD_REQUEST where the tree does not suit the
 * shape, TOO_LARGE. */
hf_result hf_http_answer_body(const struct hf_http_answer *answer, struct hf_buf *out,
                              struct hf_http_head *head);
/* The answer to a request that goes no further: {"errors": ["..."]}. at: the byte that a JSON mistake is at, or 0. */
void hf_http_reject_body(enum hf_reject reject, size_t at, struct hf_buf *out, struct hf_http_head *head);
/* "HTTP/1.1 200 OK" and all header fields up to the empty line. */
void hf_http_head_write(const struct hf_http_head *head, size_t body_len, struct hf_buf *out);
/* The reason phrase; static; "" for an unknown status. */
const char *hf_http_reason(uint16_t status);

#endif
