/* A store that fails, forgets and lies: nothing is answered that is not logged, and what is altered is named. */
#include "fixture.h"

static hf_result write_one(struct fixture *f, unsigned n)
{
    struct hf_audit_batch_writer *w = NULL;
    struct hf_audit_entry e = sample_entry(n);
    assert_int_equal(hf_audit_batch_new(f->audit, &w).code, HF_OK);
    hf_result result = hf_audit_batch_add(w, &e);
    hf_result flushed = hf_audit_batch_flush(w);
    hf_audit_batch_free(w);
    return HF_IS_OK(result) ? flushed : result;
}

/* Writes till it is taken again: the store is back, and the sequencer has seen it. */
static void await_service(struct fixture *f, unsigned n)
{
    for (unsigned i = 0; i < 500; i++) {
        if (HF_IS_OK(write_one(f, n)))
            return;
        nap_ms(10);
    }
    fail_msg("the audit does not come back");
}

struct seen {
    uint64_t entries, voids;
    bool there[1 << 16]; /* by number of sample_entry */
    unsigned times;
    char outcome[32]; /* of the last */
};

/* Exports and verifies the whole log, and says what is in it. */
static struct seen *survey(struct fixture *f)
{
    static uint8_t bytes[16 << 20], note_bytes[8192];
    struct seen *seen = calloc(1, sizeof(*seen));
    struct hf_buf note = hf_buf(note_bytes, sizeof(note_bytes)), out = hf_buf(bytes, sizeof(bytes));
    struct hf_tlog_checkpoint cp = fresh_checkpoint(f, &note);
    for (uint64_t at = 0; at < cp.size;)
        assert_int_equal(hf_audit_export(f->audit, at, UINT64_MAX, 8192, true, &out, &at).code, HF_OK);
    const struct hf_tlog_signer keys = fixture_signer(f);
    struct hf_export_verdict v;
    assert_int_equal(hf_export_verify(hf_buf_cursor(&out), hf_buf_cursor(&note), &keys, &v).code, HF_OK);
    assert_true(v.ok);
    struct hf_export_reader reader;
    struct hf_export_entry entry;
    bool more;
    hf_export_open(&reader, hf_buf_cursor(&out));
    while (HF_IS_OK(hf_export_section(&reader, &more)) && more) {
        while (hf_export_next(&reader, &entry)) {
            struct hf_entry_leaf leaf;
            struct hf_entry_detail d;
            assert_int_equal(hf_entry_leaf_read(entry.bytes, &leaf).code, HF_OK);
            seen->entries++;
            if (leaf.kind == HF_ENTRY_VOID) {
                seen->voids++;
                continue;
            }
            assert_int_equal(hf_entry_opening_read(entry.opening, &d).code, HF_OK);
            struct hf_cursor id = hf_cursor(d.request_id.bytes, 4);
            uint32_t n = 0;
            assert_true(hf_cursor_u32(&id, &n));
            assert_false(seen->there[n - 1]);
            seen->there[n - 1] = true;
            (void)snprintf(seen->outcome, sizeof(seen->outcome), "%.*s", (int)d.outcome.left,
                           (const char *)d.outcome.at);
        }
    }
    return seen;
}

/* ---- the store fails while we run ---- */

static void what_cannot_be_logged_is_refused(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 10, 3);
    static const enum hf_code codes[] = {HF_STORE_DOWN, HF_STORE_FULL, HF_STORE_READ_ONLY, HF_STORE_BUSY};
    unsigned n = 10;
    for (size_t i = 0; i < HF_ARRAY_LEN(codes); i++) {
        atomic_store(&f->store.fail_code, codes[i]);
        struct hf_audit_entry e = sample_entry(n + 1000);
        for (unsigned k = 0; k < 5; k++) {
            assert_int_equal(write_one(f, n + 1000).code, HF_AUDIT_DOWN);
            assert_int_equal(hf_audit_write(f->audit, &e, NULL).code, HF_AUDIT_DOWN);
        }
        atomic_store(&f->store.fail_code, 0);
        await_service(f, n++);
    }
    struct seen *seen = survey(f);
    for (unsigned i = 0; i < n; i++)
        assert_true(seen->there[i]);
    for (unsigned i = 10; i < n; i++)
        assert_false(seen->there[i + 1000]);
    assert_true(seen->voids < 3 * HF_ARRAY_LEN(codes)); /* indices that were taken show; refusals take none */
    free(seen);
}

static void a_failed_part_fails_the_whole_batch(void **state)
{
    struct fixture *f = *state;
    struct hf_audit_batch_writer *w = NULL;
    assert_int_equal(hf_audit_batch_new(f->audit, &w).code, HF_OK);
    atomic_store(&f->store.fail_code, HF_STORE_DOWN);
    bool refused = false;
    for (unsigned i = 0; i < 600; i++) { /* more than one batch holds */
        struct hf_audit_entry e = sample_entry(i);
        refused = !HF_IS_OK(hf_audit_batch_add(w, &e)) || refused;
    }
    assert_true(refused);
    atomic_store(&f->store.fail_code, 0);
    assert_int_equal(hf_audit_batch_flush(w).code, HF_AUDIT_DOWN);
    assert_int_equal(hf_audit_batch_flush(w).code, HF_OK); /* nothing is left in it */
    hf_audit_batch_free(w);
    await_service(f, 1000);
    struct seen *seen = survey(f);
    assert_true(seen->there[1000]);
    free(seen);
}

static void unknown_outcomes_are_settled(void **state)
{
    struct fixture *f = *state;
    struct hf_audit_entry e = sample_entry(2);
    atomic_store(&f->store.unknown, 1); /* written, and the answer lost */
    assert_int_equal(write_one(f, 0).code, HF_AUDIT_DOWN);
    await_service(f, 1);
    atomic_store(&f->store.lost, 1); /* never written */
    assert_int_equal(hf_audit_write(f->audit, &e, NULL).code, HF_AUDIT_DOWN);
    await_service(f, 3);
    struct seen *seen = survey(f);
    assert_true(seen->there[0]); /* refused, but logged: the other way round is what may not be */
    assert_true(seen->there[1] && seen->there[3]);
    assert_false(seen->there[2]);
    assert_int_equal(seen->voids, 1);
    free(seen);
    fixture_reopen(f);
    free(survey(f));
}

static void a_head_that_comes_late_is_our_own(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[8192];
    for (int tries = 1; tries <= 3; tries++) { /* asked for in between, it was not there yet */
        struct hf_buf note = hf_buf(bytes, sizeof(bytes));
        atomic_store(&f->store.late, tries);
        await_service(f, (unsigned)tries);
        (void)fresh_checkpoint(f, &note);
        assert_int_equal(atomic_load(&f->store.late), 0);
        assert_int_equal(f->store.late_op.blob.left, 0);
        await_service(f, 10 + (unsigned)tries);
    }
    fixture_reopen(f);
    free(survey(f));
}

/* ---- management operations ---- */

static hf_result commit_ticket(struct fixture *f, struct hf_audit_ticket *t)
{
    struct hf_store_outcome outcome;
    return f->store.base.ops->commit(&f->store.base, &t->op, 1, HF_DURABLE, &outcome);
}

static void a_change_and_its_leaf_are_one(void **state)
{
    struct fixture *f = *state;
    struct hf_audit_ticket *t = calloc(1, sizeof(*t));
    struct hf_audit_entry e = sample_entry(0);
    assert_int_equal(hf_audit_prepare(f->audit, &e, t).code, HF_OK);
    assert_int_equal(hf_audit_settle(f->audit, t, commit_ticket(f, t)).code, HF_OK);
    struct seen *seen = survey(f);
    assert_int_equal(seen->entries, 1);
    assert_string_equal(seen->outcome, "OK");
    free(seen);

    /* The change was refused: the leaf says so. */
    e = sample_entry(1);
    assert_int_equal(hf_audit_prepare(f->audit, &e, t).code, HF_OK);
    assert_int_equal(hf_audit_settle(f->audit, t, HF_FAIL(CONFLICT)).code, HF_OK);
    seen = survey(f);
    assert_int_equal(seen->entries, 2);
    assert_string_equal(seen->outcome, "CONFLICT");
    free(seen);

    /* It is not known, but was written with its leaf. */
    e = sample_entry(2);
    assert_int_equal(hf_audit_prepare(f->audit, &e, t).code, HF_OK);
    assert_int_equal(commit_ticket(f, t).code, HF_OK);
    assert_int_equal(hf_audit_settle(f->audit, t, HF_FAIL(COMMIT_UNKNOWN)).code, HF_OK);
    seen = survey(f);
    assert_string_equal(seen->outcome, "OK");
    free(seen);

    /* It is not known, and was not. */
    e = sample_entry(3);
    assert_int_equal(hf_audit_prepare(f->audit, &e, t).code, HF_OK);
    assert_int_equal(hf_audit_settle(f->audit, t, HF_FAIL(COMMIT_UNKNOWN)).code, HF_OK);
    seen = survey(f);
    assert_string_equal(seen->outcome, "COMMIT_UNKNOWN");
    free(seen);

    /* The store is gone between the two. */
    e = sample_entry(4);
    assert_int_equal(hf_audit_prepare(f->audit, &e, t).code, HF_OK);
    atomic_store(&f->store.fail_code, HF_STORE_DOWN);
    assert_int_equal(hf_audit_settle(f->audit, t, HF_FAIL(STORE_DOWN)).code, HF_AUDIT_DOWN);
    atomic_store(&f->store.fail_code, 0);
    await_service(f, 5);
    seen = survey(f);
    assert_int_equal(seen->voids, 1);
    assert_false(seen->there[4]);
    free(seen);
    free(t);
}

/* ---- pressure ---- */

static void a_full_ring_holds_back_and_then_refuses(void **state)
{
    struct fixture *f = *state;
    hf_audit_close(f->audit);
    f->config.ring_entries = 512;
    f->config.checkpoint_ms = 1;
    assert_int_equal(fixture_open(f).code, HF_OK);
    atomic_store(&f->store.held, 1); /* the sequencer waits in its first checkpoint */
    unsigned n = 0;
    hf_result result;
    struct timespec begin, end;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        result = write_one(f, n++);
    while (HF_IS_OK(result) && n < 60000);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    atomic_store(&f->store.held, 0);
    assert_int_equal(result.code, HF_AUDIT_DOWN);
    assert_true(n > 512);
    assert_true(end.tv_sec - begin.tv_sec <= 10); /* refused within a bound, not hanging */
    await_service(f, n);
    struct seen *seen = survey(f);
    assert_int_equal(seen->voids, 0);
    for (unsigned i = 0; i < n - 1; i++)
        assert_true(seen->there[i]);
    free(seen);
}

/* ---- crashes ---- */

static void gaps_of_a_crash_become_void(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 1000, 10);
    uint8_t old_bytes[8192], bytes[8192];
    struct hf_buf old_note = hf_buf(old_bytes, sizeof(old_bytes)), note = hf_buf(bytes, sizeof(bytes));
    struct hf_tlog_checkpoint old_cp = fresh_checkpoint(f, &old_note);
    atomic_store(&f->store.forget_heads, true);
    atomic_store(&f->store.lazies, 1);
    atomic_store(&f->store.forget_every, 4);
    write_entries(f, 1000, 400, 10); /* ten of forty batches are lost, then the power */
    hf_audit_close(f->audit);
    atomic_store(&f->store.forget_heads, false);
    atomic_store(&f->store.forget_every, 0);
    assert_int_equal(fixture_open(f).code, HF_OK);
    assert_int_equal(write_one(f, 5000).code, HF_OK);
    struct hf_tlog_checkpoint cp = fresh_checkpoint(f, &note);
    struct hf_tlog_proof proof;
    assert_int_equal(hf_audit_prove_consistency(f->audit, old_cp.size, cp.size, &proof).code, HF_OK);
    assert_int_equal(hf_tlog_check_consistency(old_cp.size, cp.size, &proof, old_cp.root, cp.root).code,
                     HF_OK);
    struct seen *seen = survey(f);
    assert_true(seen->voids == 100 || seen->voids == 90); /* the last batch's loss leaves no gap */
    assert_int_equal(seen->entries, seen->voids + 1000 + 300 + 1);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(seen->there[i]);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(seen->there[1000 + i], i / 10 % 4 != 3);
    free(seen);
    fixture_reopen(f);
    free(survey(f));
}

static void a_log_without_its_first_head_is_read_from_the_start(void **state)
{
    struct fixture *f = *state;
    hf_audit_close(f->audit);
    atomic_store(&f->store.forget_heads, true);
    assert_int_equal(fixture_open(f).code, HF_OK);
    write_entries(f, 0, 5000, 50);
    hf_audit_close(f->audit);
    atomic_store(&f->store.forget_heads, false);
    assert_int_equal(fixture_open(f).code, HF_OK);
    struct seen *seen = survey(f);
    assert_int_equal(seen->entries, 5000);
    assert_int_equal(seen->voids, 0);
    free(seen);
}

/* Two processes on one log: the second to seal a head stops, and takes nothing more. */
static void a_second_writer_stops_itself(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 5, 5);
    uint8_t bytes[8192];
    struct hf_buf note = hf_buf(bytes, sizeof(bytes));
    (void)fresh_checkpoint(f, &note);
    struct hf_audit *first = f->audit;
    assert_int_equal(fixture_open(f).code, HF_OK); /* a clone */
    struct hf_audit *clone = f->audit;
    write_entries(f, 5, 5, 5);
    note = hf_buf(bytes, sizeof(bytes));
    (void)fresh_checkpoint(f, &note);
    f->audit = first;
    hf_result result = HF_DONE;
    for (unsigned i = 0; i < 300 && HF_IS_OK(result); i++, nap_ms(10))
        result = write_one(f, 100 + i);
    assert_int_equal(result.code, HF_AUDIT_DOWN);
    hf_audit_close(first);
    f->audit = clone;
}

/* ---- alterations ---- */

static void expect_named(struct fixture *f, const char *what)
{
    hf_result result = fixture_open(f);
    assert_int_equal(result.code, HF_CORRUPT);
    if (strstr(hf_audit_fault(), what) == NULL)
        fail_msg("want \"%s\" in \"%s\"", what, hf_audit_fault());
}

/* Bytes of a record: kind 0, time 1..8, commitment 9..40, length, version 43, then the sealed detail. */
static const unsigned offsets[] = {1, 8, 9, 40, 43, 60, 90};

static void alterations_behind_the_head_are_named(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->store.forget_heads, true);
    write_entries(f, 0, 100, 7);
    hf_audit_close(f->audit);
    f->audit = NULL;
    for (size_t i = 0; i < HF_ARRAY_LEN(offsets); i++) {
        atomic_store(&f->store.alter_index, 37);
        atomic_store(&f->store.alter_offset, offsets[i]);
        expect_named(f, "entry 37:");
    }
    atomic_store(&f->store.alter_index, UINT64_MAX);
    assert_int_equal(fixture_open(f).code, HF_OK);
}

static void alterations_before_the_head_are_named(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 700, 7);
    hf_audit_close(f->audit);
    f->audit = NULL;
    static const uint64_t indices[] = {0, 137, 255, 512, 640, 698, 699};
    for (size_t i = 0; i < HF_ARRAY_LEN(indices); i++) {
        char name[32];
        atomic_store(&f->store.alter_index, indices[i]);
        atomic_store(&f->store.alter_offset, 20); /* of the commitment: the leaf is another */
        (void)snprintf(name, sizeof(name), "entry %u: it was altered", (unsigned)indices[i]);
        expect_named(f, name);
    }
    atomic_store(&f->store.alter_index, UINT64_MAX);
    atomic_store(&f->store.hide_index, 300);
    expect_named(f, "entry 294: it is missing");
    atomic_store(&f->store.hide_index, UINT64_MAX);
    atomic_store(&f->store.alter_head, true);
    expect_named(f, "sealed head");
    atomic_store(&f->store.alter_head, false);
    assert_int_equal(fixture_open(f).code, HF_OK);
}

static void alterations_are_found_by_readers(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 9000, 30);
    uint8_t bytes[8192];
    struct hf_buf note = hf_buf(bytes, sizeof(bytes));
    (void)fresh_checkpoint(f, &note);
    struct hf_audit_inclusion *in = calloc(1, sizeof(*in));
    atomic_store(&f->store.alter_index, 200);
    atomic_store(&f->store.alter_offset, 20);
    assert_int_equal(hf_audit_include(f->audit, 200, false, in).code, HF_CORRUPT);
    assert_int_equal(hf_audit_include(f->audit, 201, false, in).code, HF_CORRUPT); /* its neighbour's proof */
    assert_int_equal(hf_audit_include(f->audit, 600, false, in).code, HF_OK);
    atomic_store(&f->store.alter_offset, 60); /* only the detail */
    assert_int_equal(hf_audit_include(f->audit, 200, false, in).code, HF_OK);
    assert_int_equal(hf_audit_include(f->audit, 200, true, in).code, HF_CORRUPT);
    assert_non_null(strstr(hf_audit_fault(), "entry 200:"));
    atomic_store(&f->store.alter_index, UINT64_MAX);
    atomic_store(&f->store.alter_nodes, true);
    assert_int_equal(hf_audit_include(f->audit, 200, false, in).code, HF_CORRUPT);
    atomic_store(&f->store.alter_nodes, false);
    assert_int_equal(hf_audit_include(f->audit, 200, false, in).code, HF_OK);
    free(in);
}

static void other_keys_open_nothing(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 10, 2);
    hf_audit_close(f->audit);
    f->audit = NULL;
    struct hf_secret *right = f->detail_key;
    assert_int_equal(hf_secret_random(32, &f->detail_key).code, HF_OK);
    expect_named(f, "sealed head");
    hf_secret_free(f->detail_key);
    f->detail_key = right;
    assert_int_equal(fixture_open(f).code, HF_OK);
}

static void bad_settings_are_refused(void **state)
{
    struct fixture *f = *state;
    hf_audit_close(f->audit);
    struct hf_audit_config good = f->config;
    f->config.ring_entries = 1000;
    assert_int_equal(fixture_open(f).code, HF_BAD_ARGUMENT);
    f->config = good;
    f->config.origin[3] = ' ';
    assert_int_equal(fixture_open(f).code, HF_BAD_ARGUMENT);
    f->config = good;
    memset(f->config.origin, 'a', sizeof(f->config.origin));
    assert_int_equal(fixture_open(f).code, HF_BAD_ARGUMENT);
    f->config = good;
    assert_int_equal(fixture_open(f).code, HF_OK);
}

static uint64_t position_of(void *arg)
{
    return *(uint64_t *)arg;
}

/* The head says how many changes the records held; and the records, how many entries the log had. */
static void what_is_older_than_the_other_is_found(void **state)
{
    struct fixture *f = *state;
    uint64_t position = 40;
    hf_audit_close(f->audit);
    f->config.position = position_of;
    f->config.position_arg = &position;
    assert_int_equal(fixture_open(f).code, HF_OK);
    write_entries(f, 0, 20, 5);
    position = 43; /* what the last head has seen */
    write_entries(f, 20, 5, 5);
    hf_audit_close(f->audit);
    f->audit = NULL;
    position = 42;
    expect_named(f, "the records are older than the audit log: 1 change is missing");
    position = 40;
    expect_named(f, "the records are older than the audit log: 3 changes are missing");
    position = 0;
    expect_named(f, "43 changes are missing");
    position = 50; /* changes that no leaf tells of: expired tokens tidied away */
    f->config.size_least = 26;
    expect_named(f, "the audit log is older than the records: 1 entry is missing");
    f->config.size_least = 125;
    expect_named(f, "100 entries are missing");
    f->config.size_least = 25;
    assert_int_equal(fixture_open(f).code, HF_OK);
    /* Management leaves say it as well, so that it does not help to put back the head, too. */
    hf_audit_close(f->audit);
    atomic_store(&f->store.forget_heads, true);
    assert_int_equal(fixture_open(f).code, HF_OK);
    position = 60;
    const struct hf_audit_entry managed = sample_entry(1000);
    assert_int_equal(hf_audit_write(f->audit, &managed, NULL).code, HF_OK);
    position = 61;
    hf_audit_close(f->audit);
    f->audit = NULL;
    atomic_store(&f->store.forget_heads, false);
    for (unsigned times = 0; times < 2; times++) { /* and having tried it once does not help */
        position = 57;
        expect_named(f, "the records are older than the audit log: 3 changes are missing");
    }
    position = 60;
    assert_int_equal(fixture_open(f).code, HF_OK);
    fixture_reopen(f);
    f->config.position = NULL;
    fixture_reopen(f);
}

static int start_crypto(void **state)
{
    (void)state;
    return HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)) ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_logged_is_refused),
        TEST(a_failed_part_fails_the_whole_batch),
        TEST(unknown_outcomes_are_settled),
        TEST(a_head_that_comes_late_is_our_own),
        TEST(a_change_and_its_leaf_are_one),
        TEST(a_full_ring_holds_back_and_then_refuses),
        TEST(gaps_of_a_crash_become_void),
        TEST(a_log_without_its_first_head_is_read_from_the_start),
        TEST(a_second_writer_stops_itself),
        TEST(alterations_behind_the_head_are_named),
        TEST(alterations_before_the_head_are_named),
        TEST(alterations_are_found_by_readers),
        TEST(other_keys_open_nothing),
        TEST(bad_settings_are_refused),
        TEST(what_is_older_than_the_other_is_found),
    };
    return cmocka_run_group_tests(tests, start_crypto, NULL);
}
