/* The handlers that the operation table names, by the file that holds them. Each: ops/ops.h, hf_handler. */
#ifndef HF_OPS_HANDLERS_H
#define HF_OPS_HANDLERS_H

#include "ops/ops.h"

#define HF_HANDLER(name) hf_result name(struct hf_core *core, struct hf_call *call)

/* ---- sys_status.c ---- */
HF_HANDLER(hf_sys_metrics);
HF_HANDLER(hf_sys_posture);
/* ---- sys_seal.c ---- */
HF_HANDLER(hf_sys_init_read);
HF_HANDLER(hf_sys_init);
HF_HANDLER(hf_sys_seal_status);
HF_HANDLER(hf_sys_unseal);
HF_HANDLER(hf_sys_seal);
HF_HANDLER(hf_sys_health);
HF_HANDLER(hf_sys_leader);
HF_HANDLER(hf_sys_rekey_read);
HF_HANDLER(hf_sys_rekey_begin);
HF_HANDLER(hf_sys_rekey_cancel);
HF_HANDLER(hf_sys_rekey_update);
HF_HANDLER(hf_sys_rekey_verify_read);
HF_HANDLER(hf_sys_rekey_verify);
HF_HANDLER(hf_sys_rekey_verify_restart);
HF_HANDLER(hf_sys_generate_root_read);
HF_HANDLER(hf_sys_generate_root_begin);
HF_HANDLER(hf_sys_generate_root_cancel);
HF_HANDLER(hf_sys_generate_root_update);
HF_HANDLER(hf_sys_key_status);
HF_HANDLER(hf_sys_rotate);
/* ---- sys_mounts.c ---- */
HF_HANDLER(hf_sys_mounts_list);
HF_HANDLER(hf_sys_mount_read);
HF_HANDLER(hf_sys_mount_write);
HF_HANDLER(hf_sys_mount_delete);
HF_HANDLER(hf_sys_auths_list);
HF_HANDLER(hf_sys_auth_read);
HF_HANDLER(hf_sys_auth_write);
HF_HANDLER(hf_sys_auth_delete);
HF_HANDLER(hf_sys_ui_mounts);
HF_HANDLER(hf_sys_ui_mount);
HF_HANDLER(hf_sys_namespaces_list);
HF_HANDLER(hf_sys_namespace_read);
HF_HANDLER(hf_sys_namespace_create);
HF_HANDLER(hf_sys_namespace_delete);
/* ---- sys_policies.c ---- */
HF_HANDLER(hf_sys_policy_list);
HF_HANDLER(hf_sys_policy_read);
HF_HANDLER(hf_sys_policy_write);
HF_HANDLER(hf_sys_policy_delete);
HF_HANDLER(hf_sys_capabilities_self);
HF_HANDLER(hf_sys_capabilities);
HF_HANDLER(hf_sys_capabilities_accessor);
/* ---- sys_audit.c ---- */
HF_HANDLER(hf_sys_audit_list);
HF_HANDLER(hf_sys_audit_hash);
HF_HANDLER(hf_audit_op_checkpoint);
HF_HANDLER(hf_audit_op_vkeys);
HF_HANDLER(hf_audit_op_entries);
HF_HANDLER(hf_audit_op_prove_inclusion);
HF_HANDLER(hf_audit_op_prove_consistency);
HF_HANDLER(hf_audit_op_tile);
HF_HANDLER(hf_audit_op_export);
/* ---- auth_token.c ---- */
HF_HANDLER(hf_auth_token_create);
HF_HANDLER(hf_auth_token_create_orphan);
HF_HANDLER(hf_auth_token_create_role);
HF_HANDLER(hf_auth_token_lookup_self);
HF_HANDLER(hf_auth_token_lookup);
HF_HANDLER(hf_auth_token_lookup_accessor);
HF_HANDLER(hf_auth_token_accessors);
HF_HANDLER(hf_auth_token_renew_self);
HF_HANDLER(hf_auth_token_renew);
HF_HANDLER(hf_auth_token_renew_accessor);
HF_HANDLER(hf_auth_token_revoke_self);
HF_HANDLER(hf_auth_token_revoke);
HF_HANDLER(hf_auth_token_revoke_orphan);
HF_HANDLER(hf_auth_token_revoke_accessor);
HF_HANDLER(hf_auth_token_tidy);
HF_HANDLER(hf_auth_token_role_list);
HF_HANDLER(hf_auth_token_role_read);
HF_HANDLER(hf_auth_token_role_write);
HF_HANDLER(hf_auth_token_role_delete);
/* ---- auth_approle.c ---- */
HF_HANDLER(hf_auth_approle_login);
HF_HANDLER(hf_auth_approle_list);
HF_HANDLER(hf_auth_approle_read);
HF_HANDLER(hf_auth_approle_write);
HF_HANDLER(hf_auth_approle_delete);
HF_HANDLER(hf_auth_approle_role_id_read);
HF_HANDLER(hf_auth_approle_role_id_write);
HF_HANDLER(hf_auth_approle_secret_id_make);
HF_HANDLER(hf_auth_approle_secret_id_list);
HF_HANDLER(hf_auth_approle_secret_id_custom);
HF_HANDLER(hf_auth_approle_secret_id_lookup);
HF_HANDLER(hf_auth_approle_secret_id_destroy);
HF_HANDLER(hf_auth_approle_accessor_lookup);
HF_HANDLER(hf_auth_approle_accessor_destroy);
HF_HANDLER(hf_auth_approle_tidy);
HF_HANDLER(hf_auth_approle_field_read);
HF_HANDLER(hf_auth_approle_field_write);
HF_HANDLER(hf_auth_approle_field_delete);
/* ---- auth_cert.c ---- */
HF_HANDLER(hf_auth_cert_login);
HF_HANDLER(hf_auth_cert_list);
HF_HANDLER(hf_auth_cert_read);
HF_HANDLER(hf_auth_cert_write);
HF_HANDLER(hf_auth_cert_delete);
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
HF_HANDLER(hf_kv_data_read);
HF_HANDLER(hf_kv_data_write);
HF_HANDLER(hf_kv_data_delete);
HF_HANDLER(hf_kv_delete);
HF_HANDLER(hf_kv_undelete);
HF_HANDLER(hf_kv_destroy);
HF_HANDLER(hf_kv_metadata_read);
HF_HANDLER(hf_kv_metadata_write);
HF_HANDLER(hf_kv_metadata_delete);
HF_HANDLER(hf_kv_metadata_list);
HF_HANDLER(hf_kv_config_read);
HF_HANDLER(hf_kv_config_write);
HF_HANDLER(hf_kv_v1_read);
HF_HANDLER(hf_kv_v1_write);
HF_HANDLER(hf_kv_v1_delete);
HF_HANDLER(hf_kv_v1_list);

#endif
