/* Searches processes, files and core dumps for known bytes: the bytes themselves, their hex and base64 in every
 * alignment, and an AES-256 key's expanded round keys. Used by the tour and the tests' proof that no key leaks. */
#ifndef HF_CLI_SCAN_H
#define HF_CLI_SCAN_H

#include "base/buf.h"

enum { HF_SCAN_PATTERNS_MAX = 16, HF_SCAN_PATTERN_MAX = 256 };
struct hf_scan {
    uint32_t count;
    struct {
        const char *name; /* "bytes", "hex", "base64", "round keys" */
        uint8_t bytes[HF_SCAN_PATTERN_MAX];
        size_t len;
    } patterns[HF_SCAN_PATTERNS_MAX];
    uint64_t bytes_searched;
    uint32_t found;
    const char *found_as; /* the first pattern found */
};
/* needle: 16..64 bytes. A scan holds the bytes itself (masked, so that it does not find itself). */
hf_result hf_scan_for(struct hf_scan *scan, struct hf_cursor needle);
/* Fails: DENIED where the kernel refuses to let this process look; NOT_FOUND where there is no such process. */
hf_result hf_scan_process(struct hf_scan *scan, int pid);
hf_result hf_scan_file(struct hf_scan *scan, const char *path);
void hf_scan_bytes(struct hf_scan *scan, struct hf_cursor bytes);

#endif
