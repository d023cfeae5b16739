"""MiniLM by ONNX Runtime on one thread, beside encode_tool: encode_onnx.py MODEL.onnx MINILM.IDS      (bench_encode starts it)

    build/bench/peers/bin/pip install numpy onnxruntime

Texts come as token ids, so that no time goes into tokens, and its answer is the last layer's states, without pooling: both in its favour.
Asked by lines, answers by a line of JSON each:

    latency TOKENS               every text of at least TOKENS tokens, cut to them and asked alone: µs of each
    documents FROM COUNT BATCH   COUNT texts from FROM on, BATCH of like length at once, padded to the longest: tokens and seconds of the
                                 processor
"""

import json
import sys
import time

import numpy as np
import onnxruntime

SEPARATOR, WARM = 102, 50


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feed_of(batch, names):
    longest = max(map(len, batch))
    ids = np.array([row + [0] * (longest - len(row)) for row in batch], np.int64)
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in batch], np.int64)
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    return {name: feed[name] for name in names}


def latency(session, names, texts, tokens):
    feeds = [feed_of([row[:tokens - 1] + [SEPARATOR]], names) for row in texts if len(row) >= tokens]
    for feed in feeds[:WARM]:
        session.run(None, feed)
    times = []
    for feed in feeds:
        start = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - start) * 1e6)
    return {"microseconds": times}


def documents(session, names, texts, batch):
    texts = sorted(texts, key=len, reverse=True)
    feeds = [feed_of(texts[i:i + batch], names) for i in range(0, len(texts), batch)]
    session.run(None, feeds[0])
    start = time.process_time()
    for feed in feeds:
        session.run(None, feed)
    return {"tokens": sum(map(len, texts)), "seconds": time.process_time() - start}


def main():
    session = session_of(sys.argv[1])
    names = [i.name for i in session.get_inputs()]
    with open(sys.argv[2], encoding="ascii") as file:
        texts = [list(map(int, line.split())) for line in file]
    print(json.dumps({"version": onnxruntime.__version__}), flush=True)
    for line in sys.stdin:
        what, *numbers = line.split()
        if what == "latency":
            answer = latency(session, names, texts, int(numbers[0]))
        else:
            first, count, batch = map(int, numbers)
            answer = documents(session, names, texts[first:first + count], batch)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
