"""What the right video gains over a changed one, worked by hand."""

from __future__ import annotations

import pytest

from vidground_core import Question, Tally, Verdict
from vidground_core.experiments.gains import compare, measures
from vidground_core.experiments.splits import SplitRule


def answered(number: int, **right: bool) -> tuple[Question, Verdict]:
    question = Question(f"q{number}", "?", "a", ("a", "b"), group=f"v{number // 2}", tags={"label": "vg"})
    conditions = {name: Tally(1, int(yes)) for name, yes in right.items()}
    return question, Verdict(question.id, "with-video", "all", 1.0, right["ordered"], conditions)


def test_gains_have_names_and_are_relative_too() -> None:
    rows = [answered(i, ordered=i < 6, shuffled=i < 3, single=False) for i in range(8)]
    rows.append(answered(8, ordered=True))  # not asked in any other way
    changed = compare(rows, SplitRule(), ("full", "vg"), ("shuffled", "single"))
    found = measures(changed)
    order = found["order_sensitivity"]["full"]
    assert (order["n"], order["value"]) == (8, pytest.approx(6 / 8 - 3 / 8))
    assert order["relative"] == pytest.approx((6 / 8) / (3 / 8) - 1)
    assert order["interval"][0] <= order["value"] <= order["interval"][1]
    assert order["relative_interval"][0] <= order["relative"] <= order["relative_interval"][1]
    assert found["order_sensitivity"]["vg"] == order
    frames = found["multi_frame_gain"]["full"]
    assert (frames["value"], frames["relative"], frames["relative_interval"]) == (0.75, None, None)
    assert changed["shuffled"]["splits"]["full"]["accuracy"] == 3 / 8


def test_a_change_nobody_was_asked_with_has_no_number() -> None:
    assert measures(compare([answered(0, ordered=True)], SplitRule(), ("full",), ("blank",))) == {"video_gain_over_blank": {}}


def test_a_gain_that_is_the_same_everywhere_has_the_binomial_bound() -> None:
    rows = [answered(i, ordered=True, blank=True) for i in range(20)]
    found = compare(rows, SplitRule(), ("full",), ("blank",))["blank"]["splits"]["full"]
    others = 1 - 0.025 ** (1 / 10)
    assert (found["gain"], found["interval"]) == (0, pytest.approx([-others, others]))
    assert (found["relative"], found["relative_interval"]) == (0, pytest.approx([-others, 0]))
    ahead = compare([answered(i, ordered=True, blank=False) for i in range(20)], SplitRule(), ("full",), ("blank",))
    assert ahead["blank"]["splits"]["full"]["interval"] == pytest.approx([1 - 2 * others, 1])
