/* The front's process: hands the front (faces/front.h) its listeners, its TLS and the core's link, and passes on what
 * the supervisor says. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "faces/front.h"
#include "roles/control.h"
#include "roles/roles.h"
#include "secret/secret.h"
#include "wire/frame.h"

enum {
    TLS_FILE_MAX = 1 << 20,  /* bytes of a PEM file */
    DESCRIPTORS_BESIDE = 64, /* listeners, link, control, epoll, files while they are read */
};

struct front_role {
    const struct hf_role_args *args;
    struct hf_front *front;
    int status;
};

/* ---- TLS files ---- */

struct pem {
    uint8_t *at;
    size_t len;
};

static void pem_done(struct pem *pem)
{
    hf_wipe(pem->at, pem->len);
    free(pem->at);
}

/* Reads the whole file from its start; the descriptor is closed. */
static hf_result pem_read(int fd, struct pem *ret_pem)
{
    struct stat about;
    hf_result result = HF_DONE;
    if (fstat(fd, &about) != 0 || about.st_size <= 0 || about.st_size > TLS_FILE_MAX)
        result = HF_FAIL(CONFIG);
    size_t len = HF_IS_OK(result) ? (size_t)about.st_size : 0, done = 0;
    uint8_t *at = len != 0 ? malloc(len) : NULL;
    if (HF_IS_OK(result) && at == NULL)
        result = HF_FAIL(NO_MEMORY);
    while (HF_IS_OK(result) && done < len) {
        ssize_t got = pread(fd, at + done, len - done, (off_t)done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            result = HF_FAIL(CONFIG);
    }
    close(fd);
    if (!HF_IS_OK(result)) {
        hf_wipe(at, done);
        free(at);
        return result;
    }
    *ret_pem = (struct pem){at, len};
    return HF_DONE;
}

struct tls_files { /* of one listener */
    struct pem certs[HF_CONFIG_CERTS_MAX], keys[HF_CONFIG_CERTS_MAX], client_ca;
};

static void tls_files_done(struct tls_files *files)
{
    for (unsigned i = 0; i < HF_CONFIG_CERTS_MAX; i++) {
        pem_done(&files->certs[i]);
        pem_done(&files->keys[i]);
    }
    pem_done(&files->client_ca);
}

static struct pem *place_of(struct tls_files *files, const struct hf_role_tls_file *file)
{
    if (file->kind == HF_TLS_FILE_CLIENT_CA)
        return &files->client_ca;
    if (file->pair >= HF_CONFIG_CERTS_MAX)
        return NULL;
    return file->kind == HF_TLS_FILE_CERT ? &files->certs[file->pair] : &files->keys[file->pair];
}

static_assert((unsigned)HF_CONFIG_CERTS_MAX <= (unsigned)HF_TLS_PAIRS_MAX, "a listener's certificates fit");
static_assert((unsigned)HF_CONFIG_LISTENERS_MAX <= (unsigned)HF_FRONT_LISTENERS_MAX, "all listeners fit");

/* TLS of one listener, from those of the files that are its own. Their descriptors are closed. */
static hf_result make_tls(const struct hf_config_listener *config, uint16_t listener,
                          const struct hf_role_tls_file *files, uint32_t count, struct ssl_ctx_st **ret_tls)
{
    CLEANUP(tls_files_done) struct tls_files read = {.client_ca = {NULL, 0}};
    struct hf_tls_setup setup = {.require_client_cert = config->require_client_cert};
    const char *why = "a file cannot be read";
    hf_result result = HF_DONE;
    for (uint32_t i = 0; i < count; i++) {
        struct pem *place = files[i].listener == listener ? place_of(&read, &files[i]) : NULL;
        if (place != NULL && place->at == NULL && HF_IS_OK(result))
            result = pem_read(files[i].fd, place);
        else if (files[i].listener == listener)
            close(files[i].fd);
    }
    for (unsigned i = 0; i < HF_CONFIG_CERTS_MAX; i++) {
        if (read.certs[i].at == NULL || read.keys[i].at == NULL)
            continue;
        setup.pairs[setup.pair_count].cert = hf_cursor(read.certs[i].at, read.certs[i].len);
        setup.pairs[setup.pair_count++].key = hf_cursor(read.keys[i].at, read.keys[i].len);
    }
    setup.client_ca = hf_cursor(read.client_ca.at, read.client_ca.len);
    if (HF_IS_OK(result))
        result = hf_tls_context_new(&setup, ret_tls, &why);
    if (!HF_IS_OK(result))
        hf_log(HF_LOG_ERROR, "front.tls", hf_f("listener", config->address), hf_f("result", result),
               hf_f("why", why));
    return result;
}

/* ---- what the supervisor says ---- */

static void renew_tls(struct front_role *role, const struct hf_control *message)
{
    const struct hf_role_args *args = role->args;
    for (uint32_t i = 0; i < args->listener_count; i++) {
        uint16_t id = args->listeners[i].config;
        struct ssl_ctx_st *tls = NULL;
        if (!args->config->listeners[id].tls)
            continue;
        if (HF_IS_OK(make_tls(&args->config->listeners[id], id, message->as.tls.files, message->as.tls.count,
                              &tls))) {
            hf_front_set_tls(role->front, i, tls);
            hf_log(HF_LOG_INFO, "front.tls_renewed", hf_f("listener", args->config->listeners[id].address));
        } /* else the old one serves on, and the log says why */
    }
}

static void relink(struct front_role *role, const struct hf_control *message)
{
    for (uint32_t i = 0; i < message->as.links.count; i++) {
        const struct hf_role_link *link = &message->as.links.links[i];
        if (link->peer != HF_ROLE_CORE) {
            close(link->fd);
            continue;
        }
        hf_result result = hf_front_link(role->front, link->fd);
        hf_log(HF_IS_OK(result) ? HF_LOG_INFO : HF_LOG_ERROR, "front.core_relinked", hf_f("result", result));
    }
}

static void on_control(void *arg)
{
    static struct hf_control message;
    struct front_role *role = arg;
    hf_result got = hf_control_recv(role->args->control_fd, false, &message);
    if (got.code == HF_WOULD_BLOCK)
        return;
    if (!HF_IS_OK(got)) { /* without a supervisor there is nobody to serve for */
        role->status = 1;
        hf_front_stop(role->front);
        return;
    }
    if (message.kind == HF_CONTROL_DRAIN)
        hf_front_drain(role->front);
    else if (message.kind == HF_CONTROL_PING)
        HF_IGNORE(hf_control_pong(role->args->control_fd),
                  "a supervisor that is gone is seen at the next receive");
    else if (message.kind == HF_CONTROL_LINKS)
        relink(role, &message);
    else if (message.kind == HF_CONTROL_TLS)
        renew_tls(role, &message);
}

/* ---- start ---- */

static struct hf_front_limits limits_of(const struct hf_config_limits *config)
{
    enum { SOURCE_SHARE = 2 }; /* one address may hold half of all connections */
    struct hf_front_limits limits;
    hf_front_limits_default(&limits);
    limits.body_bytes_max = HF_MIN(config->body_bytes_max, (uint32_t)HF_FRAME_MAX); /* more could not go on */
    limits.head_bytes_max = config->header_bytes_max;
    limits.connections_max = config->connections_max;
    limits.connections_per_source_max = HF_MAX(config->connections_max / SOURCE_SHARE, 1U);
    limits.streams_max = config->streams_max;
    limits.head_ns = config->header_timeout_ns;
    limits.request_ns = config->request_timeout_ns;
    limits.idle_ns = config->idle_timeout_ns;
    limits.drain_ns = config->drain_timeout_ns;
    return limits;
}

static void raise_descriptor_limit(uint32_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + DESCRIPTORS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : HF_MIN(wanted, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        hf_log(HF_LOG_WARN, "front.few_descriptors", hf_f("limit", (unsigned long)limit.rlim_cur),
               hf_f("wanted", (unsigned long)wanted));
}

static hf_result open_listeners(struct front_role *role)
{
    const struct hf_role_args *args = role->args;
    for (uint32_t i = 0; i < args->listener_count; i++) {
        uint16_t id = args->listeners[i].config;
        struct ssl_ctx_st *tls = NULL;
        if (args->config->listeners[id].tls)
            TRY(make_tls(&args->config->listeners[id], id, args->tls_files, args->tls_file_count, &tls));
        TRY(hf_front_listen(role->front, i, args->listeners[i].fd, tls));
    }
    return HF_DONE;
}

static hf_result start(struct front_role *role)
{
    const struct hf_role_args *args = role->args;
    struct hf_front_limits limits = limits_of(&args->config->limits);
    raise_descriptor_limit(limits.connections_max);
    TRY(hf_front_new(&limits, &hf_clock_system, args->config->level == HF_LEVEL_DEV, &role->front));
    TRY(open_listeners(role));
    for (uint32_t i = 0; i < args->link_count; i++) {
        if (args->links[i].peer == HF_ROLE_CORE)
            TRY(hf_front_link(role->front, args->links[i].fd));
    }
    TRY(hf_front_watch(role->front, args->control_fd, on_control, role));
    if (args->front_count >= hf_cpu_count()) /* else there is room to run beside the core's thread for it */
        (void)hf_cpu_pin(args->index);
    TRY(hf_role_sandbox(args));
    return hf_control_ready(args->control_fd);
}

int hf_role_front(const struct hf_role_args *args)
{
    struct front_role role = {.args = args};
    hf_result result = start(&role);
    if (HF_IS_OK(result))
        result = hf_front_run(role.front);
    if (!HF_IS_OK(result))
        hf_log(HF_LOG_ERROR, "front.end", hf_f("result", result));
    hf_front_free(role.front);
    return HF_IS_OK(result) ? role.status : 1;
}
