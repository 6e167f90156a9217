"""Sparse-to-dense voting, worked by hand."""

from __future__ import annotations

import pytest

from vidground_core import Question
from vidground_core.evaluation.voting import agreement, ladder, read_vote, temper, unanimous, winner

CHOICE = Question("q", "Which?", "a cat", ("a dog", "a cat", "a cow"))


def test_frames_double_up_to_the_bound() -> None:
    assert ladder(32, 128) == (32, 64, 128)
    assert ladder(32, 64) == (32, 64)
    assert ladder(16, 60) == (16, 32)
    assert ladder(8, 8) == (8,)


@pytest.mark.parametrize(("first", "most"), [(0, 8), (16, 8)])
def test_a_ladder_that_leads_nowhere_is_refused(first: int, most: int) -> None:
    with pytest.raises(ValueError, match=f"voting from {first} frames up to {most}: the first number is at least 1 and at most the last"):
        ladder(first, most)


def test_each_answer_is_drawn_warmer_and_from_a_narrower_nucleus() -> None:
    assert [temper(i)["temperature"] for i in range(5)] == [0.7, 0.8, 0.9, 1.0, 1.1]
    assert [temper(i)["top_p"] for i in range(6)] == [0.9, 0.8, 0.7, 0.6, 0.5, 0.5]


def test_only_five_equal_answers_agree() -> None:
    assert unanimous(["cat"] * 5)
    assert not unanimous(["cat"] * 4 + ["dog"])
    assert not unanimous(["cat"] * 4 + [None])
    assert not unanimous([None] * 5)
    assert not unanimous([])


def test_the_majority_wins_and_of_equals_the_one_drawn_first() -> None:
    assert winner(["dog", "cat", "cat", None, "cat"]) == 1
    assert winner(["dog", "cat", "cat", "dog", None]) == 0
    assert winner([None, "cow", None]) == 1
    assert winner([None, None]) is None
    assert agreement(["dog", "cat", "cat", None, "cat"]) == 0.6
    assert agreement([None, None]) == 0


@pytest.mark.parametrize(
    ("reply", "order", "said"),
    [
        ("B", (0, 1, 2), "a cat"),
        ("<think>A or C</think><answer>B</answer>", (0, 1, 2), "a cat"),
        ("B", (1, 2, 0), "a cow"),
        ("a dog", (1, 2, 0), "a dog"),
        ("A or B", (0, 1, 2), None),
        ("I cannot tell without the video.", (0, 1, 2), None),
        ("", (0, 1, 2), None),
    ],
)
def test_a_reply_votes_for_an_option_s_text_or_for_nothing(reply: str, order: tuple[int, ...], said: str | None) -> None:
    assert read_vote(CHOICE, reply, order) == said


@pytest.mark.parametrize(
    ("kind", "reply", "said"),
    [
        ("numerical", "<answer>1,200</answer>", "1200"),
        ("numerical", "The answer is 1200.0", "1200"),
        ("numerical", "1234567", "1234567"),
        ("numerical", "many", None),
        ("free-form", "<answer>The Cat.</answer>", "the cat"),
        ("free-form", "<answer>a</answer> <answer>b</answer>", None),
        ("free-form", "I'm sorry, I cannot answer that.", None),
    ],
)
def test_open_answers_agree_as_numbers_or_words(kind: str, reply: str, said: str | None) -> None:
    assert read_vote(Question("q", "?", "x", kind=kind), reply) == said  # type: ignore[arg-type]
