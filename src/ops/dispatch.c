/* One call, end to end: find the row, ask whether it may, run the handler, write the leaf, answer. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ops/core.h"
#include "ops/metrics.h"
#include "ops/mounts.h"
#include "seal/seal.h"

enum { SCRATCH_BYTES = 256 << 10, TREE_BYTES = HF_FRAME_MAX, TREE_KEEP = 1 << 20, SEGMENTS_MAX = 24 };

struct hf_core_thread {
    struct hf_core *core;
    unsigned index;
    struct hf_scratch *scratch;
    uint8_t *
        tree; /* the answer's tree is written here: reserved address space, pages as used, wiped after each call */
    struct hf_audit_batch_writer
        *batch; /* with leaves not yet flushed, else NULL; while set, this thread stays inside
                                            its epoch, so that sealing waits for the flush */
};

hf_result hf_core_thread_new(struct hf_core *core, unsigned index, struct hf_core_thread **ret)
{
    struct hf_core_thread *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return HF_FAIL(NO_MEMORY);
    t->core = core;
    t->index = index;
    void *tree =
        mmap(NULL, TREE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    hf_result done = hf_scratch_new(SCRATCH_BYTES, &t->scratch);
    if (tree == MAP_FAILED || !HF_IS_OK(done)) {
        if (tree != MAP_FAILED)
            munmap(tree, TREE_BYTES);
        hf_scratch_free(t->scratch);
        free(t);
        return HF_IS_OK(done) ? HF_FAIL(NO_MEMORY) : done;
    }
    (void)madvise(tree, TREE_BYTES, MADV_DONTDUMP); /* a protection in depth: answers may carry data keys */
    (void)madvise(tree, TREE_BYTES, MADV_DONTFORK);
    t->tree = tree;
    *ret = t;
    return HF_DONE;
}

void hf_core_thread_free(struct hf_core_thread *thread)
{
    if (thread == NULL)
        return;
    hf_scratch_free(thread->scratch);
    munmap(thread->tree, TREE_BYTES);
    free(thread);
    hf_epoch_thread_end();
}

/* ---- finding the row ---- */

static bool take_segment(struct hf_cursor *path, struct hf_cursor *ret_segment)
{
    if (path->left == 0)
        return false;
    const uint8_t *slash = memchr(path->at, '/', path->left);
    size_t len = slash == NULL ? path->left : (size_t)(slash - path->at);
    *ret_segment = hf_cursor(path->at, len);
    size_t skip = len + (slash == NULL ? 0 : 1);
    path->at += skip;
    path->left -= skip;
    return true;
}

/* Whether rest (below the mount) fits the row's pattern; fills the parameters. */
static bool pattern_fits(const char *pattern, struct hf_cursor rest, struct hf_call *call)
{
    size_t params = 0;
    const char *p = pattern;
    while (*p != '\0') {
        const char *end = strchrnul(p, '/');
        if (*p == '*') { /* the rest, at least one character */
            if (rest.left == 0 || params == HF_CALL_PARAMS_MAX)
                return false;
            call->params[params].name = p + 1;
            call->params[params++].value = rest;
            rest.left = 0;
            break;
        }
        struct hf_cursor segment;
        if (!take_segment(&rest, &segment))
            return false;
        if (*p == ':') {
            if (segment.left == 0 || params == HF_CALL_PARAMS_MAX)
                return false;
            call->params[params].name = p + 1; /* ends at '/' or NUL: see param_is */
            call->params[params++].value = segment;
        } else if (segment.left != (size_t)(end - p) ||
                   memcmp(segment.at, p, segment.left) != 0) { /* public */
            return false;
        }
        p = *end == '/' ? end + 1 : end;
    }
    if (rest.left != 0)
        return false;
    for (; params < HF_CALL_PARAMS_MAX; params++)
        call->params[params].name = NULL;
    return true;
}

enum find { FOUND, NO_ROUTE, NO_METHOD };

static enum find find_row(enum hf_engine engine, struct hf_cursor rest, struct hf_call *call)
{
    enum find found = NO_ROUTE;
    unsigned method = 1u << call->wire.method;
    uint8_t first = rest.left != 0 ? rest.at[0] : 0;
    for (size_t i = 0; i < hf_operation_count; i++) {
        const struct hf_operation *op = &hf_operations[i];
        if (op->engine != engine)
            continue;
        uint8_t c = (uint8_t)op->path[0];
        if (c != ':' && c != '*' && c != first)
            continue;
        if (!pattern_fits(op->path, rest, call))
            continue;
        if ((op->methods & method) == 0) {
            found = NO_METHOD;
            continue;
        }
        call->op = op;
        return FOUND;
    }
    return found;
}

static bool strip(struct hf_cursor *path, const char *prefix)
{
    size_t len = strlen(prefix);
    if (path->left < len || memcmp(path->at, prefix, len) != 0) /* public */
        return false;
    path->at += len;
    path->left -= len;
    return true;
}

static const struct {
    const char *prefix;
    enum hf_engine engine;
} builtin[] = {
    {"sys/", HF_ENGINE_SYS},
    {"audit/", HF_ENGINE_AUDIT},
    {"auth/token/", HF_ENGINE_TOKEN},
};

static enum find route(struct hf_unsealed *u, struct hf_call *call)
{
    struct hf_cursor rest = call->wire.path;
    for (size_t i = 0; i < HF_ARRAY_LEN(builtin); i++) {
        if (strip(&rest, builtin[i].prefix)) {
            call->audit.mount = hf_cursor_text(builtin[i].prefix);
            return find_row(builtin[i].engine, rest, call);
        }
    }
    if (u == NULL)
        return NO_ROUTE;
    if (call->slash) { /* the root of a mount: its own path ends in one */
        struct hf_cursor whole = hf_cursor(call->wire.path.at, call->wire.path.left + 1);
        if (hf_mount_exact(hf_mounts_now(u), call->ns, whole) != NULL)
            call->wire.path = call->acl_path = call->audit.path = rest = whole;
    }
    call->mount = hf_mount_find(hf_mounts_now(u), call->ns, call->wire.path);
    if (call->mount == NULL)
        return NO_ROUTE;
    call->audit.mount = hf_cursor(call->mount->path, call->mount->path_len);
    rest.at += HF_MIN(call->mount->path_len, rest.left);
    rest.left -= HF_MIN(call->mount->path_len, rest.left);
    return find_row(call->mount->engine, rest, call);
}

/* ---- may it ---- */

/* X-Vault-Namespace, or the root namespace where there is none. */
static hf_result enter_namespace(struct hf_core *core, struct hf_call *call)
{
    while (call->wire.ns.left != 0 && call->wire.ns.at[0] == '/')
        (void)hf_cursor_take(&call->wire.ns, 1, &(struct hf_cursor){0});
    if (call->wire.ns.left == 0 || hf_cursor_is(call->wire.ns, "root"))
        return HF_DONE;
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    hf_result found = hf_namespace_find(hf_mounts_now(u), call->wire.ns, &call->ns);
    return found.code == HF_NOT_FOUND ? HF_FAIL(DENIED) : found;
}

static hf_result when_allows(struct hf_core *core, const struct hf_unsealed *u, enum hf_when when)
{
    if (when == HF_WHEN_ANY || (when == HF_WHEN_UNSEALED && u != NULL))
        return HF_DONE;
    struct hf_seal_status status = {0};
    TRY(hf_seal_status(core->seal, &status));
    if (!status.initialized)
        return when == HF_WHEN_SEALED ? HF_DONE : HF_FAIL(NOT_INITIALIZED);
    if (when == HF_WHEN_UNSEALED)
        return HF_FAIL(SEALED);
    return HF_DONE;
}

/* The path of the call from a namespace above its own. */
static hf_result path_from(const struct hf_namespace *above, const struct hf_namespace *here,
                           struct hf_call *call)
{
    size_t skip = above->path_len;
    size_t len = here->path_len - skip + call->wire.path.left;
    uint8_t *text = hf_scratch_alloc(call->scratch, len + 1);
    if (text == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf path = hf_buf(text, len);
    hf_buf_put(&path, here->path + skip, here->path_len - skip);
    hf_buf_put_cursor(&path, call->wire.path);
    call->acl_path = hf_buf_cursor(&path);
    return hf_buf_ok(&path);
}

/* A token serves in its own namespace and in those below it, as far as its policies say. */
static hf_result identify(struct hf_unsealed *u, struct hf_call *call)
{
    hf_result known = hf_identity_of(u->policy, call->ns, call->wire.token, call->may_wait, &call->identity);
    if (known.code != HF_DENIED || call->wire.ns.left == 0)
        return known;
    const struct hf_mount_table *table = hf_mounts_now(u);
    const struct hf_namespace *here = hf_namespace_of(table, call->ns);
    const struct hf_namespace *above = here;
    while (known.code == HF_DENIED && above != NULL && (above = hf_namespace_above(table, above)) != NULL) {
        known = hf_identity_of(u->policy, hf_cursor(above->id, sizeof(above->id)), call->wire.token,
                               call->may_wait, &call->identity);
        if (HF_IS_OK(known))
            TRY(path_from(above, here, call));
    }
    if (HF_IS_OK(known) && call->op != NULL && call->op->engine == HF_ENGINE_TOKEN &&
        (call->op->flags & HF_OP_SELF))
        call->ns = call->identity->ns; /* about the token itself: where it lives */
    return known;
}

static hf_result authenticate(struct hf_unsealed *u, struct hf_call *call)
{
    if (call->wire.token.left == 0)
        return HF_FAIL(DENIED);
    TRY(identify(u, call));
    TRY(hf_identity_from(call->identity, call->wire.peer_ip));
    call->audit.accessor = call->identity->accessor;
    return HF_DONE;
}

static hf_result authorize(const struct hf_unsealed *u, struct hf_call *call)
{
    uint32_t needs = call->op->needs;
    if (call->op->flags & HF_OP_SUDO)
        needs |= HF_CAP_SUDO;
    if (call->op->flags & HF_OP_UPSERT)
        return HF_DONE;                 /* the handler asks once it knows create from update */
    if (call->op->flags & HF_OP_SELF) { /* any valid token may, unless a policy denies it */
        uint32_t caps = hf_identity_capabilities(u->policy, call->identity, call->acl_path);
        return caps & HF_CAP_DENY ? HF_FAIL(DENIED) : HF_DONE;
    }
    return hf_identity_may(u->policy, call->identity, call->acl_path, needs, &call->args);
}

static hf_result no_such_row(struct hf_unsealed *u, struct hf_core *core, struct hf_call *call,
                             enum find found)
{
    TRY(when_allows(core, u, HF_WHEN_UNSEALED));
    TRY(authenticate(u, call)); /* a stranger learns nothing of what exists, nor who may nothing there */
    uint32_t caps = hf_identity_capabilities(u->policy, call->identity, call->acl_path);
    if (caps == 0 || (caps & HF_CAP_DENY))
        return HF_FAIL(DENIED);
    if (found == NO_METHOD)
        return hf_call_fail(call, HF_METHOD, "unsupported operation");
    return hf_call_fail_about(call, HF_NOT_FOUND, "no handler for route", call->wire.path);
}

static bool in_root_namespace(const struct hf_call *call)
{
    static const uint8_t root[16];
    return hf_cursor_same(call->ns, hf_cursor(root, sizeof(root)));
}

/* X-Vault-Wrap-TTL: a client that asks for a wrapped answer may not be given a bare one. */
static hf_result refuse_wrapping(struct hf_call *call)
{
    int64_t ttl = 0;
    if (call->wire.wrap_ttl.left == 0 || (HF_IS_OK(hf_duration_parse(call->wire.wrap_ttl, &ttl)) && ttl == 0))
        return HF_DONE;
    return hf_call_fail(call, HF_UNSUPPORTED, "response wrapping is not supported; nothing was done");
}

/* Counted at a call's first run: on a waiting thread only where its row always waits. */
static hf_result check_rate(struct hf_core *core, const struct hf_call *call)
{
    bool first = call->may_wait == ((call->op->flags & HF_OP_WAITS) != 0);
    if (core->config.requests_per_second == 0 || !first)
        return HF_DONE;
    return hf_limits_table_rate(core->limits, call->wire.peer_ip, core->config.requests_per_second);
}

static hf_result run(struct hf_core *core, struct hf_call *call)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    enum find found = route(u, call);
    if (found != FOUND)
        return no_such_row(u, core, call, found);
    const struct hf_operation *op = call->op;
    call->audit.operation = op->name; /* before the handler: its commit may write the leaf */
    if ((op->flags & HF_OP_WAITS) && !call->may_wait)
        return HF_FAIL(WOULD_BLOCK);
    TRY(check_rate(core, call));
    TRY(refuse_wrapping(call));
    if ((op->flags & HF_OP_ROOT_NS) && !in_root_namespace(call))
        return hf_call_fail(call, HF_UNSUPPORTED, "served in the root namespace only");
    TRY(when_allows(core, u, op->when));
    bool limited = (op->flags & HF_OP_LIMITED) != 0;
    struct hf_cursor what = hf_cursor_text(op->name);
    if (limited) { /* shares cannot be guessed: who offers wrong ones is slowed down, and operators not kept out */
        call->retry_after_s = HF_LIMITS_LOCK_MIN_S;
        TRY(hf_limits_table_check(core->limits, call->wire.peer_ip, what));
        call->retry_after_s = 0;
    }
    if (!(op->flags & HF_OP_UNAUTH)) {
        if (u == NULL)
            return HF_FAIL(SEALED);
        TRY(authenticate(u, call));
        TRY(authorize(u, call));
    }
    hf_result done = op->handler(core, call);
    if (limited && HF_IS_OK(done))
        hf_limits_table_succeeded(core->limits, call->wire.peer_ip, what);
    else if (limited && hf_code_http(done.code) < 500)
        hf_limits_table_failed(core->limits, call->wire.peer_ip, what, HF_LIMITS_LOCK_MIN_S);
    return done;
}

/* ---- the leaf ---- */

/* The thread's batch in the log of today. */
static hf_result add_to_batch(struct hf_core_thread *t, struct hf_unsealed *u,
                              const struct hf_audit_entry *entry)
{
    if (t->index >= u->batch_count)
        return HF_FAIL(INTERNAL);
    struct hf_audit_batch_writer **slot = &u->batches[t->index];
    if (*slot == NULL)
        TRY(hf_audit_batch_new(u->audit, slot));
    if (t->batch != NULL &&
        t->batch != *slot) /* sealed and unsealed within one batch: the old leaves go first */
        TRY(hf_core_thread_flush(t));
    if (t->batch == NULL) {
        hf_epoch_enter();
        t->batch = *slot;
    }
    return hf_audit_batch_add(t->batch, entry);
}

/* The audit keys are sealed too: what strangers try meanwhile (shares, mostly) is told by the log of events. */
static void say_while_sealed(const struct hf_call *call, hf_result outcome)
{
    char peer[INET6_ADDRSTRLEN];
    if (inet_ntop(AF_INET6, call->wire.peer_ip, peer, sizeof(peer)) == NULL)
        peer[0] = '\0';
    hf_log(HF_IS_OK(outcome) ? HF_LOG_INFO : HF_LOG_WARN, "core.while_sealed",
           hf_f("operation", call->op->name), hf_f("result", outcome),
           hf_f("request", call->audit.request_id), hf_f("peer", (const char *)peer));
}

static hf_result write_leaf(struct hf_core_thread *t, struct hf_unsealed *u, struct hf_call *call,
                            hf_result outcome)
{
    enum hf_audited audited = call->op == NULL ? HF_AUDIT_DATA : call->op->audited;
    if (u == NULL && audited == HF_AUDIT_MANAGEMENT && !call->leaf_written && outcome.code != HF_SEALED &&
        outcome.code != HF_NOT_INITIALIZED && outcome.code != HF_RATE_LIMITED)
        say_while_sealed(call, outcome);
    if (u == NULL || audited == HF_AUDIT_NONE || call->leaf_written)
        return HF_DONE;
    call->audit.outcome = outcome.code;
    /* A refusal changes nothing: its leaf goes with the data operations, so that refusals cannot be used to make
     * the disk sync. */
    if (audited == HF_AUDIT_MANAGEMENT && HF_IS_OK(outcome) && call->may_wait)
        return hf_audit_write(u->audit, &call->audit, NULL);
    return add_to_batch(t, u, &call->audit);
}

hf_result hf_core_thread_flush(struct hf_core_thread *thread)
{
    if (thread->batch == NULL)
        return HF_DONE;
    hf_result flushed = hf_audit_batch_flush(TAKE(thread->batch));
    hf_epoch_leave();
    return flushed;
}

/* ---- the answer ---- */

static void write_error(struct hf_call *call, struct hf_buf *tree, hf_result failed)
{
    tree->len = 0;
    tree->overflow = false;
    struct hf_tree_writer w = hf_tree_writer(tree);
    hf_tw_array(&w);
    hf_tw_text(&w, hf_cursor_text(call->error[0] != '\0' ? call->error : hf_code_text(failed.code)));
    hf_tw_end(&w);
}

static void write_answer(struct hf_core *core, const struct hf_call *call, hf_result outcome,
                         struct hf_cursor tree, uint64_t frame_id, struct hf_buf *out)
{
    uint8_t warnings[512];
    struct hf_buf wbuf = hf_buf(warnings, sizeof(warnings));
    if (call->warnings[0] != NULL) {
        struct hf_tree_writer w = hf_tree_writer(&wbuf);
        hf_tw_array(&w);
        for (size_t i = 0; i < HF_CALL_WARNINGS_MAX && call->warnings[i] != NULL; i++)
            hf_tw_text(&w, hf_cursor_text(call->warnings[i]));
        hf_tw_end(&w);
    }
    bool ok = HF_IS_OK(outcome);
    struct hf_wire_answer answer = {
        .http = ok && call->http != 0 ? call->http : (uint16_t)hf_code_http(outcome.code),
        .shape = ok ? call->shape : HF_ANSWER_ERRORS,
        .flags = core->config.level == HF_LEVEL_DEV ? HF_ANSWER_DEV : 0,
        .retry_after_s = call->retry_after_s,
        .content_type = hf_cursor_text(call->content_type != NULL ? call->content_type : ""),
        .warnings = wbuf.overflow ? (struct hf_cursor){0} : hf_buf_cursor(&wbuf),
        .tree = tree,
    };
    if (answer.shape == HF_ANSWER_NONE) {
        answer.http = call->http != 0 ? call->http : 204;
        answer.tree = (struct hf_cursor){0};
    }
    size_t begun = hf_frame_begin(out, HF_FRAME_ANSWER, 0, frame_id);
    hf_wire_answer_write(out, &answer);
    hf_frame_end(out, begun);
}

/* "audit log cannot be written: storage is full" */
static void audit_down_words(char *ret_text, size_t cap)
{
    enum hf_code cause = hf_audit_cause();
    if (cause == HF_COMMIT_UNKNOWN) /* of the leaf, not of what was asked for */
        cause = HF_STORE_DOWN;
    struct hf_buf text = hf_buf(ret_text, cap - 1);
    hf_buf_text(&text, hf_code_text(HF_AUDIT_DOWN));
    if (cause != HF_OK && cause != HF_AUDIT_DOWN) {
        hf_buf_text(&text, ": ");
        hf_buf_text(&text, hf_code_text(cause));
    }
    ret_text[text.overflow ? 0 : text.len] = '\0';
}

void hf_core_answer_failed(struct hf_buf *out, uint64_t frame_id, enum hf_code code)
{
    uint8_t bytes[512];
    char words[HF_CALL_ERROR_MAX] = "";
    if (code == HF_AUDIT_DOWN)
        audit_down_words(words, sizeof(words));
    struct hf_buf tree = hf_buf(bytes, sizeof(bytes));
    struct hf_tree_writer w = hf_tree_writer(&tree);
    hf_tw_array(&w);
    hf_tw_text(&w, hf_cursor_text(words[0] != '\0' ? words : hf_code_text(code)));
    hf_tw_end(&w);
    struct hf_wire_answer answer = {
        .http = (uint16_t)hf_code_http(code), .shape = HF_ANSWER_ERRORS, .tree = hf_buf_cursor(&tree)};
    size_t begun = hf_frame_begin(out, HF_FRAME_ANSWER, 0, frame_id);
    hf_wire_answer_write(out, &answer);
    hf_frame_end(out, begun);
}

static void wipe_tree(struct hf_core_thread *t, size_t used)
{
    if (used > TREE_KEEP) {
        hf_wipe(t->tree, TREE_KEEP);
        hf_wipe(t->tree + TREE_KEEP, used - TREE_KEEP);
        (void)madvise(t->tree + TREE_KEEP, TREE_BYTES - TREE_KEEP, MADV_DONTNEED); /* give the pages back */
    } else {
        hf_wipe(t->tree, used);
    }
}

static void fill_call(struct hf_core_thread *t, struct hf_call *call, bool may_wait)
{
    static const uint8_t root_ns[16];
    struct hf_core *core = t->core;
    call->ns = hf_cursor(root_ns, sizeof(root_ns));
    call->now_ns = hf_wall_ns(core->clock);
    call->may_wait = may_wait;
    call->thread = t->index;
    call->scratch = t->scratch;
    call->shape = HF_ANSWER_DATA;
    memcpy(call->audit.request_id.bytes, call->wire.request_id.bytes, 16);
    memcpy(call->audit.peer_ip, call->wire.peer_ip, 16);
    call->audit.tls_group = call->wire.tls_group;
    call->audit.level_dev = core->config.level == HF_LEVEL_DEV;
    /* One path for routing, policy and audit: with a slash at its end it is no other. */
    call->slash = call->wire.path.left != 0 && call->wire.path.at[call->wire.path.left - 1] == '/';
    call->wire.path.left -= call->slash;
    call->acl_path = call->wire.path;
    call->audit.path = call->wire.path;
    call->audit.asset = call->wire.asset;
    call->audit.operation = "none";
    call->audit.items = 1;
}

hf_result hf_core_call(struct hf_core *core, struct hf_core_thread *t, uint64_t frame_id,
                       struct hf_cursor body, bool may_wait, struct hf_buf *out)
{
    int64_t began = hf_boot_ns(core->clock);
    struct hf_call call = {0};
    struct hf_buf tree = hf_buf(t->tree, TREE_BYTES);
    struct hf_tree_writer w = hf_tree_writer(&tree);
    call.w = &w;
    hf_epoch_enter();
    hf_result outcome = hf_wire_call_read(body, &call.wire);
    if (HF_IS_OK(outcome)) {
        fill_call(t, &call, may_wait);
        outcome = hf_tree_open(call.wire.args, &call.args);
    }
    if (HF_IS_OK(outcome))
        outcome = enter_namespace(core, &call);
    if (HF_IS_OK(outcome))
        outcome = run(core, &call);
    if (outcome.code == HF_WOULD_BLOCK && !may_wait) {
        wipe_tree(t, tree.len);
        hf_scratch_reset(t->scratch);
        hf_epoch_leave();
        return outcome;
    }
    if (HF_IS_OK(outcome) && tree.overflow)
        outcome = HF_FAIL(TOO_LARGE);
    hf_result leaf = write_leaf(t, hf_core_unsealed(core), &call, outcome);
    if (!HF_IS_OK(leaf)) {
        outcome = HF_FAIL(AUDIT_DOWN);
        audit_down_words(call.error, sizeof(call.error));
    }
    size_t used = tree.len;
    if (!HF_IS_OK(outcome))
        write_error(&call, &tree, outcome);
    write_answer(core, &call, outcome, hf_buf_cursor(&tree), frame_id, out);
    hf_metrics_count(core->metrics, t->index, call.op, outcome.code, call.wire.tls_group,
                     hf_boot_ns(core->clock) - began);
    wipe_tree(t, HF_MAX(used, tree.len));
    hf_scratch_reset(t->scratch);
    hf_epoch_leave();
    return HF_DONE;
}
