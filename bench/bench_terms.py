"""Looking for words in the vocabulary of the million packages: fuzzy, by beginning, and by reading all of it.

The vocabulary is that of names and summaries (folded words, one segment). 1,000 words of 5 to 14 letters are drawn evenly
from it and misspelt by as many random edits as are searched for, exchanges of neighbours among them; each is looked for in
processor time of one thread, making its automaton included, after a pass that warms. The same words, fewer of them, by
reading the whole dictionary with the same automaton. `terms_driver.c` says how.
"""

import json
import os
import subprocess

import harness
import packages

WORDS, SCANNED, COMPLETED, QUICK_PACKAGES = 1000, 50, 1000, 100_000
BARS = {1: 100, 2: 1000}  # µs


def driver(*arguments):
    line = [os.path.join(harness.BUILD, "bench", "terms_driver"), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return done.stdout


def image(quick):
    path = harness.cached(f"terms-{'quick' if quick else 'all'}.image")
    if not os.path.exists(path):
        lines = path + ".lines"
        with open(lines, "w", encoding="utf-8") as file:
            for i, (_, name, _, _, summary) in enumerate(packages.rows()):
                if not quick or i % (1_113_316 // QUICK_PACKAGES) == 0:
                    file.write(f"{name} {summary}\n")
        driver("build", lines, path + ".part")
        os.remove(lines)
        os.replace(path + ".part", path)
    return path


def fuzzy(bench, segment, edits):
    words = f"{segment}.misspelt-{edits}"
    with open(words, "w", encoding="utf-8") as file:
        file.write(driver("words", segment, edits, WORDS))
    result = json.loads(driver("fuzzy", segment, edits, words))
    scanned = json.loads(driver("scan", segment, edits, words, SCANNED))
    name = f"{edits} {'edit' if edits == 1 else 'edits'}, {result['terms']:,} terms"
    command = f"terms_driver fuzzy IMAGE {edits} WORDS"
    bench.add(f"{name}: mean", result["mean"], "µs", bar=BARS[edits], lower=True, command=command, peer="reading all of it",
              peer_value=scanned["mean"])
    bench.add(f"{name}: p50", result["p50"], "µs", lower=True, command=command)
    bench.add(f"{name}: p99", result["p99"], "µs", lower=True, command=command)
    bench.add(f"{name}: dictionary blocks touched", 100 * result["share"], "%", lower=True, command=command)
    bench.add(f"{name}: keys looked at", result["looked"], "", lower=True, command=command)
    bench.add(f"{name}: found", result["found"], "terms", command=command)


def run(bench):
    segment = image(bench.quick)
    for edits in BARS:
        fuzzy(bench, segment, edits)
    for size in (1, 2, 3, 5):
        result = json.loads(driver("prefix", segment, size, COMPLETED))
        bench.add(f"10 completions of {size} {'letter' if size == 1 else 'letters'}: mean", result["mean"], "µs", lower=True,
                  command=f"terms_driver prefix IMAGE {size} {COMPLETED}")
