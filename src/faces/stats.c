#include "faces/stats.h"

void hf_front_stats_write(const struct hf_front_stats *stats, struct hf_tree_writer *w)
{
#define AS_NAME(symbol, name) [HF_FRONT_##symbol] = name,
    static const char *const names[HF_FRONT_COUNTER_COUNT] = {HF_FRONT_COUNTERS(AS_NAME)};
    enum { NAME_MAX = 128 };
    char text[NAME_MAX];
    hf_tw_map(w);
    for (unsigned i = 0; i < HF_FRONT_COUNTER_COUNT; i++)
        hf_tw_k_int(w, names[i], (int64_t)stats->counters[i]);
    for (unsigned i = HF_REJECT_NONE + 1; i < HF_REJECT_COUNT; i++) {
        struct hf_buf name = hf_buf(text, sizeof(text));
        hf_buf_text(&name, "rejected_");
        hf_buf_text(&name, hf_reject_name((enum hf_reject)i));
        hf_buf_text(&name, "_total");
        hf_tw_key(w, hf_buf_cursor(&name));
        hf_tw_int(w, (int64_t)stats->rejects[i]);
    }
    hf_tw_end(w);
}
