"""One peer of the dense index, built and then asked as often as told:

    dense_peers.py PEER BASE QUERIES DIMENSIONS M EF_CONSTRUCTION LIMIT TRUTH

    python3 -m venv build/bench/peers
    build/bench/peers/bin/pip install numpy hnswlib usearch faiss-cpu

PEER is hnswlib, usearch, usearch-i8, faiss or faiss-sq8. BASE and QUERIES are rows of float32, which are brought to length 1 before
any clock starts, so that everybody may take inner products. Prints {"event": "built"}, then, for each line "EF EF …" of standard
input, a {"event": "curve"} for each ef. All queries go to the library in one call with one thread: the loop over queries is its own
C++, and no call of Python is on its bill. TRUTH caches the ten nearest by exhaustive search.
"""

import ctypes
import json
import os
import re
import sys
import time

import numpy as np

K = 10


def anonymous():
    """Resident bytes that are not file pages, without what the allocator keeps of freed rows."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status", encoding="utf-8") as file:
        return int(re.search(r"^RssAnon:\s*(\d+) kB", file.read(), re.M).group(1)) * 1024


class Hnswlib:
    def __init__(self, n, dimensions, m, ef):
        import hnswlib
        self.version = getattr(hnswlib, "__version__", "")
        self.index = hnswlib.Index("ip", dimensions)
        self.index.init_index(max_elements=n, M=m, ef_construction=ef, random_seed=1)
        self.index.set_num_threads(1)

    def add(self, first, rows):
        self.index.add_items(rows, np.arange(first, first + len(rows)), num_threads=1)

    def search(self, queries, ef):
        self.index.set_ef(ef)
        return lambda: self.index.knn_query(queries, K, num_threads=1)[0]

    def own_bytes(self):
        return self.index.index_file_size()


class Usearch:
    def __init__(self, n, dimensions, m, ef, dtype="f32"):
        import usearch
        from usearch.index import Index
        self.version = usearch.__version__
        self.index = Index(ndim=dimensions, metric="ip" if dtype == "f32" else "cos", dtype=dtype, connectivity=m, expansion_add=ef,
                           enable_key_lookups=False)

    def add(self, first, rows):
        self.index.add(np.arange(first, first + len(rows), dtype=np.uint64), rows, threads=1)

    def search(self, queries, ef):
        self.index.expansion_search = ef
        return lambda: self.index.search(queries, K, threads=1).keys

    def own_bytes(self):
        return self.index.memory_usage


class Faiss:
    def __init__(self, n, dimensions, m, ef, quantised=False):
        import faiss
        faiss.omp_set_num_threads(1)
        self.version, self.quantised = faiss.__version__, quantised
        if quantised:
            self.index = faiss.IndexHNSWSQ(dimensions, faiss.ScalarQuantizer.QT_8bit, m, faiss.METRIC_INNER_PRODUCT)
        else:
            self.index = faiss.IndexHNSWFlat(dimensions, m, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = ef

    def add(self, first, rows):
        if self.quantised and not first:
            self.index.train(rows)
        self.index.add(rows)

    def search(self, queries, ef):
        self.index.hnsw.efSearch = ef
        return lambda: self.index.search(queries, K)[1]

    def own_bytes(self):
        return 0  # faiss does not say


PEERS = {"hnswlib": Hnswlib, "usearch": Usearch, "usearch-i8": lambda *a: Usearch(*a, dtype="i8"), "faiss": Faiss,
         "faiss-sq8": lambda *a: Faiss(*a, quantised=True)}


def unit_rows(path, dimensions, limit=0):
    """Of length 1, from the file or from a copy on disk that is mapped, so that the rows are not among the anonymous pages."""
    copy = f"{path}.{limit or 'all'}.unit.npy"
    if not os.path.exists(copy):
        rows = np.fromfile(path, "<f4", count=limit * dimensions if limit else -1).reshape(-1, dimensions)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        np.save(copy + ".part.npy", rows)
        os.replace(copy + ".part.npy", copy)
    return np.load(copy, mmap_mode="r")


def truth(path, base, queries):
    if not os.path.exists(path):
        best = np.concatenate([np.argsort(-(queries[i:i + 20] @ base.T), axis=1, kind="stable")[:, :K] if len(base) < 50_000 else
                               nearest(base, queries[i:i + 20]) for i in range(0, len(queries), 20)])
        np.save(path + ".part.npy", best)
        os.replace(path + ".part.npy", path)
    return np.load(path)


def nearest(base, queries):
    scores = queries @ base.T
    some = np.argpartition(-scores, K, axis=1)[:, :K]
    return np.take_along_axis(some, np.argsort(-np.take_along_axis(scores, some, 1), axis=1), 1)


def say(**row):
    print(json.dumps(row), flush=True)


def main():
    peer, base, queries, dimensions, m, ef, limit, exact = sys.argv[1:]
    base = unit_rows(base, int(dimensions), int(limit))
    queries = np.array(unit_rows(queries, int(dimensions)))
    exact = truth(exact, base, queries)
    PEERS[peer](10, int(dimensions), int(m), int(ef))  # loads the library, whose pages are not the index's
    before, seconds = anonymous(), 0.0
    index = PEERS[peer](len(base), int(dimensions), int(m), int(ef))
    step = 50_000  # rows are copied out of the map bit by bit, outside the clock
    for first in range(0, len(base), step):
        rows = np.array(base[first:first + step])
        start = time.perf_counter()
        index.add(first, rows)
        seconds += time.perf_counter() - start
        del rows
    say(event="built", seconds=seconds, memory=anonymous() - before, own=index.own_bytes(), version=index.version)
    for line in sys.stdin:
        for beam in map(int, line.split()):
            search = index.search(queries, beam)
            search()
            best = np.inf
            for _ in range(2):
                start = time.perf_counter()
                found = search()
                best = min(best, time.perf_counter() - start)
            hits = sum(len(set(map(int, a)) & set(map(int, b))) for a, b in zip(found, exact))
            say(event="curve", ef=beam, qps=len(queries) / best, recall=hits / exact.size)
        say(event="done")


if __name__ == "__main__":
    main()
