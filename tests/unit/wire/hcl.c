/* HCL: policies and configuration as people write them; mistakes are named with line and column. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/hcl.h"
#include "wire/json.h"

static uint8_t memory[1 << 20], text[1 << 20];

static void becomes(const char *hcl, const char *wanted)
{
    struct hf_buf out = hf_buf(memory, sizeof(memory)), json = hf_buf(text, sizeof(text) - 1);
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_tree tree;
    struct hf_hcl_error error;
    hf_result result = hf_hcl_to_tree(hf_cursor_text(hcl), &w, &error);
    if (!HF_IS_OK(result))
        print_error("%s: %u:%u %s\n", hcl, error.line, error.column, error.reason);
    assert_int_equal(result.code, HF_OK);
    assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code, HF_OK);
    hf_tree_to_json(&tree, &json);
    text[json.len] = 0;
    assert_string_equal((const char *)text, wanted);
}

static void refused(const char *hcl, unsigned line, unsigned column, const char *reason)
{
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_hcl_error error;
    assert_int_equal(hf_hcl_to_tree(hf_cursor_text(hcl), &w, &error).code, HF_BAD_ARGUMENT);
    assert_string_equal(error.reason, reason);
    assert_int_equal(error.line, line);
    assert_int_equal(error.column, column);
}

static void a_policy_is_read(void **state)
{
    (void)state;
    becomes(
        "# what the app may\n"
        "path \"transit/encrypt/*\" {\n"
        "  capabilities = [\"update\", \"create\",]\n"
        "  allowed_parameters = {\n"
        "    \"plaintext\" = []\n"
        "    type = [\"a\", \"b\"], \"*\" = []\n"
        "  }\n"
        "}\n"
        "name = \"x\" // trailing\n"
        "path \"sys/+/x\" { policy = \"read\" }\n",
        "{\"path\":[{\"transit/encrypt/*\":{\"capabilities\":[\"update\",\"create\"],\"allowed_parameters\":"
        "{\"plaintext\":[],\"type\":[\"a\",\"b\"],\"*\":[]}}},{\"sys/+/x\":{\"policy\":\"read\"}}],"
        "\"name\":\"x\"}");
    becomes("path \"a\" {} path \"b\" {}", "{\"path\":[{\"a\":{}},{\"b\":{}}]}");
    becomes("path \"a\"\n{\n}\n", "{\"path\":[{\"a\":{}}]}");
    becomes("", "{}");
    becomes("\n\n/* only\n this */", "{}");
}

static void a_configuration_is_read(void **state)
{
    (void)state;
    becomes(
        "listener \"tcp\" {\n address = \"0.0.0.0:8200\"\n tls { cert = \"/a\" }\n tls { cert = \"/b\" }\n}\n"
        "store { path = \"/var\" }\n"
        "listener \"tcp\" \"second\" { address = \"[::1]:1\" }\n"
        "level = \"standard\"\nfronts = 2\nratio = 0.5\nneg = -3\nhex = 0x1F\noct = 0750\nexp = 1e3\nyes = true",
        "{\"listener\":[{\"tcp\":{\"address\":\"0.0.0.0:8200\",\"tls\":[{\"cert\":\"/a\"},{\"cert\":\"/b\"}]}},"
        "{\"tcp\":{\"second\":{\"address\":\"[::1]:1\"}}}],\"store\":[{\"path\":\"/var\"}],"
        "\"level\":\"standard\",\"fronts\":2,\"ratio\":0.5,\"neg\":-3,\"hex\":31,\"oct\":488,\"exp\":1e3,"
        "\"yes\":true}");
}

static void strings_and_heredocs(void **state)
{
    (void)state;
    becomes("a = \"q\\\"\\\\\\n\\t\\u00e4\\U0001F600\\x41\\101\"",
            "{\"a\":\"q\\\"\\\\\\n\\t\xc3\xa4\xf0\x9f\x98\x80"
            "AA\"}");
    becomes("a = <<EOF\n one\n\n two\nEOF\nb = 1", "{\"a\":\" one\\n\\n two\\n\",\"b\":1}");
    becomes("a = <<-EOF\n    one\n      two\n    EOF\n", "{\"a\":\"one\\n  two\\n\"}");
    becomes("a = <<EOF\nEOF", "{\"a\":\"\"}");
    becomes("a = [<<X\ny\nX\n, 2]", "{\"a\":[\"y\\n\",2]}");
    becomes("a = \"{{identity.entity.id}} ${x}\"", "{\"a\":\"{{identity.entity.id}} ${x}\"}");
    becomes("a = \"\xc3\xa4\"", "{\"a\":\"\xc3\xa4\"}");
}

static void in_braces_white_space_parts_attributes(void **state)
{
    (void)state;
    becomes("path \"a\" { capabilities=[\"read\"] denied_parameters={} min_wrapping_ttl=1 \"x\" = true }",
            "{\"path\":[{\"a\":{\"capabilities\":[\"read\"],\"denied_parameters\":{},\"min_wrapping_ttl\":1,"
            "\"x\":true}}]}");
    becomes("a { x = 1 b \"c\" { } y = \"2\" z = 3, w = 4\n}\n",
            "{\"a\":[{\"x\":1,\"b\":[{\"c\":{}}],\"y\":\"2\",\"z\":3,\"w\":4}]}");
    becomes("m = { \"k\" = [] l = [1] }", "{\"m\":{\"k\":[],\"l\":[1]}}");
    refused("a { x = [1]y = 2 }", 1, 12, "the end of the line is expected");
    refused("a { x = 1 5 }", 1, 11, "the end of the line is expected");
    refused("a { x = 1 x = 2 }", 1, 11, "set twice: x");
}

static void json_is_taken_too(void **state)
{
    (void)state;
    becomes("  {\"path\":{\"a\":{\"capabilities\":[\"read\"]}}}",
            "{\"path\":{\"a\":{\"capabilities\":[\"read\"]}}}");
    refused("{\n \"a\": 1,\n \"b\" 2}", 3, 6, "malformed JSON, or a name that stands twice");
}

static void mistakes_are_named_where_they_stand(void **state)
{
    (void)state;
    refused("a = 1\nb = 2\na = 3\n", 3, 1, "set twice: a");
    refused("a = 1\na { }\n", 2, 1, "set twice: a");
    refused("a { }\na = 1\n", 2, 1, "set twice: a");
    refused("x {\n  a = 1\n  a = 2\n}", 3, 3, "set twice: a");
    refused("a = \"open\nb = 1", 1, 5, "string is not closed on its line");
    refused("path \"x\" {\n  a = 1\n", 3, 1, "} is missing");
    refused("a = [1, 2\n", 1, 5, "list is not closed");
    refused("a = [1 2]", 1, 8, "a comma or ] is expected");
    refused("a = 1 b = 2", 1, 7, "the end of the line is expected");
    refused("a = bogus", 1, 5, "a value is expected: bogus");
    refused("a = 12x", 1, 5, "malformed number: 12x");
    refused("a = 99999999999999999999", 1, 5, "number is too large: 99999999999999999999");
    refused("a = \"\\q\"", 1, 6, "unknown escape");
    refused("a = \"\\ud800\"", 1, 6, "escape is no Unicode character");
    refused("= 1", 1, 1, "a name is expected");
    refused("path 5 {}", 1, 6, "= or { is expected");
    refused("/* open", 1, 1, "comment is not closed");
    refused("a = <<EOF\nx\n", 1, 5, "heredoc is not closed: EOF");
    refused("}", 1, 1, "a name is expected");
    refused("a = \"\xff\"", 1, 1, "the text is not UTF-8");
}

static void nesting_and_counts_are_bounded(void **state)
{
    (void)state;
    static char deep[4096];
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    struct hf_tree_writer w = hf_tree_writer(&out);
    for (unsigned depth = 1; depth < 300; depth++) {
        struct hf_buf hcl = hf_buf(deep, sizeof(deep));
        hf_buf_text(&hcl, "a = ");
        for (unsigned i = 0; i < depth; i++)
            hf_buf_u8(&hcl, '[');
        for (unsigned i = 0; i < depth; i++)
            hf_buf_u8(&hcl, ']');
        out.len = 0;
        out.overflow = false;
        w = hf_tree_writer(&out);
        hf_result result = hf_hcl_to_tree(hf_buf_cursor(&hcl), &w, NULL);
        assert_int_equal(HF_IS_OK(result), depth < HF_TREE_DEPTH_MAX);
    }
    struct hf_buf hcl = hf_buf(deep, sizeof(deep));
    for (unsigned i = 0; i < 40; i++) {
        hf_buf_text(&hcl, "t");
        hf_buf_decimal(&hcl, i);
        hf_buf_text(&hcl, " {}\n");
    }
    out = hf_buf(memory, sizeof(memory));
    w = hf_tree_writer(&out);
    assert_int_equal(hf_hcl_to_tree(hf_buf_cursor(&hcl), &w, NULL).code, HF_BAD_ARGUMENT);
    for (size_t cap = 0; cap < 60; cap++) {
        out = hf_buf(memory, cap);
        w = hf_tree_writer(&out);
        hf_result result = hf_hcl_to_tree(hf_cursor_text("a \"b\" { c = [\"d\", \"\\u00e4\"] }"), &w, NULL);
        assert_true(HF_IS_OK(result) ? !out.overflow : result.code == HF_TOO_LARGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_read),
        cmocka_unit_test(a_configuration_is_read),
        cmocka_unit_test(strings_and_heredocs),
        cmocka_unit_test(in_braces_white_space_parts_attributes),
        cmocka_unit_test(json_is_taken_too),
        cmocka_unit_test(mistakes_are_named_where_they_stand),
        cmocka_unit_test(nesting_and_counts_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
