#include "tlog/note.h"

#include "base/encode.h"
#include "crypto/sha256.h"

#define DASH "\xe2\x80\x94 " /* em dash, space */
enum { DASH_LEN = 4, KEY_ID_LEN = 4, KEY_ID_BASE64 = 8, SIGNATURE_MAX = 8192 };

bool hf_note_text_line(struct hf_cursor *in, struct hf_cursor *ret_line)
{
    const uint8_t *end = in->left != 0 ? memchr(in->at, '\n', in->left) : NULL;
    if (end == NULL)
        return false;
    *ret_line = hf_cursor(in->at, (size_t)(end - in->at));
    in->left -= ret_line->left + 1;
    in->at = end + 1;
    return true;
}

bool hf_note_decimal(struct hf_cursor text, uint64_t *ret)
{
    if (text.left == 0 || (text.left > 1 && text.at[0] == '0'))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.left; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.at[i] - '0'), &value))
            return false;
    }
    *ret = value;
    return true;
}

/* Whether a Unicode space (White_Space property) begins at `at`; the text is valid UTF-8. */
static bool is_space_at(const uint8_t *at, size_t left)
{
    if (at[0] == ' ' || (at[0] >= 0x09 && at[0] <= 0x0d))
        return true;
    if (left >= 2 && at[0] == 0xc2)
        return at[1] == 0x85 || at[1] == 0xa0; /* U+0085, U+00A0 */
    if (left < 3)
        return false;
    if (at[0] == 0xe1)
        return at[1] == 0x9a && at[2] == 0x80; /* U+1680 */
    if (at[0] == 0xe2 && at[1] == 0x80)        /* U+2000..200A, 2028, 2029, 202F */
        return at[2] <= 0x8a || at[2] == 0xa8 || at[2] == 0xa9 || at[2] == 0xaf;
    if (at[0] == 0xe2 && at[1] == 0x81)
        return at[2] == 0x9f; /* U+205F */
    return at[0] == 0xe3 && at[1] == 0x80 && at[2] == 0x80;
}

bool hf_note_name_valid(struct hf_cursor name)
{
    if (name.left == 0 || name.left > HF_NOTE_NAME_MAX || !hf_utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.left; i++) {
        if (name.at[i] < 0x20 || name.at[i] == '+' || is_space_at(name.at + i, name.left - i))
            return false;
    }
    return true;
}

static bool base64_shaped(struct hf_cursor text)
{
    if (text.left < KEY_ID_BASE64 || text.left % 4 != 0)
        return false;
    size_t end = text.left;
    if (text.at[end - 1] == '=')
        end -= text.at[end - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < end; i++) {
        uint8_t c = text.at[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
              c == '/'))
            return false;
    }
    return true;
}

static bool parse_line(struct hf_cursor line, struct hf_note_signature *ret)
{
    if (line.left < DASH_LEN || memcmp(line.at, DASH, DASH_LEN) != 0) /* public text */
        return false;
    line = hf_cursor(line.at + DASH_LEN, line.left - DASH_LEN);
    const uint8_t *space = line.left != 0 ? memchr(line.at, ' ', line.left) : NULL;
    if (space == NULL)
        return false;
    struct hf_cursor name = hf_cursor(line.at, (size_t)(space - line.at));
    struct hf_cursor base64 = hf_cursor(space + 1, line.left - name.left - 1);
    if (!hf_note_name_valid(name) || !base64_shaped(base64))
        return false;
    uint8_t head[6];
    struct hf_buf out = hf_buf(head, sizeof(head));
    struct hf_cursor first = hf_cursor(base64.at, KEY_ID_BASE64);
    if (!HF_IS_OK(hf_base64_decode(&out, first)) || out.len <= KEY_ID_LEN)
        return false; /* no room for a signature behind the key id */
    struct hf_cursor id = hf_buf_cursor(&out);
    ret->name = name;
    ret->base64 = base64;
    return hf_cursor_u32(&id, &ret->key_id);
}

/* @spec C2SP:signed-note Format */
hf_result hf_note_open(struct hf_cursor note, struct hf_note *ret_note)
{
    if (note.left > HF_NOTE_MAX || !hf_utf8_valid(note))
        return HF_FAIL(BAD_SIGNATURE);
    size_t split = 0; /* end of the text: the last empty line is the divider */
    for (size_t i = 0; i < note.left; i++) {
        if (note.at[i] < 0x20 && note.at[i] != '\n')
            return HF_FAIL(BAD_SIGNATURE);
        if (i != 0 && note.at[i] == '\n' && note.at[i - 1] == '\n')
            split = i;
    }
    if (split == 0)
        return HF_FAIL(BAD_SIGNATURE);
    struct hf_note opened = {hf_cursor(note.at, split),
                             hf_cursor(note.at + split + 1, note.left - split - 1)};
    struct hf_cursor rest = opened.lines, line;
    unsigned count = 0;
    while (hf_note_text_line(&rest, &line)) {
        struct hf_note_signature signature;
        if (++count > HF_NOTE_SIGNATURES_MAX || !parse_line(line, &signature))
            return HF_FAIL(BAD_SIGNATURE);
    }
    if (count == 0 || rest.left != 0)
        return HF_FAIL(BAD_SIGNATURE);
    *ret_note = opened;
    return HF_DONE;
}

bool hf_note_next(struct hf_cursor *lines, struct hf_note_signature *ret_signature)
{
    struct hf_cursor line;
    return hf_note_text_line(lines, &line) && parse_line(line, ret_signature);
}

hf_result hf_note_signature_bytes(const struct hf_note_signature *signature, struct hf_buf *out)
{
    uint8_t bytes[KEY_ID_LEN + SIGNATURE_MAX];
    struct hf_buf decoded = hf_buf(bytes, sizeof(bytes));
    if (!HF_IS_OK(hf_base64_decode(&decoded, signature->base64)) || decoded.len <= KEY_ID_LEN)
        return HF_FAIL(BAD_SIGNATURE);
    hf_buf_put(out, bytes + KEY_ID_LEN, decoded.len - KEY_ID_LEN);
    return hf_buf_ok(out);
}

uint32_t hf_note_key_id(struct hf_cursor name, uint8_t type, struct hf_cursor public_key)
{
    const uint8_t middle[2] = {'\n', type};
    const struct hf_cursor parts[] = {name, hf_cursor(middle, sizeof(middle)), public_key};
    uint8_t digest[32];
    hf_sha256_short_parts(parts, HF_ARRAY_LEN(parts), digest);
    struct hf_cursor in = hf_cursor(digest, sizeof(digest));
    uint32_t id = 0;
    (void)hf_cursor_u32(&in, &id);
    return id;
}

void hf_note_line(struct hf_buf *out, struct hf_cursor name, uint32_t key_id, struct hf_cursor signature)
{
    uint8_t bytes[KEY_ID_LEN + SIGNATURE_MAX];
    struct hf_buf both = hf_buf(bytes, sizeof(bytes));
    hf_buf_u32(&both, key_id);
    hf_buf_put_cursor(&both, signature);
    if (both.overflow) {
        out->overflow = true;
        return;
    }
    hf_buf_text(out, DASH);
    hf_buf_put_cursor(out, name);
    hf_buf_u8(out, ' ');
    hf_base64_encode(out, hf_buf_cursor(&both));
    hf_buf_u8(out, '\n');
}
