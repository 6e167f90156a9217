"""Shards with failed asks: only the questions that hold one are judged again, unless others rest on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from vidground_core.records import Probe, Question, Verdict
from vidground_core.runs.layout import Layout
from vidground_core.runs.options import RunnerOptions
from vidground_core.runs.runner import run_detectors
from vidground_core.tables import read


def _verdicts(out: Path, name: str = "plain") -> list[Verdict]:
    return list(read(out / "verdicts" / name, Verdict))


def _noting(drive: ModuleType, *, shared: bool = False) -> tuple[Any, list[str]]:
    """The detector `plain` that writes down which questions it is asked to judge; `shared`, its second probe is no trial."""
    judged: list[str] = []

    class Noting(drive.Plain):  # type: ignore[name-defined, misc]
        def probes(self, question: Question) -> Sequence[Probe]:
            judged.append(question.id)
            first, second = super().probes(question)
            return [first, replace(second, counts=not shared)]

    return Noting(drive.PlainConfig()), judged


def _run(drive: ModuleType, out: Path, failing: str, *, shared: bool = False, **options: Any) -> tuple[Any, list[str], list[str]]:
    detector, judged = _noting(drive, shared=shared)
    engine = drive.LogEngine(drive.LogConfig(failing=failing))
    (counts,) = drive.run(out, drive.bind(detector, engine), max_failures=100, retries=0, **options)
    return counts, judged, engine.asked


def test_only_the_questions_with_failed_asks_are_judged_again(drive: ModuleType, tmp_path: Path) -> None:
    first, judged, _ = _run(drive, tmp_path / "out", "shown in 17")
    assert (first.failed, len(judged)) == (2, 40)
    marker = json.loads((tmp_path / "out" / "verdicts" / "plain" / "part-00001.json").read_text())
    assert (marker["counts"]["failed"], marker["unanswered"]) == (2, [[7, 2]])
    second, judged, asked = _run(drive, tmp_path / "out", "")
    assert (judged, len(asked)) == (["q017"], 2)
    unbroken, _, _ = _run(drive, tmp_path / "unbroken", "")
    assert _verdicts(tmp_path / "out") == _verdicts(tmp_path / "unbroken")
    assert (second.asked, second.reused, second.refused, second.failed) == (2, 78, unbroken.refused, 0)
    marker = json.loads((tmp_path / "out" / "verdicts" / "plain" / "part-00001.json").read_text())
    assert (marker["counts"], "unanswered" in marker) == ({"asks": 20, "media": 0, "failed": 0, "refused": 1, "unparsed": 0}, False)
    third, judged, asked = _run(drive, tmp_path / "out", "")
    assert (third.asked, third.reused, judged, asked) == (0, 80, [], [])


def test_what_fails_again_stays_to_be_tried(drive: ModuleType, tmp_path: Path) -> None:
    _run(drive, tmp_path, "shown in 3")
    for _ in range(2):
        counts, judged, _ = _run(drive, tmp_path, "shown in 3")
        assert sorted(judged) == ["q003", *(f"q03{digit}" for digit in range(10))]
        assert (counts.failed, counts.asked, counts.reused) == (22, 22, 58)
    counts, judged, _ = _run(drive, tmp_path, "shown in 35")
    assert (counts.failed, len(judged)) == (2, 11)
    assert _run(drive, tmp_path, "")[1] == ["q035"]


def test_a_shard_is_judged_whole_where_its_other_questions_may_rest_on_the_failed_ask(drive: ModuleType, tmp_path: Path) -> None:
    _run(drive, tmp_path, "shown in 17", shared=True)
    marker = json.loads((tmp_path / "verdicts" / "plain" / "part-00001.json").read_text())
    assert "unanswered" not in marker
    _, judged, asked = _run(drive, tmp_path, "", shared=True)
    assert (judged, len(asked)) == ([f"q0{number}" for number in range(10, 20)], 2)


def test_a_killed_rewrite_of_a_shard_loses_nothing(drive: ModuleType, tmp_path: Path) -> None:
    _run(drive, tmp_path / "out", "shown in 17")
    (tmp_path / "out" / "verdicts" / "plain" / "part-00001.json").unlink()  # between the table and its marker
    _, judged, asked = _run(drive, tmp_path / "out", "")
    assert (len(judged), len(asked)) == (10, 2)
    _run(drive, tmp_path / "unbroken", "")
    assert _verdicts(tmp_path / "out") == _verdicts(tmp_path / "unbroken")


def test_a_failed_ask_is_tried_again_after_a_thousand_others_so_that_its_shard_is_not_open_to_the_end(
    drive: ModuleType, tmp_path: Path
) -> None:
    detector, _ = _noting(drive)
    engine = drive.LogEngine(drive.LogConfig(failing="shown in 5 ", mends_after=1, window=16))
    bound = drive.bind(detector, engine)
    options = RunnerOptions(rows_per_part=100, retries=1)
    run_detectors(Layout(tmp_path), drive.questions(2_000), [bound], options=options)
    places = [place for place, ask in enumerate(engine.asked) if "shown in 5 " in ask]
    assert len(places) == 4
    assert all(1_000 <= later - places[1] <= 1_064 for later in places[2:])
    assert len(engine.asked) == 4_002
