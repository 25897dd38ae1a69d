/* Landlock by its raw system calls: the C library has none for it. Constants beyond the oldest headers are named
 * here, as the kernel's interface has them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "roles/sandbox.h"

enum { FS_REFER_ABI = 2, FS_TRUNCATE_ABI = 3, NET_ABI = 4, IOCTL_ABI = 5, SCOPE_ABI = 6 };
#define FS_ABI_1 ((UINT64_C(1) << 13) - 1)
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define NET_BIND_AND_CONNECT UINT64_C(3)
#define SCOPE_SOCKETS_AND_SIGNALS UINT64_C(3)

/* What the store does to files in its directory. */
#define FS_STORE                                                                                             \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |            \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

hf_result hf_landlock_close(int state_dir_fd, int *ret_abi)
{
#ifdef SYS_landlock_create_ruleset
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return HF_FAIL(UNSUPPORTED);
    struct ruleset_attr attr = {.handled_access_fs = FS_ABI_1};
    if (abi >= FS_REFER_ABI)
        attr.handled_access_fs |= FS_REFER;
    if (abi >= FS_TRUNCATE_ABI)
        attr.handled_access_fs |= FS_TRUNCATE;
    if (abi >= IOCTL_ABI)
        attr.handled_access_fs |= FS_IOCTL_DEV;
    if (abi >= NET_ABI)
        attr.handled_access_net = NET_BIND_AND_CONNECT;
    if (abi >= SCOPE_ABI)
        attr.scoped = SCOPE_SOCKETS_AND_SIGNALS;
    size_t size = abi >= SCOPE_ABI ? sizeof(attr) : abi >= NET_ABI ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0)
        return HF_FAIL(SYSTEM);
    bool good = true;
    if (state_dir_fd >= 0) {
        struct landlock_path_beneath_attr beneath = {
            .allowed_access = FS_STORE | (attr.handled_access_fs & FS_TRUNCATE),
            .parent_fd = state_dir_fd,
        };
        good = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
    }
    good = good && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    *ret_abi = (int)abi;
    return good ? HF_DONE : HF_FAIL(SYSTEM);
#else
    (void)state_dir_fd;
    (void)ret_abi;
    return HF_FAIL(UNSUPPORTED);
#endif
}
