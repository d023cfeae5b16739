#!/usr/bin/env python3
"""Input that means harm, or comes from a program with bugs: each gets a clear error or a right answer, nothing is lost, nothing
ends in a crash, and memory stays bounded. Every test ends with a check of the collection and with the server stopped in peace.
"""

import contextlib
import gzip
import http.client
import json
import os
import random
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse
import zlib

from ordeal import (
    NOT_ANSWERED,
    SANITIZERS,
    Client,
    Folder,
    Server,
    check_error,
    cli_error,
    environment,
    forage,
    ndjson,
    run_tests,
    sanitized,
    wait_until,
)

BOOKS = "/collections/books"
NDJSON = "application/x-ndjson"
SCHEMA = {
    "fields": {
        "title": {"type": "text", "weight": 3},
        "about": {"type": "text"},
        "genre": {"type": "keyword"},
        "year": {"type": "number"},
        "released": {"type": "date"},
        "author": {"type": "reference"},
        "vector": {"type": "vector", "dimensions": 3},
    }
}
CATALOGUE = [
    {
        "id": f"book:{n}",
        "type": "book",
        "title": f"fox number {n}",
        "genre": ["red", "blue"][n % 2],
        "year": 1900 + n,
        "released": f"{1900 + n}-05-01",
        "popularity": n,
    }
    for n in range(100)
]
MIB = 1 << 20
SANITIZED = sanitized()
ENVIRONMENT = environment(**SANITIZERS)


class House:
    """A server with a few books. At the end the books are still there, the check passes, and memory was bounded."""

    def __init__(self, *arguments, memory=1024):
        self.arguments, self.most = arguments, memory

    def __enter__(self):
        self.folder = Folder().__enter__()
        self.server = Server(self.folder.data, *self.arguments).__enter__()
        self.client = self.server.client()
        self.client.expect("PUT", BOOKS, SCHEMA, status=201)
        self.client.expect("POST", f"{BOOKS}/documents", ndjson(CATALOGUE), content_type=NDJSON)
        return self

    def __exit__(self, *exception):
        try:
            if exception[0] is None:
                self.inspect()
            self.client.close()
        finally:
            self.server.__exit__(*exception)
            self.folder.__exit__()

    def inspect(self):
        self.server.alive()
        found = self.search({"query": "fox", "filter": {"year": {"lt": 2000}, "type": "book"}, "policy": "all"})
        assert found["total"] == {"value": 100, "relation": "exact"}, found["total"]
        for c in self.client.expect("GET", "/collections")["collections"]:
            answer = self.client.expect("POST", f"/collections/{c['name']}/check")
            assert answer == {"ok": True, "problems": []}, (c, answer)
        peak = self.server.memory("VmHWM")
        assert SANITIZED or peak < self.most, f"{peak} MiB were resident at most, more than {self.most}"

    def refused(self, method, target, body, codes=None, **more):
        return check_error(*self.client.request(method, target, body, **more), codes)

    def search(self, request):
        return self.client.expect("POST", f"{BOOKS}/search", request)

    def post(self, body, content_type=NDJSON, target=f"{BOOKS}/documents"):
        return self.client.expect("POST", target, body, content_type=content_type)

    def reopened(self):
        """Stops the server and starts another one on the same folder."""
        self.client.close()
        self.server.__exit__(None)
        self.server = Server(self.folder.data, *self.arguments).__enter__()
        self.client = self.server.client()


# ---- JSON

BROKEN_JSON = [
    b"{",
    b"[",
    b"}",
    b"{}{}",
    b"{} x",
    b"nul",
    b'{"query": }',
    b"{query: 1}",
    b"{'query': 1}",
    b'{"query": "x",}',
    b"[1,]",
    b'"',
    b'"\\',
    b'"\\u12"',
    b'{"query": "\\x"}',
    b"// comment\n{}",
    b"\xff\xfe{\x00}\x00",
    b"\x00",
    b'{"query": "a\nb"}',
    b'{"query": NaN}',
    b'{"limit": Infinity}',
    b'{"limit": -Infinity}',
    b'{"limit": 0x10}',
    b'{"limit": 01}',
    b'{"limit": +1}',
    b'{"limit": .5}',
    b'{"limit": 1e400}',
    b'{"limit": -1e400}',
    b'{"limit": 1' + b"0" * 400 + b"}",
    b'{"limit": ' + b"9" * MIB + b"}",
    b"[" * 100000,
    b'{"a":' * 100000,
    b"[" * 65 + b"]" * 65,
    b'{"filter":' + b"[" * 1000,
    b'{"query": "a", "query": "b"}',
    b'{"query": "\xff"}',
    b'{"query": "\xc0\xaf"}',
    b'{"query": "\xed\xa0\x80"}',
    b'{"query": "\xf5\x80\x80\x80"}',
    b'{"query": "\xe2\x82"}',
    b'{"\xff": 1}',
    b'{"query": "\\ud800"}',
    b'{"query": "\\udc00\\ud800"}',
    b'{"query": "\\ud800x"}',
    b'{"que\\u0000ry": 1}',
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
        for body in ("null", "[]", "7", '"fox"', "true", "[{}]"):
            for target in (f"{BOOKS}/search", f"{BOOKS}/evaluate"):
                house.refused("POST", target, body, "invalid_request")
            status, answer = house.client.request("POST", f"{BOOKS}/events", body)
            assert status == 400 and ("error" in answer or answer["rejected"][0]["code"] == "invalid_event"), answer
        for schema in (
            "[1]",
            "7",
            '"x"',
            {"fields": 7},
            {"fields": {"": {"type": "text"}}},
            {"fields": {"a\tb": {"type": "text"}}},
            {"fields": {"x" * 129: {"type": "text"}}},
            {"fields": {"a": "text"}},
            {"fields": {"a": {"type": "blob"}}},
            {"fields": {"a": {"type": ["text"]}}},
            {"fields": {"a": {"type": "text", "weight": -1}}},
            {"fields": {"a": {"type": "text", "weight": 1e300}}},
            {"fields": {"a": {"type": "text", "size": 1}}},
            {"fields": {"a": {"type": "vector"}}},
            {"fields": {"a": {"type": "vector", "dimensions": 1e9}}},
            {"fields": {"title": {"type": "keyword"}}},
            {"fields": {"popularity": {"type": "text"}}},
            {"fields": {f"f{n}": {"type": "text"} for n in range(70)}},
            {"language": "klingon"},
            {"language": 5},
            {"rewards": {"click": 2}},
            {"rewards": {"click": "much"}},
            {"rewards": []},
            {"rewards": {"": 1}},
            {"rewards": {f"r{n}": 1 for n in range(1000)}},
            {"rewards": {"x" * 100: 1}},
            {"policy": "roulette"},
            {"ranker": "oracle"},
            {"id": ""},
            {"id": 7},
            {"typ": "x"},
            {"inferred": "perhaps"},
        ):
            house.refused("PUT", BOOKS, schema, "invalid_schema")
        schema = house.client.expect("GET", BOOKS)["schema"]
        assert list(schema["fields"])[:7] == list(SCHEMA["fields"]), schema


# ---- Documents


def test_bad_documents():
    """Each bad line is named and costs only itself."""
    bad = [
        (b"{", "line"),
        (b"[1]", "object"),
        (b"7", "object"),
        (b"null", "object"),
        (b"{}", "no id"),
        (b'{"id": null}', "no id"),
        (b'{"id": ""}', "1 to 500"),
        (b'{"id": []}', "an id"),
        (b'{"id": {}}', "an id"),
        (b'{"id": 1.5}', "an id"),
        (b'{"id": 1e400}', "number"),
        (b'{"id": 1e2}', "an id"),
        (b'{"id": true}', "an id"),
        (b'{"id": "a\\u0000b"}', "control"),
        (b'{"id": "a\\nb"}', "control"),
        (b'{"id": "\\u007f"}', "control"),
        (b'{"id": "' + b"x" * 501 + b'"}', "500"),
        (b'{"id": "' + "é".encode() * 251 + b'"}', "500"),
        (b'{"id": "x", "id": "y"}', "twice"),
        (b'{"id": "x", "year": "x"}', "year"),
        (b'{"id": "x", "year": [1]}', "year"),
        (b'{"id": "x", "year": {}}', "year"),
        (b'{"id": "x", "year": "nan"}', "year"),
        (b'{"id": "x", "year": "inf"}', "year"),
        (b'{"id": "x", "year": "1e999"}', "year"),
        (b'{"id": "x", "year": NaN}', "byte"),
        (b'{"id": "x", "year": true}', "year"),
        (b'{"id": "x", "released": "soon"}', "released"),
        (b'{"id": "x", "released": "2020-02-30"}', "released"),
        (b'{"id": "x", "released": 1e300}', "released"),
        (b'{"id": "x", "released": "999999-01-01"}', "released"),
        (b'{"id": "x", "title": {}}', "title"),
        (b'{"id": "x", "title": [["a"]]}', "title"),
        (b'{"id": "x", "genre": [{}]}', "genre"),
        (b'{"id": "x", "author": {}}', "author"),
        (b'{"id": "x", "vector": [1, 2]}', "vector"),
        (b'{"id": "x", "vector": [1, 2, "3"]}', "vector"),
        (b'{"id": "x", "vector": [1, 2, 1e300]}', "vector"),
        (b'{"id": "x", "vector": "123"}', "vector"),
        (b'{"id": "x", "a": ' + b"[" * 70 + b"]" * 70 + b"}", "deep"),
        (b'{"id": "\xff"}', "UTF-8"),
        (b'{"id": "x", "title": "\xed\xb0\x80"}', "UTF-8"),
        (b'{"id": "x", "title": "\\ud800"}', "surrogate"),
        (b'{"id": "x", "t\\u0000": 1}', "NUL"),
        (b'{"id": "x", "title": "a\tb"}', "byte"),
        (b"\x00\x01\x02", "byte"),
        (b'{"id": "x", "n": ' + b"1" * 1000 + b"}", "number"),
    ]
    good = {
        "id": "good",
        "title": "a good one",
        "more": {"deep": [[[1.5e300, -0.0, 12345678901234567890, None, {"ü": "\u0000"}]]]},
    }
    with House() as house:
        for line, word in bad:
            answer = house.post(b'{"id": "first"}\n' + line + b"\n" + json.dumps(good).encode())
            assert answer["failed"] == 1 and answer["indexed"] == 2 and answer["received"] == 3, (line[:80], answer)
            error = answer["errors"][0]
            assert error["line"] == 2 and error["message"].startswith("line 2") and word in error["message"], (
                line[:80],
                error,
            )
            assert "\n" not in error["message"] and len(error["message"]) < 1024, error
        assert house.client.expect("GET", f"{BOOKS}/documents/good") == good
        answer = house.post(b"".join(line + b"\n" for line, _ in bad if b"\n" not in line and line != b"{") * 20)
        assert (
            len(answer["errors"]) == 100 and answer["indexed"] == 0 and answer["failed"] == 20 * (len(bad) - 1)
        ), answer
        for body in (b"", b"\n\n\n", b"  ", b"[]"):
            assert house.post(body, "application/json")["received"] == 0
        assert (
            house.post(b"[" + b",".join([b'{"id": "q"}', b"7", b'{"id": "r"}']) + b"]", "application/json")["indexed"]
            == 2
        )
        for body in (
            b'[{"id": "q"}',
            b'[{"id": "q"},]',
            b'[{"id": "q"}}',
            b'[{"id": "q"} {"id": "r"}]',
            b'[{"id": "q"}] x',
        ):
            error = house.refused("POST", f"{BOOKS}/documents", body, "invalid_json")
            assert "line 1" in error["message"], error


def test_odd_documents_come_back():
    """What was taken, with whatever members, can be read again after a restart: an inferred schema takes anything."""
    odd = [
        {"id": 1, "popularity": "high", "type": 7},
        {"id": 2, "popularity": [1, 2], "type": ["a", "b"]},
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
                assert (
                    house.client.expect("GET", f"/collections/odd{place}/search?q=&policy=all")["total"]["value"] == 1
                )
            status, answer = house.client.request(
                "PUT", f"/collections/odd{place}", {"fields": {"extra": {"type": "number"}}}
            )
            assert status == 200 or check_error(status, answer, "invalid_schema"), answer


# ---- Ids

ODD_IDS = [
    " ",
    "a b",
    "a/b",
    "/",
    "//",
    "..",
    ".",
    "../../etc/passwd",
    "%",
    "%2F",
    "%%",
    "a%20b",
    "+",
    "a+b",
    "?",
    "a?b=c&d",
    "#",
    "a#b",
    "&",
    ";",
    '"',
    "'",
    "\\",
    "\\n",
    "<script>",
    "{id}",
    "*",
    "null",
    "0",
    "-1",
    "00",
    "1.0",
    "1e5",
    "é",
    "e\u0301",
    "\u00c5",
    "\u212b",
    "\u202eabc\u202c",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\ufffd",
    "\uffff",
    "\U0010ffff",
    "\U0001f469\u200d\U0001f4bb",
    "שלום",
    "مرحبا",
    "日本語",
    "\u0300\u0301\u0302",
    "\u2028",
    "\u2029",
    "\u0085",
    "\u00a0",
    "\u00ad",
    "ß",
    "İ",
    "x" * 500,
    "é" * 250,
    "\U0001f600" * 125,
    "book:0 ",
    "BOOK:0",
]


def test_ids():
    """Any id of 1 to 500 bytes without control characters, byte by byte, through import, search, event, reading and removing."""
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
            assert [hit["id"] for hit in found["hits"]] == [i], (i, found["hits"])
            event = {
                "query_id": found["query_id"],
                "action_name": "click",
                "event_attributes": {"object": {"object_id": i}},
            }
            assert house.client.expect("POST", f"{BOOKS}/events", event)["accepted"] == 1
        exported = {d["id"] for d in house.client.expect("GET", f"{BOOKS}/documents?limit=1000")}
        assert exported >= set(ids)
        for i in ids:
            target = f"{BOOKS}/documents/{urllib.parse.quote(i, safe='')}"
            assert house.client.expect("DELETE", target) == {"removed": i}
            house.refused("GET", target, None, "document_not_found")
            house.refused("DELETE", target, None, "document_not_found")
        numbers = [0, 7, -5, 2**53 + 1, 2**63 - 1, -(2**63)]
        assert house.post(ndjson({"id": n} for n in numbers))["indexed"] == len(numbers)
        for n in numbers:
            assert house.client.expect("GET", f"{BOOKS}/documents/{n}") == {"id": n}
            assert house.client.expect("DELETE", f"{BOOKS}/documents/{n}")
        for bad in (
            "%",
            "%4",
            "%zz",
            "%ff",
            "%c0%af",
            "%00",
            "a%00b",
            "x" * 501,
            "%ed%a0%80",
            "%0a",
            "no/such",
            "%F0%9F",
        ):
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
        for name in (
            b"..",
            b"%2e%2e",
            b"a%2fb",
            b"%2e%2e%2fbooks",
            b"A",
            b"-x",
            b"x" * 65,
            b"%00",
            b"b%C3%BC",
            b"books%00",
            b".removed-x",
        ):
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
        accepted = [
            "",
            " ",
            "\t\n",
            "\u0000",
            "a\u0000b",
            "!!!",
            '"',
            "fox\u202e",
            "\U0001f98a",
            "the",
            "the the the",
            "\ufffd",
            "\u0301" * 1000,
            "a\u0301" * 5000,
            "fox " * 25000,
            "x" * 100000,
            "日本語" * 5000,
            "ﷺ" * 10000,
            "İ" * 30000,
            " ".join(words),
            " ".join(words[:2000] * 5),
            "-" * 100000,
            "*",
            "a" * 131072,
            "fox\n" * 1000,
            "\\" * 1000,
            "%" * 1000,
        ]
        for query in accepted:
            start = time.monotonic()
            found = house.search({"query": query, "policy": "all", "explain": True})
            took = time.monotonic() - start
            assert took < (60 if SANITIZED else 10), f"{query[:20]!r}… ({len(query)}) took {took:.1f} s"
            assert found["total"]["value"] <= 100, found["total"]
        assert house.search({"query": "fox " + " ".join(words)})["hits"]
        for query in ("x" * 131073, "fox " * 50000, "é" * 65537):
            house.refused("POST", f"{BOOKS}/search", {"query": query}, "invalid_request")
        assert (
            house.client.expect("GET", f"{BOOKS}/search?q=" + urllib.parse.quote("füchse & fox + 100%"))["query"]
            == "füchse & fox + 100%"
        )


def test_search_requests():
    """Every member of a search with values that it does not take."""
    with House() as house:
        wrong = {
            "query": [7, [], {}, True],
            "limit": [-1, 1001, 1.5, "ten", 1e30, [], {}, True, -(2**63), 2**64],
            "offset": [-1, 10001, "x", 0.1, 2**40],
            "filter": [7, "x", [], True],
            "facets": [
                7,
                "genre",
                [7],
                [[]],
                [{"field": 7}],
                [{}],
                [{"field": "genre", "limit": 0}],
                [{"field": "year", "buckets": 0}],
                [{"field": "year", "buckets": 65}],
                ["nothing"],
                ["title"],
                [{"field": "genre", "x": 1}],
                ["genre"] * 100,
            ],
            "user": [7, "x" * 257, []],
            "session": [7, "x" * 257, {}],
            "context": [7, "x", []],
            "explain": [1, "true"],
            "policy": [7, "roulette", "x" * 1000],
            "ranker": ["oracle", 5],
            "log": ["no", 0],
            "query_id": [7, "x" * 129],
            "timeout_ms": [0, -5, 60001, "fast", 1e300],
            "fields": [7, "title", [7], [None]],
            "querry": ["fox"],
            "seed": [-1, "x"],
        }
        for member, values in wrong.items():
            for value in values:
                error = house.refused(
                    "POST", f"{BOOKS}/search", {"query": "fox", member: value}, ["invalid_request", "invalid_filter"]
                )
                named = [
                    member,
                    *(
                        value[0]
                        if member == "facets" and isinstance(value, list) and isinstance(value[0], dict)
                        else ()
                    ),
                ]
                assert (
                    any(f'"{name}"' in error["message"] for name in named)
                    or member in error["message"]
                    or "field" in error["message"]
                ), (member, value, error)
        house.refused("POST", f"{BOOKS}/search", {"limit": 1000, "offset": 9001}, "invalid_request")
        for request in (
            {"limit": 0},
            {"limit": 1000, "offset": 9000},
            {"offset": 10000, "limit": 0},
            {"offset": 100},
            {"offset": 5000},
        ):
            found = house.search({"query": "fox", "policy": "all", **request})
            assert found["hits"] == [] and found["total"]["value"] == 100, (request, found)
        for parameters in (
            "limit=-1",
            "limit=abc",
            "limit=1e99",
            "limit=99999999999999999999",
            "offset=-0.5",
            "filter={",
            "facets=[",
            "q=fox&q=bear",
            "explain=maybe",
            "unknown=1",
            'filter={"year":1}}',
            'limit=10,"explain":true',
        ):
            house.refused(
                "GET",
                f"{BOOKS}/search?{urllib.parse.quote(parameters, safe='=&')}",
                None,
                ["invalid_request", "invalid_json", "invalid_filter"],
            )
        house.search({"query": "fox", "context": {f"k{n}": "v" * 100 for n in range(1000)}})
        house.search({"query": "fox", "fields": ["title", "", "x" * 10000, "\u0000"] * 1000})
        for target in ("documents", "log"):
            for parameters in (
                "limit=0",
                "limit=-1",
                "limit=x",
                "limit=1000000000000",
                "after=-1",
                "after=x",
                "after=99999999999999999999",
            ):
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
            {"nothing": 1},
            {"": 1},
            {"\u0001": 1},
            {"year": "1950"},
            {"year": True},
            {"year": None},
            {"year": {"gt": "x"}},
            {"year": {"gt": None}},
            {"year": {"above": 5}},
            {"year": {"gt": {}}},
            {"year": [[]]},
            {"year": [1, "x"]},
            {"genre": {}},
            {"genre": {"gt": 1}},
            {"genre": [[]]},
            {"genre": [None]},
            {"genre": None},
            {"title": "fox"},
            {"title": {"gt": 1}},
            {"vector": [1, 2, 3]},
            {"vector": {"exists": True}},
            {"released": "soon"},
            {"released": {"lt": "2020-13-01"}},
            {"released": {"gte": "999999-12-31"}},
            {"released": {"gt": 1e300}},
            {"genre": {"exists": "yes"}},
            {"genre": {"exists": 1}},
            {"all": {}},
            {"all": 7},
            {"any": "x"},
            {"any": [7]},
            {"all": [[]]},
            {"not": []},
            {"not": 7},
            {"not": None},
            {"any": [{"year": n} for n in range(5000)]},
            {"year": list(range(5000))},
            {"all": [{}] * 5000},
        ]
        for f in wrong:
            house.refused("POST", f"{BOOKS}/search", {"filter": f}, "invalid_filter")
        house.refused("POST", f"{BOOKS}/search", '{"filter": %s}' % nested(60, {"year": 1950}), "invalid_json")
        right = [
            ({"any": []}, 0),
            ({"all": []}, 100),
            ({"not": {}}, 0),
            ({"year": {}}, 100),
            ({"year": []}, 0),
            ({"genre": []}, 0),
            ({"year": {"gt": 1950, "lt": 1950}}, 0),
            ({"year": {"gte": 1950, "lte": 1950}}, 1),
            ({"year": {"gt": 1e308}}, 0),
            ({"year": {"gte": -1e308}}, 100),
            ({"genre": ["red"] * 50000}, 50),
            ({"genre": "x" * 1000000}, 0),
            ({"genre": [f"g{n}" for n in range(100000)] + ["RED"]}, 50),
            ({"title": {"exists": True}}, 100),
            ({"about": {"exists": False}}, 100),
            ({"released": {"gte": "1950", "lt": "1951"}}, 1),
            ({"released": {"gte": -1e13}}, 100),
            ({"genre": "\u0000"}, 0),
            ({"genre": 7}, 0),
            ({"genre": True}, 0),
            ({"author": "nobody"}, 0),
            ({"year": -0.0}, 0),
        ]
        for f, count in right:
            found = house.search({"filter": f, "limit": 0})
            assert found["total"]["value"] == count, (str(f)[:100], found["total"])
        found = house.client.expect(
            "POST", f"{BOOKS}/search", '{"limit": 0, "filter": %s}' % nested(20, {"year": 1950})
        )
        assert found["total"]["value"] == 1, found["total"]
        facets = [
            {"field": "year", "buckets": 64},
            {"field": "genre", "limit": 1000},
            "type",
            {"field": "released", "buckets": 1},
            "author",
        ]
        assert house.search({"query": "fox", "facets": facets})["facets"]["genre"][0]["count"] == 50
        assert house.search({"query": "nosuchword", "facets": facets})["facets"]["year"]["count"] == 0


# ---- Events


def an_event(query_id, name="book:1", **more):
    return {"query_id": query_id, "action_name": "click", "event_attributes": {"object": {"object_id": name}}, **more}


def test_events():
    """Each event that is wrong is refused with its reason; the good ones of the same body count."""
    with House() as house:
        shown = house.search({"query": "fox", "policy": "all", "limit": 1000})
        query_id, hits = shown["query_id"], [hit["id"] for hit in shown["hits"]]
        good = an_event(query_id, hits[0])
        wrong = [7, None, "x", [], {}, {"query_id": query_id}, {"query_id": query_id, "action_name": "click"}]
        wrong += [{**good, "query_id": q} for q in (7, None, "", "no such", [], {}, "x" * 129, "\u0000", True)]
        wrong += [{**good, "action_name": a} for a in ("", "stare", 7, None, [], "x" * 64, "\u0000", "click ")]
        wrong += [
            {**good, "event_attributes": a}
            for a in (
                7,
                None,
                [],
                "x",
                {},
                {"object": 7},
                {"object": {}},
                {"object": {"object_id": []}},
                {"object": {"object_id": ""}},
                {"object": {"object_id": "no such"}},
                {"object": {"object_id": "x" * 513}},
                {"object": {"object_id": "\u0000"}},
            )
        ]
        wrong += [
            {**good, "timestamp": t}
            for t in (
                "",
                "yesterday",
                [],
                {},
                True,
                1e300,
                -1e14,
                0,
                "2020-13-01",
                "999999-12-31T00:00:00Z",
                "-290000-01-01",
                "1970-01-01",
                "2999-01-01",
                "2020-01-01T25:00:00Z",
                "x" * 100,
            )
        ]
        wrong += [
            {**good, "client_id": "x" * 257},
            {**good, "session_id": "x" * 257},
            {**good, "client_id": []},
            {**good, "event_attributes": {**good["event_attributes"], "event_id": "x" * 257}},
            {**good, "event_id": {}},
        ]
        for event in wrong:
            status, answer = house.client.request("POST", f"{BOOKS}/events", [event])
            refused = answer["rejected"][0]
            assert status in (400, 404) and answer["accepted"] == 0 and refused["index"] == 0, (event, answer)
            assert refused["code"] in ("invalid_event", "query_not_found") and refused["message"], (event, refused)
        events = [e for pair in zip(wrong, [{**good, "event_id": f"g{n}"} for n in range(len(wrong))]) for e in pair]
        answer = house.client.expect("POST", f"{BOOKS}/events", events)
        assert answer["accepted"] == len(wrong) and [r["index"] for r in answer["rejected"]] == list(
            range(0, len(events), 2)
        ), answer
        answer = house.client.expect("POST", f"{BOOKS}/events", [good | {"event_id": "twice"}] * 3)
        assert (answer["accepted"], answer["duplicates"]) == (1, 2), answer
        for body in ("", " ", "\n", "[]"):
            house.refused("POST", f"{BOOKS}/events", body, "invalid_event")
        house.refused("POST", f"{BOOKS}/events", json.dumps(good) + "\n{\n" + json.dumps(good), "invalid_json")
        # An id that the caller chose and uses twice: the events belong to the search that came last.
        for query in ("fox", "number"):
            assert house.search({"query": query, "query_id": "mine", "policy": "all"})["query_id"] == "mine"
        assert house.client.expect("POST", f"{BOOKS}/events", an_event("mine", hits[0]))["accepted"] == 1
        assert len(house.client.expect("GET", f"{BOOKS}/log?limit=100000")) >= len(wrong)


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
        for body in (
            "{}\n" * 100001,
            "{}\n" * (20 * MIB),
            "[" + "{}," * 100000 + "{}]",
            "[" + "0," * (20 * MIB) + "0]",
        ):
            house.refused("POST", f"{BOOKS}/events", body, ["too_large", "invalid_json"])
        assert house.client.expect("GET", f"{BOOKS}/stats")["events"] == 50000
        for n in range(100):
            house.client.expect("DELETE", f"{BOOKS}/documents/more{n}")


# ---- Bodies


def zstd_frame(pieces):
    """A zstd frame of runs (byte, length) and plain bytes, made by hand: no library of Python's writes zstd."""
    out = bytearray(b"\x28\xb5\x2f\xfd" + bytes([0]) + bytes([7 << 3]))  # a window of 128 KiB
    blocks = []
    for piece in pieces:
        data = piece if isinstance(piece, bytes) else None
        byte, left = (None, len(data)) if data is not None else piece
        while left:
            size = min(left, 131072)
            blocks.append(
                (size, 1, bytes([byte]))
                if data is None
                else (size, 0, data[len(data) - left : len(data) - left + size])
            )
            left -= size
    for place, (size, kind, content) in enumerate(blocks or [(0, 0, b"")]):
        last = place == max(len(blocks) - 1, 0)
        out += struct.pack("<I", size << 3 | kind << 1 | last)[:3] + content
    return bytes(out)


def test_compressed_bodies():
    """Whole ones are read, broken ones are told so, and bombs do not go off."""
    with House() as house:
        plain = ndjson({"id": f"z{n}", "title": f"compressed {n}"} for n in range(3000)).encode()
        for whole in (
            gzip.compress(plain),
            zstd_frame([plain]),
            gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]),
        ):
            assert house.post(whole)["indexed"] == 3000
            for body in (
                whole[:-1],
                whole[: len(whole) // 2],
                whole[:20],
                whole[:8],
                whole + b"rest",
                whole[:200] + bytes([whole[200] ^ 255]) + whole[201:],
            ):
                status, answer = house.client.request("POST", f"{BOOKS}/documents", body, NDJSON)
                if status != 200:  # a changed byte of a title is no damage that zstd without a checksum could see
                    error = check_error(status, answer, ["invalid_request", "invalid_json", "too_large"])
                    assert "line" in error["message"], error
        gigabytes = 1 if SANITIZED else 10
        squeeze = zlib.compressobj(9, wbits=31)
        zeros = b"".join([squeeze.compress(bytes(MIB)) for _ in range(512)] + [squeeze.flush()])
        bombs = {
            "zeros": zstd_frame([(0, gigabytes << 30)]),
            "empty lines": zstd_frame([(10, gigabytes << 30)]),
            "spaces": zstd_frame([(32, gigabytes << 30)]),
            "brackets": zstd_frame([(ord("["), gigabytes << 30)]),
            "a string": zstd_frame([b'{"id": "', (ord("x"), gigabytes << 30)]),
            "an array": zstd_frame([b'[{"id": 1}', (32, gigabytes << 30)]),
            "gzip": zeros,
            "gzips": zeros * 20,
            "quotes": zstd_frame([b'a,b\n"', (ord('"'), 3 << 30)]),
        }
        for name, bomb in bombs.items():
            start = time.monotonic()
            for kind in (NDJSON, "text/csv") if name in ("zeros", "quotes") else (NDJSON,):
                status, answer = house.client.request("POST", f"{BOOKS}/documents", bomb, kind)
                assert (
                    status == 200
                    and answer["indexed"] == 0
                    or status != 200
                    and check_error(status, answer, ["too_large", "invalid_request", "invalid_json"])
                ), (name, answer)
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
        for target, codes in (
            (f"{BOOKS}/documents", "too_large"),
            (f"{BOOKS}/search", "too_large"),
            (f"{BOOKS}/events", "too_large"),
        ):
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
        assert (
            answer["failed"] == 1 and answer["indexed"] == 1 and "16777216" in answer["errors"][0]["message"]
        ), answer
        for name in ("large", "many%20members", "huge", "tags", "after"):
            house.client.expect("DELETE", f"{BOOKS}/documents/{name}")
        connection = http.client.HTTPConnection("127.0.0.1", house.server.port, timeout=120)
        with contextlib.suppress(*NOT_ANSWERED):  # a body without a length: cut off, or answered, but never taken
            connection.request(
                "POST",
                f"{BOOKS}/documents",
                body=(b" " * MIB for _ in range(100)),
                encode_chunked=True,
                headers={"Transfer-Encoding": "chunked", "Content-Type": NDJSON},
            )
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
        for kind in (
            "application/json",
            "text/html",
            "application/xml",
            "",
            "x",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/x-ndjson; charset=latin1",
            "text/plain",
            "\x7f" * 10,
            "application/" + "x" * 1000,
        ):
            status, answer = house.client.request("POST", f"{BOOKS}/documents", lines, kind)
            assert status == 200 and answer["indexed"] == 2 or check_error(status, answer), (kind, answer)
        for kind, body in (
            ("text/csv", lines),
            ("text/csv", "<xml/>"),
            ("text/tab-separated-values", lines),
            ("application/json", "id,title\n1,x"),
            (NDJSON, "id,title\n1,x"),
            (NDJSON, "<xml></xml>"),
            ("text/html", "<html>"),
            ("application/json", "\x89PNG\r\n"),
        ):
            status, answer = house.client.request("POST", f"{BOOKS}/documents", body, kind)
            assert status == 200 and answer["indexed"] == 0 or check_error(status, answer), (kind, answer)
        for parameters in (
            "format=xml",
            "format=%00",
            "format=" + "x" * 5000,
            "first_line=0",
            "first_line=-1",
            "first_line=x",
            "first_line=99999999999999999999",
        ):
            house.refused("POST", f"{BOOKS}/documents?{parameters}", lines, "invalid_request")
        answer = house.post('{"id": "t1"}\n{', target=f"{BOOKS}/documents?first_line={2 ** 53}")
        assert answer["errors"][0]["line"] == 2**53 + 1, answer


def test_tables():
    """CSV and TSV with broken quotes, rows that are too long or too short, and no sense at all."""
    with House() as house:

        def post(text, kind="text/csv"):
            return house.client.request("POST", "/collections/tables/documents", text, kind)

        for text, indexed, failed in (
            ('id,title\n1,"a ""quoted"" title"\n2,"two\nlines"\n', 2, 0),
            ('id,title\n1,"never closed\n2,x\n', 1, 1),
            ('id,title\n1,"closed"but\n2,x\n', 1, 1),
            ("id,title\n1,a,b,c\n2\n3,x\n", None, None),
            ("id,title\n", 0, 0),
            ("id,id\n1,2\n", None, None),
            (",,\n1,2,3\n", None, None),
            ("\n\n\n", 0, 0),
            ('"', None, None),
            ('"""', None, None),
            ("id;title\n1;x\n", 1, 0),
            ("\ufeffid,title\n1,x\n", 1, 0),
            ("id,title\r\n1,x\r\n", 1, 0),
            ("id,title\r1,x\r", None, None),
            ("id\n" + "x" * 600 + "\n7\n", 1, 1),
            (",".join(f"c{n}" for n in range(100000)) + "\n1\n", None, None),
            ("id,title\n" + '1,"' + '""' * 100000 + '"\n', 1, 0),
            ("id,\u0000\n1,2\n", None, None),
            ("id," + "x" * 100000 + "\n1,2\n", None, None),
        ):
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
            (
                "search",
                json.dumps(
                    {
                        "query": "fox",
                        "filter": {"year": {"gt": 1950}},
                        "facets": ["genre", {"field": "year", "buckets": 5}],
                        "explain": True,
                        "context": {"a": [1, 2]},
                        "user": "u",
                        "limit": 5,
                    }
                ).encode(),
            ),
            ("events", json.dumps(an_event(query_id, timestamp="2026-01-31T12:00:00Z")).encode()),
            ("documents", ndjson(CATALOGUE[:5]).encode()),
            ("documents", gzip.compress(ndjson(CATALOGUE[:50]).encode())),
            ("documents", zstd_frame([ndjson(CATALOGUE[:5]).encode(), (32, 100)])),
            (
                "evaluate",
                json.dumps(
                    {
                        "queries": [{"id": "q1", "query": "fox"}],
                        "judgments": [{"query": "q1", "document": "book:1", "grade": 2}],
                        "metrics": ["ndcg@10", "recall@100"],
                        "depth": 10,
                    }
                ).encode(),
            ),
        ]
        for _ in range(600):
            target, body = rng.choice(bodies)
            changed = bytearray(body)
            for _ in range(rng.choice([1, 1, 2, 8])):
                what, at = rng.randrange(4), rng.randrange(len(changed))
                if what == 0:
                    changed[at] = rng.randrange(256)
                elif what == 1:
                    del changed[at : at + rng.randrange(1, 20)]
                elif what == 2:
                    changed[at:at] = changed[rng.randrange(len(changed)) :][: rng.randrange(1, 50)]
                else:
                    changed[at:at] = rng.choice(
                        [b"\x00", b"\xff", b"1e999", b"[[", b"\\ud800", b"-", b"9" * 30, b'"', b"{}"]
                    )
                changed = changed or bytearray(b"x")
            target = f"{BOOKS}/{target}" if target != "documents" else "/collections/changed/documents"
            status, answer = house.client.request(
                "POST", target, bytes(changed), NDJSON if "documents" in target else "application/json"
            )
            if status != 200 and "rejected" not in answer:
                check_error(status, answer)
        house.reopened()
        house.client.request("GET", "/collections/changed")


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
        at_once(
            client_doing("DELETE", gone, None, missing),
            client_doing("DELETE", gone, None, missing),
            client_doing("POST", f"{gone}/documents", documents, missing),
            client_doing("POST", f"{gone}/documents", documents, missing),
            client_doing("POST", f"{gone}/search", '{"query": "fox"}', missing),
            client_doing("GET", f"{gone}/search?q=fox&explain=true", None, missing),
            client_doing("GET", f"{gone}/stats", None, missing),
            client_doing("POST", f"{gone}/optimize", None, missing),
            client_doing("GET", "/collections", None, []),
            client_doing("GET", f"{gone}/documents", None, missing),
        )
        house.client.request("DELETE", gone)
        house.post(documents, target=f"{gone}/documents")
        assert (
            house.client.expect("POST", f"{gone}/search", {"query": "fox", "policy": "all"})["total"]["value"] == 200
        )
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
                client.expect(
                    "PUT",
                    "/collections/grows",
                    {"fields": {f"f{field}": {"type": ["text", "keyword", "number"][field % 3]}}},
                )
            client.close()
            time.sleep(0.03)

        def importer(prefix):
            client, rng = house.server.client(), random.Random(prefix)

            def work():
                documents = [
                    {"id": f"{prefix}{rng.randrange(3000)}", "title": "growing", **{f"f{n}": n for n in range(1, 40)}}
                    for _ in range(200)
                ]
                assert (
                    client.expect("POST", "/collections/grows/documents", ndjson(documents), content_type=NDJSON)[
                        "failed"
                    ]
                    == 0
                )
                with lock:
                    names.update(d["id"] for d in documents)

            return work

        house.client.expect("PUT", "/collections/grows", {"fields": {"title": {"type": "text"}}}, status=201)

        def searching():
            client = house.server.client()

            def work():
                fields = client.expect("GET", "/collections/grows")["schema"]["fields"]
                numbers = [name for name, f in fields.items() if f["type"] == "number"][-3:]
                words = [name for name, f in fields.items() if f["type"] == "keyword"][-3:]
                client.expect(
                    "POST",
                    "/collections/grows/search",
                    {
                        "query": "growing 7",
                        "policy": "all",
                        "explain": True,
                        "facets": words + [{"field": f, "buckets": 3} for f in numbers],
                        "filter": {
                            "any": [{f: {"gte": 1}} for f in numbers]
                            + [{f: "7"} for f in words]
                            + [{"title": {"exists": True}}]
                        },
                    },
                )

            return work

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

            threads = [
                threading.Thread(
                    target=send, args=(f"{name}/documents", ndjson({"id": n, "x": 5} for n in range(2000)))
                )
            ]
            threads += [
                threading.Thread(target=send, args=(name, {"fields": {"x": {"type": kinds[turn % 5]}}}, "PUT"))
            ]
            for thread in threads if turn % 2 else reversed(threads):
                thread.start()
                time.sleep(0.002 * turn)
            for thread in threads:
                thread.join()
            for status, answer in answers:
                assert status == 200 or check_error(status, answer, "invalid_schema"), answer
            assert house.client.expect("POST", f"{name}/check")["ok"], turn
            status, answer = house.client.request(
                "POST", f"{name}/search", {"filter": {"x": {"exists": True}}, "limit": 0}
            )
            assert status == 200 or check_error(status, answer, "invalid_filter"), answer
            house.client.expect("POST", f"{name}/documents", {"id": "after", "x": "7"})
        house.reopened()


def test_same_ids_from_four():
    """Four clients write the same ids: of each, one whole version is there, found by what it says and by nothing else."""
    with House() as house:

        def importer(who):
            client, turn = house.server.client(), [0]

            def work():
                turn[0] += 1
                word = f"{who}turn{turn[0]}"
                documents = ndjson(
                    {"id": f"s{n}", "title": word, "genre": word, "about": f"{word} {word}"} for n in range(300)
                )
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
        for size, sent in (
            (len(body), len(body) // 2),
            (10**18, 100),
            (len(body), 0),
            (5, len(body)),
            (-1, 10),
            (64 * MIB, 0),
        ):
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", house.server.port)) as s:
                    s.sendall(head.encode() + str(size).encode() + b"\r\n\r\n" + body[:sent])
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", house.server.port)) as s:
                s.sendall(f"GET {BOOKS}/documents?limit=100000 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        in_flight = re.compile(rb"^forage_http_in_flight (\d+)", re.M)
        wait_until(
            lambda: in_flight.search(house.server.raw(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")).group(1)
            == b"1",
            "the requests of clients that left to end",
            seconds=20,
        )


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
        for name, data in (
            ("empty", b""),
            ("zeros", bytes(100000)),
            ("noise", rng.randbytes(300000)),
            ("long", b"x" * (20 * MIB)),
            ("cut.gz", gzip.compress(ndjson(CATALOGUE).encode())[:-20]),
            ("deep", b"[" * 1000000),
            ("utf16", b"\xff\xfe{\0}\0"),
            ("bomb", zstd_frame([(0, 2 << 30)])),
            ("csv.csv", b'id,title\n1,"x'),
        ):
            done = run("import", "--data", folder.data, "-c", "trash", place(name, data))
            assert done.status in (0, 1, 3) if name == "empty" else done.status in (1, 3), (
                name,
                done.status,
                done.err[-500:],
            )
            assert name == "empty" or done.err, name
        for path in (folder.path, os.path.join(folder.path, "nothing"), "/dev/null/x"):
            cli_error(run("import", "--data", folder.data, "-c", "books", path), path)
        for words, status in (
            (["fox"], 0),
            ([""], 0),
            (["\ud800".encode("utf-8", "surrogatepass")], (0, 1, 2)),
            ([b"\xff\xfe"], (0, 1, 2)),
            (["x" * 100000], 0),
            (["x" * 131000], 0),
            (["x" * 100000, "y" * 100000], 1),
            (["-n", "-1", "fox"], 2),
            (["-n", "x", "fox"], 2),
            (["-n", "99999999999", "fox"], 2),
            (["--offset", "-5", "fox"], 2),
            (["--filter", "{", "fox"], (1, 2)),
            (["--filter", "[" * 10000, "fox"], (1, 2)),
            (["--where", "", "fox"], (1, 2)),
            (["--where", "=", "fox"], (1, 2)),
            (["--where", "nothing=1", "fox"], (1, 2)),
            (["--where", "year>x", "fox"], (1, 2)),
            (["--facet", "title", "fox"], (1, 2)),
            (["--policy", "roulette", "fox"], (1, 2)),
            (["--user", "x" * 300, "fox"], (1, 2)),
            (["-c", "../books", "fox"], (1, 2)),
            (["-c", "", "fox"], (1, 2)),
            (["-c", "x" * 5000, "fox"], (1, 2)),
            (["\033[2J\033]0;title\007"], 0),
        ):
            done = run("search", "--data", folder.data, "-c", "books", *words)
            allowed = status if isinstance(status, tuple) else (status,)
            assert done.status in allowed, (words[0][:50], done)
            assert done.status == 0 or done.err, words
            assert "\033" not in done.out and "\033" not in done.err, done
        for arguments in (
            ["event", "--query-id", "no", "--document", "x"],
            ["event", "--query-id", "", "--document", ""],
        ):
            assert run(arguments[0], "--data", folder.data, "-c", "books", *arguments[1:]).status in (1, 2)
        for data in ("/dev/null", "/dev/null/x", "/proc/nothing", folder.file("a file", "x")):
            for command in ("search", "import", "serve"):
                words = {"search": ["x"], "import": ["-"], "serve": ["--listen", "127.0.0.1:0"]}[command]
                done = run(command, "--data", data, *words, stdin=b"")
                assert done.status in (1, 2) and done.err, (data, done)
        cli_error(run("search", "--url", "http://127.0.0.1:1", "fox"), "127.0.0.1")
        assert run("check", "--data", folder.data, "-c", "books", expect=0)


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
