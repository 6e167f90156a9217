"""Replies as models write them (`replies.jsonl`), and what each one says: the letter of an option, or why it says none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from vidground_core.evaluation.answers import extract

LETTERS = "ABCDEFGHIJ"
OPTIONS = {
    "colours": ("red", "blue", "green", "a man is walking"),
    "yes-no": ("yes", "no"),
    "scenes": ("pick up the ball", "talk to the boy", "wave at the camera", "sit down", "none of the above"),
    "counts": ("1", "2", "3", "10"),
    "times": ("Throughout the entire video.", "At the beginning of the video.", "At the end of the video."),
    "unsure": ("Moving forward", "Moving backward", "It cannot be determined", "The video is not available"),
    "chinese": ("红色", "蓝色", "绿色", "一个男人在走路"),
    "ten": tuple(f"item {i}" for i in range(10)),
    "languages": ("C", "C++", "C#"),
    "one": ("item",),
    "prices": ("5 apples", "$5", "$6"),
    "clashing prices": ("5", "$5"),
}


def table() -> list[tuple[str, str, str]]:
    lines = Path(__file__).with_name("replies.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["reply"], row["options"], row["reads"]) for row in map(json.loads, lines)]


def says(reply: str, options: tuple[str, ...], order: tuple[int, ...] | None = None) -> str:
    found = extract(reply, options, order)
    return found.outcome if found.option is None else LETTERS[found.option]


def test_the_table_holds_enough_of_each_outcome() -> None:
    rows = table()
    assert len({row[:2] for row in rows}) == len(rows) >= 150
    counted = Counter(reads if len(reads) > 1 else "answer" for _, _, reads in rows)
    assert set(counted) == {"answer", "unparsed", "refused", "failed"}
    assert min(counted.values()) >= 25


@pytest.mark.parametrize(("reply", "options", "reads"), table(), ids=lambda value: value[:40])
def test_each_reply_says_what_the_table_says(reply: str, options: str, reads: str) -> None:
    assert says(reply, OPTIONS[options]) == reads


@pytest.mark.parametrize("case", ["lower", "upper"])
def test_case_never_turns_one_answer_into_another(case: str) -> None:
    turned = {}
    for reply, options, reads in table():
        read = says(getattr(reply, case)(), OPTIONS[options])
        if len(reads) == 1 and len(read) == 1 and read != reads:
            turned[reply] = (reads, read)
    assert turned == {}


def test_a_reply_without_a_letter_says_the_same_however_options_are_ordered() -> None:
    order = (2, 3, 0, 1)
    by_text = (
        "green",
        "GREEN!",
        "The answer is green.",
        "<answer>green</answer>",
        "red or green",
        "I cannot say",
        "green, because of grass",
    )
    for reply in by_text:
        assert says(reply, OPTIONS["colours"], order) == says(reply, OPTIONS["colours"])
