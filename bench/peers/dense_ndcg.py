"""nDCG@10 of vectors, every document scored in numpy: dense_ndcg.py DOCUMENTS.f32 THEIR.ids QUERIES.f32 THEIR.ids QRELS.tsv [RUN]

RUN: a file for the first 1,000 of each query, as a TREC run.
"""

import json
import sys

import numpy as np

K, IN_RUN = 10, 1000


def read(vectors, ids):
    with open(ids, encoding="utf-8") as file:
        names = file.read().split("\n")[:-1]
    return np.fromfile(vectors, "<f4").reshape(len(names), -1), names


def main():
    documents, names = read(*sys.argv[1:3])
    queries, asked = read(*sys.argv[3:5])
    grades = {}
    with open(sys.argv[5], encoding="utf-8") as file:
        for line in list(file)[1:]:
            query, document, grade = line.split()
            grades.setdefault(query, {})[document] = int(grade)
    discounts = 1 / np.log2(np.arange(2, K + 2))
    values, run = [], []
    for query, scores in zip(asked, queries @ documents.T):
        order = [i for i in np.argsort(-scores, kind="stable")[:IN_RUN + 1] if names[i] != query][:IN_RUN]
        run += [f"{query} Q0 {names[i]} {rank} {scores[i]:.6f} vectors\n" for rank, i in enumerate(order, 1)]
        best = [names[i] for i in order[:K]]
        gains = np.array([grades[query].get(name, 0) for name in best])
        ideal = np.sort(list(grades[query].values()))[::-1][:K]
        if ideal.any():
            values.append(float(gains @ discounts / (ideal @ discounts[:len(ideal)])))
    if len(sys.argv) > 6:
        with open(sys.argv[6], "w", encoding="utf-8") as file:
            file.writelines(run)
    print(json.dumps({"ndcg@10": sum(values) / len(values), "queries": len(values)}))


if __name__ == "__main__":
    main()
