/* Keys from outside: PKCS#8, SubjectPublicKeyInfo, PEM and raw bytes. The first byte chooses the reader.
 * What is accepted is given out again and read back as the same key. */
#include "crypto/crypto.h"
#include "crypto/floe.h"
#include "crypto/pkey.h"
#include "secret/view.h"

#include <stdlib.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static void same_public(const struct hf_pkey *a, const struct hf_pkey *b)
{
    static uint8_t one[HF_PUBLIC_MAX], two[HF_PUBLIC_MAX];
    struct hf_buf first = hf_buf(one, sizeof(one)), second = hf_buf(two, sizeof(two));
    CHECK(HF_IS_OK(hf_pkey_public(a, &first)) && HF_IS_OK(hf_pkey_public(b, &second)));
    CHECK(hf_cursor_same(hf_buf_cursor(&first), hf_buf_cursor(&second)));
}

static void private_key(struct hf_cursor in)
{
    CLEANUP(hf_secret_freep) struct hf_secret *secret = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *native = NULL;
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_pkey_freep) struct hf_pkey *back = NULL;
    uint8_t copy[HF_PRIVATE_MAX];
    if (in.left == 0 || in.left > sizeof(copy))
        return;
    memcpy(copy, in.at, in.left);
    CHECK(HF_IS_OK(hf_secret_take(copy, in.left, &secret)));
    if (!HF_IS_OK(hf_pkey_from_pkcs8(secret, &key)))
        return;
    CHECK(HF_IS_OK(hf_pkey_private(key, HF_PRIVATE_NATIVE, &native)));
    CHECK(HF_IS_OK(hf_pkey_from_private(hf_pkey_alg(key), HF_PRIVATE_NATIVE, native, &back)));
    same_public(key, back);
}

static void public_key(enum hf_alg alg, struct hf_cursor in)
{
    static uint8_t memory[HF_PUBLIC_MAX];
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_pkey_freep) struct hf_pkey *back = NULL;
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    if (!HF_IS_OK(hf_pkey_from_public(alg, in, &key)))
        return;
    CHECK(hf_pkey_alg(key) == alg && !hf_pkey_has_private(key));
    CHECK(HF_IS_OK(hf_pkey_public(key, &out)));
    CHECK(HF_IS_OK(hf_pkey_from_public(alg, hf_buf_cursor(&out), &back)));
    same_public(key, back);
}

static void file(struct hf_cursor in)
{
    static uint8_t memory[HF_FLOE_SEGMENT_MAX];
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_floe_freep) struct hf_floe *floe = NULL;
    CHECK(HF_IS_OK(hf_secret_new(HF_FLOE_KEY, &key)));
    struct hf_cursor header = hf_cursor(in.at, HF_MIN(in.left, (size_t)HF_FLOE_HEADER));
    struct hf_cursor segment = hf_cursor(in.at + header.left, in.left - header.left);
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    bool last;
    if (!HF_IS_OK(hf_floe_open_begin(key, hf_cursor("", 0), header, &floe)))
        return;
    if (!HF_IS_OK(hf_floe_open_next(floe, segment, &out, &last)))
        CHECK(out.len == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    CHECK(HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_cursor in = hf_cursor(data, size);
    uint8_t which;
    if (!hf_cursor_u8(&in, &which))
        return 0;
    if (which == 0)
        private_key(in);
    else if (which == 1)
        file(in);
    else
        public_key((enum hf_alg)which, in);
    return 0;
}
