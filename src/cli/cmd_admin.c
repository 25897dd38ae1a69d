#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "store/backup.h"
#include "store/doctor.h"

/* ---- backup, restore, doctor: on the machine of the database ---- */

struct moved {
    struct cli_progress progress;
    uint64_t done;
};

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
    struct moved *m = arg;
    m->progress.total = all;
    cli_progress_add(&m->progress, done > m->done ? done - m->done : 0);
    m->done = done;
}

static bool same_file(const char *a, const char *b)
{
    struct stat one, two;
    return stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

int cmd_backup(struct cli *cli)
{
    const char *out = cli_option(cli, "out");
    if (cli->argc != 1 || out == NULL)
        return cli_usage(cli, "the database's file and --out are needed");
    if (same_file(cli->argv[0], out)) {
        cli_error("this is the database itself", out);
        return CLI_FAILED;
    }
    struct cli_output to;
    if (!cli_output_open(out, cli_option(cli, "force") != NULL, &to))
        return CLI_FAILED;
    struct moved m = {0};
    cli_progress_begin(&m.progress, "backing up", 0);
    hf_result done = hf_backup_file(cli->argv[0], to.fd, on_progress, &m);
    cli_progress_end(&m.progress);
    int code = HF_IS_OK(done) ? CLI_OK : cli_failed(cli, done, "the backup was not made");
    code = cli_output_close(&to, code);
    if (code == CLI_OK)
        cli_say(cli, CLI_GOOD, "backed up: everything in it stays sealed\n");
    return code;
}

int cmd_restore(struct cli *cli)
{
    const char *in = cli_option(cli, "in"), *to = cli_option(cli, "to");
    if (cli->argc != 0 || in == NULL || to == NULL)
        return cli_usage(cli, "--in and --to are needed");
    int fd = open(in, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        cli_error(strerror(errno), in);
        return CLI_FAILED;
    }
    struct hf_restored restored;
    hf_result done = hf_restore_file(fd, to, &restored);
    close(fd);
    if (done.code == HF_TRUNCATED || done.code == HF_CORRUPT) {
        cli_error(done.code == HF_CORRUPT ? "the backup is damaged" : "the backup is truncated", in);
        return CLI_INVALID;
    }
    if (done.code == HF_EXISTS) {
        cli_error("a file is there already; it is never replaced", to);
        return CLI_FAILED;
    }
    if (!HF_IS_OK(done))
        return cli_failed(cli, done, "the backup was not restored");
    printf("%llu rows restored to %s; unseal it with the shares of when it was made\n",
           (unsigned long long)restored.rows, to);
    return CLI_OK;
}

static void on_finding(void *arg, const struct hf_doctor_finding *finding)
{
    struct cli *cli = arg;
    cli_say(cli, finding->bad ? CLI_BAD : CLI_PLAIN, finding->bad ? "BAD  " : "ok   ");
    printf("%s\n", finding->text);
}

int cmd_doctor(struct cli *cli)
{
    if (cli->argc != 1)
        return cli_usage(cli, "name the database's file");
    if (hf_backup_is(cli->argv[0])) {
        cli_error(
            "this is a backup, not a database: `holdfast restore --in FILE --to NEW` checks its digest and makes "
            "a database of it, for doctor to check",
            cli->argv[0]);
        return CLI_INVALID;
    }
    struct hf_doctor_summary summary;
    hf_result done = hf_doctor_run(cli->argv[0], on_finding, cli, &summary);
    if (!HF_IS_OK(done))
        return cli_failed(cli, done, cli->argv[0]);
    printf("not checked without keys (and what does check it):\n");
    for (size_t i = 0; hf_doctor_unchecked(i) != NULL; i++)
        printf("     - %s\n", hf_doctor_unchecked(i));
    cli_say(cli, summary.bad == 0 ? CLI_GOOD : CLI_BAD,
            summary.bad == 0 ? "nothing wrong was found in what can be checked without keys\n"
                             : "the database is NOT whole\n");
    return summary.bad == 0 ? CLI_OK : CLI_INVALID;
}

/* ---- bench: this server, from here ---- */

enum { CONNECTIONS_MAX = 256, SAMPLES = 1 << 16, BODY = 4096 };

struct load {
    struct hf_client_options connect;
    const char *path;
    const char *body;
    _Atomic bool stop;
    _Atomic uint64_t done, failed;
};

struct loader {
    struct load *load;
    pthread_t thread;
    uint32_t *micros; /* ring of the last SAMPLES */
    uint64_t count;
};

static void *load_main(void *arg)
{
    struct loader *me = arg;
    struct hf_client *client = NULL;
    if (!HF_IS_OK(hf_client_new(&me->load->connect, &client))) {
        atomic_fetch_add(&me->load->failed, 1);
        return NULL;
    }
    while (!atomic_load(&me->load->stop)) {
        struct hf_response response;
        int64_t began = hf_boot_ns(&hf_clock_system);
        hf_result called =
            hf_client_call(client, "POST", me->load->path, me->load->body, strlen(me->load->body), &response);
        int64_t took = hf_boot_ns(&hf_clock_system) - began;
        bool good = HF_IS_OK(called) && response.status == 200;
        hf_response_done(&response);
        atomic_fetch_add(good ? &me->load->done : &me->load->failed, 1);
        if (!good)
            break;
        me->micros[me->count++ % SAMPLES] = (uint32_t)HF_MIN(took / 1000, (int64_t)UINT32_MAX);
    }
    hf_client_free(client);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int report(struct cli *cli, struct loader *loaders, int64_t connections, const struct load *load,
                  double seconds)
{
    uint64_t total = 0, done = atomic_load(&load->done), failed = atomic_load(&load->failed);
    uint32_t *all = malloc((size_t)connections * SAMPLES * sizeof(*all));
    if (all == NULL)
        return CLI_FAILED;
    for (int64_t i = 0; i < connections; i++) {
        size_t n = (size_t)HF_MIN(loaders[i].count, (uint64_t)SAMPLES);
        memcpy(all + total, loaders[i].micros, n * sizeof(*all));
        total += n;
    }
    qsort(all, (size_t)total, sizeof(*all), by_value);
    uint32_t p50 = total == 0 ? 0 : all[total / 2], p99 = total == 0 ? 0 : all[total * 99 / 100];
    free(all);
    if (cli->format == CLI_JSON)
        printf(
            "{\"connections\":%lld,\"requests\":%llu,\"failed\":%llu,\"per_second\":%.0f,\"p50_us\":%u,\"p99_us\":%u}\n",
            (long long)connections, (unsigned long long)done, (unsigned long long)failed,
            (double)done / seconds, p50, p99);
    else
        printf("%lld connections: %.0f encryptions/s, p50 %u us, p99 %u us, %llu failed\n"
               "(the client's own work on this machine is part of these times)\n",
               (long long)connections, (double)done / seconds, p50, p99, (unsigned long long)failed);
    return failed == 0 && done != 0 ? CLI_OK : CLI_FAILED;
}

/* A key of its own, unless one is named. */
static int bench_key(struct cli *cli, const char *mount, const char *key)
{
    struct cli_answer answer;
    if (cli_option(cli, "key") != NULL)
        return CLI_OK;
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return CLI_FAILED;
    int done = cli_call(cli, "POST", CLI_PATH(mount, "*/keys/", key), &body, &answer);
    cli_body_done(&body);
    if (done == CLI_OK)
        cli_answer_done(&answer);
    return done;
}

int cmd_bench(struct cli *cli)
{
    int64_t connections, seconds;
    if (!cli_number(cli, "connections", 16, &connections) || !cli_number(cli, "seconds", 5, &seconds))
        return CLI_USAGE;
    if (connections < 1 || connections > CONNECTIONS_MAX || seconds < 1 || seconds > 3600)
        return cli_usage(cli, "1 to 256 connections, 1 to 3600 seconds");
    const char *mount = cli_option(cli, "mount"), *key = cli_option(cli, "key");
    mount = mount != NULL ? mount : "transit";
    key = key != NULL ? key : "holdfast-bench";
    int made = bench_key(cli, mount, key);
    if (made != CLI_OK)
        return made;
    char path[600];
    snprintf(path, sizeof(path), "%.256s/encrypt/%.256s", mount, key);
    struct load load = {.connect = cli->connect,
                        .path = path,
                        .body = "{\"plaintext\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"}"};
    struct loader *loaders = calloc((size_t)connections, sizeof(*loaders));
    int64_t started = 0;
    for (; loaders != NULL && started < connections; started++) {
        loaders[started].load = &load;
        loaders[started].micros = malloc(SAMPLES * sizeof(uint32_t));
        if (loaders[started].micros == NULL ||
            pthread_create(&loaders[started].thread, NULL, load_main, &loaders[started]) != 0)
            break;
    }
    int64_t began = hf_boot_ns(&hf_clock_system);
    if (started == connections)
        sleep((unsigned)seconds);
    atomic_store(&load.stop, true);
    for (int64_t i = 0; i < started; i++)
        pthread_join(loaders[i].thread, NULL);
    double took = (double)(hf_boot_ns(&hf_clock_system) - began) / 1e9;
    int code = started == connections ? report(cli, loaders, connections, &load, took) : CLI_FAILED;
    for (int64_t i = 0; loaders != NULL && i < connections; i++)
        free(loaders[i].micros);
    free(loaders);
    return code;
}

/* ---- completion ---- */

static void words_of(const char *separator)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        size_t len = strcspn(name, " ");
        bool before = false;
        for (size_t j = 0; j < i; j++)
            before = before || (strncmp(cli_commands[j].name, name, len) == 0 &&
                                strcspn(cli_commands[j].name, " ") == len);
        if (!before)
            printf("%.*s%s", (int)len, name, separator);
    }
}

static void second_words(const char *first, const char *separator)
{
    size_t len = strlen(first);
    for (size_t i = 0; i < cli_command_count; i++)
        if (strncmp(cli_commands[i].name, first, len) == 0 && cli_commands[i].name[len] == ' ')
            printf("%s%s", cli_commands[i].name + len + 1, separator);
}

static void bash_completion(void)
{
    puts("_holdfast() {\n    local cur=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} words=\n"
         "    if [ \"$COMP_CWORD\" = 1 ]; then");
    fputs("        words='help ", stdout);
    words_of(" ");
    puts("'\n    else case \"$first\" in");
    static const char *const groups[] = {"mount", "key", "policy", "token", "login", "audit"};
    for (size_t i = 0; i < HF_ARRAY_LEN(groups); i++) {
        printf("        %s) [ \"$COMP_CWORD\" = 2 ] && words='", groups[i]);
        second_words(groups[i], " ");
        puts("' ;;");
    }
    for (size_t i = 0; i < cli_command_count; i++) {
        if (cli_commands[i].options == NULL || strchr(cli_commands[i].name, ' ') != NULL)
            continue;
        printf("        %s) words='", cli_commands[i].name);
        for (const struct cli_option *o = cli_commands[i].options; o->name != NULL; o++)
            printf("--%s ", o->name);
        puts("' ;;");
    }
    puts(
        "    esac; fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
        "    [ ${#COMPREPLY[@]} = 0 ] && COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _holdfast holdfast");
}

int cmd_completion(struct cli *cli)
{
    const char *shell = cli->argc == 1 ? cli->argv[0] : "";
    if (strcmp(shell, "bash") == 0) {
        bash_completion();
    } else if (strcmp(shell, "zsh") == 0) {
        puts("autoload -U +X bashcompinit && bashcompinit");
        bash_completion();
    } else if (strcmp(shell, "fish") == 0) {
        for (size_t i = 0; i < cli_command_count; i++) {
            const char *name = cli_commands[i].name;
            size_t len = strcspn(name, " ");
            if (name[len] == '\0')
                printf("complete -c holdfast -n __fish_use_subcommand -a %s -d '%s'\n", name,
                       cli_commands[i].help);
            else
                printf("complete -c holdfast -n '__fish_seen_subcommand_from %.*s' -a %s -d '%s'\n", (int)len,
                       name, name + len + 1, cli_commands[i].help);
        }
    } else {
        return cli_usage(cli, "bash, zsh or fish");
    }
    return CLI_OK;
}
