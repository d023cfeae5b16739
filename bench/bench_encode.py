"""The encoders of the BERT family: how long a query takes, how many tokens of documents a second, and whether the numbers are right.

MiniLM with weights of 8 bits and of float32, by the products that are best for this processor and by oneDNN's, one thread on one core,
beside ONNX Runtime's float32 on the same tokens on the same core: they take turns, round by round, and of each the round with the lowest
median counts. Documents are counted by processor time, the best of several rounds. Our times include tokens and pooling, the peer's do
not (peers/encode_onnx.py). Parity is with the reference of peers/dense_reference.py on its 1,000 texts and 500 pairs: cosines of vectors,
of SPLADE's lists of weights, and of the logits of pairs less their mean; the largest differences beside them.

    ENCODE_PARTS=latency,documents,parity              what to do (all)
"""

import array
import json
import math
import os
import statistics
import subprocess

import harness

PARTS = ("latency", "documents", "parity")
MODELS = os.path.join(harness.OUT, "models")
MINILM, REFERENCE = os.path.join(MODELS, "all-MiniLM-L6-v2"), os.path.join(MODELS, "reference")
TOKENS, MOST_TOKENS = 8, 256
MOST_MICROSECONDS = 2000
QUERIES = 323  # of the reference's texts; documents follow
LEAST_COSINE = {"fp32": .9999, "int8": .995}
WAYS = {"int8": ("int8",), "fp32": ("fp32",), "int8, oneDNN's products": ("int8", "--backend", "onednn"),
        "fp32, oneDNN's products": ("fp32", "--backend", "onednn")}


def one_core(line):
    return ["taskset", "-c", str(min(os.sched_getaffinity(0))), *line]


def reference(name):
    path = os.path.join(REFERENCE, name)
    if not os.path.exists(path):
        raise harness.Missing(f"needs build/bench/models/reference/{name} (peers/dense_minilm.py, peers/dense_reference.py)")
    return path


def tool(what, model, texts, precision, *more):
    """Standard output of encode_tool, and what was run."""
    line = [os.path.join(harness.BUILD, "bench", "encode_tool"), what, "--model", model, "--texts", texts, "--precision", precision,
            "--threads", "1", *map(str, more)]
    done = subprocess.run(one_core(line), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"encode_tool {what} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout, f"encode_tool {what} --precision {precision}"


def part_of(name, first, count):
    """Some lines of a file of the reference, as a file."""
    with open(reference(name), encoding="utf-8") as file:
        lines = file.read().split("\n")[first:first + count]
    path = harness.cached(f"encode-{first}-{count}-{name}")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
    return path


class Onnx:
    """ONNX Runtime in a process that answers lines with lines."""

    def __init__(self):
        python, model = os.path.join(harness.OUT, "peers", "bin", "python"), os.path.join(MINILM, "onnx", "model.onnx")
        if not os.path.exists(python) or not os.path.exists(model):
            raise harness.Missing("ONNX Runtime: needs build/bench/peers and the model (peers/encode_onnx.py, peers/dense_minilm.py)")
        script = os.path.join(harness.ROOT, "bench", "peers", "encode_onnx.py")
        environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self.process = subprocess.Popen(one_core([python, "-B", script, model, reference("minilm.ids")]), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.name = "ONNX Runtime " + self.read()["version"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise harness.Missing("ONNX Runtime: " + (self.process.stderr.read().strip().splitlines() or ["?"])[-1])
        return json.loads(line)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.read()

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def start_peer():
    try:
        return Onnx()
    except harness.Missing as missing:
        print(f"  SKIPPED {missing}", flush=True)
        return None


# ---- Speed ----

def latency(bench, peer, rounds):
    """One query of eight tokens after another, each text once a round."""
    rows, commands, texts = {}, {}, 0
    ways = [way for way in WAYS if way in LEAST_COSINE or not bench.quick]
    for _ in range(rounds):
        for way in ways:
            precision, *more = WAYS[way]
            out, commands[way] = tool("latency", MINILM, reference("texts.txt"), precision, "--tokens", TOKENS, *more)
            rows.setdefault(way, []).append(list(map(float, out.split())))
            texts = len(rows[way][0])
        if peer:
            rows.setdefault("peer", []).append(peer.ask("latency", TOKENS)["microseconds"])
    name, other = f"query of {TOKENS} tokens ({texts} texts, {rounds} rounds)", peer and f"{peer.name}, float32"
    figures = {"median of the best round": lambda found: min(map(statistics.median, found)),
               "median of all": lambda found: statistics.median(sum(found, [])),
               "mean of the best round": lambda found: min(map(statistics.mean, found)),
               "shortest": lambda found: min(map(min, found))}
    for way in ways:
        for figure, of in figures.items():
            if way in LEAST_COSINE or figure == "median of the best round":
                bar = MOST_MICROSECONDS if way == "int8" and figure == "median of the best round" else None
                bench.add(f"{name}, {way}, {figure}", of(rows[way]), "µs", bar=bar, lower=True, peer=other,
                          peer_value=of(rows["peer"]) if peer else None, command=commands[way])
    if peer:
        of = figures["median of the best round"]
        bench.add(f"{name}, int8: times ONNX Runtime's speed", of(rows["peer"]) / of(rows["int8"]), "", bar=1,
                  peer=f"{other}: {of(rows['peer']):,.0f} µs")


def documents(bench, peer, rounds, count):
    texts = part_of("texts.txt", QUERIES, count)
    with open(part_of("minilm.ids", QUERIES, count), encoding="ascii") as file:
        tokens = sum(len(line.split()) for line in file)
    rates, commands = {}, {}

    def note(who, rate):
        rates[who] = max(rates.get(who, 0), rate)

    for _ in range(rounds):
        for precision in ("int8", "fp32"):
            out, commands[precision] = tool("encode", MINILM, texts, precision, "--most", MOST_TOKENS)
            note(precision, tokens / float(out.split()[-1]))
        for batch in (1, 8) if peer else ():
            answer = peer.ask("documents", QUERIES, count, batch)
            note("peer", answer["tokens"] / answer["seconds"])
    for precision in ("int8", "fp32"):
        bench.add(f"documents of {tokens / count:.0f} tokens ({count} documents, {rounds} rounds), {precision}, best round",
                  rates[precision], "tokens/s", peer=peer and f"{peer.name}, float32, the better of one and eight at once",
                  peer_value=rates.get("peer"), command=commands[precision])


# ---- Parity ----

def floats(path):
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def token_ids(bench):
    for model, texts, expected in ((MINILM, "texts.txt", "minilm.ids"), (os.path.join(MODELS, "cross-minilm"), "pairs.tsv", "cross.ids")):
        out, command = tool("tokens", model, reference(texts), "fp32", "--most", MOST_TOKENS)
        with open(reference(expected), encoding="ascii") as file:
            wanted = file.read().splitlines()
        wrong = sum(a != b for a, b in zip(out.splitlines(), wanted, strict=True))
        bench.add(f"{len(wanted)} lines of {texts}: those whose token ids are not the tokenizer's", wrong, "", bar=0, lower=True,
                  peer="Hugging Face tokenizers", command=command)


def vectors(bench, precision, count):
    out = harness.cached(f"encode-minilm-{precision}.f32")
    _, command = tool("encode", MINILM, part_of("texts.txt", 0, count), precision, "--most", MOST_TOKENS, "--out", out)
    ours, theirs = floats(out), floats(reference("minilm.f32"))
    width = len(ours) // count
    cosines = sorted(cosine(ours[i:i + width], theirs[i:i + width]) for i in range(0, len(ours), width))
    name = f"MiniLM, {precision}, {count} texts: cosine with the reference"
    bench.add(f"{name}, least", cosines[0], "", bar=LEAST_COSINE[precision], peer="ONNX Runtime, float32", command=command)
    bench.add(f"{name}, median", statistics.median(cosines), "")


def read_weights(path, count):
    with open(path, encoding="ascii") as file:
        for line in list(file)[:count]:
            yield {int(token): float(weight) for token, weight in (pair.split(":") for pair in line.split())}


def weights(bench, precision, count):
    out = harness.cached(f"encode-splade-{precision}.txt")
    _, command = tool("sparse", os.path.join(MODELS, "splade-tiny"), part_of("texts.txt", 0, count), precision, "--most", MOST_TOKENS,
                      "--out", out)
    least, apart = 1.0, 0.0
    for ours, theirs in zip(read_weights(out, count), read_weights(reference("splade.txt"), count), strict=True):
        tokens = sorted(ours.keys() | theirs.keys())
        a, b = [ours.get(t, 0) for t in tokens], [theirs.get(t, 0) for t in tokens]
        least = min(least, cosine(a, b))
        apart = max(apart, max(abs(x - y) for x, y in zip(a, b)))
    name = f"SPLADE, {precision}, {count} texts"
    bench.add(f"{name}: cosine of the weights with the reference, least", least, "", bar=LEAST_COSINE[precision],
              peer="numpy, double", command=command)
    bench.add(f"{name}: largest difference of a weight", apart, "")


def logits(bench, precision, count):
    out = harness.cached(f"encode-cross-{precision}.txt")
    _, command = tool("pairs", os.path.join(MODELS, "cross-minilm"), part_of("pairs.tsv", 0, count), precision, "--most", MOST_TOKENS,
                      "--out", out)
    with open(out, encoding="ascii") as file:
        ours = list(map(float, file.read().split()))
    theirs = list(floats(reference("cross.f32")))[:count]
    centred = [[x - statistics.mean(side) for x in side] for side in (ours, theirs)]
    name = f"cross-encoder, {precision}, {count} pairs"
    bench.add(f"{name}: correlation of the logits with the reference", cosine(*centred), "", bar=LEAST_COSINE[precision],
              peer="numpy, double", command=command)
    bench.add(f"{name}: largest difference of a logit, standard deviations", max(abs(x - y) for x, y in zip(ours, theirs))
              / statistics.pstdev(theirs), "")


def parity(bench, texts, pairs):
    token_ids(bench)
    for precision in ("fp32", "int8"):
        vectors(bench, precision, texts)
        weights(bench, precision, texts)
        logits(bench, precision, pairs)


def run(bench):
    if not os.path.exists(os.path.join(MINILM, "model.safetensors")):
        raise harness.Missing("needs build/bench/models (peers/dense_minilm.py)")
    parts = [word for word in os.environ.get("ENCODE_PARTS", "").split(",") if word] or PARTS
    peer = start_peer() if {"latency", "documents"} & set(parts) else None
    try:
        if "latency" in parts:
            latency(bench, peer, 1 if bench.quick else 7)
        if "documents" in parts:
            documents(bench, peer, 1 if bench.quick else 3, 8 if bench.quick else 100)
    finally:
        if peer:
            peer.stop()
    if "parity" in parts:
        parity(bench, 20 if bench.quick else 1000, 20 if bench.quick else 500)
