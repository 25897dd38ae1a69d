/* Frames between roles: one codec. Big-endian.
 *   length u32 (of what follows) | version u8 = 1 | type u8 | flags u16 | id u64 | body
 * A role answers in any order; id pairs them. length <= HF_FRAME_MAX. */
#ifndef HF_WIRE_FRAME_H
#define HF_WIRE_FRAME_H

#include "base/buf.h"

enum { HF_FRAME_HEADER = 16, HF_FRAME_VERSION = 1, HF_FRAME_MAX = (48 << 20) };
enum hf_frame_type {
    HF_FRAME_CALL = 1,    /* front -> core: one operation */
    HF_FRAME_ANSWER = 2,  /* core -> front */
    HF_FRAME_STORE = 3,   /* core -> store: one transaction or query */
    HF_FRAME_STORED = 4,  /* store -> core */
    HF_FRAME_CONTROL = 5, /* supervisor <-> role: see roles/control.h; may carry descriptors */
    HF_FRAME_PING = 6,
    HF_FRAME_PONG = 7,
    HF_FRAME_STATS = 8, /* front -> core, about once a second, unasked: a tree map of counters since start */
    HF_FRAME_TYPE_COUNT
};
struct hf_frame {
    enum hf_frame_type type;
    uint16_t flags;
    uint64_t id;
    struct hf_cursor body;
};
/* Takes the next whole frame off `in`. OK with ret_whole false where more bytes are needed (ret_need: total
 * bytes of the frame, 0 if unknown yet). Fails: BAD_REQUEST on a bad version, type or length: close the link. */
hf_result hf_frame_next(struct hf_cursor *in, struct hf_frame *ret_frame, bool *ret_whole, size_t *ret_need);
/* Starts a frame in out, to be closed by hf_frame_end with what begin returned. */
size_t hf_frame_begin(struct hf_buf *out, enum hf_frame_type type, uint16_t flags, uint64_t id);
void hf_frame_end(struct hf_buf *out, size_t begun);

/* Body of CALL: what a face knows of a request. */
enum hf_method {
    HF_METHOD_READ = 1,
    HF_METHOD_LIST = 2,
    HF_METHOD_WRITE = 3,
    HF_METHOD_DELETE = 4,
    HF_METHOD_HEAD = 5,
    HF_METHOD_PATCH = 6
};
struct hf_wire_call {
    enum hf_method method;
    uint8_t tls_group; /* 0 plain, 1 classical, 2 hybrid post-quantum */
    struct hf_id_bytes {
        uint8_t bytes[16];
    } request_id;
    uint8_t peer_ip[16]; /* IPv6 or v4-mapped */
    uint16_t peer_port;
    struct hf_cursor path;        /* decoded, without /v1/ */
    struct hf_cursor ns;          /* X-Vault-Namespace, "" root */
    struct hf_cursor token;       /* "" none */
    struct hf_cursor cert;        /* verified or self-presented client certificate, DER, "" none */
    struct hf_cursor wrap_ttl;    /* X-Vault-Wrap-TTL text, "" none */
    struct hf_cursor index;       /* X-Vault-Index, "" none */
    struct hf_cursor asset;       /* X-Holdfast-Asset, "" none */
    struct hf_cursor traceparent; /* W3C, "" none */
    struct hf_cursor args;        /* one encoded tree item: a map (query parameters and body members) */
};
void hf_wire_call_write(struct hf_buf *out, const struct hf_wire_call *call);
hf_result hf_wire_call_read(struct hf_cursor body,
                            struct hf_wire_call *ret_call); /* args opened by the caller */

/* Body of ANSWER. */
enum hf_answer_shape {
    HF_ANSWER_NONE = 0,   /* 204 */
    HF_ANSWER_DATA = 1,   /* envelope, tree is "data" */
    HF_ANSWER_AUTH = 2,   /* envelope, tree is "auth" */
    HF_ANSWER_TOP = 3,    /* tree is the whole body */
    HF_ANSWER_BOTH = 4,   /* envelope with "data", and its members at top level too (sys/ as Vault does) */
    HF_ANSWER_TEXT = 5,   /* tree is TEXT: raw body; content type beside */
    HF_ANSWER_ERRORS = 6, /* tree is an array of texts: {"errors": [...]} */
    HF_ANSWER_RAW = 7,    /* tree is BYTES: raw body, application/octet-stream or content_type */
};
enum { HF_ANSWER_DEV = 1 }; /* flag: X-Holdfast-Level: dev */
struct hf_wire_answer {
    uint16_t http; /* status; from the error table, or health's own */
    enum hf_answer_shape shape;
    uint8_t flags;
    uint16_t retry_after_s;        /* 0 none */
    struct hf_cursor content_type; /* "" application/json */
    struct hf_cursor warnings;     /* encoded tree array, or "" */
    struct hf_cursor index;        /* X-Vault-Index, or "" */
    struct hf_cursor tree;         /* encoded item, "" where shape is NONE */
};
void hf_wire_answer_write(struct hf_buf *out, const struct hf_wire_answer *answer);
hf_result hf_wire_answer_read(struct hf_cursor body, struct hf_wire_answer *ret_answer);

#endif
