"""MMVU: options by letter, open-ended questions, a rationale that must not leak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import ConfigError
from vidground_core.datasets.mmvu import MMVULoader
from vidground_core.tables import question_row

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


def row(**changes: Any) -> dict[str, Any]:
    given = {"id": "validation_1", "video": "https://host/resolve/main/videos/Chemistry/0.mp4", "question_type": "multiple-choice"}
    metadata = {"subject": "Chemistry", "rationale": "it is ten grams because"}
    rest = {"question": "How much?", "choices": {"A": "10.0", "B": "5.0", "C": "", "D": "", "E": ""}, "answer": "A", "metadata": metadata}
    return {**given, **rest, **changes}


OPEN = {"id": "validation_0", "question_type": "open-ended", "choices": dict.fromkeys("ABCDE", ""), "answer": "Dolly Zoom"}


def test_both_types_are_read_and_the_rationale_is_not(load: Load, write: Write, tmp_path: Path) -> None:
    path = write("data/validation.json", [row(), row(**OPEN)])
    (choice, free), aside = load(MMVULoader, path)
    assert aside == []
    assert (choice.options, choice.answer, choice.kind) == (("10.0", "5.0"), "10.0", "multiple choice")
    assert (free.options, free.answer, free.kind) == ((), "Dolly Zoom", "free-form")
    assert choice.media[0].path == str(tmp_path / "videos" / "Chemistry" / "0.mp4")
    assert (choice.group, choice.tags) == ("Chemistry/0.mp4", {"subject": "Chemistry"})
    assert "ten grams" not in str(question_row(choice))
    assert MMVULoader.recognises(path)


@pytest.mark.parametrize(("only", "ids"), [("multiple-choice", ["validation_1"]), ("open-ended", ["validation_0"])])
def test_one_type_can_be_chosen(load: Load, write: Write, only: str, ids: list[str]) -> None:
    path = write("validation.json", [row(), row(**OPEN)])
    assert [question.id for question in load(MMVULoader, path, only=only)[0]] == ids


def test_another_type_is_an_error(load: Load, write: Write) -> None:
    with pytest.raises(ConfigError, match="dataset 'mmvu': only = 'mc': Input should be 'all', 'multiple-choice' or 'open-ended'"):
        load(MMVULoader, write("validation.json", [row()]), only="mc")


def test_the_re_release_with_paths_is_read(load: Load, write: Write) -> None:
    path = write("test.parquet", [row(video_path="videos/Art/3.mp4", answer="5.0")])
    (question,), _ = load(MMVULoader, path)
    assert (question.group, question.answer) == ("Art/3.mp4", "5.0")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question_type": "essay"}, "question_type 'essay' is neither multiple-choice nor open-ended"),
        ({"answer": "C"}, "the answer 'C' is none of the choices A, B"),
        ({"choices": {"A": "x", "B": ""}}, "multiple-choice with 1 choices"),
        ({"choices": ["x", "y"]}, "choices ['x', 'y'] are not an object of letters and texts"),
        ({"choices": {"A": "x", "B": "x"}}, "the right option 'x' stands 2 times among the options"),
    ],
)
def test_a_bad_row_is_set_aside(load: Load, write: Write, changes: dict[str, Any], reason: str) -> None:
    _, (aside,) = load(MMVULoader, write("validation.json", [row(), row(id="validation_9", **changes)]))
    assert (aside.id, aside.reason) == ("validation_9", reason)


@pytest.mark.shared
def test_real_rows(load: Load, write: Write, samples: dict[str, Any]) -> None:
    path = write("data/validation.json", [samples["mmvu_val_multiple-choice"], samples["mmvu_val_open-ended"]])
    (choice, free), aside = load(MMVULoader, path)
    assert (aside, choice.answer, free.answer) == ([], "10.0", "Dolly Zoom")
