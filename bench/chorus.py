"""Chorus' electronics: 19,406 products of Icecat and 135 queries with human ratings from 0 to 3, as files of lines."""

import csv
import json
import os
import zipfile

import harness


def products():
    for i in range(1, 5):
        with zipfile.ZipFile(harness.data("chorus-icecat", f"products_{i}.json.zip")) as archive:
            yield from json.loads(archive.read(archive.namelist()[0]))


def text(product):
    """What a shop would index beside the title: the description, the maker, attributes that are words."""
    words = [product.get("short_description", ""), product.get("supplier", "")]
    words += [value for name, value in sorted(product.items()) if name.startswith("attr_t_") and isinstance(value, str)]
    return words


def line(*cells):
    return "\t".join(" ".join(str(cell).split()) for cell in cells) + "\n"


def paths():
    """documents.tsv (id, title, text), queries.tsv (id, text), judgments.txt (TREC)."""
    folder = harness.cached("chorus")
    os.makedirs(folder, exist_ok=True)
    documents, queries, judgments = (os.path.join(folder, name) for name in ("documents.tsv", "queries.tsv", "judgments.txt"))
    with open(documents, "w", encoding="utf-8") as out:
        for product in products():
            out.write(line(product["id"], product.get("title") or product.get("name") or "", " ".join(text(product))))
    numbers = {}
    with open(harness.data("chorus-icecat", "Broad_Query_Set_rated.csv"), encoding="utf-8", newline="") as file, \
            open(judgments, "w", encoding="utf-8") as out:
        for row in csv.DictReader(file):
            number = numbers.setdefault(row["query"], len(numbers) + 1)
            out.write(f"{number} 0 {row['docid']} {int(float(row['rating']))}\n")
    with open(queries, "w", encoding="utf-8") as out:
        out.writelines(line(number, query) for query, number in numbers.items())
    return documents, queries, judgments
