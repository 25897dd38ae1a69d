/* Entries as a value tree, for the API. */
#include "audit/internal.h"

#include "base/encode.h"
#include "wire/tree.h"

#include <arpa/inet.h>

static const char *tls_name(uint8_t group)
{
    static const char *const names[] = {"plain", "classical", "hybrid"};
    return group < HF_ARRAY_LEN(names) ? names[group] : "unknown";
}

static bool is_zero(const void *bytes, size_t len)
{
    const uint8_t *b = bytes;
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= b[i];
    return any == 0;
}

static void put_id(struct hf_tree_writer *w, const char *key, struct hf_id id)
{
    char text[HF_ID_TEXT_LEN];
    if (is_zero(&id, sizeof(id)))
        return;
    hf_id_text(id, text);
    hf_tw_k_slice(w, key, hf_cursor(text, sizeof(text)));
}

static void put_peer(struct hf_tree_writer *w, const uint8_t ip[16])
{
    char text[INET6_ADDRSTRLEN] = "";
    if (is_zero(ip, 16))
        return;
    bool v4 = is_zero(ip, 10) && ip[10] == 0xff && ip[11] == 0xff;
    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, text, sizeof(text)) != NULL)
        hf_tw_k_text(w, "remote_address", text);
}

static void put_detail(struct hf_tree_writer *w, const struct hf_entry_detail *d)
{
    hf_tw_map(w);
    put_id(w, "request_id", d->request_id);
    hf_tw_k_slice(w, "operation", d->operation);
    hf_tw_k_slice(w, "outcome", d->outcome);
    hf_tw_k_slice(w, "mount", d->mount);
    if (d->has_path) {
        uint8_t bytes[12 + HF_HEX_LEN(HF_ENTRY_PATH)];
        struct hf_buf text = hf_buf(bytes, sizeof(bytes));
        hf_buf_text(&text, "hmac-sha256:");
        hf_hex_encode(&text, hf_cursor(d->path, HF_ENTRY_PATH));
        hf_tw_k_slice(w, "path", hf_buf_cursor(&text));
    }
    put_id(w, "accessor", d->accessor);
    put_id(w, "key_id", d->key_id);
    if (d->key_version != 0)
        hf_tw_k_int(w, "key_version", d->key_version);
    hf_tw_k_int(w, "items", d->items);
    hf_tw_k_text(w, "tls", tls_name(d->tls_group));
    put_peer(w, d->peer_ip);
    if (d->asset.left != 0)
        hf_tw_k_slice(w, "asset", d->asset);
    if (d->note.left != 0)
        hf_tw_k_slice(w, "note", d->note);
    if (d->level_dev != 0)
        hf_tw_k_bool(w, "dev", true);
    hf_tw_end(w);
}

struct listing {
    struct audit_opener opener;
    struct hf_tree_writer *w;
    bool open;
    hf_result result;
};

static bool put_opened(struct listing *l, const struct audit_record *record)
{
    uint8_t bytes[HF_ENTRY_OPENING_MAX];
    struct hf_buf opening = hf_buf(bytes, sizeof(bytes));
    struct hf_entry_detail detail;
    hf_result result = audit_open_record(&l->opener, record, &opening);
    if (HF_IS_OK(result))
        result = hf_entry_opening_read(hf_buf_cursor(&opening), &detail);
    if (HF_IS_OK(result)) {
        hf_tw_k_bytes(l->w, "opening", hf_buf_cursor(&opening));
        hf_tw_k(l->w, "detail");
        put_detail(l->w, &detail);
    } else if (result.code == HF_CORRUPT || result.code == HF_BAD_SIGNATURE) {
        hf_tw_k_bool(l->w, "altered", true); /* shown, so that the rest can be read */
        HF_IGNORE(audit_fault(l->opener.audit, "its detail was altered", record->index),
                  "it is said in the answer and in the log");
    } else if (result.code != HF_NOT_FOUND) {
        l->result = result;
        return false;
    }
    return true;
}

static bool put_entry(void *arg, const struct audit_record *record)
{
    struct listing *l = arg;
    struct hf_entry_leaf leaf;
    uint8_t bytes[40];
    struct hf_buf time = hf_buf(bytes, sizeof(bytes));
    hf_tw_map(l->w);
    hf_tw_k_int(l->w, "index", (int64_t)record->index);
    hf_tw_k_bytes(l->w, "leaf", record->leaf);
    hf_tw_k_bytes(l->w, "sealed", record->sealed);
    if (HF_IS_OK(hf_entry_leaf_read(record->leaf, &leaf))) {
        hf_time_rfc3339(&time,
                        (int64_t)(leaf.time_ms % (uint64_t)(INT64_MAX / HF_MILLISECOND)) * HF_MILLISECOND);
        hf_tw_k_slice(l->w, "time", hf_buf_cursor(&time));
        if (leaf.kind == HF_ENTRY_VOID)
            hf_tw_k_bool(l->w, "void", true);
    }
    bool going = !l->open || put_opened(l, record);
    hf_tw_end(l->w);
    return going;
}

hf_result hf_audit_entries(struct hf_audit *audit, uint64_t from, uint32_t limit, bool open_details,
                           struct hf_tree_writer *w)
{
    TRY(audit_catch_up(audit));
    struct listing l = {.opener = {.audit = audit}, .w = w, .open = open_details, .result = HF_DONE};
    uint64_t size = hf_audit_size(audit);
    uint64_t to = from >= size ? from : from + HF_MIN((uint64_t)limit, size - from);
    hf_tw_array(w);
    hf_result result = audit_read_range(audit, from, to, put_entry, &l);
    audit_opener_done(&l.opener);
    hf_tw_end(w);
    TRY(result);
    return l.result;
}
