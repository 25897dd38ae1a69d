#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "wire/json.h"

void cli_error(const char *what, const char *detail)
{
    if (detail != NULL && detail[0] != '\0')
        fprintf(stderr, "holdfast: %s: %s\n", what, detail);
    else
        fprintf(stderr, "holdfast: %s\n", what);
}

int cli_failed(struct cli *cli, hf_result result, const char *what)
{
    (void)cli;
    cli_error(what, hf_code_text(result.code));
    return CLI_FAILED;
}

void cli_say(const struct cli *cli, enum cli_style style, const char *text)
{
    static const char *const start[] = {"", "\033[1m", "\033[32m", "\033[31m", "\033[2m", "\033[36m"};
    if (cli->color && style != CLI_PLAIN)
        printf("%s%s\033[0m", start[style], text);
    else
        fputs(text, stdout);
}

/* ---- tables ---- */

static void print_scalar(const struct hf_tree *item)
{
    switch (item->tag) {
    case HF_TREE_NULL:
        fputs("-", stdout);
        break;
    case HF_TREE_FALSE:
        fputs("false", stdout);
        break;
    case HF_TREE_TRUE:
        fputs("true", stdout);
        break;
    case HF_TREE_INT:
        printf("%lld", (long long)item->number);
        break;
    case HF_TREE_NUMBER:
        fwrite(item->body.at, 1, item->body.left, stdout);
        break;
    case HF_TREE_TEXT:
        for (size_t i = 0; i < item->body.left; i++) /* a name may not move the cursor */
            putchar(item->body.at[i] < 0x20 && item->body.at[i] != '\n' ? '?' : item->body.at[i]);
        break;
    default:
        break;
    }
}

static bool is_container(const struct hf_tree *item)
{
    return item->tag == HF_TREE_MAP || item->tag == HF_TREE_ARRAY;
}

static void print_flat_list(const struct hf_tree *list)
{
    struct hf_tree_iter iter = hf_tree_iterate(list);
    struct hf_cursor key;
    struct hf_tree item;
    bool first = true;
    while (hf_tree_next(&iter, &key, &item)) {
        if (!first)
            fputs(", ", stdout);
        first = false;
        if (is_container(&item))
            fputs("{...}", stdout);
        else
            print_scalar(&item);
    }
}

static bool is_flat_list(const struct hf_tree *item)
{
    if (item->tag != HF_TREE_ARRAY)
        return false;
    struct hf_tree_iter iter = hf_tree_iterate(item);
    struct hf_cursor key;
    struct hf_tree one;
    while (hf_tree_next(&iter, &key, &one))
        if (is_container(&one))
            return false;
    return true;
}

static void print_item(const struct cli *cli, const struct hf_tree *item, int indent);

static void print_map(const struct cli *cli, const struct hf_tree *map, int indent)
{
    size_t width = 0;
    struct hf_tree_iter iter = hf_tree_iterate(map);
    struct hf_cursor key;
    struct hf_tree item;
    while (hf_tree_next(&iter, &key, &item))
        width = HF_MAX(width, HF_MIN(key.left, (size_t)40));
    iter = hf_tree_iterate(map);
    while (hf_tree_next(&iter, &key, &item)) {
        printf("%*s%s%-*.*s%s", indent, "", cli->color ? "\033[36m" : "", (int)width, (int)key.left,
               (const char *)key.at, cli->color ? "\033[0m" : "");
        if (is_flat_list(&item)) {
            fputs("  ", stdout);
            print_flat_list(&item);
            putchar('\n');
        } else if (is_container(&item)) {
            putchar('\n');
            print_item(cli, &item, indent + 2);
        } else {
            fputs("  ", stdout);
            print_scalar(&item);
            putchar('\n');
        }
    }
}

static void print_item(const struct cli *cli, const struct hf_tree *item, int indent)
{
    if (item->tag == HF_TREE_MAP) {
        print_map(cli, item, indent);
        return;
    }
    if (item->tag != HF_TREE_ARRAY) {
        printf("%*s", indent, "");
        print_scalar(item);
        putchar('\n');
        return;
    }
    struct hf_tree_iter iter = hf_tree_iterate(item);
    struct hf_cursor key;
    struct hf_tree one;
    while (hf_tree_next(&iter, &key, &one)) {
        print_item(cli, &one, indent);
        if (one.tag == HF_TREE_MAP)
            putchar('\n');
    }
}

void cli_table(const struct cli *cli, const struct hf_tree *item)
{
    struct hf_tree keys = hf_tree_get(item, "keys");
    if (item->tag == HF_TREE_MAP && item->count == 1 && is_flat_list(&keys))
        print_item(cli, &keys, 0); /* a list: one a line */
    else
        print_item(cli, item, 0);
}

int cli_print(struct cli *cli, const struct hf_tree *answer)
{
    if (cli->format == CLI_TABLE) {
        struct hf_tree data = hf_tree_get(answer, "data");
        if (data.tag != HF_TREE_MAP)
            data = hf_tree_get(answer, "auth");
        cli_table(cli, data.tag == HF_TREE_MAP ? &data : answer);
        return CLI_OK;
    }
    size_t cap = hf_tree_json_max(answer);
    uint8_t *json = malloc(cap);
    if (json == NULL)
        return cli_failed(cli, HF_FAIL(NO_MEMORY), "cannot print the answer");
    struct hf_buf out = hf_buf(json, cap);
    hf_tree_to_json(answer, &out);
    fwrite(json, 1, out.len, stdout);
    putchar('\n');
    free(json);
    return CLI_OK;
}

/* ---- progress ---- */

static int64_t boot_ns(void)
{
    return hf_boot_ns(&hf_clock_system);
}

void cli_progress_begin(struct cli_progress *p, const char *what, uint64_t total)
{
    *p = (struct cli_progress){
        .total = total, .began_ns = boot_ns(), .on = isatty(STDERR_FILENO) != 0, .what = what};
}

static void draw(const struct cli_progress *p)
{
    enum { WIDTH = 30 };
    double seconds = (double)(boot_ns() - p->began_ns) / 1e9;
    double rate = seconds > 0 ? (double)p->done / seconds : 0;
    fprintf(stderr, "\r\033[K%s ", p->what);
    if (p->total != 0) {
        unsigned filled = (unsigned)(p->done * WIDTH / p->total);
        fputc('[', stderr);
        for (unsigned i = 0; i < WIDTH; i++)
            fputc(i < filled ? '#' : '.', stderr);
        fprintf(stderr, "] %3u%%", (unsigned)(p->done * 100 / p->total));
    }
    fprintf(stderr, " %.1f MiB, %.0f MiB/s", (double)p->done / 1048576, rate / 1048576);
    if (p->total > p->done && rate > 0)
        fprintf(stderr, ", %.0f s left", (double)(p->total - p->done) / rate);
}

void cli_progress_add(struct cli_progress *p, uint64_t amount)
{
    enum { REDRAW_NS = 100000000, FIRST_NS = 500000000 };
    p->done += amount;
    if (!p->on)
        return;
    int64_t now = boot_ns();
    if (now - p->began_ns < FIRST_NS || now - p->drawn_ns < REDRAW_NS)
        return;
    p->drawn_ns = now;
    draw(p);
}

void cli_progress_end(struct cli_progress *p)
{
    if (p->on && p->drawn_ns != 0) {
        draw(p);
        fputc('\n', stderr);
    }
}
