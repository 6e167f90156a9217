from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from vidground_core.errors import InputError
from vidground_core.records import Verdict
from vidground_core.runs.judged import detector_folders, judged_rows
from vidground_core.runs.layout import Layout
from vidground_core.tables import read, write_part


@pytest.fixture
def detected(drive: ModuleType, tmp_path: Path) -> Path:
    plain = drive.bind(drive.Plain(drive.PlainConfig()))
    recorded = drive.bind(drive.Plain(drive.PlainConfig(rotations=1)))
    drive.run(tmp_path, plain, replace(recorded, folder="recorded:gpt"))
    return tmp_path


def test_questions_come_with_their_verdicts(drive: ModuleType, detected: Path) -> None:
    rows = judged_rows(detected, ["plain"])
    first, second = list(rows()), list(rows())
    assert [question for question, _ in first] == list(drive.questions(40))
    assert all(verdicts["plain"].question == question.id for question, verdicts in first)
    assert first == second


def test_all_detectors_are_read_by_default(detected: Path) -> None:
    assert list(detector_folders(Layout(detected))) == ["plain", "recorded:gpt"]
    assert len(list(judged_rows(detected)())) == 40


def test_an_unknown_detector_names_the_nearest(detected: Path) -> None:
    with pytest.raises(InputError, match=r"has no verdicts of a detector 'plane' .*; did you mean 'plain'\? there is: plain, recorded:gpt"):
        judged_rows(detected, ["plane"])


def test_incomplete_verdicts_are_refused(detected: Path) -> None:
    (detected / "verdicts" / "plain" / "part-00002.parquet").unlink()
    with pytest.raises(InputError, match="'plain' has 30 verdicts for 40 questions; run the same vg detect command again"):
        judged_rows(detected)


def test_verdicts_beside_other_questions_are_refused(detected: Path) -> None:
    part = detected / "verdicts" / "plain" / "part-00001.parquet"
    write_part(part, reversed(list(read(part, Verdict))), Verdict)
    rows = judged_rows(detected, ["plain"])
    with pytest.raises(InputError, match="a verdict on 'q019' stands beside the question 'q010'; delete that folder"):
        list(rows())


def test_a_folder_without_questions_or_verdicts_is_refused(drive: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no questions \(questions/\); name the output directory of vg detect"):
        judged_rows(tmp_path)
    drive.run(tmp_path)
    with pytest.raises(InputError, match=r"has no verdicts \(verdicts/\); run vg detect on it first"):
        judged_rows(tmp_path)
