"""What the pages on long runs name is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vidground_core.cli.output import Output
from vidground_core.cli.progress import ProgressLine
from vidground_core.errors import StoppedError, TooManyFailuresError, VidGroundError
from vidground_core.runs.batch_files import MAX_BYTES, MAX_LINES, BatchCounts
from vidground_core.runs.options import RunnerOptions
from vidground_core.runs.standing import Standing
from vidground_core.tables import ROWS_PER_PART

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "long-runs.md").read_text(encoding="utf-8")


def test_exit_codes() -> None:
    codes = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert codes == ["0", str(TooManyFailuresError.exit_code), str(VidGroundError.exit_code), str(StoppedError.exit_code), "130"]


def test_counts_of_a_batch() -> None:
    section = PAGE.partition("## Batch files")[2].partition("## Progress")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [name for name in BatchCounts().as_json() if name != "lines"]
    assert f"at most {MAX_LINES:,} lines and {MAX_BYTES:,} bytes" in PAGE


def test_keys_of_a_progress_event(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine(Output(as_json=True), "d") as line:
        line.update(Standing(1, 2))
    event = json.loads(capsys.readouterr().err.splitlines()[0])
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `progress` |")]
    assert ["event", *re.findall(r"`(\w+)`", row.split("|")[3])] == list(event)


def test_numbers() -> None:
    assert f"longer than {RunnerOptions().grace:.0f} s" in PAGE
    assert f"({ROWS_PER_PART:,} questions)" in " ".join(PAGE.split())


def test_commands_have_flags_that_exist() -> None:
    reference = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    pages = PAGE + (DOCS / "how-to" / "large-runs.md").read_text(encoding="utf-8")
    flags = set(re.findall(r"--[a-z][a-z-]+", pages)) - {"--array", "--gres", "--requeue"}  # SLURM's
    assert flags >= {"--shard", "--max-cost", "--max-tokens", "--batch-in", "--batch-out"}
    assert [flag for flag in sorted(flags) if flag not in reference and flag != "--batch-"] == []
