/* Listening sockets: one for each listener and front (SO_REUSEPORT: the kernel spreads connections), or those that the
 * service manager hands over (LISTEN_FDS), which all fronts share. */
#ifndef HF_ROLES_LISTEN_H
#define HF_ROLES_LISTEN_H

#include "roles/config.h"

struct hf_listen {
    uint32_t listeners, fronts;
    int fds[HF_CONFIG_LISTENERS_MAX][HF_CONFIG_FRONTS_MAX];
    uint16_t ports[HF_CONFIG_LISTENERS_MAX]; /* as bound: not 0 */
};
/* Fails: CONFIG with the reason, which names the address; nothing stays open then. */
hf_result hf_listen_open(const struct hf_config_listener *listeners, uint32_t count, uint32_t fronts,
                         struct hf_listen *ret_listen, char ret_reason[static 320]);
void hf_listen_close(struct hf_listen *listen);

#endif
