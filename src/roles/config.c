#include "roles/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "roles/config_place.h"
#include "wire/hcl.h"

/* ---- errors ---- */

/* Keeps one more error; what was parsed goes nowhere where there is one. */
static void config_wrong(struct hf_config_errors *errors, const struct hf_config_place *place,
                         const char *reason, struct hf_cursor about)
{
    if (errors->count == HF_CONFIG_ERRORS_MAX) {
        errors->more = true;
        return;
    }
    struct hf_config_error *error = &errors->at[errors->count++];
    struct hf_buf out = hf_buf(error->reason, sizeof(error->reason) - 1);
    if (place != NULL && place->key.left != 0) {
        if (place->block != NULL) {
            hf_buf_text(&out, place->block);
            hf_buf_text(&out, ": ");
        }
        hf_buf_put(&out, place->key.at, HF_MIN(place->key.left, (size_t)64));
        hf_buf_text(&out, ": ");
    } else if (place != NULL && place->block != NULL) {
        hf_buf_text(&out, place->block);
        hf_buf_text(&out, ": ");
    }
    hf_buf_text(&out, reason);
    if (about.left != 0) {
        hf_buf_text(&out, " \"");
        hf_buf_put(&out, about.at, HF_MIN(about.left, (size_t)80));
        hf_buf_text(&out, "\"");
    }
    error->reason[out.len] = 0;
    error->line = error->column = 0;
    if (place != NULL)
        hf_config_locate(place, &error->line, &error->column);
}

static const struct hf_cursor nothing = {0};

/* ---- the table of keys ---- */

enum kind { TEXT, BOOL, COUNT, SIZE, DURATION, LEVEL, LOG_LEVEL, DURABILITY };
struct key {
    const char *name;
    enum kind kind;
    size_t offset, size;
    int64_t least, most;
};
#define IN(type, member) offsetof(struct type, member), sizeof(((struct type *)0)->member)

static const struct key top_keys[] = {
    {"level", LEVEL, IN(hf_config, level), 0, 0},
    {"log_level", LOG_LEVEL, IN(hf_config, log_level), 0, 0},
    {"cluster_name", TEXT, IN(hf_config, cluster_name), 1, 0},
    {"api_addr", TEXT, IN(hf_config, api_addr), 1, 0},
    {"user", TEXT, IN(hf_config, user), 1, 0},
    {"fronts", COUNT, IN(hf_config, fronts), 0, HF_CONFIG_FRONTS_MAX},
    {"core_threads", COUNT, IN(hf_config, core_threads), 0, HF_CONFIG_CORE_THREADS_MAX},
    {"secret_memory", SIZE, IN(hf_config, secret_memory_bytes), 16 << 20, INT64_C(1) << 36},
    {"default_lease_ttl", DURATION, IN(hf_config, default_lease_ttl_ns), HF_SECOND, INT64_MAX},
    {"max_lease_ttl", DURATION, IN(hf_config, max_lease_ttl_ns), HF_SECOND, INT64_MAX},
    {"audit_durability", DURABILITY, IN(hf_config, audit_strict), 0, 0},
};
static const struct key storage_keys[] = {
    {"path", TEXT, IN(hf_config, storage_path), 1, 0},
};
static const struct key limits_keys[] = {
    {"body_bytes_max", SIZE, IN(hf_config_limits, body_bytes_max), 1 << 10, 32 << 20},
    {"header_bytes_max", SIZE, IN(hf_config_limits, header_bytes_max), 1 << 10, 1 << 20},
    {"connections_max", COUNT, IN(hf_config_limits, connections_max), 1, 1000000},
    {"streams_max", COUNT, IN(hf_config_limits, streams_max), 1, 10000},
    {"header_timeout", DURATION, IN(hf_config_limits, header_timeout_ns), HF_MILLISECOND, 3600 * HF_SECOND},
    {"request_timeout", DURATION, IN(hf_config_limits, request_timeout_ns), HF_MILLISECOND, 3600 * HF_SECOND},
    {"idle_timeout", DURATION, IN(hf_config_limits, idle_timeout_ns), HF_MILLISECOND, 86400 * HF_SECOND},
    {"drain_timeout", DURATION, IN(hf_config_limits, drain_timeout_ns), 0, 3600 * HF_SECOND},
    {"requests_per_second", COUNT, IN(hf_config_limits, requests_per_second), 0, 1000000000},
};
/* The rest of a listener's keys are lists, or need more than a table says. */
static const struct key listener_keys[] = {
    {"tls_client_ca_file", TEXT, IN(hf_config_listener, client_ca_file), 1, 0},
    {"tls_require_client_cert", BOOL, IN(hf_config_listener, require_client_cert), 0, 0},
};

static const char *const level_names[] = {"dev", "standard", "hardened"};
static const char *const log_level_names[] = {"debug", "info", "warn", "error"};
static const char *const durability_names[] = {"batched", "strict"};

const char *hf_level_name(enum hf_level level)
{
    return (unsigned)level < HF_ARRAY_LEN(level_names) ? level_names[level] : "unknown";
}

static bool name_index(const struct hf_tree *value, const char *const *names, size_t count, unsigned *ret)
{
    if (value->tag != HF_TREE_TEXT)
        return false;
    for (size_t i = 0; i < count; i++)
        if (hf_cursor_is(value->body, names[i])) {
            *ret = (unsigned)i;
            return true;
        }
    return false;
}

/* A text without NUL that fits with its end. */
static bool take_text(const struct hf_tree *value, char *ret, size_t size)
{
    if (value->tag != HF_TREE_TEXT || value->body.left >= size ||
        (value->body.left != 0 && memchr(value->body.at, 0, value->body.left) != NULL))
        return false;
    memcpy(ret, value->body.at, value->body.left);
    ret[value->body.left] = 0;
    return true;
}

/* Bytes: 1048576, "1048576", "1MiB", "1 MiB". */
static bool take_size(const struct hf_tree *value, int64_t *ret)
{
    if (value->tag == HF_TREE_INT) {
        *ret = value->number;
        return value->number >= 0;
    }
    if (value->tag != HF_TREE_TEXT)
        return false;
    struct hf_cursor in = value->body;
    int64_t number = 0;
    size_t digits = 0;
    for (; digits < in.left && in.at[digits] >= '0' && in.at[digits] <= '9'; digits++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, in.at[digits] - '0', &number))
            return false;
    in = hf_cursor(in.at + digits, in.left - digits);
    while (in.left != 0 && in.at[0] == ' ')
        in = hf_cursor(in.at + 1, in.left - 1);
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    int64_t by = in.left == 0 ? 1 : 0;
    for (size_t i = 0; i < HF_ARRAY_LEN(units); i++)
        if (hf_cursor_is(in, units[i]))
            by = INT64_C(1) << (10 * i);
    return digits != 0 && by != 0 && !__builtin_mul_overflow(number, by, ret);
}

static void put_number(void *member, size_t size, int64_t number)
{
    if (size == sizeof(uint32_t)) {
        uint32_t narrow = (uint32_t)number;
        memcpy(member, &narrow, sizeof(narrow));
    } else {
        memcpy(member, &number, sizeof(number));
    }
}

/* Sets one member. Gives NULL, or what is wrong with the value. */
static const char *set_value(const struct key *key, void *into, const struct hf_tree *value)
{
    uint8_t *member = (uint8_t *)into + key->offset;
    int64_t number = 0;
    unsigned index = 0;
    switch (key->kind) {
    case TEXT:
        return !take_text(value, (char *)member, key->size) ? "expected a text that is not too long"
               : (int64_t)value->body.left < key->least     ? "may not be empty"
                                                            : NULL;
    case BOOL:
        if (value->tag != HF_TREE_TRUE && value->tag != HF_TREE_FALSE)
            return "expected true or false";
        *(bool *)member = value->tag == HF_TREE_TRUE;
        return NULL;
    case COUNT:
        if (value->tag != HF_TREE_INT)
            return "expected a whole number";
        number = value->number;
        break;
    case SIZE:
        if (!take_size(value, &number))
            return "expected a number of bytes, such as 1048576 or \"1MiB\"";
        break;
    case DURATION:
        if (value->tag == HF_TREE_INT && value->number >= 0 && value->number <= INT64_MAX / HF_SECOND)
            number = value->number * HF_SECOND;
        else if (value->tag != HF_TREE_TEXT || !HF_IS_OK(hf_duration_parse(value->body, &number)))
            return "expected a duration, such as \"90s\" or \"1h30m\"";
        break;
    case LEVEL:
        if (!name_index(value, level_names, HF_ARRAY_LEN(level_names), &index))
            return "expected \"dev\", \"standard\" or \"hardened\"";
        *(enum hf_level *)(void *)member = (enum hf_level)index;
        return NULL;
    case LOG_LEVEL:
        if (!name_index(value, log_level_names, HF_ARRAY_LEN(log_level_names), &index))
            return "expected \"debug\", \"info\", \"warn\" or \"error\"";
        *(enum hf_log_level *)(void *)member = (enum hf_log_level)index;
        return NULL;
    case DURABILITY:
        if (!name_index(value, durability_names, HF_ARRAY_LEN(durability_names), &index))
            return "expected \"batched\" or \"strict\"";
        *(bool *)member = index == 1;
        return NULL;
    }
    if (number < key->least || number > key->most)
        return "out of range";
    put_number(member, key->size, number);
    return NULL;
}

static const struct key *find_key(const struct key *keys, size_t count, struct hf_cursor name)
{
    for (size_t i = 0; i < count; i++)
        if (hf_cursor_is(name, keys[i].name))
            return &keys[i];
    return NULL;
}

/* ---- listeners ---- */

static bool parse_address(struct hf_cursor text, struct hf_config_listener *listener,
                          struct hf_config_errors *errors, const struct hf_config_place *place)
{
    const uint8_t *colon = text.left == 0 ? NULL : (const uint8_t *)memrchr(text.at, ':', text.left);
    if (colon == NULL || text.left >= sizeof(listener->address))
        return config_wrong(errors, place, "expected HOST:PORT, got", text), false;
    struct hf_cursor host = hf_cursor(text.at, (size_t)(colon - text.at));
    struct hf_cursor port = hf_cursor(colon + 1, text.left - host.left - 1);
    uint32_t number = 0;
    bool digits = port.left != 0 && port.left <= 5;
    for (size_t i = 0; digits && i < port.left; i++) {
        digits = port.at[i] >= '0' && port.at[i] <= '9';
        number = number * 10 + (port.at[i] - (uint32_t)'0');
    }
    if (!digits || number > UINT16_MAX)
        return config_wrong(errors, place, "not a port (0 to 65535) in", text), false;
    bool bracketed = host.left >= 2 && host.at[0] == '[' && host.at[host.left - 1] == ']';
    if (bracketed)
        host = hf_cursor(host.at + 1, host.left - 2);
    if (host.left >= sizeof(listener->host))
        return config_wrong(errors, place, "not an address:", text), false;
    memcpy(listener->address, text.at, text.left);
    listener->address[text.left] = 0;
    memcpy(listener->host, host.at, host.left);
    listener->host[host.left] = 0;
    listener->port = (uint16_t)number;
    /* Names are not resolved: what a server listens on is an address. */
    uint8_t bytes[16];
    bool known = host.left == 0 || strcmp(listener->host, "localhost") == 0 ||
                 (!bracketed && inet_pton(AF_INET, listener->host, bytes) == 1) ||
                 (bracketed && inet_pton(AF_INET6, listener->host, bytes) == 1);
    if (!known)
        return config_wrong(errors, place,
                            "not a numeric address (IPv6 stands in brackets), localhost, or nothing:", text),
               false;
    return true;
}

hf_result hf_config_address(struct hf_cursor text, struct hf_config_listener *ret_listener,
                            struct hf_config_error *ret_error)
{
    struct hf_config_listener listener = {0};
    struct hf_config_errors errors = {0};
    if (!parse_address(text, &listener, &errors, NULL)) {
        *ret_error = errors.at[0];
        return HF_FAIL(CONFIG);
    }
    memcpy(ret_listener->address, listener.address, sizeof(listener.address));
    memcpy(ret_listener->host, listener.host, sizeof(listener.host));
    ret_listener->port = listener.port;
    return HF_DONE;
}

bool hf_config_is_loopback(const struct hf_config_listener *listener)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp(listener->host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, listener->host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, listener->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* One path or a list of them, into the cert_file or key_file members of the listener's certificates. */
static const char *take_files(const struct hf_tree *value, struct hf_config_listener *listener, bool key,
                              size_t *ret_count)
{
    struct hf_tree_iter iter = {0};
    struct hf_tree item = *value;
    struct hf_cursor none;
    bool list = value->tag == HF_TREE_ARRAY;
    if (list)
        iter = hf_tree_iterate(value);
    *ret_count = 0;
    while (list ? hf_tree_next(&iter, &none, &item) : *ret_count == 0) {
        if (*ret_count == HF_CONFIG_CERTS_MAX)
            return "too many files";
        struct hf_config_cert *cert = &listener->certs[*ret_count];
        if (item.body.left == 0 ||
            !take_text(&item, key ? cert->key_file : cert->cert_file, HF_CONFIG_PATH_MAX))
            return "expected a path or a list of paths";
        *ret_count += 1;
    }
    return *ret_count == 0 ? "expected a path or a list of paths" : NULL;
}

static void parse_listener(const struct hf_tree *block, struct hf_config *config,
                           struct hf_config_errors *errors, struct hf_config_place *place)
{
    place->key = nothing;
    if (config->listener_count == HF_CONFIG_LISTENERS_MAX)
        return config_wrong(errors, place, "too many listeners", nothing);
    uint32_t before = errors->count;
    struct hf_config_listener *listener = &config->listeners[config->listener_count++];
    *listener = (struct hf_config_listener){.tls = true};
    size_t certs = 0, keys = 0;
    struct hf_tree_iter iter = hf_tree_iterate(block);
    struct hf_cursor name;
    struct hf_tree value;
    while (hf_tree_next(&iter, &name, &value)) {
        place->key = name;
        const struct key *known = find_key(listener_keys, HF_ARRAY_LEN(listener_keys), name);
        const char *wrong = NULL;
        if (known != NULL) {
            wrong = set_value(known, listener, &value);
        } else if (hf_cursor_is(name, "address")) {
            if (value.tag != HF_TREE_TEXT)
                wrong = "expected a text";
            else
                (void)parse_address(value.body, listener, errors, place);
        } else if (hf_cursor_is(name, "tls_disable")) {
            if (value.tag != HF_TREE_TRUE && value.tag != HF_TREE_FALSE)
                wrong = "expected true or false";
            listener->tls = value.tag != HF_TREE_TRUE;
        } else if (hf_cursor_is(name, "tls_cert_file")) {
            wrong = take_files(&value, listener, false, &certs);
        } else if (hf_cursor_is(name, "tls_key_file")) {
            wrong = take_files(&value, listener, true, &keys);
        } else {
            wrong = "unknown key";
        }
        if (wrong != NULL)
            config_wrong(errors, place, wrong, nothing);
    }
    place->key = nothing;
    if (errors->count != before)
        return; /* what its keys say together is not to be told yet */
    if (listener->address[0] == 0)
        return config_wrong(errors, place, "address is missing", nothing);
    if (certs != keys)
        return config_wrong(errors, place, "as many tls_key_file as tls_cert_file are needed", nothing);
    if (listener->tls && certs == 0)
        return config_wrong(errors, place, "tls_cert_file and tls_key_file are missing", nothing);
    if (!listener->tls && certs != 0)
        return config_wrong(errors, place, "tls_disable contradicts tls_cert_file", nothing);
    if (!listener->tls && !hf_config_is_loopback(listener))
        return config_wrong(errors, place, "plain HTTP is served on loopback only, not on",
                            hf_cursor_text(listener->address));
    if (!listener->tls && (listener->require_client_cert || listener->client_ca_file[0] != 0))
        return config_wrong(errors, place, "client certificates need TLS", nothing);
    listener->cert_count = (uint8_t)certs;
}

/* ---- blocks ---- */

static void parse_table(const struct hf_tree *block, const struct key *keys, size_t count, void *into,
                        struct hf_config_errors *errors, struct hf_config_place *place)
{
    struct hf_tree_iter iter = hf_tree_iterate(block);
    struct hf_tree value;
    while (hf_tree_next(&iter, &place->key, &value)) {
        const struct key *key = find_key(keys, count, place->key);
        const char *wrong = key == NULL ? "unknown key" : set_value(key, into, &value);
        if (wrong != NULL)
            config_wrong(errors, place, wrong, nothing);
    }
    place->key = nothing;
}

/* Takes a block's one label off: {"tcp": {...}}. */
static bool unlabel(const struct hf_tree *block, const char *label, struct hf_tree *ret_inner,
                    struct hf_config_errors *errors, struct hf_config_place *place)
{
    struct hf_tree_iter iter = hf_tree_iterate(block);
    struct hf_cursor name;
    if (block->tag != HF_TREE_MAP || block->count != 1 || !hf_tree_next(&iter, &name, ret_inner) ||
        ret_inner->tag != HF_TREE_MAP)
        return config_wrong(errors, place, "expected a block with one label, such as", hf_cursor_text(label)),
               false;
    if (!hf_cursor_is(name, label))
        return config_wrong(errors, place, "unknown type", name), false;
    return true;
}

static void parse_block(const struct hf_tree *block, struct hf_config *config,
                        struct hf_config_errors *errors, struct hf_config_place *place)
{
    struct hf_tree inner;
    if (strcmp(place->block, "listener") == 0) {
        if (unlabel(block, "tcp", &inner, errors, place))
            parse_listener(&inner, config, errors, place);
        return;
    }
    if (strcmp(place->block, "storage") == 0) {
        if (unlabel(block, "sqlite", &inner, errors, place))
            parse_table(&inner, storage_keys, HF_ARRAY_LEN(storage_keys), config, errors, place);
        return;
    }
    if (strcmp(place->block, "seal") == 0) {
        if (unlabel(block, "shamir", &inner, errors, place))
            parse_table(&inner, NULL, 0, config, errors, place);
        return;
    }
    if (block->tag != HF_TREE_MAP)
        config_wrong(errors, place, "expected a block", nothing);
    else
        parse_table(block, limits_keys, HF_ARRAY_LEN(limits_keys), &config->limits, errors, place);
}

static void parse_top(const struct hf_tree *top, struct hf_cursor text, struct hf_config *config,
                      struct hf_config_errors *errors)
{
    static const char *const blocks[] = {"listener", "storage", "seal", "limits"};
    struct hf_tree_iter iter = hf_tree_iterate(top);
    struct hf_cursor name;
    struct hf_tree value;
    while (hf_tree_next(&iter, &name, &value)) {
        struct hf_config_place place = {.text = text, .key = name};
        const struct key *key = find_key(top_keys, HF_ARRAY_LEN(top_keys), name);
        if (key != NULL) {
            const char *wrong = set_value(key, config, &value);
            if (wrong != NULL)
                config_wrong(errors, &place, wrong, nothing);
            continue;
        }
        for (size_t i = 0; i < HF_ARRAY_LEN(blocks); i++)
            if (hf_cursor_is(name, blocks[i]))
                place.block = blocks[i];
        if (place.block == NULL) {
            config_wrong(errors, &place, "unknown key", nothing);
            continue;
        }
        place.key = nothing;
        if (value.tag != HF_TREE_ARRAY) {
            config_wrong(errors, &place, "expected a block", nothing);
            continue;
        }
        struct hf_tree_iter each = hf_tree_iterate(&value);
        struct hf_cursor none;
        struct hf_tree block;
        while (hf_tree_next(&each, &none, &block)) {
            if (place.nth != 0 && strcmp(place.block, "listener") != 0)
                config_wrong(errors, &place, "stands here a second time", nothing);
            else
                parse_block(&block, config, errors, &place);
            place.key = nothing;
            place.nth++;
        }
    }
}

/* ---- the whole ---- */

void hf_config_defaults(struct hf_config *ret_config)
{
    *ret_config = (struct hf_config){
        .level = HF_LEVEL_STANDARD,
        .log_level = HF_LOG_INFO,
        .secret_memory_bytes = UINT64_C(256) << 20,
        .default_lease_ttl_ns = 768 * 3600 * HF_SECOND,
        .max_lease_ttl_ns = 768 * 3600 * HF_SECOND,
        .cluster_name = "holdfast",
        .seal_type = "shamir",
        .limits =
            {
                .body_bytes_max = 32 << 20,
                .header_bytes_max = 32 << 10,
                .connections_max = 10000,
                .streams_max = 128,
                .header_timeout_ns = 10 * HF_SECOND,
                .request_timeout_ns = 90 * HF_SECOND,
                .idle_timeout_ns = 120 * HF_SECOND,
                .drain_timeout_ns = 10 * HF_SECOND,
            },
    };
}

/* What is missing; then, where every key is right, what they say together. */
static void check_whole(const struct hf_tree *top, struct hf_config *config, struct hf_config_errors *errors)
{
    if (!hf_tree_has(top, "storage") || (errors->count == 0 && config->storage_path[0] == 0))
        config_wrong(errors, NULL, "storage \"sqlite\" { path = ... } is missing", nothing);
    if (config->storage_path[0] != 0 && config->storage_path[0] != '/')
        config_wrong(errors, NULL, "the path of storage must be absolute, not",
                     hf_cursor_text(config->storage_path));
    if (!hf_tree_has(top, "listener") || (errors->count == 0 && config->listener_count == 0))
        config_wrong(errors, NULL, "listener \"tcp\" { address = ... } is missing", nothing);
    if (errors->count == 0 && config->default_lease_ttl_ns > config->max_lease_ttl_ns)
        config_wrong(errors, NULL, "default_lease_ttl is longer than max_lease_ttl", nothing);
    if (errors->count == 0 && config->api_addr[0] == 0) {
        const struct hf_config_listener *first = &config->listeners[0];
        struct hf_buf out = hf_buf(config->api_addr, sizeof(config->api_addr) - 1);
        hf_buf_text(&out, first->tls ? "https://" : "http://");
        hf_buf_text(&out, first->address);
        config->api_addr[out.len] = 0;
    }
}

static void parse_into(struct hf_cursor text, struct hf_buf space, struct hf_config *config,
                       struct hf_config_errors *errors)
{
    struct hf_tree_writer w = hf_tree_writer(&space);
    struct hf_hcl_error hcl = {0};
    struct hf_tree top;
    hf_config_defaults(config);
    if (!HF_IS_OK(hf_hcl_to_tree(text, &w, &hcl))) {
        config_wrong(errors, NULL, hcl.reason[0] != 0 ? hcl.reason : "does not parse", nothing);
        errors->at[0].line = hcl.line;
        errors->at[0].column = hcl.column;
    } else if (!HF_IS_OK(hf_tree_open(hf_buf_cursor(&space), &top))) {
        config_wrong(errors, NULL, "nested too deeply", nothing);
    } else {
        parse_top(&top, text, config, errors);
        check_whole(&top, config, errors);
    }
}

hf_result hf_config_check(struct hf_cursor text, struct hf_config *ret_config,
                          struct hf_config_errors *ret_errors)
{
    ret_errors->count = 0;
    ret_errors->more = false;
    if (text.left > HF_CONFIG_TEXT_MAX) {
        config_wrong(ret_errors, NULL, "the file is too large", nothing);
        return HF_FAIL(CONFIG);
    }
    if (text.left != 0 && memchr(text.at, 0, text.left) != NULL) {
        config_wrong(ret_errors, NULL, "the file holds a zero byte", nothing);
        return HF_FAIL(CONFIG);
    }
    size_t cap = 16 * text.left + 4096; /* a tree spends at most some 15 bytes of frame on a value */
    uint8_t *space = (uint8_t *)malloc(cap);
    struct hf_config *config = (struct hf_config *)malloc(sizeof(*config));
    hf_result result = HF_FAIL(NO_MEMORY);
    if (space != NULL && config != NULL) {
        parse_into(text, hf_buf(space, cap), config, ret_errors);
        result = ret_errors->count == 0 ? HF_DONE : HF_FAIL(CONFIG);
        if (HF_IS_OK(result))
            *ret_config = *config;
    } else {
        config_wrong(ret_errors, NULL, "out of memory", nothing);
    }
    free(space);
    free(config);
    return result;
}

hf_result hf_config_parse(struct hf_cursor text, struct hf_config *ret_config,
                          struct hf_config_error *ret_error)
{
    struct hf_config_errors errors;
    hf_result result = hf_config_check(text, ret_config, &errors);
    if (!HF_IS_OK(result) && ret_error != NULL)
        *ret_error = errors.at[0];
    return result;
}
