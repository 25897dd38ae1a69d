#!/usr/bin/env python3
"""Clients that no one here wrote: curl over HTTP/1.1 and 2, OpenSSL 3.5's s_client for the hybrid group, h2load, a load of
wrk."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from lib import SRC, Server, b64, skip, unb64

NEW_OPENSSL = SRC / "build" / "deps" / "openssl" / "openssl"


def openssl():
    if NEW_OPENSSL.exists():
        return str(NEW_OPENSSL)
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout
    if tuple(map(int, re.match(r"OpenSSL (\d+)\.(\d+)", version).groups())) < (3, 5):
        skip("no OpenSSL 3.5 client")
    return "openssl"


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.post("transit/keys/web")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def curl(self, *args):
        done = subprocess.run(["curl", "-sS", "--cacert", self.server.cacert, "-H", f"X-Vault-Token: {self.server.token}",
                               "-w", "\n%{http_version} %{http_code}", *args], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        body, _, tail = done.stdout.rpartition("\n")
        version, code = tail.split()
        return version, int(code), json.loads(body) if body.strip() else {}

    def test_curl_http1_and_http2(self):
        for flag, version in (("--http1.1", "1.1"), ("--http2", "2")):
            url = f"{self.server.addr}/v1/transit/encrypt/web"
            spoken, code, body = self.curl(flag, "-X", "POST", "-d", json.dumps({"plaintext": b64(b"x")}), url)
            self.assertEqual((spoken, code), (version, 200))
            url = f"{self.server.addr}/v1/transit/decrypt/web"
            spoken, code, body = self.curl(flag, "-d", json.dumps({"ciphertext": body["data"]["ciphertext"]}), url)
            self.assertEqual((spoken, code, unb64(body["data"]["plaintext"])), (version, 200, b"x"))
            _, code, body = self.curl(flag, "-X", "LIST", f"{self.server.addr}/v1/transit/keys")
            self.assertIn("web", body["data"]["keys"])
            _, code, body = self.curl(flag, f"{self.server.addr}/v1/transit/keys?list=true")
            self.assertIn("web", body["data"]["keys"])

    def test_curl_large_body_and_many_on_one_connection(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            payload = os.urandom(8 << 20)
            json.dump({"plaintext": b64(payload)}, file)
            file.flush()
            for flag in ("--http1.1", "--http2"):
                _, code, body = self.curl(flag, "-d", f"@{file.name}", f"{self.server.addr}/v1/transit/encrypt/web")
                self.assertEqual(code, 200)
                opened = self.server.post("transit/decrypt/web", {"ciphertext": body["data"]["ciphertext"]})
                self.assertEqual(unb64(opened.data["plaintext"]), payload)

    def s_client(self, *args):
        host = f"127.0.0.1:{self.server.port}"
        done = subprocess.run([openssl(), "s_client", "-connect", host, "-CAfile", self.server.cacert, *args],
                              input=b"GET /v1/sys/health HTTP/1.0\r\n\r\n", capture_output=True, timeout=20)
        return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")

    def test_openssl_hybrid_group(self):
        said = self.s_client("-brief")
        self.assertIn("X25519MLKEM768", said)
        self.assertIn("TLSv1.3", said)
        self.assertRegex(said, "Verification: OK")
        classical = self.s_client("-brief", "-groups", "X25519")
        self.assertRegex(classical, "X25519")
        self.assertRegex(self.s_client("-groups", "P-256", "-brief"), "prime256v1|P-256|secp256r1")
        metrics = self.server.get("sys/metrics").raw.decode()
        self.assertIn('transport="quantum-resilient"', metrics)

    def test_what_is_not_tls_1_3_is_refused(self):
        for old in ("-tls1_2",):
            self.assertNotIn("Verification: OK", self.s_client("-brief", old))
        self.assertRegex(self.s_client("-groups", "P-521", "-brief"), "alert|error|failure")

    def test_classical_connections_are_marked(self):
        before = self.server.get("sys/metrics").raw.decode()
        done = subprocess.run([openssl(), "s_client", "-connect", f"127.0.0.1:{self.server.port}", "-groups", "X25519", "-quiet",
                               "-CAfile", self.server.cacert], capture_output=True, timeout=20,
                              input=f"GET /v1/transit/keys/web HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {self.server.token}\r\n"
                                    f"Connection: close\r\n\r\n".encode())
        self.assertIn(b"200 OK", done.stdout)
        number = r'holdfast_calls_total\{transport="quantum-vulnerable"\} (\d+)'
        after = self.server.get("sys/metrics").raw.decode()
        self.assertGreater(int(re.search(number, after)[1]), int(re.search(number, before)[1]))

    def test_h2load(self):
        if not shutil.which("h2load"):
            skip("h2load is not installed")
        done = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "20", "-H", f"X-Vault-Token: {self.server.token}",
                               f"{self.server.addr}/v1/transit/keys/web"], capture_output=True, text=True, timeout=60)
        self.assertIn("2000 succeeded", done.stdout)
        self.assertIn("2000 2xx", done.stdout)

    def test_a_load_of_wrk(self):
        if not shutil.which("wrk"):
            skip("wrk is not installed")
        script = f"""
wrk.method = "POST"
wrk.headers["X-Vault-Token"] = "{self.server.token}"
wrk.body = '{{"plaintext":"{b64(b"0123456789abcdef0123456789abcdef")}"}}'
local bad = 0
response = function(status, headers, body)
  if status ~= 200 or not body:find('"ciphertext":"vault:v1:') then bad = bad + 1 end
  if bad > 0 then io.stderr:write("bad ", status, " ", body, "\\n") os.exit(1) end
end
"""
        with tempfile.TemporaryDirectory() as folder:
            lua = Path(folder) / "load.lua"
            lua.write_text(script)
            done = subprocess.run(["wrk", "-t", "2", "-c", "32", "-d", "3s", "-s", str(lua),
                                   f"{self.server.addr}/v1/transit/encrypt/web"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("Non-2xx", done.stdout)
        self.assertNotIn("Socket errors", done.stdout)
        self.assertGreater(int(re.search(r"(\d+) requests in", done.stdout)[1]), 1000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
