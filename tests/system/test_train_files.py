#!/usr/bin/env python3
"""`forage train` as a real process: files in, a model and its worth out."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time

from forage_process import COMMAND, Folder, forage, run_tests


def ranking(groups, seed, bent=False):
    """Rows whose relevance follows 2 × feature 1 - feature 2, or (bent) their product; feature 3 says nothing."""
    source, lines = random.Random(seed), ["# 1:a 2:b 3:c"]
    for qid in range(1, groups + 1):
        for _ in range(12):
            x = [source.gauss(0, 1) for _ in range(3)]
            worth = (2 * x[0] * x[1] if bent else 2 * x[0] - x[1]) + source.gauss(0, 0.3)
            label = 2 if worth > 3 else 1 if worth > 1 else 0
            lines.append(f"{label} qid:{qid} " + " ".join(f"{i}:{v:.4f}" for i, v in enumerate(x, 1)))
    return "\n".join(lines) + "\n"


def test_trees_and_linear_orders_are_chosen_by_what_the_data_is():
    with Folder() as folder:
        for bent, model in ((True, "trees"), (False, "linear")):
            train = folder.file("train.txt", ranking(150, 1, bent))
            held = folder.file("held.txt.gz", gzip.compress(ranking(60, 2, bent).encode()))
            test = folder.file("test.txt", ranking(60, 3, bent))
            output = os.path.join(folder.path, "model.json")
            scores = os.path.join(folder.path, "scores.txt")
            line = ["train", "--svmlight", train, "--validation", held, "--test", test, "-o", output, "--scores", scores,
                    "--trees", "60", "--learning-rate", "0.1", "--leaves", "8", "--patience", "20"]
            told = forage(*line, "--json", expect=0).json()
            assert told["model"] == model and told["fit"]["model"] == model, told["fit"]["trees_ahead"]
            assert told["ndcg"]["test"]["10"] > 0.88, told["ndcg"]
            assert told["data"]["test"] == {"groups": 60, "rows": 720, "features": 3,
                                            "relevant": told["data"]["test"]["relevant"]}
            with open(output, encoding="utf-8") as file:
                written = json.load(file)
            if bent:
                trees = written["learner"]["gradient_booster"]["model"]["trees"]
                assert len(trees) == told["fit"]["trees"]["trees"]
            else:
                weights = written["weights"]
                assert abs(weights[1] / weights[0] + 0.5) < 0.1 and abs(weights[2]) < 0.1 * weights[0], weights
            with open(scores, encoding="utf-8") as file:
                assert len([float(text) for text in file]) == 720
            shown = forage(*line, expect=0)
            assert "NDCG@1" in shown.out and f"taken       {model}" in shown.out, shown.out
            assert f"{told['ndcg']['test']['10']:.4f}" in shown.out


def test_the_same_seed_gives_the_same_model():
    with Folder() as folder:
        train = folder.file("train.txt", ranking(60, 1, True))
        models = []
        for seed in ("1", "1", "2"):
            output = os.path.join(folder.path, "model.ubj")
            forage("train", "--svmlight", train, "-o", output, "--model", "trees", "--trees", "8", "--seed", seed,
                   "--colsample", "0.5", "--bags", "2", "--quiet", expect=0)
            with open(output, "rb") as file:
                models.append(file.read())
        assert models[0] == models[1] != models[2]


def test_clicks_teach_with_positions_and_weights():
    with Folder() as folder:
        source, lines = random.Random(4), []
        for qid in range(300):
            for position in range(1, 9):
                x = source.gauss(0, 1)
                clicked = source.random() < (0.9 if x > 0.5 else 0.05) / position
                lines.append(f"{int(clicked)} qid:{qid} 1:{x:.4f} 2:{source.random():.3f} # position={position} weight={position}")
        clicks = folder.file("clicks.txt", "\n".join(lines) + "\n")
        told = forage("train", "--svmlight", clicks, "--debias", "pairs", "--gain", "linear", "--model", "trees", "--trees", "20",
                      "--weight-clip", "4", "--json", expect=0).json()
        biases = told["fit"]["trees"]["position_bias_engaged"]
        assert len(biases) == 8 and biases[0] == 1 and biases[7] < 0.9, biases
        assert 0 < told["fit"]["trees"]["clipped"] < 0.7


def test_what_is_wrong_is_said():
    with Folder() as folder:
        good = folder.file("good.txt", ranking(10, 1))
        for text, message in ((b"1 qid:1 1:x\n", "bad.txt: line 1: expected a number"), (b"", "the file has no rows"),
                              (b"0 qid:1 1:1\n0 qid:2 1:2\n", "nothing to learn"),
                              (b"-1 qid:1 1:1\n1 qid:1 1:2\n0 qid:2 1:2\n", "label: expected 0 to 30"),
                              (b"1 qid:1 1:1\n0 qid:2 1:1\n1 qid:1 1:1\n", "line 3: rows of one qid"),
                              (b"\x1f\x8b\x08\x00damaged", "bad.txt"), (b"1 qid:1 1:1\n0 qid:1 1:2\n", "one group")):
            failed = forage("train", "--svmlight", folder.file("bad.txt", text), expect=1)
            assert message in failed.err and failed.out == "", (text, failed.err)
        for arguments, message in ((["--trees", "0"], "trees: expected 1"), (["--bins", "255"], "max_bin"),
                                   (["--model", "best", "--holdout", "0"], "validation rows"),
                                   (["--model", "forest"], "best, linear or trees"), (["--bags", "3"], "bags"),
                                   (["--debias", "pairs"], "positions"), (["--output", "/nowhere/at/all"], "/nowhere/at/all")):
            failed = forage("train", "--svmlight", good, "--quiet", *arguments, expect=1)
            assert message in failed.err, (arguments, failed.err)
        assert "--svmlight" in forage("train", "--bins", "5", expect=2).err
        assert "pairs or none" in forage("train", "--svmlight", good, "--debias", "harvest", expect=2).err
        assert "--leaves" in forage("train", "--svmlight", good, "--leaves", "many", expect=2).err
        assert "nowhere" in forage("train", "--svmlight", "/nowhere", expect=1).err


def test_an_interrupt_keeps_the_trees():
    with Folder() as folder:
        train = folder.file("train.txt", ranking(300, 1, True))
        process = subprocess.Popen([COMMAND, "train", "--svmlight", train, "--model", "trees", "--trees", "20000", "--patience",
                                    "0", "--json", "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        trees = json.loads(out)["fit"]["trees"]
        assert trees["cancelled"] and 1 <= trees["trees"] < 20000


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
