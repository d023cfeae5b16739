#!/usr/bin/env python3
"""Runs the tests that a Meson build folder declares and adds up what they print.

    python3 tools/run_tests.py build/test [NAME …] [--suite unit] [--jobs 2] [--slower 4]

Two kinds of output are counted: cmocka's group summaries, and a closing line `N passed, N failed[, N skipped]`. A test
that prints neither counts as one. A test that ends with an error counts as failed whatever it printed. The last line is
the sum: `N passed, N failed`.
"""

import argparse
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

CMOCKA = {kind: re.compile(rf"^\[ +{kind.upper()} +\] (\d+) test\(s\)", re.M)
          for kind in ("passed", "failed", "skipped")}
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.M)
TAIL = 60  # lines of the log shown when a test fails


class Result:
    def __init__(self, name, log):
        self.name, self.log = name, log
        self.passed = self.failed = self.skipped = 0
        self.note, self.seconds = "", 0.0

    def counts(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def count(text):
    """(passed, failed, skipped) of a test's output, or None when it counts nothing."""
    closing = CLOSING.findall(text)
    if closing:
        return tuple(int(n or 0) for n in closing[-1])
    found = {kind: [int(n) for n in pattern.findall(text)] for kind, pattern in CMOCKA.items()}
    if any(found.values()):
        return sum(found["passed"]), sum(found["failed"]), sum(found["skipped"])
    return None


def declared(build):
    listing = subprocess.run(["meson", "introspect", "--tests", build], check=True, capture_output=True, text=True)
    tests = json.loads(listing.stdout)
    for test in tests:
        test["suite"] = [s.split(":")[-1] for s in test["suite"]]
    return tests


def environment(test):
    # Sanitizers stop at the first finding, so that it fails the test.
    own = {
        "ASAN_OPTIONS": "detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**own, **os.environ, **test["env"]}


def execute(test, log, limit):
    """(exit status, whether it ran out of time). The whole process group is ended, servers that were left too."""
    with open(log, "wb") as out:
        try:
            process = subprocess.Popen(test["cmd"], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       cwd=test["workdir"] or None, env=environment(test), start_new_session=True)
        except OSError as error:  # it was not built
            out.write(f"{error}\n".encode())
            return 127, False
        try:
            status, late = process.wait(timeout=limit), False
        except subprocess.TimeoutExpired:
            status, late = 1, True
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    return status, late


def run(test, folder, slower):
    result = Result(test["name"], os.path.join(folder, test["name"] + ".log"))
    start, limit = time.monotonic(), test["timeout"] * slower
    status, late = execute(test, result.log, limit)
    result.seconds = time.monotonic() - start
    with open(result.log, encoding="utf-8", errors="replace") as file:
        text = file.read()
    counts = count(text)
    result.passed, result.failed, result.skipped = counts or ((1, 0, 0) if status == 0 else (0, 1, 0))
    if status != 0 and result.failed == 0:
        result.failed = 1
    if late:
        result.note = f"stopped after {limit:.0f} s"
    elif status < 0:
        result.note = f"ended by {signal.Signals(-status).name}"
    elif status > 0:
        result.note = f"exit status {status}"
    return result, text


class Report:
    def __init__(self):
        self.lock, self.results = threading.Lock(), []

    def add(self, result, text):
        with self.lock:
            self.results.append(result)
            mark = "FAIL" if result.failed else "ok"
            note = f"  {result.note}" if result.note else ""
            print(f"{mark:4}  {result.name:32} {result.counts():38} {result.seconds:7.1f} s{note}", flush=True)
            for line in text.splitlines():
                if re.match(r"(SKIPPED|skipped)\b", line):
                    print(f"      {line}")
            if result.failed:
                print(f"---- the end of {result.log}")
                print("\n".join(text.splitlines()[-TAIL:]))
                print("----", flush=True)

    def total(self, kind):
        return sum(getattr(r, kind) for r in self.results)


def run_all(tests, folder, jobs, slower):
    """Side by side where a test allows it, the longest allowed first; the others alone at the end."""
    report = Report()
    together = sorted((t for t in tests if t.get("is_parallel", True)), key=lambda t: -t["timeout"])
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, t, folder, slower) for t in together]):
            report.add(*done.result())
    for test in tests:
        if not test.get("is_parallel", True):
            report.add(*run(test, folder, slower))
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("names", nargs="*", help="run only tests whose name contains one of these")
    parser.add_argument("--suite", action="append", help="run only this suite (unit, fuzz, system, source)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--slower", type=float, default=1, help="multiplies every time limit")
    arguments = parser.parse_args()

    tests = [t for t in declared(arguments.build)
             if (not arguments.suite or set(t["suite"]) & set(arguments.suite))
             and (not arguments.names or any(n in t["name"] for n in arguments.names))]
    folder = os.path.join(arguments.build, "test-logs")
    os.makedirs(folder, exist_ok=True)
    if not os.environ.get("FORAGE_DATA"):
        print("FORAGE_DATA is not set: tests that need real data skip")
    report = run_all(tests, folder, arguments.jobs, arguments.slower)

    failed = [r.name for r in report.results if r.failed]
    if failed:
        print(f"failed: {', '.join(sorted(failed))} (logs in {folder})")
    if report.total("skipped"):
        print(f"{report.total('skipped')} skipped")
    print(f"{report.total('passed')} passed, {report.total('failed')} failed")
    return 1 if failed or not report.results else 0


if __name__ == "__main__":
    sys.exit(main())
