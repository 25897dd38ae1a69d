#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

static bool refuse(const char *what, const char *name)
{
    cli_error(what, name);
    return false;
}

bool cli_output_open(const char *name, bool replace, struct cli_output *ret_out)
{
    struct stat st, link_st;
    *ret_out = (struct cli_output){.fd = -1, .replace = replace};
    bool there = stat(name, &st) == 0;
    if (!there && errno != ENOENT)
        return refuse(strerror(errno), name);
    if (!there && lstat(name, &link_st) == 0)
        return refuse("a symbolic link that points to nothing", name);
    if (there && !S_ISREG(st.st_mode)) {
        ret_out->direct = true;
        ret_out->fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return ret_out->fd >= 0 || refuse(strerror(errno), name);
    }
    if (there && !replace)
        return refuse("a file is there already; --force replaces it", name);
    char *real = there ? realpath(name, NULL) : strdup(name);
    if (real == NULL)
        return refuse(strerror(errno), name);
    bool fits = strlen(real) < sizeof(ret_out->path);
    if (fits) {
        snprintf(ret_out->path, sizeof(ret_out->path), "%s", real);
        snprintf(ret_out->partial, sizeof(ret_out->partial), "%s.partial-XXXXXX", real);
    }
    free(real);
    if (!fits)
        return refuse("the path is too long", name);
    ret_out->fd = mkostemp(ret_out->partial, O_CLOEXEC); /* 0600 */
    return ret_out->fd >= 0 || refuse(strerror(errno), name);
}

/* Not all file systems know how to rename without replacing; all that do not can link. */
static bool take_name(const struct cli_output *out)
{
    if (out->replace)
        return rename(out->partial, out->path) == 0;
    if (renameat2(AT_FDCWD, out->partial, AT_FDCWD, out->path, RENAME_NOREPLACE) == 0)
        return true;
    return (errno == EINVAL || errno == ENOSYS) && link(out->partial, out->path) == 0 &&
           unlink(out->partial) == 0;
}

static bool sync_folder(const char *path)
{
    char folder[CLI_PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
             slash == NULL ? "." : path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES; /* may be written to, not read: then it cannot be asked for */
    bool synced = fsync(fd) == 0 || errno == EINVAL;
    close(fd);
    return synced;
}

int cli_output_close(struct cli_output *out, int code)
{
    bool good = fsync(out->fd) == 0 || (out->direct && (errno == EINVAL || errno == EROFS));
    good = close(out->fd) == 0 && good && code == CLI_OK;
    out->fd = -1;
    if (!out->direct) {
        good = good && take_name(out) && sync_folder(out->path);
        if (!good)
            unlink(out->partial);
    }
    if (!good && code == CLI_OK) {
        cli_error(errno == EEXIST ? "a file has come to be there; it was not replaced" : "cannot write",
                  out->direct ? NULL : out->path);
        return CLI_FAILED;
    }
    return code;
}
