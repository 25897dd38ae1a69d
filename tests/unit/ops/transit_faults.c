/* Keys over a store that fails: no half-made change, no use that was not counted, nothing lost that was acknowledged. */
#include "unit/ops/lab.h"

#include "keys/keys.h"

#define HELLO "aGVsbG8="

/* The engine itself, with its commit replaced. */
static struct {
    const struct hf_store_ops *true_ops;
    struct hf_store_ops ops;
    enum hf_code code; /* what fails with it */
    int after, times;  /* fails `times` commits after letting `after` by */
    bool written;      /* the failing commit is written all the same */
    bool reserves;     /* only commits of use blocks */
    bool lowered;      /* use counters were set to nothing in the database */
} fault;

static bool counts(const struct hf_store_op *ops, size_t count)
{
    bool reserve = count == 1 && ops[0].kind == HF_STORE_RESERVE;
    bool change = false;
    for (size_t i = 0; i < count; i++)
        change |= ops[i].kind == HF_STORE_PUT_IF || ops[i].kind == HF_STORE_DEL_IF;
    return fault.reserves ? reserve : change;
}

static hf_result faulty_commit(struct hf_store *self, const struct hf_store_op *ops, size_t count,
                               enum hf_durability durability, struct hf_store_outcome *outcome)
{
    if (fault.lowered && count == 1 && ops[0].kind == HF_STORE_RESERVE) {
        outcome->result = ops[0].amount;
        return HF_DONE;
    }
    if (fault.times == 0 || !counts(ops, count))
        return fault.true_ops->commit(self, ops, count, durability, outcome);
    if (fault.after > 0) {
        fault.after--;
        return fault.true_ops->commit(self, ops, count, durability, outcome);
    }
    fault.times--;
    if (fault.written)
        HF_IGNORE(fault.true_ops->commit(self, ops, count, durability, outcome),
                  "its outcome is what gets lost");
    return (hf_result){fault.code};
}

static void faulty(struct lab *lab)
{
    memset(&fault, 0, sizeof fault);
    fault.true_ops = lab->store->ops;
    fault.ops = *lab->store->ops;
    fault.ops.commit = faulty_commit;
    fault.ops.commit_many = NULL;
    lab->store->ops = &fault.ops;
}

static void mend(struct lab *lab)
{
    lab->store->ops = fault.true_ops;
}

static void arm(enum hf_code code, int times)
{
    fault.code = code;
    fault.times = times;
    fault.written = fault.reserves = false;
}

static long latest(struct lab *lab, const char *key)
{
    lab_ok(lab, lab_read(lab, lab_f("transit/keys/%s", key)));
    return lab_num(lab, "latest_version");
}

static void a_store_that_is_down_changes_nothing(void **state)
{
    struct lab *lab = *state;
    static const enum hf_code codes[] = {HF_STORE_DOWN, HF_STORE_FULL, HF_STORE_READ_ONLY, HF_STORE_BUSY};
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/keys/k/config", "{\"deletion_allowed\":true}"));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    char *ciphertext = strdup(lab_str(lab, "ciphertext"));
    faulty(lab);
    for (size_t i = 0; i < HF_ARRAY_LEN(codes); i++) {
        static const char *const changes[] = {"transit/keys/new", "transit/keys/k/rotate",
                                              "transit/keys/k/config", "transit/keys/k/versions/1/destroy"};
        for (size_t c = 0; c < HF_ARRAY_LEN(changes); c++) {
            arm(codes[i], 1);
            int http = lab_write(lab, changes[c], "{\"min_encryption_version\":1}");
            assert_int_equal(http, hf_code_http(codes[i]));
        }
        arm(codes[i], 1);
        assert_int_equal(lab_delete(lab, "transit/keys/k"), hf_code_http(codes[i]));
        assert_int_equal(lab_read(lab, "transit/keys/new"), 404);
        assert_int_equal(latest(lab, "k"), 1);
        assert_int_equal(lab_num(lab, "min_encryption_version"), 0);
        assert_string_equal(lab_str(lab, "versions.1.state"), "active");
        /* What is hot goes on being served meanwhile. */
        lab_ok(lab, lab_write(lab, "transit/decrypt/k", lab_f("{\"ciphertext\":\"%s\"}", ciphertext)));
    }
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    mend(lab);
    assert_int_equal(latest(lab, "k"), 2);
    lab_restart(lab);
    assert_int_equal(latest(lab, "k"), 2);
    free(ciphertext);
}

static void an_unknown_outcome_is_looked_up(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    faulty(lab);
    arm(HF_COMMIT_UNKNOWN, 1);
    fault.written = true;
    int http = lab_write(lab, "transit/keys/k/rotate", NULL);
    long now = latest(lab, "k");
    assert_true(http == 200 ? now == 2 : http == 503 && now <= 2);
    arm(HF_COMMIT_UNKNOWN, 1);
    http = lab_write(lab, "transit/keys/k/rotate", NULL);
    assert_true(http == 503 || http == 200);
    long then = latest(lab, "k");
    assert_true(http == 200 ? then == now + 1 : then == now);
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    assert_int_equal(lab_num(lab, "key_version"), then);
    mend(lab);
    lab_restart(lab);
    assert_int_equal(latest(lab, "k"), then);
}

static void uses_that_cannot_be_counted_are_refused(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    faulty(lab);
    arm(HF_STORE_DOWN, 1000);
    fault.reserves = true;
    lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}");
    lab_expect(lab, 503, NULL);
    assert_null(strstr(lab->text, "vault:"));
    lab_write(lab, "transit/datakey/plaintext/k", NULL);
    lab_expect(lab, 503, NULL);
    lab_write(lab, "transit/encrypt/k", "{\"batch_input\":[{\"plaintext\":\"" HELLO "\"}]}");
    lab_expect(lab, 503, NULL);
    fault.times = 0;
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    /* What is left of the block lasts while the store is down, and not a use longer. */
    fault.times = 1000000;
    int done = 0;
    while (lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}") == 200)
        done++;
    lab_expect(lab, 503, NULL);
    assert_int_equal(done, HF_KEY_BLOCK_MIN - 1);
    fault.times = 0;
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    mend(lab);
}

/* While the server runs it knows better than a counter that somebody lowers: the version refuses. */
static void a_lowered_counter_is_noticed(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    lab_ok(lab, lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}"));
    faulty(lab);
    fault.lowered = true;
    int done = 0;
    while (lab_write(lab, "transit/encrypt/k", "{\"plaintext\":\"" HELLO "\"}") == 200)
        done++;
    lab_expect(lab, 500, NULL);
    assert_null(strstr(lab->text, "vault:"));
    assert_int_equal(done, HF_KEY_BLOCK_MIN - 1);
    mend(lab);
}

static void another_node_was_first(void **state)
{
    struct lab *lab = *state;
    lab_ok(lab, lab_write(lab, "transit/keys/k", NULL));
    faulty(lab);
    arm(HF_CONFLICT, 3);
    int http = lab_write(lab, "transit/keys/k/rotate", NULL);
    if (http != 200)
        fail_msg("%d %s", http, lab->text);
    assert_int_equal(latest(lab, "k"), 2);
    arm(HF_CONFLICT, 1000);
    assert_int_equal(lab_write(lab, "transit/keys/k/rotate", NULL), 409);
    assert_true(fault.times <= 1000 - HF_KEY_CHANGE_TRIES);
    fault.times = 0;
    assert_int_equal(latest(lab, "k"), 2);
    lab_ok(lab, lab_write(lab, "transit/keys/k/rotate", NULL));
    assert_int_equal(latest(lab, "k"), 3);
    mend(lab);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)
    const struct CMUnitTest tests[] = {
        T(a_store_that_is_down_changes_nothing),
        T(an_unknown_outcome_is_looked_up),
        T(uses_that_cannot_be_counted_are_refused),
        T(a_lowered_counter_is_noticed),
        T(another_node_was_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
