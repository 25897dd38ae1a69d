#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/file.h"
#include "cli/output.h"
#include "secret/secret.h"

enum { LINE_MAX_BYTES = 1 << 20, LINES_EACH = 1000, BATCH_BYTES = 16 << 20 };

/* Where input comes from and output goes to. A file takes its name when all is good, so that a failed decryption leaves
 * nothing that looks whole. */
struct ends {
    int in_fd, out_fd;
    uint64_t in_size;
    bool to_file;
    struct cli_output out; /* where to_file */
};

static bool open_ends(struct cli *cli, struct ends *e)
{
    const char *in = cli_option(cli, "in"), *out = cli_option(cli, "out");
    struct stat st;
    *e = (struct ends){.in_fd = STDIN_FILENO, .out_fd = STDOUT_FILENO};
    if (in != NULL && strcmp(in, "-") != 0)
        e->in_fd = open(in, O_RDONLY | O_CLOEXEC);
    if (e->in_fd < 0) {
        cli_error(strerror(errno), in);
        return false;
    }
    if (fstat(e->in_fd, &st) == 0 && S_ISREG(st.st_mode))
        e->in_size = (uint64_t)st.st_size;
    if (out == NULL || strcmp(out, "-") == 0)
        return true;
    e->to_file = cli_output_open(out, true, &e->out);
    e->out_fd = e->out.fd;
    if (!e->to_file && e->in_fd > STDERR_FILENO)
        close(e->in_fd);
    return e->to_file;
}

static int close_ends(struct ends *e, int code)
{
    if (e->in_fd > STDERR_FILENO)
        close(e->in_fd);
    return e->to_file ? cli_output_close(&e->out, code) : code;
}

static struct cli_file_job job_of(struct cli *cli, const struct ends *e)
{
    return (struct cli_file_job){.mount = cli_mount(cli),
                                 .context = cli_option(cli, "context"),
                                 .in_fd = e->in_fd,
                                 .out_fd = e->out_fd,
                                 .in_size = e->in_size};
}

int cmd_encrypt(struct cli *cli)
{
    if (cli->argc != 1)
        return cli_usage(cli, "name one key");
    struct ends e;
    if (!open_ends(cli, &e))
        return CLI_FAILED;
    struct cli_file_job job = job_of(cli, &e);
    job.key = cli->argv[0];
    return close_ends(&e, cli_file_encrypt(cli, &job));
}

/* "FROM-TO", TO not included; "FROM-" to the end. */
static bool parse_range(const char *text, struct cli_file_job *job)
{
    uint64_t ends[2] = {0, UINT64_MAX};
    for (int i = 0; i < 2; i++) {
        if (i == 1 && *text == '\0')
            break;
        uint64_t value = 0;
        const char *start = text;
        for (; *text >= '0' && *text <= '9'; text++) {
            if (value > (UINT64_MAX - 9) / 10)
                return false;
            value = value * 10 + (uint64_t)(*text - '0');
        }
        if (text == start || *text != (i == 0 ? '-' : '\0'))
            return false;
        ends[i] = value;
        text += i == 0;
    }
    job->range = true;
    job->from = ends[0];
    job->to = ends[1];
    return ends[0] <= ends[1];
}

int cmd_decrypt(struct cli *cli)
{
    if (cli->argc > 1)
        return cli_usage(cli, "the file says which key it needs");
    struct ends e;
    if (!open_ends(cli, &e))
        return CLI_FAILED;
    struct cli_file_job job = job_of(cli, &e);
    const char *range = cli_option(cli, "range");
    if (range != NULL && !parse_range(range, &job))
        return close_ends(&e, cli_usage(cli, "--range takes FROM-TO"));
    if (range != NULL && e.in_size == 0)
        return close_ends(&e, cli_usage(cli, "--range needs --in FILE"));
    return close_ends(&e, cli_file_decrypt(cli, &job));
}

/* ---- rewrap: lines of ciphertext in batches, or an encrypted file's header ---- */

static int rewrap_lines(struct cli *cli, const char *key, FILE *in, FILE *out, bool *ret_more)
{
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, BATCH_BYTES)))
        return cli_failed(cli, HF_FAIL(NO_MEMORY), "rewrapping failed");
    hf_tw_k(&body.w, "batch_input");
    hf_tw_array(&body.w);
    char *line = NULL;
    size_t cap = 0, count = 0;
    ssize_t len = 0;
    while (count < LINES_EACH && body.buf.len < BATCH_BYTES - LINE_MAX_BYTES - 64 &&
           (len = getline(&line, &cap, in)) > 0) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len == 0 || len > LINE_MAX_BYTES)
            continue;
        hf_tw_map(&body.w);
        hf_tw_k_slice(&body.w, "ciphertext", hf_cursor(line, (size_t)len));
        hf_tw_end(&body.w);
        count++;
    }
    free(line);
    hf_tw_end(&body.w);
    *ret_more = len > 0;
    struct cli_answer answer;
    int code = count == 0 ? CLI_OK
                          : cli_call(cli, "POST", CLI_PATH(cli_mount(cli), "*rewrap/", key), &body, &answer);
    cli_body_done(&body);
    if (code != CLI_OK || count == 0)
        return code;
    struct hf_tree results = hf_tree_get(&answer.data, "batch_results");
    struct hf_tree_iter iter = hf_tree_iterate(&results);
    struct hf_cursor name;
    struct hf_tree item;
    while (hf_tree_next(&iter, &name, &item)) {
        struct hf_tree text = hf_tree_get(&item, "ciphertext"), error = hf_tree_get(&item, "error");
        if (text.tag != HF_TREE_TEXT || text.body.left == 0) {
            fprintf(stderr, "holdfast: %.*s\n", (int)error.body.left, (const char *)error.body.at);
            code = CLI_INVALID;
        }
        fwrite(text.body.at, 1, text.body.left, out); /* an empty line keeps the count */
        putc('\n', out);
    }
    cli_answer_done(&answer);
    return code;
}

static bool is_encrypted_file(int fd)
{
    char start[4];
    return pread(fd, start, sizeof(start), 0) == sizeof(start) && memcmp(start, "HFF1", 4) == 0; /* public */
}

int cmd_rewrap(struct cli *cli)
{
    struct ends e;
    if (!open_ends(cli, &e))
        return CLI_FAILED;
    if (is_encrypted_file(e.in_fd)) {
        struct cli_file_job job = job_of(cli, &e);
        return close_ends(&e, cli_file_rewrap(cli, &job));
    }
    if (cli->argc != 1)
        return close_ends(&e, cli_usage(cli, "name the key of the ciphertexts"));
    FILE *in = fdopen(dup(e.in_fd), "r"), *out = fdopen(dup(e.out_fd), "w");
    int code = in == NULL || out == NULL ? CLI_FAILED : CLI_OK;
    bool more = true;
    while (more && (code == CLI_OK || code == CLI_INVALID)) {
        int step = rewrap_lines(cli, cli->argv[0], in, out, &more);
        code = step != CLI_OK ? step : code;
    }
    if (in != NULL)
        fclose(in);
    if (out != NULL && fclose(out) != 0 && code == CLI_OK)
        code = CLI_FAILED;
    return close_ends(&e, code);
}
