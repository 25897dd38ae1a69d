/* Key records: any bytes are refused or give a key that encodes to the same bytes. */
#include <stdlib.h>

#include "keys/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_key *key = NULL;
    if (!HF_IS_OK(hf_key_decode(hf_cursor(data, size), &key)))
        return 0;
    size_t cap = hf_key_encoded_max(key);
    uint8_t *space = malloc(cap);
    if (space == NULL)
        abort();
    struct hf_buf out = hf_buf(space, cap);
    hf_key_encode(key, &out);
    if (out.overflow || out.len != size || memcmp(space, data, size) != 0) /* public */
        abort();
    for (uint32_t n = key->versions[0].number; n <= key->latest; n++) {
        const struct hf_key_version *v = hf_key_version(key, n);
        if (v == NULL || v->number != n || hf_key_state_name(v->state) == NULL)
            abort();
    }
    free(space);
    hf_key_freep(&key);
    return 0;
}
