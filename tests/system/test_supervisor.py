#!/usr/bin/env python3
"""The supervisor over real processes: the command line, development mode, what is in force, restarts, certificates,
the service manager's protocols, stopping."""
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from lib import BIN, Server, alive

DAEMON = str(BIN / "holdfastd")
SANITIZED = b"__asan_init" in Path(DAEMON).read_bytes() or b"__tsan_init" in Path(DAEMON).read_bytes()


def daemon(*args, env=None, seconds=20, **more):
    return subprocess.run([DAEMON, *args], capture_output=True, text=True, timeout=seconds,
                          env={**os.environ, **(env or {})}, **more)


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.01)
    return None


def leaf(server):
    """The certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
        with ssl.create_default_context(cafile=server.cacert).wrap_socket(raw, server_hostname="localhost") as tls:
            return tls.getpeercert(True)


def make_certificate(directory, name):
    cert, key = Path(directory) / f"{name}.pem", Path(directory) / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    key, "-out", cert, "-days", "2", "-subj", f"/CN={name}", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return str(cert), str(key)


class CommandLine(unittest.TestCase):
    def test_help_and_version(self):
        self.assertIn("--dev", daemon("--help").stdout)
        self.assertRegex(daemon("--version").stdout, r"^holdfastd \d+\.\d+\.\d+ \(OpenSSL 3\.")

    def test_mistakes_are_named(self):
        for args, words in ((["--what"], "unknown option --what"), (["--dev", "--dir"], "--dir needs a value"),
                            (["--json"], "go with --dev"), (["--dev", "--tls-cert", "x"], "go together"),
                            (["--dev", "--config", "x"], "does not go with --dev"),
                            (["--dev", "--listen", "nonsense"], "expected HOST:PORT"),
                            (["--dev", "--dev-plaintext", "--listen", "0.0.0.0:0"], "loopback only"),
                            (["--role", "core"], "for the supervisor")):
            got = daemon(*args, stdin=subprocess.DEVNULL)
            self.assertEqual(got.returncode, 2, args)
            self.assertIn(words, got.stderr, args)
            self.assertEqual(got.stdout, "")

    def check(self, text, *args):
        with tempfile.NamedTemporaryFile("w", suffix=".hcl") as file:
            file.write(text)
            file.flush()
            got = daemon("--check", *args, file.name)
            return got.returncode, (got.stdout + got.stderr).replace(file.name, "FILE")

    def test_check(self):
        right = ('storage "sqlite" {\n  path = "/var/lib/holdfast/holdfast.db"\n}\n'
                 'listener "tcp" {\n  address = "127.0.0.1:8200"\n  tls_disable = true\n}\n')
        self.assertEqual(self.check(right), (0, "FILE: right\n"))
        self.assertEqual(self.check(right + "\nfrontz = 1\n"), (1, "FILE:9:1: frontz: unknown key\n"))
        status, words = self.check(right.replace("127.0.0.1:8200", "0.0.0.0:8200"))
        self.assertEqual(status, 1)
        self.assertRegex(words, r"^FILE:\d+:\d+: listener: plain HTTP is served on loopback only")
        status, words = self.check("level = \n")
        self.assertEqual(status, 1)
        self.assertRegex(words, r"^FILE:\d+:\d+: \S")
        got = daemon("--check", "/nonexistent.hcl")
        self.assertEqual(got.returncode, 1)
        self.assertIn("/nonexistent.hcl: No such file", got.stderr)

    def test_the_packaged_configuration_is_right(self):
        self.assertEqual(daemon("--check", str(Path(__file__).parents[2] / "packaging" / "holdfast.hcl")).returncode, 0)


class Starting(unittest.TestCase):
    def test_port_in_use_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            got = daemon("--dev", "--listen", address)
            self.assertEqual(got.returncode, 1)
            self.assertIn(f"{address}: the port is in use by another program", got.stderr)

    def test_port_of_another_server_is_in_use(self):
        with Server() as server:
            got = daemon("--dev", "--listen", f"127.0.0.1:{server.port}")
            self.assertEqual(got.returncode, 1)
            self.assertIn("in use", got.stderr)
            self.assertEqual(server.get("sys/health").status, 200)

    def test_a_directory_serves_one_server(self):
        with Server() as server:
            got = daemon("--dev", "--listen", "127.0.0.1:0", "--dir", str(server.dir / "state"))
            self.assertEqual(got.returncode, 1)
            self.assertIn("another server uses this directory", got.stderr)

    def test_files_that_are_not_there_are_named(self):
        got = daemon("--dev", "--listen", "127.0.0.1:0", "--tls-cert", "/no/cert", "--tls-key", "/no/key")
        self.assertEqual(got.returncode, 1)
        self.assertIn("/no/cert: No such file", got.stderr)
        got = daemon("--dev", "--listen", "127.0.0.1:0", "--dir", "/proc/nowhere/x")
        self.assertEqual(got.returncode, 1)
        self.assertIn("/proc/nowhere/x", got.stderr)

    def test_what_is_no_certificate_ends_the_start(self):
        with tempfile.TemporaryDirectory() as directory:
            junk = Path(directory) / "junk"
            junk.write_text("no certificate\n")
            got = daemon("--dev", "--listen", "127.0.0.1:0", "--tls-cert", str(junk), "--tls-key", str(junk))
            self.assertEqual(got.returncode, 1)
            self.assertIn("the front process could not start", got.stderr)
            self.assertIn("front.tls", got.stderr)

    def test_configured_server(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            cert, key = make_certificate(directory, "configured")
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            config = Path(directory) / "holdfast.hcl"
            config.write_text(f'storage "sqlite" {{\n  path = "{directory}/state/holdfast.db"\n}}\nfronts = 3\n'
                              f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n  tls_cert_file = "{cert}"\n'
                              f'  tls_key_file = "{key}"\n}}\n')
            log = open(Path(directory) / "log", "wb")
            process = subprocess.Popen([DAEMON, "--config", str(config)], stderr=log, stdin=subprocess.DEVNULL)
            try:
                context = ssl.create_default_context(cafile=cert)

                def status():
                    try:
                        with socket.create_connection(("127.0.0.1", port), 2) as raw:
                            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                                tls.sendall(b"GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                                got = b""
                                while part := tls.recv(65536):
                                    got += part
                                return got
                    except OSError:
                        return None
                answer = wait_for(status)
                self.assertIsNotNone(answer, (Path(directory) / "log").read_text())
                self.assertIn(b'"initialized":false', answer)
                self.assertNotIn(b"X-Holdfast-Level", answer)
                children = subprocess.run(["pgrep", "-c", "-P", str(process.pid)], capture_output=True, text=True).stdout
                self.assertEqual(int(children), 5)
            finally:
                process.terminate()
                self.assertEqual(process.wait(20), 0)
                log.close()


class Development(unittest.TestCase):
    def test_is_there_within_a_second(self):
        with Server() as server:
            if not SANITIZED:
                self.assertLess(server.ready_seconds, 1.0)
            status = server.get("sys/seal-status").json
            self.assertEqual((status["initialized"], status["sealed"], status["t"], status["n"]), (True, False, 3, 5))
            self.assertEqual(len(server.keys), 5)
            self.assertIn("transit/", server.get("sys/mounts").data)
            self.assertEqual(server.get("sys/health").headers["X-Holdfast-Level"], "dev")
            mode = stat.S_IMODE(server.env_file.stat().st_mode)
            self.assertEqual(mode, 0o600)
            for name, value in (("ADDR", server.addr), ("TOKEN", server.token), ("CACERT", server.cacert)):
                self.assertEqual(server.env[f"HOLDFAST_{name}"], value)
                self.assertEqual(server.env[f"VAULT_{name}"], value)

    def test_plaintext_token_and_no_initialisation(self):
        with Server("--dev-root-token", "my-root", plaintext=True) as server:
            self.assertTrue(server.addr.startswith("http://127.0.0.1:"))
            self.assertEqual(server.token, "my-root")
            self.assertEqual(server.get("auth/token/lookup-self").status, 200)
        with Server("--dev-uninit") as server:
            self.assertEqual((server.token, server.keys), ("", []))
            self.assertFalse(server.get("sys/seal-status", token="").json["initialized"])

    def test_state_in_a_directory_lives_on(self):
        with tempfile.TemporaryDirectory() as directory:
            with Server(directory=directory) as server:
                self.assertEqual(server.post("transit/keys/kept").status, 200)
                token, keys = server.token, server.keys
            with Server(directory=directory) as server:
                self.assertEqual((server.token, server.keys), (token, keys))
                self.assertEqual(server.get("transit/keys/kept").status, 200)

    def test_state_without_one_is_gone(self):
        with tempfile.TemporaryDirectory() as directory:
            process = subprocess.Popen([DAEMON, "--dev", "--listen", "127.0.0.1:0", "--json"], stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": directory})
            self.assertTrue(json.loads(process.stdout.readline())["token"])
            self.assertEqual(len(list(Path(directory).iterdir())), 1)
            process.terminate()
            self.assertEqual(process.wait(20), 0)
            process.stdout.close()
            self.assertEqual(list(Path(directory).iterdir()), [])

    def test_words_for_people(self):
        process = subprocess.Popen([DAEMON, "--dev", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        text = ""
        while "Ctrl-C" not in text:
            line = process.stdout.readline()
            self.assertTrue(line)
            text += line
        self.assertRegex(text, r"export HOLDFAST_ADDR=https://127\.0\.0\.1:\d+\n")
        self.assertEqual(len(re.findall(r"share \d", text)), 5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), 0)
        process.stdout.close()

    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6 here")
        with Server("--listen", "[::1]:0") as server:
            self.assertRegex(server.addr, r"^https://\[::1\]:\d+$")
            self.assertEqual(server.get("sys/health").status, 200)


class InForce(unittest.TestCase):
    """What sys/posture says is what the kernel says."""

    def test_posture_is_true(self):
        with Server() as server:
            processes = server.get("sys/posture").data["processes"]
            pids = server.pids()
            self.assertEqual(sorted((p["process"], p["pid"]) for p in processes),
                             sorted((role, pid) for role, all in pids.items() for pid in all))
            for process in processes:
                if process["process"] == "supervisor" or SANITIZED:
                    continue
                measures = process["measures"]
                status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process['pid']}/status").read_text()
                              .splitlines() if ":\t" in line)
                limits = Path(f"/proc/{process['pid']}/limits").read_text()
                self.assertEqual(measures["seccomp"]["in_force"], status["Seccomp"] == "2")
                self.assertTrue(measures["seccomp"]["in_force"])
                self.assertEqual(measures["no_new_privs"]["in_force"], status["NoNewPrivs"] == "1")
                self.assertTrue(measures["no_new_privs"]["in_force"])
                self.assertEqual(measures["no_capabilities"]["in_force"], int(status["CapEff"], 16) == 0)
                self.assertTrue(measures["no_capabilities"]["in_force"])
                self.assertTrue(measures["no_core_dumps"]["in_force"])
                self.assertRegex(limits, r"Max core file size\s+0\s+0")
                self.assertEqual(str(process["user"]), status["Uid"].split()[0])
                self.assertEqual(measures["own_user"]["in_force"], status["Uid"].split() != ["0"] * 4)
                if os.geteuid() == 0:
                    for measure, name in (("network_namespace", "net"), ("ipc_namespace", "ipc"), ("uts_namespace", "uts"),
                                          ("mount_namespace", "mnt")):
                        ours = os.readlink(f"/proc/self/ns/{name}")
                        theirs = os.readlink(f"/proc/{process['pid']}/ns/{name}")
                        self.assertEqual(measures[measure]["in_force"], ours != theirs, (process["process"], measure))
                for measure in measures.values():
                    self.assertEqual(measure["in_force"], "why_not" not in measure)
                self.assertNotEqual(process["process"] == "core", "secret_memory" not in process)

    def test_nothing_but_what_it_needs_is_open(self):
        if os.geteuid() != 0:
            self.skipTest("only root may look")
        with Server() as server:
            for role, pids in server.pids().items():
                for pid in pids:
                    if role == "supervisor":
                        continue
                    names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                    files = [n for n in names if n.startswith("/") and n != "/dev/null"]
                    state = str(server.dir / "state") + "/holdfast.db"
                    allowed = [str(server.log_path)] + ([state, state + "-wal", state + "-shm"] if role == "store" else [])
                    strange = [n for n in files if n not in allowed and not n.startswith(str(server.dir / "state"))]
                    self.assertEqual(strange, [], role)
                    if role in ("core", "front"):
                        self.assertEqual([n for n in files if n.endswith("holdfast.db")], [])
                    environment = Path(f"/proc/{pid}/environ").read_bytes()
                    if not SANITIZED:
                        self.assertEqual(environment, b"LC_ALL=C\0")
                        self.assertEqual(len(os.listdir(f"/proc/{pid}/root")), 1 if role == "store" else 0)

    def test_hardened_starts_or_says_what_is_missing(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            config = Path(directory) / "holdfast.hcl"
            config.write_text(f'level = "hardened"\nstorage "sqlite" {{\n  path = "{directory}/state/holdfast.db"\n}}\n'
                              'listener "tcp" {\n  address = "127.0.0.1:0"\n  tls_disable = true\n}\n')
            log_path = Path(directory) / "log"
            with open(log_path, "wb") as log:
                process = subprocess.Popen([DAEMON, "--config", str(config)], stderr=log)
            self.assertTrue(wait_for(lambda: process.poll() is not None or "supervisor.ready" in log_path.read_text(), 20))
            running = process.poll() is None
            process.terminate()
            process.wait(20)
            log = log_path.read_text()
            missing = "sandbox.missing" in log or "core.secret_memory" in log
            self.assertNotEqual(running, missing, log)
            if not running:
                self.assertEqual(process.returncode, 1)


class Running(unittest.TestCase):
    def test_each_role_is_restarted(self):
        with Server() as server:
            self.assertEqual(server.post("transit/keys/a").status, 200)
            time.sleep(0.5)
            for role in ("front", "store", "core"):
                before = server.pids()[role]
                began = time.monotonic()
                os.kill(before[0], signal.SIGKILL)
                self.assertTrue(wait_for(lambda: len(server.pids().get(role, [])) == len(before)
                                         and before[0] not in server.pids()[role]), role)
                if not SANITIZED:
                    self.assertLess(time.monotonic() - began, 0.5, "the first restart comes at once")
                if role == "core":
                    self.assertTrue(server.wait_ready(10, (503,)), "the core's death seals the server")
                    server.unseal()
                self.assertTrue(server.wait_ready(10))
                self.assertEqual(server.get("transit/keys/a").status, 200)
                self.assertTrue(wait_for(lambda: server.post("transit/encrypt/a", {"plaintext": "eA=="}).status == 200))
            processes = server.get("sys/posture").data["processes"]
            self.assertEqual({p["pid"] for p in processes}, {pid for pids in server.pids().values() for pid in pids})
            log = server.log_path.read_text()
            self.assertEqual(log.count('"supervisor.died"'), 3)
            self.assertEqual(log.count('"supervisor.restarted"'), 3)

    def test_who_hangs_is_killed_and_started_again(self):
        with Server() as server:
            self.assertEqual(server.post("transit/keys/a").status, 200)
            for role in ("front", "core"):
                before = server.pids()[role]
                began = time.monotonic()
                os.kill(before[0], signal.SIGSTOP)
                if role == "core": # who asks meanwhile waits no longer than till it is found
                    self.assertEqual(server.get("sys/health", timeout=60).status, 503)
                    self.assertLess(time.monotonic() - began, 15)

                def replaced():
                    now = server.pids().get(role, [])
                    return len(now) == len(before) and before[0] not in now
                self.assertTrue(wait_for(replaced, 20), role)
                self.assertGreater(time.monotonic() - began, 3, "what only pauses is left alone")
                if role == "core":
                    self.assertTrue(server.wait_ready(10, (503,)), "a new core is sealed")
                    server.unseal()
                self.assertTrue(server.wait_ready(10))
                self.assertRegex(server.log_path.read_text(), f'"supervisor.hung".*"process":"{role}"')
            self.assertTrue(wait_for(lambda: server.post("transit/encrypt/a", {"plaintext": "eA=="}).status == 200))

    def test_a_pause_of_all_kills_nobody(self):
        with Server() as server:
            time.sleep(1.5)
            before = server.pids()
            everybody = [pid for pids in before.values() for pid in pids]
            for pid in everybody:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(10)
            for pid in everybody: # the supervisor first: it finds the others still stopped
                os.kill(pid, signal.SIGCONT)
            time.sleep(2.5)
            self.assertEqual(server.pids(), before)
            self.assertEqual(server.get("sys/health").status, 200)
            self.assertNotIn("supervisor.hung", server.log_path.read_text())

    def test_certificates_are_read_again(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            cert, key = make_certificate(directory, "first")
            with Server("--tls-cert", cert, "--tls-key", key) as server:
                server.cacert = cert
                first = leaf(server)
                with socket.create_connection(("127.0.0.1", server.port)) as raw:
                    with server.context().wrap_socket(raw, server_hostname="localhost") as tls:
                        ask = b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n"
                        tls.sendall(ask)
                        self.assertIn(b"200", tls.recv(65536))
                        other_cert, other_key = make_certificate(directory, "second")
                        os.replace(other_cert, cert)
                        os.replace(other_key, key)
                        server.process.send_signal(signal.SIGHUP)
                        self.assertTrue(wait_for(lambda: server.log_path.read_text().count("front.tls_renewed") >= 1))
                        time.sleep(0.2)
                        for _ in range(8): # whichever front takes it
                            self.assertNotEqual(leaf(server), first)
                        tls.sendall(ask) # the old connection lives on
                        self.assertIn(b"200", tls.recv(65536))
                # What cannot be read changes nothing.
                second = leaf(server)
                os.rename(cert, server.dir / "ca.pem")
                server.cacert = str(server.dir / "ca.pem")
                server.process.send_signal(signal.SIGHUP)
                self.assertTrue(wait_for(lambda: "supervisor.tls_file" in server.log_path.read_text()))
                self.assertEqual(leaf(server), second)

    def test_stop_drains(self):
        with Server() as server:
            with socket.create_connection(("127.0.0.1", server.port)) as raw:
                with server.context().wrap_socket(raw, server_hostname="localhost") as tls:
                    body = b'{"plaintext":"eA=="}'
                    tls.sendall(b"POST /v1/transit/keys/late HTTP/1.1\r\nHost: x\r\nX-Vault-Token: " + server.token.encode() +
                                b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
                    time.sleep(0.1)
                    server.process.send_signal(signal.SIGTERM)
                    time.sleep(0.2)
                    tls.sendall(body[5:])
                    self.assertIn(b" 200 ", tls.recv(65536).split(b"\r\n")[0])
            self.assertEqual(server.process.wait(20), 0)
            for pid in (p for pids in server.pids().values() for p in pids):
                self.assertFalse(alive(pid))

    def test_second_signal_stops_at_once(self):
        with Server() as server:
            with socket.create_connection(("127.0.0.1", server.port)) as raw:
                with server.context().wrap_socket(raw, server_hostname="localhost") as tls:
                    tls.sendall(b"POST /v1/transit/keys/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
                    time.sleep(0.1)
                    server.process.send_signal(signal.SIGTERM)
                    time.sleep(0.3)
                    began = time.monotonic()
                    server.process.send_signal(signal.SIGTERM)
                    server.process.wait(20)
                    self.assertLess(time.monotonic() - began, 2)


class ServiceManager(unittest.TestCase):
    def test_notifies(self):
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/notify"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(path)
                manager.settimeout(10)
                with Server(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}) as server:
                    seen = set()
                    while not {"READY=1", "STATUS=Unsealed.", "WATCHDOG=1"} <= seen:
                        seen.add(manager.recv(4096).decode())
                    server.put("sys/seal")
                    while "STATUS=Sealed." not in seen:
                        seen.add(manager.recv(4096).decode())
                    server.process.terminate()
                    while "STOPPING=1" not in seen:
                        seen.add(manager.recv(4096).decode())

    def test_socket_activation(self):
        with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryDirectory() as directory:
            port = listener.getsockname()[1]
            # LISTEN_PID is to be the server's own: a launcher that becomes the server knows it.
            launcher = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
                        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\nos.execv(sys.argv[2], sys.argv[2:])")
            process = subprocess.Popen(
                [sys.executable, "-c", launcher, str(listener.fileno()), DAEMON, "--dev", "--dev-plaintext", "--listen",
                 "127.0.0.1:1", "--dir", f"{directory}/s", "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=(listener.fileno(),))
            listener.close()
            try:
                self.assertEqual(json.loads(process.stdout.readline())["addr"], f"http://127.0.0.1:{port}")
                with socket.create_connection(("127.0.0.1", port), 5) as client:
                    client.sendall(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    self.assertIn(b" 200 ", client.recv(65536).split(b"\r\n")[0])
            finally:
                process.terminate()
                self.assertEqual(process.wait(20), 0)
                process.stdout.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
