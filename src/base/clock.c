#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t which)
{
    struct timespec now;
    if (clock_gettime(which, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * HF_SECOND + now.tv_nsec;
}

static int64_t system_wall_ns(void *self)
{
    (void)self;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_boot_ns(void *self)
{
    (void)self;
    return read_clock(CLOCK_BOOTTIME);
}

const struct hf_clock hf_clock_system = {system_wall_ns, system_boot_ns, NULL};

/* ---- the proleptic Gregorian calendar, by eras of 400 years that begin on 1 March ---- */

enum { DAYS_OF_ERA = 146097, DAYS_TO_1970 = 719468 };

static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
}

static void date_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += DAYS_TO_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_OF_ERA - 1)) / DAYS_OF_ERA;
    int64_t of_era = days - era * DAYS_OF_ERA;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t shifted = (5 * of_year + 2) / 153; /* months from March */
    *ret_day = (unsigned)(of_year - (153 * shifted + 2) / 5 + 1);
    *ret_month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *ret_year = year + era * 400 + (*ret_month <= 2);
}

static void put_padded(struct hf_buf *out, uint64_t value, unsigned digits)
{
    uint8_t *place = hf_buf_reserve(out, digits);
    if (place == NULL)
        return;
    while (digits-- != 0) {
        place[digits] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

void hf_time_rfc3339(struct hf_buf *out, int64_t wall_ns)
{
    int64_t seconds = wall_ns / HF_SECOND;
    int64_t ns = wall_ns % HF_SECOND;
    if (ns < 0) {
        ns += HF_SECOND;
        seconds--;
    }
    int64_t days = seconds / 86400;
    int64_t of_day = seconds % 86400;
    if (of_day < 0) {
        of_day += 86400;
        days--;
    }
    int64_t year;
    unsigned month, day;
    date_from_days(days, &year, &month, &day); /* 1677..2262: four digits */
    put_padded(out, (uint64_t)year, 4);
    hf_buf_u8(out, '-');
    put_padded(out, month, 2);
    hf_buf_u8(out, '-');
    put_padded(out, day, 2);
    hf_buf_u8(out, 'T');
    put_padded(out, (uint64_t)of_day / 3600, 2);
    hf_buf_u8(out, ':');
    put_padded(out, (uint64_t)of_day / 60 % 60, 2);
    hf_buf_u8(out, ':');
    put_padded(out, (uint64_t)of_day % 60, 2);
    hf_buf_u8(out, '.');
    put_padded(out, (uint64_t)ns, 9);
    hf_buf_u8(out, 'Z');
}

static bool take_digits(struct hf_cursor *in, unsigned digits, unsigned *ret)
{
    struct hf_cursor slice;
    if (!hf_cursor_take(in, digits, &slice))
        return false;
    unsigned value = 0;
    for (size_t i = 0; i < slice.left; i++) {
        if (slice.at[i] < '0' || slice.at[i] > '9')
            return false;
        value = value * 10 + (slice.at[i] - '0');
    }
    *ret = value;
    return true;
}

static bool take_char(struct hf_cursor *in, char wanted)
{
    if (in->left == 0 || in->at[0] != (uint8_t)wanted)
        return false;
    in->at++;
    in->left--;
    return true;
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* Fraction of a second; digits beyond nanoseconds are read and dropped. */
static bool take_fraction(struct hf_cursor *in, int64_t *ret_ns)
{
    int64_t ns = 0, unit = HF_SECOND / 10;
    size_t digits = 0;
    while (in->left != 0 && in->at[0] >= '0' && in->at[0] <= '9') {
        ns += (in->at[0] - '0') * unit;
        unit /= 10;
        digits++;
        in->at++;
        in->left--;
    }
    *ret_ns = ns;
    return digits != 0;
}

/* "Z" or "+hh:mm"; gives seconds east of UTC. */
static bool take_offset(struct hf_cursor *in, int64_t *ret_seconds)
{
    if (take_char(in, 'Z') || take_char(in, 'z')) {
        *ret_seconds = 0;
        return true;
    }
    int64_t sign = take_char(in, '+') ? 1 : take_char(in, '-') ? -1 : 0;
    unsigned hours, minutes;
    if (sign == 0 || !take_digits(in, 2, &hours) || !take_char(in, ':') || !take_digits(in, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

hf_result hf_time_parse(struct hf_cursor text, int64_t *ret_wall_ns)
{
    unsigned year, month, day, hour, minute, second;
    int64_t ns = 0, offset;
    bool date = take_digits(&text, 4, &year) && take_char(&text, '-') && take_digits(&text, 2, &month) &&
                take_char(&text, '-') && take_digits(&text, 2, &day) &&
                (take_char(&text, 'T') || take_char(&text, 't'));
    bool clock = date && take_digits(&text, 2, &hour) && take_char(&text, ':') &&
                 take_digits(&text, 2, &minute) && take_char(&text, ':') && take_digits(&text, 2, &second);
    if (!clock || (take_char(&text, '.') && !take_fraction(&text, &ns)) || !take_offset(&text, &offset) ||
        text.left != 0)
        return HF_FAIL(BAD_ARGUMENT);
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 59 || year < 1678 || year > 2261) /* the years that 64 bits of nanoseconds hold whole */
        return HF_FAIL(BAD_ARGUMENT);
    int64_t seconds = days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    *ret_wall_ns = seconds * HF_SECOND + ns;
    return HF_DONE;
}

/* ---- durations ---- */

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    {"ns", 1},
    {"us", HF_MICROSECOND},
    {"ms", HF_MILLISECOND},
    {"s", HF_SECOND},
    {"m", 60 * HF_SECOND},
    {"h", 3600 * HF_SECOND},
    {"d", 86400 * HF_SECOND},
};

static int64_t unit_ns(struct hf_cursor name)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(units); i++)
        if (hf_cursor_is(name, units[i].name))
            return units[i].ns;
    return 0;
}

hf_result hf_duration_parse(struct hf_cursor text, int64_t *ret_ns)
{
    int64_t sum = 0;
    if (text.left == 0)
        return HF_FAIL(BAD_ARGUMENT);
    bool first = true;
    while (text.left != 0) {
        int64_t number = 0;
        size_t digits = 0;
        for (; digits < text.left && text.at[digits] >= '0' && text.at[digits] <= '9'; digits++)
            if (__builtin_mul_overflow(number, 10, &number) ||
                __builtin_add_overflow(number, text.at[digits] - '0', &number))
                return HF_FAIL(BAD_ARGUMENT);
        if (digits == 0)
            return HF_FAIL(BAD_ARGUMENT);
        text = hf_cursor(text.at + digits, text.left - digits);
        size_t letters = 0;
        while (letters < text.left && text.at[letters] >= 'a' && text.at[letters] <= 'z')
            letters++;
        int64_t unit = unit_ns(hf_cursor(text.at, letters));
        if (letters == 0 && first && text.left == 0)
            unit = HF_SECOND; /* a bare number */
        int64_t part;
        if (unit == 0 || __builtin_mul_overflow(number, unit, &part) ||
            __builtin_add_overflow(sum, part, &sum))
            return HF_FAIL(BAD_ARGUMENT);
        text = hf_cursor(text.at + letters, text.left - letters);
        first = false;
    }
    *ret_ns = sum;
    return HF_DONE;
}
