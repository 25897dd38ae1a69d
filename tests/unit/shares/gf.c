/* GF(2^8): every product against the definition, and inverses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "shares/gf.h"

/* The definition: multiply as polynomials over GF(2), then reduce by 0x11B. */
static uint8_t product_by_definition(unsigned a, unsigned b)
{
    unsigned long product = 0;
    for (unsigned i = 0; i < 8; i++)
        if (b >> i & 1)
            product ^= (unsigned long)a << i;
    for (int i = 15; i >= 8; i--)
        if (product >> i & 1)
            product ^= 0x11BUL << (i - 8);
    return (uint8_t)product;
}

static void every_product_is_right(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            assert_int_equal(hf_gf_mul((uint8_t)a, (uint8_t)b), product_by_definition(a, b));
    /* FIPS 197 section 4.2: {57} . {83} = {c1} */
    assert_int_equal(hf_gf_mul(0x57, 0x83), 0xc1);
}

static void every_inverse_is_right(void **state)
{
    (void)state;
    assert_int_equal(hf_gf_inv(0), 0);
    for (unsigned a = 1; a < 256; a++)
        assert_int_equal(hf_gf_mul((uint8_t)a, hf_gf_inv((uint8_t)a)), 1);
}

static void scaling_reaches_each_byte_and_no_other(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 67; len++) {
        for (unsigned by = 0; by < 256; by += 5) {
            uint8_t sum[72], bytes[72], expected[72];
            for (size_t i = 0; i < sizeof(sum); i++) {
                sum[i] = (uint8_t)(i * 37 + len);
                bytes[i] = (uint8_t)(i * 101 + by);
                expected[i] = i < len ? (uint8_t)(sum[i] ^ product_by_definition(bytes[i], by)) : sum[i];
            }
            hf_gf_add_scaled(sum, bytes, len, (uint8_t)by);
            assert_memory_equal(sum, expected, sizeof(sum));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_product_is_right),
        cmocka_unit_test(every_inverse_is_right),
        cmocka_unit_test(scaling_reaches_each_byte_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
