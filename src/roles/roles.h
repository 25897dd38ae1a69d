/* What each process is given at its start, and its main. The supervisor forks and executes this same binary as
 * `holdfastd --role NAME` with three descriptors: 0 and 1 are /dev/null, 2 the log, 3 the control channel. All
 * others, and the configuration's text, come in the START message over the control channel (roles/control.h).
 *
 * What main.c has done before it calls a role's function: log set up; a clean environment; START read; core: secret
 * arena opened; core and front: hf_crypto_start(); namespaces, user id, capabilities and limits dropped as sandbox.h
 * says, with an empty root directory (the store's holds the state directory at its usual path and nothing else).
 * What the function does: open and warm up what it needs; hf_role_sandbox() before it starts threads; threads;
 * hf_control_ready(); work until the control channel says DRAIN or ends (the supervisor died: leave at once).
 * It returns the exit status: 0 after a drain. */
#ifndef HF_ROLES_ROLES_H
#define HF_ROLES_ROLES_H

#include "roles/config.h"

enum hf_role { HF_ROLE_SUPERVISOR, HF_ROLE_FRONT, HF_ROLE_CORE, HF_ROLE_STORE, HF_ROLE_COUNT };
const char *hf_role_name(enum hf_role role); /* "front"; static */

enum {
    HF_ROLE_STORE_LINKS = 73, /* core <-> store: one socket for each call under way */
    HF_ROLE_LINKS_MAX = HF_CONFIG_FRONTS_MAX + HF_ROLE_STORE_LINKS,
    HF_ROLE_TLS_FILES_MAX = HF_CONFIG_LISTENERS_MAX * (2 * HF_CONFIG_CERTS_MAX + 1),
};

/* One end of a stream socket to another role. Front: one link to core. Core: one to each front, and
 * HF_ROLE_STORE_LINKS to the store. Store: the other ends of these. */
struct hf_role_link {
    int fd;
    enum hf_role peer;
    uint16_t index; /* of the peer: front 0..N-1; for the store: number of the link */
};

struct hf_role_listener {
    int fd; /* bound and listening, non-blocking; a socket of its own for each front (SO_REUSEPORT) */
    uint16_t config; /* index into config->listeners: what it speaks */
};

/* A file of the TLS set-up, opened by the supervisor for reading; pread it from 0. PEM. */
enum hf_tls_file_kind { HF_TLS_FILE_CERT = 1, HF_TLS_FILE_KEY = 2, HF_TLS_FILE_CLIENT_CA = 3 };
struct hf_role_tls_file {
    int fd;
    enum hf_tls_file_kind kind;
    uint16_t listener; /* index into config->listeners */
    uint16_t pair;     /* index into its certs; 0 for the client CA */
};

struct hf_role_args {
    enum hf_role role;
    uint16_t index; /* among the processes of this role */
    int control_fd;
    int log_fd;
    uint32_t front_count; /* of all fronts of this server */
    const struct hf_config *config;
    int state_dir_fd;          /* store only: the directory of the database, open (O_PATH); else -1 */
    uint32_t run_uid, run_gid; /* whom to become where root starts the server; 0: stay who we are */

    uint32_t link_count;
    struct hf_role_link links[HF_ROLE_LINKS_MAX];
    uint32_t listener_count;
    struct hf_role_listener listeners[HF_CONFIG_LISTENERS_MAX];
    uint32_t tls_file_count;
    struct hf_role_tls_file tls_files[HF_ROLE_TLS_FILES_MAX];
};

int hf_role_front(const struct hf_role_args *args); /* front_role.c */
int hf_role_core(const struct hf_role_args *args);  /* core_role.c */
int hf_role_store(const struct hf_role_args *args); /* store_role.c */

/* Closes the sandbox around this process (seccomp allow-list of its role, Landlock), reads back from the kernel
 * what is really in force, and sends it to the supervisor as this role's posture. Call once, after everything is
 * open and before threads start: from here on core and front cannot open a file, nor any role start a program.
 * Fails: PROTECTION at level hardened where a measure is missing (it is in the log by then). */
hf_result hf_role_sandbox(const struct hf_role_args *args);

#endif
