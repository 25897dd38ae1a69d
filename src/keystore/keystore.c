#include "keystore/keystore.h"

#include <stdatomic.h>

struct hf_kskey *hf_kskey_ref(struct hf_kskey *key)
{
    atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
    return key;
}

void hf_kskey_unref(struct hf_kskey *key)
{
    if (key == NULL)
        return;
    if (atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) == 1)
        key->ops->release(key);
}

void hf_kskey_unrefp(struct hf_kskey **key)
{
    hf_kskey_unref(*key);
    *key = NULL;
}
