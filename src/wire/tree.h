/* The value tree: JSON's values in a compact binary form, in which operations take their arguments and give
 * their answers. Faces (HTTP, later KMIP) translate to it and back; handlers know nothing else.
 *
 * Encoding: tag u8, then  NULL FALSE TRUE: nothing; INT: i64; NUMBER: u32 length and the
 * literal as it was written, in JSON's syntax, for every number that an i64 does not give back to the letter;
 * TEXT, BYTES: u32 length and bytes; ARRAY: u32 byte length of the items, u32 count, items; MAP: u32 byte length of the
 * entries, u32 count, entries of u16 key length, key, item; CIPHER: u32 version, u32 length, bytes (JSON:
 * "vault:vN:" and base64). BYTES becomes base64 in JSON. TEXT and keys are UTF-8. At most HF_TREE_DEPTH_MAX
 * containers within each other. Big-endian. Pure; never allocates. */
#ifndef HF_WIRE_TREE_H
#define HF_WIRE_TREE_H

#include "base/buf.h"

enum { HF_TREE_DEPTH_MAX = 32, HF_TREE_KEY_MAX = 256, HF_TREE_UNIQUE_MAX = 4096, HF_TREE_NUMBER_MAX = 128 };
enum hf_tree_tag {
    HF_TREE_NULL,
    HF_TREE_FALSE,
    HF_TREE_TRUE,
    HF_TREE_INT,
    HF_TREE_NUMBER,
    HF_TREE_TEXT,
    HF_TREE_BYTES,
    HF_TREE_ARRAY,
    HF_TREE_MAP,
    HF_TREE_CIPHER,
    HF_TREE_TAG_COUNT
};

/* ---- reading: a struct hf_tree borrows one encoded item ---- */
struct hf_tree {
    enum hf_tree_tag tag;  /* a zeroed tree is NULL: what absent fields read as */
    uint32_t count;        /* ARRAY, MAP: items; CIPHER: version */
    struct hf_cursor body; /* NUMBER TEXT BYTES CIPHER: the bytes; ARRAY MAP: the items */
    int64_t number;
};

/* Checks the whole item (lengths, depth, tags, UTF-8, syntax of literals; unique keys not required) and opens it. Call once on bytes from
 * another process; the accessors below then cannot fail on structure. Fails: BAD_REQUEST. */
hf_result hf_tree_open(struct hf_cursor bytes, struct hf_tree *ret_tree);
/* Map member; a NULL tree where absent or where `map` is no map. */
struct hf_tree hf_tree_get(const struct hf_tree *map, const char *key);
bool hf_tree_has(const struct hf_tree *map, const char *key);
struct hf_tree hf_tree_get_slice(const struct hf_tree *map, struct hf_cursor key);
bool hf_tree_has_slice(const struct hf_tree *map, struct hf_cursor key);
/* Whether the keys of `count` encoded map entries differ from each other; count <= HF_TREE_UNIQUE_MAX, else
 * false. Sorts, so that chosen keys cannot make it slow. */
bool hf_tree_keys_unique(struct hf_cursor entries, uint32_t count);

struct hf_tree_iter {
    struct hf_cursor rest;
    uint32_t left;
    bool map;
};
struct hf_tree_iter hf_tree_iterate(const struct hf_tree *container);
/* key is set for maps only. False at the end. */
bool hf_tree_next(struct hf_tree_iter *iter, struct hf_cursor *ret_key, struct hf_tree *ret_item);

/* Typed field access. Absent or null gives the default and OK; a wrong type is BAD_ARGUMENT. Numbers and
 * booleans are also taken from text ("true", "3"), since clients send both; a NUMBER is an integer where its value is
 * one and fits ("3.0", "1e2"). */
hf_result hf_tree_text(const struct hf_tree *map, const char *key, struct hf_cursor *ret_text);
hf_result hf_tree_int(const struct hf_tree *map, const char *key, int64_t fallback, int64_t *ret);
hf_result hf_tree_bool(const struct hf_tree *map, const char *key, bool fallback, bool *ret);
/* Whether two items are numbers (INT, NUMBER) of the same value: 1.5, 1.50 and 15e-1 are. Exact. */
bool hf_tree_same_number(const struct hf_tree *a, const struct hf_tree *b);
/* Duration: number of seconds or "1h30m"; nanoseconds out. */
hf_result hf_tree_duration(const struct hf_tree *map, const char *key, int64_t fallback_ns, int64_t *ret_ns);

/* ---- writing ---- */
struct hf_tree_writer {
    struct hf_buf *out;
    uint32_t depth;
    struct {
        uint32_t start; /* where the container's length stands */
        uint32_t count;
        bool map;
        bool keyed; /* map: a key waits for its item */
    } open[HF_TREE_DEPTH_MAX];
};
struct hf_tree_writer hf_tree_writer(struct hf_buf *out);
/* In a map, hf_tw_key() comes before each item. Misuse aborts; what does not fit (bytes, depth, a key beyond
 * HF_TREE_KEY_MAX) shows in out->overflow. */
void hf_tw_key(struct hf_tree_writer *w, struct hf_cursor key);
void hf_tw_null(struct hf_tree_writer *w);
void hf_tw_bool(struct hf_tree_writer *w, bool value);
void hf_tw_int(struct hf_tree_writer *w, int64_t value);
/* A literal in JSON's syntax of at most HF_TREE_NUMBER_MAX characters: see hf_tree_number_valid(). */
void hf_tw_number(struct hf_tree_writer *w, struct hf_cursor literal);
bool hf_tree_number_valid(struct hf_cursor literal);
void hf_tw_text(struct hf_tree_writer *w, struct hf_cursor value);
void hf_tw_bytes(struct hf_tree_writer *w, struct hf_cursor value);
void hf_tw_cipher(struct hf_tree_writer *w, uint32_t version, struct hf_cursor value);
/* Reserve-in-place forms: give the place of len bytes to fill, or NULL on overflow; _trim shortens the item
 * last reserved. */
uint8_t *hf_tw_bytes_reserve(struct hf_tree_writer *w, size_t len);
uint8_t *hf_tw_cipher_reserve(struct hf_tree_writer *w, uint32_t version, size_t len);
uint8_t *hf_tw_text_reserve(struct hf_tree_writer *w, size_t len);
void hf_tw_trim(struct hf_tree_writer *w, size_t reserved, size_t used);
void hf_tw_map(struct hf_tree_writer *w);
void hf_tw_array(struct hf_tree_writer *w);
void hf_tw_end(struct hf_tree_writer *w);
void hf_tw_copy(struct hf_tree_writer *w, const struct hf_tree *item);

/* key and value in one, for maps */
static inline void hf_tw_k(struct hf_tree_writer *w, const char *key)
{
    hf_tw_key(w, hf_cursor_text(key));
}
static inline void hf_tw_k_text(struct hf_tree_writer *w, const char *key, const char *value)
{
    hf_tw_k(w, key);
    hf_tw_text(w, hf_cursor_text(value));
}
static inline void hf_tw_k_slice(struct hf_tree_writer *w, const char *key, struct hf_cursor value)
{
    hf_tw_k(w, key);
    hf_tw_text(w, value);
}
static inline void hf_tw_k_int(struct hf_tree_writer *w, const char *key, int64_t value)
{
    hf_tw_k(w, key);
    hf_tw_int(w, value);
}
static inline void hf_tw_k_bool(struct hf_tree_writer *w, const char *key, bool value)
{
    hf_tw_k(w, key);
    hf_tw_bool(w, value);
}
static inline void hf_tw_k_bytes(struct hf_tree_writer *w, const char *key, struct hf_cursor value)
{
    hf_tw_k(w, key);
    hf_tw_bytes(w, value);
}

#endif
