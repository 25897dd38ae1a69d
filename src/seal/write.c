/* Writing the rows: together, durably, and never twice by mistake. */
#include <time.h>

#include "records/records.h"
#include "seal/internal.h"

enum { UNKNOWN_TRIES = 40, UNKNOWN_PAUSE_MS = 50 };

static const struct hf_id only; /* one row in each of the two tables */

void write_done(struct write *write)
{
    free(write->keyring.at);
    *write = (struct write){0};
}

hf_result write_prepare(const struct hf_seal *seal, const struct seal_row *row, bool with_row,
                        const struct hf_keyring *ring, const struct keks *keks, const struct root_keys *keys,
                        struct write *ret_write)
{
    CLEANUP(write_done)
    struct write write = {.expect_seal = seal->row_rev, .expect_keyring = seal->keyring_rev};
    struct hf_buf clear = hf_buf(write.seal_bytes, sizeof(write.seal_bytes));
    seal_row_write(row, &clear);
    TRY(hf_buf_ok(&clear));
    size_t room = SEAL_KEYRING_FIXED_MAX + keks->count * SEAL_KEK_BYTES;
    uint8_t *space = malloc(room);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    write.keyring = hf_buf(space, room);
    TRY(keyring_write(ring, keks, keys, hf_buf_cursor(&clear), write.expect_keyring + 1, &write.keyring));
    write.seal_len = with_row ? clear.len : 0;
    *ret_write = MOVED(write);
    return HF_DONE;
}

static hf_result commit_once(const struct hf_seal *seal, const struct write *write)
{
    struct hf_store_op ops[2] = {
        {.kind = HF_STORE_PUT_IF,
         .expect_rev = write->expect_keyring,
         .row = {.table = HF_TABLE_KEYRING,
                 .id = only,
                 .rev = write->expect_keyring + 1,
                 .name = hf_cursor_text("keyring"),
                 .sealed = hf_buf_cursor(&write->keyring)}},
        {.kind = HF_STORE_PUT_IF,
         .expect_rev = write->expect_seal,
         .row = {.table = HF_TABLE_SEAL,
                 .id = only,
                 .rev = write->expect_seal + 1,
                 .name = hf_cursor_text("seal"),
                 .sealed = hf_cursor(write->seal_bytes, write->seal_len)}},
    };
    struct hf_store_outcome outcome;
    return seal->store->ops->commit(seal->store, ops, write->seal_len != 0 ? 2 : 1, HF_DURABLE, &outcome);
}

/* Whether what stands in the store is exactly this write. The keyring row holds fresh nonces: no other is the same. */
static hf_result stands_there(const struct hf_seal *seal, const struct write *write, bool *ret_same)
{
    size_t room = write->keyring.len + SEAL_KEYRING_FIXED_MAX;
    uint8_t *space = malloc(room);
    if (space == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf buf = hf_buf(space, room);
    struct hf_row row = {0};
    hf_result done = seal->store->ops->get(seal->store, HF_TABLE_KEYRING, only, &buf, &row);
    *ret_same = HF_IS_OK(done) && row.rev == write->expect_keyring + 1 &&
                hf_cursor_same(row.sealed, hf_buf_cursor(&write->keyring));
    if (done.code == HF_NOT_FOUND || done.code == HF_TOO_LARGE) /* another's, or none */
        done = HF_DONE;
    free(space);
    return done;
}

hf_result write_commit(const struct hf_seal *seal, struct write *write)
{
    for (unsigned i = 0; i < UNKNOWN_TRIES; i++) {
        hf_result done = commit_once(seal, write);
        if (HF_IS_OK(done) || (!write->unknown && done.code != HF_COMMIT_UNKNOWN))
            return done;
        if (write->unknown && done.code == HF_CONFLICT) {
            bool same = false;
            if (HF_IS_OK(stands_there(seal, write, &same)))
                return same ? HF_DONE : done;
        }
        /* It may have been written or not: the same conditional write again tells which. */
        write->unknown = true;
        struct timespec pause = {0, UNKNOWN_PAUSE_MS * HF_MILLISECOND};
        (void)nanosleep(&pause, NULL); /* a shorter pause does no harm */
    }
    hf_log(HF_LOG_ERROR, "seal.outcome_unknown");
    return HF_FAIL(COMMIT_UNKNOWN);
}
