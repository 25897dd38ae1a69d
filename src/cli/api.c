#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "secret/secret.h"
#include "wire/json.h"

enum { PATH_MAX_BYTES = 3072 };

hf_result cli_client(struct cli *cli, struct hf_client **ret_client)
{
    if (cli->client == NULL) {
        hf_result made = hf_client_new(&cli->connect, &cli->client);
        if (!HF_IS_OK(made)) {
            cli_error("cannot use the server's address or certificates", cli->connect.address);
            return made;
        }
    }
    *ret_client = cli->client;
    return HF_DONE;
}

hf_result cli_body_begin(struct cli_body *body, size_t cap)
{
    *body = (struct cli_body){.memory = malloc(cap), .cap = cap};
    if (body->memory == NULL)
        return HF_FAIL(NO_MEMORY);
    body->buf = hf_buf(body->memory, cap);
    body->w = hf_tree_writer(&body->buf);
    hf_tw_map(&body->w);
    return HF_DONE;
}

void cli_body_done(struct cli_body *body)
{
    if (body->memory != NULL)
        hf_wipe(body->memory, body->cap);
    free(body->memory);
    *body = (struct cli_body){0};
}

void cli_answer_done(struct cli_answer *answer)
{
    if (answer->memory != NULL)
        hf_wipe(answer->memory, answer->memory_len);
    if (answer->raw != NULL)
        hf_wipe(answer->raw, answer->raw_len);
    free(answer->memory);
    free(answer->raw);
    *answer = (struct cli_answer){0};
}

static hf_result join_path(const char *const parts[], struct hf_buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    hf_buf_text(out, parts[0]);
    for (size_t i = 1; parts[i] != NULL; i++) {
        const char *p = parts[i];
        bool whole = *p == '*'; /* a path of its own: slashes stay */
        for (p += whole; *p != '\0'; p++) {
            if (strchr(plain, *p) != NULL || (whole && (*p == '/' || *p == '?' || *p == '=' || *p == '&'))) {
                hf_buf_u8(out, (uint8_t)*p);
            } else {
                hf_buf_u8(out, '%');
                hf_buf_u8(out, (uint8_t)hex[(uint8_t)*p >> 4]);
                hf_buf_u8(out, (uint8_t)hex[(uint8_t)*p & 15]);
            }
        }
    }
    hf_buf_u8(out, '\0');
    return hf_buf_ok(out);
}

static hf_result open_answer(struct hf_response *response, struct cli_answer *ret)
{
    ret->status = response->status;
    ret->raw = TAKE(response->body);
    ret->raw_len = response->body_len;
    size_t cap = ret->raw_len * 4 + 256; /* a one-digit number takes 9 bytes, its comma counted 2 */
    cap += ret->raw_len * 2;
    ret->memory = malloc(cap);
    if (ret->memory == NULL)
        return HF_FAIL(NO_MEMORY);
    ret->memory_len = cap;
    struct hf_buf buf = hf_buf(ret->memory, cap);
    struct hf_tree_writer w = hf_tree_writer(&buf);
    const char *text = ret->raw;
    if (ret->raw_len == 0 || text[0] != '{') { /* no JSON: plain text, or nothing */
        ret->tree = (struct hf_tree){.tag = HF_TREE_TEXT, .body = hf_cursor(text, ret->raw_len)};
        ret->data = ret->tree;
        return HF_DONE;
    }
    TRY(hf_json_to_tree(hf_cursor(text, ret->raw_len), &w, NULL));
    TRY(hf_tree_open(hf_buf_cursor(&buf), &ret->tree));
    ret->data = hf_tree_get(&ret->tree, "data");
    if (ret->data.tag != HF_TREE_MAP)
        ret->data = ret->tree;
    return HF_DONE;
}

int cli_call_quiet(struct cli *cli, const char *method, const char *const path[], struct cli_body *body,
                   struct cli_answer *ret)
{
    *ret = (struct cli_answer){0};
    char path_text[PATH_MAX_BYTES];
    struct hf_buf path_buf = hf_buf(path_text, sizeof(path_text));
    if (!HF_IS_OK(join_path(path, &path_buf))) {
        cli_error("the path is too long", NULL);
        return CLI_USAGE;
    }
    struct hf_client *client;
    if (!HF_IS_OK(cli_client(cli, &client)))
        return CLI_UNREACHABLE;
    uint8_t *json = NULL;
    size_t json_len = 0, json_cap = 0;
    hf_result done = HF_DONE;
    if (body != NULL) {
        hf_tw_end(&body->w);
        struct hf_tree tree;
        done = body->buf.overflow ? HF_FAIL(TOO_LARGE) : hf_tree_open(hf_buf_cursor(&body->buf), &tree);
        if (HF_IS_OK(done)) {
            json_cap = hf_tree_json_max(&tree);
            json = malloc(json_cap);
            done = json == NULL ? HF_FAIL(NO_MEMORY) : HF_DONE;
        }
        if (HF_IS_OK(done)) {
            struct hf_buf out = hf_buf(json, json_cap);
            hf_tree_to_json(&tree, &out);
            json_len = out.len;
            done = hf_buf_ok(&out);
        }
    }
    struct hf_response response = {0};
    if (HF_IS_OK(done))
        done = hf_client_call(client, method, path_text, (const char *)json, json_len, &response);
    if (json != NULL)
        hf_wipe(json, json_cap);
    free(json);
    if (HF_IS_OK(done))
        done = open_answer(&response, ret);
    hf_response_done(&response);
    if (HF_IS_OK(done))
        return CLI_OK;
    const char *why = hf_client_why(client);
    cli_error(why[0] != '\0' ? why : hf_code_text(done.code), cli->connect.address);
    return CLI_UNREACHABLE;
}

static int exit_of_status(int status)
{
    switch (status) {
    case 403:
        return CLI_DENIED;
    case 404:
        return CLI_NOT_FOUND;
    case 501:
        return CLI_SEALED;
    default:
        return CLI_FAILED;
    }
}

int cli_call(struct cli *cli, const char *method, const char *const path[], struct cli_body *body,
             struct cli_answer *ret)
{
    int done = cli_call_quiet(cli, method, path, body, ret);
    if (done != CLI_OK || ret->status < 400)
        return done;
    int status = ret->status;
    int code = exit_of_status(status);
    struct hf_tree errors = hf_tree_get(&ret->tree, "errors");
    struct hf_tree_iter iter = hf_tree_iterate(&errors);
    struct hf_cursor key;
    struct hf_tree item;
    bool said = false;
    while (errors.tag == HF_TREE_ARRAY && hf_tree_next(&iter, &key, &item)) {
        if (item.tag != HF_TREE_TEXT)
            continue;
        if (status == 503 && hf_cursor_is(item.body, "sealed"))
            code = CLI_SEALED;
        fprintf(stderr, "holdfast: %.*s\n", (int)item.body.left, (const char *)item.body.at);
        said = true;
    }
    if (!said)
        fprintf(stderr, "holdfast: the server answered %d\n", status);
    cli_answer_done(ret);
    return code;
}

int cli_show(struct cli *cli, const char *method, const char *const path[], struct cli_body *body,
             const char *good)
{
    struct cli_answer answer;
    int done = cli_call(cli, method, path, body, &answer);
    if (body != NULL)
        cli_body_done(body);
    if (done != CLI_OK)
        return done;
    if (answer.raw_len != 0)
        done = cli_print(cli, &answer.tree);
    else if (cli->format == CLI_TABLE)
        cli_say(cli, CLI_GOOD, good);
    cli_answer_done(&answer);
    return done;
}

void cli_put_text(struct cli *cli, struct cli_body *body, const char *option, const char *field)
{
    const char *value = cli_option(cli, option);
    if (value != NULL)
        hf_tw_k_text(&body->w, field, value);
}

const char *cli_mount(const struct cli *cli)
{
    static char path[300];
    const char *mount = cli_option(cli, "mount");
    snprintf(path, sizeof(path), "%.256s/", mount != NULL ? mount : "transit");
    return path;
}
