#!/usr/bin/env python3
"""The command as real processes: every command on a folder and through a server, exit statuses, and help."""

import gzip
import json
import os
import pty
import re
import sys
import threading
import time

from forage_process import BOOKS, COMMAND, MEDIA, SOURCE, Folder, Server, environment, forage, ndjson, run_tests

COMMANDS = ["import", "search", "event", "eval", "serve", "stats", "check", "export", "optimize", "collections",
            "predict", "ope", "replay", "simulate", "users", "policy", "train",
            "models", "explain", "experiment", "rank", "terms"]


class Place:
    """A data folder, or a server on one: what follows a command to choose it."""

    def __init__(self, remote):
        self.remote = remote

    def __enter__(self):
        self.folder = Folder().__enter__()
        self.server = Server(self.folder.data).__enter__() if self.remote else None
        self.options = ["--url", self.server.url] if self.remote else ["--data", self.folder.data]
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.__exit__()
        self.folder.__exit__()

    def run(self, command, *arguments, expect=0, **more):
        return forage(command, *self.options, *arguments, expect=expect, **more)

    def import_books(self, *arguments):
        return self.run("import", self.folder.file("books.ndjson", ndjson(BOOKS)), *arguments)


def both(test):
    """Runs a test on a folder and through a server."""
    def run():
        for remote in (False, True):
            with Place(remote) as place:
                try:
                    test(place)
                except AssertionError as error:
                    raise AssertionError(f"{'through a server' if remote else 'on a folder'}: {error}") from error
    run.__name__ = test.__name__
    return run


def found_ids(result):
    return [hit["id"] for hit in result.json()["hits"]]


# ---- Help and the command line

def test_help():
    bare, word, option = forage(expect=0), forage("help", expect=0), forage("--help", expect=0)
    assert bare.out == word.out == option.out
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", bare.out, re.M), command
        shown, asked = forage("help", command, expect=0), forage(command, "--help", expect=0)
        assert shown.out == asked.out and shown.err == "", command
        assert "Usage" in shown.out and "Examples" in shown.out, command
    assert "\033[" not in bare.out


def test_manual_page_names_every_option():
    with open(os.path.join(SOURCE, "docs", "forage.1"), encoding="utf-8") as file:
        page = file.read().replace("\\-", "-")
    for command in COMMANDS:
        section = re.search(rf"^\.SS {command}\b(.*?)^\.(SS|SH COMMON)", page, re.M | re.S)
        assert section, f"{command} is not in the manual page"
        text = section.group(1) + page[page.index(".SH COMMON"):]
        for option in re.findall(r"--([a-z-]+)", forage("help", command).out.split("Examples")[0]):
            assert f"--{option}" in text, f"{command}: --{option} is not in the manual page"


@both
def test_ope_tells_what_other_policies_would_have_earned(place):
    place.import_books()
    assert "no impressions" in place.run("ope", "--policy", "all", expect=1).err
    for _ in range(6):
        query = place.run("search", "--json", "--policy", "regcb", "hunger").json()
    place.run("event", "--query-id", query["query_id"], "--document", query["hits"][0]["id"])
    fresh = place.run("ope", "--policy", "regcb", "--json").json()
    assert fresh["progressive"] and fresh["impressions"] == 6 and fresh["logged"]["value"] > 0
    assert not place.run("ope", "--policy", "all", "--json").json()["progressive"]
    shown = place.run("ope", "--policy", "regcb")
    assert "learning as it goes" in shown.out and "inclusion" in shown.out
    plan = place.folder.file("plan.json", json.dumps({"lexical": 10, "memory": {"0": 0.5, "25": 0.5}}))
    assert place.run("ope", "--policy", plan, "--json").json()["policy"] == "plan"
    assert "expected regcb" in place.run("ope", "--policy", "best", expect=1).err


def test_ope_evaluates_rows_without_a_log():
    with Folder() as folder:
        rows = folder.file("rows.csv", "reward,logging,target\n1,0.5,1\n0,0.5,0\n")
        answer = forage("ope", "--rows", rows, "--json", expect=0).json()
        assert answer["rows"] == 2 and answer["estimates"][0]["value"] == 1


def test_simulate_teaches_a_copy_unless_told_otherwise():
    with Folder() as folder:
        place, env = ["--data", folder.data], environment(TMPDIR=folder.path)
        books = [{"id": f"b{i}", "type": "book", "title": f"hunger number{i}", "genre": "fantasy", "popularity": 40 - i}
                 for i in range(40)]
        forage("import", *place, folder.file("b.ndjson", ndjson(books)), expect=0)
        searched = lambda: forage("stats", *place, "--json", expect=0).json()["impressions"]
        drifting = ["simulate", *place, "-n", "60", "--drift-at", "20", "--drift-at", "40", "--json"]
        told, again = forage(*drifting, expect=0).json(), forage(*drifting, expect=0).json()
        assert told["customers"] == 60 and len(told["drifts"]) == 2 and told["refused"] == 0, told
        assert told["expected_per_1000"] == again["expected_per_1000"] and told["events"] == again["events"], again
        assert searched() == 0
        shown = forage("simulate", *place, "-n", "60", "--click-model", "dbn", "--compare", "all", expect=0, env=env)
        assert "reward per 1,000" in shown.out and "lexical" in shown.out and "on a copy" in shown.err, shown
        assert not [name for name in os.listdir(folder.path) if "scratch" in name]
        assert "on a copy" not in forage("simulate", *place, "-n", "30", "--keep", expect=0).err
        assert searched() == 30
        for arguments, message in [(["--scratch", "--keep"], "exclude"), (["x"], "-c"), (["-n", "0"], "1 to 100000"),
                                   (["--click-model", "x"], "pbm, cascade or dbn"), (["-c", "nobody"], "nobody"),
                                   (["--policy", "nobody"], "nobody"), (["--drift-at", "soon"], "drift_at"),
                                   (["--style", "loud=1"], "loud"), (["--style", "typo"], "typo"),
                                   (["-c", "../x"], "../x")]:
            done = forage("simulate", *place, *arguments)
            assert done.status in (1, 2) and message in done.err, (arguments, done)
        assert searched() == 30
        with Server(folder.data) as server:
            assert "--keep" in forage("simulate", "--url", server.url, expect=2).err
            assert "--url" in forage("simulate", *place, expect=1).err
            assert "20 customers" in forage("simulate", "--url", server.url, "--keep", "-n", "20", expect=0).out
    assert "no data folder" in forage("simulate", "--data", "/nonexistent/folder", expect=1).err


@both
def test_policy_goes_back_and_learns_again(place):
    place.import_books()
    told = lambda: place.run("policy", "--json").json()

    def searches(n, learned):  # a server answers before it has learned from a search
        for _ in range(n):
            place.run("search", "fire", "--policy", "regcb")
        ends = time.monotonic() + 20
        while told()["version"] != learned and time.monotonic() < ends:
            time.sleep(0.02)
        assert told()["version"] == learned, told()

    assert "learned from 0 searches" in place.run("policy", "show").out
    searches(2, 2)
    kept = place.run("policy", "keep", "before-the-sale")
    assert kept.out == "version 2 (before-the-sale) is kept\n", kept
    searches(3, 5)
    shown = place.run("policy").out
    assert "learned from 5 searches" in shown and re.search(r"2 +\d{4}-\S+ +before-the-sale", shown), shown
    back = place.run("policy", "rollback", "before-the-sale").out
    assert back == "back at version 2 (before-the-sale); what was there is kept as version 5\n", back
    searches(1, 3)
    assert told()["relearning"] is None, told()
    assert place.run("policy", "rollback", "5", "--json").json()["before"]["version"] == 3
    assert [v["version"] for v in told()["versions"]] == [3, 5, 2], told()
    again = place.run("policy", "relearn").out
    assert "learned from 6 searches and 0 events" in again and "version 5" in again, again
    assert told()["version"] == 6
    assert place.run("policy", "relearn", "--since", "2100-01-01", "--json").json()["searches"] == 0
    assert told()["version"] == 0 and place.run("policy", "rollback", "6", "--quiet").out == ""
    for arguments, status, message in [
            (["rollback", "nobody"], 1, 'there is no version "nobody"'), (["rollback"], 2, "which version"),
            (["keep"], 2, "which name"), (["keep", "7"], 1, "is no number"), (["keep", "a b"], 1, "letters"),
            (["forget"], 2, "expected show, keep, rollback or relearn"), (["relearn", "now"], 2, "no more words"),
            (["relearn", "--since", "soon"], 1, "a date"), (["show", "--since", "2026"], 2, "for relearn")]:
        done = place.run("policy", *arguments, expect=status)
        assert message in done.err, (arguments, done)
    assert told()["version"] == 6


def test_version():
    assert re.fullmatch(r"forage \d+\.\d+\.\d+\n", forage("version", expect=0).out)
    assert forage("--version", expect=0).out == forage("version").out
    assert forage("version", "--json", expect=0).json()["version"]


def test_usage_errors():
    for arguments, message in [
            (["serch"], "forage search"), (["imprt", "x"], "forage import"), (["xyzzy"], "no command"),
            (["search", "--limt", "3", "x"], "--limit"), (["search", "--expain", "x"], "--explain"),
            (["search", "--zzz", "x"], "--zzz"), (["search", "-z", "x"], "-z"),
            (["search", "x", "--limit"], "needs a value"),
            (["search", "--limit", "ten", "x"], "whole number"), (["search", "--limit", "0", "x"], "1 to 1000"),
            (["search", "--explain=yes", "x"], "takes no value"), (["import"], "which file"),
            (["event"], "--query-id"), (["eval"], "which queries"), (["export", "--what", "cats"], "documents or log"),
            (["collections", "crate", "x"], "create"), (["stats", "x"], "no words"),
            (["help", "serch"], "forage search"),
            (["search", "--data", "a", "--url", "http://localhost:1", "x"], "exclude"),
            (["search", "--url", "ftp://x", "x"], "URL")]:
        done = forage(*arguments, expect=2)
        assert message in done.err and done.err.startswith("forage: ") and done.out == "", (arguments, done)


def test_options_may_be_written_in_several_ways():
    with Place(False) as place:
        place.import_books()
        for arguments in [["--limit", "1"], ["--limit=1"], ["-n", "1"], ["-n1"]]:
            done = place.run("search", "--json", "--policy", "all", *arguments, "hunger")
            assert len(found_ids(done)) == 1, arguments
        assert place.run("search", "--json", "--", "--limit", "1").json()["query"] == "--limit 1"


# ---- Every command, on a folder and through a server

@both
def test_first_steps(place):
    done = place.import_books()
    assert "default: 5 documents imported" in done.out and "Inferred schema" in done.out, done
    assert re.search(r"title\s+text", done.out) and re.search(r"year\s+number", done.out), done
    done = place.run("search", "--policy", "all", "hunger", "games")
    assert "The Hunger Games" in done.out and "b1" in done.out and "--action click" in done.out, done
    result = place.run("search", "--policy", "all", "--json", "hunger", "games")
    assert "b1" in found_ids(result)
    query_id = result.json()["query_id"]
    done = place.run("event", "--query-id", query_id, "--document", "f1", "--event-id", "e1")
    assert done.out == "1 accepted\n", done
    again = place.run("event", "--query-id", query_id, "--document", "f1", "--event-id", "e1", "--json").json()
    assert again["duplicates"] == 1 and again["accepted"] == 0, again
    assert place.run("stats", "--json").json()["events"] == 1
    assert "documents" in place.run("stats").out
    assert place.run("check").out.startswith("ok") and place.run("check", "--json").json()["ok"]
    assert place.run("optimize", "--json").json()["documents"] == 5


@both
def test_hint_can_be_typed_in(place):
    place.import_books()
    done = place.run("search", "--policy", "all", "hobbit")
    command = done.out.strip().splitlines()[-1].split()
    assert command[0] == "forage", done
    assert forage(*command[1:], expect=0).out == "1 accepted\n"


@both
def test_search_options(place):
    place.import_books("-c", "books")

    def ids(*arguments):
        return set(found_ids(place.run("search", "--json", "--policy", "all", "--no-log", *arguments, "hunger")))

    assert ids() >= {"b1", "b4", "f1"}
    assert ids("--where", "type=film") == {"f1"}
    assert ids("--where", "year>=2000") == {"b1", "f1"}
    assert ids("--where", "year<1900") == {"b4"}
    assert ids("--where", "year>=2000", "--where", "type!=film") == {"b1"}
    assert ids("--where", "genre=Drama,Classics") == {"f1", "b4"}
    assert ids("--where", "year=2008") == {"b1"}
    assert ids("--filter", '{"any": [{"type": "film"}, {"year": {"lt": 1900}}]}') == {"f1", "b4"}
    assert ids("--filter", '{"type": "book"}', "--where", "year>2000") == {"b1"}
    assert "condition" in place.run("search", "--where", "year", "x", expect=2).err
    assert "--filter" in place.run("search", "--filter", "{", "x", expect=2).err
    assert place.run("search", "--where", "nope=1", "x", expect=1).err.startswith("forage: ")
    done = place.run("search", "--policy", "all", "--facet", "genre", "--facet", "year", "hunger")
    assert "drama 1" in done.out.lower() and "1890" in done.out, done
    done = place.run("search", "--policy", "all", "--explain", "hunger", "games")
    assert "found by" in done.out and "words" in done.out, done
    assert "forage event" not in place.run("search", "--policy", "all", "--no-log", "hunger").out
    assert "Nothing found" in place.run("search", "--policy", "all", "zzyzx").out
    assert len(found_ids(place.run("search", "--json", "--policy", "all"))) > 0  # no query: what is popular


@both
def test_import_reports_lines_of_the_file(place):
    folder = place.folder
    bad = folder.file("bad.ndjson", '{"id": "a", "year": 2000, "title": "A"}\n\n{"id": "b", "year": "nineteen"}\n'
                      '{\n  "id": "c",\n  "year": 3\n}\nnot json\n{"id": "d", "year": 4}\n')
    schema = folder.file("schema.json", '{"fields": {"title": {"type": "text"}, "year": {"type": "number"}}}')
    done = place.run("import", "--schema", schema, bad, expect=3)
    assert "3 documents imported" in done.out and "2 refused" in done.out, done
    assert 'line 3, field "year"' in done.err and "line 8" in done.err, done
    result = place.run("import", "--json", bad, expect=3).json()
    assert (result["indexed"], result["failed"], [e["line"] for e in result["errors"]]) == (3, 2, [3, 8]), result
    pretty = folder.file("pretty.json", json.dumps([{"id": "p", "year": 1}, {"id": "q", "year": "x"}], indent=2))
    assert place.run("import", "--json", pretty, expect=3).json()["errors"][0]["line"] == 6
    only_bad = folder.file("only.ndjson", '{"id": "z", "year": "x"}\n')
    assert place.run("import", only_bad, expect=1).out
    many = folder.file("many.ndjson", '{"id": "z", "year": "x"}\n' * 30 + '{"id": "y", "year": 1}\n')
    done = place.run("import", many, expect=3)
    assert "… and 20 more" in done.err and done.err.count("line ") == 10, done


@both
def test_import_formats(place):
    folder = place.folder
    rows = "sku,title,sold,color\nA1,Red lamp,10,red\nA2,\"Blue, large lamp\",3,blue\n"
    packed = folder.file("products.csv.gz", gzip.compress(rows.encode()))
    done = place.run("import", "-c", "products", "--id", "sku", "--popularity", "sold", "--json", packed)
    assert done.json()["indexed"] == 2, done
    exported = place.run("export", "-c", "products").out.splitlines()
    assert [json.loads(line)["sku"] for line in exported] == ["A1", "A2"]
    assert found_ids(place.run("search", "-c", "products", "--policy", "all", "--json", "blue lamp"))[0] == "A2"
    done = place.run("import", "-c", "piped", "-", "--json", stdin=ndjson(BOOKS).encode())
    assert done.json()["indexed"] == 5
    tsv = folder.file("x.tsv", "id\ttitle\nt1\tTabs\n")
    two = place.run("import", "-c", "two", tsv, folder.file("y.json", '[{"id": "j1"}, {"id": "j2"}]'), "--json")
    assert two.json()["indexed"] == 3
    assert "ndjson, json, csv or tsv" in place.run("import", "--format", "xml", tsv, "-c", "two", expect=2).err
    assert "nope.csv" in place.run("import", folder.path + "/nope.csv", "-c", "two", expect=1).err
    assert place.run("import", folder.path, "-c", "two", expect=1).err
    cut_short = folder.file("cut.gz", gzip.compress(os.urandom(90000).hex().encode())[:5000])
    cut = place.run("import", "-c", "two", cut_short, expect=1)
    assert cut.err.startswith("forage: "), cut


@both
def test_export_can_be_imported(place):
    place.import_books()
    out = os.path.join(place.folder.path, "out.ndjson")
    place.run("export", "-o", out)
    with open(out, encoding="utf-8") as file:
        assert [json.loads(line) for line in file] == BOOKS
    assert not os.path.exists(out + ".partial")
    with Folder() as other:
        assert forage("import", "--data", other.data, "--json", out, expect=0).json()["indexed"] == len(BOOKS)
    query = place.run("search", "--json", "--policy", "all", "hobbit").json()["query_id"]
    place.run("event", "--query-id", query, "--document", "b3")
    log = [json.loads(line) for line in place.run("export", "--what", "log").out.splitlines()]
    assert len(log) == 2 and query in json.dumps(log[0]), log
    assert place.run("export", "-o", "x.zst", expect=2).err


@both
def test_export_has_more_than_one_page(place):
    documents = [{"id": f"d{i}", "title": f"title {i}"} for i in range(2345)]
    place.run("import", place.folder.file("many.ndjson", ndjson(documents)), "--quiet")
    lines = place.run("export").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [d["id"] for d in documents]


@both
def test_collections(place):
    empty = forage("collections", *place.options, expect=None)
    assert (empty.status, place.remote) in [(0, True), (1, False)], empty  # without a folder there is nothing to list
    schema = place.folder.file("s.json", '{"fields": {"title": {"type": "text", "weight": 2}}}')
    done = place.run("collections", "create", "films", "--schema", schema)
    assert "films: 0 documents" in done.out and re.search(r"title\s+text\s+2", done.out), done
    assert place.run("collections", "create", "books", "--json").json()["name"] == "books"
    listed = place.run("collections").out
    assert re.search(r"books\s+0", listed) and re.search(r"films\s+0", listed), listed
    assert [c["name"] for c in place.run("collections", "--json").json()["collections"]] == ["books", "films"]
    assert "films" in place.run("collections", "show", "films").out
    several = place.run("search", "x", expect=2)
    assert "books, films" in several.err and "-c" in several.err, several
    assert "--yes" in place.run("collections", "drop", "films", expect=2).err
    assert place.run("collections", "drop", "films", "--yes").out == "removed films\n"
    missing = place.run("collections", "show", "films", expect=1)
    assert missing.err.startswith("forage: ") and "forage collections" in missing.err, missing
    assert place.run("collections", "create", "Not Good", expect=1).err


@both
def test_events_from_a_file(place):
    place.import_books()
    query = place.run("search", "--json", "--policy", "all", "hunger").json()["query_id"]

    def event(document, query_id=query):
        return {"query_id": query_id, "action_name": "click", "event_attributes": {"object": {"object_id": document}}}

    good = place.folder.file("good.ndjson", ndjson([event("b1"), event("f1")]))
    assert place.run("event", good, "--json").json()["accepted"] == 2
    mixed = place.folder.file("mixed.ndjson", ndjson([event("b1"), event("b1", "nobody"), event("nothing")]))
    done = place.run("event", mixed, expect=3)
    assert "1 accepted, 2 rejected" in done.out and "line 2" in done.err and "line 3" in done.err, done
    done = place.run("event", "--query-id", "nobody", "--document", "b1", expect=1)
    assert done.err.startswith("forage: ") and "forage search" in done.err, done
    assert place.run("event", "--query-id", query, "--document", "b1", "--action", "nonsense", expect=1).err


@both
def test_eval(place):
    place.import_books()
    folder = place.folder
    queries = folder.file("q.tsv", "q1\thunger games\nq2\thobbit\nq3\tnobody judged this\n")
    trec = folder.file("qrels.txt", "q1 0 b1 2\nq1 0 f1 1\nq2 0 b3 1\n")
    done = place.run("eval", "--queries", queries, "--judgments", trec)
    assert "2 queries" in done.out and "ndcg@10" in done.out, done
    result = place.run("eval", "--queries", queries, "--judgments", trec, "-m", "mrr,recall@10", "--json").json()
    assert result["queries"] == 2 and [m["name"] for m in result["metrics"]] == ["mrr", "recall@10"], result
    assert all(m["mean"] == 1 for m in result["metrics"]), result
    lines = ndjson([{"_id": "q1", "text": "hunger games"}, {"_id": "q2", "text": "hobbit"}])
    jsonl = folder.file("q.jsonl.gz", gzip.compress(lines.encode()))
    beir = folder.file("j.tsv", "query-id\tcorpus-id\tscore\nq1\tb1\t2\nq1\tf1\t1\nq2\tb3\t1\n")
    other = place.run("eval", "--queries", jsonl, "--judgments", beir, "-m", "mrr,recall@10", "--json").json()
    assert other["metrics"] == result["metrics"]
    run = os.path.join(folder.path, "out.run")
    written = place.run("eval", "--queries", queries, "--judgments", trec, "-m", "mrr,recall@10", "--json",
                        "--run-out", run)
    assert written.json()["metrics"] == result["metrics"]
    with open(run, encoding="utf-8") as file:
        lines = [line.split() for line in file]
    assert all(len(line) == 6 for line in lines) and {line[0] for line in lines} == {"q1", "q2"}, lines
    from_run = forage("eval", "--run", run, "--judgments", trec, "-m", "mrr,recall@10", "--json", expect=0)
    assert from_run.json()["metrics"] == result["metrics"]
    for arguments, message in [(["--queries", queries], "--judgments"),
                               (["--queries", queries, "--judgments", folder.file("e", "")], "empty"),
                               (["--queries", folder.file("bad", "no tab\n"), "--judgments", trec], "line 1"),
                               (["--queries", queries, "--judgments", folder.file("bad2", "q1 0\n")], "line 1"),
                               (["--queries", folder.file("other", "x\ty\n"), "--judgments", trec], "differ"),
                               (["--queries", queries, "--judgments", trec, "-m", "nonsense"], "nonsense")]:
        done = place.run("eval", *arguments, expect=None)
        assert done.status in (1, 2) and message in done.err, (arguments, done)


@both
def test_terms(place):
    place.import_books()
    found = place.run("terms", "--fuzzy", "hobit", "--json").json()
    assert found["terms"] == [{"term": "hobbit", "documents": 1, "edits": 1}] and not found["more"], found
    shown = place.run("terms", "--prefix", "hob")
    assert re.search(r"^hobbit +1$", shown.out, re.M), shown
    assert "no such term" in place.run("terms", "--from", "zzz").err
    assert "edits" in place.run("terms", "--fuzzy", "x", "--edits", "9", expect=1).err
    assert "--prefix" in place.run("terms", "hob", expect=2).err


@both
def test_eval_of_a_beir_folder(place):
    root = os.path.join(place.folder.path, "beir")
    os.makedirs(os.path.join(root, "qrels"))
    corpus = [{"_id": b["id"], "title": b["title"], "text": b["genre"], "metadata": {}} for b in BOOKS]
    files = {"corpus.jsonl": ndjson(corpus),
             "queries.jsonl": ndjson([{"_id": "1", "text": "hobbit"}, {"_id": "2", "text": "catching fire"}]),
             "qrels/test.tsv": "query-id\tcorpus-id\tscore\n1\tb3\t1\n2\tb2\t1\n"}
    for name, text in files.items():
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            file.write(text)
    result = place.run("eval", "--beir", root, "--import", "--json").json()
    assert result["queries"] == 2 and all(m["mean"] == 1 for m in result["metrics"]), result
    if place.remote:
        assert place.run("collections", "--json").json() == {"collections": []}
    else:
        assert not os.path.exists(place.folder.data)


# ---- Trouble

def test_server_out_of_reach():
    with Folder() as folder:
        done = forage("search", "--url", "http://127.0.0.1:9", "x", expect=1)
        assert "could not reach http://127.0.0.1:9" in done.err and "forage serve" in done.err, done
        with Server(folder.data) as server:
            url = server.url
            assert forage("collections", expect=0, env=environment(FORAGE_URL=url)).out
            wrong = forage("search", "--url", url + "/nowhere", "x", expect=1)
            assert wrong.err.startswith("forage: "), wrong


def test_api_key():
    with Folder() as folder:
        key, wrong = folder.file("key", "k-123\n"), folder.file("wrong", "k-124")
        with Server(folder.data, "--api-key-file", key) as server:
            for arguments in [[], ["--api-key-file", wrong]]:
                done = forage("collections", "--url", server.url, *arguments, expect=1)
                assert "API key" in done.err and "--api-key-file" in done.err, done
            assert forage("collections", "--url", server.url, "--api-key-file", key, expect=0)
            assert forage("collections", "--url", server.url, env=environment(FORAGE_API_KEY="k-123"), expect=0)
        empty = forage("serve", "--data", folder.data, "--api-key-file", folder.file("empty", "\n"), expect=1)
        assert "no API key" in empty.err, empty


def test_locked_folder():
    with Folder() as folder, Server(folder.data) as server:
        server.load()
        data = ["--data", folder.data]
        note = forage("search", "--policy", "all", "hunger", *data, expect=0)
        assert "reads only" in note.err and note.out, note
        for arguments in [["stats"], ["export"], ["collections"]]:
            done = forage(*arguments, *data, expect=0)
            assert done.err == "" and done.out, (arguments, done)
        judgments, queries = folder.file("j", "q1 0 b3 1\n"), folder.file("q", "q1\thobbit\n")
        assert "mrr" in forage("eval", "--queries", queries, "--judgments", judgments, *data, expect=0).out
        books = folder.file("books.ndjson", ndjson(BOOKS))
        for arguments in [["import", books], ["optimize"], ["event", "--query-id", "a", "--document", "b"],
                          ["collections", "drop", "books", "--yes"]]:
            done = forage(*arguments, *data, expect=1)
            assert folder.data in done.err and "--url" in done.err, (arguments, done)
        assert server.request("GET", "/collections/books").json()["documents"] == len(BOOKS)


def test_missing_folder():
    with Folder() as folder:
        for arguments in [["search", "x"], ["stats"], ["export"], ["check"],
                          ["event", "--query-id", "a", "--document", "b"]]:
            done = forage(*arguments, "--data", folder.data, expect=1)
            assert "forage import" in done.err, done
        assert not os.path.exists(folder.data)
        done = forage("import", "--data", folder.file("a-file", ""), folder.file("b.ndjson", ndjson(BOOKS)), expect=1)
        assert done.err.startswith("forage: "), done
        books = folder.file("books.ndjson", ndjson(BOOKS))
        forage("import", "-q", books, env=environment(FORAGE_DATA_FOLDER=folder.data), expect=0)
        assert os.path.isdir(folder.data)


def test_busy_server_is_asked_again():
    with Folder() as folder, Server(folder.data, "--workers", "1", "--queue", "1") as server:
        results = []

        def send(i):
            path = folder.file(f"{i}.ndjson", ndjson({"id": f"{i}-{j}", "title": f"title {j}"} for j in range(3000)))
            done = forage("import", "--url", server.url, "-c", f"c{i}", "--json", path, expect=0)
            results.append(done.json()["indexed"])

        threads = [threading.Thread(target=send, args=(i,)) for i in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [3000] * 5, results


def test_closed_output():
    with Place(False) as place:
        documents = [{"id": f"d{i}", "title": "x" * 200} for i in range(3000)]
        place.run("import", place.folder.file("many.ndjson", ndjson(documents)), "--quiet")
        export = f"'{COMMAND}' export --data '{place.folder.data}' 2>'{place.folder.path}/err'"
        assert os.system(f"{export} | head -1 >/dev/null") == 0
        with open(os.path.join(place.folder.path, "err"), encoding="utf-8") as file:
            text = file.read()
        assert text == "", text  # whoever closes the pipe has seen enough


# ---- On a terminal

def on_a_terminal(*arguments, columns=60, env=None):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.clear()
        os.environ.update(env or environment(TERM="xterm"))
        os.execv(COMMAND, [COMMAND, *arguments])
    import fcntl
    import struct
    import termios
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    text = b""
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        text += chunk
    os.waitpid(pid, 0)
    os.close(fd)
    return text.decode()


def test_terminal():
    with Place(False) as place:
        evil = {"id": "e1", "title": "hunger \x1b[31mred\x1b[0m \x07 \u202e 飢餓 " + "long " * 40}
        place.run("import", place.folder.file("e.ndjson", ndjson(BOOKS + [evil])))
        shown = on_a_terminal("search", "--policy", "all", *place.options, "hunger")
        assert "\x1b[1m" in shown and "\x1b[31m" not in shown and "\x07" not in shown and "…" in shown, shown
        table = [re.sub(r"\x1b\[\d*m", "", line) for line in shown.split("\r\n\r\n")[0].splitlines()]
        assert table and all(len(line) <= 60 for line in table), table
        plain = on_a_terminal("search", "--policy", "all", *place.options, "hunger",
                              env=environment(TERM="xterm", NO_COLOR="1"))
        assert "\x1b[" not in plain, plain
        piped = place.run("search", "--policy", "all", "hunger").out
        assert "\x1b" not in piped and "long long" in piped and "…" not in piped, piped


@both
def test_predict(place):
    place.import_books()
    assert place.run("search", "--json", "panem arena", expect=None).json()["hits"] == []
    lines = place.folder.file("p.tsv.gz", gzip.compress(
        b"document\tquery\tscore\nb1\tpanem arena\t0.9\nb1\tno number\tmuch\nnobody\tx\t0.5\nb2\tmocking birds\n\xff\tx\t1\n"))
    done = place.run("predict", "import", lines, expect=3)
    assert "2 predicted queries stored" in done.out and "line 3" in done.err and "line 4" in done.err, done
    assert "line 6: it is not UTF-8" in done.err, done
    more = place.folder.file("p.ndjson", ndjson([{"id": "b3", "predicted_queries": ["second breakfast", "ring"]}]))
    result = place.run("predict", "import", more, "--json").json()
    assert result == {"received": 2, "stored": 2, "failed": 0, "errors": []}, result
    assert found_ids(place.run("search", "--json", "--policy", "all", "Panem arena")) == ["b1"]
    assert found_ids(place.run("search", "--json", "--policy", "all", "second breakfasts")) == ["b3"]
    shown = place.run("predict", "show", "b1")
    assert "panem arena" in shown.out and "imported" in shown.out and "0.900" in shown.out, shown
    assert "the hobbit" in place.run("predict", "show", "--suggest", "b3").out
    assert "no document" in place.run("predict", "show", "zzz", expect=1).err
    assert "4 predictions" in place.run("predict", "status").out
    left = place.run("predict", "drop", "--source", "imported", "--json").json()
    assert left["predictions"] == 0 and left["sources"]["imported"] == 0, left
    assert place.run("search", "--json", "panem arena", expect=None).json()["hits"] == []
    for arguments, message in [([], "status, show"), (["shwo", "b1"], "predict show"), (["xyzzy"], "xyzzy"),
                               (["show"], "one document"), (["import"], "which file"), (["build", "x"], "no words"),
                               (["build", "-n", "65"], "1 to 64"), (["build", "-s", "imported"], "imported"),
                               (["drop", "-s", "oracle"], "oracle"), (["import", place.folder.path + "/none"], "none")]:
        done = place.run("predict", *arguments, expect=None)
        assert done.status in (1, 2) and message in done.err, (arguments, done)


def test_sample_catalogue():
    with Place(False) as place:
        started = time.time()
        done = place.run("import", "--schema", os.path.join(MEDIA, "schema.json"),
                         os.path.join(MEDIA, "catalogue.ndjson.zst"))
        assert "19,580 documents imported" in done.out and "Inferred" not in done.out, done
        took = time.time() - started
        result = place.run("eval", "--queries", os.path.join(MEDIA, "queries.tsv"), "--judgments",
                           os.path.join(MEDIA, "judgments.tsv"), "--json").json()
        assert result["queries"] == 120 and result["metrics"][0]["mean"] > 0.5, (took, result)


def test_predictions_of_the_sample_catalogue():
    with Place(True) as place:
        place.run("import", "--schema", os.path.join(MEDIA, "schema.json"),
                  os.path.join(MEDIA, "catalogue.ndjson.zst"))
        built = place.run("predict", "build", "--source", "catalogue", "--documents", "6000", "--json").json()
        assert built["documents"] == 6000 and built["predictions"] > 12000, built
        shown = place.run("predict", "show", "book:1", "--json").json()
        queries = {entry["query"]: entry for entry in shown["predictions"]}
        assert "the hunger games" in queries and "the hunger games suzanne collins" in queries, shown
        assert not any(" en " in query for query in queries), shown
        assert all(0 < entry["score"] <= 1 and list(entry["sources"]) == ["catalogue"] for entry in queries.values())
        clicks = []
        with open(os.path.join(MEDIA, "queries.tsv"), encoding="utf-8") as file:
            for line in list(file)[:30]:
                found = place.run("search", "--json", "--policy", "all", line.split("\t")[1].strip()).json()
                clicks += [{"query_id": found["query_id"], "action_name": "click",
                            "event_attributes": {"object": {"object_id": hit["id"]}}} for hit in found["hits"][:3]]
        place.run("event", place.folder.file("clicks.ndjson", ndjson(clicks)))
        trained = place.run("predict", "train", "--json").json()
        assert trained["pairs"] >= 50 and trained["terms"] > 20, trained
        judged = place.run("predict", "evaluate", "--json").json()
        assert 0 < judged["pairs"] < len(clicks), judged
        assert [s["source"] for s in judged["sources"]] == ["catalogue", "borrowed", "translated", "imported", "all"]
        assert judged["sources"][0]["found"] > 0 and judged["sources"][3]["found"] == 0, judged
        assert judged["sources"][4]["found"] >= judged["sources"][0]["found"], judged
        lines = place.folder.file("p.tsv", "book:1\ttributes of district twelve\t0.8\n")
        assert place.run("predict", "import", lines, "--json").json()["stored"] == 1
        assert "book:1" in found_ids(place.run("search", "--json", "--policy", "all", "tributes of district twelve"))
        status = place.run("predict", "status", "--json").json()
        assert status["sources"]["imported"] == 1 and status["queries"] >= 20 and status["model"]["pairs"] >= 50, status
        left = place.run("predict", "drop", "--json").json()
        assert left["predictions"] == 0 and left["queries"] == status["queries"], left


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
