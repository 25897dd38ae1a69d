#include "cli/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "secret/secret.h"

/* Patterns are kept XORed with this, and unmasked into one buffer only while searching. */
enum { MASK = 0xa5, CHUNK = 1 << 20, ROUND_KEYS = 240 };

static void add(struct hf_scan *scan, const char *name, const uint8_t *bytes, size_t len)
{
    if (scan->count == HF_SCAN_PATTERNS_MAX || len > HF_SCAN_PATTERN_MAX)
        return;
    scan->patterns[scan->count].name = name;
    scan->patterns[scan->count].len = len;
    for (size_t i = 0; i < len; i++)
        scan->patterns[scan->count].bytes[i] = bytes[i] ^ MASK;
    scan->count++;
}

static uint8_t times2(uint8_t a)
{
    return (uint8_t)((a << 1) ^ ((a >> 7) * 0x1b));
}

/* FIPS 197 section 5.1.1, for the key expansion of a test's known key: not for keys in use (not constant time). */
static uint8_t sbox(uint8_t x)
{
    uint8_t inverse = 0;
    for (unsigned y = 1; y < 256 && x != 0; y++) {
        uint8_t product = 0, a = x;
        for (unsigned b = y; b != 0; b >>= 1, a = times2(a))
            product ^= (uint8_t)((b & 1) * a);
        if (product == 1)
            inverse = (uint8_t)y;
    }
    uint8_t s = 0x63;
    for (unsigned i = 0; i < 5; i++)
        s ^= (uint8_t)((inverse << i) | (inverse >> (8 - i)));
    return s;
}

/* FIPS 197 section 5.2, Nk = 8. */
static void expand_aes256(const uint8_t key[static 32], uint8_t words[static ROUND_KEYS])
{
    memcpy(words, key, 32);
    uint8_t rcon = 1;
    for (unsigned i = 8; i < 60; i++) {
        uint8_t t[4];
        memcpy(t, words + (size_t)4 * (i - 1), 4);
        if (i % 8 == 0) {
            uint8_t first = t[0];
            t[0] = sbox(t[1]) ^ rcon;
            t[1] = sbox(t[2]);
            t[2] = sbox(t[3]);
            t[3] = sbox(first);
            rcon = times2(rcon);
        } else if (i % 8 == 4) {
            for (unsigned j = 0; j < 4; j++)
                t[j] = sbox(t[j]);
        }
        for (unsigned j = 0; j < 4; j++)
            words[4 * i + j] = words[4 * (i - 8) + j] ^ t[j];
    }
}

hf_result hf_scan_for(struct hf_scan *scan, struct hf_cursor needle)
{
    *scan = (struct hf_scan){0};
    if (needle.left < 16 || needle.left > 64)
        return HF_FAIL(BAD_ARGUMENT);
    add(scan, "bytes", needle.at, needle.left);
    uint8_t text[HF_SCAN_PATTERN_MAX];
    struct hf_buf hex = hf_buf(text, sizeof(text));
    hf_hex_encode(&hex, needle);
    add(scan, "hex", text, hex.len);
    for (size_t i = 0; i < hex.len; i++)
        text[i] = text[i] >= 'a' ? (uint8_t)(text[i] - 32) : text[i];
    add(scan, "hex in capitals", text, hex.len);
    for (size_t skip = 0; skip < 3; skip++) { /* base64 of the bytes at each offset within a longer text */
        size_t whole = (needle.left - skip) / 3 * 3;
        struct hf_buf b64 = hf_buf(text, sizeof(text));
        hf_base64_encode(&b64, hf_cursor(needle.at + skip, whole));
        add(scan, "base64", text, b64.len);
        for (size_t i = 0; i < b64.len; i++)
            text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
        add(scan, "base64url", text, b64.len);
    }
    if (needle.left == 32) {
        uint8_t words[ROUND_KEYS];
        expand_aes256(needle.at, words);
        add(scan, "round keys", words + 32, 32); /* the second pair of round keys: present in any expansion */
        add(scan, "last round keys", words + ROUND_KEYS - 32, 32);
        hf_wipe(words, sizeof(words));
    }
    hf_wipe(text, sizeof(text));
    return HF_DONE;
}

void hf_scan_bytes(struct hf_scan *scan, struct hf_cursor bytes)
{
    uint8_t plain[HF_SCAN_PATTERN_MAX];
    scan->bytes_searched += bytes.left;
    for (uint32_t p = 0; p < scan->count; p++) {
        size_t len = scan->patterns[p].len;
        for (size_t i = 0; i < len; i++)
            plain[i] = scan->patterns[p].bytes[i] ^ MASK;
        const uint8_t *hit = bytes.at, *end = bytes.at + bytes.left;
        while ((hit = memmem(hit, (size_t)(end - hit), plain, len)) != NULL) {
            scan->found++;
            if (scan->found_as == NULL)
                scan->found_as = scan->patterns[p].name;
            hit++;
        }
    }
    hf_wipe(plain, sizeof(plain));
}

/* Searches [from, to) of a descriptor in chunks that overlap by a pattern's length. Unreadable pages are passed
 * over: secret memory is unreadable by design. */
static void scan_range(struct hf_scan *scan, int fd, uint64_t from, uint64_t to, uint8_t *chunk)
{
    size_t kept = 0;
    for (uint64_t at = from; at < to;) {
        size_t want = (size_t)HF_MIN((uint64_t)(CHUNK - kept), to - at);
        ssize_t n = pread(fd, chunk + kept, want, (off_t)at);
        if (n <= 0) { /* step over one page */
            kept = 0;
            at += 4096 - at % 4096;
            continue;
        }
        hf_scan_bytes(scan, hf_cursor(chunk, kept + (size_t)n));
        size_t have = kept + (size_t)n;
        kept = HF_MIN(have, (size_t)HF_SCAN_PATTERN_MAX - 1);
        memmove(chunk, chunk + have - kept, kept);
        at += (uint64_t)n;
    }
}

/* The runs of pages in [from, to) that exist, by the kernel's page map; all of it where the map cannot be read. Keeps
 * the search from walking through gigabytes of reserved address space, and from touching it into existence. */
static void scan_present(struct hf_scan *scan, int mem, int pagemap, uint64_t from, uint64_t to,
                         uint8_t *chunk)
{
    enum { PAGE = 4096, ENTRIES = 512 };
    const uint64_t exists = UINT64_C(3) << 62; /* present, or in swap */
    uint64_t entries[ENTRIES], run = 0;
    bool in_run = false;
    for (uint64_t at = from; at < to;) {
        uint64_t pages = HF_MIN((uint64_t)ENTRIES, (to - at) / PAGE);
        ssize_t n =
            pagemap < 0 || pages == 0 ? -1 : pread(pagemap, entries, pages * 8, (off_t)(at / PAGE * 8));
        if (n < 8) {
            scan_range(scan, mem, in_run ? run : at, to, chunk);
            return;
        }
        for (ssize_t i = 0; i < n / 8; i++, at += PAGE) {
            bool here = (entries[i] & exists) != 0;
            if (here && !in_run)
                run = at;
            else if (!here && in_run)
                scan_range(scan, mem, run, at, chunk);
            in_run = here;
        }
    }
    if (in_run)
        scan_range(scan, mem, run, to, chunk);
}

static hf_result open_result(void)
{
    return errno == ENOENT || errno == ESRCH ? HF_FAIL(NOT_FOUND) : HF_FAIL(DENIED);
}

hf_result hf_scan_process(struct hf_scan *scan, int pid)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int mem = open(path, O_RDONLY | O_CLOEXEC);
    if (mem < 0)
        return open_result();
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *chunk = malloc(CHUNK);
    hf_result done = maps == NULL || chunk == NULL ? HF_FAIL(DENIED) : HF_DONE;
    while (HF_IS_OK(done) && fgets(line, sizeof(line), maps) != NULL) {
        char *after;
        uint64_t from = strtoull(line, &after, 16);
        uint64_t to = *after == '-' ? strtoull(after + 1, &after, 16) : 0;
        if (*after != ' ' || strstr(line, "[vvar") != NULL || strstr(line, "[vsyscall") != NULL)
            continue;
        scan_present(scan, mem, pagemap, from, to, chunk);
    }
    if (chunk != NULL)
        hf_wipe(chunk, CHUNK);
    free(chunk);
    if (maps != NULL)
        fclose(maps);
    if (pagemap >= 0)
        close(pagemap);
    close(mem);
    return done;
}

hf_result hf_scan_file(struct hf_scan *scan, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return open_result();
    uint8_t *chunk = malloc(CHUNK);
    off_t size = lseek(fd, 0, SEEK_END);
    if (chunk != NULL && size > 0)
        scan_range(scan, fd, 0, (uint64_t)size, chunk);
    if (chunk != NULL)
        hf_wipe(chunk, CHUNK);
    free(chunk);
    close(fd);
    return chunk == NULL ? HF_FAIL(NO_MEMORY) : HF_DONE;
}
