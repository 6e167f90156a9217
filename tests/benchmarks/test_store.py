"""The benchmark of the reply store runs on few rows and prints what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "store.py"


def test_it_prints_rates_and_ratios(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "--rows", "3000", "--json"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    assert printed["benchmark"] == "store"
    against_sqlite, against_files, growing, start, found, *_, size = printed["rows"]
    assert against_sqlite["aim"] == ">= 5000 replies/s"
    assert against_sqlite["ratio"] == against_sqlite["value"] / against_sqlite["limit"]
    assert against_files["limit"] != against_sqlite["limit"]
    assert growing["value"] > 0
    assert start["what"] == "start-up on 3,000 replies: open, find 10,000"
    assert found["value"] > 0
    assert 150 < size["value"] < 400
    assert not list(tmp_path.iterdir())
