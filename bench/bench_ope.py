"""Off-policy evaluation: do the intervals hold the truth, on simulations, on the engine itself and on Open Bandit data?

Peers (bench/peers/ope_obp.py says how to install them): the Open Bandit Pipeline on identical rows, and Vowpal Wabbit
reading our dsjson.
"""

import collections
import csv
import gzip
import http.client
import json
import math
import os
import random
import subprocess

import harness

PUBLISHED = {"dm": 0.157, "dros": 0.160, "switch-dr": 0.258, "dr": 0.292, "ips": 0.311, "snips": 0.312}
PEERS = os.environ.get("FORAGE_PEERS", os.path.join(harness.OUT, "peers", "bin", "python"))


def peer(bench, script, *arguments):
    """A peer's answer as JSON, or None where it is not installed."""
    if not os.access(PEERS, os.X_OK):
        print(f"  SKIPPED {script}: no {os.path.relpath(PEERS, harness.ROOT)}; see bench/peers/ope_obp.py", flush=True)
        return None
    line = [PEERS, os.path.join(harness.ROOT, "bench", "peers", script), *arguments]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{script} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


# ---- Simulations with a known truth --------------------------------------------------------------------------------


def coverage(bench):
    runs = "60" if bench.quick else "500"
    line = [os.path.join(harness.BUILD, "bench", "ope_coverage"), runs]
    out = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    for row in map(json.loads, out.splitlines()):
        name = f"{row['world']}: {row['estimator']}" + (f" ({row['settings']})" if row["settings"] == "slope" else "")
        # The additive estimator is for strategies whose parts add up; where they overlap it is shown, not judged.
        judged = not (row["world"].endswith("overlap") and row["estimator"].startswith("additive"))
        bench.add(f"coverage, {name}", row["coverage"], f"of {runs} runs", bar=0.90 if judged else None,
                  command=f"ope_coverage {runs}")
        if judged and row["coverage"] > 0.99:
            bench.add(f"coverage above .99, {name}", row["coverage"], "", bar=0.99, lower=True)


# ---- The engine itself: what the log says of a policy, and what that policy then earns ---------------------------


class Customers:
    """They want a document that is relevant for their query, look down the page, and click it where they see it."""

    def __init__(self, port, seed):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.random = random.Random(seed)
        media = os.path.join(harness.ROOT, "examples", "media")
        with open(os.path.join(media, "queries.tsv"), encoding="utf-8") as file:
            queries = dict(line.rstrip("\n").split("\t", 1) for line in file)
        wanted = collections.defaultdict(list)
        with open(os.path.join(media, "judgments.tsv"), encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if int(row["score"]) > 0 and row["query-id"] in queries:
                    wanted[row["query-id"]].append(row["corpus-id"])
        self.intents = [(queries[q], d) for q, documents in sorted(wanted.items()) for d in documents]

    def call(self, path, body):
        self.connection.request("POST", "/collections/media/" + path, json.dumps(body))
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {text[:500]}")
        return json.loads(text)

    def visit(self, policy, log):
        """One search: (what it earned, the event)."""
        query, document = self.random.choice(self.intents)
        if self.random.random() < 0.5:  # some type less than the whole
            query = query.split()[0]
        answer = self.call("search", {"query": query, "policy": policy, "log": log, "timeout_ms": 5000, "fields": []})
        for rank, hit in enumerate(answer["hits"], 1):
            if hit["id"] == document and self.random.random() < 1 / rank ** 0.3:
                event = {"query_id": answer["query_id"], "action_name": "click",
                         "event_attributes": {"object": {"object_id": document}}}
                return 0.5, event  # what a click is worth by default
        return 0.0, None


def engine(bench):
    """Everything is searched before anything is learned, so that the world stands still."""
    n = 600 if bench.quick else 6000
    folder = harness.fresh_folder("ope-data")
    media = os.path.join(harness.ROOT, "examples", "media")
    bench.command(["import", "--data", folder, "-c", "media", "--schema", os.path.join(media, "schema.json"),
                   os.path.join(media, "catalogue.ndjson.zst"), "--quiet"])
    server = bench.serve(folder)
    customers = Customers(server.port, 1)
    clicks = [event for _, event in (customers.visit("squarecb", True) for _ in range(n)) if event]
    truths = {policy: [customers.visit(policy, False)[0] for _ in range(n)] for policy in ("fixed", "all")}
    for start in range(0, len(clicks), 500):
        customers.call("events", clicks[start:start + 500])
    server.stop()
    for policy, earned in truths.items():
        out, seconds, _, line = bench.command(["ope", "--data", folder, "--policy", policy, "--json"])
        answer = json.loads(out)
        truth = sum(earned) / n
        spread = 1.96 * (sum((e - truth) ** 2 for e in earned) / n / n) ** 0.5
        bench.add(f"engine, {policy}: what it earns when it serves {n} searches", truth, f"± {spread:.4f}",
                  command=line)
        unwarned = 0
        for e in answer["estimates"]:
            beside = max(e["low"] - truth, truth - e["high"]) > spread
            unwarned += beside and not e["warnings"]
            notes = " beside the truth" * beside + ", warned" * bool(e["warnings"])
            bench.add(f"engine, {policy}: {e['name']} from the log of squarecb", e["value"],
                      f"[{e['low']:.4f}, {e['high']:.4f}]{notes}", command=line)
        bench.add(f"engine, {policy}: intervals beside the truth without a warning", unwarned, "", bar=0, lower=True)
        bench.add(f"engine, {policy}: {n} impressions evaluated", seconds, "s", command=line)
    return folder


def exports(bench, folder):
    for form in ("vw-dsjson", "obd-csv", "letor"):
        path = os.path.join(harness.OUT, f"ope.{form}")
        _, seconds, _, line = bench.command(["export", "--data", folder, "--what", "log", "--format", form, "-o", path])
        with open(path, "rb") as file:
            bench.add(f"export {form}", sum(1 for _ in file) / seconds, "lines/s", command=line)
    answer = peer(bench, "ope_vw.py", os.path.join(harness.OUT, "ope.vw-dsjson"))
    if answer:
        bench.add("dsjson examples that vw --cb_explore_adf learns from", answer["examples"], "examples",
                  peer="exported", peer_value=answer["lines"], bar=answer["lines"], command=answer["command"])
        bench.add("their average loss", answer["average_loss"], "", command=answer["command"])


# ---- Open Bandit data: random → BTS --------------------------------------------------------------------------------


def impressions(policy, campaign):
    path = harness.data("obd", policy, campaign, campaign + ".csv.gz")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [(int(r["item_id"]), int(r["position"]) - 1, float(r["click"]), float(r["propensity_score"]))
                for r in csv.DictReader(file)]


def target(rows, n_items):
    """What BTS did, by position: its mean over the days of the log."""
    counts, totals = collections.Counter((r[0], r[1]) for r in rows), collections.Counter(r[1] for r in rows)
    return [[counts[item, place] / totals[place] for item in range(n_items)] for place in range(3)]


def shrunken(rows, n_items, weight=200):
    """A reward model without features: an item's clicks at a position, held by the item's clicks, held by the mean."""
    shown, clicked, item_shown, item_clicked = ([0] * (3 * n_items), [0] * (3 * n_items), [0] * n_items, [0] * n_items)
    for item, place, click, _ in rows:
        shown[place * n_items + item] += 1
        clicked[place * n_items + item] += click
        item_shown[item] += 1
        item_clicked[item] += click
    mean = sum(item_clicked) / sum(item_shown)
    rate = [(c + weight * mean) / (s + weight) for c, s in zip(item_clicked, item_shown)]
    return [[(clicked[p * n_items + i] + weight * rate[i]) / (shown[p * n_items + i] + weight) for i in range(n_items)]
            for p in range(3)]


def rows_of(sample, pi, n_items):
    q = shrunken(sample, n_items)
    expected = [sum(a * b for a, b in zip(pi[p], q[p])) for p in range(3)]
    return [{"reward": click, "logging": mu, "target": pi[p][item], "predicted": q[p][item], "expected": expected[p]}
            for item, p, click, mu in sample]


def write_rows(rows, name):
    path = harness.cached(name)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def open_bandit(bench):
    runs = 5 if bench.quick else 30
    errors, line = collections.defaultdict(list), ""
    for campaign, n_items in (("men", 34), ("women", 46)):
        bts, logged = impressions("bts", campaign), impressions("random", campaign)
        truth, pi = sum(r[2] for r in bts) / len(bts), target(bts, n_items)
        for run in range(runs):
            sample = random.Random(run).choices(logged, k=len(logged))
            path = write_rows(rows_of(sample, pi, n_items), "ope-rows.ndjson")
            out, _, _, line = bench.command(["ope", "--rows", path, "--tuning", "slope", "--json"])
            for e in json.loads(out)["estimates"]:
                errors[e["name"], campaign].append(abs(e["value"] - truth) / truth)
    for campaign, clicks in (("men", (46, 69)), ("women", (46, 46))):
        bench.add(f"Open Bandit {campaign}, what chance alone makes of {clicks[0]} and {clicks[1]} clicks",
                  (2 / math.pi * sum(1 / c for c in clicks)) ** 0.5, "mean relative error")
    for name, published in PUBLISHED.items():
        for campaign in ("men", "women"):
            bench.add(f"Open Bandit {campaign}, relative error: {name}", sum(errors[name, campaign]) / runs, "",
                      command=line)
        both = errors[name, "men"] + errors[name, "women"]
        bench.add(f"Open Bandit, relative error: {name}", sum(both) / len(both), f"{2 * runs} samples", bar=published,
                  lower=True, peer="published, campaign all", peer_value=published, command=line)


def pipeline(bench):
    """The same rows through the Open Bandit Pipeline's own estimators."""
    logged = impressions("random", "men")
    pi = target(impressions("bts", "men"), 34)
    path = write_rows(rows_of(logged, pi, 34), "ope-obp.ndjson")
    distribution = harness.cached("ope-obp.json")
    with open(distribution, "w", encoding="utf-8") as file:
        json.dump({"pi": pi, "q": shrunken(logged, 34), "rows": logged, "tau": 2.5, "lambda": 20}, file)
    theirs = peer(bench, "ope_obp.py", distribution)
    if not theirs:
        return
    out, _, _, line = bench.command(["ope", "--rows", path, "--tau", "2.5", "--lambda", "20", "--json"])
    for e in json.loads(out)["estimates"]:
        apart = abs(e["value"] - theirs["values"][e["name"]])
        bench.add(f"apart from the Open Bandit Pipeline: {e['name']}", apart, "", bar=1e-6, lower=True,
                  peer=f"obp {theirs['version']}", command=line)


def run(bench):
    coverage(bench)
    exports(bench, engine(bench))
    open_bandit(bench)
    pipeline(bench)
