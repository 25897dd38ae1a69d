/* From many writers to one sequencer, in the order of indices: each index has its slot. No lock. */
#include "audit/internal.h"

#include <time.h>

enum { WAIT_STEP_US = 200 };

bool audit_refuses(const struct hf_audit *audit)
{
    return atomic_load_explicit(&audit->down, memory_order_relaxed) ||
           atomic_load_explicit(&audit->broken, memory_order_relaxed) ||
           atomic_load_explicit(&audit->stop, memory_order_relaxed);
}

/* Takes indices only where their slots are free, so that nothing that is written can fail to be handed over. */
hf_result audit_reserve(struct hf_audit *audit, uint64_t count, uint64_t *ret_first)
{
    int64_t deadline = 0;
    if (count == 0 || count > audit->ring_size)
        return HF_FAIL(TOO_LARGE);
    uint64_t next = atomic_load_explicit(&audit->next, memory_order_relaxed);
    for (;;) {
        if (audit_refuses(audit))
            return HF_FAIL(AUDIT_DOWN);
        /* acquire: the sequencer is done with the slots before it says so */
        uint64_t consumed = atomic_load_explicit(&audit->consumed, memory_order_acquire);
        uint64_t waiting = next - consumed;
        if (waiting + count <= audit->ring_size) {
            if (!atomic_compare_exchange_weak_explicit(&audit->next, &next, next + count,
                                                       memory_order_relaxed, memory_order_relaxed))
                continue;
            if (waiting < audit->ring_size / 4 && waiting + count >= audit->ring_size / 4)
                (void)sem_post(&audit->wake);
            *ret_first = next;
            return HF_DONE;
        }
        int64_t now =
            hf_boot_ns(&hf_clock_system); /* a bound on real waiting, whatever clock we were handed */
        if (deadline == 0) {
            deadline = now + AUDIT_RING_WAIT_MS_MAX * HF_MILLISECOND;
            (void)sem_post(&audit->wake);
        } else if (now >= deadline) {
            return HF_FAIL(AUDIT_DOWN);
        }
        const struct timespec step = {.tv_nsec = WAIT_STEP_US * 1000};
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
        next = atomic_load_explicit(&audit->next, memory_order_relaxed);
    }
}

void audit_publish(struct hf_audit *audit, uint64_t first, const struct hf_tlog_hash *hashes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct audit_slot *slot = &audit->ring[(first + i) & (audit->ring_size - 1)];
        slot->hash = hashes[i];
        slot->unresolved = 0;
        atomic_store_explicit(&slot->published, first + i + 1, memory_order_release);
    }
}

void audit_publish_unresolved(struct hf_audit *audit, uint64_t first, uint64_t count)
{
    struct audit_slot *slot = &audit->ring[first & (audit->ring_size - 1)];
    atomic_fetch_add_explicit(&audit->failures, 1, memory_order_relaxed);
    atomic_store_explicit(&audit->down, true, memory_order_relaxed);
    slot->unresolved = count;
    atomic_store_explicit(&slot->published, first + 1, memory_order_release);
    (void)sem_post(&audit->wake);
}

void audit_append_op(const struct hf_audit *audit, struct hf_store_op *ret_op, uint64_t first, uint64_t count,
                     struct hf_cursor blob)
{
    *ret_op = (struct hf_store_op){
        .kind = HF_STORE_AUDIT_APPEND,
        .seq = first,
        .amount = count,
        .row = {.id = audit->config.log},
        .blob = blob,
    };
}
