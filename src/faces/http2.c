/* HTTP/2 by nghttp2. Bodies of answers never enter its memory (they are written past it), and all of its memory is
 * wiped when it is freed; its header table for requests is kept empty, so that no token stays in it. */
#include <assert.h>
#include <malloc.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "faces/internal.h"
#include "secret/secret.h"

enum {
    WINDOW = 1 << 20,
    CONNECTION_WINDOW = 8 << 20,
    RESETS_MAX = 200, /* streams that the peer takes back in one second */
    FRAMES_CHUNK = 256 << 10,
    FRAME_HEAD = 9,
    HEAD_FIELDS_MAX = 8,
    DECIMAL_ROOM = 20,
};

struct span {
    uint32_t at, len; /* in stream->text */
};

struct stream {
    struct stream *previous, *next;
    int32_t id;
    int32_t exchange;
    int64_t begun_ns;
    int64_t moved_ns; /* when a part of the answer last went out */
    struct hf_wbuf text, body;
    struct span method, target, fields[HF_HTTP_FIELD_COUNT];
    bool seen[HF_HTTP_FIELD_COUNT];
    bool head_done, received, answered;
    uint16_t field_count;
    enum hf_reject reject; /* found in the head: answered when the head is whole */
    struct hf_wbuf out;
    size_t out_at;
};

struct hf_http2 {
    nghttp2_session *session;
    struct hf_front *front;
    struct hf_conn *conn;
    struct stream *streams;
    int64_t second_ns;
    uint32_t resets;
    bool draining, broken;
};

/* ---- memory that is wiped ---- */

static void *take(size_t size, void *arg)
{
    (void)arg;
    return malloc(size);
}
static void release(void *memory, void *arg)
{
    (void)arg;
    if (memory != NULL)
        hf_wipe(memory, malloc_usable_size(memory));
    free(memory);
}
static void *take_zeroed(size_t count, size_t size, void *arg)
{
    (void)arg;
    return calloc(count, size);
}
static void *change(void *memory, size_t size, void *arg)
{
    if (memory == NULL)
        return malloc(size);
    size_t had = malloc_usable_size(memory);
    if (size <= had)
        return memory;
    void *fresh = malloc(size);
    if (fresh != NULL) {
        memcpy(fresh, memory, had);
        release(memory, arg);
    }
    return fresh;
}

/* ---- streams ---- */

static struct stream *stream_of(const struct hf_http2 *http2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(http2->session, id);
}

static void stream_free(struct hf_http2 *http2, struct stream *stream)
{
    hf_front_forget(http2->front, stream->exchange);
    hf_front_clear(http2->front, &stream->text, 0);
    hf_front_clear(http2->front, &stream->body, 0);
    hf_front_clear(http2->front, &stream->out, 0);
    if (stream->previous != NULL)
        stream->previous->next = stream->next;
    else
        http2->streams = stream->next;
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
    http2->front->held_bytes -= sizeof(*stream);
    free(stream);
}

static struct hf_cursor text(const struct stream *stream, struct span span)
{
    return span.len == 0 ? hf_cursor("", 0) : hf_cursor(stream->text.at + span.at, span.len);
}

static void answer_reject(struct hf_http2 *http2, struct stream *stream, enum hf_reject reject,
                          struct hf_id id, size_t at)
{
    struct hf_http_head head = {.request_id = id};
    size_t len = hf_front_reject_body(http2->front, reject, at, &head);
    bool without = hf_cursor_is(text(stream, stream->method), "HEAD");
    hf_http2_answer(http2, stream->id, &head, http2->front->answer.at + HF_HTTP_HEAD_MAX, without ? 0 : len);
}

static void reject_now(struct hf_http2 *http2, struct stream *stream, enum hf_reject reject)
{
    struct hf_id id = {{0}};
    if (stream->answered)
        return;
    HF_IGNORE(hf_front_new_id(http2->front, &id), "an answer without a good id is better than none");
    answer_reject(http2, stream, reject, id, 0);
}

/* The request is whole. */
static void submit(struct hf_http2 *http2, struct stream *stream)
{
    struct hf_http_request request = {.method = text(stream, stream->method),
                                      .target = text(stream, stream->target),
                                      .body = hf_cursor(stream->body.at, stream->body.len)};
    struct hf_id id;
    size_t at;
    stream->received = true;
    if (stream->answered)
        return;
    for (unsigned i = 0; i < HF_HTTP_FIELD_COUNT; i++)
        request.fields[i] = text(stream, stream->fields[i]);
    http2->front->stats.counters[HF_FRONT_REQUESTS_HTTP2]++;
    enum hf_reject reject =
        hf_front_submit(http2->front, http2->conn, stream->id, &request, &stream->exchange, &id, &at);
    if (reject != HF_REJECT_NONE)
        answer_reject(http2, stream, reject, id, at);
    stream->seen[HF_HTTP_TOKEN] = false;
    hf_front_clear(http2->front, &stream->text, 0);
    memset(stream->fields, 0, sizeof(stream->fields));
    stream->method = stream->target = (struct span){0, 0};
    hf_front_clear(http2->front, &stream->body, 0);
}

/* ---- nghttp2's callbacks ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct hf_http2 *http2 = arg;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    bool room = http2->front->held_bytes + sizeof(struct stream) <= http2->front->limits.held_bytes_max;
    struct stream *stream = room ? calloc(1, sizeof(*stream)) : NULL;
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is refused */
    http2->front->held_bytes += sizeof(*stream);
    stream->id = frame->hd.stream_id;
    stream->exchange = HF_FRONT_NONE;
    stream->begun_ns = http2->front->now_ns;
    stream->next = http2->streams;
    if (http2->streams != NULL)
        http2->streams->previous = stream;
    http2->streams = stream;
    return nghttp2_session_set_stream_user_data(session, stream->id, stream);
}

static struct span keep(struct hf_http2 *http2, struct stream *stream, const uint8_t *bytes, size_t len)
{
    struct span span = {(uint32_t)stream->text.len, (uint32_t)len};
    if (!hf_front_put(http2->front, &stream->text, bytes, len)) {
        stream->reject = HF_REJECT_BODIES;
        span.len = 0;
    }
    return span;
}

static void take_field(struct hf_http2 *http2, struct stream *stream, struct hf_cursor name,
                       const uint8_t *value, size_t value_len)
{
    if (hf_cursor_is(name, ":method")) {
        stream->method = keep(http2, stream, value, value_len);
        return;
    }
    if (hf_cursor_is(name, ":path")) {
        stream->target = keep(http2, stream, value, value_len);
        if (value_len > HF_HTTP_TARGET_MAX)
            stream->reject = HF_REJECT_TARGET_SIZE;
        return;
    }
    enum hf_http_field field = hf_cursor_is(name, ":authority") ? HF_HTTP_HOST : hf_http_field_find(name);
    if (field == HF_HTTP_FIELD_COUNT || field == HF_HTTP_HOST)
        return;
    if (stream->seen[field] && hf_http_field_once(field))
        stream->reject = HF_REJECT_DUPLICATE_FIELD;
    stream->seen[field] = true;
    stream->fields[field] = keep(http2, stream, value, value_len);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    struct hf_http2 *http2 = arg;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    if (stream == NULL || stream->head_done) /* trailers are read over */
        return 0;
    size_t size = name_len + value_len;
    stream->field_count++;
    if (stream->text.len + size > http2->front->limits.head_bytes_max ||
        stream->field_count > HF_HTTP_FIELDS_MAX + 4)
        stream->reject = HF_REJECT_HEADER_SIZE;
    if (stream->reject != HF_REJECT_HEADER_SIZE)
        take_field(http2, stream, hf_cursor(name, name_len), value, value_len);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len,
                   void *arg)
{
    struct hf_http2 *http2 = arg;
    struct hf_front *front = http2->front;
    struct stream *stream = stream_of(http2, id);
    (void)session, (void)flags;
    if (stream == NULL || stream->answered)
        return 0;
    if (len > front->limits.body_bytes_max - stream->body.len) {
        reject_now(http2, stream, HF_REJECT_BODY_SIZE);
        return 0;
    }
    if (!hf_front_put(front, &stream->body, bytes, len))
        reject_now(http2, stream, HF_REJECT_BODIES);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct hf_http2 *http2 = arg;
    (void)session;
    if (frame->hd.type == NGHTTP2_RST_STREAM && ++http2->resets > RESETS_MAX) {
        hf_front_count_reject(http2->front, HF_REJECT_H2_FLOOD);
        http2->broken = true;
        (void)nghttp2_session_terminate_session(http2->session, NGHTTP2_ENHANCE_YOUR_CALM);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct stream *stream = stream_of(http2, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    http2->conn->deadline_ns = http2->front->now_ns + http2->front->limits.idle_ns;
    if (frame->hd.type == NGHTTP2_HEADERS && !stream->head_done) {
        stream->head_done = true;
        if (stream->reject != HF_REJECT_NONE)
            reject_now(http2, stream, stream->reject);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        submit(http2, stream);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct hf_http2 *http2 = arg;
    struct stream *stream = stream_of(http2, id);
    (void)error;
    if (stream != NULL) {
        (void)nghttp2_session_set_stream_user_data(session, id, NULL);
        stream_free(http2, stream);
    }
    return 0;
}

/* An answer went out whole before the request came in whole: the rest of it is not wanted. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct hf_http2 *http2 = arg;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    struct stream *stream = stream_of(http2, frame->hd.stream_id);
    if (stream != NULL && !stream->received)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
    struct hf_http2 *http2 = arg;
    (void)session, (void)frame, (void)error;
    hf_front_count_reject(http2->front, HF_REJECT_H2_PROTOCOL);
    return 0;
}

/* ---- answers ---- */

static ssize_t next_part(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    struct stream *stream = source->ptr;
    (void)session, (void)id, (void)buf, (void)arg;
    size_t left = stream->out.len - stream->out_at, len = HF_MIN(left, room);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY | (len == left ? NGHTTP2_DATA_FLAG_EOF : 0);
    return (ssize_t)len;
}

static int send_part(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                     nghttp2_data_source *source, void *arg)
{
    struct hf_http2 *http2 = arg;
    struct stream *stream = source->ptr;
    struct hf_wbuf *frames = &http2->front->frames;
    (void)session, (void)frame;
    if (!HF_IS_OK(hf_wbuf_room(frames, FRAME_HEAD + len)))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    HF_IGNORE(hf_wbuf_put(frames, head, FRAME_HEAD), "there is room");
    HF_IGNORE(hf_wbuf_put(frames, stream->out.at + stream->out_at, len), "there is room");
    stream->out_at += len;
    stream->moved_ns = http2->front->now_ns;
    return 0;
}

static nghttp2_nv field(const char *name, struct hf_cursor value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value.at,
                        .valuelen = value.left,
                        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

static struct hf_cursor decimal(uint64_t value, uint8_t space[static DECIMAL_ROOM])
{
    struct hf_buf out = hf_buf(space, DECIMAL_ROOM);
    hf_buf_decimal(&out, value);
    return hf_buf_cursor(&out);
}

void hf_http2_answer(struct hf_http2 *http2, int32_t id, const struct hf_http_head *head, const uint8_t *body,
                     size_t body_len)
{
    struct stream *stream = stream_of(http2, id);
    nghttp2_nv fields[HEAD_FIELDS_MAX];
    uint8_t status[DECIMAL_ROOM], length[DECIMAL_ROOM], retry[DECIMAL_ROOM];
    char request_id[HF_ID_TEXT_LEN];
    size_t count = 0;
    if (stream == NULL || stream->answered)
        return;
    stream->answered = true;
    stream->moved_ns = http2->front->now_ns;
    stream->exchange = HF_FRONT_NONE;
    if (head->content_type.left == 0)
        body_len = 0;
    if (!hf_front_put(http2->front, &stream->out, body, body_len)) {
        hf_front_count_reject(http2->front, HF_REJECT_BODIES);
        (void)nghttp2_submit_rst_stream(http2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    hf_id_text(head->request_id, request_id);
    fields[count++] = field(":status", decimal(head->status, status));
    if (head->content_type.left != 0)
        fields[count++] = field("content-type", head->content_type);
    fields[count++] = field("cache-control", hf_cursor_text("no-store"));
    fields[count] = field("x-holdfast-request-id", hf_cursor(request_id, sizeof(request_id)));
    fields[count++].flags |= NGHTTP2_NV_FLAG_NO_INDEX; /* never the same twice */
    if (head->dev)
        fields[count++] = field("x-holdfast-level", hf_cursor_text("dev"));
    if (head->index.left != 0)
        fields[count++] = field("x-vault-index", head->index);
    if (head->retry_after_s != 0)
        fields[count++] = field("retry-after", decimal(head->retry_after_s, retry));
    if (head->status != 204)
        fields[count++] = field("content-length", decimal(body_len, length));
    static_assert(HEAD_FIELDS_MAX == 8, "as many as are written here");
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = next_part};
    if (nghttp2_submit_response(http2->session, id, fields, count, body_len == 0 ? NULL : &provider) != 0)
        (void)nghttp2_submit_rst_stream(http2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
}

/* ---- the session ---- */

static int set_up(struct hf_http2 *http2)
{
    nghttp2_mem memory = {http2, take, release, take_zeroed, change};
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, http2->front->limits.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, http2->front->limits.head_bytes_max},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0},
    };
    int error = nghttp2_session_callbacks_new(&callbacks);
    if (error == 0)
        error = nghttp2_option_new(&option);
    if (error == 0) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
        nghttp2_session_callbacks_set_send_data_callback(callbacks, send_part);
        nghttp2_option_set_no_closed_streams(option, 1);
        error = nghttp2_session_server_new3(&http2->session, callbacks, http2, option, &memory);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    if (error == 0)
        error = nghttp2_submit_settings(http2->session, NGHTTP2_FLAG_NONE, settings, HF_ARRAY_LEN(settings));
    if (error == 0)
        error =
            nghttp2_session_set_local_window_size(http2->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    return error;
}

hf_result hf_http2_new(struct hf_front *front, struct hf_conn *conn, struct hf_http2 **ret_http2)
{
    struct hf_http2 *http2 = calloc(1, sizeof(*http2));
    if (http2 == NULL)
        return HF_FAIL(NO_MEMORY);
    http2->front = front;
    http2->conn = conn;
    http2->second_ns = front->now_ns;
    if (set_up(http2) != 0) {
        hf_http2_free(http2);
        return HF_FAIL(NO_MEMORY);
    }
    *ret_http2 = http2;
    return HF_DONE;
}

void hf_http2_free(struct hf_http2 *http2)
{
    if (http2 == NULL)
        return;
    nghttp2_session_del(http2->session);
    for (struct stream *stream = http2->streams, *next; stream != NULL; stream = next) {
        next = stream->next;
        stream->previous = NULL; /* the list goes with it */
        stream_free(http2, stream);
    }
    free(http2);
}

bool hf_http2_input(struct hf_http2 *http2, const uint8_t *bytes, size_t len)
{
    ssize_t taken = nghttp2_session_mem_recv(http2->session, bytes, len);
    if (taken < 0 || (size_t)taken != len) {
        hf_front_count_reject(http2->front, HF_REJECT_H2_PROTOCOL);
        http2->broken = true;
    }
    return !http2->broken;
}

/* One batch of frames. Gives false where nothing is left to send. */
static bool gather(struct hf_http2 *http2)
{
    struct hf_wbuf *frames = &http2->front->frames;
    const uint8_t *bytes;
    while (frames->len < FRAMES_CHUNK) {
        size_t before = frames->len;
        ssize_t len = nghttp2_session_mem_send(http2->session, &bytes);
        if (len > 0 && !HF_IS_OK(hf_wbuf_put(frames, bytes, (size_t)len)))
            len = -1;
        if (len < 0)
            http2->broken = true;
        if (len < 0 || (len == 0 && frames->len == before))
            return false;
    }
    return true;
}

bool hf_http2_output(struct hf_http2 *http2)
{
    struct hf_front *front = http2->front;
    struct hf_conn *conn = http2->conn;
    bool more = true, open = true;
    while (more && open && conn->out_at == conn->out.len) {
        more = gather(http2);
        if (front->frames.len == 0)
            break;
        conn->active_ns = front->now_ns;
        open = hf_conn_send(front, conn, front->frames.at, front->frames.len);
        hf_wbuf_clear(&front->frames, HF_FRONT_LINK_KEEP);
    }
    return open;
}

bool hf_http2_done(const struct hf_http2 *http2)
{
    return http2->broken ||
           (nghttp2_session_want_read(http2->session) == 0 &&
            nghttp2_session_want_write(http2->session) == 0) ||
           (http2->draining && http2->streams == NULL && nghttp2_session_want_write(http2->session) == 0);
}

bool hf_http2_idle(const struct hf_http2 *http2)
{
    return http2->streams == NULL;
}

void hf_http2_drain(struct hf_http2 *http2)
{
    http2->draining = true;
    (void)nghttp2_submit_goaway(http2->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(http2->session), NGHTTP2_NO_ERROR,
                                NULL, 0);
}

bool hf_http2_tick(struct hf_http2 *http2)
{
    const struct hf_front_limits *limits = &http2->front->limits;
    int64_t now_ns = http2->front->now_ns;
    bool late = false;
    if (now_ns - http2->second_ns > HF_SECOND) {
        http2->second_ns = now_ns;
        http2->resets = 0;
    }
    for (struct stream *stream = http2->streams, *next; stream != NULL; stream = next) {
        next = stream->next;
        int64_t age_ns = now_ns - stream->begun_ns;
        int64_t earned_ns = (int64_t)(stream->body.len / limits->body_rate_least) * HF_SECOND;
        if (!stream->head_done &&
            age_ns > limits->head_ns) { /* nothing else can come in between: it is over */
            hf_front_count_reject(http2->front, HF_REJECT_HEADER_TIME);
            return false;
        }
        if (stream->answered &&
            now_ns - stream->moved_ns > limits->write_ns) { /* it does not take its answer */
            hf_front_count_reject(http2->front, HF_REJECT_WRITE_TIME);
            (void)nghttp2_submit_rst_stream(http2->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
            late = true;
        }
        if (stream->received || stream->answered)
            continue;
        if (age_ns > HF_MIN(limits->head_ns + limits->body_grace_ns + earned_ns, limits->request_ns)) {
            reject_now(http2, stream, HF_REJECT_BODY_TIME);
            late = true;
        }
    }
    if (late)
        hf_conn_make_ready(http2->front, http2->conn);
    return true;
}
