/* A cursor walks bytes that somebody else owns. Every parser of outside input is written on it.
 * All integers are big-endian. On failure nothing is consumed and the result is untouched. */
#ifndef HF_BASE_CURSOR_H
#define HF_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hf_cursor {
    const uint8_t *at;
    size_t left;
};

static inline struct hf_cursor hf_cursor(const void *bytes, size_t len)
{
    return (struct hf_cursor){(const uint8_t *)bytes, len};
}

static inline struct hf_cursor hf_cursor_text(const char *text)
{
    return hf_cursor(text, strlen(text));
}

/* Takes `count` bytes as a slice that borrows from the same owner. */
static inline bool hf_cursor_take(struct hf_cursor *in, size_t count, struct hf_cursor *ret_slice)
{
    if (count > in->left) /* compare, never add: cannot wrap */
        return false;
    *ret_slice = (struct hf_cursor){in->at, count};
    in->at += count;
    in->left -= count;
    return true;
}

static inline bool hf_cursor_copy(struct hf_cursor *in, void *ret_bytes, size_t count)
{
    struct hf_cursor slice;
    if (!hf_cursor_take(in, count, &slice))
        return false;
    if (count != 0)
        memcpy(ret_bytes, slice.at, count);
    return true;
}

static inline bool hf_cursor_u8(struct hf_cursor *in, uint8_t *ret)
{
    return hf_cursor_copy(in, ret, 1);
}

static inline bool hf_cursor_u16(struct hf_cursor *in, uint16_t *ret)
{
    struct hf_cursor s;
    if (!hf_cursor_take(in, 2, &s))
        return false;
    *ret = (uint16_t)((s.at[0] << 8) | s.at[1]);
    return true;
}

static inline bool hf_cursor_u32(struct hf_cursor *in, uint32_t *ret)
{
    struct hf_cursor s;
    if (!hf_cursor_take(in, 4, &s))
        return false;
    *ret = ((uint32_t)s.at[0] << 24) | ((uint32_t)s.at[1] << 16) | ((uint32_t)s.at[2] << 8) | s.at[3];
    return true;
}

static inline bool hf_cursor_u64(struct hf_cursor *in, uint64_t *ret)
{
    uint32_t high, low;
    struct hf_cursor probe = *in;
    if (!hf_cursor_u32(&probe, &high) || !hf_cursor_u32(&probe, &low))
        return false;
    *in = probe;
    *ret = ((uint64_t)high << 32) | low;
    return true;
}

/* Takes a slice whose length stands before it as u16 or u32. */
static inline bool hf_cursor_vec16(struct hf_cursor *in, struct hf_cursor *ret_slice)
{
    struct hf_cursor probe = *in;
    uint16_t len;
    if (!hf_cursor_u16(&probe, &len) || !hf_cursor_take(&probe, len, ret_slice))
        return false;
    *in = probe;
    return true;
}

static inline bool hf_cursor_vec32(struct hf_cursor *in, struct hf_cursor *ret_slice)
{
    struct hf_cursor probe = *in;
    uint32_t len;
    if (!hf_cursor_u32(&probe, &len) || !hf_cursor_take(&probe, len, ret_slice))
        return false;
    *in = probe;
    return true;
}

/* Public comparison of a slice with a text; not for secrets (secret/ct.h has that). */
static inline bool hf_cursor_is(struct hf_cursor in, const char *text)
{
    size_t len = strlen(text);
    return in.left == len && memcmp(in.at, text, len) == 0; /* public bytes */
}

static inline bool hf_cursor_same(struct hf_cursor a, struct hf_cursor b)
{
    return a.left == b.left && (a.left == 0 || memcmp(a.at, b.at, a.left) == 0); /* public bytes */
}

#endif
