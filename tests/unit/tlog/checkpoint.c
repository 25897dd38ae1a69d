/* Signed notes, checkpoints with two signatures, verifier keys, proof texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/crypto.h"
#include "tlog/note.h"
#include "tlog/tlog.h"

#define ORIGIN "holdfast.example/audit/1"
static struct hf_pkey *ed25519, *mldsa44, *other;

static int make_keys(void **state)
{
    (void)state;
    assert_int_equal(hf_crypto_start(HF_CRYPTO_HEAP_WIPE).code, HF_OK);
    assert_int_equal(hf_pkey_generate(HF_ALG_ED25519, &ed25519).code, HF_OK);
    assert_int_equal(hf_pkey_generate(HF_ALG_ML_DSA_44, &mldsa44).code, HF_OK);
    assert_int_equal(hf_pkey_generate(HF_ALG_ED25519, &other).code, HF_OK);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    hf_pkey_free(ed25519);
    hf_pkey_free(mldsa44);
    hf_pkey_free(other);
    return 0;
}

static struct hf_tlog_signer both(void)
{
    return (struct hf_tlog_signer){ed25519, mldsa44, hf_cursor_text(ORIGIN)};
}

static struct hf_tlog_checkpoint sample(void)
{
    struct hf_tlog_checkpoint cp = {.origin = hf_cursor_text(ORIGIN), .size = 20852163};
    for (unsigned i = 0; i < HF_TLOG_HASH; i++)
        cp.root.bytes[i] = (uint8_t)(i * 7);
    return cp;
}

/* The example of c2sp.org/signed-note. */
static void the_specifications_note_verifies(void **state)
{
    /* @proves C2SP:signed-note */
    (void)state;
    static const char note[] =
        "This is an example message.\n\n"
        "\xe2\x80\x94 example.com/foo "
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    static const char vkey[] = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    struct hf_cursor name;
    struct hf_pkey *key = NULL;
    struct hf_note opened;
    struct hf_note_signature line;
    uint8_t bytes[64];
    struct hf_buf signature = hf_buf(bytes, sizeof(bytes));
    const struct hf_sign_options options = {0};
    assert_int_equal(hf_tlog_vkey_open(hf_cursor_text(vkey), &name, &key).code, HF_OK);
    assert_true(hf_cursor_is(name, "example.com/foo"));
    assert_int_equal(hf_note_open(hf_cursor_text(note), &opened).code, HF_OK);
    assert_true(hf_cursor_is(opened.text, "This is an example message.\n"));
    assert_true(hf_note_next(&opened.lines, &line));
    assert_int_equal(line.key_id, 0x530d903a);
    assert_int_equal(hf_note_signature_bytes(&line, &signature).code, HF_OK);
    assert_int_equal(hf_pkey_verify(key, &options, opened.text, hf_buf_cursor(&signature)).code, HF_OK);
    assert_false(hf_note_next(&opened.lines, &line));
    hf_pkey_free(key);
}

static void both_signatures_are_made_and_wanted(void **state)
{
    /* @proves C2SP:tlog-cosignature */
    (void)state;
    uint8_t bytes[8192];
    struct hf_buf note = hf_buf(bytes, sizeof(bytes));
    const struct hf_tlog_signer signer = both();
    const struct hf_tlog_checkpoint cp = sample();
    assert_int_equal(hf_tlog_checkpoint_sign(&note, &cp, &signer, INT64_C(1679315147) * HF_SECOND).code,
                     HF_OK);
    static const char text[] = ORIGIN "\n20852163\nAAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tk=\n\n";
    assert_true(note.len > 3300);
    assert_memory_equal(bytes, text, sizeof(text) - 1);

    struct hf_tlog_checkpoint opened;
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &signer, &opened).code, HF_OK);
    assert_int_equal(opened.size, cp.size);
    assert_memory_equal(&opened.root, &cp.root, sizeof(cp.root));
    assert_true(hf_cursor_same(opened.origin, cp.origin));

    struct hf_tlog_signer one = signer;
    one.mldsa44 = NULL;
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &one, &opened).code, HF_OK);
    one = signer;
    one.ed25519 = NULL;
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &one, &opened).code, HF_OK);
    one.ed25519 = other;
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &one, &opened).code, HF_BAD_SIGNATURE);
    one = signer;
    one.name = hf_cursor_text("holdfast.example/audit/2");
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &one, &opened).code, HF_BAD_SIGNATURE);
    one.ed25519 = one.mldsa44 = NULL;
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &one, &opened).code, HF_BAD_SIGNATURE);

    /* Signed by one only: not enough where both are wanted. */
    uint8_t half_bytes[1024];
    struct hf_buf half = hf_buf(half_bytes, sizeof(half_bytes));
    one = signer;
    one.mldsa44 = NULL;
    assert_int_equal(hf_tlog_checkpoint_sign(&half, &cp, &one, 0).code, HF_OK);
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&half), &signer, &opened).code, HF_BAD_SIGNATURE);
    /* A witness's line is passed over. */
    hf_note_line(&half, hf_cursor_text("witness.example/w1"), 7, hf_cursor("signature", 9));
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&half), &one, &opened).code, HF_OK);
}

static void every_changed_byte_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[8192];
    struct hf_buf note = hf_buf(bytes, sizeof(bytes));
    const struct hf_tlog_signer signer = both();
    const struct hf_tlog_checkpoint cp = sample();
    struct hf_tlog_checkpoint opened;
    assert_int_equal(hf_tlog_checkpoint_sign(&note, &cp, &signer, HF_SECOND).code, HF_OK);
    for (size_t i = 0; i < note.len; i += i < 400 ? 1 : 13) {
        bytes[i] ^= 1;
        assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &signer, &opened).code,
                         HF_BAD_SIGNATURE);
        bytes[i] ^= 1;
    }
    for (size_t len = 0; len < note.len; len += 31)
        assert_int_equal(hf_tlog_checkpoint_open(hf_cursor(bytes, len), &signer, &opened).code,
                         HF_BAD_SIGNATURE);
    assert_int_equal(hf_tlog_checkpoint_open(hf_buf_cursor(&note), &signer, &opened).code, HF_OK);
}

/* Signs any text as a note by the Ed25519 key. */
static struct hf_cursor signed_text(const char *text, uint8_t *bytes, size_t cap)
{
    struct hf_buf out = hf_buf(bytes, cap);
    uint8_t signature_bytes[64], public_bytes[32];
    struct hf_buf signature = hf_buf(signature_bytes, 64), public = hf_buf(public_bytes, 32);
    const struct hf_sign_options options = {0};
    assert_int_equal(hf_pkey_public(ed25519, &public).code, HF_OK);
    assert_int_equal(hf_pkey_sign(ed25519, &options, hf_cursor_text(text), &signature).code, HF_OK);
    uint32_t id = hf_note_key_id(hf_cursor_text(ORIGIN), HF_NOTE_ED25519, hf_buf_cursor(&public));
    hf_buf_text(&out, text);
    hf_buf_u8(&out, '\n');
    hf_note_line(&out, hf_cursor_text(ORIGIN), id, hf_buf_cursor(&signature));
    assert_false(out.overflow);
    return hf_buf_cursor(&out);
}

static void signed_but_malformed_texts_are_refused(void **state)
{
    /* @proves C2SP:tlog-checkpoint */
    (void)state;
#define ROOT "AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tk="
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {ORIGIN "\n5\n" ROOT "\n", true},
        {ORIGIN "\n0\n" ROOT "\n", true},
        {ORIGIN "\n5\n" ROOT "\nextension\n", true},
        {ORIGIN "\n18446744073709551615\n" ROOT "\n", true},
        {ORIGIN "\n18446744073709551616\n" ROOT "\n", false},
        {ORIGIN "\n05\n" ROOT "\n", false},
        {ORIGIN "\n+5\n" ROOT "\n", false},
        {ORIGIN "\n-5\n" ROOT "\n", false},
        {ORIGIN "\n\n" ROOT "\n", false},
        {ORIGIN "\n5 \n" ROOT "\n", false},
        {ORIGIN "\n5\n" ROOT "=\n", false},
        {ORIGIN "\n5\nAAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0g==\n", false},
        {ORIGIN "\n5\n", false},
        {"\n5\n" ROOT "\n", false},
        {ORIGIN "\n5\n" ROOT "\n\nafter an empty line\n", false},
    };
    struct hf_tlog_signer keys = both();
    keys.mldsa44 = NULL;
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        uint8_t bytes[1024];
        struct hf_tlog_checkpoint cp;
        struct hf_cursor note = signed_text(cases[i].text, bytes, sizeof(bytes));
        assert_int_equal(hf_tlog_checkpoint_open(note, &keys, &cp).code,
                         cases[i].good ? HF_OK : HF_BAD_SIGNATURE);
    }
}

static void malformed_notes_are_refused(void **state)
{
    (void)state;
#define LINE "\xe2\x80\x94 n.example AAAAAAE=\n"
    static const char *const bad[] = {
        "",
        "text\n",
        "text\n\n",
        "text\n\n" LINE "more",
        "text\n\nn.example AAAAAAE=\n",
        "text\n\n\xe2\x80\x94 n.example AAAAAA==\n", /* no signature behind the key id */
        "text\n\n\xe2\x80\x94 n+example AAAAAAE=\n",
        "text\n\n\xe2\x80\x94 n\xc2\xa0x AAAAAAE=\n",
        "text\n\n\xe2\x80\x94  AAAAAAE=\n",
        "text\n\n\xe2\x80\x94 n.example AAAAAAE= \n",
        "text\n\n\xe2\x80\x94 n.example AAAAA!E=\n",
        "te\txt\n\n" LINE,
        "te\xffxt\n\n" LINE,
        "text\r\n\n" LINE,
    };
    struct hf_note note;
    assert_int_equal(hf_note_open(hf_cursor_text("text\n\n" LINE LINE), &note).code, HF_OK);
    assert_int_equal(hf_note_open(hf_cursor_text("te\n\nxt\n\n" LINE), &note).code, HF_OK);
    assert_true(hf_cursor_is(note.text, "te\n\nxt\n"));
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        assert_int_equal(hf_note_open(hf_cursor_text(bad[i]), &note).code, HF_BAD_SIGNATURE);
    /* Sixteen signatures must be taken; without end they are not. */
    static char many[8192];
    struct hf_buf all = hf_buf(many, sizeof(many));
    hf_buf_text(&all, "text\n\n");
    for (unsigned i = 0; i < 65; i++) {
        if (i == 16 || i == 64)
            assert_int_equal(hf_note_open(hf_buf_cursor(&all), &note).code, HF_OK);
        hf_buf_text(&all, LINE);
    }
    assert_int_equal(hf_note_open(hf_buf_cursor(&all), &note).code, HF_BAD_SIGNATURE);
}

static void verifier_keys_come_back(void **state)
{
    (void)state;
    const struct hf_tlog_signer signer = both();
    for (unsigned mldsa = 0; mldsa < 2; mldsa++) {
        uint8_t bytes[4096];
        struct hf_buf out = hf_buf(bytes, sizeof(bytes));
        assert_int_equal(hf_tlog_vkey(&out, &signer, mldsa).code, HF_OK);
        struct hf_cursor name;
        struct hf_pkey *key = NULL;
        assert_int_equal(hf_tlog_vkey_open(hf_buf_cursor(&out), &name, &key).code, HF_OK);
        assert_true(hf_cursor_is(name, ORIGIN));
        assert_int_equal(hf_pkey_alg(key), mldsa ? HF_ALG_ML_DSA_44 : HF_ALG_ED25519);
        hf_pkey_free(key);
        for (size_t i = 0; i < out.len; i += i < 80 ? 1 : 17) {
            bytes[i] ^= 1;
            assert_int_not_equal(hf_tlog_vkey_open(hf_buf_cursor(&out), &name, &key).code, HF_OK);
            bytes[i] ^= 1;
        }
    }
}

static void proof_texts_come_back(void **state)
{
    /* @proves C2SP:tlog-proof */
    (void)state;
    static const char example[] = "c2sp.org/tlog-proof@v1\n"
                                  "extra YWdl\n"
                                  "index 73894\n"
                                  "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n"
                                  "B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n"
                                  "\n"
                                  "example.com/fancylog\n";
    struct hf_cursor extra, note;
    uint64_t index;
    struct hf_tlog_proof proof;
    assert_int_equal(hf_tlog_proof_open(hf_cursor_text(example), &extra, &index, &proof, &note).code, HF_OK);
    assert_true(hf_cursor_is(extra, "YWdl"));
    assert_int_equal(index, 73894);
    assert_int_equal(proof.count, 2);
    assert_true(hf_cursor_is(note, "example.com/fancylog\n"));
    uint8_t bytes[1024];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    assert_int_equal(hf_tlog_proof_write(&out, hf_cursor("age", 3), index, &proof, note).code, HF_OK);
    assert_true(hf_cursor_is(hf_buf_cursor(&out), example));
    static const char *const bad[] = {
        "c2sp.org/tlog-proof@v2\nindex 0\n\nx\n",
        "c2sp.org/tlog-proof@v1\nindex 00\n\nx\n",
        "c2sp.org/tlog-proof@v1\nindex \n\nx\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\nx\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n",
        "c2sp.org/tlog-proof@v1\nextra \nindex 0\n\nx\n",
        "c2sp.org/tlog-proof@v1\n",
        "",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        assert_int_equal(hf_tlog_proof_open(hf_cursor_text(bad[i]), &extra, &index, &proof, &note).code,
                         HF_BAD_SIGNATURE);
}

static void unfit_names_are_not_signed(void **state)
{
    (void)state;
    uint8_t bytes[8192];
    struct hf_tlog_signer signer = both();
    struct hf_tlog_checkpoint cp = sample();
    struct hf_buf note = hf_buf(bytes, sizeof(bytes));
    signer.name = hf_cursor_text("with space");
    assert_int_equal(hf_tlog_checkpoint_sign(&note, &cp, &signer, 0).code, HF_BAD_ARGUMENT);
    signer = both();
    cp.origin = hf_cursor_text("two\nlines");
    assert_int_equal(hf_tlog_checkpoint_sign(&note, &cp, &signer, 0).code, HF_BAD_ARGUMENT);
    cp = sample();
    note = hf_buf(bytes, 1000);
    assert_int_equal(hf_tlog_checkpoint_sign(&note, &cp, &signer, 0).code, HF_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specifications_note_verifies),
        cmocka_unit_test(both_signatures_are_made_and_wanted),
        cmocka_unit_test(every_changed_byte_is_refused),
        cmocka_unit_test(signed_but_malformed_texts_are_refused),
        cmocka_unit_test(malformed_notes_are_refused),
        cmocka_unit_test(verifier_keys_come_back),
        cmocka_unit_test(proof_texts_come_back),
        cmocka_unit_test(unfit_names_are_not_signed),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
