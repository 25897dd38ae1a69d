#!/usr/bin/env python3
"""`make check`: what can be said about the sources without running them.

    tools/check.py [--fast] [--build DIR] [CHECK...]

Prints one line for each check, ok or not ok, with what is wrong above it. --fast leaves clang-tidy out.

Where a line must do what a check forbids, it says so, there or on the line above:
    /* check: allow NAME, because ... */
A memcmp of bytes that are not secret needs only a comment that begins with the word public.
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# ---- the rules --------------------------------------------------------------------------------------

CLANG_FORMAT = 14

# Headers from outside, and the rooms that may include them.
OUTSIDE = {
    r"openssl/": {"crypto", "faces", "client"},
    r"sqlite3": {"store"},
    r"seccomp\.h": {"roles"},
    r"llhttp": {"faces", "client"},
    r"nghttp2/": {"faces", "client"},
    r"libpq-fe": {"store"},
    r"(zlib|zstd)\.h": set(),
}

# Who may open a secret.
VIEW_ROOMS = {"secret", "crypto", "shares", "session", "keystore"}
VIEW_FILES = {"src/ops/export.c"}

BANNED = {
    "strcpy": "unbounded", "strcat": "unbounded", "strncat": "counts what few expect", "stpcpy": "unbounded",
    "sprintf": "unbounded", "vsprintf": "unbounded", "gets": "unbounded", "alloca": "unbounded stack",
    "strtok": "hidden state", "atoi": "no error", "atol": "no error", "atoll": "no error", "atof": "no error",
    "memcmp": "not constant time: ct.h for secrets, or a comment that begins with public",
    "bcmp": "not constant time", "rand": "not random", "srand": "not random", "random": "not random",
    "drand48": "not random", "mktemp": "races", "tmpnam": "races", "tempnam": "races",
    "system": "starts a shell", "popen": "starts a shell", "bzero": "use memset or a wipe",
    "localtime": "hidden state", "gmtime": "hidden state", "ctime": "hidden state", "asctime": "hidden state",
}
# A process of the server speaks through base/log.h alone.
PRINTING = ["printf", "fprintf", "vprintf", "vfprintf", "dprintf", "vdprintf", "puts", "fputs", "putchar", "fputc",
            "perror", "err", "errx", "warn", "warnx", "syslog"]
MAY_PRINT = ("src/cli/",)


# ---- the sources ------------------------------------------------------------------------------------

def layers():
    """Room names by layer, and what the rooms beside the server may use: CMakeLists.txt says it once."""
    text = (ROOT / "CMakeLists.txt").read_text()
    block = re.search(r"set\(HF_LAYERS(.*?)\)", text, re.S).group(1)
    rows = [row.split() for row in re.findall(r'"([^"]*)"', block)]
    beside = {name: set(rest.split()) for name, rest in re.findall(r"set\(HF_BESIDE_(\w+) ([^)]*)\)", text)}
    return rows, beside


def sources():
    """Every file of the project, tracked or about to be, as paths relative to the root."""
    got = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True)
    if got.returncode == 0:
        names = got.stdout.splitlines()
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")
                 if path.is_file() and path.relative_to(ROOT).parts[0] not in ("build", ".git")]
    return sorted(name for name in set(names) if (ROOT / name).is_file())


def read(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def room_of(name):
    parts = name.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


BLANK = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def bare(text):
    """The code without comments and without what stands in quotes; lines keep their numbers."""
    def blank(found):
        piece = found.group(0)
        return re.sub(r"[^\n]", " ", piece) if piece[0] == "/" else piece[0] + piece[-1]
    return BLANK.sub(blank, text)


def allowed(lines, number, name):
    near = lines[max(0, number - 2):number]
    marker = re.compile(r"check: allow [^*]*\b" + re.escape(name) + r"\b")
    if any(marker.search(line) for line in near):
        return True
    return name == "memcmp" and any(re.search(r"/[*/]\s*public\b", line, re.I) for line in near)


# ---- the checks: each yields what is wrong ------------------------------------------------------------

def check_format(files):
    names = [name for name in files if name.endswith((".c", ".h"))]
    version = subprocess.run(["clang-format", "--version"], text=True, stdout=subprocess.PIPE).stdout
    if f"version {CLANG_FORMAT}." not in version:
        print(f"    (left out: releases of clang-format disagree, and the sources follow {CLANG_FORMAT})")
        return
    for start in range(0, len(names), 200):
        got = subprocess.run(["clang-format", "--dry-run", *names[start:start + 200]], cwd=ROOT, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        bad = sorted({line.split(":")[0] for line in got.stdout.splitlines() if ": warning:" in line or ": error:" in line})
        for name in bad:
            yield f"{name}: not formatted (make format)"
        if got.returncode != 0 and not bad:
            yield got.stdout.strip()


def check_text(files):
    here = str(ROOT)
    for name in files:
        data = (ROOT / name).read_bytes()
        if b"\0" in data[:8000] or name.startswith("tests/fuzz/corpus/"):
            continue
        text = data.decode("utf-8", errors="replace")
        if "\r" in text and not name.endswith(".bin"):
            yield f"{name}: carriage returns"
        if text and not text.endswith("\n"):
            yield f"{name}: the last line does not end"
        if len(here) > 4 and here in text:
            yield f"{name}: names the directory that this checkout happens to lie in"
        for number, line in enumerate(text.splitlines(), 1):
            if re.match(r"(<{7}|>{7}) ", line):
                yield f"{name}:{number}: merge conflict"
            if line != line.rstrip() and not name.endswith(".md"):
                yield f"{name}:{number}: space at the end of the line"
            if "\t" in line and name.endswith((".c", ".h", ".py")):
                yield f"{name}:{number}: tab"


def includes(name):
    text = BLANK.sub(lambda found: found.group(0) if found.group(0)[0] != "/" else
                     re.sub(r"[^\n]", " ", found.group(0)), read(name))
    for found in re.finditer(r'^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">]', text, re.M):
        yield text.count("\n", 0, found.start()) + 1, found.group(1) == '"', found.group(2)


def check_layers(files):
    rows, beside = layers()
    lower, seen = {}, set()
    for row in rows:
        for room in row:
            lower[room] = set(seen)
        seen |= set(row)
    lower.update(beside)
    for name in files:
        if not name.endswith((".c", ".h")):
            continue
        if name.startswith("include/"):
            for number, quoted, path in includes(name):
                if quoted and not path.startswith("holdfast/"):
                    yield f"{name}:{number}: a public header includes {path}"
            continue
        room = room_of(name)
        if room is None:
            continue
        if room not in lower:
            yield f"{name}: no such room (CMakeLists.txt lists them in HF_LAYERS)"
            continue
        for number, quoted, path in includes(name):
            target = path.split("/")[0] if "/" in path else None
            if not quoted:
                if target in lower:
                    yield f"{name}:{number}: write \"{path}\", not <{path}>"
                continue
            if path.startswith(".."):
                yield f"{name}:{number}: {path} climbs out of its room"
            elif target is None:
                if not (ROOT / name).with_name(path).exists():
                    yield f"{name}:{number}: {path} is not in this room"
            elif target == "holdfast" or target == room:
                pass
            elif target not in lower:
                yield f"{name}:{number}: {path} is in no room"
            elif target not in lower[room]:
                yield f"{name}:{number}: {room} may not include {path}"


def check_outside(files):
    for name in files:
        room = room_of(name)
        if room is None and not name.startswith("include/"):
            continue
        for number, _, path in includes(name) if name.endswith((".c", ".h")) else ():
            for pattern, rooms in OUTSIDE.items():
                if re.match(pattern, path) and room not in rooms:
                    yield f"{name}:{number}: only {', '.join(sorted(rooms)) or 'nobody'} may include <{path}>"


def check_views(files):
    for name in files:
        room = room_of(name)
        if room is None or not name.endswith((".c", ".h")) or room in VIEW_ROOMS or name in VIEW_FILES:
            continue
        for number, _, path in includes(name):
            if path == "secret/view.h":
                yield f"{name}:{number}: {room} may not open secrets"


def check_banned(files):
    names = "|".join(sorted([*BANNED, *PRINTING], key=len, reverse=True))
    call = re.compile(r"(?<![\w.])(?<!->)(" + names + r")\s*\(")
    for name in files:
        if not name.startswith(("src/", "include/")) or not name.endswith((".c", ".h")):
            continue
        text = read(name)
        lines = text.splitlines()
        for number, line in enumerate(bare(text).splitlines(), 1):
            for found in call.finditer(line):
                word = found.group(1)
                if word in PRINTING and name.startswith(MAY_PRINT):
                    continue
                if not allowed(lines, number, word):
                    why = BANNED.get(word, "the server speaks through base/log.h")
                    yield f"{name}:{number}: {word} ({why})"


def check_once(files):
    """One table of errors, one table of operations, and no row of any table twice."""
    tables = {}
    operations = {}
    for name in files:
        if not name.startswith(("src/", "include/")) or not name.endswith((".c", ".h")):
            continue
        text = read(name)
        for found in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+([A-Z][A-Z0-9_]+)\(X\)((?:.*\\\n)*.*)", text, re.M):
            tables.setdefault(found.group(1), []).append(name)
            rows = re.findall(r"\bX\(\s*(\w+)", found.group(2))
            for row in sorted({row for row in rows if rows.count(row) > 1}):
                yield f"{name}: {row} stands twice in {found.group(1)}"
        if name.startswith("src/ops/"):
            code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
            for operation in re.findall(r'(?:\{|\bX\(\s*\w+\s*,)\s*(?:\.name\s*=\s*)?"([a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)+)"', code):
                operations.setdefault(operation, []).append(name)
    for table, where in sorted(tables.items()):
        if len(where) > 1:
            yield f"{table} is defined in {' and '.join(where)}"
    if "HF_CODES" not in tables and any(name.startswith("src/base/") for name in files):
        yield "HF_CODES, the one table of errors, is nowhere"
    for operation, where in sorted(operations.items()):
        if len(where) > 1:
            yield f"operation {operation} is defined {len(where)} times: {', '.join(sorted(set(where)))}"


def check_headers(files):
    """Every header compiles alone."""
    include = [f"-I{ROOT}/src", f"-I{ROOT}/include"]
    deps = ROOT / "build" / "deps" / "root" / "usr" / "include"
    for path in (deps, *deps.glob("*-linux-*")):
        include += ["-isystem", str(path)]
    compiler = os.environ.get("CC", "gcc")

    def alone(name):
        path = name.split("/", 1)[1]
        got = subprocess.run([compiler, "-std=gnu2x", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                              *include, "-x", "c", "-"], cwd=ROOT, input=f'#include "{path}"\n', text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return "" if got.returncode == 0 else f"{name}: does not compile alone\n{got.stdout.strip()}"

    names = [name for name in files if name.startswith(("src/", "include/")) and name.endswith(".h")]
    with ThreadPoolExecutor(max_workers=int(os.environ.get("JOBS") or os.cpu_count() or 2)) as pool:
        yield from filter(None, pool.map(alone, names))


def check_guards(files):
    seen = {}
    for name in files:
        if not name.startswith(("src/", "include/")) or not name.endswith(".h"):
            continue
        found = re.search(r"^#ifndef (\w+)\n#define \1$", read(name), re.M)
        if not found:
            yield f"{name}: no include guard"
        elif seen.setdefault(found.group(1), name) != name:
            yield f"{name}: its guard {found.group(1)} is that of {seen[found.group(1)]} too"


def check_specs(files):
    """A sentence of a standard that the code cites (@spec) is shown by a test (@proves)."""
    cited, proved = {}, set()
    for name in files:
        if name.endswith((".c", ".h")) and name.startswith(("src/", "include/")):
            for number, line in enumerate(read(name).splitlines(), 1):
                for tag in re.findall(r"@spec\s+(\S*\w)", line):
                    cited.setdefault(tag, f"{name}:{number}")
        elif name.startswith("tests/"):
            proved |= set(re.findall(r"@proves\s+(\S*\w)", read(name)))
    for tag, where in sorted(cited.items()):
        if tag not in proved:
            yield f"{where}: no test @proves {tag}"


def check_scripts(files):
    for name in files:
        first = read(name)[:40].split("\n")[0]
        if name.endswith(".sh") or first.startswith("#!") and "sh" in first and "python" not in first:
            shell = "sh" if first.startswith("#!/bin/sh") else "bash"
            got = subprocess.run([shell, "-n", name], cwd=ROOT, text=True, stderr=subprocess.PIPE)
            if got.returncode != 0:
                yield f"{name}: {got.stderr.strip()}"
        elif name.endswith(".py"):
            try:
                compile(read(name), name, "exec")
            except SyntaxError as error:
                yield f"{name}:{error.lineno}: {error.msg}"
            parts = re.search(r"^# parts: (.*)$", read(name), re.M) if name.startswith("tests/system/") else None
            for test in re.findall(r"^    def (test_\w+)", read(name), re.M) if parts else ():
                if not re.search(rf"\.{test}\b", parts.group(1)):
                    yield f"{name}: {test} is in no part"
        elif name.endswith(".json") and not name.startswith("tests/"):
            try:
                json.loads(read(name))
            except ValueError as error:
                yield f"{name}: {error}"


def closure(name, known):
    """The file and every header of the project that it reaches."""
    if name in known:
        return known[name]
    known[name] = reached = {name}
    for _, quoted, path in includes(name):
        if not quoted:
            continue
        for base in ("src", "include", str(Path(name).parent), "tests"):
            if (ROOT / base / path).is_file():
                reached |= closure(os.path.normpath(f"{base}/{path}"), known)
                break
    return reached


def check_tidy(files, build):
    database = build / "compile_commands.json"
    if not database.exists():
        yield f"{database} is not there (make, or cmake --preset dev)"
        return
    version = subprocess.run(["clang-tidy", "--version"], text=True, stdout=subprocess.PIPE).stdout
    commands = {}
    for entry in json.loads(database.read_text()):
        path = Path(entry["file"])
        if path.is_relative_to(ROOT):
            commands.setdefault(str(path.relative_to(ROOT)), entry["command"])
    names = [name for name in files if name.startswith("src/") and name in commands]
    stamps = ROOT / "build" / "tidy"
    stamps.mkdir(parents=True, exist_ok=True)
    contents, known, work = {}, {}, []
    for name in names:
        digest = hashlib.sha256((version + read(".clang-tidy") + commands[name]).encode())
        for part in sorted(closure(name, known)):
            if part not in contents:
                contents[part] = (ROOT / part).read_bytes()
            digest.update(part.encode() + b"\0" + contents[part])
        stamp = stamps / digest.hexdigest()[:32]
        if not stamp.exists():
            work.append((name, stamp))

    work.sort(key=lambda item: -len(contents[item[0]]))  # the longest first, so that all workers end together

    def tidy(item):
        name, stamp = item
        got = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), name], cwd=ROOT, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if got.returncode == 0:
            stamp.touch()
            return None
        return f"{name}:\n" + (got.stdout.strip() or got.stderr.strip())

    with ThreadPoolExecutor(max_workers=int(os.environ.get("JOBS") or os.cpu_count() or 2)) as pool:
        for trouble in pool.map(tidy, work):
            if trouble:
                yield trouble.replace(str(ROOT) + "/", "")


CHECKS = {
    "format": ("clang-format", check_format),
    "text": ("text files", check_text),
    "layers": ("include layers", check_layers),
    "outside": ("libraries from outside only where they belong", check_outside),
    "views": ("who may open a secret", check_views),
    "banned": ("banned functions", check_banned),
    "once": ("one definition of each error and operation", check_once),
    "guards": ("include guards", check_guards),
    "headers": ("headers compile alone", check_headers),
    "specs": ("cited standards have a proving test", check_specs),
    "scripts": ("scripts parse", check_scripts),
    "tidy": ("clang-tidy", check_tidy),
}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--fast", action="store_true")
    arguments.add_argument("--build", type=Path, default=ROOT / "build" / "dev")
    arguments.add_argument("checks", nargs="*", metavar="CHECK", help=" ".join(CHECKS))
    given = arguments.parse_args()
    for key in given.checks:
        if key not in CHECKS:
            sys.exit(f"check: no check '{key}' (there are: {' '.join(CHECKS)})")
    files = sources()
    bad = 0
    for key in given.checks or [key for key in CHECKS if not (given.fast and key == "tidy")]:
        title, check = CHECKS[key]
        trouble = list(check(files, given.build) if key == "tidy" else check(files))
        for line in trouble:
            print("    " + line.replace("\n", "\n    "))
        print(f"{'not ok' if trouble else 'ok'} - {title}", flush=True)
        bad += bool(trouble)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
