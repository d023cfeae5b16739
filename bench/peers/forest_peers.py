"""Forests for bench_forest.py and what other libraries take to score them. Installed where it looks:

    pip install --target build/bench/peers/python numpy scipy xgboost-cpu lightgbm lleaves llvmlite==0.43.0

forest_peers.py make FOLDER TREES    trains, once, on made rows: FOLDER/KIND.json, .ubj (XGBoost), .txt (LightGBM), KIND.LIBRARY.f32:
                                     the library's own margins of the 10,000 rows of FOLDER/rows.f32 (60 features, float32)
forest_peers.py speed FOLDER BATCH   prints {"model": {"library version": µs a row}}: one thread, requests of BATCH rows, processor
                                     time, the best of several runs over all rows after one to warm up
forest_peers.py lleaves FOLDER KIND BATCH    the same of lleaves, which compiles first
"""

import json
import os
import sys
import time

import lightgbm
import numpy
import xgboost

FEATURES, TRAINED, ROWS, RUNS = 60, 4000, 10000, 3
KINDS = {"leaves64": ({"grow_policy": "lossguide", "max_leaves": 64, "max_depth": 0}, {"num_leaves": 64}),
         "depth6": ({"max_depth": 6}, {"num_leaves": 64, "max_depth": 6})}


def rows():
    """Features of the kinds that rankers have: continuous ones, counts, ones that are mostly zero; 5 % missing."""
    random = numpy.random.default_rng(7)
    x = random.normal(size=(TRAINED + ROWS, FEATURES)).astype(numpy.float32)
    x[:, 20:30] = numpy.round(x[:, 20:30] * 3)
    x[:, 30:40] = numpy.where(x[:, 30:40] > .5, x[:, 30:40], 0)
    x[random.random(x.shape) < .05] = numpy.nan
    known = numpy.nan_to_num(x)
    y = (known[:, 0] * known[:, 1] + numpy.sin(3 * known[:, 2]) + .5 * numpy.abs(known[:, 3]) + .3 * known[:, 20] + known[:, 31]
         + .05 * (known[:, 4:20] ** 2).sum(1) + .5 * random.normal(size=len(x)))
    return x, y


def make(folder, trees):
    os.makedirs(folder, exist_ok=True)
    x, y = rows()
    tested = numpy.ascontiguousarray(x[TRAINED:])
    tested.tofile(os.path.join(folder, "rows.f32"))
    for kind, (of_xgboost, of_lightgbm) in KINDS.items():
        path = os.path.join(folder, kind)
        if not os.path.exists(path + ".json"):
            model = xgboost.train({"tree_method": "hist", "eta": .1, "nthread": 1, **of_xgboost},
                                  xgboost.DMatrix(x[:TRAINED], y[:TRAINED], nthread=1), trees)
            model.inplace_predict(tested, predict_type="margin").astype(numpy.float32).tofile(path + ".xgboost.f32")
            model.save_model(path + ".ubj")
            model.save_model(path + ".json")
        if not os.path.exists(path + ".txt"):
            model = lightgbm.train({"objective": "regression", "learning_rate": .1, "verbose": -1, "num_threads": 1, **of_lightgbm},
                                   lightgbm.Dataset(x[:TRAINED], y[:TRAINED]), trees)
            model.predict(tested, raw_score=True).astype(numpy.float32).tofile(path + ".lightgbm.f32")
            model.save_model(path + ".txt")


def best_time(predict, x, batch):
    best = float("inf")
    for run in range(RUNS + 1):
        start = time.process_time()
        for first in range(0, len(x), batch):
            predict(x[first:first + batch])
        if run:
            best = min(best, time.process_time() - start)
    return best / len(x) * 1e6


def compiled(path):
    """lleaves compiles the model to machine code, which is kept beside it."""
    import lleaves
    model = lleaves.Model(model_file=path)
    model.compile(cache=path + ".lleaves.o")
    return f"lleaves {lleaves.__version__}" if hasattr(lleaves, "__version__") else "lleaves", model


def speed(folder, batch):
    result = {}
    x = numpy.fromfile(os.path.join(folder, "rows.f32"), numpy.float32).reshape(ROWS, FEATURES)
    for kind in KINDS:
        path = os.path.join(folder, kind)
        booster = xgboost.Booster({"nthread": 1}, model_file=path + ".ubj")
        booster.set_param({"nthread": 1})
        result[kind + ".ubj"] = {f"XGBoost {xgboost.__version__}": best_time(
            lambda part: booster.inplace_predict(part, predict_type="margin", validate_features=False), x, batch)}
        model = lightgbm.Booster(model_file=path + ".txt")
        result[kind + ".txt"] = {f"LightGBM {lightgbm.__version__}": best_time(
            lambda part: model.predict(part, raw_score=True, num_threads=1), x, batch)}
    print(json.dumps(result))


def speed_of_lleaves(folder, kind, batch):
    """In a process of its own, since compiling can take many minutes: {"lleaves": µs a row}."""
    x = numpy.fromfile(os.path.join(folder, "rows.f32"), numpy.float32).reshape(ROWS, FEATURES).astype(numpy.float64)
    name, model = compiled(os.path.join(folder, kind + ".txt"))
    print(json.dumps({name: best_time(lambda part: model.predict(part, n_jobs=1), x, batch)}))


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]))
elif sys.argv[1] == "lleaves":
    speed_of_lleaves(sys.argv[2], sys.argv[3], int(sys.argv[4]))
else:
    speed(sys.argv[2], int(sys.argv[3]))
