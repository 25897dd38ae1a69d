#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "cli/commands.h"
#include "secret/secret.h"

enum { SMALL = 16 << 10, PAYLOAD_MAX = 16 << 20 };

static int finish(struct cli *cli, int done, struct cli_answer *answer, const char *good)
{
    if (done != CLI_OK)
        return done;
    if (answer->raw_len != 0 && (cli->format == CLI_JSON || good == NULL))
        done = cli_print(cli, &answer->tree);
    else if (good != NULL)
        cli_say(cli, CLI_GOOD, good);
    cli_answer_done(answer);
    return done;
}

static int one_key(struct cli *cli, const char *method, const char *suffix, struct cli_body *body,
                   const char *good)
{
    if (cli->argc != 1) {
        if (body != NULL)
            cli_body_done(body);
        return cli_usage(cli, "name one key");
    }
    struct cli_answer answer;
    int done =
        suffix == NULL
            ? cli_call(cli, method, CLI_PATH(cli_mount(cli), "*keys/", cli->argv[0]), body, &answer)
            : cli_call(cli, method, CLI_PATH(cli_mount(cli), "*keys/", cli->argv[0], suffix), body, &answer);
    if (body != NULL)
        cli_body_done(body);
    return finish(cli, done, &answer, good);
}

static void put_flag(struct cli *cli, struct cli_body *body, const char *option, const char *field)
{
    if (cli_option(cli, option) != NULL)
        hf_tw_k_bool(&body->w, field, true);
}

int cmd_key_create(struct cli *cli)
{
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, SMALL)))
        return CLI_FAILED;
    cli_put_text(cli, &body, "type", "type");
    cli_put_text(cli, &body, "parameter-set", "parameter_set");
    cli_put_text(cli, &body, "hybrid-pqc", "hybrid_key_type_pqc");
    cli_put_text(cli, &body, "hybrid-ec", "hybrid_key_type_ec");
    cli_put_text(cli, &body, "auto-rotate", "auto_rotate_period");
    put_flag(cli, &body, "derived", "derived");
    put_flag(cli, &body, "convergent", "convergent_encryption");
    put_flag(cli, &body, "exportable", "exportable");
    return one_key(cli, "POST", NULL, &body, NULL);
}

int cmd_key_list(struct cli *cli)
{
    struct cli_answer answer;
    int done = cli_call(cli, "LIST", CLI_PATH(cli_mount(cli), "keys"), NULL, &answer);
    if (done == CLI_NOT_FOUND) /* no keys yet: an empty list, as existing clients are told */
        return CLI_OK;
    return finish(cli, done, &answer, NULL);
}

int cmd_key_read(struct cli *cli)
{
    return one_key(cli, "GET", NULL, NULL, NULL);
}

int cmd_key_rotate(struct cli *cli)
{
    return one_key(cli, "POST", "*/rotate", NULL, NULL);
}

int cmd_key_config(struct cli *cli)
{
    int64_t least_dec, least_enc;
    if (!cli_number(cli, "min-decryption", -1, &least_dec) ||
        !cli_number(cli, "min-encryption", -1, &least_enc))
        return CLI_USAGE;
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, SMALL)))
        return CLI_FAILED;
    if (least_dec >= 0)
        hf_tw_k_int(&body.w, "min_decryption_version", least_dec);
    if (least_enc >= 0)
        hf_tw_k_int(&body.w, "min_encryption_version", least_enc);
    cli_put_text(cli, &body, "deletion-allowed", "deletion_allowed");
    cli_put_text(cli, &body, "auto-rotate", "auto_rotate_period");
    return one_key(cli, "POST", "*/config", &body, NULL);
}

int cmd_key_trim(struct cli *cli)
{
    int64_t least;
    if (!cli_number(cli, "min-available", -1, &least))
        return CLI_USAGE;
    if (least < 0)
        return cli_usage(cli, "--min-available is needed");
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, SMALL)))
        return CLI_FAILED;
    hf_tw_k_int(&body.w, "min_available_version", least);
    return one_key(cli, "POST", "*/trim", &body, NULL);
}

int cmd_key_delete(struct cli *cli)
{
    return one_key(cli, "DELETE", NULL, NULL, "erased\n");
}

int cmd_key_version(struct cli *cli)
{
    if (cli->argc != 3)
        return cli_usage(cli, "a key, a version and what to do are needed");
    struct cli_answer answer;
    int done = cli_call(
        cli, "POST",
        CLI_PATH(cli_mount(cli), "*keys/", cli->argv[0], "*/versions/", cli->argv[1], "*/", cli->argv[2]),
        NULL, &answer);
    return finish(cli, done, &answer, NULL);
}

/* ---- payloads that fit one request ---- */

/* Puts a file's bytes as base64 under `field`. */
static hf_result put_payload(struct cli_body *body, const char *field, const char *path)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    TRY(cli_read_file(path != NULL ? path : "-", PAYLOAD_MAX, &bytes, &len));
    hf_result done = cli_body_begin(body, HF_BASE64_LEN(len) + SMALL);
    if (HF_IS_OK(done)) {
        hf_tw_k(&body->w, field);
        size_t size = HF_BASE64_LEN(len);
        uint8_t *place = hf_tw_text_reserve(&body->w, size);
        struct hf_buf out = hf_buf(place, place == NULL ? 0 : size);
        hf_base64_encode(&out, hf_cursor(bytes, len));
        done = hf_buf_ok(&body->buf);
    }
    hf_wipe(bytes, len);
    free(bytes);
    return done;
}

static int write_text(struct cli *cli, struct hf_cursor text)
{
    const char *path = cli_option(cli, "out");
    FILE *out = path == NULL || strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (out == NULL) {
        cli_error("cannot write", path);
        return CLI_FAILED;
    }
    bool good = fwrite(text.at, 1, text.left, out) == text.left && putc('\n', out) != EOF;
    if (out != stdout)
        good = fclose(out) == 0 && good;
    if (!good)
        cli_error("cannot write", path);
    return good ? CLI_OK : CLI_FAILED;
}

int cmd_sign(struct cli *cli)
{
    if (cli->argc != 1)
        return cli_usage(cli, "name one key");
    struct cli_body body;
    hf_result read = put_payload(&body, "input", cli_option(cli, "in"));
    if (!HF_IS_OK(read))
        return cli_failed(cli, read, "cannot read what to sign");
    cli_put_text(cli, &body, "hash", "hash_algorithm");
    struct cli_answer answer;
    int done = cli_call(cli, "POST", CLI_PATH(cli_mount(cli), "*sign/", cli->argv[0]), &body, &answer);
    cli_body_done(&body);
    if (done != CLI_OK)
        return done;
    struct hf_tree signature = hf_tree_get(&answer.data, "signature");
    done = cli->format == CLI_JSON ? cli_print(cli, &answer.tree) : write_text(cli, signature.body);
    cli_answer_done(&answer);
    return done;
}

int cmd_verify(struct cli *cli)
{
    const char *path = cli_option(cli, "signature");
    if (cli->argc != 1 || path == NULL)
        return cli_usage(cli, "a key and a signature are needed");
    uint8_t *signature = NULL;
    size_t len = 0;
    hf_result read = cli_read_file(path, 128 << 10, &signature, &len);
    if (!HF_IS_OK(read))
        return cli_failed(cli, read, "cannot read the signature");
    while (len != 0 && (signature[len - 1] == '\n' || signature[len - 1] == '\r'))
        len--;
    struct cli_body body;
    read = put_payload(&body, "input", cli_option(cli, "in"));
    if (!HF_IS_OK(read)) {
        free(signature);
        return cli_failed(cli, read, "cannot read what was signed");
    }
    hf_tw_k_slice(&body.w, "signature", hf_cursor(signature, HF_MIN(len, (size_t)SMALL * 6)));
    cli_put_text(cli, &body, "hash", "hash_algorithm");
    struct cli_answer answer;
    int done = cli_call(cli, "POST", CLI_PATH(cli_mount(cli), "*verify/", cli->argv[0]), &body, &answer);
    cli_body_done(&body);
    free(signature);
    if (done != CLI_OK)
        return done;
    bool valid = hf_tree_get(&answer.data, "valid").tag == HF_TREE_TRUE;
    if (cli->format == CLI_JSON)
        done = cli_print(cli, &answer.tree);
    else
        cli_say(cli, valid ? CLI_GOOD : CLI_BAD, valid ? "valid\n" : "NOT valid\n");
    cli_answer_done(&answer);
    return done != CLI_OK ? done : valid ? CLI_OK : CLI_INVALID;
}

int cmd_random(struct cli *cli)
{
    if (cli->argc > 1)
        return cli_usage(cli, "one number of bytes");
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, SMALL)))
        return CLI_FAILED;
    cli_put_text(cli, &body, "format", "format");
    struct cli_answer answer;
    int done = cli_call(cli, "POST", CLI_PATH("transit/random/", cli->argc == 1 ? cli->argv[0] : "32"), &body,
                        &answer);
    cli_body_done(&body);
    if (done != CLI_OK)
        return done;
    struct hf_tree bytes = hf_tree_get(&answer.data, "random_bytes");
    done = cli->format == CLI_JSON ? cli_print(cli, &answer.tree) : write_text(cli, bytes.body);
    cli_answer_done(&answer);
    return done;
}
