"""Does retrieval that learns beat every plan that does not, at equal cost, on behaviour that nobody here invented?

The Last.fm replay (README.md of the data): artists are documents, a tag is a query, the artist that got it what was wanted.
All contestants are held to a mean of 100 distinct candidates; recall: the wanted artist is among them. Plans are found with
the whole log in view; policies learn as they go, and only from what they would have shown ("warm": the first half of the
log, which only teaches, has taught the policy as well).

1. Plans and policies over the second half of the log. 2. The learning curve from event zero. 3. Simulated customers, whose
wishes are known (bench_simulate.py). 4. What one click teaches: hindsight against played-arm credit.
"""

import importlib
import json
import os
import shutil

import harness

BUDGET = 100
RULES = ["regcb", "squarecb", "lin-ts", "linucb", "epsilon-greedy"]
SEEDS, QUICK_SEEDS = "5", "2"
IN_MEMORY = "/dev/shm"  # where the replay's scratch data goes, if it has room
ROOM = 2 << 30
WINDOW = 500  # requests over which a recall is measured in table 4


def use_memory():
    if "TMPDIR" not in os.environ and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= ROOM:
        os.environ["TMPDIR"] = IN_MEMORY


def replay(bench, *options):
    arguments = ["replay", "--lastfm", harness.data("lastfm-2k"), "--every", "7", "--new-only", "--budget", str(BUDGET),
                 "--depth", "256", "--seeds", QUICK_SEEDS if bench.quick else SEEDS, "--json", "--quiet", *options]
    if bench.quick:
        arguments += ["--rows", "20000"]
    out, seconds, peak, line = bench.command(arguments)
    line = line.replace(harness.data("lastfm-2k"), "lastfm-2k")
    answer = json.loads(out)
    print(f"  {line}\n  {answer['rows']:,} rows, {answer['scored']:,} scored, {seconds:.0f} s, {peak / 2**20:,.0f} MiB\n",
          flush=True)
    return answer, line


def named(entries, name, **members):
    return next(e for e in entries if e["name"] == name and all(e[k] == v for k, v in members.items()))


def print_entry(entry, label=None):
    fixed = entry.get("versus", {}).get("best fixed depths in hindsight")
    against = f"{fixed['difference']:+.4f} ({fixed['low']:+.4f} to {fixed['high']:+.4f})" if fixed else ""
    depths = ", ".join(f"{name} {depth:.0f}" for name, depth in entry["depths"].items() if depth >= 0.5)
    print(f"  {label or entry['name']:36} {entry['recall']:.4f}  {entry['low']:.4f} to {entry['high']:.4f} "
          f"{entry['candidates']:11.1f}  {against:30}  {depths}")


def label_of(entry):
    return entry["name"] + (", played arms" if entry["credit"] == "played" else "") + (", warm" if entry["warm"] else "")


# ---- 1 ----

def print_contest(answer):
    tried = answer["tried"]
    print(f"Table 1: recall at a mean of {BUDGET} candidates, {answer['scored']:,} requests, 95 % bootstrap intervals over them")
    print(f"  {'':36} recall   interval          candidates  over the best fixed depths      mean depths")
    for entry in tried["plans"]:
        print_entry(entry)
    for entry in tried["policies"]:
        if entry["order"] == "log":
            print_entry(entry, label_of(entry))
    print(flush=True)


def judge_contest(bench, answer, line):
    tried = answer["tried"]
    plans = {entry["name"]: entry for entry in tried["plans"]}
    single = next(entry for entry in tried["plans"] if entry["name"].startswith("best single"))
    fixed, oracle = plans["best fixed depths in hindsight"], plans["oracle for each request"]
    equal, fusion = plans["equal depth"], plans["reciprocal-rank fusion"]
    for entry in (single, equal, fusion, fixed, oracle):
        bench.add(f"{entry['name']}: recall at {BUDGET} candidates", entry["recall"], "", command=line)
    for entry in tried["policies"]:
        if entry["order"] != "log":
            continue
        default = label_of(entry) == tried["policy"] + ", warm"  # the first half teaches: the policy, too
        bench.add(f"{label_of(entry)}: recall", entry["recall"], "", bar=fixed["recall"] if default else None,
                  peer="best fixed depths", peer_value=fixed["recall"], command=line)
        if default:
            better = max(equal, fusion, key=lambda e: e["recall"])
            bench.add(f"{label_of(entry)}: candidates", entry["candidates"], "", bar=BUDGET + .5, lower=True, command=line)
            bench.add(f"{label_of(entry)}: over the better of equal depth and fusion", entry["recall"] / better["recall"], "×",
                      bar=1.1, peer=better["name"], peer_value=1, command=line)
            way = (entry["recall"] - fixed["recall"]) / (oracle["recall"] - fixed["recall"])
            bench.add(f"{label_of(entry)}: way from the best fixed depths to the oracle (aim: 50)", 100 * way, "%", command=line)


# ---- 2 ----

def exploration_rate(entry, tried):
    """The share of decisions in which some strategy's level comes from the floor of exploration."""
    levels = len(tried["levels"]) - 1
    return 1 - (1 - levels * entry["least_probability"]) ** len(tried["strategies"])


def learning_curve(bench, answer, line):
    tried = answer["tried"]
    policies = [e for e in tried["policies"] if e["order"] == "log"]
    default, equal = named(policies, tried["policy"]), named(tried["plans"], "equal depth")
    rate = exploration_rate(default, tried)
    print(f"Table 2: reward per 10,000 events from event zero (one for each wanted artist that was a candidate); {BUDGET} candidates")
    print(f"  {'events':>9}  {'scored':>6}  {'equal depth':>11}  " + "  ".join(f"{e['name']:>14}" for e in policies)
          + f"  {'candidates':>10}")
    worst = None
    for i, point in enumerate(default["curve"]):
        base = equal["curve"][i]["recall"]
        print(f"  {point['rows']:9,}  {point['scored']:6,}  {10000 * base:11,.0f}  "
              + "  ".join(f"{10000 * e['curve'][i]['recall']:14,.0f}" for e in policies) + f"  {point['candidates']:10.1f}")
        gap = point["recall"] / base if base else 1
        worst = gap if worst is None else min(worst, gap)
    print(flush=True)
    bench.add(f"{default['name']} from event zero: recall", default["recall"], "", peer="equal depth",
              peer_value=equal["recall"], command=line)
    bench.add(f"{default['name']} from event zero: least share of equal depth's reward in 10,000 events", worst, "",
              bar=round(1 - rate, 4), command=line)


# ---- 4 ----

def smoothed(curve):
    """(requests seen, recall over the WINDOW before, as a share of what the best fixed depths find of the same requests)."""
    for i in range(len(curve)):
        found = fixed = scored = 0
        for point in curve[i::-1]:
            found, fixed = found + point["recall"] * point["scored"], fixed + point["fixed"] * point["scored"]
            scored += point["scored"]
            if scored >= WINDOW:
                yield curve[i]["rows"], found / fixed if fixed else 0
                break


def reached(curve, level):
    return next((seen for seen, share in smoothed(curve) if share >= level), None)


def compare_credit(bench, answer, line):
    policies = answer["tried"]["policies"]
    print(f"Table 4: requests until a recall over {WINDOW} requests is reached, relative to the best fixed depths on the same "
          "requests;\n  in an order drawn anew for each seed. The levels are shares of what played-arm credit has in the end")
    print(f"  {'':16}  {'level':>7}  {'hindsight':>9}  {'played arms':>11}  {'ratio':>6}")
    for rule in sorted({e["name"] for e in policies if e["credit"] == "played" and e["order"] == "shuffled"}):
        by_credit = {credit: named(policies, rule, order="shuffled", credit=credit)["curve"] for credit in ("hindsight", "played")}
        curve = list(smoothed(by_credit["played"]))
        final = curve[-1][1] if curve else 0
        for share in (.9, .95, .98, 1):
            needed = {credit: reached(curve, share * final) for credit, curve in by_credit.items()}
            ratio = needed["played"] / needed["hindsight"] if all(needed.values()) else None
            print(f"  {rule:16}  {share * final:7.4f}  {needed['hindsight'] or 'never':>9}  {needed['played'] or 'never':>11}  "
                  + (f"{ratio:6.2f}" if ratio else "     -"))
            if share == 1 and ratio:
                bench.add(f"{rule}: requests until what played arms reach in the end, by hindsight", needed["hindsight"], "",
                          lower=True, peer="played arms", peer_value=needed["played"], command=line)
    print(flush=True)


def run(bench):
    use_memory()
    shuffled = [f"{rule}{credit}:shuffled" for rule in ("regcb", "squarecb") for credit in ("", ":played")]
    contest, line = replay(bench, "--compare", ",".join(RULES + ["rrf-equal", "regcb:played", "regcb:warm"] + shuffled))
    curve, curve_line = replay(bench, "--teach", "0", "--compare", ",".join(RULES + ["rrf-equal"]))
    print_contest(contest)
    learning_curve(bench, curve, curve_line)
    try:
        importlib.import_module("bench_simulate").run(bench)
    except ModuleNotFoundError as error:
        if error.name != "bench_simulate":
            raise
    compare_credit(bench, contest, line)
    judge_contest(bench, contest, line)
