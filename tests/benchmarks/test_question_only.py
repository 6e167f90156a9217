"""The benchmark of question-only runs on few rows and prints what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "question_only.py"


def test_it_prints_cost_and_ratios() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--rows", "60", "--all-folds"], capture_output=True, text=True, check=True)
    header, ours, theirs, ratios = done.stdout.splitlines()
    assert header.split() == ["generated", "rows", "rows", "seconds", "CPU", "peak", "MB"]
    assert ours.startswith("question-only ")
    assert theirs.startswith("plain scikit-learn ")
    assert ours.split()[1] == theirs.split()[2] == "60"
    assert ratios.startswith("question-only takes ")
    assert ratios.endswith("times the memory of plain scikit-learn")
