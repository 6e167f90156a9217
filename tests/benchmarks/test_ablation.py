"""The benchmark of an ablation's overhead: it runs a study, and its numbers add up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ablation.py"


def test_it_measures_a_study() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--json", "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == "ablation"
    rows = {row["what"]: row for row in found["rows"]}
    standing = rows["4 trainings of 1 s on 2 lanes: lanes standing still, evaluations apart"]
    assert standing["limit"] == 0.03
    assert standing["value"] > 0
    # Four trainings of a second, and the same number again a run.
    assert abs(rows["lanes standing still, a run"]["value"] - standing["value"]) < 0.5 * standing["value"]
    assert rows["processor time after the last training, times lanes"]["value"] > 0


def test_lanes_that_cannot_be_filled_are_refused() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--lanes", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "8 trainings do not fill 3 lanes: one would stand still for want of work" in done.stderr
