"""What lexical match features cost on the million packages: used by benchmarks that measure ranking."""

import json
import os
import shlex
import subprocess

import harness
import packages

CANDIDATES, WORDS = 300, 3
BAR = 0.25  # milliseconds


def collection(bench):
    """The packages, imported anew: the folder of their collection."""
    folder = harness.fresh_folder("match-data")
    catalogue = packages.catalogue(50_000 if bench.quick else None)
    bench.command(["import", "--data", folder, "--schema", packages.schema(), "-c", "packages", catalogue])
    return os.path.join(folder, "collections", "packages")


def measure(bench, folder, candidates=CANDIDATES, words=WORDS, bar=BAR):
    """Rows for `candidates` documents and queries of `words` words; `folder` as `collection` gives it. Processor time of
    one core, the data in memory."""
    packages.queries()
    line = [os.path.join(harness.BUILD, "bench", "match_driver"), folder, harness.cached("packages-queries-1000.txt"),
            str(candidates), str(words), "3" if bench.quick else "20"]
    figures = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    shown = shlex.join(["match_driver"] + [a.replace(harness.ROOT + "/", "") for a in line[1:]])
    what = f"match features, {candidates} candidates, {words} words, {figures['columns']} fields"
    bench.add(f"{what}: mean", figures["mean_us"] / 1000, "ms", bar=bar, lower=True, command=shown)
    bench.add(f"{what}: p99", figures["p99_us"] / 1000, "ms", command=f"{figures['queries']} queries")
    return figures
