#!/usr/bin/env python3
"""Check the committed catalogue and its evaluation set: python3 test_catalogue.py

Needs the zstd command. Where FORAGE_DATA names the sources, the catalogue is also rebuilt and compared.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter, defaultdict

sys.dont_write_bytecode = True
import build_catalogue

HERE = os.path.dirname(os.path.abspath(__file__))
COUNTS = {"book": 10000, "film": 3200, "author": 5830, "director": 550}
REQUIRED = {
    "book": {"id", "type", "title", "creator", "rating", "popularity"},
    "film": {"id", "type", "title"},
    "author": {"id", "type", "title", "works", "work_count", "popularity"},
    "director": {"id", "type", "title", "works", "work_count"},
}


def read(name, folder=HERE):
    with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
        return file.read()


def decompress(folder=HERE):
    path = os.path.join(folder, "catalogue.ndjson.zst")
    return subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout.decode("utf-8")


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


TEXT = decompress()
DOCUMENTS = [json.loads(line) for line in TEXT.splitlines()]
BY_ID = {d["id"]: d for d in DOCUMENTS}
FIELDS = json.loads(read("schema.json"))["fields"]
QUERIES = dict(line.split("\t") for line in read("queries.tsv").splitlines())
JUDGMENTS = [line.split("\t") for line in read("judgments.tsv").splitlines()]


def test_counts_by_type():
    assert Counter(d["type"] for d in DOCUMENTS) == COUNTS


def test_file_is_small_enough_to_commit():
    assert os.path.getsize(os.path.join(HERE, "catalogue.ndjson.zst")) < 1_500_000


def test_lines_end_with_one_newline():
    assert TEXT.endswith("}\n") and TEXT.count("\n") == len(DOCUMENTS)


def test_ids_are_unique_and_begin_with_their_type():
    assert len(BY_ID) == len(DOCUMENTS)
    for d in DOCUMENTS:
        assert re.fullmatch(d["type"] + r":[a-z0-9]+(-[a-z0-9]+)*", d["id"]), d["id"]


def test_every_reference_resolves_to_a_document_of_its_type():
    for d in DOCUMENTS:
        for field in ("author", "director"):
            for target in d.get(field, []):
                assert BY_ID[target]["type"] == field, (d["id"], target)


def test_people_agree_with_the_works_that_refer_to_them():
    works = defaultdict(list)
    for d in DOCUMENTS:
        for target in d.get("author", []) + d.get("director", []):
            assert BY_ID[target]["title"] in d["creator"], (d["id"], target)
            works[target].append(d)
    people = [d for d in DOCUMENTS if d["type"] in ("author", "director")]
    assert set(works) == {p["id"] for p in people}
    for p in people:
        own = works[p["id"]]
        years = [w["year"] for w in own if "year" in w]
        assert p["work_count"] == len(own), p["id"]
        assert p.get("popularity", 0) == sum(w.get("popularity", 0) for w in own), p["id"]
        assert (p.get("first_year"), p.get("last_year")) == (min(years, default=None), max(years, default=None))
        assert 1 <= len(p["works"]) <= 10 and set(p["works"]) <= {w["title"] for w in own}, p["id"]


def test_required_fields_are_there_and_nothing_is_empty():
    for d in DOCUMENTS:
        assert REQUIRED[d["type"]] <= set(d), d["id"]
        assert all(value not in (None, "", []) for value in d.values()), d["id"]


def test_values_have_the_types_of_the_schema():
    holds = {
        "text": lambda v: isinstance(v, (str, list)) and all(isinstance(x, str) for x in strings(v)),
        "keyword": lambda v: isinstance(v, (str, list)) and all(isinstance(x, str) for x in strings(v)),
        "reference": lambda v: isinstance(v, list) and all(x in BY_ID for x in v),
        "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
        "date": lambda v: isinstance(v, str),
    }
    seen = set()
    for d in DOCUMENTS:
        for name, value in d.items():
            if name not in ("id", "type", "popularity"):
                assert holds[FIELDS[name]["type"]](value), (d["id"], name, value)
                seen.add(name)
        assert isinstance(d.get("popularity", 0), int) and d.get("popularity", 0) >= 0, d["id"]
    assert seen == set(FIELDS), "the schema and the documents name different fields"


def test_text_is_clean():
    for d in DOCUMENTS:
        for value in d.values():
            for text in strings(value):
                assert unicodedata.normalize("NFC", text) == text == " ".join(text.split()), (d["id"], text)
                assert not any(unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") for c in text), d["id"]
                assert not re.search("&(#|amp;|quot;|lt;)|[\u200e\u200f\ufeff\ufffd]|Ã|â€", text), (d["id"], text)


def test_dates_are_iso_and_agree_with_the_year():
    for d in DOCUMENTS:
        if "released" in d:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", d["released"]), d["id"]
            assert datetime.date.fromisoformat(d["released"]).year == d["year"], d["id"]


def test_numbers_are_in_range():
    for d in DOCUMENTS:
        low, high, best = (-2000, 2017, 5) if d["type"] == "book" else (1900, 2011, 10)
        assert low <= d.get("year", 2000) <= high and d.get("year") != 0, d["id"]
        assert 0 < d.get("rating", 1) <= best, d["id"]
        assert d.get("gross", 1) > 0 and 30 < d.get("running_minutes", 90) < 300, d["id"]


def test_isbns_have_ten_digits_and_a_right_check_digit():
    for d in DOCUMENTS:
        if "isbn" in d:
            digits = [10 if c == "X" else int(c) for c in d["isbn"]]
            assert len(digits) == 10 and sum(n * (10 - i) for i, n in enumerate(digits)) % 11 == 0, d["id"]


def test_known_oddities_of_the_sources_are_mended():
    expected = {
        "book:17": ("series", "The Hunger Games #2"),
        "book:2": ("original_title", "Harry Potter and the Philosopher's Stone"),
        "film:gone-with-the-wind-1939": ("released", "1939-12-15"),       # "Dec 15 2039"
        "film:casablanca-1942": ("year", 1942),                           # "Dec 31 1941"
        "film:king-kong-1933": ("title", "King Kong"),                    # "King Kong (1933)"
        "film:1408-2007": ("title", "1408"),                              # a JSON number
        "film:cache-2005": ("title", "Caché"),                            # "CachÈ"
        "film:the-charge-of-the-light-brigade-1936": ("title", "The Charge of the Light Brigade"),
    }
    for document, (field, value) in expected.items():
        assert BY_ID[document][field] == value, document
    assert "released" not in BY_ID["film:casablanca-1942"] and "year" not in BY_ID["film:drei"]
    assert "rating" not in BY_ID["film:crash-1996"] and "rating" not in BY_ID["film:crash-2005"]


def test_queries_are_unique():
    assert len(QUERIES) == len(read("queries.tsv").splitlines()) == 120
    assert len(set(QUERIES.values())) == len(QUERIES)
    assert all(text == " ".join(text.split()) != "" for text in QUERIES.values())


def test_judgments_name_queries_and_documents_that_exist():
    assert JUDGMENTS[0] == ["query-id", "corpus-id", "score"]
    for query, document, score in JUDGMENTS[1:]:
        assert query in QUERIES and document in BY_ID and score in ("1", "2", "3"), (query, document)
    assert len({(q, d) for q, d, _ in JUDGMENTS[1:]}) == len(JUDGMENTS) - 1


def test_every_query_has_an_answer_of_grade_two_or_three():
    assert {q for q, _, score in JUDGMENTS[1:] if score in "23"} == set(QUERIES)


def test_readme_states_the_counts():
    readme = read("README.md")
    for kind, count in [*COUNTS.items(), ("all", len(DOCUMENTS))]:
        assert f"| {kind} | {count:,} |" in readme, kind
    assert f"{len(QUERIES)} queries" in readme and f"{len(JUDGMENTS) - 1} judgments" in readme
    assert not [name for name in FIELDS if f"| `{name}` |" not in readme], "a field is missing"


def test_slugs_handle_accents_other_scripts_and_collisions():
    assert build_catalogue.slug("Jo Nesbø") == "jo-nesbo"
    assert build_catalogue.slug("Gabriel García Márquez") == "gabriel-garcia-marquez"
    assert re.fullmatch(r"x-[0-9a-f]{8}", build_catalogue.slug("村上 春樹"))
    assert re.fullmatch(r"x-[0-9a-f]{8}", build_catalogue.slug("???"))
    ids = build_catalogue.Ids("author")
    assert [ids.take("a"), ids.take("a"), ids.take("a-2")] == ["author:a", "author:a-2", "author:a-2-2"]


def test_absent_sources_say_what_to_do():
    environment = {k: v for k, v in os.environ.items() if k != "FORAGE_DATA"}
    for arguments in ([], [os.path.join(HERE, "no-such-folder")]):
        run = subprocess.run([sys.executable, "-B", os.path.join(HERE, "build_catalogue.py"), *arguments],
                             env=environment, capture_output=True, text=True)
        assert run.returncode == 1 and "Set FORAGE_DATA" in run.stderr and "Traceback" not in run.stderr


def test_rebuild_gives_the_same_files():
    if not os.environ.get("FORAGE_DATA"):
        return "skipped: FORAGE_DATA is not set"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-B", os.path.join(HERE, "build_catalogue.py"), "--output", folder],
                       check=True, capture_output=True)
        assert decompress(folder) == TEXT
        for name in ("schema.json", "queries.tsv", "judgments.tsv"):
            assert read(name, folder) == read(name), name


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if name.startswith("test_") and callable(test):
            try:
                note = test()
                if note:
                    print(f"{name}: {note}")
                else:
                    passed += 1
            except Exception as error:
                failed += 1
                print(f"{name}: {type(error).__name__} {error}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
