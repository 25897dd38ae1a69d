/* What a verifier says of an export that someone has changed: each entry altered, removed, put in, swapped is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "tlog/export.h"

#define ORIGIN "holdfast.example/audit/1"
enum { ENTRIES = 300, SECTION = 100 };

/* An export as its parts, so that a test can change them as an attacker would. */
struct entry {
    uint64_t index;
    uint8_t leaf[HF_ENTRY_LEAF];
    uint8_t opening[256];
    size_t opening_len;
};
struct parts {
    unsigned count;
    struct entry entries[ENTRIES + 8];
    unsigned hash_count;
    struct hf_tlog_hash hashes[ENTRIES + 8];
};
static struct hf_pkey *ed25519, *mldsa44;
static struct parts good;
static uint8_t note_bytes[8192], export_bytes[1 << 20];
static struct hf_buf note;

static struct hf_tlog_signer keys(void)
{
    return (struct hf_tlog_signer){ed25519, mldsa44, hf_cursor_text(ORIGIN)};
}

static void make_entry(struct entry *e, uint64_t index)
{
    uint8_t salt[HF_ENTRY_SALT] = {7, (uint8_t)index, (uint8_t)(index >> 8)};
    struct hf_buf opening = hf_buf(e->opening, sizeof(e->opening));
    const struct hf_entry_detail detail = {.operation = hf_cursor_text("transit.encrypt"),
                                           .mount = hf_cursor_text("transit/"),
                                           .outcome = hf_cursor_text("OK"),
                                           .items = (uint32_t)index};
    struct hf_entry_leaf leaf = {.kind = HF_ENTRY_AUDIT, .time_ms = 1700000000000 + index};
    hf_entry_opening_write(&opening, salt, &detail);
    assert_false(opening.overflow);
    assert_int_equal(hf_sha256(hf_buf_cursor(&opening), leaf.commitment.bytes).code, HF_OK);
    hf_entry_leaf_write(e->leaf, &leaf);
    e->index = index;
    e->opening_len = opening.len;
}

static struct hf_tlog_hash hash_of(const struct entry *e)
{
    return hf_tlog_leaf(hf_cursor(e->leaf, HF_ENTRY_LEAF));
}

static int make_log(void **state)
{
    (void)state;
    struct hf_tlog_frontier f = {0};
    assert_int_equal(hf_crypto_start(HF_CRYPTO_HEAP_WIPE).code, HF_OK);
    assert_int_equal(hf_pkey_generate(HF_ALG_ED25519, &ed25519).code, HF_OK);
    assert_int_equal(hf_pkey_generate(HF_ALG_ML_DSA_44, &mldsa44).code, HF_OK);
    for (unsigned i = 0; i < ENTRIES; i++) {
        make_entry(&good.entries[i], i);
        good.hashes[i] = hash_of(&good.entries[i]);
        hf_tlog_append(&f, good.hashes[i]);
    }
    good.count = good.hash_count = ENTRIES;
    const struct hf_tlog_signer signer = keys();
    const struct hf_tlog_checkpoint cp = {hf_cursor_text(ORIGIN), ENTRIES, hf_tlog_root(&f)};
    note = hf_buf(note_bytes, sizeof(note_bytes));
    return HF_IS_OK(hf_tlog_checkpoint_sign(&note, &cp, &signer, 0)) ? 0 : -1;
}

static int free_log(void **state)
{
    (void)state;
    hf_pkey_free(ed25519);
    hf_pkey_free(mldsa44);
    return 0;
}

/* Writes sections of SECTION places; the frontiers before them follow the recorded hashes, as a forger would have
 * it, or stay those of the good log. */
static struct hf_cursor write_export(const struct parts *p, unsigned first, bool forged_frontiers)
{
    struct hf_buf out = hf_buf(export_bytes, sizeof(export_bytes));
    struct hf_tlog_frontier f = {0};
    unsigned most = HF_MAX(p->count, p->hash_count);
    for (unsigned i = 0; i < first; i++)
        hf_tlog_append(&f, good.hashes[i]);
    for (unsigned begin = first, end; begin < most; begin = end) {
        struct hf_export_writer w;
        end = begin >= 2 * SECTION ? most : begin + SECTION; /* the third takes what was put in, too */
        hf_export_begin(&w, &out, hf_cursor_text(ORIGIN), &f);
        for (unsigned i = begin; i < end && i < p->count; i++)
            hf_export_entry(&w, p->entries[i].index, p->entries[i].leaf,
                            hf_cursor(p->entries[i].opening, p->entries[i].opening_len));
        unsigned hashes = end < p->hash_count ? end : p->hash_count;
        hf_export_end(&w, p->hashes + begin, hashes > begin ? hashes - begin : 0);
        for (unsigned i = begin; i < end; i++)
            hf_tlog_append(&f, forged_frontiers ? p->hashes[i] : good.hashes[i]);
    }
    assert_false(out.overflow);
    return hf_buf_cursor(&out);
}

static struct hf_export_verdict verdict_of(struct hf_cursor bytes)
{
    struct hf_export_verdict v;
    const struct hf_tlog_signer signer = keys();
    assert_int_equal(hf_export_verify(bytes, hf_buf_cursor(&note), &signer, &v).code, HF_OK);
    return v;
}

static void expect(const struct parts *p, bool forged, enum hf_finding what, uint64_t index, uint64_t count,
                   const char *text)
{
    struct hf_export_verdict v = verdict_of(write_export(p, 0, forged));
    assert_false(v.ok);
    assert_int_equal(v.count, 1);
    assert_int_equal(v.findings[0].what, what);
    assert_int_equal(v.findings[0].index, index);
    assert_int_equal(v.findings[0].count, count);
    uint8_t bytes[256];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    hf_export_finding_text(&out, &v.findings[0]);
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(bytes, text, out.len);
}

static struct parts *copy(void)
{
    static struct parts p;
    p = good;
    return &p;
}

static void remove_entry(struct parts *p, unsigned at)
{
    p->count--;
    memmove(&p->entries[at], &p->entries[at + 1], (p->count - at) * sizeof(p->entries[0]));
}

static void insert_entry(struct parts *p, unsigned at)
{
    memmove(&p->entries[at + 1], &p->entries[at], (p->count - at) * sizeof(p->entries[0]));
    make_entry(&p->entries[at], 77777);
    p->count++;
}

static void renumber(struct parts *p)
{
    for (unsigned i = 0; i < p->count; i++)
        p->entries[i].index = i;
}

static void an_untouched_log_holds(void **state)
{
    (void)state;
    static const unsigned firsts[] = {0, 1, 99, 100, 256, 299};
    for (size_t i = 0; i < HF_ARRAY_LEN(firsts); i++) {
        struct hf_export_verdict v = verdict_of(write_export(&good, firsts[i], false));
        assert_true(v.ok);
        assert_int_equal(v.first, firsts[i]);
        assert_int_equal(v.covered, ENTRIES - firsts[i]);
        assert_int_equal(v.opened, ENTRIES - firsts[i]);
        assert_int_equal(v.count, 0);
    }
}

static void an_altered_entry_is_named(void **state)
{
    (void)state;
    static const unsigned at[] = {0, 17, 99, 100, 299};
    for (size_t i = 0; i < HF_ARRAY_LEN(at); i++) {
        struct parts *p = copy();
        char text[64];
        (void)snprintf(text, sizeof(text), "entry %u was altered", at[i]);
        p->entries[at[i]].leaf[20] ^= 1; /* the commitment */
        expect(p, false, HF_FOUND_ALTERED, at[i], 1, text);
        p->entries[at[i]] = good.entries[at[i]];
        p->entries[at[i]].leaf[8] ^= 1; /* the time */
        expect(p, false, HF_FOUND_ALTERED, at[i], 1, text);
        p->entries[at[i]].leaf[0] = HF_ENTRY_VOID; /* as if it had never been */
        expect(p, false, HF_FOUND_ALTERED, at[i], 1, text);
    }
}

static void an_altered_detail_is_named(void **state)
{
    (void)state;
    struct parts *p = copy();
    p->entries[40].opening[30] ^= 1;
    expect(p, false, HF_FOUND_DETAIL, 40, 1, "entry 40 was logged, but the detail shown with it was altered");
    /* A detail of another entry, whole and well-formed. */
    p = copy();
    memcpy(p->entries[41].opening, good.entries[42].opening, sizeof(p->entries[41].opening));
    expect(p, false, HF_FOUND_DETAIL, 41, 1, "entry 41 was logged, but the detail shown with it was altered");
}

static void a_removed_entry_is_named(void **state)
{
    (void)state;
    static const unsigned at[] = {200, 250, 298};
    for (size_t i = 0; i < HF_ARRAY_LEN(at); i++) {
        struct parts *p = copy();
        char text[64];
        (void)snprintf(text, sizeof(text), "entry %u was removed", at[i]);
        remove_entry(p, at[i]);
        expect(p, false, HF_FOUND_REMOVED, at[i], 1, text);
        renumber(p); /* and the numbers mended */
        expect(p, false, HF_FOUND_REMOVED, at[i], 1, text);
    }
    struct parts *p = copy();
    for (unsigned i = 0; i < 5; i++)
        remove_entry(p, 220);
    expect(p, false, HF_FOUND_REMOVED, 220, 5, "entries 220 to 224 were removed");
    /* The end of the log: nothing there says which of the section's entries are these. */
    p = copy();
    p->count = p->hash_count = 290;
    expect(
        p, false, HF_FOUND_SOMEWHERE, 200, 100,
        "one or more entries from 200 were altered, removed or put in, up to entry 299; or earlier ones, if the "
        "frontiers were rewritten too");
}

/* As whoever wants to mislead would: the entry with its recorded hash is taken out or put in, all others numbered anew. */
static struct hf_cursor write_renumbered(unsigned at, bool removed)
{
    struct hf_buf out = hf_buf(export_bytes, sizeof(export_bytes));
    struct hf_tlog_frontier f = {0};
    struct entry added;
    uint64_t number = 0;
    make_entry(&added, 4711);
    for (unsigned begin = 0; begin < ENTRIES; begin += SECTION) {
        struct hf_export_writer w;
        struct hf_tlog_hash hashes[SECTION + 1];
        unsigned count = 0;
        hf_export_begin(&w, &out, hf_cursor_text(ORIGIN), &f);
        for (unsigned i = begin; i < begin + SECTION; i++) {
            const struct entry *e = &good.entries[i];
            hf_tlog_append(&f, good.hashes[i]);
            if (i == at && !removed) {
                hf_export_entry(&w, number++, added.leaf, hf_cursor(added.opening, added.opening_len));
                hashes[count++] = hash_of(&added);
            }
            if (i == at && removed)
                continue;
            hf_export_entry(&w, number++, e->leaf, hf_cursor(e->opening, e->opening_len));
            hashes[count++] = good.hashes[i];
        }
        hf_export_end(&w, hashes, count);
    }
    assert_false(out.overflow);
    return hf_buf_cursor(&out);
}

static void what_cannot_be_known_is_not_named(void **state)
{
    (void)state;
    static const unsigned at[] = {0, 17, 99, 100, 150, 199, 200, 230, 299};
    for (size_t i = 0; i < 2 * HF_ARRAY_LEN(at); i++) {
        unsigned place = at[i / 2];
        struct hf_export_verdict v = verdict_of(write_renumbered(place, i % 2 != 0));
        assert_false(v.ok);
        assert_in_range(v.count, 1, 2);
        assert_int_equal(v.findings[0].what, HF_FOUND_SOMEWHERE);
        assert_int_equal(v.findings[0].index, place / SECTION * SECTION);
        assert_in_range(v.findings[0].count, SECTION,
                        SECTION + 1); /* at the end, what was put in is a place more */
        if (v.count == 2) {           /* those after it are as they were, and wrongly numbered */
            assert_int_equal(v.findings[1].what, HF_FOUND_NUMBER);
            assert_int_equal(v.findings[1].index, place / SECTION * SECTION + SECTION);
            assert_int_equal(v.findings[1].index + v.findings[1].count, ENTRIES);
        }
        assert_int_equal(v.count, 1 + (place < ENTRIES - SECTION));
    }
}

/* One hash kept for another: the list is as long as it was, and does not lead to the checkpoint. */
static void hashes_that_lead_nowhere_name_nothing(void **state)
{
    (void)state;
    struct parts *p = copy();
    remove_entry(p, 150);
    memmove(&p->hashes[150], &p->hashes[151], 20 * sizeof(p->hashes[0]));
    memset(&p->hashes[170], 7, sizeof(p->hashes[0]));
    p->entries[p->count++] = good.entries[ENTRIES - 1]; /* so that sections stay as long */
    memmove(&p->entries[171], &p->entries[170], (ENTRIES - 171) * sizeof(p->entries[0]));
    make_entry(&p->entries[170], 170);
    p->entries[170].leaf[20] ^= 1;
    struct hf_export_verdict v = verdict_of(write_export(p, 0, false));
    assert_false(v.ok);
    assert_int_equal(v.findings[0].what, HF_FOUND_SOMEWHERE);
    assert_int_equal(v.findings[0].index, 100);
    assert_int_equal(v.findings[0].count, 100);
    for (uint32_t i = 0; i < v.count; i++)
        assert_int_not_equal(v.findings[i].what, HF_FOUND_REMOVED);
}

static void an_added_entry_is_named(void **state)
{
    (void)state;
    static const unsigned at[] = {200, 233, 299};
    for (size_t i = 0; i < HF_ARRAY_LEN(at); i++) {
        struct parts *p = copy();
        char text[80];
        (void)snprintf(text, sizeof(text), "before entry %u something was put in that was never logged",
                       at[i]);
        insert_entry(p, at[i]);
        renumber(p);
        expect(p, false, HF_FOUND_ADDED, at[i], 1, text);
    }
}

static void swapped_entries_are_named(void **state)
{
    (void)state;
    struct parts *p = copy();
    struct entry e = p->entries[120];
    p->entries[120] = p->entries[125];
    p->entries[125] = e;
    expect(p, false, HF_FOUND_SWAPPED, 120, 5, "entry 120 changed places with entry 125");
    renumber(p);
    expect(p, false, HF_FOUND_SWAPPED, 120, 5, "entry 120 changed places with entry 125");
}

static void what_is_beside_the_entries_is_named_too(void **state)
{
    (void)state;
    struct parts *p = copy();
    p->hashes[60].bytes[3] ^= 1;
    expect(p, false, HF_FOUND_HASH, 60, 1, "entry 60 holds, but the hash recorded for it was altered");
    p = copy();
    p->entries[61].index = 9;
    expect(p, false, HF_FOUND_NUMBER, 61, 1, "entry 61 holds, but bears another number");
}

/* Entry, recorded hash and all frontiers after it made anew: only the checkpoint tells, and not where. */
static void a_careful_forger_is_found_if_not_placed(void **state)
{
    (void)state;
    struct parts *p = copy();
    make_entry(&p->entries[17], 4711);
    p->entries[17].index = 17;
    p->hashes[17] = hash_of(&p->entries[17]);
    struct hf_export_verdict v = verdict_of(write_export(p, 0, true));
    assert_false(v.ok);
    assert_true(v.count >= 1);
    /* Not the later frontiers: then the section is known. */
    expect(p, false, HF_FOUND_SOMEWHERE, 0, 100,
           "one or more entries from 0 were altered, removed or put in, up to entry 99");
}

static void a_missing_section_is_placed(void **state)
{
    (void)state;
    struct hf_cursor all = write_export(&good, 0, false);
    struct hf_export_reader reader;
    size_t at[4] = {0};
    bool more = true;
    hf_export_open(&reader, all);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(hf_export_section(&reader, &more).code, HF_OK);
        at[i + 1] = (size_t)(reader.rest.at - all.at);
    }
    memmove(export_bytes + at[1], export_bytes + at[2], all.left - at[2]);
    struct hf_export_verdict v = verdict_of(hf_cursor(export_bytes, all.left - (at[2] - at[1])));
    assert_false(v.ok);
    assert_int_equal(v.findings[0].what, HF_FOUND_SOMEWHERE); /* its neighbour may be either of them */
    assert_int_equal(v.findings[0].index, 0);
    assert_int_equal(v.findings[0].count, 200);
    v = verdict_of(hf_cursor(export_bytes, 0));
    assert_false(v.ok);
    assert_int_equal(v.findings[0].what, HF_FOUND_REMOVED);
    assert_int_equal(v.findings[0].count, ENTRIES);
}

/* No single changed byte of an export passes. */
static void every_changed_byte_is_found(void **state)
{
    (void)state;
    struct hf_cursor all = write_export(&good, 0, false);
    const struct hf_tlog_signer signer = keys();
    for (size_t i = 0; i < all.left; i += i % 1000 < 200 ? 1 : 97) {
        struct hf_export_verdict v = {0};
        export_bytes[i] ^= 1;
        hf_result result = hf_export_verify(all, hf_buf_cursor(&note), &signer, &v);
        assert_false(HF_IS_OK(result) && v.ok);
        export_bytes[i] ^= 1;
    }
    assert_true(verdict_of(all).ok);
}

static void what_comes_after_the_checkpoint_is_not_covered(void **state)
{
    (void)state;
    struct parts *p = copy();
    for (unsigned i = ENTRIES; i < ENTRIES + 5; i++) {
        make_entry(&p->entries[i], i);
        p->hashes[i] = hash_of(&p->entries[i]);
    }
    p->count = p->hash_count = ENTRIES + 5;
    struct hf_export_verdict v = verdict_of(write_export(p, 0, true));
    assert_true(v.ok);
    assert_int_equal(v.entries, ENTRIES + 5);
    assert_int_equal(v.covered, ENTRIES);
}

static void another_logs_export_is_refused(void **state)
{
    (void)state;
    struct hf_cursor all = write_export(&good, 0, false);
    const struct hf_tlog_signer signer = keys();
    struct hf_export_verdict v;
    export_bytes[8 + 2 + 3] ^= 1; /* of the origin */
    assert_int_equal(hf_export_verify(all, hf_buf_cursor(&note), &signer, &v).code, HF_BAD_ARGUMENT);
    export_bytes[8 + 2 + 3] ^= 1;
    note_bytes[100] ^= 1;
    assert_int_equal(hf_export_verify(all, hf_buf_cursor(&note), &signer, &v).code, HF_BAD_SIGNATURE);
    note_bytes[100] ^= 1;
    assert_int_equal(
        hf_export_verify(hf_cursor(all.at, all.left - 1), hf_buf_cursor(&note), &signer, &v).code,
        HF_TRUNCATED);
}

/* From any part of the log that reaches its end, and none from one that was changed. */
static void proofs_are_made_offline(void **state)
{
    (void)state;
    static const unsigned firsts[] = {0, 1, 37, 128, 255, 256, 299};
    static uint8_t text_bytes[16384];
    const struct hf_tlog_signer signer = keys();
    for (size_t i = 0; i < HF_ARRAY_LEN(firsts); i++) {
        struct hf_cursor all = write_export(&good, firsts[i], false);
        for (uint64_t index = firsts[i]; index < ENTRIES; index += 1 + index % 7) {
            struct hf_buf text = hf_buf(text_bytes, sizeof(text_bytes));
            struct hf_cursor extra, at;
            struct hf_tlog_proof proof;
            struct hf_tlog_checkpoint cp;
            uint64_t which;
            assert_int_equal(hf_export_prove(all, hf_buf_cursor(&note), &signer, index, &text).code, HF_OK);
            assert_int_equal(hf_tlog_proof_open(hf_buf_cursor(&text), &extra, &which, &proof, &at).code,
                             HF_OK);
            assert_int_equal(which, index);
            assert_int_equal(hf_tlog_checkpoint_open(at, &signer, &cp).code, HF_OK);
            assert_int_equal(
                hf_tlog_check_inclusion(index, cp.size, good.hashes[index], &proof, cp.root).code, HF_OK);
        }
        struct hf_buf text = hf_buf(text_bytes, sizeof(text_bytes));
        assert_int_equal(hf_export_prove(all, hf_buf_cursor(&note), &signer, ENTRIES, &text).code,
                         HF_NOT_FOUND);
        if (firsts[i] != 0)
            assert_int_equal(hf_export_prove(all, hf_buf_cursor(&note), &signer, firsts[i] - 1, &text).code,
                             HF_NOT_FOUND);
    }
    struct parts *p = copy();
    struct hf_buf text = hf_buf(text_bytes, sizeof(text_bytes));
    p->entries[50].leaf[20] ^= 1;
    struct hf_cursor changed = write_export(p, 0, false);
    assert_int_equal(hf_export_prove(changed, hf_buf_cursor(&note), &signer, 50, &text).code,
                     HF_BAD_SIGNATURE);
    assert_int_equal(hf_export_prove(changed, hf_buf_cursor(&note), &signer, 51, &text).code,
                     HF_BAD_SIGNATURE);
}

/* ---- entries themselves ---- */

static void details_come_back(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {0, 1, 127, 128, 16383, 16384, 1u << 28, UINT32_MAX};
    char longest[300];
    memset(longest, 'x', sizeof(longest));
    for (size_t i = 0; i < HF_ARRAY_LEN(numbers); i++) {
        uint8_t bytes[HF_ENTRY_OPENING_MAX], salt[HF_ENTRY_SALT] = {1};
        struct hf_buf out = hf_buf(bytes, sizeof(bytes));
        struct hf_entry_detail in = {.request_id = {{5}},
                                     .accessor = {{i % 2}},
                                     .key_id = {{i / 2 % 2 == 0}},
                                     .key_version = i / 2 % 2 == 0 ? numbers[i] : 0,
                                     .items = numbers[i],
                                     .has_path = i % 3 == 0,
                                     .tls_group = 1,
                                     .level_dev = i % 2,
                                     .operation = hf_cursor_text("kv.read"),
                                     .mount = hf_cursor_text("kv/"),
                                     .outcome = hf_cursor_text(i % 2 ? "OK" : "DENIED"),
                                     .asset = hf_cursor(longest, sizeof(longest)),
                                     .note = hf_cursor_text("n")},
                               back;
        if (i % 4 == 1)
            in.peer_ip[0] = 0x20;
        hf_entry_opening_write(&out, salt, &in);
        assert_int_equal(hf_buf_ok(&out).code, HF_OK);
        assert_int_equal(hf_entry_opening_read(hf_buf_cursor(&out), &back).code, HF_OK);
        assert_int_equal(back.items, in.items);
        assert_int_equal(back.key_version, in.key_version);
        assert_memory_equal(back.peer_ip, in.peer_ip, 16);
        assert_true(hf_cursor_same(back.outcome, in.outcome));
        assert_int_equal(back.asset.left, HF_ENTRY_FACT_MAX); /* cut */
        assert_int_equal(back.level_dev, in.level_dev);
        for (size_t cut = 0; cut < out.len; cut++)
            assert_int_equal(hf_entry_opening_read(hf_cursor(bytes, cut), &back).code, HF_BAD_SIGNATURE);
        hf_buf_u8(&out, 0);
        assert_int_equal(hf_entry_opening_read(hf_buf_cursor(&out), &back).code, HF_BAD_SIGNATURE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_untouched_log_holds),
        cmocka_unit_test(an_altered_entry_is_named),
        cmocka_unit_test(an_altered_detail_is_named),
        cmocka_unit_test(a_removed_entry_is_named),
        cmocka_unit_test(an_added_entry_is_named),
        cmocka_unit_test(swapped_entries_are_named),
        cmocka_unit_test(what_is_beside_the_entries_is_named_too),
        cmocka_unit_test(a_careful_forger_is_found_if_not_placed),
        cmocka_unit_test(a_missing_section_is_placed),
        cmocka_unit_test(what_cannot_be_known_is_not_named),
        cmocka_unit_test(hashes_that_lead_nowhere_name_nothing),
        cmocka_unit_test(every_changed_byte_is_found),
        cmocka_unit_test(what_comes_after_the_checkpoint_is_not_covered),
        cmocka_unit_test(another_logs_export_is_refused),
        cmocka_unit_test(proofs_are_made_offline),
        cmocka_unit_test(details_come_back),
    };
    return cmocka_run_group_tests(tests, make_log, free_log);
}
