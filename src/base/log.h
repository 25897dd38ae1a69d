/* Structured log: JSON lines, typed values, bounded length (a line never exceeds HF_LOG_LINE_MAX; longer text
 * is cut and marked). No printf path exists: a value of a type without a case does not compile, and secrets
 * have no case. Each line is one write(2) to a descriptor that was open at start.
 *
 *     hf_log(HF_LOG_WARN, "store.slow", hf_f("role", "core"), hf_f("elapsed_us", elapsed));
 *
 * Event names are dotted constants. Text from outside is escaped; never log request bodies, tokens, or paths
 * below a mount that carry client-chosen values: log ids. */
#ifndef HF_BASE_LOG_H
#define HF_BASE_LOG_H

#include "base/cursor.h"
#include "base/result.h"

enum { HF_LOG_LINE_MAX = 1024 };
enum hf_log_level { HF_LOG_DEBUG, HF_LOG_INFO, HF_LOG_WARN, HF_LOG_ERROR };

/* 128-bit identifier: requests, sets, tokens' accessors, keys. Printed as UUID text. */
struct hf_id {
    uint8_t bytes[16];
};
enum { HF_ID_TEXT_LEN = 36 };
/* Writes 36 characters (8-4-4-4-12) and no NUL. */
void hf_id_text(struct hf_id id, char ret_text[static HF_ID_TEXT_LEN]);
hf_result hf_id_parse(struct hf_cursor text, struct hf_id *ret_id);

struct hf_log_field {
    const char *name;
    enum { HF_LOG_TEXT, HF_LOG_SLICE, HF_LOG_U64, HF_LOG_I64, HF_LOG_BOOL, HF_LOG_ID, HF_LOG_RESULT } kind;
    union {
        const char *text;
        struct hf_cursor slice;
        uint64_t u64;
        int64_t i64;
        bool yes;
        struct hf_id id;
        hf_result result;
    } as;
};

static inline struct hf_log_field hf_log_text(const char *n, const char *v)
{
    return (struct hf_log_field){n, HF_LOG_TEXT, {.text = v}};
}
static inline struct hf_log_field hf_log_slice(const char *n, struct hf_cursor v)
{
    return (struct hf_log_field){n, HF_LOG_SLICE, {.slice = v}};
}
static inline struct hf_log_field hf_log_u64(const char *n, uint64_t v)
{
    return (struct hf_log_field){n, HF_LOG_U64, {.u64 = v}};
}
static inline struct hf_log_field hf_log_i64(const char *n, int64_t v)
{
    return (struct hf_log_field){n, HF_LOG_I64, {.i64 = v}};
}
static inline struct hf_log_field hf_log_bool(const char *n, bool v)
{
    return (struct hf_log_field){n, HF_LOG_BOOL, {.yes = v}};
}
static inline struct hf_log_field hf_log_id(const char *n, struct hf_id v)
{
    return (struct hf_log_field){n, HF_LOG_ID, {.id = v}};
}
static inline struct hf_log_field hf_log_result(const char *n, hf_result v)
{
    return (struct hf_log_field){n, HF_LOG_RESULT, {.result = v}};
}

#define hf_f(name, value)                                                                                    \
    _Generic((value),                                                                                        \
        char *: hf_log_text,                                                                                 \
        const char *: hf_log_text,                                                                           \
        struct hf_cursor: hf_log_slice,                                                                      \
        bool: hf_log_bool,                                                                                   \
        int: hf_log_i64,                                                                                     \
        long: hf_log_i64,                                                                                    \
        unsigned: hf_log_u64,                                                                                \
        unsigned long: hf_log_u64,                                                                           \
        struct hf_id: hf_log_id,                                                                             \
        hf_result: hf_log_result)((name), (value))

/* Sets where and from which level this process logs, and its role's name (static storage). Call once before
 * threads start. fd is borrowed and must stay open. */
void hf_log_setup(int fd, enum hf_log_level least, const char *role);
void hf_log_write(enum hf_log_level level, const char *event, const struct hf_log_field *fields,
                  size_t count);

#define hf_log(level, event, ...)                                                                            \
    hf_log_write((level), (event), (const struct hf_log_field[]){__VA_ARGS__},                               \
                 sizeof((const struct hf_log_field[]){__VA_ARGS__}) / sizeof(struct hf_log_field))

#endif
