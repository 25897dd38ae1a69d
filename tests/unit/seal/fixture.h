/* A store in memory that fails on request, and what the seal's tests share. */
#ifndef TESTS_UNIT_SEAL_FIXTURE_H
#define TESTS_UNIT_SEAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "records/records.h"
#include "seal/seal.h"

enum { ROWS_MAX = 8, SHARES_MAX = HF_SHARES_MAX };

struct memory_row {
    bool there;
    uint16_t table;
    uint64_t rev;
    uint8_t *sealed;
    size_t len;
};
struct memory_store {
    struct hf_store base;
    struct memory_row rows[ROWS_MAX];
    unsigned calls;    /* since the fault was armed */
    unsigned fail_at;  /* which call fails, from 1; 0 none */
    unsigned fail_for; /* how many calls from there on */
    unsigned mask;     /* else: bit i says that call i + 1 fails */
    enum hf_code fail_with;
    bool apply_first; /* a failing commit is carried out all the same (COMMIT_UNKNOWN) */
    unsigned fired;
};

static inline bool faulty(struct memory_store *m)
{
    m->calls++;
    bool fails = m->fail_at != 0 && m->calls >= m->fail_at && m->calls < m->fail_at + m->fail_for;
    if (m->calls <= 32 && (m->mask >> (m->calls - 1) & 1))
        fails = true;
    m->fired += fails;
    return fails;
}

static inline void arm(struct memory_store *m, unsigned at, unsigned calls, enum hf_code with,
                       bool apply_first)
{
    m->calls = 0;
    m->fired = 0;
    m->fail_at = at;
    m->fail_for = calls;
    m->fail_with = with;
    m->apply_first = apply_first;
}

static inline void disarm(struct memory_store *m)
{
    m->fail_at = 0;
    m->mask = 0;
}

static inline struct memory_row *row_of(struct memory_store *m, uint16_t table)
{
    for (unsigned i = 0; i < ROWS_MAX; i++)
        if (m->rows[i].there && m->rows[i].table == table)
            return &m->rows[i];
    return NULL;
}

/* A database's memory is its own: an allocation that is made to fail is made again. */
static inline uint8_t *row_memory(size_t len)
{
    uint8_t *memory = malloc(len);
    return memory != NULL ? memory : malloc(len);
}

static inline hf_result memory_commit_now(struct memory_store *m, const struct hf_store_op *ops, size_t count,
                                          struct hf_store_outcome *outcome)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ops[i].kind, HF_STORE_PUT_IF);
        assert_int_equal(ops[i].row.rev, ops[i].expect_rev + 1);
        struct memory_row *row = row_of(m, ops[i].row.table);
        if ((row == NULL ? 0 : row->rev) != ops[i].expect_rev) {
            outcome->failed_op = (uint32_t)i;
            return HF_FAIL(CONFLICT);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct memory_row *row = row_of(m, ops[i].row.table);
        for (unsigned r = 0; row == NULL; r++) {
            assert_true(r < ROWS_MAX);
            if (!m->rows[r].there)
                row = &m->rows[r];
        }
        free(row->sealed);
        *row = (struct memory_row){true, ops[i].row.table, ops[i].row.rev, row_memory(ops[i].row.sealed.left),
                                   ops[i].row.sealed.left};
        memcpy(row->sealed, ops[i].row.sealed.at, row->len);
    }
    return HF_DONE;
}

static inline hf_result memory_commit(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                                      enum hf_durability durability, struct hf_store_outcome *outcome)
{
    struct memory_store *m = (struct memory_store *)self;
    assert_int_equal(durability, HF_DURABLE);
    if (faulty(m)) {
        if (m->apply_first && HF_IS_OK(memory_commit_now(m, ops, count, outcome)))
            return (hf_result){m->fail_with};
        return (hf_result){m->fail_with};
    }
    return memory_commit_now(m, ops, count, outcome);
}

static inline hf_result memory_get(struct hf_store *self, uint16_t table, struct hf_id id,
                                   struct hf_buf *space, struct hf_row *ret_row)
{
    struct memory_store *m = (struct memory_store *)self;
    if (faulty(m))
        return m->fail_with == HF_COMMIT_UNKNOWN ? HF_FAIL(STORE_DOWN) : (hf_result){m->fail_with};
    const struct memory_row *row = row_of(m, table);
    if (row == NULL)
        return HF_FAIL(NOT_FOUND);
    uint8_t *place = hf_buf_reserve(space, row->len);
    if (place == NULL)
        return HF_FAIL(TOO_LARGE);
    memcpy(place, row->sealed, row->len);
    *ret_row =
        (struct hf_row){.table = table, .id = id, .rev = row->rev, .sealed = hf_cursor(place, row->len)};
    return HF_DONE;
}

static inline void memory_store_init(struct memory_store *m)
{
    static const struct hf_store_ops ops = {.name = "memory", .commit = memory_commit, .get = memory_get};
    *m = (struct memory_store){.base.ops = &ops};
}

static inline void memory_store_done(struct memory_store *m)
{
    for (unsigned i = 0; i < ROWS_MAX; i++)
        free(m->rows[i].sealed);
    memset(m->rows, 0, sizeof(m->rows));
}

/* What a database would still hold after the process died here. */
static inline void memory_store_copy(const struct memory_store *from, struct memory_store *to)
{
    memory_store_init(to);
    for (unsigned i = 0; i < ROWS_MAX; i++) {
        to->rows[i] = from->rows[i];
        if (from->rows[i].there) {
            to->rows[i].sealed = malloc(from->rows[i].len);
            memcpy(to->rows[i].sealed, from->rows[i].sealed, from->rows[i].len);
        }
    }
}

static inline struct hf_seal *opened(struct memory_store *m)
{
    struct hf_seal *seal = NULL;
    assert_int_equal(hf_seal_open(&m->base, &hf_clock_system, &seal).code, HF_OK);
    return seal;
}

/* Shares as their holders keep them. */
struct held {
    uint32_t count;
    char hex[SHARES_MAX][HF_SHARE_CARD_MAX], base64[SHARES_MAX][HF_SHARE_CARD_MAX],
        card[SHARES_MAX][HF_SHARE_CARD_MAX];
};

static inline void hold(struct hf_share_set *set, struct held *held)
{
    memset(held, 0, sizeof(*held));
    held->count = set->count;
    for (uint32_t i = 0; i < set->count; i++) {
        struct hf_buf out[3] = {hf_buf(held->hex[i], HF_SHARE_CARD_MAX - 1),
                                hf_buf(held->base64[i], HF_SHARE_CARD_MAX - 1),
                                hf_buf(held->card[i], HF_SHARE_CARD_MAX - 1)};
        assert_int_equal(hf_share_text(&set->shares[i], HF_SHARE_HEX, &out[0]).code, HF_OK);
        assert_int_equal(hf_share_text(&set->shares[i], HF_SHARE_BASE64, &out[1]).code, HF_OK);
        assert_int_equal(hf_share_text(&set->shares[i], HF_SHARE_CARD, &out[2]).code, HF_OK);
    }
    hf_share_set_done(set);
}

static inline void init(struct hf_seal *seal, uint32_t n, uint32_t k, struct held *held)
{
    struct hf_share_set set = {.count = 0};
    assert_int_equal(hf_seal_init(seal, n, k, &set).code, HF_OK);
    assert_int_equal(set.count, n);
    hold(&set, held);
}

static inline hf_result offer(struct hf_seal *seal, const char *text, bool *complete, const char **why)
{
    return hf_seal_offer(seal, hf_cursor_text(text), complete, why);
}

/* Whether shares 0..k-1 open it; it is sealed again afterwards. */
static inline bool opens_with(struct hf_seal *seal, const struct held *held, uint32_t k)
{
    bool complete = false;
    const char *why;
    for (uint32_t i = 0; i < k && !complete; i++)
        if (!HF_IS_OK(offer(seal, held->card[i], &complete, &why)))
            break;
    if (complete)
        assert_non_null(hf_seal_keyring(seal));
    hf_seal_lock(seal);
    return complete;
}

static inline void unseal(struct hf_seal *seal, const struct held *held, uint32_t k)
{
    bool complete = false;
    const char *why = "";
    for (uint32_t i = 0; i < k; i++) {
        assert_false(complete);
        assert_int_equal(offer(seal, held->base64[i], &complete, &why).code, HF_OK);
    }
    assert_true(complete);
}

static inline uint64_t secrets_alive(void)
{
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    return report.secrets_alive;
}

#endif
