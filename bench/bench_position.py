"""Position bias: the curve from real result pages, and how well it predicts held-out clicks beside full click models.

Peer (bench/peers/click_reference.py says how to install NumPy): the same models written a second time, on the same pages.
"""

import gzip
import json
import os
import random
import subprocess

import harness

PEERS = os.environ.get("FORAGE_PEERS", os.path.join(harness.OUT, "peers", "bin", "python"))
DRIVER = os.path.join(harness.BUILD, "bench", "position_driver")
AGREE = 1e-3  # of the reference's log-likelihood per page


def sessions(name):
    """(query, result ids, clicked ids) of each page. Clicks on what is not among the ten results are left out."""
    with gzip.open(harness.data("yandex-serp-clicks", name + ".tsv.gz"), "rt", encoding="utf-8") as file:
        for line in file:
            query, results, clicks = line.rstrip("\n").split("\t")
            yield query, results.split(","), set(clicks.split(",")) if clicks else set()


def splits(quick):
    """Named (train, test): the set's own two files, and a drawn one, whose pairs were nearly all seen before."""
    earlier, later = list(sessions("train")), list(sessions("test"))
    if quick:
        earlier, later = earlier[:4000], later[:4000]
    everything = earlier + later
    random.Random(20260101).shuffle(everything)
    cut = len(everything) * 3 // 4
    return {"as published": (earlier, later), "drawn": (everything[:cut], everything[cut:])}


def write(pages, name, pairs, queries):
    path = harness.cached(name)
    with open(path, "w", encoding="utf-8") as file:
        for query, results, clicks in pages:
            cells = (f" {pairs.setdefault((query, d), len(pairs))} {int(d in clicks)}" for d in results)
            file.write(str(queries.setdefault(query, len(queries))) + "".join(cells) + "\n")
    return path


def interventions(pages):
    """Keys, keys shown at more than one rank, (key, rank, other rank) pairs, and rankings per query."""
    ranks, rankings = {}, {}
    for query, results, _ in pages:
        rankings.setdefault(query, set()).add(tuple(results))
        for rank, document in enumerate(results):
            ranks.setdefault((query, document), set()).add(rank)
    moved = [len(r) for r in ranks.values() if len(r) > 1]
    return len(ranks), len(moved), sum(n * (n - 1) // 2 for n in moved), sum(map(len, rankings.values())), len(rankings)


def drive(*arguments):
    out = subprocess.run([DRIVER, *arguments], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def reference(train, test):
    if not os.access(PEERS, os.X_OK):
        print(f"  SKIPPED reference: no {os.path.relpath(PEERS, harness.ROOT)}; see bench/peers/click_reference.py", flush=True)
        return {}
    line = [PEERS, os.path.join(harness.ROOT, "bench", "peers", "click_reference.py"), train, test]
    return json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)


def real_pages(bench):
    for name, (train, test) in splits(bench.quick).items():
        pairs, queries = {}, {}
        stem = "position-" + name.replace(" ", "-")
        paths = [write(pages, f"{stem}-{part}.txt", pairs, queries) for part, pages in (("train", train), ("test", test))]
        command = "position_driver pages " + " ".join(os.path.relpath(p, harness.ROOT) for p in paths)
        keys, moved, between, rankings, n_queries = interventions(train)
        bench.add(f"{name}: pages to learn from", len(train), f"of {n_queries} queries, {rankings} rankings", command=command)
        bench.add(f"{name}: (query, document) keys shown at several ranks", moved, f"of {keys}", command=command)
        bench.add(f"{name}: interventional pairs", between, "", command=command)
        rows = drive("pages", *paths)
        for row in rows:
            if "curve" in row:
                shown = " ".join(f"{r['estimate']:.3f}" for r in row["of"]["ranks"])
                print(f"  {name}: {row['curve']}: {shown}", flush=True)
        scores = {row["model"]: row for row in rows if "model" in row}
        other = reference(*paths)
        for model, row in scores.items():
            bench.add(f"{name}: log-likelihood per page, {model}", row["log_likelihood"],
                      f"({row['log_likelihood']:.5f}) of {len(test)} pages", command=command)
            bench.add(f"{name}: perplexity, {model}", row["perplexity"],
                      f"({row['perplexity']:.5f}), conditional {row['conditional_perplexity']:.5f}", command=command)
            if model in other:
                apart = abs(row["log_likelihood"] - other[model]["log_likelihood"])
                bench.add(f"{name}: log-likelihood apart from the reference, {model}", apart, "", bar=AGREE, lower=True,
                          peer="NumPy", command="click_reference.py")
        bench.add(f"{name}: harvested curve over PBM by EM, log-likelihood per page",
                  scores["harvest"]["log_likelihood"] - scores["pbm"]["log_likelihood"], "", bar=-0.01, command=command)
        bench.add(f"{name}: harvested curve over rates by rank, log-likelihood per page",
                  scores["harvest"]["log_likelihood"] - scores["rate"]["log_likelihood"], "", bar=0.1, command=command)


def simulations(bench):
    runs = "10" if bench.quick else "100"
    for row in drive("simulate", runs):
        name = f"{row['world']}, {row['method']}"
        judged = row["method"] == "harvest"
        bench.add(f"simulated {name}: mean relative error, ranks 2 to 10, {row['pages']:,} pages", row["error"], f"{runs} runs",
                  bar=0.05 if judged else None, lower=True, peer="click-through rates", peer_value=row["naive"],
                  command=f"position_driver simulate {runs}")
        bench.add(f"simulated {name}: intervals that hold the truth", row["coverage"], f"{runs} runs",
                  bar=0.9 if judged else None, command=f"position_driver simulate {runs}")


def run(bench):
    simulations(bench)
    real_pages(bench)
