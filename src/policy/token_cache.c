/* Sets of a few ways, found by hash; two tables over the same tokens, since use knows the text and revocation the
 * accessor. Bounded: a full set gives up a token that was not used of late. */
#include <assert.h>
#include <stdlib.h>

#include "base/epoch.h"
#include "policy/internal.h"
#include "secret/ct.h"

enum { SETS = 4096, WAYS = 8 };
static_assert((SETS & (SETS - 1)) == 0, "a set is chosen by a mask");

struct set {
    struct token *_Atomic ways[WAYS];
};

struct token_cache {
    struct set *by_text;     /* read without a lock */
    struct set *by_accessor; /* read under the mutex only */
    pthread_mutex_t mutex;
    unsigned hand;
    atomic_ullong count;
    atomic_ullong removals;
    size_t children; /* cached tokens that have ancestors; under the mutex */
};

static size_t set_of(const uint8_t *hash)
{
    return ((size_t)hash[0] << 8 | hash[1]) & (SETS - 1);
}

hf_result token_cache_new(struct token_cache **ret_cache)
{
    struct token_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return HF_FAIL(NO_MEMORY);
    cache->by_text = calloc(SETS, sizeof(struct set)); /* pages come with use */
    cache->by_accessor = calloc(SETS, sizeof(struct set));
    pthread_mutex_init(&cache->mutex, NULL);
    if (cache->by_text == NULL || cache->by_accessor == NULL) {
        token_cache_free(cache);
        return HF_FAIL(NO_MEMORY);
    }
    *ret_cache = cache;
    return HF_DONE;
}

void token_cache_free(struct token_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t s = 0; cache->by_text != NULL && s < SETS; s++)
        for (size_t w = 0; w < WAYS; w++)
            token_release(atomic_load(&cache->by_text[s].ways[w]));
    free(cache->by_text);
    free(cache->by_accessor);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

struct token *token_cache_find(struct token_cache *cache, const uint8_t fast[FAST_HASH])
{
    struct set *set = &cache->by_text[set_of(fast)];
    for (size_t w = 0; w < WAYS; w++) {
        struct token *token = atomic_load_explicit(&set->ways[w], memory_order_acquire);
        if (token == NULL || !hf_ct_equal(token->fast, fast, FAST_HASH))
            continue;
        if (!atomic_load_explicit(&token->touched, memory_order_relaxed))
            atomic_store_explicit(&token->touched, true, memory_order_relaxed);
        return token;
    }
    return NULL;
}

static void clear_way(struct set *set, const struct token *token)
{
    for (size_t w = 0; w < WAYS; w++)
        if (atomic_load_explicit(&set->ways[w], memory_order_relaxed) == token)
            atomic_store_explicit(&set->ways[w], NULL, memory_order_seq_cst);
}

static void remove_token(struct token_cache *cache, struct token *token)
{
    clear_way(&cache->by_text[set_of(token->fast)], token);
    clear_way(&cache->by_accessor[set_of(token->info.accessor.bytes)], token);
    atomic_fetch_sub_explicit(&cache->count, 1, memory_order_relaxed);
    cache->children -= token->ancestor_count != 0;
    hf_epoch_retire(token, token_release);
}

static void remove_accessor(struct token_cache *cache, struct hf_id accessor)
{
    struct set *set = &cache->by_accessor[set_of(accessor.bytes)];
    for (size_t w = 0; w < WAYS; w++) {
        struct token *token = atomic_load_explicit(&set->ways[w], memory_order_relaxed);
        if (token != NULL &&
            memcmp(token->info.accessor.bytes, accessor.bytes, sizeof(accessor.bytes)) == 0) /* public */
            remove_token(cache, token);
    }
}

/* Gives a free way, after giving up a token where there is none. */
static size_t free_way(struct token_cache *cache, struct set *set)
{
    for (size_t w = 0; w < WAYS; w++)
        if (atomic_load_explicit(&set->ways[w], memory_order_relaxed) == NULL)
            return w;
    size_t way = 0;
    for (unsigned turn = 0; turn < 2 * WAYS; turn++) {
        way = cache->hand++ % WAYS;
        struct token *token = atomic_load_explicit(&set->ways[way], memory_order_relaxed);
        if (!atomic_exchange_explicit(&token->touched, false, memory_order_relaxed))
            break;
    }
    remove_token(cache, atomic_load_explicit(&set->ways[way], memory_order_relaxed));
    return way;
}

static bool descends(const struct token *token, struct hf_id from)
{
    for (size_t i = 0; i < token->ancestor_count; i++)
        if (memcmp(token->ancestors[i].bytes, from.bytes, sizeof(from.bytes)) == 0) /* public */
            return true;
    return false;
}

static void remove_descendants(struct token_cache *cache, struct hf_id accessor)
{
    for (size_t s = 0; s < SETS && cache->children != 0; s++) {
        for (size_t w = 0; w < WAYS; w++) {
            struct token *token = atomic_load_explicit(&cache->by_accessor[s].ways[w], memory_order_relaxed);
            if (token != NULL && descends(token, accessor))
                remove_token(cache, token);
        }
    }
}

uint64_t token_cache_removals(struct token_cache *cache)
{
    return atomic_load(&cache->removals);
}

void token_cache_add(struct token_cache *cache, struct token *token, uint64_t removals,
                     bool (*still_there)(void *arg), void *arg)
{
    pthread_mutex_lock(&cache->mutex);
    if (atomic_load(&cache->removals) != removals || !still_there(arg)) {
        hf_epoch_retire(token, token_release);
    } else {
        remove_accessor(cache, token->info.accessor);
        struct set *text = &cache->by_text[set_of(token->fast)];
        struct set *accessor = &cache->by_accessor[set_of(token->info.accessor.bytes)];
        size_t at = free_way(cache, text);
        size_t other = free_way(cache, accessor);
        atomic_store_explicit(&accessor->ways[other], token, memory_order_relaxed);
        atomic_store_explicit(&text->ways[at], token, memory_order_release);
        atomic_fetch_add_explicit(&cache->count, 1, memory_order_relaxed);
        cache->children += token->ancestor_count != 0;
    }
    pthread_mutex_unlock(&cache->mutex);
}

void token_cache_remove(struct token_cache *cache, struct hf_id accessor)
{
    pthread_mutex_lock(&cache->mutex);
    atomic_fetch_add(&cache->removals, 1);
    remove_accessor(cache, accessor);
    remove_descendants(cache, accessor);
    pthread_mutex_unlock(&cache->mutex);
}

uint64_t token_cache_count(struct token_cache *cache)
{
    return atomic_load_explicit(&cache->count, memory_order_relaxed);
}
