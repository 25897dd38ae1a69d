#!/usr/bin/env python3
"""Runs fuzz targets for a while, two at a time (or as many as JOBS says).

    tools/fuzz.py [--seconds N] [--build DIR] [NAME...]

A target tests/fuzz/NAME.c starts from the inputs in tests/fuzz/corpus/NAME/ with the dictionary
tests/fuzz/dict/NAME.dict, keeps what it learns in DIR/corpus/NAME, and leaves what it breaks on in
DIR/artifacts. Prints one line for each: ok or not ok.
"""
import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tests" / "fuzz"


def fuzz(name, build, seconds):
    program = build / "fuzzers" / f"fuzz_{name}"
    if not program.exists():
        return False, f"not ok - fuzz {name}: not built", ""
    learned, artifacts, seeds = build / "corpus" / name, build / "artifacts", SOURCES / "corpus" / name
    learned.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    command = [str(program), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
               "-print_final_stats=1", f"-artifact_prefix={artifacts}/{name}-"]
    dictionary = SOURCES / "dict" / f"{name}.dict"
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    command.append(str(learned))
    if seeds.is_dir():
        command.append(str(seeds))
    try:
        got = subprocess.run(command, cwd=build, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds + 120,
                             env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"})
    except subprocess.TimeoutExpired as late:
        return False, f"not ok - fuzz {name}: did not end in time", str(late.output or "")
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", got.stdout)
    told = f"{runs.group(1)} runs" if runs else "no count of runs"
    if got.returncode != 0:
        return False, f"not ok - fuzz {name} (exit status {got.returncode}, {told}; see {artifacts})", got.stdout
    return True, f"ok - fuzz {name} ({told})", ""


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=int, default=10)
    arguments.add_argument("--build", type=Path, default=ROOT / "build" / "fuzz")
    arguments.add_argument("names", nargs="*")
    given = arguments.parse_args()
    there = sorted(path.stem for path in SOURCES.glob("*.c"))
    unknown = [name for name in given.names if name not in there]
    if unknown:
        sys.exit(f"fuzz: no target {', '.join(unknown)} (there are: {', '.join(there)})")
    jobs = int(os.environ.get("JOBS") or 2)
    all_good = True
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for good, line, output in pool.map(lambda name: fuzz(name, given.build.resolve(), given.seconds),
                                           given.names or there):
            if output:
                print("\n".join("    " + text for text in output.splitlines()[-80:]))
            print(line, flush=True)
            all_good = all_good and good
    sys.exit(0 if all_good else 1)


if __name__ == "__main__":
    main()
