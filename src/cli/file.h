/* Encrypted files: a short header (format, key, version, wrapped data key) and then C2SP FLOE. docs/files.md. */
#ifndef HF_CLI_FILE_H
#define HF_CLI_FILE_H

#include "cli/cli.h"

struct cli_file_job {
    const char *mount;   /* "transit/" */
    const char *key;     /* encrypt, rewrap: its name; decrypt: NULL, the header says */
    const char *context; /* base64, for a derived key; NULL none */
    int in_fd, out_fd;   /* in is read to its end */
    uint64_t in_size;    /* for the progress bar; 0 unknown */
    bool quiet;          /* no progress bar */
    bool range;          /* decrypt: plaintext bytes [from, to) only; in_fd must be seekable */
    uint64_t from, to;
};
/* Give an exit code; errors are printed. Constant memory at any size. Decrypt writes only what was authenticated;
 * a truncated, reordered or altered file ends with CLI_INVALID. */
int cli_file_encrypt(struct cli *cli, const struct cli_file_job *job);
int cli_file_decrypt(struct cli *cli, const struct cli_file_job *job);
/* Brings the wrapped data key in the header to the key's latest version; the body is copied as it is. */
int cli_file_rewrap(struct cli *cli, const struct cli_file_job *job);

#endif
