/* From an entry to a leaf with its commitment and a sealed detail, and back. */
#include "audit/internal.h"

#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/sha256.h"

#include <assert.h>
#include <stdlib.h>

/* ---- keyed hashes of paths, which repeat ---- */

enum { PATH_SLOTS = 64, PATH_KEPT_MAX = 127 };
struct audit_paths {
    struct {
        uint8_t len; /* 0: empty */
        uint8_t path[PATH_KEPT_MAX];
        uint8_t hash[HF_ENTRY_PATH];
    } slots[PATH_SLOTS];
};

static_assert((PATH_SLOTS & (PATH_SLOTS - 1)) == 0, "slots are found by mask");

/* By its ends: paths differ in the mount and in the key's name. */
static unsigned path_slot(struct hf_cursor path)
{
    uint64_t head = 0, tail = 0;
    size_t part = HF_MIN(path.left, sizeof(head));
    memcpy(&head, path.at, part);
    memcpy(&tail, path.at + path.left - part, part);
    uint64_t mixed = (head + path.left) * UINT64_C(0x9e3779b97f4a7c15) ^ tail * UINT64_C(0xc2b2ae3d27d4eb4f);
    return (unsigned)(mixed >> 48) & (PATH_SLOTS - 1);
}

static hf_result hash_path(struct audit_sealer *sealer, struct hf_cursor path,
                           uint8_t ret_hash[HF_ENTRY_PATH])
{
    struct audit_paths *paths = sealer->paths;
    bool kept = path.left <= PATH_KEPT_MAX;
    unsigned slot = kept ? path_slot(path) : 0;
    if (kept && hf_cursor_same(path, hf_cursor(paths->slots[slot].path, paths->slots[slot].len))) {
        memcpy(ret_hash, paths->slots[slot].hash, HF_ENTRY_PATH);
        return HF_DONE;
    }
    uint8_t mac[32];
    TRY(hf_audit_hash(sealer->audit, path, mac));
    memcpy(ret_hash, mac, HF_ENTRY_PATH);
    if (kept) {
        memcpy(paths->slots[slot].path, path.at, path.left);
        paths->slots[slot].len = (uint8_t)path.left;
        memcpy(paths->slots[slot].hash, mac, HF_ENTRY_PATH);
    }
    return HF_DONE;
}

hf_result hf_audit_hash(struct hf_audit *audit, struct hf_cursor value, uint8_t ret_hash[static 32])
{
    return hf_hmac(HF_SHA2_256, audit->hash_key, &value, 1, ret_hash);
}

/* ---- sealer ---- */

void audit_sealer_free(struct audit_sealer *sealer)
{
    if (sealer == NULL)
        return;
    hf_aead_free(sealer->aead);
    if (sealer->paths != NULL)
        hf_wipe(sealer->paths, sizeof(*sealer->paths));
    free(sealer->paths);
    hf_wipe(sealer, sizeof(*sealer));
    free(sealer);
}

hf_result audit_sealer_new(struct hf_audit *audit, struct audit_sealer **ret_sealer)
{
    struct audit_sealer *sealer = calloc(1, sizeof(*sealer));
    if (sealer == NULL)
        return HF_FAIL(NO_MEMORY);
    sealer->audit = audit;
    sealer->paths = calloc(1, sizeof(*sealer->paths));
    if (sealer->paths == NULL) {
        audit_sealer_free(sealer);
        return HF_FAIL(NO_MEMORY);
    }
    *ret_sealer = sealer;
    return HF_DONE;
}

static hf_result segment_aead(const struct hf_audit *audit, const uint8_t incarnation[AUDIT_INCARNATION],
                              uint64_t segment, struct hf_aead **ret_aead)
{
    uint8_t bytes[16 + AUDIT_INCARNATION + 8];
    struct hf_buf context = hf_buf(bytes, sizeof(bytes));
    hf_buf_put(&context, audit->config.log.bytes, sizeof(audit->config.log.bytes));
    hf_buf_put(&context, incarnation, AUDIT_INCARNATION);
    hf_buf_u64(&context, segment);
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    TRY(hf_derive(audit->detail_key, "audit detail", hf_buf_cursor(&context), 32, &key));
    return hf_aead_new(HF_ALG_AES256_GCM96, key, ret_aead);
}

static hf_result key_sealer(struct audit_sealer *sealer, uint64_t index)
{
    uint64_t segment = index >> AUDIT_SEGMENT_SHIFT;
    if (sealer->keyed && sealer->segment == segment)
        return HF_DONE;
    struct hf_aead *aead = NULL;
    TRY(segment_aead(sealer->audit, sealer->audit->incarnation, segment, &aead));
    hf_aead_free(sealer->aead);
    sealer->aead = aead;
    sealer->segment = segment;
    sealer->keyed = true;
    return HF_DONE;
}

static hf_result take_salt(struct audit_sealer *sealer, uint8_t ret_salt[HF_ENTRY_SALT])
{
    if (sealer->salts_left == 0) {
        TRY(hf_random(sealer->salts, sizeof(sealer->salts)));
        sealer->salts_left = HF_ARRAY_LEN(sealer->salts);
    }
    memcpy(ret_salt, sealer->salts[--sealer->salts_left], HF_ENTRY_SALT);
    return HF_DONE;
}

uint64_t audit_now_ms(const struct hf_audit *audit)
{
    return (uint64_t)(hf_wall_ns(audit->clock) / HF_MILLISECOND);
}

hf_result audit_encode(struct audit_sealer *sealer, const struct hf_audit_entry *entry, uint64_t time_ms,
                       struct hf_buf *out, struct hf_entry_leaf *ret_leaf)
{
    struct hf_entry_detail detail = {
        .request_id = entry->request_id,
        .accessor = entry->accessor,
        .key_id = entry->key_id,
        .key_version = entry->key_version,
        .items = entry->items,
        .has_path = entry->path.left != 0,
        .tls_group = entry->tls_group,
        .level_dev = entry->level_dev,
        .operation = hf_cursor_text(entry->operation != NULL ? entry->operation : ""),
        .mount = entry->mount,
        .outcome = hf_cursor_text(hf_code_name(entry->outcome)),
        .asset = entry->asset,
        .note = entry->note,
    };
    memcpy(detail.peer_ip, entry->peer_ip, sizeof(detail.peer_ip));
    if (detail.has_path)
        TRY(hash_path(sealer, entry->path, detail.path));
    uint8_t salt[HF_ENTRY_SALT];
    TRY(take_salt(sealer, salt));
    size_t begin = out->len;
    hf_entry_opening_write(out, salt, &detail);
    hf_wipe(salt, sizeof(salt));
    TRY(hf_buf_ok(out));
    ret_leaf->kind = HF_ENTRY_AUDIT;
    ret_leaf->time_ms = time_ms;
    hf_sha256_short(out->at + begin, out->len - begin, ret_leaf->commitment.bytes);
    return HF_DONE;
}

/* ---- records ---- */

void audit_batch_header(const struct hf_audit *audit, struct hf_buf *out, uint64_t first, uint32_t count)
{
    hf_buf_u8(out, AUDIT_BATCH_VERSION);
    hf_buf_put(out, audit->incarnation, AUDIT_INCARNATION);
    hf_buf_u64(out, first);
    hf_buf_u32(out, count);
}

static struct hf_cursor write_ad(uint8_t ad[AUDIT_AD], uint64_t index, const struct hf_entry_leaf *leaf,
                                 const uint64_t *position)
{
    hf_store_u64(ad, index);
    ad[8] = (uint8_t)leaf->kind;
    hf_store_u64(ad + 9, leaf->time_ms);
    if (position != NULL)
        hf_store_u64(ad + 17, *position);
    return hf_cursor(ad, position != NULL ? AUDIT_AD : AUDIT_AD - 8);
}

hf_result audit_record(struct audit_sealer *sealer, uint64_t index, const struct hf_entry_leaf *leaf,
                       const uint64_t *position, struct hf_cursor opening, struct hf_buf *out,
                       struct hf_tlog_hash *ret_hash)
{
    uint8_t ad[AUDIT_AD];
    TRY(key_sealer(sealer, index));
    uint8_t *place = hf_buf_reserve(out, HF_ENTRY_LEAF);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    hf_entry_leaf_write(place, leaf);
    *ret_hash = hf_tlog_leaf(hf_cursor(place, HF_ENTRY_LEAF));
    hf_buf_u16(out, (uint16_t)(1 + (position != NULL ? 8 : 0) + opening.left + AUDIT_TAG));
    hf_buf_u8(out, position != NULL ? AUDIT_DETAIL_VERSION_POSITION : AUDIT_DETAIL_VERSION);
    if (position != NULL)
        hf_buf_u64(out, *position);
    const struct hf_cursor bound = write_ad(ad, index, leaf, position);
    return hf_aead_seal_nonce(sealer->aead, hf_cursor(leaf->commitment.bytes, AUDIT_NONCE), opening, bound,
                              out);
}

void audit_record_void(struct hf_buf *out, uint64_t time_ms, struct hf_tlog_hash *ret_hash)
{
    uint8_t bytes[HF_ENTRY_LEAF];
    const struct hf_entry_leaf leaf = {.kind = HF_ENTRY_VOID, .time_ms = time_ms};
    hf_entry_leaf_write(bytes, &leaf);
    *ret_hash = hf_tlog_leaf(hf_cursor(bytes, sizeof(bytes)));
    hf_buf_put(out, bytes, sizeof(bytes));
    hf_buf_u16(out, 0);
}

hf_result audit_batch_walk(const struct hf_audit_batch *batch, audit_record_fn each, void *arg)
{
    struct hf_cursor in = batch->blob, incarnation;
    uint8_t version;
    uint64_t first;
    uint32_t count;
    if (!hf_cursor_u8(&in, &version) || version != AUDIT_BATCH_VERSION ||
        !hf_cursor_take(&in, AUDIT_INCARNATION, &incarnation) || !hf_cursor_u64(&in, &first) ||
        first != batch->first || !hf_cursor_u32(&in, &count) || count != batch->count ||
        count > AUDIT_BATCH_ENTRIES || first > UINT64_MAX - AUDIT_BATCH_ENTRIES)
        return HF_FAIL(CORRUPT);
    for (uint32_t i = 0; i < count; i++) {
        struct audit_record record = {.index = first + i, .incarnation = incarnation.at};
        if (!hf_cursor_take(&in, HF_ENTRY_LEAF, &record.leaf) || !hf_cursor_vec16(&in, &record.sealed))
            return HF_FAIL(CORRUPT);
        if (!each(arg, &record))
            return HF_DONE;
    }
    return in.left == 0 ? HF_DONE : HF_FAIL(CORRUPT);
}

/* ---- opening ---- */

void audit_opener_done(struct audit_opener *opener)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(opener->keys); i++)
        hf_aead_freep(&opener->keys[i].aead);
}

static hf_result opener_key(struct audit_opener *opener, const struct audit_record *record,
                            struct hf_aead **ret_aead)
{
    uint64_t segment = record->index >> AUDIT_SEGMENT_SHIFT;
    for (size_t i = 0; i < HF_ARRAY_LEN(opener->keys); i++) {
        if (opener->keys[i].aead != NULL && opener->keys[i].segment == segment &&
            memcmp(opener->keys[i].incarnation, record->incarnation, AUDIT_INCARNATION) == 0) { /* public */
            *ret_aead = opener->keys[i].aead;
            return HF_DONE;
        }
    }
    struct hf_aead *aead = NULL;
    TRY(segment_aead(opener->audit, record->incarnation, segment, &aead));
    unsigned slot = opener->next++ % HF_ARRAY_LEN(opener->keys);
    hf_aead_free(opener->keys[slot].aead);
    opener->keys[slot].aead = aead;
    opener->keys[slot].segment = segment;
    memcpy(opener->keys[slot].incarnation, record->incarnation, AUDIT_INCARNATION);
    *ret_aead = aead;
    return HF_DONE;
}

hf_result audit_open_record(struct audit_opener *opener, const struct audit_record *record,
                            struct hf_buf *out_opening)
{
    struct hf_entry_leaf leaf;
    uint8_t ad[AUDIT_AD], version;
    if (!HF_IS_OK(hf_entry_leaf_read(record->leaf, &leaf)))
        return HF_FAIL(CORRUPT);
    if (leaf.kind == HF_ENTRY_VOID)
        return record->sealed.left == 0 ? HF_FAIL(NOT_FOUND) : HF_FAIL(CORRUPT);
    struct hf_cursor sealed = record->sealed;
    uint64_t position = 0;
    if (!hf_cursor_u8(&sealed, &version) ||
        (version != AUDIT_DETAIL_VERSION &&
         (version != AUDIT_DETAIL_VERSION_POSITION || !hf_cursor_u64(&sealed, &position))))
        return HF_FAIL(CORRUPT);
    struct hf_aead *aead = NULL;
    TRY(opener_key(opener, record, &aead));
    size_t begin = out_opening->len;
    const struct hf_cursor bound =
        write_ad(ad, record->index, &leaf, version == AUDIT_DETAIL_VERSION_POSITION ? &position : NULL);
    hf_result opened =
        hf_aead_open_nonce(aead, hf_cursor(leaf.commitment.bytes, AUDIT_NONCE), sealed, bound, out_opening);
    if (opened.code == HF_BAD_CIPHERTEXT)
        return HF_FAIL(CORRUPT);
    TRY(opened);
    opener->position = HF_MAX(opener->position, position);
    struct hf_cursor opening = hf_cursor(out_opening->at + begin, out_opening->len - begin);
    return HF_IS_OK(hf_entry_opening_check(&leaf, opening)) ? HF_DONE : HF_FAIL(CORRUPT);
}
