#!/usr/bin/env python3
"""Strangers at the door: malformed, oversized, slow, cut and smuggled requests over real connections. Each gets a clear
4xx or a close, is counted under its reason, and disturbs nobody else."""
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from lib import Server, alive

MIB = 1 << 20


class Peer:
    """A raw connection to the server, in TLS where it speaks TLS."""

    def __init__(self, server, tls=None, timeout=30):
        self.plain = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
        if server.addr.startswith("https") if tls is None else tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # who the server is, is another test's matter
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.plain, server_hostname="localhost")
        else:
            self.socket = self.plain
        self.left = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def more(self):
        try:
            got = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            got = b""
        self.left += got
        return got

    def answer(self, head=False):
        """(status, headers, body) of the next response; (0, {}, b"") where the connection ended."""
        while b"\r\n\r\n" not in self.left:
            if not self.more():
                return 0, {}, b""
        text, _, self.left = self.left.partition(b"\r\n\r\n")
        lines = text.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        status, want = int(lines[0].split()[1]), 0 if head else int(headers.get("content-length", 0))
        while len(self.left) < want:
            if not self.more():
                break
        body, self.left = self.left[:want], self.left[want:]
        return status, headers, body

    def closed(self):
        return not self.more()


def request(line, *headers, body=b"", host=True):
    head = [line, *(["Host: h"] if host else []), *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + (body if isinstance(body, bytes) else body.encode())


HEALTH = request("GET /v1/sys/health HTTP/1.1")
SMUGGLED = "GET /v1/sys/seal HTTP/1.1\r\nHost: h\r\n\r\n"

# What is sent, what comes back, and the reason it is counted under.
ROWS = [
    ("both lengths", request("POST /v1/x HTTP/1.1", "Content-Length: 4", "Transfer-Encoding: chunked",
                             body="0\r\n\r\n" + SMUGGLED), 400, "framing"),
    ("both lengths, turned", request("POST /v1/x HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 4",
                                     body="0\r\n\r\n" + SMUGGLED), 400, "framing"),
    ("two lengths", request("POST /v1/x HTTP/1.1", "Content-Length: 2", "Content-Length: 2", body="{}"), 400, "framing"),
    ("list of lengths", request("POST /v1/x HTTP/1.1", "Content-Length: 2, 3", body="{}"), 400, "framing"),
    ("signed length", request("POST /v1/x HTTP/1.1", "Content-Length: +2", body="{}"), 400, "framing"),
    ("coding with a tab", request("POST /v1/x HTTP/1.1", "Transfer-Encoding:\tchunked\x0b", body="0\r\n\r\n"), 400, None),
    ("unknown coding", request("POST /v1/x HTTP/1.1", "Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"), 400, "framing"),
    ("chunk size no number", request("POST /v1/x HTTP/1.1", "Transfer-Encoding: chunked", body="0x2\r\n{}\r\n0\r\n\r\n"),
     400, None),
    ("space before colon", request("POST /v1/x HTTP/1.1", "Content-Length : 2", body="{}"), 400, "syntax"),
    ("folded field", request("GET /v1/x HTTP/1.1", "X-A: b\r\n c"), 400, "syntax"),
    ("bare line feeds", b"GET /v1/x HTTP/1.1\nHost: h\n\n", 400, None),
    ("bare line feed in a field", request("GET /v1/x HTTP/1.1", "X-A: b\nX-B: c"), 400, "syntax"),
    ("NUL in a field", request("GET /v1/x HTTP/1.1", "X-A: b\0c"), 400, "syntax"),
    ("two hosts", request("GET /v1/x HTTP/1.1", "Host: i"), 400, "host"),
    ("no host", request("GET /v1/x HTTP/1.1", host=False), 400, "host"),
    ("two tokens", request("GET /v1/x HTTP/1.1", "X-Vault-Token: a", "x-vault-token: b"), 400, "duplicate_field"),
    ("version 1.2", request("GET /v1/x HTTP/1.2"), 400, "version"),
    ("version 0.9", b"GET /v1/x\r\n\r\n", 400, None),
    ("unknown method", request("BREW /v1/x HTTP/1.1"), 400, "syntax"),
    ("tunnel", request("CONNECT example.com:443 HTTP/1.1"), 405, "method"),
    ("expectation", request("PUT /v1/x HTTP/1.1", "Expect: wonders", "Content-Length: 2"), 400, "expect"),
    ("too large by its own word", request("PUT /v1/x HTTP/1.1", f"Content-Length: {33 * MIB}"), 413, "body_size"),
    ("larger than numbers", request("PUT /v1/x HTTP/1.1", "Content-Length: 99999999999999999999"), 400, "framing"),
    ("huge chunk", request("PUT /v1/x HTTP/1.1", "Transfer-Encoding: chunked", body="ffffffff\r\n"), 413, "body_size"),
    ("many fields", request("GET /v1/x HTTP/1.1", *[f"X-{i}: y" for i in range(100)]), 431, "header_size"),
    ("large field", request("GET /v1/x HTTP/1.1", "X-A: " + "b" * 70000), 431, "header_size"),
    ("long target", request("GET /v1/" + "x" * 5000 + " HTTP/1.1"), 431, "target_size"),
    ("TLS in TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, 400, "syntax"),
]
# The framing of these is sound: the connection lives on.
KEPT = [
    ("path above the root", request("GET /v1/../etc/passwd HTTP/1.1"), 400, "target"),
    ("the same, escaped", request("GET /v1/sys/%2e%2e/x HTTP/1.1"), 400, "target"),
    ("empty segment", request("GET /v1/sys//health HTTP/1.1"), 400, "target"),
    ("escaped NUL", request("GET /v1/sys/health%00 HTTP/1.1"), 400, "target"),
    ("overlong UTF-8", request("GET /v1/%c0%af HTTP/1.1"), 400, "target"),
    ("elsewhere", request("GET /admin HTTP/1.1"), 404, "route"),
    ("a parameter twice", request("GET /v1/sys/health?a=1&a=2 HTTP/1.1"), 400, "query_twice"),
    ("a token with a space", request("GET /v1/x HTTP/1.1", "X-Vault-Token: a b"), 400, "field_value"),
    ("broken JSON", request("PUT /v1/x HTTP/1.1", "Content-Length: 5", body='{"a":'), 400, "json"),
    ("a member twice", request("PUT /v1/x HTTP/1.1", "Content-Length: 13", body='{"a":1,"a":2}'), 400, "json"),
    ("invalid UTF-8", request("PUT /v1/x HTTP/1.1", "Content-Length: 9", body=b'{"a":"\xff"}'), 400, "json"),
    ("half a surrogate", request("PUT /v1/x HTTP/1.1", "Content-Length: 14", body='{"a":"\\ud800"}'), 400, "json"),
    ("no object", request("PUT /v1/x HTTP/1.1", "Content-Length: 2", body="[]"), 400, "json_object"),
    ("too deep", request("PUT /v1/x HTTP/1.1", "Content-Length: 206", body='{"a":' + "[" * 100 + "]" * 100 + "}"), 413,
     "json_size"),
]


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.fronts = cls.server.pids()["front"]

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def tearDown(self):
        self.assertEqual(sorted(self.server.pids()["front"]), sorted(self.fronts), "no front has died")
        self.assertEqual(self.server.get("sys/health").status, 200)

    def counted(self):
        """Rejections by reason, over all fronts."""
        text = self.server.get("sys/metrics").raw.decode()
        total = {}
        for reason, value in re.findall(r"^holdfast_front_rejected_(\w+)_total\{[^}]*\} (\d+)$", text, re.M):
            total[reason] = total.get(reason, 0) + int(value)
        return total

    def test_each_is_refused_told_why_and_counted(self):
        before, expected = self.counted(), {}
        for name, sent, status, reason in ROWS:
            with self.subTest(name), Peer(self.server) as peer:
                got, headers, body = peer.send(sent).answer()
                self.assertEqual(got, status)
                self.assertRegex(body, rb'^\{"errors":\["[^"]+"\]\}\n$')
                self.assertEqual(headers["connection"], "close")
                self.assertTrue(peer.closed(), "what follows is not read as a request")
                self.assertEqual(peer.left, b"")
            if reason:
                expected[reason] = expected.get(reason, 0) + 1
        with Peer(self.server) as peer:
            for name, sent, status, reason in KEPT:
                with self.subTest(name):
                    got, headers, body = peer.send(sent).answer()
                    self.assertEqual(got, status, body)
                    self.assertRegex(body, rb'^\{"errors":\["[^"]+"\]\}\n$')
                    self.assertNotIn("connection", headers)
                expected[reason] = expected.get(reason, 0) + 1
            self.assertEqual(peer.send(HEALTH).answer()[0], 200)
        time.sleep(1.5)  # the fronts tell once a second
        after = self.counted()
        for reason, count in expected.items():
            self.assertGreaterEqual(after[reason] - before.get(reason, 0), count, reason)

    def test_head_has_no_body_even_where_it_is_refused(self):
        with Peer(self.server) as peer:
            peer.send(request("HEAD /v1/sys/health HTTP/1.1") + request("HEAD /v1/x//y HTTP/1.1") + HEALTH)
            self.assertEqual(peer.answer(head=True)[0], 200)
            self.assertEqual(peer.answer(head=True)[0], 400)
            status, _, body = peer.answer()
            self.assertEqual((status, body[:15]), (200, b'{"initialized":'))

    def test_requests_sent_ahead_are_answered_in_order(self):
        with Peer(self.server) as peer:
            token = f"X-Vault-Token: {self.server.token}"
            for i in range(50):
                peer.send(request(f"GET /v1/sys/health?n={i} HTTP/1.1") + request(f"GET /v1/nowhere-{i} HTTP/1.1", token))
            for i in range(50):
                self.assertEqual(peer.answer()[0], 200)
                self.assertEqual(peer.answer()[0], 404)

    def test_pieces_of_any_size_make_a_request(self):
        whole = request("POST /v1/sys/tools/hash HTTP/1.1", f"X-Vault-Token: {self.server.token}",
                        "Transfer-Encoding: chunked", body='9;ext="x"\r\n{"input":\r\nb\r\n"aGVsbG8="}\r\n0\r\nT: x\r\n\r\n')
        with Peer(self.server) as peer:
            for size in (1, 2, 3, 7, 64):
                for at in range(0, len(whole), size):
                    peer.send(whole[at:at + size])
                status, _, body = peer.answer()
                self.assertIn(status, (200, 404), body)  # understood, whatever is mounted there

    def test_slow_strangers_are_sent_away_and_hold_up_nobody(self):
        dawdlers = [Peer(self.server, timeout=40) for _ in range(60)]
        silent = [Peer(self.server, tls=False, timeout=40) for _ in range(20)]  # never shake hands
        for i, peer in enumerate(dawdlers):
            if i % 2:
                peer.send("GET /v1/sys/health HTTP/1.1\r\nHos")
            else:
                peer.send(request("PUT /v1/x HTTP/1.1", "Content-Length: 1000000", body="{"))
        began, took = time.monotonic(), 0
        while time.monotonic() - began < 9:  # a byte now and then, which is not enough
            for peer in dawdlers:
                peer.send("x")
            asked = time.monotonic()
            self.assertEqual(self.server.get("sys/health").status, 200)
            took = max(took, time.monotonic() - asked)
            time.sleep(1)
        self.assertLess(took, 1)
        for peer in dawdlers:
            self.assertEqual(peer.answer()[0], 408)
            peer.socket.close()
        for peer in silent:
            self.assertTrue(peer.closed())
            peer.socket.close()
        self.assertLess(time.monotonic() - began, 30)

    def test_cut_connections_leave_nothing_behind(self):
        for i in range(100):
            with Peer(self.server) as peer:
                peer.send(request("PUT /v1/sys/health HTTP/1.1", "Content-Length: 1000", body="{" * (i * 9)))
                if i % 3 == 0:
                    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # ends with a reset
        for i in range(20):
            with Peer(self.server, tls=False) as peer:
                peer.send(b"\x16\x03\x01\x00\xa5\x01" + os.urandom(i * 10))
        with Peer(self.server) as peer:  # an answer that nobody waits for
            peer.send(HEALTH * 100)

    def test_noise_kills_nothing(self):
        chance = random.Random(20)
        seeds = [row[1] for row in ROWS + KEPT] + [HEALTH, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"]
        with Server(plaintext=True) as server:
            fronts = sorted(server.pids()["front"])
            for _ in range(400):
                data = bytearray(chance.choice(seeds)[:4000])
                for _ in range(chance.randrange(1, 8)):
                    at = chance.randrange(len(data))
                    data[at:at + chance.randrange(3)] = bytes(chance.randrange(256) for _ in range(chance.randrange(4)))
                    data = data or bytearray(b"G")
                with Peer(server, timeout=5) as peer:
                    try:
                        peer.send(bytes(data))
                    except ConnectionError:
                        pass
            for _ in range(100):  # frames of HTTP/2, nearly
                with Peer(server, timeout=5) as peer:
                    frames = b"".join(chance.randrange(40).to_bytes(3, "big") + bytes([chance.randrange(12), chance.randrange(64)])
                                      + chance.randrange(8).to_bytes(4, "big") + os.urandom(chance.randrange(40))
                                      for _ in range(10))
                    try:
                        peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + frames)
                    except ConnectionError:
                        pass
            self.assertEqual(server.get("sys/health").status, 200)
            self.assertEqual(sorted(server.pids()["front"]), fronts)

    def test_a_thousand_idle_connections_hold_up_nobody(self):
        with Server(plaintext=True) as server:
            idle = [Peer(server) for _ in range(1000)]
            began = time.monotonic()
            self.assertEqual(server.get("sys/health").status, 200)
            self.assertLess(time.monotonic() - began, 1)
            self.assertEqual(idle[500].send(HEALTH).answer()[0], 200)
            for peer in idle:
                peer.socket.close()

    def test_a_body_of_32_mib_is_taken(self):
        filler = b" " * (32 * MIB - 2)
        with Peer(self.server, timeout=60) as peer:
            peer.send(request("PUT /v1/x HTTP/1.1", f"X-Vault-Token: {self.server.token}", f"Content-Length: {32 * MIB}"))
            peer.send(b"{" + filler + b"}")
            self.assertEqual(peer.answer()[0], 404)


class Curl(unittest.TestCase):
    """curl, over HTTP/1.1 and HTTP/2."""

    def setUp(self):
        if not shutil.which("curl"):
            self.skipTest("curl is not installed")

    def ask(self, server, *args):
        more = ["--cacert", server.cacert] if server.cacert else []
        got = subprocess.run(["curl", "-sS", "-o", "-", "-w", "\n%{http_version} %{http_code}", *more, "-H",
                              f"X-Vault-Token: {server.token}", *args], capture_output=True, text=True, timeout=60)
        self.assertEqual(got.returncode, 0, got.stderr)
        body, _, last = got.stdout.rpartition("\n")
        version, code = last.split()
        return version, int(code), body

    def test_both_versions_of_http(self):
        with Server() as server, tempfile.NamedTemporaryFile() as large:
            large.write(b'{"plaintext":"' + b"QUFB" * MIB + b'"}')
            large.flush()
            for option, version in (("--http1.1", "1.1"), ("--http2", "2")):
                url = f"{server.addr}/v1/transit"
                self.assertEqual(self.ask(server, option, f"{server.addr}/v1/sys/health")[:2], (version, 200))
                self.assertEqual(self.ask(server, option, "-X", "POST", f"{url}/keys/k")[:2], (version, 200))
                self.assertEqual(self.ask(server, option, "-X", "LIST", f"{url}/keys")[1], 200)
                self.assertEqual(self.ask(server, option, f"{url}/keys?list=true")[1], 200)
                # beyond a megabyte curl waits for 100 Continue
                got = self.ask(server, option, "--data-binary", f"@{large.name}", f"{url}/encrypt/k")
                self.assertEqual(got[:2], (version, 200))
                self.assertGreater(len(got[2]), 4 * MIB)
                self.assertEqual(self.ask(server, option, "-I", f"{server.addr}/v1/sys/health")[1], 200)
        with Server(plaintext=True) as server:
            for option, version in (("--http2", "1.1"), ("--http2-prior-knowledge", "2"), ("--http1.0", "1.1")):
                self.assertEqual(self.ask(server, option, f"{server.addr}/v1/sys/health")[:2], (version, 200))

    def test_load_on_http2(self):
        if not shutil.which("h2load"):
            self.skipTest("h2load is not installed")
        with Server() as server:
            got = subprocess.run(["h2load", "-n", "5000", "-c", "8", "-m", "20", f"{server.addr}/v1/sys/health"],
                                 capture_output=True, text=True, timeout=60)
            self.assertIn("5000 succeeded, 0 failed", got.stdout)


class Certificates(unittest.TestCase):
    def make(self, folder, name):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                        "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], check=True, capture_output=True)
        os.chmod(f"{folder}/key.pem", 0o644)  # the roles may run as another user
        return ssl.PEM_cert_to_DER_cert(Path(f"{folder}/cert.pem").read_text())

    def test_new_certificates_drop_no_connection(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            first = self.make(folder, "first")
            with Server("--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem") as server:
                def shown():
                    with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
                        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                        with context.wrap_socket(plain) as peer:
                            return peer.getpeercert(True)

                self.assertEqual(shown(), first)
                with Peer(server) as old:
                    self.assertEqual(old.send(HEALTH).answer()[0], 200)
                    second = self.make(folder, "second")
                    server.process.send_signal(signal.SIGHUP)
                    end = time.monotonic() + 10
                    seen = [shown() for _ in range(8)]
                    while any(cert != second for cert in seen) and time.monotonic() < end:
                        time.sleep(0.1)
                        seen = [shown() for _ in range(8)]  # every front
                    self.assertTrue(all(cert == second for cert in seen))
                    self.assertEqual(old.send(HEALTH).answer()[0], 200)
                    Path(f"{folder}/cert.pem").write_text("no certificate")
                    server.process.send_signal(signal.SIGHUP)
                    time.sleep(0.5)
                    self.assertEqual(shown(), second, "a bad file leaves what serves")
                    self.assertEqual(old.send(HEALTH).answer()[0], 200)

    def test_tls_1_2_is_refused(self):
        with Server() as server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
                with self.assertRaises(ssl.SSLError):
                    context.wrap_socket(plain)


class Ends(unittest.TestCase):
    def test_a_dead_core_is_a_503_and_not_a_hang(self):
        with Server() as server:
            core = server.pids()["core"][0]
            with Peer(server) as peer:
                self.assertEqual(peer.send(HEALTH).answer()[0], 200)
                os.kill(core, signal.SIGKILL)
                seen = set()
                for _ in range(200):
                    status = peer.send(HEALTH).answer()[0]
                    seen.add(status)
                    if status != 503 and not alive(core):
                        break
                    time.sleep(0.02)
                self.assertNotIn(0, seen, "the connection lives on")
                self.assertIn(status, (200, 503))

    def test_a_graceful_stop_finishes_what_is_under_way(self):
        server = Server()
        with server, Peer(server) as idle, Peer(server) as half:
            self.assertEqual(idle.send(HEALTH).answer()[0], 200)
            half.send(request("PUT /v1/sys/tools/hash HTTP/1.1", f"X-Vault-Token: {server.token}", "Content-Length: 2", body="{"))
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            self.assertTrue(idle.closed())
            time.sleep(0.2)
            status, headers, _ = half.send("}").answer()
            self.assertIn(status, (400, 404, 200))
            self.assertEqual(headers["connection"], "close")
            self.assertTrue(half.closed())
            self.assertEqual(server.process.wait(20), 0)


if __name__ == "__main__":
    unittest.main()
