/* C2SP tlog-proof texts and tlog-tiles paths. */
#include "base/encode.h"
#include "tlog/note.h"
#include "tlog/tlog.h"

#define PROOF_HEADER "c2sp.org/tlog-proof@v1"
enum { TILE_WIDTH = 256, TILE_LEVEL_MAX = 63, PROOF_TEXT_MAX = 512 << 10 };

/* @spec C2SP:tlog-proof Format */
hf_result hf_tlog_proof_write(struct hf_buf *out, struct hf_cursor extra, uint64_t index,
                              const struct hf_tlog_proof *proof, struct hf_cursor checkpoint_note)
{
    if (proof->count > HF_TLOG_PROOF_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    hf_buf_text(out, PROOF_HEADER "\n");
    if (extra.left != 0) {
        hf_buf_text(out, "extra ");
        hf_base64_encode(out, extra);
        hf_buf_u8(out, '\n');
    }
    hf_buf_text(out, "index ");
    hf_buf_decimal(out, index);
    hf_buf_u8(out, '\n');
    for (uint32_t i = 0; i < proof->count; i++) {
        hf_base64_encode(out, hf_cursor(proof->path[i].bytes, HF_TLOG_HASH));
        hf_buf_u8(out, '\n');
    }
    hf_buf_u8(out, '\n');
    hf_buf_put_cursor(out, checkpoint_note);
    return hf_buf_ok(out);
}

static bool take_word(struct hf_cursor *line, const char *word)
{
    size_t len = strlen(word);
    if (line->left < len || memcmp(line->at, word, len) != 0) /* public text */
        return false;
    line->at += len;
    line->left -= len;
    return true;
}

hf_result hf_tlog_proof_open(struct hf_cursor text, struct hf_cursor *ret_extra, uint64_t *ret_index,
                             struct hf_tlog_proof *ret_proof, struct hf_cursor *ret_checkpoint_note)
{
    struct hf_cursor line, extra = hf_cursor(NULL, 0);
    uint64_t index;
    if (text.left > PROOF_TEXT_MAX || !hf_note_text_line(&text, &line) || !hf_cursor_is(line, PROOF_HEADER) ||
        !hf_note_text_line(&text, &line))
        return HF_FAIL(BAD_SIGNATURE);
    if (take_word(&line, "extra ")) {
        extra = line;
        if (extra.left == 0 || !hf_note_text_line(&text, &line))
            return HF_FAIL(BAD_SIGNATURE);
    }
    if (!take_word(&line, "index ") || !hf_note_decimal(line, &index))
        return HF_FAIL(BAD_SIGNATURE);
    ret_proof->count = 0;
    for (;;) {
        if (!hf_note_text_line(&text, &line))
            return HF_FAIL(BAD_SIGNATURE);
        if (line.left == 0)
            break;
        if (ret_proof->count == HF_TLOG_PROOF_MAX || line.left != HF_BASE64_LEN(HF_TLOG_HASH))
            return HF_FAIL(BAD_SIGNATURE);
        struct hf_buf hash = hf_buf(ret_proof->path[ret_proof->count++].bytes, HF_TLOG_HASH);
        if (!HF_IS_OK(hf_base64_decode(&hash, line)) || hash.len != HF_TLOG_HASH)
            return HF_FAIL(BAD_SIGNATURE);
    }
    *ret_extra = extra;
    *ret_index = index;
    *ret_checkpoint_note = text;
    return HF_DONE;
}

/* @spec C2SP:tlog-tiles Merkle Tree */
hf_result hf_tlog_tile_path(struct hf_buf *out, int level, uint64_t index, unsigned width)
{
    if (level < -1 || level > TILE_LEVEL_MAX || width == 0 || width > TILE_WIDTH)
        return HF_FAIL(BAD_ARGUMENT);
    hf_buf_text(out, "tile/");
    if (level < 0)
        hf_buf_text(out, "entries");
    else
        hf_buf_decimal(out, (uint64_t)level);
    uint64_t divisor = 1;
    while (index / divisor >= 1000)
        divisor *= 1000;
    for (; divisor > 0; divisor /= 1000) {
        unsigned part = (unsigned)(index / divisor % 1000);
        hf_buf_text(out, divisor > 1 ? "/x" : "/");
        hf_buf_u8(out, (uint8_t)('0' + part / 100));
        hf_buf_u8(out, (uint8_t)('0' + part / 10 % 10));
        hf_buf_u8(out, (uint8_t)('0' + part % 10));
    }
    if (width < TILE_WIDTH) {
        hf_buf_text(out, ".p/");
        hf_buf_decimal(out, width);
    }
    return hf_buf_ok(out);
}

hf_result hf_tlog_tile_parse(struct hf_cursor path, int *ret_level, uint64_t *ret_index, unsigned *ret_width)
{
    struct hf_cursor whole = path;
    uint64_t level, index = 0, width = TILE_WIDTH;
    if (!take_word(&path, "tile/"))
        return HF_FAIL(NOT_FOUND);
    if (take_word(&path, "entries/")) {
        *ret_level = -1;
    } else {
        const uint8_t *slash = path.left != 0 ? memchr(path.at, '/', path.left) : NULL;
        if (slash == NULL || !hf_note_decimal(hf_cursor(path.at, (size_t)(slash - path.at)), &level) ||
            level > TILE_LEVEL_MAX)
            return HF_FAIL(NOT_FOUND);
        *ret_level = (int)level;
        path = hf_cursor(slash + 1, path.left - (size_t)(slash - path.at) - 1);
    }
    for (bool more = true; more;) {
        more = take_word(&path, "x");
        struct hf_cursor digits;
        if (!hf_cursor_take(&path, 3, &digits))
            return HF_FAIL(NOT_FOUND);
        for (size_t i = 0; i < 3; i++) {
            if (digits.at[i] < '0' || digits.at[i] > '9' || __builtin_mul_overflow(index, 10, &index) ||
                __builtin_add_overflow(index, (uint64_t)(digits.at[i] - '0'), &index))
                return HF_FAIL(NOT_FOUND);
        }
        if (more && !take_word(&path, "/"))
            return HF_FAIL(NOT_FOUND);
    }
    if (path.left != 0 &&
        (!take_word(&path, ".p/") || !hf_note_decimal(path, &width) || width == 0 || width >= TILE_WIDTH))
        return HF_FAIL(NOT_FOUND);
    /* One path for one tile: only the form that is written is read ("x000/001" is none). */
    uint8_t bytes[96];
    struct hf_buf canonical = hf_buf(bytes, sizeof(bytes));
    if (!HF_IS_OK(hf_tlog_tile_path(&canonical, *ret_level, index, (unsigned)width)) ||
        !hf_cursor_same(hf_buf_cursor(&canonical), whole))
        return HF_FAIL(NOT_FOUND);
    *ret_index = index;
    *ret_width = (unsigned)width;
    return HF_DONE;
}
