/* `holdfast tour`: a guided story with a development server of its own. Chapters are rows; each step says what it does,
 * does it against the real server, and ends the tour where it fails. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/encode.h"
#include "cli/commands.h"
#include "cli/audit_file.h"
#include "cli/file.h"
#include "cli/scan.h"
#include "secret/secret.h"
#include "tlog/export.h"
#include "wire/json.h"

enum {
    BODY = 64 << 10,
    SHARES = 5,
    THRESHOLD = 3,
    TEXT = 512,
    PATHS = 600,
    START_MS = 10000,
    EXPORT_MAX = 8 << 20
};

struct tour {
    struct cli *cli;
    int server;      /* pid */
    char dir[PATHS]; /* state of this tour; removed at its end */
    char bin[PATHS]; /* where holdfastd stands */
    char address[64], cacert[PATHS + 16];
    char shares[SHARES][TEXT]; /* wiped at the end */
    char root_token[TEXT];
    uint8_t key[32];       /* the demonstration key's bytes, by the audited export */
    char ciphertext[TEXT]; /* a small one, of version 1 */
    char request_id[64];   /* of the encryption that will be proved */
    int step;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* ---- words ---- */

static void step(struct tour *t, const char *what)
{
    char number[16];
    snprintf(number, sizeof(number), "\n%2d  ", ++t->step);
    cli_say(t->cli, CLI_DIM, number);
    cli_say(t->cli, CLI_BOLD, what);
    putchar('\n');
    fflush(stdout);
}

static void say(struct tour *t, enum cli_style style, const char *text)
{
    fputs("    ", stdout);
    cli_say(t->cli, style, text);
    putchar('\n');
    fflush(stdout);
}

static bool wrong(struct tour *t, const char *what)
{
    say(t, CLI_BAD, what);
    return false;
}

static void copy_text(char *to, size_t cap, struct hf_cursor from)
{
    size_t len = HF_MIN(from.left, cap - 1);
    memcpy(to, from.at, len);
    to[len] = '\0';
}

/* ---- the server ---- */

static bool find_own_folder(struct tour *t)
{
    ssize_t n = readlink("/proc/self/exe", t->bin, sizeof(t->bin) - 1);
    if (n <= 0)
        return false;
    t->bin[n] = '\0';
    char *slash = strrchr(t->bin, '/');
    *slash = '\0';
    return true;
}

static void remove_folder(const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
        _exit(127);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}

/* State beside the executables (build/), or in a temporary folder where that cannot be written. */
static bool make_folder(struct tour *t)
{
    snprintf(t->dir, sizeof(t->dir), "%.560s/../tour-XXXXXX", t->bin);
    if (mkdtemp(t->dir) != NULL)
        return true;
    snprintf(t->dir, sizeof(t->dir), "/tmp/holdfast-tour-XXXXXX");
    return mkdtemp(t->dir) != NULL;
}

static bool read_ready_line(int fd, char *line, size_t cap)
{
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    size_t len = 0;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int left =
            START_MS - (int)((now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, left) <= 0)
            return false;
        ssize_t n = read(fd, line + len, cap - len - 1);
        if (n <= 0)
            return false;
        len += (size_t)n;
        line[len] = '\0';
        if (memchr(line, '\n', len) != NULL)
            return true;
    }
}

static bool start_server(struct tour *t, const char *port)
{
    char program[PATHS + 16], listen_on[64], env_file[PATHS + 16], state[PATHS + 16], log_file[PATHS + 16];
    snprintf(program, sizeof(program), "%s/holdfastd", t->bin);
    snprintf(listen_on, sizeof(listen_on), "127.0.0.1:%s", port);
    snprintf(env_file, sizeof(env_file), "%s/env", t->dir);
    snprintf(state, sizeof(state), "%s/state", t->dir);
    snprintf(log_file, sizeof(log_file), "%s/server.log", t->dir);
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return false;
    t->server = fork();
    if (t->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        signal(SIGINT, SIG_IGN); /* Ctrl-C is for the tour, which then stops the server */
        int log_fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(out[1], STDOUT_FILENO);
        if (log_fd >= 0)
            dup2(log_fd, STDERR_FILENO);
        execl(program, program, "--dev", "--dev-uninit", "--listen", listen_on, "--dir", state, "--env-file",
              env_file, "--json", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    char line[4096];
    bool ready = t->server > 0 && read_ready_line(out[0], line, sizeof(line));
    close(out[0]);
    if (!ready) {
        uint8_t *log = NULL;
        size_t len = 0;
        if (HF_IS_OK(cli_read_file(log_file, 1 << 20, &log, &len)))
            fwrite(log, 1, len, stderr);
        free(log);
        return wrong(t, "the development server did not start");
    }
    uint8_t tree_bytes[8192];
    struct hf_buf buf = hf_buf(tree_bytes, sizeof(tree_bytes));
    struct hf_tree_writer w = hf_tree_writer(&buf);
    struct hf_tree ready_tree;
    if (!HF_IS_OK(hf_json_to_tree(hf_cursor(line, strcspn(line, "\n")), &w, NULL)) ||
        !HF_IS_OK(hf_tree_open(hf_buf_cursor(&buf), &ready_tree)))
        return wrong(t, "the development server did not say where it is");
    copy_text(t->address, sizeof(t->address), hf_tree_get(&ready_tree, "addr").body);
    return true;
}

/* HOLDFAST_CACERT of the env file. */
static bool read_cacert(struct tour *t)
{
    char path[PATHS + 16];
    snprintf(path, sizeof(path), "%s/env", t->dir);
    uint8_t *text = NULL;
    size_t len = 0;
    if (!HF_IS_OK(cli_read_file(path, 64 << 10, &text, &len)))
        return false;
    const char *at = strstr((const char *)text, "HOLDFAST_CACERT=");
    if (at != NULL) {
        at += strlen("HOLDFAST_CACERT=");
        char quote = *at == '\'' || *at == '"' ? *at++ : '\n';
        copy_text(t->cacert, sizeof(t->cacert),
                  hf_cursor(at, strcspn(at, quote == '\n'  ? "\n"
                                            : quote == '"' ? "\""
                                                           : "'")));
    }
    free(text);
    return at != NULL;
}

static void stop_server(struct tour *t)
{
    if (t->server <= 0)
        return;
    kill(t->server, SIGTERM);
    for (int i = 0; i < 100; i++) {
        if (waitpid(t->server, NULL, WNOHANG) == t->server) {
            t->server = 0;
            return;
        }
        nanosleep(&(struct timespec){0, 50 * 1000 * 1000}, NULL);
    }
    kill(t->server, SIGKILL);
    waitpid(t->server, NULL, 0);
    t->server = 0;
}

/* The server's processes: the supervisor and its children. */
static int server_processes(const struct tour *t, int *pids, int most)
{
    int count = 0;
    char path[64], line[512] = {0};
    pids[count++] = t->server;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", t->server, t->server);
    FILE *children = fopen(path, "re");
    if (children != NULL) {
        size_t n = fread(line, 1, sizeof(line) - 1, children);
        fclose(children);
        line[n] = '\0';
    }
    for (char *at = line, *after; count < most; at = after) {
        long pid = strtol(at, &after, 10);
        if (after == at)
            break;
        pids[count++] = (int)pid;
    }
    return count;
}

static const char *process_role(int pid, char *text, size_t cap)
{
    char path[64], line[1024] = {0};
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
    if (fd >= 0)
        close(fd);
    const char *role = "supervisor";
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(line + i) + 1)
        if (strcmp(line + i, "--role") == 0)
            role = line + i + strlen("--role") + 1;
    snprintf(text, cap, "%s (%d)", role, pid);
    return text;
}

/* ---- steps of the first chapter ---- */

static bool do_init(struct tour *t)
{
    step(t, "Initialise: a root key is made, split, and forgotten");
    struct cli_body body;
    struct cli_answer answer;
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return false;
    hf_tw_k_int(&body.w, "secret_shares", SHARES);
    hf_tw_k_int(&body.w, "secret_threshold", THRESHOLD);
    int done = cli_call(t->cli, "PUT", CLI_PATH("sys/init"), &body, &answer);
    cli_body_done(&body);
    if (done != CLI_OK)
        return wrong(t, "initialising failed");
    struct hf_tree keys = hf_tree_get(&answer.tree, "keys_base64");
    struct hf_tree_iter iter = hf_tree_iterate(&keys);
    struct hf_cursor key;
    struct hf_tree share;
    int count = 0;
    while (count < SHARES && hf_tree_next(&iter, &key, &share))
        copy_text(t->shares[count++], TEXT, share.body);
    copy_text(t->root_token, TEXT, hf_tree_get(&answer.tree, "root_token").body);
    cli_answer_done(&answer);
    if (count != SHARES || t->root_token[0] == '\0')
        return wrong(t, "five shares and a token were expected");
    say(t, CLI_GOOD, "5 shares; any 3 rebuild the root, 2 reveal nothing. No disk holds it.");
    return HF_IS_OK(hf_client_set_token(t->cli->client, t->root_token));
}

static bool offer(struct tour *t, const char *share, bool *ret_sealed)
{
    struct cli_body body;
    struct cli_answer answer;
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return false;
    hf_tw_k_text(&body.w, "key", share);
    int done = cli_call(t->cli, "PUT", CLI_PATH("sys/unseal"), &body, &answer);
    cli_body_done(&body);
    if (done != CLI_OK)
        return false;
    *ret_sealed = hf_tree_get(&answer.tree, "sealed").tag != HF_TREE_FALSE;
    cli_answer_done(&answer);
    return true;
}

static bool do_unseal(struct tour *t)
{
    step(t, "Unseal: three people each give a share");
    bool sealed = true;
    for (int i = 0; i < THRESHOLD; i++) {
        if (!offer(t, t->shares[i], &sealed))
            return wrong(t, "a share was refused");
        say(t, CLI_PLAIN, !sealed ? "share 3 of 3: unsealed" : i == 0 ? "share 1 of 3" : "share 2 of 3");
    }
    if (sealed)
        return wrong(t, "still sealed after three shares");
    char line[160];
    const char *group = hf_client_group(t->cli->client);
    snprintf(line, sizeof(line),
             "This conversation is TLS 1.3 over %.40s: recorded today, unreadable to a quantum computer.",
             group);
    say(t, strcmp(group, "X25519MLKEM768") == 0 ? CLI_GOOD : CLI_BAD, line);
    return true;
}

static bool post(struct tour *t, const char *const path[], const char *field, const char *value,
                 struct cli_answer *ret)
{
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return false;
    if (field != NULL)
        hf_tw_k_text(&body.w, field, value);
    int done = cli_call(t->cli, "POST", path, &body, ret);
    cli_body_done(&body);
    return done == CLI_OK;
}

static bool post_only(struct tour *t, const char *const path[], const char *field, const char *value)
{
    struct cli_answer answer;
    if (!post(t, path, field, value, &answer))
        return false;
    cli_answer_done(&answer);
    return true;
}

static bool do_key(struct tour *t)
{
    step(t, "Create a key");
    struct cli_body body;
    struct cli_answer answer;
    if (!post_only(t, CLI_PATH("sys/mounts/transit"), "type", "transit"))
        return wrong(t, "mounting transit failed");
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return false;
    hf_tw_k_bool(&body.w, "exportable", true); /* so that the tour can know its bytes, and look for them */
    int done = cli_call(t->cli, "POST", CLI_PATH("transit/keys/", "payments"), &body, &answer);
    cli_body_done(&body);
    if (done != CLI_OK)
        return wrong(t, "creating the key failed");
    cli_answer_done(&answer);
    if (cli_call(t->cli, "GET", CLI_PATH("transit/keys/", "payments"), NULL, &answer) != CLI_OK)
        return wrong(t, "reading the key failed");
    char type[64], ready[64], line[200];
    copy_text(type, sizeof(type), hf_tree_get(&answer.data, "type").body);
    copy_text(ready, sizeof(ready), hf_tree_get(&answer.data, "quantum_readiness").body);
    snprintf(line, sizeof(line), "payments: %s, version 1, %s", type, ready);
    say(t, CLI_GOOD, line);
    cli_answer_done(&answer);
    return true;
}

static bool copy_file_job(struct tour *t, const char *in, const char *out, bool encrypt)
{
    int in_fd = open(in, O_RDONLY | O_CLOEXEC);
    int out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct stat st;
    bool good = in_fd >= 0 && out_fd >= 0 && fstat(in_fd, &st) == 0;
    if (good) {
        struct cli_file_job job = {.mount = "transit/",
                                   .key = "payments",
                                   .in_fd = in_fd,
                                   .out_fd = out_fd,
                                   .in_size = (uint64_t)st.st_size};
        good = (encrypt ? cli_file_encrypt(t->cli, &job) : cli_file_decrypt(t->cli, &job)) == CLI_OK;
    }
    if (in_fd >= 0)
        close(in_fd);
    if (out_fd >= 0 && close(out_fd) != 0)
        good = false;
    return good;
}

static bool same_files(const char *a, const char *b)
{
    FILE *fa = fopen(a, "re"), *fb = fopen(b, "re");
    bool same = fa != NULL && fb != NULL;
    static char ba[64 << 10], bb[64 << 10];
    while (same) {
        size_t na = fread(ba, 1, sizeof(ba), fa), nb = fread(bb, 1, sizeof(bb), fb);
        same = na == nb && memcmp(ba, bb, na) == 0; /* public: a program's file */
        if (na == 0)
            break;
    }
    if (fa != NULL)
        fclose(fa);
    if (fb != NULL)
        fclose(fb);
    return same;
}

static bool encrypt_small(struct tour *t, char *ret_ciphertext, size_t cap)
{
    struct cli_answer answer;
    if (!post(t, CLI_PATH("transit/encrypt/", "payments"), "plaintext",
              "NDExMSAxMTExIDExMTEgMTExMQ==", &answer))
        return false;
    copy_text(ret_ciphertext, cap, hf_tree_get(&answer.data, "ciphertext").body);
    copy_text(t->request_id, sizeof(t->request_id), hf_tree_get(&answer.tree, "request_id").body);
    cli_answer_done(&answer);
    return true;
}

static bool do_encrypt(struct tour *t)
{
    step(t, "Encrypt a real file: this server's own program");
    char program[PATHS + 16], encrypted[PATHS + 16], line[200];
    snprintf(program, sizeof(program), "%s/holdfastd", t->bin);
    snprintf(encrypted, sizeof(encrypted), "%s/holdfastd.hf", t->dir);
    struct stat plain, sealed;
    if (!copy_file_job(t, program, encrypted, true) || stat(program, &plain) != 0 ||
        stat(encrypted, &sealed) != 0)
        return wrong(t, "encrypting the file failed");
    snprintf(line, sizeof(line),
             "%.1f MiB -> %.1f MiB: FLOE segments under a fresh data key, which payments wraps",
             (double)plain.st_size / 1048576, (double)sealed.st_size / 1048576);
    say(t, CLI_GOOD, line);
    if (!encrypt_small(t, t->ciphertext, sizeof(t->ciphertext)))
        return wrong(t, "encrypting a card number failed");
    snprintf(line, sizeof(line), "and a card number: %.60s...", t->ciphertext);
    say(t, CLI_PLAIN, line);
    return true;
}

static bool do_rotate(struct tour *t)
{
    step(t, "Rotate: a new version, and nothing stops working");
    char program[PATHS + 16], encrypted[PATHS + 16], decrypted[PATHS + 16], newer[TEXT], line[200];
    snprintf(program, sizeof(program), "%s/holdfastd", t->bin);
    snprintf(encrypted, sizeof(encrypted), "%s/holdfastd.hf", t->dir);
    snprintf(decrypted, sizeof(decrypted), "%s/holdfastd.back", t->dir);
    if (!post_only(t, CLI_PATH("transit/keys/", "payments", "*/rotate"), NULL, NULL))
        return wrong(t, "rotating failed");
    if (!copy_file_job(t, encrypted, decrypted, false) || !same_files(program, decrypted))
        return wrong(t, "the file encrypted before does not come back");
    say(t, CLI_GOOD, "the file encrypted under version 1 decrypts, byte for byte");
    if (!encrypt_small(t, newer, sizeof(newer)) || strncmp(newer, "vault:v2:", 9) != 0)
        return wrong(t, "new data is not encrypted under version 2");
    snprintf(line, sizeof(line), "new data goes under version 2: %.40s...", newer);
    say(t, CLI_GOOD, line);
    struct cli_answer answer;
    if (!post(t, CLI_PATH("transit/rewrap/", "payments"), "ciphertext", t->ciphertext, &answer))
        return wrong(t, "rewrapping failed");
    copy_text(newer, sizeof(newer), hf_tree_get(&answer.data, "ciphertext").body);
    cli_answer_done(&answer);
    if (strncmp(newer, "vault:v2:", 9) != 0)
        return wrong(t, "rewrapping did not bring it to version 2");
    say(t, CLI_GOOD, "the old ciphertext is rewrapped to version 2; its plaintext never left the core");
    return true;
}

static bool export_key(struct tour *t)
{
    struct cli_answer answer;
    if (cli_call(t->cli, "GET", CLI_PATH("transit/export/encryption-key/", "payments", "*/2"), NULL,
                 &answer) != CLI_OK)
        return false;
    struct hf_tree keys = hf_tree_get(&answer.data, "keys");
    struct hf_tree two = hf_tree_get(&keys, "2");
    struct hf_buf out = hf_buf(t->key, sizeof(t->key));
    hf_result decoded = hf_base64_decode(&out, two.body);
    cli_answer_done(&answer);
    return HF_IS_OK(decoded) && out.len == sizeof(t->key);
}

struct fetched {
    uint8_t *bytes;
    size_t len;
};

static bool fetch_audit(struct tour *t, struct fetched *checkpoint, struct fetched *keys,
                        struct fetched *export_bytes)
{
    struct {
        const char *path;
        struct fetched *to;
    } wanted[] = {
        {"audit/checkpoint?fresh=true", checkpoint}, {"audit/vkeys", keys}, {"audit/export", export_bytes}};
    for (size_t i = 0; i < HF_ARRAY_LEN(wanted); i++) {
        struct cli_answer answer;
        if (cli_call(t->cli, "GET", CLI_PATH(wanted[i].path), NULL, &answer) != CLI_OK)
            return false;
        wanted[i].to->bytes = (uint8_t *)TAKE(answer.raw);
        wanted[i].to->len = answer.raw_len;
        cli_answer_done(&answer);
    }
    return true;
}

static bool verdict_of(const struct fetched *export_bytes, const struct fetched *checkpoint,
                       const struct fetched *keys, struct hf_export_verdict *ret)
{
    struct cli_audit_keys opened;
    if (!HF_IS_OK(cli_audit_keys_open(hf_cursor(keys->bytes, keys->len), &opened)))
        return false;
    hf_result checked = hf_export_verify(hf_cursor(export_bytes->bytes, export_bytes->len),
                                         hf_cursor(checkpoint->bytes, checkpoint->len), &opened.signer, ret);
    cli_audit_keys_done(&opened);
    return HF_IS_OK(checked);
}

static bool do_audit(struct tour *t)
{
    step(t, "The audit log: prove one entry, and catch a changed byte");
    struct fetched checkpoint = {0}, keys = {0}, log = {0};
    struct cli_answer proof;
    char path[200], line[240];
    bool good = fetch_audit(t, &checkpoint, &keys, &log);
    snprintf(path, sizeof(path), "*?request_id=%s", t->request_id);
    if (good && cli_call(t->cli, "GET", CLI_PATH("audit/proof/inclusion", path), NULL, &proof) == CLI_OK) {
        say(t, CLI_GOOD,
            "a C2SP .tlog-proof that this encryption is in the log, for anyone to check offline:");
        struct hf_tree proof_text = hf_tree_get(&proof.data, "proof");
        char shown_text[1024];
        copy_text(shown_text, sizeof(shown_text), proof_text.body);
        const char *text = shown_text;
        for (int shown = 0; shown < 4 && text != NULL && *text != '\0'; shown++) {
            size_t len = strcspn(text, "\n");
            snprintf(line, sizeof(line), "  %.*s", (int)HF_MIN(len, (size_t)100), text);
            say(t, CLI_DIM, line);
            text = text[len] == '\n' ? text + len + 1 : NULL;
        }
        cli_answer_done(&proof);
    } else {
        good = false;
    }
    struct hf_export_verdict verdict;
    if (good && verdict_of(&log, &checkpoint, &keys, &verdict) && verdict.ok) {
        snprintf(line, sizeof(line),
                 "%llu entries verified against a checkpoint signed by Ed25519 and ML-DSA-44",
                 (unsigned long long)verdict.entries);
        say(t, CLI_GOOD, line);
    } else {
        good = false;
    }
    if (good) {
        log.bytes[log.len / 2] ^= 1;
        good = verdict_of(&log, &checkpoint, &keys, &verdict) && !verdict.ok;
        if (good) {
            struct hf_buf text = hf_buf(line, sizeof(line) - 1);
            hf_buf_text(&text, "one bit changed in a copy: ");
            hf_export_finding_text(&text, &verdict.findings[0]);
            line[text.len] = '\0';
            say(t, CLI_GOOD, line);
        }
    }
    free(checkpoint.bytes);
    free(keys.bytes);
    free(log.bytes);
    return good || wrong(t, "the audit log could not be shown to hold");
}

static bool dump_and_scan(struct tour *t, struct hf_scan *scan, int pid)
{
    char core[PATHS + 32], name[32];
    snprintf(core, sizeof(core), "%s/core", t->dir);
    snprintf(name, sizeof(name), "%d", pid);
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp("gcore", "gcore", "-o", core, name, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return false;
    snprintf(core, sizeof(core), "%s/core.%d", t->dir, pid);
    bool scanned = HF_IS_OK(hf_scan_file(scan, core));
    unlink(core);
    return scanned;
}

static bool control_finds_it(struct tour *t)
{
    struct hf_scan scan;
    uint8_t planted[96] = {0};
    if (!HF_IS_OK(hf_scan_for(&scan, hf_cursor(t->key, sizeof(t->key)))))
        return false;
    memcpy(planted + 17, t->key, sizeof(t->key));
    hf_scan_bytes(&scan, hf_cursor(planted, sizeof(planted)));
    hf_wipe(planted, sizeof(planted));
    return scan.found != 0;
}

static bool do_scan(struct tour *t)
{
    enum { PIDS = 80 };
    step(t, "Look for the key's bytes in every process's memory and core dump");
    if (!export_key(t))
        return wrong(t, "the key's bytes could not be exported for the search");
    if (!control_finds_it(t))
        return wrong(t, "the search does not find a planted key");
    say(t, CLI_PLAIN,
        "by the audited export this tour knows the key: it seeks bytes, hex, base64, AES round keys");
    int pids[PIDS], count = server_processes(t, pids, PIDS);
    uint64_t searched = 0;
    unsigned refused = 0, dumped = 0;
    struct cli_progress progress;
    cli_progress_begin(&progress, "searching", 0);
    for (int i = 0; i < count; i++) {
        struct hf_scan scan;
        char role[64], line[200];
        if (!HF_IS_OK(hf_scan_for(&scan, hf_cursor(t->key, sizeof(t->key)))))
            return false;
        hf_result looked = hf_scan_process(&scan, pids[i]);
        if (looked.code == HF_DENIED)
            refused++;
        else if (HF_IS_OK(looked) && dump_and_scan(t, &scan, pids[i]))
            dumped++;
        searched += scan.bytes_searched;
        cli_progress_add(&progress, scan.bytes_searched);
        if (scan.found != 0) {
            snprintf(line, sizeof(line), "FOUND in %s, as %s", process_role(pids[i], role, sizeof(role)),
                     scan.found_as);
            return wrong(t, line);
        }
    }
    cli_progress_end(&progress);
    char line[240];
    if (refused == (unsigned)count)
        snprintf(line, sizeof(line),
                 "the kernel does not even let you look into the %d processes; run as root to search them",
                 count);
    else
        snprintf(
            line, sizeof(line),
            "%d processes, %u core dumps, %.0f MiB searched: nothing. A copy planted for control was found.",
            count, dumped, (double)searched / 1048576);
    say(t, CLI_GOOD, line);
    if (dumped == 0 && refused != (unsigned)count)
        say(t, CLI_DIM, "no core dumps: gcore (Debian's gdb) is not installed here");
    return true;
}

static bool do_seal(struct tour *t)
{
    step(t, "Seal: every key out of memory, and every request refused");
    if (!post_only(t, CLI_PATH("sys/seal"), NULL, NULL))
        return wrong(t, "sealing failed");
    struct cli_body body;
    struct cli_answer answer;
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return false;
    hf_tw_k_text(&body.w, "ciphertext", t->ciphertext);
    int done = cli_call_quiet(t->cli, "POST", CLI_PATH("transit/decrypt/", "payments"), &body, &answer);
    cli_body_done(&body);
    int status = answer.status;
    cli_answer_done(&answer);
    if (done != CLI_OK || status != 503)
        return wrong(t, "a sealed server answered");
    say(t, CLI_GOOD, "decrypt: 503, sealed. What is on disk is of no use without three shares.");
    return true;
}

static bool chapter_first(struct tour *t)
{
    return do_init(t) && do_unseal(t) && do_key(t) && do_encrypt(t) && do_rotate(t) && do_audit(t) &&
           do_scan(t) && do_seal(t);
}

/* ---- chapters ---- */

static const struct {
    const char *name, *about;
    bool (*run)(struct tour *t);
} chapters[] = {
    {"first", "init, unseal, encrypt a file, rotate, prove, search memory, seal", chapter_first},
};

static void next_commands(struct tour *t)
{
    bool sealed = true;
    for (int i = 0; i < THRESHOLD && sealed; i++)
        if (!offer(t, t->shares[i], &sealed))
            break;
    cli_say(t->cli, CLI_BOLD,
            "\nThe server is unsealed again and stays up till Ctrl-C. In another terminal:\n\n");
    printf("  . %s/env && export HOLDFAST_TOKEN=%s\n", t->dir, t->root_token);
    printf("  export PATH=%s:$PATH\n\n", t->bin);
    puts(
        "  holdfast key create orders --type hybrid     # signing key, ML-DSA-65+Ed25519\n"
        "  echo hello | holdfast sign orders\n"
        "  holdfast encrypt payments --in README.md --out /tmp/readme.hf\n"
        "  holdfast decrypt --in /tmp/readme.hf | head -3\n"
        "  holdfast posture\n"
        "  holdfast audit tail\n"
        "  curl --cacert $HOLDFAST_CACERT -H \"X-Vault-Token: $HOLDFAST_TOKEN\" $HOLDFAST_ADDR/v1/transit/keys/payments");
    fflush(stdout);
    while (!interrupted && waitpid(t->server, NULL, WNOHANG) == 0)
        poll(NULL, 0, 200);
}

static int run_tour(struct tour *t, bool (*run)(struct tour *), const char *port)
{
    if (!find_own_folder(t) || !make_folder(t))
        return CLI_FAILED;
    cli_say(t->cli, CLI_BOLD, "Holdfast: a tour\n");
    bool good = start_server(t, port) && read_cacert(t);
    if (good) {
        t->cli->connect.address = t->address;
        t->cli->connect.ca_file = t->cacert;
        t->cli->connect.token = NULL;
        struct hf_client *client;
        good = HF_IS_OK(cli_client(t->cli, &client)) && run(t);
    }
    if (good && t->cli->tty)
        next_commands(t);
    stop_server(t);
    remove_folder(t->dir);
    if (good)
        cli_say(t->cli, CLI_GOOD, "\nEverything shown here was done by a real server, and is gone.\n");
    return good ? CLI_OK : CLI_FAILED;
}

int cmd_tour(struct cli *cli)
{
    const char *port = cli_option(cli, "port"), *name = cli->argc > 0 ? cli->argv[0] : "first";
    if (cli_option(cli, "list") != NULL) {
        for (size_t i = 0; i < HF_ARRAY_LEN(chapters); i++)
            printf("%-12s %s\n", chapters[i].name, chapters[i].about);
        return CLI_OK;
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(chapters); i++) {
        if (strcmp(chapters[i].name, name) != 0)
            continue;
        struct sigaction act = {.sa_handler = on_interrupt};
        sigaction(SIGINT, &act, NULL);
        sigaction(SIGTERM, &act, NULL);
        struct tour tour = {.cli = cli};
        int code = run_tour(&tour, chapters[i].run, port != NULL ? port : "8200");
        hf_wipe(&tour, sizeof(tour));
        return code;
    }
    return cli_usage(cli, "no such chapter (holdfast tour --list)");
}
