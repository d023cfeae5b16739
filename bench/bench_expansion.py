"""What learned words find, on NFCorpus and SciFact with a small SPLADE model (splade-tiny: 2 layers of 128; bench/peers/dense_minilm.py
fetches it): nDCG@10 of the expansion alone, with queries by the model and by their own tokens; µs of a query in the sparse engine; and
the whole funnel, without feedback, with words alone and with the expansion beside them.
"""

import json
import os
import subprocess

import bench_eval
import bench_hybrid
import dense_data
import dense_quality
import harness

SPLADE = os.path.join(harness.ROOT, "build", "bench", "models", "splade-tiny")


def alone(bench, name, folder):
    (documents, document_ids), (queries, query_ids) = dense_quality.texts(name, folder)
    runs = {by: dense_data.path(f"{name}-expansion-{by}.run") for by in ("model", "tokens")}
    line = [dense_data.tool("expansion_driver"), "--model", SPLADE, "--documents", documents, "--document-ids", document_ids,
            "--queries", queries, "--query-ids", query_ids, "--model-run", runs["model"], "--tokens-run", runs["tokens"]]
    out = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    found = {key: float(value) for key, value in (row.split("\t") for row in out.splitlines())}
    command = " ".join(os.path.relpath(word, harness.ROOT) if os.path.isabs(word) else word for word in line)
    bench.add(f"{name}: tokens of a document", found["document_tokens"], "", command=command)
    bench.add(f"{name}: size of a posting", found["bits_a_posting"], "bits", lower=True, command=command)
    for by, run_file in runs.items():
        out, _, _, judged = bench.command(["eval", "--run", run_file, "--judgments", os.path.join(folder, "qrels", "test.tsv"), "--metrics",
                                           "ndcg@10,recall@100", "--json", "--quiet"])
        means = {m["name"]: m["mean"] for m in json.loads(out)["metrics"]}
        title = f"{name}, queries by {'the model' if by == 'model' else 'their tokens'}"
        bench.add(f"{title}: nDCG@10 of the expansion alone", means["ndcg@10"], "", command=judged)
        bench.add(f"{title}: recall@100", means["recall@100"], "", command=judged)
        bench.add(f"{title}: answers that scoring everything gives otherwise", found[f"{by}_differ"], "", bar=0, lower=True,
                  command=command)
        bench.add(f"{title}: tokens of a query", found[f"{by}_query_tokens"], "", command=command)
        bench.add(f"{title}: to make them", found[f"{by}_encode_us"], "µs", lower=True, command=command)
        bench.add(f"{title}: best 100 of {found['documents']:.0f} documents", found[f"{by}_pruned_us"], "µs", lower=True,
                  peer="scoring everything", peer_value=found[f"{by}_exhaustive_us"], command=command)


def run(bench):
    if not os.path.isdir(SPLADE):
        raise harness.Missing("no build/bench/models/splade-tiny (peers/dense_minilm.py)")
    for name, folder in (("NFCorpus", bench_eval.nfcorpus()), ("SciFact", bench_eval.scifact())):
        alone(bench, name, folder)
        if bench.quick:
            return
        paths = bench_hybrid.beir(folder)
        words, line = bench_hybrid.measure(bench, name, "words", None, paths)
        bench.add(f"{name} nDCG@10, words", words["ndcg@10"], "", command=line)
        both, line = bench_hybrid.measure(bench, name, "splade", {"type": "weights", "encoder": {"kind": "bert", "model": SPLADE}}, paths)
        bench.add(f"{name} nDCG@10, words and the expansion", both["ndcg@10"], "", peer="words", peer_value=words["ndcg@10"], command=line)
        bench.add(f"{name} recall@100, words and the expansion", both["recall@100"], "", peer="words",
                  peer_value=words["recall@100"], command=line)
