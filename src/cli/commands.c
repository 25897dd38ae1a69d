#include "cli/commands.h"

#define END                                                                                                  \
    {                                                                                                        \
        NULL, NULL, NULL                                                                                     \
    }

static const struct cli_option init_options[] = {
    {"shares", "N", "shares to make [5]"}, {"threshold", "K", "shares that unseal [3]"}, END};
static const struct cli_option unseal_options[] = {{"share-fd", "FD", "read the share from this descriptor"},
                                                   {"reset", NULL, "forget the shares given so far"},
                                                   END};
static const struct cli_option rekey_options[] = {
    {"start", NULL, "begin"},
    {"shares", "N", "new shares [5]"},
    {"threshold", "K", "new threshold [3]"},
    {"no-verification", NULL, "new shares take effect without being shown to work"},
    {"verify", NULL, "the share offered is a new one, shown to work"},
    {"nonce", "ID", "offer a share to this attempt"},
    {"share-fd", "FD", "read the share from this descriptor"},
    {"cancel", NULL, "give it up"},
    END};
static const struct cli_option generate_root_options[] = {
    {"start", NULL, "begin; keep the one-time pad it shows"},
    {"nonce", "ID", "offer a share to this attempt"},
    {"share-fd", "FD", "read the share from this descriptor"},
    {"cancel", NULL, "give it up"},
    END};
static const struct cli_option mount_list_options[] = {{"auth", NULL, "login methods"}, END};
#define MOUNT                                                                                                \
    {                                                                                                        \
        "mount", "PATH", "the transit mount [transit]"                                                       \
    }
static const struct cli_option key_options[] = {MOUNT, END};
static const struct cli_option key_create_options[] = {
    MOUNT,
    {"type", "TYPE",
     "aes256-gcm96 (default), xaes256-gcm, hybrid, ml-dsa, slh-dsa, ml-kem, x25519mlkem768, ..."},
    {"parameter-set", "SET", "ml-dsa: 44 65 87; ml-kem: 512 768 1024; slh-dsa: ..."},
    {"hybrid-pqc", "TYPE", "hybrid: ml-dsa-44 ml-dsa-65 ml-dsa-87"},
    {"hybrid-ec", "TYPE", "hybrid: ed25519, ecdsa-p256, ecdsa-p384"},
    {"derived", NULL, "a subkey for each context"},
    {"convergent", NULL, "equal plaintexts give equal ciphertexts (needs --derived)"},
    {"exportable", NULL, "its material may leave by the audited export"},
    {"auto-rotate", "TIME", "rotate by itself: 24h, 90d"},
    END};
static const struct cli_option key_config_options[] = {
    MOUNT,
    {"min-decryption", "N", "oldest version that decrypts"},
    {"min-encryption", "N", "oldest version that encrypts; 0 the latest"},
    {"deletion-allowed", "BOOL", "may be deleted"},
    {"auto-rotate", "TIME", "rotate by itself; 0 not"},
    END};
static const struct cli_option key_trim_options[] = {
    MOUNT, {"min-available", "N", "versions below it are erased"}, END};
static const struct cli_option encrypt_options[] = {MOUNT,
                                                    {"in", "FILE", "plaintext [standard input]"},
                                                    {"out", "FILE", "where to [standard output]"},
                                                    {"context", "TEXT", "for a derived key"},
                                                    END};
static const struct cli_option decrypt_options[] = {
    MOUNT,
    {"in", "FILE", "encrypted file [standard input]"},
    {"out", "FILE", "where to [standard output]"},
    {"context", "TEXT", "for a derived key"},
    {"range", "FROM-TO", "only these bytes of the plaintext; from 0, and TO is exclusive (needs --in)"},
    END};
static const struct cli_option sign_options[] = {
    MOUNT,
    {"in", "FILE", "what to sign [standard input]"},
    {"out", "FILE", "where the signature goes [standard output]"},
    {"hash", "NAME", "sha2-256 (default), sha2-512, ..."},
    END};
static const struct cli_option verify_options[] = {MOUNT,
                                                   {"in", "FILE", "what was signed [standard input]"},
                                                   {"signature", "FILE", "the signature"},
                                                   {"hash", "NAME", "as for sign"},
                                                   END};
static const struct cli_option rewrap_options[] = {
    MOUNT,
    {"in", "FILE", "ciphertexts, one a line, or an encrypted file [standard input]"},
    {"out", "FILE", "where to [standard output]"},
    END};
static const struct cli_option random_options[] = {{"format", "NAME", "base64 (default) or hex"}, END};
static const struct cli_option token_create_options[] = {
    {"policy", "NAMES", "policies, by comma"},
    {"ttl", "TIME", "life, renewable: 1h"},
    {"max-ttl", "TIME", "end of all renewing"},
    {"period", "TIME", "renewable for ever within it"},
    {"uses", "N", "how often it may be used"},
    {"name", "TEXT", "display name"},
    {"orphan", NULL, "lives on when its parent is revoked"},
    END};
static const struct cli_option accessor_options[] = {
    {"accessor", "ID", "the token with this accessor [your own]"},
    {"token-fd", "FD", "the token read from this descriptor; 0: standard input"},
    END};
static const struct cli_option login_options[] = {
    {"mount", "PATH", "where the method is mounted"},
    {"role-id", "ID", "approle: the role id"},
    {"secret-fd", "FD", "approle: read the secret id from this descriptor"},
    {"name", "NAME", "cert: which entry to try"},
    END};
static const struct cli_option audit_tail_options[] = {{"from", "N", "first entry"},
                                                       {"limit", "N", "how many [20]"},
                                                       {"follow", NULL, "go on as entries come"},
                                                       {"export", "FILE", "from this export, offline"},
                                                       END};
static const struct cli_option audit_prove_options[] = {
    {"index", "N", "the entry"},
    {"request", "ID", "the entry of this request"},
    {"out", "FILE", "where the proof goes [standard output]"},
    {"export", "FILE", "offline: from this export,"},
    {"checkpoint", "FILE", "offline: this signed checkpoint,"},
    {"keys", "FILE", "offline: and the keys that you trust"},
    END};
static const struct cli_option audit_export_options[] = {
    {"out", "FILE", "where to [standard output]"},
    {"checkpoint", "FILE", "write the signed checkpoint here"},
    {"keys", "FILE", "write the log's public keys here"},
    END};
static const struct cli_option audit_verify_options[] = {
    {"export", "FILE", "what `audit export` wrote"},           {"proof", "FILE", "a .tlog-proof"},
    {"entry", "FILE", "the proof's leaf [the one it brings]"}, {"checkpoint", "FILE", "signed checkpoint"},
    {"keys", "FILE", "the log's public keys that you trust"},  END};
static const struct cli_option backup_options[] = {
    {"out", "FILE", "where to"}, {"force", NULL, "replace a file that is there"}, END};
static const struct cli_option restore_options[] = {
    {"in", "FILE", "the backup"}, {"to", "FILE", "the database to make; must not exist"}, END};
static const struct cli_option bench_options[] = {
    MOUNT, {"connections", "N", "[16]"}, {"seconds", "N", "[5]"}, {"key", "NAME", "[made for it]"}, END};
static const struct cli_option tour_options[] = {
    {"port", "N", "the development server's port [8200]"}, {"list", NULL, "the chapters there are"}, END};

const struct cli_command cli_commands[] = {
    {"init", "[--shares N --threshold K]", 0, "initialise a new server: makes and splits the root key",
     cmd_init, init_options},
    {"unseal", "[--share-fd FD]", 0, "give one share; k of them unseal", cmd_unseal, unseal_options},
    {"seal", "", 0, "wipe every key from memory", cmd_seal, NULL},
    {"status", "", 0, "sealed or not; exit code 3 when sealed", cmd_status, NULL},
    {"posture", "", 0, "what protections are really in force in each process", cmd_posture, NULL},
    {"rekey", "[--start | --nonce ID | --cancel]", 0, "a new root key and new shares", cmd_rekey,
     rekey_options},
    {"generate-root", "[--start | --nonce ID | --cancel]", 0, "a new root token by a quorum of shares",
     cmd_generate_root, generate_root_options},
    {"mount list", "[--auth]", 0, "what is mounted where", cmd_mount_list, mount_list_options},
    {"mount enable", "TYPE [PATH]", 2, "mount transit, kv, auth/approle, auth/cert", cmd_mount_enable, NULL},
    {"mount disable", "PATH", 1, "unmount, and erase all below", cmd_mount_disable, NULL},
    {"metrics", "", 0, "Prometheus text", cmd_metrics, NULL},
    {"key create", "NAME [--type TYPE]", 1, "make a key", cmd_key_create, key_create_options},
    {"key list", "", 0, "names of keys", cmd_key_list, key_options},
    {"key read", "NAME", 1, "a key's versions, states, limits and quantum readiness", cmd_key_read,
     key_options},
    {"key rotate", "NAME", 1, "make the next version", cmd_key_rotate, key_options},
    {"key config", "NAME [options]", 1, "set what a key may do", cmd_key_config, key_config_options},
    {"key trim", "NAME --min-available N", 1, "erase old versions", cmd_key_trim, key_trim_options},
    {"key version", "NAME VERSION activate|suspend|deactivate|compromise|destroy", 3,
     "change a version's state", cmd_key_version, key_options},
    {"key delete", "NAME", 1, "erase a key (deletion must be allowed)", cmd_key_delete, key_options},
    {"encrypt", "KEY [--in FILE] [--out FILE]", 1, "encrypt a file or pipe of any size under a key",
     cmd_encrypt, encrypt_options},
    {"decrypt", "[--in FILE] [--out FILE] [--range FROM-TO]", 0, "decrypt it, or a part of it", cmd_decrypt,
     decrypt_options},
    {"sign", "KEY [--in FILE]", 1, "sign a file", cmd_sign, sign_options},
    {"verify", "KEY --signature FILE [--in FILE]", 1, "verify a signature; exit code 7 where it is not valid",
     cmd_verify, verify_options},
    {"rewrap", "KEY [--in FILE] [--out FILE]", 1, "bring ciphertexts to the latest version", cmd_rewrap,
     rewrap_options},
    {"random", "[BYTES]", 1, "random bytes from the server", cmd_random, random_options},
    {"policy write", "NAME FILE", 2, "write a policy (HCL or JSON; - standard input)", cmd_policy_write,
     NULL},
    {"policy read", "NAME", 1, "a policy's text", cmd_policy_read, NULL},
    {"policy list", "", 0, "names of policies", cmd_policy_list, NULL},
    {"policy delete", "NAME", 1, "delete a policy", cmd_policy_delete, NULL},
    {"token create", "[options]", 0, "make a token", cmd_token_create, token_create_options},
    {"token lookup", "[--accessor ID | --token-fd FD]", 0, "what a token is", cmd_token_lookup,
     accessor_options},
    {"token renew", "[--accessor ID | --token-fd FD]", 0, "renew a token", cmd_token_renew, accessor_options},
    {"token revoke", "[--accessor ID | --token-fd FD]", 0, "revoke a token and its children",
     cmd_token_revoke, accessor_options},
    {"token capabilities", "PATH", 1, "what your token may do there", cmd_token_capabilities, NULL},
    {"login approle", "--role-id ID [--secret-fd FD]", 0, "log in as an application; prints the token",
     cmd_login_approle, login_options},
    {"login cert", "[--name NAME]", 0, "log in by client certificate; prints the token", cmd_login_cert,
     login_options},
    {"read", "PATH", 1, "GET any path of the API", cmd_read, NULL},
    {"list", "PATH", 1, "LIST any path", cmd_list, NULL},
    {"write", "PATH [NAME=VALUE ...]", CLI_ANY_WORDS,
     "PUT any path; NAME=@FILE takes a file's text, NAME:=JSON a number or list", cmd_write, NULL},
    {"delete", "PATH", 1, "DELETE any path", cmd_delete, NULL},
    {"audit tail", "[--from N] [--follow]", 0, "entries of the audit log", cmd_audit_tail,
     audit_tail_options},
    {"audit prove", "--index N | --request ID", 0, "an offline proof for one entry (.tlog-proof)",
     cmd_audit_prove, audit_prove_options},
    {"audit export", "--out FILE", 0, "the log's public part, to verify offline", cmd_audit_export,
     audit_export_options},
    {"audit verify", "--export FILE --checkpoint FILE --keys FILE", 0,
     "verify offline; names what was altered, removed or put in", cmd_audit_verify, audit_verify_options},
    {"backup", "DATABASE --out FILE", 1, "copy the sealed database, online", cmd_backup, backup_options},
    {"restore", "--in FILE --to FILE", 0, "put a backup in place of a database (server stopped)", cmd_restore,
     restore_options},
    {"doctor", "FILE", 1, "check a whole database offline", cmd_doctor, NULL},
    {"bench", "[options]", 0, "how fast this server encrypts", cmd_bench, bench_options},
    {"tour", "[CHAPTER] [--port N]", 1, "a guided story with a development server", cmd_tour, tour_options},
    {"completion", "bash|zsh|fish", 1, "shell completion; source it", cmd_completion, NULL},
};
const size_t cli_command_count = HF_ARRAY_LEN(cli_commands);
