#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "secret/secret.h"

enum { BODY = 64 << 10, SHARE_TEXT = 512 };

int cmd_init(struct cli *cli)
{
    int64_t shares, threshold;
    if (!cli_number(cli, "shares", 5, &shares) || !cli_number(cli, "threshold", 3, &threshold))
        return CLI_USAGE;
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return CLI_FAILED;
    hf_tw_k_int(&body.w, "secret_shares", shares);
    hf_tw_k_int(&body.w, "secret_threshold", threshold);
    struct cli_answer answer;
    int done = cli_call(cli, "PUT", CLI_PATH("sys/init"), &body, &answer);
    cli_body_done(&body);
    if (done != CLI_OK)
        return done;
    if (cli->format == CLI_JSON) {
        done = cli_print(cli, &answer.tree);
    } else {
        struct hf_tree cards = hf_tree_get(&answer.tree, "cards");
        struct hf_tree keys = cards.tag == HF_TREE_ARRAY ? cards : hf_tree_get(&answer.tree, "keys_base64");
        struct hf_tree_iter iter = hf_tree_iterate(&keys);
        struct hf_cursor key;
        struct hf_tree share;
        for (int i = 1; hf_tree_next(&iter, &key, &share); i++)
            printf("Share %d:     %.*s\n", i, (int)share.body.left, (const char *)share.body.at);
        struct hf_tree token = hf_tree_get(&answer.tree, "root_token");
        printf("\nRoot token:  %.*s\n\n", (int)token.body.left, (const char *)token.body.at);
        printf("Give each share to another person. %lld of %lld unseal the server; fewer reveal nothing.\n"
               "They are shown once and kept nowhere. Revoke the root token when set-up is done.\n",
               (long long)threshold, (long long)shares);
    }
    cli_answer_done(&answer);
    return done;
}

/* One share, from a descriptor or the terminal, to `path`. */
static int offer_share(struct cli *cli, const char *const path[], const char *nonce, struct cli_answer *ret)
{
    int64_t fd;
    if (!cli_number(cli, "share-fd", -1, &fd))
        return CLI_USAGE;
    char share[SHARE_TEXT];
    hf_result got = cli_read_secret("Share (not shown): ", (int)fd, share, sizeof(share));
    if (!HF_IS_OK(got)) {
        hf_wipe(share, sizeof(share));
        return cli_failed(cli, got, "no share was given");
    }
    struct cli_body body;
    int done = CLI_FAILED;
    if (HF_IS_OK(cli_body_begin(&body, BODY))) {
        hf_tw_k_text(&body.w, "key", share);
        if (nonce != NULL)
            hf_tw_k_text(&body.w, "nonce", nonce);
        done = cli_call(cli, "PUT", path, &body, ret);
        cli_body_done(&body);
    }
    hf_wipe(share, sizeof(share));
    return done;
}

int cmd_unseal(struct cli *cli)
{
    if (cli->argc != 0)
        return cli_usage(cli,
                         "a share is never an argument: arguments are seen by every user of the machine");
    struct cli_answer answer;
    int done;
    if (cli_option(cli, "reset") != NULL) {
        struct cli_body body;
        if (!HF_IS_OK(cli_body_begin(&body, BODY)))
            return CLI_FAILED;
        hf_tw_k_bool(&body.w, "reset", true);
        done = cli_call(cli, "PUT", CLI_PATH("sys/unseal"), &body, &answer);
        cli_body_done(&body);
    } else {
        done = offer_share(cli, CLI_PATH("sys/unseal"), NULL, &answer);
    }
    if (done != CLI_OK)
        return done;
    done = cli_print(cli, &answer.tree);
    cli_answer_done(&answer);
    return done;
}

int cmd_seal(struct cli *cli)
{
    return cli_show(cli, "PUT", CLI_PATH("sys/seal"), NULL, "sealed: every key is out of memory\n");
}

int cmd_status(struct cli *cli)
{
    struct cli_answer answer;
    int done = cli_call(cli, "GET", CLI_PATH("sys/seal-status"), NULL, &answer);
    if (done != CLI_OK)
        return done;
    done = cli_print(cli, &answer.tree);
    struct hf_tree sealed = hf_tree_get(&answer.tree, "sealed");
    if (done == CLI_OK && sealed.tag != HF_TREE_FALSE)
        done = CLI_SEALED;
    cli_answer_done(&answer);
    return done;
}

static void print_measures(struct cli *cli, const struct hf_tree *process)
{
    struct hf_tree measures = hf_tree_get(process, "measures");
    struct hf_tree_iter iter = hf_tree_iterate(&measures);
    struct hf_cursor name;
    struct hf_tree measure;
    while (hf_tree_next(&iter, &name, &measure)) {
        struct hf_tree in_force = hf_tree_get(&measure, "in_force"), why = hf_tree_get(&measure, "why_not");
        bool yes = in_force.tag == HF_TREE_TRUE;
        cli_say(cli, yes ? CLI_GOOD : CLI_BAD, yes ? "  yes  " : "  no   ");
        printf("%.*s", (int)name.left, (const char *)name.at);
        if (!yes && why.tag == HF_TREE_TEXT)
            printf(": %.*s", (int)why.body.left, (const char *)why.body.at);
        putchar('\n');
    }
}

int cmd_posture(struct cli *cli)
{
    struct cli_answer answer;
    int done = cli_call(cli, "GET", CLI_PATH("sys/posture"), NULL, &answer);
    if (done != CLI_OK)
        return done;
    struct hf_tree processes = hf_tree_get(&answer.data, "processes");
    if (cli->format == CLI_JSON || processes.tag != HF_TREE_ARRAY) {
        done = cli_print(cli, &answer.tree);
    } else {
        struct hf_tree_iter iter = hf_tree_iterate(&processes);
        struct hf_cursor key;
        struct hf_tree process;
        while (hf_tree_next(&iter, &key, &process)) {
            struct hf_tree name = hf_tree_get(&process, "process"), index = hf_tree_get(&process, "index"),
                           pid = hf_tree_get(&process, "pid"), user = hf_tree_get(&process, "user");
            char line[96];
            snprintf(line, sizeof(line), "%.*s %lld", (int)name.body.left, (const char *)name.body.at,
                     (long long)index.number);
            cli_say(cli, CLI_BOLD, line);
            printf("  (pid %lld, user %lld)\n", (long long)pid.number, (long long)user.number);
            print_measures(cli, &process);
        }
    }
    cli_answer_done(&answer);
    return done;
}

int cmd_rekey(struct cli *cli)
{
    if (cli_option(cli, "cancel") != NULL)
        return cli_show(cli, "DELETE", CLI_PATH("sys/rekey/init"), NULL, "done\n");
    if (cli_option(cli, "start") != NULL) {
        int64_t shares, threshold;
        if (!cli_number(cli, "shares", 5, &shares) || !cli_number(cli, "threshold", 3, &threshold))
            return CLI_USAGE;
        struct cli_body body;
        if (!HF_IS_OK(cli_body_begin(&body, BODY)))
            return CLI_FAILED;
        hf_tw_k_int(&body.w, "secret_shares", shares);
        hf_tw_k_int(&body.w, "secret_threshold", threshold);
        hf_tw_k_bool(&body.w, "require_verification", cli_option(cli, "no-verification") == NULL);
        return cli_show(cli, "PUT", CLI_PATH("sys/rekey/init"), &body, "done\n");
    }
    const char *nonce = cli_option(cli, "nonce");
    if (nonce == NULL)
        return cli_show(cli, "GET", CLI_PATH("sys/rekey/init"), NULL, "done\n");
    struct cli_answer answer;
    bool verify = cli_option(cli, "verify") != NULL;
    int done = offer_share(cli, verify ? CLI_PATH("sys/rekey/verify") : CLI_PATH("sys/rekey/update"), nonce,
                           &answer);
    if (done != CLI_OK)
        return done;
    done = cli_print(cli, &answer.tree);
    cli_answer_done(&answer);
    return done;
}

int cmd_generate_root(struct cli *cli)
{
    if (cli_option(cli, "cancel") != NULL)
        return cli_show(cli, "DELETE", CLI_PATH("sys/generate-root/attempt"), NULL, "done\n");
    if (cli_option(cli, "start") != NULL)
        return cli_show(cli, "PUT", CLI_PATH("sys/generate-root/attempt"), NULL, "done\n");
    const char *nonce = cli_option(cli, "nonce");
    if (nonce == NULL)
        return cli_show(cli, "GET", CLI_PATH("sys/generate-root/attempt"), NULL, "done\n");
    struct cli_answer answer;
    int done = offer_share(cli, CLI_PATH("sys/generate-root/update"), nonce, &answer);
    if (done != CLI_OK)
        return done;
    done = cli_print(cli, &answer.tree);
    cli_answer_done(&answer);
    return done;
}

/* "auth/x" goes to sys/auth, anything else to sys/mounts. */
static const char *mount_root(const char *path, const char **ret_rest)
{
    bool auth = strncmp(path, "auth/", 5) == 0;
    *ret_rest = auth ? path + 5 : path;
    return auth ? "sys/auth/" : "sys/mounts/";
}

int cmd_mount_enable(struct cli *cli)
{
    if (cli->argc < 1 || cli->argc > 2)
        return cli_usage(cli, "say what to enable, and where");
    const char *rest, *type = cli->argv[0], *path = cli->argc == 2 ? cli->argv[1] : type;
    const char *root = mount_root(path, &rest);
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return CLI_FAILED;
    hf_tw_k_text(&body.w, "type", type);
    return cli_show(cli, "POST", CLI_PATH(root, rest), &body, "done\n");
}

int cmd_mount_disable(struct cli *cli)
{
    if (cli->argc != 1)
        return cli_usage(cli, "say which mount");
    const char *rest;
    const char *root = mount_root(cli->argv[0], &rest);
    return cli_show(cli, "DELETE", CLI_PATH(root, rest), NULL, "done\n");
}

int cmd_mount_list(struct cli *cli)
{
    return cli_show(cli, "GET", CLI_PATH(cli_option(cli, "auth") != NULL ? "sys/auth" : "sys/mounts"), NULL,
                    "");
}

int cmd_metrics(struct cli *cli)
{
    struct cli_answer answer;
    int done = cli_call(cli, "GET", CLI_PATH("sys/metrics?format=prometheus"), NULL, &answer);
    if (done != CLI_OK)
        return done;
    fwrite(answer.raw, 1, answer.raw_len, stdout);
    cli_answer_done(&answer);
    return CLI_OK;
}
