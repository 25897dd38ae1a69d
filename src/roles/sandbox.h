/* What a role's process gives up. Two steps: enter, while the process has one thread and may still open files; close
 * (hf_role_sandbox in roles.h), after it has opened all it needs.
 *
 * enter: no core dumps; locked memory as the secret arena needs; namespaces of its own (network, IPC, host name,
 *        mounts: by a user namespace where not root), an empty root directory; the user it is told to be; no
 *        capabilities; no new privileges; not dumpable; dies with the supervisor; Landlock where the kernel has it (no
 *        file, no TCP port; the store: files in its state directory).
 * close: a seccomp allow-list for the role: the core and the fronts open no file and no socket; none starts a program,
 *        signals or traces another, or maps memory as executable. Breaking it kills the process.
 *
 * Sanitizer builds (HF_SANITIZE) keep the root directory and its files, stay dumpable, and what seccomp would kill for
 * is logged by the kernel and allowed: their runtimes need more than the product does. No option of the product does
 * any of this. */
#ifndef HF_ROLES_SANDBOX_H
#define HF_ROLES_SANDBOX_H

#include "roles/posture.h"
#include "roles/roles.h"

/* Raises limits; call before the secret arena is opened. */
void hf_sandbox_limits(const struct hf_role_args *args);
/* Fails: SYSTEM where a user it was told to become cannot be had: it never runs on as root then. */
hf_result hf_sandbox_enter(const struct hf_role_args *args);

/* For the supervisor itself: what it can give up and still start the others; and what is in force. */
void hf_sandbox_supervisor(enum hf_level level, struct hf_posture *ret_posture);

/* The allow-list alone. Fails: SYSTEM. */
hf_result hf_seccomp_load(enum hf_role role);
/* Landlock alone; state_dir_fd -1: no file at all. Gives the ABI in ret_abi. Fails: UNSUPPORTED, SYSTEM. */
hf_result hf_landlock_close(int state_dir_fd, int *ret_abi);

#endif
