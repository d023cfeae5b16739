#!/usr/bin/env python3
"""Bodies that are large, compressed, broken, of another kind than they say, or bombs: an answer to each, from bounded
memory."""

import contextlib
import gzip
import http.client
import json
import os
import random
import sys
import threading
import time
import zlib

from hostile_house import BOOKS, CATALOGUE, MIB, NDJSON, SANITIZED, House, an_event, zstd_frame
from ordeal import NOT_ANSWERED, check_error, ndjson, run_tests


def test_many_events():
    """50,000 events for one page of a thousand hits, in one body."""
    with House(memory=700) as house:
        house.post(ndjson({"id": f"more{n}", "title": f"fox more {n}"} for n in range(2000)))
        shown = house.search({"query": "fox", "policy": "all", "limit": 1000})
        hits = [hit["id"] for hit in shown["hits"]]
        assert len(hits) == 1000, len(hits)
        events = [an_event(shown["query_id"], hits[n % 1000], event_id=f"e{n}") for n in range(50000)]
        start = time.monotonic()
        answer = house.client.expect("POST", f"{BOOKS}/events", ndjson(events), content_type=NDJSON)
        assert answer["accepted"] == 50000, str(answer)[:300]
        again = house.client.expect("POST", f"{BOOKS}/events", events)
        assert again["duplicates"] == 50000, str(again)[:300]
        assert time.monotonic() - start < (300 if SANITIZED else 60), "50,000 events took more than a minute"
        status, nonsense = house.client.request("POST", f"{BOOKS}/events", "{}\n" * 100000)
        assert status == 400 and len(nonsense["rejected"]) == 100000, str(nonsense)[:300]
        for body in ("{}\n" * 100001, "{}\n" * (20 * MIB), "[" + "{}," * 100000 + "{}]",
                     "[" + "0," * (20 * MIB) + "0]"):
            house.refused("POST", f"{BOOKS}/events", body, ["too_large", "invalid_json"])
        assert house.client.expect("GET", f"{BOOKS}/stats")["events"] == 50000
        for n in range(100):
            house.client.expect("DELETE", f"{BOOKS}/documents/more{n}")


# ---- Bodies

def test_compressed_bodies():
    """Whole ones are read, broken ones are told so, and bombs do not go off."""
    with House() as house:
        plain = ndjson({"id": f"z{n}", "title": f"compressed {n}"} for n in range(3000)).encode()
        for whole in (gzip.compress(plain), zstd_frame([plain]),
                      gzip.compress(plain[:1000]) + gzip.compress(plain[1000:])):
            assert house.post(whole)["indexed"] == 3000
            for body in (whole[:-1], whole[:len(whole) // 2], whole[:20], whole[:8], whole + b"rest",
                         whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]):
                status, answer = house.client.request("POST", f"{BOOKS}/documents", body, NDJSON)
                if status != 200:  # a changed byte of a title is no damage that zstd without a checksum could see
                    error = check_error(status, answer, ["invalid_request", "invalid_json", "too_large"])
                    assert "line" in error["message"], error
        gigabytes = 1 if SANITIZED else 10
        squeeze = zlib.compressobj(9, wbits=31)
        zeros = b"".join([squeeze.compress(bytes(MIB)) for _ in range(512)] + [squeeze.flush()])
        bombs = {
            "zeros": zstd_frame([(0, gigabytes << 30)]), "empty lines": zstd_frame([(10, gigabytes << 30)]),
            "brackets": zstd_frame([(ord("["), gigabytes << 30)]), "gzip": zeros,
            "a string": zstd_frame([b'{"id": "', (ord("x"), gigabytes << 30)]),
            "an array": zstd_frame([b'[{"id": 1}', (32, gigabytes << 30)]),
            "quotes": zstd_frame([b"a,b\n\"", (ord('"'), 3 << 30)]),
        }
        for name, bomb in bombs.items():
            start = time.monotonic()
            for kind in (NDJSON, "text/csv") if name in ("zeros", "quotes") else (NDJSON,):
                status, answer = house.client.request("POST", f"{BOOKS}/documents", bomb, kind)
                assert status == 200 and answer["indexed"] == 0 or status != 200 and check_error(
                    status, answer, ["too_large", "invalid_request", "invalid_json"]), (name, answer)
            took = time.monotonic() - start
            assert took < (600 if SANITIZED else 100), f"{name} took {took:.0f} s"
        house.refused("POST", f"{BOOKS}/search", gzip.compress(b"{}"), "invalid_json")


def test_large_bodies():
    """At the limit of 64 MiB a body is taken, above it refused; values of any shape inside cost bounded memory."""
    with House(memory=2500) as house:
        line = json.dumps({"id": "large", "about": "x " * 50000}) + "\n"
        body = line * (64 * MIB // len(line))
        body += " " * (64 * MIB - len(body))
        assert house.post(body)["failed"] == 0
        for target, codes in ((f"{BOOKS}/documents", "too_large"), (f"{BOOKS}/search", "too_large"),
                              (f"{BOOKS}/events", "too_large")):
            house.refused("POST", target, body + " ", codes)
        house.refused("PUT", BOOKS, body + " ", "too_large")
        for chunk in (b"[0", b"[[],[]", b'{"a":{}', b'["",""', b"[{},{}"):
            unit = b"," + chunk[1:] if chunk[0] == ord("[") else b""
            text = chunk + unit * ((64 * MIB - 100) // len(unit)) + b"]" if unit else chunk + b"}"
            house.refused("POST", f"{BOOKS}/search", text)
            status, answer = house.client.request("POST", f"{BOOKS}/events", text)
            assert status in (400, 413), str(answer)[:300]
            house.refused("PUT", BOOKS, text)
            status, answer = house.client.request("POST", f"{BOOKS}/documents", text, NDJSON)
            assert status == 200 and answer["indexed"] == 0 or check_error(status, answer), str(answer)[:300]
        keys = "{" + ",".join(f'"k{n}": {n}' for n in range(300000)) + ', "id": "many members"}'
        assert house.post(keys)["indexed"] == 1
        huge = json.dumps({"id": "huge", "about": "word " * 3000000})
        assert house.post(huge)["indexed"] == 1
        house.post(json.dumps({"id": "tags", "genre": [f"tag{n}" for n in range(200000)]}))
        too_long = json.dumps({"id": "too long", "about": "word " * 4000000})
        answer = house.post(too_long + "\n" + '{"id": "after"}')
        assert answer["failed"] == 1 and answer["indexed"] == 1 and "16777216" in answer["errors"][0]["message"], answer
        for name in ("large", "many%20members", "huge", "tags", "after"):
            house.client.expect("DELETE", f"{BOOKS}/documents/{name}")
        connection = http.client.HTTPConnection("127.0.0.1", house.server.port, timeout=120)
        with contextlib.suppress(*NOT_ANSWERED):  # a body without a length: cut off, or answered, but never taken
            connection.request("POST", f"{BOOKS}/documents", body=(b" " * MIB for _ in range(100)), encode_chunked=True,
                               headers={"Transfer-Encoding": "chunked", "Content-Type": NDJSON})
            response = connection.getresponse()
            check_error(response.status, json.loads(response.read()), "too_large")
        connection.close()


def test_large_bodies_at_once():
    """Many bodies at the limit: more than eight times the limit together are put off, not taken into memory."""
    with House("--body-limit", "16", memory=1500) as house:
        body = "[" + "0," * (8 * MIB - 100) + "0]"
        answers = []

        def send():
            client = house.server.client()
            with contextlib.suppress(*NOT_ANSWERED):
                answers.append(client.request("POST", f"{BOOKS}/search", body))
            client.close()

        threads = [threading.Thread(target=send) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers, "nobody was answered"
        for status, answer in answers:
            check_error(status, answer, ["overloaded", "invalid_request", "invalid_json", "too_large"])


def test_content_types():
    """What a body is said to be, rightly or wrongly."""
    with House() as house:
        lines = ndjson([{"id": "t1", "title": "one"}, {"id": "t2", "title": "two"}])
        for kind in ("application/json", "text/html", "application/xml", "", "x", "application/x-www-form-urlencoded",
                     "multipart/form-data",
                     "application/x-ndjson; charset=latin1", "text/plain", "\x7f" * 10, "application/" + "x" * 1000):
            status, answer = house.client.request("POST", f"{BOOKS}/documents", lines, kind)
            assert status == 200 and answer["indexed"] == 2 or check_error(status, answer), (kind, answer)
        for kind, body in (("text/csv", lines), ("text/csv", "<xml/>"), ("text/tab-separated-values", lines),
                           ("application/json", "id,title\n1,x"),
                           (NDJSON, "id,title\n1,x"), (NDJSON, "<xml></xml>"), ("text/html", "<html>"),
                           ("application/json", "\x89PNG\r\n")):
            status, answer = house.client.request("POST", f"{BOOKS}/documents", body, kind)
            assert status == 200 and answer["indexed"] == 0 or check_error(status, answer), (kind, answer)
        for parameters in ("format=xml", "format=%00", "format=" + "x" * 5000, "first_line=0", "first_line=-1",
                           "first_line=x",
                           "first_line=99999999999999999999"):
            house.refused("POST", f"{BOOKS}/documents?{parameters}", lines, "invalid_request")
        answer = house.post('{"id": "t1"}\n{', target=f"{BOOKS}/documents?first_line={2 ** 53}")
        assert answer["errors"][0]["line"] == 2 ** 53 + 1, answer


def test_tables():
    """CSV and TSV with broken quotes, rows that are too long or too short, and no sense at all."""
    with House() as house:
        def post(text, kind="text/csv"):
            return house.client.request("POST", "/collections/tables/documents", text, kind)

        for text, indexed, failed in (
                ('id,title\n1,"a ""quoted"" title"\n2,"two\nlines"\n', 2, 0),
                ('id,title\n1,"never closed\n2,x\n', 1, 1), ('id,title\n1,"closed"but\n2,x\n', 1, 1),
                ("id,title\n1,a,b,c\n2\n3,x\n", None, None),
                ("id,title\n", 0, 0),
                ("id,id\n1,2\n", None, None), (",,\n1,2,3\n", None, None), ("\n\n\n", 0, 0), ('"', None, None),
                ('"""', None, None),
                ("id;title\n1;x\n", 1, 0), ("\ufeffid,title\n1,x\n", 1, 0), ("id,title\r\n1,x\r\n", 1, 0),
                ("id,title\r1,x\r", None, None),
                ("id\n" + "x" * 600 + "\n7\n", 1, 1), (",".join(f"c{n}" for n in range(100000)) + "\n1\n", None, None),
                ("id,title\n" + '1,"' + '""' * 100000 + '"\n', 1, 0), ("id,\u0000\n1,2\n", None, None),
                ("id," + "x" * 100000 + "\n1,2\n", None, None)):
            status, answer = post(text)
            if status != 200:
                check_error(status, answer)
                assert indexed is None or indexed == 0, (text[:60], answer)
                continue
            assert indexed is None or answer["indexed"] == indexed, (text[:60], answer)
            assert failed is None or answer["failed"] == failed, (text[:60], answer)
        for text in (b"id,title\n1,\xff\xfe\n2,x\n", b"id,\xff\n1,2\n", b"\xff\xfei\0d\0", os.urandom(100000)):
            for kind in ("text/csv", "text/tab-separated-values", NDJSON, "application/json"):
                status, answer = post(text, kind)
                assert status == 200 or check_error(status, answer), answer


def test_random_bytes():
    """Real requests with a few bytes changed: an answer to each, and never the wrong kind."""
    rng = random.Random(42)
    with House() as house:
        query_id = house.search({"query": "fox", "policy": "all"})["query_id"]
        bodies = [
            ("search", json.dumps({"query": "fox", "filter": {"year": {"gt": 1950}},
                                   "facets": ["genre", {"field": "year", "buckets": 5}],
                                   "explain": True, "context": {"a": [1, 2]}, "user": "u", "limit": 5}).encode()),
            ("events", json.dumps(an_event(query_id, timestamp="2026-01-31T12:00:00Z")).encode()),
            ("documents", ndjson(CATALOGUE[:5]).encode()),
            ("documents", gzip.compress(ndjson(CATALOGUE[:50]).encode())),
            ("documents", zstd_frame([ndjson(CATALOGUE[:5]).encode(), (32, 100)])),
            ("evaluate",
             json.dumps({"queries": [{"id": "q1", "query": "fox"}],
                         "judgments": [{"query": "q1", "document": "book:1", "grade": 2}],
                                     "metrics": ["ndcg@10", "recall@100"], "depth": 10}).encode()),
        ]
        for _ in range(600):
            target, body = rng.choice(bodies)
            changed = bytearray(body)
            for _ in range(rng.choice([1, 1, 2, 8])):
                what, at = rng.randrange(4), rng.randrange(len(changed))
                if what == 0:
                    changed[at] = rng.randrange(256)
                elif what == 1:
                    del changed[at:at + rng.randrange(1, 20)]
                elif what == 2:
                    changed[at:at] = changed[rng.randrange(len(changed)):][:rng.randrange(1, 50)]
                else:
                    changed[at:at] = rng.choice([b"\x00", b"\xff", b"1e999", b"[[", b"\\ud800", b"-", b"9" * 30, b"\"",
                                                 b"{}"])
                changed = changed or bytearray(b"x")
            target = f"{BOOKS}/{target}" if target != "documents" else "/collections/changed/documents"
            status, answer = house.client.request("POST", target, bytes(changed), NDJSON if "documents" in target
                                                  else "application/json")
            if status != 200 and "rejected" not in answer:
                check_error(status, answer)
        house.reopened()
        house.client.request("GET", "/collections/changed")


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
