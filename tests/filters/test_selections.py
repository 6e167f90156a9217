"""budget, balanced and the controls: filters that look at the whole set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from vidground_core import ConfigError, Media
from vidground_core.config import build
from vidground_core.filters.balanced import Balanced
from vidground_core.filters.base import Before
from vidground_core.filters.budget import Budget
from vidground_core.filters.controls import RandomMatched, TAOnly
from vidground_core.filters.evidence import stratum
from vidground_core.testing import FilterContract

Make = Callable[..., Any]


class TestBudget(FilterContract):
    component = Budget


class TestBalanced(FilterContract):
    component = Balanced
    options = {"rank": "shortcut", "keep": 0.5}  # noqa: RUF012


class TestRandomMatched(FilterContract):
    component = RandomMatched
    options = {"keep": 0.5}  # noqa: RUF012


class TestTAOnly(FilterContract):
    component = TAOnly


def kept(decisions: Sequence[Any]) -> list[str]:
    return [decision.question for decision in decisions if decision.kept]


def selected(policy: Any, rows: Sequence[Any], before: Before | None, **options: Any) -> list[Any]:
    return list(policy(build(policy.Config, options, policy.name)).select(lambda: iter(rows), before))


def graded(judged: Make, rights: Sequence[int], **fields: Any) -> list[Any]:
    return [judged(f"q{place}", {"judge": (right, 10)}, **fields) for place, right in enumerate(rights)]


def test_a_budget_keeps_the_least_answerable(judged: Make, decided: Make) -> None:
    decisions = decided(Budget, graded(judged, (9, 1, 5, 0, 7)), keep=2)
    assert kept(decisions) == ["q1", "q3"]
    assert decisions[0].reason == "over the budget: more answerable than what is kept"
    assert decisions[0].numbers == {"shortcut_less_chance": pytest.approx(0.65)}


def test_a_budget_may_be_a_fraction_and_never_keeps_more_than_there_is(judged: Make, decided: Make) -> None:
    rows = graded(judged, (9, 1, 5, 0, 7))
    assert len(kept(decided(Budget, rows, keep=0.6))) == 3
    assert len(kept(decided(Budget, rows, keep=99))) == 5


def test_scores_of_unlike_numbers_of_options_are_compared_less_chance(judged: Make, decided: Make) -> None:
    rows = [judged("two", {"judge": (6, 10)}, 2), judged("five", {"judge": (5, 10)}, 5)]
    assert kept(decided(Budget, rows, keep=1)) == ["two"]


def test_ties_are_broken_by_lot_not_by_order(judged: Make, decided: Make) -> None:
    rows = graded(judged, [0] * 400)
    first, again, other = (kept(decided(Budget, each, keep=200, seed=seed)) for each, seed in ((rows, 0), (rows[::-1], 0), (rows, 1)))
    assert set(first) == set(again) != set(other)
    assert 70 < sum(int(name[1:]) < 200 for name in first) < 130


def test_a_random_budget_reads_no_verdict(judged: Make, decided: Make) -> None:
    decisions = decided(Budget, graded(judged, (9, 1, 5, 0)), keep=2, rank="random")
    assert len(kept(decisions)) == 2
    assert {decision.reason for decision in decisions} == {"kept", "over the budget: by lot"}


def mixed(judged: Make) -> list[Any]:
    """60 of source a, 30 of b, 10 of c."""
    sources = "a" * 60 + "b" * 30 + "c" * 10
    return [judged(f"q{place}", {"judge": (place % 11, 10)}, source=source) for place, source in enumerate(sources)]


def sources_of(rows: Sequence[Any], decisions: Sequence[Any]) -> Counter[str]:
    return Counter(question.source for (question, _), decision in zip(rows, decisions, strict=True) if decision.kept)


def test_the_mix_of_the_whole_set_is_restored(judged: Make) -> None:
    rows = mixed(judged)
    before = Before([1] * 60 + [1] * 15 + [0] * 15 + [1] * 8 + [0] * 2, ("consensus",))
    decisions = selected(Balanced, rows, before)
    assert sources_of(rows, decisions) == {"a": 30, "b": 15, "c": 5}
    assert decisions[0].numbers == {"share": 0.5}
    assert {decision.reason for decision in decisions} == {"kept", "more of its kind and source than of the rest"}
    assert not any(decision.kept for decision, stood in zip(decisions, before.kept, strict=True) if not stood)


def test_alone_it_keeps_all_or_the_same_share_of_each_part(judged: Make, decided: Make) -> None:
    rows = mixed(judged)
    assert len(kept(decided(Balanced, rows))) == 100
    assert sources_of(rows, decided(Balanced, rows, keep=0.5)) == {"a": 30, "b": 15, "c": 5}


def test_parts_of_which_little_is_left_need_not_bind_the_others(judged: Make) -> None:
    rows = mixed(judged)
    before = Before([1] * 60 + [1] * 15 + [0] * 15 + [1] + [0] * 9, ("consensus",))
    assert sources_of(rows, selected(Balanced, rows, before)) == {"a": 6, "b": 3, "c": 1}
    assert sources_of(rows, selected(Balanced, rows, before, least=0.2)) == {"a": 30, "b": 15, "c": 1}
    empty = Before([1] * 60 + [1] * 15 + [0] * 25, ("consensus",))
    assert sources_of(rows, selected(Balanced, rows, empty)) == {"a": 30, "b": 15}


def test_the_most_answerable_may_go_first(judged: Make, decided: Make) -> None:
    rows = [judged(f"q{place}", {"judge": (right, 10)}, source="ab"[place % 2]) for place, right in enumerate((9, 1, 2, 8))]
    assert kept(decided(Balanced, rows, keep=0.5, rank="shortcut")) == ["q1", "q2"]


def test_the_random_control_keeps_as_many_as_the_policy_before_it(judged: Make) -> None:
    rows = mixed(judged)
    before = Before([1] * 40 + [0] * 60, ("consensus",))
    first, second = (selected(RandomMatched, rows, before, seed=seed) for seed in (0, 1))
    assert len(kept(first)) == len(kept(second)) == 40
    assert kept(first) != kept(second)
    assert any(decision.kept for decision in first[40:])
    assert {decision.reason for decision in first} == {"drawn", "not drawn"}


def test_the_random_control_may_match_traits(judged: Make) -> None:
    rows = mixed(judged)
    before = Before([1] * 10 + [0] * 50 + [1] * 20 + [0] * 10 + [1] * 5 + [0] * 5, ("consensus",))
    assert sources_of(rows, selected(RandomMatched, rows, before, match=["source"])) == {"a": 10, "b": 20, "c": 5}


def test_a_smaller_draw_lies_within_a_larger_one(judged: Make, decided: Make) -> None:
    rows = mixed(judged)
    small, large = (set(kept(decided(RandomMatched, rows, keep=keep))) for keep in (20, 0.5))
    assert (len(small), len(large)) == (20, 50)
    assert small < large


def test_the_random_control_needs_a_size_and_takes_only_one(judged: Make, decided: Make) -> None:
    with pytest.raises(ConfigError, match="'random-matched' has nothing to match: name the policy it controls before it, or set keep"):
        decided(RandomMatched, mixed(judged))
    with pytest.raises(ConfigError, match="keep = 5, but it matches 'consensus'; leave keep out"):
        selected(RandomMatched, mixed(judged), Before([1] * 100, ("consensus",)), keep=5)


def test_ta_only_keeps_what_the_policies_before_it_dropped(judged: Make) -> None:
    rows = graded(judged, (9, 1, 5))
    decisions = selected(TAOnly, rows, Before([0, 1, 0], ("consensus", "threshold")))
    assert kept(decisions) == ["q0", "q2"]
    assert [decision.reason for decision in decisions[:2]] == [
        "TA: dropped by consensus and threshold",
        "not dropped by consensus and threshold",
    ]
    with pytest.raises(ConfigError, match="'ta-only' keeps what 'consensus' and those before dropped; leave detectors and m out"):
        selected(TAOnly, rows, Before([0, 1, 0], ("consensus",)), m=2)


def test_ta_only_alone_keeps_what_the_detectors_answer(judged: Make, decided: Make) -> None:
    rows = [judged("yes", {"one": (1, 1), "two": (0, 1)}), judged("no", {"one": (0, 1), "two": (0, 1)}), judged("open", {"one": (0, 0)})]
    decisions = decided(TAOnly, rows)
    assert [(decision.kept, decision.reason) for decision in decisions] == [
        (True, "TA: answered blind by one"),
        (False, "not answered blind: left out"),
        (False, "no verdict: left out"),
    ]
    assert kept(decided(TAOnly, rows[:2], m=2)) == []


def test_traits_of_a_question(question: Make) -> None:
    asked = question("q", 3, source="s", media=(Media("a.png", "image"),))
    assert stratum(asked, ("kind", "source", "options", "media")) == ("multiple choice", "s", "3", "image")
    assert stratum(question("q", 0), ("media", "kind")) == ("none", "numerical")
