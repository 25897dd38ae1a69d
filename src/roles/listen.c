#include "roles/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, HANDED_FIRST = 3, REASON_MAX = 320 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t address_of(const struct hf_config_listener *listener, bool v6_works, union address *ret)
{
    *ret = (union address){.any = {0}};
    const char *host = strcmp(listener->host, "localhost") == 0 ? "127.0.0.1" : listener->host;
    if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1 || (host[0] == 0 && !v6_works)) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(listener->port);
        return sizeof(ret->v4);
    }
    if (host[0] == 0)
        ret->v6.sin6_addr = in6addr_any; /* takes IPv4 too */
    else if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) != 1)
        return 0;
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(listener->port);
    return sizeof(ret->v6);
}

static void set_port(union address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons(port);
    else
        address->v6.sin6_port = htons(port);
}

/* Bound, not listening. Gives -1 with errno. */
static int bound(const union address *address, socklen_t len, bool share)
{
    int on = 1, off = 0;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        (address->any.sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
        bind(fd, &address->any, len) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    union address address = {.any = {0}};
    socklen_t len = sizeof(address);
    if (getsockname(fd, &address.any, &len) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

static hf_result fail(const char *address, int error, char ret_reason[static REASON_MAX])
{
    struct hf_buf out = hf_buf(ret_reason, REASON_MAX - 1);
    const char *name = strerrordesc_np(error);
    hf_buf_text(&out, address);
    hf_buf_text(&out, ": ");
    hf_buf_text(&out, error == EADDRINUSE      ? "the port is in use by another program"
                      : error == EACCES        ? "this port may not be taken without more privileges"
                      : error == EADDRNOTAVAIL ? "this machine has no such address"
                      : name != NULL           ? name
                                               : "cannot listen");
    ret_reason[out.len] = 0;
    return HF_FAIL(CONFIG);
}

static hf_result open_one(const struct hf_config_listener *listener, uint32_t index, struct hf_listen *into,
                          char ret_reason[static REASON_MAX])
{
    union address address;
    socklen_t len = address_of(listener, true, &address);
    if (len == 0)
        return fail(listener->address, EADDRNOTAVAIL, ret_reason);
    /* Sharing a port with another server of the same user would succeed: a socket that does not share shows whether
     * one is there. */
    int probe = bound(&address, len, false);
    if (probe < 0 && listener->host[0] == 0 && errno == EAFNOSUPPORT) {
        len = address_of(listener, false, &address);
        probe = bound(&address, len, false);
    }
    if (probe < 0)
        return fail(listener->address, errno, ret_reason);
    set_port(&address, port_of(probe));
    close(probe);
    for (uint32_t front = 0; front < into->fronts; front++) {
        int fd = bound(&address, len, true);
        if (fd < 0)
            return fail(listener->address, errno, ret_reason);
        into->fds[index][front] = fd;
        if (listen(fd, BACKLOG) != 0)
            return fail(listener->address, errno, ret_reason);
        into->ports[index] = port_of(fd);
    }
    return HF_DONE;
}

/* How many sockets the service manager handed over, from descriptor 3 on. */
static uint32_t handed_over(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    long count = strtol(fds, NULL, 10);
    return count > 0 && count <= HF_CONFIG_LISTENERS_MAX ? (uint32_t)count : 0;
}

static hf_result take_handed(int fd, uint32_t index, struct hf_listen *into, const char *address,
                             char ret_reason[static REASON_MAX])
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return fail(address, errno, ret_reason);
    for (uint32_t front = 0; front < into->fronts; front++) {
        into->fds[index][front] = fcntl(fd, F_DUPFD_CLOEXEC, 64);
        if (into->fds[index][front] < 0)
            return fail(address, errno, ret_reason);
    }
    into->ports[index] = port_of(fd);
    close(fd);
    return HF_DONE;
}

hf_result hf_listen_open(const struct hf_config_listener *listeners, uint32_t count, uint32_t fronts,
                         struct hf_listen *ret_listen, char ret_reason[static REASON_MAX])
{
    *ret_listen = (struct hf_listen){.listeners = count, .fronts = fronts};
    for (size_t i = 0; i < HF_CONFIG_LISTENERS_MAX; i++)
        for (size_t j = 0; j < HF_CONFIG_FRONTS_MAX; j++)
            ret_listen->fds[i][j] = -1;
    uint32_t handed = handed_over();
    hf_result result = HF_DONE;
    for (uint32_t i = 0; i < count && HF_IS_OK(result); i++)
        result = i < handed
                     ? take_handed(HANDED_FIRST + (int)i, i, ret_listen, listeners[i].address, ret_reason)
                     : open_one(&listeners[i], i, ret_listen, ret_reason);
    if (!HF_IS_OK(result))
        hf_listen_close(ret_listen);
    return result;
}

void hf_listen_close(struct hf_listen *listen)
{
    for (size_t i = 0; i < HF_CONFIG_LISTENERS_MAX; i++)
        for (size_t j = 0; j < HF_CONFIG_FRONTS_MAX; j++) {
            if (listen->fds[i][j] >= 0)
                close(listen->fds[i][j]);
            listen->fds[i][j] = -1;
        }
}
