"""Video-R1's rows, real ones and awkward ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import InputError
from vidground_core.datasets.video_r1 import VideoR1Loader
from vidground_core.evaluation.prompts import PROMPTS, render

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


def row(**changes: Any) -> dict[str, Any]:
    """A row of Video-R1-260k."""
    given = {
        "problem_id": 7,
        "problem": "What falls?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. a cup", "B. a ball", "C. a leaf"],
        "solution": "<answer>B</answer>",
        "path": "./STAR/one.mp4",
        "data_source": "STAR",
    }
    return {**given, **changes}


def test_a_row_becomes_a_question(load: Load, write: Write, tmp_path: Path) -> None:
    (question,), aside = load(VideoR1Loader, write("train.json", [row()]))
    assert aside == []
    assert (question.id, question.text, question.options, question.answer) == ("7", "What falls?", ("a cup", "a ball", "a leaf"), "a ball")
    assert (question.kind, question.group, question.source) == ("multiple choice", "STAR/one.mp4", "STAR")
    assert [(medium.path, medium.type) for medium in question.media] == [(f"{tmp_path}/STAR/one.mp4", "video")]


def test_images_and_videos_are_mixed_and_can_be_chosen(load: Load, write: Write) -> None:
    path = write("train.json", [row(), row(problem_id=8, data_type="image", path="./Math/two.png"), row(problem_id=7)])
    questions, _ = load(VideoR1Loader, path)
    assert [(each.id, each.media[0].type) for each in questions] == [("7", "video"), ("8", "image"), ("7#2", "video")]
    assert [each.id for each in load(VideoR1Loader, path, media="image")[0]] == ["8"]
    assert [each.id for each in load(VideoR1Loader, path, media="video")[0]] == ["7", "7#2"]


@pytest.mark.parametrize(
    ("kind", "solution", "answer"),
    [
        ("numerical", "<answer>42</answer>", "42"),
        ("OCR", "<answer> some\ntext </answer>", "some\ntext"),
        ("free-form", "so <answer>a red cup</answer> <answer>not this</answer>", "a red cup"),
        ("regression", "<answer>3.14</answer>", "3.14"),
    ],
)
def test_open_kinds_keep_their_answer_and_have_no_options(load: Load, write: Write, kind: str, solution: str, answer: str) -> None:
    (question,), _ = load(VideoR1Loader, write("train.json", [row(problem_type=kind, solution=solution, options=[])]))
    assert (question.kind, question.answer, question.options) == (kind, answer, ())


def test_the_written_reasoning_never_reaches_a_prompt(load: Load, write: Write) -> None:
    path = write("cot.json", [row(process="<think>the ball, I saw it fall</think>")])
    (question,), _ = load(VideoR1Loader, path)
    assert question.tags == {"process": "<think>the ball, I saw it fall</think>"}
    assert all("I saw it" not in render(prompt, question) for prompt in PROMPTS.values())
    assert load(VideoR1Loader, path, process=False)[0][0].tags == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"problem_type": "essay"}, "problem_type 'essay' is none of multiple choice, numerical, OCR, free-form, regression"),
        ({"data_type": "audio"}, "data_type 'audio' is none of video, image, frame"),
        ({"solution": "B"}, "no <answer>…</answer> in the solution 'B'"),
        ({"solution": "<answer> </answer>"}, "the answer in the solution is empty"),
        ({"solution": "<answer>D</answer>"}, "the answer's letter 'D' is none of the options' letters A, B, C"),
        ({"solution": None}, "no solution"),
        ({"options": []}, "multiple choice, and no options"),
        ({"options": "A. x"}, "the options 'A. x' are not a list"),
        ({"options": ["A. ball", "B. ball"]}, "the right option 'ball' stands 2 times among the options"),
        ({"problem": "  "}, "problem is empty"),
        ({"path": None}, "no path"),
        ({"path": "a\udcff.mp4"}, "not valid UTF-8 text: 'a\\udcff.mp4'"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_place(load: Load, write: Write, changes: dict[str, Any], reason: str) -> None:
    import json

    path = write("train.json", json.dumps([row(), row(problem_id=9, **changes), row(problem_id=10)], indent=0))
    questions, (aside,) = load(VideoR1Loader, path)
    assert [each.id for each in questions] == ["7", "10"]
    assert (aside.file, aside.id, aside.reason) == (str(path), "9", reason)
    lines = path.read_text().splitlines()
    assert lines[aside.line - 1 : aside.line + 1] == ["{", '"problem_id": 9,']


def test_a_row_without_an_id_is_known_by_its_number(load: Load, write: Write) -> None:
    first, second = row(), row()
    del second["problem_id"]
    assert [each.id for each in load(VideoR1Loader, write("train.json", [first, second]))[0]] == ["7", "row-1"]


def test_paths_start_from_media_root(load: Load, write: Write, tmp_path: Path) -> None:
    path = write("train.json", [row(path="/MVBench/a.mp4")])
    assert load(VideoR1Loader, path)[0][0].media[0].path == "/MVBench/a.mp4"
    assert load(VideoR1Loader, path, media_root=str(tmp_path / "m"))[0][0].media[0].path == f"{tmp_path}/m/MVBench/a.mp4"


def test_another_layout_is_one_error(load: Load, write: Write) -> None:
    with pytest.raises(InputError, match="not this layout: expected the keys problem, data_type, problem_type, solution, found question"):
        load(VideoR1Loader, write("other.json", [{"question": "?"}]))


def test_the_format_is_recognised(write: Write) -> None:
    assert VideoR1Loader.recognises(write("train.json", [row()]))
    assert not VideoR1Loader.recognises(write("other.json", [{"question": "?"}]))


@pytest.mark.shared
def test_real_rows(load: Load, write: Write, samples: dict[str, Any], shared: Path) -> None:
    (question,), _ = load(VideoR1Loader, write("Video-R1-260k.json", [samples["video_r1_260k"]]))
    assert (question.id, question.answer) == ("2", "A YouTube subscription notification")
    assert question.group == "LLaVA-Video-178K/liwei_youtube_videos/videos/youtube_video_2024/ytb_7nRmsEw7nsE.mp4"
    questions, aside = load(VideoR1Loader, shared / "twgrpo" / "eval_mvbench.json")
    assert (len(questions), aside) == (4000, [])
    assert sum(question.media[0].end is not None for question in questions) == 1000
    assert round(100 * sum(question.chance for question in questions) / 4000, 1) == 28.3


@pytest.mark.shared
def test_the_same_gold_as_in_the_published_benchmark(load: Load, shared: Path) -> None:
    import json

    questions, _ = load(VideoR1Loader, shared / "twgrpo" / "eval_mvbench.json")
    published = json.loads((shared / "twgrpo" / "eval_mvbench.json").read_text())
    assert [question.answer for question in questions] == [each["answer"].strip() for each in published]
