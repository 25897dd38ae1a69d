/* The KEKs of namespaces: wrapped in memory too, unwrapped for each that asks. */

#include "seal/internal.h"

void keks_done(struct keks *keks)
{
    free(keks->at);
    *keks = (struct keks){0};
}

hf_result keks_copy(const struct keks *from, struct keks *ret_keks)
{
    struct keks copy = {.room = from->count + 1}; /* most copies are made to add one */
    copy.at = calloc(copy.room, sizeof(*copy.at));
    if (copy.at == NULL)
        return HF_FAIL(NO_MEMORY);
    if (from->count > 0)
        memcpy(copy.at, from->at, from->count * sizeof(*copy.at));
    copy.count = from->count;
    *ret_keks = copy;
    return HF_DONE;
}

static int compare(const struct kek *kek, const uint8_t ns[16], uint32_t generation)
{
    int order = memcmp(kek->ns, ns, 16); /* public */
    if (order != 0)
        return order;
    return kek->generation < generation ? -1 : kek->generation > generation;
}

/* Index of the first that is not before (ns, generation). */
static size_t lower_bound(const struct keks *keks, const uint8_t ns[16], uint32_t generation)
{
    size_t low = 0;
    size_t high = keks->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&keks->at[middle], ns, generation) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The newest of the namespace; NULL where it never had one. */
static struct kek *newest(const struct keks *keks, const uint8_t ns[16])
{
    size_t end = lower_bound(keks, ns, UINT32_MAX);
    if (end == 0 || memcmp(keks->at[end - 1].ns, ns, 16) != 0) /* public */
        return NULL;
    return &keks->at[end - 1];
}

hf_result keks_make(struct keks *keks, const struct hf_secret *wrapping, const uint8_t ns[16],
                    uint32_t generation, int64_t now_ns)
{
    if (keks->count >= HF_SEAL_KEKS_MAX)
        return HF_FAIL(TOO_LARGE);
    struct kek made = {.generation = generation, .created_ns = now_ns};
    memcpy(made.ns, ns, sizeof(made.ns));
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    TRY(hf_random_secret(SEAL_KEY_BYTES, &key));
    struct hf_buf out = hf_buf(made.wrapped, sizeof(made.wrapped));
    TRY(hf_kwp_wrap(wrapping, key, &out));
    if (keks->count == keks->room) {
        size_t room = keks->room == 0 ? 8 : keks->room * 2;
        struct kek *grown = realloc(keks->at, room * sizeof(*grown));
        if (grown == NULL)
            return HF_FAIL(NO_MEMORY);
        keks->at = grown;
        keks->room = room;
    }
    size_t at = lower_bound(keks, ns, generation);
    memmove(&keks->at[at + 1], &keks->at[at], (keks->count - at) * sizeof(*keks->at));
    keks->at[at] = made;
    keks->count++;
    return HF_DONE;
}

hf_result keks_rewrap(struct keks *keks, const struct hf_secret *from, const struct hf_secret *to)
{
    for (size_t i = 0; i < keks->count; i++) {
        struct kek *kek = &keks->at[i];
        if (kek->erased)
            continue;
        CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
        hf_result opened = hf_kwp_unwrap(from, hf_cursor(kek->wrapped, sizeof(kek->wrapped)), &key);
        if (!HF_IS_OK(opened))
            return opened.code == HF_NO_MEMORY ? opened : HF_FAIL(CORRUPT);
        struct hf_buf out = hf_buf(kek->wrapped, sizeof(kek->wrapped));
        TRY(hf_kwp_wrap(to, key, &out));
    }
    return HF_DONE;
}

hf_result hf_seal_kek(struct hf_seal *seal, struct hf_cursor ns, uint32_t generation,
                      struct hf_secret **ret_kek, uint32_t *ret_generation)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    if (ns.left != 16)
        return HF_FAIL(BAD_ARGUMENT);
    const struct kek *kek = newest(&seal->keks, ns.at);
    if (kek != NULL && generation != 0) {
        size_t at = lower_bound(&seal->keks, ns.at, generation);
        kek = at < seal->keks.count && compare(&seal->keks.at[at], ns.at, generation) == 0
                  ? &seal->keks.at[at]
                  : NULL;
    }
    if (kek == NULL || kek->erased)
        return HF_FAIL(NOT_FOUND);
    hf_result opened = hf_kwp_unwrap(seal->keys.kek, hf_cursor(kek->wrapped, sizeof(kek->wrapped)), ret_kek);
    if (!HF_IS_OK(opened))
        return opened.code == HF_NO_MEMORY ? opened : HF_FAIL(CORRUPT);
    if (ret_generation != NULL)
        *ret_generation = kek->generation;
    return HF_DONE;
}

hf_result hf_seal_kek_info(struct hf_seal *seal, struct hf_cursor ns, struct hf_kek_info *ret_info)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    if (ns.left != 16)
        return HF_FAIL(BAD_ARGUMENT);
    const struct kek *kek = newest(&seal->keks, ns.at);
    if (kek == NULL || kek->erased)
        return HF_FAIL(NOT_FOUND);
    *ret_info = (struct hf_kek_info){kek->generation, kek->created_ns};
    return HF_DONE;
}

/* Writes the keyring with these KEKs; on success they are the seal's. Where another write stands there (one of ours
 * whose outcome was unknown), that one is taken up first, and the caller may try again. */
static hf_result replace_keks(struct hf_seal *seal, struct keks *next)
{
    CLEANUP(write_done) struct write write = {0};
    TRY(write_prepare(seal, &seal->row, false, &seal->ring, next, &seal->keys, &write));
    hf_result done = write_commit(seal, &write);
    if (HF_IS_OK(done)) {
        seal->keyring_rev = write.expect_keyring + 1;
        keks_done(&seal->keks);
        seal->keks = *next;
        *next = (struct keks){0};
    } else if (done.code == HF_CONFLICT) {
        struct hf_keyring ring = {0};
        struct keks stored = {0};
        uint64_t rev;
        hf_result loaded = seal_load_keyring(seal, &seal->keys, &ring, &stored, &rev);
        if (HF_IS_OK(loaded)) {
            keyring_done(&ring); /* the same keys that are held already */
            keks_done(&seal->keks);
            seal->keks = stored;
            seal->keyring_rev = rev;
        } else {
            hf_log(HF_LOG_ERROR, "seal.keyring_changed", hf_f("result", loaded));
        }
    }
    return done;
}

static hf_result add_kek(struct hf_seal *seal, struct hf_cursor ns, uint32_t generation)
{
    struct keks next = {0};
    hf_result done = keks_copy(&seal->keks, &next);
    if (HF_IS_OK(done))
        done = keks_make(&next, seal->keys.kek, ns.at, generation, hf_wall_ns(seal->clock));
    if (HF_IS_OK(done))
        done = replace_keks(seal, &next);
    keks_done(&next);
    return done;
}

hf_result hf_seal_kek_create(struct hf_seal *seal, struct hf_cursor ns)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    if (ns.left != 16)
        return HF_FAIL(BAD_ARGUMENT);
    if (newest(&seal->keks, ns.at) != NULL)
        return HF_FAIL(EXISTS);
    return add_kek(seal, ns, 1);
}

hf_result hf_seal_kek_rotate(struct hf_seal *seal, struct hf_cursor ns, uint32_t *ret_generation)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    if (ns.left != 16)
        return HF_FAIL(BAD_ARGUMENT);
    const struct kek *now = newest(&seal->keks, ns.at);
    if (now == NULL || now->erased)
        return HF_FAIL(NOT_FOUND);
    if (now->generation >= UINT32_MAX - 1)
        return HF_FAIL(TOO_LARGE);
    uint32_t generation = now->generation + 1;
    TRY(add_kek(seal, ns, generation));
    *ret_generation = generation;
    return HF_DONE;
}

hf_result hf_seal_kek_erase(struct hf_seal *seal, struct hf_cursor ns)
{
    HOLD(seal);
    TRY(seal_must_be_unsealed(seal));
    if (ns.left != 16)
        return HF_FAIL(BAD_ARGUMENT);
    const struct kek *now = newest(&seal->keks, ns.at);
    if (now == NULL || now->erased)
        return HF_FAIL(NOT_FOUND);
    CLEANUP(keks_done) struct keks next = {0};
    TRY(keks_copy(&seal->keks, &next));
    for (size_t i = lower_bound(&next, ns.at, 0); i < next.count; i++) {
        if (!hf_cursor_same(hf_cursor(next.at[i].ns, 16), ns))
            break;
        next.at[i].erased = true;
        hf_wipe(next.at[i].wrapped, sizeof(next.at[i].wrapped));
    }
    return replace_keks(seal, &next);
}
