/* What the sandboxes forbid, tried from inside: each attempt in a child that has closed its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roles/sandbox.h"

static int forbidden_open(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static int forbidden_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int forbidden_exec(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static int forbidden_fork(void)
{
    return fork() == 0 ? 0 : 1;
}

static int forbidden_ptrace(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int forbidden_peek(void)
{
    char byte;
    struct iovec local = {&byte, 1}, remote = {&byte, 1};
    return (int)process_vm_readv(getppid(), &local, 1, &remote, 1, 0);
}

static int forbidden_kill(void)
{
    return kill(getpid(), 0);
}

static int forbidden_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int forbidden_make_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED || mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0;
}

static int forbidden_bpf_escape(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void *in_a_thread(void *arg)
{
    *(int *)arg = 1;
    return NULL;
}

/* What every role needs works inside. */
static int allowed(void)
{
    int ran = 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, in_a_thread, &ran) != 0 || pthread_join(thread, NULL) != 0 || ran != 1)
        return 1;
    void *large = malloc(8 << 20);
    if (large == NULL)
        return 2;
    memset(large, 1, 8 << 20);
    free(large);
    struct stat info;
    return fstat(STDERR_FILENO, &info) == 0 ? 0 : 3;
}

static int aborts(void)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

/* Gives the signal that ended it, or minus its exit status. */
static int in_sandbox(enum hf_role role, int (*act)(void))
{
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !HF_IS_OK(hf_seccomp_load(role)))
            _exit(99);
        _exit(act() == 0 ? 0 : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

/* Not in the builds of sanitizers: such filters log instead. */
[[maybe_unused]] static void seccomp_kills(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*act)(void);
    } rows[] = {
        {"open", forbidden_open},        {"socket", forbidden_socket},  {"exec", forbidden_exec},
        {"fork", forbidden_fork},        {"ptrace", forbidden_ptrace},  {"process_vm_readv", forbidden_peek},
        {"kill", forbidden_kill},        {"mmap code", forbidden_code}, {"make code", forbidden_make_code},
        {"prctl", forbidden_bpf_escape},
    };
    for (int role = HF_ROLE_FRONT; role < HF_ROLE_COUNT; role++)
        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
            if (role == HF_ROLE_STORE && rows[i].act == forbidden_open)
                continue; /* which Landlock confines */
            int got = in_sandbox((enum hf_role)role, rows[i].act);
            if (got != SIGSYS)
                fail_msg("%s as %s: %d", rows[i].name, hf_role_name((enum hf_role)role), got);
        }
}

static void seccomp_lets_work(void **state)
{
    (void)state;
    for (int role = HF_ROLE_FRONT; role < HF_ROLE_COUNT; role++) {
        assert_int_equal(in_sandbox((enum hf_role)role, allowed), 0);
        assert_int_equal(in_sandbox((enum hf_role)role, aborts), SIGABRT);
    }
}

static char directory[] = "/tmp/holdfast-test-XXXXXX";

/* Inside Landlock with one directory. */
static int landlocked(void)
{
    int abi = 0, fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    hf_result closed = hf_landlock_close(fd, &abi);
    if (closed.code == HF_UNSUPPORTED)
        return 77;
    if (!HF_IS_OK(closed))
        return 1;
    char path[64];
    snprintf(path, sizeof(path), "%s/file", directory);
    int made = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (made < 0 || write(made, "x", 1) != 1 || ftruncate(made, 0) != 0 || unlink(path) != 0)
        return 2;
    if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
        return 3;
    if (open("/tmp/holdfast-test-outside", O_RDWR | O_CREAT, 0600) >= 0 || errno != EACCES)
        return 4;
    snprintf(path, sizeof(path), "%s/below", directory);
    if (mkdir(path, 0700) == 0)
        return 5;
    if (abi >= 4) {
        int fd_tcp = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in to = {
            .sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        if (fd_tcp < 0 || connect(fd_tcp, (const struct sockaddr *)&to, sizeof(to)) == 0 || errno != EACCES)
            return 6;
    }
    return 0;
}

static void landlock_confines(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
            _exit(99);
        _exit(landlocked());
    }
    int status;
    waitpid(child, &status, 0);
    rmdir(directory);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef HF_SANITIZE
        cmocka_unit_test(seccomp_kills),
#endif
        cmocka_unit_test(seccomp_lets_work),
        cmocka_unit_test(landlock_confines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
