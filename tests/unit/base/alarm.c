/* A lasting condition in the log: a line when it begins, few while it lasts, one when it is over. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alarm.h"

static int log_fd[2];

/* What was logged since the last call. */
static const char *logged(void)
{
    static char text[65536];
    ssize_t n = read(log_fd[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static unsigned lines(const char *text)
{
    unsigned count = 0;
    for (; *text != 0; text++)
        count += *text == '\n';
    return count;
}

static void wait_quiet(void)
{
    const struct timespec quiet = {.tv_sec = 1, .tv_nsec = 50000000};
    (void)nanosleep(&quiet, NULL);
}

static void says_it_once_and_when_it_is_over(void **unused)
{
    (void)unused;
    struct hf_alarm alarm = HF_ALARM("thing.failing", "thing.well_again");
    hf_alarm_clear(&alarm);
    assert_int_equal(lines(logged()), 0);
    for (int i = 0; i < 1000; i++)
        hf_alarm_raise(&alarm, HF_FAIL(STORE_FULL));
    const char *text = logged();
    assert_int_equal(lines(text), 1);
    assert_non_null(strstr(text, "thing.failing"));
    assert_non_null(strstr(text, "STORE_FULL"));
    hf_alarm_clear(&alarm); /* one success between failures is not the end */
    assert_int_equal(lines(logged()), 0);
    wait_quiet();
    hf_alarm_clear(&alarm);
    text = logged();
    assert_int_equal(lines(text), 1);
    assert_non_null(strstr(text, "thing.well_again"));
    assert_non_null(strstr(text, "1000"));
    hf_alarm_clear(&alarm);
    assert_int_equal(lines(logged()), 0);
}

static void says_it_again_when_it_comes_back(void **unused)
{
    (void)unused;
    struct hf_alarm alarm = HF_ALARM("thing.failing", "thing.well_again");
    hf_alarm_raise(&alarm, HF_FAIL(STORE_FULL));
    wait_quiet();
    hf_alarm_clear(&alarm);
    (void)logged();
    hf_alarm_raise(&alarm, HF_FAIL(STORE_READ_ONLY));
    hf_alarm_raise(&alarm, HF_FAIL(STORE_READ_ONLY));
    const char *text = logged();
    assert_int_equal(lines(text), 1);
    assert_non_null(strstr(text, "STORE_READ_ONLY"));
}

int main(void)
{
    if (pipe2(log_fd, O_NONBLOCK) != 0)
        return 1;
    hf_log_setup(log_fd[1], HF_LOG_INFO, "test");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_it_once_and_when_it_is_over),
        cmocka_unit_test(says_it_again_when_it_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
