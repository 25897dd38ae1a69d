/* Time is handed in, so that tests can turn it. Wall time is for people and due dates, boot time for expiry,
 * leases and timeouts (it counts suspend, CLOCK_BOOTTIME). Nanoseconds. */
#ifndef HF_BASE_CLOCK_H
#define HF_BASE_CLOCK_H

#include "base/buf.h"

#define HF_MICROSECOND INT64_C(1000)
#define HF_MILLISECOND INT64_C(1000000)
#define HF_SECOND INT64_C(1000000000)

struct hf_clock {
    int64_t (*wall_ns)(void *self); /* since 1970-01-01T00:00:00Z */
    int64_t (*boot_ns)(void *self);
    void *self;
};

/* The machine's clocks (clock_gettime by vDSO, about 25 ns). */
extern const struct hf_clock hf_clock_system;

static inline int64_t hf_wall_ns(const struct hf_clock *clock)
{
    return clock->wall_ns(clock->self);
}

static inline int64_t hf_boot_ns(const struct hf_clock *clock)
{
    return clock->boot_ns(clock->self);
}

/* RFC 3339 in UTC with nanoseconds: 2026-01-02T03:04:05.000000006Z. */
void hf_time_rfc3339(struct hf_buf *out, int64_t wall_ns);
/* Accepts RFC 3339 with any offset. Fails: BAD_ARGUMENT. */
hf_result hf_time_parse(struct hf_cursor text, int64_t *ret_wall_ns);
/* "90", "90s", "15m", "1h30m", "30d": seconds where no unit stands. Gives nanoseconds. Fails: BAD_ARGUMENT
 * on a negative, an unknown unit or a value that does not fit. */
hf_result hf_duration_parse(struct hf_cursor text, int64_t *ret_ns);

#endif
