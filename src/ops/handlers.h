/* The handlers that the operation table names, by the file that holds them. Each: ops/ops.h, hf_handler. */
#ifndef HF_OPS_HANDLERS_H
#define HF_OPS_HANDLERS_H

#include "ops/ops.h"

#define HF_HANDLER(name) hf_result name(struct hf_core *core, struct hf_call *call)

/* ---- sys_seal.c ---- */
/* ---- sys_mounts.c ---- */
/* ---- sys_policies.c ---- */
/* ---- sys_audit.c ---- */
/* ---- auth_token.c ---- */
/* ---- auth_approle.c ---- */
/* ---- auth_cert.c ---- */
/* ---- transit_*.c ---- */
/* ---- kv.c ---- */

#endif
