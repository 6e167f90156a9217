"""`vg detect` as a stranger meets it: what is said where nothing could be judged, or rows could not be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vg = Callable[..., Any]
ROWS = [{"id": f"q{number}", "question": "?", "options": ["x", "y", "z"], "answer": answer} for number, answer in enumerate("ABC")]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path / "rows.jsonl"


def test_a_detector_that_judged_nothing_says_why(rows: Path, vg: Vg, tmp_path: Path) -> None:
    ran = vg("detect", rows, "--detector", "frame-shuffled", "--detector", "artefacts", "--model", "nano", "--out", tmp_path / "d")
    assert ran.code == 0
    told = "warning: frame-shuffled judged none of 3 questions; of 3 it says: not asked: no video whose frames could be shuffled"
    assert told in ran.err
    assert "artefacts judged none" not in ran.err


def test_the_first_row_set_aside_is_shown(rows: Path, vg: Vg, tmp_path: Path) -> None:
    rows.write_text(rows.read_text() + json.dumps({**ROWS[0], "id": "bad", "answer": "w"}) + "\n")
    ran = vg("detect", rows, "--detector", "artefacts", "--out", tmp_path / "d")
    assert "3 questions, 1 rows set aside" in ran.out
    (told,) = [line for line in ran.out.splitlines() if line.startswith("set aside first: ")]
    assert "'w'" in told
    assert told.endswith("set_aside.jsonl has all reasons)")


def test_names_are_printed_as_they_are(rows: Path, vg: Vg, tmp_path: Path) -> None:
    """`:m:` and the like are no emoji, and brackets no markup."""
    lines = [{"id": row["id"], "judge": judge, "correct": False} for row in ROWS[1:] for judge in ("m", "[red]x")]
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recorded = ("--detector", "recorded", "--set", f"recorded.path={tmp_path / 'judged.jsonl'}")
    ran = vg("audit", rows, *recorded)
    assert "warning: recorded:m: 1 of 3 questions are not covered" in ran.err
    assert "recorded:m: 33.3 points below chance" in ran.out
    assert "recorded:[red]x: 33.3 points below chance" in ran.out
    assert [line.split()[0] for line in ran.out.splitlines()[2:4]] == ["recorded:[red]x", "recorded:m"]


def test_recorded_ids_of_another_set_are_shown_beside_its_own(rows: Path, vg: Vg, tmp_path: Path) -> None:
    (tmp_path / "judged.jsonl").write_text('{"id": "NExT-1", "judge": "gpt", "correct": true}\n')
    ran = vg("detect", rows, "--detector", "recorded", "--set", f"recorded.path={tmp_path / 'judged.jsonl'}", "--out", tmp_path / "d")
    assert "recorded:gpt: no question is covered: the file has ids such as 'NExT-1', the data set 'q0'" in ran.err


@pytest.mark.parametrize("verb", ["detect", "audit"])
def test_an_empty_file_is_called_empty(vg: Vg, tmp_path: Path, verb: str) -> None:
    (tmp_path / "none.jsonl").touch()
    ran = vg(verb, tmp_path / "none.jsonl", "--detector", "question-only", "--out", tmp_path / "d")
    assert (ran.code, ran.err) == (2, f"error: '{tmp_path / 'none.jsonl'}' is empty: there is no question in it\n")
    assert not (tmp_path / "d").exists()
