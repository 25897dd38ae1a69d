#include "wire/tree.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"

enum { LENGTH_BYTES = 4, CONTAINER_HEAD = 8 };

/* ---- reading ---- */

/* Takes one item; containers are not entered. */
static bool take_item(struct hf_cursor *in, struct hf_tree *ret)
{
    struct hf_cursor at = *in;
    struct hf_tree item = {.tag = HF_TREE_NULL};
    uint8_t tag;
    uint64_t bits;
    uint32_t length;
    if (!hf_cursor_u8(&at, &tag))
        return false;
    item.tag = (enum hf_tree_tag)tag;
    switch (item.tag) {
    case HF_TREE_NULL:
    case HF_TREE_FALSE:
    case HF_TREE_TRUE:
        break;
    case HF_TREE_INT:
        if (!hf_cursor_u64(&at, &bits))
            return false;
        item.number = (int64_t)bits;
        break;
    case HF_TREE_NUMBER:
    case HF_TREE_TEXT:
    case HF_TREE_BYTES:
        if (!hf_cursor_vec32(&at, &item.body))
            return false;
        break;
    case HF_TREE_ARRAY:
    case HF_TREE_MAP:
        if (!hf_cursor_u32(&at, &length) || !hf_cursor_u32(&at, &item.count) ||
            !hf_cursor_take(&at, length, &item.body))
            return false;
        break;
    case HF_TREE_CIPHER:
        if (!hf_cursor_u32(&at, &item.count) || !hf_cursor_vec32(&at, &item.body))
            return false;
        break;
    case HF_TREE_TAG_COUNT:
    default:
        return false;
    }
    *in = at;
    *ret = item;
    return true;
}

static bool text_ok(struct hf_cursor text)
{
    const uint8_t *at = text.at;
    size_t left = text.left;
    uint64_t word, high = 0;
    for (; left >= sizeof(word); at += sizeof(word), left -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        high |= word;
    }
    for (; left > 0; at++, left--)
        high |= *at;
    return (high & UINT64_C(0x8080808080808080)) == 0 || hf_utf8_valid(text);
}

static bool check_item(const struct hf_tree *item, unsigned depth)
{
    if (item->tag == HF_TREE_TEXT)
        return text_ok(item->body);
    if (item->tag == HF_TREE_NUMBER)
        return hf_tree_number_valid(item->body);
    if (item->tag != HF_TREE_ARRAY && item->tag != HF_TREE_MAP)
        return true;
    if (depth == HF_TREE_DEPTH_MAX)
        return false;
    struct hf_cursor rest = item->body, key;
    struct hf_tree inner;
    for (uint32_t i = 0; i < item->count; i++) {
        if (item->tag == HF_TREE_MAP &&
            (!hf_cursor_vec16(&rest, &key) || key.left > HF_TREE_KEY_MAX || !text_ok(key)))
            return false;
        if (!take_item(&rest, &inner) || !check_item(&inner, depth + 1))
            return false;
    }
    return rest.left == 0;
}

hf_result hf_tree_open(struct hf_cursor bytes, struct hf_tree *ret_tree)
{
    struct hf_tree item;
    if (!take_item(&bytes, &item) || bytes.left != 0 || !check_item(&item, 0))
        return HF_FAIL(BAD_REQUEST);
    *ret_tree = item;
    return HF_DONE;
}

static bool find(const struct hf_tree *map, struct hf_cursor wanted, struct hf_tree *ret_item)
{
    struct hf_tree_iter iter = hf_tree_iterate(map);
    struct hf_cursor key;
    if (!iter.map)
        return false;
    while (hf_tree_next(&iter, &key, ret_item)) {
        if (hf_cursor_same(key, wanted))
            return true;
    }
    return false;
}

struct hf_tree hf_tree_get_slice(const struct hf_tree *map, struct hf_cursor key)
{
    struct hf_tree item;
    return find(map, key, &item) ? item : (struct hf_tree){.tag = HF_TREE_NULL};
}

struct hf_tree hf_tree_get(const struct hf_tree *map, const char *key)
{
    return hf_tree_get_slice(map, hf_cursor_text(key));
}

bool hf_tree_has_slice(const struct hf_tree *map, struct hf_cursor key)
{
    struct hf_tree item;
    return find(map, key, &item);
}

bool hf_tree_has(const struct hf_tree *map, const char *key)
{
    return hf_tree_has_slice(map, hf_cursor_text(key));
}

struct hf_tree_iter hf_tree_iterate(const struct hf_tree *container)
{
    if (container->tag != HF_TREE_ARRAY && container->tag != HF_TREE_MAP)
        return (struct hf_tree_iter){.left = 0};
    return (struct hf_tree_iter){container->body, container->count, container->tag == HF_TREE_MAP};
}

bool hf_tree_next(struct hf_tree_iter *iter, struct hf_cursor *ret_key, struct hf_tree *ret_item)
{
    struct hf_cursor key = {NULL, 0};
    if (iter->left == 0)
        return false;
    if ((iter->map && !hf_cursor_vec16(&iter->rest, &key)) || !take_item(&iter->rest, ret_item)) {
        iter->left = 0;
        return false;
    }
    iter->left--;
    if (ret_key != NULL)
        *ret_key = key;
    return true;
}

/* ---- keys that differ ---- */

static int key_order(struct hf_cursor a, struct hf_cursor b)
{
    if (a.left != b.left)
        return a.left < b.left ? -1 : 1;
    return a.left == 0 ? 0 : memcmp(a.at, b.at, a.left); /* public: names of fields */
}

static struct hf_cursor key_at(struct hf_cursor entries, uint32_t offset)
{
    struct hf_cursor at = {entries.at + offset, entries.left - offset}, key = {NULL, 0};
    hf_cursor_vec16(&at, &key);
    return key;
}

static void sift(struct hf_cursor entries, uint32_t *heap, uint32_t root, uint32_t count)
{
    for (uint32_t child; (child = root * 2 + 1) < count; root = child) {
        if (child + 1 < count &&
            key_order(key_at(entries, heap[child]), key_at(entries, heap[child + 1])) < 0)
            child++;
        if (key_order(key_at(entries, heap[root]), key_at(entries, heap[child])) >= 0)
            return;
        uint32_t swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
    }
}

bool hf_tree_keys_unique(struct hf_cursor entries, uint32_t count)
{
    enum { FEW = 8 };
    uint32_t offsets[HF_TREE_UNIQUE_MAX];
    struct hf_cursor rest = entries, key;
    struct hf_tree item;
    if (count < 2)
        return true;
    if (count > HF_TREE_UNIQUE_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        offsets[i] = (uint32_t)(entries.left - rest.left);
        if (!hf_cursor_vec16(&rest, &key) || !take_item(&rest, &item))
            return false;
        for (uint32_t j = 0; count <= FEW && j < i; j++) {
            if (hf_cursor_same(key, key_at(entries, offsets[j])))
                return false;
        }
    }
    if (count <= FEW)
        return true;
    for (uint32_t i = count / 2; i-- > 0;)
        sift(entries, offsets, i, count);
    for (uint32_t end = count - 1; end > 0; end--) {
        uint32_t largest = offsets[0];
        offsets[0] = offsets[end];
        offsets[end] = largest;
        sift(entries, offsets, 0, end);
        if (end + 1 < count &&
            key_order(key_at(entries, offsets[end]), key_at(entries, offsets[end + 1])) == 0)
            return false;
    }
    return key_order(key_at(entries, offsets[0]), key_at(entries, offsets[1])) != 0;
}

/* ---- typed fields ---- */

hf_result hf_tree_text(const struct hf_tree *map, const char *key, struct hf_cursor *ret_text)
{
    struct hf_tree item = hf_tree_get(map, key);
    if (item.tag != HF_TREE_NULL && item.tag != HF_TREE_TEXT)
        return HF_FAIL(BAD_ARGUMENT);
    *ret_text = item.tag == HF_TREE_TEXT ? item.body : hf_cursor("", 0);
    return HF_DONE;
}

static hf_result text_to_int(struct hf_cursor text, int64_t *ret)
{
    bool negative = text.left > 0 && text.at[0] == '-';
    uint64_t value = 0;
    if (text.left == (negative ? 1 : 0))
        return HF_FAIL(BAD_ARGUMENT);
    for (size_t i = negative ? 1 : 0; i < text.left; i++) {
        uint8_t digit = (uint8_t)(text.at[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return HF_FAIL(BAD_ARGUMENT);
    }
    if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return HF_FAIL(BAD_ARGUMENT);
    *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
    return HF_DONE;
}

/* ---- literals ---- */

static bool take_digits(struct hf_cursor *in)
{
    size_t before = in->left;
    while (in->left != 0 && in->at[0] >= '0' && in->at[0] <= '9') {
        in->at++;
        in->left--;
    }
    return in->left != before;
}

static bool take_either(struct hf_cursor *in, char a, char b)
{
    if (in->left == 0 || (in->at[0] != (uint8_t)a && in->at[0] != (uint8_t)b))
        return false;
    in->at++;
    in->left--;
    return true;
}

bool hf_tree_number_valid(struct hf_cursor literal)
{
    if (literal.left == 0 || literal.left > HF_TREE_NUMBER_MAX)
        return false;
    (void)take_either(&literal, '-', '-');
    if (!take_either(&literal, '0', '0') && !take_digits(&literal))
        return false;
    if (take_either(&literal, '.', '.') && !take_digits(&literal))
        return false;
    if (take_either(&literal, 'e', 'E')) {
        (void)take_either(&literal, '+', '-');
        if (!take_digits(&literal))
            return false;
    }
    return literal.left == 0;
}

/* A number's value: its digits without zeros at either end, times 10 to the power of `scale`. Zero has no digits. */
struct decimal {
    uint8_t digits[HF_TREE_NUMBER_MAX];
    size_t count;
    int64_t scale;
    bool negative;
};

static struct decimal decimal_of(struct hf_cursor literal)
{
    const int64_t far = INT64_C(1) << 60;
    struct decimal d = {.negative = literal.left != 0 && literal.at[0] == '-'};
    int64_t exponent = 0;
    bool fraction = false, power = false, below = false;
    for (size_t i = d.negative ? 1 : 0; i < literal.left; i++) {
        uint8_t c = literal.at[i];
        if (c == '.') {
            fraction = true;
        } else if ((c | 0x20) == 'e') {
            power = true;
        } else if (power) {
            below = below || c == '-';
            if (c >= '0' && c <= '9')
                exponent = exponent > far / 10 - 9 ? far : exponent * 10 + (c - '0');
        } else {
            d.scale -= fraction ? 1 : 0;
            if (c != '0' || d.count != 0)
                d.digits[d.count++] = c - '0';
        }
    }
    d.scale += below ? -exponent : exponent;
    for (; d.count != 0 && d.digits[d.count - 1] == 0; d.count--)
        d.scale++;
    if (d.count == 0) {
        d.scale = 0;
        d.negative = false;
    }
    return d;
}

static struct decimal decimal_of_item(const struct hf_tree *item)
{
    uint8_t space[24];
    if (item->tag == HF_TREE_NUMBER)
        return decimal_of(item->body);
    struct hf_buf out = hf_buf(space, sizeof(space));
    if (item->number < 0)
        hf_buf_u8(&out, '-');
    hf_buf_decimal(&out, item->number < 0 ? 0 - (uint64_t)item->number : (uint64_t)item->number);
    return decimal_of(hf_buf_cursor(&out));
}

bool hf_tree_same_number(const struct hf_tree *a, const struct hf_tree *b)
{
    if ((a->tag != HF_TREE_INT && a->tag != HF_TREE_NUMBER) ||
        (b->tag != HF_TREE_INT && b->tag != HF_TREE_NUMBER))
        return false;
    struct decimal x = decimal_of_item(a), y = decimal_of_item(b);
    return x.negative == y.negative && x.scale == y.scale &&
           hf_cursor_same(hf_cursor(x.digits, x.count), hf_cursor(y.digits, y.count));
}

static hf_result literal_to_int(struct hf_cursor literal, int64_t *ret)
{
    enum { SCALE_MOST = 18 };
    struct decimal d = decimal_of(literal);
    uint64_t value = 0;
    if (d.scale < 0 || d.scale > SCALE_MOST)
        return HF_FAIL(BAD_ARGUMENT);
    for (size_t i = 0; i < d.count + (size_t)d.scale; i++) {
        uint64_t digit = i < d.count ? d.digits[i] : 0;
        if (__builtin_mul_overflow(value, 10U, &value) || __builtin_add_overflow(value, digit, &value))
            return HF_FAIL(BAD_ARGUMENT);
    }
    if (value > (uint64_t)INT64_MAX + (d.negative ? 1 : 0))
        return HF_FAIL(BAD_ARGUMENT);
    *ret = d.negative ? (int64_t)(0 - value) : (int64_t)value;
    return HF_DONE;
}

static hf_result item_to_int(const struct hf_tree *item, int64_t *ret)
{
    switch (item->tag) {
    case HF_TREE_INT:
        *ret = item->number;
        return HF_DONE;
    case HF_TREE_NUMBER:
        return literal_to_int(item->body, ret);
    case HF_TREE_TEXT:
        return text_to_int(item->body, ret);
    default:
        return HF_FAIL(BAD_ARGUMENT);
    }
}

/* What reads as "not given". */
static bool absent(const struct hf_tree *item)
{
    return item->tag == HF_TREE_NULL || (item->tag == HF_TREE_TEXT && item->body.left == 0);
}

hf_result hf_tree_int(const struct hf_tree *map, const char *key, int64_t fallback, int64_t *ret)
{
    struct hf_tree item = hf_tree_get(map, key);
    if (absent(&item)) {
        *ret = fallback;
        return HF_DONE;
    }
    return item_to_int(&item, ret);
}

hf_result hf_tree_bool(const struct hf_tree *map, const char *key, bool fallback, bool *ret)
{
    static const char *const yes[] = {"true", "1", "t", "T", "TRUE", "True"};
    static const char *const no[] = {"false", "0", "f", "F", "FALSE", "False"};
    struct hf_tree item = hf_tree_get(map, key);
    if (absent(&item)) {
        *ret = fallback;
        return HF_DONE;
    }
    if (item.tag == HF_TREE_TRUE || item.tag == HF_TREE_FALSE) {
        *ret = item.tag == HF_TREE_TRUE;
        return HF_DONE;
    }
    if (item.tag == HF_TREE_INT && (item.number == 0 || item.number == 1)) {
        *ret = item.number == 1;
        return HF_DONE;
    }
    for (size_t i = 0; item.tag == HF_TREE_TEXT && i < HF_ARRAY_LEN(yes); i++) {
        if (hf_cursor_is(item.body, yes[i]) || hf_cursor_is(item.body, no[i])) {
            *ret = hf_cursor_is(item.body, yes[i]);
            return HF_DONE;
        }
    }
    return HF_FAIL(BAD_ARGUMENT);
}

hf_result hf_tree_duration(const struct hf_tree *map, const char *key, int64_t fallback_ns, int64_t *ret_ns)
{
    struct hf_tree item = hf_tree_get(map, key);
    int64_t seconds, ns;
    if (absent(&item)) {
        *ret_ns = fallback_ns;
        return HF_DONE;
    }
    if (item.tag == HF_TREE_TEXT)
        return hf_duration_parse(item.body, ret_ns);
    TRY(item_to_int(&item, &seconds));
    if (seconds < 0 || __builtin_mul_overflow(seconds, HF_SECOND, &ns))
        return HF_FAIL(BAD_ARGUMENT);
    *ret_ns = ns;
    return HF_DONE;
}

/* ---- writing ---- */

struct hf_tree_writer hf_tree_writer(struct hf_buf *out)
{
    struct hf_tree_writer w;
    w.out = out;
    w.depth = 0;
    return w;
}

static void misuse(bool wrong)
{
    if (__builtin_expect(wrong, 0))
        abort();
}

/* Every item passes here: its container counts it, or its key has been written. */
static void item_starts(struct hf_tree_writer *w)
{
    if (w->depth == 0 || w->depth > HF_TREE_DEPTH_MAX)
        return;
    if (w->open[w->depth - 1].map) {
        misuse(!w->open[w->depth - 1].keyed);
        w->open[w->depth - 1].keyed = false;
    } else {
        w->open[w->depth - 1].count++;
    }
}

void hf_tw_key(struct hf_tree_writer *w, struct hf_cursor key)
{
    misuse(w->depth == 0);
    if (w->depth > HF_TREE_DEPTH_MAX)
        return;
    misuse(!w->open[w->depth - 1].map || w->open[w->depth - 1].keyed);
    w->open[w->depth - 1].keyed = true;
    w->open[w->depth - 1].count++;
    uint8_t *place = key.left > HF_TREE_KEY_MAX ? NULL : hf_buf_reserve(w->out, 2 + key.left);
    if (place == NULL) {
        w->out->overflow = true;
        return;
    }
    hf_store_u16(place, (uint16_t)key.left);
    if (key.left != 0)
        memcpy(place + 2, key.at, key.left);
}

void hf_tw_null(struct hf_tree_writer *w)
{
    item_starts(w);
    hf_buf_u8(w->out, HF_TREE_NULL);
}

void hf_tw_bool(struct hf_tree_writer *w, bool value)
{
    item_starts(w);
    hf_buf_u8(w->out, value ? HF_TREE_TRUE : HF_TREE_FALSE);
}

void hf_tw_int(struct hf_tree_writer *w, int64_t value)
{
    item_starts(w);
    uint8_t *place = hf_buf_reserve(w->out, 1 + sizeof(value));
    if (place == NULL)
        return;
    place[0] = HF_TREE_INT;
    hf_store_u64(place + 1, (uint64_t)value);
}

static uint8_t *reserve(struct hf_tree_writer *w, enum hf_tree_tag tag, const uint32_t *version, size_t len)
{
    size_t head = 1 + LENGTH_BYTES + (version != NULL ? sizeof(*version) : 0);
    item_starts(w);
    if (len > UINT32_MAX) {
        w->out->overflow = true;
        return NULL;
    }
    uint8_t *place = hf_buf_reserve(w->out, head + len);
    if (place == NULL)
        return NULL;
    place[0] = (uint8_t)tag;
    if (version != NULL)
        hf_store_u32(place + 1, *version);
    hf_store_u32(place + head - LENGTH_BYTES, (uint32_t)len);
    return place + head;
}

uint8_t *hf_tw_bytes_reserve(struct hf_tree_writer *w, size_t len)
{
    return reserve(w, HF_TREE_BYTES, NULL, len);
}

uint8_t *hf_tw_text_reserve(struct hf_tree_writer *w, size_t len)
{
    return reserve(w, HF_TREE_TEXT, NULL, len);
}

uint8_t *hf_tw_cipher_reserve(struct hf_tree_writer *w, uint32_t version, size_t len)
{
    return reserve(w, HF_TREE_CIPHER, &version, len);
}

static void fill(uint8_t *place, struct hf_cursor value)
{
    if (place != NULL && value.left != 0)
        memcpy(place, value.at, value.left);
}

void hf_tw_text(struct hf_tree_writer *w, struct hf_cursor value)
{
    fill(reserve(w, HF_TREE_TEXT, NULL, value.left), value);
}

void hf_tw_number(struct hf_tree_writer *w, struct hf_cursor literal)
{
    misuse(!hf_tree_number_valid(literal));
    fill(reserve(w, HF_TREE_NUMBER, NULL, literal.left), literal);
}

void hf_tw_bytes(struct hf_tree_writer *w, struct hf_cursor value)
{
    fill(reserve(w, HF_TREE_BYTES, NULL, value.left), value);
}

void hf_tw_cipher(struct hf_tree_writer *w, uint32_t version, struct hf_cursor value)
{
    fill(reserve(w, HF_TREE_CIPHER, &version, value.left), value);
}

void hf_tw_trim(struct hf_tree_writer *w, size_t reserved, size_t used)
{
    struct hf_buf *out = w->out;
    if (out->overflow)
        return;
    misuse(used > reserved || reserved + LENGTH_BYTES > out->len);
    hf_store_u32(out->at + out->len - reserved - LENGTH_BYTES, (uint32_t)used);
    out->len -= reserved - used;
}

static void open_container(struct hf_tree_writer *w, enum hf_tree_tag tag)
{
    item_starts(w);
    uint8_t *place = hf_buf_reserve(w->out, 1 + CONTAINER_HEAD);
    if (w->depth >= HF_TREE_DEPTH_MAX || w->out->len > UINT32_MAX) {
        w->out->overflow = true;
    } else {
        w->open[w->depth].start = place == NULL ? 0 : (uint32_t)(w->out->len - CONTAINER_HEAD);
        w->open[w->depth].count = 0;
        w->open[w->depth].map = tag == HF_TREE_MAP;
        w->open[w->depth].keyed = false;
    }
    if (place != NULL)
        place[0] = (uint8_t)tag;
    w->depth++; /* counts on where it is too deep, so that ends still pair */
}

void hf_tw_map(struct hf_tree_writer *w)
{
    open_container(w, HF_TREE_MAP);
}

void hf_tw_array(struct hf_tree_writer *w)
{
    open_container(w, HF_TREE_ARRAY);
}

void hf_tw_end(struct hf_tree_writer *w)
{
    misuse(w->depth == 0);
    w->depth--;
    if (w->out->overflow || w->depth >= HF_TREE_DEPTH_MAX)
        return;
    misuse(w->open[w->depth].keyed);
    size_t start = w->open[w->depth].start;
    size_t len = w->out->len - start - CONTAINER_HEAD;
    if (len > UINT32_MAX) {
        w->out->overflow = true;
        return;
    }
    hf_store_u32(w->out->at + start, (uint32_t)len);
    hf_store_u32(w->out->at + start + LENGTH_BYTES, w->open[w->depth].count);
}

static unsigned depth_of(const struct hf_tree *item)
{
    struct hf_tree_iter iter = hf_tree_iterate(item);
    struct hf_tree inner;
    unsigned deepest = 0;
    if (item->tag != HF_TREE_ARRAY && item->tag != HF_TREE_MAP)
        return 0;
    while (hf_tree_next(&iter, NULL, &inner))
        deepest = HF_MAX(deepest, depth_of(&inner));
    return deepest + 1;
}

void hf_tw_copy(struct hf_tree_writer *w, const struct hf_tree *item)
{
    switch (item->tag) {
    case HF_TREE_FALSE:
    case HF_TREE_TRUE:
        hf_tw_bool(w, item->tag == HF_TREE_TRUE);
        return;
    case HF_TREE_INT:
        hf_tw_int(w, item->number);
        return;
    case HF_TREE_NUMBER:
    case HF_TREE_TEXT:
    case HF_TREE_BYTES:
        fill(reserve(w, item->tag, NULL, item->body.left), item->body);
        return;
    case HF_TREE_CIPHER:
        hf_tw_cipher(w, item->count, item->body);
        return;
    case HF_TREE_ARRAY:
    case HF_TREE_MAP:
        item_starts(w);
        if (w->depth + depth_of(item) > HF_TREE_DEPTH_MAX)
            w->out->overflow = true;
        hf_buf_u8(w->out, (uint8_t)item->tag);
        hf_buf_u32(w->out, (uint32_t)item->body.left);
        hf_buf_u32(w->out, item->count);
        hf_buf_put_cursor(w->out, item->body);
        return;
    case HF_TREE_NULL:
    case HF_TREE_TAG_COUNT:
    default:
        hf_tw_null(w);
        return;
    }
}
