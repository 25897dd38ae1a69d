/* Constant time: what is right for every input, and, under Valgrind, that no branch and no address depends on bytes
 * that are marked undefined. A comparison that leaves early is the control: it must be caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_UNDEFINED(at, len) ((void)(at), (void)(len))
#define VALGRIND_MAKE_MEM_DEFINED(at, len) ((void)(at), (void)(len))
#define NO_MEMCHECK_HEADER 1
#endif

#include "base/encode.h"
#include "memory.h"
#include "secret/ct.h"
#include "secret/view.h"

static void equal_in_each_position(void **state)
{
    (void)state;
    uint8_t a[67], b[67];
    for (size_t len = 0; len <= sizeof(a); len++) {
        memset(a, 0x5c, sizeof(a));
        memset(b, 0x5c, sizeof(b));
        assert_true(hf_ct_equal(a, b, len));
        for (size_t i = 0; i < len; i++)
            for (unsigned bit = 0; bit < 8; bit++) {
                b[i] ^= (uint8_t)(1u << bit);
                assert_false(hf_ct_equal(a, b, len));
                b[i] ^= (uint8_t)(1u << bit);
            }
        if (len < sizeof(a))
            b[len] ^= 1; /* outside */
        assert_true(hf_ct_equal(a, b, len));
    }
}

static void zero_in_each_position(void **state)
{
    (void)state;
    uint8_t a[40] = {0};
    assert_true(hf_ct_is_zero(a, 0));
    assert_true(hf_ct_is_zero(a, sizeof(a)));
    for (size_t i = 0; i < sizeof(a); i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            a[i] = (uint8_t)(1u << bit);
            assert_false(hf_ct_is_zero(a, sizeof(a)));
            a[i] = 0;
        }
}

static void select_takes_one_or_the_other(void **state)
{
    (void)state;
    uint8_t to[33], from[33];
    memset(from, 0xa7, sizeof(from));
    memset(to, 0x19, sizeof(to));
    hf_ct_select(0x00, to, from, sizeof(to));
    assert_int_equal(to[0], 0x19);
    assert_int_equal(to[32], 0x19);
    hf_ct_select(0xff, to, from, sizeof(to));
    assert_memory_equal(to, from, sizeof(to));
}

/* ---- run under Valgrind: undefined stands for secret ---- */

static volatile int sink;

static int taint(const char *what)
{
    uint8_t a[64], b[64], space[256];
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = b[i] = (uint8_t)(i * 7);
    struct hf_buf out = hf_buf(space, sizeof(space));
    struct hf_secret *secret = NULL, *copy = NULL;

    if (strcmp(what, "control") == 0) {
        VALGRIND_MAKE_MEM_UNDEFINED(a, sizeof(a));
        size_t i = 0;
        while (i < sizeof(a) && a[i] == b[i])
            i++;
        sink = (int)i;
        return 0;
    }
    VALGRIND_MAKE_MEM_UNDEFINED(a, sizeof(a));
    bool equal = hf_ct_equal(a, b, sizeof(a));
    bool zero = hf_ct_is_zero(a, sizeof(a));
    uint8_t mask = (uint8_t)(0 - (a[0] & 1));
    hf_ct_select(mask, b, a, sizeof(a));
    VALGRIND_MAKE_MEM_DEFINED(&equal, sizeof(equal));
    VALGRIND_MAKE_MEM_DEFINED(&zero, sizeof(zero));
    sink = equal + zero;

    /* Encoding of secret bytes; decoding ends in the public fact that the text was well-formed. */
    hf_hex_encode(&out, hf_cursor(a, sizeof(a)));
    out.len = 0;
    hf_base64_encode(&out, hf_cursor(a, 50));
    out.len = 0;
    hf_base64url_encode(&out, hf_cursor(a, 49));

    if (!HF_IS_OK(hf_secret_new(48, &secret)))
        return 1;
    struct hf_secret_view view = {0};
    if (!HF_IS_OK(hf_secret_view_open(secret, &view)))
        return 1;
    VALGRIND_MAKE_MEM_UNDEFINED(view.bytes, view.len);
    hf_secret_view_close(&view);
    if (!HF_IS_OK(hf_secret_copy(secret, &copy)))
        return 1;
    equal = hf_secret_equal(secret, copy);
    VALGRIND_MAKE_MEM_DEFINED(&equal, sizeof(equal));
    sink = equal;
    hf_secret_free(secret);
    hf_secret_free(copy);
    return 0;
}

static int under_valgrind(const char *what)
{
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        if (getenv("HF_SHOW") == NULL)
            dup2(null, 2);
        char self[4096] = {0};
        if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
            _exit(127);
        execlp("valgrind", "valgrind", "-q", "--error-exitcode=9", "--exit-on-first-error=yes", self, what,
               (char *)NULL);
        _exit(127);
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void nothing_depends_on_secret_bytes(void **state)
{
    (void)state;
#if defined(HF_SANITIZE)
    assert_int_equal(taint("taint"), 0);
    return; /* Valgrind cannot watch what a sanitizer watches */
#elif defined(NO_MEMCHECK_HEADER)
    skip();
#endif
    int control = under_valgrind("control");
    if (control == 127)
        skip(); /* no valgrind here */
    assert_int_equal(control, 9);
    assert_int_equal(under_valgrind("taint"), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return taint(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_in_each_position),
        cmocka_unit_test(zero_in_each_position),
        cmocka_unit_test(select_takes_one_or_the_other),
        cmocka_unit_test(nothing_depends_on_secret_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
