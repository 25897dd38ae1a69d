#include "base/log.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    TEXT_MAX = 256, /* bytes of one value that are shown */
    TAIL_MAX = 16,  /* room kept for the end of the line: ,"cut":true} and the line feed */
};

static struct {
    int fd;
    enum hf_log_level least;
    const char *role;
} sink = {STDERR_FILENO, HF_LOG_INFO, "holdfast"};

void hf_log_setup(int fd, enum hf_log_level least, const char *role)
{
    sink.fd = fd;
    sink.least = least;
    sink.role = role;
}

/* Bytes of the character at the start of `text`, or 0 where it is not well-formed UTF-8. */
static size_t character(struct hf_cursor text)
{
    uint8_t lead = text.at[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    /* Ill-formed sequences are told apart by what follows a lead byte; a wrong lead has no valid rest. */
    if (len > text.left)
        return 0;
    if (len == 1)
        return 1;
    for (size_t i = 1; i < len; i++)
        if ((text.at[i] & 0xc0) != 0x80)
            return 0;
    if (lead < 0xc2 || lead > 0xf4 || (lead == 0xe0 && text.at[1] < 0xa0) ||
        (lead == 0xed && text.at[1] > 0x9f) || (lead == 0xf0 && text.at[1] < 0x90) ||
        (lead == 0xf4 && text.at[1] > 0x8f))
        return 0;
    return len;
}

/* A JSON string. Gives false where the text was cut. */
static bool put_string(struct hf_buf *out, struct hf_cursor text)
{
    static const char digits[] = "0123456789abcdef";
    size_t shown = 0;
    bool whole = true;
    hf_buf_u8(out, '"');
    while (text.left != 0) {
        size_t len = character(text);
        if (shown + HF_MAX(len, 1) > TEXT_MAX) {
            whole = false;
            break;
        }
        uint8_t c = text.at[0];
        if (len == 0) {
            hf_buf_text(out, "\\ufffd");
            len = 1;
        } else if (len > 1) {
            hf_buf_put(out, text.at, len);
        } else if (c == '"' || c == '\\') {
            hf_buf_u8(out, '\\');
            hf_buf_u8(out, c);
        } else if (c < 0x20 || c == 0x7f) {
            hf_buf_text(out, "\\u00");
            hf_buf_u8(out, (uint8_t)digits[c >> 4]);
            hf_buf_u8(out, (uint8_t)digits[c & 15]);
        } else {
            hf_buf_u8(out, c);
        }
        shown += len;
        text = hf_cursor(text.at + len, text.left - len);
    }
    hf_buf_u8(out, '"');
    return whole;
}

static bool put_value(struct hf_buf *out, const struct hf_log_field *field)
{
    char id[HF_ID_TEXT_LEN];
    switch (field->kind) {
    case HF_LOG_TEXT:
        if (field->as.text == NULL) {
            hf_buf_text(out, "null");
            return true;
        }
        return put_string(out, hf_cursor_text(field->as.text));
    case HF_LOG_SLICE:
        return put_string(out, field->as.slice);
    case HF_LOG_U64:
        hf_buf_decimal(out, field->as.u64);
        return true;
    case HF_LOG_I64:
        if (field->as.i64 < 0)
            hf_buf_u8(out, '-');
        hf_buf_decimal(out, field->as.i64 < 0 ? 0 - (uint64_t)field->as.i64 : (uint64_t)field->as.i64);
        return true;
    case HF_LOG_BOOL:
        hf_buf_text(out, field->as.yes ? "true" : "false");
        return true;
    case HF_LOG_ID:
        hf_id_text(field->as.id, id);
        return put_string(out, hf_cursor(id, sizeof(id)));
    case HF_LOG_RESULT:
        return put_string(out, hf_cursor_text(hf_code_name(field->as.result.code)));
    }
    return true;
}

/* Adds a member, or nothing of it where it does not fit. Gives false where something was left out. */
static bool put_member(struct hf_buf *out, const struct hf_log_field *field)
{
    size_t begun = out->len;
    hf_buf_u8(out, ',');
    bool whole = put_string(out, hf_cursor_text(field->name));
    hf_buf_u8(out, ':');
    whole &= put_value(out, field);
    if (out->overflow) {
        out->overflow = false;
        out->len = begun;
        return false;
    }
    return whole;
}

void hf_log_write(enum hf_log_level level, const char *event, const struct hf_log_field *fields, size_t count)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (level < sink.least)
        return;
    int saved = errno;
    char line[HF_LOG_LINE_MAX];
    struct hf_buf out = hf_buf(line, sizeof(line) - TAIL_MAX);
    bool whole = true;

    hf_buf_text(&out, "{\"time\":\"");
    hf_time_rfc3339(&out, hf_wall_ns(&hf_clock_system));
    hf_buf_text(&out, "\",\"level\":\"");
    hf_buf_text(&out, names[level]);
    hf_buf_u8(&out, '"');
    const struct hf_log_field process[] = {
        hf_log_text("role", sink.role), hf_log_u64("pid", (uint64_t)getpid()), hf_log_text("event", event)};
    for (size_t i = 0; i < HF_ARRAY_LEN(process); i++)
        whole &= put_member(&out, &process[i]);
    for (size_t i = 0; i < count; i++)
        whole &= put_member(&out, &fields[i]);
    out.cap = sizeof(line);
    hf_buf_text(&out, whole ? "}\n" : ",\"cut\":true}\n");

    /* One write: lines of several processes do not mix. A log that takes none is not worth dying for. */
    while (write(sink.fd, line, out.len) < 0 && errno == EINTR)
        ;
    errno = saved;
}
