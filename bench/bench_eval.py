"""Retrieval quality with default settings on two public test sets, through `forage eval`.

The peer is BM25 as Anserini runs it (flat index, the BEIR reproductions): nDCG@10 .322 and .679.
"""

import gzip
import json
import os
import shutil
import zipfile

import harness

PEER = "Anserini BM25 (published)"


def nfcorpus():
    folder = harness.cached("nfcorpus")
    if not os.path.exists(folder):
        with zipfile.ZipFile(harness.data("beir", "nfcorpus.zip")) as archive:
            archive.extractall(harness.cached(""))
    return folder


def scifact():
    """Topics as TSV and judgments as TREC become queries.jsonl and qrels/test.tsv, the layout of BEIR."""
    folder = harness.cached("scifact")
    source = harness.data("beir", "scifact")
    if os.path.exists(folder):
        return folder
    part = folder + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(os.path.join(part, "qrels"))
    with gzip.open(os.path.join(source, "corpus.jsonl.gz"), "rb") as zipped, \
            open(os.path.join(part, "corpus.jsonl"), "wb") as file:
        shutil.copyfileobj(zipped, file)
    with gzip.open(os.path.join(source, "topics.beir-v1.0.0-scifact.test.tsv.gz"), "rt", encoding="utf-8") as topics, \
            open(os.path.join(part, "queries.jsonl"), "w", encoding="utf-8") as file:
        for line in topics:
            number, text = line.rstrip("\n").split("\t", 1)
            file.write(json.dumps({"_id": number, "text": text}, ensure_ascii=False) + "\n")
    with open(os.path.join(source, "qrels.beir-v1.0.0-scifact.test.txt"), encoding="utf-8") as qrels, \
            open(os.path.join(part, "qrels", "test.tsv"), "w", encoding="utf-8") as file:
        file.write("query-id\tcorpus-id\tscore\n")
        for line in qrels:
            query, _, document, grade = line.split()
            file.write(f"{query}\t{document}\t{grade}\n")
    os.rename(part, folder)
    return folder


def run(bench):
    for name, folder, bar, published in (("NFCorpus", nfcorpus(), 0.318, 0.322), ("SciFact", scifact(), 0.665, 0.679)):
        out, seconds, _, line = bench.command(["eval", "--beir", folder, "--import", "--json", "--quiet"])
        report = json.loads(out)
        for metric in report["metrics"]:
            main = metric["name"] == "ndcg@10"
            bench.add(f"{name} {metric['name']}", metric["mean"], "", bar=bar if main else None,
                      peer=PEER if main else None, peer_value=published if main else None, command=line)
        bench.add(f"{name}, import and {report['queries']} queries", seconds, "s", command=line)
