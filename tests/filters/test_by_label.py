"""by-label: the data set's own label decides, with errors added by lot."""

from __future__ import annotations

from typing import Any, ClassVar

from vidground_core.filters.by_label import ByLabel, ByLabelConfig
from vidground_core.records import Decision, Question
from vidground_core.testing import FilterContract

ROWS = [Question(f"q{n}", "?", "a", ("a", "b"), tags={"label": "vg" if n % 2 else "ta"}) for n in range(4000)]


class TestContract(FilterContract):
    component: ClassVar[type[Any]] = ByLabel


def decide(**options: Any) -> list[Decision]:
    return list(ByLabel(ByLabelConfig(**options)).decide(lambda: iter([(row, {}) for row in ROWS])))


def test_the_label_decides() -> None:
    decisions = decide()
    assert [one.kept for one in decisions] == [row.tags["label"] == "vg" for row in ROWS]
    assert {one.reason for one in decisions} == {"labelled vg", "labelled ta"}
    assert [one.kept for one in decide(keep=("ta",))] == [not one.kept for one in decisions]


def test_errors_have_the_shares_asked_for_and_grow_with_them() -> None:
    few, many = decide(false_drops=0.1, false_keeps=0.2), decide(false_drops=0.3, false_keeps=0.2)
    assert abs(sum(one.reason == "labelled vg: dropped by lot" for one in few) / 2000 - 0.1) < 0.03
    assert abs(sum(one.reason == "labelled ta: kept by lot" for one in few) / 2000 - 0.2) < 0.03
    dropped = [{one.question for one in decisions if one.reason == "labelled vg: dropped by lot"} for decisions in (few, many)]
    assert dropped[0] < dropped[1]
    assert [one.question for one in decide(false_drops=0.1, seed=1) if one.kept] != [
        one.question for one in decide(false_drops=0.1) if one.kept
    ]


def test_a_question_without_the_tag_is_dropped_and_said() -> None:
    (decision,) = ByLabel(ByLabelConfig(tag="quality")).decide(lambda: iter([(ROWS[0], {})]))
    assert (decision.kept, decision.reason) == (False, "no tag 'quality'")
