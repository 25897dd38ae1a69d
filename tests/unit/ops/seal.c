/* sys/init, unseal, seal, status, health, rekey, generate-root, as a client sees them. */
#include "unit/ops/lab.h"

/* A server that was never initialised. */
static int bare_open(void **state)
{
    if (lab_open(state) != 0)
        return -1;
    struct lab *lab = *state;
    lab_stop_core(lab);
    static const char *const ends[] = {"", "-wal", "-shm", "-lock", ".lock"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++)
        (void)unlink(lab_f("%s%s", lab->file, ends[i]));
    lab->token[0] = '\0';
    lab_start_core(lab);
    return 0;
}

struct keys {
    unsigned count;
    char hex[32][80], base64[32][64], card[32][HF_DEV_TEXT_MAX];
};

static void read_keys(struct lab *lab, struct keys *keys)
{
    memset(keys, 0, sizeof(*keys));
    keys->count = lab_get(lab, "keys").count;
    assert_int_equal(lab_get(lab, "keys_base64").count, keys->count);
    assert_int_equal(lab_get(lab, "share_cards").count, keys->count);
    for (unsigned i = 0; i < keys->count; i++) {
        snprintf(keys->hex[i], sizeof(keys->hex[i]), "%s", lab_str(lab, lab_f("keys.%u", i)));
        snprintf(keys->base64[i], sizeof(keys->base64[i]), "%s", lab_str(lab, lab_f("keys_base64.%u", i)));
        snprintf(keys->card[i], sizeof(keys->card[i]), "%s", lab_str(lab, lab_f("share_cards.%u", i)));
        assert_int_equal(strlen(keys->hex[i]), 66);
        assert_int_equal(strlen(keys->base64[i]), 44);
        assert_int_equal(strncmp(keys->card[i], "hf1-share-", 10), 0);
    }
}

static void init(struct lab *lab, unsigned n, unsigned k, struct keys *keys)
{
    lab_ok(lab, lab_write(lab, "sys/init", lab_f("{\"secret_shares\":%u,\"secret_threshold\":%u}", n, k)));
    read_keys(lab, keys);
    assert_int_equal(keys->count, n);
    snprintf(lab->token, sizeof(lab->token), "%s", lab_str(lab, "root_token"));
    assert_true(strlen(lab->token) > 20);
}

static void unseal(struct lab *lab, const struct keys *keys, unsigned k)
{
    for (unsigned i = 0; i < k; i++) {
        lab_ok(lab, lab_write(lab, "sys/unseal", lab_f("{\"key\":\"%s\"}", keys->hex[i])));
        lab_expect(lab, 200, i + 1 == k ? "\"sealed\":false" : "\"sealed\":true");
    }
}

static void a_new_server_says_so(void **state)
{
    struct lab *lab = *state;
    lab_read(lab, "sys/init");
    lab_expect(lab, 200, "{\"initialized\":false}");
    lab_read(lab, "sys/health");
    lab_expect(lab, 501, "\"initialized\":false");
    lab_call(lab, HF_METHOD_HEAD, "sys/health", NULL);
    assert_int_equal(lab->http, 501);
    lab_call(lab, HF_METHOD_READ, "sys/health", "{\"uninitcode\":\"299\"}");
    assert_int_equal(lab->http, 299);
    lab_call(lab, HF_METHOD_READ, "sys/health", "{\"uninitcode\":\"x\"}");
    assert_int_equal(lab->http, 400);
    lab_read(lab, "sys/seal-status");
    lab_expect(lab, 200,
               "\"initialized\":false,\"sealed\":true,\"t\":0,\"n\":0,\"progress\":0,\"nonce\":\"\"");
    lab_write(lab, "sys/unseal", "{\"key\":\"00\"}");
    assert_int_equal(lab->http, 501);
    lab_read(lab, "sys/mounts");
    assert_int_equal(lab->http, 501);
    lab_read(lab, "sys/leader");
    assert_int_equal(lab->http, 501);
}

static void init_refuses_what_it_cannot_do(void **state)
{
    struct lab *lab = *state;
    static const char *const refused[] = {
        "{}",
        "{\"secret_shares\":0,\"secret_threshold\":0}",
        "{\"secret_shares\":3,\"secret_threshold\":4}",
        "{\"secret_shares\":33,\"secret_threshold\":3}",
        "{\"secret_shares\":-1,\"secret_threshold\":3}",
        "{\"secret_shares\":\"five\",\"secret_threshold\":3}",
        "{\"secret_shares\":1,\"secret_threshold\":1,\"pgp_keys\":[\"abc\"]}",
        "{\"secret_shares\":1,\"secret_threshold\":1,\"root_token_pgp_key\":\"abc\"}",
        "{\"secret_shares\":1,\"secret_threshold\":1,\"recovery_shares\":1}",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(refused); i++) {
        lab_write(lab, "sys/init", refused[i]);
        assert_int_equal(lab->http, 400);
        lab_read(lab, "sys/init");
        lab_expect(lab, 200, "false");
    }
    /* what clients send along without meaning it */
    struct keys keys;
    lab_ok(lab, lab_write(
                    lab, "sys/init",
                    "{\"secret_shares\":\"2\",\"secret_threshold\":2,\"pgp_keys\":null,\"recovery_shares\":0,"
                    "\"root_token_pgp_key\":\"\",\"stored_shares\":0,\"unknown\":1}"));
    read_keys(lab, &keys);
    assert_int_equal(keys.count, 2);
}

static void init_unseal_use_seal(void **state)
{
    struct lab *lab = *state;
    struct keys keys;
    init(lab, 5, 3, &keys);
    lab_write(lab, "sys/init", "{\"secret_shares\":1,\"secret_threshold\":1}");
    lab_expect(lab, 400, "already initialized");
    lab_read(lab, "sys/health");
    lab_expect(lab, 503, "\"initialized\":true,\"sealed\":true");
    lab_call(lab, HF_METHOD_READ, "sys/health", "{\"sealedcode\":\"234\"}");
    assert_int_equal(lab->http, 234);
    lab_read(lab, "sys/mounts");
    assert_int_equal(lab->http, 503);
    lab_write(lab, "sys/seal", NULL);
    assert_int_equal(lab->http, 503);

    lab_ok(lab, lab_write(lab, "sys/unseal", lab_f("{\"key\":\"%s\"}", keys.base64[4])));
    lab_expect(lab, 200, "\"progress\":1");
    char nonce[64];
    snprintf(nonce, sizeof(nonce), "%s", lab_str(lab, "nonce"));
    assert_int_equal(strlen(nonce), 36);
    lab_write(lab, "sys/unseal", lab_f("{\"key\":\"%s\"}", keys.card[4])); /* the same again */
    lab_expect(lab, 200, "\"progress\":1");
    lab_write(lab, "sys/unseal", "{\"key\":\"garbage!\"}");
    lab_expect(lab, 400, "neither hex nor base64");
    lab_write(lab, "sys/unseal", "{}");
    lab_expect(lab, 400, "'key' must be specified");
    lab_write(lab, "sys/unseal", "{\"key\":3}");
    assert_int_equal(lab->http, 400);
    lab_write(lab, "sys/unseal", lab_f("{\"migrate\":true,\"key\":\"%s\"}", keys.hex[0]));
    assert_int_equal(lab->http, 400);
    lab_write(lab, "sys/unseal", "{\"reset\":true}");
    lab_expect(lab, 200, "\"progress\":0,\"nonce\":\"\"");
    unseal(lab, &keys, 3);
    lab_write(lab, "sys/unseal", lab_f("{\"key\":\"%s\"}", keys.hex[0])); /* open already: says so */
    lab_expect(lab, 200, "\"sealed\":false");
    lab_expect(lab, 200, "\"type\":\"shamir\"");
    lab_expect(lab, 200, "\"t\":3,\"n\":5");
    lab_expect(lab, 200, "\"version\":\"1.19.0\"");
    lab_expect(lab, 200, "\"cluster_name\":\"lab\"");
    lab_expect(lab, 200, "\"storage_type\":\"sqlite\"");
    lab_expect(lab, 200, "\"recovery_seal\":false");
    lab_read(lab, "sys/health");
    lab_expect(lab, 200, "\"sealed\":false,\"standby\":false");
    lab_call(lab, HF_METHOD_READ, "sys/health", "{\"activecode\":204}");
    assert_int_equal(lab->http, 204);
    lab_read(lab, "sys/leader");
    lab_expect(lab, 200, "\"ha_enabled\":false");
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    lab_ok(lab, lab_write(lab, "sys/mounts/transit", "{\"type\":\"transit\"}"));
    lab_ok(lab, lab_write(lab, "transit/keys/k", "{}"));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"aGVsbG8=\"}"));
    char ciphertext[256];
    snprintf(ciphertext, sizeof(ciphertext), "%s", lab_str(lab, "ciphertext"));

    char root[HF_DEV_TEXT_MAX];
    memcpy(root, lab->token, sizeof(root));
    snprintf(lab->token, sizeof(lab->token), "hvs.nobody");
    lab_write(lab, "sys/seal", NULL);
    assert_int_equal(lab->http, 403);
    memcpy(lab->token, root, sizeof(root));
    lab_write(lab, "sys/seal", NULL);
    assert_int_equal(lab->http, 204);
    lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext));
    assert_int_equal(lab->http, 503);
    lab_read(lab, "sys/seal-status");
    lab_expect(lab, 200, "\"sealed\":true");
    assert_int_equal(lab_get(lab, "cluster_id").tag, HF_TREE_NULL); /* not said while sealed */
    unseal(lab, &keys, 3);
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    lab_expect(lab, 200, "aGVsbG8=");
    /* sealing left its trace, before it */
    lab_ok(lab, lab_read(lab, "sys/key-status"));
    lab_expect(lab, 200, "\"term\":1");
    lab_ok(lab, lab_write(lab, "sys/rotate", NULL));
    lab_ok(lab, lab_read(lab, "sys/key-status"));
    lab_expect(lab, 200, "\"term\":2");
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    lab_write(lab, "sys/seal", NULL);
    unseal(lab, &keys, 3);
    lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
}

static void rekey_through_the_api(void **state)
{
    struct lab *lab = *state;
    struct keys keys, next;
    init(lab, 3, 2, &keys);
    lab_read(lab, "sys/rekey/init");
    assert_int_equal(lab->http, 503);
    unseal(lab, &keys, 2);
    lab_ok(lab, lab_read(lab, "sys/rekey/init"));
    lab_expect(lab, 200, "\"started\":false,\"t\":0,\"n\":0,\"progress\":0,\"required\":2");
    lab_write(lab, "sys/rekey/init", "{\"secret_shares\":2,\"secret_threshold\":3}");
    assert_int_equal(lab->http, 400);
    lab_write(lab, "sys/rekey/init", "{\"secret_shares\":2,\"secret_threshold\":2,\"backup\":true}");
    assert_int_equal(lab->http, 400);
    lab_ok(lab, lab_write(lab, "sys/rekey/init", "{\"secret_shares\":4,\"secret_threshold\":2}"));
    lab_expect(lab, 200, "\"started\":true,\"t\":2,\"n\":4,\"progress\":0,\"required\":2");
    char nonce[64];
    snprintf(nonce, sizeof(nonce), "%s", lab_str(lab, "nonce"));
    lab_write(lab, "sys/rekey/init", "{\"secret_shares\":4,\"secret_threshold\":2}");
    lab_expect(lab, 400, "rekey already in progress");
    assert_int_equal(lab_delete(lab, "sys/rekey/init"), 204);
    lab_write(lab, "sys/rekey/update", lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.hex[0], nonce));
    lab_expect(lab, 400, "no rekey is under way");
    lab_ok(lab, lab_write(lab, "sys/rekey/init", "{\"secret_shares\":4,\"secret_threshold\":2}"));
    snprintf(nonce, sizeof(nonce), "%s", lab_str(lab, "nonce"));
    lab_write(lab, "sys/rekey/update", lab_f("{\"key\":\"%s\",\"nonce\":\"nonsense\"}", keys.hex[0]));
    assert_int_equal(lab->http, 400);
    lab_write(lab, "sys/rekey/update", lab_f("{\"nonce\":\"%s\"}", nonce));
    assert_int_equal(lab->http, 400);
    lab_ok(lab, lab_write(lab, "sys/rekey/update",
                          lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.hex[0], nonce)));
    lab_expect(lab, 200, "\"progress\":1");
    lab_expect(lab, 200, "\"complete\":false");
    lab_write(lab, "sys/rekey/update", lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.hex[0], nonce));
    lab_expect(lab, 400, "given already");
    lab_ok(lab, lab_write(lab, "sys/rekey/update",
                          lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.card[2], nonce)));
    lab_expect(lab, 200, "\"complete\":true");
    read_keys(lab, &next);
    assert_int_equal(next.count, 4);
    lab_ok(lab, lab_write(lab, "sys/seal", NULL));
    lab_write(lab, "sys/unseal", lab_f("{\"key\":\"%s\"}", keys.card[0]));
    lab_expect(lab, 400, "an earlier generation");
    unseal(lab, &next, 2);
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));

    /* with verification */
    keys = next;
    lab_ok(lab, lab_write(lab, "sys/rekey/init",
                          "{\"secret_shares\":2,\"secret_threshold\":2,\"require_verification\":true}"));
    lab_expect(lab, 200, "\"verification_required\":true");
    snprintf(nonce, sizeof(nonce), "%s", lab_str(lab, "nonce"));
    lab_read(lab, "sys/rekey/verify");
    assert_int_equal(lab->http, 400);
    for (unsigned i = 0; i < 2; i++)
        lab_ok(lab, lab_write(lab, "sys/rekey/update",
                              lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.hex[i], nonce)));
    lab_expect(lab, 200, "\"complete\":true");
    read_keys(lab, &next);
    char verify[64];
    snprintf(verify, sizeof(verify), "%s", lab_str(lab, "verification_nonce"));
    assert_int_equal(strlen(verify), 36);
    lab_ok(lab, lab_read(lab, "sys/rekey/verify"));
    lab_expect(lab, 200, "\"started\":true,\"t\":2,\"n\":2,\"progress\":0");
    lab_ok(lab, lab_delete(lab, "sys/rekey/verify"));
    assert_string_not_equal(lab_str(lab, "nonce"), verify);
    snprintf(verify, sizeof(verify), "%s", lab_str(lab, "nonce"));
    lab_ok(lab, lab_write(lab, "sys/rekey/verify",
                          lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", next.hex[0], verify)));
    lab_expect(lab, 200, "\"progress\":1");
    lab_write(lab, "sys/rekey/verify", lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.hex[1], verify));
    assert_int_equal(lab->http, 400);
    lab_ok(lab, lab_write(lab, "sys/rekey/verify",
                          lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", next.hex[1], verify)));
    lab_expect(lab, 200, "\"complete\":true");
    lab_ok(lab, lab_write(lab, "sys/seal", NULL));
    unseal(lab, &next, 2);
}

/* What a client does with encoded_token: base64 without padding, XOR with the one-time password. */
static void decode_root(const char *encoded, const char *otp, char *token, size_t room)
{
    char padded[128];
    snprintf(padded, sizeof(padded), "%s", encoded);
    while (strlen(padded) % 4 != 0)
        strcat(padded, "=");
    struct hf_buf out = hf_buf(token, room - 1);
    assert_int_equal(hf_base64_decode(&out, hf_cursor_text(padded)).code, HF_OK);
    assert_int_equal(out.len, strlen(otp));
    for (size_t i = 0; i < out.len; i++)
        token[i] = (char)(token[i] ^ otp[i]);
    token[out.len] = '\0';
}

static void a_quorum_makes_a_root_token(void **state)
{
    struct lab *lab = *state;
    struct keys keys;
    init(lab, 3, 2, &keys);
    unseal(lab, &keys, 2);
    lab_ok(lab, lab_write(lab, "auth/token/revoke-self", NULL));
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
    lab->token[0] = '\0';
    for (unsigned given = 0; given < 2; given++) {
        lab_ok(lab, lab_read(lab, "sys/generate-root/attempt"));
        lab_expect(lab, 200, "\"started\":false");
        long otp_length = lab_num(lab, "otp_length");
        char otp[128];
        if (given) {
            lab_write(lab, "sys/generate-root/attempt", "{\"otp\":\"short\"}");
            lab_expect(lab, 400, "wrong length");
            lab_write(lab, "sys/generate-root/attempt", "{\"pgp_key\":\"abc\"}");
            assert_int_equal(lab->http, 400);
            memset(otp, 'x', (size_t)otp_length);
            otp[otp_length] = '\0';
            lab_ok(lab, lab_write(lab, "sys/generate-root/attempt", lab_f("{\"otp\":\"%s\"}", otp)));
            assert_string_equal(lab_str(lab, "otp"), "");
        } else {
            lab_ok(lab, lab_write(lab, "sys/generate-root/attempt", NULL));
            snprintf(otp, sizeof(otp), "%s", lab_str(lab, "otp"));
            assert_int_equal(strlen(otp), otp_length);
        }
        lab_expect(lab, 200, "\"started\":true");
        char nonce[64];
        snprintf(nonce, sizeof(nonce), "%s", lab_str(lab, "nonce"));
        lab_write(lab, "sys/generate-root/attempt", NULL);
        lab_expect(lab, 400, "already in progress");
        lab_ok(lab, lab_write(lab, "sys/generate-root/update",
                              lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.hex[0], nonce)));
        lab_expect(lab, 200, "\"progress\":1");
        lab_expect(lab, 200, "\"complete\":false,\"encoded_token\":\"\"");
        lab_write(lab, "sys/generate-root/update",
                  lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.hex[0], nonce));
        assert_int_equal(lab->http, 400);
        lab_ok(lab, lab_write(lab, "sys/generate-root/update",
                              lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.card[2], nonce)));
        lab_expect(lab, 200, "\"complete\":true");
        decode_root(lab_str(lab, "encoded_token"), otp, lab->token, sizeof(lab->token));
        assert_string_equal(lab_str(lab, "encoded_token"), lab_str(lab, "encoded_root_token"));
        lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
        lab_expect(lab, 200, "\"policies\":[\"root\"]");
        lab_ok(lab, lab_read(lab, "sys/mounts"));
    }
    lab_ok(lab, lab_write(lab, "sys/generate-root/attempt", NULL));
    assert_int_equal(lab_delete(lab, "sys/generate-root/attempt"), 204);
    lab_ok(lab, lab_read(lab, "sys/generate-root/attempt"));
    lab_expect(lab, 200, "\"started\":false");
}

/* How often an operation stands in the audit log's entries, opened. */
static unsigned leaves_of(struct lab *lab, const char *operation)
{
    lab_ok(lab, lab_call(lab, HF_METHOD_READ, "audit/entries", "{\"limit\":1000}"));
    unsigned count = 0;
    const char *wanted = lab_f("\"%s\"", operation);
    for (const char *at = lab->text; (at = strstr(at, wanted)) != NULL; at++)
        count++;
    return count;
}

static void what_is_done_to_the_seal_is_in_the_log(void **state)
{
    struct lab *lab = *state;
    struct keys keys, next;
    init(lab, 1, 1, &keys);
    unseal(lab, &keys, 1);
    assert_int_equal(leaves_of(lab, "sys.init"), 1);
    assert_int_equal(leaves_of(lab, "sys.unseal"), 1);
    lab_ok(lab, lab_write(lab, "sys/seal", NULL));
    unseal(lab, &keys, 1);
    assert_int_equal(leaves_of(lab, "sys.seal"), 1);
    assert_int_equal(leaves_of(lab, "sys.unseal"), 2);
    lab_ok(lab, lab_write(lab, "sys/rekey/init", "{\"secret_shares\":1,\"secret_threshold\":1}"));
    char nonce[64];
    snprintf(nonce, sizeof(nonce), "%s", lab_str(lab, "nonce"));
    lab_write(lab, "sys/rekey/update", lab_f("{\"key\":\"00\",\"nonce\":\"%s\"}", nonce));
    assert_int_equal(lab->http, 400);
    lab_ok(lab, lab_write(lab, "sys/rekey/update",
                          lab_f("{\"key\":\"%s\",\"nonce\":\"%s\"}", keys.hex[0], nonce)));
    read_keys(lab, &next);
    assert_int_equal(leaves_of(lab, "sys.rekey.begin"), 1);
    assert_int_equal(leaves_of(lab, "sys.rekey.update"), 4); /* begun and refused, begun and done */
    lab_ok(lab, lab_write(lab, "sys/rotate", NULL));
    assert_int_equal(leaves_of(lab, "sys.rotate"), 2);
    /* never a share, never a token */
    leaves_of(lab, "");
    assert_null(strstr(lab->text, keys.hex[0]));
    assert_null(strstr(lab->text, next.hex[0]));
    assert_null(strstr(lab->text, lab->token));
}

static void development_mode_opens_its_own_state_again(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", "{}"));
    lab_ok(lab, lab_read(lab, "sys/mounts/secret"));
    lab_expect(lab, 200, "\"version\":\"2\"");
    lab_restart(lab);
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    /* too few shares: it stays sealed, and says so */
    struct hf_core_dev again;
    lab_stop_core(lab);
    lab_start_core(lab);
    assert_int_equal(hf_core_dev_init(lab->core, "", lab->dev.shares, 2, &again).code, HF_SEALED);
    assert_int_equal(again.share_count, 0);
    lab_read(lab, "sys/health");
    assert_int_equal(lab->http, 503);
    assert_int_equal(hf_core_dev_init(lab->core, "", &lab->dev.shares[2], 3, &again).code, HF_OK);
    lab_ok(lab, lab_read(lab, "transit/keys/k"));
    assert_int_equal(hf_core_dev_init(lab->core, "", NULL, 0, &again).code, HF_OK); /* open already */
}

int main(void)
{
    hf_log_setup(2, HF_LOG_ERROR, "test");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_server_says_so, bare_open, lab_close),
        cmocka_unit_test_setup_teardown(init_refuses_what_it_cannot_do, bare_open, lab_close),
        cmocka_unit_test_setup_teardown(init_unseal_use_seal, bare_open, lab_close),
        cmocka_unit_test_setup_teardown(rekey_through_the_api, bare_open, lab_close),
        cmocka_unit_test_setup_teardown(a_quorum_makes_a_root_token, bare_open, lab_close),
        cmocka_unit_test_setup_teardown(what_is_done_to_the_seal_is_in_the_log, bare_open, lab_close),
        cmocka_unit_test_setup_teardown(development_mode_opens_its_own_state_again, lab_open, lab_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
