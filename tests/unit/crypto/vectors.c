/* Published vectors. Alone, this starts tests/vectors/run.py, which reads the files of vectors and drives this
 * program again as a tool: one request a line on standard input, one answer a line. Words are hex, "-" is empty.
 *
 *     seal ALG KEY NONCE AD PLAIN          -> ok SEALED
 *     verify ALG PUBLIC OPTIONS MSG SIG    -> ok | error BAD_SIGNATURE
 */
#include "base/encode.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/hpke.h"
#include "crypto/kdf.h"
#include "crypto/pkey.h"
#include "secret/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORDS_MAX = 10, OUT_MAX = 1 << 18, SKIPPED = 77 };

static struct hf_cursor words[WORDS_MAX];
static size_t word_count;
static uint8_t out_memory[OUT_MAX];

static struct hf_cursor word(size_t i)
{
    return i < word_count ? words[i] : hf_cursor("", 0);
}

static struct hf_secret *secret_word(size_t i)
{
    struct hf_secret *secret = NULL;
    struct hf_secret_view view = {0};
    if (!HF_IS_OK(hf_secret_new(word(i).left, &secret)) || !HF_IS_OK(hf_secret_view_open(secret, &view)))
        return NULL;
    memcpy(view.bytes, word(i).at, view.len);
    hf_secret_view_close(&view);
    return secret;
}

static hf_result put_secret(struct hf_buf *out, const struct hf_secret *secret)
{
    struct hf_secret_view view = {0};
    TRY(hf_secret_view_open(secret, &view));
    hf_buf_put(out, view.bytes, view.len);
    hf_secret_view_close(&view);
    return hf_buf_ok(out);
}

/* Algorithms and hashes come as decimal text, in hex like all else. */
static int number(size_t i)
{
    char text[16] = {0};
    memcpy(text, word(i).at, HF_MIN(word(i).left, sizeof(text) - 1));
    return (int)strtol(text, NULL, 10);
}

/* OPTIONS: hash, prehashed, pkcs1, salt, raw, deterministic as signed bytes, then the context. */
static struct hf_sign_options options_word(size_t i)
{
    struct hf_cursor w = word(i);
    if (w.left < 6)
        return (struct hf_sign_options){0};
    return (struct hf_sign_options){
        .hash = (enum hf_hash)w.at[0],
        .prehashed = w.at[1] != 0,
        .rsa_pkcs1v15 = w.at[2] != 0,
        .rsa_salt_len = (int8_t)w.at[3],
        .ecdsa_raw = w.at[4] != 0,
        .deterministic = w.at[5] != 0,
        .context = hf_cursor(w.at + 6, w.left - 6),
    };
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static hf_result aead(bool seal, struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = secret_word(2);
    CLEANUP(hf_aead_freep) struct hf_aead *aead = NULL;
    if (key == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_aead_new((enum hf_alg)number(1), key, &aead));
    return seal ? hf_aead_seal_nonce(aead, word(3), word(5), word(4), out)
                : hf_aead_open_nonce(aead, word(3), word(5), word(4), out);
}

static hf_result seal(struct hf_buf *out)
{
    return aead(true, out);
}

static hf_result open_sealed(struct hf_buf *out)
{
    return aead(false, out);
}

static hf_result kwp_wrap(struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *kek = secret_word(1);
    CLEANUP(hf_secret_freep) struct hf_secret *key = secret_word(2);
    if (kek == NULL || key == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    return hf_kwp_wrap(kek, key, out);
}

static hf_result kwp_unwrap(struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *kek = secret_word(1);
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    if (kek == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_kwp_unwrap(kek, word(2), &key));
    return put_secret(out, key);
}

static hf_result hkdf(struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *ikm = secret_word(2);
    CLEANUP(hf_secret_freep) struct hf_secret *okm = NULL;
    if (ikm == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_hkdf((enum hf_hash)number(1), ikm, word(3), word(4), (size_t)number(5), &okm));
    return put_secret(out, okm);
}

static hf_result hmac(struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = secret_word(2);
    struct hf_cursor message = word(3);
    uint8_t mac[HF_HASH_MAX];
    if (key == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_hmac((enum hf_hash)number(1), key, &message, 1, mac));
    hf_buf_put(out, mac, hf_hash_len((enum hf_hash)number(1)));
    return hf_buf_ok(out);
}

static hf_result hmac_verify(struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *key = secret_word(2);
    struct hf_cursor message = word(3);
    (void)out;
    if (key == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    return hf_hmac_verify((enum hf_hash)number(1), key, &message, 1, word(4));
}

static hf_result hash(struct hf_buf *out)
{
    struct hf_cursor message = word(2);
    uint8_t digest[HF_HASH_MAX];
    TRY(hf_hash_parts((enum hf_hash)number(1), &message, 1, digest));
    hf_buf_put(out, digest, hf_hash_len((enum hf_hash)number(1)));
    return hf_buf_ok(out);
}

/* ALG FORM BYTES at words 1 to 3. Files of vectors use one key for many cases, and checking an RSA key takes
 * its time: the last one is kept. */
static hf_result private_key(struct hf_pkey **ret_key)
{
    static struct hf_pkey *kept;
    static uint8_t kept_bytes[HF_PRIVATE_MAX];
    static size_t kept_len;
    static int kept_alg, kept_form;
    if (kept != NULL && kept_alg == number(1) && kept_form == number(2) &&
        hf_cursor_same(word(3), hf_cursor(kept_bytes, kept_len))) {
        *ret_key = hf_pkey_ref(kept);
        return HF_DONE;
    }
    CLEANUP(hf_secret_freep) struct hf_secret *bytes = secret_word(3);
    if (bytes == NULL || word(3).left > sizeof(kept_bytes))
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_pkey_from_private((enum hf_alg)number(1), (enum hf_private_form)number(2), bytes, ret_key));
    hf_pkey_free(kept);
    kept = hf_pkey_ref(*ret_key);
    kept_alg = number(1);
    kept_form = number(2);
    kept_len = word(3).left;
    memcpy(kept_bytes, word(3).at, kept_len);
    return HF_DONE;
}

/* private ALG FORM BYTES TO-FORM: imports and gives out in another form. */

static hf_result private_form(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *bytes = NULL;
    TRY(private_key(&key));
    TRY(hf_pkey_private(key, (enum hf_private_form)number(4), &bytes));
    return put_secret(out, bytes);
}

static hf_result public_of(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    TRY(private_key(&key));
    return hf_pkey_public(key, out);
}

static hf_result public_pem(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    TRY(hf_pkey_from_public((enum hf_alg)number(1), word(2), &key));
    return hf_pkey_public_pem(key, out);
}

static hf_result pkcs8_algorithm(struct hf_buf *out)
{
    CLEANUP(hf_secret_freep) struct hf_secret *der = secret_word(1);
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    if (der == NULL)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_pkey_from_pkcs8(der, &key));
    hf_buf_u8(out, (uint8_t)hf_pkey_alg(key));
    return hf_buf_ok(out);
}

static hf_result sign(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    struct hf_sign_options options = options_word(4);
    TRY(private_key(&key));
    return hf_pkey_sign(key, &options, word(5), out);
}

static hf_result verify(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    struct hf_sign_options options = options_word(3);
    (void)out;
    TRY(hf_pkey_from_public((enum hf_alg)number(1), word(2), &key));
    return hf_pkey_verify(key, &options, word(4), word(5));
}

static hf_result public_check(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    TRY(hf_pkey_from_public((enum hf_alg)number(1), word(2), &key));
    hf_result done = hf_pkey_encapsulate(key, out, &shared);
    return done.code == HF_UNSUPPORTED ? HF_DONE : done;
}

static hf_result decapsulate(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    TRY(private_key(&key));
    TRY(hf_pkey_decapsulate(key, word(4), &shared));
    return put_secret(out, shared);
}

static hf_result agree(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *shared = NULL;
    TRY(private_key(&key));
    TRY(hf_pkey_agree(key, word(4), &shared));
    return put_secret(out, shared);
}

static hf_result oaep_decrypt(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *plain = NULL;
    TRY(private_key(&key));
    TRY(hf_pkey_oaep_decrypt(key, (enum hf_hash)number(4), word(5), &plain));
    return put_secret(out, plain);
}

/* hpke ALG FORM KEY INFO AD SEALED AEAD: RFC 9180 single-shot open, with another AEAD for vectors. */
static hf_result hpke_open(struct hf_buf *out)
{
    CLEANUP(hf_pkey_freep) struct hf_pkey *key = NULL;
    CLEANUP(hf_secret_freep) struct hf_secret *plain = NULL;
    TRY(private_key(&key));
    TRY(hf_hpke_open_suite(key, (enum hf_hpke_aead)number(7), word(4), word(5), word(6), &plain));
    return put_secret(out, plain);
}

static const struct {
    const char *name;
    hf_result (*run)(struct hf_buf *out);
} requests[] = {
    {"seal", seal},
    {"open", open_sealed},
    {"kwp_wrap", kwp_wrap},
    {"kwp_unwrap", kwp_unwrap},
    {"hkdf", hkdf},
    {"hmac", hmac},
    {"hmac_verify", hmac_verify},
    {"hash", hash},
    {"private", private_form},
    {"public", public_of},
    {"public_pem", public_pem},
    {"pkcs8", pkcs8_algorithm},
    {"sign", sign},
    {"verify", verify},
    {"public_check", public_check},
    {"decapsulate", decapsulate},
    {"agree", agree},
    {"oaep_decrypt", oaep_decrypt},
    {"hpke_open", hpke_open},
};

/* ---- the tool --------------------------------------------------------------------------------------------------- */

static void answer(hf_result done, const struct hf_buf *out)
{
    if (!HF_IS_OK(done)) {
        printf("error %s\n", hf_code_name(done.code));
    } else {
        printf("ok ");
        for (size_t i = 0; i < out->len; i++)
            printf("%02x", out->at[i]);
        printf("\n");
    }
    fflush(stdout);
}

static int run_lines(void)
{
    static uint8_t decoded[OUT_MAX];
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_ARENA))) {
        fprintf(stderr, "hf_crypto_start failed\n");
        return 1;
    }
    while ((len = getline(&line, &capacity, stdin)) > 0) {
        struct hf_buf memory = hf_buf(decoded, sizeof(decoded));
        word_count = 0;
        for (char *rest = line, *text;
             (text = strtok_r(rest, " \n", &rest)) != NULL && word_count < WORDS_MAX;) {
            size_t before = memory.len;
            if (word_count == 0) {
                words[word_count++] = hf_cursor_text(text);
                continue;
            }
            if (strcmp(text, "-") != 0 && !HF_IS_OK(hf_hex_decode(&memory, hf_cursor_text(text)))) {
                fprintf(stderr, "not hex: %.40s\n", text);
                return 1;
            }
            words[word_count++] = hf_cursor(decoded + before, memory.len - before);
        }
        struct hf_buf out = hf_buf(out_memory, sizeof(out_memory));
        hf_result done = HF_FAIL(UNSUPPORTED);
        for (size_t i = 0; i < HF_ARRAY_LEN(requests); i++) {
            if (word_count != 0 && hf_cursor_is(words[0], requests[i].name))
                done = requests[i].run(&out);
        }
        answer(done, &out);
    }
    free(line);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--lines") == 0)
        return run_lines();
#ifdef HF_SANITIZE
    const char *sampled = "--sample";
#else
    const char *sampled = "--all";
#endif
    execlp("python3", "python3", "-B", HF_SRC_DIR "/tests/vectors/run.py", "--tool", argv[0], "--vectors",
           HF_VECTORS_DIR, "--extra", HF_EXTRA_VECTORS_DIR, sampled, (char *)NULL);
    printf("skipped: python3 is missing\n");
    return SKIPPED;
}
