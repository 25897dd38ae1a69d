#include "secret/arena.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>

#include "secret/ct.h"
#include "secret/view.h"

struct hf_secret {
    uint64_t mark; /* tells a secret from another allocation */
    uint64_t len;
    uint8_t bytes[];
};
static_assert(sizeof(struct hf_secret) == 16, "a secret's bytes are aligned to 16");

static uint64_t alive;

static uint64_t mark_of(const struct hf_secret *secret)
{
    return hf_arena_key() ^ ~(uint64_t)(uintptr_t)secret;
}

static void check(const struct hf_secret *secret)
{
    size_t len = hf_arena_check(secret);
    if (len < sizeof(*secret) || secret->mark != mark_of(secret) || secret->len != len - sizeof(*secret))
        hf_arena_die("not a secret, or its head is broken");
}

uint64_t hf_secrets_alive(void)
{
    return __atomic_load_n(&alive, __ATOMIC_RELAXED);
}

hf_result hf_secret_new(size_t len, struct hf_secret **ret_secret)
{
    if (len < 1 || len > HF_SECRET_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_secret *secret = (struct hf_secret *)hf_arena_alloc(sizeof(*secret) + len); /* comes zeroed */
    if (secret == NULL)
        return HF_FAIL(NO_MEMORY);
    secret->mark = mark_of(secret);
    secret->len = len;
    __atomic_fetch_add(&alive, 1, __ATOMIC_RELAXED);
    *ret_secret = secret;
    return HF_DONE;
}

static hf_result fill_random(uint8_t *at, size_t len)
{
    while (len != 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return HF_FAIL(NO_ENTROPY);
        at += got;
        len -= (size_t)got;
    }
    return HF_DONE;
}

hf_result hf_secret_random(size_t len, struct hf_secret **ret_secret)
{
    CLEANUP(hf_secret_freep) struct hf_secret *secret = NULL;
    TRY(hf_secret_new(len, &secret));
    TRY(fill_random(secret->bytes, len));
    *ret_secret = TAKE(secret);
    return HF_DONE;
}

hf_result hf_secret_take(void *from, size_t len, struct hf_secret **ret_secret)
{
    struct hf_secret *secret = NULL;
    hf_result result = hf_secret_new(len, &secret);
    if (HF_IS_OK(result)) {
        memcpy(secret->bytes, from, len);
        *ret_secret = secret;
    }
    hf_wipe(from, len);
    return result;
}

hf_result hf_secret_copy(const struct hf_secret *from, struct hf_secret **ret_secret)
{
    check(from);
    struct hf_secret *secret = NULL;
    TRY(hf_secret_new(from->len, &secret));
    memcpy(secret->bytes, from->bytes, from->len);
    *ret_secret = secret;
    return HF_DONE;
}

size_t hf_secret_len(const struct hf_secret *secret)
{
    return secret->len;
}

bool hf_secret_equal(const struct hf_secret *a, const struct hf_secret *b)
{
    check(a);
    check(b);
    return a->len == b->len && hf_ct_equal(a->bytes, b->bytes, a->len);
}

void hf_secret_free(struct hf_secret *secret)
{
    if (secret == NULL)
        return;
    check(secret);
    __atomic_fetch_sub(&alive, 1, __ATOMIC_RELAXED);
    hf_arena_free(secret); /* wipes it */
}

void hf_secret_freep(struct hf_secret **secret)
{
    hf_secret_free(*secret);
    *secret = NULL;
}

hf_result hf_secret_view_open(const struct hf_secret *secret, struct hf_secret_view *ret_view)
{
    check(secret);
    struct hf_secret *opened = (struct hf_secret *)(uintptr_t)secret;
    *ret_view = (struct hf_secret_view){opened->bytes, opened->len, opened};
    return HF_DONE;
}

void hf_secret_view_close(struct hf_secret_view *view)
{
    if (view->secret != NULL)
        check(view->secret); /* what was written through the view stayed inside */
    *view = (struct hf_secret_view){0};
}
