#!/usr/bin/env python3
"""Many at once: collections that go while they are searched, schemas that change while documents come, clients that
write the same ids, and clients that leave."""

import json
import os
import random
import re
import socket
import sys
import threading
import time

from hostile_house import BOOKS, CATALOGUE, MIB, NDJSON, House
from ordeal import check_error, ndjson, run_tests, wait_until


# ---- Many at once

def at_once(*functions, seconds=3):
    """Runs each function again and again in a thread of its own; their failures are this one's."""
    end, problems = time.monotonic() + seconds, []

    def run(function):
        try:
            while time.monotonic() < end and not problems:
                function()
        except Exception as problem:
            problems.append(f"{type(problem).__name__}: {problem}")

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a request was never answered"
    assert not problems, problems[0]


def test_removing_while_searching():
    """A collection is removed and made again while others search, import, and send events: answers or clear errors."""
    with House() as house:
        def client_doing(method, target, body, codes):
            client = house.server.client()

            def act():
                status, answer = client.request(method, target, body, NDJSON)
                assert status < 300 or check_error(status, answer, codes), answer
            return act

        gone = "/collections/gone"
        missing = ["collection_not_found"]
        documents = ndjson({"id": n, "title": f"fox {n}"} for n in range(200))
        at_once(client_doing("DELETE", gone, None, missing), client_doing("DELETE", gone, None, missing),
                client_doing("POST", f"{gone}/documents", documents, missing),
                client_doing("POST", f"{gone}/documents", documents, missing),
                client_doing("POST", f"{gone}/search", '{"query": "fox"}', missing),
                client_doing("GET", f"{gone}/search?q=fox&explain=true", None, missing),
                client_doing("GET", f"{gone}/stats", None, missing),
                client_doing("POST", f"{gone}/optimize", None, missing), client_doing("GET", "/collections", None, []),
                client_doing("GET", f"{gone}/documents", None, missing))
        house.client.request("DELETE", gone)
        house.post(documents, target=f"{gone}/documents")
        assert house.client.expect("POST", f"{gone}/search", {"query": "fox", "policy": "all"})["total"]["value"] == 200
        assert sorted(os.listdir(os.path.join(house.folder.data, "collections"))) == ["books", "gone"]


def test_schema_changes_while_importing():
    """Fields come while documents come: none is lost, and the index has what the schema says."""
    with House() as house:
        counter, lock, names = [0], threading.Lock(), set()

        def change():
            client = house.server.client()
            with lock:
                counter[0] += 1
                field = counter[0]
            if field < 40:
                client.expect("PUT", "/collections/grows",
                              {"fields": {f"f{field}": {"type": ["text", "keyword", "number"][field % 3]}}})
            client.close()
            time.sleep(0.03)

        def importer(prefix):
            client, rng = house.server.client(), random.Random(prefix)

            def work():
                documents = [{"id": f"{prefix}{rng.randrange(3000)}", "title": "growing",
                              **{f"f{n}": n for n in range(1, 40)}}
                             for _ in range(200)]
                assert client.expect("POST", "/collections/grows/documents", ndjson(documents),
                                     content_type=NDJSON)["failed"] == 0
                with lock:
                    names.update(d["id"] for d in documents)
            return work

        def searching():
            client = house.server.client()

            def work():
                fields = client.expect("GET", "/collections/grows")["schema"]["fields"]
                numbers = [name for name, f in fields.items() if f["type"] == "number"][-3:]
                words = [name for name, f in fields.items() if f["type"] == "keyword"][-3:]
                conditions = [{f: {"gte": 1}} for f in numbers] + [{f: "7"} for f in words]
                client.expect("POST", "/collections/grows/search", {
                    "query": "growing 7", "policy": "all", "explain": True,
                    "filter": {"any": [*conditions, {"title": {"exists": True}}]},
                    "facets": words + [{"field": f, "buckets": 3} for f in numbers]})
            return work

        house.client.expect("PUT", "/collections/grows", {"fields": {"title": {"type": "text"}}}, status=201)
        at_once(change, importer("a"), importer("b"), searching(), seconds=4)
        found = house.client.expect("POST", "/collections/grows/search", {"query": "growing", "policy": "all"})
        assert found["total"]["value"] == len(names), (found["total"], len(names))
        house.reopened()
        assert house.client.expect("GET", "/collections/grows")["documents"] == len(names)


def test_kind_changes():
    """A field's kind may change while nothing is stored, even with an import on its way."""
    with House() as house:
        for turn in range(6):
            name = f"/collections/kind{turn}"
            house.client.expect("PUT", name, {"fields": {"x": {"type": "number"}}}, status=201)
            kinds = ["keyword", "text", "number", "date", "reference"]
            answers = []

            def send(target, body, method="POST", into=answers):
                client = house.server.client()
                into.append(client.request(method, target, body))
                client.close()

            threads = [threading.Thread(target=send,
                                        args=(f"{name}/documents", ndjson({"id": n, "x": 5} for n in range(2000))))]
            threads += [threading.Thread(target=send, args=(name, {"fields": {"x": {"type": kinds[turn % 5]}}}, "PUT"))]
            for thread in threads if turn % 2 else reversed(threads):
                thread.start()
                time.sleep(0.002 * turn)
            for thread in threads:
                thread.join()
            for status, answer in answers:
                assert status == 200 or check_error(status, answer, "invalid_schema"), answer
            assert house.client.expect("POST", f"{name}/check")["ok"], turn
            request = {"filter": {"x": {"exists": True}}, "limit": 0}
            status, answer = house.client.request("POST", f"{name}/search", request)
            assert status == 200 or check_error(status, answer, "invalid_filter"), answer
            house.client.expect("POST", f"{name}/documents", {"id": "after", "x": "7"})
        house.reopened()


def test_same_ids_from_four():
    """Four clients write the same ids: of each, one whole version is there, found by what it says and nothing else."""
    with House() as house:
        def importer(who):
            client, turn = house.server.client(), [0]

            def work():
                turn[0] += 1
                word = f"{who}turn{turn[0]}"
                documents = ndjson({"id": f"s{n}", "title": word, "genre": word, "about": f"{word} {word}"}
                                   for n in range(300))
                client.expect("POST", f"{BOOKS}/documents", documents, content_type=NDJSON)
            return work

        at_once(*(importer(who) for who in ("ann", "bob", "cyd", "dan")))
        counted = {}
        for n in range(300):
            d = house.client.expect("GET", f"{BOOKS}/documents/s{n}")
            assert d["title"] == d["genre"] and d["about"] == f"{d['title']} {d['title']}", d
            counted[d["genre"]] = counted.get(d["genre"], 0) + 1
        for word, count in counted.items():
            assert house.search({"filter": {"genre": word}, "limit": 0})["total"]["value"] == count
            assert house.search({"query": word, "limit": 0, "policy": "all"})["total"]["value"] == count
        assert house.client.expect("GET", BOOKS)["documents"] == 400


def test_clients_that_leave():
    """Requests that are cut off in the middle, and answers that nobody reads: nothing of them stays behind."""
    with House() as house:
        body = ndjson(CATALOGUE).encode()
        head = f"POST {BOOKS}/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nContent-Length: "
        for size, sent in ((len(body), len(body) // 2), (10 ** 18, 100), (len(body), 0), (5, len(body)), (-1, 10),
                           (64 * MIB, 0)):
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", house.server.port)) as s:
                    s.sendall(head.encode() + str(size).encode() + b"\r\n\r\n" + body[:sent])
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", house.server.port)) as s:
                s.sendall(f"GET {BOOKS}/documents?limit=100000 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

        def in_flight():
            metrics = house.server.raw(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return int(re.search(rb"^forage_http_in_flight (\d+)", metrics, re.M).group(1))

        wait_until(lambda: in_flight() == 1, "the requests of clients that left to end", seconds=20)


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
