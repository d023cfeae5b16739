"""Learning to rank on public data, against LightGBM, XGBoost and CatBoost.

One procedure for all: the same random settings, tried by the same five folds of the groups at hand (training and validation
part together; the test part is not looked at). Settings and number of rounds with the best mean NDCG@10 over all held-out groups
are taken, and five seeds are trained with them on all of the groups at hand; their mean is measured on the test part, once. Each
side gets one thread. The range of settings was narrowed by cross-validation of Forage on the same known groups.
"""

import json
import os
import random
import subprocess

import harness
import letor_rows

PEERS = os.environ.get("FORAGE_PEERS", os.path.join(harness.OUT, "peers", "bin", "python"))
SYSTEMS = ("lightgbm", "xgboost", "catboost")
FOLDS, EVERY, SEEDS = 5, 10, [1, 2, 3, 4, 5]
SETTINGS, ROUNDS = 8, 150
SPACE = {
    "leaves": [4, 6, 8, 12, 16, 24],
    "learning_rate": [0.03, 0.05],
    "lambda": [1, 5, 20],
    "min_child_weight": [0.1, 1, 3, 6, 12],
    "colsample": [0.1, 0.2, 0.4, 0.7],
    "group_share": [0.5, 0.7, 1.0],
    "truncation": [10, 20, 40, 100],
}
FIRST = {"leaves": 12, "learning_rate": 0.03, "lambda": 5, "min_child_weight": 6, "colsample": 0.2, "group_share": 0.7,
         "truncation": 40}


class Problem:
    def __init__(self, name, known, test, width, rounds):
        self.name, self.known, self.test, self.width, self.rounds = name, known, test, width, rounds
        self.test_labels = test.labels()

    def path(self, part):
        return harness.cached(f"letor-{self.name}-{part}.txt")

    def write(self):
        self.known.write(self.path("known"))
        self.test.write(self.path("test"))
        for i, (train, held) in enumerate(letor_rows.folds(self.known, FOLDS)):
            train.write(self.path(f"fold{i}-train"))
            held.write(self.path(f"fold{i}-held"))
        return self


def mq2008():
    folder = "letor-mq2008-fold1"
    parts = [letor_rows.read(harness.data(folder, name)) for name in ("train.txt", "vali_partial_1000.txt", "test.txt")]
    return Problem("mq2008", letor_rows.Rows(parts[0].groups + parts[1].groups), parts[2], 46, ROUNDS).write()


def lightgbm_example():
    folder = "lightgbm-lambdarank"
    train, test = (letor_rows.read_with_sizes(harness.data(folder, name), harness.data(folder, name + ".query"))
                   for name in ("rank.train", "rank.test"))
    return Problem("lightgbm", train, test, 301, ROUNDS).write()


def candidates(n, seed=7):
    """The settings that everybody tries: a usual one and n - 1 drawn ones."""
    source = random.Random(seed)
    return [FIRST] + [{key: source.choice(values) for key, values in SPACE.items()} for _ in range(n - 1)]


# ---- One run of one side -------------------------------------------------------------------------------------------


def forage_run(bench, train, test, settings, rounds, seeds):
    """What a peer's job gives (bench/peers/letor_peers.py), from `forage train`."""
    scores = harness.cached("letor-scores.txt")
    line = ["train", "--svmlight", train, "--validation", test, "--test", test, "--scores", scores, "--model", "trees",
            "--patience", "0", "--trees", str(rounds), "--bags", str(len(seeds)), "--threads", "1", "--seed", str(seeds[0]),
            "--json", "--quiet"]
    for key, value in settings.items():
        line += ["--" + key.replace("_", "-"), str(value)]
    out, _, _, shown = bench.command(line)
    report = json.loads(out)
    with open(scores, encoding="utf-8") as file:
        values = [float(text) for text in file]
    curve = report["fit"]["trees"]["validation_curve"][EVERY - 1::EVERY]
    return {"curve": curve, "scores": values, "seconds": report["fit"]["trees"]["seconds"], "command": shown,
            "ndcg": report["ndcg"]["test"]}


def peer_runs(system, jobs):
    """(version, results), or None where the peers are not installed."""
    if not os.access(PEERS, os.X_OK):
        print(f"  SKIPPED {system}: no {os.path.relpath(PEERS, harness.ROOT)}; see bench/peers/letor_peers.py", flush=True)
        return None
    path = harness.cached(f"letor-jobs-{system}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(jobs, file)
    line = [PEERS, os.path.join(harness.ROOT, "bench", "peers", "letor_peers.py"), system, path]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"  SKIPPED {system}: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        return None
    answer = json.loads(done.stdout[done.stdout.index("{"):])
    return answer["version"], answer["results"]


def runs(bench, system, problem, wanted):
    """Results of [(train part, test part, settings, rounds, seeds)]."""
    if system == "forage":
        return "", [forage_run(bench, problem.path(a), problem.path(b), *rest) for a, b, *rest in wanted]
    return peer_runs(system, [{"train": problem.path(a), "test": problem.path(b), "width": problem.width, "settings": settings,
                               "rounds": rounds, "every": EVERY, "seeds": seeds}
                              for a, b, settings, rounds, seeds in wanted])


# ---- Choosing and measuring ----------------------------------------------------------------------------------------


def pooled(problem, results):
    """Mean NDCG@10 over all held-out groups, after every EVERY rounds; of three neighbours, so that no lucky round is taken."""
    sizes = [len(held.groups) for _, held in letor_rows.folds(problem.known, FOLDS)]
    curve = [sum(r["curve"][i] * n for r, n in zip(results, sizes)) / sum(sizes) for i in range(len(results[0]["curve"]))]
    near = lambda i: curve[max(0, i - 1):i + 2]
    return [sum(near(i)) / len(near(i)) for i in range(len(curve))]


def choose(bench, system, problem, settings):
    """(version, the best settings, their rounds, their pooled NDCG@10) or None."""
    wanted = [(f"fold{i}-train", f"fold{i}-held", s, problem.rounds, [1]) for s in settings for i in range(FOLDS)]
    told = runs(bench, system, problem, wanted)
    if not told:
        return None
    version, results = told
    best = None
    for i, s in enumerate(settings):
        curve = pooled(problem, results[i * FOLDS:(i + 1) * FOLDS])
        at = max(range(len(curve)), key=curve.__getitem__)
        if best is None or curve[at] > best[3]:
            best = (version, s, (at + 1) * EVERY, curve[at])
    return best


def measure(bench, system, problem, settings, rounds):
    """{cutoff: NDCG}, and the run, of five seeds trained on all that is known."""
    result = runs(bench, system, problem, [("known", "test", settings, rounds, SEEDS)])[1][0]
    values = {k: letor_rows.ndcg(problem.test_labels, result["scores"], k) for k in (1, 3, 5, 10)}
    for k, told in result.get("ndcg", {}).items():
        if abs(told - values[int(k)]) > 1e-5:
            raise SystemExit(f"forage says NDCG@{k} is {told}, it is {values[int(k)]}")
    return values, result


def contest(bench, problem, bars):
    """Everybody on one problem. bars: {cutoff: what Forage must reach}."""
    settings = candidates(2 if bench.quick else SETTINGS)
    if bench.quick:
        problem.rounds = 20
    table = {}
    for system in ("forage",) + SYSTEMS:
        chosen = choose(bench, system, problem, settings)
        if not chosen:
            continue
        version, best, rounds, cross = chosen
        values, result = measure(bench, system, problem, best, rounds)
        name = f"{system} {version}".strip()
        table[name] = (values, result["seconds"])
        print(f"  {problem.name}, {name}: {rounds} rounds, {json.dumps(best)}", flush=True)
        bench.add(f"{problem.name}, {name}: NDCG@10 of the folds, best of {len(settings)} settings", cross, "")
        for k in (1, 3, 5, 10):
            bench.add(f"{problem.name}, {name}: test NDCG@{k}", values[k], "", bar=bars.get(k) if system == "forage" else None,
                      command=result.get("command", ""))
        bench.add(f"{problem.name}, {name}: training {len(SEEDS)} × {rounds} rounds", result["seconds"], "s")
    ours = table["forage"]
    for name, (values, seconds) in table.items():
        if name == "forage":
            continue
        bench.add(f"{problem.name}: test NDCG@10 against {name}", ours[0][10], "", peer=name, peer_value=values[10])
    return table


def run(bench):
    contest(bench, mq2008(), {10: 0.8229})
    contest(bench, lightgbm_example(), {1: 0.5674, 3: 0.578})
