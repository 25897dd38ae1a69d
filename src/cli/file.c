#include "cli/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "crypto/floe.h"
#include "secret/secret.h"

/* docs/files.md:  magic 4 | mount vec16 | key vec16 | wrapped data key vec16 | FLOE file
 * FLOE's associated data: magic, mount and key; not the wrapped data key, so that rewrapping leaves the body alone. */
static const uint8_t magic[4] = {'H', 'F', 'F', '1'};
enum {
    NAME_MAX_BYTES = 256,
    WRAPPED_MAX = 8192,
    HEAD_MAX = 4 + 2 + NAME_MAX_BYTES + 2 + NAME_MAX_BYTES + 2 + WRAPPED_MAX,
    SEGMENT = 256 << 10,
    BODY = 64 << 10,
};

struct header {
    uint8_t bytes[HEAD_MAX];
    size_t len, ad_len;
    struct hf_cursor mount, key, wrapped; /* in bytes */
};

/* ---- input and output ---- */

static hf_result read_full(int fd, uint8_t *bytes, size_t want, size_t *ret_len)
{
    size_t len = 0;
    while (len < want) {
        ssize_t n = read(fd, bytes + len, want - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return HF_FAIL(SYSTEM);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return HF_DONE;
}

static hf_result write_full(int fd, const uint8_t *bytes, size_t len)
{
    while (len != 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == ENOSPC ? HF_FAIL(STORE_FULL) : HF_FAIL(SYSTEM);
        bytes += n;
        len -= (size_t)n;
    }
    return HF_DONE;
}

static hf_result header_write(struct header *h, const char *mount, const char *key, struct hf_cursor wrapped)
{
    struct hf_buf out = hf_buf(h->bytes, sizeof(h->bytes));
    if (strlen(mount) > NAME_MAX_BYTES || strlen(key) > NAME_MAX_BYTES || wrapped.left > WRAPPED_MAX)
        return HF_FAIL(TOO_LARGE);
    hf_buf_put(&out, magic, sizeof(magic));
    hf_buf_vec16(&out, hf_cursor_text(mount));
    hf_buf_vec16(&out, hf_cursor_text(key));
    h->ad_len = out.len;
    hf_buf_vec16(&out, wrapped);
    h->len = out.len;
    return hf_buf_ok(&out);
}

static hf_result take_vec(int fd, struct header *h, size_t most, struct hf_cursor *ret)
{
    size_t got;
    TRY(read_full(fd, h->bytes + h->len, 2, &got));
    if (got != 2)
        return HF_FAIL(TRUNCATED);
    size_t len = ((size_t)h->bytes[h->len] << 8) | h->bytes[h->len + 1];
    h->len += 2;
    if (len == 0 || len > most)
        return HF_FAIL(BAD_ARGUMENT);
    TRY(read_full(fd, h->bytes + h->len, len, &got));
    if (got != len)
        return HF_FAIL(TRUNCATED);
    *ret = hf_cursor(h->bytes + h->len, len);
    h->len += len;
    return HF_DONE;
}

static hf_result header_read(int fd, struct header *h)
{
    size_t got;
    h->len = sizeof(magic);
    TRY(read_full(fd, h->bytes, sizeof(magic), &got));
    if (got != sizeof(magic) || memcmp(h->bytes, magic, sizeof(magic)) != 0) /* public */
        return HF_FAIL(BAD_ARGUMENT);
    TRY(take_vec(fd, h, NAME_MAX_BYTES, &h->mount));
    TRY(take_vec(fd, h, NAME_MAX_BYTES, &h->key));
    h->ad_len = h->len;
    TRY(take_vec(fd, h, WRAPPED_MAX, &h->wrapped));
    if (!hf_utf8_valid(h->mount) || !hf_utf8_valid(h->key) || memchr(h->mount.at, 0, h->mount.left) != NULL ||
        memchr(h->key.at, 0, h->key.left) != NULL)
        return HF_FAIL(BAD_ARGUMENT);
    return HF_DONE;
}

/* ---- data keys ---- */

/* Takes the base64 text of a field as a secret of 32 bytes. */
static hf_result take_key(const struct hf_tree *data, const char *field, struct hf_secret **ret_key)
{
    uint8_t bytes[HF_FLOE_KEY + 3];
    struct hf_buf out = hf_buf(bytes, sizeof(bytes));
    struct hf_tree text = hf_tree_get(data, field);
    hf_result done = text.tag != HF_TREE_TEXT ? HF_FAIL(BAD_ARGUMENT) : hf_base64_decode(&out, text.body);
    if (HF_IS_OK(done))
        done = out.len != HF_FLOE_KEY ? HF_FAIL(BAD_ARGUMENT) : hf_secret_take(bytes, HF_FLOE_KEY, ret_key);
    hf_wipe(bytes, sizeof(bytes));
    return done;
}

static int post(struct cli *cli, const char *mount, const char *op, const char *key, const char *context,
                struct hf_cursor ciphertext, struct cli_answer *ret)
{
    struct cli_body body;
    if (!HF_IS_OK(cli_body_begin(&body, BODY)))
        return cli_failed(cli, HF_FAIL(NO_MEMORY), "cannot ask the server");
    if (context != NULL) {
        hf_tw_k(&body.w, "context");
        uint8_t *place = hf_tw_text_reserve(&body.w, HF_BASE64_LEN(strlen(context)));
        struct hf_buf out = hf_buf(place, place == NULL ? 0 : HF_BASE64_LEN(strlen(context)));
        hf_base64_encode(&out, hf_cursor_text(context));
    }
    if (ciphertext.left != 0)
        hf_tw_k_slice(&body.w, "ciphertext", ciphertext);
    int done = cli_call(cli, "POST", CLI_PATH(mount, op, key), &body, ret);
    cli_body_done(&body);
    return done;
}

/* ---- encrypting ---- */

static hf_result seal_body(const struct cli_file_job *job, struct hf_floe *floe,
                           struct cli_progress *progress)
{
    size_t plain_len = hf_floe_plain_len(floe);
    uint8_t *plain = malloc(plain_len + 1), *sealed = malloc(hf_floe_segment_len(floe));
    hf_result done = plain == NULL || sealed == NULL ? HF_FAIL(NO_MEMORY) : HF_DONE;
    size_t have = 0;
    bool last = false;
    while (HF_IS_OK(done) && !last) {
        size_t got = 0; /* one byte more than a segment tells a full one from the last */
        done = read_full(job->in_fd, plain + have, plain_len + 1 - have, &got);
        have += got;
        last = have <= plain_len;
        size_t take = last ? have : plain_len;
        struct hf_buf out = hf_buf(sealed, hf_floe_segment_len(floe));
        if (HF_IS_OK(done))
            done = last ? hf_floe_seal_last(floe, hf_cursor(plain, take), &out)
                        : hf_floe_seal_next(floe, hf_cursor(plain, take), &out);
        if (HF_IS_OK(done))
            done = write_full(job->out_fd, sealed, out.len);
        plain[0] = plain[plain_len];
        have = last ? 0 : 1;
        cli_progress_add(progress, take);
    }
    if (plain != NULL)
        hf_wipe(plain, plain_len + 1);
    free(plain);
    free(sealed);
    return done;
}

int cli_file_encrypt(struct cli *cli, const struct cli_file_job *job)
{
    struct cli_answer answer;
    int code =
        post(cli, job->mount, "*datakey/plaintext/", job->key, job->context, (struct hf_cursor){0}, &answer);
    if (code != CLI_OK)
        return code;
    struct header *head = calloc(1, sizeof(*head));
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    CLEANUP(hf_floe_freep) struct hf_floe *floe = NULL;
    uint8_t floe_header[HF_FLOE_HEADER];
    struct hf_tree wrapped = hf_tree_get(&answer.data, "ciphertext");
    hf_result done = head == NULL ? HF_FAIL(NO_MEMORY) : take_key(&answer.data, "plaintext", &key);
    if (HF_IS_OK(done))
        done = header_write(head, job->mount, job->key, wrapped.body);
    cli_answer_done(&answer);
    if (HF_IS_OK(done))
        done = hf_floe_seal_begin(key, hf_cursor(head->bytes, head->ad_len), SEGMENT, floe_header, &floe);
    struct cli_progress progress;
    cli_progress_begin(&progress, "encrypting", job->in_size);
    progress.on = progress.on && !job->quiet;
    if (HF_IS_OK(done))
        done = write_full(job->out_fd, head->bytes, head->len);
    if (HF_IS_OK(done))
        done = write_full(job->out_fd, floe_header, sizeof(floe_header));
    if (HF_IS_OK(done))
        done = seal_body(job, floe, &progress);
    cli_progress_end(&progress);
    free(head);
    return HF_IS_OK(done) ? CLI_OK : cli_failed(cli, done, "encrypting failed");
}

/* ---- decrypting ---- */

static hf_result open_whole(const struct cli_file_job *job, struct hf_floe *floe,
                            struct cli_progress *progress)
{
    size_t segment = hf_floe_segment_len(floe);
    uint8_t *sealed = malloc(segment), *plain = malloc(hf_floe_plain_len(floe));
    hf_result done = plain == NULL || sealed == NULL ? HF_FAIL(NO_MEMORY) : HF_DONE;
    bool last = false;
    while (HF_IS_OK(done) && !last) {
        size_t got;
        done = read_full(job->in_fd, sealed, segment, &got);
        if (HF_IS_OK(done) && got == 0)
            done = HF_FAIL(TRUNCATED);
        struct hf_buf out = hf_buf(plain, hf_floe_plain_len(floe));
        if (HF_IS_OK(done))
            done = hf_floe_open_next(floe, hf_cursor(sealed, got), &out, &last);
        if (HF_IS_OK(done))
            done = write_full(job->out_fd, plain, out.len);
        cli_progress_add(progress, got);
    }
    size_t more = 0;
    if (HF_IS_OK(done))
        done = read_full(job->in_fd, sealed, 1, &more);
    if (HF_IS_OK(done) && more != 0) /* bytes were put behind the end */
        done = HF_FAIL(BAD_CIPHERTEXT);
    if (plain != NULL)
        hf_wipe(plain, hf_floe_plain_len(floe));
    free(plain);
    free(sealed);
    return done;
}

static hf_result read_at(int fd, uint8_t *bytes, size_t len, uint64_t at)
{
    while (len != 0) {
        ssize_t n = pread(fd, bytes, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return HF_FAIL(SYSTEM);
        if (n == 0)
            return HF_FAIL(TRUNCATED);
        bytes += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return HF_DONE;
}

/* Plaintext bytes [from, to), by opening only the segments that hold them. */
static hf_result open_range(const struct cli_file_job *job, struct hf_floe *floe, uint64_t body_at,
                            struct cli_progress *progress)
{
    off_t end = lseek(job->in_fd, 0, SEEK_END);
    if (end < 0)
        return HF_FAIL(UNSUPPORTED);
    uint64_t file_len = (uint64_t)end - (body_at - HF_FLOE_HEADER), segments, plain_len;
    TRY(hf_floe_layout(floe, file_len, &segments, &plain_len));
    uint64_t to = HF_MIN(job->to, plain_len);
    if (job->from > plain_len || (job->from == plain_len && job->from != 0 && job->to != job->from))
        return HF_FAIL(BAD_ARGUMENT); /* nothing of what was asked for exists */
    size_t segment = hf_floe_segment_len(floe), step = hf_floe_plain_len(floe);
    uint8_t *sealed = malloc(segment), *plain = malloc(step);
    hf_result done = plain == NULL || sealed == NULL ? HF_FAIL(NO_MEMORY) : HF_DONE;
    for (uint64_t at = job->from; HF_IS_OK(done) && at < to;) {
        uint64_t position = at / step;
        bool last = position == segments - 1;
        size_t len = last ? (size_t)(file_len - HF_FLOE_HEADER - position * segment) : segment;
        done = read_at(job->in_fd, sealed, len, body_at + position * segment);
        struct hf_buf out = hf_buf(plain, step);
        if (HF_IS_OK(done))
            done = hf_floe_open_at(floe, position, last, hf_cursor(sealed, len), &out);
        if (!HF_IS_OK(done))
            break;
        size_t skip = (size_t)(at - position * step);
        size_t take = (size_t)HF_MIN(to - at, (uint64_t)(out.len - skip));
        done = write_full(job->out_fd, plain + skip, take);
        at += take;
        cli_progress_add(progress, take);
    }
    if (plain != NULL)
        hf_wipe(plain, step);
    free(plain);
    free(sealed);
    return done;
}

static hf_result open_body(const struct cli_file_job *job, const struct header *head,
                           const struct hf_secret *key)
{
    uint8_t floe_header[HF_FLOE_HEADER];
    size_t got;
    CLEANUP(hf_floe_freep) struct hf_floe *floe = NULL;
    TRY(read_full(job->in_fd, floe_header, sizeof(floe_header), &got));
    TRY(hf_floe_open_begin(key, hf_cursor(head->bytes, head->ad_len), hf_cursor(floe_header, got), &floe));
    struct cli_progress progress;
    cli_progress_begin(&progress, "decrypting", job->range ? job->to - job->from : job->in_size);
    progress.on = progress.on && !job->quiet;
    hf_result done = job->range ? open_range(job, floe, head->len + HF_FLOE_HEADER, &progress)
                                : open_whole(job, floe, &progress);
    cli_progress_end(&progress);
    return done;
}

static int said_invalid(struct cli *cli, hf_result done)
{
    switch (done.code) {
    case HF_OK:
        return CLI_OK;
    case HF_TRUNCATED:
        cli_error("the file is truncated", NULL);
        return CLI_INVALID;
    case HF_BAD_CIPHERTEXT:
        cli_error("the file was altered, or its parts reordered", NULL);
        return CLI_INVALID;
    case HF_BAD_ARGUMENT:
        cli_error("this is no file that holdfast encrypted, or the range lies outside it", NULL);
        return CLI_INVALID;
    default:
        return cli_failed(cli, done, "decrypting failed");
    }
}

/* The header's names as C strings. */
struct names {
    char mount[NAME_MAX_BYTES + 1], key[NAME_MAX_BYTES + 1];
};

static void copy_names(const struct header *head, struct names *ret)
{
    memcpy(ret->mount, head->mount.at, head->mount.left);
    ret->mount[head->mount.left] = '\0';
    memcpy(ret->key, head->key.at, head->key.left);
    ret->key[head->key.left] = '\0';
}

int cli_file_decrypt(struct cli *cli, const struct cli_file_job *job)
{
    struct header *head = calloc(1, sizeof(*head));
    struct names names;
    CLEANUP(hf_secret_freep) struct hf_secret *key = NULL;
    hf_result done = head == NULL ? HF_FAIL(NO_MEMORY) : header_read(job->in_fd, head);
    int code = said_invalid(cli, done);
    if (head != NULL && code == CLI_OK) {
        struct cli_answer answer;
        copy_names(head, &names);
        code = post(cli, names.mount, "*decrypt/", names.key, job->context, head->wrapped, &answer);
        if (code == CLI_OK) {
            done = take_key(&answer.data, "plaintext", &key);
            cli_answer_done(&answer);
            if (HF_IS_OK(done))
                done = open_body(job, head, key);
            code = said_invalid(cli, done);
        }
    }
    free(head);
    return code;
}

/* ---- rewrapping ---- */

static hf_result copy_rest(const struct cli_file_job *job, struct cli_progress *progress)
{
    uint8_t *bytes = malloc(SEGMENT);
    hf_result done = bytes == NULL ? HF_FAIL(NO_MEMORY) : HF_DONE;
    size_t got = 1;
    while (HF_IS_OK(done) && got != 0) {
        done = read_full(job->in_fd, bytes, SEGMENT, &got);
        if (HF_IS_OK(done))
            done = write_full(job->out_fd, bytes, got);
        cli_progress_add(progress, got);
    }
    free(bytes);
    return done;
}

int cli_file_rewrap(struct cli *cli, const struct cli_file_job *job)
{
    struct header *head = calloc(2, sizeof(*head));
    struct names names;
    hf_result done = head == NULL ? HF_FAIL(NO_MEMORY) : header_read(job->in_fd, head);
    int code = said_invalid(cli, done);
    if (head != NULL && code == CLI_OK) {
        struct cli_answer answer;
        copy_names(head, &names);
        code = post(cli, names.mount, "*rewrap/", names.key, job->context, head->wrapped, &answer);
        if (code == CLI_OK) {
            struct hf_tree wrapped = hf_tree_get(&answer.data, "ciphertext");
            struct cli_progress progress;
            cli_progress_begin(&progress, "copying", job->in_size);
            done = header_write(&head[1], names.mount, names.key, wrapped.body);
            cli_answer_done(&answer);
            if (HF_IS_OK(done))
                done = write_full(job->out_fd, head[1].bytes, head[1].len);
            if (HF_IS_OK(done))
                done = copy_rest(job, &progress);
            cli_progress_end(&progress);
            code = HF_IS_OK(done) ? CLI_OK : cli_failed(cli, done, "rewrapping failed");
        }
    }
    free(head);
    return code;
}
