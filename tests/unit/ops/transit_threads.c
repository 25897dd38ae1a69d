/* Many threads on the same keys: uses, rotations and evictions at once. Nothing that was sealed is lost, no version is
 * made twice, no more uses are granted than the limit allows. */
#include <pthread.h>

#include "unit/ops/lab.h"

#include "base/epoch.h"
#include "keys/keys.h"

#define HELLO "aGVsbG8="
enum { THREADS = 4, ROUNDS = 150, KEYS = 6 };

struct worker {
    struct lab lab; /* a copy that shares core and store, with room and thread of its own */
    pthread_t thread;
    unsigned seed, number, well, refused, rotated;
    char why[400]; /* of the last refusal */
};

static void worker_open(struct worker *w, const struct lab *lab, unsigned number)
{
    w->lab = *lab;
    w->lab.request = malloc(1 << 20);
    w->lab.answer = malloc(1 << 20);
    w->lab.args = malloc(1 << 20);
    w->lab.text = malloc(1 << 20);
    w->number = number;
    w->seed = number * 2654435761u + 1;
    assert_int_equal(hf_core_thread_new(lab->core, number, &w->lab.thread).code, HF_OK);
}

static void worker_close(struct worker *w)
{
    hf_core_thread_free(w->lab.thread);
    free(w->lab.request);
    free(w->lab.answer);
    free(w->lab.args);
    free(w->lab.text);
}

static unsigned draw(struct worker *w, unsigned below)
{
    w->seed = w->seed * 1664525u + 1013904223u;
    return (w->seed >> 8) % below;
}

/* The lab's helpers share static room: here each thread formats into its own. */
static int call(struct worker *w, enum hf_method method, const char *path, const char *json)
{
    struct lab *lab = &w->lab;
    struct hf_buf args = hf_buf(lab->args, 1 << 20), request = hf_buf(lab->request, 1 << 20);
    struct hf_buf answer = hf_buf(lab->answer, 1 << 20);
    struct hf_tree_writer tw = hf_tree_writer(&args);
    if (!HF_IS_OK(hf_json_to_tree(hf_cursor_text(json), &tw, NULL)))
        abort();
    struct hf_wire_call wire = {.method = method,
                                .path = hf_cursor_text(path),
                                .token = hf_cursor_text(lab->token),
                                .args = hf_buf_cursor(&args)};
    hf_wire_call_write(&request, &wire);
    hf_result done = hf_core_call(lab->core, lab->thread, 7, hf_buf_cursor(&request), false, &answer);
    if (done.code == HF_WOULD_BLOCK)
        done = hf_core_call(lab->core, lab->thread, 7, hf_buf_cursor(&request), true, &answer);
    /* An instrumented build's log may fall behind: it says so, and is asked again. */
    for (int tries = 0; HF_IS_OK(done) && !HF_IS_OK(hf_core_thread_flush(lab->thread)); tries++) {
        if (tries == 1000)
            abort();
        usleep(1000);
    }
    if (!HF_IS_OK(done))
        abort();
    struct hf_cursor bytes = hf_buf_cursor(&answer);
    struct hf_frame frame;
    struct hf_wire_answer got;
    bool whole;
    size_t need;
    if (!HF_IS_OK(hf_frame_next(&bytes, &frame, &whole, &need)) ||
        !HF_IS_OK(hf_wire_answer_read(frame.body, &got)))
        abort();
    lab->http = got.http;
    lab->tree = (struct hf_tree){0};
    if (got.tree.left != 0 && !HF_IS_OK(hf_tree_open(got.tree, &lab->tree)))
        abort();
    if (lab->http >= 400) { /* for who looks into a failure */
        struct hf_buf text = hf_buf(lab->text, 400);
        hf_tree_to_json(&lab->tree, &text);
        lab->text[text.len] = '\0';
    }
    return lab->http;
}

static void *mixed(void *arg)
{
    struct worker *w = arg;
    char path[64], json[512];
    for (int i = 0; i < ROUNDS; i++) {
        unsigned key = draw(w, KEYS), what = draw(w, 20);
        if (what == 0) {
            snprintf(path, sizeof path, "transit/keys/k%u/rotate", key);
            if (call(w, HF_METHOD_WRITE, path, "{}") == 200)
                w->rotated++;
            continue;
        }
        snprintf(path, sizeof path, "transit/encrypt/k%u", key);
        if (call(w, HF_METHOD_WRITE, path, "{\"plaintext\":\"" HELLO "\"}") != 200) {
            w->refused++;
            snprintf(w->why, sizeof w->why, "%d %s", w->lab.http, w->lab.text);
            continue;
        }
        struct hf_tree ct = hf_tree_get(&w->lab.tree, "ciphertext");
        char quoted[256];
        struct hf_buf out = hf_buf(quoted, sizeof quoted - 1);
        hf_tree_to_json(&ct, &out);
        quoted[out.len] = '\0';
        snprintf(json, sizeof json, "{\"ciphertext\":%s}", quoted);
        snprintf(path, sizeof path, "transit/decrypt/k%u", key);
        if (call(w, HF_METHOD_WRITE, path, json) == 200 &&
            hf_cursor_is(hf_tree_get(&w->lab.tree, "plaintext").body, "hello"))
            w->well++;
    }
    hf_epoch_thread_end();
    return NULL;
}

static void run(struct lab *lab, struct worker *workers, void *(*body)(void *))
{
    for (unsigned i = 0; i < THREADS; i++) {
        worker_open(&workers[i], lab, i);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        worker_close(&workers[i]);
    }
}

static void uses_rotations_and_evictions(void **state)
{
    struct lab *lab = *state;
    struct worker workers[THREADS] = {0};
    hf_keys_limit(hf_core_unsealed(lab->core)->keys, 3, 0); /* half of the keys are always being let go */
    for (int i = 0; i < KEYS; i++)
        lab_ok(lab, lab_write(lab, lab_f("transit/keys/k%d", i), NULL));
    run(lab, workers, mixed);
    unsigned rotated = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        if (workers[i].refused != 0)
            fail_msg("%u refused, the last: %s", workers[i].refused, workers[i].why);
        assert_true(workers[i].well > ROUNDS / 2);
        rotated += workers[i].rotated;
    }
    long versions = 0;
    for (int i = 0; i < KEYS; i++) {
        lab_ok(lab, lab_read(lab, lab_f("transit/keys/k%d", i)));
        versions += lab_num(lab, "latest_version") - 1;
    }
    assert_int_equal(versions, rotated);
    struct hf_keys_stats stats;
    hf_keys_stats(hf_core_unsealed(lab->core)->keys, &stats);
    assert_true(stats.evicted > 0);
}

static void *spend(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 1000; i++) {
        if (call(w, HF_METHOD_WRITE, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}") == 200)
            w->well++;
        else
            w->refused++;
    }
    hf_epoch_thread_end();
    return NULL;
}

static void the_limit_holds_for_all_threads_together(void **state)
{
    struct lab *lab = *state;
    struct worker workers[THREADS] = {0};
    hf_keys_limit(hf_core_unsealed(lab->core)->keys, 0, 2500);
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    run(lab, workers, spend);
    unsigned well = 0, refused = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        well += workers[i].well;
        refused += workers[i].refused;
    }
    assert_int_equal(well, 2500);
    assert_int_equal(refused, THREADS * 1000 - 2500);
}

static void *create_same(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 20; i++) {
        char path[64];
        snprintf(path, sizeof path, "transit/encrypt/same%d", i);
        if (call(w, HF_METHOD_WRITE, path, "{\"plaintext\":\"" HELLO "\"}") == 200)
            w->well++;
    }
    hf_epoch_thread_end();
    return NULL;
}

static void a_key_is_made_once(void **state)
{
    struct lab *lab = *state;
    struct worker workers[THREADS] = {0};
    run(lab, workers, create_same);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(workers[i].well, 20);
    for (int i = 0; i < 20; i++) {
        lab_ok(lab, lab_read(lab, lab_f("transit/keys/same%d", i)));
        assert_int_equal(lab_num(lab, "latest_version"), 1);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)
    const struct CMUnitTest tests[] = {
        T(uses_rotations_and_evictions),
        T(the_limit_holds_for_all_threads_together),
        T(a_key_is_made_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
