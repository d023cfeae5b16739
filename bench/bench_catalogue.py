"""The catalogue's own encoder: nDCG@10 of its vectors alone, learned from the documents without any feedback, beside a random order;
what training queries add on NFCorpus; how long a training takes on `packages`.

Vectors are compared exactly; the search engine is not part of this.
"""

import json
import math
import os
import random
import subprocess

import bench_eval
import bench_impacts
import chorus
import harness
import lastfm_halves
import packages

DIMENSIONS = 128
MARGIN = .2  # above a random order


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def judgments(path):
    """query → {document: gain}; BEIR's files have a header and three columns, TREC's four."""
    judged = {}
    for cells in map(str.split, open(path, encoding="utf-8")):
        if len(cells) == 4:
            cells = [cells[0], cells[2], cells[3]]
        if cells[-1].lstrip("-").isdigit() and int(cells[2]) > 0:
            judged.setdefault(cells[0], {})[cells[1]] = int(cells[2])
    return judged


def ndcg(ranked, gains, k=10):
    got = sum(gains.get(d, 0) / math.log2(i + 2) for i, d in enumerate(ranked[:k]))
    best = sum(g / math.log2(i + 2) for i, g in enumerate(sorted(gains.values(), reverse=True)[:k]))
    return got / best if best else 0


def tool(*arguments):
    return subprocess.run([os.path.join(harness.BUILD, "bench", "catalogue_tool"), *arguments], check=True, capture_output=True,
                          text=True).stdout


def write_texts(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        out.writelines("\t".join(cells) + "\n" for cells in rows)


def with_queries(path, documents, pairs):
    """Documents as the engine encodes them: with the queries that led to them, each as often as training counts it."""
    led = {}
    for document, text in pairs:
        led.setdefault(document, {}).setdefault(text, 0)
        led[document][text] += 1
    write_texts(path, ((*cells[1:], *(text for text, n in sorted(led.get(str(i), {}).items(), key=lambda item: (-item[1], item[0]))[:64]
                                       for _ in range(round(math.log1p(n) + 1)))) for i, cells in enumerate(documents)))


def nearest(name, documents, queries, k, pairs=None):
    """For each query its nearest documents' places (both are lines of cells, the first an id), and what the training said."""
    folder = harness.cached("catalogue-" + name.lower())
    os.makedirs(folder, exist_ok=True)
    paths = {part: os.path.join(folder, part) for part in ("documents", "queries", "model", "pairs")}
    write_texts(paths["documents"], (cells[1:] for cells in documents))
    write_texts(paths["queries"], (cells[1:] for cells in queries))
    more = []
    if pairs:
        write_texts(paths["pairs"], pairs)
        more = ["--pairs", paths["pairs"]]
    trained = json.loads(tool("train", "--texts", paths["documents"], "--dimensions", str(DIMENSIONS), "--out", paths["model"], *more))
    if pairs:
        with_queries(paths["documents"], documents, pairs)
    found = tool("nearest", "--model", paths["model"], "--documents", paths["documents"], "--queries", paths["queries"], "--k", str(k))
    return [[int(place) for place in line.split()] for line in found.splitlines()], trained


def evaluate(name, documents, queries, judged, pairs=None):
    """Mean nDCG@10 over the judged queries, and what the training said."""
    asked = [cells for cells in queries if cells[0] in judged]
    best, trained = nearest(name, documents, asked, 10, pairs)
    values = [ndcg([documents[place][0] for place in places], judged[cells[0]]) for cells, places in zip(asked, best)]
    return sum(values) / len(values), trained


def replayed_recall(depth=100):
    """Recall at a depth of the artist that was chosen in the second half of the Last.fm replay: before and after the first half taught."""
    artists, taught, asked = lastfm_halves.halves()
    place = {number: i for i, (number, _) in enumerate(artists)}
    documents = [(str(number), name) for number, name in artists]
    tags = sorted({tag for _, tag in asked})
    pairs = [(str(at), tag) for at, tag in sorted((place[artist], tag) for artist, tag in taught)]
    recalls = []
    for given in (None, pairs):
        best, _ = nearest("lastfm", documents, [(tag, tag) for tag in tags], depth, given)
        found = dict(zip(tags, map(set, best)))
        recalls.append(sum(place[artist] in found[tag] for artist, tag in asked) / len(asked))
    return recalls, len(asked), len(documents)


def random_order(documents, queries, judged):
    source, asked = random.Random(1), [cells[0] for cells in queries if cells[0] in judged]
    ids = [cells[0] for cells in documents]
    return sum(ndcg(source.sample(ids, 10), judged[q]) for q in asked for _ in range(20)) / (20 * len(asked))


def training_pairs(folder, documents):
    """Queries of NFCorpus's training part, for each document that is judged relevant, in the documents' order."""
    place = {cells[0]: i for i, cells in enumerate(documents)}
    texts = {}
    with open(os.path.join(folder, "queries.jsonl"), encoding="utf-8") as file:
        for record in map(json.loads, file):
            texts[record["_id"]] = " ".join(record["text"].split())
    judged = judgments(os.path.join(folder, "qrels", "train.tsv"))
    return sorted((place[d], texts[q]) for q, gains in judged.items() for d in gains if d in place and q in texts)


def run(bench):
    command = "make bench-catalogue"
    folder = bench_eval.nfcorpus()
    sets = [("NFCorpus", bench_impacts.beir(folder)), ("SciFact", bench_impacts.beir(bench_eval.scifact())),
            ("Cranfield", bench_impacts.cranfield()), ("Chorus", chorus.paths())]
    for name, paths in sets:
        documents, queries, judged = read_lines(paths[0]), read_lines(paths[1]), judgments(paths[2])
        value, trained = evaluate(name, documents, queries, judged)
        chance = random_order(documents, queries, judged)
        bench.add(f"{name} nDCG@10, vectors alone, no feedback", value, "", peer="random order", peer_value=chance,
                  bar=round(chance + MARGIN, 4), command=command)
        if name == "NFCorpus" and os.path.exists(os.path.join(folder, "qrels", "train.tsv")):
            pairs = [(str(d), text) for d, text in training_pairs(folder, documents)]
            taught, _ = evaluate(name, documents, queries, judged, pairs)
            bench.add("NFCorpus nDCG@10, vectors alone, taught by the training queries", taught, "", peer="not taught", peer_value=value,
                      bar=round(value, 4), command=command)
    (before, after), asked, artists = replayed_recall()
    bench.add(f"Last.fm recall@100, vectors alone, taught by the first half ({asked:,} requests)", after, "", peer="not taught",
              peer_value=before, bar=round(2 * before, 4), command=command)
    bench.add("Last.fm recall@100, a random order", 100 / artists, "", command=command)
    limit = 20000 if bench.quick else 100000
    path = os.path.join(harness.cached("catalogue-nfcorpus"), "packages")
    with open(path, "w", encoding="utf-8") as out:
        for i, (_, name, _, _, summary) in enumerate(packages.rows()):
            if i == limit:
                break
            out.write(f"{name}\t{' '.join((summary or '').split())}\n")
    trained = json.loads(tool("train", "--texts", path, "--dimensions", str(DIMENSIONS), "--out", path + ".model"))
    bench.add(f"training on {trained['documents']:,} packages", trained["seconds"], "s", bar=60 * limit / 100000,
              lower=True, command=command)
