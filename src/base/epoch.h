/* Safe reclamation for read-mostly data on paths without locks (mount table, policies, caches): readers enter,
 * read atomic pointers, leave; writers publish a new object and retire the old one, which is freed once no
 * reader that could hold it is left. Readers never wait. At most HF_EPOCH_THREADS threads. */
#ifndef HF_BASE_EPOCH_H
#define HF_BASE_EPOCH_H

#include "base/result.h"

enum { HF_EPOCH_THREADS = 256 };

/* Gives the calling thread a slot (first use in a thread takes one by itself); release when the thread ends. */
void hf_epoch_thread_end(void);
/* Nests. What was read inside is valid until the outermost leave. */
void hf_epoch_enter(void);
void hf_epoch_leave(void);
/* Frees `object` by release(object) once every reader inside now has left. May be called inside. */
void hf_epoch_retire(void *object, void (*release)(void *object));
/* Frees what can be freed now. drain: only when no other thread runs (shutdown, tests): frees all. */
void hf_epoch_poll(void);
void hf_epoch_drain(void);

#endif
