/* Arithmetic of GF(2^8) with the polynomial x^8 + x^4 + x^3 + x + 1 (0x11B), that of AES and of every Shamir share in
 * use. Bitwise: no table is indexed and no branch taken by a value, so timing says nothing about operands. */
#ifndef HF_SHARES_GF_H
#define HF_SHARES_GF_H

#include <stddef.h>
#include <stdint.h>

uint8_t hf_gf_mul(uint8_t a, uint8_t b);
/* a^254, which is 1/a; 0 for 0. */
uint8_t hf_gf_inv(uint8_t a);
/* Byte by byte: accumulator = accumulator + by * bytes, eight bytes at a time. The two may not overlap. */
void hf_gf_add_scaled(uint8_t *accumulator, const uint8_t *bytes, size_t len, uint8_t by);

#endif
