#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/audit_file.h"
#include "cli/commands.h"
#include "secret/secret.h"
#include "tlog/export.h"

enum { EXPORT_MAX = 1 << 30, TEXT_MAX = 1 << 20, PAGE = 8192, FOLLOW_S = 1 };

/* ---- public keys ---- */

void cli_audit_keys_done(struct cli_audit_keys *keys)
{
    hf_pkey_free(keys->ed25519);
    hf_pkey_free(keys->mldsa44);
    *keys = (struct cli_audit_keys){0};
}

hf_result cli_audit_keys_open(struct hf_cursor text, struct cli_audit_keys *ret)
{
    *ret = (struct cli_audit_keys){0};
    hf_result done = HF_DONE;
    while (text.left != 0 && HF_IS_OK(done)) {
        const uint8_t *end = memchr(text.at, '\n', text.left);
        struct hf_cursor line = hf_cursor(text.at, end == NULL ? text.left : (size_t)(end - text.at));
        text.at += line.left;
        text.left -= line.left;
        if (text.left != 0)
            (void)hf_cursor_take(&text, 1, &(struct hf_cursor){0});
        if (line.left == 0)
            continue;
        struct hf_pkey *key = NULL;
        done = hf_tlog_vkey_open(line, &ret->signer.name, &key);
        if (!HF_IS_OK(done))
            break;
        struct hf_pkey **slot = hf_pkey_alg(key) == HF_ALG_ED25519 ? &ret->ed25519 : &ret->mldsa44;
        if (*slot != NULL || (slot == &ret->mldsa44 && hf_pkey_alg(key) != HF_ALG_ML_DSA_44)) {
            hf_pkey_free(key);
            done = HF_FAIL(BAD_ARGUMENT);
        } else {
            *slot = key;
        }
    }
    if (HF_IS_OK(done) && (ret->ed25519 == NULL || ret->mldsa44 == NULL))
        done = HF_FAIL(BAD_ARGUMENT);
    ret->signer.ed25519 = ret->ed25519;
    ret->signer.mldsa44 = ret->mldsa44;
    if (!HF_IS_OK(done))
        cli_audit_keys_done(ret);
    return done;
}

/* ---- from the server ---- */

bool cli_audit_write(const char *path, const void *bytes, size_t len, const char *mode)
{
    FILE *out = path == NULL || strcmp(path, "-") == 0 ? stdout : fopen(path, mode);
    bool good = out != NULL && fwrite(bytes, 1, len, out) == len;
    if (out != NULL && out != stdout)
        good = fclose(out) == 0 && good;
    if (!good)
        cli_error("cannot write", path);
    return good;
}

static void print_entries(const struct hf_tree *entries, int64_t *next)
{
    struct hf_tree_iter iter = hf_tree_iterate(entries);
    struct hf_cursor key;
    struct hf_tree e;
    while (hf_tree_next(&iter, &key, &e)) {
        struct hf_tree index = hf_tree_get(&e, "index"), time = hf_tree_get(&e, "time"),
                       detail = hf_tree_get(&e, "detail");
        struct hf_tree op = hf_tree_get(&detail, "operation"), outcome = hf_tree_get(&detail, "outcome"),
                       mount = hf_tree_get(&detail, "mount"), version = hf_tree_get(&detail, "key_version"),
                       request = hf_tree_get(&detail, "request_id");
        printf("%8lld  %-30.*s  %-24.*s %-14.*s %.*s", (long long)index.number, (int)time.body.left,
               (const char *)time.body.at, (int)op.body.left, (const char *)op.body.at,
               (int)outcome.body.left, (const char *)outcome.body.at, (int)mount.body.left,
               (const char *)mount.body.at);
        if (version.number > 0)
            printf(" v%lld", (long long)version.number);
        printf("  %.*s\n", (int)request.body.left, (const char *)request.body.at);
        *next = index.number + 1;
    }
}

int cmd_audit_tail(struct cli *cli)
{
    int64_t from, limit;
    if (cli_option(cli, "export") != NULL)
        return cli_audit_tail_offline(cli);
    if (!cli_number(cli, "from", -1, &from) || !cli_number(cli, "limit", 20, &limit))
        return CLI_USAGE;
    bool follow = cli_option(cli, "follow") != NULL;
    for (;;) {
        char path[96];
        if (from >= 0)
            snprintf(path, sizeof(path), "audit/entries?from=%lld&limit=%lld", (long long)from,
                     (long long)limit);
        else
            snprintf(path, sizeof(path), "audit/entries?limit=%lld", (long long)limit);
        struct cli_answer answer;
        int done = cli_call(cli, "GET", CLI_PATH(path), NULL, &answer);
        if (done != CLI_OK)
            return done;
        struct hf_tree entries = hf_tree_get(&answer.data, "entries");
        if (cli->format == CLI_JSON)
            done = cli_print(cli, &answer.tree);
        else
            print_entries(&entries, &from);
        cli_answer_done(&answer);
        if (!follow || done != CLI_OK)
            return done;
        fflush(stdout);
        sleep(FOLLOW_S);
    }
}

int cmd_audit_prove(struct cli *cli)
{
    if (cli_option(cli, "export") != NULL)
        return cli_audit_prove_offline(cli);
    const char *index = cli_option(cli, "index"), *request = cli_option(cli, "request");
    if ((index == NULL) == (request == NULL))
        return cli_usage(cli, "one of --index and --request is needed");
    char path[256];
    snprintf(path, sizeof(path), "*?%s=%.64s", index != NULL ? "index" : "request_id",
             index != NULL ? index : request);
    struct cli_answer answer;
    int done = cli_call(cli, "GET", CLI_PATH("audit/proof/inclusion", path), NULL, &answer);
    if (done != CLI_OK)
        return done;
    struct hf_tree proof = hf_tree_get(&answer.data, "proof");
    bool good = proof.tag == HF_TREE_TEXT
                    ? cli_audit_write(cli_option(cli, "out"), proof.body.at, proof.body.left, "we")
                    : cli_audit_write(cli_option(cli, "out"), answer.raw, answer.raw_len, "we");
    cli_answer_done(&answer);
    return good ? CLI_OK : CLI_FAILED;
}

static int fetch_to(struct cli *cli, const char *path, const char *file)
{
    if (file == NULL)
        return CLI_OK;
    struct cli_answer answer;
    int done = cli_call(cli, "GET", CLI_PATH(path), NULL, &answer);
    if (done != CLI_OK)
        return done;
    bool good = cli_audit_write(file, answer.raw, answer.raw_len, "we");
    cli_answer_done(&answer);
    return good ? CLI_OK : CLI_FAILED;
}

/* Entries in all sections of an answer. */
static bool count_entries(struct hf_cursor bytes, uint64_t *ret_entries)
{
    struct hf_export_reader reader;
    struct hf_export_entry entry;
    bool more = false;
    hf_export_open(&reader, bytes);
    *ret_entries = 0;
    while (HF_IS_OK(hf_export_section(&reader, &more)) && more)
        while (hf_export_next(&reader, &entry))
            *ret_entries += 1;
    return reader.rest.left == 0;
}

int cmd_audit_export(struct cli *cli)
{
    const char *out = cli_option(cli, "out");
    int done = fetch_to(cli, "audit/checkpoint?fresh=true", cli_option(cli, "checkpoint"));
    if (done == CLI_OK)
        done = fetch_to(cli, "audit/vkeys", cli_option(cli, "keys"));
    uint64_t from = 0, count = 1;
    struct cli_progress progress;
    cli_progress_begin(&progress, "exporting", 0);
    while (done == CLI_OK && count != 0) {
        char path[96];
        snprintf(path, sizeof(path), "audit/export?from=%llu&limit=%d", (unsigned long long)from, PAGE);
        struct cli_answer answer;
        done = cli_call(cli, "GET", CLI_PATH(path), NULL, &answer);
        if (done != CLI_OK)
            break;
        if (!count_entries(hf_cursor(answer.raw, answer.raw_len), &count)) {
            cli_error("the server's export is malformed", NULL);
            done = CLI_FAILED;
        } else if ((count != 0 || from == 0) &&
                   !cli_audit_write(out, answer.raw, answer.raw_len, from == 0 ? "we" : "ae")) {
            done = CLI_FAILED;
        }
        cli_progress_add(&progress, answer.raw_len);
        cli_answer_done(&answer);
        from += count;
    }
    cli_progress_end(&progress);
    return done;
}
