#include "roles/control.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secret/secret.h"
#include "wire/frame.h"

enum { MESSAGE_MAX = HF_FRAME_HEADER + HF_CONTROL_BODY_MAX };
static_assert(1 + 1 + HF_ROLE_LINKS_MAX + HF_CONFIG_LISTENERS_MAX + HF_ROLE_TLS_FILES_MAX <=
                  HF_CONTROL_FDS_MAX,
              "all that a role is given fits one message");

const char *hf_role_name(enum hf_role role)
{
    static const char *const names[HF_ROLE_COUNT] = {"supervisor", "front", "core", "store"};
    return (unsigned)role < HF_ROLE_COUNT ? names[role] : "unknown";
}

/* ---- messages with descriptors ---- */

struct fds {
    int fd[HF_CONTROL_FDS_MAX];
    size_t count;
};

static void fds_close(struct fds *fds)
{
    for (size_t i = 0; i < fds->count; i++)
        close(fds->fd[i]);
    fds->count = 0;
}

/* Takes the next descriptor out, or -1. What is left in when a message is done is closed. */
static int fds_take(struct fds *fds, size_t *at)
{
    if (*at >= fds->count)
        return -1;
    int fd = fds->fd[*at];
    *at += 1;
    return fd;
}

static hf_result send_message(int control_fd, enum hf_control_kind kind, const struct hf_buf *body,
                              const struct fds *fds)
{
    if (body->overflow || fds->count > HF_CONTROL_FDS_MAX)
        return HF_FAIL(TOO_LARGE);
    uint8_t head[HF_FRAME_HEADER];
    struct hf_buf frame = hf_buf(head, sizeof(head));
    size_t begun = hf_frame_begin(&frame, HF_FRAME_CONTROL, 0, (uint64_t)kind);
    hf_frame_end(&frame, begun);
    hf_store_u32(head, (uint32_t)(HF_FRAME_HEADER - sizeof(uint32_t) + body->len));

    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(int) * HF_CONTROL_FDS_MAX)];
    } beside = {0};
    struct iovec parts[2] = {{head, sizeof(head)}, {body->at, body->len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (fds->count != 0) {
        size_t bytes = fds->count * sizeof(int);
        message.msg_control = beside.space;
        message.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(rights), fds->fd, bytes);
    }
    for (;;) {
        if (sendmsg(control_fd, &message, MSG_NOSIGNAL) >= 0)
            return HF_DONE;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return HF_FAIL(ROLE_DOWN);
        if (errno != EINTR)
            return HF_FAIL(SYSTEM);
    }
}

static void take_fds(struct msghdr *message, struct fds *ret_fds)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(fd));
            if (ret_fds->count < HF_CONTROL_FDS_MAX)
                ret_fds->fd[ret_fds->count++] = fd;
            else
                close(fd);
        }
    }
}

/* Receives a message into `space`. */
static hf_result recv_message(int control_fd, bool wait, uint8_t space[static MESSAGE_MAX],
                              struct fds *ret_fds, enum hf_control_kind *ret_kind, struct hf_cursor *ret_body)
{
    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(int) * HF_CONTROL_FDS_MAX)];
    } beside;
    struct iovec part = {space, MESSAGE_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = beside.space,
                             .msg_controllen = sizeof(beside.space)};
    ssize_t got;
    for (;;) {
        got = recvmsg(control_fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
        if (got >= 0)
            break;
        if (errno == EAGAIN && !wait)
            return HF_FAIL(WOULD_BLOCK);
        if (errno == EAGAIN) {
            struct pollfd readable = {.fd = control_fd, .events = POLLIN};
            HF_IGNORE(poll(&readable, 1, -1) >= 0 ? HF_DONE : HF_FAIL(SYSTEM),
                      "recvmsg says what is the matter");
        } else if (errno == ECONNRESET) {
            return HF_FAIL(ROLE_DOWN);
        } else if (errno != EINTR) {
            return HF_FAIL(SYSTEM);
        }
    }
    take_fds(&message, ret_fds);
    if (got == 0 && ret_fds->count == 0)
        return HF_FAIL(ROLE_DOWN);
    struct hf_cursor in = hf_cursor(space, (size_t)got);
    struct hf_frame frame;
    bool whole = false;
    size_t need;
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        !HF_IS_OK(hf_frame_next(&in, &frame, &whole, &need)) || !whole || in.left != 0 ||
        frame.type != HF_FRAME_CONTROL || frame.id < HF_CONTROL_START || frame.id >= HF_CONTROL_KIND_END) {
        fds_close(ret_fds);
        return HF_FAIL(BAD_REQUEST);
    }
    *ret_kind = (enum hf_control_kind)frame.id;
    *ret_body = frame.body;
    return HF_DONE;
}

/* ---- parts of bodies ---- */

static void put_links(struct hf_buf *out, struct fds *fds, const struct hf_role_link *links, uint32_t count)
{
    hf_buf_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        hf_buf_u8(out, (uint8_t)links[i].peer);
        hf_buf_u16(out, links[i].index);
        fds->fd[fds->count++] = links[i].fd;
    }
}

static bool take_role(struct hf_cursor *in, enum hf_role *ret_role)
{
    uint8_t role;
    if (!hf_cursor_u8(in, &role) || role >= HF_ROLE_COUNT)
        return false;
    *ret_role = (enum hf_role)role;
    return true;
}

static bool take_links(struct hf_cursor *in, struct fds *fds, size_t *at, struct hf_role_link *ret_links,
                       uint32_t *ret_count)
{
    uint32_t count;
    if (!hf_cursor_u32(in, &count) || count > HF_ROLE_LINKS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!take_role(in, &ret_links[i].peer) || !hf_cursor_u16(in, &ret_links[i].index) ||
            (ret_links[i].fd = fds_take(fds, at)) < 0)
            return false;
    *ret_count = count;
    return true;
}

static void put_tls(struct hf_buf *out, struct fds *fds, const struct hf_role_tls_file *files, uint32_t count)
{
    hf_buf_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        hf_buf_u8(out, (uint8_t)files[i].kind);
        hf_buf_u16(out, files[i].listener);
        hf_buf_u16(out, files[i].pair);
        fds->fd[fds->count++] = files[i].fd;
    }
}

static bool take_tls(struct hf_cursor *in, struct fds *fds, size_t *at, struct hf_role_tls_file *ret_files,
                     uint32_t *ret_count)
{
    uint32_t count;
    if (!hf_cursor_u32(in, &count) || count > HF_ROLE_TLS_FILES_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct hf_role_tls_file *file = &ret_files[i];
        uint8_t kind;
        if (!hf_cursor_u8(in, &kind) || kind < HF_TLS_FILE_CERT || kind > HF_TLS_FILE_CLIENT_CA ||
            !hf_cursor_u16(in, &file->listener) || file->listener >= HF_CONFIG_LISTENERS_MAX ||
            !hf_cursor_u16(in, &file->pair) || file->pair >= HF_CONFIG_CERTS_MAX ||
            (file->fd = fds_take(fds, at)) < 0)
            return false;
        file->kind = (enum hf_tls_file_kind)kind;
    }
    *ret_count = count;
    return true;
}

static void put_text(struct hf_buf *out, const char text[static HF_CONTROL_TEXT_MAX])
{
    hf_buf_vec16(out, hf_cursor(text, strnlen(text, HF_CONTROL_TEXT_MAX - 1)));
}

static bool take_text(struct hf_cursor *in, char ret_text[static HF_CONTROL_TEXT_MAX])
{
    struct hf_cursor text;
    if (!hf_cursor_vec16(in, &text) || text.left >= HF_CONTROL_TEXT_MAX)
        return false;
    memcpy(ret_text, text.at, text.left);
    ret_text[text.left] = 0;
    return true;
}

static void put_shares(struct hf_buf *out, const char shares[][HF_CONTROL_TEXT_MAX], uint32_t count)
{
    hf_buf_u32(out, count);
    for (uint32_t i = 0; i < count; i++)
        put_text(out, shares[i]);
}

static bool take_shares(struct hf_cursor *in, char ret_shares[][HF_CONTROL_TEXT_MAX], uint32_t *ret_count)
{
    uint32_t count;
    if (!hf_cursor_u32(in, &count) || count > HF_CONTROL_DEV_SHARES)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!take_text(in, ret_shares[i]))
            return false;
    *ret_count = count;
    return true;
}

static bool take_bool(struct hf_cursor *in, bool *ret)
{
    uint8_t value;
    if (!hf_cursor_u8(in, &value) || value > 1)
        return false;
    *ret = value == 1;
    return true;
}

/* ---- receiving ---- */

static bool decode(struct hf_cursor in, struct fds *fds, struct hf_control *message)
{
    size_t at = 0;
    uint32_t code;
    bool good = false;
    switch (message->kind) {
    case HF_CONTROL_LINKS:
        good = take_links(&in, fds, &at, message->as.links.links, &message->as.links.count);
        break;
    case HF_CONTROL_TLS:
        good = take_tls(&in, fds, &at, message->as.tls.files, &message->as.tls.count);
        break;
    case HF_CONTROL_POSTURE:
        good = take_role(&in, &message->as.posture.role) && hf_cursor_u16(&in, &message->as.posture.index);
        message->as.posture.tree = in;
        in.left = 0;
        break;
    case HF_CONTROL_DEV_INIT:
        good = take_bool(&in, &message->as.dev_init.init) &&
               take_text(&in, message->as.dev_init.root_token) &&
               take_shares(&in, message->as.dev_init.shares, &message->as.dev_init.share_count);
        break;
    case HF_CONTROL_DEV_DONE:
        good = hf_cursor_u32(&in, &code) && code < HF_CODE_COUNT &&
               take_text(&in, message->as.dev_done.root_token) &&
               take_shares(&in, message->as.dev_done.shares, &message->as.dev_done.share_count);
        message->as.dev_done.code = good ? (enum hf_code)code : HF_INTERNAL;
        break;
    case HF_CONTROL_STATUS:
        good = take_bool(&in, &message->as.status.initialized) &&
               take_bool(&in, &message->as.status.sealed) && take_text(&in, message->as.status.version);
        break;
    case HF_CONTROL_READY:
    case HF_CONTROL_DRAIN:
    case HF_CONTROL_PING:
    case HF_CONTROL_PONG:
        good = true;
        break;
    case HF_CONTROL_START:
    case HF_CONTROL_KIND_END:
        break;
    }
    return good && in.left == 0 && at == fds->count;
}

hf_result hf_control_recv(int control_fd, bool wait, struct hf_control *ret_message)
{
    static_assert(sizeof(ret_message->space) >= MESSAGE_MAX, "a whole message fits");
    struct fds fds = {.count = 0};
    struct hf_cursor body;
    TRY(recv_message(control_fd, wait, ret_message->space, &fds, &ret_message->kind, &body));
    if (!decode(body, &fds, ret_message)) {
        fds_close(&fds);
        return HF_FAIL(BAD_REQUEST);
    }
    return HF_DONE;
}

void hf_control_discard(const struct hf_control *message)
{
    if (message->kind == HF_CONTROL_LINKS)
        for (uint32_t i = 0; i < message->as.links.count; i++)
            close(message->as.links.links[i].fd);
    if (message->kind == HF_CONTROL_TLS)
        for (uint32_t i = 0; i < message->as.tls.count; i++)
            close(message->as.tls.files[i].fd);
}

/* ---- sending ---- */

static const struct fds no_fds = {.count = 0};

hf_result hf_control_ready(int control_fd)
{
    return send_message(control_fd, HF_CONTROL_READY, &(struct hf_buf){0}, &no_fds);
}

hf_result hf_control_drain(int control_fd)
{
    return send_message(control_fd, HF_CONTROL_DRAIN, &(struct hf_buf){0}, &no_fds);
}

hf_result hf_control_ping(int control_fd)
{
    return send_message(control_fd, HF_CONTROL_PING, &(struct hf_buf){0}, &no_fds);
}

hf_result hf_control_pong(int control_fd)
{
    return send_message(control_fd, HF_CONTROL_PONG, &(struct hf_buf){0}, &no_fds);
}

hf_result hf_control_status(int control_fd, bool initialized, bool sealed, const char *version)
{
    uint8_t space[4 + HF_CONTROL_TEXT_MAX];
    struct hf_buf body = hf_buf(space, sizeof(space));
    hf_buf_u8(&body, initialized);
    hf_buf_u8(&body, sealed);
    hf_buf_vec16(&body, hf_cursor(version, strnlen(version, HF_CONTROL_TEXT_MAX - 1)));
    return send_message(control_fd, HF_CONTROL_STATUS, &body, &no_fds);
}

hf_result hf_control_links(int control_fd, const struct hf_role_link *links, uint32_t count)
{
    if (count > HF_ROLE_LINKS_MAX)
        return HF_FAIL(TOO_LARGE);
    uint8_t space[4 + 3 * HF_ROLE_LINKS_MAX];
    struct hf_buf body = hf_buf(space, sizeof(space));
    struct fds fds = {.count = 0};
    put_links(&body, &fds, links, count);
    return send_message(control_fd, HF_CONTROL_LINKS, &body, &fds);
}

hf_result hf_control_tls(int control_fd, const struct hf_role_tls_file *files, uint32_t count)
{
    if (count > HF_ROLE_TLS_FILES_MAX)
        return HF_FAIL(TOO_LARGE);
    uint8_t space[4 + 5 * HF_ROLE_TLS_FILES_MAX];
    struct hf_buf body = hf_buf(space, sizeof(space));
    struct fds fds = {.count = 0};
    put_tls(&body, &fds, files, count);
    return send_message(control_fd, HF_CONTROL_TLS, &body, &fds);
}

hf_result hf_control_posture(int control_fd, enum hf_role role, uint16_t index, struct hf_cursor tree)
{
    uint8_t space[HF_CONTROL_BODY_MAX];
    struct hf_buf body = hf_buf(space, sizeof(space));
    hf_buf_u8(&body, (uint8_t)role);
    hf_buf_u16(&body, index);
    hf_buf_put_cursor(&body, tree);
    return send_message(control_fd, HF_CONTROL_POSTURE, &body, &no_fds);
}

hf_result hf_control_dev(int control_fd, const struct hf_control *message)
{
    uint8_t space[(2 + HF_CONTROL_DEV_SHARES) * (HF_CONTROL_TEXT_MAX + 2)];
    struct hf_buf body = hf_buf(space, sizeof(space));
    if (message->kind == HF_CONTROL_DEV_INIT) {
        hf_buf_u8(&body, message->as.dev_init.init);
        put_text(&body, message->as.dev_init.root_token);
        put_shares(&body, message->as.dev_init.shares,
                   HF_MIN(message->as.dev_init.share_count, HF_CONTROL_DEV_SHARES));
    } else {
        hf_buf_u32(&body, message->as.dev_done.code);
        put_text(&body, message->as.dev_done.root_token);
        put_shares(&body, message->as.dev_done.shares,
                   HF_MIN(message->as.dev_done.share_count, HF_CONTROL_DEV_SHARES));
    }
    hf_result result = send_message(control_fd, message->kind, &body, &no_fds);
    hf_wipe(space, sizeof(space));
    return result;
}

/* ---- START ---- */

static hf_result text_memfd(struct hf_cursor text, int *ret_fd)
{
    int fd = memfd_create("holdfast-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return HF_FAIL(SYSTEM);
    while (text.left != 0) {
        ssize_t put = write(fd, text.at, text.left);
        if (put <= 0) {
            close(fd);
            return HF_FAIL(SYSTEM);
        }
        text = hf_cursor(text.at + put, text.left - (size_t)put);
    }
    *ret_fd = fd;
    return HF_DONE;
}

hf_result hf_control_start_send(int control_fd, const struct hf_role_args *args, struct hf_cursor config_text)
{
    uint8_t space[2048];
    struct hf_buf body = hf_buf(space, sizeof(space));
    struct fds fds = {.count = 0};
    int text_fd;
    TRY(text_memfd(config_text, &text_fd));
    fds.fd[fds.count++] = text_fd;
    hf_buf_u8(&body, (uint8_t)args->role);
    hf_buf_u16(&body, args->index);
    hf_buf_u32(&body, args->front_count);
    hf_buf_u32(&body, args->run_uid);
    hf_buf_u32(&body, args->run_gid);
    hf_buf_u8(&body, args->config->dev);
    hf_buf_u8(&body, args->state_dir_fd >= 0);
    if (args->state_dir_fd >= 0)
        fds.fd[fds.count++] = args->state_dir_fd;
    put_links(&body, &fds, args->links, args->link_count);
    hf_buf_u32(&body, args->listener_count);
    for (uint32_t i = 0; i < args->listener_count; i++) {
        hf_buf_u16(&body, args->listeners[i].config);
        fds.fd[fds.count++] = args->listeners[i].fd;
    }
    put_tls(&body, &fds, args->tls_files, args->tls_file_count);
    hf_result result = send_message(control_fd, HF_CONTROL_START, &body, &fds);
    close(text_fd);
    return result;
}

static bool take_start(struct hf_cursor in, struct fds *fds, struct hf_role_args *args, bool *ret_dev,
                       int *ret_text)
{
    size_t at = 0;
    bool state;
    *ret_text = fds_take(fds, &at);
    args->state_dir_fd = -1;
    if (*ret_text < 0 || !take_role(&in, &args->role) || !hf_cursor_u16(&in, &args->index) ||
        !hf_cursor_u32(&in, &args->front_count) || !hf_cursor_u32(&in, &args->run_uid) ||
        !hf_cursor_u32(&in, &args->run_gid) || !take_bool(&in, ret_dev) || !take_bool(&in, &state))
        return false;
    if (state && (args->state_dir_fd = fds_take(fds, &at)) < 0)
        return false;
    if (!take_links(&in, fds, &at, args->links, &args->link_count) ||
        !hf_cursor_u32(&in, &args->listener_count) || args->listener_count > HF_CONFIG_LISTENERS_MAX)
        return false;
    for (uint32_t i = 0; i < args->listener_count; i++)
        if (!hf_cursor_u16(&in, &args->listeners[i].config) ||
            args->listeners[i].config >= HF_CONFIG_LISTENERS_MAX ||
            (args->listeners[i].fd = fds_take(fds, &at)) < 0)
            return false;
    return take_tls(&in, fds, &at, args->tls_files, &args->tls_file_count) && in.left == 0 &&
           at == fds->count;
}

/* Parses the configuration that lies in a descriptor; closes it. */
static hf_result config_from(int text_fd, bool dev, struct hf_config *ret_config)
{
    struct stat info;
    struct hf_config_error error;
    if (fstat(text_fd, &info) != 0 || info.st_size > HF_CONFIG_TEXT_MAX) {
        close(text_fd);
        return HF_FAIL(CONFIG);
    }
    size_t len = (size_t)info.st_size;
    void *text = len == 0 ? NULL : mmap(NULL, len, PROT_READ, MAP_PRIVATE, text_fd, 0);
    close(text_fd);
    if (text == MAP_FAILED)
        return HF_FAIL(SYSTEM);
    hf_result result = hf_config_parse(hf_cursor(text == NULL ? "" : text, len), ret_config, &error);
    if (text != NULL)
        munmap(text, len);
    ret_config->dev = dev;
    return result;
}

hf_result hf_control_start_recv(int control_fd, struct hf_role_args *ret_args, struct hf_config *ret_config)
{
    static uint8_t space[MESSAGE_MAX];
    struct fds fds = {.count = 0};
    enum hf_control_kind kind;
    struct hf_cursor body;
    bool dev;
    int text_fd;
    TRY(recv_message(control_fd, true, space, &fds, &kind, &body));
    *ret_args = (struct hf_role_args){.control_fd = control_fd, .config = ret_config};
    if (kind != HF_CONTROL_START || !take_start(body, &fds, ret_args, &dev, &text_fd)) {
        fds_close(&fds);
        return HF_FAIL(BAD_REQUEST);
    }
    return config_from(text_fd, dev, ret_config);
}
