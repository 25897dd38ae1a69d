#include "roles/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "roles/notify.h"
#include "roles/posture.h"
#include "roles/sandbox.h"
#include "roles/say.h"
#include "secret/secret.h"

enum {
    PROCS_MAX = HF_CONFIG_FRONTS_MAX + 2,
    CONTROL_FD = 3,
    FIRST_BEYOND = 4,
    MESSAGES_A_ROUND = 16, /* of one process, before the others have their turn */
    /* System users made by nobody: systemd's range for users that exist while a service runs. They own no file. */
    FRONT_UID = 61201,
    CORE_UID = 61202,
};
#define STEADY_NS (200 * HF_MILLISECOND) /* who served so long and died is started again at once */
#define DELAY_FIRST_NS (50 * HF_MILLISECOND)
#define DELAY_MOST_NS (1 * HF_SECOND)
#define GRACE_NS (3 * HF_SECOND) /* beyond the drain timeout, before a process is killed */
#define BEAT_NS (1 * HF_SECOND)
#define HUNG_NS (5 * HF_SECOND) /* who owes a PONG for so long is hung */
#define HUNG_CORE_NS                                                                                         \
    (8 * HF_SECOND) /* longer: what it waits for may be the store, and its death costs an unseal */
#define HUNG_DISK_NS                                                                                         \
    (60 * HF_SECOND) /* a process that the kernel holds, mostly for a disk: killing frees nothing */
#define LATE_NS (2 * HF_SECOND) /* a beat so late: the machine slept, or this process was stopped */

struct proc {
    enum hf_role role;
    uint16_t index;
    pid_t pid; /* 0: not running */
    int control_fd;
    bool ready, killed;
    int64_t ready_ns; /* when it became so */
    int64_t due_ns;   /* not running: when to start it */
    int64_t delay_ns; /* grows with each quick death */
    int64_t owes_ns;  /* since when it owes a PONG; 0: it does not */
    uint64_t restarts;
    size_t posture_len; /* what it reported */
    uint8_t posture[HF_POSTURE_TREE_MAX];
};

/* Stopping goes from the outside in: each stage waits for the ones before. */
enum stage { RUNNING, STOP_FRONTS, STOP_CORE, STOP_STORE, STOPPED };

static struct supervisor {
    struct hf_supervisor_setup *setup;
    const struct hf_config *config;
    struct proc procs[PROCS_MAX]; /* store, core, fronts */
    uint32_t count, fronts;
    int signal_fd, state_dir_fd;
    uint32_t store_uid, store_gid, core_uid, front_uid;
    struct hf_role_tls_file tls_files[HF_ROLE_TLS_FILES_MAX];
    uint32_t tls_count;
    struct hf_role_args args;  /* scratch of start_proc: large */
    struct hf_control message; /* scratch of on_control: large; wiped */
    size_t posture_len;        /* its own */
    uint8_t posture[HF_POSTURE_TREE_MAX];
    enum stage stage;
    int64_t stage_ends_ns;
    bool was_ready, dev_asked;
    int exit_status;
    int64_t watchdog_due_ns, beat_due_ns;
} state;

static int64_t now_ns(void)
{
    return hf_boot_ns(&hf_clock_system);
}

static struct proc *the_store(void)
{
    return &state.procs[0];
}

static struct proc *the_core(void)
{
    return &state.procs[1];
}

/* ---- TLS files ---- */

static void tls_close(const struct hf_role_tls_file *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(files[i].fd);
}

static bool tls_open_one(struct hf_role_tls_file *files, uint32_t *count, const char *path,
                         enum hf_tls_file_kind kind, uint32_t listener, uint32_t pair)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        const char *why = fd < 0 ? strerrordesc_np(errno) : "not a file";
        hf_log(HF_LOG_ERROR, "supervisor.tls_file", hf_f("path", path), hf_f("why", why));
        if (!state.was_ready)
            hf_complain(path, ": ", why, NULL);
        if (fd >= 0)
            close(fd);
        return false;
    }
    files[(*count)++] = (struct hf_role_tls_file){fd, kind, (uint16_t)listener, (uint16_t)pair};
    return true;
}

/* Opens all of them, or changes nothing. */
static hf_result tls_open(void)
{
    struct hf_role_tls_file files[HF_ROLE_TLS_FILES_MAX];
    uint32_t count = 0;
    bool good = true;
    for (uint32_t i = 0; good && i < state.config->listener_count; i++) {
        const struct hf_config_listener *listener = &state.config->listeners[i];
        for (uint32_t j = 0; good && j < listener->cert_count; j++)
            good = tls_open_one(files, &count, listener->certs[j].cert_file, HF_TLS_FILE_CERT, i, j) &&
                   tls_open_one(files, &count, listener->certs[j].key_file, HF_TLS_FILE_KEY, i, j);
        if (good && listener->client_ca_file[0] != 0)
            good = tls_open_one(files, &count, listener->client_ca_file, HF_TLS_FILE_CLIENT_CA, i, 0);
    }
    if (!good) {
        tls_close(files, count);
        return HF_FAIL(CONFIG);
    }
    tls_close(state.tls_files, state.tls_count);
    memcpy(state.tls_files, files, sizeof(files));
    state.tls_count = count;
    return HF_DONE;
}

static void reload(void)
{
    hf_notify("RELOADING=1");
    hf_result opened = tls_open();
    hf_log(HF_IS_OK(opened) ? HF_LOG_INFO : HF_LOG_ERROR, "supervisor.reload", hf_f("result", opened));
    for (uint32_t i = 0; HF_IS_OK(opened) && i < state.count; i++)
        if (state.procs[i].role == HF_ROLE_FRONT && state.procs[i].pid != 0)
            HF_IGNORE(hf_control_tls(state.procs[i].control_fd, state.tls_files, state.tls_count),
                      "a front that dies meanwhile is given them when it starts");
    hf_notify("READY=1");
}

/* ---- the state directory ---- */

/* The user whom the store runs as, where root starts the server. */
static void choose_users(struct stat *directory, bool made)
{
    if (geteuid() != 0)
        return;
    const char *name = state.config->user[0] != 0 ? state.config->user : "holdfast";
    const struct passwd *user = getpwnam(name);
    state.front_uid = FRONT_UID;
    state.core_uid = CORE_UID;
    if (directory->st_uid != 0) {
        state.store_uid = directory->st_uid;
        state.store_gid = directory->st_gid;
    } else if (user != NULL && (made || state.config->user[0] != 0)) {
        state.store_uid = user->pw_uid;
        state.store_gid = user->pw_gid;
    }
    if (user == NULL && state.config->user[0] != 0)
        hf_log(HF_LOG_WARN, "supervisor.user", hf_f("user", name), hf_f("why", "no such user"));
}

/* Opens the database's directory, makes it where it is missing, and takes it for this server alone. */
static hf_result open_state_dir(void)
{
    char path[HF_CONFIG_PATH_MAX];
    const char *slash = strrchr(state.config->storage_path, '/');
    size_t len = HF_MAX((size_t)(slash - state.config->storage_path), (size_t)1);
    memcpy(path, state.config->storage_path, len);
    path[len] = 0;
    bool made = mkdir(path, 0700) == 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        hf_complain(path, ": ", strerrordesc_np(errno), NULL);
        return HF_FAIL(CONFIG);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        hf_complain(path, ": another server uses this directory", NULL);
        return HF_FAIL(STORE_BUSY);
    }
    choose_users(&info, made);
    if (made && state.store_uid != 0 && fchown(fd, state.store_uid, state.store_gid) != 0) {
        hf_complain(path, ": ", strerrordesc_np(errno), NULL);
        return HF_FAIL(CONFIG);
    }
    state.state_dir_fd = fd;
    return HF_DONE;
}

/* ---- starting ---- */

/* In the child: the new program sees 0, 1, 2 and the control channel, and no environment of ours. */
static void become_role(const struct proc *proc, int control_fd)
{
    static char locale[] = "LC_ALL=C", program[] = "holdfastd", option[] = "--role";
    char *const environment[] = {locale, NULL};
    char *const arguments[] = {program, option, (char *)(uintptr_t)hf_role_name(proc->role), NULL};
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* the terminal's Ctrl-C is for the supervisor, which then drains */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        _exit(1);
    int moved = fcntl(control_fd, F_DUPFD, FIRST_BEYOND); /* dup2 onto itself would leave it close-on-exec */
    if (moved < 0 || dup2(moved, CONTROL_FD) < 0)
        _exit(1);
    if (close_range(FIRST_BEYOND, ~0U, 0) != 0)
        for (int fd = FIRST_BEYOND; fd < 4096; fd++)
            close(fd);
#ifdef HF_SANITIZE
    (void)environment;
    execv("/proc/self/exe", arguments); /* the sanitizer's options come by the environment */
#else
    execve("/proc/self/exe", arguments, environment);
#endif
    _exit(127);
}

struct peer_links {
    struct hf_role_link links[HF_ROLE_STORE_LINKS];
    uint32_t count;
};

/* Makes `count` links between the process that starts and a peer that runs. */
static hf_result link_up(struct hf_role_args *args, const struct proc *peer, struct peer_links *of_peer,
                         uint32_t count)
{
    of_peer->count = 0;
    if (peer->pid == 0)
        return HF_DONE; /* the peer makes them when it starts */
    for (uint32_t i = 0; i < count; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            return HF_FAIL(SYSTEM);
        uint16_t mine = count > 1 ? (uint16_t)i : peer->index;
        uint16_t theirs = count > 1 ? (uint16_t)i : args->index;
        args->links[args->link_count++] = (struct hf_role_link){ends[0], peer->role, mine};
        of_peer->links[of_peer->count++] = (struct hf_role_link){ends[1], args->role, theirs};
    }
    return HF_DONE;
}

/* Sends the peer its ends, and closes ours. */
static void link_peer(const struct proc *peer, struct peer_links *of_peer)
{
    if (of_peer->count == 0)
        return;
    hf_result sent = hf_control_links(peer->control_fd, of_peer->links, of_peer->count);
    if (!HF_IS_OK(sent))
        hf_log(HF_LOG_WARN, "supervisor.link", hf_f("to", hf_role_name(peer->role)), hf_f("result", sent));
    for (uint32_t i = 0; i < of_peer->count; i++)
        close(of_peer->links[i].fd);
}

static void fill_args(const struct proc *proc, struct hf_role_args *args)
{
    *args = (struct hf_role_args){.role = proc->role,
                                  .index = proc->index,
                                  .front_count = state.fronts,
                                  .config = state.config,
                                  .state_dir_fd = -1};
    if (proc->role == HF_ROLE_STORE) {
        args->state_dir_fd = state.state_dir_fd;
        args->run_uid = state.store_uid;
        args->run_gid = state.store_gid;
    } else if (proc->role == HF_ROLE_CORE) {
        args->run_uid = args->run_gid = state.core_uid;
    } else {
        args->run_uid = args->run_gid = state.front_uid;
        const struct hf_listen *listen = state.setup->listen;
        for (uint32_t i = 0; i < listen->listeners; i++)
            args->listeners[args->listener_count++] =
                (struct hf_role_listener){listen->fds[i][proc->index], (uint16_t)i};
        memcpy(args->tls_files, state.tls_files, sizeof(state.tls_files));
        args->tls_file_count = state.tls_count;
    }
}

/* Sends the core what everybody reported; it shows that at sys/posture. */
static void tell_postures(void)
{
    const struct proc *core = the_core();
    if (core->pid == 0)
        return;
    HF_IGNORE(hf_control_posture(core->control_fd, HF_ROLE_SUPERVISOR, 0,
                                 hf_cursor(state.posture, state.posture_len)),
              "it is sent anew when the core was restarted");
    for (uint32_t i = 0; i < state.count; i++)
        if (state.procs[i].posture_len != 0 && &state.procs[i] != core)
            HF_IGNORE(hf_control_posture(core->control_fd, state.procs[i].role, state.procs[i].index,
                                         hf_cursor(state.procs[i].posture, state.procs[i].posture_len)),
                      "likewise");
}

static hf_result start_linked(struct proc *proc, struct hf_role_args *args, struct peer_links *of_peers)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return HF_FAIL(SYSTEM);
    pid_t pid = fork();
    if (pid == 0)
        become_role(proc, ends[1]);
    close(ends[1]);
    if (pid < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        close(ends[0]);
        return HF_FAIL(SYSTEM);
    }
    proc->pid = pid;
    proc->control_fd = ends[0];
    proc->ready = proc->killed = false;
    proc->owes_ns = 0;
    proc->posture_len = 0;
    hf_result sent = hf_control_start_send(proc->control_fd, args, state.setup->config_text);
    if (!HF_IS_OK(sent)) /* then it dies of it, and is reaped like any other */
        hf_log(HF_LOG_ERROR, "supervisor.start", hf_f("role", hf_role_name(proc->role)),
               hf_f("result", sent));
    for (uint32_t i = 0; i < state.count; i++)
        link_peer(&state.procs[i], &of_peers[i]);
    if (proc->role == HF_ROLE_CORE)
        tell_postures();
    return HF_DONE;
}

static hf_result start_proc(struct proc *proc)
{
    static struct peer_links of_peers[PROCS_MAX]; /* large */
    struct hf_role_args *args = &state.args;
    hf_result result = HF_DONE;
    fill_args(proc, args);
    for (uint32_t i = 0; i < state.count; i++) {
        const struct proc *peer = &state.procs[i];
        bool core_and_store = (proc->role == HF_ROLE_CORE && peer->role == HF_ROLE_STORE) ||
                              (proc->role == HF_ROLE_STORE && peer->role == HF_ROLE_CORE);
        bool core_and_front = (proc->role == HF_ROLE_CORE && peer->role == HF_ROLE_FRONT) ||
                              (proc->role == HF_ROLE_FRONT && peer->role == HF_ROLE_CORE);
        of_peers[i].count = 0;
        if (HF_IS_OK(result) && (core_and_store || core_and_front))
            result = link_up(args, peer, &of_peers[i], core_and_store ? HF_ROLE_STORE_LINKS : 1);
    }
    if (HF_IS_OK(result))
        result = start_linked(proc, args, of_peers);
    else
        for (uint32_t i = 0; i < state.count; i++)
            for (uint32_t j = 0; j < of_peers[i].count; j++)
                close(of_peers[i].links[j].fd);
    for (uint32_t i = 0; i < args->link_count; i++)
        close(args->links[i].fd);
    if (!HF_IS_OK(result))
        hf_log(HF_LOG_ERROR, "supervisor.start", hf_f("role", hf_role_name(proc->role)),
               hf_f("result", result));
    return result;
}

/* ---- what the roles say ---- */

static void tell_manager(bool initialized, bool sealed)
{
    hf_notify(!initialized ? "STATUS=Not initialized." : sealed ? "STATUS=Sealed." : "STATUS=Unsealed.");
}

static bool all_ready(void)
{
    for (uint32_t i = 0; i < state.count; i++)
        if (!state.procs[i].ready)
            return false;
    return true;
}

static void stop(int exit_status);

static void announce(const struct hf_control *done)
{
    state.was_ready = true;
    hf_notify("READY=1");
    hf_log(HF_LOG_INFO, "supervisor.ready", hf_f("fronts", state.fronts));
    if (state.setup->dev != NULL && !HF_IS_OK(hf_dev_ready(state.setup->dev, done)))
        stop(1);
}

static void check_ready(void)
{
    if (state.was_ready || state.dev_asked || state.stage != RUNNING || !all_ready())
        return;
    if (state.setup->dev == NULL || state.setup->dev->options->uninit) {
        announce(NULL);
        return;
    }
    state.dev_asked = true;
    hf_dev_request(state.setup->dev, &state.message);
    if (!HF_IS_OK(hf_control_dev(the_core()->control_fd, &state.message)))
        stop(1);
    hf_wipe(&state.message, sizeof(state.message));
}

static void on_message(struct proc *proc, const struct hf_control *message)
{
    switch (message->kind) {
    case HF_CONTROL_READY:
        proc->ready = true;
        proc->ready_ns = now_ns();
        check_ready();
        break;
    case HF_CONTROL_POSTURE:
        if (message->as.posture.tree.left > sizeof(proc->posture))
            break;
        memcpy(proc->posture, message->as.posture.tree.at, message->as.posture.tree.left);
        proc->posture_len = message->as.posture.tree.left;
        if (the_core()->pid != 0)
            HF_IGNORE(hf_control_posture(the_core()->control_fd, proc->role, proc->index,
                                         hf_cursor(proc->posture, proc->posture_len)),
                      "it is sent anew when the core was restarted");
        break;
    case HF_CONTROL_STATUS:
        if (proc->role == HF_ROLE_CORE)
            tell_manager(message->as.status.initialized, message->as.status.sealed);
        break;
    case HF_CONTROL_DEV_DONE:
        if (proc->role == HF_ROLE_CORE && state.dev_asked && !state.was_ready)
            announce(message);
        break;
    case HF_CONTROL_PONG:
        proc->owes_ns = 0;
        break;
    default:
        hf_control_discard(message); /* not a role's to send */
        break;
    }
}

static void on_control(struct proc *proc)
{
    for (int i = 0; i < MESSAGES_A_ROUND && proc->control_fd >= 0; i++) {
        hf_result got = hf_control_recv(proc->control_fd, false, &state.message);
        if (got.code == HF_WOULD_BLOCK)
            return;
        if (!HF_IS_OK(got)) { /* it is dying, or speaks nonsense */
            if (got.code != HF_ROLE_DOWN)
                hf_log(HF_LOG_ERROR, "supervisor.control", hf_f("role", hf_role_name(proc->role)),
                       hf_f("result", got));
            close(proc->control_fd);
            proc->control_fd = -1;
            if (state.stage == RUNNING) {
                (void)kill(proc->pid, SIGKILL);
                proc->killed = true;
            }
            return;
        }
        on_message(proc, &state.message);
        hf_wipe(&state.message.as, sizeof(state.message.as));
        hf_wipe(state.message.space, sizeof(state.message.space));
    }
}

/* ---- stopping ---- */

static bool in_stage(const struct proc *proc, enum stage stage)
{
    return (stage == STOP_FRONTS && proc->role == HF_ROLE_FRONT) ||
           (stage == STOP_CORE && proc->role == HF_ROLE_CORE) ||
           (stage == STOP_STORE && proc->role == HF_ROLE_STORE);
}

/* Enters the next stage that has somebody to wait for. */
static void advance(void)
{
    for (;;) {
        bool waits = false;
        for (uint32_t i = 0; i < state.count; i++)
            waits |= in_stage(&state.procs[i], state.stage) && state.procs[i].pid != 0;
        if (waits || state.stage == STOPPED)
            return;
        state.stage++;
        state.stage_ends_ns = now_ns() + state.config->limits.drain_timeout_ns + GRACE_NS;
        for (uint32_t i = 0; i < state.count; i++) {
            struct proc *proc = &state.procs[i];
            if (in_stage(proc, state.stage) && proc->pid != 0 &&
                (proc->control_fd < 0 || !HF_IS_OK(hf_control_drain(proc->control_fd))))
                (void)kill(proc->pid, SIGKILL);
        }
    }
}

static void stop(int exit_status)
{
    if (exit_status != 0)
        state.exit_status = exit_status;
    if (state.stage != RUNNING)
        return;
    hf_notify("STOPPING=1");
    hf_log(HF_LOG_INFO, "supervisor.stop", hf_f("status", exit_status));
    advance();
}

static void kill_all(void)
{
    for (uint32_t i = 0; i < state.count; i++)
        if (state.procs[i].pid != 0)
            (void)kill(state.procs[i].pid, SIGKILL);
}

/* ---- deaths ---- */

static void say_death(const struct proc *proc, int status)
{
    const char *role = hf_role_name(proc->role);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        hf_log(HF_LOG_ERROR, "supervisor.died", hf_f("process", role), hf_f("index", (unsigned)proc->index),
               hf_f("signal", "SYS"), hf_f("why", "a system call that its sandbox forbids"));
    else if (WIFSIGNALED(status))
        hf_log(HF_LOG_ERROR, "supervisor.died", hf_f("process", role), hf_f("index", (unsigned)proc->index),
               hf_f("signal", sigabbrev_np(WTERMSIG(status))));
    else
        hf_log(HF_LOG_ERROR, "supervisor.died", hf_f("process", role), hf_f("index", (unsigned)proc->index),
               hf_f("status", WEXITSTATUS(status)));
}

static void on_death(struct proc *proc, int status)
{
    bool served = proc->ready;
    int64_t now = now_ns();
    if (proc->control_fd >= 0)
        close(proc->control_fd);
    proc->control_fd = -1;
    proc->pid = 0;
    proc->ready = false;
    if (state.stage != RUNNING) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            say_death(proc, status);
        advance();
        return;
    }
    say_death(proc, status);
    if (!state.was_ready) { /* what cannot start will not start by trying again */
        hf_complain("the ", hf_role_name(proc->role), " process could not start; the log says why", NULL);
        stop(1);
        return;
    }
    /* At once after a good while of service, later and later after quick deaths. */
    if (served && now - proc->ready_ns >= STEADY_NS)
        proc->delay_ns = 0;
    proc->due_ns = now + proc->delay_ns;
    proc->delay_ns = HF_MIN(HF_MAX(2 * proc->delay_ns, DELAY_FIRST_NS), DELAY_MOST_NS);
    proc->restarts++;
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (uint32_t i = 0; i < state.count; i++)
            if (state.procs[i].pid == pid)
                on_death(&state.procs[i], status);
}

/* Starts what is due. Gives when to look again. */
static int64_t restart_due(int64_t now)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < state.count && state.stage == RUNNING; i++) {
        struct proc *proc = &state.procs[i];
        if (proc->pid != 0)
            continue;
        if (proc->role == HF_ROLE_CORE && the_store()->pid == 0)
            continue; /* the core reads the store when it starts; the store comes first in this list */
        if (proc->due_ns > now) {
            next = HF_MIN(next, proc->due_ns);
            continue;
        }
        if (HF_IS_OK(start_proc(proc))) {
            hf_log(HF_LOG_INFO, "supervisor.restarted", hf_f("process", hf_role_name(proc->role)),
                   hf_f("index", (unsigned)proc->index), hf_f("pid", (int)proc->pid),
                   hf_f("times", proc->restarts));
        } else {
            proc->due_ns = now + DELAY_FIRST_NS;
            next = HF_MIN(next, proc->due_ns);
        }
    }
    return next;
}

/* ---- hung processes ---- */

/* Whether the kernel holds it in a wait that no signal ends. */
static bool held_by_kernel(pid_t pid)
{
    char path[32], text[256];
    struct hf_buf out = hf_buf((uint8_t *)path, sizeof(path));
    hf_buf_text(&out, "/proc/");
    hf_buf_decimal(&out, (uint64_t)pid);
    hf_buf_text(&out, "/stat");
    hf_buf_u8(&out, 0);
    int fd = HF_IS_OK(hf_buf_ok(&out)) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[HF_MAX(n, (ssize_t)0)] = 0;
    const char *name_end = strrchr(text, ')'); /* then a space and the state */
    return name_end != NULL && name_end[1] == ' ' && name_end[2] == 'D';
}

static void check_hung(struct proc *proc, int64_t now)
{
    int64_t most = proc->role == HF_ROLE_CORE ? HUNG_CORE_NS : HUNG_NS;
    int64_t owed = proc->owes_ns == 0 ? 0 : now - proc->owes_ns;
    if (proc->killed || owed < most || (owed < HUNG_DISK_NS && held_by_kernel(proc->pid)))
        return;
    hf_log(HF_LOG_ERROR, "supervisor.hung", hf_f("process", hf_role_name(proc->role)),
           hf_f("index", (unsigned)proc->index), hf_f("pid", (int)proc->pid),
           hf_f("seconds", owed / HF_SECOND));
    (void)kill(proc->pid, SIGKILL); /* reaped, and started again as after any death */
    proc->killed = true;
    for (uint32_t i = 0; i < state.count; i++)
        state.procs[i].owes_ns = 0; /* who waited for it gets fresh time */
}

/* Asks everybody who serves for a sign of life. Gives when to do so again. */
static int64_t beat(int64_t now)
{
    if (state.stage != RUNNING || !state.was_ready)
        return INT64_MAX;
    if (now < state.beat_due_ns)
        return state.beat_due_ns;
    bool late = now - state.beat_due_ns >= LATE_NS; /* boot time, which counts a suspended machine's sleep */
    state.beat_due_ns = now + BEAT_NS;
    for (uint32_t i = 0; i < state.count; i++) {
        struct proc *proc = &state.procs[i];
        if (proc->pid == 0 || !proc->ready || proc->control_fd < 0)
            continue;
        if (late)
            proc->owes_ns = 0;
        check_hung(proc, now);
        if (proc->killed)
            continue;
        if (proc->owes_ns == 0)
            proc->owes_ns = now;
        HF_IGNORE(hf_control_ping(proc->control_fd), "who does not read them owes the answer all the same");
    }
    return state.beat_due_ns;
}

/* ---- the loop ---- */

static void on_signals(void)
{
    struct signalfd_siginfo info;
    while (read(state.signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch ((int)info.ssi_signo) {
        case SIGCHLD:
            reap();
            break;
        case SIGHUP:
            if (state.stage == RUNNING)
                reload();
            break;
        default: /* TERM, INT: gracefully; a second time: now */
            if (state.stage != RUNNING)
                kill_all();
            stop(0);
        }
    }
}

static int timeout_ms(int64_t now, int64_t next)
{
    if (next == INT64_MAX)
        return -1;
    return next <= now ? 0 : (int)HF_MIN((next - now) / HF_MILLISECOND + 1, 60000);
}

static void run(void)
{
    while (state.stage != STOPPED) {
        int64_t now = now_ns();
        int64_t next = HF_MIN(restart_due(now), beat(now));
        if (state.stage != RUNNING) {
            if (now >= state.stage_ends_ns)
                kill_all();
            next = HF_MIN(next, now >= state.stage_ends_ns ? now + HF_SECOND : state.stage_ends_ns);
        }
        if (hf_notify_watchdog_ns() != 0) {
            if (now >= state.watchdog_due_ns) {
                hf_notify("WATCHDOG=1");
                state.watchdog_due_ns = now + hf_notify_watchdog_ns();
            }
            next = HF_MIN(next, state.watchdog_due_ns);
        }
        struct pollfd polled[1 + PROCS_MAX];
        polled[0] = (struct pollfd){.fd = state.signal_fd, .events = POLLIN};
        for (uint32_t i = 0; i < state.count; i++)
            polled[1 + i] = (struct pollfd){.fd = state.procs[i].pid != 0 ? state.procs[i].control_fd : -1,
                                            .events = POLLIN};
        if (poll(polled, 1 + state.count, timeout_ms(now, next)) < 0 && errno != EINTR) {
            stop(1);
            kill_all();
        }
        for (uint32_t i = 0; i < state.count; i++)
            if (polled[1 + i].revents != 0 && state.procs[i].control_fd == polled[1 + i].fd)
                on_control(&state.procs[i]);
        if (polled[0].revents != 0)
            on_signals();
    }
}

static hf_result open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return HF_FAIL(SYSTEM);
    state.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return state.signal_fd >= 0 ? HF_DONE : HF_FAIL(SYSTEM);
}

static void add_proc(enum hf_role role, uint32_t index)
{
    state.procs[state.count++] = (struct proc){.role = role, .index = (uint16_t)index, .control_fd = -1};
}

static hf_result open_all(struct hf_supervisor_setup *setup)
{
    struct hf_posture own;
    state.setup = setup;
    state.config = &setup->config;
    state.state_dir_fd = -1;
    state.fronts = setup->listen->fronts;
    struct rlimit limit; /* of descriptors: also of how many may be on their way to the roles */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max)
        (void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit.rlim_max, limit.rlim_max});
    TRY(open_signals());
    hf_sandbox_supervisor(state.config->level, &own);
    struct hf_buf out = hf_buf(state.posture, sizeof(state.posture));
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_posture_write(&own, &w);
    state.posture_len = out.len;
    TRY(hf_buf_ok(&out));
    TRY(open_state_dir());
    TRY(tls_open());
    add_proc(HF_ROLE_STORE, 0);
    add_proc(HF_ROLE_CORE, 0);
    for (uint32_t i = 0; i < state.fronts; i++)
        add_proc(HF_ROLE_FRONT, i);
    for (uint32_t i = 0; i < state.count; i++)
        TRY(start_proc(&state.procs[i]));
    return HF_DONE;
}

int hf_supervisor_run(struct hf_supervisor_setup *setup)
{
    hf_notify_open();
    hf_result opened = open_all(setup);
    if (!HF_IS_OK(opened)) {
        hf_log(HF_LOG_ERROR, "supervisor.start", hf_f("result", opened));
        kill_all();
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
            ;
        return 1;
    }
    run();
    hf_listen_close(setup->listen);
    tls_close(state.tls_files, state.tls_count);
    hf_log(HF_LOG_INFO, "supervisor.stopped", hf_f("status", state.exit_status));
    return state.exit_status;
}
