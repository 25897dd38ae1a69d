/* The text of a token, its keyed hash, and its record. */
#include <assert.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/epoch.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "policy/internal.h"
#include "secret/ct.h"

enum {
    RANDOM_BYTES = 24,
    MAC_BYTES = 8,
    TEXT_BYTES = RANDOM_BYTES + MAC_BYTES,
    PREFIX_LEN = 4,
    BODY_LEN = 43
};
static const char prefix[] = "hvs.";
static const char mac_label[] = "holdfast token mac";
static const char id_label[] = "holdfast token id";

static_assert(sizeof(prefix) - 1 == PREFIX_LEN, "the form's length is computed from it");

/* ---- text ---- */

static hf_result mac_of(struct hf_policy *policy, const uint8_t random[static RANDOM_BYTES],
                        uint8_t ret_mac[static TOKEN_HASH])
{
    struct hf_cursor parts[] = {hf_cursor_text(mac_label), hf_cursor(random, RANDOM_BYTES)};
    return hf_hmac(HF_SHA2_256, policy->token_key, parts, HF_ARRAY_LEN(parts), ret_mac);
}

hf_result token_text_new(struct hf_policy *policy, struct hf_buf *out)
{
    uint8_t bytes[TEXT_BYTES], mac[TOKEN_HASH];
    TRY(hf_random(bytes, RANDOM_BYTES));
    hf_result done = mac_of(policy, bytes, mac);
    if (HF_IS_OK(done)) {
        memcpy(bytes + RANDOM_BYTES, mac, MAC_BYTES);
        hf_buf_text(out, prefix);
        hf_base64url_encode(out, hf_cursor(bytes, sizeof(bytes)));
        done = hf_buf_ok(out);
    }
    hf_wipe(bytes, sizeof(bytes));
    return done;
}

static bool decode_text(struct hf_cursor text, uint8_t ret_bytes[static TEXT_BYTES])
{
    if (text.left != PREFIX_LEN + BODY_LEN || memcmp(text.at, prefix, PREFIX_LEN) != 0) /* public form */
        return false;
    struct hf_buf out = hf_buf(ret_bytes, TEXT_BYTES);
    return HF_IS_OK(hf_base64url_decode(&out, hf_cursor(text.at + PREFIX_LEN, BODY_LEN))) &&
           out.len == TEXT_BYTES;
}

bool token_text_has_form(struct hf_cursor text)
{
    uint8_t bytes[TEXT_BYTES];
    bool has = decode_text(text, bytes);
    hf_wipe(bytes, sizeof(bytes));
    return has;
}

hf_result token_text_check(struct hf_policy *policy, struct hf_cursor text, bool *ret_genuine)
{
    uint8_t bytes[TEXT_BYTES], mac[TOKEN_HASH];
    *ret_genuine = true; /* a text of another form may be one that an operator chose */
    if (!decode_text(text, bytes))
        return HF_DONE;
    hf_result done = mac_of(policy, bytes, mac);
    *ret_genuine = HF_IS_OK(done) && hf_ct_equal(mac, bytes + RANDOM_BYTES, MAC_BYTES);
    hf_wipe(bytes, sizeof(bytes));
    return done;
}

hf_result token_hash(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor text,
                     uint8_t ret_hash[static TOKEN_HASH])
{
    struct hf_cursor parts[] = {hf_cursor_text(id_label), ns, text};
    return hf_hmac(HF_SHA2_256, policy->token_key, parts, HF_ARRAY_LEN(parts), ret_hash);
}

hf_result hf_token_accessor(struct hf_policy *policy, struct hf_cursor ns, struct hf_cursor token,
                            struct hf_id *ret_accessor)
{
    bool genuine;
    uint8_t hash[TOKEN_HASH];
    if (token.left == 0 || token.left > HF_TOKEN_TEXT_MAX || ns.left != NS_LEN)
        return HF_FAIL(NOT_FOUND);
    TRY(token_text_check(policy, token, &genuine));
    if (!genuine)
        return HF_FAIL(NOT_FOUND);
    TRY(token_hash(policy, ns, token, hash));
    memcpy(ret_accessor->bytes, hash, sizeof(ret_accessor->bytes));
    return HF_DONE;
}

/* ---- record ---- */

void token_name(struct hf_id parent, struct hf_id self, uint8_t ret_name[static 65])
{
    struct hf_buf out = hf_buf(ret_name, 65);
    hf_hex_encode(&out, hf_cursor(parent.bytes, sizeof(parent.bytes)));
    hf_buf_u8(&out, '/');
    hf_hex_encode(&out, hf_cursor(self.bytes, sizeof(self.bytes)));
}

hf_result token_encode(const struct hf_token_info *info, const uint8_t hash[static TOKEN_HASH],
                       struct hf_buf *out)
{
    struct hf_tree_writer w = hf_tree_writer(out);
    hf_tw_map(&w);
    hf_tw_k_bytes(&w, "ns", info->ns);
    hf_tw_k_bytes(&w, "hash", hf_cursor(hash, TOKEN_HASH));
    hf_tw_k_bytes(&w, "parent", hf_cursor(info->parent.bytes, sizeof(info->parent.bytes)));
    hf_tw_k_slice(&w, "name", info->display_name);
    hf_tw_k_slice(&w, "path", info->path);
    hf_tw_k_slice(&w, "role", info->role);
    hf_tw_k(&w, "policies");
    hf_tw_array(&w);
    for (size_t i = 0; i < info->policy_count; i++)
        hf_tw_text(&w, info->policies[i]);
    hf_tw_end(&w);
    hf_tw_k(&w, "meta");
    hf_tw_copy(&w, &info->meta);
    hf_tw_k(&w, "cidrs");
    hf_tw_copy(&w, &info->cidrs);
    hf_tw_k_int(&w, "created", info->created_ns);
    hf_tw_k_int(&w, "renewed", info->renewed_ns);
    hf_tw_k_int(&w, "expires", info->expires_ns);
    hf_tw_k_int(&w, "ttl", info->ttl_ns);
    hf_tw_k_int(&w, "max_ttl", info->max_ttl_ns);
    hf_tw_k_int(&w, "explicit_max_ttl", info->explicit_max_ttl_ns);
    hf_tw_k_int(&w, "period", info->period_ns);
    hf_tw_k_int(&w, "uses", (int64_t)info->num_uses);
    hf_tw_k_bool(&w, "orphan", info->orphan);
    hf_tw_k_bool(&w, "renewable", info->renewable);
    hf_tw_end(&w);
    return hf_buf_ok(out);
}

static hf_result read_lists(struct token *token, const struct hf_tree *map)
{
    struct hf_tree policies = hf_tree_get(map, "policies"), item;
    struct hf_cursor unused;
    if (policies.tag != HF_TREE_ARRAY || policies.count > HF_TOKEN_POLICIES_MAX)
        return HF_FAIL(CORRUPT);
    struct hf_tree_iter iter = hf_tree_iterate(&policies);
    while (hf_tree_next(&iter, &unused, &item)) {
        token->info.root |= hf_cursor_is(item.body, "root");
        token->policies[token->info.policy_count++] = item.body;
    }
    token->info.policies = token->policies;
    token->info.cidrs = hf_tree_get(map, "cidrs");
    if (token->info.cidrs.count > HF_TOKEN_CIDRS_MAX)
        return HF_FAIL(CORRUPT);
    iter = hf_tree_iterate(&token->info.cidrs);
    while (hf_tree_next(&iter, &unused, &item))
        if (!HF_IS_OK(hf_cidr_parse(item.body, &token->cidrs[token->cidr_count++])))
            return HF_FAIL(CORRUPT);
    return HF_DONE;
}

static hf_result read_numbers(struct hf_token_info *info, const struct hf_tree *map)
{
    int64_t uses = 0;
    TRY(hf_tree_int(map, "created", 0, &info->created_ns));
    TRY(hf_tree_int(map, "renewed", 0, &info->renewed_ns));
    TRY(hf_tree_int(map, "expires", 0, &info->expires_ns));
    TRY(hf_tree_int(map, "ttl", 0, &info->ttl_ns));
    TRY(hf_tree_int(map, "max_ttl", 0, &info->max_ttl_ns));
    TRY(hf_tree_int(map, "explicit_max_ttl", 0, &info->explicit_max_ttl_ns));
    TRY(hf_tree_int(map, "period", 0, &info->period_ns));
    TRY(hf_tree_int(map, "uses", 0, &uses));
    TRY(hf_tree_bool(map, "orphan", false, &info->orphan));
    TRY(hf_tree_bool(map, "renewable", false, &info->renewable));
    info->num_uses = (uint64_t)uses;
    return HF_DONE;
}

static hf_result read_token(struct hf_policy *policy, const struct hf_record *record, struct token *token)
{
    struct hf_tree map;
    struct hf_token_info *info = &token->info;
    TRY(hf_tree_open(hf_cursor(token->bytes, record->plain.left), &map));
    struct hf_tree hash = hf_tree_get(&map, "hash"), parent = hf_tree_get(&map, "parent");
    info->ns = hf_tree_get(&map, "ns").body;
    if (hash.body.left != TOKEN_HASH || parent.body.left != sizeof(info->parent.bytes) ||
        info->ns.left != NS_LEN)
        return HF_FAIL(CORRUPT);
    memcpy(token->hash, hash.body.at, TOKEN_HASH);
    memcpy(info->accessor.bytes, record->id.bytes, sizeof(info->accessor.bytes));
    memcpy(info->parent.bytes, parent.body.at, sizeof(info->parent.bytes));
    if (memcmp(token->hash, record->id.bytes, sizeof(record->id.bytes)) != 0) /* public: both are stored */
        return HF_FAIL(CORRUPT);
    info->display_name = hf_tree_get(&map, "name").body;
    info->path = hf_tree_get(&map, "path").body;
    info->role = hf_tree_get(&map, "role").body;
    info->meta = hf_tree_get(&map, "meta");
    TRY(read_numbers(info, &map));
    TRY(read_lists(token, &map));
    token->rev = record->rev;
    token->state = record->state == TOKEN_ALIVE ? TOKEN_ALIVE : TOKEN_REVOKING;

    if (info->expires_ns != 0) {
        int64_t left = info->expires_ns - hf_wall_ns(policy->clock);
        token->boot_expires_ns = HF_MAX(hf_boot_ns(policy->clock) + left, INT64_C(1));
    }
    return HF_DONE;
}

static void show_identity(struct token *token)
{
    const struct hf_token_info *info = &token->info;
    struct hf_identity *identity = &token->identity;
    *identity = (struct hf_identity){
        .accessor = info->accessor,
        .ns = info->ns,
        .root = info->root,
        .created_ns = info->created_ns,
        .expires_ns = info->expires_ns,
        .ttl_ns = info->ttl_ns,
        .max_ttl_ns = info->explicit_max_ttl_ns != 0 ? info->explicit_max_ttl_ns : info->max_ttl_ns,
        .period_ns = info->period_ns,
        .uses_left = info->num_uses,
        .orphan = info->orphan,
        .renewable = info->renewable,
        .inner = token,
    };
    size_t len = HF_MIN(info->display_name.left, sizeof(identity->display_name) - 1);
    if (len != 0)
        memcpy(identity->display_name, info->display_name.at, len);
}

hf_result token_decode(struct hf_policy *policy, const struct hf_record *record, struct token **ret_token)
{
    CLEANUP(token_freep) struct token *token = calloc(1, sizeof(*token) + record->plain.left);
    if (token == NULL)
        return HF_FAIL(NO_MEMORY);
    if (record->plain.left != 0)
        memcpy(token->bytes, record->plain.at, record->plain.left);
    hf_result read = read_token(policy, record, token);
    if (!HF_IS_OK(read))
        return HF_FAIL(CORRUPT);
    show_identity(token);
    *ret_token = TAKE(token);
    return HF_DONE;
}

void token_release(void *object)
{
    struct token *token = object;
    if (token != NULL)
        free(token->ancestors);
    free(token);
}

void token_freep(struct token **token)
{
    token_release(*token);
}

hf_result token_load(struct hf_policy *policy, struct hf_id accessor, struct token **ret_token)
{
    CLEANUP(hf_record_done) struct hf_record record = {0};
    TRY(hf_record_load(policy->records, HF_TABLE_TOKEN, accessor, &record));
    return token_decode(policy, &record, ret_token);
}

static hf_result next_ancestor(struct hf_policy *policy, struct token *token, struct hf_id *up,
                               bool *ret_more)
{
    CLEANUP(token_freep) struct token *ancestor = NULL;
    hf_result loaded = token_load(policy, *up, &ancestor);
    if (loaded.code == HF_NOT_FOUND)
        return HF_FAIL(DENIED);
    TRY(loaded);
    if (ancestor->state != TOKEN_ALIVE || token_expired(policy, ancestor))
        return HF_FAIL(DENIED);
    token->ancestors[token->ancestor_count++] = *up;
    *ret_more = !ancestor->info.orphan;
    *up = ancestor->info.parent;
    return HF_DONE;
}

hf_result token_lineage(struct hf_policy *policy, struct token *token)
{
    struct hf_id up = token->info.parent;
    bool more = !token->info.orphan;
    if (!more)
        return HF_DONE;
    token->ancestors = calloc(LINEAGE_MAX, sizeof(*token->ancestors));
    if (token->ancestors == NULL)
        return HF_FAIL(NO_MEMORY);
    while (more && token->ancestor_count < LINEAGE_MAX)
        TRY(next_ancestor(policy, token, &up, &more));
    return more ? HF_FAIL(DENIED) : HF_DONE;
}

bool token_expired(const struct hf_policy *policy, const struct token *token)
{
    if (token->info.expires_ns == 0)
        return false;
    return hf_wall_ns(policy->clock) >= token->info.expires_ns ||
           hf_boot_ns(policy->clock) >= token->boot_expires_ns;
}

hf_result token_commit(const struct hf_commit *commit, struct hf_txn *txn)
{
    if (commit != NULL)
        return commit->commit(commit->arg, txn);
    struct hf_store_outcome outcome;
    return hf_txn_commit(txn, &outcome);
}

hf_result token_put(struct hf_txn *txn, const struct hf_token_info *info,
                    const uint8_t hash[static TOKEN_HASH], uint64_t expect_rev, enum token_state state,
                    int64_t due_ns)
{
    uint8_t bytes[HF_TOKEN_RECORD_MAX], name[65];
    struct hf_buf plain = hf_buf(bytes, sizeof(bytes));
    TRY(token_encode(info, hash, &plain));
    token_name(info->parent, info->accessor, name);
    return hf_txn_put(txn, HF_TABLE_TOKEN, info->accessor, expect_rev, info->ns,
                      hf_cursor(name, sizeof(name)), state, due_ns, hf_buf_cursor(&plain));
}
