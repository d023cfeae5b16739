"""How fast the sample catalogue goes in, on one core, from the compressed file to durable and searchable."""

import json
import os
import statistics

import harness

MEDIA = os.path.join(harness.ROOT, "examples", "media")


def run(bench):
    rates = []
    for _ in range(2 if bench.quick else 5):
        folder = harness.fresh_folder("import-data")
        arguments = ["import", "--data", folder, "--schema", os.path.join(MEDIA, "schema.json"), "-c", "media", "--json",
                     os.path.join(MEDIA, "catalogue.ndjson.zst")]
        out, seconds, _, line = bench.command(arguments, one_core=True)
        rates.append(json.loads(out.strip().splitlines()[-1])["indexed"] / seconds)
    bench.add("sample catalogue, one core", statistics.median(rates), "documents/s", bar=20_000, command=line)
    bench.add("slowest of the runs", min(rates), "documents/s", command=line)
