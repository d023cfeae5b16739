#!/usr/bin/env python3
"""Writers, readers and kill -9 for a short while; afterwards everything is as acknowledged and as an index built anew
gives it. `make soak` does the same for ten minutes. SOAK_SECONDS sets how long."""

import os
import sys

from ordeal import SOURCE, run_tests, sanitized

sys.path.insert(0, os.path.join(SOURCE, "tools"))

import soak  # noqa: E402


def test_soak():
    seconds = float(os.environ.get("SOAK_SECONDS", "20"))
    soak.main(["--seconds", str(seconds), "--kill-every", str(max(seconds / 6, 3) * (3 if sanitized() else 1)), "--quiet"])


if __name__ == "__main__":
    sys.exit(run_tests(globals()))
