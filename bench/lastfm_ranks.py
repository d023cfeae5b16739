"""The Last.fm replay (protocol: README.md of the data) as a log of ranks for bench/policy_driver.c: one line per scored
row, the rank of the wanted artist under four strategies (memory, personal, popular, co-listening; 0: not within 128),
then what is known of the request before anybody is asked.

    python lastfm_ranks.py FOLDER OUT [ROWS]        needs numpy; without ROWS, all of them"""

import math
import os
import sys
from collections import defaultdict

import numpy as np

DEEPEST = 128


def table(folder, name, encoding="utf-8"):
    with open(os.path.join(folder, name), encoding=encoding) as file:
        next(file)
        for line in file:
            if line.strip():
                yield line.rstrip("\r\n").split("\t")


def searches(folder):
    """(user, artist, tag) in the order of time."""
    rows = []
    for number, row in enumerate(table(folder, "user_taggedartists.dat")):
        user, artist, tag, day, month, year = map(int, row)
        if 2005 <= year <= 2011:
            rows.append((year, month, day, number, user, artist, tag))
    return [row[4:] for row in sorted(rows)]


def rank(scores, artist):
    """Rank from 1, ties by number; 0 without a score or beyond the deepest."""
    score = scores[artist]
    if score <= 0:
        return 0
    place = 1 + int((scores > score).sum()) + int((scores[:artist] == score).sum())
    return place if place <= DEEPEST else 0


class World:
    """What the strategies and the features know; learns one search at a time."""

    def __init__(self, folder, rows):
        listens = [(int(u), int(a), float(w)) for u, a, w in table(folder, "user_artists.dat")]
        self.tags = {int(row[0]): row[1] for row in table(folder, "tags.dat", "latin-1")}
        self.users = {u: i for i, u in enumerate(sorted({r[0] for r in listens} | {r[0] for r in rows}))}
        self.artists = {a: i for i, a in enumerate(sorted({r[1] for r in listens} | {r[1] for r in rows}))}
        profile = np.zeros((len(self.users), len(self.artists)), np.float32)
        for user, artist, weight in listens:
            profile[self.users[user], self.artists[artist]] = math.log1p(weight)
        unit = profile / np.maximum(1e-9, np.sqrt((profile**2).sum(0)))
        self.profile, self.unit, self.mixed = profile, unit, profile @ unit.T
        self.popularity = (profile > 0).sum(0).astype(np.float64)
        self.memory = defaultdict(lambda: defaultdict(int))
        self.seen, self.tags_of, self.searches_of = set(), defaultdict(set), defaultdict(int)
        self.found = defaultdict(lambda: [0, 0])

    def ranks(self, user, artist, tag):
        memory = np.zeros(len(self.artists))
        for other, count in self.memory[tag].items():
            memory[other] = count
        shared = self.mixed[user] @ self.unit
        shared[self.profile[user] > 0] = 0
        return [rank(scores, artist) for scores in (memory, self.profile[user], self.popularity, shared)]

    def features(self, user, tag):
        memory, profile = self.memory[tag], self.profile[user]
        total, top = sum(memory.values()), max(memory.values(), default=0)
        both = sum(1 for artist in memory if profile[artist] > 0)
        listened, asked, tags = int((profile > 0).sum()), self.searches_of[user], self.tags_of[user]
        hits, scored = self.found[user]
        return [1, math.log1p(len(memory)) / 4, math.log1p(total) / 5, top / total if total else 0, not memory,
                math.log1p(both) / 2, both / len(memory) if memory else 0, math.log1p(listened) / 4,
                math.log1p(asked) / 5, asked == 0, tag in tags, math.log1p(len(tags)) / 4,
                min(len(self.tags[tag].split()), 4) / 4, hits / (scored + 3), listened == 0, math.log1p(top) / 4]

    def learn(self, user, artist, tag):
        self.memory[tag][artist] += 1
        self.popularity[artist] += 0.5
        self.seen.add((user, artist))
        self.tags_of[user].add(tag)
        self.searches_of[user] += 1


def main(folder, out, most=None):
    rows = searches(folder)
    world = World(folder, rows)
    half, left = len(rows) // 2, int(most or len(rows))
    with open(out + ".part", "w", encoding="utf-8") as file:
        for i, (u, a, tag) in enumerate(rows):
            user, artist = world.users[u], world.artists[a]
            if i >= half and (i - half) % 7 == 0 and (user, artist) not in world.seen:
                ranks = world.ranks(user, artist, tag)
                features = world.features(user, tag)
                print(*ranks, *(f"{value:.4f}" for value in features), file=file)
                world.found[user][0] += ranks[1] > 0
                world.found[user][1] += 1
                left -= 1
                if left == 0:
                    break
            world.learn(user, artist, tag)
    os.replace(out + ".part", out)


main(*sys.argv[1:])
