#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/encode.h"

typedef void (*encoder)(struct hf_buf *, struct hf_cursor);
typedef hf_result (*decoder)(struct hf_buf *, struct hf_cursor);

static void expect_text(encoder encode, const char *bytes, const char *text)
{
    char space[256];
    struct hf_buf out = hf_buf(space, sizeof(space));
    encode(&out, hf_cursor_text(bytes));
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(space, text, out.len);
}

static void expect_bytes(decoder decode, const char *text, const char *bytes)
{
    char space[256];
    struct hf_buf out = hf_buf(space, sizeof(space));
    assert_int_equal(decode(&out, hf_cursor_text(text)).code, HF_OK);
    assert_int_equal(out.len, strlen(bytes));
    assert_memory_equal(space, bytes, out.len);
}

static void expect_refused(decoder decode, const char *text)
{
    char space[256];
    struct hf_buf out = hf_buf(space, sizeof(space));
    hf_buf_text(&out, "kept");
    assert_int_equal(decode(&out, hf_cursor_text(text)).code, HF_BAD_ARGUMENT);
    assert_int_equal(out.len, 4);
    assert_false(out.overflow);
}

/* RFC 4648 section 10 */
static void rfc_4648_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *base64, *hex;
    } rows[] = {
        {"", "", ""},
        {"f", "Zg==", "66"},
        {"fo", "Zm8=", "666f"},
        {"foo", "Zm9v", "666f6f"},
        {"foob", "Zm9vYg==", "666f6f62"},
        {"fooba", "Zm9vYmE=", "666f6f6261"},
        {"foobar", "Zm9vYmFy", "666f6f626172"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        expect_text(hf_base64_encode, rows[i].bytes, rows[i].base64);
        expect_bytes(hf_base64_decode, rows[i].base64, rows[i].bytes);
        expect_text(hf_hex_encode, rows[i].bytes, rows[i].hex);
        expect_bytes(hf_hex_decode, rows[i].hex, rows[i].bytes);
    }
    expect_text(hf_base64url_encode, "f", "Zg");
    expect_text(hf_base64url_encode, "\xff\xfe\xfb", "__77");
    expect_text(hf_base64_encode, "\xff\xfe\xfb", "//77");
    expect_bytes(hf_base64url_decode, "__77", "\xff\xfe\xfb");
    expect_bytes(hf_hex_decode, "FfAa", "\xff\xaa");
}

static void strictness(void **state)
{
    (void)state;
    static const char *const base64[] = {
        "Z",
        "Zg",
        "Zg=",
        "Zg===",
        "Zh==",
        "Zm9=",
        "Z===",
        "====",
        "Zm9v\n",
        "Zm 9",
        "Zm9_",
        "Zm9-",
        "=m9v",
        "Zg==Zg==",
        "Zm9vZm9vZm9vZm9v!m9v",
        "Zm9vZm9vZm9v\x80m9v",
        "Zm=v",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(base64); i++)
        expect_refused(hf_base64_decode, base64[i]);
    static const char *const url[] = {"Z", "Zg==", "Zh", "Zm9+", "Zm9/", "Zm9vZ"};
    for (size_t i = 0; i < HF_ARRAY_LEN(url); i++)
        expect_refused(hf_base64url_decode, url[i]);
    static const char *const hex[] = {"0", "0g", "/0", ":0", "@0", "G0", "`0", "g0", " 0", "0x", "\xb0\xb0"};
    for (size_t i = 0; i < HF_ARRAY_LEN(hex); i++)
        expect_refused(hf_hex_decode, hex[i]);
}

/* Every single character, at each place of a group, is taken exactly where the alphabet has it. */
static void every_character(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (unsigned c = 1; c < 256; c++) {
        const char *found = strchr(alphabet, (int)c);
        for (size_t place = 0; place < 20; place++) {
            char text[20];
            memset(text, 'A', sizeof(text));
            text[place] = (char)c;
            uint8_t space[15];
            struct hf_buf out = hf_buf(space, sizeof(space));
            hf_result got = hf_base64_decode(&out, hf_cursor(text, sizeof(text)));
            if (c == '=' && place == 19)
                continue; /* padding */
            assert_int_equal(HF_IS_OK(got), found != NULL);
            if (found == NULL)
                continue;
            unsigned value = (unsigned)(found - alphabet);
            uint8_t want[15] = {0};
            uint32_t bits = value << (18 - 6 * (place % 4));
            want[place / 4 * 3] = (uint8_t)(bits >> 16);
            want[place / 4 * 3 + 1] = (uint8_t)(bits >> 8);
            want[place / 4 * 3 + 2] = (uint8_t)bits;
            assert_memory_equal(space, want, sizeof(want));
        }
    }
}

static void round_trips_of_each_length(void **state)
{
    (void)state;
    static const struct {
        encoder encode;
        decoder decode;
    } rows[] = {{hf_hex_encode, hf_hex_decode},
                {hf_base64_encode, hf_base64_decode},
                {hf_base64url_encode, hf_base64url_decode}};
    uint8_t bytes[300], text[700], back[300];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    for (size_t row = 0; row < HF_ARRAY_LEN(rows); row++)
        for (size_t len = 0; len <= sizeof(bytes); len++) {
            struct hf_buf out = hf_buf(text, sizeof(text));
            rows[row].encode(&out, hf_cursor(bytes, len));
            assert_false(out.overflow);
            struct hf_buf in = hf_buf(back, len); /* just enough */
            assert_int_equal(rows[row].decode(&in, hf_buf_cursor(&out)).code, HF_OK);
            assert_int_equal(in.len, len);
            assert_memory_equal(back, bytes, len);
            if (len != 0) {
                struct hf_buf small = hf_buf(back, len - 1);
                assert_int_equal(rows[row].decode(&small, hf_buf_cursor(&out)).code, HF_TOO_LARGE);
                struct hf_buf short_out = hf_buf(text, out.len - 1);
                rows[row].encode(&short_out, hf_cursor(bytes, len));
                assert_true(short_out.overflow);
            }
        }
}

static void base64_decodes_in_place(void **state)
{
    (void)state;
    uint8_t bytes[200], space[300];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct hf_buf out = hf_buf(space, sizeof(space));
        hf_base64_encode(&out, hf_cursor(bytes, len));
        struct hf_buf in = hf_buf(space, sizeof(space));
        assert_int_equal(hf_base64_decode(&in, hf_cursor(space, out.len)).code, HF_OK);
        assert_int_equal(in.len, len);
        assert_memory_equal(space, bytes, len);
    }
}

/* The rules of table 3-7 written down a second time, character by character, for all code points. */
static void utf8_of_every_code_point(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x120000; cp++) {
        uint8_t text[4];
        size_t len;
        if (cp < 0x80) {
            text[0] = (uint8_t)cp;
            len = 1;
        } else if (cp < 0x800) {
            text[0] = (uint8_t)(0xc0 | cp >> 6);
            text[1] = (uint8_t)(0x80 | (cp & 0x3f));
            len = 2;
        } else if (cp < 0x10000) {
            text[0] = (uint8_t)(0xe0 | cp >> 12);
            text[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
            text[2] = (uint8_t)(0x80 | (cp & 0x3f));
            len = 3;
        } else {
            text[0] = (uint8_t)(0xf0 | cp >> 18);
            text[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
            text[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
            text[3] = (uint8_t)(0x80 | (cp & 0x3f));
            len = 4;
        }
        bool good = cp < 0x110000 && !(cp >= 0xd800 && cp <= 0xdfff);
        if (hf_utf8_valid(hf_cursor(text, len)) != good)
            fail_msg("U+%04X", cp);
        if (len > 1)
            assert_false(hf_utf8_valid(hf_cursor(text, len - 1)));
    }
}

static void utf8_refuses_ill_formed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xc3\x28",
        "\xe2\x28\xa1",
        "\xe2\x82\x28",
        "\xed\xa0\x80",
    };
    static const char prefix[] = "thirty-two characters of ASCII..";
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        for (size_t before = 0; before < sizeof(prefix); before++) {
            char text[64];
            size_t len = strlen(bad[i]);
            memcpy(text, prefix, before);
            memcpy(text + before, bad[i], len);
            memcpy(text + before + len, "and more after", 14);
            assert_false(hf_utf8_valid(hf_cursor(text, before + len)));
            assert_false(hf_utf8_valid(hf_cursor(text, before + len + 14)));
        }
    assert_true(hf_utf8_valid(hf_cursor("", 0)));
    assert_true(hf_utf8_valid(hf_cursor_text("κόσμε — schlüssel 鍵 🔑 and a long tail of plain ASCII text")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_4648_vectors),        cmocka_unit_test(strictness),
        cmocka_unit_test(every_character),         cmocka_unit_test(round_trips_of_each_length),
        cmocka_unit_test(base64_decodes_in_place), cmocka_unit_test(utf8_of_every_code_point),
        cmocka_unit_test(utf8_refuses_ill_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
