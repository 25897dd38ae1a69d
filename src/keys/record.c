/* The key record: its memory and its codec.
 *
 *   format u8 = 1 | id 16 | mount 16 | ns 16 | name vec16 | alg u16 | flags u32 | key_bytes u32
 *   latest u32 | min_decryption u32 | min_encryption u32 | min_available u32
 *   created i64 | rotated i64 | auto_rotate i64 | backup i64 u32 | restore i64 u32 | count u32
 *   each version: number u32 | id 16 | state u8 | protection u8 | origin u8 | kek generation u32
 *                 | entered i64 x 6 | blob vec32 | mac blob vec16 | public text vec16
 *   | 0 extensions u16 */
#include <stdlib.h>

#include "keys/inner.h"

enum { RECORD_FORMAT = 1, VERSION_FIXED = 4 + 16 + 3 + 4 + 8 * 6, VERSION_PREFIXES = 4 + 2 + 2 };

hf_result hf_key_keep(struct hf_key *key, struct hf_cursor bytes, struct hf_cursor *ret_kept)
{
    if (bytes.left == 0) {
        *ret_kept = (struct hf_cursor){0};
        return HF_DONE;
    }
    struct hf_key_chunk *chunk = malloc(sizeof *chunk + bytes.left);
    if (chunk == NULL)
        return HF_FAIL(NO_MEMORY);
    chunk->next = key->chunks;
    chunk->len = bytes.left;
    memcpy(chunk->bytes, bytes.at, bytes.left);
    key->chunks = chunk;
    *ret_kept = hf_cursor(chunk->bytes, bytes.left);
    return HF_DONE;
}

static hf_result make_room(struct hf_key *key, size_t count)
{
    if (count <= key->room)
        return HF_DONE;
    struct hf_key_version *more = realloc(key->versions, count * sizeof *more);
    if (more == NULL)
        return HF_FAIL(NO_MEMORY);
    memset(more + key->room, 0, (count - key->room) * sizeof *more);
    key->versions = more;
    key->room = count;
    return HF_DONE;
}

hf_result hf_key_grow(struct hf_key *key)
{
    if (key->count >= HF_KEY_VERSIONS_MAX)
        return HF_FAIL(TOO_LARGE);
    return make_room(key, (size_t)key->count + 1);
}

static void key_free(struct hf_key *key)
{
    for (size_t i = 0; i < key->room; i++)
        hf_key_live_unref(key->versions[i].live);
    free(key->versions);
    while (key->chunks != NULL) {
        struct hf_key_chunk *next = key->chunks->next;
        free(key->chunks);
        key->chunks = next;
    }
    free(key);
}

void hf_key_freep(struct hf_key **key)
{
    if (*key != NULL)
        key_free(*key);
    *key = NULL;
}

/* ---- writing --------------------------------------------------------------------------------------- */

size_t hf_key_encoded_max(const struct hf_key *key)
{
    size_t len = 256 + key->name_len;
    for (uint32_t i = 0; i < key->count; i++) {
        const struct hf_key_version *v = &key->versions[i];
        len += VERSION_FIXED + VERSION_PREFIXES + v->blob.left + v->mac_blob.left + v->public_text.left;
    }
    return len;
}

static void put_time(struct hf_buf *out, int64_t ns)
{
    hf_buf_u64(out, (uint64_t)ns);
}

void hf_key_encode(const struct hf_key *key, struct hf_buf *out)
{
    hf_buf_u8(out, RECORD_FORMAT);
    hf_buf_put(out, key->id.bytes, 16);
    hf_buf_put(out, key->mount.bytes, 16);
    hf_buf_put(out, key->ns, 16);
    hf_buf_vec16(out, hf_cursor(key->name, key->name_len));
    hf_buf_u16(out, (uint16_t)key->alg);
    hf_buf_u32(out, key->flags);
    hf_buf_u32(out, key->key_bytes);
    hf_buf_u32(out, key->latest);
    hf_buf_u32(out, key->min_decryption);
    hf_buf_u32(out, key->min_encryption);
    hf_buf_u32(out, key->min_available);
    put_time(out, key->created_ns);
    put_time(out, key->rotated_ns);
    put_time(out, key->auto_rotate_ns);
    put_time(out, key->backup_ns);
    hf_buf_u32(out, key->backup_version);
    put_time(out, key->restore_ns);
    hf_buf_u32(out, key->restore_version);
    hf_buf_u32(out, key->count);
    for (uint32_t i = 0; i < key->count; i++) {
        const struct hf_key_version *v = &key->versions[i];
        hf_buf_u32(out, v->number);
        hf_buf_put(out, v->id.bytes, 16);
        hf_buf_u8(out, (uint8_t)v->state);
        hf_buf_u8(out, (uint8_t)v->protection);
        hf_buf_u8(out, (uint8_t)v->origin);
        hf_buf_u32(out, v->kek_generation);
        for (int s = HF_KEY_PRE_ACTIVE; s < HF_KEY_STATE_END; s++)
            put_time(out, v->entered_ns[s]);
        hf_buf_vec32(out, v->blob);
        hf_buf_vec16(out, v->mac_blob);
        hf_buf_vec16(out, v->public_text);
    }
    hf_buf_u16(out, 0);
}

/* ---- reading --------------------------------------------------------------------------------------- */

static bool take_time(struct hf_cursor *in, int64_t *ret)
{
    uint64_t raw;
    if (!hf_cursor_u64(in, &raw) || raw > INT64_MAX)
        return false;
    *ret = (int64_t)raw;
    return true;
}

static bool take_head(struct hf_cursor *in, struct hf_key *key, uint32_t *ret_count)
{
    uint8_t format;
    uint16_t alg;
    struct hf_cursor name;
    if (!hf_cursor_u8(in, &format) || format != RECORD_FORMAT || !hf_cursor_copy(in, key->id.bytes, 16) ||
        !hf_cursor_copy(in, key->mount.bytes, 16) || !hf_cursor_copy(in, key->ns, 16) ||
        !hf_cursor_vec16(in, &name) || name.left == 0 || name.left > HF_KEY_NAME_MAX)
        return false;
    memcpy(key->name, name.at, name.left);
    key->name_len = name.left;
    if (!hf_cursor_u16(in, &alg) || (key->info = hf_alg_info((enum hf_alg)alg)) == NULL)
        return false;
    key->alg = (enum hf_alg)alg;
    return hf_cursor_u32(in, &key->flags) && (key->flags & ~(uint32_t)HF_KEY_FLAG_ALL) == 0 &&
           hf_cursor_u32(in, &key->key_bytes) && hf_cursor_u32(in, &key->latest) &&
           hf_cursor_u32(in, &key->min_decryption) && hf_cursor_u32(in, &key->min_encryption) &&
           hf_cursor_u32(in, &key->min_available) && take_time(in, &key->created_ns) &&
           take_time(in, &key->rotated_ns) && take_time(in, &key->auto_rotate_ns) &&
           take_time(in, &key->backup_ns) && hf_cursor_u32(in, &key->backup_version) &&
           take_time(in, &key->restore_ns) && hf_cursor_u32(in, &key->restore_version) &&
           hf_cursor_u32(in, ret_count) && *ret_count >= 1 && *ret_count <= HF_KEY_VERSIONS_MAX &&
           *ret_count <= in->left / (VERSION_FIXED + VERSION_PREFIXES);
}

static bool take_version(struct hf_cursor *in, struct hf_key_version *v)
{
    uint8_t state, protection, origin;
    if (!hf_cursor_u32(in, &v->number) || !hf_cursor_copy(in, v->id.bytes, 16) || !hf_cursor_u8(in, &state) ||
        hf_key_state_name((enum hf_key_state)state) == NULL || !hf_cursor_u8(in, &protection) ||
        protection > HF_PROTECT_HSM_WRAPPED || !hf_cursor_u8(in, &origin) || origin < HF_KEY_GENERATED ||
        origin > HF_KEY_PUBLIC_ONLY || !hf_cursor_u32(in, &v->kek_generation))
        return false;
    v->state = (enum hf_key_state)state;
    v->protection = (enum hf_protection)protection;
    v->origin = (enum hf_key_origin)origin;
    for (int s = HF_KEY_PRE_ACTIVE; s < HF_KEY_STATE_END; s++) {
        if (!take_time(in, &v->entered_ns[s]))
            return false;
    }
    return hf_cursor_vec32(in, &v->blob) && hf_cursor_vec16(in, &v->mac_blob) &&
           hf_cursor_vec16(in, &v->public_text) && (v->state == HF_KEY_DESTROYED) == (v->blob.left == 0);
}

/* What every writer keeps and every reader relies on. */
static bool consistent(const struct hf_key *key)
{
    const struct hf_key_version *first = &key->versions[0];
    if (first->number == 0 || key->latest != first->number + (key->count - 1) || key->latest < first->number)
        return false;
    for (uint32_t i = 1; i < key->count; i++) {
        if (key->versions[i].number != first->number + i)
            return false;
    }
    return key->min_decryption >= 1 && key->min_decryption <= key->latest &&
           key->min_encryption <= key->latest && key->min_available <= first->number &&
           (key->min_encryption == 0 || key->min_encryption >= key->min_decryption);
}

static hf_result decode(struct hf_cursor plain, struct hf_key *key)
{
    struct hf_cursor in;
    TRY(hf_key_keep(key, plain, &in));
    uint32_t count;
    if (!take_head(&in, key, &count))
        return HF_FAIL(CORRUPT);
    TRY(make_room(key, count));
    key->count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!take_version(&in, &key->versions[i]))
            return HF_FAIL(CORRUPT);
    }
    uint16_t extensions;
    if (!hf_cursor_u16(&in, &extensions) || extensions != 0 || in.left != 0 || !consistent(key))
        return HF_FAIL(CORRUPT);
    return HF_DONE;
}

hf_result hf_key_decode(struct hf_cursor plain, struct hf_key **ret_key)
{
    struct hf_key *key = calloc(1, sizeof *key);
    if (key == NULL)
        return HF_FAIL(NO_MEMORY);
    hf_result decoded = decode(plain, key);
    if (!HF_IS_OK(decoded)) {
        key_free(key);
        return decoded;
    }
    *ret_key = key;
    return HF_DONE;
}

hf_result hf_key_copy(const struct hf_key *key, struct hf_key **ret_draft)
{
    size_t cap = hf_key_encoded_max(key);
    uint8_t *space = malloc(cap);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf out = hf_buf(space, cap);
    hf_key_encode(key, &out);
    struct hf_key *copy = NULL;
    hf_result result = out.overflow ? HF_FAIL(INTERNAL) : hf_key_decode(hf_buf_cursor(&out), &copy);
    free(space);
    TRY(result);
    copy->record_id = key->record_id;
    copy->rev = key->rev;
    for (uint32_t i = 0; i < copy->count; i++) {
        if (key->versions[i].live != NULL)
            copy->versions[i].live = hf_key_live_ref(key->versions[i].live);
    }
    *ret_draft = copy;
    return HF_DONE;
}

const struct hf_key_version *hf_key_version(const struct hf_key *key, uint32_t number)
{
    if (key->count == 0 || number < key->versions[0].number || number > key->latest)
        return NULL;
    return &key->versions[number - key->versions[0].number];
}

const struct hf_key_version *hf_key_current(const struct hf_key *key)
{
    for (uint32_t i = key->count; i > 0; i--) {
        if (key->versions[i - 1].state != HF_KEY_PRE_ACTIVE)
            return &key->versions[i - 1];
    }
    return NULL;
}

static bool name_edge(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool hf_key_name_ok(struct hf_cursor name)
{
    if (name.left == 0 || name.left > HF_KEY_NAME_MAX || !name_edge(name.at[0]) ||
        !name_edge(name.at[name.left - 1]))
        return false;
    for (size_t i = 0; i < name.left; i++) {
        if (!name_edge(name.at[i]) && name.at[i] != '-' && name.at[i] != '.')
            return false;
    }
    return true;
}

hf_result hf_key_row_name(const struct hf_id *mount, struct hf_cursor name, struct hf_key_row_name *ret)
{
    if (name.left > HF_KEY_NAME_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_buf out = hf_buf(ret->text, sizeof ret->text - 1);
    for (size_t i = 0; i < sizeof mount->bytes; i++) {
        static const char digits[] = "0123456789abcdef";
        hf_buf_u8(&out, (uint8_t)digits[mount->bytes[i] >> 4]);
        hf_buf_u8(&out, (uint8_t)digits[mount->bytes[i] & 15]);
    }
    hf_buf_u8(&out, '/');
    hf_buf_put_cursor(&out, name);
    ret->len = out.len;
    ret->text[out.len] = '\0';
    return hf_buf_ok(&out);
}
