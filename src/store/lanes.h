/* Lazy transactions on their way to the store process, private to store/remote.c.
 *
 * Each lane is one socket. A transaction is accepted when its frame is whole in the socket; it stays here until the
 * store acknowledges that it is synced. Where the store process dies, what is not acknowledged goes over the new
 * socket again; where the store cannot write (full, read-only), it refuses further ones and what waits is sent again
 * every so often. So an accepted one is lost only where both processes die. Thread-safe. */
#ifndef HF_STORE_LANES_H
#define HF_STORE_LANES_H

#include "store/store.h"

enum {
    HF_LANES_MAX = 8,
    HF_LANE_BYTES_MAX = 8 << 20, /* not acknowledged, of one lane; where all are full, callers wait */
    HF_LANE_BYTES_NEAR = 256 << 10,
    HF_LANE_SOCKET_BYTES = 4 << 20, /* asked of the kernel */
    HF_LANE_WAIT_MS_MAX = 5000,     /* for room, and at a barrier; then STORE_DOWN */
    HF_LANE_RETRY_MS = 100,
};

struct hf_lanes;
/* Takes the sockets (also when it fails). Starts a thread. */
hf_result hf_lanes_new(const int *fds, size_t count, struct hf_lanes **ret_lanes);
void hf_lanes_free(struct hf_lanes *lanes);
/* Waits for nothing but room. Fails: STORE_DOWN, what the store said at its last failure, TOO_LARGE. */
hf_result hf_lanes_put(struct hf_lanes *lanes, const struct hf_store_op *ops, size_t count, size_t bytes);
/* Until all that was accepted before is acknowledged. */
hf_result hf_lanes_barrier(struct hf_lanes *lanes);
void hf_lanes_relink(struct hf_lanes *lanes, const int *fds, size_t count);

#endif
