/* THE operation table. Rows of one engine stand together; first match wins, literal segments before ":x". */
#include "ops/handlers.h"

#define RD (1 << HF_METHOD_READ)
#define LS (1 << HF_METHOD_LIST)
#define WR (1 << HF_METHOD_WRITE)
#define DE (1 << HF_METHOD_DELETE)
#define HD (1 << HF_METHOD_HEAD)
#define PA (1 << HF_METHOD_PATCH)

const struct hf_operation hf_operations[] = {
    /* ---- sys: seal, status ---- */
    {"sys.metrics", HF_ENGINE_SYS, RD, "metrics", HF_CAP_READ, HF_WHEN_ANY, HF_AUDIT_NONE,
     HF_OP_WAITS | HF_OP_UNAUTH, hf_sys_metrics},
    {"sys.posture", HF_ENGINE_SYS, RD, "posture", HF_CAP_READ, HF_WHEN_ANY, HF_AUDIT_DATA,
     HF_OP_WAITS | HF_OP_UNAUTH, hf_sys_posture},
    /* ---- sys: mounts, namespaces, wrapping ---- */
    /* ---- sys: policies, capabilities ---- */
    /* ---- sys: audit ---- */
    /* ---- auth/token ---- */
    /* ---- auth/approle ---- */
    /* ---- auth/cert ---- */
    /* ---- transit ---- */
    {"transit.encrypt", HF_ENGINE_TRANSIT, WR, "encrypt/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, HF_OP_UPSERT, hf_transit_encrypt},
    {"transit.decrypt", HF_ENGINE_TRANSIT, WR, "decrypt/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_decrypt},
    {"transit.rewrap", HF_ENGINE_TRANSIT, WR, "rewrap/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED, HF_AUDIT_DATA,
     0, hf_transit_rewrap},
    {"transit.datakey", HF_ENGINE_TRANSIT, WR, "datakey/:mode/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_datakey},
    {"transit.sign", HF_ENGINE_TRANSIT, WR, "sign/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED, HF_AUDIT_DATA, 0,
     hf_transit_sign},
    {"transit.sign-hash", HF_ENGINE_TRANSIT, WR, "sign/:name/:hash", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_sign},
    {"transit.verify", HF_ENGINE_TRANSIT, WR, "verify/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED, HF_AUDIT_DATA,
     0, hf_transit_verify},
    {"transit.verify-hash", HF_ENGINE_TRANSIT, WR, "verify/:name/:hash", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_verify},
    {"transit.hmac", HF_ENGINE_TRANSIT, WR, "hmac/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED, HF_AUDIT_DATA, 0,
     hf_transit_hmac},
    {"transit.hmac-hash", HF_ENGINE_TRANSIT, WR, "hmac/:name/:hash", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_hmac},
    {"transit.encapsulate", HF_ENGINE_TRANSIT, WR, "encapsulate/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_encapsulate},
    {"transit.decapsulate", HF_ENGINE_TRANSIT, WR, "decapsulate/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_decapsulate},
    {"transit.hash", HF_ENGINE_TRANSIT, WR, "hash", HF_CAP_UPDATE, HF_WHEN_UNSEALED, HF_AUDIT_DATA, 0,
     hf_transit_hash},
    {"transit.hash-algorithm", HF_ENGINE_TRANSIT, WR, "hash/:algorithm", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_hash},
    {"transit.random", HF_ENGINE_TRANSIT, WR, "random", HF_CAP_UPDATE, HF_WHEN_UNSEALED, HF_AUDIT_DATA, 0,
     hf_transit_random},
    {"transit.random-source", HF_ENGINE_TRANSIT, WR, "random/:source", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_random},
    {"transit.random-bytes", HF_ENGINE_TRANSIT, WR, "random/:source/:bytes", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, 0, hf_transit_random},
    {"transit.key-list", HF_ENGINE_TRANSIT, LS, "keys", HF_CAP_LIST, HF_WHEN_UNSEALED, HF_AUDIT_DATA,
     HF_OP_WAITS, hf_transit_key_list},
    {"transit.key-create", HF_ENGINE_TRANSIT, WR, "keys/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_key_create},
    {"transit.key-read", HF_ENGINE_TRANSIT, RD, "keys/:name", HF_CAP_READ, HF_WHEN_UNSEALED, HF_AUDIT_DATA, 0,
     hf_transit_key_read},
    {"transit.key-delete", HF_ENGINE_TRANSIT, DE, "keys/:name", HF_CAP_DELETE, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_key_delete},
    {"transit.key-config", HF_ENGINE_TRANSIT, WR, "keys/:name/config", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_key_config},
    {"transit.key-rotate", HF_ENGINE_TRANSIT, WR, "keys/:name/rotate", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_key_rotate},
    {"transit.key-trim", HF_ENGINE_TRANSIT, WR, "keys/:name/trim", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_key_trim},
    {"transit.key-import", HF_ENGINE_TRANSIT, WR, "keys/:name/import", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_import},
    {"transit.key-import-version", HF_ENGINE_TRANSIT, WR, "keys/:name/import_version", HF_CAP_UPDATE,
     HF_WHEN_UNSEALED, HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_import_version},
    {"transit.version-state", HF_ENGINE_TRANSIT, WR, "keys/:name/versions/:version/:verb", HF_CAP_UPDATE,
     HF_WHEN_UNSEALED, HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_version_state},
    {"transit.wrapping-key", HF_ENGINE_TRANSIT, RD, "wrapping_key", HF_CAP_READ, HF_WHEN_UNSEALED,
     HF_AUDIT_DATA, HF_OP_WAITS, hf_transit_wrapping_key},
    {"transit.export", HF_ENGINE_TRANSIT, RD, "export/:kind/:name", HF_CAP_READ, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_export},
    {"transit.export-version", HF_ENGINE_TRANSIT, RD, "export/:kind/:name/:version", HF_CAP_READ,
     HF_WHEN_UNSEALED, HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_export},
    {"transit.backup", HF_ENGINE_TRANSIT, RD | WR, "backup/:name", HF_CAP_READ, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_backup},
    {"transit.restore", HF_ENGINE_TRANSIT, WR, "restore", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_restore},
    {"transit.restore-name", HF_ENGINE_TRANSIT, WR, "restore/:name", HF_CAP_UPDATE, HF_WHEN_UNSEALED,
     HF_AUDIT_MANAGEMENT, HF_OP_WAITS, hf_transit_restore},
    /* ---- kv ---- */
};
const size_t hf_operation_count = HF_ARRAY_LEN(hf_operations);
