#include "faces/http1.h"

static const char list_word[] = "LIST ", list_stand_in[] = "LINK "; /* llhttp knows no LIST */
enum { LIST_WORD = 5, BLANK_LINES_MAX = 8 };

static struct hf_http1 *of(llhttp_t *parser)
{
    return parser->data;
}

static int refuse(struct hf_http1 *http1, enum hf_reject reject)
{
    http1->reject = reject;
    return HPE_USER;
}

static void extend(struct hf_http1 *http1, struct hf_http1_span *span, const char *at, size_t len)
{
    if (span->len == 0)
        span->at = (uint32_t)((const uint8_t *)at - http1->base);
    span->len += (uint32_t)len;
}

static struct hf_cursor cursor(const uint8_t *base, struct hf_http1_span span)
{
    return span.len == 0 ? hf_cursor("", 0) : hf_cursor(base + span.at, span.len);
}

/* ---- llhttp's callbacks ---- */

static int on_method(llhttp_t *parser, const char *at, size_t len)
{
    extend(of(parser), &of(parser)->method, at, len);
    return HPE_OK;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct hf_http1 *http1 = of(parser);
    extend(http1, &http1->target, at, len);
    return http1->target.len > HF_HTTP_TARGET_MAX ? refuse(http1, HF_REJECT_TARGET_SIZE) : HPE_OK;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    if (!of(parser)->head_done) /* trailers are read over */
        extend(of(parser), &of(parser)->name, at, len);
    return HPE_OK;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    if (!of(parser)->head_done)
        extend(of(parser), &of(parser)->value, at, len);
    return HPE_OK;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct hf_http1 *http1 = of(parser);
    if (http1->head_done)
        return HPE_OK;
    enum hf_http_field field = hf_http_field_find(cursor(http1->base, http1->name));
    if (++http1->field_count > HF_HTTP_FIELDS_MAX)
        return refuse(http1, HF_REJECT_HEADER_SIZE);
    if (field != HF_HTTP_FIELD_COUNT) {
        if (http1->seen[field] && hf_http_field_once(field))
            return refuse(http1, field == HF_HTTP_HOST ? HF_REJECT_HOST
                                 : field == HF_HTTP_CONTENT_LENGTH || field == HF_HTTP_TRANSFER_ENCODING
                                     ? HF_REJECT_FRAMING
                                     : HF_REJECT_DUPLICATE_FIELD);
        http1->seen[field] = true;
        http1->fields[field] = http1->value;
        while (http1->fields[field].len > 0) { /* white space behind a value is no part of it */
            uint8_t last = http1->base[http1->fields[field].at + http1->fields[field].len - 1];
            if (last != ' ' && last != '\t')
                break;
            http1->fields[field].len--;
        }
    }
    http1->name.len = http1->value.len = 0;
    return HPE_OK;
}

static bool is_word(struct hf_cursor value, const char *wanted)
{
    if (value.left != strlen(wanted))
        return false;
    for (size_t i = 0; i < value.left; i++) {
        if ((value.at[i] >= 'A' && value.at[i] <= 'Z' ? value.at[i] | 0x20 : value.at[i]) !=
            (uint8_t)wanted[i])
            return false;
    }
    return true;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct hf_http1 *http1 = of(parser);
    bool coded = http1->seen[HF_HTTP_TRANSFER_ENCODING];
    http1->head_done = true;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return refuse(http1, HF_REJECT_VERSION);
    if (parser->method == HTTP_CONNECT)
        return refuse(http1, HF_REJECT_METHOD);
    if (parser->http_minor == 1 && http1->fields[HF_HTTP_HOST].len == 0)
        return refuse(http1, HF_REJECT_HOST);
    if (coded && (parser->http_minor == 0 || http1->seen[HF_HTTP_CONTENT_LENGTH] ||
                  !is_word(cursor(http1->base, http1->fields[HF_HTTP_TRANSFER_ENCODING]), "chunked")))
        return refuse(http1, HF_REJECT_FRAMING);
    if (http1->seen[HF_HTTP_CONTENT_LENGTH] && parser->content_length > http1->body_max)
        return refuse(http1, HF_REJECT_BODY_SIZE);
    if (http1->seen[HF_HTTP_EXPECT]) {
        if (!is_word(cursor(http1->base, http1->fields[HF_HTTP_EXPECT]), "100-continue"))
            return refuse(http1, HF_REJECT_EXPECT);
        http1->expects = parser->http_minor == 1 && (coded || parser->content_length > 0);
    }
    parser->upgrade = 0; /* offers of another protocol are declined by going on */
    return HPE_OK;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct hf_http1 *http1 = of(parser);
    if (len > http1->body_max - http1->body.len)
        return refuse(http1, HF_REJECT_BODY_SIZE);
    if (!http1->body_begun) {
        http1->body.at = (uint32_t)((const uint8_t *)at - http1->base);
        http1->body_begun = true;
    }
    uint8_t *to = http1->base + http1->body.at + http1->body.len;
    if (to != (const uint8_t *)at)
        memmove(to, at, len);
    http1->body.len += (uint32_t)len;
    return HPE_OK;
}

/* A chunk that cannot fit is refused before it comes. */
static int on_chunk_header(llhttp_t *parser)
{
    struct hf_http1 *http1 = of(parser);
    return parser->content_length > http1->body_max - http1->body.len ? refuse(http1, HF_REJECT_BODY_SIZE)
                                                                      : HPE_OK;
}

static int on_message_complete(llhttp_t *parser)
{
    of(parser)->keep_alive = llhttp_should_keep_alive(parser) != 0;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {.on_method = on_method,
                                           .on_url = on_url,
                                           .on_header_field = on_header_field,
                                           .on_header_value = on_header_value,
                                           .on_header_value_complete = on_header_value_complete,
                                           .on_headers_complete = on_headers_complete,
                                           .on_body = on_body,
                                           .on_chunk_header = on_chunk_header,
                                           .on_message_complete = on_message_complete};

/* ---- outside ---- */

void hf_http1_init(struct hf_http1 *http1, uint32_t head_max, uint32_t body_max)
{
    memset(http1, 0, sizeof(*http1));
    http1->head_max = head_max;
    http1->body_max = body_max;
    llhttp_init(&http1->parser, HTTP_REQUEST, &settings);
    http1->parser.data = http1;
}

void hf_http1_next(struct hf_http1 *http1)
{
    llhttp_reset(&http1->parser);
    http1->fed = 0;
    http1->method = http1->target = http1->name = http1->value = http1->body = (struct hf_http1_span){0, 0};
    memset(http1->fields, 0, sizeof(http1->fields));
    memset(http1->seen, 0, sizeof(http1->seen));
    http1->field_count = 0;
    http1->started = http1->list = http1->head_done = http1->body_begun = http1->expects = false;
    http1->reject = HF_REJECT_NONE;
}

/* Passes over empty lines before the message, and looks for LIST. False: more bytes are needed. */
static bool starts(struct hf_http1 *http1, size_t len)
{
    while (http1->fed < len && (http1->base[http1->fed] == '\r' || http1->base[http1->fed] == '\n')) {
        if (++http1->fed > 2 * BLANK_LINES_MAX)
            http1->reject = HF_REJECT_SYNTAX;
    }
    uint8_t *first = http1->base + http1->fed;
    size_t there = HF_MIN(len - http1->fed, (size_t)LIST_WORD);
    if (memcmp(first, list_word, there) != 0) /* public: method */
        return http1->started = true;
    if (there < LIST_WORD)
        return false;
    memcpy(first, list_stand_in, LIST_WORD);
    http1->list = true;
    return http1->started = true;
}

static enum hf_reject reject_of(llhttp_errno_t error)
{
    switch (error) {
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
    case HPE_INVALID_CHUNK_SIZE:
        return HF_REJECT_FRAMING;
    case HPE_INVALID_VERSION:
        return HF_REJECT_VERSION;
    default:
        return HF_REJECT_SYNTAX;
    }
}

enum hf_http1_state hf_http1_parse(struct hf_http1 *http1, uint8_t *base, size_t *len)
{
    http1->base = base;
    if (http1->reject == HF_REJECT_NONE && !http1->started && !starts(http1, *len) &&
        http1->reject == HF_REJECT_NONE)
        return HF_HTTP1_MORE;
    if (http1->reject != HF_REJECT_NONE)
        return HF_HTTP1_BAD;
    const char *first = (const char *)base + http1->fed;
    bool was_in_head = !http1->head_done;
    llhttp_errno_t error = llhttp_execute(&http1->parser, first, *len - http1->fed);
    if (error == HPE_PAUSED) {
        http1->fed = (uint32_t)((const uint8_t *)llhttp_get_error_pos(&http1->parser) - base);
        if (http1->fed - http1->body.len > http1->head_max && !http1->seen[HF_HTTP_TRANSFER_ENCODING])
            http1->reject = HF_REJECT_HEADER_SIZE;
        return http1->reject == HF_REJECT_NONE ? HF_HTTP1_DONE : HF_HTTP1_BAD;
    }
    if (error != HPE_OK) {
        if (http1->reject == HF_REJECT_NONE)
            http1->reject = reject_of(error);
        return HF_HTTP1_BAD;
    }
    http1->fed = (uint32_t)*len;
    bool coded = http1->seen[HF_HTTP_TRANSFER_ENCODING];
    if ((!http1->head_done && *len > http1->head_max) ||
        (http1->head_done && coded && !http1->body_begun && *len / 2 > http1->head_max)) {
        http1->reject = HF_REJECT_HEADER_SIZE;
        return HF_HTTP1_BAD;
    }
    if (http1->body_begun && coded)
        *len = http1->fed = http1->body.at + http1->body.len; /* drops what stood between the chunks */
    return was_in_head && http1->head_done && http1->expects && http1->body.len == 0 ? HF_HTTP1_CONTINUE
                                                                                     : HF_HTTP1_MORE;
}

void hf_http1_request(const struct hf_http1 *http1, const uint8_t *base, struct hf_http_request *ret_request)
{
    ret_request->method = http1->list ? hf_cursor(list_word, LIST_WORD - 1) : cursor(base, http1->method);
    ret_request->target = cursor(base, http1->target);
    for (unsigned i = 0; i < HF_HTTP_FIELD_COUNT; i++)
        ret_request->fields[i] = cursor(base, http1->fields[i]);
    ret_request->body = cursor(base, http1->body);
}
