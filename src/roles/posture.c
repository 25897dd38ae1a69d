#include "roles/posture.h"

#include <pthread.h>
#include <stdlib.h>

#include "secret/secret.h"

const char *hf_measure_name(enum hf_measure measure)
{
#define AS_NAME(symbol, name) [HF_MEASURE_##symbol] = name,
    static const char *const names[HF_MEASURE_COUNT] = {HF_MEASURES(AS_NAME)};
#undef AS_NAME
    return (unsigned)measure < HF_MEASURE_COUNT ? names[measure] : "unknown";
}

static void write_secret_memory(struct hf_tree_writer *w)
{
    struct hf_secret_report report;
    hf_secret_arena_report(&report);
    hf_tw_map(w);
    hf_tw_k_bool(w, "memfd_secret", report.memfd_secret);
    hf_tw_k_bool(w, "locked", report.locked);
    hf_tw_k_bool(w, "dont_dump", report.dont_dump);
    hf_tw_k_bool(w, "dont_fork", report.dont_fork);
    hf_tw_k_bool(w, "guard_pages", report.guard_pages);
    hf_tw_k_int(w, "bytes_mapped", (int64_t)report.bytes_mapped);
    hf_tw_k_int(w, "bytes_protected", (int64_t)report.bytes_protected);
    hf_tw_k_int(w, "bytes_used", (int64_t)report.bytes_used);
    hf_tw_k_int(w, "secrets_alive", (int64_t)report.secrets_alive);
    hf_tw_k_text(w, "why_not", report.why_not);
    hf_tw_end(w);
}

void hf_posture_write(const struct hf_posture *posture, struct hf_tree_writer *w)
{
    hf_tw_map(w);
    hf_tw_k_text(w, "process", hf_role_name(posture->role));
    hf_tw_k_int(w, "index", posture->index);
    hf_tw_k_int(w, "pid", posture->pid);
    hf_tw_k_int(w, "user", posture->uid);
    hf_tw_k_text(w, "level", hf_level_name(posture->level));
    hf_tw_k(w, "measures");
    hf_tw_map(w);
    for (int i = 0; i < HF_MEASURE_COUNT; i++) {
        if (!posture->measures[i].applies)
            continue;
        hf_tw_k(w, hf_measure_name((enum hf_measure)i));
        hf_tw_map(w);
        hf_tw_k_bool(w, "in_force", posture->measures[i].in_force);
        if (!posture->measures[i].in_force)
            hf_tw_k_text(w, "why_not", posture->measures[i].why_not);
        hf_tw_end(w);
    }
    hf_tw_end(w);
    if (posture->role == HF_ROLE_CORE) {
        hf_tw_k(w, "secret_memory");
        write_secret_memory(w);
    }
    hf_tw_end(w);
}

/* ---- the core's collection ---- */

enum { BOARD_MAX = HF_CONFIG_FRONTS_MAX + 3 };
struct hf_posture_board {
    pthread_mutex_t lock;
    size_t count;
    struct entry {
        enum hf_role role;
        uint16_t index;
        size_t len;
        uint8_t *tree;
    } entries[BOARD_MAX];
};

hf_result hf_posture_board_new(struct hf_posture_board **ret_board)
{
    struct hf_posture_board *board = (struct hf_posture_board *)calloc(1, sizeof(*board));
    if (board == NULL)
        return HF_FAIL(NO_MEMORY);
    pthread_mutex_init(&board->lock, NULL);
    *ret_board = board;
    return HF_DONE;
}

void hf_posture_board_free(struct hf_posture_board *board)
{
    if (board == NULL)
        return;
    for (size_t i = 0; i < board->count; i++)
        free(board->entries[i].tree);
    pthread_mutex_destroy(&board->lock);
    free(board);
}

/* With the lock held: the entry of that process, a new one in its place in the order, or NULL where all are taken. */
static struct entry *entry_of(struct hf_posture_board *board, enum hf_role role, uint16_t index)
{
    size_t at = 0;
    while (at < board->count && (board->entries[at].role < role ||
                                 (board->entries[at].role == role && board->entries[at].index < index)))
        at++;
    if (at < board->count && board->entries[at].role == role && board->entries[at].index == index)
        return &board->entries[at];
    if (board->count == BOARD_MAX)
        return NULL;
    memmove(&board->entries[at + 1], &board->entries[at], (board->count - at) * sizeof(board->entries[0]));
    board->count++;
    board->entries[at] = (struct entry){.role = role, .index = index};
    return &board->entries[at];
}

hf_result hf_posture_board_put(struct hf_posture_board *board, enum hf_role role, uint16_t index,
                               struct hf_cursor tree)
{
    struct hf_tree checked;
    if (tree.left > HF_POSTURE_TREE_MAX)
        return HF_FAIL(TOO_LARGE);
    TRY(hf_tree_open(tree, &checked));
    if (checked.tag != HF_TREE_MAP)
        return HF_FAIL(BAD_REQUEST);
    uint8_t *copy = (uint8_t *)malloc(tree.left);
    if (copy == NULL)
        return HF_FAIL(NO_MEMORY);
    memcpy(copy, tree.at, tree.left);
    pthread_mutex_lock(&board->lock);
    struct entry *entry = entry_of(board, role, index);
    if (entry != NULL) {
        uint8_t *old = entry->tree;
        entry->tree = copy;
        entry->len = tree.left;
        copy = old;
    }
    pthread_mutex_unlock(&board->lock);
    free(copy);
    return entry != NULL ? HF_DONE : HF_FAIL(OVERLOADED);
}

/* An entry as it was reported, with the secret memory of this process as it is now. */
static void write_entry(const struct entry *entry, struct hf_tree_writer *w)
{
    struct hf_tree item;
    if (!HF_IS_OK(hf_tree_open(hf_cursor(entry->tree, entry->len), &item)))
        return; /* was checked when it came */
    hf_tw_map(w);
    struct hf_tree_iter iter = hf_tree_iterate(&item);
    struct hf_cursor key;
    struct hf_tree value;
    while (hf_tree_next(&iter, &key, &value)) {
        hf_tw_key(w, key);
        if (entry->role == HF_ROLE_CORE && hf_cursor_is(key, "secret_memory"))
            write_secret_memory(w);
        else
            hf_tw_copy(w, &value);
    }
    hf_tw_end(w);
}

hf_result hf_posture_board_write(void *arg, struct hf_tree_writer *w)
{
    struct hf_posture_board *board = (struct hf_posture_board *)arg;
    hf_tw_array(w);
    pthread_mutex_lock(&board->lock);
    for (size_t i = 0; i < board->count; i++)
        write_entry(&board->entries[i], w);
    pthread_mutex_unlock(&board->lock);
    hf_tw_end(w);
    return hf_buf_ok(w->out);
}
