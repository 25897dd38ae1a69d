/* Development mode: a server that is there at once, initialised and unsealed, for scripts and test suites. */
#ifndef HF_ROLES_DEV_H
#define HF_ROLES_DEV_H

#include "roles/control.h"

struct hf_dev_options {
    const char *listen;     /* NULL: 127.0.0.1:8200 */
    const char *directory;  /* NULL: one in the temporary directory, gone at exit */
    const char *env_file;   /* NULL: none */
    const char *root_token; /* NULL: any */
    const char *tls_cert, *tls_key;
    const char *log_level; /* NULL: info */
    bool json, plaintext, uninit;
};

enum { HF_DEV_TEXT_MAX = 8192 };
struct hf_dev {
    const struct hf_dev_options *options;
    char directory[HF_CONFIG_PATH_MAX]; /* absolute */
    bool directory_is_ours;             /* removed at exit */
    char address[320];                  /* https://127.0.0.1:8200 */
    char ca_file[HF_CONFIG_PATH_MAX];   /* "": none of ours */
    char config_text[HF_DEV_TEXT_MAX];
    size_t config_len;
    char saved_token[HF_CONTROL_TEXT_MAX];
};

/* Makes the directory, and certificates where none are given. listener: host and port as they are bound. On failure
 * has complained. */
hf_result hf_dev_prepare(const struct hf_dev_options *options, const struct hf_config_listener *listener,
                         uint16_t port, struct hf_dev *ret_dev);
/* Fills what the core is to be asked for: with the token and the shares of an earlier run, if there was one. */
void hf_dev_request(struct hf_dev *dev, struct hf_control *ret_message);
/* Keeps the shares in the directory, writes the environment file, and says on standard output that all is ready.
 * done: DEV_DONE, or NULL for a server that stays uninitialised. */
hf_result hf_dev_ready(struct hf_dev *dev, const struct hf_control *done);
/* Removes the directory if it is ours. */
void hf_dev_end(struct hf_dev *dev);

#endif
