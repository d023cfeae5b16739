"""Document ordering: seconds of one core, and what the gaps of a million packages' postings take before and after.

A document's terms are the distinct words, [a-z0-9]+, of name and summary in lower case. Orders: as the packages come (by
ecosystem and name), at random, by first word, by popularity; bisected from the first and from the random one, with
several leaves, iterations and heads. Processor time, one thread, without reading and measuring.
"""

import array
import os
import re
import subprocess

import harness
import packages


def corpus(limit):
    """A folder of native numbers for bisect_driver (made once)."""
    folder = harness.cached(f"bisect-{limit or 'all'}")
    if os.path.exists(os.path.join(folder, "popularity")):
        return folder
    os.makedirs(folder, exist_ok=True)
    ids, words = {}, re.compile("[a-z0-9]+")
    starts, terms, names, popularity = array.array("Q", [0]), array.array("I"), [], array.array("f")
    step = 1 if not limit else 1_113_316 // limit
    for i, (_, name, _, count, summary) in enumerate(packages.rows()):
        if i % step:
            continue
        found = words.findall(f"{name} {summary}".lower())
        terms.extend(sorted({ids.setdefault(word, len(ids)) for word in found}))
        starts.append(len(terms))
        names.append(found[0] if found else "")
        popularity.append(count or 0)
    rank = {name: i for i, name in enumerate(sorted(set(names)))}
    columns = {"starts": starts, "terms": terms, "first": array.array("I", (rank[name] for name in names)),
               "popularity": popularity}
    for name, values in columns.items():
        with open(os.path.join(folder, name), "wb") as file:
            values.tofile(file)
    return folder


def driver(folder, order, leaf=0, iterations=0, head=0):
    line = [os.path.join(harness.BUILD, "bench", "bisect_driver"), folder, order, str(leaf), str(iterations), str(head)]
    return [float(x) for x in subprocess.run(line, check=True, capture_output=True, text=True).stdout.split("\t")]


def run(bench):
    folder = corpus(50_000 if bench.quick else None)
    n = os.path.getsize(os.path.join(folder, "popularity")) // 4
    plain = {}
    for order, name in {"as": "as they come", "random": "random", "first": "by first word",
                        "popularity": "by popularity"}.items():
        _, gap, packed, patched, _ = driver(folder, order)
        plain[order] = patched
        bench.add(f"{name}: mean log2 gap", gap, "bits", command=f"bisect_driver {order}")
        bench.add(f"{name}: packed", packed, "bits/posting")
        bench.add(f"{name}: patched", patched, "bits/posting")
    settings = [("bisect", 0, 0, 0), ("shuffled", 0, 0, 0), ("bisect", 16, 20, 0), ("bisect", 16, 5, 0), ("bisect", 1024, 20, 0),
                ("bisect", 0, 10, 0), ("bisect", 0, 5, 0), ("bisect", 0, 0, n // 64)]
    for setting in settings:
        order, leaf, iterations, head = setting
        seconds, gap, packed, patched, memory = driver(folder, *setting)
        name = f"{order}, leaf {leaf or 128}, {iterations or 20} iterations" + (f", head {head}" if head else "")
        command = f"bisect_driver {order} {leaf} {iterations} {head}"
        first = setting == settings[0]
        bench.add(f"{name}: time", seconds, "s", bar=15, lower=True, command=command)
        bench.add(f"{name}: mean log2 gap", gap, "bits")
        bench.add(f"{name}: packed", packed, "bits/posting")
        bench.add(f"{name}: patched", patched, "bits/posting", bar=.95 * plain["as"] if first else None, lower=True,
                  peer="as they come", peer_value=plain["as"])
        if first:
            bench.add("memory of documents and ordering", memory / 2**20, "MiB")
