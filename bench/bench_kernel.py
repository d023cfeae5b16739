"""The kernels: ns a call of each inner loop of the sparse engine, the scalar table beside the best for this processor.

Both by kernel_driver in turns, made inputs from one seed; processor time of one thread, the best of several runs, and of
the turns the better. FORAGE_KERNEL chooses another table than the best.
"""

import os
import subprocess

import harness

TURNS = 3


def times(kernels):
    """(name of the table, {what: (ns a call, values a call)})"""
    line = [os.path.join(harness.BUILD, "bench", "kernel_driver"), kernels]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    name, *rows = done.stdout.splitlines()
    cells = (row.split("\t") for row in rows)
    return name, {what: (float(ns), int(n)) for what, ns, n in cells}


def run(bench):
    best, scalar, name = {}, {}, None
    for _ in range(1 if bench.quick else TURNS):
        name, found = times("-")
        _, plain = times("scalar")
        for all_times, these in ((best, found), (scalar, plain)):
            for what, (ns, n) in these.items():
                all_times[what] = (min(ns, all_times.get(what, (ns, n))[0]), n)
    for what, (ns, n) in best.items():
        peer = f"scalar {harness.number(scalar[what][0])} ns"
        bench.add(f"{what}, {n} values", ns, "ns", lower=True, peer=peer, peer_value=scalar[what][0],
                  command=f"kernel_driver {name}")
