/* The store: opens the database before the sandbox closes, then answers the core until told to stop. */
#include <signal.h>

#include "roles/control.h"
#include "store/server.h"
#include "store/store.h"

struct store_role {
    const struct hf_role_args *args;
    struct hf_store_server *server;
    int status;
};

static struct hf_control message; /* large */

static hf_result add_links(struct hf_store_server *server, const struct hf_role_link *links, uint32_t count)
{
    hf_result all = HF_DONE;
    for (uint32_t i = 0; i < count; i++) { /* each is taken, also after a failure */
        hf_result result = hf_store_server_add(server, links[i].fd);
        if (HF_IS_OK(all))
            all = result;
    }
    return all;
}

/* False ends the role. */
static bool on_control(void *arg)
{
    struct store_role *role = arg;
    hf_result result = hf_control_recv(role->args->control_fd, /* wait */ false, &message);
    if (result.code == HF_WOULD_BLOCK)
        return true;
    if (!HF_IS_OK(result)) { /* the supervisor is gone, or sends what nobody understands */
        role->status = 1;
        return false;
    }
    if (message.kind == HF_CONTROL_DRAIN)
        return false;
    if (message.kind == HF_CONTROL_PING)
        HF_IGNORE(hf_control_pong(role->args->control_fd),
                  "a supervisor that is gone is seen at the next receive");
    if (message.kind == HF_CONTROL_LINKS) { /* the core was restarted; its old links end by themselves */
        result = add_links(role->server, message.as.links.links, message.as.links.count);
        if (!HF_IS_OK(result))
            hf_log(HF_LOG_ERROR, "store.links", hf_f("result", result));
    }
    return true;
}

static hf_result serve(struct store_role *role, struct hf_store *engine)
{
    const struct hf_role_args *args = role->args;
    TRY(hf_store_server_new(engine, &role->server));
    TRY(add_links(role->server, args->links, args->link_count));
    TRY(hf_store_server_watch(role->server, args->control_fd, on_control, role));
    TRY(hf_role_sandbox(args));
    TRY(hf_control_ready(args->control_fd));
    return hf_store_server_run(role->server);
}

int hf_role_store(const struct hf_role_args *args)
{
    struct store_role role = {.args = args};
    struct hf_store *engine = NULL;
    (void)signal(SIGPIPE, SIG_IGN);
    hf_result result = hf_store_sqlite_open(args->config->storage_path, &engine);
    if (!HF_IS_OK(result)) {
        hf_log(HF_LOG_ERROR, "store.open", hf_f("result", result), hf_f("why", hf_code_text(result.code)));
        return 1;
    }
    struct hf_store_info info;
    if (HF_IS_OK(engine->ops->info(engine, &info)))
        hf_log(HF_LOG_INFO, "store.open", hf_f("engine", (const char *)info.engine),
               hf_f("version", (const char *)info.version), hf_f("schema", info.schema),
               hf_f("bytes", info.bytes), hf_f("read_only", info.read_only));
    result = serve(&role, engine);
    if (!HF_IS_OK(result)) {
        hf_log(HF_LOG_ERROR, "store.end", hf_f("result", result));
        role.status = 1;
    }
    if (role.server != NULL)
        hf_store_server_free(role.server);
    engine->ops->close(engine);
    return role.status;
}
