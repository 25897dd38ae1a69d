#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sched.h>

#include "base/cpu.h"

static void a_thread_keeps_to_one_processor_till_it_is_let_go(void **state)
{
    (void)state;
    unsigned count = hf_cpu_count();
    if (count < 2) {
        assert_false(hf_cpu_pin(0));
        return;
    }
    for (unsigned n = 0; n < 2 * count; n++) {
        assert_true(hf_cpu_pin(n));
        assert_int_equal(hf_cpu_count(), 1);
        int at = sched_getcpu();
        assert_true(hf_cpu_pin(n + count)); /* the same one */
        assert_int_equal(sched_getcpu(), at);
    }
    assert_true(hf_cpu_pin(0));
    int first = sched_getcpu();
    assert_true(hf_cpu_pin(1));
    assert_int_not_equal(sched_getcpu(), first);
    assert_true(hf_cpu_unpin());
    assert_int_equal(hf_cpu_count(), count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_keeps_to_one_processor_till_it_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
