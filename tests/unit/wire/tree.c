/* The value tree: what is written reads back, what is malformed is refused. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "wire/tree.h"

static uint8_t memory[65536];

static struct hf_tree opened(const struct hf_buf *out)
{
    struct hf_tree tree;
    assert_int_equal(hf_buf_ok(out).code, HF_OK);
    assert_int_equal(hf_tree_open(hf_buf_cursor(out), &tree).code, HF_OK);
    return tree;
}

static void every_kind_reads_back(void **state)
{
    (void)state;
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_tw_map(&w);
    hf_tw_k_text(&w, "text", "h\xc3\xa4");
    hf_tw_k_int(&w, "least", INT64_MIN);
    hf_tw_k_bool(&w, "yes", true);
    hf_tw_k(&w, "nothing");
    hf_tw_null(&w);
    hf_tw_k(&w, "real");
    hf_tw_number(&w, hf_cursor_text("-0.1250"));
    hf_tw_k(&w, "cipher");
    hf_tw_cipher(&w, 7, hf_cursor("\x00\xff", 2));
    hf_tw_k(&w, "list");
    hf_tw_array(&w);
    for (int i = 0; i < 300; i++)
        hf_tw_int(&w, i);
    hf_tw_end(&w);
    hf_tw_k_bytes(&w, "bytes", hf_cursor("\x80\x00", 2));
    hf_tw_end(&w);

    struct hf_tree tree = opened(&out), item;
    assert_int_equal(tree.tag, HF_TREE_MAP);
    assert_int_equal(tree.count, 8);
    item = hf_tree_get(&tree, "text");
    assert_true(hf_cursor_is(item.body, "h\xc3\xa4"));
    assert_true(hf_tree_get(&tree, "least").number == INT64_MIN);
    assert_int_equal(hf_tree_get(&tree, "yes").tag, HF_TREE_TRUE);
    assert_int_equal(hf_tree_get(&tree, "nothing").tag, HF_TREE_NULL);
    assert_true(hf_tree_has(&tree, "nothing"));
    assert_false(hf_tree_has(&tree, "absent"));
    assert_int_equal(hf_tree_get(&tree, "absent").tag, HF_TREE_NULL);
    assert_int_equal(hf_tree_get(&tree, "real").tag, HF_TREE_NUMBER);
    assert_true(hf_cursor_is(hf_tree_get(&tree, "real").body, "-0.1250"));
    item = hf_tree_get(&tree, "cipher");
    assert_int_equal(item.tag, HF_TREE_CIPHER);
    assert_int_equal(item.count, 7);
    assert_memory_equal(item.body.at, "\x00\xff", 2);
    assert_memory_equal(hf_tree_get(&tree, "bytes").body.at, "\x80\x00", 2);
    item = hf_tree_get(&tree, "list");
    struct hf_tree_iter iter = hf_tree_iterate(&item);
    struct hf_tree number;
    int count = 0;
    while (hf_tree_next(&iter, NULL, &number))
        assert_int_equal(number.number, count++);
    assert_int_equal(count, 300);
}

static void a_copy_is_the_same_and_may_stand_inside(void **state)
{
    (void)state;
    static uint8_t other[4096];
    struct hf_buf out = hf_buf(memory, sizeof(memory)), copy = hf_buf(other, sizeof(other));
    struct hf_tree_writer w = hf_tree_writer(&out), c = hf_tree_writer(&copy);
    hf_tw_map(&w);
    hf_tw_k(&w, "a");
    hf_tw_array(&w);
    hf_tw_bool(&w, false);
    hf_tw_number(&w, hf_cursor_text("1.5"));
    hf_tw_map(&w);
    hf_tw_k_text(&w, "deep", "x");
    hf_tw_end(&w);
    hf_tw_end(&w);
    hf_tw_end(&w);
    struct hf_tree tree = opened(&out);
    hf_tw_map(&c);
    hf_tw_k(&c, "in");
    hf_tw_copy(&c, &tree);
    hf_tw_end(&c);
    struct hf_tree outer = opened(&copy), inner = hf_tree_get(&outer, "in");
    assert_int_equal(inner.tag, HF_TREE_MAP);
    assert_true(hf_cursor_same(inner.body, tree.body));
}

static void a_reserved_place_is_trimmed(void **state)
{
    (void)state;
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_tw_array(&w);
    uint8_t *place = hf_tw_bytes_reserve(&w, 100);
    memcpy(place, "abc", 3);
    hf_tw_trim(&w, 100, 3);
    place = hf_tw_cipher_reserve(&w, 2, 8);
    memcpy(place, "12345678", 8);
    hf_tw_trim(&w, 8, 8);
    place = hf_tw_text_reserve(&w, 4);
    hf_tw_trim(&w, 4, 0);
    hf_tw_end(&w);
    struct hf_tree tree = opened(&out), item;
    struct hf_tree_iter iter = hf_tree_iterate(&tree);
    assert_true(hf_tree_next(&iter, NULL, &item) && hf_cursor_is(item.body, "abc"));
    assert_true(hf_tree_next(&iter, NULL, &item) && hf_cursor_is(item.body, "12345678") && item.count == 2);
    assert_true(hf_tree_next(&iter, NULL, &item) && item.body.left == 0);
    assert_false(hf_tree_next(&iter, NULL, &item));
}

static void what_does_not_fit_is_said_once_at_the_end(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 40; cap++) {
        struct hf_buf out = hf_buf(memory, cap);
        struct hf_tree_writer w = hf_tree_writer(&out);
        memset(memory, 0xa5, 64);
        hf_tw_map(&w);
        hf_tw_k(&w, "k");
        hf_tw_array(&w);
        hf_tw_text(&w, hf_cursor("0123456789", 10));
        hf_tw_end(&w);
        hf_tw_end(&w);
        bool whole = cap >= 9 + 3 + 9 + 15;
        assert_int_equal(hf_buf_ok(&out).code, whole ? HF_OK : HF_TOO_LARGE);
        assert_int_equal(memory[cap], 0xa5);
    }
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    for (int i = 0; i <= HF_TREE_DEPTH_MAX; i++)
        hf_tw_array(&w);
    for (int i = 0; i <= HF_TREE_DEPTH_MAX; i++)
        hf_tw_end(&w);
    assert_int_equal(hf_buf_ok(&out).code, HF_TOO_LARGE);
    out = hf_buf(memory, sizeof(memory));
    w = hf_tree_writer(&out);
    hf_tw_map(&w);
    static const uint8_t key[HF_TREE_KEY_MAX + 1];
    hf_tw_key(&w, hf_cursor(key, sizeof(key)));
    assert_true(out.overflow);
}

static void every_truncation_and_stray_byte_is_refused(void **state)
{
    (void)state;
    static uint8_t copy[256];
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_tw_map(&w);
    hf_tw_k_text(&w, "t", "abc");
    hf_tw_k_int(&w, "i", 5);
    hf_tw_k(&w, "l");
    hf_tw_array(&w);
    hf_tw_null(&w);
    hf_tw_cipher(&w, 1, hf_cursor("z", 1));
    hf_tw_end(&w);
    hf_tw_end(&w);
    struct hf_tree tree = opened(&out);
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(hf_tree_open(hf_cursor(out.at, len), &tree).code, HF_BAD_REQUEST);
    memcpy(copy, out.at, out.len);
    copy[out.len] = 0;
    assert_int_equal(hf_tree_open(hf_cursor(copy, out.len + 1), &tree).code, HF_BAD_REQUEST);
    copy[0] = HF_TREE_TAG_COUNT;
    assert_int_equal(hf_tree_open(hf_cursor(copy, out.len), &tree).code, HF_BAD_REQUEST);
    /* text that is no UTF-8 */
    assert_int_equal(hf_tree_open(hf_cursor("\x05\x00\x00\x00\x02\xc3\x28", 7), &tree).code, HF_BAD_REQUEST);
    /* a count beyond the items */
    assert_int_equal(hf_tree_open(hf_cursor("\x07\x00\x00\x00\x01\x00\x00\x00\x02\x00", 10), &tree).code,
                     HF_BAD_REQUEST);
    /* a length beyond the end */
    assert_int_equal(hf_tree_open(hf_cursor("\x06\xff\xff\xff\xff", 5), &tree).code, HF_BAD_REQUEST);
}

static void nesting_has_a_bound(void **state)
{
    (void)state;
    for (unsigned depth = HF_TREE_DEPTH_MAX - 1; depth <= HF_TREE_DEPTH_MAX + 1; depth++) {
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        for (unsigned i = depth; i-- > 0;) {
            hf_buf_u8(&out, HF_TREE_ARRAY);
            hf_buf_u32(&out, i * 9);
            hf_buf_u32(&out, i == 0 ? 0 : 1);
        }
        struct hf_tree tree;
        assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code,
                         depth <= HF_TREE_DEPTH_MAX ? HF_OK : HF_BAD_REQUEST);
    }
}

static struct hf_tree number(const char *literal)
{
    return (struct hf_tree){.tag = HF_TREE_NUMBER, .body = hf_cursor_text(literal)};
}

static void a_literal_is_compared_and_taken_by_its_exact_value(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"1.5", "1.50", true},
        {"1.5", "15e-1", true},
        {"150E-2", "0.015e+2", true},
        {"-0", "0.0e9", true},
        {"1e2", "100.0", true},
        {"1.5", "-1.5", false},
        {"18446744073709551617", "18446744073709551616", false},
        {"0.1000000000000000055511151231257827", "0.1", false},
        {"1e999", "1e998", false},
        {"1e999", "10e998", true},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(pairs); i++) {
        struct hf_tree a = number(pairs[i].a), b = number(pairs[i].b);
        assert_int_equal(hf_tree_same_number(&a, &b), pairs[i].same);
        assert_int_equal(hf_tree_same_number(&b, &a), pairs[i].same);
    }
    struct hf_tree whole = {.tag = HF_TREE_INT, .number = -300}, literal = number("-3e2"), text = whole;
    text.tag = HF_TREE_TEXT;
    assert_true(hf_tree_same_number(&whole, &literal));
    assert_false(hf_tree_same_number(&text, &literal));

    static const struct {
        const char *literal;
        bool taken;
        int64_t value;
    } rows[] = {
        {"-9223372036854775808.0", true, INT64_MIN},
        {"9223372036854775807.00", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-92233720368547758080e-1", true, INT64_MIN},
        {"1e18", true, INT64_C(1000000000000000000)},
        {"1e19", false, 0},
        {"0e99999999999999999999", true, 0},
        {"1e99999999999999999999", false, 0},
        {"1e-99999999999999999999", false, 0},
        {"12.5e1", true, 125},
        {"12.5", false, 0},
        {"-0", true, 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        struct hf_tree_writer w = hf_tree_writer(&out);
        hf_tw_map(&w);
        hf_tw_k(&w, "n");
        hf_tw_number(&w, hf_cursor_text(rows[i].literal));
        hf_tw_end(&w);
        struct hf_tree t = opened(&out);
        int64_t n = 0;
        assert_int_equal(hf_tree_int(&t, "n", 7, &n).code, rows[i].taken ? HF_OK : HF_BAD_ARGUMENT);
        assert_true(!rows[i].taken || n == rows[i].value);
    }
}

static void what_is_no_literal_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "-",   ".5", "1.",  "01",  "+1",  "1e",   "1e+",
                                      "0x1", "NaN", "1 ", "1,2", "1\"", "--1", "1e2.5"};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        struct hf_tree tree;
        hf_buf_u8(&out, HF_TREE_NUMBER);
        hf_buf_u32(&out, (uint32_t)strlen(bad[i]));
        hf_buf_text(&out, bad[i]);
        assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code, HF_BAD_REQUEST);
        assert_false(hf_tree_number_valid(hf_cursor_text(bad[i])));
    }
    char longest[HF_TREE_NUMBER_MAX + 1];
    memset(longest, '7', sizeof(longest));
    assert_true(hf_tree_number_valid(hf_cursor(longest, HF_TREE_NUMBER_MAX)));
    assert_false(hf_tree_number_valid(hf_cursor(longest, sizeof(longest))));
}

static void fields_are_taken_as_clients_send_them(void **state)
{
    (void)state;
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_tw_map(&w);
    hf_tw_k_int(&w, "n", 12);
    hf_tw_k_text(&w, "tn", "-9223372036854775808");
    hf_tw_k_text(&w, "big", "9223372036854775808");
    hf_tw_k(&w, "whole");
    hf_tw_number(&w, hf_cursor_text("3.0"));
    hf_tw_k(&w, "part");
    hf_tw_number(&w, hf_cursor_text("3.5"));
    hf_tw_k_text(&w, "yes", "true");
    hf_tw_k_text(&w, "zero", "0");
    hf_tw_k_text(&w, "empty", "");
    hf_tw_k_text(&w, "span", "1h30m");
    hf_tw_k_int(&w, "neg", -1);
    hf_tw_k(&w, "null");
    hf_tw_null(&w);
    hf_tw_end(&w);
    struct hf_tree t = opened(&out);
    int64_t n = 0;
    bool b = false;
    struct hf_cursor text;
    assert_true(HF_IS_OK(hf_tree_int(&t, "n", 0, &n)) && n == 12);
    assert_true(HF_IS_OK(hf_tree_int(&t, "tn", 0, &n)) && n == INT64_MIN);
    assert_int_equal(hf_tree_int(&t, "big", 0, &n).code, HF_BAD_ARGUMENT);
    assert_true(HF_IS_OK(hf_tree_int(&t, "whole", 0, &n)) && n == 3);
    assert_int_equal(hf_tree_int(&t, "part", 0, &n).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_tree_int(&t, "yes", 0, &n).code, HF_BAD_ARGUMENT);
    assert_true(HF_IS_OK(hf_tree_int(&t, "absent", 9, &n)) && n == 9);
    assert_true(HF_IS_OK(hf_tree_int(&t, "null", 8, &n)) && n == 8);
    assert_true(HF_IS_OK(hf_tree_bool(&t, "yes", false, &b)) && b);
    assert_true(HF_IS_OK(hf_tree_bool(&t, "zero", true, &b)) && !b);
    assert_true(HF_IS_OK(hf_tree_bool(&t, "empty", true, &b)) && b);
    assert_int_equal(hf_tree_bool(&t, "n", true, &b).code, HF_BAD_ARGUMENT);
    assert_true(HF_IS_OK(hf_tree_text(&t, "span", &text)) && hf_cursor_is(text, "1h30m"));
    assert_true(HF_IS_OK(hf_tree_text(&t, "absent", &text)) && text.left == 0);
    assert_int_equal(hf_tree_text(&t, "n", &text).code, HF_BAD_ARGUMENT);
    assert_true(HF_IS_OK(hf_tree_duration(&t, "span", 0, &n)) && n == 5400 * HF_SECOND);
    assert_true(HF_IS_OK(hf_tree_duration(&t, "n", 0, &n)) && n == 12 * HF_SECOND);
    assert_int_equal(hf_tree_duration(&t, "neg", 0, &n).code, HF_BAD_ARGUMENT);
}

static void equal_keys_are_found_among_few_and_many(void **state)
{
    (void)state;
    static uint8_t big[200000];
    for (uint32_t count = 0; count <= HF_TREE_UNIQUE_MAX; count = count < 20 ? count + 1 : count * 4) {
        for (int twice = 0; twice <= 1; twice++) {
            struct hf_buf out = hf_buf(big, sizeof(big));
            for (uint32_t i = 0; i < count; i++) {
                uint32_t name = twice && i == count - 1 ? count / 3 : i;
                hf_buf_u16(&out, 4);
                hf_buf_u32(&out, name * 2654435761U);
                hf_buf_u8(&out, HF_TREE_NULL);
            }
            bool unique = !twice || count < 2;
            assert_int_equal(hf_tree_keys_unique(hf_buf_cursor(&out), count), unique);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_reads_back),
        cmocka_unit_test(a_copy_is_the_same_and_may_stand_inside),
        cmocka_unit_test(a_reserved_place_is_trimmed),
        cmocka_unit_test(what_does_not_fit_is_said_once_at_the_end),
        cmocka_unit_test(every_truncation_and_stray_byte_is_refused),
        cmocka_unit_test(nesting_has_a_bound),
        cmocka_unit_test(a_literal_is_compared_and_taken_by_its_exact_value),
        cmocka_unit_test(what_is_no_literal_is_refused),
        cmocka_unit_test(fields_are_taken_as_clients_send_them),
        cmocka_unit_test(equal_keys_are_found_among_few_and_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
