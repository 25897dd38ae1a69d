/* Encrypt, decrypt, rewrap, as clients meet them. Known answers were made with python3-cryptography (AES-GCM,
 * ChaCha20-Poly1305, HKDF), not with this code. */
#include "unit/ops/lab.h"
#include "unit/ops/wrap.h"

#include "keys/keys.h"

#define HELLO "aGVsbG8="            /* hello */
#define KNOWN "a25vd24gYW5zd2Vy"    /* known answer */
#define CUSTOMER "Y3VzdG9tZXIgMQ==" /* customer 1 */

static char *encrypt(struct lab *lab, const char *key, const char *members)
{
    lab_ok(lab, lab_write(lab, lab_f("transit/encrypt/%s", key), lab_f("{%s}", members)));
    return strdup(lab_str(lab, "ciphertext"));
}

static void round_trip(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/pay", NULL));
    assert_string_equal(lab_str(lab, "type"), "aes256-gcm96");
    assert_string_equal(lab_str(lab, "quantum_readiness"), "quantum-resilient");
    char *ciphertext = encrypt(lab, "pay", "\"plaintext\":\"" HELLO "\"");
    assert_int_equal(lab_num(lab, "key_version"), 1);
    assert_int_equal(strncmp(ciphertext, "vault:v1:", 9), 0);
    assert_int_equal(strlen(ciphertext), 9 + HF_BASE64_LEN(5 + 28));
    lab_ok(lab, lab_write(lab, "transit/decrypt/pay", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    assert_string_equal(lab_str(lab, "plaintext"), HELLO);
    assert_false(lab->waited);
    char *second = encrypt(lab, "pay", "\"plaintext\":\"" HELLO "\"");
    assert_string_not_equal(second, ciphertext);
    assert_false(lab->waited); /* from here nothing on this way waits for the store */
    free(ciphertext);
    free(second);
}

static void every_sealing_type_and_size(void **state)
{
    struct lab *lab = *state;
    static const char *const types[] = {"aes128-gcm96",   "aes256-gcm96", "chacha20-poly1305",
                                        "aes256-gcm-siv", "xaes256-gcm",  "rsa-2048"};
    static const size_t sizes[] = {0, 1, 2, 3, 15, 16, 17, 64, 190, 1000, 65536, 1 << 20};
    char *text = malloc(2 << 20);
    uint8_t *bytes = calloc(1, 1 << 20);
    assert_true(text != NULL && bytes != NULL);
    for (size_t t = 0; t < HF_ARRAY_LEN(types); t++) {
        bool rsa = strcmp(types[t], "rsa-2048") == 0;
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/%s", types[t]), lab_f("{\"type\":\"%s\"}", types[t])));
        for (size_t s = 0; s < HF_ARRAY_LEN(sizes); s++) {
            if (rsa && (sizes[s] == 0 || sizes[s] > 190))
                continue;
            int at = snprintf(text, 2 << 20, "{\"plaintext\":\"");
            struct hf_buf out = hf_buf(text + at, (2 << 20) - (size_t)at - 8);
            memset(bytes, (int)(s + 1), sizes[s]);
            hf_base64_encode(&out, hf_cursor(bytes, sizes[s]));
            char *plain = strndup(text + at, out.len);
            memcpy(text + at + out.len, "\"}", 3);
            lab_ok(lab, lab_write(lab, lab_f("transit/encrypt/%s", types[t]), text));
            struct hf_tree ct = lab_get(lab, "ciphertext");
            at = snprintf(text, 2 << 20, "{\"ciphertext\":");
            out = hf_buf(text + at, (2 << 20) - (size_t)at - 4);
            hf_tree_to_json(&ct, &out);
            memcpy(text + at + out.len, "}", 2);
            lab_ok(lab, lab_write(lab, lab_f("transit/decrypt/%s", types[t]), text));
            struct hf_tree opened = lab_get(lab, "plaintext");
            out = hf_buf(text, 2 << 20);
            hf_tree_to_json(&opened, &out);
            assert_int_equal(out.len, strlen(plain) + 2);
            assert_memory_equal(text + 1, plain, strlen(plain));
            free(plain);
        }
    }
    lab_write(lab, "transit/encrypt/rsa-2048",
              "{\"plaintext\":\"" HELLO "\",\"associated_data\":\"" HELLO "\"}");
    lab_expect(lab, 400, "associated_data");
    lab_write(lab, "transit/encrypt/rsa-2048", "{\"plaintext\":\"\"}");
    lab_expect(lab, 400, "empty plaintext");
    memset(text, 'A', 400);
    memcpy(text + 400, "", 1);
    lab_write(lab, "transit/encrypt/rsa-2048", lab_f("{\"plaintext\":\"%s\"}", text));
    lab_expect(lab, 400, NULL); /* longer than OAEP can hold */
    free(text);
    free(bytes);
}

static void known_answers(void **state)
{
    struct lab *lab = *state;
    uint8_t key[32];
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    lab_ok(lab, lab_import(lab, "gcm", "aes256-gcm96", "ml-kem-768", "", key, 32));
    lab_ok(lab, lab_import(lab, "cha", "chacha20-poly1305", "ml-kem-768", "", key, 32));
    lab_ok(lab, lab_import(lab, "der", "aes256-gcm96", "ml-kem-768", ",\"derived\":true", key, 32));
    lab_ok(lab, lab_import(lab, "con", "aes256-gcm96", "ml-kem-768",
                           ",\"derived\":true,\"convergent_encryption\":true", key, 32));
    static const struct {
        const char *key, *ciphertext, *more;
    } rows[] = {
        {"gcm", "QEFCQ0RFRkdISUpLidfBVEgc5m2+s3JEZdkgvmftZYbYpbA8Cy01Zw==", ""},
        {"gcm",
         "QEFCQ0RFRkdISUpLidfBVEgc5m2+s3JEcKrgAn7e1VXfe4MhCd9UwA==", ",\"associated_data\":\"YmVzaWRl\""},
        {"cha", "QEFCQ0RFRkdISUpLkzoT9hxqj28ruJNywD6n5CX1PS8aTaQ80XC4cg==", ""},
        {"der", "QEFCQ0RFRkdISUpLkzomnTefXo6jLsQZ9Lq5V4W4VoOs3ADn0MtsLA==", ",\"context\":\"" CUSTOMER "\""},
        {"con", "luSMyuvxoe4AeIq7YSmeQZKYUpkjo9CIIKA4YzizAYD4wAt/4E69DA==", ",\"context\":\"" CUSTOMER "\""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_ok(lab, lab_write(lab, lab_f("transit/decrypt/%s", rows[i].key),
                              lab_f("{\"ciphertext\":\"vault:v1:%s\"%s}", rows[i].ciphertext, rows[i].more)));
        assert_string_equal(lab_str(lab, "plaintext"), KNOWN);
    }
    /* Convergent encryption is deterministic: the very bytes that other implementations make. */
    char *made = encrypt(lab, "con", "\"plaintext\":\"" KNOWN "\",\"context\":\"" CUSTOMER "\"");
    assert_string_equal(made + 9, rows[4].ciphertext);
    free(made);
}

static void refusals_of_decrypt(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *ciphertext, *why;
    } rows[] = {
        {"", "missing ciphertext to decrypt"},
        {"garbage", "invalid ciphertext: no prefix"},
        {"vault:v1", "invalid ciphertext: wrong number of fields"},
        {"vault:vx:AAAA", "invalid ciphertext: version number could not be decoded"},
        {"vault:v-1:AAAA", "invalid ciphertext: version number could not be decoded"},
        {"vault:v99999999999:AAAA", "invalid ciphertext: version number could not be decoded"},
        {"vault:v2:AAAA", "invalid ciphertext: version is too new"},
        {"vault:v1:@@@@", "invalid ciphertext: could not decode base64"},
        {"vault:v1:AAAA", "invalid ciphertext length"},
        {"vault:v1:QEFCQ0RFRkdISUpLidfBVEgc5m2+s3JEZdkgvmftZYbYpbA8Cy01Zw==",
         "message authentication failed"},
    };
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", rows[i].ciphertext));
        lab_expect(lab, 400, rows[i].why);
    }
    lab_write(lab, "transit/decrypt/nokey", "{\"ciphertext\":\"vault:v1:AAAA\"}");
    lab_expect(lab, 400, "encryption key not found");
    lab_write(lab, "transit/encrypt/k", "{}");
    lab_expect(lab, 400, "missing plaintext to encrypt");
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"a=b\"}");
    lab_expect(lab, 400, "illegal base64 data at input byte 1");
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":7}");
    lab_expect(lab, 400, "expected type 'string'");
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\",\"key_version\":2}");
    lab_expect(lab, 400, "requested version for encryption is higher than the latest key version");
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\",\"key_version\":-1}");
    lab_expect(lab, 400, "requested version for encryption is negative");
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\",\"nonce\":\"AAAA\"}");
    lab_expect(lab, 400, "nonce provided when not allowed");
    /* Line breaks are what `base64` makes by default. */
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"aGVs\\nbG8=\\r\\n\"}"));
}

static void a_changed_ciphertext_does_not_open(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    char *ciphertext = encrypt(lab, "k", "\"plaintext\":\"" HELLO "\",\"associated_data\":\"" HELLO "\"");
    lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext));
    lab_expect(lab, 400, "authentication failed");
    lab_write(lab, "transit/decrypt/k",
              lab_f("{\"ciphertext\":\"%s\",\"associated_data\":\"" CUSTOMER "\"}", ciphertext));
    lab_expect(lab, 400, "authentication failed");
    for (size_t i = 9; ciphertext[i] != '\0' && ciphertext[i] != '='; i++) {
        char was = ciphertext[i];
        ciphertext[i] = was == 'A' ? 'B' : 'A';
        lab_write(lab, "transit/decrypt/k",
                  lab_f("{\"ciphertext\":\"%s\",\"associated_data\":\"" HELLO "\"}", ciphertext));
        lab_expect(lab, 400, NULL);
        ciphertext[i] = was;
    }
    lab_ok(lab, lab_write(lab, "transit/decrypt/k",
                          lab_f("{\"ciphertext\":\"%s\",\"associated_data\":\"" HELLO "\"}", ciphertext)));
    free(ciphertext);
}

static void versions_and_rewrap(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    char *first = encrypt(lab, "k", "\"plaintext\":\"" HELLO "\"");
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    char *third = encrypt(lab, "k", "\"plaintext\":\"" HELLO "\"");
    assert_int_equal(strncmp(third, "vault:v3:", 9), 0);
    char *second = encrypt(lab, "k", "\"plaintext\":\"" HELLO "\",\"key_version\":2");
    assert_int_equal(strncmp(second, "vault:v2:", 9), 0);
    lab_ok(lab, lab_write(lab, "transit/rewrap/k", lab_f("{\"ciphertext\":\"%s\"}", first)));
    assert_int_equal(lab_num(lab, "key_version"), 3);
    lab_ok(lab,
           lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", lab_str(lab, "ciphertext"))));
    assert_string_equal(lab_str(lab, "plaintext"), HELLO);
    lab_ok(lab, lab_write(lab, "transit/keys/k/config", "{\"min_decryption_version\":2}"));
    lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", first));
    lab_expect(lab, 400, "ciphertext or signature version is disallowed by policy (too old)");
    lab_write(lab, "transit/rewrap/k", lab_f("{\"ciphertext\":\"%s\"}", first));
    lab_expect(lab, 400, "too old");
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", second)));
    lab_ok(lab, lab_write(lab, "transit/keys/k/config", "{\"min_encryption_version\":3}"));
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\",\"key_version\":2}");
    lab_expect(lab, 400, "less than the minimum encryption key version");
    lab_ok(lab, lab_write(lab, "transit/keys/k/config", "{\"min_decryption_version\":1}"));
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", first)));
    free(first);
    free(second);
    free(third);
}

static void derived_keys_ask_for_context(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/d", "{\"derived\":true}"));
    lab_write(lab, "transit/encrypt/d", "{\"plaintext\":\"" HELLO "\"}");
    lab_expect(lab, 400, "missing 'context' for key derivation");
    lab_write(lab, "transit/encrypt/d", "{\"plaintext\":\"" HELLO "\",\"context\":\"!\"}");
    lab_expect(lab, 400, "illegal base64");
    char *ciphertext = encrypt(lab, "d", "\"plaintext\":\"" HELLO "\",\"context\":\"" CUSTOMER "\"");
    lab_write(lab, "transit/decrypt/d",
              lab_f("{\"ciphertext\":\"%s\",\"context\":\"" HELLO "\"}", ciphertext));
    lab_expect(lab, 400, "authentication failed");
    lab_ok(lab, lab_write(lab, "transit/decrypt/d",
                          lab_f("{\"ciphertext\":\"%s\",\"context\":\"" CUSTOMER "\"}", ciphertext)));
    assert_string_equal(lab_str(lab, "plaintext"), HELLO);
    free(ciphertext);
}

static void convergent_keys_give_the_same_for_the_same(void **state)
{
    struct lab *lab = *state;
    static const char *const types[] = {"aes256-gcm96", "xaes256-gcm", "aes256-gcm-siv"};
    for (size_t t = 0; t < HF_ARRAY_LEN(types); t++) {
        char name[16];
        snprintf(name, sizeof name, "c%zu", t);
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/%s", name),
                              lab_f("{\"type\":\"%s\",\"derived\":true,\"convergent_encryption\":true}",
                                    types[t])));
        char *a = encrypt(lab, name, "\"plaintext\":\"" HELLO "\",\"context\":\"" CUSTOMER "\"");
        char *b = encrypt(lab, name, "\"plaintext\":\"" HELLO "\",\"context\":\"" CUSTOMER "\"");
        char *c = encrypt(lab, name, "\"plaintext\":\"" KNOWN "\",\"context\":\"" CUSTOMER "\"");
        char *d = encrypt(lab, name, "\"plaintext\":\"" HELLO "\",\"context\":\"" HELLO "\"");
        char *e = encrypt(lab, name,
                          "\"plaintext\":\"" HELLO "\",\"context\":\"" CUSTOMER
                          "\",\"associated_data\":\"" HELLO "\"");
        assert_string_equal(a, b);
        assert_string_not_equal(a, c);
        assert_string_not_equal(a, d);
        /* other data beside it: another nonce, which is what the ciphertext begins with */
        assert_int_not_equal(strncmp(a, e, 9 + 16), 0);
        lab_ok(lab, lab_write(lab, lab_f("transit/decrypt/%s", name),
                              lab_f("{\"ciphertext\":\"%s\",\"context\":\"" CUSTOMER
                                    "\",\"associated_data\":\"" HELLO "\"}",
                                    e)));
        assert_string_equal(lab_str(lab, "plaintext"), HELLO);
        free(a);
        free(b);
        free(c);
        free(d);
        free(e);
    }
}

static void encrypting_makes_the_key(void **state)
{
    struct lab *lab = *state;
    free(encrypt(lab, "fresh", "\"plaintext\":\"" HELLO "\""));
    lab_ok(lab, lab_read(lab, "transit/keys/fresh"));
    assert_string_equal(lab_str(lab, "type"), "aes256-gcm96");
    assert_string_equal(lab_str(lab, "derived"), "false");
    free(encrypt(lab, "fresh2",
                 "\"plaintext\":\"" HELLO "\",\"type\":\"chacha20-poly1305\",\"context\":\"" CUSTOMER
                 "\",\"convergent_encryption\":true"));
    lab_ok(lab, lab_read(lab, "transit/keys/fresh2"));
    assert_string_equal(lab_str(lab, "type"), "chacha20-poly1305");
    assert_string_equal(lab_str(lab, "convergent_encryption"), "true");
    lab_write(lab, "transit/encrypt/fresh3", "{\"plaintext\":\"" HELLO "\",\"convergent_encryption\":true}");
    lab_expect(lab, 400, "context is required");
    lab_write(lab, "transit/encrypt/fresh3", "{\"plaintext\":\"" HELLO "\",\"type\":\"ed25519\"}");
    lab_expect(lab, 400, "not supported");
    lab_write(lab, "transit/encrypt/~RSA-4096", "{\"plaintext\":\"" HELLO "\"}");
    lab_expect(lab, 400, "invalid key name");
    assert_int_equal(lab_read(lab, "transit/keys/fresh3"), 404);
}

static void batches_answer_in_order_with_references(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k",
                          "{\"batch_input\":[{\"plaintext\":\"" HELLO
                          "\",\"reference\":\"one\"},{\"plaintext\":\"" KNOWN
                          "\"},{\"plaintext\":\"\",\"reference\":\"three\"}]}"));
    assert_string_equal(lab_str(lab, "batch_results.0.reference"), "one");
    assert_string_equal(lab_str(lab, "batch_results.1.reference"), "");
    assert_string_equal(lab_str(lab, "batch_results.2.reference"), "three");
    assert_int_equal(lab_num(lab, "batch_results.2.key_version"), 1);
    const char *again = lab_f(
        "{\"batch_input\":[{\"ciphertext\":\"%s\",\"reference\":\"1\"},{\"ciphertext\":\"vault:v1:AAAA\","
        "\"reference\":\"2\"},{\"ciphertext\":\"%s\"},{\"ciphertext\":\"%s\"}]}",
        lab_str(lab, "batch_results.0.ciphertext"), lab_str(lab, "batch_results.1.ciphertext"),
        lab_str(lab, "batch_results.2.ciphertext"));
    lab_write(lab, "transit/decrypt/k", again);
    assert_int_equal(lab->http, 400); /* one of them failed */
    assert_string_equal(lab_str(lab, "batch_results.0.plaintext"), HELLO);
    assert_string_equal(lab_str(lab, "batch_results.0.reference"), "1");
    assert_string_equal(lab_str(lab, "batch_results.1.plaintext"), "");
    assert_string_equal(lab_str(lab, "batch_results.1.error"), "invalid ciphertext length");
    assert_string_equal(lab_str(lab, "batch_results.1.reference"), "2");
    assert_string_equal(lab_str(lab, "batch_results.2.plaintext"), KNOWN);
    assert_string_equal(lab_str(lab, "batch_results.3.plaintext"), "");
    char *copy = strdup(again);
    copy[strlen(copy) - 1] = '\0';
    lab_write(lab, "transit/decrypt/k", lab_f("%s,\"partial_failure_response_code\":207}", copy));
    assert_int_equal(lab->http, 207);
    lab_write(lab, "transit/decrypt/k", lab_f("%s,\"partial_failure_response_code\":1}", copy));
    assert_int_equal(lab->http, 400);
    assert_int_not_equal(lab->warnings.tag, HF_TREE_NULL);
    lab_write(lab, "transit/decrypt/k",
              "{\"batch_input\":[{\"ciphertext\":\"x\"}],\"partial_failure_response_code\":207}");
    assert_int_equal(lab->http, 400); /* none went well */
    free(copy);
    lab_write(lab, "transit/encrypt/k", "{\"batch_input\":[]}");
    lab_expect(lab, 400, "missing batch input to process");
    lab_write(lab, "transit/encrypt/k", "{\"batch_input\":\"x\"}");
    lab_expect(lab, 400, "failed to parse batch input");
    lab_write(lab, "transit/encrypt/k", "{\"batch_input\":[1]}");
    lab_expect(lab, 400, "failed to parse batch input");
    lab_write(lab, "transit/encrypt/k", "{\"batch_input\":[{\"plaintext\":\"" HELLO "\"},{}]}");
    lab_expect(lab, 400, "'[1].plaintext' missing plaintext to encrypt");
    lab_write(lab, "transit/encrypt/k",
              "{\"batch_input\":[{\"plaintext\":\"" HELLO
              "\"},{\"plaintext\":\"*\",\"reference\":\"b\"},{\"plaintext\":\"" HELLO
              "\",\"key_version\":9}]}");
    assert_int_equal(lab->http, 400);
    assert_string_equal(lab_str(lab, "batch_results.1.error"), "illegal base64 data at input byte 0");
    assert_string_equal(lab_str(lab, "batch_results.1.reference"), "b");
    assert_int_equal(lab_get(lab, "batch_results.1.ciphertext").tag, HF_TREE_NULL);
    assert_string_equal(lab_str(lab, "batch_results.2.error"),
                        "requested version for encryption is higher than the latest key version");
}

static void ten_thousand_items_and_not_one_more(void **state)
{
    struct lab *lab = *state;
    enum { ITEM = 36 };
    char *text = malloc(64 + (size_t)10001 * ITEM);
    assert_non_null(text);
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    for (int count = 10000; count <= 10001; count++) {
        size_t at = (size_t)sprintf(text, "{\"batch_input\":[");
        for (int i = 0; i < count; i++)
            at += (size_t)sprintf(text + at, "%s{\"plaintext\":\"" HELLO "\"}", i == 0 ? "" : ",");
        strcpy(text + at, "]}");
        lab_write(lab, "transit/encrypt/k", text);
        if (count == 10000) {
            assert_int_equal(lab->http, 200);
            assert_int_equal(lab_get(lab, "batch_results").count, 10000);
            assert_string_not_equal(lab_str(lab, "batch_results.9999.ciphertext"),
                                    lab_str(lab, "batch_results.0.ciphertext"));
        } else {
            lab_expect(lab, 400, "at most 10000 items");
        }
    }
    free(text);
}

static struct hf_keys *keys_of(struct lab *lab)
{
    return hf_core_unsealed(lab->core)->keys;
}

static void a_version_stops_at_its_limit(void **state)
{
    struct lab *lab = *state;
    hf_keys_limit(keys_of(lab), 0, 20);
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/x", "{\"type\":\"xaes256-gcm\"}"));
    for (int i = 0; i < 20; i++)
        free(encrypt(lab, "k", "\"plaintext\":\"" HELLO "\""));
    assert_int_not_equal(lab->warnings.tag, HF_TREE_NULL); /* half of it went by */
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}");
    lab_expect(lab, 400, "use limit");
    lab_write(lab, "transit/datakey/wrapped/k", NULL);
    lab_expect(lab, 400, "use limit");
    lab_write(lab, "transit/encrypt/k",
              "{\"batch_input\":[{\"plaintext\":\"" HELLO "\"},{\"plaintext\":\"" HELLO "\"}]}");
    assert_int_equal(lab->http, 400);
    assert_non_null(strstr(lab_str(lab, "batch_results.1.error"), "use limit"));
    lab_restart(lab); /* the store remembers */
    hf_keys_limit(keys_of(lab), 0, 20);
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}");
    lab_expect(lab, 400, "use limit");
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    free(encrypt(lab, "k", "\"plaintext\":\"" HELLO "\""));
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\",\"key_version\":1}");
    lab_expect(lab, 400, "use limit");
}

static void a_crash_overcounts(void **state)
{
    struct lab *lab = *state;
    hf_keys_limit(keys_of(lab), 0, 2000);
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    free(encrypt(lab, "k", "\"plaintext\":\"" HELLO "\"")); /* takes a block of 1,024 */
    lab_restart(lab);
    hf_keys_limit(keys_of(lab), 0, 2000);
    int done = 0;
    while (lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}") == 200)
        done++;
    lab_expect(lab, 400, "use limit");
    assert_int_equal(done, 2000 - 1024);
}

static void past_half_the_key_is_rotated(void **state)
{
    struct lab *lab = *state;
    hf_keys_limit(keys_of(lab), 0, 3000);
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    for (int i = 0; i < 1700; i++)
        free(encrypt(lab, "k", "\"plaintext\":\"" HELLO "\""));
    hf_core_tick(lab->core);
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "latest_version"), 2);
    hf_core_tick(lab->core);
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "latest_version"), 2);
}

static void restart_opens_what_was_sealed(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    char *ciphertext = encrypt(lab, "k", "\"plaintext\":\"" HELLO "\"");
    lab_restart(lab);
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    assert_string_equal(lab_str(lab, "plaintext"), HELLO);
    assert_true(lab->waited); /* its record was read */
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    assert_false(lab->waited);
    free(ciphertext);
}

static void cold_keys_are_let_go_and_come_back(void **state)
{
    struct lab *lab = *state;
    enum { KEYS = 100 };
    char *ciphertexts[KEYS];
    struct hf_keys_stats stats;
    hf_keys_limit(keys_of(lab), 16, 0);
    for (int i = 0; i < KEYS; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        ciphertexts[i] = encrypt(lab, name, "\"plaintext\":\"" HELLO "\"");
    }
    hf_keys_stats(keys_of(lab), &stats);
    assert_true(stats.hot <= 17);
    assert_true(stats.evicted >= KEYS - 17);
    for (int i = 0; i < KEYS; i++) {
        lab_ok(lab, lab_write(lab, lab_f("transit/decrypt/k%d", i),
                              lab_f("{\"ciphertext\":\"%s\"}", ciphertexts[i])));
        assert_string_equal(lab_str(lab, "plaintext"), HELLO);
        free(ciphertexts[i]);
    }
}

static void what_is_not_decrypted_is_not_encrypted(void **state)
{
    struct lab *lab = *state;
    static const char *const routes[] = {"encrypt", "datakey/plaintext", "hmac"};
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/k/config", "{\"min_decryption_version\":2}"));
    for (size_t i = 0; i < HF_ARRAY_LEN(routes); i++) {
        const char *route = strcmp(routes[i], "datakey/plaintext") == 0 ? "datakey/plaintext/k" : NULL;
        char path[64];
        snprintf(path, sizeof path, "transit/%s", route != NULL ? route : lab_f("%s/k", routes[i]));
        assert_int_equal(lab_write(lab, path, "{\"plaintext\":\"\",\"input\":\"\",\"key_version\":1}"), 400);
        lab_ok(lab, lab_write(lab, path, "{\"plaintext\":\"\",\"input\":\"\",\"key_version\":2}"));
    }
}

static void wrong_types_of_what_may_be_given_are_refused(void **state)
{
    struct lab *lab = *state;
    static const char *const bad[] = {"\"type\":7",
                                      "\"type\":[]",
                                      "\"convergent_encryption\":\"maybe\"",
                                      "\"convergent_encryption\":{}",
                                      "\"partial_failure_response_code\":\"x\"",
                                      "\"partial_failure_response_code\":[]"};
    for (int there = 0; there < 2; there++) {
        for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
            assert_int_equal(lab_write(lab, "transit/encrypt/k", lab_f("{\"plaintext\":\"\",%s}", bad[i])),
                             400);
        assert_int_equal(lab_read(lab, "transit/keys/k"), there == 0 ? 404 : 200);
        lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    }
    lab_ok(lab, lab_write(lab, "transit/encrypt/k",
                          "{\"plaintext\":\"\",\"type\":\"aes256-gcm96\",\"convergent_encryption\":\"false\","
                          "\"partial_failure_response_code\":\"200\"}"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)
    const struct CMUnitTest tests[] = {
        T(round_trip),
        T(every_sealing_type_and_size),
        T(known_answers),
        T(refusals_of_decrypt),
        T(a_changed_ciphertext_does_not_open),
        T(versions_and_rewrap),
        T(what_is_not_decrypted_is_not_encrypted),
        T(wrong_types_of_what_may_be_given_are_refused),
        T(derived_keys_ask_for_context),
        T(convergent_keys_give_the_same_for_the_same),
        T(encrypting_makes_the_key),
        T(batches_answer_in_order_with_references),
        T(ten_thousand_items_and_not_one_more),
        T(a_version_stops_at_its_limit),
        T(a_crash_overcounts),
        T(past_half_the_key_is_rotated),
        T(restart_opens_what_was_sealed),
        T(cold_keys_are_let_go_and_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
