/* The handlers that the operation table names, by the file that holds them. Each: ops/ops.h, hf_handler. */
#ifndef HF_OPS_HANDLERS_H
#define HF_OPS_HANDLERS_H

#include "ops/ops.h"

#define HF_HANDLER(name) hf_result name(struct hf_core *core, struct hf_call *call)

/* ---- sys_status.c ---- */
HF_HANDLER(hf_sys_metrics);
HF_HANDLER(hf_sys_posture);
/* ---- sys_seal.c ---- */
/* ---- sys_mounts.c ---- */
/* ---- sys_policies.c ---- */
/* ---- sys_audit.c ---- */
/* ---- auth_token.c ---- */
/* ---- auth_approle.c ---- */
/* ---- auth_cert.c ---- */
/* ---- transit_*.c, export.c ---- */
HF_HANDLER(hf_transit_key_create);
HF_HANDLER(hf_transit_key_read);
HF_HANDLER(hf_transit_key_list);
HF_HANDLER(hf_transit_key_delete);
HF_HANDLER(hf_transit_key_config);
HF_HANDLER(hf_transit_key_rotate);
HF_HANDLER(hf_transit_key_trim);
HF_HANDLER(hf_transit_version_state);
HF_HANDLER(hf_transit_encrypt);
HF_HANDLER(hf_transit_decrypt);
HF_HANDLER(hf_transit_rewrap);
HF_HANDLER(hf_transit_datakey);
HF_HANDLER(hf_transit_random);
HF_HANDLER(hf_transit_hash);
HF_HANDLER(hf_transit_sign);
HF_HANDLER(hf_transit_verify);
HF_HANDLER(hf_transit_hmac);
HF_HANDLER(hf_transit_encapsulate);
HF_HANDLER(hf_transit_decapsulate);
HF_HANDLER(hf_transit_wrapping_key);
HF_HANDLER(hf_transit_import);
HF_HANDLER(hf_transit_import_version);
HF_HANDLER(hf_transit_export);
HF_HANDLER(hf_transit_backup);
HF_HANDLER(hf_transit_restore);
/* ---- kv.c ---- */

#endif
