#!/usr/bin/env python3
"""Checks that includes go one way: python3 tools/check_layers.py

Two rules, both written down in ARCHITECTURE.md: which folder of src/ may include which, and the one place where each
outside library enters. Before the tree it checks itself, on planted violations that it must find.
"""

import fnmatch
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

LAYERS = [
    ["base"],
    ["os", "kernel", "format"],
    ["store"],
    ["text", "sparse", "dense", "feedback"],
    ["memory", "understand", "collection", "encode"],
    ["retrieve", "policy", "rank", "evaluate"],
    ["funnel"],
    ["simulate", "train", "cluster"],
    ["api"],
    ["server", "cli"],
]


def below(layer):
    return {folder for folders in LAYERS[:layer] for folder in folders}


# What a folder may include besides itself: everything in lower layers, but for these.
NARROWER = {
    "kernel": {"base", "os"},
    "policy": {"base", "os"},
    "rank": below(2) - {"store"},
    "evaluate": below(4) | {"policy", "rank"},
    "funnel": below(6) - {"evaluate"},
    "simulate": below(3) | {"feedback", "collection", "policy", "rank", "evaluate", "funnel"},
    "train": below(3) | {"feedback", "collection", "rank", "evaluate", "funnel"},
    "api": below(7) | {"simulate", "train"},
    "cluster": below(2) | {"funnel"},
    "server": below(2),
    "cli": below(2) | {"server"},  # it starts the server
}
ALLOWED = {folder: NARROWER.get(folder, below(layer)) for layer, folders in enumerate(LAYERS) for folder in folders}

PUBLIC = {"api", "server", "cli"}  # folders that see forage.h; forage_status.h is everybody's

# Header of an outside library: the files that may include it.
ADAPTERS = {
    "lmdb.h": ["src/store/*"],
    "yajl/*": ["src/format/json*.c"],
    "zlib.h": ["src/format/inflate.c"],
    "zstd*.h": ["src/format/inflate.c"],
    "unicode/*": ["src/text/icu.c"],
    "libstemmer.h": ["src/text/stem.c"],
    "libexttextcat/*": ["src/text/language.c"],
    "textcat.h": ["src/text/language.c"],
    "xxhash.h": ["src/base/hash.c"],
    "microhttpd.h": ["src/server/*.c"],
    "xgboost/*": ["src/rank/boost.c"],
    "curl/*": ["src/cli/*.c", "src/encode/remote*.c"],
    "dnnl*": ["src/encode/bert*.c"],
}
ONE_FILE = {"microhttpd.h", "curl/*", "dnnl*"}  # any of those files, but only one of a folder

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)


def includes(text):
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(2)


def check_include(path, name):
    """Why `path` (below src/) may not include `name`, or None."""
    folder = path.split("/")[1]
    if folder not in ALLOWED:
        return f"src/{folder} has no layer: give it one in tools/check_layers.py and ARCHITECTURE.md"
    if name in ("forage.h", "forage_status.h"):
        return None if name == "forage_status.h" or folder in PUBLIC else f"{folder} may not see the public header"
    target = name.split("/")[0] if "/" in name else None
    if target in ALLOWED and target != folder and target not in ALLOWED[folder]:
        return f"{folder} may not include {target}"
    for pattern, adapters in ADAPTERS.items():
        if fnmatch.fnmatch(name, pattern) and not any(fnmatch.fnmatch(path, a) for a in adapters):
            return f"{name} enters only through {' or '.join(adapters)}"
    return None


def check(files):
    """Problems of {path: text} as `path:line: why`."""
    problems, users = [], {}
    for path, text in sorted(files.items()):
        for line, name in includes(text):
            why = check_include(path, name)
            if why:
                problems.append(f"{path}:{line}: {why}")
            for pattern in ONE_FILE:
                if fnmatch.fnmatch(name, pattern):
                    users.setdefault((pattern, path.split('/')[1]), set()).add(path)
    for (pattern, _), paths in users.items():
        if len(paths) > 1:
            problems.append(f"{pattern} is included by {len(paths)} files, not one: {', '.join(sorted(paths))}")
    return problems


def read_tree():
    files = {}
    for folder, _, names in os.walk(os.path.join(ROOT, "src")):
        for name in names:
            if name.endswith((".c", ".h")):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    files[os.path.relpath(path, ROOT)] = file.read()
    return files


PLANTED = [  # each must be found
    ("src/base/x.c", '#include "os/file.h"\n'),
    ("src/text/x.c", '#include "sparse/index.h"\n'),  # the same layer
    ("src/policy/x.c", '#include "base/random.h"\n#include "store/store.h"\n'),
    ("src/rank/x.c", '#include "store/store.h"\n'),
    ("src/funnel/x.c", '#include "evaluate/metrics.h"\n'),
    ("src/evaluate/x.c", '#include "retrieve/strategy.h"\n'),
    ("src/server/x.c", '#include "funnel/funnel.h"\n'),
    ("src/sparse/x.c", '#include "forage.h"\n'),
    ("src/store/x.c", "  #  include <zlib.h>\n"),
    ("src/sparse/x.c", "#include <lmdb.h>\n"),
    ("src/novel/x.c", '#include "base/memory.h"\n'),
]
INNOCENT = {
    "src/base/x.c": '#include "forage_status.h"\n#include <stdio.h>\n// #include "os/file.h"\n',
    "src/store/x.c": '#include "base/memory.h"\n#include "store/store.h"\n#include <lmdb.h>\n',
    "src/funnel/x.c": '#include "policy/policy.h"\n#include "retrieve/strategy.h"\n',
    "src/cli/x.c": '#include "forage.h"\n#include "format/json.h"\n#include <curl/curl.h>\n',
}


def check_itself():
    wrong = [f"not found: {text.strip()!r} in {path}" for path, text in PLANTED if len(check({path: text})) != 1]
    wrong += [f"found without cause: {problem}" for problem in check(INNOCENT)]
    two = {"src/cli/a.c": "#include <curl/curl.h>\n", "src/cli/b.c": "#include <curl/curl.h>\n"}
    if len(check(two)) != 1:
        wrong.append("not found: a library included by two files")
    return wrong


def main():
    passed = failed = 0
    for what, problems in (("the checker itself", check_itself()), ("src", check(read_tree()))):
        for problem in problems:
            print(problem)
        passed, failed = passed + (not problems), failed + bool(problems)
        print(f"{what}: {len(problems)} problems")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
