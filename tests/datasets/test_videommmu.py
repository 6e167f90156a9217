"""Video-MMMU: three tracks with the same ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.datasets.videommmu import SUBJECTS, VideoMMMULoader

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


def row(**changes: Any) -> dict[str, Any]:
    given = {"id": "dev_Clinical_Medicine_3", "question": "Which drug?", "options": ["A. one", "B. two"], "answer": "B"}
    return {**given, "question_type": "multiple-choice", **changes}


def test_tracks_keep_their_ids_apart(load: Load, write: Write, tmp_path: Path) -> None:
    for track in ("Adaptation", "Perception"):
        write(f"{track}/test-00000-of-00001.parquet", [row()])
    assert VideoMMMULoader.recognises(tmp_path)
    questions, aside = load(VideoMMMULoader, tmp_path)
    assert aside == []
    assert [question.id for question in questions] == ["Adaptation-dev_Clinical_Medicine_3", "Perception-dev_Clinical_Medicine_3"]
    assert {question.group for question in questions} == {"dev_Clinical_Medicine_3"}
    assert questions[0].media[0].path == str(tmp_path / "Medicine" / "dev_Clinical_Medicine_3.mp4")
    assert questions[0].tags == {"track": "Adaptation", "subject": "Clinical_Medicine", "type": "multiple-choice"}


@pytest.mark.parametrize(("answer", "kind"), [("3.5", "numerical"), ("a vein", "free-form")])
def test_open_questions_take_their_kind_from_the_answer(load: Load, write: Write, answer: str, kind: str) -> None:
    path = write("Adaptation/test.parquet", [row(), row(id="x_Math_2", options=[], answer=answer, question_type="open")])
    _, question = load(VideoMMMULoader, path)[0]
    assert (question.kind, question.answer, question.options) == (kind, answer, ())


def test_a_file_of_no_track_keeps_plain_ids(load: Load, write: Write) -> None:
    path = write("rows.parquet", [row(options=[str(number) for number in range(10)], answer="J")])
    (question,), _ = load(VideoMMMULoader, path)
    assert (question.id, question.answer, question.chance) == ("dev_Clinical_Medicine_3", "9", 0.1)
    assert VideoMMMULoader.recognises(path)


def test_thirty_subjects_stand_in_six_folders() -> None:
    assert (len(SUBJECTS), sum(map(len, SUBJECTS.values()))) == (6, 30)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"answer": "C"}, "the answer's letter 'C' is none of the options' letters A, B"), ({"answer": ""}, "answer is empty")],
)
def test_a_bad_row_is_set_aside(load: Load, write: Write, changes: dict[str, Any], reason: str) -> None:
    _, (aside,) = load(VideoMMMULoader, write("Perception/test.parquet", [row(), row(id="dev_Art_1", **changes)]))
    assert (aside.line, aside.id, aside.reason) == (2, "Perception-dev_Art_1", reason)
