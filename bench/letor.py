"""Learning to rank on public data, against LightGBM, XGBoost and CatBoost.

One procedure for all, fixed before the test part is looked at: the same settings, tried by five folds of the groups at hand (training
and validation part together), dealt anew five times. The settings and number of rounds with the best mean NDCG@10 over all held-out
groups are taken, and ten seeds are trained with them on all of the groups at hand; their mean is measured on the test part, once.
Runs have one thread each, two at a time. Every try is written to build/bench/letor-tries.json with its mean and standard error.

With some hundred groups the test part cannot tell good rankers apart: beside each difference stands what 95 % of bootstraps over its
groups say.
"""

import array
import concurrent.futures
import json
import os
import random
import statistics
import subprocess

import harness
import letor_rows

PEERS = os.environ.get("FORAGE_PEERS", os.path.join(harness.OUT, "peers", "bin", "python"))
SYSTEMS = ("lightgbm", "xgboost", "catboost")
FOLDS, REPEATS, ROUNDS, EVERY, SEEDS = 5, 5, 120, 10, 10
AT_ONCE, BATCH, RESAMPLES = 2, 100, 10000
FIRST = {"leaves": 8, "learning_rate": 0.05, "lambda": 5, "min_child_weight": 3, "colsample": 0.3, "group_share": 0.7,
         "truncation": 30}
SETTINGS = [FIRST, {**FIRST, "leaves": 16, "min_child_weight": 6}, {**FIRST, "lambda": 0.3, "min_child_weight": 0.2},
            {**FIRST, "truncation": 100}]


class Problem:
    def __init__(self, name, known, test, width, quick):
        self.name, self.known, self.test, self.width = name, known, test, width
        self.repeats, self.rounds, self.seeds = (1, 20, 2) if quick else (REPEATS, ROUNDS, SEEDS)
        self.settings = SETTINGS[:1] if quick else SETTINGS
        self.test_labels = test.labels()

    def path(self, part):
        return harness.cached(f"letor-{self.name}-{part}.txt")

    def write(self):
        self.known.write(self.path("known"))
        self.test.write(self.path("test"))
        self.sizes = []
        for repeat in range(self.repeats):
            for i, (train, held) in enumerate(letor_rows.folds(self.known, FOLDS, repeat)):
                train.write(self.path(f"train{repeat}-{i}"))
                held.write(self.path(f"held{repeat}-{i}"))
                self.sizes.append(len(held.groups))
        return self

    def parts(self):
        return [(f"train{repeat}-{i}", f"held{repeat}-{i}") for repeat in range(self.repeats) for i in range(FOLDS)]


def mq2008(quick):
    folder = "letor-mq2008-fold1"
    parts = [letor_rows.read(harness.data(folder, name)) for name in ("train.txt", "vali_partial_1000.txt", "test.txt")]
    return Problem("mq2008", letor_rows.Rows(parts[0].groups + parts[1].groups), parts[2], 46, quick).write()


def lightgbm_example(quick):
    folder = "lightgbm-lambdarank"
    train, test = (letor_rows.read_with_sizes(harness.data(folder, name), harness.data(folder, name + ".query"))
                   for name in ("rank.train", "rank.test"))
    return Problem("lightgbm", train, test, 301, quick).write()


# ---- One run of one side -------------------------------------------------------------------------------------------


def forage_run(bench, problem, job, model):
    """What a peer's job gives (bench/peers/letor_peers.py), from `forage train`. Only a curve needs the other rows as validation
    rows; what they would choose is not to be chosen by them."""
    name = f"{problem.name}-{job['test']}-{len(job['seeds'])}-{model}"
    scores, out = harness.cached(f"letor-scores-{name}.txt"), harness.cached(f"letor-model-{name}.ubj")
    test = problem.path(job["test"])
    line = ["train", "--svmlight", problem.path(job["train"]), "--test", test, "--scores", scores, "--model", model,
            "--output", out, "--patience", "0", "--trees", str(job["rounds"]), "--bags", str(len(job["seeds"])), "--threads", "1",
            "--seed", str(job["seeds"][0]), "--json", "--quiet"]
    line += ["--validation", test] if job["every"] else ["--holdout", "0"]
    for key, value in job["settings"].items():
        line += ["--" + key.replace("_", "-"), str(value)]
    text, _, _, shown = bench.command(line)
    report = json.loads(text)
    seconds = sum(report["fit"][part]["seconds"] for part in ("linear", "trees") if part in report["fit"])
    with open(scores, encoding="utf-8") as file:
        values = [float(value) for value in file]
    curve = report["fit"]["trees"].get("validation_curve", [])[EVERY - 1::EVERY] if job["every"] else [report["ndcg"]["test"]["10"]]
    return {"curve": curve, "scores": values, "seconds": seconds, "command": shown, "ndcg": report["ndcg"]["test"], "model": out}


def peer_runs(problem, system, jobs):
    """Results and version; harness.Missing where the peers are not installed."""
    if not os.access(PEERS, os.X_OK):
        raise harness.Missing(f"no {os.path.relpath(PEERS, harness.ROOT)}; see bench/peers/letor_peers.py")
    path = harness.cached(f"letor-jobs-{system}-{jobs[0]['test']}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump([{**job, "train": problem.path(job["train"]), "test": problem.path(job["test"]), "width": problem.width}
                   for job in jobs], file)
    line = [PEERS, os.path.join(harness.ROOT, "bench", "peers", "letor_peers.py"), system, path]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        raise harness.Missing(f"{system}: {done.stderr.strip().splitlines()[-1:]}")
    answer = json.loads(done.stdout[done.stdout.index("{"):])
    return answer["results"], answer["version"]


def runs(bench, problem, system, jobs, model="trees"):
    """(results in the order of jobs, version), AT_ONCE at a time."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        if system == "forage":
            return list(pool.map(lambda job: forage_run(bench, problem, job, model), jobs)), ""
        shares = [jobs[i::AT_ONCE] for i in range(min(AT_ONCE, len(jobs)))]
        told = list(pool.map(lambda share: peer_runs(problem, system, share), shares))
    results = [None] * len(jobs)
    for i, (share, _) in enumerate(told):
        results[i::AT_ONCE] = share
    return results, told[0][1]


# ---- Choosing ------------------------------------------------------------------------------------------------------


def pooled(problem, results):
    """[(mean NDCG@10 over all held-out groups, its standard error over the repeats)] after every EVERY rounds."""
    each = []
    for repeat in range(problem.repeats):
        part = slice(repeat * FOLDS, (repeat + 1) * FOLDS)
        sizes = problem.sizes[part]
        each.append([sum(v * n for v, n in zip(values, sizes)) / sum(sizes)
                     for values in zip(*(r["curve"] for r in results[part]))])
    error = lambda values: statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return [(statistics.mean(values), error(values)) for values in zip(*each)]


def try_all(bench, problem, system, tries):
    """The version and the best try: {"settings", "rounds", "model", "ndcg", "error"}. Of three neighbouring numbers of rounds the
    mean counts, so that no lucky one is taken."""
    jobs = [{"train": a, "test": b, "settings": s, "rounds": problem.rounds, "every": EVERY, "seeds": [1 + i]}
            for s in problem.settings for i, (a, b) in enumerate(problem.parts())]
    results, version = runs(bench, problem, system, jobs)
    best, n = None, len(problem.parts())
    for i, settings in enumerate(problem.settings):
        curve = pooled(problem, results[i * n:(i + 1) * n])
        near = [statistics.mean(v for v, _ in curve[max(0, at - 1):at + 2]) for at in range(len(curve))]
        at = max(range(len(near)), key=near.__getitem__)
        one = {"problem": problem.name, "system": f"{system} {version}".strip(), "settings": settings, "model": "trees",
               "rounds": (at + 1) * EVERY, "ndcg": near[at], "error": curve[at][1], "curve": curve}
        tries.append(one)
        if best is None or one["ndcg"] > best["ndcg"]:
            best = one
    return version, best


# ---- Measuring -----------------------------------------------------------------------------------------------------


def interval(values, seed=1):
    """Where 95 % of bootstraps have the mean of values."""
    source = random.Random(seed)
    means = sorted(statistics.fmean(source.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return means[RESAMPLES // 40], means[-RESAMPLES // 40]


def scoring_speed(problem, model):
    """µs a row, by the forest that serves (bench/forest_driver.c)."""
    rows = harness.cached(f"letor-{problem.name}-test.f32")
    x, _, _ = problem.test.matrix(problem.width)
    with open(rows, "wb") as file:
        array.array("f", [value for row in x for value in row]).tofile(file)
    line = [os.path.join(harness.BUILD, "bench", "forest_driver"), "speed", model, rows, str(problem.width), str(BATCH), "-"]
    return float(subprocess.run(line, check=True, capture_output=True, text=True).stdout.split("\t")[1])


def measure(bench, problem, system, best):
    """The seeds trained on all that is known, measured on the test part: (NDCG@10 of each group, {cutoff: NDCG}, the run)."""
    job = {"train": "known", "test": "test", "settings": best["settings"], "rounds": best["rounds"], "every": 0,
           "seeds": list(range(1, problem.seeds + 1)), "batch": BATCH}
    result = runs(bench, problem, system, [job], best["model"])[0][0]
    values = {k: letor_rows.ndcg(problem.test_labels, result["scores"], k) for k in (1, 3, 5, 10)}
    for k, told in result.get("ndcg", {}).items():
        if abs(told - values[int(k)]) > 1e-5:
            raise SystemExit(f"forage says NDCG@{k} is {told}, it is {values[int(k)]}")
    if system == "forage":
        result["speed"] = scoring_speed(problem, result["model"])
    return letor_rows.ndcgs(problem.test_labels, result["scores"], 10), values, result


def contest(bench, problem, bars, tries):
    """Everybody on one problem. bars: {cutoff: what Forage must reach}."""
    ours = None
    for system in ("forage",) + SYSTEMS:
        try:
            version, best = try_all(bench, problem, system, tries)
        except harness.Missing as missing:
            print(f"  SKIPPED {missing}", flush=True)
            continue
        with open(os.path.join(harness.OUT, "letor-tries.json"), "w", encoding="utf-8") as file:
            json.dump(tries, file, indent=1)
        each, values, result = measure(bench, problem, system, best)
        name = f"{problem.name}, {system} {version}".strip()
        print(f"  {name}: {best['model']}, {best['rounds']} rounds, {json.dumps(best['settings'])}", flush=True)
        bench.add(f"{name}: NDCG@10 of the folds, ± {best['error']:.4f}", best["ndcg"], "")
        for k in (1, 3, 5, 10):
            bench.add(f"{name}: test NDCG@{k}", values[k], "", bar=bars.get(k) if system == "forage" else None,
                      command=result.get("command", ""))
        bench.add(f"{name}: training {problem.seeds} × {best['rounds']} rounds", result["seconds"], "s", lower=True)
        bench.add(f"{name}: scoring, requests of {BATCH}", result["speed"], "µs/document", lower=True)
        ours = ours or each
        low, high = interval([a - b for a, b in zip(ours, each)] if system != "forage" else each)
        if system == "forage":
            bench.add(f"{name}: test NDCG@10, 95 % of bootstraps from (to {high:.4f})", low, "")
        else:
            bench.add(f"{problem.name}: test NDCG@10, forage less {system}, 95 % of bootstraps {low:+.4f} to {high:+.4f}",
                      statistics.fmean(ours) - statistics.fmean(each), "")


def run(bench):
    tries = []
    if not bench.quick:  # nobody looks at the test part of MQ2008 on the way
        contest(bench, mq2008(bench.quick), {10: 0.8229}, tries)
    contest(bench, lightgbm_example(bench.quick), {1: 0.5674, 3: 0.578}, tries)
