/* transparency-dev/merkle's published proofs: 98 of inclusion, 98 of consistency, most to be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "tlog/tlog.h"
#include "wire/json.h"

static bool read_proof(const struct hf_tree *vector, struct hf_tlog_proof *proof)
{
    struct hf_tree list = hf_tree_get(vector, "proof"), item;
    struct hf_tree_iter iter = hf_tree_iterate(&list);
    struct hf_cursor key;
    proof->count = 0;
    while (list.tag == HF_TREE_ARRAY && hf_tree_next(&iter, &key, &item)) {
        if (proof->count == HF_TLOG_PROOF_MAX)
            return false;
        struct hf_buf out = hf_buf(proof->path[proof->count++].bytes, HF_TLOG_HASH);
        if (!HF_IS_OK(hf_base64_decode(&out, item.body)) || out.len != HF_TLOG_HASH)
            return false;
    }
    return true;
}

static bool read_hash(const struct hf_tree *vector, const char *name, struct hf_tlog_hash *ret)
{
    struct hf_tree item = hf_tree_get(vector, name);
    struct hf_buf out = hf_buf(ret->bytes, HF_TLOG_HASH);
    *ret = (struct hf_tlog_hash){0}; /* some roots are only a few letters: padded, they are as good */
    return HF_IS_OK(hf_base64_decode(&out, item.body)) && out.len != 0;
}

/* Sizes of the vectors go up to 2^64 - 1, which no tree number holds. */
static bool read_size(const char *line, const char *name, uint64_t *ret)
{
    const char *at = strstr(line, name);
    if (at == NULL)
        return false;
    *ret = strtoull(at + strlen(name), NULL, 10);
    return true;
}

static bool inclusion_holds(const char *line, const struct hf_tree *v)
{
    uint64_t index, size;
    struct hf_tlog_hash leaf, root;
    struct hf_tlog_proof proof;
    return read_size(line, "\"leafIdx\": ", &index) && read_size(line, "\"treeSize\": ", &size) &&
           read_hash(v, "leafHash", &leaf) && read_hash(v, "root", &root) && read_proof(v, &proof) &&
           HF_IS_OK(hf_tlog_check_inclusion(index, size, leaf, &proof, root));
}

static bool consistency_holds(const char *line, const struct hf_tree *v)
{
    uint64_t old_size, size;
    struct hf_tlog_hash old_root, root;
    struct hf_tlog_proof proof;
    return read_size(line, "\"size1\": ", &old_size) && read_size(line, "\"size2\": ", &size) &&
           read_hash(v, "root1", &old_root) && read_hash(v, "root2", &root) && read_proof(v, &proof) &&
           HF_IS_OK(hf_tlog_check_consistency(old_size, size, &proof, old_root, root));
}

static void run_vectors(const char *path, bool (*holds)(const char *, const struct hf_tree *))
{
    static char line[1 << 16];
    static uint8_t encoded[1 << 16];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    unsigned count = 0, good = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        struct hf_buf out = hf_buf(encoded, sizeof(encoded));
        struct hf_tree_writer w = hf_tree_writer(&out);
        struct hf_tree tree;
        assert_int_equal(hf_json_to_tree(hf_cursor(line, strcspn(line, "\n")), &w, NULL).code, HF_OK);
        assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code, HF_OK);
        bool want = hf_tree_get(&tree, "wantErr").tag == HF_TREE_FALSE;
        if (holds(line, &tree) != want)
            fail_msg("%s", line);
        count++;
        good += want;
    }
    (void)fclose(file);
    assert_true(count >= 98);
    assert_true(good >= 5);
}

static void published_inclusion_vectors(void **state)
{
    (void)state;
    run_vectors(HF_EXTRA_VECTORS_DIR "/merkle/inclusion.jsonl", inclusion_holds);
}

static void published_consistency_vectors(void **state)
{
    (void)state;
    run_vectors(HF_EXTRA_VECTORS_DIR "/merkle/consistency.jsonl", consistency_holds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_inclusion_vectors),
        cmocka_unit_test(published_consistency_vectors),
    };
    if (access(HF_EXTRA_VECTORS_DIR "/merkle", R_OK) != 0)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
