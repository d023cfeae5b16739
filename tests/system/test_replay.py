#!/usr/bin/env python3
"""Replays by the command: a log is learned from, on a folder and through a server; broken logs; the Last.fm set."""

import gzip
import json
import os
import sys

from forage_process import BOOKS, Folder, Server, environment, forage, ndjson, run_tests

# Nobody's words lead from "dystopia" to the book: only what was learned can.
LOG = [{"query": "dystopia", "user": f"u{i}", "document": "b1", "time": f"2020-01-{1 + i:02}", "action": "click"} for i in range(20)]


def prepared(folder, *place):
    schema = folder.file("schema.json", json.dumps({"beyond_words": True}))
    forage("import", *place, "--schema", schema, folder.file("books.ndjson", ndjson(BOOKS)), expect=0)


def found(place, query="dystopia"):
    return [hit["id"] for hit in forage("search", *place, "--json", query, expect=0).json()["hits"]]


def test_a_replay_teaches():
    for remote in (False, True):
        with Folder() as folder:
            server = Server(folder.data).__enter__() if remote else None
            place = ["--url", server.url] if remote else ["--data", folder.data]
            try:
                prepared(folder, *place)
                log = folder.file("log.ndjson", ndjson(LOG))
                told = forage("replay", *place, "--json", log, expect=0).json()
                assert told["rows"] == told["taught"] == 20 and told["scored"] == 10, told
                assert told["served"]["shown"] == 1, told
                assert found(place)[0] == "b1"
                shown = forage("replay", *place, log, expect=0)
                assert "20 rows" in shown.out and "nDCG@10" in shown.out, shown
            finally:
                if server:
                    server.__exit__()


def test_on_a_copy_nothing_is_learned():
    with Folder() as folder:
        place = ["--data", folder.data]
        prepared(folder, *place)
        log = folder.file("log.ndjson", ndjson(LOG))
        forage("replay", *place, "--scratch", log, expect=0, env=environment(TMPDIR=folder.path))
        assert forage("stats", *place, "--json", expect=0).json()["impressions"] == 0
        assert not [name for name in os.listdir(folder.path) if "scratch" in name], os.listdir(folder.path)


def test_policies_side_by_side():
    with Folder() as folder:
        place = ["--data", folder.data]
        prepared(folder, *place)
        log = folder.file("log.csv", "query,user,document,time\n" + "".join(
            f"{r['query']},{r['user']},{r['document']},{r['time']}\n" for r in LOG))
        first = folder.file("first.ndjson", ndjson([{"user": "u1", "document": "b3"}]))
        arguments = ["--teach", "0.2", "--compare", "regcb,regcb:played:shuffled", "--budget", "3", "--first", first, log]
        told = forage("replay", *place, "--json", *arguments, expect=0).json()["tried"]
        assert [p["credit"] for p in told["policies"]] == ["hindsight", "played"], told
        assert all(p["candidates"] <= 3.0001 for p in told["plans"]), told
        shown = forage("replay", *place, "--strategies", "lexical,memory", *arguments, expect=0)
        assert "best fixed depths in hindsight" in shown.out and "only popular" not in shown.out, shown


def test_broken_logs():
    with Folder() as folder:
        place = ["--data", folder.data]
        prepared(folder, *place)
        text = ndjson(LOG[:3]) + '{"query":"x","document":"nobody"}\n\xff\xfe{]\n' + '{"query":"x","document":"b2","time":"1066"}\n{"que'
        done = forage("replay", *place, folder.file("log.ndjson", text.encode("latin-1")), expect=0)
        assert "2 that are no rows" in done.out and "1 with documents that are not there" in done.out, done
        assert "1 older than one before them" in done.out and "line 5" in done.err and "line 7" in done.err, done
        packed = gzip.compress(ndjson(LOG * 200).encode())
        done = forage("replay", *place, "--teach", "1", folder.file("cut.gz", packed[:len(packed) // 2]), expect=0)
        assert "ends too early" in done.out, done
        assert "0 rows" in forage("replay", *place, "-", expect=0).out


def test_refusals():
    with Folder() as folder:
        place = ["--data", folder.data]
        log = folder.file("log.ndjson", ndjson(LOG))
        assert "no data folder" in forage("replay", *place, log, expect=1).err
        prepared(folder, *place)
        for arguments, message in [([], "which log"), ([log, log], "which log"), ([log + "x"], "log.ndjsonx"),
                                   (["--teach", "7", log], "teach"), (["--compare", "nobody", log], "nobody"),
                                   (["--strategies", "nobody", log], "nobody"), (["--lastfm", folder.path], "artists.dat"),
                                   (["--lastfm", folder.path, log], "--lastfm"), (["-c", "nobody", log], "nobody")]:
            done = forage("replay", *place, *arguments)
            assert done.status in (1, 2) and message in done.err, done


def write_lastfm(folder):
    """A few lines as the set has them: latin-1 tags, artists without a name, a date that is wrong."""
    for name, lines in {
            "artists.dat": ["id\tname\turl\tpictureURL", "1\tMALICE MIZER\thttp://x\thttp://y", "2\tBj\u00f6rk\thttp://x\t"],
            "user_artists.dat": ["userID\tartistID\tweight", "7\t1\t13883", "7\t3\t1", "8\t2\t12"],
            "user_taggedartists.dat": ["userID\tartistID\ttagID\tday\tmonth\tyear"] +
                                      [f"{7 + i % 2}\t{1 + i % 3}\t{1 + i % 2}\t{1 + i % 28}\t4\t2009" for i in range(40)] +
                                      ["7\t1\t1\t1\t1\t1956", "7\tone\t1\t1\t4\t2009"]}.items():
        folder.file(name, "".join(line + "\r\n" for line in lines))
    folder.file("tags.dat", "tagID\ttagValue\r\n1\tgoth rock\r\n2\tcaf\u00e9\r\n".encode("latin-1"))


def test_lastfm():
    with Folder() as folder:
        write_lastfm(folder)
        told = forage("replay", "--lastfm", folder.path, "--json", "--every", "2", env=environment(TMPDIR=folder.path), expect=0)
        assert told.json()["rows"] == 40 and told.json()["scored"] == 10, told
        assert not [name for name in os.listdir(folder.path) if name.startswith("forage-replay")], os.listdir(folder.path)
        place = ["--data", folder.data]
        forage("replay", "--lastfm", folder.path, *place, "--rows", "30", "--compare", "regcb", expect=0)
        assert "Bj\u00f6rk" in forage("search", *place, "bjork", expect=0).out
        assert "2" in found(place, "caf\u00e9") or "1" in found(place, "caf\u00e9")


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
