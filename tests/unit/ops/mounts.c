/* sys/mounts, sys/auth, namespaces, and the look-up that every request makes. */
#include "unit/ops/lab.h"

#include <pthread.h>
#include <stdatomic.h>

#include "keys/keys.h"
#include "ops/mounts.h"

/* As lab_call, in a namespace. */
static int call_in(struct lab *lab, const char *ns, enum hf_method method, const char *path, const char *json)
{
    struct hf_buf args = hf_buf(lab->args, LAB_ROOM), request = hf_buf(lab->request, LAB_ROOM);
    struct hf_buf answer = hf_buf(lab->answer, LAB_ROOM);
    struct hf_tree_writer w = hf_tree_writer(&args);
    assert_int_equal(hf_json_to_tree(hf_cursor_text(json == NULL ? "{}" : json), &w, NULL).code, HF_OK);
    struct hf_wire_call call = {.method = method,
                                .path = hf_cursor_text(path),
                                .ns = hf_cursor_text(ns),
                                .token = hf_cursor_text(lab->token),
                                .args = hf_buf_cursor(&args)};
    hf_wire_call_write(&request, &call);
    assert_int_equal(hf_core_call(lab->core, lab->thread, 7, hf_buf_cursor(&request), true, &answer).code,
                     HF_OK);
    assert_int_equal(hf_core_thread_flush(lab->thread).code, HF_OK);
    lab_answer(lab, hf_buf_cursor(&answer));
    return lab->http;
}

/* A token with this policy text. */
static void as_user(struct lab *lab, const char *policy)
{
    snprintf(lab->token, sizeof(lab->token), "%s", lab->dev.root_token);
    char quoted[1024];
    struct hf_buf out = hf_buf(quoted, sizeof(quoted) - 1);
    hf_json_string(&out, hf_cursor_text(policy));
    quoted[out.len] = '\0';
    lab_ok(lab, lab_write(lab, "sys/policies/acl/user", lab_f("{\"policy\":%s}", quoted)));
    lab_ok(lab, lab_write(lab, "auth/token/create", "{\"policies\":[\"user\"]}"));
    snprintf(lab->token, sizeof(lab->token), "%s", lab_str(lab, "client_token"));
}

static void mounts_are_made_listed_tuned_and_removed(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_read(lab, "sys/mounts"));
    static const char *const builtin[] = {"secret/", "sys/", "transit/"};
    for (size_t i = 0; i < HF_ARRAY_LEN(builtin); i++)
        assert_int_equal(lab_get(lab, builtin[i]).tag, HF_TREE_MAP);
    assert_string_equal(lab_str(lab, "sys/.type"), "system");
    assert_string_equal(lab_str(lab, "secret/.options.version"), "2");
    assert_string_equal(lab_str(lab, "transit/.type"), "transit");
    assert_int_equal(lab_num(lab, "transit/.config.default_lease_ttl"), 0);

    assert_int_equal(lab_write(lab, "sys/mounts/team/a/keys",
                               "{\"type\":\"transit\",\"description\":\"of team a\",\"local\":true,"
                               "\"config\":{\"default_lease_ttl\":\"1h\",\"max_lease_ttl\":7200,"
                               "\"listing_visibility\":\"unauth\"},\"options\":{\"x\":1,\"y\":true}}"),
                     204);
    lab_ok(lab, lab_read(lab, "sys/mounts/team/a/keys"));
    lab_expect(lab, 200, "\"description\":\"of team a\"");
    lab_expect(lab, 200, "\"local\":true");
    lab_expect(lab, 200, "\"options\":{\"x\":\"1\",\"y\":\"true\"}");
    assert_int_equal(lab_num(lab, "config.default_lease_ttl"), 3600);
    assert_int_equal(lab_num(lab, "config.max_lease_ttl"), 7200);
    assert_string_equal(lab_str(lab, "config.listing_visibility"), "unauth");
    char uuid[64];
    snprintf(uuid, sizeof(uuid), "%s", lab_str(lab, "uuid"));
    lab_ok(lab, lab_read(lab, "sys/mounts/team/a/keys/")); /* the slash does not matter */
    lab_ok(lab, lab_write(lab, "team/a/keys/keys/k", "{}"));
    lab_ok(lab, lab_read(lab, "team/a/keys/keys/k"));

    assert_int_equal(lab_write(lab, "sys/mounts/team/a/keys/tune",
                               "{\"description\":\"\",\"default_lease_ttl\":\"\",\"max_lease_ttl\":\"3h\","
                               "\"listing_visibility\":\"hidden\",\"options\":{\"z\":\"3\"}}"),
                     204);
    lab_ok(lab, lab_read(lab, "sys/mounts/team/a/keys/tune"));
    assert_int_equal(lab_num(lab, "default_lease_ttl"), 768 * 3600); /* the system's own */
    assert_int_equal(lab_num(lab, "max_lease_ttl"), 3 * 3600);
    lab_expect(lab, 200, "\"description\":\"\"");
    lab_restart(lab);
    lab_ok(lab, lab_read(lab, "sys/mounts/team/a/keys"));
    assert_string_equal(lab_str(lab, "uuid"), uuid);
    lab_expect(lab, 200, "\"options\":{\"z\":\"3\"}");
    assert_int_equal(lab_num(lab, "config.default_lease_ttl"), 0);
    lab_ok(lab, lab_read(lab, "team/a/keys/keys/k"));

    assert_int_equal(lab_delete(lab, "sys/mounts/team/a/keys"), 204);
    assert_int_equal(lab_delete(lab, "sys/mounts/team/a/keys"), 204); /* gone is gone */
    lab_read(lab, "sys/mounts/team/a/keys");
    lab_expect(lab, 400, "No secret engine mount at: team/a/keys/");
    assert_int_equal(lab_read(lab, "team/a/keys/keys/k"), 404);
    lab_ok(lab, lab_write(lab, "sys/mounts/team/a/keys", "{\"type\":\"transit\"}"));
    assert_int_equal(lab_read(lab, "team/a/keys/keys/k"), 404); /* a new mount has nothing of the old */
    lab_restart(lab);
    assert_int_equal(lab_read(lab, "team/a/keys/keys/k"), 404);
}

static void what_cannot_be_mounted_is_refused_with_a_reason(void **state)
{
    struct lab *lab = *state;
    static const struct {
        const char *path, *json, *part;
    } refused[] = {
        {"sys/mounts/transit", "{\"type\":\"transit\"}", "path is already in use at: transit/"},
        {"sys/mounts/transit/below", "{\"type\":\"transit\"}", "path is already in use at"},
        {"sys/mounts/x", "{}", "backend type must be specified"},
        {"sys/mounts/x", "{\"type\":\"database\"}", "plugin not found in the catalog: database"},
        {"sys/mounts/x", "{\"type\":\"approle\"}", "plugin not found in the catalog"},
        {"sys/auth/x", "{\"type\":\"transit\"}", "plugin not found in the catalog"},
        {"sys/mounts/sys/x", "{\"type\":\"transit\"}", "cannot mount to"},
        {"sys/mounts/auth", "{\"type\":\"transit\"}", "cannot mount to"},
        {"sys/mounts/audit/log", "{\"type\":\"transit\"}", "cannot mount to"},
        {"sys/auth/token", "{\"type\":\"approle\"}", "cannot mount to"},
        {"sys/mounts/a//b", "{\"type\":\"transit\"}", "invalid mount path"},
        {"sys/mounts/a/../b", "{\"type\":\"transit\"}", "invalid mount path"},
        {"sys/mounts/a b", "{\"type\":\"transit\"}", "invalid mount path"},
        {"sys/mounts/a*", "{\"type\":\"transit\"}", "invalid mount path"},
        {"sys/mounts/x", "{\"type\":\"kv\",\"options\":{\"version\":3}}", "options.version of a kv mount"},
        {"sys/mounts/x", "{\"type\":\"transit\",\"options\":3}", "options must be a map"},
        {"sys/mounts/x", "{\"type\":\"transit\",\"options\":{\"a\":[]}}", "options must be a map"},
        {"sys/mounts/x", "{\"type\":\"transit\",\"config\":{\"default_lease_ttl\":\"soon\"}}",
         "unable to parse TTL"},
        {"sys/mounts/x",
         "{\"type\":\"transit\",\"config\":{\"default_lease_ttl\":\"2h\",\"max_lease_ttl\":\"1h\"}}",
         "greater than the max lease TTL"},
        {"sys/mounts/x", "{\"type\":\"transit\",\"config\":{\"listing_visibility\":\"all\"}}",
         "invalid listing_visibility"},
        {"sys/mounts/absent/tune", "{\"description\":\"x\"}", "No secret engine mount at: absent/"},
        {"sys/mounts/x", "{\"type\":\"transit\",\"description\":7}", "must be a text"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(refused); i++) {
        lab_write(lab, refused[i].path, refused[i].json);
        lab_expect(lab, 400, refused[i].part);
    }
    char longer[400];
    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "sys/mounts/", 11);
    longer[200] = '\0';
    assert_int_equal(lab_write(lab, longer, "{\"type\":\"transit\"}"), 400);
    assert_int_equal(lab_delete(lab, "sys/mounts/sys"), 400);
    assert_int_equal(lab_delete(lab, "sys/auth/token"), 400);
    /* above an existing one too */
    lab_ok(lab, lab_write(lab, "sys/mounts/deep/er", "{\"type\":\"kv-v2\"}"));
    lab_write(lab, "sys/mounts/deep", "{\"type\":\"transit\"}");
    lab_expect(lab, 400, "already in use");
    lab_ok(lab, lab_read(lab, "sys/mounts/deep/er"));
    lab_expect(lab, 200, "\"options\":{\"version\":\"2\"}");
    lab_expect(lab, 200, "\"type\":\"kv\"");
}

static void auth_mounts_have_their_own_list(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_read(lab, "sys/auth"));
    assert_string_equal(lab_str(lab, "token/.type"), "token");
    lab_ok(lab, lab_write(lab, "sys/auth/apps", "{\"type\":\"approle\"}"));
    lab_ok(lab, lab_write(lab, "sys/auth/machines", "{\"type\":\"cert\"}"));
    lab_ok(lab, lab_read(lab, "sys/auth"));
    assert_string_equal(lab_str(lab, "apps/.type"), "approle");
    assert_string_equal(lab_str(lab, "machines/.type"), "cert");
    assert_int_equal(lab_get(lab, "transit/").tag, HF_TREE_NULL);
    lab_ok(lab, lab_read(lab, "sys/mounts"));
    assert_int_equal(lab_get(lab, "apps/").tag, HF_TREE_NULL);
    lab_ok(lab, lab_read(lab, "sys/auth/apps/tune"));
    lab_ok(lab, lab_write(lab, "auth/apps/role/r", "{}"));
    lab_ok(lab, lab_read(lab, "auth/apps/role/r"));
    lab_ok(lab, lab_delete(lab, "sys/auth/apps"));
    assert_int_equal(lab_read(lab, "auth/apps/role/r"), 404);
    lab_ok(lab, lab_write(lab, "sys/auth/apps", "{\"type\":\"approle\"}"));
    assert_int_equal(lab_read(lab, "auth/apps/role/r"), 404);
}

static void unmounting_removes_what_was_below(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "sys/mounts/many", "{\"type\":\"transit\"}"));
    lab_ok(lab, lab_write(lab, "transit/keys/stays", "{}"));
    struct hf_records_stats before, after;
    hf_records_stats(hf_core_unsealed(lab->core)->records, &before);
    for (unsigned i = 0; i < 1100; i++)
        lab_ok(lab, lab_write(lab, lab_f("many/keys/k%u", i), "{}"));
    struct hf_keys_stats hot;
    lab_ok(lab, lab_delete(lab, "sys/mounts/many"));
    hf_keys_stats(hf_core_unsealed(lab->core)->keys, &hot);
    assert_true(hot.hot <= 1); /* nothing of it stays loaded */
    hf_records_stats(hf_core_unsealed(lab->core)->records, &after);
    assert_true(after.count > before.count); /* many: the rest goes by and by, and after a restart too */
    lab_restart(lab);
    for (unsigned i = 0; i < 3; i++)
        hf_core_tick(lab->core);
    hf_records_stats(hf_core_unsealed(lab->core)->records, &after);
    assert_int_equal(after.count, before.count - 1); /* the keys, and the mount */
    lab_restart(lab);
    hf_records_stats(hf_core_unsealed(lab->core)->records, &after);
    assert_int_equal(after.count, before.count - 1);
    lab_ok(lab, lab_read(lab, "transit/keys/stays"));
}

static void the_command_line_is_told_of_a_mount(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_read(lab, "sys/internal/ui/mounts/secret/some/path"));
    assert_string_equal(lab_str(lab, "path"), "secret/");
    assert_string_equal(lab_str(lab, "type"), "kv");
    assert_string_equal(lab_str(lab, "options.version"), "2");
    lab_ok(lab, lab_read(lab, "sys/internal/ui/mounts/secret"));
    lab_ok(lab, lab_read(lab, "sys/internal/ui/mounts"));
    assert_string_equal(lab_str(lab, "secret.transit/.type"), "transit");
    assert_int_equal(lab_read(lab, "sys/internal/ui/mounts/absent"), 403);
    as_user(lab, "path \"secret/data/mine/*\" { capabilities = [\"read\"] }");
    lab_ok(lab, lab_read(lab, "sys/internal/ui/mounts/secret/mine/x"));
    assert_int_equal(lab_read(lab, "sys/internal/ui/mounts/secret/theirs"), 403);
    assert_int_equal(lab_read(lab, "sys/internal/ui/mounts/transit"), 403);
    assert_int_equal(lab_read(lab, "sys/mounts"), 403);
    lab_ok(lab, lab_read(lab, "sys/internal/ui/mounts"));
    assert_int_equal(lab_get(lab, "secret").count, 0);
    lab->token[0] = '\0';
    assert_int_equal(lab_read(lab, "sys/internal/ui/mounts/secret"), 403);
}

static void who_may_is_asked(void **state)
{
    struct lab *lab = *state;
    as_user(lab, "path \"sys/mounts/*\" { capabilities = [\"create\", \"read\", \"update\"] }\n"
                 "path \"sys/auth/*\" { capabilities = [\"create\", \"read\", \"update\"] }\n"
                 "path \"sys/seal\" { capabilities = [\"update\"] }");
    lab_ok(lab, lab_write(lab, "sys/mounts/mine", "{\"type\":\"transit\"}"));
    assert_int_equal(lab_delete(lab, "sys/mounts/mine"), 403);
    assert_int_equal(lab_write(lab, "sys/auth/mine", "{\"type\":\"approle\"}"), 403); /* wants sudo */
    assert_int_equal(lab_write(lab, "sys/seal", NULL), 403);
    assert_int_equal(lab_write(lab, "sys/rotate", NULL), 403);
    assert_int_equal(lab_list(lab, "sys/namespaces"), 403);
    lab_read(lab, "sys/seal-status");
    lab_expect(lab, 200, "\"sealed\":false");
}

static void namespaces_are_rooms_of_their_own(void **state)
{
    struct lab *lab = *state;
    assert_int_equal(lab_list(lab, "sys/namespaces"), 404);
    lab_ok(lab, lab_write(lab, "sys/namespaces/team", NULL));
    assert_string_equal(lab_str(lab, "path"), "team/");
    lab_write(lab, "sys/namespaces/team", NULL);
    lab_expect(lab, 400, "exists already");
    lab_write(lab, "sys/namespaces/absent/child", NULL);
    lab_expect(lab, 400, "parent");
    assert_int_equal(lab_write(lab, "sys/namespaces/..", NULL), 400);
    assert_int_equal(lab_write(lab, "sys/namespaces/root", NULL), 400);
    assert_int_equal(lab_write(lab, "sys/namespaces/sys", NULL), 400);
    lab_ok(lab, call_in(lab, "team", HF_METHOD_WRITE, "sys/namespaces/a", NULL));
    assert_string_equal(lab_str(lab, "path"), "team/a/");
    lab_ok(lab, lab_list(lab, "sys/namespaces"));
    assert_int_equal(lab_get(lab, "keys").count, 1);
    assert_string_equal(lab_str(lab, "keys.0"), "team/");
    lab_ok(lab, call_in(lab, "team/", HF_METHOD_LIST, "sys/namespaces", NULL));
    assert_string_equal(lab_str(lab, "keys.0"), "a/");
    lab_ok(lab, lab_read(lab, "sys/namespaces/team/a"));
    assert_int_equal(lab_read(lab, "sys/namespaces/other"), 404);

    /* the same path in each, and each its own mount, keys and KEK */
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_WRITE, "sys/mounts/transit", "{\"type\":\"transit\"}"));
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_WRITE, "transit/keys/k", "{}"));
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_READ, "transit/keys/k", NULL));
    assert_int_equal(lab_read(lab, "transit/keys/k"), 404);
    assert_int_equal(call_in(lab, "team", HF_METHOD_READ, "transit/keys/k", NULL), 404);
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_READ, "sys/mounts", NULL));
    assert_int_equal(lab_get(lab, "secret/").tag, HF_TREE_NULL);
    assert_int_equal(call_in(lab, "nobody", HF_METHOD_READ, "sys/mounts", NULL), 403);
    lab_restart(lab);
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_READ, "transit/keys/k", NULL));

    lab_delete(lab, "sys/namespaces/team");
    lab_expect(lab, 400, "has mounts or namespaces");
    assert_int_equal(lab_delete(lab, "sys/namespaces/team/a"), 400);
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_DELETE, "sys/mounts/transit", NULL));
    assert_int_equal(lab_delete(lab, "sys/namespaces/team/a"), 204);
    assert_int_equal(lab_delete(lab, "sys/namespaces/team/a"), 204);
    assert_int_equal(lab_delete(lab, "sys/namespaces/team"), 204);
    assert_int_equal(call_in(lab, "team/a", HF_METHOD_READ, "sys/mounts", NULL), 403);
    lab_restart(lab);
    assert_int_equal(lab_list(lab, "sys/namespaces"), 404);
    lab_ok(lab, lab_write(lab, "sys/namespaces/team", NULL)); /* another of that name: nothing of the old */
    assert_int_equal(call_in(lab, "team", HF_METHOD_READ, "transit/keys/k", NULL), 404);
}

static void tokens_serve_in_and_below_their_namespace(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "sys/namespaces/team", NULL));
    lab_ok(lab, call_in(lab, "team", HF_METHOD_WRITE, "sys/namespaces/a", NULL));
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_WRITE, "sys/mounts/transit", "{\"type\":\"transit\"}"));
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_WRITE, "transit/keys/k", "{}"));
    /* from above: policies name the namespaces between */
    as_user(lab, "path \"team/a/transit/*\" { capabilities = [\"create\", \"read\", \"update\"] }");
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_READ, "transit/keys/k", NULL));
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_WRITE, "transit/encrypt/k", "{\"plaintext\":\"aGk=\"}"));
    assert_int_equal(lab_read(lab, "transit/keys/k"), 403);
    assert_int_equal(call_in(lab, "team", HF_METHOD_READ, "transit/keys/k", NULL), 403);
    assert_int_equal(call_in(lab, "team/a", HF_METHOD_READ, "sys/mounts", NULL), 403);
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_READ, "sys/internal/ui/mounts/transit", NULL));
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_READ, "auth/token/lookup-self", NULL));
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_WRITE, "auth/token/revoke-self", NULL));
    assert_int_equal(call_in(lab, "team/a", HF_METHOD_READ, "transit/keys/k", NULL), 403);
    /* made within: of no use above, nor beside */
    snprintf(lab->token, sizeof(lab->token), "%s", lab->dev.root_token);
    lab_ok(lab, call_in(lab, "team", HF_METHOD_WRITE, "sys/policies/acl/p",
                        "{\"policy\":\"path \\\"a/transit/*\\\" { capabilities = [\\\"read\\\"] }\"}"));
    lab_ok(lab, call_in(lab, "team", HF_METHOD_WRITE, "auth/token/create", "{\"policies\":[\"p\"]}"));
    lab_expect(lab, 200, "\"orphan\":true");
    snprintf(lab->token, sizeof(lab->token), "%s", lab_str(lab, "client_token"));
    lab_ok(lab, call_in(lab, "team/a", HF_METHOD_READ, "transit/keys/k", NULL));
    lab_ok(lab, call_in(lab, "team", HF_METHOD_READ, "auth/token/lookup-self", NULL));
    assert_int_equal(lab_read(lab, "auth/token/lookup-self"), 403);
    assert_int_equal(lab_read(lab, "transit/keys/k"), 403);
}

static void the_longest_mount_is_found_among_many(void **state)
{
    struct lab *lab = *state;
    for (unsigned i = 0; i < 200; i++)
        lab_ok(lab, lab_write(lab, lab_f("sys/mounts/m%u/x%u", i % 7, i), "{\"type\":\"transit\"}"));
    hf_epoch_enter();
    struct hf_unsealed *u = hf_core_unsealed(lab->core);
    static const uint8_t root[16];
    struct hf_cursor ns = hf_cursor(root, 16);
    for (unsigned i = 0; i < 200; i++) {
        const struct hf_mount *mount =
            hf_mount_find(hf_mounts_now(u), ns, hf_cursor_text(lab_f("m%u/x%u/encrypt/k", i % 7, i)));
        assert_non_null(mount);
        assert_string_equal(mount->path, lab_f("m%u/x%u/", i % 7, i));
        assert_null(
            hf_mount_find(hf_mounts_now(u), ns, hf_cursor_text(lab_f("m%u/x%u", i % 7, i)))); /* no slash */
        assert_null(hf_mount_find(hf_mounts_now(u), ns, hf_cursor_text(lab_f("m%u/y%u/", i % 7, i))));
    }
    assert_null(hf_mount_find(hf_mounts_now(u), ns, hf_cursor_text("")));
    assert_null(hf_mount_find(hf_mounts_now(u), ns, hf_cursor_text("///")));
    hf_epoch_leave();
    for (unsigned i = 0; i < 200; i += 2)
        lab_ok(lab, lab_delete(lab, lab_f("sys/mounts/m%u/x%u", i % 7, i)));
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(lab_read(lab, lab_f("sys/mounts/m%u/x%u", i % 7, i)), i % 2 == 0 ? 400 : 200);
}

struct finders {
    struct lab *lab;
    _Atomic bool stop;
    _Atomic unsigned found;
};

static void *finds_without_end(void *arg)
{
    struct finders *f = arg;
    static const uint8_t root[16];
    while (!atomic_load(&f->stop)) {
        hf_epoch_enter();
        struct hf_unsealed *u = hf_core_unsealed(f->lab->core);
        const struct hf_mount *steady =
            hf_mount_find(hf_mounts_now(u), hf_cursor(root, 16), hf_cursor_text("transit/encrypt/k"));
        const struct hf_mount *now_and_then =
            hf_mount_find(hf_mounts_now(u), hf_cursor(root, 16), hf_cursor_text("busy/encrypt/k"));
        if (steady == NULL || strcmp(steady->path, "transit/") != 0)
            abort();
        if (now_and_then != NULL) {
            if (strcmp(now_and_then->path, "busy/") != 0 || now_and_then->ns.left != 16)
                abort();
            atomic_fetch_add(&f->found, 1);
        }
        hf_epoch_leave();
    }
    hf_epoch_thread_end();
    return NULL;
}

static void mounts_change_under_those_who_read_them(void **state)
{
    struct finders finders = {.lab = *state};
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, finds_without_end, &finders), 0);
    for (unsigned i = 0; i < 60; i++) {
        lab_ok(finders.lab, lab_write(finders.lab, "sys/mounts/busy", "{\"type\":\"transit\"}"));
        lab_ok(finders.lab, lab_write(finders.lab, "sys/mounts/busy/tune", "{\"description\":\"x\"}"));
        lab_ok(finders.lab, lab_delete(finders.lab, "sys/mounts/busy"));
        hf_epoch_poll();
    }
    atomic_store(&finders.stop, true);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&finders.found) > 0);
}

int main(void)
{
    hf_log_setup(2, HF_LOG_ERROR, "test");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mounts_are_made_listed_tuned_and_removed, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(what_cannot_be_mounted_is_refused_with_a_reason, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(auth_mounts_have_their_own_list, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(unmounting_removes_what_was_below, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(the_command_line_is_told_of_a_mount, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(who_may_is_asked, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(namespaces_are_rooms_of_their_own, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(tokens_serve_in_and_below_their_namespace, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(mounts_change_under_those_who_read_them, lab_open, lab_close),
        cmocka_unit_test_setup_teardown(the_longest_mount_is_found_among_many, lab_open, lab_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
