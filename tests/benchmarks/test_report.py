"""The benchmark of the report page runs, and prints what `make bench` reads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "report.py"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium (Debian: apt-get install chromium)")
@pytest.mark.xdist_group("browser")
def test_it_prints_its_rows() -> None:
    command = [sys.executable, str(BENCHMARK), "--json", "--questions", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout.splitlines()[-1])
    rows = {row["what"]: row for row in printed["rows"]}
    assert printed["benchmark"] == "report"
    assert (rows["page written"]["aim"], rows["first paint"]["aim"], rows["search: no match"]["aim"]) == ("<= 60 s", "<= 1 s", "<= 0.2 s")
    assert rows["parts beside the page"]["value"] == 0
    assert all(row["value"] > 0 for what, row in rows.items() if what != "parts beside the page")
