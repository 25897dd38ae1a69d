/* FLOE: published vectors, round trips, and everything that must be refused. */
#include "crypto/floe.h"
#include "base/encode.h"
#include "crypto/crypto.h"
#include "unit/crypto/helpers.h"

enum { SEGMENT = 64, PLAIN = SEGMENT - HF_FLOE_OVERHEAD, FILE_MAX_BYTES = 1 << 16 };

static struct hf_secret *zero_key(void)
{
    return test_secret((const uint8_t[32]){0}, 32);
}

/* ---- round trips --------------------------------------------------------------------------------------------- */

struct sealed {
    uint8_t bytes[FILE_MAX_BYTES];
    size_t len;
    uint8_t plain[FILE_MAX_BYTES];
    size_t plain_len;
};

static void seal_file(const struct hf_secret *key, const char *ad, size_t plain_len, unsigned rotation,
                      struct sealed *ret)
{
    struct hf_floe *floe = NULL;
    struct hf_buf out = hf_buf(ret->bytes, sizeof(ret->bytes));
    uint8_t *header = hf_buf_reserve(&out, HF_FLOE_HEADER);
    ret->plain_len = plain_len;
    for (size_t i = 0; i < plain_len; i++)
        ret->plain[i] = (uint8_t)(i * 7 + i / 251);
    must(hf_floe_seal_begin(key, hf_cursor_text(ad), SEGMENT, header, &floe));
    if (rotation != 0)
        hf_floe_rotate_each(floe, rotation);
    size_t at = 0;
    while (plain_len - at > PLAIN) {
        must(hf_floe_seal_next(floe, hf_cursor(ret->plain + at, PLAIN), &out));
        at += PLAIN;
    }
    must(hf_floe_seal_last(floe, hf_cursor(ret->plain + at, plain_len - at), &out));
    refused(hf_floe_seal_last(floe, hf_cursor("", 0), &out), HF_BAD_ARGUMENT);
    hf_floe_free(floe);
    ret->len = out.len;
}

/* Opens a whole file as the command will. Gives the first failure; TRUNCATED where the input just ends. */
static hf_result open_file(const struct hf_secret *key, struct hf_cursor ad, struct hf_cursor file,
                           unsigned rotation, struct hf_buf *out)
{
    CLEANUP(hf_floe_freep) struct hf_floe *floe = NULL;
    struct hf_cursor header, segment;
    bool last = false;
    if (!hf_cursor_take(&file, HF_FLOE_HEADER, &header))
        return HF_FAIL(TRUNCATED);
    TRY(hf_floe_open_begin(key, ad, header, &floe));
    if (rotation != 0)
        hf_floe_rotate_each(floe, rotation);
    while (file.left != 0) {
        if (!hf_cursor_take(&file, HF_MIN(file.left, hf_floe_segment_len(floe)), &segment))
            return HF_FAIL(INTERNAL);
        TRY(hf_floe_open_next(floe, segment, out, &last));
    }
    return last ? HF_DONE : HF_FAIL(TRUNCATED);
}

static void every_length_round_trips(void **state)
{
    (void)state;
    static struct sealed sealed;
    static uint8_t memory[FILE_MAX_BYTES];
    struct hf_secret *key = zero_key();
    for (size_t len = 0; len < 5 * PLAIN + 2; len++) {
        for (unsigned rotation = 0; rotation < 2; rotation++) {
            seal_file(key, "ad", len, rotation, &sealed);
            struct hf_buf out = hf_buf(memory, sizeof(memory));
            must(open_file(key, hf_cursor_text("ad"), hf_cursor(sealed.bytes, sealed.len), rotation, &out));
            assert_int_equal(out.len, len);
            assert_memory_equal(memory, sealed.plain, len);
        }
    }
    hf_secret_free(key);
}

static void a_part_can_be_read_alone(void **state)
{
    (void)state;
    static struct sealed sealed;
    uint8_t memory[PLAIN];
    struct hf_secret *key = zero_key();
    struct hf_floe *floe = NULL;
    uint64_t segments, plain_len;
    seal_file(key, "ad", 10 * PLAIN + 3, 2, &sealed);
    must(hf_floe_open_begin(key, hf_cursor_text("ad"), hf_cursor(sealed.bytes, HF_FLOE_HEADER), &floe));
    hf_floe_rotate_each(floe, 2);
    must(hf_floe_layout(floe, sealed.len, &segments, &plain_len));
    assert_int_equal(segments, 11);
    assert_int_equal(plain_len, sealed.plain_len);
    for (uint64_t i = segments; i-- > 0;) { /* backwards, across key rotations */
        size_t at = HF_FLOE_HEADER + i * SEGMENT;
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        struct hf_cursor segment = hf_cursor(sealed.bytes + at, HF_MIN((size_t)SEGMENT, sealed.len - at));
        bool last = i + 1 == segments;
        must(hf_floe_open_at(floe, i, last, segment, &out));
        assert_memory_equal(memory, sealed.plain + i * PLAIN, out.len);
        out.len = 0;
        refused(hf_floe_open_at(floe, i, !last, segment, &out), HF_BAD_CIPHERTEXT);
        refused(hf_floe_open_at(floe, i + 1, last, segment, &out), HF_BAD_CIPHERTEXT);
        assert_int_equal(out.len, 0);
    }
    refused(hf_floe_layout(floe, HF_FLOE_HEADER + 31, &segments, &plain_len), HF_TRUNCATED);
    refused(hf_floe_layout(floe, HF_FLOE_HEADER + SEGMENT + 31, &segments, &plain_len), HF_TRUNCATED);
    hf_floe_free(floe);
    hf_secret_free(key);
}

/* ---- what must be refused --------------------------------------------------------------------------------------- */

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    static struct sealed sealed;
    static uint8_t memory[FILE_MAX_BYTES];
    struct hf_secret *key = zero_key();
    seal_file(key, "ad", 2 * PLAIN + 5, 0, &sealed);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        sealed.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        hf_result got = open_file(key, hf_cursor_text("ad"), hf_cursor(sealed.bytes, sealed.len), 0, &out);
        assert_int_not_equal(got.code, HF_OK);
        sealed.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    hf_secret_free(key);
}

static void truncation_at_every_byte_is_refused(void **state)
{
    (void)state;
    static struct sealed sealed;
    static uint8_t memory[FILE_MAX_BYTES];
    struct hf_secret *key = zero_key();
    seal_file(key, "ad", 3 * PLAIN, 0, &sealed);
    for (size_t len = 0; len < sealed.len; len++) {
        struct hf_buf out = hf_buf(memory, sizeof(memory));
        hf_result got = open_file(key, hf_cursor_text("ad"), hf_cursor(sealed.bytes, len), 0, &out);
        assert_int_not_equal(got.code, HF_OK);
    }
    hf_secret_free(key);
}

static void reordered_repeated_and_foreign_segments_are_refused(void **state)
{
    (void)state;
    static struct sealed sealed, other;
    static uint8_t memory[FILE_MAX_BYTES];
    struct hf_secret *key = zero_key();
    uint8_t kept[SEGMENT];
    struct hf_buf out = hf_buf(memory, sizeof(memory));
    seal_file(key, "ad", 4 * PLAIN, 0, &sealed);
    seal_file(key, "ad", 4 * PLAIN, 0, &other);

    uint8_t *first = sealed.bytes + HF_FLOE_HEADER, *second = first + SEGMENT;
    memcpy(kept, first, SEGMENT);
    memcpy(first, second, SEGMENT);
    memcpy(second, kept, SEGMENT);
    refused(open_file(key, hf_cursor_text("ad"), hf_cursor(sealed.bytes, sealed.len), 0, &out),
            HF_BAD_CIPHERTEXT); /* swapped */
    memcpy(first, kept, SEGMENT);
    memcpy(second, kept, SEGMENT);
    refused(open_file(key, hf_cursor_text("ad"), hf_cursor(sealed.bytes, sealed.len), 0, &out),
            HF_BAD_CIPHERTEXT); /* repeated */
    memcpy(second, other.bytes + HF_FLOE_HEADER + SEGMENT, SEGMENT);
    refused(open_file(key, hf_cursor_text("ad"), hf_cursor(sealed.bytes, sealed.len), 0, &out),
            HF_BAD_CIPHERTEXT); /* of another file under the same key */
    memcpy(other.bytes + other.len, other.bytes + other.len - SEGMENT, SEGMENT);
    refused(open_file(key, hf_cursor_text("ad"), hf_cursor(other.bytes, other.len + SEGMENT), 0, &out),
            HF_BAD_CIPHERTEXT); /* more after the last */
    hf_secret_free(key);
}

static void another_key_or_ad_is_refused_at_the_header(void **state)
{
    (void)state;
    static struct sealed sealed;
    struct hf_secret *key = zero_key();
    struct hf_secret *wrong = test_secret((const uint8_t[32]){1}, 32);
    struct hf_secret *short_key = test_secret((const uint8_t[16]){0}, 16);
    struct hf_floe *floe = NULL;
    uint8_t header[HF_FLOE_HEADER];
    seal_file(key, "ad", 10, 0, &sealed);
    struct hf_cursor whole = hf_cursor(sealed.bytes, HF_FLOE_HEADER);
    refused(hf_floe_open_begin(wrong, hf_cursor_text("ad"), whole, &floe), HF_BAD_CIPHERTEXT);
    refused(hf_floe_open_begin(key, hf_cursor_text("other"), whole, &floe), HF_BAD_CIPHERTEXT);
    refused(hf_floe_open_begin(key, hf_cursor_text("ad"), hf_cursor(sealed.bytes, HF_FLOE_HEADER - 1), &floe),
            HF_TRUNCATED);
    refused(hf_floe_open_begin(short_key, hf_cursor_text("ad"), whole, &floe), HF_BAD_ARGUMENT);
    sealed.bytes[0] = 1; /* another AEAD */
    refused(hf_floe_open_begin(key, hf_cursor_text("ad"), whole, &floe), HF_UNSUPPORTED);
    refused(hf_floe_seal_begin(key, hf_cursor_text(""), HF_FLOE_OVERHEAD, header, &floe), HF_BAD_ARGUMENT);
    refused(hf_floe_seal_begin(key, hf_cursor_text(""), HF_FLOE_SEGMENT_MAX + 1, header, &floe),
            HF_BAD_ARGUMENT);
    must(hf_floe_seal_begin(key, hf_cursor_text(""), SEGMENT, header, &floe));
    struct hf_buf out = hf_buf(sealed.bytes, sizeof(sealed.bytes));
    refused(hf_floe_seal_next(floe, hf_cursor(sealed.plain, PLAIN - 1), &out), HF_BAD_ARGUMENT);
    refused(hf_floe_seal_last(floe, hf_cursor(sealed.plain, PLAIN + 1), &out), HF_BAD_ARGUMENT);
    hf_floe_free(floe);
    hf_secret_free(key);
    hf_secret_free(wrong);
    hf_secret_free(short_key);
}

/* ---- published vectors ---------------------------------------------------------------------------------------------- */

static struct hf_buf read_hex(const char *name)
{
    char path[512], *text = NULL;
    struct hf_buf bytes = {0};
    snprintf(path, sizeof(path), "%s/floe/%s", HF_EXTRA_VECTORS_DIR, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return bytes;
    size_t capacity = 0;
    ssize_t len = getline(&text, &capacity, file);
    fclose(file);
    assert_true(len >= 0);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    bytes = hf_buf(malloc((size_t)len / 2 + 1), (size_t)len / 2);
    must(hf_hex_decode(&bytes, hf_cursor(text, (size_t)len)));
    free(text);
    return bytes;
}

/* @proves C2SP:FLOE */
static void published_files_open(void **state)
{
    (void)state;
    static const char *const names[] = {
        "go_GCM256_IV256_4K",   "go_GCM256_IV256_64",   "java_GCM256_IV256_4K", "java_GCM256_IV256_64",
        "rust_GCM256_IV256_4K", "rust_GCM256_IV256_64", "java_lastSegAligned",  "java_lastSegEmpty",
        "go_rotation",          "java_rotation",        "rust_rotation",
    };
    struct hf_secret *key = zero_key();
    size_t opened = 0;
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s_ct.txt", names[i]);
        struct hf_buf sealed = read_hex(name);
        snprintf(name, sizeof(name), "%s_pt.txt", names[i]);
        struct hf_buf plain = read_hex(name);
        if (sealed.at == NULL || plain.at == NULL)
            continue;
        uint8_t *memory = malloc(plain.len + 1);
        struct hf_buf out = hf_buf(memory, plain.len + 1);
        unsigned rotation = strstr(names[i], "rotation") != NULL ? 2 : 0; /* a mask of -4 */
        must(open_file(key, hf_cursor_text("This is AAD"), hf_buf_cursor(&sealed), rotation, &out));
        assert_int_equal(out.len, plain.len);
        assert_memory_equal(memory, plain.at, plain.len);
        sealed.at[sealed.len / 2] ^= 1;
        out.len = 0;
        assert_int_not_equal(
            open_file(key, hf_cursor_text("This is AAD"), hf_buf_cursor(&sealed), rotation, &out).code,
            HF_OK);
        free(memory);
        free(sealed.at);
        free(plain.at);
        opened++;
    }
    hf_secret_free(key);
    if (opened == 0)
        skip(); /* HF_EXTRA_VECTORS is not there */
    assert_int_equal(opened, HF_ARRAY_LEN(names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_round_trips),
        cmocka_unit_test(a_part_can_be_read_alone),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(truncation_at_every_byte_is_refused),
        cmocka_unit_test(reordered_repeated_and_foreign_segments_are_refused),
        cmocka_unit_test(another_key_or_ad_is_refused_at_the_header),
        cmocka_unit_test(published_files_open),
    };
    must(hf_crypto_start(HF_CRYPTO_HEAP_ARENA));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
