"""A server with a few books, for tests that do their worst to it; and what those tests make their requests of."""

import struct

from ordeal import Folder, Server, check_error, ndjson, sanitized

BOOKS = "/collections/books"
NDJSON = "application/x-ndjson"
SCHEMA = {"fields": {"title": {"type": "text", "weight": 3}, "about": {"type": "text"}, "genre": {"type": "keyword"},
                     "year": {"type": "number"}, "released": {"type": "date"}, "author": {"type": "reference"},
                     "vector": {"type": "vector", "dimensions": 3}}}
CATALOGUE = [{"id": f"book:{n}", "type": "book", "title": f"fox number {n}", "genre": ["red", "blue"][n % 2],
              "year": 1900 + n, "released": f"{1900 + n}-05-01", "popularity": n} for n in range(100)]
MIB = 1 << 20
SANITIZED = sanitized()


class House:
    """A server with a few books. At the end the books are still there, the check passes, and memory was bounded."""

    def __init__(self, *arguments, memory=1024):
        self.arguments, self.most = arguments, memory

    def __enter__(self):
        self.folder = Folder().__enter__()
        self.server = Server(self.folder.data, *self.arguments).__enter__()
        self.client = self.server.client()
        try:
            self.client.expect("PUT", BOOKS, SCHEMA, status=201)
            self.post(ndjson(CATALOGUE))
        except BaseException:
            self.server.kill()
            raise
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


def an_event(query_id, name="book:1", **more):
    return {"query_id": query_id, "action_name": "click", "event_attributes": {"object": {"object_id": name}}, **more}


def zstd_frame(pieces):
    """A zstd frame of runs (byte, length) and plain bytes, made by hand: no library of Python's writes zstd."""
    out = bytearray(b"\x28\xb5\x2f\xfd" + bytes([0]) + bytes([7 << 3]))  # a window of 128 KiB
    blocks = []
    for piece in pieces:
        plain = isinstance(piece, bytes)
        length = len(piece) if plain else piece[1]
        for at in range(0, length, 131072):
            size = min(length - at, 131072)
            blocks.append((size, 0, piece[at:at + size]) if plain else (size, 1, bytes([piece[0]])))
    for place, (size, kind, content) in enumerate(blocks):
        out += struct.pack("<I", size << 3 | kind << 1 | (place == len(blocks) - 1))[:3] + content
    return bytes(out)
