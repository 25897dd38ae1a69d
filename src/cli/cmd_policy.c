#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "secret/secret.h"
#include "wire/json.h"

enum { SMALL = 16 << 10, POLICY_MAX = 1 << 20, TOKEN_MAX = 2048 };

int cmd_policy_write(struct cli *cli)
{
    if (cli->argc != 2)
        return cli_usage(cli, "a name and a file are needed");
    uint8_t *text = NULL;
    size_t len = 0;
    hf_result read = cli_read_file(cli->argv[1], POLICY_MAX, &text, &len);
    if (!HF_IS_OK(read))
        return cli_failed(cli, read, "cannot read the policy");
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, len + SMALL))) {
        free(text);
        return CLI_FAILED;
    }
    hf_tw_k_slice(&body.w, "policy", hf_cursor(text, len));
    free(text);
    return cli_show(cli, "PUT", CLI_PATH("sys/policies/acl/", cli->argv[0]), &body, "written\n");
}

int cmd_policy_read(struct cli *cli)
{
    if (cli->argc != 1)
        return cli_usage(cli, "name one policy");
    struct cli_answer answer;
    int done = cli_call(cli, "GET", CLI_PATH("sys/policies/acl/", cli->argv[0]), NULL, &answer);
    if (done != CLI_OK)
        return done;
    struct hf_tree text = hf_tree_get(&answer.data, "policy");
    if (cli->format == CLI_JSON)
        done = cli_print(cli, &answer.tree);
    else
        fwrite(text.body.at, 1, text.body.left, stdout);
    cli_answer_done(&answer);
    return done;
}

int cmd_policy_list(struct cli *cli)
{
    return cli_show(cli, "LIST", CLI_PATH("sys/policies/acl"), NULL, "");
}

int cmd_policy_delete(struct cli *cli)
{
    if (cli->argc != 1)
        return cli_usage(cli, "name one policy");
    return cli_show(cli, "DELETE", CLI_PATH("sys/policies/acl/", cli->argv[0]), NULL, "deleted\n");
}

/* "a,b" as a list of texts. */
static void put_names(struct cli_body *body, const char *field, const char *names)
{
    if (names == NULL)
        return;
    hf_tw_k(&body->w, field);
    hf_tw_array(&body->w);
    while (*names != '\0') {
        size_t len = strcspn(names, ",");
        if (len != 0)
            hf_tw_text(&body->w, hf_cursor(names, len));
        names += len;
        names += *names == ',';
    }
    hf_tw_end(&body->w);
}

int cmd_token_create(struct cli *cli)
{
    int64_t uses;
    if (!cli_number(cli, "uses", -1, &uses))
        return CLI_USAGE;
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, SMALL)))
        return CLI_FAILED;
    put_names(&body, "policies", cli_option(cli, "policy"));
    cli_put_text(cli, &body, "ttl", "ttl");
    cli_put_text(cli, &body, "max-ttl", "explicit_max_ttl");
    cli_put_text(cli, &body, "period", "period");
    cli_put_text(cli, &body, "name", "display_name");
    if (uses >= 0)
        hf_tw_k_int(&body.w, "num_uses", uses);
    if (cli_option(cli, "orphan") != NULL)
        return cli_show(cli, "POST", CLI_PATH("auth/token/create-orphan"), &body, "");
    return cli_show(cli, "POST", CLI_PATH("auth/token/create"), &body, "");
}

/* The same for one's own token, for another's accessor, and for another token: that comes by a descriptor. */
static int token_op(struct cli *cli, const char *method, const char *path, const char *good)
{
    const char *accessor = cli_option(cli, "accessor");
    char own[64], other[64], token[TOKEN_MAX];
    int64_t fd;
    if (!cli_number(cli, "token-fd", -1, &fd) || fd > INT32_MAX)
        return CLI_USAGE;
    if (accessor != NULL && fd >= 0)
        return cli_usage(cli, "either --accessor or --token-fd");
    snprintf(own, sizeof(own), "%s-self", path);
    if (accessor == NULL && fd < 0)
        return cli_show(cli, method, CLI_PATH(own), NULL, good);
    if (fd >= 0) {
        hf_result got = cli_read_secret("", (int)fd, token, sizeof(token));
        if (!HF_IS_OK(got)) {
            hf_wipe(token, sizeof(token));
            return cli_failed(cli, got, "no token was given");
        }
    }
    snprintf(other, sizeof(other), "%s%s", path, fd >= 0 ? "" : "-accessor");
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, SMALL))) {
        hf_wipe(token, sizeof(token));
        return CLI_FAILED;
    }
    hf_tw_k_text(&body.w, fd >= 0 ? "token" : "accessor", fd >= 0 ? token : accessor);
    hf_wipe(token, sizeof(token));
    return cli_show(cli, "POST", CLI_PATH(other), &body, good);
}

int cmd_token_lookup(struct cli *cli)
{
    return token_op(cli, "GET", "auth/token/lookup", "");
}

int cmd_token_renew(struct cli *cli)
{
    return token_op(cli, "POST", "auth/token/renew", "renewed\n");
}

int cmd_token_revoke(struct cli *cli)
{
    return token_op(cli, "POST", "auth/token/revoke", "revoked\n");
}

int cmd_token_capabilities(struct cli *cli)
{
    if (cli->argc != 1)
        return cli_usage(cli, "name one path");
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, SMALL)))
        return CLI_FAILED;
    hf_tw_k(&body.w, "paths");
    hf_tw_array(&body.w);
    hf_tw_text(&body.w, hf_cursor_text(cli->argv[0]));
    hf_tw_end(&body.w);
    return cli_show(cli, "POST", CLI_PATH("sys/capabilities-self"), &body, "");
}

/* ---- logins: the token alone on standard output, for $(...) ---- */

static int login(struct cli *cli, const char *mount, struct cli_body *body)
{
    struct cli_answer answer;
    int done = cli_call(cli, "POST", CLI_PATH("auth/", mount, "*/login"), body, &answer);
    cli_body_done(body);
    if (done != CLI_OK)
        return done;
    struct hf_tree auth = hf_tree_get(&answer.tree, "auth");
    struct hf_tree token = hf_tree_get(&auth, "client_token");
    if (cli->format == CLI_JSON)
        done = cli_print(cli, &answer.tree);
    else
        printf("%.*s\n", (int)token.body.left, (const char *)token.body.at);
    cli_answer_done(&answer);
    return done;
}

int cmd_login_approle(struct cli *cli)
{
    int64_t fd;
    const char *role = cli_option(cli, "role-id"), *mount = cli_option(cli, "mount");
    if (role == NULL)
        return cli_usage(cli, "--role-id is needed");
    if (!cli_number(cli, "secret-fd", -1, &fd))
        return CLI_USAGE;
    char secret[512];
    hf_result got = cli_read_secret("Secret id (not shown): ", (int)fd, secret, sizeof(secret));
    struct cli_body body;
    if (!HF_IS_OK(got) || !HF_IS_OK(cli_body_begin(&body, SMALL)))
        return cli_failed(cli, got, "no secret id was given");
    hf_tw_k_text(&body.w, "role_id", role);
    hf_tw_k_text(&body.w, "secret_id", secret);
    hf_wipe(secret, sizeof(secret));
    return login(cli, mount != NULL ? mount : "approle", &body);
}

int cmd_login_cert(struct cli *cli)
{
    const char *mount = cli_option(cli, "mount");
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, SMALL)))
        return CLI_FAILED;
    cli_put_text(cli, &body, "name", "name");
    return login(cli, mount != NULL ? mount : "cert", &body);
}

/* ---- the API itself ---- */

static int plain(struct cli *cli, const char *method)
{
    if (cli->argc != 1)
        return cli_usage(cli, "name one path");
    char path[2048];
    snprintf(path, sizeof(path), "*%s", cli->argv[0]);
    return cli_show(cli, method, CLI_PATH("", path), NULL, "done\n");
}

int cmd_read(struct cli *cli)
{
    return plain(cli, "GET");
}

int cmd_list(struct cli *cli)
{
    return plain(cli, "LIST");
}

int cmd_delete(struct cli *cli)
{
    return plain(cli, "DELETE");
}

/* NAME=VALUE, NAME=@FILE, NAME:=JSON */
static hf_result put_pair(struct cli_body *body, const char *pair)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL || equals == pair)
        return HF_FAIL(BAD_ARGUMENT);
    bool json = equals[-1] == ':';
    hf_tw_key(&body->w, hf_cursor(pair, (size_t)(equals - pair) - json));
    const char *value = equals + 1;
    if (json)
        return hf_json_to_tree(hf_cursor_text(value), &body->w, NULL);
    if (value[0] != '@') {
        hf_tw_text(&body->w, hf_cursor_text(value));
        return HF_DONE;
    }
    uint8_t *bytes = NULL;
    size_t len = 0;
    TRY(cli_read_file(value + 1, POLICY_MAX, &bytes, &len));
    hf_tw_text(&body->w, hf_cursor(bytes, len));
    hf_wipe(bytes, len);
    free(bytes);
    return HF_DONE;
}

int cmd_write(struct cli *cli)
{
    if (cli->argc < 1)
        return cli_usage(cli, "name a path");
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, 4 * POLICY_MAX)))
        return CLI_FAILED;
    for (int i = 1; i < cli->argc; i++) {
        hf_result put = put_pair(&body, cli->argv[i]);
        if (!HF_IS_OK(put)) {
            cli_body_done(&body);
            return cli_failed(cli, put, cli->argv[i]);
        }
    }
    char path[2048];
    snprintf(path, sizeof(path), "*%s", cli->argv[0]);
    return cli_show(cli, "PUT", CLI_PATH("", path), &body, "done\n");
}
