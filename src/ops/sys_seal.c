/* sys/: init, seal, unseal, status, health, leader, rekey, generate-root, key rotation. Fields and codes as Vault has
 * them; "share_cards" and "holdfast_version" are added. */
#include <string.h>

#include "base/encode.h"
#include "crypto/crypto.h"
#include "ops/auth.h"
#include "ops/handlers.h"
#include "ops/lifecycle.h"

/* ---- small things ---- */

static void put_id(struct hf_tree_writer *w, const char *key, struct hf_id id)
{
    static const struct hf_id zero;
    char text[HF_ID_TEXT_LEN];
    bool none = memcmp(&id, &zero, sizeof(id)) == 0; /* public */
    hf_id_text(id, text);
    hf_tw_k_slice(w, key, hf_cursor(text, none ? 0 : sizeof(text)));
}

static void put_null(struct hf_tree_writer *w, const char *key)
{
    hf_tw_k(w, key);
    hf_tw_null(w);
}

/* Whether a field that is not supported was really asked for: not null, zero, "" or empty. */
static bool is_asked(const struct hf_tree *args, const char *key)
{
    struct hf_tree value = hf_tree_get(args, key);
    switch (value.tag) {
    case HF_TREE_NULL:
    case HF_TREE_FALSE:
        return false;
    case HF_TREE_INT:
        return value.number != 0;
    case HF_TREE_ARRAY:
    case HF_TREE_MAP:
        return value.count != 0;
    default:
        return value.body.left != 0;
    }
}

static hf_result read_count(struct hf_call *call, const struct hf_tree *args, const char *key, uint32_t *ret)
{
    int64_t value = 0;
    *ret = 0;
    if (!HF_IS_OK(hf_tree_int(args, key, 0, &value)) || value < 0 || value > HF_SHARES_MAX)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "must be a number from 1 to 32",
                                  hf_cursor_text(key));
    *ret = (uint32_t)value;
    return HF_DONE;
}

static hf_result read_shares(struct hf_call *call, uint32_t *ret_shares, uint32_t *ret_threshold)
{
    TRY(read_count(call, &call->args, "secret_shares", ret_shares));
    TRY(read_count(call, &call->args, "secret_threshold", ret_threshold));
    if (*ret_shares < 1)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid seal configuration: shares must be at least one");
    if (*ret_threshold < 1)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "invalid seal configuration: threshold must be at least one");
    if (*ret_threshold > *ret_shares)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "invalid seal configuration: threshold cannot be larger than shares");
    if (is_asked(&call->args, "pgp_keys"))
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "pgp_keys: shares sealed to recipients are not supported by this version");
    return HF_DONE;
}

static hf_result read_text(struct hf_call *call, const char *key, struct hf_cursor *ret)
{
    *ret = (struct hf_cursor){0};
    if (!HF_IS_OK(hf_tree_text(&call->args, key, ret)))
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "must be a text", hf_cursor_text(key));
    return HF_DONE;
}

static hf_result read_key_and_nonce(struct hf_call *call, struct hf_cursor *ret_key, struct hf_id *ret_nonce)
{
    struct hf_cursor nonce;
    TRY(read_text(call, "key", ret_key));
    TRY(read_text(call, "nonce", &nonce));
    if (ret_key->left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "'key' must be specified in request body as JSON");
    if (!HF_IS_OK(hf_id_parse(nonce, ret_nonce)))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "incorrect nonce supplied");
    return HF_DONE;
}

/* Fails with the seal's reason where it gave one. why: the place that the seal filled, so that it is read after. */
static hf_result because(struct hf_call *call, hf_result done, const char *const *why)
{
    if (HF_IS_OK(done) || *why == NULL || (*why)[0] == '\0')
        return done;
    return hf_call_fail(call, done.code, *why);
}

/* Operations whose effect does not pass through a transaction of records tell the log before it that they begin, so that
 * they are refused where it cannot be written; and after it how they ended. A leaf that is missing then must not take
 * the answer away: new shares that no one was given would be the only ones that open. */
static hf_result begin_leaf(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    call->audit.operation = call->op->name;
    call->audit.outcome = HF_OK;
    call->audit.note = hf_cursor_text("begun");
    hf_result written = hf_audit_write(u->audit, &call->audit, NULL);
    call->audit.note = (struct hf_cursor){0};
    return HF_IS_OK(written) ? HF_DONE : HF_FAIL(AUDIT_DOWN);
}

static void end_leaf(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    hf_result written = u == NULL ? HF_FAIL(SEALED) : hf_audit_write(u->audit, &call->audit, NULL);
    if (!HF_IS_OK(written))
        hf_log(HF_LOG_ERROR, "seal.without_leaf", hf_f("operation", call->op->name), hf_f("result", written));
    call->leaf_written = true;
}

/* ---- init ---- */

hf_result hf_sys_init_read(struct hf_core *core, struct hf_call *call)
{
    struct hf_seal_status status;
    TRY(hf_seal_status(core->seal, &status));
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(call->w);
    hf_tw_k_bool(call->w, "initialized", status.initialized);
    hf_tw_end(call->w);
    return HF_DONE;
}

hf_result hf_sys_init(struct hf_core *core, struct hf_call *call)
{
    static const char *const unsupported[] = {"root_token_pgp_key", "recovery_shares", "recovery_threshold",
                                              "recovery_pgp_keys", "stored_shares"};
    uint32_t shares;
    uint32_t threshold;
    TRY(read_shares(call, &shares, &threshold));
    for (size_t i = 0; i < HF_ARRAY_LEN(unsupported); i++)
        if (is_asked(&call->args, unsupported[i]))
            return hf_call_fail_about(call, HF_BAD_ARGUMENT, "parameter not applicable to seal type shamir",
                                      hf_cursor_text(unsupported[i]));
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    CLEANUP(hf_share_set_done) struct hf_share_set set = {.count = 0};
    char *token_text = hf_scratch_alloc(call->scratch, HF_TOKEN_TEXT_MAX);
    if (token_text == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf token = hf_buf(token_text, HF_TOKEN_TEXT_MAX);
    call->audit.operation = call->op->name;
    hf_result made = hf_core_initialize(core, shares, threshold, hf_cursor(NULL, 0), &commit, &set, &token);
    if (made.code == HF_ALREADY)
        return hf_call_fail(call, HF_ALREADY, "already initialized");
    TRY(made);
    hf_core_lock(core);
    if (token.len == 0)
        hf_call_warn(call,
                     "the root token could not be made: keep the shares, unseal, and use generate-root");
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(call->w);
    hf_result written = hf_share_set_write(&set, call->w);
    hf_tw_k_slice(call->w, "root_token", hf_buf_cursor(&token));
    hf_tw_end(call->w);
    return written;
}

/* ---- seal, unseal, status ---- */

static hf_result answer_status(struct hf_core *core, struct hf_call *call)
{
    struct hf_seal_status status;
    TRY(hf_seal_status(core->seal, &status));
    struct hf_store_info info = {0};
    hf_result known = core->store->ops->info(core->store, &info);
    struct hf_tree_writer *w = call->w;
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(w);
    hf_tw_k_text(w, "type", "shamir");
    hf_tw_k_bool(w, "initialized", status.initialized);
    hf_tw_k_bool(w, "sealed", status.sealed);
    hf_tw_k_int(w, "t", status.threshold);
    hf_tw_k_int(w, "n", status.shares);
    hf_tw_k_int(w, "progress", status.progress);
    put_id(w, "nonce", status.nonce);
    hf_tw_k_text(w, "version", HF_API_VERSION);
    hf_tw_k_text(w, "holdfast_version", core->config.version);
    hf_tw_k_text(w, "build_date", "");
    hf_tw_k_bool(w, "migration", false);
    if (!status.sealed) {
        hf_tw_k_text(w, "cluster_name", core->config.cluster_name);
        put_id(w, "cluster_id", status.cluster);
    }
    hf_tw_k_bool(w, "recovery_seal", false);
    hf_tw_k_text(w, "storage_type", HF_IS_OK(known) && info.engine[0] != '\0' ? info.engine : "unknown");
    hf_tw_k_int(w, "generation", status.generation);
    hf_tw_end(w);
    return HF_DONE;
}

hf_result hf_sys_seal_status(struct hf_core *core, struct hf_call *call)
{
    return answer_status(core, call);
}

hf_result hf_sys_unseal(struct hf_core *core, struct hf_call *call)
{
    struct hf_cursor key = {0};
    bool reset = false;
    bool migrate = false;
    if (!HF_IS_OK(hf_tree_bool(&call->args, "reset", false, &reset)) ||
        !HF_IS_OK(hf_tree_bool(&call->args, "migrate", false, &migrate)))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "reset and migrate must be true or false");
    if (migrate)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "seal migration is not supported");
    TRY(read_text(call, "key", &key));
    if (reset) {
        hf_seal_reset(core->seal);
        return answer_status(core, call);
    }
    if (key.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "'key' must be specified in request body as JSON, or 'reset' set to true");
    bool complete = false;
    const char *why = "";
    hf_result offered = hf_seal_offer(core->seal, key, &complete, &why);
    if (offered.code == HF_ALREADY)
        return answer_status(core, call);
    TRY(because(call, offered, &why));
    if (complete) {
        hf_result unlocked = hf_core_unlock(core);
        if (!HF_IS_OK(unlocked))
            return hf_call_fail_about(call, unlocked.code,
                                      "the shares are right, but what is stored was refused",
                                      hf_cursor_text(hf_core_fault(core)));
    }
    return answer_status(core, call);
}

hf_result hf_sys_seal(struct hf_core *core, struct hf_call *call)
{
    call->audit.operation = call->op->name;
    call->audit.outcome = HF_OK;
    end_leaf(core, call); /* whoever wants the keys gone must not be stopped by a full disk */
    hf_core_lock(core);
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

/* ---- health, leader ---- */

static hf_result read_status_code(struct hf_call *call, const char *key, uint16_t fallback, uint16_t *ret)
{
    int64_t code = 0;
    *ret = fallback;
    if (!HF_IS_OK(hf_tree_int(&call->args, key, fallback, &code)) || code < 100 || code > 599)
        return hf_call_fail_about(call, HF_BAD_REQUEST, "must be an HTTP status code", hf_cursor_text(key));
    *ret = (uint16_t)code;
    return HF_DONE;
}

hf_result hf_sys_health(struct hf_core *core, struct hf_call *call)
{
    uint16_t active;
    uint16_t sealed;
    uint16_t uninit;
    uint16_t standby;
    TRY(read_status_code(call, "activecode", 200, &active));
    TRY(read_status_code(call, "standbycode", 429,
                         &standby)); /* no node stands by here; checked all the same */
    TRY(read_status_code(call, "sealedcode", 503, &sealed));
    TRY(read_status_code(call, "uninitcode", 501, &uninit));
    struct hf_seal_status status;
    TRY(hf_seal_status(core->seal, &status));
    bool open = hf_core_unsealed(core) != NULL;
    call->http = !status.initialized ? uninit : !open ? sealed : active;
    struct hf_tree_writer *w = call->w;
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(w);
    hf_tw_k_bool(w, "initialized", status.initialized);
    hf_tw_k_bool(w, "sealed", !open);
    hf_tw_k_bool(w, "standby", !open);
    hf_tw_k_bool(w, "performance_standby", false);
    hf_tw_k_text(w, "replication_performance_mode", open ? "disabled" : "unknown");
    hf_tw_k_text(w, "replication_dr_mode", open ? "disabled" : "unknown");
    hf_tw_k_int(w, "server_time_utc", call->now_ns / HF_SECOND);
    hf_tw_k_text(w, "version", HF_API_VERSION);
    hf_tw_k_text(w, "holdfast_version", core->config.version);
    hf_tw_k_bool(w, "enterprise", false);
    if (open) {
        hf_tw_k_text(w, "cluster_name", core->config.cluster_name);
        put_id(w, "cluster_id", status.cluster);
    }
    hf_tw_k_int(w, "echo_duration_ms", 0);
    hf_tw_k_int(w, "clock_skew_ms", 0);
    hf_tw_k_int(w, "replication_primary_canary_age_ms", 0);
    hf_tw_end(w);
    return HF_DONE;
}

hf_result hf_sys_leader(struct hf_core *core, struct hf_call *call)
{
    (void)core;
    struct hf_tree_writer *w = call->w;
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(w);
    hf_tw_k_bool(w, "ha_enabled", false);
    hf_tw_k_bool(w, "is_self", false);
    hf_tw_k_text(w, "active_time", "0001-01-01T00:00:00Z");
    hf_tw_k_text(w, "leader_address", "");
    hf_tw_k_text(w, "leader_cluster_address", "");
    hf_tw_k_bool(w, "performance_standby", false);
    hf_tw_k_int(w, "performance_standby_last_remote_wal", 0);
    hf_tw_end(w);
    return HF_DONE;
}

/* ---- rekey ---- */

static void put_rekey_status(struct hf_tree_writer *w, const struct hf_quorum_status *status)
{
    put_id(w, "nonce", status->nonce);
    hf_tw_k_bool(w, "started", status->started);
    hf_tw_k_int(w, "t", status->new_threshold);
    hf_tw_k_int(w, "n", status->new_shares);
    hf_tw_k_int(w, "progress", status->progress);
    hf_tw_k_int(w, "required", status->required);
    put_null(w, "pgp_fingerprints");
    hf_tw_k_bool(w, "backup", false);
    hf_tw_k_bool(w, "verification_required", status->verification_required);
    put_id(w, "verification_nonce", status->verification_nonce);
}

static void answer_rekey(struct hf_call *call, const struct hf_quorum_status *status)
{
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(call->w);
    put_rekey_status(call->w, status);
    hf_tw_end(call->w);
}

hf_result hf_sys_rekey_read(struct hf_core *core, struct hf_call *call)
{
    struct hf_quorum_status status;
    TRY(hf_rekey_status(core->seal, &status));
    answer_rekey(call, &status);
    return HF_DONE;
}

hf_result hf_sys_rekey_begin(struct hf_core *core, struct hf_call *call)
{
    uint32_t shares;
    uint32_t threshold;
    bool verify = false;
    bool backup = false;
    TRY(read_shares(call, &shares, &threshold));
    if (!HF_IS_OK(hf_tree_bool(&call->args, "require_verification", false, &verify)) ||
        !HF_IS_OK(hf_tree_bool(&call->args, "backup", false, &backup)))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "require_verification and backup must be true or false");
    if (backup)
        return hf_call_fail(call, HF_BAD_ARGUMENT,
                            "cannot request a backup of the new keys without PGP keys");
    struct hf_quorum_status status;
    hf_result begun = hf_rekey_begin(core->seal, shares, threshold, verify, &status);
    if (begun.code == HF_ALREADY)
        return hf_call_fail(call, HF_ALREADY, "rekey already in progress");
    TRY(begun);
    answer_rekey(call, &status);
    return HF_DONE;
}

hf_result hf_sys_rekey_cancel(struct hf_core *core, struct hf_call *call)
{
    TRY(hf_rekey_cancel(core->seal));
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

hf_result hf_sys_rekey_update(struct hf_core *core, struct hf_call *call)
{
    struct hf_cursor key = {0};
    struct hf_id nonce = {0};
    TRY(read_key_and_nonce(call, &key, &nonce));
    CLEANUP(hf_share_set_done) struct hf_share_set set = {.count = 0};
    struct hf_quorum_status status;
    const char *why = "";
    TRY(begin_leaf(core, call));
    TRY(because(call, hf_rekey_offer(core->seal, nonce, key, &status, &set, &why), &why));
    end_leaf(core, call);
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(call->w);
    hf_result written = HF_DONE;
    if (set.count > 0) {
        put_id(call->w, "nonce", nonce);
        hf_tw_k_bool(call->w, "complete", true);
        written = hf_share_set_write(&set, call->w);
        put_null(call->w, "pgp_fingerprints");
        hf_tw_k_bool(call->w, "backup", false);
        hf_tw_k_bool(call->w, "verification_required", status.verification_required);
        put_id(call->w, "verification_nonce", status.verification_nonce);
    } else {
        put_rekey_status(call->w, &status);
        hf_tw_k_bool(call->w, "complete", false);
    }
    hf_tw_end(call->w);
    return written;
}

static void answer_verification(struct hf_call *call, const struct hf_quorum_status *status)
{
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(call->w);
    put_id(call->w, "nonce", status->verification_nonce);
    hf_tw_k_bool(call->w, "started", status->verifying);
    hf_tw_k_int(call->w, "t", status->new_threshold);
    hf_tw_k_int(call->w, "n", status->new_shares);
    hf_tw_k_int(call->w, "progress", status->verification_progress);
    hf_tw_k_bool(call->w, "complete", false);
    hf_tw_end(call->w);
}

hf_result hf_sys_rekey_verify_read(struct hf_core *core, struct hf_call *call)
{
    struct hf_quorum_status status;
    TRY(hf_rekey_status(core->seal, &status));
    if (!status.verifying)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "no rekey verification is under way");
    answer_verification(call, &status);
    return HF_DONE;
}

hf_result hf_sys_rekey_verify(struct hf_core *core, struct hf_call *call)
{
    struct hf_cursor key = {0};
    struct hf_id nonce = {0};
    TRY(read_key_and_nonce(call, &key, &nonce));
    struct hf_quorum_status status;
    bool complete = false;
    const char *why = "";
    TRY(begin_leaf(core, call));
    TRY(because(call, hf_rekey_verify(core->seal, nonce, key, &complete, &status, &why), &why));
    end_leaf(core, call);
    if (!complete) {
        answer_verification(call, &status);
        return HF_DONE;
    }
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(call->w);
    put_id(call->w, "nonce", nonce);
    hf_tw_k_bool(call->w, "complete", true);
    hf_tw_end(call->w);
    return HF_DONE;
}

hf_result hf_sys_rekey_verify_restart(struct hf_core *core, struct hf_call *call)
{
    hf_result restarted = hf_rekey_verify_restart(core->seal);
    if (restarted.code == HF_BAD_ARGUMENT)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "no rekey verification is under way");
    TRY(restarted);
    return hf_sys_rekey_verify_read(core, call);
}

/* ---- generate-root ---- */

static void put_root_status(struct hf_tree_writer *w, const struct hf_quorum_status *status, bool complete,
                            struct hf_cursor encoded)
{
    put_id(w, "nonce", status->nonce);
    hf_tw_k_bool(w, "started", status->started);
    hf_tw_k_int(w, "progress", status->progress);
    hf_tw_k_int(w, "required", status->required);
    hf_tw_k_bool(w, "complete", complete);
    hf_tw_k_slice(w, "encoded_token", encoded);
    hf_tw_k_slice(w, "encoded_root_token", encoded);
    hf_tw_k_text(w, "pgp_fingerprint", "");
}

static void answer_root(struct hf_call *call, const struct hf_quorum_status *status, struct hf_cursor otp)
{
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(call->w);
    put_root_status(call->w, status, false, hf_cursor(NULL, 0));
    hf_tw_k_slice(call->w, "otp", otp);
    hf_tw_k_int(call->w, "otp_length", HF_ROOT_TOKEN_LEN);
    hf_tw_end(call->w);
}

hf_result hf_sys_generate_root_read(struct hf_core *core, struct hf_call *call)
{
    struct hf_quorum_status status;
    size_t otp_len;
    TRY(hf_generate_root_status(core->seal, &status, &otp_len));
    answer_root(call, &status, hf_cursor(NULL, 0));
    return HF_DONE;
}

/* Letters and digits, each as likely. */
static hf_result make_otp(uint8_t otp[static HF_ROOT_TOKEN_LEN])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    enum { LETTERS = sizeof(letters) - 1, FAIR = 256 / LETTERS * LETTERS };
    size_t made = 0;
    while (made < HF_ROOT_TOKEN_LEN) {
        uint8_t draw[64];
        TRY(hf_random(draw, sizeof(draw)));
        for (size_t i = 0; i < sizeof(draw) && made < HF_ROOT_TOKEN_LEN; i++)
            if (draw[i] < FAIR)
                otp[made++] = (uint8_t)letters[draw[i] % LETTERS];
        hf_wipe(draw, sizeof(draw));
    }
    return HF_DONE;
}

hf_result hf_sys_generate_root_begin(struct hf_core *core, struct hf_call *call)
{
    struct hf_cursor otp;
    TRY(read_text(call, "otp", &otp));
    if (is_asked(&call->args, "pgp_key"))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "pgp_key is not supported by this version: use an otp");
    bool given = otp.left > 0;
    if (given && otp.left != HF_ROOT_TOKEN_LEN)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "OTP string is wrong length: otp_length says how long");
    if (!given) {
        uint8_t *made = hf_scratch_alloc(call->scratch, HF_ROOT_TOKEN_LEN);
        if (made == NULL)
            return HF_FAIL(NO_MEMORY);
        TRY(make_otp(made));
        otp = hf_cursor(made, HF_ROOT_TOKEN_LEN);
    }
    struct hf_quorum_status status;
    hf_result begun = hf_generate_root_begin(core->seal, otp, &status);
    if (begun.code == HF_ALREADY)
        return hf_call_fail(call, HF_ALREADY, "root generation already in progress");
    TRY(begun);
    answer_root(call, &status, given ? hf_cursor(NULL, 0) : otp);
    return HF_DONE;
}

hf_result hf_sys_generate_root_cancel(struct hf_core *core, struct hf_call *call)
{
    TRY(hf_generate_root_cancel(core->seal));
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}

/* The token, XORed with the one-time password, in base64 without padding. */
static hf_result encode_token(struct hf_buf *token, struct hf_cursor otp, struct hf_buf *out)
{
    if (token->len != otp.left)
        return HF_FAIL(INTERNAL);
    for (size_t i = 0; i < token->len; i++)
        token->at[i] ^= otp.at[i];
    hf_base64_encode(out, hf_buf_cursor(token));
    TRY(hf_buf_ok(out));
    while (out->len > 0 && out->at[out->len - 1] == '=')
        out->len--;
    return HF_DONE;
}

static hf_result make_root(struct hf_core *core, struct hf_call *call, struct hf_cursor otp,
                           struct hf_buf *out)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    uint8_t *space = hf_scratch_alloc(call->scratch, HF_TOKEN_TEXT_MAX);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf token = hf_buf(space, HF_TOKEN_TEXT_MAX);
    struct hf_auth_commit by = {core, call};
    struct hf_commit commit = hf_auth_commit(&by);
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(u->records, &txn));
    TRY(hf_token_create_root(u->policy, call->ns, hf_cursor(NULL, 0), txn, &commit, &token));
    return encode_token(&token, otp, out);
}

hf_result hf_sys_generate_root_update(struct hf_core *core, struct hf_call *call)
{
    struct hf_cursor key = {0};
    struct hf_id nonce = {0};
    TRY(read_key_and_nonce(call, &key, &nonce));
    uint8_t *space = hf_scratch_alloc(call->scratch, HF_SEAL_OTP_MAX + HF_BASE64_LEN(HF_SEAL_OTP_MAX));
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf otp = hf_buf(space, HF_SEAL_OTP_MAX);
    struct hf_buf encoded = hf_buf(space + HF_SEAL_OTP_MAX, HF_BASE64_LEN(HF_SEAL_OTP_MAX));
    struct hf_quorum_status status;
    bool complete = false;
    const char *why = "";
    call->audit.operation = call->op->name;
    TRY(because(call, hf_generate_root_offer(core->seal, nonce, key, &complete, &otp, &status, &why), &why));
    if (complete)
        TRY(make_root(core, call, hf_buf_cursor(&otp), &encoded));
    call->shape = HF_ANSWER_TOP;
    hf_tw_map(call->w);
    put_root_status(call->w, &status, complete, hf_buf_cursor(&encoded));
    hf_tw_end(call->w);
    return HF_DONE;
}

/* ---- the namespace's key-encryption key ---- */

hf_result hf_sys_key_status(struct hf_core *core, struct hf_call *call)
{
    struct hf_kek_info info;
    TRY(hf_seal_kek_info(core->seal, call->ns, &info));
    call->shape = HF_ANSWER_BOTH;
    hf_tw_map(call->w);
    hf_tw_k_int(call->w, "term", info.generation);
    char text[40];
    struct hf_buf time = hf_buf(text, sizeof(text));
    hf_time_rfc3339(&time, info.created_ns);
    hf_tw_k_slice(call->w, "install_time", hf_buf_cursor(&time));
    hf_tw_k_int(call->w, "encryptions", 0);
    hf_tw_end(call->w);
    return HF_DONE;
}

hf_result hf_sys_rotate(struct hf_core *core, struct hf_call *call)
{
    uint32_t generation;
    TRY(begin_leaf(core, call));
    TRY(hf_seal_kek_rotate(core->seal, call->ns, &generation));
    end_leaf(core, call);
    hf_log(HF_LOG_INFO, "seal.kek_rotated", hf_f("generation", generation));
    call->shape = HF_ANSWER_NONE;
    return HF_DONE;
}
