/* The keyring row:
 *   version u8 | cluster | audit log | count u8 | count times (item u8, u16 length, sealed secret)
 *   | KEK count u32 | each (namespace, generation u32, erased u8, created u64, wrapped 40) | HMAC-SHA-256
 * The HMAC is over the revision of the row, the seal row and all that stands before it. */

#include "crypto/kdf.h"
#include "secret/ct.h"
#include "seal/internal.h"

enum { KEYRING_VERSION = 1, MAC_BYTES = 32, ITEM_SEALED_MAX = 256 };
enum item { /* stored numbers */
            ITEM_RECORD_KEY = 1,
            ITEM_INDEX_KEY = 2,
            ITEM_TOKEN_KEY = 3,
            ITEM_AUDIT_DETAIL_KEY = 4,
            ITEM_AUDIT_HASH_KEY = 5,
            ITEM_AUDIT_ED25519 = 6,
            ITEM_AUDIT_MLDSA44 = 7,
            ITEM_END
};

/* Where a ring keeps an item that is a plain secret; NULL for the signing keys. */
static struct hf_secret **secret_place(struct hf_keyring *ring, enum item item)
{
    switch (item) {
    case ITEM_RECORD_KEY:
        return &ring->record_key;
    case ITEM_INDEX_KEY:
        return &ring->index_key;
    case ITEM_TOKEN_KEY:
        return &ring->token_key;
    case ITEM_AUDIT_DETAIL_KEY:
        return &ring->audit_detail_key;
    case ITEM_AUDIT_HASH_KEY:
        return &ring->audit_hash_key;
    default:
        return NULL;
    }
}

static struct hf_pkey **pkey_place(struct hf_keyring *ring, enum item item, enum hf_alg *ret_alg)
{
    *ret_alg = item == ITEM_AUDIT_ED25519 ? HF_ALG_ED25519 : HF_ALG_ML_DSA_44;
    return item == ITEM_AUDIT_ED25519 ? &ring->audit_ed25519 : &ring->audit_mldsa44;
}

void keyring_done(struct hf_keyring *ring)
{
    enum hf_alg alg;
    for (enum item item = ITEM_RECORD_KEY; item < ITEM_END; item++) {
        struct hf_secret **secret = secret_place(ring, item);
        if (secret != NULL)
            hf_secret_freep(secret);
        else
            hf_pkey_freep(pkey_place(ring, item, &alg));
    }
    *ring = (struct hf_keyring){0};
}

hf_result keyring_make(struct hf_id cluster, struct hf_keyring *ret_ring)
{
    CLEANUP(keyring_done) struct hf_keyring ring = {.cluster = cluster};
    TRY(hf_random_id(&ring.audit_log));
    for (enum item item = ITEM_RECORD_KEY; item < ITEM_END; item++) {
        struct hf_secret **secret = secret_place(&ring, item);
        enum hf_alg alg;
        if (secret != NULL) {
            TRY(hf_random_secret(SEAL_KEY_BYTES, secret));
        } else {
            struct hf_pkey **key = pkey_place(&ring, item, &alg);
            TRY(hf_pkey_generate(alg, key));
        }
    }
    *ret_ring = MOVED(ring);
    return HF_DONE;
}

struct codec {
    struct hf_aead *aead;
    struct hf_secret *mac_key;
    uint8_t rev[8];
    struct hf_cursor seal_row;
};

static void codec_done(struct codec *codec)
{
    hf_aead_freep(&codec->aead);
    hf_secret_freep(&codec->mac_key);
}

static hf_result codec_open(const struct root_keys *keys, struct hf_cursor seal_row, uint64_t rev,
                            struct codec *codec)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    TRY(hf_derive(keys->ring, "keyring seal", hf_cursor(NULL, 0), SEAL_KEY_BYTES, &key));
    TRY(hf_aead_new(HF_ALG_XAES256_GCM, key, &codec->aead));
    TRY(hf_derive(keys->ring, "keyring mac", hf_cursor(NULL, 0), MAC_BYTES, &codec->mac_key));
    hf_store_u64(codec->rev, rev);
    codec->seal_row = seal_row;
    return HF_DONE;
}

static hf_result codec_mac(const struct codec *codec, struct hf_cursor body, uint8_t ret_mac[MAC_BYTES])
{
    struct hf_cursor parts[] = {hf_cursor_text("holdfast keyring row v1"),
                                hf_cursor(codec->rev, sizeof(codec->rev)), codec->seal_row, body};
    return hf_hmac(HF_SHA2_256, codec->mac_key, parts, HF_ARRAY_LEN(parts), ret_mac);
}

/* What binds a sealed item to its place. */
static struct hf_cursor item_place(enum item item, uint8_t space[32])
{
    struct hf_buf out = hf_buf(space, 32);
    hf_buf_text(&out, "holdfast keyring item ");
    hf_buf_u8(&out, (uint8_t)item);
    return hf_buf_cursor(&out);
}

static hf_result item_write(struct codec *codec, struct hf_keyring *ring, enum item item, struct hf_buf *out)
{
    uint8_t place[32];
    uint8_t sealed[ITEM_SEALED_MAX];
    struct hf_buf space = hf_buf(sealed, sizeof(sealed));
    struct hf_secret **secret = secret_place(ring, item);
    if (secret != NULL) {
        TRY(hf_aead_seal_secret(codec->aead, *secret, item_place(item, place), &space));
    } else {
        enum hf_alg alg;
        CLEANUP(hf_secret_freep) struct hf_secret *seed = NULL;
        TRY(hf_pkey_private(*pkey_place(ring, item, &alg), HF_PRIVATE_NATIVE, &seed));
        TRY(hf_aead_seal_secret(codec->aead, seed, item_place(item, place), &space));
    }
    TRY(hf_buf_ok(&space));
    hf_buf_u8(out, (uint8_t)item);
    hf_buf_vec16(out, hf_buf_cursor(&space));
    return HF_DONE;
}

hf_result keyring_write(const struct hf_keyring *ring, const struct keks *keks, const struct root_keys *keys,
                        struct hf_cursor seal_row, uint64_t rev, struct hf_buf *out)
{
    CLEANUP(codec_done) struct codec codec = {0};
    TRY(codec_open(keys, seal_row, rev, &codec));
    struct hf_keyring borrowed = *ring; /* for the places alone */
    hf_buf_u8(out, KEYRING_VERSION);
    hf_buf_put(out, &ring->cluster, sizeof(ring->cluster));
    hf_buf_put(out, &ring->audit_log, sizeof(ring->audit_log));
    hf_buf_u8(out, ITEM_END - ITEM_RECORD_KEY);
    for (enum item item = ITEM_RECORD_KEY; item < ITEM_END; item++)
        TRY(item_write(&codec, &borrowed, item, out));
    hf_buf_u32(out, (uint32_t)keks->count);
    for (size_t i = 0; i < keks->count; i++) {
        const struct kek *kek = &keks->at[i];
        hf_buf_put(out, kek->ns, sizeof(kek->ns));
        hf_buf_u32(out, kek->generation);
        hf_buf_u8(out, kek->erased);
        hf_buf_u64(out, (uint64_t)kek->created_ns);
        hf_buf_put(out, kek->wrapped, sizeof(kek->wrapped));
    }
    uint8_t mac[MAC_BYTES];
    TRY(codec_mac(&codec, hf_buf_cursor(out), mac));
    hf_buf_put(out, mac, sizeof(mac));
    return hf_buf_ok(out);
}

static hf_result item_read(struct codec *codec, struct hf_cursor sealed, enum item item,
                           struct hf_keyring *ring)
{
    uint8_t place[32];
    struct hf_secret **secret = secret_place(ring, item);
    if (secret != NULL)
        return hf_aead_open_secret(codec->aead, sealed, item_place(item, place), secret);
    enum hf_alg alg;
    CLEANUP(hf_secret_freep) struct hf_secret *seed = NULL;
    struct hf_pkey **key = pkey_place(ring, item, &alg);
    TRY(hf_aead_open_secret(codec->aead, sealed, item_place(item, place), &seed));
    return hf_pkey_from_private(alg, HF_PRIVATE_NATIVE, seed, key);
}

static hf_result keks_read(struct hf_cursor *in, struct keks *keks)
{
    uint32_t count;
    if (!hf_cursor_u32(in, &count) || count > HF_SEAL_KEKS_MAX || in->left != (size_t)count * SEAL_KEK_BYTES)
        return HF_FAIL(CORRUPT);
    if (count == 0)
        return HF_DONE;
    keks->at = calloc(count, sizeof(*keks->at));
    if (keks->at == NULL)
        return HF_FAIL(NO_MEMORY);
    keks->count = keks->room = count;
    for (uint32_t i = 0; i < count; i++) {
        struct kek *kek = &keks->at[i];
        uint8_t erased;
        uint64_t created;
        if (!hf_cursor_copy(in, kek->ns, sizeof(kek->ns)) || !hf_cursor_u32(in, &kek->generation) ||
            !hf_cursor_u8(in, &erased) || erased > 1 || !hf_cursor_u64(in, &created) ||
            !hf_cursor_copy(in, kek->wrapped, sizeof(kek->wrapped)))
            return HF_FAIL(CORRUPT);
        kek->erased = erased != 0;
        kek->created_ns = (int64_t)created;
    }
    return HF_DONE;
}

static hf_result body_read(struct hf_cursor in, struct codec *codec, struct hf_keyring *ring,
                           struct keks *keks)
{
    uint8_t version;
    uint8_t count;
    if (!hf_cursor_u8(&in, &version) || version != KEYRING_VERSION ||
        !hf_cursor_copy(&in, &ring->cluster, sizeof(ring->cluster)) ||
        !hf_cursor_copy(&in, &ring->audit_log, sizeof(ring->audit_log)) || !hf_cursor_u8(&in, &count) ||
        count != ITEM_END - ITEM_RECORD_KEY)
        return HF_FAIL(CORRUPT);
    for (enum item item = ITEM_RECORD_KEY; item < ITEM_END; item++) {
        uint8_t number;
        struct hf_cursor sealed;
        if (!hf_cursor_u8(&in, &number) || number != item || !hf_cursor_vec16(&in, &sealed))
            return HF_FAIL(CORRUPT);
        hf_result opened = item_read(codec, sealed, item, ring);
        if (opened.code == HF_BAD_CIPHERTEXT || opened.code == HF_BAD_ARGUMENT)
            return HF_FAIL(CORRUPT);
        TRY(opened);
    }
    return keks_read(&in, keks);
}

hf_result keyring_read(struct hf_cursor in, const struct root_keys *keys, struct hf_cursor seal_row,
                       uint64_t rev, struct hf_keyring *ret_ring, struct keks *ret_keks)
{
    CLEANUP(codec_done) struct codec codec = {0};
    TRY(codec_open(keys, seal_row, rev, &codec));
    if (in.left < MAC_BYTES)
        return HF_FAIL(CORRUPT);
    struct hf_cursor body = hf_cursor(in.at, in.left - MAC_BYTES);
    uint8_t mac[MAC_BYTES];
    TRY(codec_mac(&codec, body, mac));
    if (!hf_ct_equal(mac, body.at + body.left, sizeof(mac)))
        return HF_FAIL(CORRUPT);
    struct hf_keyring ring = {0};
    struct keks keks = {0};
    hf_result done = body_read(body, &codec, &ring, &keks);
    if (!HF_IS_OK(done)) {
        keyring_done(&ring);
        keks_done(&keks);
        return done;
    }
    *ret_ring = ring;
    *ret_keks = keks;
    return HF_DONE;
}
