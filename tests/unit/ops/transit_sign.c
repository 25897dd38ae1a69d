/* Sign, verify, HMAC. Known answers from python3-cryptography. */
#include "unit/ops/lab.h"
#include "unit/ops/wrap.h"

#define HELLO "aGVsbG8="
#define KNOWN "a25vd24gYW5zd2Vy"
#define CUSTOMER "Y3VzdG9tZXIgMQ=="
/* SHA-256 of "hello" */
#define HELLO_SHA256 "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="

static void expect_valid(struct lab *lab, const char *path, const char *json, const char *valid)
{
    lab_ok(lab, lab_write(lab, path, json));
    if (strcmp(lab_str(lab, "valid"), valid) != 0)
        fail_msg("%s %s: %s", path, json, lab->text);
}

static void every_type_verifies_what_it_signed(void **state)
{
    struct lab *lab = *state;
    static const char *const types[] = {
        "\"type\":\"ed25519\"",
        "\"type\":\"ecdsa-p256\"",
        "\"type\":\"ecdsa-p384\"",
        "\"type\":\"ecdsa-p521\"",
        "\"type\":\"rsa-2048\"",
        "\"type\":\"ml-dsa\",\"parameter_set\":\"44\"",
        "\"type\":\"ml-dsa\",\"parameter_set\":\"65\"",
        "\"type\":\"ml-dsa\",\"parameter_set\":\"87\"",
        "\"type\":\"slh-dsa\",\"parameter_set\":\"slh-dsa-sha2-128f\"",
        "\"type\":\"hybrid\"",
        "\"type\":\"hybrid\",\"hybrid_key_type_ec\":\"ecdsa-p256\"",
        "\"type\":\"hybrid\",\"parameter_set\":\"44\",\"hybrid_key_type_ec\":\"ed25519\"",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(types); i++) {
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/k%zu", i), lab_f("{%s}", types[i])));
        lab_ok(lab, lab_write(lab, lab_f("transit/sign/k%zu", i), "{\"input\":\"" HELLO "\"}"));
        assert_int_equal(lab_num(lab, "key_version"), 1);
        char *signature = strdup(lab_str(lab, "signature"));
        assert_int_equal(strncmp(signature, "vault:v1:", 9), 0);
        char path[32];
        snprintf(path, sizeof path, "transit/verify/k%zu", i);
        expect_valid(lab, path, lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"}", signature), "true");
        expect_valid(lab, path, lab_f("{\"input\":\"" KNOWN "\",\"signature\":\"%s\"}", signature), "false");
        /* Another key does not accept it. */
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/k%zu/rotate", i), NULL));
        signature[7] = '2';
        expect_valid(lab, path, lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"}", signature), "false");
        signature[7] = '1';
        expect_valid(lab, path, lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"}", signature), "true");
        free(signature);
    }
}

static void rsa_options(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/r", "{\"type\":\"rsa-2048\"}"));
    static const char *const ways[] = {
        "",
        ",\"signature_algorithm\":\"pss\",\"salt_length\":\"hash\"",
        ",\"signature_algorithm\":\"pss\",\"salt_length\":\"auto\"",
        ",\"signature_algorithm\":\"pss\",\"salt_length\":20",
        ",\"signature_algorithm\":\"pss\",\"salt_length\":\"0\"",
        ",\"signature_algorithm\":\"pkcs1v15\"",
        ",\"signature_algorithm\":\"pkcs1v15\",\"hash_algorithm\":\"sha2-512\"",
        ",\"hash_algorithm\":\"sha3-256\"",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(ways); i++) {
        lab_ok(lab, lab_write(lab, "transit/sign/r", lab_f("{\"input\":\"" HELLO "\"%s}", ways[i])));
        char *signature = strdup(lab_str(lab, "signature"));
        expect_valid(lab, "transit/verify/r",
                     lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"%s}", signature, ways[i]), "true");
        /* PSS verifies with the salt length left to be found. */
        if (i >= 1 && i <= 4)
            expect_valid(lab, "transit/verify/r",
                         lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"}", signature), "true");
        if (i == 5)
            expect_valid(lab, "transit/verify/r",
                         lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"}", signature), "false");
        free(signature);
    }
    lab_ok(lab, lab_write(lab, "transit/sign/r",
                          "{\"input\":\"" HELLO "\",\"signature_algorithm\":\"pkcs1v15\"}"));
    char *plain = strdup(lab_str(lab, "signature"));
    lab_ok(lab, lab_write(lab, "transit/sign/r/sha2-256",
                          "{\"input\":\"" HELLO_SHA256
                          "\",\"prehashed\":true,\"signature_algorithm\":\"pkcs1v15\"}"));
    assert_string_equal(lab_str(lab, "signature"), plain); /* PKCS#1 v1.5 is deterministic */
    free(plain);
}

static void marshaling(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/e", "{\"type\":\"ecdsa-p256\"}"));
    lab_ok(lab,
           lab_write(lab, "transit/sign/e", "{\"input\":\"" HELLO "\",\"marshaling_algorithm\":\"jws\"}"));
    char *signature = strdup(lab_str(lab, "signature"));
    assert_int_equal(strlen(signature), 9 + 86); /* 64 bytes in base64url */
    assert_null(strpbrk(signature + 9, "+/="));
    expect_valid(
        lab, "transit/verify/e",
        lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\",\"marshaling_algorithm\":\"jws\"}", signature),
        "true");
    free(signature);
    lab_write(lab, "transit/sign/e", "{\"input\":\"" HELLO "\",\"marshaling_algorithm\":\"xml\"}");
    lab_expect(lab, 400, "marshaling");
}

static void known_signatures(void **state)
{
    struct lab *lab = *state;
    uint8_t seed[32];
    for (int i = 0; i < 32; i++)
        seed[i] = (uint8_t)i;
    lab_ok(lab, lab_import(lab, "ed", "ed25519", "ml-kem-768", "", seed, 32));
    lab_ok(lab, lab_write(lab, "transit/sign/ed", "{\"input\":\"" KNOWN "\"}"));
    assert_string_equal(lab_str(lab, "signature"),
                        "vault:v1:8igz07n0RmaRHRzTFGVRdDvoSC7rvBiuvxvjnzbl/pUEsK8ulkftMAAMZA3MGNf2H781/"
                        "BvQ4BLircZsGf/TBA==");
    lab_ok(lab, lab_import(lab, "edd", "ed25519", "ml-kem-768", ",\"derived\":true", seed, 32));
    lab_ok(lab, lab_write(lab, "transit/sign/edd", "{\"input\":\"" KNOWN "\",\"context\":\"" CUSTOMER "\"}"));
    assert_string_equal(
        lab_str(lab, "signature"),
        "vault:v1:O54UuFNY1KAfXalosRkQT+VZSUi2XUd/Muw2Yd8qXALXP8ZuJcIS86BjpkBXK4ALXkRH4d7cuq0Vrstab/"
        "v4Dg==");
    assert_string_equal(lab_str(lab, "public_key"), "JeA0Mist3/CvAWcCxhsyeSDKaLvO/TZGR4LQAlv+h3E=");
    lab_ok(lab, lab_read(lab, "transit/keys/edd"));
    assert_string_equal(lab_str(lab, "keys.1.public_key"), "");
    lab_ok(lab, lab_call(lab, HF_METHOD_READ, "transit/keys/edd", "{\"context\":\"" CUSTOMER "\"}"));
    assert_string_equal(lab_str(lab, "keys.1.public_key"), "JeA0Mist3/CvAWcCxhsyeSDKaLvO/TZGR4LQAlv+h3E=");
    lab_ok(lab, lab_import(lab, "mac", "hmac", "ml-kem-768", "", seed, 32));
    lab_ok(lab, lab_write(lab, "transit/hmac/mac", "{\"input\":\"" KNOWN "\"}"));
    assert_string_equal(lab_str(lab, "hmac"), "vault:v1:FhRAsJIv9eilCqH0yhQn6ujnP8BlxrHpOPk8DGRFncg=");
}

static void contexts_separate(void **state)
{
    struct lab *lab = *state;
    static const char *const types[] = {"ml-dsa", "hybrid"};
    for (size_t i = 0; i < HF_ARRAY_LEN(types); i++) {
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/%s", types[i]), lab_f("{\"type\":\"%s\"}", types[i])));
        lab_ok(lab, lab_write(lab, lab_f("transit/sign/%s", types[i]),
                              "{\"input\":\"" HELLO "\",\"signature_context\":\"" CUSTOMER "\"}"));
        char *signature = strdup(lab_str(lab, "signature"));
        char path[32];
        snprintf(path, sizeof path, "transit/verify/%s", types[i]);
        expect_valid(lab, path,
                     lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\",\"signature_context\":\"" CUSTOMER
                           "\"}",
                           signature),
                     "true");
        expect_valid(lab, path, lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"}", signature), "false");
        free(signature);
    }
}

static void hmac_of_every_key(void **state)
{
    struct lab *lab = *state;
    static const char *const types[] = {"aes256-gcm96", "hmac", "ed25519", "ml-kem"};
    for (size_t i = 0; i < HF_ARRAY_LEN(types); i++) {
        char path[48];
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/%s", types[i]), lab_f("{\"type\":\"%s\"}", types[i])));
        lab_ok(lab, lab_write(lab, lab_f("transit/hmac/%s/sha2-512", types[i]), "{\"input\":\"" HELLO "\"}"));
        char *mac = strdup(lab_str(lab, "hmac"));
        assert_int_equal(strlen(mac), 9 + HF_BASE64_LEN(64));
        snprintf(path, sizeof path, "transit/verify/%s", types[i]);
        expect_valid(lab, path,
                     lab_f("{\"input\":\"" HELLO "\",\"hmac\":\"%s\",\"hash_algorithm\":\"sha2-512\"}", mac),
                     "true");
        expect_valid(lab, path,
                     lab_f("{\"input\":\"" KNOWN "\",\"hmac\":\"%s\",\"hash_algorithm\":\"sha2-512\"}", mac),
                     "false");
        expect_valid(lab, path, lab_f("{\"input\":\"" HELLO "\",\"hmac\":\"%s\"}", mac), "false");
        snprintf(path, sizeof path, "transit/verify/%s/sha2-512", types[i]);
        expect_valid(lab, path, lab_f("{\"input\":\"" HELLO "\",\"hmac\":\"%s\"}", mac), "true");
        free(mac);
    }
}

static void batches(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/e", "{\"type\":\"ed25519\"}"));
    lab_ok(lab, lab_write(lab, "transit/sign/e",
                          "{\"batch_input\":[{\"input\":\"" HELLO
                          "\",\"reference\":\"a\"},{\"input\":\"*\"},{}]}"));
    assert_int_equal(lab->http, 200);
    assert_string_equal(lab_str(lab, "batch_results.0.reference"), "a");
    assert_non_null(strstr(lab_str(lab, "batch_results.1.error"), "unable to decode input as base64"));
    assert_string_equal(lab_str(lab, "batch_results.2.error"), "missing input");
    lab_ok(lab,
           lab_write(
               lab, "transit/verify/e",
               lab_f("{\"batch_input\":[{\"input\":\"" HELLO "\",\"signature\":\"%s\"},{\"input\":\"" KNOWN
                     "\",\"signature\":\"%s\"},{\"input\":\"" HELLO "\",\"signature\":\"vault:v1:AAAA\"},"
                     "{\"input\":\"" HELLO "\"}]}",
                     lab_str(lab, "batch_results.0.signature"), lab_str(lab, "batch_results.0.signature"))));
    assert_string_equal(lab_str(lab, "batch_results.0.valid"), "true");
    assert_string_equal(lab_str(lab, "batch_results.1.valid"), "false");
    assert_string_equal(lab_str(lab, "batch_results.2.valid"), "false");
    assert_string_equal(lab_str(lab, "batch_results.3.valid"), "false");
    assert_true(strlen(lab_str(lab, "batch_results.3.error")) > 5);
    lab_ok(lab, lab_write(lab, "transit/hmac/e",
                          "{\"batch_input\":[{\"input\":\"" HELLO "\"},{\"input\":\"" KNOWN "\"}]}"));
    lab_ok(lab, lab_write(lab, "transit/verify/e",
                          lab_f("{\"batch_input\":[{\"input\":\"" HELLO
                                "\",\"hmac\":\"%s\"},{\"input\":\"" HELLO "\",\"hmac\":\"%s\"}]}",
                                lab_str(lab, "batch_results.0.hmac"), lab_str(lab, "batch_results.1.hmac"))));
    assert_string_equal(lab_str(lab, "batch_results.0.valid"), "true");
    assert_string_equal(lab_str(lab, "batch_results.1.valid"), "false");
}

static void refusals(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/a", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/e", "{\"type\":\"ed25519\"}"));
    static const struct {
        const char *path, *members, *why;
    } rows[] = {
        {"transit/sign/none", "\"input\":\"" HELLO "\"", "signing key not found"},
        {"transit/verify/none", "\"input\":\"" HELLO "\"", "signature verification key not found"},
        {"transit/hmac/none", "\"input\":\"" HELLO "\"", "encryption key not found"},
        {"transit/sign/a", "\"input\":\"" HELLO "\"", "key type aes256-gcm96 does not support signing"},
        {"transit/hmac/e", "", "missing input for HMAC"},
        {"transit/sign/e", "\"input\":\"" HELLO "\",\"key_version\":5",
         "requested version for signing is higher than the latest key version"},
        {"transit/sign/e", "\"input\":\"" HELLO "\",\"hash_algorithm\":\"md5\"", "invalid hash algorithm"},
        {"transit/sign/e/md5", "\"input\":\"" HELLO "\"", "invalid hash algorithm"},
        {"transit/sign/e", "\"input\":\"" HELLO "\",\"signature_algorithm\":\"x\"",
         "unsupported signature algorithm"},
        {"transit/sign/e", "\"input\":\"" HELLO "\",\"hash_algorithm\":\"none\"", "hash_algorithm=none"},
        {"transit/verify/e", "\"input\":\"" HELLO "\",\"signature\":\"x\"", "invalid signature: no prefix"},
        {"transit/verify/e", "\"input\":\"" HELLO "\",\"signature\":\"vault:v9:AA==\"",
         "invalid signature: version is too new"},
        {"transit/verify/e", "\"input\":\"" HELLO "\",\"signature\":\"vault:v1:*\"",
         "invalid base64 signature value"},
        {"transit/verify/e", "\"input\":\"" HELLO "\",\"signature\":\"x\",\"hmac\":\"y\"", "provide one of"},
        {"transit/verify/e", "\"input\":\"" HELLO "\",\"hmac\":\"y\"", "invalid HMAC: no prefix"},
        {"transit/hmac/a/md5", "\"input\":\"" HELLO "\"", "invalid hash algorithm"},
        {"transit/hmac/a", "\"input\":\"*\"", "unable to decode input as base64"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_write(lab, rows[i].path, lab_f("{%s}", rows[i].members));
        lab_expect(lab, 400, rows[i].why);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)
    const struct CMUnitTest tests[] = {
        T(every_type_verifies_what_it_signed),
        T(rsa_options),
        T(marshaling),
        T(known_signatures),
        T(contexts_separate),
        T(hmac_of_every_key),
        T(batches),
        T(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
