/* A whole core in this process: SQLite in a directory of its own, initialised and unsealed, called by frames as a front
 * calls it. Requests and answers are written as JSON here. */
#ifndef HF_TEST_OPS_LAB_H
#define HF_TEST_OPS_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "crypto/crypto.h"
#include "keystore/keystore.h"
#include "ops/core.h"
#include "ops/dev.h"
#include "wire/frame.h"
#include "wire/json.h"

enum { LAB_ROOM = 24 << 20 };

struct lab_clock {
    _Atomic int64_t wall_ns, boot_ns; /* the core has threads of its own that read them */
};
struct lab {
    char dir[64], file[96];
    struct hf_store *store;
    struct hf_keystore *keystore;
    struct hf_core *core;
    struct hf_core_thread *thread;
    struct hf_core_dev dev;
    struct hf_clock clock;
    struct lab_clock time;
    char token[HF_DEV_TEXT_MAX];
    uint8_t *request, *answer, *args;
    char *text; /* the last answer's tree as JSON */
    int http;
    struct hf_tree tree; /* the last answer */
    struct hf_tree warnings;
    bool waited;
    struct hf_cursor cert; /* client certificate to show, DER */
    uint8_t peer_ip[16];   /* zero: none known */
};

static inline int64_t lab_wall(void *self)
{
    struct lab *lab = self;
    return lab->time.wall_ns;
}

static inline int64_t lab_boot(void *self)
{
    struct lab *lab = self;
    return hf_boot_ns(&hf_clock_system) + lab->time.boot_ns;
}

static inline void lab_start_core(struct lab *lab)
{
    struct hf_core_config config = {.level = HF_LEVEL_DEV,
                                    .cluster_name = "lab",
                                    .default_lease_ttl_ns = 768 * 3600 * HF_SECOND,
                                    .max_lease_ttl_ns = 768 * 3600 * HF_SECOND,
                                    .threads = 8,
                                    .version = "0.0.0"};
    assert_int_equal(hf_store_sqlite_open(lab->file, &lab->store).code, HF_OK);
    assert_int_equal(hf_keystore_software_open(&lab->keystore).code, HF_OK);
    assert_int_equal(hf_core_new(&config, lab->store, lab->keystore, &lab->clock, &lab->core).code, HF_OK);
    assert_int_equal(hf_core_thread_new(lab->core, 0, &lab->thread).code, HF_OK);
}

static inline void lab_stop_core(struct lab *lab)
{
    hf_core_thread_free(lab->thread);
    hf_core_free(lab->core);
    lab->keystore->ops->close(lab->keystore);
    lab->store->ops->close(lab->store);
}

static inline int lab_open(void **state)
{
    static bool started;
    struct lab *lab = calloc(1, sizeof *lab);
    assert_non_null(lab);
    if (!started)
        assert_int_equal(hf_crypto_start(HF_CRYPTO_HEAP_WIPE).code, HF_OK);
    started = true;
    snprintf(lab->dir, sizeof lab->dir, "/tmp/hf-lab-XXXXXX");
    assert_non_null(mkdtemp(lab->dir));
    snprintf(lab->file, sizeof lab->file, "%s/store.db", lab->dir);
    lab->clock = (struct hf_clock){lab_wall, lab_boot, lab};
    lab->time.wall_ns = hf_wall_ns(&hf_clock_system);
    lab->request = malloc(LAB_ROOM);
    lab->answer = malloc(LAB_ROOM);
    lab->args = malloc(LAB_ROOM);
    lab->text = malloc(LAB_ROOM);
    assert_true(lab->request != NULL && lab->answer != NULL && lab->args != NULL && lab->text != NULL);
    lab_start_core(lab);
    hf_result made = hf_core_dev_init(lab->core, "root", NULL, 0, &lab->dev);
    if (made.code != HF_OK)
        fail_msg("dev init: %s", hf_code_name(made.code));
    snprintf(lab->token, sizeof lab->token, "%s", lab->dev.root_token);
    *state = lab;
    return 0;
}

static inline int lab_close(void **state)
{
    struct lab *lab = *state;
    char more[128];
    lab_stop_core(lab);
    static const char *const ends[] = {"", "-wal", "-shm", "-lock", ".lock"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        snprintf(more, sizeof more, "%s%s", lab->file, ends[i]);
        (void)unlink(more);
    }
    (void)rmdir(lab->dir);
    free(lab->request);
    free(lab->answer);
    free(lab->args);
    free(lab->text);
    free(lab);
    return 0;
}

/* Stops all processes' state and opens the same store again, unsealed by its shares. */
static inline void lab_restart(struct lab *lab)
{
    struct hf_core_dev again;
    lab_stop_core(lab);
    lab_start_core(lab);
    assert_int_equal(hf_core_dev_init(lab->core, "", lab->dev.shares, lab->dev.share_count, &again).code,
                     HF_OK);
}

static inline void lab_answer(struct lab *lab, struct hf_cursor bytes)
{
    struct hf_frame frame;
    struct hf_wire_answer answer;
    bool whole;
    size_t need;
    assert_int_equal(hf_frame_next(&bytes, &frame, &whole, &need).code, HF_OK);
    assert_true(whole && frame.type == HF_FRAME_ANSWER && frame.id == 7);
    assert_int_equal(hf_wire_answer_read(frame.body, &answer).code, HF_OK);
    lab->http = answer.http;
    lab->tree = (struct hf_tree){0};
    lab->warnings = (struct hf_tree){0};
    lab->text[0] = '\0';
    if (answer.tree.left != 0) {
        assert_int_equal(hf_tree_open(answer.tree, &lab->tree).code, HF_OK);
        struct hf_buf out = hf_buf(lab->text, LAB_ROOM - 1);
        hf_tree_to_json(&lab->tree, &out);
        assert_false(out.overflow);
        lab->text[out.len] = '\0';
    }
    if (answer.warnings.left != 0)
        assert_int_equal(hf_tree_open(answer.warnings, &lab->warnings).code, HF_OK);
}

/* One request; first as a data operation that may not wait, again where it asks to. Gives the HTTP status. */
static inline int lab_call(struct lab *lab, enum hf_method method, const char *path, const char *json)
{
    struct hf_buf args = hf_buf(lab->args, LAB_ROOM), request = hf_buf(lab->request, LAB_ROOM);
    struct hf_buf answer = hf_buf(lab->answer, LAB_ROOM);
    struct hf_tree_writer w = hf_tree_writer(&args);
    size_t bad = 0;
    hf_result parsed = hf_json_to_tree(hf_cursor_text(json == NULL ? "{}" : json), &w, &bad);
    if (parsed.code != HF_OK)
        fail_msg("request is no JSON at %zu: %.60s", bad, json);
    struct hf_wire_call call = {.method = method,
                                .path = hf_cursor_text(path),
                                .token = hf_cursor_text(lab->token),
                                .cert = lab->cert,
                                .args = hf_buf_cursor(&args)};
    memcpy(call.peer_ip, lab->peer_ip, sizeof call.peer_ip);
    hf_wire_call_write(&request, &call);
    hf_result done = hf_core_call(lab->core, lab->thread, 7, hf_buf_cursor(&request), false, &answer);
    lab->waited = done.code == HF_WOULD_BLOCK;
    if (lab->waited) {
        assert_int_equal(answer.len, 0);
        done = hf_core_call(lab->core, lab->thread, 7, hf_buf_cursor(&request), true, &answer);
    }
    assert_int_equal(done.code, HF_OK);
    assert_int_equal(hf_core_thread_flush(lab->thread).code, HF_OK);
    lab_answer(lab, hf_buf_cursor(&answer));
    return lab->http;
}

#define lab_write(lab, path, json) lab_call((lab), HF_METHOD_WRITE, (path), (json))
#define lab_read(lab, path) lab_call((lab), HF_METHOD_READ, (path), NULL)
#define lab_list(lab, path) lab_call((lab), HF_METHOD_LIST, (path), NULL)
#define lab_delete(lab, path) lab_call((lab), HF_METHOD_DELETE, (path), NULL)

/* Must be answered so; shows the answer where it is not. */
static inline void lab_expect(struct lab *lab, int http, const char *part)
{
    if (lab->http != http || (part != NULL && strstr(lab->text, part) == NULL))
        fail_msg("expected %d with '%s', got %d: %.600s", http, part == NULL ? "" : part, lab->http,
                 lab->text);
}
#define lab_ok(lab, call)                                                                                    \
    do {                                                                                                     \
        int ok_status_ = (call);                                                                             \
        if (ok_status_ != 200 && ok_status_ != 204)                                                          \
            fail_msg("%s: %d %.600s", #call, ok_status_, (lab)->text);                                       \
    } while (0)

/* A member by its path ("keys.1.public_key", "batch_results.2.error"). */
static inline struct hf_tree lab_get(struct lab *lab, const char *path)
{
    struct hf_tree at = lab->tree;
    char part[128];
    while (*path != '\0') {
        size_t len = strcspn(path, ".");
        assert_true(len < sizeof part);
        memcpy(part, path, len);
        part[len] = '\0';
        if (at.tag == HF_TREE_ARRAY) {
            struct hf_tree_iter iter = hf_tree_iterate(&at);
            struct hf_tree item = {0};
            struct hf_cursor none;
            for (long i = strtol(part, NULL, 10); i >= 0; i--) {
                if (!hf_tree_next(&iter, &none, &item))
                    return (struct hf_tree){0};
            }
            at = item;
        } else {
            at = hf_tree_get(&at, part);
        }
        path += len + (path[len] == '.');
    }
    return at;
}

/* As JSON shows it, without quotes; own memory of 64 KiB, four at a time. */
static inline const char *lab_str(struct lab *lab, const char *path)
{
    static char space[4][65536];
    static unsigned turn;
    char *text = space[turn++ % 4];
    struct hf_tree item = lab_get(lab, path);
    struct hf_buf out = hf_buf(text, sizeof space[0] - 1);
    hf_tree_to_json(&item, &out);
    assert_false(out.overflow);
    text[out.len] = '\0';
    if (out.len >= 2 && text[0] == '"') {
        text[out.len - 1] = '\0';
        text++;
        char *to = text; /* \n of PEM and \/ are all there is */
        for (char *from = text; *from != '\0'; from++)
            *to++ = from[0] == '\\' && from[1] == 'n' ? (from++, '\n') : *from;
        *to = '\0';
    }
    return text;
}

static inline long lab_num(struct lab *lab, const char *path)
{
    struct hf_tree item = lab_get(lab, path);
    if (item.tag != HF_TREE_INT)
        fail_msg("%s is no number: %.300s", path, lab->text);
    return (long)item.number;
}

/* printf to a request; two at a time. */
__attribute__((format(printf, 1, 2))) static inline const char *lab_f(const char *format, ...)
{
    static char space[2][256 << 10];
    static unsigned turn;
    char *text = space[turn++ % 2];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof space[0], format, args);
    va_end(args);
    assert_true(len >= 0 && (size_t)len < sizeof space[0]);
    return text;
}

#endif
