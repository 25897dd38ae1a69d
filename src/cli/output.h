/* Where a command's output goes: a file that takes its name only when all of it is good, or something that is no file
 * (a device, a pipe), which is written as it is and never replaced. */
#ifndef HF_CLI_OUTPUT_H
#define HF_CLI_OUTPUT_H

#include <stdbool.h>

enum { CLI_PATH_MAX = 4096 };

struct cli_output {
    int fd;
    bool direct;  /* written as it is; else under `partial` first */
    bool replace; /* a file that is there is replaced at the end */
    char path[CLI_PATH_MAX], partial[CLI_PATH_MAX + 16];
};
/* Symbolic links are followed: what they point to is what is written, and the link stays; one that points to nothing is
 * refused, and so is a file that is there, unless `replace`. False after an error message. */
bool cli_output_open(const char *name, bool replace, struct cli_output *ret_out);
/* Gives the file its name where code is CLI_OK and it is on the disk; else nothing is left of it. Gives the exit code. */
int cli_output_close(struct cli_output *out, int code);

#endif
