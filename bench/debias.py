"""Debiased training: clicks of simulated people on MQ2008, weighed by the examination that was estimated from them, against
training on the judgments themselves and on the clicks as they are.

The production ranker is one feature, BM25 of the whole document, with Plackett–Luce exploration; people look at rank k with
chance 1/k, and click what they look at by its grade, 10 % of what is not relevant included. NDCG@10 over the test queries that
have a relevant document (queries without one would count as 1 for everybody).
"""

import json
import os
import subprocess

import harness

DRIVER = os.path.join(harness.BUILD, "bench", "debias_driver")
BM25 = "25"  # of the whole document, in LETOR's list of features
REACHES = 0.98
WAYS = ("production", "judgments", "debiased", "debiased, curve known", "naive")


def once(pages, by_page, seed):
    """NDCG@10 of each way to train, by name, with the estimate's error; and the command."""
    parts = [harness.data("letor-mq2008-fold1", name) for name in ("train.txt", "test.txt")]
    arguments = [BM25, str(pages), str(by_page), str(seed)]
    out = subprocess.run([DRIVER, *parts, *arguments], check=True, capture_output=True, text=True).stdout
    return json.loads(out), "debias_driver train.txt test.txt " + " ".join(arguments)


def spread(values):
    mean = sum(values) / len(values)
    return (sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)) ** 0.5


def table(bench):
    seeds, pages = (range(1, 3), 50_000) if bench.quick else (range(1, 6), 400_000)
    results = []
    for seed in seeds:
        row, command = once(pages, 0, seed)
        results.append(row)
    mean = {way: sum(r[way] for r in results) / len(results) for way in WAYS}
    for way in WAYS:
        least = min(r[way] for r in results)
        bench.add(f"NDCG@10, {way}", mean[way], f"sd {spread([r[way] for r in results]):.4f}, least {least:.4f}", command=command)
    bench.add(f"debiased over judgments, {len(results)} seeds of {pages:,} pages", mean["debiased"] / mean["judgments"], "",
              bar=REACHES, peer="naive", peer_value=mean["naive"] / mean["judgments"], command=command)
    bench.add("least of the seeds", min(r["debiased"] / r["judgments"] for r in results), "", bar=REACHES, peer="naive",
              peer_value=max(r["naive"] / r["judgments"] for r in results), command=command)
    bench.add("naive over judgments", mean["naive"] / mean["judgments"], "", command=command)
    bench.add("worst relative error of the curve, ranks 2 to 10", max(r["curve error"] for r in results), "", bar=0.05, lower=True,
              command=command)


def page_by_page(bench):
    """A group for each page, as an online log gives it: fewer pages, and so more noise."""
    pages = 5_000 if bench.quick else 20_000
    results = []
    for seed in range(1, 2 if bench.quick else 4):
        row, command = once(100_000, pages, seed)
        results.append(row)
    for way in ("debiased, by page", "debiased, curve known, by page", "naive, by page"):
        bench.add(f"NDCG@10 from {pages:,} pages over judgments, {way}",
                  sum(r[way] / r["judgments"] for r in results) / len(results), f"{len(results)} seeds", command=command)


def run(bench):
    table(bench)
    page_by_page(bench)
