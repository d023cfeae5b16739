#!/usr/bin/env python3
"""Runs one benchmark: python3 bench/run.py funnel        (what `make bench-funnel` calls)

Prints the machine, the settings and a table; writes the rows to build/bench/NAME.json. With BENCH_QUICK=1 in the
environment it runs on less data in under a minute and judges no bars. A missed bar makes the exit status 1.
"""

import importlib
import os
import sys

sys.dont_write_bytecode = True
import harness


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: bench/run.py NAME")
    try:
        module = importlib.import_module("bench_" + sys.argv[1])
    except ModuleNotFoundError as error:
        if error.name != "bench_" + sys.argv[1]:
            raise
        sys.exit(f"there is no bench/bench_{sys.argv[1]}.py")
    bench = harness.Bench(sys.argv[1], quick=os.environ.get("BENCH_QUICK") == "1")
    bench.print_machine()
    try:
        module.run(bench)
    except harness.Missing as missing:
        print(f"SKIPPED: {missing}")
        return 0
    finally:
        bench.stop_servers()
    bench.report()
    return 1 if bench.missed() and not bench.quick else 0


if __name__ == "__main__":
    sys.exit(main())
