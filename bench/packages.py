"""The million-document catalogue: software packages as NDJSON, and queries for it."""

import gzip
import json
import os
import random
import re
import subprocess

import harness

SCHEMA = {
    "fields": {
        "name": {"type": "text", "weight": 3},
        "summary": {"type": "text", "weight": 1},
        "ecosystem": {"type": "keyword"},
        "version": {"type": "keyword"},
    },
    "language": "en",
    "type": "ecosystem",
    "popularity": "popularity",
}


def rows():
    """(ecosystem, name, version, popularity or None, summary) of every package, streamed."""
    path = harness.data("packages", "packages.tsv.zst")
    with subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE) as process:
        lines = iter(process.stdout)
        next(lines)  # the header
        for line in lines:
            ecosystem, name, version, count, summary = line.decode("utf-8").rstrip("\n").split("\t")
            popularity = int(count) if count else None
            if ecosystem == "pypi" and popularity:
                popularity = 1_000_000_000 // popularity  # PyPI gives a rank; downloads fall about as 1/rank
            yield ecosystem, name, version, popularity, summary


def catalogue(limit=None):
    """The catalogue as NDJSON (made once); with `limit`, every n-th package, so that it is as mixed as the whole."""
    path = harness.cached(f"packages-{limit or 'all'}.ndjson")
    if not os.path.exists(path):
        step = 1 if not limit else 1_113_316 // limit
        with open(path + ".part", "w", encoding="utf-8") as file:
            for i, (ecosystem, name, version, popularity, summary) in enumerate(rows()):
                if i % step:
                    continue
                document = {"id": f"{ecosystem}:{name}", "ecosystem": ecosystem, "name": name, "version": version,
                            "popularity": popularity, "summary": summary}
                document = {key: value for key, value in document.items() if value not in (None, "")}
                file.write(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
        os.replace(path + ".part", path)
    return path


def schema():
    path = harness.cached("packages-schema.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(SCHEMA, file)
    return path


def queries(count=1000, seed=20260131):
    """Half what people would type to find a package that exists (its name, or two or three words of its summary), half
    real web searches, which mostly find little here."""
    path = harness.cached(f"packages-queries-{count}.txt")
    if not os.path.exists(path):
        source = random.Random(seed)
        sample, seen = [], 0
        for row in rows():  # reservoir sampling: one pass, every package equally likely
            seen += 1
            if len(sample) < count // 2:
                sample.append(row)
            elif (place := source.randrange(seen)) < len(sample):
                sample[place] = row
        texts = []
        for i, (_, name, _, _, summary) in enumerate(sample):
            words = re.findall(r"[^\W\d_]{3,}", summary)
            size = min(len(words), 2 + i % 2)
            start = source.randrange(len(words) - size + 1) if words else 0
            texts.append(name if i % 2 == 0 or not words else " ".join(words[start:start + size]))
        topics = harness.data("trec-queries", "topics.terabyte05.efficiency.txt.gz")
        with gzip.open(topics, "rt", encoding="utf-8", errors="replace") as file:
            web = [line.rstrip("\n").split(":", 1)[1] for line in file]
        texts += source.sample(web, count - len(texts))
        source.shuffle(texts)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(text + "\n" for text in texts)
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def bodies(texts, **members):
    """A file of search requests for the load client."""
    path = harness.cached("packages-bodies.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"query": text, **members}) + "\n" for text in texts)
    return path
