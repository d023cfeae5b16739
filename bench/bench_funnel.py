"""The whole funnel, over HTTP, at 1.1 million documents: how fast they go in, what they weigh, how fast searches come back.

Import: the command with its data folder, on one core and on all. Searches: 1,000 queries with the default settings
(understanding, the learned policy, all strategies, ranking, logging of the impression), over keep-alive connections to
`forage serve`, after one warming pass. Memory: VmRSS of the server, which includes mapped index and store pages.

Visible events, on the sample catalogue: a search, a click on one of its hits, then searches of all strategies until the
memory's rewards for that hit have grown, each sent when the one before is answered; from the click's first byte to the last
of the answer that shows it. An event is answered when it is on the disk, so the disk's own time, of a write of 4 KiB and its
fdatasync in the same folder between the clicks, stands beside; and the same with the data in memory, which is what is ours.
"""

import http.client
import json
import os
import random
import tempfile
import time

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


def measure_searches(bench, server, bodies, clients, requests, bar, rate=None):
    figures, line = bench.load(server, "/collections/packages/search", bodies, clients, requests)
    who = "1 client" if clients == 1 else f"{clients} clients"
    bench.add(f"searches, {who}", figures["per_second"], "searches/s", bar=rate, command=line)
    bench.add(f"search p50, {who}", figures["p50_us"] / 1000, "ms", command=line)
    bench.add(f"search p99, {who}", figures["p99_us"] / 1000, "ms", bar=bar, lower=True, command=line)
    bench.add(f"search longest, {who}", figures["max_us"] / 1000, "ms", command=line)


# ---- Visible events ----

MEDIA = os.path.join(harness.ROOT, "examples", "media")
IN_MEMORY = "/dev/shm"
TRIES = 50  # searches after an event until one must have shown it
MOST_REWARDS = 2  # of a hit that is clicked: where few people came, one more may count for nothing (query_memory_row.h)


class Client:
    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", int(server.port))

    def post(self, path, body):
        self.connection.request("POST", "/collections/media/" + path, json.dumps(body), {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        answer = response.read()
        self.answered = time.perf_counter()
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status} {answer[:300]!r}")
        return json.loads(answer)


def rewards_of(answer, document):
    hit = next((hit for hit in answer["hits"] if hit["id"] == document), None)
    return hit["explain"].get("memory", {}).get("rewards", 0) if hit else 0


def sync_once(file):
    start = time.perf_counter()
    os.pwrite(file, os.urandom(4096), 4096 * random.randrange(256))
    os.fdatasync(file)
    return time.perf_counter() - start


def one_event(client, query, user, source):
    """Seconds from the event to its own answer, and to the answer of the search that shows it; None: nothing to click."""
    look = {"query": query, "limit": 20, "explain": True, "policy": "all", "log": False}
    page, looked = client.post("search", {"query": query, "user": user}), client.post("search", look)
    seen = {hit["id"] for hit in looked["hits"][:10] if rewards_of(looked, hit["id"]) < MOST_REWARDS}
    choice = [hit["id"] for hit in page["hits"] if hit["id"] in seen][:3]
    if not choice:
        return None
    hit = source.choice(choice)
    event = {"query_id": page["query_id"], "action_name": "click", "user": user,
             "event_attributes": {"object": {"object_id": hit}}}
    start = time.perf_counter()
    client.post("events", event)
    stored = client.answered - start
    for _ in range(TRIES):
        answer = client.post("search", look)
        if rewards_of(answer, hit) > rewards_of(looked, hit):
            return stored, client.answered - start
        if hit not in (found["id"] for found in answer["hits"]):
            return None  # the ranker has moved it off the page: it cannot be seen there
    raise SystemExit(f"{TRIES} searches for {query!r} did not show an event on {hit}")


def follow_events(bench, folder):
    """(seconds to the event's answer, to the answer that shows it, of the disk alone), each for every event."""
    source = random.Random(20261123)
    bench.command(["import", "--data", folder, "--schema", os.path.join(MEDIA, "schema.json"), "-c", "media",
                   os.path.join(MEDIA, "catalogue.ndjson.zst")])
    with open(os.path.join(MEDIA, "queries.tsv"), encoding="utf-8") as file:
        queries = [line.rstrip("\n").split("\t")[1] for line in file]
    events, warming = (100, 20) if bench.quick else (500, 100)
    server = bench.serve(folder)
    client, rows = Client(server), []
    queries = [query for query in queries if client.post("search", {"query": query, "log": False})["hits"]]
    file = os.open(os.path.join(folder, "sync"), os.O_CREAT | os.O_RDWR)
    os.pwrite(file, bytes(1 << 20), 0)
    while len(rows) < warming + events:
        took = one_event(client, source.choice(queries), f"user {len(rows)}", source)
        if took:
            rows.append((*took, sync_once(file)))
    os.close(file)
    server.stop()
    return zip(*rows[warming:])


def add_times(bench, figure, seconds, bar=None):
    ordered = sorted(seconds)
    for name, share, limit in (("p50", 50, None), ("p99", 99, bar)):
        bench.add(f"{figure}: {name}", 1000 * ordered[len(ordered) * share // 100], "ms", bar=limit, lower=True,
                  command=f"{len(ordered)} events")


def measure_visible(bench):
    stored, visible, disk = follow_events(bench, harness.fresh_folder("funnel-visible"))
    add_times(bench, "event to the answer of a search that shows it", visible, bar=10)
    add_times(bench, "event to its own answer", stored)
    add_times(bench, "the disk alone, one fdatasync", disk)
    if os.access(IN_MEMORY, os.W_OK):
        with tempfile.TemporaryDirectory(prefix="forage-bench-", dir=IN_MEMORY) as folder:
            _, visible, _ = follow_events(bench, os.path.join(folder, "data"))
        add_times(bench, "event to the answer of a search that shows it, the data in memory", visible)


def run(bench):
    measure_visible(bench)
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
    measure_searches(bench, server, bodies, 1, passes * len(queries), bar=8)
    measure_searches(bench, server, bodies, 16, 2 * passes * len(queries), bar=None, rate=600)
    watch.stop()
    bench.add("resident during searches, peak", watch.peak / 2**30, "GiB", bar=1.5, lower=True)
    bench.add("of it not file pages, peak", watch.peak_anonymous / 2**30, "GiB")
