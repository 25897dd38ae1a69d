/* The KV engine as clients meet it: version 2 at secret/, version 1 on a mount of its own. */
#include "unit/ops/lab.h"

#include "ops/kv_record.h"

static void a_secret_has_versions(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "secret/data/app/db",
                          "{\"data\":{\"user\":\"u\",\"pass\":\"p1\",\"n\":{\"deep\":[1,2]}}}"));
    assert_int_equal(lab_num(lab, "version"), 1);
    assert_string_equal(lab_str(lab, "destroyed"), "false");
    assert_string_equal(lab_str(lab, "deletion_time"), "");
    lab_ok(lab, lab_write(lab, "secret/data/app/db", "{\"data\":{\"user\":\"u\",\"pass\":\"p2\"}}"));
    assert_int_equal(lab_num(lab, "version"), 2);
    lab_ok(lab, lab_read(lab, "secret/data/app/db"));
    assert_string_equal(lab_str(lab, "data.pass"), "p2");
    assert_int_equal(lab_num(lab, "metadata.version"), 2);
    lab_ok(lab, lab_call(lab, HF_METHOD_READ, "secret/data/app/db", "{\"version\":\"1\"}"));
    assert_string_equal(lab_str(lab, "data.pass"), "p1");
    assert_string_equal(lab_str(lab, "data.n"), "{\"deep\":[1,2]}");
    assert_int_equal(lab_call(lab, HF_METHOD_READ, "secret/data/app/db", "{\"version\":3}"), 404);
    assert_int_equal(lab_read(lab, "secret/data/app"), 404);
    lab_restart(lab);
    lab_ok(lab, lab_read(lab, "secret/data/app/db"));
    assert_string_equal(lab_str(lab, "data.pass"), "p2");
    lab_ok(lab, lab_read(lab, "secret/metadata/app/db"));
    assert_int_equal(lab_num(lab, "current_version"), 2);
    assert_int_equal(lab_num(lab, "oldest_version"), 1);
    assert_string_equal(lab_str(lab, "versions.1.destroyed"), "false");
    lab_write(lab, "secret/data/app/db", "{\"pass\":\"x\"}");
    lab_expect(lab, 400, "no data provided");
}

static void check_and_set(void **state)
{
    struct lab *lab = *state;
    lab_write(lab, "secret/data/k", "{\"options\":{\"cas\":1},\"data\":{\"a\":1}}");
    lab_expect(lab, 400, "did not match");
    lab_ok(lab, lab_write(lab, "secret/data/k", "{\"options\":{\"cas\":0},\"data\":{\"a\":1}}"));
    lab_write(lab, "secret/data/k", "{\"options\":{\"cas\":0},\"data\":{\"a\":2}}");
    lab_expect(lab, 400, "did not match");
    lab_ok(lab, lab_write(lab, "secret/data/k", "{\"options\":{\"cas\":1},\"data\":{\"a\":2}}"));
    lab_ok(lab, lab_write(lab, "secret/metadata/k",
                          "{\"cas_required\":true,\"custom_metadata\":{\"owner\":\"me\"}}"));
    lab_write(lab, "secret/data/k", "{\"data\":{\"a\":3}}");
    lab_expect(lab, 400, "check-and-set parameter required");
    lab_ok(lab, lab_read(lab, "secret/data/k"));
    assert_string_equal(lab_str(lab, "metadata.custom_metadata.owner"), "me");
    lab_ok(lab, lab_write(lab, "secret/config", "{\"cas_required\":true,\"max_versions\":2}"));
    lab_ok(lab, lab_read(lab, "secret/config"));
    assert_string_equal(lab_str(lab, "cas_required"), "true");
    lab_write(lab, "secret/data/new", "{\"data\":{\"a\":3}}");
    lab_expect(lab, 400, "check-and-set parameter required");
    assert_int_equal(lab_list(lab, "secret/metadata/none"), 404);
}

static void delete_undelete_destroy(void **state)
{
    struct lab *lab = *state;
    for (int i = 1; i <= 3; i++)
        lab_ok(lab, lab_write(lab, "secret/data/k", lab_f("{\"data\":{\"n\":%d}}", i)));
    assert_int_equal(lab_delete(lab, "secret/data/k"), 204);
    assert_int_equal(lab_read(lab, "secret/data/k"), 404);
    assert_int_equal(lab_get(lab, "data").tag, HF_TREE_NULL); /* and yet says what it was */
    assert_int_equal(lab_num(lab, "metadata.version"), 3);
    assert_true(strlen(lab_str(lab, "metadata.deletion_time")) > 10);
    assert_int_equal(lab_write(lab, "secret/undelete/k", "{\"versions\":[3]}"), 204);
    lab_ok(lab, lab_read(lab, "secret/data/k"));
    assert_int_equal(lab_num(lab, "data.n"), 3);
    assert_int_equal(lab_write(lab, "secret/delete/k", "{\"versions\":[\"1\",2]}"), 204);
    assert_int_equal(lab_call(lab, HF_METHOD_READ, "secret/data/k", "{\"version\":1}"), 404);
    assert_int_equal(lab_write(lab, "secret/destroy/k", "{\"versions\":[2]}"), 204);
    assert_int_equal(lab_write(lab, "secret/undelete/k", "{\"versions\":[1,2]}"), 204);
    lab_ok(lab, lab_call(lab, HF_METHOD_READ, "secret/data/k", "{\"version\":1}"));
    assert_int_equal(lab_call(lab, HF_METHOD_READ, "secret/data/k", "{\"version\":2}"), 404);
    assert_string_equal(lab_str(lab, "metadata.destroyed"), "true");
    lab_write(lab, "secret/destroy/k", "{}");
    lab_expect(lab, 400, "no version number provided");
    assert_int_equal(lab_delete(lab, "secret/metadata/k"), 204);
    assert_int_equal(lab_read(lab, "secret/metadata/k"), 404);
    assert_int_equal(lab_read(lab, "secret/data/k"), 404);
    assert_null(strstr(lab->text, "metadata"));
}

static void only_so_many_versions_are_kept(void **state)
{
    struct lab *lab = *state;
    for (int i = 1; i <= 13; i++)
        lab_ok(lab, lab_write(lab, "secret/data/k", lab_f("{\"data\":{\"n\":%d}}", i)));
    assert_int_equal(lab_call(lab, HF_METHOD_READ, "secret/data/k", "{\"version\":3}"), 404);
    lab_ok(lab, lab_call(lab, HF_METHOD_READ, "secret/data/k", "{\"version\":4}"));
    lab_ok(lab, lab_write(lab, "secret/metadata/k", "{\"max_versions\":2,\"delete_version_after\":\"1h\"}"));
    lab_ok(lab, lab_write(lab, "secret/data/k", "{\"data\":{\"n\":14}}"));
    assert_int_equal(lab_call(lab, HF_METHOD_READ, "secret/data/k", "{\"version\":12}"), 404);
    lab_ok(lab, lab_read(lab, "secret/data/k"));
    lab->time.wall_ns += 3601 * HF_SECOND;
    assert_int_equal(lab_read(lab, "secret/data/k"), 404); /* its hour is over */
}

static void patching_merges(void **state)
{
    struct lab *lab = *state;
    assert_int_equal(lab_call(lab, HF_METHOD_PATCH, "secret/data/k", "{\"data\":{\"a\":1}}"), 404);
    lab_ok(lab, lab_write(lab, "secret/data/k", "{\"data\":{\"a\":1,\"b\":{\"x\":1,\"y\":2},\"c\":3}}"));
    lab_ok(lab, lab_call(lab, HF_METHOD_PATCH, "secret/data/k",
                         "{\"data\":{\"b\":{\"y\":null,\"z\":9},\"c\":null,\"d\":\"new\"}}"));
    lab_ok(lab, lab_read(lab, "secret/data/k"));
    assert_string_equal(lab_str(lab, "data"), "{\"a\":1,\"b\":{\"x\":1,\"z\":9},\"d\":\"new\"}");
    assert_int_equal(lab_num(lab, "metadata.version"), 2);
}

static void lists_show_folders_once(void **state)
{
    struct lab *lab = *state;
    static const char *const paths[] = {"b", "a/one", "a/two", "a/deep/x", "c"};
    for (size_t i = 0; i < HF_ARRAY_LEN(paths); i++)
        lab_ok(lab, lab_write(lab, lab_f("secret/data/%s", paths[i]), "{\"data\":{}}"));
    lab_ok(lab, lab_write(lab, "secret/config", "{\"max_versions\":5}"));
    lab_ok(lab, lab_list(lab, "secret/metadata"));
    lab_expect(lab, 200, "{\"keys\":[\"a/\",\"b\",\"c\"]}");
    lab_ok(lab, lab_list(lab, "secret/metadata/"));
    lab_expect(lab, 200, "{\"keys\":[\"a/\",\"b\",\"c\"]}");
    lab_ok(lab, lab_list(lab, "secret/metadata/a"));
    lab_expect(lab, 200, "{\"keys\":[\"deep/\",\"one\",\"two\"]}");
    lab_ok(lab, lab_list(lab, "secret/metadata/a/deep/"));
    lab_expect(lab, 200, "{\"keys\":[\"x\"]}");
    assert_int_equal(lab_list(lab, "secret/metadata/zzz"), 404);
}

static void numbers_come_back_to_the_letter(void **state)
{
    struct lab *lab = *state;
    static const char numbers[] =
        "[18446744073709551617,0.1000000000000000055511151231257827,1.10,-0,1E+400,9223372036854775807]";
    lab_ok(lab, lab_write(lab, "secret/data/n", lab_f("{\"data\":{\"n\":%s}}", numbers)));
    lab_restart(lab);
    lab_ok(lab, lab_read(lab, "secret/data/n"));
    assert_string_equal(lab_str(lab, "data.n"), numbers);
}

static void malformed_versions_and_options_are_refused(void **state)
{
    struct lab *lab = *state;
    static const char *const paths[] = {"delete", "undelete", "destroy"};
    static const char *const bad[] = {"\"x\"", "[]", "{}", "null", "true", "\"\"", "\"-1\"", "1.5", "\"1x\""};
    static const char *const wrong[] = {"[]", "\"cas\"", "7", "true"};
    lab_ok(lab, lab_write(lab, "secret/data/k", "{\"data\":{\"a\":1}}"));
    for (size_t p = 0; p < HF_ARRAY_LEN(paths); p++)
        for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
            lab_write(lab, lab_f("secret/%s/k", paths[p]), lab_f("{\"versions\":[1,%s]}", bad[i]));
            lab_expect(lab, 400, "list of version numbers");
        }
    for (size_t i = 0; i < HF_ARRAY_LEN(wrong); i++) {
        lab_write(lab, "secret/data/k", lab_f("{\"options\":%s,\"data\":{\"a\":2}}", wrong[i]));
        lab_expect(lab, 400, "options must be a map");
    }
    lab_ok(lab, lab_read(lab, "secret/data/k")); /* nothing of that took effect */
    assert_int_equal(lab_num(lab, "metadata.version"), 1);
    lab_ok(lab, lab_write(lab, "secret/data/k", "{\"options\":null,\"data\":{\"a\":2}}"));
    assert_int_equal(lab_write(lab, "secret/delete/k", "{\"versions\":[\"2\"]}"), 204);
    assert_int_equal(lab_read(lab, "secret/data/k"), 404);
}

static void version_1(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "sys/mounts/old", "{\"type\":\"kv\",\"options\":{\"version\":\"1\"}}"));
    assert_int_equal(lab_write(lab, "old/app/db", "{\"pass\":\"p1\",\"data\":\"d\"}"), 204);
    assert_int_equal(lab_write(lab, "old/data/x", "{\"pass\":\"p2\"}"), 204);
    assert_int_equal(lab_write(lab, "old/config", "{\"pass\":\"p3\"}"), 204);
    lab_ok(lab, lab_read(lab, "old/app/db"));
    lab_expect(lab, 200, "{\"pass\":\"p1\",\"data\":\"d\"}");
    lab_ok(lab, lab_read(lab, "old/data/x"));
    lab_expect(lab, 200, "{\"pass\":\"p2\"}");
    lab_ok(lab, lab_list(lab, "old/"));
    lab_expect(lab, 200, "{\"keys\":[\"app/\",\"config\",\"data/\"]}");
    assert_int_equal(lab_delete(lab, "old/app/db"), 204);
    assert_int_equal(lab_read(lab, "old/app/db"), 404);
    assert_int_equal(lab_read(lab, "secret/app/db"), 404);
}

static void the_record_is_read_as_written(void **state)
{
    (void)state;
    static struct hf_kv_secret secret, back;
    static uint8_t space[8192];
    secret = (struct hf_kv_secret){.created_ns = 5, .cas_required = true, .custom = hf_cursor_text("custom")};
    for (int i = 0; i < 5; i++)
        hf_kv_add(&secret, hf_cursor_text("data"), 3, 100 + i);
    assert_int_equal(secret.count, 3);
    assert_int_equal(secret.current, 5);
    secret.versions[1].destroyed = true;
    secret.versions[1].data = (struct hf_cursor){0};
    struct hf_buf out = hf_buf(space, sizeof space);
    hf_kv_encode(&secret, &out);
    assert_true(out.len <= hf_kv_encoded_max(&secret));
    assert_int_equal(hf_kv_decode(hf_buf_cursor(&out), &back).code, HF_OK);
    assert_int_equal(back.current, 5);
    assert_null(hf_kv_version(&back, 2));
    assert_true(hf_kv_version(&back, 4)->destroyed);
    assert_true(hf_cursor_is(hf_kv_version(&back, 5)->data, "data"));
    for (size_t cut = 0; cut < out.len; cut++)
        assert_int_equal(hf_kv_decode(hf_cursor(space, cut), &back).code, HF_CORRUPT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)
    const struct CMUnitTest tests[] = {
        T(a_secret_has_versions),
        T(check_and_set),
        T(delete_undelete_destroy),
        T(only_so_many_versions_are_kept),
        T(patching_merges),
        T(lists_show_folders_once),
        T(numbers_come_back_to_the_letter),
        T(malformed_versions_and_options_are_refused),
        T(version_1),
        cmocka_unit_test(the_record_is_read_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
