#include "faces/wbuf.h"

#include <stdlib.h>

#include "secret/secret.h"

enum { LEAST = 4096 };

hf_result hf_wbuf_room(struct hf_wbuf *buf, size_t more)
{
    if (more <= buf->cap - buf->len)
        return HF_DONE;
    size_t wanted;
    if (__builtin_add_overflow(buf->len, more, &wanted) || wanted > SIZE_MAX / 2)
        return HF_FAIL(NO_MEMORY);
    size_t cap = HF_MAX(buf->cap, (size_t)LEAST);
    while (cap < wanted)
        cap *= 2;
    uint8_t *at = malloc(cap);
    if (at == NULL)
        return HF_FAIL(NO_MEMORY);
    if (buf->len != 0)
        memcpy(at, buf->at, buf->len);
    hf_wipe(buf->at, buf->len);
    free(buf->at);
    buf->at = at;
    buf->cap = cap;
    return HF_DONE;
}

hf_result hf_wbuf_put(struct hf_wbuf *buf, const void *bytes, size_t len)
{
    TRY(hf_wbuf_room(buf, len));
    if (len != 0)
        memcpy(buf->at + buf->len, bytes, len);
    buf->len += len;
    return HF_DONE;
}

void hf_wbuf_drop(struct hf_wbuf *buf, size_t count)
{
    count = HF_MIN(count, buf->len);
    if (count == 0)
        return;
    size_t left = buf->len - count;
    if (left != 0)
        memmove(buf->at, buf->at + count, left);
    hf_wipe(buf->at + left, count);
    buf->len = left;
}

void hf_wbuf_cut(struct hf_wbuf *buf, size_t len)
{
    if (len < buf->len) {
        hf_wipe(buf->at + len, buf->len - len);
        buf->len = len;
    }
}

void hf_wbuf_clear(struct hf_wbuf *buf, size_t keep)
{
    hf_wbuf_cut(buf, 0);
    if (buf->cap > keep) {
        free(buf->at);
        *buf = (struct hf_wbuf){NULL, 0, 0};
    }
}

void hf_wbuf_free(struct hf_wbuf *buf)
{
    hf_wbuf_clear(buf, 0);
}
