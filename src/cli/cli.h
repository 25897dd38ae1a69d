/* The `holdfast` command: git-like subcommands over the HTTP API. One table (commands.c) lists them; completion, help
 * and the man page's list come from it. */
#ifndef HF_CLI_CLI_H
#define HF_CLI_CLI_H

#include "base/buf.h"
#include "holdfast/client.h"
#include "wire/tree.h"

/* Exit codes, documented in holdfast(1). */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* the server refused or failed; its words are on standard error */
    CLI_USAGE = 2,       /* the command line is wrong */
    CLI_SEALED = 3,      /* the server is sealed or not initialised */
    CLI_UNREACHABLE = 4, /* no connection, or its certificate is refused */
    CLI_DENIED = 5,      /* permission denied */
    CLI_NOT_FOUND = 6,
    CLI_INVALID = 7, /* what was to be verified does not verify: signature, proof, file, database */
};

enum cli_format { CLI_TABLE, CLI_JSON };

struct cli { /* one run */
    struct hf_client_options connect;
    struct hf_client *client; /* made at first use */
    enum cli_format format;
    bool color, tty; /* of standard output */
    int argc;        /* what is left after the subcommand and its options */
    char **argv;
    const struct cli_command *command;
    const char
        *options[40]; /* values, by the position in the command's option list; "" for a flag that is set */
};

enum { CLI_ANY_WORDS = 1 << 30 };
struct cli_option {
    const char *name;  /* "threshold": --threshold N */
    const char *value; /* "N"; NULL: a flag */
    const char *help;
};
struct cli_command {
    const char *name; /* "key create" */
    const char *args; /* "NAME" */
    int most_words;   /* more words than these are refused before run() */
    const char *help;
    int (*run)(struct cli *cli);
    const struct cli_option *options; /* ends with a NULL name; NULL: none */
};
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

/* Value of --name: NULL where it was not given. */
const char *cli_option(const struct cli *cli, const char *name);
/* Fails the command line: says what is wrong and how it is used. Gives CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *what);
/* Non-negative number of an option; false (after an error message) where it is none. */
bool cli_number(const struct cli *cli, const char *name, int64_t fallback, int64_t *ret);

/* ---- words (out.c) ---- */
void cli_error(const char *what, const char *detail); /* "holdfast: what: detail" on standard error */
int cli_failed(struct cli *cli, hf_result result, const char *what);
enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_GOOD, CLI_BAD, CLI_DIM, CLI_NOTE };
/* Writes text to standard output, in colour on a terminal. */
void cli_say(const struct cli *cli, enum cli_style style, const char *text);
/* Prints an answer: as it came with -o json, else as a table of its data. */
int cli_print(struct cli *cli, const struct hf_tree *answer);
void cli_table(const struct cli *cli, const struct hf_tree *item);
/* Progress on standard error, where that is a terminal: bar, share, speed, time left. total 0: unknown. */
struct cli_progress {
    uint64_t total, done;
    int64_t began_ns, drawn_ns;
    bool on;
    const char *what;
};
void cli_progress_begin(struct cli_progress *p, const char *what, uint64_t total);
void cli_progress_add(struct cli_progress *p, uint64_t amount);
void cli_progress_end(struct cli_progress *p);

/* ---- calls (api.c) ---- */
struct cli_answer {
    int status;
    struct hf_tree tree; /* the whole JSON body */
    struct hf_tree data; /* its "data" member, or the body where there is none */
    uint8_t *memory;     /* wiped and freed by cli_answer_done */
    size_t memory_len;
    char *raw;
    size_t raw_len;
};
void cli_answer_done(struct cli_answer *answer);
/* A JSON body under construction. */
struct cli_body {
    uint8_t *memory;
    size_t cap;
    struct hf_buf buf;
    struct hf_tree_writer w;
};
hf_result cli_body_begin(struct cli_body *body, size_t cap); /* opens the map */
void cli_body_done(struct cli_body *body);                   /* wipes and frees */
/* Calls the API; prints errors. body may be NULL. path parts are joined, each but the first percent-encoded ("/" kept
 * where the part begins with '*'). Gives CLI_OK, or the exit code (already reported). */
int cli_call(struct cli *cli, const char *method, const char *const path[], struct cli_body *body,
             struct cli_answer *ret);
#define CLI_PATH(...) ((const char *const[]){__VA_ARGS__, NULL})
/* The same, but a refusal is not printed and not an exit code: look at ret->status. */
int cli_call_quiet(struct cli *cli, const char *method, const char *const path[], struct cli_body *body,
                   struct cli_answer *ret);
/* Calls, releases the body, prints the answer; where there is none, `good` (not with -o json). Gives an exit code. */
int cli_show(struct cli *cli, const char *method, const char *const path[], struct cli_body *body,
             const char *good);
/* Puts an option's value under a field of the body, where it was given. */
void cli_put_text(struct cli *cli, struct cli_body *body, const char *option, const char *field);
/* "transit/", or what --mount says; static. */
const char *cli_mount(const struct cli *cli);
hf_result cli_client(struct cli *cli, struct hf_client **ret_client);

/* ---- input (input.c) ---- */
/* A secret from a terminal without echo, or from a descriptor: never from arguments. fd < 0: the terminal, or
 * standard input where there is none. The line's end is cut. Into a buffer that the caller wipes. */
hf_result cli_read_secret(const char *prompt, int fd, char *ret_text, size_t cap);
/* A whole small file or standard input ("-"). Owned by the caller: wipe and free. */
hf_result cli_read_file(const char *path, size_t most, uint8_t **ret_bytes, size_t *ret_len);

#endif
