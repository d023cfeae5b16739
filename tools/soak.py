#!/usr/bin/env python3
"""Hours of work in minutes: writers and readers at a server that is killed again and again, then the proof that nothing is
wrong.

    FORAGE=build/release/src/cli/forage python3 tools/soak.py [--seconds 600] [--kill-every 60] [--writers 3] [--readers 3]

Writers add, replace and remove documents; each owns its numbers and has one request on its way, so that what must be there
is known: what was acknowledged, and of the one request without an answer all or nothing. A document follows from its number
and version, so a reader can tell whether what it was given is whole. Every `--kill-every` seconds the server is killed (kill
-9, sometimes while it merges everything, sometimes SIGTERM), started, and compared with what was acknowledged.

At the end: `forage check` is clean; totals and facets of a fixed set of searches are what a count over the acknowledged
documents gives; and what each strategy finds for all of them, in which order and with which score, is the same, to the last digit, from
an index that was built anew from the stored documents. The last lines say what was done, and how fast.
"""

import argparse
import glob
import json
import os
import random
import shutil
import sys
import threading
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests", "system"))

from ordeal import NOT_ANSWERED, SANITIZERS, Folder, Server, check_error, environment, forage, ndjson  # noqa: E402
from traffic import Ledger  # noqa: E402

SOAKED = "/collections/things"
OWN = 6000  # numbers of one writer
WORDS = 3000
COMPARED = 20  # ranks of each strategy: so few that all of them are among the hits, whatever else is
KINDS = ["axle", "bolt", "cog", "dowel", "gear", "hinge", "joint", "lever"]
SCHEMA = {"fields": {"title": {"type": "text", "weight": 2}, "body": {"type": "text"}, "batch": {"type": "keyword"},
                     "kind": {"type": "keyword"}, "version": {"type": "number"}, "year": {"type": "number"}},
          "popularity": "popularity", "language": "en"}


def word(n):
    """Letters that no stemmer shortens."""
    letters = ""
    while n or not letters:
        letters += "bcdfghjklm"[n % 10]
        n //= 10
    return "zq" + letters


def drawn(rng):
    """Roughly Zipf: small numbers are frequent."""
    return min(int(WORDS ** rng.random()) - 1, WORDS - 1)


def document(number, version):
    """What the document is at this version, and nothing else."""
    rng = random.Random(f"{number}-{version}")
    words = [[word(drawn(rng)) for _ in range(rng.randrange(*size))] for size in ((1, 6), (0, 30), (0, 5))]
    made = {"id": f"d{number}", "title": " ".join(words[0]), "body": [" ".join(w) for w in words[1:] if w],
            "batch": f"b{version % 60}", "kind": rng.sample(KINDS, rng.randrange(1, 4)), "version": version,
            "year": 1900 + rng.randrange(130)}
    if rng.random() < 0.7:
        made["popularity"] = int(10 ** (rng.random() * 6))
    return made


class Soak:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.rng = random.Random(options.seed)
        self.ledger = Ledger()
        self.done = dict.fromkeys(("added or replaced", "removed", "searches", "pages read", "overtaken", "optimized", "kills"), 0)
        self.lock = threading.Lock()
        self.problems, self.stopping = [], False
        self.worked = 0.0

    def count(self, what, n=1):
        with self.lock:
            self.done[what] += n

    # ---- Writers

    def write(self, client, write, method, target, body=None):
        """False when the server is on its way out."""
        try:
            status, answer = client.request(method, target, body, "application/x-ndjson")
        except NOT_ANSWERED:
            self.ledger.doubt(write)
            raise
        if status == 503:
            check_error(status, answer, "closed")
            self.ledger.doubt(write)
            return False
        assert status == 200 and answer.get("failed", 0) == 0, (status, answer)
        self.ledger.take(write)
        return True

    def write_once(self, client, rng, place):
        low = place * OWN
        if rng.random() < 0.35:
            tried = (low + rng.randrange(OWN) for _ in range(50))
            number = next((n for n in tried if f"d{n}" in self.ledger.documents), None)
            if number is None:
                return True
            done = self.write(client, {f"d{number}": None}, "DELETE", f"{SOAKED}/documents/d{number}")
            self.count("removed", int(done))
            return done
        numbers = rng.sample(range(low, low + OWN), rng.choice([1, 1, 3, 20, 100] if place else [1, 500]))
        versions = {n: rng.randrange(1 << 30) for n in numbers}
        write = {f"d{n}": (v, f"b{v % 60}") for n, v in versions.items()}
        body = ndjson(document(n, v) for n, v in versions.items())
        done = self.write(client, write, "POST", f"{SOAKED}/documents", body)
        self.count("added or replaced", len(numbers) * done)
        return done

    # ---- Readers

    def read_once(self, client, rng, place):
        if place == 0 and rng.random() < 0.005:
            self.optimize(client)
        if rng.random() < 0.03:
            status, answer = client.request("GET", f"{SOAKED}/documents?limit=300&after={rng.randrange(20000)}")
            given = answer if status == 200 else []
            self.count("pages read")
        else:
            wanted = question(rng)
            status, answer = client.request("POST", f"{SOAKED}/search", wanted)
            given = [hit["document"] for hit in answer["hits"]] if status == 200 else []
            if not all(passes(d, wanted.get("filter", {})) for d in given):
                self.search_again(client, wanted, given)
            self.count("searches")
        if status != 200:
            check_error(status, answer, "closed")
            return False
        for d in given:
            assert d == document(int(d["id"][1:]), d["version"]), f"this is not how it was written: {d}"
        return True

    def search_again(self, client, wanted, before):
        """A document that was stored anew and is not in the index yet is shown as it is stored, whether the filter takes it or
        not: until its writer is answered."""
        self.count("overtaken")
        known, wrong, end = {(d["id"], d["version"]) for d in before}, before, time.monotonic() + 10
        while wrong:
            assert time.monotonic() < end, f"the filter of {wanted} does not take {wrong}"
            status, answer = client.request("POST", f"{SOAKED}/search", wanted)
            given = [hit["document"] for hit in answer["hits"]] if status == 200 else []
            wrong = [d for d in given if (d["id"], d["version"]) in known and not passes(d, wanted["filter"])]

    # ---- Work, and its violent ends

    def work(self, kind, client, place):
        rng = random.Random(f"{self.options.seed}-{place}-{kind.__name__}-{self.done['kills']}")
        try:
            while not self.stopping and kind(client, rng, place):
                pass
        except NOT_ANSWERED:
            pass
        except Exception as problem:  # told by the round
            self.problems.append(f"{kind.__name__}: {type(problem).__name__}: {problem}")
        finally:
            client.close()

    def end(self, server):
        """Kills it somehow, or stops it."""
        way = self.rng.random()
        if way < 0.3:
            merging = threading.Thread(target=self.optimize, args=(server.client(),))
            merging.start()
            time.sleep(self.rng.uniform(0, 0.5))
            server.kill()
            merging.join()
        elif way < 0.8:
            server.kill()
        else:
            self.stopping = self.rng.random() < 0.5
            server.finish()
        self.count("kills")

    def optimize(self, client):
        try:
            if client.request("POST", f"{SOAKED}/optimize")[0] == 200:
                self.count("optimized")
        except NOT_ANSWERED:
            pass

    def round(self, seconds, last):
        """A server's life: what the one before left is right, then work."""
        with Server(self.folder.data) as server:
            client = server.client()
            client.expect("PUT", SOAKED, SCHEMA, status=200 if self.done["kills"] else 201)
            self.settle(client)
            client.close()
            self.stopping = False
            threads = [threading.Thread(target=self.work, args=(kind, server.client(), place))
                       for kind, n in ((self.write_once, self.options.writers), (self.read_once, self.options.readers))
                       for place in range(n)]
            start = time.monotonic()
            for thread in threads:
                thread.start()
            while time.monotonic() - start < seconds and not self.problems:
                time.sleep(0.1)
            self.worked += time.monotonic() - start
            if last:
                self.stopping = True
                for thread in threads:
                    thread.join()
                server.finish()
            else:
                self.end(server)
            self.stopping = True
            for thread in threads:
                thread.join(60)
            assert not self.problems, self.problems
            wrong = [line for line in server.log().splitlines() if " error " in line]
            assert not wrong, wrong[:5]

    def settle(self, client):
        self.ledger.settle_documents(client)
        answer = client.expect("POST", f"{SOAKED}/check")
        assert answer == {"ok": True, "problems": []}, answer

    # ---- The proof

    def prove(self):
        env = environment(**SANITIZERS)
        with Server(self.folder.data) as server:
            self.settle(server.client())
        done = forage("check", "--data", self.folder.data, "-c", "things", "--json", env=env)
        assert done.status == 0, done
        with Server(self.folder.data) as server:
            lived = answers(server)
            stored = all_documents(server.client())
        assert {d["id"]: (d["version"], d["batch"]) for d in stored} == self.ledger.documents
        for wanted, answer in zip(questions(), lived):
            compare_with_count(wanted, answer, stored)
        rebuilt = os.path.join(self.folder.path, "rebuilt")
        shutil.copytree(self.folder.data, rebuilt)
        files = glob.glob(os.path.join(rebuilt, "**", "*.seg"), recursive=True)
        assert files, "there are no index files"
        for path in files:
            os.remove(path)
        with Server(rebuilt) as server:
            anew = answers(server)
            assert "rebuilding" in server.log(), server.log()
        for wanted, old, new in zip(questions(), lived, anew):
            if old != new:
                other = [(name, [pair for pair in zip(found, new["lists"].get(name, [])) if pair[0] != pair[1]][:3])
                         for name, found in old["lists"].items() if found != new["lists"].get(name)]
                raise AssertionError(f"{wanted}: the index that has lived, and the one built anew: {other}")
        return len(stored), sum(len(found) for a in lived for found in a["lists"].values())

    def run(self):
        left = self.options.seconds
        while left > 0:
            seconds = min(left, self.options.kill_every * self.rng.uniform(0.7, 1.3))
            if left - seconds < self.options.kill_every * 0.3:
                seconds = left
            left -= seconds
            self.round(seconds, left <= 0)
            if self.options.loud:
                print(f"{self.worked:.0f} s: {len(self.ledger.documents)} documents; {self.told()}", flush=True)
        documents, hits = self.prove()
        operations = sum(self.done[k] for k in ("added or replaced", "removed", "searches", "pages read"))
        print(f"{self.told()}")
        print(f"{operations / self.worked:.0f} operations/s over {self.worked:.0f} s with {self.options.writers} writers and "
              f"{self.options.readers} readers; {documents} documents at the end, all as acknowledged; check clean; "
              f"{len(questions())} searches found the same {hits} times from an index built anew")

    def told(self):
        return ", ".join(f"{n} {what}" for what, n in self.done.items())


# ---- Searches

def question(rng):
    """A search, repeatable: all strategies, nothing learned."""
    wanted = {"query": " ".join(word(drawn(rng)) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 5]))), "policy": "all",
              "ranker": "rrf", "seed": 7, "log": False, "limit": rng.choice([1, 10, 10, 50]), "timeout_ms": 60000}
    if rng.random() < 0.5:
        low = 1900 + rng.randrange(130)
        wanted["filter"] = rng.choice([
            {"kind": rng.choice(KINDS)}, {"year": {"gte": low, "lt": low + rng.choice([1, 10, 60])}},
            {"kind": rng.sample(KINDS, 2), "batch": [f"b{n}" for n in rng.sample(range(60), 20)]},
            {"batch": f"b{rng.randrange(60)}", "year": {"gte": low}}])
    if rng.random() < 0.4:
        wanted["facets"] = rng.choice([["kind"], ["kind", "batch"]])
    return wanted


def questions():
    rng = random.Random("fixed")
    return [question(rng) for _ in range(150)]


def values(document, field):
    value = document.get(field, [])
    return value if isinstance(value, list) else [value]


def passes(document, wanted):
    for field, condition in wanted.items():
        if isinstance(condition, dict):
            if not (document[field] >= condition["gte"] and document[field] < condition.get("lt", float("inf"))):
                return False
        elif not set(values(document, field)) & set(condition if isinstance(condition, list) else [condition]):
            return False
    return True


def answers(server):
    """What the fixed searches find when all is in one file: nothing that is dead takes part in the statistics."""
    client = server.client()
    client.expect("POST", f"{SOAKED}/optimize")
    given = []
    for wanted in questions():
        answer = client.expect("POST", f"{SOAKED}/search", {**wanted, "explain": True, "limit": 400})
        lists = {}
        for hit in answer["hits"]:
            for s in hit["explain"]["strategies"]:
                if s["rank"] > COMPARED:
                    continue
                lists.setdefault(s["name"], []).append((s["rank"], s["score"], hit["id"], hit["document"]["version"]))
        lists.pop("explore", None)  # draws among the places, whose order is another one
        given.append({"lists": {name: sorted(found) for name, found in lists.items()}, "total": answer["total"],
                      "facets": answer.get("facets")})
    client.close()
    return given


def all_documents(client):
    documents, after = [], 0
    while after is not None:
        documents += client.expect("GET", f"{SOAKED}/documents?limit=100000" + (f"&after={after}" if after else ""))
        after = client.next
    return documents


def compare_with_count(wanted, answer, documents):
    """Totals and facets against a plain count."""
    words = set(wanted["query"].split())
    found = [d for d in documents if passes(d, wanted.get("filter", {})) and
             (not words or words & set(" ".join([d["title"], *values(d, "body")]).split()))]
    assert answer["total"] == {"value": len(found), "relation": "exact"}, (wanted, answer["total"], len(found))
    for field in wanted.get("facets", []):
        counts = {}
        for d in found:
            for value in values(d, field):
                counts[value] = counts.get(value, 0) + 1
        given = {f["value"]: f["count"] for f in answer["facets"][field]}
        assert all(counts.get(v) == n for v, n in given.items()), (wanted, given, counts)
        assert sorted(given.values(), reverse=True) == sorted(counts.values(), reverse=True)[:len(given)], (wanted, given)


def options_of(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--kill-every", type=float, default=60)
    parser.add_argument("--writers", type=int, default=3)
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--seed", default="forage")
    parser.add_argument("--quiet", dest="loud", action="store_false", help="only the last lines")
    return parser.parse_args(arguments)


def main(arguments=None):
    with Folder() as folder:
        Soak(options_of(arguments), folder).run()


if __name__ == "__main__":
    main()
