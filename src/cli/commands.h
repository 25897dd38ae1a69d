/* What the command table names, by the file that holds it. */
#ifndef HF_CLI_COMMANDS_H
#define HF_CLI_COMMANDS_H

#include "cli/cli.h"

/* cmd_operator.c: the server's life */
int cmd_init(struct cli *cli);
int cmd_unseal(struct cli *cli);
int cmd_seal(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_posture(struct cli *cli);
int cmd_rekey(struct cli *cli);
int cmd_generate_root(struct cli *cli);
int cmd_mount_enable(struct cli *cli);
int cmd_mount_disable(struct cli *cli);
int cmd_mount_list(struct cli *cli);
int cmd_metrics(struct cli *cli);

/* cmd_key.c */
int cmd_key_create(struct cli *cli);
int cmd_key_list(struct cli *cli);
int cmd_key_read(struct cli *cli);
int cmd_key_rotate(struct cli *cli);
int cmd_key_config(struct cli *cli);
int cmd_key_trim(struct cli *cli);
int cmd_key_delete(struct cli *cli);
int cmd_key_version(struct cli *cli);
int cmd_sign(struct cli *cli);
int cmd_verify(struct cli *cli);
int cmd_rewrap(struct cli *cli);
int cmd_random(struct cli *cli);

/* cmd_file.c: files and pipes of any size */
int cmd_encrypt(struct cli *cli);
int cmd_decrypt(struct cli *cli);

/* cmd_policy.c: policies, tokens, logins */
int cmd_policy_write(struct cli *cli);
int cmd_policy_read(struct cli *cli);
int cmd_policy_list(struct cli *cli);
int cmd_policy_delete(struct cli *cli);
int cmd_token_create(struct cli *cli);
int cmd_token_lookup(struct cli *cli);
int cmd_token_renew(struct cli *cli);
int cmd_token_revoke(struct cli *cli);
int cmd_token_capabilities(struct cli *cli);
int cmd_login_approle(struct cli *cli);
int cmd_login_cert(struct cli *cli);
/* the API itself */
int cmd_read(struct cli *cli);
int cmd_write(struct cli *cli);
int cmd_list(struct cli *cli);
int cmd_delete(struct cli *cli);

/* cmd_audit.c */
int cmd_audit_tail(struct cli *cli);
int cmd_audit_prove(struct cli *cli);
int cmd_audit_export(struct cli *cli);
int cmd_audit_verify(struct cli *cli);

/* cmd_admin.c */
int cmd_backup(struct cli *cli);
int cmd_restore(struct cli *cli);
int cmd_doctor(struct cli *cli);
int cmd_bench(struct cli *cli);
int cmd_completion(struct cli *cli);

/* tour.c */
int cmd_tour(struct cli *cli);

#endif
