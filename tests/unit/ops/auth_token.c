/* Tokens, policies and capabilities as a client meets them. */
#include "lab.h"

static void as(struct lab *lab, const char *token)
{
    snprintf(lab->token, sizeof lab->token, "%s", token);
}

static void as_root(struct lab *lab)
{
    as(lab, lab->dev.root_token);
}

/* Makes a token with the fields; gives its text and accessor. */
struct made {
    char token[HF_DEV_TEXT_MAX], accessor[64];
};

static struct made make_at(struct lab *lab, const char *path, const char *fields)
{
    struct made made;
    lab_ok(lab, lab_write(lab, path, fields));
    snprintf(made.token, sizeof made.token, "%s", lab_str(lab, "client_token"));
    snprintf(made.accessor, sizeof made.accessor, "%s", lab_str(lab, "accessor"));
    return made;
}

static struct made make(struct lab *lab, const char *fields)
{
    return make_at(lab, "auth/token/create", fields);
}

static int with_token(struct lab *lab, const char *path, const char *token)
{
    char json[512];
    snprintf(json, sizeof json, "{\"token\": \"%s\"}", token);
    return lab_write(lab, path, json);
}

static int with_accessor(struct lab *lab, const char *path, const char *accessor)
{
    char json[512];
    snprintf(json, sizeof json, "{\"accessor\": \"%s\"}", accessor);
    return lab_write(lab, path, json);
}

static void who_am_i(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    assert_string_equal(lab_str(lab, "policies"), "[\"root\"]");
    assert_string_equal(lab_str(lab, "ttl"), "0");
    assert_string_equal(lab_str(lab, "expire_time"), "null");
    assert_string_equal(lab_str(lab, "id"), lab->token);
    assert_string_equal(lab_str(lab, "orphan"), "true");
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    assert_false(lab->waited); /* from memory */
    struct made t = make(lab, "{\"policies\": \"Dev, ops\", \"ttl\": \"1h\", \"display_name\": \"a b\","
                              " \"meta\": {\"team\": \"x\", \"n\": 3}}");
    assert_string_equal(lab_str(lab, "policies"), "[\"default\",\"dev\",\"ops\"]");
    assert_string_equal(lab_str(lab, "token_policies"), "[\"default\",\"dev\",\"ops\"]");
    assert_string_equal(lab_str(lab, "metadata"), "{\"team\":\"x\",\"n\":\"3\"}");
    assert_string_equal(lab_str(lab, "lease_duration"), "3600");
    assert_string_equal(lab_str(lab, "renewable"), "true");
    assert_string_equal(lab_str(lab, "token_type"), "service");
    assert_string_equal(lab_str(lab, "entity_id"), "");
    assert_string_equal(lab_str(lab, "orphan"), "false");
    as(lab, t.token);
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    assert_string_equal(lab_str(lab, "display_name"), "token-a-b");
    assert_string_equal(lab_str(lab, "path"), "auth/token/create");
    assert_string_equal(lab_str(lab, "meta.team"), "x");
    assert_string_equal(lab_str(lab, "accessor"), t.accessor);
    assert_string_equal(lab_str(lab, "creation_ttl"), "3600");
    assert_string_equal(lab_str(lab, "type"), "service");
}

static void strangers_learn_nothing(void **state)
{
    struct lab *lab = *state;
    struct made t = make(lab, "{\"policies\": [\"none\"]}");
    static const char *const tokens[] = {"", "x", "hvs.", "hvs.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    for (size_t i = 0; i < HF_ARRAY_LEN(tokens); i++) {
        as(lab, tokens[i]);
        static const char *const paths[] = {"auth/token/lookup-self", "transit/keys/there", "no/such/mount",
                                            "sys/none"};
        for (size_t j = 0; j < HF_ARRAY_LEN(paths); j++) {
            lab_read(lab, paths[j]);
            lab_expect(lab, 403, "permission denied");
        }
    }
    as(lab, t.token); /* one who is known and may nothing */
    static const char *const paths[] = {"transit/keys/there", "no/such/mount", "sys/none",
                                        "sys/policies/acl/default"};
    for (size_t i = 0; i < HF_ARRAY_LEN(paths); i++) {
        lab_read(lab, paths[i]);
        lab_expect(lab, 403, "permission denied");
    }
    with_token(lab, "auth/token/lookup", lab->dev.root_token);
    lab_expect(lab, 403, "permission denied");
    as_root(lab);
    with_token(lab, "auth/token/lookup", "hvs.none");
    lab_expect(lab, 403, "bad token");
    with_accessor(lab, "auth/token/lookup-accessor", "00000000-0000-0000-0000-000000000000");
    lab_expect(lab, 403, "invalid accessor");
    with_accessor(lab, "auth/token/lookup-accessor", "nonsense");
    lab_expect(lab, 403, "invalid accessor");
}

static void lookup_by_token_and_accessor(void **state)
{
    struct lab *lab = *state;
    struct made t = make(lab, "{\"policies\": [\"p\"], \"num_uses\": 5, \"period\": \"10m\"}");
    lab_ok(lab, with_token(lab, "auth/token/lookup", t.token));
    assert_string_equal(lab_str(lab, "id"), t.token);
    assert_string_equal(lab_str(lab, "num_uses"), "5");
    assert_string_equal(lab_str(lab, "period"), "600");
    assert_string_equal(lab_str(lab, "ttl"), "600");
    lab_ok(lab, with_accessor(lab, "auth/token/lookup-accessor", t.accessor));
    assert_string_equal(lab_str(lab, "id"), "");
    lab_ok(lab, lab_list(lab, "auth/token/accessors"));
    assert_non_null(strstr(lab->text, t.accessor));
}

static void children_are_held_to_their_parents(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(
                    lab, "sys/policies/acl/maker",
                    "{\"policy\": \"path \\\"auth/token/create*\\\" { capabilities = [\\\"update\\\"] }\"}"));
    struct made t = make(lab, "{\"policies\": [\"maker\", \"dev\"]}");
    as(lab, t.token);
    static const struct {
        const char *fields, *error;
    } refused[] = {
        {"{\"policies\": [\"ops\"]}", "subset of parent"},
        {"{\"policies\": [\"root\"]}", "root tokens may not be created"},
        {"{\"id\": \"mine\"}", "root or sudo"},
        {"{\"no_parent\": true}", "root or sudo"},
        {"{\"period\": \"1h\"}", "root or sudo"},
        {"{\"type\": \"batch\"}", "type service"},
        {"{\"ttl\": \"soon\"}", "not a duration"},
        {"{\"num_uses\": -1}", "not a number"},
        {"{\"policies\": 7}", "list"},
        {"{\"meta\": [1]}", "metadata"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(refused); i++) {
        lab_write(lab, "auth/token/create", refused[i].fields);
        lab_expect(lab, 400, refused[i].error);
    }
    struct made child = make(lab, "{}");
    assert_string_equal(lab_str(lab, "policies"), "[\"default\",\"dev\",\"maker\"]");
    make(lab, "{\"policies\": [\"dev\"], \"no_default_policy\": true}");
    assert_string_equal(lab_str(lab, "policies"), "[\"dev\"]");
    struct made orphan = make_at(lab, "auth/token/create-orphan", "{\"policies\": [\"dev\"]}");
    assert_string_equal(lab_str(lab, "orphan"), "true");
    as_root(lab);
    lab_ok(lab, with_token(lab, "auth/token/revoke", t.token));
    as(lab, child.token);
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
    as(lab, orphan.token);
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 200);
}

static void sudo_makes_what_others_may_not(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "sys/policies/acl/super",
                          "{\"policy\": \"path \\\"auth/token/create\\\" { capabilities = [\\\"update\\\", "
                          "\\\"sudo\\\"] }\"}"));
    struct made t = make(lab, "{\"policies\": [\"super\"]}");
    as(lab, t.token);
    make(lab, "{\"policies\": [\"anything\"], \"id\": \"chosen-text\", \"no_parent\": true}");
    assert_string_equal(lab_str(lab, "client_token"), "chosen-text");
    assert_string_equal(lab_str(lab, "orphan"), "true");
    lab_write(lab, "auth/token/create", "{\"id\": \"chosen-text\"}");
    lab_expect(lab, 400, "duplicate ID");
    lab_write(lab, "auth/token/create", "{\"policies\": [\"root\"]}");
    lab_expect(lab, 400, "root tokens may not be created");
    as(lab, "chosen-text");
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
}

static void renewal(void **state)
{
    struct lab *lab = *state;
    struct made t = make(lab, "{\"policies\": [\"p\"], \"ttl\": \"1h\", \"explicit_max_ttl\": \"2h\"}");
    lab->time.wall_ns += 1800 * HF_SECOND;
    as(lab, t.token);
    lab_ok(lab, lab_write(lab, "auth/token/renew-self", "{\"increment\": \"50m\"}"));
    assert_string_equal(lab_str(lab, "lease_duration"), "3000");
    assert_string_equal(lab_str(lab, "client_token"), t.token);
    as_root(lab);
    lab_ok(lab, with_token(lab, "auth/token/renew", t.token));
    assert_string_equal(lab_str(lab, "lease_duration"), "3600");
    lab->time.wall_ns += 3500 * HF_SECOND;
    lab_ok(lab, with_accessor(lab, "auth/token/renew-accessor", t.accessor));
    assert_string_equal(lab_str(lab, "lease_duration"), "1900"); /* two hours from its making */
    assert_string_equal(lab_str(lab, "client_token"), "");
    lab->time.wall_ns += 1900 * HF_SECOND;
    as(lab, t.token);
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
    as_root(lab);
    assert_int_equal(with_token(lab, "auth/token/renew", t.token), 403);
    struct made fixed = make(lab, "{\"policies\": [\"p\"], \"renewable\": false}");
    with_token(lab, "auth/token/renew", fixed.token);
    lab_expect(lab, 400, "not renewable");
}

static void revocation(void **state)
{
    struct lab *lab = *state;
    struct made a = make(lab, "{\"policies\": [\"p\"]}"), b = make(lab, "{\"policies\": [\"p\"]}");
    as(lab, a.token);
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    lab_ok(lab, lab_write(lab, "auth/token/revoke-self", NULL));
    assert_int_equal(lab->http, 204);
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
    as_root(lab);
    assert_int_equal(with_accessor(lab, "auth/token/revoke-accessor", b.accessor), 204);
    as(lab, b.token);
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
    as_root(lab);
    assert_int_equal(with_accessor(lab, "auth/token/revoke-accessor", b.accessor), 403);
    assert_int_equal(with_token(lab, "auth/token/revoke", b.token), 204); /* gone is gone */
    struct made super = make(lab, "{\"policies\": [\"root\"]}");
    as(lab, super.token);
    struct made child = make(lab, "{\"policies\": [\"p\"]}");
    as_root(lab);
    lab_ok(lab, with_token(lab, "auth/token/revoke-orphan", super.token));
    lab_ok(lab, with_token(lab, "auth/token/lookup", child.token));
    assert_string_equal(lab_str(lab, "orphan"), "true");
    lab_restart(lab); /* also after a restart */
    assert_int_equal(with_token(lab, "auth/token/lookup", a.token), 403);
    lab_ok(lab, with_token(lab, "auth/token/lookup", child.token));
    /* The root token can go too. */
    lab_ok(lab, lab_write(lab, "auth/token/revoke-self", NULL));
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
}

static void limited_uses(void **state)
{
    struct lab *lab = *state;
    struct made t = make(lab, "{\"policies\": [\"root\"], \"num_uses\": 3, \"ttl\": \"1h\"}");
    as(lab, t.token);
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    assert_string_equal(lab_str(lab, "num_uses"), "2");
    lab_write(lab, "auth/token/create", "{}");
    lab_expect(lab, 400, "restricted use token");
    lab_ok(lab, lab_write(lab, "sys/capabilities-self", "{\"path\": \"a\"}")); /* the last use works */
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
}

static void policies_are_kept_and_checked(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_list(lab, "sys/policies/acl"));
    assert_string_equal(lab_str(lab, "keys"), "[\"default\",\"root\"]");
    lab_ok(lab, lab_write(lab, "sys/policies/acl/App",
                          "{\"policy\": \"path \\\"a\\\" { capabilities = [\\\"read\\\"] }\"}"));
    assert_int_equal(lab->http, 204);
    lab_ok(lab, lab_read(lab, "sys/policies/acl/app"));
    assert_string_equal(lab_str(lab, "name"), "app");
    assert_non_null(strstr(lab->text, "capabilities"));
    lab_ok(lab, lab_read(lab, "sys/policy/app"));
    assert_non_null(strstr(lab_str(lab, "rules"), "capabilities"));
    lab_ok(lab, lab_read(lab, "sys/policy"));
    assert_string_equal(lab_str(lab, "policies"), "[\"app\",\"default\",\"root\"]");
    lab_write(lab, "sys/policies/acl/app",
              "{\"policy\": \"path \\\"a\\\" {\\n capabilities = [\\\"raed\\\"]\\n}\"}");
    lab_expect(lab, 400, "line 2: unknown capability");
    lab_write(lab, "sys/policies/acl/app", "{}");
    lab_expect(lab, 400, "'policy' parameter not supplied or empty");
    lab_write(lab, "sys/policies/acl/root", "{\"policy\": \"path \\\"a\\\" { }\"}");
    lab_expect(lab, 400, "cannot update");
    lab_ok(lab, lab_write(lab, "sys/policies/acl/coded",
                          "{\"policy\": \"cGF0aCAiYSIgeyBjYXBhYmlsaXRpZXMgPSBbInJlYWQiXSB9\"}"));
    lab_ok(lab, lab_read(lab, "sys/policies/acl/coded"));
    assert_string_equal(lab_str(lab, "policy"), "path \\\"a\\\" { capabilities = [\\\"read\\\"] }");
    lab_restart(lab);
    lab_ok(lab, lab_read(lab, "sys/policies/acl/app"));
    lab_delete(lab, "sys/policies/acl/default");
    lab_expect(lab, 400, "cannot delete policy");
    assert_int_equal(lab_delete(lab, "sys/policies/acl/app"), 204);
    assert_int_equal(lab_read(lab, "sys/policies/acl/app"), 404);
    assert_int_equal(lab_delete(lab, "sys/policies/acl/app"), 204);
}

static void policies_decide(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/pay", "{}"));
    lab_ok(lab, lab_write(lab, "transit/keys/other", "{}"));
    lab_ok(lab,
           lab_write(lab, "sys/policies/acl/app",
                     "{\"policy\": \"path \\\"transit/encrypt/pay\\\" {\\n capabilities = [\\\"update\\\"]\\n"
                     " denied_parameters = { \\\"key_version\\\" = [] }\\n}\\n"
                     "path \\\"transit/keys\\\" { capabilities = [\\\"list\\\"] }\"}"));
    struct made t = make(lab, "{\"policies\": [\"app\"]}");
    as(lab, t.token);
    lab_ok(lab, lab_write(lab, "transit/encrypt/pay", "{\"plaintext\": \"aGk=\"}"));
    assert_int_equal(lab_write(lab, "transit/encrypt/pay", "{\"plaintext\": \"aGk=\", \"key_version\": 1}"),
                     403);
    assert_int_equal(lab_write(lab, "transit/encrypt/other", "{\"plaintext\": \"aGk=\"}"), 403);
    assert_int_equal(lab_write(lab, "transit/decrypt/pay", "{\"ciphertext\": \"vault:v1:x\"}"), 403);
    assert_int_equal(lab_read(lab, "transit/keys/pay"), 403);
    lab_ok(lab, lab_list(lab, "transit/keys"));
    as_root(lab);
    lab_ok(lab, lab_write(lab, "sys/policies/acl/app",
                          "{\"policy\": \"path \\\"transit/*\\\" { capabilities = [\\\"deny\\\"] }\"}"));
    as(lab, t.token);
    assert_int_equal(lab_write(lab, "transit/encrypt/pay", "{\"plaintext\": \"aGk=\"}"), 403); /* at once */
}

static void deny_stands_above_what_any_token_may(void **state)
{
    struct lab *lab = *state;
    lab_ok(
        lab,
        lab_write(lab, "sys/policies/acl/mute",
                  "{\"policy\": \"path \\\"auth/token/lookup-self\\\" { capabilities = [\\\"deny\\\"] }\"}"));
    struct made t = make(lab, "{\"policies\": [\"mute\"], \"no_default_policy\": true}");
    as(lab, t.token);
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
    lab_ok(lab, lab_write(lab, "auth/token/renew-self", NULL));
}

static void wrong_shares_are_locked_out(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "sys/seal", NULL));
    char json[2 * HF_DEV_TEXT_MAX];
    for (int i = 0; i < HF_LIMITS_PAIR_TRIES; i++)
        assert_int_equal(lab_write(lab, "sys/unseal", "{\"key\": \"bm9uc2Vuc2U=\"}"), 400);
    snprintf(json, sizeof json, "{\"key\": \"%s\"}", lab->dev.shares[0]);
    assert_int_equal(lab_write(lab, "sys/unseal", json), 429);
    for (int i = 0; i < 20; i++) { /* however often: the way is never barred for long */
        lab->time.boot_ns += 3 * HF_SECOND;
        assert_int_equal(lab_write(lab, "sys/unseal", "{\"key\": \"bm9uc2Vuc2U=\"}"), 400);
    }
    lab->time.boot_ns += 3 * HF_SECOND;
    lab_ok(lab, lab_write(lab, "sys/unseal", json));
    assert_int_equal(lab_write(lab, "sys/unseal", "{\"key\": \"bm9uc2Vuc2U=\"}"), 400);
    lab->peer_ip[0] = 0x20; /* who comes from elsewhere is not kept out */
    for (uint32_t i = 0; i < HF_DEV_THRESHOLD; i++) {
        snprintf(json, sizeof json, "{\"key\": \"%s\"}", lab->dev.shares[i]);
        lab_ok(lab, lab_write(lab, "sys/unseal", json));
    }
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
}

static void capabilities(void **state)
{
    struct lab *lab = *state;
    lab_ok(
        lab,
        lab_write(
            lab, "sys/policies/acl/app",
            "{\"policy\": \"path \\\"transit/+/pay\\\" { capabilities = [\\\"update\\\", \\\"read\\\"] }\\n"
            "path \\\"x\\\" { capabilities = [\\\"deny\\\"] }\"}"));
    struct made t = make(lab, "{\"policies\": [\"app\"]}");
    lab_ok(lab, lab_write(lab, "sys/capabilities-self", "{\"paths\": [\"anything\"]}"));
    assert_string_equal(lab_str(lab, "anything"), "[\"root\"]");
    char json[512];
    snprintf(json, sizeof json, "{\"token\": \"%s\", \"paths\": [\"transit/encrypt/pay\", \"x\", \"y\"]}",
             t.token);
    lab_ok(lab, lab_write(lab, "sys/capabilities", json));
    assert_string_equal(lab_str(lab, "transit/encrypt/pay"), "[\"read\",\"update\"]");
    assert_string_equal(lab_str(lab, "capabilities"), "[\"read\",\"update\"]");
    assert_string_equal(lab_str(lab, "x"), "[\"deny\"]");
    assert_string_equal(lab_str(lab, "y"), "[\"deny\"]");
    snprintf(json, sizeof json, "{\"accessor\": \"%s\", \"path\": \"transit/encrypt/pay\"}", t.accessor);
    lab_ok(lab, lab_write(lab, "sys/capabilities-accessor", json));
    assert_string_equal(lab_str(lab, "capabilities"), "[\"read\",\"update\"]");
    lab_write(lab, "sys/capabilities", "{\"token\": \"hvs.none\", \"paths\": [\"x\"]}");
    lab_expect(lab, 400, "invalid token");
    as(lab, t.token);
    lab_ok(lab, lab_write(lab, "sys/capabilities-self", "{\"paths\": \"x,transit/a/pay\"}"));
    assert_string_equal(lab_str(lab, "transit/a/pay"), "[\"read\",\"update\"]");
}

static void token_roles(void **state)
{
    struct lab *lab = *state;
    lab_ok(
        lab,
        lab_write(lab, "auth/token/roles/ci",
                  "{\"allowed_policies\": \"build, deploy\", \"allowed_policies_glob\": [\"app-*\"],"
                  " \"disallowed_policies\": [\"app-secret\"], \"orphan\": true, \"token_period\": \"1h\"}"));
    lab_ok(lab, lab_read(lab, "auth/token/roles/ci"));
    assert_string_equal(lab_str(lab, "allowed_policies"), "[\"build\",\"deploy\"]");
    assert_string_equal(lab_str(lab, "token_period"), "3600");
    lab_ok(lab, lab_list(lab, "auth/token/roles"));
    assert_string_equal(lab_str(lab, "keys"), "[\"ci\"]");
    lab_ok(
        lab,
        lab_write(lab, "sys/policies/acl/ci",
                  "{\"policy\": \"path \\\"auth/token/create/ci\\\" { capabilities = [\\\"update\\\"] }\"}"));
    struct made t = make(lab, "{\"policies\": [\"ci\"]}");
    as(lab, t.token);
    make_at(lab, "auth/token/create/ci", "{\"policies\": [\"build\", \"app-one\"]}");
    assert_string_equal(lab_str(lab, "policies"), "[\"app-one\",\"build\",\"default\"]");
    assert_string_equal(lab_str(lab, "orphan"), "true");
    assert_string_equal(lab_str(lab, "lease_duration"), "3600");
    lab_write(lab, "auth/token/create/ci", "{\"policies\": [\"other\"]}");
    lab_expect(lab, 400, "does not allow policy");
    lab_write(lab, "auth/token/create/ci", "{\"policies\": [\"app-secret\"]}");
    lab_expect(lab, 400, "disallows policy");
    assert_int_equal(lab_write(lab, "auth/token/create/other", "{}"), 403);
    as_root(lab);
    assert_int_equal(lab_delete(lab, "auth/token/roles/ci"), 204);
    assert_int_equal(lab_read(lab, "auth/token/roles/ci"), 404);
}

static void bound_addresses(void **state)
{
    struct lab *lab = *state;
    static const uint8_t inside[16] = {[10] = 0xff, 0xff, 10, 0, 0, 1},
                         outside[16] = {[10] = 0xff, 0xff, 11, 0, 0, 1};
    lab_ok(lab, lab_write(lab, "auth/token/roles/near", "{\"token_bound_cidrs\": \"10.0.0.0/8\"}"));
    struct made t = make_at(lab, "auth/token/create/near", "{}");
    as(lab, t.token);
    memcpy(lab->peer_ip, inside, 16);
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    memcpy(lab->peer_ip, outside, 16);
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
}

#define LAB_TEST(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(who_am_i),
        LAB_TEST(strangers_learn_nothing),
        LAB_TEST(lookup_by_token_and_accessor),
        LAB_TEST(children_are_held_to_their_parents),
        LAB_TEST(sudo_makes_what_others_may_not),
        LAB_TEST(renewal),
        LAB_TEST(revocation),
        LAB_TEST(limited_uses),
        LAB_TEST(policies_are_kept_and_checked),
        LAB_TEST(policies_decide),
        LAB_TEST(deny_stands_above_what_any_token_may),
        LAB_TEST(wrong_shares_are_locked_out),
        LAB_TEST(capabilities),
        LAB_TEST(token_roles),
        LAB_TEST(bound_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
