"""Vowpal Wabbit learns what was drawn from a log of policy_driver: policy_vw.py TEXT TRUTH OPTIONS… prints a line of JSON
for each string of options, {"version", "reward", "examples", "text", "cache"}: its progressive reward by the truth,
seconds while it reads the text, seconds from its own binary cache. Each time is the shorter of wall and processor time,
and the shortest of three. Installed as ope_obp.py says."""

import json
import os
import sys
import time

import vowpalwabbit


def seconds(options):
    wall, processor = time.perf_counter(), time.process_time()
    vowpalwabbit.Workspace("--quiet --cb_explore_adf " + options).finish()
    return min(time.perf_counter() - wall, time.process_time() - processor)


def progressive(probabilities, truth):
    """Mean of what was expected with the probabilities that were told before each example was learned."""
    total = count = 0
    with open(probabilities, encoding="utf-8") as said, open(truth, encoding="utf-8") as worth:
        for line in filter(str.strip, said):
            values = [float(value) for value in next(worth).split()]
            total += sum(float(p) * values[int(a)] for a, p in (pair.split(":") for pair in line.strip().split(",")))
            count += 1
    return total / count, count


def main(text, truth, *settings):
    cache, said = text + ".cache", text + ".probabilities"
    for options in settings:
        seconds(f"{options} -d {text} -p {said}")
        reward, count = progressive(said, truth)
        seconds(f"{options} -d {text} -k --cache_file {cache}")
        print(json.dumps({
            "version": vowpalwabbit.__version__, "reward": reward, "examples": count,
            "text": min(seconds(f"{options} -d {text}") for _ in range(3)),
            "cache": min(seconds(f"{options} -d {text} --cache_file {cache}") for _ in range(3)),
        }), flush=True)
    os.remove(cache)
    os.remove(said)


main(*sys.argv[1:])
