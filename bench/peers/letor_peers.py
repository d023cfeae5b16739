"""LightGBM, XGBoost or CatBoost on ranking files: letor_peers.py SYSTEM JOBS prints {"version", "results": [{…}]}.

JOBS is a JSON file: [{"train", "test", "width", "settings", "rounds", "every", "seeds", "batch"}]. Of each comes the NDCG@10 on the
test rows after every so many rounds (0: only in the end), of the mean of the seeds' scores ("curve"), these scores in the end, the
seconds of training, and, with "batch", the µs to score a row in requests of so many, of all seeds' models together ("speed"):
processor time, the best of several runs.
Installed into the environment that FORAGE_PEERS names, or that letor.py looks for:
    python3 -m venv build/bench/peers
    build/bench/peers/bin/pip install numpy scipy lightgbm xgboost catboost
"""

import json
import math
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import letor_rows
import numpy


def matrix(path, width, cache={}):
    if path not in cache:
        rows = letor_rows.read(path)
        x, y, sizes = rows.matrix(width)
        cache[path] = (numpy.array(x, dtype=numpy.float32), numpy.array(y), sizes, rows.labels())
    return cache[path]


class LightGBM:
    def __init__(self):
        import lightgbm
        self.lib, self.version = lightgbm, lightgbm.__version__

    def train(self, x, y, sizes, s, rounds, seed):
        parameters = {"objective": "lambdarank", "verbosity": -1, "num_threads": 1, "seed": seed, "deterministic": True,
                      "num_leaves": s["leaves"], "learning_rate": s["learning_rate"], "lambda_l2": s["lambda"],
                      "min_sum_hessian_in_leaf": s["min_child_weight"], "feature_fraction": s["colsample"],
                      "lambdarank_truncation_level": s["truncation"], "sigmoid": s.get("sigma", 1), "max_bin": 254, "force_col_wise": True}
        if s["group_share"] < 1:
            parameters |= {"bagging_fraction": s["group_share"], "bagging_freq": 1, "bagging_by_query": True}
        self.model = self.lib.train(parameters, self.lib.Dataset(x, y, group=sizes), rounds)

    def staged(self, x, every, rounds):
        total = numpy.zeros(len(x))
        for start in range(0, rounds, every):
            total = total + self.model.predict(x, start_iteration=start, num_iteration=every, raw_score=True)
            yield total

    def predict(self, x):
        return self.model.predict(x, raw_score=True, num_threads=1)


class XGBoost:
    def __init__(self):
        import xgboost
        self.lib, self.version = xgboost, xgboost.__version__

    def train(self, x, y, sizes, s, rounds, seed):
        data = self.lib.DMatrix(x, y)
        data.set_group(sizes)
        parameters = {"objective": "rank:ndcg", "lambdarank_pair_method": "topk", "tree_method": "hist", "nthread": 1,
                      "lambdarank_num_pair_per_sample": s["truncation"], "grow_policy": "lossguide", "max_depth": 0,
                      "max_leaves": s["leaves"], "eta": s["learning_rate"], "lambda": s["lambda"], "seed": seed,
                      "min_child_weight": s["min_child_weight"], "colsample_bytree": s["colsample"],
                      "subsample": s["group_share"], "max_bin": 254, "verbosity": 0}
        self.model = self.lib.train(parameters, data, rounds)

    def staged(self, x, every, rounds):
        data, total = self.lib.DMatrix(x), numpy.zeros(len(x))
        for start in range(0, rounds, every):
            part = self.model.predict(data, output_margin=True, iteration_range=(start, min(rounds, start + every)))
            total = total + part
            yield total

    def predict(self, x):
        return self.model.inplace_predict(x, predict_type="margin", validate_features=False)


class CatBoost:
    def __init__(self):
        import catboost
        self.lib, self.version = catboost, catboost.__version__

    def train(self, x, y, sizes, s, rounds, seed):
        groups = numpy.repeat(numpy.arange(len(sizes)), sizes)
        parameters = {"loss_function": "YetiRank", "iterations": rounds, "learning_rate": s["learning_rate"],
                      "depth": max(2, round(math.log2(s["leaves"]))), "l2_leaf_reg": s["lambda"], "rsm": s["colsample"],
                      "random_seed": seed, "thread_count": 1, "verbose": False, "allow_writing_files": False,
                      "border_count": 254}
        if s["group_share"] < 1:
            parameters |= {"bootstrap_type": "Bernoulli", "subsample": s["group_share"]}
        self.model = self.lib.CatBoost(parameters)
        self.model.fit(self.lib.Pool(x, y, group_id=groups))

    def staged(self, x, every, rounds):
        yield from self.model.staged_predict(x, eval_period=every, ntree_end=rounds)

    def predict(self, x):
        return self.model.predict(x, prediction_type="RawFormulaVal", thread_count=1)


def speed(system, x, batch):
    best = math.inf
    for _ in range(5):
        start = time.process_time()
        for first in range(0, len(x), batch):
            system.predict(x[first:first + batch])
        best = min(best, time.process_time() - start)
    return best / len(x) * 1e6


def run(system, job):
    x, y, sizes, _ = matrix(job["train"], job["width"])
    test_x, _, _, labels = matrix(job["test"], job["width"])
    totals, seconds, scoring = None, 0, 0
    for seed in job["seeds"]:
        start = time.monotonic()
        system.train(x, y, sizes, job["settings"], job["rounds"], seed)
        seconds += time.monotonic() - start
        stages = numpy.array(list(system.staged(test_x, job["every"] or job["rounds"], job["rounds"])))
        totals = stages if totals is None else totals + stages
        scoring += speed(system, test_x, job["batch"]) if "batch" in job else 0
    curve = [letor_rows.ndcg(labels, list(scores), 10) for scores in totals]
    return {"curve": curve, "scores": [float(s) for s in totals[-1]], "seconds": seconds, "speed": scoring}


def main():
    system = {"lightgbm": LightGBM, "xgboost": XGBoost, "catboost": CatBoost}[sys.argv[1]]()
    with open(sys.argv[2], encoding="utf-8") as file:
        jobs = json.load(file)
    print(json.dumps({"version": system.version, "results": [run(system, job) for job in jobs]}))


main()
