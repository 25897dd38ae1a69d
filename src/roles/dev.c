#include "roles/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/x509.h"
#include "roles/say.h"

enum {
    PEM_MAX = 8192,
    CERT_DAYS = 365,
    CERT_FRESH_SECONDS = 300 * 86400, /* a certificate older than this is made anew */
    FILE_MAX = 4096,
    REMOVE_DEPTH = 8,
};

static const char keys_file[] = "/dev-keys"; /* token and shares of a development server: mode 0600 */

static bool join(char ret[static HF_CONFIG_PATH_MAX], const char *directory, const char *name)
{
    struct hf_buf out = hf_buf(ret, HF_CONFIG_PATH_MAX - 1);
    hf_buf_text(&out, directory);
    hf_buf_text(&out, name);
    ret[out.len] = 0;
    return !out.overflow;
}

/* ---- directory ---- */

static hf_result make_directory(struct hf_dev *dev)
{
    if (dev->options->directory == NULL) {
        const char *base = getenv("TMPDIR");
        char path[HF_CONFIG_PATH_MAX];
        if (!join(path, base != NULL && base[0] == '/' ? base : "/tmp", "/holdfast-dev-XXXXXX") ||
            mkdtemp(path) == NULL) {
            hf_complain("cannot make a directory in ", base != NULL ? base : "/tmp", NULL);
            return HF_FAIL(SYSTEM);
        }
        dev->directory_is_ours = true;
        memcpy(dev->directory, path, sizeof(path));
        return HF_DONE;
    }
    char path[HF_CONFIG_PATH_MAX];
    if (!join(path, dev->options->directory, "") || (mkdir(path, 0700) != 0 && errno != EEXIST)) {
        hf_complain(dev->options->directory, ": cannot be made: ", strerrordesc_np(errno), NULL);
        return HF_FAIL(SYSTEM);
    }
    char *real = realpath(path, NULL);
    bool good = real != NULL && join(dev->directory, real, "");
    free(real);
    if (!good)
        hf_complain(dev->options->directory, ": not a directory that can be used", NULL);
    return good ? HF_DONE : HF_FAIL(SYSTEM);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)where;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

void hf_dev_end(struct hf_dev *dev)
{
    if (dev->directory_is_ours && dev->directory[0] == '/')
        (void)nftw(dev->directory, remove_one, REMOVE_DEPTH, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* ---- files ---- */

/* A new file in the place of any old one, whole or not at all. */
static hf_result write_file(const char *path, struct hf_cursor bytes, mode_t mode)
{
    char fresh[HF_CONFIG_PATH_MAX];
    if (!join(fresh, path, ".new"))
        return HF_FAIL(TOO_LARGE);
    (void)unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return HF_FAIL(SYSTEM);
    hf_result result = hf_write_all(fd, bytes);
    if (close(fd) != 0 || (HF_IS_OK(result) && rename(fresh, path) != 0))
        result = HF_FAIL(SYSTEM);
    if (!HF_IS_OK(result))
        (void)unlink(fresh);
    return result;
}

static size_t read_file(const char *path, char ret_text[static FILE_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, ret_text, FILE_MAX - 1);
    close(fd);
    ret_text[len > 0 ? len : 0] = 0;
    return len > 0 ? (size_t)len : 0;
}

/* ---- certificates ---- */

/* In a process of its own, so that neither the library nor the key is ever in the supervisor. */
static int make_certificates(const char *host, const char *ca_file, const char *cert_file,
                             const char *key_file)
{
    static char ca[PEM_MAX], cert[PEM_MAX], key[PEM_MAX];
    struct hf_buf ca_out = hf_buf(ca, sizeof(ca)), cert_out = hf_buf(cert, sizeof(cert)),
                  key_out = hf_buf(key, sizeof(key));
    const char *const names[] = {"localhost", "127.0.0.1", "::1", host};
    bool more = host[0] != 0 && strcmp(host, "localhost") != 0 && strcmp(host, "127.0.0.1") != 0 &&
                strcmp(host, "::1") != 0;
    const struct hf_x509_request request = {
        .common_name = "localhost", .names = names, .name_count = more ? 4 : 3, .days = CERT_DAYS};
    hf_result result = hf_crypto_start(HF_CRYPTO_HEAP_WIPE);
    if (HF_IS_OK(result))
        result = hf_x509_self_signed(&request, &ca_out, &cert_out, &key_out);
    if (HF_IS_OK(result))
        result = write_file(key_file, hf_buf_cursor(&key_out), 0600);
    if (HF_IS_OK(result))
        result = write_file(cert_file, hf_buf_cursor(&cert_out), 0644);
    if (HF_IS_OK(result))
        result = write_file(ca_file, hf_buf_cursor(&ca_out), 0644);
    hf_wipe(key, sizeof(key));
    return HF_IS_OK(result) ? 0 : 1;
}

static bool is_fresh(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && info.st_mtime > time(NULL) - CERT_FRESH_SECONDS;
}

static hf_result prepare_certificates(struct hf_dev *dev, const char *host,
                                      char cert_file[static HF_CONFIG_PATH_MAX],
                                      char key_file[static HF_CONFIG_PATH_MAX])
{
    if (!join(dev->ca_file, dev->directory, "/ca.pem") || !join(cert_file, dev->directory, "/server.pem") ||
        !join(key_file, dev->directory, "/server.key"))
        return HF_FAIL(TOO_LARGE);
    if (is_fresh(dev->ca_file) && is_fresh(cert_file) && is_fresh(key_file))
        return HF_DONE;
    pid_t child = fork();
    if (child == 0)
        _exit(make_certificates(host, dev->ca_file, cert_file, key_file));
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        hf_complain("cannot make certificates in ", dev->directory, NULL);
        return HF_FAIL(SYSTEM);
    }
    return HF_DONE;
}

/* ---- configuration ---- */

static void put_quoted(struct hf_buf *out, const char *text)
{
    hf_buf_u8(out, '"');
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\')
            hf_buf_u8(out, '\\');
        hf_buf_u8(out, (uint8_t)*text);
    }
    hf_buf_u8(out, '"');
}

static void put_pair(struct hf_buf *out, const char *key, const char *value)
{
    hf_buf_text(out, key);
    hf_buf_text(out, " = ");
    put_quoted(out, value);
    hf_buf_text(out, "\n");
}

hf_result hf_dev_prepare(const struct hf_dev_options *options, const struct hf_config_listener *listener,
                         uint16_t port, struct hf_dev *ret_dev)
{
    struct hf_dev *dev = ret_dev;
    *dev = (struct hf_dev){.options = options};
    TRY(make_directory(dev));

    bool v6 = strchr(listener->host, ':') != NULL;
    struct hf_buf out = hf_buf(dev->address, sizeof(dev->address) - 1);
    hf_buf_text(&out, options->plaintext ? "http://" : "https://");
    hf_buf_text(&out, v6 ? "[" : "");
    hf_buf_text(&out, listener->host[0] == 0 ? "localhost" : listener->host);
    hf_buf_text(&out, v6 ? "]:" : ":");
    hf_buf_decimal(&out, port);
    dev->address[out.len] = 0;

    char cert_file[HF_CONFIG_PATH_MAX], key_file[HF_CONFIG_PATH_MAX], database[HF_CONFIG_PATH_MAX];
    if (!join(database, dev->directory, "/holdfast.db"))
        return HF_FAIL(TOO_LARGE);
    if (options->tls_cert != NULL) {
        if (!join(cert_file, options->tls_cert, "") || !join(key_file, options->tls_key, ""))
            return HF_FAIL(TOO_LARGE);
    } else if (!options->plaintext) {
        TRY(prepare_certificates(dev, listener->host, cert_file, key_file));
    }

    struct hf_buf text = hf_buf(dev->config_text, sizeof(dev->config_text));
    put_pair(&text, "level", "dev");
    put_pair(&text, "log_level", options->log_level != NULL ? options->log_level : "info");
    put_pair(&text, "cluster_name", "holdfast-dev");
    put_pair(&text, "api_addr", dev->address);
    hf_buf_text(&text, "storage \"sqlite\" {\n");
    put_pair(&text, "path", database);
    hf_buf_text(&text, "}\nlistener \"tcp\" {\n");
    put_pair(&text, "address", strchr(dev->address, '/') + 2);
    if (options->plaintext) {
        hf_buf_text(&text, "tls_disable = true\n");
    } else {
        put_pair(&text, "tls_cert_file", cert_file);
        put_pair(&text, "tls_key_file", key_file);
    }
    hf_buf_text(&text, "}\n");
    dev->config_len = text.len;
    return hf_buf_ok(&text);
}

/* ---- token and shares ---- */

static bool take_line(struct hf_cursor *in, struct hf_cursor *ret_line)
{
    const uint8_t *end = in->left == 0 ? NULL : (const uint8_t *)memchr(in->at, '\n', in->left);
    if (end == NULL)
        return false;
    return hf_cursor_take(in, (size_t)(end - in->at), ret_line) &&
           hf_cursor_take(in, 1, &(struct hf_cursor){0});
}

static bool copy_text(struct hf_cursor from, char ret[static HF_CONTROL_TEXT_MAX])
{
    if (from.left >= HF_CONTROL_TEXT_MAX)
        return false;
    memcpy(ret, from.at, from.left);
    ret[from.left] = 0;
    return true;
}

void hf_dev_request(struct hf_dev *dev, struct hf_control *ret_message)
{
    *ret_message = (struct hf_control){.kind = HF_CONTROL_DEV_INIT};
    ret_message->as.dev_init.init = true;
    if (dev->options->root_token != NULL)
        HF_IGNORE(copy_text(hf_cursor_text(dev->options->root_token), ret_message->as.dev_init.root_token)
                      ? HF_DONE
                      : HF_FAIL(TOO_LARGE),
                  "main has looked at its length");
    char path[HF_CONFIG_PATH_MAX], text[FILE_MAX];
    struct hf_cursor in = {0}, line;
    if (join(path, dev->directory, keys_file))
        in = hf_cursor(text, read_file(path, text));
    uint32_t count = 0;
    if (take_line(&in, &line))
        (void)copy_text(line, dev->saved_token);
    while (count < HF_CONTROL_DEV_SHARES && take_line(&in, &line) &&
           copy_text(line, ret_message->as.dev_init.shares[count]))
        count++;
    ret_message->as.dev_init.share_count = count;
    hf_wipe(text, sizeof(text));
}

static hf_result keep_keys(struct hf_dev *dev, const struct hf_control *done)
{
    char path[HF_CONFIG_PATH_MAX], text[FILE_MAX];
    if (!join(path, dev->directory, keys_file))
        return HF_FAIL(TOO_LARGE);
    struct hf_buf out = hf_buf(text, sizeof(text));
    hf_buf_text(&out, done->as.dev_done.root_token);
    hf_buf_text(&out, "\n");
    for (uint32_t i = 0; i < done->as.dev_done.share_count; i++) {
        hf_buf_text(&out, done->as.dev_done.shares[i]);
        hf_buf_text(&out, "\n");
    }
    hf_result result = hf_buf_ok(&out);
    if (HF_IS_OK(result))
        result = write_file(path, hf_buf_cursor(&out), 0600);
    hf_wipe(text, sizeof(text));
    return result;
}

/* For a shell: in single quotes, in which only the quote itself needs care. */
static void put_export(struct hf_buf *out, const char *name, const char *value)
{
    static const char *const prefixes[] = {"HOLDFAST_", "VAULT_"};
    for (size_t i = 0; i < HF_ARRAY_LEN(prefixes); i++) {
        hf_buf_text(out, "export ");
        hf_buf_text(out, prefixes[i]);
        hf_buf_text(out, name);
        hf_buf_text(out, "='");
        for (const char *at = value; *at != 0; at++) {
            if (*at == '\'')
                hf_buf_text(out, "'\\'");
            hf_buf_u8(out, (uint8_t)*at);
        }
        hf_buf_text(out, "'\n");
    }
}

static hf_result write_env(const struct hf_dev *dev, const char *token)
{
    char text[FILE_MAX];
    struct hf_buf out = hf_buf(text, sizeof(text));
    put_export(&out, "ADDR", dev->address);
    if (token[0] != 0)
        put_export(&out, "TOKEN", token);
    if (dev->ca_file[0] != 0)
        put_export(&out, "CACERT", dev->ca_file);
    hf_result result = hf_buf_ok(&out);
    if (HF_IS_OK(result))
        result = write_file(dev->options->env_file, hf_buf_cursor(&out), 0600);
    hf_wipe(text, sizeof(text));
    if (!HF_IS_OK(result))
        hf_complain(dev->options->env_file, ": cannot be written", NULL);
    return result;
}

static void put_json_text(struct hf_buf *out, const char *text)
{
    hf_buf_u8(out, '"');
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\')
            hf_buf_u8(out, '\\');
        if ((uint8_t)*text >= 0x20)
            hf_buf_u8(out, (uint8_t)*text);
    }
    hf_buf_u8(out, '"');
}

static void put_json(struct hf_buf *out, const struct hf_dev *dev, const char *token,
                     const char (*shares)[HF_CONTROL_TEXT_MAX], uint32_t count)
{
    hf_buf_text(out, "{\"addr\":");
    put_json_text(out, dev->address);
    hf_buf_text(out, ",\"token\":");
    put_json_text(out, token);
    hf_buf_text(out, ",\"keys\":[");
    for (uint32_t i = 0; i < count; i++) {
        hf_buf_text(out, i == 0 ? "" : ",");
        put_json_text(out, shares[i]);
    }
    hf_buf_text(out, "]}\n");
}

static void put_words(struct hf_buf *out, const struct hf_dev *dev, const char *token,
                      const char (*shares)[HF_CONTROL_TEXT_MAX], uint32_t count)
{
    hf_buf_text(out, "\nHoldfast " HF_VERSION ", development server: not for secrets that matter.\n\n");
    for (uint32_t i = 0; i < count; i++) {
        hf_buf_text(out, "  share ");
        hf_buf_decimal(out, i + 1);
        hf_buf_text(out, "     ");
        hf_buf_text(out, shares[i]);
        hf_buf_text(out, "\n");
    }
    if (count != 0)
        hf_buf_text(out, "  (any 3 unseal)\n\n");
    hf_buf_text(out, "  export HOLDFAST_ADDR=");
    hf_buf_text(out, dev->address);
    if (dev->ca_file[0] != 0) {
        hf_buf_text(out, "\n  export HOLDFAST_CACERT=");
        hf_buf_text(out, dev->ca_file);
    }
    if (token[0] != 0) {
        hf_buf_text(out, "\n  export HOLDFAST_TOKEN=");
        hf_buf_text(out, token);
    }
    hf_buf_text(out, "\n\nCtrl-C stops it.\n");
}

hf_result hf_dev_ready(struct hf_dev *dev, const struct hf_control *done)
{
    static const struct hf_control nothing;
    const struct hf_control *got = done != NULL ? done : &nothing;
    if (!HF_IS_OK((hf_result){got->as.dev_done.code})) {
        hf_complain("the server could not be ", dev->saved_token[0] != 0 ? "unsealed" : "initialised", ": ",
                    hf_code_text(got->as.dev_done.code), NULL);
        return (hf_result){got->as.dev_done.code};
    }
    if (got->as.dev_done.share_count != 0 && !HF_IS_OK(keep_keys(dev, got))) {
        hf_complain(dev->directory, ": cannot be written", NULL);
        return HF_FAIL(SYSTEM);
    }
    static struct hf_control kept; /* shares of an earlier run */
    const char(*shares)[HF_CONTROL_TEXT_MAX] = got->as.dev_done.shares;
    uint32_t count = got->as.dev_done.share_count;
    const char *token = got->as.dev_done.root_token;
    if (done != NULL && count == 0) {
        hf_dev_request(dev, &kept);
        shares = kept.as.dev_init.shares;
        count = kept.as.dev_init.share_count;
        if (token[0] == 0)
            token = dev->saved_token;
    }
    if (dev->options->env_file != NULL)
        TRY(write_env(dev, token));
    char text[FILE_MAX * 2];
    struct hf_buf out = hf_buf(text, sizeof(text));
    if (dev->options->json)
        put_json(&out, dev, token, shares, count);
    else
        put_words(&out, dev, token, shares, count);
    hf_result result = hf_buf_ok(&out);
    if (HF_IS_OK(result))
        result = hf_write_all(STDOUT_FILENO, hf_buf_cursor(&out));
    hf_wipe(text, sizeof(text));
    hf_wipe(&kept, sizeof(kept));
    return result;
}
