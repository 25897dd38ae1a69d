/* holdfastd: what is asked for on the command line; and, started by the supervisor, one of its roles. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cpu.h"
#include "crypto/crypto.h"
#include "roles/sandbox.h"
#include "roles/say.h"
#include "roles/supervisor.h"

enum { EXIT_USAGE = 2, ROLE_CONTROL_FD = 3, MALLOC_ARENAS = 1 };

static const char default_config[] = "/etc/holdfast/holdfast.hcl";

static const char help[] =
    "holdfastd, the Holdfast key-management server\n"
    "\n"
    "  holdfastd [--config FILE]      serve; FILE is /etc/holdfast/holdfast.hcl where none is named\n"
    "  holdfastd --check [FILE]       say whether FILE is right, and where it is not\n"
    "  holdfastd --dev [OPTIONS]      a development server: initialised, unsealed, not for production\n"
    "      --listen ADDRESS:PORT      127.0.0.1:8200; port 0 takes a free one\n"
    "      --dir DIRECTORY            keep its state there; else it is gone at exit\n"
    "      --env-file FILE            write export lines for clients into FILE\n"
    "      --json                     say on one line of JSON when it is ready, with token and shares\n"
    "      --dev-root-token TOKEN     use this root token\n"
    "      --dev-plaintext            plain HTTP, on loopback only\n"
    "      --tls-cert FILE --tls-key FILE\n"
    "                                 use this certificate instead of one of its own making\n"
    "      --dev-uninit               leave it uninitialised\n"
    "      --log-level LEVEL          debug, info, warn or error\n"
    "  holdfastd --version\n"
    "\n"
    "SIGTERM stops it gracefully, SIGHUP reads the certificates again. See holdfastd(8).\n";

/* ---- roles ---- */

typedef int (*role_main)(const struct hf_role_args *args);

static hf_result prepare_role(struct hf_role_args *args)
{
#ifndef HF_SANITIZE /* whose allocator is another */
    /* With more than one, the C library opens files where none can be opened any more: to count the CPUs when threads
     * contend, and /proc/sys/vm/overcommit_memory when it gives an arena's end back. */
    if (mallopt(M_ARENA_MAX, MALLOC_ARENAS) != 1)
        return HF_FAIL(SYSTEM);
#endif
    hf_sandbox_limits(args);
    if (args->role == HF_ROLE_CORE) {
        hf_result opened = hf_secret_arena_open((size_t)args->config->secret_memory_bytes,
                                                args->config->level == HF_LEVEL_HARDENED);
        if (!HF_IS_OK(opened)) {
            struct hf_secret_report report;
            hf_secret_arena_report(&report);
            hf_log(HF_LOG_ERROR, "core.secret_memory", hf_f("result", opened),
                   hf_f("why", (const char *)report.why_not));
            return opened;
        }
        TRY(hf_crypto_start(HF_CRYPTO_HEAP_ARENA));
    } else if (args->role == HF_ROLE_FRONT) {
        TRY(hf_crypto_start(HF_CRYPTO_HEAP_WIPE));
    }
    return hf_sandbox_enter(args);
}

static int run_role(const char *name)
{
    static const role_main mains[HF_ROLE_COUNT] = {
        [HF_ROLE_FRONT] = hf_role_front, [HF_ROLE_CORE] = hf_role_core, [HF_ROLE_STORE] = hf_role_store};
    static struct hf_role_args args;
    static struct hf_config config;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* set again after the change of user, which clears it */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)fcntl(ROLE_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    enum hf_role role = HF_ROLE_COUNT;
    for (int i = HF_ROLE_FRONT; i < HF_ROLE_COUNT; i++)
        if (strcmp(name, hf_role_name((enum hf_role)i)) == 0)
            role = (enum hf_role)i;
    if (role == HF_ROLE_COUNT || !HF_IS_OK(hf_control_start_recv(ROLE_CONTROL_FD, &args, &config)) ||
        args.role != role) {
        hf_complain("--role is for the supervisor to use", NULL);
        return EXIT_USAGE;
    }
    args.log_fd = STDERR_FILENO;
    char process_name[16] = "hf-"; /* as ps shows it */
    memcpy(process_name + 3, name, strnlen(name, sizeof(process_name) - 4));
    (void)prctl(PR_SET_NAME, process_name, 0, 0, 0);
    hf_log_setup(STDERR_FILENO, config.log_level, hf_role_name(role));
    hf_result prepared = prepare_role(&args);
    if (!HF_IS_OK(prepared)) {
        hf_log(HF_LOG_ERROR, "role.start", hf_f("result", prepared));
        return 1;
    }
    return mains[role](&args);
}

/* ---- configuration ---- */

static hf_result read_config(const char *path, struct hf_cursor *ret_text)
{
    static char text[HF_CONFIG_TEXT_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t len = 0;
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && len < sizeof(text)) {
        got = read(fd, text + len, sizeof(text) - len);
        len += got > 0 ? (size_t)got : 0;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        hf_complain(path, ": ", strerrordesc_np(why), NULL);
        return HF_FAIL(CONFIG);
    }
    *ret_text = hf_cursor(text, len);
    return HF_DONE;
}

/* FILE:LINE:COLUMN: reason */
static void complain_config(const char *path, const struct hf_config_error *error)
{
    char text[64];
    struct hf_buf out = hf_buf(text, sizeof(text) - 1);
    if (error->line != 0) {
        hf_buf_text(&out, ":");
        hf_buf_decimal(&out, error->line);
        hf_buf_text(&out, ":");
        hf_buf_decimal(&out, error->column);
    }
    text[out.len] = 0;
    hf_say(STDERR_FILENO, path, text, ": ", error->reason, "\n", NULL);
}

static hf_result load_config(const char *path, struct hf_config *config, struct hf_cursor *ret_text)
{
    struct hf_config_errors errors;
    TRY(read_config(path, ret_text));
    hf_result parsed = hf_config_check(*ret_text, config, &errors);
    for (uint32_t i = 0; !HF_IS_OK(parsed) && i < errors.count; i++)
        complain_config(path, &errors.at[i]);
    if (!HF_IS_OK(parsed) && errors.more)
        hf_complain(path, ": there are more errors", NULL);
    return parsed;
}

static int check_config(const char *path)
{
    static struct hf_config config;
    struct hf_cursor text;
    if (!HF_IS_OK(load_config(path, &config, &text)))
        return 1;
    hf_say(STDOUT_FILENO, path, ": right\n", NULL);
    return 0;
}

/* ---- serving ---- */

static uint32_t front_count(const struct hf_config *config)
{
    uint32_t wanted = config->fronts != 0 ? config->fronts : hf_cpu_count();
    return HF_MIN(wanted, (uint32_t)HF_CONFIG_FRONTS_MAX);
}

static int serve(const char *path)
{
    static struct hf_supervisor_setup setup;
    static struct hf_listen listen;
    char reason[320];
    setup.config_file = path;
    setup.listen = &listen;
    if (!HF_IS_OK(load_config(path, &setup.config, &setup.config_text)))
        return 1;
    hf_log_setup(STDERR_FILENO, setup.config.log_level, hf_role_name(HF_ROLE_SUPERVISOR));
    if (!HF_IS_OK(hf_listen_open(setup.config.listeners, setup.config.listener_count,
                                 front_count(&setup.config), &listen, reason))) {
        hf_complain(reason, NULL);
        return 1;
    }
    return hf_supervisor_run(&setup);
}

static int serve_dev(const struct hf_dev_options *options)
{
    static struct hf_supervisor_setup setup;
    static struct hf_listen listen;
    static struct hf_dev dev;
    struct hf_config_listener listener = {0};
    struct hf_config_error error = {0};
    char reason[320];
    hf_config_defaults(&setup.config);
    if (!HF_IS_OK(
            hf_config_address(hf_cursor_text(options->listen != NULL ? options->listen : "127.0.0.1:8200"),
                              &listener, &error))) {
        hf_complain("--listen: ", error.reason, NULL);
        return EXIT_USAGE;
    }
    if (options->plaintext && !hf_config_is_loopback(&listener)) {
        hf_complain("plain HTTP is served on loopback only, not on ", listener.address, NULL);
        return EXIT_USAGE;
    }
    hf_log_setup(STDERR_FILENO, HF_LOG_INFO, hf_role_name(HF_ROLE_SUPERVISOR));
    if (!HF_IS_OK(hf_listen_open(&listener, 1, front_count(&setup.config), &listen, reason))) {
        hf_complain(reason, NULL);
        return 1;
    }
    setup.listen = &listen;
    setup.dev = &dev;
    int status = 1;
    if (HF_IS_OK(hf_dev_prepare(options, &listener, listen.ports[0], &dev))) {
        setup.config_text = hf_cursor(dev.config_text, dev.config_len);
        if (HF_IS_OK(hf_config_parse(setup.config_text, &setup.config, &error))) {
            setup.config.dev = true;
            hf_log_setup(STDERR_FILENO, setup.config.log_level, hf_role_name(HF_ROLE_SUPERVISOR));
            status = hf_supervisor_run(&setup);
        } else {
            hf_complain(error.reason, NULL);
        }
    }
    hf_dev_end(&dev);
    return status;
}

/* ---- the command line ---- */

struct options {
    enum { SERVE, CHECK, DEV, ROLE } mode;
    const char *config, *role;
    bool any_dev; /* an option that only --dev has */
    struct hf_dev_options dev;
};

static int usage(const char *what, const char *about)
{
    hf_complain(what, about, " (--help says what there is)", NULL);
    return EXIT_USAGE;
}

static bool is_on(const char *argument, const char *option)
{
    return strcmp(argument, option) == 0;
}

/* Gives -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct options *options)
{
    const struct {
        const char *name;
        const char **into;
        bool dev;
    } with_value[] = {
        {"--config", &options->config, false},          {"--role", &options->role, false},
        {"--listen", &options->dev.listen, true},       {"--dir", &options->dev.directory, true},
        {"--env-file", &options->dev.env_file, true},   {"--dev-root-token", &options->dev.root_token, true},
        {"--tls-cert", &options->dev.tls_cert, true},   {"--tls-key", &options->dev.tls_key, true},
        {"--log-level", &options->dev.log_level, true},
    };
    const struct {
        const char *name;
        bool *into;
    } switches[] = {
        {"--json", &options->dev.json},
        {"--dev-plaintext", &options->dev.plaintext},
        {"--dev-uninit", &options->dev.uninit},
    };
    for (int i = 1; i < argc; i++) {
        bool known = false;
        if (is_on(argv[i], "--help") || is_on(argv[i], "-h")) {
            hf_say(STDOUT_FILENO, help, NULL);
            return 0;
        }
        if (is_on(argv[i], "--version")) {
            hf_say(STDOUT_FILENO, "holdfastd " HF_VERSION " (", hf_crypto_version(), ")\n", NULL);
            return 0;
        }
        if (is_on(argv[i], "--dev")) {
            options->mode = DEV;
            known = true;
        } else if (is_on(argv[i], "--check")) {
            options->mode = CHECK;
            known = true;
            if (i + 1 < argc && argv[i + 1][0] != '-')
                options->config = argv[++i];
        }
        for (size_t j = 0; j < HF_ARRAY_LEN(switches) && !known; j++)
            if ((known = is_on(argv[i], switches[j].name)))
                *switches[j].into = options->any_dev = true;
        for (size_t j = 0; j < HF_ARRAY_LEN(with_value) && !known; j++) {
            if (!(known = is_on(argv[i], with_value[j].name)))
                continue;
            if (i + 1 == argc)
                return usage(argv[i], " needs a value");
            *with_value[j].into = argv[++i];
            options->any_dev |= with_value[j].dev;
        }
        if (!known)
            return usage("unknown option ", argv[i]);
    }
    return -1;
}

static int run(int argc, char **argv)
{
    static struct options options;
    int status = parse(argc, argv, &options);
    if (status >= 0)
        return status;
    if (options.role != NULL)
        return run_role(options.role);
    if (options.mode != DEV && options.any_dev)
        return usage("these options go with --dev", "");
    if (options.mode == DEV && options.config != NULL)
        return usage("--config does not go with --dev", "");
    if ((options.dev.tls_cert == NULL) != (options.dev.tls_key == NULL))
        return usage("--tls-cert and --tls-key go together", "");
    if (options.dev.tls_cert != NULL && options.dev.plaintext)
        return usage("--dev-plaintext does not go with --tls-cert", "");
    if (options.dev.root_token != NULL && strlen(options.dev.root_token) >= HF_CONTROL_TEXT_MAX)
        return usage("--dev-root-token is too long", "");
    const char *path = options.config != NULL ? options.config : default_config;
    return options.mode == DEV     ? serve_dev(&options.dev)
           : options.mode == CHECK ? check_config(path)
                                   : serve(path);
}

int main(int argc, char **argv)
{
    /* Nothing that is opened later may take the place of a standard descriptor. */
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return 1;
    return run(argc, argv);
}
