from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from vidground_core.errors import RunDirectoryError
from vidground_core.records import Media, Question
from vidground_core.runs.corpus import TableCorpus
from vidground_core.runs.layout import Layout
from vidground_core.runs.questions import write_questions
from vidground_core.runs.set_aside import SetAsideLog
from vidground_core.runs.stages import FolderStages


def _corpus(tmp_path: Path, questions: list[Question]) -> TableCorpus:
    layout = Layout(tmp_path)
    return TableCorpus(write_questions(layout, questions, SetAsideLog(layout.set_aside_file), rows_per_part=4))


def _with_video(number: int, video: int, kind: str = "video") -> Question:
    return Question(f"q{number}", "which", "a", ("a", "b"), media=(Media(f"{video}.mp4", kind),), group=f"v{video}")  # type: ignore[arg-type]


def test_the_corpus_is_read_as_often_as_wanted(tmp_path: Path) -> None:
    questions = [_with_video(number, number // 3) for number in range(10)]
    corpus = _corpus(tmp_path, questions)
    assert list(corpus) == list(corpus) == questions
    assert len(corpus) == 10


def test_other_media_are_those_of_another_group_and_always_the_same(tmp_path: Path) -> None:
    questions = [_with_video(number, number // 3) for number in range(60)]
    corpus, again = _corpus(tmp_path / "a", questions), _corpus(tmp_path / "b", list(reversed(questions)))
    chosen = [corpus.other_media(question, 0) for question in questions]
    assert all(other != question.media for other, question in zip(chosen, questions, strict=True))
    assert chosen == [again.other_media(question, 0) for question in questions]
    assert chosen != [corpus.other_media(question, 1) for question in questions]
    assert len(set(chosen)) > 10


def test_other_media_are_of_the_same_type(tmp_path: Path) -> None:
    questions = [_with_video(number, number, "image" if number % 2 else "video") for number in range(20)]
    corpus = _corpus(tmp_path, questions)
    assert all(corpus.other_media(question, 0)[0].type == question.media[0].type for question in questions)


def test_without_another_group_there_are_no_other_media(tmp_path: Path) -> None:
    questions = [_with_video(1, 1), _with_video(2, 1), Question("q3", "which", "a", ("a", "b"))]
    corpus = _corpus(tmp_path, questions)
    assert [corpus.other_media(question, 0) for question in questions] == [(), (), ()]


def test_questions_without_a_group_are_told_apart_by_their_media(tmp_path: Path) -> None:
    questions = [Question(f"q{number}", "which", "a", ("a", "b"), media=(Media(f"{number}.mp4"),)) for number in range(2)]
    corpus = _corpus(tmp_path, questions)
    assert corpus.other_media(questions[0], 0) == questions[1].media


def test_stages_come_back_whatever_their_name(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "score": [0.5, None]})
    FolderStages(tmp_path / "x").put("fold 1/5", table)
    assert FolderStages(tmp_path / "x").get("fold 1/5") == table
    assert FolderStages(tmp_path / "x").get("fold 2/5") is None


def test_a_damaged_stage_is_named(tmp_path: Path) -> None:
    stages = FolderStages(tmp_path)
    stages.put("one", pa.table({"a": [1]}))
    (tmp_path / "one.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunDirectoryError, match=r"one\.parquet: not a readable stage: .*; delete it and run the same command again"):
        stages.get("one")
