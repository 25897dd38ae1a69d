/* The characters of a share card and their check code.
 *
 * Alphabet: 32 letters and digits that are not mistaken for one another, as in BIP 173. Code: BCH over GF(32), with
 * zeros at alpha^-2..alpha^2 for alpha of order 1023: nine check symbols, distance at least 6 for up to 1,023
 * symbols. tests/unit/shares/code.c makes the generator again from that definition. No table is indexed by a symbol
 * and no branch taken by one. */
#ifndef HF_SHARES_CODE_H
#define HF_SHARES_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_CODE_CHECK_SYMBOLS = 9, HF_CODE_BAD_SYMBOL = 0xff };

char hf_code_char(uint8_t symbol); /* 0..31 */
/* Either case; HF_CODE_BAD_SYMBOL for a character that is none. */
uint8_t hf_code_symbol(char c);

/* Remainder of the symbols as a polynomial: begin with HF_CODE_START, step for each symbol. */
#define HF_CODE_START UINT64_C(1)
uint64_t hf_code_step(uint64_t remainder, uint8_t symbol);
/* Writes the check symbols that end a word whose symbols so far gave `remainder`. */
void hf_code_check(uint64_t remainder, uint8_t ret_check[HF_CODE_CHECK_SYMBOLS]);
/* Whether a word with its check symbols holds. */
bool hf_code_holds(uint64_t remainder);
/* Where the one wrong symbol of a word of `count` symbols is; false where more than one is wrong. */
bool hf_code_locate(uint64_t remainder, size_t count, size_t *ret_at);

#endif
