"""What meaning adds to words, without any feedback: nDCG@10 of the whole funnel with words alone, with the catalogue's own encoder beside
them, and with all-MiniLM-L6-v2 where build/bench/models has it (bench/peers/dense_minilm.py fetches it).

MiniLM's bars are the better of words and of its vectors alone, and a plain reciprocal rank fusion of these two (k = 60, the first 1,000
of each).

    HYBRID_SETS=NFCorpus,SciFact,Cranfield,Chorus      which sets (all)
"""

import json
import os

import bench_eval
import bench_impacts
import chorus
import dense_quality
import harness

FIELDS = {"title": {"type": "text", "weight": 3}, "text": {"type": "text"}}
MINILM = os.path.join(harness.ROOT, "build", "bench", "models", "all-MiniLM-L6-v2")
RRF_K = 60


def beir(folder):
    return os.path.join(folder, "corpus.jsonl"), os.path.join(folder, "queries.jsonl"), os.path.join(folder, "qrels", "test.tsv")


def lines(paths):
    """documents.tsv as JSON lines."""
    documents, queries, judgments = paths
    corpus = documents + ".jsonl"
    with open(documents, encoding="utf-8") as file, open(corpus, "w", encoding="utf-8") as out:
        for line in file:
            number, title, text = line.rstrip("\n").split("\t")
            out.write(json.dumps({"_id": number, "title": title, "text": text}) + "\n")
    return corpus, queries, judgments


class Set:
    def __init__(self, bench, name, paths, folder=None):
        self.bench, self.name, self.folder = bench, name, folder
        self.corpus, self.queries, self.judgments = paths

    def measure(self, kind, encoder, run=None):
        """nDCG@10 and recall@100 of a fresh collection, and the command."""
        folder = harness.fresh_folder(f"hybrid-{self.name.lower()}-{kind}")
        fields = dict(FIELDS, **({"meaning": encoder} if encoder else {}))
        schema = folder + ".schema.json"
        with open(schema, "w", encoding="utf-8") as out:
            json.dump({"fields": fields, "language": "en"}, out)
        self.bench.command(["import", "--data", folder, "--schema", schema, "--quiet", self.corpus])
        if encoder:
            self.bench.command(["vectors", "--data", folder, "--make", "--quiet"])
        return self.evaluate(["--data", folder, "--queries", self.queries, *(["--run-out", run] if run else [])])

    def evaluate(self, what):
        out, _, _, line = self.bench.command(["eval", *what, "--judgments", self.judgments, "--metrics", "ndcg@10,recall@100", "--json",
                                              "--quiet"])
        return {m["name"]: m["mean"] for m in json.loads(out)["metrics"]}, line

    def with_catalogue(self, words):
        both, line = self.measure("catalogue", {"type": "vector", "encoder": "catalogue"})
        for metric in ("ndcg@10", "recall@100"):
            self.bench.add(f"{self.name} {metric}, words and the catalogue's encoder", both[metric], "", peer="words",
                           peer_value=words[metric], bar=round(words[metric] - .002, 4) if metric == "ndcg@10" else None, command=line)

    def with_minilm(self, words, words_run):
        both, line = self.measure("minilm", {"type": "vector", "dimensions": 384, "encoder": {"kind": "bert", "model": MINILM}})
        vectors_run, fused_run = words_run + ".vectors", words_run + ".fused"
        alone = dense_quality.alone(self.name, self.folder, "int8", vectors_run)
        best = max(words["ndcg@10"], alone)
        self.bench.add(f"{self.name} nDCG@10, MiniLM's vectors alone", alone, "", command="make bench-hybrid")
        self.bench.add(f"{self.name} nDCG@10, words and MiniLM", both["ndcg@10"], "", bar=round(best + .01, 4),
                       peer="the better of the two", peer_value=best, command=line)
        fuse((words_run, vectors_run), fused_run)
        fused, fused_line = self.evaluate(["--run", fused_run])
        self.bench.add(f"{self.name} nDCG@10, the same, beside plain RRF of the two", both["ndcg@10"], "", bar=round(fused["ndcg@10"], 4),
                       peer="RRF", peer_value=fused["ndcg@10"], command=fused_line)
        self.bench.add(f"{self.name} recall@100, words and MiniLM", both["recall@100"], "", peer="RRF", peer_value=fused["recall@100"],
                       command=line)


def fuse(runs, out):
    """Reciprocal rank fusion (Cormack et al. 2009)."""
    scores = {}
    for run in runs:
        with open(run, encoding="utf-8") as file:
            for line in file:
                query, _, document, rank = line.split()[:4]
                scores.setdefault(query, {}).setdefault(document, 0)
                scores[query][document] += 1 / (RRF_K + int(rank))
    with open(out, "w", encoding="utf-8") as file:
        for query, found in scores.items():
            for rank, document in enumerate(sorted(found, key=lambda d: (-found[d], d))[:1000], 1):
                file.write(f"{query} Q0 {document} {rank} {found[document]:.8f} rrf\n")


def run(bench):
    sets = {"NFCorpus": lambda: (beir(bench_eval.nfcorpus()), bench_eval.nfcorpus()),
            "SciFact": lambda: (beir(bench_eval.scifact()), bench_eval.scifact()),
            "Cranfield": lambda: (lines(bench_impacts.cranfield()), None), "Chorus": lambda: (lines(chorus.paths()), None)}
    wanted = [s for s in os.environ.get("HYBRID_SETS", "Cranfield" if bench.quick else "").split(",") if s] or list(sets)
    for name in wanted:
        paths, folder = sets[name]()
        one = Set(bench, name, paths, folder)
        words_run = harness.cached(f"hybrid-{name.lower()}.run")
        words, line = one.measure("words", None, words_run)
        for metric in ("ndcg@10", "recall@100"):
            bench.add(f"{name} {metric}, words", words[metric], "", command=line)
        one.with_catalogue(words)
        if folder and os.path.isdir(MINILM):
            one.with_minilm(words, words_run)
