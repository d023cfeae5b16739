"""The dense index beside hnswlib, usearch and faiss: same vectors, same queries, one thread on one core, all warm.

Each builds a graph and answers 1,000 queries at one ef after another: a curve of recall@10 against queries a second, on which the rate
at recall .95 and .99 is found by interpolating log(q/s). Engines take turns: peers stay in memory, are asked before Forage and after it,
and keep the better of the rounds. What each peer is told to do is in peers/dense_peers.py, which also says how they are installed;
one that is absent is left out, with the reason. Vectors, encodings and exact neighbours are kept in build/bench/dense.

    DENSE_PARTS=glove,packages,growth,quality          what to do (all)
    DENSE_PEERS=hnswlib,usearch,usearch-i8,faiss,faiss-sq8
    DENSE_CODES=int8,int4                              of Forage; the best at each recall is compared
    DENSE_COUNT=1000000                                packages
"""

import json
import math
import os
import subprocess

import dense_data
import dense_quality
import harness

PARTS = ("glove", "packages", "growth", "quality")
PEERS = ("hnswlib", "usearch", "usearch-i8", "faiss", "faiss-sq8")
EF = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480)
RECALLS = (.95, .99)
ENOUGH = .995
SPEED_BAR, MEMORY_BAR = 1.3, .5
EF_CONSTRUCTION = 120
GROWTH = (10_000, 100_000)


def wanted(name, otherwise):
    return [word for word in os.environ.get(name, "").split(",") if word] or list(otherwise)


def one_core(line):
    return ["taskset", "-c", str(min(os.sched_getaffinity(0))), *line]


class Peer:
    """A peer's process: builds when made, answers ask()."""

    def __init__(self, name, data, m, limit=0):
        self.name, self.m, self.curve = name, m, {}
        python = os.path.join(harness.OUT, "peers", "bin", "python")
        if not os.path.exists(python):
            raise harness.Missing(f"{name}: no build/bench/peers (peers/dense_peers.py)")
        script = os.path.join(harness.ROOT, "bench", "peers", "dense_peers.py")
        line = [python, "-B", script, name, data.base, data.queries, str(data.dimensions), str(m), str(EF_CONSTRUCTION), str(limit),
                data.truth(limit)]
        environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self.process = subprocess.Popen(one_core(line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment)
        self.built = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise harness.Missing(f"{self.name}: " + (self.process.stderr.read().strip().splitlines() or ["?"])[-1])
        return json.loads(line)

    def ask(self, efs):
        """One ef after another, until recall is beyond what is compared."""
        for ef in efs:
            self.process.stdin.write(f"{ef}\n")
            self.process.stdin.flush()
            while (row := self.read())["event"] != "done":
                keep_better(self.curve, row)
            if self.curve[ef]["recall"] > ENOUGH:
                break

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def keep_better(curve, row):
    if row["ef"] not in curve or row["qps"] > curve[row["ef"]]["qps"]:
        curve[row["ef"]] = row


class Forage:
    """A code of Forage's: built and asked in one process, once a round."""

    def __init__(self, code, m=16):
        self.name, self.code, self.m, self.curve, self.built = f"forage {code}", code, m, {}, None

    def measure(self, data, efs, limit=0):
        line = [dense_data.tool("dense_speed"), "--base", data.base, "--queries", data.queries, "--dimensions", str(data.dimensions),
                "--metric", "cosine", "--code", self.code, "--M", str(self.m), "--ef-construction", str(EF_CONSTRUCTION), "--k", "10",
                "--ef", ",".join(map(str, efs))] + (["--limit", str(limit)] if limit else [])
        done = subprocess.run(one_core(line), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"dense_speed ended with {done.returncode}: {done.stderr.strip()}")
        for row in map(json.loads, done.stdout.splitlines()):
            if row["event"] == "curve":
                keep_better(self.curve, row)
            elif not self.built or row["seconds"] < self.built["seconds"]:
                self.built = row


def rate_at(curve, recall):
    """q/s where the curve passes the recall; None where it does not reach it. What is above at the smallest ef counts as it is."""
    rows = sorted(curve.values(), key=lambda row: row["ef"])
    for i, row in enumerate(rows):
        if row["recall"] >= recall:
            if not i:
                return row["qps"]
            before = rows[i - 1]
            share = (recall - before["recall"]) / (row["recall"] - before["recall"])
            return math.exp(math.log(before["qps"]) + share * (math.log(row["qps"]) - math.log(before["qps"])))
    return None


def print_curves(data, engines):
    print(f"\n  {data.name}: recall@10 / q/s at each ef; below: seconds to build, MiB")
    efs = sorted({ef for e in engines for ef in e.curve})
    table = [["ef", *[f"{e.name} M={e.m}" for e in engines]]]
    for ef in efs:
        table.append([str(ef), *[f"{e.curve[ef]['recall']:.4f} / {e.curve[ef]['qps']:,.0f}" if ef in e.curve else "-" for e in engines]])
    table.append(["built", *[f"{e.built['seconds']:.1f} s, {e.built['memory'] / 2**20:,.1f}" for e in engines]])
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  " + "  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip())
    print(flush=True)


def start_peers(data, ms):
    peers = []
    for name in wanted("DENSE_PEERS", PEERS):
        for m in ms:
            try:
                peers.append(Peer(name, data, m))
                built = peers[-1].built
                print(f"  {data.name}: {name} {built['version']}, M = {m}: built in {built['seconds']:.1f} s", flush=True)
            except harness.Missing as missing:
                print(f"  SKIPPED {missing}", flush=True)
                break
    return peers


def compare(bench, data, ms, rounds):
    forages = [Forage(code) for code in wanted("DENSE_CODES", ("int8", "int4"))]
    peers = start_peers(data, ms)
    try:
        for number in range(rounds):
            for peer in peers:
                peer.ask(EF)
            for forage in forages:
                forage.measure(data, EF)
        if rounds == 1:
            for peer in peers:
                peer.ask(EF)
    finally:
        for peer in peers:
            peer.stop()
    print_curves(data, [*forages, *peers])
    add_rows(bench, data, forages, peers)
    return forages


def add_rows(bench, data, forages, peers):
    for recall in RECALLS:
        ours = {f: rate_at(f.curve, recall) for f in forages}
        theirs = {p: rate_at(p.curve, recall) for p in peers}
        ours, theirs = ({e: rate for e, rate in side.items() if rate} for side in (ours, theirs))
        for engine, rate in [*ours.items(), *theirs.items()]:
            bench.add(f"{data.name}: {engine.name}, M = {engine.m}, at recall {recall}", rate, "q/s")
        if not ours:
            bench.add(f"{data.name}: no code of Forage's reaches recall {recall}; q/s", 0, "q/s", bar=1)
            continue
        own = max(ours, key=ours.get)
        if theirs:
            best = max(theirs, key=theirs.get)
            bench.add(f"{data.name}: {own.name} at recall {recall}, times the best peer's", ours[own] / theirs[best], "", bar=SPEED_BAR,
                      peer=f"{best.name}, M = {best.m}: {theirs[best]:,.0f} q/s", command="dense_speed")
        full = [p for p in theirs if p.name == "hnswlib"]
        if full:
            theirs_bytes = min(min(p.built["memory"], p.built["own"]) for p in full)  # of resident and saved, what favours it
            lightest = min(ours, key=lambda f: f.built["memory"])
            for forage in {own: 0, lightest: 0}:
                bench.add(f"{data.name}: {forage.name} at recall {recall}: memory, share of hnswlib's",
                          forage.built["memory"] / theirs_bytes, "", bar=MEMORY_BAR if forage is own else None, lower=True,
                          peer=f"{theirs_bytes / 2**20:,.1f} MiB")
    for forage in forages:
        bench.add(f"{data.name}: {forage.name}: memory beside the mapped vectors", forage.built["memory"] / 2**20, "MiB")
        bench.add(f"{data.name}: {forage.name}: mapped from its file", forage.built["mapped"] / 2**20, "MiB")
        if peers:
            quickest = min(peers, key=lambda p: p.built["seconds"])
            bench.add(f"{data.name}: {forage.name}: seconds to build, share of the quickest peer's",
                      forage.built["seconds"] / quickest.built["seconds"], "", bar=1, lower=True,
                      peer=f"{quickest.name}, M = {quickest.m}: {quickest.built['seconds']:.1f} s")


def growth(bench, data, at_most):
    """q/s at a fixed recall as the packages grow."""
    for limit in [n for n in GROWTH if n < data.rows] + [data.rows]:
        forage = at_most if limit == data.rows and at_most else Forage("int8")
        if not forage.curve:
            forage.measure(data, EF, 0 if limit == data.rows else limit)
        for recall in RECALLS:
            rate = rate_at(forage.curve, recall)
            bench.add(f"growth: {forage.name}, {limit:,} packages, at recall {recall}", rate or 0, "q/s")


def run(bench):
    parts = wanted("DENSE_PARTS", ("glove",) if bench.quick else PARTS)
    if "glove" in parts:
        compare(bench, dense_data.glove(), (16,) if bench.quick else (16, 32), 1 if bench.quick else 3)
    if {"packages", "growth"} & set(parts):
        try:
            data = dense_data.million(int(os.environ.get("DENSE_COUNT", "20000" if bench.quick else "1000000")))
            forages = compare(bench, data, (16,), 1) if "packages" in parts else []
            if "growth" in parts:
                growth(bench, data, next((f for f in forages if f.code == "int8"), None))
        except harness.Missing as missing:
            print(f"  SKIPPED packages: {missing}", flush=True)
    if "quality" in parts:
        try:
            dense_quality.run(bench)
        except harness.Missing as missing:
            print(f"  SKIPPED quality: {missing}", flush=True)
