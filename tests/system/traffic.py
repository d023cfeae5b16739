"""What was acknowledged, and clients that make it more: documents written and removed, searches, events.

A Ledger knows what must be in the collection. Every client owns its documents, and has at most one request on its way,
so that after a kill each document is as acknowledged, or as the one request that got no answer would have made it."""

import json
import random
import threading

from ordeal import NOT_ANSWERED, check_error, ndjson

COLLECTION = "/collections/things"
TOPICS = ["amber", "basalt", "cobalt", "dolomite", "emerald", "feldspar", "garnet", "hematite", "indigo", "jasper",
          "kyanite",
          "lapis", "marble", "nickel", "opal", "pyrite", "quartz", "ruby", "sapphire", "topaz"]
ANCHORS = [f"anchor{letter}" for letter in "abcdefgh"]
ANCHOR_DOCUMENTS = 6
SCHEMA = {"fields": {"title": {"type": "text"}, "batch": {"type": "keyword"}, "version": {"type": "number"}}}


def number_word(number):
    """A word of letters that stands for one number: found by exactly one document."""
    word = ""
    while number or not word:
        word += "bcdfghjklm"[number % 10]
        number //= 10
    return "zq" + word


def document(number, version, batch):
    title = f"{TOPICS[number % 20]} {TOPICS[version % 20]} {number_word(number)} with some more words in it {version}"
    return {"id": f"d{number}", "title": title, "batch": batch, "version": version}


def anchor_document(anchor, place):
    return {"id": f"{anchor}-{place}", "title": f"{anchor} {'very ' * place}still", "batch": "anchors", "version": 1}


class Ledger:
    """What must be there."""

    def __init__(self):
        self.documents = {}    # id → (version, batch)
        self.unsure = []       # writes without an answer: {id: (version, batch) or None}
        self.events = {}       # event id → the event, acknowledged
        self.unsure_events = []
        self.recent = []       # event ids since the last settlement
        self.clicks = dict.fromkeys(ANCHORS, 0)
        self.acknowledged = 0  # documents, counting each time
        self.lock = threading.Lock()

    def take(self, write):
        """An acknowledged write."""
        with self.lock:
            self.acknowledged += len(write)
            for name, state in write.items():
                if state is None:
                    self.documents.pop(name, None)
                else:
                    self.documents[name] = state

    def doubt(self, write, whole=True):
        with self.lock:
            self.unsure.append((write, whole))

    # ---- After a restart

    def settle_documents(self, client):
        """Every document is as acknowledged; what was on its way is there or not, whole, and is known from now on."""
        stored, after = {}, 0
        while after is not None:
            for d in client.expect("GET", f"{COLLECTION}/documents?limit=100000&after={after}" if after else
                                   f"{COLLECTION}/documents?limit=100000"):
                assert d["id"] not in stored, f"{d['id']} is stored twice"
                stored[d["id"]] = (d["version"], d["batch"])
            after = client.next
        for write, whole in self.unsure:
            self.settle_write(write, whole, stored)
        self.unsure = []
        if stored != self.documents:
            wrong = [(name, self.documents.get(name), stored.get(name)) for name in set(stored) | set(self.documents)
                     if stored.get(name) != self.documents.get(name)]
            raise AssertionError(f"{len(wrong)} documents are not what was acknowledged, such as {wrong[:5]}")

    def settle_write(self, write, whole, stored):
        """All of it or nothing; of an import of several batches, a beginning of it."""
        done = [stored.get(name) == state for name, state in write.items()]
        before = [stored.get(name) == self.documents.get(name) for name in write]
        count = 0
        while count < len(done) and done[count]:
            count += 1
        assert all(before[count:]), "a write that got no answer was stored in parts that are no beginning of it"
        assert not whole or count in (0, len(done)), f"{count} of the {len(done)} documents of one write were stored"
        for name, state in list(write.items())[:count]:
            if state is None:
                self.documents.pop(name, None)
            else:
                self.documents[name] = state

    def settle_events(self, client):
        """Acknowledged events are known, and counted once."""
        def send(events):
            return client.expect("POST", f"{COLLECTION}/events", events) if events else {"accepted": 0, "duplicates": 0}

        again = send([self.events[name] for name in self.recent])
        assert (again["duplicates"], again["accepted"]) == (len(self.recent), 0), f"{len(self.recent)} events: {again}"
        self.recent = []
        for events in self.unsure_events:
            answer = client.request("POST", f"{COLLECTION}/events", list(events.values()))[1]
            refused = {r["index"]: r for r in answer["rejected"]}
            assert all(r["code"] in ("query_not_found", "invalid_event") for r in refused.values()), answer
            for index, (name, event) in enumerate(events.items()):
                if index not in refused:
                    self.events[name] = event
                    self.count_click(event)
        self.unsure_events = []
        counted = client.expect("GET", f"{COLLECTION}/stats")["events"]
        assert counted == len(self.events), f"{len(self.events)} events were acknowledged, {counted} were learned from"

    def count_click(self, event):
        anchor = event["event_attributes"]["object"]["object_id"].split("-")[0]
        if anchor in self.clicks:
            self.clicks[anchor] += 1

    def check_index(self, client, random_numbers):
        """The store and the index agree, and searches find by word and by filter what was acknowledged."""
        answer = client.expect("POST", f"{COLLECTION}/check")
        assert answer == {"ok": True, "problems": []}, answer
        by_batch = {}
        for _, batch in self.documents.values():
            by_batch[batch] = by_batch.get(batch, 0) + 1
        some = random_numbers.sample(sorted(by_batch), min(5, len(by_batch)))
        for wanted in [[batch] for batch in some] + [some]:
            found = client.expect("POST", f"{COLLECTION}/search",
                                  {"filter": {"batch": wanted}, "limit": 0, "log": False})["total"]["value"]
            assert found == sum(by_batch[b] for b in wanted), f"{found} documents of {wanted} are found, not {by_batch}"
        names = [name for name in self.documents if name[0] == "d"]
        for name in random_numbers.sample(names, min(10, len(names))):
            hits = client.expect("POST", f"{COLLECTION}/search", {"query": number_word(int(name[1:])), "log": False,
                                                                  "policy": "all"})["hits"]
            assert hits and hits[0]["id"] == name, f"{name} is not found by its word, but {hits}"
            assert hits[0]["document"]["version"] == self.documents[name][0], hits

    def check_memory(self, client):
        """What was chosen before a kill is still on top after it, because of the memory."""
        for anchor, clicks in self.clicks.items():
            if not clicks:
                continue
            answer = client.expect("POST", f"{COLLECTION}/search", {"query": anchor, "policy": "all", "explain": True,
                                                                    "log": False})
            first = answer["hits"][0]
            assert first["id"] == f"{anchor}-{ANCHOR_DOCUMENTS - 1}" and "memory" in first["strategies"], answer["hits"]
            rewards = first["explain"]["memory"]["rewards"]  # clickers are told apart by hash: a few may be capped together
            assert 0.8 * clicks / 2 <= rewards <= clicks / 2, (clicks, first["explain"]["memory"])

    def check(self, client, random_numbers):
        self.settle_documents(client)
        self.settle_events(client)
        self.check_index(client, random_numbers)
        self.check_memory(client)


class Traffic:
    """Clients at work until the server is gone. `first` is the first number of their documents."""

    def __init__(self, port_client, ledger, seed):
        self.make_client, self.ledger, self.seed = port_client, ledger, seed
        self.stopping = False
        self.problems = []
        self.threads = []

    def start(self, *kinds):
        for place, kind in enumerate(kinds):
            rng = random.Random(f"{self.seed}-{place}")
            self.threads.append(threading.Thread(target=self.run, args=(kind, rng)))
        for thread in self.threads:
            thread.start()

    def run(self, kind, rng):
        client = self.make_client()
        try:
            while not self.stopping and kind(self, client, rng):
                pass
        except NOT_ANSWERED:
            pass
        except Exception as problem:  # told by finish()
            self.problems.append(f"{type(problem).__name__}: {problem}")
        finally:
            client.close()

    def finish(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(60)
        assert not self.problems, self.problems

    def write(self, client, write, method, target, body, content_type="application/x-ndjson"):
        """False when the server is stopping."""
        try:
            status, answer = client.request(method, target, body, content_type)
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

    # ---- What clients do; each returns False to stop

    def upsert(self, client, rng, low, high, sizes):
        size = rng.choice(sizes)
        version, batch = rng.randrange(1 << 30), f"b{rng.randrange(60)}"
        documents = [document(n, version, batch) for n in rng.sample(range(low, high), size)]
        return self.write(client, {d["id"]: (version, batch) for d in documents}, "POST", f"{COLLECTION}/documents",
                          ndjson(documents))

    def small_writes(self, client, rng):
        """New, replaced and removed documents, a few at a time."""
        if rng.random() < 0.3:
            mine = [name for name in list(self.ledger.documents) if name[0] == "d" and int(name[1:]) < 2000]
            if mine:
                name = rng.choice(mine)
                return self.write(client, {name: None}, "DELETE", f"{COLLECTION}/documents/{name}", None)
        return self.upsert(client, rng, 0, 2000, [1, 1, 2, 5, 20])

    def large_writes(self, client, rng):
        return self.upsert(client, rng, 2000, 12000, [300, 1000, 3000])

    def optimize(self, client, rng):
        status, answer = client.request("POST", f"{COLLECTION}/optimize")
        assert status == 200 or check_error(status, answer, "closed"), answer
        return status == 200

    def send_events(self, client, events):
        named = {e["event_attributes"]["event_id"]: e for e in events}
        try:
            status, answer = client.request("POST", f"{COLLECTION}/events", events)
        except NOT_ANSWERED:
            with self.ledger.lock:
                self.ledger.unsure_events.append(named)
            raise
        if status == 503:
            with self.ledger.lock:
                self.ledger.unsure_events.append(named)
            return False
        refused = {r["index"] for r in answer["rejected"]}
        assert all(r["code"] == "invalid_event" for r in answer["rejected"]), answer  # the document is gone
        assert answer["accepted"] == len(events) - len(refused) and answer["duplicates"] == 0, answer
        with self.ledger.lock:
            for index, (name, event) in enumerate(named.items()):
                if index in refused:
                    continue
                self.ledger.events[name] = event
                self.ledger.recent.append(name)
                self.ledger.count_click(event)
        return True

    def search_and_click(self, client, rng):
        """Searches, then events for what was found: for an anchor always for its last document."""
        events = []
        for _ in range(rng.choice([1, 1, 4])):
            anchor = rng.choice(ANCHORS) if rng.random() < 0.5 else None
            status, answer = client.request("POST", f"{COLLECTION}/search", {"query": anchor or rng.choice(TOPICS)})
            if status != 200:
                check_error(status, answer, "closed")
                return False
            hits = [hit["id"] for hit in answer["hits"]]
            chosen = f"{anchor}-{ANCHOR_DOCUMENTS - 1}" if anchor else hits and rng.choice(hits)
            if chosen in hits:
                attributes = {"event_id": f"e{rng.getrandbits(64)}", "object": {"object_id": chosen}}
                events.append({"query_id": answer["query_id"], "action_name": "click", "event_attributes": attributes})
        return self.send_events(client, events) if events else True


def prepare(client, ledger):
    """A collection with its anchors."""
    client.expect("PUT", COLLECTION, SCHEMA, status=201)
    anchors = [anchor_document(anchor, place) for anchor in ANCHORS for place in range(ANCHOR_DOCUMENTS)]
    client.expect("POST", f"{COLLECTION}/documents", ndjson(anchors), content_type="application/x-ndjson")
    ledger.take({d["id"]: (1, "anchors") for d in anchors})


def import_file(path, rng, count):
    """Writes a file to import; returns what it writes, in its order."""
    version, batch = rng.randrange(1 << 30), f"f{rng.randrange(60)}"
    documents = [document(n, version, batch) for n in rng.sample(range(20000, 20000 + 2 * count), count)]
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(json.dumps(d) + "\n" for d in documents))
    return {d["id"]: (version, batch) for d in documents}
