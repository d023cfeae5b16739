"""Vowpal Wabbit learns from an exported log: ope_vw.py FILE prints {"lines", "examples", "average_loss", "command"}."""

import json
import re
import subprocess
import sys

ARGUMENTS = ["--cb_explore_adf", "--dsjson", "-q", "QD", "-q", "SD", "--cb_type", "mtr", "-d"]


def main():
    with open(sys.argv[1], "rb") as file:
        lines = sum(1 for _ in file)
    line = [sys.executable, "-m", "vowpalwabbit", *ARGUMENTS, sys.argv[1]]
    done = subprocess.run(line, capture_output=True, text=True)
    report = done.stdout + done.stderr
    if done.returncode != 0 or re.search("malformed|error|could not parse", report, re.I):
        sys.exit(report[-2000:])
    print(json.dumps({
        "lines": lines,
        "examples": int(re.search(r"number of examples = (\d+)", report).group(1)),
        "average_loss": float(re.search(r"average loss = ([-\d.]+)", report).group(1)),
        "command": "vw " + " ".join(ARGUMENTS) + " FILE",
    }))


main()
