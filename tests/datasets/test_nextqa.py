"""NExT-QA and NExT-GQA as published, and what is wrong with a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import InputError, Media
from vidground_core.datasets.nextqa import NextQALoader

Load = Callable[..., Any]

HEADER = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n"
FIRST = "123,10,320,240,what did she do,2,8,TN,clap,run,lie,sit,crawl\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "test.csv"


@pytest.mark.shared
def test_the_published_test_set(load: Load, shared: Path) -> None:
    path = shared / "nextqa" / "test.csv"
    questions, aside = load(NextQALoader, path)
    assert (len(questions), len({question.id for question in questions}), len({question.group for question in questions})) == (
        8562,
        8562,
        1000,
    )
    assert [(row.line, row.reason) for row in aside] == [
        (4773, "the right option 'happy' stands 2 times among the options"),
        (6187, "the right option 'three' stands 2 times among the options"),
    ]
    first = questions[0]
    assert (first.id, first.answer, first.gold, first.group, first.tags) == (
        "2574374895_8",
        "lay on floor",
        2,
        "2574374895",
        {"type": "TN"},
    )
    assert first.media == (Media(str(path.resolve().parent / "NExTVideo" / "2574374895.mp4")),)
    assert NextQALoader.recognises(path)


@pytest.mark.shared
def test_the_grounded_subset_has_texts_for_answers(load: Load, shared: Path) -> None:
    questions, aside = load(NextQALoader, shared / "nextgqa" / "test.csv")
    assert (len(questions), len(aside)) == (5552, 1)
    by_id = {question.id: question for question in load(NextQALoader, shared / "nextqa" / "test.csv")[0]}
    assert all(by_id[question.id].answer == question.answer for question in questions)


def test_in_a_file_of_texts_a_digit_is_a_text(load: Load, table: Path) -> None:
    table.write_text(HEADER + FIRST.replace(",2,8,", ",lie,8,") + "123,10,320,240,how many,3,9,DC,3,4,5,2,1\n")
    assert [question.answer for question in load(NextQALoader, table)[0]] == ["lie", "3"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (FIRST.replace(",2,8,", ",7,8,"), "answer '7' is not the place of an option, 0 to 4"),
        (FIRST.replace(",2,8,", ",lie,8,"), "answer 'lie' is not the place of an option, 0 to 4"),
        (FIRST.replace("what did she do", "  "), "question is empty"),
        (FIRST.replace("clap", ""), "option 1 is empty"),
        (FIRST.replace("clap", "lie"), "the right option 'lie' stands 2 times among the options"),
        (FIRST.replace(",crawl", ""), "12 cells, where the header has 13"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_line(load: Load, table: Path, row: str, reason: str) -> None:
    table.write_text(HEADER + FIRST + row)
    questions, aside = load(NextQALoader, table)
    assert [question.id for question in questions] == ["123_8"]
    assert [(found.file, found.line, found.reason) for found in aside] == [(str(table), 3, reason)]


def test_a_wrong_option_that_stands_twice_does_no_harm(load: Load, table: Path) -> None:
    table.write_text(HEADER + FIRST.replace("run", "clap"))
    assert load(NextQALoader, table)[0][0].options == ("clap", "clap", "lie", "sit", "crawl")


def test_bytes_that_are_not_utf8_are_set_aside_and_named(load: Load, table: Path) -> None:
    table.write_bytes((HEADER + FIRST).encode() + FIRST.encode().replace(b"crawl", b"cr\xe4wl"))
    _, (aside,) = load(NextQALoader, table)
    assert (aside.line, aside.id) == (3, "123_8")
    assert aside.reason.startswith("not valid UTF-8 text: 'cr")


def test_videos_lie_in_media_root_and_by_the_map(load: Load, table: Path, tmp_path: Path) -> None:
    table.write_text(HEADER + FIRST + FIRST.replace("123,", "456,"))
    mapping = tmp_path / "map_vid_vidorID.json"
    mapping.write_text(json.dumps({"123": "1164/123"}))
    (question,), (aside,) = load(NextQALoader, table, media_root=str(tmp_path / "videos"), video_map=str(mapping))
    assert question.media[0].path == str(tmp_path.resolve() / "videos" / "1164" / "123.mp4")
    assert aside.reason == f"video '456' is not in {mapping}"


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), ("[]", "expected an object from video to path, found list")])
def test_a_broken_map_is_one_error(load: Load, table: Path, tmp_path: Path, text: str, message: str) -> None:
    table.write_text(HEADER + FIRST)
    mapping = tmp_path / "map.json"
    mapping.write_text(text)
    with pytest.raises(InputError, match=message):
        load(NextQALoader, table, video_map=str(mapping))


def test_another_layout_names_the_keys(load: Load, table: Path) -> None:
    table.write_text("id,question,answer\n1,why,2\n")
    assert not NextQALoader.recognises(table)
    with pytest.raises(
        InputError, match="not this layout: expected the keys question, answer, qid, type, a0, .*, found answer, id, question"
    ):
        load(NextQALoader, table)
