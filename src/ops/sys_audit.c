/* The audit log for those who read it: checkpoints, entries, proofs, tiles, export. None of it can change it. */
#include "ops/core.h"
#include "ops/handlers.h"
#include "base/encode.h"
#include "tlog/export.h"

enum {
    ENTRIES_DEFAULT = 100,
    ENTRIES_MAX = 1000,
    TEXT_BYTES = 16 << 10,
    PROOF_BYTES = 32 << 10,
    TILE_BYTES = 64 << 10,
    SECTION_HEAD = 16 << 10,
    SECTION_ENTRY = 8 + HF_ENTRY_LEAF + 2 + HF_ENTRY_OPENING_MAX + HF_TLOG_HASH,
};
#define TEXT_TYPE "text/plain; charset=utf-8"

static hf_result log_of(struct hf_core *core, struct hf_audit **ret_audit)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    *ret_audit = u->audit;
    return HF_DONE;
}

static hf_result space(struct hf_call *call, size_t bytes, struct hf_buf *ret)
{
    void *memory = hf_scratch_alloc(call->scratch, bytes);
    if (memory == NULL)
        return HF_FAIL(NO_MEMORY);
    *ret = hf_buf(memory, bytes);
    return HF_DONE;
}

static hf_result number(struct hf_call *call, const char *name, int64_t fallback, int64_t *ret)
{
    if (!HF_IS_OK(hf_tree_int(&call->args, name, fallback, ret)) || *ret < 0)
        return hf_call_fail_about(call, HF_BAD_ARGUMENT, "this must be a number from 0 up",
                                  hf_cursor_text(name));
    return HF_DONE;
}

/* Details are for those with sudo on the path; others see that there was something, and when. */
static bool sees_details(struct hf_core *core, struct hf_call *call)
{
    bool wanted = true;
    return HF_IS_OK(hf_tree_bool(&call->args, "details", true, &wanted)) && wanted &&
           HF_IS_OK(hf_call_needs(core, call, HF_CAP_SUDO));
}

/* CORRUPT with its reason: an auditor's business. */
static hf_result explain(struct hf_call *call, hf_result result)
{
    return result.code == HF_CORRUPT ? hf_call_fail(call, HF_CORRUPT, hf_audit_fault()) : result;
}

static void answer_text(struct hf_call *call, const struct hf_buf *text)
{
    hf_tw_text(call->w, hf_buf_cursor(text));
    call->shape = HF_ANSWER_TEXT;
    call->content_type = TEXT_TYPE;
}

hf_result hf_audit_op_checkpoint(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    struct hf_buf note;
    bool fresh = false;
    TRY(log_of(core, &audit));
    if (!HF_IS_OK(hf_tree_bool(&call->args, "fresh", false, &fresh)))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "fresh is true or false");
    TRY(space(call, TEXT_BYTES, &note));
    TRY(hf_audit_checkpoint(audit, fresh, &note));
    answer_text(call, &note);
    return HF_DONE;
}

hf_result hf_audit_op_vkeys(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    struct hf_buf lines;
    TRY(log_of(core, &audit));
    TRY(space(call, TEXT_BYTES, &lines));
    TRY(hf_audit_vkeys(audit, &lines));
    answer_text(call, &lines);
    return HF_DONE;
}

/* Without `from`: the last `limit` entries. */
hf_result hf_audit_op_entries(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    int64_t from, limit;
    TRY(log_of(core, &audit));
    TRY(number(call, "limit", ENTRIES_DEFAULT, &limit));
    limit = HF_MIN(limit, (int64_t)ENTRIES_MAX);
    int64_t size = (int64_t)hf_audit_size(audit);
    TRY(number(call, "from", size > limit ? size - limit : 0, &from));
    hf_tw_map(call->w);
    hf_tw_k(call->w, "entries");
    TRY(explain(call,
                hf_audit_entries(audit, (uint64_t)from, (uint32_t)limit, sees_details(core, call), call->w)));
    hf_tw_k_int(call->w, "size", (int64_t)hf_audit_size(audit));
    hf_tw_end(call->w);
    return HF_DONE;
}

static void put_path(struct hf_tree_writer *w, const struct hf_tlog_proof *proof)
{
    hf_tw_k(w, "path");
    hf_tw_array(w);
    for (uint32_t i = 0; i < proof->count; i++)
        hf_tw_bytes(w, hf_cursor(proof->path[i].bytes, HF_TLOG_HASH));
    hf_tw_end(w);
}

static hf_result which_entry(struct hf_call *call, struct hf_audit *audit, uint64_t *ret_index)
{
    struct hf_cursor request = {0};
    if (hf_tree_has(&call->args, "request_id")) {
        struct hf_id id;
        if (!HF_IS_OK(hf_tree_text(&call->args, "request_id", &request)) ||
            !HF_IS_OK(hf_id_parse(request, &id)))
            return hf_call_fail(call, HF_BAD_ARGUMENT, "request_id is no request id");
        hf_result found = hf_audit_find(audit, id, ret_index);
        if (found.code == HF_NOT_FOUND)
            return hf_call_fail(call, HF_NOT_FOUND, "no such request among the last entries; name its index");
        return explain(call, found);
    }
    int64_t index;
    if (!hf_tree_has(&call->args, "index"))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "index or request_id is missing");
    TRY(number(call, "index", 0, &index));
    *ret_index = (uint64_t)index;
    return HF_DONE;
}

hf_result hf_audit_op_prove_inclusion(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    struct hf_buf text;
    uint64_t index = 0;
    TRY(log_of(core, &audit));
    TRY(which_entry(call, audit, &index));
    struct hf_audit_inclusion *in = hf_scratch_alloc(call->scratch, sizeof(*in));
    if (in == NULL)
        return HF_FAIL(NO_MEMORY);
    TRY(space(call, PROOF_BYTES, &text));
    hf_result proved = hf_audit_include(audit, index, sees_details(core, call), in);
    if (proved.code == HF_NOT_FOUND)
        return hf_call_fail(call, HF_NOT_FOUND, "the log has no such entry");
    TRY(explain(call, proved));
    TRY(hf_tlog_proof_write(&text, hf_cursor(in->leaf, sizeof(in->leaf)), index, &in->proof,
                            hf_cursor(in->note, in->note_len)));
    hf_tw_map(call->w);
    hf_tw_k_int(call->w, "index", (int64_t)index);
    hf_tw_k_int(call->w, "size", (int64_t)in->size);
    hf_tw_k_bytes(call->w, "leaf", hf_cursor(in->leaf, sizeof(in->leaf)));
    if (in->opening_len != 0)
        hf_tw_k_bytes(call->w, "opening", hf_cursor(in->opening, in->opening_len));
    hf_tw_k_bytes(call->w, "root", hf_cursor(in->root.bytes, HF_TLOG_HASH));
    put_path(call->w, &in->proof);
    hf_tw_k_slice(call->w, "proof", hf_buf_cursor(&text));
    hf_tw_end(call->w);
    return HF_DONE;
}

hf_result hf_audit_op_prove_consistency(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    int64_t old_size, size;
    struct hf_tlog_proof proof;
    TRY(log_of(core, &audit));
    TRY(number(call, "old", 0, &old_size));
    TRY(number(call, "new", (int64_t)hf_audit_size(audit), &size));
    if (old_size == 0 || old_size > size)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "old and new are sizes: 1 <= old <= new");
    hf_result proved = hf_audit_prove_consistency(audit, (uint64_t)old_size, (uint64_t)size, &proof);
    if (proved.code == HF_NOT_FOUND)
        return hf_call_fail(call, HF_NOT_FOUND, "the log is not that large");
    TRY(explain(call, proved));
    hf_tw_map(call->w);
    hf_tw_k_int(call->w, "old", old_size);
    hf_tw_k_int(call->w, "new", size);
    put_path(call->w, &proof);
    hf_tw_end(call->w);
    return HF_DONE;
}

/* C2SP tlog-tiles, below the prefix v1/audit. */
hf_result hf_audit_op_tile(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    struct hf_buf bytes, path;
    struct hf_cursor rest = hf_call_param(call, "path");
    TRY(log_of(core, &audit));
    TRY(space(call, sizeof("tile/") + rest.left, &path));
    TRY(space(call, TILE_BYTES, &bytes));
    hf_buf_text(&path, "tile/");
    hf_buf_put_cursor(&path, rest);
    TRY(explain(call, hf_audit_tile(audit, hf_buf_cursor(&path), &bytes)));
    hf_tw_bytes(call->w, hf_buf_cursor(&bytes));
    call->shape = HF_ANSWER_RAW;
    return HF_DONE;
}

/* Sections of an export; an empty one where there is no more. */
hf_result hf_audit_op_export(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    int64_t from, limit, until;
    uint64_t next;
    TRY(log_of(core, &audit));
    TRY(number(call, "from", 0, &from));
    TRY(number(call, "until", INT64_MAX, &until));
    TRY(number(call, "limit", HF_EXPORT_SECTION_MAX, &limit));
    limit = HF_MIN(limit, (int64_t)HF_EXPORT_SECTION_MAX);
    size_t sections = (size_t)limit / HF_EXPORT_SECTION + 2; /* the first and the last may be parts */
    size_t most = sections * SECTION_HEAD + (size_t)limit * SECTION_ENTRY;
    uint8_t *place = hf_tw_bytes_reserve(call->w, most);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    struct hf_buf out = hf_buf(place, most);
    hf_result written = hf_audit_export(audit, (uint64_t)from, (uint64_t)until, (uint32_t)limit,
                                        sees_details(core, call), &out, &next);
    if (written.code == HF_BAD_ARGUMENT)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "from lies beyond the last checkpoint");
    TRY(explain(call, written));
    hf_tw_trim(call->w, most, out.len);
    call->shape = HF_ANSWER_RAW;
    return HF_DONE;
}

/* ---- what clients of Vault's API ask about audit ---- */

hf_result hf_sys_audit_list(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    TRY(log_of(core, &audit));
    hf_tw_map(call->w);
    hf_tw_k(call->w, "audit/");
    hf_tw_map(call->w);
    hf_tw_k_text(call->w, "type", "tlog");
    hf_tw_k_text(call->w, "path", "audit/");
    hf_tw_k_text(call->w, "description", "transparency log; always on, cannot be disabled");
    hf_tw_k_bool(call->w, "local", true);
    hf_tw_k(call->w, "options");
    hf_tw_map(call->w);
    hf_tw_k_text(call->w, "durability", core->config.audit_strict ? "strict" : "batched");
    hf_tw_end(call->w);
    hf_tw_end(call->w);
    hf_tw_end(call->w);
    call->shape = HF_ANSWER_BOTH;
    return HF_DONE;
}

/* What a value (a whole request path, say) looks like in the log. */
hf_result hf_sys_audit_hash(struct hf_core *core, struct hf_call *call)
{
    struct hf_audit *audit = NULL;
    struct hf_cursor input;
    uint8_t hash[32], text_bytes[16 + HF_HEX_LEN(HF_ENTRY_PATH)];
    struct hf_buf text = hf_buf(text_bytes, sizeof(text_bytes));
    TRY(log_of(core, &audit));
    if (!HF_IS_OK(hf_tree_text(&call->args, "input", &input)) || input.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "the input is missing");
    TRY(hf_audit_hash(audit, input, hash));
    hf_buf_text(&text, "hmac-sha256:");
    hf_hex_encode(&text, hf_cursor(hash, HF_ENTRY_PATH));
    hf_tw_map(call->w);
    hf_tw_k_slice(call->w, "hash", hf_buf_cursor(&text));
    hf_tw_end(call->w);
    call->shape = HF_ANSWER_BOTH;
    return HF_DONE;
}
