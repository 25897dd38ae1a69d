/* The policy language: which rule speaks for a path, what it grants, what parameters it accepts, what is refused with
 * which words. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "policy/acl.h"
#include "wire/hcl.h"

enum {
    C = HF_CAP_CREATE,
    R = HF_CAP_READ,
    U = HF_CAP_UPDATE,
    D = HF_CAP_DELETE,
    L = HF_CAP_LIST,
    S = HF_CAP_SUDO,
    X = HF_CAP_DENY,
    P = HF_CAP_PATCH,
    NOTHING = 0,
};

static struct hf_acl *compile(const char *const *texts, size_t count)
{
    struct hf_acl_doc *docs[8] = {0};
    struct hf_acl *acl = NULL;
    char reason[HF_POLICY_REASON_MAX];
    assert_true(count <= HF_ARRAY_LEN(docs));
    for (size_t i = 0; i < count; i++) {
        hf_result parsed = hf_acl_doc_parse(hf_cursor_text(texts[i]), reason, sizeof(reason), &docs[i]);
        if (!HF_IS_OK(parsed))
            fail_msg("policy refused: %s\n%s", reason, texts[i]);
    }
    assert_int_equal(hf_acl_compile(docs, count, &acl).code, HF_OK);
    for (size_t i = 0; i < count; i++)
        hf_acl_doc_free(docs[i]); /* the matcher keeps what it needs */
    return acl;
}

static struct hf_acl *compile_one(const char *text)
{
    return compile(&text, 1);
}

static uint32_t caps_on(const struct hf_acl *acl, const char *path)
{
    const struct hf_acl_entry *entry = hf_acl_match(acl, hf_cursor_text(path), true);
    return entry == NULL ? 0 : entry->caps;
}

struct want {
    const char *path;
    uint32_t caps;
};

static void check(const char *text, const struct want *want, size_t count)
{
    struct hf_acl *acl = compile_one(text);
    for (size_t i = 0; i < count; i++) {
        uint32_t caps = caps_on(acl, want[i].path);
        if (caps != want[i].caps)
            fail_msg("%s: got %u, want %u", want[i].path, caps, want[i].caps);
    }
    hf_acl_free(acl);
}
#define CHECK(text, ...)                                                                                     \
    check((text), (const struct want[]){__VA_ARGS__}, HF_ARRAY_LEN(((const struct want[]){__VA_ARGS__})))

static void unknown_is_denied(void **state)
{
    (void)state;
    CHECK("", {"", 0}, {"secret/a", 0});
    CHECK("path \"secret/a\" { capabilities = [\"read\"] }", {"secret/a", R}, {"secret/b", 0}, {"secret", 0},
          {"secret/a/b", 0}, {"ecret/a", 0}, {"", 0});
}

static void exact_stands_above_every_pattern(void **state)
{
    (void)state;
    CHECK("path \"secret/*\" { capabilities = [\"read\"] }\n"
          "path \"secret/+\" { capabilities = [\"list\"] }\n"
          "path \"secret/foo\" { capabilities = [\"update\"]\n }\n",
          {"secret/foo", U}, {"secret/bar", L}, {"secret/bar/baz", R});
}

static void the_longest_prefix_wins(void **state)
{
    (void)state;
    CHECK("path \"*\" { capabilities = [\"list\"] }\n"
          "path \"secret/*\" { capabilities = [\"read\"] }\n"
          "path \"secret/super*\" { capabilities = [\"update\"]\n }\n"
          "path \"secret/supersecret/*\" { capabilities = [\"deny\"] }\n",
          {"a", L}, {"secret", L}, {"secret/", R}, {"secret/supe", R}, {"secret/super", U},
          {"secret/superb", U}, {"secret/supersecret", U}, {"secret/supersecret/", X},
          {"secret/supersecret/x", X}, {"secret/supez", R}, {"secrex", L}, {"zzz", L});
}

static void a_star_inside_is_a_star(void **state)
{
    (void)state;
    CHECK("path \"a/*/b\" { capabilities = [\"read\"] }", {"a/x/b", 0}, {"a/*/b", R});
}

static void plus_is_one_segment(void **state)
{
    (void)state;
    CHECK("path \"secret/+/teamb\" { capabilities = [\"read\"] }", {"secret/foo/teamb", R},
          {"secret/bar/teamb", R}, {"secret/foo/bar/teamb", 0}, {"secret/foo/teambx", 0}, {"secret/teamb", 0},
          {"secret/foo/teamb/", 0});
    CHECK("path \"secret/+/+/foo/*\" { capabilities = [\"read\"] }", {"secret/a/b/foo/c", R},
          {"secret/a/b/foo/", R}, {"secret/a/b/foo", 0}, {"secret/a/foo/c", 0});
    CHECK("path \"+/wildcard/te*\" { capabilities = [\"read\"] }", {"test/wildcard/te", R},
          {"x/wildcard/text/y", R}, {"x/wildcard/t", 0});
    CHECK("path \"+\" { capabilities = [\"read\"] }", {"a", R}, {"a/b", 0});
    CHECK("path \"a/+b\" { capabilities = [\"read\"] }", {"a/+b", R}, {"a/xb", 0});
}

/* The order of priority that Vault documents, rule by rule: the winner reads, the loser updates. */
static void priority_is_as_documented(void **state)
{
    (void)state;
    static const struct {
        const char *winner, *loser, *path;
    } rows[] = {
        /* 1: the first wildcard or glob stands earlier in the loser */
        {"secret/foo/*", "secret/+/bar", "secret/foo/bar"},
        {"foo/bar/+/baz", "foo/+/bar/baz", "foo/bar/bar/baz"},
        {"secret/foo*", "secret/+", "secret/foobar"},
        /* 2: the loser ends in a glob */
        {"foo/+/bar", "foo/+/*", "foo/x/bar"},
        {"secret/+", "secret/*", "secret/x"},
        /* 3: the loser has more "+" segments; the example in the documentation */
        {"secret/*", "secret/+/+/foo/*", "secret/a/b/foo/c"},
        {"foo/+/bar/baz", "foo/+/+/baz", "foo/x/bar/baz"},
        /* 4: the loser is shorter */
        {"foo/+/bar/ba*", "foo/+/bar/b*", "foo/x/bar/baz"},
        {"foo/+/ba*", "foo/+/*", "foo/x/bar"},
        /* exact above all */
        {"foo/a", "foo/+", "foo/a"},
        {"foo/a", "foo/a*", "foo/a"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        for (int turn = 0; turn < 2; turn++) { /* whichever comes first */
            char text[512];
            snprintf(text, sizeof(text),
                     "path \"%s\" { capabilities = [\"%s\"] }\npath \"%s\" { capabilities = [\"%s\"] }\n",
                     turn ? rows[i].loser : rows[i].winner, turn ? "update" : "read",
                     turn ? rows[i].winner : rows[i].loser, turn ? "read" : "update");
            struct hf_acl *acl = compile_one(text);
            if (caps_on(acl, rows[i].path) != R)
                fail_msg("%s does not win over %s on %s", rows[i].winner, rows[i].loser, rows[i].path);
            hf_acl_free(acl);
        }
    }
}

static void equal_patterns_of_many_policies_are_joined(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "path \"secret/a\" { capabilities = [\"read\"] }\npath \"s/*\" { capabilities = [\"list\"] }",
        "path \"secret/a\" { capabilities = [\"update\"]\n }\npath \"/s/*\" { capabilities = [\"create\"] }",
        "path \"secret/a\" { capabilities = [\"list\"] }\npath \"secret/d\" { capabilities = [\"read\"] }",
        "path \"secret/d\" { capabilities = [\"deny\"] }",
    };
    struct hf_acl *acl = compile(texts, HF_ARRAY_LEN(texts));
    assert_int_equal(caps_on(acl, "secret/a"), R | U | L);
    assert_int_equal(caps_on(acl, "s/x"), L | C);
    assert_int_equal(caps_on(acl, "secret/d"), X); /* deny wins */
    hf_acl_free(acl);
}

static void deny_takes_the_rest_of_its_own_rule(void **state)
{
    (void)state;
    CHECK("path \"a\" { capabilities = [\"read\", \"deny\", \"sudo\"] }", {"a", X});
}

static void lists_may_be_named_with_or_without_the_slash(void **state)
{
    (void)state;
    struct hf_acl *acl = compile_one("path \"transit/keys\" { capabilities = [\"list\"] }\n"
                                     "path \"kv/metadata/\" { capabilities = [\"list\"] }\n");
    assert_non_null(hf_acl_match(acl, hf_cursor_text("transit/keys/"), true));
    assert_null(hf_acl_match(acl, hf_cursor_text("transit/keys/"), false));
    assert_non_null(hf_acl_match(acl, hf_cursor_text("kv/metadata/"), true));
    assert_null(hf_acl_match(acl, hf_cursor_text("kv/metadata"), true));
    hf_acl_free(acl);
}

static void json_says_the_same(void **state)
{
    (void)state;
    CHECK(
        "{\"path\": {\"secret/*\": {\"capabilities\": [\"read\", \"list\"]}, \"/sys/x\": {\"policy\": \"write\"}}}",
        {"secret/a", R | L}, {"sys/x", C | R | U | D | L});
    CHECK(
        "{\"path\": [{\"a\": {\"capabilities\": [\"sudo\", \"patch\"]}}, {\"b\": [{\"capabilities\": [\"read\"]}]}]}",
        {"a", S | P}, {"b", R});
    CHECK(
        "name = \"mine\"\npath \"a\" { policy = \"sudo\" }\npath \"b\" { policy = \"read\"\n comment = \"x\" }",
        {"a", C | R | U | D | L | S}, {"b", R | L});
}

static void refusals_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"path \"a\" {\n  capabilities = [\"raed\"]\n}", "line 2: unknown capability \"raed\""},
        {"path \"a\" { capabilities = [\"read\"] }\n\npath \"s/{{identity.entity.id}}/*\" { }",
         "line 3: templated paths are not supported"},
        {"path \"a\" { capabilities = [\"read\"] }\npath \"b/+*\" { capabilities = [\"read\"] }",
         "line 2: \"+*\""},
        {"path \"a\" {\n capabilities = \"read\"\n mfa_methods = [\"x\"]\n}",
         "line 3: unknown or unsupported key"},
        {"paht \"a\" { }", "line 1: unknown key \"paht\""},
        {"path \"a\" {\n capabilities = [1]\n}", "capabilities must be a list of words"},
        {"path \"a\" {\n allowed_parameters = { \"x\" = \"y\" }\n}",
         "the values of a parameter must be a list"},
        {"path \"a\" {\n min_wrapping_ttl = \"2h\"\n max_wrapping_ttl = \"1h\"\n}",
         "max_wrapping_ttl is less"},
        {"path \"a\" {\n min_wrapping_ttl = \"soon\"\n}", "must be a duration"},
        {"path \"a\" {\n required_parameters = [1]\n}", "required_parameters must be a list of names"},
        {"path \"a\" {\n capabilities = [\"read\"", "line "},
        {"path = 3", "expected: path"},
        {"[1]", ""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char reason[HF_POLICY_REASON_MAX];
        assert_int_equal(hf_acl_check_text(hf_cursor_text(rows[i].text), reason, sizeof(reason)).code,
                         HF_BAD_ARGUMENT);
        if (strstr(reason, rows[i].reason) == NULL)
            fail_msg("got \"%s\", want \"%s\"", reason, rows[i].reason);
    }
}

static void wrapping_times_are_read(void **state)
{
    (void)state;
    CHECK("path \"a\" { capabilities = [\"read\"]\n min_wrapping_ttl = \"1m\"\n max_wrapping_ttl = 3600 }",
          {"a", R});
}

/* ---- parameters ---- */

static bool accepts(const struct hf_acl *acl, const char *path, const char *json)
{
    uint8_t bytes[4096];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    struct hf_tree_writer w = hf_tree_writer(&out);
    struct hf_tree args;
    assert_int_equal(hf_hcl_to_tree(hf_cursor_text(json), &w, NULL).code, HF_OK);
    assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &args).code, HF_OK);
    const struct hf_acl_entry *entry = hf_acl_match(acl, hf_cursor_text(path), false);
    assert_non_null(entry);
    return hf_acl_params_accept(entry, &args);
}

static void parameters_are_held_to_the_rule(void **state)
{
    (void)state;
    struct hf_acl *acl = compile_one(
        "path \"only\" { capabilities = [\"update\"]\n allowed_parameters = { \"ttl\" = [\"1h\", \"2h\"], \"any\" = [] } }\n"
        "path \"star\" { capabilities = [\"update\"]\n allowed_parameters = { \"ttl\" = [\"1h\"], \"*\" = [] } }\n"
        "path \"not\" { capabilities = [\"update\"]\n denied_parameters = { \"type\" = [\"rsa-*\", 5, true], \"no\" = [] } }\n"
        "path \"none\" { capabilities = [\"update\"]\n denied_parameters = { \"*\" = [] } }\n"
        "path \"must\" { capabilities = [\"update\"]\n required_parameters = [\"a\", \"b\"] }\n"
        "path \"both\" { capabilities = [\"update\"]\n allowed_parameters { \"a\" = [] } denied_parameters { \"a\" = [\"x\"] } }\n"
        "path \"glob\" { capabilities = [\"update\"]\n allowed_parameters = { \"n\" = [\"*-mid-*\", \"*end\", \"be*\"] } }\n"
        "path \"num\" { capabilities = [\"update\"]\n allowed_parameters = { \"n\" = [3, 1.5, [\"l\"]] } }\n");
    static const struct {
        const char *path, *args;
        bool ok;
    } rows[] = {
        {"only", "{}", true},
        {"only", "{\"ttl\": \"1h\"}", true},
        {"only", "{\"TTL\": \"2h\", \"any\": [1]}", true},
        {"only", "{\"ttl\": \"3h\"}", false},
        {"only", "{\"ttl\": \"1h\", \"other\": 1}", false},
        {"star", "{\"other\": 1}", true},
        {"star", "{\"ttl\": \"9h\"}", false},
        {"not", "{}", true},
        {"not", "{\"x\": 1}", true},
        {"not", "{\"type\": \"aes\"}", true},
        {"not", "{\"type\": \"rsa-2048\"}", false},
        {"not", "{\"Type\": \"rsa-2048\"}", false},
        {"not", "{\"type\": [\"aes\", \"rsa-2048\"]}", false},
        {"not", "{\"type\": 5}", false},
        {"not", "{\"type\": \"5\"}", false},
        {"not", "{\"type\": 5.0}", false},
        {"not", "{\"type\": 50e-1}", false},
        {"not", "{\"type\": 5.0000000000000000001}", true},
        {"not", "{\"type\": true}", false},
        {"not", "{\"no\": null}", false},
        {"none", "{}", true},
        {"none", "{\"a\": 1}", false},
        {"must", "{}", false},
        {"must", "{\"a\": 1}", false},
        {"must", "{\"a\": 1, \"B\": 2}", true},
        {"both", "{\"a\": \"y\"}", true},
        {"both", "{\"a\": \"x\"}", false},
        {"glob", "{\"n\": \"a-mid-b\"}", true},
        {"glob", "{\"n\": \"the end\"}", true},
        {"glob", "{\"n\": \"begin\"}", true},
        {"glob", "{\"n\": \"mid\"}", false},
        {"num", "{\"n\": 3}", true},
        {"num", "{\"n\": \"3\"}", true},
        {"num", "{\"n\": 4}", false},
        {"num", "{\"n\": 1.5}", true},
        {"num", "{\"n\": 1.50}", true},
        {"num", "{\"n\": 15e-1}", true},
        {"num", "{\"n\": \"1.5\"}", true},
        {"num", "{\"n\": 1.5000000000000000000001}", false},
        {"num", "{\"n\": 3e0}", true},
        {"num", "{\"n\": [\"l\"]}", true},
        {"num", "{\"n\": [\"m\"]}", false},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
        if (accepts(acl, rows[i].path, rows[i].args) != rows[i].ok)
            fail_msg("%s with %s: should be %s", rows[i].path, rows[i].args,
                     rows[i].ok ? "accepted" : "refused");
    hf_acl_free(acl);
}

static void parameters_of_many_policies_are_joined(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "path \"a\" { capabilities = [\"update\"]\n allowed_parameters = { \"x\" = [\"1\"], \"z\" = [\"1\"] } }",
        "path \"a\" { capabilities = [\"update\"]\n allowed_parameters = { \"x\" = [\"2\"], \"z\" = [] } }",
        "path \"a\" { capabilities = [\"update\"]\n required_parameters = [\"x\"] }",
    };
    struct hf_acl *acl = compile(texts, HF_ARRAY_LEN(texts));
    assert_true(accepts(acl, "a", "{\"x\": \"1\"}"));
    assert_true(accepts(acl, "a", "{\"x\": \"2\", \"z\": \"anything\"}"));
    assert_false(accepts(acl, "a", "{\"x\": \"3\"}"));
    assert_false(accepts(acl, "a", "{\"z\": \"1\"}"));
    hf_acl_free(acl);
}

/* ---- size and speed ---- */

static char *many_rules(size_t count)
{
    char *text = malloc(count * 96 + 1), *at = text;
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        const char *before = i % 100 == 7 ? "transit/+/key" : i % 2 ? "kv/data/team" : "transit/encrypt/key";
        const char *after = i % 100 == 7 ? "/x" : i % 2 ? "/*" : "";
        at += snprintf(at, 96, "path \"%s-%zu%s\" { capabilities = [\"read\"] }\n", before, i, after);
    }
    return text;
}

static void many_rules_are_found_quickly(void **state)
{
    (void)state;
    enum { RULES = 5000, ROUNDS = 200000 };
    char *text = many_rules(RULES);
    struct hf_acl *acl = compile_one(text);
    free(text);
    assert_int_equal(caps_on(acl, "transit/encrypt/key-4998"), R);
    assert_int_equal(caps_on(acl, "kv/data/team-4999/a/b"), R);
    assert_int_equal(caps_on(acl, "transit/x/key-4907/x"), R);
    assert_int_equal(caps_on(acl, "transit/encrypt/key-5000"), 0);
    struct timespec a, b;
    struct hf_cursor path = hf_cursor_text("transit/encrypt/key-4000");
    clock_gettime(CLOCK_MONOTONIC, &a);
    uint32_t seen = 0;
    for (int i = 0; i < ROUNDS; i++)
        seen += hf_acl_match(acl, path, false)->caps;
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_int_equal(seen, (uint32_t)ROUNDS * R);
    double ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / ROUNDS;
    print_message("exact match among %d rules: %.1f ns\n", RULES, ns);
    assert_true(ns < 20000); /* a linear search would be far beyond; sanitizers are slow */
    hf_acl_free(acl);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    char reason[HF_POLICY_REASON_MAX];
    char *text = many_rules(HF_ACL_RULES_MAX + 1);
    size_t len = strlen(text);
    hf_result checked = hf_acl_check_text(hf_cursor(text, len), reason, sizeof(reason));
    assert_true(checked.code == HF_BAD_ARGUMENT || checked.code == HF_TOO_LARGE);
    free(text);
    text = malloc(HF_POLICY_TEXT_MAX + 1);
    memset(text, '\n', HF_POLICY_TEXT_MAX + 1);
    assert_int_equal(hf_acl_check_text(hf_cursor(text, HF_POLICY_TEXT_MAX + 1), reason, sizeof(reason)).code,
                     HF_TOO_LARGE);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_is_denied),
        cmocka_unit_test(exact_stands_above_every_pattern),
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(a_star_inside_is_a_star),
        cmocka_unit_test(plus_is_one_segment),
        cmocka_unit_test(priority_is_as_documented),
        cmocka_unit_test(equal_patterns_of_many_policies_are_joined),
        cmocka_unit_test(deny_takes_the_rest_of_its_own_rule),
        cmocka_unit_test(lists_may_be_named_with_or_without_the_slash),
        cmocka_unit_test(json_says_the_same),
        cmocka_unit_test(refusals_name_the_line),
        cmocka_unit_test(wrapping_times_are_read),
        cmocka_unit_test(parameters_are_held_to_the_rule),
        cmocka_unit_test(parameters_of_many_policies_are_joined),
        cmocka_unit_test(many_rules_are_found_quickly),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
