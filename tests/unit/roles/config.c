#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "roles/config.h"

#define STORAGE "storage \"sqlite\" {\n  path = \"/var/lib/holdfast/holdfast.db\"\n}\n"
#define LISTENER                                                                                             \
    "listener \"tcp\" {\n  address = \"0.0.0.0:8200\"\n  tls_cert_file = \"/c\"\n  tls_key_file = \"/k\"\n}\n"

static void takes_everything(void **state)
{
    (void)state;
    static const char text[] =
        "# all keys\n"
        "level = \"hardened\"\nlog_level = \"debug\"\ncluster_name = \"eu\"\napi_addr = \"https://kms.example:8200\"\n"
        "user = \"kms\"\nfronts = 3\ncore_threads = 5\nsecret_memory = \"64MiB\"\ndefault_lease_ttl = \"1h\"\n"
        "max_lease_ttl = \"30d\"\naudit_durability = \"strict\"\n" STORAGE
        "listener \"tcp\" {\n  address = \"127.0.0.1:8201\"\n  tls_disable = true\n}\n"
        "listener \"tcp\" {\n"
        "  address = \"[::]:8200\"\n"
        "  tls_cert_file = [\"/mldsa.pem\", \"/ec.pem\"]\n"
        "  tls_key_file  = [\"/mldsa.key\", \"/ec.key\"]\n"
        "  tls_client_ca_file = \"/ca.pem\"\n"
        "  tls_require_client_cert = true\n"
        "}\n"
        "seal \"shamir\" {}\n"
        "limits {\n  body_bytes_max = \"1 MiB\"\n  header_bytes_max = 8192\n  connections_max = 7\n"
        "  streams_max = 9\n  header_timeout = \"5s\"\n  request_timeout = 30\n  idle_timeout = \"1m\"\n"
        "  drain_timeout = \"250ms\"\n  requests_per_second = 100\n}\n";
    struct hf_config config;
    struct hf_config_error error = {0};
    hf_result got = hf_config_parse(hf_cursor_text(text), &config, &error);
    if (!HF_IS_OK(got))
        fail_msg("%u:%u: %s", error.line, error.column, error.reason);
    assert_int_equal(config.level, HF_LEVEL_HARDENED);
    assert_int_equal(config.log_level, HF_LOG_DEBUG);
    assert_string_equal(config.cluster_name, "eu");
    assert_string_equal(config.api_addr, "https://kms.example:8200");
    assert_string_equal(config.user, "kms");
    assert_int_equal(config.fronts, 3);
    assert_int_equal(config.core_threads, 5);
    assert_int_equal(config.secret_memory_bytes, 64 << 20);
    assert_int_equal(config.default_lease_ttl_ns, 3600 * HF_SECOND);
    assert_int_equal(config.max_lease_ttl_ns, 30 * 86400 * HF_SECOND);
    assert_true(config.audit_strict);
    assert_string_equal(config.storage_path, "/var/lib/holdfast/holdfast.db");
    assert_int_equal(config.listener_count, 2);
    assert_false(config.listeners[0].tls);
    assert_int_equal(config.listeners[0].port, 8201);
    assert_true(config.listeners[1].tls);
    assert_string_equal(config.listeners[1].host, "::");
    assert_int_equal(config.listeners[1].cert_count, 2);
    assert_string_equal(config.listeners[1].certs[0].cert_file, "/mldsa.pem");
    assert_string_equal(config.listeners[1].certs[1].key_file, "/ec.key");
    assert_string_equal(config.listeners[1].client_ca_file, "/ca.pem");
    assert_true(config.listeners[1].require_client_cert);
    assert_int_equal(config.limits.body_bytes_max, 1 << 20);
    assert_int_equal(config.limits.header_bytes_max, 8192);
    assert_int_equal(config.limits.connections_max, 7);
    assert_int_equal(config.limits.streams_max, 9);
    assert_int_equal(config.limits.header_timeout_ns, 5 * HF_SECOND);
    assert_int_equal(config.limits.request_timeout_ns, 30 * HF_SECOND);
    assert_int_equal(config.limits.idle_timeout_ns, 60 * HF_SECOND);
    assert_int_equal(config.limits.drain_timeout_ns, HF_SECOND / 4);
    assert_int_equal(config.limits.requests_per_second, 100);
}

static void little_is_enough(void **state)
{
    (void)state;
    struct hf_config config;
    assert_int_equal(hf_config_parse(hf_cursor_text(STORAGE LISTENER), &config, NULL).code, HF_OK);
    assert_int_equal(config.level, HF_LEVEL_STANDARD);
    assert_string_equal(config.api_addr, "https://0.0.0.0:8200");
    assert_int_equal(config.limits.body_bytes_max, 32 << 20);
    assert_false(config.audit_strict);
    assert_false(config.dev);
}

static void takes_json_too(void **state)
{
    (void)state;
    static const char text[] =
        "{\"storage\": [{\"sqlite\": {\"path\": \"/d/h.db\"}}], \"level\": \"standard\",\n"
        " \"listener\": [{\"tcp\": {\"address\": \"127.0.0.1:1\", \"tls_disable\": true}}]}";
    struct hf_config config;
    struct hf_config_error error = {0};
    hf_result got = hf_config_parse(hf_cursor_text(text), &config, &error);
    if (!HF_IS_OK(got))
        fail_msg("%u:%u: %s", error.line, error.column, error.reason);
    assert_string_equal(config.storage_path, "/d/h.db");
}

static void errors_have_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line; /* 0: none applies */
        const char *reason;
    } rows[] = {
        {"level = \"dev\"\nlevle = 1\n", 2, "levle: unknown key"},
        {"# level = 3\n\n  level = \"top\"\n", 3, "level: expected \"dev\""},
        {"level = ", 1, ""},
        {"storage \"sqlite\" {\n  path = 7\n}\n", 2, "storage: path: expected a text"},
        {"storage \"sqlite\" {\n  path = \"\"\n}\n", 2, "may not be empty"},
        {"storage \"sqlite\" {\n  paht = \"/x\"\n}\n", 2, "storage: paht: unknown key"},
        {"storage \"raft\" {\n}\n", 1, "storage: unknown type \"raft\""},
        {"storage {\n path = \"/x\"\n}\n", 1, "storage: "},
        {"storage = \"sqlite\"\n", 1, "expected a block"},
        {STORAGE STORAGE LISTENER, 4, "a second time"},
        {"storage \"sqlite\" {\n  path = \"holdfast.db\"\n}\n" LISTENER, 0, "must be absolute"},
        {STORAGE, 0, "listener"},
        {LISTENER, 0, "storage"},
        {STORAGE LISTENER "listener \"tcp\" {\n  tls_disable = true\n  address = \"10.0.0.1:8200\"\n}\n", 9,
         "plain HTTP is served on loopback only"},
        {STORAGE "listener \"tcp\" {\n  address = \"127.0.0.1\"\n}\n", 5, "expected HOST:PORT"},
        {STORAGE "listener \"tcp\" {\n  address = \"127.0.0.1:70000\"\n}\n", 5, "not a port"},
        {STORAGE "listener \"tcp\" {\n  address = \"kms.example:8200\"\n}\n", 5, "not a numeric address"},
        {STORAGE "listener \"tcp\" {\n  address = \"::1:8200\"\n}\n", 5, "not a numeric address"},
        {STORAGE "listener \"tcp\" {\n  tls_disable = true\n}\n", 4, "address is missing"},
        {STORAGE "listener \"tcp\" {\n  address = \":8200\"\n}\n", 4,
         "tls_cert_file and tls_key_file are missing"},
        {STORAGE "listener \"tcp\" {\n  address = \":8200\"\n  tls_cert_file = \"/a\"\n}\n", 4,
         "as many tls_key_file"},
        {STORAGE "listener \"tcp\" {\n  address = \":8200\"\n  tls_cert_file = []\n}\n", 6,
         "a list of paths"},
        {STORAGE
         "listener \"tcp\" {\n  address = \":8200\"\n  tls_cert_file = [\"a\",\"b\",\"c\",\"d\",\"e\"]\n}\n",
         6, "too many"},
        {STORAGE LISTENER "listener \"tcp\" {\n  adress = \":8200\"\n}\n", 10,
         "listener: adress: unknown key"},
        {STORAGE "listener \"unix\" {\n}\n", 4, "unknown type \"unix\""},
        {"limits {\n\n  body_bytes_max = \"33MiB\"\n}\n", 3, "limits: body_bytes_max: out of range"},
        {"limits {\n  idle_timeout = \"soon\"\n}\n", 2, "expected a duration"},
        {"limits {\n  connections_max = -1\n}\n", 2, "out of range"},
        {"limits {\n  connections_max = \"many\"\n}\n", 2, "expected a whole number"},
        {"limits {\n  connections_max = 99999999999\n}\n", 2, "out of range"},
        {"fronts = 65\n", 1, "out of range"},
        {"secret_memory = \"64MB\"\n", 1, "expected a number of bytes"},
        {"secret_memory = \"99999999999GiB\"\n", 1, "expected a number of bytes"},
        {"default_lease_ttl = \"2h\"\nmax_lease_ttl = \"1h\"\n" STORAGE LISTENER, 0, "longer than"},
        {"cluster_name = \"0123456789012345678901234567890123456789012345678901234567890123\"\n", 1,
         "expected a text that is not too long"},
        {"seal \"shamir\" {\n  key = 1\n}\n", 2, "seal: key: unknown key"},
        {"seal \"pkcs11\" {\n}\n", 1, "unknown type"},
        {"audit_durability = \"lazy\"\n", 1, "expected \"batched\""},
        {"/* level\nlevel */ x = <<E\nlevel\nE\n", 2, "x: unknown key"},
        {"[1]", 1, ""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_config config = {.fronts = 77};
        struct hf_config_error error = {0};
        hf_result got = hf_config_parse(hf_cursor_text(rows[i].text), &config, &error);
        if (got.code != HF_CONFIG || error.line != rows[i].line ||
            strstr(error.reason, rows[i].reason) == NULL)
            fail_msg("row %zu: code %s, line %u, \"%s\"", i, hf_code_name(got.code), error.line,
                     error.reason);
        assert_true(strlen(error.reason) > 0);
        assert_int_equal(config.fronts, 77); /* untouched */
    }
}

static void says_everything_that_is_wrong(void **state)
{
    (void)state;
    static const char text[] = "levle = 1\nlog_level = \"loud\"\n"                           /* 1, 2 */
                               "storage \"sqlite\" {\n  path = 7\n  paht = \"/x\"\n}\n"      /* 4, 5 */
                               "listener \"tcp\" {\n  address = \"nowhere\"\n  tls = 1\n}\n" /* 8, 9 */
                               "listener \"tcp\" {\n  tls_disable = true\n}\n"               /* 11 */
                               "listener \"unix\" {}\nlimits {\n  streams_max = 0\n}\n"      /* 14, 16 */
                               "seal = \"shamir\"\n";                                        /* 18 */
    static const uint32_t lines[] = {1, 2, 4, 5, 8, 9, 11, 14, 16, 18};
    struct hf_config config = {.fronts = 77};
    struct hf_config_errors errors;
    assert_int_equal(hf_config_check(hf_cursor_text(text), &config, &errors).code, HF_CONFIG);
    assert_int_equal(errors.count, HF_ARRAY_LEN(lines));
    assert_false(errors.more);
    for (size_t i = 0; i < HF_ARRAY_LEN(lines); i++)
        assert_int_equal(errors.at[i].line, lines[i]);
    assert_int_equal(config.fronts, 77);

    assert_int_equal(hf_config_check(hf_cursor_text("levle = 1\n"), &config, &errors).code, HF_CONFIG);
    assert_int_equal(errors.count, 3); /* and both blocks that must be there */
    assert_int_equal(hf_config_check(hf_cursor_text("level = \n"), &config, &errors).code, HF_CONFIG);
    assert_int_equal(errors.count, 1); /* syntax */
    assert_int_equal(hf_config_check(hf_cursor_text(STORAGE LISTENER), &config, &errors).code, HF_OK);

    char many[4096];
    struct hf_buf out = hf_buf(many, sizeof(many));
    for (unsigned i = 0; i < HF_CONFIG_ERRORS_MAX + 1; i++) {
        hf_buf_text(&out, "x");
        hf_buf_decimal(&out, i);
        hf_buf_text(&out, " = 1\n");
    }
    assert_int_equal(hf_config_check(hf_buf_cursor(&out), &config, &errors).code, HF_CONFIG);
    assert_int_equal(errors.count, HF_CONFIG_ERRORS_MAX);
    assert_true(errors.more);
}

static void refuses_zero_bytes_and_size(void **state)
{
    (void)state;
    struct hf_config config;
    struct hf_config_error error;
    assert_int_equal(hf_config_parse(hf_cursor("level\0", 6), &config, &error).code, HF_CONFIG);
    static char large[HF_CONFIG_TEXT_MAX + 1];
    memset(large, '\n', sizeof(large));
    assert_int_equal(hf_config_parse(hf_cursor(large, sizeof(large)), &config, &error).code, HF_CONFIG);
    assert_non_null(strstr(error.reason, "too large"));
}

static void loopback(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool loopback;
    } rows[] = {{"127.0.0.1:1", true}, {"127.9.9.9:1", true}, {"localhost:1", true},
                {"[::1]:1", true},     {"0.0.0.0:1", false},  {":1", false},
                {"[::]:1", false},     {"10.0.0.1:1", false}, {"[::ffff:127.0.0.1]:1", false}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_config_listener listener = {0};
        assert_int_equal(hf_config_address(hf_cursor_text(rows[i].address), &listener, NULL).code, HF_OK);
        assert_int_equal(hf_config_is_loopback(&listener), rows[i].loopback);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_everything),
        cmocka_unit_test(little_is_enough),
        cmocka_unit_test(takes_json_too),
        cmocka_unit_test(errors_have_line_and_reason),
        cmocka_unit_test(says_everything_that_is_wrong),
        cmocka_unit_test(refuses_zero_bytes_and_size),
        cmocka_unit_test(loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
