#!/usr/bin/env python3
"""What was acknowledged survives: the process killed at any moment, index files damaged, the disk full or read-only.

FORAGE_KILLS sets how often test_kill kills (100 when it is not set), FORAGE_SEED the moments."""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import forage_process
from ordeal import (NOT_ANSWERED, SANITIZERS, Client, Folder, Server, Skip, check_error, cli_error, environment, forage,
                    ndjson, run_tests, sanitized, wait_until)
from traffic import ANCHOR_DOCUMENTS, ANCHORS, COLLECTION, Ledger, Traffic, document, import_file, prepare

KILLS = int(os.environ.get("FORAGE_KILLS", "100"))
SEED = os.environ.get("FORAGE_SEED", "forage")
SLOW = 5 if sanitized() else 1
ENVIRONMENT = environment(**SANITIZERS)


def run(*arguments, **more):
    return forage(*arguments, env=ENVIRONMENT, **more)


# ---- kill -9

class Killing:
    """Rounds over one data folder: start, check that all that was acknowledged is there, work, kill."""

    def __init__(self, folder, rng):
        self.folder, self.data, self.rng = folder, folder.data, rng
        self.ledger, self.kills, self.kinds = Ledger(), 0, {}
        with Server(self.data) as server:
            prepare(server.client(), self.ledger)

    def note(self, kind):
        self.kills += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def round(self, kind):
        """Checks what the last round left, then lets `kind` come to its violent end."""
        with contextlib.ExitStack() as stack:
            server = Server(self.data)
            stack.callback(server.log_file.close)
            stack.callback(server.kill)
            client = server.client()
            self.ledger.check(client, self.rng)
            client.close()
            kind(self, server)
            server.kill()
            for line in server.log().splitlines():
                assert " error " not in line, line

    def pause(self, low, high):
        time.sleep(self.rng.uniform(low, high) * SLOW)

    def traffic(self, server, *kinds):
        traffic = Traffic(server.client, self.ledger, self.rng.random())
        traffic.start(*kinds)
        return traffic

    # ---- Violent ends

    def kill_at_work(self, server):
        traffic = self.traffic(server, Traffic.small_writes, Traffic.large_writes, Traffic.search_and_click)
        self.pause(0.02, 0.8)
        server.kill()
        traffic.finish()
        self.note("at work")

    def kill_while_merging(self, server):
        traffic = self.traffic(server, Traffic.small_writes, Traffic.large_writes, Traffic.search_and_click,
                               Traffic.optimize)
        self.pause(0.05, 0.8)
        server.kill()
        traffic.finish()
        self.note("while files are merged")

    def kill_while_writing_a_file(self, server):
        """As above, but at a moment when an index file has been begun and has not got its name."""
        traffic = self.traffic(server, Traffic.small_writes, Traffic.large_writes, Traffic.search_and_click,
                               Traffic.optimize)
        end = time.monotonic() + 5 * SLOW
        self.pause(0, 0.2)
        while not unfinished(self.data) and time.monotonic() < end:
            pass
        self.pause(0, 0.004)
        server.kill()
        traffic.finish()
        self.note("with a file half written" if unfinished(self.data) else "while files are merged")

    def kill_while_stopping(self, server):
        """SIGTERM makes it write what is in memory to a file: it is killed while it does, or a little too late."""
        traffic = self.traffic(server, Traffic.small_writes, Traffic.large_writes, Traffic.search_and_click)
        self.pause(0.1, 0.4)
        server.process.terminate()
        self.pause(0, 0.12)
        late = server.process.poll() is not None
        server.kill()
        traffic.finish()
        if not late:
            self.note("while stopping")

    def kill_while_starting(self, server):
        """What is not in a file yet is indexed again at the start: killed then, the next start does it again."""
        server.kill()
        for _ in range(2):
            starting = Server(self.data)
            asking = threading.Thread(target=self.ask, args=(starting,))
            asking.start()
            self.pause(0, 0.15)
            starting.kill()
            asking.join()
            starting.log_file.close()
            self.note("while starting")

    @staticmethod
    def ask(server):
        with contextlib.suppress(*NOT_ANSWERED):
            server.client().request("GET", f"{COLLECTION}/stats")

    def kill_import(self, server):
        """`forage import` into the folder: killed, it leaves a beginning of the file."""
        server.kill()
        path = os.path.join(self.folder.path, "import.ndjson")
        write = import_file(path, self.rng, 25000)
        process = subprocess.Popen([forage_process.COMMAND, "import", "--data", self.data, "-c", "things", path,
                                    "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        self.pause(0.05, 1.2)
        killed = process.poll() is None
        process.kill()
        out = process.communicate()[0]
        if process.returncode == 0:
            assert json.loads(out)["indexed"] == len(write), out
            self.ledger.take(write)
        else:
            self.ledger.doubt(write, whole=False)
        if killed:
            self.note("import")

    def kill_server_of_import(self, server):
        """The server of `forage import --url` is killed: what the command then reports as imported is there."""
        path = os.path.join(self.folder.path, "import.ndjson")
        write = import_file(path, self.rng, 25000)
        process = subprocess.Popen([forage_process.COMMAND, "import", "--url", server.url, "-c", "things", path,
                                    "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        self.pause(0.1, 1.2)
        server.kill()
        indexed = json.loads(process.communicate()[0] or '{"indexed": 0}')["indexed"]
        items = list(write.items())
        self.ledger.take(dict(items[:indexed]))
        if indexed < len(items):
            self.ledger.doubt(dict(items[indexed:]), whole=False)
        self.note("server of an import")


def unfinished(data):
    """Whether there is an index file that has been begun only."""
    folder = os.path.join(data, "collections", "things", "segments")
    return any(".seg." in name for name in os.listdir(folder))


def kill_fresh(rng):
    """A folder that is being made: the collection's first documents come without a schema."""
    kills = acknowledged = 0
    with Folder() as folder:
        known, write = {}, {}
        for round_number in range(4):
            server = Server(folder.data)
            client = server.client()
            if known:
                for name in rng.sample(sorted(known), min(20, len(known))):
                    assert client.expect("GET", f"/collections/new/documents/{name}")["version"] == known[name]
                count = client.expect("GET", "/collections/new")["documents"]
                assert count >= len(known), f"{count} of {len(known)} documents are there"
                assert client.expect("POST", "/collections/new/check")["ok"]
            killer = threading.Timer(rng.uniform(0, 0.1) * SLOW, server.kill)
            killer.start()
            with contextlib.suppress(*NOT_ANSWERED):
                while True:
                    start = rng.randrange(100000)
                    write = {f"n{n}": round_number for n in range(start, start + rng.choice([1, 10, 300]))}
                    client.expect("POST", "/collections/new/documents",
                                  ndjson({"id": n, "title": f"new {n}", "version": v} for n, v in write.items()))
                    known.update(write)
                    acknowledged += len(write)
            killer.join()
            server.log_file.close()
            for name in write:  # the one without an answer may have replaced what was known
                if known.get(name) != round_number:
                    known.pop(name, None)
            kills += 1
    return kills, acknowledged


def test_kill():
    """kill -9 at random moments: every acknowledged write is there after each restart, and the check finds nothing."""
    rng = random.Random(SEED)
    fresh_kills = fresh_documents = 0
    while fresh_kills < KILLS // 6:
        kills, documents = kill_fresh(rng)
        fresh_kills += kills
        fresh_documents += documents
    with Folder() as folder:
        killing = Killing(folder, rng)
        kinds = [Killing.kill_at_work] * 9 + [Killing.kill_while_merging] * 4 + [Killing.kill_while_stopping] * 3 + \
                [Killing.kill_while_writing_a_file] * 4 + [Killing.kill_while_starting, Killing.kill_import, Killing.kill_server_of_import]
        while killing.kills + fresh_kills < KILLS:
            killing.round(rng.choice(kinds))
            if killing.kills % 10 == 0:  # the command finds nothing either, and its end writes an index file
                assert run("check", "--data", folder.data, expect=0).out
        killing.round(lambda *_: None)
        assert not unfinished(folder.data), "what was half written is still there"
        ledger, total = killing.ledger, killing.kills + fresh_kills
    documents, events = ledger.acknowledged + fresh_documents, len(ledger.events)
    print(f"{total} kills: {documents} documents and {events} events acknowledged, all there")
    killing.kinds["with a new folder"] = fresh_kills
    print("killed " + ", ".join(f"{kind}: {n}" for kind, n in killing.kinds.items()))


# ---- Damaged files

QUERIES = ["amber", "basalt cobalt", "emerald words", "title opal topaz", "quartz garnet jasper"]


def answers(client):
    """What searches say, and in what order, when every document's impact is computed anew."""
    client.expect("POST", f"{COLLECTION}/optimize")
    found = []
    for query in QUERIES:
        a = client.expect("POST", f"{COLLECTION}/search", {"query": query, "policy": "all", "log": False, "limit": 50,
                                                            "facets": ["batch"], "seed": 7})
        found.append((a["total"], a["facets"], [(hit["id"], hit["document"]) for hit in a["hits"]]))
    return found


def make_files(folder):
    """A collection with several index files, deleted and replaced documents among them."""
    schema = folder.file("schema.json", json.dumps({"fields": {"title": {"type": "text"}, "batch": {"type": "keyword"},
                                                               "version": {"type": "number"}}}))
    rng = random.Random(5)
    for part, (size, low) in enumerate([(4000, 0), (600, 3800), (80, 500), (9, 3000)]):
        documents = [document(n, rng.randrange(1000), f"b{part}") for n in range(low, low + size)]
        run("import", "--data", folder.data, "-c", "things", "--schema", schema,
            folder.file("d.ndjson", ndjson(documents)),
            expect=0)
    with Server(folder.data) as server:
        for n in range(100, 4300, 100):
            server.client().expect("DELETE", f"{COLLECTION}/documents/d{n}")


def segments(data):
    folder = os.path.join(data, "collections", "things", "segments")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".seg")]


def cut(path, size):
    with open(path, "r+b") as file:
        file.truncate(size)


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def test_damaged_index_files():
    """An index file that is missing, cut short or has one wrong bit is built again from the documents, and the log says
    so."""
    rng = random.Random(11)
    with Folder() as folder:
        make_files(folder)
        original = os.path.join(folder.path, "original")
        os.rename(folder.data, original)
        files = [os.path.relpath(path, original) for path in segments(original)]
        assert len(files) >= 3, files
        shutil.copytree(original, folder.data)
        with Server(folder.data) as server:
            expected = answers(server.client())
        ways = ("missing", "empty", "cut", "first bit", "last bit", "a bit", "other")
        cases = [[(name, how)] for name in files for how in ways]
        cases += [[(name, "missing") for name in files], [(files[0], "a bit"), (files[-1], "missing")]]
        for damage in cases:
            shutil.rmtree(folder.data)
            shutil.copytree(original, folder.data)
            for name, how in damage:
                path = os.path.join(folder.data, name)
                size = os.path.getsize(path)
                if how == "missing":
                    os.remove(path)
                elif how == "other":
                    shutil.copy(os.path.join(folder.data, files[files.index(name) - 1]), path)
                elif how in ("empty", "cut"):
                    cut(path, 0 if how == "empty" else rng.randrange(1, size))
                else:
                    flip(path, {"first bit": 0, "last bit": size - 1}.get(how, rng.randrange(size)))
            with Server(folder.data) as server:
                client = server.client()
                answer = client.expect("POST", f"{COLLECTION}/check")
                assert answer["ok"], (damage, answer)
                assert answers(client) == expected, f"{damage}: other results"
                assert client.expect("POST", f"{COLLECTION}/check")["ok"], damage
                log = server.log()
                assert " warn " in log and "rebuilding" in log and os.path.basename(damage[0][0]) in log, (damage, log)
            with Server(folder.data) as server:  # and it was for good
                assert server.client().expect("POST", f"{COLLECTION}/check")["ok"], damage
                assert " warn " not in server.log(), (damage, server.log())


def test_damage_while_it_is_read():
    """A reader beside a server whose index file it cannot read says what is wrong and does not end in a crash."""
    with Folder() as folder:
        make_files(folder)
        with Server(folder.data) as server:
            server.client().expect("GET", f"{COLLECTION}/stats")
            flip(segments(folder.data)[0], 5)
            done = run("search", "--data", folder.data, "amber", "--json", expect=0)
            assert done.json()["hits"], done


def test_damaged_store():
    """A store that is cut short or is something else: an error that says so, exit status 1, and no crash."""
    with Folder() as folder:
        make_files(folder)
        path = os.path.join(folder.data, "collections", "things", "store.mdb")
        with open(path, "rb") as file:
            whole = file.read()
        page = 4096
        damaged = [b"", b"x", b"\0" * len(whole), os.urandom(len(whole)), b"{}" * 40000, whole[:100], whole[:page],
                   whole[:2 * page], whole[:3 * page], whole[:len(whole) // 2], whole[:-5 * page],
                   b"\0" * 2 * page + whole[2 * page:],
                   os.urandom(2 * page) + whole[2 * page:]]
        for bytes_now in damaged:
            with open(path, "wb") as file:
                file.write(bytes_now)
            for command in (["search", "amber"], ["check"], ["stats"], ["import", folder.file("d.ndjson", ndjson(
                    [document(1, 1, "b")]))]):
                said = cli_error(run(command[0], "--data", folder.data, "-c", "things", *command[1:]), "store.mdb")
                assert re.search("damaged|no format|short", said), (len(bytes_now), bytes_now[:20], said)
            with Server(folder.data) as server:
                check_error(*server.client().request("POST", f"{COLLECTION}/search", {"query": "amber"}), "corrupt")
                server.client().expect("PUT", "/collections/other", {}, status=201)
                server.client().expect("DELETE", "/collections/other")
        with open(path, "wb") as file:
            file.write(whole)
        run("check", "--data", folder.data, expect=0)


def test_damaged_pages():
    """Pages inside the store that are not what they were: `forage check` says so, and does not stumble over them."""
    rng = random.Random(21)
    with Folder() as folder:
        make_files(folder)
        original = os.path.join(folder.path, "original")
        os.rename(folder.data, original)
        found = 0
        for turn in range(40):
            shutil.rmtree(folder.data, ignore_errors=True)
            shutil.copytree(original, folder.data)
            path = os.path.join(folder.data, "collections", "things", "store.mdb")
            at = 4096 * rng.randrange(2, os.path.getsize(path) // 4096)
            with open(path, "r+b") as file:
                file.seek(at + (8 if turn % 2 else 0))
                file.write(rng.randbytes(8) if turn % 2 else bytes(4096))
            done = run("check", "--data", folder.data, "-c", "things")
            assert done.status in (0, 1), (turn, at, done)  # 0: a page that is not in use
            assert done.status == 0 or re.search(r"store\.mdb.*damaged", done.out + done.err), (turn, at, done)
            found += done.status
        assert found >= 20, found


def test_newer_versions():
    """What a newer version wrote is left alone."""
    with Folder() as folder:
        make_files(folder)
        mark = os.path.join(folder.data, "forage.json")
        for text, word in (('{"format": 1000}', "newer"), ("{}", "format"), ("not json", "format"), ("", "format")):
            with open(mark, "w", encoding="ascii") as file:
                file.write(text)
            for command in ("search", "check", "serve"):
                words = ["amber"] if command == "search" else []
                cli_error(run(command, "--data", folder.data, *words), word, folder.data)
        with open(mark, "w", encoding="ascii") as file:
            file.write('{"format": 1}')
        path = os.path.join(folder.data, "collections", "things", "store.mdb")
        with open(path, "rb") as file:
            whole = file.read()
        # "format" is a key of the table of names: its value, a little-endian 1, follows it.
        newer = re.sub(rb"format\x01\0\0\0", b"format\x07\0\0\0", whole)
        assert newer != whole
        with open(path, "wb") as file:
            file.write(newer)
        cli_error(run("search", "--data", folder.data, "amber"), "format 7", "newer")
        with Server(folder.data) as server:
            check_error(*server.client().request("GET", f"{COLLECTION}/stats"), "newer_version")
        with open(path, "rb") as file:
            assert file.read() == newer, "the newer store was written to"
        with open(path, "wb") as file:
            file.write(whole)
        run("check", "--data", folder.data, expect=0)


# ---- The disk

@contextlib.contextmanager
def small_disk(size):
    """A file system of its own. Only root can have one."""
    with tempfile.TemporaryDirectory(prefix="forage-disk-") as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True,
                              check=False)
        if done.returncode != 0:
            raise Skip(f"mounting a tmpfs: {done.stderr.decode().strip() or done.returncode}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def fill_disk(client, ledger, start, size):
    """Imports until there is no room; returns the first number that was not acknowledged."""
    for number in range(start, 1000000, size):
        documents = [document(n, n, f"b{number}") for n in range(number, number + size)]
        try:
            status, answer = client.request("POST", f"{COLLECTION}/documents", ndjson(documents),
                                            "application/x-ndjson")
        except NOT_ANSWERED as problem:
            raise AssertionError("the server did not answer when the disk was full") from problem
        if status != 200:
            error = check_error(status, answer, "disk_full")
            assert "space" in error["message"], error
            return number
        ledger.take({d["id"]: (d["version"], d["batch"]) for d in documents})
    raise AssertionError("the disk never was full")


def test_full_disk():
    """No room: writes say disk_full, searches go on; with room again, so do writes. Nothing acknowledged is lost."""
    rng = random.Random(3)
    for size, room in ((500, 24), (40, 12)):
        with small_disk(f"{room}m") as disk:
            data, ballast, ledger = os.path.join(disk, "data"), os.path.join(disk, "ballast"), Ledger()
            with open(ballast, "wb") as file:
                file.write(bytes(4 << 20))
            with Server(data) as server:
                client = server.client()
                prepare(client, ledger)
                shown = client.expect("POST", f"{COLLECTION}/search", {"query": "anchora", "policy": "all"})
                number = 0
                while number == 0 or shutil.disk_usage(disk).free > 1 << 20:
                    number = fill_disk(client, ledger, number, size)
                with contextlib.suppress(OSError), open(os.path.join(disk, "rest"), "wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
                found = client.expect("POST", f"{COLLECTION}/search", {"query": "amber", "policy": "all"})
                assert found["hits"], found
                event = {"query_id": shown["query_id"], "action_name": "click",
                         "event_attributes": {"event_id": "full", "object": {"object_id": "anchora-1"}}}
                check_error(*client.request("PUT", "/collections/more", {}), "disk_full")
                check_error(*client.request("POST", f"{COLLECTION}/optimize"), "disk_full")
                # The store may have a page to spare for something small.
                status, answer = client.request("POST", f"{COLLECTION}/events", event)
                assert answer["accepted"] == 1 if status == 200 else check_error(status, answer, "disk_full"), answer
                status, answer = client.request("DELETE", f"{COLLECTION}/documents/d3")
                if status == 200:
                    ledger.take({"d3": None})
                else:
                    check_error(status, answer, "disk_full")
                ledger.settle_documents(client)
                os.remove(ballast)
                os.remove(os.path.join(disk, "rest"))
                fill_disk(client, ledger, number, size)
                ledger.settle_documents(client)
                ledger.check_index(client, rng)
                server.alive()
                server.kill()
            said = cli_error(run("import", "--data", data, "-c", "things", "-", stdin=ndjson(
                document(n, n, "b") for n in range(50000, 90000)).encode()), "space", "Make room")
            ledger.doubt({f"d{n}": (n, "b") for n in range(50000, 90000)}, whole=False)
            assert "corrupt" not in said, said
            with Server(data) as server:
                ledger.settle_documents(server.client())
                ledger.check_index(server.client(), rng)
                server.kill()  # its last index file may find no room


def test_full_disk_from_the_start():
    """Nothing can be made: each command says so."""
    with small_disk("64k") as disk:
        with contextlib.suppress(OSError), open(os.path.join(disk, "rest"), "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        data = os.path.join(disk, "data")
        cli_error(run("import", "--data", data, "-", stdin=b'{"id": 1}'), "space")
        cli_error(run("serve", "--data", data, "--listen", "127.0.0.1:0"), "space")


def test_read_only_disk():
    """Searches work and say that they are not logged; every write says read_only."""
    with small_disk("32m") as disk:
        data = os.path.join(disk, "data")
        ledger = Ledger()
        server = Server(data)
        prepare(server.client(), ledger)
        server.kill()  # so that there is something that is in no index file
        server.log_file.close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        done = run("search", "--data", data, "anchora", expect=0)
        assert "anchora-1" in done.out and "reads only and logs nothing" in done.err, done
        assert len(run("export", "--data", data, expect=0).out.splitlines()) == len(ledger.documents)
        run("stats", "--data", data, expect=0)
        run("check", "--data", data, expect=0)
        for command in (["import", "-"], ["optimize"], ["collections", "drop", "things", "--yes"]):
            done = run(command[0], *command[1:], "--data", data, stdin=b'{"id": 1}')
            assert done.status == 1 and re.search("read.only", done.err, re.I), done
        cli_error(run("serve", "--data", data, "--listen", "127.0.0.1:0"), "Read-only file system")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        run("check", "--data", data, expect=0)


# ---- Two processes

def test_two_writers():
    """The second server ends at once and names the first one's process."""
    with Folder() as folder, Server(folder.data) as server:
        prepare(server.client(), Ledger())
        for command in (["serve", "--listen", "127.0.0.1:0"], ["import", "-"]):
            said = cli_error(run(*command, "--data", folder.data, stdin=b'{"id": 1}'), str(server.process.pid))
            assert re.search(r"--url|stop it", said), said
        server.alive()
        assert server.client().expect("GET", f"{COLLECTION}")["documents"] == len(ANCHORS) * ANCHOR_DOCUMENTS


def test_reader_beside_a_writer():
    """`forage search --data` beside a server reads what was acknowledged last, through flushes and merges."""
    rng = random.Random(9)
    with Folder() as folder, Server(folder.data) as server:
        client, ledger = server.client(), Ledger()
        prepare(client, ledger)
        for turn in range(12):
            documents = [document(n, turn, f"b{turn}") for n in rng.sample(range(3000), rng.choice([1, 50, 900]))]
            client.expect("POST", f"{COLLECTION}/documents", ndjson(documents), content_type="application/x-ndjson")
            ledger.take({d["id"]: (d["version"], d["batch"]) for d in documents})
            gone = rng.choice([name for name in ledger.documents if name[0] == "d"])
            client.expect("DELETE", f"{COLLECTION}/documents/{gone}")
            ledger.take({gone: None})
            if turn % 3 == 2:
                client.expect("POST", f"{COLLECTION}/optimize")
            wanted = {name for name, state in ledger.documents.items() if state == (turn, f"b{turn}")}
            found = run("search", "--data", folder.data, "--json", "--where", f"batch=b{turn}", expect=0).json()
            assert found["total"]["value"] == len(wanted), (turn, len(wanted), found)
            assert {hit["id"] for hit in found["hits"]} <= wanted and (found["hits"] or not wanted), (turn, found)
            exported = run("export", "--data", folder.data, expect=0).out.splitlines()
            assert len(exported) == len(ledger.documents)
        note = run("search", "--data", folder.data, "anchora", expect=0)
        assert "reads only" in note.err, note
        refused = run("event", "--data", folder.data, "--query-id", "q", "--document", "anchora-1")
        assert refused.status == 1, refused
        run("check", "--data", folder.data, expect=0)


def test_readers_while_writing():
    """Readers in processes of their own, all the time, while a server writes and merges: none fails."""
    rng = random.Random(13)
    with Folder() as folder, Server(folder.data) as server:
        ledger = Ledger()
        prepare(server.client(), ledger)
        traffic = Traffic(server.client, ledger, 1)
        traffic.start(Traffic.small_writes, Traffic.large_writes, Traffic.optimize)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            command = rng.choice([["search", "anchora", "--json"], ["stats"], ["export"]])
            run(*command, "--data", folder.data, expect=0)
        traffic.finish()
        ledger.check(server.client(), rng)


# ---- Time

def test_event_times():
    """An event may come up to a day before its search (clocks differ) and thirty days after, not later and not from a
    future that is more than a day away."""
    with Folder() as folder, Server(folder.data) as server:
        client = server.client()
        prepare(client, Ledger())
        shown = client.expect("POST", f"{COLLECTION}/search", {"query": "anchora", "policy": "all"})
        now, day = time.time(), 86400

        def send(seconds, **more):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + seconds))
            event = {"query_id": shown["query_id"], "action_name": "click", "timestamp": stamp,
                     "event_attributes": {"object": {"object_id": "anchora-1"}}, **more}
            return client.request("POST", f"{COLLECTION}/events", event)

        for seconds in (-0.9 * day, 0, 0.9 * day):
            assert send(seconds)[1]["accepted"] == 1, seconds
        for seconds in (-1.1 * day, -400 * day, 1.1 * day, 31 * day, 40000 * day):
            status, answer = send(seconds)
            assert status == 400 and answer["rejected"][0]["code"] == "invalid_event", (seconds, answer)
        for stamp in ("999999-01-01", "-999999-12-31", 1e14, -1e14, "2026-13-01", "yesterday", [], True):
            status, answer = send(0, timestamp=stamp)
            assert status == 400 and answer["rejected"][0]["code"] == "invalid_event", (stamp, answer)
        assert client.expect("GET", f"{COLLECTION}/stats")["events"] == 3


def test_clock_that_jumps_back():
    """Documents written after the clock was set back are still the newer ones."""
    if not shutil.which("faketime") or sanitized():
        raise Skip("faketime is not installed, or the command is sanitized")
    with Folder() as folder:
        for when, title in (("2030-01-01", "later"), ("2020-01-01", "earlier")):
            done = subprocess.run(["faketime", when, forage_process.COMMAND, "import", "--data", folder.data, "-q",
                                   "-"],
                                  input=json.dumps({"id": 1, "title": title}).encode(), env=ENVIRONMENT, check=False)
            assert done.returncode == 0
        assert run("search", "--data", folder.data, "--json", "earlier", expect=0).json()["hits"]


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
