/* AppRole as an operator and an application meet it. */
#include "lab.h"

static void as(struct lab *lab, const char *token)
{
    snprintf(lab->token, sizeof lab->token, "%s", token);
}

static int open_approle(void **state)
{
    lab_open(state);
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "sys/auth/approle", "{\"type\": \"approle\"}"));
    return 0;
}

struct ids {
    char role_id[300], secret_id[300], accessor[64];
};

static struct ids new_ids(struct lab *lab, const char *role, const char *fields)
{
    struct ids ids;
    char path[256];
    snprintf(path, sizeof path, "auth/approle/role/%s/role-id", role);
    lab_ok(lab, lab_read(lab, path));
    snprintf(ids.role_id, sizeof ids.role_id, "%s", lab_str(lab, "role_id"));
    snprintf(path, sizeof path, "auth/approle/role/%s/secret-id", role);
    lab_ok(lab, lab_write(lab, path, fields));
    snprintf(ids.secret_id, sizeof ids.secret_id, "%s", lab_str(lab, "secret_id"));
    snprintf(ids.accessor, sizeof ids.accessor, "%s", lab_str(lab, "secret_id_accessor"));
    return ids;
}

static int login(struct lab *lab, const char *role_id, const char *secret_id)
{
    char json[1024], kept[HF_DEV_TEXT_MAX];
    snprintf(json, sizeof json, "{\"role_id\": \"%s\", \"secret_id\": \"%s\"}", role_id, secret_id);
    snprintf(kept, sizeof kept, "%s", lab->token);
    as(lab, ""); /* without a token */
    int http = lab_write(lab, "auth/approle/login", json);
    as(lab, kept);
    return http;
}

static void roles_are_kept(void **state)
{
    struct lab *lab = *state;
    assert_int_equal(lab_list(lab, "auth/approle/role"), 404);
    assert_int_equal(lab_read(lab, "auth/approle/role/web"), 404);
    assert_int_equal(
        lab_write(lab, "auth/approle/role/Web",
                  "{\"token_policies\": [\"App\", \"b\"], \"token_ttl\": \"20m\", \"token_max_ttl\": 3600,"
                  " \"secret_id_num_uses\": 10, \"secret_id_ttl\": \"1h\", \"token_num_uses\": \"7\","
                  " \"token_bound_cidrs\": \"10.0.0.0/8, 192.168.1.1\", \"unknown_field\": 1}"),
        204);
    lab_ok(lab, lab_read(lab, "auth/approle/role/web"));
    assert_string_equal(lab_str(lab, "token_policies"), "[\"app\",\"b\"]");
    assert_string_equal(lab_str(lab, "token_ttl"), "1200");
    assert_string_equal(lab_str(lab, "token_max_ttl"), "3600");
    assert_string_equal(lab_str(lab, "secret_id_num_uses"), "10");
    assert_string_equal(lab_str(lab, "secret_id_ttl"), "3600");
    assert_string_equal(lab_str(lab, "token_num_uses"), "7");
    assert_string_equal(lab_str(lab, "bind_secret_id"), "true");
    assert_string_equal(lab_str(lab, "token_bound_cidrs"), "[\"10.0.0.0/8\",\"192.168.1.1\"]");
    assert_null(strstr(lab->text, "uid"));
    /* A later write changes what it names and no more. */
    lab_ok(lab, lab_write(lab, "auth/approle/role/web", "{\"token_ttl\": 60}"));
    lab_ok(lab, lab_write(lab, "auth/approle/role/web/token-max-ttl", "{\"token_max_ttl\": 120}"));
    lab_ok(lab, lab_read(lab, "auth/approle/role/web"));
    assert_string_equal(lab_str(lab, "token_ttl"), "60");
    assert_string_equal(lab_str(lab, "token_max_ttl"), "120");
    assert_string_equal(lab_str(lab, "token_policies"), "[\"app\",\"b\"]");
    lab_ok(lab, lab_read(lab, "auth/approle/role/web/policies"));
    assert_string_equal(lab_str(lab, "token_policies"), "[\"app\",\"b\"]");
    lab_ok(lab, lab_delete(lab, "auth/approle/role/web/policies"));
    lab_ok(lab, lab_read(lab, "auth/approle/role/web/policies"));
    assert_string_equal(lab_str(lab, "token_policies"), "[]");
    lab_restart(lab);
    lab_ok(lab, lab_list(lab, "auth/approle/role"));
    assert_string_equal(lab_str(lab, "keys"), "[\"web\"]");
    assert_int_equal(lab_delete(lab, "auth/approle/role/web"), 204);
    assert_int_equal(lab_read(lab, "auth/approle/role/web"), 404);
    assert_int_equal(lab_delete(lab, "auth/approle/role/web"), 204);
    static const struct {
        const char *fields, *error;
    } refused[] = {
        {"{\"token_policies\": [\"root\"]}", "policy root"},
        {"{\"token_ttl\": 100, \"token_max_ttl\": 10}", "greater than"},
        {"{\"token_bound_cidrs\": \"10.0.0.0/99\"}", "address range"},
        {"{\"token_type\": \"batch\"}", "batch"},
        {"{\"bind_secret_id\": false}", "anyone could log in"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(refused); i++) {
        lab_write(lab, "auth/approle/role/bad", refused[i].fields);
        lab_expect(lab, 400, refused[i].error);
    }
}

static void an_application_logs_in(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "auth/approle/role/web",
                          "{\"token_policies\": \"app\", \"token_ttl\": \"20m\","
                          " \"token_max_ttl\": \"1h\"}"));
    struct ids ids = new_ids(lab, "web", "{\"metadata\": \"{\\\"host\\\": \\\"a1\\\"}\"}");
    assert_int_equal(strlen(ids.role_id), 36);
    assert_int_equal(strlen(ids.secret_id), 36);
    for (int i = 0; i < 3; i++)
        assert_int_equal(login(lab, ids.role_id, ids.secret_id), 200);
    assert_string_equal(lab_str(lab, "policies"), "[\"app\",\"default\"]");
    assert_string_equal(lab_str(lab, "lease_duration"), "1200");
    assert_string_equal(lab_str(lab, "renewable"), "true");
    assert_string_equal(lab_str(lab, "orphan"), "true");
    assert_string_equal(lab_str(lab, "metadata.role_name"), "web");
    assert_string_equal(lab_str(lab, "metadata.host"), "a1");
    as(lab, lab_str(lab, "client_token"));
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    assert_string_equal(lab_str(lab, "path"), "auth/approle/login");
    assert_string_equal(lab_str(lab, "display_name"), "approle");
    lab_ok(lab, lab_write(lab, "auth/token/renew-self", "{\"increment\": \"3h\"}"));
    assert_string_equal(lab_str(lab, "lease_duration"), "3600");
    lab_restart(lab);
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 200);
}

static void every_failure_reads_the_same(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "auth/approle/role/web", "{}"));
    lab_ok(lab, lab_write(lab, "auth/approle/role/db", "{}"));
    struct ids web = new_ids(lab, "web", "{}"), db = new_ids(lab, "db", "{}"),
               gone = new_ids(lab, "web", "{}");
    char json[512];
    snprintf(json, sizeof json, "{\"secret_id\": \"%s\"}", gone.secret_id);
    assert_int_equal(lab_write(lab, "auth/approle/role/web/secret-id/destroy", json), 204);
    const char *const tries[][2] = {
        {web.role_id, db.secret_id}, {db.role_id, web.secret_id}, {web.role_id, gone.secret_id},
        {web.role_id, ""},           {web.role_id, "nonsense"},   {"nonsense", web.secret_id},
        {"nonsense", "nonsense"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(tries); i++) {
        login(lab, tries[i][0], tries[i][1]);
        lab_expect(lab, 400, "[\"invalid role or secret ID\"]");
        lab->time.boot_ns += 100 * HF_SECOND;
    }
    assert_int_equal(login(lab, web.role_id, web.secret_id), 200);
}

static void uses_and_time_of_a_secret_id_end(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab,
           lab_write(lab, "auth/approle/role/web", "{\"secret_id_num_uses\": 2, \"secret_id_ttl\": \"1h\"}"));
    struct ids ids = new_ids(lab, "web", "{}");
    assert_string_equal(lab_str(lab, "secret_id_num_uses"), "2");
    assert_string_equal(lab_str(lab, "secret_id_ttl"), "3600");
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 200);
    lab_restart(lab);
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 200);
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 400);
    ids = new_ids(lab, "web", "{}");
    lab->time.wall_ns += 3600 * HF_SECOND;
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 400);
    hf_core_tick(lab->core); /* what has expired goes */
    assert_int_equal(lab_list(lab, "auth/approle/role/web/secret-id"), 404);
    lab_write(lab, "auth/approle/role/web/secret-id", "{\"num_uses\": 5}");
    lab_expect(lab, 400, "secret_id_num_uses");
    lab_write(lab, "auth/approle/role/web/secret-id", "{\"ttl\": \"2h\"}");
    lab_expect(lab, 400, "secret_id_ttl");
}

static void secret_ids_are_looked_at_and_ended(void **state)
{
    struct lab *lab = *state;
    char json[512];
    lab_ok(lab, lab_write(lab, "auth/approle/role/web", "{}"));
    struct ids a = new_ids(lab, "web", "{\"metadata\": {\"k\": \"v\"}, \"cidr_list\": [\"10.0.0.0/8\"]}");
    struct ids b = new_ids(lab, "web", "{}");
    lab_ok(lab, lab_list(lab, "auth/approle/role/web/secret-id"));
    assert_non_null(strstr(lab->text, a.accessor));
    assert_non_null(strstr(lab->text, b.accessor));
    assert_null(strstr(lab->text, a.secret_id));
    snprintf(json, sizeof json, "{\"secret_id\": \"%s\"}", a.secret_id);
    lab_ok(lab, lab_write(lab, "auth/approle/role/web/secret-id/lookup", json));
    assert_string_equal(lab_str(lab, "secret_id_accessor"), a.accessor);
    assert_string_equal(lab_str(lab, "metadata.k"), "v");
    assert_string_equal(lab_str(lab, "cidr_list"), "[\"10.0.0.0/8\"]");
    snprintf(json, sizeof json, "{\"secret_id_accessor\": \"%s\"}", a.accessor);
    lab_ok(lab, lab_write(lab, "auth/approle/role/web/secret-id-accessor/lookup", json));
    assert_string_equal(lab_str(lab, "secret_id_accessor"), a.accessor);
    lab_ok(lab, lab_write(lab, "auth/approle/role/web/secret-id-accessor/destroy", json));
    lab_write(lab, "auth/approle/role/web/secret-id-accessor/lookup", json);
    lab_expect(lab, 404, "failed to find accessor");
    snprintf(json, sizeof json, "{\"secret_id\": \"%s\"}", a.secret_id);
    assert_int_equal(lab_write(lab, "auth/approle/role/web/secret-id/lookup", json), 204);
    assert_int_equal(login(lab, b.role_id, b.secret_id), 200);
    /* The role goes with all its secret IDs, and its successor has none of them. */
    for (int i = 0; i < 20; i++)
        (void)new_ids(lab, "web", "{}");
    assert_int_equal(lab_delete(lab, "auth/approle/role/web"), 204);
    assert_int_equal(login(lab, b.role_id, b.secret_id), 400);
    lab_ok(lab, lab_write(lab, "auth/approle/role/web", "{}"));
    assert_int_equal(lab_list(lab, "auth/approle/role/web/secret-id"), 404);
    snprintf(json, sizeof json, "{\"role_id\": \"%s\"}", b.role_id);
    lab_ok(lab, lab_write(lab, "auth/approle/role/web/role-id", json));
    assert_int_equal(login(lab, b.role_id, b.secret_id), 400);
}

static void ids_may_be_chosen(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "auth/approle/role/web", "{\"role_id\": \"the-web\"}"));
    lab_ok(lab, lab_write(lab, "auth/approle/role/web/custom-secret-id", "{\"secret_id\": \"chosen\"}"));
    assert_int_equal(login(lab, "the-web", "chosen"), 200);
    lab_write(lab, "auth/approle/role/web/custom-secret-id", "{\"secret_id\": \"chosen\"}");
    lab_expect(lab, 400, "in use already");
    lab_write(lab, "auth/approle/role/other", "{\"role_id\": \"the-web\"}");
    lab_expect(lab, 400, "in use already");
    lab_ok(lab, lab_write(lab, "auth/approle/role/web/role-id", "{\"role_id\": \"renamed\"}"));
    assert_int_equal(login(lab, "the-web", "chosen"), 400);
    assert_int_equal(login(lab, "renamed", "chosen"), 200);
    lab_ok(lab, lab_read(lab, "auth/approle/role/web/role-id"));
    assert_string_equal(lab_str(lab, "role_id"), "renamed");
}

static void addresses_bind(void **state)
{
    struct lab *lab = *state;
    static const uint8_t inside[16] = {[10] = 0xff, 0xff, 10, 0, 0, 1},
                         outside[16] = {[10] = 0xff, 0xff, 11, 0, 0, 1};
    lab_ok(lab, lab_write(lab, "auth/approle/role/web", "{\"secret_id_bound_cidrs\": \"10.0.0.0/8\"}"));
    lab_ok(lab,
           lab_write(
               lab, "auth/approle/role/open",
               "{\"bind_secret_id\": false, \"token_bound_cidrs\": \"10.0.0.0/8\", \"role_id\": \"open\"}"));
    struct ids ids = new_ids(lab, "web", "{}");
    lab_write(lab, "auth/approle/role/web/secret-id", "{\"cidr_list\": \"11.0.0.0/8\"}");
    lab_expect(lab, 400, "not within");
    memcpy(lab->peer_ip, outside, 16);
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 400);
    assert_int_equal(login(lab, "open", ""), 400);
    memcpy(lab->peer_ip, inside, 16);
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 200);
    assert_int_equal(login(lab, "open", ""), 200);
    as(lab, lab_str(lab, "client_token"));
    lab_ok(lab, lab_read(lab, "auth/token/lookup-self"));
    memcpy(lab->peer_ip, outside, 16);
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
}

static void guessing_is_locked_out(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "auth/approle/role/web", "{}"));
    struct ids ids = new_ids(lab, "web", "{}");
    for (int i = 0; i < HF_LIMITS_PAIR_TRIES; i++)
        assert_int_equal(login(lab, ids.role_id, "guess"), 400);
    assert_int_equal(login(lab, ids.role_id, "guess"), 429);
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 429);
    lab_ok(lab, lab_write(lab, "auth/approle/role/other", "{}"));
    struct ids other = new_ids(lab, "other", "{}");
    assert_int_equal(login(lab, other.role_id, other.secret_id), 200); /* its neighbours are not */
    lab->time.boot_ns += HF_LIMITS_LOCK_MAX_S * HF_SECOND;
    assert_int_equal(login(lab, ids.role_id, ids.secret_id), 200);
}

static void two_mounts_know_nothing_of_each_other(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "sys/auth/second", "{\"type\": \"approle\"}"));
    lab_ok(lab, lab_write(lab, "auth/approle/role/web", "{}"));
    struct ids ids = new_ids(lab, "web", "{}");
    assert_int_equal(lab_read(lab, "auth/second/role/web"), 404);
    char json[1024];
    snprintf(json, sizeof json, "{\"role_id\": \"%s\", \"secret_id\": \"%s\"}", ids.role_id, ids.secret_id);
    assert_int_equal(lab_write(lab, "auth/second/login", json), 400);
    assert_int_equal(lab_write(lab, "auth/approle/login", json), 200);
}

#define APPROLE_TEST(name) cmocka_unit_test_setup_teardown(name, open_approle, lab_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        APPROLE_TEST(roles_are_kept),
        APPROLE_TEST(an_application_logs_in),
        APPROLE_TEST(every_failure_reads_the_same),
        APPROLE_TEST(uses_and_time_of_a_secret_id_end),
        APPROLE_TEST(secret_ids_are_looked_at_and_ended),
        APPROLE_TEST(ids_may_be_chosen),
        APPROLE_TEST(addresses_bind),
        APPROLE_TEST(guessing_is_locked_out),
        APPROLE_TEST(two_mounts_know_nothing_of_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
