#!/usr/bin/env python3
"""No key byte stands where it could be read: with known key bytes, while the load runs and again after it, every process's
memory, core dumps, logs, metrics, error replies, database and journal are searched for them, their base64 and hex, and the
expanded AES round keys. Each kind of search first finds a key planted on purpose."""
import base64
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from lib import Server, b64, skip, unb64

PAGE = os.sysconf("SC_PAGE_SIZE")
CHUNK = 1 << 22
LONGEST = 256  # bytes of a pattern


def sbox():
    box, p, q = [0] * 256, 1, 1
    while True:
        p = p ^ (p << 1) & 0xff ^ (0x1b if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xff
        if q & 0x80:
            q ^= 0x09
        x = q ^ (q << 1 | q >> 7) & 0xff ^ (q << 2 | q >> 6) & 0xff ^ (q << 3 | q >> 5) & 0xff ^ (q << 4 | q >> 4) & 0xff
        box[p] = x ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return box


def round_keys(key):
    """AES-256 key expansion, FIPS 197 section 5.2."""
    box, words, rcon = sbox(), [key[i:i + 4] for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        t = words[i - 1]
        if i % 8 == 0:
            t = bytes([box[t[1]] ^ rcon, box[t[2]], box[t[3]], box[t[0]]])
            rcon = rcon << 1 ^ (0x11b if rcon & 0x80 else 0)
        elif i % 8 == 4:
            t = bytes(box[b] for b in t)
        words.append(bytes(a ^ b for a, b in zip(words[i - 8], t)))
    return b"".join(words)


def patterns(name, secret):
    """{what: bytes}"""
    found = {f"{name} bytes": secret, f"{name} hex": secret.hex().encode(), f"{name} HEX": secret.hex().upper().encode()}
    for skip_bytes in range(3):
        part = secret[skip_bytes:]
        part = part[:len(part) // 3 * 3]
        found[f"{name} base64+{skip_bytes}"] = base64.b64encode(part)
        found[f"{name} base64url+{skip_bytes}"] = base64.urlsafe_b64encode(part)
    if len(secret) == 32:
        expanded = round_keys(secret)
        found[f"{name} round keys"] = expanded[32:96]
        found[f"{name} last round keys"] = expanded[-32:]
        words = [expanded[i:i + 4][::-1] for i in range(0, len(expanded), 4)]
        found[f"{name} round keys, swapped words"] = b"".join(words)[32:96]
    return {what: bytes_ for what, bytes_ in found.items() if len(bytes_) >= 16}


def search(data, wanted, where, hits):
    for what, needle in wanted.items():
        if needle in data:
            hits.append(f"{what} in {where}")


def runs(present, start, end):
    """The stretches of pages that are there, by the page map of one mapping: (first address, one past the last)."""
    at = start
    while at < end:
        size = min(CHUNK, end - at)
        present.seek(at // PAGE * 8)
        flags = present.read(size // PAGE * 8)[7::8]
        first = None
        for page, flag in enumerate(flags):
            if flag & 0xc0:  # in memory, or swapped out
                first = page if first is None else first
            elif first is not None:
                yield at + first * PAGE, at + page * PAGE
                first = None
        if first is not None:
            yield at + first * PAGE, at + len(flags) * PAGE
        at += size


def search_memory(pid, wanted, where):
    """Every page of a process that exists, by its page map. Gives hits and bytes read."""
    hits, read = [], 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem, \
            open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
        for line in maps:
            if "[v" in line:
                continue
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            tail, tail_at = b"", start
            for at, after in runs(pagemap, start, end):
                while at < after:
                    try:
                        mem.seek(at)
                        data = mem.read(after - at)
                    except (OSError, ValueError):
                        data = b""  # secret memory: the kernel refuses
                    if not data:
                        at += PAGE
                        continue
                    read += len(data)
                    before = tail if tail_at == at else b""  # what lies across two runs is seen too
                    search(before + data, wanted, f"memory of {where} at {at:x}", hits)
                    at += len(data)
                    tail, tail_at = data[-LONGEST:], at
    return hits, read


class Scan(unittest.TestCase):
    def setUp(self):
        if os.geteuid() != 0:
            skip("only root may read another process's memory")

    def load(self, server, stop, failures):
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=server.context(), timeout=20)
        headers = {"X-Vault-Token": server.token}
        bodies = [("encrypt/k", f'{{"plaintext":"{b64(b"payload")}"}}'), ("sign/s", f'{{"input":"{b64(b"m")}"}}'),
                  ("hmac/k", f'{{"input":"{b64(b"m")}"}}'), ("encrypt/x", f'{{"plaintext":"{b64(b"p")}"}}'),
                  ("datakey/wrapped/k", "{}"), ("decapsulate/kem", f'{{"ciphertext":"{self.kem}"}}')]
        while not stop.is_set():
            for path, body in bodies:
                connection.request("POST", "/v1/transit/" + path, body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    failures.append(f"{path}: {answer.status} {text[:200]}")

    def prepare(self, server):
        secrets = {}
        for name, body in (("k", {}), ("x", {"type": "xaes256-gcm"}), ("s", {"type": "ml-dsa", "parameter_set": "65"}),
                           ("kem", {"type": "ml-kem", "parameter_set": "768"}), ("ed", {"type": "ed25519"})):
            self.assertEqual(server.post(f"transit/keys/{name}", {**body, "exportable": True}).status, 200, name)
        for name, kind in (("k", "encryption-key"), ("x", "encryption-key"), ("k", "hmac-key")):
            secrets[f"{name} {kind}"] = unb64(server.get(f"transit/export/{kind}/{name}").data["keys"]["1"])
        made = server.post("transit/encapsulate/kem").data
        self.kem = made["ciphertext"]
        return secrets

    def test_no_key_anywhere(self):
        with Server() as server:
            secrets = self.prepare(server)
            # the exports themselves passed through; from here on nothing may remain of them
            wanted = {}
            for name, secret in secrets.items():
                wanted.update(patterns(name, secret))
            for i, share in enumerate(server.keys):
                wanted.update(patterns(f"share {i}", unb64(share)))
            stop, failures = threading.Event(), []
            threads = [threading.Thread(target=self.load, args=(server, stop, failures)) for _ in range(4)]
            for thread in threads:
                thread.start()
            hits, read = [], 0
            try:
                for _ in range(3):
                    time.sleep(0.5)
                    for role, pids in server.pids().items():
                        for pid in pids:
                            found, count = search_memory(pid, wanted, f"{role} {pid}")
                            hits += found
                            read += count
                hits += self.core_dumps(server, wanted)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
            self.assertEqual(failures, [])
            for role, pids in server.pids().items():
                for pid in pids:
                    found, count = search_memory(pid, wanted, f"{role} {pid} after the load")
                    hits += found
                    read += count
            hits += self.outputs(server, wanted)
            self.assertEqual(hits, [])
            self.assertGreater(read, 10 << 20)
            print(f"{len(wanted)} patterns, {read >> 20} MiB of memory")

    def core_dumps(self, server, wanted):
        hits = []
        with tempfile.TemporaryDirectory() as folder:
            for role, pids in server.pids().items():
                for pid in pids:
                    dumped = subprocess.run(["gcore", "-o", f"{folder}/core", str(pid)], capture_output=True, text=True)
                    core = Path(f"{folder}/core.{pid}")
                    self.assertTrue(core.exists(), dumped.stderr)
                    search(core.read_bytes(), wanted, f"core dump of {role}", hits)
                    core.unlink()
        return hits

    def outputs(self, server, wanted):
        hits = []
        search(server.get("sys/metrics").raw, wanted, "metrics", hits)
        search(server.get("sys/posture").raw, wanted, "posture", hits)
        search(server.get("audit/entries?limit=1000").raw, wanted, "audit entries", hits)
        for path, body in (("transit/decrypt/k", {"ciphertext": "vault:v1:AAAA"}), ("transit/encrypt/none", {"plaintext": "%"}),
                           ("transit/sign/k", {"input": "AAAA"}), ("sys/unseal", {"key": "AAAA"}), ("transit/keys/k", None)):
            search(server.post(path, body).raw, wanted, f"error of {path}", hits)
        search(server.log_path.read_bytes(), wanted, "log", hits)
        for path in (server.dir / "state").rglob("*"):
            # the development server keeps its own shares to come back unsealed: that is what makes it no more than one
            if path.is_file():
                own = {w: n for w, n in wanted.items() if not (w.startswith("share") and "dev" in path.name)}
                search(path.read_bytes(), own, str(path), hits)
        return hits

    def test_the_search_finds_a_planted_key(self):
        key = bytes(range(7, 39))
        wanted = patterns("planted", key)
        for planted in (key, key.hex().encode(), base64.b64encode(key), round_keys(key)):
            code = ("import sys, time\n"
                    "planted = bytes(b ^ 0x5a for b in bytes.fromhex(sys.argv[1]))\n"
                    "print('ready', flush=True)\nsys.stdin.read()\n")
            masked = bytes(b ^ 0x5a for b in planted).hex()
            child = subprocess.Popen([sys.executable, "-c", code, masked], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                child.stdout.readline()
                hits, _ = search_memory(child.pid, wanted, "child")
                self.assertNotEqual(hits, [])
            finally:
                child.stdin.close()
                child.wait()
                child.stdout.close()
        hits = []
        search(b"x" * 11 + key + b"y", wanted, "bytes", hits)
        self.assertEqual(len(hits), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
