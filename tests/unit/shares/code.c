/* The check code of share cards: the generator made again from its definition, and what it finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "shares/code.h"

/* GF(32) = GF(2)[t]/(t^5 + t^3 + 1); GF(1024) = GF(32)[y]/(y^2 + y + 1), an element a0 + a1 y as a0 | a1 << 5. */
static unsigned mul32(unsigned a, unsigned b)
{
    unsigned r = 0;
    for (unsigned i = 0; i < 5; i++)
        if (b >> i & 1)
            r ^= a << i;
    for (int i = 9; i >= 5; i--)
        if (r >> i & 1)
            r ^= 0x29u << (i - 5);
    return r;
}

static unsigned mul1024(unsigned a, unsigned b)
{
    unsigned high = mul32(a >> 5, b >> 5);
    unsigned low = mul32(a & 31, b & 31) ^ high;
    unsigned middle = mul32(a & 31, b >> 5) ^ mul32(a >> 5, b & 31) ^ high;
    return low | middle << 5;
}

static unsigned power1024(unsigned a, unsigned n)
{
    unsigned r = 1;
    while (n-- > 0)
        r = mul1024(r, a);
    return r;
}

static const unsigned alpha = 34;

static void alpha_is_primitive(void **state)
{
    (void)state;
    assert_int_equal(power1024(alpha, 1023), 1);
    assert_int_not_equal(power1024(alpha, 1023 / 3), 1);
    assert_int_not_equal(power1024(alpha, 1023 / 11), 1);
    assert_int_not_equal(power1024(alpha, 1023 / 31), 1);
}

/* Any word whose symbols are a multiple of the generator is zero at alpha^-2..alpha^2: five powers in a row, so the
 * distance is at least six (the BCH bound). A difference of two good words is such a multiple. */
static void good_words_differ_by_multiples_of_the_generator(void **state)
{
    (void)state;
    srand(7);
    for (unsigned round = 0; round < 50; round++) {
        uint8_t word[2][130];
        for (unsigned w = 0; w < 2; w++) {
            uint64_t remainder = HF_CODE_START;
            for (size_t i = 0; i < 121; i++) {
                word[w][i] = (uint8_t)(rand() & 31);
                remainder = hf_code_step(remainder, word[w][i]);
            }
            hf_code_check(remainder, word[w] + 121);
            remainder = HF_CODE_START;
            for (size_t i = 0; i < sizeof(word[w]); i++)
                remainder = hf_code_step(remainder, word[w][i]);
            assert_true(hf_code_holds(remainder));
        }
        for (unsigned e = 1021; e <= 1025; e++) {
            unsigned root = power1024(alpha, e % 1023);
            unsigned value = 0;
            for (size_t i = 0; i < sizeof(word[0]); i++)
                value = mul1024(value, root) ^ word[0][i] ^ word[1][i];
            assert_int_equal(value, 0);
        }
    }
}

static void characters_map_both_ways(void **state)
{
    (void)state;
    bool seen[256] = {false};
    for (uint8_t symbol = 0; symbol < 32; symbol++) {
        char c = hf_code_char(symbol);
        assert_false(seen[(uint8_t)c]);
        seen[(uint8_t)c] = true;
        assert_int_equal(hf_code_symbol(c), symbol);
        if (c >= 'a' && c <= 'z') {
            char upper = (char)(c - 32);
            seen[(uint8_t)upper] = true;
            assert_int_equal(hf_code_symbol(upper), symbol);
        }
    }
    unsigned others = 0;
    for (unsigned c = 0; c < 256; c++) {
        if (!seen[c]) {
            assert_int_equal(hf_code_symbol((char)c), HF_CODE_BAD_SYMBOL);
            others++;
        }
    }
    assert_int_equal(others, 256 - 32 - 23); /* 23 letters in two cases, 9 digits */
    assert_false(seen['1'] || seen['b'] || seen['i'] || seen['o']);
}

static void up_to_four_errors_are_found_and_one_is_located(void **state)
{
    (void)state;
    enum { COUNT = 125 };
    uint8_t word[COUNT];
    uint64_t remainder = HF_CODE_START;
    srand(11);
    for (size_t i = 0; i < COUNT - HF_CODE_CHECK_SYMBOLS; i++) {
        word[i] = (uint8_t)(rand() & 31);
        remainder = hf_code_step(remainder, word[i]);
    }
    hf_code_check(remainder, word + COUNT - HF_CODE_CHECK_SYMBOLS);
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t bad[COUNT];
        memcpy(bad, word, sizeof(bad));
        unsigned errors = 1 + round % 4;
        size_t at[4];
        for (unsigned e = 0; e < errors; e++) {
            bool fresh;
            do {
                at[e] = (size_t)rand() % COUNT;
                fresh = true;
                for (unsigned f = 0; f < e; f++)
                    fresh = fresh && at[f] != at[e];
            } while (!fresh);
            bad[at[e]] ^= (uint8_t)(1 + rand() % 31);
        }
        remainder = HF_CODE_START;
        for (size_t i = 0; i < COUNT; i++)
            remainder = hf_code_step(remainder, bad[i]);
        assert_false(hf_code_holds(remainder));
        size_t where = COUNT;
        assert_int_equal(hf_code_locate(remainder, COUNT, &where), errors == 1);
        if (errors == 1)
            assert_int_equal(where, at[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alpha_is_primitive),
        cmocka_unit_test(good_words_differ_by_multiples_of_the_generator),
        cmocka_unit_test(characters_map_both_ways),
        cmocka_unit_test(up_to_four_errors_are_found_and_one_is_located),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
