"""The sparse engine beside Lucene, Tantivy, PISA, Xapian, SQLite's FTS5 and bm25s: same tokens, same queries, one core, all warm.

For each corpus of sparse_corpus.py each engine builds one segment (processor time, bytes of the inverted index) and answers the same
queries: unions, intersections and phrases, the 10, 100 and 1,000 best, and the count. A query's time is the best of several runs
in several rounds, and in a round the engines take turns, so that what else the machine does falls on all of them.
peers/README.md has everybody's settings, peers/sparse_install.sh installs the peers; one that is absent is left out, with the reason.

    SPARSE_PARTS=packages,long,growth,agreement,instructions   what to do (all)
    SPARSE_PEERS=lucene,tantivy,pisa,xapian,fts5,bm25s         with whom; the last three, an order of magnitude behind, take part on
                                                               packages only, and get the first 60 queries of each class
    SPARSE_REUSE=1                                             indexes of an earlier run stay, with the figures of their making
    SPARSE_ROUNDS=2
"""

import json
import math
import os
import re
import subprocess

import harness
import sparse_corpus
import sparse_engines

PARTS = ("packages", "long", "growth", "agreement", "instructions")
MODES = {10: "TOP_10", 100: "TOP_100", 1000: "TOP_1000", 0: "COUNT"}
QUERIES, FEW, RUNS = 300, 60, 5
GROWTH = (10_000, 100_000, 1_000_000)
UNION_BARS = {"lucene": .7, "tantivy": .35}
BEST_PEER_BAR, RESIDENT_BAR = .8, 1.2


def wanted(name):
    return [word for word in os.environ.get(name, "").split(",") if word]


class Corpus:
    """A corpus, its queries, and what the engines did with them."""

    def __init__(self, bench, name, queries, engines, queries_of=None):
        self.bench, self.name, self.engines = bench, name, list(engines)
        self.tokens = sparse_corpus.path(name)
        self.queries = sparse_corpus.queries(queries_of or name, queries)
        with open(self.queries, encoding="ascii") as file:
            self.classes = [line.split(" ", 1)[0] for line in file]
        self.built, self.times, self.counts, self.tops, self.memory = {}, {}, {}, {}, {}

    def target(self, engine):
        os.makedirs(os.path.join(harness.OUT, "sparse"), exist_ok=True)
        return os.path.join(harness.OUT, "sparse", f"{engine.key}-{self.name}")

    def build(self):
        for engine in list(self.engines):
            kept = self.target(engine) + ".json"
            if os.environ.get("SPARSE_REUSE") == "1" and os.path.exists(kept):
                with open(kept, encoding="utf-8") as file:
                    self.built[engine.key] = json.load(file)
                continue
            try:
                self.built[engine.key] = engine.index(self.tokens, self.target(engine))
            except harness.Missing as missing:
                if engine.key == "forage":
                    raise
                print(f"  SKIPPED {missing}", flush=True)
                self.engines.remove(engine)
                continue
            with open(kept, "w", encoding="utf-8") as file:
                json.dump(self.built[engine.key], file)
            row = self.built[engine.key]
            print(f"  {self.name}: {engine.name} indexed {row['documents']:,} documents, {row['documents'] / row['cpu_s']:,.0f}/s",
                  flush=True)

    def few(self):
        """The first of each class in a file of their own, and which these are."""
        places = [i for kind in sparse_corpus.CLASSES for i in [j for j, c in enumerate(self.classes) if c == kind][:FEW]]
        path = self.queries.replace(".txt", f"-first-{FEW}.txt")
        with open(self.queries, encoding="ascii") as file, open(path, "w", encoding="ascii") as out:
            lines = file.readlines()
            out.writelines(lines[i] for i in places)
        return path, places

    def ask(self, modes=tuple(MODES)):
        for _ in range(1 if self.bench.quick else int(os.environ.get("SPARSE_ROUNDS", "2"))):
            for engine in list(self.engines):
                path, places = (self.queries, None) if engine.quick else self.few()
                try:
                    rows, self.memory[engine.key] = engine.search(self.target(engine), path, modes, RUNS if engine.quick else 1)
                except harness.Missing as missing:
                    if engine.key == "forage":
                        raise
                    print(f"  SKIPPED {missing}", flush=True)
                    self.engines.remove(engine)
                    continue
                for (i, k), row in rows.items():
                    if row["class"] in engine.classes:
                        self.take(engine.key, places[i] if places else i, k, row)

    def take(self, key, i, k, row):
        times = self.times.setdefault(key, {})
        times[i, k] = min(times.get((i, k), math.inf), row["ns"])
        self.counts.setdefault(key, {})[i, k] = row["n"]
        if "top" in row:
            self.tops.setdefault(key, {})[i] = row["top"]

    def sorted_times(self, key, kind, k, like=None):
        """Microseconds, ascending; `like`: of the queries that this other engine answered too."""
        other = self.times.get(like) if like else None
        return sorted(ns / 1000 for (i, mode), ns in self.times.get(key, {}).items()
                      if mode == k and self.classes[i] == kind and (other is None or (i, k) in other))


def figures(times):
    """mean, p50, p99"""
    return {"mean": sum(times) / len(times), "p50": times[len(times) // 2], "p99": times[min(len(times) - 1, len(times) * 99 // 100)]}


def print_times(corpus):
    print(f"\n  {corpus.name}: µs a query, mean / p50 / p99; with *: of the first {FEW} queries of each class")
    head = ["", *[e.name + ("" if e.quick else " *") for e in corpus.engines]]
    table = [head]
    for kind in sparse_corpus.CLASSES:
        for k, mode in MODES.items():
            cells = []
            for engine in corpus.engines:
                times = corpus.sorted_times(engine.key, kind, k)
                cells.append(" / ".join(f"{v:,.1f}" for v in figures(times).values()) if times else "-")
            table.append([f"{kind} {mode}", *cells])
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    for line in table:
        print("  " + "  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip())
    print(flush=True)


def against_peers(bench, corpus, command):
    """Time as a share of each peer's, on the queries that both answered."""
    peers = [e for e in corpus.engines if e.key != "forage"]
    for kind in sparse_corpus.CLASSES:
        for k, mode in MODES.items():
            ours = corpus.sorted_times("forage", kind, k)
            if not ours:
                print(f"  {corpus.name}: {kind} {mode}: not answered by Forage", flush=True)
                continue
            means = {}
            for peer in peers:
                theirs = corpus.sorted_times(peer.key, kind, k, "forage")
                if not theirs:
                    continue
                mine = figures(corpus.sorted_times("forage", kind, k, peer.key))
                theirs = figures(theirs)
                means[peer.name] = (mine["mean"], theirs["mean"])
                bar = UNION_BARS.get(peer.key) if kind == "union" and k in (10, 100) else None
                for what in mine if bar else ["mean"]:
                    bench.add(f"{corpus.name}: {kind} {mode}: {what}, share of {peer.name}'s", mine[what] / theirs[what], "", bar=bar,
                              lower=True, peer=f"{theirs[what]:,.1f} µs", command=command)
            if means and kind != "union" and k == 10:
                best = min(means, key=lambda name: means[name][1] / means[name][0])
                bench.add(f"{corpus.name}: {kind} {mode}: mean, share of the best peer's", means[best][0] / means[best][1], "",
                          bar=BEST_PEER_BAR, lower=True, peer=f"{best}: {means[best][1]:,.1f} µs", command=command)


def size_and_rate(bench, corpus):
    smallest = min((corpus.built[k]["bytes"] for k in UNION_BARS if k in corpus.built), default=None)
    own = corpus.built["forage"]
    bench.add(f"{corpus.name}: index of {own['documents']:,} documents", own["bytes"] / 2**20, "MiB", lower=True,
              bar=None if smallest is None else smallest / 2**20, command="sparse_driver index")
    rate = own["documents"] / own["cpu_s"]
    tantivy = corpus.built.get("tantivy")
    bench.add(f"{corpus.name}: indexing on one core", rate, "documents/s", command="sparse_driver index",
              bar=tantivy and tantivy["documents"] / tantivy["cpu_s"])
    for engine in corpus.engines[1:]:
        row = corpus.built[engine.key]
        bench.add(f"{corpus.name}: index, share of {engine.name}'s", own["bytes"] / row["bytes"], "", lower=True,
                  peer=f"{row['bytes'] / 2**20:,.1f} MiB")
        theirs = row["documents"] / row["cpu_s"]
        bench.add(f"{corpus.name}: indexing rate, share of {engine.name}'s", rate / theirs, "", peer=f"{theirs:,.0f} documents/s")
    memory = corpus.memory["forage"]
    bench.add(f"{corpus.name}: resident memory after the queries, less that before, share of the index",
              (memory["VmRSS"] - memory["before"]) / memory["image"], "", bar=RESIDENT_BAR, lower=True)
    bench.add(f"{corpus.name}: of the index's bytes, resident", memory["mapped"] / memory["image"], "")
    for engine in corpus.engines[1:]:
        bench.add(f"{corpus.name}: resident memory of {engine.name}'s process", corpus.memory[engine.key]["VmRSS"] / 2**20, "MiB")


def compared(bench, corpus):
    corpus.build()
    corpus.ask()
    print_times(corpus)
    against_peers(bench, corpus, f"sparse_driver search … {os.path.basename(corpus.queries)}")
    size_and_rate(bench, corpus)


def agreement(bench, corpus):
    """The ten and thousand best against exhaustive scoring, to the bit; counts and the ten best against the peers'."""
    path, _ = corpus.few()
    forage = corpus.engines[0]
    row = json.loads(subprocess.run([*forage.command(), "check", corpus.target(forage), path], check=True, capture_output=True,
                                    text=True).stdout)
    bench.add(f"{corpus.name}: of {row['checked']} results, other than exhaustive scoring's", row["different"], "", bar=0, lower=True,
              command="sparse_driver check")
    for peer in corpus.engines[1:]:
        theirs, ours = corpus.counts.get(peer.key, {}), corpus.counts["forage"]
        both = [key for key in ours if key in theirs and key[1] in (0, 1000)]  # of 1,000 best there are fewer, too
        if both:
            bench.add(f"{corpus.name}: numbers of results other than {peer.name}'s", sum(ours[key] != theirs[key] for key in both),
                      f"of {len(both)}", lower=True, bar=0 if peer.key in UNION_BARS else None)
        tops = corpus.tops.get(peer.key, {})
        shared = [len(set(top) & set(tops[i])) / len(top) for i, top in corpus.tops["forage"].items()
                  if top and i in tops and corpus.classes[i] != "phrase"]  # some score the phrase, some its words
        if shared:
            bench.add(f"{corpus.name}: of the 10 best of unions and intersections, among {peer.name}'s", sum(shared) / len(shared), "")


def growth(bench, engines):
    """The same queries on 10 thousand, 100 thousand and a million packages."""
    limits = (1_000, 10_000) if bench.quick else GROWTH
    means = {}
    for limit in limits:
        corpus = Corpus(bench, f"packages-{limit}", 50 if bench.quick else QUERIES, engines[:1],
                        f"packages-{limits[-1]}" if bench.quick else "packages")
        corpus.build()
        corpus.ask((10, 100))
        for kind in sparse_corpus.CLASSES:
            for k in (10, 100):
                times = corpus.sorted_times("forage", kind, k)
                if times:
                    means.setdefault((kind, k), []).append(figures(times)["mean"])
                    bench.add(f"growth: {kind} {MODES[k]}, {limit:,} documents: mean", means[kind, k][-1], "µs")
    for (kind, k), found in means.items():
        exponent = math.log(found[-1] / found[0]) / math.log(limits[-1] / limits[0])
        bench.add(f"growth: {kind} {MODES[k]}: time grows as documents to the power", exponent, "", bar=1, lower=True)


def instructions(bench, corpus):
    """What callgrind counts for 40 queries: no noise, so that a regression shows."""
    forage = corpus.engines[0]
    counts = {"union": 16, "intersection": 12, "phrase": 12}
    with open(corpus.queries, encoding="ascii") as file:
        lines = file.readlines()
    for kind, count in counts.items():
        if not corpus.sorted_times("forage", kind, 10):
            continue
        path = harness.cached(f"sparse-{corpus.name}-counted-{kind}.txt")
        with open(path, "w", encoding="ascii") as out:
            out.writelines([line for line in lines if line.startswith(kind + " ")][:count])
        for k in (10, 1000):
            line = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=sparse_driver_pass",
                    *forage.command(), "once", corpus.target(forage), path, str(k)]
            try:
                done = subprocess.run(line, capture_output=True, text=True)
            except FileNotFoundError as absent:
                raise harness.Missing("valgrind is not installed") from absent
            found = re.search(r"Collected : (\d+)", done.stderr)
            if done.returncode or not found:
                raise harness.Missing("callgrind: " + (done.stderr.strip().splitlines() or ["?"])[-1])
            bench.add(f"{corpus.name}: {kind} {MODES[k]}: instructions a query, {count} queries", int(found.group(1)) // count, "",
                      command="valgrind --tool=callgrind sparse_driver once")


def run(bench):
    parts = wanted("SPARSE_PARTS") or PARTS
    engines, absent = sparse_engines.engines(wanted("SPARSE_PEERS"), bench.quick)
    for key, reason in absent:
        print(f"  SKIPPED {key}: {reason}", flush=True)
    names = ["packages-20000"] if bench.quick else [name for name in ("packages", "long") if name in parts]
    if not names and {"agreement", "instructions"} & set(parts):
        names = ["packages"]
    for name in names:
        those = engines if name.startswith("packages") else [e for e in engines if e.quick]
        corpus = Corpus(bench, name, 50 if bench.quick else QUERIES, those)
        if name.partition("-")[0] in parts:
            compared(bench, corpus)
        else:
            corpus.engines = engines[:1]
            corpus.build()
            corpus.ask()
        if "agreement" in parts:
            agreement(bench, corpus)
        if "instructions" in parts and name.startswith("packages"):
            try:
                instructions(bench, corpus)
            except harness.Missing as missing:
                print(f"  SKIPPED {missing}", flush=True)
    if "growth" in parts:
        growth(bench, engines)
    if absent:
        print("\n  left out: " + "; ".join(f"{key} ({reason})" for key, reason in absent))
