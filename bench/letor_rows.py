"""Ranking files and NDCG for benchmarks, in plain Python: what Forage and its peers are measured with alike."""

import gzip
import math
import random


class Rows:
    """Lines of an SVMlight file, by group: [(label, the rest of the line after qid)]."""

    def __init__(self, groups):
        self.groups = groups

    def labels(self):
        return [[row[0] for row in group] for group in self.groups]

    def take(self, indices):
        return Rows([self.groups[i] for i in indices])

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            for qid, group in enumerate(self.groups, 1):
                file.writelines(f"{label:g} qid:{qid} {rest}\n" for label, rest in group)
        return path

    def matrix(self, width):
        """(x, labels, group sizes) as lists; what a line does not name is 0."""
        x = []
        for group in self.groups:
            for _, rest in group:
                row = [0.0] * width
                for pair in rest.split():
                    index, value = pair.split(":")
                    row[int(index) - 1] = float(value)
                x.append(row)
        return x, [label for group in self.groups for label, _ in group], [len(group) for group in self.groups]


def opened(path):
    return gzip.open(path, "rt") if path.endswith(".gz") else open(path, encoding="utf-8")


def read(path):
    """A LETOR file, with qids."""
    groups, last = [], None
    with opened(path) as file:
        for line in file:
            label, qid, rest = line.split("#")[0].split(None, 2)
            if qid != last:
                groups.append([])
            groups[-1].append((float(label), rest.strip()))
            last = qid
    return Rows(groups)


def read_with_sizes(path, sizes):
    """LightGBM's form: no qids, the groups' sizes in a file of their own."""
    with opened(path) as file:
        lines = [line.split(None, 1) for line in file]
    with open(sizes, encoding="utf-8") as file:
        counts = [int(line) for line in file if line.strip()]
    groups, start = [], 0
    for count in counts:
        groups.append([(float(label), rest.strip()) for label, rest in lines[start:start + count]])
        start += count
    if start != len(lines):
        raise SystemExit(f"{sizes} counts {start} rows, {path} has {len(lines)}")
    return Rows(groups)


def folds(rows, n, seed=20260131):
    """[(rows to train on, rows to validate by)]: groups dealt in a shuffled order."""
    order = list(range(len(rows.groups)))
    random.Random(seed).shuffle(order)
    parts = [sorted(order[i::n]) for i in range(n)]
    return [(rows.take(sorted(set(order) - set(part))), rows.take(part)) for part in parts]


def dcg(labels, cutoff):
    return sum((2 ** label - 1) / math.log2(rank + 2) for rank, label in enumerate(labels[:cutoff]))


def ndcgs(groups, scores, cutoff):
    """NDCG of each group (lists of labels; scores of all rows, one after the other): gains 2^label - 1, ties in the order of the
    file, a group without a relevant row counts as 1."""
    values, start = [], 0
    for labels in groups:
        own = scores[start:start + len(labels)]
        start += len(labels)
        ideal = dcg(sorted(labels, reverse=True), cutoff)
        order = sorted(range(len(labels)), key=lambda i: (-own[i], i))
        values.append(dcg([labels[i] for i in order], cutoff) / ideal if ideal > 0 else 1.0)
    return values


def ndcg(groups, scores, cutoff):
    values = ndcgs(groups, scores, cutoff)
    return sum(values) / len(values)
