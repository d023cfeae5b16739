"""nDCG@10 of MiniLM alone on NFCorpus and SciFact: encode_tool's vectors, every document scored (peers/dense_ndcg.py)."""

import json
import os
import subprocess

import bench_eval
import dense_data
import harness

PUBLISHED = {"NFCorpus": (.316, .004), "SciFact": (.645, .006)}


def texts(name, folder):
    """Files of the documents' texts (title, space, text) and the queries', one a line, and the ids beside them."""
    made = []
    for kind, source in (("documents", "corpus.jsonl"), ("queries", "queries.jsonl")):
        target, ids = dense_data.path(f"{name}-{kind}.txt"), dense_data.path(f"{name}-{kind}.ids")
        with open(os.path.join(folder, source), encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        if kind == "queries":
            with open(os.path.join(folder, "qrels", "test.tsv"), encoding="utf-8") as file:
                judged = {line.split("\t")[0] for line in list(file)[1:]}
            rows = [row for row in rows if row["_id"] in judged]
        with open(target, "w", encoding="utf-8") as file:
            file.writelines(" ".join((row.get("title", "") + " " + row["text"]).split()) + "\n" for row in rows)
        with open(ids, "w", encoding="utf-8") as file:
            file.writelines(row["_id"] + "\n" for row in rows)
        made.append((target, ids))
    return made


def encode(source, side, precision):
    target = source.replace(".txt", f".{precision}.f32")
    model = os.path.join(harness.OUT, "models", "all-MiniLM-L6-v2")
    if not os.path.exists(model):
        raise harness.Missing("no build/bench/models/all-MiniLM-L6-v2 (peers/dense_minilm.py)")
    if not os.path.exists(target):
        dense_data.run(dense_data.tool("encode_tool"), "encode", "--model", model, "--texts", source, "--out", target + ".part", "--side",
                       side, "--precision", precision, "--most", "256")
        os.replace(target + ".part", target)
    return target


def alone(name, folder, precision, run=None):
    """nDCG@10 of MiniLM's vectors by themselves; `run`: a file for its results."""
    python = os.path.join(harness.OUT, "peers", "bin", "python")
    if not os.path.exists(python):
        raise harness.Missing("no build/bench/peers (peers/dense_peers.py)")
    script = os.path.join(harness.ROOT, "bench", "peers", "dense_ndcg.py")
    (documents, ids), (queries, query_ids) = texts(name, folder)
    line = [python, "-B", script, encode(documents, "document", precision), ids, encode(queries, "query", precision), query_ids,
            os.path.join(folder, "qrels", "test.tsv")] + ([run] if run else [])
    return json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)["ndcg@10"]


def run(bench):
    for name, folder in (("NFCorpus", bench_eval.nfcorpus()), ("SciFact", bench_eval.scifact())):
        for precision in ("fp32", "int8"):
            value = alone(name, folder, precision)
            published, apart = PUBLISHED[name]
            bench.add(f"{name}: MiniLM {precision} alone, nDCG@10", value, "", peer="published", peer_value=published)
            bench.add(f"{name}: MiniLM {precision}: apart from the published", abs(value - published), "", lower=True,
                      bar=apart if precision == "fp32" else None)
