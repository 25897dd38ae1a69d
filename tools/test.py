#!/usr/bin/env python3
"""Runs the tests and ends with one closing line: N passed, N failed, N skipped.

    tools/test.py [STEP...]

Steps, in this order, all of them by default:
    dev     build, then unit, contract and system tests
    asan    unit and contract tests under AddressSanitizer and UndefinedBehaviorSanitizer
    tsan    the same under ThreadSanitizer
    fuzz    a slice of every fuzz target
    check   formatting, include layers, clang-tidy and the rest of `make check`

What a test reports inside (cmocka's tests, TAP lines, unittest's summary) is counted one by one; a test that
reports nothing counts as one. Exit status 77 means skipped. With CI=true a skip is a failure.
"""
import os
import re
import resource
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
JOBS = os.environ.get("JOBS") or str(os.cpu_count() or 2)
FUZZ_SECONDS = os.environ.get("HF_FUZZ_SECONDS", "10")
OUTPUT_LINES_MAX = 300


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = []

    def add(self, name, passed=0, failed=0, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        if failed:
            self.failures.append(name)
        if skipped:
            self.skips.append(name)

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


TALLY = Tally()
VECTORS = None  # fetches published test vectors while the first build runs


def say(text):
    print(text, flush=True)


class Clock:
    """How long something took: by the wall, and of processor time in all that was run."""
    def __init__(self):
        self.wall, self.cpu = time.monotonic(), self.used()

    @staticmethod
    def used():
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    def __str__(self):
        return f"{time.monotonic() - self.wall:.0f} s ({self.used() - self.cpu:.0f} s of processor time)"


def show(output):
    lines = output.rstrip().splitlines()
    if len(lines) > OUTPUT_LINES_MAX:
        say(f"    ... {len(lines) - OUTPUT_LINES_MAX} lines left out ...")
    for line in lines[-OUTPUT_LINES_MAX:]:
        say("    " + line)


def run(command, **options):
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", **options)


def steady_addresses():
    """Sanitizers of this age trip over wide address randomisation: switch it off where that is allowed."""
    command = ["setarch", "-R"]
    try:
        return command if run(command + ["true"]).returncode == 0 else []
    except FileNotFoundError:
        return []


def inner_counts(output):
    """What the output of one test says about tests inside it: (passed, failed, skipped)."""
    passed = failed = skipped = 0
    listing = False  # cmocka lists failures and skips a second time after each group
    for line in output.splitlines():
        # What a test wrote to stderr may stand before cmocka's mark on the same line.
        if "[==========]" in line:
            listing = "test(s) run" in line
        elif "[       OK ]" in line:
            passed += 1
        elif "[  FAILED  ]" in line:
            failed += not listing
        elif "[  SKIPPED ]" in line:
            skipped += not listing
        elif re.match(r"not ok\b", line):
            failed += 1
        elif re.match(r"ok\b", line):
            if re.search(r"#\s*skip", line, re.I):
                skipped += 1
            else:
                passed += 1
    ran = re.search(r"^Ran (\d+) tests? in ", output, re.M)
    if ran:
        def figure(word):
            found = re.search(word + r"=(\d+)", output[ran.end():])
            return int(found.group(1)) if found else 0
        bad = figure("failures") + figure("errors")
        failed += bad
        skipped += figure("skipped")
        passed += max(0, int(ran.group(1)) - bad - figure("skipped"))
    return passed, failed, skipped


def skip_reasons(output):
    return [line.strip() for line in output.splitlines() if re.search(r"skip", line, re.I)
            and not re.search(r"\[ RUN  |\[  SKIPPED \]|SKIPPED TEST", line)][:3]


def configure_and_build(preset, *targets):
    clock = Clock()
    got = run(["cmake", "--preset", preset])
    if got.returncode == 0:
        command = ["cmake", "--build", str(BUILD / preset), "-j", JOBS]
        for target in targets:
            command += ["--target", target]
        got = run(command + ["--", "-k", "0"])
    good = got.returncode == 0
    say(f"{preset}: {'built' if good else 'BUILD FAILED'} in {clock}")
    if not good:
        show("\n".join(line for line in got.stdout.splitlines()
                       if not re.match(r"\[\d+/\d+\] (Building|Linking|Generating)", line)))
        TALLY.add(f"{preset}: build", failed=1)
    return good


def run_ctest(preset, prefix=(), labels=None, environment=None):
    if VECTORS:
        VECTORS.wait()
    clock = Clock()
    report = BUILD / preset / "tests.xml"
    report.unlink(missing_ok=True)
    command = [*prefix, "ctest", "--test-dir", str(BUILD / preset), "-j", JOBS, "-Q", "--output-junit", str(report),
               "--test-output-size-passed", "4000000", "--test-output-size-failed", "4000000"]
    if labels:
        command += ["-L", labels]
    before = (TALLY.passed, TALLY.failed, TALLY.skipped)
    got = run(command, env={**os.environ, **(environment or {})})
    try:
        cases = xml.parse(report).getroot().findall("testcase")
    except (OSError, xml.ParseError) as error:
        say(f"{preset}: ctest left no readable report: {error}")
        show(got.stdout)
        TALLY.add(f"{preset}: ctest", failed=1)
        return
    for case in cases:
        name = f"{preset}: {case.get('name')}"
        output = case.findtext("system-out") or ""
        status = case.get("status")
        skipped = case.find("skipped")
        if status == "run":
            passed, failed, skips = inner_counts(output)
            if not passed + failed + skips:
                passed = 1
            TALLY.add(name, passed, failed, skips)
        elif skipped is not None and "SKIP_RETURN_CODE" in (skipped.get("message") or ""):
            failed, skips = 0, 1
            TALLY.add(name, skipped=1)
        else:
            passed, failed, skips = inner_counts(output)
            failed = max(1, failed)
            TALLY.add(name, passed, failed, skips)
        if failed:
            reason = case.find("failure") if case.find("failure") is not None else skipped
            say(f"FAILED {name} ({reason.get('message') if reason is not None else status})")
            show(output)
        elif skips:
            say(f"skipped {skips} in {name}")
            for line in skip_reasons(output):
                say("    " + line)
    passed, failed, skips = (now - then for now, then in
                             zip((TALLY.passed, TALLY.failed, TALLY.skipped), before))
    say(f"{preset}: {passed} passed, {failed} failed, {skips} skipped in {clock}")
    slowest = sorted(((float(case.get("time") or 0), case.get("name")) for case in cases), reverse=True)[:5]
    say("    slowest: " + ", ".join(f"{name} {seconds:.0f} s" for seconds, name in slowest))


def run_reporting(name, command, environment=None):
    """Runs a command that prints ok and not ok lines, and counts them."""
    clock = Clock()
    got = run(command, env={**os.environ, **(environment or {})})
    passed, failed, skipped = inner_counts(got.stdout)
    if got.returncode != 0 and not failed:
        failed = 1
    TALLY.add(name, passed, failed, skipped)
    if failed or skipped:
        show(got.stdout)
    say(f"{name}: {passed} passed, {failed} failed, {skipped} skipped in {clock}")


def step_dev():
    configure_and_build("dev")
    run_ctest("dev")


def step_asan():
    configure_and_build("asan")
    run_ctest("asan", steady_addresses(), "unit|contract", {
        "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=0:strict_string_checks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1"})


def step_tsan():
    configure_and_build("tsan")
    run_ctest("tsan", steady_addresses(), "unit|contract", {
        "TSAN_OPTIONS": f"suppressions={ROOT}/tests/sanitizers/tsan.supp:halt_on_error=0:second_deadlock_stack=1"})


def step_fuzz():
    if not any((ROOT / "tests" / "fuzz").glob("*.c")):
        say("fuzz: no targets yet")
        return
    configure_and_build("fuzz", "fuzzers")
    run_reporting("fuzz", [*steady_addresses(), sys.executable, "-B", "tools/fuzz.py", "--seconds", FUZZ_SECONDS])


def step_check():
    run_reporting("check", [sys.executable, "-B", "tools/check.py"])


STEPS = {"dev": step_dev, "asan": step_asan, "tsan": step_tsan, "fuzz": step_fuzz, "check": step_check}


def main():
    wanted = sys.argv[1:] or list(STEPS)
    for name in wanted:
        if name not in STEPS:
            sys.exit(f"test: no step '{name}' (there are: {' '.join(STEPS)})")
    clock = Clock()
    global VECTORS
    if {"dev", "asan", "tsan"} & set(wanted):
        VECTORS = subprocess.Popen([ROOT / "packaging" / "deps.sh", "vectors"], stdin=subprocess.DEVNULL)
    for name in wanted:
        STEPS[name]()
    ci = os.environ.get("CI", "").lower() in ("1", "true", "yes")
    say("")
    if TALLY.failures:
        say("failed: " + ", ".join(TALLY.failures))
    if TALLY.skips:
        say("skipped" + (" (a failure, since CI is set)" if ci else "") + ": " + ", ".join(TALLY.skips))
    say(f"took {clock}")
    say(TALLY.line())
    nothing = TALLY.passed + TALLY.failed + TALLY.skipped == 0
    sys.exit(1 if TALLY.failed or nothing or (ci and TALLY.skipped) else 0)


if __name__ == "__main__":
    main()
