/* A condition that lasts, for the log: one line when it begins, at most one each HF_ALARM_SECONDS while it lasts, with how
 * often it was met since the last, and one when it is over: at the first success HF_ALARM_QUIET_MS after the last failure. Thread-safe; costs one relaxed load where all is well. */
#ifndef HF_BASE_ALARM_H
#define HF_BASE_ALARM_H

#include "base/log.h"

enum { HF_ALARM_SECONDS = 10, HF_ALARM_QUIET_MS = 1000 };

struct hf_alarm {
    const char *failing;    /* event: met, with its result and the count */
    const char *well_again; /* event: over, with the count of all */
    _Atomic bool on;
    _Atomic int64_t due_ns; /* boot time of the next line */
    _Atomic int64_t met_ns; /* boot time of the last failure */
    _Atomic uint64_t times, said;
};
#define HF_ALARM(failing_event, well_again_event)                                                            \
    ((struct hf_alarm){.failing = (failing_event), .well_again = (well_again_event)})

void hf_alarm_raise(struct hf_alarm *alarm, hf_result result);
void hf_alarm_over(struct hf_alarm *alarm); /* of what may be on */

static inline void hf_alarm_clear(struct hf_alarm *alarm)
{
    if (__atomic_load_n((bool *)&alarm->on, __ATOMIC_RELAXED))
        hf_alarm_over(alarm);
}

#endif
