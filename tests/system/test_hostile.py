#!/usr/bin/env python3
"""Input that means harm, or comes from a program with bugs: each gets a clear error or a right answer, nothing is lost,
nothing ends in a crash. Every test ends with a check of the collections and with the server stopped in peace."""

import gzip
import json
import os
import random
import sys
import time
import urllib.parse

from hostile_house import BOOKS, CATALOGUE, MIB, NDJSON, SANITIZED, SCHEMA, House, an_event, zstd_frame
from ordeal import SANITIZERS, Folder, check_error, cli_error, environment, forage, ndjson, run_tests

ENVIRONMENT = environment(**SANITIZERS)

# ---- JSON

BROKEN_JSON = [
    b"{", b"[", b"}", b"{}{}", b"{} x", b"nul", b"{\"query\": }", b"{query: 1}", b"{'query': 1}",
    b"{\"query\": \"x\",}", b"[1,]",
    b"\"", b"\"\\", b"\"\\u12\"", b"{\"query\": \"\\x\"}", b"// comment\n{}", b"\xff\xfe{\x00}\x00", b"\x00",
    b"{\"query\": \"a\nb\"}",
    b"{\"query\": NaN}", b"{\"limit\": Infinity}", b"{\"limit\": -Infinity}", b"{\"limit\": 0x10}", b"{\"limit\": 01}",
    b"{\"limit\": +1}", b"{\"limit\": .5}", b"{\"limit\": 1e400}", b"{\"limit\": -1e400}",
    b"{\"limit\": 1" + b"0" * 400 + b"}",
    b"{\"limit\": " + b"9" * MIB + b"}", b"[" * 100000, b"{\"a\":" * 100000, b"[" * 65 + b"]" * 65,
    b"{\"filter\":" + b"[" * 1000,
    b"{\"query\": \"a\", \"query\": \"b\"}", b"{\"query\": \"\xff\"}", b"{\"query\": \"\xc0\xaf\"}",
    b"{\"query\": \"\xed\xa0\x80\"}", b"{\"query\": \"\xf5\x80\x80\x80\"}", b"{\"query\": \"\xe2\x82\"}",
    b"{\"\xff\": 1}",
    b"{\"query\": \"\\ud800\"}", b"{\"query\": \"\\udc00\\ud800\"}", b"{\"query\": \"\\ud800x\"}",
    b"{\"que\\u0000ry\": 1}",
]


def test_broken_json():
    """What is not JSON is told so, with the place, by everything that reads JSON."""
    with House() as house:
        for body in BROKEN_JSON:
            for method, target in (("POST", f"{BOOKS}/search"), ("POST", f"{BOOKS}/evaluate"), ("PUT", BOOKS)):
                error = house.refused(method, target, body, "invalid_json")
                assert "byte " in error["message"], error
            house.refused("POST", f"{BOOKS}/events", body, ["invalid_json", "invalid_event"])


def test_json_of_the_wrong_shape():
    with House() as house:
        for body in ("null", "[]", "7", "\"fox\"", "true", "[{}]"):
            for target in (f"{BOOKS}/search", f"{BOOKS}/evaluate"):
                house.refused("POST", target, body, "invalid_request")
            status, answer = house.client.request("POST", f"{BOOKS}/events", body)
            assert status == 400 and ("error" in answer or answer["rejected"][0]["code"] == "invalid_event"), answer
        for schema in ("[1]", "7", "\"x\"", {"fields": 7}, {"fields": {"": {"type": "text"}}},
                       {"fields": {"a\tb": {"type": "text"}}},
                       {"fields": {"x" * 129: {"type": "text"}}}, {"fields": {"a": "text"}},
                       {"fields": {"a": {"type": "blob"}}},
                       {"fields": {"a": {"type": ["text"]}}}, {"fields": {"a": {"type": "text", "weight": -1}}},
                       {"fields": {"a": {"type": "text", "weight": 1e300}}},
                       {"fields": {"a": {"type": "text", "size": 1}}},
                       {"fields": {"a": {"type": "vector"}}}, {"fields": {"a": {"type": "vector", "dimensions": 1e9}}},
                       {"fields": {"title": {"type": "keyword"}}}, {"fields": {"popularity": {"type": "text"}}},
                       {"fields": {f"f{n}": {"type": "text"} for n in range(70)}}, {"language": "klingon"},
                       {"language": 5},
                       {"rewards": {"click": 2}}, {"rewards": {"click": "much"}}, {"rewards": []}, {"rewards": {"": 1}},
                       {"rewards": {f"r{n}": 1 for n in range(1000)}}, {"rewards": {"x" * 100: 1}},
                       {"policy": "roulette"},
                       {"ranker": "oracle"}, {"id": ""}, {"id": 7}, {"typ": "x"}, {"inferred": "perhaps"}):
            house.refused("PUT", BOOKS, schema, "invalid_schema")
        schema = house.client.expect("GET", BOOKS)["schema"]
        assert list(schema["fields"])[:7] == list(SCHEMA["fields"]), schema


# ---- Documents

def test_bad_documents():
    """Each bad line is named and costs only itself."""
    bad = [
        (b"{", "line"), (b"[1]", "object"), (b"7", "object"), (b"null", "object"), (b"{}", "no id"),
        (b'{"id": null}', "no id"),
        (b'{"id": ""}', "1 to 500"), (b'{"id": []}', "an id"), (b'{"id": {}}', "an id"), (b'{"id": 1.5}', "an id"),
        (b'{"id": 1e400}', "number"), (b'{"id": 1e2}', "an id"), (b'{"id": true}', "an id"),
        (b'{"id": "a\\u0000b"}', "control"),
        (b'{"id": "a\\nb"}', "control"), (b'{"id": "\\u007f"}', "control"), (b'{"id": "' + b"x" * 501 + b'"}', "500"),
        (b'{"id": "' + "é".encode() * 251 + b'"}', "500"), (b'{"id": "x", "id": "y"}', "twice"),
        (b'{"id": "x", "year": "x"}', "year"),
        (b'{"id": "x", "year": [1]}', "year"), (b'{"id": "x", "year": {}}', "year"),
        (b'{"id": "x", "year": "nan"}', "year"),
        (b'{"id": "x", "year": "inf"}', "year"), (b'{"id": "x", "year": "1e999"}', "year"),
        (b'{"id": "x", "year": NaN}', "byte"),
        (b'{"id": "x", "year": true}', "year"), (b'{"id": "x", "released": "soon"}', "released"),
        (b'{"id": "x", "released": "2020-02-30"}', "released"), (b'{"id": "x", "released": 1e300}', "released"),
        (b'{"id": "x", "released": "999999-01-01"}', "released"), (b'{"id": "x", "title": {}}', "title"),
        (b'{"id": "x", "title": [["a"]]}', "title"), (b'{"id": "x", "genre": [{}]}', "genre"),
        (b'{"id": "x", "author": {}}', "author"),
        (b'{"id": "x", "vector": [1, 2]}', "vector"), (b'{"id": "x", "vector": [1, 2, "3"]}', "vector"),
        (b'{"id": "x", "vector": [1, 2, 1e300]}', "vector"), (b'{"id": "x", "vector": "123"}', "vector"),
        (b'{"id": "x", "a": ' + b"[" * 70 + b"]" * 70 + b"}", "deep"), (b'{"id": "\xff"}', "UTF-8"),
        (b'{"id": "x", "title": "\xed\xb0\x80"}', "UTF-8"), (b'{"id": "x", "title": "\\ud800"}', "surrogate"),
        (b'{"id": "x", "t\\u0000": 1}', "NUL"), (b'{"id": "x", "title": "a\tb"}', "byte"), (b"\x00\x01\x02", "byte"),
        (b'{"id": "x", "n": ' + b"1" * 1000 + b"}", "number"),
    ]
    good = {"id": "good", "title": "a good one",
            "more": {"deep": [[[1.5e300, -0.0, 12345678901234567890, None, {"ü": "\u0000"}]]]}}
    with House() as house:
        for line, word in bad:
            answer = house.post(b'{"id": "first"}\n' + line + b"\n" + json.dumps(good).encode())
            assert answer["failed"] == 1 and answer["indexed"] == 2 and answer["received"] == 3, (line[:80], answer)
            error = answer["errors"][0]
            assert error["line"] == 2 and error["message"].startswith("line 2"), (line[:80], error)
            assert word in error["message"] and "\n" not in error["message"] and len(error["message"]) < 1024, error
        assert house.client.expect("GET", f"{BOOKS}/documents/good") == good
        answer = house.post(b"".join(line + b"\n" for line, _ in bad if b"\n" not in line and line != b"{") * 20)
        assert (len(answer["errors"]), answer["indexed"], answer["failed"]) == (100, 0, 20 * (len(bad) - 1)), answer
        for body in (b"", b"\n\n\n", b"  ", b"[]"):
            assert house.post(body, "application/json")["received"] == 0
        assert house.post(b"[" + b",".join([b'{"id": "q"}', b"7", b'{"id": "r"}']) + b"]",
                          "application/json")["indexed"] == 2
        for body in (b'[{"id": "q"}', b'[{"id": "q"},]', b'[{"id": "q"}}', b'[{"id": "q"} {"id": "r"}]',
                     b'[{"id": "q"}] x'):
            error = house.refused("POST", f"{BOOKS}/documents", body, "invalid_json")
            assert "line 1" in error["message"], error


def test_odd_documents_come_back():
    """What was taken, with whatever members, can be read again after a restart: an inferred schema takes anything."""
    odd = [
        {"id": 1, "popularity": "high", "type": 7}, {"id": 2, "popularity": [1, 2], "type": ["a", "b"]},
        {"id": 3, "a\u0001b": "control"},
        {"id": 4, "": "no name", "x" * 200: "long name", "title": 7, "name": False},
        {"id": 5, **{f"k{n}": f"v {n}" for n in range(100)}},
        {"id": 6, "fields": {}, "schema": [], "all": "x", "any": 1, "not": True, "exists": "y", "gt": 5},
        {"_id": "seven", "id": None},
        {"id": 8, "t": "\u0000\u0001\u202e\ufeff\U0001f600", "u": ["", None, 5, True]},
        {"id": 9, "text": "w " * 100000},
        {"id": 10, "vector": [0.5] * 5000, "v8": [1] * 8, "when": "2020-01-01", "date": "0000-00-00"},
        {"id": 11, "type": ""},
    ]
    with House() as house:
        for place, d in enumerate(odd):
            answer = house.post(json.dumps(d), target=f"/collections/odd{place}/documents")
            if d.get("id") is None:
                assert answer["failed"] == 1 or answer["indexed"] == 1, answer
            else:
                assert answer["indexed"] == 1, (str(d)[:100], answer)
        house.post(ndjson(odd), target="/collections/odd/documents")
        before = [house.client.expect("GET", f"/collections/odd{place}") for place in range(len(odd))]
        house.reopened()
        for place, d in enumerate(odd):
            assert house.client.expect("GET", f"/collections/odd{place}") == before[place]
            if d.get("id") is not None:
                assert house.client.expect("GET", f"/collections/odd{place}/documents/{d['id']}") == d
                assert house.client.expect("GET",
                                           f"/collections/odd{place}/search?q=&policy=all")["total"]["value"] == 1
            status, answer = house.client.request("PUT", f"/collections/odd{place}",
                                                  {"fields": {"extra": {"type": "number"}}})
            assert status == 200 or check_error(status, answer, "invalid_schema"), answer


# ---- Ids

ODD_IDS = [
    " ", "a b", "a/b", "/", "//", "..", ".", "../../etc/passwd", "%", "%2F", "%%", "a%20b", "+", "a+b", "?", "a?b=c&d",
    "#", "a#b", "&",
    ";", "\"", "'", "\\", "\\n", "<script>", "{id}", "*", "null", "0", "-1", "00", "1.0", "1e5", "é", "e\u0301",
    "\u00c5", "\u212b",
    "\u202eabc\u202c", "\u200b", "\u200d", "\ufeff", "\ufffd", "\uffff", "\U0010ffff", "\U0001f469\u200d\U0001f4bb",
    "שלום", "مرحبا",
    "日本語", "\u0300\u0301\u0302", "\u2028", "\u2029", "\u0085", "\u00a0", "\u00ad", "ß", "İ", "x" * 500, "é" * 250,
    "\U0001f600" * 125,
    "book:0 ", "BOOK:0",
]


def test_ids():
    """Any id of 1 to 500 bytes without control characters, through import, search, event, reading and removing."""
    with House() as house:
        ids = sorted(set(ODD_IDS))
        answer = house.post(ndjson({"id": i, "title": f"oddity word{n}"} for n, i in enumerate(ids)))
        assert answer["indexed"] == len(ids), answer
        for n, i in enumerate(ids):
            target = f"{BOOKS}/documents/{urllib.parse.quote(i, safe='')}"
            everything = "".join(f"%{byte:02x}" for byte in i.encode())
            assert house.client.expect("GET", target)["id"] == i
            assert house.client.expect("GET", f"{BOOKS}/documents/{everything}")["title"] == f"oddity word{n}"
            found = house.search({"query": f"word{n}", "policy": "all"})
            assert found["hits"][0]["id"] == i, (i, found["hits"])  # what was chosen after like queries may follow
            event = {"query_id": found["query_id"], "action_name": "click",
                     "event_attributes": {"object": {"object_id": i}}}
            assert house.client.expect("POST", f"{BOOKS}/events", event)["accepted"] == 1
        exported = {d["id"] for d in house.client.expect("GET", f"{BOOKS}/documents?limit=1000")}
        assert exported >= set(ids)
        for i in ids:
            target = f"{BOOKS}/documents/{urllib.parse.quote(i, safe='')}"
            assert house.client.expect("DELETE", target) == {"removed": i}
            house.refused("GET", target, None, "document_not_found")
            house.refused("DELETE", target, None, "document_not_found")
        numbers = [0, 7, -5, 2 ** 53 + 1, 2 ** 63 - 1, -2 ** 63]
        assert house.post(ndjson({"id": n} for n in numbers))["indexed"] == len(numbers)
        for n in numbers:
            assert house.client.expect("GET", f"{BOOKS}/documents/{n}") == {"id": n}
            assert house.client.expect("DELETE", f"{BOOKS}/documents/{n}")
        for bad in ("%", "%4", "%zz", "%ff", "%c0%af", "%00", "a%00b", "x" * 501, "%ed%a0%80", "%0a", "no/such",
                    "%F0%9F"):
            for method in ("GET", "DELETE"):
                house.refused(method, f"{BOOKS}/documents/{bad}", None, ["document_not_found", "route_not_found"])


def test_addresses():
    """Odd addresses, sent as bytes."""
    with House() as house:
        def status_of(request_line):
            raw = house.server.raw(request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head, _, body = raw.partition(b"\r\n\r\n")
            status = int(head.split()[1]) if head else 0
            if status >= 400 and b"application/json" in head:
                check_error(status, json.loads(body))
            return status

        base = BOOKS.encode()
        assert status_of(b"GET " + base + b"/search?q=\xff\xfe HTTP/1.1") in (200, 400)
        assert status_of(b"GET " + base + b"/search?q=%ff%00%c0 HTTP/1.1") in (200, 400)
        assert status_of(b"GET " + base + b"/documents/\xe9 HTTP/1.1") == 404
        assert status_of(b"GET /" + b"a" * 9000 + b" HTTP/1.1") == 414
        assert status_of(b"GET " + base + b"/search?" + b"q=fox&" * 500 + b" HTTP/1.1") in (200, 400)
        assert status_of(b"GET " + base + b"/search?" + b"&&&=&=&%= HTTP/1.1") in (200, 400)
        for name in (b"..", b"%2e%2e", b"a%2fb", b"%2e%2e%2fbooks", b"A", b"-x", b"x" * 65, b"%00", b"b%C3%BC",
                     b"books%00", b".removed-x"):
            assert status_of(b"PUT /collections/" + name + b" HTTP/1.1") in (400, 404, 405, 411), name
            assert status_of(b"GET /collections/" + name + b" HTTP/1.1") in (400, 404), name
            assert status_of(b"DELETE /collections/" + name + b" HTTP/1.1") in (400, 404, 405), name
        for method in (b"PATCH", b"OPTIONS", b"TRACE", b"FOO", b"get", b"CONNECT"):
            assert status_of(method + b" " + base + b" HTTP/1.1") in (200, 204, 400, 403, 405, 501), method
        assert os.listdir(os.path.join(house.folder.data, "collections")) == ["books"]


# ---- Searches

def test_queries():
    """Texts of any kind and length. More than 128 KiB is refused, less is searched."""
    with House() as house:
        words = [f"word{n}x" for n in range(10000)]
        accepted = ["", " ", "\t\n", "\u0000", "a\u0000b", "!!!", "\"", "fox\u202e", "\U0001f98a", "the", "the the the",
                    "\ufffd",
                    "\u0301" * 1000, "a\u0301" * 5000, "fox " * 25000, "x" * 100000, "日本語" * 5000, "ﷺ" * 10000,
                    "İ" * 30000,
                    " ".join(words), " ".join(words[:2000] * 5), "-" * 100000, "*", "a" * 131072, "fox\n" * 1000,
                    "\\" * 1000, "%" * 1000]
        for query in accepted:
            start = time.monotonic()
            found = house.search({"query": query, "policy": "all", "explain": True})
            took = time.monotonic() - start
            assert took < (60 if SANITIZED else 10), f"{query[:20]!r}… ({len(query)}) took {took:.1f} s"
            assert found["total"]["value"] <= 100, found["total"]
        assert house.search({"query": "fox " + " ".join(words)})["hits"]
        for query in ("x" * 131073, "fox " * 50000, "é" * 65537):
            house.refused("POST", f"{BOOKS}/search", {"query": query}, "invalid_request")
        query = "füchse & fox + 100%"
        assert house.client.expect("GET", f"{BOOKS}/search?q={urllib.parse.quote(query)}")["query"] == query


def test_search_requests():
    """Every member of a search with values that it does not take."""
    with House() as house:
        wrong = {
            "query": [7, [], {}, True], "limit": [-1, 1001, 1.5, "ten", 1e30, [], {}, True, -2 ** 63, 2 ** 64],
            "offset": [-1, 10001, "x", 0.1, 2 ** 40], "filter": [7, "x", [], True],
            "facets": [7, "genre", [7], [[]], [{"field": 7}], [{}], [{"field": "genre", "limit": 0}],
                       [{"field": "year", "buckets": 0}], [{"field": "year", "buckets": 65}], ["nothing"], ["title"],
                       [{"field": "genre", "x": 1}], ["genre"] * 100],
            "user": [7, "x" * 257, []], "session": [7, "x" * 257, {}], "context": [7, "x", []], "explain": [1, "true"],
            "policy": [7, "roulette", "x" * 1000], "ranker": ["oracle", 5], "log": ["no", 0],
            "query_id": [7, "x" * 129], "timeout_ms": [0, -5, 60001, "fast", 1e300],
            "fields": [7, "title", [7], [None]], "querry": ["fox"],
            "seed": [-1, "x"],
        }
        for member, values in wrong.items():
            for value in values:
                error = house.refused("POST", f"{BOOKS}/search", {"query": "fox", member: value},
                                      ["invalid_request", "invalid_filter"])
                named = [member, "field", "limit", "buckets"] if member == "facets" else [member]
                assert any(name in error["message"] for name in named), (member, value, error)
        house.refused("POST", f"{BOOKS}/search", {"limit": 1000, "offset": 9001}, "invalid_request")
        for request in ({"limit": 0}, {"limit": 1000, "offset": 9000}, {"offset": 10000, "limit": 0}, {"offset": 100},
                        {"offset": 5000}):
            found = house.search({"query": "fox", "policy": "all", **request})
            assert found["hits"] == [] and found["total"]["value"] == 100, (request, found)
        for parameters in ("limit=-1", "limit=abc", "limit=1e99", "limit=99999999999999999999", "offset=-0.5",
                           "filter={", "facets=[",
                           "q=fox&q=bear", "explain=maybe", "unknown=1", "filter={\"year\":1}}",
                           "limit=10,\"explain\":true"):
            house.refused("GET", f"{BOOKS}/search?{urllib.parse.quote(parameters, safe='=&')}", None,
                          ["invalid_request", "invalid_json", "invalid_filter"])
        house.search({"query": "fox", "context": {f"k{n}": "v" * 100 for n in range(1000)}})
        house.search({"query": "fox", "fields": ["title", "", "x" * 10000, "\u0000"] * 1000})
        for target in ("documents", "log"):
            for parameters in ("limit=0", "limit=-1", "limit=x", "limit=1000000000000", "after=-1", "after=x",
                               "after=99999999999999999999"):
                house.refused("GET", f"{BOOKS}/{target}?{parameters}", None, "invalid_request")
            assert house.client.expect("GET", f"{BOOKS}/{target}?after=9223372036854775806") == []


def nested(levels, inner):
    text = json.dumps(inner)
    for level in range(levels):
        text = '{"not": %s}' % text if level % 2 else '{"all": [%s]}' % text
    return text


def test_filters():
    with House() as house:
        wrong = [
            {"nothing": 1}, {"": 1}, {"\u0001": 1}, {"year": "1950"}, {"year": True}, {"year": None},
            {"year": {"gt": "x"}},
            {"year": {"gt": None}}, {"year": {"above": 5}}, {"year": {"gt": {}}}, {"year": [[]]}, {"year": [1, "x"]},
            {"genre": {}},
            {"genre": {"gt": 1}}, {"genre": [[]]}, {"genre": [None]}, {"genre": None}, {"title": "fox"},
            {"title": {"gt": 1}},
            {"vector": [1, 2, 3]}, {"vector": {"exists": True}}, {"released": "soon"},
            {"released": {"lt": "2020-13-01"}},
            {"released": {"gte": "999999-12-31"}}, {"released": {"gt": 1e300}}, {"genre": {"exists": "yes"}},
            {"genre": {"exists": 1}},
            {"all": {}}, {"all": 7}, {"any": "x"}, {"any": [7]}, {"all": [[]]}, {"not": []}, {"not": 7}, {"not": None},
            {"any": [{"year": n} for n in range(5000)]}, {"year": list(range(5000))}, {"all": [{}] * 5000},
        ]
        for f in wrong:
            house.refused("POST", f"{BOOKS}/search", {"filter": f}, "invalid_filter")
        house.refused("POST", f"{BOOKS}/search", '{"filter": %s}' % nested(60, {"year": 1950}), "invalid_json")
        right = [({"any": []}, 0), ({"all": []}, 100), ({"not": {}}, 0), ({"year": {}}, 100), ({"year": []}, 0),
                 ({"genre": []}, 0),
                 ({"year": {"gt": 1950, "lt": 1950}}, 0), ({"year": {"gte": 1950, "lte": 1950}}, 1),
                 ({"year": {"gt": 1e308}}, 0),
                 ({"year": {"gte": -1e308}}, 100), ({"genre": ["red"] * 50000}, 50), ({"genre": "x" * 1000000}, 0),
                 ({"genre": [f"g{n}" for n in range(100000)] + ["RED"]}, 50), ({"title": {"exists": True}}, 100),
                 ({"about": {"exists": False}}, 100), ({"released": {"gte": "1950", "lt": "1951"}}, 1),
                 ({"released": {"gte": -1e13}}, 100),
                 ({"genre": "\u0000"}, 0), ({"genre": 7}, 0), ({"genre": True}, 0), ({"author": "nobody"}, 0),
                 ({"year": -0.0}, 0)]
        for f, count in right:
            found = house.search({"filter": f, "limit": 0})
            assert found["total"]["value"] == count, (str(f)[:100], found["total"])
        request = '{"limit": 0, "filter": %s}' % nested(20, {"year": 1950})
        found = house.client.expect("POST", f"{BOOKS}/search", request)
        assert found["total"]["value"] == 1, found["total"]
        facets = [{"field": "year", "buckets": 64}, {"field": "genre", "limit": 1000}, "type",
                  {"field": "released", "buckets": 1}, "author"]
        assert house.search({"query": "fox", "facets": facets})["facets"]["genre"][0]["count"] == 50
        assert house.search({"query": "nosuchword", "facets": facets})["facets"]["year"]["count"] == 0


# ---- Events

def test_events():
    """Each event that is wrong is refused with its reason; the good ones of the same body count."""
    with House() as house:
        shown = house.search({"query": "fox", "policy": "all", "limit": 1000})
        query_id, hits = shown["query_id"], [hit["id"] for hit in shown["hits"]]
        good = an_event(query_id, hits[0])
        wrong = [7, None, "x", [], {}, {"query_id": query_id}, {"query_id": query_id, "action_name": "click"}]
        wrong += [{**good, "query_id": q} for q in (7, None, "", "no such", [], {}, "x" * 129, "\u0000", True)]
        wrong += [{**good, "action_name": a} for a in ("", "stare", 7, None, [], "x" * 64, "\u0000", "click ")]
        objects = [{"object_id": name} for name in ([], "", "no such", "x" * 513, "\u0000")]
        attributes = [7, None, [], "x", {}, *({"object": o} for o in (7, {}, *objects))]
        wrong += [{**good, "event_attributes": a} for a in attributes]
        stamps = ["", "yesterday", [], {}, True, 1e300, -1e14, 0, "2020-13-01", "999999-12-31T00:00:00Z",
                  "-290000-01-01", "1970-01-01", "2999-01-01", "2020-01-01T25:00:00Z", "x" * 100]
        wrong += [{**good, "timestamp": stamp} for stamp in stamps]
        wrong += [{**good, "client_id": "x" * 257}, {**good, "session_id": "x" * 257}, {**good, "client_id": []},
                  {**good, "event_attributes": {**good["event_attributes"], "event_id": "x" * 257}},
                  {**good, "event_id": {}}]
        for event in wrong:
            status, answer = house.client.request("POST", f"{BOOKS}/events", [event])
            refused = answer["rejected"][0]
            assert status in (400, 404) and answer["accepted"] == 0 and refused["index"] == 0, (event, answer)
            assert refused["code"] in ("invalid_event", "query_not_found") and refused["message"], (event, refused)
        events = [e for pair in zip(wrong, [{**good, "event_id": f"g{n}"} for n in range(len(wrong))]) for e in pair]
        answer = house.client.expect("POST", f"{BOOKS}/events", events)
        assert answer["accepted"] == len(wrong), answer
        assert [r["index"] for r in answer["rejected"]] == list(range(0, len(events), 2)), answer
        answer = house.client.expect("POST", f"{BOOKS}/events", [good | {"event_id": "twice"}] * 3)
        assert (answer["accepted"], answer["duplicates"]) == (1, 2), answer
        for body in ("", " ", "\n", "[]"):
            house.refused("POST", f"{BOOKS}/events", body, "invalid_event")
        answer = house.client.expect("POST", f"{BOOKS}/events", f"{json.dumps(good)}\n{{\n{json.dumps(good)}")
        assert answer["accepted"] == 2 and answer["rejected"][0]["code"] == "invalid_json", answer
        # An id that the caller chose and uses twice: the events belong to the search that came last.
        for query in ("fox", "number"):
            assert house.search({"query": query, "query_id": "mine", "policy": "all"})["query_id"] == "mine"
        assert house.client.expect("POST", f"{BOOKS}/events", an_event("mine", hits[0]))["accepted"] == 1
        assert len(house.client.expect("GET", f"{BOOKS}/log?limit=100000")) >= len(wrong)


# ---- The command

def test_command_line():
    """Arguments and files that make no sense: an exit status and a sentence."""
    with Folder() as folder:
        def run(*arguments, **more):
            return forage(*arguments, env=ENVIRONMENT, **more)

        def place(name, data):
            return folder.file(name, data)

        run("import", "--data", folder.data, "-c", "books", place("books.ndjson", ndjson(CATALOGUE)), expect=0)
        rng = random.Random(8)
        for name, data in (("empty", b""), ("zeros", bytes(100000)), ("noise", rng.randbytes(300000)),
                           ("long", b"x" * (20 * MIB)),
                           ("cut.gz", gzip.compress(ndjson(CATALOGUE).encode())[:-20]), ("deep", b"[" * 1000000),
                           ("utf16", b"\xff\xfe{\0}\0"),
                           ("bomb", zstd_frame([(0, 2 << 30)])), ("csv.csv", b'id,title\n1,"x')):
            done = run("import", "--data", folder.data, "-c", "trash", place(name, data))
            assert done.status == 0 if name == "empty" else done.status in (1, 3) and done.err, (name, done.err[-500:])
        for path in (folder.path, os.path.join(folder.path, "nothing"), "/dev/null/x"):
            cli_error(run("import", "--data", folder.data, "-c", "books", path), path)
        right = [["fox"], [""], ["x" * 100000], ["x" * 131000], ["\033[2J\033]0;title\007"]]
        wrong = [["x" * 100000, "y" * 100000], ["-n", "-1", "fox"], ["-n", "x", "fox"], ["-n", "99999999999", "fox"],
                 ["--offset", "-5", "fox"], ["--filter", "{", "fox"], ["--filter", "[" * 10000, "fox"],
                 ["--where", "", "fox"], ["--where", "=", "fox"], ["--where", "nothing=1", "fox"],
                 ["--where", "year>x", "fox"], ["--facet", "title", "fox"], ["--policy", "roulette", "fox"],
                 ["--user", "x" * 300, "fox"], ["-c", "../books", "fox"], ["-c", "", "fox"], ["-c", "x" * 5000, "fox"]]
        either = [["\ud800".encode("utf-8", "surrogatepass")], [b"\xff\xfe"]]
        for words in right + wrong + either:
            allowed = (0,) if words in right else (1, 2) if words in wrong else (0, 1, 2)
            done = run("search", "--data", folder.data, "-c", "books", *words)
            assert done.status in allowed, (words[0][:50], done)
            assert done.status == 0 or done.err, words
            assert "\033" not in done.out and "\033" not in done.err, done
        for query_id, name in (("no", "x"), ("", "")):
            done = run("event", "--data", folder.data, "-c", "books", "--query-id", query_id, "--document", name)
            assert done.status in (1, 2) and done.err, done
        for data in ("/dev/null", "/dev/null/x", "/proc/nothing", folder.file("a file", "x")):
            for command in ("search", "import", "serve"):
                words = {"search": ["x"], "import": ["-"], "serve": ["--listen", "127.0.0.1:0"]}[command]
                done = run(command, "--data", data, *words, stdin=b"")
                assert done.status in (1, 2) and done.err, (data, done)
        cli_error(run("search", "--url", "http://127.0.0.1:1", "fox"), "127.0.0.1")
        assert run("check", "--data", folder.data, "-c", "books", expect=0)


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
