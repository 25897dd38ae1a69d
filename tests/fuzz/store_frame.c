/* Bodies of STORE frames, served on an empty database: whatever comes, an answer goes, with a known code; a transaction
 * that can be read is written as it was. And the same bytes as answers: whatever a store says, a call ends. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/codec.h"
#include "store/serve.h"

enum { ANSWER_MAX = 1 << 20, INPUTS_EACH_FILE = 4096, INPUT_MAX = 60 << 10 };

static char path[64];
static struct hf_store *engine;
static uint8_t answer[ANSWER_MAX];

static void remove_file(void)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char name[80];
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

/* A fresh file now and then, in memory where there is such a file system. */
static void renew(void)
{
    if (engine != NULL)
        engine->ops->close(engine);
    else
        (void)atexit(remove_file);
    if (path[0] == '\0')
        (void)snprintf(path, sizeof path, "%s/hf-fuzz-%d",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
    remove_file();
    if (!HF_IS_OK(hf_store_sqlite_open(path, &engine)))
        abort();
}

static bool ignore_row(void *arg, const struct hf_row *row)
{
    (void)arg;
    return row->rev != 0;
}
static bool ignore_change(void *arg, const struct hf_change *change)
{
    (void)arg;
    return change->seq != 0;
}
static bool ignore_batch(void *arg, const struct hf_audit_batch *batch)
{
    (void)arg;
    return batch->count != 0;
}

static void as_request(struct hf_cursor body)
{
    struct hf_buf out = hf_buf(answer, sizeof answer);
    if (hf_store_serve(engine, body, &out)) {
        assert(out.len > 0 && out.at[0] < HF_CODE_COUNT && !out.overflow);
    } else {
        assert(out.len == 0);
    }
    struct hf_store_op ops[HF_STORE_TXN_OPS_MAX];
    enum hf_durability durability;
    size_t count;
    uint8_t call;
    struct hf_cursor in = body;
    if (!hf_cursor_u8(&in, &call) || call != HF_CALL_COMMIT ||
        !HF_IS_OK(hf_store_take_commit(&in, ops, &count, &durability)))
        return;
    out = hf_buf(answer, sizeof answer);
    hf_store_put_commit(&out, ops, count, durability);
    assert(hf_cursor_same(hf_buf_cursor(&out), body));
}

static void as_answer(struct hf_cursor body, uint8_t which)
{
    int pair[2];
    struct hf_store *remote;
    struct hf_buf out = hf_buf(answer, sizeof answer);
    size_t begun = hf_frame_begin(&out, HF_FRAME_STORED, 0, 1); /* the first call's id */
    hf_buf_put_cursor(&out, body);
    hf_frame_end(&out, begun);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        abort();
    ssize_t written = write(pair[1], out.at, out.len);
    (void)shutdown(pair[1], SHUT_WR);
    if (written != (ssize_t)out.len || !HF_IS_OK(hf_store_remote_open(pair, 1, &remote)))
        abort();
    uint8_t memory[4096];
    struct hf_buf space = hf_buf(memory, sizeof memory);
    struct hf_row row;
    struct hf_store_info info;
    struct hf_cursor blob;
    uint64_t number;
    const struct hf_list_query query = {.table = 1, .limit = HF_STORE_LIST_MAX};
    const struct hf_id id = {{0}};
    struct hf_store_outcome outcome;
    const struct hf_store_op op = {.kind = HF_STORE_RESERVE, .amount = 1};
    hf_result result = HF_DONE;
    switch (which % 7) {
    case 0:
        result = remote->ops->get(remote, 1, id, &space, &row);
        break;
    case 1:
        result = remote->ops->list(remote, &query, ignore_row, NULL);
        break;
    case 2:
        result = remote->ops->head_get(remote, 1, &space, &number, &blob);
        break;
    case 3:
        result = remote->ops->feed_since(remote, 1, 0, 1000, ignore_change, NULL);
        break;
    case 4:
        result = remote->ops->audit_read(remote, id, 0, 1000, ignore_batch, NULL);
        break;
    case 5:
        result = remote->ops->info(remote, &info);
        break;
    default:
        result = remote->ops->commit(remote, &op, 1, HF_DURABLE, &outcome);
        break;
    }
    assert(result.code < HF_CODE_COUNT);
    remote->ops->close(remote);
    close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;
    if (size == 0 || size > INPUT_MAX)
        return 0;
    if (inputs++ % INPUTS_EACH_FILE == 0)
        renew();
    as_request(hf_cursor(data, size));
    as_answer(hf_cursor(data + 1, size - 1), data[0]);
    return 0;
}
