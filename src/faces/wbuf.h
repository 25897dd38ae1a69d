/* A growing byte buffer for what strangers send and are sent: tokens, shares and payloads pass through, so bytes are
 * wiped when they are dropped, moved or freed. */
#ifndef HF_FACES_WBUF_H
#define HF_FACES_WBUF_H

#include "base/buf.h"

struct hf_wbuf {
    uint8_t *at;
    size_t len; /* bytes in use */
    size_t cap;
};

/* Makes room for `more` bytes behind len. Fails: NO_MEMORY; unchanged. */
hf_result hf_wbuf_room(struct hf_wbuf *buf, size_t more);
hf_result hf_wbuf_put(struct hf_wbuf *buf, const void *bytes, size_t len);
/* Drops `count` bytes from the front, or all behind `len`. */
void hf_wbuf_drop(struct hf_wbuf *buf, size_t count);
void hf_wbuf_cut(struct hf_wbuf *buf, size_t len);
/* Wipes what is in use; gives the memory back where it is more than keep bytes. */
void hf_wbuf_clear(struct hf_wbuf *buf, size_t keep);
void hf_wbuf_free(struct hf_wbuf *buf);
/* The free room as a bounded writer; what was written counts once hf_wbuf_wrote says so. */
static inline struct hf_buf hf_wbuf_writer(const struct hf_wbuf *buf)
{
    return hf_buf(buf->at + buf->len, buf->cap - buf->len);
}
static inline void hf_wbuf_wrote(struct hf_wbuf *buf, const struct hf_buf *writer)
{
    buf->len += writer->len;
}

#endif
