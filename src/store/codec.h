/* Bodies of STORE and STORED frames, written by the remote store and read by the store role, and the other way round.
 *   STORE  call u8 | arguments
 *   STORED code u8 (enum hf_code) | where OK: result
 * A result that is a list: items, each after a byte 1; then a byte 0 at the end, or 2 where more would come if one
 * asked again from after the last item. Borrowing as cursors do. */
#ifndef HF_STORE_CODEC_H
#define HF_STORE_CODEC_H

#include <assert.h>

#include "store/check.h"
#include "wire/frame.h"

enum hf_store_call {
    HF_CALL_COMMIT = 1, /* durability u8, count u8, operations */
    HF_CALL_GET,
    HF_CALL_LIST,
    HF_CALL_HEAD_GET,
    HF_CALL_FEED_SINCE,
    HF_CALL_AUDIT_HEAD_GET,
    HF_CALL_AUDIT_READ,
    HF_CALL_INFO,
    HF_CALL_BACKUP, /* answered by frames with HF_STORED_MORE, each with a piece, and one without */
    HF_CALL_HINT_WAIT,
    HF_CALL_JOB_LIST,
    HF_CALL_NODE_LIST,
    HF_CALL_FEED_EACH,
};

/* Flags of frames. */
enum {
    HF_STORE_LAZY = 1, /* STORE: a lazy transaction; may lie in the socket for some milliseconds */
    HF_STORE_RESTART =
        2,              /* STORE: with LAZY: from here everything not acknowledged is sent again, in order */
    HF_STORED_UPTO = 1, /* STORED: OK for this lazy transaction and all sent before it */
    HF_STORED_MORE = 2, /* STORED: another frame of the same answer follows */
};
enum {
    HF_STORE_ROW_BYTES_MAX = HF_STORE_RECORD_MAX + HF_STORE_NAME_MAX + 64, /* one encoded row */
    HF_STORE_OP_BYTES_MAX = 128, /* of one encoded operation, without its variable parts */
};
enum hf_list_end { HF_LIST_END = 0, HF_LIST_ITEM = 1, HF_LIST_MORE = 2 };

void hf_store_put_commit(struct hf_buf *out, const struct hf_store_op *ops, size_t count,
                         enum hf_durability durability);
/* Reads what follows the call's number. ops: room for HF_STORE_TXN_OPS_MAX. Fails: BAD_REQUEST. */
hf_result hf_store_take_commit(struct hf_cursor *in, struct hf_store_op *ops, size_t *ret_count,
                               enum hf_durability *ret_durability);
void hf_store_put_row(struct hf_buf *out, const struct hf_row *row);
bool hf_store_take_row(struct hf_cursor *in, struct hf_row *ret_row);
void hf_store_put_query(struct hf_buf *out, const struct hf_list_query *query);
bool hf_store_take_query(struct hf_cursor *in, struct hf_list_query *ret_query);
void hf_store_put_change(struct hf_buf *out, const struct hf_change *change);
bool hf_store_take_change(struct hf_cursor *in, struct hf_change *ret_change);
void hf_store_put_batch(struct hf_buf *out, const struct hf_audit_batch *batch);
bool hf_store_take_batch(struct hf_cursor *in, struct hf_audit_batch *ret_batch);
void hf_store_put_job(struct hf_buf *out, const struct hf_job *job);
bool hf_store_take_job(struct hf_cursor *in, struct hf_job *ret_job);
void hf_store_put_node(struct hf_buf *out, const struct hf_node *node);
bool hf_store_take_node(struct hf_cursor *in, struct hf_node *ret_node);
void hf_store_put_info(struct hf_buf *out, const struct hf_store_info *info);
bool hf_store_take_info(struct hf_cursor *in, struct hf_store_info *ret_info);

static inline void hf_store_put_id(struct hf_buf *out, struct hf_id id)
{
    hf_buf_put(out, id.bytes, sizeof id.bytes);
}
static inline bool hf_store_take_id(struct hf_cursor *in, struct hf_id *ret_id)
{
    return hf_cursor_copy(in, ret_id->bytes, sizeof ret_id->bytes);
}

#endif
