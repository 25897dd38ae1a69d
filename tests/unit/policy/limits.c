/* Lockout by source and role, by a clock that the test turns; and address ranges. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "policy/cidr.h"
#include "policy/policy.h"

static int64_t now_ns;

static int64_t now(void *self)
{
    (void)self;
    return now_ns;
}

static const struct hf_clock clock_of_test = {now, now, NULL};

static void ip(const char *text, uint8_t ret[static 16])
{
    assert_int_equal(hf_ip_parse(hf_cursor_text(text), ret).code, HF_OK);
}

static enum hf_code ask(struct hf_limits *limits, const char *from, const char *role)
{
    uint8_t at[16];
    ip(from, at);
    return hf_limits_table_check(limits, at, hf_cursor_text(role)).code;
}

static void fail_at(struct hf_limits *limits, const char *from, const char *role)
{
    uint8_t at[16];
    ip(from, at);
    hf_limits_table_failed(limits, at, hf_cursor_text(role), HF_LIMITS_LOCK_MAX_S);
}

static struct hf_limits *fresh(void)
{
    struct hf_limits *limits = NULL;
    now_ns = 1000 * HF_SECOND;
    assert_int_equal(hf_limits_new(&clock_of_test, &limits).code, HF_OK);
    return limits;
}

static void a_few_failures_lock_the_pair_out_and_time_lets_it_in(void **state)
{
    (void)state;
    struct hf_limits *limits = fresh();
    for (int i = 0; i < HF_LIMITS_PAIR_TRIES; i++) {
        assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_OK);
        fail_at(limits, "10.0.0.1", "r");
    }
    assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_RATE_LIMITED);
    assert_int_equal(ask(limits, "10.0.0.1", "other"), HF_OK);
    assert_int_equal(ask(limits, "10.0.0.2", "r"), HF_OK);
    now_ns += HF_LIMITS_LOCK_MIN_S * HF_SECOND;
    assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_OK);
    fail_at(limits, "10.0.0.1", "r"); /* each further one for twice as long */
    now_ns += HF_LIMITS_LOCK_MIN_S * HF_SECOND;
    assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_RATE_LIMITED);
    now_ns += HF_LIMITS_LOCK_MIN_S * HF_SECOND;
    assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_OK);
    for (int i = 0; i < 60; i++)
        fail_at(limits, "10.0.0.1", "r");
    now_ns += (HF_LIMITS_LOCK_MAX_S - 1) * HF_SECOND;
    assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_RATE_LIMITED);
    now_ns += HF_SECOND;
    assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_OK); /* never longer */
    hf_limits_free(limits);
}

static void success_and_quiet_forget(void **state)
{
    (void)state;
    struct hf_limits *limits = fresh();
    uint8_t at[16];
    ip("10.0.0.1", at);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < HF_LIMITS_PAIR_TRIES - 1; i++)
            fail_at(limits, "10.0.0.1", "r");
        assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_OK);
        hf_limits_table_succeeded(limits, at, hf_cursor_text("r"));
    }
    for (int i = 0; i < HF_LIMITS_PAIR_TRIES - 1; i++)
        fail_at(limits, "10.0.0.1", "r");
    now_ns += (HF_LIMITS_WINDOW_S + 1) * HF_SECOND;
    fail_at(limits, "10.0.0.1", "r");
    assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_OK);
    hf_limits_free(limits);
}

static void one_source_that_tries_many_roles_is_locked_out(void **state)
{
    (void)state;
    struct hf_limits *limits = fresh();
    char role[16];
    for (int i = 0; i < HF_LIMITS_SOURCE_TRIES; i++) {
        snprintf(role, sizeof(role), "role%d", i);
        assert_int_equal(ask(limits, "10.0.0.1", role), HF_OK);
        fail_at(limits, "10.0.0.1", role);
    }
    assert_int_equal(ask(limits, "10.0.0.1", "fresh"), HF_RATE_LIMITED);
    assert_int_equal(ask(limits, "10.0.0.2", "fresh"), HF_OK);
    hf_limits_free(limits);
}

static void an_ipv6_source_is_its_network(void **state)
{
    (void)state;
    struct hf_limits *limits = fresh();
    for (int i = 0; i < HF_LIMITS_PAIR_TRIES; i++)
        fail_at(limits, i % 2 ? "2001:db8:1:2::1" : "2001:db8:1:2:ffff::9", "r");
    assert_int_equal(ask(limits, "2001:db8:1:2:3::4", "r"), HF_RATE_LIMITED);
    assert_int_equal(ask(limits, "2001:db8:1:3::1", "r"), HF_OK);
    hf_limits_free(limits);
}

/* An attacker with many addresses cannot push a locked-out pair out of the table. */
static void a_flood_does_not_free_the_locked_out(void **state)
{
    (void)state;
    struct hf_limits *limits = fresh();
    for (int i = 0; i < 30; i++)
        fail_at(limits, "10.9.9.9", "r");
    for (unsigned i = 0; i < 60000; i++) {
        uint8_t at[16] = {0x20, 0x01, (uint8_t)(i >> 8), (uint8_t)i};
        hf_limits_table_failed(limits, at, hf_cursor_text("r"), HF_LIMITS_LOCK_MAX_S);
    }
    assert_int_equal(ask(limits, "10.9.9.9", "r"), HF_RATE_LIMITED);
    hf_limits_free(limits);
}

static void a_source_has_its_rate_and_no_more(void **state)
{
    (void)state;
    struct hf_limits *limits = NULL;
    uint8_t one[16], other[16];
    ip("192.0.2.1", one);
    ip("192.0.2.2", other);
    now_ns = 1000 * HF_SECOND;
    assert_int_equal(hf_limits_new(&clock_of_test, &limits).code, HF_OK);
    for (int i = 0; i < 10; i++) /* a second's worth at once */
        assert_int_equal(hf_limits_table_rate(limits, one, 10).code, HF_OK);
    assert_int_equal(hf_limits_table_rate(limits, one, 10).code, HF_RATE_LIMITED);
    assert_int_equal(hf_limits_table_rate(limits, other, 10).code, HF_OK);
    now_ns += HF_SECOND / 10;
    assert_int_equal(hf_limits_table_rate(limits, one, 10).code, HF_OK);
    assert_int_equal(hf_limits_table_rate(limits, one, 10).code, HF_RATE_LIMITED);
    now_ns += 100 * HF_SECOND; /* rest does not add up to more than a second's worth */
    for (int i = 0; i < 10; i++)
        assert_int_equal(hf_limits_table_rate(limits, one, 10).code, HF_OK);
    assert_int_equal(hf_limits_table_rate(limits, one, 10).code, HF_RATE_LIMITED);
    assert_int_equal(ask(limits, "192.0.2.1", "login"), HF_OK); /* no lockout by it */
    hf_limits_free(limits);
}

static void *hammer(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        fail_at(arg, "10.0.0.1", "r");
        (void)ask(arg, "10.0.0.1", "r");
    }
    return NULL;
}

static void threads_count_together(void **state)
{
    (void)state;
    struct hf_limits *limits = fresh();
    pthread_t threads[4];
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, limits), 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(ask(limits, "10.0.0.1", "r"), HF_RATE_LIMITED);
    hf_limits_free(limits);
}

static void ranges_hold_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *range, *address;
        bool has;
    } rows[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.3", "10.1.2.4", false},
        {"10.1.2.3/31", "10.1.2.2", true},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "1.2.3.4", true},
        {"2001:db8::/33", "2001:db8::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1/128", "::1", true},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_cidr cidr;
        uint8_t at[16];
        assert_int_equal(hf_cidr_parse(hf_cursor_text(rows[i].range), &cidr).code, HF_OK);
        ip(rows[i].address, at);
        if (hf_cidr_has(&cidr, at) != rows[i].has)
            fail_msg("%s and %s", rows[i].range, rows[i].address);
    }
    static const char *const bad[] = {"",        "/",        "10.0.0.0/33", "10.0.0.0/",   "10.0.0.0/-1",
                                      "::/129",  "10.0.0/8", "host",        "10.0.0.1/8x", "10.0.0.1/0008",
                                      "::1%eth0"};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        struct hf_cidr cidr;
        assert_int_equal(hf_cidr_parse(hf_cursor_text(bad[i]), &cidr).code, HF_BAD_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_failures_lock_the_pair_out_and_time_lets_it_in),
        cmocka_unit_test(success_and_quiet_forget),
        cmocka_unit_test(one_source_that_tries_many_roles_is_locked_out),
        cmocka_unit_test(an_ipv6_source_is_its_network),
        cmocka_unit_test(a_flood_does_not_free_the_locked_out),
        cmocka_unit_test(a_source_has_its_rate_and_no_more),
        cmocka_unit_test(threads_count_together),
        cmocka_unit_test(ranges_hold_what_they_say),
    };
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
