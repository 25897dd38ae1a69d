#include "shares/code.h"

static const char alphabet[32] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* The generator x^9 + 5x^8 + 5x^7 + 13x^6 + 28x^5 + 28x^4 + 13x^3 + 5x^2 + 5x + 1 times 1, 2, 4, 8, 16, without its
 * highest term, five bits to a coefficient. GF(32) is GF(2)[t]/(t^5 + t^3 + 1). */
static const uint64_t generator[5] = {0x52b79c694a1, 0xa56a31d2942, 0x14a756bed284, 0x10ced698428,
                                      0x213ca578850};
/* What the remainder of a whole word is: not 0, so that a row of equal characters is no card. */
static const uint64_t word = 0x0d4f6c0a9b37;

enum { SYMBOL_BITS = 5, HIGH_SHIFT = SYMBOL_BITS * (HF_CODE_CHECK_SYMBOLS - 1) };
static const uint64_t low_mask = (UINT64_C(1) << HIGH_SHIFT) - 1;

/* 0xff where a equals b, else 0; both below 256. */
static inline uint8_t same(unsigned a, unsigned b)
{
    unsigned differ = a ^ b;
    __asm__ volatile("" : "+r"(differ));
    return (uint8_t)((differ - 1) >> 8);
}

char hf_code_char(uint8_t symbol)
{
    uint8_t c = 0;
    for (unsigned i = 0; i < sizeof(alphabet); i++)
        c |= same(i, symbol) & (uint8_t)alphabet[i];
    return (char)c;
}

uint8_t hf_code_symbol(char c)
{
    /* letters to lower case: 'A'..'Z' has bit 0x40 and not 0x20; digits have 0x20 already */
    uint8_t lower = (uint8_t)c | (uint8_t)(((uint8_t)c & 0x40) >> 1);
    uint8_t symbol = 0;
    uint8_t found = 0;
    for (unsigned i = 0; i < sizeof(alphabet); i++) {
        uint8_t hit = same((uint8_t)alphabet[i], lower);
        symbol |= hit & (uint8_t)i;
        found |= hit;
    }
    return (uint8_t)(symbol | (uint8_t)~found);
}

uint64_t hf_code_step(uint64_t remainder, uint8_t symbol)
{
    uint64_t high = remainder >> HIGH_SHIFT;
    remainder = ((remainder & low_mask) << SYMBOL_BITS) ^ symbol;
    for (unsigned bit = 0; bit < SYMBOL_BITS; bit++) {
        uint64_t mask = 0 - ((high >> bit) & 1);
        __asm__ volatile("" : "+r"(mask));
        remainder ^= generator[bit] & mask;
    }
    return remainder;
}

void hf_code_check(uint64_t remainder, uint8_t ret_check[HF_CODE_CHECK_SYMBOLS])
{
    for (unsigned i = 0; i < HF_CODE_CHECK_SYMBOLS; i++)
        remainder = hf_code_step(remainder, 0);
    remainder ^= word;
    for (unsigned i = 0; i < HF_CODE_CHECK_SYMBOLS; i++)
        ret_check[i] = (uint8_t)(remainder >> (SYMBOL_BITS * (HF_CODE_CHECK_SYMBOLS - 1 - i))) & 31;
}

bool hf_code_holds(uint64_t remainder)
{
    return remainder == word;
}

bool hf_code_locate(uint64_t remainder, size_t count, size_t *ret_at)
{
    /* A single error e at a distance p from the end leaves e * x^p: the code is linear in what is wrong. Distance 6
     * means that what up to four errors leave is never taken for one. */
    uint64_t error = remainder ^ word;
    for (uint8_t e = 1; e < 32; e++) {
        uint64_t left = e;
        for (size_t p = 0; p < count; p++) {
            if (left == error) {
                *ret_at = count - 1 - p;
                return true;
            }
            left = hf_code_step(left, 0);
        }
    }
    return false;
}
