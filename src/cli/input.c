#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "secret/secret.h"

static hf_result read_line(int fd, char *text, size_t cap)
{
    size_t len = 0;
    for (;;) {
        char c;
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return HF_FAIL(SYSTEM);
        if (n == 0 || c == '\n')
            break;
        if (len + 1 == cap)
            return HF_FAIL(TOO_LARGE);
        if (c != '\r')
            text[len++] = c;
    }
    text[len] = '\0';
    return len == 0 ? HF_FAIL(TRUNCATED) : HF_DONE;
}

hf_result cli_read_secret(const char *prompt, int fd, char *ret_text, size_t cap)
{
    if (fd >= 0)
        return read_line(fd, ret_text, cap);
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (terminal < 0 || !isatty(STDIN_FILENO)) { /* piped in */
        if (terminal >= 0)
            close(terminal);
        return read_line(STDIN_FILENO, ret_text, cap);
    }
    struct termios before, silent;
    hf_result done = HF_FAIL(SYSTEM);
    if (tcgetattr(terminal, &before) == 0) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        silent.c_lflag |= ECHONL;
        if (tcsetattr(terminal, TCSAFLUSH, &silent) == 0) {
            ssize_t ignored = write(terminal, prompt, strlen(prompt));
            (void)ignored; /* a prompt that is not seen does no harm */
            done = read_line(terminal, ret_text, cap);
            (void)tcsetattr(terminal, TCSAFLUSH, &before);
        }
    }
    close(terminal);
    return done;
}

hf_result cli_read_file(const char *path, size_t most, uint8_t **ret_bytes, size_t *ret_len)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return HF_FAIL(NOT_FOUND);
    size_t cap = 64 << 10, len = 0;
    uint8_t *bytes = malloc(cap + 1);
    hf_result done = bytes == NULL ? HF_FAIL(NO_MEMORY) : HF_DONE;
    while (HF_IS_OK(done)) {
        if (len == cap) {
            uint8_t *bigger = cap * 2 > most + (64u << 10) ? NULL : malloc(cap * 2 + 1);
            if (bigger == NULL) {
                done = HF_FAIL(TOO_LARGE);
                break;
            }
            memcpy(bigger, bytes, len);
            hf_wipe(bytes, len);
            free(bytes);
            bytes = bigger;
            cap *= 2;
        }
        ssize_t n = read(fd, bytes + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            done = HF_FAIL(SYSTEM);
        if (n <= 0)
            break;
        len += (size_t)n;
        if (len > most)
            done = HF_FAIL(TOO_LARGE);
    }
    if (fd != STDIN_FILENO)
        close(fd);
    if (!HF_IS_OK(done)) {
        if (bytes != NULL)
            hf_wipe(bytes, len);
        free(bytes);
        return done;
    }
    bytes[len] = '\0';
    *ret_bytes = bytes;
    *ret_len = len;
    return HF_DONE;
}
