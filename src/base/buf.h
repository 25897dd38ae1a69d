/* A bounded output buffer over memory that the caller owns. Writing past the end sets `overflow` and writes
 * nothing more: check once, at the end, with hf_buf_ok(). Integers are big-endian. Never allocates. */
#ifndef HF_BASE_BUF_H
#define HF_BASE_BUF_H

#include "base/cursor.h"
#include "base/result.h"

struct hf_buf {
    uint8_t *at;
    size_t len;
    size_t cap;
    bool overflow;
};

static inline struct hf_buf hf_buf(void *memory, size_t cap)
{
    return (struct hf_buf){(uint8_t *)memory, 0, cap, false};
}

/* Reserves `count` bytes and gives their place, or NULL (and overflow) where they do not fit. */
static inline uint8_t *hf_buf_reserve(struct hf_buf *out, size_t count)
{
    if (out->overflow || count > out->cap - out->len) {
        out->overflow = true;
        return NULL;
    }
    uint8_t *place = out->at + out->len;
    out->len += count;
    return place;
}

static inline void hf_buf_put(struct hf_buf *out, const void *bytes, size_t count)
{
    uint8_t *place = hf_buf_reserve(out, count);
    if (place != NULL && count != 0)
        memcpy(place, bytes, count);
}

static inline void hf_buf_put_cursor(struct hf_buf *out, struct hf_cursor bytes)
{
    hf_buf_put(out, bytes.at, bytes.left);
}

static inline void hf_buf_text(struct hf_buf *out, const char *text)
{
    hf_buf_put(out, text, strlen(text));
}

static inline void hf_buf_u8(struct hf_buf *out, uint8_t value)
{
    hf_buf_put(out, &value, 1);
}

static inline void hf_store_u16(uint8_t *place, uint16_t v)
{
    place[0] = (uint8_t)(v >> 8);
    place[1] = (uint8_t)v;
}

static inline void hf_store_u32(uint8_t *place, uint32_t v)
{
    place[0] = (uint8_t)(v >> 24);
    place[1] = (uint8_t)(v >> 16);
    place[2] = (uint8_t)(v >> 8);
    place[3] = (uint8_t)v;
}

static inline void hf_store_u64(uint8_t *place, uint64_t v)
{
    hf_store_u32(place, (uint32_t)(v >> 32));
    hf_store_u32(place + 4, (uint32_t)v);
}

static inline void hf_buf_u16(struct hf_buf *out, uint16_t value)
{
    uint8_t *place = hf_buf_reserve(out, 2);
    if (place != NULL)
        hf_store_u16(place, value);
}

static inline void hf_buf_u32(struct hf_buf *out, uint32_t value)
{
    uint8_t *place = hf_buf_reserve(out, 4);
    if (place != NULL)
        hf_store_u32(place, value);
}

static inline void hf_buf_u64(struct hf_buf *out, uint64_t value)
{
    uint8_t *place = hf_buf_reserve(out, 8);
    if (place != NULL)
        hf_store_u64(place, value);
}

/* Length-prefixed bytes; a length that the prefix cannot carry is an overflow. */
static inline void hf_buf_vec16(struct hf_buf *out, struct hf_cursor bytes)
{
    if (bytes.left > UINT16_MAX) {
        out->overflow = true;
        return;
    }
    hf_buf_u16(out, (uint16_t)bytes.left);
    hf_buf_put_cursor(out, bytes);
}

static inline void hf_buf_vec32(struct hf_buf *out, struct hf_cursor bytes)
{
    if (bytes.left > UINT32_MAX) {
        out->overflow = true;
        return;
    }
    hf_buf_u32(out, (uint32_t)bytes.left);
    hf_buf_put_cursor(out, bytes);
}

/* Unsigned decimal, no sign, no padding. */
void hf_buf_decimal(struct hf_buf *out, uint64_t value);

static inline struct hf_cursor hf_buf_cursor(const struct hf_buf *out)
{
    return hf_cursor(out->at, out->len);
}

static inline hf_result hf_buf_ok(const struct hf_buf *out)
{
    return out->overflow ? HF_FAIL(TOO_LARGE) : HF_DONE;
}

#endif
