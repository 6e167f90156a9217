from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core.errors import PluginError
from vidground_core.records import Verdict
from vidground_core.tables import read


def _counting(drive: ModuleType, tmp_path: Path, breaks: str = "") -> Any:
    config = drive.CountConfig(log=str(tmp_path / "stages.log"), breaks=breaks)
    return drive.BoundDetector(drive.Counting(config))


def _verdicts(out: Path) -> list[Verdict]:
    return list(read(out / "verdicts" / "counting", Verdict))


def _stages_computed(tmp_path: Path) -> list[str]:
    return (tmp_path / "stages.log").read_text().split()


def test_a_corpus_detector_needs_no_engine(drive: ModuleType, tmp_path: Path) -> None:
    (counts,) = drive.run(tmp_path, _counting(drive, tmp_path))
    assert [verdict.question for verdict in _verdicts(tmp_path)] == [question.id for question in drive.questions(40)]
    assert (counts.asked, counts.reused, counts.verdicts) == (0, 0, 40)


def test_finished_shards_skip_the_work_and_lost_ones_need_no_stage_again(drive: ModuleType, tmp_path: Path) -> None:
    drive.run(tmp_path, _counting(drive, tmp_path))
    expected = _verdicts(tmp_path)
    drive.run(tmp_path, _counting(drive, tmp_path))
    (tmp_path / "verdicts" / "counting" / "part-00002.parquet").unlink()
    drive.run(tmp_path, _counting(drive, tmp_path))
    assert _verdicts(tmp_path) == expected
    assert _stages_computed(tmp_path) == ["0", "1", "2"]


def test_a_crash_keeps_the_finished_stages(drive: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = drive.Counting._stage

    def cut_short(self: Any, number: int, *rest: Any) -> Any:
        if number == 2:
            raise ZeroDivisionError("power cut")
        return original(self, number, *rest)

    monkeypatch.setattr(drive.Counting, "_stage", cut_short)
    with pytest.raises(PluginError, match="the detector 'counting' failed: ZeroDivisionError: power cut"):
        drive.run(tmp_path, _counting(drive, tmp_path))
    monkeypatch.setattr(drive.Counting, "_stage", original)
    drive.run(tmp_path, _counting(drive, tmp_path))
    assert _stages_computed(tmp_path) == ["0", "1", "2"]


def test_other_options_have_stages_of_their_own(drive: ModuleType, tmp_path: Path) -> None:
    drive.run(tmp_path, _counting(drive, tmp_path))
    with pytest.raises(PluginError):
        drive.run(tmp_path, _counting(drive, tmp_path, "raises"))
    assert _stages_computed(tmp_path) == ["0", "1", "2"] * 2


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        ("short", "the detector 'counting' broke its contract: no verdict on 'q039' and those after it"),
        ("long", "the detector 'counting' broke its contract: it gave more verdicts than there are questions"),
        ("raises", "the detector 'counting' failed: ZeroDivisionError: nothing left"),
    ],
)
def test_a_broken_corpus_detector_is_named(drive: ModuleType, tmp_path: Path, breaks: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        drive.run(tmp_path, _counting(drive, tmp_path, breaks))
