/* Records of KV secrets: any bytes are refused or give a secret that encodes to the same bytes. */
#include <stdlib.h>

#include "ops/kv_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hf_kv_secret secret;
    if (!HF_IS_OK(hf_kv_decode(hf_cursor(data, size), &secret)))
        return 0;
    size_t cap = hf_kv_encoded_max(&secret);
    uint8_t *space = malloc(cap);
    if (space == NULL)
        abort();
    struct hf_buf out = hf_buf(space, cap);
    hf_kv_encode(&secret, &out);
    if (out.overflow || out.len != size || memcmp(space, data, size) != 0) /* public */
        abort();
    for (uint32_t i = 0; i < secret.count; i++) {
        if (hf_kv_version(&secret, secret.versions[i].number) != &secret.versions[i])
            abort();
    }
    free(space);
    return 0;
}
