#include "tlog/entry.h"

#include "crypto/sha256.h"

#include <assert.h>

enum { DETAIL_VERSION = 1 };
enum { /* what follows is there or not */
       WITH_ACCESSOR = 1,
       WITH_KEY = 2,
       WITH_PATH = 4,
       WITH_IPV4 = 8,
       WITH_IPV6 = 16,
       WITH_DEV = 32,
       WITH_OUTCOME = 64,
       WITH_ALL = 127,
};
static const uint8_t mapped_v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static_assert(HF_ENTRY_SALT + 2 + 16 + 16 + 1 + HF_ENTRY_NAME_MAX + 1 + HF_ENTRY_MOUNT_MAX + HF_ENTRY_PATH +
                      16 + 5 + 5 + 1 + HF_ENTRY_NAME_MAX + 1 + 16 + 2 * (1 + HF_ENTRY_FACT_MAX) <=
                  HF_ENTRY_OPENING_MAX,
              "the largest detail fits");

void hf_entry_leaf_write(uint8_t ret_leaf[static HF_ENTRY_LEAF], const struct hf_entry_leaf *leaf)
{
    ret_leaf[0] = (uint8_t)leaf->kind;
    hf_store_u64(ret_leaf + 1, leaf->time_ms);
    memcpy(ret_leaf + 9, leaf->commitment.bytes, HF_TLOG_HASH);
}

hf_result hf_entry_leaf_read(struct hf_cursor bytes, struct hf_entry_leaf *ret_leaf)
{
    struct hf_entry_leaf leaf;
    uint8_t kind;
    if (bytes.left != HF_ENTRY_LEAF || !hf_cursor_u8(&bytes, &kind) || kind > HF_ENTRY_AUDIT ||
        !hf_cursor_u64(&bytes, &leaf.time_ms) || !hf_cursor_copy(&bytes, leaf.commitment.bytes, HF_TLOG_HASH))
        return HF_FAIL(BAD_SIGNATURE);
    leaf.kind = (enum hf_entry_kind)kind;
    *ret_leaf = leaf;
    return HF_DONE;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

static void put_text(struct hf_buf *out, struct hf_cursor text, size_t max)
{
    size_t len = HF_MIN(text.left, max);
    hf_buf_u8(out, (uint8_t)len);
    hf_buf_put(out, text.at, len);
}

/* Seven bits a byte, least first, the last without its top bit; the shortest form only. */
static void put_number(struct hf_buf *out, uint32_t value)
{
    for (; value > 0x7f; value >>= 7)
        hf_buf_u8(out, (uint8_t)(value | 0x80));
    hf_buf_u8(out, (uint8_t)value);
}

static bool take_number(struct hf_cursor *in, uint32_t *ret)
{
    uint64_t value = 0;
    uint8_t byte = 0x80;
    for (unsigned shift = 0; (byte & 0x80) != 0; shift += 7) {
        if (shift > 28 || !hf_cursor_u8(in, &byte) || (byte == 0 && shift != 0))
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
    }
    *ret = (uint32_t)value;
    return value <= UINT32_MAX;
}

static uint8_t flags_of(const struct hf_entry_detail *d)
{
    unsigned flags = 0;
    flags |= is_zero(d->accessor.bytes, sizeof(d->accessor.bytes)) ? 0 : WITH_ACCESSOR;
    flags |= is_zero(d->key_id.bytes, sizeof(d->key_id.bytes)) ? 0 : WITH_KEY;
    flags |= d->has_path ? WITH_PATH : 0;
    flags |= d->level_dev != 0 ? WITH_DEV : 0;
    flags |= hf_cursor_is(d->outcome, "OK") ? 0 : WITH_OUTCOME;
    if (memcmp(d->peer_ip, mapped_v4, sizeof(mapped_v4)) == 0) /* public address */
        flags |= WITH_IPV4;
    else if (!is_zero(d->peer_ip, sizeof(d->peer_ip)))
        flags |= WITH_IPV6;
    return (uint8_t)flags;
}

void hf_entry_opening_write(struct hf_buf *out, const uint8_t salt[static HF_ENTRY_SALT],
                            const struct hf_entry_detail *d)
{
    uint8_t flags = flags_of(d);
    hf_buf_put(out, salt, HF_ENTRY_SALT);
    hf_buf_u8(out, DETAIL_VERSION);
    hf_buf_u8(out, flags);
    hf_buf_put(out, d->request_id.bytes, sizeof(d->request_id.bytes));
    if ((flags & WITH_ACCESSOR) != 0)
        hf_buf_put(out, d->accessor.bytes, sizeof(d->accessor.bytes));
    put_text(out, d->operation, HF_ENTRY_NAME_MAX);
    put_text(out, d->mount, HF_ENTRY_MOUNT_MAX);
    if ((flags & WITH_PATH) != 0)
        hf_buf_put(out, d->path, HF_ENTRY_PATH);
    if ((flags & WITH_KEY) != 0) {
        hf_buf_put(out, d->key_id.bytes, sizeof(d->key_id.bytes));
        put_number(out, d->key_version);
    }
    put_number(out, d->items);
    if ((flags & WITH_OUTCOME) != 0)
        put_text(out, d->outcome, HF_ENTRY_NAME_MAX);
    hf_buf_u8(out, d->tls_group);
    if ((flags & WITH_IPV4) != 0)
        hf_buf_put(out, d->peer_ip + sizeof(mapped_v4), 4);
    if ((flags & WITH_IPV6) != 0)
        hf_buf_put(out, d->peer_ip, sizeof(d->peer_ip));
    put_text(out, d->asset, HF_ENTRY_FACT_MAX);
    put_text(out, d->note, HF_ENTRY_FACT_MAX);
}

static bool take_text(struct hf_cursor *in, struct hf_cursor *ret_text)
{
    uint8_t len;
    return hf_cursor_u8(in, &len) && hf_cursor_take(in, len, ret_text);
}

static bool read_detail(struct hf_cursor *in, unsigned flags, struct hf_entry_detail *d)
{
    if (!hf_cursor_copy(in, d->request_id.bytes, sizeof(d->request_id.bytes)) ||
        ((flags & WITH_ACCESSOR) != 0 && !hf_cursor_copy(in, d->accessor.bytes, sizeof(d->accessor.bytes))) ||
        !take_text(in, &d->operation) || !take_text(in, &d->mount) ||
        ((flags & WITH_PATH) != 0 && !hf_cursor_copy(in, d->path, HF_ENTRY_PATH)))
        return false;
    if ((flags & WITH_KEY) != 0 &&
        (!hf_cursor_copy(in, d->key_id.bytes, sizeof(d->key_id.bytes)) || !take_number(in, &d->key_version)))
        return false;
    d->outcome = hf_cursor_text("OK");
    if (!take_number(in, &d->items) || ((flags & WITH_OUTCOME) != 0 && !take_text(in, &d->outcome)) ||
        !hf_cursor_u8(in, &d->tls_group))
        return false;
    if ((flags & WITH_IPV4) != 0) {
        memcpy(d->peer_ip, mapped_v4, sizeof(mapped_v4));
        if (!hf_cursor_copy(in, d->peer_ip + sizeof(mapped_v4), 4))
            return false;
    }
    if ((flags & WITH_IPV6) != 0 && !hf_cursor_copy(in, d->peer_ip, sizeof(d->peer_ip)))
        return false;
    return take_text(in, &d->asset) && take_text(in, &d->note) && in->left == 0;
}

hf_result hf_entry_opening_read(struct hf_cursor opening, struct hf_entry_detail *ret_detail)
{
    struct hf_entry_detail detail = {0};
    struct hf_cursor salt;
    uint8_t version, flags;
    if (opening.left > HF_ENTRY_OPENING_MAX || !hf_cursor_take(&opening, HF_ENTRY_SALT, &salt) ||
        !hf_cursor_u8(&opening, &version) || version != DETAIL_VERSION || !hf_cursor_u8(&opening, &flags) ||
        (flags & ~WITH_ALL) != 0 || (flags & (WITH_IPV4 | WITH_IPV6)) == (WITH_IPV4 | WITH_IPV6))
        return HF_FAIL(BAD_SIGNATURE);
    detail.has_path = (flags & WITH_PATH) != 0;
    detail.level_dev = (flags & WITH_DEV) != 0;
    if (!read_detail(&opening, flags, &detail))
        return HF_FAIL(BAD_SIGNATURE);
    *ret_detail = detail;
    return HF_DONE;
}

hf_result hf_entry_opening_check(const struct hf_entry_leaf *leaf, struct hf_cursor opening)
{
    struct hf_tlog_hash hash;
    hf_sha256_short(opening.at, opening.left, hash.bytes);
    bool same = memcmp(hash.bytes, leaf->commitment.bytes, HF_TLOG_HASH) == 0; /* public hashes */
    return leaf->kind == HF_ENTRY_AUDIT && same ? HF_DONE : HF_FAIL(BAD_SIGNATURE);
}
