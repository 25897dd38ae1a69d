/* Constant time: with the secret and the shares marked undefined, no branch and no address in splitting, rebuilding,
 * commitments and writing of any text form depends on them. Runs itself under Valgrind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_UNDEFINED(at, len) ((void)(at), (void)(len))
#define VALGRIND_MAKE_MEM_DEFINED(at, len) ((void)(at), (void)(len))
#define NO_MEMCHECK_HEADER 1
#endif

#include "crypto/crypto.h"
#include "secret/view.h"
#include "shares/code.h"
#include "shares/gf.h"
#include "shares/shares.h"

static volatile int sink;

static void mark(struct hf_secret *secret, bool undefined)
{
    struct hf_secret_view view = {0};
    if (!HF_IS_OK(hf_secret_view_open(secret, &view)))
        exit(2);
    if (undefined)
        VALGRIND_MAKE_MEM_UNDEFINED(view.bytes, view.len);
    else
        VALGRIND_MAKE_MEM_DEFINED(view.bytes, view.len);
    hf_secret_view_close(&view);
}

/* A table look-up, as the first implementations of this field had them: Valgrind must object. */
static int control(void)
{
    static uint8_t table[256];
    for (unsigned i = 0; i < 256; i++)
        table[i] = (uint8_t)(i * 3);
    uint8_t secret[4] = {1, 2, 3, 4};
    VALGRIND_MAKE_MEM_UNDEFINED(secret, sizeof(secret));
    sink = table[secret[0]] + table[secret[3]];
    return 0;
}

static int taint(void)
{
    struct hf_secret *root = NULL, *got = NULL;
    struct hf_share shares[5];
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)) || !HF_IS_OK(hf_random_secret(32, &root)))
        return 2;
    mark(root, true);
    if (!HF_IS_OK(hf_shares_split(root, (struct hf_id){{7}}, 1, 3, 5, shares)))
        return 2;
    for (unsigned i = 0; i < 5; i++)
        mark(shares[i].y, true);
    const struct hf_share *some[] = {&shares[4], &shares[0], &shares[2]};
    if (!HF_IS_OK(hf_shares_combine(some, 3, &got)))
        return 2;
    bool same = hf_secret_equal(got, root);
    VALGRIND_MAKE_MEM_DEFINED(&same, sizeof(same));
    if (!same)
        return 2;
    uint8_t commitment[HF_SHARE_COMMITMENT];
    if (!HF_IS_OK(hf_share_commitment(&shares[1], (struct hf_id){{7}}, 1, commitment)))
        return 2;
    for (unsigned format = HF_SHARE_HEX; format <= HF_SHARE_CARD; format++) {
        char text[HF_SHARE_CARD_MAX];
        struct hf_buf out = hf_buf(text, sizeof(text));
        if (!HF_IS_OK(hf_share_text(&shares[3], (enum hf_share_format)format, &out)))
            return 2;
        if (format != HF_SHARE_CARD)
            continue;
        /* reading its characters, up to the public fact whether they hold */
        uint64_t remainder = HF_CODE_START;
        for (size_t i = 10; i < out.len; i++)
            if (i % 6 != 3) /* where no dash stands */
                remainder = hf_code_step(remainder, hf_code_symbol(text[i]));
        VALGRIND_MAKE_MEM_DEFINED(&remainder, sizeof(remainder));
        if (!hf_code_holds(remainder))
            return 2;
    }
    uint8_t a = 0x53, b = 0xca;
    VALGRIND_MAKE_MEM_UNDEFINED(&a, 1);
    VALGRIND_MAKE_MEM_UNDEFINED(&b, 1);
    uint8_t product = hf_gf_mul(a, b), inverse = hf_gf_inv(a);
    VALGRIND_MAKE_MEM_DEFINED(&product, 1);
    VALGRIND_MAKE_MEM_DEFINED(&inverse, 1);
    sink = product + inverse;
    hf_secret_free(root);
    hf_secret_free(got);
    for (unsigned i = 0; i < 5; i++)
        hf_share_done(&shares[i]);
    return product == 1 && inverse == 0xca ? 0 : 2; /* FIPS 197: {53} . {ca} = {01} */
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
    assert_int_equal(taint(), 0); /* does the work right, before it is watched */
#if defined(HF_SANITIZE)
    return; /* Valgrind cannot watch what a sanitizer watches */
#elif defined(NO_MEMCHECK_HEADER)
    skip();
#endif
    int caught = under_valgrind("control");
    if (caught != 9 && caught != 0)
        skip(); /* no valgrind here, or one that cannot read what this compiler writes for debuggers */
    assert_int_equal(caught, 9);
    assert_int_equal(under_valgrind("taint"), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "control") == 0 ? control() : taint();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_depends_on_secret_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
