/* Reading the feed: at the beginning all of it in one pass; later what others have added to a shard. */
#include <stdlib.h>

#include "records/inner.h"

/* ---- taking in changes -------------------------------------------------------------------------------------- */

hf_result hf_feed_prepare(struct hf_records *records, const struct hf_leaf *leaf, size_t more)
{
    struct hf_shard *shard = &records->shards[leaf->shard];
    bool known;
    (void)hf_ns_number(records, leaf->ns, &known);
    if (!known)
        return HF_FAIL(NO_MEMORY);
    pthread_mutex_lock(&shard->map_lock);
    hf_result result = hf_map_reserve(&shard->map, more);
    pthread_mutex_unlock(&shard->map_lock);
    return result;
}

/* Which namespace, asked of the table only when it is another than at the shard's last change. map_lock is held. */
static uint16_t number_of(struct hf_records *records, struct hf_shard *shard, struct hf_cursor ns)
{
    if (shard->last_ns.at != NULL && hf_cursor_same(shard->last_ns, ns))
        return shard->last_ns_number;
    bool known;
    uint16_t number = hf_ns_number(records, ns, &known);
    if (number < HF_NS_COUNTED_MAX) { /* its id stays where it is */
        pthread_mutex_lock(&records->ns_lock);
        const struct hf_namespace *space = records->namespaces[number];
        pthread_mutex_unlock(&records->ns_lock);
        shard->last_ns = hf_cursor(space->id, space->len);
        shard->last_ns_number = number;
    }
    return number;
}

static void count(struct hf_records *records, uint16_t table, uint16_t ns, int64_t by)
{
    __atomic_fetch_add(&records->counts[table], (uint64_t)by, __ATOMIC_RELAXED);
    if (ns >= HF_NS_COUNTED_MAX)
        return;
    pthread_mutex_lock(&records->ns_lock);
    struct hf_namespace *space = records->namespaces[ns];
    pthread_mutex_unlock(&records->ns_lock);
    __atomic_fetch_add(&space->counts[table], (uint64_t)by, __ATOMIC_RELAXED);
}

void hf_feed_apply(struct hf_records *records, const struct hf_leaf *leaf)
{
    struct hf_shard *shard = &records->shards[leaf->shard];
    pthread_mutex_lock(&shard->map_lock);
    struct hf_map_entry *there = hf_map_find(&shard->map, leaf->table, leaf->id);
    if (there != NULL) { /* a record does not change its namespace, but nothing here counts on it */
        count(records, leaf->table, (uint16_t)there->ns, -1);
        if (leaf->deleted)
            (void)hf_map_remove(&shard->map, leaf->table, leaf->id);
    }
    if (!leaf->deleted) {
        struct hf_map_entry entry = {.id = leaf->id, .rev = leaf->rev, .table = leaf->table};
        entry.ns = number_of(records, shard, leaf->ns);
        memcpy(entry.tag, leaf->tag, sizeof entry.tag);
        hf_map_put(&shard->map, &entry);
        count(records, leaf->table, (uint16_t)entry.ns, 1);
    }
    pthread_mutex_unlock(&shard->map_lock);
}

/* Takes in the next change of its shard. */
static hf_result take_change(struct hf_records *records, const struct hf_change *change)
{
    struct hf_shard *shard = &records->shards[change->shard];
    struct hf_leaf leaf;
    if (change->seq != shard->frontier.size + 1)
        return hf_fault_shard(records, change->shard, "its feed has a gap", change->seq,
                              shard->frontier.size + 1);
    if (!HF_IS_OK(hf_leaf_read(change, &leaf)))
        return hf_fault_shard(records, change->shard, "a change is altered", change->seq, 0);
    TRY(hf_feed_prepare(records, &leaf, 1));
    hf_tlog_append(&shard->frontier, hf_leaf_hash(&leaf));
    hf_feed_apply(records, &leaf);
    return HF_DONE;
}

/* Whether what was taken in is what the head was made for. */
static hf_result check_frontier(struct hf_records *records, unsigned number, const struct hf_head *head)
{
    const struct hf_tlog_frontier *have = &records->shards[number].frontier;
    if (have->size != head->frontier.size)
        return hf_fault_shard(records, number, "its feed ends too early", have->size, head->frontier.size);
    struct hf_tlog_hash root = hf_tlog_root(have), want = hf_tlog_root(&head->frontier);
    if (memcmp(&root, &want, sizeof root) != 0) /* public */
        return hf_fault_shard(records, number, "its feed is not the one its head was made for", 0, 0);
    return HF_DONE;
}

struct replay {
    struct hf_records *records;
    unsigned shard;
    uint64_t until;
    bool beyond; /* there are changes after `until` */
    hf_result result;
};

static bool replay_change(void *arg, const struct hf_change *change)
{
    struct replay *r = arg;
    r->beyond = r->records->shards[r->shard].frontier.size == r->until;
    if (r->beyond)
        return false;
    if (change->shard != r->shard)
        r->result = hf_fault_shard(r->records, r->shard, "its feed has another's change", change->seq, 0);
    else
        r->result = take_change(r->records, change);
    return HF_IS_OK(r->result);
}

/* From where the shard stands to the head, and whether that leads to it. commit_lock is held. */
static hf_result replay(struct hf_records *records, unsigned number, const struct hf_head *head,
                        bool *ret_beyond)
{
    uint64_t size = records->shards[number].frontier.size, missing = head->frontier.size - size;
    struct replay r = {.records = records, .shard = number, .until = head->frontier.size};
    TRY(records->store->ops->feed_since(records->store, (uint16_t)number, size,
                                        (uint32_t)HF_MIN(missing + 1, (uint64_t)UINT32_MAX), replay_change,
                                        &r));
    TRY(r.result);
    TRY(check_frontier(records, number, head));
    *ret_beyond = r.beyond;
    return HF_DONE;
}

static hf_result read_head(struct hf_records *records, unsigned shard, struct hf_head *ret_head)
{
    uint8_t memory[HF_HEAD_SEALED_MAX];
    struct hf_buf space = hf_buf(memory, sizeof memory);
    struct hf_cursor sealed;
    uint64_t seq;
    hf_result result = records->store->ops->head_get(records->store, (uint16_t)shard, &space, &seq, &sealed);
    if (result.code == HF_TOO_LARGE)
        return hf_fault_shard(records, shard, "its head is altered", 0, 0);
    TRY(result);
    return hf_head_open(records, shard, seq, sealed, ret_head);
}

hf_result hf_feed_catch_up(struct hf_records *records, unsigned number)
{
    struct hf_shard *shard = &records->shards[number];
    if (shard->broken)
        return hf_fault_shard(records, number, "its feed is not the one that was known", 0, 0);
    struct hf_head head = {0};
    bool beyond = true;
    shard->unsure = true;
    for (unsigned tries = 0; beyond && tries < 8; tries++) { /* others may write on and on */
        hf_result result = read_head(records, number, &head);
        if (HF_IS_OK(result) && head.frontier.size < shard->frontier.size)
            result = hf_fault_shard(records, number, "older than what was written", head.frontier.size,
                                    shard->frontier.size);
        if (HF_IS_OK(result))
            result = replay(records, number, &head, &beyond);
        shard->broken = result.code == HF_CORRUPT;
        TRY(result);
        shard->anchor = head.anchor;
        __atomic_store_n(&shard->seq, shard->frontier.size, __ATOMIC_RELEASE);
    }
    shard->unsure = false;
    return HF_DONE;
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

/* Each head says how far the others were: none may be behind that. */
static hf_result check_heads(struct hf_records *records, struct hf_head *heads)
{
    for (unsigned behind = 0; behind < HF_STORE_SHARDS; behind++) {
        for (unsigned knows = 0; knows < HF_STORE_SHARDS; knows++) {
            uint64_t least = heads[knows].others[behind];
            if (heads[behind].frontier.size < least) /* it may have been read before the other was written */
                TRY(read_head(records, behind, &heads[behind]));
            if (heads[behind].frontier.size < least)
                return hf_fault_shard(records, behind, "set back to an older state",
                                      heads[behind].frontier.size, least);
        }
    }
    return HF_DONE;
}

struct opening {
    struct hf_records *records;
    const struct hf_head *heads;
    uint64_t beyond; /* bits: shards whose feed goes on after the head that was read */
    hf_result result;
};

static bool open_change(void *arg, const struct hf_change *change)
{
    struct opening *o = arg;
    if (change->shard >= HF_STORE_SHARDS)
        o->result = hf_fault_shard(o->records, change->shard, "there is none such", change->seq, 0);
    else if (o->records->shards[change->shard].frontier.size == o->heads[change->shard].frontier.size)
        o->beyond |= UINT64_C(1) << change->shard;
    else
        o->result = take_change(o->records, change);
    return HF_IS_OK(o->result);
}

/* Changes after the head: another node has written meanwhile, and the head has moved on; or somebody added them. */
static hf_result open_beyond(struct hf_records *records, unsigned shard)
{
    struct hf_head head = {0};
    TRY(read_head(records, shard, &head));
    if (head.frontier.size == records->shards[shard].frontier.size)
        return hf_fault_shard(records, shard, "its feed goes on beyond its head", 0, 0);
    return hf_feed_catch_up(records, shard);
}

static hf_result open_all(struct hf_records *records, struct hf_head *heads)
{
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++)
        TRY(read_head(records, i, &heads[i]));
    TRY(check_heads(records, heads));
    struct opening o = {.records = records, .heads = heads};
    TRY(records->store->ops->feed_each(records->store, 0, UINT32_MAX, open_change, &o));
    TRY(o.result);
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++) {
        TRY(check_frontier(records, i, &heads[i]));
        records->shards[i].anchor = heads[i].anchor;
        if (o.beyond >> i & 1)
            TRY(open_beyond(records, i));
        __atomic_store_n(&records->shards[i].seq, records->shards[i].frontier.size, __ATOMIC_RELEASE);
    }
    return HF_DONE;
}

hf_result hf_feed_open(struct hf_records *records)
{
    struct hf_head *heads = calloc(HF_STORE_SHARDS, sizeof *heads); /* large for a stack */
    if (heads == NULL)
        return HF_FAIL(NO_MEMORY);
    hf_result result = open_all(records, heads);
    free(heads);
    return result;
}
