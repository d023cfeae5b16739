#!/usr/bin/env python3
"""Rankers that are trained, imported, compared and explained, by real processes: customers are simulated, a model learns from
them, serves, is taken back; trainings are cancelled and killed; pages stay as they were; whatever is wrong is said."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from forage_process import COMMAND, SOURCE, Folder, Server, environment, forage, ndjson, run_tests

SEEDS = os.path.join(SOURCE, "tests", "fuzz", "seeds", "forest")
GOLDEN = os.path.join(SOURCE, "tests", "golden", "forest")
WORDS = "river stone winter garden silver night island letter glass summer".split()
GENRES = ["drama", "comedy", "crime", "fantasy"]


def catalogue():
    source = random.Random(1)
    return [{"id": f"d{i}", "type": source.choice(["book", "film"]), "title": " ".join(source.sample(WORDS, 3)),
             "genre": source.choice(GENRES), "year": 1950 + i % 70, "price": round(1 + 20 * source.random(), 2),
             "popularity": round(100 * source.random())} for i in range(300)]


PREPARED = {}  # what several tests begin with is made once


def prepared(folder, customers=500):
    """A data folder whose collection has learned from customers; a copy of its own for each test."""
    if customers not in PREPARED:
        home = PREPARED.setdefault("home", tempfile.TemporaryDirectory(prefix="forage-test-"))
        data = os.path.join(home.name, f"data{customers}")
        file = os.path.join(home.name, "catalogue.ndjson")
        with open(file, "w", encoding="utf-8") as out:
            out.write(ndjson(catalogue()))
        forage("import", "--data", data, file, "-q", expect=0)
        if customers:
            forage("simulate", "--data", data, "--keep", "-q", "-n", str(customers), "--compare-every", "0", expect=0)
        PREPARED[customers] = data
    shutil.copytree(PREPARED[customers], folder.data)
    return ["--data", folder.data]


def trained(place, *more):
    return forage("train", *place, "--kind", "trees", "--trees", "20", "--leaves", "6", "--json", "-q", *more, expect=0).json()


def of_server(server, method, rest, body=None, expect=200):
    answer = server.request(method, "/collections/default" + rest, body)
    assert answer.status == expect, (method, rest, answer)
    return answer.json()


# ---- Training


def test_a_model_is_trained_reported_and_served():
    with Folder() as folder:
        place = prepared(folder)
        told = forage("train", *place, "--trees", "30", "--leaves", "6", "--name", "first", "--seed", "3", "--json", expect=0).json()
        report = told["report"]
        assert told["state"] == "done" and told["model"] == 1 and told["activated"] == report["wins"], told
        assert report["data"]["searches"] == 500 and report["data"]["with_feedback"] > 100, report["data"]
        data, held = report["data"], report["held_out"]
        assert data["trained_on"] + data["stopped_by"] + data["judged_by"] == data["with_feedback"]
        assert held["searches"] == data["judged_by"] and held["incumbent_ranker"] == "linear"
        assert held["difference"]["low"] <= held["difference"]["value"] <= held["difference"]["high"]
        assert held["model"]["low"] < held["model"]["value"] <= 1
        assert set(report["fit"]) >= {"linear", "trees", "trees_ahead"} and report["seed"] == 3

        shown = forage("train", *place, "--trees", "30", "--leaves", "6", "--name", "second", "--seed", "3", "--no-activate", expect=0).out
        for text in ("searches have feedback", "rank  1  █", "linear    validation NDCG", "trees     validation NDCG", "held out",
                     "difference",
                     "model 2: it ", "It is kept and does not serve", "forage models activate 2"):
            assert text in shown, (text, shown)
        again = forage("models", "show", *place, "2", "--json", expect=0).json()
        assert again["name"] == "second" and not again["active"]
        if not told["activated"]:  # the same log, seed and incumbent: the same verdict
            assert again["report"]["verdict"] == report["verdict"]

        listed = forage("models", *place, expect=0).out
        assert re.search(r"2\s+second", listed) and re.search(r"1\s+first", listed), listed
        one = forage("models", "show", *place, "1", expect=0).out
        assert "█" in one and "first" in one and "model 1: " in one, one


def test_models_serve_and_are_taken_back():
    with Folder() as folder:
        place = prepared(folder)
        assert trained(place, "--no-activate")["model"] == 1 and trained(place, "--no-activate", "--seed", "2")["model"] == 2

        def serving():
            state = forage("models", *place, "--json", expect=0).json()
            return state["active"], state["shadow"]

        def ranker():
            return forage("search", *place, "--json", "--no-log", "river", expect=0).json()["ranker"]["name"]

        assert serving() == (0, 0) and ranker() == "linear"
        assert "model 1 serves" in forage("models", "activate", *place, "1", expect=0).out
        assert serving() == (1, 0) and ranker() == "model:1"
        forage("models", "activate", *place, "2", expect=0)
        assert "model 1 scores beside it" in forage("models", "shadow", *place, "1", expect=0).out
        assert serving() == (2, 1) and ranker() == "model:2"
        for n in ("1", "2"):
            assert "model" in forage("models", "remove", *place, n, expect=1).err
        assert "model 1 serves" in forage("models", "rollback", *place, expect=0).out
        assert "linear ranker" in forage("models", "rollback", *place, expect=0).out
        assert forage("models", "rollback", *place, expect=1).err.startswith("forage: ") and serving() == (0, 0)
        assert ranker() == "linear"
        forage("models", "shadow", *place, "0", expect=0)
        forage("models", "remove", *place, "2", expect=0)
        assert [m["model"] for m in forage("models", *place, "--json", expect=0).json()["models"]] == [1]


def test_a_shadow_is_told_how_it_would_have_done():
    with Folder() as folder:
        place = prepared(folder)
        trained(place, "--no-activate")
        assert "No search" in forage("models", "shadow", *place, expect=0).out
        forage("models", "shadow", *place, "1", expect=0)
        forage("simulate", *place, "--keep", "-q", "-n", "80", "--seed", "9", "--compare-every", "0", expect=0)
        told = forage("models", "shadow", *place, "--json", expect=0).json()
        assert told["searches"] > 20 and 0 < told["shadow"]["value"] <= 1 and told["difference"]["low"] <= told["difference"]["high"], told
        assert "difference" in forage("models", "shadow", *place, expect=0).out
        record = next(json.loads(line) for line in forage("export", "--what", "log", *place, expect=0).out.splitlines()
                      if '"shadow_rank"' in line)
        assert record["shadow"] == "model:1" and record["hits"][0]["shadow_rank"] >= 1, record


def test_explanations_sum_to_the_score():
    with Folder() as folder:
        place = prepared(folder)
        trained(place, "--no-activate")
        for ranker, method in (("model:1", "tree_shap"), ("linear", "linear")):
            told = forage("explain", *place, "--ranker", ranker, "--json", "-n", "5", "river stone", expect=0).json()
            assert len(told["hits"]) == 5 and told["ranker"]["name"] == ranker and told["query_id"] is None
            for hit in told["hits"]:
                e = hit["explain"]
                total = e["bias"] + sum(f["contribution"] for f in e["features"])
                assert e["method"] == method and abs(total - hit["score"]) < 1e-3 * max(1, abs(hit["score"])), (ranker, total, hit["score"])
        names = {f["name"] for f in forage("models", "features", *place, "--json", expect=0).json()["columns"]}
        assert {f["name"] for f in e["features"]} <= names
        last = told["hits"][4]["id"]
        one = forage("explain", *place, "--ranker", "linear", "--document", last, "--json", "river stone", expect=0).json()
        assert one["rank"] and one["hit"]["id"] == last
        shown = forage("explain", *place, "--ranker", "model:1", "--features", "3", "river stone", expect=0).out
        assert "exact Shapley values" in shown and "more" in shown, shown
        assert "sum of 1 / (60 + rank)" in forage("explain", *place, "--ranker", "rrf", "river", expect=0).out
        assert 'no document "nobody"' in forage("explain", *place, "--document", "nobody", "river", expect=1).err
        assert forage("stats", *place, "--json", expect=0).json()["impressions"] == 500  # nothing was logged


def test_judgments_have_a_say():
    with Folder() as folder:
        place = prepared(folder)
        queries = folder.file("queries.tsv", "".join(f"q{i}\t{w}\n" for i, w in enumerate(WORDS)))
        judged = folder.file("judgments.tsv", "".join(f"q{i}\t{d['id']}\t1\n" for i, w in enumerate(WORDS) for d in catalogue()
                                                      if d["title"].startswith(w)))
        people = trained(place, "--queries", queries, "--judgments", judged)["report"]["judgments"]
        assert 0 < people["model"] <= 1 and 0 < people["incumbent"] <= 1, people
        assert "belong together" in forage("train", *place, "--queries", queries, expect=2).err
        other = folder.file("other.tsv", "x\td1\t1\n")
        assert "ids differ" in forage("train", *place, "--queries", queries, "--judgments", other, expect=1).err


def test_bags_differ_and_are_averaged():
    with Folder() as folder:
        place = prepared(folder)
        told = trained(place, "--bags", "2", "--no-activate")["report"]["fit"]["trees"]
        assert told["bags"] == 2 and told["trees"] <= 40, told
        assert trained(place, "--bags", "2", "--colsample", "0.5", "--no-activate")["model"] == 2


def test_too_little_is_said():
    with Folder() as folder:
        place = prepared(folder, customers=0)
        failed = forage("train", *place, "-q", expect=1)
        assert "at least 30" in failed.err and failed.out == "", failed
        assert "no models yet" in forage("models", *place, expect=0).err


def test_a_training_by_itself():
    with Folder() as folder:
        place = prepared(folder)
        with Server(folder.data) as server:
            of_server(server, "PUT", "", {"ranking": {"train_every": 30}})
            assert of_server(server, "GET", "/train")["state"] == "never"
            for n in range(40):
                visit(server, n, lambda a: 0)
            deadline = time.time() + 60
            while (state := of_server(server, "GET", "/train"))["state"] in ("never", "running"):
                assert time.time() < deadline, state
                time.sleep(0.05)
            assert state["state"] == "done", state
            assert of_server(server, "GET", "/models")["models"]


# ---- Cut short

LONG = ["--kind", "trees", "--trees", "5000", "--patience", "0", "--leaves", "200"]


def test_an_interrupt_cancels():
    with Folder() as folder:
        place = prepared(folder)
        process = subprocess.Popen([COMMAND, "train", *place, *LONG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=environment())
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1 and "cancelled" in err and out == "", (process.returncode, out, err)
        assert forage("models", *place, "--json", expect=0).json()["models"] == []


def await_fitting(server):
    deadline = time.time() + 60
    while (state := of_server(server, "GET", "/train")).get("phase") != "fitting":
        assert state["state"] == "running" and time.time() < deadline, state
        time.sleep(0.02)


BODY = {"kind": "trees", "trees": 5000, "patience": 0, "leaves": 200}


def test_a_training_on_a_server_is_watched_and_cancelled():
    with Folder() as folder:
        place = prepared(folder)
        with Server(folder.data) as server:
            of_server(server, "POST", "/train", BODY, expect=202)
            await_fitting(server)
            of_server(server, "POST", "/train", {}, expect=409)
            assert of_server(server, "POST", "/search", {"query": "river", "limit": 3})["hits"]  # searches go on
            assert of_server(server, "DELETE", "/train")["state"] == "cancelled"
            of_server(server, "DELETE", "/train", expect=404)
            assert of_server(server, "GET", "/models")["models"] == []
            remote = forage("train", "--url", server.url, "--kind", "linear", "--json", expect=0).json()
            assert remote["model"] == 1 and remote["report"]["kind"] == "linear"
            of_server(server, "POST", "/train", BODY, expect=202)
            assert server.stop() == 0  # a training does not keep the server from ending


def test_killed_while_training():
    with Folder() as folder:
        place = prepared(folder)
        trained(place, "--no-activate")
        forage("models", "activate", *place, "1", expect=0)
        with Server(folder.data) as server:
            of_server(server, "POST", "/train", BODY, expect=202)
            await_fitting(server)
            search = of_server(server, "POST", "/search", {"query": "river"})
            of_server(server, "POST", "/events", {"query_id": search["query_id"], "action_name": "click",
                                                  "event_attributes": {"object": {"object_id": search["hits"][0]["id"]}}})
            server.stop(signal.SIGKILL)
        assert forage("check", *place, "--json", expect=0).json()["ok"]
        with Server(folder.data) as server:
            state = of_server(server, "GET", "/models")
            assert state["active"] == 1 and [m["model"] for m in state["models"]] == [1], state
            assert of_server(server, "GET", "/train")["state"] == "never"
            assert of_server(server, "GET", "/stats")["events"] > 0
            kept = server.request("GET", "/collections/default/log?limit=100000").body.decode()
            assert kept.count(search["query_id"]) >= 2  # the search and its acknowledged event
            assert of_server(server, "POST", "/search", {"query": "river", "log": False})["ranker"]["name"] == "model:1"
            assert of_server(server, "POST", "/train", {"kind": "linear", "activate": False, "wait": True})["model"] == 2


# ---- In and out


def test_models_of_others():
    ours = ["lexical_score", "memory_mean", "field.year", "popularity", "field.price", "words.coverage"]
    with Folder() as folder:
        place = prepared(folder, customers=0)
        names = folder.file("map.tsv", "".join(f"feature_{i}\t{o}\n" for i, o in enumerate(ours)) +
                            "".join(f"{t}\t{o}\n" for t, o in zip("abcde", ours)))
        for n, path in enumerate((os.path.join(GOLDEN, "lambdarank.txt"), os.path.join(SEEDS, "xgboost3.json"),
                                  os.path.join(SEEDS, "xgboost3.ubj")), 1):
            told = forage("models", "import", *place, path, "--map", names, "--name", f"theirs {n}", "--json", expect=0).json()
            assert told["model"] == n and told["active"] == 0, told
            details = forage("models", "show", *place, str(n), "--json", expect=0).json()
            assert details["name"] == f"theirs {n}" and {f["feature"] for f in details["importance"]} <= set(ours), details
            found = forage("search", *place, "--ranker", f"model:{n}", "--explain", "--json", "river", expect=0).json()
            assert found["ranker"]["name"] == f"model:{n}" and found["hits"]
            for hit in found["hits"]:
                e = hit["explain"]
                assert abs(e["bias"] + sum(f["contribution"] for f in e["features"]) - hit["score"]) < 1e-4
        assert "imported" in forage("models", *place, expect=0).out
        forms = [forage("search", *place, "--policy", "all", "--ranker", f"model:{n}", "--json", "--no-log", "river",
                        expect=0).json() for n in (2, 3)]
        both = [{h["id"]: h["score"] for h in form["hits"]} for form in forms]
        assert all(abs(both[0][i] - both[1][i]) < 1e-6 for i in both[0].keys() & both[1].keys())

        whole = open(os.path.join(GOLDEN, "lambdarank.txt"), "rb").read()
        cut = folder.file("cut.txt", whole[:len(whole) // 2])
        assert forage("models", "import", *place, cut, "--map", names, expect=1).err.startswith("forage: ")
        for text in (b"", b"no model", b"{}", b"{\"learner\":" + b"[" * 1000, bytes(range(256)) * 40):
            failed = forage("models", "import", *place, folder.file("bad", text), expect=1)
            assert failed.err.startswith("forage: ") and failed.out == "", failed
        golden = os.path.join(GOLDEN, "lambdarank.txt")
        assert "feature_0" in forage("models", "import", *place, golden, expect=1).err
        for lines in ("feature_0\tnothing\n", "feature_0 lexical_score\n", '{"feature_0": 3}', "\t\n"):
            failed = forage("models", "import", *place, golden, "--map", folder.file("wrong.tsv", lines), expect=1)
            assert failed.err.startswith("forage: "), failed
        forage("models", "import", *place, golden, "--allow-missing", expect=0)
        forage("models", "import", *place, "/nowhere", expect=1)
        assert len(forage("models", *place, "--json", expect=0).json()["models"]) == 4


def test_models_of_others_by_a_server():
    with Folder() as folder:
        prepared(folder, customers=0)
        with Server(folder.data) as server:
            columns = [c["name"] for c in of_server(server, "GET", "/features")["columns"]]
            long = "".join(f"theirs, with a name that is long enough to be found anywhere {i}\t{c}\n" for i, c in enumerate(columns))
            names = folder.file("map.tsv", long + "".join(f"{t}\t{c}\n" for t, c in zip("abcde", columns)))
            for name in ("xgboost3.ubj", "dart.ubj"):
                done = forage("models", "import", "--url", server.url, os.path.join(SEEDS, name), "--map", names, "--allow-missing",
                              expect=0)
                assert "does not serve yet" in done.out, done
            shown = forage("models", "show", "--url", server.url, "1", expect=0).out
            assert "imported" in shown and columns[0] in shown, shown


def test_training_data_is_taken_out_and_learned_from():
    with Folder() as folder:
        place = prepared(folder)
        rows = os.path.join(folder.path, "rows.txt")
        forage("models", "export-data", *place, "-o", rows, expect=0)
        lines = open(rows, encoding="utf-8").read().splitlines()
        assert lines[0].startswith("# 1:lexical_rrf ") and all("qid:" in line for line in lines[1:]), lines[:2]
        assert any("position=1" in line for line in lines) and len(lines) > 1000
        told = forage("train", "--svmlight", rows, "--kind", "linear", "--gain", "linear", "--json", "-q", expect=0).json()
        assert told["model"] == "linear"
        assert forage("export", "--what", "log", *place, "--format", "letor", expect=0).out.count("qid:") > 1000


def test_examination_is_a_curve():
    with Folder() as folder:
        place = prepared(folder)
        for method in ("harvest", "regression-em"):
            told = forage("models", "examination", *place, "--method", method, "--json", expect=0).json()
            assert told["method"] == method and told["ranks"][0]["estimate"] == 1
            assert all(0 < r["estimate"] <= 1.5 for r in told["ranks"])
        assert "rank  1  █" in forage("models", "examination", *place, expect=0).out
        assert "magic" in forage("models", "examination", *place, "--method", "magic", expect=1).err


# ---- Orders


def test_pages_stay_as_they_were():
    with Folder() as folder:
        prepared(folder)
        request = {"query": "river", "policy": "all", "seed": 5, "timeout_ms": 60000}
        with Server(folder.data) as server:
            whole = [h["id"] for h in of_server(server, "POST", "/search", {**request, "limit": 12, "log": False})["hits"]]
            first = of_server(server, "POST", "/search", {**request, "limit": 4, "page": True})
            seen = [h["id"] for h in first["hits"]]
            server.load("default", [{"id": "new", "type": "book", "title": "river river river", "popularity": 1000}])
            of_server(server, "POST", "/events", [{"query_id": first["query_id"], "action_name": "purchase",
                                                   "event_attributes": {"object": {"object_id": seen[3]}}}])
            second = of_server(server, "POST", "/search", {**request, "limit": 4, "page": first["next_page"]})
        with Server(folder.data) as server:  # and after a restart
            third = of_server(server, "POST", "/search", {**request, "limit": 4, "page": second["next_page"]})
            seen += [h["id"] for h in second["hits"] + third["hits"]]
            assert seen == whole, (seen, whole)
            changed = of_server(server, "POST", "/search", {**request, "limit": 12, "log": False})
            assert [h["id"] for h in changed["hits"]] != whole  # what was frozen has changed
            server.request("DELETE", f"/collections/default/documents/{whole[5]}")
            again = of_server(server, "POST", "/search", {**request, "limit": 4, "page": first["next_page"]})
            assert whole[5] not in [h["id"] for h in again["hits"]]
            token, other = first["next_page"], {"query": "stone", "page": first["next_page"]}
            of_server(server, "POST", "/search", other, expect=400)
            of_server(server, "POST", "/search", {**request, "page": token, "offset": 4}, expect=400)
            for broken in (token[:-2], token[:20] + ("A" if token[20] != "A" else "B") + token[21:], "A" * 100000, "\u00e4", ""):
                answer = server.request("POST", "/collections/default/search", {**request, "page": broken})
                assert answer.status == (200 if broken == "" else 400), (broken[:40], answer)
        place = ["--data", folder.data]
        shown = forage("search", *place, "--page", "first", "-n", "3", "river", expect=0).out
        token = re.search(r"--page (\S+)", shown).group(1)
        forage("search", *place, "--page", token, "-n", "3", "river", expect=0)
        assert "page" in forage("search", *place, "--page", token[3:], "river", expect=1).err


def test_orders_are_shaped():
    with Folder() as folder:
        place = prepared(folder)

        def found(*options):
            answer = forage("search", *place, "--policy", "all", "--no-log", "--json", *options, "river", expect=0).json()
            return [h["id"] for h in answer["hits"]], answer

        plain, _ = found("-n", "40")
        pinned, _ = found("--pin", "d7", "--pin", plain[4], "--hide", plain[0])
        assert pinned[:2] == ["d7", plain[4]] and plain[0] not in pinned
        dear, answer = found("--value", "price=4", "-n", "5")
        prices = {d["id"]: d["price"] for d in catalogue()}
        assert sum(prices[i] for i in dear) > sum(prices[i] for i in plain[:5]) + 5
        _, mixed = found("--diversity", ".9", "-n", "8")
        _, same = found("--diversity", "0", "-n", "8")
        kinds = [len({(h["document"]["type"], h["document"]["genre"]) for h in a["hits"]}) for a in (mixed, same)]
        assert kinds[0] >= kinds[1], kinds
        orders = {tuple(h["id"] for h in forage("search", *place, "--policy", "all", "--explore", "5", "--json", "river",
                                                expect=0).json()["hits"])
                  for _ in range(4)}
        assert len(orders) > 1  # drawn
        record = [json.loads(line) for line in forage("export", "--what", "log", *place, expect=0).out.splitlines()][-1]
        assert record["explored"] >= 2 and record["log_propensity"] < 0 and record["unshown"], record
        for options, message in ((["--diversity", "-1"], "diversity"), (["--diversity", "NaN"], "diversity"),
                                 (["--diversity", "2"], "diversity"),
                                 (["--value", "title=1"], "title"), (["--value", "price=-1"], "strength"),
                                 (["--explore", "hot"], "temperature"),
                                 (["--ranker", "model:9"], "model 9"), (["--ranker", "model:x"], "ranker")):
            failed = forage("search", *place, *options, "river", expect=1)
            assert message in failed.err, (options, failed)
        for options in (["--value", "price"], ["--value", "price=much"], ["--feature", "x"], ["--feature", "x=nan"]):
            assert options[0] in forage("search", *place, *options, "river", expect=2).err


def test_features_of_the_request():
    with Folder() as folder:
        fields = {"title": {"type": "text"}, "genre": {"type": "keyword"}, "year": {"type": "number"}, "price": {"type": "number"}}
        schema = folder.file("schema.json", json.dumps({"fields": fields, "ranking": {"features": ["request.discount", "year"]}}))
        place = ["--data", folder.data]
        forage("import", *place, "--schema", schema, folder.file("c.ndjson", ndjson(catalogue())), expect=0)
        columns = {c["name"]: c["source"] for c in forage("models", "features", *place, "--json", expect=0).json()["columns"]}
        assert columns["request.discount"] == "request" and columns["field.year"] == "field" and "field.price" not in columns
        forage("search", *place, "--feature", "discount=0.25", "river", expect=0)
        record = json.loads(forage("export", "--what", "log", *place, expect=0).out.splitlines()[-1])
        assert record["hits"][0]["features"]["request.discount"] == 0.25


def test_somebody_elses_candidates():
    with Folder() as folder:
        place = prepared(folder)
        trained(place, "--no-activate")
        ids = folder.file("ids.txt", "d1\r\nd2\n\nd3\n")
        told = forage("rank", *place, "--candidates", ids, "--json", "river", expect=0).json()
        assert sorted(h["id"] for h in told["hits"]) == ["d1", "d2", "d3"] and told["query_id"] is None
        scores = [h["score"] for h in told["hits"]]
        assert scores == sorted(scores, reverse=True)
        mixed = ndjson([{"id": "theirs", "features": {"popularity": 1, "lexical_score": 1, "memory_mean": 0.5}}, {"id": "d2"}])
        told = forage("rank", *place, "--candidates", "-", "--explain", "--json", "river", stdin=mixed.encode(), expect=0).json()
        theirs = next(h for h in told["hits"] if h["id"] == "theirs")
        assert theirs["document"] is None and {f["name"]: f["value"] for f in theirs["explain"]["features"]}["lexical_score"] == 1
        by_model = forage("rank", *place, "--ranker", "model:1", "--candidates", ids, "-n", "2", "river", expect=0).out
        assert "2 " in by_model
        for text, message in (('{"id": "x", "features": {"a": "b"}}', "expected a number"), ('{"features": {}}', "id is missing"),
                              ('{"id": "x", "features": {"nothing": 1}}', 'no feature "nothing"'),
                              ('{"id": "x", "features": {"a": NaN}}', "line 1"), ("[1, 2]", "expected an id"), ("", "1 to 1000"),
                              ("\n".join(f"d{i}" for i in range(1001)), "1 to 1000"), ("[", "bad.txt")):
            failed = forage("rank", *place, "--candidates", folder.file("bad.txt", text), "river", expect=1)
            assert message in failed.err and failed.out == "", (text[:40], failed)
        assert "--candidates" in forage("rank", *place, "river", expect=2).err


# ---- Experiments


def visit(server, number, click):
    """Somebody searches; click tells from the log's record of the hits which one is chosen."""
    answer = of_server(server, "POST", "/search", {"query": random.Random(number).choice(WORDS), "user": f"u{number}"})
    chosen = click(answer)
    if chosen is not None:
        of_server(server, "POST", "/events", {"query_id": answer["query_id"], "action_name": "click", "client_id": f"u{number}",
                                              "event_attributes": {"object": {"object_id": answer["hits"][chosen]["id"]}}})
    return answer


def test_experiments_on_a_page_and_between_people():
    with Folder() as folder:
        place = prepared(folder)
        with Server(folder.data) as server:
            here = ["--url", server.url]
            started = forage("experiment", "start", *here, "pages", "--a", "linear", "--b", "rrf", "--window-seconds", "0.05", expect=0).out
            assert "pages" in started and "is running" in started and "Nothing has been counted" in started
            sides = {visit(server, n, lambda a: 0)["experiment"]["side"] for n in range(60)}
            assert sides == {"both"}
            time.sleep(0.2)
            told = forage("experiment", *here, "--json", expect=0).json()
            assert told["running"] and told["result"]["pages"] >= 55, told
            assert told["result"]["a"]["earned"] + told["result"]["b"]["earned"] > 0, told
            assert told["result"]["difference"]["low"] <= told["result"]["difference"]["high"]
            assert "is running" in forage("experiment", "start", *here, "x", "--a", "linear", "--b", "rrf", expect=1).err
            shown = forage("experiment", "end", *here, expect=0).out
            assert "has ended" in shown and "certainty" in shown, shown
            assert "no experiment" in forage("experiment", "end", *here, expect=1).err
            assert "experiment" not in visit(server, 1000, lambda a: None)

            # b is hit by whoever is on its side, a by nobody: that must be seen
            forage("experiment", "start", *here, "people", "--kind", "ab", "--a", "linear", "--b", "rrf", "--window-seconds", "0.05",
                   expect=0)
            sides = [visit(server, n, lambda a: 0 if a["experiment"]["side"] == "b" else None)["experiment"]["side"] for n in range(160)]
            assert 40 < sides.count("b") < 120
            assert visit(server, 7, lambda a: None)["experiment"]["side"] == sides[7]  # who came before stays on a side
            time.sleep(0.2)
            result = forage("experiment", "show", *here, "--json", expect=0).json()["result"]
            assert result["b"]["earned"] > result["a"]["earned"] == 0 and result["difference"]["decided"] == "b", result
            assert '"rrf" is better' in result["verdict"]
            server.stop()
        kept = forage("experiment", *place, "--json", expect=0).json()  # it is kept, and goes on after a restart
        assert kept["running"] and kept["result"]["b"]["earned"] == result["b"]["earned"], kept
        for options, message in ((["e", "--a", "linear", "--b", "nobody"], "nobody"), (["e", "--a", "linear", "--b", "regcb"], "both"),
                                 (["e", "--a", "linear", "--b", "rrf", "--share", "-1"], "share"),
                                 (["e", "--a", "linear", "--b", "model:9"], "model 9"),
                                 (["e", "--a", "linear", "--b", "rrf", "--alpha", "NaN"], "alpha"),
                                 (["e", "--a", "linear", "--b", "rrf", "--kind", "magic"], "magic"),
                                 (["n" * 100, "--a", "linear", "--b", "rrf"], "name")):
            assert message in forage("experiment", "start", *place, *options, expect=1).err, options
        assert "--a" in forage("experiment", "start", *place, "e", expect=2).err
        assert "called" in forage("experiment", "start", *place, expect=2).err


# ---- The cross-encoder


def test_a_cross_encoder_reads_the_first_hits():
    bert = os.path.join(SOURCE, "tests", "golden", "bert")
    shoes = ["red shoe", "shoe for women", "cotton shoe", "warm winter shoe", "shoe bag", "cold summer shoe"]
    with Folder() as folder, Server(folder.data) as server:
        server.request("PUT", "/collections/default", {"fields": {"title": {"type": "text"}},
                                                       "ranking": {"cross_encoder": {"model": folder.path, "top": 4, "budget_ms": 5000}}})
        server.request("POST", "/collections/default/documents",
                       ndjson([{"id": f"s{i}", "title": title} for i, title in enumerate(shoes)]),
                       {"content-type": "application/x-ndjson"})
        search = lambda **more: of_server(server, "POST", "/search", {"query": "shoe", "policy": "all", "timeout_ms": 5000, **more})
        without = search()
        assert len(without["hits"]) == 6 and without["cross_encoder"]["ready"] is False, without
        told = of_server(server, "GET", "/stats")["cross_encoder"]
        assert told["state"] == "problem" and "config.json" in told["problem"], told
        ranking = {"cross_encoder": {"model": bert, "top": 4, "budget_ms": 5000}}
        assert of_server(server, "PUT", "", {"ranking": ranking})["schema"]["ranking"]["cross_encoder"]["top"] == 4
        for _ in range(200):
            told = of_server(server, "GET", "/stats")["cross_encoder"]
            if told["state"] != "opening":
                break
            time.sleep(.05)
        assert told["state"] == "ready" and told["problem"] is None, told
        answer = search(explain=True)
        assert answer["cross_encoder"]["scored"] == 4 and not answer["cross_encoder"]["late"], answer["cross_encoder"]
        before = [hit["id"] for hit in search(cross_encoder=False)["hits"]]
        scores = {hit["id"]: hit["explain"]["cross_encoder"]["score"] for hit in answer["hits"] if "cross_encoder" in hit["explain"]}
        assert set(scores) == set(before[:4])
        assert [hit["id"] for hit in answer["hits"]] == sorted(scores, key=scores.get, reverse=True) + before[4:]
        got = server.request("GET", "/collections/default/search?q=shoe&cross_encoder=false").json()
        assert "cross_encoder" not in got
        metrics = server.request("GET", "/metrics").body.decode()
        assert 'forage_cross_encoder_scored_total{collection="default"} 4' in metrics, metrics
        columns = of_server(server, "GET", "/features")["columns"]
        assert columns[-1]["name"] == "cross_score" and columns[-1]["source"] == "cross"
        told = forage("search", "--url", server.url, "--explain", "--cross-encoder", "on", "shoe", expect=0).out
        assert "by the cross-encoder" in told, told
        assert "on or off" in forage("search", "--url", server.url, "--cross-encoder", "maybe", "shoe", expect=2).err


# ---- What is wrong is said


def test_wrong_options():
    with Folder() as folder:
        place = prepared(folder, customers=0)
        for options, message in ((["--kind", "forest"], "best, linear or trees"), (["--debias", "magic"], "harvest"),
                                 (["--trees", "-1"], "trees"),
                                 (["--trees", "NaN"], "trees"), (["--learning-rate", "0"], "learning_rate"), (["--since", "soon"], "soon"),
                                 (["--held-out", "0.9"], "held_out"), (["--memory-mb", "1"], "memory_mb"), (["--name", "n" * 65], "name"),
                                 (["--judgments", "/nowhere", "--queries", "/nowhere"], "/nowhere"), (["-c", "nobody"], "nobody")):
            failed = forage("train", *place, *options, expect=1)
            assert message in failed.err and failed.out == "", (options, failed)
        for options in (["--bins", "7"], ["--output", "x"], ["--validation", "x"], ["word"]):
            assert "--svmlight" in forage("train", *place, *options, expect=2).err
        assert "--since" in forage("train", "--svmlight", "x", "--since", "2020", expect=2).err
        for words in (["shew"], ["show"], ["activate"], ["remove"], ["import"], ["list", "1"], ["--map", "x"],
                      ["show", "1", "--name", "x"]):
            forage("models", *place, *words, expect=2)
        for words in (["show", "x"], ["show", "1"], ["activate", "7"], ["shadow", "1e3"], ["remove", "9" * 30], ["show", "../x"]):
            assert forage("models", *place, *words, expect=1).err.startswith("forage: "), words
        assert "no experiment" in forage("experiment", *place, expect=1).err
        forage("experiment", *place, "begin", expect=2)


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
