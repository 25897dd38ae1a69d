/* The control channel and the collection of postures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "roles/control.h"
#include "roles/posture.h"
#include "wire/frame.h"

static int ends[2];
static struct hf_control message;

static int open_ends(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int close_ends(void **state)
{
    (void)state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static int count_fds(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* A pipe whose reading end has been sent: what is written to the other arrives. */
static void expect_same_pipe(int received, int write_end)
{
    char byte = 0;
    assert_int_equal(write(write_end, "x", 1), 1);
    assert_int_equal(read(received, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_true((fcntl(received, F_GETFD) & FD_CLOEXEC) != 0);
}

static void plain_messages(void **state)
{
    (void)state;
    assert_int_equal(hf_control_recv(ends[1], false, &message).code, HF_WOULD_BLOCK);
    assert_int_equal(hf_control_ready(ends[0]).code, HF_OK);
    assert_int_equal(hf_control_drain(ends[0]).code, HF_OK);
    assert_int_equal(hf_control_status(ends[0], true, false, "0.1").code, HF_OK);
    assert_int_equal(hf_control_recv(ends[1], true, &message).code, HF_OK);
    assert_int_equal(message.kind, HF_CONTROL_READY);
    assert_int_equal(hf_control_recv(ends[1], false, &message).code, HF_OK);
    assert_int_equal(message.kind, HF_CONTROL_DRAIN);
    assert_int_equal(hf_control_recv(ends[1], false, &message).code, HF_OK);
    assert_int_equal(message.kind, HF_CONTROL_STATUS);
    assert_true(message.as.status.initialized);
    assert_false(message.as.status.sealed);
    assert_string_equal(message.as.status.version, "0.1");
    close(ends[0]);
    assert_int_equal(hf_control_recv(ends[1], true, &message).code, HF_ROLE_DOWN);
    assert_int_equal(hf_control_ready(ends[1]).code, HF_ROLE_DOWN);
    ends[0] = dup(ends[1]);
}

static void links_carry_descriptors(void **state)
{
    (void)state;
    int before = count_fds();
    static struct hf_role_link links[HF_ROLE_LINKS_MAX];
    int pipes[HF_ROLE_LINKS_MAX];
    for (int i = 0; i < HF_ROLE_LINKS_MAX; i++) {
        int pair[2];
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        links[i] =
            (struct hf_role_link){pair[0], i % 2 == 0 ? HF_ROLE_STORE : HF_ROLE_FRONT, (uint16_t)(i * 3)};
        pipes[i] = pair[1];
    }
    assert_int_equal(hf_control_links(ends[0], links, HF_ROLE_LINKS_MAX).code, HF_OK);
    assert_int_equal(hf_control_links(ends[0], links, HF_ROLE_LINKS_MAX + 1).code, HF_TOO_LARGE);
    assert_int_equal(hf_control_links(ends[0], links, 3).code, HF_OK);
    for (int i = 0; i < HF_ROLE_LINKS_MAX; i++)
        close(links[i].fd);
    assert_int_equal(hf_control_recv(ends[1], false, &message).code, HF_OK);
    assert_int_equal(message.kind, HF_CONTROL_LINKS);
    assert_int_equal(message.as.links.count, HF_ROLE_LINKS_MAX);
    for (int i = 0; i < HF_ROLE_LINKS_MAX; i++) {
        const struct hf_role_link *link = &message.as.links.links[i];
        assert_int_equal(link->peer, links[i].peer);
        assert_int_equal(link->index, links[i].index);
        expect_same_pipe(link->fd, pipes[i]);
        close(link->fd);
        close(pipes[i]);
    }
    assert_int_equal(hf_control_recv(ends[1], false, &message).code, HF_OK);
    hf_control_discard(&message);
    assert_int_equal(count_fds(), before);
}

static void start_carries_everything(void **state)
{
    (void)state;
    int before = count_fds();
    static struct hf_role_args args, got;
    static struct hf_config config, parsed;
    int pair[2];
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    static const char text[] = "fronts = 2\nstorage \"sqlite\" { path = \"/d/h.db\" }\n"
                               "listener \"tcp\" {\n address = \"127.0.0.1:1\"\n tls_disable = true\n}\n";
    assert_int_equal(hf_config_parse(hf_cursor_text(text), &config, NULL).code, HF_OK);
    config.dev = true;
    args = (struct hf_role_args){.role = HF_ROLE_FRONT,
                                 .index = 1,
                                 .front_count = 2,
                                 .config = &config,
                                 .state_dir_fd = pair[0],
                                 .run_uid = 5,
                                 .run_gid = 6,
                                 .link_count = 1,
                                 .links = {{pair[0], HF_ROLE_CORE, 0}},
                                 .listener_count = 1,
                                 .listeners = {{pair[0], 0}},
                                 .tls_file_count = 1,
                                 .tls_files = {{pair[0], HF_TLS_FILE_KEY, 0, 1}}};
    assert_int_equal(hf_control_start_send(ends[0], &args, hf_cursor_text(text)).code, HF_OK);
    assert_int_equal(hf_control_start_recv(ends[1], &got, &parsed).code, HF_OK);
    assert_int_equal(got.role, HF_ROLE_FRONT);
    assert_int_equal(got.index, 1);
    assert_int_equal(got.front_count, 2);
    assert_int_equal(got.run_uid, 5);
    assert_int_equal(got.run_gid, 6);
    assert_ptr_equal(got.config, &parsed);
    assert_true(parsed.dev);
    assert_int_equal(parsed.fronts, 2);
    assert_string_equal(parsed.storage_path, "/d/h.db");
    expect_same_pipe(got.state_dir_fd, pair[1]);
    expect_same_pipe(got.links[0].fd, pair[1]);
    expect_same_pipe(got.listeners[0].fd, pair[1]);
    expect_same_pipe(got.tls_files[0].fd, pair[1]);
    assert_int_equal(got.tls_files[0].kind, HF_TLS_FILE_KEY);
    assert_int_equal(got.tls_files[0].pair, 1);
    close(got.state_dir_fd);
    close(got.links[0].fd);
    close(got.listeners[0].fd);
    close(got.tls_files[0].fd);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(count_fds(), before);
}

static void dev_messages(void **state)
{
    (void)state;
    static struct hf_control out;
    out = (struct hf_control){.kind = HF_CONTROL_DEV_INIT};
    out.as.dev_init.init = true;
    snprintf(out.as.dev_init.root_token, sizeof(out.as.dev_init.root_token), "root");
    out.as.dev_init.share_count = 2;
    snprintf(out.as.dev_init.shares[1], sizeof(out.as.dev_init.shares[1]), "share");
    assert_int_equal(hf_control_dev(ends[0], &out).code, HF_OK);
    assert_int_equal(hf_control_recv(ends[1], false, &message).code, HF_OK);
    assert_int_equal(message.kind, HF_CONTROL_DEV_INIT);
    assert_true(message.as.dev_init.init);
    assert_string_equal(message.as.dev_init.root_token, "root");
    assert_int_equal(message.as.dev_init.share_count, 2);
    assert_string_equal(message.as.dev_init.shares[0], "");
    assert_string_equal(message.as.dev_init.shares[1], "share");

    out = (struct hf_control){.kind = HF_CONTROL_DEV_DONE};
    out.as.dev_done.code = HF_BAD_SHARE;
    assert_int_equal(hf_control_dev(ends[1], &out).code, HF_OK);
    assert_int_equal(hf_control_recv(ends[0], false, &message).code, HF_OK);
    assert_int_equal(message.kind, HF_CONTROL_DEV_DONE);
    assert_int_equal(message.as.dev_done.code, HF_BAD_SHARE);
}

/* Whatever comes, it is refused without a crash, and without a descriptor left open. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    int before = count_fds();
    uint8_t frame[64];
    for (unsigned kind = 0; kind < 12; kind++)
        for (size_t len = 0; len <= 40; len++) {
            struct hf_buf buf = hf_buf(frame, sizeof(frame));
            size_t begun = hf_frame_begin(&buf, HF_FRAME_CONTROL, 0, kind);
            for (size_t i = 0; i < len; i++)
                hf_buf_u8(&buf, 0xff);
            hf_frame_end(&buf, begun);
            struct iovec part = {frame, buf.len};
            union {
                struct cmsghdr align;
                char space[CMSG_SPACE(2 * sizeof(int))];
            } beside = {0};
            struct msghdr sent = {.msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = beside.space,
                                  .msg_controllen = sizeof(beside.space)};
            struct cmsghdr *rights = CMSG_FIRSTHDR(&sent);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(2 * sizeof(int));
            int two[2] = {STDIN_FILENO, STDERR_FILENO};
            memcpy(CMSG_DATA(rights), two, sizeof(two));
            assert_true(sendmsg(ends[0], &sent, 0) > 0);
            assert_int_equal(hf_control_recv(ends[1], false, &message).code, HF_BAD_REQUEST);
        }
    assert_int_equal(send(ends[0], "no frame", 8, 0), 8);
    assert_int_equal(hf_control_recv(ends[1], false, &message).code, HF_BAD_REQUEST);
    assert_int_equal(count_fds(), before);
}

/* ---- postures ---- */

static struct hf_cursor encode(const struct hf_posture *posture, uint8_t *space, size_t size)
{
    struct hf_buf out = hf_buf(space, size);
    struct hf_tree_writer w = hf_tree_writer(&out);
    hf_posture_write(posture, &w);
    assert_false(out.overflow);
    return hf_buf_cursor(&out);
}

static void board_collects_postures(void **state)
{
    (void)state;
    static uint8_t space[HF_POSTURE_TREE_MAX], all[4 * HF_POSTURE_TREE_MAX];
    struct hf_posture_board *board = NULL;
    assert_int_equal(hf_posture_board_new(&board).code, HF_OK);
    struct hf_posture posture = {.role = HF_ROLE_STORE, .pid = 7};
    posture.measures[HF_MEASURE_SECCOMP].applies = posture.measures[HF_MEASURE_SECCOMP].in_force = true;
    assert_int_equal(
        hf_posture_board_put(board, HF_ROLE_STORE, 0, encode(&posture, space, sizeof(space))).code, HF_OK);
    posture = (struct hf_posture){.role = HF_ROLE_FRONT, .index = 1, .pid = 8};
    posture.measures[HF_MEASURE_LANDLOCK].applies = true;
    snprintf(posture.measures[HF_MEASURE_LANDLOCK].why_not, 120, "none here");
    for (int pid = 8; pid < 10; pid++) { /* the later report replaces the earlier */
        posture.pid = pid;
        assert_int_equal(
            hf_posture_board_put(board, HF_ROLE_FRONT, 1, encode(&posture, space, sizeof(space))).code,
            HF_OK);
    }
    assert_int_equal(hf_posture_board_put(board, HF_ROLE_FRONT, 2, hf_cursor("junk", 4)).code,
                     HF_BAD_REQUEST);

    struct hf_buf out = hf_buf(all, sizeof(all));
    struct hf_tree_writer w = hf_tree_writer(&out);
    assert_int_equal(hf_posture_board_write(board, &w).code, HF_OK);
    struct hf_tree tree, item;
    assert_int_equal(hf_tree_open(hf_buf_cursor(&out), &tree).code, HF_OK);
    assert_int_equal(tree.count, 2);
    struct hf_tree_iter iter = hf_tree_iterate(&tree);
    struct hf_cursor none, text;
    int64_t pid;
    assert_true(hf_tree_next(&iter, &none, &item)); /* fronts come before the store */
    assert_int_equal(hf_tree_text(&item, "process", &text).code, HF_OK);
    assert_true(hf_cursor_is(text, "front"));
    assert_int_equal(hf_tree_int(&item, "pid", 0, &pid).code, HF_OK);
    assert_int_equal(pid, 9);
    struct hf_tree measures = hf_tree_get(&item, "measures");
    struct hf_tree landlock = hf_tree_get(&measures, "landlock");
    bool in_force = true;
    assert_int_equal(hf_tree_bool(&landlock, "in_force", true, &in_force).code, HF_OK);
    assert_false(in_force);
    assert_int_equal(hf_tree_text(&landlock, "why_not", &text).code, HF_OK);
    assert_true(hf_cursor_is(text, "none here"));
    assert_false(hf_tree_has(&measures, "seccomp")); /* does not apply: left out */
    hf_posture_board_free(board);
    hf_posture_board_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_messages, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(links_carry_descriptors, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(start_carries_everything, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(dev_messages, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(nonsense_is_refused, open_ends, close_ends),
        cmocka_unit_test(board_collects_postures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
