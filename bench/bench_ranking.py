"""Does the learned order win, can it be trusted, and is it fast enough?

1. Judged sets: LETOR's MQ2008 fold 1 and LightGBM's example, beside LightGBM and XGBoost by one procedure (letor.py).
2. The Last.fm replay (README.md of the data): the candidates of every strategy, described as the ranker sees them before the request
   is learned from; rankers trained on the first half of the log order those of the second. nDCG@10 of the wanted artist; a request whose
   candidates lack it counts as 0. "clicks": what people would have clicked, had the first half been served by the event-zero fusion
   to people who look at rank r with chance 1/r.
3. Clicks of a known model on judged queries: training on them, debiased and naively, against training on the judgments
   (debias.py).
4. The whole funnel at 1.1 million documents with a model of 500 trees of 64 leaves: what ranking 300 candidates takes, features
   included, as the engine's own clock has it for each search.

RANKING_PARTS names some of them: judged,replay,clicks,funnel.
"""

import json
import os
import urllib.request

import debias
import letor
import harness
import packages

REPLAY_BAR, RANKING_MS = .100, 2
TREES, LEAVES, CANDIDATES = 500, 64, 300
NEAR = (240, 360)  # candidates of a search that counts


# ---- 2 ----

def replay(bench):
    arguments = ["replay", "--lastfm", harness.data("lastfm-2k"), "--every", "7", "--new-only", "--rank", "--depth", "100", "--json",
                 "--quiet"] + (["--rows", "16000", "--trees", "100"] if bench.quick else [])
    out, seconds, _, line = bench.command(arguments)
    line = line.replace(harness.data("lastfm-2k"), "lastfm-2k")
    ranked = json.loads(out)["ranked"]
    print(f"\nTable 2: Last.fm, {ranked['requests']:,} requests after {ranked['lessons']:,} lessons, "
          f"{ranked['candidates']:.0f} candidates, recall {ranked['recall']:.3f}; {seconds:.0f} s\n  {line}")
    for ranker in ranked["rankers"]:
        print(f"  {ranker['name']:26} {ranker['ndcg']:.4f}  {ranker['low']:.4f} to {ranker['high']:.4f}   "
              f"recall@10 {ranker['recall10']:.3f}")
    print("  what the trees use: " + ", ".join(f"{f['feature']} {f['gain']:.0%}" for f in ranked["trees"]["importance"][:12]) + "\n")
    fusion = next(r for r in ranked["rankers"] if r["name"] == "fusion")["ndcg"]
    for ranker in ranked["rankers"]:
        bar = REPLAY_BAR if ranker["name"] == "trees" else None
        bench.add(f"Last.fm nDCG@10, {ranker['name']}", ranker["ndcg"], "", bar=bar, peer="event-zero fusion", peer_value=fusion,
                  command=line)


# ---- 4 ----

class Collection:
    def __init__(self, server):
        self.base = f"http://127.0.0.1:{server.port}/collections/packages"

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/{path}", data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def trained_packages(bench):
    """A server over the packages, with simulated customers' clicks in its log and a model of all trees trained on them."""
    folder = harness.fresh_folder("ranking-data")
    catalogue = packages.catalogue(50_000 if bench.quick else None)
    bench.command(["import", "--data", folder, "--schema", packages.schema(), "-c", "packages", catalogue])
    bench.command(["simulate", "-c", "packages", "--data", folder, "--customers", "500" if bench.quick else "3000", "--keep",
                   "--compare-every", "0", "--quiet"])
    server = bench.serve(folder)
    collection = Collection(server)
    trees = 100 if bench.quick else TREES
    report = collection.ask("POST", "train", {"wait": True, "kind": "trees", "trees": trees, "leaves": LEAVES, "patience": 0,
                                              "activate": False})
    collection.ask("POST", f"models/{report['model']}/activate")
    return server, collection, trees


def whole_funnel(bench):
    server, collection, trees = trained_packages(bench)
    queries = packages.queries()[:200 if bench.quick else 1000]
    took = []
    for rounds in range(2):  # the first warms
        for query in queries:
            answer = collection.ask("POST", "search", {"query": query, "policy": "all", "limit": 10})
            ranker = answer["ranker"]
            if rounds and ranker["name"].startswith("model:") and NEAR[0] <= ranker["candidates"] <= NEAR[1]:
                took.append(ranker["took_us"] / 1000)
    given = []
    for query in queries:  # exactly 300 of somebody's candidates
        pages = collection.ask("POST", "search", {"query": query, "policy": "all", "limit": CANDIDATES, "log": False})["hits"]
        if len(pages) < CANDIDATES:
            continue
        ids = [hit["id"] for hit in pages]
        for _ in range(2):
            answer = collection.ask("POST", "rank", {"query": query, "candidates": ids, "limit": 10})
        given.append(answer["ranker"]["took_us"] / 1000)
    costs = collection.ask("GET", "features")["cost_us"]
    print(f"\nTable 4: {trees} trees of {LEAVES} leaves, features included")
    print("  features, µs a candidate: " + ", ".join(f"{name} {cost['candidate']:.2f}" for name, cost in costs.items()) + "\n")
    line = f"ranker.took_us of {len(took)} searches with {NEAR[0]} to {NEAR[1]} candidates, after one warming pass of {len(queries)}"
    what = f"ranking {CANDIDATES} candidates with {trees} trees"
    if took:
        bench.add(f"{what}, in searches: p50", percentile(took, .5), "ms", command=line)
        bench.add(f"{what}, in searches: p99", percentile(took, .99), "ms", bar=RANKING_MS, lower=True, command=line)
    line = f"ranker.took_us of {len(given)} requests to /rank, right after all strategies were asked"
    if given:
        bench.add(f"{what}, of somebody else: p50", percentile(given, .5), "ms", command=line)
        bench.add(f"{what}, of somebody else: p99", percentile(given, .99), "ms", command=line)
    server.stop()


PARTS = {"judged": letor.run, "replay": replay, "clicks": debias.run, "funnel": whole_funnel}


def run(bench):
    for name in os.environ.get("RANKING_PARTS", ",".join(PARTS)).split(","):
        PARTS[name](bench)
