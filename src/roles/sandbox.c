#include "roles/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "roles/control.h"
#include "secret/secret.h"

enum { CAP_NUMBERS = 64, STATUS_MAX = 8192, LOCK_SLACK = 64 << 20 };

/* What was found so far; one process has one role. */
static struct hf_posture posture;
static int status_fd = -1; /* /proc/self/status, open since before the root directory was emptied */

static void lacks(enum hf_measure measure, const char *why)
{
    posture.measures[measure].applies = true;
    posture.measures[measure].in_force = false;
    struct hf_buf out =
        hf_buf(posture.measures[measure].why_not, sizeof(posture.measures[measure].why_not) - 1);
    hf_buf_put(&out, why, HF_MIN(strlen(why), out.cap));
    posture.measures[measure].why_not[out.len] = 0;
}

static void lacks_errno(enum hf_measure measure, const char *call, int error)
{
    const char *name = strerrorname_np(error);
    char text[120];
    struct hf_buf out = hf_buf(text, sizeof(text) - 1);
    hf_buf_text(&out, call);
    hf_buf_text(&out, ": ");
    hf_buf_text(&out, name != NULL ? name : "failed");
    text[out.len] = 0;
    lacks(measure, text);
}

static void holds(enum hf_measure measure, bool in_force, const char *why_not)
{
    if (in_force) {
        posture.measures[measure].applies = posture.measures[measure].in_force = true;
        posture.measures[measure].why_not[0] = 0;
    } else if (posture.measures[measure].why_not[0] == 0) {
        lacks(measure, why_not);
    } else {
        posture.measures[measure].applies = true; /* the reason is known already */
        posture.measures[measure].in_force = false;
    }
}

/* ---- limits ---- */

static void no_core_dumps(void)
{
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) != 0)
        lacks_errno(HF_MEASURE_NO_CORE, "setrlimit", errno);
}

void hf_sandbox_limits(const struct hf_role_args *args)
{
    no_core_dumps();
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max)
        (void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit.rlim_max, limit.rlim_max});
    if (args->role != HF_ROLE_CORE || getrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY)
        return;
    rlim_t wanted = (rlim_t)args->config->secret_memory_bytes + LOCK_SLACK;
    if (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){wanted, HF_MAX(wanted, limit.rlim_max)}) != 0 &&
        setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){limit.rlim_max, limit.rlim_max}) != 0)
        lacks_errno(HF_MEASURE_MEMLOCK, "setrlimit", errno);
}

/* ---- namespaces ---- */

static const struct name_space {
    enum hf_measure measure;
    int flag;
    const char *path;
} name_spaces[] = {
    {HF_MEASURE_NET_NS, CLONE_NEWNET, "/proc/self/ns/net"},
    {HF_MEASURE_IPC_NS, CLONE_NEWIPC, "/proc/self/ns/ipc"},
    {HF_MEASURE_UTS_NS, CLONE_NEWUTS, "/proc/self/ns/uts"},
    {HF_MEASURE_MOUNT_NS, CLONE_NEWNS, "/proc/self/ns/mnt"},
};

static ino_t inode_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = strlen(text);
    bool good = write(fd, text, len) == (ssize_t)len;
    close(fd);
    return good;
}

/* Without root: a user namespace in which we are who we were, and may make the other namespaces. */
static bool own_user_namespace(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) != 0)
        return false;
    char map[64];
    for (int i = 0; i < 2; i++) {
        struct hf_buf out = hf_buf(map, sizeof(map) - 1);
        hf_buf_decimal(&out, i == 0 ? uid : gid);
        hf_buf_u8(&out, ' ');
        hf_buf_decimal(&out, i == 0 ? uid : gid);
        hf_buf_text(&out, " 1");
        map[out.len] = 0;
        if (i == 1 && !write_file("/proc/self/setgroups", "deny"))
            return false;
        if (!write_file(i == 0 ? "/proc/self/uid_map" : "/proc/self/gid_map", map))
            return false;
    }
    return true;
}

static void enter_namespaces(void)
{
    ino_t before[HF_ARRAY_LEN(name_spaces)];
    for (size_t i = 0; i < HF_ARRAY_LEN(name_spaces); i++)
        before[i] = inode_of(name_spaces[i].path);
    if (geteuid() != 0 && !own_user_namespace()) {
        for (size_t i = 0; i < HF_ARRAY_LEN(name_spaces); i++)
            lacks_errno(name_spaces[i].measure, "neither root nor a user namespace: unshare", errno);
        return;
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(name_spaces); i++) {
        if (unshare(name_spaces[i].flag) != 0)
            lacks_errno(name_spaces[i].measure, "unshare", errno);
        ino_t after = inode_of(name_spaces[i].path);
        holds(name_spaces[i].measure, after != 0 && after != before[i],
              "the namespace is the same as before");
    }
}

/* ---- an empty root directory ---- */

static const char *where_to_mount(void)
{
    static const char *const candidates[] = {"/tmp", "/run", "/mnt", "/dev"};
    struct stat info;
    for (size_t i = 0; i < HF_ARRAY_LEN(candidates); i++)
        if (stat(candidates[i], &info) == 0 && S_ISDIR(info.st_mode))
            return candidates[i];
    return NULL;
}

/* Makes the directories of an absolute path below the current directory; gives the last one's relative path. */
static const char *make_path(const char *path, char space[static HF_CONFIG_PATH_MAX])
{
    size_t len = 0;
    while (*path == '/')
        path++;
    for (; *path != 0 && len < HF_CONFIG_PATH_MAX - 1; path++) {
        if (*path == '/') {
            space[len] = 0;
            if (mkdir(space, 0755) != 0 && errno != EEXIST)
                return NULL;
        }
        space[len++] = *path;
    }
    space[len] = 0;
    return mkdir(space, 0755) == 0 || errno == EEXIST ? space : NULL;
}

/* Gives NULL, or the step that failed (errno says why). state_dir: NULL, or what is to be seen at its own path. */
static const char *empty_root(const char *state_dir)
{
    char space[HF_CONFIG_PATH_MAX], source[32] = "/proc/self/fd/";
    int state_fd = -1;
    const char *mount_point = where_to_mount();
    if (mount_point == NULL)
        return "no place to mount";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return "making mounts private";
    if (state_dir != NULL) {
        state_fd = open(state_dir,
                        O_PATH | O_DIRECTORY | O_CLOEXEC); /* of this namespace, and before it is hidden */
        if (state_fd < 0)
            return "opening the state directory";
        struct hf_buf out = hf_buf(source, sizeof(source) - 1);
        out.len = strlen(source);
        hf_buf_decimal(&out, (uint64_t)state_fd);
        source[out.len] = 0;
    }
    const char *failed = NULL;
    if (mount("holdfast", mount_point, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k") !=
            0 ||
        chdir(mount_point) != 0) {
        failed = "mounting an empty directory";
    } else if (state_dir != NULL) {
        const char *target = make_path(state_dir, space);
        if (target == NULL || mount(source, target, NULL, MS_BIND, NULL) != 0)
            failed = "mounting the state directory";
    }
    if (state_fd >= 0)
        close(state_fd);
    if (failed != NULL)
        return failed;
    if (syscall(SYS_pivot_root, ".", ".") != 0)
        return "pivot_root";
    if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        return "leaving the old root";
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) !=
        0)
        return "making the root read-only";
    return NULL;
}

static void state_directory(const struct hf_config *config, char ret_path[static HF_CONFIG_PATH_MAX])
{
    const char *slash = strrchr(config->storage_path, '/');
    size_t len = HF_MAX((size_t)(slash - config->storage_path), (size_t)1);
    memcpy(ret_path, config->storage_path, len);
    ret_path[len] = 0;
}

static void enter_empty_root(const struct hf_role_args *args)
{
    if (!posture.measures[HF_MEASURE_MOUNT_NS].in_force)
        return;
#ifdef HF_SANITIZE
    (void)args;
    (void)empty_root;
    (void)state_directory;
    lacks(HF_MEASURE_MOUNT_NS, "sanitizer build: the root directory is kept");
#else
    char directory[HF_CONFIG_PATH_MAX];
    const char *state_dir = NULL;
    if (args->role == HF_ROLE_STORE) {
        state_directory(args->config, directory);
        state_dir = directory;
        if (strcmp(directory, "/") == 0) { /* nothing to hide around it */
            lacks(HF_MEASURE_MOUNT_NS, "the database lies in the root directory");
            return;
        }
    }
    const char *failed = empty_root(state_dir);
    if (failed != NULL)
        lacks_errno(HF_MEASURE_MOUNT_NS, failed, errno);
#endif
}

/* ---- who we are ---- */

static hf_result become(uint32_t uid, uint32_t gid)
{
    if (uid == 0 || geteuid() != 0)
        return HF_DONE;
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return HF_FAIL(SYSTEM);
    if (setresuid(0, 0, 0) == 0) /* it must not be possible to come back */
        return HF_FAIL(SYSTEM);
    return HF_DONE;
}

/* While we may: a later change of user leaves none to do it with. */
static void narrow_capabilities(void)
{
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    (void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                       SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED);
    for (unsigned long cap = 0; cap < CAP_NUMBERS; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {0};
    if (syscall(SYS_capset, &head, none) != 0)
        lacks_errno(HF_MEASURE_NO_CAPS, "capset", errno);
}

static void not_dumpable(void)
{
#ifdef HF_SANITIZE
    lacks(HF_MEASURE_NOT_DUMPABLE, "sanitizer build: its leak check traces the process");
#else
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        lacks_errno(HF_MEASURE_NOT_DUMPABLE, "prctl", errno);
#endif
}

/* Landlock, while there is one thread: it closes the files for the thread that asks, and those it starts. */
static void close_files(const struct hf_role_args *args)
{
#ifdef HF_SANITIZE
    (void)args;
    lacks(HF_MEASURE_LANDLOCK, "sanitizer build: its reports read files");
#else
    int abi = 0, fd = -1;
    char directory[HF_CONFIG_PATH_MAX];
    if (args->role == HF_ROLE_STORE) {
        state_directory(args->config, directory);
        fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC); /* as it is seen from here */
        if (fd < 0) {
            lacks_errno(HF_MEASURE_LANDLOCK, "opening the state directory", errno);
            return;
        }
    }
    hf_result closed = hf_landlock_close(fd, &abi);
    if (fd >= 0)
        close(fd);
    holds(HF_MEASURE_LANDLOCK, HF_IS_OK(closed),
          closed.code == HF_UNSUPPORTED ? "the kernel has no Landlock" : "landlock_restrict_self failed");
#endif
}

hf_result hf_sandbox_enter(const struct hf_role_args *args)
{
    posture.role = args->role;
    posture.index = args->index;
    posture.pid = getpid();
    posture.level = args->config->level;
    status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    enter_namespaces();
    enter_empty_root(args);
    narrow_capabilities();
    TRY(become(args->run_uid, args->run_gid));
    drop_capabilities();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        lacks_errno(HF_MEASURE_NO_NEW_PRIVS, "prctl", errno);
    close_files(args);
    not_dumpable();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) /* last: a change of user clears it */
        lacks_errno(HF_MEASURE_PARENT_DEATH, "prctl", errno);
    return HF_DONE;
}

/* ---- reading back ---- */

/* Value of a line of /proc/self/status as a number of the given base; -1 where it is not to be had. */
static int64_t status_line(const char *text, const char *name, int base)
{
    const char *at = strstr(text, name);
    if (at == NULL || (at != text && at[-1] != '\n'))
        return -1;
    char *end;
    unsigned long long value = strtoull(at + strlen(name), &end, base);
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static void read_back(void)
{
    char text[STATUS_MAX];
    ssize_t len = status_fd < 0 ? -1 : pread(status_fd, text, sizeof(text) - 1, 0);
    text[len > 0 ? len : 0] = 0;
    posture.uid = getuid();
    holds(HF_MEASURE_NO_NEW_PRIVS, status_line(text, "NoNewPrivs:", 10) == 1, "the kernel does not say so");
    holds(HF_MEASURE_NO_CAPS,
          status_line(text, "CapEff:", 16) == 0 && status_line(text, "CapPrm:", 16) == 0 &&
              status_line(text, "CapInh:", 16) == 0,
          "the process still has capabilities");
    holds(HF_MEASURE_NOT_DUMPABLE, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "the process is dumpable");
    holds(HF_MEASURE_OWN_USER, posture.uid != 0,
          "runs as root: no user to become (create the user holdfast, or set user)");
    struct rlimit limit;
    holds(HF_MEASURE_NO_CORE, getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0,
          "the limit is not zero");
    int signal_number = 0;
    holds(HF_MEASURE_PARENT_DEATH,
          prctl(PR_GET_PDEATHSIG, &signal_number, 0, 0, 0) == 0 && signal_number == SIGKILL,
          "no signal is set");
    if (posture.role != HF_ROLE_CORE)
        return;
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    holds(HF_MEASURE_SECRET_MEMORY, report.why_not[0] == 0, report.why_not);
    holds(HF_MEASURE_MEMLOCK, report.bytes_protected == report.bytes_mapped,
          "RLIMIT_MEMLOCK is below secret_memory, and could not be raised");
}

static void read_back_seccomp(void)
{
    char text[STATUS_MAX];
    ssize_t len = status_fd < 0 ? -1 : pread(status_fd, text, sizeof(text) - 1, 0);
    text[len > 0 ? len : 0] = 0;
#ifdef HF_SANITIZE
    lacks(HF_MEASURE_SECCOMP, "sanitizer build: what is not allowed is logged, not killed for");
#else
    holds(HF_MEASURE_SECCOMP, status_line(text, "Seccomp:", 10) == 2, "the kernel does not say so");
#endif
    if (status_fd >= 0)
        close(status_fd);
    status_fd = -1;
}

static hf_result report(const struct hf_role_args *args)
{
    uint8_t space[HF_POSTURE_TREE_MAX];
    struct hf_buf out = hf_buf(space, sizeof(space));
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_posture_write(&posture, &w);
    TRY(hf_buf_ok(&out));
    TRY(hf_control_posture(args->control_fd, args->role, args->index, hf_buf_cursor(&out)));
    bool missing = false;
    for (int i = 0; i < HF_MEASURE_COUNT; i++) {
        if (!posture.measures[i].applies || posture.measures[i].in_force)
            continue;
        missing = true;
        hf_log(args->config->level == HF_LEVEL_DEV ? HF_LOG_DEBUG : HF_LOG_WARN, "sandbox.missing",
               hf_f("measure", hf_measure_name((enum hf_measure)i)),
               hf_f("why_not", (const char *)posture.measures[i].why_not));
    }
    if (missing && args->config->level == HF_LEVEL_HARDENED) {
        hf_log(HF_LOG_ERROR, "sandbox.refused", hf_f("why", "level hardened, and a protection is missing"));
        return HF_FAIL(PROTECTION);
    }
    return HF_DONE;
}

hf_result hf_role_sandbox(const struct hf_role_args *args)
{
    read_back();
    hf_result filtered = hf_seccomp_load(args->role);
    if (!HF_IS_OK(filtered))
        lacks(HF_MEASURE_SECCOMP, "the filter could not be loaded");
    read_back_seccomp();
    return report(args);
}

void hf_sandbox_supervisor(enum hf_level level, struct hf_posture *ret_posture)
{
    posture.role = HF_ROLE_SUPERVISOR;
    posture.pid = getpid();
    posture.level = level;
    posture.uid = getuid();
    no_core_dumps();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        lacks_errno(HF_MEASURE_NO_NEW_PRIVS, "prctl", errno);
    not_dumpable();
    struct rlimit limit;
    holds(HF_MEASURE_NO_CORE, getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0,
          "the limit is not zero");
    holds(HF_MEASURE_NO_NEW_PRIVS, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "the kernel does not say so");
    holds(HF_MEASURE_NOT_DUMPABLE, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "the process is dumpable");
    holds(HF_MEASURE_OWN_USER, posture.uid != 0, "keeps root, to start the others as their own users");
    lacks(HF_MEASURE_SECCOMP, "starts the other processes, which have filters of their own");
    lacks(HF_MEASURE_LANDLOCK, "opens files and sockets for the other processes; reads nothing from outside");
    *ret_posture = posture;
}
