"""What meaning adds to words, without any feedback: nDCG@10 of the whole funnel on NFCorpus, SciFact and Cranfield,
                  with words alone, with the
catalogue's own encoder beside them, and with all-MiniLM-L6-v2 where build/bench/models has it (bench/peers/dense_minilm.py fetches it).
"""

import json
import os

import bench_eval
import bench_impacts
import harness

FIELDS = {"title": {"type": "text", "weight": 3}, "text": {"type": "text"}}
MINILM = os.path.join(harness.ROOT, "build", "bench", "models", "all-MiniLM-L6-v2")


def beir(folder):
    return os.path.join(folder, "corpus.jsonl"), os.path.join(folder, "queries.jsonl"), os.path.join(folder, "qrels", "test.tsv")


def cranfield():
    documents, queries, judgments = bench_impacts.cranfield()
    corpus = documents + ".jsonl"
    with open(documents, encoding="utf-8") as file, open(corpus, "w", encoding="utf-8") as out:
        for line in file:
            number, title, text = line.rstrip("\n").split("\t")
            out.write(json.dumps({"_id": number, "title": title, "text": text}) + "\n")
    return corpus, queries, judgments


def measure(bench, name, kind, encoder, paths):
    """nDCG@10 and recall@100 of a fresh collection."""
    corpus, queries, judgments = paths
    folder = harness.fresh_folder(f"hybrid-{name.lower()}-{kind}")
    fields = dict(FIELDS)
    if encoder:
        fields["meaning"] = encoder
    schema = folder + ".schema.json"
    with open(schema, "w", encoding="utf-8") as out:
        json.dump({"fields": fields, "language": "en"}, out)
    bench.command(["import", "--data", folder, "--schema", schema, "--quiet", corpus])
    if encoder:
        bench.command(["vectors", "--data", folder, "--make", "--quiet"])
    out, _, _, line = bench.command(["eval", "--data", folder, "--queries", queries, "--judgments", judgments, "--metrics",
                                     "ndcg@10,recall@100", "--json", "--quiet"])
    return {m["name"]: m["mean"] for m in json.loads(out)["metrics"]}, line


def run(bench):
    sets = [("NFCorpus", beir(bench_eval.nfcorpus()), .316), ("SciFact", beir(bench_eval.scifact()), .645),
                  ("Cranfield", cranfield(), None)]
    if bench.quick:
        sets = sets[2:]
    for name, paths, minilm_alone in sets:
        words, line = measure(bench, name, "words", None, paths)
        bench.add(f"{name} nDCG@10, words", words["ndcg@10"], "", command=line)
        bench.add(f"{name} recall@100, words", words["recall@100"], "", command=line)
        both, line = measure(bench, name, "catalogue", {"type": "vector", "encoder": "catalogue"}, paths)
        bench.add(f"{name} nDCG@10, words and the catalogue's encoder", both["ndcg@10"], "",
                  bar=round(words["ndcg@10"] - .002, 4), peer="words",
                  peer_value=words["ndcg@10"], command=line)
        bench.add(f"{name} recall@100, words and the catalogue's encoder", both["recall@100"], "", peer="words",
                  peer_value=words["recall@100"], command=line)
        if not minilm_alone or not os.path.isdir(MINILM):
            continue
        both, line = measure(bench, name, "minilm", {"type": "vector", "dimensions": 384, "encoder": {"kind": "bert",
                  "model": MINILM}}, paths)
        best = max(words["ndcg@10"], minilm_alone)
        bench.add(f"{name} nDCG@10, words and MiniLM", both["ndcg@10"], "", bar=round(best + .01, 4), peer="the better of the two",
                  peer_value=best,
                  command=line)
