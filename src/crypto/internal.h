/* What the files of this room share and no other room sees: the fetched algorithms and each thread's contexts. */
#ifndef HF_CRYPTO_INTERNAL_H
#define HF_CRYPTO_INTERNAL_H

#include "crypto/hash.h"

#include <openssl/evp.h>

/* Says that a value which was computed from secrets is public from here on. It does nothing but in the tests
 * that run under Valgrind with secrets marked undefined: there every branch or index that still depends on an
 * undefined bit is an error. */
#if defined(HF_TEST) && __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define HF_CT_PUBLIC(at, len) ((void)VALGRIND_MAKE_MEM_DEFINED((at), (len)))
#else
#define HF_CT_PUBLIC(at, len) ((void)0)
#endif

/* Fetched once for the process under the library's default properties, so that whichever provider is configured
 * serves. NULL where no provider has the algorithm. */
struct hf_crypto_algs {
    EVP_MD *md[HF_HASH_COUNT];
    EVP_CIPHER *aes128_gcm, *aes256_gcm, *chacha20_poly1305, *aes256_gcm_siv, *aes256_ecb;
};
const struct hf_crypto_algs *hf_crypto_algs(void);

enum { HF_CRYPTO_RANDOM_BULK = 4096 };

/* Kept contexts of one thread; lies where OpenSSL's heap lies. */
struct hf_crypto_thread {
    EVP_MD_CTX *md[HF_HASH_COUNT];
    EVP_CIPHER_CTX *ecb_encrypt, *ecb_decrypt; /* AES-256, rekeyed for each use, zero key between uses */
    uint32_t ordinal;                          /* spreads threads over slots */
    uint32_t fork_generation;                  /* the process in which `random` was drawn */
    size_t random_left;
    uint8_t random[HF_CRYPTO_RANDOM_BULK]; /* drawn and not yet handed out: the last random_left bytes */
};
/* Gives: the calling thread's; NULL where memory is out. */
struct hf_crypto_thread *hf_crypto_thread(void);
/* Gives: the thread's context for AES-256-ECB without padding, or NULL. */
EVP_CIPHER_CTX *hf_crypto_thread_ecb(bool encrypt);

/* HMAC with key bytes from anywhere (a salt is no secret). */
hf_result hf_hmac_bytes(enum hf_hash hash, struct hf_cursor key, const struct hf_cursor *parts, size_t count,
                        uint8_t *ret_mac);
/* HKDF-Expand into memory of the caller. */
hf_result hf_hkdf_expand_bytes(enum hf_hash hash, struct hf_cursor prk, const struct hf_cursor *info_parts,
                               size_t info_count, uint8_t *ret_bytes, size_t len);

/* Known-answer tests of every primitive in use, or of the symmetric ones alone. Fails: INTERNAL. */
hf_result hf_crypto_self_test(bool asymmetric);
hf_result hf_crypto_self_test_asymmetric(void);

#endif
