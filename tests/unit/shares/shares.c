/* Splitting and rebuilding, and the forms in which shares travel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "secret/view.h"
#include "shares/gf.h"
#include "shares/shares.h"

static const struct hf_id set_a = {{0xa1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct hf_id set_b = {{0xb1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static struct hf_secret *secret_of(const void *bytes, size_t len)
{
    uint8_t copy[128];
    memcpy(copy, bytes, len);
    struct hf_secret *secret = NULL;
    assert_int_equal(hf_secret_take(copy, len, &secret).code, HF_OK);
    return secret;
}

static struct hf_secret *some_root(size_t len)
{
    struct hf_secret *root = NULL;
    assert_int_equal(hf_secret_random(len, &root).code, HF_OK);
    return root;
}

static uint64_t secrets_alive(void)
{
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    return report.secrets_alive;
}

static void done_all(struct hf_share *shares, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hf_share_done(&shares[i]);
}

static hf_result combine_some(struct hf_share *shares, uint64_t which, unsigned count, struct hf_secret **ret)
{
    const struct hf_share *chosen[64];
    size_t n = 0;
    for (unsigned i = 0; i < count; i++)
        if (which >> i & 1)
            chosen[n++] = &shares[i];
    return hf_shares_combine(chosen, n, ret);
}

static void any_threshold_rebuilds_and_fewer_do_not(void **state)
{
    (void)state;
    uint64_t before = secrets_alive();
    for (unsigned n = 1; n <= 6; n++) {
        for (unsigned k = 1; k <= n; k++) {
            struct hf_secret *root = some_root(32);
            struct hf_share shares[6];
            assert_int_equal(hf_shares_split(root, set_a, 1, (uint8_t)k, (uint8_t)n, shares).code, HF_OK);
            for (uint64_t which = 1; which < UINT64_C(1) << n; which++) {
                struct hf_secret *got = NULL;
                assert_int_equal(combine_some(shares, which, n, &got).code, HF_OK);
                bool enough = (unsigned)__builtin_popcountll(which) >= k;
                assert_int_equal(hf_secret_equal(got, root), enough);
                hf_secret_free(got);
            }
            done_all(shares, n);
            hf_secret_free(root);
        }
    }
    assert_int_equal(secrets_alive(), before);
}

static void the_largest_set_works(void **state)
{
    (void)state;
    for (size_t len = HF_SHARE_SECRET_MIN; len <= HF_SHARE_SECRET_MAX; len += 7) {
        struct hf_secret *root = some_root(len);
        struct hf_share shares[HF_SHARES_MAX];
        assert_int_equal(hf_shares_split(root, set_a, 9, 32, 32, shares).code, HF_OK);
        struct hf_secret *got = NULL;
        assert_int_equal(combine_some(shares, UINT64_C(0xffffffff), 32, &got).code, HF_OK);
        assert_true(hf_secret_equal(got, root));
        hf_secret_free(got);
        assert_int_equal(combine_some(shares, UINT64_C(0x7fffffff), 32, &got).code, HF_OK);
        assert_false(hf_secret_equal(got, root));
        hf_secret_free(got);
        done_all(shares, 32);
        hf_secret_free(root);
    }
}

static void senseless_splits_are_refused(void **state)
{
    (void)state;
    struct hf_secret *root = some_root(32);
    struct hf_secret *small = some_root(15);
    struct hf_secret *large = some_root(65);
    struct hf_share shares[HF_SHARES_MAX];
    assert_int_equal(hf_shares_split(root, set_a, 1, 0, 5, shares).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_shares_split(root, set_a, 1, 6, 5, shares).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_shares_split(root, set_a, 1, 0, 0, shares).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_shares_split(root, set_a, 1, 2, 33, shares).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_shares_split(small, set_a, 1, 1, 1, shares).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_shares_split(large, set_a, 1, 1, 1, shares).code, HF_BAD_ARGUMENT);
    hf_secret_free(root);
    hf_secret_free(small);
    hf_secret_free(large);
}

static void senseless_points_are_refused(void **state)
{
    (void)state;
    struct hf_secret *root = some_root(32);
    struct hf_share shares[3];
    struct hf_secret *got = NULL;
    assert_int_equal(hf_shares_split(root, set_a, 1, 2, 3, shares).code, HF_OK);
    const struct hf_share *twice[] = {&shares[0], &shares[0]};
    assert_int_equal(hf_shares_combine(twice, 2, &got).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_shares_combine(twice, 0, &got).code, HF_BAD_ARGUMENT);
    struct hf_share zero = shares[1];
    zero.index = 0;
    const struct hf_share *with_zero[] = {&shares[0], &zero};
    assert_int_equal(hf_shares_combine(with_zero, 2, &got).code, HF_BAD_ARGUMENT);
    struct hf_share shorter = {.index = 9, .y = some_root(31)};
    const struct hf_share *unequal[] = {&shares[0], &shorter};
    assert_int_equal(hf_shares_combine(unequal, 2, &got).code, HF_BAD_ARGUMENT);
    hf_share_done(&shorter);
    done_all(shares, 3);
    hf_secret_free(root);
}

/* Fewer than k shares say nothing of the secret: over a small field of outcomes, each value of the first byte of one
 * share of 2-of-2 is as likely whatever the secret is. */
static void one_share_of_two_says_nothing(void **state)
{
    (void)state;
    enum { ROUNDS = 256 * 64 };
    for (unsigned value = 0; value < 2; value++) {
        uint8_t bytes[16];
        memset(bytes, value == 0 ? 0x00 : 0xa5, sizeof(bytes));
        struct hf_secret *root = secret_of(bytes, sizeof(bytes));
        unsigned seen[256] = {0};
        for (unsigned round = 0; round < ROUNDS / 16; round++) {
            struct hf_share shares[2];
            assert_int_equal(hf_shares_split(root, set_a, 1, 2, 2, shares).code, HF_OK);
            struct hf_secret_view y = {0};
            assert_int_equal(hf_secret_view_open(shares[0].y, &y).code, HF_OK);
            for (size_t i = 0; i < y.len; i++)
                seen[y.bytes[i]]++;
            hf_secret_view_close(&y);
            done_all(shares, 2);
        }
        /* expected 64 each; chi-squared with 255 degrees stays below 400 but for once in 10^8 */
        double chi = 0;
        for (unsigned i = 0; i < 256; i++)
            chi += ((double)seen[i] - 64) * ((double)seen[i] - 64) / 64;
        assert_true(chi < 400);
        hf_secret_free(root);
    }
}

/* Points of a known polynomial, by hand: f(x) = s + a x + b x^2, first byte s = 0x42, a = 0x17, b = 0xd8. */
static void a_polynomial_worked_by_hand_is_rebuilt(void **state)
{
    (void)state;
    uint8_t s[32], a[32], b[32];
    for (size_t i = 0; i < 32; i++) {
        s[i] = (uint8_t)(0x42 + i * 3);
        a[i] = (uint8_t)(0x17 + i * 5);
        b[i] = (uint8_t)(0xd8 + i * 7);
    }
    struct hf_share shares[3];
    const uint8_t xs[3] = {3, 77, 255};
    for (size_t i = 0; i < 3; i++) {
        uint8_t y[32];
        for (size_t j = 0; j < 32; j++)
            y[j] = s[j] ^ hf_gf_mul(a[j], xs[i]) ^ hf_gf_mul(b[j], hf_gf_mul(xs[i], xs[i]));
        shares[i] = (struct hf_share){.index = xs[i], .y = secret_of(y, 32)};
    }
    struct hf_secret *got = NULL;
    struct hf_secret *expected = secret_of(s, 32);
    assert_int_equal(combine_some(shares, 7, 3, &got).code, HF_OK);
    assert_true(hf_secret_equal(got, expected));
    hf_secret_free(got);
    hf_secret_free(expected);
    done_all(shares, 3);
}

static void commitments_know_their_share_alone(void **state)
{
    (void)state;
    struct hf_secret *root = some_root(32);
    struct hf_share shares[3];
    assert_int_equal(hf_shares_split(root, set_a, 1, 2, 3, shares).code, HF_OK);
    uint8_t c[5][HF_SHARE_COMMITMENT];
    assert_int_equal(hf_share_commitment(&shares[0], set_a, 1, c[0]).code, HF_OK);
    assert_int_equal(hf_share_commitment(&shares[1], set_a, 1, c[1]).code, HF_OK);
    assert_int_equal(hf_share_commitment(&shares[0], set_b, 1, c[2]).code, HF_OK);
    assert_int_equal(hf_share_commitment(&shares[0], set_a, 2, c[3]).code, HF_OK);
    struct hf_share moved = shares[0];
    moved.index = 3;
    assert_int_equal(hf_share_commitment(&moved, set_a, 1, c[4]).code, HF_OK);
    for (size_t i = 1; i < 5; i++)
        assert_memory_not_equal(c[0], c[i], HF_SHARE_COMMITMENT);
    done_all(shares, 3);
    hf_secret_free(root);
}

/* ---- text ---- */

static size_t text_of(const struct hf_share *share, enum hf_share_format format, char *space, size_t cap)
{
    struct hf_buf out = hf_buf(space, cap);
    assert_int_equal(hf_share_text(share, format, &out).code, HF_OK);
    assert_int_equal(out.len, hf_share_text_len(share, format));
    return out.len;
}

static void every_form_reads_back(void **state)
{
    (void)state;
    for (size_t len = HF_SHARE_SECRET_MIN; len <= HF_SHARE_SECRET_MAX; len++) {
        struct hf_secret *root = some_root(len);
        struct hf_share shares[5];
        assert_int_equal(hf_shares_split(root, set_a, 0x01020304, 3, 5, shares).code, HF_OK);
        for (unsigned format = HF_SHARE_HEX; format <= HF_SHARE_CARD; format++) {
            char text[HF_SHARE_CARD_MAX];
            size_t used = text_of(&shares[4], (enum hf_share_format)format, text, sizeof(text));
            struct hf_share got = {0};
            const char *why = NULL;
            if (format == HF_SHARE_HEX && used == 44) { /* read as the base64 that it could be */
                assert_int_equal(hf_share_parse(hf_cursor(text, used), &got, &why).code, HF_OK);
                hf_share_done(&got);
                continue;
            }
            assert_int_equal(hf_share_parse(hf_cursor(text, used), &got, &why).code, HF_OK);
            assert_int_equal(got.index, 5);
            assert_true(hf_secret_equal(got.y, shares[4].y));
            bool card = format == HF_SHARE_CARD;
            assert_int_equal(got.generation, card ? 0x01020304 : 0);
            assert_int_equal(got.threshold, card ? 3 : 0);
            assert_int_equal(got.count, card ? 5 : 0);
            assert_memory_equal(&got.set, card ? &set_a : &(struct hf_id){0}, sizeof(set_a));
            hf_share_done(&got);
        }
        done_all(shares, 5);
        hf_secret_free(root);
    }
}

static void the_plain_form_is_y_then_x(void **state)
{
    (void)state;
    uint8_t y[32];
    for (size_t i = 0; i < 32; i++)
        y[i] = (uint8_t)i;
    struct hf_share share = {.index = 0xfe, .y = secret_of(y, 32)};
    char text[128];
    size_t used = text_of(&share, HF_SHARE_HEX, text, sizeof(text));
    const char *hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1ffe";
    assert_int_equal(used, strlen(hex));
    assert_memory_equal(text, hex, used);
    used = text_of(&share, HF_SHARE_BASE64, text, sizeof(text));
    const char *base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh/+";
    assert_int_equal(used, strlen(base64));
    assert_memory_equal(text, base64, used);
    struct hf_secret *bytes = NULL;
    assert_int_equal(hf_share_export(&share, &bytes).code, HF_OK);
    assert_int_equal(hf_secret_len(bytes), HF_SHARE_EXPORT_BYTES);
    struct hf_secret_view view = {0};
    assert_int_equal(hf_secret_view_open(bytes, &view).code, HF_OK);
    assert_memory_equal(view.bytes, y, 32);
    assert_int_equal(view.bytes[32], 0xfe);
    hf_secret_view_close(&view);
    hf_secret_free(bytes);
    hf_share_done(&share);
}

static void base64_without_other_characters_than_hex_is_base64(void **state)
{
    (void)state;
    /* 33 bytes whose base64 is 44 times 'd' */
    const char *text = "dddddddddddddddddddddddddddddddddddddddddddd";
    assert_int_equal(strlen(text), 44);
    struct hf_share got = {0};
    const char *why = NULL;
    assert_int_equal(hf_share_parse(hf_cursor_text(text), &got, &why).code, HF_OK);
    assert_int_equal(hf_secret_len(got.y), 32);
    assert_int_equal(got.index, 0x5d);
    hf_share_done(&got);
}

static size_t a_card(char *text, size_t cap)
{
    uint8_t y[32];
    for (size_t i = 0; i < 32; i++)
        y[i] = (uint8_t)(i * 29 + 3);
    struct hf_share share = {
        .set = set_a, .generation = 7, .index = 2, .threshold = 3, .count = 5, .y = secret_of(y, 32)};
    size_t used = text_of(&share, HF_SHARE_CARD, text, cap);
    hf_share_done(&share);
    return used;
}

static void a_card_is_25_groups_of_5(void **state)
{
    (void)state;
    char text[HF_SHARE_CARD_MAX];
    size_t used = a_card(text, sizeof(text));
    assert_memory_equal(text, "hf1-share-", 10);
    assert_int_equal(used, 10 + 25 * 5 + 24);
    for (size_t i = 10; i < used; i++)
        assert_int_equal(text[i] == '-', (i - 10) % 6 == 5);
}

/* Cards are kept for years: their form may not change. */
static void the_form_of_cards_is_fixed(void **state)
{
    (void)state;
    static const char card[] =
        "hf1-share-qyqsy-qcqqq-qqqqq-qqqqq-qqqqq-qqqqq-qqqup-qxpgr-yq745-au5k8-8wkzp-9gf0h-exdk6-0cq62-j8vjq-eaw7c-"
        "75fz7-nrfs6-9rdwe-q77s4-4f760-ylukc-8zhf7-s0gnp-jrm2q";
    uint8_t y[32];
    for (size_t i = 0; i < 32; i++)
        y[i] = (uint8_t)(i * 29 + 3);
    struct hf_share share = {
        .set = {{1, 2, 3}}, .generation = 7, .index = 2, .threshold = 3, .count = 5, .y = secret_of(y, 32)};
    char text[HF_SHARE_CARD_MAX];
    size_t used = text_of(&share, HF_SHARE_CARD, text, sizeof(text));
    assert_int_equal(used, strlen(card));
    assert_memory_equal(text, card, used);
    hf_share_done(&share);
}

static void a_card_may_be_typed_loosely(void **state)
{
    (void)state;
    char text[HF_SHARE_CARD_MAX];
    size_t used = a_card(text, sizeof(text));
    char typed[2 * HF_SHARE_CARD_MAX];
    size_t len = 0;
    typed[len++] = ' ';
    for (size_t i = 0; i < used; i++) {
        char c = text[i];
        if (i >= 10 && c == '-') {
            if (i % 4 == 0)
                typed[len++] = ' ';
            else if (i % 4 == 1)
                typed[len++] = '\n';
            continue;
        }
        typed[len++] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    typed[len++] = '\n';
    struct hf_share got = {0};
    const char *why = NULL;
    assert_int_equal(hf_share_parse(hf_cursor(typed, len), &got, &why).code, HF_OK);
    assert_int_equal(got.index, 2);
    hf_share_done(&got);
}

static void every_single_wrong_character_is_located(void **state)
{
    (void)state;
    static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    char text[HF_SHARE_CARD_MAX];
    size_t used = a_card(text, sizeof(text));
    uint64_t before = secrets_alive();
    for (size_t i = 10; i < used; i++) {
        if (text[i] == '-')
            continue;
        char right = text[i];
        size_t symbol = (i - 10) - (i - 10) / 6;
        for (const char *c = alphabet; *c != '\0'; c++) {
            if (*c == right)
                continue;
            text[i] = *c;
            struct hf_share got = {0};
            const char *why = NULL;
            assert_int_equal(hf_share_parse(hf_cursor(text, used), &got, &why).code, HF_BAD_SHARE);
            char expected[96];
            struct hf_buf out = hf_buf(expected, sizeof(expected) - 1);
            hf_buf_text(&out, "a wrong character in group ");
            hf_buf_decimal(&out, symbol / 5 + 1);
            hf_buf_text(&out, ", at place ");
            hf_buf_decimal(&out, symbol % 5 + 1);
            expected[out.len] = '\0';
            assert_string_equal(why, expected);
            assert_null(got.y);
        }
        text[i] = right;
    }
    assert_int_equal(secrets_alive(), before);
}

static void several_wrong_characters_and_cut_cards_are_refused(void **state)
{
    (void)state;
    char text[HF_SHARE_CARD_MAX];
    size_t used = a_card(text, sizeof(text));
    struct hf_share got = {0};
    const char *why = NULL;
    char bad[HF_SHARE_CARD_MAX];
    memcpy(bad, text, used);
    bad[12] = bad[12] == 'q' ? 'p' : 'q';
    bad[40] = bad[40] == 'q' ? 'p' : 'q';
    assert_int_equal(hf_share_parse(hf_cursor(bad, used), &got, &why).code, HF_BAD_SHARE);
    assert_string_equal(why, "several characters of the card are wrong");
    /* neighbours exchanged */
    for (size_t i = 10; i + 1 < used; i++) {
        memcpy(bad, text, used);
        bad[i] = text[i + 1];
        bad[i + 1] = text[i];
        if (text[i] == text[i + 1] || text[i] == '-' || text[i + 1] == '-')
            continue;
        assert_int_equal(hf_share_parse(hf_cursor(bad, used), &got, &why).code, HF_BAD_SHARE);
    }
    for (size_t len = 1; len < used; len++) {
        assert_int_equal(hf_share_parse(hf_cursor(text, len), &got, &why).code, HF_BAD_SHARE);
        assert_true(why[0] != '\0');
    }
    memcpy(bad, text, used);
    bad[used] = 'q';
    assert_int_equal(hf_share_parse(hf_cursor(bad, used + 1), &got, &why).code, HF_BAD_SHARE);
    memcpy(bad, text, used);
    bad[22] = 'b';
    assert_int_equal(hf_share_parse(hf_cursor(bad, used), &got, &why).code, HF_BAD_SHARE);
    assert_string_equal(why, "a character that no card has in group 3, at place 1");
    assert_null(got.y);
}

static void what_is_no_share_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "the share is empty"},
        {" \n", "the share is empty"},
        {"zz", "the share is neither hex nor base64, and no share card"},
        {"hello world", "the share is neither hex nor base64, and no share card"},
        {"00ff", "the share is too short"},
        {"AAEC", "the share is too short"},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00",
         "the share's index is 0, which no share has"},
        {"hf1-share-", "characters of the card are missing, or wrong"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        struct hf_share got = {0};
        const char *why = NULL;
        assert_int_equal(hf_share_parse(hf_cursor_text(cases[i].text), &got, &why).code, HF_BAD_SHARE);
        assert_string_equal(why, cases[i].why);
        assert_null(got.y);
    }
    char longer[300];
    memset(longer, 'a', sizeof(longer));
    struct hf_share got = {0};
    const char *why = NULL;
    assert_int_equal(hf_share_parse(hf_cursor(longer, sizeof(longer)), &got, &why).code, HF_BAD_SHARE);
    assert_string_equal(why, "the share is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_threshold_rebuilds_and_fewer_do_not),
        cmocka_unit_test(the_largest_set_works),
        cmocka_unit_test(senseless_splits_are_refused),
        cmocka_unit_test(senseless_points_are_refused),
        cmocka_unit_test(one_share_of_two_says_nothing),
        cmocka_unit_test(a_polynomial_worked_by_hand_is_rebuilt),
        cmocka_unit_test(commitments_know_their_share_alone),
        cmocka_unit_test(every_form_reads_back),
        cmocka_unit_test(the_plain_form_is_y_then_x),
        cmocka_unit_test(base64_without_other_characters_than_hex_is_base64),
        cmocka_unit_test(a_card_is_25_groups_of_5),
        cmocka_unit_test(the_form_of_cards_is_fixed),
        cmocka_unit_test(a_card_may_be_typed_loosely),
        cmocka_unit_test(every_single_wrong_character_is_located),
        cmocka_unit_test(several_wrong_characters_and_cut_cards_are_refused),
        cmocka_unit_test(what_is_no_share_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
