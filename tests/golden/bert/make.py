#!/usr/bin/env python3
"""Makes a tiny BERT of weights drawn from a seed, and what it must answer, computed here in double: tests/golden/bert/make.py

config.json, vocab.txt and model.safetensors in the layout of Hugging Face (2 layers of 16, with masked-language head, pooler and a
classifier of one label), texts.txt, and expected.txt: for each text a line `vector …` (the mean), `first …` ([CLS]), `sparse …` (a weight for each token) and, beside
the first text as the query, `pair SCORE`. Plain Python, written after the papers; nothing of the C code is used.
"""

import json
import math
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "green", "blue", "shoe", "##s", "run", "##ning", "walk", "##er", "cotton",
         "shirt", "warm", "cold", "winter", "summer", "for", "men", "women", "kid", "the", "of", "a", "jacket", "bag", "##gy"]
TEXTS = ["red running shoes", "warm winter jacket for women", "the blue bag of a walker", "shirt", "unheard cotton shirts for kids",
         "baggy baggy baggy green shirts for running men of the cold winter and the warm summer for kids"]
D, HEADS, LAYERS, INNER, POSITIONS = 16, 2, 2, 32, 24
IDS = {"red running shoes": [5, 10, 11, 8, 9], "warm winter jacket for women": [16, 18, 27, 20, 22],
       "the blue bag of a walker": [24, 7, 28, 25, 26, 12, 13], "shirt": [15],
       "unheard cotton shirts for kids": [1, 14, 15, 9, 20, 23, 9],
       TEXTS[5]: [28, 29, 28, 29, 28, 29, 6, 15, 9, 20, 10, 11, 21, 25, 24, 17, 18, 1, 24, 16, 19, 20, 23, 9]}
EPSILON = 1e-12
random.seed(6)


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def matrix(rows, columns, scale):
    return [[single(random.gauss(0, scale)) for _ in range(columns)] for _ in range(rows)]


def vector(n, mean, scale):
    return [single(random.gauss(mean, scale)) for _ in range(n)]


def make_weights():
    w = {"bert.embeddings.word_embeddings.weight": matrix(len(WORDS), D, .5),
         "bert.embeddings.position_embeddings.weight": matrix(POSITIONS, D, .2),
         "bert.embeddings.token_type_embeddings.weight": matrix(2, D, .2)}

    def linear(name, n, k):
        w[name + ".weight"], w[name + ".bias"] = matrix(n, k, 1.2 / math.sqrt(k)), vector(n, 0, .1)

    def norm(name):
        w[name + ".weight"], w[name + ".bias"] = vector(D, 1, .1), vector(D, 0, .1)

    norm("bert.embeddings.LayerNorm")
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}."
        for part in ("query", "key", "value"):
            linear(layer + "attention.self." + part, D, D)
        linear(layer + "attention.output.dense", D, D)
        norm(layer + "attention.output.LayerNorm")
        linear(layer + "intermediate.dense", INNER, D)
        linear(layer + "output.dense", D, INNER)
        norm(layer + "output.LayerNorm")
    linear("bert.pooler.dense", D, D)
    linear("classifier", 1, D)
    linear("cls.predictions.transform.dense", D, D)
    norm("cls.predictions.transform.LayerNorm")
    w["cls.predictions.bias"] = vector(len(WORDS), 0, .1)
    return w


def linear(w, name, x):
    return [sum(a * b for a, b in zip(row, x)) + bias for row, bias in zip(w[name + ".weight"], w[name + ".bias"])]


def norm(w, name, x):
    mean = sum(x) / len(x)
    scale = 1 / math.sqrt(sum((a - mean) ** 2 for a in x) / len(x) + EPSILON)
    return [(a - mean) * scale * g + b for a, g, b in zip(x, w[name + ".weight"], w[name + ".bias"])]


def gelu(x):
    return [.5 * a * (1 + math.erf(a / math.sqrt(2))) for a in x]


def plus(x, y):
    return [a + b for a, b in zip(x, y)]


def attention(q, k, v):
    size, out = D // HEADS, [[] for _ in q]
    for h in range(0, D, size):
        for i, row in enumerate(q):
            e = [math.exp(sum(a * b for a, b in zip(row[h:h + size], other[h:h + size])) / math.sqrt(size)) for other in k]
            out[i] += [sum(p * other[c] for p, other in zip(e, v)) / sum(e) for c in range(h, h + size)]
    return out


def states(w, ids, types):
    e = "bert.embeddings."
    xs = [norm(w, e + "LayerNorm", plus(plus(w[e + "word_embeddings.weight"][t], w[e + "position_embeddings.weight"][i]),
                                        w[e + "token_type_embeddings.weight"][s])) for i, (t, s) in enumerate(zip(ids, types))]
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}."
        q, k, v = ([linear(w, layer + "attention.self." + part, x) for x in xs] for part in ("query", "key", "value"))
        mixed = [linear(w, layer + "attention.output.dense", x) for x in attention(q, k, v)]
        xs = [norm(w, layer + "attention.output.LayerNorm", plus(x, m)) for x, m in zip(xs, mixed)]
        wide = [gelu(linear(w, layer + "intermediate.dense", x)) for x in xs]
        xs = [norm(w, layer + "output.LayerNorm", plus(x, linear(w, layer + "output.dense", y))) for x, y in zip(xs, wide)]
    return xs


def single_text(ids):
    return [2] + ids[:POSITIONS - 2] + [3]


def pair_text(a, b):
    a, b = list(a), list(b)
    while len(a) + len(b) > POSITIONS - 3:
        (a if len(a) > len(b) else b).pop()
    return [2] + a + [3] + b + [3], [0] * (len(a) + 2) + [1] * (len(b) + 1)


def expected(w, text):
    ids = single_text(IDS[text])
    xs = states(w, ids, [0] * len(ids))
    for name, sums in (("vector", [sum(column) for column in zip(*xs)]), ("first", xs[0])):
        length = math.sqrt(sum(a * a for a in sums))
        yield name + " " + " ".join(f"{a / length:.8f}" for a in sums)
    best = [0.] * len(WORDS)
    for x in xs:
        y = norm(w, "cls.predictions.transform.LayerNorm", gelu(linear(w, "cls.predictions.transform.dense", x)))
        for t, row in enumerate(w["bert.embeddings.word_embeddings.weight"]):
            best[t] = max(best[t], sum(a * b for a, b in zip(row, y)) + w["cls.predictions.bias"][t])
    yield "sparse " + " ".join(f"{math.log1p(b) if t > 4 else 0:.8f}" for t, b in enumerate(best))
    first = states(w, *pair_text(IDS[TEXTS[0]], IDS[text]))[0]
    yield f"pair {linear(w, 'classifier', [math.tanh(a) for a in linear(w, 'bert.pooler.dense', first)])[0]:.8f}"


def write_safetensors(path, w):
    header, body = {}, b""
    for name in sorted(w):
        rows = w[name]
        shape = [len(rows), len(rows[0])] if isinstance(rows[0], list) else [len(rows)]
        flat = [a for row in rows for a in row] if len(shape) == 2 else rows
        data = struct.pack(f"<{len(flat)}f", *flat)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def main():
    w = make_weights()
    write_safetensors(os.path.join(HERE, "model.safetensors"), w)
    config = {"model_type": "bert", "hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_act": "gelu",
              "intermediate_size": INNER, "max_position_embeddings": POSITIONS, "vocab_size": len(WORDS), "type_vocab_size": 2,
              "layer_norm_eps": EPSILON}
    for name, text in (("config.json", json.dumps(config, indent=1) + "\n"), ("vocab.txt", "\n".join(WORDS) + "\n"),
                       ("texts.txt", "\n".join(TEXTS) + "\n"),
                       ("expected.txt", "\n".join(line for text in TEXTS for line in expected(w, text)) + "\n")):
        with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
