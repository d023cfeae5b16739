"""What it costs to keep impacts in 8 bits: nDCG@10 of the search beside the same BM25F in double, from exact frequencies.

NFCorpus and SciFact as `eval` has them (title and text), Cranfield (title and abstract; its codes 1 to 4, of which 1 is the
most relevant, are gains 4 to 1). English analysis, titles weigh 3, k1 .9, b .4; queries that have judgments.
"""

import json
import os
import re
import subprocess

import bench_eval
import harness


def line(*cells):
    return "\t".join(re.sub(r"\s+", " ", cell).strip() for cell in cells) + "\n"


def beir(folder):
    """Documents and queries of a BEIR folder as lines; its judgments are as they have to be."""
    documents, queries = os.path.join(folder, "documents.tsv"), os.path.join(folder, "queries.tsv")
    for source, target, members in (("corpus.jsonl", documents, ("_id", "title", "text")),
                                    ("queries.jsonl", queries, ("_id", "text"))):
        with open(os.path.join(folder, source), encoding="utf-8") as file, open(target, "w", encoding="utf-8") as out:
            for record in map(json.loads, file):
                out.write(line(*(record.get(member) or "" for member in members)))
    return documents, queries, os.path.join(folder, "qrels", "test.tsv")


def records(path):
    """Fields of each `.I` record by letter."""
    with open(path, encoding="latin-1") as file:
        text = file.read()
    for record in re.split(r"^\.I +", text, flags=re.M)[1:]:
        parts = re.split(r"^\.([A-Z])[ ]*\n", record, flags=re.M)
        yield parts[0].strip(), dict(zip(parts[1::2], parts[2::2]))


def cranfield():
    """The judgments number queries as they come, whatever their `.I` says."""
    folder = harness.cached("cranfield")
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, name) for name in ("documents.tsv", "queries.tsv", "judgments.txt")]
    with open(paths[0], "w", encoding="utf-8") as out:
        for number, fields in records(harness.data("glasgow-ir", "cran", "cran.all.1400")):
            out.write(line(number, fields.get("T", ""), fields.get("W", "")))
    with open(paths[1], "w", encoding="utf-8") as out:
        for number, (_, fields) in enumerate(records(harness.data("glasgow-ir", "cran", "cran.qry")), 1):
            out.write(line(str(number), fields["W"]))
    with open(harness.data("glasgow-ir", "cran", "cran.qrels"), encoding="ascii") as file, \
            open(paths[2], "w", encoding="ascii") as out:
        for judged in file:
            query, document, code = judged.split()
            out.write(f"{query} 0 {document} {5 - int(code) if 1 <= int(code) <= 4 else 0}\n")
    return paths


def run(bench):
    driver = os.path.join(harness.BUILD, "bench", "impacts_driver")
    for name, paths in (("NFCorpus", beir(bench_eval.nfcorpus())), ("SciFact", beir(bench_eval.scifact())),
                        ("Cranfield", cranfield())):
        out = subprocess.run([driver, *paths], check=True, capture_output=True, text=True).stdout
        queries, impacts, exact, different = map(float, out.split())
        command = f"impacts_driver on {queries:.0f} queries, {different:.0f} with other ten"
        bench.add(f"{name} nDCG@10, impacts of 8 bits", impacts, "", peer="exact", peer_value=exact, command=command)
        bench.add(f"{name} difference", abs(impacts - exact), "", bar=.002, lower=True, command=command)
