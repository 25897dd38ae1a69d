/* The configuration file: HCL (or its JSON form), see holdfast.hcl(5). Unknown keys are errors, and every error
 * has a line and a reason. The supervisor reads the file once and hands its text to each role, which parses it
 * again: no role opens it. */
#ifndef HF_ROLES_CONFIG_H
#define HF_ROLES_CONFIG_H

#include "base/log.h"
#include "ops/core.h"

enum {
    HF_CONFIG_TEXT_MAX = 256 << 10,
    HF_CONFIG_PATH_MAX = 512,
    HF_CONFIG_LISTENERS_MAX = 8,
    HF_CONFIG_CERTS_MAX = 4, /* certificates of one listener: post-quantum and classical side by side */
    HF_CONFIG_FRONTS_MAX = 64,
    HF_CONFIG_CORE_THREADS_MAX = 64,
    HF_CONFIG_ERRORS_MAX = 32,
};

struct hf_config_cert {
    char cert_file[HF_CONFIG_PATH_MAX];
    char key_file[HF_CONFIG_PATH_MAX];
};

struct hf_config_listener {
    char address[256]; /* as written: "127.0.0.1:8200", "[::]:8200" */
    char host[200];    /* without brackets */
    uint16_t port;     /* 0: any free one */
    bool tls;          /* false: plain HTTP, on loopback only */
    uint8_t cert_count;
    struct hf_config_cert certs[HF_CONFIG_CERTS_MAX];
    char client_ca_file
        [HF_CONFIG_PATH_MAX]; /* "": client certificates are asked for and passed on unverified */
    bool require_client_cert;
};

struct hf_config_limits {
    uint32_t body_bytes_max;      /* 32 MiB */
    uint32_t header_bytes_max;    /* 32 KiB in all */
    uint32_t connections_max;     /* for each front: 10,000 */
    uint32_t streams_max;         /* HTTP/2, for each connection: 128 */
    int64_t header_timeout_ns;    /* from the first byte to the end of the headers: 10 s */
    int64_t request_timeout_ns;   /* for the whole request to arrive and be answered: 90 s */
    int64_t idle_timeout_ns;      /* between requests: 120 s */
    int64_t drain_timeout_ns;     /* graceful stop: 10 s */
    uint32_t requests_per_second; /* for each source address; 0 no limit */
};

struct hf_config {
    enum hf_level level;
    char cluster_name[64];
    char api_addr[256]; /* "": made of the first listener */
    char user[64];      /* whom the roles run as where root starts the server; "": see sandbox.h */
    enum hf_log_level log_level;
    uint32_t fronts;       /* 0: one for each CPU */
    uint32_t core_threads; /* 0: as many as CPUs */
    uint64_t secret_memory_bytes;
    int64_t default_lease_ttl_ns, max_lease_ttl_ns;
    char storage_path[HF_CONFIG_PATH_MAX]; /* the database file */
    char seal_type[32];                    /* "shamir" */
    bool audit_strict;
    uint32_t listener_count;
    struct hf_config_listener listeners[HF_CONFIG_LISTENERS_MAX];
    struct hf_config_limits limits;

    /* Not from a file: the supervisor's --dev sets it and tells the roles. */
    bool dev;
};

struct hf_config_error {
    uint32_t line; /* 0: none applies */
    uint32_t column;
    char reason[256];
};

/* Everything that is wrong, in the order in which it was found. */
struct hf_config_errors {
    uint32_t count; /* of those kept */
    bool more;      /* there were more than are kept */
    struct hf_config_error at[HF_CONFIG_ERRORS_MAX];
};

/* What stands where the file says nothing. */
void hf_config_defaults(struct hf_config *ret_config);
/* Fails: CONFIG with ret_error filled: the first. Reads no file but `text`; says nothing about whether paths exist. */
hf_result hf_config_parse(struct hf_cursor text, struct hf_config *ret_config,
                          struct hf_config_error *ret_error);
/* The same, but goes on behind an error where it can: what is wrong with a value, a key or a block hides nothing else;
 * wrong syntax ends it. Fails: CONFIG with at least one error. */
hf_result hf_config_check(struct hf_cursor text, struct hf_config *ret_config,
                          struct hf_config_errors *ret_errors);
/* Splits "host:port", "[v6]:port" or ":port". Fails: CONFIG with ret_error filled. */
hf_result hf_config_address(struct hf_cursor text, struct hf_config_listener *ret_listener,
                            struct hf_config_error *ret_error);
bool hf_config_is_loopback(const struct hf_config_listener *listener);
const char *hf_level_name(enum hf_level level);

#endif
