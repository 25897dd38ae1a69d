/* Failed tries by source and by source and role. A fixed table: sets of a few ways, changed under a short lock; a full
 * set forgets the one that was quiet longest, never one that is locked out while another is not. */
#include <pthread.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "policy/internal.h"

enum { SETS = 1024, WAYS = 8, LOCKS = 64 };

struct counter {
    uint8_t key[16]; /* zero: free */
    uint32_t failures;
    int64_t since_ns, last_ns, locked_until_ns; /* boot time */
};

struct set {
    struct counter ways[WAYS];
};

struct hf_limits {
    const struct hf_clock *clock;
    uint8_t salt[16];
    pthread_mutex_t locks[LOCKS]; /* each for a part of the sets */
    struct set sets[SETS];        /* pages come with use */
};

hf_result hf_limits_new(const struct hf_clock *clock, struct hf_limits **ret_limits)
{
    struct hf_limits *limits = calloc(1, sizeof(*limits));
    if (limits == NULL)
        return HF_FAIL(NO_MEMORY);
    limits->clock = clock;
    hf_result done = hf_random(limits->salt, sizeof(limits->salt));
    if (!HF_IS_OK(done)) {
        free(limits);
        return done;
    }
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&limits->locks[i], NULL);
    *ret_limits = limits;
    return HF_DONE;
}

void hf_limits_free(struct hf_limits *limits)
{
    if (limits == NULL)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&limits->locks[i]);
    free(limits);
}

/* Whoever has an IPv6 address has the 2^64 beside it. */
static size_t source_len(const uint8_t ip[16])
{
    static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(ip, v4_mapped, sizeof(v4_mapped)) == 0 ? 16 : 8; /* public bytes */
}

/* Salted, so that nobody can choose names that fall into one set. */
enum key_kind { BY_SOURCE, BY_SOURCE_AND_ROLE, BY_RATE };
static hf_result key_of(struct hf_limits *limits, const uint8_t ip[16], enum key_kind kind_of,
                        struct hf_cursor role, uint8_t ret_key[static 16])
{
    uint8_t digest[32], kind = (uint8_t)kind_of;
    struct hf_cursor parts[] = {hf_cursor(limits->salt, sizeof(limits->salt)), hf_cursor(&kind, 1),
                                hf_cursor(ip, source_len(ip)), role};
    TRY(hf_hash_parts(HF_SHA2_256, parts, kind_of == BY_SOURCE_AND_ROLE ? 4 : 3, digest));
    memcpy(ret_key, digest, 16);
    return HF_DONE;
}

static struct set *take_set(struct hf_limits *limits, const uint8_t key[16])
{
    size_t at = ((size_t)key[14] << 8 | key[15]) % SETS;
    pthread_mutex_lock(&limits->locks[at % LOCKS]);
    return &limits->sets[at];
}

static void leave_set(struct hf_limits *limits, const struct set *set)
{
    pthread_mutex_unlock(&limits->locks[(size_t)(set - limits->sets) % LOCKS]);
}

static struct counter *find(struct set *set, const uint8_t key[16])
{
    for (size_t i = 0; i < WAYS; i++)
        if (memcmp(set->ways[i].key, key, 16) == 0) /* public bytes */
            return &set->ways[i];
    return NULL;
}

static struct counter *place_for(struct set *set, int64_t now)
{
    struct counter *best = &set->ways[0];
    for (size_t i = 1; i < WAYS; i++) {
        struct counter *c = &set->ways[i];
        bool locked = c->locked_until_ns > now, best_locked = best->locked_until_ns > now;
        if (locked != best_locked ? best_locked : c->last_ns < best->last_ns)
            best = c;
    }
    return best;
}

static bool locked_out(struct hf_limits *limits, const uint8_t key[16], int64_t now)
{
    struct set *set = take_set(limits, key);
    const struct counter *c = find(set, key);
    bool locked = c != NULL && c->locked_until_ns > now;
    leave_set(limits, set);
    return locked;
}

static void count_failure(struct hf_limits *limits, const uint8_t key[16], uint32_t tries, int64_t lock_max_s,
                          int64_t now)
{
    struct set *set = take_set(limits, key);
    struct counter *c = find(set, key);
    if (c == NULL) {
        c = place_for(set, now);
        *c = (struct counter){.since_ns = now};
        memcpy(c->key, key, 16);
    }
    if (now - HF_MAX(c->last_ns, c->since_ns) > HF_LIMITS_WINDOW_S * HF_SECOND) {
        c->failures = 0;
        c->since_ns = now;
    }
    c->last_ns = now;
    if (c->failures < UINT32_MAX)
        c->failures++;
    if (c->failures >= tries) {
        uint32_t doublings = HF_MIN(c->failures - tries, 20u);
        int64_t seconds = HF_MIN((int64_t)HF_LIMITS_LOCK_MIN_S << doublings, lock_max_s);
        c->locked_until_ns = now + seconds * HF_SECOND;
    }
    leave_set(limits, set);
}

hf_result hf_limits_table_check(struct hf_limits *limits, const uint8_t ip[16], struct hf_cursor role)
{
    uint8_t pair[16], source[16];
    int64_t now = hf_boot_ns(limits->clock);
    TRY(key_of(limits, ip, BY_SOURCE_AND_ROLE, role, pair));
    TRY(key_of(limits, ip, BY_SOURCE, role, source));
    if (locked_out(limits, pair, now) || locked_out(limits, source, now))
        return HF_FAIL(RATE_LIMITED);
    return HF_DONE;
}

void hf_limits_table_failed(struct hf_limits *limits, const uint8_t ip[16], struct hf_cursor role,
                            int64_t lock_max_s)
{
    uint8_t key[16];
    int64_t now = hf_boot_ns(limits->clock);
    if (HF_IS_OK(key_of(limits, ip, BY_SOURCE_AND_ROLE, role, key)))
        count_failure(limits, key, HF_LIMITS_PAIR_TRIES, lock_max_s, now);
    if (HF_IS_OK(key_of(limits, ip, BY_SOURCE, role, key)))
        count_failure(limits, key, HF_LIMITS_SOURCE_TRIES, lock_max_s, now);
}

void hf_limits_table_succeeded(struct hf_limits *limits, const uint8_t ip[16], struct hf_cursor role)
{
    uint8_t key[16];
    if (!HF_IS_OK(key_of(limits, ip, BY_SOURCE_AND_ROLE, role, key)))
        return;
    struct set *set = take_set(limits, key);
    struct counter *c = find(set, key);
    if (c != NULL)
        *c = (struct counter){0};
    leave_set(limits, set);
}

/* A bucket that holds one second's worth, kept as the time at which it would be full again (GCRA). */
hf_result hf_limits_table_rate(struct hf_limits *limits, const uint8_t ip[16], uint32_t per_second)
{
    uint8_t key[16];
    TRY(key_of(limits, ip, BY_RATE, (struct hf_cursor){0}, key));
    int64_t now = hf_boot_ns(limits->clock), each = HF_SECOND / HF_MAX(per_second, 1u);
    struct set *set = take_set(limits, key);
    struct counter *c = find(set, key);
    if (c == NULL) {
        c = place_for(set, now);
        *c = (struct counter){.since_ns = now};
        memcpy(c->key, key, 16);
    }
    int64_t full = HF_MAX(c->since_ns, now) + each;
    bool within = full - now <= HF_SECOND;
    if (within)
        c->since_ns = full;
    c->last_ns = now;
    leave_set(limits, set);
    return within ? HF_DONE : HF_FAIL(RATE_LIMITED);
}

hf_result hf_limits_check(struct hf_policy *policy, const uint8_t ip[16], struct hf_cursor role)
{
    return hf_limits_table_check(policy->limits, ip, role);
}

void hf_limits_failed(struct hf_policy *policy, const uint8_t ip[16], struct hf_cursor role)
{
    hf_limits_table_failed(policy->limits, ip, role, HF_LIMITS_LOCK_MAX_S);
}

void hf_limits_succeeded(struct hf_policy *policy, const uint8_t ip[16], struct hf_cursor role)
{
    hf_limits_table_succeeded(policy->limits, ip, role);
}
