/* The audit log without its server: from an export, a checkpoint and the keys that one trusts. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "cli/audit_file.h"
#include "cli/commands.h"
#include "tlog/export.h"

enum { EXPORT_MAX = 1 << 30, TEXT_MAX = 1 << 20, PROOF_MAX = 64 << 10 };

struct text {
    uint8_t *bytes;
    size_t len;
};

static bool read_text(const char *path, size_t most, struct text *ret)
{
    hf_result got = path == NULL ? HF_FAIL(BAD_ARGUMENT) : cli_read_file(path, most, &ret->bytes, &ret->len);
    if (!HF_IS_OK(got))
        cli_error(hf_code_text(got.code), path);
    return HF_IS_OK(got);
}

static int verify_export(struct cli *cli, struct hf_cursor log, struct hf_cursor checkpoint,
                         const struct hf_tlog_signer *keys)
{
    struct hf_export_verdict v;
    hf_result checked = hf_export_verify(log, checkpoint, keys, &v);
    if (!HF_IS_OK(checked)) {
        cli_error(checked.code == HF_BAD_SIGNATURE ? "the checkpoint's signatures do not hold"
                                                   : "this is no whole export",
                  hf_code_text(checked.code));
        return CLI_INVALID;
    }
    printf("%llu entries, %llu covered by the checkpoint of size %llu, %llu details checked\n",
           (unsigned long long)v.entries, (unsigned long long)v.covered,
           (unsigned long long)v.checkpoint_size, (unsigned long long)v.opened);
    for (uint32_t i = 0; i < HF_MIN(v.count, (uint32_t)HF_EXPORT_FINDINGS_MAX); i++) {
        char line[256];
        struct hf_buf text = hf_buf(line, sizeof(line) - 2);
        hf_export_finding_text(&text, &v.findings[i]);
        line[text.len] = '\n';
        line[text.len + 1] = '\0';
        cli_say(cli, CLI_BAD, line);
    }
    cli_say(cli, v.ok ? CLI_GOOD : CLI_BAD, v.ok ? "the log holds\n" : "the log does NOT hold\n");
    return v.ok ? CLI_OK : CLI_INVALID;
}

/* entry: the leaf; empty: the one that the proof brings. */
static int verify_proof(struct cli *cli, struct hf_cursor proof_text, struct hf_cursor entry,
                        const struct hf_tlog_signer *keys)
{
    uint8_t leaf[256];
    struct hf_buf decoded = hf_buf(leaf, sizeof(leaf));
    struct hf_cursor extra, note;
    uint64_t index;
    struct hf_tlog_proof proof;
    struct hf_tlog_checkpoint cp;
    hf_result held = hf_tlog_proof_open(proof_text, &extra, &index, &proof, &note);
    if (HF_IS_OK(held))
        held = hf_tlog_checkpoint_open(note, keys, &cp);
    if (HF_IS_OK(held) && entry.left == 0) {
        held = hf_base64_decode(&decoded, extra);
        entry = hf_buf_cursor(&decoded);
    }
    if (HF_IS_OK(held))
        held = hf_tlog_check_inclusion(index, cp.size, hf_tlog_leaf(entry), &proof, cp.root);
    if (!HF_IS_OK(held)) {
        cli_say(cli, CLI_BAD, "the proof does NOT hold\n");
        return CLI_INVALID;
    }
    printf("entry %llu is in the log of %llu entries\n", (unsigned long long)index,
           (unsigned long long)cp.size);
    return CLI_OK;
}

/* ---- tail ---- */

static void print_address(const uint8_t ip[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, none[16];
    char text[INET6_ADDRSTRLEN];
    bool v4 = memcmp(ip, mapped, sizeof(mapped)) == 0; /* public address */
    if (memcmp(ip, none, sizeof(none)) != 0 &&         /* public address */
        inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + sizeof(mapped) : ip, text, sizeof(text)) != NULL)
        printf(" from %s", text);
}

static void print_entry(const struct hf_export_entry *entry)
{
    uint8_t time_bytes[48];
    char request[HF_ID_TEXT_LEN];
    struct hf_buf time = hf_buf(time_bytes, sizeof(time_bytes));
    struct hf_entry_leaf leaf;
    struct hf_entry_detail d;
    printf("%8llu  ", (unsigned long long)entry->index);
    if (!HF_IS_OK(hf_entry_leaf_read(entry->bytes, &leaf)) ||
        leaf.time_ms > (uint64_t)(INT64_MAX / HF_MILLISECOND)) {
        printf("no leaf\n");
        return;
    }
    hf_time_rfc3339(&time, (int64_t)leaf.time_ms * HF_MILLISECOND);
    printf("%-30.*s  ", (int)time.len, (const char *)time_bytes);
    if (leaf.kind == HF_ENTRY_VOID) {
        printf("void: its index was taken and never written\n");
    } else if (entry->opening.left == 0) {
        printf("not shown\n");
    } else if (!HF_IS_OK(hf_entry_opening_check(&leaf, entry->opening)) ||
               !HF_IS_OK(hf_entry_opening_read(entry->opening, &d))) {
        printf("the detail is not the one that was logged\n");
    } else {
        hf_id_text(d.request_id, request);
        printf("%-24.*s %-14.*s %.*s", (int)d.operation.left, (const char *)d.operation.at,
               (int)d.outcome.left, (const char *)d.outcome.at, (int)d.mount.left, (const char *)d.mount.at);
        if (d.key_version != 0)
            printf(" v%u", d.key_version);
        print_address(d.peer_ip);
        printf("  %.*s\n", HF_ID_TEXT_LEN, request);
    }
}

int cli_audit_tail_offline(struct cli *cli)
{
    int64_t from, limit;
    struct text log = {0};
    if (!cli_number(cli, "from", -1, &from) || !cli_number(cli, "limit", 20, &limit))
        return CLI_USAGE;
    if (!read_text(cli_option(cli, "export"), EXPORT_MAX, &log))
        return CLI_FAILED;
    struct hf_export_reader reader;
    struct hf_export_entry entry;
    uint64_t end = 0;
    hf_result result = HF_DONE;
    for (unsigned pass = from < 0 ? 0 : 1; pass < 2 && HF_IS_OK(result);
         pass++) { /* the first finds the end */
        uint64_t first = from >= 0 ? (uint64_t)from : end - HF_MIN(end, (uint64_t)limit), shown = 0;
        bool more = true;
        hf_export_open(&reader, hf_cursor(log.bytes, log.len));
        while (HF_IS_OK(result = hf_export_section(&reader, &more)) && more) {
            while (hf_export_next(&reader, &entry)) {
                if (pass == 0)
                    end = HF_MAX(end, entry.index + 1);
                else if (entry.index >= first && shown < (uint64_t)limit) {
                    print_entry(&entry);
                    shown++;
                }
            }
        }
    }
    if (!HF_IS_OK(result))
        cli_error("this is no whole export", cli_option(cli, "export"));
    free(log.bytes);
    return HF_IS_OK(result) ? CLI_OK : CLI_INVALID;
}

/* ---- prove ---- */

/* The index of a request, from the details that the export shows. */
static bool find_request(struct hf_cursor log, const char *request, uint64_t *ret_index)
{
    struct hf_export_reader reader;
    struct hf_export_entry entry;
    struct hf_entry_detail d;
    struct hf_id id;
    bool more, found = false;
    if (!HF_IS_OK(hf_id_parse(hf_cursor_text(request), &id)))
        return false;
    hf_export_open(&reader, log);
    while (!found && HF_IS_OK(hf_export_section(&reader, &more)) && more) {
        while (!found && hf_export_next(&reader, &entry)) {
            found = HF_IS_OK(hf_entry_opening_read(entry.opening, &d)) &&
                    memcmp(&d.request_id, &id, sizeof(id)) == 0; /* public ids */
            *ret_index = entry.index;
        }
    }
    return found;
}

static int prove(struct cli *cli, struct hf_cursor log, struct hf_cursor checkpoint,
                 const struct hf_tlog_signer *keys)
{
    static uint8_t bytes[PROOF_MAX];
    struct hf_buf proof = hf_buf(bytes, sizeof(bytes));
    const char *request = cli_option(cli, "request");
    int64_t number = 0;
    uint64_t index;
    if (request == NULL && !cli_number(cli, "index", 0, &number))
        return CLI_USAGE;
    index = (uint64_t)number;
    if (request != NULL && !find_request(log, request, &index)) {
        cli_error("the export shows no such request", request);
        return CLI_FAILED;
    }
    hf_result proved = hf_export_prove(log, checkpoint, keys, index, &proof);
    if (!HF_IS_OK(proved)) {
        cli_error(proved.code == HF_NOT_FOUND ? "the export has not all entries up to the checkpoint's size"
                  : proved.code == HF_BAD_SIGNATURE ? "the log does not hold: `audit verify` says where"
                                                    : "this is no whole export",
                  hf_code_text(proved.code));
        return CLI_INVALID;
    }
    return cli_audit_write(cli_option(cli, "out"), proof.at, proof.len, "we") ? CLI_OK : CLI_FAILED;
}

int cli_audit_prove_offline(struct cli *cli)
{
    if ((cli_option(cli, "index") == NULL) == (cli_option(cli, "request") == NULL) ||
        cli_option(cli, "checkpoint") == NULL || cli_option(cli, "keys") == NULL)
        return cli_usage(cli, "--checkpoint, --keys, and one of --index and --request are needed");
    struct text log = {0}, checkpoint = {0}, keys_text = {0};
    struct cli_audit_keys keys = {0};
    int done = CLI_FAILED;
    if (read_text(cli_option(cli, "keys"), TEXT_MAX, &keys_text) &&
        read_text(cli_option(cli, "checkpoint"), TEXT_MAX, &checkpoint) &&
        read_text(cli_option(cli, "export"), EXPORT_MAX, &log)) {
        if (!HF_IS_OK(cli_audit_keys_open(hf_cursor(keys_text.bytes, keys_text.len), &keys)))
            cli_error("the key file has not one Ed25519 and one ML-DSA-44 key", cli_option(cli, "keys"));
        else
            done = prove(cli, hf_cursor(log.bytes, log.len), hf_cursor(checkpoint.bytes, checkpoint.len),
                         &keys.signer);
    }
    cli_audit_keys_done(&keys);
    free(keys_text.bytes);
    free(checkpoint.bytes);
    free(log.bytes);
    return done;
}

/* ---- verify ---- */

int cmd_audit_verify(struct cli *cli)
{
    const char *export_path = cli_option(cli, "export"), *proof_path = cli_option(cli, "proof");
    if ((export_path == NULL) == (proof_path == NULL) || cli_option(cli, "keys") == NULL)
        return cli_usage(cli, "--keys, and one of --export and --proof are needed");
    struct text keys_text = {0}, subject = {0}, other = {0};
    struct cli_audit_keys keys = {0};
    int done = CLI_FAILED;
    if (read_text(cli_option(cli, "keys"), TEXT_MAX, &keys_text) &&
        read_text(export_path != NULL ? export_path : proof_path, EXPORT_MAX, &subject) &&
        ((export_path == NULL && cli_option(cli, "entry") == NULL) ||
         read_text(cli_option(cli, export_path != NULL ? "checkpoint" : "entry"), TEXT_MAX, &other))) {
        if (!HF_IS_OK(cli_audit_keys_open(hf_cursor(keys_text.bytes, keys_text.len), &keys)))
            cli_error("the key file has not one Ed25519 and one ML-DSA-44 key", cli_option(cli, "keys"));
        else if (export_path != NULL)
            done = verify_export(cli, hf_cursor(subject.bytes, subject.len),
                                 hf_cursor(other.bytes, other.len), &keys.signer);
        else
            done = verify_proof(cli, hf_cursor(subject.bytes, subject.len), hf_cursor(other.bytes, other.len),
                                &keys.signer);
    }
    cli_audit_keys_done(&keys);
    free(keys_text.bytes);
    free(subject.bytes);
    free(other.bytes);
    return done;
}
