/* The life of a token, over the real records and store, by a clock that the test turns. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/epoch.h"
#include "crypto/crypto.h"
#include "policy/token.h"

static _Atomic int64_t wall = INT64_C(1800000000) * HF_SECOND, boot = INT64_C(5000) * HF_SECOND;

static int64_t wall_now(void *self)
{
    (void)self;
    return wall;
}

static int64_t boot_now(void *self)
{
    (void)self;
    return boot;
}

static const struct hf_clock test_clock = {wall_now, boot_now, NULL};

static void pass(int64_t seconds)
{
    wall += seconds * HF_SECOND;
    boot += seconds * HF_SECOND;
}

static const uint8_t ns_bytes[16];

static struct hf_cursor ns(void)
{
    return hf_cursor(ns_bytes, sizeof(ns_bytes));
}

struct house {
    char path[64];
    struct hf_store *store;
    struct hf_records *records;
    struct hf_policy *policy;
    struct hf_secret *record_key, *index_key, *token_key;
};

static void open_policy(struct house *h)
{
    assert_int_equal(hf_store_sqlite_open(h->path, &h->store).code, HF_OK);
    assert_int_equal(hf_records_open(h->store, h->record_key, h->index_key, &test_clock, &h->records).code,
                     HF_OK);
    assert_int_equal(hf_policy_open(h->records, h->token_key, &test_clock, &h->policy).code, HF_OK);
}

static void close_policy(struct house *h)
{
    hf_policy_close(h->policy);
    hf_records_close(h->records);
    h->store->ops->close(h->store);
}

static int set_up(void **state)
{
    struct house *h = calloc(1, sizeof(*h));
    snprintf(h->path, sizeof(h->path), "/tmp/hf-token-XXXXXX");
    int fd = mkstemp(h->path);
    assert_true(fd >= 0);
    close(fd);
    unlink(h->path);
    assert_int_equal(hf_random_secret(32, &h->record_key).code, HF_OK);
    assert_int_equal(hf_random_secret(32, &h->index_key).code, HF_OK);
    assert_int_equal(hf_random_secret(32, &h->token_key).code, HF_OK);
    open_policy(h);
    *state = h;
    hf_epoch_enter();
    return 0;
}

static int tear_down(void **state)
{
    struct house *h = *state;
    hf_epoch_leave();
    close_policy(h);
    hf_secret_free(h->record_key);
    hf_secret_free(h->index_key);
    hf_secret_free(h->token_key);
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s%s", h->path, ends[i]);
        unlink(name);
    }
    free(h);
    hf_epoch_poll();
    return 0;
}

struct text {
    char at[HF_TOKEN_TEXT_MAX];
    size_t len;
};

static struct hf_cursor cursor_of(const struct text *t)
{
    return hf_cursor(t->at, t->len);
}

static hf_result create(struct house *h, const struct hf_token_spec *spec, struct text *ret)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    const struct hf_token_info *info;
    struct hf_buf out = hf_buf(ret->at, sizeof(ret->at));
    TRY(hf_txn_begin(h->records, &txn));
    hf_result made = hf_token_create(h->policy, spec, txn, NULL, &out, &info);
    ret->len = out.len;
    return made;
}

static struct hf_token_spec spec_of(const struct hf_cursor *policies, size_t count)
{
    return (struct hf_token_spec){
        .ns = ns(),
        .policies = policies,
        .policy_count = count,
        .display_name = hf_cursor_text("token"),
        .path = hf_cursor_text("auth/token/create"),
        .ttl_ns = 3600 * HF_SECOND,
        .max_ttl_ns = 7200 * HF_SECOND,
        .renewable = true,
    };
}

static struct text make(struct house *h, const char *policy, const struct text *parent)
{
    struct hf_cursor name = hf_cursor_text(policy);
    struct hf_token_spec spec = spec_of(&name, 1);
    struct text made;
    if (parent != NULL)
        assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(parent), true, &spec.parent).code, HF_OK);
    assert_int_equal(create(h, &spec, &made).code, HF_OK);
    return made;
}

static enum hf_code who(struct house *h, const struct text *t, bool may_wait)
{
    const struct hf_identity *identity;
    return hf_identity_of(h->policy, ns(), cursor_of(t), may_wait, &identity).code;
}

static struct hf_id accessor_of(struct house *h, const struct text *t)
{
    struct hf_id id;
    assert_int_equal(hf_token_accessor(h->policy, ns(), cursor_of(t), &id).code, HF_OK);
    return id;
}

static void put_policy(struct house *h, const char *name, const char *text)
{
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    struct hf_store_outcome outcome;
    assert_int_equal(hf_txn_begin(h->records, &txn).code, HF_OK);
    assert_int_equal(hf_acl_put(h->policy, txn, ns(), hf_cursor_text(name), hf_cursor_text(text)).code,
                     HF_OK);
    assert_int_equal(hf_txn_commit(txn, &outcome).code, HF_OK);
    hf_acl_changed(h->policy, ns(), hf_cursor_text(name));
}

static enum hf_code may(struct house *h, const struct text *t, const char *path, uint32_t needs)
{
    const struct hf_identity *identity;
    struct hf_tree args = {0};
    assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(t), true, &identity).code, HF_OK);
    return hf_identity_may(h->policy, identity, hf_cursor_text(path), needs, &args).code;
}

/* ---- */

static void a_token_is_known_and_garbage_is_not(void **state)
{
    struct house *h = *state;
    struct text t = make(h, "p", NULL);
    assert_memory_equal(t.at, "hvs.", 4);
    assert_int_equal(t.len, 47);
    assert_int_equal(who(h, &t, false), HF_WOULD_BLOCK); /* not in memory yet */
    assert_int_equal(who(h, &t, true), HF_OK);
    assert_int_equal(who(h, &t, false), HF_OK);
    for (size_t i = 0; i < t.len; i++) { /* any other text is refused without asking the store */
        struct text other = t;
        other.at[i] = other.at[i] == 'A' ? 'B' : 'A';
        assert_int_equal(who(h, &other, false), HF_DENIED);
    }
    struct text longer = t;
    longer.at[longer.len++] = 'A';
    assert_int_equal(who(h, &longer, false), HF_DENIED);
    longer.len = 0;
    assert_int_equal(who(h, &longer, false), HF_DENIED);
    const struct hf_identity *identity;
    static const uint8_t other_ns[16] = {1};
    assert_int_equal(hf_identity_of(h->policy, hf_cursor(other_ns, 16), cursor_of(&t), true, &identity).code,
                     HF_DENIED);
}

static void what_is_stored_is_not_the_token(void **state)
{
    struct house *h = *state;
    struct text t = make(h, "p", NULL);
    static char bytes[8 << 20];
    static const char *const ends[] = {"", "-wal"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s%s", h->path, ends[i]);
        FILE *file = fopen(name, "rb");
        if (file == NULL)
            continue;
        size_t len = fread(bytes, 1, sizeof(bytes), file);
        fclose(file);
        assert_null(memmem(bytes, len, t.at, t.len));
        assert_null(memmem(bytes, len, t.at + 4, 32));
    }
}

static void it_outlives_a_restart_and_ends_in_time(void **state)
{
    struct house *h = *state;
    struct text t = make(h, "p", NULL);
    hf_epoch_leave();
    close_policy(h);
    open_policy(h);
    hf_epoch_enter();
    assert_int_equal(who(h, &t, true), HF_OK);
    pass(3599);
    assert_int_equal(who(h, &t, false), HF_OK);
    pass(1);
    assert_int_equal(who(h, &t, false), HF_DENIED); /* at once, from memory */
    assert_int_equal(who(h, &t, true), HF_DENIED);
    const struct hf_token_info *info;
    assert_int_equal(hf_token_find(h->policy, ns(), accessor_of(h, &t), &info).code, HF_NOT_FOUND);
}

static void setting_the_clock_back_gives_no_more_time(void **state)
{
    struct house *h = *state;
    struct text t = make(h, "p", NULL);
    assert_int_equal(who(h, &t, true), HF_OK);
    boot += 3600 * HF_SECOND; /* an hour passed, whatever the wall says */
    assert_int_equal(who(h, &t, true), HF_DENIED);
}

static void renewal_is_bounded(void **state)
{
    struct house *h = *state;
    struct text t = make(h, "p", NULL);
    struct hf_id accessor = accessor_of(h, &t);
    const struct hf_token_info *info;
    pass(3000);
    assert_int_equal(hf_token_renew(h->policy, ns(), accessor, 0, NULL, &info).code, HF_OK);
    assert_int_equal(info->expires_ns - wall, 3600 * HF_SECOND);
    pass(3000);
    assert_int_equal(hf_token_renew(h->policy, ns(), accessor, 100000 * HF_SECOND, NULL, &info).code, HF_OK);
    assert_int_equal(info->expires_ns - wall, 1200 * HF_SECOND); /* max_ttl from its making on */
    assert_int_equal(who(h, &t, true), HF_OK);
    pass(1200);
    assert_int_equal(hf_token_renew(h->policy, ns(), accessor, 0, NULL, &info).code, HF_NOT_FOUND);
    assert_int_equal(who(h, &t, true), HF_DENIED);
}

static void a_period_goes_on_and_an_explicit_maximum_does_not(void **state)
{
    struct house *h = *state;
    struct hf_cursor p = hf_cursor_text("p");
    struct hf_token_spec spec = spec_of(&p, 1);
    struct text t;
    const struct hf_token_info *info;
    spec.period_ns = 600 * HF_SECOND;
    assert_int_equal(create(h, &spec, &t).code, HF_OK);
    for (int i = 0; i < 100; i++) {
        pass(500);
        assert_int_equal(hf_token_renew(h->policy, ns(), accessor_of(h, &t), 0, NULL, &info).code, HF_OK);
        assert_int_equal(info->expires_ns - wall, 600 * HF_SECOND);
    }
    spec.explicit_max_ttl_ns = 900 * HF_SECOND;
    assert_int_equal(create(h, &spec, &t).code, HF_OK);
    pass(500);
    assert_int_equal(hf_token_renew(h->policy, ns(), accessor_of(h, &t), 0, NULL, &info).code, HF_OK);
    assert_int_equal(info->expires_ns - wall, 400 * HF_SECOND);
    spec.period_ns = 0;
    spec.renewable = false;
    assert_int_equal(create(h, &spec, &t).code, HF_OK);
    assert_int_equal(hf_token_renew(h->policy, ns(), accessor_of(h, &t), 0, NULL, &info).code,
                     HF_BAD_ARGUMENT);
}

static void uses_are_counted_to_the_last(void **state)
{
    struct house *h = *state;
    struct hf_cursor p = hf_cursor_text("p");
    struct hf_token_spec spec = spec_of(&p, 1);
    struct text t;
    spec.num_uses = 3;
    assert_int_equal(create(h, &spec, &t).code, HF_OK);
    assert_int_equal(who(h, &t, false), HF_WOULD_BLOCK); /* each use is written down */
    assert_int_equal(who(h, &t, true), HF_OK);
    assert_int_equal(who(h, &t, false), HF_WOULD_BLOCK);
    hf_epoch_leave();
    close_policy(h);
    open_policy(h);
    hf_epoch_enter();
    const struct hf_identity *identity;
    assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&t), true, &identity).code, HF_OK);
    assert_int_equal(identity->uses_left, 1);
    spec.num_uses = 0;
    spec.parent = identity;
    struct text child;
    assert_int_equal(create(h, &spec, &child).code, HF_BAD_ARGUMENT); /* makes no children */
    assert_int_equal(who(h, &t, true), HF_OK);
    assert_int_equal(who(h, &t, true), HF_DENIED);
    assert_int_equal(who(h, &t, false), HF_DENIED);
}

struct users {
    struct house *h;
    struct text token;
    atomic_int granted, refused, other;
};

static void *use_it(void *arg)
{
    struct users *u = arg;
    for (int i = 0; i < 10; i++) {
        hf_epoch_enter();
        enum hf_code code = who(u->h, &u->token, true);
        hf_epoch_leave();
        if (code == HF_CONFLICT) { /* lost eight races: it asks again */
            i--;
            continue;
        }
        atomic_fetch_add(code == HF_OK ? &u->granted : code == HF_DENIED ? &u->refused : &u->other, 1);
    }
    hf_epoch_thread_end();
    return NULL;
}

static void threads_share_the_uses(void **state)
{
    struct house *h = *state;
    struct hf_cursor p = hf_cursor_text("p");
    struct hf_token_spec spec = spec_of(&p, 1);
    struct users users = {.h = h};
    spec.num_uses = 25;
    assert_int_equal(create(h, &spec, &users.token).code, HF_OK);
    pthread_t threads[8];
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_it, &users), 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(users.other, 0);
    assert_int_equal(users.granted, 25);
    assert_int_equal(users.refused, 55);
}

static void revoking_a_parent_revokes_the_tree(void **state)
{
    struct house *h = *state;
    struct text root = make(h, "p", NULL), beside = make(h, "p", NULL), tree[40];
    for (size_t i = 0; i < HF_ARRAY_LEN(tree); i++)
        tree[i] = make(h, "p", i < 3 ? &root : &tree[(i - 3) / 2]);
    for (size_t i = 0; i < HF_ARRAY_LEN(tree); i++)
        assert_int_equal(who(h, &tree[i], true), HF_OK);
    /* A branch first. */
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &tree[1]), NULL).code, HF_OK);
    assert_int_equal(who(h, &tree[1], false), HF_DENIED);
    assert_int_equal(who(h, &tree[5], false), HF_DENIED);
    assert_int_equal(who(h, &tree[0], false), HF_OK);
    assert_int_equal(who(h, &root, false), HF_OK);
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &root), NULL).code, HF_OK);
    assert_int_equal(who(h, &root, false), HF_DENIED);
    for (size_t i = 0; i < HF_ARRAY_LEN(tree); i++)
        assert_int_equal(who(h, &tree[i], false), HF_DENIED);
    assert_int_equal(who(h, &beside, true), HF_OK);
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &root), NULL).code, HF_NOT_FOUND);
    hf_epoch_leave();
    close_policy(h);
    open_policy(h);
    hf_epoch_enter();
    for (size_t i = 0; i < HF_ARRAY_LEN(tree); i++)
        assert_int_equal(who(h, &tree[i], true), HF_DENIED);
}

static bool count_one(void *arg, struct hf_id accessor)
{
    (void)accessor;
    ++*(size_t *)arg;
    return true;
}

/* A store that leaves out what is asked for by prefix. */
static bool hiding;
static struct hf_store_ops lying_ops;
static const struct hf_store_ops *honest_ops;

static hf_result lying_list(struct hf_store *self, const struct hf_list_query *query, hf_row_fn each,
                            void *arg)
{
    return hiding && query->prefix.left != 0 ? HF_DONE : honest_ops->list(self, query, each, arg);
}

static void a_child_that_the_store_hides_goes_with_its_parent(void **state)
{
    struct house *h = *state;
    struct text parent = make(h, "p", NULL), child = make(h, "p", &parent), below = make(h, "p", &child);
    assert_int_equal(who(h, &parent, true), HF_OK);
    assert_int_equal(who(h, &child, true), HF_OK);
    assert_int_equal(who(h, &below, true), HF_OK); /* in memory */
    honest_ops = h->store->ops;
    lying_ops = *honest_ops;
    lying_ops.list = lying_list;
    h->store->ops = &lying_ops;
    hiding = true;
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &parent), NULL).code, HF_OK);
    assert_int_equal(who(h, &child, true), HF_DENIED);
    assert_int_equal(who(h, &below, true), HF_DENIED);
    const struct hf_token_info *info;
    assert_int_equal(hf_token_find(h->policy, ns(), accessor_of(h, &below), &info).code, HF_NOT_FOUND);
    hiding = false;
    h->store->ops = honest_ops;
}

static void a_childs_end_is_its_parents(void **state)
{
    struct house *h = *state;
    struct hf_cursor p = hf_cursor_text("p");
    struct hf_token_spec spec = spec_of(&p, 1);
    struct text parent = make(h, "p", NULL), child;
    assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&parent), true, &spec.parent).code, HF_OK);
    spec.ttl_ns = 7000 * HF_SECOND;
    assert_int_equal(create(h, &spec, &child).code, HF_OK);
    pass(3600);
    assert_int_equal(who(h, &child, true), HF_DENIED);
}

static void generations_are_bounded(void **state)
{
    struct house *h = *state;
    struct hf_cursor p = hf_cursor_text("p");
    struct text line[64] = {make(h, "p", NULL)};
    size_t n = 1;
    for (;; n++) {
        struct hf_token_spec spec = spec_of(&p, 1);
        assert_true(n < HF_ARRAY_LEN(line));
        assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&line[n - 1]), true, &spec.parent).code,
                         HF_OK);
        hf_result made = create(h, &spec, &line[n]);
        if (made.code == HF_BAD_ARGUMENT)
            break;
        assert_int_equal(made.code, HF_OK);
    }
    assert_true(n >= 16);
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &line[1]), NULL).code, HF_OK);
    assert_int_equal(who(h, &line[0], true), HF_OK);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(who(h, &line[i], true), HF_DENIED);
}

/* A token may make children in namespaces below its own; they go with it all the same. */
static void children_in_other_namespaces_go_too(void **state)
{
    struct house *h = *state;
    static const uint8_t below[16] = {7};
    struct hf_cursor p = hf_cursor_text("p");
    struct hf_token_spec spec = spec_of(&p, 1);
    struct text parent = make(h, "p", NULL), child;
    const struct hf_identity *identity;
    assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&parent), true, &spec.parent).code, HF_OK);
    spec.ns = hf_cursor(below, sizeof(below));
    assert_int_equal(create(h, &spec, &child).code, HF_OK);
    assert_int_equal(hf_identity_of(h->policy, spec.ns, cursor_of(&child), true, &identity).code, HF_OK);
    assert_int_equal(who(h, &child, true), HF_DENIED); /* not here */
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &parent), NULL).code, HF_OK);
    assert_int_equal(hf_identity_of(h->policy, spec.ns, cursor_of(&child), true, &identity).code, HF_DENIED);
    size_t left = 0;
    assert_int_equal(hf_token_accessors(h->policy, spec.ns, count_one, &left).code, HF_OK);
    assert_int_equal(left, 0);
}

static void revoking_alone_leaves_orphans(void **state)
{
    struct house *h = *state;
    struct text parent = make(h, "p", NULL), child = make(h, "p", &parent);
    const struct hf_token_info *info;
    assert_int_equal(hf_token_find(h->policy, ns(), accessor_of(h, &child), &info).code, HF_OK);
    assert_false(info->orphan);
    assert_int_equal(hf_token_revoke_orphan(h->policy, ns(), accessor_of(h, &parent), NULL).code, HF_OK);
    assert_int_equal(who(h, &parent, true), HF_DENIED);
    assert_int_equal(who(h, &child, true), HF_OK);
    assert_int_equal(hf_token_find(h->policy, ns(), accessor_of(h, &child), &info).code, HF_OK);
    assert_true(info->orphan);
}

/* A revoked parent whose identity somebody still holds makes no child any more. */
static void a_revoked_parent_makes_no_child(void **state)
{
    struct house *h = *state;
    struct text parent = make(h, "p", NULL), made;
    struct hf_cursor p = hf_cursor_text("p");
    struct hf_token_spec spec = spec_of(&p, 1);
    assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&parent), true, &spec.parent).code, HF_OK);
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &parent), NULL).code, HF_OK);
    assert_int_equal(create(h, &spec, &made).code, HF_DENIED);
}

struct makers {
    struct house *h;
    struct text parent;
    struct text made[4][64];
    size_t count[4];
    atomic_size_t next;
};

static void *make_children(void *arg)
{
    struct makers *m = arg;
    size_t mine = atomic_fetch_add(&m->next, 1);
    for (;;) {
        struct hf_cursor p = hf_cursor_text("p");
        struct hf_token_spec spec = spec_of(&p, 1);
        hf_epoch_enter();
        hf_result made = hf_identity_of(m->h->policy, ns(), cursor_of(&m->parent), true, &spec.parent);
        if (HF_IS_OK(made))
            made = create(m->h, &spec, &m->made[mine][m->count[mine]]);
        hf_epoch_leave();
        if (!HF_IS_OK(made) || ++m->count[mine] == 64)
            break;
    }
    hf_epoch_thread_end();
    return NULL;
}

static void no_child_slips_through_a_revocation(void **state)
{
    struct house *h = *state;
    static struct makers m;
    m = (struct makers){.h = h, .parent = make(h, "p", NULL)};
    pthread_t threads[4];
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_children, &m), 0);
    usleep(20000);
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &m.parent), NULL).code, HF_OK);
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        for (size_t j = 0; j < m.count[i]; j++)
            assert_int_equal(who(h, &m.made[i][j], true), HF_DENIED);
}

static size_t count_tokens(struct house *h)
{
    size_t count = 0;
    assert_int_equal(hf_token_accessors(h->policy, ns(), count_one, &count).code, HF_OK);
    return count;
}

static void tidy_removes_what_expired_with_its_children(void **state)
{
    struct house *h = *state;
    struct hf_cursor p = hf_cursor_text("p");
    struct hf_token_spec spec = spec_of(&p, 1);
    struct text parent = make(h, "p", NULL), child, lasting;
    assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&parent), true, &spec.parent).code, HF_OK);
    spec.ttl_ns = 7000 * HF_SECOND;
    assert_int_equal(create(h, &spec, &child).code, HF_OK);
    spec.parent = NULL;
    assert_int_equal(create(h, &spec, &lasting).code, HF_OK);
    assert_int_equal(count_tokens(h), 3);
    assert_int_equal(hf_tokens_tidy(h->policy, wall).code, HF_OK);
    assert_int_equal(count_tokens(h), 3);
    pass(3600);
    assert_int_equal(hf_tokens_tidy(h->policy, wall).code, HF_OK);
    assert_int_equal(count_tokens(h), 1);
    assert_int_equal(who(h, &child, true), HF_DENIED);
    assert_int_equal(who(h, &lasting, true), HF_OK);
}

static hf_result refuse_commit(void *arg, struct hf_txn *txn)
{
    (void)arg;
    (void)txn;
    return HF_FAIL(STORE_DOWN);
}

/* The last step of a revocation fails: the tree is refused all the same, and time finishes it. */
static void a_broken_revocation_is_finished_by_tidy(void **state)
{
    struct house *h = *state;
    struct text parent = make(h, "p", NULL), child = make(h, "p", &parent);
    struct hf_commit broken = {refuse_commit, NULL};
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &parent), &broken).code, HF_STORE_DOWN);
    assert_int_equal(who(h, &parent, true), HF_DENIED);
    assert_int_equal(who(h, &child, true), HF_DENIED);
    hf_epoch_leave();
    close_policy(h);
    open_policy(h);
    hf_epoch_enter();
    assert_int_equal(who(h, &parent, true), HF_DENIED);
    assert_int_equal(count_tokens(h), 1);
    pass(1);
    assert_int_equal(hf_tokens_tidy(h->policy, wall).code, HF_OK);
    assert_int_equal(count_tokens(h), 0);
    /* A leaf whose only commit fails is not revoked, and still there to be tried again. */
    struct text leaf = make(h, "p", NULL);
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &leaf), &broken).code, HF_STORE_DOWN);
    assert_int_equal(who(h, &leaf, true), HF_OK);
}

static void root_tokens_and_own_texts(void **state)
{
    struct house *h = *state;
    struct text t = {.len = 0};
    const struct hf_identity *identity;
    static const char *const own[] = {"", "root", "my-dev-token", "hvs.short"};
    for (size_t i = 0; i < HF_ARRAY_LEN(own); i++) {
        CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
        struct hf_buf out = hf_buf(t.at, sizeof(t.at));
        assert_int_equal(hf_txn_begin(h->records, &txn).code, HF_OK);
        assert_int_equal(hf_token_create_root(h->policy, ns(), hf_cursor_text(own[i]), txn, NULL, &out).code,
                         HF_OK);
        t.len = out.len;
        if (own[i][0] != '\0')
            assert_memory_equal(t.at, own[i], t.len);
        assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&t), true, &identity).code, HF_OK);
        assert_true(identity->root && identity->orphan && identity->expires_ns == 0);
    }
    pass(400 * 86400);
    assert_int_equal(who(h, &t, true), HF_OK);
    assert_int_equal(may(h, &t, "anything/at/all", HF_CAP_SUDO | HF_CAP_DELETE), HF_OK);
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    struct text again;
    struct hf_buf out = hf_buf(again.at, sizeof(again.at));
    assert_int_equal(hf_txn_begin(h->records, &txn).code, HF_OK);
    assert_int_equal(hf_token_create_root(h->policy, ns(), hf_cursor_text("root"), txn, NULL, &out).code,
                     HF_EXISTS);
    struct text real = make(h, "p", NULL); /* a text of our own form cannot be chosen */
    out = hf_buf(again.at, sizeof(again.at));
    assert_int_equal(hf_token_create_root(h->policy, ns(), cursor_of(&real), txn, NULL, &out).code,
                     HF_BAD_ARGUMENT);
    assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &t), NULL).code, HF_OK);
    assert_int_equal(who(h, &t, false), HF_DENIED);
}

static void policies_change_under_a_token(void **state)
{
    struct house *h = *state;
    struct text t = make(h, "app", NULL);
    assert_int_equal(may(h, &t, "transit/encrypt/k", HF_CAP_UPDATE), HF_DENIED); /* no such policy yet */
    put_policy(h, "app", "path \"transit/encrypt/*\" { capabilities = [\"update\"] }");
    assert_int_equal(may(h, &t, "transit/encrypt/k", HF_CAP_UPDATE), HF_OK);
    assert_int_equal(may(h, &t, "transit/encrypt/k", HF_CAP_UPDATE | HF_CAP_SUDO), HF_DENIED);
    assert_int_equal(may(h, &t, "transit/encrypt/k", HF_CAP_READ), HF_DENIED);
    assert_int_equal(may(h, &t, "transit/decrypt/k", HF_CAP_UPDATE), HF_DENIED);
    put_policy(h, "app", "path \"transit/encrypt/*\" { capabilities = [\"deny\", \"update\"] }");
    assert_int_equal(may(h, &t, "transit/encrypt/k", HF_CAP_UPDATE), HF_DENIED);
    put_policy(h, "app", "path \"transit/keys\" { capabilities = [\"list\"] }");
    assert_int_equal(may(h, &t, "transit/keys", HF_CAP_LIST), HF_OK);
    assert_int_equal(may(h, &t, "transit/keys/", HF_CAP_LIST), HF_OK);
    hf_epoch_leave();
    close_policy(h);
    open_policy(h);
    hf_epoch_enter();
    assert_int_equal(may(h, &t, "transit/keys", HF_CAP_LIST), HF_OK); /* kept */
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    struct hf_store_outcome outcome;
    assert_int_equal(hf_txn_begin(h->records, &txn).code, HF_OK);
    assert_int_equal(hf_acl_delete(h->policy, txn, ns(), hf_cursor_text("app")).code, HF_OK);
    assert_int_equal(hf_txn_commit(txn, &outcome).code, HF_OK);
    hf_acl_changed(h->policy, ns(), hf_cursor_text("app"));
    assert_int_equal(may(h, &t, "transit/keys", HF_CAP_LIST), HF_DENIED);
}

static void the_default_policy_is_about_oneself(void **state)
{
    struct house *h = *state;
    struct text t = make(h, "default", NULL);
    assert_int_equal(may(h, &t, "auth/token/lookup-self", HF_CAP_READ), HF_OK);
    assert_int_equal(may(h, &t, "auth/token/renew-self", HF_CAP_UPDATE), HF_OK);
    assert_int_equal(may(h, &t, "sys/capabilities-self", HF_CAP_UPDATE), HF_OK);
    assert_int_equal(may(h, &t, "auth/token/create", HF_CAP_UPDATE), HF_DENIED);
    assert_int_equal(may(h, &t, "sys/policies/acl/default", HF_CAP_READ), HF_DENIED);
    struct hf_txn *txn = NULL;
    assert_int_equal(hf_txn_begin(h->records, &txn).code, HF_OK);
    assert_int_equal(hf_acl_delete(h->policy, txn, ns(), hf_cursor_text("default")).code, HF_BAD_ARGUMENT);
    assert_int_equal(hf_acl_put(h->policy, txn, ns(), hf_cursor_text("root"), hf_cursor_text("")).code,
                     HF_BAD_ARGUMENT);
    hf_txn_freep(&txn);
    put_policy(h, "default", "path \"x\" { capabilities = [\"read\"] }");
    assert_int_equal(may(h, &t, "auth/token/renew-self", HF_CAP_UPDATE), HF_DENIED);
    assert_int_equal(may(h, &t, "x", HF_CAP_READ), HF_OK);
}

static void a_token_is_bound_to_its_addresses(void **state)
{
    struct house *h = *state;
    struct hf_cursor p = hf_cursor_text("p");
    struct hf_token_spec spec = spec_of(&p, 1);
    uint8_t bytes[128], in[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3},
                        out_of[16] = {[10] = 0xff, 0xff, 11, 1, 2, 3};
    struct hf_buf list = hf_buf(bytes, sizeof(bytes));
    struct hf_tree_writer w = hf_tree_writer(&list);
    struct text t;
    const struct hf_identity *identity;
    hf_tw_array(&w);
    hf_tw_text(&w, hf_cursor_text("10.0.0.0/8"));
    hf_tw_end(&w);
    assert_int_equal(hf_tree_open(hf_buf_cursor(&list), &spec.cidrs).code, HF_OK);
    assert_int_equal(create(h, &spec, &t).code, HF_OK);
    assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&t), true, &identity).code, HF_OK);
    assert_int_equal(hf_identity_from(identity, in).code, HF_OK);
    assert_int_equal(hf_identity_from(identity, out_of).code, HF_DENIED);
}

/* More tokens than the cache holds: all are still known, none is confused with another. */
static void the_cache_is_bounded(void **state)
{
    struct house *h = *state;
    enum { TOKENS = 600 };
    static struct text t[TOKENS];
    struct hf_policy_stats stats;
    for (size_t i = 0; i < TOKENS; i++)
        t[i] = make(h, "p", NULL);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < TOKENS; i++) {
            const struct hf_identity *identity;
            assert_int_equal(hf_identity_of(h->policy, ns(), cursor_of(&t[i]), true, &identity).code, HF_OK);
            struct hf_id id = accessor_of(h, &t[i]);
            assert_memory_equal(identity->accessor.bytes, id.bytes, sizeof(id.bytes));
        }
    hf_policy_stats(h->policy, &stats);
    assert_true(stats.cached > 0 && stats.cached <= TOKENS);
    assert_true(stats.misses < TOKENS + TOKENS / 4); /* the second round was from memory */
}

struct race {
    struct house *h;
    struct text token;
    atomic_bool stop;
    atomic_ullong asked;
};

static void *ask_on(void *arg)
{
    struct race *race = arg;
    struct hf_tree args = {0};
    while (!race->stop) {
        const struct hf_identity *identity;
        hf_epoch_enter();
        if (HF_IS_OK(hf_identity_of(race->h->policy, ns(), cursor_of(&race->token), true, &identity)))
            (void)hf_identity_may(race->h->policy, identity, hf_cursor_text("a/b"), HF_CAP_READ, &args).code;
        hf_epoch_leave();
        atomic_fetch_add(&race->asked, 1);
    }
    hf_epoch_thread_end();
    return NULL;
}

/* For the sanitizers: policies change, tokens are renewed, made and revoked while others are being asked for. */
static void readers_go_on_while_all_changes(void **state)
{
    struct house *h = *state;
    struct race race = {.h = h, .token = make(h, "app", NULL)};
    pthread_t threads[3];
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &race), 0);
    for (int i = 0; i < 60; i++) {
        char text[96];
        const struct hf_token_info *info;
        snprintf(text, sizeof(text), "path \"a/%s\" { capabilities = [\"read\"] }", i % 2 ? "*" : "+");
        put_policy(h, "app", text);
        assert_int_equal(hf_token_renew(h->policy, ns(), accessor_of(h, &race.token), 0, NULL, &info).code,
                         HF_OK);
        struct text other = make(h, "app", NULL);
        assert_int_equal(who(h, &other, true), HF_OK);
        assert_int_equal(hf_token_revoke(h->policy, ns(), accessor_of(h, &other), NULL).code, HF_OK);
        assert_int_equal(may(h, &race.token, "a/b", HF_CAP_READ), HF_OK);
        hf_epoch_leave();
        hf_epoch_poll();
        hf_epoch_enter();
    }
    race.stop = true;
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_true(race.asked > 0);
}

static void asking_is_quick(void **state)
{
    struct house *h = *state;
    enum { ROUNDS = 100000 };
    struct text t = make(h, "app", NULL);
    struct hf_tree args = {0};
    put_policy(h, "app", "path \"transit/encrypt/*\" { capabilities = [\"update\"] }");
    assert_int_equal(may(h, &t, "transit/encrypt/k", HF_CAP_UPDATE), HF_OK);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < ROUNDS; i++) {
        const struct hf_identity *identity;
        hf_result asked = hf_identity_of(h->policy, ns(), cursor_of(&t), false, &identity);
        if (HF_IS_OK(asked))
            asked = hf_identity_may(h->policy, identity, hf_cursor_text("transit/encrypt/k"), HF_CAP_UPDATE,
                                    &args);
        assert_int_equal(asked.code, HF_OK);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    print_message("token and policy: %.0f ns\n",
                  ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / ROUNDS);
}

#define HOUSE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOUSE_TEST(a_token_is_known_and_garbage_is_not),
        HOUSE_TEST(what_is_stored_is_not_the_token),
        HOUSE_TEST(it_outlives_a_restart_and_ends_in_time),
        HOUSE_TEST(setting_the_clock_back_gives_no_more_time),
        HOUSE_TEST(renewal_is_bounded),
        HOUSE_TEST(a_period_goes_on_and_an_explicit_maximum_does_not),
        HOUSE_TEST(uses_are_counted_to_the_last),
        HOUSE_TEST(threads_share_the_uses),
        HOUSE_TEST(revoking_a_parent_revokes_the_tree),
        HOUSE_TEST(a_child_that_the_store_hides_goes_with_its_parent),
        HOUSE_TEST(a_childs_end_is_its_parents),
        HOUSE_TEST(generations_are_bounded),
        HOUSE_TEST(children_in_other_namespaces_go_too),
        HOUSE_TEST(revoking_alone_leaves_orphans),
        HOUSE_TEST(a_revoked_parent_makes_no_child),
        HOUSE_TEST(no_child_slips_through_a_revocation),
        HOUSE_TEST(tidy_removes_what_expired_with_its_children),
        HOUSE_TEST(a_broken_revocation_is_finished_by_tidy),
        HOUSE_TEST(root_tokens_and_own_texts),
        HOUSE_TEST(policies_change_under_a_token),
        HOUSE_TEST(the_default_policy_is_about_oneself),
        HOUSE_TEST(a_token_is_bound_to_its_addresses),
        HOUSE_TEST(the_cache_is_bounded),
        HOUSE_TEST(readers_go_on_while_all_changes),
        HOUSE_TEST(asking_is_quick),
    };
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
