#!/usr/bin/env python3
"""Each role is killed with -9 under load, a hundred times: no acknowledged write is lost, no request hangs, no secret is
written, and what the server says meanwhile is 503 or a closed connection."""
# parts: Kill.test_front Kill.test_core Kill.test_store Kill.test_supervisor_takes_all_with_it
import http.client
import os
import random
import signal
import ssl
import threading
import time
import unittest

from lib import Server, alive, b64

ROUNDS = int(os.environ.get("HF_KILL_ROUNDS", "100"))
REQUEST_SECONDS_MAX = 20
WRITERS, READERS = 3, 3


class Client(threading.Thread):
    """Goes on through every failure; notes what was acknowledged, and whether anything hung or lied."""

    def __init__(self, test, number):
        super().__init__(daemon=True)
        self.test, self.number = test, number
        self.acknowledged, self.wrong, self.slowest, self.refused = [], [], 0.0, 0
        self.connection = None

    def request(self, method, path, body):
        if self.connection is None:
            self.connection = http.client.HTTPSConnection("127.0.0.1", self.test.server.port, timeout=REQUEST_SECONDS_MAX,
                                                          context=self.test.context)
        began = time.monotonic()
        try:
            self.connection.request(method, "/v1/" + path, body, {"X-Vault-Token": self.test.server.token})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except TimeoutError:
            self.wrong.append(f"{method} {path} hung")
            self.connection = None
        except (OSError, http.client.HTTPException, ssl.SSLError):
            self.connection.close()
            self.connection = None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
        return None, b""

    def run(self):
        count = 0
        while not self.test.stop.is_set():
            count += 1
            name = f"w{self.number}-{count}"
            if self.number < WRITERS:
                status, body = self.request("POST", f"transit/keys/{name}", "{}")
                if status == 200:
                    self.acknowledged.append(name)
            else:
                status, body = self.request("POST", "transit/encrypt/steady", '{"plaintext":"aGVsbG8="}')
            if status not in (None, 200, 204, 503):
                self.wrong.append(f"{status}: {body[:200]!r}")
            if status in (None, 503):
                self.refused += 1
                time.sleep(0.01)


class Kill(unittest.TestCase):
    def kill_rounds(self, role):
        with Server() as server:
            self.server, self.stop = server, threading.Event()
            self.context = server.context()
            self.assertEqual(server.post("transit/keys/steady").status, 200)
            clients = [Client(self, i) for i in range(WRITERS + READERS)]
            for client in clients:
                client.start()
            restarts = 0
            while restarts < ROUNDS:
                time.sleep(random.uniform(0.05, 0.45)) # some before it has settled, most after
                pids = server.pids().get(role, [])
                if not pids: # its restart waits
                    continue
                os.kill(random.choice(pids), signal.SIGKILL)
                restarts += 1
                if role == "core":
                    self.back_unsealed()
            self.stop.set()
            for client in clients:
                client.join(REQUEST_SECONDS_MAX + 5)
                self.assertFalse(client.is_alive(), "a request hangs")
            if role == "core":
                self.back_unsealed()
            self.assertTrue(server.wait_ready(20), "the server did not come back")
            self.writes_come_back()
            self.assertNotIn('"signal":"SYS"', server.log_path.read_text(), "a sandbox killed a process")
            wrong = [w for c in clients for w in c.wrong]
            self.assertEqual(wrong, [])
            acknowledged = [name for c in clients for name in c.acknowledged]
            self.assertGreater(len(acknowledged), 0)
            listed = server.call("LIST", "transit/keys")
            self.assertEqual(listed.status, 200, listed.raw)
            there = set(listed.data["keys"])
            lost = [name for name in acknowledged if name not in there]
            self.assertEqual(lost, [], "acknowledged keys are gone")
            for name in random.sample(acknowledged, min(20, len(acknowledged))):
                self.assertEqual(server.post(f"transit/encrypt/{name}", {"plaintext": b64(b"x")}).status, 200)
            self.assertEqual(server.get("audit/checkpoint?fresh=true").status, 200)
            log = server.log_path.read_bytes() + b"".join(p.read_bytes() for p in (server.dir / "state").rglob("*")
                                                         if p.is_file())
            for secret in (server.token.encode(), *(k.encode() for k in server.keys)):
                found = [p for p in (server.dir / "state").rglob("*") if p.is_file() and secret in p.read_bytes()
                         and "dev" not in p.name]
                self.assertEqual(found, [], "a secret was written")
                self.assertNotIn(secret, server.log_path.read_bytes())
            print(f"{role}: {restarts} kills, {len(acknowledged)} keys acknowledged and there, slowest request "
                  f"{max(c.slowest for c in clients):.2f} s, {sum(c.refused for c in clients)} refused meanwhile")

    def writes_come_back(self):
        end = time.monotonic() + 10
        while self.server.post("transit/keys/steady/rotate").status != 200:
            self.assertLess(time.monotonic(), end, "writes do not come back")
            time.sleep(0.05)

    def back_unsealed(self):
        """The core's death seals the server; unseal it as its operators would."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                status = self.server.get("sys/seal-status", token="", timeout=5)
                if status.status == 200 and not status.json["sealed"]:
                    return
                if status.status == 200:
                    self.server.unseal(3)
                    continue
            except OSError:
                pass
            time.sleep(0.01)
        self.fail("the core did not come back")

    def test_front(self):
        self.kill_rounds("front")

    def test_core(self):
        self.kill_rounds("core")

    def test_store(self):
        self.kill_rounds("store")

    def test_supervisor_takes_all_with_it(self):
        with Server() as server:
            pids = [pid for role in server.pids().values() for pid in role]
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            end = time.monotonic() + 5
            while time.monotonic() < end and any(alive(pid) for pid in pids[1:]):
                time.sleep(0.02)
            self.assertEqual([pid for pid in pids[1:] if alive(pid)], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
