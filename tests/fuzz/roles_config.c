/* The configuration's parser: what is refused has a reason and a line of the text; what is taken is within its bounds,
 * and is taken again the same. */
#include <stdlib.h>

#include "roles/config.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hf_config config, again;
    struct hf_config_error error = {0};
    struct hf_cursor text = hf_cursor(data, size);
    if (!HF_IS_OK(hf_config_parse(text, &config, &error))) {
        uint32_t lines = 1;
        for (size_t i = 0; i < size; i++)
            lines += data[i] == '\n';
        CHECK(error.reason[0] != 0);
        CHECK(strnlen(error.reason, sizeof(error.reason)) < sizeof(error.reason));
        CHECK(error.line <= lines + 1);
        return 0;
    }
    CHECK(config.listener_count >= 1 && config.listener_count <= HF_CONFIG_LISTENERS_MAX);
    CHECK(config.fronts <= HF_CONFIG_FRONTS_MAX && config.core_threads <= HF_CONFIG_CORE_THREADS_MAX);
    CHECK(config.storage_path[0] == '/' && config.limits.body_bytes_max >= 1024);
    for (uint32_t i = 0; i < config.listener_count; i++)
        CHECK(config.listeners[i].tls ? config.listeners[i].cert_count >= 1
                                      : hf_config_is_loopback(&config.listeners[i]));
    CHECK(HF_IS_OK(hf_config_parse(text, &again, &error)));
    CHECK(again.listener_count == config.listener_count && again.level == config.level);
    return 0;
}
