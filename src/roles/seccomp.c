/* The system calls that each role may make; anything else kills it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "roles/sandbox.h"

#ifdef HF_SANITIZE
#define FORBIDDEN SCMP_ACT_LOG
#else
#define FORBIDDEN SCMP_ACT_KILL_PROCESS
#endif

#define CALL(name) SCMP_SYS(name)

/* Memory, threads, time, events, bytes over descriptors that are open. */
static const int everybody[] = {
    CALL(read),
    CALL(write),
    CALL(readv),
    CALL(writev),
    CALL(pread64),
    CALL(pwrite64),
    CALL(lseek),
    CALL(close),
    CALL(fstat),
    CALL(fcntl),
    CALL(munmap),
    CALL(mremap),
    CALL(madvise),
    CALL(brk),
    CALL(mlock),
    CALL(mlock2),
    CALL(munlock),
    CALL(futex),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(sched_setaffinity),
    CALL(getpid),
    CALL(gettid),
    CALL(rt_sigprocmask),
    CALL(rt_sigaction),
    CALL(rt_sigreturn),
    CALL(sigaltstack),
    CALL(restart_syscall),
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(gettimeofday),
    CALL(getrandom),
    CALL(getrusage),
    CALL(sysinfo), /* qsort asks how much memory there is before it takes some */
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(poll),
    CALL(ppoll),
    CALL(eventfd2),
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(recvmsg),
    CALL(recvfrom),
    CALL(sendmsg),
    CALL(sendto),
    CALL(shutdown),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(membarrier),
    CALL(exit),
    CALL(exit_group),
    CALL(uname),
    CALL(geteuid),
    CALL(getuid),
    CALL(getegid),
    CALL(getgid),
};

static const int front_only[] = {
    CALL(accept4), CALL(accept), CALL(getsockname), CALL(getpeername), CALL(epoll_create),
};

/* SQLite's files: in the directory that Landlock and the mounts leave it. */
static const int store_only[] = {
    CALL(openat),          CALL(open),      CALL(unlink),
    CALL(unlinkat),        CALL(rename),    CALL(renameat),
    CALL(renameat2),       CALL(access),    CALL(faccessat),
    CALL(faccessat2),      CALL(stat),      CALL(lstat),
    CALL(newfstatat),      CALL(statx),     CALL(statfs),
    CALL(fstatfs),         CALL(readlink),  CALL(readlinkat),
    CALL(getcwd),          CALL(fsync),     CALL(fdatasync),
    CALL(sync_file_range), CALL(ftruncate), CALL(fallocate),
    CALL(fchmod),          CALL(fchown),    CALL(utimensat),
    CALL(flock),           CALL(preadv),    CALL(pwritev),
    CALL(copy_file_range), CALL(sendfile),  CALL(getdents64),
    CALL(mkdir),           CALL(mkdirat),   CALL(umask),
    CALL(memfd_create),    CALL(readahead), CALL(fadvise64),
    CALL(msync),
};

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (calls[i] < 0)
            continue; /* this architecture has no such call */
        int wrong = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
        if (wrong != 0)
            return wrong;
    }
    return 0;
}

/* Calls that are allowed with some arguments only. */
static int allow_some(scmp_filter_ctx filter)
{
    int wrong = 0;
    /* Memory that is not executable. */
    wrong |=
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    wrong |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* Threads, not processes. The C library falls back to clone, whose flags can be seen. */
    wrong |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    wrong |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
    /* Its own threads: abort() must end in SIGABRT. */
    wrong |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(tgkill), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    /* What fstat is to the C library. */
    wrong |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(newfstatat), 1,
                              SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    static const int options[] = {PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_GET_PDEATHSIG,
                                  PR_SET_NAME,     PR_GET_NAME,         PR_SET_VMA};
    for (size_t i = 0; i < HF_ARRAY_LEN(options); i++)
        wrong |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)options[i], 0));
    /* Asked for by libraries, and answered with a no that they take: terminals, resource limits. */
    wrong |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOTTY), CALL(ioctl), 0);
    wrong |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(prlimit64), 1,
                              SCMP_A2(SCMP_CMP_EQ, 0, 0)); /* reading */
    return wrong;
}

static int build(scmp_filter_ctx filter, enum hf_role role)
{
    int wrong = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0); /* set already; not the library's to set */
    wrong |= seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);  /* threads that are there already too */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);  /* a tree instead of a list, where it can */
    wrong |= seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    wrong |= allow_all(filter, everybody, HF_ARRAY_LEN(everybody));
    if (role == HF_ROLE_FRONT)
        wrong |= allow_all(filter, front_only, HF_ARRAY_LEN(front_only));
    if (role == HF_ROLE_STORE)
        wrong |= allow_all(filter, store_only, HF_ARRAY_LEN(store_only));
    return wrong | allow_some(filter);
}

hf_result hf_seccomp_load(enum hf_role role)
{
    scmp_filter_ctx filter = seccomp_init(FORBIDDEN);
    if (filter == NULL)
        return HF_FAIL(NO_MEMORY);
    int wrong = build(filter, role);
    if (wrong == 0)
        wrong = seccomp_load(filter);
    seccomp_release(filter);
    return wrong == 0 ? HF_DONE : HF_FAIL(SYSTEM);
}
