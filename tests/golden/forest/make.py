#!/usr/bin/env python3
"""Makes the LightGBM models of this folder, rows, and what the library says of them: python3 make.py (needs lightgbm, numpy).

NAME.txt is the model; NAME.tsv has a line for each row: its features, the score, then the contributions (pred_contrib), bias last.
"""

import os

import lightgbm
import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
FEATURES, ROWS, SHOWN = 6, 600, 80


def data(seed):
    random = numpy.random.default_rng(seed)
    x = random.normal(size=(ROWS, FEATURES)).round(2)
    x[:, 1] = random.integers(0, 70, ROWS)
    x[:, 2] = numpy.where(random.random(ROWS) < .5, 0, x[:, 2])
    x[random.random(x.shape) < .08] = numpy.nan
    known = numpy.nan_to_num(x)
    y = known[:, 0] * known[:, 3] + numpy.sin(known[:, 1]) + known[:, 2] + .3 * random.normal(size=ROWS)
    return x.astype(numpy.float32), y


def make(name, parameters, categorical):
    x, y = data(len(name))
    group = None
    if parameters["objective"] == "lambdarank":
        y = numpy.digitize(y, [-1, 0, 1]).astype(int)
        group = [20] * (ROWS // 20)
    rows = lightgbm.Dataset(x, y, group=group, categorical_feature=categorical,
                            feature_name=[f"feature_{i}" for i in range(FEATURES)])
    fixed = {"verbose": -1, "num_threads": 1, "seed": 1, "min_data_in_leaf": 8, "deterministic": True,
             "min_data_per_group": 8, "cat_smooth": 1}
    model = lightgbm.train({**fixed, **parameters}, rows, 6)
    model.save_model(os.path.join(HERE, name + ".txt"))
    shown = x[:SHOWN].copy()
    shown[0], shown[1] = numpy.inf, -numpy.inf
    shown[2] = numpy.nan
    shown[3] = 0
    shown[:2, 1] = -1, 4000
    score, contributions = model.predict(shown, raw_score=True), model.predict(shown, pred_contrib=True)
    if parameters.get("boosting") == "rf":  # what counts is the mean, which only predictions that are not raw take
        score, contributions = model.predict(shown), contributions / model.num_trees()
    table = numpy.column_stack([shown, score, contributions])
    numpy.savetxt(os.path.join(HERE, name + ".tsv"), table, fmt="%.9g", delimiter="\t")


make("lambdarank", {"objective": "lambdarank", "num_leaves": 12}, [])
make("categories", {"objective": "regression", "num_leaves": 9}, [1])
make("zero", {"objective": "regression", "num_leaves": 9, "zero_as_missing": True}, [])
make("unaware", {"objective": "regression", "num_leaves": 9, "use_missing": False}, [])
make("average", {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": .7, "num_leaves": 7}, [])
