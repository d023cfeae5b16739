#!/usr/bin/env python3
"""Runs README's commands as a reader would: python3 tools/check_readme.py        (FORAGE names the command)

Every ```sh block runs, in order, in one shell, in a scratch folder laid out like a clone that has been built. A ```text
block right below one is what it printed: numbers and ids may differ, `…` stands for anything, a line of it for any lines.

`make demo` starts the real demo on a free port, which stands in for 7700 everywhere. Cloning, installing, testing and
benchmarking are not done here: continuous integration does them.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FORAGE = os.path.abspath(os.environ.get("FORAGE", os.path.join(ROOT, "build", "release", "src", "cli", "forage")))
ELSEWHERE = re.compile(r"\s*(git clone|cd forage\b|make (test|bench|build|install|asan|tsan|fuzz|lint|format|clean)|sudo )")
LIMIT = 120  # seconds


def blocks(markdown):
    """[(language, text, line)] of fenced blocks."""
    found, fence = [], None
    for number, line in enumerate(markdown.splitlines(), 1):
        if fence is None and line.startswith("```"):
            fence = (line[3:].strip(), [], number)
        elif fence is not None and line.startswith("```"):
            found.append((fence[0], "\n".join(fence[1]), fence[2]))
            fence = None
        elif fence is not None:
            fence[1].append(line)
    return found


def pattern(expected):
    """A regular expression for the output that a text block shows."""
    lines = []
    for line in expected.strip().splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
            continue
        parts = re.split(r"([0-9a-f]{8,}[0-9a-f-]*|\d[\d,]*(?:\.\d+)?|…|\s+)", line.strip())
        kinds = {"…": r".*?"}
        for i in range(1, len(parts), 2):
            part = parts[i]
            parts[i] = kinds.get(part) or (r"\s+" if part.isspace() else r"[0-9a-f][0-9a-f,.-]*")
        lines.append(r"\s*" + "".join(p if i % 2 else re.escape(p) for i, p in enumerate(parts)) + r"\s*\n")
    return re.compile("".join(lines))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def script(commands, port):
    """One shell program: each block between marks, so that its output and exit status are known."""
    lines = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for i, text in enumerate(commands):
        kept = [line for line in text.replace("7700", str(port)).splitlines() if not ELSEWHERE.match(line)]
        body = "\n".join(demo(port) if re.match(r"\s*make demo\b", line) else line for line in kept)
        lines.append(f"echo '@@ {i} begin'\n{{\n:\n{body}\n}} 2>&1\necho \"@@ {i} end $?\"")
    return "\n".join(lines) + "\n"


def demo(port):
    """`make demo` once everything is built, and the wait for its page."""
    return (f"tools/demo.sh '{FORAGE}' forage-data {port} >demo.log 2>&1 &\n"
            f"for i in $(seq 300); do (: >/dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.1; done")


def lay_out(folder):
    for name in ("examples", "tools", "docs", "bench"):
        os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
    built = os.path.join(folder, "build", "release", "src", "cli")
    os.makedirs(built)
    os.symlink(FORAGE, os.path.join(built, "forage"))


def run(program, folder):
    """The output of the shell program, which is ended with all that it started."""
    environment = {**os.environ, "PATH": os.path.dirname(FORAGE) + os.pathsep + os.environ["PATH"]}
    with open(os.path.join(folder, "output"), "w+", encoding="utf-8") as out:
        process = subprocess.Popen(["bash", "-c", program], cwd=folder, stdout=out, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
        try:
            process.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            print(f"the commands took more than {LIMIT} s")
        finally:
            try:
                os.killpg(process.pid, signal.SIGTERM)
                time.sleep(0.5)
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        out.seek(0)
        return out.read()


def check(markdown):
    """[(line, problem or None)] per sh block."""
    found = blocks(markdown)
    commands = [(text, line, found[i + 1][1] if i + 1 < len(found) and found[i + 1][0] == "text" else None)
                for i, (language, text, line) in enumerate(found) if language == "sh"]
    with tempfile.TemporaryDirectory() as folder:
        lay_out(folder)
        output = run(script([c[0] for c in commands], free_port()), folder)
    results = []
    for i, (_, line, expected) in enumerate(commands):
        done = re.search(rf"^@@ {i} begin\n(.*?)^@@ {i} end (\d+)$", output, re.M | re.S)
        problem = None
        if not done:
            problem = f"did not end:\n{output[-2000:]}"
        elif done.group(2) != "0":
            problem = f"ended with status {done.group(2)}:\n{done.group(1)}"
        elif expected is not None and not pattern(expected).fullmatch(done.group(1).rstrip() + "\n"):
            problem = f"printed something else than the README shows:\n{done.group(1)}"
        results.append((line, problem))
    return results


def check_itself():
    assert pattern("took 1.5 ms\n…\nend").fullmatch("took 17 ms\na\nb\nend\n")
    assert pattern("id 019a5f31-77c1 … b1").fullmatch("id   019b0000-1111 x b2\n")
    assert not pattern("two hits").fullmatch("no hits\n")
    problems = [bool(problem) for _, problem in check("```sh\nx=5\n```\n```text\nno\n```\n```sh\necho $x\n```\n```text\n7\n"
                                                      "```\n```sh\nfalse\n```\n```sh\nmake test\n```\n")]
    assert problems == [True, False, True, False], problems


def main():
    check_itself()
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        results = check(file.read())
    for line, problem in results:
        print(f"README.md:{line}: {problem or 'ok'}")
    failed = sum(problem is not None for _, problem in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
