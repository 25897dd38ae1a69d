/* What protections are really in force in each process, as GET sys/posture shows it:
 *   {"process": "core", "index": 0, "pid": 12, "level": "standard", "user": 998,
 *    "measures": {"seccomp": {"in_force": true}, "landlock": {"in_force": false, "why_not": "..."}, ...},
 *    "secret_memory": {"memfd_secret": true, ..., "bytes_used": 4096, "why_not": ""}}
 * Each measure is read back from the kernel, not remembered from having asked for it. */
#ifndef HF_ROLES_POSTURE_H
#define HF_ROLES_POSTURE_H

#include "ops/core.h"
#include "roles/roles.h"

#define HF_MEASURES(X)                                                                                       \
    /*  symbol        name                   */                                                              \
    X(SECCOMP, "seccomp")                                                                                    \
    X(LANDLOCK, "landlock")                                                                                  \
    X(NO_NEW_PRIVS, "no_new_privs")                                                                          \
    X(NOT_DUMPABLE, "not_dumpable")                                                                          \
    X(NO_CORE, "no_core_dumps")                                                                              \
    X(OWN_USER, "own_user")                                                                                  \
    X(NO_CAPS, "no_capabilities")                                                                            \
    X(NET_NS, "network_namespace")                                                                           \
    X(IPC_NS, "ipc_namespace")                                                                               \
    X(UTS_NS, "uts_namespace")                                                                               \
    X(MOUNT_NS, "mount_namespace")                                                                           \
    X(PARENT_DEATH, "dies_with_supervisor")                                                                  \
    X(MEMLOCK, "memory_lock_limit")                                                                          \
    X(SECRET_MEMORY, "secret_memory")
#define HF_MEASURE_AS_ENUM(symbol, name) HF_MEASURE_##symbol,
enum hf_measure { HF_MEASURES(HF_MEASURE_AS_ENUM) HF_MEASURE_COUNT };
#undef HF_MEASURE_AS_ENUM
const char *hf_measure_name(enum hf_measure measure);

enum { HF_POSTURE_TREE_MAX = 8192 };
struct hf_posture {
    enum hf_role role;
    uint16_t index;
    int32_t pid;
    uint32_t uid;
    enum hf_level level;
    struct {
        bool applies; /* a measure that has no meaning for the role is left out */
        bool in_force;
        char why_not[120];
    } measures[HF_MEASURE_COUNT];
};
void hf_posture_write(const struct hf_posture *posture, struct hf_tree_writer *w);

/* The core's collection of what all processes reported, thread-safe; board_write gives the array that
 * hf_posture_source.posture wants: source = {hf_posture_board_write, board}. The core's own secret memory is read
 * anew at each call. */
struct hf_posture_board;
hf_result hf_posture_board_new(struct hf_posture_board **ret_board);
void hf_posture_board_free(struct hf_posture_board *board);
/* Takes an encoded item, which replaces what the process of that role and index reported before. */
hf_result hf_posture_board_put(struct hf_posture_board *board, enum hf_role role, uint16_t index,
                               struct hf_cursor tree);
hf_result hf_posture_board_write(void *board, struct hf_tree_writer *w);

#endif
