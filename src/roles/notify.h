/* The service manager's notification protocol, sd_notify(3): one datagram for each message. Nothing is done where none
 * listens. */
#ifndef HF_ROLES_NOTIFY_H
#define HF_ROLES_NOTIFY_H

#include <stdint.h>

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC and removes them from the environment. */
void hf_notify_open(void);
/* "READY=1", "STOPPING=1", "STATUS=...", "RELOADING=1", "WATCHDOG=1". */
void hf_notify(const char *message);
/* Between two signs of life, 0 where none is asked for. */
int64_t hf_notify_watchdog_ns(void);

#endif
