#!/usr/bin/env python3
"""Users: what is known of one is exported, and nothing of it is left after it was erased: not in any byte of the data folder,
not after more was written, and not when the process was killed in the middle and the erasure asked for again.

FORAGE_USERS sets how many users test_nothing_remains has (200 when it is not set), FORAGE_KILLS how often
test_killed_while_erasing kills (at most; 8 when it is not set)."""

import os
import random
import sys
import threading
import time
import urllib.parse

from forage_process import BOOKS, Folder, Server, forage, ndjson, run_tests

USERS = int(os.environ.get("FORAGE_USERS", "200"))
KILLS = min(int(os.environ.get("FORAGE_KILLS", "8")), 40)
NDJSON = {"Content-Type": "application/x-ndjson"}
SEARCH, EVENTS = "/collections/books/search", "/collections/books/events"


def user_id(number):
    return f"user-{number:05d}-of-these"


def session_id(number, visit):
    return f"visit-{number:05d}-{visit}-of-those"


def target(number):
    return "/collections/books/users/" + urllib.parse.quote(user_id(number))


def occurrences(folder, *texts):
    """Where any of the texts is in the bytes of any file below the folder: {text: number}, without zeros."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                data = file.read()
            for text in texts:
                if n := data.count(text.encode()):
                    found[f"{name}: {text}"] = n
    return found


def traces(number, visits=3):
    return [user_id(number), *(session_id(number, v) for v in range(visits))]


def click(found, hit, **who):
    return {"query_id": found["query_id"], "action_name": "click", "event_id": f"{who.get('client_id', 'e')}/{found['query_id']}",
            "event_attributes": {"object": {"object_id": hit["id"]}}, **who}


def visit(server, connection, number, visits=3, searches=1):
    """A session in which the user is not known at first, then says who they are; in the middle a click and a purchase."""
    events = []
    for v in range(visits):
        session = session_id(number, v)
        for query, user in [("hunger", None)] + [("hunger games", user_id(number))] * searches:
            body = {"query": query, "session": session, "context": {"country": "NO", "who": user or ""},
                    "timeout_ms": 10000}
            found = server.request("POST", SEARCH, {**body, "user": user} if user else body, connection=connection).json()
            who = {"client_id": user} if user else {}
            events.append(click(found, found["hits"][0], session_id=session, **who))
    answer = server.request("POST", EVENTS, ndjson(events), NDJSON, connection=connection)
    assert answer.status == 200 and answer.json()["accepted"] == len(events), answer
    return len(events)


def erase(server, number):
    answer = server.request("DELETE", target(number))
    assert answer.status == 200, answer
    return answer.json()


def test_export_and_erase():
    for remote in (False, True):
        with Folder() as folder:
            forage("import", folder.file("books.ndjson", ndjson(BOOKS)), "--data", folder.data, "-c", "books", expect=0)
            with Server(folder.data) as server:
                visit(server, server.connection(), 1, visits=2)
                visit(server, server.connection(), 2, visits=1)
                place = ["--url", server.url] if remote else ["--data", folder.data]
                if not remote:
                    server.stop()
                lines = forage("users", "export", user_id(1), *place, expect=0).out.splitlines()
                assert len(lines) == 1 + 8 and '"kind":"profile"' in lines[0].replace(" ", ""), lines
                refused = forage("users", "erase", user_id(1), *place)
                assert refused.status == 2 and "--yes" in refused.err, refused
                done = forage("users", "erase", user_id(1), "--yes", "--json", *place, expect=0).json()
                assert done["erased"] == user_id(1) and done["impressions"] == 4 and done["events"] == 4, done
                assert done["profiles"] == 1 + 2, done  # of the user, and of two sessions that named nobody at first
                nothing = forage("users", "export", user_id(1), *place)
                assert nothing.status != 0 and "nothing is known" in nothing.err, nothing
                assert forage("users", "erase", user_id(1), "--yes", "--json", *place, expect=0).json()["events"] == 0
                assert len(forage("users", "export", user_id(2), *place, expect=0).out.splitlines()) == 1 + 4
                assert "--yes" not in forage("users", "erase", "", *place).out
            assert not occurrences(folder.data, *traces(1)), occurrences(folder.data, *traces(1))
            assert occurrences(folder.data, user_id(2))
            forage("check", "--data", folder.data, "-c", "books", expect=0)


def test_nothing_remains():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        connection = server.connection()
        for number in range(USERS):
            visit(server, connection, number)
        erased = random.Random(5).sample(range(USERS), 5)
        for number in erased:
            assert occurrences(folder.data, user_id(number))
            begun = time.monotonic()
            done = erase(server, number)
            took = time.monotonic() - begun
            assert done["impressions"] == 6 and done["events"] == 6 and done["profiles"] == 4, done
            assert not occurrences(folder.data, *traces(number)), occurrences(folder.data, *traces(number))
        size = sum(os.path.getsize(os.path.join(r, n)) for r, _, names in os.walk(folder.data) for n in names)
        print(f"{USERS} users, {size >> 20} MiB: erasing one took {took * 1000:.0f} ms")
        for number in range(USERS, USERS + 50):  # what the process has in memory must not come back to the disk
            visit(server, connection, number)
        server.stop()
        gone = [text for number in erased for text in traces(number)]
        assert not occurrences(folder.data, *gone), occurrences(folder.data, *gone)
        kept = next(n for n in range(USERS) if n not in erased)
        assert occurrences(folder.data, user_id(kept))
        forage("check", "--data", folder.data, "-c", "books", expect=0)


def test_searches_go_on_meanwhile():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        for number in range(20):
            visit(server, server.connection(), number)
        stop, failures, answered = threading.Event(), [], []

        def search():
            connection = server.connection()
            while not stop.is_set():
                answer = server.request("POST", SEARCH, {"query": "hunger", "user": "somebody else", "timeout_ms": 10000},
                                        connection=connection)
                answered.append(1)
                if answer.status != 200 or not answer.json()["hits"]:
                    failures.append(answer)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):
            erase(server, number)
            assert not occurrences(folder.data, *traces(number)), occurrences(folder.data, *traces(number))
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures and len(answered) > 20, (failures[:2], len(answered))


def test_killed_while_erasing():
    """Killed at any moment, the store is whole; asked again, nothing remains, not even of sessions that named nobody."""
    rng = random.Random(11)
    with Folder() as folder:
        with Server(folder.data) as server:
            server.load()
            for number in range(KILLS):
                visit(server, server.connection(), number, visits=3, searches=60)
            kept = visit(server, server.connection(), 999)
            server.stop()
        for number in range(KILLS):
            with Server(folder.data) as server:
                def ask(server=server, number=number):
                    try:
                        server.request("DELETE", target(number))
                    except Exception:  # it was killed
                        pass
                asking = threading.Thread(target=ask)
                asking.start()
                time.sleep(rng.uniform(0, 0.06))
                server.process.kill()
                asking.join()
                server.process.wait()
            forage("check", "--data", folder.data, "-c", "books", expect=0)
            with Server(folder.data) as server:
                erase(server, number)
                assert not occurrences(folder.data, *traces(number)), occurrences(folder.data, *traces(number))
                lines = server.request("GET", target(999)).body.decode().splitlines()
                assert len(lines) == 1 + 2 * kept, len(lines)


def test_who_is_not_known():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        assert server.request("GET", target(1)).status == 404
        assert server.request("DELETE", target(1)).json() == {"erased": user_id(1), "profiles": 0, "impressions": 0, "events": 0}
        assert server.request("GET", "/collections/nothing/users/x").status == 404
        strange = "/collections/books/users/" + urllib.parse.quote("\u00e9/? \"x\"", safe="")
        server.request("POST", SEARCH, {"query": "hunger", "user": "\u00e9/? \"x\"", "session": "s"})
        assert server.request("DELETE", strange).json()["impressions"] == 1


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
