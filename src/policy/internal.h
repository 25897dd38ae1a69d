/* What the files of this room share. */
#ifndef HF_POLICY_INTERNAL_H
#define HF_POLICY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "policy/acl.h"
#include "policy/cidr.h"
#include "policy/token.h"

enum { TOKEN_HASH = 32, FAST_HASH = 32, NS_LEN = 16, CONFLICT_TRIES = 8, LINEAGE_MAX = 32 };
enum token_state { TOKEN_ALIVE = 0, TOKEN_REVOKING = 1 }; /* stored numbers */

/* A token as loaded: immutable but for the atomics. Freed through the epoch. */
struct token {
    struct hf_identity identity; /* first: identity.inner is this */
    struct hf_token_info info;
    uint8_t hash[TOKEN_HASH]; /* keyed hash of the text; its first half is the accessor */
    uint8_t fast[FAST_HASH];  /* where the cache keeps it */
    uint64_t rev;
    enum token_state state;
    int64_t boot_expires_ns; /* by the clock that nobody can set; 0: never */
    struct hf_cidr cidrs[HF_TOKEN_CIDRS_MAX];
    size_t cidr_count;
    struct hf_id *ancestors; /* parent first; filled by token_lineage */
    size_t ancestor_count;
    struct hf_acl *_Atomic acl;
    atomic_ullong acl_generation; /* of the policies that acl was made of; 0: none yet */
    atomic_bool touched;
    struct hf_cursor policies[HF_TOKEN_POLICIES_MAX];
    uint8_t bytes[];
};

/* Cached tokens, found by the salted hash of their text without a lock, changed under one. */
struct token_cache;
hf_result token_cache_new(struct token_cache **ret_cache);
void token_cache_free(struct token_cache *cache); /* nobody reads any more */
struct token *token_cache_find(struct token_cache *cache, const uint8_t fast[FAST_HASH]);
/* Grows with every removal. Taken before a token is loaded, it tells the cache whether any was revoked meanwhile. */
uint64_t token_cache_removals(struct token_cache *cache);
/* Takes the token. A token with the same accessor is replaced. Where something was removed since `removals` was
 * taken, or still_there says no (asked under the lock that removal takes), the token is not kept: it lives till the
 * epoch section ends. */
void token_cache_add(struct token_cache *cache, struct token *token, uint64_t removals,
                     bool (*still_there)(void *arg), void *arg);
/* The token and all that descend from it. */
void token_cache_remove(struct token_cache *cache, struct hf_id accessor);
uint64_t token_cache_count(struct token_cache *cache);

struct named_doc {
    uint8_t ns[NS_LEN];
    char name[HF_POLICY_NAME_MAX];
    size_t name_len;
    struct hf_acl_doc *doc;
};

struct acl_set; /* one compiled matcher for one set of policies */

struct hf_policy {
    struct hf_records *records;
    struct hf_secret *token_key;
    const struct hf_clock *clock;
    uint8_t salt[16];
    struct hf_limits *limits;
    struct token_cache *cache;
    struct hf_acl_doc *builtin_default;

    pthread_mutex_t reload; /* taken before mutex, and held over a load from the store */
    pthread_mutex_t mutex;  /* docs and sets; held for memory work only: data operations may meet it */
    struct named_doc *docs;
    size_t doc_count, doc_room;
    struct acl_set **sets; /* hash buckets */
    size_t set_count;
    atomic_ullong generation; /* from 1; grows when any policy changes */

    /* Held to read while a child is made, to write while a parent is marked as being revoked: so no child is made
     * that revocation does not see. */
    pthread_rwlock_t tree;

    atomic_ullong misses;
};

/* ---- policy.c ---- */
/* The token's matcher, current with the policies; compiled where it is not. Valid inside the epoch. */
hf_result policy_acl_of(struct hf_policy *policy, struct token *token, const struct hf_acl **ret_acl);
bool policy_same_ns(struct hf_cursor a, struct hf_cursor b);

/* ---- token_record.c ---- */
/* Keyed hash of a text; the accessor is its first half. */
hf_result token_hash(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor text,
                     uint8_t ret_hash[static TOKEN_HASH]);
/* A new random text. out: HF_TOKEN_TEXT_MAX bytes of room. */
hf_result token_text_new(struct hf_policy *policy, struct hf_buf *out);
/* False where the text has our form and its MAC is wrong. */
hf_result token_text_check(struct hf_policy *policy, struct hf_cursor text, bool *ret_genuine);
bool token_text_has_form(struct hf_cursor text);
hf_result token_encode(const struct hf_token_info *info, const uint8_t hash[static TOKEN_HASH],
                       struct hf_buf *out);
/* plain is copied. */
hf_result token_decode(struct hf_policy *policy, const struct hf_record *record, struct token **ret_token);
void token_release(void *token);
void token_freep(struct token **token);
void token_name(struct hf_id parent, struct hf_id self, uint8_t ret_name[static 65]);
/* Loads it whatever its state. Fails: NOT_FOUND, CORRUPT, STORE_*. */
hf_result token_load(struct hf_policy *policy, struct hf_id accessor, struct token **ret_token);
/* Finds its ancestors, from the records themselves: a list that the store cuts short cannot keep a child alive
 * whose parent was revoked. Fails: DENIED where one is gone, ended, or there are more than LINEAGE_MAX. */
hf_result token_lineage(struct hf_policy *policy, struct token *token);
bool token_expired(const struct hf_policy *policy, const struct token *token);
hf_result token_commit(const struct hf_commit *commit, struct hf_txn *txn);
/* Puts the token's record with what info says now. */
hf_result token_put(struct hf_txn *txn, const struct hf_token_info *info,
                    const uint8_t hash[static TOKEN_HASH], uint64_t expect_rev, enum token_state state,
                    int64_t due_ns);

#endif
