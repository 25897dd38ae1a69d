/* JSON to the value tree and back: what RFC 8259 allows is taken, all else refused at the right byte. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "wire/json.h"

static uint8_t memory[1 << 20], text[1 << 20];

static hf_result parse(struct hf_cursor json, struct hf_tree *ret_tree, size_t *ret_at)
{
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    TRY(hf_json_to_tree(json, &w, ret_at));
    return hf_tree_open(hf_buf_cursor(&out), ret_tree);
}

static void becomes(const char *json, const char *wanted)
{
    struct hf_tree tree;
    struct hf_buf out = hf_buf(text, sizeof(text));
    assert_int_equal(parse(hf_cursor_text(json), &tree, NULL).code, HF_OK);
    hf_tree_to_json(&tree, &out);
    assert_true(out.len <= hf_tree_json_max(&tree));
    assert_true(out.len < sizeof(text));
    text[out.len] = 0;
    assert_string_equal((const char *)text, wanted);
}

static void refused(const char *json, size_t len, size_t at)
{
    struct hf_tree tree;
    size_t found = SIZE_MAX;
    hf_result result = parse(hf_cursor(json, len), &tree, &found);
    if (result.code != HF_BAD_REQUEST || (at != SIZE_MAX && found != at))
        print_error("%.*s: %s at %zu\n", (int)len, json, hf_code_name(result.code), found);
    assert_int_equal(result.code, HF_BAD_REQUEST);
    if (at != SIZE_MAX)
        assert_int_equal(found, at);
}
#define REFUSED(json, at) refused((json), sizeof(json) - 1, (at))

static void values_come_back(void **state)
{
    (void)state;
    becomes("null", "null");
    becomes(" [ true , false,null ] ", "[true,false,null]");
    becomes("{\"a\":{\"b\":[]},\"c\":{}}", "{\"a\":{\"b\":[]},\"c\":{}}");
    becomes("9223372036854775807", "9223372036854775807");
    becomes("-9223372036854775808", "-9223372036854775808");
    /* what no integer gives back stays as it was written */
    static const char *const kept[] = {"9223372036854775808",
                                       "18446744073709551617",
                                       "-9223372036854775809",
                                       "-0",
                                       "1.0",
                                       "0.1",
                                       "1.10",
                                       "1e2",
                                       "1E+300",
                                       "5e-324",
                                       "1e999",
                                       "123456789012345678901234567890",
                                       "0.1000000000000000055511151231257827"};
    for (size_t i = 0; i < HF_ARRAY_LEN(kept); i++)
        becomes(kept[i], kept[i]);
}

static void strings_come_back(void **state)
{
    (void)state;
    becomes("\"\"", "\"\"");
    becomes("\"0123456789abcdef0123456789abcdef0123456789==\"",
            "\"0123456789abcdef0123456789abcdef0123456789==\"");
    becomes("\"\\u0041\\n\\/\\\\\\\"\\u0000\"", "\"A\\n/\\\\\\\"\\u0000\"");
    becomes("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"");
    becomes("\"\xe2\x82\xac\xc3\xa4 plain after\"", "\"\xe2\x82\xac\xc3\xa4 plain after\"");
    becomes("\"0123456789abcde\\u00e40123456789abcdef\"", "\"0123456789abcde\xc3\xa4"
                                                          "0123456789abcdef\"");
    becomes("{\"k\\u0065y\":1}", "{\"key\":1}");
    becomes("\"\\u001f\x7f\"", "\"\\u001f\x7f\"");
}

static void bad_syntax_is_refused_where_it_stands(void **state)
{
    (void)state;
    REFUSED("", 0);
    REFUSED("  ", 2);
    REFUSED("{", 1);
    REFUSED("[1,]", 3);
    REFUSED("[1 2]", 3);
    REFUSED("{\"a\":1,}", 7);
    REFUSED("{\"a\" 1}", 5);
    REFUSED("{a:1}", 1);
    REFUSED("{\"a\":1}x", 7);
    REFUSED("[1]]", 3);
    REFUSED("[1}", 2);
    REFUSED("{\"a\":1]", 6);
    REFUSED("tru", 0);
    REFUSED("nul", 0);
    REFUSED("True", 0);
    REFUSED("01", 1);
    REFUSED("1.", 2);
    REFUSED(".5", 0);
    REFUSED("+1", 0);
    REFUSED("-", SIZE_MAX);
    REFUSED("1e", 2);
    REFUSED("0x10", 1);
    REFUSED("NaN", 0);
    REFUSED("'a'", 0);
    REFUSED("\"a", 2);
    REFUSED("\"a\\\"", SIZE_MAX);
    REFUSED("\"\\x41\"", 2);
    REFUSED("\"\\u12g4\"", SIZE_MAX);
    REFUSED("\"a\nb\"", 2);
    REFUSED("\"a\0b\"", 2);
    REFUSED("/* c */1", 0);
    REFUSED("\xef\xbb\xbf{}", 0);
}

static void text_must_be_unicode(void **state)
{
    (void)state;
    REFUSED("\"\\ud800\"", SIZE_MAX);
    REFUSED("\"\\ud800\\u0041\"", SIZE_MAX);
    REFUSED("\"\\udc00\"", SIZE_MAX);
    REFUSED("\"\xff\"", SIZE_MAX);
    REFUSED("\"\xc0\xaf\"", SIZE_MAX);
    REFUSED("\"\xed\xa0\x80\"", SIZE_MAX);
    REFUSED("\"\xf4\x90\x80\x80\"", SIZE_MAX);
    REFUSED("\"plain then cut \xe2\x82\"", SIZE_MAX);
    REFUSED("{\"\xff\":1}", SIZE_MAX);
}

static void a_member_may_stand_once(void **state)
{
    (void)state;
    REFUSED("{\"a\":1,\"b\":2,\"a\":3}", 18);
    REFUSED("{\"a\":1,\"\\u0061\":2}", SIZE_MAX);
    REFUSED("{\"x\":{\"a\":1,\"a\":1}}", SIZE_MAX);
    becomes("[{\"a\":1},{\"a\":1}]", "[{\"a\":1},{\"a\":1}]");
    static char many[40000];
    size_t len = 0;
    len += (size_t)snprintf(many, sizeof(many), "{");
    for (int i = 0; i < 3000; i++)
        len += (size_t)snprintf(many + len, sizeof(many) - len, "\"k%d\":0,", i);
    size_t before = len;
    len += (size_t)snprintf(many + len, sizeof(many) - len, "\"k3000\":0}");
    struct hf_tree tree;
    assert_int_equal(parse(hf_cursor(many, len), &tree, NULL).code, HF_OK);
    assert_int_equal(tree.count, 3001);
    len = before + (size_t)snprintf(many + before, sizeof(many) - before, "\"k17\":0}");
    assert_int_equal(parse(hf_cursor(many, len), &tree, NULL).code, HF_BAD_REQUEST);
}

static void depth_and_room_are_bounded(void **state)
{
    (void)state;
    char nested[2 * (HF_TREE_DEPTH_MAX + 1)];
    struct hf_tree tree;
    for (size_t depth = HF_TREE_DEPTH_MAX; depth <= HF_TREE_DEPTH_MAX + 1; depth++) {
        memset(nested, '[', depth);
        memset(nested + depth, ']', depth);
        assert_int_equal(parse(hf_cursor(nested, 2 * depth), &tree, NULL).code,
                         depth == HF_TREE_DEPTH_MAX ? HF_OK : HF_TOO_LARGE);
    }
    static const char json[] = "{\"a\":[1,\"\\u00e4bc\",{\"b\":\"0123456789\"}]}";
    for (size_t cap = 0; cap < 80; cap++) {
        struct hf_buf out = hf_buf(memory, cap);
        struct hf_tree_writer w = hf_tree_writer(&out);
        hf_result result = hf_json_to_tree(hf_cursor_text(json), &w, NULL);
        assert_true(HF_IS_OK(result) ? out.len <= cap && !out.overflow : result.code == HF_TOO_LARGE);
    }
}

static void members_join_an_open_map(void **state)
{
    (void)state;
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_tree tree;
    hf_tw_map(&w);
    hf_tw_k_text(&w, "from", "query");
    assert_int_equal(hf_json_members(hf_cursor_text(" {\"a\":{\"from\":1}} "), &w, NULL).code, HF_OK);
    hf_tw_k_int(&w, "after", 1);
    hf_tw_end(&w);
    assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code, HF_OK);
    assert_int_equal(tree.count, 3);
    assert_int_equal(hf_tree_get(&tree, "a").tag, HF_TREE_MAP);
    static const struct {
        const char *json;
        enum hf_code code;
    } bad[] = {{"{\"from\":1}", HF_BAD_REQUEST}, {"[]", HF_BAD_ARGUMENT},  {"\"x\"", HF_BAD_ARGUMENT},
               {"12", HF_BAD_ARGUMENT},          {"{}{}", HF_BAD_REQUEST}, {"}", HF_BAD_REQUEST}};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        out = hf_buf(memory, sizeof(memory));
        w = hf_tree_writer(&out);
        hf_tw_map(&w);
        hf_tw_k_text(&w, "from", "query");
        assert_int_equal(hf_json_members(hf_cursor_text(bad[i].json), &w, NULL).code, bad[i].code);
    }
}

static void bytes_and_ciphertexts_are_base64(void **state)
{
    (void)state;
    struct hf_buf out = hf_buf(memory, sizeof(memory)), json = hf_buf(text, sizeof(text));
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_tree tree;
    hf_tw_array(&w);
    hf_tw_bytes(&w, hf_cursor("\x00\x01\xfe\xff", 4));
    hf_tw_cipher(&w, 4294967295U, hf_cursor("abc", 3));
    hf_tw_null(&w);
    hf_tw_end(&w);
    assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code, HF_OK);
    hf_tree_to_json(&tree, &json);
    assert_true(json.len <= hf_tree_json_max(&tree));
    assert_true(hf_cursor_is(hf_buf_cursor(&json), "[\"AAH+/w==\",\"vault:v4294967295:YWJj\",null]"));
}

static void the_bound_holds_for_the_worst_text(void **state)
{
    (void)state;
    static uint8_t controls[5000];
    for (size_t len = 0; len < sizeof(controls); len += 999) {
        struct hf_buf out = hf_buf(memory, sizeof(memory)), json = hf_buf(text, sizeof(text));
        struct hf_tree_writer w = hf_tree_writer(&out);
        struct hf_tree tree;
        memset(controls, 1, sizeof(controls));
        hf_tw_map(&w);
        hf_tw_k_slice(&w, "\x01\x01", hf_cursor(controls, len));
        hf_tw_end(&w);
        assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code, HF_OK);
        hf_tree_to_json(&tree, &json);
        assert_true(json.len <= hf_tree_json_max(&tree));
        assert_int_equal(json.len, 2 + 12 + 2 + 1 + 2 + 6 * len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(strings_come_back),
        cmocka_unit_test(bad_syntax_is_refused_where_it_stands),
        cmocka_unit_test(text_must_be_unicode),
        cmocka_unit_test(a_member_may_stand_once),
        cmocka_unit_test(depth_and_room_are_bounded),
        cmocka_unit_test(members_join_an_open_map),
        cmocka_unit_test(bytes_and_ciphertexts_are_base64),
        cmocka_unit_test(the_bound_holds_for_the_worst_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
