/* The record codec: what is written is read back; a record with one byte changed or missing is either refused or still
 * a consistent key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "keys/keys.h"

static void build(struct hf_key *key, struct hf_key_version *versions, uint32_t first, uint32_t count)
{
    static const char blob[] = "a wrapped key", mac[] = "a wrapped mac key",
                      text[] = "-----BEGIN PUBLIC KEY-----";
    memset(versions, 0, count * sizeof *versions);
    *key = (struct hf_key){
        .alg = HF_ALG_ED25519,
        .info = hf_alg_info(HF_ALG_ED25519),
        .flags = HF_KEY_EXPORTABLE | HF_KEY_DERIVED,
        .latest = first + count - 1,
        .min_decryption = first,
        .min_encryption = first + 1,
        .min_available = first,
        .created_ns = 1000,
        .rotated_ns = 2000,
        .auto_rotate_ns = 3600 * HF_SECOND,
        .backup_ns = 77,
        .backup_version = 2,
        .count = count,
        .versions = versions,
    };
    memset(key->id.bytes, 0x11, 16);
    memset(key->mount.bytes, 0x22, 16);
    memset(key->ns, 0x33, 16);
    memcpy(key->name, "payments.eu", 11);
    key->name_len = 11;
    for (uint32_t i = 0; i < count; i++) {
        struct hf_key_version *v = &versions[i];
        v->number = first + i;
        memset(v->id.bytes, (int)(0x40 + i), 16);
        v->state = i == 0 ? HF_KEY_DESTROYED : HF_KEY_ACTIVE;
        v->origin = HF_KEY_GENERATED;
        v->kek_generation = 7;
        v->entered_ns[HF_KEY_PRE_ACTIVE] = 5;
        v->entered_ns[v->state] = 6;
        v->public_text = hf_cursor_text(text);
        if (v->state != HF_KEY_DESTROYED) {
            v->blob = hf_cursor_text(blob);
            v->mac_blob = hf_cursor_text(mac);
        }
    }
}

static size_t encode(const struct hf_key *key, uint8_t *space, size_t cap)
{
    struct hf_buf out = hf_buf(space, cap);
    hf_key_encode(key, &out);
    assert_false(out.overflow);
    assert_true(out.len <= hf_key_encoded_max(key));
    return out.len;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct hf_key key, *back = NULL;
    struct hf_key_version versions[4];
    uint8_t space[4096];
    build(&key, versions, 3, 4);
    size_t len = encode(&key, space, sizeof space);
    assert_int_equal(hf_key_decode(hf_cursor(space, len), &back).code, HF_OK);
    assert_string_equal(back->name, "payments.eu");
    assert_int_equal(back->alg, HF_ALG_ED25519);
    assert_int_equal(back->flags, key.flags);
    assert_int_equal(back->latest, 6);
    assert_int_equal(back->min_encryption, 4);
    assert_int_equal(back->auto_rotate_ns, 3600 * HF_SECOND);
    assert_int_equal(back->backup_version, 2);
    assert_int_equal(back->count, 4);
    assert_null(hf_key_version(back, 2));
    assert_null(hf_key_version(back, 7));
    assert_int_equal(hf_key_version(back, 3)->state, HF_KEY_DESTROYED);
    assert_int_equal(hf_key_version(back, 3)->blob.left, 0);
    assert_true(hf_cursor_is(hf_key_version(back, 5)->blob, "a wrapped key"));
    assert_true(hf_cursor_is(hf_key_version(back, 5)->mac_blob, "a wrapped mac key"));
    assert_int_equal(hf_key_version(back, 6)->kek_generation, 7);
    assert_int_equal(hf_key_current(back)->number, 6);
    uint8_t again[4096];
    assert_int_equal(encode(back, again, sizeof again), len);
    assert_memory_equal(space, again, len);
    hf_key_freep(&back);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct hf_key key, *back = NULL;
    struct hf_key_version versions[2];
    uint8_t space[2048];
    build(&key, versions, 1, 2);
    size_t len = encode(&key, space, sizeof space);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(hf_key_decode(hf_cursor(space, cut), &back).code, HF_CORRUPT);
        assert_null(back);
    }
    space[len] = 0;
    assert_int_equal(hf_key_decode(hf_cursor(space, len + 1), &back).code, HF_CORRUPT);
}

static void a_changed_byte_never_breaks_the_order_of_versions(void **state)
{
    (void)state;
    struct hf_key key;
    struct hf_key_version versions[3];
    uint8_t space[2048];
    build(&key, versions, 1, 3);
    size_t len = encode(&key, space, sizeof space);
    unsigned refused = 0;
    for (size_t at = 0; at < len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct hf_key *back = NULL;
            space[at] ^= (uint8_t)(1u << bit);
            hf_result result = hf_key_decode(hf_cursor(space, len), &back);
            space[at] ^= (uint8_t)(1u << bit);
            if (result.code != HF_OK) {
                assert_int_equal(result.code, HF_CORRUPT);
                refused++;
                continue;
            }
            assert_non_null(back->info);
            for (uint32_t n = back->versions[0].number; n <= back->latest; n++)
                assert_int_equal(hf_key_version(back, n)->number, n);
            assert_true(back->min_decryption >= 1 && back->min_decryption <= back->latest);
            hf_key_freep(&back);
        }
    }
    assert_true(refused > 100);
}

static void inconsistent_keys_are_refused(void **state)
{
    (void)state;
    struct hf_key key, *back = NULL;
    struct hf_key_version versions[3];
    uint8_t space[2048];
    for (int what = 0; what < 7; what++) {
        build(&key, versions, 1, 3);
        switch (what) {
        case 0: /* a gap */
            versions[1].number = 5;
            break;
        case 1:
            key.latest = 4;
            break;
        case 2:
            key.min_decryption = 0;
            break;
        case 3:
            key.min_decryption = 4;
            break;
        case 4: /* encryption below decryption */
            key.min_decryption = 3;
            key.min_encryption = 2;
            break;
        case 5: /* destroyed, and yet there */
            versions[0].blob = hf_cursor_text("ghost");
            break;
        default: /* active, and yet gone */
            versions[2].blob = (struct hf_cursor){0};
            break;
        }
        size_t len = encode(&key, space, sizeof space);
        assert_int_equal(hf_key_decode(hf_cursor(space, len), &back).code, HF_CORRUPT);
    }
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "payments", "pay.ments-1", "_x_", "A.b-C_9"};
    static const char *const bad[] = {"",    ".a",  "a.",    "-a",          "a-",
                                      "a/b", "a b", "a\x7f", "caf\xc3\xa9", "~wrap"};
    for (size_t i = 0; i < HF_ARRAY_LEN(good); i++)
        assert_true(hf_key_name_ok(hf_cursor_text(good[i])));
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        assert_false(hf_key_name_ok(hf_cursor_text(bad[i])));
    char longest[HF_KEY_NAME_MAX + 1];
    memset(longest, 'k', sizeof longest);
    assert_true(hf_key_name_ok(hf_cursor(longest, HF_KEY_NAME_MAX)));
    assert_false(hf_key_name_ok(hf_cursor(longest, HF_KEY_NAME_MAX + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_changed_byte_never_breaks_the_order_of_versions),
        cmocka_unit_test(inconsistent_keys_are_refused),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
