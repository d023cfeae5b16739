"""The whole funnel, over HTTP, at 1.1 million documents: how fast they go in, what they weigh, how fast searches come back.

Import: the command with its data folder, on one core and on all. Searches: 1,000 queries with the default settings
(understanding, the learned policy, all strategies, ranking, logging of the impression), over keep-alive connections to
`forage serve`, after one warming pass. Memory: VmRSS of the server, which includes mapped index and store pages.
"""

import json

import harness
import packages


def documents_of(path):
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def measure_import(bench, catalogue, count, one_core):
    folder = harness.fresh_folder("funnel-data")
    arguments = ["import", "--data", folder, "--schema", packages.schema(), "-c", "packages", "--json", catalogue]
    out, seconds, peak, line = bench.command(arguments, one_core)
    report = json.loads(out.strip().splitlines()[-1])
    if report["indexed"] != count:
        raise SystemExit(f"imported {report['indexed']} of {count}: {out}")
    cores = "one core" if one_core else f"{bench.machine['cores']} cores"
    bench.add(f"import, {cores}", count / seconds, "documents/s", command=line)
    bench.add(f"import, {cores}: peak resident", peak / 2**30, "GiB", command=line)
    return folder


def measure_searches(bench, server, bodies, clients, requests, bar):
    figures, line = bench.load(server, "/collections/packages/search", bodies, clients, requests)
    who = "1 client" if clients == 1 else f"{clients} clients"
    bench.add(f"searches, {who}", figures["per_second"], "searches/s", command=line)
    bench.add(f"search p50, {who}", figures["p50_us"] / 1000, "ms", command=line)
    bench.add(f"search p99, {who}", figures["p99_us"] / 1000, "ms", bar=bar, lower=True, command=line)
    bench.add(f"search longest, {who}", figures["max_us"] / 1000, "ms", command=line)


def run(bench):
    limit = 50_000 if bench.quick else None
    catalogue = packages.catalogue(limit)
    count = documents_of(catalogue)
    queries = packages.queries()
    print(f"  data         packages: {count:,} documents, {len(queries):,} queries\n", flush=True)

    measure_import(bench, catalogue, count, one_core=True)
    folder = measure_import(bench, catalogue, count, one_core=False)
    bench.add("index files", harness.disk_bytes(folder, "*.seg") / 2**20, "MiB")
    bench.add("whole data folder", harness.disk_bytes(folder) / 2**20, "MiB")

    server = bench.serve(folder)
    bench.add("resident after start", harness.resident(server.pid)[0] / 2**30, "GiB", bar=1.5, lower=True)
    bodies = packages.bodies(queries, limit=10)
    watch = harness.Watch(server.pid)
    passes = 1 if bench.quick else 5
    bench.load(server, "/collections/packages/search", bodies, 1, len(queries))  # warms
    measure_searches(bench, server, bodies, 1, passes * len(queries), bar=20)
    measure_searches(bench, server, bodies, 16, 2 * passes * len(queries), bar=None)
    watch.stop()
    bench.add("resident during searches, peak", watch.peak / 2**30, "GiB", bar=1.5, lower=True)
    bench.add("of it not file pages, peak", watch.peak_anonymous / 2**30, "GiB")
