/* The whole table of states, transition by transition and use by use, against SP 800-57 part 1 rev. 5 section 7 typed in
 * anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "keys/state.h"

static void every_transition(void **state)
{
    (void)state;
    /* rows: from; columns: to; P A S D C X */
    static const char *const expected[] = {
        "P .A..CX", "A ..SDCX", "S .A.DCX", "D ....CX", "C .....X", "X ......",
    };
    unsigned allowed = 0;
    for (int from = HF_KEY_PRE_ACTIVE; from < HF_KEY_STATE_END; from++) {
        for (int to = HF_KEY_PRE_ACTIVE; to < HF_KEY_STATE_END; to++) {
            bool should = expected[from - 1][2 + to - 1] != '.';
            assert_int_equal(hf_key_state_may_become((enum hf_key_state)from, (enum hf_key_state)to), should);
            allowed += should;
        }
    }
    assert_int_equal(allowed, 14);
}

static void what_is_no_state_becomes_nothing(void **state)
{
    (void)state;
    for (int other = -1; other <= 300; other++) {
        for (int s = HF_KEY_PRE_ACTIVE; s < HF_KEY_STATE_END; s++) {
            if (other >= HF_KEY_PRE_ACTIVE && other < HF_KEY_STATE_END)
                continue;
            assert_false(hf_key_state_may_become((enum hf_key_state)other, (enum hf_key_state)s));
            assert_false(hf_key_state_may_become((enum hf_key_state)s, (enum hf_key_state)other));
            assert_false(hf_key_state_allows((enum hf_key_state)other, HF_KEY_RECOVER));
            assert_null(hf_key_state_name((enum hf_key_state)other));
        }
    }
    assert_false(hf_key_state_allows(HF_KEY_ACTIVE, HF_KEY_PURPOSE_END));
}

static void every_use(void **state)
{
    (void)state;
    static const struct {
        enum hf_key_state state;
        bool protect, recover, verify;
        const char *name;
    } rows[] = {
        {HF_KEY_PRE_ACTIVE, false, false, false, "pre-active"},
        {HF_KEY_ACTIVE, true, true, true, "active"},
        {HF_KEY_SUSPENDED, false, true, true, "suspended"},
        {HF_KEY_DEACTIVATED, false, true, true, "deactivated"},
        {HF_KEY_COMPROMISED, false, true, false, "compromised"},
        {HF_KEY_DESTROYED, false, false, false, "destroyed"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        assert_int_equal(hf_key_state_allows(rows[i].state, HF_KEY_PROTECT), rows[i].protect);
        assert_int_equal(hf_key_state_allows(rows[i].state, HF_KEY_RECOVER), rows[i].recover);
        assert_int_equal(hf_key_state_allows(rows[i].state, HF_KEY_VERIFY), rows[i].verify);
        assert_string_equal(hf_key_state_name(rows[i].state), rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transition),
        cmocka_unit_test(what_is_no_state_becomes_nothing),
        cmocka_unit_test(every_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
