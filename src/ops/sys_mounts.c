/* sys/mounts, sys/auth, sys/internal/ui/mounts, sys/namespaces. Fields as Vault has them; what is asked for and not
 * supported by the engine is shown again and of no effect. */
#include <string.h>

#include "base/encode.h"
#include "ops/auth.h"
#include "ops/handlers.h"
#include "ops/mounts.h"
#include "wire/json.h"

enum { PATH_ROOM = 256, OPTIONS_TREE_MAX = 1024 };
static const struct hf_id token_mount_id = {{'t', 'o', 'k', 'e', 'n'}};
static const struct hf_id system_mount_id = {{'s', 'y', 's', 't', 'e', 'm'}};

/* ---- showing a mount ---- */

static struct hf_cursor path_of(const struct hf_mount *mount)
{
    return hf_cursor(mount->path, mount->path_len);
}

static bool is_auth(const struct hf_mount *mount)
{
    return mount->path_len > 5 && memcmp(mount->path, "auth/", 5) == 0; /* public */
}

/* The path as it is shown: below sys/auth without "auth/". */
static struct hf_cursor shown_path(const struct hf_mount *mount)
{
    size_t skip = is_auth(mount) ? 5 : 0;
    return hf_cursor(mount->path + skip, mount->path_len - skip);
}

static void put_options(struct hf_tree_writer *w, const struct hf_mount *mount)
{
    hf_tw_k(w, "options");
    uint8_t space[OPTIONS_TREE_MAX];
    struct hf_buf buf = hf_buf(space, sizeof(space));
    struct hf_tree_writer inner = hf_tree_writer(&buf);
    struct hf_tree options = {0};
    if (mount->options[0] != '\0' &&
        HF_IS_OK(hf_json_to_tree(hf_cursor_text(mount->options), &inner, NULL)) &&
        HF_IS_OK(hf_buf_ok(&buf)) && HF_IS_OK(hf_tree_open(hf_buf_cursor(&buf), &options)))
        hf_tw_copy(w, &options);
    else
        hf_tw_null(w);
}

static void put_ttls(struct hf_tree_writer *w, const struct hf_mount *mount)
{
    hf_tw_k_int(w, "default_lease_ttl", mount->default_lease_ttl_ns / HF_SECOND);
    hf_tw_k_bool(w, "force_no_cache", false);
    hf_tw_k_int(w, "max_lease_ttl", mount->max_lease_ttl_ns / HF_SECOND);
    if (mount->unauth_listing)
        hf_tw_k_text(w, "listing_visibility", "unauth");
}

/* The members of a mount, into an open map. */
static void put_mount(struct hf_tree_writer *w, const struct hf_mount *mount)
{
    char accessor[64];
    struct hf_buf out = hf_buf(accessor, sizeof(accessor));
    if (is_auth(mount))
        hf_buf_text(&out, "auth_");
    hf_buf_text(&out, hf_engine_name(mount->engine));
    hf_buf_u8(&out, '_');
    hf_hex_encode(&out, hf_cursor(mount->id.bytes, 4));
    char uuid[HF_ID_TEXT_LEN];
    hf_id_text(mount->id, uuid);
    hf_tw_k_slice(w, "accessor", hf_buf_cursor(&out));
    hf_tw_k(w, "config");
    hf_tw_map(w);
    put_ttls(w, mount);
    if (is_auth(mount))
        hf_tw_k_text(w, "token_type", "default-service");
    hf_tw_end(w);
    hf_tw_k_text(w, "deprecation_status", "supported");
    hf_tw_k_text(w, "description", mount->description);
    hf_tw_k_bool(w, "external_entropy_access", false);
    hf_tw_k_bool(w, "local", mount->local);
    put_options(w, mount);
    hf_tw_k_text(w, "plugin_version", "");
    hf_tw_k_text(w, "running_plugin_version", "");
    hf_tw_k_text(w, "running_sha256", "");
    hf_tw_k_bool(w, "seal_wrap", mount->seal_wrap);
    hf_tw_k_text(w, "type", hf_engine_name(mount->engine));
    hf_tw_k_slice(w, "uuid", hf_cursor(uuid, sizeof(uuid)));
}

/* What is there in every namespace without having been mounted. */
static void builtin_mount(bool auth, struct hf_cursor ns, struct hf_mount *ret)
{
    const char *path = auth ? "auth/token/" : "sys/";
    const char *about =
        auth ? "token based credentials" : "system endpoints used for control, policy and debugging";
    *ret = (struct hf_mount){.id = auth ? token_mount_id : system_mount_id,
                             .engine = auth ? HF_ENGINE_TOKEN : HF_ENGINE_SYS,
                             .path_len = strlen(path),
                             .ns = ns};
    memcpy(ret->path, path, ret->path_len);
    memcpy(ret->description, about, strlen(about));
}

/* Calls put for each mount of the namespace of that kind, in order of path; the built-in one among them. */
static void each_mount(struct hf_unsealed *u, struct hf_call *call, bool auth,
                       void (*put)(struct hf_tree_writer *w, const struct hf_mount *mount))
{
    const struct hf_mount_table *table = hf_mounts_now(u);
    struct hf_mount builtin;
    builtin_mount(auth, call->ns, &builtin);
    bool builtin_put = false;
    for (size_t i = 0; hf_mount_at(table, i) != NULL; i++) {
        const struct hf_mount *mount = hf_mount_at(table, i);
        if (!hf_cursor_same(mount->ns, call->ns) || is_auth(mount) != auth)
            continue;
        if (!builtin_put && strcmp(mount->path, builtin.path) > 0) {
            put(call->w, &builtin);
            builtin_put = true;
        }
        put(call->w, mount);
    }
    if (!builtin_put)
        put(call->w, &builtin);
}

static void put_entry(struct hf_tree_writer *w, const struct hf_mount *mount)
{
    hf_tw_key(w, shown_path(mount));
    hf_tw_map(w);
    put_mount(w, mount);
    hf_tw_end(w);
}

static hf_result list(struct hf_core *core, struct hf_call *call, bool auth)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    call->shape = HF_ANSWER_BOTH;
    hf_tw_map(call->w);
    each_mount(u, call, auth, put_entry);
    hf_tw_end(call->w);
    return HF_DONE;
}

/* ---- the path of a request ---- */

struct target {
    char path[PATH_ROOM]; /* full, with the last slash */
    size_t len;
    bool tune; /* the request's path ended in "/tune" */
};

static hf_result read_target(struct hf_call *call, bool auth, struct target *ret)
{
    struct hf_cursor path = hf_call_param(call, "path");
    static const char suffix[] = "/tune";
    size_t suffix_len = sizeof(suffix) - 1;
    *ret = (struct target){0};
    if (path.left > suffix_len &&
        hf_cursor_is(hf_cursor(path.at + path.left - suffix_len, suffix_len), suffix)) {
        ret->tune = true;
        path.left -= suffix_len;
    }
    struct hf_buf out = hf_buf(ret->path, sizeof(ret->path) - 1);
    if (auth)
        hf_buf_text(&out, "auth/");
    if (!HF_IS_OK(hf_mount_path(path, &out)) || out.len >= sizeof(((struct hf_mount *)0)->path))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid mount path");
    ret->len = out.len;
    return HF_DONE;
}

/* The mount that the target names, the built-in one included; NULL where there is none. */
static const struct hf_mount *find_target(struct hf_unsealed *u, struct hf_call *call, bool auth,
                                          const struct target *target, struct hf_mount *builtin)
{
    struct hf_cursor path = hf_cursor(target->path, target->len);
    builtin_mount(auth, call->ns, builtin);
    if (hf_cursor_same(path, path_of(builtin)))
        return builtin;
    return hf_mount_exact(hf_mounts_now(u), call->ns, path);
}

static hf_result no_such_mount(struct hf_call *call, bool auth, const struct target *target)
{
    return hf_call_fail_about(call, HF_BAD_ARGUMENT, auth ? "No auth engine at" : "No secret engine mount at",
                              hf_cursor(target->path + (auth ? 5 : 0), target->len - (auth ? 5 : 0)));
}

static hf_result read_one(struct hf_core *core, struct hf_call *call, bool auth)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    struct target target;
    struct hf_mount builtin;
    TRY(read_target(call, auth, &target));
    const struct hf_mount *mount = find_target(u, call, auth, &target, &builtin);
    if (mount == NULL)
        return no_such_mount(call, auth, &target);
    call->shape = HF_ANSWER_BOTH;
    hf_tw_map(call->w);
    if (target.tune) {
        struct hf_mount effective = *mount;
        if (effective.default_lease_ttl_ns == 0)
            effective.default_lease_ttl_ns = core->config.default_lease_ttl_ns;
        if (effective.max_lease_ttl_ns == 0)
            effective.max_lease_ttl_ns = core->config.max_lease_ttl_ns;
        put_ttls(call->w, &effective);
        hf_tw_k_text(call->w, "description", mount->description);
        put_options(call->w, mount);
        if (auth)
            hf_tw_k_text(call->w, "token_type", "default-service");
    } else {
        put_mount(call->w, mount);
    }
    hf_tw_end(call->w);
    return HF_DONE;
}

/* ---- making and tuning ---- */

static hf_result copy_text(struct hf_call *call, const struct hf_tree *map, const char *key, char *space,
                           size_t room)
{
    struct hf_cursor text = {0};
    if (!hf_tree_has(map, key))
        return HF_DONE;
    if (!HF_IS_OK(hf_tree_text(map, key, &text)) || text.left >= room)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "must be a text, and not too long",
                                  hf_cursor_text(key));
    memset(space, 0, room);
    if (text.left > 0)
        memcpy(space, text.at, text.left);
    return HF_DONE;
}

/* A time to live: absent leaves it; "", "system" and 0 mean the system's own. */
static hf_result copy_ttl(struct hf_call *call, const struct hf_tree *map, const char *key, int64_t *ttl_ns)
{
    struct hf_tree value = hf_tree_get(map, key);
    if (value.tag == HF_TREE_NULL)
        return HF_DONE;
    if (value.tag == HF_TREE_TEXT && (value.body.left == 0 || hf_cursor_is(value.body, "system"))) {
        *ttl_ns = 0;
        return HF_DONE;
    }
    if (!HF_IS_OK(hf_tree_duration(map, key, 0, ttl_ns)) || *ttl_ns < 0)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "unable to parse TTL", hf_cursor_text(key));
    return HF_DONE;
}

static hf_result copy_config(struct hf_core *core, struct hf_call *call, const struct hf_tree *config,
                             struct hf_mount *mount)
{
    TRY(copy_ttl(call, config, "default_lease_ttl", &mount->default_lease_ttl_ns));
    TRY(copy_ttl(call, config, "max_lease_ttl", &mount->max_lease_ttl_ns));
    int64_t max = mount->max_lease_ttl_ns != 0 ? mount->max_lease_ttl_ns : core->config.max_lease_ttl_ns;
    if (mount->default_lease_ttl_ns > max)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "given default lease TTL greater than the max lease TTL");
    struct hf_cursor visibility = {0};
    if (hf_tree_has(config, "listing_visibility")) {
        if (!HF_IS_OK(hf_tree_text(config, "listing_visibility", &visibility)) ||
            !(visibility.left == 0 || hf_cursor_is(visibility, "hidden") ||
              hf_cursor_is(visibility, "unauth")))
            return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid listing_visibility");
        mount->unauth_listing = hf_cursor_is(visibility, "unauth");
    }
    return HF_DONE;
}

/* Options: a map of texts, numbers and truth values, kept as JSON with texts, as clients read it. */
static hf_result copy_options(struct hf_call *call, const struct hf_tree *args, struct hf_mount *mount)
{
    struct hf_tree options = hf_tree_get(args, "options");
    if (options.tag == HF_TREE_NULL)
        return HF_DONE;
    struct hf_buf out = hf_buf(mount->options, sizeof(mount->options) - 1);
    hf_buf_u8(&out, '{');
    struct hf_tree_iter iter = hf_tree_iterate(&options);
    struct hf_cursor key;
    struct hf_tree value;
    bool first = true;
    while (options.tag == HF_TREE_MAP && hf_tree_next(&iter, &key, &value)) {
        if (!first)
            hf_buf_u8(&out, ',');
        first = false;
        hf_json_string(&out, key);
        hf_buf_u8(&out, ':');
        if (value.tag == HF_TREE_TEXT) {
            hf_json_string(&out, value.body);
        } else if (value.tag == HF_TREE_INT && value.number >= 0) {
            hf_buf_u8(&out, '"');
            hf_buf_decimal(&out, (uint64_t)value.number);
            hf_buf_u8(&out, '"');
        } else if (value.tag == HF_TREE_TRUE || value.tag == HF_TREE_FALSE) {
            hf_buf_text(&out, value.tag == HF_TREE_TRUE ? "\"true\"" : "\"false\"");
        } else {
            return hf_call_fail_about(call, HF_BAD_ARGUMENT, "options must be a map of texts", key);
        }
    }
    hf_buf_u8(&out, '}');
    if (options.tag != HF_TREE_MAP || !HF_IS_OK(hf_buf_ok(&out)))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "options must be a map of texts, and not too long");
    mount->options[options.count == 0 ? 0 : out.len] = '\0';
    return HF_DONE;
}

/* kv is version 2 where nothing is said; version 1 is served too. */
static hf_result settle_kv(struct hf_call *call, struct hf_mount *mount)
{
    if (mount->engine != HF_ENGINE_KV)
        return HF_DONE;
    if (mount->options[0] == '\0') {
        static const char version_2[] = "{\"version\":\"2\"}";
        memcpy(mount->options, version_2, sizeof(version_2));
    } else if (strstr(mount->options, "\"version\":\"1\"") == NULL &&
               strstr(mount->options, "\"version\":\"2\"") == NULL) {
        return hf_call_fail(call, HF_BAD_ARGUMENT, "options.version of a kv mount is \"1\" or \"2\"");
    }
    return HF_DONE;
}

static hf_result engine_of(struct hf_call *call, bool auth, struct hf_cursor type, enum hf_engine *ret)
{
    static const struct {
        const char *type;
        bool auth;
        enum hf_engine engine;
    } engines[] = {
        {"transit", false, HF_ENGINE_TRANSIT}, {"kv", false, HF_ENGINE_KV},    {"kv-v2", false, HF_ENGINE_KV},
        {"approle", true, HF_ENGINE_APPROLE},  {"cert", true, HF_ENGINE_CERT},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(engines); i++) {
        if (engines[i].auth == auth && hf_cursor_is(type, engines[i].type)) {
            *ret = engines[i].engine;
            return HF_DONE;
        }
    }
    return hf_call_fail_about(call, HF_BAD_ARGUMENT, "plugin not found in the catalog", type);
}

static hf_result create(struct hf_core *core, struct hf_call *call, struct hf_unsealed *u, bool auth,
                        const struct target *target, const struct hf_commit *commit)
{
    struct hf_cursor type = {0};
    if (!HF_IS_OK(hf_tree_text(&call->args, "type", &type)) || type.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "backend type must be specified as a string");
    struct hf_mount mount = {.path_len = target->len, .ns = call->ns};
    memcpy(mount.path, target->path, target->len);
    TRY(engine_of(call, auth, type, &mount.engine));
    TRY(copy_text(call, &call->args, "description", mount.description, sizeof(mount.description)));
    if (!HF_IS_OK(hf_tree_bool(&call->args, "local", false, &mount.local)) ||
        !HF_IS_OK(hf_tree_bool(&call->args, "seal_wrap", false, &mount.seal_wrap)))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "local and seal_wrap must be true or false");
    struct hf_tree config = hf_tree_get(&call->args, "config");
    TRY(copy_config(core, call, &config, &mount));
    TRY(copy_options(call, &call->args, &mount));
    TRY(settle_kv(call, &mount));
    hf_result done = hf_mount_create(u, &mount, commit);
    if (done.code == HF_EXISTS)
        return hf_call_fail_about(call, HF_EXISTS, "path is already in use at", shown_path(&mount));
    if (done.code == HF_BAD_ARGUMENT)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "cannot mount to", shown_path(&mount));
    return done;
}

static hf_result tune(struct hf_core *core, struct hf_call *call, struct hf_unsealed *u, bool auth,
                      const struct target *target, const struct hf_commit *commit)
{
    const struct hf_mount *mount =
        hf_mount_exact(hf_mounts_now(u), call->ns, hf_cursor(target->path, target->len));
    if (mount == NULL)
        return no_such_mount(call, auth, target);
    struct hf_mount tuned = *mount;
    TRY(copy_text(call, &call->args, "description", tuned.description, sizeof(tuned.description)));
    TRY(copy_config(core, call, &call->args, &tuned));
    TRY(copy_options(call, &call->args, &tuned));
    TRY(settle_kv(call, &tuned));
    return hf_mount_tune(u, &tuned, commit);
}

static hf_result write_one(struct hf_core *core, struct hf_call *call, bool auth)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    struct target target;
    TRY(read_target(call, auth, &target));
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    call->audit.operation = call->op->name;
    if (target.tune)
        TRY(tune(core, call, u, auth, &target, &commit));
    else
        TRY(create(core, call, u, auth, &target, &commit));
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

static hf_result delete_one(struct hf_core *core, struct hf_call *call, bool auth)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    struct target target;
    struct hf_mount builtin;
    TRY(read_target(call, auth, &target));
    builtin_mount(auth, call->ns, &builtin);
    if (hf_cursor_same(hf_cursor(target.path, target.len), path_of(&builtin)))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "cannot unmount", shown_path(&builtin));
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    call->audit.operation = call->op->name;
    hf_result done = hf_mount_remove(u, call->ns, hf_cursor(target.path, target.len), &commit);
    if (done.code != HF_NOT_FOUND) /* what is not there need not go */
        TRY(done);
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

hf_result hf_sys_mounts_list(struct hf_core *core, struct hf_call *call)
{
    return list(core, call, false);
}

hf_result hf_sys_mount_read(struct hf_core *core, struct hf_call *call)
{
    return read_one(core, call, false);
}

hf_result hf_sys_mount_write(struct hf_core *core, struct hf_call *call)
{
    return write_one(core, call, false);
}

hf_result hf_sys_mount_delete(struct hf_core *core, struct hf_call *call)
{
    return delete_one(core, call, false);
}

hf_result hf_sys_auths_list(struct hf_core *core, struct hf_call *call)
{
    return list(core, call, true);
}

hf_result hf_sys_auth_read(struct hf_core *core, struct hf_call *call)
{
    return read_one(core, call, true);
}

hf_result hf_sys_auth_write(struct hf_core *core, struct hf_call *call)
{
    return write_one(core, call, true);
}

hf_result hf_sys_auth_delete(struct hf_core *core, struct hf_call *call)
{
    return delete_one(core, call, true);
}

/* ---- what the vault and bao commands ask before they use a mount ---- */

/* Whether the caller may do anything at the path, or where the kv commands go from it. */
static bool touches(struct hf_unsealed *u, struct hf_call *call, const struct hf_mount *mount,
                    struct hf_cursor path)
{
    static const char *const below[] = {"",         "data/",     "metadata/", "delete/",
                                        "destroy/", "undelete/", "subkeys/"};
    if (call->identity->root)
        return true;
    struct hf_cursor rest = hf_cursor(path.at + HF_MIN(path.left, mount->path_len),
                                      path.left - HF_MIN(path.left, mount->path_len));
    for (size_t i = 0; i < HF_ARRAY_LEN(below); i++) {
        char text[2 * PATH_ROOM];
        struct hf_buf out = hf_buf(text, sizeof(text));
        hf_buf_put(&out, call->acl_path.at,
                   call->acl_path.left - call->wire.path.left); /* namespaces between */
        hf_buf_put(&out, mount->path, mount->path_len);
        hf_buf_text(&out, below[i]);
        hf_buf_put_cursor(&out, rest);
        if (!HF_IS_OK(hf_buf_ok(&out)))
            continue;
        uint32_t caps = hf_identity_capabilities(u->policy, call->identity, hf_buf_cursor(&out));
        if ((caps & HF_CAP_DENY) == 0 && caps != 0)
            return true;
    }
    return false;
}

hf_result hf_sys_ui_mount(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    struct hf_cursor path = hf_call_param(call, "path");
    char with_slash[PATH_ROOM];
    struct hf_buf full = hf_buf(with_slash, sizeof(with_slash));
    hf_buf_put_cursor(&full, path);
    hf_buf_u8(&full, '/');
    struct hf_mount builtin;
    builtin_mount(path.left >= 5 && memcmp(path.at, "auth/", 5) == 0, call->ns, &builtin); /* public */
    const struct hf_mount *mount = NULL;
    if (HF_IS_OK(hf_buf_ok(&full))) {
        mount = hf_mount_find(hf_mounts_now(u), call->ns, hf_buf_cursor(&full));
        if (mount == NULL && full.len >= builtin.path_len &&
            memcmp(full.at, builtin.path, builtin.path_len) == 0) /* public */
            mount = &builtin;
    }
    if (mount == NULL || !touches(u, call, mount, path))
        return hf_call_fail_about(call, HF_DENIED,
                                  "preflight capability check returned 403, please ensure client's policies "
                                  "grant access to path",
                                  path);
    hf_tw_map(call->w);
    put_mount(call->w, mount);
    hf_tw_k_slice(call->w, "path", path_of(mount));
    hf_tw_end(call->w);
    return HF_DONE;
}

hf_result hf_sys_ui_mounts(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    const struct hf_mount_table *table = hf_mounts_now(u);
    hf_tw_map(call->w);
    for (unsigned auth = 0; auth < 2; auth++) {
        hf_tw_k(call->w, auth ? "auth" : "secret");
        hf_tw_map(call->w);
        for (size_t i = 0; hf_mount_at(table, i) != NULL; i++) {
            const struct hf_mount *mount = hf_mount_at(table, i);
            if (hf_cursor_same(mount->ns, call->ns) && is_auth(mount) == (auth == 1) &&
                (mount->unauth_listing || touches(u, call, mount, path_of(mount))))
                put_entry(call->w, mount);
        }
        hf_tw_end(call->w);
    }
    hf_tw_end(call->w);
    return HF_DONE;
}

/* ---- namespaces ---- */

/* The path of the namespace that the request names, from the root, with the last slash. */
static hf_result namespace_target(struct hf_unsealed *u, struct hf_call *call, struct hf_buf *out)
{
    const struct hf_namespace *here = hf_namespace_of(hf_mounts_now(u), call->ns);
    if (here == NULL)
        return HF_FAIL(NOT_FOUND);
    hf_buf_put(out, here->path, here->path_len);
    struct hf_cursor path = hf_call_param(call, "path");
    if (!HF_IS_OK(hf_mount_path(path, out)) || out->len >= HF_NAMESPACE_PATH_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid namespace path");
    return HF_DONE;
}

static void put_namespace(struct hf_tree_writer *w, const struct hf_namespace *ns, size_t skip)
{
    struct hf_id id;
    char text[HF_ID_TEXT_LEN];
    memcpy(id.bytes, ns->id, sizeof(id.bytes));
    hf_id_text(id, text);
    hf_tw_k_slice(w, "id", hf_cursor(text, sizeof(text)));
    hf_tw_k_slice(w, "path", hf_cursor(ns->path + skip, ns->path_len - skip));
    hf_tw_k(w, "custom_metadata");
    hf_tw_map(w);
    hf_tw_end(w);
}

/* A namespace directly below `here`. */
static bool is_child(const struct hf_namespace *ns, const struct hf_namespace *here)
{
    if (ns->path_len <= here->path_len || memcmp(ns->path, here->path, here->path_len) != 0) /* public */
        return false;
    const char *rest = ns->path + here->path_len;
    return strchr(rest, '/') == ns->path + ns->path_len - 1;
}

hf_result hf_sys_namespaces_list(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    const struct hf_mount_table *table = hf_mounts_now(u);
    const struct hf_namespace *here = hf_namespace_of(table, call->ns);
    if (here == NULL)
        return HF_FAIL(NOT_FOUND);
    size_t count = 0;
    for (size_t i = 0; hf_namespace_at(table, i) != NULL; i++)
        count += is_child(hf_namespace_at(table, i), here);
    if (count == 0)
        return HF_FAIL(NOT_FOUND); /* as an empty list is answered everywhere */
    hf_tw_map(call->w);
    hf_tw_k(call->w, "keys");
    hf_tw_array(call->w);
    for (size_t i = 0; hf_namespace_at(table, i) != NULL; i++) {
        const struct hf_namespace *ns = hf_namespace_at(table, i);
        if (is_child(ns, here))
            hf_tw_text(call->w, hf_cursor(ns->path + here->path_len, ns->path_len - here->path_len));
    }
    hf_tw_end(call->w);
    hf_tw_k(call->w, "key_info");
    hf_tw_map(call->w);
    for (size_t i = 0; hf_namespace_at(table, i) != NULL; i++) {
        const struct hf_namespace *ns = hf_namespace_at(table, i);
        if (!is_child(ns, here))
            continue;
        hf_tw_key(call->w, hf_cursor(ns->path + here->path_len, ns->path_len - here->path_len));
        hf_tw_map(call->w);
        put_namespace(call->w, ns, here->path_len);
        hf_tw_end(call->w);
    }
    hf_tw_end(call->w);
    hf_tw_end(call->w);
    return HF_DONE;
}

hf_result hf_sys_namespace_read(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    char text[PATH_ROOM];
    struct hf_buf path = hf_buf(text, sizeof(text));
    TRY(namespace_target(u, call, &path));
    struct hf_cursor id;
    TRY(hf_namespace_find(hf_mounts_now(u), hf_buf_cursor(&path), &id));
    hf_tw_map(call->w);
    put_namespace(call->w, hf_namespace_of(hf_mounts_now(u), id), 0);
    hf_tw_end(call->w);
    return HF_DONE;
}

hf_result hf_sys_namespace_create(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    char text[PATH_ROOM];
    struct hf_buf path = hf_buf(text, sizeof(text));
    TRY(namespace_target(u, call, &path));
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    call->audit.operation = call->op->name;
    struct hf_namespace made;
    hf_result done = hf_namespace_create(core, u, hf_buf_cursor(&path), &commit, &made);
    if (done.code == HF_EXISTS)
        return hf_call_fail_about(call, HF_EXISTS, "namespace exists already", hf_buf_cursor(&path));
    if (done.code == HF_NOT_FOUND)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "parent namespace doesn't exist");
    if (done.code == HF_BAD_ARGUMENT)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "a namespace cannot have this name",
                                  hf_buf_cursor(&path));
    TRY(done);
    hf_tw_map(call->w);
    put_namespace(call->w, &made, 0);
    hf_tw_end(call->w);
    return HF_DONE;
}

hf_result hf_sys_namespace_delete(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    char text[PATH_ROOM];
    struct hf_buf path = hf_buf(text, sizeof(text));
    TRY(namespace_target(u, call, &path));
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    call->audit.operation = call->op->name;
    hf_result done = hf_namespace_remove(core, u, hf_buf_cursor(&path), &commit);
    if (done.code == HF_EXISTS)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "namespace has mounts or namespaces below it",
                                  hf_buf_cursor(&path));
    if (done.code != HF_NOT_FOUND)
        TRY(done);
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}
