/* Exports and details from strangers: a verdict or a refusal for each, and never a log that holds. */
#include <stdlib.h>

#include "crypto/crypto.h"
#include "tlog/export.h"

#define ORIGIN "o"
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static struct hf_pkey *key;
static uint8_t note_bytes[1024];
static struct hf_buf note;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    /* A root that nobody has leaves for. */
    struct hf_tlog_checkpoint cp = {hf_cursor_text(ORIGIN), 5, {{1, 2, 3}}};
    CHECK(HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_WIPE)));
    CHECK(HF_IS_OK(hf_pkey_generate(HF_ALG_ED25519, &key)));
    const struct hf_tlog_signer signer = {key, NULL, hf_cursor_text(ORIGIN)};
    note = hf_buf(note_bytes, sizeof(note_bytes));
    CHECK(HF_IS_OK(hf_tlog_checkpoint_sign(&note, &cp, &signer, 0)));
    return 0;
}

static void try_opening(struct hf_cursor in)
{
    uint8_t bytes[HF_ENTRY_OPENING_MAX];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    struct hf_entry_detail detail;
    if (!HF_IS_OK(hf_entry_opening_read(in, &detail)))
        return;
    /* Only what the writer would cut or leave out differs. */
    bool plain = detail.operation.left <= HF_ENTRY_NAME_MAX && detail.mount.left <= HF_ENTRY_MOUNT_MAX &&
                 detail.outcome.left <= HF_ENTRY_NAME_MAX && detail.asset.left <= HF_ENTRY_FACT_MAX &&
                 detail.note.left <= HF_ENTRY_FACT_MAX;
    hf_entry_opening_write(&out, in.at, &detail);
    CHECK(!out.overflow);
    struct hf_entry_detail again;
    CHECK(HF_IS_OK(hf_entry_opening_read(hf_buf_cursor(&out), &again)));
    CHECK(again.items == detail.items && (!plain || hf_cursor_same(again.mount, detail.mount)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_cursor in = hf_cursor(data, size);
    const struct hf_tlog_signer signer = {key, NULL, hf_cursor_text(ORIGIN)};
    struct hf_export_verdict v;
    if (HF_IS_OK(hf_export_verify(in, hf_buf_cursor(&note), &signer, &v))) {
        CHECK(!v.ok && v.count > 0);
        for (uint32_t i = 0; i < HF_MIN(v.count, (uint32_t)HF_EXPORT_FINDINGS_MAX); i++) {
            uint8_t bytes[160];
            struct hf_buf text = hf_buf(bytes, sizeof(bytes));
            hf_export_finding_text(&text, &v.findings[i]);
            CHECK(!text.overflow && text.len != 0);
        }
    }
    static uint8_t proof_bytes[16384];
    struct hf_buf proof = hf_buf(proof_bytes, sizeof(proof_bytes));
    CHECK(!HF_IS_OK(hf_export_prove(in, hf_buf_cursor(&note), &signer, size % 5, &proof)));
    try_opening(in);
    return 0;
}
