/* The store role's work: answers STORE frames that come over many stream sockets.
 *
 * One thread reads, commits and answers: all transactions that lie ready in one round go to the engine together, for
 * one sync. Short reads are answered in between; what may take long (lists, feeds, a backup) is done by other threads
 * while its link waits. A link on which lazy transactions came is looked at a few milliseconds later only, so that
 * they come in bulk; what lies in its socket is safe from the death of the process that wrote it. */
#ifndef HF_STORE_SERVER_H
#define HF_STORE_SERVER_H

#include "store/store.h"

enum { HF_STORE_SERVER_LINKS_MAX = 512 };

struct hf_store_server;
/* engine: borrowed; its calls are made from several threads. */
hf_result hf_store_server_new(struct hf_store *engine, struct hf_store_server **ret_server);
/* Closes all links. Call when run has returned (or was never called). */
void hf_store_server_free(struct hf_store_server *server);
/* Takes the socket (also on failure). In the thread that runs the server, or before it runs. Fails: OVERLOADED. */
hf_result hf_store_server_add(struct hf_store_server *server, int fd);
/* Another descriptor to wait for, borrowed: `ready` is called when it is readable or closed; false ends the run. */
hf_result hf_store_server_watch(struct hf_store_server *server, int fd, bool (*ready)(void *arg), void *arg);
/* Until `ready` says so; then what has been read is committed and answered, and lazy links are emptied. Fails: SYSTEM. */
hf_result hf_store_server_run(struct hf_store_server *server);

#endif
