/* Transparency log, pure: RFC 9162 Merkle hashing and proofs, and C2SP formats: signed-note, tlog-checkpoint,
 * tlog-tiles, tlog-proof. No I/O; signing and verifying through crypto's keys. */
#ifndef HF_TLOG_TLOG_H
#define HF_TLOG_TLOG_H

#include "crypto/pkey.h"

enum { HF_TLOG_HASH = 32, HF_TLOG_PROOF_MAX = 64 };
struct hf_tlog_hash {
    uint8_t bytes[HF_TLOG_HASH];
};

/* RFC 9162 2.1.1: leaf = SHA-256(0x00 || data), node = SHA-256(0x01 || left || right). */
struct hf_tlog_hash hf_tlog_leaf(struct hf_cursor data);
struct hf_tlog_hash hf_tlog_node(struct hf_tlog_hash left, struct hf_tlog_hash right);

/* Append-only frontier: O(log n) memory. Append: two compressions of SHA-256, amortised. */
struct hf_tlog_frontier {
    uint64_t size;
    struct hf_tlog_hash nodes[64]; /* full subtrees, largest first */
};
void hf_tlog_append(struct hf_tlog_frontier *frontier, struct hf_tlog_hash leaf);
struct hf_tlog_hash hf_tlog_root(const struct hf_tlog_frontier *frontier); /* SHA-256("") when empty */
void hf_tlog_frontier_write(struct hf_buf *out, const struct hf_tlog_frontier *frontier);
hf_result hf_tlog_frontier_read(struct hf_cursor *in, struct hf_tlog_frontier *ret_frontier);

/* Reads node hashes of complete subtrees: level, index at that level. */
typedef hf_result (*hf_tlog_node_fn)(void *arg, unsigned level, uint64_t index,
                                     struct hf_tlog_hash *ret_hash);
struct hf_tlog_proof {
    uint32_t count;
    struct hf_tlog_hash path[HF_TLOG_PROOF_MAX];
};
hf_result hf_tlog_prove_inclusion(hf_tlog_node_fn node, void *arg, uint64_t index, uint64_t size,
                                  struct hf_tlog_proof *ret);
hf_result hf_tlog_prove_consistency(hf_tlog_node_fn node, void *arg, uint64_t old_size, uint64_t size,
                                    struct hf_tlog_proof *ret);
/* Fails: BAD_SIGNATURE where the proof does not hold. */
hf_result hf_tlog_check_inclusion(uint64_t index, uint64_t size, struct hf_tlog_hash leaf,
                                  const struct hf_tlog_proof *proof, struct hf_tlog_hash root);
hf_result hf_tlog_check_consistency(uint64_t old_size, uint64_t size, const struct hf_tlog_proof *proof,
                                    struct hf_tlog_hash old_root, struct hf_tlog_hash root);

/* Checkpoint: origin, size, root; signed by Ed25519 (note type 0x01) and by ML-DSA-44 (cosignature type 0x06). */
struct hf_tlog_checkpoint {
    struct hf_cursor origin; /* borrowed */
    uint64_t size;
    struct hf_tlog_hash root;
};
struct hf_tlog_signer {
    const struct hf_pkey *ed25519; /* either may be NULL */
    const struct hf_pkey *mldsa44;
    struct hf_cursor name; /* key name in the note: the origin */
};
hf_result hf_tlog_checkpoint_sign(struct hf_buf *out, const struct hf_tlog_checkpoint *cp,
                                  const struct hf_tlog_signer *signer, int64_t wall_ns);
/* Needs every non-NULL key of `keys` to have a valid signature. ret borrows from note. */
hf_result hf_tlog_checkpoint_open(struct hf_cursor note, const struct hf_tlog_signer *keys,
                                  struct hf_tlog_checkpoint *ret);
/* Verifier key text as C2SP signed-note has it ("name+hash+base64"), for each of the two. */
hf_result hf_tlog_vkey(struct hf_buf *out, const struct hf_tlog_signer *signer, bool mldsa);
/* Reads a vkey text; gives a public key. */
hf_result hf_tlog_vkey_open(struct hf_cursor text, struct hf_cursor *ret_name, struct hf_pkey **ret_key);

/* .tlog-proof: index, inclusion proof, checkpoint in one text (C2SP tlog-proof). */
hf_result hf_tlog_proof_write(struct hf_buf *out, struct hf_cursor extra, uint64_t index,
                              const struct hf_tlog_proof *proof, struct hf_cursor checkpoint_note);
/* ret_extra: its base64 text, empty where there is none. Checks the form only: verify the checkpoint, then the
 * inclusion of the leaf. Fails: BAD_SIGNATURE. */
hf_result hf_tlog_proof_open(struct hf_cursor text, struct hf_cursor *ret_extra, uint64_t *ret_index,
                             struct hf_tlog_proof *ret_proof, struct hf_cursor *ret_checkpoint_note);

/* tlog-tiles path of a tile: "tile/0/x001/234" or with ".p/5". level -1: entry bundle ("tile/entries/..."). */
hf_result hf_tlog_tile_path(struct hf_buf *out, int level, uint64_t index, unsigned width);
/* Reads such a path. Fails: NOT_FOUND on any other form. */
hf_result hf_tlog_tile_parse(struct hf_cursor path, int *ret_level, uint64_t *ret_index, unsigned *ret_width);

#endif
