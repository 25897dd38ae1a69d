#include "base/alarm.h"

#include <stdatomic.h>

#include "base/clock.h"

void hf_alarm_raise(struct hf_alarm *alarm, hf_result result)
{
    int64_t now = hf_boot_ns(&hf_clock_system);
    atomic_store(&alarm->met_ns, now);
    uint64_t times = atomic_fetch_add(&alarm->times, 1) + 1;
    int64_t due = atomic_load(&alarm->due_ns);
    bool was_on = atomic_exchange(&alarm->on, true);
    if ((was_on && now < due) ||
        !atomic_compare_exchange_strong(&alarm->due_ns, &due, now + HF_ALARM_SECONDS * HF_SECOND))
        return;
    uint64_t said = atomic_exchange(&alarm->said, times);
    hf_log(HF_LOG_ERROR, alarm->failing, hf_f("result", result), hf_f("why", hf_code_text(result.code)),
           hf_f("times", times > said ? times - said : 1UL));
}

void hf_alarm_over(struct hf_alarm *alarm)
{
    int64_t quiet_ns = hf_boot_ns(&hf_clock_system) - atomic_load(&alarm->met_ns);
    if (quiet_ns < HF_ALARM_QUIET_MS * HF_MILLISECOND || !atomic_exchange(&alarm->on, false))
        return;
    uint64_t times = atomic_exchange(&alarm->times, 0);
    atomic_store(&alarm->said, 0);
    hf_log(HF_LOG_INFO, alarm->well_again, hf_f("times", times));
}
