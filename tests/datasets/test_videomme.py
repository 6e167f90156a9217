"""Video-MME: the published Parquet and the TSV of VLMEvalKit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.datasets.videomme import VideoMMELoader

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


def row(**changes: Any) -> dict[str, Any]:
    given = {
        "video_id": "001",
        "duration": "short",
        "domain": "Knowledge",
        "sub_category": "History",
        "videoID": "fFjv",
        "question_id": "001-1",
    }
    rest = {
        "task_type": "Counting Problem",
        "question": "How many?",
        "options": ["A. One.", "B. Two.", "C. Two.", "D. Four."],
        "answer": "D",
    }
    return {**given, **rest, **changes}


HEADER = "index\tvideo\tvideo_path\tduration\tdomain\tcandidates\tsub_category\ttask_type\tsubtitle_path\tquestion\tanswer\n"


def test_the_published_layout(load: Load, write: Write, tmp_path: Path) -> None:
    path = write("videomme/test-00000-of-00001.parquet", [row(), row(question_id="001-2", answer="A")])
    for given in (path, path.parent):
        (first, second), aside = load(VideoMMELoader, given)
        assert aside == []
        assert (first.id, first.answer, second.answer) == ("001-1", "Four.", "One.")
        assert VideoMMELoader.recognises(given)
    assert (first.group, first.media[0].path) == ("fFjv", str(tmp_path / "data" / "fFjv.mp4"))
    assert first.tags["subtitles"] == str(tmp_path / "subtitle" / "fFjv.srt")
    assert first.tags["duration"] == "short"


def test_the_folders_can_be_given(load: Load, write: Write) -> None:
    path = write("test.parquet", [row()])
    (question,), _ = load(VideoMMELoader, path, media_root="/videos", subtitles="/srt")
    assert (question.media[0].path, question.tags["subtitles"]) == ("/videos/fFjv.mp4", "/srt/fFjv.srt")


def test_the_tsv_layout(load: Load, write: Write, tmp_path: Path) -> None:
    cells = (
        "3\tfFjv\t./video/fFjv.mp4\tshort\tKnowledge\t['A. It\\'s one.', 'B. Two.']\tHistory\tCounting\t./subtitle/fFjv.srt\tHow many?\tA\n"
    )
    path = write("Video-MME.tsv", HEADER + cells)
    (question,), aside = load(VideoMMELoader, path)
    assert aside == []
    assert (question.id, question.options, question.answer) == ("3", ("It's one.", "Two."), "It's one.")
    assert (question.media[0].path, question.tags["subtitles"]) == (str(tmp_path / "video/fFjv.mp4"), str(tmp_path / "subtitle/fFjv.srt"))
    assert VideoMMELoader.recognises(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answer": "B"}, "the right option 'Two.' stands 2 times among the options"),
        ({"answer": "E"}, "the answer's letter 'E' is none of the options' letters A, B, C, D"),
        ({"question": None}, "no question"),
        ({"options": None}, "the options None are not a list"),
    ],
)
def test_a_bad_row_is_set_aside(load: Load, write: Write, changes: dict[str, Any], reason: str) -> None:
    questions, (aside,) = load(VideoMMELoader, write("test.parquet", [row(), row(question_id="001-2", **changes)]))
    assert len(questions) == 1
    assert (aside.line, aside.id, aside.reason) == (2, "001-2", reason)


def test_candidates_that_are_no_list_are_set_aside(load: Load, write: Write) -> None:
    good = "0\tv\tp\tshort\tK\t['x', 'y']\tH\tC\ts\tHow?\tA\n"
    _, (aside,) = load(VideoMMELoader, write("v.tsv", HEADER + good + good.replace("['x', 'y']", "open('f')")))
    assert aside.reason == "candidates \"open('f')\" is not a list"


@pytest.mark.shared
def test_a_real_row(load: Load, write: Write, samples: dict[str, Any]) -> None:
    (question,), _ = load(VideoMMELoader, write("videomme/test.parquet", [samples["video_mme"]]))
    assert (question.id, question.answer, question.chance) == ("001-1", "Berries.", 0.25)
