/* An audit log on a SQLite file in a directory of its own, with a store between that can lie, fail and forget. */
#ifndef HF_TEST_AUDIT_FIXTURE_H
#define HF_TEST_AUDIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/audit.h"
#include "crypto/crypto.h"
#include "tlog/entry.h"
#include "tlog/export.h"

#define ORIGIN "holdfast.example/audit/test"

struct lying_store {
    struct hf_store base;
    struct hf_store *inner;
    _Atomic int fail_code; /* every commit fails with it, unwritten; 0: none */
    _Atomic int unknown;   /* so many commits of leaves are written and answered COMMIT_UNKNOWN */
    _Atomic int lost;      /* so many commits of leaves are not written and answered COMMIT_UNKNOWN */
    _Atomic bool forget_heads;
    _Atomic unsigned forget_every; /* each n-th lazy batch is acknowledged and lost */
    _Atomic unsigned lazies;
    _Atomic int held; /* commits of heads wait while it is set */
    _Atomic int
        late; /* so many commits of heads are answered COMMIT_UNKNOWN, and the first is written after that */
    struct hf_store_op late_op;
    uint8_t late_blob[4096];
    /* what audit_read shows: bytes of the record of an index changed, batches left out or changed about */
    _Atomic uint64_t alter_index; /* UINT64_MAX: none */
    _Atomic unsigned alter_offset;
    _Atomic uint64_t hide_index;
    _Atomic bool alter_nodes, alter_head;
    struct hf_id log;
};

static inline struct lying_store *lying(struct hf_store *self)
{
    return (struct lying_store *)self;
}

static inline void nap_ms(unsigned ms)
{
    const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

static inline bool takes_one(_Atomic int *left)
{
    int have = atomic_load(left);
    while (have > 0) {
        if (atomic_compare_exchange_weak(left, &have, have - 1))
            return true;
    }
    return false;
}

static hf_result lying_commit(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                              enum hf_durability durability, struct hf_store_outcome *outcome)
{
    struct lying_store *s = lying(self);
    bool leaves = count == 1 && ops[0].kind == HF_STORE_AUDIT_APPEND;
    bool head = count > 0 && ops[count - 1].kind == HF_STORE_AUDIT_HEAD;
    while (head && atomic_load(&s->held) != 0)
        nap_ms(1);
    int code = atomic_load(&s->fail_code);
    if (code != 0)
        return (hf_result){(enum hf_code)code};
    if (head && atomic_load(&s->forget_heads))
        return HF_DONE;
    if (head && count == 1 && takes_one(&s->late)) {
        if (s->late_op.blob.left == 0) {
            assert_true(ops[0].blob.left <= sizeof(s->late_blob));
            memcpy(s->late_blob, ops[0].blob.at, ops[0].blob.left);
            s->late_op = ops[0];
            s->late_op.blob.at = s->late_blob;
        }
        return HF_FAIL(COMMIT_UNKNOWN);
    }
    if (head && s->late_op.blob.left != 0) { /* it overtakes this one */
        assert_int_equal(s->inner->ops->commit(s->inner, &s->late_op, 1, HF_DURABLE, outcome).code, HF_OK);
        s->late_op.blob.left = 0;
    }
    if (leaves && takes_one(&s->lost))
        return HF_FAIL(COMMIT_UNKNOWN);
    unsigned every = atomic_load(&s->forget_every);
    if (leaves && durability == HF_LAZY && every != 0 && atomic_fetch_add(&s->lazies, 1) % every == 0)
        return HF_DONE;
    hf_result result = s->inner->ops->commit(s->inner, ops, count, durability, outcome);
    return leaves && HF_IS_OK(result) && takes_one(&s->unknown) ? HF_FAIL(COMMIT_UNKNOWN) : result;
}

struct lying_walk {
    struct lying_store *store;
    hf_audit_batch_fn each;
    void *arg;
};

static bool lying_batch(void *arg, const struct hf_audit_batch *batch)
{
    struct lying_walk *w = arg;
    static _Thread_local uint8_t bytes[1 << 20];
    struct hf_audit_batch shown = *batch;
    bool leaves = memcmp(&batch->log, &w->store->log, sizeof(batch->log)) == 0;
    uint64_t hide = atomic_load(&w->store->hide_index), alter = atomic_load(&w->store->alter_index);
    if (leaves && hide - batch->first < batch->count)
        return true;
    bool here = leaves ? alter - batch->first < batch->count : atomic_load(&w->store->alter_nodes);
    if (here) {
        assert_true(batch->blob.left <= sizeof(bytes));
        memcpy(bytes, batch->blob.at, batch->blob.left);
        size_t at = 0;
        if (leaves) { /* header, then records of 41 bytes of leaf and a sealed part with its length before it */
            at = 45;
            for (uint64_t i = batch->first; i < alter; i++)
                at += 41 + 2 + ((size_t)bytes[at + 41] << 8 | bytes[at + 42]);
        }
        bytes[at + atomic_load(&w->store->alter_offset)] ^= 0x40;
        shown.blob.at = bytes;
    }
    return w->each(w->arg, &shown);
}

static hf_result lying_audit_read(struct hf_store *self, struct hf_id log, uint64_t from, uint32_t limit,
                                  hf_audit_batch_fn each, void *arg)
{
    struct lying_walk w = {lying(self), each, arg};
    return w.store->inner->ops->audit_read(w.store->inner, log, from, limit, lying_batch, &w);
}

static hf_result lying_audit_head_get(struct hf_store *self, struct hf_id log, struct hf_buf *space,
                                      uint64_t *size, struct hf_cursor *blob)
{
    struct lying_store *s = lying(self);
    hf_result result = s->inner->ops->audit_head_get(s->inner, log, space, size, blob);
    if (atomic_load(&s->alter_head) && blob->left != 0)
        space->at[space->len - 1] ^= 1;
    return result;
}

static const struct hf_store_ops lying_ops = {
    .name = "lying",
    .commit = lying_commit,
    .audit_head_get = lying_audit_head_get,
    .audit_read = lying_audit_read,
};

struct fixture {
    char dir[64];
    struct lying_store store;
    struct hf_secret *detail_key, *hash_key;
    struct hf_pkey *ed25519, *mldsa44;
    struct hf_audit_config config;
    struct hf_audit *audit;
};

static inline void fixture_store_open(struct fixture *f)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/store.db", f->dir);
    assert_int_equal(hf_store_sqlite_open(path, &f->store.inner).code, HF_OK);
}

static inline hf_result fixture_open(struct fixture *f)
{
    f->audit = NULL;
    return hf_audit_open(&f->store.base, &f->config, f->detail_key, f->hash_key, f->ed25519, f->mldsa44,
                         &hf_clock_system, &f->audit);
}

static inline void fixture_reopen(struct fixture *f)
{
    hf_audit_close(f->audit);
    assert_int_equal(fixture_open(f).code, HF_OK);
}

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/hf-audit-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->store.base.ops = &lying_ops;
    f->store.alter_index = f->store.hide_index = UINT64_MAX;
    memcpy(f->config.log.bytes, "an audit log id.", 16);
    f->store.log = f->config.log;
    (void)snprintf(f->config.origin, sizeof(f->config.origin), "%s", ORIGIN);
    f->config.checkpoint_ms = 50;
    assert_int_equal(hf_secret_random(32, &f->detail_key).code, HF_OK);
    assert_int_equal(hf_secret_random(32, &f->hash_key).code, HF_OK);
    assert_int_equal(hf_pkey_generate(HF_ALG_ED25519, &f->ed25519).code, HF_OK);
    assert_int_equal(hf_pkey_generate(HF_ALG_ML_DSA_44, &f->mldsa44).code, HF_OK);
    fixture_store_open(f);
    assert_int_equal(fixture_open(f).code, HF_OK);
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    hf_audit_close(f->audit);
    f->store.inner->ops->close(f->store.inner);
    hf_secret_free(f->detail_key);
    hf_secret_free(f->hash_key);
    hf_pkey_free(f->ed25519);
    hf_pkey_free(f->mldsa44);
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", ".lock"};
    for (size_t i = 0; i < HF_ARRAY_LEN(suffixes); i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), "%s/store.db%s", f->dir, suffixes[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static inline struct hf_audit_entry sample_entry(unsigned n)
{
    struct hf_audit_entry e = {
        .operation = "transit.encrypt",
        .path = hf_cursor_text("transit/encrypt/payments"),
        .mount = hf_cursor_text("transit/"),
        .key_version = n % 7 + 1,
        .items = 1,
        .outcome = n % 5 == 4 ? HF_DENIED : HF_OK,
        .tls_group = 2,
        .peer_ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7},
    };
    hf_store_u32(e.request_id.bytes, n + 1);
    memset(e.accessor.bytes, 0xac, 16);
    memset(e.key_id.bytes, 0x1d, 16);
    return e;
}

/* Writes entries numbered from `from`, `each` to a batch. */
static inline void write_entries(struct fixture *f, unsigned from, unsigned count, unsigned each)
{
    struct hf_audit_batch_writer *w = NULL;
    assert_int_equal(hf_audit_batch_new(f->audit, &w).code, HF_OK);
    for (unsigned i = 0; i < count; i++) {
        struct hf_audit_entry e = sample_entry(from + i);
        assert_int_equal(hf_audit_batch_add(w, &e).code, HF_OK);
        if ((i + 1) % each == 0 || i + 1 == count)
            assert_int_equal(hf_audit_batch_flush(w).code, HF_OK);
    }
    hf_audit_batch_free(w);
}

static inline struct hf_tlog_signer fixture_signer(const struct fixture *f)
{
    return (struct hf_tlog_signer){f->ed25519, f->mldsa44, hf_cursor_text(ORIGIN)};
}

/* A fresh checkpoint, its signatures checked. origin borrows from `note`. */
static inline struct hf_tlog_checkpoint fresh_checkpoint(struct fixture *f, struct hf_buf *note)
{
    struct hf_tlog_checkpoint cp;
    const struct hf_tlog_signer keys = fixture_signer(f);
    assert_int_equal(hf_audit_checkpoint(f->audit, true, note).code, HF_OK);
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(note), &keys, &cp).code, HF_OK);
    return cp;
}

#endif
