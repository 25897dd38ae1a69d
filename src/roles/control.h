/* The control channel: supervisor <-> role. A SOCK_SEQPACKET pair: one message is one frame of type CONTROL (the
 * frame's id is the message's kind) with up to HF_CONTROL_FDS_MAX descriptors. The end of the channel means that
 * the other side is gone.
 *
 *   supervisor -> role
 *     START    everything in struct hf_role_args; once, first
 *     LINKS    a peer was restarted: fresh links to it (front: to core; core: to one front, or all to the store;
 *              store: all to core). What was under way on the old links is answered with ROLE_DOWN.
 *     DRAIN    stop gracefully: take no more connections, finish what is under way, return 0
 *     TLS      front: the TLS files, opened again after SIGHUP; established connections live on
 *     POSTURE  core: what one process reports of itself (also the supervisor's own)
 *     DEV_INIT core, --dev only: initialise and unseal; answered by DEV_DONE
 *     PING     every second, once READY came: answered with PONG by the loop that does the role's work. Who owes it for
 *              long is hung: it is killed and started again.
 *   role -> supervisor
 *     READY    serving
 *     POSTURE  encoded tree item (posture.h), after the sandbox closed
 *     STATUS   core: whether it is initialised and sealed, for the service manager
 *     DEV_DONE core: the token and the shares, or what failed
 *     PONG     its loop turns
 *
 * Calls block unless said. Not thread-safe for one descriptor in one direction. */
#ifndef HF_ROLES_CONTROL_H
#define HF_ROLES_CONTROL_H

#include "roles/roles.h"

enum hf_control_kind {
    HF_CONTROL_START = 1,
    HF_CONTROL_LINKS,
    HF_CONTROL_DRAIN,
    HF_CONTROL_TLS,
    HF_CONTROL_POSTURE,
    HF_CONTROL_DEV_INIT,
    HF_CONTROL_READY,
    HF_CONTROL_STATUS,
    HF_CONTROL_DEV_DONE,
    HF_CONTROL_PING,
    HF_CONTROL_PONG,
    HF_CONTROL_KIND_END
};
enum {
    HF_CONTROL_FDS_MAX = 240, /* the kernel's bound is 253 */
    HF_CONTROL_BODY_MAX = 16 << 10,
    HF_CONTROL_DEV_SHARES = 5,
    HF_CONTROL_DEV_THRESHOLD = 3,
    HF_CONTROL_TEXT_MAX = 256,
};

/* A received message, taken apart; which member counts follows from kind. Large (about 20 KiB): keep it static or
 * on a heap, and wipe it after DEV_INIT and DEV_DONE (hf_wipe). Descriptors in it belong to the receiver. */
struct hf_control {
    enum hf_control_kind kind;
    union {
        struct { /* LINKS */
            uint32_t count;
            struct hf_role_link links[HF_ROLE_LINKS_MAX];
        } links;
        struct { /* TLS */
            uint32_t count;
            struct hf_role_tls_file files[HF_ROLE_TLS_FILES_MAX];
        } tls;
        struct { /* POSTURE */
            enum hf_role role;
            uint16_t index;
            struct hf_cursor tree; /* encoded item, in `space` */
        } posture;
        struct {                                  /* DEV_INIT */
            bool init;                            /* initialise if need be, and unseal; false: leave it be */
            char root_token[HF_CONTROL_TEXT_MAX]; /* the wanted one, "" any */
            /* State of an earlier run in the same directory: its shares, to unseal with. */
            uint32_t share_count;
            char shares[HF_CONTROL_DEV_SHARES][HF_CONTROL_TEXT_MAX]; /* base64, as sys/unseal takes them */
        } dev_init;
        struct { /* STATUS */
            bool initialized, sealed;
            char version[HF_CONTROL_TEXT_MAX];
        } status;
        struct { /* DEV_DONE */
            enum hf_code code;
            char root_token[HF_CONTROL_TEXT_MAX]; /* "" where the server was initialised before */
            uint32_t share_count;                 /* 0 where the server was initialised before */
            char shares[HF_CONTROL_DEV_SHARES][HF_CONTROL_TEXT_MAX]; /* base64 of the plain form */
        } dev_done;
    } as;
    uint8_t space[16 + HF_CONTROL_BODY_MAX];
};

/* Receives one message. Fails: WOULD_BLOCK where none is there and the descriptor (or `wait` false) does not wait;
 * ROLE_DOWN where the other side is gone; BAD_REQUEST on a malformed one (descriptors that came are closed).
 * START is received by main alone. */
hf_result hf_control_recv(int control_fd, bool wait, struct hf_control *ret_message);

/* Closes the descriptors of a message that the receiver has no use for. */
void hf_control_discard(const struct hf_control *message);

/* Sends one message. Descriptors are sent as copies and stay the caller's. Fails: ROLE_DOWN, SYSTEM. */
hf_result hf_control_ready(int control_fd);
hf_result hf_control_drain(int control_fd);
hf_result hf_control_ping(int control_fd); /* SYSTEM where the role does not read what it is sent */
hf_result hf_control_pong(int control_fd);
hf_result hf_control_status(int control_fd, bool initialized, bool sealed, const char *version);
hf_result hf_control_links(int control_fd, const struct hf_role_link *links, uint32_t count);
hf_result hf_control_tls(int control_fd, const struct hf_role_tls_file *files, uint32_t count);
hf_result hf_control_posture(int control_fd, enum hf_role role, uint16_t index, struct hf_cursor tree);
/* Takes a filled message of kind DEV_INIT or DEV_DONE. */
hf_result hf_control_dev(int control_fd, const struct hf_control *message);

/* START, both ends. recv fills args (control_fd, log_fd aside) and a copy of the configuration's text in
 * `ret_config`; its text is parsed by it. */
hf_result hf_control_start_send(int control_fd, const struct hf_role_args *args,
                                struct hf_cursor config_text);
hf_result hf_control_start_recv(int control_fd, struct hf_role_args *ret_args, struct hf_config *ret_config);

#endif
