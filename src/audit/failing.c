#include "audit/internal.h"
#include "base/alarm.h"

static struct hf_alarm alarm = {.failing = "audit.failing", .well_again = "audit.well_again"};
static _Atomic int cause = HF_OK;

void audit_note_result(hf_result result)
{
    if (HF_IS_OK(result)) {
        if (atomic_load_explicit(&cause, memory_order_relaxed) != HF_OK)
            atomic_store_explicit(&cause, HF_OK, memory_order_relaxed);
        hf_alarm_clear(&alarm);
        return;
    }
    atomic_store_explicit(&cause, (int)result.code, memory_order_relaxed);
    hf_alarm_raise(&alarm, result);
}

enum hf_code hf_audit_cause(void)
{
    return (enum hf_code)atomic_load_explicit(&cause, memory_order_relaxed);
}
