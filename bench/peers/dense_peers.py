#!/usr/bin/env python3
"""Graphs of other libraries on the same vectors, one thread:
    dense_peers.py ENGINE BASE.f32 QUERIES.f32 TRUTH.i32 DIMENSIONS M EF_CONSTRUCTION EF,EF,…

ENGINE: hnswlib, usearch, usearch-i8, faiss, faiss-sq8. Prints one JSON line about the build and one for each ef. All queries are handed over
in one call, so that the loop over them runs inside the library. Memory: what the process gained, without the raw vectors.
"""

import json
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
import numpy


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Hnswlib:
    def __init__(self, base, m, ef):
        import hnswlib
        self.index = hnswlib.Index(space="cosine", dim=base.shape[1])
        self.index.init_index(max_elements=len(base), ef_construction=ef, M=m, random_seed=1)
        self.index.set_num_threads(1)
        self.index.add_items(base, num_threads=1)

    def search(self, queries, ef):
        self.index.set_ef(max(ef, 10))
        return self.index.knn_query(queries, k=10, num_threads=1)[0]


class Usearch:
    def __init__(self, base, m, ef, dtype="f32"):
        from usearch.index import Index
        self.index = Index(ndim=base.shape[1], metric="cos", dtype=dtype, connectivity=m, expansion_add=ef)
        self.index.add(numpy.arange(len(base)), base, threads=1)

    def search(self, queries, ef):
        self.index.expansion_search = ef
        return self.index.search(queries, 10, threads=1).keys


class Faiss:
    def __init__(self, base, m, ef, codes=False):
        import faiss
        faiss.omp_set_num_threads(1)
        metric = faiss.METRIC_INNER_PRODUCT
        if codes:
            self.index = faiss.IndexHNSWSQ(base.shape[1], faiss.ScalarQuantizer.QT_8bit, m, metric)
        else:
            self.index = faiss.IndexHNSWFlat(base.shape[1], m, metric)
        self.index.hnsw.efConstruction = ef
        if codes:
            self.index.train(base)
        self.index.add(base)

    def search(self, queries, ef):
        self.index.hnsw.efSearch = ef
        return self.index.search(queries, 10)[1]


ENGINES = {"hnswlib": Hnswlib, "usearch": Usearch, "usearch-i8": lambda *a: Usearch(*a, "i8"), "faiss": Faiss,
           "faiss-sq8": lambda *a: Faiss(*a, True)}


def main():
    engine, base_path, query_path, truth_path = sys.argv[1:5]
    dimensions, m, ef = map(int, sys.argv[5:8])
    base = numpy.fromfile(base_path, dtype=numpy.float32).reshape(-1, dimensions)
    queries = numpy.fromfile(query_path, dtype=numpy.float32).reshape(-1, dimensions)
    truth = numpy.fromfile(truth_path, dtype=numpy.int32).reshape(-1, 10)
    base = base / numpy.maximum(numpy.linalg.norm(base, axis=1, keepdims=True), 1e-12)
    queries = queries / numpy.maximum(numpy.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
    before, started = resident(), time.perf_counter()
    index = ENGINES[engine](base, m, ef)
    print(json.dumps({"event": "built", "seconds": time.perf_counter() - started, "memory": resident() - before}), flush=True)
    for breadth in map(int, sys.argv[8].split(",")):
        index.search(queries[:50], breadth)
        best, found = 0, None
        for _ in range(3):
            started = time.perf_counter()
            found = index.search(queries, breadth)
            best = max(best, len(queries) / (time.perf_counter() - started))
        hits = sum(len(set(map(int, a)) & set(map(int, b))) for a, b in zip(found, truth))
        print(json.dumps({"event": "curve", "ef": breadth, "qps": best, "recall": hits / truth.size}), flush=True)


if __name__ == "__main__":
    main()
