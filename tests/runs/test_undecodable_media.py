"""Files that exist and break at a sampled frame: their questions are set aside, failing engines are still failures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core.engines.base import BatchEngine, EngineConfig
from vidground_core.errors import MediaError
from vidground_core.media import load_clip
from vidground_core.records import Ask, Media, Question, Reply, Verdict
from vidground_core.runs.layout import Layout
from vidground_core.runs.options import FinishedWithFailuresError, RunnerOptions
from vidground_core.runs.runner import run_detectors
from vidground_core.runs.set_aside import read_set_aside
from vidground_core.tables import read
from vidground_core.testing.media import counting_video


class Watcher(BatchEngine[EngineConfig]):
    """Decodes what it is shown, as real engines do; `model` is what it says of every ask besides."""

    name, version, Config = "watcher", "1", EngineConfig
    can = frozenset({"text"})
    identity = "watcher"

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        return [self._one(ask) for ask in asks]

    def _one(self, ask: Ask) -> Reply:
        if self.config.model:
            return Reply("failed", error=self.config.model.format(path=ask.clips[0].path))
        try:
            return Reply("answered", text=str(len(load_clip(ask.clips[0]).array)))
        except MediaError as error:
            return Reply("failed", error=str(error))


def bound(drive: ModuleType, says: str = "") -> Any:
    return drive.bind(drive.Watching(drive.PlainConfig()), Watcher(EngineConfig(model=says)))


def rows(folder: Path) -> list[Question]:
    good, bad = counting_video(folder / "good.mp4"), folder / "bad.mp4"
    bad.write_text("not a video")
    paths = [good, bad, good, bad]
    return [Question(f"q{n}", "which", "a", ("a", "b"), media=(Media(str(path)),)) for n, path in enumerate(paths)]


def verdicts(out: Path) -> list[Verdict]:
    return list(read(out / "verdicts" / "watching", Verdict))


@pytest.mark.parametrize("rows_per_part", [1, 10])
def test_a_clip_that_does_not_decode_sets_its_question_aside(rows_per_part: int, drive: ModuleType, tmp_path: Path) -> None:
    options = RunnerOptions(rows_per_part=rows_per_part)
    line = f"{str(tmp_path / 'bad.mp4')!r} cannot be opened as a video or image: Invalid data found when processing input"
    for asked in (2, 0):
        (counts,) = run_detectors(Layout(tmp_path / "out"), rows(tmp_path), [bound(drive)], options=options)
        assert (counts.asked, counts.failed, counts.media, counts.verdicts) == (asked, 0, 2, 4)
        aside = read_set_aside(tmp_path / "out" / "set_aside.jsonl")
        assert [(row.id, row.file, row.reason) for row in aside] == [(name, str(tmp_path / "bad.mp4"), line) for name in ("q1", "q3")]
    found = verdicts(tmp_path / "out")
    assert [verdict.rule for verdict in found] == ["any", "media not readable"] * 2
    assert found[1].evidence == (line,)


@pytest.mark.parametrize("says", ["the server is busy", "{path!r} was too much for me"])
def test_an_engine_that_fails_on_a_good_file_has_failed(says: str, drive: ModuleType, tmp_path: Path) -> None:
    questions = [row for row in rows(tmp_path) if row.media[0].path.endswith("good.mp4")]
    with pytest.raises(FinishedWithFailuresError) as error:
        run_detectors(Layout(tmp_path / "out"), questions, [bound(drive, says)])
    assert [(counts.failed, counts.media) for counts in error.value.counts] == [(1, 0)]
    assert read_set_aside(tmp_path / "out" / "set_aside.jsonl") == []


def test_a_failure_that_does_not_name_the_file_is_a_failure(drive: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FinishedWithFailuresError):
        run_detectors(Layout(tmp_path / "out"), rows(tmp_path), [bound(drive, "the server is busy")])
