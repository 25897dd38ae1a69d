/* The processors this process may run on. */
#ifndef HF_BASE_CPU_H
#define HF_BASE_CPU_H

#include <stdbool.h>

/* At least 1. Asks the kernel (sched_getaffinity), not files as sysconf(3) does: it works inside a sandbox that opens
 * none, and sees the limits that a container sets. */
unsigned hf_cpu_count(void);

/* Keeps the calling thread on the n-th (modulo their count) of the processors that the first call found allowed.
 * True: it is so. False: there is but one, or the kernel refuses. */
bool hf_cpu_pin(unsigned n);
/* Back to all of them. */
bool hf_cpu_unpin(void);

#endif
