<<<<<<< HEAD
"""The dense index beside hnswlib, usearch and faiss: queries a second at the same recall@10, one thread, the same vectors, in one run.

GloVe-100 (19,000 vectors, 1,000 held-out queries), and `packages` as the catalogue's encoder sees them (128 dimensions): 10,000, 100,000 and
1,000,000 vectors, held-out ones as queries. Every engine has M = 16 and 32 on GloVe, the better one counts; on packages M = 16. Recall
.95 and .99 are read from each engine's curve, between its points.
"""

import glob
=======
"""The dense index beside hnswlib, usearch and faiss: same vectors, same queries, one thread on one core, all warm.

Each builds a graph and answers 1,000 queries at one ef after another: a curve of recall@10 against queries a second, on which the rate
at recall .95 and .99 is found by interpolating log(q/s). Engines take turns: peers stay in memory, are asked before Forage and after it,
and keep the better of the rounds. What each peer is told to do is in peers/dense_peers.py, which also says how they are installed;
one that is absent is left out, with the reason. Vectors, encodings and exact neighbours are kept in build/bench/dense.

    DENSE_PARTS=glove,packages,growth,quality          what to do (all)
    DENSE_PEERS=hnswlib,usearch,usearch-i8,faiss,faiss-sq8
    DENSE_CODES=int8,int4                              of Forage; the best at each recall is compared
    DENSE_COUNT=1000000                                packages
"""

>>>>>>> peers
import json
import math
import os
import subprocess
<<<<<<< HEAD
import sys

import harness
import packages

EF = "10,14,20,28,40,56,80,112,160,224,320,480"
ENGINES = ("hnswlib", "usearch", "usearch-i8", "faiss", "faiss-sq8")
EF_CONSTRUCTION = 120


def python():
    """The peers' Python; installs what it lacks."""
    folder = os.path.join(harness.ROOT, "build", "bench", "peers")
    path = os.path.join(folder, "bin", "python")
    if not os.path.exists(path):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wanted = "import numpy, hnswlib, usearch, faiss"
    if subprocess.run([path, "-c", wanted], capture_output=True, check=False).returncode:
        print("installing hnswlib, usearch and faiss for Python …", flush=True)
        subprocess.run([path, "-m", "pip", "install", "--quiet", "numpy", "hnswlib", "usearch", "faiss-cpu"], check=True)
    return path


def lines_of(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]


SPLIT = """
import numpy, sys
source, dimensions, skip, limit, base, queries, truth = sys.argv[1], *map(int, sys.argv[2:5]), *sys.argv[5:]
a = numpy.fromfile(source, dtype=numpy.float32).reshape(-1, dimensions + skip)[:, skip:]
a = a[numpy.linalg.norm(a, axis=1) > 0]
order = numpy.random.RandomState(1).permutation(len(a))
q, b = a[order[:1000]].copy(), a[order[1000:1000 + limit]].copy()
b.tofile(base); q.tofile(queries)
b /= numpy.linalg.norm(b, axis=1, keepdims=True)
q /= numpy.linalg.norm(q, axis=1, keepdims=True)
best = []
for i in range(0, len(q), 100):
    s = q[i:i + 100] @ b.T
    top = numpy.argpartition(-s, 10, axis=1)[:, :10]
    best.append(top)
numpy.concatenate(best).astype(numpy.int32).tofile(truth)
"""


class Set:
    """Base, queries and true neighbours as files."""

    def __init__(self, name, source, dimensions, skip, limit):
        folder = harness.cached("dense-" + name)
        os.makedirs(folder, exist_ok=True)
        self.name, self.dimensions = name, dimensions
        self.base, self.queries, self.truth = (os.path.join(folder, part) for part in ("base.f32", "queries.f32", "truth.i32"))
        if not os.path.exists(self.truth):
            subprocess.run([python(), "-c", SPLIT, source, str(dimensions), str(skip), str(limit), self.base, self.queries, self.truth], check=True)
        self.n = os.path.getsize(self.base) // (4 * dimensions)

    def forage(self, m, code):
        return lines_of([os.path.join(harness.BUILD, "bench", "dense_speed"), "--base", self.base, "--queries", self.queries, "--dimensions",
                         str(self.dimensions), "--metric", "cosine", "--code", code, "--M", str(m), "--ef-construction",
                         str(EF_CONSTRUCTION), "--ef", EF, "--k", "10"])

    def peer(self, engine, m):
        return lines_of([python(), "-B", os.path.join(harness.ROOT, "bench", "peers", "dense_peers.py"), engine, self.base, self.queries,
                         self.truth, str(self.dimensions), str(m), str(EF_CONSTRUCTION), EF])


def at_recall(lines, wanted):
    """Queries a second at this recall, between the two points of the curve around it, in the logarithm; None: it is not reached."""
    below = None
    for point in (line for line in lines if line["event"] == "curve"):
        if point["recall"] >= wanted:
            if below is None or point["recall"] == below["recall"]:
                return point["qps"]
            share = (wanted - below["recall"]) / (point["recall"] - below["recall"])
            return math.exp(math.log(below["qps"]) * (1 - share) + math.log(point["qps"]) * share)
        below = point
    return None


def built(lines):
    return next(line for line in lines if line["event"] == "built")


def better(runs):
    """Of several settings of one engine, the fastest at .95."""
    return max(runs, key=lambda lines: at_recall(lines, .95) or 0)


def compare(bench, data, settings):
    command = f"make bench-dense ({data.n:,} × {data.dimensions})"
    peers = {}
    ours = better([data.forage(m, "int8") for m in settings])
    for engine in ENGINES:
        peers[engine] = better([data.peer(engine, m) for m in settings])
        print(f"  {data.name}: {engine} built in {built(peers[engine])['seconds']:.1f} s", flush=True)
    for recall in (.95, .99):
        mine = at_recall(ours, recall)
        for engine, lines in peers.items():
            theirs = at_recall(lines, recall)
            if theirs:
                print(f"  {data.name}, recall {recall}: {engine} {theirs:,.0f} q/s")
        engine = max(peers, key=lambda e: at_recall(peers[e], recall) or 0)
        theirs = at_recall(peers[engine], recall)
        bench.add(f"{data.name}: q/s at recall@10 {recall}", mine, "/s", peer=engine, peer_value=theirs, command=command)
        bench.add(f"{data.name}: the same, over the best peer's", mine / theirs, "×", bar=1.3, command=command)
    fastest = min(peers, key=lambda e: built(peers[e])["seconds"])
    theirs = built(peers[fastest])["seconds"]
    bench.add(f"{data.name}: build", built(ours)["seconds"], "s", peer=fastest, peer_value=theirs, bar=theirs, lower=True, command=command)
    theirs = built(peers["hnswlib"])["memory"] / 2**20
    bench.add(f"{data.name}: memory of the process", built(ours)["memory"] / 2**20, "MiB", peer="hnswlib", peer_value=theirs, bar=theirs / 2,
              lower=True, command=command)
    bench.add(f"{data.name}: full vectors in a mapped file", built(ours)["mapped"] / 2**20, "MiB", command=command)


def package_vectors(limit):
    """Vectors of the first packages by the catalogue's encoder, trained on 100,000 of them."""
    folder = harness.cached("dense-packages")
    os.makedirs(folder, exist_ok=True)
    texts, model, vectors = (os.path.join(folder, f"{part}-{limit}") for part in ("texts", "model", "vectors.f32"))
    if not os.path.exists(vectors):
        tool = os.path.join(harness.BUILD, "bench", "catalogue_tool")
        with open(texts, "w", encoding="utf-8") as out:
            for i, (_, name, _, _, summary) in enumerate(packages.rows()):
                if i == limit:
                    break
                out.write(f"{name}\t{' '.join((summary or '').split())}\n")
        subprocess.run([tool, "train", "--texts", texts, "--limit", "100000", "--dimensions", "128", "--out", model], check=True)
        subprocess.run([tool, "encode", "--model", model, "--side", "document", "--texts", texts, "--out", vectors + ".part"], check=True)
        os.rename(vectors + ".part", vectors)
    return vectors


def run(bench):
    glove = glob.glob(os.path.join(harness.data("glove100-top20k"), "*.fvecs"))[0]
    compare(bench, Set("GloVe-100", glove, 100, 1, 10**9), (16,) if bench.quick else (16, 32))
    if bench.quick:
        return
    source = package_vectors(1001000)
    for n in (10000, 100000):
        lines = Set(f"packages-{n}", source, 128, 0, n).forage(16, "int8")
        for recall in (.95, .99):
            bench.add(f"{n:,} packages: q/s at recall@10 {recall}", at_recall(lines, recall), "/s", command="make bench-dense")
    compare(bench, Set("packages-1000000", source, 128, 0, 1000000), (16,))
=======

import dense_data
import dense_quality
import harness

PARTS = ("glove", "packages", "growth", "quality")
PEERS = ("hnswlib", "usearch", "usearch-i8", "faiss", "faiss-sq8")
EF = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640)
RECALLS = (.95, .99)
SPEED_BAR, MEMORY_BAR = 1.3, .5
EF_CONSTRUCTION = 120
GROWTH = (10_000, 100_000)


def wanted(name, otherwise):
    return [word for word in os.environ.get(name, "").split(",") if word] or list(otherwise)


def one_core(line):
    return ["taskset", "-c", str(min(os.sched_getaffinity(0))), *line]


class Peer:
    """A peer's process: builds when made, answers ask()."""

    def __init__(self, name, data, m, limit=0):
        self.name, self.m, self.curve = name, m, {}
        python = os.path.join(harness.OUT, "peers", "bin", "python")
        if not os.path.exists(python):
            raise harness.Missing(f"{name}: no build/bench/peers (peers/dense_peers.py)")
        script = os.path.join(harness.ROOT, "bench", "peers", "dense_peers.py")
        line = [python, "-B", script, name, data.base, data.queries, str(data.dimensions), str(m), str(EF_CONSTRUCTION), str(limit),
                data.truth(limit)]
        environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self.process = subprocess.Popen(one_core(line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment)
        self.built = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise harness.Missing(f"{self.name}: " + (self.process.stderr.read().strip().splitlines() or ["?"])[-1])
        return json.loads(line)

    def ask(self, efs):
        self.process.stdin.write(" ".join(map(str, efs)) + "\n")
        self.process.stdin.flush()
        while (row := self.read())["event"] != "done":
            keep_better(self.curve, row)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def keep_better(curve, row):
    if row["ef"] not in curve or row["qps"] > curve[row["ef"]]["qps"]:
        curve[row["ef"]] = row


class Forage:
    """A code of Forage's: built and asked in one process, once a round."""

    def __init__(self, code, m=16):
        self.name, self.code, self.m, self.curve, self.built = f"forage {code}", code, m, {}, None

    def measure(self, data, efs, limit=0):
        line = [dense_data.tool("dense_speed"), "--base", data.base, "--queries", data.queries, "--dimensions", str(data.dimensions),
                "--metric", "cosine", "--code", self.code, "--M", str(self.m), "--ef-construction", str(EF_CONSTRUCTION), "--k", "10",
                "--ef", ",".join(map(str, efs))] + (["--limit", str(limit)] if limit else [])
        done = subprocess.run(one_core(line), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"dense_speed ended with {done.returncode}: {done.stderr.strip()}")
        for row in map(json.loads, done.stdout.splitlines()):
            if row["event"] == "curve":
                keep_better(self.curve, row)
            elif not self.built or row["seconds"] < self.built["seconds"]:
                self.built = row


def rate_at(curve, recall):
    """q/s where the curve passes the recall; None where it does not reach it. What is above at the smallest ef counts as it is."""
    rows = sorted(curve.values(), key=lambda row: row["ef"])
    for i, row in enumerate(rows):
        if row["recall"] >= recall:
            if not i:
                return row["qps"]
            before = rows[i - 1]
            share = (recall - before["recall"]) / (row["recall"] - before["recall"])
            return math.exp(math.log(before["qps"]) + share * (math.log(row["qps"]) - math.log(before["qps"])))
    return None


def print_curves(data, engines):
    print(f"\n  {data.name}: recall@10 / q/s at each ef; below: seconds to build, MiB")
    efs = sorted({ef for e in engines for ef in e.curve})
    table = [["ef", *[f"{e.name} M={e.m}" for e in engines]]]
    for ef in efs:
        table.append([str(ef), *[f"{e.curve[ef]['recall']:.4f} / {e.curve[ef]['qps']:,.0f}" if ef in e.curve else "-" for e in engines]])
    table.append(["built", *[f"{e.built['seconds']:.1f} s, {e.built['memory'] / 2**20:,.1f}" for e in engines]])
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  " + "  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip())
    print(flush=True)


def start_peers(data, ms):
    peers = []
    for name in wanted("DENSE_PEERS", PEERS):
        for m in ms:
            try:
                peers.append(Peer(name, data, m))
                built = peers[-1].built
                print(f"  {data.name}: {name} {built['version']}, M = {m}: built in {built['seconds']:.1f} s", flush=True)
            except harness.Missing as missing:
                print(f"  SKIPPED {missing}", flush=True)
                break
    return peers


def compare(bench, data, ms, rounds):
    forages = [Forage(code) for code in wanted("DENSE_CODES", ("int8", "int4"))]
    peers = start_peers(data, ms)
    try:
        for number in range(rounds):
            for peer in peers:
                peer.ask(EF)
            for forage in forages:
                forage.measure(data, EF)
        if rounds == 1:
            for peer in peers:
                peer.ask(EF)
    finally:
        for peer in peers:
            peer.stop()
    print_curves(data, [*forages, *peers])
    add_rows(bench, data, forages, peers)
    return forages


def add_rows(bench, data, forages, peers):
    for recall in RECALLS:
        ours = {f: rate_at(f.curve, recall) for f in forages}
        theirs = {p: rate_at(p.curve, recall) for p in peers}
        ours, theirs = ({e: rate for e, rate in side.items() if rate} for side in (ours, theirs))
        for engine, rate in [*ours.items(), *theirs.items()]:
            bench.add(f"{data.name}: {engine.name}, M = {engine.m}, at recall {recall}", rate, "q/s")
        if not ours:
            bench.add(f"{data.name}: no code of Forage's reaches recall {recall}; q/s", 0, "q/s", bar=1)
            continue
        own = max(ours, key=ours.get)
        if theirs:
            best = max(theirs, key=theirs.get)
            bench.add(f"{data.name}: {own.name} at recall {recall}, times the best peer's", ours[own] / theirs[best], "", bar=SPEED_BAR,
                      peer=f"{best.name}, M = {best.m}: {theirs[best]:,.0f} q/s", command="dense_speed")
        full = [p for p in theirs if p.name == "hnswlib"]
        if full:
            least = min(full, key=lambda p: p.built["memory"])
            bench.add(f"{data.name}: {own.name} at recall {recall}: memory, share of hnswlib's",
                      own.built["memory"] / least.built["memory"], "", bar=MEMORY_BAR, lower=True,
                      peer=f"{least.built['memory'] / 2**20:,.1f} MiB (of its own: {least.built['own'] / 2**20:,.1f})")
    for forage in forages:
        bench.add(f"{data.name}: {forage.name}: memory beside the mapped vectors", forage.built["memory"] / 2**20, "MiB")
        bench.add(f"{data.name}: {forage.name}: mapped from its file", forage.built["mapped"] / 2**20, "MiB")
        if peers:
            quickest = min(peers, key=lambda p: p.built["seconds"])
            bench.add(f"{data.name}: {forage.name}: seconds to build, share of the quickest peer's",
                      forage.built["seconds"] / quickest.built["seconds"], "", bar=1, lower=True,
                      peer=f"{quickest.name}, M = {quickest.m}: {quickest.built['seconds']:.1f} s")


def growth(bench, data, at_most):
    """q/s at a fixed recall as the packages grow."""
    for limit in [n for n in GROWTH if n < data.rows] + [data.rows]:
        forage = at_most if limit == data.rows and at_most else Forage("int8")
        if not forage.curve:
            forage.measure(data, EF, 0 if limit == data.rows else limit)
        for recall in RECALLS:
            rate = rate_at(forage.curve, recall)
            bench.add(f"growth: {forage.name}, {limit:,} packages, at recall {recall}", rate or 0, "q/s")


def run(bench):
    parts = wanted("DENSE_PARTS", ("glove",) if bench.quick else PARTS)
    if "glove" in parts:
        compare(bench, dense_data.glove(), (16,) if bench.quick else (16, 32), 1 if bench.quick else 3)
    if {"packages", "growth"} & set(parts):
        try:
            data = dense_data.million(int(os.environ.get("DENSE_COUNT", "20000" if bench.quick else "1000000")))
            forages = compare(bench, data, (16,), 1) if "packages" in parts else []
            if "growth" in parts:
                growth(bench, data, next((f for f in forages if f.code == "int8"), None))
        except harness.Missing as missing:
            print(f"  SKIPPED packages: {missing}", flush=True)
    if "quality" in parts:
        try:
            dense_quality.run(bench)
        except harness.Missing as missing:
            print(f"  SKIPPED quality: {missing}", flush=True)
>>>>>>> peers
