/* Reading the feed: at the beginning all of it, by several threads, each shard by one; later what others have added. */
#include <stdlib.h>
#include <unistd.h>

#include "records/inner.h"
#include "base/cpu.h"

enum { OPEN_THREADS_MAX = 4 };

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
    struct hf_shard *shard = &r->records->shards[r->shard];
    struct hf_leaf leaf;
    if (shard->frontier.size == r->until) {
        r->beyond = true;
        return false;
    }
    if (change->seq != shard->frontier.size + 1)
        r->result =
            hf_fault_shard(r->records, r->shard, "its feed has a gap", change->seq, shard->frontier.size + 1);
    else if (!HF_IS_OK(hf_leaf_read(change, &leaf)))
        r->result = hf_fault_shard(r->records, r->shard, "a change is altered", change->seq, 0);
    else
        r->result = hf_feed_prepare(r->records, &leaf, 1);
    if (!HF_IS_OK(r->result))
        return false;
    hf_tlog_append(&shard->frontier, hf_leaf_hash(&leaf));
    hf_feed_apply(r->records, &leaf);
    return true;
}

/* From where the shard stands to the head, and whether that leads to it. commit_lock is held, or nobody else is
 * there yet. */
static hf_result replay(struct hf_records *records, unsigned number, const struct hf_head *head,
                        bool *ret_beyond)
{
    struct hf_shard *shard = &records->shards[number];
    struct replay r = {.records = records, .shard = number, .until = head->frontier.size};
    uint64_t missing = head->frontier.size - shard->frontier.size;
    TRY(records->store->ops->feed_since(records->store, (uint16_t)number, shard->frontier.size,
                                        (uint32_t)HF_MIN(missing + 1, (uint64_t)UINT32_MAX), replay_change,
                                        &r));
    TRY(r.result);
    if (shard->frontier.size != head->frontier.size)
        return hf_fault_shard(records, number, "its feed ends too early", shard->frontier.size,
                              head->frontier.size);
    struct hf_tlog_hash have = hf_tlog_root(&shard->frontier), want = hf_tlog_root(&head->frontier);
    if (memcmp(&have, &want, sizeof have) != 0) /* public */
        return hf_fault_shard(records, number, "its feed is not the one its head was made for", 0, 0);
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
    struct hf_head head;
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
        __atomic_store_n(&shard->seq, shard->frontier.size, __ATOMIC_RELEASE);
    }
    shard->unsure = false;
    return HF_DONE;
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

struct opening {
    struct hf_records *records;
    struct hf_head *heads;
    unsigned next; /* atomic: shard to replay */
    bool failed;   /* atomic */
};
struct opener {
    struct opening *opening;
    pthread_t thread;
    hf_result result;
    char fault[256];
};

static hf_result open_shard(struct opening *opening, unsigned shard)
{
    bool beyond;
    TRY(replay(opening->records, shard, &opening->heads[shard], &beyond));
    if (beyond) {
        struct hf_head again;
        TRY(read_head(opening->records, shard, &again));
        if (again.frontier.size == opening->heads[shard].frontier.size)
            return hf_fault_shard(opening->records, shard, "its feed goes on beyond its head", 0, 0);
        TRY(hf_feed_catch_up(opening->records, shard));
    }
    struct hf_shard *s = &opening->records->shards[shard];
    __atomic_store_n(&s->seq, s->frontier.size, __ATOMIC_RELEASE);
    return HF_DONE;
}

static void *open_main(void *arg)
{
    struct opener *self = arg;
    struct opening *opening = self->opening;
    while (!__atomic_load_n(&opening->failed, __ATOMIC_ACQUIRE)) {
        unsigned shard = __atomic_fetch_add(&opening->next, 1, __ATOMIC_RELAXED);
        if (shard >= HF_STORE_SHARDS)
            break;
        self->result = open_shard(opening, shard);
        if (!HF_IS_OK(self->result)) {
            struct hf_buf text = hf_buf(self->fault, sizeof self->fault - 1);
            hf_buf_text(&text, hf_records_fault());
            __atomic_store_n(&opening->failed, true, __ATOMIC_RELEASE);
        }
    }
    return NULL;
}

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

static hf_result open_all(struct hf_records *records, struct hf_head *heads)
{
    for (unsigned i = 0; i < HF_STORE_SHARDS; i++)
        TRY(read_head(records, i, &heads[i]));
    TRY(check_heads(records, heads));

    struct opening opening = {.records = records, .heads = heads};
    struct opener openers[OPEN_THREADS_MAX] = {0};
    unsigned threads = HF_MIN(hf_cpu_count(), (unsigned)OPEN_THREADS_MAX), started = 1;
    for (unsigned i = 0; i < threads; i++)
        openers[i].opening = &opening;
    while (started < threads &&
           pthread_create(&openers[started].thread, NULL, open_main, &openers[started]) == 0)
        started++;
    (void)open_main(&openers[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(openers[i].thread, NULL);
    for (unsigned i = 0; i < started; i++) {
        if (HF_IS_OK(openers[i].result))
            continue;
        if (openers[i].result.code == HF_CORRUPT)
            hf_fault_set(openers[i].fault);
        return openers[i].result;
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
