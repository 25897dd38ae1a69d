/* How keys come and go: import, export, backup, restore. */
#include "unit/ops/lab.h"
#include "unit/ops/wrap.h"

#define HELLO "aGVsbG8="

static void fill(uint8_t *key, size_t len)
{
    for (size_t i = 0; i < len; i++)
        key[i] = (uint8_t)(i * 7 + 1);
}

static void every_wrapping_algorithm_imports(void **state)
{
    struct lab *lab = *state;
    static const char *const algorithms[] = {"rsa-oaep", "x-wing", "ml-kem-768", "ml-kem-1024"};
    uint8_t key[32];
    fill(key, sizeof key);
    for (size_t i = 0; i < HF_ARRAY_LEN(algorithms); i++) {
        char name[16];
        snprintf(name, sizeof name, "k%zu", i);
        lab_ok(lab, lab_import(lab, name, "aes256-gcm96", algorithms[i], ",\"exportable\":true", key, 32));
        assert_string_equal(lab_str(lab, "imported_key"), "true");
        assert_string_equal(lab_str(lab, "imported_key_allow_rotation"), "false");
        lab_ok(lab, lab_read(lab, lab_f("transit/export/encryption-key/%s", name)));
        assert_string_equal(lab_str(lab, "keys.1"), "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=");
    }
    /* Each opens what another sealed: they are one key. */
    lab_ok(lab, lab_write(lab, "transit/encrypt/k0", "{\"plaintext\":\"" HELLO "\"}"));
    lab_ok(lab, lab_write(lab, "transit/decrypt/k3",
                          lab_f("{\"ciphertext\":\"%s\"}", lab_str(lab, "ciphertext"))));
    assert_string_equal(lab_str(lab, "plaintext"), HELLO);
}

static void imports_that_must_fail(void **state)
{
    struct lab *lab = *state;
    uint8_t key[40];
    fill(key, sizeof key);
    lab_import(lab, "k", "aes256-gcm96", "ml-kem-768", "", key, 31);
    lab_expect(lab, 400, "no key of type");
    lab_import(lab, "k", "ed25519", "ml-kem-768", "", key, 40);
    lab_expect(lab, 400, "no key of type");
    lab_import(lab, "k", "rot13", "ml-kem-768", "", key, 32);
    lab_expect(lab, 400, "unknown key type");
    lab_import(lab, "k", "aes256-gcm96", "ml-kem-768", ",\"auto_rotate_period\":\"24h\"", key, 32);
    lab_expect(lab, 400, "allow_rotation");
    lab_write(lab, "transit/keys/k/import", "{\"type\":\"aes256-gcm96\"}");
    lab_expect(lab, 400, "missing ciphertext");
    lab_write(lab, "transit/keys/k/import", "{\"ciphertext\":\"AAAA\",\"public_key\":\"BBBB\"}");
    lab_expect(lab, 400, "only one of");
    lab_write(lab, "transit/keys/k/import",
              "{\"ciphertext\":\"AAAA\",\"wrapping_algorithm\":\"ml-kem-768\"}");
    lab_expect(lab, 400, "does not open");
    lab_write(lab, "transit/keys/k/import", "{\"ciphertext\":\"AAAA\",\"wrapping_algorithm\":\"x-wing\"}");
    lab_expect(lab, 400, "no wrapping key of that algorithm");
    lab_write(lab, "transit/keys/k/import", "{\"ciphertext\":\"AAAA\",\"wrapping_algorithm\":\"rot13\"}");
    lab_expect(lab, 400, "unknown wrapping_algorithm");
    char *wrapped = strdup(lab_wrap(lab, "ml-kem-768", key, 32));
    for (size_t at = 0; at + 1 < strlen(wrapped); at += 97) {
        char was = wrapped[at];
        wrapped[at] = was == 'A' ? 'B' : 'A';
        lab_write(lab, "transit/keys/k/import",
                  lab_f("{\"ciphertext\":\"%s\",\"wrapping_algorithm\":\"ml-kem-768\"}", wrapped));
        lab_expect(lab, 400, "does not open");
        wrapped[at] = was;
    }
    free(wrapped);
    assert_int_equal(lab_read(lab, "transit/keys/k"), 404);
    lab_ok(lab, lab_import(lab, "k", "aes256-gcm96", "ml-kem-768", "", key, 32));
    lab_import(lab, "k", "aes256-gcm96", "ml-kem-768", "", key, 32);
    lab_expect(lab, 400, "cannot be used with an existing key");
    lab_write(lab, "transit/keys/k/rotate", NULL);
    lab_expect(lab, 400, "does not allow rotation");
}

/* Public keys made for this test by openssl-genpkey(1): with exponent 3, and with 65537. */
#define RSA_E3                                                                                               \
    "MIIBIDANBgkqhkiG9w0BAQEFAAOCAQ0AMIIBCAKCAQEA9Pr/hT5AaWbP4d9Ygb9WZpYj7LCcvgF48Yvn+Xh5tUsnkl"             \
    "iaMggJYV/gs6qtZz1fGD52Q09wIYIPnlBCjpUsn+rV6K+6imz2Ws18tlXR+toIewPymj/iABhXJJaASkyrNTmgZ1CZ"             \
    "FcKrKFmTW8W9MDzbWdfNzVjwG7dYCWEthsWBJHrcv53nRDbnf81hgKk++BWuFe38MnDQBPBv5gEKQNcI9c4PdxwCpF"             \
    "Qp3xHB9e54u+X+/Izp9tNY1HrZTfuJqZQgQUmb6hx+QSB1b60pn/dJM6D3rCiD4xAnV9Fc5HZ0TXJNs1NL7dLp1oGL"             \
    "dFRQ5vS+v89wR2KO9PBqeoh3EQIBAw=="
#define RSA_F4                                                                                               \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAioBaDfY55yA06h21+fbXAPqWV8EhYH5w6nh9rr2C9y3zLH"             \
    "sXEvXkKuM+6VzfrgfGqOQ/i50CRsiwSSgS8sDcRxscxxRaCNnrln+PdUf25aMGQk6c157WrJ5MY0+Lhy4gV3u+xuCT"             \
    "4aS5WKQKkUmLh4NCWmqJRCtGHRc9ymDBb7CIwyPkyfQVq7tFmpfotddw81mPZrLEeXOchmAnLVW+ZncqCk2Y/G2qHb"             \
    "hqoxRCwqq/SmKyBlyqZBkuxD8ehTFP5ZBX3gRM6MBWhJac/rQpYCHz9hv6AlbwgUygYZ5iXGmzVkpo2CjBXfWPB99+"             \
    "ei7dFCXN+hF+tJARHRvgyn67KQIDAQAB"

static void weak_keys_are_not_imported(void **state)
{
    struct lab *lab = *state;
    static const uint8_t zeros[32];
    static const char *const types[] = {"aes256-gcm96", "chacha20-poly1305", "hmac"};
    for (size_t i = 0; i < HF_ARRAY_LEN(types); i++) {
        lab_import(lab, "zero", types[i], "ml-kem-768", "", zeros, sizeof zeros);
        lab_expect(lab, 400, "all of its bytes are zero");
    }
    assert_int_equal(lab_read(lab, "transit/keys/zero"), 404);
    lab_write(lab, "transit/keys/three/import", "{\"type\":\"rsa-2048\",\"public_key\":\"" RSA_E3 "\"}");
    lab_expect(lab, 400, "public exponent above 65536");
    lab_ok(lab,
           lab_write(lab, "transit/keys/f4/import", "{\"type\":\"rsa-2048\",\"public_key\":\"" RSA_F4 "\"}"));
}

static void versions_are_imported_and_rotated(void **state)
{
    struct lab *lab = *state;
    uint8_t key[32];
    fill(key, sizeof key);
    lab_ok(lab, lab_import(lab, "k", "aes256-gcm96", "ml-kem-768", ",\"allow_rotation\":true", key, 32));
    key[0] ^= 1;
    lab_ok(lab, lab_write(lab, "transit/keys/k/import_version",
                          lab_f("{\"wrapping_algorithm\":\"ml-kem-768\",\"ciphertext\":\"%s\"}",
                                lab_wrap(lab, "ml-kem-768", key, 32))));
    assert_int_equal(lab_num(lab, "latest_version"), 2);
    assert_string_equal(lab_str(lab, "versions.2.origin"), "imported");
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    assert_int_equal(lab_num(lab, "latest_version"), 3);
    assert_string_equal(lab_str(lab, "versions.3.origin"), "generated");
    lab_ok(lab, lab_write(lab, "transit/keys/own", NULL));
    lab_write(lab, "transit/keys/own/import_version",
              lab_f("{\"wrapping_algorithm\":\"ml-kem-768\",\"ciphertext\":\"%s\"}",
                    lab_wrap(lab, "ml-kem-768", key, 32)));
    lab_expect(lab, 400, "can only be used with an imported key");
    lab_write(lab, "transit/keys/none/import_version",
              lab_f("{\"wrapping_algorithm\":\"ml-kem-768\",\"ciphertext\":\"%s\"}",
                    lab_wrap(lab, "ml-kem-768", key, 32)));
    lab_expect(lab, 400, "use the import endpoint");
}

static void private_keys_of_every_form_import(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *members, *type;
        enum hf_alg alg;
        enum hf_private_form form;
    } rows[] = {
        {"", "ed25519", HF_ALG_ED25519, HF_PRIVATE_PKCS8},
        {"", "ecdsa-p256", HF_ALG_ECDSA_P256, HF_PRIVATE_PKCS8},
        {"", "rsa-2048", HF_ALG_RSA_2048, HF_PRIVATE_PKCS8},
        {"", "ml-dsa", HF_ALG_ML_DSA_65, HF_PRIVATE_PKCS8},
        {"", "ml-dsa", HF_ALG_ML_DSA_65, HF_PRIVATE_SEED},
        {",\"parameter_set\":\"87\"", "ml-dsa", HF_ALG_ML_DSA_87, HF_PRIVATE_SEED},
        {"", "ml-kem", HF_ALG_ML_KEM_768, HF_PRIVATE_SEED},
        {"", "hybrid", HF_ALG_MLDSA65_ED25519, HF_PRIVATE_PKCS8},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_pkey *key = NULL, *again = NULL;
        uint8_t text[8192], material[HF_PRIVATE_MAX];
        struct hf_buf shown = hf_buf(text, sizeof text - 1);
        char name[16];
        snprintf(name, sizeof name, "k%zu", i);
        assert_int_equal(hf_pkey_generate(rows[i].alg, &key).code, HF_OK);
        struct hf_secret *secret = NULL, *target = NULL;
        assert_int_equal(hf_pkey_private(key, rows[i].form, &secret).code, HF_OK);
        /* The wrapping side takes the secret as it is; nothing here reads its bytes. */
        struct hf_pkey *to = lab_wrapping_key(lab, "transit", "x-wing");
        struct hf_buf sealed = hf_buf(material, sizeof material);
        assert_int_equal(
            hf_hpke_seal(to, hf_cursor_text("holdfast transit import"), hf_cursor("", 0), secret, &sealed)
                .code,
            HF_OK);
        char encoded[16384];
        struct hf_buf out = hf_buf(encoded, sizeof encoded - 1);
        hf_base64_encode(&out, hf_buf_cursor(&sealed));
        encoded[out.len] = '\0';
        lab_ok(lab,
               lab_write(lab, lab_f("transit/keys/%s/import", name),
                         lab_f("{\"type\":\"%s\",\"wrapping_algorithm\":\"x-wing\",\"ciphertext\":\"%s\"%s}",
                               rows[i].type, encoded, rows[i].members)));
        assert_int_equal(hf_pkey_public_text(key, &shown).code, HF_OK);
        text[shown.len] = '\0';
        assert_string_equal(lab_str(lab, "keys.1.public_key"), (char *)text);
        hf_secret_free(secret);
        hf_secret_free(target);
        hf_pkey_free(to);
        hf_pkey_free(key);
        hf_pkey_free(again);
    }
}

static void a_public_key_alone_verifies(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/signer", "{\"type\":\"ml-dsa\"}"));
    char *public_key = strdup(lab_str(lab, "keys.1.public_key"));
    lab_ok(lab, lab_write(lab, "transit/sign/signer", "{\"input\":\"" HELLO "\"}"));
    char *signature = strdup(lab_str(lab, "signature"));
    lab_ok(lab, lab_write(lab, "transit/keys/pub/import",
                          lab_f("{\"type\":\"ml-dsa\",\"public_key\":\"%s\"}", public_key)));
    assert_string_equal(lab_str(lab, "versions.1.origin"), "imported-public");
    lab_ok(lab, lab_write(lab, "transit/verify/pub",
                          lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"}", signature)));
    assert_string_equal(lab_str(lab, "valid"), "true");
    lab_write(lab, "transit/sign/pub", "{\"input\":\"" HELLO "\"}");
    lab_expect(lab, 400, "public key only");
    lab_write(lab, "transit/hmac/pub", "{\"input\":\"" HELLO "\"}");
    lab_expect(lab, 400, "no HMAC key");
    lab_write(lab, "transit/keys/sym/import",
              lab_f("{\"type\":\"aes256-gcm96\",\"public_key\":\"%s\"}", public_key));
    lab_expect(lab, 400, "no key of type");
    lab_ok(lab, lab_write(lab, "transit/keys/ec", "{\"type\":\"ecdsa-p256\"}"));
    struct hf_tree pem = lab_get(lab, "keys.1.public_key");
    char quoted[1024];
    struct hf_buf out = hf_buf(quoted, sizeof quoted - 1);
    hf_tree_to_json(&pem, &out);
    quoted[out.len] = '\0';
    lab_ok(lab, lab_write(lab, "transit/keys/ecpub/import",
                          lab_f("{\"type\":\"ecdsa-p256\",\"public_key\":%s}", quoted)));
    lab_restart(lab);
    lab_ok(lab, lab_write(lab, "transit/verify/pub",
                          lab_f("{\"input\":\"" HELLO "\",\"signature\":\"%s\"}", signature)));
    assert_string_equal(lab_str(lab, "valid"), "true");
    free(public_key);
    free(signature);
}

static void exports(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/a", NULL));
    static const char *const kinds[] = {"encryption-key", "hmac-key"};
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++) {
        lab_read(lab, lab_f("transit/export/%s/a", kinds[i]));
        lab_expect(lab, 400, "private key material is not exportable");
    }
    lab_ok(lab, lab_write(lab, "transit/keys/a/config", "{\"exportable\":true}"));
    lab_ok(lab, lab_write(lab, "transit/keys/a/rotate", NULL));
    lab_ok(lab, lab_read(lab, "transit/export/encryption-key/a"));
    assert_string_equal(lab_str(lab, "name"), "a");
    assert_string_equal(lab_str(lab, "type"), "aes256-gcm96");
    assert_int_equal(strlen(lab_str(lab, "keys.1")), HF_BASE64_LEN(32));
    char *second = strdup(lab_str(lab, "keys.2"));
    lab_ok(lab, lab_read(lab, "transit/export/encryption-key/a/latest"));
    assert_string_equal(lab_str(lab, "keys.2"), second);
    assert_int_equal(lab_get(lab, "keys.1").tag, HF_TREE_NULL);
    lab_ok(lab, lab_read(lab, "transit/export/encryption-key/a/v1"));
    assert_int_equal(lab_get(lab, "keys.2").tag, HF_TREE_NULL);
    lab_ok(lab, lab_read(lab, "transit/export/hmac-key/a/2"));
    assert_string_not_equal(lab_str(lab, "keys.2"), second);
    free(second);
    static const struct {
        const char *path, *why;
    } bad[] = {
        {"transit/export/encryption-key/a/3", "version does not exist or cannot be found"},
        {"transit/export/encryption-key/a/x", "invalid key version"},
        {"transit/export/signing-key/a", "signing not supported for the key"},
        {"transit/export/public-key/a", "no public key"},
        {"transit/export/tea/a", "invalid export type"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        lab_read(lab, bad[i].path);
        lab_expect(lab, 400, bad[i].why);
    }
    assert_int_equal(lab_read(lab, "transit/export/encryption-key/none"), 404);
}

static void exports_of_private_keys(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *type, *kind, *begins;
        enum hf_alg alg;
    } rows[] = {
        {"rsa-2048", "signing-key", "-----BEGIN RSA PRIVATE KEY-----", HF_ALG_RSA_2048},
        {"ecdsa-p256", "signing-key", "-----BEGIN EC PRIVATE KEY-----", HF_ALG_ECDSA_P256},
        {"ecdsa-p521", "signing-key", "-----BEGIN EC PRIVATE KEY-----", HF_ALG_ECDSA_P521},
        {"ml-dsa", "signing-key", "-----BEGIN PRIVATE KEY-----", HF_ALG_ML_DSA_65},
        {"hybrid", "signing-key", "-----BEGIN PRIVATE KEY-----", HF_ALG_MLDSA65_ED25519},
        {"ml-kem", "decapsulation-key", "-----BEGIN PRIVATE KEY-----", HF_ALG_ML_KEM_768},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/%s", rows[i].type),
                              lab_f("{\"type\":\"%s\",\"exportable\":true}", rows[i].type)));
        char *shown = strdup(lab_str(lab, "keys.1.public_key"));
        lab_ok(lab, lab_read(lab, lab_f("transit/export/%s/%s", rows[i].kind, rows[i].type)));
        assert_int_equal(strncmp(lab_str(lab, "keys.1"), rows[i].begins, strlen(rows[i].begins)), 0);
        /* PKCS#8 DER, read back: its public half is the one that is shown. */
        lab_ok(lab, lab_call(lab, HF_METHOD_READ, lab_f("transit/export/%s/%s", rows[i].kind, rows[i].type),
                             "{\"format\":\"der\"}"));
        uint8_t der[HF_PRIVATE_MAX], text[8192];
        struct hf_buf out = hf_buf(der, sizeof der), public_text = hf_buf(text, sizeof text - 1);
        struct hf_secret *secret = NULL;
        struct hf_pkey *key = NULL;
        assert_int_equal(hf_base64_decode(&out, hf_cursor_text(lab_str(lab, "keys.1"))).code, HF_OK);
        assert_int_equal(hf_secret_take(der, out.len, &secret).code, HF_OK);
        assert_int_equal(hf_pkey_from_private(rows[i].alg, HF_PRIVATE_PKCS8, secret, &key).code, HF_OK);
        assert_int_equal(hf_pkey_public_text(key, &public_text).code, HF_OK);
        text[public_text.len] = '\0';
        assert_string_equal((char *)text, shown);
        lab_ok(lab, lab_call(lab, HF_METHOD_READ, lab_f("transit/export/public-key/%s", rows[i].type), NULL));
        assert_string_equal(lab_str(lab, "keys.1"), shown);
        static const char *const formats[] = {"raw", "der", "pem"};
        for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
            lab_ok(lab, lab_call(lab, HF_METHOD_READ, lab_f("transit/export/public-key/%s", rows[i].type),
                                 lab_f("{\"format\":\"%s\"}", formats[f])));
            assert_true(strlen(lab_str(lab, "keys.1")) > 50);
        }
        hf_secret_free(secret);
        hf_pkey_free(key);
        free(shown);
    }
    lab_ok(lab, lab_write(lab, "transit/keys/ed", "{\"type\":\"ed25519\",\"exportable\":true}"));
    lab_ok(lab, lab_read(lab, "transit/export/signing-key/ed"));
    assert_int_equal(strlen(lab_str(lab, "keys.1")), HF_BASE64_LEN(64));
    lab_call(lab, HF_METHOD_READ, "transit/export/signing-key/ed", "{\"format\":\"xml\"}");
    lab_expect(lab, 400, "invalid format");
}

static void delete_key(struct lab *lab, const char *name)
{
    lab_ok(lab, lab_write(lab, lab_f("transit/keys/%s/config", name), "{\"deletion_allowed\":true}"));
    lab_ok(lab, lab_delete(lab, lab_f("transit/keys/%s", name)));
}

static void backups_in_plain(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", "{\"exportable\":true}"));
    lab_read(lab, "transit/backup/k");
    lab_expect(lab, 400, "plaintext backup is disallowed on the policy");
    lab_ok(lab, lab_write(lab, "transit/keys/n", "{\"allow_plaintext_backup\":true}"));
    lab_read(lab, "transit/backup/n");
    lab_expect(lab, 400, "exporting is disallowed on the policy");
    lab_ok(lab, lab_write(lab, "transit/keys/k/config", "{\"allow_plaintext_backup\":true}"));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    char *ciphertext = strdup(lab_str(lab, "ciphertext"));
    lab_ok(lab, lab_write(lab, "transit/hmac/k", "{\"input\":\"" HELLO "\"}"));
    char *mac = strdup(lab_str(lab, "hmac"));
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    lab_ok(lab, lab_read(lab, "transit/backup/k"));
    char *backup = strdup(lab_str(lab, "backup"));
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "backup_info.version"), 2);
    lab_write(lab, "transit/restore", lab_f("{\"backup\":\"%s\"}", backup));
    lab_expect(lab, 400, "exists already");
    delete_key(lab, "k");
    lab_ok(lab, lab_write(lab, "transit/restore", lab_f("{\"backup\":\"%s\"}", backup)));
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    assert_string_equal(lab_str(lab, "plaintext"), HELLO);
    lab_ok(lab, lab_write(lab, "transit/verify/k", lab_f("{\"input\":\"" HELLO "\",\"hmac\":\"%s\"}", mac)));
    assert_string_equal(lab_str(lab, "valid"), "true");
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "latest_version"), 2);
    assert_int_equal(lab_num(lab, "restore_info.version"), 2);
    /* Under another name, and over a key that is there. */
    lab_ok(lab, lab_write(lab, "transit/restore/twin", lab_f("{\"backup\":\"%s\"}", backup)));
    lab_ok(lab, lab_write(lab, "transit/decrypt/twin", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    lab_ok(lab, lab_write(lab, "transit/keys/other", "{\"type\":\"ed25519\"}"));
    lab_ok(lab, lab_write(lab, "transit/restore/other", lab_f("{\"backup\":\"%s\",\"force\":true}", backup)));
    lab_ok(lab, lab_write(lab, "transit/decrypt/other", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    assert_string_equal(lab_str(lab, "plaintext"), HELLO);
    for (size_t at = 0; at + 4 < strlen(backup); at += 3) {
        char was = backup[at];
        backup[at] = was == 'x' ? 'y' : 'x';
        assert_int_equal(lab_write(lab, "transit/restore/bad", lab_f("{\"backup\":\"%s\"}", backup)), 400);
        backup[at] = was;
    }
    lab_write(lab, "transit/restore", "{}");
    lab_expect(lab, 400, "'backup' must be supplied");
    free(backup);
    free(ciphertext);
    free(mac);
}

/* Changes one byte inside and makes the outer check right again: what refuses then is the seal itself. */
static char *forged(const char *backup, size_t at)
{
    uint8_t *raw = malloc(strlen(backup));
    char *text = malloc(strlen(backup) + 8);
    assert_true(raw != NULL && text != NULL);
    struct hf_buf bytes = hf_buf(raw, strlen(backup)), out = hf_buf(text, strlen(backup) + 7);
    assert_int_equal(hf_base64_decode(&bytes, hf_cursor_text(backup)).code, HF_OK);
    raw[at] ^= 1;
    assert_int_equal(hf_sha256(hf_cursor(raw, bytes.len - 32), raw + bytes.len - 32).code, HF_OK);
    hf_base64_encode(&out, hf_buf_cursor(&bytes));
    text[out.len] = '\0';
    free(raw);
    return text;
}

static void backups_sealed_to_a_recipient(void **state)
{
    struct lab *lab = *state;
    static const char *const types[] = {"aes256-gcm96", "hybrid", "ml-kem", "rsa-2048"};
    lab_ok(lab, lab_call(lab, HF_METHOD_READ, "transit/wrapping_key", "{\"wrapping_algorithm\":\"x-wing\"}"));
    char *recipient = strdup(lab_str(lab, "public_key"));
    for (size_t i = 0; i < HF_ARRAY_LEN(types); i++) {
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/%s", types[i]),
                              lab_f("{\"type\":\"%s\",\"exportable\":true}", types[i])));
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/%s/rotate", types[i]), NULL));
        char *second = strdup(lab_str(lab, "keys.2"));
        lab_ok(lab, lab_write(lab, lab_f("transit/hmac/%s", types[i]), "{\"input\":\"" HELLO "\"}"));
        char *mac = strdup(lab_str(lab, "hmac"));
        lab_ok(lab, lab_write(lab, lab_f("transit/backup/%s", types[i]),
                              lab_f("{\"recipient\":\"%s\"}", recipient)));
        char *backup = strdup(lab_str(lab, "backup"));
        delete_key(lab, types[i]);
        lab_ok(lab, lab_write(lab, "transit/restore", lab_f("{\"backup\":\"%s\"}", backup)));
        lab_ok(lab, lab_read(lab, lab_f("transit/keys/%s", types[i])));
        assert_string_equal(lab_str(lab, "keys.2"), second);
        lab_ok(lab, lab_write(lab, lab_f("transit/verify/%s", types[i]),
                              lab_f("{\"input\":\"" HELLO "\",\"hmac\":\"%s\"}", mac)));
        assert_string_equal(lab_str(lab, "valid"), "true");
        /* Nothing of it can be changed: not the material, not what is said about it (the flags stand early on). */
        static const size_t spots[] = {10, 30, 45, 60, 75, 80, 110, 140, 300, 600};
        for (size_t s = 0; s < HF_ARRAY_LEN(spots); s++) {
            char *changed = forged(backup, spots[s]);
            assert_int_equal(lab_write(lab, "transit/restore/bad", lab_f("{\"backup\":\"%s\"}", changed)),
                             400);
            free(changed);
        }
        free(second);
        free(backup);
        free(mac);
    }
    lab_write(lab, "transit/backup/aes256-gcm96", "{\"recipient\":\"AAAA\"}");
    lab_expect(lab, 400, "no X-Wing public key");
    free(recipient);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)
    const struct CMUnitTest tests[] = {
        T(every_wrapping_algorithm_imports),
        T(imports_that_must_fail),
        T(weak_keys_are_not_imported),
        T(versions_are_imported_and_rotated),
        T(private_keys_of_every_form_import),
        T(a_public_key_alone_verifies),
        T(exports),
        T(exports_of_private_keys),
        T(backups_in_plain),
        T(backups_sealed_to_a_recipient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
