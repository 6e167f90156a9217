"""The examples of the page on answers say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vidground_core.evaluation.answers import extract
from vidground_core.evaluation.open_ended import grade, video_r1_reward
from vidground_core.evaluation.statistics import least_right

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "answers.md").read_text(encoding="utf-8")
OPTIONS = ("red", "blue", "green")
EXAMPLES = re.findall(r"^\| (answer|refused|unparsed|failed) \| `(.+?)` \| ?(\w*) ?\|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("outcome", "reply", "option"), EXAMPLES)
def test_examples_are_read_as_stated(outcome: str, reply: str, option: str) -> None:
    found = extract(reply, OPTIONS)
    assert (found.outcome, "" if found.option is None else OPTIONS[found.option]) == (outcome, option)


def test_there_are_examples_of_every_outcome() -> None:
    assert {outcome for outcome, *_ in EXAMPLES} == {"answer", "refused", "unparsed", "failed"}


def test_the_published_rules_reward_what_the_page_says() -> None:
    left, right = "The ball falls to the left", "The ball falls to the right"
    assert video_r1_reward("regression", "<answer>nan</answer>", "5") == 1
    assert video_r1_reward("free-form", f"<answer>{left}</answer>", right) == pytest.approx(0.82, abs=0.005)
    assert video_r1_reward("free-form", "<answer>cat</answer>", "cat") == pytest.approx(0.67, abs=0.005)
    assert grade("free-form", left, right).right is False


def test_the_guess_test_is_the_one_stated() -> None:
    assert [least_right(trials, 4) for trials in (1, 2, 3, 5, 8, 10)] == [None, None, 3, 4, 5, 6]
