#!/usr/bin/env python3
"""The HTTP server as real processes: routes, limits, security, and how it stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from forage_process import BOOKS, COMMAND, SOURCE, Folder, Server, environment, forage, ndjson, run_tests

NDJSON = {"Content-Type": "application/x-ndjson"}


def many(n, prefix="d"):
    return ndjson({"id": f"{prefix}{i}", "title": f"number {i} of the {prefix} series", "year": i} for i in range(n))


# ---- The API over HTTP

def test_life_of_a_collection():
    with Folder() as folder, Server(folder.data) as server:
        assert server.request("PUT", "/collections/books", {"fields": {"title": {"type": "text"}}}).status == 201
        assert server.request("PUT", "/collections/books").status == 200
        server.load()
        found = server.request("POST", "/collections/books/search", {"query": "hunger games", "policy": "all"})
        assert found.status == 200 and found.headers["Content-Type"] == "application/json", found
        hits = [hit["id"] for hit in found.json()["hits"]]
        assert {"b1", "f1"} <= set(hits), hits
        by_get = server.request("GET", "/collections/books/search?q=hunger+games&limit=1&policy=all").json()
        assert len(by_get["hits"]) == 1
        event = {"query_id": found.json()["query_id"], "action_name": "click",
                 "event_attributes": {"object": {"object_id": hits[0]}}}
        assert server.request("POST", "/collections/books/events", event).json()["accepted"] == 1
        assert server.request("GET", "/collections/books/documents/b3").json()["title"] == "The Hobbit"
        assert server.request("DELETE", "/collections/books/documents/b3").status == 200
        assert server.request("GET", "/collections/books/documents/b3").code() == "document_not_found"
        assert server.request("GET", "/collections/books/stats").json()["documents"] == 4
        assert server.request("POST", "/collections/books/check").json()["ok"] is True
        assert server.request("DELETE", "/collections/books").status == 200
        assert server.request("GET", "/collections").json() == {"collections": []}


def test_pages_of_a_list_are_linked_by_forage_next():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        lines, target = [], "/collections/books/documents?limit=2"
        while True:
            page = server.request("GET", target)
            assert page.status == 200, page
            lines += page.body.decode().splitlines()
            after = page.headers["Forage-Next"]
            if not after:
                break
            target = f"/collections/books/documents?limit=2&after={after}"
        assert [json.loads(line)["id"] for line in lines] == [b["id"] for b in BOOKS]


def test_errors_are_json_with_their_status():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        for method, target, body, status, code in [
                ("GET", "/nothing/here", None, 404, "route_not_found"),
                ("GET", "/collections/nope", None, 404, "collection_not_found"),
                ("POST", "/collections/books/search", "{", 400, "invalid_json"),
                ("POST", "/collections/books/search", "[]", 400, "invalid_request"),
                ("POST", "/collections/books/search", '{"limt": 3}', 400, "invalid_request"),
                ("POST", "/collections/books/search", b"\xff\xfe\x00", 400, "invalid_json"),
                ("POST", "/collections/books/search", '{"filter": {"nope": 1}}', 400, "invalid_filter"),
                ("POST", "/collections/books/events", '{"query_id": "x"}', 400, "invalid_event"),
                ("PUT", "/collections/books", '{"fields": 3}', 400, "invalid_schema"),
                ("POST", "/collections/books/search", "[" * 100000, 400, "invalid_json"),
        ]:
            answer = server.request(method, target, body)
            assert answer.status == status, (method, target, answer)
            assert answer.headers["Content-Type"] == "application/json", answer
            if target.endswith("/events"):
                continue  # it answers with its counts
            assert answer.code() == code and answer.json()["error"]["message"], (target, answer)


def test_methods():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        answer = server.request("PATCH", "/collections/books")
        assert answer.status == 405 and answer.code() == "method_not_allowed", answer
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}, answer
        answer = server.request("DELETE", "/health/live")
        assert answer.status in (404, 405), answer
        answer = server.request("OPTIONS", "/collections/books/search")
        assert answer.status == 204 and set(answer.headers["Allow"].split(", ")) == {"POST", "GET", "HEAD", "OPTIONS"}
        whole = server.request("GET", "/collections")
        head = server.request("HEAD", "/collections")
        assert head.status == 200 and head.body == b"" and head.headers["Content-Length"] == str(len(whole.body)), head


def test_health_and_metrics():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        assert server.request("GET", "/health/live").json() == {"status": "live"}
        assert server.request("GET", "/health/ready").json() == {"status": "ready"}
        server.request("GET", "/nothing")
        server.request("POST", "/collections/books/search", {"query": "hobbit"})
        answer = server.request("GET", "/metrics")
        text = answer.body.decode()
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer
        for line in [
                'forage_http_requests_total{method="POST",route="/collections/{collection}/search",status="200"} 1',
                'forage_http_requests_total{method="",route="unknown",status="404"} 1',
                'forage_http_request_seconds_count{method="POST",route="/collections/{collection}/search"} 1',
                "forage_http_in_flight 1", "forage_http_queue_length 0"]:
            assert line in text.splitlines(), f"{line}\nis not in\n{text}"
        assert "forage_documents" in text and text.count("# TYPE forage_http_requests_total counter") == 1
        start = 'forage_http_request_seconds_bucket{method="POST",route="/collections/{collection}/search"'
        buckets = [int(line.split()[-1]) for line in text.splitlines() if line.startswith(start)]
        assert buckets == sorted(buckets) and buckets[-1] == 1, buckets


def test_request_ids():
    with Folder() as folder, Server(folder.data) as server:
        def answered(given=None):
            headers = {"X-Request-Id": given} if given else {}
            return server.request("GET", "/health/live", headers=headers).headers["X-Request-Id"]

        assert answered("abc-1") == "abc-1"
        assert len({answered() for _ in range(3)}) == 3
        assert answered("a b") != "a b" and len(answered("x" * 500)) < 100


def test_keep_alive():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        connection = server.connection()
        for _ in range(50):
            answer = server.request("POST", "/collections/books/search", {"query": "hobbit"}, connection=connection)
            assert answer.status == 200, answer
            assert server.request("GET", "/nothing", connection=connection).status == 404
        local = connection.sock.getsockname()
        server.request("GET", "/collections", connection=connection)
        assert connection.sock.getsockname() == local  # still the first connection
        connection.close()


# ---- The page

def test_page():
    with Folder() as folder, Server(folder.data) as server:
        page = server.request("GET", "/")
        with open(os.path.join(SOURCE, "web", "index.html"), "rb") as file:
            assert page.status == 200 and page.body == file.read()
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'self'" in page.headers["Content-Security-Policy"], page
        assert page.headers["X-Content-Type-Options"] == "nosniff" and page.headers["Referrer-Policy"] == "no-referrer"
        again = server.request("GET", "/", headers={"If-None-Match": page.headers["ETag"]})
        assert again.status == 304 and again.body == b"", again
        assert server.request("GET", "/", headers={"If-None-Match": '"other"'}).status == 200
        types = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
        for name in os.listdir(os.path.join(SOURCE, "web")):
            kind = types.get(os.path.splitext(name)[1])
            if kind:
                answer = server.request("GET", f"/web/{name}")
                assert answer.status == 200 and answer.headers["Content-Type"] == kind, (name, answer)
        for target in ["/web/nope.js", "/web/../index.html", "/web/%2e%2e/index.html", "/web/", "/web"]:
            assert server.request("GET", target).status == 404, target


# ---- Limits

def test_body_limit():
    with Folder() as folder, Server(folder.data, "--body-limit", "1") as server:
        large = many(30000).encode()
        assert len(large) > 1 << 20
        answer = server.request("POST", "/collections/books/documents", large, NDJSON)
        assert answer.status == 413 and answer.code() == "too_large", answer
        chunked = server.request("POST", "/collections/books/documents", iter([large[i:i + 60000] for i in range(
            0, len(large), 60000)]), NDJSON)
        assert chunked.status == 413 and chunked.code() == "too_large", chunked
        declared = server.raw(b"POST /collections/books/documents HTTP/1.1\r\nHost: localhost\r\n"
                              b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n")
        assert declared.startswith(b"HTTP/1.1 413 "), declared
        assert server.request("GET", "/collections").json() == {"collections": []}


def test_long_addresses_and_headers():
    with Folder() as folder, Server(folder.data) as server:
        answer = server.request("GET", "/" + "a" * 9000)
        assert answer.status == 414 and answer.code() == "uri_too_long", answer
        answer = server.request("GET", "/", headers={"X-Long": "a" * 40000})
        assert answer.status == 431 and answer.code() == "headers_too_large", answer
        assert server.request("GET", "/", headers={"X-Long": "a" * 500000}).status == 431


def test_what_is_no_http():
    with Folder() as folder, Server(folder.data) as server:
        for data in [b"\0\1\2\3" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 100, b"GET / HTTP/1.1\r\n",
                     b"POST /collections/b/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                     b"POST /collections/b/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{}",
                     b"POST /collections/b/documents HTTP/1.1\r\nHost: localhost\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"]:
            received = server.raw(data)
            assert not received.startswith(b"HTTP/1.1 2"), (data, received)
        assert server.request("GET", "/health/ready").status == 200


def test_overload_is_answered_429():
    with Folder() as folder, Server(folder.data, "--workers", "1", "--queue", "1") as server:
        body, statuses, retry = many(20000), [], []

        def send(i):
            answer = server.request("POST", f"/collections/c{i}/documents", body, NDJSON)
            statuses.append(answer.status)
            if answer.status == 429:
                assert answer.code() == "overloaded"
                retry.append(answer.headers["Retry-After"])

        threads = [threading.Thread(target=send, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 429}, statuses
        assert all(retry)
        assert server.request("GET", "/collections").status == 200


def test_many_clients_at_once():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        wrong = []

        def client():
            connection = server.connection()
            for _ in range(40):
                answer = server.request("POST", "/collections/books/search",
                                        {"query": "the hunger games", "policy": "all"}, connection=connection)
                if answer.status != 200 or not answer.json()["hits"]:
                    wrong.append(answer)
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[0]


# ---- Who may call

def test_without_a_key_only_local_names_are_answered():
    with Folder() as folder, Server(folder.data) as server:
        for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", f"localhost:{server.port}", "[::1]:80"]:
            assert server.request("GET", "/collections", headers={"Host": host}).status == 200, host
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:7700", "",
                     "[::2]"]:
            answer = server.request("GET", "/collections", headers={"Host": host})
            assert answer.status == 403 and answer.code() == "forbidden", (host, answer)
        assert server.request("GET", "/health/live", headers={"Host": "10.0.0.7"}).status == 200


def test_other_sites_are_refused():
    with Folder() as folder, Server(folder.data) as server:
        own = f"http://127.0.0.1:{server.port}"
        assert server.request("PUT", "/collections/a", headers={"Origin": own}).status == 201
        for origin in ["http://evil.example", "null", f"{own}.evil.example", "http://localhost:1"]:
            answer = server.request("PUT", "/collections/b", headers={"Origin": origin})
            assert answer.status == 403 and "Access-Control-Allow-Origin" not in answer.headers, (origin, answer)
        assert [c["name"] for c in server.request("GET", "/collections").json()["collections"]] == ["a"]


def test_cors():
    site = "https://shop.example"
    with Folder() as folder, Server(folder.data, "--cors", site) as server:
        ask = {"Origin": site, "Access-Control-Request-Method": "POST",
               "Access-Control-Request-Headers": "content-type"}
        answer = server.request("OPTIONS", "/collections/books/search", headers=ask)
        assert answer.status == 204 and answer.headers["Access-Control-Allow-Origin"] == site, answer
        assert "POST" in answer.headers["Access-Control-Allow-Methods"], answer
        assert "content-type" in answer.headers["Access-Control-Allow-Headers"].lower(), answer
        answer = server.request("PUT", "/collections/a", headers={"Origin": site})
        assert answer.status == 201 and answer.headers["Access-Control-Allow-Origin"] == site, answer
        assert "Forage-Next" in answer.headers["Access-Control-Expose-Headers"] and answer.headers["Vary"] == "Origin"
        assert server.request("PUT", "/collections/b", headers={"Origin": "https://other.example"}).status == 403
        assert forage("serve", "--data", folder.data + "2", "--cors", "*", expect=2).err.count("API key")


def test_api_key():
    with Folder() as folder:
        key = folder.file("key.txt", "s3cret-key\n")
        with Server(folder.data, "--api-key-file", key) as server:
            for headers in [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer s3cret-ke"},
                            {"Authorization": "Bearer s3cret-key2"}, {"Authorization": "Basic s3cret-key"},
                            {"Authorization": "Bearer "}, {"Authorization": "s3cret-key"}]:
                answer = server.request("POST", "/collections/a/documents", many(10), {**NDJSON, **headers})
                assert answer.status == 401 and answer.code() == "unauthorized", (headers, answer)
                assert answer.headers["WWW-Authenticate"] == "Bearer", answer
            assert server.request("GET", "/metrics").status == 401
            assert server.request("GET", "/").status == 200
            assert server.request("GET", "/health/ready").status == 200
            good = {"Authorization": "Bearer s3cret-key"}
            assert server.request("GET", "/collections", headers=good).json() == {"collections": []}
            assert server.request("GET", "/collections", headers={**good, "Host": "search.example"}).status == 200
        by_environment = environment(FORAGE_API_KEY="other")
        with Server(folder.data, env=by_environment) as server:
            assert server.request("GET", "/collections").status == 401
            assert server.request("GET", "/collections", headers={"Authorization": "bearer other"}).status == 200


def test_no_open_address_without_a_key():
    with Folder() as folder:
        for address in ["0.0.0.0:0", "[::]:0"]:
            refused = forage("serve", "--data", folder.data, "--listen", address, expect=2)
            assert "API key" in refused.err, refused
        assert not os.path.exists(folder.data)


# ---- Starting and stopping

def test_addresses():
    with Folder() as folder:
        for address in ["nonsense:port", "127.0.0.1:99999", "no such host:1", "[::1", "1:2:3:4:5:6:7:8:9"]:
            assert forage("serve", "--data", folder.data, "--listen", address, expect=2).err, address
        with Server(folder.data) as server:
            taken = forage("serve", "--data", folder.data + "2", "--listen", f"127.0.0.1:{server.port}", expect=1)
            assert f"port {server.port}" in taken.err and "in use" in taken.err, taken
            locked = forage("serve", "--data", folder.data, "--listen", "127.0.0.1:0", expect=1)
            assert folder.data in locked.err, locked
        with Server(folder.data, "--listen", "[::1]:0") as server:
            assert server.url.startswith("http://[::1]:"), server.url


def test_startup_line():
    with Folder() as folder:
        process = subprocess.Popen([COMMAND, "serve", "--data", folder.data, "--listen", "0"], stdout=subprocess.PIPE,
                                   env=environment())
        line = process.stdout.readline().decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        process.stdout.close()
        assert line.startswith("Forage ") and f" serves {folder.data} at http://127.0.0.1:" in line, line
        assert line.endswith(" (Ctrl-C stops)\n"), line


def test_stopping_finishes_what_was_begun():
    with Folder() as folder:
        with Server(folder.data) as server:
            body, answers = many(60000, "x"), []

            def send():
                answers.append(server.request("POST", "/collections/big/documents", body, NDJSON))

            thread = threading.Thread(target=send)
            thread.start()
            deadline = time.time() + 30
            while time.time() < deadline:  # until a worker has it
                text = server.request("GET", "/metrics").body.decode()
                if "forage_http_in_flight 2" in text or not thread.is_alive():
                    break
            assert server.stop() == 0
            thread.join()
            assert answers and answers[0].status == 200 and answers[0].json()["indexed"] == 60000, answers
            try:
                socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
                raise AssertionError("the stopped server still accepts connections")
            except ConnectionRefusedError:
                pass
        with Server(folder.data) as server:
            assert server.request("GET", "/collections/big").json()["documents"] == 60000
            assert server.stop(signal.SIGINT) == 0


def test_idle_connections_do_not_delay_stopping():
    with Folder() as folder, Server(folder.data) as server:
        idle = [server.connection() for _ in range(5)]
        for connection in idle:
            server.request("GET", "/health/live", connection=connection)
        begun = time.time()
        assert server.stop() == 0
        assert time.time() - begun < 8
        for connection in idle:
            connection.close()


def test_second_signal_ends_at_once():
    with Folder() as folder, Server(folder.data) as server:
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(b"POST /collections/b/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None  # it waits for the request
        begun = time.time()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) != 0
        assert time.time() - begun < 3
        half.close()


def test_killed_server_loses_nothing_acknowledged():
    with Folder() as folder:
        with Server(folder.data) as server:
            server.load()
            server.process.kill()
            server.process.wait(10)
        with Server(folder.data) as server:
            assert server.request("GET", "/collections/books").json()["documents"] == len(BOOKS)
            found = server.request("POST", "/collections/books/search", {"query": "hobbit", "policy": "all"})
            assert found.json()["hits"], found


def test_access_log():
    with Folder() as folder, Server(folder.data, "--access-log") as server:
        server.request("GET", "/collections?x=1", headers={"X-Request-Id": "r-7"})
        server.stop()
        log = server.process.stderr.read().decode()
        assert '"GET /collections?x=1" 200 ' in log and log.strip().endswith("r-7"), log


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
