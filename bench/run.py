#!/usr/bin/env python3
"""Measures what Holdfast promises about speed, and writes the table bench/RESULTS.md.

    bench/run.py --build DIR [--quick] [--only PART,PART] [--out FILE]

Each pair is measured in turns within one run on this machine, so that what else goes on here meets both sides alike; a
ratio is taken turn by turn, and its median stands in the table with the least and the most. CPU time is the scheduler's
own account (/proc/PID/task/*/schedstat) of all Holdfast processes."""
import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "system"))
import lib  # noqa: E402

PAYLOAD = lib.b64(b"\x5a" * 32)
PARTS = {}


def part(function):
    PARTS[function.__name__] = function
    return function


class Bench:
    def __init__(self, build, quick):
        self.build, self.quick = build, quick
        self.tools = build / "bench"
        self.pairs = 3 if quick else 7
        self.seconds = 1 if quick else 2
        self.rows, self.notes, self.failed = [], [], []
        self.work = Path(tempfile.mkdtemp(prefix="hf-bench-"))
        self.work.chmod(0o755)
        self.request_us = None  # encrypt over TLS, 64 connections: CPU of all processes

    def row(self, what, values, unit, target=None, good=None, how=""):
        """values: one for each turn."""
        middle = statistics.median(values)
        verdict = "" if good is None else "yes" if good(middle) else "**no**"
        self.rows.append((what, shown(middle), shown(min(values)), shown(max(values)), unit, target or "", verdict, how))
        print(f"{what:66} {shown(middle):>11} ({shown(min(values))} .. {shown(max(values))}) {unit} {target or ''} {verdict}",
              flush=True)
        return middle

    def tool(self, name, *args, timeout=900):
        return subprocess.run([str(self.tools / f"bench_{name}"), *map(str, args)], capture_output=True, text=True,
                              check=True, timeout=timeout, env={**os.environ, "TMPDIR": str(self.work)}).stdout


def shown(value):
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.2f}"


def at_most(limit):
    return lambda value: value <= limit


def at_least(limit):
    return lambda value: value >= limit


def cpu_ns(pids):
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
    return total


def all_pids(server):
    return [pid for pids in server.pids().values() for pid in pids]


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


# ---- load -------------------------------------------------------------------------------------------------------------

def wrk_script(path, token, body, names=None):
    """names: a path of its own for each request, in Lua."""
    path.write_text('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                    f'wrk.headers["X-Vault-Token"] = "{token}"\nwrk.body = [[{body}]]\n'
                    'local threads = 0\n'
                    'function setup(thread) thread:set("number", threads); threads = threads + 1 end\n'
                    + (f"local n = 0\nfunction request() n = n + 1; return wrk.format(nil, {names}) end\n" if names else ""))
    return path


def wrk(script, url, connections, seconds, prefix=()):
    text = subprocess.run([*prefix, "wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{seconds}s",
                           "--latency", "-s", str(script), url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    done = int(re.search(r"(\d+) requests in", text)[1])
    if done == 0:
        raise RuntimeError("no request was answered\n" + text)
    late = {name: microseconds(re.search(rf"\s{name}%\s+(\S+)", text)[1]) for name in ("50", "99")}
    return {"count": done, "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
            "p50": late["50"], "p99": late["99"]}


def loaded(pids, *args, **more):
    before = cpu_ns(pids)
    result = wrk(*args, **more)
    result["us"] = (cpu_ns(pids) - before) / result["count"] / 1e3
    return result


def prepared(bench, server):
    """A key, a token with a policy of its own, the load's script, and the answer to one request."""
    server.post("transit/keys/bench")
    server.put("sys/policies/acl/bench", {"policy": 'path "transit/encrypt/bench" { capabilities = ["update"] }\n'
                                                    'path "transit/decrypt/bench" { capabilities = ["update"] }'})
    token = server.post("auth/token/create", {"policies": ["bench"], "ttl": "4h"}).json["auth"]["client_token"]
    answer = server.post("transit/encrypt/bench", {"plaintext": PAYLOAD}, token=token)
    if answer.status != 200:
        raise RuntimeError(answer.raw)
    script = wrk_script(bench.work / f"encrypt-{server.port}.lua", token, json.dumps({"plaintext": PAYLOAD}))
    return script, answer, token


class Nginx:
    """Answers anything with the given answer, with the server's own certificate, key and settings where it speaks TLS."""

    def __init__(self, bench, server, answer):
        self.dir = Path(tempfile.mkdtemp(prefix="nginx-", dir=bench.work))
        self.dir.chmod(0o755)
        tls = server.addr.startswith("https")
        state = server.dir / "state"
        self.port = server.port + 1 if server.port < 65000 else server.port - 1
        headers = "".join(f'add_header {name} "{value}"; ' for name, value in answer.headers.items()
                          if name.startswith("X-") or name == "Cache-Control")
        secure = (f"ssl_certificate {state}/server.pem; ssl_certificate_key {state}/server.key; ssl_protocols TLSv1.3; "
                  "ssl_session_tickets off; ssl_session_cache off; ") if tls else ""
        temporary = " ".join(f"{name}_temp_path {self.dir}/t;" for name in
                             ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.dir / "nginx.conf").write_text(
            f"worker_processes 2; daemon off; pid {self.dir}/pid; error_log {self.dir}/error.log;\n"
            f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; server_tokens off; {temporary}\n"
            f"keepalive_requests 1000000000; server {{ listen 127.0.0.1:{self.port}{' ssl' if tls else ''} reuseport; "
            f"{secure}\nlocation / {{ default_type application/json; {headers} return 200 '{answer.raw.decode().rstrip()}'; "
            "} } }\n")
        self.process = subprocess.Popen(["nginx", "-e", f"{self.dir}/error.log", "-c", f"{self.dir}/nginx.conf"],
                                        stderr=subprocess.DEVNULL)
        for _ in range(100):
            children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
            self.pids = [int(pid) for pid in children.split()]
            if len(self.pids) == 2:
                break
            time.sleep(0.02)
        else:
            raise RuntimeError("nginx did not start: " + (self.dir / "error.log").read_text())
        time.sleep(0.2)
        self.addr = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.process.terminate()
        self.process.wait()


# ---- encrypt ----------------------------------------------------------------------------------------------------------

@part
def encrypt(bench):
    for plain in (False, True):
        name = "plain HTTP" if plain else "TLS 1.3"
        with lib.Server(plaintext=plain) as server:
            script, answer, _ = prepared(bench, server)
            pids = all_pids(server)
            with Nginx(bench, server, answer) as nginx:
                for connections in (16, 64):
                    ours, theirs, ratio, rate = [], [], [], []
                    for turn in range(bench.pairs):
                        one = loaded(pids, script, server.addr + "/v1/transit/encrypt/bench", connections, bench.seconds)
                        two = loaded(nginx.pids, script, nginx.addr + "/v1/transit/encrypt/bench", connections, bench.seconds)
                        ours.append(one["us"])
                        theirs.append(two["us"])
                        ratio.append(one["us"] / two["us"])
                        rate.append(one["rate"])
                    head = f"encrypt 32 bytes, {name}, {connections} connections"
                    bench.row(f"{head}: CPU to nginx's", ratio, "x", "≤ 1.25", at_most(1.25),
                              "token, policy, audit on; nginx: static answer of the same bytes")
                    middle = bench.row("  all Holdfast processes", ours, "µs/request")
                    bench.row("  nginx", theirs, "µs/request")
                    bench.row("  requests answered, client on the same CPUs", rate, "/s")
                    if not plain and connections == 64:
                        bench.request_us = middle


@part
def latency(bench):
    with lib.Server() as server:
        script, answer, _ = prepared(bench, server)
        with Nginx(bench, server, answer) as nginx:
            p50, p99, ours, theirs = [], [], [], []
            for turn in range(bench.pairs):
                one = wrk(script, server.addr + "/v1/transit/encrypt/bench", 1, bench.seconds)
                two = wrk(script, nginx.addr + "/v1/transit/encrypt/bench", 1, bench.seconds)
                p50.append(one["p50"] / two["p50"])
                p99.append(one["p99"] / two["p99"])
                ours.append(one["p50"])
                theirs.append(two["p50"])
            bench.row("one connection, TLS 1.3: p50 to nginx's", p50, "x", "≤ 1.5", at_most(1.5))
            bench.row("one connection, TLS 1.3: p99 to nginx's", p99, "x", "≤ 2", at_most(2))
            bench.row("  p50, Holdfast", ours, "µs")
            bench.row("  p50, nginx", theirs, "µs")


class Configured(lib.Server):
    """holdfastd with a configuration file, initialised and unsealed over its API."""

    def __init__(self, text):
        super().__init__(wait=False)
        state = self.dir / "state"
        state.mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                        state / "server.key", "-out", state / "server.pem"], check=True, capture_output=True)
        for path in (self.dir, state):
            path.chmod(0o700 if path == state else 0o755)
        self.port = 8400 + os.getpid() % 500
        self.addr = f"https://127.0.0.1:{self.port}"
        self.cacert = str(state / "server.pem")
        self.config = self.dir / "holdfast.hcl"
        self.config.write_text(f'level = "standard"\n{text}\nstorage "sqlite" {{\n  path = "{state}/holdfast.db"\n}}\n'
                               f'listener "tcp" {{\n  address = "127.0.0.1:{self.port}"\n  tls_cert_file = "{state}/server.pem"\n'
                               f'  tls_key_file = "{state}/server.key"\n}}\n')
        self.run()
        made = self.put("sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="").json
        self.token, self.keys = made["root_token"], made["keys_base64"]
        self.unseal(1)
        self.post("sys/mounts/transit", {"type": "transit"})

    def run(self):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([str(lib.BIN / "holdfastd"), "--config", str(self.config)], stdout=subprocess.PIPE,
                                        stderr=self.log, stdin=subprocess.DEVNULL)
        if not self.wait_ready(10, (200, 501, 503)):
            raise RuntimeError(self.log_path.read_text()[-3000:])


def fdatasync_us(directory, count=400):
    """Median of a small append and its sync."""
    times = []
    with open(Path(directory) / "sync", "wb", buffering=0) as file:
        for _ in range(count):
            file.write(b"\x5a" * 300)
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begin) * 1e6)
    os.unlink(Path(directory) / "sync")
    return statistics.median(times)


@part
def strict(bench):
    with Configured('audit_durability = "strict"') as server:
        script, answer, _ = prepared(bench, server)
        with Nginx(bench, server, answer) as nginx:
            ours, limit, sync = [], [], []
            for turn in range(bench.pairs):
                sync.append(fdatasync_us(server.dir))
                one = wrk(script, server.addr + "/v1/transit/encrypt/bench", 1, bench.seconds)
                two = wrk(script, nginx.addr + "/v1/transit/encrypt/bench", 1, bench.seconds)
                ours.append(one["p50"])
                limit.append(one["p50"] / (two["p50"] + 1.2 * sync[-1]))
            bench.row("one connection, strict audit: p50 to nginx's + 1.2 fdatasync", limit, "x", "≤ 1", at_most(1))
            bench.row("  p50, Holdfast", ours, "µs")
            bench.row("  fdatasync of a 300-byte append", sync, "µs")


@part
def cores(bench):
    with lib.Server() as server:
        script, _, _ = prepared(bench, server)
        url = server.addr + "/v1/transit/encrypt/bench"
        two = [wrk(script, url, 64, bench.seconds)["rate"] for _ in range(bench.pairs)]
    if os.cpu_count() < 2:
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        server = lib.Server()
    finally:
        os.sched_setaffinity(0, before)
    with server:
        script, _, _ = prepared(bench, server)
        url = server.addr + "/v1/transit/encrypt/bench"
        pids = all_pids(server)
        apart = ("taskset", "-c", str(max(before)))
        one = [loaded(pids, script, url, 64, bench.seconds, prefix=apart) for _ in range(bench.pairs)]
    bench.row("throughput, TLS 1.3, 64 connections: server on 1 CPU, client on another", [r["rate"] for r in one], "/s")
    bench.row("  that is, CPU of the server", [r["us"] for r in one], "µs/request")
    bench.row(f"throughput: server and client both on {len(before)} CPUs", two, "/s",
              how="the client takes nearly half of them")


@part
def batches(bench):
    import http.client
    items = 1000
    with lib.Server() as server:
        _, _, token = prepared(bench, server)
        pids = all_pids(server)
        body = json.dumps({"batch_input": [{"plaintext": PAYLOAD}] * items})
        link = http.client.HTTPSConnection("127.0.0.1", server.port, context=server.context())
        values = []
        for turn in range(bench.pairs + 1):
            before, count = cpu_ns(pids), 40 if bench.quick else 150
            for _ in range(count):
                link.request("POST", "/v1/transit/encrypt/bench", body,
                             {"X-Vault-Token": token, "Content-Type": "application/json"})
                answer = link.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise RuntimeError(text[:200])
            if turn > 0:
                values.append((cpu_ns(pids) - before) / count / items / 1e3)
        bench.row("batch of 1,000 items of 32 bytes, TLS 1.3: CPU in all", values, "µs/item", "≤ 1", at_most(1))


# ---- primitives ---------------------------------------------------------------------------------------------------------

@part
def signatures(bench):
    for line in bench.tool("micro_crypto").splitlines():
        found = re.match(r"(\S+ (?:sign|verify|encapsulate|decapsulate).*?)\s+(\d+)\s+(\d+)\s+(\d+) %", line)
        if found:
            name, raw, ours, rate = found[1].strip(), float(found[2]), float(found[3]), float(found[4])
            signs = "sign" in name or "verify" in name
            bench.row(f"{name}: rate to the primitive's", [rate], "%", "≥ 90" if signs else None,
                      at_least(90) if signs else None, f"{ours / 1e3:,.1f} µs, OpenSSL's own {raw / 1e3:,.1f}")


@part
def handshakes(bench):
    with lib.Server() as server:
        state = server.dir / "state"
        fronts = server.pids()["front"]
        for group in ("X25519MLKEM768", "X25519"):
            ours, ratio, socket_ours, socket_ratio = [], [], [], []
            for turn in range(bench.pairs):
                one, two = (float(bench.tool("micro_tls", "memory", who, state / "server.pem", state / "server.key", group))
                            for who in ("ours", "bare"))
                ours.append(one)
                ratio.append(100 * two / one)
                count = 100 if bench.quick else 400
                before = cpu_ns(fronts)
                bench.tool("micro_tls", "load", server.port, count, group)
                time.sleep(0.1)
                front = (cpu_ns(fronts) - before) / count / 1e3
                bare = subprocess.Popen([str(bench.tools / "bench_micro_tls"), "serve", str(state / "server.pem"),
                                         str(state / "server.key"), str(count)], stdout=subprocess.PIPE, text=True)
                port = int(bare.stdout.readline())
                bench.tool("micro_tls", "load", port, count, group)
                socket_ours.append(front)
                socket_ratio.append(100 * float(bare.stdout.readline()) / front)
                bare.wait()
            bench.row(f"full handshake, {group}, P-256 certificate: rate to OpenSSL's own, in memory", ratio, "%", "≥ 95",
                      at_least(95), "server's side; the front's settings and heap")
            bench.row("  server's CPU", ours, "µs")
            bench.row("  the front's over loopback TCP, to a bare accept loop of OpenSSL", socket_ratio, "%", None, None,
                      "with accept, epoll, limits, close")
            bench.row("  the front's CPU over loopback TCP", socket_ours, "µs")


# ---- the store ------------------------------------------------------------------------------------------------------------

def sqlite_rate(directory, row_bytes, seconds):
    path = Path(directory) / "raw.db"
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("PRAGMA synchronous=FULL")
    base.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)")
    row, count = os.urandom(row_bytes), 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        base.execute("INSERT INTO t(sealed) VALUES(?)", (row,))
        count += 1
    rate = count / (time.perf_counter() - begin)
    base.close()
    for path in Path(directory).glob("raw.db*"):
        path.unlink()
    return rate


@part
def creation(bench):
    row_bytes = 1024
    with lib.Server() as server:
        one, many, ratio, factor, raw = [], [], [], [], []
        for turn in range(bench.pairs):
            script = wrk_script(bench.work / "create.lua", server.token, "{}",
                                f'"/v1/transit/keys/k{turn}-" .. number .. "-" .. n')
            again = wrk_script(bench.work / "create64.lua", server.token, "{}",
                               f'"/v1/transit/keys/m{turn}-" .. number .. "-" .. n')
            raw.append(sqlite_rate(server.dir, row_bytes, bench.seconds))
            one.append(wrk(script, server.addr + "/", 1, bench.seconds)["rate"])
            many.append(wrk(again, server.addr + "/", 64, bench.seconds)["rate"])
            ratio.append(100 * one[-1] / raw[-1])
            factor.append(many[-1] / one[-1])
        bench.row("key creation, 1 client: rate to SQLite's own commits", ratio, "%", "≥ 80", at_least(80),
                  f"WAL, full sync, one row of {row_bytes} bytes, the same file system")
        bench.row("  keys made", one, "/s")
        bench.row("  SQLite alone", raw, "commits/s")
        bench.row("key creation, 64 clients: rate to that of one", factor, "x", "≥ 10", at_least(10))
        bench.row("  keys made", many, "/s")


def table_of(text):
    """{what: (median, least, most, unit)} of a micro benchmark's table."""
    rows = {}
    for line in text.splitlines():
        found = re.match(r"\s*(.+?)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+(\S.*)$", line)
        if found:
            rows[found[1]] = (float(found[2]), float(found[3]), float(found[4]), found[5])
    return rows


@part
def audit(bench):
    rows = table_of(bench.tool("micro_audit", "hash"))
    for what in ("leaves hashed and appended, one core", "leaves of an export verified, one core",
                 "leaves with their details verified, one core"):
        bench.row(what, rows[what][:3], "leaves/s", "≥ 1,000,000", at_least(1e6))
    rows = bench.tool("micro_audit", "path")
    own = [float(x) for x in re.findall(r"with sequencer, checkpoints and store\s+(\d+)", rows)]
    with lib.Server() as server:
        script, _, _ = prepared(bench, server)
        pids, shares, stores = server.pids(), [], []
        for turn in range(bench.pairs):
            before = cpu_ns(pids["store"])
            got = loaded([p for ps in pids.values() for p in ps], script, server.addr + "/v1/transit/encrypt/bench", 64,
                         bench.seconds)
            store = (cpu_ns(pids["store"]) - before) / got["count"] / 1e3
            stores.append(store)
            shares.append(100 * (store + own[1] / 1e3) / got["us"])
        bench.row("audit's share of a request's CPU, TLS 1.3, 64 connections", shares, "%", "≤ 15", at_most(15),
                  "leaf, sequencer and checkpoints, and all that the store process does")
        bench.row("  leaf, sequencer and checkpoints in the core", [own[1] / 1e3], "µs/request", None, None, "16 a batch")
        bench.row("  the store process", stores, "µs/request")


# ---- size and start -----------------------------------------------------------------------------------------------------------

def pss_kib(pids):
    return sum(int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) for pid in pids)


@part
def start(bench):
    first, again, idle = [], [], []
    for turn in range(bench.pairs):
        with tempfile.TemporaryDirectory(prefix="hf-bench-start-") as directory:
            for times in (first, again):
                with lib.Server(directory=directory) as server:
                    times.append(server.ready_seconds * 1e3)
                    if times is again and turn < 3:
                        time.sleep(1.5)
                        idle.append(pss_kib(all_pids(server)) / 1024)
    bench.row("from exec to ready, state there is", again, "ms", "≤ 100", at_most(100), "--dev: supervisor, roles, unsealed")
    bench.row("from exec to ready, first start", first, "ms", None, None, "--dev: certificates made, initialised")
    bench.row("all processes, idle", idle, "MiB", "≤ 40", at_most(40), "proportional set size")


@part
def unseal(bench):
    count = 2000 if bench.quick else 20000
    with lib.Server() as server:
        core = server.pids()["core"]
        script = wrk_script(bench.work / "many.lua", server.token, "{}", '"/v1/transit/keys/u" .. number .. "-" .. n')
        made = 0
        while made < count:
            made += wrk(script, server.addr + "/", 64, 2)["count"]
            script = wrk_script(bench.work / "many.lua", server.token, "{}",
                                f'"/v1/transit/keys/u{made}-" .. number .. "-" .. n')
        server.stop()
        with lib.Server() as empty:
            time.sleep(0.5)
            base = pss_kib(empty.pids()["core"])
        server.start()
        time.sleep(0.5)
        core = server.pids()["core"]
        size = (pss_kib(core) - base) * 1024 / made
        times = []
        for turn in range(3):
            server.put("sys/seal")
            begin = time.perf_counter()
            server.unseal()
            if not server.wait_ready(20):
                raise RuntimeError("not unsealed")
            times.append((time.perf_counter() - begin) * 1e6 / made)
        bench.row("memory of a cold key in the core", [size], "bytes", "≤ 400", at_most(400),
                  f"after a start with {made:,} keys, against one with none")
        bench.row("unseal over the API, for each key there is", times, "µs", "≤ 5", at_most(5), "1,000,000 keys: ≤ 5 s")
    if not bench.quick:
        rows = table_of(bench.tool("micro_store", "replay", 1000000, timeout=600))
        for what, (middle, least, most, unit) in rows.items():
            target = ("≤ 5", at_most(5)) if unit == "s" else ("≤ 400", at_most(400)) if "byte" in unit else (None, None)
            bench.row(what.replace("1000000", "1,000,000").strip(), (middle, least, most), unit, *target, "records room over the store")


# ---- files ------------------------------------------------------------------------------------------------------------------------

def high_water_mib(pid):
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
        return int(found[1]) / 1024 if found else None
    return None


@part
def files(bench):
    size = (256 if bench.quick else 1024) << 20
    raw_ns, gate = None, {}
    for line in bench.tool("micro_crypto", "aes-256-gcm seal 16384").splitlines() + \
            bench.tool("micro_crypto", "floe").splitlines():
        found = re.match(r"(.+?)\s{2,}(\d+)\s+(\d+)\s+(\d+) %", line)
        if found and found[1] == "aes-256-gcm seal 16384":
            raw_ns = float(found[2])
        elif found:
            gate[found[1]] = float(found[3])
    for name, ns in gate.items():
        bench.row(f"{name}: rate to raw AES-256-GCM on 16 KiB", [100 * raw_ns / ns], "%", "≥ 85", at_least(85))
    with lib.Server() as server:
        server.post("transit/keys/files")
        env = {**os.environ, **server.env, "HOLDFAST_TOKEN": server.token}
        plain, sealed, opened = (bench.work / name for name in ("plain", "sealed", "opened"))
        with open(plain, "wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
        speeds, peaks = {"encrypt": [], "decrypt": []}, []
        for turn in range(bench.pairs):
            for what, source, to in (("encrypt", plain, sealed), ("decrypt", sealed, opened)):
                to.unlink(missing_ok=True)
                child = subprocess.Popen([str(lib.BIN / "holdfast"), what, "files", "--in", str(source), "--out", str(to)],
                                         env=env, stderr=subprocess.PIPE)
                most = 0
                while (seen := high_water_mib(child.pid)) is not None:  # getrusage would count this script's memory, too
                    most = max(most, seen)
                    time.sleep(0.01)
                error = child.stderr.read()
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                if child.returncode != 0:
                    raise RuntimeError(error.decode())
                speeds[what].append(100 * raw_ns / 16384 * size / 1e9 / usage.ru_utime)
                peaks.append(most)
        if subprocess.run(["cmp", plain, opened]).returncode != 0:
            raise RuntimeError("the file did not come back")
        for path in (plain, sealed, opened):
            path.unlink()
        for what, values in speeds.items():
            bench.row(f"holdfast {what} of {size >> 20} MiB: its own CPU to raw AES-256-GCM on 16 KiB", values, "%", "≥ 85",
                      at_least(85), "user time; reading and writing the file is the kernel's")
        bench.row("holdfast encrypt and decrypt: most memory", peaks, "MiB", "≤ 16", at_most(16))


# ---- the profile --------------------------------------------------------------------------------------------------------------------



@part
def profile(bench):
    if shutil.which("perf") is None:
        bench.notes.append("No perf here: no profile.")
        return
    rate, seconds = 1999, 2 if bench.quick else 6
    with lib.Server() as server:
        script, _, _ = prepared(bench, server)
        data = bench.work / "perf.data"
        load = subprocess.Popen(["wrk", "-t2", "-c64", f"-d{seconds + 2}s", "-s", str(script),
                                 server.addr + "/v1/transit/encrypt/bench"], stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(rate), "-g", "-p",
                        ",".join(map(str, all_pids(server))), "-o", str(data), "--", "sleep", str(seconds)],
                       capture_output=True, check=True)
        text = load.communicate()[0]
    requests = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]) * seconds

    def report(*args):
        return subprocess.run(["perf", "report", "-i", str(data), "--stdio", "-g", "none", "-n", *args],
                              capture_output=True, text=True).stdout.splitlines()

    def us(samples):
        return int(samples) / rate * 1e6 / requests

    lines = ["| process | where | µs/request |", "|---|---|---:|"]
    for line in report("--no-children", "--sort", "comm,dso"):
        found = re.match(r"\s+[\d.]+%\s+(\d+)\s+(\S+)\s+(\S+)", line)
        if found and us(found[1]) >= 0.02:
            lines.append(f"| {found[2]} | {found[3].replace('[kernel.kallsyms]', 'kernel')} | {us(found[1]):.2f} |")
    lines += ["", "System calls, with all that the kernel does within them (loopback TCP both ways is within `write`):", "",
              "| process | call | µs/request |", "|---|---|---:|"]
    wanted = re.compile(r"__x64_sys_(\w+)$|^(ksys_(?:read|write))$")
    for comm in ("hf-front", "hf-core", "hf-store"):
        for line in report("--children", "--comm", comm, "--sort", "sym"):
            found = re.match(r"\s+([\d.]+)%\s+[\d.]+%\s+(\d+)\s+\[k\]\s+(\S+)", line)
            if not found or not wanted.match(found[3]):
                continue
            name = (wanted.match(found[3])[1] or found[3].removeprefix("ksys_"))
            lines.append((comm, name, float(found[1])))
    total = sum(us(m[1]) for m in (re.match(r"\s+[\d.]+%\s+(\d+)\s+(\S+)", line)
                                   for line in report("--no-children", "--sort", "comm")) if m)
    lines = [line if isinstance(line, str) else f"| {line[0]} | {line[1]} | {line[2] * total / 100:.2f} |"
             for line in lines if isinstance(line, str) or line[2] * total / 100 >= 0.03]
    lines += ["", "Functions of our own and of the libraries:", "", "| process | function | µs/request |", "|---|---|---:|"]
    for comm, most in (("hf-front", 16), ("hf-core", 16), ("hf-store", 6)):
        for line in report("--no-children", "--comm", comm, "--sort", "sym"):
            found = re.match(r"\s+[\d.]+%\s+(\d+)\s+\[\.\]\s+(\S+)", line)
            if found and most > 0 and not found[2].startswith("0x"):
                lines.append(f"| {comm} | {found[2]} | {us(found[1]):.2f} |")
                most -= 1
    bench.notes.append(f"## Where the time goes\n\nEncrypt 32 bytes, TLS 1.3, 64 connections; perf, cpu-clock at {rate} Hz; "
                       f"{total:.1f} µs a request in all.\n\n" + "\n".join(lines))


# ---- the report ---------------------------------------------------------------------------------------------------------------------

def version_of(*command):
    with contextlib.suppress(OSError):
        got = subprocess.run(command, capture_output=True, text=True)
        return (got.stdout + got.stderr).strip().splitlines()[0]
    return "not installed"


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / (1 << 20)
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())[1]
    return (f"{os.cpu_count()} × {model[1] if model else os.uname().machine}, {memory:.0f} GiB, {system}, Linux "
            f"{os.uname().release}; {version_of('nginx', '-v')} with its own {version_of('openssl', 'version')}; "
            f"{version_of('wrk', '-v').split(' Copyright')[0]}")


def write(bench, out, began, load_before):
    tried = HERE / "TRIED.md"
    lines = ["# Measured", "",
             f"Written by `make bench` on {began:%Y-%m-%d %H:%M} UTC{' (quick)' if bench.quick else ''}, in "
             f"{(datetime.datetime.now(datetime.timezone.utc) - began).seconds // 60} minutes.", "",
             f"Machine: {machine()}. Load average before: {load_before[0]:.1f}, after: {os.getloadavg()[0]:.1f}.", "",
             "Each pair is measured in turns within one run; a ratio is taken turn by turn, and its median stands here with the "
             f"least and the most of {bench.pairs} turns. CPU: what the scheduler counted for all Holdfast processes "
             "(`/proc/PID/task/*/schedstat`), against nginx's workers. nginx answers a constant of the same bytes with the same "
             "certificate, over TLS 1.3 with AES-256-GCM too, but with the system's OpenSSL where Holdfast has 3.5. The client "
             "(wrk) runs on the same CPUs. What else runs on the machine meets both sides, but raises the cost of whoever changes "
             "processes more often; compare the load averages.", "",
             "| what | median | least | most | unit | target | met | how |", "|---|---:|---:|---:|---|---|---|---|"]
    lines += [f"| {'&nbsp;&nbsp;' if row[0].startswith('  ') else ''}{' | '.join(field.strip() for field in row)} |"
              for row in bench.rows]
    missed = [row[0] for row in bench.rows if row[6] == "**no**"]
    lines += ["", f"{sum(1 for row in bench.rows if row[6] == 'yes')} targets met, {len(missed)} not."]
    for name, error in bench.failed:
        lines += ["", f"Not measured: {name}: {error}"]
    lines += ["", "\n\n".join(bench.notes)]
    if tried.exists():
        lines += ["", tried.read_text().rstrip()]
    out.write_text("\n".join(lines).rstrip() + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter turns, for development")
    parser.add_argument("--only", default="", help="of: " + ", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    lib.BIN = options.build.resolve() / "bin"
    missing = [tool for tool in ("nginx", "wrk", "openssl", "taskset") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"bench: not installed: {', '.join(missing)}")
    bench = Bench(options.build.resolve(), options.quick)
    began, load = datetime.datetime.now(datetime.timezone.utc), os.getloadavg()
    try:
        for name, function in PARTS.items():
            if options.only and name not in options.only.split(","):
                continue
            print(f"---- {name}", flush=True)
            try:
                function(bench)
            except Exception as error:  # the other parts are worth having
                traceback.print_exc()
                bench.failed.append((name, str(error).strip().splitlines()[0] if str(error) else type(error).__name__))
        write(bench, options.out, began, load)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    print(f"bench: {options.out}")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
