/* The barrier inside each loop keeps the compiler from leaving early or from branching on what was gathered. */
#include "secret/ct.h"

#include <string.h>

static bool is_zero(uint64_t gathered)
{
    gathered |= gathered >> 32;
    gathered &= UINT32_MAX;
    return (bool)((gathered - 1) >> 63); /* below zero only from zero */
}

bool hf_ct_equal(const void *a, const void *b, size_t len)
{
    const uint8_t *left = (const uint8_t *)a;
    const uint8_t *right = (const uint8_t *)b;
    uint64_t diff = 0;
    size_t i = 0;
    for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t x, y;
        memcpy(&x, left + i, sizeof(x));
        memcpy(&y, right + i, sizeof(y));
        diff |= x ^ y;
        __asm__ volatile("" : "+r"(diff));
    }
    for (; i < len; i++) {
        diff |= (uint64_t)(left[i] ^ right[i]);
        __asm__ volatile("" : "+r"(diff));
    }
    return is_zero(diff);
}

bool hf_ct_is_zero(const void *a, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)a;
    uint64_t any = 0;
    for (size_t i = 0; i < len; i++) {
        any |= bytes[i];
        __asm__ volatile("" : "+r"(any));
    }
    return is_zero(any);
}

void hf_ct_select(uint8_t mask, void *dst, const void *src, size_t len)
{
    uint8_t *to = (uint8_t *)dst;
    const uint8_t *from = (const uint8_t *)src;
    for (size_t i = 0; i < len; i++) {
        uint8_t chosen = mask;
        __asm__ volatile("" : "+r"(chosen)); /* no value is known of it: no branch can be made of it */
        to[i] = (uint8_t)(to[i] ^ (chosen & (to[i] ^ from[i])));
    }
}
