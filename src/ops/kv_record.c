#include "ops/kv_record.h"

enum { RECORD_FORMAT = 1 };

static bool take_time(struct hf_cursor *in, int64_t *ret)
{
    uint64_t raw;
    if (!hf_cursor_u64(in, &raw) || raw > INT64_MAX)
        return false;
    *ret = (int64_t)raw;
    return true;
}

static bool take_flag(struct hf_cursor *in, bool *ret)
{
    uint8_t raw;
    if (!hf_cursor_u8(in, &raw) || raw > 1)
        return false;
    *ret = raw != 0;
    return true;
}

static bool take_version(struct hf_cursor *in, struct hf_kv_version *v)
{
    return hf_cursor_u32(in, &v->number) && take_time(in, &v->created_ns) && take_time(in, &v->deleted_ns) &&
           take_flag(in, &v->destroyed) && hf_cursor_vec32(in, &v->data) &&
           v->destroyed == (v->data.left == 0);
}

hf_result hf_kv_decode(struct hf_cursor in, struct hf_kv_secret *secret)
{
    uint8_t format;
    if (!hf_cursor_u8(&in, &format) || format != RECORD_FORMAT || !take_time(&in, &secret->created_ns) ||
        !take_time(&in, &secret->updated_ns) || !hf_cursor_u32(&in, &secret->current) ||
        !hf_cursor_u32(&in, &secret->max_versions) || !take_flag(&in, &secret->cas_required) ||
        !take_time(&in, &secret->delete_after_ns) || !hf_cursor_vec32(&in, &secret->custom) ||
        !hf_cursor_u32(&in, &secret->count) || secret->count > HF_KV_VERSIONS_MAX ||
        secret->count > secret->current)
        return HF_FAIL(CORRUPT);
    for (uint32_t i = 0; i < secret->count; i++) {
        struct hf_kv_version *v = &secret->versions[i];
        if (!take_version(&in, v) || v->number != secret->current - secret->count + 1 + i)
            return HF_FAIL(CORRUPT);
    }
    return in.left == 0 ? HF_DONE : HF_FAIL(CORRUPT);
}

size_t hf_kv_encoded_max(const struct hf_kv_secret *secret)
{
    size_t len = 64 + secret->custom.left;
    for (uint32_t i = 0; i < secret->count; i++)
        len += 32 + secret->versions[i].data.left;
    return len;
}

void hf_kv_encode(const struct hf_kv_secret *secret, struct hf_buf *out)
{
    hf_buf_u8(out, RECORD_FORMAT);
    hf_buf_u64(out, (uint64_t)secret->created_ns);
    hf_buf_u64(out, (uint64_t)secret->updated_ns);
    hf_buf_u32(out, secret->current);
    hf_buf_u32(out, secret->max_versions);
    hf_buf_u8(out, secret->cas_required);
    hf_buf_u64(out, (uint64_t)secret->delete_after_ns);
    hf_buf_vec32(out, secret->custom);
    hf_buf_u32(out, secret->count);
    for (uint32_t i = 0; i < secret->count; i++) {
        const struct hf_kv_version *v = &secret->versions[i];
        hf_buf_u32(out, v->number);
        hf_buf_u64(out, (uint64_t)v->created_ns);
        hf_buf_u64(out, (uint64_t)v->deleted_ns);
        hf_buf_u8(out, v->destroyed);
        hf_buf_vec32(out, v->data);
    }
}

struct hf_kv_version *hf_kv_version(struct hf_kv_secret *secret, uint32_t number)
{
    if (secret->count == 0 || number > secret->current || number < secret->versions[0].number)
        return NULL;
    return &secret->versions[number - secret->versions[0].number];
}

void hf_kv_add(struct hf_kv_secret *secret, struct hf_cursor data, uint32_t keep, int64_t now_ns)
{
    keep = HF_MIN(HF_MAX(keep, 1u), (uint32_t)HF_KV_VERSIONS_MAX);
    if (secret->count >= keep) {
        uint32_t gone = secret->count - keep + 1;
        memmove(secret->versions, secret->versions + gone,
                (secret->count - gone) * sizeof secret->versions[0]);
        secret->count -= gone;
    }
    secret->updated_ns = now_ns;
    secret->versions[secret->count++] = (struct hf_kv_version){
        .number = ++secret->current,
        .created_ns = now_ns,
        .deleted_ns = secret->delete_after_ns == 0 ? 0 : now_ns + secret->delete_after_ns,
        .data = data,
    };
}
