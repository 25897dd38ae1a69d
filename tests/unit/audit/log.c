/* A log as its users see it: what goes in comes out, in order, provable, and says nothing to strangers. */
#include "fixture.h"

#include "base/encode.h"
#include "wire/tree.h"

static struct hf_tlog_hash hash_at(struct fixture *f, uint64_t index, struct hf_entry_detail *ret_detail,
                                   struct hf_audit_inclusion *in)
{
    assert_int_equal(hf_audit_include(f->audit, index, true, in).code, HF_OK);
    assert_true(in->opening_len != 0);
    assert_int_equal(hf_entry_opening_read(hf_cursor(in->opening, in->opening_len), ret_detail).code, HF_OK);
    return hf_tlog_leaf(hf_cursor(in->leaf, sizeof(in->leaf)));
}

static void what_goes_in_comes_out(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 40, 7);
    struct hf_audit_inclusion *in = calloc(1, sizeof(*in));
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < 40; i++) {
            struct hf_entry_detail d;
            struct hf_audit_entry want = sample_entry(i);
            uint8_t hash[32];
            (void)hash_at(f, i, &d, in);
            assert_memory_equal(&d.request_id, &want.request_id, 16);
            assert_memory_equal(&d.accessor, &want.accessor, 16);
            assert_memory_equal(&d.key_id, &want.key_id, 16);
            assert_int_equal(d.key_version, want.key_version);
            assert_int_equal(d.items, 1);
            assert_int_equal(d.tls_group, 2);
            assert_memory_equal(d.peer_ip, want.peer_ip, 16);
            assert_true(hf_cursor_is(d.operation, "transit.encrypt"));
            assert_true(hf_cursor_is(d.mount, "transit/"));
            assert_true(hf_cursor_is(d.outcome, i % 5 == 4 ? "DENIED" : "OK"));
            assert_int_equal(hf_audit_hash(f->audit, want.path, hash).code, HF_OK);
            assert_true(d.has_path);
            assert_memory_equal(d.path, hash, HF_ENTRY_PATH);
        }
        fixture_reopen(f);
    }
    struct hf_id id = sample_entry(23).request_id;
    uint64_t index = 0;
    assert_int_equal(hf_audit_find(f->audit, id, &index).code, HF_OK);
    assert_int_equal(index, 23);
    id.bytes[15] = 1;
    assert_int_equal(hf_audit_find(f->audit, id, &index).code, HF_NOT_FOUND);
    assert_int_equal(hf_audit_include(f->audit, 40, true, in).code, HF_NOT_FOUND);
    free(in);
}

/* Equal entries have leaves that differ in all but their time, and the store sees no text of theirs. */
static bool says_nothing(void *arg, const struct hf_audit_batch *batch)
{
    uint8_t(*commitments)[32] = arg;
    assert_null(memmem(batch->blob.at, batch->blob.left, "transit", 7));
    assert_null(memmem(batch->blob.at, batch->blob.left, "payments", 8));
    assert_null(memmem(batch->blob.at, batch->blob.left, "\x1d\x1d\x1d\x1d", 4));
    memcpy(commitments[batch->first], batch->blob.at + 45 + 9, 32);
    return true;
}

static void leaves_say_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t commitments[4][32] = {0};
    struct hf_audit_entry e = sample_entry(1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(hf_audit_write(f->audit, &e, NULL).code, HF_OK);
    assert_int_equal(
        f->store.inner->ops->audit_read(f->store.inner, f->config.log, 0, 10, says_nothing, commitments).code,
        HF_OK);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < i; j++)
            assert_memory_not_equal(commitments[i], commitments[j], 32);
    }
}

/* Large enough for several chunks of nodes and a second tile level; and again after the log was reopened twice. */
static void proofs_hold_in_a_large_log(void **state)
{
    struct fixture *f = *state;
    enum { ENTRIES = 70001 };
    write_entries(f, 0, 3000, 100);
    uint8_t old_bytes[8192], bytes[8192];
    struct hf_buf old_note = hf_buf(old_bytes, sizeof(old_bytes));
    struct hf_tlog_checkpoint old_cp = fresh_checkpoint(f, &old_note);
    assert_int_equal(old_cp.size, 3000);
    write_entries(f, 3000, ENTRIES - 3000, 500);
    struct hf_audit_inclusion *in = calloc(1, sizeof(*in));
    for (unsigned pass = 0; pass < 3; pass++) {
        struct hf_buf note = hf_buf(bytes, sizeof(bytes));
        struct hf_tlog_checkpoint cp = fresh_checkpoint(f, &note);
        assert_int_equal(cp.size, ENTRIES);
        static const uint64_t indices[] = {0,     1,     255,   256,   4095,  4096,  12345, 32768,
                                           65535, 65536, 69887, 69888, 70000, 69999, 2999,  3000};
        for (size_t i = 0; i < HF_ARRAY_LEN(indices); i++) {
            struct hf_entry_detail d;
            struct hf_tlog_hash leaf = hash_at(f, indices[i], &d, in);
            struct hf_audit_entry want = sample_entry((unsigned)indices[i]);
            assert_memory_equal(&d.request_id, &want.request_id, 16);
            assert_memory_equal(&in->root, &cp.root, 32);
            assert_int_equal(hf_tlog_check_inclusion(indices[i], cp.size, leaf, &in->proof, cp.root).code,
                             HF_OK);
        }
        struct hf_tlog_proof proof;
        assert_int_equal(hf_audit_prove_consistency(f->audit, old_cp.size, cp.size, &proof).code, HF_OK);
        assert_int_equal(hf_tlog_check_consistency(old_cp.size, cp.size, &proof, old_cp.root, cp.root).code,
                         HF_OK);
        fixture_reopen(f);
    }
    free(in);
}

static void proof_text_verifies_alone(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 300, 9);
    static uint8_t bytes[16384];
    struct hf_buf text = hf_buf(bytes, sizeof(bytes));
    assert_int_equal(hf_audit_prove(f->audit, 123, &text).code, HF_OK);
    struct hf_cursor extra, note;
    uint64_t index;
    struct hf_tlog_proof proof;
    struct hf_tlog_checkpoint cp;
    const struct hf_tlog_signer keys = fixture_signer(f);
    uint8_t leaf_bytes[64];
    struct hf_buf leaf = hf_buf(leaf_bytes, sizeof(leaf_bytes));
    assert_int_equal(hf_tlog_proof_open(hf_buf_cursor(&text), &extra, &index, &proof, &note).code, HF_OK);
    assert_int_equal(index, 123);
    assert_int_equal(hf_base64_decode(&leaf, extra).code, HF_OK);
    assert_int_equal(hf_tlog_checkpoint_open(note, &keys, &cp).code, HF_OK);
    assert_int_equal(
        hf_tlog_check_inclusion(index, cp.size, hf_tlog_leaf(hf_buf_cursor(&leaf)), &proof, cp.root).code,
        HF_OK);
}

static void verifier_keys_are_the_logs(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[4096], note_bytes[8192];
    struct hf_buf lines = hf_buf(bytes, sizeof(bytes)), note = hf_buf(note_bytes, sizeof(note_bytes));
    assert_int_equal(hf_audit_vkeys(f->audit, &lines).code, HF_OK);
    const uint8_t *end = memchr(bytes, '\n', lines.len);
    assert_non_null(end);
    struct hf_cursor first = hf_cursor(bytes, (size_t)(end - bytes)),
                     second = hf_cursor(end + 1, lines.len - first.left - 2), name;
    struct hf_pkey *classical = NULL, *lattice = NULL;
    assert_int_equal(hf_tlog_vkey_open(first, &name, &classical).code, HF_OK);
    assert_int_equal(hf_tlog_vkey_open(second, &name, &lattice).code, HF_OK);
    const struct hf_tlog_signer keys = {classical, lattice, name};
    struct hf_tlog_checkpoint cp;
    assert_int_equal(hf_audit_checkpoint(f->audit, true, &note).code, HF_OK);
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &keys, &cp).code, HF_OK);
    assert_int_equal(cp.size, 0);
    hf_pkey_free(classical);
    hf_pkey_free(lattice);
}

/* A reader that knows only C2SP tlog-tiles comes to the same root. */
static void tiles_give_the_root(void **state)
{
    struct fixture *f = *state;
    enum { ENTRIES = 1100 };
    write_entries(f, 0, ENTRIES, 50);
    uint8_t note_bytes[8192];
    static uint8_t bytes[256 * 64];
    struct hf_buf note = hf_buf(note_bytes, sizeof(note_bytes));
    struct hf_tlog_checkpoint cp = fresh_checkpoint(f, &note);
    struct hf_tlog_frontier leaves = {0}, bundled = {0};
    for (unsigned at = 0, tile = 0; at < ENTRIES; at += 256, tile++) {
        unsigned width = HF_MIN(256u, ENTRIES - at);
        uint8_t path_bytes[64];
        struct hf_buf path = hf_buf(path_bytes, 64), out = hf_buf(bytes, sizeof(bytes));
        assert_int_equal(hf_tlog_tile_path(&path, 0, tile, width).code, HF_OK);
        assert_int_equal(hf_audit_tile(f->audit, hf_buf_cursor(&path), &out).code, HF_OK);
        assert_int_equal(out.len, width * 32);
        for (unsigned i = 0; i < width; i++) {
            struct hf_tlog_hash hash;
            memcpy(&hash, bytes + (size_t)i * 32, 32);
            hf_tlog_append(&leaves, hash);
        }
        path = hf_buf(path_bytes, 64);
        out = hf_buf(bytes, sizeof(bytes));
        assert_int_equal(hf_tlog_tile_path(&path, -1, tile, width).code, HF_OK);
        assert_int_equal(hf_audit_tile(f->audit, hf_buf_cursor(&path), &out).code, HF_OK);
        struct hf_cursor in = hf_buf_cursor(&out), entry;
        while (hf_cursor_vec16(&in, &entry))
            hf_tlog_append(&bundled, hf_tlog_leaf(entry));
        assert_int_equal(in.left, 0);
        if (width == 256) { /* the level above has this tile's root */
            struct hf_tlog_frontier one = {0};
            struct hf_tlog_hash hash, root;
            out = hf_buf(bytes, sizeof(bytes));
            assert_int_equal(hf_audit_tile(f->audit, hf_cursor_text("tile/1/000.p/4"), &out).code, HF_OK);
            memcpy(&root, bytes + (size_t)tile * 32, 32);
            path = hf_buf(path_bytes, 64);
            out = hf_buf(bytes, sizeof(bytes));
            assert_int_equal(hf_tlog_tile_path(&path, 0, tile, width).code, HF_OK);
            assert_int_equal(hf_audit_tile(f->audit, hf_buf_cursor(&path), &out).code, HF_OK);
            for (unsigned i = 0; i < width; i++) {
                memcpy(&hash, bytes + (size_t)i * 32, 32);
                hf_tlog_append(&one, hash);
            }
            hash = hf_tlog_root(&one);
            assert_memory_equal(&hash, &root, 32);
        }
    }
    struct hf_tlog_hash got = hf_tlog_root(&leaves);
    assert_memory_equal(&got, &cp.root, 32);
    got = hf_tlog_root(&bundled);
    assert_memory_equal(&got, &cp.root, 32);
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    assert_int_equal(hf_audit_tile(f->audit, hf_cursor_text("tile/0/005"), &out).code, HF_NOT_FOUND);
    assert_int_equal(hf_audit_tile(f->audit, hf_cursor_text("tile/2/000.p/1"), &out).code, HF_NOT_FOUND);
    assert_int_equal(hf_audit_tile(f->audit, hf_cursor_text("tile/0/004.p/77"), &out).code, HF_NOT_FOUND);
}

static void export_verifies_offline(void **state)
{
    struct fixture *f = *state;
    write_entries(f, 0, 2500, 33);
    uint8_t note_bytes[8192];
    static uint8_t bytes[2 << 20];
    struct hf_buf note = hf_buf(note_bytes, sizeof(note_bytes)), out = hf_buf(bytes, sizeof(bytes));
    (void)fresh_checkpoint(f, &note);
    for (uint64_t at = 0; at < 2500;)
        assert_int_equal(hf_audit_export(f->audit, at, UINT64_MAX, 700, true, &out, &at).code, HF_OK);
    const struct hf_tlog_signer keys = fixture_signer(f);
    struct hf_export_verdict v;
    assert_int_equal(hf_export_verify(hf_buf_cursor(&out), hf_buf_cursor(&note), &keys, &v).code, HF_OK);
    assert_true(v.ok);
    assert_int_equal(v.entries, 2500);
    assert_int_equal(v.covered, 2500);
    assert_int_equal(v.opened, 2500);
    /* In sections so small that what is rewritten within one is placed; the same whatever the pages were. */
    struct hf_export_reader reader;
    bool more;
    hf_export_open(&reader, hf_buf_cursor(&out));
    while (HF_IS_OK(hf_export_section(&reader, &more)) && more) {
        assert_in_range(reader.entries_left, 1, HF_EXPORT_SECTION);
        assert_int_equal(reader.hashes_left, reader.entries_left);
        assert_int_equal(reader.before.size / HF_EXPORT_SECTION,
                         (reader.before.size + reader.entries_left - 1) / HF_EXPORT_SECTION);
    }
    /* From the middle, without details: still held against the whole log's root. */
    out = hf_buf(bytes, sizeof(bytes));
    for (uint64_t at = 1801; at < 2500;)
        assert_int_equal(hf_audit_export(f->audit, at, UINT64_MAX, 300, false, &out, &at).code, HF_OK);
    assert_int_equal(hf_export_verify(hf_buf_cursor(&out), hf_buf_cursor(&note), &keys, &v).code, HF_OK);
    assert_true(v.ok);
    assert_int_equal(v.first, 1801);
    assert_int_equal(v.opened, 0);
}

static void entries_are_shown_by_right(void **state)
{
    struct fixture *f = *state;
    struct hf_audit_entry e = sample_entry(0);
    e.note = hf_cursor_text("from 1 to 2");
    e.asset = hf_cursor_text("billing");
    assert_int_equal(hf_audit_write(f->audit, &e, NULL).code, HF_OK);
    write_entries(f, 1, 9, 2);
    uint8_t note_bytes[8192];
    static uint8_t bytes[65536];
    struct hf_buf note = hf_buf(note_bytes, sizeof(note_bytes));
    (void)fresh_checkpoint(f, &note);
    for (unsigned open = 0; open < 2; open++) {
        struct hf_buf out = hf_buf(bytes, sizeof(bytes));
        struct hf_tree_writer w = hf_tree_writer(&out);
        struct hf_tree tree, item;
        struct hf_cursor key;
        assert_int_equal(hf_audit_entries(f->audit, 0, 6, open, &w).code, HF_OK);
        assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code, HF_OK);
        assert_int_equal(tree.count, 6);
        struct hf_tree_iter iter = hf_tree_iterate(&tree);
        assert_true(hf_tree_next(&iter, &key, &item));
        assert_int_equal(hf_tree_get(&item, "index").number, 0);
        assert_int_equal(hf_tree_get(&item, "leaf").body.left, HF_ENTRY_LEAF);
        assert_int_equal(hf_tree_has(&item, "detail"), open);
        if (open) {
            struct hf_tree detail = hf_tree_get(&item, "detail");
            assert_true(hf_cursor_is(hf_tree_get(&detail, "operation").body, "transit.encrypt"));
            assert_true(hf_cursor_is(hf_tree_get(&detail, "note").body, "from 1 to 2"));
            assert_true(hf_cursor_is(hf_tree_get(&detail, "asset").body, "billing"));
            assert_true(hf_cursor_is(hf_tree_get(&detail, "remote_address").body, "192.0.2.7"));
            assert_true(hf_cursor_is(hf_tree_get(&detail, "tls").body, "hybrid"));
            assert_int_equal(hf_tree_get(&detail, "path").body.left, 12 + 32);
        }
    }
}

/* ---- many at once ---- */

enum { THREADS = 4, ROUNDS = 400 };
struct worker {
    struct fixture *f;
    unsigned number;
    unsigned wrote;
};

static void *work(void *arg)
{
    struct worker *me = arg;
    struct hf_audit_batch_writer *w = NULL;
    if (!HF_IS_OK(hf_audit_batch_new(me->f->audit, &w)))
        return NULL;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned each = i % 13 + 1;
        bool ok = true;
        for (unsigned k = 0; k < each; k++) {
            struct hf_audit_entry e = sample_entry(me->number << 20 | (me->wrote + k));
            ok = HF_IS_OK(hf_audit_batch_add(w, &e)) && ok;
        }
        if (HF_IS_OK(hf_audit_batch_flush(w)) && ok)
            me->wrote += each;
        if (i % 50 == 0) {
            struct hf_audit_entry e = sample_entry(me->number << 20 | me->wrote);
            me->wrote += HF_IS_OK(hf_audit_write(me->f->audit, &e, NULL)) ? 1 : 0;
        }
    }
    hf_audit_batch_free(w);
    return NULL;
}

static void *read_along(void *arg)
{
    struct worker *me = arg;
    struct hf_audit_inclusion *in = calloc(1, sizeof(*in));
    for (unsigned i = 0; i < 10000 && hf_audit_size(me->f->audit) == 0; i++)
        nap_ms(1); /* till the sequencer has come to the first one */
    for (unsigned i = 0; in != NULL && i < 20; i++) {
        uint64_t size = hf_audit_size(me->f->audit);
        if (size == 0 || !HF_IS_OK(hf_audit_include(me->f->audit, size / 2, true, in)))
            break;
        me->wrote++;
        struct hf_audit_stats stats;
        hf_audit_stats(me->f->audit, &stats);
        nap_ms(3);
    }
    free(in);
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct worker workers[THREADS + 1];
    pthread_t threads[THREADS + 1];
    write_entries(f, 0, 1, 1);
    for (unsigned i = 0; i <= THREADS; i++) {
        workers[i] = (struct worker){f, i + 1, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, i < THREADS ? work : read_along, &workers[i]), 0);
    }
    uint64_t wrote = 1;
    for (unsigned i = 0; i <= THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        wrote += workers[i].wrote;
    assert_int_equal(workers[THREADS].wrote, 20);
    uint8_t note_bytes[8192];
    struct hf_buf note = hf_buf(note_bytes, sizeof(note_bytes));
    struct hf_tlog_checkpoint cp = fresh_checkpoint(f, &note);
    assert_int_equal(cp.size, wrote);

    /* Every entry of every thread is there once, each thread's in its own order. */
    static uint8_t bytes[8 << 20];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    for (uint64_t at = 0; at < cp.size;)
        assert_int_equal(hf_audit_export(f->audit, at, UINT64_MAX, 8192, true, &out, &at).code, HF_OK);
    struct hf_export_reader reader;
    struct hf_export_entry entry;
    unsigned seen[THREADS + 1] = {0};
    bool more;
    hf_export_open(&reader, hf_buf_cursor(&out));
    while (HF_IS_OK(hf_export_section(&reader, &more)) && more) {
        while (hf_export_next(&reader, &entry)) {
            struct hf_entry_detail d;
            assert_int_equal(hf_entry_opening_read(entry.opening, &d).code, HF_OK);
            struct hf_cursor id = hf_cursor(d.request_id.bytes, 4);
            uint32_t n = 0;
            assert_true(hf_cursor_u32(&id, &n));
            n--;
            if (n >> 20 != 0)
                assert_int_equal(n & 0xfffff, seen[(n >> 20) - 1]++);
        }
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(seen[i], workers[i].wrote);
    const struct hf_tlog_signer keys = fixture_signer(f);
    struct hf_export_verdict v;
    assert_int_equal(hf_export_verify(hf_buf_cursor(&out), hf_buf_cursor(&note), &keys, &v).code, HF_OK);
    assert_true(v.ok);
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
        TEST(what_goes_in_comes_out),    TEST(leaves_say_nothing),         TEST(proofs_hold_in_a_large_log),
        TEST(proof_text_verifies_alone), TEST(verifier_keys_are_the_logs), TEST(tiles_give_the_root),
        TEST(export_verifies_offline),   TEST(entries_are_shown_by_right), TEST(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, start_crypto, NULL);
}
