#!/usr/bin/env python3
"""The holdfast command and the development server's flags, as a user meets them."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from lib import BIN, Server, b64


def run(*args, **more):
    return subprocess.run([str(BIN / "holdfast"), *args], capture_output=True, **more)


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.folder = tempfile.TemporaryDirectory()
        cls.dir = Path(cls.folder.name)
        cls.server.command("key", "create", "files")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def path(self, name):
        return str(self.dir / name)

    def encrypted(self, size, name):
        plain = os.urandom(size)
        Path(self.path(name)).write_bytes(plain)
        self.server.command("encrypt", "files", "--in", self.path(name), "--out", self.path(name + ".hf"))
        return plain, Path(self.path(name + ".hf")).read_bytes()

    def test_sizes(self):
        for size in (0, 1, 262112 - 1, 262112, 262112 + 1, 1 << 20, 5_000_003):
            plain, sealed = self.encrypted(size, f"s{size}")
            self.assertTrue(sealed.startswith(b"HFF1"))
            if size > 32:
                self.assertNotIn(plain[:32], sealed)
            out = self.server.command("decrypt", "--in", self.path(f"s{size}.hf")).stdout
            self.assertEqual(out, plain)

    def test_pipes(self):
        plain = os.urandom(3_000_000)
        sealed = self.server.command("encrypt", "files", input=plain).stdout
        self.assertEqual(self.server.command("decrypt", input=sealed).stdout, plain)

    def test_range(self):
        plain, _ = self.encrypted(2_000_000, "range")
        for start, end in ((0, 10), (262000, 263000), (1_999_990, 2_000_000), (0, 2_000_000), (524224, 524225), (7, 7)):
            out = self.server.command("decrypt", "--in", self.path("range.hf"), "--range", f"{start}-{end}").stdout
            self.assertEqual(out, plain[start:end])

    def test_a_range_past_the_end_is_refused(self):
        self.encrypted(1000, "short")
        for beyond in ("1000-1001", "1000-", "1001-1001", "5000-6000"):
            done = self.server.command("decrypt", "--in", self.path("short.hf"), "--range", beyond, check=False)
            self.assertEqual(done.returncode, 7, beyond)
            self.assertEqual(done.stdout, b"")
        self.encrypted(0, "empty")
        self.assertEqual(self.server.command("decrypt", "--in", self.path("empty.hf"), "--range", "0-").stdout, b"")
        self.assertIn(b"TO is exclusive", run("help", "decrypt").stdout)

    def test_alterations_are_found(self):
        plain, sealed = self.encrypted(900_000, "bad")
        body = sealed.index(b"vault:v1:") + 9
        segment = 262144
        start = len(sealed) - (900_000 + 32 * 4)
        cut = [sealed[:-1], sealed[:-1000], sealed[:start + segment], sealed[:start + segment * 2], sealed[:start], sealed[:40],
               sealed + b"x", sealed[:start] + sealed[start + segment:start + 2 * segment] + sealed[start:start + segment] +
               sealed[start + 2 * segment:]]
        for at in (5, start - 3, start + 100, start + segment + 7, len(sealed) - 5):
            flipped = bytearray(sealed)
            flipped[at] ^= 1
            cut.append(bytes(flipped))
        for i, bad in enumerate(cut):
            Path(self.path("bad.hf")).write_bytes(bad)
            out = Path(self.path("bad.out"))
            done = self.server.command("decrypt", "--in", self.path("bad.hf"), "--out", str(out), check=False)
            self.assertNotEqual(done.returncode, 0, i)
            self.assertFalse(out.exists(), f"{i}: a file that does not hold was written")
            self.assertEqual([p for p in self.dir.iterdir() if "partial" in p.name], [])
        self.assertGreater(body, 0)

    def test_rewrap(self):
        plain, _ = self.encrypted(500_000, "re")
        self.server.command("key", "rotate", "files")
        self.server.command("rewrap", "files", "--in", self.path("re.hf"), "--out", self.path("re2.hf"))
        self.assertIn(b"vault:v2:", Path(self.path("re2.hf")).read_bytes()[:400])
        self.assertEqual(self.server.command("decrypt", "--in", self.path("re2.hf")).stdout, plain)
        lines = [self.server.post("transit/encrypt/files", {"plaintext": b64(b"%d" % i), "key_version": 1}).data["ciphertext"]
                 for i in range(5)]
        out = self.server.command("rewrap", "files", input="\n".join(lines).encode()).stdout.decode().split()
        self.assertEqual(len(out), 5)
        self.assertTrue(all(line.startswith("vault:v2:") for line in out))

    def test_constant_memory(self):
        """A file of a GiB takes no more than 16 MiB, either way."""
        big, sealed = self.path("big"), self.path("big.hf")
        with open(big, "wb") as file:
            file.truncate(1 << 30)
        try:
            for args in (("encrypt", "files", "--in", big, "--out", sealed), ("decrypt", "--in", sealed, "--out", self.path("again"))):
                process = subprocess.Popen([str(BIN / "holdfast"), *args], env={**os.environ, **self.server.env})
                peak = 0
                while process.poll() is None:
                    with contextlib.suppress(OSError):
                        status = Path(f"/proc/{process.pid}/status").read_text()
                        peak = max([peak, *(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+)", status) if "Name:\tholdfast" in status)])
                    time.sleep(0.005)
                self.assertEqual(process.returncode, 0)
                self.assertGreater(peak, 0)
                self.assertLessEqual(peak, 16 << 10, args[0])
            self.assertEqual(subprocess.run(["cmp", big, self.path("again")]).returncode, 0)
        finally:
            for name in (big, sealed, self.path("again")):
                Path(name).unlink(missing_ok=True)


class Command(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_exit_codes(self):
        self.assertEqual(run("nonsense").returncode, 2)
        self.assertEqual(run("key", "list", "--address", "https://127.0.0.1:1").returncode, 4)
        self.assertEqual(self.server.command("key", "read", "none", check=False).returncode, 6)
        self.assertEqual(self.server.command("key", "list", check=False, env={"HOLDFAST_TOKEN": "hvs.nope"}).returncode, 5)
        untrusted = run("status", "--address", self.server.addr, env={**os.environ, "HOLDFAST_CACERT": "", "VAULT_CACERT": ""})
        self.assertEqual(untrusted.returncode, 4)

    def test_vault_variables_are_honoured(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "HOLDFAST_"))}
        env.update({k: v for k, v in self.server.env.items() if k.startswith("VAULT_")})
        done = run("token", "lookup", "-o", "json", env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("root", json.loads(done.stdout)["data"]["policies"])

    def test_sign_and_verify_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            document, signature = Path(folder) / "d", Path(folder) / "d.sig"
            document.write_bytes(b"contract")
            self.server.command("key", "create", "pen", "--type", "hybrid")
            self.server.command("sign", "pen", "--in", str(document), "--out", str(signature))
            good = self.server.command("verify", "pen", "--in", str(document), "--signature", str(signature))
            self.assertIn(b"valid", good.stdout)
            document.write_bytes(b"contract.")
            bad = self.server.command("verify", "pen", "--in", str(document), "--signature", str(signature), check=False)
            self.assertEqual(bad.returncode, 7)

    def test_a_share_is_never_an_argument(self):
        self.server.command("seal")
        refused = self.server.command("unseal", self.server.keys[0], check=False)
        self.assertEqual(refused.returncode, 2)
        for key in self.server.keys[:3]:
            reader, writer = os.pipe()
            os.write(writer, key.encode() + b"\n")
            os.close(writer)
            done = self.server.command("unseal", "--share-fd", str(reader), pass_fds=(reader,))
            os.close(reader)
            self.assertNotIn(key.encode(), done.stdout + done.stderr)
        self.assertEqual(self.server.command("status").returncode, 0)

    def test_surplus_arguments_are_refused(self):
        """By every command, before it does anything: `token revoke OTHER` once revoked the caller's own token."""
        listed = re.findall(r"^  ([a-z][a-z -]*?) {2,}", run("help").stdout.decode().split("options for all")[0], re.M)
        self.assertGreater(len(listed), 40)
        for name in listed:
            if name != "write": # takes as many as there are fields
                done = self.server.command(*name.split(), "a", "b", "c", "surplus", check=False)
                self.assertEqual(done.returncode, 2, name)
                self.assertIn(b"usage: holdfast", done.stderr, name)
        for name in ("seal", "token revoke", "token renew", "token lookup", "key list", "decrypt", "init"):
            done = self.server.command(*name.split(), "hvs.other", check=False)
            self.assertEqual(done.returncode, 2, name)
            self.assertNotIn(b"hvs.other", done.stdout + done.stderr)
        self.assertEqual(self.server.command("status").returncode, 0)
        self.assertEqual(self.server.command("token", "lookup").returncode, 0)

    def test_another_token_comes_by_a_descriptor(self):
        made = json.loads(self.server.command("token", "create", "--ttl", "1h", "--policy", "default", "-o", "json").stdout)["auth"]
        other = made["client_token"].encode() + b"\n"
        seen = json.loads(self.server.command("token", "lookup", "--token-fd", "0", "-o", "json", input=other).stdout)["data"]
        self.assertEqual(seen["accessor"], made["accessor"])
        self.server.command("token", "renew", "--token-fd", "0", input=other)
        self.server.command("token", "revoke", "--token-fd", "0", input=other)
        self.assertNotEqual(self.server.command("token", "lookup", "--token-fd", "0", check=False, input=other).returncode, 0)
        self.assertEqual(self.server.command("token", "lookup").returncode, 0)
        none = self.server.command("token", "revoke", "--token-fd", "0", check=False, input=b"")
        self.assertNotEqual(none.returncode, 0)
        both = self.server.command("token", "revoke", "--token-fd", "0", "--accessor", "x", check=False, input=other)
        self.assertEqual(both.returncode, 2)
        self.assertEqual(self.server.command("token", "lookup").returncode, 0)

    def test_audit_offline(self):
        with tempfile.TemporaryDirectory() as folder:
            log, checkpoint, keys = (str(Path(folder) / n) for n in ("log", "checkpoint", "keys"))
            self.server.command("key", "create", "audited")
            self.server.command("audit", "export", "--out", log, "--checkpoint", checkpoint, "--keys", keys)
            offline = {"HOLDFAST_ADDR": "https://127.0.0.1:1", "VAULT_ADDR": ""}
            verify = ("audit", "verify", "--export", log, "--checkpoint", checkpoint, "--keys", keys)
            good = self.server.command(*verify, env=offline)
            self.assertIn(b"the log holds", good.stdout)
            raw = bytearray(Path(log).read_bytes())
            raw[len(raw) // 3] ^= 4
            Path(log).write_bytes(raw)
            bad = self.server.command(*verify, env=offline, check=False)
            self.assertEqual(bad.returncode, 7)
            self.assertRegex(bad.stdout.decode(), r"entr(y|ies) \d+|entries")

    def test_backup_restore_doctor(self):
        with tempfile.TemporaryDirectory() as folder, Server("--dev-uninit") as server:
            made = server.put("sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="").json
            server.token = made["root_token"]
            server.put("sys/unseal", {"key": made["keys"][0]}, token="")
            server.post("sys/mounts/transit", {"type": "transit"})
            server.post("transit/keys/kept")
            sealed = server.post("transit/encrypt/kept", {"plaintext": b64(b"kept")}).data["ciphertext"]
            database = next((server.dir / "state").rglob("*.db"))
            backup, restored = Path(folder) / "backup", Path(folder) / "state"
            self.assertEqual(run("backup", str(database), "--out", str(backup)).returncode, 0)
            server.post("transit/keys/later")
            raw = backup.read_bytes()
            for bad in (raw[:-1], raw[:len(raw) // 2], raw[:100] + bytes([raw[100] ^ 1]) + raw[101:]):
                damaged = Path(folder) / "damaged"
                damaged.write_bytes(bad)
                self.assertEqual(run("restore", "--in", str(damaged), "--to", str(Path(folder) / "no.db")).returncode, 7)
                self.assertFalse((Path(folder) / "no.db").exists())
            restored.mkdir()
            target = restored / database.name
            self.assertEqual(run("restore", "--in", str(backup), "--to", str(target)).returncode, 0)
            self.assertEqual(run("doctor", str(target)).returncode, 0)
            server.stop()
            database.unlink()
            for extra in database.parent.glob(database.name + "-*"):
                extra.unlink()
            target.rename(database)
            server.start()
            server.token = made["root_token"]
            server.put("sys/unseal", {"key": made["keys"][0]}, token="")
            self.assertEqual(server.post("transit/decrypt/kept", {"ciphertext": sealed}).data["plaintext"], b64(b"kept"))
            self.assertEqual(server.get("transit/keys/later").status, 404)

    def test_doctor_finds_what_was_altered(self):
        with tempfile.TemporaryDirectory() as folder, Server("--dev-uninit") as server:
            made = server.put("sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="").json
            server.token = made["root_token"]
            server.put("sys/unseal", {"key": made["keys"][0]}, token="")
            server.post("sys/mounts/transit", {"type": "transit"})
            database = next((server.dir / "state").rglob("*.db"))
            early = Path(folder) / "early.db"
            self.assertEqual(run("backup", str(database), "--out", str(early) + ".backup").returncode, 0)
            self.assertEqual(run("restore", "--in", str(early) + ".backup", "--to", str(early)).returncode, 0)
            for name in ("one", "two"):
                server.post(f"transit/keys/{name}")
            entries = 0
            while entries < 5000:  # from 4096 entries on, nodes of the log's tree are stored
                server.command("bench", "--seconds", "1", "--connections", "8", "--key", "one")
                with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as rows:
                    entries = rows.execute("SELECT sum(n) FROM audit_batch").fetchone()[0]
            busy = run("doctor", str(database))
            self.assertNotEqual(busy.returncode, 0)
            server.stop()
            sound = run("doctor", str(database))
            self.assertEqual(sound.returncode, 0, sound)
            self.assertIn(b"not checked without keys", sound.stdout)
            self.assertNotIn(b"is whole", sound.stdout)
            self.assertNotIn(b"of an older feed", sound.stdout)
            self.assertRegex(sound.stdout, rb"audit: \d{4,} entries of these give the tree's nodes")
            backup = Path(folder) / "backup"
            self.assertEqual(run("backup", str(database), "--out", str(backup)).returncode, 0)
            told = run("doctor", str(backup))
            self.assertEqual(told.returncode, 7)
            self.assertIn(b"this is a backup", told.stderr)
            leaf = "CAST(substr(blob,1,60)||x'AA55AA55AA55AA55'||substr(blob,69) AS BLOB)"
            older = f"ATTACH '{early}' AS e;" + "".join(
                f"DELETE FROM main.{t}; INSERT INTO main.{t} SELECT * FROM e.{t};" for t in ("record", "change", "head"))
            for what, says in (
                    (older, b"older than the audit log"),
                    ("DELETE FROM record WHERE tbl=1", b"seal: its row is missing"),
                    ("UPDATE record SET sealed=zeroblob(length(sealed)) WHERE tbl=1", b"seal: its row"),
                    ("DELETE FROM record WHERE tbl=2", b"keyring's row is missing"),
                    ("UPDATE record SET sealed=zeroblob(length(sealed)) WHERE tbl=2", b"keyring's row"),
                    ("UPDATE record SET sealed=substr(sealed,1,1) WHERE id=(SELECT max(id) FROM record WHERE tbl=5)",
                     b"cut off"),
                    ("CREATE TEMP TABLE k AS SELECT id,sealed FROM record WHERE tbl=5; UPDATE record SET sealed=(SELECT "
                     "sealed FROM k WHERE k.id<>record.id LIMIT 1) WHERE tbl=5", b"sealed part"),
                    ("UPDATE record SET name=CAST('three' AS BLOB) WHERE id=(SELECT max(id) FROM record WHERE tbl=5)",
                     b"altered: its name"),
                    ("UPDATE audit_batch SET blob=substr(blob,1,length(blob)-3) WHERE pos=(SELECT min(pos) FROM "
                     "audit_batch WHERE length(blob)<>512)", b"unknown form"),
                    (f"UPDATE audit_batch SET blob={leaf} WHERE pos=(SELECT pos FROM audit_batch WHERE "
                     "length(blob)<>512 ORDER BY pos LIMIT 1 OFFSET 3)",
                     b"its tree is another"),
                    ("UPDATE use_block SET reserved=0", b"use counter")):
                copy = Path(folder) / "copy.db"
                shutil.copy(database, copy)
                rows = sqlite3.connect(copy)
                rows.executescript(what)
                rows.commit()
                rows.close()
                found = run("doctor", str(copy))
                self.assertEqual(found.returncode, 7, what)
                self.assertIn(says, found.stdout, what)
                self.assertIn(b"NOT whole", found.stdout)

    def test_output_replaces_nothing_unasked(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            database = str(next((self.server.dir / "state").rglob("*.db")))
            out, link, hanging, fifo = (folder / n for n in ("out", "link", "hanging", "fifo"))
            out.write_bytes(b"before")
            link.symlink_to(out)
            hanging.symlink_to(folder / "nothing")
            os.mkfifo(fifo)
            for there in (out, link, hanging, Path(database)):
                self.assertNotEqual(run("backup", database, "--out", str(there)).returncode, 0, there)
            self.assertNotEqual(run("backup", database, "--force", "--out", database).returncode, 0)
            self.assertEqual(out.read_bytes(), b"before")
            self.assertTrue(hanging.is_symlink() and not hanging.exists())
            self.assertEqual(run("backup", database, "--out", "/dev/null").returncode, 0)
            self.assertTrue(Path("/dev/null").is_char_device())
            reader = subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE)
            self.assertEqual(run("backup", database, "--out", str(fifo)).returncode, 0)
            self.assertTrue(reader.communicate()[0].startswith(b"HOLDFAST BACKUP"))
            self.assertTrue(fifo.is_fifo())
            self.assertEqual(run("backup", database, "--force", "--out", str(link)).returncode, 0)
            self.assertTrue(link.is_symlink())
            self.assertTrue(out.read_bytes().startswith(b"HOLDFAST BACKUP"))
            self.assertEqual(out.stat().st_mode & 0o777, 0o600)
            self.server.command("key", "create", "linked")
            self.server.command("encrypt", "linked", "--out", str(link), input=b"plain")
            self.assertTrue(link.is_symlink())
            self.assertTrue(out.read_bytes().startswith(b"HFF1"))
            self.server.command("rewrap", "--in", str(out), "--out", str(link))
            plain = folder / "plain"
            plain.write_bytes(b"")
            link.unlink()
            link.symlink_to(plain)
            self.server.command("decrypt", "--in", str(out), "--out", str(link))
            self.assertTrue(link.is_symlink())
            self.assertEqual(plain.read_bytes(), b"plain")
            done = self.server.command("decrypt", "--in", str(out), "--out", str(hanging), check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(sorted(p.name for p in folder.iterdir()), ["fifo", "hanging", "link", "out", "plain"])

    def test_check_names_every_error(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "holdfast.hcl"
            file.write_text('levle = 1\nstorage "sqlite" {\n  path = 7\n}\n'
                            'listener "tcp" {\n  address = "nowhere"\n  tls = true\n}\nfronts = -1\n')
            done = subprocess.run([str(BIN / "holdfastd"), "--check", str(file)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertEqual([int(n) for n in re.findall(r"holdfast\.hcl:(\d+):\d+: ", done.stderr)], [1, 3, 6, 7, 9])

    def test_numbers_come_back_to_the_letter(self):
        numbers = b"[18446744073709551617,0.1000000000000000055511151231257827,1.10]"
        self.server.command("write", "secret/data/numbers", 'data:={"n":%s}' % numbers.decode())
        self.assertIn(numbers, self.server.command("read", "secret/data/numbers", "-o", "json").stdout.replace(b" ", b"").replace(b"\n", b""))

    def test_a_list_is_asked_for_once(self):
        self.assertEqual(self.server.get("transit/keys?list=true&list=false").status, 400)
        self.assertEqual(self.server.get("transit/keys?list=false&list=true").status, 400)

    def test_init_of_an_initialised_server_names_no_other_product(self):
        done = self.server.command("init", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"already initialized", done.stderr)
        self.assertNotIn(b"Vault", done.stderr)

    def test_completion_and_help(self):
        bash = run("completion", "bash")
        self.assertEqual(subprocess.run(["bash", "-n"], input=bash.stdout).returncode, 0)
        self.assertIn(b"encrypt", run("help").stdout)
        self.assertIn(b"--range", run("help", "decrypt").stdout)


class Development(unittest.TestCase):
    def test_ready_within_a_second(self):
        with Server() as server:
            self.assertLess(server.ready_seconds, 5)  # not a timing test: bench has the figure
            self.assertEqual(len(server.keys), 5)
            self.assertEqual(server.get("sys/seal-status", token="").headers["X-Holdfast-Level"], "dev")

    def test_state_is_kept_in_dir_or_gone(self):
        with tempfile.TemporaryDirectory() as folder:
            with Server(directory=folder) as server:
                server.post("transit/keys/kept")
            with Server(directory=folder) as server:
                self.assertEqual(server.get("transit/keys/kept").status, 200)

    def test_chosen_root_token_and_plaintext(self):
        with Server("--dev-root-token", "my-token", plaintext=True) as server:
            self.assertTrue(server.addr.startswith("http://127.0.0.1:"))
            self.assertEqual(server.get("auth/token/lookup-self", token="my-token").status, 200)

    def test_plaintext_beyond_loopback_is_refused(self):
        done = subprocess.run([str(BIN / "holdfastd"), "--dev", "--dev-plaintext", "--listen", "0.0.0.0:0"], capture_output=True,
                              timeout=20)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"loopback", done.stderr)

    def test_a_port_in_use_is_a_clear_error(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = subprocess.run([str(BIN / "holdfastd"), "--dev", "--listen", address], capture_output=True, timeout=20)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(address.encode(), done.stderr)
            self.assertRegex(done.stderr.decode(), "in use")

    def test_the_env_file_is_private(self):
        with Server() as server:
            self.assertEqual(os.stat(server.env_file).st_mode & 0o077, 0)
            for name in ("ADDR", "TOKEN", "CACERT"):
                self.assertEqual(server.env[f"HOLDFAST_{name}"], server.env[f"VAULT_{name}"])

    def test_graceful_stop(self):
        with Server() as server:
            self.assertEqual(server.stop(signal.SIGTERM), 0)


class Tour(unittest.TestCase):
    def test_tour(self):
        done = run("tour", "--port", "0", timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for words in (b"any 3 rebuild", b"X25519MLKEM768", b"one bit changed", b"nothing", b"503, sealed"):
            self.assertIn(words, done.stdout)
        self.assertNotIn(b"\033[", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
