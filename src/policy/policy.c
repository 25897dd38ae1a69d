/* The room's state: the policies in memory, and the matchers compiled from sets of them. */
#include <stdlib.h>

#include "base/epoch.h"
#include "crypto/crypto.h"
#include "policy/internal.h"

enum { SETS_MAX = 4096, SET_BUCKETS = 1024 };

struct acl_set {
    struct acl_set *next;
    uint64_t hash;
    struct hf_acl *acl;
    size_t key_len;
    uint8_t key[]; /* namespace, then names, each with a zero byte behind */
};

/* What every token may do with itself, unless a policy of that name is stored. */
static const char default_text[] =
    "# What every token may do with itself. Given to each token unless it was made\n"
    "# without; may be changed, not removed.\n"
    "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }\n"
    "path \"auth/token/renew-self\" { capabilities = [\"update\"] }\n"
    "path \"auth/token/revoke-self\" { capabilities = [\"update\"] }\n"
    "path \"sys/capabilities-self\" { capabilities = [\"update\"] }\n"
    "path \"sys/internal/ui/mounts\" { capabilities = [\"read\"] }\n"
    "path \"sys/internal/ui/mounts/*\" { capabilities = [\"read\"] }\n"
    "path \"sys/internal/ui/resultant-acl\" { capabilities = [\"read\"] }\n"
    "path \"sys/leases/lookup\" { capabilities = [\"update\"] }\n"
    "path \"sys/leases/renew\" { capabilities = [\"update\"] }\n"
    "path \"sys/renew\" { capabilities = [\"update\"] }\n"
    "path \"sys/tools/hash\" { capabilities = [\"update\"] }\n"
    "path \"sys/tools/hash/*\" { capabilities = [\"update\"] }\n"
    "path \"sys/wrapping/lookup\" { capabilities = [\"update\"] }\n"
    "path \"sys/wrapping/unwrap\" { capabilities = [\"update\"] }\n"
    "path \"sys/wrapping/wrap\" { capabilities = [\"update\"] }\n";

bool policy_same_ns(struct hf_cursor a, struct hf_cursor b)
{
    return hf_cursor_same(a, b);
}

/* ---- the policies by name; under the mutex ---- */

static int order_of(const struct named_doc *doc, struct hf_cursor ns, struct hf_cursor name)
{
    int order = memcmp(doc->ns, ns.at, NS_LEN); /* public bytes */
    if (order != 0)
        return order;
    size_t common = HF_MIN(doc->name_len, name.left);
    order = common == 0 ? 0 : memcmp(doc->name, name.at, common); /* public bytes */
    if (order != 0)
        return order;
    return doc->name_len < name.left ? -1 : doc->name_len > name.left;
}

/* Where it stands, or would. */
static size_t place_of(const struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor name,
                       bool *ret_found)
{
    size_t low = 0, high = policy->doc_count;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = order_of(&policy->docs[middle], ns, name);
        if (order == 0)
            *ret_found = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct hf_acl_doc *find_doc(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor name)
{
    bool found;
    size_t at = place_of(policy, ns, name, &found);
    if (found)
        return policy->docs[at].doc;
    return hf_cursor_is(name, "default") ? policy->builtin_default : NULL;
}

static hf_result set_doc(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor name,
                         struct hf_acl_doc *doc)
{
    bool found;
    size_t at = place_of(policy, ns, name, &found);
    if (found) {
        hf_acl_doc_free(policy->docs[at].doc);
        policy->docs[at].doc = doc;
        return HF_DONE;
    }
    if (policy->doc_count == policy->doc_room) {
        size_t room = policy->doc_room == 0 ? 16 : policy->doc_room * 2;
        struct named_doc *more = realloc(policy->docs, room * sizeof(*more));
        if (more == NULL)
            return HF_FAIL(NO_MEMORY);
        policy->docs = more;
        policy->doc_room = room;
    }
    memmove(&policy->docs[at + 1], &policy->docs[at], (policy->doc_count - at) * sizeof(policy->docs[0]));
    policy->doc_count++;
    policy->docs[at] = (struct named_doc){.name_len = name.left, .doc = doc};
    memcpy(policy->docs[at].ns, ns.at, NS_LEN);
    memcpy(policy->docs[at].name, name.at, name.left);
    return HF_DONE;
}

static void drop_doc(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor name)
{
    bool found;
    size_t at = place_of(policy, ns, name, &found);
    if (!found)
        return;
    hf_acl_doc_free(policy->docs[at].doc);
    policy->doc_count--;
    memmove(&policy->docs[at], &policy->docs[at + 1], (policy->doc_count - at) * sizeof(policy->docs[0]));
}

/* ---- compiled sets; under the mutex ---- */

static void release_set(void *object)
{
    struct acl_set *set = object;
    hf_acl_free(set->acl);
    free(set);
}

/* All matchers are out of date: readers inside the epoch may go on with theirs, the next ask finds a new generation. */
static void forget_sets(struct hf_policy *policy)
{
    atomic_fetch_add(&policy->generation, 1);
    for (size_t i = 0; i < SET_BUCKETS; i++) {
        struct acl_set **bucket = &policy->sets[i];
        for (struct acl_set *set = *bucket, *next; set != NULL; set = next) {
            next = set->next;
            hf_epoch_retire(set, release_set);
        }
        *bucket = NULL;
    }
    policy->set_count = 0;
}

static uint64_t hash_key(const uint8_t *bytes, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a: the names were chosen by operators */
    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

static hf_result compile(struct hf_policy *policy, const struct token *token, struct hf_acl **ret_acl)
{
    struct hf_acl_doc *docs[HF_TOKEN_POLICIES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < token->info.policy_count; i++) {
        struct hf_acl_doc *doc = find_doc(policy, token->info.ns, token->info.policies[i]);
        if (doc != NULL)
            docs[count++] = doc;
    }
    return hf_acl_compile(docs, count, ret_acl);
}

static hf_result find_or_compile(struct hf_policy *policy, const struct token *token, struct hf_acl **ret_acl)
{
    uint8_t space[NS_LEN + HF_TOKEN_POLICIES_MAX * (HF_POLICY_NAME_MAX + 1)];
    struct hf_buf key = hf_buf(space, sizeof(space));
    hf_buf_put_cursor(&key, token->info.ns);
    for (size_t i = 0; i < token->info.policy_count; i++) {
        hf_buf_put_cursor(&key, token->info.policies[i]);
        hf_buf_u8(&key, 0);
    }
    TRY(hf_buf_ok(&key));
    uint64_t hash = hash_key(key.at, key.len);
    struct acl_set **bucket = &policy->sets[hash % SET_BUCKETS];
    for (struct acl_set *set = *bucket; set != NULL; set = set->next) {
        if (set->hash == hash && hf_cursor_same(hf_cursor(set->key, set->key_len), hf_buf_cursor(&key))) {
            *ret_acl = set->acl;
            return HF_DONE;
        }
    }
    if (policy->set_count >= SETS_MAX)
        forget_sets(policy);
    struct acl_set *set = malloc(sizeof(*set) + key.len);
    if (set == NULL)
        return HF_FAIL(NO_MEMORY);
    *set = (struct acl_set){.hash = hash, .key_len = key.len};
    memcpy(set->key, key.at, key.len);
    hf_result compiled = compile(policy, token, &set->acl);
    if (!HF_IS_OK(compiled)) {
        free(set);
        return compiled;
    }
    set->next = *bucket;
    *bucket = set;
    policy->set_count++;
    *ret_acl = set->acl;
    return HF_DONE;
}

hf_result policy_acl_of(struct hf_policy *policy, struct token *token, const struct hf_acl **ret_acl)
{
    unsigned long long current = atomic_load_explicit(&policy->generation, memory_order_acquire);
    if (atomic_load_explicit(&token->acl_generation, memory_order_acquire) == current) {
        *ret_acl = atomic_load_explicit(&token->acl, memory_order_acquire);
        return HF_DONE;
    }
    struct hf_acl *acl = NULL;
    pthread_mutex_lock(&policy->mutex);
    hf_result found = find_or_compile(policy, token, &acl);
    if (HF_IS_OK(found)) { /* under the mutex, so that an older matcher never replaces a newer one */
        atomic_store_explicit(&token->acl, acl, memory_order_release);
        atomic_store_explicit(&token->acl_generation, atomic_load(&policy->generation), memory_order_release);
    }
    pthread_mutex_unlock(&policy->mutex);
    TRY(found);
    *ret_acl = acl;
    return HF_DONE;
}

/* ---- stored policies ---- */

static hf_result check_name(struct hf_cursor name)
{
    if (name.left == 0 || name.left > HF_POLICY_NAME_MAX)
        return HF_FAIL(BAD_ARGUMENT);
    for (size_t i = 0; i < name.left; i++) {
        uint8_t c = name.at[i];
        if (c <= ' ' || c >= 0x7f || c == '/' || c == '"' || c == '\\' || c == ',' || (c >= 'A' && c <= 'Z'))
            return HF_FAIL(BAD_ARGUMENT);
    }
    return HF_DONE;
}

hf_result hf_acl_put(struct hf_policy *policy, struct hf_txn *txn, struct hf_cursor ns, struct hf_cursor name,
                     struct hf_cursor text)
{
    char reason[HF_POLICY_REASON_MAX];
    TRY(check_name(name));
    if (hf_cursor_is(name, "root") || ns.left != NS_LEN)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(hf_acl_check_text(text, reason, sizeof(reason)));
    size_t room = text.left + name.left + 256;
    uint8_t *bytes = malloc(room);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf plain = hf_buf(bytes, room);
    struct hf_tree_writer w = hf_tree_writer(&plain);
    hf_tw_map(&w);
    hf_tw_k_bytes(&w, "ns", ns);
    hf_tw_k_slice(&w, "name", name);
    hf_tw_k_slice(&w, "text", text);
    hf_tw_end(&w);
    uint64_t rev = 0;
    struct hf_id id = hf_record_id(policy->records, HF_TABLE_POLICY, ns, name);
    if (!hf_record_exists(policy->records, HF_TABLE_POLICY, id, &rev))
        rev = 0;
    hf_result done = hf_buf_ok(&plain);
    if (HF_IS_OK(done))
        done = hf_txn_put(txn, HF_TABLE_POLICY, id, rev, ns, name, 0, 0, hf_buf_cursor(&plain));
    free(bytes);
    return done;
}

hf_result hf_acl_delete(struct hf_policy *policy, struct hf_txn *txn, struct hf_cursor ns,
                        struct hf_cursor name)
{
    if (hf_cursor_is(name, "root") || hf_cursor_is(name, "default"))
        return HF_FAIL(BAD_ARGUMENT);
    struct hf_id id = hf_record_id(policy->records, HF_TABLE_POLICY, ns, name);
    uint64_t rev;
    if (!hf_record_exists(policy->records, HF_TABLE_POLICY, id, &rev))
        return HF_FAIL(NOT_FOUND);
    return hf_txn_delete(txn, HF_TABLE_POLICY, id, rev);
}

static hf_result take_record(struct hf_policy *policy, const struct hf_record *record)
{
    struct hf_tree map;
    TRY(hf_tree_open(record->plain, &map));
    struct hf_tree ns = hf_tree_get(&map, "ns"), name = hf_tree_get(&map, "name"),
                   text = hf_tree_get(&map, "text");
    if (ns.body.left != NS_LEN || name.body.left == 0 || name.body.left > HF_POLICY_NAME_MAX)
        return HF_FAIL(CORRUPT);
    char reason[HF_POLICY_REASON_MAX];
    struct hf_acl_doc *doc = NULL;
    TRY(hf_acl_doc_parse(text.body, reason, sizeof(reason), &doc));
    hf_result set = set_doc(policy, ns.body, name.body, doc);
    if (!HF_IS_OK(set))
        hf_acl_doc_free(doc);
    return set;
}

void hf_acl_changed(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor name)
{
    struct hf_id id = hf_record_id(policy->records, HF_TABLE_POLICY, ns, name);
    CLEANUP(hf_record_done) struct hf_record record = {0};
    pthread_mutex_lock(&policy->reload); /* two changes of one policy are taken over in their order */
    hf_result taken = hf_record_load(policy->records, HF_TABLE_POLICY, id, &record);
    pthread_mutex_lock(&policy->mutex);
    if (HF_IS_OK(taken))
        taken = take_record(policy, &record);
    if (!HF_IS_OK(taken)) {
        /* Absent, or it cannot be read now: then nothing it said holds any more, rather than what is out of date. */
        drop_doc(policy, ns, name);
        if (taken.code != HF_NOT_FOUND)
            hf_log(HF_LOG_ERROR, "policy.reload", hf_f("id", id), hf_f("result", taken));
    }
    forget_sets(policy);
    pthread_mutex_unlock(&policy->mutex);
    pthread_mutex_unlock(&policy->reload);
}

hf_result hf_acl_get(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor name,
                     struct hf_buf *out_text)
{
    if (hf_cursor_is(name, "root"))
        return HF_DONE; /* it has no text */
    hf_result got = HF_FAIL(NOT_FOUND);
    pthread_mutex_lock(&policy->mutex);
    const struct hf_acl_doc *doc = find_doc(policy, ns, name);
    if (doc != NULL) {
        hf_buf_put_cursor(out_text, hf_acl_doc_text(doc));
        got = hf_buf_ok(out_text);
    }
    pthread_mutex_unlock(&policy->mutex);
    return got;
}

/* Names in byte order; the two built in stand in their places. */
hf_result hf_acl_names(struct hf_policy *policy, struct hf_cursor ns, struct hf_tree_writer *w)
{
    static const char *const builtin[] = {"default", "root"};
    size_t next = 0;
    hf_tw_array(w);
    pthread_mutex_lock(&policy->mutex);
    for (size_t i = 0; i < policy->doc_count; i++) {
        const struct named_doc *doc = &policy->docs[i];
        if (!policy_same_ns(hf_cursor(doc->ns, NS_LEN), ns))
            continue;
        int order = -1;
        while (next < HF_ARRAY_LEN(builtin) && (order = order_of(doc, ns, hf_cursor_text(builtin[next]))) > 0)
            hf_tw_text(w, hf_cursor_text(builtin[next++]));
        if (next < HF_ARRAY_LEN(builtin) && order == 0)
            next++;
        hf_tw_text(w, hf_cursor(doc->name, doc->name_len));
    }
    while (next < HF_ARRAY_LEN(builtin))
        hf_tw_text(w, hf_cursor_text(builtin[next++]));
    pthread_mutex_unlock(&policy->mutex);
    hf_tw_end(w);
    return HF_DONE;
}

/* ---- open and close ---- */

struct loading {
    struct hf_policy *policy;
    hf_result result;
};

static bool load_one(void *arg, const struct hf_record *record)
{
    struct loading *loading = arg;
    loading->result = take_record(loading->policy, record);
    return HF_IS_OK(loading->result);
}

static void close_policyp(struct hf_policy **policy)
{
    hf_policy_close(*policy);
}

hf_result hf_policy_open(struct hf_records *records, const struct hf_secret *token_key,
                         const struct hf_clock *clock, struct hf_policy **ret_policy)
{
    CLEANUP(close_policyp) struct hf_policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL)
        return HF_FAIL(NO_MEMORY);
    policy->records = records;
    policy->clock = clock;
    atomic_init(&policy->generation, 1);
    pthread_mutex_init(&policy->mutex, NULL);
    pthread_mutex_init(&policy->reload, NULL);
    pthread_rwlockattr_t writers_first; /* else revocation could wait for ever behind makers of tokens */
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&policy->tree, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
    policy->sets = calloc(SET_BUCKETS, sizeof(struct acl_set *));
    if (policy->sets == NULL)
        return HF_FAIL(NO_MEMORY);
    char reason[HF_POLICY_REASON_MAX];
    TRY(hf_secret_copy(token_key, &policy->token_key));
    TRY(hf_random(policy->salt, sizeof(policy->salt)));
    TRY(hf_limits_new(clock, &policy->limits));
    TRY(token_cache_new(&policy->cache));
    TRY(hf_acl_doc_parse(hf_cursor_text(default_text), reason, sizeof(reason), &policy->builtin_default));
    struct loading loading = {policy, HF_DONE};
    TRY(hf_record_each(records, HF_TABLE_POLICY, load_one, &loading));
    TRY(loading.result);
    *ret_policy = TAKE(policy);
    return HF_DONE;
}

void hf_policy_close(struct hf_policy *policy)
{
    if (policy == NULL)
        return;
    for (size_t i = 0; policy->sets != NULL && i < SET_BUCKETS; i++) {
        for (struct acl_set *set = policy->sets[i], *next; set != NULL; set = next) {
            next = set->next;
            release_set(set);
        }
    }
    free(policy->sets);
    for (size_t i = 0; i < policy->doc_count; i++)
        hf_acl_doc_free(policy->docs[i].doc);
    free(policy->docs);
    hf_acl_doc_free(policy->builtin_default);
    token_cache_free(policy->cache);
    hf_limits_free(policy->limits);
    hf_secret_free(policy->token_key);
    pthread_mutex_destroy(&policy->mutex);
    pthread_mutex_destroy(&policy->reload);
    pthread_rwlock_destroy(&policy->tree);
    free(policy);
}

void hf_policy_stats(struct hf_policy *policy, struct hf_policy_stats *ret_stats)
{
    *ret_stats = (struct hf_policy_stats){
        .cached = token_cache_count(policy->cache),
        .misses = atomic_load(&policy->misses),
    };
    pthread_mutex_lock(&policy->mutex);
    ret_stats->policies = policy->doc_count;
    ret_stats->compiled = policy->set_count;
    pthread_mutex_unlock(&policy->mutex);
}
