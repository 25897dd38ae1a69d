#include "seal/seal.h"

#include "records/records.h"
#include "seal/internal.h"

static const struct hf_id only;
static const uint8_t root_namespace[16];

hf_result hf_seal_open(struct hf_store *store, const struct hf_clock *clock, struct hf_seal **ret_seal)
{
    struct hf_seal *seal = hf_arena_alloc(sizeof(*seal));
    if (seal == NULL)
        return HF_FAIL(NO_MEMORY);
    memset(seal, 0, sizeof(*seal));
    pthread_mutex_init(&seal->mutex, NULL);
    seal->store = store;
    seal->clock = clock;
    hf_result known = seal_know_row(seal);
    if (!HF_IS_OK(known))
        hf_log(HF_LOG_WARN, "seal.row_unread", hf_f("result", known));
    *ret_seal = seal;
    return HF_DONE;
}

void hf_seal_close(struct hf_seal *seal)
{
    if (seal == NULL)
        return;
    hf_seal_lock(seal);
    pthread_mutex_destroy(&seal->mutex);
    hf_arena_free(seal);
}

/* ---- the rows ---- */

hf_result seal_know_row(struct hf_seal *seal)
{
    if (seal->row_known)
        return HF_DONE;
    uint8_t space[SEAL_ROW_MAX + 256];
    struct hf_buf buf = hf_buf(space, sizeof(space));
    struct hf_row row = {0};
    hf_result got = seal->store->ops->get(seal->store, HF_TABLE_SEAL, only, &buf, &row);
    if (HF_IS_OK(got)) {
        TRY(seal_row_read(row.sealed, &seal->row));
        seal->row_rev = row.rev;
        if (seal->state == SEAL_UNINITIALIZED)
            TRY(seal_become(seal, SEAL_SEALED));
    } else if (got.code == HF_TOO_LARGE) {
        return HF_FAIL(CORRUPT);
    } else if (got.code != HF_NOT_FOUND) {
        return got;
    }
    seal->row_known = true;
    return HF_DONE;
}

hf_result seal_load_keyring(struct hf_seal *seal, const struct root_keys *keys, struct hf_keyring *ret_ring,
                            struct keks *ret_keks, uint64_t *ret_rev)
{
    uint8_t clear_space[SEAL_ROW_MAX];
    struct hf_buf clear = hf_buf(clear_space, sizeof(clear_space));
    seal_row_write(&seal->row, &clear);
    size_t room = SEAL_KEYRING_MAX + 256;
    uint8_t *space = malloc(room);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf buf = hf_buf(space, room);
    struct hf_row row = {0};
    hf_result done = seal->store->ops->get(seal->store, HF_TABLE_KEYRING, only, &buf, &row);
    if (done.code == HF_NOT_FOUND || done.code == HF_TOO_LARGE)
        done = HF_FAIL(CORRUPT);
    if (HF_IS_OK(done))
        done = keyring_read(row.sealed, keys, hf_buf_cursor(&clear), row.rev, ret_ring, ret_keks);
    if (HF_IS_OK(done))
        *ret_rev = row.rev;
    free(space);
    return done;
}

/* ---- status ---- */

hf_result hf_seal_status(struct hf_seal *seal, struct hf_seal_status *ret_status)
{
    HOLD(seal);
    TRY(seal_know_row(seal));
    bool initialized = seal->state != SEAL_UNINITIALIZED;
    *ret_status = (struct hf_seal_status){
        .initialized = initialized,
        .sealed = seal->state != SEAL_UNSEALED,
        .threshold = seal->row.threshold,
        .shares = seal->row.count,
        .progress = seal->unseal.count,
        .nonce = seal->unseal.nonce,
        .set = seal->row.set,
        .generation = seal->row.generation,
        .cluster = seal->row.cluster,
    };
    return HF_DONE;
}

const struct hf_keyring *hf_seal_keyring(struct hf_seal *seal)
{
    HOLD(seal);
    return seal->state == SEAL_UNSEALED ? &seal->ring : NULL;
}

/* ---- shares as they are handed out ---- */

void hf_share_set_done(struct hf_share_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        hf_share_done(&set->shares[i]);
    set->count = 0;
}

hf_result hf_share_set_write(const struct hf_share_set *set, struct hf_tree_writer *w)
{
    static const struct {
        const char *name;
        enum hf_share_format format;
    } members[] = {{"keys", HF_SHARE_HEX}, {"keys_base64", HF_SHARE_BASE64}, {"share_cards", HF_SHARE_CARD}};
    for (size_t m = 0; m < HF_ARRAY_LEN(members); m++) {
        hf_tw_k(w, members[m].name);
        hf_tw_array(w);
        for (uint32_t i = 0; i < set->count; i++) {
            size_t len = hf_share_text_len(&set->shares[i], members[m].format);
            uint8_t *place = hf_tw_text_reserve(w, len);
            if (place == NULL)
                return HF_FAIL(TOO_LARGE);
            struct hf_buf out = hf_buf(place, len);
            TRY(hf_share_text(&set->shares[i], members[m].format, &out));
        }
        hf_tw_end(w);
    }
    return HF_DONE;
}

/* ---- init ---- */

hf_result seal_new_generation(const struct seal_row *base, uint32_t count, uint32_t threshold,
                              struct seal_row *ret_row, struct hf_share_set *ret_set,
                              struct root_keys *ret_keys)
{
    if (threshold < 1 || threshold > count || count > HF_SHARES_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    struct seal_row row = *base;
    row.generation++;
    row.threshold = (uint8_t)threshold;
    row.count = (uint8_t)count;
    memset(row.commitments, 0, sizeof(row.commitments));
    CLEANUP(hf_secret_freep) struct hf_secret *root = NULL;
    CLEANUP(hf_share_set_done) struct hf_share_set set = {0};
    TRY(hf_random_secret(SEAL_ROOT_BYTES, &root));
    TRY(hf_shares_split(root, row.set, row.generation, row.threshold, row.count, set.shares));
    set.count = count;
    for (uint32_t i = 0; i < count; i++)
        TRY(hf_share_commitment(&set.shares[i], row.set, row.generation, row.commitments[i]));
    if (ret_keys != NULL)
        TRY(root_keys_derive(root, &row, ret_keys));
    *ret_row = row;
    *ret_set = set;
    set.count = 0;
    return HF_DONE;
}

hf_result hf_seal_init(struct hf_seal *seal, uint32_t shares, uint32_t threshold,
                       struct hf_share_set *ret_set)
{
    HOLD(seal);
    TRY(seal_know_row(seal));
    if (seal->state != SEAL_UNINITIALIZED)
        return HF_FAIL(ALREADY);
    struct seal_row base = {.created_ns = hf_wall_ns(seal->clock)};
    TRY(hf_random_id(&base.set));
    TRY(hf_random_id(&base.cluster));
    struct seal_row row;
    CLEANUP(hf_share_set_done) struct hf_share_set set = {0};
    CLEANUP(root_keys_done) struct root_keys keys = {0};
    CLEANUP(keyring_done) struct hf_keyring ring = {0};
    CLEANUP(keks_done) struct keks keks = {0};
    CLEANUP(write_done) struct write write = {0};
    TRY(seal_new_generation(&base, shares, threshold, &row, &set, &keys));
    TRY(keyring_make(row.cluster, &ring));
    TRY(keks_make(&keks, keys.kek, root_namespace, 1, row.created_ns));
    TRY(write_prepare(seal, &row, true, &ring, &keks, &keys, &write));
    hf_result done = write_commit(seal, &write);
    if (done.code == HF_CONFLICT || done.code == HF_COMMIT_UNKNOWN)
        seal->row_known = false; /* ask the store what there is now */
    if (done.code == HF_CONFLICT)
        return HF_FAIL(ALREADY);
    TRY(done);
    TRY(seal_become(seal, SEAL_UNSEALED));
    seal->row = row;
    seal->row_rev = write.expect_seal + 1;
    seal->keyring_rev = write.expect_keyring + 1;
    seal->keys = keys;
    seal->ring = ring;
    seal->keks = keks;
    keys = (struct root_keys){0};
    ring = (struct hf_keyring){0};
    keks = (struct keks){0};
    *ret_set = set;
    set.count = 0;
    return HF_DONE;
}

/* ---- unseal, lock ---- */

static hf_result open_with_shares(struct hf_seal *seal, const char **ret_why)
{
    CLEANUP(root_keys_done) struct root_keys keys = {0};
    TRY(gathering_combine(&seal->unseal, &seal->row, &keys));
    hf_result opened = seal_load_keyring(seal, &keys, &seal->ring, &seal->keks, &seal->keyring_rev);
    if (opened.code == HF_CORRUPT)
        *ret_why = "the shares are right, but the stored keyring is damaged or has been altered";
    TRY(opened);
    seal->keys = keys;
    keys = (struct root_keys){0};
    return seal_become(seal, SEAL_UNSEALED);
}

hf_result hf_seal_offer(struct hf_seal *seal, struct hf_cursor share_text, bool *ret_complete,
                        const char **ret_why)
{
    HOLD(seal);
    *ret_complete = false;
    *ret_why = "";
    TRY(seal_know_row(seal));
    TRY(seal_become(seal, SEAL_COLLECTING));
    bool fresh = false;
    hf_result added = gathering_add(&seal->unseal, &seal->row, share_text, &fresh, ret_why);
    hf_result done = added;
    if (HF_IS_OK(added) && fresh && seal->unseal.count >= seal->row.threshold) {
        done = open_with_shares(seal, ret_why);
        if (HF_IS_OK(done)) {
            gathering_reset(&seal->unseal);
            *ret_complete = true;
            return HF_DONE;
        }
        gathering_drop_last(&seal->unseal);
    }
    if (seal->unseal.count == 0) {
        gathering_reset(&seal->unseal);
        TRY(seal_become(seal, SEAL_SEALED));
    }
    return done;
}

void hf_seal_reset(struct hf_seal *seal)
{
    HOLD(seal);
    gathering_reset(&seal->unseal);
    if (seal->state == SEAL_COLLECTING)
        HF_IGNORE(seal_become(seal, SEAL_SEALED), "the table has it");
}

void hf_seal_lock(struct hf_seal *seal)
{
    HOLD(seal);
    gathering_reset(&seal->unseal);
    if (seal->rekey.pending.there) {
        seal->row_known = false;
        hf_log(HF_LOG_ERROR, "seal.rekey_outcome_unknown");
    }
    rekey_reset(&seal->rekey);
    root_attempt_reset(&seal->root);
    keyring_done(&seal->ring);
    root_keys_done(&seal->keys);
    keks_done(&seal->keks);
    if (seal->state == SEAL_UNSEALED || seal->state == SEAL_COLLECTING)
        HF_IGNORE(seal_become(seal, SEAL_SEALED), "the table has it");
}
