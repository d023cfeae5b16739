"""The policy on the Last.fm replay: recall at equal cost of each algorithm; Vowpal Wabbit on the same logged data."""

import os
import subprocess
import venv

import harness

STRATEGIES, FEATURES, BUDGET = "4", "16", "100"
PEER = """
import sys, time, vowpalwabbit
log, options = sys.argv[1:]
common = "--quiet " + options
def run(more):
    start = time.process_time()
    vowpalwabbit.Workspace(common + more).finish()
    return time.process_time() - start
run(f" -d {log} -k --cache_file {log}.cache")
print(vowpalwabbit.__version__, run(f" -d {log} --cache_file {log}.cache"))
run(f" -d {log} -p {log}.probabilities")
"""
# Vowpal Wabbit's own settings, then what did best among learning rates .05 to 2 and both of squarecb's gammas
SETTINGS = {"default": "", "tuned": " --learning_rate 0.1"}


def python():
    """The interpreter of a virtual environment with the peer and numpy, made once."""
    folder = os.path.join(harness.OUT, "venv")
    path = os.path.join(folder, "bin", "python")
    ready = os.path.join(folder, "ready-policy")
    if not os.path.exists(ready):
        if not os.path.exists(path):
            venv.create(folder, with_pip=True)
        result = subprocess.run([path, "-m", "pip", "install", "--quiet", "vowpalwabbit==9.11.9", "numpy"],
                                capture_output=True, text=True)
        if result.returncode:
            raise harness.Missing("needs vowpalwabbit and numpy from PyPI: " + result.stderr.strip().splitlines()[-1])
        open(ready, "w").close()
    return path


def ranks(interpreter):
    path = harness.cached("lastfm-ranks.txt")
    if not os.path.exists(path):
        script = os.path.join(harness.ROOT, "bench", "lastfm_ranks.py")
        subprocess.run([interpreter, script, harness.data("lastfm-2k"), path], check=True)
    return path


def driver(log, *arguments):
    line = [os.path.join(harness.BUILD, "bench", "policy_driver"), log, STRATEGIES, FEATURES, *arguments]
    output = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return [row.split("\t") for row in output.splitlines()]


def compare(bench, log):
    rows = driver(log, "compare", BUDGET)
    fixed = next(float(row[2]) for row in rows if row[0] == "best fixed depths")
    for name, credit, recall, cost in rows:
        figure = name if credit == "-" else f"{name}, {credit}"
        wanted = fixed if (name, credit) == ("regcb", "hindsight, of what was shown") else None
        bench.add(f"{figure}: recall at {float(cost):.0f} candidates", float(recall), "", bar=wanted,
                  peer="best fixed depths", peer_value=fixed, command=f"policy_driver … compare {BUDGET}")


def speed(bench, log):
    for name in ("squarecb", "regcb", "lin-ts"):
        for algorithm, credit, microseconds in driver(log, "speed", name):
            bench.add(f"{algorithm}, {credit}: decide and learn", float(microseconds), "µs", lower=True)


def progressive(probabilities, truth):
    """Mean of what the learner expected to earn, with its probabilities before it learned each example."""
    total = count = 0
    with open(probabilities, encoding="utf-8") as said, open(truth, encoding="utf-8") as worth:
        for line in filter(str.strip, said):
            values = [float(value) for value in next(worth).split()]
            total += sum(float(p) * values[int(a)] for a, p in (pair.split(":") for pair in line.strip().split(",")))
            count += 1
    return total / count


def peer(bench, log, interpreter):
    text, truth = harness.cached("policy.vw"), harness.cached("policy.truth")
    (reward, examples), = driver(log, "peer", text, truth)
    with open(truth, encoding="utf-8") as file:
        n = sum(1 for _ in file)
    for label, options in SETTINGS.items():
        options = "--cb_explore_adf --squarecb -q xa" + options
        line = [interpreter, "-c", PEER, text, options]
        out = subprocess.run(line, check=True, capture_output=True, text=True).stdout
        version, seconds = out.split()
        name, command = f"Vowpal Wabbit {version}, {label}", "vw " + options
        earned = progressive(text + ".probabilities", truth)
        bench.add(f"squarecb, played arms: progressive reward ({name}: {earned:.4f})", float(reward), "", peer=name,
                  peer_value=earned, command=command)
        bench.add(f"squarecb, played arms: examples/s ({name} from its binary cache: {n / float(seconds):,.0f})",
                  float(examples), "1/s", peer=name, peer_value=n / float(seconds), command=command)


def run(bench):
    interpreter = python()
    log = ranks(interpreter)
    if bench.quick:
        short = harness.cached("lastfm-ranks-quick.txt")
        with open(log, encoding="utf-8") as whole, open(short, "w", encoding="utf-8") as part:
            part.writelines(line for i, line in enumerate(whole) if i < 1000)
        log = short
    compare(bench, log)
    speed(bench, log)
    peer(bench, log, interpreter)
