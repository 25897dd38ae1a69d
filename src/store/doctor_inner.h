/* Insides of the doctor, private to its files. */
#ifndef HF_STORE_DOCTOR_INNER_H
#define HF_STORE_DOCTOR_INNER_H

#include "store/doctor.h"
#include "store/sqlite.h"

struct doctor {
    struct hf_sqlite_conn conn;
    int lock_fd;
    hf_doctor_fn finding;
    void *arg;
    bool sealed; /* there is a seal: what it holds has been written by a server */
    struct hf_doctor_summary report;
};

void doctor_bad(struct doctor *d, const char *what);

/* Parts of a message: texts and numbers in turn. */
struct doctor_line {
    char text[256];
    struct hf_buf out;
};
struct hf_buf *doctor_line(struct doctor_line *line, const char *what);
void doctor_number(struct hf_buf *out, const char *before, uint64_t number);
void doctor_id(struct hf_buf *out, sqlite3_stmt *s, int column);

/* Calls each() for every row of the query. */
hf_result doctor_rows(struct doctor *d, const char *sql,
                      void (*each)(struct doctor *d, sqlite3_stmt *s, void *at), void *at);

hf_result doctor_seal(struct doctor *d);  /* doctor_seal.c */
hf_result doctor_audit(struct doctor *d); /* doctor_audit.c */

#endif
