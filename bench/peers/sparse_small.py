"""SQLite's FTS5 and bm25s for bench_sparse (README.md says how they are installed).

    sparse_small.py fts5|bm25s index TOKENS FOLDER                 one JSON object: documents, cpu_s, wall_s, bytes
    sparse_small.py fts5|bm25s search FOLDER QUERIES MODES RUNS    a JSON object per query and mode, then one of the process
"""

import glob
import json
import os
import re
import resource
import shutil
import sqlite3
import sys
import time

K1, B, NONE = 0.9, 0.4, None


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Fts5:
    """No content is kept, all of each posting is. One transaction, then everything merged into one b-tree segment. k1 and b are
    fixed at 1.2 and 0.75."""

    name = f"SQLite FTS5 {sqlite3.sqlite_version}"

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "fts5.db")
        self.db = sqlite3.connect(self.path)
        self.db.execute("pragma mmap_size = 8589934592")
        self.db.execute("pragma cache_size = -262144")

    def index(self, tokens):
        self.db.execute("pragma journal_mode = off")
        self.db.execute("pragma synchronous = off")
        self.db.execute("create virtual table t using fts5(body, content = '', tokenize = 'ascii', detail = full)")
        with open(tokens, encoding="ascii") as file:
            self.db.executemany("insert into t(rowid, body) values (?, ?)", ((i, line) for i, line in enumerate(file)))
        self.db.execute("insert into t(t) values ('optimize')")
        self.db.commit()
        count = self.db.execute("select count(*) from t_docsize").fetchone()[0]
        self.db.execute("vacuum")
        return count, os.path.getsize(self.path)

    def question(self, kind, words):
        quoted = [f'"{word}"' for word in words]
        return " + ".join(quoted) if kind == "phrase" else (" OR " if kind == "union" else " AND ").join(quoted)

    def ask(self, question, k):
        if k == 0:
            return self.db.execute("select count(*) from t where t match ?", (question,)).fetchone()[0], ()
        rows = self.db.execute("select rowid from t where t match ? order by rank limit ?", (question, k)).fetchall()
        return len(rows), [row[0] for row in rows]


class Bm25s:
    """All scores are computed when indexing; unions only, with numba. The index has no positions."""

    def __init__(self, folder):
        import bm25s
        self.library, self.folder = bm25s, folder
        self.name = f"bm25s {bm25s.__version__}"
        if os.path.exists(folder):
            self.retriever = bm25s.BM25.load(folder, mmap=False)
            self.retriever.backend = "numba"
            self.retriever.activate_numba_scorer()

    def index(self, tokens):
        shutil.rmtree(self.folder, ignore_errors=True)
        numbers, ids = {}, []
        with open(tokens, encoding="ascii") as file:
            for line in file:
                ids.append([numbers.setdefault(word, len(numbers)) for word in line.split()])
        retriever = self.library.BM25(method="lucene", k1=K1, b=B, backend="numba")
        retriever.index(self.library.tokenization.Tokenized(ids=ids, vocab=numbers), show_progress=False)
        retriever.save(self.folder)
        return len(ids), sum(map(os.path.getsize, glob.glob(os.path.join(self.folder, "*"))))

    def question(self, kind, words):
        return [words] if kind == "union" else NONE

    def ask(self, question, k):
        if k == 0:
            return NONE
        found = self.retriever.retrieve(question, k=k, n_threads=0, show_progress=False, return_as="tuple")
        return len(found.documents[0]), found.documents[0].tolist()


def search(engine, path, modes, runs):
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file]
    questions = [(i, line[0], engine.question(line[0], line[1:])) for i, line in enumerate(lines)]
    for k in map(int, modes.split(",")):
        best = {}
        for run in range(runs + 1):
            for i, _, question in questions:
                if question is NONE or (k == 0 and isinstance(engine, Bm25s)):
                    continue
                start = time.perf_counter_ns()
                engine.ask(question, k)
                took = time.perf_counter_ns() - start
                if run:
                    best[i] = min(best.get(i, took), took)
        for i, kind, question in questions:
            if i in best:
                n, top = engine.ask(question, k)
                print(json.dumps({"i": i, "class": kind, "k": k, "ns": best[i], "n": n, **({"top": top} if k == 10 else {})}))
    with open("/proc/self/status", encoding="ascii") as file:
        memory = {name: int(kib) * 1024 for name, kib in re.findall(r"^(VmRSS|RssAnon|RssFile):\s*(\d+)", file.read(), re.M)}
    print(json.dumps({"engine": engine.name, **memory}))


def main():
    kind, what = {"fts5": Fts5, "bm25s": Bm25s}[sys.argv[1]], sys.argv[2]
    if what == "search":
        search(kind(sys.argv[3]), *sys.argv[4:6], int(sys.argv[6]))
        return
    shutil.rmtree(sys.argv[4], ignore_errors=True)
    engine = kind(sys.argv[4])
    wall, used = time.monotonic(), cpu()
    documents, size = engine.index(sys.argv[3])
    print(json.dumps({"engine": engine.name, "documents": documents, "cpu_s": cpu() - used, "wall_s": time.monotonic() - wall,
                      "bytes": size}))


main()
