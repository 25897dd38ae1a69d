/* How far bytes are plain: private to wire/. Scans 16 bytes at a time where the machine has SSE2. */
#ifndef HF_WIRE_SCAN_H
#define HF_WIRE_SCAN_H

#include "base/cursor.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* First byte in [at, end) that is a control, a quote, a backslash, or (ascii_only) above 0x7f; else end. */
static inline const uint8_t *hf_scan_plain(const uint8_t *at, const uint8_t *end, bool ascii_only)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);
    for (; end - at >= 16; at += 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(chunk, quote), _mm_cmpeq_epi8(chunk, slash));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_min_epu8(chunk, control), chunk));
        if (ascii_only)
            found = _mm_or_si128(found, chunk); /* the mask takes the top bit of each */
        int mask = _mm_movemask_epi8(found);
        if (mask != 0)
            return at + __builtin_ctz((unsigned)mask);
    }
#endif
    for (; at < end; at++) {
        if (*at < 0x20 || *at == '"' || *at == '\\' || (ascii_only && *at > 0x7f))
            break;
    }
    return at;
}

#endif
