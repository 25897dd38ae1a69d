#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>

unsigned hf_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

static cpu_set_t allowed; /* as found at first */

static void find_allowed(void)
{
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        CPU_ZERO(&allowed);
}

static int allowed_count(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, find_allowed);
    return CPU_COUNT(&allowed);
}

bool hf_cpu_pin(unsigned n)
{
    int count = allowed_count();
    if (count < 2)
        return false;
    unsigned left = n % (unsigned)count;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || left-- != 0)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof(one), &one) == 0;
    }
    return false;
}

bool hf_cpu_unpin(void)
{
    return allowed_count() > 0 && sched_setaffinity(0, sizeof(allowed), &allowed) == 0;
}
