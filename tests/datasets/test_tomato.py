"""TOMATO: numbered entries, the answer as a place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.datasets.tomato import TomatoLoader
from vidground_core.tables import question_row

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


def entry(**changes: Any) -> dict[str, Any]:
    given = {
        "question": "Which way?",
        "options": ["Left.", "Right.", "Up.", "Down."],
        "answer": 1,
        "key": "0215-06",
        "motion_type": "rotation",
    }
    return {**given, "demonstration_type": "human", "note": "the hand goes right", **changes}


def test_an_entry_becomes_a_question_and_the_note_is_left_out(load: Load, write: Write, tmp_path: Path) -> None:
    path = write("data/direction.json", {"0": entry(), "12": entry(answer=3)})
    (first, second), aside = load(TomatoLoader, path)
    assert aside == []
    assert (first.id, first.answer, second.id, second.answer) == ("direction-0", "Right.", "direction-12", "Down.")
    assert first.media[0].path == str(tmp_path / "videos" / "human" / "0215-06.mp4")
    assert first.tags == {"type": "direction", "motion": "rotation", "demonstration": "human"}
    assert "goes right" not in str(question_row(first))
    assert TomatoLoader.recognises(path)
    assert TomatoLoader.recognises(path.parent)


def test_ids_of_several_files_stay_apart(load: Load, write: Write, tmp_path: Path) -> None:
    write("data/count.json", {"0": entry()})
    write("data/direction.json", {"0": entry()})
    assert [question.id for question in load(TomatoLoader, tmp_path / "data")[0]] == ["count-0", "direction-0"]


def test_flat_rows_are_read(load: Load, write: Write) -> None:
    row = {"id": "5", "question": "Which?", "options": ["a", "b"], "answer": 0, "reason_type": "count", "demonstration_type": "object"}
    path = write("test.parquet", [row | {"video_path": "videos/object/5.mp4"}])
    (question,), _ = load(TomatoLoader, path)
    assert (question.id, question.answer, question.group) == ("count-5", "a", "object/5.mp4")
    assert TomatoLoader.recognises(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answer": 4}, "answer 4 is not the place of an option, 0 to 3"),
        ({"answer": True}, "answer True is not the place of an option"),
        ({"answer": "Right."}, "answer 'Right.' is not the place of an option, 0 to 3"),
        ({"options": []}, "multiple choice, and no options"),
        ({"key": None}, "no key"),
    ],
)
def test_a_bad_entry_is_set_aside(load: Load, write: Write, changes: dict[str, Any], reason: str) -> None:
    questions, (aside,) = load(TomatoLoader, write("count.json", {"0": entry(), "1": entry(**changes)}))
    assert len(questions) == 1
    assert (aside.id, aside.reason) == ("count-1", reason)


def test_an_entry_that_is_no_object_is_set_aside(load: Load, write: Write) -> None:
    _, (aside,) = load(TomatoLoader, write("count.json", {"0": entry(), "1": "x"}))
    assert aside.reason == "entry '1' is not an object"


@pytest.mark.shared
def test_a_real_row(load: Load, write: Write, samples: dict[str, Any]) -> None:
    (question,), _ = load(TomatoLoader, write("data/rotation.json", samples["tomato_rotation.json"]))
    assert (question.answer, question.chance) == ("Clockwise throughout.", 0.2)
