#!/usr/bin/env python3
"""Rows of a stopped server's database put back to what they were: the records alone, or the audit log alone. Each is whole in
itself, its heads are sealed and fit; the other one tells."""
import json
import shutil
import signal
import sqlite3
import subprocess
import time
import unittest

from lib import BIN
from test_configured import Configured

RECORDS, AUDIT = ("record", "head", "change"), ("audit_log", "audit_head", "audit_batch")


def start_again(server):
    config = server.dir / "holdfast.hcl"
    server.log = open(server.log_path, "ab")
    server.process = subprocess.Popen([str(BIN / "holdfastd"), "--config", str(config)], stderr=server.log,
                                      stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert server.wait_ready(20, (503,)), server.log_path.read_text()
    return server.put("sys/unseal", {"key": server.keys[0]}, token="")


class PutBack(unittest.TestCase):
    def database(self, server):
        return server.dir / "state" / "holdfast.db"

    def keep(self, server, name):
        """A copy of the stopped server's database, with what lies in its log."""
        server.stop()
        whole = sqlite3.connect(self.database(server))
        whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole.close()
        copy = server.dir / name
        shutil.copyfile(self.database(server), copy)
        return copy

    def put_back(self, server, copy, tables):
        db = sqlite3.connect(self.database(server), isolation_level=None)
        db.execute("ATTACH ? AS old", (str(copy),))
        db.execute("BEGIN")
        for table in tables:
            db.execute(f"DELETE FROM main.{table}")
            db.execute(f"INSERT INTO main.{table} SELECT * FROM old.{table}")
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    def refused(self, server, answer, words):
        said = json.dumps(answer.json)
        self.assertNotEqual(answer.json.get("sealed"), False, said)
        self.assertNotEqual(server.get("sys/health", token="").status, 200)
        log = server.log_path.read_text()
        self.assertIn(words, said + log)
        return said + log

    def test_each_alone_is_found(self):
        with Configured() as server:
            server.put("sys/policies/acl/gone", {"policy": 'path "transit/*" { capabilities = ["read"] }'})
            token = server.post("auth/token/create", {"policies": ["gone"]}).json["auth"]["client_token"]
            self.assertEqual(server.get("auth/token/lookup-self", token=token).status, 200)
            time.sleep(1.2)
            old = self.keep(server, "old.db")
            self.assertIs(start_again(server).json["sealed"], False)
            self.assertEqual(server.call("DELETE", "sys/policies/acl/gone").status, 204)
            self.assertEqual(server.post("auth/token/revoke", {"token": token}).status, 204)
            new = self.keep(server, "new.db")

            self.put_back(server, old, RECORDS)
            said = self.refused(server, start_again(server), "the records are older than the audit log")
            self.assertRegex(said, r"the records are older than the audit log: [1-9][0-9]* changes are missing")
            server.stop()

            # With the log's head as well, so that only its entries are new.
            self.put_back(server, new, RECORDS + AUDIT)
            self.put_back(server, old, RECORDS + ("audit_head",))
            self.refused(server, start_again(server), "the records are older than the audit log")
            server.stop()

            self.put_back(server, new, RECORDS + AUDIT)
            self.put_back(server, old, AUDIT)
            said = self.refused(server, start_again(server), "the audit log is older than the records")
            self.assertRegex(said, r"the audit log is older than the records: [1-9][0-9]* entries are missing")
            server.stop()

            self.put_back(server, new, AUDIT)
            self.assertIs(start_again(server).json["sealed"], False)
            self.assertEqual(server.get("sys/policies/acl/gone").status, 404)
            self.assertEqual(server.get("auth/token/lookup-self", token=token).status, 403)

    def test_a_killed_server_is_not_suspected(self):
        with Configured() as server:
            for round in range(4):
                for i in range(12):
                    self.assertLess(server.post(f"transit/keys/k{round}-{i}").status, 300)
                time.sleep(0.3 * round)
                server.stop(signal.SIGKILL)
                end = time.monotonic() + 10
                while any(server.pids().get(role) for role in ("core", "store")) and time.monotonic() < end:
                    time.sleep(0.05)
                time.sleep(0.5)
                self.assertIs(start_again(server).json["sealed"], False)
                self.assertEqual(len(server.call("LIST", "transit/keys").data["keys"]), 12 * (round + 1))


if __name__ == "__main__":
    unittest.main()
