#include "roles/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un to;
static socklen_t to_len;
static int64_t watchdog_ns;

void hf_notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path == NULL ? 0 : strlen(path);
    if (len > 1 && len < sizeof(to.sun_path) && (path[0] == '/' || path[0] == '@')) {
        to.sun_family = AF_UNIX;
        memcpy(to.sun_path, path, len);
        if (path[0] == '@')
            to.sun_path[0] = 0;
        to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (interval != NULL && (pid == NULL || strtol(pid, NULL, 10) == (long)getpid())) {
        long long us = strtoll(interval, NULL, 10);
        if (us > 0 && us < INT64_MAX / 1000)
            watchdog_ns = us * 1000 / 2;
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

void hf_notify(const char *message)
{
    if (to_len == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to,
                 to_len);
    close(fd);
}

int64_t hf_notify_watchdog_ns(void)
{
    return watchdog_ns;
}
