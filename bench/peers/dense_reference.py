"""Reference outputs of the encoders of dense_minilm.py on 1,000 texts, for tests of parity: dense_reference.py NFCORPUS-FOLDER

    build/bench/peers/bin/pip install numpy scipy tokenizers onnxruntime
    build/bench/peers/bin/python bench/peers/dense_reference.py build/bench/data/nfcorpus      # the folder that make bench-eval unpacks

Token ids are those of Hugging Face's tokenizers. MiniLM's vectors are ONNX Runtime's, of an export that is not ours. Nothing that
executes BertForMaskedLM or BertForSequenceClassification comes as a small package, so the SPLADE and the cross-encoder are computed
here in numpy, in double precision, by the equations of Devlin et al. 2019 and Formal et al. 2021. What makes that a reference: the
same code, given MiniLM, gives ONNX Runtime's vectors, and the script ends with an error where it does not.

Below build/bench/models/reference, a line or row for each text:
    texts.txt         the texts: NFCorpus's 323 test queries, then its first documents (title, space, text; white space made one space)
    minilm.ids        token ids, [CLS] and [SEP] included, at most 256
    minilm.f32        1000 × 384 little-endian floats: mean of the last layer over the tokens, of length 1
    splade.txt        token:weight, weights above 0, by token id; at most 256 tokens; max over tokens of log(1 + relu(logit))
    pairs.tsv         query, tab, text: 500 pairs, each of the first 100 queries with five documents
    cross.ids         token ids of the pair, at most 256, the longer side cut first
    cross.types       token type ids
    cross.f32         500 little-endian floats: the logit of the one label
"""

import json
import os
import struct
import sys

import numpy as np
import scipy.special

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "build", "bench", "models")
TEXTS, PAIRED, EACH, TOKENS = 1000, 100, 5, 256


def gelu(x):
    return x * .5 * (1 + scipy.special.erf(x / np.sqrt(2)))


class Bert:
    """A folder's weights in double precision; LayerNorm's may have their old names."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        with open(os.path.join(folder, "model.safetensors"), "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            body = file.read()
        self.tensors = {}
        for name, t in header.items():
            if name != "__metadata__" and t["dtype"] == "F32":
                name = name.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
                values = np.frombuffer(body[slice(*t["data_offsets"])], "<f4").reshape(t["shape"])
                self.tensors[name] = values.astype(np.float64)

    def linear(self, name, x):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def normed(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def attention(self, at, x):
        heads = self.config["num_attention_heads"]
        q, k, v = (self.linear(f"{at}.attention.self.{part}", x).reshape(len(x), heads, -1).transpose(1, 0, 2)
                   for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        return self.linear(f"{at}.attention.output.dense", mixed.transpose(1, 0, 2).reshape(len(x), -1))

    def hidden(self, ids, types=None):
        """The last layer's output, tokens × width, of one text without padding."""
        t = self.tensors
        x = t["embeddings.word_embeddings.weight"][ids] + t["embeddings.position_embeddings.weight"][:len(ids)]
        x = x + t["embeddings.token_type_embeddings.weight"][types if types else [0] * len(ids)]
        x = self.normed("embeddings.LayerNorm", x)
        for layer in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{layer}"
            x = self.normed(f"{at}.attention.output.LayerNorm", x + self.attention(at, x))
            wide = gelu(self.linear(f"{at}.intermediate.dense", x))
            x = self.normed(f"{at}.output.LayerNorm", x + self.linear(f"{at}.output.dense", wide))
        return x

    def embedding(self, ids):
        mean = self.hidden(ids).mean(0)
        return mean / np.linalg.norm(mean)

    def sparse(self, ids):
        x = gelu(self.linear("cls.predictions.transform.dense", self.hidden(ids)))
        x = self.normed("cls.predictions.transform.LayerNorm", x)
        logits = x @ self.tensors["embeddings.word_embeddings.weight"].T + self.tensors["cls.predictions.bias"]
        return np.log1p(np.maximum(logits, 0)).max(0)

    def label(self, ids, types):
        pooled = np.tanh(self.linear("pooler.dense", self.hidden(ids, types)[0]))
        return self.linear("classifier", pooled)[0]


def tokenizer(folder):
    from tokenizers import Tokenizer
    made = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    made.no_padding()
    made.enable_truncation(TOKENS, strategy="longest_first")
    return made


def read_texts(folder):
    squeezed = lambda *parts: " ".join(" ".join(parts).split())
    with open(os.path.join(folder, "qrels", "test.tsv"), encoding="utf-8") as file:
        judged = {line.split("\t")[0] for line in list(file)[1:]}
    with open(os.path.join(folder, "queries.jsonl"), encoding="utf-8") as file:
        queries = [squeezed(row["text"]) for row in map(json.loads, file) if row["_id"] in judged]
    with open(os.path.join(folder, "corpus.jsonl"), encoding="utf-8") as file:
        documents = [squeezed(row["title"], row["text"]) for row in map(json.loads, file)]
    return queries, documents[:TEXTS - len(queries)]


def onnx_embeddings(path, encoded):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    for e in encoded:
        feed = {"input_ids": e.ids, "attention_mask": [1] * len(e.ids), "token_type_ids": [0] * len(e.ids)}
        out = session.run(None, {k: np.array([v], np.int64) for k, v in feed.items() if k in wanted})[0][0]
        mean = out.astype(np.float64).mean(0) if out.ndim == 2 else out.astype(np.float64)
        yield mean / np.linalg.norm(mean)


def write(out, name, lines):
    with open(os.path.join(out, name), "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def words(numbers):
    return " ".join(map(str, numbers))


def minilm(out, texts):
    folder = os.path.join(MODELS, "all-MiniLM-L6-v2")
    encoded = tokenizer(folder).encode_batch(texts)
    write(out, "minilm.ids", [words(e.ids) for e in encoded])
    rows = np.array(list(onnx_embeddings(os.path.join(folder, "onnx", "model.onnx"), encoded)))
    rows.astype("<f4").tofile(os.path.join(out, "minilm.f32"))
    bert = Bert(folder)
    some = range(0, len(texts), 20)
    least = min(float(bert.embedding(encoded[i].ids) @ rows[i]) for i in some)
    print(f"MiniLM: {len(texts)} texts by ONNX Runtime; {len(some)} of them once more in numpy: least cosine {least:.9f}")
    if least < .999999:
        sys.exit("numpy and ONNX Runtime do not agree")


def splade(out, texts):
    folder = os.path.join(MODELS, "splade-tiny")
    bert = Bert(folder)
    lines = []
    for e in tokenizer(folder).encode_batch(texts):
        weights = bert.sparse(e.ids)
        lines.append(" ".join(f"{i}:{weights[i]:.6f}" for i in np.flatnonzero(weights > 5e-7)))
    write(out, "splade.txt", lines)
    print(f"SPLADE: {len(texts)} texts in numpy; {sum(line.count(':') for line in lines) / len(lines):.1f} tokens a text")


def cross(out, queries, documents):
    folder = os.path.join(MODELS, "cross-minilm")
    bert = Bert(folder)
    pairs = [(queries[q], documents[(q * EACH + i) % len(documents)]) for q in range(PAIRED) for i in range(EACH)]
    encoded = tokenizer(folder).encode_batch(pairs)
    write(out, "pairs.tsv", ["\t".join(pair) for pair in pairs])
    write(out, "cross.ids", [words(e.ids) for e in encoded])
    write(out, "cross.types", [words(e.type_ids) for e in encoded])
    logits = np.array([bert.label(e.ids, e.type_ids) for e in encoded])
    logits.astype("<f4").tofile(os.path.join(out, "cross.f32"))
    print(f"cross-encoder: {len(pairs)} pairs in numpy; logits {logits.min():.3f} to {logits.max():.3f}")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: dense_reference.py NFCORPUS-FOLDER")
    out = os.path.join(MODELS, "reference")
    os.makedirs(out, exist_ok=True)
    queries, documents = read_texts(sys.argv[1])
    write(out, "texts.txt", queries + documents)
    minilm(out, queries + documents)
    splade(out, queries + documents)
    cross(out, queries, documents)


if __name__ == "__main__":
    main()
