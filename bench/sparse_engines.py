"""The engines of bench_sparse behind one face: index a file of tokens, answer a file of queries, as child processes on one core."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys

import harness

PEERS = os.path.join(harness.ROOT, "bench", "peers")
INSTALLED = os.path.join(harness.OUT, "peers")
PYTHON = os.path.join(INSTALLED, "python")
CORE = str(max(os.sched_getaffinity(0)))
ALL = ("union", "intersection", "phrase")


class Engine:
    """quick: fast enough for all queries; the others get the first few of each class. modes: which k they answer, 0 being the count.
    pinned: indexing can do with one core."""

    classes, quick, pinned, modes, environment = ALL, True, True, (10, 100, 1000, 0), {}

    def __init__(self, key):
        self.key, self.name = key, key

    def missing(self):
        """Why it is not here, or None."""

    def run(self, *arguments):
        pin = ["taskset", "-c", CORE] if self.pinned or arguments[0] != "index" else []
        line = [*pin, *self.command(), *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **self.environment})
        if done.returncode:
            raise harness.Missing(f"{self.key}: {shlex.join(line[len(pin):])} ended with {done.returncode}: "
                                  + (done.stderr.strip().splitlines() or ["?"])[-1])
        rows = [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]
        self.name = rows[-1]["engine"]
        return rows

    def index(self, tokens, target):
        return self.run("index", tokens, target)[-1]

    def search(self, target, queries, modes, runs):
        """({(query, k): row}, the process's row)"""
        rows = self.run("search", target, queries, ",".join(str(k) for k in modes if k in self.modes), runs)
        return {(row["i"], row["k"]): row for row in rows[:-1]}, rows[-1]


class Forage(Engine):
    def command(self):
        return [os.path.join(harness.BUILD, "bench", "sparse_driver")]


class Lucene(Engine):
    folder = os.path.join(INSTALLED, "lucene")
    warm = 30

    def missing(self):
        return None if os.path.exists(os.path.join(self.folder, "LuceneBench.class")) else "bench/peers/sparse_install.sh lucene"

    def command(self):
        with open(os.path.join(self.folder, "java"), encoding="utf-8") as file:
            java = file.read().strip()
        jars = [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.endswith(".jar")]
        return [java, "-XX:+UseSerialGC", "-Xms1g", "-Xmx3g", "--add-modules", "jdk.incubator.vector",
                "--enable-native-access=ALL-UNNAMED", f"-Dwarm={self.warm}", "-cp", ":".join([self.folder, *jars]), "LuceneBench"]


class Tantivy(Engine):
    program = os.path.join(INSTALLED, "tantivy", "release", "tantivy_bench")

    def missing(self):
        return None if os.path.exists(self.program) else "bench/peers/sparse_install.sh tantivy"

    def command(self):
        return [self.program]


class Xapian(Engine):
    quick, program = False, os.path.join(INSTALLED, "xapian_bench")

    def missing(self):
        return None if os.path.exists(self.program) else "bench/peers/sparse_install.sh xapian"

    def command(self):
        return [self.program]


class InPython(Engine):
    environment = {"PYTHONPATH": PYTHON, "LD_LIBRARY_PATH": os.path.join(INSTALLED, "tbb"), "OMP_NUM_THREADS": "1",
                   "NUMBA_NUM_THREADS": "1"}

    def __init__(self, key, script, package, **settings):
        super().__init__(key)
        self.script, self.package = script, package
        vars(self).update(settings)

    def missing(self):
        if not self.package or importlib.util.find_spec(self.package) or os.path.isdir(os.path.join(PYTHON, self.package)):
            return None
        return f"bench/peers/sparse_install.sh {self.key}"

    def command(self):
        return [sys.executable, "-B", os.path.join(PEERS, self.script[0]), *self.script[1:]]


def engines(wanted, quick):
    """Forage, then the peers that are wanted and here; and why others are not: (list, [(key, reason)])."""
    known = [Lucene("lucene"), Tantivy("tantivy"),
             InPython("pisa", ["sparse_pisa.py"], "pyterrier_pisa", classes=("union", "intersection"), modes=(10, 100, 1000),
                      pinned=False),  # its pipeline waits for a second thread for ever
             Xapian("xapian"), InPython("fts5", ["sparse_small.py", "fts5"], None, quick=False),
             InPython("bm25s", ["sparse_small.py", "bm25s"], "bm25s", classes=("union",), modes=(10, 100, 1000), quick=False)]
    if quick:
        Lucene.warm = 2
    here, absent = [Forage("forage")], []
    for engine in known:
        if wanted and engine.key not in wanted:
            continue
        reason = engine.missing()
        if reason:
            absent.append((engine.key, f"not installed: {reason}"))
        else:
            here.append(engine)
    return here, absent
