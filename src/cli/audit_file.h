/* The public keys of an audit log, from the text that `audit/vkeys` gives: one C2SP verifier key a line. */
#ifndef HF_CLI_AUDIT_FILE_H
#define HF_CLI_AUDIT_FILE_H

#include "tlog/tlog.h"

struct cli_audit_keys {
    struct hf_tlog_signer signer; /* borrows from here and from the text */
    struct hf_pkey *ed25519, *mldsa44;
};
/* Both kinds must be there. Fails: BAD_ARGUMENT, BAD_SIGNATURE. text must outlive ret. */
hf_result cli_audit_keys_open(struct hf_cursor text, struct cli_audit_keys *ret);
void cli_audit_keys_done(struct cli_audit_keys *keys);

struct cli;
/* `audit tail` and `audit prove` with --export: no server is asked. */
int cli_audit_tail_offline(struct cli *cli);
int cli_audit_prove_offline(struct cli *cli);
/* path NULL or "-": standard output. */
bool cli_audit_write(const char *path, const void *bytes, size_t len, const char *mode);

#endif
