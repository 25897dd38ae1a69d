#include "roles/say.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

enum { SAY_MAX = 8192 };

hf_result hf_write_all(int fd, struct hf_cursor bytes)
{
    while (bytes.left != 0) {
        ssize_t put = write(fd, bytes.at, bytes.left);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return HF_FAIL(SYSTEM);
        bytes = hf_cursor(bytes.at + put, bytes.left - (size_t)put);
    }
    return HF_DONE;
}

void hf_say(int fd, const char *first, ...)
{
    char space[SAY_MAX];
    struct hf_buf out = hf_buf(space, sizeof(space));
    va_list rest;
    va_start(rest, first);
    for (const char *text = first; text != NULL; text = va_arg(rest, const char *))
        hf_buf_text(&out, text);
    va_end(rest);
    HF_IGNORE(hf_write_all(fd, hf_buf_cursor(&out)), "nobody is there to be told");
}

void hf_complain(const char *first, ...)
{
    char space[SAY_MAX];
    struct hf_buf out = hf_buf(space, sizeof(space) - 1);
    va_list rest;
    hf_buf_text(&out, "holdfastd: ");
    va_start(rest, first);
    for (const char *text = first; text != NULL; text = va_arg(rest, const char *))
        hf_buf_text(&out, text);
    va_end(rest);
    out.cap = sizeof(space);
    hf_buf_text(&out, "\n");
    HF_IGNORE(hf_write_all(STDERR_FILENO, hf_buf_cursor(&out)), "nobody is there to be told");
}
