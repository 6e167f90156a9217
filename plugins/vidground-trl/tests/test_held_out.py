from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.held_out import Slice, draw
from vidground_trl.rows import Selection, select

from vidground_core import Question

from .conftest import question

CONFIG = TRLGRPOConfig(preset="nano", frames=4)
Table = Callable[[list[Question]], Path]


def ids(found: Slice) -> set[str]:
    return {each.id for each in found.questions}


@pytest.fixture
def rows(videos: list[Path]) -> list[Question]:
    return [question(number, videos[number % 6]) for number in range(10)]


def test_rows_that_training_does_not_reach_come_first(table: Table, rows: list[Question]) -> None:
    found = draw(table(rows), Selection((0, 1, 2, 3, 0), 4, 0), CONFIG, seed=3, size=4)
    assert found.held_out
    assert len(found.questions) == 4
    assert ids(found).isdisjoint({"q0", "q1", "q2", "q3"})


def test_without_others_the_slice_is_of_training_rows_and_says_so(table: Table, rows: list[Question]) -> None:
    found = draw(table(rows), Selection(tuple(range(10)), 10, 0), CONFIG, seed=3, size=16)
    assert (found.held_out, len(found.questions)) == (False, 10)


def test_each_question_has_another_video_whose_answer_differs(table: Table, rows: list[Question], videos: list[Path]) -> None:
    found = draw(table(rows), Selection((0,), 1, 0), CONFIG, seed=3, size=8)
    answer = {str(path): {each.answer for each in rows if each.media[0].path == str(path)} for path in videos}
    for own, right, other in zip(found.questions, found.right, found.mismatched, strict=True):
        assert [clip.path for clip in right] == [own.media[0].path]
        assert other[0].path != right[0].path
        assert other[0].frames == 4
        assert answer[other[0].path] != {own.answer}


def test_what_has_no_video_or_does_not_decode_is_not_in_the_slice(table: Table, videos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows = [question(0, videos[0]), question(1), question(2, tmp_path / "broken.mp4"), question(3, videos[1])]
    assert ids(draw(table(rows), Selection((), 0, 0), CONFIG, seed=0, size=16)) == {"q0", "q3"}


def test_images_are_exchanged_for_images_and_pairs_for_pairs(table: Table, videos: list[Path], image: Path) -> None:
    rows = [question(0, videos[0]), question(1, image), question(2, videos[1]), question(3, videos[2], videos[3])]
    found = draw(table(rows), Selection((), 0, 0), CONFIG, seed=0, size=16)
    assert ids(found) == {"q0", "q2"}


@pytest.mark.parametrize("number", [0, 1])
def test_without_two_videos_there_is_no_slice(table: Table, videos: list[Path], number: int) -> None:
    rows: list[Any] = [question(0), question(1, *videos[:number]), question(2, *videos[:number])]
    assert draw(table(rows), Selection((0, 1, 2), 3, 0), CONFIG, seed=0, size=16).questions == ()


def test_what_is_held_out_of_training_is_the_slice(table: Table, rows: list[Question]) -> None:
    folder = table(rows)
    config = CONFIG.model_copy(update={"prompts": 0, "prompts_per_step": 1, "hold_out": 4})
    selection, _ = select(folder, config, seed=3)
    found = draw(folder, selection, config, seed=3, size=4)
    assert (found.held_out, len(found.questions)) == (True, 4)
    assert ids(found) | {f"q{place}" for place in selection.order} == {each.id for each in rows}
