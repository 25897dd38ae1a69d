/* Writes that commit together. The shards concerned stay locked from building to outcome, so that each change is built
 * on the one before it; commits of other shards go on beside, and the store gathers them under one sync. */
#include <stdlib.h>
#include <time.h>

#include "records/inner.h"

enum {
    ITEMS_MAX = 48,
    EXTRAS_MAX = 16,
    TRIES_MAX = 8, /* after another node has written to the same shard */
    UNKNOWN_WAIT_US = 20000,
};
#define UNKNOWN_NS_MAX (10 * HF_SECOND) /* how long an unknown outcome is asked for */

struct item {
    bool deleted;
    uint16_t table;
    uint64_t expect_rev;
    uint8_t state;
    int64_t due_ns;
    struct hf_id id;
    struct hf_cursor ns, name, plain;
    void *memory; /* of all three, in the arena */
};

struct hf_txn {
    struct hf_records *records;
    size_t item_count, extra_count;
    struct item items[ITEMS_MAX];
    struct hf_store_op extras[EXTRAS_MAX];
};

/* What is sent: first what the caller added, then a head for each shard, then a change for each item, then the items.
 * So where a head holds and an item does not, the store's rows contradict its feed. */
struct built {
    struct hf_txn *txn;
    uint64_t shards; /* bits */
    unsigned shard_count;
    size_t op_count, bytes;
    struct hf_head *heads; /* by rank of the shard among those concerned */
    struct hf_leaf *leaves;
    struct hf_store_op *ops;
    uint8_t *memory; /* of sealed parts, heads and leaves */
};

static void built_done(struct built *b)
{
    free(b->heads);
    free(b->leaves);
    free(b->ops);
    free(b->memory);
}

/* ---- gathering ----------------------------------------------------------------------------------------------- */

hf_result hf_txn_begin(struct hf_records *records, struct hf_txn **ret_txn)
{
    struct hf_txn *txn = malloc(sizeof *txn);
    if (txn == NULL)
        return HF_FAIL(NO_MEMORY);
    txn->records = records;
    txn->item_count = txn->extra_count = 0;
    *ret_txn = txn;
    return HF_DONE;
}

void hf_txn_freep(struct hf_txn **txn)
{
    if (*txn == NULL)
        return;
    for (size_t i = 0; i < (*txn)->item_count; i++)
        hf_arena_free((*txn)->items[i].memory); /* wipes */
    free(*txn);
    *txn = NULL;
}

static struct hf_cursor keep(struct hf_buf *into, struct hf_cursor bytes)
{
    uint8_t *place = hf_buf_reserve(into, bytes.left);
    if (place != NULL && bytes.left != 0)
        memcpy(place, bytes.at, bytes.left);
    return hf_cursor(place, bytes.left);
}

static hf_result add_item(struct hf_txn *txn, const struct item *item)
{
    if (item->table == 0 || item->table >= HF_TABLE_END || item->expect_rev >= HF_MAP_REV_MAX ||
        item->due_ns < 0)
        return HF_FAIL(BAD_ARGUMENT);
    if (txn->item_count == ITEMS_MAX || item->ns.left > HF_RECORD_NS_MAX ||
        item->name.left > HF_STORE_NAME_MAX ||
        item->plain.left > HF_STORE_RECORD_MAX - hf_row_overhead(txn->records))
        return HF_FAIL(TOO_LARGE);
    for (size_t i = 0; i < txn->item_count; i++) { /* the second would have to be built on the first */
        if (txn->items[i].table == item->table &&
            memcmp(&txn->items[i].id, &item->id, sizeof item->id) == 0) /* public */
            return HF_FAIL(BAD_ARGUMENT);
    }
    size_t bytes = item->ns.left + item->name.left + item->plain.left;
    struct item kept = *item;
    kept.memory = hf_arena_alloc(bytes + 1);
    if (kept.memory == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf into = hf_buf(kept.memory, bytes);
    kept.ns = keep(&into, item->ns);
    kept.name = keep(&into, item->name);
    kept.plain = keep(&into, item->plain);
    txn->items[txn->item_count++] = kept;
    return HF_DONE;
}

hf_result hf_txn_put(struct hf_txn *txn, enum hf_table table, struct hf_id id, uint64_t expect_rev,
                     struct hf_cursor ns, struct hf_cursor name, uint8_t state, int64_t due_ns,
                     struct hf_cursor plain)
{
    const struct item item = {.table = (uint16_t)table,
                              .id = id,
                              .expect_rev = expect_rev,
                              .state = state,
                              .due_ns = due_ns,
                              .ns = ns,
                              .name = name,
                              .plain = plain};
    return add_item(txn, &item);
}

hf_result hf_txn_delete(struct hf_txn *txn, enum hf_table table, struct hf_id id, uint64_t expect_rev)
{
    const struct item item = {.deleted = true, .table = (uint16_t)table, .id = id, .expect_rev = expect_rev};
    return expect_rev == 0 ? HF_FAIL(BAD_ARGUMENT) : add_item(txn, &item);
}

hf_result hf_txn_add(struct hf_txn *txn, const struct hf_store_op *op)
{
    if (txn->extra_count == EXTRAS_MAX)
        return HF_FAIL(TOO_LARGE);
    txn->extras[txn->extra_count++] = *op;
    return HF_DONE;
}

/* ---- building -------------------------------------------------------------------------------------------------- */

static unsigned rank_of(const struct built *b, unsigned shard)
{
    return (unsigned)__builtin_popcountll(b->shards & ((UINT64_C(1) << shard) - 1));
}

static hf_result allocate(struct hf_txn *txn, struct built *b)
{
    size_t overhead = hf_row_overhead(txn->records);
    for (size_t i = 0; i < txn->item_count; i++) {
        b->shards |= UINT64_C(1) << hf_shard_of(txn->items[i].table, txn->items[i].id);
        b->bytes += txn->items[i].plain.left + overhead + HF_LEAF_BLOB_MAX;
    }
    b->shard_count = (unsigned)__builtin_popcountll(b->shards);
    b->bytes += b->shard_count * (size_t)HF_HEAD_SEALED_MAX;
    b->op_count = txn->extra_count + b->shard_count + 2 * txn->item_count;
    if (b->op_count > HF_STORE_TXN_OPS_MAX)
        return HF_FAIL(TOO_LARGE);
    b->heads = malloc((b->shard_count + 1) * sizeof *b->heads); /* never nothing */
    b->leaves = malloc((txn->item_count + 1) * sizeof *b->leaves);
    b->ops = calloc(b->op_count + 1, sizeof *b->ops);
    b->memory = malloc(b->bytes + 1);
    if (b->heads == NULL || b->leaves == NULL || b->ops == NULL || b->memory == NULL)
        return HF_FAIL(NO_MEMORY);
    return HF_DONE;
}
static_assert(EXTRAS_MAX + ITEMS_MAX * 2 <= HF_STORE_TXN_OPS_MAX, "all items in a few shards fit");

static hf_result build_item(struct built *b, size_t index, struct hf_buf *into)
{
    struct hf_records *records = b->txn->records;
    const struct item *item = &b->txn->items[index];
    unsigned shard = hf_shard_of(item->table, item->id);
    struct hf_tlog_frontier *frontier = &b->heads[rank_of(b, shard)].frontier;
    struct hf_store_op *feed = &b->ops[b->txn->extra_count + b->shard_count + index];
    struct hf_store_op *row = feed + b->txn->item_count;
    struct hf_leaf *leaf = &b->leaves[index];
    *row = (struct hf_store_op){
        .kind = item->deleted ? HF_STORE_DEL_IF : HF_STORE_PUT_IF,
        .expect_rev = item->expect_rev,
        .row = {item->table,
                item->id,
                item->expect_rev + 1,
                item->ns,
                item->name,
                item->state,
                item->due_ns,
                {0}},
    };
    *leaf = (struct hf_leaf){.shard = (uint16_t)shard,
                             .seq = frontier->size + 1,
                             .table = item->table,
                             .id = item->id,
                             .rev = item->expect_rev + !item->deleted,
                             .deleted = item->deleted,
                             .ns = item->ns};
    if (!item->deleted) {
        size_t begun = into->len;
        TRY(hf_row_seal(records, &row->row, item->plain, into));
        row->row.sealed = hf_cursor(into->at + begun, into->len - begun);
        memcpy(leaf->tag, into->at + into->len - HF_RECORD_TAG, HF_RECORD_TAG);
        leaf->digested = true;
        hf_row_digest(&row->row, leaf->digest);
    }
    size_t begun = into->len;
    hf_leaf_blob(leaf, into);
    *feed = (struct hf_store_op){.kind = HF_STORE_FEED_APPEND,
                                 .shard = (uint16_t)shard,
                                 .seq = leaf->seq,
                                 .row = {.table = leaf->table, .id = leaf->id, .rev = leaf->rev},
                                 .blob = hf_cursor(into->at + begun, into->len - begun)};
    hf_tlog_append(frontier, hf_leaf_hash(leaf));
    return HF_DONE;
}

/* What the shard's next head says of the audit log: with the leaf that this transaction brings it is so long. */
static struct hf_anchor next_anchor(const struct hf_txn *txn, struct hf_anchor anchor)
{
    for (size_t i = 0; i < txn->extra_count; i++) {
        const struct hf_store_op *op = &txn->extras[i];
        if (op->kind != HF_STORE_AUDIT_APPEND)
            continue;
        bool same = memcmp(&anchor.log, &op->row.id, sizeof anchor.log) == 0; /* public */
        anchor.size = HF_MAX(op->seq + op->amount, same ? anchor.size : 0);
        anchor.log = op->row.id;
    }
    return anchor;
}

/* Everything that is sent, on the shards as they stand. Their commit locks are held. */
static hf_result build(struct built *b)
{
    struct hf_records *records = b->txn->records;
    struct hf_buf into = hf_buf(b->memory, b->bytes);
    if (b->txn->extra_count != 0)
        memcpy(b->ops, b->txn->extras, b->txn->extra_count * sizeof *b->ops);
    for (unsigned shard = 0, rank = 0; shard < HF_STORE_SHARDS; shard++) {
        if (b->shards >> shard & 1)
            b->heads[rank++].frontier = records->shards[shard].frontier;
    }
    for (size_t i = 0; i < b->txn->item_count; i++)
        TRY(build_item(b, i, &into));

    uint64_t seqs[HF_STORE_SHARDS];
    for (unsigned shard = 0; shard < HF_STORE_SHARDS; shard++)
        seqs[shard] = b->shards >> shard & 1 ? b->heads[rank_of(b, shard)].frontier.size
                                             : __atomic_load_n(&records->shards[shard].seq, __ATOMIC_ACQUIRE);
    for (unsigned shard = 0, rank = 0; shard < HF_STORE_SHARDS; shard++) {
        if (!(b->shards >> shard & 1))
            continue;
        struct hf_head *head = &b->heads[rank];
        struct hf_store_op *op = &b->ops[b->txn->extra_count + rank++];
        size_t begun = into.len;
        memcpy(head->others, seqs, sizeof seqs);
        head->anchor = next_anchor(b->txn, records->shards[shard].anchor);
        TRY(hf_head_seal(records, shard, head, &into));
        *op = (struct hf_store_op){.kind = HF_STORE_HEAD_CAS,
                                   .shard = (uint16_t)shard,
                                   .expect_rev = records->shards[shard].frontier.size,
                                   .seq = head->frontier.size,
                                   .blob = hf_cursor(into.at + begun, into.len - begun)};
    }
    return hf_buf_ok(&into);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static hf_result send(struct built *b, struct hf_store_outcome *outcome)
{
    struct hf_store *store = b->txn->records->store;
    *outcome = (struct hf_store_outcome){0};
    return store->ops->commit(store, b->ops, b->op_count, HF_DURABLE, outcome);
}

/* Whether the store's head of the first shard is the very one that this transaction brought: its nonce is random. */
static hf_result is_there(struct built *b, bool *ret_there)
{
    uint8_t memory[HF_HEAD_SEALED_MAX];
    struct hf_buf space = hf_buf(memory, sizeof memory);
    struct hf_store *store = b->txn->records->store;
    const struct hf_store_op *op = &b->ops[b->txn->extra_count];
    struct hf_cursor blob;
    uint64_t seq;
    TRY(store->ops->head_get(store, op->shard, &space, &seq, &blob));
    *ret_there = seq == op->seq && hf_cursor_same(blob, op->blob);
    return HF_DONE;
}

static bool may_pass(hf_result result)
{
    return result.code == HF_COMMIT_UNKNOWN || result.code == HF_STORE_DOWN || result.code == HF_STORE_BUSY ||
           result.code == HF_TIMEOUT;
}

static bool only_audit(const struct hf_txn *txn)
{
    for (size_t i = 0; i < txn->extra_count; i++) {
        if (txn->extras[i].kind != HF_STORE_AUDIT_APPEND)
            return false;
    }
    return true;
}

/* Sends until the outcome is known. The same again is harmless: of two only one can find the heads as they were, and
 * audit leaves may come twice. */
static hf_result send_surely(struct built *b, struct hf_store_outcome *outcome)
{
    struct hf_records *records = b->txn->records;
    hf_result result = send(b, outcome);
    if (result.code != HF_COMMIT_UNKNOWN || (b->shard_count == 0 && !only_audit(b->txn)))
        return result;
    int64_t until = hf_boot_ns(&hf_clock_system) + UNKNOWN_NS_MAX;
    while (may_pass(result) && hf_boot_ns(&hf_clock_system) < until) {
        const struct timespec wait = {.tv_nsec = UNKNOWN_WAIT_US * 1000};
        (void)nanosleep(&wait, NULL);
        result = send(b, outcome);
        if (result.code != HF_CONFLICT || b->shard_count == 0)
            continue;
        bool there;
        result = is_there(b, &there);
        if (HF_IS_OK(result)) {
            result = there ? HF_DONE : HF_FAIL(CONFLICT);
            break;
        }
    }
    for (unsigned shard = 0; shard < HF_STORE_SHARDS && !HF_IS_OK(result); shard++) {
        if (b->shards >> shard & 1)
            records->shards[shard].unsure = true;
    }
    return may_pass(result) ? HF_FAIL(COMMIT_UNKNOWN) : result;
}

/* ---- what came of it --------------------------------------------------------------------------------------------- */

static void apply(struct built *b)
{
    struct hf_records *records = b->txn->records;
    for (size_t i = 0; i < b->txn->item_count; i++)
        hf_feed_apply(records, &b->leaves[i]);
    for (unsigned shard = 0, rank = 0; shard < HF_STORE_SHARDS; shard++) {
        if (!(b->shards >> shard & 1))
            continue;
        records->shards[shard].frontier = b->heads[rank].frontier;
        records->shards[shard].anchor = b->heads[rank++].anchor;
        __atomic_store_n(&records->shards[shard].seq, records->shards[shard].frontier.size, __ATOMIC_RELEASE);
    }
}

/* The heads held and the row did not: the row is not what the feed says. */
static hf_result row_contradicts(struct built *b, const struct hf_store_op *op)
{
    struct hf_records *records = b->txn->records;
    struct hf_map_entry entry;
    bool known = hf_entry_find(records, op->row.table, op->row.id, &entry);
    uint8_t *memory = malloc(HF_RECORD_ROW_MAX);
    if (memory == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf space = hf_buf(memory, HF_RECORD_ROW_MAX);
    struct hf_row row;
    hf_result result = records->store->ops->get(records->store, op->row.table, op->row.id, &space, &row);
    if (HF_IS_OK(result) || result.code == HF_NOT_FOUND)
        result = hf_fault_differs(records, op->row.table, op->row.id, known ? &entry : NULL,
                                  HF_IS_OK(result) ? &row : NULL);
    free(memory);
    return result;
}

/* After a conflict: OK to build and try again. */
static hf_result after_conflict(struct built *b, struct hf_store_outcome *outcome)
{
    struct hf_records *records = b->txn->records;
    const struct hf_store_op *op = &b->ops[HF_MIN((size_t)outcome->failed_op, b->op_count - 1)];
    if (outcome->failed_op < b->txn->extra_count)
        return HF_FAIL(CONFLICT);
    if (op->kind != HF_STORE_HEAD_CAS && op->kind != HF_STORE_FEED_APPEND)
        return row_contradicts(b, op);
    struct hf_shard *shard = &records->shards[op->shard];
    uint64_t before = shard->frontier.size;
    TRY(hf_feed_catch_up(records, op->shard));
    if (shard->frontier.size == before)
        return hf_fault_shard(records, op->shard, "its feed goes on beyond its head", 0, 0);
    return HF_DONE;
}

static hf_result check_expected(struct hf_txn *txn)
{
    for (size_t i = 0; i < txn->item_count; i++) {
        uint64_t rev = 0;
        (void)hf_record_exists(txn->records, (enum hf_table)txn->items[i].table, txn->items[i].id, &rev);
        if (rev != txn->items[i].expect_rev)
            return HF_FAIL(CONFLICT);
    }
    return HF_DONE;
}

static hf_result attempt(struct built *b, struct hf_store_outcome *outcome, bool *ret_again)
{
    struct hf_records *records = b->txn->records;
    *ret_again = false;
    outcome->failed_op = UINT32_MAX;
    for (unsigned shard = 0; shard < HF_STORE_SHARDS; shard++) {
        struct hf_shard *s = &records->shards[shard];
        if ((b->shards >> shard & 1) && (s->unsure || s->broken))
            TRY(hf_feed_catch_up(records, shard));
    }
    TRY(check_expected(b->txn));
    TRY(build(b));
    for (size_t i = 0; i < b->txn->item_count; i++)
        TRY(hf_feed_prepare(records, &b->leaves[i], b->txn->item_count));
    hf_result result = send_surely(b, outcome);
    if (HF_IS_OK(result)) {
        apply(b);
        return HF_DONE;
    }
    if (result.code != HF_CONFLICT)
        return result;
    TRY(after_conflict(b, outcome));
    *ret_again = true;
    return HF_FAIL(CONFLICT);
}

hf_result hf_txn_commit(struct hf_txn *txn, struct hf_store_outcome *ret_outcome)
{
    struct built b = {.txn = txn};
    struct hf_store_outcome outcome = {.failed_op = UINT32_MAX};
    hf_fault_set("");
    if (txn->item_count + txn->extra_count == 0)
        return HF_DONE;
    hf_result result = allocate(txn, &b);
    bool again = HF_IS_OK(result);
    pthread_rwlock_rdlock(&txn->records->still);
    hf_shards_lock(txn->records, b.shards);
    for (unsigned tries = 0; again && tries < TRIES_MAX; tries++)
        result = attempt(&b, &outcome, &again);
    hf_shards_unlock(txn->records, b.shards);
    pthread_rwlock_unlock(&txn->records->still);
    built_done(&b);
    if (ret_outcome != NULL)
        *ret_outcome = outcome;
    return result;
}
