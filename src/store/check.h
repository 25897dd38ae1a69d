/* What every engine asks of a caller before anything is done. */
#ifndef HF_STORE_CHECK_H
#define HF_STORE_CHECK_H

#include "store/store.h"

enum {
    HF_STORE_NS_MAX = 16,
    HF_STORE_HASH_LEN = 32,
    HF_STORE_HEAD_MAX = 8192,        /* blob of a head */
    HF_STORE_ONE_TXN_MAX = 32 << 20, /* bytes of all parts of a transaction: it must fit a frame */
};
#define HF_STORE_NUMBER_MAX ((uint64_t)INT64_MAX) /* revisions, sequences, amounts */
#define HF_STORE_SEQ_MAX ((UINT64_C(1) << 48) - 2)
#define HF_STORE_INDEX_MAX ((UINT64_C(1) << 44) - 2) /* leaves of one audit log */

/* Fails: BAD_ARGUMENT where fields or operations contradict each other, TOO_LARGE where one is out of bounds. ret_bytes: length of
 * the variable parts together. */
hf_result hf_store_ops_check(const struct hf_store_op *ops, size_t count, size_t *ret_bytes);
hf_result hf_store_query_check(const struct hf_list_query *query);

#endif
