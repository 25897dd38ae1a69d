/* How many processors this process may run on. */
#ifndef HF_BASE_CPU_H
#define HF_BASE_CPU_H

/* At least 1. Asks the kernel (sched_getaffinity), not files as sysconf(3) does: it works inside a sandbox that opens
 * none, and sees the limits that a container sets. */
unsigned hf_cpu_count(void);

#endif
