/* auth/cert: login with a client certificate, whose private key TLS saw proved. A role trusts certificates (of issuers,
 * or of single holders) and may ask for names; all kinds of names that it lists must be met, each by one. */
#include "ops/auth.h"
#include "ops/handlers.h"

#include "crypto/x509_verify.h"

static const struct {
    const char *field;
    enum hf_x509_name kind;
} constraints[] = {
    {"allowed_common_names", HF_X509_COMMON_NAME},  {"allowed_dns_sans", HF_X509_DNS},
    {"allowed_email_sans", HF_X509_EMAIL},          {"allowed_uri_sans", HF_X509_URI},
    {"allowed_organizational_units", HF_X509_UNIT},
};
enum { CONSTRAINTS = HF_ARRAY_LEN(constraints) };

/* ---- roles ---- */

/* What would narrow who may log in, and is not there: silence would let in more than was meant. */
static hf_result refuse_unsupported(struct hf_call *call)
{
    struct hf_tree required = {0};
    bool ocsp = false;
    TRY(hf_auth_list(call, "required_extensions", HF_LIST_AS_IS, &required));
    TRY(hf_tree_bool(&call->args, "ocsp_enabled", false, &ocsp));
    if (required.count != 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "required_extensions is not supported");
    if (ocsp)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "ocsp_enabled is not supported");
    return HF_DONE;
}

HF_HANDLER(hf_auth_cert_write)
{
    struct hf_role role;
    struct hf_token_params params;
    struct hf_cursor lower;
    TRY(hf_auth_lower(call, hf_call_param(call, "name"), &lower));
    TRY(hf_role_load(core, call, "cert", lower, &role));
    TRY(refuse_unsupported(call));
    hf_token_params_read(&role.map, &params);
    TRY(hf_token_params_update(call, &params));
    struct hf_cursor pem = hf_tree_get(&role.map, "certificate").body, asked = {0};
    struct hf_cursor display = hf_tree_get(&role.map, "display_name").body, shown = {0};
    TRY(hf_tree_text(&call->args, "certificate", &asked));
    TRY(hf_tree_text(&call->args, "display_name", &shown));
    if (asked.left != 0)
        pem = asked;
    if (hf_tree_has(&call->args, "display_name"))
        display = shown;
    if (display.left == 0)
        display = lower;
    if (display.left > HF_ROLE_NAME_MAX)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "display_name is too long");
    if (!HF_IS_OK(hf_x509_check_trusted(pem)))
        return hf_call_fail(call, HF_BAD_ARGUMENT, "failed to parse certificate");
    struct hf_tree names = hf_tree_get(&role.map, "allowed_names"), lists[CONSTRAINTS];
    TRY(hf_auth_list(call, "allowed_names", HF_LIST_AS_IS, &names));
    for (size_t i = 0; i < CONSTRAINTS; i++) {
        lists[i] = hf_tree_get(&role.map, constraints[i].field);
        TRY(hf_auth_list(call, constraints[i].field, HF_LIST_AS_IS, &lists[i]));
    }
    size_t room = HF_ROLE_BYTES_MAX + HF_X509_PEM_MAX;
    uint8_t *bytes = hf_scratch_alloc(call->scratch, room);
    if (bytes == NULL)
        return HF_FAIL(NO_MEMORY);
    struct hf_buf plain = hf_buf(bytes, room);
    struct hf_tree_writer w = hf_tree_writer(&plain);
    hf_tw_map(&w);
    hf_tw_k_list(&w, "allowed_names", &names);
    for (size_t i = 0; i < CONSTRAINTS; i++)
        hf_tw_k_list(&w, constraints[i].field, &lists[i]);
    hf_tw_k_slice(&w, "certificate", pem);
    hf_tw_k_slice(&w, "display_name", display);
    hf_tw_k_list(&w, "required_extensions", &(struct hf_tree){0});
    hf_token_params_write(&params, &w);
    hf_tw_end(&w);
    if (plain.overflow)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "the role is too large");
    return hf_role_save(core, call, &role, hf_buf_cursor(&plain));
}

HF_HANDLER(hf_auth_cert_read)
{
    struct hf_role role;
    struct hf_cursor lower;
    TRY(hf_auth_lower(call, hf_call_param(call, "name"), &lower));
    TRY(hf_role_load(core, call, "cert", lower, &role));
    if (role.rev == 0)
        return HF_FAIL(NOT_FOUND);
    hf_tw_copy(call->w, &role.map);
    return HF_DONE;
}

HF_HANDLER(hf_auth_cert_list)
{
    return hf_role_list(core, call, "cert");
}

HF_HANDLER(hf_auth_cert_delete)
{
    struct hf_cursor lower;
    TRY(hf_auth_lower(call, hf_call_param(call, "name"), &lower));
    return hf_role_delete(core, call, "cert", lower);
}

/* ---- login ---- */

static bool glob_fits(struct hf_cursor glob, struct hf_cursor name)
{
    bool front = glob.left != 0 && glob.at[0] == '*';
    if (front) {
        glob.at++;
        glob.left--;
    }
    bool back = glob.left != 0 && glob.at[glob.left - 1] == '*';
    if (back)
        glob.left--;
    if (glob.left == 0)
        return front || back;
    if (name.left < glob.left)
        return false;
    if (front && back)
        return memmem(name.at, name.left, glob.at, glob.left) != NULL;
    const uint8_t *from = front ? name.at + name.left - glob.left : name.at;
    return (front || back || name.left == glob.left) &&
           memcmp(from, glob.at, glob.left) == 0; /* public bytes */
}

struct meeting {
    const struct hf_tree *allowed;
    bool met;
};

static bool meet(void *arg, struct hf_cursor name)
{
    struct meeting *meeting = arg;
    struct hf_tree_iter iter = hf_tree_iterate(meeting->allowed);
    struct hf_cursor unused;
    struct hf_tree item;
    while (!meeting->met && hf_tree_next(&iter, &unused, &item))
        meeting->met = glob_fits(item.body, name);
    return !meeting->met;
}

static bool meets_names(const struct hf_x509 *cert, const struct hf_tree *role)
{
    for (size_t i = 0; i < CONSTRAINTS; i++) {
        struct hf_tree allowed = hf_tree_get(role, constraints[i].field);
        struct meeting meeting = {.allowed = &allowed};
        if (allowed.count == 0)
            continue;
        hf_x509_names(cert, constraints[i].kind, meet, &meeting);
        if (!meeting.met)
            return false;
    }
    struct hf_tree any = hf_tree_get(role, "allowed_names");
    struct meeting meeting = {.allowed = &any, .met = any.count == 0};
    static const enum hf_x509_name kinds[] = {HF_X509_COMMON_NAME, HF_X509_DNS, HF_X509_EMAIL};
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds) && !meeting.met; i++)
        hf_x509_names(cert, kinds[i], meet, &meeting);
    return meeting.met;
}

struct search {
    struct hf_core *core;
    struct hf_call *call;
    const struct hf_x509 *cert;
    struct hf_role role;
    struct hf_cursor name;
    bool found;
    hf_result failed;
};

static bool try_role(void *arg, struct hf_cursor name)
{
    struct search *s = arg;
    struct hf_role role;
    s->failed = hf_role_load(s->core, s->call, "cert", name, &role);
    if (!HF_IS_OK(s->failed))
        return false;
    if (role.rev == 0)
        return true;
    struct hf_tree cidrs = hf_tree_get(&role.map, "token_bound_cidrs");
    struct hf_cursor pem = hf_tree_get(&role.map, "certificate").body;
    if (!hf_auth_cidrs_have(&cidrs, s->call->wire.peer_ip) || !meets_names(s->cert, &role.map) ||
        !HF_IS_OK(hf_x509_verify(s->cert, pem, s->call->now_ns)))
        return true;
    s->failed = hf_auth_keep(s->call, name, &s->name);
    s->role = role;
    s->found = HF_IS_OK(s->failed);
    return false;
}

static bool first_name(void *arg, struct hf_cursor name)
{
    struct hf_buf *out = arg;
    hf_buf_put_cursor(out, name);
    return false;
}

static hf_result write_meta(const struct search *s, struct hf_buf *out)
{
    uint8_t bytes[HF_X509_NAME_MAX];
    struct hf_tree_writer w = hf_tree_writer(out);
    hf_tw_map(&w);
    hf_tw_k_slice(&w, "cert_name", s->name);
    struct hf_buf text = hf_buf(bytes, sizeof(bytes));
    hf_x509_names(s->cert, HF_X509_COMMON_NAME, first_name, &text);
    hf_tw_k_slice(&w, "common_name", hf_buf_cursor(&text));
    static const struct {
        const char *key;
        void (*put)(const struct hf_x509 *cert, struct hf_buf *out);
    } rest[] = {{"serial_number", hf_x509_serial},
                {"subject_key_id", hf_x509_subject_key_id},
                {"authority_key_id", hf_x509_authority_key_id}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rest); i++) {
        text = hf_buf(bytes, sizeof(bytes));
        rest[i].put(s->cert, &text);
        hf_tw_k_slice(&w, rest[i].key, hf_buf_cursor(&text));
    }
    hf_tw_end(&w);
    return hf_buf_ok(out);
}

static hf_result search(struct hf_call *call, struct search *s)
{
    struct hf_cursor wanted = {0}, lower;
    TRY(hf_tree_text(&call->args, "name", &wanted));
    if (wanted.left != 0) {
        TRY(hf_auth_lower(call, wanted, &lower));
        (void)try_role(s, lower);
        return s->failed;
    }
    TRY(hf_role_names(s->core, call, "cert", try_role, s));
    return s->failed;
}

HF_HANDLER(hf_auth_cert_login)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    struct hf_cursor limited = hf_cursor_text("auth/cert");
    CLEANUP(hf_x509_freep) struct hf_x509 *cert = NULL;
    TRY(hf_limits_check(u->policy, call->wire.peer_ip, limited));
    if (call->wire.cert.left == 0)
        return hf_call_fail(call, HF_BAD_ARGUMENT, "client certificate must be supplied");
    struct search s = {.core = core, .call = call, .failed = HF_DONE};
    if (HF_IS_OK(hf_x509_parse(call->wire.cert, &cert))) {
        s.cert = cert;
        TRY(search(call, &s));
    }
    if (!s.found) {
        hf_limits_failed(u->policy, call->wire.peer_ip, limited);
        return hf_call_fail(call, HF_BAD_ARGUMENT, "invalid certificate or no client certificate supplied");
    }
    struct hf_token_params params;
    hf_token_params_read(&s.role.map, &params);
    uint8_t bytes[HF_TOKEN_META_MAX];
    struct hf_buf meta = hf_buf(bytes, sizeof(bytes));
    struct hf_login login = {
        .params = &params,
        .display_name = hf_tree_get(&s.role.map, "display_name").body,
        .path = call->wire.path,
        .renewable = true,
    };
    TRY(write_meta(&s, &meta));
    TRY(hf_tree_open(hf_buf_cursor(&meta), &login.meta));
    CLEANUP(hf_txn_freep) struct hf_txn *txn = NULL;
    TRY(hf_txn_begin(u->records, &txn));
    TRY(hf_auth_login(core, call, &login, txn));
    hf_limits_succeeded(u->policy, call->wire.peer_ip, limited);
    return HF_DONE;
}
