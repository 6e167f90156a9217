"""vg report: the page, the figures, and the browser that opens it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.records import Question, Verdict
from vidground_core.tables import TableWriter

Vg = Callable[..., Any]
RECORD = {"format": 1, "status": "done", "passed": {}, "resolved": {}, "versions": {}, "git": None}
RECORD |= {"started": "", "finished": "", "counts": {}, "result": {}}


@pytest.fixture
def detected(tmp_path: Path) -> Path:
    """What vg detect leaves of a few questions."""
    out = tmp_path / "run"
    questions = [Question(f"q{i}", "Which?", "a", ("a", "b")) for i in range(12)]
    verdicts = [Verdict(question.id, "question-only", "mean", 0.4, i % 3 == 0) for i, question in enumerate(questions)]
    for folder, rows, sort in (("questions", questions, Question), ("verdicts/question-only", verdicts, Verdict)):
        with TableWriter(out / folder, sort) as table:
            for row in rows:
                table.add(row)
    (out / "run.json").write_text(json.dumps(RECORD | {"verb": "detect"}))
    return out


def test_page_and_figures_are_named(vg: Vg, detected: Path, tmp_path: Path) -> None:
    ran = vg("report", detected, "--figures", tmp_path / "figures", "--json")
    assert ran.code == 0
    names = [f"ta-rates.{form}" for form in ("svg", "pdf", "png")]
    assert ran.json == {"report": str(detected / "report.html"), "figures": [str(tmp_path / "figures" / name) for name in names]}
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(names)
    plain = vg("report", detected)
    assert plain.out.split() == ["report:", str(detected / "report.html")]


def test_a_run_without_anything_to_draw_says_so(vg: Vg, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RECORD | {"verb": "train"}))
    ran = vg("report", tmp_path, "--figures", tmp_path / "figures")
    assert ran.code == 2
    assert "vg train has left nothing to draw: no verdicts of a detector or judge, no differences of arms" in ran.err
    assert (tmp_path / "report.html").exists(), "the page is written all the same"


def test_the_page_is_opened_in_the_browser(vg: Vg, detected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    ran = vg("report", detected, "--open")
    assert (ran.code, ran.err) == (0, "")
    assert seen.read_text() == (detected / "report.html").resolve().as_uri()


def test_where_there_is_no_browser_the_address_is_said(vg: Vg, detected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("git", "env"):
        if found := shutil.which(name):
            (bare / name).symlink_to(found)
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(bare))
    ran = vg("report", detected, "--open")
    assert ran.code == 0
    assert (
        f"no browser could be opened here; open {(detected / 'report.html').resolve().as_uri()} in one, or set BROWSER to its command"
        in ran.err
    )
