/* Looking at this process from outside its own pointers, and doing what kills it in a process of its own. */
#ifndef HF_TESTS_MEMORY_H
#define HF_TESTS_MEMORY_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A sanitizer's shadow is too large to be searched. */
#ifdef HF_SANITIZE
#define MEMORY_CAN_BE_SEARCHED 0
#else
#define MEMORY_CAN_BE_SEARCHED 1
#endif

/* How often `bytes` stand in this process's memory as /proc/self/mem shows it. The bytes are given inverted, so that
 * the caller's own copy does not count. */
static inline size_t memory_holds(const uint8_t *inverted, size_t len)
{
    if (!MEMORY_CAN_BE_SEARCHED)
        return 0;
    enum { CHUNK = 1 << 20 };
    uint8_t *chunk = (uint8_t *)malloc(CHUNK + len);
    FILE *maps = fopen("/proc/self/maps", "re");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (chunk == NULL || maps == NULL || mem < 0)
        abort();
    size_t found = 0;
    char line[512];
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long first, end;
        char mode[8];
        if (sscanf(line, "%lx-%lx %7s", &first, &end, mode) != 3 || mode[0] != 'r' ||
            strstr(line, "[v") != NULL)
            continue;
        for (unsigned long at = first; at < end; at += CHUNK) {
            size_t want = end - at < CHUNK + len ? end - at : CHUNK + len;
            ssize_t got = pread(mem, chunk, want, (off_t)at);
            for (ssize_t i = 0; got >= (ssize_t)len && i <= got - (ssize_t)len && i < CHUNK; i++) {
                size_t same = 0;
                while (same < len && chunk[i + (ssize_t)same] + inverted[same] == 0xff)
                    same++;
                found += same == len;
            }
        }
    }
    /* The chunk itself may have held them: a later look must not find them there. */
    memset(chunk, 0, CHUNK + len);
    __asm__ volatile("" : : "r"(chunk) : "memory");
    free(chunk);
    fclose(maps);
    close(mem);
    return found;
}

/* Runs this test program again with one argument; gives the signal that killed it, or minus its exit status. */
static inline int run_again(const char *what)
{
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execl("/proc/self/exe", "test", what, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        return WTERMSIG(status);
    /* Sanitizers turn a fault into an exit of their own. */
    return -WEXITSTATUS(status);
}

#endif
