"""Click models once more, written from their definitions with NumPy: click_reference.py TRAIN TEST prints one JSON object.

A line of pages is as position_driver.c reads it. Nothing is shared with the C code but the definitions (Chuklin, Markov & de
Rijke 2015): the dynamic Bayesian network goes through messages of a hidden Markov chain, forward and backward, where C uses a
closed form for the silence below the last click. Needs NumPy; there is no package of these models to install (what PyPI calls
pyclick moves a mouse):
    python3 -m venv build/bench/peers
    build/bench/peers/bin/pip install numpy
"""

import json
import sys

import numpy

LEAST = 1e-6
STRENGTH = 2.0


def read(path):
    with open(path, encoding="utf-8") as file:
        rows = numpy.array([line.split() for line in file], dtype=numpy.int64)
    return rows[:, 1::2], rows[:, 2::2].astype(float)


def limit(x):
    return numpy.clip(x, LEAST, 1 - LEAST)


def chances(did, could):
    """The mode under a Beta prior whose mean is that of all pairs; and that mean, for pairs never seen."""
    mean = did.sum() / could.sum()
    return limit((did + STRENGTH * mean) / (could + STRENGTH)), limit(mean)


def by_pair(pairs, values, n):
    return numpy.bincount(pairs.ravel(), numpy.broadcast_to(values, pairs.shape).ravel(), n)


def of_pairs(pairs, values, mean):
    known = pairs < len(values)
    return numpy.where(known, values[numpy.where(known, pairs, 0)], mean)


def pbm(pairs, clicks, n, steps):
    a, p = numpy.full(n, 0.5), 1 / numpy.arange(1.0, pairs.shape[1] + 1)
    for _ in range(steps):
        here = a[pairs]
        silent = 1 - p * here
        liked = numpy.where(clicks > 0, 1, here * (1 - p) / silent)
        looked = numpy.where(clicks > 0, 1, p * (1 - here) / silent)
        a, mean = chances(by_pair(pairs, liked, n), by_pair(pairs, 1.0, n))
        p = limit(looked.mean(axis=0))
    return {"a": a, "mean_a": mean, "p": p}


def cascade(pairs, clicks, n):
    before = numpy.cumsum(clicks, axis=1) - clicks
    looked = (before == 0).astype(float)
    a, mean = chances(by_pair(pairs, clicks * looked, n), by_pair(pairs, looked, n))
    return {"a": a, "mean_a": mean, "s": numpy.ones(n), "mean_s": 1.0, "gamma": 1.0}


def sdbn(pairs, clicks, n):
    later = numpy.cumsum(clicks[:, ::-1], axis=1)[:, ::-1]  # clicks here or below
    looked = numpy.where(clicks.sum(axis=1, keepdims=True) > 0, later > 0, True).astype(float)
    last = clicks * (later == 1)
    a, mean_a = chances(by_pair(pairs, clicks, n), by_pair(pairs, looked, n))
    s, mean_s = chances(by_pair(pairs, last, n), by_pair(pairs, clicks, n))
    return {"a": a, "mean_a": mean_a, "s": s, "mean_s": mean_s, "gamma": 1.0}


def dbn(pairs, clicks, n, steps):
    ranks = pairs.shape[1]
    a, s, gamma = numpy.full(n, 0.5), numpy.full(n, 0.5), 0.9
    for _ in range(steps):
        A, S = a[pairs], s[pairs]
        emit = numpy.where(clicks > 0, A, 1 - A)       # where the row is looked at
        dark = 1 - clicks                              # where it is not
        stays = numpy.where(clicks > 0, 1 - S, 1) * gamma
        forward = numpy.zeros((ranks + 1, 2, len(pairs)))
        backward = numpy.ones((ranks + 1, 2, len(pairs)))
        forward[0, 1] = 1
        for r in range(ranks):
            lit = forward[r, 1] * emit[:, r]
            forward[r + 1, 1] = lit * stays[:, r]
            forward[r + 1, 0] = lit * (1 - stays[:, r]) + forward[r, 0] * dark[:, r]
        for r in range(ranks - 1, -1, -1):
            onward = stays[:, r] * backward[r + 1, 1] + (1 - stays[:, r]) * backward[r + 1, 0]
            backward[r, 1] = emit[:, r] * onward
            backward[r, 0] = dark[:, r] * backward[r + 1, 0]
        page = forward[ranks].sum(axis=0)
        looked, content, could, went = (numpy.zeros(pairs.shape) for _ in range(4))
        for r in range(ranks):
            lit = forward[r, 1] * emit[:, r] / page
            looked[:, r] = forward[r, 1] * backward[r, 1] / page
            wanting = numpy.where(clicks[:, r] > 0, 1 - S[:, r], 1)
            content[:, r] = lit * (1 - wanting) * backward[r + 1, 0]
            went[:, r] = lit * wanting * gamma * backward[r + 1, 1]
            could[:, r] = went[:, r] + lit * wanting * (1 - gamma) * backward[r + 1, 0]
        gamma = float(limit(went[:, :-1].sum() / could[:, :-1].sum()))  # nobody goes on after the end
        a, mean_a = chances(by_pair(pairs, clicks, n), by_pair(pairs, looked, n))
        s, mean_s = chances(by_pair(pairs, content, n), by_pair(pairs, clicks, n))
    return {"a": a, "mean_a": mean_a, "s": s, "mean_s": mean_s, "gamma": gamma}


def predict(model, pairs, clicks):
    """(full, conditional) chances of a click, pages × ranks."""
    a = of_pairs(pairs, model["a"], model["mean_a"])
    if "p" in model:
        both = limit(a * model["p"])
        return both, both
    s = of_pairs(pairs, model["s"], model["mean_s"])
    full, conditional = numpy.empty(a.shape), numpy.empty(a.shape)
    ever, now = numpy.ones(len(a)), numpy.ones(len(a))
    for r in range(a.shape[1]):
        full[:, r], conditional[:, r] = ever * a[:, r], now * a[:, r]
        ever = ever * model["gamma"] * (1 - a[:, r] * s[:, r])
        missed = now * (1 - a[:, r]) / numpy.maximum(LEAST, 1 - now * a[:, r])
        now = model["gamma"] * numpy.where(clicks[:, r] > 0, 1 - s[:, r], missed)
    return limit(full), limit(conditional)


def score(model, pairs, clicks):
    full, conditional = (numpy.where(clicks > 0, q, 1 - q) for q in predict(model, pairs, clicks))
    return {"log_likelihood": float(numpy.log(conditional).sum(axis=1).mean()),
            "perplexity": float((2 ** -numpy.log2(full).mean(axis=0)).mean()),
            "conditional_perplexity": float((2 ** -numpy.log2(conditional).mean(axis=0)).mean())}


def main():
    pairs, clicks = read(sys.argv[1])
    held = read(sys.argv[2])
    n = int(pairs.max()) + 1
    models = {"pbm": pbm(pairs, clicks, n, 600), "cascade": cascade(pairs, clicks, n), "sdbn": sdbn(pairs, clicks, n),
              "dbn": dbn(pairs, clicks, n, 100)}
    print(json.dumps({name: score(model, *held) for name, model in models.items()}))


main()
