/* C2SP signed-note: text and signature lines. Pure; knows no algorithm. */
#ifndef HF_TLOG_NOTE_H
#define HF_TLOG_NOTE_H

#include "base/buf.h"

enum {
    HF_NOTE_MAX = 256 << 10, /* bytes of a whole note */
    HF_NOTE_SIGNATURES_MAX = 64,
    HF_NOTE_NAME_MAX = 255,
    HF_NOTE_ED25519 = 0x01,       /* signature types */
    HF_NOTE_MLDSA44_COSIG = 0x06, /* c2sp.org/tlog-cosignature */
};

struct hf_note {           /* borrows from the note */
    struct hf_cursor text; /* with its last newline */
    struct hf_cursor lines;
};
/* Checks the form of the whole note. Fails: BAD_SIGNATURE. */
hf_result hf_note_open(struct hf_cursor note, struct hf_note *ret_note);

struct hf_note_signature {
    struct hf_cursor name;
    uint32_t key_id;
    struct hf_cursor base64; /* of key id and signature */
};
/* Takes the next of an opened note's signature lines; false at the end. */
bool hf_note_next(struct hf_cursor *lines, struct hf_note_signature *ret_signature);
/* Signature bytes without the key id. Fails: BAD_SIGNATURE, TOO_LARGE (out). */
hf_result hf_note_signature_bytes(const struct hf_note_signature *signature, struct hf_buf *out);

bool hf_note_name_valid(struct hf_cursor name);
uint32_t hf_note_key_id(struct hf_cursor name, uint8_t type, struct hf_cursor public_key);
/* Writes one signature line. */
void hf_note_line(struct hf_buf *out, struct hf_cursor name, uint32_t key_id, struct hf_cursor signature);

/* Shared by the texts of tlog: a line without its newline; false where none is left. */
bool hf_note_text_line(struct hf_cursor *in, struct hf_cursor *ret_line);
/* Decimal without sign or leading zeroes. */
bool hf_note_decimal(struct hf_cursor text, uint64_t *ret);

#endif
