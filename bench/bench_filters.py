"""What filters, facets and exact counts cost at 1.1 million documents, on one core, the data in memory.

1. filter_driver: filters of a selectivity of 0.1 to 90 %, asked again and each time with other bounds; facets over sets from a
   thousandth of the documents to all; exact counts of the unions and intersections of real queries.
2. bitmap_driver: operations on compressed bitmaps beside CRoaring's, where it was there when the drivers were built.

With FILTERS_BEFORE=/path/to/filter_driver of another build, its figures of the same run are the peer's.
"""

import json
import os
import shlex
import subprocess

import harness
import match_features
import packages


def driver(name, *arguments, path=None):
    line = [path or os.path.join(harness.BUILD, "bench", name), *arguments]
    shown = shlex.join([name] + [a.replace(harness.ROOT + "/", "") for a in arguments])
    return json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout), shown


def run(bench):
    folder = match_features.collection(bench)
    packages.queries()
    arguments = [folder, harness.cached("packages-queries-1000.txt"), "5" if bench.quick else "40"]
    before = os.environ.get("FILTERS_BEFORE")
    peer = {}
    if before:
        for row in driver("filter_driver", *arguments, path=before)[0]["rows"]:
            peer[row["kind"], row["what"]] = row
    figures, shown = driver("filter_driver", *arguments)
    print(f"\n{figures['documents']:,} documents in {figures['parts']} parts; counts are of {figures['queries']} queries\n")
    for row in figures["rows"]:
        other = peer.get((row["kind"], row["what"]))
        if other and other["members"] != row["members"]:
            raise SystemExit(f"{row['what']}: {row['members']} members, and {other['members']} with {before}")
        bench.add(f"{row['kind']}: {row['what']} ({row['members']:,} members)", row["us"], "us", lower=True,
                  peer="before" if other else None, peer_value=other and other["us"], command=shown)
        if row["longest_us"] > 10 * row["us"]:
            bench.add(f"{row['kind']}: {row['what']}, the longest of ten that warm", row["longest_us"], "us", command=shown)
    figures, shown = driver("bitmap_driver", "10" if bench.quick else "100")
    for row in figures["rows"]:
        found = row["peer_us"] > 0
        bench.add(f"bitmap: {row['what']}", row["us"], "us", lower=True, peer="CRoaring" if found else None,
                  peer_value=row["peer_us"] if found else None, command=shown)
    for row in figures["sizes"]:
        bench.add(f"bitmap: bytes of {row['what']}", row["bytes"], "B", lower=True, peer="CRoaring" if row["peer_bytes"] else None,
                  peer_value=row["peer_bytes"] or None, command=shown)
