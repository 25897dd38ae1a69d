/* Login with a client certificate. The certificates (P-256) were made with openssl for this test and are good from
 * November 2026 for a hundred years; post-quantum chains are in tests/unit/crypto/x509_verify.c. */
#include "lab.h"

/* PEM as JSON writes it. */
static const char issuer[] = "-----BEGIN CERTIFICATE-----\\n"
                             "MIIBgjCCASmgAwIBAgIUV+A4W34yPkJEDZ3PLNROvCfIdO4wCgYIKoZIzj0EAwIw\\n"
                             "FjEUMBIGA1UEAwwLdGVzdCBpc3N1ZXIwIBcNMjYxMTI1MTAxMDQxWhgPMjEyNjEx\\n"
                             "MDExMDEwNDFaMBYxFDASBgNVBAMMC3Rlc3QgaXNzdWVyMFkwEwYHKoZIzj0CAQYI\\n"
                             "KoZIzj0DAQcDQgAEmJu+e/Zhv8YCqUnWjO1MNXmLySaCM3bLjl5N4fLZh24Njf71\\n"
                             "ajyWFBUv5+NyHFXkfvK0x3Odsje5TzK7Pxl9XaNTMFEwHQYDVR0OBBYEFFFxFRrM\\n"
                             "ezQfoiUjkOUv0OG6nyiQMB8GA1UdIwQYMBaAFFFxFRrMezQfoiUjkOUv0OG6nyiQ\\n"
                             "MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgGjM7hstZet739a57\\n"
                             "9yqtYcTN09PHT9Lil7rGAiwkVdECIHj8nF+kwLgfG0UKstYmjl+KyACv+K1uizMC\\n"
                             "DJXEx5E2\\n"
                             "-----END CERTIFICATE-----\\n";
static const char other_issuer[] = "-----BEGIN CERTIFICATE-----\\n"
                                   "MIIBhjCCASugAwIBAgIUcGz7wa6IAVMK6a3J8EQJ1Dx/LxkwCgYIKoZIzj0EAwIw\\n"
                                   "FzEVMBMGA1UEAwwMb3RoZXIgaXNzdWVyMCAXDTI2MTEyNTEwMTA0MVoYDzIxMjYx\\n"
                                   "MTAxMTAxMDQxWjAXMRUwEwYDVQQDDAxvdGhlciBpc3N1ZXIwWTATBgcqhkjOPQIB\\n"
                                   "BggqhkjOPQMBBwNCAATdiXNkM/6vtuaxDz9FKS6drXeU7iJB+wtxbgYnJ9nVbdGe\\n"
                                   "zNZFEWQ5M4yOLBppvZ7l2gzqlm6mKJJTF9UUFVnko1MwUTAdBgNVHQ4EFgQURaEt\\n"
                                   "Rk+vAAILAClzHeVe5FxBdDMwHwYDVR0jBBgwFoAURaEtRk+vAAILAClzHeVe5FxB\\n"
                                   "dDMwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAne+MN/Q3TEXt\\n"
                                   "WRgy+vnahPq2V4c7lVPsCaS9WE19T28CIQCF3Lu5uMpXi6C+UL8yPy8ELVl8u+2A\\n"
                                   "wXeQSZWPpeCpdw==\\n"
                                   "-----END CERTIFICATE-----\\n";
/* OU=payments, CN=app.example, serial 4242, DNS:app.example, URI:spiffe://example/app; signed by issuer */
static const char holder[] = "-----BEGIN CERTIFICATE-----\\n"
                             "MIIBwzCCAWmgAwIBAgICEJIwCgYIKoZIzj0EAwIwFjEUMBIGA1UEAwwLdGVzdCBp\\n"
                             "c3N1ZXIwIBcNMjYxMTI1MTAxMDQxWhgPMjEyNjExMDExMDEwNDFaMCkxETAPBgNV\\n"
                             "BAsMCHBheW1lbnRzMRQwEgYDVQQDDAthcHAuZXhhbXBsZTBZMBMGByqGSM49AgEG\\n"
                             "CCqGSM49AwEHA0IABJiXFSLTAbtQmFG5WbCPL3I9G97HeivZeo33HlCUIl0MHIZZ\\n"
                             "G0MrlLmN4yutDZOBfdwgH5bBWpHCHyfocf8Zr9OjgZEwgY4wLAYDVR0RBCUwI4IL\\n"
                             "YXBwLmV4YW1wbGWGFHNwaWZmZTovL2V4YW1wbGUvYXBwMBMGA1UdJQQMMAoGCCsG\\n"
                             "AQUFBwMCMAkGA1UdEwQCMAAwHQYDVR0OBBYEFDEkagBGrzKJyDxqHAqZKOY2l5Fi\\n"
                             "MB8GA1UdIwQYMBaAFFFxFRrMezQfoiUjkOUv0OG6nyiQMAoGCCqGSM49BAMCA0gA\\n"
                             "MEUCIQDH3t0gE7lUEmjgbxtmX6vGdqEHkl41DOdkAa5jnlUQpAIgGFvw6BgMN9xH\\n"
                             "WAwZek/1ctjFffwurvImjUtv5TaXIFE=\\n"
                             "-----END CERTIFICATE-----\\n";

static uint8_t holder_der[1024];

static void decode_holder(struct lab *lab)
{
    char body[2048];
    size_t len = 0;
    const char *at = strstr(holder, "\\n") + 2, *end = strstr(holder, "-----END");
    for (; at < end; at++) {
        if (at[0] == '\\')
            at++; /* and the n behind it */
        else
            body[len++] = *at;
    }
    struct hf_buf der = hf_buf(holder_der, sizeof holder_der);
    assert_int_equal(hf_base64_decode(&der, hf_cursor(body, len)).code, HF_OK);
    lab->cert = hf_buf_cursor(&der);
}

static int open_cert(void **state)
{
    lab_open(state);
    struct lab *lab = *state;
    lab->time.wall_ns = INT64_C(1800000000) * HF_SECOND; /* January 2027 */
    lab_ok(lab, lab_write(lab, "sys/auth/cert", "{\"type\": \"cert\"}"));
    decode_holder(lab);
    return 0;
}

static void put_role(struct lab *lab, const char *name, const char *pem, const char *more)
{
    char path[128], json[8192];
    snprintf(path, sizeof path, "auth/cert/certs/%s", name);
    snprintf(json, sizeof json, "{\"certificate\": \"%s\"%s%s}", pem, *more == '\0' ? "" : ", ", more);
    lab_ok(lab, lab_write(lab, path, json));
}

static int login(struct lab *lab, const char *fields)
{
    char kept[HF_DEV_TEXT_MAX];
    snprintf(kept, sizeof kept, "%s", lab->token);
    lab->token[0] = '\0';
    int http = lab_write(lab, "auth/cert/login", fields);
    snprintf(lab->token, sizeof lab->token, "%s", kept);
    return http;
}

static void roles_are_kept(void **state)
{
    struct lab *lab = *state;
    put_role(lab, "App", issuer,
             "\"token_policies\": \"app\", \"token_ttl\": 600, \"allowed_common_names\": \"a,b\"");
    lab_ok(lab, lab_read(lab, "auth/cert/certs/app"));
    assert_string_equal(lab_str(lab, "token_policies"), "[\"app\"]");
    assert_string_equal(lab_str(lab, "token_ttl"), "600");
    assert_string_equal(lab_str(lab, "allowed_common_names"), "[\"a\",\"b\"]");
    assert_string_equal(lab_str(lab, "display_name"), "app");
    assert_non_null(strstr(lab_str(lab, "certificate"), "BEGIN CERTIFICATE"));
    lab_ok(lab, lab_list(lab, "auth/cert/certs"));
    assert_string_equal(lab_str(lab, "keys"), "[\"app\"]");
    assert_int_equal(lab_delete(lab, "auth/cert/certs/app"), 204);
    assert_int_equal(lab_read(lab, "auth/cert/certs/app"), 404);
    lab_write(lab, "auth/cert/certs/x", "{\"certificate\": \"nonsense\"}");
    lab_expect(lab, 400, "failed to parse certificate");
    lab_write(lab, "auth/cert/certs/x", "{}");
    lab_expect(lab, 400, "failed to parse certificate");
    lab_write(lab, "auth/cert/certs/x", "{\"required_extensions\": [\"1.2.3:x\"]}");
    lab_expect(lab, 400, "not supported");
}

static void a_holder_logs_in(void **state)
{
    struct lab *lab = *state;
    put_role(lab, "other", other_issuer, "");
    put_role(lab, "web", issuer,
             "\"token_policies\": [\"app\"], \"token_ttl\": \"10m\", \"display_name\": \"the web\"");
    assert_int_equal(login(lab, "{}"), 200);
    assert_string_equal(lab_str(lab, "policies"), "[\"app\",\"default\"]");
    assert_string_equal(lab_str(lab, "lease_duration"), "600");
    assert_string_equal(lab_str(lab, "metadata.cert_name"), "web");
    assert_string_equal(lab_str(lab, "metadata.common_name"), "app.example");
    assert_string_equal(lab_str(lab, "metadata.serial_number"), "4242");
    assert_int_equal(strlen(lab_str(lab, "metadata.subject_key_id")), 59);
    snprintf(lab->token, sizeof lab->token, "%s", lab_str(lab, "client_token"));
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    assert_string_equal(lab_str(lab, "display_name"), "the web");
    assert_int_equal(login(lab, "{\"name\": \"web\"}"), 200);
    assert_int_equal(login(lab, "{\"name\": \"other\"}"), 400);
    assert_int_equal(login(lab, "{\"name\": \"none\"}"), 400);
}

static void who_is_not_meant_stays_out(void **state)
{
    struct lab *lab = *state;
    struct hf_cursor cert = lab->cert;
    put_role(lab, "web", issuer, "");
    lab->cert = (struct hf_cursor){0};
    login(lab, "{}");
    lab_expect(lab, 400, "client certificate must be supplied");
    lab->cert = hf_cursor(cert.at, cert.left - 1);
    login(lab, "{}");
    lab_expect(lab, 400, "invalid certificate");
    lab->cert = cert;
    assert_int_equal(login(lab, "{}"), 200);
    holder_der[cert.left - 5] ^= 1; /* in the signature */
    assert_int_equal(login(lab, "{}"), 400);
    holder_der[cert.left - 5] ^= 1;
    assert_int_equal(lab_delete(lab, "auth/cert/certs/web"), 204);
    assert_int_equal(login(lab, "{}"), 400);
    put_role(lab, "one", holder, ""); /* this one holder */
    assert_int_equal(login(lab, "{}"), 200);
    lab->time.wall_ns = INT64_C(1700000000) * HF_SECOND; /* before it is good */
    assert_int_equal(login(lab, "{}"), 400);
}

static void names_are_asked_for(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *fields;
        int http;
    } rows[] = {
        {"\"allowed_common_names\": \"app.example\"", 200},
        {"\"allowed_common_names\": [\"x\", \"*.example\"]", 200},
        {"\"allowed_common_names\": \"web.example\"", 400},
        {"\"allowed_dns_sans\": \"app.*\"", 200},
        {"\"allowed_dns_sans\": \"db.*\"", 400},
        {"\"allowed_uri_sans\": \"spiffe://example/*\"", 200},
        {"\"allowed_uri_sans\": \"spiffe://other/*\"", 400},
        {"\"allowed_email_sans\": \"*\"", 400},
        {"\"allowed_organizational_units\": \"payments\"", 200},
        {"\"allowed_organizational_units\": \"pay\"", 400},
        {"\"allowed_names\": \"app.example\"", 200},
        {"\"allowed_names\": \"none\"", 400},
        {"\"allowed_common_names\": \"app.example\", \"allowed_dns_sans\": \"db.*\"",
         400}, /* all kinds must be met */
        {"\"token_bound_cidrs\": \"10.0.0.0/8\"", 400},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        put_role(lab, "web", issuer, rows[i].fields);
        if (login(lab, "{}") != rows[i].http)
            fail_msg("%s: %d %s", rows[i].fields, lab->http, lab->text);
        lab->time.boot_ns += HF_LIMITS_LOCK_MAX_S * HF_SECOND;
        lab_ok(lab, lab_delete(lab, "auth/cert/certs/web"));
    }
}

#define CERT_TEST(name) cmocka_unit_test_setup_teardown(name, open_cert, lab_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CERT_TEST(roles_are_kept),
        CERT_TEST(a_holder_logs_in),
        CERT_TEST(who_is_not_meant_stays_out),
        CERT_TEST(names_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
