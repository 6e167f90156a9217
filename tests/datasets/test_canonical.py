"""Canonical rows come back as they were written, and other people's are checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vidground_core import InputError, Media, Question
from vidground_core.datasets.canonical import CanonicalLoader
from vidground_core.tables import TableWriter, question_row

Load = Callable[..., Any]

FULL = Question(
    id="q1",
    text="What is red?",
    answer="the ball",
    options=("the box", "the ball"),
    media=(Media("/videos/a.mp4", start=1.0, end=2.5), Media("/images/b.png", "image")),
    group="a",
    source="mine",
    tags={"label": "ta"},
)
OPEN = Question(id="q2", text="How many?", answer="3", kind="numerical", group="b")


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def one(load: Load, tmp_path: Path, row: dict[str, Any]) -> Question:
    (question,), _ = load(CanonicalLoader, write(tmp_path / "rows.jsonl", row))
    return question


def test_lines_come_back_as_the_same_questions(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", question_row(FULL), question_row(OPEN))
    assert load(CanonicalLoader, path) == ([FULL, OPEN], [])
    assert CanonicalLoader.recognises(path)


@pytest.mark.parametrize("table", ["questions", "kept"])
def test_a_run_directory_is_read_by_its_table(load: Load, tmp_path: Path, table: str) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "dropped").mkdir()
    with TableWriter(tmp_path / table, Question, rows_per_part=1) as written:
        written.add(FULL)
        written.add(OPEN)
    assert load(CanonicalLoader, tmp_path) == ([FULL, OPEN], [])
    assert load(CanonicalLoader, tmp_path / table) == ([FULL, OPEN], [])
    assert load(CanonicalLoader, tmp_path / table / "part-00001.parquet") == ([OPEN], [])
    assert CanonicalLoader.recognises(tmp_path)


def test_of_both_tables_the_kept_questions_are_read(load: Load, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    for name, question in (("questions", FULL), ("kept", OPEN)):
        with TableWriter(tmp_path / name, Question) as written:
            written.add(question)
    assert load(CanonicalLoader, tmp_path)[0] == [OPEN]


def test_three_keys_are_enough(load: Load, tmp_path: Path) -> None:
    assert one(load, tmp_path, {"id": 5, "question": " why ", "answer": "so"}) == Question("5", "why", "so", kind="free-form", group="5")


def test_parquet_of_others_needs_no_more(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": ["a"], "question": ["?"], "answer": ["B"], "options": [["x", "y"]], "extra": [1.5]}), path)
    assert load(CanonicalLoader, path)[0] == [Question("a", "?", "y", ("x", "y"), group="a")]


@pytest.mark.parametrize(
    ("answer", "options", "gold"),
    [("y", ["x", "y"], "y"), ("B", ["x", "y"], "y"), ("B", ["B", "A"], "B"), (3, ["2", "3"], "3"), ("A", ["A. x", "B. y"], "A. x")],
)
def test_an_answer_is_a_text_before_it_is_a_letter(load: Load, tmp_path: Path, answer: Any, options: list[str], gold: str) -> None:
    assert one(load, tmp_path, {"id": "a", "question": "?", "answer": answer, "options": options}).answer == gold


def test_media_start_from_the_files_folder_or_media_root(load: Load, tmp_path: Path) -> None:
    paths = ["v/a.mp4", "/abs/b.mp4", "s3://bucket/c.mp4"]
    row = {"id": "a", "question": "?", "answer": "x", "media": [{"path": path} for path in paths]}
    question = one(load, tmp_path, row)
    assert [medium.path for medium in question.media] == [str(tmp_path.resolve() / "v/a.mp4"), *paths[1:]]
    assert question.group == "v/a.mp4"
    moved, _ = load(CanonicalLoader, tmp_path / "rows.jsonl", media_root="/elsewhere")
    assert [medium.path for medium in moved[0].media] == ["/elsewhere/v/a.mp4", *paths[1:]]
    assert moved[0].group == question.group


def test_tags_become_text(load: Load, tmp_path: Path) -> None:
    tags = {"a": "x", "b": 2, "c": None, "d": ["é"]}
    assert one(load, tmp_path, {"id": "a", "question": "?", "answer": "x", "tags": tags}).tags == {"a": "x", "b": "2", "d": '["é"]'}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": ""}, "id is empty"),
        ({"question": None}, "no question"),
        ({"answer": "z"}, "the answer 'z' is not among the options ['x', 'y']"),
        ({"answer": "C"}, "the answer 'C' is not among the options ['x', 'y']"),
        ({"options": {"A": "x"}}, "the options {'A': 'x'} are not a list"),
        ({"kind": "choice"}, "kind 'choice' is none of multiple choice, numerical, OCR, free-form, regression"),
        ({"kind": "multiple choice", "options": []}, "kind 'multiple choice', and no options"),
        ({"media": "a.mp4"}, "media 'a.mp4' is not a list of objects with a path"),
        ({"media": [{"type": "video"}]}, "no media path"),
        ({"media": [{"path": "a", "type": "audio"}]}, "media type 'audio' is neither 'video' nor 'image'"),
        ({"media": [{"path": "a", "start": 5, "end": 2}]}, "media end 2 is not after its start 5"),
        ({"media": [{"path": "a", "start": "1"}]}, "media start '1' is not a time in seconds"),
        ({"tags": 5}, "tags 5 are not an object"),
        ({"group": ["g"]}, "group ['g'] is not text"),
    ],
)
def test_a_bad_row_is_set_aside_with_line_and_reason(load: Load, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    good = {"id": "a", "question": "?", "answer": "x", "options": ["x", "y"]}
    questions, (aside,) = load(CanonicalLoader, write(tmp_path / "rows.jsonl", good, good | change))
    assert len(questions) == 1
    assert (aside.line, aside.reason) == (2, reason)


def test_what_holds_no_questions_is_one_error(load: Load, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"holds no questions; expected \.jsonl or \.parquet files, or the output of vg detect or vg filter"
    ):
        load(CanonicalLoader, tmp_path)
    with pytest.raises(InputError, match="a JSON array; canonical rows are JSON Lines, one object a line"):
        load(CanonicalLoader, write(tmp_path / "rows.json", [question_row(FULL)]))
    assert not CanonicalLoader.recognises(tmp_path / "rows.json")
    assert not CanonicalLoader.recognises(write(tmp_path / "rows.parquet", "no"))
