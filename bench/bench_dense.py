"""The dense index beside hnswlib, usearch and faiss: queries a second at the same recall@10, one thread, the same vectors, in one run.

GloVe-100 (19,000 vectors, 1,000 held-out queries), and `packages` as the catalogue's encoder sees them (128 dimensions): 10,000, 100,000 and
1,000,000 vectors, held-out ones as queries. Every engine has M = 16 and 32 on GloVe, the better one counts; on packages M = 16. Recall
.95 and .99 are read from each engine's curve, between its points.
"""

import glob
import json
import math
import os
import subprocess
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
