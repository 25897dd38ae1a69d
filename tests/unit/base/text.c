/* Decimals, ids, times, durations, log lines: how values become text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"

static void decimals(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *text;
    } rows[] = {{0, "0"}, {9, "9"}, {10, "10"}, {1234567, "1234567"}, {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char space[20];
        struct hf_buf out = hf_buf(space, sizeof(space));
        hf_buf_decimal(&out, rows[i].value);
        assert_int_equal(out.len, strlen(rows[i].text));
        assert_memory_equal(space, rows[i].text, out.len);
    }
    char small[3];
    struct hf_buf out = hf_buf(small, sizeof(small));
    hf_buf_decimal(&out, 1234);
    assert_true(out.overflow);
}

static void buffers_and_cursors_agree(void **state)
{
    (void)state;
    uint8_t space[64];
    struct hf_buf out = hf_buf(space, sizeof(space));
    hf_buf_u8(&out, 0xab);
    hf_buf_u16(&out, 0x1234);
    hf_buf_u32(&out, 0xdeadbeef);
    hf_buf_u64(&out, UINT64_C(0x0123456789abcdef));
    hf_buf_vec16(&out, hf_cursor_text("short"));
    hf_buf_vec32(&out, hf_cursor_text("long"));
    assert_int_equal(hf_buf_ok(&out).code, HF_OK);
    for (size_t cut = 0; cut <= out.len; cut++) {
        struct hf_cursor in = hf_cursor(space, cut);
        uint8_t a = 0;
        uint16_t b = 0;
        uint32_t c = 0;
        uint64_t d = 0;
        struct hf_cursor e = {0}, f = {0};
        bool whole = hf_cursor_u8(&in, &a) && hf_cursor_u16(&in, &b) && hf_cursor_u32(&in, &c) &&
                     hf_cursor_u64(&in, &d) && hf_cursor_vec16(&in, &e) && hf_cursor_vec32(&in, &f);
        assert_int_equal(whole, cut == out.len);
        if (whole) {
            assert_true(a == 0xab && b == 0x1234 && c == 0xdeadbeef && d == UINT64_C(0x0123456789abcdef));
            assert_true(hf_cursor_is(e, "short") && hf_cursor_is(f, "long") && in.left == 0);
        }
    }
}

static void ids(void **state)
{
    (void)state;
    struct hf_id id = {
        {0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00}};
    char text[HF_ID_TEXT_LEN + 1] = {0};
    hf_id_text(id, text);
    assert_string_equal(text, "123e4567-e89b-12d3-a456-426614174000");
    struct hf_id back;
    assert_int_equal(hf_id_parse(hf_cursor_text(text), &back).code, HF_OK);
    assert_memory_equal(back.bytes, id.bytes, sizeof(id.bytes));
    assert_int_equal(hf_id_parse(hf_cursor_text("123E4567-E89B-12D3-A456-426614174000"), &back).code, HF_OK);
    static const char *const bad[] = {
        "",
        "123e4567-e89b-12d3-a456-42661417400",
        "123e4567-e89b-12d3-a456-4266141740000",
        "123e4567e89b-12d3-a456-4266141740000",
        "123e4567-e89b-12d3-a456-42661417400g",
        "123e4567--e89b12d3-a456-426614174000",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        assert_int_equal(hf_id_parse(hf_cursor_text(bad[i]), &back).code, HF_BAD_ARGUMENT);
}

static void times(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000000000Z"},
        {1, "1970-01-01T00:00:00.000000001Z"},
        {-1, "1969-12-31T23:59:59.999999999Z"},
        {INT64_C(951782400) * HF_SECOND, "2000-02-29T00:00:00.000000000Z"},
        {INT64_C(1767323045) * HF_SECOND + 6, "2026-01-02T03:04:05.000000006Z"},
        {INT64_C(4107542399) * HF_SECOND, "2100-02-28T23:59:59.000000000Z"},
        {INT64_C(4107542400) * HF_SECOND, "2100-03-01T00:00:00.000000000Z"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char space[40];
        struct hf_buf out = hf_buf(space, sizeof(space));
        hf_time_rfc3339(&out, rows[i].ns);
        assert_int_equal(out.len, strlen(rows[i].text));
        assert_memory_equal(space, rows[i].text, out.len);
        int64_t back;
        assert_int_equal(hf_time_parse(hf_buf_cursor(&out), &back).code, HF_OK);
        assert_int_equal(back, rows[i].ns);
    }
    static const struct {
        const char *text;
        int64_t ns;
    } taken[] = {
        {"1970-01-01T02:00:00+02:00", 0},
        {"1969-12-31T18:30:00-05:30", 0},
        {"1970-01-01t00:00:01z", HF_SECOND},
        {"1970-01-01T00:00:00.5Z", HF_SECOND / 2},
        {"1970-01-01T00:00:00.1234567891Z", 123456789},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(taken); i++) {
        int64_t got;
        assert_int_equal(hf_time_parse(hf_cursor_text(taken[i].text), &got).code, HF_OK);
        assert_int_equal(got, taken[i].ns);
    }
    static const char *const bad[] = {
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:60Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00ZZ",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01 00:00:00Z",
        "9999-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "+970-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        int64_t got;
        assert_int_equal(hf_time_parse(hf_cursor_text(bad[i]), &got).code, HF_BAD_ARGUMENT);
    }
}

/* Each day of six centuries: the calendar counts up by one. */
static void calendar_is_continuous(void **state)
{
    (void)state;
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = 1700, month = 1, day = 1;
    int64_t ns;
    assert_int_equal(hf_time_parse(hf_cursor_text("1700-01-01T00:00:00Z"), &ns).code, HF_OK);
    while (year < 2250) {
        char want[32], got[40];
        snprintf(want, sizeof(want), "%04u-%02u-%02uT", year, month, day);
        struct hf_buf out = hf_buf(got, sizeof(got));
        hf_time_rfc3339(&out, ns);
        assert_memory_equal(got, want, strlen(want));
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        if (++day > lengths[month - 1] + (unsigned)(month == 2 && leap)) {
            day = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
        ns += 86400 * HF_SECOND;
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {{"90", 90 * HF_SECOND},       {"90s", 90 * HF_SECOND},
                {"15m", 900 * HF_SECOND},     {"1h30m", 5400 * HF_SECOND},
                {"30d", 2592000 * HF_SECOND}, {"0", 0},
                {"250ms", HF_SECOND / 4},     {"1h2m3s4ms5us6ns", INT64_C(3723004005006)}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t got;
        assert_int_equal(hf_duration_parse(hf_cursor_text(rows[i].text), &got).code, HF_OK);
        assert_int_equal(got, rows[i].ns);
    }
    static const char *const bad[] = {"",
                                      "s",
                                      "-1",
                                      "-1s",
                                      "1x",
                                      "1 s",
                                      " 1s",
                                      "1h30",
                                      "1.5h",
                                      "1s ",
                                      "10w",
                                      "1e3s",
                                      "9223372036854775808",
                                      "9223372037s",
                                      "106752d"};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        int64_t got;
        assert_int_equal(hf_duration_parse(hf_cursor_text(bad[i]), &got).code, HF_BAD_ARGUMENT);
    }
}

static void clocks_run(void **state)
{
    (void)state;
    int64_t wall = hf_wall_ns(&hf_clock_system), boot = hf_boot_ns(&hf_clock_system);
    assert_true(wall > INT64_C(1700000000) * HF_SECOND);
    assert_true(boot > 0);
    assert_true(hf_boot_ns(&hf_clock_system) >= boot);
}

/* ---- the log ---- */

static char logged[4096];

static const char *log_of(void (*write_it)(void), enum hf_log_level least)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    hf_log_setup(ends[1], least, "core");
    write_it();
    hf_log_setup(STDERR_FILENO, HF_LOG_INFO, "test");
    ssize_t got = read(ends[0], logged, sizeof(logged) - 1);
    logged[got > 0 ? got : 0] = 0;
    close(ends[0]);
    close(ends[1]);
    return logged;
}

static void every_kind(void)
{
    struct hf_id id = {{1}};
    unsigned long big = UINT64_MAX;
    long least = INT64_MIN;
    bool yes = true; /* the constant is an int to clang 14 */
    hf_log(HF_LOG_WARN, "test.kinds", hf_f("text", "a\"b\\c\n\x01\x7f"), hf_f("utf8", "ü鍵"),
           hf_f("bad", hf_cursor("\xff\xc3(", 3)), hf_f("big", big), hf_f("least", least), hf_f("yes", yes),
           hf_f("id", id), hf_f("result", HF_FAIL(NOT_FOUND)), hf_f("none", (const char *)NULL));
}

static void log_writes_each_kind(void **state)
{
    (void)state;
    const char *line = log_of(every_kind, HF_LOG_INFO);
    assert_memory_equal(line, "{\"time\":\"20", 11);
    const char *rest = strstr(line, "Z\",");
    assert_non_null(rest);
    char want[1024];
    snprintf(want, sizeof(want),
             "Z\",\"level\":\"warn\",\"role\":\"core\",\"pid\":%d,\"event\":\"test.kinds\","
             "\"text\":\"a\\\"b\\\\c\\u000a\\u0001\\u007f\",\"utf8\":\"ü鍵\",\"bad\":\"\\ufffd\\ufffd(\","
             "\"big\":18446744073709551615,\"least\":-9223372036854775808,\"yes\":true,"
             "\"id\":\"01000000-0000-0000-0000-000000000000\",\"result\":\"NOT_FOUND\",\"none\":null}\n",
             (int)getpid());
    assert_string_equal(rest, want);
}

static void long_text(void)
{
    char text[5000];
    memset(text, 'x', sizeof(text));
    memcpy(text + 254, "\xc3\xbc\xc3\xbc", 4);
    hf_log(HF_LOG_ERROR, "test.long", hf_f("text", hf_cursor(text, sizeof(text))), hf_f("after", 1));
}

static void many_fields(void)
{
    char text[256];
    memset(text, '"', sizeof(text)); /* each becomes two */
    struct hf_cursor all = hf_cursor(text, sizeof(text));
    hf_log(HF_LOG_ERROR, "test.many", hf_f("a", all), hf_f("b", all), hf_f("c", all), hf_f("d", 7));
}

static void log_lines_are_bounded(void **state)
{
    (void)state;
    const char *line = log_of(long_text, HF_LOG_INFO);
    assert_true(strlen(line) <= HF_LOG_LINE_MAX);
    /* cut between characters, and marked */
    assert_non_null(strstr(line, "xxü\",\"after\":1,\"cut\":true}\n"));
    line = log_of(many_fields, HF_LOG_INFO);
    assert_true(strlen(line) <= HF_LOG_LINE_MAX);
    assert_non_null(strstr(line, "\"d\":7,\"cut\":true}\n"));
    assert_null(strstr(line, "\"b\":"));
}

static void quiet(void)
{
    hf_log(HF_LOG_DEBUG, "test.debug", hf_f("a", 1));
    hf_log(HF_LOG_INFO, "test.info", hf_f("a", 1));
}

static void log_levels(void **state)
{
    (void)state;
    assert_string_equal(log_of(quiet, HF_LOG_WARN), "");
    assert_null(strstr(log_of(quiet, HF_LOG_INFO), "test.debug"));
    assert_non_null(strstr(log_of(quiet, HF_LOG_DEBUG), "test.debug"));
}

static void every_code_has_a_row(void **state)
{
    (void)state;
    for (int code = 0; code < HF_CODE_COUNT; code++) {
        assert_true(strlen(hf_code_name((enum hf_code)code)) > 0);
        assert_true(strlen(hf_code_text((enum hf_code)code)) > 0);
        assert_in_range(hf_code_http((enum hf_code)code), 200, 599);
    }
    assert_string_equal(hf_code_name((enum hf_code)9999), "INTERNAL");
    assert_int_equal(hf_code_http(HF_SEALED), 503);
    assert_true(hf_code_retry(HF_ROLE_DOWN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimals),
        cmocka_unit_test(buffers_and_cursors_agree),
        cmocka_unit_test(ids),
        cmocka_unit_test(times),
        cmocka_unit_test(calendar_is_continuous),
        cmocka_unit_test(durations),
        cmocka_unit_test(clocks_run),
        cmocka_unit_test(log_writes_each_kind),
        cmocka_unit_test(log_lines_are_bounded),
        cmocka_unit_test(log_levels),
        cmocka_unit_test(every_code_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
