"""The policy: how long it takes to decide and learn, how it does on the Last.fm replay, Vowpal Wabbit on the same log.

Speed: 12 strategies, 8 levels, an event after every decision, with as many features of each strategy's own as the funnel
has, and with the 16 of the replay; processor time of one thread, median of 7 runs. Replay: recall of the wanted artist at
a mean of 100 candidates, four strategies that do not depend on the policy (lastfm_ranks.py). Peer: of the same replay,
one example for each request and strategy, a level drawn uniformly, what it was worth to the union less its price, and the
probability; both sides learn from these alone, in one pass, and are scored by the exact worth of what they would have
drawn before they learned the example. Each side gets 12 settings and keeps its best. The time is that of learning and
predicting, the shorter of wall and processor time and the shortest of three: once with both reading the same text, once with
neither (Vowpal Wabbit on its binary cache, ours on the examples in memory).

The peer and numpy are installed as bench/peers/ope_obp.py says; without them what needs them is skipped.
"""

import json
import os
import re
import subprocess
import sys

import harness

STRATEGIES, FEATURES, BUDGET = "4", "16", "100"
PEERS = os.environ.get("FORAGE_PEERS", os.path.join(harness.OUT, "peers", "bin", "python"))

# Twelve each; what a rule's number means is in policy.h, then the reward believed in before any example.
OURS = [("squarecb", 400, .05), ("squarecb", 1600, .05), ("squarecb", 6400, .05), ("squarecb", 400, .2),
        ("epsilon-greedy", 0, .05), ("epsilon-greedy", 0, .1), ("epsilon-greedy", 0, .2), ("linucb", .05, .05),
        ("linucb", .1, .1), ("regcb", .02, .05), ("regcb", .1, .05), ("lin-ts", .02, .05)]
THEIRS = ["--squarecb -q xa", "--squarecb --gamma_scale 1000 -q xa --learning_rate 0.02",
          "--squarecb --gamma_scale 1000 -q xa --learning_rate 0.1",
          "--squarecb --gamma_scale 1000 -q xd --learning_rate 0.02",
          "--squarecb --gamma_scale 10000 --learning_rate 0.1",
          "--epsilon 0.001 -q xa --learning_rate 0.0005", "--epsilon 0.001 -q xa --learning_rate 0.001",
          "--epsilon 0.001 -q xa --learning_rate 0.002", "--epsilon 0.001 -q xd --learning_rate 0.02",
          "--epsilon 0.001 -q xa --learning_rate 0.0003 --cb_type ips",
          "--epsilon 0.001 -q xa --learning_rate 0.0001 --cb_type ips",
          "--epsilon 0.001 -q xa --learning_rate 0.01 --cb_type dr"]


def skip(what):
    print(f"  SKIPPED {what}", flush=True)


def driver(*arguments):
    line = [os.path.join(harness.BUILD, "bench", "policy_driver"), *map(str, arguments)]
    output = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return [row.split("\t") for row in output.splitlines()]


def funnel_features():
    """How many features of a strategy the funnel tells its policy: the members of its enumeration before X_COUNT."""
    with open(os.path.join(harness.ROOT, "src", "funnel", "answer.h"), encoding="utf-8") as file:
        return len(re.findall(r"\bX_[A-Z_]+", re.search(r"enum \{([^}]*?)X_COUNT", file.read()).group(1)))


def speed(bench):
    rules = ("regcb",) if bench.quick else ("regcb", "squarecb", "epsilon-greedy", "linucb", "lin-ts")
    for rule, features in [(rule, funnel_features()) for rule in rules] + [("regcb", int(FEATURES))]:
        for name, credit, both, deciding in driver("speed", rule, features):
            judged = name == "regcb" and credit == "hindsight, of what was shown" and features != int(FEATURES)  # the default
            figure, command = f"{name}, {features} features, {credit}", f"policy_driver speed {rule} {features}"
            bench.add(f"{figure}: decide and learn", float(both), "µs", bar=20 if judged else None, lower=True,
                      command=command)
            if credit == "hindsight":
                bench.add(f"{figure}: decide", float(deciding), "µs", lower=True, command=command)


def with_numpy():
    for python in (PEERS, sys.executable):
        if not os.access(python, os.X_OK):
            continue
        if subprocess.run([python, "-c", "import numpy"], capture_output=True).returncode == 0:
            return python
    return None


def ranks(bench):
    """The log of ranks, made once and kept; quick: of its first 600 requests."""
    path = harness.cached("lastfm-ranks-quick.txt" if bench.quick else "lastfm-ranks.txt")
    folder, python = harness.data("lastfm-2k"), with_numpy()
    if not os.path.exists(path):
        if not python:
            raise harness.Missing("needs numpy; see bench/peers/ope_obp.py")
        script = os.path.join(harness.ROOT, "bench", "lastfm_ranks.py")
        subprocess.run([python, script, folder, path] + (["600"] if bench.quick else []), check=True)
    return path


def compare(bench, log):
    rows = driver("compare", log, STRATEGIES, FEATURES, BUDGET)
    fixed = next(float(row[2]) for row in rows if row[0] == "best fixed depths")
    for name, credit, recall, cost in rows:
        figure = name if credit == "-" else f"{name}, {credit}"
        wanted = fixed if (name, credit) == ("regcb", "hindsight, of what was shown") else None
        bench.add(f"{figure}: recall at {float(cost):.0f} candidates", float(recall), "", bar=wanted,
                  peer="best fixed depths", peer_value=fixed, command=f"policy_driver compare … {BUDGET}")


def ours(text, truth, settings):
    for rule, number, prior in settings:
        (reward, n, from_text, from_memory), = driver("learn", text, truth, STRATEGIES, FEATURES, rule, number, prior)
        yield {"setting": f"{rule} {number} {prior}", "reward": float(reward), "text": int(n) / float(from_text),
               "memory": int(n) / float(from_memory)}


def theirs(text, truth, settings):
    script = os.path.join(harness.ROOT, "bench", "peers", "policy_vw.py")
    done = subprocess.run([PEERS, script, text, truth, *settings], capture_output=True, text=True)
    if done.returncode:
        raise harness.Missing("Vowpal Wabbit does not run: " + (done.stderr.strip().splitlines() or ["?"])[-1])
    for setting, row in zip(settings, map(json.loads, done.stdout.splitlines())):
        yield {"setting": setting, "name": f"Vowpal Wabbit {row['version']}", "reward": row["reward"],
               "text": row["examples"] / row["text"], "memory": row["examples"] / row["cache"]}


def best(rows, word=""):
    return max((row for row in rows if word in row["setting"]), key=lambda row: row["reward"])


def peer(bench, log):
    text, truth = harness.cached("policy-examples.txt"), harness.cached("policy-truth.txt")
    driver("write", log, STRATEGIES, FEATURES, text, truth)
    if not os.access(PEERS, os.X_OK):
        raise harness.Missing(f"no {os.path.relpath(PEERS, harness.ROOT)}; see bench/peers/ope_obp.py")
    step = 6 if bench.quick else 1
    we, they = list(ours(text, truth, OURS[::step])), list(theirs(text, truth, THEIRS[::step]))
    for what, word in (("squarecb", "squarecb"), ("any rule", "")):
        mine, other = best(we, word), best(they, word)
        bench.add(f"{what}, played arms: progressive reward (theirs {other['reward']:.5f})", mine["reward"], "",
                  peer=other["name"], peer_value=other["reward"],
                  command=f"{mine['setting']} against vw --cb_explore_adf {other['setting']}")
        for key, source in (("text", "reading the same text"), ("memory", "from memory, theirs from its cache")):
            bench.add(f"{what}, played arms: examples/s {source} (theirs {other[key]:,.0f})", mine[key], "1/s",
                      peer=other["name"], peer_value=other[key],
                      command=f"{mine['setting']} against vw --cb_explore_adf {other['setting']}")


def run(bench):
    speed(bench)
    try:
        log = ranks(bench)
    except harness.Missing as missing:
        return skip(f"replay and Vowpal Wabbit: {missing}")
    compare(bench, log)
    try:
        peer(bench, log)
    except harness.Missing as missing:
        skip(f"Vowpal Wabbit: {missing}")
