/* Keys as their owners meet them: types, description, configuration, rotation, trimming, states, deletion. */
#include "unit/ops/lab.h"

#include "keys/keys.h"

#define HELLO "aGVsbG8="

static void every_type_says_what_it_is(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *members, *type, *readiness, *name;
        bool encrypts, signs, derives, encapsulates;
    } rows[] = {
        {"", "aes256-gcm96", "quantum-resilient", "AES-256-GCM", true, false, true, false},
        {"\"type\":\"aes128-gcm96\"", "aes128-gcm96", "symmetric-below-256", "AES-128-GCM", true, false, true,
         false},
        {"\"type\":\"xaes256-gcm\"", "xaes256-gcm", "quantum-resilient", "XAES-256-GCM", true, false, true,
         false},
        {"\"type\":\"hmac\",\"key_size\":64", "hmac", "quantum-resilient", "HMAC", false, false, false,
         false},
        {"\"type\":\"ed25519\"", "ed25519", "quantum-vulnerable", "Ed25519", false, true, true, false},
        {"\"type\":\"ecdsa-p384\"", "ecdsa-p384", "quantum-vulnerable", "ECDSA-P384", false, true, false,
         false},
        {"\"type\":\"rsa-2048\"", "rsa-2048", "quantum-vulnerable", "RSA-2048", true, true, false, false},
        {"\"type\":\"ml-dsa\"", "ml-dsa", "quantum-resilient", "ML-DSA-65", false, true, false, false},
        {"\"type\":\"ml-dsa\",\"parameter_set\":\"87\"", "ml-dsa", "quantum-resilient", "ML-DSA-87", false,
         true, false, false},
        {"\"type\":\"slh-dsa\",\"parameter_set\":\"slh-dsa-sha2-128f\"", "slh-dsa", "quantum-resilient",
         "SLH-DSA-SHA2-128f", false, true, false, false},
        {"\"type\":\"hybrid\"", "hybrid", "hybrid", "ML-DSA-65+Ed25519", false, true, false, false},
        {"\"type\":\"hybrid\",\"parameter_set\":\"87\",\"hybrid_key_type_pqc\":\"ml-dsa\",\"hybrid_key_type_ec\":"
         "\"ecdsa-p384\"",
         "hybrid", "hybrid", "ML-DSA-87+ECDSA-P384", false, true, false, false},
        {"\"type\":\"ml-kem\"", "ml-kem", "quantum-resilient", "ML-KEM-768", false, false, false, true},
        {"\"type\":\"x25519mlkem768\"", "x25519mlkem768", "hybrid", "X25519MLKEM768", false, false, false,
         true},
        {"\"type\":\"x-wing\"", "x-wing", "hybrid", "X-Wing", false, false, false, true},
        {"\"purpose\":\"signing\"", "hybrid", "hybrid", "ML-DSA-65+Ed25519", false, true, false, false},
        {"\"purpose\":\"key-agreement\"", "x25519mlkem768", "hybrid", "X25519MLKEM768", false, false, false,
         true},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/k%zu", i), lab_f("{%s}", rows[i].members)));
        lab_ok(lab, lab_read(lab, lab_f("transit/keys/k%zu", i)));
        assert_string_equal(lab_str(lab, "type"), rows[i].type);
        assert_string_equal(lab_str(lab, "quantum_readiness"), rows[i].readiness);
        assert_string_equal(lab_str(lab, "algorithm"), rows[i].name);
        assert_string_equal(lab_str(lab, "supports_encryption"), rows[i].encrypts ? "true" : "false");
        assert_string_equal(lab_str(lab, "supports_decryption"), rows[i].encrypts ? "true" : "false");
        assert_string_equal(lab_str(lab, "supports_signing"), rows[i].signs ? "true" : "false");
        assert_string_equal(lab_str(lab, "supports_derivation"), rows[i].derives ? "true" : "false");
        assert_string_equal(lab_str(lab, "supports_encapsulation"), rows[i].encapsulates ? "true" : "false");
        assert_int_equal(lab_num(lab, "latest_version"), 1);
        assert_int_equal(lab_num(lab, "min_decryption_version"), 1);
        assert_int_equal(lab_num(lab, "min_encryption_version"), 0);
        assert_int_equal(lab_num(lab, "min_available_version"), 0);
        assert_string_equal(lab_str(lab, "versions.1.state"), "active");
        bool asymmetric = rows[i].signs || rows[i].encapsulates;
        if (asymmetric) {
            assert_true(strlen(lab_str(lab, "keys.1.public_key")) > 40);
            assert_true(strlen(lab_str(lab, "keys.1.name")) > 4);
        } else {
            assert_true(lab_num(lab, "keys.1") > 1700000000);
        }
    }
    lab_ok(lab, lab_list(lab, "transit/keys"));
    assert_int_equal(lab_get(lab, "keys").count, HF_ARRAY_LEN(rows));
}

static void refusals_of_create(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *path, *members, *why;
    } rows[] = {
        {"transit/keys/k", "\"type\":\"rot13\"", "unknown key type"},
        {"transit/keys/k", "\"type\":\"aes256-kwp\"", "unknown key type"},
        {"transit/keys/k", "\"type\":\"ml-dsa\",\"parameter_set\":\"66\"", "unknown key type"},
        {"transit/keys/k", "\"type\":\"aes256-gcm96\",\"parameter_set\":\"44\"",
         "parameter_set does not apply"},
        {"transit/keys/k", "\"parameter_set\":\"44\"", "parameter_set does not apply"},
        {"transit/keys/k", "\"type\":\"ed25519\",\"hybrid_key_type_ec\":\"ecdsa-p256\"", "do not apply"},
        {"transit/keys/k", "\"type\":\"ml-dsa\",\"hybrid_key_type_pqc\":\"ml-dsa\"", "do not apply"},
        {"transit/keys/k", "\"purpose\":\"fun\"", "unknown purpose"},
        {"transit/keys/k", "\"convergent_encryption\":true", "requires derivation"},
        {"transit/keys/k", "\"type\":\"rsa-2048\",\"derived\":true", "derivation is not supported"},
        {"transit/keys/k", "\"type\":\"ed25519\",\"derived\":true,\"convergent_encryption\":true",
         "convergent encryption is not supported"},
        {"transit/keys/k", "\"auto_rotate_period\":\"10m\"", "at least an hour"},
        {"transit/keys/k", "\"type\":\"hmac\",\"key_size\":16", "key_size"},
        {"transit/keys/k", "\"type\":\"hmac\",\"key_size\":513", "key_size"},
        {"transit/keys/k", "\"key_size\":32", "key_size"},
        {"transit/keys/k", "\"derived\":\"perhaps\"", "derived"},
        {"transit/keys/-k", "", "invalid key name"},
        {"transit/keys/a b", "", "invalid key name"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        lab_write(lab, rows[i].path, lab_f("{%s}", rows[i].members));
        lab_expect(lab, 400, rows[i].why);
    }
    assert_int_equal(lab_list(lab, "transit/keys"), 404);
    assert_int_equal(lab_read(lab, "transit/keys/k"), 404);
}

static void creating_twice_changes_nothing(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", "{\"type\":\"ed25519\"}"));
    char *before = strdup(lab_str(lab, "keys.1.public_key"));
    lab_ok(lab, lab_write(lab, "transit/keys/k", "{\"type\":\"aes256-gcm96\",\"exportable\":true}"));
    assert_int_not_equal(lab->warnings.tag, HF_TREE_NULL);
    assert_string_equal(lab_str(lab, "keys.1.public_key"), before);
    assert_string_equal(lab_str(lab, "exportable"), "false");
    free(before);
}

static void configuration(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    static const struct {
        const char *members, *why;
    } bad[] = {
        {"\"min_decryption_version\":4", "cannot set min decryption version of 4, latest key version is 3"},
        {"\"min_encryption_version\":4", "cannot set min encryption version of 4, latest key version is 3"},
        {"\"min_decryption_version\":-1", "cannot be negative"},
        {"\"min_decryption_version\":3,\"min_encryption_version\":2",
         "min encryption version of 2 must be greater than or equal to min decryption version of 3"},
        {"\"auto_rotate_period\":\"5m\"", "at least an hour"},
        {"\"min_decryption_version\":\"two\"", "min_decryption_version"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        lab_write(lab, "transit/keys/k/config", lab_f("{%s}", bad[i].members));
        lab_expect(lab, 400, bad[i].why);
    }
    lab_ok(
        lab,
        lab_write(lab, "transit/keys/k/config",
                  "{\"min_decryption_version\":2,\"min_encryption_version\":\"3\",\"deletion_allowed\":true,"
                  "\"exportable\":true,\"allow_plaintext_backup\":true,\"auto_rotate_period\":\"24h\"}"));
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "min_decryption_version"), 2);
    assert_int_equal(lab_num(lab, "min_encryption_version"), 3);
    assert_int_equal(lab_num(lab, "auto_rotate_period"), 86400);
    assert_string_equal(lab_str(lab, "deletion_allowed"), "true");
    assert_int_equal(lab_get(lab, "keys.1").tag, HF_TREE_NULL);
    assert_true(lab_num(lab, "keys.2") > 0);
    lab_ok(lab, lab_write(lab, "transit/keys/k/config",
                          "{\"exportable\":false,\"allow_plaintext_backup\":false}"));
    assert_string_equal(lab_str(lab, "exportable"), "true");
    assert_string_equal(lab_str(lab, "allow_plaintext_backup"), "true");
    lab_restart(lab);
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "min_encryption_version"), 3);
    lab_write(lab, "transit/keys/other/config", "{}");
    lab_expect(lab, 400, "could be found");
}

static void trimming(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    for (int i = 0; i < 4; i++)
        lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    lab_write(lab, "transit/keys/k/trim", "{\"min_available_version\":2}");
    lab_expect(lab, 400, "minimum encryption version is not set");
    lab_ok(lab, lab_write(lab, "transit/keys/k/config",
                          "{\"min_decryption_version\":3,\"min_encryption_version\":4}"));
    lab_write(lab, "transit/keys/k/trim", "{\"min_available_version\":4}");
    lab_expect(lab, 400, "cannot be greater than minimum decryption version");
    lab_write(lab, "transit/keys/k/trim", "{}");
    lab_expect(lab, 400, "missing min_available_version");
    lab_ok(lab, lab_write(lab, "transit/keys/k/trim", "{\"min_available_version\":3}"));
    assert_int_equal(lab_num(lab, "min_available_version"), 3);
    assert_int_equal(lab_get(lab, "versions.2").tag, HF_TREE_NULL);
    lab_write(lab, "transit/keys/k/trim", "{\"min_available_version\":2}");
    lab_expect(lab, 400, "cannot be decremented");
    lab_write(lab, "transit/keys/k/config", "{\"min_decryption_version\":2}");
    lab_expect(lab, 400, "minimum available version is 3");
    lab_write(lab, "transit/decrypt/k", "{\"ciphertext\":\"vault:v1:AAAA\"}");
    lab_expect(lab, 400, "too old");
    lab_restart(lab);
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    assert_int_equal(lab_num(lab, "key_version"), 5);
}

static void deletion_must_be_allowed(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_delete(lab, "transit/keys/k");
    lab_expect(lab, 400, "deletion is not allowed");
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    char *old = strdup(lab_str(lab, "ciphertext"));
    lab_ok(lab, lab_write(lab, "transit/keys/k/config", "{\"deletion_allowed\":true}"));
    lab_ok(lab, lab_delete(lab, "transit/keys/k"));
    assert_int_equal(lab_read(lab, "transit/keys/k"), 404);
    lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", old));
    lab_expect(lab, 400, "encryption key not found");
    lab_delete(lab, "transit/keys/k");
    lab_expect(lab, 400, "not found");
    /* A new key of that name is another key. */
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", old));
    lab_expect(lab, 400, "authentication failed");
    free(old);
}

static int state_of(struct lab *lab, int version, const char *verb)
{
    return lab_write(lab, lab_f("transit/keys/k/versions/%d/%s", version, verb), NULL);
}

static void states_decide_what_a_version_may(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    char *first = strdup(lab_f("{\"ciphertext\":\"%s\"}", lab_str(lab, "ciphertext")));
    lab_ok(lab, lab_write(lab, "transit/hmac/k", "{\"input\":\"" HELLO "\"}"));
    char *mac = strdup(lab_f("{\"input\":\"" HELLO "\",\"hmac\":\"%s\"}", lab_str(lab, "hmac")));

    lab_ok(lab, state_of(lab, 1, "suspend"));
    assert_string_equal(lab_str(lab, "versions.1.state"), "suspended");
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}");
    lab_expect(lab, 400, "key version 1 is suspended");
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", first));
    lab_ok(lab, state_of(lab, 1, "activate"));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));

    lab_ok(lab, state_of(lab, 1, "deactivate"));
    lab_write(lab, "transit/datakey/plaintext/k", NULL);
    lab_expect(lab, 400, "deactivated");
    lab_write(lab, "transit/hmac/k", "{\"input\":\"" HELLO "\"}");
    lab_expect(lab, 400, "deactivated");
    lab_ok(lab, lab_write(lab, "transit/verify/k", mac));
    assert_string_equal(lab_str(lab, "valid"), "true");
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", first));
    state_of(lab, 1, "activate");
    lab_expect(lab, 400, "a version that is deactivated cannot become active");

    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    lab_ok(lab, state_of(lab, 1, "compromise"));
    lab_ok(lab, lab_write(lab, "transit/rewrap/k", first));
    assert_int_equal(lab_num(lab, "key_version"), 2);
    assert_int_not_equal(lab->warnings.tag, HF_TREE_NULL);
    lab_write(lab, "transit/verify/k", mac);
    lab_expect(lab, 400, "compromised");

    state_of(lab, 1, "destroy");
    lab_expect(lab, 400, "deletion_allowed");
    lab_ok(lab, lab_write(lab, "transit/keys/k/config", "{\"deletion_allowed\":true}"));
    lab_ok(lab, state_of(lab, 1, "destroy"));
    assert_string_equal(lab_str(lab, "versions.1.state"), "destroyed");
    assert_true(strlen(lab_str(lab, "versions.1.destroyed")) > 10);
    lab_write(lab, "transit/decrypt/k", first);
    lab_expect(lab, 400, "key version 1 is destroyed");
    state_of(lab, 1, "activate");
    lab_expect(lab, 400, "cannot become");
    lab_restart(lab);
    lab_write(lab, "transit/decrypt/k", first);
    lab_expect(lab, 400, "key version 1 is destroyed");
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));

    assert_int_equal(state_of(lab, 9, "suspend"), 404);
    assert_int_equal(state_of(lab, 1, "resurrect"), 404);
    free(first);
    free(mac);
}

static void a_pre_active_version_waits(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", "{\"pre_active\":true}"));
    assert_string_equal(lab_str(lab, "versions.2.state"), "pre-active");
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    assert_int_equal(lab_num(lab, "key_version"), 1);
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\",\"key_version\":2}");
    lab_expect(lab, 400, "key version 2 is pre-active");
    lab_ok(lab, state_of(lab, 2, "activate"));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    assert_int_equal(lab_num(lab, "key_version"), 2);
}

static void what_is_due_is_rotated(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", "{\"auto_rotate_period\":\"1h\"}"));
    lab_ok(lab, lab_write(lab, "transit/keys/other", NULL));
    hf_core_tick(lab->core);
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "latest_version"), 1);
    lab->time.wall_ns += 3601 * HF_SECOND;
    hf_core_tick(lab->core);
    hf_core_tick(lab->core);
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "latest_version"), 2);
    lab_ok(lab, lab_read(lab, "transit/keys/other"));
    assert_int_equal(lab_num(lab, "latest_version"), 1);
    lab->time.wall_ns += 3601 * HF_SECOND;
    hf_core_tick(lab->core);
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(lab_num(lab, "latest_version"), 3);
}

static void keys_follow_their_namespace_to_a_new_kek(void **state)
{
    struct lab *lab = *state;
    const struct hf_key *key = NULL;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    char *old = strdup(lab_f("{\"ciphertext\":\"%s\"}", lab_str(lab, "ciphertext")));
    lab_ok(lab, lab_write(lab, "sys/rotate", NULL));
    lab_ok(lab,
           lab_write(lab, "transit/keys/k/rotate", NULL)); /* any change takes the older versions along */
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    char *fresh = strdup(lab_f("{\"ciphertext\":\"%s\"}", lab_str(lab, "ciphertext")));
    lab_restart(lab);
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", old));
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", fresh));
    hf_epoch_enter();
    struct hf_unsealed *u = hf_core_unsealed(lab->core);
    static const uint8_t root[16];
    const struct hf_mount *mount =
        hf_mount_find(u->mounts, hf_cursor(root, 16), hf_cursor_text("transit/keys/k"));
    assert_non_null(mount);
    assert_int_equal(
        hf_keys_find(u->keys, &mount->id, hf_cursor(root, 16), hf_cursor_text("k"), true, &key).code, HF_OK);
    assert_int_equal(key->count, 2);
    assert_int_equal(key->versions[0].kek_generation, key->versions[1].kek_generation);
    assert_true(key->versions[0].kek_generation > 1);
    hf_epoch_leave();
    free(old);
    free(fresh);
}

static void a_list_is_in_order_and_of_this_mount(void **state)
{
    struct lab *lab = *state;
    for (int i = 2; i >= 0; i--)
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/k%d", i), NULL));
    lab_ok(lab, lab_read(lab, "transit/wrapping_key"));
    lab_ok(lab, lab_list(lab, "transit/keys"));
    lab_expect(lab, 200, "[\"k0\",\"k1\",\"k2\"]");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)
    const struct CMUnitTest tests[] = {
        T(every_type_says_what_it_is),
        T(refusals_of_create),
        T(creating_twice_changes_nothing),
        T(configuration),
        T(trimming),
        T(deletion_must_be_allowed),
        T(states_decide_what_a_version_may),
        T(a_pre_active_version_waits),
        T(what_is_due_is_rotated),
        T(keys_follow_their_namespace_to_a_new_kek),
        T(a_list_is_in_order_and_of_this_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
