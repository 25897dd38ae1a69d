/* Many threads at one seal: shares from several operators at once, KEKs asked for while others are made, sealing in
 * the middle. Run under ThreadSanitizer too. */
#include "unit/seal/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 6, ROUNDS = 30 };

struct shared {
    struct hf_seal *seal;
    struct held held;
    _Atomic unsigned completions;
    _Atomic bool stop;
    pthread_barrier_t barrier;
};

struct operator_of {
    struct shared *shared;
    uint32_t which;
};

static void *gives_its_share(void *arg)
{
    struct operator_of *me = arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&me->shared->barrier);
        bool complete = false;
        const char *why;
        hf_result done = offer(me->shared->seal, me->shared->held.hex[me->which], &complete, &why);
        if (complete)
            atomic_fetch_add(&me->shared->completions, 1);
        else if (!HF_IS_OK(done) && done.code != HF_ALREADY)
            abort();
        pthread_barrier_wait(&me->shared->barrier);
    }
    return NULL;
}

static void operators_come_at_once(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct shared shared = {.seal = opened(&m)};
    init(shared.seal, THREADS, 3, &shared.held);
    hf_seal_lock(shared.seal);
    pthread_barrier_init(&shared.barrier, NULL, THREADS + 1);
    pthread_t threads[THREADS];
    struct operator_of operators[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        operators[i] = (struct operator_of){&shared, i};
        assert_int_equal(pthread_create(&threads[i], NULL, gives_its_share, &operators[i]), 0);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        atomic_store(&shared.completions, 0);
        pthread_barrier_wait(&shared.barrier);
        pthread_barrier_wait(&shared.barrier);
        assert_int_equal(atomic_load(&shared.completions), 1);
        struct hf_seal_status status;
        assert_int_equal(hf_seal_status(shared.seal, &status).code, HF_OK);
        assert_false(status.sealed);
        hf_seal_lock(shared.seal);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&shared.barrier);
    hf_seal_close(shared.seal);
    memory_store_done(&m);
}

static void *asks_for_keks(void *arg)
{
    static const uint8_t root[16];
    struct shared *shared = arg;
    while (!atomic_load(&shared->stop)) {
        struct hf_secret *key = NULL;
        struct hf_seal_status status;
        hf_result got = hf_seal_kek(shared->seal, hf_cursor(root, 16), 0, &key, NULL);
        if (!HF_IS_OK(got) && got.code != HF_SEALED)
            abort();
        hf_secret_free(key);
        if (!HF_IS_OK(hf_seal_status(shared->seal, &status)))
            abort();
    }
    return NULL;
}

static void keks_are_given_while_they_change(void **state)
{
    (void)state;
    struct memory_store m;
    memory_store_init(&m);
    struct shared shared = {.seal = opened(&m)};
    init(shared.seal, 1, 1, &shared.held);
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, asks_for_keks, &shared), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t ns[16] = {9, (uint8_t)i};
        static const uint8_t root[16];
        uint32_t generation;
        assert_int_equal(hf_seal_kek_create(shared.seal, hf_cursor(ns, 16)).code, HF_OK);
        assert_int_equal(hf_seal_kek_rotate(shared.seal, hf_cursor(root, 16), &generation).code, HF_OK);
        assert_int_equal(generation, i + 2);
        if (i % 3 == 0) {
            hf_seal_lock(shared.seal);
            unseal(shared.seal, &shared.held, 1);
        }
    }
    atomic_store(&shared.stop, true);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    hf_seal_close(shared.seal);
    memory_store_done(&m);
}

int main(void)
{
    hf_log_setup(2, HF_LOG_ERROR, "test");
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_ARENA)))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_come_at_once),
        cmocka_unit_test(keks_are_given_while_they_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
