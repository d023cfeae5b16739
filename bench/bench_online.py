"""The online half of ranking: what its parts cost, how many pages an experiment needs, how often it is wrong.

Speed: processor time of one thread, the shortest of five. Power: the median of pages until a verdict that is valid however often
one looks (after every page here), of a ranker with little noise against one with more, in a simulated world that
online_driver.c describes; interleaving beside A/B with a page as its unit. Alarms: the share of runs with a verdict where
both rankers are equally noisy; the bar is what is promised, 5 %.
"""

import os
import subprocess

import harness


def driver(*arguments):
    line = [os.path.join(harness.BUILD, "bench", "online_driver"), *map(str, arguments)]
    output = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return [row.split("\t") for row in output.splitlines() if not row.startswith("#")]


def run(bench):
    runs, looks = (5, 50) if bench.quick else (31, 500)
    for figure, microseconds in driver("speed"):
        bench.add(figure, float(microseconds), "µs", lower=True, command="online_driver speed")
    for kind, noise, pages, right in driver("power", runs):
        bench.add(f"{kind}, noise .1 against {noise}: pages until a verdict ({float(right):.0%} for the better one)",
                  float(pages), "", lower=True, command=f"online_driver power {runs}")
    for kind, share in driver("alarms", looks):
        bench.add(f"{kind}, equal rankers: runs of 2,000 pages with a verdict", float(share), "", bar=.05, lower=True,
                  command=f"online_driver alarms {looks}")
