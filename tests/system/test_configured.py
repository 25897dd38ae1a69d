#!/usr/bin/env python3
"""A configured server, as in production: ML-DSA and classical certificates side by side, post-quantum client certificates, the
strict audit, rates; a store that hangs; what the front keeps of what passed through it."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lib import BIN, Answer, Server, alive, b64, skip
from test_scan import search_memory
from test_clients import openssl


class Configured(Server):
    """holdfastd --config, initialised with one share."""

    def __init__(self, more="", certs=("ec",), on_state=lambda state: None):
        super().__init__(wait=False)
        state = self.dir / "state"
        state.mkdir()
        on_state(state)
        state.chmod(0o700)
        names = []
        for kind in certs:
            cert, key = self.dir / f"{kind}.crt", self.dir / f"{kind}.key"
            options = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "mldsa": ["-newkey", "ML-DSA-65"]}[kind]
            subprocess.run([openssl(), "req", "-x509", *options, "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
                            f"/CN={kind}", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
            names.append((cert, key))
        with __import__("socket").socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = self.dir / "holdfast.hcl"
        config.write_text(f"""
storage "sqlite" {{ path = "{state}/holdfast.db" }}
listener "tcp" {{
  address = "127.0.0.1:{self.port}"
  tls_cert_file = {json.dumps([str(c) for c, _ in names])}
  tls_key_file = {json.dumps([str(k) for _, k in names])}
}}
{more}
""")
        self.addr, self.cacert, self.token = f"https://127.0.0.1:{self.port}", str(names[0][0]), ""
        self.env = {"HOLDFAST_ADDR": self.addr, "HOLDFAST_CACERT": self.cacert}
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([str(BIN / "holdfastd"), "--config", str(config)], stderr=self.log,
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self.wait_ready(20, (501,)), self.log_path.read_text()
        made = self.put("sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="").json
        self.token, self.keys = made["root_token"], made["keys_base64"]
        assert self.put("sys/unseal", {"key": self.keys[0]}, token="").json["sealed"] is False
        assert self.post("sys/mounts/transit", {"type": "transit"}).status == 204


class Production(unittest.TestCase):
    def s_client(self, server, *args, text="GET /v1/sys/health HTTP/1.0\r\n\r\n"):
        done = subprocess.run([openssl(), "s_client", "-connect", f"127.0.0.1:{server.port}", *args], input=text.encode(),
                              capture_output=True, timeout=20)
        return (done.stdout + done.stderr).decode(errors="replace")

    def test_ml_dsa_and_classical_side_by_side(self):
        with Configured(certs=("ec", "mldsa")) as server:
            quantum = self.s_client(server, "-sigalgs", "mldsa65", "-CAfile", str(server.dir / "mldsa.crt"), "-brief")
            self.assertIn("Verification: OK", quantum)
            self.assertRegex(quantum, "CN ?= ?mldsa")
            self.assertIn("X25519MLKEM768", quantum)
            classical = self.s_client(server, "-sigalgs", "ecdsa_secp256r1_sha256", "-CAfile", str(server.dir / "ec.crt"), "-brief")
            self.assertIn("Verification: OK", classical)
            self.assertRegex(classical, "CN ?= ?ec")
            self.assertIsNone(server.get("sys/health").headers["X-Holdfast-Level"])

    def test_post_quantum_client_certificate(self):
        with Configured() as server:
            cert, key = server.dir / "client.crt", server.dir / "client.key"
            subprocess.run([openssl(), "req", "-x509", "-newkey", "ML-DSA-65", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                            "-subj", "/CN=robot", "-addext", "extendedKeyUsage=clientAuth"], check=True, capture_output=True)
            self.assertEqual(server.post("sys/auth/cert", {"type": "cert"}).status, 204)
            server.post("auth/cert/certs/robot", {"certificate": cert.read_text(), "token_policies": "default"})
            asked = "POST /v1/auth/cert/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
            said = self.s_client(server, "-cert", str(cert), "-key", str(key), "-quiet", "-CAfile", server.cacert, text=asked)
            self.assertIn('"client_token":"hvs.', said)
            stranger = self.s_client(server, "-quiet", "-CAfile", server.cacert, text=asked)
            self.assertNotIn("client_token", stranger)

    def test_the_command_logs_in_by_certificate(self):
        with Configured() as server:
            cert, key = server.dir / "client.crt", server.dir / "client.key"
            subprocess.run([openssl(), "req", "-x509", "-newkey", "ML-DSA-65", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                            "-subj", "/CN=robot", "-addext", "extendedKeyUsage=clientAuth"], check=True, capture_output=True)
            server.post("sys/auth/cert", {"type": "cert"})
            server.post("auth/cert/certs/robot", {"certificate": cert.read_text(), "token_policies": "default"})
            token = server.command("login", "cert", "--client-cert", str(cert), "--client-key", str(key)).stdout.decode().strip()
            self.assertEqual(server.get("auth/token/lookup-self", token=token).status, 200)

    def test_strict_audit(self):
        with Configured('audit_durability = "strict"') as server:
            server.post("transit/keys/k")
            sealed = server.post("transit/encrypt/k", {"plaintext": b64(b"x")})
            self.assertEqual(sealed.status, 200)
            everybody = [pid for pids in server.pids().values() for pid in pids]
            for pid in everybody:
                os.kill(pid, signal.SIGKILL)
            server.process.wait()
            while any(alive(pid) for pid in everybody[1:]): # the store holds its file till it is gone
                time.sleep(0.01)
            database = server.dir / "state" / "holdfast.db"
            done = subprocess.run([str(BIN / "holdfast"), "doctor", str(database)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def at_once(self, server, count):
        """Statuses of requests that are all sent before the first is answered, however slow this machine is."""
        with socket.create_connection(("127.0.0.1", server.port), 20) as raw:
            with server.context().wrap_socket(raw, server_hostname="127.0.0.1") as tls:
                tls.sendall(b"GET /v1/sys/health HTTP/1.1\r\nHost: localhost\r\n\r\n" * (count - 1) +
                            b"GET /v1/sys/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                text = b""
                while part := tls.recv(65536):
                    text += part
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", text)
        self.assertEqual(len(statuses), count)
        return [status.decode() for status in statuses]

    def test_rate_of_a_source(self):
        with Configured("limits { requests_per_second = 20 }") as server:
            time.sleep(1.1)
            statuses = self.at_once(server, 60)
            self.assertIn("429", statuses)
            self.assertGreaterEqual(statuses.count("200"), 20)
            time.sleep(1.1)
            self.assertEqual(server.get("sys/health").status, 200)

    def test_a_store_that_hangs(self):
        with Configured() as server:
            server.post("transit/keys/k")
            server.post("transit/encrypt/k", {"plaintext": b64(b"x")})
            store = server.pids()["store"][0]
            os.kill(store, signal.SIGSTOP)
            began = time.monotonic()
            asked = {"key": ("POST", "transit/keys/new"), "list": ("LIST", "transit/keys"),
                     "status": ("GET", "sys/seal-status"), "policy": ("GET", "sys/policies/acl/none")}
            with ThreadPoolExecutor(len(asked)) as pool:
                answers = {name: pool.submit(lambda c: (server.call(*c, timeout=60).status, time.monotonic() - began), call)
                           for name, call in asked.items()}
                answers = {name: answer.result() for name, answer in answers.items()}
            for name, (status, seconds) in answers.items():
                self.assertIn(status, (200, 404, 503) if name == "policy" else (200, 503), (name, answers))
                self.assertLess(seconds, 16, (name, answers))
            # It is killed and started again, and nobody had to do anything.
            end = began + 20
            while server.post("transit/keys/after", timeout=60).status != 200:
                self.assertLess(time.monotonic(), end, "writes do not come back")
                time.sleep(0.1)
            self.assertEqual(server.post("transit/encrypt/k", {"plaintext": b64(b"x")}).status, 200)
            self.assertNotEqual(server.pids()["store"][0], store)
            log = server.log_path.read_text()
            self.assertRegex(log, '"supervisor.hung".*"process":"store"')
            self.assertNotRegex(log, '"supervisor.hung".*"process":"(core|front)"')
            self.assertRegex(log, '"store.failing".*"STORE_DOWN"')

    def test_a_full_disk(self):
        if os.geteuid() != 0:
            skip("mounting takes root")

        def mount(state):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "holdfast-test", str(state)], check=True)
            self.addCleanup(subprocess.run, ["umount", "-l", str(state)], capture_output=True)

        with Configured(on_state=mount) as server:
            server.post("transit/keys/k")
            sealed = server.post("transit/encrypt/k", {"plaintext": b64(b"kept")}).data["ciphertext"]
            (server.dir / "state" / "ballast").write_bytes(bytes(6 << 20))
            made, full = [], None
            for i in range(20000):
                answer = server.post(f"transit/keys/n{i}")
                if answer.status != 200:
                    full = answer
                    break
                made.append(f"n{i}")
            self.assertIsNotNone(full, "the disk did not fill")
            self.assertIn(full.status, (503, 507), full.raw)
            self.assertIn("storage is full", full.errors[0])
            for i in range(50):
                server.post(f"transit/keys/more{i}")
            log = server.log_path.read_text()
            self.assertRegex(log, '"store.failing".*"STORE_FULL"')
            self.assertLess(log.count('"store.failing"'), 8, "as many lines as failures")
            self.assertEqual(server.get("sys/seal-status", token="").json["sealed"], False)
            (server.dir / "state" / "ballast").unlink()
            end = time.monotonic() + 30
            while server.post("transit/keys/after").status != 200:
                self.assertLess(time.monotonic(), end, "writes do not come back once there is room")
                time.sleep(0.1)
            self.assertEqual(server.post("transit/decrypt/k", {"ciphertext": sealed}).data["plaintext"], b64(b"kept"))
            end = time.monotonic() + 10
            while '"store.well_again"' not in server.log_path.read_text():
                self.assertLess(time.monotonic(), end, "the log does not say that it is well again")
                server.post("transit/keys/after")
                time.sleep(0.2)
            there = set(server.call("LIST", "transit/keys").data["keys"])
            self.assertEqual([name for name in made if name not in there], [])


class Wiped(unittest.TestCase):
    def test_the_front_keeps_nothing_of_what_passed(self):
        if os.geteuid() != 0:
            skip("only root may read another process's memory")
        with Server() as server:
            server.post("transit/keys/k")
            payload, token = os.urandom(48), server.post("auth/token/create", {"policies": ["root"]}).json["auth"]["client_token"]
            key = None
            for _ in range(20):
                sealed = server.post("transit/encrypt/k", {"plaintext": b64(payload)}, token=token)
                self.assertEqual(sealed.status, 200)
                made = server.post("transit/datakey/plaintext/k", {}, token=token).data
                key = made["plaintext"]
            time.sleep(0.3)
            wanted = {"payload in base64": b64(payload).encode(), "payload": payload, "token": token.encode(),
                      "data key in base64": key.encode()}
            hits = []
            for role in ("front", "core", "store"):
                for pid in server.pids()[role]:
                    found, read = search_memory(pid, wanted, f"{role} {pid}")
                    self.assertGreater(read, 1 << 20)
                    hits += found
            self.assertEqual(hits, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
