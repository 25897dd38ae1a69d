/* Where in the configuration's text something stands. The parsed tree does not know; for an error message the text is
 * walked once more. */
#ifndef HF_ROLES_CONFIG_PLACE_H
#define HF_ROLES_CONFIG_PLACE_H

#include "base/cursor.h"

struct hf_config_place {
    struct hf_cursor text;
    const char *block;    /* NULL: at the top */
    unsigned nth;         /* which occurrence of the block, from 0 */
    struct hf_cursor key; /* empty: the block itself */
};
/* Gives line and column, from 1; untouched where it is not found. */
void hf_config_locate(const struct hf_config_place *place, uint32_t *ret_line, uint32_t *ret_column);

#endif
