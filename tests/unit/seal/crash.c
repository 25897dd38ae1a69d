/* Killed at any moment over the real store: the seal rows are those before or those after, never a mixture. The one
 * who is killed rekeys without end, with verification, and says which shares it is about to bring into force; whoever
 * holds these and the ones before can always open. */
#include "unit/seal/fixture.h"

#include <stdio.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 25, N = 3, K = 2, REPORT_FD = 3, HEX = 80 };

struct report { /* below PIPE_BUF: written whole or not at all */
    char kind;  /* 'p': about to be in force, 'd': in force */
    char hex[N][HEX];
};

static void report(char kind, const struct held *held)
{
    struct report r = {.kind = kind};
    for (unsigned i = 0; i < N; i++)
        snprintf(r.hex[i], HEX, "%s", held->hex[i]);
    if (write(REPORT_FD, &r, sizeof(r)) != (ssize_t)sizeof(r))
        _exit(3);
}

static bool opens_store(struct hf_store *store, const struct report *r)
{
    struct hf_seal *seal = NULL;
    assert_int_equal(hf_seal_open(store, &hf_clock_system, &seal).code, HF_OK);
    bool complete = false;
    const char *why = "";
    for (unsigned i = 0; i < K && !complete; i++)
        if (!HF_IS_OK(offer(seal, r->hex[i], &complete, &why)))
            break;
    hf_seal_close(seal);
    return complete;
}

/* argv: "victim", database, shares in hex if it is initialised. */
static int victim(int argc, char **argv)
{
    struct hf_store *store = NULL;
    struct hf_seal *seal = NULL;
    struct held held = {0};
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_ARENA)) ||
        !HF_IS_OK(hf_store_sqlite_open(argv[2], &store)) ||
        !HF_IS_OK(hf_seal_open(store, &hf_clock_system, &seal)))
        return 4;
    if (argc > 3) {
        bool complete = false;
        const char *why;
        for (int i = 3; i < argc && !complete; i++)
            if (!HF_IS_OK(offer(seal, argv[i], &complete, &why)))
                return 5;
        for (int i = 3; i < argc; i++)
            snprintf(held.hex[i - 3], HF_SHARE_CARD_MAX, "%s", argv[i]);
        held.count = N;
    } else {
        struct hf_share_set set = {.count = 0};
        if (!HF_IS_OK(hf_seal_init(seal, N, K, &set)))
            return 6;
        hold(&set, &held);
    }
    report('d', &held);
    for (uint32_t round = 0;; round++) {
        struct hf_quorum_status status;
        struct hf_share_set set = {.count = 0};
        const char *why;
        bool complete = false;
        if (!HF_IS_OK(hf_rekey_begin(seal, N, K, true, &status)))
            return 7;
        struct hf_id nonce = status.nonce;
        for (unsigned i = 0; i < K; i++)
            if (!HF_IS_OK(hf_rekey_offer(seal, nonce, hf_cursor_text(held.hex[i]), &status, &set, &why)))
                return 8;
        hold(&set, &held);
        report('p', &held);
        nonce = status.verification_nonce;
        for (unsigned i = 0; i < K; i++)
            if (!HF_IS_OK(
                    hf_rekey_verify(seal, nonce, hf_cursor_text(held.hex[i]), &complete, &status, &why)))
                return 9;
        report('d', &held);
        uint8_t ns[16] = {1};
        uint32_t generation;
        if (round % 4 == 0 && !HF_IS_OK(hf_seal_kek_create(seal, hf_cursor(ns, 16))) &&
            !HF_IS_OK(hf_seal_kek_rotate(seal, hf_cursor(ns, 16), &generation)))
            return 10;
    }
}

static void killed_at_any_moment_it_opens_again(void **state)
{
    (void)state;
    char dir[] = "/tmp/hf-seal-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char file[64];
    snprintf(file, sizeof(file), "%s/store.db", dir);
    struct report in_force = {0}, about = {0};
    bool known = false;
    unsigned after = 0;
    srand((unsigned)getpid());
    for (unsigned round = 0; round < ROUNDS; round++) {
        int pipe_fds[2];
        assert_int_equal(pipe(pipe_fds), 0);
        pid_t child = fork();
        if (child == 0) {
            dup2(pipe_fds[1], REPORT_FD);
            execl("/proc/self/exe", "victim", "victim", file, known ? in_force.hex[0] : NULL, in_force.hex[1],
                  in_force.hex[2], (char *)NULL);
            _exit(127);
        }
        close(pipe_fds[1]);
        struct report r;
        bool pending = false;
        bool doomed = false;
        while (read(pipe_fds[0], &r, sizeof(r)) == (ssize_t)sizeof(r)) {
            pending = r.kind == 'p';
            if (pending)
                about = r;
            else
                in_force = r;
            known = true;
            if (!doomed) { /* it lives for a random while from its first report on */
                struct timespec pause = {0, (rand() % 12000) * 1000L};
                (void)nanosleep(&pause, NULL);
                kill(child, SIGKILL);
                doomed = true;
            }
        }
        close(pipe_fds[0]);
        int status;
        waitpid(child, &status, 0);
        if (!WIFSIGNALED(status))
            fail_msg("the victim ended by itself: %d", WEXITSTATUS(status));

        struct hf_store *store = NULL;
        assert_int_equal(hf_store_sqlite_open(file, &store).code, HF_OK);
        bool before = opens_store(store, &in_force);
        bool next = pending && opens_store(store, &about);
        assert_true(before != next); /* the ones or the others, not none and not both */
        if (next) {
            in_force = about;
            after++;
        }
        store->ops->close(store);
    }
    (void)after; /* how often the kill fell between commit and report: by chance */
    static const char *const ends[] = {"", "-wal", "-shm", "-lock", ".lock"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char name[96];
        snprintf(name, sizeof(name), "%s%s", file, ends[i]);
        (void)unlink(name);
    }
    (void)rmdir(dir);
}

int main(int argc, char **argv)
{
    hf_log_setup(2, HF_LOG_ERROR, "test");
    if (argc > 2)
        return victim(argc, argv);
    if (!HF_IS_OK(hf_crypto_start(HF_CRYPTO_HEAP_ARENA)))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_any_moment_it_opens_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
