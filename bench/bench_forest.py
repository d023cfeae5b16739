"""The forest: µs to score a row, each implementation, beside XGBoost, LightGBM and lleaves on the same models and rows.

500 trees of 64 leaves, grown leaf by leaf and to depth 6, by XGBoost and by LightGBM, on 60 made features (peers/forest_peers.py); all
libraries with one thread, in the same run, in requests of 300 rows and in one of 10,000, ours also in requests of 10 and 50;
processor time, the best of several runs. Before that: whether our margins of 10,000 rows are the library's, for each file format.
The XGBoost that Forage is linked with is timed through its C interface, the peers through their Python packages.
"""

import array
import json
import os
import subprocess
import sys

import harness

FEATURES, ROWS = 60, 10000
COMPILING = int(os.environ.get("FORAGE_LLEAVES_SECONDS", "900"))
PACKAGES = os.path.join(harness.OUT, "peers", "python")
BACKENDS = ("scalar", "interleaved", "sliced", "avx2")
FILES = {"ubj": "XGBoost UBJ", "json": "XGBoost JSON", "txt": "LightGBM text"}
KINDS = {"leaves64": "64 leaves", "depth6": "depth 6"}


def peers(*arguments):
    script = os.path.join(harness.ROOT, "bench", "peers", "forest_peers.py")
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run([sys.executable, "-B", script, *map(str, arguments)], capture_output=True, text=True,
                              env=environment, timeout=COMPILING if arguments[0] == "lleaves" else None)
    except subprocess.TimeoutExpired as expired:
        raise harness.Missing(f"lleaves was not done compiling after {COMPILING} s") from expired
    if done.returncode:
        raise harness.Missing("XGBoost, LightGBM and lleaves do not run (see bench/peers/forest_peers.py): "
                              + (done.stderr.strip().splitlines() or ["?"])[-1])
    return done.stdout


def driver(*arguments):
    line = [os.path.join(harness.BUILD, "bench", "forest_driver"), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return done.stdout.split("\t")


def models(quick):
    trees = 100 if quick else 500
    folder = harness.cached(f"forest-{trees}")
    peers("make", folder, trees)
    return folder, trees


def floats(path):
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def equality(bench, folder):
    out = os.path.join(folder, "ours.f32")
    for kind, name in KINDS.items():
        for end, file_format in FILES.items():
            driver("score", os.path.join(folder, f"{kind}.{end}"), os.path.join(folder, "rows.f32"), FEATURES, "-", out)
            library = "lightgbm" if end == "txt" else "xgboost"
            theirs = floats(os.path.join(folder, f"{kind}.{library}.f32"))
            apart = max(abs(a - b) / max(1, abs(b)) for a, b in zip(floats(out), theirs, strict=True))
            bench.add(f"{file_format}, {name}: margins of {ROWS} rows, largest relative difference", apart, "", bar=1e-5,
                      lower=True, command="forest_driver score")


def ours(folder, model, batch, backend):
    return float(driver("speed", os.path.join(folder, model), os.path.join(folder, "rows.f32"), FEATURES, batch, backend)[1])


def beside(bench, folder, trees, batch):
    """Each peer's row has our best implementation's time as its value, and so our lead as its ratio."""
    theirs = json.loads(peers("speed", folder, batch))
    for model, times in theirs.items():
        kind, end = model.split(".")
        name = f"{trees} trees, {KINDS[kind]}, {FILES[end].split()[0]}, requests of {batch}"
        if end == "ubj":
            version, time = driver("xgboost", os.path.join(folder, f"{kind}.json"), os.path.join(folder, "rows.f32"),
                                   FEATURES, batch)
            times[f"XGBoost {version}, C"] = float(time)
        elif not bench.quick:
            try:
                times.update(json.loads(peers("lleaves", folder, kind, batch)))
            except harness.Missing as missing:
                print(f"  SKIPPED {missing}", flush=True)
        value = ours(folder, model, batch, "-")
        bench.add(name, value, "µs/row", bar=6, lower=True, command=f"forest_driver speed {model} … {batch} -")
        for peer, time in times.items():
            wanted = 3.5 if peer.startswith("XGBoost") else 1
            bench.add(f"{name}: times {peer}", time / value, "", bar=wanted, peer=f"{peer}: {time:.2f} µs/row")


def implementations(bench, folder, trees, quick):
    for backend in BACKENDS:
        for batch in (300,) if quick or backend == "scalar" else (10, 50, 300):
            try:
                time = ours(folder, "leaves64.ubj", batch, backend)
            except ValueError as problem:
                print(f"  SKIPPED {backend}: {problem}", flush=True)
                break
            bench.add(f"{backend}, {trees} trees, 64 leaves, requests of {batch}", time, "µs/row", lower=True,
                      command=f"forest_driver speed leaves64.ubj … {batch} {backend}")


def reading(bench, folder):
    for end, file_format in FILES.items():
        read, load, size, own = map(float, driver("read", os.path.join(folder, f"leaves64.{end}")))
        bench.add(f"{file_format}, {size / 1e6:.1f} MB: reading", read, "ms", lower=True, command="forest_driver read")
        bench.add(f"the same from Forage's own bytes, {own / 1e6:.1f} MB", load, "ms", lower=True, command="forest_driver read")


def run(bench):
    folder, trees = models(bench.quick)
    equality(bench, folder)
    for batch in (300,) if bench.quick else (300, ROWS):
        beside(bench, folder, trees, batch)
    implementations(bench, folder, trees, bench.quick)
    reading(bench, folder)
