"""PISA for bench_sparse, by the extension module of pyterrier-pisa (README.md says how it is installed).

    sparse_pisa.py index TOKENS FOLDER                 one JSON object: documents, cpu_s, wall_s, bytes
    sparse_pisa.py search FOLDER QUERIES MODES RUNS    a JSON object per query and mode, then one of the process

PISA has no positions, so no phrases, and does not count; these are left out. A query is one call of the module with
prepared tokens; what the call itself costs, found by a query of no known word, is taken off. Of PISA's algorithms the fastest
for a class and a k takes part.
"""

import glob
import importlib.util
import json
import os
import re
import resource
import shutil
import sys
import time

import numpy

K1, B, BLOCK, ENCODING = 0.9, 0.4, 64, "block_simdbp"
ALGORITHMS = {"union": ("block_max_maxscore", "maxscore", "block_max_wand"), "intersection": ("block_max_ranked_and", "ranked_and")}


def module():
    found = importlib.util.find_spec("pyterrier_pisa").submodule_search_locations[0]
    path = glob.glob(os.path.join(found, "_pisathon.*.so"))[0]
    spec = importlib.util.spec_from_file_location("_pisathon", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def context(pisa, folder):
    made = pisa.RetrievalContext()
    pisa.prepare_index(made, folder, ENCODING, "bm25", "", block_size=BLOCK, quantize=1, bm25_k1=K1, bm25_b=B, stop_fname="")
    return made


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def index(pisa, tokens, folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    numbered = folder + ".numbered"
    with open(tokens, encoding="ascii") as file, open(numbered, "w", encoding="ascii") as out:
        out.writelines(f"{i} {line}" for i, line in enumerate(file))
    start, used = time.monotonic(), cpu()
    pisa.index(numbered, folder, "", 100_000, 1)
    context(pisa, folder)
    wall, used = time.monotonic() - start, cpu() - used
    os.remove(numbered)
    lists = [p for p in glob.glob(os.path.join(folder, "bm25*"))] + [os.path.join(folder, "fwd.termlex")]
    with open(os.path.join(folder, "fwd.documents"), encoding="ascii") as file:
        documents = sum(1 for _ in file)
    print(json.dumps({"engine": "PISA", "documents": documents, "cpu_s": used, "wall_s": wall,
                      "bytes": sum(map(os.path.getsize, lists))}))


class Answers:
    def __init__(self, pisa, made, k):
        self.pisa, self.made, self.k = pisa, made, k
        self.docnos = numpy.empty(k, dtype=object)
        self.queries, self.ranks = numpy.empty(k, dtype=numpy.int32), numpy.empty(k, dtype=numpy.int32)
        self.scores = numpy.empty(k, dtype=numpy.float32)

    def one(self, words, algorithm):
        query = [(0, words)]
        start = time.perf_counter_ns()
        n = self.pisa.retrieve(self.made, algorithm, query, k=self.k, threads=1, pretokenised=True, query_weighted=0,
                               result_qidxs=self.queries, result_docnos=self.docnos, result_ranks=self.ranks,
                               result_scores=self.scores)
        return n, time.perf_counter_ns() - start


def timed(answers, questions, algorithm, runs):
    best = [min(answers.one({"\x7f": 1.0}, algorithm)[1] for _ in range(200))] + [1 << 62] * len(questions)
    for run in range(runs + 1):
        for i, (_, words) in enumerate(questions):
            took = answers.one(words, algorithm)[1]
            if run:
                best[i + 1] = min(best[i + 1], took)
    return [max(b - best[0], 1) for b in best[1:]]


def search(pisa, folder, path, modes, runs):
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file]
    made = context(pisa, folder)
    chosen = {}
    for k in (int(mode) for mode in modes.split(",") if mode != "0"):
        answers = Answers(pisa, made, k)
        for kind, algorithms in ALGORITHMS.items():
            questions = [(i, {w: 1.0 for w in line[1:]}) for i, line in enumerate(lines) if line[0] == kind]
            sums = {a: sum(timed(answers, questions, a, 1)) for a in algorithms}
            chosen[f"{kind} {k}"] = best = min(sums, key=sums.get)
            for (i, words), ns in zip(questions, timed(answers, questions, best, runs), strict=True):
                n = answers.one(words, best)[0]
                row = {"i": i, "class": kind, "k": k, "ns": ns, "n": n}
                if k == 10:
                    row["top"] = [int(d) for d in answers.docnos[:n]]
                print(json.dumps(row))
    with open("/proc/self/status", encoding="ascii") as file:
        memory = {name: int(kib) * 1024 for name, kib in re.findall(r"^(VmRSS|RssAnon|RssFile):\s*(\d+)", file.read(), re.M)}
    print(json.dumps({"engine": "PISA", "chosen": chosen, **memory}))


if sys.argv[1] == "index":
    index(module(), *sys.argv[2:4])
else:
    search(module(), *sys.argv[2:5], int(sys.argv[5]))
