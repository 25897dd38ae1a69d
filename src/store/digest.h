/* What the change feed says of a row, so that the row can be held against the feed without any key. */
#ifndef HF_STORE_DIGEST_H
#define HF_STORE_DIGEST_H

#include "store/store.h"

enum { HF_ROW_DIGEST = 16 };
/* SHA-256, cut, of all that the row is: clear columns and sealed part. */
void hf_row_digest(const struct hf_row *row, uint8_t ret_digest[static HF_ROW_DIGEST]);

#endif
