#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "crypto/crypto.h"

enum { WORDS_MAX = 3, GLOBALS = 7 };

static const struct cli_option globals[] = {
    {"address", "URL", "the server [HOLDFAST_ADDR, VAULT_ADDR, https://127.0.0.1:8200]"},
    {"cacert", "FILE", "authorities to trust, PEM [HOLDFAST_CACERT, VAULT_CACERT]"},
    {"client-cert", "FILE", "client certificate, PEM [HOLDFAST_CLIENT_CERT, VAULT_CLIENT_CERT]"},
    {"client-key", "FILE", "its key, PEM [HOLDFAST_CLIENT_KEY, VAULT_CLIENT_KEY]"},
    {"namespace", "NS", "namespace [HOLDFAST_NAMESPACE, VAULT_NAMESPACE]"},
    {"token-file", "FILE",
     "the token, in a file [HOLDFAST_TOKEN, VAULT_TOKEN, ~/.holdfast-token, ~/.vault-token]"},
    {"insecure-skip-verify", NULL, "take any server certificate: for experiments only"},
};
static_assert(HF_ARRAY_LEN(globals) == GLOBALS);

/* HOLDFAST_NAME before VAULT_NAME; an empty value counts as none. */
static const char *from_env(const char *name)
{
    static const char *const prefix[] = {"HOLDFAST_", "VAULT_"};
    char full[64];
    for (size_t i = 0; i < HF_ARRAY_LEN(prefix); i++) {
        snprintf(full, sizeof(full), "%s%s", prefix[i], name);
        const char *value = getenv(full);
        if (value != NULL && value[0] != '\0')
            return value;
    }
    return NULL;
}

static void help_options(const struct cli_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char left[48];
        snprintf(left, sizeof(left), "--%s%s%s", options[i].name, options[i].value != NULL ? " " : "",
                 options[i].value != NULL ? options[i].value : "");
        printf("  %-26s %s\n", left, options[i].help);
    }
}

static size_t option_count(const struct cli_option *options)
{
    size_t n = 0;
    while (options != NULL && options[n].name != NULL)
        n++;
    return n;
}

static int help_all(void)
{
    puts("holdfast: keys that survive both a stolen database and a quantum computer\n\n"
         "usage: holdfast [-o table|json] [options] COMMAND [...]\n\ncommands:");
    for (size_t i = 0; i < cli_command_count; i++)
        printf("  %-24s %s\n", cli_commands[i].name, cli_commands[i].help);
    puts("\noptions for all commands:");
    help_options(globals, GLOBALS);
    puts(
        "  -o, --output FORMAT        table or json\n\n`holdfast help COMMAND` tells more. Exit codes: holdfast(1).");
    return CLI_OK;
}

static int help_one(const struct cli_command *command)
{
    printf("usage: holdfast %s %s\n\n%s\n", command->name, command->args, command->help);
    size_t count = option_count(command->options);
    if (count != 0) {
        puts("\noptions:");
        help_options(command->options, count);
    }
    return CLI_OK;
}

/* Finds the command whose words come first; the longest name wins. */
static const struct cli_command *find_command(int argc, char **argv, int *ret_words)
{
    const struct cli_command *best = NULL;
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        int words = 0;
        while (words < argc && words < WORDS_MAX && *name != '\0') {
            size_t len = strcspn(name, " ");
            if (strlen(argv[words]) != len || strncmp(argv[words], name, len) != 0)
                break;
            name += len;
            name += strspn(name, " ");
            words++;
        }
        if (*name == '\0' && (best == NULL || words > *ret_words)) {
            best = &cli_commands[i];
            *ret_words = words;
        }
    }
    return best;
}

const char *cli_option(const struct cli *cli, const char *name)
{
    for (size_t i = 0; cli->command->options != NULL && cli->command->options[i].name != NULL; i++)
        if (strcmp(cli->command->options[i].name, name) == 0)
            return cli->options[i];
    return NULL;
}

int cli_usage(const struct cli *cli, const char *what)
{
    cli_error(what, NULL);
    fprintf(stderr, "usage: holdfast %s %s\n", cli->command->name, cli->command->args);
    return CLI_USAGE;
}

bool cli_number(const struct cli *cli, const char *name, int64_t fallback, int64_t *ret)
{
    const char *text = cli_option(cli, name);
    *ret = fallback;
    if (text == NULL)
        return true;
    int64_t value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || value > (INT64_MAX - 9) / 10) {
            cli_error("not a number", text);
            return false;
        }
        value = value * 10 + (*p - '0');
    }
    *ret = value;
    return text[0] != '\0';
}

/* ---- options ---- */

static const struct cli_option *match(const struct cli_option *options, size_t count, const char *arg,
                                      size_t *ret_at, const char **ret_value)
{
    size_t len = strcspn(arg, "=");
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == len && strncmp(options[i].name, arg, len) == 0) {
            *ret_at = i;
            *ret_value = arg[len] == '=' ? arg + len + 1 : NULL;
            return &options[i];
        }
    }
    return NULL;
}

static bool set_output(struct cli *cli, const char *value)
{
    if (value != NULL && strcmp(value, "json") == 0)
        cli->format = CLI_JSON;
    else if (value != NULL && strcmp(value, "table") == 0)
        cli->format = CLI_TABLE;
    else
        return false;
    return true;
}

/* Takes options out of argv wherever they stand; "--" ends them. Words stay, in order. */
static bool take_options(struct cli *cli, const char *global_values[GLOBALS], const struct cli_option *own,
                         int *argc, char **argv, bool before_command)
{
    int kept = 0;
    bool ended = false;
    for (int i = 0; i < *argc; i++) {
        char *arg = argv[i];
        bool word = arg[0] != '-' || arg[1] == '\0' || ended;
        if (word) {
            argv[kept++] = arg;
            if (before_command && kept == 1) { /* what follows belongs to the command */
                for (i++; i < *argc; i++)
                    argv[kept++] = argv[i];
            }
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            ended = true;
            continue;
        }
        if (strcmp(arg, "-o") == 0 || strcmp(arg, "--output") == 0 || strncmp(arg, "--output=", 9) == 0 ||
            strncmp(arg, "-o=", 3) == 0) {
            const char *equals = strchr(arg, '=');
            if (!set_output(cli, equals != NULL ? equals + 1 : i + 1 < *argc ? argv[++i] : NULL)) {
                cli_error("-o takes table or json", NULL);
                return false;
            }
            continue;
        }
        const char *name = arg + (arg[1] == '-' ? 2 : 1), *value = NULL;
        size_t at = 0;
        const char **slot = NULL;
        const struct cli_option *option = match(own, option_count(own), name, &at, &value);
        if (option != NULL)
            slot = &cli->options[at];
        else if ((option = match(globals, GLOBALS, name, &at, &value)) != NULL)
            slot = &global_values[at];
        if (option == NULL) {
            cli_error("unknown option", arg);
            return false;
        }
        if (option->value == NULL && value == NULL)
            value = "";
        else if (option->value != NULL && value == NULL)
            value = i + 1 < *argc ? argv[++i] : NULL;
        if (value == NULL) {
            cli_error("this option needs a value", arg);
            return false;
        }
        *slot = value;
    }
    *argc = kept;
    return true;
}

static char token_text[2048];

static const char *token_from_file(const char *path)
{
    int fd_is_path = access(path, R_OK);
    if (fd_is_path != 0)
        return NULL;
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (!HF_IS_OK(cli_read_file(path, sizeof(token_text) - 1, &bytes, &len)))
        return NULL;
    while (len != 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
        len--;
    memcpy(token_text, bytes, len);
    token_text[len] = '\0';
    hf_wipe(bytes, len);
    free(bytes);
    return token_text;
}

static const char *find_token(const char *file)
{
    if (file != NULL)
        return token_from_file(file);
    const char *token = from_env("TOKEN");
    const char *home = getenv("HOME");
    static const char *const names[] = {"/.holdfast-token", "/.vault-token"};
    for (size_t i = 0; token == NULL && home != NULL && i < HF_ARRAY_LEN(names); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s%s", home, names[i]);
        token = token_from_file(path);
    }
    return token;
}

static const char *pick(const char *given, const char *env)
{
    return given != NULL ? given : from_env(env);
}

static void settle_connection(struct cli *cli, const char *const values[GLOBALS])
{
    cli->connect.address = pick(values[0], "ADDR");
    if (cli->connect.address == NULL)
        cli->connect.address = "https://127.0.0.1:8200";
    cli->connect.ca_file = pick(values[1], "CACERT");
    cli->connect.cert_file = pick(values[2], "CLIENT_CERT");
    cli->connect.key_file = pick(values[3], "CLIENT_KEY");
    cli->connect.ns = pick(values[4], "NAMESPACE");
    cli->connect.token = find_token(values[5]);
    cli->connect.server_name = from_env("TLS_SERVER_NAME");
    const char *skip = from_env("SKIP_VERIFY");
    cli->connect.skip_verify = values[6] != NULL || (skip != NULL && (skip[0] == '1' || skip[0] == 't'));
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *global_values[GLOBALS] = {0};
    if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
        return help_all();
    if (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "version") == 0) {
        printf("holdfast %s (%s)\n", HF_VERSION, hf_crypto_version());
        return CLI_OK;
    }
    if (!take_options(cli, global_values, NULL, &argc, argv, true))
        return CLI_USAGE;
    int words = 0;
    bool help = argc > 0 && strcmp(argv[0], "help") == 0;
    const struct cli_command *command = find_command(argc - help, argv + help, &words);
    if (help && argc == 1)
        return help_all();
    if (command == NULL) {
        cli_error("no such command (try: holdfast help)", argc > help ? argv[help] : NULL);
        return CLI_USAGE;
    }
    if (help)
        return help_one(command);
    argc -= words;
    argv += words;
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return help_one(command);
    cli->command = command;
    if (!take_options(cli, global_values, command->options, &argc, argv, false))
        return CLI_USAGE;
    if (argc > command->most_words) /* not named: it may be a secret given in the wrong place */
        return cli_usage(cli,
                         argc == 1 ? "an argument that this command does not take" : "too many arguments");
    cli->argc = argc;
    cli->argv = argv;
    settle_connection(cli, global_values);
    return command->run(cli);
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    cli.tty = isatty(STDOUT_FILENO) != 0;
    cli.color = cli.tty && getenv("NO_COLOR") == NULL;
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE))) {
        cli_error("the crypto library does not start", NULL);
        return CLI_FAILED;
    }
    int code = run(&cli, argc - 1, argv + 1);
    hf_client_free(cli.client);
    hf_wipe(token_text, sizeof(token_text));
    if (fflush(stdout) != 0 && code == CLI_OK) {
        cli_error("cannot write the output", NULL);
        code = CLI_FAILED;
    }
    return code;
}
