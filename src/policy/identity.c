/* Who speaks, and whether they may. */
#include "base/epoch.h"
#include "crypto/hash.h"
#include "policy/internal.h"
#include "secret/ct.h"

static const uint32_t all_caps =
    HF_CAP_CREATE | HF_CAP_READ | HF_CAP_UPDATE | HF_CAP_DELETE | HF_CAP_LIST | HF_CAP_SUDO | HF_CAP_PATCH;

static struct token *token_of(const struct hf_identity *identity)
{
    return (struct token *)(uintptr_t)identity->inner; /* its atomics change; the rest is immutable */
}

const struct hf_token_info *hf_identity_token(const struct hf_identity *identity)
{
    return identity == NULL ? NULL : &token_of(identity)->info;
}

const struct hf_identity *hf_token_identity(const struct hf_token_info *info)
{
    return (const struct hf_identity *)(const void *)((const char *)info - offsetof(struct token, info));
}

/* One use less, durably. The last one removes the token: what it is used for now still goes through.
 * Fails: CONFLICT where another use came in between. */
static hf_result take_use(struct hf_policy *policy, struct token *token)
{
    struct hf_store_outcome outcome;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(policy->records, &txn));
    token->info.num_uses--;
    token->identity.uses_left = token->info.num_uses;
    if (token->info.num_uses == 0)
        TRY(hf_txn_delete(txn, HF_TABLE_TOKEN, token->info.accessor, token->rev));
    else
        TRY(token_put(txn, &token->info, token->hash, token->rev, TOKEN_ALIVE, token->info.expires_ns));
    return hf_txn_commit(txn, &outcome);
}

struct still {
    struct hf_policy *policy;
    struct token *token;
};

static bool still_there(void *arg)
{
    struct still *still = arg;
    uint64_t rev;
    return hf_record_exists(still->policy->records, HF_TABLE_TOKEN, still->token->info.accessor, &rev) &&
           rev == still->token->rev;
}

/* From the store, once. Fails: DENIED, CONFLICT (try again), STORE_*. */
static hf_result load_identity(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                               const uint8_t hash[static TOKEN_HASH], const uint8_t fast[static FAST_HASH],
                               struct token **ret_token)
{
    CLEANUP(token_freep) struct token *token = NULL;
    uint64_t removals = token_cache_removals(policy->cache);
    hf_result loaded = token_load(policy, accessor, &token);
    if (loaded.code == HF_NOT_FOUND)
        return HF_FAIL(DENIED);
    TRY(loaded);
    if (!hf_ct_equal(token->hash, hash, TOKEN_HASH) || !policy_same_ns(token->info.ns, ns) ||
        token->state != TOKEN_ALIVE || token_expired(policy, token))
        return HF_FAIL(DENIED);
    TRY(token_lineage(policy, token));
    memcpy(token->fast, fast, FAST_HASH);
    struct token *given = token;
    if (token->info.num_uses != 0) {
        TRY(take_use(policy, token));
        hf_epoch_retire(TAKE(token), token_release); /* never cached: each use asks the store */
    } else {
        struct still still = {policy, token};
        token_cache_add(policy->cache, TAKE(token), removals, still_there, &still);
    }
    *ret_token = given;
    return HF_DONE;
}

static hf_result find_identity(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor text,
                               bool may_wait, const uint8_t fast[static FAST_HASH], struct token **ret_token)
{
    struct hf_id accessor;
    uint8_t hash[TOKEN_HASH];
    hf_result known = hf_token_accessor(policy, ns, text, &accessor);
    if (known.code == HF_NOT_FOUND)
        return HF_FAIL(DENIED);
    TRY(known);
    uint64_t rev;
    if (!hf_record_exists(policy->records, HF_TABLE_TOKEN, accessor, &rev))
        return HF_FAIL(DENIED); /* from memory: no garbage reaches the store */
    if (!may_wait)
        return HF_FAIL(WOULD_BLOCK);
    atomic_fetch_add_explicit(&policy->misses, 1, memory_order_relaxed);
    TRY(token_hash(policy, ns, text, hash));
    hf_result loaded = HF_FAIL(CONFLICT);
    for (unsigned i = 0; i < CONFLICT_TRIES && loaded.code == HF_CONFLICT; i++)
        loaded = load_identity(policy, ns, accessor, hash, fast, ret_token);
    return loaded;
}

hf_result hf_identity_of(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor token, bool may_wait,
                         const struct hf_identity **ret_identity)
{
    uint8_t fast[FAST_HASH];
    if (token.left == 0 || token.left > HF_TOKEN_TEXT_MAX || ns.left != NS_LEN)
        return HF_FAIL(DENIED);
    struct hf_cursor parts[] = {hf_cursor(policy->salt, sizeof(policy->salt)), ns, token};
    TRY(hf_hash_parts(HF_SHA2_256, parts, HF_ARRAY_LEN(parts), fast));
    struct token *found = token_cache_find(policy->cache, fast);
    if (found == NULL)
        TRY(find_identity(policy, ns, token, may_wait, fast, &found));
    if (token_expired(policy, found))
        return HF_FAIL(DENIED);
    *ret_identity = &found->identity;
    return HF_DONE;
}

hf_result hf_identity_from(const struct hf_identity *identity, const uint8_t ip[16])
{
    const struct token *token = token_of(identity);
    for (size_t i = 0; i < token->cidr_count; i++)
        if (hf_cidr_has(&token->cidrs[i], ip))
            return HF_DONE;
    return token->cidr_count == 0 ? HF_DONE : HF_FAIL(DENIED);
}

enum { LIST_PATH_MAX = 4096 };

hf_result hf_identity_may(struct hf_policy *policy, const struct hf_identity *identity, struct hf_cursor path,
                          uint32_t needs, const struct hf_tree *args)
{
    if (identity->root)
        return HF_DONE;
    const struct hf_acl *acl = NULL;
    TRY(policy_acl_of(policy, token_of(identity), &acl));
    const struct hf_acl_entry *entry;
    bool list = (needs & HF_CAP_LIST) != 0;
    if (list) { /* a rule for the path without its slash may also deny */
        const struct hf_acl_entry *bare = hf_acl_match(
            acl, hf_cursor(path.at, path.left - (path.left != 0 && path.at[path.left - 1] == '/')), false);
        if (bare != NULL && (bare->caps & HF_CAP_DENY))
            return HF_FAIL(DENIED);
    }
    if (list && (path.left == 0 || path.at[path.left - 1] != '/')) {
        uint8_t folder[LIST_PATH_MAX +
                       1]; /* rules speak of what is listed as a folder, with or without its slash */
        if (path.left > LIST_PATH_MAX)
            return HF_FAIL(DENIED);
        if (path.left != 0)
            memcpy(folder, path.at, path.left);
        folder[path.left] = '/';
        entry = hf_acl_match(acl, hf_cursor(folder, path.left + 1), true);
    } else {
        entry = hf_acl_match(acl, path, list);
    }
    if (entry == NULL || needs == 0 || (entry->caps & needs) != needs || (entry->caps & HF_CAP_DENY))
        return HF_FAIL(DENIED);
    if ((needs & (HF_CAP_CREATE | HF_CAP_READ | HF_CAP_UPDATE | HF_CAP_PATCH)) &&
        !hf_acl_params_accept(entry, args))
        return HF_FAIL(DENIED);
    return HF_DONE;
}

uint32_t hf_identity_capabilities(struct hf_policy *policy, const struct hf_identity *identity,
                                  struct hf_cursor path)
{
    if (identity->root)
        return all_caps;
    const struct hf_acl *acl = NULL;
    if (!HF_IS_OK(policy_acl_of(policy, token_of(identity), &acl)))
        return 0;
    const struct hf_acl_entry *entry = hf_acl_match(acl, path, true);
    return entry == NULL ? 0 : entry->caps;
}
