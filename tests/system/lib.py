"""What the system tests share: a real development server, its processes, and plain HTTP calls to it."""
import base64
import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

BIN = Path(os.environ.get("HF_BIN", Path(__file__).resolve().parents[2] / "build" / "bin"))
SRC = Path(os.environ.get("HF_SRC", Path(__file__).resolve().parents[2]))
START_SECONDS = 20
SKIP = 77


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.raw = status, headers, body

    @property
    def json(self):
        return json.loads(self.raw) if self.raw else {}

    @property
    def data(self):
        return self.json["data"]

    @property
    def errors(self):
        return self.json.get("errors", [])


class Server:
    """holdfastd --dev with a state folder of its own; gone when the block ends."""

    def __init__(self, *args, directory=None, plaintext=False, env=None, wait=True):
        self.own = directory is None
        self.dir = Path(directory or tempfile.mkdtemp(prefix="hf-test-"))
        self.dir.chmod(0o755)
        self.env_file = self.dir / "dev.env"
        self.log_path = self.dir / "server.log"
        self.args = ["--listen", "127.0.0.1:0", "--dir", str(self.dir / "state"), "--env-file", str(self.env_file),
                     "--json", *(["--dev-plaintext"] if plaintext else []), *args]
        self.extra_env = env or {}
        self.process = None
        if wait:
            self.start()

    def start(self):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([str(BIN / "holdfastd"), "--dev", *self.args], stdout=subprocess.PIPE,
                                        stderr=self.log, stdin=subprocess.DEVNULL, env={**os.environ, **self.extra_env})
        began = time.monotonic()
        line = self.process.stdout.readline()
        self.ready_seconds = time.monotonic() - began
        if not line:
            self.process.wait()
            raise RuntimeError(f"the server did not start:\n{self.log_path.read_text()[-4000:]}")
        ready = json.loads(line)
        self.addr, self.token, self.keys = ready["addr"], ready["token"], ready["keys"]
        self.env = {}
        for text in self.env_file.read_text().splitlines():
            name, _, value = text.removeprefix("export ").partition("=")
            self.env[name] = value.strip("'\"")
        self.cacert = self.env.get("HOLDFAST_CACERT") or None
        self.port = int(self.addr.rsplit(":", 1)[1])
        return self

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        code = self.process.returncode if self.process else None
        if self.process:
            self.process.stdout.close()
            self.log.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        if kind is not None and self.log_path.exists():
            print(f"---- {self.log_path}\n{self.log_path.read_text()[-6000:]}", file=sys.stderr)
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)

    # -- processes --
    def pids(self):
        """{"supervisor": [pid], "core": [pid], "front": [...], "store": [...]}"""
        found = {"supervisor": [self.process.pid]}
        children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        for line in children.stdout.splitlines():
            pid, _, args = line.strip().partition(" ")
            words = args.split()
            if "--role" in words:
                found.setdefault(words[words.index("--role") + 1], []).append(int(pid))
        return found

    # -- HTTP --
    def context(self, cert=None):
        context = ssl.create_default_context(cafile=self.cacert)
        if cert:
            context.load_cert_chain(*cert)
        return context

    def call(self, method, path, body=None, token=None, headers=None, timeout=30, raw=None):
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.addr}/v1/{path}", data=data, method=method)
        if token != "":
            request.add_header("X-Vault-Token", token or self.token)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        context = self.context() if self.addr.startswith("https") else None
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, {} if body is None else body, **more)

    def put(self, path, body=None, **more):
        return self.call("PUT", path, {} if body is None else body, **more)

    def unseal(self, shares=3):
        for key in self.keys[:shares]:
            answer = self.put("sys/unseal", {"key": key}, token="")
        return answer

    def wait_ready(self, seconds=10, statuses=(200,)):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if self.call("GET", "sys/health", token="").status in statuses:
                    return True
            time.sleep(0.02)
        return False

    def command(self, *args, input=None, check=True, env=None, pass_fds=()):
        """Runs the holdfast command against this server."""
        result = subprocess.run([str(BIN / "holdfast"), *args], input=input, capture_output=True, pass_fds=pass_fds,
                                env={**os.environ, **self.env, "HOLDFAST_TOKEN": self.token, **(env or {})})
        if check and result.returncode != 0:
            raise AssertionError(f"holdfast {' '.join(args)}: {result.returncode}\n{result.stderr.decode()}")
        return result


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z"
    except OSError:
        return False


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIP)
