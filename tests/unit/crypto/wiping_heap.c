/* The room on the ordinary heap, as the front and the command use it. */
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "unit/crypto/helpers.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_child_process_draws_other_bytes(void **state)
{
    (void)state;
    uint8_t first[8], ours[16], theirs[16];
    int link[2];
    must(hf_random(first, sizeof(first))); /* the thread's bulk is filled before the fork */
    assert_int_equal(pipe(link), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool ok = HF_IS_OK(hf_random(theirs, sizeof(theirs))) &&
                  write(link[1], theirs, sizeof(theirs)) == (ssize_t)sizeof(theirs);
        _exit(ok ? 0 : 1);
    }
    int status;
    must(hf_random(ours, sizeof(ours)));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(link[0], theirs, sizeof(theirs)), sizeof(theirs));
    assert_memory_not_equal(ours, theirs, sizeof(ours));
    close(link[0]);
    close(link[1]);
}

static void memory_keeps_its_bytes_when_it_grows_and_shrinks(void **state)
{
    (void)state;
    enum { LEN = 4096 };
    uint8_t *block = OPENSSL_malloc(LEN);
    assert_non_null(block);
    memset(block, 0xa5, LEN);
    uint8_t *grown = OPENSSL_realloc(block, 64 * LEN);
    assert_non_null(grown);
    for (size_t i = 0; i < LEN; i++)
        assert_int_equal(grown[i], 0xa5);
    grown = OPENSSL_realloc(grown, 16);
    assert_non_null(grown);
    assert_int_equal(grown[15], 0xa5);
    assert_null(OPENSSL_realloc(grown, 0));
}

static void a_second_start_is_the_same_or_refused(void **state)
{
    (void)state;
    must(hf_crypto_start(HF_CRYPTO_HEAP_WIPE));
    refused(hf_crypto_start(HF_CRYPTO_HEAP_ARENA), HF_INTERNAL);
    assert_non_null(strstr(hf_crypto_version(), "OpenSSL"));
}

static void *hashes_and_ends(void *argument)
{
    uint8_t digest[32];
    return HF_IS_OK(hf_sha256(hf_cursor_text("thread"), digest)) ? NULL : argument;
}

static void threads_come_and_go(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        void *failed;
        assert_int_equal(pthread_create(&thread, NULL, hashes_and_ends, &i), 0);
        assert_int_equal(pthread_join(thread, &failed), 0);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_process_draws_other_bytes),
        cmocka_unit_test(memory_keeps_its_bytes_when_it_grows_and_shrinks),
        cmocka_unit_test(a_second_start_is_the_same_or_refused),
        cmocka_unit_test(threads_come_and_go),
    };
    must(hf_crypto_start(HF_CRYPTO_HEAP_WIPE));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
