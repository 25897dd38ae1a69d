#include "crypto/crypto.h"
#include "crypto/internal.h"
#include "base/log.h"
#include "secret/view.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* ---- the library's heap ------------------------------------------------------------------------------ */

static void *arena_malloc(size_t len, const char *file, int line)
{
    (void)file, (void)line;
    return len == 0 ? NULL : hf_arena_alloc(len);
}

static void arena_free(void *old, const char *file, int line)
{
    (void)file, (void)line;
    if (old != NULL)
        hf_arena_free(old);
}

static void *arena_realloc(void *old, size_t len, const char *file, int line)
{
    if (len == 0) {
        arena_free(old, file, line);
        return NULL;
    }
    return hf_arena_realloc(old, len);
}

static void *wiping_malloc(size_t len, const char *file, int line)
{
    (void)file, (void)line;
    return len == 0 ? NULL : malloc(len);
}

static void wiping_free(void *old, const char *file, int line)
{
    (void)file, (void)line;
    if (old == NULL)
        return;
    hf_wipe(old, malloc_usable_size(old));
    free(old);
}

/* realloc(3) may move and leave the old bytes behind. */
static void *wiping_realloc(void *old, size_t len, const char *file, int line)
{
    if (old == NULL)
        return wiping_malloc(len, file, line);
    if (len == 0) {
        wiping_free(old, file, line);
        return NULL;
    }
    size_t had = malloc_usable_size(old);
    if (len <= had && len >= had / 2)
        return old;
    void *moved = malloc(len);
    if (moved == NULL)
        return NULL;
    memcpy(moved, old, HF_MIN(had, len));
    wiping_free(old, file, line);
    return moved;
}

/* ---- algorithms and threads -------------------------------------------------------------------------- */

static struct hf_crypto_algs algs;
static pthread_once_t algs_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static _Thread_local struct hf_crypto_thread *this_thread;
static atomic_uint threads_seen;
static atomic_uint fork_generation;

static void after_fork_in_child(void)
{
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

static void thread_free(void *state)
{
    struct hf_crypto_thread *thread = state;
    for (size_t i = 0; i < HF_HASH_COUNT; i++)
        EVP_MD_CTX_free(thread->md[i]);
    EVP_CIPHER_CTX_free(thread->ecb_encrypt);
    EVP_CIPHER_CTX_free(thread->ecb_decrypt);
    OPENSSL_clear_free(thread, sizeof(*thread));
    this_thread = NULL;
}

static void fetch_all(void)
{
    static const char *const names[HF_HASH_COUNT] = {
        [HF_SHA2_224] = "SHA2-224", [HF_SHA2_256] = "SHA2-256", [HF_SHA2_384] = "SHA2-384",
        [HF_SHA2_512] = "SHA2-512", [HF_SHA3_224] = "SHA3-224", [HF_SHA3_256] = "SHA3-256",
        [HF_SHA3_384] = "SHA3-384", [HF_SHA3_512] = "SHA3-512",
    };
    for (size_t i = 0; i < HF_HASH_COUNT; i++)
        algs.md[i] = EVP_MD_fetch(NULL, names[i], NULL);
    algs.aes128_gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    algs.aes256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    algs.chacha20_poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    algs.aes256_gcm_siv = EVP_CIPHER_fetch(NULL, "AES-256-GCM-SIV", NULL);
    algs.aes256_ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    ERR_clear_error();
    if (pthread_key_create(&thread_key, thread_free) != 0 ||
        pthread_atfork(NULL, NULL, after_fork_in_child) != 0)
        abort();
}

const struct hf_crypto_algs *hf_crypto_algs(void)
{
    pthread_once(&algs_once, fetch_all);
    return &algs;
}

static struct hf_crypto_thread *thread_new(void)
{
    pthread_once(&algs_once, fetch_all);
    struct hf_crypto_thread *thread = OPENSSL_zalloc(sizeof(*thread));
    if (thread == NULL)
        return NULL;
    thread->ordinal = atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed);
    if (pthread_setspecific(thread_key, thread) != 0) {
        OPENSSL_free(thread);
        return NULL;
    }
    this_thread = thread;
    return thread;
}

struct hf_crypto_thread *hf_crypto_thread(void)
{
    return this_thread != NULL ? this_thread : thread_new();
}

EVP_CIPHER_CTX *hf_crypto_thread_ecb(bool encrypt)
{
    struct hf_crypto_thread *thread = hf_crypto_thread();
    if (thread == NULL)
        return NULL;
    EVP_CIPHER_CTX **slot = encrypt ? &thread->ecb_encrypt : &thread->ecb_decrypt;
    if (*slot != NULL)
        return *slot;
    static const uint8_t zero_key[32];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL)
        return NULL;
    if (EVP_CipherInit_ex2(ctx, hf_crypto_algs()->aes256_ecb, zero_key, NULL, encrypt, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(ctx, 0) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return NULL;
    }
    return *slot = ctx;
}

/* ---- start -------------------------------------------------------------------------------------------- */

hf_result hf_crypto_start(enum hf_crypto_heap heap)
{
    static bool started;
    static enum hf_crypto_heap started_with;

    if (started)
        return started_with == heap ? HF_DONE : HF_FAIL(INTERNAL);
    if (OPENSSL_version_major() < 3 || (OPENSSL_version_major() == 3 && OPENSSL_version_minor() < 5))
        return HF_FAIL(UNSUPPORTED);
    int set = heap == HF_CRYPTO_HEAP_ARENA
                  ? CRYPTO_set_mem_functions(arena_malloc, arena_realloc, arena_free)
                  : CRYPTO_set_mem_functions(wiping_malloc, wiping_realloc, wiping_free);
    if (set != 1)
        return HF_FAIL(INTERNAL); /* something allocated before */
    tzset(); /* certificates' times are read with mktime, which would open the time zone's file later */
    /* No exit handler: other threads may still run then, and the kernel clears the pages. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
                                OPENSSL_INIT_ADD_ALL_CIPHERS | OPENSSL_INIT_ADD_ALL_DIGESTS |
                                OPENSSL_INIT_LOAD_CONFIG,
                            NULL) != 1)
        return HF_FAIL(INTERNAL);
    const struct hf_crypto_algs *fetched = hf_crypto_algs();
    for (size_t i = 0; i < HF_HASH_COUNT; i++) {
        if (fetched->md[i] == NULL)
            return HF_FAIL(INTERNAL);
    }
    if (fetched->aes128_gcm == NULL || fetched->aes256_gcm == NULL || fetched->aes256_ecb == NULL)
        return HF_FAIL(INTERNAL);
    uint8_t seeded[16]; /* seeds both generators now, while the system calls for it are allowed */
    if (RAND_priv_bytes(seeded, sizeof(seeded)) != 1)
        return HF_FAIL(NO_ENTROPY);
    TRY(hf_random(seeded, sizeof(seeded)));
    TRY(hf_crypto_self_test(heap == HF_CRYPTO_HEAP_ARENA));
    started = true;
    started_with = heap;
    return HF_DONE;
}

const char *hf_crypto_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

/* ---- random bytes ------------------------------------------------------------------------------------- */

hf_result hf_random(void *ret, size_t len)
{
    if (len == 0)
        return HF_DONE;
    struct hf_crypto_thread *thread = hf_crypto_thread();
    if (thread == NULL || len > HF_CRYPTO_RANDOM_BULK / 8) {
        for (size_t done = 0; done < len;) { /* the library takes an int's worth */
            size_t part = HF_MIN(len - done, (size_t)1 << 30);
            if (RAND_bytes((uint8_t *)ret + done, (int)part) != 1) {
                hf_wipe(ret, len);
                return HF_FAIL(NO_ENTROPY);
            }
            done += part;
        }
        return HF_DONE;
    }
    uint32_t generation = atomic_load_explicit(&fork_generation, memory_order_relaxed);
    if (thread->random_left < len || thread->fork_generation != generation) {
        thread->random_left = 0;
        if (RAND_bytes(thread->random, sizeof(thread->random)) != 1) {
            hf_wipe(ret, len);
            return HF_FAIL(NO_ENTROPY);
        }
        thread->random_left = sizeof(thread->random);
        thread->fork_generation = generation;
    }
    uint8_t *from = thread->random + sizeof(thread->random) - thread->random_left;
    memcpy(ret, from, len);
    memset(from, 0, len); /* never handed out again; the store is not dead, the buffer lives on */
    thread->random_left -= len;
    return HF_DONE;
}

hf_result hf_random_secret(size_t len, struct hf_secret **ret_secret)
{
    CLEANUP(hf_secret_freep) struct hf_secret *secret = NULL;
    CLEANUP(hf_secret_view_close) struct hf_secret_view view = {0};

    TRY(hf_secret_new(len, &secret));
    TRY(hf_secret_view_open(secret, &view));
    if (RAND_priv_bytes(view.bytes, (int)view.len) != 1)
        return HF_FAIL(NO_ENTROPY);
    *ret_secret = TAKE(secret);
    return HF_DONE;
}

hf_result hf_random_id(struct hf_id *ret_id)
{
    TRY(hf_random(ret_id->bytes, sizeof(ret_id->bytes)));
    ret_id->bytes[6] = (uint8_t)((ret_id->bytes[6] & 0x0f) | 0x40); /* RFC 9562 version 4 */
    ret_id->bytes[8] = (uint8_t)((ret_id->bytes[8] & 0x3f) | 0x80);
    return HF_DONE;
}
