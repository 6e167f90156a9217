from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from vidground_core import ConfigError, Decision, Verdict
from vidground_core.filters.threshold import Threshold
from vidground_core.testing import FilterContract

Make = Callable[..., Any]


class TestThreshold(FilterContract):
    component = Threshold


def scored(question: Make, scores: Mapping[str, float | None], name: str = "q", options: int = 4, **more: float) -> Any:
    return question(name, options), {judge: Verdict(name, judge, "mean", value, None, scores=more) for judge, value in scores.items()}


def test_what_lies_above_is_dropped_and_what_lies_on_it_is_kept(question: Make, decided: Make) -> None:
    rows = [scored(question, {"one": value}, f"q{value}") for value in (0.4, 0.5, 0.6)]
    assert decided(Threshold, rows) == [
        Decision("q0.4", True, "threshold", "1", "kept", {"one": 0.4}),
        Decision("q0.5", True, "threshold", "1", "kept", {"one": 0.5}),
        Decision("q0.6", False, "threshold", "1", "shortcut above 0.5", {"one": 0.6}),
    ]
    assert [decision.kept for decision in decided(Threshold, rows, drop="below")] == [False, True, True]


@pytest.mark.parametrize(("combine", "kept"), [("mean", False), ("any", False), ("all", True)])
def test_several_detectors_are_combined(question: Make, decided: Make, combine: str, kept: bool) -> None:
    (decision,) = decided(Threshold, [scored(question, {"one": 0.9, "two": 0.3, "three": None})], combine=combine)
    assert decision.kept is kept
    assert decision.numbers == {"one": 0.9, "two": 0.3} | ({"mean": pytest.approx(0.6)} if combine == "mean" else {})


def test_less_chance_compares_unlike_numbers_of_options(question: Make, decided: Make) -> None:
    rows = [scored(question, {"one": 0.6}, "two options", 2), scored(question, {"one": 0.6}, "five options", 5)]
    two, five = decided(Threshold, rows, at=0.3, less_chance=True)
    assert (two.kept, five.kept) == (True, False)
    assert five.reason == "shortcut less chance above 0.3"
    assert five.numbers == {"one": pytest.approx(0.4)}


def test_another_score_is_cut_by_its_name(question: Make, decided: Make) -> None:
    row = scored(question, {"one": 0.9}, margin=-0.2)
    (decision,) = decided(Threshold, [row], score="margin", at=0.0)
    assert (decision.kept, decision.numbers) == (True, {"one": -0.2})


def test_a_question_without_the_score_is_kept_for_that_reason(question: Make, decided: Make) -> None:
    assert decided(Threshold, [scored(question, {"one": None})])[0].reason == "no shortcut: kept"


def test_a_score_that_no_question_has_is_an_error_that_names_the_nearest(question: Make, decided: Make) -> None:
    with pytest.raises(ConfigError, match=r"no question has a score 'margn'; did you mean 'margin'\? there is: margin, shortcut"):
        decided(Threshold, [scored(question, {"one": 0.9}, margin=0.2)], score="margn")
