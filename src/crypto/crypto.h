/* Set-up of the crypto library for this process, and random bytes. */
#ifndef HF_CRYPTO_CRYPTO_H
#define HF_CRYPTO_CRYPTO_H

#include "secret/secret.h"

enum hf_crypto_heap {
    HF_CRYPTO_HEAP_ARENA, /* core, token, keeper: every allocation of OpenSSL lies in the secret arena */
    HF_CRYPTO_HEAP_WIPE,  /* front, cli: ordinary heap, wiped on free */
};
/* Call first in main, before any other OpenSSL call, before threads and seccomp; also runs the known-answer
 * self-test of each primitive in use and touches all lazily loaded state so that nothing needs open(2) later.
 * Fails: INTERNAL when a self-test or the library fails; UNSUPPORTED below OpenSSL 3.5. */
hf_result hf_crypto_start(enum hf_crypto_heap heap);
const char *hf_crypto_version(void);

/* Random bytes from the DRBG (SP 800-90A, OpenSSL's per-thread), for nonces drawn in bulk per thread: about
 * 20 ns for 12 bytes. Fails: NO_ENTROPY; ret wiped. */
hf_result hf_random(void *ret, size_t len);
/* A secret of len random bytes from the private DRBG. */
hf_result hf_random_secret(size_t len, struct hf_secret **ret_secret);
struct hf_id;
hf_result hf_random_id(struct hf_id *ret_id);

#endif
