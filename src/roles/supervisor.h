/* The supervisor: opens listening sockets and files, starts the roles, restarts those that die, stops them all. It
 * reads nothing that comes from outside. One thread. */
#ifndef HF_ROLES_SUPERVISOR_H
#define HF_ROLES_SUPERVISOR_H

#include "roles/control.h"
#include "roles/dev.h"
#include "roles/listen.h"

struct hf_supervisor_setup {
    struct hf_config config;
    struct hf_cursor config_text;
    struct hf_listen *listen; /* open already */
    const char *config_file;  /* for messages; NULL in development mode */
    struct hf_dev *dev;       /* NULL: not in development mode */
};
/* Runs till it is told to stop. Gives the exit status. */
int hf_supervisor_run(struct hf_supervisor_setup *setup);

#endif
