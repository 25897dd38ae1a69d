#include "shares/gf.h"

#include <string.h>

#include "secret/secret.h"

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* The compiler may not reason about the value, and so cannot turn a mask back into a branch. */
static inline uint64_t opaque(uint64_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
}

/* Eight products at once. */
static uint64_t mul8(uint64_t bytes, uint8_t by)
{
    uint64_t product = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        uint64_t mask = opaque((uint64_t)0 - ((by >> bit) & 1u));
        product ^= bytes & mask;
        uint64_t carries = (bytes >> 7) & EACH_BYTE(0x01);
        bytes = ((bytes & EACH_BYTE(0x7f)) << 1) ^ carries * 0x1b;
    }
    return product;
}

uint8_t hf_gf_mul(uint8_t a, uint8_t b)
{
    return (uint8_t)mul8(a, b);
}

uint8_t hf_gf_inv(uint8_t a)
{
    /* 254 = 2 + 4 + 8 + 16 + 32 + 64 + 128 */
    uint8_t power = a;
    uint8_t inverse = 1;
    for (unsigned i = 0; i < 7; i++) {
        power = hf_gf_mul(power, power);
        inverse = hf_gf_mul(inverse, power);
    }
    return inverse;
}

void hf_gf_add_scaled(uint8_t *accumulator, const uint8_t *bytes, size_t len, uint8_t by)
{
    uint64_t sum = 0;
    uint64_t part = 0;
    while (len > 0) {
        size_t count = len < 8 ? len : 8;
        part = 0;
        memcpy(&part, bytes, count);
        memcpy(&sum, accumulator, count);
        sum ^= mul8(part, by);
        memcpy(accumulator, &sum, count);
        accumulator += count;
        bytes += count;
        len -= count;
    }
    hf_wipe(&sum, sizeof(sum));
    hf_wipe(&part, sizeof(part));
}
