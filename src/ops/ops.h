/* Operations: THE table (ops/table.c) and what a handler is given. Faces name a method and a path; dispatch finds
 * the row, asks whether it may, runs the handler, writes the audit leaf, and gives the answer. Handlers decide
 * nothing about who may.
 *
 * Threads: data operations run on the thread that read them, with call->may_wait false: what would wait for the
 * store returns WOULD_BLOCK before any effect, and dispatch runs it again from the start on a thread that may.
 * Rows with HF_OP_WAITS always run there. */
#ifndef HF_OPS_OPS_H
#define HF_OPS_OPS_H

#include "audit/audit.h"
#include "base/epoch.h"
#include "policy/policy.h"
#include "records/records.h"
#include "secret/scratch.h"
#include "wire/frame.h"
#include "wire/tree.h"

struct hf_core;
struct hf_call;
typedef hf_result (*hf_handler)(struct hf_core *core, struct hf_call *call);

enum hf_engine { /* what serves a mount; sys and auth/token are always there */
                 HF_ENGINE_SYS,
                 HF_ENGINE_TOKEN,
                 HF_ENGINE_TRANSIT,
                 HF_ENGINE_KV,
                 HF_ENGINE_APPROLE,
                 HF_ENGINE_CERT,
                 HF_ENGINE_AUDIT,
                 HF_ENGINE_COUNT
};
enum hf_when { HF_WHEN_ANY, HF_WHEN_SEALED, HF_WHEN_INITIALIZED, HF_WHEN_UNSEALED };
enum hf_audited {
    HF_AUDIT_NONE,       /* probes only: health, seal-status, metrics, OpenAPI */
    HF_AUDIT_DATA,       /* leaf written to the store process before the answer, synced within 20 ms */
    HF_AUDIT_MANAGEMENT, /* leaf durable before the answer */
};
enum hf_op_flags {
    HF_OP_WAITS = 1,    /* needs a thread that may wait: store, heavy computation */
    HF_OP_UNAUTH = 2,   /* no token needed */
    HF_OP_SUDO = 4,     /* root-protected path: needs sudo too */
    HF_OP_SELF = 8,     /* about the caller's own token: any valid token may */
    HF_OP_UPSERT = 16,  /* needs create where the target is absent and update where it exists; handler decides
                            through hf_call_needs() */
    HF_OP_LIMITED = 32, /* counted by rate limits (login, unseal) */
    HF_OP_ROOT_NS = 64, /* about the whole server: served in the root namespace only */
};

struct hf_operation {
    const char *name; /* "transit.encrypt": audit, metrics, KMIP, docs */
    enum hf_engine engine;
    uint8_t methods;  /* bit (1 << hf_method) */
    const char *path; /* below the mount: "encrypt/:name"; ":x" one segment, "*x" the rest */
    uint16_t needs;   /* hf_capability */
    enum hf_when when;
    enum hf_audited audited;
    uint16_t flags;
    hf_handler handler;
};
extern const struct hf_operation hf_operations[];
extern const size_t hf_operation_count;

struct hf_mount {
    struct hf_id id;
    enum hf_engine engine;
    char path[128]; /* "transit/", "auth/approle/"; with the last slash */
    size_t path_len;
    struct hf_cursor ns; /* namespace id */
    char description[256];
    int64_t default_lease_ttl_ns, max_lease_ttl_ns;
    char options[256];                     /* JSON text, e.g. {"version":"2"} */
    bool local, seal_wrap, unauth_listing; /* as they were asked for; shown, of no other effect */
};

enum { HF_CALL_PARAMS_MAX = 4, HF_CALL_WARNINGS_MAX = 4, HF_CALL_ERROR_MAX = 256 };

struct hf_call {
    /* given */
    const struct hf_operation *op;
    const struct hf_mount *mount;       /* inside the epoch */
    const struct hf_identity *identity; /* NULL for UNAUTH without a token */
    struct hf_wire_call wire;
    struct hf_tree args;
    struct {
        const char *name;
        struct hf_cursor value;
    } params[HF_CALL_PARAMS_MAX];
    struct hf_cursor ns; /* namespace id, 16 bytes */
    struct hf_cursor
        acl_path; /* wire.path as the token's policies name it: from the namespace of the token, which may be
                                  one above ns */
    int64_t now_ns; /* wall */
    bool slash;     /* a slash at the path's end was taken off */
    bool may_wait;
    unsigned thread;            /* index of this core thread */
    struct hf_scratch *scratch; /* wiped after the call */

    /* to fill in: the answer */
    struct hf_tree_writer *w;   /* write exactly one item: what `shape` says */
    enum hf_answer_shape shape; /* preset DATA */
    uint16_t http;              /* 0: from the result */
    const char *content_type;   /* for TEXT and RAW; static */
    uint16_t retry_after_s;
    const char *warnings[HF_CALL_WARNINGS_MAX]; /* static texts */
    char error[HF_CALL_ERROR_MAX];              /* hf_call_fail fills it; "" the code's own text */

    /* to fill in: the audit leaf (request id, operation, path, outcome, who are filled by dispatch) */
    struct hf_audit_entry audit;
    bool leaf_written; /* set by hf_call_commit */
};

/* Parameter of the path; empty cursor where the row has none of that name. */
struct hf_cursor hf_call_param(const struct hf_call *call, const char *name);
/* Fails with a reason for the caller (never a secret; client text is cut and cleaned): parts are joined. */
hf_result hf_call_fail(struct hf_call *call, enum hf_code code, const char *reason);
hf_result hf_call_fail_about(struct hf_call *call, enum hf_code code, const char *reason,
                             struct hf_cursor about);
void hf_call_warn(struct hf_call *call, const char *warning);
/* For HF_OP_UPSERT: asks whether the caller may create / update. Fails: DENIED. */
hf_result hf_call_needs(struct hf_core *core, struct hf_call *call, uint32_t capability);
/* Commits the transaction together with this call's audit leaf. The only way a handler writes. */
hf_result hf_call_commit(struct hf_core *core, struct hf_call *call, struct hf_txn *txn,
                         struct hf_store_outcome *ret_outcome);

#endif
