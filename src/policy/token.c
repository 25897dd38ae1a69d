/* Making, finding and renewing tokens. */
#include <stdlib.h>

#include "base/epoch.h"
#include "policy/internal.h"

/* 32 days: where neither the request nor the mount says how long. */
static const int64_t ttl_fallback_ns = INT64_C(768) * 3600 * HF_SECOND;
static const int64_t duration_max_ns = INT64_C(100) * 366 * 86400 * HF_SECOND; /* no sum below overflows */

static int64_t bounded(int64_t duration_ns)
{
    return duration_ns < 0 ? 0 : HF_MIN(duration_ns, duration_max_ns);
}

static int order_of(const void *x, const void *y)
{
    const struct hf_cursor *a = x, *b = y;
    size_t common = HF_MIN(a->left, b->left);
    int order = common == 0 ? 0 : memcmp(a->at, b->at, common); /* public bytes */
    if (order != 0)
        return order;
    return a->left < b->left ? -1 : a->left > b->left;
}

static hf_result sort_policies(const struct hf_token_spec *spec,
                               struct hf_cursor ret[static HF_TOKEN_POLICIES_MAX], struct hf_token_info *info)
{
    if (spec->policy_count > HF_TOKEN_POLICIES_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    for (size_t i = 0; i < spec->policy_count; i++) {
        if (spec->policies[i].left == 0 || spec->policies[i].left > HF_POLICY_NAME_MAX)
            return HF_FAIL(BAD_ARGUMENT);
        ret[i] = spec->policies[i];
    }
    if (spec->policy_count > 1)
        qsort(ret, spec->policy_count, sizeof(ret[0]), order_of);
    size_t kept = 0;
    for (size_t i = 0; i < spec->policy_count; i++) {
        if (kept == 0 || !hf_cursor_same(ret[kept - 1], ret[i]))
            ret[kept++] = ret[i];
        info->root |= hf_cursor_is(ret[i], "root");
    }
    info->policies = ret;
    info->policy_count = kept;
    return HF_DONE;
}

/* The rules of times: a period replaces the ttl and knows no maximum but an explicit one; a root token without a ttl
 * does not end. */
static void set_times(const struct hf_token_spec *spec, int64_t now_ns, struct hf_token_info *info)
{
    int64_t ttl = bounded(spec->ttl_ns), most = bounded(spec->max_ttl_ns);
    info->period_ns = bounded(spec->period_ns);
    info->explicit_max_ttl_ns = bounded(spec->explicit_max_ttl_ns);
    info->created_ns = now_ns;
    info->max_ttl_ns = most;
    if (info->period_ns != 0) {
        ttl = info->period_ns;
    } else if (ttl == 0 && info->root && info->explicit_max_ttl_ns == 0) {
        info->renewable = false;
        return;
    } else if (ttl == 0) {
        ttl = bounded(spec->default_ttl_ns != 0 ? spec->default_ttl_ns : ttl_fallback_ns);
    }
    if (info->period_ns == 0 && most != 0)
        ttl = HF_MIN(ttl, most);
    if (info->explicit_max_ttl_ns != 0)
        ttl = HF_MIN(ttl, info->explicit_max_ttl_ns);
    info->ttl_ns = ttl;
    info->expires_ns = now_ns + ttl;
}

static hf_result check_own_text(struct hf_cursor text)
{
    if (text.left > HF_TOKEN_TEXT_MAX || token_text_has_form(text))
        return HF_FAIL(BAD_ARGUMENT);
    for (size_t i = 0; i < text.left; i++)
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f)
            return HF_FAIL(BAD_ARGUMENT);
    return HF_DONE;
}

static hf_result check_spec(const struct hf_token_spec *spec)
{
    if (spec->ns.left != NS_LEN || spec->display_name.left > HF_TOKEN_PATH_MAX ||
        spec->path.left > HF_TOKEN_PATH_MAX || spec->role.left > HF_TOKEN_PATH_MAX ||
        spec->meta.body.left > HF_TOKEN_META_MAX || spec->cidrs.count > HF_TOKEN_CIDRS_MAX ||
        spec->num_uses > INT64_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_tree_iter iter = hf_tree_iterate(&spec->cidrs);
    struct hf_cursor unused;
    struct hf_tree item;
    struct hf_cidr cidr;
    while (hf_tree_next(&iter, &unused, &item))
        TRY(hf_cidr_parse(item.body, &cidr));
    return check_own_text(spec->id);
}

/* Whether a child may be made under it now; under the tree lock. */
static hf_result check_parent(struct hf_policy *policy, const struct hf_identity *parent)
{
    CLEANUP(token_freep) struct token *token = NULL;
    const struct token *known = parent->inner;
    if (known->info.num_uses != 0 || known->ancestor_count + 1 >= LINEAGE_MAX)
        return HF_FAIL(BAD_ARGUMENT); /* a token of limited use makes none, and generations are bounded */
    hf_result loaded = token_load(policy, parent->accessor, &token);
    if (loaded.code == HF_NOT_FOUND)
        return HF_FAIL(DENIED);
    TRY(loaded);
    return token->state == TOKEN_ALIVE && !token_expired(policy, token) ? HF_DONE : HF_FAIL(DENIED);
}

/* What was just made, to be lent till the epoch section ends. */
static hf_result lend(struct hf_policy *policy, struct hf_id accessor, const struct hf_token_info **ret_info)
{
    CLEANUP(token_freep) struct token *token = NULL;
    TRY(token_load(policy, accessor, &token));
    *ret_info = &token->info;
    hf_epoch_retire(TAKE(token), token_release);
    return HF_DONE;
}

static hf_result create_under_lock(struct hf_policy *policy, const struct hf_token_spec *spec,
                                   const struct hf_token_info *info, const uint8_t hash[static TOKEN_HASH],
                                   struct hf_txn *txn, const struct hf_commit *commit)
{
    if (spec->parent != NULL)
        TRY(check_parent(policy, spec->parent));
    TRY(token_put(txn, info, hash, 0, TOKEN_ALIVE, info->expires_ns));
    return token_commit(commit, txn);
}

hf_result hf_token_create(struct hf_policy *policy, const struct hf_token_spec *spec, struct hf_txn *txn,
                          const struct hf_commit *commit, struct hf_buf *out_token,
                          const struct hf_token_info **ret_info)
{
    struct hf_cursor policies[HF_TOKEN_POLICIES_MAX];
    uint8_t hash[TOKEN_HASH];
    TRY(check_spec(spec));
    struct hf_token_info info = {
        .ns = spec->ns,
        .display_name = spec->display_name,
        .path = spec->path,
        .role = spec->role,
        .meta = spec->meta,
        .cidrs = spec->cidrs,
        .num_uses = spec->num_uses,
        .orphan = spec->parent == NULL,
        .renewable = spec->renewable,
    };
    if (spec->parent != NULL)
        info.parent = spec->parent->accessor;
    TRY(sort_policies(spec, policies, &info));
    set_times(spec, hf_wall_ns(policy->clock), &info);
    size_t start = out_token->len;
    if (spec->id.left != 0) {
        hf_buf_put_cursor(out_token, spec->id);
        TRY(hf_buf_ok(out_token));
    } else {
        TRY(token_text_new(policy, out_token));
    }
    TRY(token_hash(policy, spec->ns, hf_cursor(out_token->at + start, out_token->len - start), hash));
    memcpy(info.accessor.bytes, hash, sizeof(info.accessor.bytes));
    uint64_t rev;
    if (hf_record_exists(policy->records, HF_TABLE_TOKEN, info.accessor, &rev))
        return HF_FAIL(EXISTS);
    if (spec->parent != NULL)
        pthread_rwlock_rdlock(&policy->tree);
    hf_result made = create_under_lock(policy, spec, &info, hash, txn, commit);
    if (spec->parent != NULL)
        pthread_rwlock_unlock(&policy->tree);
    TRY(made);
    if (ret_info == NULL)
        return HF_DONE;
    return lend(policy, info.accessor, ret_info);
}

hf_result hf_token_create_root(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor id,
                               struct hf_txn *txn, const struct hf_commit *commit, struct hf_buf *out_token)
{
    struct hf_cursor root = hf_cursor_text("root");
    struct hf_token_spec spec = {
        .ns = ns,
        .id = id,
        .policies = &root,
        .policy_count = 1,
        .display_name = root,
        .path = hf_cursor_text("auth/token/root"),
    };
    return hf_token_create(policy, &spec, txn, commit, out_token, NULL);
}

hf_result hf_token_find(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                        const struct hf_token_info **ret_info)
{
    CLEANUP(token_freep) struct token *token = NULL;
    TRY(token_load(policy, accessor, &token));
    if (!policy_same_ns(token->info.ns, ns) || token->state != TOKEN_ALIVE || token_expired(policy, token))
        return HF_FAIL(NOT_FOUND);
    hf_result lineage = token_lineage(policy, token);
    if (lineage.code == HF_DENIED)
        return HF_FAIL(NOT_FOUND);
    TRY(lineage);
    *ret_info = &token->info;
    hf_epoch_retire(TAKE(token), token_release);
    return HF_DONE;
}

static int64_t ceiling(const struct hf_token_info *info)
{
    int64_t end = INT64_MAX;
    if (info->period_ns == 0 && info->max_ttl_ns != 0)
        end = info->created_ns + info->max_ttl_ns;
    if (info->explicit_max_ttl_ns != 0)
        end = HF_MIN(end, info->created_ns + info->explicit_max_ttl_ns);
    return end;
}

static hf_result renew_once(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                            int64_t increment_ns, const struct hf_commit *commit)
{
    CLEANUP(token_freep) struct token *token = NULL;
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(token_load(policy, accessor, &token));
    struct hf_token_info *info = &token->info;
    if (!policy_same_ns(info->ns, ns) || token->state != TOKEN_ALIVE || token_expired(policy, token))
        return HF_FAIL(NOT_FOUND);
    if (!info->renewable || info->expires_ns == 0)
        return HF_FAIL(BAD_ARGUMENT);
    int64_t now = hf_wall_ns(policy->clock), more = bounded(increment_ns);
    if (info->period_ns != 0)
        more = info->period_ns;
    else if (more == 0)
        more = info->ttl_ns;
    info->renewed_ns = now;
    info->expires_ns = HF_MIN(now + more, ceiling(info));
    TRY(hf_txn_begin(policy->records, &txn));
    TRY(token_put(txn, info, token->hash, token->rev, TOKEN_ALIVE, info->expires_ns));
    return token_commit(commit, txn);
}

hf_result hf_token_renew(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                         int64_t increment_ns, const struct hf_commit *commit,
                         const struct hf_token_info **ret_info)
{
    hf_result renewed = HF_FAIL(CONFLICT);
    for (unsigned i = 0; i < CONFLICT_TRIES && renewed.code == HF_CONFLICT; i++)
        renewed = renew_once(policy, ns, accessor, increment_ns, commit);
    TRY(renewed);
    token_cache_remove(policy->cache, accessor); /* the next use loads it with its new end */
    return lend(policy, accessor, ret_info);
}

struct listing {
    bool (*each)(void *arg, struct hf_id accessor);
    void *arg;
    uint8_t last[HF_STORE_NAME_MAX];
    size_t last_len;
    uint32_t seen;
    bool ended;
};

static bool list_one(void *arg, struct hf_cursor name, struct hf_id id)
{
    struct listing *listing = arg;
    listing->seen++;
    listing->last_len = HF_MIN(name.left, sizeof(listing->last));
    memcpy(listing->last, name.at, listing->last_len);
    listing->ended = !listing->each(listing->arg, id);
    return !listing->ended;
}

hf_result hf_token_accessors(struct hf_policy *policy, struct hf_cursor ns,
                             bool (*each)(void *arg, struct hf_id accessor), void *arg)
{
    enum { PAGE = 1000 };
    struct listing listing = {.each = each, .arg = arg};
    do {
        listing.seen = 0;
        TRY(hf_record_names(policy->records, HF_TABLE_TOKEN, ns, (struct hf_cursor){0},
                            hf_cursor(listing.last, listing.last_len), PAGE, list_one, &listing));
    } while (listing.seen == PAGE && !listing.ended);
    return HF_DONE;
}
