/* Constant-time helpers. Lengths are public; timing is independent of the bytes. */
#ifndef HF_SECRET_CT_H
#define HF_SECRET_CT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool hf_ct_equal(const void *a, const void *b, size_t len);
bool hf_ct_is_zero(const void *a, size_t len);
/* mask is 0x00 or 0xff: dst = mask ? src : dst. */
void hf_ct_select(uint8_t mask, void *dst, const void *src, size_t len);

#endif
