"""Benchmarks start: what nobody runs for a month must not be broken when somebody does."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import ROOT


def test_the_training_bench_measures_all_its_rivals():
    command = [sys.executable, "bench/training_speed.py", "--rounds", "1", "--steps", "1"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout)
    assert found["images_per_second"].keys() == {"autograd", "own gradient", "kept memory", "both"}
    assert all(value > 0 for value in found["images_per_second"].values())
