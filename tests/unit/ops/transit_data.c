/* Data keys, random bytes, hashes, key encapsulation. */
#include "unit/ops/lab.h"

#include "crypto/hash.h"
#include "crypto/pkey.h"

#define HELLO "aGVsbG8="
#define CUSTOMER "Y3VzdG9tZXIgMQ=="

static void data_keys(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *members;
        size_t bytes;
    } rows[] = {{"", 32}, {"\"bits\":128", 16}, {"\"bits\":256", 32}, {"\"bits\":\"512\"", 64}};
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_ok(lab, lab_write(lab, "transit/datakey/plaintext/k", lab_f("{%s}", rows[i].members)));
        char *plain = strdup(lab_str(lab, "plaintext"));
        assert_int_equal(strlen(plain), HF_BASE64_LEN(rows[i].bytes));
        assert_int_equal(lab_num(lab, "key_version"), 1);
        lab_ok(lab, lab_write(lab, "transit/decrypt/k",
                              lab_f("{\"ciphertext\":\"%s\"}", lab_str(lab, "ciphertext"))));
        assert_string_equal(lab_str(lab, "plaintext"), plain);
        lab_ok(lab, lab_write(lab, "transit/datakey/wrapped/k", lab_f("{%s}", rows[i].members)));
        assert_int_equal(lab_get(lab, "plaintext").tag, HF_TREE_NULL);
        lab_ok(lab, lab_write(lab, "transit/decrypt/k",
                              lab_f("{\"ciphertext\":\"%s\"}", lab_str(lab, "ciphertext"))));
        assert_string_not_equal(lab_str(lab, "plaintext"), plain);
        free(plain);
    }
    lab_ok(lab, lab_write(lab, "transit/keys/c", "{\"derived\":true,\"convergent_encryption\":true}"));
    lab_ok(lab, lab_write(lab, "transit/datakey/plaintext/c",
                          "{\"context\":\"" CUSTOMER "\",\"associated_data\":\"" HELLO "\"}"));
    char *plain = strdup(lab_str(lab, "plaintext"));
    lab_ok(lab, lab_write(lab, "transit/decrypt/c",
                          lab_f("{\"ciphertext\":\"%s\",\"context\":\"" CUSTOMER
                                "\",\"associated_data\":\"" HELLO "\"}",
                                lab_str(lab, "ciphertext"))));
    assert_string_equal(lab_str(lab, "plaintext"), plain);
    free(plain);
    lab_write(lab, "transit/datakey/plaintext/k", "{\"bits\":100}");
    lab_expect(lab, 400, "invalid bit length");
    lab_write(lab, "transit/datakey/open/k", NULL);
    lab_expect(lab, 400, "must be 'plaintext' or 'wrapped'");
    lab_write(lab, "transit/datakey/plaintext/none", NULL);
    lab_expect(lab, 400, "encryption key not found");
}

static void random_bytes(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *path, *members;
        size_t len;
    } rows[] = {
        {"transit/random", "", HF_BASE64_LEN(32)},
        {"transit/random", "\"bytes\":7", HF_BASE64_LEN(7)},
        {"transit/random/16", "", HF_BASE64_LEN(16)},
        {"transit/random/platform", "", HF_BASE64_LEN(32)},
        {"transit/random/all/20", "", HF_BASE64_LEN(20)},
        {"transit/random/5", "\"format\":\"hex\"", 10},
        {"transit/random", "\"bytes\":131072,\"format\":\"hex\"", 262144},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_ok(lab, lab_write(lab, rows[i].path, lab_f("{%s}", rows[i].members)));
        assert_int_equal(lab_get(lab, "random_bytes").body.left, rows[i].len);
    }
    lab_ok(lab, lab_write(lab, "transit/random", NULL));
    char *one = strdup(lab_str(lab, "random_bytes"));
    lab_ok(lab, lab_write(lab, "transit/random", NULL));
    assert_string_not_equal(lab_str(lab, "random_bytes"), one);
    free(one);
    lab_write(lab, "transit/random", "{\"bytes\":0}");
    lab_expect(lab, 400, "cannot be less than 1");
    lab_write(lab, "transit/random", "{\"bytes\":131073}");
    lab_expect(lab, 400, "should be less than");
    lab_write(lab, "transit/random/dice", NULL);
    lab_expect(lab, 400, "error parsing url-set byte count");
    lab_write(lab, "transit/random/dice/4", NULL);
    lab_expect(lab, 400, "unsupported entropy source");
    lab_write(lab, "transit/random", "{\"format\":\"base32\"}");
    lab_expect(lab, 400, "unsupported encoding format");
}

/* FIPS 180-4 and 202 values of "hello". */
static void hashes(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/hash", "{\"input\":\"" HELLO "\"}"));
    assert_string_equal(lab_str(lab, "sum"),
                        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    lab_ok(lab, lab_write(lab, "transit/hash/sha3-256", "{\"input\":\"" HELLO "\"}"));
    assert_string_equal(lab_str(lab, "sum"),
                        "3338be694f50c5f338814986cdf0686453a888b84f424d792af4b9202398f392");
    lab_ok(lab, lab_write(lab, "transit/hash", "{\"input\":\"" HELLO "\",\"algorithm\":\"sha2-224\"}"));
    assert_string_equal(lab_str(lab, "sum"), "ea09ae9cc6768c50fcee903ed054556e5bfc8347907f12598aa24193");
    lab_ok(lab, lab_write(lab, "transit/hash", "{\"input\":\"" HELLO "\",\"format\":\"base64\"}"));
    assert_string_equal(lab_str(lab, "sum"), "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
    lab_write(lab, "transit/hash/md5", "{\"input\":\"" HELLO "\"}");
    lab_expect(lab, 400, "unsupported algorithm");
    lab_write(lab, "transit/hash", "{\"input\":\"*\"}");
    lab_expect(lab, 400, "unable to decode input as base64");
}

static void encapsulation(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *members;
        size_t ciphertext, secret;
    } rows[] = {
        {"\"type\":\"ml-kem\",\"parameter_set\":\"512\"", 768, 32},
        {"\"type\":\"ml-kem\"", 1088, 32},
        {"\"type\":\"ml-kem\",\"parameter_set\":\"1024\"", 1568, 32},
        {"\"type\":\"x25519mlkem768\"", 1120, 64},
        {"\"type\":\"x-wing\"", 1120, 32},
        {"\"type\":\"x25519\"", 32, 32},
        {"\"type\":\"ecdh-p256\"", 65, 32},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/k%zu", i), lab_f("{%s}", rows[i].members)));
        lab_ok(lab, lab_write(lab, lab_f("transit/encapsulate/k%zu", i), NULL));
        char *secret = strdup(lab_str(lab, "shared_secret")),
             *ciphertext = strdup(lab_str(lab, "ciphertext"));
        assert_int_equal(strlen(secret), HF_BASE64_LEN(rows[i].secret));
        assert_int_equal(strlen(ciphertext), 9 + HF_BASE64_LEN(rows[i].ciphertext));
        lab_ok(lab, lab_write(lab, lab_f("transit/decapsulate/k%zu", i),
                              lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
        assert_string_equal(lab_str(lab, "shared_secret"), secret);
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/k%zu/rotate", i), NULL));
        lab_ok(lab, lab_write(lab, lab_f("transit/decapsulate/k%zu", i),
                              lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
        assert_string_equal(lab_str(lab, "shared_secret"), secret);
        lab_ok(lab, lab_write(lab, lab_f("transit/decapsulate/k%zu", i),
                              lab_f("{\"ciphertext\":\"%s\",\"key_version\":1}", ciphertext + 9)));
        assert_string_equal(lab_str(lab, "shared_secret"), secret);
        ciphertext[strlen(ciphertext) - 4] = '\0';
        lab_write(lab, lab_f("transit/decapsulate/k%zu", i), lab_f("{\"ciphertext\":\"%s\"}", ciphertext));
        lab_expect(lab, 400, "invalid ciphertext");
        free(secret);
        free(ciphertext);
    }
    lab_ok(lab, lab_write(lab, "transit/keys/a", NULL));
    lab_write(lab, "transit/encapsulate/a", NULL);
    lab_expect(lab, 400, "key encapsulation is not supported");
    lab_write(lab, "transit/decapsulate/k1", "{}");
    lab_expect(lab, 400, "missing ciphertext");
    lab_write(lab, "transit/encapsulate/k1", "{\"key_version\":9}");
    lab_expect(lab, 400, "higher than the latest");
}

/* A peer with nothing but the public key: what it encapsulates, the server decapsulates. */
static void a_peer_encapsulates_by_itself(void **state)
{
    struct lab *lab = *state;
    uint8_t raw[HF_PUBLIC_MAX], ct_space[HF_KEM_CT_MAX], text[4096];
    struct hf_buf bytes = hf_buf(raw, sizeof raw), ct = hf_buf(ct_space, sizeof ct_space);
    struct hf_buf encoded = hf_buf(text, sizeof text - 1);
    struct hf_pkey *peer = NULL;
    struct hf_secret *shared = NULL;
    lab_ok(lab, lab_write(lab, "transit/keys/k", "{\"type\":\"x-wing\"}"));
    assert_int_equal(hf_base64_decode(&bytes, hf_cursor_text(lab_str(lab, "keys.1.public_key"))).code, HF_OK);
    assert_int_equal(hf_pkey_from_public(HF_ALG_X_WING, hf_buf_cursor(&bytes), &peer).code, HF_OK);
    assert_int_equal(hf_pkey_encapsulate(peer, &ct, &shared).code, HF_OK);
    hf_base64_encode(&encoded, hf_buf_cursor(&ct));
    text[encoded.len] = '\0';
    lab_ok(lab, lab_write(lab, "transit/decapsulate/k", lab_f("{\"ciphertext\":\"%s\"}", (char *)text)));
    uint8_t theirs[64], mac_a[32], mac_b[32];
    struct hf_buf out = hf_buf(theirs, sizeof theirs);
    struct hf_secret *copy = NULL;
    struct hf_cursor message = hf_cursor_text("the same secret");
    assert_int_equal(hf_base64_decode(&out, hf_cursor_text(lab_str(lab, "shared_secret"))).code, HF_OK);
    assert_int_equal(hf_secret_take(theirs, out.len, &copy).code, HF_OK);
    assert_int_equal(hf_hmac(HF_SHA2_256, copy, &message, 1, mac_a).code, HF_OK);
    assert_int_equal(hf_hmac(HF_SHA2_256, shared, &message, 1, mac_b).code, HF_OK);
    assert_memory_equal(mac_a, mac_b, 32);
    hf_secret_free(copy);
    hf_secret_free(shared);
    hf_pkey_free(peer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)
    const struct CMUnitTest tests[] = {
        T(data_keys), T(random_bytes), T(hashes), T(encapsulation), T(a_peer_encapsulates_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
