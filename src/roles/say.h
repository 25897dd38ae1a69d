/* Words of the supervisor for the person who started it, on a descriptor of theirs: errors before there is a log,
 * help, what a development server's clients need. Texts only; one write for each call. */
#ifndef HF_ROLES_SAY_H
#define HF_ROLES_SAY_H

#include "base/buf.h"

/* Texts one after the other, up to NULL. */
void hf_say(int fd, const char *first, ...) __attribute__((sentinel));
/* "holdfastd: ..." and a line feed, on standard error. */
void hf_complain(const char *first, ...) __attribute__((sentinel));
/* Writes all of a buffer. Fails: SYSTEM. */
hf_result hf_write_all(int fd, struct hf_cursor bytes);

#endif
