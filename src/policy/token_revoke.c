/* Revocation. A token without children goes in one commit. One with children: each token of the tree is first marked,
 * so that it is refused and can have no new child, then all are removed, children before parents, and the one that was
 * asked for last, with the audit leaf. What breaks off in the middle is found by tidy: a marked token is due at once.
 *
 * From the mark on, or the removal, its descendants are refused too, listed or not: a token is only as good as all its
 * ancestors (token_lineage). The lists serve to clean up. Children may live in other namespaces than their parents. */
#include <stdlib.h>

#include "base/encode.h"
#include "base/epoch.h"
#include "policy/internal.h"

enum { BATCH = 8, TIDY_BATCH = 64, TREE_MAX = 1 << 24 };

struct tree {
    struct hf_id *tokens; /* parents before their children */
    size_t count, room;
    bool out_of_memory;
};

static bool add(struct tree *tree, struct hf_id token)
{
    if (tree->count == tree->room) {
        size_t room = tree->room == 0 ? 64 : tree->room * 2;
        struct hf_id *more = room > TREE_MAX ? NULL : realloc(tree->tokens, room * sizeof(*more));
        if (more == NULL) {
            tree->out_of_memory = true;
            return false;
        }
        tree->tokens = more;
        tree->room = room;
    }
    tree->tokens[tree->count++] = token;
    return true;
}

static void tree_done(struct tree *tree)
{
    free(tree->tokens);
}

struct page {
    struct tree *tree;
    uint8_t last[65];
    uint32_t seen;
};

static bool take_child(void *arg, struct hf_cursor name, struct hf_id id)
{
    struct page *page = arg;
    page->seen++;
    if (name.left == sizeof(page->last))
        memcpy(page->last, name.at, name.left);
    return add(page->tree, id);
}

static hf_result list_children(struct hf_policy *policy, struct hf_id parent, uint32_t limit,
                               struct tree *tree)
{
    enum { PAGE = 1000 };
    uint8_t prefix[33];
    struct hf_buf text = hf_buf(prefix, sizeof(prefix));
    hf_hex_encode(&text, hf_cursor(parent.bytes, sizeof(parent.bytes)));
    hf_buf_u8(&text, '/');
    struct page page = {.tree = tree};
    struct hf_cursor after = {0}, any_ns = {0};
    do {
        page.seen = 0;
        TRY(hf_record_names(policy->records, HF_TABLE_TOKEN, any_ns, hf_buf_cursor(&text), after,
                            HF_MIN(limit, (uint32_t)PAGE), take_child, &page));
        if (tree->out_of_memory)
            return HF_FAIL(NO_MEMORY);
        after = hf_cursor(page.last, sizeof(page.last));
    } while (page.seen == PAGE && limit > PAGE);
    return HF_DONE;
}

static hf_result has_children(struct hf_policy *policy, struct hf_id parent, bool *ret)
{
    CLEANUP(tree_done) struct tree tree = {0};
    TRY(list_children(policy, parent, 1, &tree));
    *ret = tree.count != 0;
    return HF_DONE;
}

/* One commit that removes these; what is gone already is passed over. commit: of the caller, for the last. */
static hf_result remove_once(struct hf_policy *policy, const struct hf_id *tokens, size_t count,
                             const struct hf_commit *commit)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(policy->records, &txn));
    size_t removed = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t rev;
        if (!hf_record_exists(policy->records, HF_TABLE_TOKEN, tokens[i], &rev))
            continue;
        TRY(hf_txn_delete(txn, HF_TABLE_TOKEN, tokens[i], rev));
        removed++;
    }
    return removed == 0 && commit == NULL ? HF_DONE : token_commit(commit, txn);
}

static hf_result remove_tokens(struct hf_policy *policy, const struct hf_id *tokens, size_t count,
                               const struct hf_commit *commit)
{
    hf_result done = HF_FAIL(CONFLICT); /* a renewal or a counted use came in between */
    for (unsigned i = 0; i < CONFLICT_TRIES && done.code == HF_CONFLICT; i++)
        done = remove_once(policy, tokens, count, commit);
    TRY(done);
    for (size_t i = 0; i < count; i++)
        token_cache_remove(policy->cache, tokens[i]);
    return HF_DONE;
}

static hf_result mark_once(struct hf_policy *policy, const struct hf_id *tokens, size_t count)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(policy->records, &txn));
    size_t marked = 0;
    for (size_t i = 0; i < count; i++) {
        CLEANUP(token_freep) struct token *token = NULL;
        hf_result loaded = token_load(policy, tokens[i], &token);
        if (loaded.code == HF_NOT_FOUND || (HF_IS_OK(loaded) && token->state == TOKEN_REVOKING))
            continue;
        TRY(loaded);
        TRY(token_put(txn, &token->info, token->hash, token->rev, TOKEN_REVOKING, hf_wall_ns(policy->clock)));
        marked++;
    }
    return marked == 0 ? HF_DONE : token_commit(NULL, txn);
}

static hf_result mark(struct hf_policy *policy, const struct hf_id *tokens, size_t count)
{
    hf_result done = HF_FAIL(CONFLICT);
    for (unsigned i = 0; i < CONFLICT_TRIES && done.code == HF_CONFLICT; i++)
        done = mark_once(policy, tokens, count);
    TRY(done);
    for (size_t i = 0; i < count; i++)
        token_cache_remove(policy->cache, tokens[i]);
    return HF_DONE;
}

/* Grows the tree from its first token till it has all descendants, each marked. */
static hf_result mark_all(struct hf_policy *policy, struct tree *tree)
{
    for (size_t at = 0; at < tree->count;) {
        size_t batch = HF_MIN(tree->count - at, (size_t)BATCH);
        pthread_rwlock_wrlock(&policy->tree);
        hf_result marked = mark(policy, tree->tokens + at, batch);
        pthread_rwlock_unlock(&policy->tree);
        TRY(marked);
        for (size_t end = at + batch; at < end; at++)
            TRY(list_children(policy, tree->tokens[at], UINT32_MAX, tree));
    }
    return HF_DONE;
}

static hf_result fell(struct hf_policy *policy, struct tree *tree, const struct hf_commit *commit)
{
    TRY(mark_all(policy, tree));
    while (tree->count > 1) {
        size_t batch = HF_MIN(tree->count - 1, (size_t)BATCH);
        TRY(remove_tokens(policy, tree->tokens + tree->count - batch, batch, NULL));
        tree->count -= batch;
    }
    return remove_tokens(policy, tree->tokens, 1, commit);
}

static hf_result revoke_tree(struct hf_policy *policy, struct hf_id accessor, const struct hf_commit *commit)
{
    struct tree tree = {0};
    hf_result done = add(&tree, accessor) ? fell(policy, &tree, commit) : HF_FAIL(NO_MEMORY);
    tree_done(&tree);
    return done;
}

/* Removes it where it has no children; ret_done false where it has. */
static hf_result revoke_leaf(struct hf_policy *policy, struct hf_id accessor, const struct hf_commit *commit,
                             bool *ret_done)
{
    bool children = false;
    TRY(has_children(policy, accessor, &children));
    if (children)
        return HF_DONE;
    pthread_rwlock_wrlock(&policy->tree); /* look again where none can be made: a leaf stays one */
    hf_result done = has_children(policy, accessor, &children);
    if (HF_IS_OK(done) && !children) {
        done = remove_tokens(policy, &accessor, 1, commit);
        *ret_done = HF_IS_OK(done);
    }
    pthread_rwlock_unlock(&policy->tree);
    return done;
}

static hf_result revoke(struct hf_policy *policy, struct hf_id accessor, const struct hf_commit *commit)
{
    bool done = false;
    TRY(revoke_leaf(policy, accessor, commit, &done));
    return done ? HF_DONE : revoke_tree(policy, accessor, commit);
}

/* The same namespace, and not on its way out already by another hand. */
static hf_result check_there(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor)
{
    CLEANUP(token_freep) struct token *token = NULL;
    TRY(token_load(policy, accessor, &token));
    return policy_same_ns(token->info.ns, ns) ? HF_DONE : HF_FAIL(NOT_FOUND);
}

hf_result hf_token_revoke(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                          const struct hf_commit *commit)
{
    TRY(check_there(policy, ns, accessor));
    return revoke(policy, accessor, commit);
}

static hf_result let_go_once(struct hf_policy *policy, const struct hf_id *tokens, size_t count)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(policy->records, &txn));
    size_t changed = 0;
    for (size_t i = 0; i < count; i++) {
        CLEANUP(token_freep) struct token *token = NULL;
        hf_result loaded = token_load(policy, tokens[i], &token);
        if (loaded.code == HF_NOT_FOUND)
            continue;
        TRY(loaded);
        token->info.orphan = true;
        token->info.parent = (struct hf_id){{0}};
        TRY(token_put(txn, &token->info, token->hash, token->rev, token->state,
                      token->state == TOKEN_ALIVE ? token->info.expires_ns : hf_wall_ns(policy->clock)));
        changed++;
    }
    return changed == 0 ? HF_DONE : token_commit(NULL, txn);
}

static hf_result let_children_go(struct hf_policy *policy, struct hf_id parent)
{
    CLEANUP(tree_done) struct tree children = {0};
    TRY(list_children(policy, parent, UINT32_MAX, &children));
    for (size_t at = 0, batch; at < children.count; at += batch) {
        batch = HF_MIN(children.count - at, (size_t)BATCH);
        hf_result done = HF_FAIL(CONFLICT);
        for (unsigned i = 0; i < CONFLICT_TRIES && done.code == HF_CONFLICT; i++)
            done = let_go_once(policy, children.tokens + at, batch);
        TRY(done);
    }
    return HF_DONE;
}

hf_result hf_token_revoke_orphan(struct hf_policy *policy, struct hf_cursor ns, struct hf_id accessor,
                                 const struct hf_commit *commit)
{
    TRY(check_there(policy, ns, accessor));
    pthread_rwlock_wrlock(&policy->tree); /* no child is made that would not be let go */
    hf_result done = let_children_go(policy, accessor);
    if (HF_IS_OK(done))
        done = remove_tokens(policy, &accessor, 1, commit);
    pthread_rwlock_unlock(&policy->tree);
    return done;
}

/* ---- what time removes ---- */

struct due {
    struct hf_id ids[TIDY_BATCH];
    size_t count;
};

static bool take_due(void *arg, const struct hf_row *row)
{
    struct due *due = arg;
    due->ids[due->count++] = row->id;
    return due->count < TIDY_BATCH;
}

static hf_result list_due(struct hf_policy *policy, enum hf_table table, int64_t now_ns, struct due *ret_due)
{
    struct hf_store *store = hf_records_store(policy->records);
    struct hf_list_query query = {
        .table = (uint16_t)table,
        .order = HF_LIST_BY_DUE,
        .due_before_ns = now_ns + 1, /* what is due now is due */
        .without_sealed = true,
        .limit = TIDY_BATCH,
    };
    return store->ops->list(store, &query, take_due, ret_due);
}

/* The list only says where to look; what decides is the record as opened. */
static hf_result tidy_token(struct hf_policy *policy, struct hf_id id, int64_t now_ns)
{
    CLEANUP(token_freep) struct token *token = NULL;
    TRY(token_load(policy, id, &token));
    bool over = token->info.expires_ns != 0 && token->info.expires_ns <= now_ns;
    if (!over && token->state == TOKEN_ALIVE)
        return HF_DONE;
    return revoke(policy, id, NULL);
}

static hf_result tidy_secret_id(struct hf_policy *policy, struct hf_id id, int64_t now_ns)
{
    CLEANUP(hf_record_done) struct hf_record record = {0};
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_record_load(policy->records, HF_TABLE_SECRET_ID, id, &record));
    if (record.due_ns == 0 || record.due_ns > now_ns)
        return HF_DONE;
    TRY(hf_txn_begin(policy->records, &txn));
    TRY(hf_txn_delete(txn, HF_TABLE_SECRET_ID, id, record.rev));
    return token_commit(NULL, txn);
}

hf_result hf_tokens_tidy(struct hf_policy *policy, int64_t now_wall_ns)
{
    static const struct {
        enum hf_table table;
        hf_result (*tidy)(struct hf_policy *policy, struct hf_id id, int64_t now_ns);
    } kinds[] = {{HF_TABLE_TOKEN, tidy_token}, {HF_TABLE_SECRET_ID, tidy_secret_id}};
    for (size_t k = 0; k < HF_ARRAY_LEN(kinds); k++) {
        struct due due = {0};
        TRY(list_due(policy, kinds[k].table, now_wall_ns, &due));
        for (size_t i = 0; i < due.count; i++) {
            hf_result done = kinds[k].tidy(policy, due.ids[i], now_wall_ns);
            if (done.code == HF_CORRUPT) /* one bad record does not keep the others; loading it named it */
                hf_log(HF_LOG_ERROR, "policy.tidy", hf_f("id", due.ids[i]), hf_f("result", done));
            else if (!HF_IS_OK(done) && done.code != HF_NOT_FOUND && done.code != HF_CONFLICT)
                return done; /* gone or changed by another hand: the next round sees it */
        }
    }
    return HF_DONE;
}
