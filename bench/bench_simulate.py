"""Simulated customers over the sample catalogue: does regret grow slower than linearly, how soon is a drift made good?

Rewards are the click model's exact expectations. Regret is against the best static policy of no higher cost (fixed,
all, rrf-equal), in hindsight, at every customer; the growth is cumulative regret as a power of the number of customers.
A run whose regret does not stay above 0 has no such power: what was served was at least as good, and 0 is reported.
"""

import json
import os

import harness

MEDIA = os.path.join(harness.ROOT, "examples", "media")
BUDGETS = (None, 25)  # mean candidates: the collection's default, and a tight one
# The worst case: nobody's taste and no document's popularity stays, and all ask by one word that many titles have.
HARD_DRIFT = ["--compare-every", "0", "--drift-share", "1", "--style", "ambiguous=1"]


def catalogue(bench, name, budget):
    """A data folder with the sample catalogue and a budget of so many candidates."""
    folder = harness.fresh_folder(name)
    with open(os.path.join(MEDIA, "schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    if budget:
        schema["budget"] = {"candidates": budget}
    path = os.path.join(harness.OUT, name + ".schema.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(schema, file)
    bench.command(["import", "--data", folder, "--schema", path, "-c", "media", "--quiet",
                   os.path.join(MEDIA, "catalogue.ndjson.zst")])
    return folder


def simulate(bench, folder, customers, *more):
    out, _, _, line = bench.command(["simulate", "--data", folder, "-c", "media", "-n", str(customers), "--seed", "1",
                                     "--json", *more])
    return json.loads(out), line


def report_growth(bench, told, member, label, line, bar):
    regret = told.get(member)
    if not regret:
        return
    growth, error = regret["growth"], 1.96 * regret["standard_error"]
    what = f"{label}: regret against {regret['against']}, {regret['total']:.0f} ± {error:.0f} in all,"
    if growth:
        interval = f"{growth['low']:.2f} to {growth['high']:.2f}, " if growth["low"] is not None else ""
        bench.add(f"{what} grows as n^a ({interval}R2 {growth['r2']:.2f})", growth["exponent"], "a", bar=bar, lower=True,
                  command=line)
    else:
        bench.add(f"{what} does not stay above 0", 0.0, "a", bar=bar, lower=True, command=line)


def report_regret(bench, told, label, line):
    for policy in told["compared"]:
        bench.add(f"{label}: {policy['policy']}, {policy['candidates']:.0f} candidates", policy["expected_per_1000"],
                  "reward/1,000", command=line)
    report_growth(bench, told, "regret", label, line, bar=0.9)
    report_growth(bench, told, "regret_at_any_cost", f"{label}, any cost", line, bar=None)


def report_drift(bench, told, label, line):
    drift = told["drifts"][0]
    fall = f"{drift['before_per_1000']:.0f} to {drift['lowest_per_1000']:.0f}"
    unit = "events" if drift["recovered"] else "events, not recovered"
    bench.add(f"{label}: a drift of everything, ambiguous queries, {fall}: made good after",
              drift.get("recovery_events", told["events"]), unit, command=line)


def run(bench):
    customers = 1000 if bench.quick else 20000
    for budget in BUDGETS:
        label = f"budget {budget}" if budget else "default"
        folder = catalogue(bench, f"simulate-{budget or 'default'}", budget)
        told, line = simulate(bench, folder, customers, "--compare-every", "1")
        report_regret(bench, told, label, line)
        for part in ("first", "last"):
            bench.add(f"{label}: {part} {told[part]['customers']:,} customers", told[part]["expected_per_1000"],
                      "reward/1,000", command=line)
        told, line = simulate(bench, folder, customers, "--drift-at", str(customers // 2), *HARD_DRIFT)
        report_drift(bench, told, label, line)
