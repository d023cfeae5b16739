"""What bench_dense measures on, each made once below build/bench/dense: rows of float32, and queries that are not among them."""

import os
import random
import subprocess

import harness
import packages

HELD_OUT, SEED = 1_000, 7
WIDTH = 128
TRAINED_ON = 100_000  # texts that the catalogue's encoder sees; it encodes a million


class Data:
    def __init__(self, name, dimensions, base, queries, rows):
        self.name, self.dimensions, self.base, self.queries, self.rows = name, dimensions, base, queries, rows

    def truth(self, limit=0):
        return f"{self.base}.{limit or 'all'}.truth.npy"


def path(name):
    folder = os.path.join(harness.OUT, "dense")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)


def tool(name):
    found = os.path.join(harness.BUILD, "bench", name)
    if not os.access(found, os.X_OK):
        raise harness.Missing(f"{name} is not built")
    return found


def glove():
    """GloVe of 100 dimensions, the 20,000 commonest words; 1,000 of them, drawn by seed, are the queries."""
    dimensions = 100
    base, queries = path("glove.f32"), path("glove-queries.f32")
    with open(harness.data("glove100-top20k", "vectors.fvecs"), "rb") as file:
        content = file.read()
    row = 4 + 4 * dimensions
    n = len(content) // row
    held = set(random.Random(SEED).sample(range(n), HELD_OUT))
    if not os.path.exists(base) or not os.path.exists(queries):
        for target, wanted in ((queries, True), (base, False)):
            with open(target + ".part", "wb") as file:
                file.writelines(content[i * row + 4:(i + 1) * row] for i in range(n) if (i in held) == wanted)
            os.replace(target + ".part", target)
    return Data("GloVe-100", dimensions, base, queries, n - HELD_OUT)


def package_texts(count):
    """`count` packages, a line each: name, tab, summary; and 1,000 others as queries, one half by summary, one by name."""
    texts, queries = path(f"packages-{count}.txt"), path(f"packages-{count}-queries.txt")
    if not os.path.exists(queries):
        clean = lambda text: " ".join(text.split())
        lines = [(clean(name), clean(summary)) for _, name, _, _, summary in packages.rows()]
        chooser = random.Random(SEED)
        described = [i for i, (_, summary) in enumerate(lines) if len(summary.split()) >= 3]
        held = chooser.sample(described, HELD_OUT)
        out = set(held)
        kept = [i for i in range(len(lines)) if i not in out]
        chooser.shuffle(kept)  # so that the first n are as mixed as the whole
        with open(texts, "w", encoding="utf-8") as file:
            file.writelines(f"{lines[i][0]}\t{lines[i][1]}\n" for i in kept[:count])
        with open(queries + ".part", "w", encoding="utf-8") as file:
            file.writelines(lines[i][i % 2 == 0] + "\n" for i in held)
        os.replace(queries + ".part", queries)
    return texts, queries


def drop_zeros(file):
    """Rows of texts about which the encoder has nothing to say: they have no direction, and no engine is given them."""
    zero = bytes(4 * WIDTH)
    with open(file, "rb") as source, open(file + ".kept", "wb") as out:
        while row := source.read(4 * WIDTH):
            if row != zero:
                out.write(row)
    os.replace(file + ".kept", file)


def million(count):
    """Packages by the catalogue's own encoder, trained on the first of them."""
    program = tool("catalogue_tool")
    texts, queries = package_texts(count)
    some, model = path(f"packages-{count}-trained-on.txt"), path(f"packages-{count}.model")
    base, asked = path(f"packages-{count}.f32"), path(f"packages-{count}-queries.f32")
    if not os.path.exists(model):
        with open(texts, encoding="utf-8") as file, open(some, "w", encoding="utf-8") as out:
            out.writelines(line for _, line in zip(range(TRAINED_ON), file))
        run(program, "train", "--texts", some, "--dimensions", str(WIDTH), "--out", model + ".part")
        os.replace(model + ".part", model)
    for side, source, target in (("document", texts, base), ("query", queries, asked)):
        if not os.path.exists(target):
            run(program, "encode", "--model", model, "--side", side, "--texts", source, "--out", target + ".part")
            drop_zeros(target + ".part")
            os.replace(target + ".part", target)
    rows = os.path.getsize(base) // (4 * WIDTH)
    return Data(f"packages ({rows:,})", WIDTH, base, asked, rows)


def run(*line):
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise harness.Missing(f"{os.path.basename(line[0])} {line[1]}: {(done.stderr or done.stdout).strip()[-300:]}")
