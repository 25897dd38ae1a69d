/* Merkle trees: every proof of every small tree, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "tlog/tlog.h"

enum { LEAVES = 130 };
static struct hf_tlog_hash leaves[LEAVES];

static struct hf_tlog_hash hash_of(const char *base64)
{
    struct hf_tlog_hash hash = {0};
    struct hf_buf out = hf_buf(hash.bytes, sizeof(hash.bytes));
    assert_int_equal(hf_base64_decode(&out, hf_cursor_text(base64)).code, HF_OK);
    return hash;
}

/* MTH by its recursive definition, RFC 9162 2.1.1: what the frontier is held against. */
static struct hf_tlog_hash tree_hash(uint64_t begin, uint64_t end)
{
    if (end - begin == 1)
        return leaves[begin];
    uint64_t split = 1;
    while (split * 2 < end - begin)
        split *= 2;
    return hf_tlog_node(tree_hash(begin, begin + split), tree_hash(begin + split, end));
}

static hf_result node_of(void *arg, unsigned height, uint64_t index, struct hf_tlog_hash *ret)
{
    uint64_t begin = index << height, end = begin + (UINT64_C(1) << height);
    assert_true(end <= *(uint64_t *)arg); /* only complete subtrees are asked for */
    *ret = tree_hash(begin, end);
    return HF_DONE;
}

static int make_leaves(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LEAVES; i++) {
        char text[16];
        int len = snprintf(text, sizeof(text), "leaf %u", i);
        leaves[i] = hf_tlog_leaf(hf_cursor(text, (size_t)len));
    }
    return 0;
}

/* The empty tree and the empty leaf of RFC 6962; the tree of eight of certificate-transparency's reference. */
static void known_roots(void **state)
{
    /* @proves RFC9162:2.1.1 */
    (void)state;
    struct hf_tlog_frontier f = {0};
    struct hf_tlog_hash root = hf_tlog_root(&f),
                        want = hash_of("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    assert_memory_equal(&root, &want, sizeof(root));
    static const struct hf_cursor inputs[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"\x00", 1},
        {(const uint8_t *)"\x10", 1},
        {(const uint8_t *)"\x20\x21", 2},
        {(const uint8_t *)"\x30\x31", 2},
        {(const uint8_t *)"\x40\x41\x42\x43", 4},
        {(const uint8_t *)"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
        {(const uint8_t *)"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(inputs); i++)
        hf_tlog_append(&f, hf_tlog_leaf(inputs[i]));
    root = hf_tlog_root(&f);
    want = hash_of("XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=");
    assert_memory_equal(&root, &want, sizeof(root));
}

static void long_leaves_hash_as_short_ones(void **state)
{
    (void)state;
    uint8_t bytes[1001] = {0};
    for (size_t len = 200; len <= 1000; len += 7) {
        struct hf_tlog_hash got = hf_tlog_leaf(hf_cursor(bytes + 1, len)), want;
        assert_int_equal(hf_sha256(hf_cursor(bytes, len + 1), want.bytes).code, HF_OK);
        assert_memory_equal(&got, &want, sizeof(got));
        bytes[len] = (uint8_t)len;
    }
}

static void frontier_has_the_tree_hash(void **state)
{
    (void)state;
    struct hf_tlog_frontier f = {0};
    for (uint64_t n = 1; n <= LEAVES; n++) {
        hf_tlog_append(&f, leaves[n - 1]);
        struct hf_tlog_hash got = hf_tlog_root(&f), want = tree_hash(0, n);
        assert_memory_equal(&got, &want, sizeof(got));
        uint8_t bytes[8 + 64 * HF_TLOG_HASH];
        struct hf_buf out = hf_buf(bytes, sizeof(bytes));
        struct hf_tlog_frontier again;
        hf_tlog_frontier_write(&out, &f);
        struct hf_cursor in = hf_buf_cursor(&out), cut = hf_cursor(bytes, out.len - 1);
        assert_int_equal(hf_tlog_frontier_read(&in, &again).code, HF_OK);
        assert_int_equal(in.left, 0);
        got = hf_tlog_root(&again);
        assert_memory_equal(&got, &want, sizeof(got));
        assert_int_equal(hf_tlog_frontier_read(&cut, &again).code, HF_TRUNCATED);
    }
}

static void every_inclusion_proof_holds_and_no_other(void **state)
{
    /* @proves RFC9162:2.1.3.2 */
    (void)state;
    for (uint64_t n = 1; n <= LEAVES; n++) {
        struct hf_tlog_hash root = tree_hash(0, n);
        for (uint64_t i = 0; i < n; i++) {
            struct hf_tlog_proof proof;
            assert_int_equal(hf_tlog_prove_inclusion(node_of, &n, i, n, &proof).code, HF_OK);
            assert_int_equal(hf_tlog_check_inclusion(i, n, leaves[i], &proof, root).code, HF_OK);
            assert_int_equal(hf_tlog_check_inclusion(i, n, leaves[(i + 1) % LEAVES], &proof, root).code,
                             HF_BAD_SIGNATURE);
            if (n > 1) {
                assert_int_equal(hf_tlog_check_inclusion(i ^ 1, n, leaves[i], &proof, root).code,
                                 HF_BAD_SIGNATURE);
                proof.path[n % proof.count].bytes[i % HF_TLOG_HASH] ^= 1;
                assert_int_equal(hf_tlog_check_inclusion(i, n, leaves[i], &proof, root).code,
                                 HF_BAD_SIGNATURE);
                proof.path[n % proof.count].bytes[i % HF_TLOG_HASH] ^= 1;
                proof.count--;
                assert_int_equal(hf_tlog_check_inclusion(i, n, leaves[i], &proof, root).code,
                                 HF_BAD_SIGNATURE);
            }
        }
        struct hf_tlog_proof none;
        assert_int_equal(hf_tlog_prove_inclusion(node_of, &n, n, n, &none).code, HF_BAD_ARGUMENT);
    }
}

static void every_consistency_proof_holds_and_no_other(void **state)
{
    /* @proves RFC9162:2.1.4.2 */
    (void)state;
    for (uint64_t n = 1; n <= LEAVES; n++) {
        struct hf_tlog_hash root = tree_hash(0, n);
        for (uint64_t m = 1; m <= n; m++) {
            struct hf_tlog_proof proof;
            struct hf_tlog_hash old_root = tree_hash(0, m), other = old_root;
            assert_int_equal(hf_tlog_prove_consistency(node_of, &n, m, n, &proof).code, HF_OK);
            assert_int_equal(hf_tlog_check_consistency(m, n, &proof, old_root, root).code, HF_OK);
            other.bytes[0] ^= 1;
            assert_int_equal(hf_tlog_check_consistency(m, n, &proof, other, root).code, HF_BAD_SIGNATURE);
            if (proof.count > 0) {
                proof.path[m % proof.count].bytes[0] ^= 1;
                assert_int_equal(hf_tlog_check_consistency(m, n, &proof, old_root, root).code,
                                 HF_BAD_SIGNATURE);
            }
        }
    }
}

static void tile_paths(void **state)
{
    /* @proves C2SP:tlog-tiles */
    (void)state;
    static const struct {
        int level;
        uint64_t index;
        unsigned width;
        const char *path;
    } cases[] = {
        {0, 0, 256, "tile/0/000"},
        {0, 1234067, 256, "tile/0/x001/x234/067"},
        {1, 999, 12, "tile/1/999.p/12"},
        {2, 1000, 1, "tile/2/x001/000.p/1"},
        {-1, 5, 255, "tile/entries/005.p/255"},
        {63, UINT64_C(999999999), 256, "tile/63/x999/x999/999"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        uint8_t bytes[128];
        struct hf_buf out = hf_buf(bytes, sizeof(bytes));
        int level;
        uint64_t index;
        unsigned width;
        assert_int_equal(hf_tlog_tile_path(&out, cases[i].level, cases[i].index, cases[i].width).code, HF_OK);
        assert_int_equal(out.len, strlen(cases[i].path));
        assert_memory_equal(bytes, cases[i].path, out.len);
        assert_int_equal(hf_tlog_tile_parse(hf_buf_cursor(&out), &level, &index, &width).code, HF_OK);
        assert_int_equal(level, cases[i].level);
        assert_int_equal(index, cases[i].index);
        assert_int_equal(width, cases[i].width);
    }
    static const char *const bad[] = {
        "tile/0/0",        "tile/00/000",
        "tile/64/000",     "tile/0/x000/001",
        "tile/0/000.p/0",  "tile/0/000.p/256",
        "tile/0/000.p/01", "tile/0/000/001",
        "tile/0/x001",     "tile/0/000 ",
        "tile//000",       "tile/0/",
        "tiles/0/000",     "",
        "tile/entries",    "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        int level;
        uint64_t index;
        unsigned width;
        assert_int_equal(hf_tlog_tile_parse(hf_cursor_text(bad[i]), &level, &index, &width).code,
                         HF_NOT_FOUND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_roots),
        cmocka_unit_test(long_leaves_hash_as_short_ones),
        cmocka_unit_test(frontier_has_the_tree_hash),
        cmocka_unit_test(every_inclusion_proof_holds_and_no_other),
        cmocka_unit_test(every_consistency_proof_holds_and_no_other),
        cmocka_unit_test(tile_paths),
    };
    return cmocka_run_group_tests(tests, make_leaves, NULL);
}
