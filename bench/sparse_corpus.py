"""Corpora and queries for bench_sparse: files of tokens that every engine reads alike.

NAME.txt has one document a line, its tokens separated by one space; a document's number is its line, counted from 0. A token is a
run of a-z and 0-9 after lower-casing, with letters' accents removed; nothing is stemmed or left out.

`packages`: each of the 1,113,316 software packages, its name and summary as one text. `packages-N` has N of them, evenly spaced, so
that it is as mixed as the whole.

`long`: made of the sentences of 12,800 abstracts (NFCorpus, SciFact, Cranfield, CISI, MED, ADI) and 19,406 product descriptions
(Icecat, a product counts as a sentence or two). A new document has a size, 150 to 400 tokens, log-uniform, and a topic: a source
document, drawn with a probability that grows with its length, and up to three neighbours, which share a random one of its rarer
words. Runs of one to four consecutive sentences of these, none twice, are put together until the size is reached. So
vocabulary, sentences, word order and burstiness are real, and words of one topic occur together; but the vocabulary stops growing
(about 80,000 words) and a sentence returns in some tens of documents.
"""

import gzip
import json
import math
import os
import random
import re
import unicodedata
import zipfile

import harness
import packages

LONG, LONG_SEED, QUERY_SEED = 500_000, 20260401, 20260402
SIZES, SIZE_WEIGHTS = (2, 3, 4, 5), (40, 30, 20, 10)
CLASSES = ("union", "intersection", "phrase")


def tokens(text):
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.findall("[a-z0-9]+", text.lower())


def lines(name):
    """Documents of a corpus, one string of tokens each."""
    with open(path(name), encoding="ascii") as file:
        for line in file:
            yield line.rstrip("\n")


def path(name):
    """The file of a corpus: `packages`, `packages-N`, `long` or `long-N` (made once)."""
    target = harness.cached(f"sparse-{name}.txt")
    if not os.path.exists(target):
        base, _, limit = name.partition("-")
        if limit:
            documents = evenly(base, int(limit))
        else:
            documents = (" ".join(tokens(f"{row[1]} {row[4]}")) for row in packages.rows()) if base == "packages" else made()
        with open(target + ".part", "w", encoding="ascii") as file:
            file.writelines(document + "\n" for document in documents)
        os.replace(target + ".part", target)
    return target


def evenly(base, limit):
    total = sum(1 for _ in lines(base))
    limit = min(limit, total)
    for i, line in enumerate(lines(base)):
        if (i + 1) * limit // total > i * limit // total:
            yield line


# ---- the collections that `long` is made of ----

def beir():
    with zipfile.ZipFile(harness.data("beir", "nfcorpus.zip")) as archive, archive.open("nfcorpus/corpus.jsonl") as file:
        rows = [json.loads(line) for line in file]
    with gzip.open(harness.data("beir", "scifact", "corpus.jsonl.gz"), "rt", encoding="utf-8") as file:
        rows += [json.loads(line) for line in file]
    return [f"{row['title']}. {row['text']}" for row in rows]


def glasgow():
    texts = []
    for folder, name in (("adi", "ADI.ALL"), ("cisi", "CISI.ALL"), ("cran", "cran.all.1400"), ("med", "MED.ALL")):
        with open(harness.data("glasgow-ir", folder, name), encoding="latin-1") as file:
            for record in re.split(r"^\.I .*$", file.read(), flags=re.M):
                parts = re.split(r"^\.([A-Z])[ \t]*$", record, flags=re.M)
                texts.append(". ".join(text for kind, text in zip(parts[1::2], parts[2::2]) if kind in "TW"))
    return texts


def icecat():
    texts = []
    for i in range(1, 5):
        with zipfile.ZipFile(harness.data("chorus-icecat", f"products_{i}.json.zip")) as archive:
            products = json.loads(archive.read(archive.namelist()[0]))
        texts += [f"{p.get('title', '')}. {p.get('short_description', '')}" for p in products]
    return texts


def sources():
    """Documents as lists of sentences, a sentence being a list of tokens."""
    found = []
    for text in beir() + glasgow() + icecat():
        sentences = [tokens(s) for s in re.split(r"(?<=[.?!])\s+", text)]
        found.append([s for s in sentences if s])
    return [d for d in found if d]


def rarer_words(documents):
    """Per document the words that join it with 2 to 200 others, and the documents of each of them."""
    where = {}
    for i, document in enumerate(documents):
        for word in sorted({w for s in document for w in s}):
            where.setdefault(word, []).append(i)
    where = {word: places for word, places in where.items() if 3 <= len(places) <= 201}
    return [sorted({w for s in d for w in s if w in where}) for d in documents], where


def made():
    documents = sources()
    words, where = rarer_words(documents)
    texts = [[" ".join(s) for s in d] for d in documents]
    sizes = [[len(s) for s in d] for d in documents]
    source = random.Random(LONG_SEED)
    topics = source.choices(range(len(documents)), [sum(s) for s in sizes], k=LONG)
    for topic in topics:
        yield " ".join(one(source, topic, texts, sizes, words, where))


def one(source, topic, texts, sizes, words, where):
    wanted = int(math.exp(source.uniform(math.log(150), math.log(400))))
    pool = [topic] + [source.choice(where[source.choice(words[topic])]) for _ in range(source.randrange(4)) if words[topic]]
    used, out, have = set(), [], 0
    while have < wanted:
        document = source.choice(pool)
        start = source.randrange(len(texts[document]))
        before = have
        for i in range(start, min(start + source.randint(1, 4), len(texts[document]))):
            if (document, i) not in used and have < wanted:
                used.add((document, i))
                out.append(texts[document][i])
                have += sizes[document][i]
        if have == before:  # little is left: another document joins, now and then any, as a few know only each other
            near = words[document] and source.randrange(4)
            pool.append(source.choice(where[source.choice(words[document])]) if near else source.randrange(len(texts)))
    return out


# ---- queries ----

def trec():
    """All lines of the TREC query sets, as tokens."""
    for name in ("topics.terabyte05.efficiency.txt.gz", "topics.mq.1-10000.txt.gz", "topics.mq.10001-20000.txt.gz",
                 "topics.mq.20001-60000.txt.gz", "topics.msmarco-passage.dev-subset.txt.gz"):
        with gzip.open(harness.data("trec-queries", name), "rt", encoding="utf-8", errors="replace") as file:
            for line in file:
                yield name, tokens(re.split("\t" if "msmarco" in name else ":", line)[-1])


def unions(source, corpus, count):
    """TREC queries of 2 to 5 different words that all occur, alike many of each of the three kinds of sets."""
    vocabulary = set()
    for line in lines(corpus):
        vocabulary.update(line.split(" "))
    kinds = {}
    for name, words in trec():
        if 2 <= len(words) <= 5 and len(set(words)) == len(words) and vocabulary.issuperset(words):
            kinds.setdefault(name.split(".")[1], []).append(words)
    each = [source.sample(queries, min(len(queries), -(-count // len(kinds)))) for _, queries in sorted(kinds.items())]
    mixed = [q for queries in each for q in queries]
    source.shuffle(mixed)
    return mixed[:count]


def from_documents(source, corpus, count, phrase):
    """2 to 5 words of a document: different ones in random order, or consecutive ones."""
    chosen = reservoir(source, corpus, 3 * count)
    found = []
    for document in chosen:
        size = source.choices(SIZES, SIZE_WEIGHTS)[0]
        words = document.split(" ")
        if phrase and len(words) >= size:
            start = source.randrange(len(words) - size + 1)
            found.append(words[start:start + size])
        elif not phrase and len(set(words)) >= size:
            found.append(source.sample(sorted(set(words)), size))
    return found[:count]


def reservoir(source, corpus, count):
    sample = []
    for seen, line in enumerate(lines(corpus), 1):
        if len(sample) < count:
            sample.append(line)
        elif (place := source.randrange(seen)) < count:
            sample[place] = line
    source.shuffle(sample)
    return sample


def queries(corpus, count):
    """The query file of a corpus, made once: `count` lines a class, each "CLASS word word …"."""
    target = harness.cached(f"sparse-{corpus}-queries-{count}.txt")
    if not os.path.exists(target):
        source = random.Random(QUERY_SEED)
        made_of = {"union": unions(source, corpus, count), "intersection": from_documents(source, corpus, count, False),
                   "phrase": from_documents(source, corpus, count, True)}
        with open(target + ".part", "w", encoding="ascii") as file:
            for kind in CLASSES:
                file.writelines(" ".join([kind] + words) + "\n" for words in made_of[kind])
        os.replace(target + ".part", target)
    return target
