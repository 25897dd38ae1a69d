/* Notes, checkpoints, verifier keys, proof texts and tile paths from strangers. What is accepted comes back the same. */
#include <stdlib.h>

#include "base/encode.h"
#include "crypto/crypto.h"
#include "tlog/note.h"
#include "tlog/tlog.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    CHECK(HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)));
    return 0;
}

static void try_note(struct hf_cursor in)
{
    static struct hf_pkey *key; /* nobody here has its other half */
    struct hf_note note;
    struct hf_tlog_checkpoint cp;
    struct hf_note_signature line;
    if (key == NULL)
        CHECK(HF_IS_OK(hf_pkey_generate(HF_ALG_ED25519, &key)));
    if (HF_IS_OK(hf_note_open(in, &note))) {
        unsigned count = 0;
        struct hf_cursor lines = note.lines;
        CHECK(note.text.left + 1 + note.lines.left == in.left);
        CHECK(note.text.left != 0 && note.text.at[note.text.left - 1] == '\n');
        while (hf_note_next(&lines, &line)) {
            CHECK(hf_note_name_valid(line.name));
            const struct hf_tlog_signer keys = {key, NULL, line.name};
            CHECK(!HF_IS_OK(hf_tlog_checkpoint_open(in, &keys, &cp)));
            count++;
        }
        CHECK(lines.left == 0 && count > 0 && count <= HF_NOTE_SIGNATURES_MAX);
    }
}

static void try_proof(struct hf_cursor in)
{
    static uint8_t bytes[64 << 10], extra_bytes[16 << 10];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes)), extra = hf_buf(extra_bytes, sizeof(extra_bytes));
    struct hf_cursor base64, note;
    struct hf_tlog_proof proof;
    uint64_t index;
    if (!HF_IS_OK(hf_tlog_proof_open(in, &base64, &index, &proof, &note)) ||
        !HF_IS_OK(hf_base64_decode(&extra, base64)))
        return;
    struct hf_tlog_hash leaf = {{1}}, root = {{2}};
    CHECK(!HF_IS_OK(hf_tlog_check_inclusion(index, UINT64_MAX, leaf, &proof, root)));
    if (HF_IS_OK(hf_tlog_proof_write(&out, hf_buf_cursor(&extra), index, &proof, note)))
        CHECK(hf_cursor_same(hf_buf_cursor(&out), in));
}

static void try_small(struct hf_cursor in)
{
    uint8_t bytes[128];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    struct hf_cursor name;
    struct hf_pkey *key = NULL;
    uint64_t index;
    unsigned width;
    int level;
    if (HF_IS_OK(hf_tlog_tile_parse(in, &level, &index, &width))) {
        CHECK(HF_IS_OK(hf_tlog_tile_path(&out, level, index, width)));
        CHECK(hf_cursor_same(hf_buf_cursor(&out), in));
    }
    if (HF_IS_OK(hf_tlog_vkey_open(in, &name, &key))) {
        static uint8_t text[8192];
        struct hf_buf again = hf_buf(text, sizeof(text));
        bool mldsa = hf_pkey_alg(key) == HF_ALG_ML_DSA_44;
        const struct hf_tlog_signer signer = {key, key, name};
        CHECK(HF_IS_OK(hf_tlog_vkey(&again, &signer, mldsa)));
        CHECK(again.len == in.left);
        hf_pkey_free(key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_cursor in = hf_cursor(data, size);
    try_note(in);
    try_proof(in);
    try_small(in);
    return 0;
}
