#!/usr/bin/env python3
"""Checks the house rules that a machine can check, whatever the formatting: python3 tools/lint.py

Failures: lines above 140 columns, tabs, trailing spaces, no newline at the end, C files of 1,000 lines or functions
above 100, two source files of one name, a folder of src/ without README.md, an endpoint that docs/api.md or
docs/openapi.json does not list (or one that they list and the code lacks). Notes, which do not fail and which --notes
shows: lines above 120 columns, functions above 60 lines.
"""

import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WIDTH, WIDTH_LIMIT = 120, 140
FILE_LINES, FUNCTION_LINES, FUNCTION_LIMIT = 1000, 60, 100
PAGE = {"GET /", "GET /web/{}"}  # for browsers; may be listed
CODE = (".c", ".h", ".py", ".js", ".css", ".html", ".sh")
SKIPPED_FOLDERS = {".git", "build", "forage-data", "seeds", "golden", "__pycache__", "node_modules"}


def tracked_files():
    """Every file of the tree that git does not ignore; without git, every file outside build folders."""
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode == 0:
        paths = [p for p in listing.stdout.splitlines() if os.path.isfile(os.path.join(ROOT, p))]
    else:
        paths = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS]
            paths += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return sorted(p for p in paths if not SKIPPED_FOLDERS & set(p.split("/")))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def functions(text):
    """(name, first line, number of lines) of C functions: they start and end in column one."""
    start = name = None
    for number, line in enumerate(text.splitlines(), 1):
        if start is None or not name:
            head = re.match(r"[A-Za-z_].*?([A-Za-z_]\w*)\(", line)
            if head and not line.startswith(("typedef", "struct {", "#")):
                start, name = number, head.group(1)
            if not line.strip() or line.endswith((";", "}")):  # a declaration, or a body on the same line
                start = name = None
        if line.startswith("}") and name:
            yield name, start, number - start + 1
            start = name = None


def check_text(path, text, note):
    if "\t" in text:
        yield f"{path}:{text[:text.index(chr(9))].count(chr(10)) + 1}: a tab"
    if text and not text.endswith("\n"):
        yield f"{path}: no newline at the end"
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > WIDTH_LIMIT:
            yield f"{path}:{number}: {len(line)} columns"
        elif len(line) > WIDTH:
            note(f"{path}:{number}: {len(line)} columns")
        if line != line.rstrip():
            yield f"{path}:{number}: spaces at the end"


def check_lengths(path, text, note):
    lines = text.count("\n")
    if lines >= FILE_LINES:
        yield f"{path}: {lines} lines; split it"
    for name, start, length in functions(text):
        if length > FUNCTION_LIMIT:
            yield f"{path}:{start}: {name} has {length} lines"
        elif length > FUNCTION_LINES:
            note(f"{path}:{start}: {name} has {length} lines")


def check_tree(paths):
    names, folders, documented = {}, set(), set()
    for path in paths:
        folder, name = os.path.split(path)
        if path.startswith("src/") and folder != "src":
            folders.add(folder)
            if name == "README.md":
                documented.add(folder)
            elif name != "meson.build":
                names.setdefault(name, []).append(path)
    for folder in sorted(folders - documented):
        yield f"{folder}: no README.md"
    for name, same in sorted(names.items()):
        if len(same) > 1:
            yield f"one name, {len(same)} files: {', '.join(same)}"


def route(text):
    """GET /a/{collection}?x= → GET /a/{}"""
    return re.sub(r"\{[^}]*\}", "{}", text.split("?")[0].strip())


def listed_endpoints(markdown):
    """The endpoints of the table in docs/api.md; `…` stands for the path before it."""
    found, base = set(), ""
    for line in markdown.splitlines():
        if line.startswith("|"):
            for method, path in re.findall(r"`(GET|PUT|POST|DELETE) ([^`]+)`", line.split("|")[1]):
                if path.startswith("…"):
                    path = base + path[1:]
                found.add(route(f"{method} {path}"))
                base = route(path).rsplit("/", 1)[0]
            for path in re.findall(r"`(/[^`]+)`", line.split("|")[1]):
                found.add(route(f"GET {path}"))
    return found


def described_endpoints(openapi):
    return {route(f"{method.upper()} {path}") for path, methods in json.loads(openapi)["paths"].items()
            for method in methods if method in ("get", "put", "post", "delete")}


def check_endpoints(paths):
    """The routes in the code of src/api and src/server are "GET /x" or "GET", "/x"; both descriptions list the same."""
    code = set()
    for path in paths:
        if path.startswith(("src/api/", "src/server/")) and path.endswith((".c", ".h")):
            found = re.findall(r'"(GET|PUT|POST|DELETE)(?: |",\s*")(/[^" ]*)"', read(path))
            code |= {route(f"{method} {rest}") for method, rest in found}
    for name, listed in (("docs/api.md", listed_endpoints(read("docs/api.md"))),
                         ("docs/openapi.json", described_endpoints(read("docs/openapi.json")))):
        for missing in sorted(code - listed - PAGE):
            yield f"{name}: does not list {missing}"
        for unknown in sorted(listed - code - PAGE):
            yield f"{name}: lists {unknown}, which the code does not have"


def check_itself():
    long = "static int long_one(int a,\n                    int b) {\n" + "    a++;\n" * 99 + "    return a + b;\n}\n"
    short = "int twice(int a) { return 2 * a; }\n\nint thrice(int a) {\n    return 3 * a;\n}\n"
    assert list(functions(long)) == [("long_one", 1, 103)], list(functions(long))
    assert list(functions(short)) == [("thrice", 3, 3)], list(functions(short))
    notes = []
    assert len(list(check_text("x.c", "a \n\tb\n" + "c" * 121 + "\n" + "c" * 141, notes.append))) == 4
    assert notes == ["x.c:3: 121 columns"], notes
    table = "| `POST /c/{c}/search`, `GET …/search?q=` | x |\n| `GET /health/live`, `/metrics` | y |\n"
    assert listed_endpoints(table) == {"POST /c/{}/search", "GET /c/{}/search", "GET /health/live", "GET /metrics"}
    assert list(check_tree(["src/a/x.c", "src/b/x.c", "src/b/README.md"])) == [
        "src/a: no README.md", "one name, 2 files: src/a/x.c, src/b/x.c"]


def main():
    check_itself()
    paths, problems, notes = tracked_files(), [], []
    for path in paths:
        if path.endswith(CODE):
            text = read(path)
            problems += check_text(path, text, notes.append)
            if path.endswith((".c", ".h")):
                problems += check_lengths(path, text, notes.append)
    problems += check_tree(paths)
    problems += check_endpoints(paths)
    for note in notes if "--notes" in sys.argv else []:
        print(f"note: {note}")
    for problem in problems:
        print(problem)
    print(f"{len(paths)} files, {len(problems)} problems, {len(notes)} notes")
    print("0 passed, 1 failed" if problems else "1 passed, 0 failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
