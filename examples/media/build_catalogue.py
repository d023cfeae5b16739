#!/usr/bin/env python3
"""Build the sample catalogue: books, films, and the people who made them.

    FORAGE_DATA=/path/to/data python3 build_catalogue.py
    python3 build_catalogue.py /path/to/data [--output folder]

The data folder holds goodbooks-10k/books.csv and vega-movies/movies.json. Four files are written
beside this script, or in the folder named by --output:

    catalogue.ndjson.zst    one JSON document a line
    schema.json             the fields of those documents
    queries.tsv             queries derived from the same facts (see known_items.py)
    judgments.tsv           and which documents answer them

The same input gives the same documents, in the same order, with the same ids. The compressed file is
byte-identical for one version of zstd. README.md states every cleaning rule and why it is there.
"""

import csv
import datetime
import hashlib
import html
import json
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter, defaultdict

import known_items

HERE = os.path.dirname(os.path.abspath(__file__))

SCHEMA = {
    "fields": {
        "title": {"type": "text", "weight": 3},
        "series": {"type": "text", "weight": 1.5},
        "original_title": {"type": "text", "weight": 1},
        "creator": {"type": "text", "weight": 2},
        "works": {"type": "text", "weight": 0.5},
        "author": {"type": "reference"},
        "director": {"type": "reference"},
        "genre": {"type": "keyword"},
        "language": {"type": "keyword"},
        "isbn": {"type": "keyword"},
        "year": {"type": "number"},
        "released": {"type": "date"},
        "rating": {"type": "number"},
        "running_minutes": {"type": "number"},
        "gross": {"type": "number"},
        "distributor": {"type": "keyword"},
        "certificate": {"type": "keyword"},
        "source": {"type": "keyword"},
        "creative_type": {"type": "keyword"},
        "work_count": {"type": "number"},
        "first_year": {"type": "number"},
        "last_year": {"type": "number"},
    },
    "type": "type",
    "popularity": "popularity",
    "id": "id",
    "budget": {"candidates": 60},
}

# ---- Text -------------------------------------------------------------------------------------------

# Marks that only steer the direction of a line. The zero-width (non-)joiners are spelling, and stay.
DIRECTION_MARKS = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff\u00ad"

# Latin letters that Unicode does not decompose into a base letter and an accent.
LATIN_LETTERS = str.maketrans({
    "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ß": "ss", "ı": "i",
})


def clean(text):
    """NFC, entities decoded, no control characters, single spaces."""
    text = re.sub(r"&(?:#\d+|#x[0-9a-fA-F]+|[A-Za-z]\w*);", lambda m: html.unescape(m.group()), text)
    text = "".join(" " if unicodedata.category(c) == "Cc" else c
                   for c in text if c not in DIRECTION_MARKS)
    return " ".join(unicodedata.normalize("NFC", text).split())


def slug(text):
    """ASCII letters, digits and hyphens; a hash of a text with letters of another script, or with none."""
    folded = unicodedata.normalize("NFKD", text.lower().translate(LATIN_LETTERS))
    folded = "".join(c for c in folded if not unicodedata.combining(c))
    ascii_slug = re.sub(r"[^a-z0-9]+", "-", folded.replace("'", "").replace("’", "")).strip("-")
    if not ascii_slug or any(c.isalpha() and not c.isascii() for c in folded):
        return "x-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    return ascii_slug


class Ids:
    """Unique ids: the first taker of a slug gets it bare, the next gets -2, and so on."""

    def __init__(self, prefix):
        self.prefix, self.taken = prefix, set()

    def take(self, wanted):
        candidate, n = wanted, 1
        while candidate in self.taken:
            n += 1
            candidate = f"{wanted}-{n}"
        self.taken.add(candidate)
        return f"{self.prefix}:{candidate}"


def present(document):
    """The document without its absent fields. Zero is a value; None, "" and [] are absences."""
    return {k: v for k, v in document.items() if v is not None and v != "" and v != []}


# ---- Books ------------------------------------------------------------------------------------------

LANGUAGES = {
    "ara": "ar", "dan": "da", "en": "en", "en-CA": "en", "en-GB": "en", "en-US": "en", "eng": "en",
    "fil": "tl", "fre": "fr", "ger": "de", "ind": "id", "ita": "it", "jpn": "ja", "nl": "nl",
    "nor": "no", "per": "fa", "pol": "pl", "por": "pt", "rum": "ro", "rus": "ru", "spa": "es",
    "swe": "sv", "tur": "tr", "vie": "vi",
    "": None, "mul": None,
}

# Names that stand for nobody in particular: kept in `creator`, never an author document.
PLACEHOLDER_NAMES = {"Anonymous", "Unknown", "Various"}

# A last bracket that holds a "#": "(The Hunger Games, #1)", "(Ranma ½ (US 2nd), #1)".
SERIES_SUFFIX = re.compile(r"\s*\(((?:[^()]|\([^()]*\))*#(?:[^()]|\([^()]*\))*)\)$")


def split_series(title):
    """"Catching Fire (The Hunger Games, #2)" is ("Catching Fire", "The Hunger Games #2")."""
    match = SERIES_SUFFIX.search(title)
    if not match or not match.start():
        return title, None
    return title[:match.start()], clean(re.sub(r"[.,]?\s*#\s*", " #", match.group(1)))


def isbn10(text):
    """Ten digits with the leading zeros that a spreadsheet dropped; None if the check digit is wrong."""
    if not text:
        return None
    isbn = text.upper().zfill(10)
    if not re.fullmatch(r"\d{9}[\dX]", isbn):
        return None
    digits = [10 if c == "X" else int(c) for c in isbn]
    return isbn if sum(d * (10 - i) for i, d in enumerate(digits)) % 11 == 0 else None


def read_books(path):
    """Book documents in the order of the file. `author` is filled in by link_people()."""
    books = []
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            title, series = split_series(clean(row["title"]))
            original, _ = split_series(clean(row["original_title"]))
            if known_items.fold(original) == known_items.fold(title):
                original = None
            names = [clean(name) for name in row["authors"].split(",")]
            year = row["original_publication_year"]
            books.append({
                "id": "book:" + row["book_id"],
                "type": "book",
                "title": title,
                "series": series,
                "original_title": original,
                "creator": list(dict.fromkeys(filter(None, names))),
                "author": None,
                "year": int(float(year)) if year else None,
                "language": LANGUAGES[row["language_code"]],
                "isbn": isbn10(row["isbn"]),
                "rating": float(row["average_rating"]),
                "popularity": int(row["ratings_count"]),
            })
    return books


# ---- Films ------------------------------------------------------------------------------------------

LAST_YEAR = 2011            # the set was gathered in 2010 and announces films up to the end of 2011
LAST_SHIFTED_YEAR = 1992    # up to here every 31 December is the next year's 1 January


def film_title(value):
    """A title as it is written on a poster; the set sorts some by "…, The" and dates some in brackets."""
    title = str(value)
    try:
        # Windows-1252 bytes that were read as Mac Roman: "CachÈ" is "Caché".
        title = title.encode("mac_roman").decode("cp1252")
    except UnicodeError:
        pass
    title = re.sub(r"\s*\((?:19|20)\d\d\)$", "", clean(title))
    match = re.fullmatch(r"(.+), (The|A|An)", title)
    return f"{match.group(2)} {match.group(1)}" if match else title


def film_date(text):
    """(year, ISO date); either is None where the set does not know it.

    Two-digit years were read as 20xx. A date that was only a year became 1 January, and often, through
    a time zone, 31 December of the year before. An empty date became the Unix epoch.
    """
    date = datetime.datetime.strptime(text, "%b %d %Y").date()
    if date == datetime.date(1969, 12, 31):
        return None, None
    year, day_known = date.year, (date.month, date.day) not in ((1, 1), (12, 31))
    if year > LAST_YEAR:
        year -= 100
    elif (date.month, date.day) == (12, 31) and year <= LAST_SHIFTED_YEAR:
        year += 1
    return year, f"{year}-{date.month:02}-{date.day:02}" if day_known else None


def imdb_line(row):
    return row["Title"], row["IMDB Rating"], row["IMDB Votes"]


def read_films(path):
    """Film documents in the order of the file. `director` is filled in by link_people()."""
    with open(path, encoding="utf-8") as file:
        rows = [row for row in json.load(file) if row["Title"] is not None]
    sharers = Counter(map(imdb_line, rows))

    films, ids = [], Ids("film")
    for row in rows:
        title = film_title(row["Title"])
        year, released = film_date(row["Release Date"])
        director = clean((row["Director"] or "").replace('""', '"'))
        certificate = row["MPAA Rating"]
        films.append({
            "id": ids.take(slug(f"{title} {year}" if year else title)),
            "type": "film",
            "title": title,
            "creator": [director] if director else None,
            "director": None,
            "genre": [row["Major Genre"]] if row["Major Genre"] else None,
            "year": year,
            "released": released,
            # Films of one title share one IMDB line, which is the rating of only one of them.
            "rating": row["IMDB Rating"] if sharers[imdb_line(row)] == 1 else None,
            "popularity": row["IMDB Votes"],
            "distributor": None if row["Distributor"] == "Distributor Unknown" else row["Distributor"],
            "certificate": None if certificate == "Open" else certificate,
            "source": row["Source"],
            "creative_type": row["Creative Type"],
            "running_minutes": row["Running Time min"],
            "gross": row["Worldwide Gross"] or None,
        })
    return films


# ---- People -----------------------------------------------------------------------------------------

def link_people(works, role):
    """Fill works[…][role] with references, and return one document for each person referred to."""
    made = defaultdict(list)
    for work in works:
        for name in work["creator"] or []:
            if name not in PLACEHOLDER_NAMES:
                made[name].append(work)
    ids = Ids(role)
    id_of = {name: ids.take(slug(name)) for name in made}
    for work in works:
        work[role] = [id_of[name] for name in work["creator"] or [] if name in id_of]

    people = []
    for name, own in made.items():
        best = sorted(own, key=lambda w: -(w["popularity"] or 0))
        years = [w["year"] for w in own if w["year"] is not None]
        counts = [w["popularity"] for w in own if w["popularity"] is not None]
        people.append({
            "id": id_of[name],
            "type": role,
            "title": name,
            "works": list(dict.fromkeys(w["title"] for w in best))[:10],
            "popularity": sum(counts) if counts else None,
            "work_count": len(own),
            "first_year": min(years, default=None),
            "last_year": max(years, default=None),
        })
    return people


def build_documents(books_path, films_path):
    books, films = read_books(books_path), read_films(films_path)
    authors, directors = link_people(books, "author"), link_people(films, "director")
    return [present(document) for document in books + films + authors + directors]


# ---- Files ------------------------------------------------------------------------------------------

def write_text(path, text):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def compress(text, path):
    """zstd on one thread from a regular file, so that the frame states its content size."""
    with tempfile.TemporaryDirectory() as folder:
        plain = os.path.join(folder, "catalogue.ndjson")
        write_text(plain, text)
        subprocess.run(["zstd", "-q", "-19", "--single-thread", "--check", "-f", plain, "-o", path],
                       check=True)


def write_catalogue(documents, folder):
    lines = [json.dumps(d, ensure_ascii=False, separators=(",", ":")) + "\n" for d in documents]
    compress("".join(lines), os.path.join(folder, "catalogue.ndjson.zst"))
    fields = ",\n".join(f"    {json.dumps(name)}: {json.dumps(field)}"
                        for name, field in SCHEMA["fields"].items())
    roles = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in SCHEMA.items() if k != "fields")
    write_text(os.path.join(folder, "schema.json"), f'{{\n  "fields": {{\n{fields}\n  }},\n{roles}\n}}\n')
    queries, judgments = known_items.derive(documents)
    write_text(os.path.join(folder, "queries.tsv"), "".join(f"{q}\t{text}\n" for q, text in queries))
    write_text(os.path.join(folder, "judgments.tsv"), "query-id\tcorpus-id\tscore\n"
               + "".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in judgments))
    return queries, judgments


def find_sources(folder):
    """The two input paths, or an exit that says what to do."""
    paths = [os.path.join(folder or "", *parts)
             for parts in (("goodbooks-10k", "books.csv"), ("vega-movies", "movies.json"))]
    if folder and all(map(os.path.isfile, paths)):
        return paths
    missing = " and ".join(p for p in paths if not os.path.isfile(p)) if folder else "FORAGE_DATA is not set"
    sys.exit(f"build_catalogue: {missing}{': no such file' if folder else ''}.\n"
             "Set FORAGE_DATA, or give as argument, a folder that holds\n"
             "  goodbooks-10k/books.csv   from https://github.com/zygmuntz/goodbooks-10k\n"
             "  vega-movies/movies.json   from https://github.com/vega/vega-datasets (data/movies.json)\n"
             "The built catalogue is in the repository: it is rebuilt only when this script changes.")


def main(arguments):
    output = HERE
    if "--output" in arguments:
        at = arguments.index("--output")
        if at + 1 == len(arguments):
            sys.exit("build_catalogue: --output needs a folder")
        output = arguments[at + 1]
        del arguments[at:at + 2]
    if len(arguments) > 1 or any(a.startswith("-") for a in arguments):
        sys.exit("usage: build_catalogue.py [data-folder] [--output folder]")
    sources = find_sources(arguments[0] if arguments else os.environ.get("FORAGE_DATA"))
    os.makedirs(output, exist_ok=True)
    documents = build_documents(*sources)
    queries, judgments = write_catalogue(documents, output)

    print("| type | documents |\n| --- | ---: |")
    for kind, count in Counter(d["type"] for d in documents).items():
        print(f"| {kind} | {count:,} |")
    print(f"| all | {len(documents):,} |")
    size = os.path.getsize(os.path.join(output, "catalogue.ndjson.zst"))
    print(f"\ncatalogue.ndjson.zst: {size:,} bytes; {len(queries)} queries, {len(judgments):,} judgments")


if __name__ == "__main__":
    main(sys.argv[1:])
