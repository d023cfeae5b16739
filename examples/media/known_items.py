"""Queries whose right answers follow from the catalogue's own facts.

Nobody judged these pairs: each rule below says which documents answer which query, so a judgment can be
checked by reading the two documents. Six kinds look for a known thing, two for an attribute of things:

    series      a series without its number     books of it 2; other titles that contain the phrase 1
    author      an author's name                the person 3; their works 1
    director    a director's name               the person 3; their works 1
    title       a whole title                   documents of that title 3; titles that contain it 1
    partial     the last words of a long title  documents whose title contains them 3
    year        a film's title and year         that film 3; other documents of that title 1
    creator     a book's title, author surname  that book 3; the author 1
    attribute   a director and a genre          the films that are both 2; the director 1

Queries are drawn at steps of equal ratio down the ranks of popularity, so each kind runs from what
everybody looks for to what few do. Nothing is random.
"""

import re
import unicodedata
from collections import defaultdict

PERSON_TYPES = ("author", "director")


def fold(text):
    """Lower case, no accents, words parted by one space: how titles are compared here."""
    text = "".join(c for c in unicodedata.normalize("NFKD", text or "") if not unicodedata.combining(c))
    return " ".join(re.findall(r"\w+", text.lower().replace("'", "").replace("’", "")))


def typed(text):
    """The text as a person types it: lower case, accents kept, no punctuation, no "the" before two words."""
    words = re.findall(r"[\w\u0300-\u036f]+", re.sub("['’.]", "", text.lower()))
    return " ".join(words[1:] if len(words) > 2 and words[0] == "the" else words)


def contains(text, phrase):
    return f" {phrase} " in f" {text} "


def spread(ranked, count):
    """`count` of the items, at ranks that grow by a constant ratio."""
    picked, rank = [], 0
    for i in range(count):
        rank = max(rank + 1, round(len(ranked) ** (i / max(count - 1, 1))))
        if rank > len(ranked):
            break
        picked.append(ranked[rank - 1])
    return picked


class Facts:
    """The documents, looked up by the facts that the rules need."""

    def __init__(self, documents):
        self.works = [d for d in documents if d["type"] not in PERSON_TYPES]
        self.people = [d for d in documents if d["type"] in PERSON_TYPES]
        self.person = {p["id"]: p for p in self.people}
        self.title_of = {d["id"]: fold(d["title"]) for d in documents}
        self.by_title = defaultdict(list)
        self.by_name = defaultdict(list)
        for work in self.works:
            self.by_title[self.title_of[work["id"]]].append(work)
            for name in work.get("creator", []):
                self.by_name[name].append(work)

    def with_phrase(self, phrase):
        return [w for w in self.works if contains(self.title_of[w["id"]], phrase)]

    def same_title(self, work):
        return self.by_title[self.title_of[work["id"]]]


# Each rule yields (popularity, text, groups): groups() returns (grade, documents) pairs, best first,
# and is called only for the queries that are drawn.

def series_names(book):
    """The names in a book's `series`, without their numbers: "Discworld #1; Rincewind #1" has two."""
    names = re.sub("#[^;]*", "", book.get("series", "")).split(";")
    return {fold(name): name.strip() for name in names if len(fold(name).split()) > 1}


def series_queries(facts):
    members, spelling = defaultdict(list), {}
    for book in facts.works:
        for key, name in series_names(book).items():
            members[key].append(book)
            spelling.setdefault(key, name)
    for key, books in members.items():
        if len(books) > 2:
            text = typed(spelling[key])
            yield (sum(b["popularity"] for b in books), text,
                   lambda books=books, text=text: [(2, books), (1, facts.with_phrase(fold(text)))])


def name_queries(facts, kind):
    people = defaultdict(list)
    for person in facts.people:
        people[person["title"]].append(person)
    for name, same in people.items():
        for person in same:
            if person["type"] == kind and person["work_count"] > 1:
                yield (person.get("popularity"), typed(name),
                       lambda name=name, same=same: [(3, same), (1, facts.by_name[name])])


def title_queries(facts):
    for work in facts.works:
        if len(facts.title_of[work["id"]].split()) > 1 and ":" not in work["title"]:
            text = typed(work["title"])
            yield (work.get("popularity"), text,
                   lambda work=work, text=text: [(3, facts.same_title(work)),
                                                 (1, facts.with_phrase(fold(text)))])


def partial_queries(facts):
    for work in facts.works:
        words = facts.title_of[work["id"]].split()
        if 5 <= len(words) <= 9 and len(set(words[-3:])) == 3 and min(map(len, words[-3:])) > 3:
            text = " ".join(typed(work["title"]).split()[-3:])
            yield work.get("popularity"), text, lambda text=text: [(3, facts.with_phrase(fold(text)))]


def year_queries(facts, shared_title):
    for film in facts.works:
        if film["type"] == "film" and "year" in film and (len(facts.same_title(film)) > 1) == shared_title:
            same = facts.same_title(film)
            exact = [f for f in same if f["type"] == "film" and f.get("year") == film["year"]]
            yield (film.get("popularity"), f"{typed(film['title'])} {film['year']}",
                   lambda exact=exact, same=same: [(3, exact), (1, same)])


def creator_queries(facts):
    for book in facts.works:
        if book["type"] == "book" and "author" in book and not re.search("[:/]", book["title"]):
            author = facts.person[book["author"][0]]
            surname = typed(author["title"]).split()[-1]
            if surname not in ("jr", "sr", "ii", "iii"):
                yield (book["popularity"], f"{typed(book['title'])} {surname}",
                       lambda book=book, author=author: [
                           (3, [b for b in facts.same_title(book) if author["id"] in b.get("author", [])]),
                           (1, [author])])


def attribute_queries(facts):
    films = defaultdict(list)
    for film in facts.works:
        for director in film.get("director", []):
            for genre in film.get("genre", []):
                films[director, genre].append(film)
    for (director, genre), own in films.items():
        person = facts.person[director]
        if 2 < len(own) < person["work_count"]:
            yield (sum(f.get("popularity", 0) for f in own), f"{typed(person['title'])} {typed(genre)}",
                   lambda own=own, person=person: [(2, own), (1, [person])])


def draw(candidates, count, used):
    """The drawn (text, groups); a text is asked once in the whole set, for its most popular reading."""
    ranked = []
    for popularity, text, groups in sorted(candidates, key=lambda c: -(c[0] or 0)):
        if popularity and text not in used:
            used.add(text)
            ranked.append((text, groups))
    drawn = spread(ranked, count)
    used.difference_update(text for text, _ in ranked)
    used.update(text for text, _ in drawn)
    return drawn


def grade(groups):
    """[(id, grade)], best first; a document in two groups has the earlier group's grade."""
    grades = {}
    for score, documents in groups:
        for document in documents:
            grades.setdefault(document["id"], score)
    return sorted(grades.items(), key=lambda g: (-g[1], g[0]))


def derive(documents):
    """([(query id, text)], [(query id, document id, grade)]), best grade first within a query."""
    facts, used = Facts(documents), set()
    queries, judgments, number = [], [], defaultdict(int)
    for kind, count, candidates in (
        ("series", 20, series_queries(facts)),
        ("author", 20, name_queries(facts, "author")),
        ("director", 15, name_queries(facts, "director")),
        ("title", 15, title_queries(facts)),
        ("partial", 15, partial_queries(facts)),
        ("year", 10, year_queries(facts, shared_title=True)),
        ("year", 5, year_queries(facts, shared_title=False)),
        ("creator", 10, creator_queries(facts)),
        ("attribute", 10, attribute_queries(facts)),
    ):
        for text, groups in draw(candidates, count, used):
            number[kind] += 1
            query = f"{kind}-{number[kind]:02}"
            queries.append((query, text))
            judgments += [(query, document, score) for document, score in grade(groups())]
    return queries, judgments
